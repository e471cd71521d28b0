# SPDX-License-Identifier: MIT
"""A server that the bench starts for one run, under one allocator, and stops again."""
import os
import resource
import subprocess
import time

from .process import Failure, MappingSampler, status_kib


class Server:
    """A context manager around one server process. Readings come from /proc while it runs, and its CPU
    time and faults from the kernel's account when it has ended."""

    def __init__(self, command, environment, log_path, stop_timeout_s=60.0, count_mappings=True):
        self.command = command
        self.count_mappings = count_mappings
        self.environment = environment
        self.log_path = log_path
        self.stop_timeout_s = stop_timeout_s
        self.process = None
        self.sampler = None

    def __enter__(self):
        with open(self.log_path, 'wb') as log:
            try:
                self.process = subprocess.Popen(
                    self.command,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as error:
                raise Failure(f'{self.command[0]}: {error}') from error
        if self.count_mappings:
            sampler = MappingSampler(self.process.pid)
            sampler.start()
            self.sampler = sampler
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self.process.pid

    def wait_until(self, ready, timeout_s):
        """Asks `ready` until it returns true. Raises Failure when the server ends or the time is over."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if self.process.poll() is not None:
                raise Failure(f'the server ended with status {self.process.returncode}: {self.log_tail()}')
            if time.monotonic() > deadline:
                raise Failure(f'the server did not answer within {timeout_s:.0f} s: {self.log_tail()}')
            time.sleep(0.05)

    def log_tail(self):
        with open(self.log_path, 'rb') as log:
            return log.read()[-300:].decode(errors='replace').strip()

    def rss_kib(self):
        return status_kib(self.pid, 'VmRSS', 'VmSwap')

    def peak_kib(self):
        return status_kib(self.pid, 'VmHWM')

    def cpu_s(self):
        """User and system time so far."""
        with open(f'/proc/{self.pid}/stat', encoding='ascii', errors='replace') as file:
            fields = file.read().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def minflt(self):
        """Minor faults so far."""
        with open(f'/proc/{self.pid}/stat', encoding='ascii', errors='replace') as file:
            return int(file.read().rsplit(')', 1)[1].split()[7])

    def largest_mappings(self):
        self.sampler.sample()
        return self.sampler.largest

    def loaded(self, library):
        """Whether the server has the file mapped: the proof that it was really preloaded."""
        with open(f'/proc/{self.pid}/maps', encoding='utf-8', errors='replace') as file:
            return os.path.realpath(library) in file.read()

    def stop(self):
        """Asks the server to end by SIGTERM, and kills it when it does not, or when we are interrupted
        while it takes its time. Only this one process."""
        try:
            if self.sampler:
                self.sampler.finish()
                self.sampler = None
        finally:
            if self.process:
                end(self.process, self.stop_timeout_s)


def end(process, timeout_s):
    """Ends a process that we started: by SIGTERM, by SIGKILL when that is not enough."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def client(command, timeout_s, cwd=None):
    """Runs a client to its end without any allocator preloaded. Returns (wall seconds, its output)."""
    environment = {key: value for key, value in os.environ.items() if key != 'LD_PRELOAD'}
    began = time.perf_counter()
    try:
        run = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors='replace',
            timeout=timeout_s,
            cwd=cwd,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Failure(f'{command[0]} did not end within {timeout_s:.0f} s') from error
    time_s = time.perf_counter() - began
    if run.returncode != 0:
        raise Failure(
            f'{command[0]} ended with status {run.returncode}: {(run.stderr or run.stdout).strip()[-300:]}'
        )
    return time_s, run.stdout


def raise_file_limit(count):
    """Lets the servers have `count` descriptors, as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
