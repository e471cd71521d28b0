#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Address space, data and locked-memory limits: the program works smaller or gets NULL with ENOMEM.

It always starts. The least amounts asked for are far below what a good allocator gets: they tell "smaller" from
"useless".
"""
import os
import re
import resource
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from runner import MIB, NOBODY, Copies, Tap, arguments, may_set, run

# name, limit, MiB, threads, cap of the load in MiB, least MiB it must get
CASES = [
    ("address space %d MiB, 1 thread", resource.RLIMIT_AS, 64, 1, 512, 16),
    ("address space %d MiB, 1 thread", resource.RLIMIT_AS, 128, 1, 512, 40),
    ("address space %d MiB, 16 threads", resource.RLIMIT_AS, 256, 16, 512, 32),
    ("address space %d MiB, 1 thread", resource.RLIMIT_AS, 512, 1, 512, 200),
    ("address space %d MiB, 16 threads", resource.RLIMIT_AS, 1024, 16, 512, 300),
    ("address space %d MiB, 4 threads", resource.RLIMIT_AS, 4096, 4, 256, 255),
    ("data %d MiB, 1 thread", resource.RLIMIT_DATA, 64, 1, 512, 16),
    ("data %d MiB, 4 threads", resource.RLIMIT_DATA, 256, 4, 512, 64),
    ("data %d MiB, 16 threads", resource.RLIMIT_DATA, 1024, 16, 512, 300),
]

# The same with mlockall(MCL_CURRENT | MCL_FUTURE). What is locked counts as whole mappings, stacks included;
# where the limit is below what the process has mapped already, mlockall itself is refused and the load runs
# unlocked.
LOCKED = [
    (4, 1, 64, 0),
    (8, 1, 64, 0),
    (64, 1, 128, 8),
    (256, 4, 256, 64),
    (1024, 4, 128, 120),
]


def verdict(tap, name, outcome, least_mib, must_lock=False):
    status, out, err = outcome
    found = re.search(r"threads=(\d+) first_bytes=(\d+) second_bytes=(\d+) refusals=(\d+) mlock=(-?\d+)", out)
    if status != 0 or not found:
        tap.case(name, False, "status %d\n%s%s" % (status, out, err))
        return
    threads, first, second, refusals, locked = map(int, found.groups())
    text = "%d threads, %d MiB, %d MiB after all was freed, %d refusals" % (
        threads, first // MIB, second // MIB, refusals)
    if locked >= 0:
        text += ", mlockall: " + ("locked" if locked == 0 else os.strerror(locked))
    tap.note(text)
    tap.case(name, first >= least_mib * MIB and second >= first // 2 and not (must_lock and locked != 0),
             "%s, at least %d MiB were expected\n%s" % (text, least_mib, err))


def main():
    args = arguments("program")
    tap = Tap()
    for name, what, limit_mib, threads, cap_mib, least_mib in CASES:
        command = [args.program, str(threads), str(cap_mib)]
        verdict(tap, name % limit_mib, run(command, args.library, {what: limit_mib * MIB}), least_mib)
    # At the very edge a program may be unable to start, but then with the loader's message, not by a signal.
    for limit_mib in (4, 8, 12, 16, 24, 32):
        status, out, err = run([args.program, "1", "4"], args.library, {resource.RLIMIT_AS: limit_mib * MIB})
        tap.case("address space %d MiB: no crash" % limit_mib, status in (0, 127),
                 "status %d\n%s%s" % (status, out, err))
    with Copies() as copies:
        program, library = copies.add(args.program), copies.add(args.library)
        for limit_mib, threads, cap_mib, least_mib in LOCKED:
            name = "locked memory %d MiB, %d threads" % (limit_mib, threads)
            if not may_set(resource.RLIMIT_MEMLOCK, limit_mib * MIB):
                tap.skip(name, "the hard limit of this session is lower, and it may not raise it")
                continue
            command = [program, str(threads), str(cap_mib), "mlock"]
            # Under mlockall root's mappings are populated at once: without a bound on the address space, an
            # allocator that maps the 32 TiB it is asked for would take the machine down with it.
            limits = {resource.RLIMIT_MEMLOCK: limit_mib * MIB, resource.RLIMIT_AS: 2048 * MIB}
            is_root = os.geteuid() == 0
            # The limit does not bind root, who must therefore succeed with everything.
            if is_root:
                verdict(tap, name + ", root", run(command, library, limits), cap_mib, True)
            verdict(tap, name, run(command, library, limits, NOBODY if is_root else None), least_mib,
                    limit_mib >= 1024)
    return tap.finish()


sys.exit(main())
