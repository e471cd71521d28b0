# SPDX-License-Identifier: MIT
"""Black-box tests of `ebb run`: what it says about who serves, and that the program does not notice it."""

import os
import re
import select
import shutil
import signal
import stat
import subprocess
import time

import tap
from tap import Skip, case, compile_c, contains, equal, run, wait_for

EBB = os.environ["EBB_TOOL"]
LIBRARY = os.environ.get("EBB_TEST_LIBRARY")
# Far more than any proof takes, also on a busy machine.
LONG = "30s"

for variable in ("LD_PRELOAD", "EBB_LIBRARY", "EBB_MALLOC"):
    os.environ.pop(variable, None)

ALLOCATES = """
#include <stdlib.h>
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    char *volatile block = malloc(100);
    printf("ran %d\\n", block != NULL);
    fflush(stdout);
    free(block);
    usleep(argc > 1 ? atoi(argv[1]) * 1000 : 0);
    return 5;
}
"""


def ebb_run(*args, **more):
    if LIBRARY is None:
        raise Skip("libebb-malloc.so is not built")
    return run(EBB, "run", "--library", LIBRARY, *args, **more)


def start(*args, **more):
    """`ebb run` in the background."""
    if LIBRARY is None:
        raise Skip("libebb-malloc.so is not built")
    return subprocess.Popen([EBB, "run", "--library", LIBRARY, *args], **more)


def child_of(pid):
    """The only child of a process, once it has executed a program of its own."""

    def look():
        with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
            children = file.read().split()
        if len(children) == 1 and os.readlink(f"/proc/{children[0]}/exe") != os.readlink(f"/proc/{pid}/exe"):
            return int(children[0])
        return None

    return wait_for("child", look)


def state_of(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rsplit(")", 1)[1].split()[0]


def one_line(text):
    equal((text.count("\n"), text[-1:]), (1, "\n"))
    return text


# ---- who serves ----------------------------------------------------------------------------------------------


@case
def served_and_silent():
    done = ebb_run("--verify-timeout", LONG, "sleep", "0.5")
    equal((done.returncode, done.stdout, done.stderr), (0, "", ""))


@case
def served_and_verbose():
    done = ebb_run("-v", "-t", LONG, "--", "sleep", "0.5")
    equal(done.returncode, 0)
    found = re.search(r"^ebb run: sleep \(pid \d+\) is served by (\S+), counter (\d+)$", done.stderr, re.M)
    assert found, done.stderr
    equal(os.path.realpath(found[1]), os.path.realpath(LIBRARY))
    assert int(found[2]) > 0
    contains(done.stderr, "ebb run: libebb-malloc.so serves malloc")


@case
def library_is_found_beside_the_tool():
    if LIBRARY is None:
        raise Skip("libebb-malloc.so is not built")
    done = run(EBB, "run", "-v", "-t", LONG, "sleep", "0.5")
    contains(done.stderr, "is served by " + os.path.realpath(LIBRARY))
    # And in an installed tree.
    for place in ("lib", "lib/" + os.uname().machine + "-linux-gnu"):
        prefix = os.path.join(tap.folder(), "prefix-" + place.replace("/", "-"))
        os.makedirs(os.path.join(prefix, place))
        os.makedirs(os.path.join(prefix, "bin"))
        shutil.copy(LIBRARY, os.path.join(prefix, place))
        shutil.copy(EBB, os.path.join(prefix, "bin"))
        done = run(os.path.join(prefix, "bin/ebb"), "run", "-v", "-t", LONG, "sleep", "0.5")
        contains(done.stderr, f"is served by {prefix}/{place}/libebb-malloc.so")


@case
def library_from_the_environment():
    if LIBRARY is None:
        raise Skip("libebb-malloc.so is not built")
    copy = os.path.join(tap.folder(), "other-name.so")
    shutil.copy(LIBRARY, copy)
    done = run(EBB, "run", "-v", "-t", LONG, "sleep", "0.5", env={"EBB_LIBRARY": copy})
    contains(done.stderr, "is served by " + copy)


@case
def library_that_is_none():
    with_blank = os.path.join(tap.folder(), "with blank.so")
    if LIBRARY:
        shutil.copy(LIBRARY, with_blank)
    for library, why in (("/nonexistent/x.so", "No such file or directory"),
                         (tap.folder() + "/x.so", "No such file or directory"), ("/etc/passwd", "not a shared library"),
                         ("/bin", "not a shared library"), (with_blank, "LD_PRELOAD has no way")):
        if library == with_blank and not LIBRARY:
            continue
        done = run(EBB, "run", "--library", library, "true")
        equal(done.returncode, 1)
        contains(one_line(done.stderr), why)


@case
def library_without_the_counter():
    other = compile_c("other.so", "int nothing;", "-shared", "-fPIC")
    done = run(EBB, "run", "--library", other, "sh", "-c", "exit 4")
    equal(done.returncode, 4)
    contains(one_line(done.stderr), "sh cannot be verified: the library has no symbol ebb_alloc_counter")
    equal(run(EBB, "run", "--require", "--library", other, "sh", "-c", "exit 4").returncode, 1)


@case
def short_program_is_not_claimed():
    # Whether it can be seen is a race; what is said must agree with what is returned.
    for _ in range(20):
        done = ebb_run("--require", "true")
        if done.returncode == 0:
            equal(done.stderr, "")
        else:
            equal(done.returncode, 1)
            contains(one_line(done.stderr), "ended before it could be verified")


@case
def program_that_never_allocates():
    program = compile_c("idle", "#include <unistd.h>\nint main(void) { sleep(1); return 6; }")
    done = ebb_run("-t", "300ms", program)
    equal(done.returncode, 6)
    contains(one_line(done.stderr), "could not be verified: the library is mapped, but its counter does not rise")


@case
def require_ends_a_program_that_is_not_served():
    for prepare in ("", "signal(SIGTERM, SIG_IGN);", "raise(SIGSTOP);"):
        program = compile_c("idle2", f"#include <signal.h>\n#include <unistd.h>\n"
                                     f"int main(void) {{ {prepare} for (;;) pause(); }}")
        begin = time.monotonic()
        done = ebb_run("--require", "-t", "300ms", program)
        equal(done.returncode, 1)
        contains(one_line(done.stderr), "could not be verified")
        assert time.monotonic() - begin < 30
        equal(run("pgrep", "-f", program).stdout, "")


def refused(program, why, *args):
    """Checks what is said of a program that cannot be served, and that --require does not even start it."""
    done = ebb_run(program, *args)
    equal((done.returncode, done.stdout), (5, "ran 1\n"))
    contains(one_line(done.stderr), why)
    done = ebb_run("--require", program, *args)
    equal((done.returncode, done.stdout), (1, ""))
    contains(one_line(done.stderr), why)


@case
def static_program():
    refused(compile_c("static", ALLOCATES, "-static"), "it is a static program")


@case
def static_pie_program():
    refused(compile_c("static-pie", ALLOCATES, "-static-pie", "-fPIE"), "it is a static program")


@case
def script_of_a_static_interpreter():
    static = compile_c("interpreter", ALLOCATES, "-static")
    script = os.path.join(tap.folder(), "script-static")
    with open(script, "w", encoding="utf-8") as file:
        file.write(f"#! {static} 1\n")
    os.chmod(script, 0o755)
    refused(script, f"script-static, which {static} executes, cannot be served: it is a static program")


@case
def scripts():
    script = os.path.join(tap.folder(), "script")
    for first_line in ("#!/bin/sh", "#!/usr/bin/env sh", ""):
        with open(script, "w", encoding="utf-8") as file:
            file.write(first_line + '\nsleep 0.5\necho "$@"\nexit 9\n')
        os.chmod(script, 0o755)
        done = ebb_run("-v", "-t", LONG, script, "a b", "c")
        equal((first_line, done.returncode, done.stdout), (first_line, 9, "a b c\n"))
        contains(done.stderr, "is served by")


@case
def address_sanitizer():
    tried = 0
    for compiler, flags in (("gcc", []), ("gcc", ["-static-libasan"]), ("clang", []), ("clang", ["-shared-libasan"])):
        try:
            program = compile_c("asan", ALLOCATES, "-fsanitize=address", *flags, compiler=compiler)
        except Skip:
            continue
        if run(program).returncode != 5:
            continue
        refused(program, "it is built with AddressSanitizer, which must serve malloc itself; the library is left out")
        tried += 1
    if not tried:
        raise Skip("no compiler with AddressSanitizer")


@case
def program_with_its_own_malloc():
    own = """
#include <stddef.h>
static char heap[1 << 20];
static size_t used;
void *malloc(size_t n) { void *p = heap + used; used += (n + 15) & ~15ul; return p; }
void free(void *p) { (void)p; }
void *calloc(size_t a, size_t b) { return malloc(a * b); }
void *realloc(void *p, size_t n) { (void)p; return malloc(n); }
"""
    flags = ["-fno-builtin", "-include", "stddef.h"]
    refused(compile_c("own", own + ALLOCATES, *flags), "it defines malloc itself")
    hidden = "#pragma GCC visibility push(hidden)\n" + own + "#pragma GCC visibility pop\n" + ALLOCATES
    refused(compile_c("hidden", hidden, *flags, "-Wl,--exclude-libs,ALL"), "malloc")


@case
def program_with_a_prefixed_allocator():
    source = """
#include <stdio.h>
static char block[100];
void *je_malloc(unsigned long n) { return n <= sizeof(block) ? block : NULL; }
int main(void) { printf("ran %d\\n", je_malloc(100) != NULL); return 5; }
"""
    refused(compile_c("prefixed", source), "it calls je_malloc, which is part of it, not malloc")


@case
def program_for_another_machine():
    program = compile_c("other-machine", ALLOCATES)
    with open(program, "r+b") as file:
        file.seek(18)
        file.write(b"\x16\x00")  # EM_S390
    done = ebb_run("--require", program)
    equal(done.returncode, 1)
    contains(one_line(done.stderr), "it is a 64-bit program for another machine")
    # Without --require the kernel has the last word.
    done = ebb_run(program)
    equal(done.returncode, 126)
    contains(done.stderr, "cannot execute")


@case
def program_of_musl():
    program = compile_c("musl", ALLOCATES, "-Wl,--dynamic-linker=/lib/ld-musl-none.so.1")
    done = ebb_run("--require", program)
    equal(done.returncode, 1)
    contains(one_line(done.stderr), "it uses the C library musl")


@case
def setuid_program_of_another_user():
    if os.geteuid() != 0 or shutil.which("setpriv") is None or LIBRARY is None:
        raise Skip("needs root and setpriv")
    if os.statvfs(tap.folder()).f_flag & os.ST_NOSUID:
        raise Skip("the temporary folder is mounted nosuid")
    for name, source in (("ebb", EBB), ("libebb-malloc.so", LIBRARY)):
        shutil.copy(source, os.path.join(tap.folder(), name))
        os.chmod(os.path.join(tap.folder(), name), 0o755)
    program = compile_c("setuid", ALLOCATES)
    as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
                 os.path.join(tap.folder(), "ebb"), "run", "--library",
                 os.path.join(tap.folder(), "libebb-malloc.so"), "-t", LONG]
    os.chmod(program, 0o755)
    done = run(*as_nobody, "-v", program, "500")
    equal(done.returncode, 5)
    contains(done.stderr, "is served by")
    for mode in (0o4755, 0o2755):
        os.chmod(program, mode)
        begin = time.monotonic()
        done = run(*as_nobody, program, "500")
        equal((oct(mode), done.returncode), (oct(mode), 5))
        contains(one_line(done.stderr), "is not served: it runs with raised privileges")
        assert time.monotonic() - begin < 20, "the reason is known at once"
        done = run(*as_nobody, "--require", program, "20000")
        equal(done.returncode, 1)


@case
def redis_is_served_although_it_links_jemalloc():
    redis = shutil.which("redis-server")
    if redis is None:
        raise Skip("no redis-server")
    done = ebb_run(redis, "--version")
    equal(done.returncode, 0)
    contains(done.stdout, "Redis server v=")
    socket = os.path.join(tap.folder(), "redis.sock")
    ebb = start("-v", "-t", LONG, redis, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", tap.folder(),
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_for("redis", lambda: os.path.exists(socket))
        pid = child_of(ebb.pid)
        done = run(EBB, "run", "-v", "--check", pid, "-t", "5s")
        equal(done.returncode, 0)
        contains(done.stdout, f"redis-server (pid {pid}) is served by ")
        contains(done.stdout, "libebb-malloc.so serves malloc, calloc, realloc, free, malloc_usable_size")
        if "libjemalloc" in run("ldd", redis).stdout:
            contains(done.stdout, "libjemalloc.so.2 serves nallocx")
    finally:
        ebb.terminate()
        errors = ebb.communicate(timeout=30)[1]
    equal(ebb.returncode, 0)
    contains(errors, "redis-server")
    contains(errors, "is served by")
    assert "can meet" not in errors, errors


# ---- a process that runs already -----------------------------------------------------------------------------


@case
def check_a_process():
    ebb = start("sleep", "60", stderr=subprocess.DEVNULL)
    try:
        pid = child_of(ebb.pid)
        done = run(EBB, "run", "--check", pid, "-t", "200ms")
        equal((done.returncode, done.stderr), (0, ""))
        contains(one_line(done.stdout), f"sleep (pid {pid}) is served by {os.path.realpath(LIBRARY)}, counter ")
        equal(run(EBB, "run", "--check", pid, "-t", "0", "--library", LIBRARY).returncode, 0)
        # Another copy of the library is another library.
        copy = os.path.join(tap.folder(), "copy.so")
        shutil.copy(LIBRARY, copy)
        equal(run(EBB, "run", "--check", pid, "-t", "200ms", "--library", copy).returncode, 1)
    finally:
        ebb.terminate()
        ebb.wait()
    equal(run(EBB, "run", "--check", pid).returncode, 42)
    equal(ebb.returncode, -signal.SIGTERM)


@case
def check_a_process_that_allocates():
    ebb = start("sh", "-c", "x=; while :; do x=$x/$(:); done", stderr=subprocess.DEVNULL)
    try:
        done = run(EBB, "run", "--check", child_of(ebb.pid), "-t", LONG)
        equal(done.returncode, 0)
        contains(one_line(done.stdout), "is served by")
    finally:
        ebb.terminate()
        ebb.wait()


@case
def check_a_process_that_is_not_served():
    plain = subprocess.Popen(["sleep", "60"])
    other = subprocess.Popen(["sleep", "60"], env={**os.environ, "LD_PRELOAD": "/nonexistent/libebb-malloc.so"},
                             stderr=subprocess.DEVNULL)
    static = subprocess.Popen([compile_c("sleeper", "#include <unistd.h>\nint main(void) { sleep(60); }", "-static")])
    try:
        for process, why in ((plain, "it was started without LD_PRELOAD; malloc is served by "),
                             (other, "LD_PRELOAD is '/nonexistent/libebb-malloc.so'"),
                             (static, "it is a static program")):
            wait_for("program", lambda: os.readlink(f"/proc/{process.pid}/exe") != os.readlink("/proc/self/exe"))
            done = run(EBB, "run", "--check", process.pid, "-t", "5s")
            equal((done.returncode, done.stderr), (1, ""))
            contains(one_line(done.stdout), why)
    finally:
        for process in (plain, other, static):
            process.kill()
            process.wait()


@case
def check_a_process_whose_library_was_removed():
    if os.geteuid() != 0 or LIBRARY is None:
        raise Skip("needs root, to reach a removed file")
    copy = os.path.join(tap.folder(), "removed.so")
    shutil.copy(LIBRARY, copy)
    ebb = subprocess.Popen([EBB, "run", "--library", copy, "sleep", "60"], stderr=subprocess.DEVNULL)
    try:
        pid = child_of(ebb.pid)
        wait_for("proof", lambda: run(EBB, "run", "--check", pid, "-t", "1s").returncode == 0)
        os.unlink(copy)
        shutil.copy("/etc/passwd", copy)
        done = run(EBB, "run", "--check", pid, "-t", "1s")
        equal(done.returncode, 0)
        contains(done.stdout, f"is served by {copy}")
    finally:
        ebb.terminate()
        ebb.wait()


# ---- transparency --------------------------------------------------------------------------------------------


@case
def exit_statuses():
    for status in (0, 1, 2, 7, 42, 126, 127, 128, 255):
        equal(ebb_run("sh", "-c", f"sleep 0.05; exit {status}").returncode, status)


@case
def deaths_by_signal():
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT, signal.SIGPIPE, signal.SIGHUP,
                   signal.SIGUSR1, 40):
        equal(ebb_run("sh", "-c", f"kill -{int(number)} $$").returncode, -number)


@case
def programs_that_cannot_be_executed():
    plain = os.path.join(tap.folder(), "plain")
    with open(plain, "w", encoding="utf-8") as file:
        file.write("x\n")
    bad = os.path.join(tap.folder(), "bad-interpreter")
    with open(bad, "w", encoding="utf-8") as file:
        file.write("#!/nonexistent/interpreter\n")
    os.chmod(bad, 0o755)
    for program, status, why in (("no-such-program", 127, "not found in PATH"), ("", 127, "not found in PATH"),
                                 ("/nonexistent", 127, "No such file"), (bad, 127, "No such file"),
                                 (plain, 126, "Permission denied"), ("/", 126, "Permission denied"),
                                 ("/etc/passwd/x", 126, "Not a directory")):
        done = ebb_run(program)
        equal((program, done.returncode, done.stdout), (program, status, ""))
        contains(one_line(done.stderr), why)
    equal(ebb_run("plain", env={"PATH": tap.folder()}).returncode, 126)


@case
def environment_and_arguments():
    show = ["sh", "-c", 'printf "%s|" "$LD_PRELOAD" "$EBB_MALLOC" "$0" "$@"', "zero", "", "a b", "--", "-v"]
    equal(ebb_run(*show).stdout, f"{os.path.realpath(LIBRARY)}||zero||a b|--|-v|")
    equal(ebb_run("--malloc", "check:1", *show).stdout.split("|")[1], "check:1")
    equal(ebb_run("-m", "", *show, env={"EBB_MALLOC": "check:1"}).stdout.split("|")[1], "")
    equal(ebb_run(*show, env={"EBB_MALLOC": "check:1"}).stdout.split("|")[1], "check:1")
    other = compile_c("empty.so", "int nothing;", "-shared", "-fPIC")
    equal(ebb_run(*show, env={"LD_PRELOAD": other}).stdout.split("|")[0], f"{os.path.realpath(LIBRARY)}:{other}")


@case
def standard_input_and_output():
    done = ebb_run("cat", input="some input\n")
    equal((done.returncode, done.stdout), (0, "some input\n"))
    done = ebb_run("sh", "-c", "sleep 0.2; echo err >&2")
    contains(done.stderr, "err\n")


@case
def descriptors_signals_and_group():
    """What the program inherits is what it would inherit without us."""
    script = ('for fd in /proc/self/fd/*; do printf "%s=%s " "${fd##*/}" "$(readlink "$fd")"; done; echo;'
              'grep -E "^Sig(Blk|Ign|Cgt)|^NoNewPrivs" /proc/self/status; ulimit -a; umask;'
              'cut -d" " -f 5-8 /proc/self/stat')

    def prepare():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGCHLD])

    def show(*command):
        with open("/dev/null", "rb") as null:
            text = subprocess.run([*command, "bash", "-c", script], stdin=null, capture_output=True, text=True,
                                  preexec_fn=prepare, pass_fds=[null.fileno()], start_new_session=True,
                                  check=False).stdout
        text = re.sub(r"pipe:\[\d+\]|/proc/\d+/fd", "x", text)
        # The group is the session's leader's: ourselves or ebb. That they are equal is what counts.
        *head, group = text.splitlines()
        return head, len(set(group.split()[:2]))

    if LIBRARY is None or shutil.which("bash") is None:
        raise Skip("needs the library and bash")
    equal(show(EBB, "run", "--library", LIBRARY), show())


@case
def closed_standard_descriptors_stay_closed():
    if LIBRARY is None:
        raise Skip("libebb-malloc.so is not built")
    report = os.path.join(tap.folder(), "closed")
    script = f'"$0" run --library "$1" sh -c \'ls /proc/self/fd > {report}; exit 3\' <&- >&- 2>&-'
    equal(run("sh", "-c", script, EBB, LIBRARY).returncode, 3)
    with open(report, encoding="utf-8") as file:
        through_ebb = file.read()
    run("sh", "-c", f"sh -c 'ls /proc/self/fd > {report}' <&- >&- 2>&-")
    with open(report, encoding="utf-8") as file:
        equal(through_ebb, file.read())


@case
def end_of_file_is_seen_when_the_program_closes():
    reader, writer = os.pipe()
    ebb = start("sh", "-c", 'exec >&- 2>&-; eval "exec $0>&-"; sleep 60', str(writer), pass_fds=[writer],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    os.close(writer)
    try:
        begin = time.monotonic()
        equal(ebb.stdout.read(), b"")
        equal(os.read(reader, 1), b"")
        assert time.monotonic() - begin < 50
    finally:
        os.close(reader)
        ebb.terminate()
        ebb.wait()


COUNTS_SIGNALS = """
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(void)
{
    sigset_t all;
    siginfo_t info;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    free(malloc(100));
    puts("ready");
    fflush(stdout);
    for (;;) {
        int number = sigwaitinfo(&all, &info);
        printf("%d\\n", number);
        fflush(stdout);
        if (number == SIGALRM)
            return 8;
    }
}
"""


@case
def signals_are_forwarded_once():
    program = compile_c("counts", COUNTS_SIGNALS)
    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
               signal.SIGWINCH, signal.SIGRTMIN, signal.SIGALRM]
    ebb = start(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    equal(ebb.stdout.readline(), "ready\n")
    for number in numbers:
        ebb.send_signal(number)
        equal(ebb.stdout.readline(), f"{int(number)}\n")
    equal(ebb.stdout.read(), "")
    equal(ebb.wait(), 8)


@case
def no_process_is_left():
    ebb = start("sh", "-c", "sleep 0.5; exit 3", stderr=subprocess.DEVNULL)
    pid = child_of(ebb.pid)
    equal(ebb.wait(), 3)
    assert not os.path.exists(f"/proc/{pid}")


@case
def stopped_without_a_terminal():
    """Stopping the program from outside must not stop us, or nobody would notice that it goes on and ends."""
    ebb = start("sleep", "1", stderr=subprocess.DEVNULL, start_new_session=True)
    pid = child_of(ebb.pid)
    os.kill(pid, signal.SIGSTOP)
    wait_for("stop", lambda: state_of(pid) == "T")
    time.sleep(0.1)
    equal(state_of(ebb.pid), "S")
    os.kill(ebb.pid, signal.SIGCONT)
    wait_for("continuation", lambda: state_of(pid) != "T")
    equal(ebb.wait(), 0)


@case
def job_control_at_a_terminal():
    """As a shell's job: ^Z stops both, SIGCONT to the group continues both, ^C arrives once."""
    program = compile_c("job", COUNTS_SIGNALS.replace("sigfillset(&all);",
                                                      "sigemptyset(&all); sigaddset(&all, SIGINT);"
                                                      "sigaddset(&all, SIGALRM);"))
    if LIBRARY is None:
        raise Skip("libebb-malloc.so is not built")
    shell, terminal = os.forkpty()
    if shell == 0:
        job = os.fork()
        if job == 0:
            os.setpgid(0, 0)
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            os.tcsetpgrp(0, os.getpid())
            signal.signal(signal.SIGTTOU, signal.SIG_DFL)
            os.execv(EBB, [EBB, "run", "--library", LIBRARY, program])
        _, status = os.waitpid(job, os.WUNTRACED)
        os.write(1, b"stopped %d\n" % (os.WSTOPSIG(status) if os.WIFSTOPPED(status) else -1))
        os.killpg(job, signal.SIGCONT)
        os.write(1, b"continued\n")
        _, status = os.waitpid(job, 0)
        os.write(1, b"ended %d\n" % status)
        os._exit(0)
    text = b""

    def until(part):
        nonlocal text
        end = time.monotonic() + 30
        while part not in text:
            readable = select.select([terminal], [], [], max(0, end - time.monotonic()))[0]
            assert readable, f"{part!r} has not come after {text!r}"
            text += os.read(terminal, 1000)

    try:
        until(b"ready")
        os.write(terminal, b"\x1a")
        until(b"stopped %d" % signal.SIGTSTP)
        until(b"continued")
        time.sleep(0.2)
        os.write(terminal, b"\x03")
        until(b"2\r\n")
        time.sleep(0.2)
        jobs = run("pgrep", "-x", "job").stdout.split()
        equal(len(jobs), 1)
        os.kill(int(jobs[0]), signal.SIGALRM)
        until(b"ended %d" % (8 << 8))
        equal(text.count(b"2\r\n"), 1)
    finally:
        os.close(terminal)
        os.waitpid(shell, 0)


if __name__ == "__main__":
    raise SystemExit(tap.main())
