/* SPDX-License-Identifier: MIT
 *
 * ebb top: the memory of the host and its processes, live on a terminal, or as tables again and again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool/cmd.h"
#include "tool/top_facts.h"
#include "tool/top_live.h"
#include "tool/top_state.h"
#include "tool/users.h"

#define INTERVAL_MS     2000
#define INTERVAL_MIN_MS 100 /* a look at a large host takes a good part of that */

static struct {
    bool batch;
    unsigned iterations;
    long interval_ms;
    const char *sort;
    bool reverse;
    unsigned top;
    const char *columns;
    const char *user;
    const char *filter;
    bool kernel;
    bool ascii;
    struct ebb_output output;
} options = {.interval_ms = INTERVAL_MS};

static const char *const SYNOPSIS[] = {
    "[OPTION...]",
    "--batch [OPTION...]",
    NULL,
};

static const struct ebb_opt ROWS[] = {
    {'b', "batch", EBB_OPT_FLAG, NULL, "print tables instead of a live screen", &options.batch},
    {'n', "iterations", EBB_OPT_COUNT, "N", "end after N looks", &options.iterations},
    {'i', "interval", EBB_OPT_DURATION, "TIME", "time between two looks; 2s without it",
     &options.interval_ms},
    {'s', "sort", EBB_OPT_TEXT, "COLUMN", "order of the rows to begin with, as in ebb ps; rss without it",
     &options.sort},
    {'r', "reverse", EBB_OPT_FLAG, NULL, "turn that order around", &options.reverse},
    {'t', "top", EBB_OPT_COUNT, "N", "with --batch: only the first N rows", &options.top},
    {'c', "columns", EBB_OPT_TEXT, "LIST", "with --batch: these columns, as in ebb ps", &options.columns},
    {'u', "user", EBB_OPT_TEXT, "USER", "only processes of this user, a name or a number", &options.user},
    {'f', "filter", EBB_OPT_TEXT, "TEXT", "only processes whose name contains it", &options.filter},
    {'k', "kernel", EBB_OPT_FLAG, NULL, "threads of the kernel too", &options.kernel},
    {'\0', "ascii", EBB_OPT_FLAG, NULL, "draw without UTF-8, as also where the locale has none",
     &options.ascii},
    EBB_OUTPUT_ROWS(options.output),
    {0},
};

const struct ebb_opt_spec ebb__spec_top = {
    .command = "top",
    .synopsis = SYNOPSIS,
    .rows = ROWS,
};

static int check_batch_options(void)
{
    if (options.batch)
        return EBB_EXIT_OK;
    if (options.output.json || options.output.format != NULL || options.output.unit != NULL ||
        options.output.no_header)
        return ebb__opt_usage(&ebb__spec_top, "--json, --format, --unit and --no-header are for --batch");
    if (options.columns != NULL || options.top != 0)
        return ebb__opt_usage(&ebb__spec_top, "--columns and --top are for --batch");
    return EBB_EXIT_OK;
}

static int check_options(struct ebb_top_source *source, struct ebb_top_state *state)
{
    if (check_batch_options() != EBB_EXIT_OK ||
        ebb__proc_sort_parse(&ebb__spec_top, options.sort, EBB_PROC_COL_RSS, &state->sort) != EBB_EXIT_OK)
        return EBB_EXIT_USAGE;
    if (options.interval_ms < INTERVAL_MIN_MS)
        return ebb__opt_usage(&ebb__spec_top, "--interval needs %d ms at least", INTERVAL_MIN_MS);
    if (options.filter != NULL &&
        (options.filter[0] == '\0' || strlen(options.filter) >= sizeof(state->filter)))
        return ebb__opt_usage(&ebb__spec_top, "--filter needs a part of a name");
    if (options.user != NULL) {
        source->ask.by_user = true;
        if (!ebb__users_find(options.user, &source->ask.user))
            return ebb__opt_usage(&ebb__spec_top, "--user: there is no user '%s'", options.user);
    }
    source->ask.kernel = options.kernel;
    state->kernel = options.kernel;
    state->reverse = options.reverse;
    state->ascii = options.ascii;
    if (options.filter != NULL)
        snprintf(state->filter, sizeof(state->filter), "%s", options.filter);
    return EBB_EXIT_OK;
}

static int fail(int err)
{
    fprintf(stderr, "ebb top: cannot look at processes: %s\n", strerror(-err));
    return EBB_EXIT_FAILED;
}

static int print_look(struct ebb_emit *emit, const struct ebb_top_facts *facts,
                      const struct ebb_top_state *state, const struct ebb_proc_columns *columns)
{
    struct ebb_top_list list;
    struct ebb_proc_table table = facts->table;

    if (!ebb__top_list_make(state, &facts->table, &list))
        return -ENOMEM;
    /* As many rows as the filter lets through. */
    table.count = list.count;
    ebb__emit_begin(emit);
    ebb__top_emit_host(emit, &facts->host);
    ebb__proc_emit(emit, &table, columns, list.order, options.top);
    ebb__emit_end(emit);
    ebb__top_list_fini(&list);
    return 0;
}

static int run_batch(struct ebb_top_source *source, const struct ebb_top_state *state)
{
    const struct timespec pause = {.tv_sec = options.interval_ms / 1000,
                                   .tv_nsec = options.interval_ms % 1000 * 1000000};
    static struct ebb_top_facts facts;
    static struct ebb_emit emit;
    struct ebb_proc_columns columns;
    int err = 0;

    ebb__proc_columns_default(false, &columns);
    if (options.columns != NULL &&
        ebb__proc_columns_parse(&ebb__spec_top, options.columns, &columns) != EBB_EXIT_OK)
        return EBB_EXIT_USAGE;
    if (ebb__emit_init(&emit, &ebb__spec_top, &options.output) != EBB_EXIT_OK)
        return EBB_EXIT_USAGE;
    source->ask.needs = ebb__proc_columns_needs(&columns) | ebb__proc_columns[state->sort].needs;
    for (unsigned i = 0; err == 0 && (options.iterations == 0 || i < options.iterations); i++) {
        if (i != 0)
            nanosleep(&pause, NULL);
        err = ebb__top_look(source, &facts);
        if (err == 0)
            err = print_look(&emit, &facts, state, &columns);
        if (ferror(stdout))
            break; /* main() says so */
    }
    ebb__top_facts_fini(&facts);
    return err == 0 ? EBB_EXIT_OK : fail(err);
}

int ebb__cmd_top(int argc, char **argv)
{
    static struct ebb_top_source source;
    static struct ebb_top_state state;
    int status;
    int first;

    if (!ebb__opt_parse(&ebb__spec_top, argc, argv, &first, &status))
        return status;
    if (first != argc)
        return ebb__opt_usage(&ebb__spec_top, "it takes no operands; --filter chooses processes by name");
    if (check_options(&source, &state) != EBB_EXIT_OK)
        return EBB_EXIT_USAGE;
    status = ebb__output_root(&ebb__spec_top, &options.output, &source.ask.root);
    if (status != EBB_EXIT_OK)
        return status;
    status = options.batch ? run_batch(&source, &state)
                           : ebb__top_live(&source, &state, options.interval_ms, options.iterations);
    ebb__top_source_fini(&source);
    return status;
}
