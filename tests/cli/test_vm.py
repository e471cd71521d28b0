# SPDX-License-Identifier: MIT
"""ebb vm: golden screens of hosts we do not have, the originals of Debian beside it, formats, cgroups, and real reclaim."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import golden
import openmetrics
import tap
from tap import Skip, case, contains, equal, run, wait_for

EBB = os.environ["EBB_TOOL"]
MEMORY_V1 = "/sys/fs/cgroup/memory"


def vm(*args, **more):
    done = run(EBB, "vm", *args, **more)
    equal((done.returncode, done.stderr), (0, ""))
    return done.stdout


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


def need(tool):
    path = shutil.which(tool) or shutil.which(tool, path="/usr/bin:/bin:/usr/sbin:/sbin")
    if path is None:
        raise Skip(f"no {tool}")
    return path


# ---- screens of other hosts ----

@case
def golden_screens():
    for host in golden.HOSTS:
        golden.check(f"vm-{host}", "vm", "--root", golden.tree(host))


@case
def golden_screens_of_cgroups():
    for host, path in (("x86-4.18", "/system.slice/mysql.service"), ("arm64-6.1", "/system.slice/mariadb.service"),
                       ("x86-6.18", "/database")):
        golden.check(f"vm-{host}-cgroup", "vm", "--root", golden.tree(host), "--cgroup", path)
        golden.check(f"vm-{host}-cgroup-free", "vm", "--root", golden.tree(host), "--cgroup", path, "--compat", "free", "-w")


@case
def golden_counters_and_units():
    golden.check("vm-x86-4.18-stats", "vm", "--root", golden.tree("x86-4.18"), "--stats", "--unit", "K")


@case
def golden_compatible_views():
    for host in golden.HOSTS:
        root = golden.tree(host)
        for name, args in (("free", ["free", "-w"]), ("vmstat", ["vmstat"]), ("active", ["vmstat", "-a", "-w"]),
                           ("stats", ["vmstat", "-s"]), ("sar", ["sar-B"])):
            golden.check(f"vm-{host}-compat-{name}", "vm", "--root", root, "--compat", *args)


@case
def a_process_stands_for_its_cgroup():
    root = golden.tree("arm64-6.1")
    equal(vm("--root", root, "-g", "mariadbd"), vm("--root", root, "-g", "/system.slice/mariadb.service"))
    equal(vm("--root", root, "-g", "2201"), vm("--root", root, "-g", "cgroup:/system.slice/mariadb.service/"))


@case
def a_tree_without_a_manifest_is_not_taken_for_our_own_machine():
    root = os.path.join(tap.folder(), "bare")
    shutil.copytree(golden.tree("arm64-6.1"), root)
    os.remove(os.path.join(root, "MANIFEST"))
    report = json.loads(vm("--root", root, "--json"))
    equal(report["dirty"][0]["background_bytes"], None)
    equal(report["activity"][0]["swap_in_bytes_per_s"], None)
    equal(report["host"][0]["page_bytes"], None)
    equal(report["memory"][0]["total_bytes"], 66880256 * 1024)
    contains(report["notes"][-1]["text"], "no MANIFEST")
    shutil.rmtree(root)


# ---- the originals ----

ORIGINALS = [
    (["free"], ["free"]), (["free", "-w"], ["free", "-w"]), (["free", "-b"], ["free", "--unit", "B"]),
    (["free", "-m"], ["free", "--unit", "M"]), (["free", "-g"], ["free", "--unit", "G"]),
    (["free", "-h"], ["free", "--unit", "h"]), (["free", "-w", "-h"], ["free", "-w", "--unit", "h"]),
    (["vmstat"], ["vmstat"]), (["vmstat", "-w"], ["vmstat", "-w"]), (["vmstat", "-a"], ["vmstat", "-a"]),
    (["vmstat", "-a", "-w"], ["vmstat", "-a", "-w"]), (["vmstat", "-s"], ["vmstat", "-s"]),
]


def procps_is_ours():
    """procps 4.0.2 of Debian 12 counts `used` as total - available, and has a column for guests with -w."""
    version = run(need("vmstat"), "--version").stdout
    if "4.0.2" not in version:
        raise Skip(f"not procps 4.0.2: {version.strip()}")


def over_tree(root, *command):
    """Runs a program that reads /proc/meminfo and so on, with those of the tree in their place."""
    need_root()
    files = [f"/proc/{name}" for name in ("meminfo", "vmstat", "stat", "uptime", "loadavg")]
    mounts = "".join(f'mount --bind "{root}{file}" {file} && ' for file in files)
    done = run(need("unshare"), "-m", "sh", "-c", mounts + 'exec "$@"', "sh", *command, env={"LC_ALL": "C"})
    if done.returncode != 0:
        raise Skip(f"no mount namespace: {done.stderr.strip()}")
    return done.stdout


@case
def procps_over_the_same_files_says_the_same_to_the_byte():
    procps_is_ours()
    for host in golden.HOSTS:
        for original, ours in ORIGINALS:
            want = over_tree(golden.tree(host), *original)
            got = vm("--root", golden.tree(host), "--compat", *ours)
            equal((host, original, got), (host, original, want))


@case
def sar_over_the_same_files_says_the_same_where_it_counts_once():
    need("sar")
    for host in golden.HOSTS:
        lines = over_tree(golden.tree(host), "sar", "-B", "0").splitlines()
        ours = vm("--root", golden.tree(host), "--compat", "sar-B").splitlines()
        heads, want = lines[-2].split()[1:], lines[-1].split()[1:]
        got = ours[-1].split()[1:]
        equal(ours[-2].split()[1:], heads)
        for head, a, b in zip(heads, want, got):
            if head in ("pgpgin/s", "pgpgout/s", "fault/s", "majflt/s", "pgfree/s", "pgscank/s", "pgscand/s"):
                assert abs(float(a) - float(b)) <= 0.02, (host, head, a, b)
        assert float(got[-1]) <= 100, got


def numbers(text):
    return [float(word) for word in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", text)]


def between(name, before, got, after):
    """Each number of `got` lies between its two neighbours in time, or within 1 % of one."""
    equal((name, len(before), len(after)), (name, len(got), len(got)))
    for at, value in enumerate(got):
        low, high = sorted((before[at], after[at]))
        slack = max(0.01 * high, 64)
        if not low - slack <= value <= high + slack:
            return f"{name}: number {at}: {value} is not from {low} to {high}"
    return None


@case
def procps_beside_us_says_the_same():
    procps_is_ours()
    for original, ours in ((["free", "-w"], ["free", "-w"]), (["vmstat", "-s"], ["vmstat", "-s"]),
                           (["vmstat"], ["vmstat"]), (["vmstat", "-a"], ["vmstat", "-a"])):
        why = None
        for _ in range(5):  # others may allocate between two readings
            before = numbers(vm("--compat", *ours))
            want = numbers(run(*original, env={"LC_ALL": "C"}).stdout)
            after = numbers(vm("--compat", *ours))
            why = between(" ".join(original), before, want, after)
            if why is None:
                break
        assert why is None, why


@case
def intervals_beside_vmstat():
    procps_is_ours()
    theirs = subprocess.Popen(["vmstat", "-n", "1", "2"], stdout=subprocess.PIPE, text=True)
    ours = vm("--compat", "vmstat", "1", "2").splitlines()
    want = theirs.communicate(timeout=30)[0].splitlines()
    equal(ours[:2], want[:2])
    equal(len(ours), 4)
    # The shares of the processors' time add up, whatever happened.
    assert 97 <= sum(int(word) for word in ours[3].split()[12:]) <= 103, ours[3]
    equal(len(ours[3].split()), len(want[3].split()))


# ---- looks ----

def rows_of(report, section, key, name):
    return [row for row in report[section] if row[key] == name]


@case
def json_lines_of_looks_and_the_average():
    lines = vm("0.2", "3", "--json").splitlines()
    equal(len(lines), 4)
    reports = [json.loads(line) for line in lines]
    equal([report["schema"] for report in reports], ["ebb.vm/1"] * 4)
    spans = [report["activity"][0]["span"] for report in reports]
    equal((spans[0], spans[3]), ("boot", "average"))
    for report in reports:
        activity = report["activity"][0]
        shares = [activity[key + "_percent"] for key in ("user", "system", "idle", "iowait", "steal", "guest")]
        if None in shares:
            # Where a look came late, the next one follows at once: the kernel has not counted anything in between.
            equal((shares, activity["unknown"]["user_percent"]), ([None] * 6, "no time has passed"))
        else:
            assert 99.9 <= sum(shares) <= 100.1, activity
        names = [row["of"].strip() for row in report["reclaim"]]
        equal(names, ["global", "cgroups", "all", "anon", "file"])
        for row in report["reclaim"]:
            assert row["efficiency_percent"] is None or 0 <= row["efficiency_percent"] <= 100, row
        equal([row["name"] for row in report["counters"] if row["name"] == "pgfault"], ["pgfault"])


@case
def every_format_is_well_formed():
    for family in openmetrics.parse_all(vm("--format", "openmetrics").encode()):
        contains("".join(family), "ebb_vm_memory_available_bytes")
        assert family["ebb_vm_memory_total_bytes"]["samples"]['{kind="host"}'] > 0
    openmetrics.parse_all(vm("--format", "openmetrics", "0.1", "2").encode())
    assert len(vm("--format", "csv").splitlines()) > 30
    for line in vm("--format", "jsonl").splitlines():
        equal(json.loads(line)["schema"], "ebb.vm/1")
    for host in golden.HOSTS:
        openmetrics.parse_all(vm("--root", golden.tree(host), "--format", "openmetrics").encode())


@case
def a_line_for_each_look_for_people():
    lines = vm("0.1", "3").splitlines()
    equal(len(lines), 6)
    equal(lines[1].split()[:5], ["span", "r", "b", "free", "avail"])
    first = [line.split()[0] for line in lines[2:]]
    equal((first[0], first[3]), ("boot", "average"))
    assert re.fullmatch(r"\d+\.\d", first[1]) and re.fullmatch(r"\d+\.\d", first[2]), first
    equal(len({len(line) for line in lines[2:]}), 1)
    equal(len(lines[0]), len(lines[1]))
    equal(len(vm("0.1", "2", "--no-header").splitlines()), 3)
    contains(vm("0.1", "2", "--full"), "\n\nmemory ")


@case
def interrupt_prints_the_average_and_succeeds():
    for args in ([], ["--compat", "sar-B"], ["--json"]):
        ebb = subprocess.Popen([EBB, "vm", "30", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for("the handler", lambda pid=ebb.pid: caught(pid))
        time.sleep(0.1)
        ebb.send_signal(signal.SIGINT)
        out, err = ebb.communicate(timeout=20)
        equal((ebb.returncode, err), (0, ""))
        contains(out.splitlines()[-1].lower(), "average")


def caught(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        mask = re.search(r"^SigCgt:\s*(\w+)", file.read(), re.M).group(1)
    return int(mask, 16) & (1 << (signal.SIGINT - 1))


@case
def usage_errors_are_one_line_and_status_2():
    for args in (["0"], ["-1"], ["x"], ["1", "0"], ["1", "x"], ["1", "2", "3"], ["--compat", "top"], ["-a"], ["-w"],
                 ["--compat", "free", "-a"], ["--compat", "free", "-s"], ["--compat", "sar-B", "-w"],
                 ["--compat", "free", "--json"], ["--compat", "vmstat", "--unit", "h"], ["--unit", "h"],
                 ["--compat", "vmstat", "-g", "/"], ["--compat", "free", "--full"], ["--cgroup"],
                 ["--root", golden.tree("x86-4.18"), "1"], ["--cgroup", "cgroup:x", "--root", golden.tree("x86-4.18")]):
        done = run(EBB, "vm", *args)
        equal((args, done.returncode, done.stdout, done.stderr.count("\n")), (args, 2, "", 1))


@case
def what_is_not_there_is_said():
    for args, status, word in ((["--root", "/nonexistent"], 1, "no captured tree"),
                               (["--root", golden.tree("arm64-6.1"), "-g", "/nowhere"], 42, "no such memory cgroup"),
                               (["--root", golden.tree("arm64-6.1"), "-g", "999999"], 42, "999999"),
                               (["--root", os.path.join(golden.SOURCE, "tests/fixtures/proc-mariadbd"), "-g", "/"], 1, "")):
        done = run(EBB, "vm", *args)
        equal((args, done.returncode, done.stderr.count("\n")), (args, status, 1))
        contains(done.stderr, word)


@case
def a_tree_with_files_that_never_end_is_left():
    root = os.path.join(tap.folder(), "endless")
    shutil.copytree(golden.tree("x86-4.18"), root)
    for name in ("stat", "zoneinfo", "vmstat", "1834/status"):
        os.remove(f"{root}/proc/{name}")
        os.symlink("/dev/zero", f"{root}/proc/{name}")
    done = run(EBB, "vm", "--json", "--root", root, timeout=20)
    equal(done.returncode, 0)
    contains(done.stdout, "the source is damaged")
    equal(run(EBB, "ps", "--root", root, timeout=20).returncode, 0)


@case
def an_ordinary_user_sees_the_same():
    need_root()
    done = run(EBB, "vm", "--json", user="nobody", group="nogroup")
    if done.returncode == 126 or "Permission denied" in done.stderr:
        raise Skip("the tool cannot be reached by other users")
    equal((done.returncode, done.stderr), (0, ""))
    report = json.loads(done.stdout)
    assert report["memory"][0]["available_bytes"] > 0
    assert rows_of(report, "counters", "name", "pgfault")


# ---- real cgroups ----

class Cgroup:
    """A memory cgroup of version 1 with a limit, removed at the end."""

    def __init__(self, limit_bytes):
        need_root()
        if not os.path.exists(MEMORY_V1 + "/memory.limit_in_bytes"):
            raise Skip("the memory controller of version 1 is not mounted")
        self.path = f"/ebb-vm-{os.getpid()}"
        self.folder = MEMORY_V1 + self.path
        self.limit_bytes = limit_bytes

    def __enter__(self):
        os.mkdir(self.folder)
        self.write("memory.limit_in_bytes", self.limit_bytes)
        return self

    def write(self, file, value):
        with open(os.path.join(self.folder, file), "w", encoding="ascii") as out:
            out.write(str(value))

    def start(self, program, **more):
        code = f"open({os.path.join(self.folder, 'cgroup.procs')!r}, 'w').write(str(__import__('os').getpid()))\n"
        return subprocess.Popen([sys.executable, "-c", code + program], **more)

    def __exit__(self, *what):
        wait_for("the end of the cgroup", self.remove)

    def remove(self):
        try:
            os.rmdir(self.folder)
        except OSError:
            return False
        return True


@case
def the_truth_of_a_container():
    with Cgroup(128 << 20) as cgroup:
        child = cgroup.start("b = bytearray(40 << 20)\nprint('up', flush=True)\ninput()", stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
        try:
            child.stdout.readline()
            for name in (cgroup.path, str(child.pid)):
                report = json.loads(vm("--cgroup", name, "--json"))
                inside = rows_of(report, "memory", "kind", "in cgroup")[0]
                equal(inside["total_bytes"], 128 << 20)
                assert 40 << 20 <= inside["used_bytes"] <= 80 << 20, inside
                equal(inside["used_bytes"] + inside["available_bytes"], 128 << 20)
                equal(report["cgroups"][0]["path"], cgroup.path)
                equal(report["cgroups"][-1]["path"], "/")
                equal(report["cgroups"][0]["limit_bytes"], 128 << 20)
            free = vm("--compat", "free", "--cgroup", cgroup.path, "--unit", "B").splitlines()[1].split()
            equal(int(free[1]), 128 << 20)
        finally:
            child.communicate(b"\n", timeout=20)


@case
def reclaim_of_a_cgroup_is_told_from_the_hosts():
    big = os.path.join(tap.folder(), "big")
    with open(big, "wb") as file:
        for _ in range(96):
            file.write(os.urandom(1 << 20))
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    program = f"for _ in range(3):\n  f = open({big!r}, 'rb', 0)\n  while f.read(1 << 20): pass\n"
    with Cgroup(32 << 20) as cgroup:
        watch = subprocess.Popen([EBB, "vm", "3", "2", "--json"], stdout=subprocess.PIPE, text=True)
        first = json.loads(watch.stdout.readline())  # the first look has been taken
        cgroup.start(program).wait(timeout=60)
        last = [json.loads(line) for line in watch.communicate(timeout=60)[0].splitlines()][-1]
    os.remove(big)
    assert first["activity"][0]["span"] == "boot"
    rows = {row["of"].strip(): row for row in last["reclaim"]}
    if rows["all"]["scan_per_s"] is None:
        raise Skip("the kernel does not count by kind (before 5.8)")
    # 3 * 96 MiB went through 32 MiB: at least 150 MiB were reclaimed, in some 3 s.
    assert rows["cgroups"]["steal_per_s"] > 150 * 256 / 5, rows
    assert rows["file"]["steal_per_s"] > 100 * 256 / 5, rows
    assert 0 < rows["all"]["efficiency_percent"] <= 100, rows
    assert 50 < rows["cgroups"]["share_percent"] <= 100, rows


if __name__ == "__main__":
    raise SystemExit(tap.main())
