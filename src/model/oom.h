/* SPDX-License-Identifier: MIT
 *
 * Whom the kernel kills when memory has run out, and why: its own arithmetic, from what can be seen from outside.
 *
 * Memory runs out within a scope: the host, or a memory cgroup with a limit. Each process of the scope has points: the pages that its end would
 * give back (resident, swapped out, page tables), plus oom_score_adj times a thousandth of all pages of the scope. Who has most of
 * them is killed; of two that have the same, the later one in the kernel's list. oom_score is something else: the points
 * that a process would have within the host, in parts of a thousand, so the highest oom_score need not be the victim within a cgroup.
 *
 * What the kernel knows and we do not: whether a process was a victim already, or sits in a vfork. What we know better: it adds up
 * counters that each processor, or each thread before Linux 6.2, may hold back a part of; /proc tells them exactly. Two processes whose points
 * are nearer to each other than both errors can be killed in either order.
 */
#ifndef EBB_MODEL_OOM_H
#define EBB_MODEL_OOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EBB_OOM_ADJ_MIN (-1000) /* never killed */
#define EBB_OOM_ADJ_MAX 1000
#define EBB_OOM_OLD_MIN (-17)
#define EBB_OOM_OLD_MAX 15

struct ebb_oom_task {
    int pid;
    uint64_t start; /* the later of two with the same points is killed */
    uint64_t rss_pages;
    uint64_t swap_pages;
    uint64_t table_pages;
    uint64_t thread_count;
    int adj;
    bool exempt; /* init, a thread of the kernel, a process without memory */
};

/* What differs between kernels. */
struct ebb_oom_rules {
    bool clamps;        /* before 5.9: points below 1 count as 1, and oom_score is 0 to 1000, not 0 to 1333 */
    bool thread_caches; /* before 6.2: counters err by the thread, not by the processor */
    bool earlier_wins;  /* before 5.3, about: of two that have the same points the earlier one is killed */
    uint64_t processors; /* 0: not known, taken for one */
};

#define EBB_OOM_POINTS_NONE INT64_MIN /* cannot be killed */

/* The pages of a scope. `page_bytes` must not be 0. */
uint64_t ebb__oom_host_pages(uint64_t ram_bytes, uint64_t swap_bytes, uint64_t page_bytes);

/* Of a memory cgroup: `swap_limit_bytes` is of swap alone (version 1: what memsw allows above the limit). `swaps` is false when version 1's
 * memory.swappiness is 0, where its swap does not count. */
uint64_t ebb__oom_group_pages(uint64_t limit_bytes, uint64_t swap_limit_bytes, bool swaps,
                              uint64_t host_swap_bytes, uint64_t page_bytes);

/* The points of a process, or EBB_OOM_POINTS_NONE. */
int64_t ebb__oom_points(const struct ebb_oom_task *task, uint64_t total_pages,
                        const struct ebb_oom_rules *rules);

/* What /proc/PID/oom_score says for these points among `total_pages` of the host. */
uint64_t ebb__oom_score(int64_t points, uint64_t total_pages, const struct ebb_oom_rules *rules);

/* By how many pages the kernel's own sum of a process may differ from that of /proc. */
uint64_t ebb__oom_error_pages(const struct ebb_oom_task *task, const struct ebb_oom_rules *rules);

/* True when `a` is killed before `b`. */
bool ebb__oom_before(const struct ebb_oom_task *a, const struct ebb_oom_task *b, uint64_t total_pages,
                     const struct ebb_oom_rules *rules);

/* The first two, as indices; `count` when there is none. */
struct ebb_oom_choice {
    size_t victim;
    size_t second;
    size_t largest; /* by resident pages alone */
    int64_t victim_points;
    int64_t second_points;
    uint64_t margin_pages; /* between the two */
    uint64_t error_pages;  /* of their difference */
    bool tie;              /* the margin is within the error: the second may be killed instead */
    unsigned near;         /* how many others lie within the error of the victim */
};

void ebb__oom_choose(const struct ebb_oom_task *tasks, size_t count, uint64_t total_pages,
                     const struct ebb_oom_rules *rules, struct ebb_oom_choice *ret_choice);

/* The largest oom_score_adj with which `task` falls below `points`, or the smallest with which it rises above them. False when
 * none does, within -999 to 1000, or when it is that way already. */
bool ebb__oom_adj_below(const struct ebb_oom_task *task, int64_t points, uint64_t total_pages, int *ret_adj);
bool ebb__oom_adj_above(const struct ebb_oom_task *task, int64_t points, uint64_t total_pages, int *ret_adj);

/* Between oom_score_adj, -1000 to 1000, and the old oom_adj, -17 to 15, as the kernel does it. */
int ebb__oom_adj_from_old(int old);
int ebb__oom_adj_to_old(int adj);

/* How much memory a scope has left, three ways: without any reclaim, with what reclaim will
 * likely give, and with swap. */
struct ebb_oom_room {
    uint64_t hard_bytes;
    uint64_t likely_bytes;
    uint64_t possible_bytes;
};

struct ebb_oom_usage {
    uint64_t limit_bytes;
    uint64_t usage_bytes;
    uint64_t inactive_file_bytes;
    uint64_t active_file_bytes;
    uint64_t slab_reclaimable_bytes;
    uint64_t dirty_bytes;
    uint64_t writeback_bytes;
    uint64_t swap_free_bytes; /* that this scope may use */
};

void ebb__oom_room(const struct ebb_oom_usage *usage, struct ebb_oom_room *ret_room);

#endif
