# SPDX-License-Identifier: MIT
"""What a figure needs beside it: the machine, the kernel, the C library, the settings, and who was
compared."""
import datetime
import hashlib
import os
import platform

from . import peers


def _first_line(path):
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.readline().strip()
    except OSError:
        return 'unknown'


def _field(path, name):
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            for line in file:
                if line.split(':')[0].strip() == name:
                    return line.split(':', 1)[1].strip()
    except OSError:
        pass
    return 'unknown'


def _digest(path):
    with open(path, 'rb') as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


def machine():
    """The facts of the machine, without its name or any path of its user."""
    return {
        'date': datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d %H:%M UTC'),
        'cpu': _field('/proc/cpuinfo', 'model name'),
        'cores': str(len(os.sched_getaffinity(0))),
        'memory': _field('/proc/meminfo', 'MemTotal'),
        'machine': platform.machine(),
        'hypervisor': 'yes' if ' hypervisor' in _field('/proc/cpuinfo', 'flags') else 'not seen',
        'kernel': platform.release(),
        'libc': ' '.join(platform.libc_ver()),
        'os_page_bytes': str(os.sysconf('SC_PAGE_SIZE')),
        'thp': _first_line('/sys/kernel/mm/transparent_hugepage/enabled'),
        'overcommit': _first_line('/proc/sys/vm/overcommit_memory'),
        'load_average_at_start': ' '.join(_first_line('/proc/loadavg').split()[:3]),
    }


def settings(found):
    """The variables that tune the allocators, in one line."""
    return '; '.join(
        f'{allocator.name}: ' + ' '.join(f'{name}={value}' for name, value in allocator.settings.items())
        for allocator in found
        if allocator.settings
    )


def allocators(found):
    """For each allocator the version of its package, or the digest of its file when it comes from none."""
    described = {}
    for allocator in found:
        text = peers.version(allocator)
        if allocator.library and text == 'unknown':
            text = f'{os.path.basename(allocator.library)} sha256 {_digest(allocator.library)}'
        described[allocator.name] = text
    return described
