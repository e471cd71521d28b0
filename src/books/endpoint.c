/* SPDX-License-Identifier: MIT
 *
 * Where a server is asked: parsed from --sql, or chosen among the sockets on which it listens; see endpoint_priv.h.
 */
#include "books/endpoint_priv.h"

#include <stdio.h>
#include <string.h>

#include "probe/scan.h"

void ebb__endpoint_text(const struct ebb_endpoint *endpoint, char ret_text[EBB_BOOKS_TEXT_BYTES])
{
    char address[INET6_ADDRSTRLEN];

    if (endpoint->local)
        snprintf(ret_text, EBB_BOOKS_TEXT_BYTES, "socket %.*s", EBB_BOOKS_TEXT_BYTES - 8, endpoint->path);
    else if (endpoint->six)
        snprintf(ret_text, EBB_BOOKS_TEXT_BYTES, "[%s]:%u",
                 inet_ntop(AF_INET6, &endpoint->sixes, address, sizeof(address)), endpoint->port);
    else
        snprintf(ret_text, EBB_BOOKS_TEXT_BYTES, "%s:%u",
                 inet_ntop(AF_INET, &endpoint->four, address, sizeof(address)), endpoint->port);
}

/* Copies [from, end) with a NUL; false when it does not fit. */
static bool copy(const char *from, const char *end, char *to, size_t to_bytes)
{
    size_t len = (size_t)(end - from);

    if (len >= to_bytes)
        return false;
    memcpy(to, from, len);
    to[len] = '\0';
    return true;
}

static const char *take_account(const char *text, const char *end, struct ebb_endpoint *endpoint)
{
    const char *colon = memchr(text, ':', (size_t)(end - text));

    if (!copy(text, colon != NULL ? colon : end, endpoint->user, sizeof(endpoint->user)))
        return "the user's name is too long";
    endpoint->has_user = endpoint->user[0] != '\0';
    if (colon == NULL)
        return NULL;
    if (!copy(colon + 1, end, endpoint->password, sizeof(endpoint->password)))
        return "the password is too long";
    endpoint->has_password = true;
    return NULL;
}

static const char *take_port(const char *text, struct ebb_endpoint *endpoint)
{
    struct ebb_scan scan = {.at = text, .end = text + strlen(text)};
    uint64_t port;

    if (!ebb__scan_dec(&scan, &port) || scan.at != scan.end || port == 0 || port > UINT16_MAX)
        return "the port is no number from 1 to 65535";
    endpoint->port = (uint16_t)port;
    return NULL;
}

static const char *take_address(const char *text, struct ebb_endpoint *endpoint)
{
    const char *end = text + strlen(text);
    const char *port = NULL;
    char address[INET6_ADDRSTRLEN];

    if (text[0] == '[') {
        const char *bracket = strchr(text, ']');

        if (bracket == NULL || (bracket[1] != '\0' && bracket[1] != ':'))
            return "the address in brackets does not end";
        port = bracket[1] == ':' ? bracket + 2 : NULL;
        text++;
        end = bracket;
    } else if (strchr(text, ':') != NULL && strchr(text, ':') == strrchr(text, ':')) {
        end = strchr(text, ':');
        port = end + 1;
    }
    if (!copy(text, end, address, sizeof(address)))
        return "the address is too long";
    endpoint->six = inet_pton(AF_INET6, address, &endpoint->sixes) == 1;
    if (!endpoint->six &&
        inet_pton(AF_INET, strcmp(address, "localhost") == 0 ? "127.0.0.1" : address, &endpoint->four) != 1)
        return "it is neither the path of a socket nor an address in numbers";
    return port != NULL ? take_port(port, endpoint) : NULL;
}

const char *ebb__endpoint_parse(const char *text, struct ebb_endpoint *ret_endpoint)
{
    struct ebb_endpoint endpoint = {0};
    /* A password may hold an @, a socket's name hardly does. */
    const char *at = strrchr(text, '@');
    const char *rest = at != NULL ? at + 1 : text;
    const char *why = at != NULL ? take_account(text, at, &endpoint) : NULL;

    if (why != NULL)
        return why;
    if (rest[0] == '/') {
        endpoint.local = true;
        if (!copy(rest, rest + strlen(rest), endpoint.path, sizeof(endpoint.path)))
            return "the socket's path is too long";
    } else {
        why = take_address(rest, &endpoint);
    }
    if (why == NULL)
        *ret_endpoint = endpoint;
    return why;
}

const char *ebb__books_sql_check(const char *sql)
{
    struct ebb_endpoint endpoint;

    return ebb__endpoint_parse(sql, &endpoint);
}

bool ebb__endpoint_of(const struct ebb_socket *socket, struct ebb_endpoint *ret_endpoint)
{
    static const unsigned char MAPPED[12] = {[10] = 0xff, [11] = 0xff};
    static const unsigned char NOWHERE[16];
    struct ebb_endpoint endpoint = {.found = true, .port = socket->port};

    if (socket->family == EBB_SOCKET_UNIX) {
        if (socket->path[0] == '@')
            return false;
        endpoint.local = true;
        memcpy(endpoint.path, socket->path, sizeof(socket->path));
    } else if (socket->family == EBB_SOCKET_TCP4) {
        memcpy(&endpoint.four, socket->address, sizeof(endpoint.four));
    } else if (memcmp(socket->address, MAPPED, sizeof(MAPPED)) == 0) {
        memcpy(&endpoint.four, socket->address + sizeof(MAPPED), sizeof(endpoint.four));
    } else {
        /* "::" takes connections of both kinds unless it was told not to, and a host without IPv6 still has 127.0.0.1. */
        endpoint.six = memcmp(socket->address, NOWHERE, sizeof(NOWHERE)) != 0;
        memcpy(&endpoint.sixes, socket->address, sizeof(endpoint.sixes));
    }
    if (!endpoint.local && !endpoint.six && endpoint.four.s_addr == htonl(INADDR_ANY))
        endpoint.four.s_addr = htonl(INADDR_LOOPBACK);
    *ret_endpoint = endpoint;
    return true;
}

uint16_t ebb__endpoint_usual_port(enum ebb_books_kind kind)
{
    return kind == EBB_BOOKS_POSTGRES ? 5432 : kind == EBB_BOOKS_REDIS ? 6379 : 3306;
}

/* The smaller the better; 0 is not for us. A unix socket is nearest, and tells who we are. Beside its own port a server may
 * listen for its peers, for administrators, and with another protocol. */
static unsigned rank(enum ebb_books_kind kind, const struct ebb_socket *socket)
{
    /* Galera (4444, 4567, 4568), MySQL's X protocol and its group replication. */
    static const uint16_t OTHERS[] = {4444, 4567, 4568, 33060, 33061};
    bool mysql = kind == EBB_BOOKS_MYSQL || kind == EBB_BOOKS_MARIADB;
    const char *name;

    for (size_t i = 0; mysql && i < sizeof(OTHERS) / sizeof(OTHERS[0]); i++)
        if (socket->family != EBB_SOCKET_UNIX && socket->port == OTHERS[i])
            return 0;
    if (socket->family != EBB_SOCKET_UNIX)
        return socket->port == ebb__endpoint_usual_port(kind) ? 2 : 3 + socket->port;
    name = strrchr(socket->path, '/');
    name = name != NULL ? name + 1 : socket->path;
    if (mysql && strncmp(name, "mysqlx", 6) == 0)
        return 0;
    if (kind == EBB_BOOKS_POSTGRES && strncmp(name, ".s.PGSQL.", 9) != 0)
        return 0;
    return 1;
}

size_t ebb__endpoint_choose(enum ebb_books_kind kind, const struct ebb_socket *sockets, size_t count,
                            bool same_network, struct ebb_endpoint *ret_endpoints, size_t max)
{
    size_t chosen = 0;
    unsigned last = 0;

    /* Few sockets, so the next best is looked for each time. */
    while (chosen < max) {
        unsigned best = 0;

        for (size_t i = 0; i < count; i++) {
            unsigned own = rank(kind, &sockets[i]);

            if (own > last && (best == 0 || own < best))
                best = own;
        }
        if (best == 0)
            break;
        for (size_t i = 0; i < count && chosen < max; i++)
            if (rank(kind, &sockets[i]) == best && (same_network || sockets[i].family == EBB_SOCKET_UNIX) &&
                ebb__endpoint_of(&sockets[i], &ret_endpoints[chosen]))
                chosen++;
        last = best;
    }
    return chosen;
}
