# SPDX-License-Identifier: MIT
"""The same comparison on a real server: MariaDB under sysbench, watched from outside."""

import os
import pwd
import re
import shutil
import subprocess
import tempfile
import threading
import time

from . import table
from .errors import DemoError
from .loadrun import Run, stop
from .progress import Progress
from .style import bytes_text, count_text, seconds_text

SAMPLE_S = 0.2
START_S = 60
TABLES = 8
TABLE_ROWS = 60000
DATABASE = "sbtest"

# Program: Debian package.
NEEDED = {"mariadbd": "mariadb-server", "mariadb-install-db": "mariadb-server", "mariadb": "mariadb-client",
          "sysbench": "sysbench"}


class Plan:
    """How long and how wide the load is."""

    def __init__(self, threads, seconds, idle):
        self.threads = threads
        self.seconds = seconds
        self.idle = idle


def find_programs():
    """Name -> path of all that is needed, or an error that names the missing packages."""
    search = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin"
    found = {name: shutil.which(name, path=search) for name in NEEDED}
    missing = sorted({NEEDED[name] for name, path in found.items() if not path})
    if missing:
        raise DemoError(f"--server needs packages that are not installed: apt-get install {' '.join(missing)}")
    return found


def server_user():
    """mariadbd does not run as root: `mysql` where it exists; nothing to change for any other user."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("mysql").pw_name
    except KeyError:
        return "root"


def parse_sysbench(text):
    """(queries per second, 95th percentile in ms) of sysbench's report."""
    queries = re.search(r"queries:\s+\d+\s+\(([\d.]+) per sec", text)
    latency = re.search(r"95th percentile:\s+([\d.]+)", text)
    if not queries or not latency:
        raise DemoError("cannot read sysbench's report:\n" + text.strip()[-500:])
    return float(queries.group(1)), float(latency.group(1))


def read_rss(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def read_vmas(pid):
    with open(f"/proc/{pid}/maps", "rb") as file:
        return sum(1 for _ in file)


def read_peak(pid):
    """The kernel's own peak of RSS."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


def read_cpu(pid):
    """CPU time of the process so far, in seconds."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def is_mapped(pid, library):
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
        return any(line.rstrip("\n").endswith(library) for line in file)


class Watch(threading.Thread):
    """Samples a process from outside until it is stopped or the process is gone."""

    def __init__(self, pid, run, plan, progress):
        super().__init__(daemon=True)
        self.pid = pid
        self.run_ = run
        self.plan = plan
        self.progress = progress
        self.begin = self.phase_begin = time.monotonic()
        self.phase = None
        self.ended = threading.Event()

    def enter(self, phase):
        """The load goes into its next phase (None: the watch ends)."""
        now = time.monotonic()
        if self.phase:
            self.run_.phases.append((self.phase, self.phase_begin - self.begin, now - self.begin))
        self.phase_begin = now
        self.phase = phase

    def take(self):
        now = time.monotonic()
        lengths = {"steady": self.plan.seconds, "idle": self.plan.idle}
        length = lengths.get(self.phase)
        sample = {"t": now - self.begin, "phase": self.phase,
                  "part": min(1.0, (now - self.phase_begin) / length) if length else 0.5,
                  "rss_bytes": read_rss(self.pid), "vmas": read_vmas(self.pid)}
        self.run_.samples.append(sample)
        self.progress.update(sample)

    def run(self):
        due = self.begin
        while not self.ended.wait(max(0.0, due - time.monotonic())):
            try:
                self.take()
            except (OSError, IndexError, ValueError):
                return
            due += SAMPLE_S

    def finish(self):
        self.ended.set()
        self.join()


class Server:
    """One mariadbd on a data folder of its own, reached by a socket in it."""

    def __init__(self, programs, folder, name, user, environment):
        self.programs = programs
        self.data = os.path.join(folder, name)
        self.socket = os.path.join(folder, name + ".sock")
        self.log = os.path.join(folder, name + ".err")
        arguments = [programs["mariadbd"], "--no-defaults", f"--datadir={self.data}", f"--socket={self.socket}",
                     f"--log-error={self.log}", f"--pid-file={self.data}/server.pid", "--skip-networking",
                     "--innodb-buffer-pool-size=128M", "--performance-schema=OFF", "--max-connections=600",
                     # The demo is about memory: let the disk disturb it as little as possible.
                     "--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=fsync"]
        if user:
            arguments.append(f"--user={user}")
        self.process = subprocess.Popen(arguments, env=environment, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        start_new_session=True)

    def query(self, statement):
        """The first row of a result as text, or None when the server does not answer."""
        done = subprocess.run([self.programs["mariadb"], "--no-defaults", f"--socket={self.socket}", "--user=root",
                               "--batch", "--skip-column-names", "--execute", statement],
                              capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        return done.stdout.strip() if done.returncode == 0 else None

    def wait_ready(self):
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise DemoError(f"mariadbd did not start (exit status {self.process.returncode}):\n{self.log_tail()}")
            if self.query("select 1") == "1":
                return
            time.sleep(0.1)
        raise DemoError(f"mariadbd did not answer within {START_S} s:\n{self.log_tail()}")

    def log_tail(self):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return "".join(file.readlines()[-8:]).strip()
        except OSError:
            return "(no log)"

    def sysbench(self, plan, command):
        arguments = [self.programs["sysbench"], "oltp_read_write", "--db-driver=mysql",
                     f"--mysql-socket={self.socket}", "--mysql-user=root", f"--mysql-db={DATABASE}",
                     f"--tables={TABLES}", f"--table-size={TABLE_ROWS}", "--rand-seed=1",
                     f"--threads={min(plan.threads, TABLES) if command == 'prepare' else plan.threads}",
                     f"--time={plan.seconds}", command]
        child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True, start_new_session=True)
        try:
            text = child.communicate(timeout=plan.seconds + 300)[0]
        except subprocess.TimeoutExpired as error:
            raise DemoError(f"sysbench {command} did not end") from error
        finally:
            stop(child)
        if child.returncode != 0:
            gone = self.process.poll()
            more = "" if gone is None else f"\nmariadbd ended with status {gone}:\n{self.log_tail()}"
            raise DemoError(f"sysbench {command} failed:\n{text.strip()[-500:]}{more}")
        return text

    def stop(self):
        stop(self.process, 30)


def prepare(programs, folder, user, plan):
    """A data folder with sysbench's tables, made once under glibc and copied for each run."""
    data = os.path.join(folder, "origin")
    command = [programs["mariadb-install-db"], "--no-defaults", f"--datadir={data}", "--skip-test-db",
               "--auth-root-authentication-method=normal"]
    done = subprocess.run(command + ([f"--user={user}"] if user else []), capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL, start_new_session=True)
    if done.returncode != 0:
        raise DemoError("mariadb-install-db failed:\n" + (done.stderr or done.stdout).strip()[-800:])
    server = Server(programs, folder, "origin", user, dict(os.environ))
    try:
        server.wait_ready()
        if server.query(f"create database {DATABASE}") is None:
            raise DemoError("cannot create the database:\n" + server.log_tail())
        server.sysbench(plan, "prepare")
    finally:
        server.stop()


def copy_data(folder, name, user):
    target = os.path.join(folder, name)
    shutil.copytree(os.path.join(folder, "origin"), target)
    if user:
        owner = pwd.getpwnam(user)
        for root, _, files in os.walk(target):
            for entry in [root, *(os.path.join(root, f) for f in files)]:
                os.chown(entry, owner.pw_uid, owner.pw_gid)
    return target


def run_one(programs, folder, name, user, allocator, plan, progress):
    """One server under one allocator: start, load, idle, stop."""
    run = Run(allocator)
    data = copy_data(folder, name, user)
    server = Server(programs, folder, name, user, allocator.environment())
    watch = Watch(server.process.pid, run, plan, progress)
    try:
        server.wait_ready()
        pid = server.process.pid
        if allocator.library and not is_mapped(pid, allocator.library):
            raise DemoError(f"mariadbd did not load {allocator.library}")
        version, malloc = server.query("select version()"), server.query("select @@version_malloc_library")
        watch.begin = time.monotonic()
        watch.enter("steady")
        watch.start()
        qps, p95 = parse_sysbench(server.sysbench(plan, "run"))
        watch.enter("idle")
        time.sleep(plan.idle)
        watch.finish()
        if server.process.poll() is not None:
            raise DemoError(f"mariadbd ended while it was idle:\n{server.log_tail()}")
        watch.take()
        watch.enter(None)
        rss = [s["rss_bytes"] for s in run.samples]
        run.summary = {"server": f"MariaDB {version.split('-')[0]}", "malloc_library": malloc, "qps": qps,
                       "p95_ms": p95, "rss_start_bytes": rss[0], "rss_peak_bytes": read_peak(pid),
                       "rss_end_bytes": rss[-1], "vmas_peak": max(s["vmas"] for s in run.samples),
                       "vmas_end": run.samples[-1]["vmas"], "cpu_seconds": read_cpu(pid)}
    finally:
        if watch.is_alive():
            watch.finish()
        server.stop()
        shutil.rmtree(data, ignore_errors=True)
    return run


def run_servers(chosen, plan, style):
    """All runs in turn, in a temporary folder that is gone afterwards."""
    programs = find_programs()
    user = server_user()
    width = max(len("prepare"), *(len(a.name) for a in chosen)) + 2
    runs = []
    with tempfile.TemporaryDirectory(prefix="ebb-demo-", ignore_cleanup_errors=True) as folder:
        if user:
            owner = pwd.getpwnam(user)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        progress = Progress("prepare", {}, style, width)
        progress.say(f"making {TABLES} tables of {count_text(TABLE_ROWS)} rows ...")
        began = time.monotonic()
        prepare(programs, folder, user, plan)
        progress.done(f"{TABLES} tables of {count_text(TABLE_ROWS)} rows in "
                      f"{seconds_text(time.monotonic() - began)}")
        for index, allocator in enumerate(chosen):
            progress = Progress(allocator.name, {"steady": plan.seconds, "idle": plan.idle}, style, width)
            progress.say("starting the server ...")
            run = run_one(programs, folder, f"run{index}", user, allocator, plan, progress)
            runs.append(run)
            progress.done(f"{count_text(run.summary['qps'])} queries/s, RSS "
                          f"{bytes_text(run.summary['rss_peak_bytes'])} at the peak, "
                          f"{bytes_text(run.summary['rss_end_bytes'])} after {plan.idle} s idle")
    return runs


def short_name(text):
    """jemalloc adds its commit to its version."""
    return text if len(text) <= 20 else text[:19] + "~"


def rows():
    def figure(key):
        return lambda run: run.summary[key]

    return [table.Row("queries/s", figure("qps"), count_text, "high", table.NOISE_SPEED),
            table.Row("transaction, p95", figure("p95_ms"), lambda v: f"{v:.1f} ms", "low", table.NOISE_LATENCY),
            table.Row("CPU time", figure("cpu_seconds"), seconds_text),
            table.Row("RSS, at the start", figure("rss_start_bytes"), bytes_text, "low", gap=True),
            table.Row("RSS, peak", figure("rss_peak_bytes"), bytes_text, "low"),
            table.Row("RSS, idle", figure("rss_end_bytes"), bytes_text, "low"),
            table.Row("mappings (VMAs), peak", figure("vmas_peak"), count_text, "low", step=table.VMAS_STEP),
            table.Row("version_malloc_library", figure("malloc_library"), short_name)]


NOTE = "  Up to 128 MiB of each RSS is InnoDB's buffer pool, which no allocator can give back."


def findings(runs, plan):
    """What the idle phase gave back, one sentence for each allocator."""
    width = max(len(run.allocator.name) for run in runs)
    lines = []
    for run in runs:
        s = run.summary
        back = s["rss_peak_bytes"] - s["rss_end_bytes"]
        lines.append(f"  {run.allocator.name.ljust(width)}  gives back {bytes_text(max(0, back))} of "
                     f"{bytes_text(s['rss_peak_bytes'])} within {plan.idle} s after the load.")
    return lines
