/* SPDX-License-Identifier: MIT
 *
 * The view of one process in ebb top: what is known of it, and the picture of its resident memory.
 */
#include <math.h>
#include <string.h>

#include "model/units.h"
#include "tool/top_screen_priv.h"

#define GRAPH_LINES_MAX 12
#define GRAPH_LINES_MIN 2

/* "1023M " before each line of the picture. */
#define SCALE_COLUMNS 7

/* What stands in the one or two columns of figures, in reading order, the most wanted first: a small screen shows what fits. */
static const enum ebb_proc_column FIGURES[] = {
    EBB_PROC_COL_RSS,    EBB_PROC_COL_CPU,     EBB_PROC_COL_ANON,    EBB_PROC_COL_MINFLT,
    EBB_PROC_COL_FILE,   EBB_PROC_COL_MAJFLT,  EBB_PROC_COL_SHMEM,   EBB_PROC_COL_MEM,
    EBB_PROC_COL_SWAP,   EBB_PROC_COL_OOM,     EBB_PROC_COL_HWM,     EBB_PROC_COL_OOM_ADJ,
    EBB_PROC_COL_VIRT,   EBB_PROC_COL_VMAS,    EBB_PROC_COL_PTE,     EBB_PROC_COL_VMA_SHARE,
    EBB_PROC_COL_LOCKED, EBB_PROC_COL_THREADS, EBB_PROC_COL_HUGETLB, EBB_PROC_COL_CGROUP_SHARE,
    EBB_PROC_COL_TIME,   EBB_PROC_COL_AGE,     EBB_PROC_COL_CLASS,   EBB_PROC_COL_NICE,
};

/* The same in three columns: parts stay below their whole, and pairs together. */
static const enum ebb_proc_column WIDE_FIGURES[] = {
    EBB_PROC_COL_RSS,    EBB_PROC_COL_CPU,          EBB_PROC_COL_OOM,     EBB_PROC_COL_ANON,
    EBB_PROC_COL_MINFLT, EBB_PROC_COL_OOM_ADJ,      EBB_PROC_COL_FILE,    EBB_PROC_COL_MAJFLT,
    EBB_PROC_COL_VMAS,   EBB_PROC_COL_SHMEM,        EBB_PROC_COL_MEM,     EBB_PROC_COL_VMA_SHARE,
    EBB_PROC_COL_SWAP,   EBB_PROC_COL_TIME,         EBB_PROC_COL_THREADS, EBB_PROC_COL_HWM,
    EBB_PROC_COL_AGE,    EBB_PROC_COL_CGROUP_SHARE, EBB_PROC_COL_VIRT,    EBB_PROC_COL_CLASS,
    EBB_PROC_COL_LOCKED, EBB_PROC_COL_PTE,          EBB_PROC_COL_NICE,    EBB_PROC_COL_HUGETLB,
};

#define FIGURE_COUNT (sizeof(FIGURES) / sizeof(FIGURES[0]))
_Static_assert(sizeof(WIDE_FIGURES) == sizeof(FIGURES), "each figure is in both");

/* Names as they are said, where the heading of a list is too short for people who have room. */
static const char *name_of(enum ebb_proc_column id)
{
    switch (id) {
    case EBB_PROC_COL_ANON:
        return "  anonymous";
    case EBB_PROC_COL_FILE:
        return "  of files";
    case EBB_PROC_COL_SHMEM:
        return "  shared";
    case EBB_PROC_COL_RSS:
        return "Resident";
    case EBB_PROC_COL_VIRT:
        return "Virtual";
    case EBB_PROC_COL_SWAP:
        return "Swapped out";
    case EBB_PROC_COL_HWM:
        return "Peak resident";
    case EBB_PROC_COL_PTE:
        return "Page tables";
    case EBB_PROC_COL_LOCKED:
        return "Locked";
    case EBB_PROC_COL_HUGETLB:
        return "Huge pages";
    case EBB_PROC_COL_CPU:
        return "Processor %";
    case EBB_PROC_COL_MINFLT:
        return "Minor faults/s";
    case EBB_PROC_COL_MAJFLT:
        return "Major faults/s";
    case EBB_PROC_COL_MEM:
        return "Memory %";
    case EBB_PROC_COL_OOM:
        return "OOM rank";
    case EBB_PROC_COL_OOM_ADJ:
        return "oom_score_adj";
    case EBB_PROC_COL_VMAS:
        return "Mappings";
    case EBB_PROC_COL_VMA_SHARE:
        return "% of the limit";
    case EBB_PROC_COL_THREADS:
        return "Threads";
    case EBB_PROC_COL_CGROUP_SHARE:
        return "Cgroup full %";
    case EBB_PROC_COL_TIME:
        return "Processor time";
    case EBB_PROC_COL_AGE:
        return "Running for";
    case EBB_PROC_COL_CLASS:
        return "Scheduling";
    case EBB_PROC_COL_NICE:
        return "Nice";
    default:
        return ebb__proc_columns[id].column.heading;
    }
}

static void draw_figure(struct ebb_top_pen *pen, const struct ebb_top_facts *facts, enum ebb_proc_column id)
{
    const struct ebb_column *column = &ebb__proc_columns[id].column;
    struct ebb_cell cell = ebb__proc_cell(&facts->detail, &facts->detail.procs[0], id);
    char text[EBB_TOP_CELL_BYTES];

    ebb__top_put_field(pen, EBB_TOP_WEAK, name_of(id), -15);
    ebb__top_put_field(pen, EBB_TOP_PLAIN, ebb__top_cell_text(column, &cell, text), 8);
}

/* Several figures in a line where there is room for them. Returns the first free row. */
static unsigned draw_figures(struct ebb_top_screen *screen, unsigned row, unsigned lines,
                             const struct ebb_top_facts *facts)
{
    unsigned across = screen->columns >= 100 ? 3 : screen->columns >= 52 ? 2 : 1;
    const enum ebb_proc_column *figures = across == 3 ? WIDE_FIGURES : FIGURES;
    unsigned gap = screen->columns / across;

    for (size_t i = 0; i < FIGURE_COUNT && i / across < lines; i++) {
        struct ebb_top_pen pen = ebb__top_pen(screen, row + (unsigned)(i / across));

        pen.column = (unsigned)(i % across) * gap;
        draw_figure(&pen, facts, figures[i]);
    }
    return row + (unsigned)((FIGURE_COUNT + across - 1) / across < lines
                                ? (FIGURE_COUNT + across - 1) / across
                                : lines);
}

/* A line "name: text", where the text may be long. */
static void draw_text(struct ebb_top_screen *screen, unsigned row, const char *name,
                      const struct ebb_cell *cell)
{
    struct ebb_top_pen pen = ebb__top_pen(screen, row);

    ebb__top_put_field(&pen, EBB_TOP_WEAK, name, -15);
    if (cell->kind == EBB_CELL_TEXT)
        ebb__top_put(&pen, EBB_TOP_PLAIN, cell->text);
    else
        ebb__top_putf(&pen, EBB_TOP_PLAIN, "- (%s)", cell->why != NULL ? cell->why : "not known");
}

static unsigned draw_texts(struct ebb_top_screen *screen, unsigned row, const struct ebb_top_facts *facts)
{
    const struct ebb_proc *proc = &facts->detail.procs[0];
    struct ebb_cell command = ebb__proc_cell(&facts->detail, proc, EBB_PROC_COL_COMMAND);
    struct ebb_cell allocator = ebb__proc_cell(&facts->detail, proc, EBB_PROC_COL_ALLOCATOR);
    struct ebb_cell cgroup = ebb__proc_cell(&facts->detail, proc, EBB_PROC_COL_CGROUP);
    char text[1024];

    if (allocator.kind == EBB_CELL_TEXT) {
        snprintf(text, sizeof(text), "%s: %s", allocator.text, proc->allocator->evidence);
        allocator.text = text;
    }
    draw_text(screen, row, "Command", &command);
    draw_text(screen, row + 1, "Allocator", &allocator);
    draw_text(screen, row + 2, "Memory cgroup", &cgroup);
    return row + 3;
}

static void put_kib(struct ebb_top_pen *pen, double kib)
{
    char text[EBB_UNITS_BYTES];

    ebb__top_put_field(pen, EBB_TOP_WEAK, ebb__units_short((uint64_t)(kib * 1024), text), SCALE_COLUMNS - 1);
    ebb__top_put(pen, EBB_TOP_PLAIN, " ");
}

/* From the oldest to the newest value that is known. */
static void draw_trend(struct ebb_top_screen *screen, unsigned row, const struct ebb_top_series *series)
{
    struct ebb_top_pen pen = ebb__top_pen(screen, row);
    double first = (double)NAN;
    double last = ebb__top_series_at(series, 0);
    char from[EBB_UNITS_BYTES];
    char to[EBB_UNITS_BYTES];
    char change[EBB_UNITS_BYTES];

    for (unsigned age = 0; age < series->count; age++)
        if (!isnan(ebb__top_series_at(series, age)))
            first = ebb__top_series_at(series, age);
    if (isnan(first) || isnan(last))
        return;
    ebb__top_put(&pen, EBB_TOP_STRONG, "Resident memory");
    ebb__top_putf(
        &pen, EBB_TOP_PLAIN, "  %s -> %s (%s) in %u looks", ebb__units_short((uint64_t)(first * 1024), from),
        ebb__units_short((uint64_t)(last * 1024), to),
        ebb__units_change((uint64_t)(first * 1024), (uint64_t)(last * 1024), change), series->count);
}

static void draw_graph(struct ebb_top_screen *screen, unsigned row, unsigned lines,
                       const struct ebb_top_series *series, bool ascii)
{
    unsigned width = screen->columns > SCALE_COLUMNS ? screen->columns - SCALE_COLUMNS : 0;
    double low;
    double high;

    if (series == NULL || lines == 0 || !ebb__top_series_range(series, EBB_TOP_SAMPLES, &low, &high))
        return;
    draw_trend(screen, row, series);
    if (lines < 1 + GRAPH_LINES_MIN)
        return;
    lines = lines - 1 < GRAPH_LINES_MAX ? lines - 1 : GRAPH_LINES_MAX;
    ebb__top_series_scale(&low, &high);
    for (unsigned line = 0; line < lines; line++) {
        struct ebb_top_pen pen = ebb__top_pen(screen, row + lines - line);
        char text[EBB_TOP_SPARK_BYTES];

        if (line == 0)
            put_kib(&pen, low);
        else if (line == lines - 1)
            put_kib(&pen, high);
        ebb__top_skip_to(&pen, SCALE_COLUMNS);
        ebb__top_graph(series, width, low, high, lines, line, ascii, text);
        ebb__top_put(&pen, EBB_TOP_GRAPH, text);
    }
}

static void draw_who(struct ebb_top_screen *screen, const struct ebb_top_facts *facts,
                     const struct ebb_top_state *state)
{
    struct ebb_top_pen pen = ebb__top_pen(screen, 1);
    struct ebb_cell user;
    struct ebb_cell letter;

    ebb__top_putf(&pen, EBB_TOP_STRONG, "%s", state->selected_name);
    ebb__top_putf(&pen, EBB_TOP_PLAIN, "  pid %d", (int)state->selected_pid);
    if (facts->detail.count == 0)
        return;
    user = ebb__proc_cell(&facts->detail, &facts->detail.procs[0], EBB_PROC_COL_USER);
    letter = ebb__proc_cell(&facts->detail, &facts->detail.procs[0], EBB_PROC_COL_STATE);
    ebb__top_putf(&pen, EBB_TOP_PLAIN, "  parent %d", (int)facts->detail.procs[0].stat.ppid);
    if (user.kind == EBB_CELL_TEXT)
        ebb__top_putf(&pen, EBB_TOP_PLAIN, "  user %s", user.text);
    if (letter.kind == EBB_CELL_TEXT)
        ebb__top_putf(&pen, EBB_TOP_PLAIN, "  state %s", letter.text);
}

void ebb__top_draw_process(struct ebb_top_screen *screen, const struct ebb_top_facts *facts,
                           const struct ebb_top_state *state)
{
    const struct ebb_top_series *series =
        ebb__top_tracks_find(&facts->tracks, state->selected_pid, state->selected_start);
    bool small = screen->rows < 16;
    unsigned row = small ? 2 : 3;
    unsigned left;

    draw_who(screen, facts, state);
    if (facts->detail.count == 0) {
        struct ebb_top_pen pen = ebb__top_pen(screen, row);

        ebb__top_put(&pen, EBB_TOP_WARN, "It has ended. Esc goes back.");
        return;
    }
    /* Small screens: figures above, a picture of some lines below, and nothing else. */
    left = screen->rows > row ? screen->rows - row : 0;
    if (small) {
        row = draw_figures(screen, row, left > 4 ? left - 4 : left, facts);
    } else {
        unsigned most = left > 3 + 2 + GRAPH_LINES_MIN + 3 ? left - (3 + 2 + GRAPH_LINES_MIN + 3) : 1;

        row = draw_figures(screen, row, most, facts);
        row = draw_texts(screen, row, facts) + 1;
    }
    left = screen->rows > row + !small ? screen->rows - row - !small : 0;
    draw_graph(screen, row, left, series, state->ascii);
    if (!small) {
        struct ebb_top_pen pen = ebb__top_pen(screen, screen->rows - 1);

        ebb__top_put(&pen, EBB_TOP_WEAK, "Esc back  ? help");
    }
}
