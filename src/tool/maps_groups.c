/* SPDX-License-Identifier: MIT
 *
 * ebb maps --group: sums over the mappings of a process for each class of them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/cmd.h"
#include "tool/maps.h"

static const struct ebb_column COLUMNS[] = {
    {"pid", "PID", EBB_AS_NUMBER, 7, true, false, NULL},
    {"process", "Process", EBB_AS_TEXT, -15, true, false, NULL},
    {"class", "Class", EBB_AS_TEXT, -12, true, false, NULL},
    {"mappings", "Maps", EBB_AS_NUMBER, 6, false, false, "mappings of the class"},
    {"size_bytes", "Size", EBB_AS_BYTES, 7, false, false, "address space"},
    {"rss_bytes", "RSS", EBB_AS_BYTES, 7, false, false, "resident memory"},
    {"pss_bytes", "PSS", EBB_AS_BYTES, 7, false, false,
     "resident memory, shared pages by halves, thirds, ..."},
    {"dirty_bytes", "Dirty", EBB_AS_BYTES, 7, false, false, "Shared_Dirty and Private_Dirty"},
    {"swap_bytes", "Swap", EBB_AS_BYTES, 7, false, false, "swapped out"},
    {"thp_bytes", "THP", EBB_AS_BYTES, 7, false, false, "resident in transparent huge pages"},
    {"what", "What", EBB_AS_TEXT, 0, false, false, NULL},
};

#define COLUMN_COUNT  (sizeof(COLUMNS) / sizeof(COLUMNS[0]))
#define HUMAN_COLUMNS 2 /* people see the process in the title */

struct groups {
    const struct ebb_target *target;
    struct ebb_maps_sum sums[EBB_VMA_CLASS_COUNT];
    struct ebb_maps_sum total;
};

static int collect(const struct ebb_maps_ask *ask, struct groups *groups)
{
    static struct ebb_maps_walk walk;
    const struct ebb_maps_row *row;
    int status = ebb__maps_start(ask, groups->target, &walk);
    int got;

    if (status != EBB_EXIT_OK)
        return status;
    while ((got = ebb__maps_walk_next(&walk, &row)) > 0) {
        ebb__maps_sum_add(&groups->sums[row->verdict.vma_class], row->facts);
        ebb__maps_sum_add(&groups->total, row->facts);
    }
    return ebb__maps_finish(&walk, got, groups->total.count);
}

static void emit_row(const struct ebb_maps_ask *ask, const struct groups *groups, const char *key,
                     const struct ebb_maps_sum *sum, const char *what)
{
    struct ebb_cell cells[COLUMN_COUNT] = {
        ebb__cell_number((uint64_t)groups->target->pid),
        ebb__cell_text(groups->target->name),
        ebb__cell_text(key),
        ebb__cell_number(sum->count),
        ebb__cell_fact(sum->facts[EBB_SMAPS_SIZE]),
        ebb__cell_fact(sum->facts[EBB_SMAPS_RSS]),
        ebb__cell_fact(sum->facts[EBB_SMAPS_PSS]),
        ebb__cell_fact(ebb__smap_dirty(sum->facts)),
        ebb__cell_fact(sum->facts[EBB_SMAPS_SWAP]),
        ebb__cell_fact(ebb__smap_huge(sum->facts)),
        ebb__cell_text(what),
    };

    ebb__emit_row(ask->emit, ebb__emit_is_human(ask->emit) ? cells + HUMAN_COLUMNS : cells);
}

/* Largest resident memory first, then largest size. */
static bool is_before(const struct ebb_maps_sum *a, const struct ebb_maps_sum *b)
{
    uint64_t rss_a = ebb__fact_or(a->facts[EBB_SMAPS_RSS], 0);
    uint64_t rss_b = ebb__fact_or(b->facts[EBB_SMAPS_RSS], 0);

    if (rss_a != rss_b)
        return rss_a > rss_b;
    return a->facts[EBB_SMAPS_SIZE].value > b->facts[EBB_SMAPS_SIZE].value;
}

static void emit_groups(const struct ebb_maps_ask *ask, const struct groups *groups)
{
    unsigned order[EBB_VMA_CLASS_COUNT];
    unsigned count = 0;

    for (unsigned i = 0; i < EBB_VMA_CLASS_COUNT; i++) {
        unsigned at = count;

        if (groups->sums[i].count == 0)
            continue;
        for (; at > 0 && is_before(&groups->sums[i], &groups->sums[order[at - 1]]); at--)
            order[at] = order[at - 1];
        order[at] = i;
        count++;
    }
    for (unsigned i = 0; i < count; i++)
        emit_row(ask, groups, ebb__vma_classes[order[i]].key, &groups->sums[order[i]],
                 ebb__vma_classes[order[i]].text);
    if (ebb__emit_is_human(ask->emit) && count != 0)
        emit_row(ask, groups, "total", &groups->total, "");
}

int ebb__maps_groups(const struct ebb_maps_ask *ask)
{
    static struct ebb_section sections[2];
    bool human = ebb__emit_is_human(ask->emit);
    struct groups *groups = calloc(1, sizeof(*groups));
    int status = EBB_EXIT_OK;

    if (groups == NULL) {
        fprintf(stderr, "ebb maps: %s\n", strerror(ENOMEM));
        return EBB_EXIT_FAILED;
    }
    ebb__emit_begin(ask->emit);
    for (unsigned i = 0; i < ask->target_count; i++) {
        struct ebb_section *section = &sections[human ? i % 2 : 0];
        char title[EBB_MAPS_TITLE_BYTES];
        int found;

        memset(groups, 0, sizeof(*groups));
        groups->target = &ask->targets[i];
        found = collect(ask, groups);
        ebb__maps_title(&ask->targets[i], title);
        *section = (struct ebb_section){.key = "groups",
                                        .title = human ? title : NULL,
                                        .columns = human ? COLUMNS + HUMAN_COLUMNS : COLUMNS,
                                        .column_count = human ? COLUMN_COUNT - HUMAN_COLUMNS : COLUMN_COUNT};
        if (human ? groups->total.count != 0 : i == 0)
            ebb__emit_section(ask->emit, section);
        emit_groups(ask, groups);
        status = ebb__maps_worse(status, found);
    }
    ebb__emit_end(ask->emit);
    free(groups);
    return status;
}
