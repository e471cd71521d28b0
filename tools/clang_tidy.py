# SPDX-License-Identifier: MIT
"""Runs clang-tidy over the C files of src/, bench/ and demo/, as many at once as there are processors.

clang_tidy.py BUILD     a folder configured with clang, for its compile_commands.json
"""

import concurrent.futures
import json
import os
import subprocess
import sys

FOLDERS = ("src", "bench", "demo")


def sources(build):
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        entries = json.load(file)
    paths = {os.path.realpath(os.path.join(entry["directory"], entry["file"])) for entry in entries}
    here = os.path.realpath(".")
    return sorted(path for path in paths
                  if path.endswith(".c") and os.path.relpath(path, here).split(os.sep)[0] in FOLDERS)


def check(build, path):
    done = subprocess.run(["clang-tidy", "--quiet", "-p", build, "--warnings-as-errors=*", path], capture_output=True,
                          text=True, check=False)
    return path, done.returncode, done.stdout.strip() or (done.stderr if done.returncode else "")


def main(build):
    paths = sources(build)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, status, output in pool.map(lambda path: check(build, path), paths):
            if status != 0:
                failed += 1
                print(f"{os.path.relpath(path)}:\n{output}\n", flush=True)
    print(f"{len(paths)} files, {failed} with findings")
    return 1 if failed or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
