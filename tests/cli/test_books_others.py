# SPDX-License-Identifier: MIT
"""The books of Redis and PostgreSQL against what their own clients print; who is no server, and what we may not see."""

import getpass
import os
import signal
import subprocess
import sys

import tap
from database_servers import AS_OTHER, ROOT, free_port, need, new_folder, postgres, redis, running
from processes import started
from server_books import SLACK_S, SOURCE, books, hold, rows_of, timed_books
from tap import Skip, case, contains, equal, run

# ---- Redis -----------------------------------------------------------------------------------------------------


def redis_said(*where):
    done = run("redis-cli", *where, "INFO")
    equal(done.returncode, 0)
    return dict(line.split(":", 1) for line in done.stdout.splitlines() if ":" in line)


def check_redis(found, said):
    equal((found["kind"], found["answered"], found["why"]), ("Redis", True, ""))
    equal(found["version"], said["redis_version"])
    equal(found["malloc_library"], said["mem_allocator"])
    for field, source, key, unit, _ in rows_of("redis.def"):
        if source != "INFO":
            equal(field, "hashtables_bytes")
            assert found["facts"][field] is not None, found
        elif key not in said:
            contains(found["unknown"][field], "this version")
        elif unit == "BYTES" and int(said[key]) > 4096:
            assert abs(found["facts"][field] - int(said[key])) < (1 << 20) + int(said[key]) // 4, (field, said[key])
        else:
            assert abs(found["facts"][field] - int(said[key])) <= (65536 if unit == "BYTES" else 2), field


@case
def redis_on_a_socket_and_on_a_port():
    need("redis-cli", "redis-tools")
    folder = new_folder()
    with redis("--port", "0", "--maxmemory", "123mb", folder=folder) as process:
        said = redis_said("-s", folder + "/r.sock")
        found = books(process.pid)
        check_redis(found, said)
        equal(found["facts"]["max_bytes"], 123 << 20)
        equal(found["asked"], f"socket {folder}/r.sock")
        contains(found["items"]["why"], "Redis keeps no such list")
    port = free_port()
    with running([need("redis-server", "redis-server"), "--save", "", "--dir", folder, "--port", str(port)], folder + "/log",
                 lambda _: run("redis-cli", "-p", port, "PING").stdout == "PONG\n") as process:
        found = books(process.pid)
        check_redis(found, redis_said("-p", port))
        equal(found["asked"], f"127.0.0.1:{port}")
        equal(books(process.pid, "--sql", f"127.0.0.1:{port}")["answered"], True)


@case
def redis_that_wants_a_password_keeps_its_books():
    with redis("--port", "0", "--requirepass", "secret") as process:
        found = books(process.pid)
        equal((found["kind"], found["answered"]), ("Redis", False))
        contains(found["why"], "the server wants a password, and none is sent to it")
        contains(found["unknown"]["used_bytes"], "wants a password")


@case
def redis_that_hangs_costs_the_budget():
    with redis("--port", "0") as process:
        hold(process)
        found, took_s = timed_books(process.pid, "--budget-ms", 500)
        equal((found["answered"], found["why"]), (False, "the server did not answer in time"))
        assert 0.5 <= took_s < 0.5 + SLACK_S, took_s


# Calls itself redis-server, and says what it was told to, once or for ever.
FALSE_SERVER = r"""
import ctypes, os, socket, sys, time
ctypes.CDLL(None).prctl(15, b"redis-server", 0, 0, 0)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(4)
print("ready", flush=True)
while True:
    peer, _ = listener.accept()
    try:
        if sys.argv[3] != "deaf":
            peer.recv(1000)
        peer.sendall(bytes.fromhex(sys.argv[2]))
        while sys.argv[3] == "on":
            peer.sendall(bytes.fromhex(sys.argv[4]))
        if sys.argv[3] == "hold":
            time.sleep(100)
    except OSError:
        pass
    peer.close()
"""


@case
def what_is_no_redis_is_seen_through():
    for said, then, more, why in (
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "end", b"", "does not speak Redis's protocol"),
            (b"$99999999999\r\n", "end", b"", "does not speak Redis's protocol"),
            (b"", "on", b"-" * 1000, "does not speak Redis's protocol"),
            (b"", "on", b"x" * 20000, "does not speak Redis's protocol"),
            (b"$900000\r\n", "on", b"a:1\r\n" * 1000, "does not speak Redis's protocol"),
            (b"$10\r\na:1\r\nb:2\r\n\r\n", "end", b"", "does not speak Redis's protocol"),
            (b"$100\r\nused_memory:1", "end", b"", "no connection to it: Input/output error"),
            (b"$100\r\nused_memory:1", "hold", b"", "did not answer in time"),
            (b"-ERR unknown command\x1b[2J\r\n", "end", b"", "ERR unknown command [2J"),
            (b"-ERR max number of clients reached\r\n", "deaf", b"", "ERR max number of clients reached"),
            (b"-LOADING Redis is loading the dataset in memory\r\n", "end", b"", "LOADING Redis is loading")):
        path = os.path.join(new_folder(), "f.sock")
        with started(sys.executable, "-S", "-c", FALSE_SERVER, path, said.hex(), then, more.hex()) as process:
            budget_s = 0.5 if then == "hold" else 8
            found, took_s = timed_books(process.pid, "--budget-ms", int(budget_s * 1000))
            equal((found["kind"], found["answered"]), ("Redis", False))
            contains(found["why"], why)
            assert took_s < budget_s + SLACK_S, took_s


def tables_of(folder):
    """What MEMORY STATS says of tables, as the client prints it."""
    lines = run("redis-cli", "-s", folder + "/r.sock", "MEMORY", "STATS").stdout.split("\n")
    return sum(int(value) for name, value in zip(lines, lines[1:]) if name.startswith("overhead.hashtable."))


@case
def redis_tables_of_keys():
    need("redis-cli", "redis-tools")
    folder = new_folder()
    with redis("--port", "0", folder=folder) as process:
        equal(books(process.pid)["facts"]["hashtables_bytes"], 0)
        script = ("for i = 1, 5000 do redis.call('SET', 'a' .. i, i, 'EX', 9000) end redis.call('SELECT', 3) "
                  "for i = 1, 9000 do redis.call('SET', 'b' .. i, i) end")
        equal(run("redis-cli", "-s", folder + "/r.sock", "EVAL", script, "0").returncode, 0)
        found = books(process.pid)["facts"]["hashtables_bytes"]
        # Rehashing goes on between the two.
        assert abs(found - tables_of(folder)) <= 512 << 10 and found > 14000 * 24, (found, tables_of(folder))
        run("redis-cli", "-s", folder + "/r.sock", "ACL", "SETUSER", "default", "-memory")
        found = books(process.pid)
        equal((found["answered"], found["why"], found["facts"]["hashtables_bytes"]), (True, "", None))
        contains(found["unknown"]["hashtables_bytes"], "NOPERM")


@case
def redis_that_answers_the_first_question_only():
    info = b"$39\r\nredis_version:7.0.0\r\nused_memory:1000\r\n\r\n"
    for more, then, why in ((b"", "end", "MEMORY STATS: Input/output error"),
                            (b"", "hold", "MEMORY STATS: the server did not answer"),
                            (b"*2\r\n$1\r\na\r\n", "hold", "did not answer in time"),
                            (b"+OK\r\n", "end", "no list of names and numbers"),
                            (b"-ERR unknown command 'MEMORY'\r\n", "end", "ERR unknown command")):
        path = os.path.join(new_folder(), "f.sock")
        with started(sys.executable, "-S", "-c", FALSE_SERVER, path, (info + more).hex(), then, "") as process:
            found, took_s = timed_books(process.pid, "--budget-ms", 1000)
            equal((found["answered"], found["why"], found["facts"]["used_bytes"]), (True, "", 1000))
            contains(found["unknown"]["hashtables_bytes"], why)
            assert took_s < 1 + SLACK_S, took_s


# ---- PostgreSQL ------------------------------------------------------------------------------------------------


UNITS = {"": 1, "B": 1, "kB": 1 << 10, "8kB": 8 << 10, "MB": 1 << 20}


def psql(folder, text):
    done = run("psql", "-X", "-h", folder, "-d", "postgres", "-Atc", text, **AS_OTHER)
    equal((done.returncode, done.stderr), (0, ""))
    return [line.split("|") for line in done.stdout.splitlines()]


@case
def postgres_settings_shared_memory_and_processes():
    need("psql", "postgresql-client")
    with postgres("-c", "shared_buffers=48MB", "-c", "work_mem=5MB") as (process, folder):
        found = books(process.pid)
        equal((found["kind"], found["answered"], found["why"]), ("PostgreSQL", True, ""))
        contains(found["version"], psql(folder, "SHOW server_version")[0][0])
        facts = found["facts"]
        equal((facts["shared_buffers_bytes"], facts["work_mem_bytes"]), (48 << 20, 5 << 20))
        for field, source, key, _, _ in rows_of("postgres.def"):
            if source != "SETTING":
                continue
            said = psql(folder, f"SELECT setting, unit FROM pg_settings WHERE name = '{key}' AND setting <> '-1'")
            if said:
                equal((field, facts[field]), (field, int(said[0][0]) * UNITS[said[0][1]]))
            else:
                contains(found["unknown"][field], "another setting" if key == "autovacuum_work_mem" else "this version")
        assert 0 <= facts["uptime_s"] < 600
        said = {row[0] or "<unused>": int(row[1]) for row in psql(folder, "SELECT name, allocated_size FROM pg_shmem_allocations")}
        equal({item["name"]: item["bytes"] for item in found["items"]["list"]}, said)
        equal(found["items"]["total_bytes"], sum(said.values()))
        places = dict(psql(folder, "SELECT name, off FROM pg_shmem_allocations WHERE name IS NOT NULL AND off IS NOT NULL"))
        equal({item["name"]: str(item["offset"]) for item in found["items"]["list"] if "offset" in item}, places)
        contains(found["unknown"]["buffers_used"], "CREATE EXTENSION pg_buffercache there gives them")
        pids = {session["tid"]: session["name"] for session in found["sessions"]["list"]}
        assert "checkpointer" in pids.values(), pids
        # What the environment says of another server is no matter.
        equal(books(process.pid, env={"PGHOSTADDR": "203.0.113.9", "PGSERVICE": "none"})["why"], "")
        # Asked about one of its processes, it is the server that answers.
        child = next(pid for pid, name in pids.items() if name == "checkpointer")
        equal(books(child)["facts"]["shared_buffers_bytes"], 48 << 20)
        hold(process)
        held, took_s = timed_books(process.pid, "--budget-ms", 500)
        equal((held["answered"], held["why"]), (False, "the server did not answer in time"))
        assert took_s < 0.5 + SLACK_S, took_s
        process.send_signal(signal.SIGCONT)
        refused = books(process.pid, "--sql", f"stranger@{folder}/.s.PGSQL.5432")
        equal(refused["answered"], False)
        contains(refused["why"], f'socket "{folder}/.s.PGSQL.5432" failed')
        contains(refused["why"], "name an account with --sql")


@case
def postgres_over_a_port():
    port = free_port()
    with postgres("-c", "shared_buffers=16MB", port=port) as (process, folder):
        name = AS_OTHER.get("user", getpass.getuser())
        found = books(process.pid, "--sql", f"{name}@127.0.0.1:{port}")
        equal((found["answered"], found["why"], found["asked"]), (True, "", f"127.0.0.1:{port}"))
        equal((found["facts"]["shared_buffers_bytes"], found["items"]["known"]), (16 << 20, True))
        # The extension may be in any schema.
        done = run("psql", "-X", "-h", folder, "-p", port, "-d", "postgres", "-c", 'CREATE SCHEMA "odd Name"', "-c",
                   'CREATE EXTENSION pg_buffercache SCHEMA "odd Name"', **AS_OTHER)
        equal(done.returncode, 0)
        facts = books(process.pid, "--sql", f"{name}@127.0.0.1:{port}")["facts"]
        assert 100 < facts["buffers_used"] <= (16 << 20) // 8192, facts
        assert 0 <= facts["buffers_dirty"] <= facts["buffers_used"], facts
        # One without privileges gets the settings, and is told what gives the rest.
        done = run("psql", "-X", "-h", folder, "-p", port, "-d", "postgres", "-c", "CREATE ROLE plain LOGIN", **AS_OTHER)
        equal(done.returncode, 0)
        found = books(process.pid, "--sql", f"plain@127.0.0.1:{port}")
        equal((found["answered"], found["facts"]["shared_buffers_bytes"], found["items"]["known"]), (True, 16 << 20, False))
        contains(found["items"]["why"], "permission denied")
        contains(found["items"]["why"], "GRANT pg_read_all_stats gives it")
        contains(found["unknown"]["buffers_used"], "GRANT pg_monitor gives them")


# ---- who is no server, and what we may not see -----------------------------------------------------------------


@case
def others_have_no_books():
    found = books(os.getpid())
    equal((found["kind"], found["answered"], found["why"]), ("", False, "it is no server that keeps books of its memory"))
    contains(books(os.getpid(), "--sql", "db.example.org:3306")["why"], "neither the path of a socket nor an address")
    ended = subprocess.Popen(["true"])
    ended.wait()
    contains(books(ended.pid)["why"], "the process has ended")
    contains(books(1, "--root", SOURCE)["why"], "a captured tree has no server")


@case
def a_stranger_is_told_how_to_help_himself():
    if not ROOT:
        raise Skip("needs root, to become somebody else")
    folder = new_folder()
    with redis("--port", "0", "--unixsocketperm", "777", folder=folder) as process:
        found = books(process.pid, user="nobody", group="nogroup", extra_groups=[])
        equal((found["kind"], found["answered"]), ("Redis", False))
        contains(found["why"], "where it listens cannot be seen")
        contains(found["why"], "--sql")
        found = books(process.pid, "--sql", folder + "/r.sock", user="nobody", group="nogroup", extra_groups=[])
        equal(found["answered"], True)


def unshare(*what):
    if not ROOT or run("unshare", *what, "true").returncode != 0:
        raise Skip("needs root and namespaces of its own")
    return ["unshare", *what]


@case
def a_socket_in_another_file_system_is_reached_through_the_process():
    folder = new_folder()
    # As in a container: its /run is not ours, and a link in it leads from its root.
    script = f'mount -t tmpfs none {folder} && mkdir {folder}/real && ln -s {folder}/real {folder}/link && exec "$@"'
    prefix = [*unshare("--mount"), "sh", "-c", script, "sh"]
    path = f"{folder}/link/r.sock"
    with running([*prefix, need("redis-server", "redis-server"), "--save", "", "--port", "0", "--unixsocket", path],
                 os.path.join(tap.folder(), "container-log"),
                 lambda process: os.path.exists(f"/proc/{process.pid}/root{folder}/real/r.sock")) as process:
        assert not os.path.exists(path)
        found = books(process.pid)
        equal((found["answered"], found["asked"], found["why"]), (True, "socket " + path, ""))


@case
def a_port_of_another_network_is_not_taken_for_ours():
    folder = new_folder()
    port = free_port()
    prefix = [*unshare("--net"), "sh", "-c", 'ip link set lo up 2>/dev/null; exec "$@"', "sh"]
    program = need("redis-server", "redis-server")
    log = os.path.join(folder, "log")

    def listens(process):
        with open(f"/proc/{process.pid}/net/tcp", encoding="ascii") as file, \
                open(f"/proc/{process.pid}/comm", encoding="ascii") as name:
            return name.read() == "redis-server\n" and f":{port:04X} " in file.read()
    # The same port is somebody else's here.
    with running([program, "--save", "", "--dir", folder, "--port", str(port)], log, listens), \
            running([*prefix, program, "--save", "", "--dir", folder, "--port", str(port)], log + "2", listens) as inner:
        found = books(inner.pid)
        equal((found["kind"], found["answered"]), ("Redis", False))
        contains(found["why"], "another network namespace")


if __name__ == "__main__":
    raise SystemExit(tap.main())
