/* SPDX-License-Identifier: MIT
 *
 * How busy a process or a thread is; see proc_rates.h.
 */
#include "model/proc_rates.h"

#include <stdlib.h>

static void unknown(const char *why, struct ebb_proc_rates *ret_rates)
{
    *ret_rates = (struct ebb_proc_rates){.why = why};
}

/* A rise, or 0: the kernel adds up what living and ended threads counted, and while one ends the sum may step back. */
static double rise(uint64_t before, uint64_t now)
{
    return now > before ? (double)(now - before) : 0;
}

static void divide(const struct ebb_proc_counts *before, const struct ebb_proc_counts *now, double seconds,
                   struct ebb_fact ticks_per_s, struct ebb_proc_rates *ret_rates)
{
    *ret_rates = (struct ebb_proc_rates){
        .known = true,
        .cpu_percent = 100 * rise(before->cpu_ticks, now->cpu_ticks) / (double)ticks_per_s.value / seconds,
        .minor_per_s = rise(before->minor_faults, now->minor_faults) / seconds,
        .major_per_s = rise(before->major_faults, now->major_faults) / seconds,
    };
}

static bool has_ticks(struct ebb_fact ticks_per_s, struct ebb_proc_rates *ret_rates)
{
    if (ticks_per_s.known && ticks_per_s.value != 0)
        return true;
    unknown("how long a clock tick is on this host is not known", ret_rates);
    return false;
}

void ebb__proc_rates_life(const struct ebb_proc_counts *now, struct ebb_fact uptime_ms,
                          struct ebb_fact ticks_per_s, struct ebb_proc_rates *ret_rates)
{
    static const struct ebb_proc_counts NOTHING;
    double age; /* in thousandths of a tick, which a double holds exactly for years */

    if (!has_ticks(ticks_per_s, ret_rates))
        return;
    if (!uptime_ms.known) {
        unknown(ebb__fact_why(uptime_ms), ret_rates);
        return;
    }
    age = (double)uptime_ms.value * (double)ticks_per_s.value - (double)now->start_ticks * 1000;
    /* Both are rounded to a tick, so less than one is no time; a container may also be told a later boot than the host's. */
    if (age < 1000) {
        unknown("it has only just started", ret_rates);
        return;
    }
    divide(&NOTHING, now, age / 1000 / (double)ticks_per_s.value, ticks_per_s, ret_rates);
}

void ebb__proc_rates_between(const struct ebb_proc_counts *before, const struct ebb_proc_counts *now,
                             uint64_t between_ms, struct ebb_fact ticks_per_s,
                             struct ebb_proc_rates *ret_rates)
{
    static const struct ebb_proc_counts NOTHING;

    if (!has_ticks(ticks_per_s, ret_rates))
        return;
    if (between_ms == 0) {
        unknown("no time has passed", ret_rates);
        return;
    }
    divide(before == NULL ? &NOTHING : before, now, (double)between_ms / 1000, ticks_per_s, ret_rates);
}

static int compare(const void *a, const void *b)
{
    const struct ebb_proc_counts *x = a;
    const struct ebb_proc_counts *y = b;

    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->start_ticks == y->start_ticks ? 0 : x->start_ticks < y->start_ticks ? -1 : 1;
}

void ebb__proc_rates_sort(struct ebb_proc_counts *counts, size_t count)
{
    if (count != 0)
        qsort(counts, count, sizeof(*counts), compare);
}

const struct ebb_proc_counts *ebb__proc_rates_find(const struct ebb_proc_counts *counts, size_t count,
                                                   const struct ebb_proc_counts *wanted)
{
    return count == 0 ? NULL : bsearch(wanted, counts, count, sizeof(*counts), compare);
}
