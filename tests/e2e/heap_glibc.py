# SPDX-License-Identifier: MIT
"""`ebb heap` on MariaDB on glibc's malloc: while 64 threads of sysbench load it, and what malloc_trim(0) returns after that.

EBB_E2E_SECONDS sets the length of the load (default 8).
"""

import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "preload"))
# pylint: disable=wrong-import-position
from mariadb_server import DATABASE, Server  # noqa: E402
from real import Skip, run_test  # noqa: E402

SECONDS = int(os.environ.get("EBB_E2E_SECONDS", "8"))
TABLES, ROWS, THREADS = 4, 5000, 64
TOLERANCE_PERCENT = 5
# A peak as reports make it: sorts and wide groups, by some connections at once.
REPORT = ("SET SESSION group_concat_max_len = 16000000; SELECT LENGTH(GROUP_CONCAT(a.c, a.pad ORDER BY a.c)), "
          "COUNT(DISTINCT a.pad, b.c) FROM sbtest1 a JOIN sbtest2 b ON a.id % 500 = b.id % 500 WHERE b.id <= 1000")
REPORTS = 8


def heap(pid):
    done = subprocess.run([os.environ["EBB_TOOL"], "heap", "--json", str(pid)], capture_output=True, text=True, timeout=60,
                          check=False)
    if done.returncode != 0 and "is on glibc" in done.stderr:
        raise Skip(done.stderr.strip())
    if done.returncode != 0 or done.stderr:
        raise RuntimeError(f"ebb heap: {done.returncode}, {done.stderr}")
    return json.loads(done.stdout)


def anon_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(re.search(r"^RssAnon:\s+(\d+) kB", file.read(), re.M).group(1)) * 1024


def ramp(test, server, pid):
    """Loads the server, looking at its heap all the time."""
    load = subprocess.Popen(
        [test.need("sysbench", "sysbench"), "oltp_read_write", f"--mysql-socket={server.socket}", "--mysql-user=root",
         f"--mysql-db={DATABASE}", f"--tables={TABLES}", f"--table-size={ROWS}", f"--threads={THREADS}", f"--time={SECONDS}",
         "--db-driver=mysql", "--mysql-ignore-errors=1213,1205,1020", "run"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env=test.environment(False))
    looks = []
    try:
        while load.poll() is None:
            looks.append(heap(pid))
            time.sleep(0.5)
        said = load.communicate()[0]
    finally:
        load.kill()
        load.wait()
    done = re.search(r"transactions:\s+(\d+)", said)
    test.check(load.returncode == 0 and done and int(done.group(1)) > 0,
               f"{THREADS} threads for {SECONDS} s: {done.group(1) if done else 'no'} transactions", said[-1500:])
    whole = sum(look["summary"]["arenas_unknown"] == 0 for look in looks)
    test.note(f"{len(looks)} looks under load, {whole} of them with every arena known; "
              f"the longest took {max(look['summary']['look_ms'] for look in looks)} ms")
    test.check(all(arena["live_bytes"] is None or
                   arena["live_bytes"] + arena["fast_bytes"] + arena["bin_bytes"] + arena["top_bytes"] == arena["system_bytes"]
                   for look in looks for arena in look["arenas"]), "each arena adds up, or is not known, under load")
    test.check(whole > 0, "there are moments under load at which every arena is known")


def reports(server):
    clients = [subprocess.Popen(["mariadb", "--no-defaults", f"--socket={server.socket}", "-u", "root", "-N", "-B", "-D", DATABASE,
                                 "-e", REPORT], stdout=subprocess.DEVNULL) for _ in range(REPORTS)]
    for client in clients:
        client.wait(120)


def trim(test, pid):
    """Predicts, has the server trim, and compares."""
    report = heap(pid)
    before = anon_bytes(pid)
    done = subprocess.run(["gdb", "-nx", "-batch", "-p", str(pid), "-ex", "call (int) malloc_trim(0)"], capture_output=True,
                          text=True, timeout=120, check=False, env={**test.environment(False), "DEBUGINFOD_URLS": ""})
    if re.search(r"ptrace: |Could not attach|Operation not permitted", done.stderr):
        raise Skip("gdb may not attach here: " + done.stderr.strip().splitlines()[-1])
    real = before - anon_bytes(pid)
    predicted = report["trim"]["total_bytes"]
    test.check(re.search(r"^\$1 = 1$", done.stdout, re.M), "malloc_trim(0) returned something",
               done.stdout[-500:] + done.stderr[-500:])
    test.note(f"{report['summary']['arenas']} arenas with {report['summary']['system_bytes'] >> 20} MiB, "
              f"{report['summary']['free_bytes'] >> 20} MiB of them free; predicted {predicted >> 10} KiB, real {real >> 10} KiB")
    test.check(abs(predicted - real) <= real * TOLERANCE_PERCENT / 100, f"predicted within {TOLERANCE_PERCENT} % of what came back",
               f"{predicted} and {real}")
    left = heap(pid)["trim"]["total_bytes"]
    test.check(left <= predicted / 10, f"then there is little left to trim: {left >> 10} KiB")


def body(test):
    for program, package in (("mariadbd", "mariadb-server-core"), ("mariadb-install-db", "mariadb-server-core"),
                             ("mariadb", "mariadb-client-core"), ("sysbench", "sysbench"), ("gdb", "gdb")):
        test.need(program, package)
    user = test.user_for("mysql", "nobody")
    server = Server(test, user, "glibc")
    server.create()
    server.start(False)
    pid = server.process.pid
    heap(pid)
    made = server.sysbench("prepare", TABLES, ROWS)
    test.check(made.status == 0, "sysbench prepares its tables", made.stdout[-1500:].decode(errors="replace"))
    ramp(test, server, pid)
    reports(server)
    time.sleep(1)  # connections close
    trim(test, pid)
    test.check_equal(server.ask("SELECT 1"), "1", "the server answers after that")
    test.check_equal(server.end(), 0, "and ends well")


run_test(body)
