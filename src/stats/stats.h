/* SPDX-License-Identifier: MIT
 * Counters of slow paths: relaxed atomics in one struct. Nothing here is touched by a cache hit. */
#ifndef EBB_STATS_H
#define EBB_STATS_H

#include "base/base.h"

struct ebb_counters {
#define STAT(name, kind, unit, help) _Atomic uint64_t name;
#include "stats/stats.def"
#undef STAT
};

extern struct ebb_counters ebb__counters;

#define EBB_COUNT(name, n)                                                                                   \
    ((void)atomic_fetch_add_explicit(&ebb__counters.name, (uint64_t)(n), memory_order_relaxed))
#define EBB_COUNTED(name) atomic_load_explicit(&ebb__counters.name, memory_order_relaxed)

struct ebb_stat_row {
    const char *name;
    bool is_gauge;
    const char *unit;
    const char *help;
    _Atomic uint64_t *value;
};

/* Rows in the order of stats.def; *ret_count of them. */
const struct ebb_stat_row *ebb__stats_rows(unsigned *ret_count);

#endif
