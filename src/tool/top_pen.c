/* SPDX-License-Identifier: MIT
 *
 * Writing on the grid of the screen; see top_screen_priv.h.
 */
#include "tool/top_screen_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "model/units.h"
#include "tool/utf8.h"

bool ebb__top_screen_init(struct ebb_top_screen *screen, unsigned rows, unsigned columns)
{
    screen->rows = rows > EBB_TOP_ROWS_MAX ? EBB_TOP_ROWS_MAX : rows;
    screen->columns = columns > EBB_TOP_COLUMNS_MAX ? EBB_TOP_COLUMNS_MAX : columns;
    screen->glyphs = calloc((size_t)screen->rows * screen->columns + 1, sizeof(*screen->glyphs));
    return screen->glyphs != NULL;
}

void ebb__top_screen_fini(struct ebb_top_screen *screen)
{
    free(screen->glyphs);
    *screen = (struct ebb_top_screen){0};
}

/* ---- characters ---- */

static unsigned code_point(const char *text, unsigned len)
{
    const unsigned char *at = (const unsigned char *)text;
    static const unsigned char MASKS[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    unsigned code = at[0] & MASKS[len];

    for (unsigned i = 1; i < len; i++)
        code = code << 6 | (at[i] & 0x3f);
    return code;
}

/* 2 for characters of East Asia and pictures, 0 for what is drawn on top of others, 1 for the rest: terminals agree about these blocks. */
static unsigned places(unsigned code)
{
    static const struct {
        unsigned first, last, width;
    } BLOCKS[] = {
        {0x0300, 0x036f, 0},   {0x0483, 0x0489, 0},   {0x0591, 0x05bd, 0},   {0x0610, 0x061a, 0},
        {0x064b, 0x065f, 0},   {0x0e31, 0x0e31, 0},   {0x0e34, 0x0e3a, 0},   {0x1100, 0x115f, 2},
        {0x1ab0, 0x1aff, 0},   {0x1dc0, 0x1dff, 0},   {0x200b, 0x200f, 0},   {0x202a, 0x202e, 0},
        {0x2060, 0x206f, 0},   {0x20d0, 0x20ff, 0},   {0x231a, 0x231b, 2},   {0x2e80, 0x303e, 2},
        {0x3041, 0xa4cf, 2},   {0xa960, 0xa97f, 2},   {0xac00, 0xd7a3, 2},   {0xf900, 0xfaff, 2},
        {0xfe00, 0xfe0f, 0},   {0xfe20, 0xfe2f, 0},   {0xfe30, 0xfe6f, 2},   {0xfeff, 0xfeff, 0},
        {0xff00, 0xff60, 2},   {0xffe0, 0xffe6, 2},   {0x1f300, 0x1f64f, 2}, {0x1f680, 0x1f6ff, 2},
        {0x1f900, 0x1f9ff, 2}, {0x20000, 0x3fffd, 2}, {0xe0000, 0xe0fff, 0},
    };

    for (size_t i = 0; i < sizeof(BLOCKS) / sizeof(BLOCKS[0]); i++)
        if (code >= BLOCKS[i].first && code <= BLOCKS[i].last)
            return BLOCKS[i].width;
    return 1;
}

/* Takes the next character of a text: its bytes, and how many places it takes. What cannot be shown is '?' in one place. */
static const char *next_glyph(const char *text, bool ascii, char ret_glyph[5], unsigned *ret_width)
{
    bool shown;
    unsigned len = ebb__utf8_step(text, &shown);
    unsigned width = !shown || (ascii && len > 1) ? 0 : len == 1 ? 1 : places(code_point(text, len));

    *ret_width = width == 0 ? 1 : width;
    memset(ret_glyph, 0, 5);
    if (width == 0)
        ret_glyph[0] = '?';
    else
        memcpy(ret_glyph, text, len);
    return text + len;
}

static unsigned width_of(const char *text, bool ascii)
{
    unsigned sum = 0;

    while (*text != '\0') {
        char glyph[5];
        unsigned width;

        text = next_glyph(text, ascii, glyph, &width);
        sum += width;
    }
    return sum;
}

/* ---- the pen ---- */

static struct ebb_top_glyph *glyph_at(struct ebb_top_pen *pen)
{
    return &pen->screen->glyphs[(size_t)pen->row * pen->screen->columns + pen->column];
}

void ebb__top_put(struct ebb_top_pen *pen, enum ebb_top_attr attr, const char *text)
{
    if (pen->only_attr >= 0)
        attr = (enum ebb_top_attr)pen->only_attr;
    while (*text != '\0') {
        char glyph[5];
        unsigned width;

        text = next_glyph(text, pen->screen->ascii, glyph, &width);
        if (pen->column + width > pen->limit)
            return;
        memcpy(glyph_at(pen)->text, glyph, sizeof(glyph));
        for (unsigned i = 0; i < width; i++) {
            glyph_at(pen)->attr = (unsigned char)attr;
            pen->column++;
            if (i + 1 < width)
                glyph_at(pen)->text[0] = '\0';
        }
    }
}

void ebb__top_putf(struct ebb_top_pen *pen, enum ebb_top_attr attr, const char *format, ...)
{
    char text[EBB_TOP_COLUMNS_MAX * 4 + 1];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    ebb__top_put(pen, attr, text);
}

void ebb__top_skip_to(struct ebb_top_pen *pen, unsigned column)
{
    while (pen->column < column && pen->column < pen->limit)
        ebb__top_put(pen, EBB_TOP_PLAIN, " ");
}

void ebb__top_put_field(struct ebb_top_pen *pen, enum ebb_top_attr attr, const char *text, int width)
{
    unsigned field = (unsigned)abs(width);
    unsigned taken = width_of(text, pen->screen->ascii);
    unsigned blanks = taken < field ? field - taken : 0;
    unsigned limit = pen->limit;

    /* A text that is too long is cut; a number is not, so it pushes what follows to the right. */
    if (width < 0 && pen->column + field < limit)
        pen->limit = pen->column + field;
    for (unsigned i = 0; i < blanks && width >= 0; i++)
        ebb__top_put(pen, attr, " ");
    ebb__top_put(pen, attr, text);
    for (unsigned i = 0; i < blanks && width < 0; i++)
        ebb__top_put(pen, attr, " ");
    pen->limit = limit;
}

void ebb__top_print(const struct ebb_top_screen *screen, FILE *stream)
{
    for (unsigned row = 0; row < screen->rows; row++) {
        const struct ebb_top_glyph *glyphs = &screen->glyphs[(size_t)row * screen->columns];
        unsigned end = screen->columns;
        bool wide = false;

        while (end > 0 && (glyphs[end - 1].text[0] == '\0' || glyphs[end - 1].text[0] == ' '))
            end--;
        for (unsigned column = 0; column < end; column++) {
            const char *text = glyphs[column].text;
            char ignored[5];
            unsigned width = 1;

            /* A place that nobody wrote to is a blank, but for the second half of a wide character. */
            if (text[0] != '\0') {
                fputs(text, stream);
                next_glyph(text, false, ignored, &width);
            } else if (!wide) {
                fputc(' ', stream);
            }
            wide = text[0] != '\0' && width == 2;
        }
        fputc('\n', stream);
    }
}

/* ---- cells ---- */

const char *ebb__top_cell_text(const struct ebb_column *column, const struct ebb_cell *cell,
                               char buf[EBB_TOP_CELL_BYTES])
{
    switch (cell->kind) {
    case EBB_CELL_UNKNOWN:
        return "-";
    case EBB_CELL_TEXT:
        return cell->text;
    case EBB_CELL_BOOL:
        return cell->yes ? "yes" : "no";
    case EBB_CELL_SIGNED:
        snprintf(buf, EBB_TOP_CELL_BYTES, "%" PRId64, cell->signed_number);
        return buf;
    case EBB_CELL_REAL:
        if (!isfinite(cell->real) || cell->real < 0 || cell->real > 1e18)
            return "-";
        snprintf(buf, EBB_TOP_CELL_BYTES, "%.*f", cell->real == 0 || cell->real >= 99.95 ? 0 : 1, cell->real);
        return buf;
    case EBB_CELL_NUMBER:
        break;
    }
    if (column->as == EBB_AS_BYTES)
        return ebb__units_short(cell->number, buf);
    if (column->as == EBB_AS_MS)
        return ebb__units_ms(cell->number, buf);
    snprintf(buf, EBB_TOP_CELL_BYTES, "%" PRIu64, cell->number);
    return buf;
}
