# SPDX-License-Identifier: MIT
"""`ebb doctor` about what grows, who kills beside the kernel, and memory without a name: scenes, and silent ones beside them."""

import contextlib
import fcntl
import json
import os
import resource
import subprocess
import sys
import time

import memory_cgroup
import processes
import servers
from doctor_scenes import EBB, MIB, captured, check_finding, evidence, found, hogs, host, lines, need_root
from tap import Skip, case, compile_c, contains, equal, folder, main, run, wait_for


@contextlib.contextmanager
def looking(between, *arguments):
    """The tool looks while the body acts; what it found is in the list afterwards, as found() has it."""
    process = subprocess.Popen([EBB, "doctor", "--json", "--between", between, *map(str, arguments)], stdout=subprocess.PIPE,
                               text=True)
    told = []
    try:
        yield told
        text = process.communicate(timeout=60)[0]
    finally:
        process.kill()
        process.wait()
    report = json.loads(text)
    told.extend(({row["id"]: row for row in report["findings"]}, report))


# ---- R03 ----


@case
def r03_a_cgroup_that_fills():
    """Two MiB each tenth of a second, of 512: there are some twenty seconds left."""
    with hogs("time", 512 * MIB, 0) as (hog,), hogs("still", 512 * MIB, 0) as (beside,):
        assert hog.take(20 << 10) and beside.take(60 << 10)
        with looking("2s", hog.pid) as told:
            for _ in range(24):
                assert hog.take(2 << 10)
                time.sleep(0.1)
        findings, report = told
        equal(findings["R03"]["severity"], "critical")
        check_finding(findings["R03"])
        text = evidence(report, "R03")
        print(f"# {text}", flush=True)
        contains(text, "doctor-time: ")
        contains(text, "eight of ten paces of 9 looks say ")
        contains(text, "oom_hog itself grew by ")
        contains(text, "it is killed first")
        contains(findings["R03"]["now"], "MemoryMax=")
        # It says what then happens: within 10 and 60 seconds at 20 MiB a second or somewhat less.
        left = next(row["text"] for row in report["evidence"] if row["id"] == "R03" and "are left last" in row["text"])
        seconds = float(left.split("last ")[1].split()[0])
        assert left.endswith(" s") and 10 < seconds < 60, left
        for words, name in (((hog.pid,), "doctor-time"), (("--between", "1s", beside.pid), "doctor-still")):
            # The host may fill by what others do; these two do not.
            findings, report = found(*words)
            assert "R03" not in findings or name not in evidence(report, "R03"), evidence(report, "R03")


@case
def r03_page_cache_is_no_growth():
    with hogs("cache", 512 * MIB, 0) as (hog,):
        group = os.path.join("/proc", str(hog.pid), "cgroup")
        assert os.path.exists(group) and hog.take(20 << 10)
        path = os.path.join(folder(), "read")
        with open(path, "wb") as file:
            file.write(bytes(64 << 20))
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        code = ("import sys, time; f = open(sys.argv[1], 'rb'); print('ready', flush=True); sys.stdin.readline()\n"
                "for _ in range(32):\n    f.read(2 << 20); time.sleep(0.05)\n"
                "print('done', flush=True); time.sleep(300)")
        with processes.started(sys.executable, "-S", "-c", code, path) as reader:
            memory_cgroup.put(procs_of(hog), reader.pid)
            with looking("2s", hog.pid) as told:
                reader.stdin.write(b"\n")
                reader.stdin.flush()
                equal(reader.stdout.readline(), b"done\n")
            assert "R03" not in told[0], evidence(told[1], "R03")
            reader.kill()
            reader.wait()


def procs_of(hog):
    """The file of a hog's cgroup into which processes are put."""
    with open(f"/proc/{hog.process.pid}/cmdline", encoding="utf-8") as file:
        return file.read().split("\0")[2]


# ---- R17 ----

LEAK = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* Obeys lines: "take N" keeps so many blocks of 600 bytes, "free" frees all but every hundredth. */
static char *kept[400000];
static int count;
int main(void)
{
    char word[16];
    int number;
    puts("ready");
    fflush(stdout);
    while (scanf("%15s %d", word, &number) == 2) {
        if (word[0] == 't') {
            for (; number > 0; number--)
                memset(kept[count++] = malloc(600), 1, 600);
        } else {
            for (int i = 0; i < count; i++)
                if (i % 100 != 0)
                    free(kept[i]);
            count = 0;
        }
        puts("done");
        fflush(stdout);
    }
}
"""


@case
def r17_a_heap_that_leaks():
    program = compile_c("leak", LEAK)
    with processes.started(program) as child:
        processes.tell(child, "take 100000")
        with looking("1500ms", child.pid) as told:
            time.sleep(0.7)
            processes.tell(child, "take 20000")
        findings, report = told
        if any("not understood" in row["why"] for row in report["missing"]):
            raise Skip("a C library whose layout ebb does not know")
        equal(findings["R17"]["severity"], "info")
        check_finding(findings["R17"])
        text = evidence(report, "R17")
        print(f"# {text}", flush=True)
        rise = float(text.split("rose by ")[1].split()[0])
        assert 11 < rise < 12.5, text
        contains(text, "it was started ")
        contains(findings["R17"]["for_good"], f"heaptrack -p {child.pid}")
        assert "R17" not in found("--between", "200ms", child.pid)[0]
        # What goes into memory that was free before is no leak.
        processes.tell(child, "free 0")
        with looking("1500ms", child.pid) as told:
            time.sleep(0.7)
            processes.tell(child, "take 20000")
        assert "R17" not in told[0], evidence(told[1], "R17")


# ---- R30 ----


def fill_redis(socket, mib):
    """Keys of 1 MiB, by its own protocol through its own client."""
    client = servers.need("redis-cli", "redis-tools")
    script = "for i = 1, tonumber(ARGV[1]) do redis.call('SET', 'k' .. i, string.rep('x', 1048576)) end"
    equal(run(client, "-s", socket, "EVAL", script, 0, mib).returncode, 0)


@case
def r30_a_save_that_does_not_fit():
    need_root()
    with servers.redis(by_name=True) as (server, socket):
        fill_redis(socket, 100)
        findings, _ = found(server.pid)
        assert "R30" not in findings, findings
        group = memory_cgroup.Group("doctor-fork", 160 * MIB)
        try:
            memory_cgroup.put(group.folder + "/cgroup.procs", server.pid)
            # Charges stay where pages were touched first: touch them anew.
            run("redis-cli", "-s", socket, "FLUSHALL")
            fill_redis(socket, 100)
            findings, report = wait_for("statistics of the cgroup",
                                        lambda: (lambda f: "R30" in f[0] and f)(found(server.pid)), 15)
            equal(findings["R30"]["severity"], "warning")
            check_finding(findings["R30"])
            print(f"# {evidence(report, 'R30')}", flush=True)
            contains(evidence(report, "R30"), "may be written during a save")
            contains(findings["R30"]["now"], "CONFIG SET maxmemory ")
            # A save that has been, with hardly a write, tells what is really copied.
            equal(run("redis-cli", "-s", socket, "BGSAVE").returncode, 0)
            wait_for("the save", lambda: "rdb_bgsave_in_progress:0" in run("redis-cli", "-s", socket, "INFO", "persistence").stdout)
            findings, report = found(server.pid)
            assert "R30" not in findings, evidence(report, "R30")
            contains(evidence(found("--no-sql", server.pid)[1], "R30"), "may be written during a save")
        finally:
            server.terminate()
            server.wait()
            group.end()


@case
def r30_a_fork_that_lives():
    """A server of any name, whose child shares its memory, in a cgroup in which there is no room for copies."""
    code = ("import mmap, os, time; m = mmap.mmap(-1, 100 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS); "
            "\nfor i in range(100):\n    m[i << 20:(i + 1) << 20] = bytes(1 << 20)\n{}print('ready', flush=True); time.sleep(300)")
    fork = "if os.fork() == 0:\n    time.sleep(300)\n"
    with hogs("copies", 160 * MIB, 0) as (hog,):
        entry = f"open({procs_of(hog)!r}, 'w').write('0')\n"
        with processes.started(sys.executable, "-S", "-c", entry + code.format(fork)) as child:
            findings, report = found(child.pid)
            assert "R30" in findings, report
            check_finding(findings["R30"])
            other = processes.children(child.pid)[0]
            contains(evidence(report, "R30"), f"its fork (pid {other}) lives")
        with processes.started(sys.executable, "-S", "-c", entry + code.format("")) as child:
            assert "R30" not in found(child.pid)[0]
    with processes.started(sys.executable, "-S", "-c", code.format(fork)) as child:
        assert "R30" not in found(child.pid)[0]


@case
def r30_a_fork_that_is_refused():
    with servers.redis(by_name=True) as (server, socket):
        fill_redis(socket, 80)
        full = {"proc/sys/vm/overcommit_memory": "2\n", "proc/meminfo": lines(CommitLimit=2 << 20, Committed_AS=(2 << 20) - 4096)}
        some = {"proc/sys/vm/overcommit_memory": "2\n", "proc/meminfo": lines(CommitLimit=2 << 20, Committed_AS=1 << 10)}
        findings, report = found("--root", captured(server.pid, full), server.pid)
        check_finding(findings["R30"])
        contains(evidence(report, "R30"), "it fails with ENOMEM")
        contains(findings["R30"]["now"], "sysctl -w vm.overcommit_memory=1")
        assert "R30" not in found("--root", captured(server.pid, some), server.pid)[0]


# ---- R29 ----


@case
def r29_earlyoom():
    program = servers.need("earlyoom", "earlyoom")
    for arguments, severity, part in ((["-m", "2,1", "-s", "3"], "info", "less than 2.0 % of the memory, and of any swap 3.0 %"),
                                      (["-m60", "-s", "100"], "warning", "less than 60.0 % of the memory, and of any swap 100.0 %"),
                                      (["-M", "1024"], "info", "kills when its own settings say so"),
                                      ([], "info", "less than 10.0 % of the memory, and of any swap 10.0 %")):
        with servers.started([program, "--dryrun", "-r", "0", *arguments], os.path.join(folder(), "earlyoom.log")) as killer:
            wait_for("its start", lambda: os.path.getsize(os.path.join(folder(), "earlyoom.log")) > 0, 10)
            findings, report = found("--all")
            equal((arguments, findings["R29"]["severity"]), (arguments, severity))
            check_finding(findings["R29"])
            contains(evidence(report, "R29"), f"earlyoom (pid {killer.pid})")
            contains(evidence(report, "R29"), part)
            contains(evidence(report, "R29"), "whom: the highest oom_score, that is ")
            contains(findings["R29"]["for_good"], "--avoid '^SERVER$'")
    assert "R29" not in found("--all")[0]


@case
def r29_oomd_and_the_kernels_own():
    name = "proc/13717/status"
    changed = host({name: lambda text: text.replace("Name:\t" + text.split("\t")[1].split("\n")[0], "Name:\tsystemd-oomd")})
    findings, report = found("--all", "--root", changed)
    equal(findings["R29"]["severity"], "info")
    check_finding(findings["R29"])
    contains(evidence(report, "R29"), "systemd-oomd (pid 13717)")
    contains(findings["R29"]["now"], "oomctl")
    findings, report = found("--all", "--root", host({"sys/kernel/mm/lru_gen/min_ttl_ms": "1000\n"}))
    equal(findings["R29"]["severity"], "warning")
    check_finding(findings["R29"])
    contains(evidence(report, "R29"), "used within 1000 ms")
    assert "R29" not in found("--all", "--root", host({"sys/kernel/mm/lru_gen/min_ttl_ms": "0\n"}))[0]


# ---- R19 ----


@case
def r19_a_cgroup_of_version_1_full_of_dirty_pages():
    if memory_cgroup.Group.find()[0] != 1:
        raise Skip("the memory controller is of version 2, which counts dirty pages for each cgroup")
    code = ("import sys, time; f = open(sys.argv[1], 'wb', buffering=0); print('ready', flush=True); sys.stdin.readline()\n"
            "[f.write(bytes(1 << 20)) for _ in range(40)]; print('done', flush=True); time.sleep(300)")
    path = os.path.join(folder(), "dirty")
    with hogs("dirty", 96 * MIB, 0) as (hog,), hogs("clean", 96 * MIB, 0) as (beside,):
        assert hog.take(4 << 10) and beside.take(4 << 10)
        with processes.started(sys.executable, "-S", "-c", code, path) as writer:
            memory_cgroup.put(procs_of(hog), writer.pid)
            writer.stdin.write(b"\n")
            writer.stdin.flush()
            equal(writer.stdout.readline(), b"done\n")
            try:
                findings, report = wait_for("statistics of the cgroup",
                                            lambda: (lambda f: "R19" in f[0] and f)(found(hog.pid)), 10)
            except AssertionError as error:
                raise Skip("the file system of the test's folder has no dirty pages for long") from error
            check_finding(findings["R19"])
            contains(evidence(report, "R19"), "doctor-dirty (version 1): ")
            contains(findings["R19"]["now"], f"sysctl -w vm.dirty_bytes={96 * MIB // 5 // 4096 * 4096}")
            assert "R19" not in found(beside.pid)[0]
            writer.kill()
            writer.wait()
            os.unlink(path)


# ---- R25 ----


def pipes(mib):
    """Pipes of 1 MiB each, full: pages that no line of /proc/meminfo counts."""
    made = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = 2 * mib + 100
    if hard < need:
        raise Skip("too few files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, need), hard))
    for _ in range(mib):
        ends = os.pipe()
        made.append(ends)
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, MIB)
        os.set_blocking(ends[1], False)
        os.write(ends[1], bytes(MIB))
    return made


@case
def r25_memory_in_pipes():
    need_root()
    total = memory_cgroup.field("/proc/meminfo", "MemTotal") >> 10
    need = max(300, total * 53 // 1000)
    if need > 2000 or memory_cgroup.field("/proc/meminfo", "MemAvailable") >> 10 < 3 * need:
        raise Skip("a twentieth of this host is too much to take")
    assert "R25" not in found("--all")[0]
    made = pipes(need)
    try:
        findings, report = found("--all")
        equal(findings["R25"]["severity"], "warning")
        check_finding(findings["R25"])
        print(f"# {need} MiB in pipes: {evidence(report, 'R25')}", flush=True)
        contains(evidence(report, "R25"), "are in no line of it")
        contains(findings["R25"]["for_good"], " MiB, not by MemTotal")
    finally:
        for ends in made:
            os.close(ends[0])
            os.close(ends[1])
    assert "R25" not in found("--all")[0]


@case
def r25_whose_it_is():
    missing = {"proc/meminfo": lines(MemFree=21 << 20)}
    arc = "13 1 0x01 147 39984 6 7\nname type data\nhits 4 10\nsize                            4    1500000000\nc_max 4 99\n"
    assert "R25" not in found("--all", "--root", host({}))[0]
    findings, report = found("--all", "--root", host({**missing, "proc/spl/kstat/zfs/arcstats": arc}))
    check_finding(findings["R25"])
    contains(evidence(report, "R25"), "the cache of ZFS has, here and in slabs, 1.4 GiB")
    contains(findings["R25"]["now"], "echo 750000000 > /sys/module/zfs/parameters/zfs_arc_max")
    zram = {"sys/block/zram0/mm_stat": "  900000000 300000000  400000000 0 400000000 0 0 0 0\n"}
    text = evidence(found("--all", "--root", host({**missing, **zram}))[1], "R25")
    contains(text, "zram has, for what was swapped out, 381.5 MiB")
    balloon = {"proc/meminfo": lines(MemFree=21 << 20, Balloon=1 << 20)}
    contains(evidence(found("--all", "--root", host(balloon))[1], "R25"), "a balloon of the hypervisor has 1.0 GiB")
    driver = {**missing, "sys/module/nvidia/initstate": "live\n"}
    contains(evidence(found("--all", "--root", host(driver))[1], "R25"), "known to take pages for themselves: nvidia")


if __name__ == "__main__":
    sys.exit(main())
