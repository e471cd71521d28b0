# SPDX-License-Identifier: MIT
"""redis-server under the library: redis-benchmark runs clean, and equal commands leave an equal data set.

The server listens on a Unix socket for the data and on a loopback port for redis-benchmark. Its snapshot is written
by a forked child under the library and read back by a server without it.
"""

import os
import random
import socket
import subprocess

from real import run_test


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def commands(seed):
    draw = random.Random(seed)
    for i in range(30000):
        key = f"key:{draw.randrange(4000)}"
        yield draw.choice([
            f"SET s{key} {'x' * draw.randrange(400)}{i}", f"APPEND s{key} {'y' * draw.randrange(1, 60)}",
            f"HSET h{key} f{draw.randrange(90)} {draw.getrandbits(60)}", f"LPUSH l{key} {draw.getrandbits(90)}",
            f"RPOP l{key}", f"SADD u{key} {draw.randrange(10000)}", f"ZADD z{key} {draw.randrange(1000)} m{i % 500}",
            f"DEL s{key} h{key}", f"XADD x{key} {i + 1}-1 a {draw.getrandbits(40)}"])


class Server:
    """One redis-server; the command line client talks to it."""

    def __init__(self, test, name, preload):
        self.test = test
        self.preload = preload
        self.socket = os.path.join(test.folder, f"{name}.sock")
        self.log = os.path.join(test.folder, f"{name}.log")
        self.port = free_port()
        # redis-check-rdb is the server under another name, and comes in a package without a service.
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", self.socket,
                   "--dir", test.folder, "--dbfilename", "dump.rdb", "--save", "", "--appendonly", "no",
                   "--enable-debug-command", "local", "--daemonize", "no"]
        program = test.need("redis-check-rdb", "redis-tools")
        self.process = test.start(["redis-server", *options], preload, self.log, program=program)
        test.wait_for(lambda: os.path.exists(self.socket) and self.ask("PING") == "PONG", self.process, self.log)

    def ask(self, *words, stdin=None):
        done = subprocess.run(["redis-cli", "-s", self.socket, *words], input=stdin, capture_output=True, timeout=120,
                              check=False, text=True)
        return done.stdout.strip() if done.returncode == 0 else None

    def end(self):
        self.ask("SHUTDOWN", "NOSAVE")
        return self.test.stop(self.process)


def fill(test, server):
    answers = server.ask(stdin="\n".join(commands(test.seed)) + "\n")
    return (sum(1 for line in answers.splitlines() if "ERR" in line), len(answers.splitlines()),
            server.ask("DBSIZE"), server.ask("DEBUG", "DIGEST"))


def body(test):
    test.need("redis-cli", "redis-tools")
    benchmark = test.need("redis-benchmark", "redis-tools")
    server = Server(test, "plain", False)
    plain = fill(test, server)
    test.check_equal(server.end(), 0, "the server ends well without the library")
    server = Server(test, "preloaded", True)
    preloaded = fill(test, server)
    test.check(plain[0] == 0 and len(plain[3] or "") == 40, f"data set: {plain[1]} answers, {plain[2]} keys", plain)
    test.check_equal(plain, preloaded, "equal answers and data set")
    test.check_equal(server.ask("DEBUG", "RELOAD"), "OK", "the data set is saved and loaded again")
    test.check_equal(server.ask("DEBUG", "DIGEST"), plain[3], "equal data set after the reload")
    load = test.run([benchmark, "-h", "127.0.0.1", "-p", str(server.port), "-q", "-n", "20000", "-c", "50", "-P", "4",
                     "-d", "200", "-r", "5000", "-t", "set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset"], False,
                    timeout_s=120)
    done = load.stdout.replace(b"\r", b"\n").count(b"requests per second")
    test.check(load.status == 0 and done >= 10, f"redis-benchmark finished {done} kinds of requests", load.stderr)
    test.check_served({"redis-server": test.library.served(server.process.pid)}, "redis-server")
    server.ask("FLUSHALL")
    test.check_equal(fill(test, server), plain, "equal data set again after the load")
    # A child of fork() writes the snapshot while the parent goes on allocating.
    server.ask("BGSAVE")
    server.ask(stdin="SET other 1\n" * 2000 + "DEL other\n")
    test.wait_for(lambda: "rdb_bgsave_in_progress:0" in (server.ask("INFO", "persistence") or ""), server.process,
                  server.log)
    test.check("rdb_last_bgsave_status:ok" in server.ask("INFO", "persistence"), "a forked child writes the snapshot")
    test.check_equal(server.end(), 0, "the server ends well with the library")
    server = Server(test, "again", False)
    test.check_equal(server.ask("DEBUG", "DIGEST"), plain[3], "a server without the library reads the snapshot")
    server.end()


run_test(body)
