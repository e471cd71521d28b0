#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Memory cgroups of version 2 with limits in other places than one's own memory.max: the parent's, memory.high alone or beside."""

import os
import subprocess
import sys
import time

from free_load import MIB, Load, await_rss, hog_kib
from memory_cgroup import Group, Hog
from tap import SLOW, Skip, case, contains, equal, main

LIBRARY = os.environ["EBB_TEST_LIBRARY"]
SQUEEZE = os.environ["EBB_SQUEEZE"]
BYTES = 1 << 20
LIMIT = 256 * BYTES
# Who waits for as long as this in all was throttled, or looked for pages where there are none. The kernel has one wait for up to
# two seconds, again and again, whose allocation has gone beyond memory.high.
STALL_S = 2.0
GLIBC_S = 20 if SLOW == 1 else 90  # until it has waited enough


def need_version_2():
    if os.geteuid() != 0:
        raise Skip("only root makes memory cgroups")
    if Group.find()[0] != 2:
        raise Skip("the memory controller is not of version 2")


def stalls(group):
    """Seconds that all that runs in it has waited for memory."""
    with open(group.folder + "/memory.pressure", encoding="ascii") as file:
        return sum(int(line.rsplit("total=", 1)[1]) for line in file if line.startswith("full")) / 1e6


def peak_mib(group):
    try:
        with open(group.folder + "/memory.peak", encoding="ascii") as file:
            return int(file.read()) / BYTES
    except FileNotFoundError:  # before Linux 5.19
        return group.usage / BYTES


def squeeze(group, preload, seconds):
    """200 MB alive in blocks of other and other sizes, in the cgroup: (status, or None if it was not done in time, its output)."""
    script = 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"'
    with subprocess.Popen(["sh", "-c", script, "sh", group.folder, "env", f"LD_PRELOAD={preload}", SQUEEZE],
                          stdout=subprocess.PIPE, text=True) as process:
        try:
            said, _ = process.communicate(timeout=seconds)
            return process.returncode, said
        except subprocess.TimeoutExpired:
            process.kill()
            return None, process.communicate()[0]


def compare(limited, group):
    """What becomes of glibc's and of our heap there; the limits are those of `limited`, which is the group or one above it."""
    for name, preload, seconds in (("glibc", "", GLIBC_S), ("ebb", LIBRARY, 60 * SLOW)):
        began, before = time.monotonic(), stalls(group)
        status, said = squeeze(group, preload, seconds)
        spent, waited = time.monotonic() - began, stalls(group) - before
        last = said.splitlines()[-1] if said else "nothing said"
        print(f"# {name}: status {status} after {spent:.1f} s, {waited:.1f} s of them waiting for memory; {last}; the peak so far: "
              f"{peak_mib(limited):.1f} MiB, memory.high {limited.event('high')} times, memory.max {limited.event('max')} times, "
              f"{limited.kills} killed", flush=True)
        yield name, status, said, waited


@case
def a_limit_above_is_ours_too():
    need_version_2()
    above = group = None
    try:
        above = Group("above", LIMIT)
        group = Group("below", above=above)
        for name, status, said, _ in compare(above, group):
            if name == "glibc":
                equal((status, above.kills), (-9, 1))
            else:
                equal((status, above.kills), (0, 1))
                contains(said, "alive at most 200.0 MB")
    finally:
        for one in (group, above):
            if one:
                one.end()


def live_in(name, **limits):
    need_version_2()
    group = Group(name, **limits)
    try:
        for who, status, said, waited in compare(group, group):
            if who == "ebb":
                equal(status, 0)
                contains(said, "alive at most 200.0 MB")
                assert waited < STALL_S, waited
            else:
                assert status != 0 or waited > STALL_S, "glibc's heap fits as well: this says nothing"
    finally:
        group.end()


@case
def memory_high_below_memory_max():
    live_in("both", limit=LIMIT, high=LIMIT * 15 // 16)


@case
def memory_high_alone():
    live_in("high", high=LIMIT)


def hog_beside(load, hog, limited):
    """500 MiB of free memory, and a hog that wants what is left of 1 GiB: it must have it without waiting long."""
    load.keep()
    held = load.rss
    while limited.usage < 790 << 20:
        equal(hog.take(10 * MIB), True)
    time.sleep(0.2)
    before, waited, began = load.rss, stalls(limited), time.monotonic()
    equal(hog.take((830 << 10) - hog_kib(hog)), True)
    spent = time.monotonic() - began
    waited = stalls(limited) - waited
    late = await_rss(load, 60, 5)
    print(f"# {held} MiB free, {before} MiB before the hog took the rest, for which it needed {spent * 1000:.0f} ms; it waited for "
          f"{waited * 1000:.0f} ms of them, and {late * 1000:.0f} ms later the free memory was back; memory.high "
          f"{limited.event('high')} times, memory.max {limited.event('max')} times; {limited.usage >> 20} MiB used at last",
          flush=True)
    equal(limited.kills, 0)
    assert waited < STALL_S, waited


def hogged(limited, *groups):
    """The limits are those of `limited`; the process and the hog live in the others, or in it."""
    load = hog = None
    try:
        load = Load(groups[0])
        hog = Hog(groups[-1], 500)
        hog_beside(load, hog, limited)
    finally:
        for one in (hog, load, *groups[::-1], *([] if limited in groups else [limited])):
            if one:
                one.end()


@case
def a_hog_under_memory_high():
    need_version_2()
    group = Group("high", high=1024 * BYTES)
    hogged(group, group)


@case
def a_hog_in_another_cgroup_below_the_same_limit():
    need_version_2()
    above = Group("above", 1024 * BYTES)
    hogged(above, Group("one", above=above), Group("two", above=above))


@case
def a_hog_from_afar():
    """It wants at once what is left of 1 GiB and half of what the other keeps. Nobody tells of it before the limit is met."""
    need_version_2()
    group = Group("afar", 1024 * BYTES)
    load = hog = None
    try:
        load = Load(group)
        hog = Hog(group, 500)
        load.keep()
        held, used, began = load.rss, group.usage >> 20, time.monotonic()
        lives = hog.take(760 * MIB)
        spent = time.monotonic() - began
        print(f"# {held} MiB free, {used} MiB used; the hog {'lives' if lives else 'was killed'} after {spent * 1000:.0f} ms; "
              f"{load.rss} MiB are left, memory.max {group.event('max')} times, {group.kills} killed", flush=True)
        equal((lives, group.kills), (True, 0))
    finally:
        for one in (hog, load, group):
            if one:
                one.end()


@case
def a_hog_below_memory_max_and_memory_high():
    need_version_2()
    group = Group("both", 1024 * BYTES, high=960 * BYTES)
    hogged(group, group)


sys.exit(main())
