/* SPDX-License-Identifier: MIT
 *
 * Everything that changes a MariaDB or MySQL server: this file has all such statements, and ebb__books_act() is the one way to it.
 *
 * A smaller buffer pool. MariaDB from 10.11.12, 11.4.6 and 11.8.2 on works while the statement lasts, moves pages below the new end,
 * and can be told to stop: then the pool is as it was. It is given the limit of time itself (max_statement_time), so that it
 * stops even when we are gone, and by KILL QUERY over a second connection when it does not. Older ones and MySQL note the
 * wish, return, and cannot be stopped: there Innodb_buffer_pool_resize_status is followed, and what is not over in time goes on.
 *
 * Tables closed. MariaDB from 10.4 on closes what nobody uses and waits for nobody. Elsewhere FLUSH TABLES first declares all
 * tables old and then waits for those in use; who wants one of these waits with it, even after FLUSH itself has given up. There it
 * is done only while no table is in use. lock_wait_timeout bounds the rest.
 *
 * Not here: RESET and FLUSH QUERY CACHE. The query cache is one block of query_cache_size bytes; emptying it gives nothing back.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "books/ask_priv.h"
#include "books/mysql_client_priv.h"
#include "books/rows_priv.h"

/* How often a resize is looked at. */
#define EVERY_MS 200

/* For one small statement beside the large one. */
#define SMALL_MS 2000

/* The server keeps the limit of time itself, but ends a step of a resize that has begun, which may wait for hundreds of pages to be
 * written. After so long it is reminded, and after so much more left alone. */
#define REMIND_MS 1000
#define STEP_MS   15000

/* Of metadata locks, for FLUSH; the least that there is. */
#define LOCK_WAIT_S "1"

struct actor {
    const struct ebb_books_act *act;
    struct ebb_books_acted *acted;
    enum ebb_books_kind kind;
    struct ebb_mysql *mysql;
    struct ebb_mysql *watch; /* NULL: there is no second connection to be had */
    char id[24];             /* of the first, for KILL QUERY */
    bool killed;
    int64_t start_ns;
};

static unsigned elapsed_ms(const struct actor *actor)
{
    return (unsigned)((ebb__deadline_now_ns() - actor->start_ns) / 1000000);
}

static void say(struct actor *actor, const char *what, const char *why)
{
    if (actor->acted->why[0] == '\0')
        snprintf(actor->acted->why, sizeof(actor->acted->why), "%s%s%.300s", what, why[0] != '\0' ? ": " : "",
                 why);
}

/* ---- small statements ---- */

static bool take_text(void *context, char **cells)
{
    ebb__rows_text(cells[1] != NULL ? cells[1] : "", context, EBB_BOOKS_TEXT_BYTES);
    return false;
}

/* The value of SHOW GLOBAL VARIABLES or STATUS; "" when the server does not have it. */
static int ask_text(struct ebb_mysql *mysql, const char *statement, char ret_text[EBB_BOOKS_TEXT_BYTES])
{
    char why[EBB_BOOKS_WHY_BYTES];
    unsigned code;

    ret_text[0] = '\0';
    ebb__mysql_extend(mysql, ebb__deadline_in(SMALL_MS));
    return ebb__mysql_ask(mysql, statement, 2, take_text, ret_text, &code, why);
}

static struct ebb_fact ask_number(struct ebb_mysql *mysql, const char *statement)
{
    char text[EBB_BOOKS_TEXT_BYTES];
    int err = ask_text(mysql, statement, text);

    if (err != 0)
        return ebb__fact_unknown(err);
    return text[0] == '\0' ? ebb__fact_unknown(-ENODATA) : ebb__rows_value(EBB_BOOKS_COUNT, text, NULL);
}

static struct ebb_fact pool_size(struct ebb_mysql *mysql)
{
    return ask_number(mysql, "SHOW GLOBAL VARIABLES LIKE 'innodb_buffer_pool_size'");
}

static struct ebb_fact open_tables(struct ebb_mysql *mysql)
{
    return ask_number(mysql, "SHOW GLOBAL STATUS LIKE 'Open_tables'");
}

static int resize_state(struct ebb_mysql *mysql, char ret_state[EBB_BOOKS_TEXT_BYTES])
{
    return ask_text(mysql, "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_resize_status'", ret_state);
}

/* A statement that sets something of our own session. */
static int set_session(struct actor *actor, const char *statement)
{
    char why[EBB_BOOKS_WHY_BYTES];
    unsigned code;
    int err;

    ebb__mysql_extend(actor->mysql, ebb__deadline_in(SMALL_MS));
    err = ebb__mysql_ask(actor->mysql, statement, 0, NULL, NULL, &code, why);
    if (err != 0)
        say(actor, statement, why);
    return err;
}

/* MySQL has no limit for statements that are no SELECT. */
static int set_limit(struct actor *actor, unsigned timeout_ms)
{
    char statement[80];

    if (actor->kind != EBB_BOOKS_MARIADB)
        return 0;
    snprintf(statement, sizeof(statement), "SET SESSION max_statement_time = %u.%03u", timeout_ms / 1000,
             timeout_ms % 1000);
    return set_session(actor, statement);
}

/* ---- while the server works ---- */

static void watch(void *context)
{
    struct actor *actor = context;
    char state[EBB_BOOKS_TEXT_BYTES];
    char statement[48];
    char why[EBB_BOOKS_WHY_BYTES];
    unsigned code;

    if (actor->watch == NULL)
        return;
    if (actor->act->tell != NULL && actor->act->kind == EBB_BOOKS_RESIZE_POOL &&
        resize_state(actor->watch, state) == 0)
        actor->act->tell(actor->act->context, state, elapsed_ms(actor));
    if (actor->killed || elapsed_ms(actor) < actor->act->timeout_ms + REMIND_MS)
        return;
    actor->killed = true;
    ebb__mysql_extend(actor->watch, ebb__deadline_in(SMALL_MS));
    snprintf(statement, sizeof(statement), "KILL QUERY %s", actor->id);
    ebb__mysql_ask(actor->watch, statement, 0, NULL, NULL, &code, why);
}

static bool take_id(void *context, char **cells)
{
    struct actor *actor = context;
    int64_t id;

    if (ebb__rows_signed(cells[0], &id))
        snprintf(actor->id, sizeof(actor->id), "%lld", (long long)id);
    return false;
}

/* A second connection is a comfort: without it there is no progress to see. */
static void open_watch(struct actor *actor, const struct ebb_endpoint *endpoint,
                       const struct ebb_books_options *options)
{
    char why[EBB_BOOKS_WHY_BYTES];
    unsigned code;

    ebb__mysql_extend(actor->mysql, ebb__deadline_in(SMALL_MS));
    if (ebb__mysql_ask(actor->mysql, "SELECT CONNECTION_ID()", 1, take_id, actor, &code, why) != 0 ||
        actor->id[0] == '\0')
        return;
    if (ebb__mysql_open(endpoint, options, ebb__deadline_in(SMALL_MS), &actor->watch, why) != 0)
        actor->watch = NULL;
}

/* The statement itself. */
static int carry_out(struct actor *actor, const char *statement)
{
    unsigned timeout_ms = actor->act->timeout_ms;
    char why[EBB_BOOKS_WHY_BYTES];
    unsigned code;
    int err;

    actor->start_ns = ebb__deadline_now_ns();
    ebb__mysql_extend(actor->mysql, ebb__deadline_in(timeout_ms + REMIND_MS + STEP_MS));
    err = ebb__mysql_run(actor->mysql, statement, EVERY_MS, watch, actor, &code, why);
    actor->acted->elapsed_ms = elapsed_ms(actor);
    if (err == -EPERM && (code == EBB_MYSQL_NEEDS_GRANT || code == EBB_MYSQL_ACCESS_DENIED))
        say(actor, "the account may not", why);
    else if (err == -EPERM && actor->acted->elapsed_ms >= timeout_ms)
        say(actor, "the server has given up at the time limit", why);
    else if (err == -EPERM)
        say(actor, "the server refused", why);
    else if (err == -ETIMEDOUT)
        say(actor, "the server did not give up at the time limit, and may go on", "");
    else if (err != 0)
        say(actor, "the connection was lost, and the server may go on", why);
    return err;
}

/* ---- the pool ---- */

bool ebb__books_is_resizing(const char *state)
{
    static const char *const ENDED[] = {"Completed resizing", "Size did not change"};

    for (size_t i = 0; i < sizeof(ENDED) / sizeof(ENDED[0]); i++)
        if (strncmp(state, ENDED[i], strlen(ENDED[i])) == 0)
            return false;
    /* Words that nobody knows are taken for work that goes on. */
    return state[0] != '\0' && strstr(state, "failed") == NULL && strstr(state, "aborted") == NULL;
}

/* Once more, and nearer than the look before: somebody else may have changed it meanwhile. */
static bool may_shrink(struct actor *actor)
{
    char state[EBB_BOOKS_TEXT_BYTES];

    actor->acted->before = pool_size(actor->mysql);
    if (!actor->acted->before.known)
        say(actor, "the pool's size cannot be read", "");
    else if (actor->acted->before.value <= actor->act->pool_bytes)
        say(actor, "the pool is not larger any more", "");
    else if (resize_state(actor->mysql, state) != 0)
        say(actor, "whether a resize is in progress cannot be read", "");
    else if (ebb__books_is_resizing(state))
        say(actor, "a resize is in progress", state);
    return actor->acted->why[0] == '\0';
}

/* Servers that only note the wish. Those that are through already have no state any more. */
static void follow(struct actor *actor)
{
    static const struct timespec PAUSE = {.tv_nsec = EVERY_MS * 1000000};
    char state[EBB_BOOKS_TEXT_BYTES];

    for (;;) {
        if (resize_state(actor->mysql, state) != 0) {
            say(actor, "what has become of the resize cannot be read", "");
            return;
        }
        actor->acted->elapsed_ms = elapsed_ms(actor);
        if (!ebb__books_is_resizing(state))
            return;
        if (actor->act->tell != NULL)
            actor->act->tell(actor->act->context, state, actor->acted->elapsed_ms);
        if (actor->acted->elapsed_ms >= actor->act->timeout_ms) {
            say(actor, "the server is not through at the time limit, and goes on", state);
            return;
        }
        nanosleep(&PAUSE, NULL);
    }
}

static void resize_pool(struct actor *actor, const struct ebb_endpoint *endpoint,
                        const struct ebb_books_options *options)
{
    struct ebb_mysql *alive;
    char statement[80];
    int err;

    if (!may_shrink(actor) || set_limit(actor, actor->act->timeout_ms) != 0)
        return;
    open_watch(actor, endpoint, options);
    snprintf(statement, sizeof(statement), "SET GLOBAL innodb_buffer_pool_size = %llu",
             (unsigned long long)actor->act->pool_bytes);
    err = carry_out(actor, statement);
    if (err == 0)
        follow(actor);
    /* A connection on which no answer came is of no use any more. */
    alive = err == 0 || err == -EPERM ? actor->mysql : actor->watch;
    if (alive != NULL)
        actor->acted->after = pool_size(alive);
    if (actor->acted->why[0] == '\0' &&
        ebb__fact_or(actor->acted->after, actor->act->pool_bytes) >= actor->acted->before.value)
        say(actor, "the server has left it as it was", "");
}

/* ---- tables ---- */

static void flush_tables(struct actor *actor, const struct ebb_endpoint *endpoint,
                         const struct ebb_books_options *options, const char *version)
{
    if (set_session(actor, "SET SESSION lock_wait_timeout = " LOCK_WAIT_S) != 0 ||
        set_limit(actor, actor->act->timeout_ms) != 0)
        return;
    open_watch(actor, endpoint, options);
    actor->acted->before = open_tables(actor->mysql);
    if (ebb__mysql_flush_waits(actor->kind, version)) {
        struct ebb_fact in_use = ebb__mysql_tables_in_use(actor->mysql);

        if (!in_use.known || in_use.value != 0) {
            say(actor, in_use.known ? "tables are in use" : "which tables are in use cannot be read", "");
            return;
        }
    }
    carry_out(actor, "FLUSH LOCAL TABLES");
    actor->acted->after = open_tables(actor->mysql);
}

int ebb__act_mysql(struct ebb_books *books, const struct ebb_endpoint *endpoint,
                   const struct ebb_books_options *options, struct ebb_ask_times times,
                   const struct ebb_books_act *act, struct ebb_books_acted *acted)
{
    struct actor actor = {.act = act, .acted = acted};
    int err = ebb__mysql_open(endpoint, options, times.connect, &actor.mysql, books->why);

    if (err != 0)
        return err;
    ebb__rows_text(ebb__mysql_version(actor.mysql), books->version, sizeof(books->version));
    actor.kind = strstr(books->version, "MariaDB") != NULL ? EBB_BOOKS_MARIADB : EBB_BOOKS_MYSQL;
    books->kind = actor.kind;
    if (act->kind == EBB_BOOKS_RESIZE_POOL)
        resize_pool(&actor, endpoint, options);
    else
        flush_tables(&actor, endpoint, options, books->version);
    acted->done = acted->why[0] == '\0';
    if (actor.watch != NULL)
        ebb__mysql_close(actor.watch);
    /* The server may still be at it: then there is nothing to wait for. */
    ebb__mysql_extend(actor.mysql, ebb__deadline_in(SMALL_MS));
    ebb__mysql_close(actor.mysql);
    return 0;
}
