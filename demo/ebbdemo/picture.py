# SPDX-License-Identifier: MIT
"""Writes the picture as SVG, or as PNG by a converter that is installed."""

import os
import shutil
import subprocess
import tempfile

from .errors import DemoError


def _is_imagemagick(program):
    """Other programs are called `convert` or `magick` too."""
    try:
        text = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "ImageMagick" in text.split("\n")[0]


def converter():
    """A function (SVG path, PNG path) -> argument list, or None when no converter is installed."""
    program = shutil.which("rsvg-convert")
    if program:
        return lambda svg, png: [program, "--zoom", "2", "--output", png, svg]
    for name in ("magick", "convert"):
        program = shutil.which(name)
        if program and _is_imagemagick(program):
            return lambda svg, png, p=program: [p, "-density", "192", svg, png]
    return None


def check(path):
    """Fails before the long run, not after it, when the picture could not be written."""
    ending = os.path.splitext(path)[1].lower()
    if ending not in (".svg", ".png"):
        raise DemoError(f"--plot {path}: the name must end in .svg or .png")
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise DemoError(f"--plot {path}: cannot write into {folder}")
    if ending == ".png" and converter() is None:
        raise DemoError("a PNG needs rsvg-convert (Debian package librsvg2-bin) or ImageMagick (imagemagick); "
                        "a name that ends in .svg needs neither")


def write(path, svg):
    """Writes the picture."""
    if path.lower().endswith(".svg"):
        with open(path, "w", encoding="utf-8") as file:
            file.write(svg)
        return
    with tempfile.TemporaryDirectory(prefix="ebb-demo-") as folder:
        source = os.path.join(folder, "picture.svg")
        with open(source, "w", encoding="utf-8") as file:
            file.write(svg)
        done = subprocess.run(converter()(source, path), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DemoError(f"cannot make {path}: {done.stderr.strip() or done.returncode}")
