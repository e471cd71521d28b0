#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares the dynamic symbols that a library defines with a golden list.

    symbols.py --library FILE --golden FILE [--nm NM]
"""
import argparse
import subprocess
import sys


def golden_names(path):
    with open(path, encoding="ascii") as file:
        names = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    if len(set(names)) != len(names):
        sys.exit("%s names a symbol twice" % path)
    return set(names)


def exported_names(nm, library):
    text = subprocess.run([nm, "-D", "--defined-only", library], check=True,
                          stdout=subprocess.PIPE).stdout.decode()
    names = set()
    for line in text.splitlines():
        kind, name = line.split()[-2:]
        # A is the name of a version node, not of a symbol.
        if kind != "A":
            names.add(name.split("@")[0])
    return names


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--golden", required=True)
    parser.add_argument("--nm", default="nm")
    args = parser.parse_args()
    wanted, have = golden_names(args.golden), exported_names(args.nm, args.library)
    for name in sorted(wanted - have):
        print("missing:    " + name)
    for name in sorted(have - wanted):
        print("unexpected: " + name)
    print("%d symbols are exported, %d are listed" % (len(have), len(wanted)))
    return 0 if wanted == have and wanted else 1


sys.exit(main())
