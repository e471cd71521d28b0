# SPDX-License-Identifier: MIT
"""TARGET: processes named as units of systemd and as cgroups, on small trees of both versions and on this host."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys

import golden
import tap
from processes import by_pid, children, rows
from tap import Skip, case, contains, equal, run, wait_for

EBB = os.environ["EBB_TOOL"]
MEMORY_V1 = "/sys/fs/cgroup/memory"
SYSTEMD_V1 = "/sys/fs/cgroup/systemd"
USER = "/user.slice/user-1000.slice/user@1000.service"


class Tree:
    """A captured host with a few processes, of cgroup version 1 or 2."""

    def __init__(self, version):
        self.version = version
        self.root = os.path.join(tap.folder(), f"v{version}-{len(os.listdir(tap.folder()))}")
        self.mount = "/sys/fs/cgroup/memory" if version == 1 else "/sys/fs/cgroup"
        kind = "cgroup cgroup rw,memory" if version == 1 else "cgroup2 cgroup2 rw"
        self.write("MANIFEST", "ebb capture 1\npage_bytes: 4096\nclock_ticks: 100\nprocessors: 2\nkernel: 6.1.0\n")
        self.write("proc/meminfo", "MemTotal: 4194304 kB\nMemFree: 2097152 kB\nMemAvailable: 3145728 kB\n")
        self.write("proc/uptime", "1000.00 1000.00\n")
        self.write("proc/self/mountinfo", f"30 24 0:26 / {self.mount} rw - {kind}\n")
        self.write("sys/fs/cgroup/cgroup.controllers", "memory\n")
        self.cgroup("/")

    def write(self, path, text):
        whole = os.path.join(self.root, path.lstrip("/"))
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())

    def cgroup(self, path, limit=1 << 30):
        for name, value in (("memory.limit_in_bytes", limit), ("memory.usage_in_bytes", 1 << 20)) if self.version == 1 \
                else (("memory.max", limit), ("memory.current", 1 << 20)):
            self.write(f"{self.mount}{path}/{name}", f"{value}\n")

    def process(self, pid, parent, path, name=b"daemon", state="S", flags=0, memory=None):
        """One in the cgroup `path`, of systemd and of memory; the latter may differ in version 1."""
        memory = path if memory is None else memory
        if self.version == 1:
            self.write(f"proc/{pid}/cgroup", f"9:cpu:/elsewhere\n4:memory:{memory}\n1:name=systemd:{path}\n0::/\n")
        else:
            self.write(f"proc/{pid}/cgroup", f"0::{memory}\n")
        self.cgroup(memory)
        self.write(f"proc/{pid}/stat", f"{pid} (".encode() + name + f") {state} {parent} {pid} {pid} 0 -1 {flags} 0 0 0 0 0 0"
                   f" 0 0 20 0 1 0 {pid} 8192000 100 18446744073709551615{' 0' * 27}\n".encode())
        printed = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
        self.write(f"proc/{pid}/status", b"Name:\t" + printed + f"\nState:\t{state} (x)\nTgid:\t{pid}\nPid:\t{pid}\nPPid:\t"
                   f"{parent}\nUid:\t0\t0\t0\t0\nVmSize:\t 8000 kB\nVmRSS:\t 400 kB\nThreads:\t1\n".encode())
        self.write(f"proc/{pid}/oom_score", "666\n")
        self.write(f"proc/{pid}/oom_score_adj", "0\n")
        self.write(f"proc/{pid}/maps", "00400000-00452000 r-xp 00000000 08:02 173521 /usr/bin/x\n")

    def ebb(self, command, *args):
        return run(EBB, command, "--root", self.root, *args)

    def members(self, target):
        done = self.ebb("ps", "--json", target)
        equal((done.returncode, done.stderr), (0, ""))
        return sorted(by_pid(done.stdout))

    def main(self, target):
        done = self.ebb("maps", "--group", "--json", target)
        equal((done.returncode, done.stderr), (0, ""))
        pids = {row["pid"] for section in json.loads(done.stdout).values() if isinstance(section, list)
                for row in section if "pid" in row}
        equal(len(pids), 1)
        return pids.pop()

    def path(self, target):
        done = self.ebb("vm", "--json", "--cgroup", target)
        equal((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout)["cgroups"][0]["path"]

    def refuses(self, command, target, status, *words):
        done = self.ebb(command, *(["--cgroup"] if command == "vm" else []), target)
        equal((target, done.returncode, done.stdout, done.stderr.count("\n")), (target, status, "", 1))
        contains(done.stderr, f"ebb {command}: ")
        for word in words:
            contains(done.stderr, word)
        return done.stderr


@contextlib.contextmanager
def trees():
    made = [Tree(version) for version in (1, 2)]
    for tree in made:
        tree.process(1, 0, "/init.scope", b"systemd")
    try:
        yield made
    finally:
        for tree in made:
            shutil.rmtree(tree.root)


# ---- captured trees ----

@case
def a_unit_is_its_processes_and_their_ancestor():
    with trees() as made:
        for tree in made:
            unit = "/system.slice/mariadb.service"
            tree.process(700, 1, unit, b"mysqld_safe")
            tree.process(650, 700, unit, b"mariadbd")  # numbers go round: a child's may be the lower one
            tree.process(720, 650, unit + "/helpers/one")
            tree.process(721, 1, "/system.slice/mariadb.servicex")
            tree.process(722, 1, "/system.slice/xmariadb.service")
            tree.process(723, 1, "/system.slice")
            for target in ("unit:mariadb", "unit:mariadb.service", "cgroup:" + unit, "cgroup:" + unit + "/"):
                equal(tree.members(target), [650, 700, 720])
                equal(tree.main(target), 700)
                equal(tree.path(target), unit)
            equal(tree.path(unit), unit)
            equal(tree.main(f"cgroup:{unit}/helpers"), 720)
            equal(tree.members("unit:system.slice"), [650, 700, 720, 721, 722, 723])
            equal(tree.members("cgroup:/"), [1, 650, 700, 720, 721, 722, 723])
            equal(tree.main("cgroup:/"), 1)
            equal(tree.main("unit:init.scope"), 1)


@case
def an_ancestor_may_be_reached_through_others():
    with trees() as made:
        for tree in made:
            tree.process(10, 1, "/x.slice/a.service")
            tree.process(11, 10, "/elsewhere")
            tree.process(12, 11, "/x.slice/a.service/deep")
            equal(tree.main("unit:a"), 10)
            equal(tree.members("unit:a"), [10, 12])


@case
def several_without_a_common_ancestor_are_listed():
    with trees() as made:
        for tree in made:
            names = [b"web one", b"web\ntwo", "wéb (3)".encode(), b"web) S 1", b"w4", b"w5", b"w6"]
            for number, name in enumerate(names):
                tree.process(100 + number, 1, "/web.slice/w.service", name)
            tree.process(200, 104, "/web.slice/w.service", b"child")
            for target in ("unit:w", "cgroup:/web.slice/w.service"):
                said = tree.refuses("maps", target, 1, "100 (web one), 101 (web?two), 102 (wéb (3)), 103 (web) S 1), 104 (w4)",
                                    "and 2 more", "none of its 8 processes", target)
                assert "200" not in said and "105" not in said, said
                equal(len(tree.members(target)), 8)
            tree.refuses("oom", "--what-if=adj:unit:w=5", 1, "100 (web one)")
            equal(tree.path("unit:w"), "/web.slice/w.service")
            # With one process more, which started all others, there is a first one.
            for number in range(len(names)):
                tree.process(100 + number, 99, "/web.slice/w.service")
            tree.process(99, 1, "/web.slice/w.service")
            equal(tree.main("unit:w"), 99)


@case
def names_of_cgroups_may_be_odd():
    with trees() as made:
        for number, path in enumerate(("/a b.slice/c d", "/x:y/0::z", "/dätä/βάση", "/tab\tin", "/a\\x2db.service", "/..data",
                                       "/q'\"$(x)*")):
            for tree in made:
                tree.process(300 + number, 1, path)
                equal(tree.main("cgroup:" + path), 300 + number)
                equal(tree.path("cgroup:" + path), path)
                equal(tree.path(str(300 + number)), path)
        for tree in made:
            equal(tree.main("unit:a\\x2db"), 304)
            tree.process(320, 1, "/system.slice/_memory.service")  # systemd's way out of names like memory.max
            equal(tree.main("unit:memory"), 320)
            equal(tree.path("unit:memory"), "/system.slice/_memory.service")


@case
def units_of_users_and_containers():
    with trees() as made:
        for tree in made:
            tree.process(500, 1, f"{USER}/init.scope", b"systemd")
            tree.process(510, 500, f"{USER}/app.slice/dbus.service")
            equal(tree.main("unit:dbus"), 510)  # the only one
            equal(tree.path("unit:dbus"), f"{USER}/app.slice/dbus.service")
            equal(tree.members("unit:user@1000"), [500, 510])
            equal(tree.main("unit:user@1000"), 500)
            tree.process(610, 1, f"{USER.replace('1000', '7')}/app.slice/dbus.service")
            for command in ("maps", "ps", "vm"):
                tree.refuses(command, "unit:dbus", 1, "2 cgroups belong to units named dbus.service",
                             f"{USER}/app.slice/dbus.service", "user@7.service/app.slice/dbus.service")
            tree.process(710, 1, "/docker/0f3c/system.slice/dbus.service")
            tree.refuses("ps", "unit:dbus", 1, "3 cgroups belong")
            tree.process(810, 1, "/system.slice/dbus.service")  # the host's own comes before all others
            equal(tree.main("unit:dbus"), 810)
            equal(tree.members("unit:dbus"), [810])
            equal(tree.path("unit:dbus"), "/system.slice/dbus.service")


@case
def a_unit_without_a_memory_cgroup_of_its_own():
    with trees() as made:
        v1 = made[0]
        v1.process(40, 1, "/system.slice/a.service", memory="/")
        v1.process(50, 1, "/system.slice/b.service", memory="/memory/b/one")
        v1.process(51, 50, "/system.slice/b.service", memory="/memory/b/two")
        equal(v1.path("unit:a"), "/")
        equal(v1.path("unit:b"), "/memory/b")
        equal(v1.main("unit:b"), 50)
        equal(v1.members("cgroup:/memory/b"), [50, 51])
        v1.refuses("ps", "cgroup:/system.slice/b.service", 42, "no such memory cgroup")


@case
def who_is_no_member():
    with trees() as made:
        for tree in made:
            tree.process(60, 1, "/system.slice/a.service")
            tree.process(61, 60, "/system.slice/a.service", b"gone", state="Z")
            tree.process(62, 2, "/system.slice/a.service", b"vhost-60", flags=0x208040)  # a thread of the kernel
            tree.process(63, 1, "/system.slice/a.service")
            os.remove(tree.root + "/proc/63/stat")  # vanished between two readings
            tree.process(64, 1, "/system.slice/a.service")
            os.remove(tree.root + "/proc/64/cgroup")
            os.mkdir(tree.root + "/proc/65")
            equal(tree.members("unit:a"), [60])
            equal(tree.main("unit:a"), 60)
            tree.process(60, 1, "/system.slice/a.service", state="Z")
            for command in ("ps", "maps"):
                tree.refuses(command, "unit:a", 42, "the unit a.service has no process")
                tree.refuses(command, "cgroup:/system.slice/a.service", 42, "the cgroup /system.slice/a.service has no process")
            tree.refuses("vm", "unit:a", 42, "has no process")
            equal(tree.path("cgroup:/system.slice/a.service"), "/system.slice/a.service")  # an empty one can be looked at


@case
def parents_that_go_round_end():
    with trees() as made:
        for tree in made:
            tree.process(70, 71, "/a")
            tree.process(71, 70, "/a")
            tree.refuses("maps", "cgroup:/a", 1, "each other's parents")
            tree.process(80, 81, "/b")
            tree.process(81, 82, "/c")
            tree.process(82, 81, "/c")  # a circle that the member is not in
            equal(tree.main("cgroup:/b"), 80)
            tree.process(90, 90, "/d")
            equal(tree.main("cgroup:/d"), 90)


@case
def paths_of_cgroups_have_one_form():
    with trees() as made:
        for tree in made:
            tree.process(60, 1, "/system.slice/a.service")
            for path in ("//system.slice/./a.service/", "/./system.slice//a.service/.", "/system.slice/a.service///"):
                equal(tree.path("cgroup:" + path), "/system.slice/a.service")
                equal(tree.path(path), "/system.slice/a.service")
                for how in ("--scope", path), ("--scope", "cgroup:" + path), ("--what-if", f"limit:{path}=512M"):
                    done = tree.ebb("oom", "--json", *how)
                    equal((how, done.returncode, done.stderr), (how, 0, ""))
                    contains([row["scope"] for row in rows(done.stdout, "scopes")], "/system.slice/a.service")
            equal(tree.path("/."), "/")
            for path in ("/../../", "/system.slice/..", "/.." + "/x"):
                tree.refuses("vm", path, 2, "has no '..'")
                tree.refuses("ps", "cgroup:" + path, 2, "has no '..'")
                equal(tree.ebb("oom", "--scope", path).returncode, 2)
            tree.cgroup("/..a")
            equal(tree.path("/..a"), "/..a")


@case
def the_name_of_one_that_has_ended():
    with trees() as made:
        for tree in made:
            tree.process(70, 60, "/a", b"gone", state="Z")
            tree.refuses("maps", "gone", 42, "process 70 (gone) has ended and waits for its parent 60")
            tree.refuses("maps", "70", 42, "process 70 (gone) has ended and waits for its parent 60")
            equal([row["state"] for row in rows(tree.ebb("ps", "--json", "-c", "pid,state", "gone").stdout)], ["Z"])
            tree.process(71, 60, "/a", b"gone")
            equal(tree.main("gone"), 71)


@case
def names_do_not_reach_the_terminal_as_they_are():
    with trees() as made:
        for tree in made:
            for pid, name in ((70, b"\xc2\x9b31mred"), (71, "\u202etxt\u2066".encode()), (72, b"gr\xc3\xbcn\xff")):
                tree.process(pid, 1, "/system.slice/a.service", name)
            done = tree.ebb("maps", "unit:a")
            equal(done.returncode, 1)
            contains(done.stderr, "70 (?31mred), 71 (?txt?), 72 (grün?)\n")
            for path in ("/\u202ea.slice/b.service", "/c.slice/d.slice/\x9be.slice/b.service"):
                tree.process(80 + len(path), 1, path)
            contains(tree.ebb("maps", "unit:b").stderr, "/?a.slice/b.service")


@case
def bad_targets_are_one_line():
    with trees() as made:
        for tree in made:
            for command in ("ps", "maps", "vm"):
                tree.refuses(command, "unit:", 2, "not the name of a unit")
                tree.refuses(command, "unit:/system.slice/a.service", 2, "not the name of a unit")
                tree.refuses(command, "cgroup:", 2, "begins with '/'")
                tree.refuses(command, "cgroup:system.slice", 2, "begins with '/'")
                tree.refuses(command, "unit:nobody", 42, "nobody.service has no process")
                tree.refuses(command, "cgroup:/nowhere", 42, "cgroup:/nowhere: there is no such memory cgroup")
            tree.write("proc/self/mountinfo", "22 1 254:1 / / rw - ext4 /dev/vda1 rw\n")
            tree.process(60, 1, "/system.slice/a.service")
            tree.refuses("ps", "cgroup:/", 1, "no memory controller is mounted")
            equal(tree.main("unit:a"), 60)  # systemd's names need no memory controller


@case
def ps_takes_several_targets_and_shows_each_process_once():
    with trees() as made:
        for tree in made:
            tree.process(60, 1, "/system.slice/a.service")
            tree.process(61, 60, "/system.slice/a.service")
            done = tree.ebb("ps", "--json", "--columns", "pid", "61", "unit:a", "cgroup:/", "unit:nobody", "1")
            equal((done.returncode, done.stderr), (42, "ebb ps: the unit nobody.service has no process\n"))
            equal([row["pid"] for row in rows(done.stdout)], [1, 60, 61])


@case
def oom_takes_units_for_cgroups():
    with trees() as made:
        for tree in made:
            tree.process(60, 1, "/system.slice/a.service")
            done = tree.ebb("oom", "--json", "--scope", "unit:a", "--what-if", "limit:unit:a=512M")
            equal((done.returncode, done.stderr), (0, ""))
            scopes = rows(done.stdout, "scopes")
            equal([(row["scope"], row["limit_bytes"]) for row in scopes], [("/system.slice/a.service", 512 << 20)])
            done = tree.ebb("oom", "--scope", "cgroup:/nowhere")
            equal((done.returncode, done.stdout, done.stderr.count("\n")), (42, "", 1))


@case
def hosts_in_the_repository():
    for host, unit, pid in (("x86-4.18", "mysql", 1834), ("arm64-6.1", "mariadb.service", 2201)):
        done = run(EBB, "ps", "--json", "--root", golden.tree(host), "unit:" + unit)
        equal((done.returncode, done.stderr), (0, ""))
        contains(sorted(by_pid(done.stdout)), pid)


@case
def help_says_what_a_target_is():
    for command in ("ps", "maps", "heap", "control", "capture", "vm", "oom"):
        contains(run(EBB, command, "--help").stdout, "unit:NAME or cgroup:PATH")
    assert "unit:" not in run(EBB, "completion", "--help").stdout


# ---- this host ----

# Moves itself, then starts two children, one with a child of its own, and ends with its standard input.
PROGRAM = r"""
import os, subprocess, sys
for file in sys.argv[1:]:
    open(file, "w").write(str(os.getpid()))
one = subprocess.Popen(["sleep", "300"])
two = subprocess.Popen(["sh", "-c", "sleep 300 & echo up; wait; true"], stdout=subprocess.PIPE)
two.stdout.readline()
print("ready", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def real_group(path):
    """The cgroup `path` of memory, and of systemd where it is mounted apart, with a tree of four processes in it."""
    if os.geteuid() != 0:
        raise Skip("needs root")
    if os.path.exists(MEMORY_V1 + "/cgroup.procs"):
        folders = [top + path for top in (MEMORY_V1, SYSTEMD_V1) if os.path.exists(top + "/cgroup.procs")]
    elif os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        folders = ["/sys/fs/cgroup" + path]
    else:
        raise Skip("no cgroups are mounted")
    made = []
    child = None
    pids = []
    try:
        for folder in folders:
            for parent in [os.path.dirname(folder), folder]:
                if not os.path.exists(parent):
                    os.mkdir(parent)
                    made.append(parent)
        child = subprocess.Popen([sys.executable, "-c", PROGRAM, *[folder + "/cgroup.procs" for folder in folders]],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if child.stdout.readline() != b"ready\n":
            raise Skip("a process cannot be moved into a cgroup here")
        pids = [child.pid, *children(child.pid)]
        pids += [pid for parent in pids[1:] for pid in children(parent)]
        yield child.pid, sorted(pids), len(folders)
    finally:
        for pid in reversed(pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if child is not None:
            child.kill()
            child.wait()
            child.stdin.close()
            child.stdout.close()
        for folder in reversed(made):
            wait_for(f"the end of {folder}", lambda folder=folder: remove(folder))


def remove(folder):
    try:
        os.rmdir(folder)
    except OSError:
        return False
    return True


@case
def a_real_cgroup_with_a_tree_of_processes():
    path = f"/ebb-{os.getpid()}.slice/a test:{os.getpid()}.service"
    with real_group(path) as (main, pids, hierarchies):
        equal(len(pids), 4)
        named = [f"cgroup:{path}"]
        if hierarchies == 2 or os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
            named.append(f"unit:{os.path.basename(path)}")
        for target in named:
            done = run(EBB, "ps", "--json", target)
            equal((done.returncode, done.stderr), (0, ""))
            equal(sorted(by_pid(done.stdout)), pids)
            done = run(EBB, "maps", target)
            equal((done.returncode, done.stderr), (0, ""))
            contains(done.stdout.splitlines()[0], str(main))
            done = run(EBB, "vm", "--json", "--cgroup", target)
            equal(json.loads(done.stdout)["cgroups"][0]["path"], path)
            done = run(EBB, "oom", "adj", "--json", target)
            equal((done.returncode, json.loads(done.stdout)["adj"]["pid"]), (0, main))
            folder = os.path.join(tap.folder(), "captured")
            done = run(EBB, "capture", folder, target)
            equal(done.returncode, 0)
            equal(sorted(int(name) for name in os.listdir(folder + "/proc") if name.isdigit() and name != "2"), pids)
            again = run(EBB, "ps", "--json", "--root", folder, target)
            equal((again.returncode, sorted(by_pid(again.stdout))), (0, pids))
            shutil.rmtree(folder)
        os.kill(main, signal.SIGKILL)
        wait_for("its end", lambda: run(EBB, "maps", str(main)).returncode == 42)
        done = run(EBB, "maps", named[-1])
        equal((done.returncode, done.stdout), (1, ""))
        contains(done.stderr, "(sleep), ")


@case
def an_ordinary_user_finds_them_too():
    path = f"/ebb-{os.getpid()}.slice/test.service"
    with real_group(path) as (_, pids, _):
        done = run(EBB, "ps", "--json", "cgroup:" + path, user="nobody", group="nogroup")
        if done.returncode == 126 or "Permission denied" in done.stderr:
            raise Skip("the tool cannot be reached by other users")
        equal((done.returncode, sorted(by_pid(done.stdout))), (0, pids))


if __name__ == "__main__":
    raise SystemExit(tap.main())
