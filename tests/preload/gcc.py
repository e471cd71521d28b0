# SPDX-License-Identifier: MIT
"""gcc under the library compiles a large generated file to the same object, byte for byte, and links it."""

import os
import random

from real import run_test

FUNCTIONS = 200


def generate(seed):
    """A C program of many functions that print one checksum; all arithmetic is unsigned, so nothing is undefined."""
    draw = random.Random(seed)
    lines = ["#include <stdio.h>", "struct node { unsigned long key, weight; struct node *left, *right; };"]
    for i in range(FUNCTIONS):
        lines.append(f"unsigned long f{i}(unsigned long a, unsigned long b)\n{{")
        lines.append(f"    struct node n[{draw.randint(4, 12)}];\n    unsigned long s = {draw.getrandbits(31)}ul;")
        loop = "    for (unsigned i = 0; i < sizeof(n) / sizeof(n[0]); i++) {\n"
        lines.append(loop + f"        n[i].key = a * {draw.getrandbits(16)}ul + i;")
        lines.append("        n[i].weight = b ^ n[i].key;\n    }")
        lines.append(loop + "        switch (n[i].key % 7) {")
        for case in range(7):
            step = draw.choice([f"s += n[i].weight >> {draw.randint(1, 30)}",
                                f"s ^= n[i].key * {draw.getrandbits(20)}ul",
                                f"s = (s << {draw.randint(1, 9)}) | (s >> {draw.randint(40, 60)})"])
            lines.append(f"        case {case}: {step}; break;")
        lines.append("        }\n    }")
        if i:
            lines.append(f"    if (s & {1 << draw.randint(0, 12)}ul)")
            lines.append(f"        s += f{draw.randrange(i)}(b, a + 1) & 0xffff;")
        lines.append("    return s;\n}")
    lines.append("int main(void)\n{\n    unsigned long s = 0;")
    lines += [f"    s = s * 31 + f{i}({draw.getrandbits(20)}ul, s & 0xff);" for i in range(0, FUNCTIONS, 25)]
    lines.append('    printf("%lx\\n", s);\n    return 0;\n}')
    return "\n".join(lines) + "\n"


def body(test):
    gcc = test.need("gcc", "gcc")
    for name in ("with", "without"):
        folder = os.path.join(test.folder, name)
        os.mkdir(folder)
        with open(os.path.join(folder, "large.c"), "w", encoding="utf-8") as file:
            file.write(generate(test.seed))
    results = {}
    for name in ("without", "with"):
        folder = os.path.join(test.folder, name)
        compiled = test.run([gcc, "-O2", "-g", "-frandom-seed=1", f"-fdebug-prefix-map={folder}=.", "-c", "large.c"],
                            name == "with", cwd=folder)
        linked = test.run([gcc, "large.o", "-o", "large"], name == "with", cwd=folder)
        test.check(compiled.status == 0 and linked.status == 0, f"gcc compiles and links {name} the library",
                   (compiled.stderr + linked.stderr)[-2000:].decode(errors="replace"))
        with open(os.path.join(folder, "large.o"), "rb") as file:
            results[name] = (file.read(), test.run([os.path.join(folder, "large")], name == "with").stdout)
    test.check(len(results["without"][0]) > 100_000, f"the object is large ({len(results['without'][0])} bytes)")
    test.check(results["without"][0] == results["with"][0], "equal object files")
    test.check_equal(results["without"][1], results["with"][1], "the program prints the same")
    test.check_served(compiled.served, "cc1")


run_test(body)
