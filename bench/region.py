#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Regions beside talloc, APR pools, GNU obstack and plain malloc at the same work, see README.md.

For each work and kind: nanoseconds for each piece (its writing and reading included), peak memory above the program's own, and
how often malloc or mmap was asked for memory (of ebb: blocks taken from its heap). Rounds alternate between the kinds; the
figures are medians.
"""
import argparse
import csv
import os
import sys
import tempfile

from benchlib import arithmetic, facts, report
from benchlib.process import Failure, Spawner

HERE = os.path.dirname(os.path.abspath(__file__))
KINDS = ['ebb', 'malloc', 'obstack', 'apr', 'talloc', 'talloc-pool']
PEERS = KINDS[1:]
# name, pieces at scale 1: about a second for the fastest
WORKS = [('tree', 100000000), ('small', 50000000), ('prepared', 100000000), ('brief', 50000000), ('grow', 60000)]
TARGET = 1.0


class Bench:
    def __init__(self, options, scratch_dir):
        self.options = options
        self.folder = os.path.join(options.build, 'bench')
        self.spawner = Spawner(os.path.join(self.folder, 'bench-spawn'))
        self.count_path = os.path.join(scratch_dir, 'count')
        self.kinds = [kind for kind in KINDS if os.path.exists(self.program(kind))]

    def program(self, kind):
        return os.path.join(self.folder, f'bench-region-{kind}')

    def run(self, kind, work, pieces, *words, **environment):
        command = [self.program(kind), f'mode={work}', f'ops={pieces}', *words]
        return self.spawner.run(command, {**os.environ, **environment}, self.options.timeout)

    def measure(self, kind, work, pieces):
        """(nanoseconds for a piece, peak KiB above the program's own, check) of one run."""
        outcome = self.run(kind, work, pieces)
        told = outcome['report']
        return (1000.0 * int(told['wall_us']) / pieces, outcome['peak_kib'] - int(told['base_kib']), told['check'])

    def upstream(self, kind, work, pieces):
        """How often memory was asked for."""
        if kind == 'ebb':
            return int(self.run(kind, work, pieces, 'count=1')['report']['upstream'])
        library = os.path.join(self.folder, 'libbench-region-count.so')
        self.run(kind, work, pieces, LD_PRELOAD=library, BENCH_COUNT=self.count_path)
        with open(self.count_path, encoding='ascii') as file:
            return int(file.read())

    def work(self, work, pieces):
        """{kind: (ns, KiB, upstream)} of one work."""
        samples = {kind: [] for kind in self.kinds}
        for number in range(self.options.rounds):
            for kind in arithmetic.rotated(self.kinds, number):
                print(f'{work}, {kind}', file=sys.stderr)
                samples[kind].append(self.measure(kind, work, pieces))
        checks = {check for runs in samples.values() for _, _, check in runs}
        if len(checks) != 1:
            raise Failure(f'{work}: the kinds did not do the same work: {sorted(checks)}')
        return {
            kind: (
                arithmetic.median([ns for ns, _, _ in runs]),
                arithmetic.median([kib for _, kib, _ in runs]),
                self.upstream(kind, work, pieces),
            )
            for kind, runs in samples.items()
        }


def verdict(figures):
    """ebb's time over the best peer's, and whether that meets the target."""
    times = {kind: ns for kind, (ns, _, _) in figures.items()}
    ratio = arithmetic.ratios(times, [kind for kind in PEERS if kind in times]).get('ebb')
    return '' if ratio is None else f'{ratio:.2f} {"✓" if ratio <= TARGET else "✗"}'


def tables(results, kinds):
    """Three tables as texts: time, memory, upstream."""
    titles = [('ns for a piece', '{:.2f}'), ('peak KiB', '{:.0f}'), ('asked for memory', '{:.0f}')]
    for which, (title, form) in enumerate(titles):
        lines = [[title, *kinds] + (['ebb / best peer'] if which == 0 else [])]
        for work, figures in results.items():
            cells = [form.format(figures[kind][which]) for kind in kinds]
            lines.append([work, *cells] + ([verdict(figures)] if which == 0 else []))
        yield report.aligned(lines)


def parse_options(arguments):
    parser = argparse.ArgumentParser(prog='region.py', description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--build', metavar='DIR', default=os.path.join(HERE, '..', 'build'), help='the build folder')
    parser.add_argument('--ebb', help=argparse.SUPPRESS)
    parser.add_argument('--works', help='names, separated by commas; by default all')
    parser.add_argument('--rounds', type=int, default=5, help='runs of each; %(default)s')
    parser.add_argument('--scale', type=float, default=1.0, help='factor on the amount of work; %(default)s')
    parser.add_argument('--timeout', type=float, default=300.0, metavar='S', help='for one run; %(default)s')
    parser.add_argument('--csv', metavar='FILE', help='write the figures')
    options = parser.parse_args(arguments)
    names = [name for name, _ in WORKS]
    options.chosen = options.works.split(',') if options.works else names
    if set(options.chosen) - set(names):
        parser.error(f'no such work: {", ".join(sorted(set(options.chosen) - set(names)))}')
    if options.rounds < 1 or options.scale <= 0:
        parser.error('--rounds and --scale: above 0')
    return options


def main(arguments=None):
    options = parse_options(arguments)
    results = {}
    try:
        with tempfile.TemporaryDirectory(prefix='ebb-bench-') as scratch_dir:
            bench = Bench(options, scratch_dir)
            for kind in sorted(set(KINDS) - set(bench.kinds)):
                print(f'missing: {kind} (its library was not there when bench was built)', file=sys.stderr)
            for work, pieces in WORKS:
                if work in options.chosen:
                    results[work] = bench.work(work, max(int(pieces * options.scale), 1000))
    except (Failure, OSError) as failure:
        print(f'region.py: {failure}', file=sys.stderr)
        return 1
    print('\n\n'.join(tables(results, bench.kinds)))
    print('; '.join(f'{key}: {value}' for key, value in facts.machine().items()))
    if options.csv:
        with open(options.csv, 'w', encoding='utf-8', newline='') as file:
            writer = csv.writer(file, lineterminator='\n')
            writer.writerow(['work', 'kind', 'ns_per_piece', 'peak_kib', 'upstream'])
            for work, figures in results.items():
                writer.writerows([work, kind, f'{ns:.3f}', kib, upstream] for kind, (ns, kib, upstream) in figures.items())
    return 0


if __name__ == '__main__':
    sys.exit(main())
