# SPDX-License-Identifier: MIT
"""The limit of mappings, on the real kernel: a process fills its address space, and `ebb maps --budget` says what will fail."""

import contextlib
import fcntl
import functools
import json
import os
import signal
import subprocess
import sys
import time

import tap
from tap import Skip, case, contains, equal, run

EBB = os.environ["EBB_TOOL"]
HOLDER = os.environ["EBB_VMA_HOLDER"]
LIMIT_FILE = "/proc/sys/vm/max_map_count"

# The largest limit that a test fills: a mapping costs the kernel some 200 bytes.
FILLABLE = 130000
PEAK_KIB = 8 * 1024


@contextlib.contextmanager
def limit_locked(how):
    """Runs of this test at the same time agree on who counts on the limit, and who changes it: by a lock on its very file."""
    with open(LIMIT_FILE, encoding="utf-8") as file:
        end = time.monotonic() + 120
        while True:
            try:
                fcntl.flock(file, how | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise Skip("another run of this test holds vm.max_map_count") from None
                time.sleep(0.05)
        yield


def limit():
    with open(LIMIT_FILE, encoding="utf-8") as file:
        value = int(file.read())
    if value > FILLABLE:
        raise Skip(f"vm.max_map_count is {value}: too many mappings to make")
    return value


def counts_on_the_limit(function):
    """The case runs while nobody changes the limit."""
    @functools.wraps(function)
    def locked():
        with limit_locked(fcntl.LOCK_SH):
            function()
    return locked


class Holder:
    """The process that makes mappings as it is told."""

    def __init__(self, process):
        self.process = process
        self.pid = process.pid

    def ask(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def grow(self, steps):
        """(steps done, the call that failed, its errno)"""
        done, call, error = self.ask(f"grow {steps}").split()
        return int(done), call, error

    def budget(self, *options):
        done = run(EBB, "maps", "--budget", "--json", *options, self.pid)
        equal((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout)

    def counted_by_the_kernel(self):
        with open(f"/proc/{self.pid}/maps", encoding="utf-8") as file:
            return sum(not line.rstrip().endswith("[vsyscall]") for line in file)


@contextlib.contextmanager
def holder(*mode):
    process = subprocess.Popen([HOLDER, *mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               start_new_session=True)
    try:
        equal(process.stdout.readline(), "ready\n")
        yield Holder(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def fill(mode, cause, first_call, call, error, per_step, slack=0):
    """Grows to ten below the limit; what is said then must come true."""
    most = limit()
    with holder(*mode) as held:
        facts = held.budget()["budget"][0]
        equal(facts["mappings"], held.counted_by_the_kernel())
        assert facts["main_cause"] != cause or facts["mappings"] < 100, facts
        done = held.grow((most - 10 - facts["mappings"]) // per_step)
        equal(done[1:], ("-", "0"))
        report = held.budget()
        facts = report["budget"][0]
        equal(facts["mappings"], held.counted_by_the_kernel())
        assert most - 12 <= facts["mappings"] <= most - 10, facts
        equal((facts["limit"], facts["main_cause"]), (most, cause))
        assert report["causes"][0]["share_percent"] > 99, report["causes"]
        contains(facts["fails_first"], first_call)
        contains(report["notes"][0]["text"], f"will fail with {error} after {facts['fails_first_left']} more mappings")
        # As many more steps as there is room for, and then the call that was named.
        equal(held.grow(1000), (facts["fails_first_left"] // per_step, call, error))
        after = held.budget()
        equal(after["budget"][0]["mappings"], held.counted_by_the_kernel())
        equal(after["budget"][0]["mappings"], most + slack)
        equal(after["budget"][0]["fails_first_left"], 0)
        contains(after["notes"][0]["text"], f"fails now with {error}")
        print(f"# {cause}: {call}() failed with {error} at {most + slack} of {most} mappings, as said", flush=True)


@case
@counts_on_the_limit
def holes_of_munmap():
    fill(["holes"], "holes", "munmap()", "munmap", "ENOMEM", 1)


@case
@counts_on_the_limit
def parts_with_another_protection():
    fill(["protect"], "protection", "mprotect()", "mprotect", "ENOMEM", 2)


@case
@counts_on_the_limit
def parts_with_other_advice():
    fill(["advice"], "advice", "madvise()", "madvise", "EAGAIN", 2)


@case
@counts_on_the_limit
def files_mapped_again_and_again():
    fill(["files", os.path.join(tap.folder(), "mapped")], "files", "mmap()", "mmap", "ENOMEM", 1, slack=1)


OPERATIONS = {"mremap() to a fixed place": "mremap_fixed", "mremap() that must move": "mremap",
              "split: munmap(), mprotect(), madvise() of a part": "split", "mmap(), brk()": "mmap"}


@case
@counts_on_the_limit
def each_operation_fails_where_it_was_said_to():
    """At each number of mappings from seven below the limit to one above it, all operations are tried."""
    most = limit()
    tried = {}
    with holder("holes") as held:
        held.grow(most - 7 - held.budget()["budget"][0]["mappings"])
        for count in range(most - 7, most + 2):
            report = held.budget()
            equal((report["budget"][0]["mappings"], held.counted_by_the_kernel()), (count, count))
            for row in report["operations"]:
                answer = held.ask("try " + OPERATIONS[row["operation"]])
                equal((count, row["operation"], answer), (count, row["operation"], "ok" if row["left"] > 0 else "ENOMEM"))
                tried.setdefault(row["operation"], []).append(answer)
            equal(held.counted_by_the_kernel(), count)
            if count < most:
                equal(held.grow(1), (1, "-", "0"))
            elif count == most:
                equal(held.ask("map 1"), "1 - 0")
    for operation, answers in tried.items():
        assert {"ok", "ENOMEM"} == set(answers), (operation, answers)
        print(f"# {operation}: refused from {most - 7 + answers.index('ENOMEM')} mappings", flush=True)


@case
@counts_on_the_limit
def growth_and_the_time_to_the_limit():
    most = limit()
    with holder("holes") as held:
        before = held.budget()["budget"][0]["mappings"]
        looking = subprocess.Popen([EBB, "maps", "--budget", "--json", "--between", "1s", str(held.pid)],
                                   stdout=subprocess.PIPE, text=True)
        time.sleep(0.3)
        held.grow(1000)
        facts = json.loads(looking.communicate(timeout=30)[0])["budget"][0]
        equal(facts["mappings"], before + 1000)
        # 1000 mappings in somewhat more than a second.
        assert 900_000 <= facts["growth_per_hour"] <= 3_600_000, facts
        expected = (most - before - 1000) / facts["growth_per_hour"] * 3_600_000
        assert 0.99 * expected <= facts["limit_in_ms"] <= 1.01 * expected, (facts, expected)


@case
@counts_on_the_limit
def cost_of_looking():
    """Time is printed and not judged; peak memory is judged."""
    most = limit()
    with holder("holes") as held:
        held.grow(min(65000, most - 20) - held.budget()["budget"][0]["mappings"])
        times = []
        for _ in range(5):
            start = time.monotonic()
            held.budget()
            times.append((time.monotonic() - start) * 1000)
        print(f"# maps --budget of {held.counted_by_the_kernel()} mappings: {sorted(times)[2]:.0f} ms", flush=True)
        for options in (["--budget"],):
            looking = subprocess.Popen([EBB, "maps", *options, "--watch", "60s", str(held.pid)], stdout=subprocess.PIPE,
                                       text=True)
            try:
                line = looking.stdout.readline()
                contains(line, str(held.pid))
                while "mmap(), brk()" not in line:
                    line = looking.stdout.readline()
                with open(f"/proc/{looking.pid}/status", encoding="utf-8") as file:
                    peak = next(int(row.split()[1]) for row in file if row.startswith("VmHWM"))
            finally:
                looking.send_signal(signal.SIGKILL)
                looking.wait()
                looking.stdout.close()
            print(f"# peak memory of ebb maps {' '.join(options)}: {peak} KiB", flush=True)
            assert peak < PEAK_KIB, peak


@contextlib.contextmanager
def raised_limit(value):
    with limit_locked(fcntl.LOCK_EX):
        with open(LIMIT_FILE, encoding="utf-8") as file:
            before = file.read()
        try:
            with open(LIMIT_FILE, "w", encoding="utf-8") as file:
                file.write(str(max(value, int(before))))
        except OSError as error:
            raise Skip(f"vm.max_map_count is {before.strip()} and may not be raised: {error.strerror}") from error
        try:
            yield
        finally:
            with open(LIMIT_FILE, "w", encoding="utf-8") as file:
                file.write(before)


@case
def costly_reads_are_left_out_unless_asked_for():
    """A process whose pages take more than a second to read, because of its many mappings."""
    if os.geteuid() != 0:
        raise Skip("needs root, to raise vm.max_map_count for a moment")
    with raised_limit(280000), holder("protect") as held:
        equal(held.grow(120000), (120000, "-", "0"))
        done = run(EBB, "maps", held.pid)
        equal((done.returncode, done.stderr.count("\n")), (0, 1))
        for part in (f"(pid {held.pid}, ", "takes about 1.", "they are left out (--deep reads them, --range a part)"):
            contains(done.stderr, part)
        total = next(line for line in done.stdout.splitlines() if line.startswith("total kB"))
        equal(total.split()[3:], ["-", "-"])
        done = run(EBB, "maps", "--group", "--json", held.pid)
        group = json.loads(done.stdout)["groups"][0]
        equal((group["rss_bytes"], group["unknown"]["rss_bytes"]), (None, "left out: it would take long (--deep)"))
        start = time.monotonic()
        done = run(EBB, "maps", "--deep", "--group", "--json", held.pid)
        print(f"# --deep of {held.counted_by_the_kernel()} mappings: {time.monotonic() - start:.1f} s", flush=True)
        assert all(group["rss_bytes"] is not None for group in json.loads(done.stdout)["groups"]), done.stdout
        contains(done.stderr, "takes about 1.")


sys.exit(tap.main())
