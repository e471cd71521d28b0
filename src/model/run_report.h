/* SPDX-License-Identifier: MIT
 *
 * What processes on ebb have left in a report (wire/report.h), put in order for whoever started the first of them.
 */
#ifndef EBB_MODEL_RUN_REPORT_H
#define EBB_MODEL_RUN_REPORT_H

#include "wire/report.h"

#define EBB_RUN_PROCESSES_MAX EBB_REPORT_SLOTS

struct ebb_run_process {
    struct ebb_report_process is;
    unsigned number; /* of its slot */
    bool silent;     /* it met no limit, gave nothing and executed another program: nobody asked about it */
    bool replaced;   /* the same process has executed another program since */
    uint64_t looks;  /* how often somebody looked how far the next limit is */
    uint64_t hits;   /* of those, that found too little room */
    uint64_t kernel_bytes;   /* given back to the kernel in all */
    uint64_t limit_bytes;    /* of those before it grew at a limit */
    uint64_t pressure_bytes; /* given under pressure, what the program's shrinkers gave included */
    uint64_t quiet_bytes;    /* the rest of kernel_bytes */
};

/* The programs of the process that was started come first, the one that it was last before the others; then all others, in the
 * order in which they began. */
struct ebb_run_report {
    unsigned count;
    unsigned own_count; /* of them, those of the process that was started */
    unsigned damaged;   /* slots that cannot be understood */
    unsigned left_out;  /* slots beyond EBB_RUN_PROCESSES_MAX */
    uint32_t opened;
    uint32_t turned_away;
    struct ebb_run_process processes[EBB_RUN_PROCESSES_MAX];
};

void ebb__run_report_order(const struct ebb_report_view *view, struct ebb_run_report *ret_report);

/* "green" and so on; "unknown" for what is no level. */
const char *ebb__run_report_level(unsigned level);

/* Milliseconds from the begin of the process to then; 0 when it is before. */
uint64_t ebb__run_report_after(const struct ebb_report_process *process, uint64_t at_ms);

#endif
