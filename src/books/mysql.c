/* SPDX-License-Identifier: MIT
 *
 * The books of MariaDB and MySQL: what is asked, in which order, and what an answer that does not come means.
 *
 * The cheap statements come first, so that a deadline costs the dear ones: variables, status, then memory by name, then sessions.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "books/ask_priv.h"
#include "books/mysql_client_priv.h"
#include "books/rows_priv.h"

/* All names of a source in quotes, and the words around them. */
#define STATEMENT_BYTES 8192

/* One conversation. */
struct talk {
    struct ebb_books *books;
    struct ebb_mysql *mysql;
    enum ebb_books_source source;
    bool short_of_memory;
};

/* Keeps the first of the reasons: what follows a lost connection says nothing more. */
static void set_why(struct ebb_books *books, const char *what, const char *why)
{
    if (books->why[0] == '\0')
        snprintf(books->why, sizeof(books->why), "%s: %.300s", what, why);
}

static bool take_pair(void *context, char **cells)
{
    struct talk *talk = context;

    ebb__rows_take(talk->books, talk->source, cells[0], cells[1], NULL);
    return true;
}

/* Type, Name, Status. */
static bool take_engine(void *context, char **cells)
{
    struct talk *talk = context;

    ebb__rows_take(talk->books, talk->source, cells[1], cells[2], NULL);
    return true;
}

static void ask_facts(struct talk *talk, enum ebb_books_source source, const char *statement,
                      unsigned columns, ebb_mysql_take take)
{
    char why[EBB_BOOKS_WHY_BYTES];
    unsigned code;
    int err;

    talk->source = source;
    err = ebb__mysql_ask(talk->mysql, statement, columns, take, talk, &code, why);
    ebb__rows_mark(talk->books, source, err == 0 ? -ENODATA : err);
    if (err != 0)
        set_why(talk->books, source == EBB_BOOKS_ENGINE ? "SHOW ENGINE" : "SHOW GLOBAL", why);
}

static void ask_named_facts(struct talk *talk, enum ebb_books_source source, const char *what)
{
    char statement[STATEMENT_BYTES], names[STATEMENT_BYTES - 100];

    if (!ebb__rows_names(talk->books->kind, source, names, sizeof(names)))
        return;
    snprintf(statement, sizeof(statement), "SHOW GLOBAL %s WHERE Variable_name IN (%s)", what, names);
    ask_facts(talk, source, statement, 2, take_pair);
}

static bool take_instruments(void *context, char **cells)
{
    struct talk *talk = context;
    struct ebb_books_items *list = &talk->books->items;

    if (cells[0] != NULL && cells[1] != NULL) {
        list->instruments = ebb__rows_value(EBB_BOOKS_COUNT, cells[0], NULL);
        list->instruments_on = ebb__rows_value(EBB_BOOKS_COUNT, cells[1], NULL);
    }
    return true;
}

static bool take_item(void *context, char **cells)
{
    struct talk *talk = context;
    struct ebb_books_item item = {0};

    if (cells[0] == NULL || !ebb__rows_signed(cells[1], &item.bytes))
        return true;
    ebb__rows_text(cells[0], item.name, sizeof(item.name));
    if (!ebb__rows_signed(cells[2], &item.high_bytes) || !ebb__rows_signed(cells[3], &item.count))
        return true;
    talk->short_of_memory |= !ebb__rows_add_item(&talk->books->items, &item);
    return !talk->short_of_memory;
}

/* What a list says when a statement for it failed: a privilege can be had, a table that this version lacks cannot. */
static void list_failed(const struct talk *talk, unsigned code, const char *said, char *ret_why)
{
    bool denied =
        code == EBB_MYSQL_TABLE_DENIED || code == EBB_MYSQL_COLUMN_DENIED || code == EBB_MYSQL_NEEDS_GRANT;

    if (talk->short_of_memory)
        snprintf(ret_why, EBB_BOOKS_WHY_BYTES, "memory is short");
    else if (denied)
        snprintf(ret_why, EBB_BOOKS_WHY_BYTES, "%.300s: GRANT SELECT ON performance_schema.* gives it", said);
    else
        snprintf(ret_why, EBB_BOOKS_WHY_BYTES, "%.400s", said);
}

static void judge_instruments(struct ebb_books_items *list)
{
    uint64_t all = ebb__fact_or(list->instruments, 0), on = ebb__fact_or(list->instruments_on, 0);

    if (on < all)
        snprintf(list->why, sizeof(list->why),
                 "%llu of %llu memory instruments are off: what they would count is in no sum "
                 "(performance_schema_instrument='memory/%%=ON' in the option file, and a restart)",
                 (unsigned long long)(all - on), (unsigned long long)all);
}

static void ask_items(struct talk *talk)
{
    struct ebb_books_items *list = &talk->books->items;
    char why[EBB_BOOKS_WHY_BYTES];
    unsigned code;
    int err;

    if (talk->books->mysql.performance_schema.known && talk->books->mysql.performance_schema.value == 0) {
        snprintf(list->why, sizeof(list->why),
                 "performance_schema is OFF: the server does not count its memory by name "
                 "(performance_schema=ON in the option file, and a restart)");
        return;
    }
    err = ebb__mysql_ask(talk->mysql,
                         "SELECT COUNT(*), COALESCE(SUM(ENABLED = 'YES'), 0)"
                         " FROM performance_schema.setup_instruments WHERE NAME LIKE 'memory/%'",
                         2, take_instruments, talk, &code, why);
    if (err == 0)
        err = ebb__mysql_ask(talk->mysql,
                             "SELECT EVENT_NAME, CURRENT_NUMBER_OF_BYTES_USED, HIGH_NUMBER_OF_BYTES_USED,"
                             " CURRENT_COUNT_USED FROM performance_schema.memory_summary_global_by_event_name"
                             " WHERE CURRENT_NUMBER_OF_BYTES_USED <> 0",
                             4, take_item, talk, &code, why);
    list->known = err == 0 && !talk->short_of_memory;
    if (list->known)
        judge_instruments(list);
    else
        list_failed(talk, code, why, list->why);
}

/* id, thread, bytes, most bytes, name, command. */
static bool take_session(void *context, char **cells)
{
    struct talk *talk = context;
    struct ebb_books_session session = {.bytes_known = true};
    int64_t id;

    if (!ebb__rows_signed(cells[0], &id) || !ebb__rows_signed(cells[2], &session.bytes))
        return true;
    session.id = (uint64_t)id;
    session.tid =
        cells[1] != NULL ? ebb__rows_value(EBB_BOOKS_COUNT, cells[1], NULL) : ebb__fact_unknown(-ENODATA);
    if (!ebb__rows_signed(cells[3], &session.high_bytes))
        session.high_bytes = session.bytes;
    ebb__rows_text(cells[4] != NULL ? cells[4] : "", session.name, sizeof(session.name));
    ebb__rows_text(cells[5] != NULL ? cells[5] : "", session.command, sizeof(session.command));
    talk->short_of_memory |= !ebb__rows_add_session(&talk->books->sessions, &session);
    return !talk->short_of_memory;
}

/* Without the privilege a server shows the sessions of the same user, and does not say that there are more. */
static void judge_sessions(struct ebb_books *books)
{
    struct ebb_books_sessions *list = &books->sessions;
    uint64_t connected = ebb__fact_or(books->mysql.threads_connected, 0), seen = 0;

    for (size_t i = 0; i < list->count; i++)
        seen += list->sessions[i].id != 0;
    /* Some end between the two statements. */
    if (seen + seen / 8 + 2 < connected)
        snprintf(list->why, sizeof(list->why),
                 "%llu of %llu sessions are shown: the others need the privilege PROCESS",
                 (unsigned long long)seen, (unsigned long long)connected);
}

static void ask_sessions(struct talk *talk)
{
    struct ebb_books_sessions *list = &talk->books->sessions;
    const char *statement =
        talk->books->kind == EBB_BOOKS_MARIADB
            ? "SELECT ID, TID, MEMORY_USED, MAX_MEMORY_USED, USER, COMMAND FROM "
              "information_schema.PROCESSLIST"
            : "SELECT COALESCE(PROCESSLIST_ID, 0), THREAD_OS_ID, TOTAL_MEMORY, MAX_TOTAL_MEMORY,"
              " COALESCE(PROCESSLIST_USER, NAME), PROCESSLIST_COMMAND FROM performance_schema.threads";
    char why[EBB_BOOKS_WHY_BYTES];
    unsigned code;
    int err;

    talk->short_of_memory = false;
    err = ebb__mysql_ask(talk->mysql, statement, 6, take_session, talk, &code, why);
    list->known = err == 0 && !talk->short_of_memory;
    if (list->known)
        judge_sessions(talk->books);
    else if (err == -EPERM && code == EBB_MYSQL_UNKNOWN_COLUMN)
        snprintf(list->why, sizeof(list->why),
                 "this server does not count memory by session; MySQL 8.0.31 does");
    else
        list_failed(talk, code, why, list->why);
}

/* From here on the server itself refuses to write, and gives up what takes longer than we wait. */
static int begin(struct talk *talk, struct ebb_deadline deadline)
{
    char statement[100], why[EBB_BOOKS_WHY_BYTES];
    int left_ms = ebb__deadline_left_ms(deadline);
    unsigned code;
    int err = ebb__mysql_ask(talk->mysql, "SET SESSION TRANSACTION READ ONLY", 0, NULL, NULL, &code, why);

    if (err != 0) {
        set_why(talk->books, "SET SESSION TRANSACTION READ ONLY", why);
        return err;
    }
    if (talk->books->kind == EBB_BOOKS_MARIADB)
        snprintf(statement, sizeof(statement), "SET SESSION max_statement_time = %d.%03d", left_ms / 1000,
                 left_ms % 1000);
    else
        snprintf(statement, sizeof(statement), "SET SESSION max_execution_time = %d", left_ms);
    err = ebb__mysql_ask(talk->mysql, statement, 0, NULL, NULL, &code, why);
    /* Versions that do not know the limit refuse, and run without one. */
    if (err != 0 && err != -EPERM) {
        set_why(talk->books, "SET SESSION", why);
        return err;
    }
    return 0;
}

int ebb__ask_mysql(struct ebb_books *books, const struct ebb_endpoint *endpoint,
                   const struct ebb_books_options *options, struct ebb_ask_times times)
{
    struct talk talk = {.books = books};
    int err = ebb__mysql_open(endpoint, options, times.connect, &talk.mysql, books->why);

    if (err != 0)
        return err;
    ebb__rows_text(ebb__mysql_version(talk.mysql), books->version, sizeof(books->version));
    books->kind = strstr(books->version, "MariaDB") != NULL ? EBB_BOOKS_MARIADB : EBB_BOOKS_MYSQL;
    books->answered = true;
    ebb__mysql_extend(talk.mysql, times.end);
    if (begin(&talk, times.end) == 0) {
        ask_named_facts(&talk, EBB_BOOKS_VARIABLE, "VARIABLES");
        ask_named_facts(&talk, EBB_BOOKS_STATUS, "STATUS");
        ask_facts(&talk, EBB_BOOKS_ENGINE, "SHOW ENGINE PERFORMANCE_SCHEMA STATUS", 3, take_engine);
        ask_items(&talk);
        ask_sessions(&talk);
        if (options->want_rights)
            ebb__mysql_ask_rights(books, talk.mysql);
        ebb__rows_sort(books);
    }
    ebb__mysql_close(talk.mysql);
    return 0;
}
