/* SPDX-License-Identifier: MIT
 *
 * ebb relieve: what memory can be had from where, and having it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tool/cmd.h"
#include "tool/emit.h"
#include "tool/relieve.h"

/* What may come back has come back by then. */
#define WAIT_MS 10000

static struct {
    bool yes;
    const char *only;
    const char *force;
    long pause_ms;
    long wait_ms;
    struct ebb_output output;
} options = {.pause_ms = 1000, .wait_ms = WAIT_MS};

static const char *const SYNOPSIS[] = {"[OPTION...] TARGET", NULL};

static const struct ebb_opt ROWS[] = {
    {'y', "yes", EBB_OPT_FLAG, NULL, "do it; without this nothing is done", &options.yes},
    {'o', "only", EBB_OPT_TEXT, "LIST", "only these: cache, trim, force-call", &options.only},
    {'\0', "force-call", EBB_OPT_TEXT, "FUNCTION",
     "also stop the process and have it call malloc_trim, "
     "MallocExtension_ReleaseFreeMemory or mi_collect",
     &options.force},
    {'\0', "pause", EBB_OPT_DURATION, "TIME",
     "with --force-call: threads stand still so long at most; 1s without it", &options.pause_ms},
    {'w', "wait", EBB_OPT_DURATION, "TIME", "measure once more so long afterwards; 10s without it",
     &options.wait_ms},
    EBB_FORMAT_ROWS(options.output),
    {0},
};

const struct ebb_opt_spec ebb__spec_relieve = {
    .command = "relieve",
    .synopsis = SYNOPSIS,
    .rows = ROWS,
};

/* ---- what is asked for ---- */

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
        return ebb__opt_usage(&ebb__spec_relieve, "--only needs at least one of cache, trim and force-call");
    for (const char *at = options.only; at != NULL && *at != '\0';) {
        size_t len = strcspn(at, ",");
        bool known = false;

        for (unsigned i = 0; i < EBB_RELIEVE_COUNT; i++)
            known |=
                strlen(ebb__relieve_rows[i].key) == len && strncmp(ebb__relieve_rows[i].key, at, len) == 0;
        if (!known)
            return ebb__opt_usage(&ebb__spec_relieve, "--only: '%.*s' is none of cache, trim and force-call",
                                  (int)len, at);
        at += len;
        at += *at == ',';
    }
    return EBB_EXIT_OK;
}

static int check_options(const struct ebb_force_function **ret_force)
{
    if (check_only() != EBB_EXIT_OK)
        return EBB_EXIT_USAGE;
    if (options.pause_ms == 0)
        return ebb__opt_usage(&ebb__spec_relieve, "--pause needs a time above 0");
    *ret_force = options.force == NULL ? NULL : ebb__force_function_find(options.force);
    if (options.force != NULL && *ret_force == NULL)
        return ebb__opt_usage(
            &ebb__spec_relieve,
            "--force-call: '%s' is none of malloc_trim, MallocExtension_ReleaseFreeMemory and "
            "mi_collect",
            options.force);
    return EBB_EXIT_OK;
}

/* ---- what can be had ---- */

static const struct ebb_column ACTION_COLUMNS[] = {
    {"action", "ACTION", EBB_AS_TEXT, -10, .label = true, .help = "its name, for --only"},
    {"chosen", "DO", EBB_AS_BOOL, -3, .help = "it is possible, and was asked for"},
    {"predicted_bytes", "GAIN", EBB_AS_BYTES, 7, .help = "what it should bring"},
    {"of", "OF", EBB_AS_TEXT, -6, .label = true,
     .help = "rss: resident memory; cgroup: usage of its memory cgroup"},
    {"how", "HOW, OR WHY NOT", EBB_AS_TEXT, 0, .help = "what is done, or why it cannot be"},
};
static const struct ebb_section ACTIONS = {"actions", NULL, false, ACTION_COLUMNS,
                                           sizeof(ACTION_COLUMNS) / sizeof(ACTION_COLUMNS[0])};

static const char *of_name(enum ebb_relieve_id id)
{
    return ebb__relieve_rows[id].of == EBB_RELIEVE_OF_RSS ? "rss" : "cgroup";
}

static void show_actions(struct ebb_emit *emit, const struct ebb_relieve *relieve)
{
    ebb__emit_section(emit, &ACTIONS);
    for (unsigned i = 0; i < EBB_RELIEVE_COUNT; i++) {
        const struct ebb_relieve_action *action = &relieve->actions[i];
        const struct ebb_cell cells[] = {
            ebb__cell_text(ebb__relieve_rows[i].key),
            ebb__cell_bool(action->chosen),
            action->predicted_bytes.known ? ebb__cell_fact(action->predicted_bytes)
            : action->possible            ? ebb__cell_unknown(action->predicted_why)
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
     .help = "rss: resident memory; cgroup: usage of its memory cgroup"},
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

/* Does what was chosen, a second between, and measures; true when all of it went well. */
static bool act(struct ebb_relieve *relieve)
{
    bool well = true;

    for (unsigned i = 0; i < EBB_RELIEVE_COUNT; i++) {
        struct ebb_relieve_action *action = &relieve->actions[i];
        bool rss = ebb__relieve_rows[i].of == EBB_RELIEVE_OF_RSS;

        if (!action->chosen)
            continue;
        action->before_bytes = rss ? ebb__relieve_rss(relieve) : ebb__relieve_usage(relieve);
        well &= ebb__relieve_act(relieve, i);
        pause_ms(1000);
        action->after_bytes = rss ? ebb__relieve_rss(relieve) : ebb__relieve_usage(relieve);
    }
    return well;
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
    for (unsigned i = 0; i < EBB_RELIEVE_COUNT; i++) {
        const struct ebb_relieve_action *action = &relieve->actions[i];

        if (action->chosen)
            show_result(emit, ebb__relieve_rows[i].key, of_name(i),
                        action->predicted_bytes.known ? ebb__cell_fact(action->predicted_bytes)
                                                      : ebb__cell_unknown(action->predicted_why),
                        action->before_bytes, action->after_bytes, action->said);
    }
    show_result(emit, ALL, "rss", none, rss, ebb__relieve_rss(relieve), "at the end");
    show_result(emit, ALL, "cgroup", none, usage, ebb__relieve_usage(relieve), "at the end");
    return well ? EBB_EXIT_OK : EBB_EXIT_FAILED;
}

/* What is possible and was not left out. */
static unsigned choose(struct ebb_relieve *relieve)
{
    unsigned count = 0;

    for (unsigned i = 0; i < EBB_RELIEVE_COUNT; i++) {
        struct ebb_relieve_action *action = &relieve->actions[i];

        action->chosen =
            action->possible && (options.only == NULL || is_listed(options.only, ebb__relieve_rows[i].key));
        count += action->chosen;
    }
    return count;
}

int ebb__cmd_relieve(int argc, char **argv)
{
    static struct ebb_relieve relieve;
    static struct ebb_emit emit;
    const struct ebb_force_function *force;
    struct ebb_target target;
    unsigned chosen;
    int first;
    int status;

    if (!ebb__opt_parse(&ebb__spec_relieve, argc, argv, &first, &status))
        return status;
    if (argc - first != 1)
        return ebb__opt_usage(&ebb__spec_relieve, "which process?");
    if (check_options(&force) != EBB_EXIT_OK ||
        ebb__emit_init(&emit, &ebb__spec_relieve, &options.output) != EBB_EXIT_OK)
        return EBB_EXIT_USAGE;
    status = ebb__target_find("relieve", "", argv[first], &target);
    if (status == EBB_EXIT_OK)
        status = ebb__relieve_look(&relieve, &target, force, options.pause_ms);
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
    ebb__relieve_fini(&relieve);
    return status == EBB_EXIT_OK && chosen == 0 ? EBB_EXIT_FAILED : status;
}
