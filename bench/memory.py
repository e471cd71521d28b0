#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the programs about memory given back under every allocator in turn: see README.md."""
import argparse
import json
import os
import shutil
import sys
import tempfile

from benchlib import facts, memplot, memreport, memrows, peers, report
from benchlib.memprograms import (
    FULL,
    ORDINARY,
    PROGRAMS,
    QUICK,
    Measured,
    MemoryContext,
    available_kib,
    count_plain_mappings,
)
from benchlib.process import Failure, Spawner
from benchlib.rounds import Rounds, prepare
from benchlib.selection import find_build, select

HERE = os.path.dirname(os.path.abspath(__file__))
ALLOCATORS = ','.join([peers.GLIBC, *peers.PEERS, peers.EBB, *peers.EAGER])
QUICK_SCALE = 0.02
SIZES = 52  # of survivors.c


def measure(context, program, allocator):
    return program.run(context, allocator)


def parse_options(arguments):
    parser = argparse.ArgumentParser(prog='memory.py', description=__doc__)
    add = parser.add_argument
    add('--allocators', default=ALLOCATORS, help='names or NAME=PATH, separated by commas; %(default)s')
    add('--ebb', metavar='PATH', help='libebb-malloc.so; by default the one of the build folder')
    add('--build', metavar='DIR', help='the build folder; by default build* beside bench')
    add('--programs', default='memory', help='names or patterns, separated by commas; by default all')
    add('--rounds', type=int, help='default 3')
    add('--quick', action='store_true', help='one round with tiny sizes: only to see that everything runs')
    add('--full', action='store_true', help='the sizes of the targets: up to 8 GB, and a day of a minute')
    add('--scale', type=float, default=1.0, help='factor on the amount of memory; %(default)s')
    add('--seed', type=int, default=1, help='of the programs\' random numbers; %(default)s')
    add('--timeout', type=float, default=300.0, metavar='S', help='for one run; %(default)s')
    add(
        '--control',
        default='best',
        metavar='PEER|best|none',
        help='the peer to enter a second time; "best": the best of each program; %(default)s',
    )
    add('--detail', action='store_true', help='only the survivors, 1 in 100, of each size by itself')
    add('--out', default=os.path.join(HERE, 'results'), metavar='DIR', help='for --csv and --json')
    add('--csv', action='store_true', help='write memory.csv, memory-runs.csv, -series.csv, -facts.json')
    add('--json', action='store_true', help='write memory.json')
    add('--plot', metavar='FILE', help='write a picture of the program fall, SVG')
    add(
        '--update-readme',
        action='store_true',
        help='write the table of memory.csv into README.md; without --csv nothing is run',
    )
    add('--list', action='store_true', help='only list the programs')
    options = parser.parse_args(arguments)
    if options.quick and options.full:
        parser.error('--quick and --full exclude each other')
    options.size = QUICK if options.quick else FULL if options.full else ORDINARY
    if options.quick:
        options.scale *= QUICK_SCALE
    if options.rounds is None:
        options.rounds = 1 if options.quick or options.detail else 3
    if options.rounds < 1 or not 0 < options.scale <= 1000:
        parser.error('--rounds must be at least 1, and --scale between 0 and 1000')
    return options


def detail_programs(options):
    """The survivors of each size by itself; with --quick of every eighth."""
    return [
        Measured(
            f'survivors-class-{number}',
            'mem-survivors',
            'permille=10',
            f'class={number}',
            'mib=128',
            'wait=100' if options.quick else 'wait=3000',
            'later=0',
        )
        for number in range(0, SIZES, 8 if options.quick else 1)
    ]


def run_detail(options, context, allocators):
    programs = detail_programs(options)
    bench = Rounds(context, programs, allocators, 1, 'none', measure, None)
    bench.run_all()
    print('resident / pages that hold a live byte, 3 s after 99 of 100 blocks were freed, by size')
    print(report.aligned(memreport.detail_lines(programs, bench.runs)))
    return 1 if ours_failed(bench.runs) else 0


def ours_failed(runs):
    return any(run['reason'] for run in runs if not report.is_peer(run['allocator']))


def scaled_down(context, programs):
    """The programs that would not fit into the memory at the wanted scale."""
    return [
        f'{program.name} at {program.scale(context):.3g}'
        for program in programs
        if isinstance(program, Measured) and program.scale(context) < context.scale
    ]


def describe(options, context, programs, allocators):
    described = {
        **facts.machine(),
        'allocators': '; '.join(f'{name} = {text}' for name, text in facts.allocators(allocators).items()),
        'settings': facts.settings(allocators),
        'size': options.size,
        'rounds': str(options.rounds),
        'scale': f'{options.scale:g}',
        'seed': str(options.seed),
    }
    smaller = scaled_down(context, programs)
    if smaller:
        described['scaled_down'] = ', '.join(smaller)
        print('too little memory, so with smaller scales: ' + described['scaled_down'], file=sys.stderr)
    return described


def write_files(options, cells, runs, described):
    base = os.path.join(options.out, 'memory')
    series = memreport.series_of(runs)
    files = {}
    if options.csv:
        files[base + '.csv'] = memreport.csv_text(cells)
        files[base + '-runs.csv'] = memreport.runs_csv_text(runs)
        files[base + '-facts.json'] = json.dumps(described, indent=1) + '\n'
        if series:
            files[base + '-series.csv'] = memreport.series_csv_text(series)
    if options.json:
        files[base + '.json'] = memreport.json_text(cells, described)
    if options.plot and series:
        files[options.plot] = memplot.picture(series, described, memreport.held_of(runs))
    for path, text in files.items():
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
        print(f'wrote {path}', file=sys.stderr)
    if options.plot and not series:
        print('no picture: the program fall has not run', file=sys.stderr)


def update_readme(out):
    """Writes the table of the latest results into the README."""
    with open(os.path.join(out, 'memory.csv'), encoding='utf-8') as file:
        cells = memreport.read_csv(file.read())
    with open(os.path.join(out, 'memory-facts.json'), encoding='utf-8') as file:
        described = json.load(file)
    path = os.path.join(HERE, 'README.md')
    with open(path, encoding='utf-8') as file:
        text = file.read()
    section = memreport.markdown_report(cells, described)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(report.replace_section(text, section, memreport.MARKS))


def compare(options, context, allocators):
    programs = prepare(select(PROGRAMS, options.programs), context)
    if not programs:
        print('memory.py: no program left to run', file=sys.stderr)
        return 2
    described = describe(options, context, programs, allocators)
    bench = Rounds(context, programs, allocators, options.rounds, options.control, measure, memrows.score)
    try:
        bench.run_all()
    except KeyboardInterrupt:
        print('interrupted: the figures are those of the runs so far', file=sys.stderr)
        described['interrupted'] = 'yes'
    cells = memrows.cells(bench.runs)
    if not cells:
        return 1
    print(memreport.text_report(cells))
    write_files(options, cells, bench.runs, described)
    if options.update_readme and options.csv:
        update_readme(options.out)
    return 1 if ours_failed(bench.runs) else 0


def main(arguments=None):
    options = parse_options(arguments)
    if options.list:
        print('\n'.join(program.name for program in PROGRAMS))
        return 0
    if options.update_readme and not options.csv:
        update_readme(options.out)
        return 0
    build = find_build(HERE, options.build)
    if not build:
        print('memory.py: no build folder with bench/bench-spawn; give one with --build', file=sys.stderr)
        return 2
    build_dir = os.path.join(build, 'bench')
    ebb = options.ebb or os.path.join(build, 'src', 'entry', 'libebb-malloc.so')
    allocators, missing = peers.find(options.allocators.split(','), ebb)
    for text in missing:
        print(f'missing: {text}', file=sys.stderr)
    if not allocators:
        return 2
    scratch_dir = tempfile.mkdtemp(prefix='ebb-bench-')
    context = MemoryContext(
        build_dir,
        Spawner(os.path.join(build_dir, 'bench-spawn')),
        scratch_dir,
        options.scale,
        options.timeout,
        options.seed,
        size=options.size,
        available_kib=available_kib(),
    )
    try:
        context.plain_anon = count_plain_mappings(context, peers.Allocator(peers.GLIBC))
        return (run_detail if options.detail else compare)(options, context, allocators)
    except Failure as failure:
        print(f'memory.py: bench-mem-mappings: {failure}', file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(scratch_dir, ignore_errors=True)


if __name__ == '__main__':
    sys.exit(main())
