/* SPDX-License-Identifier: MIT
 *
 * Why a past kill hit whom it hit: the kernel's arithmetic once more, over the table that it printed.
 */
#ifndef EBB_MODEL_OOM_PAST_H
#define EBB_MODEL_OOM_PAST_H

#include "model/oom.h"
#include "probe/oom_log.h"

struct ebb_oom_past {
    uint64_t page_bytes;
    bool page_known; /* told by the log, not assumed */
    uint64_t total_pages;
    bool total_exact;      /* else why not: */
    const char *total_why; /* NULL when exact */

    bool has_victim; /* found in the table; the rest depends on it */
    struct ebb_oom_row victim;
    int64_t victim_points;
    bool has_second; /* the best of the others */
    struct ebb_oom_row second;
    int64_t second_points;
    bool has_largest; /* by resident pages; may be the victim */
    struct ebb_oom_row largest;
    bool first; /* the victim had most points, as the kernel chooses */
    uint64_t margin_pages;
    bool victim_flips; /* with this oom_score_adj of the victim the second would have been killed */
    int victim_flip;
    bool second_flips; /* or with this one of the second */
    int second_flip;
};

/* `host_swap_bytes` is the swap of the host that wrote the log, where it is known; `page_bytes` the size of its pages, when the log does not
 * tell it. */
void ebb__oom_past_judge(const struct ebb_oom_kill *kill, struct ebb_fact host_swap_bytes,
                         uint64_t page_bytes, const struct ebb_oom_rules *rules,
                         struct ebb_oom_past *ret_past);

/* The pages that count for a row. */
struct ebb_oom_task ebb__oom_past_task(const struct ebb_oom_row *row, uint64_t page_bytes);

#endif
