# SPDX-License-Identifier: MIT
"""One line that says how far a run is: drawn over on a terminal, one plain line for each phase elsewhere."""

import sys

from .style import bytes_text


class Progress:
    """Progress of one run. `weights` maps a phase to its expected seconds, in order."""

    def __init__(self, name, weights, style, name_width=8, stream=None):
        self.name = name.ljust(name_width)
        self.weights = weights
        self.style = style
        self.stream = stream or sys.stdout
        self.phase = None

    def share(self, phase, part):
        """How much of the whole run is over, 0 to 1."""
        total = sum(self.weights.values()) or 1
        done = 0
        for name, weight in self.weights.items():
            if name == phase:
                return (done + weight * part) / total
            done += weight
        return 1.0

    def bar(self, share, width):
        full = int(share * width + 0.5)
        rest = self.style.pick("░", ".") * (width - full)
        return self.style.pick("█", "#") * full + self.style.paint(rest, "dim")

    def update(self, sample):
        """Shows a sample: phase, part of the phase, RSS and, where known, live bytes."""
        phase = sample["phase"]
        if self.style.live:
            share = self.share(phase, sample["part"])
            text = f"{share:4.0%}  RSS {bytes_text(sample['rss_bytes']):>8}"
            if sample.get("live_bytes") is not None and self.style.width >= 75:
                text += f"  live {bytes_text(sample['live_bytes']):>8}"
            width = max(10, min(40, self.style.width - len(self.name) - len(text) - 13))
            self.stream.write(f"\r  {self.name}{phase:7}{self.bar(share, width)} {text}\033[K")
        elif phase != self.phase:
            self.stream.write(f"  {self.name}{phase:7}RSS {bytes_text(sample['rss_bytes'])}\n")
        self.phase = phase
        self.stream.flush()

    def say(self, text):
        """A passing message in place of the bar."""
        self.stream.write(f"\r  {self.name}{text}\033[K" if self.style.live else f"  {self.name}{text}\n")
        self.stream.flush()

    def done(self, text):
        """The line that stays."""
        self.stream.write(f"\r  {self.name}{text}\033[K\n" if self.style.live else f"  {self.name}{text}\n")
        self.stream.flush()
