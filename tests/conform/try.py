#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the conformance programs of a build folder with any allocator preloaded.

    tests/conform/try.py BUILD_DIR LIBRARY [NAME...]

It takes the tests registered as conform/*@glibc and adds LD_PRELOAD and CONFORM_LIB. NAME limits it to those.
The outcome for another allocator is information, not a verdict: the tests ask for glibc's behaviour to the
letter.
"""
import json
import os
import re
import subprocess
import sys


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    build, library, names = sys.argv[1], os.path.realpath(sys.argv[2]), sys.argv[3:]
    tests = json.loads(subprocess.run(["meson", "introspect", "--tests", build], check=True,
                                      stdout=subprocess.PIPE).stdout)
    failed = 0
    for test in tests:
        found = re.fullmatch(r"conform/(.*)@glibc", test["name"])
        if not found or names and found.group(1) not in names:
            continue
        environment = dict(os.environ, **test["env"])
        command = test["cmd"]
        if "--library" in command:
            # A runner in Python sets the preload for its programs itself.
            command = command[:]
            command[command.index("--library") + 1] = library
        elif found.group(1) == "dlopen_lib":
            command = [command[0], library]
        else:
            environment.update(LD_PRELOAD=library, CONFORM_LIB=library)
        try:
            run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 cwd=build, timeout=test["timeout"], check=False)
            status, text = run.returncode, run.stdout.decode(errors="replace")
        except subprocess.TimeoutExpired as expired:
            status, text = "timeout", (expired.stdout or b"").decode(errors="replace")
        word = {0: "ok", 77: "skipped"}.get(status, "FAILED (%s)" % status)
        print("%-20s %s" % (found.group(1), word))
        if status not in (0, 77):
            failed += 1
            print("    " + "\n    ".join(text.strip().splitlines()[:12]))
    sys.exit(1 if failed else 0)


main()
