# SPDX-License-Identifier: MIT
"""The rows of the memory benchmark: what is read from a run, what it is compared with, and what ebb has to
reach."""
import collections

from . import arithmetic
from .peers import CONTROL, GLIBC
from .report import is_peer

# How the figure comes from the medians: as they are, divided by glibc's, less glibc's, divided by the best
# peer's.
PLAIN, OVER_GLIBC, ABOVE_GLIBC, OVER_BEST = 'plain', 'over glibc', 'above glibc', 'over best peer'

# `value` is a function of a run; `at_most` the target, or None where there is none; `digits` those after the
# point.
Row = collections.namedtuple('Row', 'name program unit kind at_most digits value')


def mappings_made(run):
    """Those at the peak that were neither there before main in a process without a preloaded library, nor
    the program's."""
    return max(run['anon_max'] - run['plain_anon'], 0)


def over(kib, held):
    return lambda run: run[kib] / run[held]


def mapping_row(program, at_most=8):
    return Row(program, program, 'mappings', PLAIN, at_most, 0, mappings_made)


def board_row(program, at_most):
    return Row(
        f'{program} after 3 s / live',
        program,
        'ratio',
        PLAIN,
        at_most,
        2,
        lambda run: run['after_kib'] * 1024 / run['live_bytes'],
    )


def survivor_rows(program):
    return [
        Row(f'{program} after {seconds} s / pages held', program, 'ratio', PLAIN, 1.10, 2, over(key, 'held_kib'))
        for seconds, key in ((3, 'after_kib'), (15, 'later_kib'))
    ]


def storm_row(name, key, at_most=None):
    return Row(f'storm {name}', 'storm', 'us', PLAIN, at_most, 2, lambda run: run[key] / 1000)


ROWS = [
    *[
        mapping_row('mappings-' + name)
        for name in ('16', '256', '4k', '20k', '129k', '132k', '1m', 'realloc', 'threads', 'dlopen', 'day')
    ],
    # Each generation of fork may add one, which the program has taken off already.
    mapping_row('mappings-fork'),
    board_row('checkerboard-132k', 1.05),
    board_row('checkerboard-20k', 1.20),
    Row('all-freed after 2 s', 'all-freed', 'MB', PLAIN, 8, 1, lambda run: run['after_kib'] * 1024 / 1e6),
    *survivor_rows('survivors-1'),
    *survivor_rows('survivors-5'),
    Row(
        'threads-1000-idle, each',
        'threads-1000-idle',
        'KiB',
        PLAIN,
        14,
        1,
        lambda run: run['after_kib'] / run['threads'],
    ),
    Row('doc4 peak / glibc', 'doc4', 'KiB', OVER_GLIBC, 1.20, 2, lambda run: run['net_peak_kib']),
    Row('sleep / glibc', 'sleep', 'KiB', OVER_GLIBC, 1.20, 2, lambda run: run['anon_kib']),
    Row('base above glibc', 'base', 'KiB', ABOVE_GLIBC, 300, 0, lambda run: run['anon_kib']),
    storm_row('malloc p50', 'malloc_p50_ns'),
    storm_row('malloc p99', 'malloc_p99_ns'),
    storm_row('malloc p99.9', 'malloc_p999_ns', 100),
    storm_row('malloc max', 'malloc_max_ns'),
    storm_row('free p50', 'free_p50_ns'),
    storm_row('free p99', 'free_p99_ns'),
    storm_row('free p99.9', 'free_p999_ns', 100),
    storm_row('free max', 'free_max_ns'),
    storm_row('first touch max', 'touch_max_ns'),
    storm_row('mmap max', 'map_max_ns'),
    storm_row('nothing p99.9', 'nothing_p999_ns'),
    storm_row('nothing max', 'nothing_max_ns'),
    Row('churn-large time / best peer', 'churn-large', 's', OVER_BEST, 1.3, 2, lambda run: run['time_s']),
    Row('fall after 1 s / pages held', 'fall', 'ratio', PLAIN, None, 2, over('second_kib', 'held_kib')),
    Row('fall after 10 s / pages held', 'fall', 'ratio', PLAIN, None, 2, over('last_kib', 'held_kib')),
]

# By what the best peer of a program is chosen, which the control repeats: its first row with a target, or its first.
SCORED = {row.program: row for row in reversed(ROWS)}
SCORED.update({row.program: row for row in reversed(ROWS) if row.at_most is not None})


def score(run):
    return SCORED[run['program']].value(run)


def figures(row, medians):
    """{allocator: figure} from {allocator: median}; without what a figure is relative to there is none."""
    held = {name: value for name, value in medians.items() if value is not None}
    if row.kind == PLAIN:
        return held
    if row.kind == OVER_BEST:
        return arithmetic.ratios(held, [name for name in held if is_peer(name)])
    base = held.get(GLIBC)
    if base is None:
        return {}
    if row.kind == ABOVE_GLIBC:
        return {name: value - base for name, value in held.items()}
    return {name: value / base for name, value in held.items()} if base > 0 else {}


def cells(runs):
    """One dictionary for each row and allocator, from the runs. A failed run leaves its cells without
    figures."""
    found = []
    for row in ROWS:
        of_row = [run for run in runs if run['program'] == row.program]
        names = list(dict.fromkeys(run['allocator'] for run in of_row))
        names.sort(key=lambda name: name == CONTROL)
        medians, line = {}, []
        for name in names:
            group = [run for run in of_row if run['allocator'] == name]
            reasons = [run['reason'] for run in group if run['reason']]
            medians[name] = None if reasons else arithmetic.median([row.value(run) for run in group])
            line.append(
                {
                    'row': row.name,
                    'program': row.program,
                    'unit': row.unit,
                    'kind': row.kind,
                    'at_most': row.at_most,
                    'allocator': name,
                    'control_of': group[0].get('control_of') or '',
                    'runs': len(group),
                    'failures': len(reasons),
                    'reason': reasons[0] if reasons else '',
                    'value': medians[name],
                }
            )
        by_name = figures(row, medians)
        found += [{**cell, 'figure': by_name.get(cell['allocator'])} for cell in line]
    return found


def reached(cell):
    """Whether a figure is within the target of its row; None where there is no target or no figure. What
    failed has not reached it."""
    if cell['at_most'] is None:
        return None
    if cell['failures']:
        return False
    if cell['figure'] is None:
        return None
    # A figure is judged as it is shown, so that no table says "1.05, not within 1.05".
    return round(cell['figure'], DIGITS[cell['row']]) <= cell['at_most']


DIGITS = {row.name: row.digits for row in ROWS}
