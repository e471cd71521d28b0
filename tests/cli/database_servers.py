# SPDX-License-Identifier: MIT
"""Database servers of a test's own: data, sockets and logs in its folder, no network unless asked for, ended with it."""

import contextlib
import getpass
import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import tap
from tap import Skip

ROOT = os.geteuid() == 0
# Servers refuse to run as root.
AS_OTHER = {"user": "nobody", "group": "nogroup", "extra_groups": []} if ROOT else {}


def need(program, package):
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Skip(f"{program} is not installed (Debian package {package})")
    return found


def new_folder():
    """A folder that the servers' user may write."""
    folder = tempfile.mkdtemp(prefix="d", dir=tap.folder())
    os.chmod(folder, 0o777)
    return folder


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_ready(process, ready, log, timeout_s=90):
    end = time.monotonic() + timeout_s
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            with open(log, encoding="utf-8", errors="replace") as file:
                raise AssertionError("the server does not come up: " + file.read()[-2000:])
        time.sleep(0.05)


@contextlib.contextmanager
def running(argv, log, ready, **more):
    with open(log, "wb") as file:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
                                   **more)
    try:
        wait_ready(process, lambda: ready(process), log)
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            pass
        # A server of several processes is a group of its own, and may be half dead.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class MariaDB:
    """A data directory; the account of whoever runs the test may do everything."""

    def __init__(self):
        self.program = need("mariadbd", "mariadb-server-core")
        need("mariadb", "mariadb-client-core")
        self.folder = new_folder()
        self.socket = os.path.join(self.folder, "m.sock")
        made = subprocess.run(
            [need("mariadb-install-db", "mariadb-server-core"), "--no-defaults", f"--datadir={self.folder}/data",
             f"--tmpdir={self.folder}", "--skip-test-db", "--skip-name-resolve", "--auth-root-authentication-method=normal",
             "--innodb-log-file-size=8M"], capture_output=True, text=True, timeout=120, check=False, **AS_OTHER)
        assert made.returncode == 0, made.stdout[-1000:] + made.stderr[-1000:]

    def client(self, text, user="root"):
        return subprocess.run(["mariadb", "--no-defaults", f"--socket={self.socket}", "-u", user, "-N", "-B", "-e", text],
                              capture_output=True, text=True, timeout=60, check=False)

    def ask(self, text):
        done = self.client(text)
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()]

    def start(self, *options):
        return running([self.program, "--no-defaults", f"--datadir={self.folder}/data", f"--tmpdir={self.folder}",
                        f"--socket={self.socket}",
                        f"--pid-file={self.folder}/pid", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M",
                        "--skip-name-resolve", "--skip-log-bin", *options],
                       os.path.join(self.folder, "log"), lambda _: self.client("SELECT 1").returncode == 0, **AS_OTHER)

    def accounts(self):
        """One with all rights for us, one that lacks privileges, and one that has just enough."""
        name = getpass.getuser()
        if name != "root":
            self.ask(f"CREATE OR REPLACE USER '{name}'@localhost IDENTIFIED VIA unix_socket; "
                     f"GRANT ALL ON *.* TO '{name}'@localhost")
        self.ask("CREATE OR REPLACE USER plain@localhost IDENTIFIED BY 'pl@in:1'; "
                 "CREATE OR REPLACE USER watcher@localhost IDENTIFIED BY 'watch'; "
                 "GRANT PROCESS ON *.* TO watcher@localhost; GRANT SELECT ON performance_schema.* TO watcher@localhost")


def redis(*options, folder=None, prefix=(), ready=None):
    program = need("redis-server", "redis-server")
    folder = folder or new_folder()
    path = os.path.join(folder, "r.sock")
    return running([*prefix, program, "--save", "", "--dir", folder, "--unixsocket", path, *options],
                   os.path.join(folder, "log"), ready or (lambda _: os.path.exists(path)))


@contextlib.contextmanager
def postgres(*options, port=None):
    """A cluster that lets in whom the kernel names, and over the port everybody; yields its process and folder."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    if not found:
        raise Skip("initdb is not installed (Debian package postgresql)")
    binaries = os.path.dirname(found[-1])
    folder = new_folder()
    made = subprocess.run([os.path.join(binaries, "initdb"), "-D", folder + "/data", "--auth-local=peer",
                           "--auth-host=trust", "--no-sync", "-E", "UTF8", "--locale=C"], capture_output=True, text=True,
                          timeout=120, check=False, **AS_OTHER)
    assert made.returncode == 0, made.stdout[-1000:] + made.stderr[-1000:]
    ready = [os.path.join(binaries, "pg_isready"), "-q", "-h", folder, "-p", str(port or 5432)]
    with running([os.path.join(binaries, "postgres"), "-D", folder + "/data", "-k", folder, "-c",
                  f"listen_addresses={'127.0.0.1' if port else ''}", "-p", str(port or 5432), "-c", "fsync=off", *options],
                 os.path.join(folder, "log"),
                 lambda _: subprocess.run(ready, check=False).returncode == 0, **AS_OTHER) as process:
        yield process, folder
