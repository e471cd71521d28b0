/* SPDX-License-Identifier: MIT
 *
 * What the writers of the five formats have in common.
 */
#ifndef EBB_TOOL_EMIT_PRIV_H
#define EBB_TOOL_EMIT_PRIV_H

#include "tool/emit.h"

/* One format: how a report, a section, a row and a note are written. None of the functions is NULL. */
struct ebb_emit_writer {
    void (*begin)(struct ebb_emit *emit);
    void (*section_begin)(struct ebb_emit *emit);
    void (*row)(struct ebb_emit *emit, const struct ebb_cell *cells);
    void (*section_end)(struct ebb_emit *emit);
    void (*note)(struct ebb_emit *emit, const char *key, const char *text);
    void (*end)(struct ebb_emit *emit);
};

extern const struct ebb_emit_writer ebb__emit_human;
extern const struct ebb_emit_writer ebb__emit_json;
extern const struct ebb_emit_writer ebb__emit_jsonl;
extern const struct ebb_emit_writer ebb__emit_csv;
extern const struct ebb_emit_writer ebb__emit_openmetrics;

/* A number, a text or a word for yes and no, plainly: for CSV and the labels of OpenMetrics. "" for what is not known. */
#define EBB_EMIT_PLAIN_BYTES 64
const char *ebb__emit_plain(const struct ebb_column *column, const struct ebb_cell *cell,
                            char buf[EBB_EMIT_PLAIN_BYTES]);

/* The value of a cell as a real number; false when it has none. */
bool ebb__emit_real(const struct ebb_cell *cell, double *ret_value);

#endif
