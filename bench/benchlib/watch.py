# SPDX-License-Identifier: MIT
"""A server's memory over time, read from /proc by a thread, and single readings at chosen moments."""
import threading
import time

from .process import mappings

SERIES_S = 0.5


def parse_status(text):
    """{'rss_kib', 'anon_kib', 'threads'} of /proc/PID/status. What is swapped out counts as resident, or
    a short machine would flatter."""
    fields = {}
    for line in text.splitlines():
        name, _, rest = line.partition(':')
        words = rest.split()
        if words and words[0].isdigit():
            fields[name] = int(words[0])
    return {
        'rss_kib': fields['VmRSS'] + fields.get('VmSwap', 0),
        'anon_kib': fields['RssAnon'],
        'threads': fields['Threads'],
    }


def read_status(pid):
    with open(f'/proc/{pid}/status', encoding='utf-8', errors='replace') as file:
        return parse_status(file.read())


class Watch(threading.Thread):
    """Samples a process twice a second until it is told to stop or the process is gone.

    Only /proc/PID/status is read in this way: to read the mappings takes the lock that the server's own
    mmap calls want, so that they are counted only between the steps.
    """

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid = pid
        self.point = 'start'
        self.began = time.monotonic()
        self.series = []
        self.ended = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()

    def enter(self, point):
        """From now on samples belong to the step that ends in this point."""
        self.point = point

    def seconds(self):
        return time.monotonic() - self.began

    def run(self):
        due = self.began
        while not self.ended.wait(max(0.0, due - time.monotonic())):
            try:
                self.take()
            except (OSError, KeyError):
                return
            due += SERIES_S

    def take(self):
        """One more sample; returns it."""
        sample = {'point': self.point, **read_status(self.pid)}
        sample['t_s'] = self.seconds()
        self.series.append(sample)
        return sample

    def reading(self, point):
        """All that /proc tells at this moment, for the table."""
        sample = {**self.take(), 'point': point, 'vmas': mappings(self.pid)}
        sample['step_peak_kib'] = highest(self.series, point)
        return sample


def highest(series, point=None):
    """The highest resident memory of the samples of one step, or of all."""
    return max((s['rss_kib'] for s in list(series) if point in (None, s['point'])), default=None)
