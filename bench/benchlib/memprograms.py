# SPDX-License-Identifier: MIT
"""The programs about memory given back: which, with what arguments, and what a run of each brings."""
import os
import shutil
import subprocess
import time

from .process import Failure, status_kib
from .programs import Context, Micro, Program

MEMORY = 'memory'
QUICK, ORDINARY, FULL = 'quick', 'ordinary', 'full'

# What an allocator may need beyond the blocks, and what the machine should have left.
SPARE_FACTOR = 1.5
SPARE_KIB = 256 * 1024


class MemoryContext(Context):
    """What a run needs, with the size of all runs and the memory that there is."""

    def __init__(self, *arguments, size=ORDINARY, available_kib=None, **named):
        super().__init__(*arguments, **named)
        self.size = size
        self.available_kib = available_kib
        self.plain_anon = None  # mappings without a file before main, in a process without a preloaded library

    def scale_of(self, peak_mib):
        """The scale, made smaller where a program with this peak would not fit into the memory."""
        if not peak_mib or self.available_kib is None:
            return self.scale
        return fitting_scale(self.scale, peak_mib * 1024, self.available_kib)


def fitting_scale(scale, peak_kib, available_kib):
    """The largest scale up to `scale` at which a peak, with what an allocator adds, leaves some memory."""
    room_kib = max(available_kib - SPARE_KIB, SPARE_KIB)
    return min(scale, room_kib / (peak_kib * SPARE_FACTOR))


def available_kib():
    """MemAvailable of the machine, or None."""
    with open('/proc/meminfo', encoding='ascii') as file:
        for line in file:
            if line.startswith('MemAvailable:'):
                return int(line.split()[1])
    return None


class Measured(Micro):
    """One of the C programs in bench/memory. `sizes` has the arguments of each size; `peak_mib` is what the
    blocks need at scale 1, of each size that differs."""

    group = MEMORY

    def __init__(self, name, binary, *arguments, sizes=None, peak_mib=None):
        super().__init__(name, binary, *arguments, seeded=binary != 'doc4')
        self.sizes = sizes or {}
        self.peak_mib = peak_mib or {}

    def scale(self, context):
        return context.scale_of(self.peak_mib.get(context.size, self.peak_mib.get(ORDINARY)))

    def command(self, context, scale=None):
        command = super().command(context, self.scale(context) if scale is None else scale)
        return command + list(self.sizes.get(context.size, []))

    def run(self, context, allocator):
        sample = context.spawner.run(self.command(context), allocator.environment(), context.timeout_s)
        return numbers(sample, context.plain_anon)


def numbers(sample, plain_anon):
    """All that a program reported, as integers, with the time of the process less that of the probing."""
    report = sample['report']
    if 'peak_kib' not in report:
        raise Failure('the program reported nothing on descriptor 3')
    values = {name: int(text) for name, text in report.items() if name not in ('program', 'check')}
    return {
        **values,
        'check': report['check'],
        'time_s': sample['time_s'] - values['probe_wall_us'] * 1e-6,
        'net_peak_kib': values['peak_kib'] - values['base_kib'],
        'plain_anon': plain_anon,
        'series': sample['series'],
    }


def count_plain_mappings(context, glibc):
    """The mappings without a file, other than the heap of brk, that the C library and the dynamic linker
    make before main: they are not the allocator's."""
    command = [os.path.join(context.build_dir, 'bench-mem-mappings'), 'mode=start']
    return int(context.spawner.run(command, glibc.environment(), context.timeout_s)['report']['anon_start'])


class Awk(Program):
    """A process that does next to nothing tells its own anonymous memory."""

    group = MEMORY
    SCRIPT = 'BEGIN { while ((getline line < "/proc/self/status") > 0) print line }'

    def unavailable(self, context):
        return None if shutil.which('awk') else 'awk is not installed (Debian: apt-get install mawk)'

    def identity(self, context):
        return [shutil.which('awk'), 'BEGIN { }'], None

    def run(self, context, allocator):
        try:
            run = subprocess.run(
                [shutil.which('awk'), self.SCRIPT],
                env=allocator.environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=context.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Failure(f'not finished after {context.timeout_s:.0f} s') from error
        if run.returncode != 0:
            raise Failure(f'exit status {run.returncode}: {run.stderr.strip()[-300:]}')
        return {'anon_kib': anonymous_kib(run.stdout)}


class Sleep(Program):
    """`sleep`, looked at from outside while it sleeps."""

    group = MEMORY
    SETTLED_S = 0.3

    def unavailable(self, context):
        return None if shutil.which('sleep') else 'sleep is not installed (Debian: apt-get install coreutils)'

    def identity(self, context):
        return [shutil.which('sleep'), '0'], None

    def run(self, context, allocator):
        process = subprocess.Popen(
            [shutil.which('sleep'), '1'],
            env=allocator.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(self.SETTLED_S)
            anon_kib = status_kib(process.pid, 'RssAnon', 'VmSwap')
            if context.size != QUICK and process.wait(context.timeout_s) != 0:
                raise Failure(f'exit status {process.returncode}')
        except subprocess.TimeoutExpired as error:
            raise Failure(f'not finished after {context.timeout_s:.0f} s') from error
        finally:
            process.kill()
            process.wait()
        if anon_kib == 0:
            raise Failure('the process had ended before it was looked at')
        return {'anon_kib': anon_kib}


def anonymous_kib(status):
    """RssAnon and VmSwap from the text of a /proc/PID/status."""
    found = {}
    for line in status.splitlines():
        name, _, value = line.partition(':')
        if name in ('RssAnon', 'VmSwap'):
            found[name] = int(value.split()[0])
    if 'RssAnon' not in found:
        raise Failure('no RssAnon in what the process read')
    return sum(found.values())


def board(name, size_bytes):
    return Measured(
        f'mappings-{name}',
        'mem-mappings',
        'mode=board',
        f'bytes={size_bytes}',
        sizes={QUICK: ['wait=20']},
        peak_mib={ORDINARY: 512},
    )


def checkerboard(name, size_bytes, blocks, full_blocks):
    peak_mib = blocks * size_bytes >> 20
    return Measured(
        f'checkerboard-{name}',
        'mem-checkerboard',
        f'bytes={size_bytes}',
        f'spread={size_bytes // 64}',
        sizes={
            ORDINARY: [f'blocks={blocks}'],
            FULL: [f'blocks={full_blocks}'],
            QUICK: [f'blocks={blocks}', 'wait=100'],
        },
        peak_mib={ORDINARY: peak_mib, FULL: peak_mib * full_blocks // blocks},
    )


def survivors(name, permille):
    return Measured(
        f'survivors-{name}',
        'mem-survivors',
        f'permille={permille}',
        sizes={QUICK: ['wait=100', 'later=150']},
        peak_mib={ORDINARY: 600},
    )


BOARDS = [
    board('16', 16),
    board('256', 256),
    board('4k', 4 << 10),
    board('20k', 20 << 10),
    board('129k', 129 << 10),
    board('132k', 132 << 10),
    board('1m', 1 << 20),
]
PROGRAMS = [
    *BOARDS,
    Measured('mappings-realloc', 'mem-mappings', 'mode=realloc', peak_mib={ORDINARY: 512}),
    Measured('mappings-threads', 'mem-mappings', 'mode=threads'),
    Measured('mappings-dlopen', 'mem-mappings', 'mode=dlopen'),
    Measured('mappings-fork', 'mem-mappings', 'mode=fork', 'mib=256', peak_mib={ORDINARY: 512}),
    Measured('mappings-day', 'mem-day', sizes={QUICK: ['ms=300', 'ops=20'], FULL: ['ms=60000']}),
    checkerboard('132k', 132 << 10, 20000, 60000),
    checkerboard('20k', 20 << 10, 100000, 300000),
    Measured('all-freed', 'mem-allfreed', sizes={QUICK: ['wait=100']}, peak_mib={ORDINARY: 1024}),
    survivors('1', 10),
    survivors('5', 50),
    # Few blocks live at a time, but some peers keep up to 10 MiB for each thread.
    Measured('threads-1000-idle', 'mem-idle', sizes={QUICK: ['wait=100']}, peak_mib={ORDINARY: 10000}),
    Measured('doc4', 'doc4', peak_mib={ORDINARY: 1024}),
    Sleep('sleep'),
    Awk('base'),
    Measured('storm', 'mem-storm', sizes={QUICK: ['ms=300']}),
    Measured('churn-large', 'large', 'low=20', 'high=25', 'live=24', 'ops=600', peak_mib={ORDINARY: 300}),
    Measured(
        'fall',
        'mem-fall',
        sizes={QUICK: ['up=200', 'hold=100', 'down=100', 'idle=300']},
        peak_mib={ORDINARY: 1024},
    ),
]
