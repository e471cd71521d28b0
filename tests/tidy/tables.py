# SPDX-License-Identifier: MIT
"""One row, everything else from it: each row of a table has its help and its manual; docs name functions that exist."""

import re

from source import Offence, line_of


def rows(tree, path, macro):
    """(line, [arguments]) of each row `macro(a, b, "c")` of a table; strings come without their quotes."""
    if not tree.exists(path):
        return
    text = tree.read(path)
    code = re.sub(r"/\*.*?\*/", lambda match: "\n" * match.group(0).count("\n"), text, flags=re.S)
    for match in re.finditer(rf"^[ \t]*{macro}\(", code, re.M):
        yield line_of(code, match.start()), arguments(code, match.end())


def arguments(code, position):
    """The arguments of a call whose opening parenthesis ends before position; adjacent strings are joined."""
    found, current, depth = [], "", 0
    for token in re.finditer(r'"(?:\\.|[^"\\])*"|[(){},]|[^"(){},]+', code[position:]):
        part = token.group(0)
        if part in "({":
            depth += 1
        elif part in ")}":
            if depth == 0:
                break
            depth -= 1
        elif part == "," and depth == 0:
            found.append(current.strip())
            current = ""
            continue
        current += part[1:-1] if part.startswith('"') else (part if part.strip() else "")
    return found + [current.strip()]


def check_options(tree):
    manual = "man/ebb-malloc.7"
    for line, row in rows(tree, "src/conf/options.def", "OPTION"):
        name, help_text = row[0], row[-1]
        if len(help_text) < 10:
            yield Offence("tables", "src/conf/options.def", line, f"option {name} has no help")
        if not tree.exists(manual):
            yield Offence("tables", manual, 1, f"is missing, and option {name} is documented nowhere")
        elif not re.search(rf"^\.(It|Ic|Cm|Va|Ar|Op|Sy)\b.*\b{name}\b", tree.read(manual), re.M):
            yield Offence("tables", "src/conf/options.def", line, f"option {name} is not in {manual}")


def check_stats(tree):
    seen = set()
    for line, row in rows(tree, "src/stats/stats.def", "STAT"):
        if len(row[-1]) < 5 or not row[-2]:
            yield Offence("tables", "src/stats/stats.def", line, f"counter {row[0]} has no help or no unit")
        if row[0] in seen:
            yield Offence("tables", "src/stats/stats.def", line, f"counter {row[0]} stands twice")
        seen.add(row[0])


def check_commands(tree):
    for line, row in rows(tree, "src/tool/commands.def", r"[A-Z_]*COMMAND"):
        name = row[0].replace("_", "-")
        if not any(tree.exists(f"man/ebb-{name}.{section}") for section in (1, 8)):
            yield Offence("tables", "src/tool/commands.def", line, f"command {name} has no page man/ebb-{name}.1")


def check_named_functions(tree):
    """`file.c: function` in the documents must name what exists."""
    for path in tree.select(".md", under="docs/"):
        text = tree.read(path)
        for match in re.finditer(r"`([\w/.-]+\.[chS]): (\w+)(?:\(\))?`", text):
            file, function = match.groups()
            found = [other for other in tree.select(".c", ".h", ".S") if ("/" + other).endswith("/" + file)]
            if not found:
                yield Offence("documents", path, line_of(text, match.start()), f"there is no file {file}")
            elif not any(re.search(rf"\b{function}\b", tree.code(other)) for other in found):
                yield Offence("documents", path, line_of(text, match.start()), f"{file} has no {function}")


def check_links(tree):
    """Relative links of the documents lead somewhere."""
    for path in tree.select(".md"):
        text = tree.read(path)
        folder = path.rpartition("/")[0]
        for match in re.finditer(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            target = match.group(1)
            if "://" in target or target.startswith("mailto:"):
                continue
            if not tree.exists(f"{folder}/{target}" if folder else target):
                yield Offence("documents", path, line_of(text, match.start()), f"the link {target} leads nowhere")


RULES = [check_options, check_stats, check_commands, check_named_functions, check_links]
