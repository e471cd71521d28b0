# SPDX-License-Identifier: MIT
"""redis-server on a loopback port under redis-benchmark.

Debian links redis-server with libjemalloc. A preloaded library is searched before it, so that malloc &
co. become the preloaded ones; for the row of glibc the C library itself is preloaded, else that row
would be jemalloc's. What remains jemalloc's are a few statistics calls. `run.py --owners` asks the
dynamic linker and prints the answer.
"""
import os
import shutil
import socket
import tempfile

from . import peers
from .process import Failure
from .programs import REAL, Program
from .server import Server, client

# Of each: the arguments of redis-benchmark, and how many requests in units of the scale.
STEPS = [
    (['-t', 'set', '-d', '90'], 160000),
    (['-t', 'set', '-d', '1400'], 60000),
    (['-t', 'get'], 80000),
    (['-t', 'lpush', '-d', '60'], 120000),
    (['-t', 'hset', '-d', '200'], 80000),
    (['-t', 'set', '-d', '20'], 120000),
]


def free_port():
    """A TCP port of the loopback interface that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def answers(port):
    """Whether a redis-server answers PING on the port."""
    try:
        with socket.create_connection(('127.0.0.1', port), timeout=1) as connection:
            connection.sendall(b'PING\r\n')
            return connection.recv(16).startswith(b'+PONG')
    except OSError:
        return False


class Redis(Program):
    """time_s is that of the client from the first request to the last answer; the rest is the server's."""

    group = REAL

    def unavailable(self, context):
        missing = [
            name
            for name, package in (('redis-server', 'redis-server'), ('redis-benchmark', 'redis-tools'))
            if not shutil.which(name)
        ]
        return (
            f'{" and ".join(missing)} not installed (Debian: apt-get install redis-server)'
            if missing
            else None
        )

    def identity(self, context):
        return [shutil.which('redis-server'), '--version'], peers.libc_path()

    def run(self, context, allocator):
        port = free_port()
        with tempfile.TemporaryDirectory(prefix='redis-', dir=context.scratch_dir) as folder:
            command = [
                shutil.which('redis-server'),
                '--port',
                str(port),
                '--bind',
                '127.0.0.1',
                '--save',
                '',
                '--appendonly',
                'no',
                '--dir',
                folder,
                '--daemonize',
                'no',
            ]
            environment = allocator.environment(preload_libc=peers.libc_path())
            with Server(command, environment, os.path.join(folder, 'log')) as server:
                server.wait_until(lambda: answers(port), 20.0)
                if not server.loaded(environment['LD_PRELOAD']):
                    raise Failure('the allocator is not loaded into redis-server')
                base_kib = server.rss_kib()
                time_s = sum(self.step(context, port, arguments, count) for arguments, count in STEPS)
                return {
                    'time_s': time_s,
                    'cpu_s': server.cpu_s(),
                    'peak_kib': server.peak_kib(),
                    'base_kib': base_kib,
                    'end_kib': server.rss_kib(),
                    'maps': server.largest_mappings(),
                    'minflt': server.minflt(),
                }

    @staticmethod
    def step(context, port, arguments, count):
        command = [
            'redis-benchmark',
            '-h',
            '127.0.0.1',
            '-p',
            str(port),
            '-q',
            '-c',
            '50',
            '-P',
            '16',
            '-n',
            str(context.scaled(count, 100)),
            '-r',
            str(context.scaled(60000, 100)),
            *arguments,
        ]
        return client(command, context.timeout_s)[0]


REDIS = [Redis('redis')]
