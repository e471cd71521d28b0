#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Installs the build into a temporary folder and uses it as a stranger would: pkg-config, compile, link, run.

    consumer.py --build DIR --source FILE --cc "COMPILER WORDS" --version X.Y.Z
"""
import argparse
import glob
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "conform"))
from runner import Tap


def call(command, **environment):
    """Status and output of a command; its environment is free of any preload."""
    env = dict(os.environ, **environment)
    for name in ("LD_PRELOAD", "LD_LIBRARY_PATH"):
        env.pop(name, None)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, check=False)
    return done.returncode, done.stdout.decode(errors="replace")


def one(pattern):
    found = glob.glob(pattern, recursive=True)
    return found[0] if len(found) == 1 else None


class Consumer:
    def __init__(self, tap, args, root):
        self.tap, self.args, self.root = tap, args, root
        self.folder = os.path.dirname(one(os.path.join(root, "**", "ebb.pc")) or root)
        self.libraries = os.path.dirname(one(os.path.join(root, "**", "libebb-malloc.so")) or root)

    def pkg_config(self, *words):
        status, text = call(["pkg-config", *words], PKG_CONFIG_PATH=self.folder,
                            PKG_CONFIG_SYSROOT_DIR=self.root)
        return shlex.split(text) if status == 0 else None

    def build_and_run(self, name, served_by, words):
        program = os.path.join(self.root, name)
        if words is None:
            self.tap.case(name, False, "pkg-config fails")
            return
        status, text = call(shlex.split(self.args.cc) + [
            "-std=c11", "-fno-builtin", "-Wall", "-Wextra", "-Werror", self.args.source, "-o", program] + words)
        if status == 0:
            status, text = call([program])
        expected = "version=%s malloc=%s\n" % (self.args.version, served_by)
        self.tap.case(name, status == 0 and text == expected,
                      "status %d\n%s\nexpected %s" % (status, text, expected))

    def run(self):
        rpath = ["-Wl,-rpath," + self.libraries]
        for module in ("ebb", "ebb-malloc"):
            version = self.pkg_config("--modversion", module)
            self.tap.case("pkg-config knows " + module, version == [self.args.version], version)
        self.build_and_run("libebb, shared", "libc", self.words("ebb", rpath))
        # Without a call of ebb_* the linker could leave the library out; this program makes some, so it
        # stays.
        self.build_and_run("libebb-malloc, shared", "ebb", self.words("ebb-malloc", rpath))
        archive = one(os.path.join(self.libraries, "libebb-malloc*.a"))
        self.tap.case("a static library is installed", archive is not None, os.listdir(self.libraries))
        if archive is not None:
            flags = self.pkg_config("--cflags", "ebb")
            self.build_and_run("static library, shared C library", "ebb", flags and flags + [archive])
            self.build_and_run("all static", "ebb", flags and flags + ["-static", archive])

    def words(self, module, more):
        words = self.pkg_config("--cflags", "--libs", module)
        return None if words is None else words + more


def main():
    parser = argparse.ArgumentParser()
    for name in ("build", "source", "cc", "version"):
        parser.add_argument("--" + name, required=True)
    args = parser.parse_args()
    if shutil.which("pkg-config") is None:
        print("1..0 # SKIP there is no pkg-config")
        return 0
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix="ebb-install-") as root:
        status, text = call(["meson", "install", "--no-rebuild", "-C", args.build, "--destdir", root])
        tap.case("meson install", status == 0, text[-2000:])
        if status == 0:
            Consumer(tap, args, root).run()
            header = one(os.path.join(root, "**", "ebb", "malloc.h"))
            tap.case("the header is installed",
                     header is not None and re.search(r"include/ebb/malloc\.h$", header) is not None)
    return tap.finish()


sys.exit(main())
