/* SPDX-License-Identifier: MIT
 *
 * What `ebb heap` says about a process: figures with the reason where one is not known, and both ways to print them.
 */
#ifndef EBB_TOOL_HEAP_FACTS_H
#define EBB_TOOL_HEAP_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "tool/background.h"
#include "tool/page.h"
#include "tool/target.h"

/* In the order in which they are printed. */
enum ebb_heap_figure {
    EBB_HEAP_RSS,
    EBB_HEAP_OUT,
    EBB_HEAP_LIVE,
    EBB_HEAP_CACHED,
    EBB_HEAP_DIRTY,
    EBB_HEAP_BACKED,
    EBB_HEAP_COMMITTED,
    EBB_HEAP_RESERVED,
    EBB_HEAP_FIGURE_COUNT
};

struct ebb_heap_value {
    const char *unknown; /* why there is no figure; NULL when there is */
    uint64_t bytes;
    bool has_blocks;
    uint64_t blocks;
};

struct ebb_heap_facts {
    const struct ebb_target *target;
    const struct ebb_page *page;
    struct ebb_background background;
    struct ebb_heap_value figures[EBB_HEAP_FIGURE_COUNT];
    uint64_t lane_blocks; /* not among the figures, because only their number is known */
    const char *no_summary;
    bool has_age;
    uint64_t age_ms; /* of the summary */
};

/* Puts together what the page and /proc say. `now_ms` is CLOCK_MONOTONIC. 0, or -errno when the process has ended. */
int ebb__heap_facts(const struct ebb_target *target, const struct ebb_page *page, uint64_t now_ms,
                    struct ebb_heap_facts *ret_facts);

struct ebb_heap_parts {
    bool classes;
    bool counters;
};

void ebb__heap_print_text(const struct ebb_heap_facts *facts, struct ebb_heap_parts parts);

/* One line. Always whole: classes and counters included. */
void ebb__heap_print_json(const struct ebb_heap_facts *facts);

#endif
