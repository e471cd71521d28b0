# SPDX-License-Identifier: MIT
"""What `ebb run --report` says at the end of real programs: limits that were met, kills, forks, chains of programs, and programs
that leave nothing."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import memory_cgroup
import tap
from tap import Skip, case, compile_c, contains, equal, run, wait_for

TOOL = os.environ["EBB_TOOL"]
LIBRARY = os.environ["EBB_TEST_LIBRARY"]
AT_LIMIT = os.environ["EBB_AT_LIMIT"]
SQUEEZE = os.environ["EBB_SQUEEZE"]
MIB = 1 << 20

for variable in ("LD_PRELOAD", "EBB_LIBRARY", "EBB_MALLOC", "EBB_REPORT"):
    os.environ.pop(variable, None)


def ebb_run(*words, library=LIBRARY, **more):
    return run(TOOL, "run", "--library", library, *words, **more)


def out_file():
    return os.path.join(tap.folder(), f"report-{time.monotonic_ns()}.json")


class Report:
    """Runs a program with both reports."""

    def __init__(self, *words, prefix=(), library=LIBRARY, **more):
        path = out_file()
        self.done = run(*prefix, TOOL, "run", "--library", library, "--report", "--report-file", path, *words, **more)
        self.status, self.text = self.done.returncode, self.done.stderr
        with open(path, encoding="utf-8") as file:
            self.json = json.load(file)
        os.unlink(path)
        equal(self.json["schema"], "ebb.run/1")
        self.run, self.processes = self.json["run"], self.json["processes"]

    def of(self, program):
        """The rows of a program."""
        return [row for row in self.processes if row["program"] == program]

    def only(self, program):
        rows = self.of(program)
        equal(len(rows), 1)
        return rows[0]

    def counter(self, pid, name):
        return next(row["value"] for row in self.json["counters"] if row["pid"] == pid and row["name"] == name)


PYTHON = sys.executable


def python(text):
    return ["--", PYTHON, "-c", text]


# ---- limits ------------------------------------------------------------------------------------------------------------


@case
def a_hard_limit_that_is_met():
    got = Report("--hard-limit", "100M", "--", AT_LIMIT)
    equal(got.status, 0)
    row = got.only("at_limit")
    equal((row["role"], row["ended_in_order"], row["hard_limit_bytes"], row["torn"]), ("first", True, 100 * MIB, False))
    assert 95 * MIB <= row["peak_bytes"] <= 101 * MIB, row
    assert row["heap_peak_bytes"] >= 90 * MIB and row["untracked_peak_bytes"] > 0, row
    assert row["limit_looks"] > 0 and row["limit_hits"] == 0 and row["hard_hits"] > 0, row
    assert row["refusals"] >= 3 and row["refused_bytes"] >= 4000 and 0 <= row["refused_after_ms"] <= row["ran_ms"], row
    # The kernel's own word: what the program says of itself is printed by it.
    peak = int(re.search(r"peak (\d+)", got.done.stdout)[1])
    assert abs(got.run["peak_rss_bytes"] - peak) <= MIB and not got.run["peak_rss_is_bound"], (got.run, peak)
    found = re.search(r"^ebb run: at_limit \(pid (\d+)\) ran .* and exited with status 0$", got.text, re.M)
    equal((int(found[1]), got.run["pid"], row["pid"]), (got.run["pid"], row["pid"], int(found[1])))
    assert re.search(r"^  limits +100\.0 MiB hard", got.text, re.M), got.text
    hits = r"^  limit hits  0 of \d+ looks found too little room, hard limits \d+ times; \d+ refusals, the last one of "
    assert re.search(hits, got.text, re.M), got.text
    contains(got.text, " before growing at a limit")


@case
def nothing_was_met():
    got = Report("--", PYTHON, "-c", "pass")
    equal(got.status, 0)
    row = got.only(os.path.basename(PYTHON))
    equal((row["refusals"], row["limit_hits"], row["limit_bytes"], row["hard_limit_bytes"]), (0, 0, None, None))
    contains(got.text, "limits      none was seen")
    contains(got.text, "0 of 0 looks found too little room; 0 refusals\n")
    equal(got.json["actions"], [])
    equal(got.run["no_report"], None)


def group_of(name, limit):
    if os.geteuid() != 0:
        raise Skip("only root makes memory cgroups")
    return memory_cgroup.Group(name, limit)


def within(group):
    """Words that start a program within the cgroup."""
    return ["sh", "-c", 'echo $$ > "$1/cgroup.procs"; shift; exec "$@"', "sh", group.folder]


@case
def the_oom_killer():
    group = group_of("report", 256 * MIB)
    try:
        got = Report("--", AT_LIMIT, prefix=within(group))
        equal((got.status, group.kills), (-signal.SIGKILL, 1))
    finally:
        group.end()
    row = got.only("at_limit")
    equal((got.run["signal"], got.run["status"], got.run["oom_kills"]), (9, None, 1))
    equal((row["ended_in_order"], row["cgroup"], row["cgroup_limit_bytes"]), (False, group.path, 256 * MIB))
    # What it had written last is from right before the end.
    assert row["age_ms"] < 2000 and row["used_bytes"] > 200 * MIB and row["limit_hits"] > 0, row
    assert got.run["peak_rss_bytes"] > 230 * MIB, got.run
    contains(got.text, " and was killed by signal 9 (the OOM killer: oom_kill of its cgroup rose by 1)\n")
    contains(got.text, f"256.0 MiB of cgroup {group.path}, ")
    contains(got.text, " before the end\n")
    causes = {(action["cause"], action["limit"]) for action in got.json["actions"]}
    assert ("little room", "memory.max") in causes or ("growth", "memory.max") in causes, got.json["actions"]
    contains(got.text, "why, the newest last\n")


@case
def what_is_given_under_pressure_adds_up():
    group = group_of("report-squeeze", 256 * MIB)
    try:
        got = Report("--", SQUEEZE, prefix=within(group))
        equal((got.status, group.kills), (0, 0))
    finally:
        group.end()
    row = got.processes[0]
    sums = {by: sum(given["bytes"] for given in got.json["given"] if given["by"] == by) for by in ("kind", "cause")}
    equal((sums["kind"], sums["cause"]), (row["given_under_pressure_bytes"],) * 2)
    equal(sums["kind"], got.counter(row["pid"], "pressure_bytes"))
    assert sums["kind"] > 50 * MIB, sums
    equal(row["given_bytes"], got.counter(row["pid"], "purged_bytes"))
    assert row["given_at_leisure_bytes"] + row["given_at_limit_bytes"] <= row["given_bytes"], row
    actions = got.json["actions"]
    assert actions and all(action["after_ms"] <= row["ran_ms"] for action in actions), actions
    assert sum(action["got_bytes"] for action in actions) == sums["kind"], (sums, actions)
    assert re.search(r"^ +\d.* (yellow|orange|red) +(little room|growth) below memory\.max +\S+ +\S+$", got.text, re.M), got.text


# ---- ends --------------------------------------------------------------------------------------------------------------


@case
def killed_by_sigkill():
    got = Report(*python("import os, signal\nblocks = [bytearray(1 << 20) for _ in range(200)]\n"
                         "os.kill(os.getpid(), signal.SIGKILL)"))
    equal((got.status, got.run["signal"]), (-signal.SIGKILL, 9))
    row = got.processes[0]
    equal((row["ended_in_order"], row["role"]), (False, "first"))
    # At least to the last look, which is half way to what it has at most.
    assert row["heap_peak_bytes"] >= 64 * MIB, row
    contains(got.text, "was killed by signal 9 (Killed)\n")
    contains(got.text, "before the end\n")


@case
def the_status_is_the_programs():
    for status in (0, 1, 3, 126, 255):
        equal(ebb_run("--report", "sh", "-c", f"exit {status}").returncode, status)
    for number in (signal.SIGTERM, signal.SIGSEGV, signal.SIGPIPE):
        done = ebb_run("--report", "sh", "-c", f"kill -{int(number)} $$")
        equal(done.returncode, -number)
        contains(done.stderr, f"was killed by signal {int(number)} (")


@case
def ebb_run_is_killed():
    """Nothing is left behind, and the program goes on: it writes where nobody reads."""
    program = ("import time\nprint('ready', flush=True)\nblocks = []\n"
               "for _ in range(60):\n    blocks.append(bytearray(2 << 20))\n    time.sleep(0.02)\n")
    path = out_file()
    ebb = subprocess.Popen([TOOL, "run", "--library", LIBRARY, "--report", "--report-file", path, *python(program)],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    equal(ebb.stdout.readline(), "ready\n")
    with open(f"/proc/{ebb.pid}/task/{ebb.pid}/children", encoding="ascii") as file:
        pid = int(file.read())
    ebb.kill()
    ebb.wait()
    time.sleep(0.3)
    with open(f"/proc/{pid}/maps", encoding="utf-8") as file:
        contains(file.read(), "/memfd:ebb-report")
    equal(ebb.stdout.read(), "")  # the program ends by itself, and closes it
    ebb.stdout.close()
    wait_for("end", lambda: not os.path.exists(f"/proc/{pid}"))
    equal(os.path.getsize(path), 0)


# ---- several programs --------------------------------------------------------------------------------------------------


@case
def a_shell_and_what_it_starts():
    got = Report("--hard-limit", "80M", "sh", "-c", f"{AT_LIMIT}; exit 4")
    equal((got.status, got.run["status"]), (4, 4))
    equal([row["role"] for row in got.processes], ["first", "descendant"])
    shell, child = got.only("sh"), got.only("at_limit")
    equal((shell["pid"], got.processes[0]["pid"]), (got.run["pid"],) * 2)
    equal(shell["refusals"], 0)
    assert child["pid"] != shell["pid"] and child["refusals"] > 0 and child["ended_in_order"], child
    assert re.search(r"^at_limit \(pid \d+\)$", got.text, re.M), got.text


@case
def a_chain_of_programs():
    got = Report("--hard-limit", "80M", "sh", "-c", f"exec sh -c 'exec {AT_LIMIT}'")
    equal(got.status, 0)
    equal([(row["program"], row["role"]) for row in got.processes], [("at_limit", "later"), ("sh", "later"), ("sh", "first")])
    equal({row["pid"] for row in got.processes}, {got.run["pid"]})
    equal([row["executed_another"] for row in got.processes], [False, True, True])
    assert got.processes[0]["refusals"] > 0, got.processes[0]
    # People hear of the last one: the others did nothing that anybody asked about.
    contains(got.text, "ebb run: at_limit (pid ")
    assert "before it executed" not in got.text, got.text


@case
def children_of_a_fork_have_their_own():
    text = ("import os\n"
            "blocks = [bytearray(1 << 20) for _ in range(100)]\n"
            "for number in range(3):\n"
            "    if os.fork() == 0:\n"
            "        more = [bytearray(1 << 20) for _ in range(40 * (number + 1))]\n"
            "        raise SystemExit(0)\n"
            "for _ in range(3):\n"
            "    os.wait()\n")
    got = Report(*python(text))
    equal(got.status, 0)
    own = [row for row in got.processes if row["pid"] == got.run["pid"]]
    others = [row for row in got.processes if row["role"] == "descendant"]
    assert any(90 * MIB < row["heap_peak_bytes"] < 130 * MIB for row in own), own
    # The smallest one need not have met anything.
    assert 1 <= len(others) <= 3 and len({row["pid"] for row in others}) == len(others), others
    assert any(200 * MIB < row["heap_peak_bytes"] < 250 * MIB for row in others), others
    assert all(row["ran_ms"] is not None and row["ran_ms"] < got.run["ran_ms"] + 1000 for row in others), others


@case
def short_children_take_no_place():
    got = Report("sh", "-c", "i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i + 1)); done")
    equal(got.status, 0)
    equal((len(got.processes), got.run["processes_turned_away"], got.run["processes_reporting"]), (1, 0, 1))


LOUD = """
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    (void)argc;
    for (int i = atoi(argv[1]); i > 0; i--) {
        if (fork() == 0)
            _exit(malloc(50 << 20) == NULL); /* is refused */
        wait(NULL);
    }
    return 0;
}
"""


@case
def who_finds_no_place_is_counted():
    got = Report("--hard-limit", "40M", "--", compile_c("loud", LOUD, "-fno-builtin-malloc"), "300")
    equal((got.status, {row["refusals"] > 0 for row in got.processes if row["role"] == "descendant"}), (0, {True}))
    equal((len(got.processes), got.run["processes_turned_away"]), (256, 300 - 255))
    contains(got.text, "And 247 more; --report-file writes them all.\n")
    contains(got.text, "45 processes found no place in the report.\n")


@case
def a_report_within_a_report():
    inner, path = "inner", out_file()
    got = Report("sh", "-c", f"{TOOL} run --library {LIBRARY} --report-file {path} --hard-limit 60M -- {AT_LIMIT} > /dev/null; "
                             f"{TOOL} run --library {LIBRARY} --hard-limit 70M -- {AT_LIMIT} > /dev/null")
    equal(got.status, 0)
    with open(path, encoding="utf-8") as file:
        inner = json.load(file)
    equal([(row["program"], row["hard_limit_bytes"]) for row in inner["processes"]], [("at_limit", 60 * MIB)])
    equal([row["hard_limit_bytes"] for row in got.of("at_limit")], [70 * MIB])


@case
def the_oom_killer_strikes_a_child():
    group = group_of("report-child", 256 * MIB)
    try:
        got = Report("--", "sh", "-c", f"{AT_LIMIT}; exit 7", prefix=within(group))
        equal((got.status, group.kills, got.run["oom_kills"]), (7, 1, 1))
    finally:
        group.end()
    contains(got.text, " and exited with status 7; the OOM killer struck beside it: oom_kill of its cgroup rose by 1\n")
    row = got.only("at_limit")
    equal((row["role"], row["ended_in_order"]), ("descendant", False))
    assert row["used_bytes"] > 200 * MIB, row


@case
def a_daemon_does_not_keep_ebb_waiting():
    text = ("import os, sys, time\n"
            "if os.fork() == 0:\n"
            "    os.setsid()\n"
            "    for name in (0, 1, 2): os.close(name)\n"
            "    time.sleep(20)\n"
            "    os._exit(0)\n")
    begin = time.monotonic()
    got = Report(*python(text))
    assert got.status == 0 and time.monotonic() - begin < 15, got.text


# ---- what the program notices ------------------------------------------------------------------------------------------


@case
def the_program_has_a_variable_more_and_nothing_else():
    script = ('for fd in /proc/self/fd/*; do printf "%s=%s " "${fd##*/}" "$(readlink "$fd")"; done; echo; '
              'env | grep -v -e ^_= -e ^LD_PRELOAD= | sort')

    def show(*words):
        done = ebb_run(*words, "sh", "-c", script)
        return re.sub(r"pipe:\[\d+\]|/proc/\d+/fd|socket:\[\d+\]", "x", done.stdout).splitlines()

    without, reported = show(), show("--report")
    more = [line for line in reported if line not in without]
    assert len(more) == 1 and re.fullmatch(r"EBB_REPORT=\d+:\d+:[0-9a-f]+", more[0]), more
    equal(len(reported), len(without) + 1)


CLOSES = """
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(void)
{
    close_range(0, ~0u, 0);
    for (int i = 0; i < 60; i++)
        memset(malloc(1 << 20), 1, 1 << 20);
    return dup(0) != -1;
}
"""


@case
def a_program_that_closes_all():
    got = Report("--", compile_c("closes", CLOSES, "-fno-builtin-malloc"))
    equal(got.status, 0)
    row = got.only("closes")
    assert row["heap_peak_bytes"] >= 60 * MIB and row["ended_in_order"], row


@case
def a_program_that_clears_its_environment():
    got = Report("env", "-i", "/bin/sh", "-c", "exit 6")
    equal(got.status, 6)
    equal([row["program"] for row in got.processes], ["env"])  # what it executed knows of nobody
    contains(got.text, " and exited with status 6\n")


@case
def garbage_in_the_variable():
    fifo = os.path.join(tap.folder(), "fifo")
    os.mkfifo(fifo)
    plain = os.path.join(tap.folder(), "plain")
    with open(plain, "wb") as file:
        file.write(b"EBBREPRT" + bytes(1 << 20))
    with open(fifo, "rb+", buffering=0) as pipe, open(plain, "rb+") as regular, open("/dev/null", "rb+") as null:
        for text in ("", "x", "1:2:3", "0:0:0", "/etc/passwd", fifo, "9" * 4000, f"{os.getpid()}:{pipe.fileno()}:0",
                     f"{os.getpid()}:{regular.fileno()}:0", f"{os.getpid()}:{null.fileno()}:0", f"{os.getpid()}:9999:0"):
            done = run(AT_LIMIT, env={"LD_PRELOAD": LIBRARY, "EBB_MALLOC": f"hard_limit:{40 * MIB}", "EBB_REPORT": text})
            equal((text[:50], done.returncode, done.stderr), (text[:50], 0, ""))
    with open(plain, "rb") as file:
        equal(file.read(), b"EBBREPRT" + bytes(1 << 20))


@case
def a_memory_file_that_lies():
    """Sealed, of the right magic and cookie, but with sizes that lead outside of it."""
    if not hasattr(os, "memfd_create"):
        raise Skip("this Python makes no memory files")
    import fcntl
    import struct
    for sizes in ((0, 0, 0, 0, 0), (1 << 20, 56, 256, 12288, 4096), (1 << 20, 56, 0xffffffff, 0xffffffff, 4096),
                  (1 << 20, 56, 1, 64, 56), (0xffffffff, 56, 256, 12288, 0xfffffff0), (1 << 20, 56, 80, 12288, 4100)):
        fd = os.memfd_create("lies", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.write(fd, b"EBBREPRT" + struct.pack("<IIIIII", 1, *sizes) + bytes(24))
        os.ftruncate(fd, 1 << 20)
        before = os.pread(fd, 1 << 20, 0)
        fcntl.fcntl(fd, 1033, 0x2 | 0x4)  # F_ADD_SEALS: shrink, grow
        done = run(AT_LIMIT, env={"LD_PRELOAD": LIBRARY, "EBB_MALLOC": f"hard_limit:{40 * MIB}",
                                  "EBB_REPORT": f"{os.getpid()}:{fd}:0"})
        equal((sizes, done.returncode, done.stderr), (sizes, 0, ""))
        equal(os.pread(fd, 1 << 20, 0) == before, True)
        os.close(fd)


# ---- nothing of the program's own --------------------------------------------------------------------------------------


def leaves_nothing(got, why):
    equal((got.processes, got.json["actions"]), ([], []))
    contains(got.run["no_report"], why)
    contains(got.text, "There is no report of its own: ")
    contains(got.text, why)
    assert got.run["peak_rss_bytes"] > 0 and " resident in it or a child, says the kernel" in got.text, got.text


TAKES = ("#include <stdlib.h>\n#include <string.h>\n"
         "int main(void) { memset(malloc(50 << 20), 1, 50 << 20); return 5; }")


@case
def a_peers_library():
    other = compile_c("other.so", "int nothing;", "-shared", "-fPIC")
    got = Report("--", compile_c("takes", TAKES, "-fno-builtin"), library=other)
    equal(got.status, 5)
    leaves_nothing(got, "the library has no symbol ebb_alloc_counter")
    assert 50 * MIB < got.run["peak_rss_bytes"] < 70 * MIB, got.run


@case
def a_static_program():
    got = Report("--", compile_c("takes-static", TAKES, "-fno-builtin", "-static"))
    equal(got.status, 5)
    leaves_nothing(got, "it is a static program")


@case
def raised_privileges_and_other_users():
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        raise Skip("needs root and setpriv")
    if os.statvfs(tap.folder()).f_flag & os.ST_NOSUID:
        raise Skip("the temporary folder is mounted nosuid")
    tool, library = (shutil.copy(path, tap.folder()) for path in (TOOL, LIBRARY))
    program = compile_c("takes-secure", TAKES, "-fno-builtin")
    for path in (tool, library):
        os.chmod(path, 0o755)
    os.chmod(program, 0o4755)
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    done = run(*as_nobody, tool, "run", "--library", library, "--report", program)
    equal(done.returncode, 5)
    contains(done.stderr, "There is no report of its own: ")
    # A program that another one starts as somebody else may not open what is root's; it runs as ever.
    os.chmod(program, 0o755)
    got = Report(*as_nobody, program, library=library)
    equal(got.status, 5)
    equal([(row["program"], row["role"]) for row in got.processes], [("setpriv", "first")])


@case
def a_program_that_gives_up_its_user():
    """It has mapped the file by then, as servers have that start as root."""
    if os.geteuid() != 0:
        raise Skip("only root can give up its uid")
    got = Report(*python("import os\nos.setgid(65534)\nos.setuid(65534)\nblocks = [bytearray(1 << 20) for _ in range(100)]\n"))
    equal(got.status, 0)
    row = got.processes[0]
    assert row["heap_peak_bytes"] >= 90 * MIB and row["ended_in_order"], row


@case
def without_proc():
    """A program that sees another /proc, or none."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        raise Skip("needs root and unshare")
    program = compile_c("takes-hidden", TAKES, "-fno-builtin")
    got = Report("unshare", "--mount", "sh", "-c", f"mount -t tmpfs none /proc && exec {program}")
    if got.status != 5:
        raise Skip(f"no namespace can be made here: {got.text}")
    equal(got.of("takes-hidden"), [])
    assert got.of("unshare"), got.processes


# ---- usage -------------------------------------------------------------------------------------------------------------


@case
def a_file_that_cannot_be_written():
    mark = os.path.join(tap.folder(), "mark")
    for path, why in (("/nonexistent/x", "No such file or directory"), (tap.folder(), "Is a directory"), ("", "No such file")):
        done = ebb_run("--report-file", path, "touch", mark)
        equal((done.returncode, done.stderr.count("\n")), (1, 1))
        contains(done.stderr, f"ebb run: cannot write the report to {path}: {why}")
    assert not os.path.exists(mark), "the program was started"
    done = ebb_run("--report-file", "/dev/full", "sh", "-c", "exit 3")
    equal(done.returncode, 3)
    contains(done.stderr, "ebb run: the report was not written to /dev/full: No space left on device")


@case
def no_memory_file_can_be_made():
    """Files may have 512 bytes: the kernel's words remain, and neither the program nor its status change."""
    done = run("sh", "-c", 'ulimit -f 1; exec "$@"', "sh", TOOL, "run", "--library", LIBRARY, "--report", "sh", "-c",
               "kill -XFSZ $$")
    equal(done.returncode, -signal.SIGXFSZ)
    contains(done.stderr, "There is no report of its own: no memory file could be made for it.\n")
    contains(done.stderr, " resident in it or a child, says the kernel\n")


@case
def a_program_that_cannot_be_started():
    path = out_file()
    done = ebb_run("--report", "--report-file", path, "no-such-program")
    equal((done.returncode, done.stderr.count("\n")), (127, 1))
    assert not os.path.exists(path) or os.path.getsize(path) == 0


@case
def check_takes_no_report():
    for words in (("--report",), ("--report-file", "x")):
        done = run(TOOL, "run", *words, "--check", os.getpid())
        equal(done.returncode, 2)
        contains(done.stderr, "--check does not go with ")


@case
def only_what_was_asked_for_is_printed():
    path = out_file()
    done = ebb_run("-t", "30s", "--report-file", path, "sleep", "0.3")
    equal((done.returncode, done.stdout, done.stderr), (0, "", ""))
    with open(path, encoding="utf-8") as file:
        text = file.read()
    equal((text.count("\n"), json.loads(text)["run"]["program"]), (1, "sleep"))
    equal(os.stat(path).st_mode & 0o111, 0)


if __name__ == "__main__":
    raise SystemExit(tap.main())
