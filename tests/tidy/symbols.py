# SPDX-License-Identifier: MIT
"""What each module's static library asks of the linker: nothing from above, and of libc only what its floor may use."""

import glob
import os
import re
import subprocess

from layers import FLOORS, NEIGHBOURS
from source import Offence

# What the compiler itself may call for, on any floor.
COMPILER = {"__popcountdi2", "memcpy", "memmove", "memset", "memcmp", "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_",
            "__tls_get_addr", "__memcpy_chk", "__memmove_chk", "__memset_chk", "__stack_chk_guard",
            "_dl_x86_get_cpu_features"}
# Plain work on memory and the end of the process: no lock, no allocation, no locale.
PLAIN = {"strlen", "strnlen", "strcmp", "strncmp", "strchr", "memchr", "memrchr", "strrchr", "abort"}
# Floor 1 is where Linux is, and the hooks of threads and fork.
LINUX = {"environ", "pthread_atfork", "pthread_key_create", "pthread_setspecific", "mmap", "munmap", "mprotect",
         "madvise", "mremap", "mincore", "process_madvise", "sysconf", "getpagesize", "getauxval", "syscall",
         "clock_gettime", "getrlimit", "getrlimit64", "sched_getcpu", "sched_yield", "sched_getaffinity",
         "__sched_cpucount", "prctl", "getpid", "gettid", "open", "openat", "open64", "openat64", "read", "pread",
         "pread64", "ioctl", "write", "close", "fstat", "fstat64", "fstatat", "fstatat64", "readlink", "readlinkat",
         "opendir", "fdopendir", "readdir", "readdir64", "closedir", "dirfd",
         "uname", "process_vm_readv", "kill", "__errno_location",
         "getdents64", "pthread_create", "pthread_sigmask", "pthread_attr_init", "pthread_attr_destroy",
         "pthread_attr_setdetachstate", "pthread_attr_setstacksize", "__libc_single_threaded"}
# Parsers turn text into numbers and numbers into text; they print nothing themselves.
PARSERS = {"strtol", "strtoul", "strtoull", "strtod", "snprintf", "vsnprintf", "__snprintf_chk", "strstr", "memmem",
           "strcspn", "strspn", "qsort", "bsearch", "__isoc99_sscanf", "__ctype_b_loc", "strerror", "strerrordesc_np"}
# Weak: there in a program with AddressSanitizer, which floor 0 tells what may be touched.
TOOLS = {"__asan_poison_memory_region", "__asan_unpoison_memory_region"}
ALLOWED = {"base": COMPILER | PLAIN | TOOLS, "os": COMPILER | PLAIN | LINUX, "probe": COMPILER | PLAIN | LINUX | PARSERS,
           "model": COMPILER | PLAIN | PARSERS}


def symbols(archive):
    """(defined, undefined) global symbols of a static library."""
    listed = subprocess.run(["nm", "-g", "-P", archive], capture_output=True, text=True, check=True).stdout
    defined, undefined = set(), set()
    for line in listed.splitlines():
        fields = line.split()
        if len(fields) >= 2 and len(fields[1]) == 1:
            (undefined if fields[1] in "Uwv" else defined).add(fields[0])
    return defined, undefined - defined


def archives(build):
    """(module, archive) of each module that is built; test doubles and what is installed have other names."""
    paths = [(module, os.path.join(build, "src", module, name.format(module)))
             for module in FLOORS for name in ("lib{}.a", "libebb-{}.a")]
    return [(module, path) for module, path in paths if os.path.exists(path)]


def instrumented(build):
    """Sanitizers and coverage put calls of their own into everything; then this rule has nothing to say."""
    return bool(re.search(r"-fsanitize|--coverage|-fprofile", compile_commands(build)))


def compile_commands(build):
    try:
        with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def check_symbols(build):
    if instrumented(build):
        return
    table = [(module, *symbols(archive)) for module, archive in archives(build)]
    home = {symbol: module for module, defined, _ in table for symbol in defined}
    for module, _, undefined in table:
        for symbol in sorted(undefined):
            why = judge(module, symbol, home.get(symbol))
            if why:
                yield Offence("symbols", f"src/{module}/", 1, why)


def judge(module, symbol, home):
    """Why this module may not use that symbol, or None."""
    if home:
        upward = FLOORS[home] > FLOORS[module] or (FLOORS[home] == FLOORS[module] and home != module
                                                   and (module, home) not in NEIGHBOURS)
        return f"{symbol} is of {home}, not below {module}" if upward else None
    if symbol.startswith("ebb") and FLOORS[module] < 6:
        return f"{symbol} is defined in no module"
    if symbol.startswith(("elf_", "gelf_")) and module == "probe":
        return None
    if FLOORS[module] < 5 and symbol not in ALLOWED.get(module, COMPILER | PLAIN):
        return f"{symbol} is not on the list of floor {FLOORS[module]}"
    return None


def check_build(build):
    """At least the lowest floor must be there, or the rule above looked at nothing."""
    if not glob.glob(os.path.join(build, "src", "base", "libbase.a")):
        yield Offence("symbols", build, 1, "is not a built tree: src/base/libbase.a is missing")


RULES = [check_build, check_symbols]
