# SPDX-License-Identifier: MIT
"""The floor plan of docs/architecture.md: includes go down only, and through a module's door."""

import re

from source import Offence, line_of

FLOORS = {"base": 0, "os": 1, "probe": 1, "conf": 2, "stats": 2, "ledger": 2, "wire": 2, "model": 2, "heap": 3,
          "cache": 4, "region": 4, "pool": 4, "governor": 5, "api": 6, "entry": 6, "books": 7, "tool": 7}
# Modules that are toolboxes: each of their headers is a door, except those that end in _priv.h.
TOOLBOXES = {"base", "probe", "wire", "model"}
# The tool works where our malloc is not in use, so it sees only these.
TOOL_SEES = {"base", "probe", "wire", "model", "books", "tool"}
# A library of the tool's: it asks servers over their sockets, and knows of processes what probe does.
BOOKS_SEE = {"base", "probe", "books"}
# The allocator must not drag the parsers of /proc in.
LIBRARY_NEVER_SEES = {"probe", "model", "books", "tool"}
# Neighbours on one floor that may know each other: (who, whom).
NEIGHBOURS = {("entry", "api"), ("api", "entry"), ("model", "wire"), ("stats", "wire"),
              ("wire", "conf"), ("tool", "books")}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', re.M)


def module_of(path):
    parts = path.split("/")
    return parts[1] if parts[0] == "src" and len(parts) > 2 else None


def is_door(target):
    module, name = target.split("/", 1)
    if name.endswith(("_priv.h", "_inl.h")):
        return False
    return name == module + ".h" or name.endswith(".def") or module in TOOLBOXES


def judge(module, target):
    """Why this module may not include that header, or None."""
    other = target.split("/")[0]
    if other == "ebb":
        return None  # the public headers; the symbols tell who may define what they declare
    if other not in FLOORS:
        return f"{other} is not a module of the floor plan"
    if other == module:
        return None
    if module == "tool" and other not in TOOL_SEES:
        return f"the tool does not see {other}"
    if module == "books" and other not in BOOKS_SEE:
        return f"books does not see {other}"
    if module not in ("tool", "model", "probe", "books") and other in LIBRARY_NEVER_SEES:
        return f"the library does not see {other}"
    if FLOORS[other] > FLOORS[module]:
        return f"floor {FLOORS[module]} ({module}) includes floor {FLOORS[other]} ({other})"
    if FLOORS[other] == FLOORS[module] and (module, other) not in NEIGHBOURS:
        return f"{module} and {other} are neighbours on floor {FLOORS[module]}"
    if not is_door(target):
        return f"{target} is private to {other}; its door is {other}/{other}.h"
    return None


def check_layers(tree):
    for path in tree.select(".c", ".h", ".def", ".S", under="src/"):
        module = module_of(path)
        if module not in FLOORS:
            yield Offence("layers", path, 1, f"{module} is not a module of the floor plan")
            continue
        text = tree.read(path)
        for match in INCLUDE.finditer(text):
            target = match.group(1)
            if "/" not in target:
                if not tree.exists(f"src/{module}/{target}"):
                    yield Offence("layers", path, line_of(text, match.start()), f"write the module before {target}")
                continue
            why = judge(module, target)
            if why:
                yield Offence("layers", path, line_of(text, match.start()), why)


def check_programs(tree):
    """The bench and demo programs and the examples are users of the library: public headers only."""
    for folder in ("bench/", "demo/", "examples/"):
        for path in tree.select(".c", ".h", under=folder):
            text = tree.read(path)
            for match in INCLUDE.finditer(text):
                if match.group(1).split("/")[0] in FLOORS:
                    yield Offence("layers", path, line_of(text, match.start()), f"includes {match.group(1)} of src/")


def check_c_includes_c(tree):
    for path in tree.select(".c", ".h"):
        text = tree.read(path)
        for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]+["<][^">]+\.c[">]', text, re.M):
            yield Offence("layers", path, line_of(text, match.start()), "includes a .c file")


RULES = [check_layers, check_programs, check_c_includes_c]
