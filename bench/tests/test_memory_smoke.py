# SPDX-License-Identifier: MIT
"""The programs about memory given back at tiny sizes, their oracle, and the runner once from end to end.

Usage: test_memory_smoke.py BUILD, the folder that holds bench/bench-spawn.
"""
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import memory  # noqa: E402
from benchlib import memprograms, memreport, memrows, peers  # noqa: E402
from benchlib.process import Failure, Spawner  # noqa: E402

BUILD = ''
GLIBC = peers.Allocator(peers.GLIBC)


def sample(binary, *arguments):
    spawner = Spawner(os.path.join(BUILD, 'bench', 'bench-spawn'))
    command = [os.path.join(BUILD, 'bench', 'bench-mem-' + binary), *arguments]
    return memprograms.numbers(spawner.run(command, GLIBC.environment(), 60.0), None)


class Programs(unittest.TestCase):
    def test_help(self):
        for name in sorted(os.listdir(os.path.join(BUILD, 'bench'))):
            path = os.path.join(BUILD, 'bench', name)
            if name.startswith('bench-mem-') and os.path.isfile(path):
                with self.subTest(name):
                    run = subprocess.run([path, 'help'], capture_output=True, text=True, check=False)
                    self.assertEqual(run.returncode, 0)
                    self.assertIn('seed=', run.stdout)

    def test_live_bytes_of_a_checkerboard(self):
        run = sample('checkerboard', 'blocks=100', 'bytes=200000', 'spread=0', 'wait=10')
        self.assertEqual(run['live_bytes'], 50 * 200000)
        # glibc maps blocks of this size one by one, and a freed one is gone at once.
        self.assertAlmostEqual(run['after_kib'] * 1024 / run['live_bytes'], 1.0, delta=0.1)
        self.assertGreater(run['net_peak_kib'] * 1024, 99 * 200000)

    def test_the_oracle_counts_pages(self):
        """Blocks of 128 KiB + 16 bytes lie each on 33 or 34 pages of 4 KiB, and no two share one."""
        page_kib = os.sysconf('SC_PAGE_SIZE') // 1024
        run = sample('survivors', 'mib=32', 'class=47', 'permille=500', 'wait=10', 'later=20')
        survivors = run['live_bytes'] // run['class_bytes']
        self.assertEqual(run['live_bytes'] % run['class_bytes'], 0)
        self.assertGreater(survivors, 50)
        least_kib = run['live_bytes'] // 1024
        self.assertGreaterEqual(run['held_kib'], least_kib)
        self.assertLessEqual(run['held_kib'], least_kib + 2 * page_kib * survivors)

    def test_the_oracle_counts_a_page_once(self):
        """All of many small blocks survive: they hold about as many pages as they have bytes."""
        run = sample('survivors', 'mib=4', 'class=3', 'permille=1000', 'wait=10', 'later=20')
        self.assertEqual(run['class_bytes'], 64)
        self.assertGreaterEqual(run['held_kib'] * 1024, run['live_bytes'])
        # glibc adds 16 bytes to each of 64.
        self.assertLess(run['held_kib'] * 1024, run['live_bytes'] * 1.4)
        self.assertGreaterEqual(run['after_kib'] + 300, run['held_kib'])

    def test_mappings_are_the_allocators(self):
        """glibc gives each block of 200 KiB a mapping of its own, until its threshold moves with the first free."""
        start = sample('mappings', 'mode=start')
        # The thread-local data of main and the dynamic linker's own; no library's zeroed data, table or stack.
        self.assertLessEqual(start['anon_start'], 3)
        self.assertLessEqual(start['anon_max'], 5)
        run = sample('mappings', 'bytes=200000', 'mib=12', 'wait=10')
        self.assertGreater(run['anon_max'], 20)
        self.assertLessEqual(run['anon_max'], 70)
        # The stacks of threads are the program's.
        threads = sample('mappings', 'mode=threads', 'threads=40')
        self.assertLess(threads['anon_max'], 60)

    def test_generations_are_counted(self):
        run = sample('mappings', 'mode=fork', 'mib=4')
        self.assertGreater(run['anon_max'], 0)
        self.assertLess(run['anon_max'], 40)

    def test_same_seed_same_work(self):
        tiny = ('ms=100', 'ops=2', 'scale=0.05')
        first, second = sample('day', *tiny), sample('day', *tiny)
        other = sample('day', *tiny, 'seed=2')
        self.assertEqual((first['check'], first['blocks']), (second['check'], second['blocks']))
        self.assertNotEqual(first['check'], other['check'])

    def test_the_fall_is_seen(self):
        run = sample('fall', 'mib=16', 'up=200', 'hold=100', 'down=100', 'idle=200')
        times = [ms for ms, _, _ in run['series']]
        live = [kib for _, _, kib in run['series']]
        self.assertEqual(times, sorted(times))
        self.assertGreaterEqual(len(times), 6)
        self.assertGreater(max(live), 15 * 1024)
        self.assertLess(live[-1], 4 * 1024)
        self.assertEqual(run['live_bytes'] // 1024, live[-1])
        self.assertGreaterEqual(run['held_kib'], live[-1])
        self.assertEqual(run['last_kib'], run['series'][-1][1])

    def test_percentiles_are_in_order(self):
        run = sample('storm', 'ms=150', 'mib=8')
        for what in ('malloc', 'free', 'touch', 'map', 'nothing'):
            spans = [run[f'{what}_{which}_ns'] for which in ('p50', 'p99', 'p999', 'max')]
            self.assertEqual(spans, sorted(spans), what)
            self.assertGreater(spans[-1], 0, what)

    def test_idle_threads_are_counted(self):
        run = sample('idle', 'threads=20', 'kib=512', 'ops=200', 'wait=20')
        self.assertEqual(run['threads'], 20)
        self.assertGreater(run['after_kib'], 0)

    def test_wrong_arguments(self):
        for binary, argument in (('checkerboard', 'bytes=100'), ('survivors', 'class=99'), ('fall', 'up=0')):
            with self.assertRaises(Failure):
                sample(binary, argument)


class Runner(unittest.TestCase):
    def test_from_end_to_end(self):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(
            io.StringIO()
        ) as shown, contextlib.redirect_stderr(io.StringIO()) as said:
            plot = os.path.join(folder, 'plot.svg')
            arguments = ['--build', BUILD, '--quick', '--scale', '0.3', '--allocators', 'glibc,nobody']
            arguments += ['--csv', '--json', '--out', folder, '--plot', plot]
            status = memory.main(arguments)
            self.assertEqual(status, 0, said.getvalue())
            with open(os.path.join(folder, 'memory.csv'), encoding='utf-8') as file:
                cells = memreport.read_csv(file.read())
            xml.etree.ElementTree.parse(plot)
            for name in ('memory-runs.csv', 'memory-series.csv', 'memory-facts.json', 'memory.json'):
                self.assertTrue(os.path.getsize(os.path.join(folder, name)), name)
        self.assertIn('missing: nobody', said.getvalue())
        glibc = {cell['row']: cell for cell in cells if cell['allocator'] == 'glibc'}
        ran = {program.name for program in memprograms.PROGRAMS if f'left out: {program.name}' not in said.getvalue()}
        self.assertEqual(set(glibc), {row.name for row in memrows.ROWS if row.program in ran})
        for row, cell in glibc.items():
            self.assertEqual(cell['failures'], 0, f'{row}: {cell["reason"]}')
            self.assertIsNotNone(cell['figure'], row)
            self.assertGreaterEqual(cell['figure'], 0.0, row)
        self.assertGreater(glibc['mappings-132k']['figure'], 8)
        self.assertIn('control is a second entry of: mappings-16 glibc', shown.getvalue())


if __name__ == '__main__':
    BUILD = os.path.abspath(sys.argv.pop(1))
    unittest.main()
