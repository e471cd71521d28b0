# SPDX-License-Identifier: MIT
"""Black-box tests of `ebb top`: in a real terminal of tmux, and in batch mode."""

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import tap
from processes import children, named, started, tell, worker
from tap import Skip, case, contains, equal, run, wait_for

EBB = os.environ["EBB_TOOL"]
# The beginning of the names of our processes, which no other run of this test has.
OURS = f"e{os.getpid()}-"
HEADS = "PID S    RSS history    SWAP  %MEM  %CPU MINFLT/s MAJFLT/s  OOM NAME"

for variable in ("LD_PRELOAD", "EBB_LIBRARY", "EBB_MALLOC", "NO_COLOR", "TMUX"):
    os.environ.pop(variable, None)


class Terminal:
    """A window of tmux with a shell script in it."""

    count = 0

    def __init__(self, script, columns=80, rows=24, env=()):
        if shutil.which("tmux") is None:
            raise Skip("tmux is not installed")
        Terminal.count += 1
        self.socket = f"ebb-top-{os.getpid()}-{Terminal.count}"
        words = " ".join(f"{name}='{value}'" for name, value in {"LC_ALL": "C.UTF-8", "EBB": EBB, **dict(env)}.items())
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", columns, "-y", rows, f"export {words}; {script}")

    def tmux(self, *args):
        done = run("tmux", "-L", self.socket, *args)
        if done.returncode != 0 and "new-session" in args:
            raise Skip("tmux does not start here: " + done.stderr.strip())
        return done.stdout

    def text(self, *more):
        return self.tmux("capture-pane", "-p", *more)

    def press(self, *keys):
        self.tmux("send-keys", *keys)

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def wait(self, part, what=None):
        def seen():
            text = self.text()
            return text if (part(text) if callable(part) else part in text) else None
        try:
            return wait_for(what or repr(part), seen, 20)
        except AssertionError as late:
            raise AssertionError(f"{late}; the screen is:\n{self.text()}") from None

    def pid(self):
        """The number of ebb itself."""
        shell = int(self.tmux("display-message", "-p", "#{pane_pid}"))
        return wait_for("ebb", lambda: next((pid for pid in children(shell) if comm(pid) == "ebb"), None))

    def close(self):
        """Ends it, and sees to it that what ran in it has ended too: its terminal has gone."""
        shell = self.tmux("display-message", "-p", "#{pane_pid}").strip()
        pids = [int(shell), *children(int(shell))] if shell and os.path.exists(f"/proc/{shell}") else []
        run("tmux", "-L", self.socket, "kill-server")
        wait_for("its end", lambda: not any(comm(pid) == "ebb" for pid in pids))


def comm(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8") as file:
        return file.read().strip()
    return None


# The shell says what the terminal is like before and after.
SCRIPT = ('echo before; stty -g >"$EBB_BEFORE"; "$EBB" top -i 300ms {args}; echo "status $?"; stty -g >"$EBB_AFTER"; '
          'echo after; exec sleep 300')


@contextlib.contextmanager
def top(args="", **more):
    env = dict(more.pop("env", {}))
    env["EBB_BEFORE"] = os.path.join(tap.folder(), "before")
    env["EBB_AFTER"] = os.path.join(tap.folder(), "after")
    for path in (env["EBB_BEFORE"], env["EBB_AFTER"]):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    terminal = Terminal(SCRIPT.format(args=args), env=env.items(), **more)
    try:
        yield terminal
    finally:
        terminal.close()


def check_restored(terminal, status):
    text = terminal.wait("after")
    contains(text, f"status {status}")
    # The screen before is there again, so it was the other screen that was drawn on.
    assert text.startswith("before\n"), text
    assert "PID" not in text, text
    for name in ("before", "after"):
        with open(os.path.join(tap.folder(), name), encoding="ascii") as file:
            settings = file.read()
        assert settings, name
    with open(os.path.join(tap.folder(), "before"), encoding="ascii") as file:
        equal(settings, file.read())


@contextlib.contextmanager
def company():
    """Processes that a filter finds: a large one, a small one."""
    with named_worker(OURS + "large", 40) as large, named(OURS.encode() + b"small") as small:
        yield large, small


def named_worker(name, mib):
    program = ("import ctypes, sys, time; kept = bytearray({0} << 20); ctypes.CDLL(None).prctl(15, b'{1}', 0, 0, 0)\n"
               "print('ready', flush=True)\n"
               "for line in sys.stdin: kept += bytearray(int(line) << 20); print('done', flush=True)").format(mib, name)
    return started(sys.executable, "-S", "-c", program)


def listed(text):
    """[pid] of the rows below the headings."""
    lines = text.split("\n")
    heads = [i for i, line in enumerate(lines) if line.lstrip().startswith("PID")]
    return [int(line.split()[0]) for line in lines[heads[0] + 1:] if re.match(r"\s*\d+ [A-Z] ", line)] if heads else []


# ---- the live screen -----------------------------------------------------------------------------------------


@case
def it_shows_sorts_filters_and_quits():
    with company() as (large, small), top() as terminal:
        text = terminal.wait(OURS + "large")
        lines = text.split("\n")
        assert lines[0].startswith("ebb top  "), text
        for line, part in ((1, "Mem "), (2, "Swap "), (3, "PSI "), (4, "Scan/s "), (6, HEADS), (23, "q quit  ? help")):
            contains(lines[line], part)
        terminal.wait("(rates: 0.")  # a busy machine is later than asked, and its loads take the room of the unit
        terminal.type("/" + OURS.upper())
        contains(terminal.wait("Filter: " + OURS.upper()), "2 found; Enter keeps it")
        terminal.press("Enter")
        equal(listed(terminal.wait("2 found; Esc drops it")), [large.pid, small.pid])
        terminal.type("MR")
        terminal.wait(lambda text: listed(text) == [small.pid, large.pid], "the smaller one first")
        terminal.type("N")
        terminal.wait(lambda text: listed(text) == sorted([large.pid, small.pid]), "by number")
        for key in "PFfSOM":
            terminal.type(key)
        terminal.wait(lambda text: listed(text) == [large.pid, small.pid], "the larger one first")
        terminal.press("Escape")
        terminal.wait(lambda text: "Filter" not in text and len(listed(text)) > 2, "all of them")
        terminal.type("q")
        check_restored(terminal, 0)


@case
def faults_are_first_when_they_happen():
    with worker() as process, top("-s minflt -f python") as terminal:
        terminal.wait(HEADS)

        def is_first(text):
            return listed(text)[:1] == [process.pid] and float(text.split(f"\n{process.pid:7}")[1].split()[6]) > 1000
        end = time.monotonic() + 20
        while not is_first(terminal.text()):
            assert time.monotonic() < end, terminal.text()
            tell(process, "fault 3000")


@case
def one_process_with_its_history():
    with company() as (large, _), top(f"-f {OURS}large") as terminal:
        terminal.wait(lambda text: listed(text) == [large.pid], "it")
        terminal.press("Enter")
        text = terminal.wait("Resident memory")
        contains(text.split("\n")[1], f"{OURS}large  pid {large.pid}")
        contains(text, "libc.so.6 is the first of")
        with open(f"/proc/{large.pid}/maps", encoding="utf-8") as file:
            count = len([line for line in file if "[vsyscall]" not in line])
        contains(re.sub(" +", " ", text), f"Mappings {count}\n")
        tell(large, "30")
        # It grows before our eyes, and the picture with it.
        terminal.wait(lambda text: re.search(r"-> [78]\d(\.\d)?M \(\+[23]\d\.\d MiB\)", text), "its growth")
        terminal.press("Escape")
        terminal.wait(HEADS)
        terminal.press("Enter")
        terminal.wait("Resident memory")
        large.kill()
        large.wait()
        contains(terminal.wait("It has ended."), f"pid {large.pid}")
        terminal.type("q")
        terminal.wait("No process.")
        terminal.type("q")
        check_restored(terminal, 0)


@case
def help_says_what_the_keys_do():
    with top() as terminal:
        terminal.wait(HEADS)
        terminal.type("?")
        text = terminal.wait("sort by resident memory")
        for part in ("sort by OOM rank", "look at the marked process", "quit"):
            contains(text, part)
        terminal.type("q")
        terminal.wait(HEADS)


@case
def marks_move():
    with company() as (large, small), top(f"-f {OURS}") as terminal:
        terminal.wait(lambda text: listed(text) == [large.pid, small.pid], "both")
        terminal.press("Down", "Down", "Enter")
        contains(terminal.wait("Resident memory"), f"pid {small.pid}")
        terminal.press("Escape", "Home", "Enter")
        terminal.wait(f"pid {large.pid}")


@case
def sizes():
    with company(), top(columns=40, rows=10) as terminal:
        text = terminal.wait("PID    RSS history   %CPU NAME")
        equal(len(text.split("\n")), 11)
        terminal.tmux("resize-window", "-x", "200", "-y", "50")
        terminal.wait(lambda text: "CG% NAME" in text and "q quit" in (text.split("\n") + [""] * 50)[49], "all of the columns")
        terminal.tmux("resize-window", "-x", "80", "-y", "24")
        terminal.wait(HEADS)
        for columns, rows in ((1, 1), (10, 3), (300, 5)):
            terminal.tmux("resize-window", "-x", str(columns), "-y", str(rows))
        terminal.wait("e")
        terminal.type("q")
        terminal.tmux("resize-window", "-x", "80", "-y", "24")
        terminal.wait("status 0")


@case
def without_colour():
    with top() as terminal:
        terminal.wait("(rates: 0.")  # a busy machine is later than asked, and its loads take the room of the unit
        contains(wait_for("colour", lambda: text if "\x1b[36m" in (text := terminal.text("-e")) else None), "\x1b[")
    with top(env={"NO_COLOR": "1"}) as terminal:
        terminal.wait("(rates: 0.")  # a busy machine is later than asked, and its loads take the room of the unit
        text = terminal.text("-e")
        assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|4[0-7]|38;5|48;5)m", text), text
        contains(text, "\x1b[")  # headings still stand out
    with top(env={"NO_COLOR": ""}) as terminal:  # empty is as if it were not set
        terminal.wait("(rates: 0.")  # a busy machine is later than asked, and its loads take the room of the unit
        wait_for("colour", lambda: "\x1b[36m" in terminal.text("-e"))


@case
def without_utf8():
    for args, env in (("", {"LC_ALL": "C"}), ("--ascii", {})):
        with named("grüße".encode()), top("-f e " + args, env=env) as terminal:
            text = terminal.wait("(rates: 0.")  # a busy machine is later than asked, and its loads take the room of the unit
            assert text.isascii(), text
            assert re.search(r" #+ ", text), text
            contains(text, "gr??e" if args else "gr")


@case
def odd_names():
    names = [b"two words", b"new\nline", b"\x1b[31mred", "grüße".encode(), "数据".encode(), b"bad\xff"]
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(named(name)) for name in names]
        terminal = stack.enter_context(top("-s pid -k"))
        terminal.wait(HEADS)
        # They are the last ones, or near it.
        terminal.press("End")
        for name in ("two words", "new?line", "?[31mred", "grüße", "数据", "bad?"):
            terminal.type("/")
            terminal.press(*["BSpace"] * 15)
            terminal.type(name.split("?")[-1] or "bad")
            terminal.press("Enter")
            terminal.wait(lambda text, name=name: re.search(rf" {re.escape(name)}$", text, re.M), name)
        assert all(process.poll() is None for process in processes)


@case
def signals_give_the_terminal_back():
    for number, status in ((signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 0)):
        with top() as terminal:
            terminal.wait(HEADS)
            os.kill(terminal.pid(), number)
            check_restored(terminal, status)
    with top() as terminal:
        terminal.wait(HEADS)
        terminal.press("C-c")
        check_restored(terminal, 0)


@case
def a_number_of_looks():
    with top("-n 2") as terminal:
        check_restored(terminal, 0)


@case
def ncurses_is_loaded_only_for_a_screen():
    with top() as terminal:
        terminal.wait(HEADS)
        pid = terminal.pid()
        with open(f"/proc/{pid}/maps", encoding="utf-8") as file:
            contains(file.read(), "libncursesw")
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            peak = int(re.search(r"VmHWM:\s*(\d+)", file.read()).group(1))
        print(f"# the live screen: {peak} KiB resident", flush=True)
        assert peak < 8 << 10, f"{peak} KiB"
    batch = subprocess.Popen([EBB, "top", "--batch", "-i", "60s"], stdout=subprocess.PIPE, text=True)
    try:
        assert batch.stdout.readline()
        with open(f"/proc/{batch.pid}/maps", encoding="utf-8") as file:
            assert "curses" not in file.read()
    finally:
        batch.kill()
        batch.wait()
        batch.stdout.close()


@case
def where_no_screen_can_be():
    for kind, part in (("dumb", "TERM=dumb"), ("nonsense", "terminal database"), ("", "TERM does not")):
        with top(env={"TERM": kind}) as terminal:
            text = terminal.text("-J") if terminal.wait("after") else ""
            contains(text, "ebb top: no live screen here: ")
            contains(text, part)
            contains(text, "ebb top --batch prints tables")
            contains(text, "status 1")
    done = run(EBB, "top", env={"TERM": "xterm"}, stdin=subprocess.DEVNULL)
    equal((done.returncode, done.stdout), (1, ""))
    equal(done.stderr, "ebb top: no live screen here: standard input and output are no terminal; "
                       "ebb top --batch prints tables\n")


# ---- batch mode ----------------------------------------------------------------------------------------------


@case
def batches():
    with worker() as process:
        look = subprocess.Popen([EBB, "top", "--batch", "--json", "-n", "3", "-i", "1500ms"], stdout=subprocess.PIPE, text=True)
        reports = []
        for line in look.stdout:
            reports.append(json.loads(line))
            if len(reports) == 1:
                tell(process, "fault 6000")
        equal(look.wait(), 0)
        look.stdout.close()
    equal(len(reports), 3)
    mine = [next(row for row in report["processes"] if row["pid"] == process.pid) for report in reports]
    assert 2500 < mine[1]["minor_faults_per_second"] < 5000, mine[1]
    assert mine[2]["minor_faults_per_second"] < 500, mine[2]
    for report in reports:
        host = report["host"][0] if isinstance(report["host"], list) else report["host"]
        with open("/proc/meminfo", encoding="ascii") as file:
            equal(host["total_bytes"], int(file.readline().split()[1]) * 1024)
        assert 0 < host["available_bytes"] <= host["total_bytes"], host
        sizes_found = [row["rss_bytes"] for row in report["processes"] if row["rss_bytes"] is not None]
        equal(sizes_found, sorted(sizes_found, reverse=True))


@case
def formats_of_batches():
    for form in ("human", "json", "jsonl", "csv", "openmetrics"):
        done = run(EBB, "top", "-b", "-n", "2", "-i", "100ms", "--format", form, "-t", "2")
        equal((done.returncode, done.stderr), (0, ""))
        if form == "human":
            equal(len([line for line in done.stdout.split("\n") if line.lstrip().startswith("PID ")]), 2)
        elif form == "jsonl":
            sections = [json.loads(line)["section"] for line in done.stdout.splitlines()]
            equal(sections, ["host", "processes", "processes"] * 2)
        elif form == "csv":
            kinds = [row[0] for row in csv.reader(done.stdout.splitlines()) if row and row[0] in ("host", "processes")]
            equal(kinds, ["host", "processes", "processes"] * 2)
    contains(done.stdout, "ebb_top_processes_rss_bytes{")


@case
def filters_of_batches():
    with company() as (large, small):
        done = run(EBB, "top", "-b", "-n", "1", "-j", "-f", OURS, "-s", "pid", "-c", "pid,name")
        equal([row["pid"] for row in json.loads(done.stdout)["processes"]], sorted([large.pid, small.pid]))


@case
def the_reader_of_a_batch_goes_away():
    done = run("sh", "-c", '"$0" top -b -i 100ms | head -n 1', EBB)
    equal(done.returncode, 0)
    contains(done.stdout, "TOTAL")


@case
def usage():
    for args, part in ((["x"], "no operands"), (["-j"], "for --batch"), (["-c", "pid"], "for --batch"),
                       (["-t", "3"], "for --batch"), (["--no-header"], "for --batch"), (["-b", "-c", "nonsense"], "none of pid"),
                       (["-b", "-s", "nonsense"], "none of pid"), (["-b", "-i", "0"], "100 ms"), (["-b", "-i", "99ms"], "100 ms"),
                       (["-b", "-n", "0"], "above 0"), (["-f", ""], "part of a name"), (["-u", "no such user"], "no user"),
                       (["-b", "--format", "xml"], "format")):
        done = run(EBB, "top", *args)
        equal((args, done.returncode, done.stdout, done.stderr.count("\n")), (args, 2, "", 1))
        contains(done.stderr, part)
    equal(run(EBB, "top", "-b", "--root", "/no/such/tree").returncode, 1)


if __name__ == "__main__":
    raise SystemExit(tap.main())
