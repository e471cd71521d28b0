#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the bench programs under every allocator in turn and compares: see README.md."""
import argparse
import json
import os
import shutil
import sys
import tempfile
import time

from benchlib import arithmetic, facts, peers, report, svg
from benchlib.compare import pair_report
from benchlib.mariadb import MARIADB
from benchlib.process import Failure, Spawner
from benchlib.programs import MICROS, Context
from benchlib.real import REALS
from benchlib.redis import REDIS
from benchlib.selection import find_build, select

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = [*MICROS, *REALS, *REDIS, *MARIADB]


class Progress:
    """One line on standard error that says what runs and how long the rest will take."""

    def __init__(self, planned):
        self.planned = planned
        self.done = 0
        self.began = time.monotonic()
        self.terminal = sys.stderr.isatty()

    def step(self, what):
        elapsed = time.monotonic() - self.began
        left = (
            f'{elapsed / self.done * (self.planned - self.done):.0f} s left'
            if self.done
            else 'time left unknown'
        )
        line = f'[{self.done}/{self.planned}] {what}, {left}'
        sys.stderr.write(f'\r\033[K{line}' if self.terminal else line + '\n')
        sys.stderr.flush()
        self.done += 1

    def end(self):
        if self.terminal:
            sys.stderr.write('\r\033[K')
        print(f'{self.done} runs in {time.monotonic() - self.began:.0f} s', file=sys.stderr)


class Bench:
    """The runs of one call of this script."""

    def __init__(self, context, programs, allocators, rounds, control):
        self.context = context
        self.programs = programs
        self.allocators = allocators
        self.rounds = rounds
        self.control = control
        self.controls = {}  # program: the peer that is entered a second time
        self.checks = {}  # program: what the first good run computed
        self.runs = []
        entries = len(allocators) + (1 if control != 'none' else 0)
        self.progress = Progress(rounds * len(programs) * entries)

    def run_all(self):
        """Round by round. All allocators run a program in turn before the next program comes, in an
        order that is rotated from round to round and from program to program."""
        try:
            for number in range(self.rounds):
                for index, program in enumerate(self.programs):
                    self.run_program(number, program, number + index)
        finally:
            self.progress.end()

    def run_program(self, number, program, turn):
        entries = [(allocator.name, allocator) for allocator in self.allocators]
        chosen = self.controls.get(program.name)
        if chosen:
            entries.append((peers.CONTROL, chosen))
        for name, allocator in arithmetic.rotated(entries, turn):
            self.run_once(number, program, name, allocator)
        if not chosen and self.control != 'none':
            chosen = self.choose_control(program)
            if chosen:
                self.controls[program.name] = chosen
                self.run_once(number, program, peers.CONTROL, chosen)

    def choose_control(self, program):
        """The peer to enter twice: the one asked for, or the fastest of this program in the first round."""
        if self.control != 'best':
            wanted = self.control
        else:
            times = {
                run['allocator']: run['time_s']
                for run in self.runs
                if run['program'] == program.name and not run['reason'] and report.is_peer(run['allocator'])
            }
            wanted, _ = arithmetic.best_peer(times, list(times))
        return next((allocator for allocator in self.allocators if allocator.name == wanted), None)

    def run_once(self, number, program, name, allocator):
        self.progress.step(f'round {number + 1} of {self.rounds}, {program.name}, {name}')
        run = {
            'round': number + 1,
            'program': program.name,
            'group': program.group,
            'allocator': name,
            'control_of': allocator.name if name == peers.CONTROL else '',
            'reason': None,
        }
        try:
            run.update(report.finish_sample(program.run(self.context, allocator)))
            expected = self.checks.setdefault(program.name, run.get('check'))
            if run.get('check') != expected:
                run['reason'] = f'computed {run.get("check")} and not {expected}'
        except Failure as failure:
            run['reason'] = str(failure)
        self.runs.append(run)


def prepare(programs, context):
    """The programs that can run, after their preparation; what is left out is said on standard error."""
    usable = []
    for program in programs:
        reason = program.unavailable(context)
        if not reason:
            try:
                print(f'preparing {program.name}', file=sys.stderr)
                program.prepare(context)
                usable.append(program)
                continue
            except Failure as failure:
                reason = str(failure)
        print(f'left out: {program.name}: {reason}', file=sys.stderr)
    return usable


def print_owners(programs, allocators, context):
    """For each program and allocator the file whose malloc the dynamic linker binds."""
    lines = [['malloc comes from', *[allocator.name for allocator in allocators]]]
    for program in programs:
        command, libc = program.identity(context)
        owners = [
            peers.malloc_owner(command, allocator.environment(preload_libc=libc)) for allocator in allocators
        ]
        lines.append([program.name, *[os.path.basename(owner) if owner else 'unknown' for owner in owners]])
    print(report.aligned(lines))


def write_files(options, rows, runs, described):
    os.makedirs(options.out, exist_ok=True)
    base = os.path.join(options.out, 'latest')
    files = {}
    if options.csv:
        files[base + '.csv'] = report.csv_text(rows)
        files[base + '-runs.csv'] = report.runs_csv_text(runs)
        files[base + '-facts.json'] = json.dumps(described, indent=1) + '\n'
    if options.json:
        files[base + '.json'] = report.json_text(rows, described)
    if options.plot:
        files[options.plot] = svg.picture(rows, described)
    for path, text in files.items():
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
        print(f'wrote {path}', file=sys.stderr)


def update_readme(out):
    """Writes the tables of the latest results into the README."""
    with open(os.path.join(out, 'latest.csv'), encoding='utf-8') as file:
        rows = report.read_csv(file.read())
    with open(os.path.join(out, 'latest-facts.json'), encoding='utf-8') as file:
        described = json.load(file)
    path = os.path.join(HERE, 'README.md')
    with open(path, encoding='utf-8') as file:
        text = file.read()
    text = report.replace_section(text, report.markdown_report(rows, described))
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)


def parse_options(arguments):
    parser = argparse.ArgumentParser(prog='run.py', description=__doc__)
    parser.add_argument(
        '--allocators',
        default='glibc,jemalloc,tcmalloc,mimalloc,ebb',
        help='names or NAME=PATH, separated by commas; %(default)s',
    )
    parser.add_argument(
        '--ebb', metavar='PATH', help='libebb-malloc.so; by default the one of the build folder'
    )
    parser.add_argument('--build', metavar='DIR', help='the build folder; by default build* beside bench')
    parser.add_argument(
        '--programs',
        default='micro,real',
        help='names, patterns or groups (micro, real, server), separated by commas; %(default)s',
    )
    parser.add_argument('--rounds', type=int, help='default 5, or 15 with --pair')
    parser.add_argument(
        '--quick', action='store_true', help='one round at a fifth of the work: to see that it runs'
    )
    parser.add_argument('--scale', type=float, default=1.0, help='factor on the amount of work; %(default)s')
    parser.add_argument('--seed', type=int, default=1, help='of the programs\' random numbers; %(default)s')
    parser.add_argument('--timeout', type=float, default=180.0, metavar='S', help='for one run; %(default)s')
    parser.add_argument(
        '--control',
        default='best',
        metavar='PEER|best|none',
        help='the peer to enter a second time; "best": the fastest of each program; %(default)s',
    )
    parser.add_argument('--pair', nargs=2, metavar=('A.so', 'B.so'), help='compare two builds of one library')
    parser.add_argument(
        '--out', default=os.path.join(HERE, 'results'), metavar='DIR', help='for --csv and --json'
    )
    parser.add_argument(
        '--csv', action='store_true', help='write latest.csv, latest-runs.csv, latest-facts.json'
    )
    parser.add_argument('--json', action='store_true', help='write latest.json')
    parser.add_argument('--plot', metavar='FILE', help='write a picture of the ratios, SVG')
    parser.add_argument(
        '--update-readme',
        action='store_true',
        help='write the tables of latest.csv into README.md; ' 'without --csv nothing is run',
    )
    parser.add_argument('--owners', action='store_true', help='only print whose malloc each program gets')
    parser.add_argument('--list', action='store_true', help='only list the programs')
    options = parser.parse_args(arguments)
    if options.quick:
        options.scale *= 0.2
    if options.rounds is None:
        options.rounds = 1 if options.quick else 15 if options.pair else 5
    if options.rounds < 1 or not 0 < options.scale <= 1000:
        parser.error('--rounds must be at least 1, and --scale between 0 and 1000')
    return options


def compare_all(options, context, programs, allocators):
    described = {
        **facts.machine(),
        'allocators': '; '.join(f'{name} = {text}' for name, text in facts.allocators(allocators).items()),
        'rounds': str(options.rounds),
        'scale': f'{options.scale:g}',
        'seed': str(options.seed),
    }
    bench = Bench(context, programs, allocators, options.rounds, options.control)
    try:
        bench.run_all()
    except KeyboardInterrupt:
        print('interrupted: the figures are those of the runs so far', file=sys.stderr)
        described['interrupted'] = 'yes'
    rows = report.medians(bench.runs)
    if not rows:
        return 1
    print(report.text_report(rows))
    write_files(options, rows, bench.runs, described)
    if options.update_readme and options.csv:
        update_readme(options.out)
    return 1 if any(row['failures'] for row in rows if not report.is_peer(row['allocator'])) else 0


def main(arguments=None):
    options = parse_options(arguments)
    programs = select(PROGRAMS, options.programs)
    if options.list:
        print('\n'.join(f'{program.group:7} {program.name}' for program in PROGRAMS))
        return 0
    if options.update_readme and not options.csv:
        update_readme(options.out)
        return 0
    build = find_build(HERE, options.build)
    if not build:
        print('run.py: no build folder with bench/bench-spawn; give one with --build', file=sys.stderr)
        return 2
    build_dir = os.path.join(build, 'bench')
    scratch_dir = tempfile.mkdtemp(prefix='ebb-bench-')
    context = Context(
        build_dir,
        Spawner(os.path.join(build_dir, 'bench-spawn')),
        scratch_dir,
        options.scale,
        options.timeout,
        options.seed,
    )
    ebb = options.ebb or os.path.join(build, 'src', 'entry', 'libebb-malloc.so')
    wanted = (
        [f'a={options.pair[0]}', f'b={options.pair[1]}'] if options.pair else options.allocators.split(',')
    )
    allocators, missing = peers.find(wanted, ebb)
    for text in missing:
        print(f'missing: {text}', file=sys.stderr)
    try:
        if not allocators or (options.pair and missing):
            return 2
        programs = prepare(programs, context)
        if not programs:
            print('run.py: no program left to run', file=sys.stderr)
            return 2
        if options.owners:
            print_owners(programs, allocators, context)
            return 0
        if options.pair:
            bench = Bench(context, programs, allocators, options.rounds, 'none')
            bench.run_all()
            print(pair_report(bench.runs, [program.name for program in programs]))
            return 0
        return compare_all(options, context, programs, allocators)
    finally:
        shutil.rmtree(scratch_dir, ignore_errors=True)


if __name__ == '__main__':
    sys.exit(main())
