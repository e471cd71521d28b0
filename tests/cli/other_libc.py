# SPDX-License-Identifier: MIT
"""C libraries of other Debian releases, unpacked from their packages, and programs that run on them by their own loader."""

import glob
import os
import platform
import re
import shutil
import subprocess

import tap
from tap import Skip, run

# Nothing that this waits for may keep a machine without a network waiting.
FETCH_S = 90


def configured_mirror():
    """The address of the Debian archive that this machine's apt uses."""
    done = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
    for uri in done.stdout.split():
        if re.search(r"/debian/?$", uri):
            return uri
    raise Skip("apt knows no Debian archive here")


_TREES = {}


def unpacked(release):
    """The folder with the C library of a release, from its package. Skips when it cannot be had."""
    if release not in _TREES:
        try:
            _TREES[release] = _fetch(release)
        except Skip as reason:
            _TREES[release] = reason
    if isinstance(_TREES[release], Skip):
        raise _TREES[release]
    return _TREES[release]


def _fetch(release):
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise Skip(f"no {program}")
    root = os.path.join(tap.folder(), release)
    for name in ("lists/partial", "cache/archives/partial", "tree"):
        os.makedirs(os.path.join(root, name))
    with open(os.path.join(root, "sources.list"), "w", encoding="ascii") as file:
        keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
        file.write(f"deb [signed-by={keys}] {configured_mirror()} {release} main\n")
    open(os.path.join(root, "status"), "wb").close()
    settings = {"Dir::Etc::sourcelist": f"{root}/sources.list", "Dir::Etc::sourceparts": "/dev/null",
                "Dir::State::lists": f"{root}/lists", "Dir::State::status": f"{root}/status",
                "Dir::Cache": f"{root}/cache", "Acquire::Languages": "none", "Acquire::Retries": "0",
                "Acquire::http::Timeout": "10", "APT::Sandbox::User": "", "Debug::NoLocking": "1"}
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    try:
        for words in (["-qq", "update"], ["-qq", "download", "libc6"]):
            done = run("apt-get", *options, *words, cwd=root, timeout=FETCH_S)
            if done.returncode != 0:
                raise Skip(f"{release}'s libc6 cannot be fetched: {done.stderr.strip().splitlines()[-1:]}")
    except subprocess.TimeoutExpired:
        raise Skip(f"{release}'s libc6 cannot be fetched in {FETCH_S} s") from None
    package = glob.glob(os.path.join(root, "libc6_*.deb"))
    if not package or run("dpkg-deb", "-x", package[0], os.path.join(root, "tree")).returncode != 0:
        raise Skip(f"{release}'s libc6 cannot be unpacked")
    return os.path.join(root, "tree")


def compiled(name, source, tree):
    """A program that the loader of that tree runs, with the libraries of that tree."""
    if platform.machine() != "x86_64":
        raise Skip("the program knows old symbols of x86-64 alone")
    loader = glob.glob(os.path.join(tree, "lib64", "ld-linux*")) + glob.glob(os.path.join(tree, "usr/lib64", "ld-linux*"))
    library = [os.path.dirname(path) for path in glob.glob(os.path.join(tree, "**", "libc.so.6"), recursive=True)]
    # lib64's loader is a link to the root of the real file system.
    real = [path for folder in library for path in glob.glob(os.path.join(folder, "ld-linux*"))]
    if not library or not (real or loader):
        raise Skip("the package has no loader")
    with open(source, encoding="utf-8") as file:
        text = file.read()
    return tap.compile_c(name, text, "-pthread", "-DEBB_OLD_SYMBOLS", "-nostartfiles", "-no-pie", "-fno-pie",
                         f"-Wl,--dynamic-linker={(real or loader)[0]}", f"-Wl,-rpath,{library[0]}",
                         "-Wl,--no-as-needed", "-l:libpthread.so.0")
