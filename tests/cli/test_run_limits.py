# SPDX-License-Identifier: MIT
"""Limits on the heap of real programs: what ebb run --hard-limit refuses and what goes on, and a memory cgroup that the kernel's
OOM killer guards."""

import os
import re
import shutil
import subprocess
import threading

import memory_cgroup
from servers import MariaDB, need
from tap import Skip, case, contains, equal, main, run

TOOL = os.environ["EBB_TOOL"]
LIBRARY = os.environ["EBB_TEST_LIBRARY"]
SQUEEZE = os.environ["EBB_SQUEEZE"]
AT_LIMIT = os.environ["EBB_AT_LIMIT"]
PEERS = {"glibc": "", "jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc_minimal.so.4", "mimalloc": "libmimalloc.so.2"}
MIB = 1 << 20


def ebb_run(*words, **more):
    return run(TOOL, "run", "--library", LIBRARY, *words, **more)


@case
def bad_limits_are_refused():
    for words, part in ((("--limit", "none"), "--limit: 'none' is no size"), (("--hard-limit", "0"), "is no size above 0"),
                        (("--limit", "2G", "--hard-limit", "1G"), "--limit is above --hard-limit"),
                        (("--budget", "90%"), "is not cgroup:PERCENT%"), (("--budget", "cgroup:101%"), "is not cgroup:PERCENT%"),
                        (("--limit", "1E30"), "is no size above 0")):
        done = ebb_run(*words, "--", "true")
        equal(done.returncode, 2)
        contains(done.stderr, part)


@case
def limits_stand_behind_other_options():
    done = ebb_run("--malloc", "check:1", "--limit", "64M", "--hard-limit", "1G", "--budget", "cgroup:80%", "--",
                   "sh", "-c", "echo $EBB_MALLOC")
    equal(done.stdout, f"check:1,limit:{64 * MIB},hard_limit:{1024 * MIB},budget:80\n")


def at_limit(limit_mib, *more):
    """What the program found: a dictionary of numbers of bytes."""
    done = ebb_run("--hard-limit", f"{limit_mib}M", *more, "--", AT_LIMIT, timeout=120)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return {name: int(value) for name, value in re.findall(r"(\w+) (\d+)", done.stdout)}


@case
def the_hard_limit_is_exact_to_a_mebibyte():
    for limit_mib in (64, 100, 300):
        got = at_limit(limit_mib)
        reserve = min(16 * MIB, limit_mib * MIB * 3 // 100)
        assert limit_mib * MIB - 2 * MIB <= got["peak"] <= limit_mib * MIB + MIB, (limit_mib, got)
        # Large blocks end where the reserve begins, and small ones go on into it.
        assert got["large_end"] <= limit_mib * MIB - reserve + MIB, (limit_mib, got)
        assert got["small"] >= reserve - 2 * MIB, (limit_mib, got)
        # Everything was freed, and as much can be had again.
        assert got["again"] >= got["large"] - MIB, (limit_mib, got)


@case
def memory_that_the_program_maps_itself_counts():
    done = ebb_run("--hard-limit", "128M", "--", AT_LIMIT, "40", timeout=120)
    equal(done.returncode, 0)
    got = {name: int(value) for name, value in re.findall(r"(\w+) (\d+)", done.stdout)}
    assert got["large"] <= (128 - 40) * MIB, got
    assert got["peak"] <= 129 * MIB, got


@case
def python_gets_a_memory_error_and_goes_on():
    text = ("blocks = []\n"
            "try:\n"
            "    while True:\n"
            "        blocks.append(bytearray(1 << 20))\n"
            "except MemoryError:\n"
            "    count = len(blocks)\n"
            "small = [bytes(size) for size in range(1000, 2000)]\n"
            "del blocks\n"
            "again = [bytearray(1 << 20) for _ in range(count // 2)]\n"
            "print('MemoryError after', count, 'then', len(small), len(again) == count // 2)\n")
    done = ebb_run("--hard-limit", "200M", "--", need("python3", "python3"), "-c", text)
    equal((done.returncode, done.stderr), (0, ""))
    count = int(re.fullmatch(r"MemoryError after (\d+) then 1000 True\n", done.stdout).group(1))
    assert 150 <= count <= 195, done.stdout


@case
def sqlite_says_out_of_memory_and_goes_on():
    script = ("create table t(a, b);\n"
              "with recursive c(x) as (select 1 union all select x + 1 from c where x < 10000000) "
              "insert into t select x, randomblob(200) from c;\n"
              "select 'still here', count(*) from t;\n"
              "insert into t values (1, 2);\n"
              "select 'written', count(*) from t;\n")
    done = ebb_run("--hard-limit", "100M", "--", need("sqlite3", "sqlite3"), ":memory:", input=script, timeout=120)
    contains(done.stderr, "out of memory")
    equal(done.stdout, "still here|0\nwritten|1\n")


QUERIES = (
    "SELECT SQL_NO_CACHE COUNT(*) FROM (SELECT pad, k FROM t ORDER BY pad, k LIMIT 100000) x",
    "SELECT SQL_NO_CACHE COUNT(*) FROM (SELECT k, pad FROM t LIMIT 4000) a "
    "JOIN (SELECT k, pad FROM t LIMIT 4000) b ON a.pad = b.pad",
    "CREATE TEMPORARY TABLE h ENGINE=MEMORY AS SELECT k, pad FROM t; "
    "CREATE TEMPORARY TABLE i ENGINE=MEMORY AS SELECT k, pad FROM t; DO SLEEP(1); SELECT COUNT(*) FROM h, i WHERE h.k < 2",
    "SELECT SQL_NO_CACHE LENGTH(GROUP_CONCAT(pad ORDER BY pad)) FROM t",
)
OUT_OF_MEMORY = re.compile(r"ERROR (5|1037|1038|1041|1114|2008|2013|3170) |[Oo]ut of memory|memory allocation|is full|sort memory")


def storm(server, rounds):
    """16 connections with queries that want much, begun together: ([answers], [errors])."""
    answers, errors = [], []
    together = threading.Barrier(16)

    def work(number):
        for turn in range(rounds):
            together.wait()
            text = ("SET SESSION sort_buffer_size=33554432, join_buffer_size=33554432, group_concat_max_len=200000000,"
                    "max_heap_table_size=67108864, tmp_table_size=67108864; ") + QUERIES[(number + turn) % len(QUERIES)]
            done = subprocess.run([*server.client, "-D", "test", "-e", text], capture_output=True, text=True, timeout=240,
                                  check=False)
            (answers if done.returncode == 0 else errors).append(done.stdout if done.returncode == 0 else done.stderr.strip())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers, errors


@case
def mariadb_fails_queries_and_keeps_serving():
    server = MariaDB("limits")
    with server.running("--performance-schema=OFF", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M",
                        environment={"LD_PRELOAD": LIBRARY, "EBB_MALLOC": f"hard_limit:{320 * MIB}"}):
        pid = server.process.pid
        equal(server.ask("CREATE DATABASE test; CREATE TABLE test.t (k INT AUTO_INCREMENT PRIMARY KEY, pad VARCHAR(200)); "
                         "INSERT INTO test.t (pad) VALUES (REPEAT(MD5(RAND()), 5)); "
                         + "INSERT INTO test.t (pad) SELECT REPEAT(MD5(RAND()), 5) FROM test.t; " * 16 +
                         "SELECT COUNT(*) FROM test.t"), str(1 << 16))
        answers, errors = storm(server, 3)
        print(f"# {len(answers)} queries answered, {len(errors)} failed; RSS at most "
              f"{memory_cgroup.field(f'/proc/{pid}/status', 'VmHWM') >> 10} MiB of 320", flush=True)
        for line in sorted(set(errors))[:6]:
            print("# " + line.splitlines()[-1][:160], flush=True)
        if server.process.poll() is not None:
            with open(server.log, encoding="utf-8", errors="replace") as log:
                print("# " + log.read()[-4000:].replace("\n", "\n# "), flush=True)
        equal(server.process.poll(), None)
        equal(server.ask("SELECT COUNT(*) FROM test.t"), str(1 << 16))
        assert answers and errors, (len(answers), len(errors))
        strange = [line for line in errors if not OUT_OF_MEMORY.search(line)]
        equal(strange, [])


def in_group(group, preload, *words):
    """(status, output) of a program that starts within the cgroup."""
    script = 'echo $$ > "$1/cgroup.procs"; shift; exec "$@"'
    done = subprocess.run(["sh", "-c", script, "sh", group.folder, "env", f"LD_PRELOAD={preload}", *words], capture_output=True,
                          text=True, timeout=120, check=False)
    return done.returncode, done.stdout


def last_kill():
    """The kernel's own words on its last kill."""
    log = subprocess.run(["dmesg"], capture_output=True, text=True, check=False).stdout
    lines = [line for line in log.splitlines() if "Killed process" in line]
    return lines[-1] if lines else "the kernel's log says nothing"


@case
def the_kernel_kills_everybody_else():
    if os.geteuid() != 0:
        raise Skip("only root makes memory cgroups")
    found = {name: file for name, file in PEERS.items()
             if not file or shutil.which("ldconfig") is None or os.path.exists(f"/usr/lib/{os.uname().machine}-linux-gnu/{file}")}
    for name, file in {**found, "ebb": LIBRARY}.items():
        group = memory_cgroup.Group("squeeze", 256 * MIB)
        try:
            status, said = in_group(group, file, SQUEEZE)
            kills = group.kills
        finally:
            group.end()
        print(f"# {name}: {'lives' if status == 0 else 'killed'}; {said.splitlines()[-1] if said else 'nothing said'}", flush=True)
        if name == "ebb":
            equal((status, kills), (0, 0))
            contains(said, "alive at most 200.0 MB")
        else:
            print("# " + last_kill(), flush=True)
            equal((status, kills), (-9, 1))


def moved_to(group, before, options):
    """(status, output) of the squeeze, which is moved to the group when it holds 40 MiB, and so has looked at the limit of the one
    before. Its next look is due half way to that; nobody tells it sooner."""
    script = 'echo $$ > "$1/cgroup.procs"; shift; exec "$@"'
    words = ["sh", "-c", script, "sh", before.folder, "env", f"LD_PRELOAD={LIBRARY}", f"EBB_MALLOC={options}", SQUEEZE]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        while memory_cgroup.field(f"/proc/{process.pid}/status", "VmRSS") < 40 << 10:
            assert process.poll() is None, "it ended before it was moved"
        memory_cgroup.put(group.folder + "/cgroup.procs", process.pid)
        said, _ = process.communicate(timeout=120)
        return process.returncode, said


@case
def a_process_that_is_moved_heeds_its_new_limit():
    if os.geteuid() != 0:
        raise Skip("only root makes memory cgroups")
    for options in ("", "bg:0"):
        before, group = memory_cgroup.Group("before", 320 * MIB), None
        try:
            group = memory_cgroup.Group("after", 256 * MIB)
            status, said = moved_to(group, before, options)
            equal((options, status, group.kills), (options, 0, 0))
            contains(said, "alive at most 200.0 MB")
        finally:
            for one in (before, group):
                if one:
                    one.end()


if __name__ == "__main__":
    raise SystemExit(main())
