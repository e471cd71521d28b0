# SPDX-License-Identifier: MIT
"""Black-box tests of the ebb command itself: help, usage errors, completion, and output that cannot be written."""

import os
import re
import shutil
import subprocess

import tap
from tap import Skip, case, contains, equal, run

EBB = os.environ["EBB_TOOL"]
SOURCE = os.environ["EBB_SOURCE"]


def commands():
    """The rows of commands.def: [(name, summary)]."""
    with open(os.path.join(SOURCE, "src/tool/commands.def"), encoding="utf-8") as file:
        return re.findall(r'^EBB_COMMAND\((\w+), \w+, "([^"]+)"\)', file.read(), re.M)


def options(name):
    """The long options that the help text of a command lists."""
    return re.findall(r"^  (?:-\w, |    )--([\w-]+)", run(EBB, name, "--help").stdout, re.M)


@case
def version():
    with open(os.path.join(SOURCE, "VERSION"), encoding="utf-8") as file:
        equal(run(EBB, "--version").stdout, f"ebb {file.read().strip()}\n")


@case
def help_lists_every_command():
    for args in (["--help"], ["-h"], ["help"]):
        done = run(EBB, *args)
        equal((done.returncode, done.stderr), (0, ""))
        for name, summary in commands():
            contains(done.stdout, f"  {name:12} {summary}\n")


@case
def every_command_has_help_and_a_page():
    assert commands()
    for name, summary in commands():
        done = run(EBB, name, "--help")
        equal((done.returncode, done.stderr), (0, ""))
        contains(done.stdout, f"Usage: ebb {name} ")
        contains(done.stdout, summary)
        equal(run(EBB, "help", name).stdout, done.stdout)
        equal(run(EBB, name, "-h").stdout, done.stdout)
        with open(os.path.join(SOURCE, f"man/ebb-{name}.1"), encoding="utf-8") as file:
            page = file.read()
        contains(page, f".Nd {summary}\n")
        for option in options(name):
            if option != "help":
                contains(page, "-" + option.replace("-", "\\-"))


@case
def usage_errors_are_one_line_and_status_2():
    for args in ([], ["--nonsense"], ["help", "run", "run"], ["help", "nonsense"], ["completion"],
                 ["completion", "csh"], ["run"], ["run", "--nonsense"], ["run", "--ver", "true"],
                 ["run", "-Z", "true"], ["run", "--library"], ["run", "-l"], ["run", "--verbose=1", "true"],
                 ["run", "--check", "0"], ["run", "--check", "1x"], ["run", "--check", "-1"],
                 ["run", "--check", "99999999999"], ["run", "--check", "1", "true"],
                 ["run", "--check", "1", "--require"], ["run", "-t", "", "true"], ["run", "-t", "-1", "true"],
                 ["run", "-t", "1h", "true"], ["run", "-t", "0x10", "true"], ["run", "-t", "1e9", "true"],
                 ["run", "-t", "nan", "true"], ["run", "-t", "1441m", "true"], ["run", "-t", ".", "true"]):
        done = run(EBB, *args)
        equal((args, done.returncode, done.stdout), (args, 2, ""))
        equal((args, done.stderr.count("\n")), (args, 1))
        assert done.stderr.startswith("ebb"), done.stderr


@case
def numbers_that_are_too_large_name_the_largest():
    for args in (["ps", "-n", "99999999999999"], ["oom", "--top", "2147483648"], ["run", "--check", "99999999999"]):
        done = run(EBB, *args)
        equal((args, done.returncode, done.stdout), (args, 2, ""))
        contains(done.stderr, "is more than 2147483647")
    contains(run(EBB, "run", "-t", "1441m", "true").stderr, "24 hours at most")
    contains(run(EBB, "ps", "-n", "0").stderr, "is not a whole number above 0")


@case
def unknown_commands_get_a_suggestion_when_one_is_near():
    equal(run(EBB, "rnu").stderr, "ebb: 'rnu' is not a command; did you mean 'run'?\n")
    equal(run(EBB, "completoin").stderr, "ebb: 'completoin' is not a command; did you mean 'completion'?\n")
    equal(run(EBB, "zzzzzzzz").stderr, "ebb: 'zzzzzzzz' is not a command; see 'ebb help'\n")
    equal(run(EBB, "x" * 5000).returncode, 2)


@case
def output_that_is_lost_is_an_error():
    for args in (["help"], ["ps"], ["ps", "--json"], ["ps", "--format", "jsonl"], ["ps", "--format", "csv"],
                 ["ps", "--format", "openmetrics"], ["vm"], ["maps", os.getpid()], ["maps", "--json", os.getpid()]):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([EBB, *map(str, args)], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        equal((args, done.returncode), (args, 1))
        equal(done.stderr, "ebb: cannot write to standard output: No space left on device\n")
    equal(run("sh", "-c", '"$0" help >&-', EBB).returncode, 1)
    equal(run("sh", "-c", '"$0" nonsense >&-', EBB).stderr.count("standard output"), 0)


def complete_bash(*words):
    """What bash would offer for the last word."""
    script = ('source /dev/stdin <<<"$("$EBB_TOOL" completion bash)"; COMP_WORDS=("$@"); '
              'COMP_CWORD=$(($# - 1)); _ebb; printf "%s\\n" "${COMPREPLY[@]}"')
    return run("bash", "--norc", "-c", script, "bash", "ebb", *words).stdout.split()


@case
def completion_of_bash():
    if shutil.which("bash") is None:
        raise Skip("no bash")
    equal(set(complete_bash("")), {name for name, _ in commands()} | {"--help", "--version"})
    for name, _ in commands():
        assert set(options(name)) <= {word.lstrip("-") for word in complete_bash(name, "--")}, name
    equal(complete_bash("completion", "f"), ["fish"])
    equal(complete_bash("help", "ru"), ["run"])
    contains(complete_bash("run", "tru"), "true")
    contains(complete_bash("run", "--verbose", "--", "tru"), "true")
    contains(complete_bash("run", "-m", "x", "tru"), "true")
    equal(complete_bash("run", "-l", os.path.join(SOURCE, "VERS")), [os.path.join(SOURCE, "VERSION")])
    equal(complete_bash("run", "-m", "tru"), [])


@case
def completion_scripts_are_valid():
    tried = 0
    for shell, check in (("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]), ("fish", ["fish", "-n"])):
        script = os.path.join(tap.folder(), "completion." + shell)
        done = run(EBB, "completion", shell)
        equal((done.returncode, done.stderr), (0, ""))
        for name, _ in commands():
            contains(done.stdout, name)
        with open(script, "w", encoding="utf-8") as file:
            file.write(done.stdout)
        if shutil.which(shell):
            checked = run(*check, script)
            equal((shell, checked.returncode, checked.stderr), (shell, 0, ""))
            tried += 1
    if not tried:
        raise Skip("no bash, zsh or fish")


if __name__ == "__main__":
    raise SystemExit(tap.main())
