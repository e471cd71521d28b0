# SPDX-License-Identifier: MIT
"""A process with much free memory, which it keeps; and how long that stays."""

import json
import os
import subprocess
import time

from memory_cgroup import field
from tap import SLOW, Skip, equal, run

LIBRARY = os.environ.get("EBB_TEST_LIBRARY")
LOAD = os.environ["EBB_PRESSURE_LOAD"]
TOOL = os.environ["EBB_TOOL"]
MIB = 1024


class Load:
    """500 MiB of free memory, kept because it was needed within the last ten seconds."""

    def __init__(self, group=None, options="", mib=500, **more):
        if not LIBRARY:
            raise Skip("the library was not built")
        env = dict(os.environ, LD_PRELOAD=LIBRARY, EBB_MALLOC=options, **more)
        env.pop("MEMORY_PRESSURE_WRITE", None)
        args = [LOAD, str(mib)] + ([group.folder + "/cgroup.procs"] if group else [])
        self.process = subprocess.Popen(args, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        equal(self.process.stdout.readline(), "ready\n")

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        equal(self.process.stdout.readline(), "ok\n")

    @property
    def rss(self):
        """MiB."""
        return field(f"/proc/{self.process.pid}/status", "VmRSS") // MIB

    def keep(self):
        """Rounds for some seconds, then none: the memory is free, and kept."""
        self.say("go")
        time.sleep(2.5)
        self.say("still")
        time.sleep(0.4)
        if self.rss < 400:
            raise AssertionError(f"it keeps {self.rss} MiB only")

    def stat(self, name):
        shown = run(TOOL, "heap", "--format=json", str(self.process.pid))
        for row in json.loads(shown.stdout).get("counters", []):
            if row.get("name") == name:
                return row.get("value")
        raise AssertionError(f"{name} is not shown: {shown.stdout[:500]}{shown.stderr}")

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def await_rss(load, most_mib, limit_s):
    """Seconds until it holds no more than that."""
    start = time.monotonic()
    while load.rss > most_mib:
        if time.monotonic() - start > limit_s * SLOW:
            raise AssertionError(f"it still holds {load.rss} MiB after {limit_s * SLOW} s")
        time.sleep(0.002)
    return time.monotonic() - start


def hog_kib(hog):
    hog.look()
    return hog.rss
