# SPDX-License-Identifier: MIT
"""RSS and live bytes over time in the terminal: one panel for each allocator, all on the same axes.

The line is RSS, the filled area below it is what the program holds (live bytes), so that what is empty between them is
memory that the allocator keeps. Braille dots where UTF-8 can be shown, else plain characters.
"""

from .scale import byte_axis, end_time, round_step, tick_text, ticks, top_value, value_at
from .style import bytes_text

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_COLORS = ("yellow", "cyan", "green", "red", "bold")


def line_cells(points, columns, rows, span, top, fine):
    """The cells that a curve touches: (column, row from above) -> braille bits, or 1 when not `fine`."""
    across, down = (2, 4) if fine else (1, 1)
    cells = {}
    before = None
    for x in range(columns * across):
        value = value_at(points, (x + 0.5) / (columns * across) * span)
        if value is None:
            before = None
            continue
        y = min(rows * down - 1, max(0, rows * down - 1 - int(value / top * rows * down)))
        low, high = (y, y) if before is None else (min(y, before), max(y, before))
        # A steep step is drawn as a vertical line from where the last column ended.
        for dot in range(low, high + 1):
            cell = (x // across, dot // down)
            cells[cell] = cells.get(cell, 0) | (_DOTS[dot % 4][x % 2] if fine else 1)
        before = y
    return cells


def filled(points, columns, rows, span, top):
    """The cells of which at least half lies below a curve."""
    cells = set()
    for column in range(columns):
        value = value_at(points, (column + 0.5) / columns * span)
        if value is not None:
            cells.update((column, rows - 1 - r) for r in range(int(value / top * rows + 0.5)))
    return cells


def phase_strip(phases, columns, span, style):
    """The names of the phases, each where it begins; a name that does not fit is cut or left out."""
    out = [" "] * columns
    bar = style.pick("╵", "|")
    for name, begin, end in phases:
        first, last = int(begin / span * columns + 0.5), int(end / span * columns + 0.5)
        if first >= columns or last - first < 2:
            continue
        out[first] = bar
        room = min(last, columns) - first - 1
        if room >= len(name):
            out[first + 1:first + 1 + len(name)] = name
    return "".join(out).rstrip()


def panel(run, columns, rows, span, axis, style, color):
    """One allocator's panel as lines, without the time axis."""
    unit_name, unit, step, top = axis
    rss = line_cells(run.column("rss_bytes"), columns, rows, span, top, style.utf8)
    live = filled(run.column("live_bytes"), columns, rows, span, top)
    labels = {rows - round(value / top * rows): f"{tick_text(value / unit)} {unit_name}" for value in ticks(top, step)}
    vertical, tick, corner = style.pick("│┤┼", "|++")
    lines = []
    for row in range(rows):
        text = ""
        for column in range(columns):
            bits = rss.get((column, row))
            if bits:
                text += style.paint(chr(0x2800 + bits) if style.utf8 else "*", color)
            elif (column, row) in live:
                text += style.paint(style.pick("░", ":"), "dim")
            else:
                text += " "
        lines.append(f"{labels.get(row, ''):>9} {tick if row in labels else vertical}{text}".rstrip())
    lines.append(f"{labels.get(rows, ''):>9} {corner}" + style.pick("─", "-") * columns)
    strip = phase_strip(run.phases, columns, span, style)
    if strip:
        lines.append(" " * 11 + style.paint(strip, "dim"))
    return lines


def time_axis(columns, span):
    """The line with the seconds under the last panel."""
    step = round_step(span, 8)
    out = [" "] * (columns + 4)
    for value in ticks(span, step):
        text = tick_text(value) + (" s" if value == 0 else "")
        at = int(value / span * columns)
        if at + len(text) <= len(out):
            out[at:at + len(text)] = text
    return " " * 11 + "".join(out).rstrip()


def render(runs, style, rows=8):
    """All panels as a list of lines."""
    columns = min(style.width, 100) - 12
    span = end_time(runs)
    axis = byte_axis(top_value(runs))
    has_live = any(run.column("live_bytes") for run in runs)
    lines = []
    for index, run in enumerate(runs):
        color = _COLORS[index % len(_COLORS)]
        rss = [v for _, v in run.column("rss_bytes")] or [0]
        head = f"RSS {bytes_text(run.summary.get('rss_peak_bytes') or max(rss))} at the peak, {bytes_text(rss[-1])} at the end"
        lines.append("")
        lines.append(f"  {style.paint(run.allocator.label, 'bold', color)}: {head}")
        lines += panel(run, columns, rows, span, axis, style, color)
    lines.append(time_axis(columns, span))
    key = style.pick("⠒⠒ RSS", "** RSS")
    if has_live:
        key += style.pick("   ░░ live: bytes that the program holds", "   :: live: bytes that the program holds")
    lines.append(" " * 11 + style.paint(key, "dim"))
    return lines
