# SPDX-License-Identifier: MIT
"""`ebb explain`: accounts of real servers sum up, and little is left unattributed."""

import json
import os
import subprocess
import sys
import time

import memory_cgroup
import processes
import servers
from tap import Skip, case, contains, equal, main, run

EBB = os.environ["EBB_TOOL"]
LIBRARY = os.environ["EBB_TEST_LIBRARY"]


def told_of(target, *options):
    done = run(EBB, "explain", "--json", *options, target)
    equal((done.returncode, done.stderr), (0, ""))
    return json.loads(done.stdout)


def depth(row):
    return row["path"].count("/")


def parts_of(rows, whole):
    return [row for row in rows if row["path"].rpartition("/")[0] == whole["path"]]


def check_sums(rows):
    """Each row that has parts is their sum, and only one of them is a difference."""
    wholes = 0
    for row in rows:
        parts = parts_of(rows, row)
        if not parts:
            continue
        wholes += 1
        equal([part["kind"] for part in parts], ["part"] * (len(parts) - 1) + ["rest"])
        if row["bytes"] is not None and all(part["bytes"] is not None for part in parts):
            equal(sum(part["bytes"] for part in parts), row["bytes"])
    assert wholes > 0, rows


def rest_of(told):
    """The share of resident memory that is unattributed, in percent."""
    rows = {row["path"]: row for row in told["resident"]}
    return 100 * rows["resident/unattributed"]["bytes"] / rows["resident"]["bytes"]


def check_account(what, pid):
    """Two looks at a process that goes on: the better one counts, since pages come and go between two files."""
    best = None
    for _ in range(5):
        told = told_of(pid)
        check_sums(told["resident"])
        best = told if best is None or abs(rest_of(told)) < abs(rest_of(best)) else best
        if abs(rest_of(best)) < 1:
            break
    total = best["resident"][0]["bytes"]
    print(f"# {what}: {total >> 10} KiB resident, {rest_of(best):.2f} % unattributed", flush=True)
    assert abs(rest_of(best)) <= 3, best["resident"]
    return best


@case
def python():
    with processes.worker("one", "two") as child:
        told = check_account("python3", child.pid)
        rows = {row["path"]: row for row in told["resident"]}
        assert rows["resident/shared"]["bytes"] >= 6 << 20, rows
        equal(rows["resident"]["source"], "/proc/PID/status")


@case
def mariadb_idle_under_load_and_after_it():
    with servers.MariaDB().running("--innodb-buffer-pool-size=100M", "--max-connections=200") as server:
        check_account("mariadbd, idle", server.process.pid)
        server.ask("CREATE DATABASE sbtest")
        server.sysbench("prepare", "--table-size=100000")
        load = subprocess.Popen(["sysbench", "oltp_point_select", f"--mysql-socket={server.socket}", "--mysql-user=root",
                                 "--tables=1", "--table-size=100000", "--threads=32", "--time=6", "run"],
                                stdout=subprocess.DEVNULL)
        try:
            time.sleep(3)
            told = check_account("mariadbd, under load", server.process.pid)
        finally:
            load.wait()
        rows = {row["path"]: row for row in told["resident"]}
        assert rows["resident/pool"]["bytes"] > 8 << 20, rows
        assert rows["resident/stacks"]["bytes"] > 32 * 4096, rows
        told = check_account("mariadbd, after it", server.process.pid)
        rows = {row["path"]: row for row in told["resident"]}
        heap = rows["resident/heap/arenas"]["bytes"]
        parts = sum(rows.get(f"resident/heap/arenas/{key}", {"bytes": 0})["bytes"]
                    for key in ("live", "cached", "free", "tops", "fragments"))
        # What the lists of arenas say is what is resident in them, but for what was never touched.
        print(f"# its arenas: {heap >> 10} KiB resident, {parts >> 10} KiB by their lists", flush=True)
        assert 0.9 * heap <= parts <= 1.25 * heap, rows


@case
def the_servers_own_books():
    with servers.MariaDB("books").running("--innodb-buffer-pool-size=64M", "--performance-schema=ON",
                                          "--performance-schema-instrument=memory/%=ON") as server:
        user = [] if os.geteuid() == 0 else ["--sql", f"root@{server.socket}"]
        told = told_of(server.process.pid, *user)
        check_sums(told["resident"])
        if "live" not in told:
            raise Skip("the heap of this C library is not known here: " + str(told["notes"]))
        check_sums(told["live"])
        rows = {row["path"]: row for row in told["live"]}
        named = sum(row["bytes"] for row in told["live"] if row["source"] == "performance_schema")
        asked = int(server.ask("SELECT SUM(current_number_of_bytes_used) FROM performance_schema."
                               "memory_summary_global_by_event_name WHERE event_name <> 'memory/innodb/buf_buf_pool'"))
        print(f"# live {rows['live']['bytes'] >> 10} KiB, by name {named >> 10} KiB, the client says {asked >> 10} KiB", flush=True)
        assert abs(named - asked) < asked // 20, (named, asked)
        assert 0.5 * rows["live"]["bytes"] < named < 1.05 * rows["live"]["bytes"], rows
        pool = {row["path"]: row for row in told["resident"]}["resident/pool/pool_data"]
        equal(pool["bytes"], int(server.ask("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_bytes_data'").split()[1]))
        silent = told_of(server.process.pid, "--no-sql")
        assert "live" not in silent and not any("pool_data" in row["path"] for row in silent["resident"]), silent
        refused = told_of(server.process.pid, "--sql", f"nobody:wrong@{server.socket}")
        assert any(note["text"].startswith("The server's own books are not known:") for note in refused["notes"]), refused["notes"]


@case
def postgres():
    with servers.postgres("-c", "shared_buffers=64MB") as (process, _):
        told = check_account("postgres", process.pid)
        assert any(row["path"] == "resident/shared" and row["bytes"] > 0 for row in told["resident"]), told["resident"]


@case
def redis():
    with servers.redis() as (process, _):
        told = check_account("redis-server", process.pid)
        notes = " ".join(note["text"] for note in told["notes"])
        contains(notes, "malloc is served by ")


@case
def a_process_on_ebb():
    code = ("import time; keep = [bytes(1000) for _ in range(40000)]; gone = [bytes(700) for _ in range(40000)]; del gone[::2]; "
            "print('ready', flush=True); time.sleep(300)")
    with processes.started(sys.executable, "-S", "-c", code,
                           env={**os.environ, "LD_PRELOAD": LIBRARY, "PYTHONMALLOC": "malloc", "EBB_MALLOC": "bg:1"}) as child:
        for _ in range(50):
            told = told_of(child.pid)
            rows = {row["path"]: row for row in told["resident"]}
            if "resident/heap/live" in rows:
                break
            time.sleep(0.1)
        check_account("python3 on ebb", child.pid)
        equal(rows["resident/heap"]["name"], "heap of ebb")
        equal(rows["resident/heap/live"]["source"], "the stats page")
        assert rows["resident/heap/live"]["bytes"] > 40 << 20, rows


@case
def the_cgroup_of_a_process():
    if os.geteuid() != 0:
        raise Skip("only root can make memory cgroups")
    group = memory_cgroup.Group("explain-tree", 96 << 20)
    hogs = []
    try:
        hogs = [memory_cgroup.Hog(group, 0) for _ in range(7)]
        for i, hog in enumerate(hogs):
            assert hog.take((i + 1) << 10)
        told = told_of(hogs[0].pid)
        check_sums(told["usage"])
        rows = {row["path"]: row for row in told["usage"]}
        largest = rows[f"usage/anon/pid_{hogs[6].pid}"]
        assert 7 << 20 <= largest["bytes"] <= 8 << 20, largest
        assert "usage/anon/more_processes" in rows and f"usage/anon/pid_{hogs[0].pid}" not in rows, rows
        assert rows["usage"]["bytes"] >= 28 << 20, rows
    finally:
        for hog in hogs:
            hog.end()
        group.end()


@case
def who_may_not_look_is_told():
    if os.geteuid() != 0:
        raise Skip("only root can become somebody else")
    with processes.worker() as child:
        done = run(EBB, "explain", child.pid, user="nobody")
        equal((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1))
        contains(done.stderr, "it belongs to root; try: sudo ebb explain")


@case
def formats_and_levels():
    with processes.worker() as child:
        two = told_of(child.pid, "--levels", "2")
        assert {depth(row) for row in two["resident"]} == {0, 1}, two
        for name in ("human", "jsonl", "csv", "openmetrics"):
            done = run(EBB, "explain", "--format", name, child.pid)
            equal((done.returncode, done.stderr), (0, ""))
        human = run(EBB, "explain", child.pid).stdout
        contains(human, "resident memory")
        contains(human, "unattributed")


@case
def usage():
    for arguments, status in (((), 2), (("1", "2"), 2), (("--levels", "0", "1"), 2), (("no such process",), 42),
                              (("--root", "/nowhere", "1"), 1), (("--bogus", "1"), 2), (("--no-sql", "--sql", "/x", "1"), 2),
                              (("--sql", "a name:1", "1"), 2)):
        done = run(EBB, "explain", *arguments)
        equal((done.returncode, done.stdout, done.stderr.count("\n")), (status, "", 1))


if __name__ == "__main__":
    sys.exit(main())
