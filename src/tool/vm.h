/* SPDX-License-Identifier: MIT
 *
 * What the parts of ebb vm have in common: a look at the host, the span between two, and the views of them.
 */
#ifndef EBB_TOOL_VM_H
#define EBB_TOOL_VM_H

#include "model/free.h"
#include "model/rates.h"
#include "probe/probe.h"
#include "tool/emit.h"

/* Memory cgroups do not nest deeper in practice; what lies above the topmost of these is not looked at. */
#define EBB_VM_LEVELS_MAX 16

/* What is looked at, found once. */
struct ebb_vm_source {
    const char *root;
    struct ebb_host host;
    bool has_cgroup;
    struct ebb_cgroup_tree tree;
    unsigned level_count; /* levels[0] is what was asked for, its parents follow */
    char levels[EBB_VM_LEVELS_MAX][EBB_CGROUP_PATH_BYTES];
};

struct ebb_vm_look {
    uint64_t at_ns; /* of the monotonic clock */
    struct ebb_meminfo info;
    struct ebb_vmstat vm;
    struct ebb_cpu_stat cpu;
    struct ebb_load load;
    struct ebb_pressure memory_pressure;
    struct ebb_pressure io_pressure;
    struct ebb_pressure cpu_pressure;
    struct ebb_free free;
    struct ebb_cgroup levels[EBB_VM_LEVELS_MAX];
    struct ebb_pressure cgroup_pressure;
    struct ebb_free cgroup_free;
};

/* What rates are about. */
struct ebb_vm_span {
    const char *name;                 /* "boot", "2.0 s", "average" */
    const struct ebb_vm_look *before; /* NULL: since boot */
    const struct ebb_vm_look *after;
    struct ebb_fact length_ms;
};

/* Means over looks, for the average's columns that are no rates. */
struct ebb_vm_means {
    unsigned count;
    double free_bytes;
    double available_bytes;
    double running;
    double blocked;
};

/* ---- vm_look.c ---- */

/* Finds what --cgroup names. An exit status; a line on standard error when it is not EBB_EXIT_OK. */
int ebb__vm_source_init(struct ebb_vm_source *source, const char *root, const char *cgroup);

void ebb__vm_look(const struct ebb_vm_source *source, struct ebb_vm_look *ret_look);

/* Since boot when `before` is NULL. The name is the caller's. */
void ebb__vm_span_init(struct ebb_vm_span *span, const char *name, const struct ebb_vm_look *before,
                       const struct ebb_vm_look *after);

/* A rise for each second of the span. */
struct ebb_cell ebb__vm_per_second(const struct ebb_vm_span *span, struct ebb_fact rise, double factor);

/* The rise of a field of struct ebb_vmstat over the span. */
struct ebb_fact ebb__vm_rise(const struct ebb_vm_span *span, size_t at);
#define EBB_VM_RISE(span, field) ebb__vm_rise(span, offsetof(struct ebb_vmstat, field))

/* The share of the span in which some task waited, in percent. */
struct ebb_share ebb__vm_stall(const struct ebb_vm_span *span, struct ebb_fact before_us,
                               struct ebb_fact after_us);

/* ---- views ---- */

/* vm_screen.c: everything. `stats`: also the counters, which machine formats always have. */
void ebb__vm_screen(struct ebb_emit *emit, const struct ebb_vm_source *source, const struct ebb_vm_span *span,
                    bool stats);

/* vm_line.c: one line for each look, for people. `means` is NULL but for the average. */
void ebb__vm_line(struct ebb_emit *emit, const struct ebb_vm_source *source, const struct ebb_vm_span *span,
                  const struct ebb_vm_means *means);

/* vm_compat.c: as free(1), vmstat(8) and sar(1) print it. */
struct ebb_vm_compat {
    enum { EBB_VM_FREE, EBB_VM_VMSTAT, EBB_VM_VMSTAT_STATS, EBB_VM_SAR } kind;
    char unit; /* 'B', 'K', 'M', 'G', or 'h' */
    bool wide;
    bool active;
    bool header;
};

void ebb__vm_compat_head(const struct ebb_vm_compat *compat, const struct ebb_vm_source *source);
void ebb__vm_compat_look(const struct ebb_vm_compat *compat, const struct ebb_vm_source *source,
                         const struct ebb_vm_span *span);

#endif
