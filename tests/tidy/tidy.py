# SPDX-License-Identifier: MIT
"""Style as a test: prints one line for each offence against the rules of the house, and fails when there is one.

tidy.py ROOT [--build FOLDER]     with a build folder, the symbols of the built modules are looked at too
"""

import argparse
import os
import sys

import layers
import symbols
import tables
import text
from exemptions import EXEMPTIONS
from source import Offence, Tree


def offences(tree, build):
    for module in (layers, text, tables):
        for rule in module.RULES:
            yield from rule(tree)
    if build:
        for rule in symbols.RULES:
            yield from rule(build)


def exempted(offence, used):
    for exemption in EXEMPTIONS:
        if (exemption.rule == offence.rule and exemption.path == offence.path and exemption.what in offence.what):
            used.add(exemption)
            return True
    return False


def unused(used, build):
    """Exemptions that exempt nothing; those on symbols are judged only when symbols were looked at."""
    for exemption in EXEMPTIONS:
        if exemption not in used and (build or exemption.rule != "symbols"):
            yield Offence("exemption", exemption.path, 1, f"'{exemption.what}' no longer offends: delete the exemption")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("root")
    parser.add_argument("--build")
    parser.add_argument("--rule", help="only this rule")
    args = parser.parse_args()
    tree = Tree(os.path.realpath(args.root))
    used = set()
    found = [offence for offence in offences(tree, args.build) if not exempted(offence, used)]
    found += unused(used, args.build)
    shown = [offence for offence in found if args.rule in (None, offence.rule)]
    for offence in shown:
        print(f"{offence.path}:{offence.line}: {offence.rule}: {offence.what}")
    print(f"{len(tree.paths)} files, {len(shown)} offences, {len(EXEMPTIONS)} exemptions")
    return 1 if shown or not tree.paths else 0


if __name__ == "__main__":
    sys.exit(main())
