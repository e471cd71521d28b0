/* SPDX-License-Identifier: MIT
 *
 * The books of PostgreSQL: settings, its shared memory by name, how much of its buffers is used, and which process is what.
 *
 * Memory of a backend is known to that backend alone (pg_backend_memory_contexts is the asker's own), so sessions come without
 * bytes: those are the kernel's, by process.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "books/ask_priv.h"
#include "books/postgres_client_priv.h"
#include "books/rows_priv.h"
#include "probe/scan.h"

#define STATEMENT_BYTES 4096

/* Before it counts anything, the view of pg_buffercache makes a copy of some 40 bytes for each buffer in the memory of the process
 * that asks: 5 MB for 1 GiB of 8 KiB each, which is as far as we go. */
#define VIEW_BUFFERS_MAX (UINT64_C(1) << 17)

static bool take_setting(void *context, char **cells)
{
    ebb__rows_take(context, EBB_BOOKS_SETTING, cells[0], cells[1], cells[2]);
    return true;
}

static bool take_value(void *context, char **cells)
{
    ebb__rows_take(context, EBB_BOOKS_VALUE, cells[0], cells[1], NULL);
    return true;
}

static bool take_allocation(void *context, char **cells)
{
    struct ebb_books *books = context;
    struct ebb_books_item item = {0};

    if (!ebb__rows_signed(cells[2], &item.bytes))
        return true;
    /* What is not used has an offset too, but is nothing that was allocated. */
    item.offset = cells[0] != NULL && cells[1] != NULL ? ebb__rows_value(EBB_BOOKS_BYTES, cells[1], NULL)
                                                       : ebb__fact_unknown(-ENODATA);
    ebb__rows_text(cells[0] != NULL ? cells[0] : "<unused>", item.name, sizeof(item.name));
    return ebb__rows_add_item(&books->items, &item);
}

static bool take_process(void *context, char **cells)
{
    struct ebb_books *books = context;
    struct ebb_books_session session = {0};
    int64_t pid;

    if (!ebb__rows_signed(cells[0], &pid) || pid <= 0)
        return true;
    session.id = (uint64_t)pid;
    session.tid = ebb__fact((uint64_t)pid);
    ebb__rows_text(cells[1] != NULL ? cells[1] : "", session.name, sizeof(session.name));
    ebb__rows_text(cells[2] != NULL ? cells[2] : "", session.command, sizeof(session.command));
    return ebb__rows_add_session(&books->sessions, &session);
}

static void ask_facts(struct ebb_books *books, struct ebb_postgres *postgres, enum ebb_books_source source,
                      const char *statement, int columns, ebb_postgres_take take)
{
    char why[EBB_BOOKS_WHY_BYTES];
    int err = ebb__postgres_ask(postgres, statement, columns, take, books, why);

    ebb__rows_mark(books, source, err == 0 ? -ENODATA : err);
    if (err != 0 && books->why[0] == '\0')
        snprintf(books->why, sizeof(books->why), "%.400s", why);
}

/* Each expression with the name of its field before it. */
static void ask_values(struct ebb_books *books, struct ebb_postgres *postgres)
{
    char statement[STATEMENT_BYTES];
    size_t count, used = 0;
    const struct ebb_books_row *rows = ebb__books_rows(EBB_BOOKS_POSTGRES, &count);

    for (size_t i = 0; i < count; i++)
        if (rows[i].source == EBB_BOOKS_VALUE && used < sizeof(statement))
            used += (size_t)snprintf(statement + used, sizeof(statement) - used, "%sSELECT '%s', (%s)::text",
                                     used != 0 ? " UNION ALL " : "", rows[i].name, rows[i].key);
    if (used != 0 && used < sizeof(statement))
        ask_facts(books, postgres, EBB_BOOKS_VALUE, statement, 2, take_value);
}

static void ask_lists(struct ebb_books *books, struct ebb_postgres *postgres)
{
    char why[EBB_BOOKS_WHY_BYTES];
    int err = ebb__postgres_ask(postgres, "SELECT name, off, allocated_size FROM pg_shmem_allocations", 3,
                                take_allocation, books, why);

    books->items.known = err == 0;
    if (err != 0)
        snprintf(books->items.why, sizeof(books->items.why), "%.300s%s", why,
                 err == -EACCES ? ": GRANT pg_read_all_stats gives it" : "");
    err = ebb__postgres_ask(postgres,
                            "SELECT pid, COALESCE(usename, backend_type), state FROM pg_stat_activity", 3,
                            take_process, books, why);
    books->sessions.known = err == 0;
    if (err != 0)
        snprintf(books->sessions.why, sizeof(books->sessions.why), "%.300s", why);
    ebb__rows_sort(books);
}

/* ---- the extension pg_buffercache ---- */

struct extension {
    bool installed;
    char schema[200]; /* in quotes where it needs them */
    char version[40];
};

static bool take_extension(void *context, char **cells)
{
    struct extension *extension = context;

    if (cells[0] == NULL || cells[1] == NULL || strlen(cells[0]) >= sizeof(extension->schema))
        return true;
    extension->installed = true;
    ebb__rows_text(cells[0], extension->schema, sizeof(extension->schema));
    ebb__rows_text(cells[1], extension->version, sizeof(extension->version));
    return true;
}

static bool take_buffers(void *context, char **cells)
{
    ebb__rows_take(context, EBB_BOOKS_CACHE, "buffers_used", cells[0], NULL);
    ebb__rows_take(context, EBB_BOOKS_CACHE, "buffers_dirty", cells[1], NULL);
    return true;
}

/* From 1.4 on it counts by itself, and copies nothing. By the version, not by trying: who may create functions in its schema could
 * have made one of that name, which we would run. */
static bool has_summary(const char *version)
{
    struct ebb_scan scan = {.at = version, .end = version + strlen(version)};
    uint64_t major, minor;

    return ebb__scan_dec(&scan, &major) && ebb__scan_char(&scan, '.') && ebb__scan_dec(&scan, &minor) &&
           (major > 1 || minor >= 4);
}

static int ask_buffers(struct ebb_books *books, struct ebb_postgres *postgres,
                       const struct extension *extension, char *ret_why)
{
    const struct ebb_books_postgres *own = &books->postgres;
    char statement[STATEMENT_BYTES];

    if (has_summary(extension->version)) {
        snprintf(statement, sizeof(statement),
                 "SELECT buffers_used, buffers_dirty FROM %s.pg_buffercache_summary()", extension->schema);
    } else if (own->shared_buffers_bytes.known && own->page_bytes.known && own->page_bytes.value != 0 &&
               own->shared_buffers_bytes.value / own->page_bytes.value <= VIEW_BUFFERS_MAX) {
        snprintf(statement, sizeof(statement),
                 "SELECT count(relfilenode), count(*) FILTER (WHERE isdirty) FROM %s.pg_buffercache",
                 extension->schema);
    } else {
        snprintf(ret_why, EBB_BOOKS_WHY_BYTES,
                 "pg_buffercache %s would copy a row for each of the buffers, which are too many for that; "
                 "that of PostgreSQL 16 sums up",
                 extension->version);
        return -EINPROGRESS;
    }
    return ebb__postgres_ask(postgres, statement, 2, take_buffers, books, ret_why);
}

static void ask_cache(struct ebb_books *books, struct ebb_postgres *postgres)
{
    struct extension extension = {0};
    char why[EBB_BOOKS_WHY_BYTES] =
        "the extension pg_buffercache is not installed in the database postgres: CREATE EXTENSION "
        "pg_buffercache there gives them";
    int err = ebb__postgres_ask(postgres,
                                "SELECT quote_ident(n.nspname), e.extversion FROM pg_extension e JOIN "
                                "pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_buffercache'",
                                2, take_extension, &extension, why);

    if (err == 0)
        err = extension.installed ? ask_buffers(books, postgres, &extension, why) : -ENODATA;
    ebb__rows_mark(books, EBB_BOOKS_CACHE, err == 0 ? -ENODATA : err);
    if (err != 0)
        snprintf(books->more_why, sizeof(books->more_why), "%.300s%s", why,
                 err == -EACCES ? ": GRANT pg_monitor gives them" : "");
}

int ebb__ask_postgres(struct ebb_books *books, const struct ebb_endpoint *endpoint,
                      const struct ebb_books_options *options, struct ebb_ask_times times)
{
    char statement[STATEMENT_BYTES], names[STATEMENT_BYTES - 100];
    struct ebb_postgres *postgres;
    int err = ebb__postgres_open(endpoint, options, times.connect, &postgres, books->why);

    if (err != 0)
        return err;
    ebb__rows_text(ebb__postgres_version(postgres), books->version, sizeof(books->version));
    books->answered = true;
    ebb__postgres_extend(postgres, times.end);
    if (ebb__rows_names(EBB_BOOKS_POSTGRES, EBB_BOOKS_SETTING, names, sizeof(names))) {
        snprintf(statement, sizeof(statement),
                 "SELECT name, setting, unit FROM pg_settings WHERE name IN (%s)", names);
        ask_facts(books, postgres, EBB_BOOKS_SETTING, statement, 3, take_setting);
    }
    ask_values(books, postgres);
    ask_lists(books, postgres);
    ask_cache(books, postgres);
    ebb__postgres_close(postgres);
    return 0;
}
