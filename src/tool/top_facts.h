/* SPDX-License-Identifier: MIT
 *
 * What ebb top looks at: the host, its processes, their history, and one process more closely.
 */
#ifndef EBB_TOOL_TOP_FACTS_H
#define EBB_TOOL_TOP_FACTS_H

#include "model/free.h"
#include "model/rates.h"
#include "tool/proc_columns.h"
#include "tool/top_history.h"

/* The host at one look, and since the one before. */
struct ebb_top_host {
    char clock[16]; /* "14:03:12"; "" for a captured tree, which has no present */
    struct ebb_load load;
    struct ebb_meminfo info;
    struct ebb_vmstat vm;
    struct ebb_pressure pressure; /* memory */
    struct ebb_free free;
    struct ebb_fact page_bytes;
    struct ebb_fact span_ms; /* what the rises are about; since boot at the first look */
    bool since_boot;
    struct ebb_reclaim_rates reclaim;
    struct ebb_fact swap_in_pages; /* rises */
    struct ebb_fact swap_out_pages;
};

struct ebb_top_facts {
    struct ebb_top_host host;
    struct ebb_proc_table table;
    struct ebb_top_series memory_percent; /* used, of the total */
    struct ebb_top_series swap_percent;
    struct ebb_top_series pressure_percent; /* time in which some task waited, between two looks */
    struct ebb_top_tracks tracks;
    struct ebb_proc_table detail; /* of the process that is looked at more closely; one row, or none */
};

/* What is kept from look to look. */
struct ebb_top_source {
    struct ebb_proc_ask ask;
    struct ebb_proc_counts *counts; /* of the last look */
    size_t count;
    uint64_t at_ns;
    bool looked;
    struct ebb_vmstat vm;
    struct ebb_fact stalled_us;
};

/* Looks. `ret_facts` is all zero the first time, and the last look's after that. 0, or -errno: then what it held is gone. */
int ebb__top_look(struct ebb_top_source *source, struct ebb_top_facts *facts);

/* Looks at one process with all columns; 0, or -errno. `detail` is empty when it has ended or has another start. */
int ebb__top_look_closely(const struct ebb_top_source *source, struct ebb_top_facts *facts, pid_t pid,
                          uint64_t start_ticks);

void ebb__top_source_fini(struct ebb_top_source *source);
void ebb__top_facts_fini(struct ebb_top_facts *facts);

/* A rise for each second, as a cell. */
static inline struct ebb_cell ebb__top_per_second(const struct ebb_top_host *host, struct ebb_fact rise)
{
    if (!rise.known)
        return ebb__cell_fact(rise);
    if (!host->span_ms.known)
        return ebb__cell_fact(host->span_ms);
    if (host->span_ms.value == 0)
        return ebb__cell_unknown("no time has passed");
    return ebb__cell_real((double)rise.value * 1000 / (double)host->span_ms.value);
}

/* The host as the section "host" of a report. */
void ebb__top_emit_host(struct ebb_emit *emit, const struct ebb_top_host *host);

#endif
