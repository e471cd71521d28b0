/* SPDX-License-Identifier: MIT
 *
 * The figures of `ebb heap` for people and for programs; see heap_facts.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/units.h"
#include "tool/heap_facts.h"
#include "tool/json.h"

static const struct {
    const char *label;
    const char *key; /* in JSON, in front of _bytes and _blocks */
    const char *what;
    bool has_blocks;
} FIGURES[EBB_HEAP_FIGURE_COUNT] = {
    [EBB_HEAP_RSS] = {"RSS", "rss", "resident memory of the whole process", false},
    [EBB_HEAP_OUT] = {"handed out", "handed_out", "held by the program and by caches", true},
    [EBB_HEAP_LIVE] = {"live", "live", "held by the program", true},
    [EBB_HEAP_CACHED] = {"cached", "cached", "held by thread caches and depot", true},
    [EBB_HEAP_DIRTY] = {"free, backed", "dirty", "free units that still have memory; a trim gives it back",
                        false},
    [EBB_HEAP_BACKED] = {"backed", "backed", "all units that may have memory", false},
    [EBB_HEAP_COMMITTED] = {"committed", "committed", "readable and writable address space", false},
    [EBB_HEAP_RESERVED] = {"reserved", "reserved", "address space taken; costs nothing", false},
};

static const char *activity_name(char activity)
{
    switch (activity) {
    case 'R':
        return "running";
    case 'S':
        return "sleeping";
    case 'D':
        return "waiting in the kernel";
    case 'T':
    case 't':
        return "stopped";
    default:
        return "state unknown";
    }
}

/* ---- text ---- */

static void print_figures(const struct ebb_heap_facts *facts)
{
    char size[EBB_UNITS_BYTES];

    for (unsigned i = 0; i < EBB_HEAP_FIGURE_COUNT; i++) {
        const struct ebb_heap_value *value = &facts->figures[i];

        if (value->unknown != NULL)
            printf("%-13s %12s  %s\n", FIGURES[i].label, "-", value->unknown);
        else if (value->has_blocks)
            printf("%-13s %12s  %s, %" PRIu64 " blocks\n", FIGURES[i].label,
                   ebb__units_bytes(value->bytes, size), FIGURES[i].what, value->blocks);
        else
            printf("%-13s %12s  %s\n", FIGURES[i].label, ebb__units_bytes(value->bytes, size),
                   FIGURES[i].what);
    }
    if (facts->lane_blocks != 0)
        printf("%-13s %12" PRIu64
               "  blocks with a mapping of their own, in none of the figures above but RSS and live\n",
               "lane", facts->lane_blocks);
}

static void print_background(const struct ebb_heap_facts *facts)
{
    const struct ebb_background *background = &facts->background;
    const struct ebb_wire_summary *summary = &facts->page->view.summary;
    char age[EBB_UNITS_BYTES];

    putchar('\n');
    if (background->state == EBB_BACKGROUND_LISTENS)
        printf("%-13s thread %d, %s\n", "background", (int)background->tid,
               activity_name(background->activity));
    else
        printf("%-13s %12s  %s\n", "background", "-", ebb__background_why(background->state));
    if (facts->no_summary != NULL)
        printf("%-13s %12s  %s\n", "summary", "-", facts->no_summary);
    else
        printf("%-13s %s%s, tick %" PRIu64 ", pressure level %" PRIu64 "\n", "summary",
               facts->has_age ? ebb__units_ms(facts->age_ms, age) : "of unknown age",
               facts->has_age ? " old" : "", summary->ticks, summary->level);
}

static void print_classes(const struct ebb_wire_view *view)
{
    bool any = false;

    for (unsigned i = 0; i < view->class_count; i++) {
        struct ebb_wire_class c;
        char size[EBB_UNITS_BYTES];
        uint64_t out;

        ebb__wire_class(view, i, &c);
        if (c.bytes == 0 || c.taken_blocks == 0)
            continue;
        if (!any)
            printf("\n%10s %14s %12s %16s %16s\n", "class", "blocks out", "bytes out", "taken", "given back");
        any = true;
        out = c.taken_blocks >= c.given_blocks ? c.taken_blocks - c.given_blocks : 0;
        printf("%10" PRIu32 " %14" PRIu64 " %12s %16" PRIu64 " %16" PRIu64 "%s\n", c.bytes, out,
               ebb__units_bytes(out * c.bytes, size), c.taken_blocks, c.given_blocks,
               c.internal ? "  the library's own" : "");
    }
    if (!any)
        printf("\n%-13s %12s  %s\n", "classes", "-", "the library has not counted any block");
}

static void print_counters(const struct ebb_wire_view *view)
{
    printf("\n%-24s %20s %s\n", "counter", "value", "unit");
    for (unsigned i = 0; i < view->row_count; i++) {
        struct ebb_wire_row_view row;

        ebb__wire_row(view, i, &row);
        printf("%-24s %20" PRIu64 " %s%s\n", row.name, row.value, row.unit, row.is_gauge ? ", now" : "");
    }
}

void ebb__heap_print_text(const struct ebb_heap_facts *facts, struct ebb_heap_parts parts)
{
    const struct ebb_wire_view *view = &facts->page->view;

    printf("%s (pid %d) has ebb %s, %s\n\n", facts->target->name, (int)facts->target->pid, view->library,
           facts->page->library);
    print_figures(facts);
    print_background(facts);
    if (parts.classes)
        print_classes(view);
    if (parts.counters)
        print_counters(view);
    if (view->version > EBB_WIRE_VERSION)
        printf("\nThe library is newer than this command, and may tell more than is shown.\n");
}

/* ---- JSON ---- */

static void json_figures(struct ebb_json *json, const struct ebb_heap_facts *facts)
{
    char key[64];

    for (unsigned i = 0; i < EBB_HEAP_FIGURE_COUNT; i++) {
        const struct ebb_heap_value *value = &facts->figures[i];

        snprintf(key, sizeof(key), "%s_bytes", FIGURES[i].key);
        if (value->unknown != NULL)
            ebb__json_null(json, key);
        else
            ebb__json_number(json, key, value->bytes);
        if (!FIGURES[i].has_blocks)
            continue;
        snprintf(key, sizeof(key), "%s_blocks", FIGURES[i].key);
        if (value->unknown != NULL)
            ebb__json_null(json, key);
        else
            ebb__json_number(json, key, value->blocks);
    }
    ebb__json_number(json, "lane_blocks", facts->lane_blocks);
    ebb__json_open(json, "unknown", '{');
    for (unsigned i = 0; i < EBB_HEAP_FIGURE_COUNT; i++)
        if (facts->figures[i].unknown != NULL)
            ebb__json_string(json, FIGURES[i].key, facts->figures[i].unknown);
    ebb__json_close(json, '{');
}

static void json_background(struct ebb_json *json, const struct ebb_heap_facts *facts)
{
    const struct ebb_background *background = &facts->background;
    const struct ebb_wire_summary *summary = &facts->page->view.summary;
    bool listens = background->state == EBB_BACKGROUND_LISTENS;

    if (listens) {
        ebb__json_open(json, "background", '{');
        ebb__json_number(json, "tid", (uint64_t)background->tid);
        ebb__json_string(json, "activity", activity_name(background->activity));
        ebb__json_close(json, '{');
    } else {
        ebb__json_null(json, "background");
        ebb__json_string(json, "no_background", ebb__background_why(background->state));
    }
    if (facts->no_summary != NULL) {
        ebb__json_null(json, "summary");
        return;
    }
    ebb__json_open(json, "summary", '{');
    if (facts->has_age)
        ebb__json_number(json, "age_ms", facts->age_ms);
    else
        ebb__json_null(json, "age_ms");
    ebb__json_number(json, "ticks", summary->ticks);
    ebb__json_number(json, "level", summary->level);
    ebb__json_close(json, '{');
}

static void json_tables(struct ebb_json *json, const struct ebb_wire_view *view)
{
    ebb__json_open(json, "classes", '[');
    for (unsigned i = 0; i < view->class_count; i++) {
        struct ebb_wire_class c;

        ebb__wire_class(view, i, &c);
        if (c.bytes == 0)
            continue;
        ebb__json_open(json, NULL, '{');
        ebb__json_number(json, "bytes", c.bytes);
        ebb__json_bool(json, "internal", c.internal != 0);
        ebb__json_number(json, "taken_blocks", c.taken_blocks);
        ebb__json_number(json, "given_blocks", c.given_blocks);
        ebb__json_close(json, '{');
    }
    ebb__json_close(json, '[');
    ebb__json_open(json, "counters", '[');
    for (unsigned i = 0; i < view->row_count; i++) {
        struct ebb_wire_row_view row;

        ebb__wire_row(view, i, &row);
        ebb__json_open(json, NULL, '{');
        ebb__json_string(json, "name", row.name);
        ebb__json_string(json, "unit", row.unit);
        ebb__json_bool(json, "gauge", row.is_gauge);
        ebb__json_number(json, "value", row.value);
        ebb__json_close(json, '{');
    }
    ebb__json_close(json, '[');
}

void ebb__heap_print_json(const struct ebb_heap_facts *facts)
{
    const struct ebb_wire_view *view = &facts->page->view;
    struct ebb_json json = {.stream = stdout};

    ebb__json_open(&json, NULL, '{');
    ebb__json_number(&json, "pid", (uint64_t)facts->target->pid);
    ebb__json_string(&json, "name", facts->target->name);
    ebb__json_string(&json, "library", facts->page->library);
    ebb__json_string(&json, "library_version", view->library);
    ebb__json_number(&json, "page_version", view->version);
    json_figures(&json, facts);
    json_background(&json, facts);
    ebb__json_number(&json, "control_done", view->control_done);
    ebb__json_signed(&json, "control_result", view->control_result);
    json_tables(&json, view);
    ebb__json_close(&json, '{');
    putchar('\n');
}
