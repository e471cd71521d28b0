# SPDX-License-Identifier: MIT
"""Memory cgroups with a limit that tests make, and processes that take memory in them when they are told to."""

import errno
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


LEAF = "/ebb-test-leaf"


def have_controller(top):
    """Has cgroups below the top get the memory controller. Only the root of all may have processes beside them: in a container,
    whose processes are in the top of what it sees, they move into a leaf, where they stay."""
    control = top + "/cgroup.subtree_control"
    with open(control, encoding="ascii") as file:
        if "memory" in file.read().split():
            return
    for _ in range(100):  # others may start meanwhile
        try:
            put(control, "+memory")
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise Skip(f"the memory controller cannot be had: {error}") from error
        os.makedirs(top + LEAF, exist_ok=True)
        with open(top + "/cgroup.procs", encoding="ascii") as file:
            for pid in file.read().split():
                try:
                    put(top + LEAF + "/cgroup.procs", pid)
                except OSError:  # it has ended, or is a thread of the kernel
                    pass
    raise Skip("the processes beside us cannot be moved, so cgroups below them get no controller")


def is_kernels_name(told, path):
    """Whether the kernel's log, which knows the whole tree, may mean the path. In a cgroup namespace that is the end of it."""
    _, mount, top = Group.find()
    contained = top == "/" and os.path.exists(mount + "/cgroup.events")  # which the top of the whole tree has not
    return told == path or (contained and told.endswith(path))


class Group:
    """A memory cgroup of our own, with limits or without, and without swap."""

    def __init__(self, name, limit=None, high=None, above=None):
        self.version, mount, self.top = self.find()
        if high is not None and self.version == 1:
            raise Skip("the memory controller is of version 1, which has no memory.high")
        self.path = (above.path if above else "") + f"/ebb-test-{os.getpid()}-{name}"
        self.folder = mount + self.path
        try:
            if above and self.version == 2:
                put(above.folder + "/cgroup.subtree_control", "+memory")
            os.mkdir(self.folder)
        except OSError as error:
            raise Skip(f"no memory cgroup can be made here: {error}") from error
        old = self.version == 1
        try:
            if limit is not None:
                self.set("memory.limit_in_bytes" if old else "memory.max", limit)
            if high is not None:
                self.set("memory.high", high)
            swap = "memory.memsw.limit_in_bytes" if old else "memory.swap.max"
            if (limit or high) is not None and os.path.exists(f"{self.folder}/{swap}"):
                self.set(swap, limit if old else 0)
        except OSError as error:
            self.end()
            raise Skip(f"no limit can be set: {error}") from error

    def set(self, name, value):
        put(f"{self.folder}/{name}", value)

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
                    have_controller(unified[0])
                    return 2, *unified
        raise Skip("the host has no memory controller")

    def event(self, name):
        """A counter of version 2, of this cgroup's own limits."""
        with open(self.folder + "/memory.events.local", encoding="ascii") as file:
            return sum(int(line.split()[1]) for line in file if line.split()[0] == name)

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
