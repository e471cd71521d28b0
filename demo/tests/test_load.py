# SPDX-License-Identifier: MIT
"""ebb-load itself: a short run, its determinism, and that it notices an allocator that corrupts memory.

Arguments before unittest's own: the path of ebb-load and the path of the faulty malloc.
"""

import json
import os
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

LOAD, FAULTY = sys.argv[1:3]


def run(*options, preload=None, **more):
    env = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "LD_PRELOAD"}
    if preload:
        env["LD_PRELOAD"] = preload
    env.update(more)
    return subprocess.run([LOAD, *options], capture_output=True, text=True, check=False, env=env, timeout=60)


def lines_of(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


class Smoke(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.done = run("--live", "20M", "--seconds", "2", "--idle", "0.5", "--threads", "2", "--json")
        cls.lines = lines_of(cls.done)

    def test_ends_well(self):
        self.assertEqual((self.done.returncode, self.done.stderr), (0, ""))
        self.assertTrue(self.lines[-1]["summary"])

    def test_samples(self):
        samples = self.lines[:-1]
        self.assertGreater(len(samples), 20)  # 2.5 s at 10 a second, less what a busy machine loses
        times = [s["t"] for s in samples]
        self.assertEqual(times, sorted(times))
        phases = [s["phase"] for s in samples]
        self.assertEqual(list(dict.fromkeys(phases)), ["ramp", "steady", "fall", "idle"])
        self.assertEqual(sum(a != b for a, b in zip(phases, phases[1:])), 3)  # none comes back
        for s in samples:
            self.assertTrue(0 <= s["part"] <= 1 and s["rss_bytes"] > 0 and s["vmas"] > 5, s)

    def test_live_follows_the_plan(self):
        target, summary = 20 << 20, self.lines[-1]
        self.assertTrue(target * 0.9 < summary["live_peak_bytes"] < target * 1.5, summary["live_peak_bytes"])
        self.assertLess(summary["live_end_bytes"], target * 0.3)
        self.assertEqual(summary["live_end_bytes"], self.lines[-2]["live_bytes"])
        # RSS holds at least the live bytes, less the halves of buffers that stay untouched.
        self.assertGreater(summary["rss_peak_bytes"], target * 0.8)
        self.assertGreaterEqual(summary["rss_peak_bytes"], summary["rss_end_bytes"])
        self.assertTrue(0 < summary["rss_trimmed_bytes"] <= summary["rss_end_bytes"])

    def test_nothing_is_lost(self):
        summary = self.lines[-1]
        self.assertEqual(summary["allocation_ns"]["count"] > 1000, True)
        for kind in ("allocation_ns", "free_ns"):
            latency = summary[kind]
            self.assertTrue(0 < latency["p50"] <= latency["p99"] <= latency["p999"] <= latency["max"], latency)
        self.assertEqual([p["name"] for p in summary["phases"]], ["ramp", "steady", "fall", "idle"])
        self.assertIn("libc.so", summary["malloc_file"])


class Determinism(unittest.TestCase):
    KEYS = ("digest", "allocations", "frees", "requested_bytes", "ops", "live_end_bytes")

    def sequence(self, *options):
        done = run("--live", "16M", "--idle", "0", "--json", *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        summary = lines_of(done)[-1]
        return {key: summary[key] for key in self.KEYS}

    def test_threads_do_not_change_the_sequence(self):
        one = self.sequence("--ops", "20000", "--threads", "1", "--seed", "7")
        for threads in ("2", "3", "16"):
            self.assertEqual(self.sequence("--ops", "20000", "--threads", threads, "--seed", "7"), one)

    def test_seed_and_length_change_it(self):
        base = self.sequence("--ops", "5000", "--threads", "2", "--seed", "7")
        self.assertNotEqual(self.sequence("--ops", "5000", "--threads", "2", "--seed", "8")["digest"], base["digest"])
        self.assertNotEqual(self.sequence("--ops", "9000", "--threads", "2", "--seed", "7")["digest"], base["digest"])

    def test_a_run_by_time_can_be_repeated_by_operations(self):
        timed = self.sequence("--seconds", "1", "--threads", "2")
        self.assertEqual(self.sequence("--ops", str(timed["ops"]), "--threads", "2"), timed)


class Corruption(unittest.TestCase):
    def strike(self, fault, words):
        done = run("--live", "16M", "--ops", "20000", "--idle", "0", "--threads", "1", preload=FAULTY,
                   EBB_DEMO_FAULT=fault)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn(words, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)

    def test_without_fault(self):
        done = run("--live", "16M", "--ops", "5000", "--idle", "0", "--threads", "1", "--json", preload=FAULTY)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(lines_of(done)[-1]["malloc_file"], FAULTY)

    def test_tail(self):
        self.strike("tail", "the last bytes of a live block have changed")

    def test_head(self):
        self.strike("head", "the first bytes of a live block have changed")

    def test_zero(self):
        self.strike("zero", "calloc gave memory that is not zero")


class Usage(unittest.TestCase):
    def test_errors(self):
        for options in (["--live", "1K"], ["--live", "12Q"], ["--threads", "0"], ["--ops", "-1"], ["--idle", "x"],
                        ["--report-fd", "77"], ["--nothing"], ["word"]):
            done = run(*options)
            self.assertEqual((done.returncode, done.stdout), (2, ""), options)
            self.assertIn("ebb-load: ", done.stderr)

    def test_help(self):
        done = run("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for option in ("--live", "--threads", "--seconds", "--ops", "--idle", "--seed", "--json", "--report-fd"):
            self.assertIn(option, done.stdout)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
