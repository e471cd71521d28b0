#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Shows what ebb does: the same database-like load under glibc's malloc and under ebb, side by side."""

import argparse
import json
import os
import signal
import sys

sys.dont_write_bytecode = True  # the source folder stays as it is

from ebbdemo import allocators, chart, host, loadrun, picture, server, svg, table  # noqa: E402
from ebbdemo.errors import DemoError  # noqa: E402
from ebbdemo.progress import Progress  # noqa: E402
from ebbdemo.style import Style, bytes_text, count_text, ns_text, seconds_text  # noqa: E402

LOAD_IDLE_S = 5
LOAD_SECONDS = 8
SERVER_SECONDS = 30
SERVER_IDLE_S = 15
SERVER_THREADS = 64


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="dev demo", formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__,
        epilog="The first allocator runs for --seconds at the peak; the others then do exactly the same work.\n"
               "It takes about 40 s and less than 1.5 GiB of memory; with --server, about two minutes.")
    parser.add_argument("--live", metavar="SIZE", default="512M", help="bytes that the load holds at its peak (512M)")
    parser.add_argument("--threads", metavar="N", type=int, help="threads of the load (one a CPU, at least 2; "
                        f"with --server {SERVER_THREADS})")
    parser.add_argument("--seconds", metavar="S", type=int,
                        help=f"time at the peak ({LOAD_SECONDS}; with --server {SERVER_SECONDS})")
    parser.add_argument("--seed", metavar="N", type=int, default=1, help="seed of the load (1)")
    parser.add_argument("--allocators", metavar="LIST", default="glibc,ebb",
                        help="which, the first being compared with (glibc,ebb); also jemalloc, tcmalloc, mimalloc, "
                        "NAME=PATH; a name given twice is a control of the method")
    parser.add_argument("--server", action="store_true", help="MariaDB under sysbench instead of the built-in load")
    parser.add_argument("--plot", metavar="FILE", help="write the picture, .svg or .png")
    parser.add_argument("--json", metavar="FILE", help="write all samples and summaries")
    for name, text in (("load", "the ebb-load program"), ("library", "libebb-malloc.so"), ("ebb", "the ebb command")):
        parser.add_argument(f"--{name}", metavar="PATH", help=f"{text} (the dev script fills it in)")
    options = parser.parse_args(arguments)
    if options.threads is not None and not 1 <= options.threads <= 256:
        parser.error("--threads: 1 to 256")
    if options.seconds is not None and options.seconds < 1:
        parser.error("--seconds: 1 and more")
    if options.seed < 0:
        parser.error("--seed: 0 and more")
    return options


def load_rows(step_ns, style):
    """The rows of the load's table."""
    def figure(key):
        return lambda run: run.summary[key]

    def latency(kind, key):
        return lambda run: run.summary[f"{kind}_ns"][key]

    rows = [table.Row("operations/s", figure("ops_per_second"), count_text, "high", table.NOISE_SPEED),
            table.Row("CPU time", lambda r: r.summary["user_seconds"] + r.summary["system_seconds"], seconds_text,
                      "low", table.NOISE_SPEED)]
    for kind, name in (("allocation", "allocate"), ("free", "free")):
        for key, label in (("mean", "mean"), ("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")):
            # Percentiles are whole steps of the clock: one step is no difference.
            rows.append(table.Row(f"{name}, {label}", latency(kind, key), lambda ns: ns_text(ns, style), "low",
                                  table.NOISE_LATENCY, 0 if key == "mean" else step_ns * 1.01, gap=key == "mean"))
    rows += [table.Row("RSS, peak", figure("rss_peak_bytes"), bytes_text, "low", gap=True),
             table.Row("RSS, at the end", figure("rss_end_bytes"), bytes_text, "low"),
             table.Row("RSS, after malloc_trim", figure("rss_trimmed_bytes"), bytes_text, "low"),
             table.Row("live, at the end", figure("live_end_bytes"), bytes_text),
             table.Row("mappings (VMAs), peak", figure("vmas_peak"), count_text, "low", step=table.VMAS_STEP)]
    return rows


def load_findings(runs):
    """One sentence for each allocator, in the order of the table."""
    width = max(len(run.allocator.name) for run in runs)
    lines = []
    for run in runs:
        s = run.summary
        lines.append(f"  {run.allocator.name.ljust(width)}  holds {bytes_text(s['rss_end_bytes'])} for "
                     f"{bytes_text(s['live_end_bytes'])} of live data when 95 % of the connections have closed "
                     f"({s['rss_end_bytes'] / max(1, s['live_end_bytes']):.1f} times as much).")
    return lines


def run_loads(options, chosen, style):
    """The built-in load under each allocator in turn."""
    if not options.load or not os.access(options.load, os.X_OK):
        raise DemoError("ebb-load is not built: start the demo with ./dev demo, or give --load")
    seconds = options.seconds or LOAD_SECONDS
    common = ["--live", options.live, "--seed", str(options.seed), "--idle", str(LOAD_IDLE_S)]
    if options.threads:
        common += ["--threads", str(options.threads)]
    width = max(len(a.name) for a in chosen) + 2
    weights = {"ramp": seconds * 0.2, "steady": seconds, "fall": 0.1, "idle": LOAD_IDLE_S}
    runs = []
    for allocator in chosen:
        length = ["--ops", str(runs[0].summary["ops"])] if runs else ["--seconds", str(seconds)]
        progress = Progress(allocator.name, weights, style, width)
        run = loadrun.run_load(options.load, allocator, common + length, progress)
        if runs and run.summary["digest"] != runs[0].summary["digest"]:
            raise DemoError(f"{allocator.name} did not get the same sequence of calls as {runs[0].allocator.name}")
        runs.append(run)
        weights = {name: end - begin for name, begin, end in run.phases}
        progress.done(f"{count_text(run.summary['ops'])} operations in {seconds_text(weights['steady'])}, RSS "
                      f"{bytes_text(run.summary['rss_peak_bytes'])} at the peak, "
                      f"{bytes_text(run.summary['rss_end_bytes'])} at the end")
    return runs


def show(runs, rows, findings, notes, style, out):
    for line in ["", *table.render(runs, rows, style), "", table.legend(runs[0].allocator.name, style), *notes,
                 *chart.render(runs, style), "", *findings]:
        out.write(line + "\n")


def demo_load(options, chosen, known, style, out):
    out.write(f"  A load like a database server's: connections grow to {options.live} of live data, run statements,\n"
              "  then 95 % of them close and nothing is allocated any more. All allocators get the same calls.\n\n")
    runs = run_loads(options, chosen, style)
    first = runs[0].summary
    step = max(run.summary["clock_step_ns"] for run in runs)
    cost = max(run.summary["clock_cost_ns"] for run in runs)
    notes = [f"  Latencies contain {cost:.0f} ns for reading the clock ({first['clock']}, steps of {step:.0f} ns); "
             "an operation is about "
             f"{first['allocation_ns']['count'] / max(1, first['ops']):.0f} allocations."]
    show(runs, load_rows(step, style), load_findings(runs), notes, style, out)
    subtitle = (f"Database-like load: up to {options.live} live, {first['threads']} threads, then 95 % of the "
                f"connections close, {LOAD_IDLE_S} s idle")
    return runs, subtitle


def demo_server(options, chosen, known, style, out):
    plan = server.Plan(options.threads or SERVER_THREADS, options.seconds or SERVER_SECONDS, SERVER_IDLE_S)
    out.write(f"  MariaDB, 128 MiB buffer pool, sysbench oltp_read_write with {plan.threads} threads for "
              f"{plan.seconds} s, then {plan.idle} s idle.\n\n")
    runs = server.run_servers(chosen, plan, style)
    show(runs, server.rows(), server.findings(runs, plan), [server.NOTE], style, out)
    subtitle = (f"{runs[0].summary['server']}, sysbench oltp_read_write, {plan.threads} threads, {plan.seconds} s, "
                f"then {plan.idle} s idle")
    return runs, subtitle


def write_json(path, options, known, runs):
    data = {"version": 1, "kind": "server" if options.server else "load", "host": known,
            "runs": [run.record() for run in runs]}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(data, file, indent=1)
        file.write("\n")


def run_demo(options, out):
    style = Style.of(out)
    if options.plot:
        picture.check(options.plot)
    if options.json and not os.path.isdir(os.path.dirname(options.json) or "."):
        raise DemoError(f"--json {options.json}: no such folder")
    chosen = allocators.resolve([n for n in options.allocators.split(",") if n], options.library, options.ebb)
    if not chosen:
        raise DemoError("--allocators: at least one wanted")
    known = host.facts()
    if host.warning(known):
        out.write(f"  {style.paint(host.warning(known), 'yellow')}\n")
    runs, subtitle = (demo_server if options.server else demo_load)(options, chosen, known, style, out)
    if options.json:
        write_json(options.json, options, known, runs)
        out.write(f"\n  All samples: {options.json}\n")
    if options.plot:
        title = "Memory over time: " + ", ".join(a.name for a in chosen)
        picture.write(options.plot, svg.render(runs, title, subtitle, [host.line(known)]))
        out.write(f"\n  Picture: {options.plot}\n")


def main(arguments=None):
    def ended(_number, _frame):
        # Once only: a second Ctrl-C must not break off the ending of the children.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    options = parse(arguments)
    signal.signal(signal.SIGINT, ended)
    signal.signal(signal.SIGTERM, ended)
    sys.stdout.reconfigure(errors="replace")
    try:
        run_demo(options, sys.stdout)
        sys.stdout.flush()
    except DemoError as error:
        sys.stdout.flush()
        print(f"\nebb demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nebb demo: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
