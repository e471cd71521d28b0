# SPDX-License-Identifier: MIT
"""Memory cgroups with a limit that tests make, and processes that take memory in them when they are told to."""

import os
import subprocess
import time

from tap import Skip, equal

HOG = os.environ["EBB_OOM_HOG"]


def put(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(str(text))


def field(path, name):
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith(name + ":"):
                return int(line.split()[1])
    return 0


def is_mounted():
    """Whether this host has a memory controller at all."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            left, right = line.split(" - ", 1)
            kind, _, options = right.split(None, 2)
            if kind == "cgroup" and "memory" in options.strip().split(","):
                return True
            controllers = left.split()[4] + "/cgroup.controllers"
            if kind == "cgroup2" and os.path.exists(controllers):
                with open(controllers, encoding="ascii") as listed:
                    if "memory" in listed.read().split():
                        return True
    return False


class Group:
    """A memory cgroup of our own with a limit, without swap."""

    def __init__(self, name, limit):
        self.version, mount, self.top = self.find()
        self.path = f"/ebb-test-{os.getpid()}-{name}"
        self.folder = mount + self.path
        try:
            os.mkdir(self.folder)
        except OSError as error:
            raise Skip(f"no memory cgroup can be made here: {error}") from error
        try:
            if self.version == 1:
                put(self.folder + "/memory.limit_in_bytes", limit)
                if os.path.exists(self.folder + "/memory.memsw.limit_in_bytes"):
                    put(self.folder + "/memory.memsw.limit_in_bytes", limit)
            else:
                put(self.folder + "/memory.max", limit)
                if os.path.exists(self.folder + "/memory.swap.max"):
                    put(self.folder + "/memory.swap.max", 0)
        except OSError as error:
            self.end()
            raise Skip(f"no limit can be set: {error}") from error

    @staticmethod
    def find():
        """(version, mount, top) of the memory controller."""
        unified = None
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            for line in file:
                left, right = line.rstrip("\n").split(" - ", 1)
                kind, _, options = right.split(" ", 2)
                if kind == "cgroup" and "memory" in options.split(","):
                    return 1, left.split()[4], left.split()[3]
                if kind == "cgroup2":
                    unified = left.split()[4], left.split()[3]
        if unified:
            with open(unified[0] + "/cgroup.controllers", encoding="ascii") as file:
                if "memory" in file.read().split():
                    try:
                        put(unified[0] + "/cgroup.subtree_control", "+memory")
                    except OSError as error:
                        raise Skip(f"the memory controller cannot be had: {error}") from error
                    return 2, *unified
        raise Skip("the host has no memory controller")

    @property
    def kills(self):
        """How often the kernel has killed in it, as it counts itself."""
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        with open(f"{self.folder}/{name}", encoding="ascii") as file:
            return sum(int(line.split()[1]) for line in file if line.split()[0] == "oom_kill")

    @property
    def usage(self):
        name = "memory.usage_in_bytes" if self.version == 1 else "memory.current"
        with open(f"{self.folder}/{name}", encoding="ascii") as file:
            return int(file.read())

    def end(self):
        for _ in range(200):
            try:
                os.rmdir(self.folder)
                return
            except OSError:
                time.sleep(0.01)
        raise AssertionError(f"{self.folder} cannot be removed")


class Hog:
    def __init__(self, group, adj):
        self.adj = adj
        self.process = subprocess.Popen([HOG, str(adj), group.folder + "/cgroup.procs"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        equal(self.process.stdout.readline(), "ready\n")
        self.rss = self.score = 0

    @property
    def pid(self):
        return self.process.pid

    def take(self, kib):
        """False when it does not answer: it is dead."""
        try:
            self.process.stdin.write(f"{kib}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return False
        return self.process.stdout.readline() == "ok\n"

    def look(self):
        self.rss = field(f"/proc/{self.pid}/status", "VmRSS")
        with open(f"/proc/{self.pid}/oom_score", encoding="ascii") as file:
            self.score = int(file.read())

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
