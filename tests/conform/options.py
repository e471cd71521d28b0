#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""EBB_MALLOC: good settings take effect in silence; each bad one costs one line, and the program runs.

A line begins with "ebb: ", names the option, gives its range where it has one, and tells what is used
instead.
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from runner import Tap, arguments, run

LINE_BYTES_MAX = 400

# settings, for each line expected the words it must hold, values in effect afterwards
CASES = [
    ("", [], {"check": 0, "cache": 1, "lane": 256, "foreign": 0}),
    ("check:1", [], {"check": 1}),
    ("check:0,cache:0,lane:0,foreign:abort", [], {"check": 0, "cache": 0, "lane": 0, "foreign": 1}),
    ("lane:17,", [], {"lane": 17}),
    (",,lane:17,,", [], {"lane": 17}),
    ("no_such_option:1", [["no_such_option"]], {"check": 0}),
    ("no_such_option", [["no_such_option"]], {"check": 0}),
    ("check:2", [["check", "2", "0", "1", "used"]], {"check": 0}),
    ("check:-1", [["check", "-1", "0", "1", "used"]], {"check": 0}),
    ("check:yes", [["check", "yes", "0", "1", "used"]], {"check": 0}),
    ("check:", [["check", "0", "1", "used"]], {"check": 0}),
    ("check", [["check", "0", "1", "used"]], {"check": 0}),
    ("check: 1", [["check", "0", "1", "used"]], {"check": 0}),
    ("check:1x", [["check", "1x", "0", "1", "used"]], {"check": 0}),
    ("check:0x1", [["check", "0x1", "0", "1", "used"]], {"check": 0}),
    ("lane:257", [["lane", "257", "0", "256", "used"]], {"lane": 256}),
    ("lane:5,lane:300", [["lane", "300", "0", "256", "5 is used"]], {"lane": 5}),
    ("lane:99999999999999999999999999", [["lane", "0", "256", "used"]], {"lane": 256}),
    ("foreign:maybe", [["foreign", "maybe", "forward", "abort", "used"]], {"foreign": 0}),
    ("foreign:1", [["foreign", "1", "forward", "abort", "used"]], {"foreign": 0}),
    ("check:9,lane:x,foreign:y,bogus:1,lane:7", [["check"], ["lane"], ["foreign"], ["bogus"]],
     {"check": 0, "lane": 7, "foreign": 0}),
    ("check=1", [["check=1"]], {"check": 0}),
    (":", [["ebb: "]], {"check": 0}),
    (":1", [["ebb: "]], {"check": 0}),
    ("CHECK:1", [["CHECK"]], {"check": 0}),
    ("lane:" + "9" * 10000, [["lane", "0", "256", "used"]], {"lane": 256}),
    ("x" * 10000, [["xxx"]], {"check": 0}),
    ("x" * 5000 + ":" + "y" * 5000 + ",lane:9", [["xxx"]], {"lane": 9}),
    ("a\x1b[31mred\nline:1", [["a"]], {"check": 0}),
    ("\xff\xfe%s%n%s:1", [["%s%n"]], {"check": 0}),
]


def shown(text):
    return text if len(text) <= 60 else text[:30] + "... (%d bytes)" % len(text)


def main():
    args = arguments("program")
    tap = Tap()
    for settings, lines_expected, values in CASES:
        status, out, err = run([args.program] + sorted(values), args.library, EBB_MALLOC=settings)
        what = "EBB_MALLOC=%r\nstatus %d\n%s%s" % (shown(settings), status, out, err)
        lines = err.splitlines()
        ok = status == 0 and len(lines) == len(lines_expected) and err.count("ebb: ") == len(lines_expected)
        for line, words in zip(lines, lines_expected):
            ok = ok and line.startswith("ebb: ") and len(line.encode()) < LINE_BYTES_MAX and line.isprintable()
            ok = ok and all(word in line for word in words)
        for name, value in values.items():
            ok = ok and re.search(r"^%s=%d$" % (name, value), out, re.M) is not None
        tap.case("EBB_MALLOC=" + repr(shown(settings)).replace("#", "%23"), ok, what)
    return tap.finish()


sys.exit(main())
