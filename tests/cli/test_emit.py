# SPDX-License-Identifier: MIT
"""The five formats over a report with every kind of cell and odd names: JSON by Python's parser, OpenMetrics by a strict one."""

import csv
import io
import json
import os
import pathlib
import re
import subprocess

import openmetrics
import tap
from tap import case, contains, equal

SAMPLE = os.environ["EBB_EMIT_SAMPLE"]
NAMES = ["plain", 'a"b', "a,b", "two\nlines", "back\\slash", "\ufffd\ufffd\ufffd", "ä€", "\x1b[31m\x7f\x9b\u202e\u2069", "", "=1+1"]
HUGE = 2**64 - 1


def sample(*args):
    done = subprocess.run([SAMPLE, *args], capture_output=True, check=False, timeout=30)
    equal((done.returncode, done.stderr), (0, b""))
    return done.stdout


def check_row(row, name, pid):
    equal(row["name"], name)
    equal(row["pid"], pid)
    equal((row["rss_bytes"], row["change_bytes"], row["read_bytes_per_s"]), (HUGE, -1536, 2048.5))
    equal((row["cpu_percent"], row["faults_total"], row["faults_per_s"], row["wait_ms"]), (12.5, HUGE, 0.25, 1500))
    equal((row["start_address"], row["alive"], row["state"]), ("0x7fff", pid == 1, 'it, "is"'))
    assert "unknown" not in row


def check_unknown(row):
    equal((row["name"], row["pid"]), ("unknown", 99))
    for key in ("rss_bytes", "change_bytes", "cpu_percent", "faults_per_s", "start_address", "alive"):
        assert row[key] is None, key
    equal(row["unknown"]["rss_bytes"], 'denied, "really"')
    assert "change_bytes" not in row["unknown"]


@case
def json_is_one_line_that_python_reads():
    data = sample("json", "-", "2").decode("utf-8")
    lines = data.splitlines()
    equal(len(lines), 2)
    for line in lines:
        report = json.loads(line, parse_constant=lambda word: 1 / 0)
        equal(report["schema"], "ebb.sample/1")
        assert len(report["time"]) == 20
        equal(len(report["tasks"]), len(NAMES) + 1)
        for at, name in enumerate(NAMES):
            check_row(report["tasks"][at], name, at + 1)
        check_unknown(report["tasks"][-1])
        equal(report["nothing"], [])
        check_row(report["one_task"], "one", 1)
        equal([note["key"] for note in report["notes"]], ["first", "second"])
        equal(report["notes"][0]["text"], 'A note with "quotes", a 7 and a line\nbreak.')
        equal(report["notes"][1]["text"], "Another \ufffd note.")


@case
def json_lines_each_say_what_they_are():
    rows = [json.loads(line) for line in sample("jsonl").decode("utf-8").split("\n")[:-1]]
    equal([row["section"] for row in rows], ["tasks"] * 11 + ["notes", "one_task", "notes"])
    for at, name in enumerate(NAMES):
        equal(rows[at].pop("schema"), "ebb.sample/1")
        check_row(rows[at], name, at + 1)
    check_unknown(rows[10])


@case
def no_column_is_called_as_what_stands_before_the_cells():
    tool = pathlib.Path(os.environ["EBB_SOURCE"], "src", "tool")
    keys = []
    for path in [*tool.glob("*.c"), *tool.glob("*.def")]:
        for key in re.findall(r'(?:[{(]|\.key = )"([a-z][a-z0-9_]*)",', path.read_text(encoding="utf-8")):
            keys.append((key, path.name))
    assert ("pid", "oom_explain.c") in keys and len(keys) > 100, len(keys)
    equal([found for found in keys if found[0] in ("schema", "time", "section", "unknown")], [])


@case
def csv_comes_back_as_it_was():
    text = sample("csv", "-", "2", "single").decode("utf-8")
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    equal(len({len(row) for row in rows}), 1)
    equal(rows[0][:4], ["section", "time", "name", "pid"])
    equal(len(rows), 1 + 2 * 11)  # one table has one head
    equal([row[2] for row in rows[1:11]], NAMES)
    equal(rows[1][4:], [str(HUGE), "-1536", "2048.5", "12.5", str(HUGE), "0.25", "1500", "0x7fff", "true", 'it, "is"'])
    equal(rows[11][4:], [""] * 10)


@case
def csv_has_a_head_for_each_section():
    text = sample("csv").decode("utf-8")
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    equal([row[0] for row in rows], ["section"] + ["tasks"] * 11 + ["section", "section", "one_task"])
    rows = list(csv.reader(io.StringIO(sample("csv", "-", "1", "no-header").decode("utf-8"), newline="")))
    equal([row[0] for row in rows], ["tasks"] * 11 + ["one_task"])


@case
def openmetrics_is_strict():
    reports = openmetrics.parse_all(sample("openmetrics", "-", "2"))
    equal(len(reports), 2)
    families = reports[0]
    rss = families["ebb_sample_tasks_rss_bytes"]
    equal((rss["type"], rss["unit"]), ("gauge", "bytes"))
    equal(rss["help"], 'a \\"size\\", in \\\\ bytes\\nof memory')
    equal(len(rss["samples"]), 10)
    assert '{name="two\\nlines",pid="4"}' in rss["samples"], rss["samples"]
    assert '{name="a\\"b",pid="2"}' in rss["samples"]
    assert '{name="back\\\\slash",pid="5"}' in rss["samples"]
    assert '{name="\ufffd\ufffd\ufffd",pid="6"}' in rss["samples"]
    plain = '{name="plain",pid="1"}'
    equal(families["ebb_sample_tasks_change_bytes"]["samples"][plain], -1536)
    equal(families["ebb_sample_tasks_read_bytes_per_second"]["samples"][plain], 2048.5)
    equal(families["ebb_sample_tasks_cpu_ratio"]["samples"][plain], 0.125)
    equal(families["ebb_sample_tasks_wait_seconds"]["samples"][plain], 1.5)
    equal(families["ebb_sample_tasks_alive"]["samples"][plain], 1)
    equal(families["ebb_sample_tasks_faults"]["type"], "counter")
    assert "ebb_sample_tasks_state" not in families and "ebb_sample_tasks_start_address" not in families
    for family in families.values():
        assert not any("unknown" in labels for labels in family["samples"])


@case
def people_see_columns_in_line_and_no_control_characters():
    text = sample("human", "-", "1", "single").decode("utf-8")
    lines = text.split("\n")[:-1]
    equal(lines[0], "Tasks")
    equal(lines[1], "NAME            PID     RSS  CHANGE   READ   %CPU FAULTS  FLT/S   WAIT            START ALIVE STATE")
    equal(lines[2].split()[:8], ["plain", "1", "16.0E", "-1.5K", "2.0K", "12.5", str(HUGE), "0.25"])
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for line in lines for c in line)
    contains(text, "\n?[31m????  ")
    # Whatever the name, the cell behind it ends in the same column.
    for line, pid in zip(lines[2:12], range(1, 11)):
        equal(line[12:19].strip(), str(pid))
    equal(lines[12].split(), ["unknown", "99"] + ["-"] * 10)
    equal(len(lines), 13)


@case
def people_see_looks_apart():
    text = sample("human", "-", "2").decode("utf-8")
    equal(text.count("\n\nTasks\n"), 1)
    assert text.startswith("Tasks\n")
    equal(text.count("\n\nOne of them\n"), 2)
    assert "\n\n\n" not in text
    single = sample("human", "-", "2", "single").decode("utf-8")
    equal(single.count("NAME"), 1)
    equal(single.count("\n\n"), 0)
    equal(sample("human", "-", "2", "single,no-header").count(b"NAME"), 0)


@case
def units_are_for_people_only():
    contains(sample("human", "K", "1", "single").decode("utf-8"), " -2 ")
    contains(sample("human", "B", "1", "single").decode("utf-8"), f" {HUGE} ")
    equal(json.loads(sample("json", "G"))["tasks"][0]["change_bytes"], -1536)


@case
def what_is_asked_for_wrongly_is_said_in_a_line():
    for args, word in ((["yaml"], "'yaml' is none of"), (["human", "T"], "'T' is none of"), (["human", "KB"], "'KB'"),
                       (["csv", "-", "1", "json"], "exclude each other")):
        done = subprocess.run([SAMPLE, *args], capture_output=True, text=True, check=False, timeout=30)
        equal((done.returncode, done.stdout, done.stderr.count("\n")), (2, "", 1))
        contains(done.stderr, word)


if __name__ == "__main__":
    raise SystemExit(tap.main())
