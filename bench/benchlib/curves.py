# SPDX-License-Identifier: MIT
"""Pictures of curves over time, one per allocator, each named at its end rather than in a legend."""
import dataclasses
import math

from . import peers, rampreport
from .svg import colour, rect, text

WIDTH, HEIGHT = 1000, 540
LEFT, RIGHT, TOP, BOTTOM = 64, 240, 104, 74
LABEL_APART = 17
SHADE, GRID, FAINT = '#f4f6f7', '#e2e5e7', '#555'


@dataclasses.dataclass
class Curve:
    """Points in the units of the axes, and the text at the end."""

    name: str
    label: str
    points: list
    dots: bool = False
    extra: tuple = None  # one more point, drawn as a ring: (x, y)


@dataclasses.dataclass
class Frame:
    """Everything of a picture but its curves. `bands` are (begin, end, lines of text above), `ticks` are
    (x, text below)."""

    title: str
    subtitle: str
    span: tuple
    bands: list
    ticks: list
    axis: str
    target: tuple  # (y, text), or None
    foot: str


def round_step(top, most=6):
    """The smallest of 1, 2, 5 times a power of ten that reaches `top` in at most `most` steps."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if top / (step * factor) <= most:
                return step * factor
        step *= 10


def spread(wanted, apart, low, high):
    """Places for labels: as near to the wanted ones as can be (by least squares), in their order, at least
    `apart` from each other where there is room, and between low and high."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    apart = min(apart, (high - low) / max(1, len(wanted) - 1))
    # With k * apart taken off, the k-th label may lie anywhere not below the one before it. Neighbours that
    # would pass each other share their mean.
    groups = []
    for k, i in enumerate(order):
        total, count = wanted[i] - k * apart, 1
        while groups and groups[-1][0] / groups[-1][1] > total / count:
            total, count = total + groups[-1][0], count + groups[-1][1]
            groups.pop()
        groups.append((total, count))
    shared = [total / count for total, count in groups for _ in range(count)]
    result = [0.0] * len(wanted)
    for k, i in enumerate(order):
        result[i] = min(max(shared[k], low), high - (len(wanted) - 1) * apart) + k * apart
    return result


class Plot:
    """Positions on the page."""

    def __init__(self, frame, curves):
        self.frame = frame
        values = [y for curve in curves for _, y in curve.points]
        if frame.target:
            values.append(frame.target[0])
        self.step = round_step(max(values))
        # A little more than the highest value, so that nothing touches the headings.
        self.top = self.step * math.ceil(max(values) * 1.06 / self.step)

    def x(self, value):
        low, high = self.frame.span
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        return HEIGHT - BOTTOM - value / self.top * (HEIGHT - BOTTOM - TOP)


def line(x1, y1, x2, y2, stroke, width=1.0, dash=''):
    dashed = f' stroke-dasharray="{dash}"' if dash else ''
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}" '
        f'stroke-width="{width}"{dashed}/>\n'
    )


def background(plot):
    """Titles, bands, scales and the target."""
    frame, bottom = plot.frame, HEIGHT - BOTTOM
    out = text(16, 28, frame.title, 17, weight='bold') + text(16, 48, frame.subtitle, 12, fill=FAINT)
    for i, (begin, end, lines) in enumerate(frame.bands):
        if i % 2 == 0:
            out += rect(plot.x(begin), TOP, plot.x(end) - plot.x(begin), bottom - TOP, SHADE)
        for k, label in enumerate(lines):
            middle = (plot.x(begin) + plot.x(end)) / 2
            out += text(middle, TOP - 22 + 14 * k, label, 11, 'middle', FAINT)
    for value in range(0, plot.top + 1, plot.step):
        y = plot.y(value)
        out += line(LEFT, y, WIDTH - RIGHT, y, FAINT if value == 0 else GRID)
        out += text(LEFT - 8, y + 4, str(value), 11, 'end', FAINT)
    out += text(LEFT - 8, TOP - 8, 'MB', 11, 'end', FAINT)
    for value, label in frame.ticks:
        out += line(plot.x(value), bottom, plot.x(value), bottom + 4, FAINT)
        out += text(plot.x(value), bottom + 17, label, 11, 'middle', FAINT)
    out += text((LEFT + WIDTH - RIGHT) / 2, bottom + 35, frame.axis, 11, 'middle', FAINT)
    if frame.target:
        y = plot.y(frame.target[0])
        out += line(LEFT, y, WIDTH - RIGHT, y, '#222', 1, '5 4')
        out += text(LEFT + 6, y - 5, frame.target[1], 11, fill='#222')
    return out + text(16, HEIGHT - 14, frame.foot, 10, fill=FAINT)


def shade_of(curve, index):
    """A tuned entry has the colour of its allocator."""
    return colour(peers.base(curve.name), index)


def drawn(plot, curve, index):
    """One curve. Tuned entries are dashed, the control is thin, ours is the boldest."""
    stroke = shade_of(curve, index)
    width = 3 if curve.name == peers.EBB else 1.2 if curve.name == peers.CONTROL else 1.8
    dash = ' stroke-dasharray="6 3"' if curve.name in peers.EAGER else ''
    path = ' '.join(f'{plot.x(x):.1f},{plot.y(y):.1f}' for x, y in curve.points)
    out = (
        f'<polyline points="{path}" fill="none" stroke="{stroke}" stroke-width="{width}" '
        f'stroke-linejoin="round"{dash}/>\n'
    )
    dots = curve.points if curve.dots else curve.points[-1:]
    for x, y in dots:
        out += f'<circle cx="{plot.x(x):.1f}" cy="{plot.y(y):.1f}" r="{width + 0.8:.1f}" fill="{stroke}"/>\n'
    return out


def rings(plot, curves):
    """The extra points, above all curves."""
    out = ''
    for i, curve in enumerate(curves):
        if curve.extra:
            x, y = plot.x(curve.extra[0]), plot.y(curve.extra[1])
            stroke = dark(shade_of(curve, i))
            out += (
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="#fff" fill-opacity="0.6" '
                f'stroke="{stroke}" stroke-width="1.8"/>\n'
            )
    return out


def labels(plot, curves):
    """The names at the ends of the curves, apart from each other, tied to their ends by thin lines."""
    ends = [plot.y(curve.points[-1][1]) for curve in curves]
    places = spread(ends, LABEL_APART, TOP + 4, HEIGHT - BOTTOM - 4)
    out = ''
    for i, (curve, end, place) in enumerate(zip(curves, ends, places)):
        fill = shade_of(curve, i)
        x = plot.x(curve.points[-1][0])
        out += line(x + 5, end, WIDTH - RIGHT + 22, place, fill, 0.8)
        weight = 'bold' if curve.name == peers.EBB else 'normal'
        out += text(WIDTH - RIGHT + 26, place + 4, curve.label, 12, fill=dark(fill), weight=weight)
    return out


def dark(shade):
    """The same colour, dark enough for a text on white."""
    parts = [int(shade[i : i + 2], 16) for i in (1, 3, 5)]
    return '#' + ''.join(f'{int(part * 0.75):02x}' for part in parts)


def picture(frame, curves):
    """The whole SVG as text. Ours is drawn last, above the others."""
    plot = Plot(frame, curves)
    out = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif">\n'
        + rect(0, 0, WIDTH, HEIGHT, '#fff')
        + background(plot)
    )
    for i, curve in sorted(enumerate(curves), key=lambda held: held[1].name == peers.EBB):
        out += drawn(plot, curve, i)
    return out + rings(plot, curves) + labels(plot, curves) + '</svg>\n'


# ---------------------------------------------------------------------------------------------- the two


def first_round(series, program, allocator):
    """The samples of an allocator's first round, without its last step by hand."""
    mine = [s for s in series if s['program'] == program and s['allocator'] == allocator]
    number = min((s['round'] for s in mine), default=None)
    return [s for s in mine if s['round'] == number and s['point'] != 'trim']


def ramp_points(samples, bands):
    """[(x, MB)]: bands are [(name, points that belong to it)], and each is one unit wide.

    Every allocator takes its own time to start and end a step; within a band the time is scaled to it, so
    that the same step stands under the same heading for all.
    """
    found, begin_s = [], 0.0
    for i, (_, members) in enumerate(bands):
        held = [s for s in samples if s['point'] in members]
        if not held:
            continue
        end_s = held[-1]['t_s']
        for sample in held:
            part = (sample['t_s'] - begin_s) / (end_s - begin_s) if end_s > begin_s else 1.0
            found.append((i + max(0.0, part), rampreport.megabytes(sample['rss_kib'])))
        begin_s = end_s
    return found


def ramp_bands(points):
    """[(lines of the heading, points of it)] of the steps and of the idleness."""
    bands = []
    for point in points:
        kind, _, number = point.partition('-')
        if kind in rampreport.SCRIPTS:
            bands.append(((rampreport.SCRIPTS[kind], f'{number} threads'), {point}))
    idle = [point for point in points if point.startswith('idle-')]
    if idle:
        bands.append((('idle', f'{idle[-1].split("-")[1]} s'), set(idle)))
    return bands


def foot_text(facts):
    known = [f'{facts["cores"]} cores'] if 'cores' in facts else []
    known += [facts[key] for key in ('cpu', 'kernel', 'server', 'date') if key in facts]
    return ', '.join(known)


def ramp_picture(readings, series, facts):
    """Resident memory through the steps, or None when there is nothing to draw."""
    table = rampreport.Table(readings, 'ramp')
    bands = ramp_bands(table.points)
    curves = []
    for name in table.allocators:
        points = ramp_points(first_round(series, 'ramp', name), bands)
        if not points:
            continue
        label, extra = f'{name} {points[-1][1]:.0f} MB', None
        trimmed = table.value(name, 'trim', 'rss_kib')
        if trimmed is not None:
            extra = (points[-1][0], rampreport.megabytes(trimmed))
            label += f', {extra[1]:.0f} trimmed'
        curves.append(Curve(name, label, points, extra=extra))
    if not curves:
        return None
    frame = Frame(
        title='MariaDB: resident memory while the load grows, and after it',
        subtitle=f'Each step lasts {facts.get("step_s", "?")} s; buffer pool of 100 MiB. '
        'Ring: after malloc_trim(0), called by hand.',
        span=(0, len(bands)),
        bands=[(i, i + 1, heading) for i, (heading, _) in enumerate(bands)],
        ticks=[],
        axis='time, each step as wide as the others',
        target=(rampreport.TARGET_MB, f'target when idle: {rampreport.TARGET_MB:.0f} MB'),
        foot=foot_text(facts),
    )
    return picture(frame, curves)


def ratchet_picture(readings, facts):
    """Resident memory after each dump, or None when there is nothing to draw."""
    table = rampreport.Table(readings, 'ratchet')
    curves = []
    for name in table.allocators:
        values = rampreport.dumps(table, name)
        if not values:
            continue
        ratio, _ = rampreport.growth(values)
        points = [(number, rampreport.megabytes(kib)) for number, kib in values]
        grown = '' if ratio is None else f', {(ratio - 1) * 100:+.1f} %'
        curves.append(Curve(name, f'{name} {points[-1][1]:.0f} MB{grown}', points, dots=True))
    if not curves:
        return None
    last = max(curve.points[-1][0] for curve in curves)
    every = 1 if last <= 20 else round_step(last, 20)
    frame = Frame(
        title='MariaDB: resident memory after each dump of everything',
        subtitle='Sysbench read-write runs beside it at a limited rate. '
        f'The percentage is the growth from dump {rampreport.BASE_DUMP} to the last.',
        span=(0.5, last + 0.5),
        bands=[],
        ticks=[(number, str(number)) for number in range(every, last + 1, every)],
        axis='dump',
        target=None,
        foot=foot_text(facts),
    )
    return picture(frame, curves)
