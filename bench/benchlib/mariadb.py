# SPDX-License-Identifier: MIT
"""MariaDB under sysbench oltp_read_write: a fixed number of events, and the resident memory 15 s after
the load.

The data directory is made once; each run works on a copy of it, on a socket in a scratch folder, without
network.
"""
import os
import shutil
import tempfile
import time

from . import mariadbd, peers
from .mariadbd import find, parse_sysbench
from .process import Failure
from .programs import SERVER, Program
from .server import client, raise_file_limit

TABLES, ROWS, THREADS, EVENTS, IDLE_S = 4, 25000, 256, 8000, 15.0

OPTIONS = (
    '--innodb-buffer-pool-size=128M',
    '--innodb-flush-log-at-trx-commit=0',
    '--innodb-log-file-size=96M',
    '--innodb-fast-shutdown=2',
    '--max-connections=600',
    '--performance-schema=OFF',
    '--thread-cache-size=0',
)


class Mariadb(Program):
    """time_s is sysbench's own total time; cpu_s and minflt are the server's while it was loaded."""

    group = SERVER

    def __init__(self, name, idle_s=IDLE_S):
        super().__init__(name)
        self.idle_s = idle_s
        self.golden = None

    def unavailable(self, context):
        return mariadbd.missing(mariadbd.NEEDED)

    def identity(self, context):
        return [find('mariadbd'), '--version'], None

    def prepare(self, context):
        self.golden = os.path.join(context.scratch_dir, 'mariadb-golden')
        mariadbd.install(self.golden, os.path.join(context.scratch_dir, 'mariadb-install.log'))
        with tempfile.TemporaryDirectory(prefix='maria-') as folder:
            with self.server(folder, self.golden, peers.Allocator(peers.GLIBC)) as server:
                mariadbd.wait(server, folder)
                mariadbd.query(folder, f'create database {mariadbd.DATABASE}')
                client([*self.sysbench(context, folder, 1), 'prepare'], 600.0)

    @staticmethod
    def server(folder, data_dir, allocator):
        return mariadbd.start(folder, data_dir, allocator, OPTIONS)

    @staticmethod
    def sysbench(context, folder, threads):
        return mariadbd.sysbench(
            folder,
            'oltp_read_write',
            tables=TABLES,
            table_size=context.scaled(ROWS, 100),
            threads=threads,
            time=0,
            events=context.scaled(EVENTS, threads),
            rand_seed=context.seed,
        )

    def run(self, context, allocator):
        raise_file_limit(4096)
        with tempfile.TemporaryDirectory(prefix='maria-') as folder:
            data_dir = os.path.join(folder, 'data')
            shutil.copytree(self.golden, data_dir)
            with self.server(folder, data_dir, allocator) as server:
                mariadbd.wait(server, folder)
                if allocator.library and not server.loaded(allocator.library):
                    raise Failure('the allocator is not loaded into mariadbd')
                base_kib, cpu_s, minflt = server.rss_kib(), server.cpu_s(), server.minflt()
                _, text = client(
                    [*self.sysbench(context, folder, THREADS), 'run'], max(context.timeout_s, 600.0)
                )
                sample = {
                    'cpu_s': server.cpu_s() - cpu_s,
                    'minflt': server.minflt() - minflt,
                    'base_kib': base_kib,
                    'peak_kib': server.peak_kib(),
                    'full_kib': server.rss_kib(),
                    'maps': server.largest_mappings(),
                    **parse_sysbench(text),
                }
                time.sleep(self.idle_s)
                sample['end_kib'] = server.rss_kib()
                return sample


MARIADB = [Mariadb('mariadb')]
