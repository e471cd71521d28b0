# SPDX-License-Identifier: MIT
"""Real servers that tests start for themselves, each in a folder of the test's, on a Unix socket, killed by pid at the end."""

import contextlib
import glob
import os
import pwd
import shutil
import signal
import subprocess

from tap import Skip, folder, wait_for


def need(program, package):
    path = shutil.which(program)
    if path is None:
        raise Skip(f"{program} is not installed (Debian package {package})")
    return path


def unprivileged(path):
    """Who runs servers that refuse to run as root; the folder is made theirs."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("nobody")
    for base, _, files in os.walk(path):
        for name in [base, *(os.path.join(base, file) for file in files)]:
            os.chown(name, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@contextlib.contextmanager
def started(words, log, how=signal.SIGTERM, **more):
    with open(log, "ab") as output:
        process = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                   cwd="/", **more)
    try:
        yield process
    finally:
        process.send_signal(how)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class MariaDB:
    """`ask` returns the answer's text, or None when the server does not answer."""

    def __init__(self, name="mariadb"):
        self.data = os.path.join(folder(), name)
        self.socket = os.path.join(folder(), name + ".sock")
        self.log = os.path.join(folder(), name + ".log")
        self.process = None

    def tmpdir(self):
        """Its own: servers that start remove what looks like their predecessors' temporary tables."""
        path = self.data + ".tmp"
        os.makedirs(path, exist_ok=True)
        unprivileged(path)
        return "--tmpdir=" + path

    @contextlib.contextmanager
    def running(self, *options, environment=None):
        server = need("mariadbd", "mariadb-server-core")
        client = need("mariadb", "mariadb-client-core")
        if not os.path.exists(self.data):
            os.mkdir(self.data)
            more = unprivileged(self.data)
            done = subprocess.run([need("mariadb-install-db", "mariadb-server-core"), "--no-defaults",
                                   f"--datadir={self.data}", self.tmpdir(), "--skip-test-db", "--skip-name-resolve",
                                   "--auth-root-authentication-method=normal"],
                                  capture_output=True, cwd="/", check=False, timeout=120, **more)
            assert done.returncode == 0, done.stderr[-1000:] + done.stdout[-1000:]
        more = unprivileged(self.data)
        if os.geteuid() == 0:
            os.chmod(folder(), 0o1777)
        with started([server, "--no-defaults", f"--datadir={self.data}", self.tmpdir(), f"--socket={self.socket}",
                      "--skip-networking", "--skip-name-resolve", *options], self.log, env={**os.environ, **(environment or {})},
                     **more) as self.process:
            self.client = [client, "--no-defaults", f"--socket={self.socket}", "-u", "root", "-N", "-B"]
            wait_for("the server", lambda: self.ask("SELECT 1") == "1", timeout_s=90)
            yield self

    def ask(self, text):
        done = subprocess.run([*self.client, "-e", text], capture_output=True, text=True, timeout=120, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    def sysbench(self, command, *options):
        done = subprocess.run([need("sysbench", "sysbench"), "oltp_point_select", f"--mysql-socket={self.socket}",
                               "--mysql-user=root", "--tables=1", *options, command],
                              capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]


@contextlib.contextmanager
def redis(*options, by_name=False):
    """`by_name`: the kernel knows it as redis-server too."""
    # It is the server under another name, and comes in a package without a service.
    program = need("redis-check-rdb", "redis-tools")
    if by_name:
        program = shutil.copy(program, os.path.join(folder(), "redis-server"))
    socket = os.path.join(folder(), "redis.sock")
    with started(["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder(), *options],
                 os.path.join(folder(), "redis.log"), executable=program) as process:
        wait_for("the server", lambda: os.path.exists(socket), timeout_s=30)
        yield process, socket


@contextlib.contextmanager
def postgres(*options):
    binaries = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    if not binaries:
        raise Skip("no PostgreSQL server is installed (Debian package postgresql)")
    data = os.path.join(folder(), "postgres")
    os.mkdir(data, 0o700)
    if os.geteuid() == 0:
        os.chmod(folder(), 0o1777)
    more = unprivileged(data)
    done = subprocess.run([binaries[-1] + "/initdb", "-D", data, "-U", "tester", "-A", "trust", "--no-sync", "--locale=C"],
                          capture_output=True, cwd="/", check=False, timeout=120, **more)
    assert done.returncode == 0, done.stderr[-1000:]
    with started([binaries[-1] + "/postgres", "-D", data, "-k", folder(), "-c", "listen_addresses=", "-c", "fsync=off",
                  *options], os.path.join(folder(), "postgres.log"), how=signal.SIGINT, **more) as process:
        ready = [binaries[-1] + "/pg_isready", "-q", "-h", folder()]
        wait_for("the server", lambda: subprocess.run(ready, check=False).returncode == 0, timeout_s=60)
        yield process, folder()
