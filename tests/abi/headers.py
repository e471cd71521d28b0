#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every public header compiles alone, without a warning, as C11 and C++17, once and included twice.

    headers.py --include DIR --cc "COMPILER WORDS" [--cxx "COMPILER WORDS"]
"""
import argparse
import os
import shlex
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "conform"))
from runner import Tap

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--include", required=True)
    parser.add_argument("--cc", required=True)
    parser.add_argument("--cxx", default="")
    args = parser.parse_args()
    languages = [("C11", shlex.split(args.cc) + ["-x", "c", "-std=c11"])]
    if args.cxx:
        languages.append(("C++17", shlex.split(args.cxx) + ["-x", "c++", "-std=c++17"]))
    tap = Tap()
    headers = sorted(name for name in os.listdir(os.path.join(args.include, "ebb")) if name.endswith(".h"))
    tap.case("there are headers", len(headers) > 0)
    for header in headers:
        line = "#include <ebb/%s>\n" % header
        for language, command in languages:
            done = subprocess.run(command + STRICT + ["-I", args.include, "-"], input=(line + line).encode(),
                                  stderr=subprocess.PIPE, check=False)
            tap.case("<ebb/%s> as %s" % (header, language), done.returncode == 0, done.stderr.decode())
    if not args.cxx:
        tap.skip("C++17", "there is no C++ compiler")
    return tap.finish()


sys.exit(main())
