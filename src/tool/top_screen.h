/* SPDX-License-Identifier: MIT
 *
 * The screen of ebb top: a grid of characters with attributes, filled from facts and state alone. Pure: whoever has a terminal copies it
 * there, and whoever has none compares it with what it should be.
 */
#ifndef EBB_TOOL_TOP_SCREEN_H
#define EBB_TOOL_TOP_SCREEN_H

#include <stddef.h>
#include <stdio.h>

#include "tool/top_facts.h"
#include "tool/top_state.h"

enum ebb_top_attr {
    EBB_TOP_PLAIN,
    EBB_TOP_STRONG, /* titles */
    EBB_TOP_WEAK,   /* names of figures */
    EBB_TOP_HEAD,   /* headings of the list */
    EBB_TOP_SORTED, /* that of the column it is sorted by */
    EBB_TOP_MARK,   /* the marked process */
    EBB_TOP_GRAPH,
    EBB_TOP_WARN,
    EBB_TOP_BAD,
    EBB_TOP_ATTR_COUNT
};

/* One place of the screen. A wide character takes two; the second one is empty. */
struct ebb_top_glyph {
    char text[5];
    unsigned char attr;
};

/* No screen is larger: what lies beyond stays empty. */
#define EBB_TOP_ROWS_MAX    300
#define EBB_TOP_COLUMNS_MAX 600

struct ebb_top_screen {
    unsigned rows;
    unsigned columns;
    bool ascii;                   /* what is no ASCII is '?', as set by ebb__top_draw() */
    struct ebb_top_glyph *glyphs; /* row after row */
};

/* False when memory has run out. Sizes are cut to the maximum. */
bool ebb__top_screen_init(struct ebb_top_screen *screen, unsigned rows, unsigned columns);
void ebb__top_screen_fini(struct ebb_top_screen *screen);

/* What facts the list of a screen so wide shows: bits of enum ebb_proc_need. */
unsigned ebb__top_needs(unsigned columns, const struct ebb_top_state *state);

/* Draws everything. Sets state->page. */
void ebb__top_draw(struct ebb_top_screen *screen, const struct ebb_top_facts *facts,
                   const struct ebb_top_list *list, struct ebb_top_state *state);

/* Writes the screen as text, without attributes and without blanks at the ends of lines. */
void ebb__top_print(const struct ebb_top_screen *screen, FILE *stream);

#endif
