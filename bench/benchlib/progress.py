# SPDX-License-Identifier: MIT
"""One line on standard error that says what runs and how long the rest will take."""
import sys
import time


class Progress:
    """Counts the runs; the time left is reckoned from those that are done."""

    def __init__(self, planned):
        self.planned = planned
        self.done = 0
        self.began = time.monotonic()
        self.terminal = sys.stderr.isatty()

    def step(self, what):
        elapsed = time.monotonic() - self.began
        left = (
            f'{elapsed / self.done * (self.planned - self.done):.0f} s left'
            if self.done
            else 'time left unknown'
        )
        line = f'[{self.done}/{self.planned}] {what}, {left}'
        sys.stderr.write(f'\r\033[K{line}' if self.terminal else line + '\n')
        sys.stderr.flush()
        self.done += 1

    def end(self):
        if self.terminal:
            sys.stderr.write('\r\033[K')
        print(f'{self.done} runs in {time.monotonic() - self.began:.0f} s', file=sys.stderr)
