#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs every row of misuse.def under the library and compares how the program ends with what the row says."""
import os
import re
import resource
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "conform"))
from runner import Tap, arguments, run

ROW = re.compile(r'^MISUSE\((\w+), "([^"]*)", (AT_ONCE|LATER|NEVER), "(.*)"\)$')


def rows():
    with open(os.path.join(HERE, "misuse.def"), encoding="ascii") as file:
        for line in file:
            if line.startswith("MISUSE("):
                found = ROW.match(line.rstrip("\n"))
                if not found:
                    sys.exit("misuse.def: this row cannot be read: " + line)
                function, settings, when, pattern = found.groups()
                yield function, settings, when, pattern.replace("\\\\", "\\")


def as_expected(when, pattern, status, out, err):
    if when == "NEVER":
        return status == 0 and err == "" and "flushed" in out
    pointer = re.search(r"^pointer (0x[0-9a-f]+)$", out, re.M)
    if pointer is None or status != -signal.SIGABRT or err.count("\n") != 1:
        return False
    if "flushed" in out or when == "AT_ONCE" and "returned" in out:
        return False
    return re.fullmatch(pattern.replace("{p}", pointer.group(1)), err.rstrip("\n")) is not None


def main():
    args = arguments("program")
    tap = Tap()
    for function, settings, when, pattern in rows():
        status, out, err = run([args.program, function], args.library, {resource.RLIMIT_CORE: 0},
                               EBB_MALLOC=settings)
        name = function + (" with " + settings if settings else "")
        tap.case(name, as_expected(when, pattern, status, out, err),
                 "expected %s: %s\nstatus %d\nstandard output: %r\nstandard error: %r"
                 % (when, pattern or "silence", status, out, err[:600]))
    return tap.finish()


sys.exit(main())
