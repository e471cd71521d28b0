# SPDX-License-Identifier: MIT
"""Rules on the text of single files: form, length, banned functions, licence, unfinished work, private paths."""

import os
import re

from source import Offence, functions, line_of

FILE_LINES, FUNCTION_LINES, LINE_COLUMNS = 800, 80, 132

# name: what to use instead. The lookups are on code without comments and strings.
BANNED = {
    "strcpy": "snprintf or memcpy with a size", "strcat": "snprintf", "stpcpy": "memcpy with a size",
    "strncpy": "memcpy with a size", "sprintf": "snprintf", "vsprintf": "vsnprintf", "gets": "fgets",
    "atoi": "strtol with a check", "atol": "strtol with a check", "atof": "strtod with a check",
    "strtok": "strtok_r or a scanner", "rand": "a generator with a printed seed",
    "srand": "a generator with a printed seed",
    "tmpnam": "mkstemp", "mktemp": "mkstemp", "alloca": "a bounded array", "asctime": "strftime", "ctime": "strftime",
    "gmtime": "gmtime_r", "localtime": "localtime_r", "readdir_r": "readdir", "setjmp": "return values",
    "system": "posix_spawn without a shell", "popen": "posix_spawn without a shell",
}
# In the library besides: it neither prints nor exits, and its options are read in one place.
LIBRARY_BANNED = {"getenv": "the options of src/conf", "printf": "an error value", "fprintf": "an error value",
                  "perror": "an error value", "puts": "an error value", "exit": "an error value",
                  "sleep": "nothing: the library does not poll", "usleep": "nothing: the library does not poll"}
LICENSED = (".c", ".h", ".cc", ".def", ".S", ".py", ".sh")
UNFINISHED = re.compile(r"\b(FIX" r"ME|TO" r"DO|X" r"XX|HA" r"CK)\b")
HOME_FOLDER = re.compile(r"(?<![\w.])/(?:home|Users)/(?!USER\b|NAME\b|\*|<|\$)[\w.-]+/")


def check_form(tree):
    for path in tree.texts():
        text = tree.read(path)
        if text and not text.endswith("\n"):
            yield Offence("form", path, text.count("\n") + 1, "no newline at the end of the file")
        if text.endswith("\n\n"):
            yield Offence("form", path, text.count("\n"), "empty line at the end of the file")
        for number, line in enumerate(text.split("\n"), 1):
            if line != line.rstrip() and not path.endswith(".md"):
                yield Offence("form", path, number, "white space at the end of the line")
            if "\t" in line and path.endswith((".c", ".h", ".cc", ".def", ".py", ".sh", ".build")):
                yield Offence("form", path, number, "a tab")
            if len(line) > LINE_COLUMNS and path.endswith((".py", ".sh")):  # clang-format judges C
                yield Offence("form", path, number, f"{len(line)} columns, more than {LINE_COLUMNS}")
            if "\r" in line:
                yield Offence("form", path, number, "a carriage return")


def check_unfinished(tree):
    for path in tree.texts():
        for match in UNFINISHED.finditer(tree.read(path)):
            yield Offence("unfinished", path, line_of(tree.read(path), match.start()), match.group(0))


def check_licence(tree):
    for path in tree.select(*LICENSED) + [path for path in ("dev",) if path in tree.paths]:
        text = tree.read(path)
        if text.strip() and "SPDX-License-Identifier: MIT" not in "\n".join(text.split("\n")[:2]):
            yield Offence("licence", path, 1, "no SPDX-License-Identifier in the first two lines")


def check_length(tree):
    for path in tree.select(".c", ".h", ".cc", ".py", ".sh") + ["dev"]:
        if path in tree.paths and tree.read(path).count("\n") > FILE_LINES:
            yield Offence("length", path, FILE_LINES, f"{tree.read(path).count(chr(10))} lines, more than {FILE_LINES}")
    for path in tree.select(".c", ".h", ".cc"):
        for name, line, lines in functions(tree.code(path)):
            if lines > FUNCTION_LINES:
                yield Offence("length", path, line, f"{name} has {lines} lines, more than {FUNCTION_LINES}")


def check_banned(tree):
    for path in tree.select(".c", ".h", ".cc"):
        code = tree.code(path)
        banned = dict(BANNED)
        if path.startswith("src/") and not path.startswith(("src/tool/", "src/probe/", "src/model/")):
            banned.update(LIBRARY_BANNED)
        for match in re.finditer(r"(?<![\w.>])(\w+)\s*\(", code):
            name = match.group(1)
            if name in banned:
                yield Offence("banned", path, line_of(code, match.start()), f"{name}: use {banned[name]}")


def checkout_places(root):
    """This checkout's folder and the one around it, unless that is a common one that any text may name."""
    around = os.path.dirname(root)
    common = ("/", "/tmp", "/root", "/home", "/usr", "/usr/src", "/src", "/srv", "/build", "/opt")
    return [root + "/"] + ([] if around in common else [around + "/"])


def check_private_paths(tree):
    """Nothing may name a folder of a developer's machine: this checkout's own place, or somebody's home."""
    for path in tree.texts():
        text = tree.read(path)
        for place in checkout_places(tree.root):
            for match in re.finditer(r"(?<![\w.$}])" + re.escape(place), text):
                yield Offence("private-path", path, line_of(text, match.start()), "names the place of this checkout")
        for match in HOME_FOLDER.finditer(text):
            yield Offence("private-path", path, line_of(text, match.start()), match.group(0))


RULES = [check_form, check_unfinished, check_licence, check_length, check_banned, check_private_paths]
