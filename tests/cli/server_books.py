# SPDX-License-Identifier: MIT
"""The books of a server as a test sees them, the rows that they are made of, and servers that hold still."""

import json
import os
import re
import signal
import time

from tap import equal, run, wait_for

SAMPLE = os.environ["EBB_BOOKS_SAMPLE"]
SOURCE = os.environ["EBB_SOURCE"]
# A machine may be busy with other things: where the budget is not what is tried, there is plenty.
SLACK_S = 5
PLENTY_MS = 30000

for variable in ("LD_PRELOAD", "PGHOST", "PGHOSTADDR", "PGSERVICE", "PGPORT", "PGUSER", "PGPASSWORD", "MYSQL_HOST",
                 "MYSQL_TCP_PORT"):
    os.environ.pop(variable, None)


def books(pid, *options, **more):
    if "--budget-ms" not in options:
        options = ("--budget-ms", PLENTY_MS, *options)
    done = run(SAMPLE, *options, pid, **more)
    equal((done.returncode, done.stderr), (0, ""))
    return json.loads(done.stdout)


def timed_books(pid, *options):
    start = time.monotonic()
    found = books(pid, *options)
    return found, time.monotonic() - start


def rows_of(name):
    """(field, source, key, unit, where) of a table."""
    with open(os.path.join(SOURCE, "src/books", name), encoding="utf-8") as file:
        return re.findall(r'^EBB_BOOKS_ROW\((\w+), (\w+), "([^"]*)", (\w+), (\w+)\)', file.read(), re.M)


def hold(process):
    """Stops a server, all its threads."""
    process.send_signal(signal.SIGSTOP)
    wait_for("the stop", lambda: open(f"/proc/{process.pid}/stat", encoding="utf-8").read().rsplit(") ", 1)[1][0] == "T")
