/* SPDX-License-Identifier: MIT
 *
 * From page and /proc to figures; see heap_facts.h.
 */
#include "tool/heap_facts.h"

#include <errno.h>

static struct ebb_heap_value unknown(const char *why)
{
    return (struct ebb_heap_value){.unknown = why};
}

static struct ebb_heap_value known(uint64_t bytes)
{
    return (struct ebb_heap_value){.bytes = bytes};
}

static struct ebb_heap_value with_blocks(uint64_t bytes, uint64_t blocks)
{
    return (struct ebb_heap_value){.bytes = bytes, .has_blocks = true, .blocks = blocks};
}

static uint64_t row_value(const struct ebb_wire_view *view, const char *name)
{
    struct ebb_wire_row_view row;

    return ebb__wire_find(view, name, &row) ? row.value : 0;
}

/* The background thread writes this gauge with the summary; the heap of a process that runs is never 0 bytes. */
static struct ebb_heap_value gauge(const struct ebb_wire_view *view, const char *name, const char *no_summary)
{
    struct ebb_wire_row_view row;

    if (!ebb__wire_find(view, name, &row))
        return unknown("this version of the library does not have it");
    return row.value == 0 && no_summary != NULL ? unknown(no_summary) : known(row.value);
}

/* Blocks that are out of slabs and spans, whether a program or a cache holds them. */
static struct ebb_heap_value handed_out(const struct ebb_wire_view *view)
{
    uint64_t bytes = row_value(view, "span_bytes");
    uint64_t blocks = row_value(view, "span_blocks");
    bool any = blocks != 0;

    for (unsigned i = 0; i < view->class_count; i++) {
        struct ebb_wire_class c;
        uint64_t out;

        ebb__wire_class(view, i, &c);
        any = any || c.bytes != 0;
        if (c.internal)
            continue;
        /* The two numbers are read at two moments. */
        out = c.taken_blocks >= c.given_blocks ? c.taken_blocks - c.given_blocks : 0;
        blocks += out;
        bytes += out * c.bytes;
    }
    return any ? with_blocks(bytes, blocks) : unknown("the library has not counted any block");
}

int ebb__heap_facts(const struct ebb_target *target, const struct ebb_page *page, uint64_t now_ms,
                    struct ebb_heap_facts *ret_facts)
{
    const struct ebb_wire_view *view = &page->view;
    const struct ebb_wire_summary *summary = &view->summary;
    struct ebb_heap_facts facts = {.target = target, .page = page};
    struct ebb_heap_value *figures = facts.figures;
    struct ebb_status status;
    int err = ebb__status_read("", target->pid, &status);

    if (err != 0)
        return err == -ENOENT ? -ESRCH : err;
    err = ebb__background_look(page, &facts.background);
    if (err != 0)
        return err;

    if (view->torn)
        facts.no_summary = "it was being written while the process was looked at";
    else if (summary->updated_ms == 0)
        facts.no_summary = facts.background.state == EBB_BACKGROUND_LISTENS
                               ? "not written yet"
                               : "there is no background thread to write it";
    facts.has_age = facts.no_summary == NULL && summary->updated_ms <= now_ms;
    facts.age_ms = facts.has_age ? now_ms - summary->updated_ms : 0;

    figures[EBB_HEAP_RSS] = ebb__status_has(&status, EBB_STATUS_VM_RSS) ? known(status.vm_rss_bytes)
                                                                        : unknown("the kernel does not tell");
    figures[EBB_HEAP_OUT] = handed_out(view);
    figures[EBB_HEAP_LIVE] = facts.no_summary != NULL
                                 ? unknown(facts.no_summary)
                                 : with_blocks(summary->live_bytes, summary->live_blocks);
    figures[EBB_HEAP_CACHED] = facts.no_summary != NULL
                                   ? unknown(facts.no_summary)
                                   : with_blocks(summary->cached_bytes, summary->cached_blocks);
    figures[EBB_HEAP_DIRTY] = gauge(view, "dirty_bytes", facts.no_summary);
    figures[EBB_HEAP_BACKED] = gauge(view, "backed_bytes", facts.no_summary);
    figures[EBB_HEAP_COMMITTED] = gauge(view, "committed_bytes", facts.no_summary);
    figures[EBB_HEAP_RESERVED] = gauge(view, "reserved_bytes", facts.no_summary);
    facts.lane_blocks = row_value(view, "lane_blocks");
    *ret_facts = facts;
    return 0;
}
