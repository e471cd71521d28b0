#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads of what a region has given back are reported by AddressSanitizer and valgrind, and by nobody else.

    watch.py NAME=PROGRAM...    a program is late_reader; NAME says how it was built: plain, asan-static, asan-shared
"""
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "conform"))
from runner import Tap

LATE = ["after-reset", "after-reset-in-the-first-block", "after-rollback", "past-the-end", "between-two", "not-handed-out"]
VALGRIND = ["valgrind", "--quiet", "--error-exitcode=9", "--leak-check=no", "--tool=memcheck"]
ASAN_STATUS = 23


def run(command):
    env = dict(os.environ, ASAN_OPTIONS=f"exitcode={ASAN_STATUS}:abort_on_error=0:detect_leaks=0")
    env.pop("LD_PRELOAD", None)
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=100)
    return done.returncode, done.stdout, done.stderr


def went_through(outcome):
    status, out, err = outcome
    return status == 0 and out == "went through\n" and err == ""


def under_asan(tap, name, program):
    tap.case(f"{name}: proper use is not reported", went_through(outcome := run([program, "proper"])), outcome)
    for way in LATE:
        status, _, err = outcome = run([program, way])
        found = status == ASAN_STATUS and "AddressSanitizer: use-after-poison" in err and "READ of size 1" in err
        tap.case(f"{name}: {way} is reported", found, outcome)


def without_debug(program, folder):
    """A copy that valgrind reads whatever compiler it is from: it does not know all of DWARF 5."""
    copy = shutil.copy(program, folder)
    if shutil.which("strip"):
        subprocess.run(["strip", "--strip-debug", copy], check=True)
    return copy


def under_valgrind(tap, program):
    tap.case("valgrind: proper use is not reported", went_through(outcome := run(VALGRIND + [program, "proper"])), outcome)
    for way in LATE:
        status, _, err = outcome = run(VALGRIND + [program, way])
        tap.case(f"valgrind: {way} is reported", status == 9 and "Invalid read of size 1" in err, outcome)
    status, out, err = outcome = run(["valgrind", "--quiet", "--tool=none", program, "after-reset"])
    tap.case("another tool of valgrind hears nothing", status == 0 and out == "went through\n", outcome)


def main():
    tap = Tap()
    programs = dict(argument.split("=", 1) for argument in sys.argv[1:])
    for name, program in programs.items():
        if name.startswith("asan"):
            under_asan(tap, name, program)
            continue
        for way in ["proper"] + LATE:
            tap.case(f"without a tool: {way} goes through", went_through(outcome := run([program, way])), outcome)
        if shutil.which("valgrind") is None:
            tap.skip("valgrind", "it is not installed")
        else:
            with tempfile.TemporaryDirectory(prefix="ebb-watch-") as folder:
                under_valgrind(tap, without_debug(program, folder))
    return tap.finish()


sys.exit(main())
