# SPDX-License-Identifier: MIT
"""ebb reclaim: what it foretells against the kernel's counters after real pressure, its sums against the kernel's, golden screens.

The real scenes make a swap file and memory cgroups. A process in a cgroup fills it up to its limit with pages of the kinds that the
scene wants; ebb says what reclaim will look at; the process takes a little more; /proc/vmstat says which kind was looked at.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import golden
import openmetrics
import tap
from memory_cgroup import Group, put
from tap import Skip, case, contains, equal, run

EBB = os.environ["EBB_TOOL"]
LOAD = os.environ["EBB_RECLAIM_LOAD"]
KIB = 1024
MIB = 1024 * KIB

# A process hands out memory from stocks of 64 pages for each processor: so close to the limit none is reclaimed yet.
MARGIN_KIB = 1024
# How much is taken beyond the limit: many passes of reclaim, but little against the lists, which change meanwhile.
BEYOND_KIB = 2 * KIB
# Percentage points. In the scenes with active file pages these become inactive while pages are looked at, 1,400 to 2,100 for
# 500 pages; the inactive list of 10,240 pages so grows by up to a fifth in the end and by a tenth in the mean, which moves a share
# of 50 % by 2.5 points.
DRIFT_POINTS = 3
# Of what is looked at, where the rule allows one kind only: pages of which the kernel takes another view while they change lists.
STRAY_PERCENT = 1


def reclaim(*args, **more):
    done = run(EBB, "reclaim", *args, **more)
    equal((done.returncode, done.stderr), (0, ""))
    return done.stdout


def report(*args):
    return json.loads(reclaim("--json", *args))


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def counters(root=""):
    return {name: int(value) for name, value in (line.split() for line in read(root + "/proc/vmstat").splitlines())}


# ---- screens of other hosts ----

CGROUPS = {"x86-4.18": "/system.slice/mysql.service", "arm64-6.1": "/system.slice/mariadb.service", "x86-6.18": "/database"}


@case
def golden_screens():
    for host in golden.HOSTS:
        golden.check(f"reclaim-{host}", "reclaim", "--root", golden.tree(host))


@case
def golden_screens_of_cgroups():
    for host, path in CGROUPS.items():
        golden.check(f"reclaim-{host}-cgroup", "reclaim", "--root", golden.tree(host), "--cgroup", path)


def changed_tree(host, changes):
    """A copy of a host's tree with other contents in some files; given as texts, or as functions of what is there."""
    root = os.path.join(tap.folder(), "changed")
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(golden.tree(host), root)
    for path, change in changes.items():
        os.makedirs(os.path.dirname(root + path), exist_ok=True)
        text = change(read(root + path)) if callable(change) else change
        with open(root + path, "w", encoding="utf-8") as file:
            file.write(text)
    return root


def replaced(pattern, text):
    return lambda old: re.sub(pattern, text, old, count=1)


AGES = "memcg     1 /\n node     0\n          4     9000       1000         20 \n          5        100          3       4000 \n"


@case
def sizes_that_do_not_fit_are_not_known():
    def huge(old):
        old = re.sub("pages free +[0-9]+", f"pages free {2**63 - 9}", old)
        return re.sub(r"(\n +(?:min|low|high|managed)) +[0-9]+", r"\g<1> 1", old)

    zone = report("--root", changed_tree("x86-4.18", {"/proc/zoneinfo": huge}))["zones"][0]
    for key in ("free_bytes", "to_kswapd_bytes", "to_direct_bytes"):
        equal((key, zone[key]), (key, None))
        contains(zone["unknown"][key].lower(), "too large")
    equal(zone["low_bytes"], 4096)


@case
def golden_screen_of_generations():
    root = changed_tree("arm64-6.1", {"/sys/kernel/mm/lru_gen/enabled": "0x0007\n", "/sys/kernel/debug/lru_gen": AGES,
                                      "/proc/meminfo": replaced("SwapFree: +[0-9]+", "SwapFree: 8388544")})
    golden.check("reclaim-generations", "reclaim", "--root", root)


@case
def rules_of_a_host():
    """One file of a captured host changes, and the rule with it."""
    no_file = replaced("nr_inactive_file [0-9]+", "nr_inactive_file 5000")
    scenes = [
        ({}, "cache_trim", "file"),
        ({"/proc/meminfo": replaced("SwapFree: +[0-9]+", "SwapFree: 0")}, "no_swap", "file"),
        ({"/proc/zoneinfo": no_file}, "proportional", "both"),
        ({"/proc/zoneinfo": no_file, "/proc/sys/vm/swappiness": "0\n"}, "host_swappiness_0", "file"),
        ({"/proc/zoneinfo": lambda old: re.sub("pages free +[0-9]+", "pages free 1", re.sub(
            "nr_active_anon [0-9]+", "nr_active_anon 1", re.sub("nr_(in|)active_file [0-9]+", r"nr_\1active_file 5000", old)))},
         "file_is_tiny", "anon"),
    ]
    for changes, rule, scans in scenes:
        row = report("--root", changed_tree("x86-4.18", changes))["next"][0]
        equal((row["rule"], row["scans"]), (rule, scans))


@case
def a_pass_that_may_go_by_two_rules_has_bounds_for_both():
    row = report("--root", golden.tree("x86-6.18"))["next"][0]
    equal(row["rule"], "no_swap")
    root = changed_tree("x86-6.18", {"/proc/meminfo": replaced("SwapFree: +[0-9]+", "SwapFree: 8388544"),
                                     "/proc/zoneinfo": replaced("nr_inactive_file [0-9]+", "nr_inactive_file 400000")})
    row = report("--root", root)["next"][0]
    equal((row["rule"], row["other"], row["scans"]), ("cache_trim", "proportional", "both"))
    equal(row["anon_low_percent"], 0)
    assert 0 < row["anon_high_percent"] < 90, row


# ---- sums ----

def zone_sums(text):
    """What the zones that have memory add up to, as the tool is to find it: {name: pages}."""
    sums = {"free": 0, "low": 0, "managed": 0}
    for zone in re.split(r"^Node ", text, flags=re.M)[1:]:
        found = {name: int(re.search(rf"^ +(?:pages )?{name} +(\d+)", zone, re.M).group(1)) for name in sums}
        if found["managed"]:
            sums = {name: sums[name] + found[name] for name in sums}
    return sums


@case
def sums_of_a_captured_host_are_those_of_its_files():
    for host in golden.HOSTS:
        root = golden.tree(host)
        answer = report("--root", root)
        page = int(re.search(r"page_bytes: (\d+)", read(root + "/MANIFEST")).group(1))
        vmstat, text = counters(root), read(root + "/proc/zoneinfo")
        for name, pages in zone_sums(text).items():
            equal((host, name, sum(zone[name + "_bytes"] for zone in answer["zones"])), (host, name, pages * page))
        for name in ("inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable"):
            pages = int(re.search(rf"nr_{name} (\d+)", text).group(1))
            equal((host, name, answer["lists"][0][name + "_bytes"]), (host, name, pages * page))
            # vmstat was read before zoneinfo was.
            assert abs(pages - vmstat["nr_" + name]) <= 0.05 * pages + 2048, (host, name)
        blocks = [line.split()[4:] for line in read(root + "/proc/buddyinfo").splitlines()]
        free = sum(int(count) << order for zone in blocks for order, count in enumerate(zone))
        for row in answer["huge_pages"]:
            order = (row["page_bytes"] // page).bit_length() - 1
            if order >= len(blocks[0]):
                equal((row["block_count"], row["free_bytes"]), (None, None))
                continue
            count = sum(int(zone[o]) << (o - order) for zone in blocks for o in range(order, len(zone)))
            equal((row["block_count"], row["block_bytes"], row["free_bytes"]), (count, count * row["page_bytes"], free * page))
            assert abs(row["unusable_percent"] - 100 * (1 - (count << order) / free)) < 0.001, row


@case
def sums_of_this_host_agree_with_its_counters():
    """Free pages and lists move while they are read, and processors hold back parts of both."""
    page = os.sysconf("SC_PAGE_SIZE")
    before = counters()
    answer = report()
    after = counters()
    slack = 64 * MIB // page + before["nr_free_pages"] // 50

    def near(what, pages, name):
        low, high = sorted((before[name], after[name]))
        assert low - slack <= pages <= high + slack, (what, pages, low, high, slack)

    near("zones", sum(zone["free_bytes"] for zone in answer["zones"]) // page, "nr_free_pages")
    nodes = {row["node"]: row["free_bytes"] for row in answer["huge_pages"] if row["free_bytes"] is not None}
    if nodes:
        near("blocks", sum(nodes.values()) // page, "nr_free_pages")
    for name in ("inactive_anon", "active_anon", "inactive_file", "active_file"):
        near(name, sum(row[name + "_bytes"] for row in answer["lists"]) // page, "nr_" + name)
    for zone in answer["zones"]:
        assert 0 < zone["min_bytes"] <= zone["low_bytes"] <= zone["high_bytes"], zone
        equal(zone["to_kswapd_bytes"], zone["free_bytes"] - zone["low_bytes"] - zone["reserve_bytes"])


# ---- real pressure ----

def swaps():
    return read("/proc/swaps").splitlines()[1:]


@contextlib.contextmanager
def swap_file(folder, mib):
    """A swap file that is in use, and is removed in every case. Yields None, or the reason why there can be none."""
    path = os.path.join(folder, "swap")
    on = False
    try:
        with open(path, "wb") as file:
            os.chmod(path, 0o600)
            for _ in range(mib):
                file.write(b"\0" * MIB)
            os.fsync(file.fileno())
        done = run(shutil.which("mkswap") or "/sbin/mkswap", path)
        if done.returncode == 0:
            done = run(shutil.which("swapon") or "/sbin/swapon", path)
        on = done.returncode == 0
        yield None if on else done.stderr.strip()
    finally:
        if on:
            equal(run(shutil.which("swapoff") or "/sbin/swapoff", path).returncode, 0)
        os.unlink(path)


class Load:
    """A process in the cgroup, which fills it."""

    def __init__(self, group, data):
        self.process = subprocess.Popen([LOAD, group.folder + "/cgroup.procs", data], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        equal(self.process.stdout.readline(), "ready\n")

    def tell(self, what, kib):
        self.process.stdin.write(f"{what} {kib}\n")
        self.process.stdin.flush()
        equal(self.process.stdout.readline(), "ok\n")

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()


@contextlib.contextmanager
def host_swappiness(value):
    """Version 2 has no swappiness of a cgroup: the host's, for a moment."""
    path = "/proc/sys/vm/swappiness"
    before = read(path)
    try:
        put(path, value)
        yield
    finally:
        put(path, before)


def set_up(group, swappiness, may_swap):
    if group.version == 1:
        put(group.folder + "/memory.swappiness", swappiness)
        memsw = group.folder + "/memory.memsw.limit_in_bytes"
        if not os.path.exists(memsw):
            raise Skip("the host does not account for swap in cgroups (swapaccount=1)")
        if may_swap:
            put(memsw, -1)
    elif may_swap:
        put(group.folder + "/memory.swap.max", "max")


def others_that_reclaim(group):
    """How often cgroups were at their limits, but ours: what they reclaim is in the same counters."""
    hits = 0
    for folder, _, files in os.walk(os.path.dirname(group.folder)):
        name = "memory.failcnt" if group.version == 1 else "memory.events"
        if folder == group.folder or name not in files:
            continue
        with contextlib.suppress(OSError):
            text = read(f"{folder}/{name}")
            hits += int(text) if group.version == 1 else sum(int(line.split()[1]) for line in text.splitlines()
                                                             if line.split()[0] in ("high", "max"))
    return hits


def wanted_back(group):
    """Whether the cgroup has read file pages again that reclaim had taken, which ebb cannot date: the file system's own blocks."""
    return any(line.split()[0] == "workingset_refault_file" and line.split()[1] != "0"
               for line in read(group.folder + "/memory.stat").splitlines())


GLOBAL = ("pgscan_kswapd", "pgscan_direct", "pgscan_khugepaged", "pgscan_proactive")


class Scene:
    """name, limit, what fills the cgroup, and what ebb is to say: rule, and what is looked at."""

    def __init__(self, name, swappiness, may_swap, limit_mib, fill, rule, scans):
        self.name, self.swappiness, self.may_swap, self.limit = name, swappiness, may_swap, limit_mib * MIB
        self.fill, self.rule, self.scans = fill, rule, scans

    def play(self, folder):
        """(what ebb said, anonymous and file pages that were looked at), or None when the scene was not the one that was meant:
        others reclaimed as well, or pages were wanted back."""
        data = os.path.join(folder, "data")
        group = Group(self.name, self.limit)
        load = None
        try:
            set_up(group, self.swappiness, self.may_swap)
            # The blocks that say where the file is are not charged to the cgroup, so that none of them is wanted back there.
            fd = os.open(data, os.O_RDWR | os.O_CREAT, 0o600)
            os.posix_fallocate(fd, 0, self.limit)
            os.fsync(fd)
            os.close(fd)
            load = Load(group, data)
            for what, mib in self.fill:
                load.tell(what, mib * KIB)
            room = report("--cgroup", group.path)["cgroups"][0]["room_bytes"]
            load.tell("anon", room // KIB - MARGIN_KIB)
            said = report("--cgroup", group.path)
            if wanted_back(group):
                return None
            noise, before = others_that_reclaim(group), counters()
            load.tell("anon", MARGIN_KIB + BEYOND_KIB)
            after = counters()
            quiet = noise == others_that_reclaim(group) and all(after.get(n, 0) == before.get(n, 0) for n in GLOBAL)
            return (said, *(after[n] - before[n] for n in ("pgscan_anon", "pgscan_file"))) if quiet else None
        finally:
            if load is not None:
                load.end()
            group.end()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(data)

    def try_it(self, folder):
        for _ in range(5):
            outcome = self.play(folder)
            if outcome is not None:
                self.judge(*outcome)
                return
        raise Skip("others on this host reclaim all the time, or want pages back: theirs cannot be told from ours")

    def judge(self, said, anon, file):
        row = said["next"][0]
        share = 100 * anon / (anon + file) if anon + file else None
        print(f"# {self.name}: {row['rule']}, {row['scans']}, {row['anon_low_percent']:.1f} to "
              f"{row['anon_high_percent']:.1f} % anonymous; looked at: {anon} anonymous, {file} file pages", flush=True)
        equal((row["rule"], row["other"], row["scans"]), (self.rule, None, self.scans))
        assert anon + file >= BEYOND_KIB * KIB // os.sysconf("SC_PAGE_SIZE") // 2, "next to nothing was looked at"
        slack = STRAY_PERCENT if self.scans != "both" else DRIFT_POINTS
        assert row["anon_low_percent"] - slack <= share <= row["anon_high_percent"] + slack, share


# Each rule that a cgroup can have. Of active file pages there are four times as many as of inactive ones: the rule cache_trim does
# not hold, and the lists are long enough for the kernel's whole numbers to tell weights apart.
WEIGHED = [("write", 160), ("use", 160), ("write", 40), ("anon", 180)]
SCENES = [
    Scene("swap-limit", 60, False, 256, [("write", 96), ("anon", 96)], "swap_limit", "file"),
    Scene("swappiness-0", 0, True, 256, [("write", 96), ("anon", 96)], "swappiness_0", "file"),
    Scene("cache-trim", 60, True, 256, [("write", 128), ("anon", 64)], "cache_trim", "file"),
    Scene("cache-trim-200", 200, True, 256, [("write", 128), ("anon", 64)], "cache_trim", "file"),
    Scene("no-file", 60, True, 128, [("anon", 96)], "proportional", "anon"),
    Scene("weighed-10", 10, True, 400, WEIGHED, "proportional", "both"),
    Scene("weighed-60", 60, True, 400, WEIGHED, "proportional", "both"),
    Scene("weighed-100", 100, True, 400, WEIGHED, "proportional", "both"),
    Scene("weighed-200", 200, True, 400, WEIGHED, "proportional", "anon"),
]


def folders():
    """Where a swap file may be possible: not in memory."""
    for place in (os.getcwd(), "/var/tmp", tap.folder()):
        path = os.path.join(place, f"ebb-reclaim-{os.getpid()}")
        with contextlib.suppress(OSError):
            os.mkdir(path, 0o700)
            yield path


def need_kinds():
    if os.geteuid() != 0:
        raise Skip("needs root")
    if "pgscan_anon" not in counters():
        raise Skip("the kernel does not count by kind of page (before 5.8)")
    if report()["next"][0]["rule"].startswith("gen_"):
        raise Skip("the kernel keeps generations: these scenes are about classic lists")


@case
def without_swap_only_file_pages_are_looked_at():
    need_kinds()
    if swaps():
        raise Skip("the host has swap")
    folder = next(folders())
    try:
        Scene("no-swap", 60, True, 256, [("write", 96), ("anon", 96)], "no_swap", "file").try_it(folder)
    finally:
        os.rmdir(folder)


@case
def what_is_said_is_what_is_looked_at():
    need_kinds()
    Group("probe", MIB * 16).end()  # or the reason why there can be none
    why = "no folder to write to"
    for folder in folders():
        try:
            with swap_file(folder, 256) as why:
                if why is None:
                    assert any(line.startswith(folder) for line in swaps()), swaps()
                    row = next(r for r in report()["swaps"] if r["name"].startswith(folder))
                    equal((row["type"], row["is_deleted"]), ("file", False))
                    equal(row["size_bytes"], 256 * MIB - os.sysconf("SC_PAGE_SIZE"))
                    for scene in SCENES:
                        with host_swappiness(scene.swappiness) if Group.find()[0] == 2 else contextlib.nullcontext():
                            scene.try_it(folder)
                    return
        finally:
            shutil.rmtree(folder)
    raise Skip(f"no swap file: {why}")


# ---- the command ----

@case
def every_format_is_well_formed():
    families = openmetrics.parse(reclaim("--format", "openmetrics").encode())
    assert families["ebb_reclaim_zones_free_bytes"]["samples"], families
    for line in reclaim("--format", "jsonl").splitlines():
        equal(json.loads(line)["schema"], "ebb.reclaim/1")
    assert len(reclaim("--format", "csv").splitlines()) > 6
    for host in golden.HOSTS:
        openmetrics.parse(reclaim("--root", golden.tree(host), "--format", "openmetrics").encode())
        openmetrics.parse(reclaim("--root", golden.tree(host), "--format", "openmetrics", "-g", CGROUPS[host]).encode())


@case
def a_cgroup_without_a_limit_is_the_hosts():
    root = golden.tree("x86-6.18")
    answer = report("--root", root, "--cgroup", "/")
    equal([row["scope"] for row in answer["lists"]], ["/", "node 0"])
    equal([row["scope"] for row in answer["next"]], ["node 0"])
    contains(answer["notes"][0]["text"], "has a limit: only the host")
    # The limit of one above it counts.
    group = "/sys/fs/cgroup/system.slice"
    root = changed_tree("arm64-6.1", {group + "/mariadb.service/memory.max": "max\n",
                                      group + "/mariadb.service/memory.high": "max\n", group + "/memory.max": "64424509440\n"})
    answer = report("--root", root, "--cgroup", "/system.slice/mariadb.service/")
    equal([row["is_target"] for row in answer["cgroups"]], [False, True, False])
    equal([row["scope"] for row in answer["next"]], ["/system.slice"])


@case
def a_process_or_a_unit_stands_for_its_cgroup():
    root = golden.tree("arm64-6.1")
    want = reclaim("--root", root, "-g", "/system.slice/mariadb.service")
    for target in ("mariadbd", "2201", "unit:mariadb", "cgroup:/system.slice/mariadb.service/"):
        equal((target, reclaim("--root", root, "-g", target)), (target, want))
    done = run(EBB, "reclaim", "--root", root, "-g", "nobody-has-this-name")
    equal((done.returncode, done.stdout, len(done.stderr.splitlines())), (42, "", 1))


@case
def a_tree_without_a_manifest_is_not_taken_for_our_own_machine():
    root = changed_tree("arm64-6.1", {})
    os.unlink(root + "/MANIFEST")
    answer = report("--root", root)
    equal(answer["next"][0]["rule"], None)
    equal(answer["next"][0]["unknown"]["rule"], "the size of pages is not known")
    equal((answer["zones"][0]["free_bytes"], answer["huge_pages"]), (None, []))
    contains(reclaim("--root", root), "no MANIFEST")


@case
def an_ordinary_user_sees_the_same():
    if os.geteuid() != 0:
        raise Skip("needs root, to become another")
    done = run(EBB, "reclaim", "--json", user="nobody", group="nogroup")
    if done.returncode == 126 or "Permission denied" in done.stderr:
        raise Skip("the tool cannot be reached by other users")
    equal((done.returncode, done.stderr), (0, ""))
    assert json.loads(done.stdout)["zones"]


@case
def bad_lines_and_places_are_refused():
    for status, text, *args in (
            (2, "takes no operand", "x"), (2, "begins with '/'", "--cgroup", "cgroup:mysql"),
            (42, "no such memory cgroup", "-g", "/ebb/none"), (1, "no captured tree", "--root", "/nonexistent"),
            (2, "is none of", "--unit", "X"),
            (1, "zoneinfo", "--root", os.path.join(golden.SOURCE, "tests/fixtures/proc-mariadbd"))):
        # A host may have no cgroups of its own.
        if "cgroup" in text or "--cgroup" in args:
            args += ["--root", golden.tree("x86-6.18")]
        done = run(EBB, "reclaim", *args)
        equal((args, done.returncode, done.stdout), (args, status, ""))
        equal(len(done.stderr.splitlines()), 1)
        contains(done.stderr, text)


def stop(*_):
    """The scenes' own cleaning up is for whoever ends the test, too."""
    raise SystemExit(1)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    try:
        sys.exit(tap.main())
    finally:
        shutil.rmtree(tap.folder(), ignore_errors=True)
