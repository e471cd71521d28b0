# SPDX-License-Identifier: MIT
"""Screens that are compared byte for byte with files in tests/cli/golden.

EBB_GOLDEN_WRITE=1 in the environment of a test writes them anew: read the difference before it is committed.
"""

import difflib
import os

from tap import run

EBB = os.environ["EBB_TOOL"]
SOURCE = os.environ["EBB_SOURCE"]
FOLDER = os.path.join(SOURCE, "tests/cli/golden")
HOSTS = ["x86-4.18", "arm64-6.1", "x86-6.18"]


def tree(host):
    return os.path.join(SOURCE, "tests/fixtures/host-" + host)


def check(name, *args):
    """The output of `ebb ARGS` is that of golden/NAME.txt."""
    done = run(EBB, *args)
    assert (done.returncode, done.stderr) == (0, ""), (done.returncode, done.stderr)
    path = os.path.join(FOLDER, name + ".txt")
    if os.environ.get("EBB_GOLDEN_WRITE"):
        os.makedirs(FOLDER, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(done.stdout)
    with open(path, encoding="utf-8") as file:
        want = file.read()
    if done.stdout != want:
        lines = difflib.unified_diff(want.splitlines(), done.stdout.splitlines(), path, "ebb " + " ".join(args),
                                     lineterm="")
        raise AssertionError("\n".join(lines))
