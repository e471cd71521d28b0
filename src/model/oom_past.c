/* SPDX-License-Identifier: MIT
 *
 * Why a past kill hit whom it hit; see oom_past.h.
 */
#include "model/oom_past.h"

#include <stddef.h>

struct ebb_oom_task ebb__oom_past_task(const struct ebb_oom_row *row, uint64_t page_bytes)
{
    return (struct ebb_oom_task){
        .pid = row->tgid != 0 ? row->tgid : row->pid,
        .rss_pages = row->rss_pages,
        .swap_pages = row->swap_pages,
        .table_pages =
            row->table_bytes.known ? row->table_bytes.value / page_bytes : ebb__fact_or(row->table_pages, 0),
        .adj = row->adj,
        /* The table leaves threads of the kernel out, but not init. */
        .exempt = row->pid == 1 || row->tgid == 1,
    };
}

/* By what oom_score_adj was weighed. */
static void size_group(const struct ebb_oom_kill *kill, struct ebb_fact host_swap, struct ebb_oom_past *past)
{
    uint64_t limit = kill->limit_bytes.value;
    uint64_t swap = 0;

    if (kill->swap_limit_bytes.known)
        swap = kill->swap_limit_bytes.value;
    else if (kill->memsw_limit_bytes.known && kill->memsw_limit_bytes.value > limit)
        swap = kill->memsw_limit_bytes.value - limit;
    past->total_pages = ebb__oom_group_pages(limit, swap, true, ebb__fact_or(host_swap, 0), past->page_bytes);
    if (swap != 0 && !host_swap.known)
        past->total_why = "how much swap the host had is not known";
}

static void size_host(const struct ebb_oom_kill *kill, struct ebb_oom_past *past)
{
    uint64_t reserved = ebb__fact_or(kill->reserved_pages, 0);

    if (!kill->ram_pages.known || kill->ram_pages.value < reserved) {
        past->total_why = "the report does not say how large the host is";
        return;
    }
    past->total_pages =
        kill->ram_pages.value - reserved + ebb__fact_or(kill->swap_total_bytes, 0) / past->page_bytes;
    if (kill->constraint[0] == 'C' || (kill->constraint[0] == 'M' && kill->constraint[3] == '_'))
        past->total_why = "only some nodes of the host counted";
}

static void size(const struct ebb_oom_kill *kill, struct ebb_fact host_swap, struct ebb_oom_past *past)
{
    if (kill->memcg && kill->limit_bytes.known)
        size_group(kill, host_swap, past);
    else if (kill->memcg)
        past->total_why = "the report does not say what the limit was";
    else
        size_host(kill, past);
    past->total_exact = past->total_why == NULL;
}

static bool is_victim(const struct ebb_oom_kill *kill, const struct ebb_oom_row *row)
{
    return row->pid == kill->pid || row->tgid == kill->pid;
}

static void take_second(struct ebb_oom_past *past, const struct ebb_oom_row *row, int64_t points)
{
    /* Of two that have the same the later one in the table was nearer to death. */
    if (points == EBB_OOM_POINTS_NONE || (past->has_second && points < past->second_points))
        return;
    past->has_second = true;
    past->second = *row;
    past->second_points = points;
}

static void compare(struct ebb_oom_past *past)
{
    struct ebb_oom_task victim = ebb__oom_past_task(&past->victim, past->page_bytes);
    struct ebb_oom_task second = ebb__oom_past_task(&past->second, past->page_bytes);

    past->first = past->victim_points != EBB_OOM_POINTS_NONE &&
                  (!past->has_second || past->victim_points >= past->second_points);
    if (!past->has_second || past->victim_points == EBB_OOM_POINTS_NONE)
        return;
    past->margin_pages = (uint64_t)(past->first ? past->victim_points - past->second_points
                                                : past->second_points - past->victim_points);
    past->victim_flips =
        ebb__oom_adj_below(&victim, past->second_points, past->total_pages, &past->victim_flip);
    past->second_flips =
        ebb__oom_adj_above(&second, past->victim_points, past->total_pages, &past->second_flip);
}

void ebb__oom_past_judge(const struct ebb_oom_kill *kill, struct ebb_fact host_swap_bytes,
                         uint64_t page_bytes, const struct ebb_oom_rules *rules,
                         struct ebb_oom_past *ret_past)
{
    struct ebb_oom_past past = {.page_bytes = page_bytes};
    struct ebb_fact page = ebb__oom_kill_page_bytes(kill);
    struct ebb_oom_rows rows;
    struct ebb_oom_row row;

    if (page.known) {
        past.page_bytes = page.value;
        past.page_known = true;
    }
    size(kill, host_swap_bytes, &past);
    ebb__oom_rows_init(kill, &rows);
    while (ebb__oom_rows_next(&rows, &row)) {
        struct ebb_oom_task task = ebb__oom_past_task(&row, past.page_bytes);
        int64_t points = ebb__oom_points(&task, past.total_pages, rules);

        if (!task.exempt && (!past.has_largest || row.rss_pages > past.largest.rss_pages)) {
            past.has_largest = true;
            past.largest = row;
        }
        if (is_victim(kill, &row)) {
            past.has_victim = true;
            past.victim = row;
            past.victim_points = points;
        } else {
            take_second(&past, &row, points);
        }
    }
    if (past.has_victim)
        compare(&past);
    *ret_past = past;
}
