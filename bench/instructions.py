#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counts the instructions that each allocator needs per block, by valgrind's callgrind: see README.md.

The figure is what was executed outside the program's own file for each block that is obtained and freed
(or resized), so malloc and free with all that they call. Unlike a time it is nearly the same on every
run, but it knows nothing of caches, of locks that others hold, or of the kernel.
"""
import argparse
import csv
import os
import shutil
import sys
import tempfile

from benchlib import callgrind, peers, report
from benchlib.process import Failure, Spawner
from benchlib.programs import MICROS, Context
from benchlib.selection import find_build, select

HERE = os.path.dirname(os.path.abspath(__file__))


def measure(context, allocator, program, scale):
    """(program's, allocator's) instructions per block."""
    small = callgrind.count(context, allocator, program, scale)
    large = callgrind.count(context, allocator, program, 2 * scale)
    return callgrind.per_block(small, large, program.binary)


def parse_options(arguments):
    parser = argparse.ArgumentParser(prog='instructions.py', description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--allocators', default='glibc,jemalloc,tcmalloc,mimalloc,ebb', help='%(default)s')
    parser.add_argument(
        '--ebb', metavar='PATH', help='libebb-malloc.so; by default the one of the build folder'
    )
    parser.add_argument('--build', metavar='DIR', help='the build folder; by default build* beside bench')
    parser.add_argument('--programs', default='small,lifo,fifo,random,larson,aligned', help='%(default)s')
    parser.add_argument('--scale', type=float, default=0.01, help='factor on the amount of work; %(default)s')
    parser.add_argument('--timeout', type=float, default=300.0, metavar='S', help='for one run; %(default)s')
    parser.add_argument('--csv', metavar='FILE', help='write the figures')
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse_options(arguments)
    build = find_build(HERE, options.build)
    if not build or not shutil.which('valgrind'):
        print(
            'instructions.py: needs a build folder (--build) and valgrind (Debian: apt-get install valgrind)',
            file=sys.stderr,
        )
        return 2
    build_dir = os.path.join(build, 'bench')
    allocators, missing = peers.find(
        options.allocators.split(','), options.ebb or os.path.join(build, 'src', 'entry', 'libebb-malloc.so')
    )
    for text in missing:
        print(f'missing: {text}', file=sys.stderr)
    programs = select(MICROS, options.programs)
    lines = [['instructions per block', *[allocator.name for allocator in allocators], 'program itself']]
    rows, failures = [], []
    with tempfile.TemporaryDirectory(prefix='ebb-bench-') as scratch_dir:
        context = Context(
            build_dir, Spawner(os.path.join(build_dir, 'bench-spawn')), scratch_dir, timeout_s=options.timeout
        )
        for program in programs:
            cells, own = [], '-'
            for allocator in allocators:
                print(f'{program.name}, {allocator.name}', file=sys.stderr)
                try:
                    own_part, others = measure(context, allocator, program, options.scale)
                    cells.append(f'{others:.1f}')
                    own = f'{own_part:.1f}'
                    rows.append([program.name, allocator.name, f'{others:.2f}', f'{own_part:.2f}'])
                except Failure as failure:
                    cells.append('failed')
                    failures.append(f'failed: {program.name} under {allocator.name}: {failure}')
            lines.append([program.name, *cells, own])
    print(report.aligned(lines))
    print('\n'.join(failures), end='\n' if failures else '')
    if options.csv:
        with open(options.csv, 'w', encoding='utf-8', newline='') as file:
            writer = csv.writer(file, lineterminator='\n')
            writer.writerow(['program', 'allocator', 'allocator_instructions', 'program_instructions'])
            writer.writerows(rows)
    return 0


if __name__ == '__main__':
    sys.exit(main())
