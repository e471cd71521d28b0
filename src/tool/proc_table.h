/* SPDX-License-Identifier: MIT
 *
 * A look at all processes, or at some: a row for each, with what was asked for.
 *
 * Costs: each need is a number of files of each process, so a look reads what its columns show and no more:
 *
 *   stat         stat                           always: the name, the start, and whether it is a thread of the kernel
 *   status       status                         sizes
 *   oom          oom_score, oom_score_adj       not of threads of the kernel, which are never killed
 *   rank         oom_score of all other processes
 *   cgroup       cgroup, and two files for each level of each memory cgroup once
 *   vmas         maps: some 0.1 us for each line; needs the right to trace the process
 *   allocator    maps, memory and files: about a millisecond; needs the same right
 *   command      cmdline, which takes the address space lock of the process and can wait for it
 *
 * A process that ends while it is looked at is left out and counted in `vanished`, never half a row. Rows are in ascending order of
 * numbers.
 */
#ifndef EBB_TOOL_PROC_TABLE_H
#define EBB_TOOL_PROC_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "model/proc_rates.h"
#include "probe/probe.h"
#include "tool/proc_allocator.h"
#include "tool/proc_cgroups.h"

enum ebb_proc_need {
    EBB_PROC_STAT = 1U << 0,
    EBB_PROC_STATUS = 1U << 1,
    EBB_PROC_OOM = 1U << 2,
    EBB_PROC_RANK = 1U << 3,
    EBB_PROC_CGROUP = 1U << 4,
    EBB_PROC_VMAS = 1U << 5,
    EBB_PROC_ALLOCATOR = 1U << 6,
    EBB_PROC_COMMAND = 1U << 7,
};

struct ebb_proc {
    pid_t pid;
    int stat_err; /* 0: `stat` holds; else -errno */
    struct ebb_stat stat;
    int status_err; /* the same of `status`; -ENODATA also when nobody asked */
    struct ebb_status status;
    char name[EBB_STATUS_NAME_BYTES]; /* any bytes */
    bool kernel;                      /* a thread of the kernel */
    struct ebb_proc_rates rates;
    struct ebb_fact oom_score;
    struct ebb_fact oom_adj; /* two's complement */
    unsigned oom_rank;       /* 1 is killed first; 0: has no rank */
    int cgroup_err;
    const struct ebb_proc_cgroup *cgroup; /* NULL unless cgroup_err is 0 */
    struct ebb_fact vma_count;
    int allocator_err; /* of `allocator`, which is NULL unless this is 0 */
    struct ebb_proc_allocator *allocator;
    int command_err;
    char *command; /* NULL unless command_err is 0; "" for a thread of the kernel */
};

/* Which processes, and what of them. */
struct ebb_proc_ask {
    const char *root;
    unsigned needs; /* bits of enum ebb_proc_need */
    const pid_t *pids;
    size_t pid_count;      /* 0: all */
    bool kernel;           /* threads of the kernel too; one that is among the pids is always shown */
    const char *name_part; /* only those whose name contains it; NULL: all */
    bool by_user;          /* only those of this user */
    uid_t user;
};

struct ebb_proc_table {
    const char *root;
    struct ebb_host host;
    struct ebb_fact uptime_ms;
    struct ebb_fact mem_total_bytes;
    struct ebb_fact max_map_count;
    uint64_t at_ns; /* of the monotonic clock */
    struct ebb_proc *procs;
    size_t count;
    size_t room;
    size_t all;      /* processes there were, shown or not */
    size_t vanished; /* that ended while they were looked at */
    struct ebb_proc_cgroups cgroups;
    bool has_cgroups;
};

/* 0, or -errno when /proc cannot be read or memory has run out. Rates are over the life of each process. */
int ebb__proc_table_look(const struct ebb_proc_ask *ask, struct ebb_proc_table *ret_table);
void ebb__proc_table_fini(struct ebb_proc_table *table);

/* The row of a process, or NULL. */
struct ebb_proc *ebb__proc_table_find(const struct ebb_proc_table *table, pid_t pid);

/* What two looks compare: counts of all rows, sorted. NULL when memory has run out, or there are none. */
struct ebb_proc_counts *ebb__proc_table_counts(const struct ebb_proc_table *table, size_t *ret_count);

/* Makes the rates of all rows those since an earlier look at `before_ns`. */
void ebb__proc_table_compare(struct ebb_proc_table *table, const struct ebb_proc_counts *before,
                             size_t before_count, uint64_t before_ns);

/* Of one process or thread. */
void ebb__proc_counts_of(const struct ebb_stat *stat, struct ebb_proc_counts *ret_counts);

uint64_t ebb__proc_now_ns(void);

#endif
