/* SPDX-License-Identifier: MIT
 *
 * The screen of ebb top: the host above, below it the list of processes, one process, or help; see top_screen.h.
 */
#include <inttypes.h>
#include <string.h>

#include "model/units.h"
#include "tool/top_screen_priv.h"

/* From here on people should look: shares of memory, and of time in which tasks waited for it. */
#define AVAILABLE_WARN_PERCENT 10
#define AVAILABLE_BAD_PERCENT  5
#define PRESSURE_WARN_PERCENT  1
#define PRESSURE_BAD_PERCENT   10

/* Screens with fewer lines have a short head. */
#define TALL_ROWS 16

#define SPARK_COLUMNS 8
#define NAME_COLUMNS  10 /* at least, if the screen has them */

/* ---- the host ---- */

static void put_bytes(struct ebb_top_pen *pen, enum ebb_top_attr attr, struct ebb_fact fact)
{
    char text[EBB_UNITS_BYTES];

    ebb__top_put(pen, attr, fact.known ? ebb__units_short(fact.value, text) : "-");
}

/* A rate; that it is one stands before it. */
static void put_rate(struct ebb_top_pen *pen, const char *name, const struct ebb_top_host *host,
                     struct ebb_fact rise)
{
    static const struct ebb_column RATE = {.as = EBB_AS_RATE};
    struct ebb_cell cell = ebb__top_per_second(host, rise);
    char text[EBB_TOP_CELL_BYTES];

    ebb__top_putf(pen, EBB_TOP_WEAK, "  %s ", name);
    ebb__top_put(pen, EBB_TOP_PLAIN, ebb__top_cell_text(&RATE, &cell, text));
}

static void put_spark(struct ebb_top_pen *pen, const struct ebb_top_series *series, unsigned width,
                      double low, double high, bool ascii)
{
    char text[EBB_TOP_SPARK_BYTES];

    ebb__top_spark(series, width, low, high, ascii, text);
    ebb__top_put(pen, EBB_TOP_GRAPH, text);
}

/* As wide as the screen has room for beside the figures. */
static unsigned spark_width(const struct ebb_top_screen *screen)
{
    unsigned width = screen->columns < 60    ? SPARK_COLUMNS
                     : screen->columns < 120 ? 2 * SPARK_COLUMNS
                                             : screen->columns / 5;

    return width > EBB_TOP_SAMPLES ? EBB_TOP_SAMPLES : width;
}

static void draw_title(struct ebb_top_screen *screen, const struct ebb_top_facts *facts)
{
    const struct ebb_top_host *host = &facts->host;
    struct ebb_top_pen pen = ebb__top_pen(screen, 0);
    char text[EBB_UNITS_BYTES];

    ebb__top_put(&pen, EBB_TOP_STRONG, "ebb top");
    if (host->clock[0] != '\0')
        ebb__top_putf(&pen, EBB_TOP_PLAIN, "  %s", host->clock);
    ebb__top_putf(&pen, EBB_TOP_PLAIN, "  %zu", facts->table.all);
    ebb__top_put(&pen, EBB_TOP_WEAK, " processes");
    if (host->load.avg1_hundredths.known) {
        ebb__top_put(&pen, EBB_TOP_WEAK, "  load ");
        ebb__top_putf(&pen, EBB_TOP_PLAIN, "%.2f %.2f %.2f", (double)host->load.avg1_hundredths.value / 100,
                      (double)host->load.avg5_hundredths.value / 100,
                      (double)host->load.avg15_hundredths.value / 100);
    }
    if (host->load.uptime_ms.known) {
        ebb__top_put(&pen, EBB_TOP_WEAK, "  up ");
        ebb__top_put(&pen, EBB_TOP_PLAIN, ebb__units_ms(host->load.uptime_ms.value, text));
    }
    if (host->since_boot)
        ebb__top_put(&pen, EBB_TOP_WEAK, "  (rates: since the start)");
    else if (host->span_ms.known)
        ebb__top_putf(&pen, EBB_TOP_WEAK, "  (rates: %.1f s)", (double)host->span_ms.value / 1000);
}

static enum ebb_top_attr judge_available(const struct ebb_free *free)
{
    double percent;

    if (!free->available_bytes.known || !free->total_bytes.known || free->total_bytes.value == 0)
        return EBB_TOP_PLAIN;
    percent = 100.0 * (double)free->available_bytes.value / (double)free->total_bytes.value;
    return percent < AVAILABLE_BAD_PERCENT    ? EBB_TOP_BAD
           : percent < AVAILABLE_WARN_PERCENT ? EBB_TOP_WARN
                                              : EBB_TOP_PLAIN;
}

static void draw_memory(struct ebb_top_screen *screen, unsigned row, const struct ebb_top_facts *facts,
                        bool ascii)
{
    const struct ebb_free *free = &facts->host.free;
    struct ebb_top_pen pen = ebb__top_pen(screen, row);

    ebb__top_put(&pen, EBB_TOP_STRONG, "Mem  ");
    put_spark(&pen, &facts->memory_percent, spark_width(screen), 0, 100, ascii);
    ebb__top_put(&pen, EBB_TOP_PLAIN, " ");
    put_bytes(&pen, EBB_TOP_STRONG, free->used_bytes);
    ebb__top_put(&pen, EBB_TOP_WEAK, " used of ");
    put_bytes(&pen, EBB_TOP_PLAIN, free->total_bytes);
    ebb__top_put(&pen, EBB_TOP_WEAK, "  avail ");
    put_bytes(&pen, judge_available(free), free->available_bytes);
    ebb__top_put(&pen, EBB_TOP_WEAK, "  cache ");
    put_bytes(&pen, EBB_TOP_PLAIN, free->cache_bytes);
    ebb__top_put(&pen, EBB_TOP_WEAK, "  shared ");
    put_bytes(&pen, EBB_TOP_PLAIN, free->shared_bytes);
}

static void draw_swap(struct ebb_top_screen *screen, unsigned row, const struct ebb_top_facts *facts,
                      bool ascii)
{
    const struct ebb_top_host *host = &facts->host;
    struct ebb_top_pen pen = ebb__top_pen(screen, row);

    ebb__top_put(&pen, EBB_TOP_STRONG, "Swap ");
    if (host->free.swap_total_bytes.known && host->free.swap_total_bytes.value == 0) {
        ebb__top_put(&pen, EBB_TOP_PLAIN, "none");
    } else {
        put_spark(&pen, &facts->swap_percent, spark_width(screen), 0, 100, ascii);
        ebb__top_put(&pen, EBB_TOP_PLAIN, " ");
        put_bytes(&pen, EBB_TOP_STRONG, host->free.swap_used_bytes);
        ebb__top_put(&pen, EBB_TOP_WEAK, " used of ");
        put_bytes(&pen, EBB_TOP_PLAIN, host->free.swap_total_bytes);
        put_rate(&pen, "pages in/s", host, host->swap_in_pages);
        put_rate(&pen, "out/s", host, host->swap_out_pages);
    }
}

static void put_pressure(struct ebb_top_pen *pen, const char *name, struct ebb_fact hundredths)
{
    double percent = (double)hundredths.value / 100;

    ebb__top_putf(pen, EBB_TOP_WEAK, "  %s ", name);
    if (!hundredths.known)
        ebb__top_put(pen, EBB_TOP_PLAIN, "-");
    else
        ebb__top_putf(pen,
                      percent >= PRESSURE_BAD_PERCENT    ? EBB_TOP_BAD
                      : percent >= PRESSURE_WARN_PERCENT ? EBB_TOP_WARN
                                                         : EBB_TOP_PLAIN,
                      "%.2f %%", percent);
}

static void draw_pressure(struct ebb_top_screen *screen, unsigned row, const struct ebb_top_facts *facts,
                          bool ascii)
{
    const struct ebb_pressure *pressure = &facts->host.pressure;
    struct ebb_top_pen pen = ebb__top_pen(screen, row);
    double low = 0;
    double high = 0;

    ebb__top_put(&pen, EBB_TOP_STRONG, "PSI  ");
    /* Little pressure looks little: the picture ends at what is bad, or above it. */
    if (!ebb__top_series_range(&facts->pressure_percent, spark_width(screen), &low, &high) ||
        high < PRESSURE_BAD_PERCENT)
        high = PRESSURE_BAD_PERCENT;
    put_spark(&pen, &facts->pressure_percent, spark_width(screen), 0, high, ascii);
    put_pressure(&pen, "some", pressure->some.avg10_hundredths);
    put_pressure(&pen, "full", pressure->full.avg10_hundredths);
    ebb__top_put(&pen, EBB_TOP_WEAK, "  dirty ");
    put_bytes(&pen, EBB_TOP_PLAIN, facts->host.info.dirty_bytes);
    ebb__top_put(&pen, EBB_TOP_WEAK, "  writeback ");
    put_bytes(&pen, EBB_TOP_PLAIN, facts->host.info.writeback_bytes);
}

static void draw_reclaim(struct ebb_top_screen *screen, unsigned row, const struct ebb_top_host *host)
{
    const struct ebb_reclaim_rates *reclaim = &host->reclaim;
    const struct ebb_share *efficiency =
        reclaim->by_kind ? &reclaim->all.efficiency : &reclaim->global.efficiency;
    struct ebb_top_pen pen = ebb__top_pen(screen, row);

    ebb__top_put(&pen, EBB_TOP_STRONG, "Scan/s");
    put_rate(&pen, "kswapd", host, reclaim->kswapd);
    put_rate(&pen, "direct", host, reclaim->direct);
    put_rate(&pen, "cgroup", host, reclaim->cgroups.scan);
    put_rate(&pen, "stalls", host, reclaim->stalls);
    put_rate(&pen, "refaults", host, reclaim->refaults);
    ebb__top_put(&pen, EBB_TOP_WEAK, "  freed ");
    if (efficiency->known)
        ebb__top_putf(&pen, EBB_TOP_PLAIN, "%.0f %%", efficiency->percent);
    else
        ebb__top_put(&pen, EBB_TOP_PLAIN, "-");
}

/* Returns the first row below the host's. */
static unsigned draw_host(struct ebb_top_screen *screen, const struct ebb_top_facts *facts, bool ascii)
{
    draw_title(screen, facts);
    draw_memory(screen, 1, facts, ascii);
    if (screen->rows < TALL_ROWS) {
        draw_pressure(screen, 2, facts, ascii);
        return 3;
    }
    draw_swap(screen, 2, facts, ascii);
    draw_pressure(screen, 3, facts, ascii);
    draw_reclaim(screen, 4, &facts->host);
    return 5;
}

/* ---- columns of the list ---- */

enum { GRAPH = EBB_PROC_COLUMN_COUNT };

/* From left to right. The lower the number, the narrower the screens that have it; the name takes what is left. */
static const struct list_column {
    int id;
    int importance;
} LIST[] = {
    {EBB_PROC_COL_PID, 0},           {EBB_PROC_COL_USER, 13},    {EBB_PROC_COL_STATE, 14},
    {EBB_PROC_COL_VIRT, 17},         {EBB_PROC_COL_RSS, 1},      {GRAPH, 2},
    {EBB_PROC_COL_ANON, 9},          {EBB_PROC_COL_FILE, 15},    {EBB_PROC_COL_SHMEM, 16},
    {EBB_PROC_COL_SWAP, 5},          {EBB_PROC_COL_HWM, 11},     {EBB_PROC_COL_PTE, 18},
    {EBB_PROC_COL_MEM, 6},           {EBB_PROC_COL_CPU, 3},      {EBB_PROC_COL_MINFLT, 4},
    {EBB_PROC_COL_MAJFLT, 8},        {EBB_PROC_COL_THREADS, 10}, {EBB_PROC_COL_OOM, 7},
    {EBB_PROC_COL_CGROUP_SHARE, 12},
};

#define LIST_COUNT (sizeof(LIST) / sizeof(LIST[0]))

static unsigned width_of(const struct list_column *column)
{
    int width = column->id == GRAPH ? SPARK_COLUMNS : ebb__proc_columns[column->id].column.width;

    return (unsigned)(width < 0 ? -width : width);
}

/* Chooses the columns of a screen so wide. The one that it is sorted by is always among them. Returns the columns that the name has. */
static unsigned choose(unsigned columns, const struct ebb_top_state *state, bool ret_chosen[LIST_COUNT])
{
    unsigned used = NAME_COLUMNS;

    memset(ret_chosen, 0, LIST_COUNT * sizeof(*ret_chosen));
    for (int importance = -1; importance <= 18; importance++)
        for (size_t i = 0; i < LIST_COUNT; i++) {
            bool wanted = importance < 0 ? LIST[i].id == (int)state->sort : LIST[i].importance == importance;

            if (!wanted || ret_chosen[i] || used + width_of(&LIST[i]) + 1 > columns)
                continue;
            ret_chosen[i] = true;
            used += width_of(&LIST[i]) + 1;
        }
    return columns > used - NAME_COLUMNS ? columns - (used - NAME_COLUMNS) : 0;
}

unsigned ebb__top_needs(unsigned columns, const struct ebb_top_state *state)
{
    bool chosen[LIST_COUNT];
    /* Sizes for the history, oom_score for the rank, which both every screen has. */
    unsigned needs = EBB_PROC_STAT | EBB_PROC_STATUS | EBB_PROC_RANK | ebb__proc_columns[state->sort].needs;

    choose(columns, state, chosen);
    for (size_t i = 0; i < LIST_COUNT; i++)
        if (chosen[i] && LIST[i].id != GRAPH)
            needs |= ebb__proc_columns[LIST[i].id].needs;
    return needs;
}

/* ---- the list ---- */

static void draw_headings(struct ebb_top_screen *screen, unsigned row, const bool chosen[LIST_COUNT],
                          const struct ebb_top_state *state)
{
    struct ebb_top_pen pen = ebb__top_pen(screen, row);

    for (size_t i = 0; i < LIST_COUNT; i++) {
        const struct ebb_column *column;

        if (!chosen[i])
            continue;
        if (LIST[i].id == GRAPH) {
            ebb__top_put_field(&pen, EBB_TOP_HEAD, "history", -SPARK_COLUMNS);
        } else {
            column = &ebb__proc_columns[LIST[i].id].column;
            ebb__top_put_field(&pen, LIST[i].id == (int)state->sort ? EBB_TOP_SORTED : EBB_TOP_HEAD,
                               column->heading, column->width);
        }
        ebb__top_put(&pen, EBB_TOP_HEAD, " ");
    }
    ebb__top_put(&pen, EBB_TOP_HEAD, "NAME");
    while (pen.column < pen.limit)
        ebb__top_put(&pen, EBB_TOP_HEAD, " ");
}

static void put_history(struct ebb_top_pen *pen, const struct ebb_top_facts *facts,
                        const struct ebb_proc *proc, bool ascii)
{
    const struct ebb_top_series *series =
        ebb__top_tracks_find(&facts->tracks, proc->pid, proc->stat.start_ticks);
    double low;
    double high;

    if (series == NULL || !ebb__top_series_range(series, SPARK_COLUMNS, &low, &high)) {
        ebb__top_put_field(pen, EBB_TOP_PLAIN, "", SPARK_COLUMNS);
        return;
    }
    ebb__top_series_scale(&low, &high);
    put_spark(pen, series, SPARK_COLUMNS, low, high, ascii);
}

static void draw_row(struct ebb_top_screen *screen, unsigned row, const struct ebb_top_facts *facts,
                     const struct ebb_proc *proc, const bool chosen[LIST_COUNT], bool marked, bool ascii)
{
    struct ebb_top_pen pen = ebb__top_pen(screen, row);

    if (marked)
        pen.only_attr = EBB_TOP_MARK;
    for (size_t i = 0; i < LIST_COUNT; i++) {
        const struct ebb_column *column;
        struct ebb_cell cell;
        char text[EBB_TOP_CELL_BYTES];

        if (!chosen[i])
            continue;
        if (LIST[i].id == GRAPH) {
            put_history(&pen, facts, proc, ascii);
        } else {
            column = &ebb__proc_columns[LIST[i].id].column;
            cell = ebb__proc_cell(&facts->table, proc, (enum ebb_proc_column)LIST[i].id);
            ebb__top_put_field(&pen, EBB_TOP_PLAIN, ebb__top_cell_text(column, &cell, text), column->width);
        }
        ebb__top_put(&pen, EBB_TOP_PLAIN, " ");
    }
    ebb__top_put(&pen, EBB_TOP_PLAIN, proc->name);
    while (marked && pen.column < pen.limit)
        ebb__top_put(&pen, EBB_TOP_PLAIN, " ");
}

/* What filters, or is being typed. */
static void draw_filter(struct ebb_top_screen *screen, unsigned row, const struct ebb_top_list *list,
                        const struct ebb_top_state *state)
{
    struct ebb_top_pen pen = ebb__top_pen(screen, row);

    if (state->editing) {
        ebb__top_put(&pen, EBB_TOP_STRONG, "Filter: ");
        ebb__top_put(&pen, EBB_TOP_PLAIN, state->edit);
        ebb__top_put(&pen, EBB_TOP_MARK, " ");
        ebb__top_putf(&pen, EBB_TOP_WEAK, "  %zu found; Enter keeps it, Esc goes back", list->count);
    } else if (state->filter[0] != '\0') {
        ebb__top_put(&pen, EBB_TOP_STRONG, "Filter: ");
        ebb__top_put(&pen, EBB_TOP_PLAIN, state->filter);
        ebb__top_putf(&pen, EBB_TOP_WEAK, "  %zu found; Esc drops it", list->count);
    }
}

static void draw_keys(struct ebb_top_screen *screen, const char *text)
{
    struct ebb_top_pen pen = ebb__top_pen(screen, screen->rows - 1);

    ebb__top_put(&pen, EBB_TOP_WEAK, text);
}

static void draw_list(struct ebb_top_screen *screen, unsigned row, const struct ebb_top_facts *facts,
                      const struct ebb_top_list *list, struct ebb_top_state *state)
{
    bool tall = screen->rows >= TALL_ROWS;
    bool chosen[LIST_COUNT];
    unsigned below = tall ? 1 : 0;
    size_t first;

    choose(screen->columns, state, chosen);
    /* A small screen has a line for the filter only while there is one. */
    if (tall || state->editing || state->filter[0] != '\0')
        draw_filter(screen, row++, list, state);
    draw_headings(screen, row++, chosen, state);
    state->page = screen->rows > row + below ? screen->rows - row - below : 0;
    if (tall)
        draw_keys(screen, "q quit  ? help  M memory  P cpu  F faults  S swap  O oom  / filter  Enter more");
    if (state->page == 0)
        return;
    if (list->count == 0) {
        struct ebb_top_pen pen = ebb__top_pen(screen, row);

        ebb__top_put(&pen, EBB_TOP_WEAK, "No process.");
    }
    first = state->selected / state->page * state->page;
    for (size_t i = first; i < list->count && i < first + state->page; i++)
        draw_row(screen, row++, facts, &facts->table.procs[list->order[i]], chosen, i == state->selected,
                 state->ascii);
}

static void draw_help(struct ebb_top_screen *screen, unsigned row)
{
    static const char *const NOTES[] = {
        "PSI: time of the last 10 s in which some task, or all, waited for memory.",
        "Scan: pages that reclaim looked at, by whom; freed: the share it got back.",
        "A history of RSS reaches from its least to its largest value, and over at",
        "least a tenth of the largest. \"-\": not known, or there is none.",
    };
    bool narrow = screen->columns < 60;

    for (size_t i = 0; i < ebb__top_key_count; i++) {
        struct ebb_top_pen pen = ebb__top_pen(screen, row + (unsigned)i);

        ebb__top_put_field(&pen, EBB_TOP_STRONG, ebb__top_keys[i].key, narrow ? -7 : -9);
        ebb__top_put(&pen, EBB_TOP_PLAIN, ebb__top_keys[i].what);
    }
    for (size_t i = 0; i < sizeof(NOTES) / sizeof(NOTES[0]); i++) {
        struct ebb_top_pen pen = ebb__top_pen(screen, row + (unsigned)(ebb__top_key_count + 1 + i));

        ebb__top_put(&pen, EBB_TOP_WEAK, NOTES[i]);
    }
}

void ebb__top_draw(struct ebb_top_screen *screen, const struct ebb_top_facts *facts,
                   const struct ebb_top_list *list, struct ebb_top_state *state)
{
    unsigned row;

    screen->ascii = state->ascii;
    memset(screen->glyphs, 0, (size_t)screen->rows * screen->columns * sizeof(*screen->glyphs));
    if (screen->rows == 0)
        return;
    switch (state->view) {
    case EBB_TOP_PROCESS:
        draw_title(screen, facts);
        ebb__top_draw_process(screen, facts, state);
        break;
    case EBB_TOP_HELP:
        draw_title(screen, facts);
        draw_help(screen, screen->rows < TALL_ROWS ? 1 : 2);
        break;
    case EBB_TOP_LIST:
        row = draw_host(screen, facts, state->ascii);
        draw_list(screen, row, facts, list, state);
        break;
    }
}
