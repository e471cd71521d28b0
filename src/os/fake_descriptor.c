/* SPDX-License-Identifier: MIT
 *
 * Descriptors of the fake kernel: real files, FIFOs, sockets and events, below a folder that the test has made.
 *
 * What such files cannot do is done for them: a file raises POLLPRI when the test says so, and is gone when the test says
 * so. A poll does not wait: what is ready is ready, else the test's on_poll() plays the world for once, else the time passes. The
 * table stays the process's; that a caller has one of its own is only noted.
 */
#include "os/fake_priv.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FDS_MAX      256u
#define WRITES_MAX   64u
#define PATH_BYTES   512u
#define TEXT_BYTES   256u
#define POLLS_AT_END 1000u /* polls for ever, with nobody to end them */

struct opened {
    int fd;
    char path[PATH_BYTES];
    short raised;
    bool gone, wakes;
};
static struct opened opened[FDS_MAX];
static unsigned opened_count;

static struct {
    struct ebb_fake_write row;
    char path[PATH_BYTES], text[TEXT_BYTES];
} writes[WRITES_MAX];
static unsigned write_count, polled_forever;

void ebb_fake_descriptor_reset(void)
{
    while (opened_count != 0)
        (void)close(opened[--opened_count].fd);
    write_count = polled_forever = 0;
}

static struct opened *find(int fd)
{
    for (unsigned i = 0; i < opened_count; i++)
        if (opened[i].fd == fd)
            return &opened[i];
    return NULL;
}

static bool ends(const char *path, const char *end)
{
    size_t len = strlen(path), end_len = strlen(end);
    return len >= end_len && strcmp(path + len - end_len, end) == 0;
}

unsigned ebb_fake_raise(const char *path_end, short events)
{
    unsigned n = 0;
    for (unsigned i = 0; i < opened_count; i++)
        if (ends(opened[i].path, path_end)) {
            opened[i].raised |= events;
            n++;
        }
    return n;
}

unsigned ebb_fake_remove(const char *path_end)
{
    unsigned n = 0;
    for (unsigned i = 0; i < opened_count; i++)
        if (ends(opened[i].path, path_end)) {
            opened[i].gone = true;
            n++;
        }
    return n;
}

const struct ebb_fake_write *ebb_fake_written(unsigned n)
{
    return n < write_count && n < WRITES_MAX ? &writes[(write_count - 1 - n) % WRITES_MAX].row : NULL;
}

/* Takes a descriptor of the real kernel, or its error. */
static int keep(int fd, const char *path)
{
    if (fd < 0)
        return -errno;
    REQUIRE(opened_count < FDS_MAX && strlen(path) < PATH_BYTES);
    opened[opened_count] = (struct opened){.fd = fd};
    memcpy(opened[opened_count++].path, path, strlen(path) + 1);
    ebb_fake.fds = opened_count;
    ebb_fake.fds_most = ebb_fake.fds > ebb_fake.fds_most ? ebb_fake.fds : ebb_fake.fds_most;
    return fd;
}

int ebb__os_fd_own_table(void)
{
    if (ebb_fake_must_fail())
        return -EPERM;
    ebb_fake.own_table = ebb_fake.table_rc == 0;
    return ebb_fake.table_rc;
}

int ebb__os_fd_open(const char *path, enum ebb_os_open how)
{
    static const int flags[] = {O_RDONLY, O_WRONLY, O_RDWR};
    REQUIRE(path[0] == '/');
    if (ebb_fake_must_fail())
        return -EACCES;
    return keep(open(path, flags[how] | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), path);
}

void ebb__os_fd_close(int fd)
{
    struct opened *o = find(fd);
    REQUIRE(o != NULL);
    (void)close(fd);
    *o = opened[--opened_count];
    ebb_fake.fds = opened_count;
}

int ebb__os_fd_kind(const char *path)
{
    struct stat st;
    if (ebb_fake_must_fail())
        return -EACCES;
    if (stat(path, &st) != 0)
        return -errno;
    return S_ISREG(st.st_mode)    ? EBB_OS_KERNEL_FILE
           : S_ISFIFO(st.st_mode) ? EBB_OS_FIFO
           : S_ISSOCK(st.st_mode) ? EBB_OS_SOCKET
                                  : EBB_OS_OTHER;
}

long ebb__os_fd_read_file(int fd, char *ret_text, size_t bytes)
{
    struct opened *o = find(fd);
    REQUIRE(o != NULL && bytes >= 2);
    if (o->gone)
        return -ENODEV;
    if (ebb_fake_must_fail())
        return -EIO;
    ssize_t n = pread(fd, ret_text, bytes - 1, 0);
    if (n < 0)
        return -errno;
    ret_text[n] = '\0';
    return n;
}

long ebb__os_fd_read(int fd, void *ret_bytes, size_t bytes)
{
    REQUIRE(find(fd) != NULL);
    if (ebb_fake_must_fail())
        return -EIO;
    ssize_t n = read(fd, ret_bytes, bytes);
    return n < 0 ? -errno : n;
}

int ebb__os_fd_write(int fd, const void *from, size_t bytes)
{
    struct opened *o = find(fd);
    REQUIRE(o != NULL && bytes < TEXT_BYTES);
    if (ebb_fake_must_fail())
        return -EINVAL;
    ssize_t n = send(fd, from, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == ENOTSOCK)
        n = write(fd, from, bytes);
    if (n < 0)
        return -errno;
    unsigned i = write_count++ % WRITES_MAX;
    memcpy(writes[i].path, o->path, PATH_BYTES);
    memcpy(writes[i].text, from, bytes);
    writes[i].text[bytes] = '\0';
    writes[i].row = (struct ebb_fake_write){.path = writes[i].path, .text = writes[i].text, .bytes = bytes};
    return (size_t)n == bytes ? 0 : -EIO;
}

int ebb__os_fd_connect(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(name.sun_path))
        return -ENAMETOOLONG;
    memcpy(name.sun_path, path, strlen(path));
    if (ebb_fake_must_fail())
        return -ECONNREFUSED;
    int fd = keep(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), path);
    if (fd < 0 || connect(fd, (const struct sockaddr *)(const void *)&name, sizeof(name)) == 0)
        return fd;
    int rc = -errno;
    ebb__os_fd_close(fd);
    return rc;
}

int ebb__os_fd_event(void)
{
    if (ebb_fake_must_fail())
        return -EMFILE;
    return keep(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "event");
}

int ebb__os_fd_wakes(void)
{
    if (ebb_fake_must_fail())
        return -EMFILE;
    int fd = keep(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "wakes");
    if (fd >= 0)
        opened[opened_count - 1].wakes = true;
    return fd;
}

/* The number of those that are ready now. */
static int look(struct ebb_os_poll *polls, unsigned count)
{
    int ready = 0;
    for (unsigned i = 0; i < count; i++) {
        struct opened *o = find(polls[i].fd);
        REQUIRE(o != NULL);
        struct pollfd real = {.fd = polls[i].fd, .events = polls[i].events};
        (void)poll(&real, 1, 0);
        polls[i].revents = (short)(real.revents | (o->raised & (polls[i].events | POLLERR | POLLHUP)));
        o->raised = 0;
        if (o->gone)
            polls[i].revents = (short)((polls[i].events & (POLLIN | POLLPRI)) | POLLERR);
        if (o->wakes && ebb_fake_wakes_waiting() != 0)
            polls[i].revents = POLLIN;
        ready += polls[i].revents != 0;
    }
    return ready;
}

int ebb__os_fd_poll(struct ebb_os_poll *polls, unsigned count, uint64_t timeout_ms)
{
    if (ebb_fake_must_fail())
        return -ENOMEM;
    ebb_fake.polls++;
    int ready = look(polls, count);
    if (ready == 0 && timeout_ms != 0 && ebb_fake.on_poll != NULL) {
        ebb_fake.on_poll(timeout_ms);
        ready = look(polls, count);
    }
    if (ready != 0)
        return ready;
    if (timeout_ms != EBB_OS_FOREVER)
        ebb_fake.now_ms += timeout_ms;
    else
        REQUIRE(++polled_forever < POLLS_AT_END);
    return 0;
}

/* ---- a descriptor of the program's: it is nobody's of ours, and real ---- */

int ebb__os_fd_file(int fd, struct ebb_os_file *ret_file)
{
    struct stat st;
    if (ebb_fake_must_fail())
        return -EBADF;
    if (fstat(fd, &st) != 0)
        return -errno;
    *ret_file = (struct ebb_os_file){st.st_dev, st.st_ino};
    return 0;
}

int ebb__os_fd_ring(int fd, const struct ebb_os_file *file)
{
    const uint64_t one = 1;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    struct ebb_os_file now = {0};
    int rc = ebb__os_fd_file(fd, &now);
    if (rc != 0)
        return rc;
    if (now.device != file->device || now.inode != file->inode)
        return -ESTALE;
    if (poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0)
        return -EAGAIN;
    return write(fd, &one, sizeof(one)) == (ssize_t)sizeof(one) ? 0 : -errno;
}
