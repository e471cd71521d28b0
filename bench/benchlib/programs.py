# SPDX-License-Identifier: MIT
"""The table of programs that allocate and do little else; the real ones are in real.py, redis.py and
mariadb.py."""
import os

from .process import Failure

MICRO, REAL, SERVER = 'micro', 'real', 'server'


class Context:
    """What a run needs: the folder of the built programs, the spawner, a folder for scratch files, and
    the scale."""

    def __init__(self, build_dir, spawner, scratch_dir, scale=1.0, timeout_s=180.0, seed=1):
        self.build_dir = build_dir
        self.spawner = spawner
        self.scratch_dir = scratch_dir
        self.scale = scale
        self.timeout_s = timeout_s
        self.seed = seed

    def scaled(self, count, least=1):
        return max(least, int(count * self.scale))


class Program:
    """One row of the bench. Subclasses say whether it can run here, prepare it once, and run it."""

    group = MICRO

    def __init__(self, name):
        self.name = name

    def unavailable(self, context):
        """Why the program cannot run on this machine, or None."""
        raise NotImplementedError

    def prepare(self, context):
        """Makes input files, once before the first run."""

    def identity(self, context):
        """(short command, library to preload for glibc) to ask the dynamic linker whose malloc is bound."""
        raise NotImplementedError

    def run(self, context, allocator):
        """Runs once. Returns a sample: a dictionary with the keys of report.METRICS and others. Raises
        Failure."""
        raise NotImplementedError


class Micro(Program):
    """One of the C programs beside this folder, which measures itself (see probe.h)."""

    def __init__(self, name, binary, *arguments, seeded=True):
        super().__init__(name)
        self.binary = 'bench-' + binary
        self.arguments = arguments
        self.seeded = seeded

    def path(self, context):
        return os.path.join(context.build_dir, self.binary)

    def command(self, context, scale=None):
        scale = context.scale if scale is None else scale
        seed = [f'seed={context.seed}'] if self.seeded else []
        return [self.path(context), *self.arguments, *seed, f'scale={scale:g}']

    def unavailable(self, context):
        return None if os.access(self.path(context), os.X_OK) else f'{self.path(context)} is not built'

    def identity(self, context):
        return [self.path(context), 'help'], None

    def run(self, context, allocator):
        sample = context.spawner.run(self.command(context), allocator.environment(), context.timeout_s)
        return micro_sample(sample)


def micro_sample(sample):
    """Joins what the kernel says about a process with what the process said about itself."""
    report = sample['report']
    if 'peak_kib' not in report:
        raise Failure('the program reported nothing on descriptor 3')
    numbers = {
        name: int(report[name])
        for name in (
            'blocks',
            'base_kib',
            'full_kib',
            'end_kib',
            'peak_kib',
            'maps_base',
            'maps_max',
            'maps_end',
            'probe_cpu_us',
            'probe_wall_us',
        )
    }
    return {
        'time_s': sample['time_s'] - numbers['probe_wall_us'] * 1e-6,
        'cpu_s': max(sample['cpu_s'] - numbers['probe_cpu_us'] * 1e-6, 0.0),
        'peak_kib': numbers['peak_kib'],
        'base_kib': numbers['base_kib'],
        'full_kib': numbers['full_kib'],
        'end_kib': numbers['end_kib'],
        'maps': numbers['maps_max'],
        'maps_base': numbers['maps_base'],
        'minflt': sample['minflt'],
        'blocks': numbers['blocks'],
        'check': report['check'],
    }


MICROS = [
    Micro('small', 'small'),
    Micro('lifo', 'order', 'mode=lifo'),
    Micro('fifo', 'order', 'mode=fifo'),
    Micro('random', 'order', 'mode=random'),
    Micro('larson', 'larson'),
    Micro('prodcons-oneway', 'prodcons', 'mode=oneway', 'threads=2'),
    Micro('prodcons-both', 'prodcons', 'mode=both'),
    Micro('prodcons-ring', 'prodcons', 'mode=ring', 'threads=4', 'batches=80000'),
    Micro('threads-2', 'threads', 'threads=2'),
    Micro('threads-8', 'threads', 'threads=8'),
    Micro('threads-64', 'threads', 'threads=64'),
    Micro('threads-256', 'threads', 'threads=256'),
    Micro('grow-x1.5', 'grow', 'mode=x1.5'),
    Micro('grow-x2', 'grow', 'mode=x2'),
    Micro('grow-add', 'grow', 'mode=add', 'ops=200000'),
    Micro('grow-huge', 'grow', 'mode=huge'),
    Micro('large', 'large'),
    Micro('calloc', 'calloc'),
    Micro('aligned', 'aligned'),
    Micro('doc4', 'doc4', seeded=False),
]
