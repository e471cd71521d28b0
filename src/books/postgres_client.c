/* SPDX-License-Identifier: MIT
 *
 * A connection to PostgreSQL that keeps a deadline; see postgres_client_priv.h.
 *
 * Debian's servers let in over their socket whoever the kernel says is of the role's name, so root is nobody there. But root may
 * be anybody: where the socket was found from the process and no user is named, the connection is made with the identity of the
 * process that listens, which is given back at once. The kernel keeps for the server who we were when we connected.
 */
#include "books/postgres_client_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "books/load_priv.h"
#include "books/rows_priv.h"
#include "probe/status.h"

#define LIBRARY "libpq.so.5"

/* What helps who is not let in. */
#define ADVICE       ": name an account with --sql; it needs pg_read_all_stats"
#define ADVICE_BYTES 80

struct ebb_postgres {
    PGconn *connection;
    struct ebb_deadline deadline;
};

/* What was loaded. */
static struct {
    bool loaded;
#define EBB_POSTGRES(name) __typeof__(&(name)) name;
#include "books/postgres_client.def"
#undef EBB_POSTGRES
} client;

static const struct ebb_load_row FUNCTIONS[] = {
#define EBB_POSTGRES(function) {#function, offsetof(__typeof__(client), function)},
#include "books/postgres_client.def"
#undef EBB_POSTGRES
};

static int load(char *ret_why)
{
    int err;

    if (client.loaded)
        return 0;
    /* The library takes these from the environment for want of an argument, and would go elsewhere than it is told. */
    unsetenv("PGHOSTADDR");
    unsetenv("PGSERVICE");
    err = ebb__load(LIBRARY, FUNCTIONS, sizeof(FUNCTIONS) / sizeof(FUNCTIONS[0]), &client);
    client.loaded = err == 0;
    if (err != 0)
        snprintf(ret_why, EBB_BOOKS_WHY_BYTES, "the library " LIBRARY " %s (Debian: libpq5)",
                 err == -ENOENT ? "is not installed" : "lacks a function");
    return err;
}

static int late(char *ret_why)
{
    snprintf(ret_why, EBB_BOOKS_WHY_BYTES, "the server did not answer in time");
    return -ETIMEDOUT;
}

static PGconn *start(const struct ebb_endpoint *endpoint, const struct ebb_reach *reach,
                     struct ebb_deadline deadline)
{
    char address[INET6_ADDRSTRLEN], port[8], settings[100];
    const char *slash = strrchr(endpoint->path, '.');
    const char *names[16], *values[16];
    size_t count = 0;

    /* The folder is the host, and the number behind the last point of the socket's name is the port. */
    if (endpoint->local)
        snprintf(port, sizeof(port), "%.6s", slash != NULL ? slash + 1 : "");
    else
        snprintf(port, sizeof(port), "%u", endpoint->port);
    inet_ntop(endpoint->six ? AF_INET6 : AF_INET,
              endpoint->six ? (const void *)&endpoint->sixes : &endpoint->four, address, sizeof(address));
    snprintf(settings, sizeof(settings), "-c default_transaction_read_only=on -c statement_timeout=%d",
             ebb__deadline_left_ms(deadline));
#define SET(name, value) (names[count] = (name), values[count++] = (value))
    SET(endpoint->local ? "host" : "hostaddr", endpoint->local ? reach->dir : address);
    SET("port", port);
    SET("dbname", "postgres");
    if (endpoint->has_user)
        SET("user", endpoint->user);
    if (endpoint->has_password)
        SET("password", endpoint->password);
    SET("options", settings);
    SET("client_encoding", "UTF8");
    SET("application_name", "ebb");
    SET("gssencmode", "disable");
    if (endpoint->local)
        SET("sslmode", "disable");
    names[count] = NULL;
#undef SET
    return client.PQconnectStartParams(names, values, 0);
}

static void become_self(void)
{
    /* Going back to one's own real identity is always allowed; going on with another one would be wrong. */
    if (seteuid(getuid()) != 0 || setegid(getgid()) != 0)
        abort();
}

/* Becomes the owner of the process, when we are root and it is not. True when that must be undone. */
static bool become_owner(const struct ebb_endpoint *endpoint, pid_t pid)
{
    struct ebb_status status;

    if (!endpoint->local || !endpoint->found || endpoint->has_user || geteuid() != 0 ||
        ebb__status_read("", pid, &status) != 0 || !ebb__status_has(&status, EBB_STATUS_UID_REAL) ||
        !ebb__status_has(&status, EBB_STATUS_GID_REAL) || status.uid_real == 0)
        return false;
    if (setegid((gid_t)status.gid_real) != 0)
        return false;
    if (seteuid((uid_t)status.uid_real) == 0)
        return true;
    become_self();
    return false;
}

static int finish_connect(struct ebb_postgres *postgres, char *ret_why)
{
    PostgresPollingStatusType wants = PGRES_POLLING_WRITING;

    while (wants == PGRES_POLLING_WRITING || wants == PGRES_POLLING_READING) {
        short came;

        if (ebb__deadline_poll(postgres->deadline, client.PQsocket(postgres->connection),
                               wants == PGRES_POLLING_WRITING ? POLLOUT : POLLIN, &came) != 0)
            return late(ret_why);
        wants = client.PQconnectPoll(postgres->connection);
    }
    if (wants == PGRES_POLLING_OK)
        return 0;
    ebb__rows_text(client.PQerrorMessage(postgres->connection), ret_why, EBB_BOOKS_WHY_BYTES - ADVICE_BYTES);
    snprintf(ret_why + strlen(ret_why), ADVICE_BYTES, "%s", ADVICE);
    return -EACCES;
}

static int connect_to(struct ebb_postgres *postgres, const struct ebb_endpoint *endpoint,
                      const struct ebb_books_options *options, char *ret_why)
{
    struct ebb_reach reach = {.dir_fd = -1};
    const char *name = strrchr(endpoint->path, '/');
    bool other;
    int err;

    if (endpoint->local && (name == NULL || strncmp(name, "/.s.PGSQL.", 10) != 0)) {
        snprintf(ret_why, EBB_BOOKS_WHY_BYTES,
                 "a socket of PostgreSQL is called .s.PGSQL. and its port's number");
        return -EINVAL;
    }
    if (endpoint->local) {
        err = ebb__endpoint_reach(endpoint, endpoint->found ? options->pid : 0, &reach);
        if (err != 0) {
            snprintf(ret_why, EBB_BOOKS_WHY_BYTES, "the folder of its socket %.200s cannot be reached: %s",
                     endpoint->path, strerror(-err));
            return err;
        }
    }
    other = become_owner(endpoint, options->pid);
    postgres->connection = start(endpoint, &reach, postgres->deadline);
    if (other)
        become_self();
    if (postgres->connection == NULL) {
        snprintf(ret_why, EBB_BOOKS_WHY_BYTES, "memory is short");
        err = -ENOMEM;
    } else if (client.PQstatus(postgres->connection) == CONNECTION_BAD) {
        ebb__rows_text(client.PQerrorMessage(postgres->connection), ret_why, EBB_BOOKS_WHY_BYTES);
        err = -ECONNREFUSED;
    } else {
        err = ebb__endpoint_check(endpoint, client.PQsocket(postgres->connection), options->pid, ret_why);
        if (err == 0)
            err = finish_connect(postgres, ret_why);
    }
    if (err == -ECONNREFUSED || err == -EACCES)
        ebb__endpoint_say(endpoint, &reach, ret_why);
    if (reach.dir_fd >= 0)
        close(reach.dir_fd);
    return err;
}

int ebb__postgres_open(const struct ebb_endpoint *endpoint, const struct ebb_books_options *options,
                       struct ebb_deadline deadline, struct ebb_postgres **ret_postgres,
                       char ret_why[EBB_BOOKS_WHY_BYTES])
{
    int err = load(ret_why);
    struct ebb_postgres *postgres;

    if (err != 0)
        return err;
    postgres = calloc(1, sizeof(*postgres));
    if (postgres == NULL) {
        snprintf(ret_why, EBB_BOOKS_WHY_BYTES, "memory is short");
        return -ENOMEM;
    }
    postgres->deadline = deadline;
    err = connect_to(postgres, endpoint, options, ret_why);
    if (err != 0) {
        ebb__postgres_close(postgres);
        return err;
    }
    client.PQsetnonblocking(postgres->connection, 1);
    *ret_postgres = postgres;
    return 0;
}

void ebb__postgres_extend(struct ebb_postgres *postgres, struct ebb_deadline deadline)
{
    postgres->deadline = deadline;
}

void ebb__postgres_close(struct ebb_postgres *postgres)
{
    if (postgres->connection != NULL)
        client.PQfinish(postgres->connection);
    free(postgres);
}

const char *ebb__postgres_version(const struct ebb_postgres *postgres)
{
    const char *version = client.PQparameterStatus(postgres->connection, "server_version");

    return version != NULL ? version : "";
}

static int send_statement(struct ebb_postgres *postgres, const char *statement)
{
    int left;
    short came;

    if (client.PQsendQuery(postgres->connection, statement) != 1)
        return -EIO;
    /* Rows one by one: how many there are is the server's to say, and ours to bound. */
    client.PQsetSingleRowMode(postgres->connection);
    while ((left = client.PQflush(postgres->connection)) == 1)
        if (ebb__deadline_poll(postgres->deadline, client.PQsocket(postgres->connection), POLLOUT, &came) !=
            0)
            return -ETIMEDOUT;
    return left == 0 ? 0 : -EIO;
}

/* The next result once it is there; NULL in it at the end. */
static int next_result(struct ebb_postgres *postgres, PGresult **ret_result)
{
    while (client.PQisBusy(postgres->connection) == 1) {
        short came;

        if (ebb__deadline_poll(postgres->deadline, client.PQsocket(postgres->connection), POLLIN, &came) != 0)
            return -ETIMEDOUT;
        if (client.PQconsumeInput(postgres->connection) != 1)
            return -EIO;
    }
    *ret_result = client.PQgetResult(postgres->connection);
    return ebb__deadline_left_ms(postgres->deadline) == 0 ? -ETIMEDOUT : 0;
}

static int take_result(PGresult *result, int columns, ebb_postgres_take take, void *context)
{
    char *cells[EBB_POSTGRES_COLUMNS_MAX];
    ExecStatusType status = client.PQresultStatus(result);
    const char *state = client.PQresultErrorField(result, PG_DIAG_SQLSTATE);

    if (status == PGRES_TUPLES_OK)
        return 0;
    if (status != PGRES_SINGLE_TUPLE)
        return state != NULL && strcmp(state, "42501") == 0 ? -EACCES : -EPERM;
    if (client.PQnfields(result) != columns || client.PQntuples(result) != 1)
        return -EPROTO;
    for (int i = 0; i < columns; i++)
        cells[i] = client.PQgetisnull(result, 0, i) ? NULL : client.PQgetvalue(result, 0, i);
    return take(context, cells) ? 0 : -ENOMEM;
}

int ebb__postgres_ask(struct ebb_postgres *postgres, const char *statement, int columns,
                      ebb_postgres_take take, void *context, char ret_why[EBB_BOOKS_WHY_BYTES])
{
    int err = send_statement(postgres, statement);
    int failure = 0;

    while (err == 0) {
        PGresult *result = NULL;

        err = next_result(postgres, &result);
        if (result == NULL)
            break;
        if (err == 0 && failure == 0)
            failure = take_result(result, columns, take, context);
        client.PQclear(result);
    }
    if (err == -ETIMEDOUT)
        return late(ret_why);
    if (err == 0)
        err = failure;
    if (err == -ENOMEM)
        snprintf(ret_why, EBB_BOOKS_WHY_BYTES, "memory is short");
    else if (err == -EPROTO)
        snprintf(ret_why, EBB_BOOKS_WHY_BYTES, "the answer has not the columns that were asked for");
    else if (err != 0)
        ebb__rows_text(client.PQerrorMessage(postgres->connection), ret_why, EBB_BOOKS_WHY_BYTES);
    return err;
}
