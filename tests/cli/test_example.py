#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""examples/pressure.c in a real memory cgroup: a cache that subscribes lives where one that does not is killed, and makes room."""

import os
import re
import subprocess
import sys
import time

from memory_cgroup import Group, Hog, field
from tap import Skip, case, equal, main, wait_for

EXAMPLE = os.environ.get("EBB_PRESSURE_EXAMPLE")
LIMIT = 256 << 20
LINE = re.compile(r"(\w+): (\d+) MiB cached, (\d+) MiB dropped, asked (\d+) times; (\w+)")


class Cache:
    """The example, in the group."""

    def __init__(self, group, mib, options=""):
        if not EXAMPLE:
            raise Skip("the examples were not built")
        join = 'echo 0 >"$1" && exec "$2" "$3"'
        self.process = subprocess.Popen(["sh", "-c", join, "sh", group.folder + "/cgroup.procs", EXAMPLE, str(mib)],
                                        env=dict(os.environ, EBB_MALLOC=options), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.cached = self.dropped = self.asked = 0

    def until(self, what):
        """Reads on to the line that begins so. False: it has come to its end instead."""
        for line in self.process.stdout:
            stage, *numbers = LINE.match(line).groups()
            self.cached, self.dropped, self.asked = (int(number) for number in numbers[:3])
            if stage == what:
                return True
        return False

    @property
    def rss(self):
        return field(f"/proc/{self.process.pid}/status", "VmRSS") >> 10

    def finish(self):
        self.process.stdin.close()
        equal(self.until("end"), True)
        equal(self.process.wait(), 0)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stdin.close()


@case
def it_lives_where_it_does_not_fit():
    """600 MiB go through a cache in a cgroup of 256."""
    group = Group("lives", LIMIT)
    cache = None
    try:
        cache = Cache(group, 600)
        equal(cache.until("full"), True)
        equal(group.kills, 0)
        print(f"# {cache.cached} MiB cached of 600 in {LIMIT >> 20}, {cache.dropped} dropped, asked {cache.asked} times")
        if not 100 <= cache.cached <= 250 or cache.dropped < 300:
            raise AssertionError(f"{cache.cached} MiB cached, {cache.dropped} dropped")
        cache.finish()
    finally:
        if cache:
            cache.end()
        group.end()


@case
def one_that_hears_of_nothing_is_killed():
    """The same program in the same cgroup, with nobody to look: it proves the case above."""
    group = Group("deaf", LIMIT)
    cache = None
    try:
        cache = Cache(group, 600, options="pressure:0")
        equal(cache.until("full"), False)
        equal(cache.process.wait(), -9)
        wait_for("the kernel's count", lambda: group.kills == 1, 5)
    finally:
        if cache:
            cache.end()
        group.end()


@case
def it_makes_room_for_another():
    """A full cache, then another process takes 50 MiB more than are left in the cgroup: the cache shrinks, nobody is killed."""
    group = Group("room", LIMIT)
    cache = hog = None
    try:
        cache = Cache(group, 300)
        equal(cache.until("full"), True)
        before, asked = cache.rss, cache.asked
        hog = Hog(group, 500)
        wanted = ((LIMIT - group.usage) >> 20) + 50
        for _ in range(wanted // 5):
            equal(hog.take(5 << 10), True)
            time.sleep(0.05)
        wait_for("less in the cache", lambda: cache.rss <= before - 45, 10)
        equal(group.kills, 0)
        held = cache.rss
        cache.finish()
        print(f"# {before} MiB before, {held} MiB beside one that took {wanted}; asked {cache.asked - asked} times")
        if cache.asked <= asked:
            raise AssertionError("it was never asked")
    finally:
        for one in (hog, cache):
            if one:
                one.end()
        group.end()


sys.exit(main())
