/* SPDX-License-Identifier: MIT
 *
 * The part of the contract that needs descriptors; includes come through os.h.
 *
 * A library must not be seen among the descriptors of its program: programs close all numbers, count them, and rely on open()
 * giving the lowest one. So the background thread, and no other, gives itself a table of its own first. What it opens then
 * is seen by nobody, is not inherited, and nothing of the program's is kept open by it.
 *
 * All functions return 0 or more, or -errno, keep errno and never allocate. Nothing here waits but ebb__os_fd_poll(): what is
 * opened is close-on-exec and non-blocking. The last part is about descriptors that are the program's own.
 */
#ifndef EBB_OS_DESCRIPTOR_H
#define EBB_OS_DESCRIPTOR_H

#include "base/base.h"

/* Gives the calling thread an empty table of descriptors of its own. Lines of ebb__die() go to the program's standard error still.
 * pre: the thread is one that ebb__os_thread_start() made; the program's main thread has not ended
 * post: on 0 the table is empty and nobody else's; on -errno (-EPERM or -ENOSYS, a filter of system calls) it is the
 * program's as before, and nothing was closed
 * There is no way back: a thread that will run the program's exit handlers must not call this. */
int ebb__os_fd_own_table(void);

enum ebb_os_open { EBB_OS_READ = 0, EBB_OS_WRITE, EBB_OS_READ_WRITE };

/* A descriptor. pre: the table is the thread's own, or the caller knows that the program may see it until it is closed */
int ebb__os_fd_open(const char *path, enum ebb_os_open how);
void ebb__os_fd_close(int fd);

enum ebb_os_kind {
    EBB_OS_KERNEL_FILE = 0, /* regular, of proc or of a cgroup */
    EBB_OS_FIFO,
    EBB_OS_SOCKET,
    EBB_OS_OTHER, /* other files, folders, devices */
};

/* What lies at a path, after symbolic links. Opens nothing. An enum ebb_os_kind, -ENOENT, -EACCES and others */
int ebb__os_fd_kind(const char *path);

/* The first bytes of a file, with a zero behind them, read anew each time; their number. pre: bytes >= 2. -ENODEV: the cgroup
 * that the file belonged to is gone */
long ebb__os_fd_read_file(int fd, char *ret_text, size_t bytes);

/* The next bytes of a file, FIFO, socket or event. 0 at the end, -EAGAIN when there is nothing now */
long ebb__os_fd_read(int fd, void *ret_bytes, size_t bytes);

/* All bytes in one write, without SIGPIPE. 0; -EIO when it took only a part */
int ebb__os_fd_write(int fd, const void *from, size_t bytes);

/* A stream socket, connected to the one of that name. -ECONNREFUSED, -EAGAIN (its queue is full), -ENAMETOOLONG and others */
int ebb__os_fd_connect(const char *path);

/* A counter that the kernel raises (eventfd). */
int ebb__os_fd_event(void);

/* Readable while a wake waits for the calling thread (signalfd of EBB_OS_WAKE_SIGNAL); ebb__os_sleep(0) takes it. */
int ebb__os_fd_wakes(void);

/* One entry of a poll: the kernel's struct pollfd. */
struct ebb_os_poll {
    int fd;
    short events;
    short revents;
};
#define EBB_OS_POLL_IN   ((short)0x001)
#define EBB_OS_POLL_PRI  ((short)0x002)
#define EBB_OS_POLL_ERR  ((short)0x008)
#define EBB_OS_POLL_HUP  ((short)0x010)
#define EBB_OS_POLL_NVAL ((short)0x020)

/* Waits until one of them is ready, or for timeout_ms, for ever with EBB_OS_FOREVER. The number of those that are ready, 0 after the
 * time; -ENOMEM and others at once. A signal does not end it. */
int ebb__os_fd_poll(struct ebb_os_poll *polls, unsigned count, uint64_t timeout_ms);

/* ---- a descriptor of the program's: by a thread that shares its table ---- */

/* Which file is behind it. The program may close the number, and have another file behind it, at any time. (All eventfds are one
 * file to the kernel, but no other file is that one.) */
struct ebb_os_file {
    uint64_t device, inode;
};

/* 0; -EBADF */
int ebb__os_fd_file(int fd, struct ebb_os_file *ret_file);

/* Writes the number 1 in 8 bytes: an eventfd rises by 1. Does not wait. pre: SIGPIPE is blocked. 0; -EAGAIN (it would wait); -ESTALE (another
 * file is behind it; nothing was written); -EBADF and others */
int ebb__os_fd_ring(int fd, const struct ebb_os_file *file);

#endif
