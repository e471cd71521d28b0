# SPDX-License-Identifier: MIT
"""What a figure needs beside it: the machine, and how busy it was."""

import os
import platform
import time


def _first(path, key):
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.startswith(key):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return None


def facts():
    """A dictionary for --json."""
    memory = _first("/proc/meminfo", "MemTotal")
    return {"date": time.strftime("%Y-%m-%d"), "kernel": platform.release(), "machine": platform.machine(),
            "cpu": _first("/proc/cpuinfo", "model name"), "cpus": len(os.sched_getaffinity(0)),
            "memory_bytes": int(memory.split()[0]) * 1024 if memory else None,
            "os_page_bytes": os.sysconf("SC_PAGE_SIZE"), "libc": " ".join(platform.libc_ver()),
            "load_average": os.getloadavg()[0]}


def line(known):
    """The same in one line."""
    cpu = known["cpu"] or known["machine"]
    return (f"{cpu}, {known['cpus']} CPUs, Linux {known['kernel']}, {known['libc']}, "
            f"{known['os_page_bytes'] // 1024} KiB pages, {known['date']}")


def warning(known):
    """A busy machine blurs speed and latency; say so beforehand."""
    if known["load_average"] > 0.5 * known["cpus"]:
        return (f"The machine is busy (load average {known['load_average']:.1f} on {known['cpus']} CPUs): "
                "speed and latency will vary, memory hardly.")
    return None
