#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the dynamic loader sees of a library: never unloaded, little static TLS, needs the C library alone.

    elf.py --library FILE [--readelf READELF]
"""
import argparse
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "conform"))
from runner import Tap

# The C library keeps some 1,600 bytes of static TLS for libraries that are opened later, all of them
# together; what a preloaded library takes is part of every thread's stack.
TLS_BYTES_MAX = 64
NEEDED = re.compile(r"^(libc\.so\.6|ld-linux.*\.so\.[0-9]+)$")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--readelf", default="readelf")
    args = parser.parse_args()

    def read(what):
        return subprocess.run([args.readelf, "-W", what, args.library], check=True, stdout=subprocess.PIPE,
                              env=dict(os.environ, LC_ALL="C")).stdout.decode()

    dynamic, segments, sections = read("-d"), read("-l"), read("-S")
    tap = Tap()
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
    tap.case("needs the C library alone", needed and all(NEEDED.match(name) for name in needed), needed)
    flags = " ".join(re.findall(r"\(FLAGS(?:_1)?\)\s*(.*)", dynamic))
    tap.case("is never unloaded (-z nodelete)", "NODELETE" in flags, flags)
    tap.case("is bound at load (-z now)", "NOW" in flags, flags)
    tap.case("has no text relocations", "TEXTREL" not in dynamic, dynamic)
    tls = re.findall(r"^\s+TLS\s+\S+\s+\S+\s+\S+\s+\S+\s+(0x[0-9a-f]+)", segments, re.M)
    tls_bytes = sum(int(size, 16) for size in tls)
    tap.note("%d bytes of thread-local data" % tls_bytes)
    tap.case("has at most %d bytes of static TLS" % TLS_BYTES_MAX, 0 < tls_bytes <= TLS_BYTES_MAX, tls_bytes)
    tap.case("relocated data are read-only (-z relro)", "GNU_RELRO" in segments, segments)
    stack = re.search(r"GNU_STACK.*?\b(R[W ][E ])", segments)
    tap.case("needs no executable stack", stack is not None and "E" not in stack.group(1), segments)
    writable_code = re.search(r"^\s+LOAD.*\bRWE\b", segments, re.M)
    tap.case("has no segment both writable and executable", writable_code is None, segments)
    soname = re.search(r"\(SONAME\).*\[(.*)\]", dynamic)
    tap.case("has a soname", soname is not None, dynamic)
    tap.case("has no constructors of the old kind", ".ctors" not in sections, sections)
    return tap.finish()


sys.exit(main())
