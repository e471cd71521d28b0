/* SPDX-License-Identifier: MIT
 *
 * A made-up command whose report has every kind of cell and odd names, for the test of the formats:
 * emit_sample FORMAT [UNIT] [REPORTS] [no-header]
 */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tool/cmd.h"
#include "tool/emit.h"

static const struct ebb_opt_spec SPEC = {.command = "sample"};

/* The emitter complains through the parser of options, which would bring all commands with it. */
int ebb__opt_usage(const struct ebb_opt_spec *spec, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "ebb %s: ", spec->command);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return EBB_EXIT_USAGE;
}

static const struct ebb_column COLUMNS[] = {
    {"name", "NAME", EBB_AS_TEXT, -12, .label = true, .help = "who it is"},
    {"pid", "PID", EBB_AS_NUMBER, 6, .label = true, .help = NULL},
    {"rss_bytes", "RSS", EBB_AS_BYTES, 7, .help = "a \"size\", in \\ bytes\nof memory"},
    {"change_bytes", "CHANGE", EBB_AS_BYTES, 7, .help = "signed"},
    {"read_bytes_per_s", "READ", EBB_AS_BYTES, 6, .help = "bytes a second"},
    {"cpu_percent", "%CPU", EBB_AS_PERCENT, 6, .help = "of a processor"},
    {"faults_total", "FAULTS", EBB_AS_NUMBER, 6, .counter = true, .help = "since the start"},
    {"faults_per_s", "FLT/S", EBB_AS_RATE, 6, .help = "faults a second"},
    {"wait_ms", "WAIT", EBB_AS_MS, 6, .help = "time"},
    {"start_address", "START", EBB_AS_ADDRESS, 16, .help = "where"},
    {"alive", "ALIVE", EBB_AS_BOOL, 5, .help = "yes or no"},
    {"state", "STATE", EBB_AS_TEXT, 0, .help = "a word"},
};

#define COLUMN_COUNT (sizeof(COLUMNS) / sizeof(COLUMNS[0]))

static const struct ebb_section TABLE = {"tasks", "Tasks", false, COLUMNS, COLUMN_COUNT};
static const struct ebb_section FACTS = {"one_task", "One of them", true, COLUMNS, COLUMN_COUNT};
static const struct ebb_section EMPTY = {"nothing", NULL, false, COLUMNS, 2};

static void put_row(struct ebb_emit *emit, const char *name, uint64_t pid)
{
    const struct ebb_cell cells[COLUMN_COUNT] = {
        ebb__cell_text(name),         ebb__cell_number(pid),    ebb__cell_number(UINT64_MAX),
        ebb__cell_signed(-1536),      ebb__cell_real(2048.5),   ebb__cell_real(12.5),
        ebb__cell_number(UINT64_MAX), ebb__cell_real(0.25),     ebb__cell_number(1500),
        ebb__cell_number(0x7fff),     ebb__cell_bool(pid == 1), ebb__cell_text("it, \"is\""),
    };

    ebb__emit_row(emit, cells);
}

static void put_unknown(struct ebb_emit *emit, const char *name, uint64_t pid)
{
    struct ebb_cell cells[COLUMN_COUNT];

    for (unsigned i = 0; i < COLUMN_COUNT; i++)
        cells[i] = ebb__cell_unknown(i % 2 == 0 ? "denied, \"really\"" : NULL);
    cells[0] = ebb__cell_text(name);
    cells[1] = ebb__cell_number(pid);
    cells[5] = ebb__cell_real((double)NAN);
    cells[7] = ebb__cell_real((double)INFINITY);
    ebb__emit_row(emit, cells);
}

static void report(struct ebb_emit *emit, bool single)
{
    static const char *const NAMES[] = {"plain",
                                        "a\"b",
                                        "a,b",
                                        "two\nlines",
                                        "back\\slash",
                                        "\xff\xfe\xc3",
                                        "\xc3\xa4\xe2\x82\xac",
                                        "\x1b[31m\x7f\xc2\x9b\xe2\x80\xae\xe2\x81\xa9",
                                        "",
                                        "=1+1"};

    ebb__emit_begin(emit);
    ebb__emit_section(emit, &TABLE);
    for (unsigned i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++)
        put_row(emit, NAMES[i], i + 1);
    put_unknown(emit, "unknown", 99);
    if (!single) {
        ebb__emit_note(emit, "first", "A note with \"quotes\", a %d and a line\nbreak.", 7);
        ebb__emit_section(emit, &EMPTY);
        ebb__emit_section(emit, &FACTS);
        put_row(emit, "one", 1);
        ebb__emit_note(emit, "second", "Another \xff note.");
    }
    ebb__emit_end(emit);
}

int main(int argc, char **argv)
{
    struct ebb_output output = {.format = argc > 1 ? argv[1] : NULL};
    struct ebb_emit emit;
    int count = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 1;
    int status;

    if (argc > 2 && strcmp(argv[2], "-") != 0)
        output.unit = argv[2];
    output.no_header = argc > 4 && strstr(argv[4], "no-header") != NULL;
    output.json = argc > 4 && strstr(argv[4], "json") != NULL;
    status = ebb__emit_init(&emit, &SPEC, &output);
    for (int i = 0; status == EBB_EXIT_OK && i < count; i++)
        report(&emit, argc > 4 && strstr(argv[4], "single") != NULL);
    return status;
}
