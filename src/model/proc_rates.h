/* SPDX-License-Identifier: MIT
 *
 * How busy a process or a thread is: processor time and page faults for each second, between two looks or over its life.
 *
 * A number is given again when its process has ended. What was seen twice is the same one only if it also started at the same tick.
 *
 * The first look has nothing to be compared with, so it says what ps(1) says: the mean since the start of the process. Of a process that is
 * new at the second look everything that it did fell between the two, and is divided by the time between them as for all others:
 * so the sum over all processes is what the host did.
 */
#ifndef EBB_MODEL_PROC_RATES_H
#define EBB_MODEL_PROC_RATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/fact.h"

/* What the kernel has counted for a process or a thread; its number is `id`. */
struct ebb_proc_counts {
    int id;
    uint64_t start_ticks; /* since boot */
    uint64_t cpu_ticks;   /* of the program and of the kernel on its behalf */
    uint64_t minor_faults;
    uint64_t major_faults;
};

struct ebb_proc_rates {
    bool known;
    const char *why;    /* when they are not known */
    double cpu_percent; /* of one processor: a process with threads can have more than 100 */
    double minor_per_s;
    double major_per_s;
};

/* Over its life, from `uptime_ms` since boot and the length of a tick. */
void ebb__proc_rates_life(const struct ebb_proc_counts *now, struct ebb_fact uptime_ms,
                          struct ebb_fact ticks_per_s, struct ebb_proc_rates *ret_rates);

/* Between two looks. `before` is NULL for what was not there yet. */
void ebb__proc_rates_between(const struct ebb_proc_counts *before, const struct ebb_proc_counts *now,
                             uint64_t between_ms, struct ebb_fact ticks_per_s,
                             struct ebb_proc_rates *ret_rates);

/* Sorts looks for ebb__proc_rates_find(). */
void ebb__proc_rates_sort(struct ebb_proc_counts *counts, size_t count);

/* The same one in a sorted look, or NULL. */
const struct ebb_proc_counts *ebb__proc_rates_find(const struct ebb_proc_counts *counts, size_t count,
                                                   const struct ebb_proc_counts *wanted);

#endif
