/* SPDX-License-Identifier: MIT
 *
 * The books of Redis and Valkey: one INFO over a connection of our own.
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

/* Reads until there is a whole reply, which points into *buffer. */
static int receive(int fd, struct ebb_deadline deadline, char **buffer, struct ebb_resp *ret_reply)
{
    size_t used = 0, room = 0;

    for (;;) {
        short came;
        ssize_t got;
        int err;

        if (used == room) {
            size_t larger = room == 0 ? 16384 : 2 * room;
            char *moved = larger > 4 * EBB_RESP_BYTES_MAX ? NULL : realloc(*buffer, larger);

            if (moved == NULL)
                return -ENOMEM;
            *buffer = moved;
            room = larger;
        }
        err = ebb__deadline_poll(deadline, fd, POLLIN, &came);
        if (err != 0)
            return err;
        got = recv(fd, *buffer + used, room - used, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (got <= 0)
            return got == 0 ? -EIO : -errno;
        used += (size_t)got;
        err = ebb__resp_parse(*buffer, used, ret_reply);
        if (err != -EAGAIN)
            return err;
    }
}

static void refused(struct ebb_books *books, const struct ebb_resp *reply)
{
    char said[200];
    size_t len = reply->len < sizeof(said) ? reply->len : sizeof(said) - 1;

    memcpy(said, reply->text, len);
    said[len] = '\0';
    if (strncmp(said, "NOAUTH", 6) == 0 || strncmp(said, "NOPERM", 6) == 0)
        snprintf(
            books->why, sizeof(books->why),
            "the server wants a password, and none is sent to it: redis-cli INFO memory asks it by hand");
    else
        ebb__rows_text(said, books->why, sizeof(books->why));
}

static int talk(struct ebb_books *books, int fd, struct ebb_deadline deadline)
{
    char *buffer = NULL;
    struct ebb_resp reply = {0};
    int err = send_all(fd, "*1\r\n$4\r\nINFO\r\n", deadline);

    /* One that has too many clients says so before it is asked, and hangs up. */
    if (err == 0 || err == -EPIPE || err == -ECONNRESET)
        err = receive(fd, deadline, &buffer, &reply);
    if (err == 0 && reply.error) {
        refused(books, &reply);
        err = -EACCES;
    } else if (err == 0) {
        err = ebb__rows_info(books, reply.text, reply.len);
        books->answered = err == 0;
    }
    free(buffer);
    return err;
}

int ebb__ask_redis(struct ebb_books *books, const struct ebb_endpoint *endpoint,
                   const struct ebb_books_options *options, struct ebb_ask_times times)
{
    /* One question and one answer: who is silent then is as if nobody were there. */
    int fd = connect_to(endpoint, options->pid, times.connect);
    int err = fd;

    if (fd >= 0)
        err = ebb__endpoint_check(endpoint, fd, options->pid, books->why);
    if (fd >= 0 && err == 0)
        err = talk(books, fd, times.connect);
    if (fd >= 0)
        close(fd);
    if (err == -ETIMEDOUT)
        snprintf(books->why, sizeof(books->why), "the server did not answer in time");
    else if (err == -EBADMSG)
        snprintf(books->why, sizeof(books->why), "what answers does not speak Redis's protocol");
    else if (err != 0 && books->why[0] == '\0')
        snprintf(books->why, sizeof(books->why), "no connection to it: %s", strerror(-err));
    if (err != 0)
        ebb__rows_mark(books, EBB_BOOKS_INFO, err == -EBADMSG ? -EPROTO : err);
    return err;
}
