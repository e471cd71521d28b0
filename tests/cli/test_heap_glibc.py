# SPDX-License-Identifier: MIT
"""Tests of `ebb heap` on glibc's malloc: the census, the trim that it predicts, verdicts, and that nobody is disturbed."""

import collections
import contextlib
import csv
import ctypes
import glob
import io
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import time
import xml.etree.ElementTree

import openmetrics
import other_libc
import processes
import tap
from tap import Skip, case, contains, equal, run, wait_for

EBB = os.environ["EBB_TOOL"]
HISTORY = os.environ["EBB_HEAP_HISTORY"]
SOURCE = os.path.join(os.environ["EBB_SOURCE"], "tests", "cli", "heap_history.c")

SEEDS = int(os.environ.get("SEEDS", "100"))

for variable in ("LD_PRELOAD", "EBB_LIBRARY", "EBB_MALLOC", "GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "MALLOC_PERTURB_"):
    os.environ.pop(variable, None)


class History:
    """A process with a past, which answers."""

    def __init__(self, process, pid):
        self.process = process
        self.pid = pid

    def ask(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        lines = []
        while True:
            line = self.process.stdout.readline()
            assert line, f"no answer to {text}"
            if line == "done\n":
                return "".join(lines)
            lines.append(line)

    def heap(self, *options):
        done = run(EBB, "heap", "--json", *options, self.pid)
        equal((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout)


@contextlib.contextmanager
def history(seed, megabytes=8, program=HISTORY, **env):
    process = subprocess.Popen([program, str(seed), str(megabytes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True, start_new_session=True, env={**os.environ, **env})
    try:
        words = process.stdout.readline().split()
        assert words[:1] == ["ready"], words
        yield History(process, int(words[1]))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdin.close()
        process.stdout.close()


def need_glibc():
    """Skips where the C library is none that the command knows."""
    with history(1, 1) as past:
        done = run(EBB, "heap", past.pid)
        if done.returncode != 0:
            raise Skip(done.stderr.strip())


# ---- the census ---------------------------------------------------------------------------------------------


def total(element, kind):
    for found in element.findall("total"):
        if found.get("type") == kind:
            return int(found.get("count")), int(found.get("size"))
    raise AssertionError(f"malloc_info has no total of {kind}")


def system(element, kind):
    return [int(found.get("size")) for found in element.findall("system") if found.get("type") == kind][0]


def check_census(past):
    """All figures equal those of malloc_info(3), arena by arena."""
    ours = past.heap()
    theirs = xml.etree.ElementTree.fromstring(past.ask("info"))
    heaps = theirs.findall("heap")
    equal(len(ours["arenas"]), len(heaps))
    equal(ours["summary"]["arenas"], len(heaps))
    free = 0
    for arena, heap in zip(ours["arenas"], heaps):
        fast_count, fast_bytes = total(heap, "fast")
        rest_count, rest_bytes = total(heap, "rest")
        equal((arena["system_bytes"], arena["peak_bytes"]), (system(heap, "current"), system(heap, "max")))
        # The top is among its blocks. The others' sizes come with a flag, 1: the block before is in use.
        equal(arena["free_blocks"] + 1, fast_count + rest_count)
        equal(arena["fast_bytes"], fast_bytes)
        equal(arena["bin_bytes"] + arena["top_bytes"], rest_bytes - (rest_count - 1))
        equal(arena["live_bytes"], system(heap, "current") - fast_bytes - rest_bytes + rest_count - 1)
        free += fast_bytes + rest_bytes - (rest_count - 1)
    summary = ours["summary"]
    equal(summary["free_bytes"], free)
    equal(summary["live_bytes"], system(theirs, "current") - free)
    equal((summary["mapped_blocks"], summary["mapped_bytes"]), total(theirs, "mmap"))
    equal(sum(row["bytes"] for row in ours["free_sizes"]), free - summary["top_bytes"])
    equal(sum(row["blocks"] for row in ours["free_sizes"]), summary["free_blocks"])


def censuses(seeds, program=HISTORY):
    for seed in seeds:
        env = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"} if seed % 3 == 0 else {}
        try:
            with history(seed, 4 + seed % 13, program, **env) as past:
                check_census(past)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}") from error


@case
def census_equals_malloc_info():
    need_glibc()
    censuses(range(1, 31))


def other(release):
    return other_libc.compiled(f"history-{release}", SOURCE, other_libc.unpacked(release))


def version_of(program):
    with history(1, 1, program) as past:
        summary = past.heap()["summary"]
        contains(summary["library"], tap.folder())
        return summary["allocator"]


@case
def census_on_debian_11():
    program = other("bullseye")
    equal(version_of(program), "glibc 2.31")
    censuses(range(1, 21), program)


@case
def census_on_debian_13():
    program = other("trixie")
    equal(version_of(program), "glibc 2.41")
    censuses(range(1, 21), program)


@case
def symbols_agree_where_there_are_some():
    """A debug file with the build-id of this machine's C library, which its package libc6-dbg has."""
    need_glibc()
    with history(2, 1) as past:
        summary = past.heap()["summary"]
    with open(summary["library"], "rb") as file:
        found = re.search(rb"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0(.{20})", file.read(4096), re.S)
    name = found.group(1).hex() if found else "none"
    if not os.path.exists(f"/usr/lib/debug/.build-id/{name[:2]}/{name[2:]}.debug"):
        raise Skip("no debug file of this machine's C library")
    equal(summary["found_by"], "what it looks like, and symbols")


def check_caches(program=HISTORY):
    """Caches that are full to the brim are found, with all that is in them."""
    with history(5 * 7 + 1, 0, program) as past:
        past.ask("fill 5")
        report = past.heap()
        # 7 blocks of each size from 32 to 1040 bytes, for 6 threads.
        equal(report["summary"]["tcache_threads"], 6)
        equal(report["summary"]["tcache_blocks"], 6 * 7 * 64)
        equal(report["summary"]["tcache_bytes"], 6 * 7 * sum(range(32, 1041, 16)))
        assert report["summary"]["tcache_bytes"] <= report["summary"]["tcache_max_bytes"] <= report["summary"]["live_bytes"]
        check_census(past)


@case
def caches_of_threads_are_counted():
    need_glibc()
    if platform.machine() not in ("x86_64", "aarch64"):
        raise Skip("another machine may keep the variables of threads elsewhere")
    check_caches()


@case
def caches_on_debian_11():
    check_caches(other("bullseye"))


@case
def caches_on_debian_13():
    check_caches(other("trixie"))


# ---- the trim -----------------------------------------------------------------------------------------------


def check_trims(seeds, program=HISTORY):
    """Predicted against real, for each seed within 2 % or 256 KiB."""
    errors = []
    shares = []
    drops = []
    seen = collections.Counter()
    for seed in seeds:
        env = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"} if seed % 3 == 0 else {}
        with history(seed, 2 + seed * 7 % 31, program, **env) as past:
            report = past.heap()
            predicted = report["trim"]["total_bytes"]
            before, after = map(int, past.ask("trim").split())
        real = before - after
        equal(sum(arena["trim_bytes"] for arena in report["arenas"]), predicted)
        error = abs(predicted - real)
        errors.append(error)
        drops.append(real)
        seen.update({key: report["trim"][key] for key in ("block_bytes", "main_top_bytes", "kept_top_bytes", "fragment_bytes")})
        seen.update({key: report["summary"][key] for key in ("fast_bytes", "mapped_bytes", "tcache_bytes")})
        shares.append(100 * error / real if real > 0 else 0)
        if error > max(real * 0.02, 256 << 10):
            raise AssertionError(f"seed {seed}: predicted {predicted}, real {real}")
    print(f"# {len(errors)} seeds, {min(drops) >> 10} to {max(drops) >> 10} KiB given back, median "
          f"{statistics.median(drops) / 1024:.0f} KiB: error at most {max(errors) >> 10} KiB, median "
          f"{statistics.median(errors) / 1024:.0f} KiB; at most {max(shares):.2f} %, median {statistics.median(shares):.2f} %",
          flush=True)
    if len(errors) >= 100:
        # The past was no easy one.
        equal([key for key, value in seen.items() if value == 0], [])


@case
def trim_is_predicted():
    need_glibc()
    check_trims(range(1, SEEDS + 1))


@case
def trim_is_predicted_on_debian_11():
    check_trims(range(1, 21), other("bullseye"))


@case
def trim_is_predicted_on_debian_13():
    check_trims(range(1, 21), other("trixie"))


# ---- nobody is disturbed ------------------------------------------------------------------------------------


def switches(pid):
    """How often each thread has been on a processor and left it: a thread that was called into, or stopped, would have more."""
    counts = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/status", encoding="utf-8", errors="replace") as file:
            counts[tid] = re.findall(r"ctxt_switches:\s+(\d+)", file.read())
    return counts


@case
def sleeping_threads_never_run():
    need_glibc()
    with history(4, 8) as past:
        wait_for("threads that sleep", lambda: switches(past.pid) == (time.sleep(0.2), switches(past.pid))[1])
        before = switches(past.pid)
        equal(run(EBB, "heap", past.pid).returncode, 0)
        equal(switches(past.pid), before)


@case
def a_traced_process_can_be_looked_at():
    """A process has one tracer at most: who looks at one that is traced does not trace."""
    need_glibc()
    seize, detach = 0x4206, 17
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    with history(4, 8) as past:
        if libc.ptrace(seize, past.pid, None, None) != 0:
            raise Skip("ptrace is not allowed here: " + os.strerror(ctypes.get_errno()))
        try:
            assert past.heap()["summary"]["live_bytes"] > 0
        finally:
            os.kill(past.pid, signal.SIGSTOP)
            wait_for("the stop", lambda: os.waitpid(past.pid, 0x40000000 | os.WNOHANG)[0] == past.pid)
            libc.ptrace(detach, past.pid, None, None)
            os.kill(past.pid, signal.SIGCONT)
        contains(past.ask("info"), "<malloc")


@case
def a_stopped_process_can_be_looked_at():
    need_glibc()
    with history(6, 8) as past:
        os.kill(past.pid, signal.SIGSTOP)
        assert past.heap()["summary"]["free_bytes"] > 0
        os.kill(past.pid, signal.SIGCONT)
        contains(past.ask("info"), "<malloc")


@case
def moving_arenas_are_right_or_unknown():
    need_glibc()
    known = 0
    with history(7, 4, GLIBC_TUNABLES="glibc.malloc.tcache_count=0") as past:
        past.ask("churn 3000")
        for _ in range(10):
            report = past.heap()
            summary = report["summary"]
            for arena in report["arenas"]:
                if arena["free_blocks"] is None:
                    contains(arena["unknown"]["free_blocks"], "changed all the time")
                    equal(arena["live_bytes"], None)
                    continue
                known += 1
                equal(arena["live_bytes"] + arena["fast_bytes"] + arena["bin_bytes"] + arena["top_bytes"],
                      arena["system_bytes"])
            moved = sum(arena["free_blocks"] is None for arena in report["arenas"])
            equal(summary["arenas_unknown"], moved)
            equal(summary["live_bytes"] is None, moved != 0)
            equal(report["trim"]["total_bytes"] is None, moved != 0)
            if moved:
                contains(" ".join(note["text"] for note in report["notes"]), "could not be looked at")
    assert known > 0


# ---- verdicts -----------------------------------------------------------------------------------------------


class Watch:
    """`ebb heap --watch` on a process with a past."""

    def __init__(self, past):
        self.process = subprocess.Popen([EBB, "heap", "--json", "--watch", "300ms", str(past.pid)], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)

    def look(self):
        line = self.process.stdout.readline()
        assert line, "the watch has ended"
        return json.loads(line)

    def until(self, verdict):
        for _ in range(30):
            report = self.look()["verdict"]
            if report["verdict"] == verdict:
                return report
        raise AssertionError(f"never {verdict}, at last {report}")

    def close(self):
        self.process.kill()
        self.process.communicate(timeout=30)


@case
def verdicts_from_two_looks():
    need_glibc()
    heap_only = "glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=1073741824"
    with history(8, 1, GLIBC_TUNABLES=heap_only) as past:
        with contextlib.closing(Watch(past)) as watch:
            first = watch.look()
            equal(first["verdict"]["verdict"], None)
            contains(first["verdict"]["unknown"]["verdict"], "two looks")
            past.ask("grow 40")
            report = watch.until("leak")
            assert report["live_change_bytes"] > 39 << 20 and report["system_change_bytes"] > 30 << 20, report
            past.ask("fall")
            report = watch.until("retention")
            contains(report["why"], "malloc_trim")
        with contextlib.closing(Watch(past)) as watch:
            watch.look()
            past.ask("grow 30")
            watch.until("filling")
            os.killpg(past.process.pid, signal.SIGKILL)
            _, errors = watch.process.communicate(timeout=30)
            equal(watch.process.returncode, 0)
            contains(errors, "has ended")


# ---- what is refused ----------------------------------------------------------------------------------------


def own_libc(change):
    """A program with a copy of this machine's C library in which `change` has replaced something."""
    tree = os.path.join(tap.folder(), "changed")
    shutil.rmtree(tree, ignore_errors=True)
    os.makedirs(os.path.join(tree, "lib64"))
    with open("/proc/self/maps", encoding="utf-8") as file:
        paths = {line.split(None, 5)[5].strip() for line in file if len(line.split(None, 5)) > 5}
    wanted = [path for path in paths if re.search(r"/(libc\.so\.6|ld-linux[^/]*)$", path)]
    if len(wanted) != 2:
        raise Skip("this machine's C library has other names")
    for path in wanted:
        with open(path, "rb") as file:
            image = file.read()
        to = os.path.join(tree, "lib64", os.path.basename(path))
        with open(to, "wb") as file:
            file.write(change(image) if "libc" in os.path.basename(path) else image)
        os.chmod(to, 0o755)
    # A library for threads that is empty since 2.34.
    pthread = os.path.join(os.path.dirname([path for path in wanted if "libc" in path][0]), "libpthread.so.0")
    if not os.path.exists(pthread):
        raise Skip("no libpthread.so.0")
    shutil.copy(pthread, os.path.join(tree, "lib64"))
    return other_libc.compiled("history-changed", SOURCE, tree)


@case
def unknown_versions_are_refused_with_their_build_id():
    need_glibc()
    program = own_libc(lambda image: re.sub(rb"(release version 2\.)\d\d\.", rb"\g<1>99.", image))
    with history(1, 1, program) as past:
        done = run(EBB, "heap", past.pid)
        equal((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1))
        contains(done.stderr, "of version 2.99, whose layout this command does not know")
        assert re.search(r"build-id [0-9a-f]{40}\)", done.stderr), done.stderr
    program = own_libc(lambda image: image.replace(b"release version", b"release edition"))
    with history(1, 1, program) as past:
        done = run(EBB, "heap", past.pid)
        equal((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1))
        contains(done.stderr, "no version was found")


@case
def others_may_not_look():
    need_glibc()
    if os.getuid() != 0:
        raise Skip("needs root to become another user")
    with history(2, 1) as past:
        done = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", EBB, "heap", past.pid)
        equal((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1))
        contains(done.stderr, "may not be read")


@case
def wrong_usage():
    for args, text in ((["--root", "/", "1"], "captured tree"), (["--format", "xml", "1"], "xml"), ([], "which process"),
                       (["--watch", "0", "1"], "--watch")):
        done = run(EBB, "heap", *args)
        equal((args, done.returncode, done.stdout, done.stderr.count("\n")), (args, 2, "", 1))
        contains(done.stderr, text)
    need_glibc()
    with history(2, 1) as past:
        done = run(EBB, "heap", "--classes", past.pid)
        equal((done.returncode, done.stdout, done.stderr.count("\n")), (2, "", 1))
        contains(done.stderr, "is on glibc")


# ---- formats, settings, other allocators --------------------------------------------------------------------


@case
def all_formats():
    need_glibc()
    with history(3, 4, MALLOC_ARENA_MAX="3", GLIBC_TUNABLES="glibc.malloc.mmap_threshold=200000") as past:
        facts = past.heap()
        equal(facts["schema"], "ebb.heap/1")
        equal((facts["tuning"]["mmap_threshold_bytes"], facts["tuning"]["dynamic"]), (200000, False))
        equal(facts["tuning"]["arena_max"], 3)
        assert 1 <= len(facts["arenas"]) <= 3
        settings = {row["name"]: row["value"] for row in facts["settings"]}
        equal(settings, {"MALLOC_ARENA_MAX": "3", "GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=200000"})
        text = run(EBB, "heap", "--format", "openmetrics", past.pid).stdout
        contains(openmetrics.parse(text.encode()), "ebb_heap_trim_total_bytes")
        rows = list(csv.reader(io.StringIO(run(EBB, "heap", "--format", "csv", past.pid).stdout)))
        assert any(row[:1] == ["arenas"] for row in rows), rows[:3]
        human = run(EBB, "heap", past.pid).stdout
        contains(human, "malloc_trim(0), as predicted:")
        contains(human, "MALLOC_ARENA_MAX")


def preloaded(name):
    machine = platform.machine()
    for folder in (f"/usr/lib/{machine}-linux-gnu", "/usr/lib64", "/usr/lib"):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            return path
    raise Skip(f"no {name}")


def check_other(allocator, library, variable, value):
    path = preloaded(library)
    with history(2, 4, LD_PRELOAD=path, **{variable: value}) as past:
        facts = past.heap()
        equal(facts["summary"]["allocator"], allocator)
        contains(facts["summary"]["library"], os.path.basename(os.path.realpath(path)))
        contains(facts["summary"]["evidence"], "first of")
        settings = {row["name"]: row["value"] for row in facts["settings"]}
        equal(settings, {"LD_PRELOAD": path, variable: value})
        assert sum(row["rss_bytes"] for row in facts["mappings"]) <= facts["summary"]["rss_bytes"] * 1.1
        assert sum(row["rss_bytes"] for row in facts["mappings"]) > 1 << 20
        equal([note["key"] for note in facts["notes"]], ["settings", "rest"])
        return facts["summary"]["version"]


@case
def jemalloc():
    assert re.match(r"\d+\.\d+\.\d+-\d+$", check_other("jemalloc", "libjemalloc.so.2", "MALLOC_CONF", "narenas:2"))


@case
def tcmalloc():
    assert re.match(r"\d+\.\d+", check_other("tcmalloc", "libtcmalloc_minimal.so.4", "TCMALLOC_RELEASE_RATE", "2"))


@case
def mimalloc():
    assert re.match(r"2\.\d\.\d$", check_other("mimalloc", "libmimalloc.so.2", "MIMALLOC_ARENA_EAGER_COMMIT", "0"))


INNER = r"""
#include <stdio.h>
#include <unistd.h>
void *je_malloc(size_t bytes);
int main(void)
{
    char *kept = je_malloc(100);
    kept[0] = 'x';
    puts("ready");
    fflush(stdout);
    return pause() + kept[0];
}
"""


@case
def a_jemalloc_inside_a_program():
    """As redis-server has it when it is built from source: the real one, with a prefix before its functions."""
    archive = next((path for path in sorted(glob.glob("/usr/lib/*/libjemalloc.a")) if os.path.exists(path)), None)
    if archive is None:
        raise tap.Skip("no static jemalloc (Debian package libjemalloc-dev)")
    own = os.path.join(tap.folder(), "libjemalloc-inner.a")
    names = ("malloc calloc realloc free memalign valloc posix_memalign aligned_alloc malloc_usable_size mallocx rallocx "
             "xallocx sallocx dallocx sdallocx nallocx mallctl mallctlnametomib mallctlbymib malloc_stats_print malloc_conf "
             "malloc_message").split()
    tap.run("objcopy", *(f"--redefine-sym={name}=je_{name}" for name in names), archive, own)
    program = tap.compile_c("inner", INNER, own, "-lpthread", "-ldl", "-lm", "-lstdc++")
    with processes.started(program) as child:
        facts = json.loads(tap.run(EBB, "heap", "--json", child.pid).stdout)
        contains(facts["summary"]["allocator"], "glibc")
        note = next(note["text"] for note in facts["notes"] if note["key"] == "inner")
        assert re.search(r"contains jemalloc \d+\.\d+\.\d+-\d+, ", note), note


raise SystemExit(tap.main())
