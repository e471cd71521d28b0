/* SPDX-License-Identifier: MIT
 *
 * A connection to MariaDB or MySQL that keeps a deadline; see mysql_client_priv.h.
 *
 * libmariadb's own timeouts are whole seconds, and each read has one of its own. So its non-blocking calls are used: each stops
 * where it would wait and says for what, the wait is ours, and after the deadline the answer to "go on" is that the time is up,
 * on which the call fails. Closing and freeing go the same way, as both may want to read.
 */
#include "books/mysql_client_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <errmsg.h>
#include <mysql.h>

#include "books/load_priv.h"
#include "books/rows_priv.h"

#define LIBRARY "libmariadb.so.3"

/* A packet of an answer; the longest row that we ask for has a kilobyte. */
#define PACKET_BYTES (1UL << 20)

/* Ways to prove who we are that never send a password as it is over an open line, nor ask for one at the terminal. */
#define METHODS "mysql_native_password,client_ed25519,sha256_password,caching_sha2_password"

struct ebb_mysql {
    MYSQL *handle;
    struct ebb_deadline deadline;
};

/* What was loaded. */
static struct {
    bool loaded;
#define EBB_MYSQL(name) __typeof__(&(name)) name;
#include "books/mysql_client.def"
#undef EBB_MYSQL
} client;

static const struct ebb_load_row FUNCTIONS[] = {
#define EBB_MYSQL(function) {#function, offsetof(__typeof__(client), function)},
#include "books/mysql_client.def"
#undef EBB_MYSQL
};

static int load(char *ret_why)
{
    int err;

    if (client.loaded)
        return 0;
    err = ebb__load(LIBRARY, FUNCTIONS, sizeof(FUNCTIONS) / sizeof(FUNCTIONS[0]), &client);
    client.loaded = err == 0;
    if (err != 0)
        snprintf(ret_why, EBB_BOOKS_WHY_BYTES, "the library " LIBRARY " %s (Debian: libmariadb3)",
                 err == -ENOENT ? "is not installed" : "lacks a function");
    return err;
}

/* Waits for what a call wants; tells the call what came. */
static int wait_for(struct ebb_mysql *mysql, int wants)
{
    short events = (short)((wants & MYSQL_WAIT_READ ? POLLIN : 0) | (wants & MYSQL_WAIT_WRITE ? POLLOUT : 0) |
                           (wants & MYSQL_WAIT_EXCEPT ? POLLPRI : 0));
    short came = 0;

    if (ebb__deadline_poll(mysql->deadline, (int)client.mysql_get_socket(mysql->handle), events, &came) != 0)
        return MYSQL_WAIT_TIMEOUT;
    if ((came & (POLLERR | POLLHUP | POLLNVAL)) != 0)
        came = (short)(came | events);
    return (came & POLLIN ? MYSQL_WAIT_READ : 0) | (came & POLLOUT ? MYSQL_WAIT_WRITE : 0) |
           (came & POLLPRI ? MYSQL_WAIT_EXCEPT : 0);
}

static bool timed_out(const struct ebb_mysql *mysql)
{
    return ebb__deadline_left_ms(mysql->deadline) == 0;
}

/* The reason of the last failure; the number below 2000 is the server's. */
static int failed(struct ebb_mysql *mysql, unsigned *ret_code, char *ret_why)
{
    unsigned code = client.mysql_errno(mysql->handle);

    *ret_code = code;
    if (timed_out(mysql)) {
        snprintf(ret_why, EBB_BOOKS_WHY_BYTES, "the server did not answer in time");
        return -ETIMEDOUT;
    }
    ebb__rows_text(client.mysql_error(mysql->handle), ret_why, EBB_BOOKS_WHY_BYTES);
    return code < 2000 || code >= 3000 ? -EPERM : -EIO;
}

/* The library passes silently over an option file that it cannot read. */
static int check_file(const char *path, char *ret_why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int err = fd < 0 ? -errno : 0;

    if (fd >= 0)
        close(fd);
    if (err != 0)
        snprintf(ret_why, EBB_BOOKS_WHY_BYTES, "the option file %s cannot be read: %s", path, strerror(-err));
    return err;
}

/* A server may answer any statement by asking for a file of ours. The option against it can be undone by an option file; these
 * cannot. */
static int no_file(void **ret_context, const char *name, void *context)
{
    (void)name;
    *ret_context = context;
    return 1;
}

static int no_bytes(void *context, char *buffer, unsigned bytes)
{
    (void)context;
    (void)buffer;
    (void)bytes;
    return -1;
}

static void no_end(void *context)
{
    (void)context;
}

static int no_error(void *context, char *message, unsigned bytes)
{
    (void)context;
    snprintf(message, bytes, "the server asked for a file, and does not get it");
    return CR_UNKNOWN_ERROR;
}

static void set_options(MYSQL *handle, const struct ebb_books_options *options)
{
    unsigned long packet = PACKET_BYTES;

    client.mysql_optionsv(handle, MYSQL_OPT_NONBLOCK, NULL);
    client.mysql_optionsv(handle, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    /* The other side might be no server, and ask for our files and secrets. */
    client.mysql_set_local_infile_handler(handle, no_file, no_bytes, no_end, no_error, NULL);
    client.mysql_optionsv(handle, MARIADB_OPT_RESTRICTED_AUTH, METHODS);
    client.mysql_optionsv(handle, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet);
    if (options->defaults_file != NULL) {
        client.mysql_optionsv(handle, MYSQL_READ_DEFAULT_FILE, options->defaults_file);
        client.mysql_optionsv(handle, MYSQL_READ_DEFAULT_GROUP, "client");
    }
}

static int connect_to(struct ebb_mysql *mysql, const struct ebb_endpoint *endpoint,
                      const struct ebb_books_options *options, unsigned *ret_code, char *ret_why)
{
    struct ebb_reach reach = {.dir_fd = -1};
    char address[INET6_ADDRSTRLEN] = "localhost";
    MYSQL *connected = NULL;
    int err = 0, wants;

    if (endpoint->local) {
        err = ebb__endpoint_reach(endpoint, endpoint->found ? options->pid : 0, &reach);
        if (err != 0) {
            snprintf(ret_why, EBB_BOOKS_WHY_BYTES, "the folder of its socket %.200s cannot be reached: %s",
                     endpoint->path, strerror(-err));
            return err;
        }
    } else {
        inet_ntop(endpoint->six ? AF_INET6 : AF_INET,
                  endpoint->six ? (const void *)&endpoint->sixes : &endpoint->four, address, sizeof(address));
    }
    wants = client.mysql_real_connect_start(
        &connected, mysql->handle, address, endpoint->has_user ? endpoint->user : NULL,
        endpoint->has_password ? endpoint->password : NULL, NULL,
        endpoint->port != 0 ? endpoint->port : ebb__endpoint_usual_port(EBB_BOOKS_MYSQL),
        endpoint->local ? reach.path : NULL, 0);
    /* Mostly the first wait is for the greeting; then a stranger is not waited for until the end. */
    if (wants != 0)
        err =
            ebb__endpoint_check(endpoint, (int)client.mysql_get_socket(mysql->handle), options->pid, ret_why);
    if (err != 0)
        mysql->deadline.end_ns = 0;
    while (wants != 0)
        wants = client.mysql_real_connect_cont(&connected, mysql->handle, wait_for(mysql, wants));
    if (err == 0 && connected == NULL) {
        err = failed(mysql, ret_code, ret_why);
        ebb__endpoint_say(endpoint, &reach, ret_why);
    } else if (err == 0) {
        err =
            ebb__endpoint_check(endpoint, (int)client.mysql_get_socket(mysql->handle), options->pid, ret_why);
    }
    if (reach.dir_fd >= 0)
        close(reach.dir_fd);
    return err;
}

int ebb__mysql_open(const struct ebb_endpoint *endpoint, const struct ebb_books_options *options,
                    struct ebb_deadline deadline, struct ebb_mysql **ret_mysql,
                    char ret_why[EBB_BOOKS_WHY_BYTES])
{
    struct ebb_mysql *mysql;
    unsigned code = 0;
    int err = load(ret_why);

    if (err == 0 && options->defaults_file != NULL)
        err = check_file(options->defaults_file, ret_why);
    if (err != 0)
        return err;
    mysql = calloc(1, sizeof(*mysql));
    if (mysql != NULL)
        mysql->handle = client.mysql_init(NULL);
    if (mysql == NULL || mysql->handle == NULL) {
        free(mysql);
        snprintf(ret_why, EBB_BOOKS_WHY_BYTES, "memory is short");
        return -ENOMEM;
    }
    mysql->deadline = deadline;
    set_options(mysql->handle, options);
    err = connect_to(mysql, endpoint, options, &code, ret_why);
    if (err == 0) {
        *ret_mysql = mysql;
        return 0;
    }
    if (code == EBB_MYSQL_ACCESS_DENIED) {
        size_t len = strlen(ret_why);

        snprintf(ret_why + len, EBB_BOOKS_WHY_BYTES - len,
                 ": name an account with --sql or --defaults-file; it needs PROCESS, and SELECT on "
                 "performance_schema.*");
        err = -EACCES;
    }
    ebb__mysql_close(mysql);
    return err;
}

void ebb__mysql_extend(struct ebb_mysql *mysql, struct ebb_deadline deadline)
{
    mysql->deadline = deadline;
}

void ebb__mysql_close(struct ebb_mysql *mysql)
{
    int wants = client.mysql_close_start(mysql->handle);

    while (wants != 0)
        wants = client.mysql_close_cont(mysql->handle, wait_for(mysql, wants));
    free(mysql);
}

const char *ebb__mysql_version(const struct ebb_mysql *mysql)
{
    const char *version = client.mysql_get_server_info(mysql->handle);

    return version != NULL ? version : "";
}

static int fetch_all(struct ebb_mysql *mysql, MYSQL_RES *result, ebb_mysql_take take, void *context)
{
    for (;;) {
        MYSQL_ROW cells = NULL;
        int wants = client.mysql_fetch_row_start(&cells, result);

        while (wants != 0)
            wants = client.mysql_fetch_row_cont(&cells, result, wait_for(mysql, wants));
        if (cells == NULL)
            return client.mysql_errno(mysql->handle) != 0 || timed_out(mysql) ? -EIO : 0;
        if (!take(context, cells))
            return 0;
        /* One that sends for ever never makes us wait. */
        if (timed_out(mysql))
            return -EIO;
    }
}

int ebb__mysql_ask(struct ebb_mysql *mysql, const char *statement, unsigned columns, ebb_mysql_take take,
                   void *context, unsigned *ret_code, char ret_why[EBB_BOOKS_WHY_BYTES])
{
    int failure = 0, err = 0, wants;
    MYSQL_RES *result;

    *ret_code = 0;
    wants =
        client.mysql_real_query_start(&failure, mysql->handle, statement, (unsigned long)strlen(statement));
    while (wants != 0)
        wants = client.mysql_real_query_cont(&failure, mysql->handle, wait_for(mysql, wants));
    if (failure != 0)
        return failed(mysql, ret_code, ret_why);
    result = client.mysql_use_result(mysql->handle);
    if (result == NULL && columns == 0)
        return 0;
    if (result == NULL || client.mysql_num_fields(result) != columns) {
        snprintf(ret_why, EBB_BOOKS_WHY_BYTES, "the answer has not the columns that were asked for");
        err = -EPROTO;
    } else if (fetch_all(mysql, result, take, context) != 0) {
        err = failed(mysql, ret_code, ret_why);
    }
    if (result != NULL) {
        wants = client.mysql_free_result_start(result);
        while (wants != 0)
            wants = client.mysql_free_result_cont(result, wait_for(mysql, wants));
    }
    return err;
}

int ebb__mysql_run(struct ebb_mysql *mysql, const char *statement, unsigned every_ms, ebb_mysql_idle idle,
                   void *context, unsigned *ret_code, char ret_why[EBB_BOOKS_WHY_BYTES])
{
    const struct ebb_deadline end = mysql->deadline;
    int failure = 0, wants;

    *ret_code = 0;
    wants =
        client.mysql_real_query_start(&failure, mysql->handle, statement, (unsigned long)strlen(statement));
    while (wants != 0) {
        struct ebb_deadline next = ebb__deadline_in(every_ms);
        int came;

        mysql->deadline = next.end_ns < end.end_ns ? next : end;
        came = wait_for(mysql, wants);
        mysql->deadline = end;
        if (came == MYSQL_WAIT_TIMEOUT && !timed_out(mysql))
            idle(context);
        else
            wants = client.mysql_real_query_cont(&failure, mysql->handle, came);
    }
    return failure != 0 ? failed(mysql, ret_code, ret_why) : 0;
}
