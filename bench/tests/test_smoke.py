# SPDX-License-Identifier: MIT
"""Every program once at tiny scale, and the runner once from end to end.

Usage: test_smoke.py BUILD, the folder that holds bench/bench-spawn.
"""
import contextlib
import io
import os
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import run as runner  # noqa: E402
from benchlib import peers  # noqa: E402
from benchlib.process import Failure, Spawner  # noqa: E402
from benchlib.programs import MICROS, Context, Micro  # noqa: E402
from benchlib.report import read_csv  # noqa: E402

BUILD = ''
SCALE = 0.002
SEED = 42


class Smoke(unittest.TestCase):
    def setUp(self):
        self.spawner = Spawner(os.path.join(BUILD, 'bench', 'bench-spawn'))
        self.context = Context(os.path.join(BUILD, 'bench'), self.spawner, None, SCALE, 60.0, SEED)
        self.glibc = peers.Allocator(peers.GLIBC)

    def test_every_program(self):
        for program in MICROS:
            with self.subTest(program.name):
                sample = program.run(self.context, self.glibc)
                self.assertGreater(sample['time_s'], 0.0)
                self.assertGreater(sample['blocks'], 0)
                self.assertGreaterEqual(sample['peak_kib'], sample['full_kib'])
                self.assertGreater(sample['full_kib'], sample['base_kib'])
                self.assertGreaterEqual(sample['maps'], sample['maps_base'])
                self.assertGreater(sample['minflt'], 0)

    def test_same_seed_same_work(self):
        program = Micro('larson', 'larson')
        first, second = (program.run(self.context, self.glibc) for _ in range(2))
        self.context.seed = SEED + 1
        other = program.run(self.context, self.glibc)
        self.assertEqual((first['check'], first['blocks']), (second['check'], second['blocks']))
        self.assertNotEqual(first['check'], other['check'])

    def test_memory_is_counted(self):
        """16 MiB in 4 threads must show, and its pages must have been faulted in."""
        command = [os.path.join(BUILD, 'bench', 'bench-doc4'), 'threads=4', 'mib=4']
        sample = self.spawner.run(command, self.glibc.environment(), 60.0)
        added_kib = int(sample['report']['full_kib']) - int(sample['report']['base_kib'])
        self.assertTrue(16000 < added_kib < 18000, added_kib)
        self.assertGreater(sample['minflt'], 4000)

    def failure(self, *command, timeout_s=60.0):
        with self.assertRaises(Failure) as caught:
            self.spawner.run(list(command), self.glibc.environment(), timeout_s)
        return str(caught.exception)

    def test_failures_are_named(self):
        self.assertIn('exit status 3', self.failure('sh', '-c', 'exit 3'))
        self.assertIn('SIGSEGV', self.failure('sh', '-c', 'kill -SEGV $$'))
        self.assertIn('not finished after', self.failure('sleep', '20', timeout_s=0.2))
        self.assertIn('cannot start', self.failure('./no-such-program'))
        self.assertIn(
            'bad argument "live=x"', self.failure(os.path.join(BUILD, 'bench', 'bench-small'), 'live=x')
        )
        self.assertIn(
            'bad argument "mode=z"', self.failure(os.path.join(BUILD, 'bench', 'bench-order'), 'mode=z')
        )

    def test_silent_program_gives_no_sample(self):
        with self.assertRaises(Failure):
            Micro('mute', 'small', 'help').run(self.context, self.glibc)

    def test_runner(self):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(
            io.StringIO()
        ) as shown, contextlib.redirect_stderr(io.StringIO()) as said:
            plot = os.path.join(folder, 'plot.svg')
            status = runner.main(
                [
                    '--build',
                    BUILD,
                    '--programs',
                    'small,lifo',
                    '--allocators',
                    'glibc,nobody',
                    '--rounds',
                    '2',
                    '--scale',
                    str(SCALE),
                    '--csv',
                    '--json',
                    '--out',
                    folder,
                    '--plot',
                    plot,
                ]
            )
            self.assertEqual(status, 0)
            with open(os.path.join(folder, 'latest.csv'), encoding='utf-8') as file:
                rows = read_csv(file.read())
            xml.etree.ElementTree.parse(plot)
        self.assertEqual(
            [(row['program'], row['allocator'], row['runs'], row['failures']) for row in rows],
            [
                ('small', 'glibc', 2, 0),
                ('small', 'control', 2, 0),
                ('lifo', 'glibc', 2, 0),
                ('lifo', 'control', 2, 0),
            ],
        )
        self.assertIn('missing: nobody', said.getvalue())
        self.assertIn('control is a second entry of: small glibc, lifo glibc', shown.getvalue())


if __name__ == '__main__':
    BUILD = os.path.abspath(sys.argv.pop(1))
    print(f'seed {SEED}')
    unittest.main()
