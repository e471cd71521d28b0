#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What looking costs the process that is looked at: queries per second of a MariaDB with and without `ebb heap --watch 1` on
it, see README.md.

One sysbench runs all the time and tells its queries of each second. Spans with and without the command take turns, the first of
a pair now one and now the other; the second in which they change belongs to neither. The figure is the median of the ratios of
the pairs, with its interval.
"""
import argparse
import contextlib
import csv
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

from benchlib import arithmetic, facts, mariadbd, peers, ramp, report
from benchlib.process import Failure
from benchlib.progress import Progress

HERE = os.path.dirname(os.path.abspath(__file__))
WARM_S = 10
TARGET = 0.99
QPS = re.compile(r'\bqps: ([0-9.]+)')


def with_command(position, pair):
    """Whether the command runs in the first or second span (position 0, 1) of a pair."""
    return (position + pair) % 2 == 0


class Load:
    """A sysbench that runs until it is ended; its queries of each second come out of a queue."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.seconds = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            held = QPS.search(line)
            if held:
                self.seconds.put(float(held[1]))
        self.seconds.put(None)

    def take(self, count):
        """The queries per second of the next so many seconds."""
        taken = [self.seconds.get(timeout=30.0) for _ in range(count)]
        if None in taken:
            raise Failure(f'sysbench ended with status {self.process.wait()}')
        return taken

    def end(self):
        self.process.terminate()
        self.process.wait()


@contextlib.contextmanager
def looking(tool, words, pid):
    """The command, its output thrown away; yields a function that tells the processor time it has taken."""
    process = subprocess.Popen(
        [tool, *words, str(pid)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )

    def cpu_s():
        with open(f'/proc/{process.pid}/stat', encoding='ascii') as file:
            fields = file.read().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    try:
        yield cpu_s
        if process.poll() is not None:
            raise Failure(f'ebb {" ".join(words)} ended with status {process.returncode}: {process.stderr.read().strip()}')
    finally:
        process.terminate()
        process.communicate()


def span(load, options, pid, on):
    """(queries per second, share of a processor that the command took) of one span."""
    if not on:
        load.take(1)
        return sum(load.take(options.span_s)) / options.span_s, 0.0
    with looking(options.tool, options.words, pid) as cpu_s:
        load.take(1)
        began, at = cpu_s(), time.monotonic()
        qps = sum(load.take(options.span_s)) / options.span_s
        return qps, (cpu_s() - began) / (time.monotonic() - at)


def measure(options, progress):
    """A list of pairs, each {'with', 'without', 'ratio', 'cpu'}."""
    conditions = ramp.Conditions(rows=options.rows, options=('--innodb-buffer-pool-size=256M',))
    with tempfile.TemporaryDirectory(prefix='ebb-watched-') as scratch_dir:
        golden = ramp.Golden(conditions, scratch_dir)
        golden.make()
        with golden.serve(peers.Allocator(peers.GLIBC)) as served:
            load = Load(
                [
                    *conditions.sysbench(served.folder, options.script, threads=options.threads, time=0, report_interval=1),
                    'run',
                ]
            )
            try:
                load.take(WARM_S)
                pairs = []
                for number in range(options.pairs):
                    progress.step(f'pair {number + 1} of {options.pairs}')
                    turns = (with_command(0, number), with_command(1, number))
                    held = {on: span(load, options, served.server.pid, on) for on in turns}
                    pairs.append(
                        {
                            'with': held[True][0],
                            'without': held[False][0],
                            'ratio': held[True][0] / held[False][0],
                            'cpu': held[True][1],
                        }
                    )
                return pairs
            finally:
                load.end()


def parse_options(arguments):
    parser = argparse.ArgumentParser(prog='watched.py', description=__doc__.split('\n\n', maxsplit=1)[0])
    add = parser.add_argument
    add('--build', metavar='DIR', default=os.path.join(HERE, '..', 'build'), help='the build folder')
    add('--ebb', help=argparse.SUPPRESS)
    add('--pairs', type=int, default=24, help='%(default)s')
    add('--span-s', type=int, default=8, metavar='SECONDS', help='length of half a pair; %(default)s')
    add('--threads', type=int, default=32, help="sysbench's; %(default)s")
    add('--rows', type=int, default=200_000, help='of the table; %(default)s')
    add('--script', default='oltp_read_write', help="sysbench's; %(default)s")
    add('--command', default='heap --watch 1', help='of ebb; %(default)s; "none" compares nothing with nothing')
    add('--csv', metavar='FILE', help='write the figures of each pair')
    options = parser.parse_args(arguments)
    if min(options.pairs, options.span_s, options.threads, options.rows) < 1:
        parser.error('numbers must be at least 1')
    options.words = options.command.split()
    options.tool = os.path.join(options.build, 'src', 'tool', 'ebb')
    if options.words == ['none']:
        options.tool, options.words = 'sleep', []
    return options


def table(options, pairs):
    ratio = arithmetic.median([pair['ratio'] for pair in pairs])
    low, high = arithmetic.bootstrap_median([pair['ratio'] for pair in pairs])
    verdict = '✓' if ratio >= TARGET else '✗'
    return [
        ['command', 'pairs', 'qps without', 'qps with', 'ratio', '95 % interval', 'target', 'CPU of ebb'],
        [
            f'ebb {options.command}',
            str(len(pairs)),
            f'{arithmetic.median([pair["without"] for pair in pairs]):.0f}',
            f'{arithmetic.median([pair["with"] for pair in pairs]):.0f}',
            f'{ratio:.4f}',
            f'{low:.4f} to {high:.4f}',
            f'> {TARGET} {verdict}',
            f'{100 * arithmetic.median([pair["cpu"] for pair in pairs]):.1f} %',
        ],
    ]


def leave(number, _):
    """A signal that asks us to end ends what we started too, on the way out."""
    sys.exit(128 + number)


def main(arguments=None):
    options = parse_options(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    lacking = mariadbd.missing(mariadbd.NEEDED)
    if lacking:
        print(f'watched.py: MariaDB {lacking}', file=sys.stderr)
        return 1
    progress = Progress(options.pairs)
    try:
        pairs = measure(options, progress)
    except (Failure, OSError, queue.Empty) as failure:
        print(f'watched.py: {failure or "sysbench says nothing"}', file=sys.stderr)
        return 1
    finally:
        progress.end()
    print(report.aligned(table(options, pairs)))
    print('; '.join(f'{key}: {value}' for key, value in facts.machine().items()))
    if options.csv:
        with open(options.csv, 'w', encoding='utf-8', newline='') as file:
            writer = csv.DictWriter(file, list(pairs[0]), lineterminator='\n')
            writer.writeheader()
            writer.writerows(pairs)
    return 0


if __name__ == '__main__':
    sys.exit(main())
