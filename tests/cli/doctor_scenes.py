# SPDX-License-Identifier: MIT
"""What tests of `ebb doctor` are made of: reports, findings that are whole, captured trees that are changed, full cgroups."""

import contextlib
import json
import os
import re
import shutil

import memory_cgroup
from tap import Skip, equal, folder, run

EBB = os.environ["EBB_TOOL"]
SOURCE = os.environ["EBB_SOURCE"]
QUICK = ["--between", "50ms"]
MIB = 1 << 20


def told_of(*arguments):
    done = run(EBB, "doctor", "--json", *QUICK, *arguments)
    equal((done.returncode, done.stderr), (0, ""))
    return json.loads(done.stdout)


def found(*arguments):
    """Findings by the id of their rule, and all of the report."""
    told = told_of(*arguments)
    return {row["id"]: row for row in told["findings"]}, told


def evidence(told, rule):
    return " | ".join(row["text"] for row in told["evidence"] if row["id"] == rule)


def check_finding(row):
    """A finding is whole: what, why, what to do, what it gives, what it costs."""
    for key in ("title", "mechanism", "gain", "risk", "undo"):
        assert row[key], row
    assert row["now"] or row["for_good"], row
    equal(row["mechanism"].count(". ") + row["mechanism"].endswith("."), 2)


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


def edited(root, edits):
    """Changes files of a tree: a text, or a function of the text that is there."""
    for path, edit in edits.items():
        name = os.path.join(root, path)
        os.makedirs(os.path.dirname(name), exist_ok=True)
        text = ""
        if callable(edit):
            with open(name, encoding="utf-8") as file:
                text = file.read()
        with open(name, "w", encoding="utf-8") as file:
            file.write(edit(text) if callable(edit) else edit)
    return root


TREES = []


def new_tree():
    TREES.append(os.path.join(folder(), f"tree{len(TREES)}"))
    return TREES[-1]


def captured(pid, edits, *options):
    root = new_tree()
    done = run(EBB, "capture", *options, "--pid", pid, root)
    equal(done.returncode, 0)
    return edited(root, edits)


def host(edits):
    """A quiet host, changed."""
    root = new_tree()
    shutil.copytree(os.path.join(SOURCE, "tests/fixtures/host-x86-6.18"), root)
    return edited(root, edits)


def lines(**values):
    """Sets numbers in a file of lines "name value" or "Name: value kB"."""
    def edit(text):
        for key, value in values.items():
            pattern = rf"^({re.escape(key)}:?\s+)\d+"
            assert re.search(pattern, text, re.M), key
            text = re.sub(pattern, rf"\g<1>{value}", text, flags=re.M)
        return text
    return edit


@contextlib.contextmanager
def hogs(name, limit, *adjs):
    need_root()
    group = memory_cgroup.Group("doctor-" + name, limit)
    made = []
    try:
        for adj in adjs:
            made.append(memory_cgroup.Hog(group, adj))
        yield made
    finally:
        for hog in made:
            hog.end()
        group.end()
