# SPDX-License-Identifier: MIT
"""PostgreSQL under the library: initdb and pgbench run clean, and equal work leaves equal tables.

Two clusters of our own in the test's folder, reached by Unix sockets only: one is made and used without the library,
one with it. At the end the second one is served without the library and must still hold the same data.
"""

import glob
import os
import signal
import subprocess

from real import Skip, run_test

TABLES = """
SELECT md5(string_agg(t::text, ',' ORDER BY aid)) FROM pgbench_accounts t;
SELECT md5(string_agg(t::text, ',' ORDER BY bid)) FROM pgbench_branches t;
SELECT md5(string_agg(t::text, ',' ORDER BY tid)) FROM pgbench_tellers t;
SELECT count(*), sum(delta), sum(aid), sum(tid) FROM pgbench_history;
SELECT md5(string_agg(d, ',' ORDER BY g)) FROM made;
"""
WORK = """
CREATE TABLE made AS
    SELECT g, md5((g::bigint * {seed})::text) AS d, (g * 7919) % 1000 AS k FROM generate_series(1, 120000) g;
CREATE INDEX ON made(k, d);
UPDATE made SET d = d || k WHERE k % 3 = 0;
DELETE FROM made WHERE k % 11 = 0;
VACUUM (FULL, ANALYZE) made;
SELECT count(*), md5(string_agg(x.s, ',' ORDER BY x.k)) FROM
    (SELECT a.k, string_agg(a.d || b.d, '' ORDER BY a.g, b.g) AS s FROM made a JOIN made b ON a.k = b.k AND a.g < b.g
     WHERE a.k < 60 GROUP BY a.k) x;
SELECT md5(jsonb_agg(to_jsonb(made) ORDER BY g)::text) FROM made WHERE k < 300;
SELECT k, count(*), regexp_replace(max(d), '[0-9]+', '#', 'g') FROM made GROUP BY k ORDER BY k LIMIT 40;
"""


class Cluster:
    """One cluster and its server."""

    def __init__(self, test, binaries, user, name):
        self.test, self.binaries, self.user = test, binaries, user
        self.data = os.path.join(test.folder, name)
        self.log = os.path.join(test.folder, name + ".log")
        self.server = None
        self.connection = ["-h", test.folder, "-U", "tester"]

    def tool(self, name, *arguments, preload=False, stdin=b"", timeout_s=180):
        return self.test.run([os.path.join(self.binaries, name), *arguments], preload, stdin=stdin, user=self.user,
                             timeout_s=timeout_s)

    def create(self, preload):
        return self.tool("initdb", "-D", self.data, "-U", "tester", "-A", "trust", "--no-sync", "-E", "UTF8",
                         "--locale=C", preload=preload)

    def start(self, preload):
        self.server = self.test.start(
            [os.path.join(self.binaries, "postgres"), "-D", self.data, "-k", self.test.folder,
             "-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=64MB",
             "-c", "max_parallel_workers_per_gather=2"],
            preload, self.log, user=self.user)
        ready = os.path.join(self.binaries, "pg_isready")
        self.test.wait_for(lambda: subprocess.run([ready, "-q", "-h", self.test.folder], check=False).returncode == 0,
                           self.server, self.log)

    def sql(self, text):
        return self.tool("psql", *self.connection, "-d", "postgres", "-qAt", "-v", "ON_ERROR_STOP=1",
                         stdin=text.encode())

    def end(self):
        return self.test.stop(self.server, signal.SIGINT)  # fast shutdown


def fixed_work(test, cluster):
    """Work of one client with a fixed seed; returns all that it answered and left behind."""
    made = cluster.tool("pgbench", *cluster.connection, "-i", "-s", "2", "-q", "postgres")
    ran = cluster.tool("pgbench", *cluster.connection, "-c", "1", "-t", "1500", f"--random-seed={test.seed}",
                       "postgres")
    answers = cluster.sql(WORK.format(seed=test.seed % 100000))
    tables = cluster.sql(TABLES)
    failed = [done.stderr[-800:] for done in (made, ran, answers, tables) if done.status != 0]
    return failed, answers.stdout, tables.stdout


def body(test):
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/pgbench"))
    if not found:
        raise Skip("pgbench is not installed (Debian package postgresql)")
    binaries = os.path.dirname(found[-1])
    user = test.user_for("postgres", "nobody")
    outcomes = []
    for preload in (False, True):
        cluster = Cluster(test, binaries, user, "with" if preload else "without")
        created = cluster.create(preload)
        test.check(created.status == 0, f"initdb succeeds {'with' if preload else 'without'} the library",
                   created.stderr[-1000:])
        cluster.start(preload)
        outcomes.append(fixed_work(test, cluster))
        test.check(not outcomes[-1][0], f"pgbench and psql succeed {'with' if preload else 'without'} the library",
                   outcomes[-1][0])
        if not preload:
            test.check_equal(cluster.end(), 0, "the server ends well without the library")
    test.check_served(created.served, "postgres", "the library serves initdb's bootstrap")
    test.check(outcomes[0][1].count(b"\n") == 42 and outcomes[0][2].count(b"\n") == 5, "all answers are there")
    test.check_equal(outcomes[0][1], outcomes[1][1], "equal answers")
    test.check_equal(outcomes[0][2], outcomes[1][2], "equal tables")
    test.check_served({"postgres": test.library.served(cluster.server.pid)}, "postgres")
    load = cluster.tool("pgbench", *cluster.connection, "-n", "-c", "16", "-j", "2", "-T", "8", "postgres")
    test.check(load.status == 0 and b"number of failed transactions: 0 " in load.stdout, "16 clients run clean",
               load.stderr[-1000:])
    after = cluster.sql(TABLES)
    sums = "SELECT sum(abalance) FROM pgbench_accounts; SELECT sum(bbalance) FROM pgbench_branches; " \
           "SELECT sum(tbalance) FROM pgbench_tellers; SELECT sum(delta) FROM pgbench_history;"
    test.check(len(set(cluster.sql(sums).stdout.split())) == 1, "all balances agree after the load")
    test.check_equal(cluster.end(), 0, "the server ends well with the library")
    cluster.start(False)
    test.check_equal(cluster.sql(TABLES).stdout, after.stdout, "a server without the library reads the same data")
    cluster.end()


run_test(body)
