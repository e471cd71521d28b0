# SPDX-License-Identifier: MIT
"""Runs a real program with and without the library, compares what it did, and proves that the library served it.

Proof that the library serves: while the program runs, its whole process tree is looked at from outside. The
library must be in a process's /proc/PID/maps, and the counter `ebb_alloc_counter`, read through /proc/PID/mem, must
be above zero. Being mapped alone proves nothing: a program with an allocator of its own maps it too.

Each test is a script that calls run_test(body). It prints TAP. `--stand-in` says that the library is another
allocator (useful to see whether a failure is ours): all is checked then but the counter.
"""

import argparse
import ctypes
import os
import pwd
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

COUNTER = "ebb_alloc_counter"
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    """The test cannot run here; its text says why."""


def elf_symbol(path, name):
    """The address of a dynamic symbol within a 64-bit little-endian ELF file, or None."""
    with open(path, "rb") as file:
        image = file.read()
    if image[:6] != b"\x7fELF\x02\x01":
        return None
    sections_at, = struct.unpack_from("<Q", image, 0x28)
    entry_bytes, count = struct.unpack_from("<HH", image, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", image, sections_at + i * entry_bytes) for i in range(count)]
    for section in sections:
        if section[1] != 11:  # SHT_DYNSYM
            continue
        names_at = sections[section[6]][4]
        for at in range(section[4], section[4] + section[5], 24):
            name_at, _, _, defined_in, value, _ = struct.unpack_from("<IBBHQQ", image, at)
            end = image.index(b"\0", names_at + name_at)
            if defined_in and image[names_at + name_at:end] == name.encode():
                return value
    return None


class Library:
    """The library under test, and its counter in other processes."""

    def __init__(self, path, stand_in):
        self.path = path
        self.stand_in = stand_in
        self.counter_at = None if stand_in else elf_symbol(path, COUNTER)
        if not stand_in and self.counter_at is None:
            raise SystemExit(f"{path} does not export {COUNTER}")

    def mapped_at(self, pid):
        """Where the library starts in that process, or None."""
        try:
            with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
                for line in file:
                    fields = line.split(None, 5)
                    if len(fields) == 6 and fields[5].rstrip("\n") == self.path and int(fields[2], 16) == 0:
                        return int(fields[0].split("-")[0], 16)
        except OSError:
            pass
        return None

    def served(self, pid):
        """The counter in that process; for a stand-in 1 when mapped; 0 when it does not serve (yet)."""
        base = self.mapped_at(pid)
        if base is None:
            return 0
        if self.stand_in:
            return 1
        try:
            with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
                memory.seek(base + self.counter_at)
                return struct.unpack("<Q", memory.read(8))[0]
        except (OSError, struct.error):
            return 0


def process_table():
    """{pid: (parent, name)} of all processes."""
    table = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                text = file.read()
        except OSError:
            continue
        name_end = text.rindex(")")
        table[int(entry)] = (int(text[name_end + 4:].split()[0]), text[text.index("(") + 1:name_end])
    return table


def process_tree(root_pid):
    """{pid: name} of the process and all its descendants."""
    table = process_table()
    tree = {}
    pending = [root_pid]
    while pending:
        pid = pending.pop()
        if pid in table and pid not in tree:
            tree[pid] = table[pid][1]
            pending += [child for child, (parent, _) in table.items() if parent == pid]
    return tree


class Watch(threading.Thread):
    """Looks at a process tree until stopped, and keeps the highest counter seen by name of the program."""

    def __init__(self, library, root_pid, interval_s=0.01):
        super().__init__(daemon=True)
        self.library = library
        self.root_pid = root_pid
        self.interval_s = interval_s
        self.by_name = {}
        self.stopping = threading.Event()
        self.start()

    def run(self):
        while not self.stopping.is_set():
            for pid, name in process_tree(self.root_pid).items():
                if self.by_name.get(name, 0) == 0:
                    self.by_name[name] = self.library.served(pid)
            self.stopping.wait(self.interval_s)

    def stop(self):
        """Ends the watch and returns {program: counter}."""
        self.stopping.set()
        self.join()
        return self.by_name


class Outcome:
    """What a program did: exit status, both outputs, and who in its tree was served."""

    def __init__(self, status, stdout, stderr, served):
        self.status = status
        self.stdout = stdout
        self.stderr = stderr
        self.served = served


class Test:
    """One test script: runs programs, starts servers, counts results, cleans up."""

    def __init__(self, library, folder):
        self.library = library
        self.folder = folder
        self.seed = int(os.environ.get("EBB_SEED", "20240229"))
        self.results = 0
        self.failures = 0
        self.servers = []

    # Results, in TAP.

    def note(self, text):
        for line in str(text).splitlines():
            print("# " + line, flush=True)

    def check(self, condition, name, detail=""):
        self.results += 1
        if not condition:
            self.failures += 1
        print(f"{'ok' if condition else 'not ok'} {self.results} - {name}", flush=True)
        if not condition and detail:
            self.note(detail)
        return bool(condition)

    def check_equal(self, plain, preloaded, name):
        def clip(value):
            text = repr(value)
            return text if len(text) <= 600 else text[:300] + " ... " + text[-300:]
        return self.check(plain == preloaded, name, f"without: {clip(plain)}\nwith:    {clip(preloaded)}")

    def check_part_skipped(self, name, reason):
        self.results += 1
        print(f"ok {self.results} - {name} # SKIP {reason}", flush=True)

    def check_served(self, served, program, name=None):
        """`program` is the name as in /proc/PID/comm, at most 15 characters."""
        counter = served.get(program[:15], 0)
        return self.check(counter > 0, name or f"the library serves {program} (counter {counter})", f"seen: {served}")

    # Programs.

    def environment(self, preload, extra=None):
        env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin", "LC_ALL": "C.UTF-8", "TZ": "UTC",
               "HOME": self.folder, "TMPDIR": self.folder}
        if "EBB_MALLOC" in os.environ:
            env["EBB_MALLOC"] = os.environ["EBB_MALLOC"]
        if preload:
            env["LD_PRELOAD"] = self.library.path
        env.update(extra or {})
        return env

    def need(self, program, package):
        found = shutil.which(program, path=self.environment(False)["PATH"])
        if not found:
            raise Skip(f"{program} is not installed (Debian package {package})")
        return found

    def run(self, argv, preload, timeout_s=300, stdin=b"", cwd=None, env=None, user=None):
        """Runs a program to its end. The watch looks at its tree meanwhile, when it is preloaded."""
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   cwd=cwd or self.folder, env=self.environment(preload, env),
                                   **self.as_user(user))
        watch = Watch(self.library, process.pid) if preload else None
        try:
            stdout, stderr = process.communicate(stdin, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            self.check(False, f"{argv[0]} ends within {timeout_s} s", stderr[-2000:].decode(errors="replace"))
        served = watch.stop() if watch else {}
        if preload and b"cannot be preloaded" in stderr:
            self.check(False, "ld.so loads the library", stderr.decode(errors="replace"))
        return Outcome(process.returncode, stdout, stderr, served)

    def both(self, argv_of, name, **options):
        """Runs argv_of(preload) without and with the library; both must succeed. Returns both outcomes."""
        outcomes = []
        for preload in (False, True):
            outcome = self.run(argv_of(preload), preload, **options)
            self.check(outcome.status == 0, f"{name} succeeds {'with' if preload else 'without'} the library",
                       f"status {outcome.status}\n"
                       + (outcome.stderr or outcome.stdout)[-2000:].decode(errors="replace"))
            outcomes.append(outcome)
        return outcomes

    def as_user(self, user):
        """Options of Popen that give up root for `user`; the child dies with this script, whatever ends it."""
        options = {"preexec_fn": lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)}
        if user and os.geteuid() == 0:
            entry = pwd.getpwnam(user)
            options.update(user=entry.pw_uid, group=entry.pw_gid, extra_groups=[])
        return options

    def start(self, argv, preload, log, env=None, user=None, cwd=None, program=None):
        """Starts a server (`program` when argv[0] is to be another name); it ends with the script at the latest."""
        with open(log, "ab") as out:
            server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd or self.folder,
                                      executable=program, env=self.environment(preload, env), **self.as_user(user))
        self.servers.append(server)
        return server

    def wait_for(self, condition, server, log, timeout_s=60):
        """Waits until condition() holds; raises with the end of the log when the server dies or time runs out."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if server.poll() is not None or time.monotonic() > deadline:
                with open(log, errors="replace", encoding="utf-8") as file:
                    self.note(file.read()[-3000:])
                raise RuntimeError(f"{server.args[0]} did not become ready (status {server.poll()})")
            time.sleep(0.05)

    def stop(self, server, sign=signal.SIGTERM, timeout_s=60):
        """Asks a server to end and returns its exit status; kills it when it does not."""
        if server.poll() is None:
            server.send_signal(sign)
            try:
                server.wait(timeout_s)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        self.servers.remove(server)
        return server.returncode

    def stop_all(self):
        for server in list(self.servers):
            self.stop(server, timeout_s=10)

    def user_for(self, *names):
        """A user other than root for servers that refuse root; the temp folder is given to it."""
        if os.geteuid() != 0:
            return None
        for name in names:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
            return name
        raise Skip("runs as root, and none of these users exists: " + ", ".join(names))


def private_copy(path, folder):
    """The library where every user may read it, whatever the build folder's owner allows."""
    copy = os.path.join(folder, os.path.basename(path))
    shutil.copyfile(path, copy)
    os.chmod(copy, 0o755)
    return copy


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True, help="the allocator to preload")
    parser.add_argument("--stand-in", action="store_true", help="another allocator: do not read ebb's counter")
    return parser.parse_args()


def run_test(body):
    """Runs body(test) in a folder of its own and ends the script with TAP's last line."""
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="ebb-real-", ignore_cleanup_errors=True) as top:
        os.chmod(top, 0o755)
        folder = os.path.join(top, "work")
        os.mkdir(folder)
        test = Test(Library(private_copy(os.path.realpath(args.library), top), args.stand_in), folder)
        test.note(f"seed {test.seed}")
        try:
            body(test)
        except Skip as reason:
            if test.results == 0:
                print(f"1..0 # SKIP {reason}", flush=True)
                sys.exit(0)
            test.check(False, f"was skipped half-way: {reason}")
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            test.check(False, f"{type(error).__name__}: {error}")
        finally:
            test.stop_all()
    print(f"1..{test.results}", flush=True)
    sys.exit(1 if test.failures else 0)
