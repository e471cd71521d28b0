# SPDX-License-Identifier: MIT
"""Processes that tests of ebb ps and ebb top start: they print "ready" and do what their standard input says."""

import contextlib
import json
import os
import signal
import subprocess
import sys

# Takes memory of all kinds; then obeys lines: "fault N" makes N minor faults, "burn S" takes S seconds of processor time.
PROGRAM = r"""
import ctypes, mmap, os, sys, threading, time
kept = []
anon = mmap.mmap(-1, 24 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
anon[0:8 << 20] = bytes(8 << 20)
shared = mmap.mmap(-1, 6 << 20)
shared[0:6 << 20] = bytes(6 << 20)
scratch = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
scratch.madvise(mmap.MADV_NOHUGEPAGE)
page = mmap.PAGESIZE
for name in sys.argv[1:]:
    def body(name=name):
        ctypes.CDLL(None).prctl(15, os.fsencode(name), 0, 0, 0)
        kept.append(name)
        time.sleep(300)
    threading.Thread(target=body, daemon=True).start()
while len(kept) < len(sys.argv) - 1:
    time.sleep(0.01)
print("ready", flush=True)
for line in sys.stdin:
    word, value = line.split()
    if word == "fault":
        left = int(value)
        while left > 0:
            now = min(left, len(scratch) // page)
            scratch.madvise(mmap.MADV_DONTNEED)
            for i in range(now):
                scratch[i * page] = 1
            left -= now
    elif word == "burn":
        end = time.process_time() + float(value)
        while time.process_time() < end:
            pass
    print("done", flush=True)
"""


@contextlib.contextmanager
def started(*command, **more):
    """A process that has printed its line "ready"; killed with all that it started at the end."""
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               start_new_session=True, **more)
    try:
        line = process.stdout.readline()
        assert line == b"ready\n", line
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdin.close()
        process.stdout.close()


def worker(*threads, **more):
    """One that obeys, with threads of these names."""
    return started(sys.executable, "-c", PROGRAM, *threads, **more)


def tell(process, text):
    process.stdin.write(text.encode() + b"\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"done\n"


# Names itself with the bytes of its argument, in hexadecimal, and sleeps.
NAMED = r"""
import ctypes, sys, time
ctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv[1]), 0, 0, 0)
print("ready", flush=True)
time.sleep(300)
"""


def named(name):
    return started(sys.executable, "-S", "-c", NAMED, name.hex())


def sleepers(count):
    """A shell with that many sleeping children."""
    return started("sh", "-c", f"i=0; while [ $i -lt {count} ]; do sleep 300 & i=$((i+1)); done; echo ready; wait")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def rows(text, section="processes"):
    """The rows of a JSON report."""
    return json.loads(text)[section]


def by_pid(text, section="processes"):
    return {row["pid"]: row for row in rows(text, section)}
