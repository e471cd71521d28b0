# SPDX-License-Identifier: MIT
"""All allocators in turn, program by program and round by round, with a control; how the runs come about."""
import sys

from . import arithmetic, peers, report
from .process import Failure
from .progress import Progress


class Rounds:
    """The runs of one call of a runner.

    `measure(context, program, allocator)` runs a program once and returns its sample, and `score(run)`
    says of a good run by what the best peer is chosen; less is better.
    """

    def __init__(self, context, programs, allocators, rounds, control, measure, score):
        self.context = context
        self.programs = programs
        self.allocators = allocators
        self.rounds = rounds
        self.control = control
        self.measure = measure
        self.score = score
        self.controls = {}  # program: the peer that is entered a second time
        self.checks = {}  # program: what the first good run computed
        self.runs = []
        entries = len(allocators) + (1 if control != 'none' else 0)
        self.progress = Progress(rounds * len(programs) * entries)

    def run_all(self):
        """Round by round. All allocators run a program in turn before the next program comes, in an
        order that is rotated from round to round and from program to program."""
        try:
            for number in range(self.rounds):
                for index, program in enumerate(self.programs):
                    self.run_program(number, program, number + index)
        finally:
            self.progress.end()

    def run_program(self, number, program, turn):
        entries = [(allocator.name, allocator) for allocator in self.allocators]
        chosen = self.controls.get(program.name)
        if chosen:
            entries.append((peers.CONTROL, chosen))
        for name, allocator in arithmetic.rotated(entries, turn):
            self.run_once(number, program, name, allocator)
        if not chosen and self.control != 'none':
            chosen = self.choose_control(program)
            if chosen:
                self.controls[program.name] = chosen
                self.run_once(number, program, peers.CONTROL, chosen)

    def choose_control(self, program):
        """The peer to enter twice: the one asked for, or the best of this program in the first round."""
        if self.control != 'best':
            wanted = self.control
        else:
            scores = {
                run['allocator']: self.score(run)
                for run in self.runs
                if run['program'] == program.name and not run['reason'] and report.is_peer(run['allocator'])
            }
            wanted, _ = arithmetic.best_peer(scores, list(scores))
        return next((allocator for allocator in self.allocators if allocator.name == wanted), None)

    def run_once(self, number, program, name, allocator):
        self.progress.step(f'round {number + 1} of {self.rounds}, {program.name}, {name}')
        run = {
            'round': number + 1,
            'program': program.name,
            'group': program.group,
            'allocator': name,
            'control_of': allocator.name if name == peers.CONTROL else '',
            'reason': None,
        }
        try:
            run.update(self.measure(self.context, program, allocator))
            expected = self.checks.setdefault(program.name, run.get('check'))
            if run.get('check') != expected:
                run['reason'] = f'computed {run.get("check")} and not {expected}'
        except Failure as failure:
            run['reason'] = str(failure)
        self.runs.append(run)


def prepare(programs, context):
    """The programs that can run, after their preparation; what is left out is said on standard error."""
    usable = []
    for program in programs:
        reason = program.unavailable(context)
        if not reason:
            try:
                print(f'preparing {program.name}', file=sys.stderr)
                program.prepare(context)
                usable.append(program)
                continue
            except Failure as failure:
                reason = str(failure)
        print(f'left out: {program.name}: {reason}', file=sys.stderr)
    return usable
