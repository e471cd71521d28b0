/* SPDX-License-Identifier: MIT
 *
 * Reports for people: columns with headings, names with values, and sentences.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/units.h"
#include "tool/emit_priv.h"
#include "tool/utf8.h"

#define CELL_BYTES 64

static bool is_left(const struct ebb_column *column)
{
    return column->width < 0 || (column->as == EBB_AS_TEXT && column->width == 0);
}

/* A size in the unit that was asked for, rounded up as df(1) does: what is not empty is not 0. */
static void print_bytes(const struct ebb_emit *emit, uint64_t bytes, char buf[CELL_BYTES])
{
    static const char UNITS[] = "BKMG";
    unsigned shift;

    if (emit->unit == 0) {
        if (emit->section->facts)
            ebb__units_bytes(bytes, buf);
        else
            ebb__units_short(bytes, buf);
        return;
    }
    shift = 10 * (unsigned)(strchr(UNITS, emit->unit) - UNITS);
    snprintf(buf, CELL_BYTES, "%" PRIu64, (bytes >> shift) + ((bytes & ((UINT64_C(1) << shift) - 1)) != 0));
}

/* Small shares and rates keep two digits: 0.04 is not none. */
static void print_real(const struct ebb_column *column, double value, char buf[CELL_BYTES])
{
    bool fine = column->as == EBB_AS_PERCENT || column->as == EBB_AS_RATE;
    int digits = fine && value < 10 && value > -10 ? 2 : 1;

    if (column->as == EBB_AS_RATE && (value >= 100 || value == 0))
        digits = 0;
    snprintf(buf, CELL_BYTES, "%.*f", digits, value);
}

static const char *print_cell(const struct ebb_emit *emit, const struct ebb_column *column,
                              const struct ebb_cell *cell, char buf[CELL_BYTES])
{
    switch (cell->kind) {
    case EBB_CELL_UNKNOWN:
        return "-";
    case EBB_CELL_TEXT:
        return cell->text;
    case EBB_CELL_BOOL:
        return cell->yes ? "yes" : "no";
    case EBB_CELL_REAL:
        if (!isfinite(cell->real))
            return "-";
        if (column->as == EBB_AS_BYTES && cell->real >= 0 && cell->real < 0x1p64)
            print_bytes(emit, (uint64_t)cell->real, buf);
        else
            print_real(column, cell->real, buf);
        return buf;
    case EBB_CELL_SIGNED:
        if (column->as == EBB_AS_BYTES) {
            uint64_t size =
                cell->signed_number < 0 ? 0 - (uint64_t)cell->signed_number : (uint64_t)cell->signed_number;
            char text[CELL_BYTES];

            print_bytes(emit, size, text);
            snprintf(buf, CELL_BYTES, "%c%.*s", cell->signed_number < 0 ? '-' : '+', CELL_BYTES - 2, text);
        } else {
            snprintf(buf, CELL_BYTES, "%" PRId64, cell->signed_number);
        }
        return buf;
    case EBB_CELL_NUMBER:
        break;
    }
    if (column->as == EBB_AS_BYTES)
        print_bytes(emit, cell->number, buf);
    else if (column->as == EBB_AS_MS && emit->section->facts)
        ebb__units_ms(cell->number, buf);
    else
        snprintf(buf, CELL_BYTES, column->as == EBB_AS_ADDRESS ? "%016" PRIx64 : "%" PRIu64, cell->number);
    return buf;
}

/* Names are chosen by those whom they name: no control characters for the terminal, and nothing that it cannot show. Each such
 * character becomes one '?', so that columns stay where they are. */
static void put_text(FILE *stream, const char *text)
{
    while (*text != '\0') {
        bool shown;
        unsigned len = ebb__utf8_step(text, &shown);

        if (shown)
            fwrite(text, 1, len, stream);
        else
            fputc('?', stream);
        text += len;
    }
}

/* Columns of the terminal that a text takes as put_text() writes it. */
static int width_of(const char *text)
{
    int width = 0;

    while (*text != '\0') {
        bool shown;

        text += ebb__utf8_step(text, &shown);
        width++;
    }
    return width;
}

/* A text that is wider than its column pushes those behind it to the right: they give up blanks until they stand below their
 * headings again. `over` is how far out of place the line is before this column; the same behind it is returned. */
static int put_padded(FILE *stream, const char *text, const struct ebb_column *column, bool last, int over)
{
    int pad = abs(column->width) - width_of(text) - over;

    if (!is_left(column))
        fprintf(stream, "%*s", pad > 0 ? pad : 0, "");
    put_text(stream, text);
    if (is_left(column) && !last)
        fprintf(stream, "%*s", pad > 0 ? pad : 0, "");
    return pad < 0 ? -pad : 0;
}

static void begin(struct ebb_emit *emit)
{
    /* With one section a repeated report is one table; with several each look begins anew. */
    if (emit->section_count > 1)
        emit->headed = NULL;
}

static void section_begin(struct ebb_emit *emit)
{
    const struct ebb_section *section = emit->section;
    bool again = emit->headed == section;

    if (!again && (emit->section_count != 0 || emit->report_count != 0))
        fputc('\n', emit->stream);
    if (section->title != NULL && emit->header && !again)
        fprintf(emit->stream, "%s\n", section->title);
    if (!section->facts && emit->header && !again) {
        int over = 0;

        for (unsigned i = 0; i < section->column_count; i++) {
            if (i != 0)
                fputc(' ', emit->stream);
            over = put_padded(emit->stream, section->columns[i].heading, &section->columns[i],
                              i + 1 == section->column_count, over);
        }
        fputc('\n', emit->stream);
    }
    emit->headed = section;
    emit->in_notes = false;
}

static void put_facts(struct ebb_emit *emit, const struct ebb_cell *cells)
{
    const struct ebb_section *section = emit->section;
    int widest = 0;

    for (unsigned i = 0; i < section->column_count; i++)
        if (width_of(section->columns[i].heading) > widest)
            widest = width_of(section->columns[i].heading);
    for (unsigned i = 0; i < section->column_count; i++) {
        char buf[CELL_BYTES];
        const struct ebb_column *column = &section->columns[i];

        fprintf(emit->stream, "  %s%*s  ", column->heading, widest - width_of(column->heading), "");
        put_text(emit->stream, print_cell(emit, column, &cells[i], buf));
        if (cells[i].kind == EBB_CELL_UNKNOWN && cells[i].why != NULL)
            fprintf(emit->stream, " (%s)", cells[i].why);
        else if (column->as == EBB_AS_PERCENT)
            fputs(" %", emit->stream);
        else if (column->as == EBB_AS_RATE)
            fputs(" /s", emit->stream);
        fputc('\n', emit->stream);
    }
}

static void row(struct ebb_emit *emit, const struct ebb_cell *cells)
{
    const struct ebb_section *section = emit->section;
    int over = 0;

    if (section->facts) {
        put_facts(emit, cells);
        return;
    }
    for (unsigned i = 0; i < section->column_count; i++) {
        char buf[CELL_BYTES];

        if (i != 0)
            fputc(' ', emit->stream);
        over = put_padded(emit->stream, print_cell(emit, &section->columns[i], &cells[i], buf),
                          &section->columns[i], i + 1 == section->column_count, over);
    }
    fputc('\n', emit->stream);
}

static void section_end(struct ebb_emit *emit)
{
    (void)emit;
}

static void note(struct ebb_emit *emit, const char *key, const char *text)
{
    (void)key;
    /* Sentences stand apart from the table before them. */
    if (!emit->in_notes && emit->section_count != 0)
        fputc('\n', emit->stream);
    emit->in_notes = true;
    put_text(emit->stream, text);
    fputc('\n', emit->stream);
}

static void end(struct ebb_emit *emit)
{
    (void)emit;
}

const struct ebb_emit_writer ebb__emit_human = {begin, section_begin, row, section_end, note, end};
