/* SPDX-License-Identifier: MIT
 *
 * The one way in which results leave ebb; see emit.h. The formats are in emit_human.c and emit_machine.c.
 */
#include "tool/emit.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "tool/cmd.h"
#include "tool/emit_priv.h"

static const struct {
    const char *name;
    const struct ebb_emit_writer *writer;
} FORMATS[] = {
    [EBB_FORMAT_HUMAN] = {"human", &ebb__emit_human},
    [EBB_FORMAT_JSON] = {"json", &ebb__emit_json},
    [EBB_FORMAT_JSONL] = {"jsonl", &ebb__emit_jsonl},
    [EBB_FORMAT_CSV] = {"csv", &ebb__emit_csv},
    [EBB_FORMAT_OPENMETRICS] = {"openmetrics", &ebb__emit_openmetrics},
};

/* Of standard output, the first one. */
static int write_error;

static const struct ebb_emit_writer *writer_of(const struct ebb_emit *emit)
{
    return FORMATS[emit->format].writer;
}

int ebb__emit_init(struct ebb_emit *emit, const struct ebb_opt_spec *spec, const struct ebb_output *output)
{
    const char *format = output->format != NULL ? output->format : output->json ? "json" : "human";
    unsigned i = 0;

    memset(emit, 0, sizeof(*emit));
    emit->stream = stdout;
    emit->command = spec->command;
    emit->header = !output->no_header;
    while (i < sizeof(FORMATS) / sizeof(FORMATS[0]) && strcmp(FORMATS[i].name, format) != 0)
        i++;
    if (i == sizeof(FORMATS) / sizeof(FORMATS[0]))
        return ebb__opt_usage(spec, "--format: '%s' is none of human, json, jsonl, csv and openmetrics",
                              format);
    if (output->json && strcmp(format, "json") != 0)
        return ebb__opt_usage(spec, "--json and --format %s exclude each other", format);
    emit->format = (enum ebb_format)i;
    if (output->unit != NULL) {
        if (strlen(output->unit) != 1 || strchr("BKMG", output->unit[0]) == NULL)
            return ebb__opt_usage(spec, "--unit: '%s' is none of B, K, M and G", output->unit);
        emit->unit = output->unit[0];
    }
    return EBB_EXIT_OK;
}

int ebb__output_root(const struct ebb_opt_spec *spec, const struct ebb_output *output, const char **ret_root)
{
    char path[4096];
    struct stat st;

    if (output->root == NULL) {
        *ret_root = "";
        return EBB_EXIT_OK;
    }
    /* A variable of a script that was never set must not show this host. */
    if (output->root[0] == '\0')
        return ebb__opt_usage(spec, "--root needs the folder of a captured tree");
    snprintf(path, sizeof(path), "%s/proc", output->root);
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        fprintf(stderr, "ebb %s: %s is no captured tree: it has no folder proc\n", spec->command,
                output->root);
        return EBB_EXIT_FAILED;
    }
    *ret_root = output->root;
    return EBB_EXIT_OK;
}

bool ebb__emit_is_human(const struct ebb_emit *emit)
{
    return emit->format == EBB_FORMAT_HUMAN;
}

/* stdio keeps that a write failed, but not why. */
static void remember_failure(const struct ebb_emit *emit)
{
    if (write_error == 0 && ferror(emit->stream))
        write_error = errno;
}

int ebb__emit_write_error(void)
{
    return write_error;
}

void ebb__emit_begin(struct ebb_emit *emit)
{
    time_t now = time(NULL);
    struct tm utc;

    gmtime_r(&now, &utc);
    strftime(emit->time, sizeof(emit->time), "%Y-%m-%dT%H:%M:%SZ", &utc);
    writer_of(emit)->begin(emit);
    emit->section = NULL;
    emit->section_count = 0;
}

static void end_section(struct ebb_emit *emit)
{
    if (emit->section == NULL)
        return;
    writer_of(emit)->section_end(emit);
    remember_failure(emit);
    emit->section = NULL;
}

void ebb__emit_section(struct ebb_emit *emit, const struct ebb_section *section)
{
    end_section(emit);
    emit->section = section;
    writer_of(emit)->section_begin(emit);
    emit->section_count++;
}

void ebb__emit_row(struct ebb_emit *emit, const struct ebb_cell *cells)
{
    writer_of(emit)->row(emit, cells);
    remember_failure(emit);
}

void ebb__emit_note(struct ebb_emit *emit, const char *key, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    writer_of(emit)->note(emit, key, text);
    remember_failure(emit);
}

void ebb__emit_end(struct ebb_emit *emit)
{
    end_section(emit);
    writer_of(emit)->end(emit);
    remember_failure(emit);
    emit->report_count++;
    fflush(emit->stream);
    remember_failure(emit);
}

const char *ebb__emit_plain(const struct ebb_column *column, const struct ebb_cell *cell,
                            char buf[EBB_EMIT_PLAIN_BYTES])
{
    switch (cell->kind) {
    case EBB_CELL_NUMBER:
        snprintf(buf, EBB_EMIT_PLAIN_BYTES, column->as == EBB_AS_ADDRESS ? "0x%" PRIx64 : "%" PRIu64,
                 cell->number);
        return buf;
    case EBB_CELL_SIGNED:
        snprintf(buf, EBB_EMIT_PLAIN_BYTES, "%" PRId64, cell->signed_number);
        return buf;
    case EBB_CELL_REAL:
        if (!isfinite(cell->real))
            break;
        snprintf(buf, EBB_EMIT_PLAIN_BYTES, "%.10g", cell->real);
        return buf;
    case EBB_CELL_TEXT:
        return cell->text;
    case EBB_CELL_BOOL:
        return cell->yes ? "true" : "false";
    case EBB_CELL_UNKNOWN:
        break;
    }
    return "";
}

bool ebb__emit_real(const struct ebb_cell *cell, double *ret_value)
{
    switch (cell->kind) {
    case EBB_CELL_NUMBER:
        *ret_value = (double)cell->number;
        return true;
    case EBB_CELL_SIGNED:
        *ret_value = (double)cell->signed_number;
        return true;
    case EBB_CELL_REAL:
        *ret_value = cell->real;
        return isfinite(cell->real);
    case EBB_CELL_BOOL:
        *ret_value = cell->yes;
        return true;
    case EBB_CELL_TEXT:
    case EBB_CELL_UNKNOWN:
        break;
    }
    return false;
}
