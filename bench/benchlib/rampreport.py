# SPDX-License-Identifier: MIT
"""From the readings of the ramp and the ratchet to medians, tables, verdicts, CSV and Markdown.

A reading is a dictionary with program, round, allocator, control_of, reason, point and the fields; a
failed run is one reading without a point. Tables show MB, which are millions of bytes, as the targets do.
"""
import csv
import io
import re

from . import arithmetic, peers, report

FIELDS = [
    't_s',
    'qps',
    'p95_ms',
    'cpu_us',
    'rss_kib',
    'anon_kib',
    'step_peak_kib',
    'pool_free_pages',
    'pool_data_pages',
    'vmas',
    'threads',
    'time_s',
    'cpu_s',
    'load_tps',
]
KEYS = ['program', 'round', 'allocator', 'control_of', 'reason', 'point']
SERIES = ['program', 'round', 'allocator', 'point', 't_s', 'rss_kib', 'anon_kib', 'threads']

# What the allocator is meant to reach on this load. The third dump is the base of the ratchet: by then the
# pool is full and every kind of statement has run.
TARGET_MB, TARGET_QPS, TARGET_GROWTH, BASE_DUMP = 245.0, 1.0, 1.05, 3

MARKS = ('<!-- ramp: begin, written by ramp.py --update-readme -->', '<!-- ramp: end -->')

# Titles of the tables that the README leaves to the CSV.
P95, ANON, THREADS = '95th percentile, ms', 'RSS anonymous, MB', 'threads'
FREE, PAGES = 'buffer pool, free buffers', 'buffer pool, database pages'
ONLY_TERMINAL = (P95, ANON, THREADS, FREE, PAGES)

SCRIPTS = {'ps': 'point select', 'rw': 'read-write'}


class Table:
    """The medians of one program over its good rounds: allocator by point by field."""

    def __init__(self, readings, program):
        mine = [held for held in readings if held['program'] == program]
        self.failures = {held['allocator']: held['reason'] for held in mine if held['reason']}
        good = [held for held in mine if held['allocator'] not in self.failures]
        self.allocators = ordered(held['allocator'] for held in good)
        self.points = longest([held['point'] for held in good], self.allocators, good)
        self.controls = {held['control_of'] for held in good if held['control_of']}
        grouped = {}
        for held in good:
            grouped.setdefault((held['allocator'], held['point']), []).append(held)
        self.values = {}
        for key, group in grouped.items():
            for field in FIELDS:
                values = [held[field] for held in group if held.get(field) is not None]
                if values:
                    self.values[(*key, field)] = arithmetic.median(values)

    def value(self, allocator, point, field):
        """The median, or None."""
        return self.values.get((allocator, point, field))

    def row(self, point, field):
        """{allocator: value} of those that have one."""
        found = {name: self.value(name, point, field) for name in self.allocators}
        return {name: value for name, value in found.items() if value is not None}

    def loaded(self):
        """The points at the ends of the steps."""
        return [point for point in self.points if point.split('-')[0] in SCRIPTS]

    def last(self, prefix):
        """The last point of that kind, or None."""
        held = [point for point in self.points if point.startswith(prefix)]
        return held[-1] if held else None


def ordered(allocators):
    """Each once, in the same order in every table: the peers, each with its tuned entry beside it, then
    ours, then the control."""
    known = [peers.GLIBC, *peers.PEERS]
    seen = list(dict.fromkeys(allocators))

    def place(name):
        if name == peers.CONTROL:
            return len(known) + 2, 0
        if not report.is_peer(name):
            return len(known) + 1, seen.index(name)
        base = peers.base(name)
        return (known.index(base) if base in known else len(known)), seen.index(name)

    return sorted(seen, key=place)


def longest(points, allocators, good):
    """All points in the order of the allocator that has most of them: glibc has one more than others."""
    orders = [list(dict.fromkeys(h['point'] for h in good if h['allocator'] == name)) for name in allocators]
    order = max(orders, key=len, default=[])
    return order + [point for point in dict.fromkeys(points) if point not in order]


def megabytes(kib):
    return kib * 1024 / 1e6


def point_title(point):
    """What the point is called where people read it."""
    kind, _, number = point.partition('-')
    if kind in SCRIPTS:
        return f'{SCRIPTS[kind]}, {number} threads'
    return {
        'start': 'at the start',
        'peak': 'peak',
        'trim': 'after malloc_trim by hand',
        'idle': f'{number} s idle',
        'dump': f'dump {number}',
    }[kind]


# ---------------------------------------------------------------------------------------------- verdicts


def qps_ratio(table, point):
    """{allocator: queries per second over those of the fastest peer} at a point."""
    row = table.row(point, 'qps')
    best = max((value for name, value in row.items() if report.is_peer(name)), default=None)
    return {name: value / best for name, value in row.items()} if best else {}


def qps_means(table):
    """{allocator: geometric mean over the steps of its ratio to the fastest peer of each}."""
    ratios = {}
    for point in table.loaded():
        for name, ratio in qps_ratio(table, point).items():
            ratios.setdefault(name, []).append(ratio)
    return {name: arithmetic.geomean(values) for name, values in ratios.items()}


def dumps(table, allocator):
    """[(number of the dump, resident KiB after it)]."""
    found = []
    for point in table.points:
        held = re.fullmatch(r'dump-(\d+)', point)
        value = table.value(allocator, point, 'rss_kib')
        if held and value is not None:
            found.append((int(held[1]), value))
    return sorted(found)


def growth(values):
    """(last / third, MB for each further dump by least squares) of dumps(); Nones when there are too few
    to tell."""
    later = [(number, megabytes(kib)) for number, kib in values if number >= BASE_DUMP]
    if len(later) < 2 or later[0][0] != BASE_DUMP:
        return None, None
    mean_x = sum(x for x, _ in later) / len(later)
    mean_y = sum(y for _, y in later) / len(later)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in later) / sum((x - mean_x) ** 2 for x, _ in later)
    return later[-1][1] / later[0][1], slope


def verdicts(ramp, ratchet, allocator):
    """[(load, what, figure, target, met)] of one allocator; only what was measured."""
    found = []
    idle, loaded = ramp.last('idle-'), ramp.loaded()
    if idle and ramp.value(allocator, idle, 'rss_kib') is not None:
        value = megabytes(ramp.value(allocator, idle, 'rss_kib'))
        what = f'RSS {idle.split("-")[1]} s after the load'
        found.append(('ramp', what, f'{value:.0f} MB', f'at most {TARGET_MB:.0f} MB', value <= TARGET_MB))
    if loaded and allocator in qps_ratio(ramp, loaded[-1]):
        value = qps_ratio(ramp, loaded[-1])[allocator]
        what = f'queries/s, {point_title(loaded[-1])}, over the best peer\'s'
        found.append(('ramp', what, f'{value:.3f}', f'at least {TARGET_QPS:.2f}', value >= TARGET_QPS))
    ratio, _ = growth(dumps(ratchet, allocator))
    if ratio is not None:
        what = f'RSS after the last dump over dump {BASE_DUMP}'
        met = ratio <= TARGET_GROWTH
        found.append(('ratchet', what, f'{ratio:.3f}', f'at most {TARGET_GROWTH:.2f}', met))
    return found


# ---------------------------------------------------------------------------------------------- tables


def cells(table, point, field, shape, scale=None):
    """The texts of one line for all allocators; a dash where there is no value."""
    row = table.row(point, field)
    shown = {name: shape(scale(value) if scale else value) for name, value in row.items()}
    return [shown.get(name, '-') for name in table.allocators]


def whole(value):
    return f'{value:.0f}'


def ratio_text(value):
    return f'{value:.2f}'


def ramp_tables(table):
    """[[title and allocators], [point, cells...]...] for each thing that is shown."""
    measured = [point for point in table.points if table.row(point, 'rss_kib')]
    counted = [point for point in measured if table.row(point, 'vmas')]
    paged = [point for point in measured if table.row(point, 'pool_data_pages')]

    def lines(title, points, *rest):
        return [[title, *table.allocators], *[[point_title(p), *cells(table, p, *rest)] for p in points]]

    found = [
        lines('RSS, MB', measured, 'rss_kib', whole, megabytes),
        lines('queries/s', table.loaded(), 'qps', whole),
        lines(P95, table.loaded(), 'p95_ms', ratio_text),
        lines('CPU time of the server for a query, us', table.loaded(), 'cpu_us', whole),
        lines(ANON, counted, 'anon_kib', whole, megabytes),
        lines('mappings (VMAs)', counted, 'vmas', whole),
        lines(THREADS, counted, 'threads', whole),
        lines(FREE, paged, 'pool_free_pages', whole),
        lines(PAGES, paged, 'pool_data_pages', whole),
    ]
    means = qps_means(table)
    found[1].append(
        ['over the best peer of each step, geometric mean']
        + [ratio_text(means[name]) if name in means else '-' for name in table.allocators]
    )
    return [shown for shown in found if any(cell != '-' for line in shown[1:] for cell in line[1:])]


def ratchet_tables(table):
    points = [point for point in table.points if table.row(point, 'rss_kib')]
    lines = [['RSS, MB', *table.allocators]]
    lines += [[point_title(point), *cells(table, point, 'rss_kib', whole, megabytes)] for point in points]
    grown = [growth(dumps(table, name)) for name in table.allocators]
    lines.append([f'last dump / dump {BASE_DUMP}', *['-' if r is None else f'{r:.3f}' for r, _ in grown]])
    lines.append(['MB for each further dump', *['-' if s is None else f'{s:+.2f}' for _, s in grown]])
    speeds = [['median over the dumps', *table.allocators]]
    dumped = [point for point in points if point.startswith('dump-')]
    for title, field, shape in (
        ('seconds for a dump', 'time_s', ratio_text),
        ('transactions/s of the load', 'load_tps', whole),
        ('mappings (VMAs)', 'vmas', whole),
    ):
        values = [
            [v for v in (table.value(name, point, field) for point in dumped) if v is not None]
            for name in table.allocators
        ]
        speeds.append([title, *[shape(arithmetic.median(held)) if held else '-' for held in values]])
    return [lines, speeds]


def notes(tables, facts):
    """The lines under the tables: verdicts on ebb, failures, and who the control is. The targets hold
    under the full conditions, which the facts of a load confirm by judged=yes."""
    ramp, ratchet = tables
    found = []
    for load, what, figure, target, met in verdicts(ramp, ratchet, peers.EBB):
        judged = facts.get(load, {}).get('judged') == 'yes'
        verdict = ('met' if met else 'missed') if judged else 'not judged under these conditions'
        found.append(f'ebb: {what}: {figure}; target: {target}: {verdict}')
    for title, table in (('ramp', ramp), ('ratchet', ratchet)):
        found += [f'failed: {title} under {name}: {reason}' for name, reason in table.failures.items()]
        found += [f'{title}: the control is a second entry of {name}' for name in sorted(table.controls)]
    return found


def all_tables(tables):
    """The tables of both programs, of those that have figures."""
    ramp, ratchet = tables
    return (ramp_tables(ramp) if ramp.allocators else []) + (
        ratchet_tables(ratchet) if ratchet.allocators else []
    )


def read_tables(readings):
    return Table(readings, 'ramp'), Table(readings, 'ratchet')


def text_report(readings, facts):
    """All of it for the terminal; facts are {load: {name: text}}."""
    tables = read_tables(readings)
    parts = [report.aligned(lines) for lines in all_tables(tables)]
    said = notes(tables, facts)
    return '\n\n'.join(parts + (['\n'.join(said)] if said else [])) + '\n'


def thinned(lines):
    """Of the dumps the first, the third and every fifth: the README is no place for twenty lines."""
    kept = []
    for line in lines:
        held = re.fullmatch(r'dump (\d+)', line[0])
        if not held or int(held[1]) in (1, BASE_DUMP) or int(held[1]) % 5 == 0:
            kept.append(line)
    return kept


def markdown_report(readings, facts, pictures=()):
    """The section of the README. `pictures` are (title, path from the README)."""
    tables = read_tables(readings)
    out = ''
    for title, path in pictures:
        out += f'![{title}]({path})\n\n'
    for lines in all_tables(tables):
        if lines[0][0] in ONLY_TERMINAL:
            continue
        first, *rest = thinned(lines)
        out += '| ' + ' | '.join(first) + ' |\n' + '| --- |' + ' ---: |' * (len(first) - 1) + '\n'
        out += ''.join('| ' + ' | '.join(line) + ' |\n' for line in rest) + '\n'
    out += ''.join(f'- {report.escape(line)}\n' for line in notes(tables, facts))
    texts = {
        load: '; '.join(f'{name}: {report.escape(value)}' for name, value in held.items())
        for load, held in facts.items()
    }
    for text in dict.fromkeys(texts.values()):
        out += f'\nOf the {" and the ".join(load for load in texts if texts[load] == text)}: {text}.\n'
    return out


# ---------------------------------------------------------------------------------------------- CSV


def csv_text(rows, columns):
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator='\n', extrasaction='ignore')
    writer.writeheader()
    for row in rows:
        writer.writerow({n: '' if row.get(n) is None else report.plain(row[n]) for n in columns})
    return out.getvalue()


def readings_csv(readings, program):
    return csv_text([held for held in readings if held['program'] == program], KEYS + FIELDS)


def series_csv(series):
    return csv_text(series, SERIES)


def read_csv(text):
    """The rows that csv_text wrote, of readings and of series."""
    rows = []
    for row in csv.DictReader(io.StringIO(text)):
        row['round'] = int(row['round'])
        for name in FIELDS:
            if name in row:
                row[name] = float(row[name]) if row[name] else None
        row['reason'] = row.get('reason') or None
        rows.append(row)
    return rows
