/* SPDX-License-Identifier: MIT
 *
 * What figures were at the last looks; see top_history.h.
 */
#include "tool/top_history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Eighths of a character's height, and the same as far as ASCII goes. */
static const char BLOCKS[9][4] = {" ",      "\u2581", "\u2582", "\u2583", "\u2584",
                                  "\u2585", "\u2586", "\u2587", "\u2588"};
static const char LETTERS[9][4] = {" ", "_", ".", "-", ":", "=", "+", "*", "#"};

#define EIGHTHS 8

void ebb__top_series_push(struct ebb_top_series *series, bool known, double value)
{
    series->values[series->next] = known ? (float)value : NAN;
    series->next = (unsigned char)((series->next + 1) % EBB_TOP_SAMPLES);
    if (series->count < EBB_TOP_SAMPLES)
        series->count++;
}

double ebb__top_series_at(const struct ebb_top_series *series, unsigned age)
{
    if (age >= series->count)
        return (double)NAN;
    return (double)series->values[(series->next + 2 * EBB_TOP_SAMPLES - 1 - age) % EBB_TOP_SAMPLES];
}

bool ebb__top_series_range(const struct ebb_top_series *series, unsigned width, double *ret_low,
                           double *ret_high)
{
    bool any = false;

    for (unsigned age = 0; age < width && age < series->count; age++) {
        double value = ebb__top_series_at(series, age);

        if (isnan(value))
            continue;
        if (!any || value < *ret_low)
            *ret_low = value;
        if (!any || value > *ret_high)
            *ret_high = value;
        any = true;
    }
    return any;
}

void ebb__top_series_scale(double *low, double *high)
{
    double least = *high * 0.9;

    if (*low > least)
        *low = least;
}

/* The height of a value in eighths of a line, at least one: what is there is seen. */
static unsigned height(double value, double low, double high, unsigned lines)
{
    double most = (double)lines * EIGHTHS;
    double share = high > low ? (value - low) / (high - low) : 0;
    double eighths = 1 + share * (most - 1);

    return eighths <= 1 ? 1 : eighths >= most ? lines * EIGHTHS : (unsigned)(eighths + 0.5);
}

void ebb__top_graph(const struct ebb_top_series *series, unsigned width, double low, double high,
                    unsigned lines, unsigned line, bool ascii, char ret_text[EBB_TOP_SPARK_BYTES])
{
    size_t used = 0;

    if (width > EBB_TOP_SAMPLES)
        width = EBB_TOP_SAMPLES;
    for (unsigned age = width; age-- > 0;) {
        double value = ebb__top_series_at(series, age);
        unsigned eighths = isnan(value) ? 0 : height(value, low, high, lines);
        unsigned here = eighths <= line * EIGHTHS ? 0 : eighths - line * EIGHTHS;
        const char *glyph = (ascii ? LETTERS : BLOCKS)[here > EIGHTHS ? EIGHTHS : here];
        size_t len = strlen(glyph);

        memcpy(ret_text + used, glyph, len);
        used += len;
    }
    ret_text[used] = '\0';
}

void ebb__top_spark(const struct ebb_top_series *series, unsigned width, double low, double high, bool ascii,
                    char ret_text[EBB_TOP_SPARK_BYTES])
{
    ebb__top_graph(series, width, low, high, 1, 0, ascii, ret_text);
}

/* ---- resident memory of processes ---- */

static int compare(const struct ebb_proc_counts *a, pid_t pid, uint64_t start_ticks)
{
    if (a->id != pid)
        return a->id < pid ? -1 : 1;
    return (a->start_ticks > start_ticks) - (a->start_ticks < start_ticks);
}

static struct ebb_top_track *find(const struct ebb_top_tracks *tracks, pid_t pid, uint64_t start_ticks)
{
    size_t low = 0;
    size_t high = tracks->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(&tracks->tracks[middle].who, pid, start_ticks);

        if (order == 0)
            return &tracks->tracks[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool ebb__top_tracks_push(struct ebb_top_tracks *tracks, const struct ebb_proc_table *table)
{
    struct ebb_top_tracks grown = {.tracks =
                                       calloc(table->count == 0 ? 1 : table->count, sizeof(*grown.tracks))};

    if (grown.tracks == NULL)
        return false;
    /* The table is in ascending order of numbers, and so is what comes out. */
    for (size_t i = 0; i < table->count; i++) {
        const struct ebb_proc *proc = &table->procs[i];
        struct ebb_top_track *track = &grown.tracks[grown.count++];
        const struct ebb_top_track *old = find(tracks, proc->pid, proc->stat.start_ticks);
        bool known = proc->status_err == 0 && ebb__status_has(&proc->status, EBB_STATUS_VM_RSS);

        if (old != NULL)
            *track = *old;
        track->who.id = proc->pid;
        track->who.start_ticks = proc->stat.start_ticks;
        ebb__top_series_push(&track->rss_kib, known, (double)proc->status.vm_rss_bytes / 1024);
    }
    free(tracks->tracks);
    *tracks = grown;
    return true;
}

void ebb__top_tracks_fini(struct ebb_top_tracks *tracks)
{
    free(tracks->tracks);
    tracks->tracks = NULL;
    tracks->count = 0;
}

const struct ebb_top_series *ebb__top_tracks_find(const struct ebb_top_tracks *tracks, pid_t pid,
                                                  uint64_t start_ticks)
{
    const struct ebb_top_track *track = find(tracks, pid, start_ticks);

    return track == NULL ? NULL : &track->rss_kib;
}
