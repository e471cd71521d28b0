# SPDX-License-Identifier: MIT
"""Axes: round steps, and curves read at any time."""

from .style import GIB, MIB


def round_step(span, most):
    """The smallest of 1, 2, 5 times a power of ten that divides `span` into at most `most` steps."""
    step = 1e-3
    while True:
        for factor in (1, 2, 5):
            if span / (step * factor) <= most:
                return step * factor
        step *= 10


def byte_axis(top, most=4):
    """(unit name, unit, step, end) of an axis from 0 to at least `top` bytes."""
    unit, name = (GIB, "GiB") if top >= 2 * GIB else (MIB, "MiB")
    step = round_step(max(top, 1) / unit, most)
    steps = 1
    while step * steps * unit < top:
        steps += 1
    return name, unit, step * unit, step * steps * unit


def tick_text(value):
    """A tick's figure without needless zeros."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def ticks(end, step):
    """0, step, 2 step ... up to `end`."""
    return [i * step for i in range(int(end / step + 1e-9) + 1)]


def value_at(points, at):
    """The curve at a time, straight between its points; None outside."""
    if not points or at < points[0][0] or at > points[-1][0]:
        return None
    low, high = 0, len(points) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if points[middle][0] <= at:
            low = middle
        else:
            high = middle
    (t0, v0), (t1, v1) = points[low], points[high]
    return v1 if t1 <= t0 else v0 + (v1 - v0) * (at - t0) / (t1 - t0)


def end_time(runs):
    """The time at which the longest run ends."""
    return max((run.samples[-1]["t"] for run in runs if run.samples), default=1.0)


def top_value(runs, keys=("rss_bytes", "live_bytes")):
    """The largest figure of all runs."""
    return max((v for run in runs for key in keys for _, v in run.column(key)), default=1)
