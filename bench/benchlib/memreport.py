# SPDX-License-Identifier: MIT
"""The tables of the memory benchmark, and its files."""
import csv
import io
import json

from . import arithmetic, memrows
from .peers import EBB
from .report import aligned, escape, names, plain

MARKS = ('<!-- memory: begin, written by memory.py --update-readme -->', '<!-- memory: end -->')
COLUMNS = [
    'row',
    'program',
    'unit',
    'kind',
    'at_most',
    'allocator',
    'control_of',
    'runs',
    'failures',
    'reason',
    'value',
    'figure',
]
NUMBERS = ('at_most', 'value', 'figure')
RUN_COLUMNS = ['round', 'program', 'allocator', 'control_of', 'reason', 'row', 'value']
SERIES_COLUMNS = ['allocator', 'ms', 'rss_kib', 'live_kib']
YES, NO = '\u2713', '\u2717'


def shown(cell):
    """The figure as a text, with a mark behind ebb's."""
    if cell is None:
        return '-'
    if cell['failures']:
        text = 'failed'
    elif cell['figure'] is None:
        text = '-'
    else:
        text = f'{cell["figure"]:.{memrows.DIGITS[cell["row"]]}f}'
    reached = memrows.reached(cell) if cell['allocator'] == EBB else None
    return text if reached is None else f'{text} {YES if reached else NO}'


def target(cell):
    """The target of a row as a text."""
    if cell['at_most'] is None:
        return ''
    unit = {'ratio': '', 'mappings': '', 's': ''}.get(cell['unit'], ' ' + cell['unit'])
    if cell['kind'] in (memrows.OVER_GLIBC, memrows.OVER_BEST):
        unit = ''
    return f'\u2264 {cell["at_most"]:g}{unit}'


def table(cells):
    """Lines of texts: the head, then one line for each row."""
    allocators = names(cells, 'allocator')
    lines = [['', 'unit', *allocators, 'target of ebb']]
    for row in names(cells, 'row'):
        of_row = {cell['allocator']: cell for cell in cells if cell['row'] == row}
        first = next(iter(of_row.values()))
        relative = first['kind'] in (memrows.OVER_GLIBC, memrows.OVER_BEST)
        lines.append(
            [
                row,
                'ratio' if relative else first['unit'],
                *[shown(of_row.get(name)) for name in allocators],
                target(first),
            ]
        )
    return lines


def notes(cells):
    """What failed, what ebb reached, and whom the control repeats."""
    ours = [cell for cell in cells if cell['allocator'] == EBB and memrows.reached(cell) is not None]
    found = []
    if ours:
        met = sum(1 for cell in ours if memrows.reached(cell))
        found.append(f'ebb is within {met} of {len(ours)} targets')
    failed = {
        (cell['program'], cell['allocator']): f'{cell["failures"]} of {cell["runs"]} runs: {cell["reason"]}'
        for cell in cells
        if cell['failures']
    }
    found += [f'failed: {program} under {name}, {text}' for (program, name), text in failed.items()]
    controls = dict.fromkeys(
        f'{cell["program"]} {cell["control_of"]}' for cell in cells if cell['control_of']
    )
    if controls:
        found.append('control is a second entry of: ' + ', '.join(controls))
    return found


def text_report(cells):
    return aligned(table(cells)) + '\n\n' + '\n'.join(notes(cells)) + '\n'


def markdown_report(cells, facts):
    """The section of the README."""
    head, *lines = table(cells)
    out = '| ' + ' | '.join(head) + ' |\n| --- | --- ' + '| ---: ' * (len(head) - 2) + '|\n'
    out += ''.join('| ' + ' | '.join(line) + ' |\n' for line in lines)
    out += ''.join(f'\n{escape(note)}.\n' for note in notes(cells))
    return out + '\n' + '; '.join(f'{name}: {escape(value)}' for name, value in facts.items()) + '.\n'


def write_csv(columns, rows):
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator='\n', extrasaction='ignore')
    writer.writeheader()
    for row in rows:
        writer.writerow({name: '' if row.get(name) is None else plain(row[name]) for name in columns})
    return out.getvalue()


def csv_text(cells):
    return write_csv(COLUMNS, cells)


def read_csv(text):
    """The cells that csv_text wrote."""
    cells = []
    for cell in csv.DictReader(io.StringIO(text)):
        cell.update({name: int(cell[name]) for name in ('runs', 'failures')})
        cell.update({name: float(cell[name]) if cell[name] else None for name in NUMBERS})
        cells.append(cell)
    return cells


def runs_csv_text(runs):
    """Every single run, one line for each of its rows."""
    lines = []
    for run in runs:
        rows = [row for row in memrows.ROWS if row.program == run['program']]
        if run['reason']:
            lines.append(run)
        else:
            lines += [{**run, 'row': row.name, 'value': row.value(run)} for row in rows]
    return write_csv(RUN_COLUMNS, lines)


def json_text(cells, facts):
    return (
        json.dumps(
            {'facts': facts, 'cells': [{**cell, 'reached': memrows.reached(cell)} for cell in cells]}, indent=1
        )
        + '\n'
    )


def typical(runs, program='fall'):
    """{allocator: run} of a program with a series: the run whose end is nearest to the median one."""
    found = {}
    good = [run for run in runs if run['program'] == program and not run['reason'] and run['series']]
    for name in names(good, 'allocator'):
        group = [run for run in good if run['allocator'] == name]
        middle = arithmetic.median([run['last_kib'] for run in group])
        found[name] = min(group, key=lambda run: abs(run['last_kib'] - middle))
    return found


def series_of(runs):
    """{allocator: [[ms, rss_kib, live_kib], ...]} of the typical runs."""
    return {name: run['series'] for name, run in typical(runs).items()}


def held_of(runs):
    """The pages that ebb's survivors of the fall hold, in KiB; or another's when ebb did not run."""
    found = typical(runs)
    run = found.get(EBB) or next(iter(found.values()), None)
    return run['held_kib'] if run else None


def series_csv_text(series):
    return write_csv(
        SERIES_COLUMNS,
        [
            dict(zip(SERIES_COLUMNS, [name, *sample]))
            for name, samples in series.items()
            for sample in samples
        ],
    )


def detail_lines(programs, runs):
    """One line for each size: the pages its survivors hold, and what is resident for each of them."""
    allocators = names(runs, 'allocator')
    lines = [['bytes', 'MiB held (ebb)', *allocators]]
    for program in programs:
        of_class = {run['allocator']: run for run in runs if run['program'] == program.name}
        held = next((run for run in of_class.values() if not run['reason']), None)
        held = of_class[EBB] if EBB in of_class and not of_class[EBB]['reason'] else held
        lines.append(
            [
                str(held['class_bytes']) if held else program.name,
                f'{held["held_kib"] / 1024:.2f}' if held else '-',
                *[
                    'failed' if run['reason'] else f'{run["after_kib"] / run["held_kib"]:.2f}'
                    for run in (of_class[name] for name in allocators)
                ],
            ]
        )
    return lines
