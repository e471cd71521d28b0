# SPDX-License-Identifier: MIT
"""What all reporting commands have in common: the five formats of one report, and the options for them."""

import csv
import io
import json
import os
import subprocess
import sys
import time

import openmetrics
from tap import case, equal, main, contains

EBB = os.environ["EBB_TOOL"]
ODD = 'a "b", c\\d'


def run(*arguments):
    return subprocess.run([EBB, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60, check=False)


class Odd:
    """A process that sleeps under a name with quotes, a comma and a backslash."""

    def __enter__(self):
        code = f"import ctypes, time; ctypes.CDLL(None).prctl(15, {ODD.encode()!r}); print('ready', flush=True); time.sleep(60)"
        self.process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        self.process.stdout.readline()
        return self.process.pid

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def report(form, pid):
    done = run("maps", "--group", "--format", form, pid)
    equal((done.returncode, done.stderr), (0, ""))
    return done.stdout


@case
def formats_hold_the_same_rows():
    with Odd() as pid:
        document = json.loads(report("json", pid))
        lines = [json.loads(line) for line in report("jsonl", pid).splitlines()]
        rows = list(csv.DictReader(io.StringIO(report("csv", pid))))
        equal(document["schema"], "ebb.maps/1")
        groups = document["groups"]
        equal({row["process"] for row in groups}, {ODD})
        equal([row["class"] for row in lines if row["section"] == "groups"], [row["class"] for row in groups])
        equal([row["class"] for row in rows if row["section"] == "groups"], [row["class"] for row in groups])
        equal({row["process"] for row in rows}, {ODD})
        assert all(row["time"] == rows[0]["time"] for row in rows)


@case
def openmetrics_is_well_formed():
    with Odd() as pid:
        families = openmetrics.parse(report("openmetrics", pid).encode())
    assert "ebb_maps_groups_rss_bytes" in families, families.keys()
    assert sum(len(family["samples"]) for family in families.values()) > 20, families


@case
def what_is_not_known_has_a_reason():
    with Odd() as pid:
        # One look tells no growth.
        document = json.loads(run("maps", "--budget", "--json", pid).stdout)
    budget = document["budget"][0]
    assert all(budget[key] is None and reason for key, reason in budget["unknown"].items()), budget
    contains(str(budget["unknown"]), "--between")


@case
def options_are_checked():
    for arguments, part in ((["--format", "xml"], "'xml' is none of human, json"),
                            (["--unit", "T"], "'T' is none of B, K, M and G"),
                            (["--json", "--format", "csv"], "exclude each other")):
        done = run("maps", *arguments, os.getpid())
        equal((done.returncode, done.stdout), (2, ""))
        contains(done.stderr, part)
        equal(done.stderr.count("\n"), 1)
    equal(run("maps", "--json", "--format", "json", os.getpid()).returncode, 0)
    done = run("maps", "--root", "/dev", 1)
    equal((done.returncode, done.stdout), (1, ""))
    contains(done.stderr, "/dev is no captured tree")
    for command in (["maps", 1], ["ps"], ["oom"], ["vm"], ["reclaim"]):
        done = run(*command, "--root", "")
        equal((done.returncode, done.stdout, done.stderr.count("\n")), (2, "", 1))
        contains(done.stderr, "--root needs the folder")


@case
def control_characters_do_not_reach_the_terminal():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "\x1b[31m\x07"])
    try:
        time.sleep(0.3)
        for arguments in ([], ["--group"], ["--budget"]):
            text = run("maps", *arguments, child.pid).stdout
            assert "\x1b" not in text and "\x07" not in text, text
    finally:
        child.kill()
        child.wait()


if __name__ == "__main__":
    main()
