/* SPDX-License-Identifier: MIT
 *
 * ebb ps: the memory of processes, one line for each, and how busy they are.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool/cmd.h"
#include "tool/proc_columns.h"
#include "tool/proc_threads.h"
#include "tool/target.h"
#include "tool/users.h"

static struct {
    const char *sort;
    bool reverse;
    unsigned top;
    const char *columns;
    const char *user;
    const char *filter;
    bool kernel;
    bool threads;
    bool allocator;
    long interval_ms;
    struct ebb_output output;
} options = {.interval_ms = -1};

static const char *const SYNOPSIS[] = {"[OPTION...] [TARGET...]", NULL};

static const struct ebb_opt ROWS[] = {
    {'s', "sort", EBB_OPT_TEXT, "COLUMN", "order of the rows; rss without it", &options.sort},
    {'r', "reverse", EBB_OPT_FLAG, NULL, "turn that order around", &options.reverse},
    {'n', "top", EBB_OPT_COUNT, "N", "only the first N rows", &options.top},
    {'c', "columns", EBB_OPT_TEXT, "LIST", "these columns; +LIST adds to the usual ones, all shows every one",
     &options.columns},
    {'u', "user", EBB_OPT_TEXT, "USER", "only processes of this user, a name or a number", &options.user},
    {'f', "filter", EBB_OPT_TEXT, "TEXT", "only processes whose name contains it", &options.filter},
    {'k', "kernel", EBB_OPT_FLAG, NULL, "threads of the kernel too", &options.kernel},
    {'t', "threads", EBB_OPT_FLAG, NULL, "also a table of the threads of each process", &options.threads},
    {'a', "allocator", EBB_OPT_FLAG, NULL, "also whose malloc serves each process, and how we know",
     &options.allocator},
    {'i', "interval", EBB_OPT_DURATION, "TIME",
     "look twice, this long apart, for what happens now; else since each start", &options.interval_ms},
    EBB_OUTPUT_ROWS(options.output),
    {0},
};

const struct ebb_opt_spec ebb__spec_ps = {
    .command = "ps",
    .synopsis = SYNOPSIS,
    .rows = ROWS,
};

/* What was asked for, understood. */
struct plan {
    struct ebb_proc_ask ask;
    pid_t *pids;  /* each once */
    pid_t *named; /* those of them that were named one by one: they are missed when they end */
    size_t named_count;
    struct ebb_proc_columns columns;
    enum ebb_proc_column sort;
};

/* One look, and a second one when there is an interval. */
struct view {
    struct ebb_proc_table table;
    struct ebb_proc_threads threads;
};

static int worse(int a, int b)
{
    if (a == EBB_EXIT_NO_TARGET || b == EBB_EXIT_NO_TARGET)
        return EBB_EXIT_NO_TARGET;
    return a != EBB_EXIT_OK ? a : b;
}

static int fail(int err)
{
    fprintf(stderr, "ebb ps: cannot look at processes: %s\n", strerror(-err));
    return EBB_EXIT_FAILED;
}

static int plan_columns(struct plan *plan, bool few)
{
    ebb__proc_columns_default(few, &plan->columns);
    if (options.columns != NULL &&
        ebb__proc_columns_parse(&ebb__spec_ps, options.columns, &plan->columns) != EBB_EXIT_OK)
        return EBB_EXIT_USAGE;
    if (options.allocator) {
        ebb__proc_columns_add(&plan->columns, EBB_PROC_COL_ALLOCATOR);
        ebb__proc_columns_add(&plan->columns, EBB_PROC_COL_EVIDENCE);
    }
    if (ebb__proc_sort_parse(&ebb__spec_ps, options.sort, EBB_PROC_COL_RSS, &plan->sort) != EBB_EXIT_OK)
        return EBB_EXIT_USAGE;
    plan->ask.needs = ebb__proc_columns_needs(&plan->columns) | ebb__proc_columns[plan->sort].needs;
    return EBB_EXIT_OK;
}

static int check_options(struct plan *plan, bool few)
{
    if (plan_columns(plan, few) != EBB_EXIT_OK)
        return EBB_EXIT_USAGE;
    if (options.interval_ms == 0)
        return ebb__opt_usage(&ebb__spec_ps, "--interval needs a time above 0");
    if (options.interval_ms > 0 && options.output.root != NULL && !ebb__host_is_live(options.output.root))
        return ebb__opt_usage(&ebb__spec_ps,
                              "--interval has no use with --root: a captured tree holds still");
    if (options.filter != NULL && options.filter[0] == '\0')
        return ebb__opt_usage(&ebb__spec_ps, "--filter needs a part of a name");
    if (options.user != NULL) {
        plan->ask.by_user = true;
        if (!ebb__users_find(options.user, &plan->ask.user))
            return ebb__opt_usage(&ebb__spec_ps, "--user: there is no user '%s'", options.user);
    }
    plan->ask.kernel = options.kernel;
    plan->ask.name_part = options.filter;
    return EBB_EXIT_OK;
}

static bool is_planned(const struct plan *plan, pid_t pid)
{
    for (size_t i = 0; i < plan->ask.pid_count; i++)
        if (plan->pids[i] == pid)
            return true;
    return false;
}

static int add_target(struct plan *plan, const struct ebb_target_list *list)
{
    pid_t *larger = reallocarray(plan->pids, plan->ask.pid_count + list->count, sizeof(*larger));

    if (larger == NULL)
        return fail(-ENOMEM);
    plan->pids = larger;
    for (size_t i = 0; i < list->count; i++)
        if (!is_planned(plan, list->pids[i]))
            plan->pids[plan->ask.pid_count++] = list->pids[i];
    if (!list->of_group)
        plan->named[plan->named_count++] = list->pids[0];
    return EBB_EXIT_OK;
}

/* Finds the processes that the operands name; those that there are not are reported and left out. */
static int find_targets(struct plan *plan, int count, char **names)
{
    int status = EBB_EXIT_OK;

    plan->named = calloc(count == 0 ? 1 : (size_t)count, sizeof(*plan->named));
    if (plan->named == NULL)
        return fail(-ENOMEM);
    for (int i = 0; i < count; i++) {
        struct ebb_target_list list = {.pids = NULL};
        int found = ebb__target_find_all("ps", plan->ask.root, names[i], &list);

        if (found == EBB_EXIT_OK)
            found = add_target(plan, &list);
        free(list.pids);
        status = worse(status, found);
    }
    plan->ask.pids = plan->pids;
    return status;
}

static void free_view(struct view *view)
{
    ebb__proc_threads_fini(&view->threads);
    ebb__proc_table_fini(&view->table);
}

static int look(const struct ebb_proc_ask *ask, struct view *view)
{
    int err;

    memset(&view->threads, 0, sizeof(view->threads));
    err = ebb__proc_table_look(ask, &view->table);
    if (err == 0 && options.threads)
        err = ebb__proc_threads_look(&view->table, &view->threads);
    if (err != 0)
        ebb__proc_table_fini(&view->table);
    return err;
}

/* The second look, compared with a first one at what changes. */
static int look_twice(const struct ebb_proc_ask *ask, struct view *view)
{
    const struct timespec pause = {.tv_sec = options.interval_ms / 1000,
                                   .tv_nsec = options.interval_ms % 1000 * 1000000};
    struct ebb_proc_ask first = *ask;
    struct ebb_proc_counts *counts;
    struct ebb_proc_counts *thread_counts;
    size_t count;
    size_t thread_count;
    uint64_t at_ns;
    int err;

    first.needs = EBB_PROC_STAT;
    err = look(&first, view);
    if (err != 0)
        return err;
    counts = ebb__proc_table_counts(&view->table, &count);
    thread_counts = ebb__proc_threads_counts(&view->threads, &thread_count);
    at_ns = view->table.at_ns;
    free_view(view);
    nanosleep(&pause, NULL);
    err = look(ask, view);
    if (err == 0) {
        ebb__proc_table_compare(&view->table, counts, count, at_ns);
        ebb__proc_threads_compare(&view->threads, &view->table, thread_counts, thread_count, at_ns);
    }
    free(counts);
    free(thread_counts);
    return err;
}

static bool is_denied(int err)
{
    return err == -EACCES || err == -EPERM;
}

/* Says once what is "-" in many rows. */
static void note_denied(struct ebb_emit *emit, const struct ebb_proc_table *table, unsigned needs)
{
    size_t vmas = 0;
    size_t allocators = 0;

    for (size_t i = 0; i < table->count; i++) {
        vmas += !table->procs[i].vma_count.known && is_denied(table->procs[i].vma_count.err);
        allocators += is_denied(table->procs[i].allocator_err);
    }
    if ((needs & EBB_PROC_VMAS) != 0 && vmas != 0)
        ebb__emit_note(emit, "vmas", "The mappings of %zu of %zu processes are not shown: that needs %s.",
                       vmas, table->count, "CAP_SYS_PTRACE or the same user");
    if ((needs & EBB_PROC_ALLOCATOR) != 0 && allocators != 0)
        ebb__emit_note(emit, "allocators",
                       "The allocators of %zu of %zu processes are not shown: that needs %s.", allocators,
                       table->count, "CAP_SYS_PTRACE or the same user");
}

static int show(struct ebb_emit *emit, const struct plan *plan, const struct view *view)
{
    const struct ebb_proc_table *table = &view->table;
    size_t *order = calloc(table->count == 0 ? 1 : table->count, sizeof(*order));

    if (order == NULL || !ebb__proc_order(table, plan->sort, options.reverse, order)) {
        free(order);
        return fail(-ENOMEM);
    }
    ebb__emit_begin(emit);
    ebb__proc_emit(emit, table, &plan->columns, order, options.top);
    if (options.threads)
        ebb__proc_threads_emit(emit, table, &view->threads, order, options.top);
    note_denied(emit, table, plan->ask.needs);
    ebb__emit_end(emit);
    free(order);
    return EBB_EXIT_OK;
}

/* Of those that were named one by one: who was there when the arguments were read, and ended since. */
static int report_ended(const struct plan *plan, const struct ebb_proc_table *table)
{
    int status = EBB_EXIT_OK;

    for (size_t i = 0; i < plan->named_count; i++) {
        struct ebb_stat stat;

        if (ebb__proc_table_find(table, plan->named[i]) != NULL ||
            ebb__stat_read(plan->ask.root, plan->named[i], &stat) == 0)
            continue;
        fprintf(stderr, "ebb ps: process %d has ended while it was looked at\n", (int)plan->named[i]);
        status = EBB_EXIT_NO_TARGET;
    }
    return status;
}

static int run(struct ebb_emit *emit, const struct plan *plan)
{
    struct view view;
    int status;
    int err = options.interval_ms > 0 ? look_twice(&plan->ask, &view) : look(&plan->ask, &view);

    if (err != 0)
        return fail(err);
    status = show(emit, plan, &view);
    status = worse(status, report_ended(plan, &view.table));
    free_view(&view);
    return status;
}

int ebb__cmd_ps(int argc, char **argv)
{
    static struct ebb_emit emit;
    static struct plan plan;
    int status;
    int first;

    if (!ebb__opt_parse(&ebb__spec_ps, argc, argv, &first, &status))
        return status;
    if (check_options(&plan, first != argc) != EBB_EXIT_OK ||
        ebb__emit_init(&emit, &ebb__spec_ps, &options.output) != EBB_EXIT_OK)
        return EBB_EXIT_USAGE;
    status = ebb__output_root(&ebb__spec_ps, &options.output, &plan.ask.root);
    if (status != EBB_EXIT_OK)
        return status;
    status = find_targets(&plan, argc - first, argv + first);
    /* Without operands all processes are shown; when none of those given is there, none. */
    if (first == argc || plan.ask.pid_count != 0)
        status = worse(status, run(&emit, &plan));
    free(plan.pids);
    free(plan.named);
    return status;
}
