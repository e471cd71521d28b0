/* SPDX-License-Identifier: MIT
 *
 * The one way in which results leave ebb: for people, as JSON, JSON lines, CSV or OpenMetrics.
 *
 * A report consists of sections. A section has columns, and rows with one cell for each; a section of facts has one row, which
 * people see as lines with a name and a value. Beside them stand notes: sentences for people. A command
 * says once what it knows, and does not know which format was asked for:
 *
 *     ebb__emit_begin(&emit);
 *     ebb__emit_section(&emit, &SECTION);
 *     ebb__emit_row(&emit, cells);            // as many as there are
 *     ebb__emit_note(&emit, "swap", "There is no swap: ...");
 *     ebb__emit_end(&emit);
 *
 *   human        columns with headings; sizes with a unit; what is not known is "-"
 *   json         one line: {"schema":"ebb.oom/1","time":"...","victims":[{"pid":1,...}],"notes":[...]}; a section of facts is an object.
 *                What is not known is null, and the object "unknown" of that row says why. Sizes are in bytes.
 *   jsonl        a line for each row, with "schema", "time" and "section" before the cells
 *   csv          a line of names and lines of cells for each section, the name of the section first; unknown cells are empty
 *   openmetrics  a family for each column with a number, ebb_COMMAND_SECTION_COLUMN with the suffix of its unit; columns
 *                marked as labels name the row. A report ends in "# EOF"; a repeated one is as many expositions
 *
 * Texts may hold anything. Every format is UTF-8, and bytes that are none are replaced; what would move a
 * terminal's cursor, or make it write backwards, is "?" for people. A real number that is none (0 / 0) is not known.
 *
 * Costs: rows leave at once, so a table may be as long as it likes; OpenMetrics, which wants families together, and notes in JSON are
 * kept in memory until the end of their section or report. One thread. Failures of writing are main()'s to report.
 */
#ifndef EBB_TOOL_EMIT_H
#define EBB_TOOL_EMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "probe/fact.h"
#include "tool/json.h"
#include "tool/opt.h"

enum ebb_format {
    EBB_FORMAT_HUMAN,
    EBB_FORMAT_JSON,
    EBB_FORMAT_JSONL,
    EBB_FORMAT_CSV,
    EBB_FORMAT_OPENMETRICS
};

enum ebb_as {
    EBB_AS_TEXT,
    EBB_AS_NUMBER,  /* a count; also real numbers, with one digit behind the point for people */
    EBB_AS_BYTES,   /* people see "1.5G" in tables and "1.5 GiB" in facts, or what --unit says */
    EBB_AS_PERCENT, /* 0 to 100 */
    EBB_AS_RATE,    /* for each second */
    EBB_AS_MS,
    EBB_AS_ADDRESS, /* hexadecimal for people, a string "0x..." in machine formats: JSON numbers end at 2^53 */
    EBB_AS_BOOL,
};

struct ebb_column {
    const char *key;     /* snake_case with the unit last: rss_bytes, cpu_percent */
    const char *heading; /* for people */
    enum ebb_as as;
    int width;    /* least, for people; below 0: aligned to the left */
    bool label;   /* names the row (pid, name) */
    bool counter; /* only rises: OpenMetrics calls it so */
    const char *help;
};

struct ebb_section {
    const char *key;
    const char *title; /* above it, for people; NULL for none */
    bool facts;
    const struct ebb_column *columns;
    unsigned column_count;
};

#define EBB_EMIT_COLUMNS_MAX 64

struct ebb_cell {
    enum {
        EBB_CELL_UNKNOWN,
        EBB_CELL_NUMBER,
        EBB_CELL_SIGNED,
        EBB_CELL_REAL,
        EBB_CELL_TEXT,
        EBB_CELL_BOOL
    } kind;
    union {
        uint64_t number;
        int64_t signed_number;
        double real;
        const char *text; /* borrowed until the row has been emitted */
        bool yes;
        const char *why; /* of what is not known; borrowed likewise */
    };
};

static inline struct ebb_cell ebb__cell_number(uint64_t value)
{
    return (struct ebb_cell){.kind = EBB_CELL_NUMBER, .number = value};
}

static inline struct ebb_cell ebb__cell_signed(int64_t value)
{
    return (struct ebb_cell){.kind = EBB_CELL_SIGNED, .signed_number = value};
}

static inline struct ebb_cell ebb__cell_real(double value)
{
    return (struct ebb_cell){.kind = EBB_CELL_REAL, .real = value};
}

static inline struct ebb_cell ebb__cell_text(const char *text)
{
    return (struct ebb_cell){.kind = EBB_CELL_TEXT, .text = text};
}

static inline struct ebb_cell ebb__cell_bool(bool yes)
{
    return (struct ebb_cell){.kind = EBB_CELL_BOOL, .yes = yes};
}

static inline struct ebb_cell ebb__cell_unknown(const char *why)
{
    return (struct ebb_cell){.kind = EBB_CELL_UNKNOWN, .why = why};
}

static inline struct ebb_cell ebb__cell_fact(struct ebb_fact fact)
{
    return fact.known ? ebb__cell_number(fact.value) : ebb__cell_unknown(ebb__fact_why(fact));
}

/* What the options that all reporting commands share have set: put EBB_OUTPUT_ROWS(output) among a command's option rows, or
 * EBB_FORMAT_ROWS(output) where a captured tree will not do. */
struct ebb_output {
    bool json;
    const char *format; /* NULL: human */
    const char *unit;   /* of sizes, for people: B, K, M, G; NULL: each its own */
    bool no_header;
    const char *root; /* of a captured tree; NULL: this host */
};

/* clang-format off */
#define EBB_FORMAT_ROWS(output)                                                                              \
    {'j', "json", EBB_OPT_FLAG, NULL, "print one line of JSON", &(output).json},                             \
    {'\0', "format", EBB_OPT_TEXT, "FORMAT", "human, json, jsonl, csv or openmetrics", &(output).format},    \
    {'\0', "unit", EBB_OPT_TEXT, "UNIT", "print sizes in B, K, M or G, for people", &(output).unit},         \
    {'\0', "no-header", EBB_OPT_FLAG, NULL, "leave headings out", &(output).no_header}

#define EBB_OUTPUT_ROWS(output)                                                                              \
    EBB_FORMAT_ROWS(output),                                                                                 \
    {'\0', "root", EBB_OPT_FILE, "DIR", "look at a captured tree instead of this host", &(output).root}
/* clang-format on */

struct ebb_emit {
    FILE *stream;
    enum ebb_format format;
    char unit; /* 'B', 'K', 'M', 'G', or 0 */
    bool header;
    const char *command;
    const struct ebb_section *section; /* NULL before the first one */
    const struct ebb_section
        *headed;            /* whose headings were the last: a report that is repeated prints them once */
    unsigned section_count; /* of the report */
    bool in_notes;          /* people: a note was the last that was written */
    unsigned report_count;  /* before this one */
    char time[32];          /* of the report, ISO 8601 */
    struct ebb_json json;
    char *notes; /* JSON: an array's inside; OpenMetrics has none */
    size_t notes_bytes;
    FILE *notes_stream;
    struct {
        char *text;
        size_t bytes;
        FILE *stream;
    } families[EBB_EMIT_COLUMNS_MAX]; /* OpenMetrics */
};

/* Sets `emit` up for standard output from the options. EBB_EXIT_OK, or EBB_EXIT_USAGE after a line on standard error. */
int ebb__emit_init(struct ebb_emit *emit, const struct ebb_opt_spec *spec, const struct ebb_output *output);

/* The root that was asked for: "" for this host. EBB_EXIT_OK, or another exit status after a line on standard error when it is no captured
 * tree. */
int ebb__output_root(const struct ebb_opt_spec *spec, const struct ebb_output *output, const char **ret_root);

/* A report. May be called again after ebb__emit_end(), for the next look. */
void ebb__emit_begin(struct ebb_emit *emit);
void ebb__emit_section(struct ebb_emit *emit, const struct ebb_section *section);
void ebb__emit_row(struct ebb_emit *emit, const struct ebb_cell *cells);
void ebb__emit_note(struct ebb_emit *emit, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Ends the report and flushes it: who reads a pipe sees it now. */
void ebb__emit_end(struct ebb_emit *emit);

/* Why rows did not reach standard output: an errno, or 0 when nothing is known of it. */
int ebb__emit_write_error(void);

/* True when people read: for what has no place in machine formats, such as a bar or a picture. */
bool ebb__emit_is_human(const struct ebb_emit *emit);

#endif
