/* SPDX-License-Identifier: MIT
 *
 * From a live process to a socket that connect() can name; see endpoint_priv.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "books/endpoint_priv.h"
#include "probe/proc.h"

/* Listening sockets of a whole network namespace; beyond them a server is not found, and --sql helps. */
#define SOCKETS_MAX 4096

/* The process shares our network namespace: only then is its 127.0.0.1 ours. */
static bool shares_network(pid_t pid)
{
    char path[EBB_PROC_PATH_BYTES];
    struct stat theirs, ours;

    return ebb__proc_path("", pid, "ns/net", path, sizeof(path)) == 0 && stat(path, &theirs) == 0 &&
           stat("/proc/self/ns/net", &ours) == 0 && theirs.st_ino == ours.st_ino &&
           theirs.st_dev == ours.st_dev;
}

size_t ebb__endpoint_find(enum ebb_books_kind kind, pid_t pid, struct ebb_endpoint *ret_endpoints, size_t max,
                          char ret_why[EBB_BOOKS_WHY_BYTES])
{
    struct ebb_socket *sockets = malloc(SOCKETS_MAX * sizeof(*sockets));
    size_t count = 0, chosen = 0;
    bool same_network = shares_network(pid);
    int err = sockets == NULL ? -ENOMEM : ebb__sockets_listening("", pid, sockets, SOCKETS_MAX, &count);

    if (err == 0)
        chosen = ebb__endpoint_choose(kind, sockets, count, same_network, ret_endpoints, max);
    free(sockets);
    if (err == -EACCES || err == -EPERM)
        snprintf(ret_why, EBB_BOOKS_WHY_BYTES,
                 "where it listens cannot be seen, which needs CAP_SYS_PTRACE or the same user; name its "
                 "socket with --sql");
    else if (err != 0)
        snprintf(ret_why, EBB_BOOKS_WHY_BYTES, "where it listens is not known: %s",
                 ebb__fact_why(ebb__fact_unknown(err)));
    else if (count == 0)
        snprintf(ret_why, EBB_BOOKS_WHY_BYTES, "it listens on no socket");
    else if (chosen == 0 && !same_network)
        snprintf(ret_why, EBB_BOOKS_WHY_BYTES,
                 "it listens on ports of another network namespace only; a unix socket could be reached");
    else if (chosen == 0)
        snprintf(ret_why, EBB_BOOKS_WHY_BYTES, "it listens on no socket that could be asked");
    return chosen;
}

/* Opens a folder as the process sees it, symbolic links from its root included; by our own eyes where we may not enter its root. */
static int open_folder(const char *folder, pid_t pid)
{
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    char path[EBB_PROC_PATH_BYTES];
    int base, fd;

    if (pid == 0)
        return open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (ebb__proc_path("", pid, folder[0] == '/' ? "root" : "cwd", path, sizeof(path)) != 0)
        return -1;
    base = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (base < 0)
        return folder[0] == '/' ? open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    fd = (int)syscall(SYS_openat2, base, folder, &how, sizeof(how));
    /* Before Linux 5.6 there is no such call; then links are followed from our root, which is right but in a container. */
    if (fd < 0 && errno == ENOSYS)
        fd = openat(base,
                    folder[0] != '/'    ? folder
                    : folder[1] != '\0' ? folder + 1
                                        : ".",
                    O_PATH | O_DIRECTORY | O_CLOEXEC);
    close(base);
    return fd;
}

int ebb__endpoint_reach(const struct ebb_endpoint *endpoint, pid_t pid, struct ebb_reach *ret_reach)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(endpoint->path, '/');
    const char *name = slash != NULL ? slash + 1 : endpoint->path;
    struct ebb_reach reach;

    if (slash == NULL)
        snprintf(folder, sizeof(folder), ".");
    else
        snprintf(folder, sizeof(folder), "%.*s", (int)(slash == endpoint->path ? 1 : slash - endpoint->path),
                 endpoint->path);
    reach.dir_fd = open_folder(folder, pid);
    if (reach.dir_fd < 0)
        return -errno;
    snprintf(reach.dir, sizeof(reach.dir), "/proc/self/fd/%d", reach.dir_fd);
    if ((size_t)snprintf(reach.path, sizeof(reach.path), "%s/%s", reach.dir, name) >= sizeof(reach.path)) {
        close(reach.dir_fd);
        return -ENAMETOOLONG;
    }
    *ret_reach = reach;
    return 0;
}

void ebb__endpoint_say(const struct ebb_endpoint *endpoint, const struct ebb_reach *reach,
                       char why[EBB_BOOKS_WHY_BYTES])
{
    const char *slash = strrchr(endpoint->path, '/');
    char *at = endpoint->local ? strstr(why, reach->dir) : NULL;
    char rest[EBB_BOOKS_WHY_BYTES];

    if (at == NULL || slash == NULL)
        return;
    snprintf(rest, sizeof(rest), "%s", at + strlen(reach->dir));
    snprintf(at, EBB_BOOKS_WHY_BYTES - (size_t)(at - why), "%.*s%s", (int)(slash - endpoint->path),
             endpoint->path, rest);
}

int ebb__endpoint_check(const struct ebb_endpoint *endpoint, int fd, pid_t pid,
                        char ret_why[EBB_BOOKS_WHY_BYTES])
{
    struct ucred peer = {0};
    socklen_t bytes = sizeof(peer);

    if (!endpoint->local || endpoint->found || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0 ||
        peer.pid <= 1 || peer.pid == pid)
        return 0;
    snprintf(ret_why, EBB_BOOKS_WHY_BYTES, "on that socket process %d listens, not %d", (int)peer.pid,
             (int)pid);
    return -EXDEV;
}
