/* SPDX-License-Identifier: MIT
 *
 * ebb maps --budget: how many mappings a process has of those that it may have, what makes them so many, what fails first, and when.
 *
 * One walk over the mappings, without their pages, in constant memory. Two looks, with --between, or one after the other, with --watch,
 * tell how fast the number grows.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "model/vma_budget.h"
#include "tool/cmd.h"
#include "tool/maps.h"

/* From here on it is said what to do. */
#define HIGH_PERCENT 70

struct look {
    uint64_t at_ms; /* CLOCK_MONOTONIC; 0: none */
    uint64_t count;
};

struct item {
    const struct ebb_target *target;
    bool known;  /* the last look succeeded */
    bool failed; /* a look did not: there is no other one */
    bool by_query;
    struct ebb_vma_budget budget;
    struct ebb_vma_hints hints;
    struct ebb_fact limit;
    struct look before; /* the look before the last one */
    struct look now;
};

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void pause_ms(long ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&pause, NULL);
}

/* ---- collecting ---- */

static int walk_over(struct item *item)
{
    static struct ebb_vma_query query;
    struct ebb_vma_walk walk = {.hints = &item->hints};
    struct ebb_vma_verdict verdict;
    struct ebb_vma before = {0};
    struct ebb_map map;
    bool has_before = false;
    int got = ebb__vma_query_open(&query, item->target->root, item->target->pid, false);

    if (got != 0)
        return got;
    item->by_query = query.queries;
    while ((got = ebb__vma_query_next(&query, &map)) > 0 || got == -EBADMSG || got == -EMSGSIZE) {
        struct ebb_vma vma;

        if (got < 0)
            continue;
        ebb__vma_of(&map, query.page_bytes > (uint64_t)sysconf(_SC_PAGESIZE), &vma);
        ebb__vma_hint(&item->hints, has_before ? &before : NULL, &vma);
        before = vma;
        has_before = true;
        if (ebb__vma_push(&walk, &vma, &verdict))
            ebb__vma_budget_add(&item->budget, &verdict);
    }
    if (ebb__vma_push(&walk, NULL, &verdict))
        ebb__vma_budget_add(&item->budget, &verdict);
    ebb__vma_budget_add(&item->budget, NULL);
    ebb__vma_query_close(&query);
    return got == 0 && !has_before ? -ESRCH : got;
}

static int look_at(struct item *item)
{
    int err;

    item->known = false;
    item->budget = (struct ebb_vma_budget){0};
    item->hints = (struct ebb_vma_hints){0};
    ebb__maps_know(item->target, &item->hints, NULL);
    item->limit = ebb__file_number(item->target->root, "/proc/sys/vm/max_map_count");
    err = walk_over(item);
    item->failed = err != 0;
    if (err != 0)
        return ebb__target_failed(item->target, err);
    item->known = true;
    item->before = item->now;
    item->now = (struct look){.at_ms = now_ms(), .count = item->budget.count};
    return EBB_EXIT_OK;
}

/* ---- showing ---- */

static const struct ebb_column FACTS[] = {
    {"pid", "process", EBB_AS_NUMBER, 7, true, false, NULL},
    {"process", "name", EBB_AS_TEXT, -15, true, false, NULL},
    {"mappings", "mappings", EBB_AS_NUMBER, 8, false, false, "mappings as the kernel counts them"},
    {"limit", "limit (vm.max_map_count)", EBB_AS_NUMBER, 8, false, false, "vm.max_map_count"},
    {"used_percent", "used", EBB_AS_PERCENT, 6, false, false, "of the limit"},
    {"left", "left until a split fails", EBB_AS_NUMBER, 8, false, false, NULL},
    {"growth_per_hour", "growth in an hour", EBB_AS_NUMBER, 8, false, false, "mappings, from two looks"},
    {"limit_in_ms", "limit reached in", EBB_AS_MS, 8, false, false, "at that growth"},
    {"glibc_blocks", "glibc's mapped blocks, at least", EBB_AS_NUMBER, 8, false, false,
     "mappings of the shape of glibc's blocks"},
    {"glibc_blocks_limit", "glibc's limit for them", EBB_AS_NUMBER, 8, false, false,
     "M_MMAP_MAX, unless it was set"},
    {"main_cause", "main cause", EBB_AS_TEXT, -12, false, false, NULL},
    {"fails_first", "fails first", EBB_AS_TEXT, -24, false, false,
     "while the number rises by the main cause"},
    {"fails_first_left", "mappings until then", EBB_AS_NUMBER, 8, false, false, NULL},
    {"source", "counted by", EBB_AS_TEXT, -12, false, false, NULL},
};

static const struct ebb_column CAUSES[] = {
    {"pid", "PID", EBB_AS_NUMBER, 7, true, false, NULL},
    {"cause", "Cause", EBB_AS_TEXT, -12, true, false, NULL},
    {"mappings", "Maps", EBB_AS_NUMBER, 7, false, false, "mappings that are there for this cause"},
    {"share_percent", "Share", EBB_AS_PERCENT, 6, false, false, "of all mappings"},
    {"what", "What", EBB_AS_TEXT, 0, false, false, NULL},
};

static const struct ebb_column OPERATIONS[] = {
    {"pid", "PID", EBB_AS_NUMBER, 7, true, false, NULL},
    {"left", "Left", EBB_AS_NUMBER, 7, false, false, "mappings until the operation fails; 0: it fails now"},
    {"refused_at", "Fails at", EBB_AS_NUMBER, 8, false, false, "number of mappings from which it fails"},
    {"operation", "Operation", EBB_AS_TEXT, 0, true, false, NULL},
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* People see the process in the title. */
static struct ebb_section section_of(bool human, const char *key, const char *title,
                                     const struct ebb_column *columns, size_t count, unsigned own)
{
    return (struct ebb_section){.key = key,
                                .title = human ? title : NULL,
                                .facts = human && columns == FACTS,
                                .columns = human ? columns + own : columns,
                                .column_count = (unsigned)count - (human ? own : 0)};
}

static struct ebb_cell growth_cell(const struct item *item)
{
    double hours;

    if (item->before.at_ms == 0 || item->now.at_ms <= item->before.at_ms)
        return ebb__cell_unknown("one look; --between TIME takes two");
    hours = (double)(item->now.at_ms - item->before.at_ms) / 3600000;
    return ebb__cell_signed((int64_t)(((double)item->now.count - (double)item->before.count) / hours));
}

static struct ebb_cell time_cell(const struct item *item, uint64_t left)
{
    struct ebb_fact ms;

    if (item->before.at_ms == 0 || item->now.at_ms <= item->before.at_ms)
        return ebb__cell_unknown("one look; --between TIME takes two");
    ms = ebb__vma_budget_time_ms(left, (int64_t)item->now.count - (int64_t)item->before.count,
                                 item->now.at_ms - item->before.at_ms);
    return ms.known ? ebb__cell_number(ms.value) : ebb__cell_unknown("the number does not grow");
}

static void emit_facts(const struct ebb_maps_ask *ask, const struct item *item)
{
    uint64_t limit = item->limit.value;
    bool limited = item->limit.known && limit != 0;
    uint64_t count = item->budget.count;
    enum ebb_vma_cause cause = ebb__vma_budget_main_cause(&item->budget);
    struct ebb_vma_failure failure = ebb__vma_budget_failure(cause);
    uint64_t left = limited ? ebb__vma_budget_left(count, limit, failure.op) : 0;
    struct ebb_cell no_limit = ebb__cell_unknown(ebb__fact_why(item->limit));
    bool other = item->hints.allocators != 0;
    struct ebb_cell no_glibc = ebb__cell_unknown("another allocator's library is mapped");
    struct ebb_cell cells[] = {
        ebb__cell_number((uint64_t)item->target->pid),
        ebb__cell_text(item->target->name),
        ebb__cell_number(count),
        ebb__cell_fact(item->limit),
        limited ? ebb__cell_real(100.0 * (double)count / (double)limit) : no_limit,
        limited ? ebb__cell_number(ebb__vma_budget_left(count, limit, EBB_VMA_OP_SPLIT)) : no_limit,
        growth_cell(item),
        limited ? time_cell(item, left) : no_limit,
        other ? no_glibc : ebb__cell_number(item->budget.blocks),
        other ? no_glibc : ebb__cell_number(EBB_VMA_BLOCKS_MAX),
        ebb__cell_text(ebb__vma_causes[cause].key),
        ebb__cell_text(failure.call),
        limited ? ebb__cell_number(left) : no_limit,
        ebb__cell_text(item->by_query ? "PROCMAP_QUERY" : "maps"),
    };

    ebb__emit_row(ask->emit, ebb__emit_is_human(ask->emit) ? cells + 2 : cells);
}

static void emit_causes(const struct ebb_maps_ask *ask, const struct item *item)
{
    unsigned order[EBB_VMA_CAUSE_COUNT];
    const uint64_t *causes = item->budget.causes;
    bool human = ebb__emit_is_human(ask->emit);

    for (unsigned i = 0; i < EBB_VMA_CAUSE_COUNT; i++) {
        unsigned at = i;

        for (; at > 0 && causes[i] > causes[order[at - 1]]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    for (unsigned i = 0; i < EBB_VMA_CAUSE_COUNT; i++) {
        const struct ebb_vma_word *word = &ebb__vma_causes[order[i]];
        struct ebb_cell cells[] = {
            ebb__cell_number((uint64_t)item->target->pid),
            ebb__cell_text(word->key),
            ebb__cell_number(causes[order[i]]),
            ebb__cell_real(100.0 * (double)causes[order[i]] / (double)item->budget.count),
            ebb__cell_text(word->text),
        };

        if (causes[order[i]] != 0)
            ebb__emit_row(ask->emit, human ? cells + 1 : cells);
    }
}

static void emit_operations(const struct ebb_maps_ask *ask, const struct item *item)
{
    bool human = ebb__emit_is_human(ask->emit);

    for (unsigned op = 0; item->limit.known && op < EBB_VMA_OP_COUNT; op++) {
        uint64_t limit = item->limit.value;
        struct ebb_cell cells[] = {
            ebb__cell_number((uint64_t)item->target->pid),
            ebb__cell_number(ebb__vma_budget_left(item->budget.count, limit, (enum ebb_vma_op)op)),
            ebb__cell_number(ebb__vma_budget_left(0, limit, (enum ebb_vma_op)op)),
            ebb__cell_text(ebb__vma_op_text((enum ebb_vma_op)op)),
        };

        ebb__emit_row(ask->emit, human ? cells + 1 : cells);
    }
}

/* What it means, in sentences. */
static void emit_notes(const struct ebb_maps_ask *ask, const struct item *item)
{
    const struct ebb_vma_budget *budget = &item->budget;
    enum ebb_vma_cause cause = ebb__vma_budget_main_cause(budget);
    struct ebb_vma_failure failure = ebb__vma_budget_failure(cause);
    uint64_t limit = item->limit.value;
    uint64_t left;

    if (!item->limit.known || budget->count * 100 < limit * HIGH_PERCENT)
        return;
    left = ebb__vma_budget_left(budget->count, limit, failure.op);
    if (left == 0)
        ebb__emit_note(ask->emit, "limit",
                       "%s (pid %d): %s fails now with %s: %lu of %lu mappings, mostly %s.",
                       item->target->name, (int)item->target->pid, failure.call, failure.errno_name,
                       (unsigned long)budget->count, (unsigned long)limit, ebb__vma_causes[cause].text);
    else
        ebb__emit_note(ask->emit, "limit",
                       "%s (pid %d): %s will fail with %s after %lu more mappings; the main cause: %s.",
                       item->target->name, (int)item->target->pid, failure.call, failure.errno_name,
                       (unsigned long)left, ebb__vma_causes[cause].text);
    ebb__emit_note(
        ask->emit, "remedy",
        "Raise the limit on the host (containers share it): sysctl -w vm.max_map_count=%lu, and the same in"
        " /etc/sysctl.d; or take away the cause. A mapping costs the kernel some 200 bytes.",
        (unsigned long)(limit < 131072 ? 262144 : 2 * limit));
}

typedef void (*part_function)(const struct ebb_maps_ask *ask, const struct item *item);

static const struct part {
    const char *key;
    const char *title;
    const struct ebb_column *columns;
    size_t count;
    unsigned own; /* columns that tell the process */
    part_function emit;
} PARTS[] = {
    {"budget", NULL, FACTS, COUNT_OF(FACTS), 2, emit_facts},
    {"causes", "What they are there for", CAUSES, COUNT_OF(CAUSES), 1, emit_causes},
    {"operations", "What fails, and when", OPERATIONS, COUNT_OF(OPERATIONS), 1, emit_operations},
};

/* People see one process after the other, machines see all of them in each section. */
static void report(const struct ebb_maps_ask *ask, const struct item *items)
{
    static struct ebb_section sections[COUNT_OF(PARTS)];
    bool human = ebb__emit_is_human(ask->emit);
    unsigned rounds = human ? ask->target_count : 1;

    ebb__emit_begin(ask->emit);
    for (unsigned round = 0; round < rounds; round++) {
        unsigned first = human ? round : 0;
        unsigned end = human ? round + 1 : ask->target_count;
        char title[EBB_MAPS_TITLE_BYTES];

        if (human && !items[round].known)
            continue;
        ebb__maps_title(items[first].target, title);
        for (unsigned i = 0; i < COUNT_OF(PARTS); i++) {
            const struct part *part = &PARTS[i];

            sections[i] = section_of(human, part->key, part->title == NULL ? title : part->title,
                                     part->columns, part->count, part->own);
            ebb__emit_section(ask->emit, &sections[i]);
            for (unsigned at = first; at < end; at++)
                if (items[at].known)
                    part->emit(ask, &items[at]);
        }
        for (unsigned at = first; at < end; at++)
            if (items[at].known)
                emit_notes(ask, &items[at]);
    }
    ebb__emit_end(ask->emit);
}

static int look_at_all(const struct ebb_maps_ask *ask, struct item *items, unsigned *ret_alive)
{
    int status = EBB_EXIT_OK;

    *ret_alive = 0;
    for (unsigned i = 0; i < ask->target_count; i++) {
        if (items[i].failed)
            continue;
        status = ebb__maps_worse(status, look_at(&items[i]));
        *ret_alive += items[i].known;
    }
    return status;
}

int ebb__maps_budget(const struct ebb_maps_ask *ask)
{
    struct item *items = calloc(ask->target_count, sizeof(*items));
    unsigned alive = 0;
    int status;

    if (items == NULL) {
        fprintf(stderr, "ebb maps: %s\n", strerror(ENOMEM));
        return EBB_EXIT_FAILED;
    }
    for (unsigned i = 0; i < ask->target_count; i++)
        items[i].target = &ask->targets[i];
    status = look_at_all(ask, items, &alive);
    if (ask->between_ms > 0 && alive != 0) {
        pause_ms(ask->between_ms);
        status = ebb__maps_worse(status, look_at_all(ask, items, &alive));
    }
    if (alive != 0)
        report(ask, items);
    /* Ends when all processes have, which is then no failure. */
    while (ask->watch_ms > 0 && alive != 0 && !ferror(stdout)) {
        pause_ms(ask->watch_ms);
        look_at_all(ask, items, &alive);
        if (alive != 0)
            report(ask, items);
    }
    free(items);
    return status;
}
