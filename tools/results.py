# SPDX-License-Identifier: MIT
"""Collects the results of several test runs and reports them as one.

results.py add RESULTS LABEL TESTLOG     adds the tests of a meson testlog.json, one line each
results.py suites NAME...                meson's --suite options for those suites that exist (stdin: meson introspect)
results.py tests NAME...                 the tests of those suites that need no preloaded library (stdin: the same)
results.py suites --list                 the names of all suites
results.py report RESULTS                skipped and failed tests with their reasons, and the sum as the last line
"""

import json
import os
import re
import sys

TAIL_LINES = 30
PASSED, SKIPPED = ("OK", "EXPECTEDFAIL"), ("SKIP",)


def skip_reason(entry):
    """What a skipped test said: TAP's reason, or the last line of its output (exit status 77)."""
    output = (entry.get("stdout") or "") + "\n" + (entry.get("stderr") or "")
    tap = re.search(r"# SKIP:?\s*(.+)", output, re.I)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return tap.group(1).strip() if tap else lines[-1] if lines else "no reason given"


def failure_log(entry, folder):
    """Keeps the output of a failed test in a file and returns its name."""
    name = re.sub(r"[^\w.-]+", "_", entry["name"])
    path = os.path.join(folder, f"failed-{name}.log")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"result: {entry['result']}\ncommand: {' '.join(entry.get('command', []))}\n")
        file.write((entry.get("stdout") or "") + (entry.get("stderr") or ""))
    return path


def add(results, label, testlog):
    prefix = f"{label}: " if label else ""
    with open(results, "a", encoding="utf-8") as out:
        if not os.path.exists(testlog):
            out.write(f"FAIL\t{prefix}meson test wrote no log\t\n")
            return 0
        with open(testlog, encoding="utf-8") as file:
            for line in file:
                entry = json.loads(line)
                name = prefix + entry["name"].replace("ebb:", "", 1)
                if entry["result"] in PASSED:
                    out.write(f"PASS\t{name}\t\n")
                    write_partial_skips(out, name, entry)
                elif entry["result"] in SKIPPED:
                    out.write(f"SKIP\t{name}\t{skip_reason(entry)}\n")
                else:
                    out.write(f"FAIL\t{name}\t{failure_log(entry, os.path.dirname(testlog))}\n")
    return 0


def write_partial_skips(out, name, entry):
    """A test that passed may have skipped a part; that is listed too, but the test counts once."""
    for part in re.finditer(r"^ok \d+ - (.+?) # SKIP:?\s*(.+)$", entry.get("stdout") or "", re.M):
        out.write(f"PART\t{name}, {part.group(1)}\t{part.group(2)}\n")


def suites(names):
    existing = sorted({suite.split(":")[-1] for test in json.load(sys.stdin) for suite in test["suite"]})
    if names == ["--list"]:
        print(" ".join(existing))
    else:
        print(" ".join(f"--suite {name}" for name in names if name in existing))
    return 0


def tests(names):
    """Tests for a build whose library cannot be preloaded: under a sanitizer, or for another processor."""
    for test in json.load(sys.stdin):
        text = " ".join(test["cmd"]) + str(test["env"])
        if "libebb-malloc" not in text and not test["name"].endswith("@glibc") \
                and any(suite.split(":")[-1] in names for suite in test["suite"]):
            print(test["name"])
    return 0


def report(path):
    rows = []
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            rows = [line.rstrip("\n").split("\t") for line in file]
    by_kind = {kind: [row for row in rows if row[0] == kind] for kind in ("PASS", "FAIL", "SKIP", "PART")}
    print()
    for _, name, reason in by_kind["SKIP"] + by_kind["PART"]:
        print(f"skipped: {name}: {reason}")
    for _, name, log in by_kind["FAIL"]:
        print(f"failed: {name}" + (f"   ({log})" if log else ""))
        if log and os.path.exists(log):
            with open(log, encoding="utf-8", errors="replace") as file:
                for line in file.readlines()[-TAIL_LINES:]:
                    print("    " + line.rstrip())
    passed, failed, skipped = (len(by_kind[kind]) for kind in ("PASS", "FAIL", "SKIP"))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


def main(arguments):
    if len(arguments) == 4 and arguments[0] == "add":
        return add(*arguments[1:])
    if len(arguments) >= 2 and arguments[0] == "suites":
        return suites(arguments[1:])
    if len(arguments) >= 2 and arguments[0] == "tests":
        return tests(arguments[1:])
    if len(arguments) == 2 and arguments[0] == "report":
        return report(arguments[1])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
