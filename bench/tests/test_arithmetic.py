# SPDX-License-Identifier: MIT
"""The arithmetic of the bench against figures worked out by hand."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from benchlib import arithmetic, callgrind, compare, report  # noqa: E402
from benchlib.mariadb import parse_sysbench  # noqa: E402
from benchlib.process import Failure, parse_report  # noqa: E402


def run(program, allocator, time_s, **more):
    """One good run with figures that are as simple as possible."""
    sample = {
        'time_s': time_s,
        'cpu_s': time_s,
        'peak_kib': 5000,
        'base_kib': 1000,
        'maps': 30,
        'minflt': 100,
    }
    return {
        'round': 1,
        'program': program,
        'group': 'micro',
        'allocator': allocator,
        'control_of': '',
        'reason': None,
        **report.finish_sample({**sample, **more}),
    }


def failed(program, allocator, reason):
    return {
        'round': 1,
        'program': program,
        'group': 'micro',
        'allocator': allocator,
        'control_of': '',
        'reason': reason,
    }


class Means(unittest.TestCase):
    def test_median(self):
        self.assertEqual(arithmetic.median([3.0, 1.0, 2.0]), 2.0)
        self.assertEqual(arithmetic.median([4.0, 1.0, 2.0, 3.0]), 2.5)
        self.assertEqual(arithmetic.median([7.0]), 7.0)
        self.assertIsNone(arithmetic.median([]))

    def test_geomean(self):
        self.assertAlmostEqual(arithmetic.geomean([1.0, 4.0]), 2.0)
        self.assertAlmostEqual(arithmetic.geomean([2.0, 2.0, 2.0]), 2.0)
        self.assertAlmostEqual(arithmetic.geomean(x for x in (0.5, 2.0)), 1.0)
        self.assertIsNone(arithmetic.geomean([]))
        self.assertRaises(ValueError, arithmetic.geomean, [1.0, 0.0])

    def test_rotated(self):
        self.assertEqual(
            [arithmetic.rotated('abc', by) for by in range(4)],
            [list('abc'), list('bca'), list('cab'), list('abc')],
        )
        self.assertEqual(arithmetic.rotated([], 3), [])


class Ratios(unittest.TestCase):
    def test_only_peers_are_the_measure(self):
        ratios = arithmetic.ratios({'a': 2.0, 'b': 4.0, 'ebb': 1.0}, ['a', 'b'])
        self.assertEqual(ratios, {'a': 1.0, 'b': 2.0, 'ebb': 0.5})

    def test_without_value(self):
        self.assertEqual(
            arithmetic.ratios({'a': None, 'b': 4.0, 'ebb': 6.0}, ['a', 'b']), {'b': 1.0, 'ebb': 1.5}
        )
        self.assertEqual(arithmetic.ratios({'a': None, 'ebb': 6.0}, ['a']), {})

    def test_floor_holds_on_both_sides(self):
        self.assertEqual(
            arithmetic.ratios({'a': 10.0, 'b': 900.0, 'ebb': 2000.0}, ['a', 'b'], 1000.0),
            {'a': 1.0, 'b': 1.0, 'ebb': 2.0},
        )

    def test_summary(self):
        table = {'p': {'ebb': 0.5}, 'q': {'ebb': 2.0}, 'r': {'other': 9.0}}
        self.assertEqual(
            arithmetic.summary(table, 'ebb'), {'geomean': 1.0, 'worst': 2.0, 'worst_program': 'q', 'count': 2}
        )
        self.assertEqual(arithmetic.summary(table, 'nobody')['count'], 0)

    def test_bootstrap(self):
        ratio, low, high = arithmetic.bootstrap_ratio([1.0, 1.1, 0.9] * 5, [2.0, 2.2, 1.8] * 5)
        self.assertAlmostEqual(ratio, 2.0)
        self.assertTrue(1.6 < low <= 2.0 <= high < 2.5, (low, high))
        self.assertEqual(arithmetic.bootstrap_ratio([1.0], [3.0]), (3.0, 3.0, 3.0))
        self.assertEqual(
            arithmetic.bootstrap_ratio([1.0, 2.0, 3.0], [1.0, 2.0, 4.0]),
            arithmetic.bootstrap_ratio([1.0, 2.0, 3.0], [1.0, 2.0, 4.0]),
        )
        self.assertEqual(arithmetic.bootstrap_median([2.0]), (2.0, 2.0))
        low, high = arithmetic.bootstrap_median([0.98, 1.0, 1.02] * 7)
        self.assertTrue(0.98 <= low <= 1.0 <= high <= 1.02, (low, high))
        with self.assertRaises(ValueError):
            arithmetic.bootstrap_median([])


class Report(unittest.TestCase):
    def setUp(self):
        self.runs = [
            run('p', 'glibc', 2.0),
            run('p', 'glibc', 4.0),
            run('p', 'glibc', 3.0),
            run('p', 'jemalloc', 1.0),
            run('p', 'ebb', 1.5),
            run('p', 'control', 1.2),
            run('q', 'glibc', 1.0),
            failed('q', 'jemalloc', 'killed by SIGSEGV'),
            run('q', 'jemalloc', 0.1),
            run('q', 'ebb', 4.0),
        ]
        self.rows = report.medians(self.runs)

    def test_medians_and_ratios(self):
        table = report.ratio_table(self.rows, 'time_s')
        self.assertEqual(table['p'], {'glibc': 3.0, 'jemalloc': 1.0, 'ebb': 1.5, 'control': 1.2})

    def test_failed_row_has_no_figures(self):
        table = report.ratio_table(self.rows, 'time_s')
        self.assertEqual(table['q'], {'glibc': 1.0, 'ebb': 4.0})
        self.assertEqual(report.cell(self.rows, table, 'q', 'jemalloc'), 'failed')
        self.assertEqual(report.summary_cells(self.rows, table, 'jemalloc'), ('1.00', '1.00 p', '1'))
        self.assertIn(
            'failed: q under jemalloc, 1 of 2 runs: killed by SIGSEGV', report.text_report(self.rows)
        )

    def test_control_only_where_time_chose_it(self):
        self.assertNotIn('control', report.ratio_table(self.rows, 'net_peak_kib')['p'])

    def test_peak_is_above_the_base(self):
        self.assertEqual(self.rows[0]['net_peak_kib'], 4000)

    def test_csv_comes_back(self):
        again = report.read_csv(report.csv_text(self.rows))
        for metric in report.METRICS:
            self.assertEqual(report.ratio_table(again, metric), report.ratio_table(self.rows, metric))
        self.assertEqual([row['reason'] for row in again], [row['reason'] for row in self.rows])

    def test_second_builds_of_ours_are_no_peers(self):
        self.assertFalse(report.is_peer('ebb') or report.is_peer('ebb-old') or report.is_peer('control'))
        self.assertTrue(report.is_peer('glibc'))

    def test_readme_section(self):
        text = f'before\n{report.MARK_BEGIN}\nold\n{report.MARK_END}\nafter\n'
        new = report.replace_section(text, report.markdown_report(self.rows, {'cpu': 'a | b'}))
        self.assertTrue(new.startswith('before\n') and new.endswith('\nafter\n'))
        self.assertNotIn('old', new)
        self.assertIn('| p | 3.00 | 1.00 | 1.50 | 1.20 |', new)
        self.assertIn('| q | 1.00 | failed | 4.00 | - |', new)
        self.assertRaises(ValueError, report.replace_section, 'no marks', '')

    def test_pair(self):
        runs = [run('p', 'a', 1.0), run('p', 'b', 2.0), run('q', 'a', 1.0), failed('q', 'b', 'exit status 1')]
        self.assertEqual(compare.pair_rows(runs, ['p', 'q'], 'time_s'), [['p', 1.0, 2.0, 2.0, 2.0, 2.0]])
        self.assertIn('failed: q under B: exit status 1', compare.pair_report(runs, ['p', 'q']))
        self.assertEqual(
            [compare.verdict(0.8, 0.9), compare.verdict(1.1, 1.2), compare.verdict(0.9, 1.1)],
            ['B less', 'B more', 'no difference seen'],
        )


class Parsers(unittest.TestCase):
    def test_report_line(self):
        self.assertEqual(
            parse_report('program=small blocks=3\nignored=1\n'), {'program': 'small', 'blocks': '3'}
        )
        self.assertEqual(parse_report(''), {})

    def test_sysbench(self):
        text = (
            'SQL statistics:\n    queries:                             100    (250.50 per sec.)\n'
            'General statistics:\n    total time:                          0.4000s\n'
            'Latency (ms):\n         95th percentile:                        7.50\n'
        )
        self.assertEqual(parse_sysbench(text), {'time_s': 0.4, 'qps': 250.5, 'p95_ms': 7.5})
        self.assertRaises(Failure, parse_sysbench, 'FATAL: no connection')

    def test_callgrind(self):
        lines = [
            'events: Ir\n',
            'ob=/p/bench-x\n',
            'fn=main\n',
            '0 10\n',
            'cob=/l/libm.so\n',
            'cfn=malloc\n',
            'calls=3 0\n',
            '0 70\n',
            '0 5\n',
            'ob=/l/libm.so\n',
            'fn=malloc\n',
            '0 70\n',
            '\n',
            'totals: 85\n',
        ]
        self.assertEqual(callgrind.parse_objects(lines), {'/p/bench-x': 15, '/l/libm.so': 70})

    def test_instructions_per_block(self):
        self.assertEqual(
            callgrind.per_block((10, {'x': 100, 'm': 1050}), (20, {'x': 200, 'm': 1250, 'n': 30}), 'x'),
            (10.0, 23.0),
        )
        self.assertRaises(ValueError, callgrind.per_block, (10, {}), (10, {}), 'x')


if __name__ == '__main__':
    unittest.main()
