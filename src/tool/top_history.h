/* SPDX-License-Identifier: MIT
 *
 * What figures were at the last looks, and pictures of that in characters.
 *
 * A process keeps its history as long as it lives: who is seen again is told by number and start. A ring costs some 250 bytes, so a thousand
 * processes take a quarter of a megabyte.
 */
#ifndef EBB_TOOL_TOP_HISTORY_H
#define EBB_TOOL_TOP_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tool/proc_table.h"

/* As many looks as are kept: two minutes at the usual pace. */
#define EBB_TOP_SAMPLES 60

/* Bytes of a picture of EBB_TOP_SAMPLES characters of UTF-8, and a NUL. */
#define EBB_TOP_SPARK_BYTES (EBB_TOP_SAMPLES * 3 + 1)

/* A ring; what was not known is NaN. */
struct ebb_top_series {
    float values[EBB_TOP_SAMPLES];
    unsigned char count;
    unsigned char next; /* where the next one goes */
};

void ebb__top_series_push(struct ebb_top_series *series, bool known, double value);

/* `age` 0 is the newest. NaN when there is none so old. */
double ebb__top_series_at(const struct ebb_top_series *series, unsigned age);

/* The least and the largest of the newest `width` values. False when none of them is known. */
bool ebb__top_series_range(const struct ebb_top_series *series, unsigned width, double *ret_low,
                           double *ret_high);

/* The range a picture of sizes is drawn in: from the least to the largest, but at least a tenth of the largest, so that what hardly
 * changes looks flat. */
void ebb__top_series_scale(double *low, double *high);

/* One line of `width` characters, the newest at the right; blanks where nothing is known. With `ascii` without UTF-8. */
void ebb__top_spark(const struct ebb_top_series *series, unsigned width, double low, double high, bool ascii,
                    char ret_text[EBB_TOP_SPARK_BYTES]);

/* Line `line` (0 is the lowest) of a picture of `lines` lines. */
void ebb__top_graph(const struct ebb_top_series *series, unsigned width, double low, double high,
                    unsigned lines, unsigned line, bool ascii, char ret_text[EBB_TOP_SPARK_BYTES]);

/* ---- resident memory of processes ---- */

struct ebb_top_track {
    struct ebb_proc_counts who; /* its number and start */
    struct ebb_top_series rss_kib;
};

struct ebb_top_tracks {
    struct ebb_top_track *tracks; /* in ascending order of numbers */
    size_t count;
};

/* Adds a look: who is in the table gets a value, who is not is forgotten. False when memory has run out; then nothing has changed. */
bool ebb__top_tracks_push(struct ebb_top_tracks *tracks, const struct ebb_proc_table *table);
void ebb__top_tracks_fini(struct ebb_top_tracks *tracks);

/* The history of a process, or NULL. */
const struct ebb_top_series *ebb__top_tracks_find(const struct ebb_top_tracks *tracks, pid_t pid,
                                                  uint64_t start_ticks);

#endif
