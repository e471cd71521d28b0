/* SPDX-License-Identifier: MIT
 *
 * ebb explain: where every byte of a process's resident memory is, and of its cgroup's usage.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/units.h"
#include "tool/cmd.h"
#include "tool/explain.h"

static struct {
    struct ebb_explain_ask ask;
    unsigned depth;
    struct ebb_output output;
} options = {.depth = EBB_ACCOUNT_DEPTH_MAX};

static const char *const SYNOPSIS[] = {"[OPTION...] TARGET", NULL};

static const struct ebb_opt ROWS[] = {
    {'d', "deep", EBB_OPT_FLAG, NULL, "read all pages of the process, however long that takes",
     &options.ask.deep},
    {'l', "levels", EBB_OPT_COUNT, "N", "show so many levels of the tree", &options.depth},
    {'\0', "sql", EBB_OPT_TEXT, "WHERE", "ask the server there: [USER[:PASSWORD]@]SOCKET or ADDRESS[:PORT]",
     &options.ask.sql},
    {'\0', "defaults-file", EBB_OPT_FILE, "FILE", "an option file of MariaDB or MySQL with user and password",
     &options.ask.defaults_file},
    {'\0', "no-sql", EBB_OPT_FLAG, NULL, "do not ask the server for its own books", &options.ask.no_sql},
    EBB_OUTPUT_ROWS(options.output),
    {0},
};

const struct ebb_opt_spec ebb__spec_explain = {
    .command = "explain",
    .synopsis = SYNOPSIS,
    .rows = ROWS,
};

/* ---- accounts as sections ---- */

#define PATH_BYTES (EBB_ACCOUNT_DEPTH_MAX * EBB_ACCOUNT_KEY_BYTES)

static const struct ebb_column COLUMNS[] = {
    {"path", "path", EBB_AS_TEXT, 0, .label = true,
     .help = "the row's key behind those of the rows that it is part of"},
    {"kind", "kind", EBB_AS_TEXT, 0, .label = true,
     .help = "part, rest (what the parts leave over) or beside"},
    {"bytes", "BYTES", EBB_AS_BYTES, 8, .help = "size"},
    {"percent", "SHARE", EBB_AS_PERCENT, 6, .help = "of the total"},
    {"name", "WHAT", EBB_AS_TEXT, -52, .help = "what it is"},
    {"source", "SOURCE", EBB_AS_TEXT, 0, .help = "who says so"},
};

/* People see the path as indentation. */
#define MACHINE_COLUMNS 2

static const char *kind_of(const struct ebb_account_row *row)
{
    static const char *const KINDS[] = {
        [EBB_ACCOUNT_PART] = "part", [EBB_ACCOUNT_REST] = "rest", [EBB_ACCOUNT_BESIDE] = "beside"};

    return KINDS[row->kind];
}

static struct ebb_cell bytes_cell(const struct ebb_account_row *row)
{
    if (!row->known)
        return ebb__cell_unknown(row->why);
    return row->bytes >= 0 ? ebb__cell_number((uint64_t)row->bytes) : ebb__cell_signed(row->bytes);
}

static struct ebb_cell share_cell(const struct ebb_account *account, const struct ebb_account_row *row)
{
    const struct ebb_account_row *total = &account->rows[0];

    if (!row->known)
        return ebb__cell_unknown(row->why);
    if (row->kind == EBB_ACCOUNT_BESIDE)
        return ebb__cell_unknown("it is no part of the total");
    if (!total->known || total->bytes == 0)
        return ebb__cell_unknown("the total is not known");
    return ebb__cell_real(100.0 * (double)row->bytes / (double)total->bytes);
}

/* To people. Unattributed memory, though, is always shown, also where there is none. */
static bool says_nothing(const struct ebb_account_row *row)
{
    if (row->kind == EBB_ACCOUNT_BESIDE)
        return !row->known || row->bytes == 0;
    return row->kind == EBB_ACCOUNT_REST && row->depth > 1 && row->known && row->bytes == 0;
}

static void emit_account(struct ebb_emit *emit, const struct ebb_section *section,
                         const struct ebb_account *account)
{
    bool human = ebb__emit_is_human(emit);
    bool beside = false;

    ebb__emit_section(emit, section);
    for (unsigned i = 0; i < account->count; i++) {
        const struct ebb_account_row *row = &account->rows[i];
        char path[PATH_BYTES];
        char name[EBB_ACCOUNT_NAME_BYTES + 2 * EBB_ACCOUNT_DEPTH_MAX + 16];

        if (row->depth >= options.depth)
            continue;
        if (human && says_nothing(row))
            continue;
        ebb__account_path(account, i, path, sizeof(path));
        snprintf(name, sizeof(name), "%*s%s%s", (int)(2 * row->depth), "",
                 row->kind == EBB_ACCOUNT_BESIDE ? (beside ? "        " : "beside: ") : "", row->name);
        beside = row->kind == EBB_ACCOUNT_BESIDE;
        const struct ebb_cell cells[] = {
            ebb__cell_text(path),
            ebb__cell_text(kind_of(row)),
            bytes_cell(row),
            share_cell(account, row),
            ebb__cell_text(human ? name : row->name),
            row->source == NULL ? (human ? ebb__cell_text("") : ebb__cell_unknown("it is a difference"))
                                : ebb__cell_text(row->source),
        };

        ebb__emit_row(emit, human ? cells + MACHINE_COLUMNS : cells);
    }
}

/* ---- sentences ---- */

static void note_heap(struct ebb_emit *emit, const struct ebb_explain_facts *facts)
{
    if (facts->allocator != NULL)
        ebb__emit_note(emit, "allocator", "malloc is served by %s: %s.", facts->allocator->name,
                       facts->allocator->evidence);
    else
        ebb__emit_note(emit, "allocator", "Who serves malloc is not known: %s.", facts->heap.why);
    if (facts->allocator != NULL && facts->heap.source == NULL)
        ebb__emit_note(emit, "heap", "What in the heap is live and what is free is not known: %s.",
                       facts->heap.why);
}

/* A server that was not asked, or did not answer all. */
static void note_books(struct ebb_emit *emit, const struct ebb_explain_facts *facts)
{
    const struct ebb_books *books = &facts->books;

    if (books->kind == EBB_BOOKS_NONE)
        return;
    if (!books->answered)
        ebb__emit_note(emit, "books", "The server's own books are not known: %s.", books->why);
    else if (books->why[0] != '\0')
        ebb__emit_note(emit, "books", "The server's own books have gaps: %s.", books->why);
    if (books->answered && (books->kind == EBB_BOOKS_MARIADB || books->kind == EBB_BOOKS_MYSQL) &&
        books->items.why[0] != '\0')
        ebb__emit_note(emit, "names", "Memory by name: %s.", books->items.why);
}

/* Parts that were counted at another moment, and do not fit. */
static void note_moments(struct ebb_emit *emit, const struct ebb_account *account)
{
    for (unsigned i = 0; i < account->count; i++) {
        const struct ebb_account_row *row = &account->rows[i];
        unsigned whole = i;
        char over[EBB_UNITS_BYTES];

        if (row->over_bytes == 0)
            continue;
        while (account->rows[whole].depth >= row->depth)
            whole--;
        ebb__emit_note(emit, "moments",
                       "The parts of \"%s\" are %s more than it: they were counted at another moment, or not "
                       "all of them was touched, so what they leave over is not known.",
                       account->rows[whole].name, ebb__units_bytes((uint64_t)row->over_bytes, over));
    }
}

static void note_redis(struct ebb_emit *emit, const struct ebb_explain_facts *facts)
{
    const struct ebb_books *books = &facts->books;
    char most[EBB_UNITS_BYTES];

    if (books->kind != EBB_BOOKS_REDIS || !books->answered)
        return;
    if (facts->heap.apart)
        ebb__emit_note(
            emit, "heap",
            "The heap was not walked: what of it is live jemalloc has told Redis, which asks it ten times a "
            "second. It takes %s for resident, with pages that it never touched.",
            ebb__units_bytes(ebb__fact_or(facts->heap.most, 0), most));
    if (!books->redis.hashtables_bytes.known)
        ebb__emit_note(emit, "stats", "Tables of keys are in other overhead: %s.",
                       ebb__books_why(books, &books->redis.hashtables_bytes));
}

/* Which of the server's processes it is, and what cannot be asked about it. */
static void note_backend(struct ebb_emit *emit, const struct ebb_explain_facts *facts)
{
    const struct ebb_books_sessions *sessions = &facts->books.sessions;
    uint64_t pid = ebb__status_has(&facts->status, EBB_STATUS_NS_PID) ? facts->status.ns_pid
                                                                      : (uint64_t)facts->target->pid;

    for (size_t i = 0; i < sessions->count; i++) {
        const struct ebb_books_session *session = &sessions->sessions[i];

        if (session->id != pid)
            continue;
        ebb__emit_note(emit, "backend", "It is a process of the server: %s%s%s.", session->name,
                       session->command[0] != '\0' ? ", " : "", session->command);
        ebb__emit_note(emit, "contexts",
                       "What is in its heap by memory contexts nobody can ask from outside: "
                       "pg_backend_memory_contexts is of the asker's own session. SELECT "
                       "pg_log_backend_memory_contexts(%" PRIu64 ") has it write them to the server's log "
                       "(PostgreSQL 14 and later).",
                       pid);
    }
}

static void note_postgres(struct ebb_emit *emit, const struct ebb_explain_facts *facts)
{
    const struct ebb_books *books = &facts->books;

    if (books->kind != EBB_BOOKS_POSTGRES || !books->answered)
        return;
    if (!facts->segment.found)
        ebb__emit_note(emit, "segment", "None of its mappings is as large as the server's shared memory.");
    else if (facts->segment.huge_pages)
        ebb__emit_note(emit, "segment",
                       "Its shared memory is in pages of the huge page pool, which count in no RSS.");
    if (!books->items.known)
        ebb__emit_note(emit, "names", "Shared memory by name: %s.", books->items.why);
    if (!books->postgres.buffers_used.known)
        ebb__emit_note(emit, "buffers", "Used and dirty buffers are not known: %s.",
                       ebb__books_why(books, &books->postgres.buffers_used));
    note_backend(emit, facts);
}

static void note_pages(struct ebb_emit *emit, const struct ebb_explain_facts *facts)
{
    char time[EBB_UNITS_BYTES];

    if (facts->has_pages)
        return;
    if (facts->estimate_ms > EBB_MAPS_BUDGET_MS)
        ebb__emit_note(
            emit, "deep",
            "Which mapping how many of the pages belong to was not read: it takes about %s, in which the "
            "process may have to wait for memory; --deep does.",
            ebb__units_ms(facts->estimate_ms, time));
    else
        ebb__emit_note(emit, "pages", "Which mapping how many of the pages belong to is not known: %s.",
                       facts->pages_why);
}

/* More in its processes than is charged to the cgroup. */
static void note_cgroup(struct ebb_emit *emit, const struct ebb_account *usage)
{
    const struct ebb_account_row *rest = ebb__account_find(usage, "anon_rest");

    if (rest != NULL && rest->known && rest->bytes < 0)
        ebb__emit_note(emit, "cgroup",
                       "Its processes hold more than is charged to the cgroup: what a process had before it "
                       "joined stays "
                       "charged where it was, and the cgroup's own sums lag behind by up to two seconds.");
}

static void note_unattributed(struct ebb_emit *emit, const struct ebb_explain_facts *facts)
{
    for (unsigned i = 0; i < facts->unknown_count; i++) {
        const struct ebb_explain_mapping *mapping = &facts->unknown[i];
        char rss[EBB_UNITS_BYTES];
        char size[EBB_UNITS_BYTES];

        ebb__emit_note(emit, "unattributed",
                       "In unattributed: %s resident of %s at 0x%" PRIx64 ", anonymous.",
                       ebb__units_bytes(mapping->rss_bytes, rss), ebb__units_bytes(mapping->bytes, size),
                       mapping->start);
    }
}

static void check(const struct ebb_account *account)
{
    const char *broken = ebb__account_check(account);

    if (broken == NULL)
        return;
    fprintf(stderr, "ebb explain: the account is wrong (%s); please report this\n", broken);
    abort();
}

/* Accounts by the server's books, where it keeps such. */
static void show_books(struct ebb_emit *emit, const struct ebb_explain_facts *facts,
                       const struct ebb_section *like, struct ebb_account *account)
{
    static struct ebb_section live;
    static struct ebb_section shared;
    static char live_title[EBB_BOOKS_TEXT_BYTES + 96];
    static char shared_title[EBB_BOOKS_TEXT_BYTES + 96];
    const char *server = facts->books.answered ? ebb__books_kind_name(facts->books.kind) : "";

    live = *like;
    live.key = "live";
    live.title = live_title;
    snprintf(live_title, sizeof(live_title), "what is live in the heap, by the books of %s %s", server,
             facts->books.version);
    if (ebb__explain_live(facts, account)) {
        check(account);
        emit_account(emit, &live, account);
        note_moments(emit, account);
    }
    shared = *like;
    shared.key = "shared";
    shared.title = shared_title;
    snprintf(shared_title, sizeof(shared_title), "shared memory, by the books of %s %s", server,
             facts->books.version);
    if (ebb__explain_segment(facts, account)) {
        check(account);
        emit_account(emit, &shared, account);
        note_moments(emit, account);
    }
}

static void show(struct ebb_emit *emit, const struct ebb_explain_facts *facts)
{
    static struct ebb_account account;
    static char title[EBB_MAPS_TITLE_BYTES];
    static struct ebb_section resident;
    static struct ebb_section usage;
    static char usage_title[EBB_CGROUP_PATH_BYTES + 32];
    bool human = ebb__emit_is_human(emit);
    unsigned skipped = human ? MACHINE_COLUMNS : 0;

    ebb__maps_title(facts->target, title);
    resident = (struct ebb_section){.key = "resident",
                                    .title = title,
                                    .columns = COLUMNS + skipped,
                                    .column_count = sizeof(COLUMNS) / sizeof(COLUMNS[0]) - skipped};
    usage = resident;
    usage.key = "usage";
    usage.title = usage_title;
    ebb__emit_begin(emit);
    ebb__explain_resident(facts, &account);
    check(&account);
    emit_account(emit, &resident, &account);
    note_moments(emit, &account);
    show_books(emit, facts, &resident, &account);
    if (facts->cgroup.err == 0) {
        snprintf(usage_title, sizeof(usage_title), "memory cgroup %s", facts->cgroup.path);
        ebb__explain_usage(facts, &account);
        check(&account);
        emit_account(emit, &usage, &account);
        note_cgroup(emit, &account);
    } else {
        ebb__emit_note(emit, "cgroup", "Its memory cgroup cannot be looked at: %s.",
                       ebb__fact_why(ebb__fact_unknown(facts->cgroup.err)));
    }
    note_heap(emit, facts);
    note_books(emit, facts);
    note_postgres(emit, facts);
    note_redis(emit, facts);
    note_pages(emit, facts);
    note_unattributed(emit, facts);
    ebb__emit_end(emit);
}

static int check_sql(void)
{
    const char *why = options.ask.sql == NULL ? NULL : ebb__books_sql_check(options.ask.sql);

    if (why != NULL)
        return ebb__opt_usage(&ebb__spec_explain, "--sql: %s", why);
    if (options.ask.no_sql && (options.ask.sql != NULL || options.ask.defaults_file != NULL))
        return ebb__opt_usage(&ebb__spec_explain, "--no-sql excludes --sql and --defaults-file");
    return EBB_EXIT_OK;
}

int ebb__cmd_explain(int argc, char **argv)
{
    static struct ebb_explain_facts facts;
    static struct ebb_emit emit;
    struct ebb_target target;
    const char *root;
    int first;
    int status;

    if (!ebb__opt_parse(&ebb__spec_explain, argc, argv, &first, &status))
        return status;
    if (argc - first != 1)
        return ebb__opt_usage(&ebb__spec_explain, "which process?");
    if (check_sql() != EBB_EXIT_OK)
        return EBB_EXIT_USAGE;
    status = ebb__emit_init(&emit, &ebb__spec_explain, &options.output);
    if (status == EBB_EXIT_OK)
        status = ebb__output_root(&ebb__spec_explain, &options.output, &root);
    if (status == EBB_EXIT_OK)
        status = ebb__target_find("explain", root, argv[first], &target);
    if (status == EBB_EXIT_OK)
        status = ebb__explain_collect(&facts, &target, &options.ask);
    if (status != EBB_EXIT_OK)
        return status;
    show(&emit, &facts);
    ebb__explain_fini(&facts);
    return EBB_EXIT_OK;
}
