# SPDX-License-Identifier: MIT
"""Runs ebb-load under one allocator and collects what it reports."""

import json
import os
import subprocess
import tempfile

from .errors import DemoError

PHASES = ("ramp", "steady", "fall", "idle")


class Run:
    """One allocator's samples (time in s, figures in bytes) and its summary."""

    def __init__(self, allocator):
        self.allocator = allocator
        self.samples = []
        self.phases = []  # (name, begin in s, end in s)
        self.summary = {}

    def column(self, key):
        """The (time, figure) pairs of one figure."""
        return [(s["t"], s[key]) for s in self.samples if s.get(key) is not None]

    def record(self):
        """All of it, for --json."""
        return {"allocator": self.allocator.name, "version": self.allocator.version,
                "library": self.allocator.library, "summary": self.summary,
                "phases": [{"name": n, "begin": b, "end": e} for n, b, e in self.phases], "samples": self.samples}


def stop(process, patience=5):
    """Ends a child that we started, and waits for it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def how_it_ended(process):
    if process.returncode < 0:
        return f"was killed by signal {-process.returncode}"
    return f"ended with exit status {process.returncode}"


def spans(phases):
    """The summary's phases as (name, begin, end)."""
    result, at = [], 0.0
    for phase in phases:
        result.append((phase["name"], at, at + phase["seconds"]))
        at += phase["seconds"]
    return result


def prove_served(run, program):
    """ld.so goes on without a library that it cannot preload; then the figures would be of another allocator."""
    wanted = run.allocator.library
    served = run.summary.get("malloc_file", "unknown")
    if wanted and os.path.realpath(served) != wanted:
        raise DemoError(f"{run.allocator.name} did not serve {program}: its malloc came from {served}")


def run_load(program, allocator, options, progress):
    """Runs the load to its end. `options` is a list of arguments; progress.update(sample) is called for each line."""
    run = Run(allocator)
    read_fd, write_fd = os.pipe()
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen([program, "--report-fd", str(write_fd), *options], pass_fds=[write_fd],
                                       env=allocator.environment(), stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True)
        except OSError as error:
            os.close(read_fd)
            raise DemoError(f"cannot start {program}: {error.strerror}") from error
        finally:
            os.close(write_fd)
        try:
            with os.fdopen(read_fd, encoding="utf-8") as lines:
                for line in lines:
                    data = json.loads(line)
                    if data.get("summary"):
                        run.summary = data
                    else:
                        run.samples.append(data)
                        progress.update(data)
            process.wait()
        finally:
            stop(process)
        errors.seek(0)
        text = errors.read().decode(errors="replace").strip()
    if process.returncode != 0 or not run.summary:
        raise DemoError(f"the load under {allocator.name} {how_it_ended(process)}" + (f":\n{text}" if text else ""))
    run.phases = spans(run.summary["phases"])
    prove_served(run, "ebb-load")
    return run
