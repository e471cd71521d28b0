# SPDX-License-Identifier: MIT
"""The driver's arithmetic, table and pictures, against expected text."""

import io
import os
import sys
import unittest
from xml.dom import minidom

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from ebbdemo import chart, loadrun, picture, scale, server, style, svg, table  # noqa: E402
from ebbdemo.allocators import Allocator, resolve  # noqa: E402
from ebbdemo.errors import DemoError  # noqa: E402
from ebbdemo.progress import Progress  # noqa: E402

MIB = 1 << 20
PLAIN = style.Style(width=60)
FANCY = style.Style(utf8=True, width=60)


def make_run(name, points, end, version=""):
    """A run with (t, RSS in MiB, live in MiB) samples and figures for the table."""
    run = loadrun.Run(Allocator(name, None, version))
    run.samples = [{"t": t, "rss_bytes": rss * MIB, "live_bytes": live * MIB, "vmas": 40} for t, rss, live in points]
    run.phases = [("ramp", 0.0, 2.0), ("steady", 2.0, 6.0), ("fall", 6.0, 6.1), ("idle", 6.1, 10.0)]
    run.summary = {"rss_end_bytes": end * MIB}
    return run


def two_runs():
    rise = [(0, 0, 0), (2, 90, 80), (6, 100, 80)]
    return [make_run("first", rise + [(6.1, 100, 8), (10, 100, 8)], 100, "1.0"),
            make_run("second", rise + [(6.5, 100, 8), (7.5, 10, 8), (10, 10, 8)], 10)]


class Figures(unittest.TestCase):
    def test_bytes(self):
        for count, text in ((0, "0 MiB"), (1536 * 1024, "1.50 MiB"), (10 * MIB, "10.0 MiB"), (999 * MIB, "999 MiB"),
                            (1024 * MIB, "1.00 GiB"), (int(15.25 * 1024) * MIB, "15.2 GiB"), (None, "-")):
            self.assertEqual(style.bytes_text(count), text)

    def test_durations(self):
        for ns, text in ((0, "0 ns"), (20.4, "20 ns"), (999.4, "999 ns"), (1500, "1.50 µs"), (25e3, "25.0 µs"),
                         (10.88e6, "10.9 ms")):
            self.assertEqual(style.ns_text(ns), text)
        self.assertEqual(style.ns_text(1500, PLAIN), "1.50 us")

    def test_axis(self):
        self.assertEqual(scale.byte_axis(720 * MIB), ("MiB", MIB, 200 * MIB, 800 * MIB))
        self.assertEqual(scale.byte_axis(3 << 30), ("GiB", 1 << 30, 1 << 30, 3 << 30))
        self.assertEqual(scale.byte_axis(0)[0], "MiB")
        self.assertEqual(scale.ticks(1.0, 0.5), [0, 0.5, 1.0])

    def test_value_at(self):
        points = [(0, 0), (2, 20), (2, 40), (4, 40)]
        self.assertEqual([scale.value_at(points, t) for t in (-1, 0, 1, 3, 4, 5)], [None, 0, 10, 40, 40, None])
        self.assertIsNone(scale.value_at([], 1))

    def test_spread_keeps_order_distance_and_bounds(self):
        for wanted in ([50, 51, 52], [0, 0, 0], [100, 99, 100], [10, 90, 50]):
            got = svg.spread(wanted, 20, 0, 100)
            ordered = sorted(got)
            self.assertTrue(all(b - a >= 20 - 1e-9 for a, b in zip(ordered, ordered[1:])), (wanted, got))
            self.assertTrue(0 <= ordered[0] and ordered[-1] <= 100, (wanted, got))


class Table(unittest.TestCase):
    def test_verdicts(self):
        self.assertEqual(table.verdict(100, 50, "low", 0.03), ("better", 2.0))
        self.assertEqual(table.verdict(50, 100, "low", 0.03), ("worse", 2.0))
        self.assertEqual(table.verdict(50, 100, "high", 0.03), ("better", 2.0))
        self.assertEqual(table.verdict(100, 102, "low", 0.03)[0], "same")
        self.assertEqual(table.verdict(20, 30, "low", 0.03, step=10)[0], "same")
        self.assertEqual(table.verdict(0, 0, "low", 0.03)[0], "same")
        self.assertIsNone(table.verdict(0, 5, "low", 0.03))
        self.assertIsNone(table.verdict(None, 5, "low", 0.03))
        self.assertIsNone(table.verdict(1, 5, None, 0.03))

    def test_golden(self):
        rows = [table.Row("RSS, at the end", lambda r: r.summary["rss_end_bytes"], style.bytes_text, "low"),
                table.Row("live", lambda r: r.samples[-1]["live_bytes"], style.bytes_text, gap=True)]
        self.assertEqual(table.render(two_runs(), rows, PLAIN), [
            "                    first 1.0     second",
            "  --------------------------------------------",
            "  RSS, at the end     100 MiB   10.0 MiB + 10x",
            "",
            "  live               8.00 MiB   8.00 MiB"])
        self.assertIn("10.0 MiB ▲ 10×", table.render(two_runs(), rows, FANCY)[2])

    def test_colors_do_not_move_columns(self):
        rows = [table.Row("RSS", lambda r: r.summary["rss_end_bytes"], style.bytes_text, "low")]
        colored = table.render(two_runs(), rows, style.Style(color=True))
        plain = table.render(two_runs(), rows, PLAIN)
        self.assertIn("\033[32m", colored[2])
        for code in ("0", "1", "2", "31", "32"):
            colored = [line.replace(f"\033[{code}m", "") for line in colored]
        self.assertEqual([line.rstrip() for line in colored], plain)


class Pictures(unittest.TestCase):
    maxDiff = None

    def test_ascii_golden(self):
        self.assertEqual(chart.render(two_runs(), PLAIN, rows=4), ASCII_CHART.split("\n")[1:-1])

    def test_braille_golden(self):
        self.assertEqual(chart.render(two_runs()[1:], FANCY, rows=4), BRAILLE_CHART.split("\n")[1:-1])

    def test_svg_is_xml_and_names_everything(self):
        runs = two_runs()
        text = svg.render(runs, "A & B", "sub <title>", ["foot"])
        document = minidom.parseString(text)
        words = [node.firstChild.data for node in document.getElementsByTagName("text")]
        for word in ("A & B", "sub <title>", "foot", "first 1.0", "100 MiB at the end", "10.0 MiB at the end", "idle"):
            self.assertIn(word, words)
        lines = document.getElementsByTagName("polyline")
        self.assertEqual(len(lines), 4)  # RSS and live of each
        for line in lines:
            for pair in line.getAttribute("points").split():
                x, y = map(float, pair.split(","))
                self.assertTrue(svg.LEFT <= x <= svg.WIDTH - svg.RIGHT and svg.TOP <= y <= svg.HEIGHT, pair)

    def test_plot_name_is_checked_beforehand(self):
        with self.assertRaises(DemoError):
            picture.check("picture.gif")
        with self.assertRaises(DemoError):
            picture.check("/no/such/folder/picture.svg")
        picture.check("picture.svg")


class Lines(unittest.TestCase):
    def test_progress_plain(self):
        out = io.StringIO()
        progress = Progress("ebb", {"ramp": 1, "idle": 1}, PLAIN, 5, out)
        for phase in ("ramp", "ramp", "idle"):
            progress.update({"phase": phase, "part": 0.5, "rss_bytes": MIB})
        progress.done("done")
        self.assertEqual(out.getvalue(), "  ebb  ramp   RSS 1.00 MiB\n  ebb  idle   RSS 1.00 MiB\n  ebb  done\n")

    def test_progress_live_fits_the_line(self):
        for width in (60, 80, 120):
            out = io.StringIO()
            progress = Progress("jemalloc", {"ramp": 1, "idle": 3}, style.Style(True, False, True, width), 10, out)
            progress.update({"phase": "idle", "part": 1 / 3, "rss_bytes": 999 * MIB, "live_bytes": 999 * MIB})
            line = out.getvalue().replace("\r", "").replace("\033[K", "")
            self.assertIn(" 50%", line)
            self.assertLess(len(line), width)

    def test_style_of_stream(self):
        stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        got = style.Style.of(stream, {"TERM": "xterm", "LANG": "de_DE.UTF-8"})
        self.assertEqual((got.utf8, got.color, got.live), (True, False, False))
        for env in ({}, {"LANG": "C"}, {"LC_ALL": "C", "LANG": "C.UTF-8"}, {"LC_ALL": "", "LC_CTYPE": "de_DE@euro"}):
            self.assertFalse(style.Style.of(stream, env).utf8, env)
        ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        self.assertFalse(style.Style.of(ascii_only, {"LANG": "C.UTF-8"}).utf8)

    def test_colors_only_on_a_terminal_that_wants_them(self):
        class Terminal(io.StringIO):
            encoding = "utf-8"

            def isatty(self):
                return True

        for env, want in (({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({}, False),
                          ({"TERM": "xterm", "NO_COLOR": "1"}, False)):
            self.assertEqual(style.Style.of(Terminal(), env).color, want, env)

    def test_allocator_names(self):
        names = [a.name for a in resolve(["glibc", "x=" + __file__, "glibc"], None, None)]
        self.assertEqual(names, ["glibc", "x", "glibc#2"])
        for bad in (["nothing"], ["ebb"], ["x=/no/such/library.so"]):
            with self.assertRaises(DemoError):
                resolve(bad, None, None)

    def test_environment_is_clean(self):
        os.environ["MALLOC_ARENA_MAX"] = "1"
        os.environ["LD_PRELOAD"] = ""
        try:
            env = Allocator("x", "/lib/x.so").environment()
        finally:
            del os.environ["MALLOC_ARENA_MAX"], os.environ["LD_PRELOAD"]
        self.assertNotIn("MALLOC_ARENA_MAX", env)
        self.assertEqual(env["LD_PRELOAD"], "/lib/x.so")
        self.assertNotIn("LD_PRELOAD", Allocator("glibc").environment())

    def test_sysbench_report(self):
        report = ("    queries:                             171800 (21427.49 per sec.)\n"
                  "Latency (ms):\n         95th percentile:                       25.74\n")
        self.assertEqual(server.parse_sysbench(report), (21427.49, 25.74))
        with self.assertRaises(DemoError):
            server.parse_sysbench("FATAL: error")


ASCII_CHART = """

  first 1.0: RSS 100 MiB at the peak, 100 MiB at the end
  100 MiB +        ****************************************
          |     ****::::::::::::::::::::
   50 MiB +   ***:::::::::::::::::::::::
          |****:::::::::::::::::::::::::
    0 MiB +------------------------------------------------
           |ramp     |steady            |idle

  second: RSS 100 MiB at the peak, 10.0 MiB at the end
  100 MiB +        **************************
          |     ****::::::::::::::::::::    **
   50 MiB +   ***::::::::::::::::::::::::    **
          |****:::::::::::::::::::::::::::    *************
    0 MiB +------------------------------------------------
           |ramp     |steady            |idle
           0 s      2         4        6         8         10
           ** RSS   :: live: bytes that the program holds
"""

BRAILLE_CHART = """

  second: RSS 100 MiB at the peak, 10.0 MiB at the end
  100 MiB ┤        ⣠⠴⠒⠒⠒⠒⠒⠒⠒⠋⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠙⣆
          │     ⢀⡴⠚⠁░░░░░░░░░░░░░░░░░░░░   ⠈⢧⡀
   50 MiB ┤  ⢀⣠⠞⠉░░░░░░░░░░░░░░░░░░░░░░░░    ⠳⡄
          │⣠⠴⠋░░░░░░░░░░░░░░░░░░░░░░░░░░░░    ⠙⠦⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤
    0 MiB ┼────────────────────────────────────────────────
           ╵ramp     ╵steady            ╵idle
           0 s      2         4        6         8         10
           ⠒⠒ RSS   ░░ live: bytes that the program holds
"""

if __name__ == "__main__":
    unittest.main()
