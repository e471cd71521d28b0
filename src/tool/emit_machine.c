/* SPDX-License-Identifier: MIT
 *
 * Reports for programs: JSON, JSON lines, CSV and OpenMetrics 1.0.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tool/emit_priv.h"
#include "tool/utf8.h"

static void nothing(struct ebb_emit *emit)
{
    (void)emit;
}

static void no_note(struct ebb_emit *emit, const char *key, const char *text)
{
    (void)emit;
    (void)key;
    (void)text;
}

/* ---- JSON and JSON lines ---- */

static void put_cell(struct ebb_json *json, const struct ebb_column *column, const struct ebb_cell *cell)
{
    char buf[EBB_EMIT_PLAIN_BYTES];

    switch (cell->kind) {
    case EBB_CELL_UNKNOWN:
        ebb__json_null(json, column->key);
        break;
    case EBB_CELL_NUMBER:
        if (column->as == EBB_AS_ADDRESS)
            ebb__json_string(json, column->key, ebb__emit_plain(column, cell, buf));
        else
            ebb__json_number(json, column->key, cell->number);
        break;
    case EBB_CELL_SIGNED:
        ebb__json_signed(json, column->key, cell->signed_number);
        break;
    case EBB_CELL_REAL:
        ebb__json_real(json, column->key, cell->real);
        break;
    case EBB_CELL_TEXT:
        ebb__json_string(json, column->key, cell->text);
        break;
    case EBB_CELL_BOOL:
        ebb__json_bool(json, column->key, cell->yes);
        break;
    }
}

static void put_cells(struct ebb_json *json, const struct ebb_section *section, const struct ebb_cell *cells)
{
    bool any_unknown = false;

    for (unsigned i = 0; i < section->column_count; i++) {
        put_cell(json, &section->columns[i], &cells[i]);
        any_unknown |= cells[i].kind == EBB_CELL_UNKNOWN && cells[i].why != NULL;
    }
    if (!any_unknown)
        return;
    ebb__json_open(json, "unknown", '{');
    for (unsigned i = 0; i < section->column_count; i++)
        if (cells[i].kind == EBB_CELL_UNKNOWN && cells[i].why != NULL)
            ebb__json_string(json, section->columns[i].key, cells[i].why);
    ebb__json_close(json, '{');
}

static void put_schema(struct ebb_json *json, const struct ebb_emit *emit)
{
    char schema[64];

    snprintf(schema, sizeof(schema), "ebb.%s/1", emit->command);
    ebb__json_string(json, "schema", schema);
    ebb__json_string(json, "time", emit->time);
}

static void json_begin(struct ebb_emit *emit)
{
    emit->json = (struct ebb_json){.stream = emit->stream};
    ebb__json_open(&emit->json, NULL, '{');
    put_schema(&emit->json, emit);
    emit->notes_stream = open_memstream(&emit->notes, &emit->notes_bytes);
}

static void json_section_begin(struct ebb_emit *emit)
{
    if (!emit->section->facts)
        ebb__json_open(&emit->json, emit->section->key, '[');
}

static void json_row(struct ebb_emit *emit, const struct ebb_cell *cells)
{
    ebb__json_open(&emit->json, emit->section->facts ? emit->section->key : NULL, '{');
    put_cells(&emit->json, emit->section, cells);
    ebb__json_close(&emit->json, '{');
}

static void json_section_end(struct ebb_emit *emit)
{
    if (!emit->section->facts)
        ebb__json_close(&emit->json, '[');
}

static void json_note(struct ebb_emit *emit, const char *key, const char *text)
{
    struct ebb_json json = {.stream = emit->notes_stream};

    if (emit->notes_stream == NULL)
        return;
    if (ftell(emit->notes_stream) != 0)
        fputc(',', emit->notes_stream);
    ebb__json_open(&json, NULL, '{');
    ebb__json_string(&json, "key", key);
    ebb__json_string(&json, "text", text);
    ebb__json_close(&json, '{');
}

static void json_end(struct ebb_emit *emit)
{
    ebb__json_open(&emit->json, "notes", '[');
    if (emit->notes_stream != NULL && fclose(emit->notes_stream) == 0)
        fwrite(emit->notes, 1, emit->notes_bytes, emit->stream);
    free(emit->notes);
    emit->notes = NULL;
    emit->notes_stream = NULL;
    ebb__json_close(&emit->json, '[');
    ebb__json_close(&emit->json, '{');
    fputc('\n', emit->stream);
}

const struct ebb_emit_writer ebb__emit_json = {json_begin,       json_section_begin, json_row,
                                               json_section_end, json_note,          json_end};

static void jsonl_row(struct ebb_emit *emit, const struct ebb_cell *cells)
{
    struct ebb_json json = {.stream = emit->stream};

    ebb__json_open(&json, NULL, '{');
    put_schema(&json, emit);
    ebb__json_string(&json, "section", emit->section->key);
    put_cells(&json, emit->section, cells);
    ebb__json_close(&json, '{');
    fputc('\n', emit->stream);
}

static void jsonl_note(struct ebb_emit *emit, const char *key, const char *text)
{
    struct ebb_json json = {.stream = emit->stream};

    ebb__json_open(&json, NULL, '{');
    put_schema(&json, emit);
    ebb__json_string(&json, "section", "notes");
    ebb__json_string(&json, "key", key);
    ebb__json_string(&json, "text", text);
    ebb__json_close(&json, '{');
    fputc('\n', emit->stream);
}

const struct ebb_emit_writer ebb__emit_jsonl = {nothing, nothing, jsonl_row, nothing, jsonl_note, nothing};

/* ---- CSV, RFC 4180 ---- */

/* With U+FFFD for each byte that is no UTF-8: readers of CSV refuse a whole file for one such name. */
static void put_csv(FILE *stream, const char *text)
{
    bool quoted = text[strcspn(text, ",\"\r\n")] != '\0';

    if (quoted)
        fputc('"', stream);
    while (*text != '\0') {
        unsigned len = ebb__utf8_len(text);

        if (*text == '"')
            fputc('"', stream);
        if (len == 0)
            fputs("\xef\xbf\xbd", stream);
        else
            fwrite(text, 1, len, stream);
        text += len == 0 ? 1 : len;
    }
    if (quoted)
        fputc('"', stream);
}

static void csv_section_begin(struct ebb_emit *emit)
{
    const struct ebb_section *section = emit->section;

    if (!emit->header || emit->headed == section)
        return;
    fputs("section,time", emit->stream);
    for (unsigned i = 0; i < section->column_count; i++)
        fprintf(emit->stream, ",%s", section->columns[i].key);
    fputc('\n', emit->stream);
    emit->headed = section;
}

static void csv_row(struct ebb_emit *emit, const struct ebb_cell *cells)
{
    char buf[EBB_EMIT_PLAIN_BYTES];

    fprintf(emit->stream, "%s,%s", emit->section->key, emit->time);
    for (unsigned i = 0; i < emit->section->column_count; i++) {
        fputc(',', emit->stream);
        put_csv(emit->stream, ebb__emit_plain(&emit->section->columns[i], &cells[i], buf));
    }
    fputc('\n', emit->stream);
}

const struct ebb_emit_writer ebb__emit_csv = {nothing, csv_section_begin, csv_row, nothing, no_note, nothing};

/* ---- OpenMetrics ---- */

/* How a family ends: without our word for its unit, with that of OpenMetrics. */
static const struct {
    enum ebb_as as;
    const char *from;
    const char *unit;
} FAMILY_UNITS[] = {
    {EBB_AS_BYTES, "_bytes_per_s", "bytes_per_second"},
    {EBB_AS_BYTES, "_bytes", "bytes"},
    {EBB_AS_PERCENT, "_percent", "ratio"},
    {EBB_AS_MS, "_ms", "seconds"},
};

static bool ends_in(const char *text, size_t len, const char *ending)
{
    size_t ending_len = strlen(ending);

    return len > ending_len && memcmp(text + len - ending_len, ending, ending_len) == 0;
}

static void family_name(const struct ebb_emit *emit, const struct ebb_column *column, char *ret_name,
                        size_t name_bytes, const char **ret_unit)
{
    const char *unit = NULL;
    size_t len = strlen(column->key);

    for (unsigned i = 0; i < sizeof(FAMILY_UNITS) / sizeof(FAMILY_UNITS[0]) && column->as != EBB_AS_TEXT;
         i++) {
        if (FAMILY_UNITS[i].as != column->as)
            continue;
        unit = FAMILY_UNITS[i].unit;
        if (!ends_in(column->key, len, FAMILY_UNITS[i].from))
            continue;
        len -= strlen(FAMILY_UNITS[i].from);
        break;
    }
    /* The name of a counter without its "_total", which is the sample's. */
    if (column->counter && ends_in(column->key, len, "_total"))
        len -= strlen("_total");
    snprintf(ret_name, name_bytes, "ebb_%s_%s_%.*s%s%s", emit->command, emit->section->key, (int)len,
             column->key, unit == NULL ? "" : "_", unit == NULL ? "" : unit);
    for (char *at = ret_name; *at != '\0'; at++)
        if (!isalnum((unsigned char)*at))
            *at = '_';
    *ret_unit = unit;
}

/* A label's value or a help text; OpenMetrics is UTF-8. */
static void put_label(FILE *stream, const char *text)
{
    while (*text != '\0') {
        unsigned len = ebb__utf8_len(text);

        if (len == 0)
            fputs("\xef\xbf\xbd", stream);
        else if (*text == '\n')
            fputs("\\n", stream);
        else if (*text == '"' || *text == '\\')
            fprintf(stream, "\\%c", *text);
        else
            fwrite(text, 1, len, stream);
        text += len == 0 ? 1 : len;
    }
}

static void put_labels(FILE *stream, const struct ebb_section *section, const struct ebb_cell *cells)
{
    const char *before = "{";

    for (unsigned i = 0; i < section->column_count; i++) {
        char buf[EBB_EMIT_PLAIN_BYTES];

        if (!section->columns[i].label)
            continue;
        fprintf(stream, "%s%s=\"", before, section->columns[i].key);
        put_label(stream, ebb__emit_plain(&section->columns[i], &cells[i], buf));
        fputc('"', stream);
        before = ",";
    }
    if (*before == ',')
        fputc('}', stream);
}

static void om_sample(struct ebb_emit *emit, unsigned at, const struct ebb_cell *cells, double value)
{
    const struct ebb_column *column = &emit->section->columns[at];
    char name[160];
    const char *unit;
    FILE *stream;

    family_name(emit, column, name, sizeof(name), &unit);
    if (emit->families[at].stream == NULL) {
        emit->families[at].stream = open_memstream(&emit->families[at].text, &emit->families[at].bytes);
        if (emit->families[at].stream == NULL)
            return;
        stream = emit->families[at].stream;
        fprintf(stream, "# TYPE %s %s\n", name, column->counter ? "counter" : "gauge");
        if (unit != NULL)
            fprintf(stream, "# UNIT %s %s\n", name, unit);
        if (column->help != NULL) {
            fprintf(stream, "# HELP %s ", name);
            put_label(stream, column->help);
            fputc('\n', stream);
        }
    }
    stream = emit->families[at].stream;
    fprintf(stream, "%s%s", name, column->counter ? "_total" : "");
    put_labels(stream, emit->section, cells);
    if (cells[at].kind == EBB_CELL_NUMBER && column->as != EBB_AS_PERCENT && column->as != EBB_AS_MS)
        fprintf(stream, " %" PRIu64 "\n", cells[at].number);
    else
        fprintf(stream, " %.15g\n",
                column->as == EBB_AS_PERCENT ? value / 100
                : column->as == EBB_AS_MS    ? value / 1000
                                             : value);
}

static void om_row(struct ebb_emit *emit, const struct ebb_cell *cells)
{
    for (unsigned i = 0; i < emit->section->column_count; i++) {
        const struct ebb_column *column = &emit->section->columns[i];
        double value;

        if (!column->label && column->as != EBB_AS_TEXT && column->as != EBB_AS_ADDRESS &&
            ebb__emit_real(&cells[i], &value))
            om_sample(emit, i, cells, value);
    }
}

static void om_section_end(struct ebb_emit *emit)
{
    for (unsigned i = 0; i < emit->section->column_count; i++) {
        if (emit->families[i].stream == NULL)
            continue;
        if (fclose(emit->families[i].stream) == 0)
            fwrite(emit->families[i].text, 1, emit->families[i].bytes, emit->stream);
        free(emit->families[i].text);
        emit->families[i].text = NULL;
        emit->families[i].stream = NULL;
    }
}

static void om_end(struct ebb_emit *emit)
{
    fputs("# EOF\n", emit->stream);
}

const struct ebb_emit_writer ebb__emit_openmetrics = {nothing,        nothing, om_row,
                                                      om_section_end, no_note, om_end};
