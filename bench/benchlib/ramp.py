# SPDX-License-Identifier: MIT
"""Two loads on MariaDB that show whether memory comes back: a ramp of more and more clients with idleness
after it, and one dump after the other under a steady load.

Both work on a copy of one golden data directory, under a server that is started for the run.
"""
import contextlib
import dataclasses
import os
import re
import shutil
import subprocess
import tempfile
import time

from . import mariadbd, peers, watch
from .mariadbd import find
from .process import Failure
from .server import client, end, raise_file_limit

POOL_PAGES = {
    'pool_free_pages': 'Innodb_buffer_pool_pages_free',
    'pool_data_pages': 'Innodb_buffer_pool_pages_data',
}

# Given up for the sake of the comparison: with these the disk disturbs little. The data directory lies in
# the page cache after it was copied, and is thrown away.
OPTIONS = (
    '--innodb-buffer-pool-size=100M',
    '--performance-schema=OFF',
    '--innodb-buffer-pool-load-at-startup=OFF',
    '--innodb-buffer-pool-dump-at-shutdown=OFF',
    '--innodb-flush-log-at-trx-commit=0',
    '--innodb-flush-method=fsync',
    '--innodb-log-file-size=96M',
    '--max-connections=600',
)


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of the ramp. Its name, for instance rw-256, is that of the point at its end."""

    script: str
    threads: int

    @property
    def name(self):
        return f'{SHORT[self.script]}-{self.threads}'


SHORT = {'oltp_point_select': 'ps', 'oltp_read_write': 'rw'}
STEPS = tuple(
    [Step('oltp_point_select', threads) for threads in (4, 8, 16, 32, 64)]
    + [Step('oltp_read_write', threads) for threads in (16, 256)]
)


@dataclasses.dataclass(frozen=True)
class Conditions:
    """How much of everything."""

    rows: int = 1_000_000
    step_s: float = 20.0
    idle_s: tuple = (1, 2, 5, 10, 15)
    dumps: int = 20
    dump_threads: int = 16
    rate: int = 100
    warm_s: float = 5.0
    seed: int = 1
    options: tuple = ()

    def sysbench(self, folder, script, **more):
        return mariadbd.sysbench(
            folder, script, tables=1, table_size=self.rows, rand_seed=self.seed, **more
        )


def idle_point(seconds):
    return f'idle-{seconds:g}'


class Golden:
    """The data directory with the table, made once, and copies of it with a server on each."""

    def __init__(self, conditions, scratch_dir):
        self.conditions = conditions
        self.scratch_dir = scratch_dir
        self.data_dir = os.path.join(scratch_dir, 'golden')

    def make(self):
        """The server ends with everything purged and written: a copy needs no recovery, whose memory
        would count in the first figures."""
        mariadbd.install(self.data_dir, os.path.join(self.scratch_dir, 'install.log'))
        with tempfile.TemporaryDirectory(prefix='g', dir=self.scratch_dir) as folder:
            options = (*OPTIONS, '--innodb-fast-shutdown=0')
            glibc = peers.Allocator(peers.GLIBC)
            with mariadbd.start(folder, self.data_dir, glibc, options, stop_timeout_s=300.0) as server:
                mariadbd.wait(server, folder)
                mariadbd.query(folder, f'create database {mariadbd.DATABASE}')
                client(
                    [*self.conditions.sysbench(folder, 'oltp_read_write', threads=1), 'prepare'], 1200.0
                )
            if server.process.returncode != 0:
                raise Failure(f'the server did not end well after the table was made: {server.log_tail()}')

    @contextlib.contextmanager
    def serve(self, allocator):
        """A fresh server on a fresh copy, watched, and all of it gone afterwards."""
        raise_file_limit(4096)
        options = (*OPTIONS, '--innodb-fast-shutdown=2', *self.conditions.options)
        with tempfile.TemporaryDirectory(
            prefix='r', dir=self.scratch_dir, ignore_cleanup_errors=True
        ) as folder:
            data_dir = os.path.join(folder, 'data')
            shutil.copytree(self.data_dir, data_dir)
            with mariadbd.start(folder, data_dir, allocator, options, count_mappings=False) as server:
                mariadbd.wait(server, folder)
                prove(server, allocator)
                with watch.Watch(server.pid) as watching:
                    yield Served(folder, server, watching)


def prove(server, allocator):
    """The allocator must be mapped, and none of the other peers beside it."""
    if allocator.library and not server.loaded(allocator.library):
        raise Failure('the allocator is not loaded into mariadbd')
    mine = allocator.library and os.path.realpath(allocator.library)
    for soname, _ in peers.PEERS.values():
        other = peers.library_path(soname)
        if other and os.path.realpath(other) != mine and server.loaded(other):
            raise Failure(f'{os.path.basename(other)} is loaded into mariadbd')


class Served:
    """A running server with its folder and its watch, and what a load asks of them."""

    def __init__(self, folder, server, watching):
        self.folder = folder
        self.server = server
        self.watch = watching

    def reading(self, point, **more):
        """A row of the table: what /proc and the server tell at this moment. The memory is read first."""
        return {**self.watch.reading(point), **more, **self.pool()}

    def pool(self):
        """The buffer pool's pages: "Free buffers" and "Database pages" of the engine's own report."""
        pages = mariadbd.status(self.folder, *POOL_PAGES.values())
        return {field: pages[name.lower()] for field, name in POOL_PAGES.items()}

    def idle(self, seconds):
        """Rows after so many seconds of idleness each. Nothing is asked of the server meanwhile."""
        began, rows = time.monotonic(), []
        for at in seconds:
            self.watch.enter(idle_point(at))
            time.sleep(max(0.0, began + at - time.monotonic()))
            rows.append(self.watch.reading(idle_point(at)))
        return rows

    def check_alive(self):
        if self.server.process.poll() is not None:
            raise Failure(
                f'the server ended with status {self.server.process.returncode}: {self.server.log_tail()}'
            )

    def client(self, command, timeout_s):
        """Runs a client; when it fails because the server is gone, says so."""
        try:
            return client(command, timeout_s)
        except Failure:
            self.check_alive()
            raise

    def sample(self, rows):
        """What a run hands back. The highest value is the kernel's own, where that is the higher one."""
        self.check_alive()
        peak_kib = max(self.server.peak_kib(), watch.highest(self.watch.series))
        return {'points': [*rows, {'point': 'peak', 'rss_kib': peak_kib}], 'series': list(self.watch.series)}


class Program:
    """A load with a name; `golden` is set before the first run."""

    name = None
    needed = mariadbd.NEEDED

    def __init__(self, conditions):
        self.conditions = conditions
        self.golden = None

    def run(self, allocator):
        raise NotImplementedError


class Ramp(Program):
    """All steps of the ramp, then idleness, then for glibc malloc_trim by hand."""

    name = 'ramp'

    def run(self, allocator):
        with self.golden.serve(allocator) as served:
            rows = [served.reading('start')]
            for step in STEPS:
                rows.append(self.step(served, step))
            rows += served.idle(self.conditions.idle_s)
            rows[-1].update(served.pool())
            if not allocator.library:
                served.watch.enter('trim')
                rows += self.trim(served)
            return served.sample(rows)

    def step(self, served, step):
        served.watch.enter(step.name)
        cpu_s = served.server.cpu_s()
        command = self.conditions.sysbench(
            served.folder,
            step.script,
            threads=step.threads,
            time=f'{self.conditions.step_s:g}',
            events=0,
        )
        _, text = served.client([*command, 'run'], self.conditions.step_s + 300.0)
        measured = mariadbd.parse_sysbench(text)
        cpu_s = served.server.cpu_s() - cpu_s
        queries = measured['qps'] * measured['time_s']
        return served.reading(
            step.name,
            qps=measured['qps'],
            p95_ms=measured['p95_ms'],
            cpu_us=cpu_s * 1e6 / queries if queries else None,
        )

    @staticmethod
    def trim(served):
        """The row after malloc_trim, or none where there is no gdb."""
        if not find('gdb'):
            return []
        _, text = client(
            [
                find('gdb'),
                '-nx',
                '-batch',
                *('-iex', 'set debuginfod enabled off'),
                *('-p', str(served.server.pid)),
                *('-ex', 'print ((int (*)(unsigned long)) malloc_trim)(0)'),
            ],
            120.0,
        )
        if not trimmed(text):
            raise Failure(f'gdb did not call malloc_trim: {text.strip()[-200:]}')
        return [served.watch.reading('trim')]


def trimmed(text):
    """Whether gdb's output says that malloc_trim was called, whatever it returned."""
    return re.search(r'^\$1 = [01]$', text, re.MULTILINE) is not None


class Ratchet(Program):
    """Dumps of everything, one after the other, beside sysbench at a limited rate."""

    name = 'ratchet'
    needed = {**mariadbd.NEEDED, 'mariadb-dump': 'mariadb-client'}

    def run(self, allocator):
        with self.golden.serve(allocator) as served:
            rows = [served.reading('start')]
            with open(os.path.join(served.folder, 'load.log'), 'w+', encoding='utf-8') as log:
                rows += self.loaded(served, log)
            rows += served.idle(self.conditions.idle_s[-1:])
            return served.sample(rows)

    def loaded(self, served, log):
        """The rows of the dumps, while the load runs."""
        command = self.conditions.sysbench(
            served.folder,
            'oltp_read_write',
            threads=self.conditions.dump_threads,
            rate=self.conditions.rate,
            time=0,
            events=0,
        )
        load = subprocess.Popen(
            [*command, 'run'], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=without_preload()
        )
        try:
            served.watch.enter('warm')
            time.sleep(self.conditions.warm_s)
            return [self.dump(served, load, log, number + 1) for number in range(self.conditions.dumps)]
        finally:
            end(load, 10.0)

    @staticmethod
    def dump(served, load, log, number):
        point = f'dump-{number}'
        served.watch.enter(point)
        cpu_s, commits = served.server.cpu_s(), mariadbd.status(served.folder, 'Com_commit')['com_commit']
        time_s, _ = served.client(
            [
                *mariadbd.login(served.folder, 'mariadb-dump'),
                '--all-databases',
                '--single-transaction',
                '--routines',
                '--events',
                '--result-file=/dev/null',
            ],
            600.0,
        )
        row = served.reading(point, time_s=time_s, cpu_s=served.server.cpu_s() - cpu_s)
        row['load_tps'] = (mariadbd.status(served.folder, 'Com_commit')['com_commit'] - commits) / time_s
        if load.poll() is not None:
            log.seek(0)
            raise Failure(f'the load ended with status {load.returncode}: {log.read().strip()[-300:]}')
        return row


def without_preload():
    return {key: value for key, value in os.environ.items() if key != 'LD_PRELOAD'}


PROGRAMS = (Ramp, Ratchet)
