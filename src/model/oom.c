/* SPDX-License-Identifier: MIT
 *
 * Whom the kernel kills when memory has run out; see oom.h.
 */
#include "model/oom.h"

/* Of each counter a processor may hold back this many pages, or twice the number of processors. */
#define BATCH_PAGES 32

/* Before 6.2 a thread told its process after this many changes of a counter. */
#define THREAD_PAGES 64

/* Counters that make up the points: resident pages of three kinds, and those in swap. */
#define RESIDENT_COUNTERS 3

static uint64_t add(uint64_t a, uint64_t b)
{
    uint64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static uint64_t sub(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t ebb__oom_host_pages(uint64_t ram_bytes, uint64_t swap_bytes, uint64_t page_bytes)
{
    return ram_bytes / page_bytes + swap_bytes / page_bytes;
}

uint64_t ebb__oom_group_pages(uint64_t limit_bytes, uint64_t swap_limit_bytes, bool swaps,
                              uint64_t host_swap_bytes, uint64_t page_bytes)
{
    uint64_t swap_bytes = swaps ? least(swap_limit_bytes, host_swap_bytes) : 0;

    return limit_bytes / page_bytes + swap_bytes / page_bytes;
}

/* ---- points ---- */

/* The pages of a process, as a number that sums with a sign cannot overflow: no machine has 2^52 pages. */
static int64_t pages_of(const struct ebb_oom_task *task)
{
    uint64_t pages = add(add(task->rss_pages, task->swap_pages), task->table_pages);

    return (int64_t)least(pages, UINT64_C(1) << 52);
}

/* What one step of oom_score_adj weighs. */
static int64_t step_of(uint64_t total_pages)
{
    return (int64_t)(least(total_pages, UINT64_C(1) << 52) / 1000);
}

static bool is_exempt(const struct ebb_oom_task *task)
{
    return task->exempt || task->adj <= EBB_OOM_ADJ_MIN;
}

int64_t ebb__oom_points(const struct ebb_oom_task *task, uint64_t total_pages,
                        const struct ebb_oom_rules *rules)
{
    int64_t points;

    if (is_exempt(task))
        return EBB_OOM_POINTS_NONE;
    points = pages_of(task) + task->adj * step_of(total_pages);
    return rules->clamps && points < 1 ? 1 : points;
}

uint64_t ebb__oom_score(int64_t points, uint64_t total_pages, const struct ebb_oom_rules *rules)
{
    int64_t total = (int64_t)least(total_pages, UINT64_C(1) << 52);
    int64_t score;

    if (points == EBB_OOM_POINTS_NONE || total == 0)
        return 0;
    score = points * 1000 / total;
    if (!rules->clamps)
        score = (1000 + score) * 2 / 3;
    return score < 0 ? 0 : (uint64_t)score;
}

uint64_t ebb__oom_error_pages(const struct ebb_oom_task *task, const struct ebb_oom_rules *rules)
{
    uint64_t processors = rules->processors == 0 ? 1 : rules->processors;
    uint64_t counters = RESIDENT_COUNTERS + (task->swap_pages != 0);
    uint64_t batch = 2 * processors > BATCH_PAGES ? 2 * processors : BATCH_PAGES;

    if (rules->thread_caches)
        return counters * THREAD_PAGES * (task->thread_count == 0 ? 1 : least(task->thread_count, 1 << 22));
    return counters * batch * processors;
}

bool ebb__oom_before(const struct ebb_oom_task *a, const struct ebb_oom_task *b, uint64_t total_pages,
                     const struct ebb_oom_rules *rules)
{
    int64_t a_points = ebb__oom_points(a, total_pages, rules);
    int64_t b_points = ebb__oom_points(b, total_pages, rules);

    if (a_points != b_points)
        return a_points > b_points;
    if (a->start != b->start)
        return rules->earlier_wins ? a->start < b->start : a->start > b->start;
    return rules->earlier_wins ? a->pid < b->pid : a->pid > b->pid;
}

/* ---- the choice ---- */

/* Between two sums of pages; neither is far from 0, so the difference fits. */
static uint64_t apart(int64_t a, int64_t b)
{
    return a > b ? (uint64_t)(a - b) : (uint64_t)(b - a);
}

static void measure(const struct ebb_oom_task *tasks, size_t count, uint64_t total_pages,
                    const struct ebb_oom_rules *rules, struct ebb_oom_choice *choice)
{
    const struct ebb_oom_task *victim = &tasks[choice->victim];
    uint64_t error = ebb__oom_error_pages(victim, rules);

    choice->victim_points = ebb__oom_points(victim, total_pages, rules);
    if (choice->second < count) {
        choice->second_points = ebb__oom_points(&tasks[choice->second], total_pages, rules);
        choice->margin_pages = apart(choice->victim_points, choice->second_points);
        choice->error_pages = error + ebb__oom_error_pages(&tasks[choice->second], rules);
    }
    for (size_t i = 0; i < count; i++) {
        if (i == choice->victim || is_exempt(&tasks[i]))
            continue;
        if (apart(choice->victim_points, ebb__oom_points(&tasks[i], total_pages, rules)) <=
            error + ebb__oom_error_pages(&tasks[i], rules))
            choice->near++;
    }
    choice->tie = choice->near != 0;
}

void ebb__oom_choose(const struct ebb_oom_task *tasks, size_t count, uint64_t total_pages,
                     const struct ebb_oom_rules *rules, struct ebb_oom_choice *ret_choice)
{
    struct ebb_oom_choice choice = {.victim = count,
                                    .second = count,
                                    .largest = count,
                                    .victim_points = EBB_OOM_POINTS_NONE,
                                    .second_points = EBB_OOM_POINTS_NONE};

    for (size_t i = 0; i < count; i++) {
        if (tasks[i].exempt)
            continue;
        if (choice.largest == count || tasks[i].rss_pages > tasks[choice.largest].rss_pages)
            choice.largest = i;
        if (is_exempt(&tasks[i]))
            continue;
        if (choice.victim == count || ebb__oom_before(&tasks[i], &tasks[choice.victim], total_pages, rules)) {
            choice.second = choice.victim;
            choice.victim = i;
        } else if (choice.second == count ||
                   ebb__oom_before(&tasks[i], &tasks[choice.second], total_pages, rules)) {
            choice.second = i;
        }
    }
    if (choice.victim < count)
        measure(tasks, count, total_pages, rules, &choice);
    *ret_choice = choice;
}

/* ---- what would change it ---- */

/* Rounded towards minus infinity. */
static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

bool ebb__oom_adj_below(const struct ebb_oom_task *task, int64_t points, uint64_t total_pages, int *ret_adj)
{
    int64_t step = step_of(total_pages);
    int64_t adj;

    if (step == 0 || is_exempt(task) || points == EBB_OOM_POINTS_NONE ||
        pages_of(task) + task->adj * step < points)
        return false;
    /* pages + adj * step <= points - 1 */
    adj = floor_div(points - 1 - pages_of(task), step);
    if (adj <= EBB_OOM_ADJ_MIN)
        return false;
    *ret_adj = (int)adj;
    return true;
}

bool ebb__oom_adj_above(const struct ebb_oom_task *task, int64_t points, uint64_t total_pages, int *ret_adj)
{
    int64_t step = step_of(total_pages);
    int64_t adj;

    if (step == 0 || is_exempt(task) || points == EBB_OOM_POINTS_NONE ||
        pages_of(task) + task->adj * step > points)
        return false;
    /* pages + adj * step >= points + 1 */
    adj = -floor_div(pages_of(task) - points - 1, step);
    if (adj > EBB_OOM_ADJ_MAX)
        return false;
    *ret_adj = (int)adj;
    return true;
}

int ebb__oom_adj_from_old(int old)
{
    if (old >= EBB_OOM_OLD_MAX)
        return EBB_OOM_ADJ_MAX;
    return old <= EBB_OOM_OLD_MIN ? EBB_OOM_ADJ_MIN : old * EBB_OOM_ADJ_MAX / -EBB_OOM_OLD_MIN;
}

int ebb__oom_adj_to_old(int adj)
{
    int old = adj * -EBB_OOM_OLD_MIN / EBB_OOM_ADJ_MAX;

    return adj >= EBB_OOM_ADJ_MAX || old > EBB_OOM_OLD_MAX ? EBB_OOM_OLD_MAX : old;
}

/* ---- room ---- */

void ebb__oom_room(const struct ebb_oom_usage *usage, struct ebb_oom_room *ret_room)
{
    uint64_t hard = sub(usage->limit_bytes, usage->usage_bytes);
    /* Half of the active file pages and of the slab: reclaim gets at them slowly, or the program wants them back at once. */
    uint64_t gives =
        add(usage->inactive_file_bytes, usage->active_file_bytes / 2 + usage->slab_reclaimable_bytes / 2);

    ret_room->hard_bytes = hard;
    ret_room->likely_bytes = add(hard, sub(gives, add(usage->dirty_bytes, usage->writeback_bytes)));
    ret_room->possible_bytes = add(ret_room->likely_bytes, usage->swap_free_bytes);
}
