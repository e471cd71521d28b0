# SPDX-License-Identifier: MIT
"""The picture: RSS of all allocators in one plot, with live bytes and phases, as SVG."""

from xml.sax.saxutils import escape

from .scale import byte_axis, end_time, round_step, tick_text, ticks, top_value
from .style import bytes_text

WIDTH, HEIGHT = 960, 560
LEFT, RIGHT, TOP = 84, 190, 92
STRIP = 20  # height of one allocator's line of phases
BELOW = 84  # under the plot: seconds, and the two lines of the foot
COLORS = ("#c8601a", "#0a6ebd", "#2f8f4e", "#8a4fb0", "#b0305c", "#6b6b2a")
PHASE_SHADES = (0.35, 0.75, 0.55, 0.20)


class _Plot:
    """Positions on the page, and the pieces of the picture so far."""

    def __init__(self, runs):
        self.span = end_time(runs)
        self.unit_name, self.unit, self.step, self.top = byte_axis(top_value(runs), 6)
        self.bottom = HEIGHT - BELOW - STRIP * sum(1 for run in runs if run.phases)
        self.parts = []

    def x(self, seconds):
        return LEFT + seconds / self.span * (WIDTH - LEFT - RIGHT)

    def y(self, count):
        return self.bottom - count / self.top * (self.bottom - TOP)

    def text(self, x, y, text, size=13, fill="#333", anchor="start", weight="normal"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" text-anchor="{anchor}"'
                          f' font-weight="{weight}">{escape(text)}</text>')

    def line(self, x0, y0, x1, y1, stroke="#ddd", width=1):
        self.parts.append(f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{stroke}"'
                          f' stroke-width="{width}"/>')

    def curve(self, points, stroke, width, dash=None):
        path = " ".join(f"{self.x(t):.1f},{self.y(v):.1f}" for t, v in points)
        extra = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{stroke}" stroke-width="{width}"'
                          f' stroke-linejoin="round"{extra}/>')


def _axes(plot):
    for value in ticks(plot.top, plot.step):
        y = plot.y(value)
        plot.line(LEFT, y, WIDTH - RIGHT, y, "#888" if value == 0 else "#e2e2e2")
        plot.text(LEFT - 8, y + 4, f"{tick_text(value / plot.unit)} {plot.unit_name}", 12, "#555", "end")
    for value in ticks(plot.span, round_step(plot.span, 10)):
        plot.line(plot.x(value), plot.bottom, plot.x(value), plot.bottom + 5, "#888")
        plot.text(plot.x(value), plot.bottom + 19, tick_text(value) + (" s" if value == 0 else ""), 12, "#555", "middle")


def spread(wanted, apart, low, high):
    """Positions as near to the wanted ones as possible, `apart` from each other, in the same order."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = []
    for i in order:
        placed.append(max(wanted[i], low if not placed else placed[-1] + apart))
    over = placed[-1] - high if placed else 0
    if over > 0:
        placed[-1] = high
        for k in range(len(placed) - 2, -1, -1):
            placed[k] = min(placed[k], placed[k + 1] - apart)
    result = [0.0] * len(wanted)
    for i, position in zip(order, placed):
        result[i] = position
    return result


def _end_labels(plot, runs):
    """Name and last figure beside the end of each line."""
    lasts = [run.column("rss_bytes")[-1] for run in runs]
    places = spread([plot.y(v) for _, v in lasts], 34, TOP + 6, plot.bottom - 18)
    for i, (run, (_, value)) in enumerate(zip(runs, lasts)):
        color = COLORS[i % len(COLORS)]
        plot.text(WIDTH - RIGHT + 12, places[i], run.allocator.label, 14, color, weight="bold")
        plot.text(WIDTH - RIGHT + 12, places[i] + 15, f"{bytes_text(value)} at the end", 12, color)


def _strips(plot, runs):
    """One line of phases for each allocator, since each takes its own time."""
    y = plot.bottom + 28
    for i, run in enumerate(runs):
        if not run.phases:
            continue
        plot.text(LEFT - 8, y + 12, run.allocator.name, 11, COLORS[i % len(COLORS)], "end")
        for k, (name, begin, end) in enumerate(run.phases):
            x, width = plot.x(begin), plot.x(min(end, plot.span)) - plot.x(begin)
            plot.parts.append(f'<rect x="{x:.1f}" y="{y}" width="{max(width, 1):.1f}" height="{STRIP - 4}"'
                              f' fill="{COLORS[i % len(COLORS)]}" fill-opacity="{PHASE_SHADES[k % 4]}"/>')
            if width > 8 * len(name):
                plot.text(x + 5, y + 12, name, 11, "#111")
        y += STRIP


def render(runs, title, subtitle, foot):
    """The whole picture as text. `foot` is a list of at most two lines."""
    plot = _Plot(runs)
    plot.text(LEFT - 60, 34, title, 20, "#111", weight="bold")
    plot.text(LEFT - 60, 58, subtitle, 13, "#444")
    _axes(plot)
    has_live = any(run.column("live_bytes") for run in runs)
    for i, run in enumerate(runs):
        if has_live:
            plot.curve(run.column("live_bytes"), COLORS[i % len(COLORS)], 1, "2 3")
    for i, run in enumerate(runs):
        color = COLORS[i % len(COLORS)]
        plot.curve(run.column("rss_bytes"), color, 2.5)
        end, value = run.column("rss_bytes")[-1]
        plot.parts.append(f'<circle cx="{plot.x(end):.1f}" cy="{plot.y(value):.1f}" r="4" fill="{color}"/>')
    _end_labels(plot, runs)
    plot.line(LEFT, 77, LEFT + 26, 77, "#555", 2.5)
    plot.text(LEFT + 32, 81, "RSS", 12, "#444")
    if has_live:
        plot.parts.append(f'<line x1="{LEFT + 80}" y1="77" x2="{LEFT + 106}" y2="77" stroke="#555"'
                          ' stroke-dasharray="2 3"/>')
        plot.text(LEFT + 112, 81, "live: bytes that the program holds", 12, "#444")
    _strips(plot, runs)
    for k, text in enumerate(foot):
        plot.text(LEFT - 60, HEIGHT - 27 + 16 * k, text, 11, "#777")
    body = "\n".join(plot.parts)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"'
            f' viewBox="0 0 {WIDTH} {HEIGHT}"'
            f' font-family="DejaVu Sans, Helvetica, Arial, sans-serif">\n'
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>\n{body}\n</svg>\n')
