# SPDX-License-Identifier: MIT
"""Black-box tests of `ebb ps`: against ps, pidstat and top on processes that hold still, in a storm, and on a tree."""

import contextlib
import csv
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import golden
import tap
from memory_cgroup import is_mounted
from processes import by_pid, children, named, rows, sleepers, started, tell, worker
from tap import Skip, case, contains, equal, run, wait_for

EBB = os.environ["EBB_TOOL"]
PAGE = os.sysconf("SC_PAGESIZE")
# What a processor may hold back of a counter, or a page that is touched between two looks.
NOISE_KIB = 512

for variable in ("LD_PRELOAD", "EBB_LIBRARY", "EBB_MALLOC"):
    os.environ.pop(variable, None)


def need(program):
    if shutil.which(program) is None:
        raise Skip(f"{program} is not installed")


def need_procps():
    need("ps")
    if "procps-ng" not in run("ps", "--version").stdout:
        raise Skip("another ps than procps-ng's")


def near(got, want, noise, what=""):
    assert abs(got - want) <= noise, f"{what}: got {got}, want {want} within {noise}"


def ebb_ps(*args, **more):
    done = run(EBB, "ps", "--json", *args, **more)
    equal((done.returncode, done.stderr), (0, ""))
    return by_pid(done.stdout)


def hold_still(process):
    process.send_signal(signal.SIGSTOP)
    wait_for("the stop", lambda: open(f"/proc/{process.pid}/stat", encoding="utf-8").read().rsplit(") ", 1)[1][0] == "T")


# ---- against the originals -----------------------------------------------------------------------------------


@case
def columns_of_ps():
    need_procps()
    with worker("one", "two") as process:
        os.setpriority(os.PRIO_PROCESS, process.pid, 5)
        tell(process, "fault 3000")
        hold_still(process)
        ours = ebb_ps("-c", "all", process.pid)[process.pid]
        text = run("ps", "-o", "ppid=,vsz=,rss=,min_flt=,maj_flt=,nlwp=,ni=,pri=,cls=,s=,user:32=,comm=", "-p",
                   process.pid).stdout.split()
    ppid, vsz, rss, minor, major, threads, nice, priority = map(int, text[:8])
    equal((ours["parent_pid"], ours["virt_bytes"], ours["minor_faults"], ours["major_faults"], ours["threads"]),
          (ppid, vsz * 1024, minor, major, threads))
    near(ours["rss_bytes"] // 1024, rss, NOISE_KIB, "rss")
    equal((ours["nice"], ours["priority"], ours["class"], ours["state"], ours["user"], ours["name"]),
          (nice, priority, *text[8:12]))
    equal(ours["rss_bytes"], ours["rss_anon_bytes"] + ours["rss_file_bytes"] + ours["rss_shmem_bytes"])
    equal(ours["shared_bytes"], ours["rss_file_bytes"] + ours["rss_shmem_bytes"])
    assert ours["rss_shmem_bytes"] >= 6 << 20 and ours["rss_anon_bytes"] >= 8 << 20, ours
    assert ours["hwm_bytes"] >= ours["rss_bytes"], ours


@case
def columns_of_top():
    need_procps()
    need("top")
    with worker() as process:
        hold_still(process)
        ours = ebb_ps(process.pid)[process.pid]
        lines = run("top", "-b", "-n1", "-E", "k", "-e", "k", "-p", process.pid,
                    env={"LC_ALL": "C", "HOME": tap.folder(), "TERM": "dumb"}).stdout.splitlines()
    heads = next(line.split() for line in lines if "PID" in line and "VIRT" in line)
    theirs = dict(zip(heads, next(line.split() for line in lines if line.split()[:1] == [str(process.pid)])))
    equal(ours["virt_bytes"] // 1024, int(theirs["VIRT"]))
    near(ours["rss_bytes"] // 1024, int(theirs["RES"]), NOISE_KIB, "RES")
    near(ours["shared_bytes"] // 1024, int(theirs["SHR"]), NOISE_KIB, "SHR")
    near(ours["mem_percent"], float(theirs["%MEM"]), 0.11, "%MEM")


@case
def means_since_the_start_as_ps_has_them():
    need_procps()
    with worker() as process:
        tell(process, "burn 0.4")
        hold_still(process)
        before = float(run("ps", "-o", "pcpu=", "-p", process.pid).stdout)
        ours = ebb_ps(process.pid)[process.pid]
        after = float(run("ps", "-o", "pcpu=", "-p", process.pid).stdout)
    # It falls while time goes on; ps counts whole seconds of age on some versions and cuts digits.
    assert after * 0.8 - 0.2 <= ours["cpu_percent"] <= before * 1.25 + 0.2, (before, ours["cpu_percent"], after)


@case
def rates_of_pidstat():
    need("pidstat")
    faults, seconds = 6000, 2
    with worker() as process:
        ours = subprocess.Popen([EBB, "ps", "--json", "--interval", f"{seconds}s", str(process.pid)],
                                stdout=subprocess.PIPE, text=True)
        theirs = subprocess.Popen(["pidstat", "-r", "-p", str(process.pid), str(seconds), "1"],
                                  stdout=subprocess.PIPE, text=True, env={**os.environ, "LC_ALL": "C"})
        try:
            time.sleep(seconds / 3)
            tell(process, f"fault {faults}")
            time.sleep(seconds / 8)
            hold_still(process)
            row = by_pid(ours.communicate(timeout=60)[0])[process.pid]
            text = theirs.communicate(timeout=60)[0]
        finally:
            for child in (ours, theirs):
                child.kill()
                child.wait()
        line = next(line for line in text.splitlines() if re.search(rf"\s{process.pid}\s", line)).split()
        at = line.index(str(process.pid))
        minor, major, vsz, rss = float(line[at + 1]), float(line[at + 2]), int(line[at + 3]), int(line[at + 4])
    assert faults / seconds * 0.8 < row["minor_faults_per_second"] < faults / seconds * 1.2, row
    # Both waited for the same events; how long they really slept differs by what a busy machine makes of it.
    near(row["minor_faults_per_second"], minor, 0.1 * minor, "minflt/s")
    near(row["major_faults_per_second"], major, 1, "majflt/s")
    equal(row["virt_bytes"], vsz * 1024)
    near(row["rss_bytes"] // 1024, rss, NOISE_KIB, "RSS")


@case
def processor_time_of_an_interval():
    with worker() as process:
        tell(process, "burn 0.3")
        idle = ebb_ps("--interval", "300ms", process.pid)[process.pid]
        # Nothing was done in it, however much there was before.
        equal(idle["cpu_percent"], 0)
        look = subprocess.Popen([EBB, "ps", "--json", "--interval", "3s", str(process.pid)], stdout=subprocess.PIPE,
                                text=True)
        time.sleep(0.4)
        tell(process, "burn 0.3")
        late = look.poll() is not None
        row = by_pid(look.communicate(timeout=60)[0])[process.pid]
    if late:
        raise Skip("the machine is too busy for 0.3 s of processor time in 2.6 s")
    near(row["cpu_percent"], 10, 3, "%CPU")


@case
def a_process_that_starts_within_the_interval():
    with worker() as process:
        name = f"late {os.getpid()}"
        look = subprocess.Popen([EBB, "ps", "--json", "--interval", "2500ms", "-f", name], stdout=subprocess.PIPE,
                                text=True)
        time.sleep(0.5)
        with named(name.encode()):
            table = rows(look.communicate(timeout=60)[0])
    equal([row["name"] for row in table], [name])
    assert table[0]["minor_faults_per_second"] > 10, table
    assert process.returncode is not None


# ---- threads -------------------------------------------------------------------------------------------------


@case
def threads_of_ps():
    need_procps()
    with worker("first", "sec ond", "third") as process:
        tids = sorted(map(int, os.listdir(f"/proc/{process.pid}/task")))
        os.setpriority(os.PRIO_PROCESS, tids[1], 7)
        os.sched_setscheduler(tids[2], os.SCHED_BATCH, os.sched_param(0))
        os.sched_setscheduler(tids[3], os.SCHED_IDLE, os.sched_param(0))
        hold_still(process)
        done = run(EBB, "ps", "--json", "--threads", process.pid)
        equal(done.returncode, 0)
        ours = {row["tid"]: row for row in rows(done.stdout, "threads")}
        text = run("ps", "-L", "-o", "lwp=,cls=,pri=,ni=,s=,wchan:32=,comm=", "-p", process.pid).stdout
        with_m = run("ps", "-m", "-o", "lwp=", "-p", process.pid).stdout.split()
    equal(list(ours), tids)
    equal(sorted(ours), sorted(int(word) for word in with_m if word != "-"))
    for line in text.splitlines():
        tid, cls, priority, nice, state, wchan, name = line.split(None, 6)
        row = ours[int(tid)]
        equal((row["pid"], row["class"], str(row["priority"]), row["state"], row["name"]),
              (process.pid, cls, priority, state, name))
        if nice != "-":
            equal(str(row["nice"]), nice)
        if wchan != "-":
            equal(row["wchan"], wchan)
    equal(ours[tids[1]]["nice"], 7)
    equal([ours[tid]["class"] for tid in tids], ["TS", "TS", "B", "IDL"])


@case
def a_real_time_thread_has_no_nice_value():
    with worker() as process:
        try:
            os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(3))
        except PermissionError as refused:
            raise Skip("real-time scheduling is not allowed here") from refused
        done = run(EBB, "ps", "--json", "-t", "-c", "pid,cls,nice,pri", process.pid)
    row = rows(done.stdout, "threads")[0]
    equal((row["class"], row["real_time_priority"], row["nice"]), ("FF", 3, None))
    contains(row["unknown"]["nice"], "real-time")
    equal(rows(done.stdout)[0]["nice"], None)


# ---- names, storms, permissions ------------------------------------------------------------------------------


@case
def names_of_any_kind():
    # The first one is looked for by its name, which no other run of this test has.
    odd = [f"two {os.getpid()}".encode(), b"a) S 1 (b",
           b"))))", b"new\nline", b"tab\there", b"back\\slash", "grüße".encode(), b"\x1b[31mred",
           b'quo"te,comma']
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(named(name)) for name in odd]
        stack_bad = stack.enter_context(named(b"bad\xff\xfe"))
        table = ebb_ps("-c", "pid,name,rss", *(process.pid for process in processes), stack_bad.pid)
        for process, name in zip(processes, odd):
            equal(table[process.pid]["name"], name.decode())
            assert table[process.pid]["rss_bytes"] > 0
        equal(table[stack_bad.pid]["name"], "bad\ufffd\ufffd")
        human = run(EBB, "ps", "-c", "pid,name", *(process.pid for process in processes)).stdout
        assert "\x1b" not in human and len(human.splitlines()) == len(odd) + 1, human
        contains(human, "new?line")
        text = run(EBB, "ps", "--format", "csv", "-c", "pid,name", *(process.pid for process in processes)).stdout
        names = {line[-2]: line[-1] for line in list(csv.reader(text.splitlines(keepends=True)))[1:] if len(line) >= 2}
        equal(names[str(processes[-1].pid)], odd[-1].decode())
        # A name is found by a part of it, and by itself as a target.
        equal(list(ebb_ps("-f", odd[0].decode()[1:], "-c", "pid")), [processes[0].pid])
        equal(list(ebb_ps(odd[0].decode(), "-c", "pid")), [processes[0].pid])


@case
def a_storm_of_short_lived_processes():
    with started("sh", "-c", "echo ready; while :; do (:) & (exec true) & wait; done"):
        end = time.monotonic() + 2
        looks = 0
        while time.monotonic() < end or looks < 10:
            done = run(EBB, "ps", "--json", "-k", "-t", "-c", "+vmas,state,command")
            equal((done.returncode, done.stderr), (0, ""))
            for row in rows(done.stdout):
                # A row is whole: who has no memory is a zombie or a thread of the kernel, and says so.
                if row["rss_bytes"] is None:
                    why = row["unknown"]["rss_bytes"]
                    assert row["state"] in "ZX" or "kernel" in why or "no memory" in why, row
                else:
                    assert row["virt_bytes"] is not None and row["user"] is not None, row
                    assert row["oom_rank"] is not None or "oom_score" in row["unknown"]["oom_rank"], row
            looks += 1


@case
def a_zombie_has_no_memory_and_says_so():
    process = subprocess.Popen(["true"])
    try:
        wait_for("the zombie", lambda: open(f"/proc/{process.pid}/stat", encoding="utf-8").read().split()[2] == "Z")
        row = ebb_ps("-c", "all")[process.pid]
        equal(ebb_ps("-c", "all", process.pid)[process.pid]["state"], "Z")
        want = f"process {process.pid} (true) has ended and waits for its parent {os.getpid()}\n"
        for command in (["maps"], ["oom", "adj"], ["explain"], ["relieve"], ["heap"], *([["vm", "-g"]] if is_mounted() else [])):
            done = run(EBB, *command, process.pid)
            equal((command, done.returncode, done.stdout, done.stderr), (command, 42, "", f"ebb {command[0]}: {want}"))
    finally:
        process.wait()
    equal((row["state"], row["rss_bytes"], row["vmas"], row["allocator"]), ("Z", None, None, None))
    for key in ("rss_bytes", "hwm_bytes", "vmas", "allocator"):
        contains(row["unknown"][key], "has ended")


def is_of_the_kernel(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return int(file.read().rsplit(") ", 1)[1].split()[6]) & 0x200000 != 0
    return False


@case
def threads_of_the_kernel_are_hidden():
    kernel = {int(name) for name in os.listdir("/proc") if name.isdigit() and is_of_the_kernel(name)}
    if not kernel:
        raise Skip("no threads of the kernel are to be seen here")
    assert not kernel & set(ebb_ps("-c", "pid"))
    table = ebb_ps("-k", "-c", "pid,rss,oom,name")
    for pid in kernel & set(table):
        equal((table[pid]["rss_bytes"], table[pid]["oom_rank"]), (None, None))
        contains(table[pid]["unknown"]["rss_bytes"], "thread of the kernel")
    assert len(kernel & set(table)) > len(kernel) / 2


@case
def an_ordinary_user_sees_what_it_may():
    if os.geteuid() != 0:
        raise Skip("needs root, to become somebody else")
    with worker() as process:
        row = ebb_ps(process.pid, user="nobody")[process.pid]
        assert row["rss_bytes"] > 0 and row["oom_rank"] > 0, row
        equal(row["vmas"], None)
        contains(row["unknown"]["vmas"], "CAP_SYS_PTRACE")
        done = run(EBB, "ps", "--allocator", process.pid, user="nobody")
        equal(done.returncode, 0)
        contains(done.stdout, "The mappings of 1 of 1 processes are not shown: that needs CAP_SYS_PTRACE or the same user.\n")
        contains(done.stdout, "The allocators of 1 of 1 processes are not shown")
        assert ebb_ps(process.pid)[process.pid]["vmas"] == len(
            [line for line in open(f"/proc/{process.pid}/maps", encoding="utf-8") if "[vsyscall]" not in line])


@case
def users():
    if os.geteuid() != 0:
        raise Skip("needs root, to become somebody else")
    with started("sh", "-c", "echo ready; exec sleep 300", user="nobody") as process:
        for user in ("nobody", str(os.stat(f"/proc/{process.pid}").st_uid)):
            table = ebb_ps("-u", user)
            assert process.pid in table and os.getpid() not in table, table.keys()
            equal(table[process.pid]["user"], "nobody")


# ---- orders, ranks, limits -----------------------------------------------------------------------------------


@case
def orders():
    with sleepers(5), worker():
        for column in ("rss", "mem_percent", "hwm", "minor", "pid", "name", "user", "oom", "threads"):
            keys = {"rss": "rss_bytes", "hwm": "hwm_bytes", "minor": "minor_faults", "oom": "oom_rank"}
            key = keys.get(column, column)
            for reverse in ([], ["--reverse"]):
                found = rows(run(EBB, "ps", "-j", "-c", f"pid,{column}", "-s", column, *reverse).stdout)
                values = [row[key] for row in found if row[key] is not None]
                up = (column in ("pid", "name", "user", "oom")) != bool(reverse)
                if not isinstance(values[0], str):
                    equal(values, sorted(values, reverse=not up))
                else:
                    equal(values, sorted(values, key=lambda text: text.encode(), reverse=not up))
                # What is not known comes last.
                assert all(row[key] is None for row in found[len(values):])
        whole = rows(run(EBB, "ps", "-j").stdout)
        equal([row["rss_bytes"] for row in whole],
              sorted((row["rss_bytes"] for row in whole), key=lambda value: (value is None, -(value or 0))))
        equal(len(rows(run(EBB, "ps", "-j", "-n", "3").stdout)), 3)


@case
def ranks_follow_oom_score():
    with worker() as process, worker() as spared, sleepers(3):
        with open(f"/proc/{process.pid}/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
        table = ebb_ps("-c", "pid,oom,score,adj")
        ranked = sorted((row for row in table.values() if row["oom_rank"]), key=lambda row: row["oom_rank"])
        equal([row["oom_rank"] for row in ranked], list(range(1, len(ranked) + 1)))
        scores = [row["oom_score"] for row in ranked]
        equal(scores, sorted(scores, reverse=True))
        equal(table[process.pid]["oom_score_adj"], 1000)
        # A rank is the host's, also when one process is shown.
        alone = ebb_ps("-c", "pid,oom", spared.pid)[spared.pid]["oom_rank"]
        assert alone > 1, alone


@contextlib.contextmanager
def memory_cgroup(limit):
    """The folder of a new memory cgroup with a limit, in the top of the tree, and where its usage stands."""
    if os.geteuid() != 0:
        raise Skip("needs root, to make a memory cgroup")
    old = os.path.exists("/sys/fs/cgroup/memory/memory.limit_in_bytes")
    top = "/sys/fs/cgroup/memory" if old else "/sys/fs/cgroup"
    path = f"{top}/ebb-ps-{os.getpid()}"
    try:
        os.mkdir(path)
    except OSError as refused:
        raise Skip(f"no memory cgroup can be made: {refused}") from refused
    try:
        try:
            with open(path + ("/memory.limit_in_bytes" if old else "/memory.max"), "w", encoding="ascii") as file:
                file.write(str(limit))
        except OSError as refused:
            raise Skip(f"the memory cgroup takes no limit: {refused}") from refused
        yield path, path + ("/memory.usage_in_bytes" if old else "/memory.current")
    finally:
        wait_for("the end of its processes", lambda: not open(path + "/cgroup.procs", encoding="ascii").read())
        os.rmdir(path)


def number_in(path):
    with open(path, encoding="ascii") as file:
        return int(file.read())


@case
def how_full_the_cgroup_is():
    limit = 256 << 20
    with memory_cgroup(limit) as (path, usage):
        # The shell moves itself, so that all that it becomes is charged there.
        with started("sh", "-c", 'echo $$ >"$0/cgroup.procs"; exec "$@"', path, sys.executable, "-c",
                     "import time; kept = bytearray(60 << 20); print('ready', flush=True); time.sleep(300)") as process:
            row = ebb_ps("-c", "pid,cg%,cgroup", process.pid)[process.pid]
            near(row["cgroup_percent"], 100 * number_in(usage) / limit, 2, "CG%")
            equal(row["cgroup"], "/" + os.path.basename(path))
            assert row["cgroup_percent"] > 20, row


# ---- allocators ----------------------------------------------------------------------------------------------


def library(pattern):
    found = sorted(glob.glob(f"/usr/lib/*/{pattern}"))
    if not found:
        raise Skip(f"there is no {pattern}")
    return found[0]


PYTHON = [sys.executable, "-S", "-c", "import time; print('ready', flush=True); time.sleep(300)"]


def allocator_of(pid):
    row = rows(run(EBB, "ps", "-j", "--allocator", "-c", "pid", pid).stdout)[0]
    return row["allocator"], row["allocator_evidence"]


@case
def allocator_of_the_c_library():
    with started(*PYTHON) as process:
        name, evidence = allocator_of(process.pid)
    equal(name, "glibc")
    contains(evidence, "libc.so.6 is the first of")


@case
def allocator_that_is_mapped_but_does_not_serve():
    jemalloc = library("libjemalloc.so.2")
    with started(*PYTHON, env={**os.environ, "LD_PRELOAD": f"libc.so.6:{jemalloc}"}) as process:
        contains(open(f"/proc/{process.pid}/maps", encoding="utf-8").read(), "libjemalloc")
        name, evidence = allocator_of(process.pid)
    equal(name, "glibc")
    contains(evidence, "libjemalloc.so.2 is mapped, but comes later")


@case
def allocator_that_is_preloaded():
    jemalloc = library("libjemalloc.so.2")
    with started(*PYTHON, env={**os.environ, "LD_PRELOAD": jemalloc}) as process:
        name, evidence = allocator_of(process.pid)
    equal(name, "jemalloc")
    contains(evidence, "libjemalloc.so.2 is the first of")


@case
def allocator_ebb():
    ours = os.environ.get("EBB_TEST_LIBRARY")
    if not ours:
        raise Skip("the library is not built")
    with started(*PYTHON, env={**os.environ, "LD_PRELOAD": ours}) as process:
        name, evidence = allocator_of(process.pid)
    equal(name, "ebb")
    assert re.search(r"it has handed out \d+ blocks", evidence), evidence


@case
def allocator_of_a_static_program():
    program = tap.compile_c("static", "#include <stdio.h>\n#include <unistd.h>\n"
                            'int main(void) { puts("ready"); fflush(stdout); sleep(300); return 0; }\n', "-static")
    with started(program) as process:
        name, evidence = allocator_of(process.pid)
    equal(name, "static")
    contains(evidence, "static program with a malloc inside")


# ---- costs ---------------------------------------------------------------------------------------------------

PEAK = r"""
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    struct rusage usage;
    int status;
    pid_t pid = fork();

    (void)argc;
    if (pid == 0) {
        dup2(open("/dev/null", O_WRONLY), 1);
        execv(argv[1], argv + 1);
        _exit(127);
    }
    if (wait4(pid, &status, 0, &usage) != pid || status != 0)
        return 1;
    printf("%ld %ld\n", usage.ru_maxrss, (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000);
    return 0;
}
"""


@case
def cost_of_five_hundred_processes():
    peak = tap.compile_c("peak", PEAK)
    with sleepers(500) as shell:
        pids = wait_for("the children", lambda: children(shell.pid) if len(children(shell.pid)) == 500 else None)
        # A child is another shell before it is a sleeper.
        wait_for("all to sleep", lambda: len(ebb_ps("-f", "sleep")) >= 500)
        best = None
        for _ in range(5):
            begin = time.monotonic()
            done = run(peak, EBB, "ps")
            wall = (time.monotonic() - begin) * 1000
            equal(done.returncode, 0)
            rss_kib, cpu_ms = map(int, done.stdout.split())
            best = min(best or (wall, cpu_ms), (wall, cpu_ms))
            assert rss_kib < 8 << 10, f"{rss_kib} KiB"
        print(f"# the usual columns of {len(pids)} processes and more: {best[0]:.0f} ms, of the processor {best[1]} ms, "
              f"{rss_kib} KiB resident", flush=True)
        need("strace")
        usual = {"stat", "status", "oom_score", "oom_score_adj"} | ({"cgroup"} if is_mounted() else set())
        for columns, wanted in ((None, usual),
                                ("pid,name,cpu", {"stat"}), ("pid,rss", {"stat", "status"})):
            log = os.path.join(tap.folder(), "trace")
            done = run("strace", "-f", "-e", "trace=open,openat", "-o", log, EBB, "ps",
                       *(["-c", columns, "-s", "pid"] if columns else []))
            if done.returncode != 0:
                raise Skip("strace may not trace here")
            with open(log, encoding="utf-8") as file:
                opened = re.findall(r'"/proc/(\d+)/([^"]+)"', file.read())
            for pid in (pids[0], pids[250], pids[499]):
                files = [name for owner, name in opened if int(owner) == pid]
                equal((len(files), set(files)), (len(wanted), wanted))


# ---- a tree of another host ----------------------------------------------------------------------------------

STATUS = """Name:\t{name}
State:\tS (sleeping)
Tgid:\t{pid}
Pid:\t{pid}
PPid:\t1
Uid:\t{uid}\t{uid}\t{uid}\t{uid}
VmPeak:\t {size} kB
VmSize:\t {size} kB
VmLck:\t 0 kB
VmHWM:\t {hwm} kB
VmRSS:\t {rss} kB
RssAnon:\t {anon} kB
RssFile:\t {file} kB
RssShmem:\t {shmem} kB
VmPTE:\t {pte} kB
VmSwap:\t {swap} kB
Threads:\t{threads}
"""


def write(root, path, text):
    whole = os.path.join(root, path)
    os.makedirs(os.path.dirname(whole), exist_ok=True)
    with open(whole, "w", encoding="utf-8") as file:
        file.write(text)


def tree():
    """A host of 1,000 s with 16 GiB, where 300 has run for 500 s and 20 for 100 s."""
    root = os.path.join(tap.folder(), "tree")
    if os.path.exists(root):
        return root
    write(root, "MANIFEST", "ebb capture 1\nhost: db9\nkernel: 5.10.0-28-arm64\nmachine: aarch64\npage_bytes: 65536\n"
          "clock_ticks: 100\nprocessors: 8\n")
    write(root, "proc/uptime", "1000.00 7000.00\n")
    write(root, "proc/meminfo", "MemTotal:       16777216 kB\nMemFree:         1000000 kB\n")
    write(root, "proc/sys/vm/max_map_count", "1000\n")
    for pid, name, uid, start, ticks, minor, major, score, adj, size in (
            (300, "mysqld", 115, 50000, 25000, 100000, 50, 1100, 0, {
                "size": 9 << 20, "hwm": 7 << 20, "rss": 8 << 20, "anon": 7 << 20, "file": 512 << 10, "shmem": 512 << 10,
                "pte": 16 << 10, "swap": 3 << 10, "threads": 41}),
            (20, "agent", 0, 90000, 100, 2000, 0, 0, -1000, {
                "size": 4096, "hwm": 3072, "rss": 2048, "anon": 1024, "file": 1024, "shmem": 0, "pte": 64, "swap": 0,
                "threads": 2})):
        rest = f"1 1 1 0 -1 4194560 {minor} 0 {major} 0 {ticks} 0 0 0 20 0 {size['threads']} 0 {start} 0 0"
        write(root, f"proc/{pid}/stat", f"{pid} ({name}) S {rest} " + " ".join(["0"] * 15) + " 0 0 0 0 0 0 0 0 0 0 0 0 0\n")
        write(root, f"proc/{pid}/status", STATUS.format(name=name, pid=pid, uid=uid, **size))
        write(root, f"proc/{pid}/oom_score", f"{score}\n")
        write(root, f"proc/{pid}/oom_score_adj", f"{adj}\n")
    write(root, "proc/300/maps", "".join(f"{0x10000 * i:08x}-{0x10000 * i + 0x1000:08x} rw-p 00000000 00:00 0 \n"
                                         for i in range(1, 251)))
    return root


GOLDEN = (
    "    PID USER       VIRT    RSS   ANON   FILE  SHMEM    SHR  %MEM  %CPU MINFLT/s MAJFLT/s   SWAP    HWM    PTE  THR"
    "   VMAS  VMA%  OOM   CG% NAME\n"
    "    300 115        9.0G   8.0G   7.0G   512M   512M   1.0G  50.0  50.0      200     0.10   3.0M   8.0G  16.0M   41"
    "    250  25.0    1     - mysqld\n"
    "     20 0          4.0M   2.0M   1.0M   1.0M      0   1.0M  0.01  1.00     20.0        0      0   3.0M  64.0K    2"
    "      -     -    -     - agent\n")


@case
def a_tree_of_another_host():
    done = run(EBB, "ps", "--root", tree(), "300", "agent")
    equal((done.returncode, done.stderr), (0, ""))
    equal(done.stdout, GOLDEN)
    agent = by_pid(run(EBB, "ps", "-j", "--root", tree(), "-c", "all").stdout)[20]
    contains(agent["unknown"]["oom_rank"], "never killed")
    contains(agent["unknown"]["allocator"], "captured tree")
    equal(agent["age_ms"], 100000)
    # Without a list the order is by number, whatever the file system's is.
    equal([row["pid"] for row in rows(run(EBB, "ps", "-j", "-s", "pid", "--root", tree()).stdout)], [20, 300])


@case
def formats():
    for form in ("human", "json", "jsonl", "csv", "openmetrics"):
        done = run(EBB, "ps", "--format", form, "-c", "all", "--root", tree())
        equal((done.returncode, done.stderr), (0, ""))
        contains(done.stdout, "mysqld")
    contains(done.stdout, "ebb_ps_processes_rss_bytes{")
    for line in run(EBB, "ps", "--format", "jsonl", "-c", "all", "--root", tree()).stdout.splitlines():
        equal(json.loads(line)["section"], "processes")


@case
def every_column_is_in_the_manual():
    with open(os.path.join(os.environ["EBB_SOURCE"], "man/ebb-ps.1"), encoding="utf-8") as file:
        page = file.read()
    names = run(EBB, "ps", "-s", "nonsense").stderr.split(" is none of ")[1].split(" (see")[0].split(", ")
    assert len(names) > 30, names
    keys = list(rows(run(EBB, "ps", "-j", "-c", "all", "--root", tree()).stdout)[0])
    for name, key in zip(names, [key for key in keys if key != "unknown"]):
        contains(page, f".It Cm {name} Pq Va {key}\n")
        equal(run(EBB, "ps", "-c", name, "--root", tree()).stdout, run(EBB, "ps", "-c", key, "--root", tree()).stdout)


# ---- what is wrong -------------------------------------------------------------------------------------------


@case
def usage():
    for args, part in ((["-c", "pid,nonsense"], "none of pid, ppid"), (["-c", ""], "none of"), (["-c", "pid,"], "none of"),
                       (["-s", "nonsense"], "none of pid"), (["-i", "0"], "above 0"), (["-i", "x"], "duration"),
                       (["-n", "0"], "above 0"), (["-n", "-1"], "above 0"), (["-u", "no such user"], "no user"),
                       (["-f", ""], "part of a name"), (["--root", tree(), "-i", "1s"], "captured tree"),
                       (["--unit", "X"], "unit"), (["--format", "xml"], "format")):
        done = run(EBB, "ps", *args)
        equal((args, done.returncode, done.stdout, done.stderr.count("\n")), (args, 2, "", 1))
        contains(done.stderr, part)


@case
def targets_that_are_not_there():
    done = run(EBB, "ps", "4194304", "no such name", os.getpid(), "-c", "pid", "--no-header")
    equal(done.returncode, 42)
    equal(done.stdout.split(), [str(os.getpid())])
    equal(done.stderr.count("\n"), 2)
    equal(run(EBB, "ps", "4194304").stdout, "")
    with sleepers(1) as shell:
        child = wait_for("the child", lambda: children(shell.pid))[0]
        look = subprocess.Popen([EBB, "ps", "-i", "800ms", "-c", "pid", str(child)], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)
        time.sleep(0.3)
        os.kill(child, signal.SIGKILL)
        wait_for("its end", lambda: not os.path.exists(f"/proc/{child}"))
        _, errors = look.communicate(timeout=60)
    equal((look.returncode, errors), (42, f"ebb ps: process {child} has ended while it was looked at\n"))


# ---- screens of other hosts ----------------------------------------------------------------------------------


@case
def golden_screens():
    for host in golden.HOSTS:
        root = golden.tree(host)
        golden.check(f"ps-{host}", "ps", "--root", root, "--kernel")
        golden.check(f"ps-{host}-all", "ps", "--root", root, "--kernel", "--columns", "all", "--sort", "pid")
        golden.check(f"ps-{host}-cgroup", "ps", "--root", root, "--columns",
                     "pid,ppid,state,rss,swap,vmas,oom,score,adj,cg%,name",
                     "cgroup:/database" if host == "x86-6.18" else "unit:system.slice")


@case
def a_long_path_moves_only_its_neighbours():
    lines = run(EBB, "ps", "--root", golden.tree("x86-4.18"), "--columns", "cgroup,rss,anon,hwm,virt,name").stdout.splitlines()
    contains(lines[1], "/system.slice/mysql.service 4.8G ")
    for line, name in zip(lines[1:], ("mysqld", "résumé (2) x", "metrics (agent)", "systemd", "sshd")):
        equal((name, line.index(name)), (name, lines[0].index("NAME")))


if __name__ == "__main__":
    raise SystemExit(tap.main())
