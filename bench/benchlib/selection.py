# SPDX-License-Identifier: MIT
"""Which programs, and which build folder."""
import fnmatch
import glob
import os
import sys


def select(programs, wanted):
    """The programs whose name or group fits one of the patterns, in their own order."""
    patterns = [pattern for pattern in wanted.split(',') if pattern]
    for pattern in patterns:
        if not any(fits(program, pattern) for program in programs):
            sys.exit(f'no program fits "{pattern}"; --list names them')
    return [program for program in programs if any(fits(program, pattern) for pattern in patterns)]


def fits(program, pattern):
    return pattern == program.group or fnmatch.fnmatchcase(program.name, pattern)


def find_build(bench_dir, given=None):
    """The build folder: the given one, or the first build* beside bench/ that holds the programs."""
    root = os.path.dirname(bench_dir)
    for folder in [given] if given else sorted(glob.glob(os.path.join(root, 'build*'))):
        if os.access(os.path.join(folder, 'bench', 'bench-spawn'), os.X_OK):
            return os.path.abspath(folder)
    return None
