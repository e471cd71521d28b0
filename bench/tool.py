#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the tool itself costs: time and peak memory of the commands that look at a host, see README.md.

Commands run a number of times beside a process with 65,000 mappings and 500 that sleep, their output thrown away; the figure is
the median. The time is that of the whole command, its start included.
"""
import argparse
import contextlib
import csv
import ctypes
import mmap
import os
import signal
import sys

from benchlib import arithmetic, facts, report
from benchlib.process import Failure, Spawner

HERE = os.path.dirname(os.path.abspath(__file__))

# name, arguments, whether they are followed by a process with many mappings, target in ms. Peak memory has one target for all.
ROWS = [
    ('start', ['--version'], False, None),
    ('maps', ['maps'], True, None),
    ('maps-group', ['maps', '--group'], True, None),
    ('maps-budget', ['maps', '--budget'], True, 150),
    ('ps', ['ps'], False, 50),
    ('top', ['top', '--batch', '--iterations', '1'], False, None),
    ('oom', ['oom'], False, None),
    ('vm', ['vm'], False, None),
    ('reclaim', ['reclaim'], False, None),
]
MAPPINGS = 65000
SLEEPERS = 500
PEAK_TARGET_KIB = 8 * 1024


@contextlib.contextmanager
def mapped_process():
    """The pid of a child with so many mappings: every second page of one area has another protection."""
    ready_read, ready_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        page = mmap.PAGESIZE
        area = mmap.mmap(-1, MAPPINGS * page, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        start = ctypes.addressof(ctypes.c_char.from_buffer(area))
        refused = any(
            libc.mprotect(ctypes.c_void_p(start + i * page), ctypes.c_size_t(page), 1) != 0
            for i in range(0, MAPPINGS - 200, 2)
        )
        os.write(ready_write, b'n' if refused else b'y')
        signal.pause()
        os._exit(0)
    try:
        if os.read(ready_read, 1) != b'y':
            raise Failure('the kernel allows fewer mappings than the scene needs (vm.max_map_count)')
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready_read)
        os.close(ready_write)


@contextlib.contextmanager
def sleepers():
    """So many processes that do nothing."""
    pids = []
    try:
        for _ in range(SLEEPERS):
            pid = os.fork()
            if pid == 0:
                signal.pause()
                os._exit(0)
            pids.append(pid)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def verdict(value, target):
    return '' if target is None else f'≤ {target} {"✓" if value <= target else "✗"}'


def line_of(spawner, tool, row, pid, rounds):
    _, words, on_process, target_ms = row
    command = [tool, *words, *([str(pid)] if on_process else [])]
    costs = [spawner.run(command, os.environ, 60.0) for _ in range(rounds)]
    milliseconds = 1000 * arithmetic.median([cost['time_s'] for cost in costs])
    peak_kib = int(max(cost['peak_kib'] for cost in costs))
    return [
        f'ebb {" ".join(words)}',
        f'{milliseconds:.1f}',
        verdict(milliseconds, target_ms),
        str(peak_kib),
        verdict(peak_kib, PEAK_TARGET_KIB),
    ]


def parse_options(arguments):
    parser = argparse.ArgumentParser(prog='tool.py', description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--build', metavar='DIR', default=os.path.join(HERE, '..', 'build'), help='the build folder')
    parser.add_argument('--ebb', help=argparse.SUPPRESS)
    parser.add_argument('--rows', help='names, separated by commas; by default all')
    parser.add_argument('--rounds', type=int, default=9, help='runs of each command; %(default)s')
    parser.add_argument('--csv', metavar='FILE', help='write the figures')
    options = parser.parse_args(arguments)
    options.chosen = options.rows.split(',') if options.rows else [row[0] for row in ROWS]
    unknown = set(options.chosen) - {row[0] for row in ROWS}
    if unknown:
        parser.error(f'no such row: {", ".join(sorted(unknown))}')
    if options.rounds < 1:
        parser.error('--rounds: at least one')
    return options


def main(arguments=None):
    options = parse_options(arguments)
    tool = os.path.join(options.build, 'src', 'tool', 'ebb')
    spawner = Spawner(os.path.join(options.build, 'bench', 'bench-spawn'))
    lines = [['command', 'ms', 'target', 'peak KiB', 'target']]
    try:
        with sleepers(), mapped_process() as pid:
            lines += [line_of(spawner, tool, row, pid, options.rounds) for row in ROWS if row[0] in options.chosen]
    except (Failure, OSError) as failure:
        print(f'tool.py: {failure}', file=sys.stderr)
        return 1
    print(report.aligned(lines))
    print('; '.join(f'{key}: {value}' for key, value in facts.machine().items()))
    if options.csv:
        with open(options.csv, 'w', encoding='utf-8', newline='') as file:
            csv.writer(file, lineterminator='\n').writerows(lines)
    return 0


if __name__ == '__main__':
    sys.exit(main())
