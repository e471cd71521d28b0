#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A program that gains privileges when it is executed ignores EBB_MALLOC, good settings and bad ones.

The program is linked against the library and made set-user-ID of an account without privileges; the same file
without that bit, in the same environment, shows that the settings would have been read.
"""
import os
import re
import shlex
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from runner import NOBODY, Copies, Tap, arguments, run

DAEMON = 1
SETTINGS = "check:1,no_such_option:1"


def main():
    args = arguments("source", "compiler")
    if os.geteuid() != 0:
        print("1..0 # SKIP only root can make a program set-user-ID of somebody else")
        return 0
    tap = Tap()
    with Copies() as copies:
        program = os.path.join(copies.path, "secure")
        command = shlex.split(args.compiler) + ["-O1", "-fno-builtin", args.source, "-o", program]
        library = copies.add(args.library)
        if library:
            command += ["-Wl,--no-as-needed", library, "-Wl,-rpath," + copies.path]
        subprocess.run(command, check=True)
        is_ebb = False
        for bit in (False, True):
            os.chown(program, DAEMON, DAEMON)
            os.chmod(program, 0o4755 if bit else 0o755)
            status, out, err = run([program], user=NOBODY, EBB_MALLOC=SETTINGS)
            found = re.search(r"secure=(\d+) check=(-?\d+)", out)
            what = "status %d\n%s%s" % (status, out, err)
            if status != 0 or not found:
                tap.case("set-user-ID" if bit else "ordinary", False, what)
                continue
            secure, check = int(found.group(1)), int(found.group(2))
            if bit and secure == 0:
                tap.skip("set-user-ID", "the folder for temporary files is mounted nosuid")
            elif bit:
                tap.case("set-user-ID: the settings are ignored", check in (0, -1) and "ebb: " not in err,
                         what)
            else:
                is_ebb = check != -1
                tap.case("ordinary: not secure", secure == 0, what)
                if is_ebb:
                    tap.case("ordinary: the settings are read", check == 1 and err.count("ebb: ") == 1, what)
    return tap.finish()


sys.exit(main())
