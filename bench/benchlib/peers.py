# SPDX-License-Identifier: MIT
"""The allocators: which exist on this machine, where, in which version, and whether one really serves a
program."""
import glob
import os
import re
import subprocess

# name: (soname, Debian package)
PEERS = {
    'jemalloc': ('libjemalloc.so.2', 'libjemalloc2'),
    'tcmalloc': ('libtcmalloc_minimal.so.4', 'libtcmalloc-minimal4'),
    'mimalloc': ('libmimalloc.so.2', 'libmimalloc2.0'),
}
# Peers with the most eager settings that their manuals give for returning memory while the caches stay on:
# what an operator could do without ebb. name: (peer, environment)
EAGER = {
    'glibc-eager': (
        'glibc',
        {
            'GLIBC_TUNABLES': 'glibc.malloc.trim_threshold=131072:glibc.malloc.mmap_threshold=131072:'
            'glibc.malloc.arena_max=2'
        },
    ),
    'jemalloc-eager': (
        'jemalloc',
        {'MALLOC_CONF': 'background_thread:true,dirty_decay_ms:0,muzzy_decay_ms:0'},
    ),
    'tcmalloc-eager': ('tcmalloc', {'TCMALLOC_RELEASE_RATE': '10', 'TCMALLOC_AGGRESSIVE_DECOMMIT': 'true'}),
    'mimalloc-eager': (
        'mimalloc',
        {
            'MIMALLOC_DECOMMIT_DELAY': '0',
            'MIMALLOC_SEGMENT_DECOMMIT_DELAY': '0',
            'MIMALLOC_ABANDONED_PAGE_DECOMMIT': '1',
        },
    ),
}
GLIBC = 'glibc'
EBB = 'ebb'
CONTROL = 'control'

# Settings of allocators that must not leak from the caller's environment into one side of a comparison.
TUNING = re.compile(
    r'^(MALLOC_|GLIBC_TUNABLES$|MIMALLOC_|TCMALLOC_|EBB_|PYTHONMALLOC$|LD_PRELOAD$|LD_LIBRARY_PATH$)'
)


class Allocator:
    """A name, the library to load before the program (None: nothing), the package that it comes from, and
    the variables that tune it."""

    def __init__(self, name, library=None, package=None, settings=None):
        self.name = name
        self.library = library
        self.package = package
        self.settings = dict(settings or {})

    def environment(self, extra=None, preload_libc=None):
        """The caller's environment without tuning, with the library loaded first.

        `preload_libc` is loaded when the allocator is glibc and the program is itself linked with
        another one.
        """
        environment = {key: value for key, value in os.environ.items() if not TUNING.match(key)}
        library = self.library or preload_libc
        if library:
            environment['LD_PRELOAD'] = library
        environment.update(self.settings)
        environment.update(extra or {})
        return environment


def library_path(soname):
    """The path that the dynamic linker would choose for a soname, or None."""
    try:
        listing = subprocess.run(
            ['ldconfig', '-p'],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, 'PATH': os.environ.get('PATH', '') + ':/sbin:/usr/sbin'},
        ).stdout
    except OSError:
        listing = ''
    for line in listing.splitlines():
        name, _, path = line.strip().partition(' => ')
        if name.split(' ')[0] == soname and os.path.exists(path):
            return path
    for pattern in (
        '/usr/lib/*-linux-gnu*/',
        '/lib/*-linux-gnu*/',
        '/usr/lib64/',
        '/usr/lib/',
        '/usr/local/lib/',
    ):
        for path in sorted(glob.glob(pattern + soname)):
            return path
    return None


def find(names, ebb_path=None):
    """([Allocator], [text about a missing one]) for a list of names; a name may also be NAME=PATH."""
    found, missing = [], []
    for name in names:
        name, _, path = name.partition('=')
        if path:
            if os.path.exists(path):
                found.append(Allocator(name, os.path.abspath(path)))
            else:
                missing.append(f'{name}: {path} does not exist')
        elif name in EAGER:
            peer, settings = EAGER[name]
            plain, absent = find([peer])
            found += [Allocator(name, each.library, each.package, settings) for each in plain]
            missing += [f'{name}: as {text}' for text in absent]
        elif name == GLIBC:
            found.append(Allocator(GLIBC, None, 'libc6'))
        elif name == EBB:
            if ebb_path and os.path.exists(ebb_path):
                found.append(Allocator(EBB, os.path.abspath(ebb_path)))
            else:
                missing.append('ebb: give the path of libebb-malloc.so with --ebb')
        elif name in PEERS:
            soname, package = PEERS[name]
            library = library_path(soname)
            if library:
                found.append(Allocator(name, library, package))
            else:
                missing.append(f'{name}: {soname} is not installed (Debian: apt-get install {package})')
        else:
            missing.append(f'{name}: unknown; known are {", ".join([GLIBC, EBB, *PEERS, *EAGER])} and NAME=PATH')
    return found, missing


def eager(names):
    """The tuned entries of the named peers."""
    return [name for name, (peer, _) in EAGER.items() if peer in names]


def base(name):
    """The peer of which a name is the tuned entry, or the name itself."""
    return EAGER[name][0] if name in EAGER else name


def version(allocator):
    """The version of the package that the allocator comes from, or "unknown"."""
    if not allocator.package:
        return 'unknown'
    query = (
        subprocess.run(
            ['dpkg-query', '-W', '-f', '${Package} ${Version}\\n', allocator.package],
            capture_output=True,
            text=True,
            check=False,
        )
        if _have('dpkg-query')
        else None
    )
    # A package can be installed for several architectures, in the same version.
    return query.stdout.split('\n')[0] if query and query.returncode == 0 and query.stdout else 'unknown'


def _have(command):
    return any(
        os.access(os.path.join(folder, command), os.X_OK)
        for folder in os.environ.get('PATH', '').split(os.pathsep)
    )


def malloc_owner(command, environment):
    """The file that the dynamic linker binds malloc to for the program's own calls; None when that
    cannot be told.

    The program is started with `command` (something short, such as --version) and tells by
    LD_DEBUG=bindings.
    """
    try:
        run = subprocess.run(
            command,
            env={**environment, 'LD_DEBUG': 'bindings', 'LD_BIND_NOW': '1'},
            timeout=30,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors='replace',
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    owners = re.findall(r"binding file (\S+) \[0\] to (\S+) \[0\]: normal symbol `malloc'", run.stderr)
    # The program's own calls count; a script's interpreter and children come later in the output.
    program = os.path.basename(command[0])
    for who, owner in owners:
        if os.path.basename(who) == program:
            return owner
    return owners[0][1] if owners else None


def libc_path():
    """The path of the C library, for programs that are linked with another allocator."""
    return library_path('libc.so.6')
