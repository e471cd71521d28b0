# SPDX-License-Identifier: MIT
"""The arithmetic of the memory benchmark against figures worked out by hand."""
import os
import sys
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import memory  # noqa: E402
from benchlib import memplot, memprograms, memreport, memrows, peers, report  # noqa: E402
from benchlib.process import Failure, parse_report, parse_series  # noqa: E402

ROW = {row.name: row for row in memrows.ROWS}
BOARD = 'checkerboard-132k after 3 s / live'


def board_run(allocator, after_kib, **more):
    """A checkerboard of which 1000 KiB live."""
    return {
        'round': 1,
        'program': 'checkerboard-132k',
        'allocator': allocator,
        'control_of': '',
        'reason': None,
        'after_kib': after_kib,
        'live_bytes': 1000 * 1024,
        'series': [],
        **more,
    }


def cell_of(cells, row, allocator):
    return next(cell for cell in cells if cell['row'] == row and cell['allocator'] == allocator)


class Values(unittest.TestCase):
    def test_each_row_from_what_a_program_reports(self):
        expected = {
            BOARD: ({'after_kib': 2000, 'live_bytes': 1024000}, 2.0),
            'all-freed after 2 s': ({'after_kib': 15625}, 16.0),
            'survivors-1 after 3 s / pages held': ({'after_kib': 330, 'held_kib': 300}, 1.1),
            'survivors-5 after 15 s / pages held': ({'later_kib': 600, 'held_kib': 300}, 2.0),
            'threads-1000-idle, each': ({'after_kib': 14500, 'threads': 1000}, 14.5),
            'mappings-129k': ({'anon_max': 12, 'plain_anon': 2}, 10),
            'storm malloc p99.9': ({'malloc_p999_ns': 99900}, 99.9),
            'doc4 peak / glibc': ({'net_peak_kib': 7}, 7),
            'base above glibc': ({'anon_kib': 500}, 500),
            'fall after 10 s / pages held': ({'last_kib': 30, 'held_kib': 20}, 1.5),
        }
        for name, (run, value) in expected.items():
            with self.subTest(name):
                self.assertAlmostEqual(ROW[name].value(run), value)

    def test_fewer_mappings_than_before_count_as_none(self):
        self.assertEqual(memrows.mappings_made({'anon_max': 1, 'plain_anon': 2}), 0)

    def test_every_row_has_a_program_and_every_program_a_row(self):
        programs = [program.name for program in memprograms.PROGRAMS]
        self.assertEqual(len(programs), len(set(programs)))
        self.assertEqual(set(programs), {row.program for row in memrows.ROWS})
        self.assertEqual(len(ROW), len(memrows.ROWS))

    def test_the_control_follows_the_row_with_the_target(self):
        self.assertEqual(memrows.SCORED['storm'].name, 'storm malloc p99.9')
        self.assertEqual(memrows.SCORED['fall'].name, 'fall after 1 s / pages held')
        self.assertEqual(memrows.score(board_run('glibc', 3000)), 3.0)


class Figures(unittest.TestCase):
    MEDIANS = {'glibc': 200.0, 'jemalloc': 100.0, 'ebb': 150.0, 'control': 110.0, 'mimalloc': None}

    def figures(self, kind, medians=None):
        row = ROW['base above glibc']._replace(kind=kind)
        return memrows.figures(row, self.MEDIANS if medians is None else medians)

    def test_kinds(self):
        self.assertEqual(
            self.figures(memrows.PLAIN), {'glibc': 200.0, 'jemalloc': 100.0, 'ebb': 150.0, 'control': 110.0}
        )
        self.assertEqual(
            self.figures(memrows.OVER_GLIBC), {'glibc': 1.0, 'jemalloc': 0.5, 'ebb': 0.75, 'control': 0.55}
        )
        self.assertEqual(
            self.figures(memrows.ABOVE_GLIBC), {'glibc': 0, 'jemalloc': -100, 'ebb': -50, 'control': -90}
        )
        self.assertEqual(
            self.figures(memrows.OVER_BEST), {'glibc': 2.0, 'jemalloc': 1.0, 'ebb': 1.5, 'control': 1.1}
        )

    def test_ebb_and_the_control_are_never_the_best_peer(self):
        found = self.figures(memrows.OVER_BEST, {'glibc': 200.0, 'ebb': 100.0, 'control': 50.0})
        self.assertEqual(found, {'glibc': 1.0, 'ebb': 0.5, 'control': 0.25})

    def test_nothing_is_relative_to_a_glibc_that_has_not_run(self):
        self.assertEqual(self.figures(memrows.OVER_GLIBC, {'ebb': 1.0}), {})
        self.assertEqual(self.figures(memrows.ABOVE_GLIBC, {'ebb': 1.0, 'glibc': None}), {})

    def test_cells_are_medians(self):
        runs = [board_run('ebb', kib) for kib in (1000, 5000, 1040)] + [board_run('glibc', 2000)]
        cells = memrows.cells(runs)
        self.assertEqual({cell['row'] for cell in cells}, {BOARD})
        self.assertAlmostEqual(cell_of(cells, BOARD, 'ebb')['figure'], 1.04)
        self.assertEqual(cell_of(cells, BOARD, 'ebb')['runs'], 3)
        self.assertAlmostEqual(cell_of(cells, BOARD, 'glibc')['figure'], 2.0)

    def test_one_failed_run_takes_the_figure_away(self):
        runs = [board_run('ebb', 1000), {**board_run('ebb', 0), 'reason': 'killed'}, board_run('glibc', 2000)]
        cell = cell_of(memrows.cells(runs), BOARD, 'ebb')
        self.assertIsNone(cell['figure'])
        self.assertEqual((cell['failures'], cell['reason']), (1, 'killed'))
        self.assertIs(memrows.reached(cell), False)
        self.assertEqual(memreport.shown(cell), 'failed \u2717')


class Targets(unittest.TestCase):
    def reached(self, after_kib):
        return memrows.reached(cell_of(memrows.cells([board_run('ebb', after_kib)]), BOARD, 'ebb'))

    def test_as_shown(self):
        self.assertIs(self.reached(1050), True)
        self.assertIs(self.reached(1054), True)  # shown as 1.05
        self.assertIs(self.reached(1056), False)  # shown as 1.06

    def test_no_target_no_judgement(self):
        run = {**board_run('ebb', 0), 'program': 'fall', 'second_kib': 9, 'last_kib': 9, 'held_kib': 9}
        cells = memrows.cells([run])
        self.assertEqual([memrows.reached(cell) for cell in cells], [None, None])
        self.assertEqual(memreport.shown(cells[0]), '1.00')

    def test_only_ebb_is_marked(self):
        cells = memrows.cells([board_run('ebb', 1056), board_run('glibc', 1000)])
        self.assertEqual(memreport.shown(cell_of(cells, BOARD, 'ebb')), '1.06 \u2717')
        self.assertEqual(memreport.shown(cell_of(cells, BOARD, 'glibc')), '1.00')
        self.assertIn('ebb is within 0 of 1 targets', memreport.text_report(cells))

    def test_texts(self):
        cells = memrows.cells([board_run('ebb', 1056)])
        self.assertEqual(memreport.target(cells[0]), '\u2264 1.05')
        self.assertEqual(memreport.target({**cells[0], 'unit': 'KiB', 'at_most': 14}), '\u2264 14 KiB')
        self.assertEqual(
            memreport.target({**cells[0], 'unit': 'KiB', 'kind': memrows.OVER_GLIBC}), '\u2264 1.05'
        )


class Files(unittest.TestCase):
    def test_csv_and_back(self):
        cells = memrows.cells([board_run('ebb', 1040), {**board_run('glibc', 0), 'reason': 'a, "b"'}])
        back = memreport.read_csv(memreport.csv_text(cells))
        self.assertEqual(len(back), 2)
        for cell, again in zip(cells, back):
            self.assertEqual(again['reason'], cell['reason'])
            self.assertEqual((again['runs'], again['failures']), (cell['runs'], cell['failures']))
            self.assertEqual(memreport.shown(again), memreport.shown(cell))
            self.assertEqual(again['at_most'], 1.05)

    def test_markdown_goes_between_its_own_marks(self):
        section = memreport.markdown_report(memrows.cells([board_run('ebb', 1040)]), {'cpu': 'one|two'})
        self.assertIn(f'| {BOARD} | ratio | 1.04 \u2713 | \u2264 1.05 |', section)
        self.assertIn('one\\|two', section)
        text = f'a\n{memreport.MARKS[0]}\nold\n{memreport.MARKS[1]}\n{report.MARK_BEGIN}\nkept\n'
        text = report.replace_section(text, 'new', memreport.MARKS)
        self.assertNotIn('old', text)
        self.assertIn('new', text)
        self.assertIn('kept', text)

    def test_the_readme_has_the_marks(self):
        path = os.path.join(memory.HERE, 'README.md')
        with open(path, encoding='utf-8') as file:
            text = file.read()
        report.replace_section(text, 'x', memreport.MARKS)
        report.replace_section(text, 'x')

    def test_series_is_that_of_the_median_run(self):
        runs = [
            {**board_run('ebb', 0), 'program': 'fall', 'last_kib': last, 'held_kib': last, 'series': [[0, last, 1]]}
            for last in (10, 30, 20)
        ]
        self.assertEqual(memreport.series_of(runs), {'ebb': [[0, 20, 1]]})
        self.assertEqual(memreport.held_of(runs), 20)
        self.assertEqual(
            memreport.series_csv_text(memreport.series_of(runs)), 'allocator,ms,rss_kib,live_kib\nebb,0,20,1\n'
        )
        self.assertIsNone(memreport.held_of([]))


class Parsing(unittest.TestCase):
    REPORT = 'program=x check=0f after_kib=5 peak_kib=30 base_kib=10 probe_wall_us=500000\n0,1,2\n100,3,4\n'

    def test_report_and_series(self):
        sample = {
            'report': parse_report(self.REPORT),
            'series': parse_series(self.REPORT),
            'time_s': 2.0,
        }
        found = memprograms.numbers(sample, 2)
        self.assertEqual((found['after_kib'], found['net_peak_kib'], found['check']), (5, 20, '0f'))
        self.assertEqual(found['time_s'], 1.5)
        self.assertEqual(found['series'], [[0, 1, 2], [100, 3, 4]])
        self.assertEqual(found['plain_anon'], 2)

    def test_a_silent_program_is_a_failure(self):
        self.assertEqual(parse_series(''), [])
        with self.assertRaises(Failure):
            memprograms.numbers({'report': {}, 'series': [], 'time_s': 1.0}, 2)

    def test_anonymous_memory(self):
        self.assertEqual(memprograms.anonymous_kib('VmRSS:\t900 kB\nRssAnon:\t 300 kB\nVmSwap:\t 20 kB\n'), 320)
        with self.assertRaises(Failure):
            memprograms.anonymous_kib('VmRSS:\t900 kB\n')


class Sizes(unittest.TestCase):
    def test_fitting_scale(self):
        spare = memprograms.SPARE_KIB
        self.assertEqual(memprograms.fitting_scale(1.0, 1000, 10 * spare), 1.0)
        self.assertAlmostEqual(memprograms.fitting_scale(1.0, 8 * spare, 7 * spare), 0.5)
        self.assertAlmostEqual(memprograms.fitting_scale(0.1, 8 * spare, 7 * spare), 0.1)
        self.assertGreater(memprograms.fitting_scale(1.0, 8 * spare, 0), 0.0)

    def test_arguments_of_each_size(self):
        program = next(each for each in memprograms.PROGRAMS if each.name == 'checkerboard-132k')
        commands = {}
        for size in (memprograms.QUICK, memprograms.ORDINARY, memprograms.FULL):
            context = memprograms.MemoryContext('build', None, None, 0.5, 9.0, 7, size=size)
            commands[size] = program.command(context)
            self.assertIn('scale=0.5', commands[size])
            self.assertIn('seed=7', commands[size])
        self.assertIn('blocks=20000', commands[memprograms.ORDINARY])
        self.assertIn('blocks=60000', commands[memprograms.FULL])
        self.assertIn('wait=100', commands[memprograms.QUICK])

    def test_too_little_memory_makes_it_smaller(self):
        program = next(each for each in memprograms.PROGRAMS if each.name == 'checkerboard-132k')
        context = memprograms.MemoryContext(
            'build', None, None, size=memprograms.FULL, available_kib=4 << 20
        )
        self.assertLess(program.scale(context), 0.4)
        self.assertEqual(memory.scaled_down(context, [program]), [f'{program.name} at {program.scale(context):.3g}'])


class Eager(unittest.TestCase):
    def test_settings_reach_the_environment_and_only_theirs(self):
        os.environ['MALLOC_CONF'] = 'narenas:1'
        try:
            name = 'jemalloc-eager'
            eager = peers.Allocator(name, '/lib/x.so', None, peers.EAGER[name][1]).environment()
            plain = peers.Allocator('jemalloc', '/lib/x.so').environment()
        finally:
            del os.environ['MALLOC_CONF']
        self.assertIn('dirty_decay_ms:0', eager['MALLOC_CONF'])
        self.assertNotIn('MALLOC_CONF', plain)

    def test_they_are_peers(self):
        for name, (peer, settings) in peers.EAGER.items():
            self.assertTrue(report.is_peer(name))
            self.assertTrue(settings)
            self.assertIn(peer, [peers.GLIBC, *peers.PEERS])
        found, missing = peers.find(['glibc-eager'])
        self.assertEqual((found[0].name, found[0].package, missing), ('glibc-eager', 'libc6', []))


class Picture(unittest.TestCase):
    def test_round_steps(self):
        self.assertEqual(memplot.round_step(1000, 6), 200)
        self.assertEqual(memplot.round_step(1100, 6), 200)
        self.assertEqual(memplot.round_step(1300, 6), 500)
        self.assertEqual(memplot.round_step(0.9, 8), 0.2)

    def test_labels_keep_their_distance(self):
        placed = memplot.spread([100.0, 101.0, 50.0], 15, 98)
        self.assertEqual(sorted(placed, reverse=True), [98, 83, 50.0])
        self.assertLess(placed[0], placed[1])

    def test_svg(self):
        series = {
            'glibc': [[0, 0, 0], [100, 9000, 8000], [200, 9000, 400]],
            'jemalloc-eager': [[0, 0, 0], [100, 9500, 8000], [200, 2000, 400]],
            'ebb': [[0, 0, 0], [100, 9000, 8000], [200, 800, 400]],
            'control': [[0, 0, 0], [100, 9000, 8000], [200, 800, 400]],
        }
        text = memplot.picture(series, {'cpu': 'a & b'}, 700)
        root = xml.etree.ElementTree.fromstring(text)
        lines = root.findall('{http://www.w3.org/2000/svg}polyline')
        self.assertEqual(len(lines), 4)  # three allocators, the pages; no control
        self.assertIn('ebb 1 MiB', text)
        self.assertEqual(memplot.fallen_from(series['ebb']), 200)


if __name__ == '__main__':
    unittest.main()
