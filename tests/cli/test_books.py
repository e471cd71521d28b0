# SPDX-License-Identifier: MIT
"""The books of MariaDB against what its own client prints, of servers that hang, and of a false MySQL."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import tap
from database_servers import MariaDB, free_port, new_folder
from processes import started
from server_books import SLACK_S, SOURCE, books, hold, rows_of, timed_books
from tap import case, contains, equal, wait_for

_MARIADB = []


def mariadb():
    """One data directory for all cases."""
    if not _MARIADB:
        _MARIADB.append(MariaDB())
        with _MARIADB[0].start("--skip-networking"):
            _MARIADB[0].accounts()
    return _MARIADB[0]


# ---- MariaDB ---------------------------------------------------------------------------------------------------

# These change by being looked at, or with time.
MOVING = re.compile(r"^(Threads_|Memory_used$|Open_|Created_tmp|Uptime|Innodb_buffer_pool_(bytes|pages)|Innodb_mem|"
                    r"Max_used|Aria_|Key_|Qcache)")
MEMORY_ON = ("--skip-networking", "--performance-schema=ON", "--performance-schema-instrument=memory/%=ON")


def number(text):
    return {"ON": 1, "OFF": 0, "YES": 1, "NO": 0}.get(text) if not text.isdigit() else int(text)


def check_row(facts, unknown, row, said):
    field, source, key, unit, where = row
    want = {name.lower(): value for name, value in said[source].items()}.get(key.lower())
    if want is None:
        assert facts[field] is None and unknown[field].startswith(("this version", "MySQL has")), row
        return 0
    if source == "STATUS" and MOVING.match(key):
        assert abs(facts[field] - number(want)) <= 64 + number(want) // 5, (row, facts[field], want)
    else:
        equal((field, facts[field]), (field, number(want)))
    return 1


@case
def mariadb_every_row_is_what_its_client_prints():
    server = mariadb()
    with server.start(*MEMORY_ON) as process:
        engine = {row[1]: row[2] for row in server.ask("SHOW ENGINE PERFORMANCE_SCHEMA STATUS")}
        said = {"VARIABLE": dict(row if len(row) == 2 else (row[0], "") for row in server.ask("SHOW GLOBAL VARIABLES")),
                "STATUS": dict(row if len(row) == 2 else (row[0], "") for row in server.ask("SHOW GLOBAL STATUS")),
                "ENGINE": engine}
        found = books(process.pid)
        equal((found["kind"], found["answered"], found["why"]), ("MariaDB", True, ""))
        equal(found["asked"], "socket " + server.socket)
        equal(found["version"], said["VARIABLE"]["version"])
        equal(found["product"], said["VARIABLE"]["version_comment"])
        equal(found["malloc_library"], said["VARIABLE"]["version_malloc_library"])
        rows = rows_of("mysql.def")
        assert len(rows) == len(found["facts"]) > 50
        known = sum(check_row(found["facts"], found["unknown"], row, said) for row in rows)
        # What only MySQL has, and what this version lost, may lack.
        lacking = [row for row in rows if row[4] != "MYSQL" and found["facts"][row[0]] is None]
        assert known + len(lacking) + sum(row[4] == "MYSQL" for row in rows) == len(rows)
        assert {row[0] for row in lacking} <= {"pool_instances", "pool_chunk_bytes", "pool_size_max_bytes",
                                               "pool_size_auto_min_bytes"}, lacking
        facts = found["facts"]
        equal(facts["pool_size_bytes"], 32 << 20)
        assert 0 < facts["pool_data_bytes"] == facts["pool_data_pages"] * facts["page_bytes"]


@case
def mariadb_memory_by_name_and_by_session():
    server = mariadb()
    with server.start(*MEMORY_ON) as process, sleeping(server):
        found = books(process.pid)
        items = found["items"]
        equal((items["known"], items["why"]), (True, ""))
        assert items["instruments"] == items["instruments_on"] > 100, items
        said = {row[0]: int(row[1]) for row in server.ask(
            "SELECT EVENT_NAME, CURRENT_NUMBER_OF_BYTES_USED FROM performance_schema.memory_summary_global_by_event_name "
            "WHERE CURRENT_NUMBER_OF_BYTES_USED <> 0")}
        own = {item["name"]: item["bytes"] for item in items["list"]}
        fixed = [name for name in said if name.startswith("memory/performance_schema/") or "buf_buf_pool" in name]
        assert len(fixed) > 20
        for name in fixed:
            equal((name, own[name]), (name, said[name]))
        assert abs(items["total_bytes"] - sum(said.values())) < sum(said.values()) // 10
        equal(items["total_bytes"], sum(own.values()))
        sizes = [abs(item["bytes"]) for item in items["list"]]
        equal(sizes, sorted(sizes, reverse=True))
        check_sessions(found["sessions"], process.pid)


@contextlib.contextmanager
def sleeping(server):
    """A session that sleeps, in the server already."""
    client = subprocess.Popen(["mariadb", "--no-defaults", f"--socket={server.socket}", "-u", "root", "-e",
                               "SELECT SLEEP(100)"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for("the session", lambda: server.ask("SELECT COUNT(*) FROM information_schema.PROCESSLIST "
                                                   "WHERE INFO LIKE 'SELECT SLEEP%'") == [["1"]])
        yield
    finally:
        client.kill()
        client.wait()


def check_sessions(sessions, pid):
    equal((sessions["known"], sessions["why"]), (True, ""))
    own = [session for session in sessions["list"] if session["id"] != 0]
    assert len(own) >= 2, sessions
    for session in own:
        # The thread is one of the server's, and has memory of its own.
        assert os.path.exists(f"/proc/{pid}/task/{session['tid']}"), session
        assert 0 < session["bytes"] <= session["high_bytes"], session
    equal({session["command"] for session in own} & {"Query"}, {"Query"})
    equal(sessions["total_bytes"], sum(session["bytes"] for session in sessions["list"]))


@case
def mariadb_says_what_it_does_not_count():
    server = mariadb()
    with server.start("--skip-networking", "--performance-schema=OFF") as process:
        found = books(process.pid)
        equal((found["answered"], found["items"]["known"], found["facts"]["performance_schema"]), (True, False, 0))
        contains(found["items"]["why"], "performance_schema is OFF")
        equal(found["facts"]["performance_schema_bytes"], 0)
        assert found["facts"]["memory_used_bytes"] > 32 << 20 and found["sessions"]["known"]
    with server.start("--skip-networking", "--performance-schema=ON") as process:
        found = books(process.pid)
        items = found["items"]
        equal((items["known"], found["facts"]["performance_schema"]), (True, 1))
        assert items["instruments_on"] < items["instruments"], items
        contains(items["why"], f"{items['instruments'] - items['instruments_on']} of {items['instruments']} memory "
                               "instruments are off")
        contains(items["why"], "performance_schema_instrument='memory/%=ON'")


@case
def mariadb_accounts_and_option_files():
    server = mariadb()
    with server.start(*MEMORY_ON) as process:
        where = server.socket
        found = books(process.pid, "--sql", f"plain:pl@in:1@{where}")
        equal(found["answered"], True)
        assert found["facts"]["pool_size_bytes"] == 32 << 20
        contains(found["why"], "PROCESS")
        contains(found["unknown"]["performance_schema_bytes"], "PROCESS")
        equal(found["items"]["known"], False)
        contains(found["items"]["why"], "GRANT SELECT ON performance_schema.*")
        wrong = books(process.pid, "--sql", f"plain:wr0ng@{where}")
        equal(wrong["answered"], False)
        contains(wrong["why"], "Access denied for user 'plain'@'localhost'")
        contains(wrong["why"], "it needs PROCESS, and SELECT on performance_schema.*")
        contains(wrong["unknown"]["pool_size_bytes"], "Access denied")
        assert "wr0ng" not in json.dumps(wrong)
        # The file tells who we are; where the server is we know better.
        path = os.path.join(new_folder(), "my.cnf")
        with open(path, "w", encoding="utf-8") as file:
            file.write("[mysqld]\nuser=somebody\n[client]\nuser=watcher\npassword=watch\nsocket=/no/where\nhost=db.invalid\n")
        full = books(process.pid, "--defaults-file", path)
        equal((full["why"], full["answered"], full["items"]["known"], full["sessions"]["known"]), ("", True, True, True))
        equal([s["name"] for s in full["sessions"]["list"] if s["command"] == "Query"], ["watcher"])
        contains(books(process.pid, "--defaults-file", path + ".not")["why"], "my.cnf.not cannot be read: No such file")


@case
def mariadb_over_a_port():
    server = mariadb()
    port = free_port()
    with server.start("--bind-address=127.0.0.1", f"--port={port}", "--performance-schema=OFF") as process:
        server.ask("CREATE OR REPLACE USER watcher@127.0.0.1 IDENTIFIED BY 'watch'")
        found = books(process.pid, "--sql", f"watcher:watch@127.0.0.1:{port}")
        equal((found["answered"], found["asked"]), (True, f"127.0.0.1:{port}"))
        # A socket whose file somebody took away is passed over.
        server.ask("CREATE OR REPLACE USER watcher@localhost IDENTIFIED BY 'watch'")
        os.rename(server.socket, server.socket + ".away")
        path = os.path.join(new_folder(), "my.cnf")
        with open(path, "w", encoding="utf-8") as file:
            file.write("[client]\nuser=watcher\npassword=watch\n")
        found = books(process.pid, "--defaults-file", path)
        equal((found["answered"], found["asked"]), (True, f"127.0.0.1:{port}"))
        os.rename(server.socket + ".away", server.socket)


@case
def mariadb_that_hangs_costs_the_budget():
    server = mariadb()
    with server.start("--skip-networking", "--performance-schema=OFF") as process:
        hold(process)
        found, took_s = timed_books(process.pid, "--budget-ms", 0)  # the default
        equal((found["answered"], found["why"]), (False, "the server did not answer in time"))
        equal(found["unknown"]["pool_size_bytes"], "the server did not answer in time")
        assert 2 <= took_s < 2 + SLACK_S, took_s
        assert 1990 <= found["elapsed_ms"] < 2000 + SLACK_S * 1000, found["elapsed_ms"]
        found, took_s = timed_books(process.pid, "--budget-ms", 200)
        assert not found["answered"] and took_s < 0.2 + SLACK_S, took_s
        process.send_signal(signal.SIGCONT)
        equal(books(process.pid)["answered"], True)


class Proxy(threading.Thread):
    """Between the books and a server: lets so many bytes of the server's through, then holds the connection and is silent."""

    def __init__(self, target, let_through):
        super().__init__(daemon=True)
        self.target, self.left = target, let_through
        self.path = os.path.join(new_folder(), "p.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(4)
        self.kept = []

    def run(self):
        client, _ = self.listener.accept()
        server = socket.socket(socket.AF_UNIX)
        server.connect(self.target)
        self.kept = [client, server]

        def upwards():
            with contextlib.suppress(OSError):
                while data := client.recv(65536):
                    server.sendall(data)
        threading.Thread(target=upwards, daemon=True).start()
        with contextlib.suppress(OSError):
            while self.left > 0 and (data := server.recv(min(self.left, 65536))):
                client.sendall(data)
                self.left -= len(data)

    def close(self):
        for end in [self.listener, *self.kept]:
            end.close()


@case
def mariadb_that_stops_in_the_middle():
    server = mariadb()
    with server.start(*MEMORY_ON) as process:
        proxy = Proxy(server.socket, 1 << 30)
        proxy.start()
        whole = books(os.getpid(), "--sql", f"root@{proxy.path}")
        equal((whole["kind"], whole["answered"], whole["why"]), ("MariaDB", True, ""))
        total = (1 << 30) - proxy.left
        proxy.close()
        partly = 0
        for share in (0, 0.001, 0.1, 0.4, 0.9):
            proxy = Proxy(server.socket, int(total * share))
            proxy.start()
            found, took_s = timed_books(os.getpid(), "--sql", f"root@{proxy.path}", "--budget-ms", 1000)
            proxy.close()
            assert took_s < 1 + SLACK_S, took_s
            contains(found["why"] + found["items"]["why"] + found["sessions"]["why"], "did not answer in time")
            # What came is kept; what did not has a reason.
            for field, value in found["facts"].items():
                assert value is not None or found["unknown"][field], field
            partly += found["facts"]["pool_size_bytes"] == 32 << 20
            assert not (found["items"]["known"] and found["sessions"]["known"])
        assert partly >= 1, partly
        equal(books(process.pid)["answered"], True)


@case
def a_socket_that_is_another_servers_gives_no_books():
    server = mariadb()
    with server.start("--skip-networking", "--performance-schema=OFF") as process:
        found, took_s = timed_books(os.getpid(), "--sql", f"root@{server.socket}")
        equal((found["answered"], found["why"]),
              (False, f"on that socket process {process.pid} listens, not {os.getpid()}"))
        assert took_s < SLACK_S
        assert not any(value is not None for value in found["facts"].values())
        equal(books(process.pid, "--sql", f"root@{server.socket}")["answered"], True)


# ---- MySQL, which is a false one: Debian has none --------------------------------------------------------------


@contextlib.contextmanager
def false_mysql(mode):
    """A process and a function that ends it and returns what it printed."""
    path = os.path.join(new_folder(), "f.sock")
    with started(sys.executable, "-S", os.path.join(SOURCE, "tests/cli/false_mysql.py"), path, mode) as process:
        def heard():
            process.kill()
            return process.stdout.read().decode()
        yield process, path, heard


@case
def mysql_of_its_manual():
    with false_mysql("8.0.36") as (process, path, heard):
        found = books(process.pid)
        equal((found["kind"], found["answered"], found["why"], found["version"]), ("MySQL", True, "", "8.0.36"))
        equal(found["asked"], "socket " + path)
        facts = found["facts"]
        equal((facts["pool_size_bytes"], facts["pool_instances"], facts["temptable_max_ram_bytes"]), (1 << 30, 8, 1 << 30))
        equal((facts["performance_schema_bytes"], facts["large_pages"], facts["uptime_s"]), (213345678, 0, 77))
        equal(found["unknown"]["memory_used_bytes"], "MariaDB has it, MySQL does not")
        items = found["items"]
        equal([(item["name"], item["bytes"]) for item in items["list"]],
              [("memory/innodb/buf_buf_pool", 1121560064), ("memory/sql/TABLE", 652441), ("memory/innodb/memory", -4096)])
        equal(items["total_bytes"], 1121560064 + 652441 - 4096)
        contains(items["why"], "1 of 490 memory instruments are off")
        sessions = found["sessions"]
        equal([(s["id"], s["tid"], s["bytes"], s["high_bytes"], s["name"], s["command"]) for s in sessions["list"]],
              [(0, 5856, 1270430, 1307317, "thread/sql/main", ""), (8, 5901, 98304, 2097152, "app", "Sleep"),
               (9, 5902, 65536, 65536, "ebb", "Query")])
        equal((sessions["known"], sessions["why"]), (True, ""))
        said = [line[5:] for line in heard().splitlines() if line.startswith("said ")]
        # Read-only before anything else, and a limit that the server keeps.
        equal(said[0], "SET SESSION TRANSACTION READ ONLY")
        assert re.fullmatch(r"SET SESSION max_execution_time = (2\d{4}|30000)", said[1]), said[1]
        assert all(line.startswith(("SHOW GLOBAL ", "SHOW ENGINE PERFORMANCE_SCHEMA STATUS", "SELECT ")) for line in said[2:])
        assert len(said) == 8, said
    with false_mysql("8.0.30") as (process, path, heard):
        found = books(process.pid)
        equal((found["answered"], found["items"]["known"], found["sessions"]["known"]), (True, True, False))
        contains(found["sessions"]["why"], "MySQL 8.0.31 does")
    # What an old one lacks costs that, and nothing else.
    with false_mysql("5.6") as (process, path, heard):
        found = books(process.pid)
        equal((found["answered"], found["why"], found["version"]), (True, "", "8.0.36"))
        equal((found["facts"]["pool_size_bytes"], found["items"]["known"]), (1 << 30, False))
        equal(found["items"]["why"], "Table 'performance_schema.memory_summary_global_by_event_name' doesn't exist")


@case
def mysql_that_sends_for_ever_or_nonsense():
    for mode, why in (("endless", "did not answer in time"), ("wide", "has not the columns that were asked for")):
        with false_mysql(mode) as (process, path, heard):
            found, took_s = timed_books(process.pid, "--budget-ms", 1500)
            equal((found["kind"], found["answered"]), ("MySQL", True))
            contains(found["why"], why)
            assert took_s < 1.5 + SLACK_S, took_s
            assert found["facts"]["pool_size_bytes"] is None and why in found["unknown"]["pool_size_bytes"]


@case
def mysql_gets_neither_files_nor_passwords():
    options = os.path.join(new_folder(), "my.cnf")
    with open(options, "w", encoding="utf-8") as file:
        file.write("[client]\nuser=ebb\npassword=secret\nlocal-infile=1\n")
    for more in ((), ("--defaults-file", options)):
        with false_mysql("file") as (process, path, heard):
            found = books(process.pid, *more)
            text = heard()
            assert "root:" not in text, text
            contains(text, "answer b''")
            assert found["facts"]["pool_size_bytes"] is None
            if more:
                contains(found["why"], "the server asked for a file, and does not get it")
    for method in ("mysql_clear_password", "dialog", "mysql_old_password"):
        with false_mysql("switch:" + method) as (process, path, heard):
            found = books(process.pid, "--sql", f"ebb:secret@{path}")
            equal(found["answered"], False)
            assert "secret" not in heard() + json.dumps(found)


if __name__ == "__main__":
    raise SystemExit(tap.main())
