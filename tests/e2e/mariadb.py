# SPDX-License-Identifier: MIT
"""MariaDB under the library keeps its data: under 64 threads of sysbench, and against a run without the library.

EBB_E2E_SECONDS sets the length of the load (default 20).
"""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "preload"))
# pylint: disable=wrong-import-position
from mariadb_server import DATABASE, Server  # noqa: E402
from real import run_test  # noqa: E402

SECONDS = int(os.environ.get("EBB_E2E_SECONDS", "20"))
TABLES, ROWS, THREADS = 4, 10000, 64
FIXED_EVENTS = 1500
# Memory in other patterns than sysbench's: sorts, temporary tables, DDL, full text, JSON, recursion, wide rows.
STATEMENTS = [
    "CREATE TABLE made (id INT PRIMARY KEY, k INT, name VARCHAR(200), body LONGTEXT, KEY (k), KEY (name)) "
    "SELECT seq AS id, seq * 7919 % 1009 AS k, MD5(seq) AS name, REPEAT(MD5(seq * 3), seq % 40) AS body "
    "FROM seq_1_to_20000",
    "UPDATE made SET name = CONCAT(name, k), body = CONCAT(body, name) WHERE k % 3 = 0; "
    "DELETE FROM made WHERE k % 13 = 0",
    "ALTER TABLE made ADD FULLTEXT (body), ADD COLUMN j JSON, DROP KEY name; ANALYZE TABLE made",
    "UPDATE made SET j = JSON_OBJECT('k', k, 'n', JSON_ARRAY(name, id))",
    "SELECT k, COUNT(*), MD5(GROUP_CONCAT(name ORDER BY id)) FROM made GROUP BY k ORDER BY COUNT(*), k LIMIT 400",
    "SELECT MD5(GROUP_CONCAT(x.c ORDER BY x.k)) FROM (SELECT a.k, COUNT(*) AS c FROM made a JOIN made b "
    "ON a.k = b.k AND a.name < b.name GROUP BY a.k) x",
    "SELECT id, k, RANK() OVER (PARTITION BY k ORDER BY name) FROM made WHERE k < 40 ORDER BY k, id",
    "SELECT SUM(JSON_VALUE(j, '$.k')), MAX(JSON_EXTRACT(j, '$.n[0]')), SUM(CRC32(REVERSE(body))) FROM made",
    "WITH RECURSIVE f AS (SELECT 1 AS n, CAST(1 AS CHAR(4000)) AS path UNION ALL SELECT n + 1, CONCAT(path, ',', n) "
    "FROM f WHERE n < 700) SELECT MD5(GROUP_CONCAT(path ORDER BY n)) FROM f",
]


def fixed_run(test, user, filled, preload):
    """One thread, fixed seed, fixed number of transactions: what it answers and the checksums of what it leaves behind.

    The tables are filled beforehand, because sysbench does not obey its seed while it prepares them.
    """
    how = "with" if preload else "without"
    server = Server(test, user, "fixed-" + how).copy_of(filled)
    server.start(preload)
    ran = server.sysbench("run", 2, 5000, events=FIXED_EVENTS)
    done = re.search(rb"transactions:\s+(\d+)", ran.stdout)
    test.check(ran.status == 0 and done and int(done.group(1)) == FIXED_EVENTS,
               f"{FIXED_EVENTS} transactions of one thread {how} the library",
               (ran.stdout + ran.stderr)[-1500:].decode(errors="replace"))
    answers = [server.sql(f"USE {DATABASE}; {statement}") for statement in STATEMENTS]
    answers.append(server.checksums())
    test.check_equal(server.end(), 0, f"the server ends well {how} the library")
    return answers


def load_run(test, user, empty):
    """Many threads; then the tables must be whole, and a server without the library must read the same data."""
    server = Server(test, user, "load").copy_of(empty)
    server.start(True)
    made = server.sysbench("prepare", TABLES, ROWS)
    test.check(made.status == 0, "sysbench prepares its tables", made.stdout[-1500:].decode(errors="replace"))
    before = test.library.served(server.process.pid)
    ran = server.sysbench("run", TABLES, ROWS, threads=THREADS, seconds=SECONDS)
    done = re.search(rb"transactions:\s+(\d+)", ran.stdout)
    test.check(ran.status == 0 and done and int(done.group(1)) > 0,
               f"{THREADS} threads for {SECONDS} s: {done.group(1).decode() if done else 'no'} transactions",
               (ran.stdout + ran.stderr)[-1500:].decode(errors="replace"))
    after = test.library.served(server.process.pid)
    test.check(after > 0 and (after > before or test.library.stand_in),
               f"the library serves mariadbd (counter {before} before the load, {after} after it)")
    test.check_equal(server.faults(), [], "CHECK TABLE ... EXTENDED finds nothing after the load")
    under_library = server.checksums()
    malloc_name = server.sql("SELECT @@version_malloc_library")
    test.note("version_malloc_library is " + malloc_name)
    test.check(test.library.stand_in or "ebb" in malloc_name, "version_malloc_library names the library", malloc_name)
    test.check_equal(server.end(), 0, "the server ends well after the load")
    server.start(False)
    test.check_equal(under_library, server.checksums(), "equal CHECKSUM TABLE after a restart without the library")
    test.check_equal(server.faults(), [], "CHECK TABLE ... EXTENDED finds nothing without the library")
    server.end()


def body(test):
    for program, package in (("mariadbd", "mariadb-server-core"), ("mariadb-install-db", "mariadb-server-core"),
                             ("mariadb", "mariadb-client-core"), ("sysbench", "sysbench")):
        test.need(program, package)
    user = test.user_for("mysql", "nobody")
    empty = Server(test, user, "empty")
    empty.create()
    filled = Server(test, user, "filled").copy_of(empty)
    filled.start(False)
    made = filled.sysbench("prepare", 2, 5000)
    test.check(made.status == 0 and filled.end() == 0, "two tables are filled", made.stdout[-1500:])
    plain = fixed_run(test, user, filled, False)
    preloaded = fixed_run(test, user, filled, True)
    test.check(plain[-1].count(DATABASE + ".") == 3, "checksums of three tables", plain[-1])
    for number, statement in enumerate([*STATEMENTS, "CHECKSUM TABLE"]):
        test.check_equal(plain[number], preloaded[number], f"equal: {statement[:60]}".replace("#", ""))
    load_run(test, user, empty)


run_test(body)
