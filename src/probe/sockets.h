/* SPDX-License-Identifier: MIT
 *
 * The sockets on which a process listens: /proc/PID/net/unix, tcp and tcp6, and the links of /proc/PID/fd.
 *
 * The files below net list all sockets of the process's network namespace; which of them are its own tell the inodes that its
 * descriptors name. So both must be readable: the first always are, the second needs CAP_SYS_PTRACE or the same user.
 */
#ifndef EBB_PROBE_SOCKETS_H
#define EBB_PROBE_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* sun_path of struct sockaddr_un, and a NUL. */
#define EBB_SOCKET_PATH_BYTES 109

enum ebb_socket_family { EBB_SOCKET_UNIX, EBB_SOCKET_TCP4, EBB_SOCKET_TCP6 };

struct ebb_socket {
    enum ebb_socket_family family;
    uint64_t inode;
    uint16_t port;                    /* TCP */
    unsigned char address[16];        /* TCP, in network order; 4 bytes of it for TCP4 */
    char path[EBB_SOCKET_PATH_BYTES]; /* unix: as it was bound, perhaps relative; "@..." is no file */
};

/* One line of net/unix, or of net/tcp (`family` EBB_SOCKET_TCP4) and net/tcp6 (EBB_SOCKET_TCP6), without its newline. True when
 * it is a stream socket that listens, and has a name. */
bool ebb__socket_unix_line(const char *line, size_t len, struct ebb_socket *ret_socket);
bool ebb__socket_tcp_line(const char *line, size_t len, enum ebb_socket_family family,
                          struct ebb_socket *ret_socket);

/* The sockets on which the process listens, unix ones first. `sockets` has room for `max` and serves as scratch for all of the
 * namespace: those beyond are not seen. 0 and the count, or -errno: -EACCES when its descriptors are not ours to read. */
int ebb__sockets_listening(const char *root, pid_t pid, struct ebb_socket *sockets, size_t max,
                           size_t *ret_count);

#endif
