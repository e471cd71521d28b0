/* SPDX-License-Identifier: MIT
 *
 * Opening the files of a process below a root directory.
 */
#ifndef EBB_PROBE_PROC_H
#define EBB_PROBE_PROC_H

#include <stddef.h>
#include <sys/types.h>

/* Enough for any root, "/proc/", a pid and a file name, or for a path below /proc/PID/root. */
#define EBB_PROC_PATH_BYTES 8192

/* Writes ROOT/proc/PID/FILE. 0, or -ENAMETOOLONG. */
int ebb__proc_path(const char *root, pid_t pid, const char *file, char *ret_path, size_t path_bytes);

/* Opens ROOT/proc/PID/FILE for reading, never waiting. A file descriptor (close-on-exec), or -errno:
 * -ENOENT (no such process; also -ESRCH), -EACCES or -EPERM (not ours to look at). */
int ebb__proc_open(const char *root, pid_t pid, const char *file);

/* Reads the whole of ROOT/proc/PID/FILE into `buf`. 0 and the length, -EMSGSIZE when it does not fit, or
 * -errno. */
int ebb__proc_read(const char *root, pid_t pid, const char *file, void *buf, size_t buf_bytes,
                   size_t *ret_bytes);

#endif
