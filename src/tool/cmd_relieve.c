/* SPDX-License-Identifier: MIT
 *
 * ebb relieve: what memory can be had from where, and having it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "model/units.h"
#include "tool/cmd.h"
#include "tool/emit.h"
#include "tool/relieve.h"

/* What may come back has come back by then. */
#define WAIT_MS 10000

/* For a resize of the pool: at a second for each GiB of clean pages, a pool of tens of GiB, and some that must be written first. */
#define POOL_WAIT_MS 60000

static struct {
    bool yes;
    const char *only;
    const char *force;
    const char *pool;
    bool no_sql;
    struct ebb_relieve_ask ask;
    long wait_ms;
    struct ebb_output output;
} options = {.ask = {.pause_ms = 1000, .pool_wait_ms = POOL_WAIT_MS}, .wait_ms = WAIT_MS};

static const char *const SYNOPSIS[] = {"[OPTION...] TARGET", NULL};

static const struct ebb_opt ROWS[] = {
    {'y', "yes", EBB_OPT_FLAG, NULL, "do it; without this nothing is done", &options.yes},
    {'o', "only", EBB_OPT_TEXT, "LIST", "only these: cache, trim, flush, pool, force-call", &options.only},
    {'\0', "flush", EBB_OPT_FLAG, NULL, "also have MariaDB or MySQL close tables that nobody uses",
     &options.ask.flush},
    {'\0', "pool", EBB_OPT_TEXT, "SIZE", "also make the buffer pool of MariaDB or MySQL so small",
     &options.pool},
    {'\0', "pool-wait", EBB_OPT_DURATION, "TIME",
     "with --pool: the server is told to give up after so long; 60s without it", &options.ask.pool_wait_ms},
    {'\0', "force-call", EBB_OPT_TEXT, "FUNCTION",
     "also stop the process and have it call malloc_trim, "
     "MallocExtension_ReleaseFreeMemory or mi_collect",
     &options.force},
    {'\0', "pause", EBB_OPT_DURATION, "TIME",
     "with --force-call: threads stand still so long at most; 1s without it", &options.ask.pause_ms},
    {'w', "wait", EBB_OPT_DURATION, "TIME", "measure once more so long afterwards; 10s without it",
     &options.wait_ms},
    {'\0', "sql", EBB_OPT_TEXT, "WHERE", "ask the server there: [USER[:PASSWORD]@]SOCKET or ADDRESS[:PORT]",
     &options.ask.sql},
    {'\0', "defaults-file", EBB_OPT_FILE, "FILE", "an option file of MariaDB or MySQL with user and password",
     &options.ask.defaults_file},
    {'\0', "no-sql", EBB_OPT_FLAG, NULL, "do not speak to the server at all", &options.no_sql},
    EBB_FORMAT_ROWS(options.output),
    {0},
};

const struct ebb_opt_spec ebb__spec_relieve = {
    .command = "relieve",
    .synopsis = SYNOPSIS,
    .rows = ROWS,
};

/* ---- what is asked for ---- */

#define KEYS "cache, trim, flush, pool and force-call"

static bool is_listed(const char *list, const char *key)
{
    size_t len = strlen(key);

    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, key, len) == 0 && (at[len] == '\0' || at[len] == ','))
            return true;
    }
    return false;
}

static int check_only(void)
{
    if (options.only != NULL && options.only[0] == '\0')
        return ebb__opt_usage(&ebb__spec_relieve, "--only needs at least one of " KEYS);
    for (const char *at = options.only; at != NULL && *at != '\0';) {
        size_t len = strcspn(at, ",");
        bool known = false;

        for (unsigned i = 0; i < EBB_RELIEVE_COUNT; i++)
            known |=
                strlen(ebb__relieve_rows[i].key) == len && strncmp(ebb__relieve_rows[i].key, at, len) == 0;
        if (!known)
            return ebb__opt_usage(&ebb__spec_relieve, "--only: '%.*s' is none of " KEYS, (int)len, at);
        at += len;
        at += *at == ',';
    }
    return EBB_EXIT_OK;
}

static bool is_wanted(enum ebb_relieve_id id)
{
    return options.only == NULL || is_listed(options.only, ebb__relieve_rows[id].key);
}

static int check_force(void)
{
    if (options.ask.pause_ms == 0)
        return ebb__opt_usage(&ebb__spec_relieve, "--pause needs a time above 0");
    options.ask.force = options.force == NULL ? NULL : ebb__force_function_find(options.force);
    if (options.force != NULL && options.ask.force == NULL)
        return ebb__opt_usage(
            &ebb__spec_relieve,
            "--force-call: '%s' is none of malloc_trim, MallocExtension_ReleaseFreeMemory and "
            "mi_collect",
            options.force);
    return EBB_EXIT_OK;
}

static int check_sql(void)
{
    const char *why = options.ask.sql == NULL ? NULL : ebb__books_sql_check(options.ask.sql);

    if (why != NULL)
        return ebb__opt_usage(&ebb__spec_relieve, "--sql: %s", why);
    if (options.no_sql && (options.ask.sql != NULL || options.ask.defaults_file != NULL ||
                           options.pool != NULL || options.ask.flush))
        return ebb__opt_usage(&ebb__spec_relieve,
                              "--no-sql excludes --sql, --defaults-file, --pool and --flush");
    if (options.pool != NULL &&
        (ebb__units_parse_bytes(options.pool, &options.ask.pool_bytes) != 0 || options.ask.pool_bytes == 0))
        return ebb__opt_usage(&ebb__spec_relieve, "--pool: '%s' is no size above 0", options.pool);
    if (options.ask.pool_wait_ms == 0)
        return ebb__opt_usage(&ebb__spec_relieve, "--pool-wait needs a time above 0");
    options.ask.left_out = options.no_sql ? "the server is not asked (--no-sql)"
                           : is_wanted(EBB_RELIEVE_POOL) || is_wanted(EBB_RELIEVE_FLUSH)
                               ? NULL
                               : "it is left out (--only)";
    return EBB_EXIT_OK;
}

static int check_options(void)
{
    if (check_only() != EBB_EXIT_OK || check_force() != EBB_EXIT_OK || check_sql() != EBB_EXIT_OK)
        return EBB_EXIT_USAGE;
    return EBB_EXIT_OK;
}

/* ---- what can be had ---- */

static const struct ebb_column ACTION_COLUMNS[] = {
    {"action", "ACTION", EBB_AS_TEXT, -10, .label = true, .help = "its name, for --only"},
    {"chosen", "DO", EBB_AS_BOOL, -3, .help = "it is possible, and was asked for"},
    {"predicted_bytes", "GAIN", EBB_AS_BYTES, 7, .help = "what it should bring"},
    {"of", "OF", EBB_AS_TEXT, -6, .label = true,
     .help =
         "rss: resident memory; cgroup: usage of its memory cgroup; heap: as the server's books count it"},
    {"how", "HOW, OR WHY NOT", EBB_AS_TEXT, 0, .help = "what is done, or why it cannot be"},
};
static const struct ebb_section ACTIONS = {"actions", NULL, false, ACTION_COLUMNS,
                                           sizeof(ACTION_COLUMNS) / sizeof(ACTION_COLUMNS[0])};

static const char *of_name(enum ebb_relieve_id id)
{
    static const char *const NAMES[] = {
        [EBB_RELIEVE_OF_RSS] = "rss", [EBB_RELIEVE_OF_USAGE] = "cgroup", [EBB_RELIEVE_OF_HEAP] = "heap"};

    return NAMES[ebb__relieve_rows[id].of];
}

static void show_actions(struct ebb_emit *emit, const struct ebb_relieve *relieve)
{
    ebb__emit_section(emit, &ACTIONS);
    for (unsigned i = 0; i < EBB_RELIEVE_COUNT; i++) {
        const struct ebb_relieve_action *action = &relieve->actions[i];
        const struct ebb_cell cells[] = {
            ebb__cell_text(ebb__relieve_rows[i].key),
            ebb__cell_bool(action->chosen),
            action->predicted_bytes.known                       ? ebb__cell_fact(action->predicted_bytes)
            : action->possible || action->predicted_why != NULL ? ebb__cell_unknown(action->predicted_why)
                                                                : ebb__cell_unknown(action->why),
            ebb__cell_text(of_name(i)),
            ebb__cell_text(action->possible ? action->how : action->why),
        };

        ebb__emit_row(emit, cells);
    }
}

static void note_actions(struct ebb_emit *emit, const struct ebb_relieve *relieve, unsigned chosen)
{
    for (unsigned i = 0; i < EBB_RELIEVE_COUNT; i++)
        if (relieve->actions[i].chosen)
            ebb__emit_note(emit, ebb__relieve_rows[i].key, "%s: %s. Hazard: %s.", ebb__relieve_rows[i].key,
                           ebb__relieve_rows[i].title, ebb__relieve_rows[i].hazard);
    if (!options.yes && chosen != 0)
        ebb__emit_note(emit, "dry_run", "Nothing was done: this is what would be, with --yes.");
}

/* ---- what was had ---- */

static const struct ebb_column RESULT_COLUMNS[] = {
    {"action", "ACTION", EBB_AS_TEXT, -10, .label = true, .help = "what was done, or all together"},
    {"of", "OF", EBB_AS_TEXT, -6, .label = true,
     .help =
         "rss: resident memory; cgroup: usage of its memory cgroup; heap: as the server's books count it"},
    {"predicted_bytes", "GAIN", EBB_AS_BYTES, 7, .help = "what it should have brought"},
    {"before_bytes", "BEFORE", EBB_AS_BYTES, 7, .help = "before it"},
    {"after_bytes", "AFTER", EBB_AS_BYTES, 7, .help = "a second after it; in rows of all, at the end"},
    {"gained_bytes", "GAINED", EBB_AS_BYTES, 7,
     .help = "what it has brought; below zero: less was there before"},
    {"said", "WHAT CAME OF IT", EBB_AS_TEXT, 0, .help = "in words"},
};
static const struct ebb_section RESULTS = {"results", NULL, false, RESULT_COLUMNS,
                                           sizeof(RESULT_COLUMNS) / sizeof(RESULT_COLUMNS[0])};

static struct ebb_cell gained(struct ebb_fact before, struct ebb_fact after)
{
    if (!before.known || !after.known)
        return ebb__cell_fact(before.known ? after : before);
    return before.value >= after.value ? ebb__cell_number(before.value - after.value)
                                       : ebb__cell_signed(-(int64_t)(after.value - before.value));
}

static void show_result(struct ebb_emit *emit, const char *name, const char *of, struct ebb_cell predicted,
                        struct ebb_fact before, struct ebb_fact after, const char *said)
{
    const struct ebb_cell cells[] = {ebb__cell_text(name),   ebb__cell_text(of),    predicted,
                                     ebb__cell_fact(before), ebb__cell_fact(after), gained(before, after),
                                     ebb__cell_text(said)};

    ebb__emit_row(emit, cells);
}

static void pause_ms(long ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&pause, NULL);
}

static struct ebb_fact measure(const struct ebb_relieve *relieve, enum ebb_relieve_of of)
{
    return of == EBB_RELIEVE_OF_RSS     ? ebb__relieve_rss(relieve)
           : of == EBB_RELIEVE_OF_USAGE ? ebb__relieve_usage(relieve)
                                        : ebb__relieve_heap(relieve);
}

/* Does what was chosen, a second between, and measures; true when all of it went well. */
static bool act(struct ebb_relieve *relieve)
{
    bool well = true;

    for (unsigned i = 0; i < EBB_RELIEVE_COUNT; i++) {
        struct ebb_relieve_action *action = &relieve->actions[i];
        enum ebb_relieve_of of = ebb__relieve_rows[i].of;

        if (!action->chosen)
            continue;
        action->before_bytes = measure(relieve, of);
        action->rss_before_bytes = ebb__relieve_rss(relieve);
        well &= ebb__relieve_act(relieve, i);
        pause_ms(1000);
        action->after_bytes = measure(relieve, of);
        action->rss_after_bytes = ebb__relieve_rss(relieve);
    }
    return well;
}

/* What leaves the heap leaves resident memory only as far as the allocator lets it: that is a row of its own. */
static void show_action_result(struct ebb_emit *emit, const struct ebb_relieve *relieve,
                               enum ebb_relieve_id id)
{
    const struct ebb_relieve_action *action = &relieve->actions[id];
    const char *key = ebb__relieve_rows[id].key;

    show_result(emit, key, of_name(id),
                action->predicted_bytes.known ? ebb__cell_fact(action->predicted_bytes)
                                              : ebb__cell_unknown(action->predicted_why),
                action->before_bytes, action->after_bytes, action->said);
    if (ebb__relieve_rows[id].of == EBB_RELIEVE_OF_HEAP)
        show_result(
            emit, key, "rss", ebb__cell_unknown("what of it leaves the heap only the allocator knows"),
            action->rss_before_bytes, action->rss_after_bytes, "what its allocator has given back of it");
}

static int act_and_show(struct ebb_emit *emit, struct ebb_relieve *relieve)
{
    static const char ALL[] = "all";
    const struct ebb_cell none = ebb__cell_unknown("it is that of each");
    struct ebb_fact rss = ebb__relieve_rss(relieve);
    struct ebb_fact usage = ebb__relieve_usage(relieve);
    bool well = act(relieve);

    pause_ms(options.wait_ms > 1000 ? options.wait_ms - 1000 : 0);
    ebb__emit_section(emit, &RESULTS);
    for (unsigned i = 0; i < EBB_RELIEVE_COUNT; i++)
        if (relieve->actions[i].chosen)
            show_action_result(emit, relieve, i);
    show_result(emit, ALL, "rss", none, rss, ebb__relieve_rss(relieve), "at the end");
    show_result(emit, ALL, "cgroup", none, usage, ebb__relieve_usage(relieve), "at the end");
    return well ? EBB_EXIT_OK : EBB_EXIT_FAILED;
}

/* What was asked for by its own option, and cannot be done. */
static bool is_refused(const struct ebb_relieve *relieve)
{
    const bool asked[EBB_RELIEVE_COUNT] = {
        [EBB_RELIEVE_FLUSH] = options.ask.flush,
        [EBB_RELIEVE_POOL] = options.pool != NULL,
        [EBB_RELIEVE_FORCE] = options.force != NULL,
    };

    for (unsigned i = 0; i < EBB_RELIEVE_COUNT; i++)
        if (asked[i] && is_wanted(i) && !relieve->actions[i].possible)
            return true;
    return false;
}

/* What is possible and was not left out. */
static unsigned choose(struct ebb_relieve *relieve)
{
    unsigned count = 0;

    for (unsigned i = 0; i < EBB_RELIEVE_COUNT; i++) {
        struct ebb_relieve_action *action = &relieve->actions[i];

        action->chosen = action->possible && is_wanted(i);
        count += action->chosen;
    }
    return count;
}

int ebb__cmd_relieve(int argc, char **argv)
{
    static struct ebb_relieve relieve;
    static struct ebb_emit emit;
    struct ebb_target target;
    unsigned chosen;
    int first;
    int status;

    if (!ebb__opt_parse(&ebb__spec_relieve, argc, argv, &first, &status))
        return status;
    if (argc - first != 1)
        return ebb__opt_usage(&ebb__spec_relieve, "which process?");
    if (check_options() != EBB_EXIT_OK ||
        ebb__emit_init(&emit, &ebb__spec_relieve, &options.output) != EBB_EXIT_OK)
        return EBB_EXIT_USAGE;
    status = ebb__target_find("relieve", "", argv[first], &target);
    if (status == EBB_EXIT_OK)
        status = ebb__relieve_look(&relieve, &target, &options.ask);
    if (status != EBB_EXIT_OK)
        return status;
    chosen = choose(&relieve);
    ebb__emit_begin(&emit);
    show_actions(&emit, &relieve);
    if (options.yes && chosen != 0)
        status = act_and_show(&emit, &relieve);
    if (chosen == 0)
        ebb__emit_note(&emit, "none", "Nothing of this can be done.");
    note_actions(&emit, &relieve, chosen);
    ebb__emit_end(&emit);
    if (status == EBB_EXIT_OK && (chosen == 0 || is_refused(&relieve)))
        status = EBB_EXIT_FAILED;
    ebb__relieve_fini(&relieve);
    return status;
}
