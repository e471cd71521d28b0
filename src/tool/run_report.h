/* SPDX-License-Identifier: MIT
 *
 * The report of ebb run: what the program and its descendants on ebb have left behind, and what the kernel says of the program.
 *
 * The memory file (wire/report.h) is made before the program is started, and nothing of it is left when ebb run has ended, in
 * whatever way. What the kernel knows, it says of every program: the status, the peak, and whether its cgroup counted a kill.
 */
#ifndef EBB_TOOL_RUN_REPORT_H
#define EBB_TOOL_RUN_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "model/run_report.h"
#include "probe/probe.h"
#include "tool/child.h"
#include "tool/emit.h"

struct ebb_run_report_options {
    bool show;        /* to standard error, for people */
    const char *file; /* JSON goes there; NULL: nowhere */
};

/* All that is known at the end. */
struct ebb_run_ending {
    const char *program;
    pid_t pid;
    int wait_status;
    uint64_t ran_ms;
    uint64_t ended_ms;         /* CLOCK_MONOTONIC */
    uint64_t peak_bytes;       /* RSS, by the kernel */
    bool peak_is_bound;        /* no more than what ebb run itself had: the program may have had less */
    bool kills_known;          /* of the cgroup that the program was started in */
    uint64_t kills;            /* by the OOM killer, while the program ran */
    const char *mount;         /* of the cgroups' tree; "" when it is not known */
    const char *why;           /* there is no report of the program's own; NULL: there is */
    struct ebb_run_report all; /* count is 0 where there is none */
};

struct ebb_run_report_file {
    bool wanted;
    int fd;     /* of the memory file; -1: none */
    int out_fd; /* for JSON; -1: none */
    char name[EBB_REPORT_NAME_TEXT_BYTES];
    int err; /* why there is no memory file */
    uint64_t start_ms;
    uint64_t own_peak_bytes;
    struct ebb_cgroup_tree tree;
    char cgroup[EBB_CGROUP_PATH_BYTES]; /* "" when it is not known */
    struct ebb_fact kills_then;
};

/* Before the program is started. EBB_EXIT_OK; EBB_EXIT_FAILED after a line on standard error: the file cannot be written. */
int ebb__run_report_open(struct ebb_run_report_file *report, const struct ebb_run_report_options *options);

/* Fills in what the launch needs for it. */
void ebb__run_report_launch(const struct ebb_run_report_file *report, struct ebb_launch *launch);

/* Right after the start. */
void ebb__run_report_started(struct ebb_run_report_file *report, pid_t pid);

/* After the program has ended: prints. `why_not` says why the program was not served; NULL: it was, as far as is known. */
void ebb__run_report_finish(struct ebb_run_report_file *report, const struct ebb_run_report_options *options,
                            const struct ebb_opt_spec *spec, const char *program,
                            const struct ebb_child *child, const char *why_not);

/* ---- run_report_print.c, run_report_rows.c ---- */

/* The cgroup whose limit is the nearest, as it is called elsewhere: without the folder where the tree is mounted, if it was seen
 * there. */
const char *ebb__run_report_group(const struct ebb_run_ending *ending,
                                  const struct ebb_report_process *process);

/* For people. */
void ebb__run_report_show(struct ebb_emit *emit, const struct ebb_run_ending *ending);

/* For programs. */
void ebb__run_report_rows(struct ebb_emit *emit, const struct ebb_run_ending *ending);

#endif
