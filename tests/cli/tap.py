# SPDX-License-Identifier: MIT
"""A test script of named cases that prints TAP: decorate functions with @case, end with main()."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

CASES = []
# How many times slower than a machine this one may be: tools/vm.py says so of a processor in software. For bounds on times.
SLOW = int(os.environ.get("EBB_TEST_SLOW", "1"))


class Skip(Exception):
    """The case cannot be tried on this machine; the text says what is missing."""


def case(function):
    CASES.append(function)
    return function


def main():
    # A run that was started by nohup ignores it, and hands that on to every program under test.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    only = sys.argv[1:]
    chosen = [f for f in CASES if not only or f.__name__ in only]
    print(f"1..{len(chosen)}", flush=True)
    failures = 0
    for number, function in enumerate(chosen, 1):
        name = function.__name__
        try:
            function()
            print(f"ok {number} - {name}", flush=True)
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        except Exception:  # a case may fail in any way
            failures += 1
            print(f"not ok {number} - {name}", flush=True)
            for line in traceback.format_exc().splitlines():
                print("# " + line, flush=True)
    shutil.rmtree(folder(), ignore_errors=True)
    return 1 if failures else 0


_FOLDER = []


def folder():
    """A folder for what the cases make, which other users may enter."""
    if not _FOLDER:
        _FOLDER.append(tempfile.mkdtemp(prefix="ebb-cli-"))
        os.chmod(_FOLDER[0], 0o755)
    return _FOLDER[0]


def reachable(program):
    """The program, or a copy of it where its own folder may not be entered by other users."""
    if not os.path.isabs(program):
        return program
    above = os.path.dirname(program)
    while os.stat(above).st_mode & 1 and above != "/":
        above = os.path.dirname(above)
    if os.stat(above).st_mode & 1:
        return program
    copy = os.path.join(folder(), os.path.basename(program))
    if not os.path.exists(copy):
        shutil.copy(program, copy)
    return copy


def run(*args, env=None, timeout=60, **more):
    """Runs to the end, also as another user. Returns the CompletedProcess with texts."""
    if "user" in more:
        args = (reachable(args[0]), *args[1:])
        more.setdefault("cwd", "/")
    merged = dict(os.environ)
    merged.update(env or {})
    return subprocess.run([str(a) for a in args], env=merged, timeout=timeout, capture_output=True, text=True,
                          **more)


def compile_c(name, source, *flags, compiler=None):
    """Compiles a program or skips the case."""
    compiler = compiler or os.environ.get("CC", "cc").split()[0]
    if shutil.which(compiler) is None:
        raise Skip(f"no compiler {compiler}")
    path = os.path.join(folder(), name)
    with open(path + ".c", "w", encoding="utf-8") as file:
        file.write(source)
    done = run(compiler, "-O1", "-w", "-o", path, path + ".c", *flags)
    if done.returncode != 0:
        raise Skip(f"cannot compile with {' '.join(flags) or compiler}")
    return path


def wait_for(what, condition, timeout_s=30):
    """Polls until the condition holds and returns its value."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what}: not within {timeout_s} s")


def equal(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


def contains(text, part):
    assert part in text, f"{part!r} is not in {text!r}"
