# SPDX-License-Identifier: MIT
"""What the runners in Python share: TAP output, the preload environment, limits and another user."""
import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile

SKIP = 77
NOBODY = 65534
MIB = 1 << 20


class Tap:
    """Numbered results in the Test Anything Protocol; finish() gives the exit status."""

    def __init__(self):
        self.count = 0
        self.failures = 0

    def case(self, name, ok, detail=""):
        self.count += 1
        self.failures += not ok
        print("%s %d - %s" % ("ok" if ok else "not ok", self.count, name))
        if detail and not ok:
            for line in str(detail).splitlines()[:20]:
                print("# " + line[:500])
        sys.stdout.flush()

    def note(self, text):
        print("# " + text)

    def skip(self, name, reason):
        self.count += 1
        print("ok %d - %s # SKIP %s" % (self.count, name, reason))

    def finish(self):
        print("1..%d" % self.count)
        return 1 if self.failures else 0


def arguments(*names):
    """The command line of a runner: --library PATH (empty: the C library) and the named paths."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", default="")
    for name in names:
        parser.add_argument("--" + name, required=True)
    return parser.parse_args()


def environment(library, **more):
    env = dict(os.environ, MALLOC_PERTURB_="0")
    for name in ("LD_PRELOAD", "CONFORM_LIB", "EBB_MALLOC", "LD_AUDIT"):
        env.pop(name, None)
    if library:
        env["LD_PRELOAD"] = env["CONFORM_LIB"] = library
    env.update(more)
    return env


def may_set(what, value):
    """Whether a child can be given this limit; found by trying, for root may have lost the right to it."""
    pid = os.fork()
    if pid == 0:
        try:
            resource.setrlimit(what, (value, value))
        except (ValueError, OSError):
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def run(command, library="", limits=None, user=None, timeout_s=60, **more):
    """Runs a program; limits maps RLIMIT_x to bytes. Gives status (negative: the signal), output and error."""
    def restrict():
        for what, value in (limits or {}).items():
            resource.setrlimit(what, (value, value))

    identity = {}
    if user is not None:
        identity = {"user": user, "group": user, "extra_groups": []}
    try:
        done = subprocess.run(command, env=environment(library, **more), preexec_fn=restrict,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=timeout_s, check=False, **identity)
    except subprocess.TimeoutExpired as expired:
        return -9, (expired.stdout or b"").decode(errors="replace"), "timeout after %d s" % timeout_s
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


class Copies:
    """A folder that every user can read, with copies of programs: a build folder may be private."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="ebb-test-")
        os.chmod(self.path, 0o755)
        return self

    def __exit__(self, *unused):
        shutil.rmtree(self.path, ignore_errors=True)

    def add(self, path):
        if not path:
            return path
        target = os.path.join(self.path, os.path.basename(path))
        shutil.copyfile(os.path.realpath(path), target)
        os.chmod(target, 0o755)
        return target
