/* SPDX-License-Identifier: MIT
 *
 * Actions of ebb relieve through a server's own SQL: its buffer pool made smaller, and its tables closed; see relieve.h.
 *
 * The look asks for the server's books, which changes nothing. What changes the server is one call, ebb__books_act(), made only for what was
 * asked for by name and with --yes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "model/units.h"
#include "tool/relieve.h"

/* FLUSH waits for locks for a second at most; this is for the closing itself. */
#define FLUSH_MS 5000

static const char SUPER_LACKS[] = "the account may not set global variables: it needs SUPER, or on MySQL "
                                  "SYSTEM_VARIABLES_ADMIN";
static const char RELOAD_LACKS[] = "the account may not flush tables: it needs RELOAD";

static struct ebb_books_options books_options(const struct ebb_relieve *relieve, bool want_rights)
{
    return (struct ebb_books_options){
        .root = "",
        .pid = relieve->target->pid,
        .sql = relieve->ask->sql,
        .defaults_file = relieve->ask->defaults_file,
        .want_rights = want_rights,
    };
}

void ebb__relieve_ask_server(struct ebb_relieve *relieve)
{
    const struct ebb_books_options options = books_options(relieve, true);

    if (relieve->ask->left_out == NULL)
        ebb__books_read(&options, &relieve->books);
}

static bool is_mysql(const struct ebb_books *books)
{
    return books->kind == EBB_BOOKS_MARIADB || books->kind == EBB_BOOKS_MYSQL;
}

/* False, with the reason, when there is no server to speak to. */
static bool may_speak(const struct ebb_relieve *relieve, struct ebb_relieve_action *action)
{
    const struct ebb_books *books = &relieve->books;

    if (relieve->ask->left_out != NULL)
        return ebb__relieve_refuse(action, relieve->ask->left_out);
    if (books->kind != EBB_BOOKS_NONE && !is_mysql(books)) {
        snprintf(action->why, sizeof(action->why), "%s has no statement for it",
                 ebb__books_kind_name(books->kind));
        return false;
    }
    if (!books->answered)
        return ebb__relieve_refuse(action, books->why);
    return true;
}

static bool act_at(const struct ebb_relieve *relieve, const struct ebb_books_act *act,
                   struct ebb_relieve_action *action, struct ebb_books_acted *ret_acted)
{
    const struct ebb_books_options options = books_options(relieve, false);

    ebb__books_act(&options, act, ret_acted);
    if (!ret_acted->done)
        snprintf(action->said, sizeof(action->said), "%.250s", ret_acted->why);
    return ret_acted->done;
}

/* ---- the buffer pool ---- */

static struct ebb_pool pool_of(const struct ebb_books *books)
{
    const struct ebb_books_mysql *mysql = &books->mysql;

    return (struct ebb_pool){
        .size_bytes = mysql->pool_size_bytes,
        .size_max_bytes = mysql->pool_size_max_bytes,
        .chunk_bytes = mysql->pool_chunk_bytes,
        .instances = mysql->pool_instances,
        .page_bytes = mysql->page_bytes,
        .free_pages = mysql->pool_free_pages,
        .total_pages = mysql->pool_total_pages,
    };
}

static void predict_pool(const struct ebb_relieve *relieve, const struct ebb_pool *pool, uint64_t new_bytes,
                         struct ebb_relieve_action *action)
{
    struct ebb_pool_backing backing;

    if (ebb__relieve_backing(relieve, pool, new_bytes, &backing, &action->predicted_why) == 0)
        action->predicted_bytes = ebb__pool_gain(pool, &backing, new_bytes);
}

/* What stands against any resize. */
static bool may_resize(const struct ebb_relieve *relieve, const struct ebb_pool *pool,
                       struct ebb_relieve_action *action)
{
    const struct ebb_books *books = &relieve->books;
    bool fixed = ebb__pool_is_one_range(pool) && ebb__fact_or(books->mysql.large_pages, 0) != 0;

    if (!pool->size_bytes.known)
        return ebb__relieve_refuse(action, ebb__books_why(books, &books->mysql.pool_size_bytes));
    if (!ebb__pool_step(pool).known)
        return ebb__relieve_refuse(action, "in which steps its pool can be resized is not known");
    if (fixed)
        return ebb__relieve_refuse(action, "with large_pages its pool has the size of its start");
    if (ebb__books_is_resizing(books->state)) {
        snprintf(action->why, sizeof(action->why), "a resize of its pool is in progress: %.150s",
                 books->state);
        return false;
    }
    if (books->rights.may_set.known && books->rights.may_set.value == 0)
        return ebb__relieve_refuse(action, SUPER_LACKS);
    return true;
}

/* Nobody asked for it: what could be had without loss. */
static bool suggest_pool(const struct ebb_relieve *relieve, const struct ebb_pool *pool,
                         struct ebb_relieve_action *action)
{
    struct ebb_fact fit = ebb__pool_fit(pool);
    char size[EBB_UNITS_BYTES];

    ebb__units_bytes(pool->size_bytes.value, size);
    action->predicted_why = "it depends on --pool SIZE";
    if (!fit.known || fit.value >= pool->size_bytes.value) {
        snprintf(action->why, sizeof(action->why), "it is done only when asked for, by --pool SIZE: %s%s, %s",
                 size, fit.known ? "" : " is its size now",
                 fit.known ? "its size now, is not more than its data and a reserve need"
                           : "and what it holds is not known");
        return false;
    }
    predict_pool(relieve, pool, fit.value, action);
    snprintf(action->why, sizeof(action->why),
             "it is done only when asked for: --pool %" PRIu64 "M, of %s now, has room for all that it holds",
             fit.value >> 20, size);
    return false;
}

bool ebb__relieve_look_at_pool(struct ebb_relieve *relieve, struct ebb_relieve_action *action)
{
    struct ebb_pool pool = pool_of(&relieve->books);
    uint64_t asked_bytes = relieve->ask->pool_bytes;
    char text[3][EBB_UNITS_BYTES];

    if (!may_speak(relieve, action) || !may_resize(relieve, &pool, action))
        return false;
    if (asked_bytes == 0)
        return suggest_pool(relieve, &pool, action);
    relieve->new_pool_bytes = ebb__pool_round(asked_bytes, ebb__pool_step(&pool).value);
    ebb__units_bytes(asked_bytes, text[0]);
    ebb__units_bytes(relieve->new_pool_bytes, text[1]);
    ebb__units_bytes(pool.size_bytes.value, text[2]);
    if (relieve->new_pool_bytes < ebb__pool_least(&pool)) {
        snprintf(action->why, sizeof(action->why), "%s is less than the server takes: %s", text[1],
                 ebb__units_bytes(ebb__pool_least(&pool), text[0]));
        return false;
    }
    if (relieve->new_pool_bytes >= pool.size_bytes.value) {
        snprintf(action->why, sizeof(action->why), "%s%s%s is not less than its pool has, %s", text[0],
                 relieve->new_pool_bytes != asked_bytes ? ", which the server makes " : "",
                 relieve->new_pool_bytes != asked_bytes ? text[1] : "", text[2]);
        return false;
    }
    predict_pool(relieve, &pool, relieve->new_pool_bytes, action);
    snprintf(action->how, sizeof(action->how),
             "SET GLOBAL innodb_buffer_pool_size = %" PRIu64 " (%s%s), of %s now", relieve->new_pool_bytes,
             text[1], relieve->new_pool_bytes != asked_bytes ? ", as the server rounds" : "", text[2]);
    return true;
}

/* After the first second, a line each second, for who sits there and waits. */
static void tell(void *context, const char *state, unsigned elapsed_ms)
{
    unsigned *shown_s = context;

    if (elapsed_ms / 1000 <= *shown_s || isatty(STDERR_FILENO) != 1)
        return;
    *shown_s = elapsed_ms / 1000;
    fprintf(stderr, "ebb relieve: pool: %u s: %s\n", *shown_s,
            state[0] != '\0' ? state : "the server works on it");
}

bool ebb__relieve_pool(struct ebb_relieve *relieve, struct ebb_relieve_action *action)
{
    unsigned shown_s = 0;
    const struct ebb_books_act act = {
        .kind = EBB_BOOKS_RESIZE_POOL,
        .pool_bytes = relieve->new_pool_bytes,
        .timeout_ms = (unsigned)relieve->ask->pool_wait_ms,
        .tell = tell,
        .context = &shown_s,
    };
    struct ebb_books_acted acted;
    char size[EBB_UNITS_BYTES];
    char time[EBB_UNITS_BYTES];

    if (!act_at(relieve, &act, action, &acted))
        return false;
    snprintf(action->said, sizeof(action->said), "the server says: %s now, after %s",
             acted.after.known ? ebb__units_bytes(acted.after.value, size) : ebb__fact_why(acted.after),
             ebb__units_ms(acted.elapsed_ms, time));
    return true;
}

/* ---- tables ---- */

/* Names under which the servers count what belongs to an open table. */
static const char *const TABLE_NAMES[] = {
    "memory/sql/TABLE",
    "memory/sql/TABLE_SHARE::mem_root",
};

/* What the books count for open tables: where performance_schema counts memory. */
static bool table_bytes(const struct ebb_books *books, uint64_t *ret_bytes)
{
    int64_t bytes = 0;

    if (!books->answered || !books->items.known || books->items.count == 0)
        return false;
    for (size_t i = 0; i < books->items.count; i++)
        for (size_t n = 0; n < sizeof(TABLE_NAMES) / sizeof(TABLE_NAMES[0]); n++)
            if (strcmp(books->items.items[i].name, TABLE_NAMES[n]) == 0)
                bytes += books->items.items[i].bytes;
    if (bytes <= 0)
        return false;
    *ret_bytes = (uint64_t)bytes;
    return true;
}

struct ebb_fact ebb__relieve_heap(const struct ebb_relieve *relieve)
{
    const struct ebb_books_options options = books_options(relieve, false);
    struct ebb_books books;
    uint64_t bytes = 0;
    bool known;

    ebb__books_read(&options, &books);
    known = table_bytes(&books, &bytes);
    ebb__books_fini(&books);
    return known ? ebb__fact(bytes) : ebb__fact_unknown(-ENODATA);
}

bool ebb__relieve_look_at_flush(struct ebb_relieve *relieve, struct ebb_relieve_action *action)
{
    const struct ebb_books *books = &relieve->books;
    const struct ebb_books_rights *rights = &books->rights;
    struct ebb_fact tables = books->mysql.open_tables;
    uint64_t bytes;

    if (!may_speak(relieve, action))
        return false;
    action->predicted_why = "only the server knows: its performance_schema does not count memory of tables";
    if (table_bytes(books, &bytes))
        action->predicted_bytes = ebb__fact(bytes);
    if (rights->may_flush.known && rights->may_flush.value == 0)
        return ebb__relieve_refuse(action, RELOAD_LACKS);
    if (rights->flush_waits && !rights->tables_in_use.known)
        return ebb__relieve_refuse(
            action, "which tables are in use is not known, and this server would wait for them");
    if (rights->flush_waits && rights->tables_in_use.value != 0) {
        snprintf(action->why, sizeof(action->why),
                 "%" PRIu64 " tables are in use, and this server would make others wait for them",
                 rights->tables_in_use.value);
        return false;
    }
    if (!relieve->ask->flush) {
        snprintf(action->why, sizeof(action->why), "it is done only when asked for: --flush");
        if (tables.known)
            snprintf(action->why, sizeof(action->why),
                     "it is done only when asked for: --flush; %" PRIu64 " tables are open", tables.value);
        return false;
    }
    snprintf(action->how, sizeof(action->how),
             "FLUSH LOCAL TABLES, waiting for a lock for 1 s at most; it frees to the allocator");
    return true;
}

bool ebb__relieve_flush(struct ebb_relieve *relieve, struct ebb_relieve_action *action)
{
    const struct ebb_books_act act = {.kind = EBB_BOOKS_FLUSH_TABLES, .timeout_ms = FLUSH_MS};
    struct ebb_books_acted acted;
    char time[EBB_UNITS_BYTES];

    if (!act_at(relieve, &act, action, &acted))
        return false;
    ebb__units_ms(acted.elapsed_ms, time);
    if (acted.before.known && acted.after.known)
        snprintf(action->said, sizeof(action->said),
                 "the server says: %" PRIu64 " tables open, %" PRIu64 " before, after %s", acted.after.value,
                 acted.before.value, time);
    else
        snprintf(action->said, sizeof(action->said), "the server has done it, after %s", time);
    return true;
}
