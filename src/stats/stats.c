/* SPDX-License-Identifier: MIT
 * The counters and their table. */
#include "stats/stats.h"

struct ebb_counters ebb__counters;

#define KIND_COUNT false
#define KIND_GAUGE true

static const struct ebb_stat_row rows[] = {
#define STAT(name, kind, unit, help) {#name, KIND_##kind, unit, help, &ebb__counters.name},
#include "stats/stats.def"
#undef STAT
};

const struct ebb_stat_row *ebb__stats_rows(unsigned *ret_count)
{
    *ret_count = EBB_ARRAY_COUNT(rows);
    return rows;
}
