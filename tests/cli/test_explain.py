# SPDX-License-Identifier: MIT
"""`ebb explain`: accounts of real servers sum up, and little is left unattributed."""

import json
import os
import re
import subprocess
import sys
import time

import database_servers
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


def check_within(rows):
    """No part is more than what it is part of, and none is below zero."""
    for row in rows:
        assert row["bytes"] is None or row["bytes"] >= 0, row
        for part in parts_of(rows, row):
            if part["kind"] != "beside" and row["bytes"] is not None and part["bytes"] is not None:
                assert part["bytes"] <= row["bytes"], (row, part)


def by_path(rows):
    return {row["path"]: row for row in rows}


def notes_of(told, key):
    return [note["text"] for note in told["notes"] if note["key"] == key]


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
        pool = {row["path"]: row for row in told["resident"]}["resident/pool/innodb/pool_data"]
        equal(pool["bytes"], int(server.ask("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_bytes_data'").split()[1]))
        pages = int(server.ask("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_total'").split()[1])
        resident = by_path(told["resident"])
        print(f"# the pool: {resident['resident/pool']['bytes'] >> 10} KiB resident, of which "
              + ", ".join(f"{path.rpartition('/')[2]} {row['bytes'] >> 10} KiB" for path, row in resident.items()
                          if path.startswith("resident/pool/")), flush=True)
        equal(resident["resident/pool/innodb/pool_descriptors"]["bytes"], (64 << 20) - pages * 16384)
        # A pool that was made whole has all its descriptors, and little else that has no data: a few pages were freed again.
        assert 0 <= resident["resident/pool/innodb/pool_rest"]["bytes"] < 4 << 20, resident
        silent = told_of(server.process.pid, "--no-sql")
        assert "live" not in silent and not any("pool_data" in row["path"] for row in silent["resident"]), silent
        refused = told_of(server.process.pid, "--sql", f"nobody:wrong@{server.socket}")
        assert any(note["text"].startswith("The server's own books are not known:") for note in refused["notes"]), refused["notes"]


@case
def postgres():
    with servers.postgres("-c", "shared_buffers=64MB") as (process, _):
        told = check_account("postgres", process.pid)
        assert any(row["path"] == "resident/shared" and row["bytes"] > 0 for row in told["resident"]), told["resident"]


def psql(folder, text):
    done = run(database_servers.need("psql", "postgresql-client"), "-X", "-h", folder, "-d", "postgres", "-Atc", text,
               **database_servers.AS_OTHER)
    equal((done.returncode, done.stderr), (0, ""))
    return [line.split("|") for line in done.stdout.splitlines()]


class Session:
    """A session of a PostgreSQL server that stays, with a backend of its own."""

    def __init__(self, folder):
        self.client = subprocess.Popen([database_servers.need("psql", "postgresql-client"), "-X", "-q", "-h", folder, "-d",
                                        "postgres", "-At"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                       **database_servers.AS_OTHER)

    def ask(self, text):
        self.client.stdin.write(text + ";\n")
        self.client.stdin.flush()
        return self.client.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.stdin.close()
        self.client.wait(30)
        self.client.stdout.close()


def smaps_sum(pids, size, key):
    """Over processes, what the mappings of that size have there, in bytes."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps", encoding="utf-8") as file:
                text = file.read()
        except OSError:
            continue
        for part in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", text, flags=re.M):
            found = dict(re.findall(r"^(\w+): +(\d+) kB$", part, re.M))
            if found and int(found["Size"]) << 10 == size and "/dev/zero" in part.split("\n", 1)[0]:
                total += int(found[key]) << 10
    return total


@case
def the_books_of_postgres():
    with database_servers.postgres("-c", "shared_buffers=48MB", "-c", "wal_buffers=2MB", "-c", "autovacuum=off",
                                   "-c", "huge_pages=off") as (process, folder), Session(folder) as session:
        # Less than a quarter of shared_buffers, or a scan would go round in a few of them.
        psql(folder, "CREATE TABLE loaded AS SELECT i, repeat('x', 500) FROM generate_series(1, 15000) i")
        contains(notes_of(told_of(process.pid), "buffers")[0], "CREATE EXTENSION pg_buffercache there gives them")
        psql(folder, "CREATE EXTENSION pg_buffercache")
        equal(session.ask("SELECT count(*) FROM loaded"), "15000")
        backend = int(session.ask("SELECT pg_backend_pid()"))
        setting = int(psql(folder, "SELECT setting::int8 * 8192 FROM pg_settings WHERE name = 'shared_buffers'")[0][0])
        loaded = int(psql(folder, "SELECT pg_relation_size('loaded')")[0][0])
        # From PostgreSQL 16 on there is a page more, to align them for direct I/O.
        aligned = 4096 if int(psql(folder, "SHOW server_version_num")[0][0]) >= 160000 else 0
        for pid in (process.pid, backend):
            told = told_of(pid)
            for key in ("resident", "shared"):
                check_sums(told[key])
            check_within(told["shared"])
            check_within([row for row in told["resident"] if row["path"].startswith("resident/shared")])
            rows = by_path(told["shared"])
            equal(rows["shared/shared_buffers"]["bytes"], setting + aligned)
            equal(rows["shared/shared_buffers"]["source"], "pg_shmem_allocations")
            equal(rows["shared/wal/wal_buffers"]["bytes"], 2 << 20)
            named = {name: int(size) for name, size in psql(
                folder, "SELECT COALESCE(name, '<unused>'), allocated_size FROM pg_shmem_allocations")}
            equal(rows["shared/other_names"]["bytes"] + sum(
                row["bytes"] for path, row in rows.items() if path.count("/") == 1 and path != "shared/other_names" and
                row["source"] == "pg_shmem_allocations"), sum(named.values()))
            assert 0 <= rows["shared"]["bytes"] - sum(named.values()) < 4096, (rows["shared"], sum(named.values()))
            equal(rows["shared/shared_buffers"]["bytes"], named["Buffer Blocks"])
            used, dirty = (8192 * int(text) for text in psql(
                folder, "SELECT count(relfilenode), count(*) FILTER (WHERE isdirty) FROM pg_buffercache")[0])
            assert abs(rows["shared/shared_buffers/used"]["bytes"] - used) <= 64 * 8192, (rows, used)
            assert abs(rows["shared/shared_buffers/used/dirty"]["bytes"] - dirty) <= 64 * 8192, (rows, dirty)
            assert used > loaded > 7 << 20, (used, loaded)
            here = by_path(told["resident"])
            whole = here["resident/shared/segment"]["bytes"]
            equal(whole, rows["resident_here"]["bytes"])
            buffers = here["resident/shared/segment/shared_buffers"]
            contains(buffers["source"], "pg_shmem_allocations")
            rest = here["resident/shared/segment/segment_rest"]
            print(f"# {'backend' if pid == backend else 'postmaster'}: {whole >> 10} KiB of {rows['shared']['bytes'] >> 10} KiB "
                  f"resident here, {buffers['bytes'] >> 10} KiB of that buffers, {rest['bytes'] >> 10} KiB without a name",
                  flush=True)
            if os.geteuid() == 0 and rows["in_memory"]["bytes"] is not None:
                family = [process.pid, *(int(row[0]) for row in psql(folder, "SELECT pid FROM pg_stat_activity"))]
                shares = smaps_sum(family, rows["shared"]["bytes"], "Pss")
                print(f"# in memory {rows['in_memory']['bytes'] >> 10} KiB, Pss of all {shares >> 10} KiB", flush=True)
                assert shares <= rows["in_memory"]["bytes"] + (256 << 10), (shares, rows)
                assert loaded < rows["in_memory"]["bytes"] <= rows["shared"]["bytes"], rows
            equal(len(notes_of(told, "backend")), 1 if pid == backend else 0)
        # The backend has read all of the table, and so has its pages.
        assert loaded <= buffers["bytes"] <= whole, (loaded, buffers, whole)
        contains(notes_of(told, "backend")[0], "idle")
        contains(notes_of(told, "contexts")[0], f"pg_log_backend_memory_contexts({backend})")
        equal(psql(folder, f"SELECT pg_log_backend_memory_contexts({backend})")[0][0], "t")
        contains(run(EBB, "explain", process.pid).stdout, "shared_buffers: Buffer Blocks")
        psql(folder, "CREATE ROLE plain LOGIN")
        silent = told_of(process.pid, "--no-sql")
        assert "shared" not in silent and not any("segment" in row["path"] for row in silent["resident"]), silent


@case
def postgres_without_the_privilege():
    port = database_servers.free_port()
    with database_servers.postgres("-c", "shared_buffers=16MB", "-c", "huge_pages=off", port=port) as (process, folder):
        done = run("psql", "-X", "-h", folder, "-p", port, "-d", "postgres", "-c", "CREATE ROLE plain LOGIN",
                   **database_servers.AS_OTHER)
        equal(done.returncode, 0)
        told = told_of(process.pid, "--sql", f"plain@127.0.0.1:{port}")
        contains(notes_of(told, "names")[0], "GRANT pg_read_all_stats gives it")
        check_sums(told["shared"])
        check_within(told["shared"])
        rows = by_path(told["shared"])
        equal((rows["shared/shared_buffers"]["bytes"], rows["shared/shared_buffers"]["source"]), (16 << 20, "pg_settings"))


@case
def redis():
    with servers.redis() as (process, _):
        told = check_account("redis-server", process.pid)
        notes = " ".join(note["text"] for note in told["notes"])
        contains(notes, "malloc is served by ")


def redis_ask(folder, *words):
    done = run(database_servers.need("redis-cli", "redis-tools"), "-s", folder + "/r.sock", *words)
    equal(done.returncode, 0)
    return done.stdout


def fill_redis(folder, prefix, count, bytes_each):
    script = f"for i = 1, {count} do redis.call('SET', '{prefix}' .. i, string.rep('x', {bytes_each})) end return 'OK'"
    equal(redis_ask(folder, "EVAL", script, "0"), "OK\n")


def redis_books(process, folder):
    """One look, and what the server said right behind it; rows are within their whole, or it is said that they are not."""
    told = told_of(process.pid)
    said = dict(line.split(":", 1) for line in redis_ask(folder, "INFO").splitlines() if ":" in line)
    check_redis(told, ("resident", "live"))
    return told, said


def check_redis(told, keys):
    for key in keys:
        check_sums(told[key])
        unfit = [row for row in told[key] if row["kind"] == "rest" and row["bytes"] is None]
        if unfit:
            assert notes_of(told, "moments"), (unfit, told["notes"])
        else:
            check_within(told[key])


@case
def the_books_of_redis():
    database_servers.need("redis-cli", "redis-tools")
    folder = database_servers.new_folder()
    with database_servers.redis("--port", "0", folder=folder) as process:
        fill_redis(folder, "k", 300000, 120)
        time.sleep(0.3)  # what the server asks of its allocator, it asks ten times a second
        check_account("redis-server with data", process.pid)
        told, said = redis_books(process, folder)
        rows = by_path(told["live"])
        used = int(said["used_memory"])
        print("# " + ", ".join(f"{path} {row['bytes'] and row['bytes'] >> 10} KiB" for path, row in rows.items()), flush=True)
        assert abs(rows["live/used_memory"]["bytes"] - used) <= used // 50 + (1 << 20), (rows, used)
        equal(rows["live/used_memory"]["source"], "INFO memory")
        dataset, overhead = (rows[f"live/used_memory/{key}"]["bytes"] for key in ("dataset", "overhead"))
        equal(dataset + overhead, rows["live/used_memory"]["bytes"])
        assert dataset > 300000 * 120, rows
        # A bucket for each key, 8 bytes, and an entry of 24.
        assert rows["live/used_memory/overhead/hashtables"]["bytes"] >= 300000 * 24, rows
        equal(rows["live/used_memory/overhead/hashtables"]["source"], "MEMORY STATS")
        assert rows["live/used_memory/overhead/startup"]["bytes"] == int(said["used_memory_startup"]), rows
        if said["mem_allocator"].startswith("jemalloc"):
            allocated = int(said["allocator_allocated"])
            assert abs(rows["live"]["bytes"] - allocated) <= allocated // 50 + (1 << 20), (rows, allocated)
            equal(rows["live"]["source"], "INFO memory, from jemalloc")
            contains(notes_of(told, "heap")[0], "The heap was not walked")
            heap = by_path(told["resident"])
            print("# " + ", ".join(f"{path} {row['bytes'] and row['bytes'] >> 10} KiB" for path, row in heap.items()
                                   if path.startswith("resident/heap") or path == "resident"), flush=True)
            live = next(row for path, row in heap.items() if path.startswith("resident/heap/") and path.endswith("/live"))
            equal(live["bytes"], rows["live"]["bytes"])
            # jemalloc counts its pages as resident, touched or not; the kernel sees the same mappings.
            most = int(said["allocator_resident"])
            assert 0.9 * most <= heap["resident/heap"]["bytes"] <= 1.02 * most + (1 << 20), (most, heap)
            contains(notes_of(told, "heap")[0], "takes")
        # Of a server that gives back most of what it had, much is free.
        script = "for i = 1, 300000 do if i % 8 ~= 0 then redis.call('DEL', 'k' .. i) end end return 'OK'"
        equal(redis_ask(folder, "EVAL", script, "0"), "OK\n")
        time.sleep(0.3)
        told, said = redis_books(process, folder)
        assert by_path(told["live"])["live/used_memory"]["bytes"] < used // 2, told["live"]
        # Who may not ask for it is told so, and the rest stays.
        equal(redis_ask(folder, "ACL", "SETUSER", "default", "-memory"), "OK\n")
        told, _ = redis_books(process, folder)
        rows = by_path(told["live"])
        assert "live/used_memory/overhead/hashtables" not in rows and "live/used_memory/overhead" in rows, rows
        contains(notes_of(told, "stats")[0], "Tables of keys are in other overhead: NOPERM")


@case
def redis_that_grows_while_it_is_asked():
    database_servers.need("redis-cli", "redis-tools")
    folder = database_servers.new_folder()
    with database_servers.redis("--port", "0", folder=folder) as process:
        script = "for i = 1, 2000 do redis.call('SET', ARGV[1] .. i, string.rep('x', 2000)) end"
        load = subprocess.Popen([sys.executable, "-c", f'''
import socket
s = socket.socket(socket.AF_UNIX)
s.connect({folder + "/r.sock"!r})
for i in range(60):
    words = ["EVAL", {script!r}, "0", str(i) + ":"]
    s.sendall(("*%d\\r\\n" % len(words) + "".join("$%d\\r\\n%s\\r\\n" % (len(w), w) for w in words)).encode())
    s.recv(100)
'''])
        unfit = answered = 0
        try:
            while load.poll() is None:
                told = told_of(process.pid)
                # A script that runs for longer than the books wait leaves them unread, which a note tells.
                assert "live" in told or told["notes"], told
                check_redis(told, [key for key in ("resident", "live") if key in told])
                answered += "live" in told
                unfit += bool(notes_of(told, "moments"))
        finally:
            load.wait()
        assert answered > 0
        print(f"# {answered} looks with the server's books, {unfit} said that figures of two moments do not fit", flush=True)


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
