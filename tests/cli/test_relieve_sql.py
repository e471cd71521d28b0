# SPDX-License-Identifier: MIT
"""`ebb relieve` through a server's own SQL, on a real MariaDB: its buffer pool made smaller, its tables closed, and refusals."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import memory_cgroup
import tap
from database_servers import MariaDB, new_folder, redis
from processes import started
from server_books import SLACK_S, SOURCE, hold
from tap import case, contains, equal, run, wait_for

EBB = os.environ["EBB_TOOL"]
MIB = 1 << 20
_MARIADB = []

# Data of tests need not survive the host.
CARELESS = ("--skip-networking", "--innodb-flush-method=nosync", "--innodb-doublewrite=0",
            "--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=256M")
POOL = (*CARELESS, "--innodb-buffer-pool-size=512M")
# Four rows a page: somewhat more than 512 MiB hold.
ROWS = 136000


def mariadb():
    """One data directory for all cases."""
    if not _MARIADB:
        _MARIADB.append(MariaDB())
        with _MARIADB[0].start(*CARELESS):
            _MARIADB[0].accounts()
            _MARIADB[0].ask("CREATE DATABASE d; CREATE OR REPLACE USER flusher@localhost IDENTIFIED BY 'flush'; "
                            "GRANT RELOAD, PROCESS ON *.* TO flusher@localhost; "
                            "CREATE OR REPLACE USER setter@localhost IDENTIFIED BY 'set'; "
                            "GRANT SUPER, PROCESS ON *.* TO setter@localhost; "
                            "CREATE ROLE admins; GRANT SUPER, RELOAD ON *.* TO admins; "
                            "CREATE OR REPLACE USER member@localhost IDENTIFIED BY 'role'; GRANT admins TO member@localhost; "
                            "SET DEFAULT ROLE admins FOR member@localhost")
    return _MARIADB[0]


def relieve(*arguments, status=0):
    done = run(EBB, "relieve", "--json", *arguments, timeout=120)
    equal((done.returncode, done.stderr), (status, ""))
    told = json.loads(done.stdout)
    told["actions"] = {row["action"]: row for row in told["actions"]}
    told["results"] = {(row["action"], row["of"]): row for row in told.get("results", [])}
    return told


def pool_of(server):
    return int(server.ask("SELECT @@innodb_buffer_pool_size")[0][0])


def open_tables(server):
    return int(server.ask("SHOW GLOBAL STATUS LIKE 'Open_tables'")[0][1])


def rss(process):
    return memory_cgroup.field(f"/proc/{process.pid}/status", "VmRSS") << 10


def fill(server):
    """Fills the pool with the pages of a table, which is made once."""
    done = subprocess.run(["mariadb", "--no-defaults", f"--socket={server.socket}", "-u", "root", "-N", "-B", "d", "-e",
                           "CREATE TABLE IF NOT EXISTS filled (a INT PRIMARY KEY, b VARCHAR(4000), c INT) CHARACTER SET latin1; "
                           f"INSERT INTO filled SELECT seq, REPEAT('x', 3900), 0 FROM seq_1_to_{ROWS} "
                           "WHERE NOT EXISTS (SELECT 1 FROM filled); SELECT COUNT(*), SUM(LENGTH(b)) FROM filled"],
                          capture_output=True, text=True, timeout=250, check=False)
    equal((done.returncode, done.stderr, done.stdout.split()), (0, "", [str(ROWS), str(ROWS * 3900)]))


def pool_resident(process):
    """Of the mapping in front of the longest one that may not be accessed, which is the rest of the pool's reservation."""
    before, sizes = None, {}
    with open(f"/proc/{process.pid}/smaps", encoding="utf-8") as file:
        for line in file:
            head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (....)", line)
            if head:
                start, end = (int(text, 16) for text in head.groups()[:2])
                closed = head[3] == "---p"
                if closed and before is not None:
                    sizes[before][0] += end - start
                elif not closed:
                    sizes[start], before = [0, 0], start
            elif line.startswith("Rss:") and not closed:
                sizes[before][1] = int(line.split()[1]) << 10
    return max(sizes.values())[1]


# What a process gains differs from what its pool does by what the server itself takes or frees meanwhile: hash tables for fewer
# pages, the stacks and arenas of threads that begin to work.
OTHER_BYTES = 16 * MIB
# Pages of the pool itself are predicted one by one; some move while the server works.
MOVED_BYTES = 2 * MIB


def shrink(process, size):
    """Makes the pool smaller, and compares what was predicted with what came of it."""
    before = pool_resident(process)
    told = relieve("--yes", "--only", "pool", "--pool", size, "--wait", "2s", process.pid)
    result = told["results"]["pool", "rss"]
    own = before - pool_resident(process)
    print(f"# predicted {result['predicted_bytes'] / MIB:.1f} MiB, the pool gave {own / MIB:.1f} MiB, the process "
          f"{result['gained_bytes'] / MIB:.1f} MiB, at the end {told['results']['all', 'rss']['gained_bytes'] / MIB:.1f} MiB: "
          f"{result['said']}", flush=True)
    assert abs(own - result["predicted_bytes"]) <= MOVED_BYTES, result
    assert abs(result["gained_bytes"] - result["predicted_bytes"]) <= OTHER_BYTES, result
    assert abs(told["results"]["all", "rss"]["gained_bytes"] - result["predicted_bytes"]) <= OTHER_BYTES, told
    return result


@contextlib.contextmanager
def session(server, text):
    """A client that says this, and then sleeps in the server until the end."""
    client = subprocess.Popen(["mariadb", "--no-defaults", f"--socket={server.socket}", "-u", "root", "d", "-e",
                               text + "; SELECT SLEEP(300) AS done"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for("the session", lambda: server.ask("SELECT COUNT(*) FROM information_schema.PROCESSLIST "
                                                   "WHERE INFO LIKE 'SELECT SLEEP(300)%'") == [["1"]], 120)
        yield client
    finally:
        for number in server.ask("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = 'd'"):
            server.client(f"KILL {number[0]}")
        client.kill()
        client.wait()


# ---- the pool --------------------------------------------------------------------------------------------------


@case
def a_full_pool_of_512_mib_becomes_128():
    server = mariadb()
    with server.start(*POOL) as process:
        fill(server)
        row = relieve("--only", "pool", process.pid, status=1)["actions"]["pool"]
        equal((row["chosen"], row["predicted_bytes"]), (False, None))
        contains(row["how"], "only when asked for")
        contains(row["how"], "not more than its data and a reserve need")
        told = relieve("--only", "pool", "--pool", "128M", process.pid)
        row = told["actions"]["pool"]
        equal((row["chosen"], row["of"], told["results"]), (True, "rss", {}))
        contains(row["how"], "SET GLOBAL innodb_buffer_pool_size = 134217728 (128.0 MiB), of 512.0 MiB now")
        contains(json.dumps(told["notes"]), "Nothing was done")
        # All of the pool is resident but the stock of free pages that were never needed, and three quarters go.
        assert 352 * MIB <= row["predicted_bytes"] <= 384 * MIB, row
        equal(pool_of(server), 512 * MIB)
        before = rss(process)
        result = shrink(process, "128M")
        contains(result["said"], "the server says: 128.0 MiB now, after ")
        equal(pool_of(server), 128 * MIB)
        assert before - rss(process) >= 336 * MIB
        # Nothing is lost: it is read again.
        fill(server)


@case
def what_a_pool_does_not_need_is_suggested():
    server = mariadb()
    with server.start(*POOL) as process:
        row = relieve("--only", "pool", process.pid, status=1)["actions"]["pool"]
        contains(row["how"], "--pool 128M, of 512.0 MiB now, has room for all that it holds")
        # What was never touched cannot be had back.
        assert row["predicted_bytes"] <= 8 * MIB, row


@case
def free_pages_that_are_resident_are_suggested():
    server = mariadb()
    with server.start(*POOL) as process:
        fill(server)
        server.ask("SET GLOBAL innodb_lru_scan_depth = 16000")

        def has_free():
            server.ask("SELECT COUNT(*) FROM d.filled WHERE a < 1000 AND b <> ''")
            return int(server.ask("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_free'")[0][1]) > 15000
        wait_for("free pages", has_free)
        row = relieve("--only", "pool", process.pid, status=1)["actions"]["pool"]
        print(f"# {row['how']}: {row['predicted_bytes'] / MIB:.1f} MiB", flush=True)
        size = re.search("--pool ([0-9]+M), of 512.0 MiB now, has room for all that it holds", row["how"])[1]
        assert row["predicted_bytes"] > 150 * MIB, row
        shrink(process, size)


@case
def a_pool_that_has_grown_since_its_start():
    server = mariadb()
    with server.start(*CARELESS, "--innodb-buffer-pool-size=128M") as process:
        server.ask("SET GLOBAL innodb_buffer_pool_size = 512 * 1024 * 1024")
        fill(server)
        assert shrink(process, "200000K")["gained_bytes"] > 256 * MIB
        # Rounded to whole MiB, as the server would.
        equal(pool_of(server), 196 * MIB)


@case
def sizes_that_are_no_relief():
    server = mariadb()
    with server.start(*CARELESS, "--innodb-buffer-pool-size=64M") as process:
        for size, why in (("64M", "64.0 MiB is not less than its pool has, 64.0 MiB"), ("1G", "is not less than"),
                          ("65100K", "which the server makes 64.0 MiB is not less"),
                          ("5M", "5.0 MiB is less than the server takes: 6.0 MiB"), ("1", "is less than the server takes")):
            row = relieve("--yes", "--only", "pool", "--pool", size, process.pid, status=1)["actions"]["pool"]
            equal((row["chosen"], row["predicted_bytes"]), (False, None))
            contains(row["how"], why)
        # What was asked for and cannot be is no success, whatever else was shown.
        equal(run(EBB, "relieve", "--pool", "1G", process.pid).returncode, 1)
        equal(pool_of(server), 64 * MIB)


# A disk that takes 20 ms for each page, while a file is there.
SLOW_DISK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void wait_for_disk(size_t bytes)
{
    if (bytes >= 4096 && access(getenv("EBB_TEST_SLOW"), F_OK) == 0)
        usleep(20000);
}

ssize_t pwrite(int fd, const void *from, size_t bytes, off_t at)
{
    ssize_t (*next)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");

    wait_for_disk(bytes);
    return next(fd, from, bytes, at);
}

ssize_t pwrite64(int fd, const void *from, size_t bytes, off64_t at)
{
    ssize_t (*next)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");

    wait_for_disk(bytes);
    return next(fd, from, bytes, at);
}
"""


@contextlib.contextmanager
def slow_disk():
    """A server whose pool is full of pages that must be written before they can go, to a slow disk, and its process."""
    server = mariadb()
    library = tap.compile_c("slow_disk.so", SLOW_DISK, "-shared", "-fPIC", "-ldl")
    flag = os.path.join(new_folder(), "slow")
    os.environ.update(LD_PRELOAD=library, EBB_TEST_SLOW=flag)
    with contextlib.ExitStack() as stack:
        try:
            process = stack.enter_context(server.start(*POOL, "--innodb-max-dirty-pages-pct=99", "--innodb-fast-shutdown=2",
                                                       "--innodb-use-native-aio=0"))
        finally:
            del os.environ["LD_PRELOAD"]
        fill(server)
        server.ask("UPDATE d.filled SET c = c + 1 WHERE a % 4 = 0")
        with open(flag, "w", encoding="utf-8"):
            pass
        try:
            yield server, process
        finally:
            os.unlink(flag)


@case
def a_resize_that_does_not_end_in_time():
    with slow_disk() as (server, process):
        near, far = os.openpty()
        start = time.monotonic()
        with subprocess.Popen([EBB, "relieve", "--yes", "--only", "pool", "--pool", "128M", "--pool-wait", "4s", "--wait", "1s",
                               str(process.pid)], stdout=subprocess.PIPE, stderr=far, text=True) as child:
            os.close(far)
            wait_for("the resize", lambda: server.ask("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_resize_status'")[0][1:]
                     not in ([], [""]))
            row = relieve("--yes", "--only", "pool", "--pool", "16M", process.pid, status=1)["actions"]["pool"]
            equal(row["chosen"], False)
            contains(row["how"], "a resize of its pool is in progress: Withdrawing blocks")
            said = child.stdout.read()
        took_s = time.monotonic() - start
        equal(child.returncode, 1)
        print(f"# after {took_s:.1f} s: " + [line for line in said.splitlines() if "given up" in line][0], flush=True)
        contains(said, "the server has given up at the time limit: ")
        # A step that has begun, which waits for pages to be written, it ends.
        assert 4 <= took_s < 4 + 16 + 1 + SLACK_S, took_s
        # Who sits at a terminal sees how it goes on.
        lines = os.read(near, 1 << 16).decode().splitlines()
        os.close(near)
        print("# " + " / ".join(lines), flush=True)
        assert any(line.startswith("ebb relieve: pool: 2 s: Withdrawing blocks") for line in lines), lines
        equal(pool_of(server), 512 * MIB)
        # A server that does not even answer is left alone in the end.
        with subprocess.Popen([EBB, "relieve", "--yes", "--only", "pool", "--pool", "128M", "--pool-wait", "1s", "--wait", "1s",
                               str(process.pid)], stdout=subprocess.PIPE, text=True) as child:
            wait_for("the resize", lambda: server.ask("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_resize_status'")[0][1:]
                     not in ([], [""]))
            hold(process)
            start = time.monotonic()
            said = child.stdout.read()
            took_s = time.monotonic() - start
            process.send_signal(signal.SIGCONT)
        equal(child.returncode, 1)
        contains(said, "the server did not give up at the time limit, and may go on")
        assert took_s < 1 + 16 + 1 + 3 * 2 + SLACK_S, took_s
        wait_for("the end of the resize", lambda: server.ask("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_resize_status'")[0][1:]
                 in ([], [""]))
        # It gave up itself, as it was told, or was through just then.
        assert pool_of(server) in (512 * MIB, 128 * MIB)
    with server.start(*POOL):
        equal(server.ask("SELECT COUNT(*) FROM d.filled"), [[str(ROWS)]])


# ---- tables ----------------------------------------------------------------------------------------------------


def make_tables(server, count):
    server.ask("; ".join(f"CREATE TABLE IF NOT EXISTS d.t{i} (a INT PRIMARY KEY, b VARCHAR(50), KEY (b))" for i in range(count)))
    server.ask("; ".join(f"INSERT IGNORE INTO d.t{i} VALUES (1, 'one')" for i in range(count)))


@case
def tables_are_closed():
    server = mariadb()
    with server.start(*CARELESS, "--performance-schema=ON", "--performance-schema-instrument=memory/%=ON") as process:
        make_tables(server, 200)
        row = relieve("--only", "flush", process.pid, status=1)["actions"]["flush"]
        equal((row["chosen"], row["of"]), (False, "heap"))
        contains(row["how"], "only when asked for: --flush; ")
        relieve("--only", "flush", "--flush", process.pid)
        assert open_tables(server) >= 200
        told = relieve("--yes", "--only", "flush", "--flush", "--wait", "1s", process.pid)
        result = told["results"]["flush", "heap"]
        print(f"# predicted {result['predicted_bytes'] >> 10} KiB, gained {result['gained_bytes'] >> 10} KiB, resident "
              f"{told['results']['flush', 'rss']['gained_bytes'] >> 10} KiB: {result['said']}", flush=True)
        assert open_tables(server) < 100
        contains(result["said"], "tables open, ")
        contains(json.dumps(told["notes"]), "Hazard: the next query of each table opens it again")
        # Some tables of the server's own stay open, or are opened again by our own looking.
        assert result["gained_bytes"] <= result["predicted_bytes"] and \
            result["predicted_bytes"] - result["gained_bytes"] < result["predicted_bytes"] // 4, result
        contains(told["results"]["flush", "rss"]["unknown"]["predicted_bytes"], "only the allocator knows")
        equal(server.ask("SELECT b FROM d.t7"), [["one"]])


@case
def what_closing_brings_only_the_server_knows():
    server = mariadb()
    with server.start(*CARELESS, "--performance-schema=OFF") as process:
        make_tables(server, 20)
        row = relieve("--only", "flush", "--flush", process.pid)["actions"]["flush"]
        equal((row["chosen"], row["predicted_bytes"]), (True, None))
        contains(row["unknown"]["predicted_bytes"], "only the server knows")
        result = relieve("--yes", "--only", "flush", "--flush", "--wait", "1s", process.pid)["results"]["flush", "heap"]
        equal(result["gained_bytes"], None)
        contains(result["said"], "tables open, ")


@case
def tables_in_use_hold_nobody_up():
    server = mariadb()
    with server.start(*CARELESS) as process:
        make_tables(server, 50)
        holders = ("SELECT b, SLEEP(300) FROM t1", "LOCK TABLES t1 WRITE", "BEGIN; SELECT * FROM t1 FOR UPDATE",
                   "HANDLER t1 OPEN", "FLUSH TABLES WITH READ LOCK", "LOCK TABLES t1 READ",
                   "BACKUP STAGE START; BACKUP STAGE FLUSH; BACKUP STAGE BLOCK_DDL; BACKUP STAGE BLOCK_COMMIT")
        for text in holders:
            with holder(server, text):
                start = time.monotonic()
                done = run(EBB, "relieve", "--json", "--yes", "--only", "flush", "--flush", "--wait", "1s", process.pid)
                took_s = time.monotonic() - start
                equal((done.stderr, done.returncode), ("", 0))
                said = json.loads(done.stdout)["results"][0]["said"]
                print(f"# {text}: {done.returncode}, {took_s:.1f} s: {said}", flush=True)
                assert took_s < 6 + SLACK_S, took_s
                # The others go on, and with the table that is in use too where its lock allows it.
                start = time.monotonic()
                equal(server.ask("SET lock_wait_timeout = 1; SELECT b FROM d.t2"), [["one"]])
                if "WRITE" not in text:
                    equal(server.ask("SET lock_wait_timeout = 1; SELECT b FROM d.t1"), [["one"]])
                assert time.monotonic() - start < SLACK_S


@contextlib.contextmanager
def holder(server, text):
    if "SLEEP" not in text:
        with session(server, text):
            yield
        return
    with session(server, text.replace("SLEEP(300)", "1") + " LIMIT 0"):
        with subprocess.Popen(["mariadb", "--no-defaults", f"--socket={server.socket}", "-u", "root", "d", "-e", text],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
            wait_for("the query", lambda: server.ask("SELECT COUNT(*) FROM information_schema.PROCESSLIST "
                                                     "WHERE INFO LIKE 'SELECT b, SLEEP%'") == [["1"]])
            yield
            client.kill()


# ---- MySQL, which is a false one: Debian has none --------------------------------------------------------------


@contextlib.contextmanager
def false_mysql(mode):
    """A process that answers as the manual of MySQL 8.0 says, and a function that ends it and returns what was said to it."""
    path = os.path.join(new_folder(), "f.sock")
    with started(sys.executable, "-S", os.path.join(SOURCE, "tests/cli/false_mysql.py"), path, mode) as process:
        def heard():
            process.kill()
            return [line[5:] for line in process.stdout.read().decode().splitlines() if line.startswith("said ")]
        yield process, heard


def changes(said):
    """What is no question, and says nothing of the own session."""
    return [text for text in said if not text.startswith(("SELECT ", "SHOW ", "SET SESSION "))]


@case
def mysql_rounds_to_chunks_and_is_followed():
    with false_mysql("8.0.36") as (process, heard):
        # Eight instances of chunks of 128 MiB: what is less than 1 GiB is 1 GiB.
        row = relieve("--yes", "--only", "pool", "--pool", "512M", process.pid, status=1)["actions"]["pool"]
        equal(row["how"], "512.0 MiB, which the server makes 1.0 GiB is not less than its pool has, 1.0 GiB")
        equal(changes(heard()), [])
    with false_mysql("resize") as (process, heard):
        start = time.monotonic()
        result = relieve("--yes", "--only", "pool", "--pool", "300M", "--wait", "1s", process.pid)["results"]["pool", "rss"]
        contains(result["said"], "the server says: 512.0 MiB now, after ")
        assert time.monotonic() - start > 1
        said = heard()
        equal(changes(said), ["SET GLOBAL innodb_buffer_pool_size = 536870912"])
        assert said.count("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_resize_status'") >= 4, said
    with false_mysql("resize for ever") as (process, heard):
        result = relieve("--yes", "--only", "pool", "--pool", "512M", "--pool-wait", "1s", "--wait", "1s", process.pid,
                         status=1)["results"]["pool", "rss"]
        contains(result["said"], "the server is not through at the time limit, and goes on: Withdrawing blocks")
    with false_mysql("resizing") as (process, heard):
        row = relieve("--yes", "--only", "pool", "--pool", "512M", process.pid, status=1)["actions"]["pool"]
        contains(row["how"], "a resize of its pool is in progress: Withdrawing blocks")
        equal(changes(heard()), [])


@case
def mysql_closes_tables_only_when_none_is_in_use():
    with false_mysql("resize") as (process, heard):
        relieve("--yes", "--only", "flush", "--flush", "--wait", "1s", process.pid)
        said = heard()
        equal(changes(said), ["FLUSH LOCAL TABLES"])
        assert said.index("SET SESSION lock_wait_timeout = 1") < said.index("FLUSH LOCAL TABLES")
    with false_mysql("in use") as (process, heard):
        row = relieve("--yes", "--only", "flush", "--flush", process.pid, status=1)["actions"]["flush"]
        contains(row["how"], "2 tables are in use, and this server would make others wait for them")
        equal(changes(heard()), [])
    # They came into use between the look and the act.
    with false_mysql("in use later") as (process, heard):
        result = relieve("--yes", "--only", "flush", "--flush", "--wait", "1s", process.pid, status=1)["results"]["flush", "heap"]
        contains(result["said"], "tables are in use")
        equal(changes(heard()), [])


# ---- who may, and where there is nobody to ask ------------------------------------------------------------------


@case
def accounts():
    server = mariadb()
    with server.start(*CARELESS) as process:
        both = ("--only", "pool,flush", "--pool", "16M", "--flush")
        where = server.socket
        rows = relieve("--yes", *both, "--sql", f"plain:pl@in:1@{where}", process.pid, status=1)["actions"]
        contains(rows["pool"]["how"], "may not set global variables: it needs SUPER")
        contains(rows["flush"]["how"], "it needs RELOAD")
        rows = relieve(*both, "--sql", f"flusher:flush@{where}", process.pid, status=1)["actions"]
        equal((rows["pool"]["chosen"], rows["flush"]["chosen"]), (False, True))
        rows = relieve(*both, "--sql", f"setter:set@{where}", process.pid, status=1)["actions"]
        equal((rows["pool"]["chosen"], rows["flush"]["chosen"]), (True, False))
        equal(pool_of(server), 32 * MIB)
        # What a role gives is in no list, so it is tried.
        told = relieve("--yes", *both, "--sql", f"member:role@{where}", "--wait", "1s", process.pid)
        contains(told["results"]["pool", "rss"]["said"], "the server says: 16.0 MiB now")
        equal(pool_of(server), 16 * MIB)
        wrong = run(EBB, "relieve", "--json", "--yes", *both, "--sql", f"plain:wr0ng@{where}", process.pid)
        equal((wrong.returncode, wrong.stderr), (1, ""))
        contains(wrong.stdout, "Access denied for user 'plain'@'localhost'")
        assert "wr0ng" not in wrong.stdout
        options = os.path.join(new_folder(), "my.cnf")
        with open(options, "w", encoding="utf-8") as file:
            file.write("[client]\nuser=setter\npassword=set\n")
        told = relieve("--yes", "--only", "pool", "--pool", "8M", "--defaults-file", options, "--wait", "1s", process.pid)
        contains(told["results"]["pool", "rss"]["said"], "the server says: 8.0 MiB now")


@case
def a_role_that_does_not_suffice_is_the_servers_to_refuse():
    server = mariadb()
    with server.start(*CARELESS) as process:
        server.ask("CREATE OR REPLACE ROLE nobodies; CREATE OR REPLACE USER idle@localhost IDENTIFIED BY 'idle'; "
                   "GRANT nobodies TO idle@localhost; SET DEFAULT ROLE nobodies FOR idle@localhost")
        told = relieve("--yes", "--only", "pool,flush", "--pool", "16M", "--flush", "--sql", f"idle:idle@{server.socket}",
                       "--wait", "1s", process.pid, status=1)
        contains(told["results"]["pool", "rss"]["said"], "the account may not: Access denied")
        contains(told["results"]["flush", "heap"]["said"], "the account may not: Access denied")
        equal(pool_of(server), 32 * MIB)


@case
def a_server_that_hangs_costs_two_seconds():
    server = mariadb()
    with server.start(*CARELESS) as process:
        hold(process)
        start = time.monotonic()
        told = relieve("--only", "pool,flush", "--pool", "16M", "--flush", process.pid, status=1)
        took_s = time.monotonic() - start
        for row in ("pool", "flush"):
            equal((told["actions"][row]["chosen"], told["actions"][row]["how"]), (False, "the server did not answer in time"))
        assert took_s < 2 + SLACK_S, took_s


@case
def processes_that_speak_no_sql():
    rows = relieve("--only", "pool,flush", "--pool", "16M", os.getpid(), status=1)["actions"]
    for row in ("pool", "flush"):
        equal((rows[row]["chosen"], rows[row]["how"]), (False, "it is no server that keeps books of its memory"))
    rows = relieve("--only", "trim", os.getpid(), status=1)["actions"]
    equal(rows["pool"]["how"], "it is left out (--only)")
    rows = relieve("--no-sql", "--only", "pool", os.getpid(), status=1)["actions"]
    equal(rows["pool"]["how"], "the server is not asked (--no-sql)")
    with redis() as process:
        rows = relieve("--yes", "--only", "pool,flush", "--pool", "16M", "--flush", process.pid, status=1)["actions"]
        equal([rows[row]["how"] for row in ("pool", "flush")], ["Redis has no statement for it"] * 2)


@case
def usage():
    for arguments in (("--pool", "0"), ("--pool", "x"), ("--pool", "-1"), ("--pool-wait", "0"), ("--sql", "nowhere"),
                      ("--no-sql", "--pool", "1G"), ("--no-sql", "--flush"), ("--no-sql", "--sql", "127.0.0.1")):
        done = run(EBB, "relieve", *arguments, "1")
        equal((arguments, done.returncode, done.stdout, done.stderr.count("\n")), (arguments, 2, "", 1))


if __name__ == "__main__":
    sys.exit(tap.main())
