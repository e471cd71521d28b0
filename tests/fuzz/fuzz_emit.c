/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: reports with any texts and numbers, in all formats. JSON stays one line of balanced brackets and valid UTF-8, CSV keeps
 * its number of cells, OpenMetrics its lines, and people get no control characters.
 */
#include "fuzz.h"

#include <string.h>

#include "tool/emit.h"
#include "tool/utf8.h"

#define TEXT_BYTES 64

static const struct ebb_opt_spec SPEC = {.command = "fuzz"};

static const struct ebb_column COLUMNS[] = {
    {"name", "NAME", EBB_AS_TEXT, -8, .label = true},
    {"size_bytes", "SIZE", EBB_AS_BYTES, 6, .help = "size"},
    {"share_percent", "SHARE", EBB_AS_PERCENT, 5},
    {"count", "COUNT", EBB_AS_NUMBER, 5, .counter = true},
    {"at", "AT", EBB_AS_ADDRESS, 16},
    {"real", "REAL", EBB_AS_RATE, 5},
};

#define COLUMN_COUNT (sizeof(COLUMNS) / sizeof(COLUMNS[0]))

static const struct ebb_section TABLE = {"table", "Title", false, COLUMNS, COLUMN_COUNT};

int ebb__opt_usage(const struct ebb_opt_spec *spec, const char *format, ...)
{
    (void)spec;
    (void)format;
    return 2;
}

struct source {
    const uint8_t *at;
    size_t left;
};

static uint64_t take(struct source *source, size_t bytes)
{
    uint64_t value = 0;

    if (bytes > source->left)
        bytes = source->left;
    memcpy(&value, source->at, bytes);
    source->at += bytes;
    source->left -= bytes;
    return value;
}

static void take_text(struct source *source, char text[TEXT_BYTES])
{
    size_t len = take(source, 1) % TEXT_BYTES;

    if (len > source->left)
        len = source->left;
    memcpy(text, source->at, len);
    text[len] = '\0';
    source->at += len;
    source->left -= len;
}

static struct ebb_cell take_number(struct source *source)
{
    uint64_t kind = take(source, 1);
    uint64_t value = take(source, 8);
    double real;

    memcpy(&real, &value, sizeof(real));
    switch (kind % 4) {
    case 0:
        return ebb__cell_number(value);
    case 1:
        return ebb__cell_signed((int64_t)value);
    case 2:
        return ebb__cell_real(real);
    default:
        return ebb__cell_unknown("why");
    }
}

static void check_utf8(const char *text)
{
    while (*text != '\0') {
        unsigned len = ebb__utf8_len(text);

        FUZZ_CHECK(len != 0);
        text += len;
    }
}

static void check_json(const char *text, size_t len)
{
    int depth = 0;
    bool quoted = false;

    check_utf8(text);
    FUZZ_CHECK(len > 2 && text[len - 1] == '\n' && strchr(text, '\n') == text + len - 1);
    for (; *text != '\n'; text++) {
        FUZZ_CHECK((unsigned char)*text >= ' ');
        if (quoted && *text == '\\')
            text++;
        else if (*text == '"')
            quoted = !quoted;
        else if (!quoted)
            depth += strchr("{[", *text) != NULL ? 1 : strchr("}]", *text) != NULL ? -1 : 0;
    }
    FUZZ_CHECK(!quoted && depth == 0);
}

static void check_csv(const char *text)
{
    unsigned cells = 1;
    bool quoted = false;

    for (; *text != '\0'; text++) {
        if (*text == '"')
            quoted = !quoted;
        else if (!quoted && *text == ',')
            cells++;
        else if (!quoted && *text == '\n') {
            FUZZ_CHECK(cells == COLUMN_COUNT + 2);
            cells = 1;
        }
    }
    FUZZ_CHECK(!quoted && cells == 1);
}

static void check_openmetrics(const char *text)
{
    const char *last = text;

    check_utf8(text);
    for (const char *end; (end = strchr(text, '\n')) != NULL; text = end + 1) {
        last = text;
        FUZZ_CHECK(strncmp(text, "# ", 2) == 0 || strncmp(text, "ebb_fuzz_table_", 15) == 0);
    }
    FUZZ_CHECK(*text == '\0' && strcmp(last, "# EOF\n") == 0);
}

static void check_human(const char *text)
{
    check_utf8(text);
    for (; *text != '\0'; text += ebb__utf8_len(text))
        FUZZ_CHECK(*text == '\n' || !ebb__utf8_is_control(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const NAMES[] = {"human", "json", "jsonl", "csv", "openmetrics"};
    struct source source = {data, size};
    unsigned format = (unsigned)take(&source, 1) % 5;
    struct ebb_output output = {.format = NAMES[format]};
    struct ebb_emit emit;
    char *text = NULL;
    size_t len = 0;
    char name[TEXT_BYTES];

    FUZZ_CHECK(ebb__emit_init(&emit, &SPEC, &output) == 0);
    emit.stream = open_memstream(&text, &len);
    FUZZ_CHECK(emit.stream != NULL);
    ebb__emit_begin(&emit);
    ebb__emit_section(&emit, &TABLE);
    do {
        struct ebb_cell cells[COLUMN_COUNT];

        take_text(&source, name);
        cells[0] = ebb__cell_text(name);
        for (unsigned i = 1; i < COLUMN_COUNT; i++)
            cells[i] = take_number(&source);
        ebb__emit_row(&emit, cells);
    } while (source.left > 0);
    if (format != EBB_FORMAT_JSONL)
        ebb__emit_note(&emit, "note", "%s", name);
    ebb__emit_end(&emit);
    FUZZ_CHECK(fclose(emit.stream) == 0);
    switch (format) {
    case EBB_FORMAT_HUMAN:
        check_human(text);
        break;
    case EBB_FORMAT_JSON:
        check_json(text, len);
        break;
    case EBB_FORMAT_CSV:
        check_csv(text);
        break;
    case EBB_FORMAT_OPENMETRICS:
        check_openmetrics(text);
        break;
    default:
        check_utf8(text);
        break;
    }
    free(text);
    return 0;
}
