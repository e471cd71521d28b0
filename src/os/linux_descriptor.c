/* SPDX-License-Identifier: MIT
 *
 * Descriptors on Linux, in a table that is the thread's own.
 *
 * The table. close_range(0, all, CLOSE_RANGE_UNSHARE) makes a new table without copying what it would close, so at no moment is
 * anything of the program's held. Before Linux 5.9, and where a filter forbids that call, unshare(CLONE_FILES) copies the
 * table, and the copies are closed one by one: for some microseconds a peer of the program can see a socket open that the
 * program has just closed. Closing a copy leaves the program's record locks alone, for the kernel knows their owner by its
 * table. Their list is in /proc/thread-self/fd ("self" would be the program's); where that cannot be read, every number
 * that may be in use is closed.
 *
 * Standard error. Number 2 of the new table is not the program's. A line of ebb__die() in this thread goes to the
 * descriptor that the program has there at that moment: pidfd_getfd() fetches it (Linux 5.6), or the file behind it is
 * opened once more, which a socket does not allow.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <time.h>

#include "base/syscall.h"
#include "os/os.h"

/* The same numbers on every architecture; the C library of the machine that builds may be older. */
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif

#define PRESENT_FLAGS (O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

/* Numbers above this are not looked for one by one: 2^20 calls take 100 ms, and it is Linux' own default of fs.nr_open. */
#define NUMBERS_MAX (UINT64_C(1) << 20)

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

/* ---- a table of one's own ---- */

static void close_number(long fd)
{
    (void)ebb__syscall(SYS_close, fd, 0, 0, 0, 0, 0);
}

/* One entry of a folder as the kernel hands it out. */
struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t bytes;
    uint8_t kind;
    char name[];
};

/* The number in a name; -1 for "." and "..". */
static long number_of(const char *name)
{
    long number = 0;
    for (; *name >= '0' && *name <= '9'; name++)
        number = number * 10 + (*name - '0');
    return *name == '\0' ? number : -1;
}

/* Closes what the folder of descriptors lists. False when there is no such folder. */
static bool close_listed(void)
{
    _Alignas(struct entry) char buffer[2048];
    long n, folder = ebb__syscall(SYS_openat, AT_FDCWD, (long)"/proc/thread-self/fd",
                                  O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, 0, 0);
    if (folder < 0)
        return false;
    while ((n = ebb__syscall(SYS_getdents64, folder, (long)buffer, sizeof(buffer), 0, 0, 0)) > 0)
        for (long at = 0; at < n;) {
            const struct entry *e = (const struct entry *)(const void *)(buffer + at);
            long fd = number_of(e->name);
            if (fd >= 0 && fd != folder)
                close_number(fd);
            at += e->bytes;
        }
    close_number(folder);
    return n == 0;
}

static void close_every_number(void)
{
    struct {
        uint64_t now, most;
    } limit = {NUMBERS_MAX, NUMBERS_MAX};
    (void)ebb__syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit, 0, 0);
    uint64_t end = limit.most < NUMBERS_MAX ? limit.most : NUMBERS_MAX; /* most: now may have been lowered */
    for (uint64_t fd = 0; fd < end; fd++)
        close_number((long)fd);
}

/* In a thread with a table of its own: the program's standard error, or -1. */
static int program_stderr(void)
{
    long process = ebb__syscall(SYS_pidfd_open, ebb__os_pid(), 0, 0, 0, 0, 0);
    long fd = process < 0 ? process : ebb__syscall(SYS_pidfd_getfd, process, 2, 0, 0, 0, 0);
    if (fd < 0)
        fd = ebb__syscall(SYS_openat, AT_FDCWD, (long)"/proc/self/fd/2", O_WRONLY | O_APPEND | PRESENT_FLAGS,
                          0, 0, 0);
    return fd < 0 ? -1 : (int)fd;
}

int ebb__os_fd_own_table(void)
{
    long rc = ebb__syscall(SYS_close_range, 0, UINT32_MAX, CLOSE_RANGE_UNSHARE, 0, 0, 0);
    if (rc != 0) {
        rc = ebb__syscall(SYS_unshare, CLONE_FILES, 0, 0, 0, 0, 0);
        if (rc != 0)
            return (int)rc;
        if (!close_listed())
            close_every_number();
    }
    ebb__stderr_of_thread = program_stderr;
    return 0;
}

/* ---- files ---- */

int ebb__os_fd_open(const char *path, enum ebb_os_open how)
{
    static const int flags[] = {O_RDONLY, O_WRONLY, O_RDWR};
    return (int)ebb__syscall(SYS_openat, AT_FDCWD, (long)path, flags[how] | PRESENT_FLAGS, 0, 0, 0);
}

void ebb__os_fd_close(int fd)
{
    close_number(fd);
}

static bool is_of_kernel(const char *path)
{
    struct statfs fs;
    if (ebb__syscall(SYS_statfs, (long)path, (long)&fs, 0, 0, 0, 0) != 0)
        return false;
    return fs.f_type == PROC_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC ||
           fs.f_type == CGROUP_SUPER_MAGIC;
}

int ebb__os_fd_kind(const char *path)
{
    struct stat st; /* on both architectures the kernel's own layout */
    long rc = ebb__syscall(SYS_newfstatat, AT_FDCWD, (long)path, (long)&st, 0, 0, 0);
    if (rc != 0)
        return (int)rc;
    if (S_ISFIFO(st.st_mode))
        return EBB_OS_FIFO;
    if (S_ISSOCK(st.st_mode))
        return EBB_OS_SOCKET;
    return S_ISREG(st.st_mode) && is_of_kernel(path) ? EBB_OS_KERNEL_FILE : EBB_OS_OTHER;
}

/* The files of the kernel give all that fits in one read; a short one that ends a line was the whole. */
long ebb__os_fd_read_file(int fd, char *ret_text, size_t bytes)
{
    size_t len = 0;
    while (len < bytes - 1) {
        long n =
            ebb__syscall(SYS_pread64, fd, (long)(ret_text + len), (long)(bytes - 1 - len), (long)len, 0, 0);
        if (n < 0)
            return n;
        len += (size_t)n;
        if (n == 0 || (len < bytes - 1 && ret_text[len - 1] == '\n'))
            break;
    }
    ret_text[len] = '\0';
    return (long)len;
}

long ebb__os_fd_read(int fd, void *ret_bytes, size_t bytes)
{
    return ebb__syscall(SYS_read, fd, (long)ret_bytes, (long)bytes, 0, 0, 0);
}

int ebb__os_fd_write(int fd, const void *from, size_t bytes)
{
    long n = ebb__syscall(SYS_sendto, fd, (long)from, (long)bytes, MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0);
    if (n == -ENOTSOCK || n == -EPERM || n == -ENOSYS) /* it is no socket, or a filter knows none */
        n = ebb__syscall(SYS_write, fd, (long)from, (long)bytes, 0, 0, 0);
    if (n < 0)
        return (int)n;
    return (size_t)n == bytes ? 0 : -EIO;
}

int ebb__os_fd_connect(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof(name.sun_path))
        return -ENAMETOOLONG;
    memcpy(name.sun_path, path, len);
    long fd = ebb__syscall(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0, 0, 0);
    if (fd < 0)
        return (int)fd;
    long rc = ebb__syscall(SYS_connect, fd, (long)&name, sizeof(name), 0, 0, 0);
    if (rc == 0)
        return (int)fd;
    close_number(fd);
    return (int)rc;
}

/* ---- events ---- */

int ebb__os_fd_event(void)
{
    return (int)ebb__syscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK, 0, 0, 0, 0);
}

int ebb__os_fd_wakes(void)
{
    const uint64_t set = UINT64_C(1) << (EBB_OS_WAKE_SIGNAL - 1);
    return (int)ebb__syscall(SYS_signalfd4, -1, (long)&set, sizeof(set), SFD_CLOEXEC | SFD_NONBLOCK, 0, 0);
}

EBB_STATIC_ASSERT(sizeof(struct ebb_os_poll) == sizeof(struct pollfd),
                  "the kernel reads it as struct pollfd");
EBB_STATIC_ASSERT(offsetof(struct ebb_os_poll, events) == offsetof(struct pollfd, events), "second");
EBB_STATIC_ASSERT(offsetof(struct ebb_os_poll, revents) == offsetof(struct pollfd, revents), "third");
EBB_STATIC_ASSERT(EBB_OS_POLL_IN == POLLIN && EBB_OS_POLL_PRI == POLLPRI && EBB_OS_POLL_ERR == POLLERR &&
                      EBB_OS_POLL_HUP == POLLHUP && EBB_OS_POLL_NVAL == POLLNVAL,
                  "the kernel's numbers");

/* The C library's own signals cannot be blocked (linux_thread.c): setuid() in another thread interrupts, and is no event. */
int ebb__os_fd_poll(struct ebb_os_poll *polls, unsigned count, uint64_t timeout_ms)
{
    uint64_t start_ns = ebb__os_now_ns();
    bool for_ever = timeout_ms > (UINT64_MAX - start_ns) / NS_PER_MS;
    uint64_t end_ns = for_ever ? 0 : start_ns + timeout_ms * NS_PER_MS;
    for (uint64_t now_ns = start_ns;; now_ns = ebb__os_now_ns()) {
        uint64_t rest_ns = for_ever || now_ns >= end_ns ? 0 : end_ns - now_ns;
        struct timespec rest = {.tv_sec = (time_t)(rest_ns / NS_PER_S),
                                .tv_nsec = (long)(rest_ns % NS_PER_S)};
        long rc =
            ebb__syscall(SYS_ppoll, (long)polls, count, for_ever ? 0 : (long)&rest, 0, sizeof(uint64_t), 0);
        if (rc != -EINTR)
            return (int)rc;
    }
}

/* ---- a descriptor of the program's ---- */

int ebb__os_fd_file(int fd, struct ebb_os_file *ret_file)
{
    struct stat st; /* on both architectures the kernel's own layout */
    long rc = ebb__syscall(SYS_newfstatat, fd, (long)"", (long)&st, AT_EMPTY_PATH, 0, 0);
    if (rc == 0)
        *ret_file = (struct ebb_os_file){st.st_dev, st.st_ino};
    return (int)rc;
}

/* It is asked first whether a write would wait: the descriptor may be a blocking one, which is the program's to choose. */
int ebb__os_fd_ring(int fd, const struct ebb_os_file *file)
{
    const uint64_t one = 1;
    struct ebb_os_poll p = {.fd = fd, .events = POLLOUT};
    struct ebb_os_file now = {0};
    int rc = ebb__os_fd_file(fd, &now);
    if (rc != 0)
        return rc;
    if (now.device != file->device || now.inode != file->inode)
        return -ESTALE;
    rc = ebb__os_fd_poll(&p, 1, 0);
    if (rc < 0)
        return rc;
    return (p.revents & POLLOUT) != 0 ? ebb__os_fd_write(fd, &one, sizeof(one)) : -EAGAIN;
}
