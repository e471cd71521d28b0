/* SPDX-License-Identifier: MIT
 *
 * Where a server is asked, and as whom.
 */
#ifndef EBB_BOOKS_ENDPOINT_PRIV_H
#define EBB_BOOKS_ENDPOINT_PRIV_H

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include "books/books.h"
#include "probe/sockets.h"

struct ebb_endpoint {
    bool local;            /* a unix socket; else TCP */
    char path[PATH_MAX];   /* unix: as it is called where the server lives */
    bool six;              /* TCP: which of the two addresses */
    struct in_addr four;   /* in network order */
    struct in6_addr sixes; /* likewise */
    uint16_t port;         /* TCP; 0: the server's usual one */
    bool found;            /* from the process: nobody named it */
    bool has_user;
    bool has_password;
    char user[129];
    char password[129];
};

/* Room for "socket " and a path that is cut off when it is long, or an address with its port. */
void ebb__endpoint_text(const struct ebb_endpoint *endpoint, char ret_text[EBB_BOOKS_TEXT_BYTES]);

/* Parses [user[:password]@]socket-or-address[:port]. NULL, or what is wrong, a clause. An address is one in numbers, or
 * "localhost": looking a name up has no limit of time. */
const char *ebb__endpoint_parse(const char *text, struct ebb_endpoint *ret_endpoint);

/* 3306, 5432 or 6379. */
uint16_t ebb__endpoint_usual_port(enum ebb_books_kind kind);

/* Where a socket on which somebody listens can be reached: false when nowhere. */
bool ebb__endpoint_of(const struct ebb_socket *socket, struct ebb_endpoint *ret_endpoint);

/* Of the sockets on which a server of that kind listens, those worth asking, best first: at most `max`. Pure. */
size_t ebb__endpoint_choose(enum ebb_books_kind kind, const struct ebb_socket *sockets, size_t count,
                            bool same_network, struct ebb_endpoint *ret_endpoints, size_t max);

/* The same from a live process. The count, or 0 with the reason. */
size_t ebb__endpoint_find(enum ebb_books_kind kind, pid_t pid, struct ebb_endpoint *ret_endpoints, size_t max,
                          char ret_why[EBB_BOOKS_WHY_BYTES]);

/* A unix socket as connect() can name it: short enough for an address, and inside the process's own file system. */
struct ebb_reach {
    int dir_fd;                                                /* keep it open while connecting */
    char dir[64];                                              /* "/proc/self/fd/7" */
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)]; /* "/proc/self/fd/7/mysqld.sock" */
};

/* 0, or -errno. `pid` 0: the path is in our own file system. Close dir_fd afterwards. */
int ebb__endpoint_reach(const struct ebb_endpoint *endpoint, pid_t pid, struct ebb_reach *ret_reach);

/* A message of a library names the folder as we called it; afterwards it names the one that the operator knows. */
void ebb__endpoint_say(const struct ebb_endpoint *endpoint, const struct ebb_reach *reach,
                       char why[EBB_BOOKS_WHY_BYTES]);

/* Who answers on a unix socket that was named must be the process that was named, or these would be another's books. The number 1
 * listens for others, and what the kernel does not tell is let pass. 0, or -EXDEV with the reason. `fd` is connected. */
int ebb__endpoint_check(const struct ebb_endpoint *endpoint, int fd, pid_t pid,
                        char ret_why[EBB_BOOKS_WHY_BYTES]);

#endif
