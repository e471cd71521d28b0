/* SPDX-License-Identifier: MIT
 *
 * /proc/stat: what the processors did since boot, interrupts, context switches, and how many tasks run or wait for a disk.
 */
#ifndef EBB_PROBE_CPU_STAT_H
#define EBB_PROBE_CPU_STAT_H

#include <stddef.h>

#include "probe/fact.h"

struct ebb_cpu_stat {
    /* of all processors together, in ticks (see host.h), in the order of the line; guests' time is also in user and nice */
    struct ebb_fact user_ticks;
    struct ebb_fact nice_ticks;
    struct ebb_fact system_ticks;
    struct ebb_fact idle_ticks;
    struct ebb_fact iowait_ticks;
    struct ebb_fact irq_ticks;
    struct ebb_fact softirq_ticks;
    struct ebb_fact steal_ticks;
    struct ebb_fact guest_ticks;
    struct ebb_fact guest_nice_ticks;
    struct ebb_fact interrupts;
    struct ebb_fact context_switches;
    struct ebb_fact boot_time_s; /* since 1970 */
    struct ebb_fact forks;
    struct ebb_fact running; /* now; runnable, with who reads this */
    struct ebb_fact blocked; /* now; waiting for a disk */
};

/* 0, or -EBADMSG when the line of all processors is missing or damaged. */
int ebb__cpu_stat_parse(const char *text, size_t len, struct ebb_cpu_stat *ret_stat);

/* From ROOT/proc/stat. On -errno all facts are unknown for that reason. */
int ebb__cpu_stat_read(const char *root, struct ebb_cpu_stat *ret_stat);

#endif
