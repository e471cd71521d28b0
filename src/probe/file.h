/* SPDX-License-Identifier: MIT
 *
 * Opening and reading small files below a root directory: /proc/meminfo, /sys/fs/cgroup/.../memory.max.
 *
 * A path begins with '/'. "" as root is the live host. Nothing ever waits: files are opened with O_NONBLOCK. A tree from somewhere
 * else may hold anything, also a link to a device that never ends: below a root only files and folders are opened, and all else is
 * -EBADMSG.
 */
#ifndef EBB_PROBE_FILE_H
#define EBB_PROBE_FILE_H

#include <stddef.h>

#include "probe/fact.h"

/* A file descriptor (close-on-exec), or -errno. */
int ebb__file_open(const char *root, const char *path);

/* The same for a path that begins with the root. */
int ebb__file_open_whole(const char *root, const char *whole);

/* The whole file. 0 and its length, -EMSGSIZE when it does not fit, or -errno. No NUL is added. */
int ebb__file_read(const char *root, const char *path, void *buf, size_t buf_bytes, size_t *ret_bytes);

/* The same from an open descriptor, which stays open. */
int ebb__file_read_fd(int fd, void *buf, size_t buf_bytes, size_t *ret_bytes);

/* The one number that a file such as those of /proc/sys holds. "max" is UINT64_MAX. */
struct ebb_fact ebb__file_number(const char *root, const char *path);

#endif
