# SPDX-License-Identifier: MIT
"""From the runs to medians, ratios and tables: text for the terminal, CSV and JSON for the record,
Markdown for the README."""
import csv
import io
import json

from . import arithmetic
from .peers import CONTROL, EBB

# key: (title, unit, floor). Two values below the floor count as equal: such a difference is of no use to
# anybody.
METRICS = {
    'time_s': ('time', 's', 0.001),
    'cpu_s': ('CPU time', 's', 0.001),
    'net_peak_kib': ('peak memory', 'KiB', 1024.0),
    'maps': ('mappings', 'count', 1.0),
    'minflt': ('page faults', 'count', 1.0),
}

# The control is chosen by time: about memory it says nothing.
CONTROL_METRICS = ('time_s', 'cpu_s')

FIELDS = [
    'time_s',
    'cpu_s',
    'net_peak_kib',
    'peak_kib',
    'base_kib',
    'full_kib',
    'end_kib',
    'maps',
    'maps_base',
    'minflt',
    'qps',
    'p95_ms',
]
COLUMNS = ['program', 'group', 'allocator', 'control_of', 'runs', 'failures', 'reason', *FIELDS]

MARK_BEGIN = '<!-- results: begin, written by run.py --update-readme -->'
MARK_END = '<!-- results: end -->'


def is_peer(name):
    """Every allocator but ours and the control is a peer; a second build of ours is called ebb-
    something."""
    return name not in (EBB, CONTROL) and not name.startswith(EBB + '-')


def finish_sample(sample):
    """Adds to a sample what is computed from it."""
    return {**sample, 'net_peak_kib': sample['peak_kib'] - sample['base_kib']}


def medians(runs):
    """Rows as in the CSV, from runs: dictionaries with program, group, allocator, control_of, reason
    (None when the run is good) and the fields. One failed run makes the row a failed one: it has no
    figures."""
    grouped = {}
    for run in runs:
        grouped.setdefault((run['program'], run['allocator']), []).append(run)
    rows = []
    for (program, allocator), group in grouped.items():
        reasons = [run['reason'] for run in group if run['reason']]
        row = {
            'program': program,
            'group': group[0]['group'],
            'allocator': allocator,
            'control_of': group[0].get('control_of') or '',
            'runs': len(group),
            'failures': len(reasons),
            'reason': reasons[0] if reasons else '',
        }
        for field in FIELDS:
            values = [run[field] for run in group if run.get(field) is not None]
            row[field] = arithmetic.median(values) if values and not reasons else None
        rows.append(row)
    return rows


def names(rows, key):
    """The values of a column, each once, in the order of appearance; the control last."""
    seen = list(dict.fromkeys(row[key] for row in rows))
    return [name for name in seen if name != CONTROL] + [name for name in seen if name == CONTROL]


def ratio_table(rows, metric):
    """{program: {allocator: value over the best peer's}}."""
    floor = METRICS[metric][2]
    table = {}
    for program in names(rows, 'program'):
        values = {
            row['allocator']: row[metric]
            for row in rows
            if row['program'] == program and (row['allocator'] != CONTROL or metric in CONTROL_METRICS)
        }
        table[program] = arithmetic.ratios(values, [name for name in values if is_peer(name)], floor)
    return table


def failure(rows, program, allocator):
    """The failed row of a program under an allocator, or None."""
    for row in rows:
        if row['program'] == program and row['allocator'] == allocator and int(row['failures']):
            return row
    return None


def cell(rows, table, program, allocator):
    """What a table shows: the ratio, "failed", or "-" where nothing was run or no peer has a value."""
    if failure(rows, program, allocator):
        return 'failed'
    value = table[program].get(allocator)
    return '-' if value is None else f'{value:.2f}'


def summary_cells(rows, table, allocator):
    """(geometric mean, worst, failures) as texts."""
    held = arithmetic.summary(table, allocator)
    failed = sum(1 for row in rows if row['allocator'] == allocator and int(row['failures']))
    geomean = '-' if held['geomean'] is None else f'{held["geomean"]:.2f}'
    worst = '-' if held['worst'] is None else f'{held["worst"]:.2f} {held["worst_program"]}'
    return geomean, worst, str(failed)


def aligned(lines):
    """Rows of texts as columns: the first to the left, the others to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return '\n'.join(
        '  '.join(
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    )


def text_report(rows):
    """All tables for the terminal."""
    allocators, programs = names(rows, 'allocator'), names(rows, 'program')
    parts = []
    summary = [['geometric mean, worst', *[f'{name}' for name in allocators]]]
    for metric, (title, _, _) in METRICS.items():
        table = ratio_table(rows, metric)
        lines = [[f'{title} / best peer', *allocators]]
        lines += [
            [program, *[cell(rows, table, program, name) for name in allocators]] for program in programs
        ]
        parts.append(aligned(lines))
        cells = [summary_cells(rows, table, name) for name in allocators]
        summary.append([title, *[geomean for geomean, _, _ in cells]])
        summary.append(['  worst', *[worst for _, worst, _ in cells]])
        failed = ['failed programs', *[count for _, _, count in cells]]
    parts.append(aligned(summary + [failed]))
    notes = [
        f'failed: {row["program"]} under {row["allocator"]}, {row["failures"]} of {row["runs"]} runs: '
        f'{row["reason"]}'
        for row in rows
        if int(row['failures'])
    ]
    notes += [
        f'{row["program"]} under {row["allocator"]}: {row["qps"]:.0f} queries/s, 95 % within '
        f'{row["p95_ms"]:.0f} ms, {row["end_kib"] / 1024:.0f} MiB resident 15 s after the load'
        for row in rows
        if row['qps'] is not None
    ]
    controls = [f'{row["program"]} {row["control_of"]}' for row in rows if row['control_of']]
    if controls:
        notes.append('control is a second entry of: ' + ', '.join(controls))
    return '\n\n'.join(parts + (['\n'.join(notes)] if notes else [])) + '\n'


def markdown_report(rows, facts):
    """The section of the README: time per program, then the summary of all metrics, then the facts."""
    allocators, programs = names(rows, 'allocator'), names(rows, 'program')
    table = ratio_table(rows, 'time_s')

    def line(cells):
        return '| ' + ' | '.join(cells) + ' |\n'

    out = 'Time divided by that of the best peer of each program (1.00 is the best peer, less is better).\n\n'
    out += line(['program', *allocators]) + line(['---'] + ['---:'] * len(allocators))
    for program in programs:
        out += line([program, *[cell(rows, table, program, name) for name in allocators]])
    out += '\nGeometric means over the programs, and the worst program, of each figure divided by that of '
    out += 'the best peer.\n\n'
    out += line(['figure', *allocators]) + line(['---'] + ['---:'] * len(allocators))
    failed = []
    for metric, (title, _, _) in METRICS.items():
        cells = [summary_cells(rows, ratio_table(rows, metric), name) for name in allocators]
        out += line([title, *[f'{geomean} (worst {worst})' for geomean, worst, _ in cells]])
        failed = [count for _, _, count in cells]
    out += line(['failed programs', *failed])
    for row in rows:
        if int(row['failures']):
            out += f'\n{row["program"]} failed under {row["allocator"]}: {escape(row["reason"])}\n'
    out += '\n' + '; '.join(f'{name}: {escape(value)}' for name, value in facts.items()) + '.\n'
    return out


def escape(text):
    """A text that Markdown shows as it is, in one line."""
    return ' '.join(text.replace('|', '\\|').replace('<', '&lt;').split())


def csv_text(rows):
    """The medians as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator='\n')
    writer.writeheader()
    for row in rows:
        writer.writerow({name: '' if row[name] is None else plain(row[name]) for name in COLUMNS})
    return out.getvalue()


def plain(value):
    """A number with six significant decimals at most, without trailing zeros."""
    return f'{value:.6f}'.rstrip('0').rstrip('.') if isinstance(value, float) else value


def read_csv(text):
    """The rows that csv_text wrote."""
    rows = []
    for row in csv.DictReader(io.StringIO(text)):
        for name in ('runs', 'failures'):
            row[name] = int(row[name])
        for name in FIELDS:
            row[name] = float(row[name]) if row[name] else None
        rows.append(row)
    return rows


def runs_csv_text(runs):
    """Every single run as CSV, in the order in which they took place."""
    out = io.StringIO()
    columns = ['round', 'program', 'allocator', 'control_of', 'reason', *FIELDS, 'check']
    writer = csv.DictWriter(out, columns, lineterminator='\n', extrasaction='ignore')
    writer.writeheader()
    for run in runs:
        writer.writerow({name: '' if run.get(name) is None else plain(run[name]) for name in columns})
    return out.getvalue()


def json_text(rows, facts):
    """Facts, medians and ratios as one JSON object."""
    return (
        json.dumps(
            {
                'facts': facts,
                'medians': rows,
                'ratios': {metric: ratio_table(rows, metric) for metric in METRICS},
                'summary': {
                    metric: {
                        name: arithmetic.summary(ratio_table(rows, metric), name)
                        for name in names(rows, 'allocator')
                    }
                    for metric in METRICS
                },
            },
            indent=1,
        )
        + '\n'
    )


def replace_section(text, section, marks=(MARK_BEGIN, MARK_END)):
    """The README with the part between the two marks replaced."""
    begin, end = text.find(marks[0]), text.find(marks[1])
    if begin < 0 or end < begin:
        raise ValueError(f'the README lacks the marks "{marks[0]}" and "{marks[1]}"')
    return text[: begin + len(marks[0])] + '\n\n' + section + '\n' + text[end:]
