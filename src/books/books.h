/* SPDX-License-Identifier: MIT
 *
 * Door of src/books: what a database server itself says about its memory.
 *
 * MariaDB, MySQL, PostgreSQL, Redis and Valkey count their own memory, each with gaps. This library finds, for a process, which
 * of them it is and where it listens, asks it, and hands back its books: facts in a struct, each known or not, with the reason in
 * words. What the kernel or the allocator knows about the same bytes is others' to find out, and what it all means is the
 * model's.
 *
 *     process --/proc/PID/{exe,fd,net}--> kind, sockets --connect--> server --statements from the .def rows--> struct ebb_books
 *
 * It never disturbs: reads alone, in a read-only transaction and with a limit of time that the server itself keeps, over one
 * connection, and never what is known to be dear (the state of the InnoDB monitor, INNODB_BUFFER_PAGE). And it never waits: one
 * deadline stands over everything, the connection and all statements together. A server that hangs costs the caller the budget
 * and no more.
 *
 * The one exception has a door of its own, ebb__books_act(): it changes a MariaDB or MySQL server, for an operator who has said
 * so. Its statements are in mysql_act.c and nowhere else.
 *
 * Client libraries (libmariadb.so.3, libpq.so.5) are loaded when the first such server is asked, as a host need not have them.
 * They run in their non-blocking modes, or the deadline would not be ours to keep. Redis's protocol is a line, and spoken here.
 *
 * Who asks is nobody special. Root gets in through MariaDB's unix_socket authentication, and as the owner of a PostgreSQL server,
 * whose identity is taken on for the moment of connecting; everybody else needs --sql or an option file. No option file is read
 * that was not named, so that no password goes to a process because of its name. What the other side sends is bounded, and taken
 * for text: it may be no server at all.
 *
 * One thread. Memory: some 10 KB, and what the lists need. After fork: use it in one of the two.
 */
#ifndef EBB_BOOKS_BOOKS_H
#define EBB_BOOKS_BOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/fact.h"

enum ebb_books_kind {
    EBB_BOOKS_NONE, /* no server whose books can be asked for */
    EBB_BOOKS_MYSQL,
    EBB_BOOKS_MARIADB,
    EBB_BOOKS_POSTGRES,
    EBB_BOOKS_REDIS, /* and Valkey, KeyDB */
};

#define EBB_BOOKS_TEXT_BYTES 160
#define EBB_BOOKS_WHY_BYTES  512
#define EBB_BOOKS_NAME_BYTES 129

/* All of it, for connecting and asking; an operator waits no longer for a second opinion. */
#define EBB_BOOKS_BUDGET_MS 2000

/* How long lists may get; the sums go on. A server has some 500 instruments, and as many sessions as max_connections allows. */
#define EBB_BOOKS_ITEMS_MAX    4096
#define EBB_BOOKS_SESSIONS_MAX 20000

struct ebb_books_mysql {
#define EBB_BOOKS_ROW(field, source, key, unit, where) struct ebb_fact field;
#include "books/mysql.def"
#undef EBB_BOOKS_ROW
};

struct ebb_books_postgres {
#define EBB_BOOKS_ROW(field, source, key, unit, where) struct ebb_fact field;
#include "books/postgres.def"
#undef EBB_BOOKS_ROW
};

struct ebb_books_redis {
#define EBB_BOOKS_ROW(field, source, key, unit, where) struct ebb_fact field;
#include "books/redis.def"
#undef EBB_BOOKS_ROW
};

/* Memory by the name that the server gives it: MariaDB's and MySQL's performance_schema.memory_summary_global_by_event_name,
 * PostgreSQL's pg_shmem_allocations. Bytes as they were asked for, not as they are resident; signed, as what was allocated before
 * the instrument was on and freed after gives negative sums. */
struct ebb_books_item {
    char name[EBB_BOOKS_NAME_BYTES];
    int64_t bytes;
    int64_t high_bytes; /* the most there ever was; 0 where the server does not keep it */
    int64_t count;      /* blocks; 0 likewise */
    struct ebb_fact
        offset; /* PostgreSQL: where in its shared memory it begins; -ENODATA: nowhere in particular */
};

struct ebb_books_items {
    bool known;                    /* else `why` says why not */
    char why[EBB_BOOKS_WHY_BYTES]; /* also what it lacks when known: instruments that are off */
    struct ebb_books_item *items;  /* largest first by absolute size */
    size_t count;
    size_t total_count;             /* names with memory, listed or not */
    int64_t total_bytes;            /* of all of them */
    struct ebb_fact instruments;    /* for memory, that the server has */
    struct ebb_fact instruments_on; /* and counts with now */
};

/* What runs in the server: a session of MariaDB or MySQL, or one of its threads; a process of PostgreSQL. */
struct ebb_books_session {
    uint64_t id;         /* of the connection; 0 for a background thread. PostgreSQL: of the process */
    struct ebb_fact tid; /* as the server knows its thread or process: in its own pid namespace */
    bool bytes_known;    /* PostgreSQL does not say */
    int64_t bytes;       /* allocated for it now */
    int64_t high_bytes;  /* at most */
    char name[65];       /* the user, the thread's name or the kind of backend */
    char command[33];    /* what it does, in a word; "" when it is not known */
};

struct ebb_books_sessions {
    bool known;
    char why[EBB_BOOKS_WHY_BYTES];
    struct ebb_books_session *sessions; /* largest first */
    size_t count;
    size_t total_count;
    int64_t total_bytes; /* of all of them */
};

/* What ebb__books_act() could do there; MariaDB and MySQL, when it was asked for. */
struct ebb_books_rights {
    struct ebb_fact may_set;   /* 1: the account may set global variables */
    struct ebb_fact may_flush; /* 1: it may flush tables */
    bool flush_waits;          /* FLUSH TABLES waits for tables in use, and others then wait for it */
    struct ebb_fact
        tables_in_use; /* when it does: tables in use by a statement, of those that the account may see */
};

struct ebb_books {
    enum ebb_books_kind kind;
    bool answered;                 /* the server let us in, and said its version */
    char why[EBB_BOOKS_WHY_BYTES]; /* what went wrong, a clause; "" when nothing did */
    char asked
        [EBB_BOOKS_TEXT_BYTES]; /* where: "socket /run/mysqld/mysqld.sock", "127.0.0.1:6379"; "" nowhere */
    char version[EBB_BOOKS_TEXT_BYTES];        /* "10.11.19-MariaDB-0+deb12u1" */
    char product[EBB_BOOKS_TEXT_BYTES];        /* "Debian 12", "Percona Server (GPL)", "valkey"; may be "" */
    char malloc_library[EBB_BOOKS_TEXT_BYTES]; /* as the server names it; "" when it does not */
    char state[EBB_BOOKS_TEXT_BYTES];          /* of a resize of the pool that was asked for; may be "" */
    char more_why
        [EBB_BOOKS_WHY_BYTES]; /* why facts of the sources CACHE and STATS are not known; "" when they are */
    struct ebb_books_mysql mysql; /* kinds MYSQL and MARIADB */
    struct ebb_books_postgres postgres;
    struct ebb_books_redis redis;
    struct ebb_books_items items;
    struct ebb_books_sessions sessions;
    struct ebb_books_rights rights;
    unsigned elapsed_ms;
};

struct ebb_books_options {
    const char *root; /* "" for this host. A captured tree has no server that could be asked */
    pid_t pid;
    const char *sql; /* [user[:password]@]socket-or-address[:port]; NULL: found from the process */
    const char *
        defaults_file; /* an option file with a group [client]: user, password; MariaDB and MySQL. NULL: none */
    unsigned budget_ms; /* 0: EBB_BOOKS_BUDGET_MS */
    bool want_rights;   /* ask for them too */
};

/* Fills all of *ret_books; what could not be had is unknown there. Free it with ebb__books_fini() in every case. */
void ebb__books_read(const struct ebb_books_options *options, struct ebb_books *ret_books);
void ebb__books_fini(struct ebb_books *books);

/* ---- changing a server ---- */

enum ebb_books_act_kind {
    EBB_BOOKS_RESIZE_POOL,  /* SET GLOBAL innodb_buffer_pool_size: to a smaller one only */
    EBB_BOOKS_FLUSH_TABLES, /* FLUSH LOCAL TABLES: tables that nobody uses are closed */
};

struct ebb_books_act {
    enum ebb_books_act_kind kind;
    uint64_t pool_bytes; /* RESIZE_POOL: what the server would make of it already, a multiple of its step */
    unsigned timeout_ms; /* after that the server is asked to give up */
    /* While it lasts, several times each second: what the server says of it. May be NULL. */
    void (*tell)(void *context, const char *state, unsigned elapsed_ms);
    void *context;
};

struct ebb_books_acted {
    bool done;
    char why[EBB_BOOKS_WHY_BYTES]; /* when not, a clause */
    struct ebb_fact before;        /* size of the pool in bytes, or open tables, as the server says */
    struct ebb_fact after;
    unsigned elapsed_ms; /* of the statement */
};

/* Does it, on the server that ebb__books_read() would ask, and waits for the end. What could hurt is looked at once more before. */
void ebb__books_act(const struct ebb_books_options *options, const struct ebb_books_act *act,
                    struct ebb_books_acted *ret_acted);

/* True when `state`, a server's Innodb_buffer_pool_resize_status, is that of a resize that has not ended. */
bool ebb__books_is_resizing(const char *state);

/* "MariaDB", "MySQL", "PostgreSQL", "Redis"; NULL for none. */
const char *ebb__books_kind_name(enum ebb_books_kind kind);

/* The kind of server by the name of its program ("mariadbd", "redis-server"). Which of the two a mysqld is, only its version
 * tells. */
enum ebb_books_kind ebb__books_kind_of(const char *program);

/* Checks what was given as --sql without connecting: NULL, or what is wrong with it, a clause. */
const char *ebb__books_sql_check(const char *sql);

/* The facts of a kind as a table, in the order of its .def. */
enum ebb_books_unit { EBB_BOOKS_BYTES, EBB_BOOKS_PAGES, EBB_BOOKS_COUNT, EBB_BOOKS_SECONDS, EBB_BOOKS_BOOL };

enum ebb_books_source {
    EBB_BOOKS_VARIABLE,
    EBB_BOOKS_STATUS,
    EBB_BOOKS_ENGINE,
    EBB_BOOKS_INFO,
    EBB_BOOKS_SETTING,
    EBB_BOOKS_VALUE,
    EBB_BOOKS_CACHE,
    EBB_BOOKS_STATS
};

enum ebb_books_where { EBB_BOOKS_IN_ALL, EBB_BOOKS_IN_MARIADB, EBB_BOOKS_IN_MYSQL };

struct ebb_books_row {
    const char *name; /* of the field: "pool_size_bytes" */
    size_t at;        /* of its struct ebb_fact in struct ebb_books */
    const char *key;  /* the server's own name for it */
    enum ebb_books_source source;
    enum ebb_books_unit unit;
    enum ebb_books_where where;
};

const struct ebb_books_row *ebb__books_rows(enum ebb_books_kind kind, size_t *ret_count);
struct ebb_fact ebb__books_fact(const struct ebb_books *books, const struct ebb_books_row *row);

/* Why a fact of the books is not known, a clause. `fact` points into `books`. */
const char *ebb__books_why(const struct ebb_books *books, const struct ebb_fact *fact);

#endif
