# SPDX-License-Identifier: MIT
"""What the terminal can show, and figures as text."""

import os
import shutil
import sys

MIB = 1 << 20
GIB = 1 << 30

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def initial_environment():
    """The environment as the program was started with: Python changes LC_CTYPE in the C locale."""
    try:
        with open("/proc/self/environ", "rb") as file:
            words = file.read().decode(errors="replace").split("\0")
    except OSError:
        return dict(os.environ)
    return dict(word.split("=", 1) for word in words if "=" in word)


def locale_is_utf8(environ):
    name = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or "C"
    return name.lower().replace("-", "").endswith("utf8")


class Style:
    """Colours, characters and width of one output stream."""

    def __init__(self, utf8=False, color=False, live=False, width=80):
        self.utf8 = utf8
        self.color = color
        self.live = live  # a line may be drawn over
        self.width = width

    @classmethod
    def of(cls, stream=None, environ=None):
        """The style for a stream: colours and drawing over only on a terminal, UTF-8 if the locale is."""
        stream = stream or sys.stdout
        environ = initial_environment() if environ is None else environ
        tty = stream.isatty() and environ.get("TERM", "dumb") != "dumb"
        encoding = (getattr(stream, "encoding", None) or "").lower().replace("-", "")
        utf8 = encoding == "utf8" and locale_is_utf8(environ)
        width = shutil.get_terminal_size((100, 24)).columns
        return cls(utf8, tty and not environ.get("NO_COLOR"), tty, max(60, min(width, 120)))

    def paint(self, text, *names):
        """The text in the named colours, or as it is."""
        if not self.color or not names:
            return text
        return f"\033[{';'.join(_CODES[name] for name in names)}m{text}\033[0m"

    def pick(self, fancy, plain):
        """The first where UTF-8 can be shown, else the second."""
        return fancy if self.utf8 else plain


def three_digits(value):
    """Three significant digits, without an exponent."""
    if value < 0.005:
        return "0"
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def bytes_text(count):
    """A byte count in MiB, or in GiB from 1 GiB on; '-' when unknown."""
    if count is None:
        return "-"
    if count >= GIB:
        return f"{three_digits(count / GIB)} GiB"
    return f"{three_digits(count / MIB)} MiB"


def ns_text(ns, style=None):
    """A duration given in nanoseconds, in the unit that reads best."""
    if ns is None:
        return "-"
    if ns < 999.5:
        return f"{ns:.0f} ns"
    if ns < 999.5e3:
        return f"{three_digits(ns / 1e3)} {'us' if style and not style.utf8 else 'µs'}"
    return f"{three_digits(ns / 1e6)} ms"


def count_text(count):
    """A number with its thousands apart."""
    return "-" if count is None else f"{count:,.0f}"


def seconds_text(seconds):
    return "-" if seconds is None else f"{three_digits(seconds)} s"
