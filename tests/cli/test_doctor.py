# SPDX-License-Identifier: MIT
"""`ebb doctor`: for each rule a scene in which it fires, and one beside it in which it is silent."""

import contextlib
import fcntl
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time

import memory_cgroup
import processes
import servers
from doctor_scenes import EBB, MIB, QUICK, SOURCE, captured, check_finding, evidence, found, hogs, host, lines, need_root, told_of
from tap import Skip, case, compile_c, contains, equal, folder, main, run, wait_for

LIBRARY = os.environ["EBB_TEST_LIBRARY"]
HOLDER = os.environ["EBB_VMA_HOLDER"]
LIMIT_FILE = "/proc/sys/vm/max_map_count"
HUGE_FILE = "/proc/sys/vm/nr_hugepages"


# ---- mappings ----


@contextlib.contextmanager
def steady(path, how=fcntl.LOCK_SH):
    """Tests that change a setting of the host hold a lock on its file."""
    with open(path, encoding="ascii") as file:
        fcntl.flock(file, how)
        yield int(file.read())


@contextlib.contextmanager
def holder(mode):
    process = subprocess.Popen([HOLDER, mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        equal(process.stdout.readline(), "ready\n")
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def grow(process, steps):
    process.stdin.write(f"grow {steps}\n")
    process.stdin.flush()
    equal(process.stdout.readline(), f"{steps} - 0\n")


@case
def r01_vma_limit():
    """Document 0's program: every second page of a mapping is unmapped, until munmap() itself would fail."""
    with steady(LIMIT_FILE) as limit, holder("holes") as process, holder("holes") as beside:
        if limit > 130000:
            raise Skip(f"vm.max_map_count is {limit}: too many mappings to make")
        grow(process, limit * 72 // 100)
        findings, told = found(process.pid)
        equal(findings["R01"]["severity"], "warning")
        check_finding(findings["R01"])
        equal(told["findings"][0]["id"], "R01")
        contains(evidence(told, "R01"), f"of {limit} mappings (72 %)")
        contains(evidence(told, "R01"), "holes between: munmap() of parts")
        contains(evidence(told, "R01"), "munmap() out of the middle of a mapping will fail with ENOMEM after")
        contains(findings["R01"]["now"], "sysctl -w vm.max_map_count=262144")
        grow(process, limit * 22 // 100)
        equal(found(process.pid)[0]["R01"]["severity"], "critical")
        assert "R01" not in found(beside.pid)[0]


@case
def r01_the_limit_is_soon_reached():
    with steady(LIMIT_FILE) as limit, holder("holes") as process:
        looking = subprocess.Popen([EBB, "doctor", "--json", "--between", "1s", str(process.pid)], stdout=subprocess.PIPE,
                                   text=True)
        time.sleep(0.4)
        grow(process, min(2000, limit // 8))
        told = json.loads(looking.communicate(timeout=30)[0])
        equal([row["severity"] for row in told["findings"] if row["id"] == "R01"], ["critical"])
        contains(evidence(told, "R01"), "at this pace")


# ---- captured processes in changed hosts ----


@contextlib.contextmanager
def on_jemalloc(code="pass", **variables):
    """python3 on the real jemalloc."""
    library = next(iter(glob.glob("/usr/lib/*/libjemalloc.so.2")), None)
    if library is None:
        raise Skip("no libjemalloc.so.2 (Debian package libjemalloc2)")
    code = f"import time, mmap; {code}; print('ready', flush=True); time.sleep(300)"
    with processes.started(sys.executable, "-S", "-c", code,
                           env={**os.environ, "LD_PRELOAD": library, "PYTHONMALLOC": "malloc", **variables}) as child:
        yield child


@case
def r02_jemalloc_under_strict_overcommit():
    with on_jemalloc("keep = [bytes(1000) for _ in range(20000)]") as child, processes.worker() as beside:
        strict = {"proc/sys/vm/overcommit_memory": "2\n"}
        findings, told = found("--root", captured(child.pid, strict), child.pid)
        check_finding(findings["R02"])
        contains(findings["R02"]["now"], "sysctl -w vm.overcommit_memory=0")
        contains(evidence(told, "R02"), "libjemalloc is mapped")
        equal(told["findings"][0]["id"], "R02")
        assert "R02" not in found("--root", captured(child.pid, {}), child.pid)[0]
        assert "R02" not in found("--root", captured(beside.pid, strict), beside.pid)[0]
        assert "R02" not in found(child.pid)[0]


@case
def r32_address_space_under_strict_overcommit():
    reserve = "kept = mmap.mmap(-1, 8 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)"
    code = f"import mmap, time; {reserve}; print('ready', flush=True); time.sleep(300)"
    strict = {"proc/sys/vm/overcommit_memory": "2\n", "proc/meminfo": lines(CommitLimit=12 << 20, Committed_AS=11 << 20)}
    with processes.started(sys.executable, "-S", "-c", code) as child, processes.worker() as beside:
        findings, told = found("--root", captured(child.pid, strict), child.pid)
        check_finding(findings["R32"])
        contains(evidence(told, "R32"), "11.0 GiB of 12.0 GiB (CommitLimit) are counted (92 %)")
        assert "R32" not in found("--root", captured(child.pid, {}), child.pid)[0]
        assert "R32" not in found("--root", captured(beside.pid, strict), beside.pid)[0]


@case
def r12_jemalloc_and_very_large_huge_pages():
    """Document 4's machine, as far as jemalloc can see it."""
    large = {"proc/meminfo": lines(Hugepagesize=512 << 10)}
    with on_jemalloc() as child, processes.worker() as beside:
        findings, told = found("--root", captured(child.pid, large), child.pid)
        check_finding(findings["R12"])
        contains(evidence(told, "R12"), "huge pages have 512.0 MiB")
        contains(evidence(told, "R12"), "which version it is is not known (a captured tree has no memory to look into)")
        assert "R12" not in found("--root", captured(child.pid, {}), child.pid)[0]
        assert "R12" not in found("--root", captured(beside.pid, large), beside.pid)[0]


@case
def r11_huge_pages_unasked():
    code = ("import mmap, time; kept = mmap.mmap(-1, 160 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS); "
            "kept.madvise(mmap.MADV_HUGEPAGE); kept[0:160 << 20] = bytes(160 << 20); print('ready', flush=True); time.sleep(300)")
    always = {"sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never\n"}
    madvise = {"sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n"}
    with processes.started(sys.executable, "-S", "-c", code) as child:
        if memory_cgroup.field(f"/proc/{child.pid}/smaps_rollup", "AnonHugePages") < 100 << 10:
            raise Skip("this host gives no huge pages")
        findings, told = found("--root", captured(child.pid, always, "--deep"), child.pid)
        check_finding(findings["R11"])
        contains(evidence(told, "R11"), "anonymous memory are in huge pages")
        assert "R11" not in found("--root", captured(child.pid, madvise, "--deep"), child.pid)[0]
        # Without its pages the rule cannot tell, and says what it lacks.
        told = told_of("--root", captured(child.pid, always), child.pid)
        contains([row["fact"] for row in told["missing"] if row["id"] == "R11"], "AnonHugePages of the process")


POOL = """7f0000000000-7f0a00000000 rw-p 00000000 00:00 0
Size:           41943040 kB
Rss:            41943040 kB
AnonHugePages:         0 kB
VmFlags: rd wr mr mw me ac
"""


@case
def r36_a_large_pool_in_small_pages():
    def status(tables):
        return lambda text: re.sub(r"^VmPTE:.*$", f"VmPTE: {tables} kB", text, flags=re.M)
    path = "proc/13717/status"
    root = host({"proc/13717/smaps": POOL, path: status(82 << 10)})
    findings, told = found("--root", root, 13717)
    check_finding(findings["R36"])
    contains(findings["R36"]["for_good"], f"vm.nr_hugepages={40 << 9}")
    contains(evidence(told, "R36"), "82.0 MiB of page tables")
    assert "R36" not in found("--root", host({"proc/13717/smaps": POOL, path: status(4 << 10)}), 13717)[0]


FAST = {"proc/uptime": "100.00 100.00\n"}
NODE = "Node {0} MemTotal: 1000000 kB\nNode {0} MemFree: {1} kB\n"
NODES = {f"sys/devices/system/node/node{i}/meminfo": NODE.format(i, free) for i, free in enumerate((5000, 500000))}
EVEN = {f"sys/devices/system/node/node{i}/meminfo": NODE.format(i, 400000) for i in range(2)}
STALL = "some avg10=9.00 avg60={0}.00 avg300=2.00 total=99\nfull avg10=9.00 avg60={0}.00 avg300=2.00 total=99\n"
# Of a host with 24683656 kB: rule, severity, what makes it fire, what is beside that, a part of the evidence.
HOSTS = [
    ("R35", "warning", {"proc/sys/vm/panic_on_oom": "1\n"}, {"proc/sys/vm/panic_on_oom": "0\n"}, "vm.panic_on_oom is 1"),
    ("R35", "critical", {"proc/sys/vm/panic_on_oom": "2\n"}, {}, "stops the host"),
    ("R34", "warning", {"proc/meminfo": lines(AnonPages=20 << 20)}, {"proc/meminfo": lines(AnonPages=18 << 20)}, "(85 %)"),
    ("R34", "critical", {"proc/meminfo": lines(AnonPages=22 << 20)}, {}, "(93 %)"),
    ("R07", "warning", {"proc/meminfo": lines(AnonPages=18 << 20)},
     {"proc/meminfo": lines(AnonPages=18 << 20, SwapTotal=4 << 20, SwapFree=4 << 20)}, "host: no swap"),
    ("R08", "warning", {"proc/meminfo": lines(SwapTotal=4 << 20, SwapFree=4 << 20), "proc/sys/vm/swappiness": "0\n"},
     {"proc/meminfo": lines(SwapTotal=4 << 20, SwapFree=4 << 20), "proc/sys/vm/swappiness": "1\n"}, "4.0 GiB of swap"),
    ("R09", "warning", {**FAST, "proc/vmstat": lines(pgscan_direct=900000, pgscan_anon=500000, pgscan_file=500000,
                                                     pgsteal_direct=90000, pgsteal_anon=10000, pgsteal_file=90000)},
     {**FAST, "proc/vmstat": lines(pgscan_direct=900000, pgscan_anon=500000, pgscan_file=500000,
                                   pgsteal_direct=800000, pgsteal_anon=400000, pgsteal_file=400000)}, "10 % of them freed"),
    ("R10", "warning", {**FAST, "proc/vmstat": lines(allocstall_normal=2000)},
     {**FAST, "proc/vmstat": lines(allocstall_normal=500)}, "2000 times (20.0 a second)"),
    ("R10", "warning", {**FAST, "proc/vmstat": lines(kswapd_low_wmark_hit_quickly=900)},
     {**FAST, "proc/vmstat": lines(kswapd_low_wmark_hit_quickly=100)}, "900 times (9.0 a second)"),
    ("R20", "warning", {"proc/vmstat": lines(nr_dirty=700, nr_dirty_threshold=1000)},
     {"proc/vmstat": lines(nr_dirty=500, nr_dirty_threshold=1000)}, "2.7 MiB dirty, writers are stopped at 3.9 MiB"),
    ("R20", "warning", {"proc/sys/vm/dirty_bytes": "1000000\n", "proc/sys/vm/dirty_background_bytes": "2000000\n"},
     {"proc/sys/vm/dirty_bytes": "2000000\n", "proc/sys/vm/dirty_background_bytes": "1000000\n"}, "not below the threshold"),
    ("R27", "warning", {"proc/pressure/memory": STALL.format(5)}, {"proc/pressure/memory": STALL.format(0)}, "5.0 %"),
    ("R27", "critical", {"proc/pressure/memory": STALL.format(50)}, {}, "50.0 %"),
    ("R31", "warning", NODES, EVEN, "node 0 has 4.9 MiB free, node 1 488.3 MiB"),
    ("R31", "warning", {**EVEN, "proc/sys/vm/zone_reclaim_mode": "1\n"}, {"proc/sys/vm/zone_reclaim_mode": "1\n"}, "with 2 nodes"),
    ("R24", "warning", {"proc/meminfo": lines(HugePages_Total=100, HugePages_Free=90, HugePages_Rsvd=40)},
     {"proc/meminfo": lines(HugePages_Total=100, HugePages_Free=90, HugePages_Rsvd=80)}, "50 of 100 huge pages"),
]


@case
def rules_about_hosts():
    for rule, severity, fires, silent, part in HOSTS:
        findings, told = found("--all", "--root", host(fires))
        assert rule in findings, (rule, told)
        equal((rule, findings[rule]["severity"], findings[rule]["pid"]), (rule, severity, None))
        check_finding(findings[rule])
        contains(evidence(told, rule), part)
        # And those that have nothing to do with it are silent.
        equal({row["id"] for row in told["findings"]} - {rule, "R07", "R34"}, set())
        assert rule not in found("--all", "--root", host(silent))[0], rule


@case
def a_quiet_host_has_no_findings():
    findings, told = found("--all", "--root", host({}))
    equal((findings, told["missing"], told["summary"]["unsure"]), ({}, [], False))


# ---- memory cgroups ----


@case
def r34_r04_r07_two_instances_that_do_not_fit():
    """Document 2 at 1:2000: 125 and 119 of 256."""
    with hogs("fit", 128 * MIB, 0, 0) as (one, two), hogs("beside", 128 * MIB, 0) as (beside,):
        assert one.take(62 << 10) and two.take(59 << 10) and beside.take(20 << 10)
        # The kernel adds up a cgroup's statistics every two seconds.
        findings, told = wait_for("statistics of the cgroup", lambda: (lambda f: "R34" in f[0] and f)(found(one.pid)), 10)
        equal(told["findings"][0]["id"], "R34")
        equal(findings["R34"]["severity"], "critical")
        equal(findings["R04"]["severity"], "critical")
        for rule in ("R34", "R04"):
            check_finding(findings[rule])
        contains(evidence(told, "R04"), f"(pid {two.pid})")
        contains(findings["R04"]["now"], f"ebb oom adj {one.pid} -")
        with open("/proc/swaps", encoding="ascii") as file:
            if len(file.readlines()) == 1:
                check_finding(findings["R07"])
        # The advice is right: with it, the other one is first.
        adj = int(findings["R04"]["now"].split()[4])
        done = run(EBB, "oom", "--what-if", f"adj:{one.pid}={adj}", "--json")
        scope = next(row for row in json.loads(done.stdout)["victims"] if "doctor-fit" in row["scope"])
        equal(scope["pid"], two.pid)
        assert "R04" not in found(two.pid)[0]
        for rule in ("R34", "R07"):
            assert rule not in found(beside.pid)[0], rule


@case
def r18_the_kernel_has_killed_in_the_cgroup():
    with hogs("killed", 32 * MIB, 500, 0) as (victim, left), hogs("alive", 32 * MIB, 0) as (beside,):
        assert left.take(1 << 10) and beside.take(1 << 10)
        assert "R18" not in found(left.pid)[0]
        assert not victim.take(64 << 10)
        findings, told = found(left.pid)
        equal(findings["R18"]["severity"], "critical")
        check_finding(findings["R18"])
        contains(evidence(told, "R18"), "the kernel has killed 1 times in it")
        assert "R18" not in found(beside.pid)[0]


# ---- processes ----


@case
def r05_unkillable():
    need_root()
    with processes.worker() as child, processes.worker() as beside:
        try:
            memory_cgroup.put(f"/proc/{child.pid}/oom_score_adj", -1000)
            findings, _ = found(child.pid)
        except OSError:  # without CAP_SYS_RESOURCE, as in containers
            adj = {f"proc/{child.pid}/oom_score_adj": "-1000\n"}
            findings, _ = found("--root", captured(child.pid, adj), child.pid)
        check_finding(findings["R05"])
        contains(findings["R05"]["now"], f"ebb oom adj {child.pid} -900")
        assert "R05" not in found(beside.pid)[0]


@case
def r23_past_its_peak():
    code = ("import mmap, time; m = mmap.mmap(-1, 200 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS); "
            "m[0:200 << 20] = bytes(1) * (200 << 20); {}print('ready', flush=True); time.sleep(300)")
    with processes.started(sys.executable, "-S", "-c", code.format("m.close(); ")) as child:
        findings, told = found(child.pid)
        equal(findings["R23"]["severity"], "info")
        check_finding(findings["R23"])
        contains(evidence(told, "R23"), "RSS was ")
    with processes.worker() as beside:
        assert "R23" not in found(beside.pid)[0]


@case
def r26_what_was_asked_for_does_not_serve():
    code = "import time; print('ready', flush=True); time.sleep(300)"
    gone = os.path.join(folder(), "nowhere", "libjemalloc.so.2")
    with processes.started(sys.executable, "-S", "-c", code, env={**os.environ, "LD_PRELOAD": gone},
                           stderr=subprocess.DEVNULL) as child:
        findings, told = found(child.pid)
        check_finding(findings["R26"])
        contains(evidence(told, "R26"), f"LD_PRELOAD={gone}")
        contains(evidence(told, "R26"), "malloc is served by glibc")
    with processes.started(sys.executable, "-S", "-c", code, env={**os.environ, "MALLOC_CONF": "narenas:2"}) as child:
        contains(evidence(found(child.pid)[1], "R26"), "MALLOC_CONF is for jemalloc, which does not serve")
    with on_jemalloc(MALLOC_CONF="narenas:2") as child:
        assert "R26" not in found(child.pid)[0]
    with on_jemalloc(MALLOC_ARENA_MAX="2") as child:
        contains(evidence(found(child.pid)[1], "R26"), "MALLOC_ARENA_MAX is for glibc")


@case
def r26_a_library_that_was_replaced():
    code = "import time; print('ready', flush=True); time.sleep(300)"
    copy = os.path.join(folder(), "libebb-malloc.so")
    shutil.copy(LIBRARY, copy)
    os.chmod(copy, 0o755)
    with processes.started(sys.executable, "-S", "-c", code, env={**os.environ, "LD_PRELOAD": copy}) as child:
        assert "R26" not in found(child.pid)[0]
        os.unlink(copy)
        contains(evidence(found(child.pid)[1], "R26"), f"{copy} (deleted) was replaced or removed")


LEADER = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static void *stay(void *first)
{
    pthread_join(*(pthread_t *)first, NULL);
    puts("ready");
    fflush(stdout);
    sleep(300);
    return NULL;
}
int main(void)
{
    static pthread_t first, other;
    static char kept[64 << 20];
    memset(kept, 1, sizeof(kept));
    __asm__ volatile("" : : "r"(kept) : "memory");
    first = pthread_self();
    pthread_create(&other, NULL, stay, &first);
    pthread_exit(NULL);
}
"""


@case
def r28_dead_but_not_gone():
    program = compile_c("leader", LEADER, "-pthread")
    with processes.started(program) as child:
        wait_for("the first thread's end", lambda: b"State:\tZ" in open(f"/proc/{child.pid}/status", "rb").read(), 10)
        findings, told = found(child.pid)
        equal(list(findings), ["R28"])
        check_finding(findings["R28"])
        equal(findings["R28"]["severity"], "warning")
        contains(evidence(told, "R28"), "another thread still holds 6")
    with processes.worker() as beside:
        assert "R28" not in found(beside.pid)[0]


HUGE = r"""
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
int main(void)
{
    size_t bytes = (size_t)80 << 20;
    char *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    if (area == MAP_FAILED)
        return 1;
    memset(area, 1, bytes);
    puts("ready");
    fflush(stdout);
    pause();
}
"""


@case
def r06_r24_the_pool_of_huge_pages():
    need_root()
    program = compile_c("huge", HUGE)
    with open("/proc/meminfo", encoding="ascii") as file:
        if "Hugepagesize:       2048 kB" not in file.read():
            raise Skip("huge pages of another size than 2 MiB")
    with steady(HUGE_FILE, fcntl.LOCK_EX) as before:
        if before != 0:
            raise Skip("the host has a pool of huge pages of its own")
        try:
            memory_cgroup.put(HUGE_FILE, 44)
            with open(HUGE_FILE, encoding="ascii") as file:
                if int(file.read()) != 44:
                    raise Skip("the host gives no huge pages")
            with processes.worker() as beside:
                findings, told = found(beside.pid)
                check_finding(findings["R24"])
                contains(evidence(told, "R24"), "44 of 44 huge pages are free and not reserved: 88.0 MiB")
                assert "R06" not in findings
            with processes.started(program) as child:
                findings, told = found(child.pid)
                check_finding(findings["R06"])
                contains(evidence(told, "R06"), "80.0 MiB in huge pages of the pool")
                assert "R24" not in findings
        finally:
            memory_cgroup.put(HUGE_FILE, before)


HEAPS = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
enum { BLOCKS = 160000 };
static const char *mode;
static pthread_barrier_t full, done;
/* Blocks, of which all but every n-th are freed. */
static void churn(size_t bytes, size_t count, size_t keep_each)
{
    char **blocks = malloc(count * sizeof(*blocks));
    for (size_t i = 0; i < count; i++)
        memset(blocks[i] = malloc(bytes), 1, bytes);
    if (strcmp(mode, "arenas") == 0)
        pthread_barrier_wait(&full);
    for (size_t i = 0; i < count; i++)
        if (keep_each == 0 || (i + 1) % keep_each != 0)
            free(blocks[i]);
}
static void *thread(void *none)
{
    churn(600, BLOCKS / 10, 4);
    pthread_barrier_wait(&done);
    pause();
    return none;
}
int main(int argc, char **argv)
{
    mode = argv[argc - 1];
    if (strcmp(mode, "live") == 0) {
        churn(600, BLOCKS, 1);
    } else if (strcmp(mode, "trim") == 0) {
        churn(600, BLOCKS, BLOCKS);
    } else if (strcmp(mode, "fragments") == 0) {
        churn(600, BLOCKS, 2);
    } else if (strcmp(mode, "threshold") == 0) {
        churn(20 << 20, 1, 0);
        churn(600, BLOCKS, BLOCKS);
    } else {
        pthread_t id;
        pthread_barrier_init(&full, NULL, 12);
        pthread_barrier_init(&done, NULL, 13);
        for (int i = 0; i < 12; i++)
            pthread_create(&id, NULL, thread, NULL);
        pthread_barrier_wait(&done);
    }
    puts("ready");
    fflush(stdout);
    pause();
}
"""


@case
def r13_r14_r15_r16_heaps_of_glibc():
    program = compile_c("heaps", HEAPS, "-pthread")
    some = {"R13", "R14", "R15", "R16"}
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        processors = file.read().count("processor\t")
    scenes = [("live", set()), ("trim", {"R15"}), ("fragments", {"R16"}), ("threshold", {"R14", "R15"})]
    if processors < 6:
        scenes.append(("arenas", {"R13", "R16"}))
    for mode, fires in scenes:
        with processes.started(program, mode) as child:
            findings, told = found(child.pid)
            if any("layout" in row["why"] for row in told["missing"]):
                raise Skip("a C library whose layout ebb does not know")
            equal((mode, set(findings) & some, told["missing"]), (mode, fires, []))
            for rule in fires:
                check_finding(findings[rule])
            print("# " + mode + ": " + "; ".join(evidence(told, rule) for rule in sorted(fires)), flush=True)
            if mode == "trim":
                words = evidence(told, "R15").split()
                assert words[1] == "MiB" and 80 < float(words[0]) < 105, words
                contains(findings["R15"]["now"], f"ebb relieve {child.pid}")


@case
def the_ramp_of_document_1():
    """MariaDB with a pool of 100 MiB under 8, 32 and 64 threads: RSS stays up, and what keeps it there is named first."""
    with servers.MariaDB().running("--innodb-buffer-pool-size=100M", "--max-connections=200") as server:
        if not server.ask("SELECT @@version_malloc_library").startswith("system"):
            raise Skip("this server has an allocator of its own")
        before = memory_cgroup.field(f"/proc/{server.process.pid}/status", "VmRSS")
        server.ask("CREATE DATABASE sbtest")
        server.sysbench("prepare", "--table-size=100000")
        for threads in (8, 32, 64):
            server.sysbench("run", "--table-size=100000", f"--threads={threads}", "--time=3")
        after = memory_cgroup.field(f"/proc/{server.process.pid}/status", "VmRSS")
        findings, told = found(server.process.pid)
        print(f"# {before >> 10} MiB before, {after >> 10} MiB after: {evidence(told, 'R14')}", flush=True)
        assert "R14" in findings, told
        assert [row["id"] for row in told["findings"] if row["id"] != "R33"][0] in {"R13", "R14", "R15"}, told["findings"]
        contains(findings["R14"]["for_good"], "glibc.malloc.mmap_threshold=")


@case
def r21_a_server_that_does_not_count():
    need_root()
    server = servers.MariaDB("counts")
    with server.running("--innodb-buffer-pool-size=64M"):
        findings, told = found(server.process.pid)
        if any("did not answer" in row["why"] for row in told["missing"]):
            raise Skip("no client library for this server's books (Debian package libmariadb3)")
        equal((findings["R21"]["severity"], told["missing"]), ("info", []))
        check_finding(findings["R21"])
        told = told_of("--no-sql", server.process.pid)
        equal({row["id"]: row["why"] for row in told["missing"]},
              {"R21": "the server was not asked", "R22": "the server was not asked"})
    with server.running("--innodb-buffer-pool-size=64M", "--performance-schema=ON",
                        "--performance-schema-instrument=memory/%=ON"):
        findings, told = found(server.process.pid)
        assert "R21" not in findings and not told["missing"], told


@case
def r15_r33_heaps_of_others():
    """Of a process on ebb the stats page tells; of jemalloc's nobody does, and that is said where it matters."""
    code = ("import time; keep = [bytes(4000) for _ in range(30000)]; del keep[:]; print('ready', flush=True); "
            "time.sleep(300)")
    env = {**os.environ, "PYTHONMALLOC": "malloc"}
    with processes.started(sys.executable, "-S", "-c", code, env={**env, "LD_PRELOAD": LIBRARY, "EBB_MALLOC": "bg:1"}) as child:
        # What was freed goes back by itself, and then nothing is left to trim.
        told = wait_for("the free memory's return", lambda: (lambda f: not {"R15", "R33"} & set(f[0]) and f[1])(found(child.pid)))
        equal(told["missing"], [])
    with on_jemalloc("keep = [bytes(4000) for _ in range(30000)]") as child:
        missing = {row["id"]: row["why"] for row in told_of(child.pid)["missing"]}
        equal(missing, {"R15": "only the allocator itself knows", "R16": "only the allocator itself knows"})
    with processes.worker() as beside:
        equal(told_of(beside.pid)["missing"], [])


@case
def r33_who_may_not_look_is_told():
    need_root()
    with processes.worker() as child:
        done = run(EBB, "doctor", "--json", *QUICK, child.pid, user="nobody")
        equal((done.returncode, done.stderr), (0, ""))
        told = json.loads(done.stdout)
        equal([row["id"] for row in told["findings"]][:1], ["R33"])
        missing = {row["id"]: row for row in told["missing"]}
        equal(missing["R01"]["why"], "needs CAP_SYS_PTRACE or the same user")
        contains(told["findings"][0]["now"], "as root")
        equal(run(EBB, "doctor", "--exit-code", *QUICK, child.pid, user="nobody").returncode, 12)
        equal(run(EBB, "doctor", "--nagios", *QUICK, child.pid, user="nobody").returncode, 3)
        equal(run(EBB, "doctor", "--exit-code", *QUICK, child.pid).returncode, 0)


@case
def all_servers():
    """Those that are known by name, however small, and of those that fork only the parent."""
    program = os.path.join(folder(), "memcached")
    shutil.copy(shutil.which("sh"), program)
    os.chmod(program, 0o755)
    with processes.started(program, "-c", "(sleep 300; true) & echo ready; wait") as server, processes.worker() as beside:
        shown = run(EBB, "doctor", "--all", *QUICK).stdout
        contains(shown, f"memcached (pid {server.pid}): ")
        for child in processes.children(server.pid):
            assert f"(pid {child})" not in shown, shown
        assert f"(pid {beside.pid}):" not in shown, shown
        assert shown.startswith("host: "), shown


# ---- what comes out ----


@case
def exit_codes_and_the_line_of_a_plugin():
    quiet = host({})
    panic = host({"proc/sys/vm/panic_on_oom": "1\n"})
    worse = host({"proc/sys/vm/panic_on_oom": "2\n"})
    for root, code, plugin, word in ((quiet, 0, 0, "OK"), (panic, 10, 1, "WARNING"), (worse, 11, 2, "CRITICAL")):
        equal(run(EBB, "doctor", "--all", "--root", root, "--exit-code").returncode, code)
        equal(run(EBB, "doctor", "--all", "--root", root).returncode, 0)
        done = run(EBB, "doctor", "--all", "--root", root, "--nagios")
        equal((done.returncode, done.stdout.count("\n"), done.stdout.count("|")), (plugin, 1, 1))
        assert done.stdout.startswith(f"EBB DOCTOR {word} - "), done.stdout
    contains(done.stdout, "R35 host: the host panics when memory runs out | critical=1;;0 warning=0;0")
    for rules in ("R35", "r35", "panic-on-oom", "R01,panic-on-oom"):
        equal(run(EBB, "doctor", "--all", "--root", worse, "--exit-code", "--suppress", rules).returncode, 0)
    equal(told_of("--all", "--root", worse, "--suppress", "R35", "-s", "R01,R35")["summary"]["suppressed"], 2)


@case
def the_script_is_one_and_does_what_it_says():
    root = host({"proc/sys/vm/panic_on_oom": "2\n", **NODES, "proc/sys/vm/zone_reclaim_mode": "1\n"})
    script = run(EBB, "doctor", "--all", "--root", root, "--fix-script").stdout
    equal(run("sh", "-n", input=script).returncode, 0)
    contains(script, "set -e\n")
    contains(script, "say 'sysctl -w vm.panic_on_oom=0'\nsysctl -w vm.panic_on_oom=0\n")
    # Run with a sysctl of our own, in a folder instead of /etc.
    place = os.path.join(folder(), "etc")
    os.makedirs(place + "/sysctl.d", exist_ok=True)
    tried = "sysctl() { echo \"did $*\"; }\n" + script.replace("/etc/", place + "/")
    done = run("sh", input=tried)
    equal((done.returncode, done.stderr), (0, ""))
    contains(done.stdout, "+ sysctl -w vm.panic_on_oom=0\ndid -w vm.panic_on_oom=0\n")
    with open(place + "/sysctl.d/60-ebb-vm.panic_on_oom.conf", encoding="ascii") as file:
        equal(file.read(), "vm.panic_on_oom = 0\n")
    # The first command that fails ends it.
    done = run("sh", input="sysctl() { return 7; }\n" + script)
    equal((done.returncode, done.stdout.count("+ ")), (7, 1))


@case
def names_cannot_break_out_of_the_script():
    with processes.named(b"x\ntouch y\n| ;'") as child:
        script = run(EBB, "doctor", "--fix-script", *QUICK, child.pid).stdout
        assert "\ntouch" not in script, script
        equal(run("sh", "-n", input=script).returncode, 0)
        equal(run(EBB, "doctor", "--nagios", *QUICK, child.pid).stdout.count("\n"), 1)


@case
def rules_are_listed_and_explained():
    rules = json.loads(run(EBB, "doctor", "--list", "--json").stdout)["rules"]
    with open(os.path.join(SOURCE, "src/model/rules.def"), encoding="utf-8") as file:
        text = file.read()
    equal([row["id"] for row in rules], re.findall(r"^EBB_RULE\((R\d+),", text, re.M))
    equal(len({row["id"] for row in rules} | {row["key"] for row in rules}), 2 * len(rules))
    for row in rules:
        told = json.loads(run(EBB, "doctor", "--explain", row["id"], "--json").stdout)
        equal(told["rule"]["key"], row["key"])
        equal(json.loads(run(EBB, "doctor", "--explain", row["key"], "--json").stdout)["rule"], told["rule"])
        equal((row["proof"] == "live"), told["rule"]["proof_why"] is None)
        equal(len(told["thresholds"]), len(re.findall(rf"^EBB_THRESHOLD\({row['id']},", text, re.M)))


@case
def every_rule_with_a_scene_has_it_here():
    """Rules that the table calls proved live or on a tree are named by the cases of this file and its neighbours."""
    own = ""
    for name in glob.glob(os.path.join(os.path.dirname(__file__), "test_doctor*.py")):
        with open(name, encoding="utf-8") as file:
            own += file.read()
    for row in json.loads(run(EBB, "doctor", "--list", "--json").stdout)["rules"]:
        if row["proof"] != "facts":
            assert f'"{row["id"]}"' in own, row["id"]


@case
def formats():
    root = host({"proc/sys/vm/panic_on_oom": "1\n"})
    for name in ("human", "jsonl", "csv", "openmetrics"):
        done = run(EBB, "doctor", "--all", "--root", root, "--format", name)
        equal((done.returncode, done.stderr), (0, ""))
        contains(done.stdout, "R35")
    human = run(EBB, "doctor", "--all", "--root", root).stdout
    for part in ("WARNING  R35 the host panics", "     evidence:", "     why:", "     now:        sysctl -w", "     for good:",
                 "     gain:", "     risk:", "     undo:"):
        contains(human, part.replace("now:        ", "now:       "))
    assert all(len(line) <= 132 for line in human.splitlines()), human


@case
def usage():
    for arguments, status in (((), 2), (("1", "2"), 2), (("--all", "1"), 2), (("--list", "1"), 2), (("--explain", "R99"), 2),
                              (("--suppress", "R99", "1"), 2), (("--nagios", "--json", "1"), 2),
                              (("--fix-script", "--nagios", "1"), 2),
                              (("no such process",), 42), (("--root", "/nowhere", "1"), 1), (("--bogus", "1"), 2)):
        done = run(EBB, "doctor", *arguments)
        equal((arguments, done.returncode, done.stdout, done.stderr.count("\n")), (arguments, status, "", 1))


if __name__ == "__main__":
    sys.exit(main())
