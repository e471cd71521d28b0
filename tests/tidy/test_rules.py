# SPDX-License-Identifier: MIT
"""Each rule of tidy must see an offence that is planted for it, and stay quiet about the tree before that."""

import os
import subprocess
import sys
import tempfile
import unittest

import exemptions
import layers
import symbols
import tables
import text
import tidy
from source import Offence, Tree, functions

LICENCE = "/* SPDX-License-Identifier: MIT */\n"
CLEAN = {
    "src/base/base.h": LICENCE + "int ebb__bits(int x);\n",
    "src/heap/heap.h": LICENCE + '#include "base/base.h"\n',
    "src/heap/heap.c": LICENCE + '#include "heap/heap.h"\n\nint ebb__bits(int x)\n{\n    return x; /* strcpy(a, b) */\n}\n',
    "src/conf/options.def": LICENCE + 'OPTION(speed, NUMBER, 0, 0, 1, "0 or 1", "makes it faster, " "or slower")\n',
    "src/stats/stats.def": LICENCE + 'STAT(calls, COUNT, "calls", "made in all")\n',
    "src/tool/commands.def": LICENCE + 'COMMAND(run, cmd_run, "starts a program")\n',
    "man/ebb-malloc.7": ".It Cm speed\n",
    "man/ebb-run.1": ".Dd today\n",
    "docs/architecture.md": "See `heap.c: ebb__bits` and [the heap](../src/heap/heap.h).\n",
}
# rule, file, its planted text, part of the message
PLANTED = [
    ("layers", "src/base/up.c", LICENCE + '#include "heap/heap.h"\n', "floor 0 (base) includes floor 3 (heap)"),
    ("layers", "src/heap/down.c", LICENCE + '#include "os/linux_priv.h"\n', "is private to os"),
    ("layers", "src/cache/door.c", LICENCE + '#include "heap/span.h"\n', "its door is heap/heap.h"),
    ("layers", "src/heap/side.c", LICENCE + '#include "probe/maps.h"\n', "the library does not see probe"),
    ("layers", "src/tool/tool.c", LICENCE + '#include "heap/heap.h"\n', "the tool does not see heap"),
    ("layers", "src/conf/next.c", LICENCE + '#include "stats/stats.h"\n', "neighbours"),
    ("layers", "src/books/deep.c", LICENCE + '#include "heap/heap.h"\n', "books does not see heap"),
    ("layers", "src/model/ask.c", LICENCE + '#include "books/books.h"\n', "floor 2 (model) includes floor 7 (books)"),
    ("layers", "src/books/up.c", LICENCE + '#include "tool/emit.h"\n', "books does not see tool"),
    ("layers", "src/attic/new.c", LICENCE, "attic is not a module"),
    ("layers", "bench/b.c", LICENCE + '#include "heap/heap.h"\n', "of src/"),
    ("layers", "src/heap/all.c", LICENCE + '#include "heap/heap.c"\n', "includes a .c file"),
    ("form", "src/heap/tab.c", LICENCE + "\tint x;\n", "a tab"),
    ("form", "src/heap/space.c", LICENCE + "int x; \n", "white space"),
    ("form", "src/heap/end.c", LICENCE + "int x;", "no newline"),
    ("form", "tools/long.py", "# SPDX-License-Identifier: MIT\n#" + "-" * 139 + "\n", "140 columns"),
    ("unfinished", "src/heap/later.c", LICENCE + "/* TO" "DO: later */\n", "TO" "DO"),
    ("licence", "src/heap/free.c", "int x;\n", "SPDX"),
    ("length", "src/heap/long.c", LICENCE + "\n" * 900 + "int x;\n", "902 lines"),
    ("length", "src/heap/big.c", LICENCE + "static int big(int x)\n{\n" + "    x++;\n" * 90 + "}\n", "big has 92 lines"),
    ("banned", "src/tool/copy.c", LICENCE + "void f(char *a)\n{\n    strcpy (a, a);\n}\n", "strcpy"),
    ("banned", "src/heap/env.c", LICENCE + "char *f(void)\n{\n    return getenv(0);\n}\n", "getenv"),
    ("private-path", "docs/home.md", "look into /home/" "somebody/ebb\n", "/somebody/"),
    ("tables", "src/conf/options.def",
     CLEAN["src/conf/options.def"] + 'OPTION(hid, NUMBER, 0, 0, 1, "", "hidden from all")\n',
     "hid is not in man/ebb-malloc.7"),
    ("tables", "src/stats/stats.def", LICENCE + 'STAT(calls, COUNT, "calls", "")\n', "no help"),
    ("tables", "src/tool/commands.def", LICENCE + 'COMMAND(lost, cmd_lost, "gets lost")\n', "lost has no page"),
    ("documents", "docs/wrong.md", "See `heap.c: ebb__gone`.\n", "heap.c has no ebb__gone"),
    ("documents", "docs/wrong.md", "See `gone.c: main`.\n", "there is no file gone.c"),
    ("documents", "README.md", "[there](docs/nowhere.md)\n", "leads nowhere"),
]


def write(root, files):
    for path, content in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(content)


def judge(files):
    with tempfile.TemporaryDirectory() as root:
        write(root, files)
        tree = Tree(os.path.realpath(root))
        return [offence for module in (layers, text, tables) for rule in module.RULES for offence in rule(tree)]


class Rules(unittest.TestCase):
    """The rules on sources."""

    def test_a_clean_tree_has_no_offence(self):
        self.assertEqual(judge(CLEAN), [])

    def test_each_planted_offence_is_seen(self):
        for rule, path, content, message in PLANTED:
            with self.subTest(rule=rule, path=path, message=message):
                found = judge({**CLEAN, path: content})
                self.assertTrue(any(o.rule == rule and o.path == path and message in o.what for o in found), found)

    def test_functions_are_measured_in_whole(self):
        code = "struct s {\n    int a;\n};\n\nstatic int\nmany(int x,\n     int y)\n{\n    return x;\n}\n"
        self.assertEqual(list(functions(code)), [("many", 8, 3)])


class Exemptions(unittest.TestCase):
    """The list of exemptions only shrinks."""

    def test_an_exemption_exempts_once_and_offends_when_unused(self):
        saved = exemptions.EXEMPTIONS[:]
        try:
            exemptions.EXEMPTIONS[:] = [exemptions.Exemption("form", "a.c", "a tab", "because")]
            used = set()
            self.assertEqual(len(list(tidy.unused(used, None))), 1)
            self.assertTrue(tidy.exempted(Offence("form", "a.c", 3, "a tab"), used))
            self.assertFalse(tidy.exempted(Offence("form", "b.c", 3, "a tab"), used))
            self.assertEqual(list(tidy.unused(used, None)), [])
        finally:
            exemptions.EXEMPTIONS[:] = saved

    def test_each_exemption_has_a_reason(self):
        for exemption in exemptions.EXEMPTIONS:
            self.assertGreater(len(exemption.reason), 15, exemption)


class Symbols(unittest.TestCase):
    """The rule on built modules, with two small archives."""

    def test_calls_up_and_calls_of_libc_are_seen(self):
        sources = {"base": "int ebb__heap_take(void); int ebb__base(void) { return ebb__heap_take(); }",
                   "heap": "#include <stdlib.h>\n#include <string.h>\nint ebb__base(void);\n"
                           "int ebb__heap_take(void) { free(malloc(ebb__base() + strlen(getenv(\"X\")))); return 0; }"}
        with tempfile.TemporaryDirectory() as build:
            for module, source in sources.items():
                folder = os.path.join(build, "src", module)
                write(folder, {"m.c": source})
                subprocess.run(["cc", "-O0", "-fno-builtin", "-c", "m.c", "-o", "m.o"], cwd=folder, check=True)
                subprocess.run(["ar", "rcs", f"lib{module}.a", "m.o"], cwd=folder, check=True)
            found = {offence.what.split()[0] for offence in symbols.check_symbols(build)}
            self.assertEqual(found, {"ebb__heap_take", "malloc", "free", "getenv"})

    def test_an_empty_build_is_an_offence(self):
        with tempfile.TemporaryDirectory() as build:
            self.assertEqual(len(list(symbols.check_build(build))), 1)


if __name__ == "__main__":
    sys.exit(0 if unittest.main(verbosity=1, exit=False).result.wasSuccessful() else 1)
