# SPDX-License-Identifier: MIT
"""Every work of the regions' bench once at tiny scale under every kind, and the runner from end to end.

Usage: test_region_smoke.py BUILD, the folder that holds bench/bench-spawn.
"""
import contextlib
import csv
import io
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import region  # noqa: E402

BUILD = ''


class Smoke(unittest.TestCase):
    def figures(self, *arguments):
        """(printed, {(work, kind): row}) of one run."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'figures.csv')
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()) as errors:
                status = region.main(['--build', BUILD, '--rounds', '1', '--csv', path, *arguments])
            self.assertEqual(status, 0, errors.getvalue())
            with open(path, encoding='utf-8', newline='') as file:
                return printed.getvalue(), {(row['work'], row['kind']): row for row in csv.DictReader(file)}

    def test_every_work(self):
        printed, rows = self.figures('--scale', '0.001')
        kinds = {kind for _, kind in rows}
        self.assertLessEqual({'ebb', 'malloc', 'obstack'}, kinds)
        self.assertEqual({work for work, _ in rows}, {name for name, _ in region.WORKS})
        for row in rows.values():
            self.assertGreater(float(row['ns_per_piece']), 0.0, row)
            self.assertGreater(int(row['upstream']), 0 if row['kind'] in ('ebb', 'malloc') else -1, row)
        for kind in kinds:
            self.assertIn(kind, printed.split('\n', maxsplit=1)[0])

    def test_upstream_is_counted(self):
        """malloc asks once for each piece, and for its list; ebb for a few blocks in all."""
        _, rows = self.figures('--scale', '0.001', '--works', 'tree')
        pieces = 100000
        self.assertGreaterEqual(int(rows['tree', 'malloc']['upstream']), pieces)
        self.assertLess(int(rows['tree', 'malloc']['upstream']), pieces * 1.01)
        self.assertLess(int(rows['tree', 'ebb']['upstream']), 20)

    def test_wrong_arguments(self):
        for arguments in (['--works', 'nothing'], ['--rounds', '0'], ['--scale', '-1']):
            with self.subTest(arguments), contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit):
                region.main(arguments)


if __name__ == '__main__':
    BUILD = sys.argv.pop()
    unittest.main()
