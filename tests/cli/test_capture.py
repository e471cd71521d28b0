# SPDX-License-Identifier: MIT
"""ebb capture: whole, private, atomic trees that other commands read as they read the host; no secrets unless asked for."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time

import golden
import tap
from tap import Skip, case, contains, equal, run, wait_for

EBB = os.environ["EBB_TOOL"]


def place(name):
    return os.path.join(tap.folder(), name)


def is_host():
    """True when process 2 is the kernel's first thread: in a container it is anybody, or nobody."""
    try:
        return read("/proc/2/comm") == "kthreadd\n"
    except OSError:
        return False


def complaints(done):
    """What was said on standard error, without the progress that a busy machine lets us see."""
    return re.sub(r"^ebb capture: \d+ \w+, \d+ files so far\n", "", done.stderr, flags=re.M)


def capture(name, *args, **more):
    """Captures into a new folder and returns its path and what was printed."""
    path = place(name)
    done = run(EBB, "capture", path, *args, **more)
    equal((done.returncode, complaints(done)), (0, ""))
    assert not os.path.exists(path + ".tmp")
    return path, done.stdout


def read(*parts):
    with open(os.path.join(*parts), encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def manifest(path):
    return read(path, "MANIFEST")


def left_out(path):
    return re.findall(r"^left out: (.*)$", manifest(path), re.M)


class Sleeper:
    """A process of ours with a secret on its command line."""

    def __enter__(self):
        self.child = subprocess.Popen([sys.executable, "-c", "input()", "--password=secret"], stdin=subprocess.PIPE)
        wait_for("its program", lambda: b"secret" in open(f"/proc/{self.child.pid}/cmdline", "rb").read())
        return str(self.child.pid)

    def __exit__(self, *what):
        self.child.communicate(b"\n", timeout=20)


def processes(path):
    """Those in the tree, but for the kernel's first thread, which tells a host from a container."""
    return sorted(name for name in os.listdir(path + "/proc") if name.isdigit() and name != "2")


def files(path):
    return [os.path.relpath(os.path.join(folder, name), path) for folder, _, names in os.walk(path) for name in names]


@case
def a_tree_reads_as_the_host():
    with Sleeper() as pid:
        path, out = capture("whole")
        names = files(path)
        equal(int(re.search(r": (\d+) files", out).group(1)), len(names) - 1)  # and the manifest
        for name in ("proc/meminfo", "proc/vmstat", "proc/zoneinfo", "proc/buddyinfo", "proc/stat", "proc/uptime",
                     "proc/loadavg", "proc/self/mountinfo", "proc/sys/vm/swappiness", "proc/sys/vm/max_map_count",
                     "proc/sys/kernel/osrelease", f"proc/{pid}/status", f"proc/{pid}/stat", f"proc/{pid}/statm",
                     f"proc/{pid}/maps", f"proc/{pid}/smaps_rollup", f"proc/{pid}/oom_score", f"proc/{pid}/limits",
                     f"proc/{pid}/oom_score_adj", f"proc/{pid}/cgroup", f"proc/{pid}/comm", f"proc/{pid}/auxv"):
            assert name in names, name
        equal(read(path, "proc", pid, "maps"), read("/proc", pid, "maps"))
        # Classes of mappings need the auxiliary vector: without it the program's own text is taken for a library's.
        classes = [json.loads(run(EBB, "maps", "--group", "--json", "--root", root, pid).stdout) for root in (path, "/")]
        equal(*(sorted((row["class"], row["mappings"]) for row in told["groups"]) for told in classes))
        equal(read(path, "proc/sys/vm/max_map_count"), read("/proc/sys/vm/max_map_count"))
        assert not [name for name in names if name.endswith(("cmdline", "environ", "/smaps", "stat_refresh"))]
        contains(manifest(path), f"page_bytes: {os.sysconf('SC_PAGESIZE')}\n")
        contains(manifest(path), f"kernel: {os.uname().release}\n")
    text = "".join(read(path, name) for name in names)
    assert "--password=secret" not in text
    report = json.loads(run(EBB, "vm", "--root", path, "--json").stdout)
    total = int(re.search(r"MemTotal:\s+(\d+)", read("/proc/meminfo")).group(1)) * 1024
    equal(report["memory"][0]["total_bytes"], total)
    assert report["dirty"][0]["limit_bytes"] > 0
    shutil.rmtree(path)


@case
def cgroups_come_with_it():
    path, _ = capture("cgroups")
    done = run(EBB, "vm", "--root", path, "--cgroup", "/", "--json")
    if "no memory controller" in done.stderr:
        raise Skip("no memory controller is mounted")
    equal((done.returncode, done.stderr), (0, ""))
    equal(json.loads(done.stdout)["cgroups"][0]["path"], "/")
    shutil.rmtree(path)


@case
def everything_is_private():
    path, _ = capture("private", str(os.getpid()))
    for folder, folders, names in os.walk(path):
        for name in folders + names:
            mode = os.lstat(os.path.join(folder, name)).st_mode
            equal((name, stat.S_IMODE(mode)), (name, 0o700 if stat.S_ISDIR(mode) else 0o600))
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o700)
    shutil.rmtree(path)


@case
def only_the_processes_that_are_named():
    with Sleeper() as one, Sleeper() as two, Sleeper() as three:
        path, _ = capture("some", "--pid", f"{one},{two}", three)
        equal(processes(path), sorted([one, two, three]))
        equal(os.path.exists(path + "/proc/2"), is_host())
        shutil.rmtree(path)
        path, _ = capture("some", one)
        equal(processes(path), [one])
    shutil.rmtree(path)


@case
def command_lines_and_pages_when_asked_for():
    with Sleeper() as pid:
        path = place("deep")
        done = run(EBB, "capture", "--cmdline", "--deep", "-p", pid, path)
        equal(done.returncode, 0)
        contains(done.stderr, "the pages of the chosen processes, ")
        contains(done.stderr, "takes about")
        contains(read(path, "proc", pid, "cmdline"), "secret")
        contains(read(path, "proc", pid, "smaps"), "VmFlags:")
        assert not [line for line in left_out(path) if "--deep" in line or "--cmdline" in line]
    shutil.rmtree(path)


@case
def the_kernels_log_tells_of_kills_only():
    path = place("log")
    with Sleeper() as pid:
        equal(run(EBB, "capture", "-p", pid, path).returncode, 0)
    missing = [line for line in left_out(path) if line.startswith("dev/kmsg: ")]
    if missing:
        assert not os.path.exists(path + "/dev/kmsg")
        shutil.rmtree(path)
        raise Skip(missing[0])
    contains(manifest(path), "\ndev/kmsg: only what tells of kills for memory\n")
    for line in read(path, "dev", "kmsg").splitlines():
        assert re.match("[0-9]+,[0-9]+,[0-9]+,", line), line
    done = run(EBB, "oom", "explain", "--json", "--root", path)
    equal((done.returncode, done.stderr), (0, ""))
    kept, live = ([kill["pid"] for kill in json.loads(text)["kills"]]
                  for text in (done.stdout, run(EBB, "oom", "explain", "--json").stdout))
    # Meanwhile others may have been killed, and the oldest forgotten.
    assert set(kept[-3:]) <= set(live), (kept, live)
    shutil.rmtree(path)


@case
def nothing_is_overwritten():
    path = place("there")
    os.mkdir(path)
    capture("there", str(os.getpid()))  # an empty folder is taken
    before = sorted(files(path))
    done = run(EBB, "capture", path)
    equal((done.returncode, done.stdout), (1, ""))
    contains(done.stderr, "not empty")
    equal(sorted(files(path)), before)
    shutil.rmtree(path)
    os.mkdir(path + ".tmp")
    done = run(EBB, "capture", path + "/")
    equal(done.returncode, 1)
    contains(done.stderr, "there.tmp: is there already")
    assert not os.path.exists(path)
    os.rmdir(path + ".tmp")
    with open(path, "w", encoding="ascii"):
        pass
    equal(run(EBB, "capture", path).returncode, 1)
    os.remove(path)


@case
def what_cannot_be_written_leaves_nothing():
    done = run(EBB, "capture", "/proc/nowhere/tree")
    equal((done.returncode, done.stdout, complaints(done).count("\n")), (1, "", 1))
    for attempt in range(8):
        path = place(f"interrupted{attempt}")
        ebb = subprocess.Popen([EBB, "capture", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for("its folder", lambda: os.path.exists(path + ".tmp") or ebb.poll() is not None)
        time.sleep(0.002 * attempt)
        ebb.send_signal(signal.SIGINT)
        _, err = ebb.communicate(timeout=30)
        assert not os.path.exists(path + ".tmp")
        if ebb.returncode == 0:  # it was done before
            contains(manifest(path), "ebb capture 1\n")
            shutil.rmtree(path)
        else:
            equal(ebb.returncode, 1)
            contains(err, "interrupted; nothing was left behind")
            assert not os.path.exists(path)


@case
def wrong_names_are_said():
    for args, status in (([], 2), (["--pid", "x", place("a")], 2), (["--pid", "1,", place("a")], 2),
                         (["--pid", "", place("a")], 2), ([""], 2), ([place("a"), "999999999"], 42),
                         (["--pid", "99999999", place("a")], 42), ([place("a"), "no-such-program-here"], 42)):
        done = run(EBB, "capture", *args)
        equal((args, done.returncode, done.stdout, done.stderr.count("\n")), (args, status, "", 1))
        assert not os.path.exists(place("a")) and not os.path.exists(place("a") + ".tmp")


@case
def an_ordinary_user_captures_what_it_may():
    if os.geteuid() != 0:
        raise Skip("needs root, to become somebody else")
    path = place("nobody")
    os.mkdir(path)
    os.chmod(path, 0o777)
    done = run(EBB, "capture", path + "/tree", user="nobody", group="nogroup")
    if done.returncode == 126 or "Permission denied" in done.stderr:
        raise Skip("the tool cannot be reached by other users")
    equal((done.returncode, complaints(done)), (0, ""))
    assert any(re.search(r"proc/\d+/maps: needs CAP_SYS_PTRACE or the same user", line) for line in left_out(path + "/tree"))
    assert os.path.exists(f"{path}/tree/proc/{os.getpid()}/status")
    assert not os.path.exists(f"{path}/tree/proc/{os.getpid()}/maps")
    equal(run(EBB, "vm", "--root", path + "/tree").returncode, 0)
    shutil.rmtree(path)


@case
def trees_in_the_repository_have_what_a_capture_has():
    for host in golden.HOSTS:
        contains(manifest(golden.tree(host)), "ebb capture 1\n")
        for name in ("proc/meminfo", "proc/vmstat", "proc/zoneinfo", "proc/stat", "proc/self/mountinfo"):
            assert os.path.exists(os.path.join(golden.tree(host), name)), (host, name)


if __name__ == "__main__":
    raise SystemExit(tap.main())
