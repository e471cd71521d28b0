# SPDX-License-Identifier: MIT
"""Black-box tests of `ebb maps`: against pmap to the kilobyte, on processes that hold still, and on trees that are written here."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import golden
import tap
from tap import Skip, case, contains, equal, run, wait_for

EBB = os.environ["EBB_TOOL"]
PAGE = os.sysconf("SC_PAGESIZE")

for variable in ("LD_PRELOAD", "EBB_LIBRARY", "EBB_MALLOC"):
    os.environ.pop(variable, None)

# Mappings of all kinds, some touched; says so and sleeps.
PROGRAM = r"""
import ctypes, mmap, os, sys, threading, time
folder = sys.argv[1]
kept = []
names = ["plain", "two words", "par(en)thesis", "new\nline", "gr\u00fc\u00dfe", "gone"]
for name in names:
    with open(os.path.join(folder, name), "wb+") as file:
        file.write(bytes(3 * 4096 * 16))
        file.flush()
        for flags in (mmap.MAP_SHARED, mmap.MAP_PRIVATE):
            kept.append(mmap.mmap(file.fileno(), 3 * 4096 * 16, flags=flags))
            kept[-1][5] = 1
os.unlink(os.path.join(folder, "gone"))
large = mmap.mmap(-1, 80 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
large[0:1 << 20] = bytes(1 << 20)
shared = mmap.mmap(-1, 1 << 20)
shared[0:5000] = bytes(5000)
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
reserved = libc.mmap(None, ctypes.c_size_t(8 << 40), 0, 0x4022, -1, ctypes.c_long(0))
for _ in range(5):
    threading.Thread(target=time.sleep, args=(300,), daemon=True).start()
print("ready", hex(reserved), flush=True)
time.sleep(300)
"""


@contextlib.contextmanager
def started(*command, **more):
    """A process that has printed its line "ready"; killed at the end."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True, **more)
    try:
        process.words = process.stdout.readline().split()
        assert process.words and process.words[0] == "ready", process.words
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


@contextlib.contextmanager
def many_kinds():
    folder = os.path.join(tap.folder(), "files")
    os.makedirs(folder, exist_ok=True)
    with started(sys.executable, "-c", PROGRAM, folder) as process:
        process.send_signal(signal.SIGSTOP)
        yield process


def sleeper():
    return started("sh", "-c", "echo ready; exec sleep 300")


@contextlib.contextmanager
def database():
    """A server that has opened a new, empty data directory and waits for statements on its standard input. Stopped."""
    if shutil.which("mariadbd") is None:
        raise Skip("mariadbd is not installed")
    data = os.path.join(tap.folder(), "data")
    os.makedirs(data)
    owner = ["--user=root"] if os.geteuid() == 0 else []
    log = os.path.join(data, "log")
    with open(log, "w", encoding="utf-8") as output:
        server = subprocess.Popen(["mariadbd", "--no-defaults", "--bootstrap", f"--datadir={data}", f"--tmpdir={data}",
                                   "--innodb-buffer-pool-size=128M", "--skip-networking", *owner], stdin=subprocess.PIPE,
                                  stdout=output, stderr=output, start_new_session=True)
    try:
        wait_for("the server's files", lambda: server.poll() is not None or os.path.exists(os.path.join(data, "ibtmp1")))
        if server.poll() is not None:
            with open(log, encoding="utf-8") as text:
                raise Skip("mariadbd does not start here: " + text.read()[-200:].replace("\n", " "))
        server.send_signal(signal.SIGSTOP)
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.kill()
        server.wait()
        server.stdin.close()
        shutil.rmtree(data, ignore_errors=True)


def need_pmap():
    if shutil.which("pmap") is None:
        raise Skip("pmap (procps) is not installed")
    done = run("pmap", "-V")
    if "procps-ng" not in done.stdout:
        raise Skip("another pmap than procps-ng's")


# ---- against pmap --------------------------------------------------------------------------------------------


def parse_x(text):
    """{address: (kbytes, rss, dirty, mode, mapping)} and the total of pmap -x's format."""
    rows, total = {}, None
    for line in text.splitlines():
        words = line.split(None, 5)
        if re.fullmatch(r"[0-9a-f]{8,16}", words[0] if words else ""):
            rows[int(words[0], 16)] = (*map(int, words[1:4]), words[4], words[5].strip() if len(words) > 5 else "")
        elif line.startswith("total kB"):
            total = tuple(map(int, words[2:5]))
    return rows, total


def parse_extended(text):
    """[{heading: value}] of pmap -X's format; the last column may hold blanks."""
    lines = text.splitlines()
    heads = lines[1].split()
    rows = []
    for line in lines[2:]:
        words = line.split()
        if not words or not re.fullmatch(r"[0-9a-f]+", words[0]) or len(words) < len(heads) - 1:
            continue
        rows.append(dict(zip(heads, words)))
    return heads, rows


def same(ours, theirs, what):
    for address in sorted(set(ours) | set(theirs)):
        assert ours.get(address) == theirs.get(address), \
            f"{what} {address:x}: ebb {ours.get(address)}, pmap {theirs.get(address)}"


def compare_x(pid):
    our_text = run(EBB, "maps", pid)
    their_text = run("pmap", "-x", pid)
    equal((our_text.returncode, our_text.stderr, their_text.returncode), (0, "", 0))
    # pmap leaves some of the control characters of a command line out, where we print blanks; both cut a long one.
    our_title, their_title = our_text.stdout.splitlines()[0].split(), their_text.stdout.splitlines()[0].split()
    both = min(len(our_title), len(their_title))
    equal(our_title[: both - 1], their_title[: both - 1])
    equal(our_text.stdout.splitlines()[1].split(), their_text.stdout.splitlines()[1].split())
    (ours, our_total), (theirs, their_total) = parse_x(our_text.stdout), parse_x(their_text.stdout)
    same({a: row[:4] for a, row in ours.items()}, {a: row[:4] for a, row in theirs.items()}, "-x")
    # Some versions of pmap show question marks for what is not ASCII.
    files = {a: row[4] for a, row in theirs.items() if row[4][:1] != "[" and "\\012" not in row[4] and "?" not in row[4]}
    same({a: ours[a][4] for a in files}, files, "name")
    for address, row in theirs.items():
        if row[4].startswith("[") and not ours[address][4].startswith("anon_inode:"):
            assert ours[address][4].startswith("["), (row, ours[address])
    equal(our_total, their_total)
    return len(ours)


# What other processes change: how many share a page, and what the kernel has aged meanwhile.
MOVING = {"Pss", "Pss_Dirty", "SwapPss", "Referenced"}


def compare_extended(pid):
    our_text, their_text = run(EBB, "maps", "-X", pid), run("pmap", "-X", pid)
    equal((our_text.returncode, our_text.stderr, their_text.returncode), (0, "", 0))
    our_heads, ours = parse_extended(our_text.stdout)
    their_heads, theirs = parse_extended(their_text.stdout)
    equal([head for head in our_heads if head not in ("AnonHugePages", "Class", "Evidence")], their_heads)
    equal(len(ours), len(theirs))
    for our, their in zip(ours, theirs):
        equal(int(our["Address"], 16), int(their["Address"], 16))
        for head in set(their_heads) - MOVING - {"Address", "Mapping"}:
            assert our[head] == their[head], f"{head} of {our['Address']}: ebb {our[head]}, pmap {their[head]}"
    return len(ours)


def settle(compare, pid, least):
    """The kernel may take a page from whom it likes; three times in a row it does not."""
    need_pmap()
    for attempt in range(3):
        try:
            count = compare(pid)
            break
        except AssertionError:
            if attempt == 2:
                raise
    assert count >= least, count


@case
def agrees_with_pmap_x():
    with many_kinds() as process:
        settle(compare_x, process.pid, 40)
    with sleeper() as process:
        settle(compare_x, process.pid, 15)


@case
def agrees_with_pmap_extended():
    with many_kinds() as process:
        settle(compare_extended, process.pid, 40)
    with sleeper() as process:
        settle(compare_extended, process.pid, 15)


@case
def agrees_with_pmap_on_a_database_server():
    with database() as server:
        settle(compare_x, server.pid, 100)
        settle(compare_extended, server.pid, 100)
        classes = {row["class"] for row in report(server.pid, "--group")["groups"]}
        assert {"heap", "lib-text", "program", "stack", "thread-stack", "pool"} <= classes, classes


# ---- the same facts in other forms ---------------------------------------------------------------------------


def report(pid, *options):
    done = run(EBB, "maps", "--json", *options, pid)
    equal((done.returncode, done.stderr), (0, ""))
    return json.loads(done.stdout)


@case
def formats_tell_the_same():
    with many_kinds() as process:
        facts = report(process.pid)
        equal(facts["schema"], "ebb.maps/1")
        rows, total = facts["mappings"], facts["totals"][0]
        table, printed = parse_x(run(EBB, "maps", process.pid).stdout)
        equal([int(row["address"], 16) for row in rows], list(table))
        equal([row["rss_bytes"] >> 10 for row in rows], [row[1] for row in table.values()])
        equal(sum(row["size_bytes"] for row in rows), total["size_bytes"])
        equal((total["size_bytes"] >> 10, total["rss_bytes"] >> 10, total["dirty_bytes"] >> 10), printed)
        groups = report(process.pid, "--group")["groups"]
        for key in ("mappings", "size_bytes", "rss_bytes", "dirty_bytes", "swap_bytes"):
            equal((key, sum(row[key] for row in groups)), (key, total[key]))
        equal(report(process.pid, "--budget")["budget"][0]["mappings"],
              len([row for row in rows if row["mapping"] != "[vsyscall]"]))
        extended = report(process.pid, "-X")["mappings"]
        equal([row["address"] for row in extended], [row["address"] for row in rows])
        assert all(row["rss_bytes"] == row["shared_clean_bytes"] + row["shared_dirty_bytes"] + row["private_clean_bytes"]
                   + row["private_dirty_bytes"] for row in extended), extended
        assert all("rd" in (row["vm_flags"] or "rd").split() or row["perm"][0] == "-" for row in extended)
        csv = run(EBB, "maps", "--format", "csv", process.pid).stdout.splitlines()
        equal(len([line for line in csv if line.startswith("mappings,")]), len(rows))
        metrics = run(EBB, "maps", "--group", "--format", "openmetrics", process.pid).stdout
        contains(metrics, "# TYPE ebb_maps_groups_rss_bytes gauge")


@case
def classes_of_what_we_made():
    with many_kinds() as process:
        rows = report(process.pid)["mappings"]
        by_address = {int(row["address"], 16): row for row in rows}
        reserved = by_address[int(process.words[1], 16)]
        equal((reserved["class"], reserved["size_bytes"], reserved["rss_bytes"]), ("reserved", 8 << 40, 0))
        large = [row for row in rows if row["size_bytes"] >= 80 << 20 and row["class"] == "pool"]
        assert len(large) == 1 and large[0]["rss_bytes"] >= 1 << 20, large
        equal(len([row for row in rows if row["class"] == "thread-stack"]), 5)
        equal(len([row for row in rows if row["class"] == "stack"]), 1)
        assert any(row["class"] == "program" and row["evidence"] == "program-file" for row in rows)
        assert any(row["class"] == "shared" and row["size_bytes"] == 1 << 20 for row in rows)
        names = {os.path.basename(row["mapping"]) for row in rows if row["class"] == "file"}
        assert {"plain", "two words", "par(en)thesis", "new\nline", "gr\u00fc\u00dfe", "gone (deleted)"} <= names, names
        human = run(EBB, "maps", "-p", process.pid).stdout
        contains(human, os.path.join(tap.folder(), "files", "two words"))
        contains(human, "new?line")


@case
def sorted_and_cut_to_a_range():
    with many_kinds() as process:
        rows = report(process.pid)["mappings"]
        for key in ("size", "rss"):
            sizes = [row[f"{key}_bytes"] for row in report(process.pid, "--sort", key)["mappings"]]
            equal(sizes, sorted((row[f"{key}_bytes"] for row in rows), reverse=True))
        table, total = parse_x(run(EBB, "maps", "--sort", "rss", process.pid).stdout)
        equal(total[1], sum(row[1] for row in table.values()))
        pool = next(row for row in rows if row["class"] == "pool")
        low = int(pool["address"], 16)
        for separator, prefix in ((",", ""), ("-", "0x")):
            cut = report(process.pid, "--range", f"{prefix}{low:x}{separator}{prefix}{low + PAGE:x}")
            equal([(row["address"], row["rss_bytes"], row["dirty_bytes"]) for row in cut["mappings"]],
                  [(pool["address"], pool["rss_bytes"], None)])


@case
def several_targets():
    with many_kinds() as first, sleeper() as second:
        facts = json.loads(run(EBB, "maps", "--json", first.pid, second.pid).stdout)
        equal([row["pid"] for row in facts["totals"]], [first.pid, second.pid])
        equal({row["pid"] for row in facts["mappings"]}, {first.pid, second.pid})
        for mode, part in (([], "Address"), (["-X"], "Address"), (["--group"], "Class"), (["--budget"], "mappings")):
            done = run(EBB, "maps", *mode, first.pid, 4194303, second.pid)
            equal((mode, done.returncode, done.stdout.count(part) >= 2), (mode, 42, True))
            equal(done.stderr, "ebb maps: there is no process 4194303\n")
            for process in (first, second):
                assert re.search(rf"^{process.pid}:   ", done.stdout, re.M), done.stdout
        equal(run(EBB, "maps", 4194303).returncode, 42)


# ---- who may look, and what cannot be had --------------------------------------------------------------------


@case
def another_user_is_told_the_remedy():
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        raise Skip("needs root and setpriv")
    tool = os.path.join(tap.folder(), "ebb")
    shutil.copy(EBB, tool)
    as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    with sleeper() as process:
        for mode in ([], ["-X"], ["--group"], ["--budget"]):
            done = run(*as_nobody, tool, "maps", *mode, process.pid)
            equal((mode, done.returncode), (mode, 1))
            contains(done.stderr, f"may not be read: it belongs to root; try: sudo ebb maps {process.pid}")
    with started(*as_nobody, "sh", "-c", "echo ready; exec sleep 300") as process:
        equal(run(*as_nobody, tool, "maps", process.pid).returncode, 0)


@case
def thread_of_the_kernel():
    if not os.path.exists("/proc/2/comm"):
        raise Skip("no kernel threads to be seen")
    with open("/proc/2/comm", encoding="utf-8") as file:
        if file.read().strip() != "kthreadd":
            raise Skip("process 2 is not kthreadd")
    for mode in ([], ["--group"], ["--budget"]):
        done = run(EBB, "maps", *mode, 2)
        equal((done.returncode, done.stdout), (1, ""))
        contains(done.stderr, "is a thread of the kernel")


@case
def process_that_ends_while_it_is_looked_at():
    """A crowd of short lives: whatever happens, there is a table, or a line that says why there is none."""
    for delay in ("0", "0.002", "0.005"):
        for _ in range(5):
            process = subprocess.Popen(["sh", "-c", f"sleep {delay}"])
            done = run(EBB, "maps", process.pid)
            process.wait()
            assert done.returncode in (0, 42), done
            equal(done.stderr.count("\n"), 0 if done.returncode == 0 else 1)


@case
def wrong_usage():
    for words, part in (([], "which process?"), (["--group", "--budget", "1"], "exclude each other"),
                        (["--sort", "name", "1"], "'name' is none of"), (["--range", "12", "1"], "not two hexadecimal"),
                        (["--range", "20,10", "1"], "the lower one first"), (["--watch", "1s", "1"], "need --budget"),
                        (["--budget", "--between", "0", "1"], "above 0"), (["--format", "xml", "1"], "is none of"),
                        (["--budget", "--sort", "rss", "1"], "are for the table"), (["--unit", "T", "1"], "is none of")):
        done = run(EBB, "maps", *words)
        equal((words, done.returncode, done.stdout, done.stderr.count("\n")), (words, 2, "", 1))
        contains(done.stderr, part)


# ---- trees ---------------------------------------------------------------------------------------------------


def tree(name, maps, smaps=None, limit="65530\n"):
    root = os.path.join(tap.folder(), name)
    process = os.path.join(root, "proc", "77")
    os.makedirs(process)
    os.makedirs(os.path.join(root, "proc", "sys", "vm"))
    files = {"77/status": "Name:\tserver\nState:\tS (sleeping)\nTgid:\t77\nVmSize:\t  4 kB\nVmRSS:\t  4 kB\nThreads:\t1\n",
             "77/maps": maps, "77/smaps": smaps, "sys/vm/max_map_count": limit}
    for path, text in files.items():
        if text is not None:
            with open(os.path.join(root, "proc", path), "w", encoding="utf-8") as file:
                file.write(text)
    return root


def holes(count):
    return "".join(f"{0x7f0000000000 + i * 0x2000:x}-{0x7f0000001000 + i * 0x2000:x} rw-p 00000000 00:00 0 \n"
                   for i in range(count))


@case
def tree_without_smaps():
    root = tree("bare", "10000-20000 r--p 00000000 08:01 7                     /bin/a\n"
                        "20000-30000 rw-p 00000000 00:00 0 \n")
    done = run(EBB, "maps", "--root", root, 77)
    equal((done.returncode, done.stderr), (0, ""))
    assert re.search(r"^0000000000010000 +64 +- +- r---- +a$", done.stdout, re.M), done.stdout
    assert re.search(r"^total kB +128 +- +- *$", done.stdout, re.M), done.stdout
    row = report(77, "--root", root)["mappings"][0]
    equal((row["rss_bytes"], row["unknown"]["rss_bytes"]), (None, "there is no such file"))
    contains(run(EBB, "maps", "-X", "--root", root, 77).stdout, "rest")
    equal(run(EBB, "maps", "--root", "/nonexistent", 77).returncode, 1)
    equal(run(EBB, "maps", "--root", root, 78).returncode, 42)


@case
def tree_with_damage():
    maps = "10000-20000 r--p 00000000 08:01 7 /bin/a\nrubbish\n20000-30000 rw-p 00000000 00:00 0 \n40000-5"
    smaps = "10000-20000 r--p 00000000 08:01 7 /bin/a\nRss: 4 kB\nNovel: 7 kB\n" \
            "20000-30000 rw-p 00000000 00:00 0 \nRss: 8 kB\nSwa"
    bare = tree("damaged-maps", maps)
    equal([row["address"] for row in report(77, "--root", bare)["mappings"]], ["0x10000", "0x20000"])
    root = tree("damaged", maps, smaps)
    rows = report(77, "--root", root)["mappings"]
    equal(rows[0]["rss_bytes"], 4096)


@case
def many_mappings_in_constant_memory():
    """300,000 mappings under a limit of address space that their rows would not fit in."""
    if shutil.which("prlimit") is None:
        raise Skip("prlimit (util-linux) is not installed")
    count = 300000
    root = tree("many", holes(count))
    for mode in ([], ["-X"], ["--group"], ["--budget"], ["--format", "csv"]):
        done = subprocess.run(["prlimit", f"--as={24 << 20}", EBB, "maps", *mode, "--root", root, "77"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        equal((mode, done.returncode, done.stderr), (mode, 0, ""))
        if mode == []:
            equal(done.stdout.splitlines()[-1].split()[:3], ["total", "kB", str(count * 4)])
        if mode == ["--budget"]:
            contains(done.stdout, "300000")
            contains(done.stdout, "munmap() out of the middle of a mapping fails now with ENOMEM")


@case
def budget_of_a_tree():
    root = tree("budget", holes(60000))
    facts = report(77, "--budget", "--root", root)
    budget = facts["budget"][0]
    equal((budget["mappings"], budget["limit"], budget["left"], budget["main_cause"], budget["source"]),
          (60000, 65530, 5530, "holes", "maps"))
    equal(budget["unknown"]["growth_per_hour"], "one look; --between TIME takes two")
    equal([(row["cause"], row["mappings"]) for row in facts["causes"]], [("holes", 60000)])
    equal([row["left"] for row in facts["operations"]], [5525, 5527, 5530, 5531])
    contains(facts["notes"][0]["text"], "will fail with ENOMEM after 5530 more mappings")
    contains(facts["notes"][1]["text"], "vm.max_map_count=262144")
    twice = report(77, "--budget", "--between", "50ms", "--root", root)["budget"][0]
    equal((twice["growth_per_hour"], twice["unknown"]["limit_in_ms"]), (0, "the number does not grow"))
    os.unlink(os.path.join(root, "proc/sys/vm/max_map_count"))
    budget = report(77, "--budget", "--root", root)["budget"][0]
    equal((budget["limit"], budget["unknown"]["limit"]), (None, "there is no such file"))


# ---- screens of other hosts ----

@case
def golden_screens():
    for host, pid in (("x86-4.18", "2301"), ("arm64-6.1", "3105"), ("x86-6.18", "13718")):
        for name, args in (("", []), ("-extended", ["-X", "--show-path"]), ("-group", ["--group"]), ("-budget", ["--budget"])):
            golden.check(f"maps-{host}{name}", "maps", "--root", golden.tree(host), *args, pid)


@case
def golden_screens_of_servers():
    for host, unit in (("x86-4.18", "mysql"), ("arm64-6.1", "mariadb")):
        for name in ("group", "budget"):
            golden.check(f"maps-{host}-server-{name}", "maps", "--root", golden.tree(host), "--" + name, "unit:" + unit)


sys.exit(tap.main())
