# SPDX-License-Identifier: MIT
"""A picture of the ratios: for each program a group of bars, one per allocator; time on the left, memory
on the right."""
from xml.sax.saxutils import escape

from . import report

# Colours that also differ for colour-blind eyes; ours stands out, the control is grey.
COLOURS = {
    'ebb': '#d1495b',
    'glibc': '#7f8c8d',
    'jemalloc': '#0072b2',
    'tcmalloc': '#e69f00',
    'mimalloc': '#009e73',
    'control': '#c9ced1',
}
SPARE = ['#56b4e9', '#cc79a7', '#b8a900', '#5d4e8c']
BAR, GAP, LABEL, PANEL, TOP, MARGIN = 8, 10, 130, 380, 78, 16
CUT = 3.0


def colour(name, index):
    return COLOURS.get(name, SPARE[index % len(SPARE)])


def text(x, y, value, size=11, anchor='start', fill='#222', weight='normal'):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}" '
        f'font-weight="{weight}">{escape(value)}</text>\n'
    )


def rect(x, y, width, height, fill):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"/>\n'


def axis(x, bottom, unit):
    """The scale of one panel from 0 to CUT, with a stronger line at 1, the best peer."""
    out = ''
    for tenth in range(0, int(CUT * 2) + 1):
        at = x + tenth / 2 * unit
        stroke = '#555' if tenth == 2 else '#e2e5e7'
        out += f'<line x1="{at:.1f}" y1="{TOP - 6}" x2="{at:.1f}" y2="{bottom:.1f}" stroke="{stroke}"/>\n'
        out += text(at, TOP - 10, f'{tenth / 2:g}', 10, 'middle', '#555')
    return out


def panel(rows, metric, x, allocators, programs):
    """The bars of one metric. A bar longer than the panel is cut and carries its value."""
    title = report.METRICS[metric][0]
    unit = (PANEL - 50) / CUT
    group = len(allocators) * BAR + GAP
    table = report.ratio_table(rows, metric)
    out = text(x, TOP - 26, f'{title} / best peer of each program', 12, weight='bold')
    out += axis(x, TOP + len(programs) * group, unit)
    for i, program in enumerate(programs):
        for j, name in enumerate(allocators):
            y = TOP + i * group + GAP / 2 + j * BAR
            value = table[program].get(name)
            if report.failure(rows, program, name):
                out += text(x + 3, y + BAR - 1, 'failed', 8, fill='#b00020')
            elif value is not None:
                width = min(value, CUT) * unit
                out += rect(x, y, width, BAR - 1, colour(name, j))
                label = f'{value:.2f}' if value < 10 else f'{value:.0f}'
                out += text(
                    x + width + 3, y + BAR - 1, label + (' cut' if value > CUT else ''), 7.5, fill='#555'
                )
    return out


def picture(rows, facts):
    """The whole SVG as text."""
    allocators, programs = report.names(rows, 'allocator'), report.names(rows, 'program')
    group = len(allocators) * BAR + GAP
    width = LABEL + 2 * PANEL + 2 * MARGIN
    height = TOP + len(programs) * group + 40
    out = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif">\n' + rect(0, 0, width, height, '#fff')
    )
    x = MARGIN
    for i, name in enumerate(allocators):
        out += rect(x, 14, 12, 12, colour(name, i)) + text(x + 17, 24, name, 12)
        x += 34 + 8 * len(name)
    for i, program in enumerate(programs):
        y = TOP + i * group
        if i % 2 == 0:
            out += rect(0, y, width, group, '#f6f7f8')
        out += text(MARGIN, y + group / 2 + 4, program, 12)
    out += panel(rows, 'time_s', LABEL + MARGIN, allocators, programs)
    out += panel(rows, 'net_peak_kib', LABEL + MARGIN + PANEL, allocators, programs)
    note = ', '.join(facts[key] for key in ('cpu', 'kernel', 'libc', 'date') if key in facts)
    if 'cores' in facts:
        note = f'{facts["cores"]} cores, ' + note
    return out + text(MARGIN, height - 14, note, 10, fill='#555') + '</svg>\n'
