# SPDX-License-Identifier: MIT
"""Finds the shared libraries of the allocators, and starts programs under them."""

import os
import platform
import shutil
import subprocess

from .errors import DemoError

# Name: (sonames, newest first; Debian package).
PEERS = {
    "jemalloc": (("libjemalloc.so.2",), "libjemalloc2"),
    "tcmalloc": (("libtcmalloc_minimal.so.4", "libtcmalloc.so.4"), "libtcmalloc-minimal4"),
    "mimalloc": (("libmimalloc.so.3", "libmimalloc.so.2", "libmimalloc.so.2.0"), "libmimalloc2.0"),
}


class Allocator:
    """One allocator: a name for the reader and the library to preload, None for the C library's own."""

    def __init__(self, name, library=None, version=""):
        self.name = name
        self.library = library
        self.version = version

    @property
    def label(self):
        return f"{self.name} {self.version}".strip()

    def environment(self):
        """Ours without what would tune or replace one of the allocators, and with this one preloaded."""
        env = {key: value for key, value in os.environ.items()
               if not key.startswith("MALLOC_") and key not in ("GLIBC_TUNABLES", "LD_PRELOAD")}
        if self.library:
            env["LD_PRELOAD"] = self.library
        return env


def linker_cache():
    """What `ldconfig -p` knows: soname -> path, the first entry of each name."""
    program = shutil.which("ldconfig", path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin")
    if not program:
        return {}
    text = subprocess.run([program, "-p"], capture_output=True, text=True, check=False).stdout
    found = {}
    for line in text.splitlines():
        left, arrow, path = line.partition(" => ")
        if arrow and left.split():
            found.setdefault(left.split()[0], path.strip())
    return found


def ebb_version(tool):
    """What the ebb command calls its version, or nothing."""
    if not tool or not os.access(tool, os.X_OK):
        return ""
    try:
        text = subprocess.run([tool, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    words = text.split()
    return words[-1] if words and words[-1][:1].isdigit() else ""


def resolve(names, ebb_library, ebb_tool):
    """The allocators for a list of names. A name may also be NAME=PATH, and may come twice (as a control)."""
    cache = None
    result = []
    for word in names:
        name, _, path = word.partition("=")
        if path:
            allocator = Allocator(name, path)
        elif name == "glibc":
            allocator = Allocator(name, None, platform.libc_ver()[1])
        elif name == "ebb":
            if not ebb_library:
                raise DemoError("the library of ebb is not known: start the demo with ./dev demo, or give --library")
            allocator = Allocator(name, ebb_library, ebb_version(ebb_tool))
        elif name in PEERS:
            cache = linker_cache() if cache is None else cache
            sonames, package = PEERS[name]
            found = next((cache[s] for s in sonames if s in cache), None)
            if not found:
                raise DemoError(f"{name} is not installed (Debian package {package})")
            allocator = Allocator(name, found)
        else:
            known = ", ".join(["glibc", "ebb", *PEERS])
            raise DemoError(f"unknown allocator {name!r}: one of {known}, or NAME=PATH of a library")
        if allocator.library:
            if not os.path.isfile(allocator.library):
                raise DemoError(f"{allocator.library}: no such file (the library of {name})")
            allocator.library = os.path.realpath(allocator.library)
        same = sum(1 for a in result if a.name.split("#")[0] == name)
        if same:
            allocator.name = f"{name}#{same + 1}"
        result.append(allocator)
    return result
