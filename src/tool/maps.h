/* SPDX-License-Identifier: MIT
 *
 * What the parts of `ebb maps` have in common: what was asked for, and its reports.
 */
#ifndef EBB_TOOL_MAPS_H
#define EBB_TOOL_MAPS_H

#include "tool/emit.h"
#include "tool/maps_walk.h"
#include "tool/target.h"

struct ebb_maps_ask {
    struct ebb_emit *emit;
    const struct ebb_target *targets; /* those that were found */
    unsigned target_count;
    struct ebb_maps_want want;
    bool extended;   /* pmap -X's columns */
    bool show_path;  /* whole paths for people */
    int sort;        /* an enum ebb_smaps_field, or EBB_MAPS_SORT_ADDRESS or EBB_MAPS_SORT_DIRTY */
    long between_ms; /* budget: two looks; -1: one */
    long watch_ms;   /* budget: again and again; -1: not */
};

#define EBB_MAPS_SORT_ADDRESS (-1)
#define EBB_MAPS_SORT_DIRTY   (-2)

/* Each writes a report about all targets and returns the exit status: that of the worst target, after a line on standard error about it. */
int ebb__maps_table(const struct ebb_maps_ask *ask);
int ebb__maps_groups(const struct ebb_maps_ask *ask);
int ebb__maps_budget(const struct ebb_maps_ask *ask);

/* Opens a walk, and says on standard error what it leaves out. An exit status. */
int ebb__maps_start(const struct ebb_maps_ask *ask, const struct ebb_target *target,
                    struct ebb_maps_walk *walk);

/* Ends it: `got` is what the last step returned. An exit status; a process that ended midway is said to have. */
int ebb__maps_finish(struct ebb_maps_walk *walk, int got, uint64_t row_count);

/* The worse of two exit statuses: a target that is missing is said before anything else, as pmap does. */
int ebb__maps_worse(int a, int b);

/* "PID:   command line", as pmap heads its tables; printable. */
#define EBB_MAPS_TITLE_BYTES 1024
void ebb__maps_title(const struct ebb_target *target, char ret_title[EBB_MAPS_TITLE_BYTES]);

/* ---- sums ---- */

struct ebb_maps_sum {
    uint64_t count;
    struct ebb_fact facts[EBB_SMAPS_FIELD_COUNT]; /* known when they are known of all rows */
};

void ebb__maps_sum_add(struct ebb_maps_sum *sum, const struct ebb_fact facts[EBB_SMAPS_FIELD_COUNT]);

#endif
