# SPDX-License-Identifier: MIT
"""Runs the fuzz targets of tests/fuzz, one after the other, each for some seconds.

fuzz.py BUILD [TARGET] [SECONDS]        BUILD is a build folder of the project tests/fuzz; 60 seconds each

Seeds are the files of tests/fixtures that have a target's name, for elf a small program, for wire a small page. What is found
new stays in BUILD/corpus/TARGET for the next time; an input that breaks a target is kept in BUILD/crashes.
"""

import glob
import os
import shutil
import struct
import subprocess
import sys

SEED_BYTES_MAX = 65536


def targets(build):
    found = {os.path.basename(path)[len("fuzz_"):]: path for path in glob.glob(os.path.join(build, "fuzz_*"))
             if os.path.isfile(path) and os.access(path, os.X_OK)}
    return dict(sorted(found.items()))


def stats_page():
    """A page of one class and one row, as src/wire/stats_page.h describes it."""
    header, summary, class_, row = 104, 56, 64, 56
    page = struct.pack("<8s14I16sQQq", b"EBBSTATS", 1, header + summary + class_ + row, header, summary, header, 1, class_,
                       header + summary, 1, row, header + summary + class_, 1, 2, 4, b"1.2.3", 5, 6, 7)
    return page + bytes(summary + class_) + struct.pack("<32s12sIQ", b"commits", b"calls", 0, 9)


# One for each of the parsers of src/books; the first byte chooses.
BOOKS = (b"\0" b"0000000000000000: 00000002 00000000 00010000 0001 01 28313 /run/mysqld/mysqld.sock",
         b"\0" b"   0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000   112        0 23456 1 0",
         b"\1" b"$32\r\nredis_version:7\r\nused_memory:8\r\n", b"\1" b"redis_version:7\r\nmaxmemory:0\r\n",
         b"\2" b"user:pass@[::1]:3306", b"\2" b"user@/run/mysqld/mysqld.sock", b"\2" b"16kB")


def seed(name, folder):
    paths = [path for path in glob.glob("tests/fixtures/**", recursive=True) if os.path.basename(path) == name]
    if name == "elf":
        paths += ["/bin/true"]
    if name == "wire":
        with open(os.path.join(folder, "seed-page"), "wb") as file:
            file.write(stats_page())
    for number, text in enumerate(BOOKS if name == "books" else ()):
        with open(os.path.join(folder, f"seed-text-{number}"), "wb") as file:
            file.write(text)
    for number, path in enumerate(sorted(paths)):
        if os.path.isfile(path) and os.path.getsize(path) <= SEED_BYTES_MAX:
            shutil.copyfile(path, os.path.join(folder, f"seed-{number}"))


def fuzz(build, name, program, seconds):
    corpus, crashes = os.path.join(build, "corpus", name), os.path.join(build, "crashes")
    for folder in (corpus, crashes):
        os.makedirs(folder, exist_ok=True)
    seed(name, corpus)
    print(f"==> {name}, {seconds} s ... ", end="", flush=True)
    done = subprocess.run([program, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048",
                           f"-max_len={SEED_BYTES_MAX}", "-print_final_stats=1", f"-artifact_prefix={crashes}/{name}-",
                           corpus], capture_output=True, text=True, errors="replace", check=False)
    units = [line.split(":")[-1].strip() for line in done.stderr.splitlines()
             if line.startswith("stat::number_of_executed_units")]
    if done.returncode == 0 and units and int(units[0]) > 0:
        print(f"{units[0]} inputs, no finding", flush=True)
        return True
    print("FAILED\n" + "\n".join("    " + line for line in done.stderr.splitlines()[-40:]), flush=True)
    return False


def main(arguments):
    build, chosen, seconds = arguments[0], None, 60
    for word in arguments[1:]:
        if word.isdigit():
            seconds = int(word)
        else:
            chosen = word
    existing = targets(build)
    if not existing or (chosen and chosen not in existing):
        print(f"dev: there is no fuzz target {chosen or ''}; there are: {' '.join(existing) or 'none'}", file=sys.stderr)
        return 2
    names = [chosen] if chosen else list(existing)
    verdicts = [fuzz(build, name, existing[name], seconds) for name in names]
    print(f"{sum(verdicts)} passed, {len(verdicts) - sum(verdicts)} failed")
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
