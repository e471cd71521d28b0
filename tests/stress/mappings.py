#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The library adds at most 8 anonymous mappings, whatever the program does, and its lane what it was allowed.

The base is what the same program has without the library and without load, less the C library's own heap.
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "conform"))
from runner import Tap, arguments, run

MAPPINGS_MAX = 8
LANE_MAX = 16

# load, settings, mappings allowed above the eight
CASES = [
    ("none", "", 0),
    ("checkerboards", "", 0),
    ("realloc", "", 0),
    ("threads", "", 0),
    ("generations", "", 0),
    ("lanes", "lane:0", 0),
    ("lanes", "lane:%d" % LANE_MAX, LANE_MAX),
]


def measure(program, load, library, settings=""):
    status, out, err = run([program, load], library, timeout_s=120, EBB_MALLOC=settings)
    found = re.search(r"start=(\d+) peak=(\d+)", out)
    if status != 0 or not found:
        return None, "status %d\n%s%s" % (status, out, err)
    return int(found.group(2)), ""


def main():
    args = arguments("program")
    tap = Tap()
    base, why = measure(args.program, "none", "")
    tap.case("the program under no load and without the library", base is not None, why)
    if base is not None:
        base -= 1  # its [heap]
        for load, settings, extra in CASES:
            peak, why = measure(args.program, load, args.library, settings)
            added = peak - base if peak is not None else -1
            tap.note("%s %s: %d mappings added" % (load, settings, added))
            tap.case((load + " " + settings).strip(), 0 <= added <= MAPPINGS_MAX + extra,
                     why or "%d mappings added, %d allowed" % (added, MAPPINGS_MAX + extra))
    return tap.finish()


sys.exit(main())
