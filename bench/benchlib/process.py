# SPDX-License-Identifier: MIT
"""Starts one program, waits for it, and tells what it cost."""
import fcntl
import os
import signal
import threading

SAMPLE_S = 0.1


class Failure(Exception):
    """A run that gave no figures; the text says why."""


def descendants(pid):
    """The process and its children, as far as /proc tells."""
    found = [pid]
    try:
        for task in os.listdir(f'/proc/{pid}/task'):
            with open(f'/proc/{pid}/task/{task}/children', encoding='ascii') as file:
                for child in file.read().split():
                    found += descendants(int(child))
    except OSError:
        pass
    return found


def mappings(pid):
    """The number of the process's mappings; 0 when it is gone."""
    try:
        with open(f'/proc/{pid}/maps', 'rb') as file:
            return file.read().count(b'\n')
    except OSError:
        return 0


def status_kib(pid, *fields):
    """The sum of some fields of /proc/PID/status, in KiB; 0 when the process is gone."""
    total = 0
    try:
        with open(f'/proc/{pid}/status', encoding='utf-8', errors='replace') as file:
            for line in file:
                if line.split(':')[0] in fields:
                    total += int(line.split()[1])
    except OSError:
        pass
    return total


class MappingSampler(threading.Thread):
    """Counts the mappings of a process and its children ten times a second and keeps the largest count
    of one.

    With `children_only` the process itself, which merely starts the program, does not count.
    """

    def __init__(self, pid, children_only=False):
        super().__init__(daemon=True)
        self.pid = pid
        self.skipped = 1 if children_only else 0
        self.largest = 0
        self.ended = threading.Event()

    def run(self):
        while True:
            self.sample()
            if self.ended.wait(SAMPLE_S):
                return

    def sample(self):
        for pid in descendants(self.pid)[self.skipped :]:
            self.largest = max(self.largest, mappings(pid))

    def finish(self):
        self.ended.set()
        self.join()
        return self.largest


def _kill_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        pass


class Spawner:
    """Runs commands through the program bench-spawn (see spawn.c), which has to have been built."""

    def __init__(self, spawn_path):
        self.spawn_path = spawn_path

    def run(self, command, environment, timeout_s, stdin_path=os.devnull, sample_mappings=False):
        """Runs a command to its end. Returns what it cost as a dictionary; raises Failure when it did
        not end well.

        time_s is the wall time from the start to the end of the process; cpu_s, peak_kib and minflt are
        the kernel's account of it and of its children. `report` holds the pairs that the program wrote
        on descriptor 3, and `series` the lines of numbers that followed.
        """
        environment = dict(environment)
        if 'LD_PRELOAD' in environment:
            environment['BENCH_PRELOAD'] = environment.pop('LD_PRELOAD')
        with _Files('report', 'cost', 'errors') as files:
            pid = os.posix_spawn(
                self.spawn_path,
                [self.spawn_path, *command],
                environment,
                setpgroup=0,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, stdin_path, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_DUP2, files.fds['errors'], 2),
                    (os.POSIX_SPAWN_DUP2, files.fds['report'], 3),
                    (os.POSIX_SPAWN_DUP2, files.fds['cost'], 4),
                ],
            )
            killer = threading.Timer(timeout_s, _kill_group, (pid,))
            killer.start()
            sampler = MappingSampler(pid, children_only=True) if sample_mappings else None
            if sampler:
                sampler.start()
            try:
                _, status = os.waitpid(pid, 0)
                timed_out = not killer.is_alive()
            except BaseException:
                # An interrupt at the terminal does not reach the program: its process group is its own.
                _kill_group(pid)
                os.waitpid(pid, 0)
                raise
            finally:
                killer.cancel()
                largest = sampler.finish() if sampler else None
            lines, cost = files.read('report'), parse_report(files.read('cost'))
            errors = files.read('errors').strip()[-300:]
        if timed_out:
            raise Failure(f'not finished after {timeout_s:.0f} s')
        tail = f': {errors}' if errors else ''
        if status != 0 or not cost:
            raise Failure(f'cannot be started{tail}')
        if cost['signal'] != '0':
            raise Failure(f'killed by {signal.Signals(int(cost["signal"])).name}{tail}')
        if cost['status'] != '0':
            raise Failure(f'exit status {cost["status"]}{tail}')
        return {
            'time_s': float(cost['time_s']),
            'cpu_s': float(cost['cpu_s']),
            'peak_kib': int(cost['peak_kib']),
            'minflt': int(cost['minflt']),
            'mappings': largest,
            'report': parse_report(lines),
            'series': parse_series(lines),
        }


class _Files:
    """Anonymous files for what a program writes. Their numbers lie above those that the program will
    see, so that moving one into place cannot overwrite the next."""

    LOWEST_FD = 10

    def __init__(self, *names):
        self.names = names
        self.fds = {}

    def __enter__(self):
        for name in self.names:
            fd = os.memfd_create(name)
            self.fds[name] = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, self.LOWEST_FD)
            os.close(fd)
        return self

    def __exit__(self, *_):
        for fd in self.fds.values():
            os.close(fd)

    def read(self, name):
        return os.pread(self.fds[name], 1 << 20, 0).decode(errors='replace')


def parse_report(lines):
    """The name=value pairs of the first line."""
    first = lines.splitlines()[0] if lines.strip() else ''
    return dict(pair.split('=', 1) for pair in first.split() if '=' in pair)


def parse_series(lines):
    """The numbers of the lines after the first, each a list of integers."""
    return [[int(number) for number in line.split(',')] for line in lines.splitlines()[1:] if line]
