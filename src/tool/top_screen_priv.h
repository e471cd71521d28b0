/* SPDX-License-Identifier: MIT
 *
 * What the parts of the screen have in common: a pen that writes from the left and stops at the edge.
 */
#ifndef EBB_TOOL_TOP_SCREEN_PRIV_H
#define EBB_TOOL_TOP_SCREEN_PRIV_H

#include "tool/top_screen.h"

struct ebb_top_pen {
    struct ebb_top_screen *screen;
    unsigned row;
    unsigned column;
    unsigned limit; /* the first column that is not written to */
    int only_attr;  /* instead of all others; -1: none */
};

/* A pen at the left of a row. One below the screen writes nothing. */
static inline struct ebb_top_pen ebb__top_pen(struct ebb_top_screen *screen, unsigned row)
{
    return (struct ebb_top_pen){
        .screen = screen, .row = row, .limit = row < screen->rows ? screen->columns : 0, .only_attr = -1};
}

/* Writes a text. Controls and what is no UTF-8 become '?'. */
void ebb__top_put(struct ebb_top_pen *pen, enum ebb_top_attr attr, const char *text);
void ebb__top_putf(struct ebb_top_pen *pen, enum ebb_top_attr attr, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Moves to a column, with blanks in between; never to the left. */
void ebb__top_skip_to(struct ebb_top_pen *pen, unsigned column);

/* Writes a text aligned in a field: to the right, or to the left when `width` is below 0. */
void ebb__top_put_field(struct ebb_top_pen *pen, enum ebb_top_attr attr, const char *text, int width);

#define EBB_TOP_CELL_BYTES 64

/* A cell in few characters: sizes with a unit, one digit behind the point of what is no count; "-" for what is not known. Texts are
 * returned as they are. */
const char *ebb__top_cell_text(const struct ebb_column *column, const struct ebb_cell *cell,
                               char buf[EBB_TOP_CELL_BYTES]);

/* top_process.c: everything below the title line. */
void ebb__top_draw_process(struct ebb_top_screen *screen, const struct ebb_top_facts *facts,
                           const struct ebb_top_state *state);

#endif
