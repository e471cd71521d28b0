# SPDX-License-Identifier: MIT
"""Python under the library passes its own tests of json, threading and sqlite3, as many as without it.

PYTHONMALLOC=malloc takes Python's small-block allocator out, so that every object is a block of the library.
"""

import re
import sys

from real import Skip, run_test

MODULES = ["test_json", "test_threading", "test_sqlite3"]
ENVIRONMENT = {"PYTHONMALLOC": "malloc"}
PACKAGE = f"libpython3.{sys.version_info.minor}-testsuite"


def tests_run(outcome):
    """(name, verdict) of each test in the verbose output of unittest."""
    text = (outcome.stdout + outcome.stderr).decode(errors="replace")
    return sorted(set(re.findall(r"^(test\w+ \([\w.]+\)).*?\.\.\. (ok|skipped|FAIL|ERROR)", text, re.M)))


def python_with_tests(test):
    """The system's Python before others, because its package of tests is the one that can be installed."""
    for python in ("/usr/bin/python3", test.need("python3", "python3")):
        if test.run([python, "-c", "import test.test_json.__main__, test.test_sqlite3"], False).status == 0:
            return python
    raise Skip(f"Python's own tests are not installed (Debian package {PACKAGE})")


def body(test):
    argv = [python_with_tests(test), "-m", "test", "-v", *MODULES]
    test.note(" ".join(argv))
    plain, preloaded = (test.run(argv, preload, env=ENVIRONMENT) for preload in (False, True))
    passed = [name for name, verdict in tests_run(plain) if verdict == "ok"]
    test.check(len(passed) > 300, f"{len(passed)} tests pass without the library")
    test.check_equal(tests_run(plain), tests_run(preloaded), "the same tests with the same verdicts")
    test.check_equal(plain.status, preloaded.status, "equal exit status")
    test.check_served(preloaded.served, "python3")


run_test(body)
