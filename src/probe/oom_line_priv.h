/* SPDX-License-Identifier: MIT
 *
 * Single lines of the kernel's messages about memory that ran out: which one it is, and what it says. For oom_log.c.
 */
#ifndef EBB_PROBE_OOM_LINE_PRIV_H
#define EBB_PROBE_OOM_LINE_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#include "probe/oom_log.h"

enum ebb_oom_line {
    EBB_OOM_LINE_OTHER,
    EBB_OOM_LINE_INVOKED,  /* a report begins */
    EBB_OOM_LINE_DETAIL,   /* of a report */
    EBB_OOM_LINE_HEADINGS, /* of the table */
    EBB_OOM_LINE_ROW,
    EBB_OOM_LINE_KILLED,
    EBB_OOM_LINE_GROUP,
    EBB_OOM_LINE_REAPER,
    EBB_OOM_LINE_NO_VICTIM,
    EBB_OOM_LINE_PANIC,
    EBB_OOM_LINE_SUPPRESSED, /* the rate limit held messages back */
};

/* Tells what the line is, and writes what it says into `kill`. Of a reaper's line these are pid, name, reaper and left_*. Headings and
 * rows are only recognized. */
enum ebb_oom_line ebb__oom_line_take(struct ebb_oom_text text, struct ebb_oom_kill *kill);

/* The columns of a line of headings: how many, 0 when it is none. */
unsigned ebb__oom_line_columns(struct ebb_oom_text text, unsigned char *ret_columns, unsigned columns_max);

/* A row below headings with these columns. */
bool ebb__oom_line_row(struct ebb_oom_text text, const unsigned char *columns, unsigned column_count,
                       struct ebb_oom_row *ret_row);

#endif
