/* SPDX-License-Identifier: MIT
 *
 * The threads of processes; see proc_threads.h.
 */
#include "tool/proc_threads.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/proc_columns.h"

#define FIRST_ROOM 64

enum {
    COL_PID,
    COL_TID,
    COL_STATE,
    COL_CPU,
    COL_MINFLT,
    COL_MAJFLT,
    COL_CLASS,
    COL_PRIORITY,
    COL_NICE,
    COL_REAL_TIME,
    COL_TIME,
    COL_WCHAN,
    COL_NAME,
    COL_COUNT
};

static const struct ebb_column COLUMNS[COL_COUNT] = {
    [COL_PID] = {"pid", "PID", EBB_AS_NUMBER, 7, .label = true, .help = "number of the process"},
    [COL_TID] = {"tid", "TID", EBB_AS_NUMBER, 7, .label = true, .help = "number of the thread"},
    [COL_STATE] = {"state", "S", EBB_AS_TEXT, -1, .help = "as the state of a process"},
    [COL_CPU] = {"cpu_percent", "%CPU", EBB_AS_PERCENT, 5, .help = "processor time, of one processor"},
    [COL_MINFLT] = {"minor_faults_per_second", "MINFLT/s", EBB_AS_RATE, 8,
                    .help = "page faults that needed no disk"},
    [COL_MAJFLT] = {"major_faults_per_second", "MAJFLT/s", EBB_AS_RATE, 8,
                    .help = "page faults that waited for a disk"},
    [COL_CLASS] = {"class", "CLS", EBB_AS_TEXT, -3, .help = "scheduling policy"},
    [COL_PRIORITY] = {"priority", "PRI", EBB_AS_NUMBER, 3, .help = "priority as PRI of ps"},
    [COL_NICE] = {"nice", "NI", EBB_AS_NUMBER, 3, .help = "nice value"},
    [COL_REAL_TIME] = {"real_time_priority", "RTPRIO", EBB_AS_NUMBER, 6, .help = "of real-time threads"},
    [COL_TIME] = {"cpu_time_ms", "CPUms", EBB_AS_MS, 9, .counter = true,
                  .help = "processor time since the start"},
    [COL_WCHAN] = {"wchan", "WCHAN", EBB_AS_TEXT, -20,
                   .help = "the kernel's function in which the thread waits"},
    [COL_NAME] = {"name", "NAME", EBB_AS_TEXT, -15, .label = true, .help = "what the kernel calls it"},
};

static const struct ebb_section SECTION = {.key = "threads", .columns = COLUMNS, .column_count = COL_COUNT};

/* "0" says that the thread runs, or that we may not know. */
static void read_wchan(const char *root, pid_t pid, pid_t tid, char ret_wchan[64])
{
    char file[64];
    size_t len;

    snprintf(file, sizeof(file), "task/%d/wchan", (int)tid);
    if (ebb__proc_read(root, pid, file, ret_wchan, 63, &len) != 0 || (len == 1 && ret_wchan[0] == '0'))
        len = 0;
    ret_wchan[len] = '\0';
}

static bool grow(struct ebb_proc_threads *threads)
{
    size_t room = threads->room == 0 ? FIRST_ROOM : threads->room * 2;
    struct ebb_proc_thread *grown;

    if (threads->count < threads->room)
        return true;
    grown = realloc(threads->threads, room * sizeof(*grown));
    if (grown == NULL)
        return false;
    threads->threads = grown;
    threads->room = room;
    return true;
}

static int compare(const void *a, const void *b)
{
    const struct ebb_proc_thread *x = a;
    const struct ebb_proc_thread *y = b;

    if (x->pid != y->pid)
        return x->pid < y->pid ? -1 : 1;
    return (x->stat.pid > y->stat.pid) - (x->stat.pid < y->stat.pid);
}

/* A thread that ends meanwhile is left out. */
static int take_process(const struct ebb_proc_table *table, pid_t pid, struct ebb_proc_threads *threads)
{
    struct ebb_procs list;
    pid_t tid;
    int err = ebb__procs_open_threads(&list, table->root, pid);

    if (err != 0)
        return 0;
    while ((tid = ebb__procs_next(&list)) != 0) {
        struct ebb_proc_thread thread = {.pid = pid};
        struct ebb_proc_counts counts;

        if (ebb__stat_read_thread(table->root, pid, tid, &thread.stat) != 0)
            continue;
        read_wchan(table->root, pid, tid, thread.wchan);
        ebb__proc_counts_of(&thread.stat, &counts);
        ebb__proc_rates_life(&counts, table->uptime_ms, table->host.clock_ticks, &thread.rates);
        if (!grow(threads)) {
            err = -ENOMEM;
            break;
        }
        threads->threads[threads->count++] = thread;
    }
    ebb__procs_close(&list);
    return err;
}

int ebb__proc_threads_look(const struct ebb_proc_table *table, struct ebb_proc_threads *ret_threads)
{
    int err = 0;

    memset(ret_threads, 0, sizeof(*ret_threads));
    for (size_t i = 0; err == 0 && i < table->count; i++)
        err = take_process(table, table->procs[i].pid, ret_threads);
    if (err != 0) {
        ebb__proc_threads_fini(ret_threads);
        return err;
    }
    if (ret_threads->count != 0)
        qsort(ret_threads->threads, ret_threads->count, sizeof(*ret_threads->threads), compare);
    return 0;
}

void ebb__proc_threads_fini(struct ebb_proc_threads *threads)
{
    free(threads->threads);
    memset(threads, 0, sizeof(*threads));
}

struct ebb_proc_counts *ebb__proc_threads_counts(const struct ebb_proc_threads *threads, size_t *ret_count)
{
    struct ebb_proc_counts *counts = threads->count == 0 ? NULL : calloc(threads->count, sizeof(*counts));

    *ret_count = 0;
    if (counts == NULL)
        return NULL;
    for (size_t i = 0; i < threads->count; i++)
        ebb__proc_counts_of(&threads->threads[i].stat, &counts[i]);
    ebb__proc_rates_sort(counts, threads->count);
    *ret_count = threads->count;
    return counts;
}

void ebb__proc_threads_compare(struct ebb_proc_threads *threads, const struct ebb_proc_table *table,
                               const struct ebb_proc_counts *before, size_t before_count, uint64_t before_ns)
{
    uint64_t between_ms = (table->at_ns - before_ns + 500000) / 1000000;

    for (size_t i = 0; i < threads->count; i++) {
        struct ebb_proc_counts now;

        ebb__proc_counts_of(&threads->threads[i].stat, &now);
        ebb__proc_rates_between(ebb__proc_rates_find(before, before_count, &now), &now, between_ms,
                                table->host.clock_ticks, &threads->threads[i].rates);
    }
}

static void emit_thread(struct ebb_emit *emit, const struct ebb_proc_table *table,
                        const struct ebb_proc_thread *thread)
{
    const struct ebb_stat *stat = &thread->stat;
    const struct ebb_proc_rates *rates = &thread->rates;
    bool real_time = stat->policy == 1 || stat->policy == 2;
    uint64_t ticks = ebb__fact_or(table->host.clock_ticks, 0);
    struct ebb_cell cells[COL_COUNT] = {
        [COL_PID] = ebb__cell_number((uint64_t)thread->pid),
        [COL_TID] = ebb__cell_number((uint64_t)stat->pid),
        [COL_STATE] = ebb__cell_text(ebb__proc_state(stat->state)),
        [COL_CPU] = rates->known ? ebb__cell_real(rates->cpu_percent) : ebb__cell_unknown(rates->why),
        [COL_MINFLT] = rates->known ? ebb__cell_real(rates->minor_per_s) : ebb__cell_unknown(rates->why),
        [COL_MAJFLT] = rates->known ? ebb__cell_real(rates->major_per_s) : ebb__cell_unknown(rates->why),
        [COL_CLASS] = ebb__cell_text(ebb__proc_class(stat->policy)),
        [COL_PRIORITY] = ebb__cell_signed(39 - stat->priority),
        [COL_NICE] = ebb__proc_nice(0, stat),
        [COL_REAL_TIME] =
            real_time ? ebb__cell_signed(stat->rt_priority) : ebb__cell_unknown("it is no real-time thread"),
        [COL_TIME] = ticks != 0 ? ebb__cell_number((stat->user_ticks + stat->system_ticks) * 1000 / ticks)
                                : ebb__cell_fact(table->host.clock_ticks),
        [COL_WCHAN] = thread->wchan[0] != '\0'
                          ? ebb__cell_text(thread->wchan)
                          : ebb__cell_unknown("it runs, or needs CAP_SYS_PTRACE or the same user"),
        [COL_NAME] = ebb__cell_text(stat->name),
    };

    ebb__emit_row(emit, cells);
}

void ebb__proc_threads_emit(struct ebb_emit *emit, const struct ebb_proc_table *table,
                            const struct ebb_proc_threads *threads, const size_t *order, size_t limit)
{
    ebb__emit_section(emit, &SECTION);
    for (size_t i = 0; i < table->count && (limit == 0 || i < limit); i++) {
        pid_t pid = table->procs[order[i]].pid;
        size_t low = 0;
        size_t high = threads->count;

        /* The first thread of the process: they are sorted by process. */
        while (low < high) {
            size_t middle = low + (high - low) / 2;

            if (threads->threads[middle].pid < pid)
                low = middle + 1;
            else
                high = middle;
        }
        for (; low < threads->count && threads->threads[low].pid == pid; low++)
            emit_thread(emit, table, &threads->threads[low]);
    }
}
