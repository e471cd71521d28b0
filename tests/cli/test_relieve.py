# SPDX-License-Identifier: MIT
"""`ebb relieve`: what it predicts and has, on real processes; the call by force leaves them as they were."""

import json
import os
import signal
import subprocess
import sys
import time

import memory_cgroup
import processes
import tap
from tap import Skip, case, contains, equal, main, run

EBB = os.environ["EBB_TOOL"]
LIBRARY = os.environ["EBB_TEST_LIBRARY"]

# Takes 48 MiB in blocks of 3,000 bytes, keeps each 50th, and frees the others. Threads: "wait" in nanosleep(), "work" in malloc()
# and free(). At the end of standard input it says whether what it kept, registers and sums of its threads are as they should be.
PROGRAM = r"""
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCKS = 16000, BYTES = 3000 };
static unsigned char *blocks[BLOCKS];
static atomic_int end;
static atomic_long rounds;
static atomic_int usr1;

static void count(int number) { (void)number; usr1++; }

static void *work(void *unused)
{
    double x = 1, y = 3;
    unsigned long bad = 0;

    (void)unused;
    while (!end) {
        void *block = malloc(100 + (unsigned)rounds % 5000);
        memset(block, 1, 100);
        free(block);
        /* In vector registers all the time. */
        x = x * 1.0000001 + y;
        y = y * 0.9999999 + 0.25;
        bad += !(x > 0 && y > 0);
        rounds++;
    }
    return (void *)bad;
}

static void *wait_about(void *unused)
{
    unsigned long bad = 0;

    (void)unused;
    while (!end)
        bad += usleep(20000) != 0 && !end && usr1 == 0;
    return (void *)bad;
}

int main(int argc, char **argv)
{
    int threads = argc > 2 ? atoi(argv[2]) : 0;
    pthread_t ids[64];
    unsigned long bad = 0;
    char byte;

    if (argc > 3) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGSEGV);
        sigprocmask(SIG_BLOCK, &set, NULL);
    }
    signal(SIGUSR1, count);
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BYTES);
        memset(blocks[i], i & 255, BYTES);
    }
    for (int i = 0; i < BLOCKS; i++)
        if (i % 50 != 0)
            free(blocks[i]);
    for (int i = 0; i < threads; i++)
        pthread_create(&ids[i], NULL, strcmp(argv[1], "work") == 0 ? work : wait_about, NULL);
    puts("ready");
    fflush(stdout);
    while (read(0, &byte, 1) == 1)
        ;
    end = 1;
    for (int i = 0; i < threads; i++) {
        void *result;
        pthread_join(ids[i], &result);
        bad += (unsigned long)result;
    }
    for (int i = 0; i < BLOCKS; i += 50)
        for (int j = 0; j < BYTES; j++)
            bad += blocks[i][j] != (i & 255);
    printf("%lu bad, %d signals\n", bad, (int)usr1);
    return bad != 0;
}
"""


def program():
    return tap.compile_c("relieved", PROGRAM, "-O1", "-pthread")


def relieve(*arguments, status=0):
    done = run(EBB, "relieve", "--json", *arguments)
    equal((done.returncode, done.stderr), (status, ""))
    told = json.loads(done.stdout)
    told["actions"] = {row["action"]: row for row in told["actions"]}
    told["results"] = {(row["action"], row["of"]): row for row in told.get("results", [])}
    return told


def finish(child):
    """Lets the program check itself, and returns what it says."""
    child.stdin.close()
    said = child.stdout.read().decode()
    equal(child.wait(30), 0)
    return said


def may_trace():
    if os.geteuid() != 0:
        with open("/proc/sys/kernel/yama/ptrace_scope", encoding="ascii") as file:
            if file.read().strip() != "0":
                raise Skip("ptrace is restricted here (kernel.yama.ptrace_scope)")


def force(pid, *more, function="malloc_trim", status=0):
    return relieve("--yes", "--only", "force-call", "--force-call", function, "--wait", "1s", *more, pid, status=status)


class Child:
    """The program, with streams that stay open until it has been asked to check itself."""

    def __init__(self, *arguments, **more):
        self.process = subprocess.Popen([program(), *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **more)
        equal(self.process.stdout.readline(), b"ready\n")

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        if not self.process.stdin.closed:
            self.process.stdin.close()


@case
def a_call_in_a_process_that_waits():
    may_trace()
    for threads in (0, 30):
        with Child("wait", threads) as child:
            result = force(child.pid)["results"]["force-call", "rss"]
            contains(result["said"], "malloc_trim(0) returned 1")
            assert result["gained_bytes"] > 24 << 20, result
            # Predicted to the page, and a second has passed.
            assert abs(result["gained_bytes"] - result["predicted_bytes"]) < 256 << 10, result
            equal(finish(child), "0 bad, 0 signals\n")


@case
def a_call_in_a_process_that_works():
    """Threads that are in the allocator nearly all the time: there is a moment, or nothing is done."""
    may_trace()
    called = 0
    with Child("work", 2) as child:
        for _ in range(5):
            done = run(EBB, "relieve", "--json", "--yes", "--only", "force-call", "--force-call", "malloc_trim", "--wait", "1s",
                       child.pid)
            said = json.loads(done.stdout)["results"][0]["said"]
            called += "returned" in said
            assert "returned" in said or "whenever we looked" in said, said
        equal(finish(child), "0 bad, 0 signals\n")
    print(f"# {called} of 5 calls found a moment", flush=True)


@case
def signals_meanwhile_arrive():
    may_trace()
    with Child("wait", 4) as child:
        sender = subprocess.Popen([sys.executable, "-S", "-c", "import os, sys, time\n"
                                   "for _ in range(200):\n os.kill(int(sys.argv[1]), 10); time.sleep(0.005)", str(child.pid)])
        for _ in range(3):
            force(child.pid)
        sender.wait()
        time.sleep(0.1)
        said = finish(child)
        assert int(said.split()[2]) > 0, said


@case
def who_blocks_the_signal_is_left_alone():
    may_trace()
    with Child("wait", 0, "blocked") as child:
        said = force(child.pid, status=1)["results"]["force-call", "rss"]["said"]
        contains(said, "nothing was called")
        equal(finish(child), "0 bad, 0 signals\n")


@case
def a_stopped_process_stays_stopped():
    may_trace()
    with Child("wait", 1) as child:
        os.kill(child.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        said = force(child.pid, status=1)["results"]["force-call", "rss"]["said"]
        contains(said, "it is stopped")
        with open(f"/proc/{child.pid}/stat", encoding="ascii") as file:
            equal(file.read().rsplit(")", 1)[1].split()[0], "T")
        os.kill(child.pid, signal.SIGCONT)
        equal(finish(child), "0 bad, 0 signals\n")


@case
def who_is_traced_already():
    may_trace()
    tracer = r"""
import ctypes, sys, time
libc = ctypes.CDLL(None, use_errno=True)
assert libc.ptrace(0x4206, int(sys.argv[1]), None, None) == 0
print("ready", flush=True)
time.sleep(60)
"""
    with Child("wait", 1) as child, processes.started(sys.executable, "-S", "-c", tracer, str(child.pid)):
        said = force(child.pid, status=1)["results"]["force-call", "rss"]["said"]
        contains(said, "somebody else does")


@case
def other_allocators():
    may_trace()
    for library, function in (("libtcmalloc_minimal.so.4", "MallocExtension_ReleaseFreeMemory"),
                              ("libmimalloc.so.2", "mi_collect")):
        path = f"/usr/lib/{os.uname().machine}-linux-gnu/{library}"
        if not os.path.exists(path):
            print(f"# {library} is not installed", flush=True)
            continue
        with Child("wait", 2, env={**os.environ, "LD_PRELOAD": path}) as child:
            said = force(child.pid, function=function)["results"]["force-call", "rss"]["said"]
            contains(said, function)
            contains(said, " returned ")
            told = json.loads(run(EBB, "relieve", "--json", "--force-call", "malloc_trim", child.pid).stdout)
            row, = [row for row in told["actions"] if row["action"] == "force-call"]
            equal(row["chosen"], False)
            contains(row["how"], "is not whose function that is")
            equal(finish(child), "0 bad, 0 signals\n")


@case
def a_process_on_ebb():
    with Child("wait", 2, env={**os.environ, "LD_PRELOAD": LIBRARY, "EBB_MALLOC": "bg:1"}) as child:
        for _ in range(50):
            told = relieve(child.pid)
            if told["actions"]["trim"]["predicted_bytes"] is not None:
                break
            time.sleep(0.1)
        equal(told["actions"]["trim"]["chosen"], True)
        contains(told["notes"][-1]["text"], "Nothing was done")
        equal(told["results"], {})
        told = relieve("--yes", "--only", "trim", "--wait", "1s", child.pid)
        result = told["results"]["trim", "rss"]
        contains(result["said"], "given back")
        equal(finish(child), "0 bad, 0 signals\n")


@case
def the_page_cache_of_a_cgroup():
    if os.geteuid() != 0:
        raise Skip("only root can make memory cgroups")
    group = memory_cgroup.Group("relieve", 256 << 20)
    path = os.path.join(tap.folder(), "file")
    hog = memory_cgroup.Hog(group, 0)
    try:
        assert hog.take(8 << 10)
        with open(path, "wb") as file:
            file.write(os.urandom(1 << 20) * 48)
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        subprocess.run(["sh", "-c", 'echo $$ >"$1" && exec cat "$2" >/dev/null', "sh", group.folder + "/cgroup.procs", path],
                       check=True)
        predicted = relieve(hog.pid)["actions"]["cache"]["predicted_bytes"]
        assert predicted > 40 << 20, predicted
        told = relieve("--yes", "--only", "cache", "--wait", "1s", hog.pid)
        result = told["results"]["cache", "cgroup"]
        print(f"# predicted {predicted >> 10} KiB, gained {result['gained_bytes'] >> 10} KiB", flush=True)
        assert abs(result["gained_bytes"] - predicted) < max(predicted // 10, 2 << 20), result
        # What is not page cache stays.
        assert memory_cgroup.field(f"/proc/{hog.pid}/status", "VmRSS") > 8 << 10
        if group.version == 1:
            with open(group.folder + "/memory.swappiness", encoding="ascii") as file:
                assert int(file.read()) > 0
    finally:
        hog.end()
        group.end()


@case
def nothing_is_done_without_yes():
    with Child("wait", 1) as child:
        before = memory_cgroup.field(f"/proc/{child.pid}/status", "VmRSS")
        told = relieve("--force-call", "malloc_trim", child.pid)
        equal(told["actions"]["force-call"]["chosen"], True)
        # A trim would take half of it away.
        assert memory_cgroup.field(f"/proc/{child.pid}/status", "VmRSS") > before - 1024
        human = run(EBB, "relieve", "--force-call", "malloc_trim", child.pid)
        equal((human.returncode, human.stderr), (0, ""))
        contains(human.stdout, "Nothing was done")


@case
def where_nothing_can_be_done():
    with Child("wait", 1) as child:
        done = run(EBB, "relieve", "--only", "trim", child.pid)
        equal((done.returncode, done.stderr), (1, ""))
        contains(done.stdout, "Nothing of this can be done.")
        assert "Nothing was done" not in done.stdout, done.stdout
    if os.path.exists("/proc/2/comm") and os.geteuid() == 0:
        done = run(EBB, "relieve", 2)
        equal((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1))
        contains(done.stderr, "kernel")


@case
def usage():
    for arguments, status in (((), 2), (("1", "2"), 2), (("--only", "bogus", "1"), 2), (("--force-call", "system", "1"), 2),
                              (("--root", "/", "1"), 2), (("--only", "", "1"), 2), (("--pause", "0", "1"), 2),
                              (("no such process",), 42)):
        done = run(EBB, "relieve", *arguments)
        equal((done.returncode, done.stdout, done.stderr.count("\n")), (status, "", 1))


if __name__ == "__main__":
    sys.exit(main())
