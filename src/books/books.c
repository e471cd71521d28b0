/* SPDX-License-Identifier: MIT
 *
 * From a process to the books of its server; see books.h.
 */
#include "books/books.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "books/ask_priv.h"
#include "books/rows_priv.h"
#include "probe/proc.h"
#include "probe/stat.h"

/* Places that are tried: a server has a socket or two, and a port. */
#define ENDPOINTS_MAX 3

const char *ebb__books_kind_name(enum ebb_books_kind kind)
{
    static const char *const NAMES[] = {[EBB_BOOKS_MYSQL] = "MySQL",
                                        [EBB_BOOKS_MARIADB] = "MariaDB",
                                        [EBB_BOOKS_POSTGRES] = "PostgreSQL",
                                        [EBB_BOOKS_REDIS] = "Redis"};

    return (size_t)kind < sizeof(NAMES) / sizeof(NAMES[0]) ? NAMES[kind] : NULL;
}

enum ebb_books_kind ebb__books_kind_of(const char *program)
{
    static const struct {
        const char *name;
        enum ebb_books_kind kind;
    } PROGRAMS[] = {
        {"mariadbd", EBB_BOOKS_MARIADB},    {"mysqld", EBB_BOOKS_MYSQL},
        {"mysqld-debug", EBB_BOOKS_MYSQL},  {"postgres", EBB_BOOKS_POSTGRES},
        {"postmaster", EBB_BOOKS_POSTGRES}, {"redis-server", EBB_BOOKS_REDIS},
        {"valkey-server", EBB_BOOKS_REDIS}, {"keydb-server", EBB_BOOKS_REDIS},
    };

    for (size_t i = 0; i < sizeof(PROGRAMS) / sizeof(PROGRAMS[0]); i++)
        if (strcmp(PROGRAMS[i].name, program) == 0)
            return PROGRAMS[i].kind;
    return EBB_BOOKS_NONE;
}

/* By the file that it runs, where we may see that, else by the name that the kernel has of it. */
static enum ebb_books_kind kind_of_process(pid_t pid, struct ebb_stat *stat)
{
    char path[EBB_PROC_PATH_BYTES], target[PATH_MAX];
    enum ebb_books_kind kind = EBB_BOOKS_NONE;
    ssize_t len = -1;

    if (ebb__proc_path("", pid, "exe", path, sizeof(path)) == 0)
        len = readlink(path, target, sizeof(target) - 1);
    if (len > 0) {
        char *deleted;

        target[len] = '\0';
        /* An upgrade took the file away under the running server. */
        deleted = strstr(target, " (deleted)");
        if (deleted != NULL)
            *deleted = '\0';
        kind = ebb__books_kind_of(strrchr(target, '/') != NULL ? strrchr(target, '/') + 1 : target);
    }
    return kind != EBB_BOOKS_NONE ? kind : ebb__books_kind_of(stat->name);
}

/* PostgreSQL is many processes, of which one listens: the first, and the parent of the others. */
static pid_t listener_of(pid_t pid, const struct ebb_stat *stat)
{
    struct ebb_stat parent;

    if (ebb__stat_read("", stat->ppid, &parent) == 0 &&
        kind_of_process(stat->ppid, &parent) == EBB_BOOKS_POSTGRES)
        return stat->ppid;
    return pid;
}

/* What is to be done at the server, beside reading: NULL, nothing. */
struct deed {
    const struct ebb_books_act *act;
    struct ebb_books_acted *acted;
};

static int ask(struct ebb_books *books, const struct ebb_endpoint *endpoint,
               const struct ebb_books_options *options, const struct deed *deed, struct ebb_ask_times times)
{
    books->why[0] = '\0';
    ebb__endpoint_text(endpoint, books->asked);
    if (deed != NULL)
        return ebb__act_mysql(books, endpoint, options, times, deed->act, deed->acted);
    switch (books->kind) {
    case EBB_BOOKS_POSTGRES:
        return ebb__ask_postgres(books, endpoint, options, times);
    case EBB_BOOKS_REDIS:
        return ebb__ask_redis(books, endpoint, options, times);
    default:
        return ebb__ask_mysql(books, endpoint, options, times);
    }
}

/* Where nobody answers, the next place is tried; who refused us here, does so there. */
static void ask_in_turn(struct ebb_books *books, const struct ebb_endpoint *endpoints, size_t count,
                        const struct ebb_books_options *options, const struct deed *deed, unsigned budget_ms)
{
    struct ebb_deadline end = ebb__deadline_in(budget_ms);

    for (size_t i = 0; i < count; i++) {
        int left_ms = ebb__deadline_left_ms(end);
        bool last = i + 1 == count;
        struct ebb_ask_times times = {.connect = last ? end : ebb__deadline_in((unsigned)left_ms / 2),
                                      .end = end};
        int err = ask(books, &endpoints[i], options, deed, times);

        if (err != -ECONNREFUSED && err != -ETIMEDOUT && err != -EIO && err != -ENOENT)
            break;
    }
}

static void go_to(const struct ebb_books_options *options, unsigned budget_ms, const struct deed *deed,
                  struct ebb_books *books)
{
    struct ebb_endpoint endpoints[ENDPOINTS_MAX];
    struct ebb_books_options asked = *options;
    struct ebb_stat stat;
    const char *why;
    size_t count = 1;
    int err = ebb__stat_read("", options->pid, &stat);

    if (err != 0) {
        snprintf(books->why, sizeof(books->why), "the process cannot be looked at: %s",
                 ebb__fact_why(ebb__fact_unknown(err == -ENOENT ? -ESRCH : err)));
        return;
    }
    books->kind = kind_of_process(options->pid, &stat);
    /* Who names a place to ask with SQL knows what runs there, whatever the program is called. */
    if (books->kind == EBB_BOOKS_NONE && options->sql != NULL)
        books->kind = EBB_BOOKS_MYSQL;
    if (books->kind == EBB_BOOKS_NONE) {
        snprintf(books->why, sizeof(books->why), "it is no server that keeps books of its memory");
        return;
    }
    if (deed != NULL && books->kind != EBB_BOOKS_MARIADB && books->kind != EBB_BOOKS_MYSQL) {
        snprintf(books->why, sizeof(books->why), "%s has no such statement",
                 ebb__books_kind_name(books->kind));
        return;
    }
    if (books->kind == EBB_BOOKS_POSTGRES)
        asked.pid = listener_of(options->pid, &stat);
    if (options->sql != NULL) {
        why = ebb__endpoint_parse(options->sql, &endpoints[0]);
        if (why != NULL) {
            snprintf(books->why, sizeof(books->why), "%s", why);
            return;
        }
        if (!endpoints[0].local && endpoints[0].port == 0)
            endpoints[0].port = ebb__endpoint_usual_port(books->kind);
    } else {
        count = ebb__endpoint_find(books->kind, asked.pid, endpoints, ENDPOINTS_MAX, books->why);
    }
    if (count != 0)
        ask_in_turn(books, endpoints, count, &asked, deed, budget_ms);
    explicit_bzero(endpoints, sizeof(endpoints));
}

/* A list that nobody filled says why, as a fact does. */
static void fill_reasons(struct ebb_books *books)
{
    const char *why = books->why[0] != '\0' ? books->why
                      : books->kind == EBB_BOOKS_REDIS
                          ? "Redis keeps no such list that could be had by reading"
                          : "the server was not asked";

    if (!books->items.known && books->items.why[0] == '\0')
        snprintf(books->items.why, sizeof(books->items.why), "%s", why);
    if (!books->sessions.known && books->sessions.why[0] == '\0')
        snprintf(books->sessions.why, sizeof(books->sessions.why), "%s", why);
}

void ebb__books_read(const struct ebb_books_options *options, struct ebb_books *ret_books)
{
    unsigned budget_ms = options->budget_ms != 0 ? options->budget_ms : EBB_BOOKS_BUDGET_MS;
    int64_t start_ns = ebb__deadline_now_ns();

    ebb__rows_init(ret_books);
    if (options->root[0] != '\0')
        snprintf(ret_books->why, sizeof(ret_books->why), "a captured tree has no server that could be asked");
    else
        go_to(options, budget_ms, NULL, ret_books);
    fill_reasons(ret_books);
    ret_books->elapsed_ms = (unsigned)((ebb__deadline_now_ns() - start_ns) / 1000000);
}

void ebb__books_act(const struct ebb_books_options *options, const struct ebb_books_act *act,
                    struct ebb_books_acted *ret_acted)
{
    unsigned budget_ms = options->budget_ms != 0 ? options->budget_ms : EBB_BOOKS_BUDGET_MS;
    struct ebb_books_acted acted = {.before = ebb__fact_unknown(-ENOTCONN),
                                    .after = ebb__fact_unknown(-ENOTCONN)};
    const struct deed deed = {.act = act, .acted = &acted};
    struct ebb_books books;

    ebb__rows_init(&books);
    go_to(options, budget_ms, &deed, &books);
    if (!acted.done && acted.why[0] == '\0')
        snprintf(acted.why, sizeof(acted.why), "%s", books.why);
    ebb__books_fini(&books);
    *ret_acted = acted;
}

void ebb__books_fini(struct ebb_books *books)
{
    free(books->items.items);
    free(books->sessions.sessions);
    books->items = (struct ebb_books_items){0};
    books->sessions = (struct ebb_books_sessions){0};
}

/* Of what a server does not have: whether others do. */
static const char *lacks(const struct ebb_books *books, const struct ebb_fact *fact)
{
    size_t count, at = (size_t)((const char *)fact - (const char *)books);
    const struct ebb_books_row *rows = ebb__books_rows(books->kind, &count);

    for (size_t i = 0; i < count; i++) {
        if (rows[i].at != at)
            continue;
        if (rows[i].where == EBB_BOOKS_IN_MARIADB && books->kind == EBB_BOOKS_MYSQL)
            return "MariaDB has it, MySQL does not";
        if (rows[i].where == EBB_BOOKS_IN_MYSQL && books->kind == EBB_BOOKS_MARIADB)
            return "MySQL has it, MariaDB does not";
    }
    return "this version of the server does not have it";
}

/* Its source is one that not every server has, and that has said why. */
static bool is_of_more(const struct ebb_books *books, const struct ebb_fact *fact)
{
    size_t count, at = (size_t)((const char *)fact - (const char *)books);
    const struct ebb_books_row *rows = ebb__books_rows(books->kind, &count);

    for (size_t i = 0; i < count && books->more_why[0] != '\0'; i++)
        if (rows[i].at == at)
            return rows[i].source == EBB_BOOKS_CACHE || rows[i].source == EBB_BOOKS_STATS;
    return false;
}

const char *ebb__books_why(const struct ebb_books *books, const struct ebb_fact *fact)
{
    if (is_of_more(books, fact))
        return books->more_why;
    switch (-fact->err) {
    case ENODATA:
        return lacks(books, fact);
    case ERANGE:
        return "it is below 0, which leaves it to another setting";
    case EBADMSG:
        return "what the server says is no number";
    case ENOTCONN:
        return books->why[0] != '\0' ? books->why : "the server was not asked";
    default:
        return books->why[0] != '\0' ? books->why : ebb__fact_why(*fact);
    }
}
