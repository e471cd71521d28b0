# SPDX-License-Identifier: MIT
"""The sqlite3 shell under the library gives the same answers, and each one reads the file that the other wrote."""

import os
import random

from real import run_test

ROWS = 30000


def generate(seed):
    draw = random.Random(seed)
    yield "PRAGMA journal_mode=wal; CREATE TABLE t(id INTEGER PRIMARY KEY, k INT, g INT, name TEXT, blob BLOB);"
    yield "CREATE INDEX tk ON t(k); CREATE INDEX tg ON t(g, name); CREATE VIRTUAL TABLE words USING fts5(body);"
    yield "BEGIN;"
    for i in range(ROWS):
        yield (f"INSERT INTO t VALUES({i},{draw.randrange(5000)},{draw.randrange(50)},"
               f"'name{draw.getrandbits(40)}',x'{draw.randbytes(draw.randrange(200)).hex()}');")
        if i % 40 == 0:
            text = " ".join(f"w{draw.randrange(700)}" for _ in range(draw.randrange(5, 300)))
            yield f"INSERT INTO words VALUES('{text}');"
    yield "COMMIT;"
    for _ in range(60):
        yield f"UPDATE t SET name=name||'{draw.randrange(9)}', k=k+1 WHERE k={draw.randrange(5000)};"
        yield f"DELETE FROM t WHERE g={draw.randrange(50)} AND k<{draw.randrange(900)};"
    yield "SELECT a.g, count(*), sum(b.k), max(a.name) FROM t a JOIN t b USING(k) WHERE a.g<9 GROUP BY 1 ORDER BY 1;"
    yield "SELECT g, k, rank() OVER (PARTITION BY g ORDER BY k, id) FROM t ORDER BY g, k, id LIMIT 3000;"
    yield "SELECT json_group_array(json_object('id', id, 'n', name)) FROM (SELECT * FROM t ORDER BY id LIMIT 4000);"
    yield "SELECT rowid, snippet(words, 0, '<', '>', '.', 5) FROM words WHERE words MATCH 'w7 AND w8*' ORDER BY rowid;"
    yield "WITH RECURSIVE f(a,b,n) AS (SELECT 0,1,0 UNION ALL SELECT b,a+b,n+1 FROM f WHERE n<80) SELECT n,a FROM f;"
    yield "VACUUM; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA integrity_check;"
    yield "SELECT count(*), sum(k), sum(length(blob)), group_concat(g) FROM (SELECT * FROM t ORDER BY id);"


CHECK = "PRAGMA integrity_check; SELECT count(*), sum(k), sum(length(name)), sum(length(blob)) FROM t; " \
        "INSERT INTO words(words) VALUES('integrity-check');"


def body(test):
    sqlite3 = test.need("sqlite3", "sqlite3")
    script = "\n".join(generate(test.seed)).encode()
    plain, preloaded = test.both(lambda preload: [sqlite3, "-bail", os.path.join(test.folder, f"{preload}.db")],
                                 "sqlite3", stdin=script)
    test.check(plain.stdout.count(b"\n") > 3000 and b"\nok\n" in plain.stdout, "the script gave its answers")
    test.check_equal(plain.stdout, preloaded.stdout, "equal answers")
    crossed = [test.run([sqlite3, "-bail", os.path.join(test.folder, f"{not preload}.db"), CHECK], preload)
               for preload in (False, True)]
    test.check(all(c.status == 0 and c.stdout.startswith(b"ok\n") for c in crossed), "each file reads well by the other",
               crossed)
    test.check_equal(crossed[0].stdout, crossed[1].stdout, "equal data in both files")
    test.check_served(preloaded.served, "sqlite3")


run_test(body)
