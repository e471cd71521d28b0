#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""vm.overcommit_memory=2: the program runs, and what the kernel does not promise is NULL with ENOMEM.

The setting belongs to the whole machine. So that nobody else runs short, the limit is set well above what is
committed already, and the test, which runs as another user, is kept away from the last part of it by
vm.admin_reserve_kbytes. A separate process puts the settings back as soon as this one is gone, however it
goes.
"""
import errno
import fcntl
import os
import re
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from runner import MIB, NOBODY, Copies, Tap, arguments, run

VM = "/proc/sys/vm/"
ROOM_KIB = 6 << 20      # above what is committed at the start
RESERVE_KIB = 5 << 20   # of that, out of reach for the test


def read(name):
    with open(VM + name, encoding="ascii") as file:
        return file.read().strip()


def write(name, value):
    with open(VM + name, "w", encoding="ascii") as file:
        file.write(str(value))


def committed_kib():
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("Committed_AS:"):
                return int(line.split()[1])
    raise RuntimeError("no Committed_AS in /proc/meminfo")


def restore(saved):
    write("overcommit_memory", saved["overcommit_memory"])
    # Writing one of these two sets the other to zero, so only the one in effect is written.
    if saved["overcommit_kbytes"] != "0":
        write("overcommit_kbytes", saved["overcommit_kbytes"])
    else:
        write("overcommit_ratio", saved["overcommit_ratio"])
    write("admin_reserve_kbytes", saved["admin_reserve_kbytes"])


def start_guardian(saved):
    """Forks a process that restores the settings when the returned descriptor is closed, or we have died."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid != 0:
        os.close(reader)
        return pid, writer
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.close(writer)
    # Whoever waits for the output of the test must not wait for this process.
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.read(reader, 1)
    restore(saved)
    os._exit(0)


def run_with_room(command, library):
    """Runs the program with ROOM_KIB left to commit. The limit is the whole machine's: when another process has taken the
    room before ours could start (execve says ENOMEM), the room is made anew."""
    for attempt in range(8):
        write("overcommit_kbytes", committed_kib() + ROOM_KIB)
        try:
            return run(command, library, user=NOBODY)
        except OSError as error:
            if error.errno != errno.ENOMEM or attempt == 7:
                raise
            time.sleep(0.5)
    raise AssertionError("not reached")


def test(args, tap):
    with Copies() as copies:
        program, library = copies.add(args.program), copies.add(args.library)
        for threads, cap_mib in ((1, 64), (16, 128)):
            command = [program, str(threads), str(cap_mib), str((ROOM_KIB << 10) + (1 << 30))]
            status, out, err = run_with_room(command, library)
            found = re.search(r"first_bytes=(\d+)", out)
            tap.case("%d threads, %d MiB" % (threads, cap_mib),
                     status == 0 and found is not None and int(found.group(1)) >= cap_mib * MIB,
                     "status %d\n%s%s" % (status, out, err))
        # More than there is: the load must meet a refusal.
        command = [program, "2", str((ROOM_KIB - RESERVE_KIB) // 1024 * 2)]
        status, out, err = run_with_room(command, library)
        tap.note(out.strip().splitlines()[0] if out.strip() else "no output")
        tap.case("until nothing is left", status == 0 and " refusals=0 " not in out,
                 "status %d\n%s%s" % (status, out, err))


def main():
    args = arguments("program")
    if os.geteuid() != 0 or not os.access(VM + "overcommit_memory", os.W_OK):
        print("1..0 # SKIP only root may set vm.overcommit_memory")
        return 0
    lock = open(os.path.join(tempfile.gettempdir(), "ebb-overcommit.lock"), "w", encoding="ascii")
    fcntl.flock(lock, fcntl.LOCK_EX)
    saved = {name: read(name) for name in ("overcommit_memory", "overcommit_kbytes", "overcommit_ratio",
                                           "admin_reserve_kbytes")}
    tap = Tap()
    guardian, leash = start_guardian(saved)
    try:
        write("overcommit_kbytes", committed_kib() + ROOM_KIB)
        write("admin_reserve_kbytes", RESERVE_KIB)
        write("overcommit_memory", 2)
        test(args, tap)
    finally:
        os.close(leash)
        os.waitpid(guardian, 0)
    now = {name: read(name) for name in saved}
    tap.case("the settings are as before", now == saved, "%s, %s" % (saved, now))
    return tap.finish()


sys.exit(main())
