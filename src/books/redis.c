/* SPDX-License-Identifier: MIT
 *
 * The books of Redis and Valkey: INFO and MEMORY STATS over a connection of our own. They are sent together, so that the server answers
 * both before it does anything else. Who lacks MEMORY (before 4.0) or the right to it still has told the first.
 *
 * No password is sent: a server that wants one keeps its books. Nor is TLS spoken; a unix socket needs neither.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "books/ask_priv.h"
#include "books/resp_priv.h"
#include "books/rows_priv.h"

/* Both ends of a connection before anything is said. */
union address {
    struct sockaddr any;
    struct sockaddr_un local;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

static socklen_t make_address(const struct ebb_endpoint *endpoint, const struct ebb_reach *reach,
                              union address *ret_address)
{
    union address address = {0};

    if (endpoint->local) {
        address.local.sun_family = AF_UNIX;
        memcpy(address.local.sun_path, reach->path, sizeof(address.local.sun_path));
        *ret_address = address;
        return sizeof(address.local);
    }
    if (endpoint->six)
        address.six = (struct sockaddr_in6){
            .sin6_family = AF_INET6, .sin6_addr = endpoint->sixes, .sin6_port = htons(endpoint->port)};
    else
        address.four = (struct sockaddr_in){
            .sin_family = AF_INET, .sin_addr = endpoint->four, .sin_port = htons(endpoint->port)};
    *ret_address = address;
    return endpoint->six ? sizeof(address.six) : sizeof(address.four);
}

static int finish_connect(int fd, struct ebb_deadline deadline)
{
    short came;
    int failure = 0;
    socklen_t bytes = sizeof(failure);
    int err = ebb__deadline_poll(deadline, fd, POLLOUT, &came);

    if (err != 0)
        return err;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &bytes) != 0 ? -errno : -failure;
}

/* A connected descriptor, or -errno. */
static int connect_to(const struct ebb_endpoint *endpoint, pid_t pid, struct ebb_deadline deadline)
{
    struct ebb_reach reach = {.dir_fd = -1};
    union address address;
    socklen_t bytes;
    int fd, err = 0;

    if (endpoint->local) {
        err = ebb__endpoint_reach(endpoint, endpoint->found ? pid : 0, &reach);
        if (err != 0)
            return err;
    }
    bytes = make_address(endpoint, &reach, &address);
    fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        err = -errno;
    else if (connect(fd, &address.any, bytes) != 0)
        err = errno == EINPROGRESS ? finish_connect(fd, deadline) : -errno;
    if (reach.dir_fd >= 0)
        close(reach.dir_fd);
    if (err != 0 && fd >= 0)
        close(fd);
    return err != 0 ? err : fd;
}

static int send_all(int fd, const char *text, struct ebb_deadline deadline)
{
    size_t len = strlen(text);
    short came;

    while (len > 0) {
        ssize_t sent = send(fd, text, len, MSG_NOSIGNAL);
        int err;

        if (sent >= 0) {
            text += sent;
            len -= (size_t)sent;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
        err = ebb__deadline_poll(deadline, fd, POLLOUT, &came);
        if (err != 0)
            return err;
    }
    return 0;
}

/* What has come, all replies behind each other. */
struct inbox {
    char *data;
    size_t used;
    size_t room;
};

/* Waits until more has come. */
static int receive(int fd, struct ebb_deadline deadline, struct inbox *inbox)
{
    for (;;) {
        short came;
        ssize_t got;
        int err;

        if (inbox->used == inbox->room) {
            size_t larger = inbox->room == 0 ? 16384 : 2 * inbox->room;
            char *moved = larger > 4 * EBB_RESP_BYTES_MAX ? NULL : realloc(inbox->data, larger);

            if (moved == NULL)
                return -ENOMEM;
            inbox->data = moved;
            inbox->room = larger;
        }
        err = ebb__deadline_poll(deadline, fd, POLLIN, &came);
        if (err != 0)
            return err;
        got = recv(fd, inbox->data + inbox->used, inbox->room - inbox->used, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (got <= 0)
            return got == 0 ? -EIO : -errno;
        inbox->used += (size_t)got;
        return 0;
    }
}

static void add_number(void *context, const char *name, size_t len, uint64_t number)
{
    struct ebb_books *books = context;
    size_t count;
    const struct ebb_books_row *rows = ebb__books_rows(EBB_BOOKS_REDIS, &count);

    for (size_t i = 0; i < count; i++)
        if (rows[i].source == EBB_BOOKS_STATS && len >= strlen(rows[i].key) &&
            memcmp(name, rows[i].key, strlen(rows[i].key)) == 0)
            ebb__rows_sum(books, &rows[i], number);
}

/* 0 once the second reply is there and taken, -EAGAIN before, or why there is nothing to take. */
static int look_at_stats(struct ebb_books *books, const char *data, size_t len)
{
    struct ebb_resp line;
    int err;

    if (len == 0 || data[0] != '-')
        return ebb__resp_pairs(data, len, add_number, books);
    err = ebb__resp_parse(data, len, &line);
    if (err != 0)
        return err;
    ebb__rows_text_of(line.text, line.len, books->more_why, sizeof(books->more_why));
    return -EACCES;
}

static void take_stats(struct ebb_books *books, int fd, struct ebb_deadline deadline, struct inbox *inbox,
                       size_t at)
{
    size_t count;
    const struct ebb_books_row *rows = ebb__books_rows(EBB_BOOKS_REDIS, &count);
    int err;

    while ((err = look_at_stats(books, inbox->data + at, inbox->used - at)) == -EAGAIN) {
        err = receive(fd, deadline, inbox);
        if (err != 0)
            break;
    }
    /* A server without any key names no table. */
    for (size_t i = 0; err == 0 && i < count; i++)
        if (rows[i].source == EBB_BOOKS_STATS)
            ebb__rows_sum(books, &rows[i], 0);
    ebb__rows_mark(books, EBB_BOOKS_STATS, err);
    if (err != 0 && books->more_why[0] == '\0')
        snprintf(books->more_why, sizeof(books->more_why), "MEMORY STATS: %s",
                 err == -ETIMEDOUT ? "the server did not answer in time"
                 : err == -EBADMSG ? "what it answers is no list of names and numbers"
                                   : strerror(-err));
}

static void refused(struct ebb_books *books, const struct ebb_resp *reply)
{
    char said[200];

    ebb__rows_text_of(reply->text, reply->len, said, sizeof(said));
    if (strncmp(said, "NOAUTH", 6) == 0 || strncmp(said, "NOPERM", 6) == 0)
        snprintf(
            books->why, sizeof(books->why),
            "the server wants a password, and none is sent to it: redis-cli INFO memory asks it by hand");
    else
        snprintf(books->why, sizeof(books->why), "%s", said);
}

static int talk(struct ebb_books *books, int fd, struct ebb_ask_times times)
{
    static const char QUESTIONS[] = "*1\r\n$4\r\nINFO\r\n"
                                    "*2\r\n$6\r\nMEMORY\r\n$5\r\nSTATS\r\n";
    struct inbox inbox = {0};
    struct ebb_resp reply = {0};
    int err = send_all(fd, QUESTIONS, times.connect);

    /* One that has too many clients says so before it is asked, and hangs up. */
    if (err == 0 || err == -EPIPE || err == -ECONNRESET)
        err = -EAGAIN;
    while (err == -EAGAIN) {
        err = receive(fd, times.connect, &inbox);
        if (err == 0)
            err = ebb__resp_parse(inbox.data, inbox.used, &reply);
    }
    if (err == 0 && reply.error) {
        refused(books, &reply);
        err = -EACCES;
    } else if (err == 0) {
        err = ebb__rows_info(books, reply.text, reply.len);
        books->answered = err == 0;
        if (err == 0)
            take_stats(books, fd, times.end, &inbox, reply.bytes);
    }
    free(inbox.data);
    return err;
}

int ebb__ask_redis(struct ebb_books *books, const struct ebb_endpoint *endpoint,
                   const struct ebb_books_options *options, struct ebb_ask_times times)
{
    /* Who is silent to the first question is as if nobody were there. */
    int fd = connect_to(endpoint, options->pid, times.connect);
    int err = fd;

    if (fd >= 0)
        err = ebb__endpoint_check(endpoint, fd, options->pid, books->why);
    if (fd >= 0 && err == 0)
        err = talk(books, fd, times);
    if (fd >= 0)
        close(fd);
    if (err == -ETIMEDOUT)
        snprintf(books->why, sizeof(books->why), "the server did not answer in time");
    else if (err == -EBADMSG)
        snprintf(books->why, sizeof(books->why), "what answers does not speak Redis's protocol");
    else if (err != 0 && books->why[0] == '\0')
        snprintf(books->why, sizeof(books->why), "no connection to it: %s", strerror(-err));
    if (err != 0) {
        ebb__rows_mark(books, EBB_BOOKS_INFO, err == -EBADMSG ? -EPROTO : err);
        ebb__rows_mark(books, EBB_BOOKS_STATS, err == -EBADMSG ? -EPROTO : err);
    }
    return err;
}
