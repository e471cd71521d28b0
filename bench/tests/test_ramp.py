# SPDX-License-Identifier: MIT
"""What the ramp and the ratchet read and reckon, against texts and figures worked out by hand. No server
runs here."""
import contextlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import ramp as script  # noqa: E402
from benchlib import curves, facts, mariadbd, peers, ramp, rampreport, server, watch  # noqa: E402
from benchlib.process import Failure  # noqa: E402

STATUS = """Name:\tmariadbd
VmPeak:\t 1500000 kB
VmHWM:\t  400000 kB
VmRSS:\t  300000 kB
RssAnon:\t  260000 kB
RssFile:\t   40000 kB
VmSwap:\t    5000 kB
Threads:\t268
"""
MB_KIB = 1e6 / 1024  # one MB in KiB


def reading(program, allocator, point, number=1, **fields):
    return {
        'program': program,
        'round': number,
        'allocator': allocator,
        'control_of': '',
        'reason': None,
        'point': point,
        **fields,
    }


def dumped(allocator, megabytes):
    return [
        reading('ratchet', allocator, f'dump-{i + 1}', rss_kib=value * MB_KIB, time_s=4.0)
        for i, value in enumerate(megabytes)
    ]


class Reading(unittest.TestCase):
    def test_status_counts_swap_as_resident(self):
        self.assertEqual(
            watch.parse_status(STATUS), {'rss_kib': 305000, 'anon_kib': 260000, 'threads': 268}
        )

    def test_status_without_swap(self):
        self.assertEqual(watch.parse_status(STATUS.replace('VmSwap', 'VmOther'))['rss_kib'], 300000)

    def test_status_of_a_process_that_is_gone(self):
        self.assertRaises(KeyError, watch.parse_status, 'Name:\tmariadbd\nState:\tZ (zombie)\n')

    def test_highest(self):
        series = [{'point': p, 'rss_kib': k} for p, k in (('a', 5), ('b', 9), ('a', 7))]
        self.assertEqual(watch.highest(series), 9)
        self.assertEqual(watch.highest(series, 'a'), 7)
        self.assertIsNone(watch.highest(series, 'c'))

    def test_watch_reads_a_live_process(self):
        with watch.Watch(os.getpid()) as held:
            held.enter('here')
            found = held.reading('here')
        self.assertGreater(found['rss_kib'], 1000)
        self.assertGreater(found['vmas'], 10)
        self.assertGreaterEqual(found['step_peak_kib'], found['rss_kib'])
        self.assertIn(found['t_s'], [sample['t_s'] for sample in held.series])

    def test_server_status(self):
        text = 'Innodb_buffer_pool_pages_free\t6058\nInnodb_buffer_pool_pages_data\t277\nUptime_text\tx\n'
        self.assertEqual(
            mariadbd.status_values(text),
            {'innodb_buffer_pool_pages_free': 6058, 'innodb_buffer_pool_pages_data': 277},
        )

    def test_version(self):
        self.assertEqual(
            mariadbd.version_text('/usr/sbin/mariadbd  Ver 10.11.6-MariaDB-0 for debian (Debian 12)'),
            '10.11.6-MariaDB-0',
        )
        self.assertEqual(mariadbd.version_text(''), 'unknown')

    def test_gdb(self):
        self.assertTrue(ramp.trimmed('[New LWP 7]\n$1 = 1\n[Inferior 1 detached]\n'))
        self.assertTrue(ramp.trimmed('$1 = 0\n'))
        self.assertFalse(ramp.trimmed('No symbol "malloc_trim" in current context.\n'))

    def test_sysbench_command(self):
        command = ramp.Conditions(rows=7, seed=3).sysbench('/x', 'oltp_point_select', threads=4)
        for option in ('--mysql-socket=/x/s', '--table-size=7', '--rand-seed=3', '--threads=4'):
            self.assertIn(option, command)

    def test_steps(self):
        self.assertEqual(
            [step.name for step in ramp.STEPS],
            ['ps-4', 'ps-8', 'ps-16', 'ps-32', 'ps-64', 'rw-16', 'rw-256'],
        )


class Medians(unittest.TestCase):
    def setUp(self):
        self.readings = []
        for number, base in enumerate((100, 300, 200), 1):
            for name, factor in (('ebb', 1), ('jemalloc', 2), ('glibc', 3)):
                for point, qps in (('start', None), ('ps-4', 10.0 * factor), ('rw-256', 20.0)):
                    self.readings.append(
                        reading('ramp', name, point, number, rss_kib=base * factor * MB_KIB, qps=qps)
                    )
            self.readings.append(reading('ramp', 'glibc', 'trim', number, rss_kib=90 * MB_KIB))

    def test_order_and_medians(self):
        table = rampreport.Table(self.readings, 'ramp')
        self.assertEqual(table.allocators, ['glibc', 'jemalloc', 'ebb'])
        self.assertEqual(table.points, ['start', 'ps-4', 'rw-256', 'trim'])
        self.assertAlmostEqual(table.value('jemalloc', 'start', 'rss_kib'), 400 * MB_KIB)
        self.assertIsNone(table.value('ebb', 'trim', 'rss_kib'))
        self.assertIsNone(table.value('ebb', 'start', 'qps'))
        self.assertEqual(table.loaded(), ['ps-4', 'rw-256'])

    def test_qps_ratios(self):
        table = rampreport.Table(self.readings, 'ramp')
        self.assertAlmostEqual(rampreport.qps_ratio(table, 'ps-4')['ebb'], 1 / 3)
        self.assertAlmostEqual(rampreport.qps_ratio(table, 'rw-256')['ebb'], 1.0)
        self.assertAlmostEqual(rampreport.qps_means(table)['ebb'], (1 / 3) ** 0.5)
        self.assertEqual(rampreport.qps_ratio(table, 'start'), {})

    def test_one_failed_run_fails_the_allocator(self):
        failed = {**reading('ramp', 'glibc', '', 2), 'reason': 'it crashed'}
        table = rampreport.Table([*self.readings, failed], 'ramp')
        self.assertEqual(table.allocators, ['jemalloc', 'ebb'])
        self.assertEqual(table.failures, {'glibc': 'it crashed'})
        self.assertIn('failed: ramp under glibc: it crashed', rampreport.text_report([failed], {}))

    def test_order_of_all_entries(self):
        self.assertEqual(
            rampreport.ordered(
                ['control', 'ebb', 'mine', 'mimalloc-eager', 'mimalloc', 'glibc', 'glibc-eager']
            ),
            ['glibc', 'glibc-eager', 'mimalloc-eager', 'mimalloc', 'mine', 'ebb', 'control'],
        )

    def test_csv_holds_everything(self):
        text = rampreport.readings_csv(self.readings, 'ramp')
        self.assertEqual(len(text.splitlines()), 1 + len(self.readings))
        self.assertEqual(rampreport.readings_csv(rampreport.read_csv(text), 'ramp'), text)
        self.assertEqual(
            rampreport.text_report(rampreport.read_csv(text), {}), rampreport.text_report(self.readings, {})
        )


class Verdicts(unittest.TestCase):
    def test_growth(self):
        table = rampreport.Table(dumped('ebb', [10, 80, 100, 101, 102, 103]), 'ratchet')
        ratio, slope = rampreport.growth(rampreport.dumps(table, 'ebb'))
        self.assertAlmostEqual(ratio, 1.03)
        self.assertAlmostEqual(slope, 1.0)

    def test_growth_needs_the_third_dump_and_one_more(self):
        for values in ([], [(1, 5.0), (2, 6.0)], [(1, 5.0), (2, 6.0), (3, 7.0)], [(4, 5.0), (5, 6.0)]):
            self.assertEqual(rampreport.growth(values), (None, None))

    def test_dumps_are_ordered_by_number(self):
        held = dumped('ebb', range(100, 112))
        table = rampreport.Table(held[::-1], 'ratchet')
        self.assertEqual([number for number, _ in rampreport.dumps(table, 'ebb')], list(range(1, 13)))

    def verdicts(self, idle_mb, qps, last_mb):
        readings = [
            reading('ramp', name, point, **fields)
            for name, mb, speed in (('ebb', idle_mb, qps), ('glibc', 400, 1000.0), ('tcmalloc', 500, 900.0))
            for point, fields in (
                ('rw-256', {'rss_kib': 600 * MB_KIB, 'qps': speed}),
                ('idle-1', {'rss_kib': 500 * MB_KIB}),
                ('idle-15', {'rss_kib': mb * MB_KIB}),
            )
        ]
        readings += dumped('ebb', [90, 95, 100, last_mb])
        return [met for *_, met in rampreport.verdicts(*rampreport.read_tables(readings), 'ebb')]

    def test_targets(self):
        self.assertEqual(self.verdicts(244.9, 1000.0, 104.9), [True, True, True])
        self.assertEqual(self.verdicts(245.1, 999.0, 105.1), [False, False, False])

    def test_only_what_was_measured(self):
        tables = rampreport.read_tables(dumped('ebb', [1, 1, 1, 1]))
        self.assertEqual([load for load, *_ in rampreport.verdicts(*tables, 'ebb')], ['ratchet'])
        self.assertEqual(rampreport.verdicts(*tables, 'glibc'), [])

    def test_report_says_met_missed_or_not_judged(self):
        held = dumped('ebb', [90, 95, 100, 120])
        judged = {'ratchet': {'judged': 'yes'}}
        self.assertIn('1.200; target: at most 1.05: missed', rampreport.text_report(held, judged))
        self.assertIn('not judged', rampreport.text_report(held, {'ramp': {'judged': 'yes'}}))

    def test_markdown_is_thinned(self):
        text = rampreport.markdown_report(
            dumped('ebb', [100] * 20), {'ramp': {'cores': '2'}, 'ratchet': {'cores': '2'}}
        )
        shown = [line.split('|')[1].strip() for line in text.splitlines() if line.startswith('| dump')]
        self.assertEqual(shown, [f'dump {n}' for n in (1, 3, 5, 10, 15, 20)])
        self.assertTrue(text.endswith('\nOf the ramp and the ratchet: cores: 2.\n'))

    def test_markdown_leaves_details_to_the_csv(self):
        held = [reading('ramp', 'ebb', 'ps-4', rss_kib=5.0, qps=2.0, threads=9, vmas=8)]
        self.assertIn(f'\n{rampreport.THREADS} ', rampreport.text_report(held, {}))
        text = rampreport.markdown_report(held, {})
        self.assertNotIn(f'| {rampreport.THREADS} |', text)
        self.assertIn('| queries/s |', text)

    def test_readme_has_the_marks(self):
        with open(os.path.join(script.HERE, 'README.md'), encoding='utf-8') as file:
            text = file.read()
        for mark in rampreport.MARKS:
            self.assertEqual(text.count(mark), 1)


class Pictures(unittest.TestCase):
    def test_time_is_scaled_to_the_steps(self):
        samples = [
            {'point': point, 't_s': t, 'rss_kib': t * MB_KIB}
            for point, t in zip(['ps-4'] * 2 + ['rw-16'] * 2 + ['idle-1'], (5.0, 10.0, 15.0, 30.0, 31.0))
        ]
        bands = curves.ramp_bands(['start', 'ps-4', 'rw-16', 'idle-1', 'peak'])
        self.assertEqual(
            [heading for heading, _ in bands],
            [('point select', '4 threads'), ('read-write', '16 threads'), ('idle', '1 s')],
        )
        found = curves.ramp_points(samples, bands)
        self.assertEqual([x for x, _ in found], [0.5, 1.0, 1.25, 2.0, 3.0])
        self.assertAlmostEqual(found[3][1], 30.0)

    def test_spread(self):
        self.assertEqual(curves.spread([10.0, 50.0], 10, 0, 100), [10.0, 50.0])
        self.assertEqual(curves.spread([50.0, 50.0], 10, 0, 100), [45.0, 55.0])
        self.assertEqual(curves.spread([99.0, 98.0], 10, 0, 100), [100.0, 90.0])
        self.assertEqual(curves.spread([0.0, 0.0, 0.0], 10, 0, 12), [0.0, 6.0, 12.0])
        self.assertEqual(curves.spread([], 10, 0, 12), [])

    def test_round_step(self):
        self.assertEqual([curves.round_step(top) for top in (6, 7, 245, 600, 601)], [1, 2, 50, 100, 200])

    def test_pictures_are_well_formed_and_named(self):
        readings, series = dumped('ebb', [10, 20, 30, 33]), []
        for name in ('ebb', 'glibc'):
            for t, point in enumerate(('start', 'ps-4', 'idle-15'), 1):
                held = reading('ramp', name, point, t_s=float(t), rss_kib=100 * MB_KIB)
                readings.append(held)
                series.append(held)
        readings.append(reading('ramp', 'glibc', 'trim', rss_kib=50 * MB_KIB))
        for text, labels in (
            (
                curves.ramp_picture(readings, series, {}),
                ['ebb 100 MB', 'glibc 100 MB, 50 trimmed', '4 threads'],
            ),
            (curves.ratchet_picture(readings, {}), ['ebb 33 MB, +10.0 %']),
        ):
            found = [element.text for element in xml.etree.ElementTree.fromstring(text).iter()]
            for label in labels:
                self.assertIn(label, found)

    def test_nothing_to_draw(self):
        self.assertIsNone(curves.ramp_picture([], [], {}))
        self.assertIsNone(curves.ratchet_picture([], {}))


class FakeProgram:
    """Gives the allocator's figure, or fails."""

    name = 'ramp'

    def __init__(self, qps):
        self.qps = qps
        self.order = []

    def run(self, allocator):
        self.order.append(allocator.name)
        if self.qps[allocator.name] is None:
            raise Failure('no server')
        point = {'point': 'rw-256', 'qps': self.qps[allocator.name], 'rss_kib': 1.0}
        return {'points': [point], 'series': [point]}


class Runs(unittest.TestCase):
    def run_all(self, qps, rounds, control):
        program = FakeProgram(qps)
        runner = script.Runner([program], [peers.Allocator(name) for name in qps], rounds, control)
        with contextlib.redirect_stderr(io.StringIO()):
            runner.run_all()
        return program, runner

    def test_order_rotates_and_the_fastest_peer_is_the_control(self):
        program, runner = self.run_all({'glibc': 5.0, 'jemalloc': 7.0, 'ebb': 9.0}, 2, True)
        self.assertEqual(
            program.order, ['glibc', 'jemalloc', 'ebb', 'jemalloc', 'jemalloc', 'ebb', 'jemalloc', 'glibc']
        )
        controls = [held for held in runner.readings if held['allocator'] == 'control']
        self.assertEqual([held['control_of'] for held in controls], ['jemalloc', 'jemalloc'])

    def test_a_failed_run_is_recorded(self):
        _, runner = self.run_all({'glibc': None, 'ebb': 9.0}, 1, False)
        self.assertEqual([held['reason'] for held in runner.readings], ['no server', None])

    def test_no_control_where_every_peer_failed(self):
        program, runner = self.run_all({'glibc': None}, 1, True)
        self.assertEqual((program.order, len(runner.readings)), (['glibc'], 1))

    def test_eager_entries_are_those_of_the_named_peers(self):
        self.assertEqual(peers.eager(['ebb', 'glibc', 'mine']), ['glibc-eager'])
        self.assertEqual([peers.base(name) for name in ('jemalloc-eager', 'ebb')], ['jemalloc', 'ebb'])

    def test_settings_are_among_the_facts(self):
        tuned = peers.Allocator('tcmalloc-eager', '/t.so', None, {'A': '1', 'B': '2'})
        self.assertEqual(facts.settings([peers.Allocator('glibc'), tuned]), 'tcmalloc-eager: A=1 B=2')

    def test_ebb_is_that_of_the_given_path_or_build_folder(self):
        with tempfile.TemporaryDirectory() as build:
            spawn = os.path.join(build, 'bench', 'bench-spawn')
            os.mkdir(os.path.dirname(spawn))
            with open(spawn, 'w', encoding='utf-8'):
                os.chmod(spawn, 0o755)
            options = ['--build', build]
            built = os.path.join(os.path.abspath(build), 'src', 'entry', 'libebb-malloc.so')
            self.assertEqual(script.find_ebb(script.parse_options(options)), built)
            self.assertEqual(script.find_ebb(script.parse_options([*options, '--ebb', '/e.so'])), '/e.so')

    def test_options(self):
        held = script.conditions_of(script.parse_options(['--full', '--dumps', '7']))
        self.assertEqual((held.step_s, held.dumps, held.rows), (120.0, 7, 1_000_000))
        held = script.conditions_of(script.parse_options(['--quick', '--step-s', '3']))
        self.assertEqual((held.step_s, held.rows), (3.0, 2000))

    def test_a_load_that_was_not_run_keeps_its_results(self):
        sample = reading('ramp', 'ebb', 'rw-16', t_s=1.0, rss_kib=5.0)
        dump = reading('ratchet', 'ebb', 'dump-1', t_s=2.0, rss_kib=6.0)
        with tempfile.TemporaryDirectory() as out, contextlib.redirect_stderr(io.StringIO()):
            self.assertEqual(script.read_results(out), ([], [], {}))
            script.write_results(out, [sample], [sample], {'ramp': {'date': '1'}})
            script.write_results(out, [dump], [dump], {'ratchet': {'date': '2'}})
            script.write_results(out, [dump], [dump], {'ratchet': {'date': '3'}})
            readings, series, described = script.read_results(out)
        self.assertEqual([held['point'] for held in readings], ['rw-16', 'dump-1'])
        self.assertEqual(sorted(held['rss_kib'] for held in series), [5.0, 6.0])
        self.assertEqual(described, {'ramp': {'date': '1'}, 'ratchet': {'date': '3'}})

    def test_a_process_that_ignores_sigterm_is_killed(self):
        deaf = (
            'import signal, time\n'
            'signal.signal(signal.SIGTERM, signal.SIG_IGN)\n'
            'print(flush=True)\n'
            'time.sleep(60)\n'
        )
        with subprocess.Popen([sys.executable, '-c', deaf], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            server.end(process, 0.2)
            self.assertEqual(process.returncode, -signal.SIGKILL)
            server.end(process, 0.2)  # ended already: nothing to do


if __name__ == '__main__':
    unittest.main()
