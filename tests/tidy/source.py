# SPDX-License-Identifier: MIT
"""The files of the tree, and C seen without its comments and strings."""

import collections
import functools
import os
import re
import subprocess

Offence = collections.namedtuple("Offence", "rule path line what")

TEXT_ENDINGS = (".c", ".h", ".cc", ".def", ".S", ".py", ".sh", ".md", ".build", ".txt", ".in", ".map", ".ini",
                ".service", ".conf", ".1", ".3", ".5", ".7", ".8", ".html", ".css", ".js", ".json", ".yml", ".rules")
SCRIPTS = ("dev", ".ci/run", ".clang-tidy", ".clang-format", ".editorconfig", ".gitignore")


class Tree:
    """The files of a work tree, by path from its root; those that git ignores are left out."""

    def __init__(self, root):
        self.root = root
        self.paths = sorted(self.list_files())

    def list_files(self):
        if os.path.isdir(os.path.join(self.root, ".git")):
            listed = subprocess.run(["git", "-C", self.root, "ls-files", "-co", "--exclude-standard", "-z"],
                                    capture_output=True, check=False)
            if listed.returncode == 0:
                return [path for path in set(listed.stdout.decode().split("\0"))
                        if path and os.path.isfile(os.path.join(self.root, path))]
        found = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if name not in (".git", "__pycache__")
                          and not (folder == self.root and name.startswith("build"))]
            found += [os.path.relpath(os.path.join(folder, name), self.root) for name in names]
        return found

    def select(self, *endings, under=""):
        return [path for path in self.paths if path.endswith(endings) and path.startswith(under)]

    def texts(self):
        """All files made of text that people write, except captured fixtures and results."""
        return [path for path in self.paths
                if (path.endswith(TEXT_ENDINGS) or path in SCRIPTS)
                and not re.search(r"(^|/)(fixtures?|corpus|golden|results|screens)/", path)]

    def exists(self, path):
        return os.path.exists(os.path.join(self.root, path))

    @functools.lru_cache(maxsize=None)
    def read(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as file:
            return file.read()

    @functools.lru_cache(maxsize=None)
    def code(self, path):
        """The file without comments and the contents of strings; line numbers stay."""
        return strip_c(self.read(path))


TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def strip_c(text):
    def blank(match):
        token = match.group(0)
        if token.startswith("/"):
            return " " + "\n" * token.count("\n")
        return token[0] + token[0]
    return TOKENS.sub(blank, text)


def functions(text):
    """(name, first line, lines) of each function in clang-format's Linux style: braces in column 0."""
    lines = text.split("\n")
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line.startswith("}") and start:
            head = " ".join(lines[max(0, start - 8):start - 1])
            names = re.findall(r"(\w+)\s*\(", re.split(r"[;}]", head)[-1])
            yield (names[0] if names else "?"), start, number - start + 1
            start = None


def line_of(text, position):
    return text.count("\n", 0, position) + 1
