# SPDX-License-Identifier: MIT
"""A strict reader of OpenMetrics 1.0 texts, for the subset that ebb writes: gauges and counters without timestamps."""

import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
META = re.compile(rf"# (TYPE|UNIT|HELP) ({NAME}) (.+)")
SAMPLE = re.compile(rf"({NAME})(\{{{LABEL}(?:,{LABEL})*\}})? ([-+]?(?:\d+(?:\.\d+)?(?:e[-+]?\d+)?))")
HELP = re.compile(r'(?:[^"\\\n]|\\[\\"n])*')


def parse(data):
    """One exposition, in bytes. {family: {"type", "unit", "help", "samples": {labels: value}}}; AssertionError if it is none."""
    text = data.decode("utf-8")  # strict
    assert text.endswith("\n"), "no newline at the end"
    lines = text[:-1].split("\n")
    assert lines[-1] == "# EOF" and "# EOF" not in lines[:-1], "EOF is not the last line, once"
    families = {}
    current = None
    for line in lines[:-1]:
        if line.startswith("#"):
            meta = META.fullmatch(line)
            assert meta, f"no metadata: {line!r}"
            kind, name, value = meta.groups()
            if name != current:
                assert name not in families, f"family {name} comes in two pieces"
                families[name] = {"samples": {}}
                current = name
            family = families[name]
            assert kind.lower() not in family and not family["samples"], f"{kind} of {name} twice or late"
            if kind == "TYPE":
                assert value in ("gauge", "counter"), line
            if kind == "UNIT":
                assert name.endswith("_" + value), f"{name} does not end in its unit {value}"
            if kind == "HELP":
                assert HELP.fullmatch(value), line
            family[kind.lower()] = value
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, f"no sample: {line!r}"
        name, labels, value = sample.groups()
        family = families[current]
        suffix = "_total" if family["type"] == "counter" else ""
        assert name == current + suffix, f"{name} stands in family {current}"
        labels = labels or ""
        names = re.findall(r'[{,]([a-zA-Z0-9_]+)=', re.sub(r'"(?:[^"\\]|\\.)*"', '""', labels))
        assert len(names) == len(set(names)), f"a label twice: {line}"
        assert labels not in family["samples"], f"a sample twice: {line}"
        family["samples"][labels] = float(value)
        assert family["type"] != "counter" or float(value) >= 0, line
    for name, family in families.items():
        assert family["samples"] and "type" in family, f"family {name} is empty or has no type"
    return families


def parse_all(data):
    """As many expositions as there are."""
    parts = data.split(b"# EOF\n")
    assert parts.pop() == b""
    return [parse(part + b"# EOF\n") for part in parts]
