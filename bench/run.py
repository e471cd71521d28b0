#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the bench programs under every allocator in turn and compares: see README.md."""
import argparse
import json
import os
import shutil
import sys
import tempfile

from benchlib import facts, peers, report, svg
from benchlib.compare import pair_report
from benchlib.mariadb import MARIADB
from benchlib.process import Failure, Spawner
from benchlib.programs import MICROS, Context
from benchlib.real import REALS
from benchlib.redis import REDIS
from benchlib.rounds import Rounds, prepare
from benchlib.selection import find_build, select

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = [*MICROS, *REALS, *REDIS, *MARIADB]


def measure(context, program, allocator):
    return report.finish_sample(program.run(context, allocator))


def score(run):
    """What the best peer of a program, which the control repeats, is best at."""
    return run['time_s']


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
    bench = Rounds(context, programs, allocators, options.rounds, options.control, measure, score)
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
            bench = Rounds(context, programs, allocators, options.rounds, 'none', measure, score)
            bench.run_all()
            print(pair_report(bench.runs, [program.name for program in programs]))
            return 0
        return compare_all(options, context, programs, allocators)
    finally:
        shutil.rmtree(scratch_dir, ignore_errors=True)


if __name__ == '__main__':
    sys.exit(main())
