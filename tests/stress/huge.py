#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What went back to the kernel stays there, however the kernel makes huge pages: khugepaged must not fill the holes.

The switch of the machine is set to always, madvise and never in turn, khugepaged is sped up as far as it goes, and all is
set back. EBB_HUGE_SECONDS=300 makes the wait five minutes. Where the switch may not be set the cases are skipped.
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "conform"))
from runner import Tap, arguments, run

SYSFS = "/sys/kernel/mm/transparent_hugepage/"
SPEED = {"khugepaged/scan_sleep_millisecs": "10", "khugepaged/alloc_sleep_millisecs": "10",
         "khugepaged/pages_to_scan": "65536", "khugepaged/defrag": "1"}
WAIT_S = int(os.environ.get("EBB_HUGE_SECONDS", "6"))
BASE_KIB = 1024      # a trivial process must not cost a huge page
RATIO_MAX = 1.10     # held, by what pages with a living byte are
FLOOR_KIB = 1024     # that free memory is kept by design


def read(name):
    with open(SYSFS + name, encoding="ascii") as file:
        text = file.read().strip()
    chosen = re.search(r"\[(.+?)\]", text)
    return chosen.group(1) if chosen else text


def write(name, value):
    with open(SYSFS + name, "w", encoding="ascii") as file:
        file.write(value)


def one_mode(tap, mode, args):
    status, out, err = run([args.program, "3", str(WAIT_S)], args.library, timeout_s=60 + WAIT_S)
    found = re.search(r"base=(\d+) settled=(\d+) later=(\d+) huge=(\d+) pages=(\d+)", out)
    why = "status %d\n%s%s" % (status, out, err)
    tap.case(mode + ": runs", status == 0 and found is not None, why)
    if not found:
        return
    base, settled, later, huge, pages = map(int, found.groups())
    tap.note("%s: base %d KiB; %d KiB after 3 s, %d KiB %d s later (huge %d); living pages %d KiB" %
             (mode, base, settled, later, WAIT_S, huge, pages))
    held = later - base
    tap.case(mode + ": RSS follows living pages", held <= RATIO_MAX * pages + FLOOR_KIB,
             "%d KiB held for %d KiB of pages with a living byte" % (held, pages))
    tap.case(mode + ": nothing is filled again", later <= settled + 256,
             "%d KiB, then %d KiB" % (settled, later))
    status, out, err = run(["awk", 'BEGIN { while ((getline l < "/proc/self/status") > 0) print l }'], args.library)
    anon = re.search(r"RssAnon:\s+(\d+)", out)
    tap.case(mode + ": a trivial process costs no huge page",
             anon is not None and int(anon.group(1)) <= BASE_KIB, out + err)


def main():
    args = arguments("program")
    tap = Tap()
    try:
        before = {name: read(name) for name in ("enabled", *SPEED)}
        write("enabled", before["enabled"])
    except OSError as error:
        tap.skip("the kernel's switch", "may not be set here: %s" % error)
        return tap.finish()
    try:
        for name, value in SPEED.items():
            write(name, value)
        for mode in ("always", "madvise", "never"):
            write("enabled", mode)
            one_mode(tap, mode, args)
    finally:
        for name, value in before.items():
            write(name, value)
    return tap.finish()


sys.exit(main())
