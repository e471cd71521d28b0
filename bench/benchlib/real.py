# SPDX-License-Identifier: MIT
"""Real programs that run to their end: sqlite3, python3, gcc, and the demo's load where it has been
built."""
import os
import random
import shutil
import sys

from .programs import REAL, Program

WORKLOADS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'workloads')


def real_sample(sample):
    """A sample of a program that does not measure itself: no base, and the largest count of mappings of
    any of its processes at ten looks a second."""
    return {
        'time_s': sample['time_s'],
        'cpu_s': sample['cpu_s'],
        'peak_kib': sample['peak_kib'],
        'base_kib': 0,
        'maps': sample['mappings'] or None,
        'minflt': sample['minflt'],
    }


class Real(Program):
    """A program found on the PATH."""

    group = REAL
    package = None

    def __init__(self, name, program):
        super().__init__(name)
        self.program = program

    def unavailable(self, context):
        if shutil.which(self.program):
            return None
        return f'{self.program} is not installed' + (
            f' (Debian: apt-get install {self.package})' if self.package else ''
        )

    def identity(self, context):
        return [shutil.which(self.program), '--version'], None

    def command(self, context):
        raise NotImplementedError

    def stdin_path(self, context):
        return os.devnull

    def extra_environment(self):
        return {}

    def run(self, context, allocator):
        return real_sample(
            context.spawner.run(
                self.command(context),
                allocator.environment(self.extra_environment()),
                context.timeout_s,
                stdin_path=self.stdin_path(context),
                sample_mappings=True,
            )
        )


class Sqlite(Real):
    """The sqlite3 shell on an in-memory database: inserts, indexes, joins, updates, deletes."""

    package = 'sqlite3'

    def stdin_path(self, context):
        return os.path.join(context.scratch_dir, 'script.sql')

    def prepare(self, context):
        with open(self.stdin_path(context), 'w', encoding='ascii') as file:
            write_sql(file, context.scaled(60000, 100), context.seed)

    def command(self, context):
        return [shutil.which(self.program), '-batch', '-bail', ':memory:']


def write_sql(file, row_count, seed):
    """A script with `row_count` orders and a quarter as many updates, statement by statement."""
    rng = random.Random(seed)
    file.write(
        'CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT, city TEXT);\n'
        'CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER, total REAL, note TEXT);\n'
    )
    customers = max(row_count // 20, 1)
    for start in range(0, row_count, 1000):
        file.write('BEGIN;\n')
        for key in range(start, min(start + 1000, row_count)):
            if key < customers:
                file.write(
                    f"INSERT INTO customer VALUES({key},'{'n' * rng.randint(3, 40)}{key}',"
                    f"'c{rng.randint(0, 99)}');\n"
                )
            file.write(
                f"INSERT INTO orders VALUES({key},{rng.randrange(customers)},{rng.random() * 100:.2f},"
                f"'{'x' * int(rng.paretovariate(1.1) * 10 % 2000)}');\n"
            )
        file.write('COMMIT;\n')
    file.write(
        'CREATE INDEX by_customer ON orders(customer);\nCREATE INDEX by_note ON orders(note, total);\n'
    )
    for _ in range(row_count // 4):
        key = rng.randrange(row_count)
        file.write(
            f"UPDATE orders SET note='{'y' * rng.randint(0, 300)}' WHERE id={key};\n"
            f'SELECT c.name, sum(o.total), count(*) FROM orders o JOIN customer c ON c.id=o.customer '
            f'WHERE o.customer={rng.randrange(customers)} GROUP BY c.name ORDER BY 2;\n'
        )
    file.write(
        'SELECT c.city, group_concat(substr(o.note,1,9)), avg(o.total) FROM orders o '
        'JOIN customer c ON c.id=o.customer GROUP BY c.city ORDER BY 3;\n'
        'DELETE FROM orders WHERE id%3=0;\nSELECT count(*) FROM orders;\n'
    )


class Python(Real):
    """python3 on workloads/objects.py, with its own small-object allocator or with plain malloc for
    everything."""

    def __init__(self, name, plain_malloc):
        super().__init__(name, os.path.realpath(sys.executable))
        self.plain_malloc = plain_malloc

    def extra_environment(self):
        return {
            'PYTHONHASHSEED': '0',
            'PYTHONDONTWRITEBYTECODE': '1',
            **({'PYTHONMALLOC': 'malloc'} if self.plain_malloc else {}),
        }

    def command(self, context):
        return [self.program, '-S', '-s', os.path.join(WORKLOADS, 'objects.py'), str(context.scaled(30))]


class Gcc(Real):
    """gcc -O2 on one large generated file."""

    package = 'gcc'

    def source_path(self, context):
        return os.path.join(context.scratch_dir, 'generated.c')

    def prepare(self, context):
        with open(self.source_path(context), 'w', encoding='ascii') as file:
            write_c(file, context.scaled(110, 5), context.seed)

    def identity(self, context):
        return [shutil.which('gcc'), '--version'], None

    def command(self, context):
        return ['gcc', '-O2', '-w', '-S', '-o', os.devnull, self.source_path(context)]


def write_c(file, function_count, seed):
    """Functions with loops, switches and calls of former ones, so that the optimizer has something to
    hold."""
    rng = random.Random(seed)
    file.write('struct item { int kind; long value; struct item *next; };\n')
    for number in range(function_count):
        callee = f'f{rng.randrange(number)}(p->next, n - 1)' if number else 'n'
        cases = ''.join(
            f'        case {case}: s += a[{rng.randrange(16)}] * {rng.randint(2, 999)} ^ p->value; break;\n'
            for case in range(rng.randint(3, 12))
        )
        file.write(
            f'long f{number}(struct item *p, int n)\n{{\n    long a[16] = {{n}}, s = {rng.randint(0, 99)};\n'
            f'    for (int i = 1; i < 16; i++) a[i] = a[i - 1] * {rng.randint(3, 77)} + (n >> (i & 3));\n'
            f'    while (p && n-- > 0) {{\n        switch (p->kind % {rng.randint(3, 12)}) {{\n{cases}'
            f'        default: s -= {callee};\n        }}\n        p = p->next;\n    }}\n    return s;\n}}\n'
        )


class Load(Program):
    """The demo's database-like load, for a fixed number of operations."""

    group = REAL

    def path(self, context):
        return os.path.join(os.path.dirname(context.build_dir), 'demo', 'ebb-load')

    def unavailable(self, context):
        return None if os.access(self.path(context), os.X_OK) else 'demo/ebb-load is not built'

    def identity(self, context):
        return [self.path(context), '--help'], None

    def run(self, context, allocator):
        command = [
            self.path(context),
            '--live',
            '128M',
            '--threads',
            '2',
            '--idle',
            '0',
            '--seed',
            str(context.seed),
            '--ops',
            str(context.scaled(400000)),
        ]
        return real_sample(
            context.spawner.run(command, allocator.environment(), context.timeout_s, sample_mappings=True)
        )


REALS = [
    Sqlite('sqlite3', 'sqlite3'),
    Python('python3', False),
    Python('python3-malloc', True),
    Gcc('gcc', 'gcc'),
    Load('ebb-load'),
]
