/* SPDX-License-Identifier: MIT
 *
 * The sockets on which a process listens; see sockets.h.
 */
#include "probe/sockets.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "probe/lines.h"
#include "probe/proc.h"
#include "probe/scan.h"

/* __SO_ACCEPTCON in the flags of a unix socket, SOCK_STREAM as its type, and TCP_LISTEN as a TCP socket's state. */
#define FLAG_LISTENS 0x10000
#define TYPE_STREAM  1
#define STATE_LISTEN 0x0a

/* "Num: RefCount Protocol Flags Type St Inode Path"; all but the inode in base 16. */
bool ebb__socket_unix_line(const char *line, size_t len, struct ebb_socket *ret_socket)
{
    struct ebb_scan scan = {.at = line, .end = line + len};
    uint64_t number, flags, type, inode;
    size_t path_len;

    if (!ebb__scan_hex(&scan, &number) || !ebb__scan_word(&scan, ": ") || !ebb__scan_hex(&scan, &number) ||
        !ebb__scan_char(&scan, ' ') || !ebb__scan_hex(&scan, &number) || !ebb__scan_char(&scan, ' ') ||
        !ebb__scan_hex(&scan, &flags) || !ebb__scan_char(&scan, ' ') || !ebb__scan_hex(&scan, &type) ||
        !ebb__scan_char(&scan, ' ') || !ebb__scan_hex(&scan, &number))
        return false;
    ebb__scan_blanks(&scan);
    if (!ebb__scan_dec(&scan, &inode) || !ebb__scan_char(&scan, ' '))
        return false;
    path_len = (size_t)(scan.end - scan.at);
    if ((flags & FLAG_LISTENS) == 0 || type != TYPE_STREAM || path_len == 0 ||
        path_len >= EBB_SOCKET_PATH_BYTES || memchr(scan.at, '\0', path_len) != NULL)
        return false;
    *ret_socket = (struct ebb_socket){.family = EBB_SOCKET_UNIX, .inode = inode};
    memcpy(ret_socket->path, scan.at, path_len);
    return true;
}

/* An address is printed in words of 32 bits, each as this machine reads it from memory: written back, they are in network order. */
static bool take_address(struct ebb_scan *scan, size_t words, unsigned char *ret_address)
{
    for (size_t i = 0; i < words; i++) {
        struct ebb_scan word = {.at = scan->at, .end = scan->at + 8};
        uint64_t value;
        uint32_t part;

        if (scan->end - scan->at < 8 || !ebb__scan_hex(&word, &value) || word.at != word.end)
            return false;
        part = (uint32_t)value;
        memcpy(ret_address + 4 * i, &part, sizeof(part));
        scan->at += 8;
    }
    return true;
}

/* "sl: local rem st tx:rx tr:when retrnsmt uid timeout inode ...". */
bool ebb__socket_tcp_line(const char *line, size_t len, enum ebb_socket_family family,
                          struct ebb_socket *ret_socket)
{
    struct ebb_scan scan = {.at = line, .end = line + len};
    struct ebb_socket socket = {.family = family};
    size_t words = family == EBB_SOCKET_TCP6 ? 4 : 1;
    unsigned char other[16];
    uint64_t number, port, state;

    ebb__scan_blanks(&scan);
    if (!ebb__scan_dec(&scan, &number) || !ebb__scan_word(&scan, ": ") ||
        !take_address(&scan, words, socket.address) || !ebb__scan_char(&scan, ':') ||
        !ebb__scan_hex(&scan, &port) || port > UINT16_MAX || !ebb__scan_char(&scan, ' ') ||
        !take_address(&scan, words, other) || !ebb__scan_char(&scan, ':') || !ebb__scan_hex(&scan, &number) ||
        !ebb__scan_char(&scan, ' ') || !ebb__scan_hex(&scan, &state) || state != STATE_LISTEN)
        return false;
    /* Queues, the timer and retransmits, in base 16. */
    for (unsigned i = 0; i < 5; i++) {
        ebb__scan_blanks(&scan);
        ebb__scan_char(&scan, ':');
        if (!ebb__scan_hex(&scan, &number))
            return false;
    }
    /* The user and the timeout, in base 10. */
    for (unsigned i = 0; i < 2; i++) {
        ebb__scan_blanks(&scan);
        if (!ebb__scan_dec(&scan, &number))
            return false;
    }
    ebb__scan_blanks(&scan);
    if (!ebb__scan_dec(&scan, &socket.inode))
        return false;
    socket.port = (uint16_t)port;
    *ret_socket = socket;
    return true;
}

/* Appends what listens in one file of the namespace. A kernel without that protocol has no such file. */
static int collect(const char *root, pid_t pid, enum ebb_socket_family family, struct ebb_socket *sockets,
                   size_t max, size_t *count)
{
    static const char *const FILES[] = {
        [EBB_SOCKET_UNIX] = "net/unix", [EBB_SOCKET_TCP4] = "net/tcp", [EBB_SOCKET_TCP6] = "net/tcp6"};
    struct ebb_lines lines;
    const char *line;
    size_t len;
    int fd = ebb__proc_open(root, pid, FILES[family]);
    int got;

    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    ebb__lines_init_fd(&lines, fd);
    while (*count < max && (got = ebb__lines_next(&lines, &line, &len)) != 0) {
        struct ebb_socket *to = &sockets[*count];

        if (got == -EMSGSIZE)
            continue;
        if (got < 0)
            break;
        if (family == EBB_SOCKET_UNIX ? ebb__socket_unix_line(line, len, to)
                                      : ebb__socket_tcp_line(line, len, family, to))
            (*count)++;
    }
    close(fd);
    return 0;
}

/* The inode of a link "socket:[123]"; 0 for any other. */
static uint64_t inode_of(int dir, const char *name)
{
    char link[64];
    ssize_t len = readlinkat(dir, name, link, sizeof(link));
    struct ebb_scan scan = {.at = link, .end = link + (len > 0 ? len : 0)};
    uint64_t inode;

    return ebb__scan_word(&scan, "socket:[") && ebb__scan_dec(&scan, &inode) ? inode : 0;
}

int ebb__sockets_listening(const char *root, pid_t pid, struct ebb_socket *sockets, size_t max,
                           size_t *ret_count)
{
    char path[EBB_PROC_PATH_BYTES];
    size_t count = 0, kept = 0;
    int err = ebb__proc_path(root, pid, "fd", path, sizeof(path));
    DIR *dir = err == 0 ? opendir(path) : NULL;
    const struct dirent *entry;

    if (err != 0)
        return err;
    if (dir == NULL)
        return errno == ENOENT ? -ESRCH : -errno;
    for (int family = EBB_SOCKET_UNIX; err == 0 && family <= EBB_SOCKET_TCP6; family++)
        err = collect(root, pid, (enum ebb_socket_family)family, sockets, max, &count);
    while (err == 0 && (entry = readdir(dir)) != NULL) {
        uint64_t inode = inode_of(dirfd(dir), entry->d_name);

        /* What is the process's own moves to the front, and is not looked for again: a socket may have two descriptors. */
        for (size_t i = kept; inode != 0 && i < count; i++) {
            struct ebb_socket own = sockets[i];

            if (own.inode != inode)
                continue;
            sockets[i] = sockets[kept];
            sockets[kept++] = own;
            break;
        }
    }
    closedir(dir);
    if (err != 0)
        return err;
    /* Unix ones first, as they were found; there are few. */
    for (size_t i = 1; i < kept; i++)
        for (size_t j = i; j > 0 && sockets[j].family < sockets[j - 1].family; j--) {
            struct ebb_socket other = sockets[j];

            sockets[j] = sockets[j - 1];
            sockets[j - 1] = other;
        }
    *ret_count = kept;
    return 0;
}
