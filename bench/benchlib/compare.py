# SPDX-License-Identifier: MIT
"""Two builds of one library against each other: ratios of medians with bootstrap intervals."""
from . import arithmetic
from .report import METRICS, aligned

PAIRED = ('time_s', 'cpu_s', 'net_peak_kib')


def verdict(low, high):
    """What an interval of B over A allows to say."""
    if high < 1.0:
        return 'B less'
    if low > 1.0:
        return 'B more'
    return 'no difference seen'


def pair_rows(runs, programs, metric):
    """[program, median a, median b, ratio, low, high] of every program that never failed on either side."""
    floor = METRICS[metric][2]
    rows = []
    for program in programs:
        sides = {
            name: [
                max(run[metric], floor)
                for run in runs
                if run['program'] == program and run['allocator'] == name and not run['reason']
            ]
            for name in ('a', 'b')
        }
        failed = any(run['reason'] for run in runs if run['program'] == program)
        if not failed and sides['a'] and sides['b']:
            rows.append(
                [
                    program,
                    arithmetic.median(sides['a']),
                    arithmetic.median(sides['b']),
                    *arithmetic.bootstrap_ratio(sides['a'], sides['b']),
                ]
            )
    return rows


def pair_report(runs, programs):
    """The tables of the pair mode, and below them what failed."""
    parts = []
    for metric in PAIRED:
        title, unit, _ = METRICS[metric]
        lines = [[f'{title}, {unit}', 'A', 'B', 'B/A', '95 % interval', '']]
        rows = pair_rows(runs, programs, metric)
        for program, a_value, b_value, ratio, low, high in rows:
            lines.append(
                [
                    program,
                    f'{a_value:.4g}' if unit == 's' else f'{a_value:.0f}',
                    f'{b_value:.4g}' if unit == 's' else f'{b_value:.0f}',
                    f'{ratio:.3f}',
                    f'{low:.3f} .. {high:.3f}',
                    verdict(low, high),
                ]
            )
        if rows:
            lines.append(
                ['geometric mean', '', '', f'{arithmetic.geomean(row[3] for row in rows):.3f}', '', '']
            )
        parts.append(aligned(lines))
    failed = sorted(
        {
            f'failed: {run["program"]} under {run["allocator"].upper()}: {run["reason"]}'
            for run in runs
            if run['reason']
        }
    )
    return '\n\n'.join(parts + (['\n'.join(failed)] if failed else []))
