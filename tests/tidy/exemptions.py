# SPDX-License-Identifier: MIT
"""All exemptions from the rules, each with its reason. One that no longer offends is an error: the list shrinks."""

import collections

# `what` is a part of the offence's text.
Exemption = collections.namedtuple("Exemption", "rule path what reason")

EXEMPTIONS = [
    Exemption("banned", "src/os/fake.c", "fprintf", "a test double, never in the library: says why it stops a test"),
    Exemption("banned", "src/os/fake.c", "getenv", "a test double: a whole suite is told from outside how large pages are"),
    Exemption("banned", "src/entry/info.c", "fprintf", "malloc_info() prints to the stream that its caller gives"),
    Exemption("banned", "tests/conform/spawn.c", "system", "system() itself is what the test tries"),
    Exemption("banned", "tests/conform/spawn.c", "popen", "popen() itself is what the test tries"),
]
