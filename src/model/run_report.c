/* SPDX-License-Identifier: MIT
 *
 * The processes of a report in order, and what their figures add up to; see run_report.h.
 */
#include "model/run_report.h"

#include <stdlib.h>

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* What heap memory went back under pressure is among what the kernel got; what shrinkers gave need not be. The kinds that are the
 * heap's own come first in the table: free memory, caches, slabs. */
#define HEAP_KINDS 3u

static void add_up(struct ebb_run_process *p)
{
    uint64_t of_heap = 0;

    for (unsigned i = 0; i < p->is.give_count; i++) {
        struct ebb_report_sum_view give;

        ebb__wire_report_give(&p->is, i, &give);
        p->pressure_bytes += give.bytes;
        if (i < HEAP_KINDS)
            of_heap += give.bytes;
    }
    p->looks = ebb__wire_report_value(&p->is, "limit_looks");
    p->hits = ebb__wire_report_value(&p->is, "limit_hits");
    p->kernel_bytes = ebb__wire_report_value(&p->is, "purged_bytes");
    p->limit_bytes = ebb__wire_report_value(&p->is, "limit_purged_bytes");
    p->quiet_bytes = less(less(p->kernel_bytes, p->limit_bytes), of_heap);
}

/* Numbers are given out in the order in which slots are claimed, and a process claims one after the other: the clock is too coarse
 * for programs that execute each other. */
static int compare(const void *a, const void *b)
{
    const struct ebb_run_process *left = a;
    const struct ebb_run_process *right = b;
    bool own_left = left->is.role != EBB_REPORT_OTHER;
    bool own_right = right->is.role != EBB_REPORT_OTHER;

    if (own_left != own_right)
        return own_left ? -1 : 1;
    if (own_left)
        return left->number > right->number ? -1 : 1;
    if (left->is.start_ms != right->is.start_ms)
        return left->is.start_ms < right->is.start_ms ? -1 : 1;
    return left->number < right->number ? -1 : 1;
}

/* A process that executes a program leaves the slot of the one before as it was. */
static void mark_replaced(struct ebb_run_report *report)
{
    for (unsigned i = 0; i < report->count; i++)
        for (unsigned j = 0; j < report->count; j++) {
            struct ebb_run_process *then = &report->processes[i];
            const struct ebb_run_process *later = &report->processes[j];

            if (then->is.pid == later->is.pid && then->is.ended_ms == 0 && later->number > then->number)
                then->replaced = true;
        }
    for (unsigned i = 0; i < report->count; i++) {
        struct ebb_run_process *p = &report->processes[i];

        p->silent = p->replaced && p->looks == 0 && p->is.refusals == 0 && p->kernel_bytes == 0 &&
                    p->is.record_count == 0;
    }
}

void ebb__run_report_order(const struct ebb_report_view *view, struct ebb_run_report *ret_report)
{
    memset(ret_report, 0, sizeof(*ret_report));
    ret_report->opened = view->opened;
    ret_report->turned_away = view->turned_away;
    for (unsigned i = 0; i < view->slot_count; i++) {
        struct ebb_run_process p = {.number = i};
        int rc = ebb__wire_report_slot(view, i, &p.is);

        if (rc == -EBADMSG)
            ret_report->damaged++;
        if (rc != 0)
            continue;
        if (ret_report->count == EBB_RUN_PROCESSES_MAX) {
            ret_report->left_out++;
            continue;
        }
        add_up(&p);
        ret_report->own_count += p.is.role != EBB_REPORT_OTHER;
        ret_report->processes[ret_report->count++] = p;
    }
    qsort(ret_report->processes, ret_report->count, sizeof(ret_report->processes[0]), compare);
    mark_replaced(ret_report);
}

const char *ebb__run_report_level(unsigned level)
{
    static const char *const NAMES[] = {"green", "yellow", "orange", "red"};

    return level < sizeof(NAMES) / sizeof(NAMES[0]) ? NAMES[level] : "unknown";
}

uint64_t ebb__run_report_after(const struct ebb_report_process *process, uint64_t at_ms)
{
    return less(at_ms, process->start_ms);
}
