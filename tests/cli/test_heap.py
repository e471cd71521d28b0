# SPDX-License-Identifier: MIT
"""Black-box tests of `ebb heap` and `ebb control`: on a real process with the library, and on one that plays tricks."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import tap
from tap import Skip, case, contains, equal, run, wait_for

EBB = os.environ["EBB_TOOL"]
FAKE = os.environ["EBB_FAKE_SERVER"]
LIBRARY = os.environ.get("EBB_TEST_LIBRARY")
SOURCE = os.environ["EBB_SOURCE"]

for variable in ("LD_PRELOAD", "EBB_LIBRARY", "EBB_MALLOC"):
    os.environ.pop(variable, None)

# Allocates some, says so, and waits; forks when told to.
PROGRAM = """
import os, sys, time
blocks = [bytes(1000) for _ in range(5000)] + [bytes(1 << 20)]
if "fork" in sys.argv and os.fork():
    os.wait()
print("ready", os.getpid(), flush=True)
time.sleep(120)
"""


@contextlib.contextmanager
def started(*command, env=None):
    """A process that has printed its line "ready"; killed at the end. Yields it with that line's words."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **(env or {})},
                               start_new_session=True)
    try:
        words = process.stdout.readline().split()
        assert words and words[0] == "ready", words
        process.words = words
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def fake(mode="plain"):
    return started(FAKE, mode)


def served(*args, options=""):
    if LIBRARY is None:
        raise Skip("libebb-malloc.so is not built")
    return started(sys.executable, "-c", PROGRAM, *args, env={"LD_PRELOAD": LIBRARY, "EBB_MALLOC": options})


def one_line(text):
    equal((text.count("\n"), text[-1:]), (1, "\n"))
    return text


def refused(done, status, *parts):
    """Nothing on standard output, one line with these parts on standard error, and that status."""
    equal((done.returncode, done.stdout), (status, ""))
    for part in parts:
        contains(one_line(done.stderr), part)


def heap_json(pid):
    done = run(EBB, "heap", "--json", pid)
    equal((done.returncode, done.stderr), (0, ""))
    return json.loads(one_line(done.stdout))


def counters(facts):
    return {row["name"]: row["value"] for row in facts["counters"]}


# ---- a real process ------------------------------------------------------------------------------------------


def rows_of_the_library():
    with open(os.path.join(SOURCE, "src/stats/stats.def"), encoding="utf-8") as file:
        return re.findall(r"^STAT\((\w+), (\w+), \"(\w+)\"", file.read(), re.M)


@case
def real_process_running_and_stopped():
    with open(os.path.join(SOURCE, "VERSION"), encoding="utf-8") as file:
        version = file.read().strip()
    with served() as process:
        for stopped in (False, True):
            if stopped:
                process.send_signal(signal.SIGSTOP)
            done = run(EBB, "heap", "--counters", "--classes", process.pid)
            equal((done.returncode, done.stderr), (0, ""))
            contains(done.stdout, f"(pid {process.pid}) has ebb {version}, {os.path.realpath(LIBRARY)}\n")
            contains(done.stdout, "slabs_made ")
            facts = heap_json(process.pid)
            equal((facts["pid"], facts["library_version"], facts["page_version"]), (process.pid, version, 1))
            equal([(row["name"], "GAUGE" if row["gauge"] else "COUNT", row["unit"]) for row in facts["counters"]],
                  rows_of_the_library())
            assert counters(facts)["slabs_made"] > 100 and counters(facts)["span_allocs"] >= 1, facts
            assert facts["rss_bytes"] > 5000 * 1000
        process.send_signal(signal.SIGCONT)


@case
def real_process_by_name_and_pidfile():
    pidfile = os.path.join(tap.folder(), "server.pid")
    name = "ebb-cli-fake-with-a-long-name"
    program = os.path.join(tap.folder(), name)
    shutil.copy(FAKE, program)
    with started(program, "plain") as process:
        for target in (name, f"pidfile:{pidfile}", process.pid):
            with open(pidfile, "w", encoding="utf-8") as file:
                file.write(f"{process.pid}\n")
            done = run(EBB, "heap", target)
            equal((target, done.returncode, done.stderr), (target, 0, ""))
            contains(done.stdout, f"(pid {process.pid}) has ebb 9.8.7")
        with started(program, "plain") as second:
            refused(run(EBB, "heap", name), 1, "2 processes have the name", str(process.pid), str(second.pid))
    refused(run(EBB, "heap", name), 42, "there is no process with the name")
    refused(run(EBB, "heap", f"pidfile:{pidfile}"), 42, f"there is no process {process.pid}")
    refused(run(EBB, "heap", process.pid), 42, f"there is no process {process.pid}")
    refused(run(EBB, "heap", "pidfile:/nonexistent"), 1, "cannot read /nonexistent: No such file")
    refused(run(EBB, "heap", "pidfile:/etc/passwd"), 1, "does not begin with a process id")


@case
def thread_stands_for_its_process():
    with fake("listen") as process:
        tid = heap_json(process.pid)["background"]["tid"]
        assert tid != process.pid
        equal(heap_json(tid)["pid"], process.pid)


@case
def child_of_fork_has_a_page_of_its_own():
    with served("fork", options="bg:0") as process:
        child = int(process.words[1])
        assert child != process.pid
        facts = heap_json(child)
        equal(facts["background"], None)
        contains(facts["no_background"], "processes that are small")
        assert counters(facts)["slabs_made"] > 100


@case
def process_without_ebb():
    with started("sh", "-c", "echo ready; exec sleep 100") as process:
        wait_for("sleep", lambda: os.readlink(f"/proc/{process.pid}/exe").endswith("sleep"))
        done = run(EBB, "heap", process.pid)
        contains(done.stdout + done.stderr, "glibc")  # or what this machine's C library is
        refused(run(EBB, "control", process.pid, "trim"), 1, f"sleep (pid {process.pid}) is not on ebb")


@case
def static_process_without_ebb():
    program = tap.compile_c("static-sleeper", "#include <stdio.h>\n#include <unistd.h>\n"
                                              "int main(void) { puts(\"ready\"); fflush(stdout); sleep(60); }", "-static")
    with started(program) as process:
        refused(run(EBB, "heap", process.pid), 1, "is not on ebb: it is a static program")


@case
def thread_of_the_kernel():
    if not os.path.exists("/proc/2/comm") or os.path.exists("/proc/2/exe") and os.geteuid() != 0:
        raise Skip("no kernel threads to be seen")
    with open("/proc/2/comm", encoding="utf-8") as file:
        if file.read().strip() != "kthreadd":
            raise Skip("process 2 is not kthreadd")
    refused(run(EBB, "heap", 2), 1, "kthreadd (pid 2) is a thread of the kernel")


@case
def library_that_is_overruled():
    if LIBRARY is None:
        raise Skip("libebb-malloc.so is not built")
    own = tap.compile_c("first.so", "#include <stddef.h>\nstatic char heap[1 << 24]; static size_t used;\n"
                                    "void *malloc(size_t n) { void *p = heap + used + 16; *(size_t *)(heap + used) = n;"
                                    " used += (n + 31) & ~15ul; return used < sizeof(heap) ? p : NULL; }\n"
                                    "void free(void *p) { (void)p; }\n"
                                    "void *calloc(size_t a, size_t b) { return malloc(a * b); }\n"
                                    "void *realloc(void *p, size_t n) { char *q = malloc(n); size_t i;"
                                    " for (i = 0; p && q && i < n && i < ((size_t *)p)[-2]; i++) q[i] = ((char *)p)[i];"
                                    " return q; }", "-shared", "-fPIC", "-fno-builtin")
    with started("sh", "-c", "echo ready; sleep 100", env={"LD_PRELOAD": f"{own} {LIBRARY}"}) as process:
        done = run(EBB, "heap", process.pid)
        equal(done.returncode, 0)
        contains(one_line(done.stderr), f"has its malloc from {own}")


# ---- who may look --------------------------------------------------------------------------------------------


@case
def another_user_is_told_the_remedy():
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        raise Skip("needs root and setpriv")
    tool = os.path.join(tap.folder(), "ebb")
    shutil.copy(EBB, tool)
    as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    with fake("listen") as process:
        for words in (["heap"], ["control"]):
            more = ["trim"] if words == ["control"] else []
            refused(run(*as_nobody, tool, *words, process.pid, *more), 1,
                    "may not be read: it belongs to root; try: sudo ebb " + words[0] + f" {process.pid}")
        equal(counters(heap_json(process.pid))["set_value"], 0)
    # Without the capability, root is no better than others; then sudo is no remedy.
    no_ptrace = ["setpriv", "--bounding-set=-sys_ptrace,-sys_admin,-perfmon,-checkpoint_restore",
                 "--inh-caps=-sys_ptrace", tool]
    with started(*as_nobody, FAKE, "plain") as process:
        done = run(*no_ptrace, "heap", process.pid)
        if done.returncode == 0 or "setpriv" in done.stderr:
            raise Skip("the capability cannot be given up here")
        refused(done, 1, "may not be read: root needs the capability CAP_SYS_PTRACE")


# ---- what is shown -------------------------------------------------------------------------------------------


@case
def figures_of_a_page():
    with fake("listen") as process:
        done = run(EBB, "heap", "-c", "-n", process.pid)
        equal((done.returncode, done.stderr), (0, ""))
        contains(done.stdout, f"fake_server (pid {process.pid}) has ebb 9.8.7, {os.path.realpath(FAKE)}\n")
        for line in (r"RSS +[\d.]+ [KM]iB  resident memory of the whole process",
                     r"handed out +4\.0 MiB  held by the program and by caches, 62 blocks",
                     r"live +3\.0 MiB  held by the program, 40 blocks",
                     r"cached +1\.5 KiB  held by thread caches and depot, 9 blocks",
                     r"free, backed +512\.0 KiB  free units that still have memory; a trim gives it back",
                     r"backed +6\.0 MiB  .*", r"committed +0 B  .*",
                     r"reserved +-  this version of the library does not have it",
                     r"lane +3  blocks with a mapping of their own, .*",
                     r"background +thread \d+, sleeping",
                     r"summary +[\d.]+ m?s old, tick 77, pressure level 1",
                     r" +class +blocks out +bytes out +taken +given back",
                     r" +16 +60 +960 B +100 +40", r" +1024 +0 +0 B +9 +10",
                     r" +128 +5 +640 B +5 +0  the library's own",
                     r"span_bytes +4194304 bytes, now", r"bad\?\[31mname +5 \?\?"):
            assert re.search(f"^{line}$", done.stdout, re.M), (line, done.stdout)
        assert "\x1b" not in done.stdout


@case
def figures_in_json():
    with fake("listen") as process:
        facts = heap_json(process.pid)
        equal({key: facts[key] for key in facts if key.endswith(("_bytes", "_blocks")) and key != "rss_bytes"},
              {"handed_out_bytes": (4 << 20) + 960, "handed_out_blocks": 62, "live_bytes": 3 << 20, "live_blocks": 40,
               "cached_bytes": 1536, "cached_blocks": 9, "dirty_bytes": 512 << 10, "backed_bytes": 6 << 20,
               "committed_bytes": 0, "reserved_bytes": None, "lane_blocks": 3})
        equal(facts["unknown"], {"reserved": "this version of the library does not have it"})
        equal((facts["summary"]["ticks"], facts["summary"]["level"]), (77, 1))
        assert 0 <= facts["summary"]["age_ms"] < 60000
        assert facts["background"]["tid"] not in (0, process.pid)
        equal(facts["background"]["activity"], "sleeping")
        equal(facts["classes"][0], {"bytes": 16, "internal": False, "taken_blocks": 100, "given_blocks": 40})
        equal(len(facts["classes"]), 3)
        equal(counters(facts)["bad?[31mname"], 5)


@case
def what_is_not_known_has_a_reason():
    for mode, part in (("torn", "live +-  it was being written while the process was looked at"),
                       ("torn", "summary +-  it was being written while the process was looked at"),
                       ("plain", "background +-  it has no background thread: "),
                       ("gone", "background +-  its background thread is gone"),
                       ("parent", "background +-  it was forked without the C library's handlers"),
                       ("deaf", "background +-  the thread that it names does not wait for requests"),
                       ("future", "summary +of unknown age, tick 77"),
                       ("later", "The library is newer than this command")):
        with fake(mode) as process:
            done = run(EBB, "heap", process.pid)
            equal((mode, done.returncode, done.stderr), (mode, 0, ""))
            assert re.search(f"^{part}", done.stdout, re.M), (mode, done.stdout)
    with fake("damaged") as process:
        refused(run(EBB, "heap", process.pid), 1, "the stats page of fake_server", "is damaged")
        refused(run(EBB, "control", process.pid, "trim"), 1, "has a stats page that is damaged")
    with fake("other") as process:
        refused(run(EBB, "control", process.pid, "trim"), 1, "is not on ebb")


@case
def summaries_are_whole_while_they_are_written():
    whole = 0
    with fake("busy") as process:
        # On a busy machine the writer may rest in the middle for many looks.
        for _ in range(2000):
            if whole == 10:
                break
            facts = heap_json(process.pid)
            if facts["summary"] is None:
                contains(facts["unknown"]["live"], "it was being written")
                continue
            equal(facts["live_blocks"], facts["summary"]["ticks"])
            equal(facts["cached_blocks"], facts["summary"]["ticks"])
            whole += 1
    assert whole > 0


@case
def watching_until_the_end():
    with fake() as process:
        watcher = subprocess.Popen([EBB, "heap", "--json", "--watch", "20ms", str(process.pid)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        for _ in range(5):
            equal(json.loads(watcher.stdout.readline())["pid"], process.pid)
        process.kill()
        process.wait()
        rest, errors = watcher.communicate(timeout=30)
        for line in rest.splitlines():
            json.loads(line)
        contains(one_line(errors), f"fake_server (pid {process.pid}) has ended")
        equal(watcher.returncode, 0)


@case
def watching_a_program_that_executes_another():
    if LIBRARY is None:
        raise Skip("libebb-malloc.so is not built")
    program = ("import os, sys; print('ready', flush=True); sys.stdin.readline(); "
               "os.execvpe('sleep', ['sleep', '100'], {})")
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               env={**os.environ, "LD_PRELOAD": LIBRARY})
    try:
        equal(process.stdout.readline(), "ready\n")
        watcher = subprocess.Popen([EBB, "heap", "--json", "--watch", "20ms", str(process.pid)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        json.loads(watcher.stdout.readline())
        process.stdin.write("\n")
        process.stdin.flush()
        errors = watcher.communicate(timeout=30)[1]
        contains(one_line(errors), "executes another program now")
        equal(watcher.returncode, 0)
    finally:
        process.kill()
        process.communicate()


# ---- control -------------------------------------------------------------------------------------------------


@case
def no_thread_to_ask():
    with served(options="bg:0") as process:
        refused(run(EBB, "control", process.pid, "trim"), 1, f"(pid {process.pid}) takes no requests: it has no background "
                "thread: processes that are small or have one thread start none, nor do those with EBB_MALLOC=bg:0")
        equal(process.poll(), None)


@case
def a_thread_that_would_die_is_not_signalled():
    for mode, part in (("deaf", "does not wait for requests"), ("gone", "its background thread is gone"),
                       ("parent", "forked without the C library's handlers")):
        with fake(mode) as process:
            refused(run(EBB, "control", process.pid, "trim"), 1, part)
            time.sleep(0.05)
            equal((mode, process.poll()), (mode, None))


@case
def requests_are_answered():
    with fake("listen") as process:
        head = f"fake_server (pid {process.pid}): "
        for words, part in ((["trim"], "trim, 5.0 MiB given back, after "), (["purge"], "purge, 0 B given back, after "),
                            (["refresh"], "refresh, the summary is new, after "),
                            (["set", "cache_bytes=128K"], "set, cache_bytes is 128.0 KiB now, after ")):
            done = run(EBB, "control", process.pid, *words)
            equal((words, done.returncode, done.stderr), (words, 0, ""))
            assert one_line(done.stdout).startswith(head + part), done.stdout
            assert re.search(r"; RSS [\d.]+ [KM]iB -> [\d.]+ [KM]iB \([+-][\d.]+ \w+\)$", done.stdout), done.stdout
        facts = heap_json(process.pid)
        equal((facts["control_done"], facts["control_result"]), (4, 0))
        equal(counters(facts)["set_value"], 1 * 10**12 + 131072)
        equal(run(EBB, "control", process.pid, "set", "caches_bytes=4G").returncode, 0)
        equal(counters(heap_json(process.pid))["set_value"], 2 * 10**12 + (4 << 30))


@case
def requests_reach_into_another_pid_namespace():
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        raise Skip("needs root and unshare")
    if run("unshare", "--pid", "--fork", "true").returncode != 0:
        raise Skip("pid namespaces are not to be had")
    with started("unshare", "--pid", "--fork", FAKE, "listen") as outer:
        with open(f"/proc/{outer.pid}/task/{outer.pid}/children", encoding="utf-8") as file:
            pid = int(file.read().split()[0])
        done = run(EBB, "control", pid, "trim")
        equal((done.returncode, done.stderr), (0, ""))
        contains(done.stdout, "5.0 MiB given back")
        background = heap_json(pid)["background"]
        assert os.path.exists(f"/proc/{pid}/task/{background['tid']}"), background


@case
def requests_that_fail():
    with fake("refuse") as process:
        refused(run(EBB, "control", process.pid, "purge"), 1, "refused purge: its version of the library does not know that")
    with fake("silent") as process:
        refused(run(EBB, "control", "-t", "100ms", process.pid, "purge"), 1, "no answer within 100 ms; the request is queued")
    with fake("listen") as process:
        process.send_signal(signal.SIGSTOP)
        refused(run(EBB, "control", "-t", "100ms", process.pid, "trim"), 1, "no answer within 100 ms; it is stopped")
        process.send_signal(signal.SIGCONT)
        wait_for("the answer", lambda: heap_json(process.pid)["control_done"] == 1)
    with fake("die") as process:
        refused(run(EBB, "control", process.pid, "trim"), 42, "has ended")


@case
def usage_of_control():
    for words in ([], ["1"], ["1", "nonsense"], ["1", "trim", "now"], ["1", "set"], ["1", "set", "cache_bytes"],
                  ["1", "set", "lane=3"], ["1", "set", "cache=1"], ["1", "set", "cache_bytes=1"],
                  ["1", "set", "cache_bytes=65537"], ["1", "set", "cache_bytes=2M"], ["1", "set", "cache_bytes="],
                  ["1", "set", "cache_bytes=-1"], ["1", "set", "cache_bytes=64KB"], ["1", "set", "depot_bytes=65M"],
                  ["1", "set", "caches_bytes=99999999999999999999G"], ["-t", "x", "1", "trim"]):
        done = run(EBB, "control", *words)
        equal((words, done.returncode, done.stdout), (words, 2, ""))
        one_line(done.stderr)
    for words in ([], ["1", "2"], ["--watch", "0", "1"], ["--watch", "x", "1"]):
        done = run(EBB, "heap", *words)
        equal((words, done.returncode, done.stdout), (words, 2, ""))
        one_line(done.stderr)


if __name__ == "__main__":
    raise SystemExit(tap.main())
