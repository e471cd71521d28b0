# SPDX-License-Identifier: MIT
"""The side-by-side table: one column for each allocator, compared with the first."""

# Smaller differences are called the same. Chosen, not measured: `--allocators glibc,glibc` shows what two runs of one
# allocator differ by on a machine.
NOISE_SPEED = 0.05
NOISE_LATENCY = 0.10
NOISE_MEMORY = 0.03
# Mappings matter when they come near vm.max_map_count (65530): fewer than this do not.
VMAS_STEP = 1000


class Row:
    """One figure: `value` maps a run to a number or None, `better` is 'low', 'high' or None (not a contest)."""

    def __init__(self, label, value, text, better=None, noise=NOISE_MEMORY, step=0.0, gap=False):
        self.label = label
        self.value = value
        self.text = text
        self.better = better
        self.noise = noise
        self.step = step  # the clock's step: less is no difference
        self.gap = gap    # an empty line above


def verdict(base, value, better, noise, step=0.0):
    """How `value` compares with `base`: ('better'|'worse'|'same', factor of at least 1), or None if nobody can say."""
    if better is None or base is None or value is None:
        return None
    if base == value or abs(base - value) <= step:
        return ("same", 1.0)
    if min(base, value) <= 0:
        return None
    factor = max(base, value) / min(base, value)
    if factor < 1 + noise:
        return ("same", factor)
    lower = value < base
    return ("better" if lower == (better == "low") else "worse", factor)


def factor_text(factor, style):
    times = style.pick("×", "x")
    return f"{factor:.2f}{times}" if factor < 9.95 else f"{factor:,.0f}{times}"


def mark(outcome, style):
    """(text, colour) of a verdict."""
    if outcome is None:
        return ("", None)
    kind, factor = outcome
    if kind == "same":
        return ("=", "dim")
    sign = style.pick("▲", "+") if kind == "better" else style.pick("▼", "-")
    return (f"{sign} {factor_text(factor, style)}", "green" if kind == "better" else "red")


def render(runs, rows, style):
    """The table as a list of lines."""
    names = [run.allocator.label for run in runs]
    cells, marks = [], []
    for row in rows:
        values = [row.value(run) for run in runs]
        cells.append([row.text(v) for v in values])
        marks.append([("", None)] + [mark(verdict(values[0], v, row.better, row.noise, row.step), style)
                                     for v in values[1:]])
    label_width = max(len(row.label) for row in rows)
    widths = [max(len(names[i]), max(len(c[i]) for c in cells)) for i in range(len(runs))]
    mark_widths = [max(len(m[i][0]) for m in marks) for i in range(len(runs))]

    def line(label, texts, tags, bold=False):
        out = "  " + label.ljust(label_width)
        for i, text in enumerate(texts):
            text = text.rjust(widths[i])
            out += "   " + (style.paint(text, "bold") if bold else text)
            if mark_widths[i]:
                tag, color = tags[i]
                out += " " + (style.paint(tag, color) if color else tag) + " " * (mark_widths[i] - len(tag))
        return out.rstrip()

    empty = [("", None)] * len(runs)
    rule = style.pick("─", "-")
    lines = [line("", names, empty, bold=True)]
    lines.append(style.paint("  " + rule * (label_width + sum(w + 3 for w in widths) +
                                            sum(m + 1 for m in mark_widths if m)), "dim"))
    for row, texts, tags in zip(rows, cells, marks):
        if row.gap:
            lines.append("")
        lines.append(line(row.label, texts, tags))
    return lines


def legend(base, style):
    """What the marks mean."""
    up, down = style.pick("▲", "+"), style.pick("▼", "-")
    return (f"  {up} better, {down} worse than {base} by that factor; = the same within "
            f"{NOISE_MEMORY:.0%} (memory), {NOISE_SPEED:.0%} (speed), {NOISE_LATENCY:.0%} (latency).")
