# SPDX-License-Identifier: MIT
"""MariaDB under sysbench oltp_read_write: a fixed number of events, and the resident memory 15 s after
the load.

The data directory is made once; each run works on a copy of it, on a socket in a scratch folder, without
network.
"""
import getpass
import os
import re
import shutil
import subprocess
import tempfile
import time

from . import peers
from .process import Failure
from .programs import SERVER, Program
from .server import Server, client, raise_file_limit

TABLES, ROWS, THREADS, EVENTS, IDLE_S = 4, 25000, 256, 8000, 15.0


class Mariadb(Program):
    """time_s is sysbench's own total time; cpu_s and minflt are the server's while it was loaded."""

    group = SERVER

    def __init__(self, name, idle_s=IDLE_S):
        super().__init__(name)
        self.idle_s = idle_s
        self.golden = None

    def unavailable(self, context):
        wanted = (
            ('mariadbd', 'mariadb-server'),
            ('mariadb-install-db', 'mariadb-server'),
            ('mariadb-admin', 'mariadb-client'),
            ('sysbench', 'sysbench'),
        )
        missing = sorted({package for program, package in wanted if not find(program)})
        return f'not installed (Debian: apt-get install {" ".join(missing)})' if missing else None

    def identity(self, context):
        return [find('mariadbd'), '--version'], None

    def prepare(self, context):
        self.golden = os.path.join(context.scratch_dir, 'mariadb-golden')
        log_path = os.path.join(context.scratch_dir, 'mariadb-install.log')
        with open(log_path, 'wb') as log:
            status = subprocess.run(
                [
                    find('mariadb-install-db'),
                    '--no-defaults',
                    f'--datadir={self.golden}',
                    '--auth-root-authentication-method=normal',
                    '--skip-test-db',
                    f'--user={getpass.getuser()}',
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
            ).returncode
        if status != 0:
            raise Failure(f'mariadb-install-db ended with status {status}, see {log_path}')
        with tempfile.TemporaryDirectory(prefix='maria-') as folder:
            with self.server(folder, self.golden, peers.Allocator(peers.GLIBC)) as server:
                self.wait(server, folder)
                client(
                    [
                        find('mariadb-admin'),
                        '--no-defaults',
                        '-uroot',
                        f'--socket={folder}/s',
                        'create',
                        'sbtest',
                    ],
                    60.0,
                )
                client([*self.sysbench(context, folder, 1), 'prepare'], 600.0)

    @staticmethod
    def server(folder, data_dir, allocator):
        command = [
            find('mariadbd'),
            '--no-defaults',
            f'--datadir={data_dir}',
            f'--socket={folder}/s',
            f'--pid-file={folder}/pid',
            f'--user={getpass.getuser()}',
            '--skip-networking',
            '--skip-log-bin',
            '--innodb-buffer-pool-size=128M',
            '--innodb-flush-log-at-trx-commit=0',
            '--innodb-log-file-size=96M',
            '--innodb-fast-shutdown=2',
            '--max-connections=600',
            '--performance-schema=OFF',
            '--thread-cache-size=0',
        ]
        return Server(command, allocator.environment(), os.path.join(folder, 'log'))

    @staticmethod
    def wait(server, folder):
        ping = [find('mariadb-admin'), '--no-defaults', '-uroot', f'--socket={folder}/s', 'ping']
        server.wait_until(
            lambda: subprocess.run(ping, capture_output=True, check=False).returncode == 0, 120.0
        )

    @staticmethod
    def sysbench(context, folder, threads):
        return [
            find('sysbench'),
            'oltp_read_write',
            '--db-driver=mysql',
            f'--mysql-socket={folder}/s',
            '--mysql-user=root',
            '--mysql-db=sbtest',
            f'--tables={TABLES}',
            f'--table-size={context.scaled(ROWS, 100)}',
            f'--threads={threads}',
            '--time=0',
            f'--events={context.scaled(EVENTS, threads)}',
            f'--rand-seed={context.seed}',
        ]

    def run(self, context, allocator):
        raise_file_limit(4096)
        # A short path: the name of a Unix socket has at most 107 bytes.
        with tempfile.TemporaryDirectory(prefix='maria-') as folder:
            data_dir = os.path.join(folder, 'data')
            shutil.copytree(self.golden, data_dir)
            with self.server(folder, data_dir, allocator) as server:
                self.wait(server, folder)
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


def find(program):
    """The program's path; servers often live in /usr/sbin, which is not on everybody's PATH."""
    return shutil.which(program, path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin')


def parse_sysbench(text):
    """{'time_s', 'qps', 'p95_ms'} from the output of sysbench run."""
    time_s = re.search(r'total time:\s+([0-9.]+)s', text)
    qps = re.search(r'queries:\s+\d+\s+\(([0-9.]+) per sec', text)
    p95_ms = re.search(r'95th percentile:\s+([0-9.]+)', text)
    if not (time_s and qps and p95_ms):
        raise Failure('cannot read the output of sysbench')
    return {'time_s': float(time_s[1]), 'qps': float(qps[1]), 'p95_ms': float(p95_ms[1])}


MARIADB = [Mariadb('mariadb')]
