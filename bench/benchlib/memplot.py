# SPDX-License-Identifier: MIT
"""A picture of a peak and its fall: resident memory over time under each allocator, and the bytes that
live."""
from . import svg
from .peers import CONTROL, EAGER, EBB, base

WIDTH, HEIGHT = 960, 520
LEFT, RIGHT, TOP, BOTTOM = 70, 210, 56, 64
STEPS = (1, 2, 5)
LABEL_APART = 15
MIB = 1024.0


def round_step(span, pieces):
    """A step of 1, 2 or 5 times a power of ten that cuts a span into at most so many pieces."""
    power = 1.0
    while power * 10 * pieces < span:
        power *= 10
    while power * pieces > span:
        power /= 10
    for factor in (*STEPS, 10):
        if power * factor * pieces >= span:
            return power * factor
    return power * 10


def spread(wanted, apart, lowest):
    """Positions in the order of the wanted ones, at least `apart` from each other and none above `lowest`:
    from the bottom of the picture upwards."""
    order = sorted(range(len(wanted)), key=lambda i: -wanted[i])
    placed = [0.0] * len(wanted)
    limit = lowest
    for i in order:
        placed[i] = min(wanted[i], limit)
        limit = placed[i] - apart
    return placed


class Frame:
    """From milliseconds and KiB to places in the picture."""

    def __init__(self, series):
        self.end_ms = max((samples[-1][0] for samples in series.values()), default=1) or 1
        top_mib = max((max(rss, live) for each in series.values() for _, rss, live in each), default=1) / MIB
        self.step_mib = round_step(max(top_mib, 1e-3) * 1.02, 6)
        self.top_mib = self.step_mib
        while self.top_mib < top_mib:
            self.top_mib += self.step_mib

    def x(self, ms):
        return LEFT + ms / self.end_ms * (WIDTH - LEFT - RIGHT)

    def y(self, kib):
        return HEIGHT - BOTTOM - kib / MIB / self.top_mib * (HEIGHT - TOP - BOTTOM)

    def axes(self):
        out = ''
        mib = 0.0
        while mib <= self.top_mib + self.step_mib / 2:
            y = self.y(mib * MIB)
            out += line(LEFT, y, WIDTH - RIGHT, y, '#888' if mib == 0 else '#e2e5e7')
            out += svg.text(LEFT - 8, y + 4, f'{mib:g} MiB', 11, 'end', '#555')
            mib += self.step_mib
        step_ms = round_step(self.end_ms, 8)
        ms = 0.0
        while ms <= self.end_ms:
            x = self.x(ms)
            out += line(x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 5, '#888')
            out += svg.text(x, HEIGHT - BOTTOM + 19, f'{ms / 1000:g} s', 11, 'middle', '#555')
            ms += step_ms
        return out

    def curve(self, points, stroke, width, dash=''):
        path = ' '.join(f'{self.x(ms):.1f},{self.y(kib):.1f}' for ms, kib in points)
        dashed = f' stroke-dasharray="{dash}"' if dash else ''
        return (
            f'<polyline points="{path}" fill="none" stroke="{stroke}" stroke-width="{width}" '
            f'stroke-linejoin="round"{dashed}/>\n'
        )

    def area(self, points, fill):
        path = ' '.join(f'{self.x(ms):.1f},{self.y(kib):.1f}' for ms, kib in points)
        first, last = self.x(points[0][0]), self.x(points[-1][0])
        floor = HEIGHT - BOTTOM
        return f'<polygon points="{first:.1f},{floor} {path} {last:.1f},{floor}" fill="{fill}"/>\n'


def line(x0, y0, x1, y1, stroke):
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{stroke}"/>\n'


def style(name, index):
    """(colour, width, dashes): eager settings have the colour of their allocator, dashed; ebb is thicker."""
    if name in EAGER:
        return svg.colour(base(name), index), 1.6, '6 4'
    return svg.colour(name, index), 3.2 if name == EBB else 1.8, ''


def fallen_from(samples):
    """The time of the first sample from which on as many bytes live as at the end."""
    last_live = samples[-1][2]
    return next(ms for ms, _, live in samples if live == last_live and ms >= peak_ms(samples))


def peak_ms(samples):
    return max(samples, key=lambda sample: sample[2])[0]


def picture(series, facts, held_kib=None):
    """The whole SVG as text. The bytes that live are the same under all allocators, but for the moment at
    which each sample was taken. `held_kib` are the pages on which what lives at the end lies."""
    series = {name: samples for name, samples in series.items() if name != CONTROL}
    frame = Frame(series)
    out = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">\n'
        + svg.rect(0, 0, WIDTH, HEIGHT, '#fff')
    )
    title = 'Resident memory above the start: a peak, and 95 % of the blocks freed'
    out += svg.text(LEFT, 26, title, 15, weight='bold')
    legend = 'grey: the bytes of the blocks that live'
    if held_kib:
        legend += '; dotted: the OS pages on which they lie, after the fall'
    out += svg.text(LEFT, 43, legend, 11, fill='#555')
    if series:
        live = next(iter(series.values()))
        out += frame.area([(ms, kib) for ms, _, kib in live], '#dfe3e6')
    out += frame.axes()
    ordered = sorted(series, key=lambda name: name == EBB)
    for index, name in enumerate(ordered):
        out += frame.curve([(ms, rss) for ms, rss, _ in series[name]], *style(name, index))
    if series and held_kib:
        live = next(iter(series.values()))
        out += frame.curve([(fallen_from(live), held_kib), (frame.end_ms, held_kib)], '#333', 1.4, '1.5 3')
    places = spread([frame.y(series[name][-1][1]) for name in ordered], LABEL_APART, HEIGHT - BOTTOM)
    for index, name in enumerate(ordered):
        last_kib = series[name][-1][1]
        x = WIDTH - RIGHT + 6
        out += line(x - 6, frame.y(last_kib), x + 12, places[index], style(name, index)[0])
        out += svg.text(
            x + 16,
            places[index] + 4,
            f'{name} {last_kib / MIB:.0f} MiB',
            12,
            fill=style(name, index)[0],
            weight='bold' if name == EBB else 'normal',
        )
    note = ', '.join(facts[key] for key in ('cpu', 'kernel', 'libc', 'date') if key in facts)
    return out + svg.text(LEFT, HEIGHT - 14, note, 10, fill='#555') + '</svg>\n'
