# SPDX-License-Identifier: MIT
"""A MariaDB server of our own for a test: its own data directory, a Unix socket, no network, no root."""

import os
import shutil
import subprocess

DATABASE = "sbtest"


class Server:
    """One data directory; it may be served with or without the library, one server at a time."""

    def __init__(self, test, user, name):
        self.test = test
        self.user = user
        self.data = os.path.join(test.folder, name)
        self.socket = os.path.join(test.folder, name + ".sock")
        self.log = os.path.join(test.folder, name + ".log")
        self.pid_file = os.path.join(test.folder, name + ".pid")
        self.process = None

    def options(self):
        return [f"--datadir={self.data}", f"--socket={self.socket}", f"--pid-file={self.pid_file}", "--skip-networking",
                "--innodb-buffer-pool-size=128M", "--innodb-log-file-size=64M", "--innodb-flush-log-at-trx-commit=2",
                "--skip-log-bin", "--max-connections=200", "--performance-schema=ON", "--skip-name-resolve"]

    def create(self):
        """Makes the data directory with the system tables and an empty database, without the library."""
        made = self.test.run(
            ["mariadb-install-db", "--no-defaults", f"--datadir={self.data}", "--skip-test-db", "--skip-name-resolve",
             "--auth-root-authentication-method=normal", "--innodb-log-file-size=64M"],
            False, user=self.user, timeout_s=120)
        if made.status != 0:
            said = (made.stderr + made.stdout)[-1500:].decode(errors="replace")
            raise RuntimeError("mariadb-install-db failed: " + said)
        self.start(False)
        self.sql(f"CREATE DATABASE {DATABASE}")
        self.end()

    def copy_of(self, other):
        """Takes over a copy of another server's data directory; that server must be down."""
        shutil.copytree(other.data, self.data, copy_function=copy_with_owner)
        if os.geteuid() == 0:
            status = os.stat(other.data)
            for folder, _, _ in os.walk(self.data):
                os.chown(folder, status.st_uid, status.st_gid)
        return self

    def start(self, preload):
        self.process = self.test.start([self.test.need("mariadbd", "mariadb-server-core"), "--no-defaults",
                                        *self.options()], preload, self.log, user=self.user)
        self.wait()

    def wait(self):
        """Until the server answers."""
        self.test.wait_for(lambda: self.ask("SELECT 1") == "1", self.process, self.log, timeout_s=90)

    def ask(self, text, timeout_s=120):
        """The answer as text, columns separated by tabs, or None on failure."""
        done = subprocess.run(["mariadb", "--no-defaults", f"--socket={self.socket}", "-u", "root", "-N", "-B",
                               "-e", text], capture_output=True, text=True, timeout=timeout_s, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    def sql(self, text):
        answer = self.ask(text)
        if answer is None:
            raise RuntimeError("statement failed: " + text)
        return answer

    def tables(self):
        return [f"{DATABASE}.{name}" for name in self.sql(f"SHOW TABLES FROM {DATABASE}").split()]

    def checksums(self):
        return self.sql("CHECKSUM TABLE " + ", ".join(self.tables()) + " EXTENDED")

    def faults(self):
        """What CHECK TABLE ... EXTENDED says besides OK.

        InnoDB must have purged first: a check that meets a purge reports rows as not found, whatever the allocator.
        """
        self.sql("SET GLOBAL innodb_max_purge_lag_wait = 0")
        rows = self.sql("CHECK TABLE " + ", ".join(self.tables()) + " EXTENDED").splitlines()
        return [row for row in rows if row.split("\t")[2:] != ["status", "OK"]]

    def sysbench(self, command, tables, rows, threads=1, seconds=0, events=0, preload=False):
        """sysbench's oltp_read_write with the test's seed."""
        return self.test.run(
            [self.test.need("sysbench", "sysbench"), "oltp_read_write", f"--mysql-socket={self.socket}",
             "--mysql-user=root", f"--mysql-db={DATABASE}", f"--tables={tables}", f"--table-size={rows}",
             f"--threads={threads}", f"--time={seconds}", f"--events={events}", f"--rand-seed={self.test.seed % 2**31}",
             "--db-driver=mysql", "--rand-type=uniform", "--mysql-ignore-errors=1213,1205,1020", command], preload,
            timeout_s=seconds + 300)

    def end(self):
        """Shuts the server down cleanly; returns its exit status."""
        status = self.test.stop(self.process, timeout_s=90)
        self.process = None
        return status


def copy_with_owner(source, target):
    shutil.copy2(source, target)
    if os.geteuid() == 0:
        status = os.stat(source)
        os.chown(target, status.st_uid, status.st_gid)
