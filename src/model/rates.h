/* SPDX-License-Identifier: MIT
 *
 * What the kernel's counters rose by between two looks, or since boot, and what that says about reclaim and processors.
 *
 * Reclaim, of pages that were looked at (scan) and freed (steal):
 *
 *   global   kswapd + direct + khugepaged + proactive: who reclaims on behalf of the whole host
 *   all      anon + file: the same pages by kind, and those of reclaim on behalf of memory cgroups
 *   cgroups  all - global
 *
 * Both are about the same events: their sum, which some tools print, is twice the truth. Kernels before 5.8 count global only; what
 * their memory cgroups reclaim is not known, and the rows say so. Of the reclaimers, what a kernel does not have is not
 * missing: it counts them under another name.
 *
 * Efficiency is steal / scan. A page is counted as looked at when it is taken from its list and as freed later, so a look may fall in
 * between: what was freed was also looked at, and scan is taken for at least steal. Efficiency so never exceeds 100 %.
 */
#ifndef EBB_MODEL_RATES_H
#define EBB_MODEL_RATES_H

#include <stdbool.h>

#include "probe/cpu_stat.h"
#include "probe/fact.h"
#include "probe/vmstat.h"

/* The rise of a counter of 64 bits. Wrapping is told from beginning anew (-ESTALE) by the shorter way. Unknown when either is. */
struct ebb_fact ebb__rates_rise(struct ebb_fact before, struct ebb_fact after);

/* The rise of a clock that may stand still or step back a little, as the kernel's idle and iowait times do: then it is 0. */
struct ebb_fact ebb__rates_clock(struct ebb_fact before, struct ebb_fact after);

struct ebb_share {
    bool known;
    double percent;  /* 0 to 100 */
    const char *why; /* when it is not known */
};

/* part / whole, at most 100 %. Without a whole there is no share: `why_none` says so. */
struct ebb_share ebb__rates_share(struct ebb_fact part, struct ebb_fact whole, const char *why_none);

struct ebb_reclaim_kind {
    struct ebb_fact scan; /* pages */
    struct ebb_fact steal;
    struct ebb_share efficiency;
};

struct ebb_reclaim_rates {
    bool by_kind; /* the kernel counts anon and file (5.8 and later), so `all` and `cgroups` are known */
    struct ebb_fact kswapd; /* scanned by whom, of global */
    struct ebb_fact direct;
    struct ebb_fact other; /* khugepaged and proactive */
    struct ebb_reclaim_kind global;
    struct ebb_reclaim_kind cgroups;
    struct ebb_reclaim_kind all;
    struct ebb_reclaim_kind anon;
    struct ebb_reclaim_kind file;
    struct ebb_share cgroup_share; /* of what was scanned */
    struct ebb_fact stalls;        /* allocations that had to reclaim for themselves, of all zones */
    struct ebb_fact refaults;      /* pages read again that had been reclaimed lately */
};

/* `before` NULL: since boot. */
void ebb__rates_reclaim(const struct ebb_vmstat *before, const struct ebb_vmstat *after,
                        struct ebb_reclaim_rates *ret_rates);

/* Shares of the time of all processors; together 100 %. */
struct ebb_cpu_rates {
    struct ebb_share user;   /* with nice, without guests */
    struct ebb_share system; /* with interrupts */
    struct ebb_share idle;
    struct ebb_share iowait;
    struct ebb_share steal;
    struct ebb_share guest;
};

/* `before` NULL: since boot. */
void ebb__rates_cpu(const struct ebb_cpu_stat *before, const struct ebb_cpu_stat *after,
                    struct ebb_cpu_rates *ret_rates);

#endif
