#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""MariaDB's resident memory under each allocator: through a ramp of load, and from dump to dump. See
README.md."""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

from benchlib import arithmetic, curves, facts, mariadbd, peers, ramp, rampreport, report
from benchlib.process import Failure
from benchlib.progress import Progress
from benchlib.selection import find_build

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
SERIES_FILE, FACTS_FILE = 'ramp-series.csv', 'ramp-facts.json'
QUICK = {'rows': 2000, 'step_s': 2.0, 'idle_s': (1, 2), 'dumps': 2, 'warm_s': 1.0}
FULL_STEP_S = 120.0


class Runner:
    """The runs of one call of this script."""

    def __init__(self, programs, allocators, rounds, control):
        self.programs = programs
        self.allocators = allocators
        self.rounds = rounds
        self.control = control
        self.chosen = {}  # program: the peer that is entered a second time
        self.readings = []
        self.series = []
        self.progress = Progress(rounds * len(programs) * (len(allocators) + bool(control)))

    def run_all(self):
        """Round by round, in an order that is rotated from round to round and from load to load."""
        try:
            for number in range(self.rounds):
                for index, program in enumerate(self.programs):
                    self.run_program(number, program, number + index)
        finally:
            self.progress.end()

    def run_program(self, number, program, turn):
        entries = [(allocator.name, allocator) for allocator in self.allocators]
        chosen = self.chosen.get(program.name)
        if chosen:
            entries.append((peers.CONTROL, chosen))
        for name, allocator in arithmetic.rotated(entries, turn):
            self.run_once(number, program, name, allocator)
        if self.control and not chosen:
            chosen = self.chosen[program.name] = self.best_peer(program)
            if chosen:
                self.run_once(number, program, peers.CONTROL, chosen)

    def best_peer(self, program):
        """The fastest peer so far: by the last step of the ramp, or by the last dump."""
        table = rampreport.Table(self.readings, program.name)
        steps = table.loaded()
        if steps:
            slowness = {name: -qps for name, qps in table.row(steps[-1], 'qps').items()}
        else:
            slowness = table.row(table.last('dump-'), 'time_s')
        name, _ = arithmetic.best_peer(slowness, [held for held in slowness if report.is_peer(held)])
        return next((allocator for allocator in self.allocators if allocator.name == name), None)

    def run_once(self, number, program, name, allocator):
        self.progress.step(f'round {number + 1} of {self.rounds}, {program.name}, {name}')
        key = {
            'program': program.name,
            'round': number + 1,
            'allocator': name,
            'control_of': allocator.name if name == peers.CONTROL else '',
            'reason': None,
        }
        try:
            sample = program.run(allocator)
        except Failure as failure:
            print(f'{program.name} under {name} failed: {failure}', file=sys.stderr)
            self.readings.append({**key, 'reason': str(failure), 'point': ''})
            return
        self.readings += [{**point, **key} for point in sample['points']]
        self.series += [{**held, **key} for held in sample['series']]


def describe(options, conditions, allocators):
    """The facts that belong to the figures."""
    versions = [
        subprocess.run([mariadbd.find(name), '--version'], capture_output=True, text=True, check=False).stdout
        for name in ('mariadbd', 'sysbench')
    ]
    judged = (
        conditions.rows == ramp.Conditions.rows
        and conditions.step_s >= ramp.Conditions.step_s
        and conditions.idle_s == ramp.Conditions.idle_s
        and not conditions.options
    )
    return {
        **facts.machine(),
        'server': f'MariaDB {mariadbd.version_text(versions[0])}',
        'sysbench': versions[1].strip().removeprefix('sysbench '),
        'allocators': '; '.join(f'{name} = {text}' for name, text in facts.allocators(allocators).items()),
        'settings': facts.settings(allocators) or 'none',
        'options': ' '.join((*ramp.OPTIONS, *conditions.options)),
        'rows': str(conditions.rows),
        'step_s': f'{conditions.step_s:g}',
        'dumps': str(conditions.dumps),
        'dump_load': f'{conditions.dump_threads} threads, {conditions.rate} transactions/s',
        'rounds': str(options.rounds),
        'seed': str(conditions.seed),
        'judged': 'yes' if judged else 'no',
    }


def write(path, text):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    print(f'wrote {path}', file=sys.stderr)


def write_results(out, readings, series, described):
    """Writes what was measured. A load that was not run keeps the results, series and facts of its last
    time."""
    _, old_series, old_facts = read_results(out)
    for program in described:
        write(os.path.join(out, f'{program}.csv'), rampreport.readings_csv(readings, program))
    series = series + [held for held in old_series if held['program'] not in described]
    write(os.path.join(out, SERIES_FILE), rampreport.series_csv(series))
    write(os.path.join(out, FACTS_FILE), json.dumps({**old_facts, **described}, indent=1) + '\n')


def read_results(out):
    """(readings, series, {load: facts}) as write_results left them; empty where there are none."""

    def text_of(name):
        try:
            with open(os.path.join(out, name), encoding='utf-8') as file:
                return file.read()
        except FileNotFoundError:
            return ''

    described = json.loads(text_of(FACTS_FILE) or '{}')
    readings = [held for name in described for held in rampreport.read_csv(text_of(f'{name}.csv'))]
    return readings, rampreport.read_csv(text_of(SERIES_FILE)), described


def write_pictures(folder, readings, series, described):
    for name, text in (
        ('mariadb-ramp.svg', curves.ramp_picture(readings, series, described.get('ramp', {}))),
        ('mariadb-ratchet.svg', curves.ratchet_picture(readings, described.get('ratchet', {}))),
    ):
        if text:
            write(os.path.join(folder, name), text)


def update_readme(out):
    """Writes the tables of the latest results, and the pictures where they have been drawn, into the
    README."""
    readings, _, described = read_results(out)
    path = os.path.join(HERE, 'README.md')
    with open(path, encoding='utf-8') as file:
        text = file.read()
    pictures = [
        (title, f'../docs/pictures/{name}.svg')
        for title, name in (
            ('Resident memory through the ramp', 'mariadb-ramp'),
            ('Resident memory after each dump', 'mariadb-ratchet'),
        )
        if os.path.exists(os.path.join(ROOT, 'docs', 'pictures', f'{name}.svg'))
    ]
    section = rampreport.markdown_report(readings, described, pictures)
    write(path, report.replace_section(text, section, rampreport.MARKS))


def publish(options, readings, series, described):
    """The report on the terminal, and the files that were asked for. Returns the exit status."""
    print(rampreport.text_report(readings, described))
    if options.csv and not options.from_csv:
        write_results(options.out, readings, series, described)
    if options.plot:
        write_pictures(options.plot, readings, series, described)
    if options.update_readme:
        update_readme(options.out)
    return 1 if any(held['reason'] and held['allocator'] == peers.EBB for held in readings) else 0


def parse_options(arguments):
    parser = argparse.ArgumentParser(prog='ramp.py', description=__doc__)
    add = parser.add_argument
    add(
        '--allocators',
        default='glibc,jemalloc,tcmalloc,mimalloc,ebb',
        help='names or NAME=PATH, separated by commas; %(default)s',
    )
    add('--ebb', metavar='PATH', help='libebb-malloc.so; by default the one of the build folder')
    add('--build', metavar='DIR', help='the build folder; by default build* beside bench')
    add('--programs', default='ramp,ratchet', help='ramp, ratchet or both; %(default)s')
    add('--rounds', type=int, default=1, help='the figures are medians over them; %(default)s')
    add('--step-s', type=float, metavar='N', help='seconds of one step of the ramp; 20')
    add('--full', action='store_true', help='steps of 2 minutes')
    add('--quick', action='store_true', help='a tiny table, steps of 2 s, 2 dumps: to see that it runs')
    add('--dumps', type=int, metavar='N', help='20')
    add('--rate', type=int, metavar='N', help='transactions a second beside the dumps; 100')
    add('--eager', action='store_true', help='also the peers, set to give memory back eagerly')
    add('--control', action='store_true', help='enter the fastest peer a second time')
    add(
        '--server-option',
        action='append',
        default=[],
        metavar='OPTION',
        help='one more for mariadbd, for instance --server-option=--thread-cache-size=0',
    )
    add('--scratch', metavar='DIR', help='for the data directories, about 1 GB; by default the temporary one')
    add('--out', default=os.path.join(HERE, 'results'), metavar='DIR', help='for --csv and --from-csv')
    add('--csv', action='store_true', help='write ramp.csv, ratchet.csv, ramp-series.csv, ramp-facts.json')
    add(
        '--plot',
        nargs='?',
        const=os.path.join(ROOT, 'docs', 'pictures'),
        metavar='DIR',
        help='write mariadb-ramp.svg and mariadb-ratchet.svg; by default into docs/pictures',
    )
    add('--update-readme', action='store_true', help='write the tables into README.md; implies --csv')
    add('--from-csv', action='store_true', help='run nothing: report on the files of the last time')
    options = parser.parse_args(arguments)
    names = [program.name for program in ramp.PROGRAMS]
    if any(name not in names for name in options.programs.split(',')):
        parser.error(f'--programs: known are {", ".join(names)}')
    if options.rounds < 1 or (options.step_s is not None and options.step_s < 1):
        parser.error('--rounds and --step-s must be at least 1')
    if any(value is not None and value < 1 for value in (options.dumps, options.rate)):
        parser.error('--dumps and --rate must be at least 1')
    if options.quick and options.update_readme:
        parser.error('the figures of --quick are no results: not together with --update-readme')
    options.csv = options.csv or options.update_readme
    return options


def conditions_of(options):
    held = dict(QUICK) if options.quick else {}
    if options.full:
        held['step_s'] = FULL_STEP_S
    asked = {'step_s': options.step_s, 'dumps': options.dumps, 'rate': options.rate}
    held.update({name: value for name, value in asked.items() if value is not None})
    return ramp.Conditions(**held, options=tuple(options.server_option))


def find_ebb(options):
    build = find_build(HERE, options.build)
    return options.ebb or (os.path.join(build, 'src', 'entry', 'libebb-malloc.so') if build else None)


def usable_programs(options, conditions):
    """The loads that were asked for and can run; what is left out is said on standard error."""
    found = []
    for program in ramp.PROGRAMS:
        if program.name not in options.programs.split(','):
            continue
        reason = mariadbd.missing(program.needed)
        if reason:
            print(f'left out: {program.name}: {reason}', file=sys.stderr)
        else:
            found.append(program(conditions))
    return found


def usable_allocators(options):
    """Those of which the dynamic linker says that they will serve the server."""
    names = options.allocators.split(',')
    if options.eager:
        names += [name for name in peers.eager(names) if name not in names]
    allocators, missing = peers.find(names, find_ebb(options))
    for text in missing:
        print(f'missing: {text}', file=sys.stderr)
    found = []
    for allocator in allocators:
        expected = allocator.library or peers.libc_path()
        command = [mariadbd.find('mariadbd'), '--no-defaults', '--version']
        owner = peers.malloc_owner(command, allocator.environment())
        if owner and os.path.realpath(owner) == os.path.realpath(expected):
            found.append(allocator)
        else:
            print(f'left out: {allocator.name}: malloc of mariadbd comes from {owner}', file=sys.stderr)
    return found


def measure(options):
    """(readings, series, facts) of all runs, or None when nothing can run."""
    conditions = conditions_of(options)
    programs = usable_programs(options, conditions)
    allocators = usable_allocators(options) if programs else []
    if not allocators:
        print('ramp.py: nothing to run', file=sys.stderr)
        return None
    described = describe(options, conditions, allocators)
    scratch_dir = tempfile.mkdtemp(prefix='ebb-ramp-', dir=options.scratch)
    runner = Runner(programs, allocators, options.rounds, options.control)
    try:
        golden = ramp.Golden(conditions, scratch_dir)
        print(f'making a table of {conditions.rows} rows', file=sys.stderr)
        golden.make()
        for program in programs:
            program.golden = golden
        runner.run_all()
    except KeyboardInterrupt:
        print('interrupted: the figures are those of the runs so far', file=sys.stderr)
        described['interrupted'] = 'yes'
    finally:
        shutil.rmtree(scratch_dir, ignore_errors=True)
    ran = [program.name for program in programs if any(r['program'] == program.name for r in runner.readings)]
    return (runner.readings, runner.series, {name: described for name in ran}) if ran else None


def leave(number, _):
    """A signal that asks us to end ends what we started too, on the way out."""
    sys.exit(128 + number)


def main(arguments=None):
    options = parse_options(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    try:
        measured = read_results(options.out) if options.from_csv else measure(options)
    except (Failure, OSError) as error:
        print(f'ramp.py: {error}', file=sys.stderr)
        return 2
    if not measured or not measured[0]:
        print('ramp.py: there are no figures', file=sys.stderr)
        return 2
    return publish(options, *measured)


if __name__ == '__main__':
    sys.exit(main())
