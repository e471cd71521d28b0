/* SPDX-License-Identifier: MIT
 *
 * The processes below a root directory, and the threads of one.
 *
 * A live kernel lists them in ascending order of their numbers; the file system of a captured tree has an order of its own.
 */
#ifndef EBB_PROBE_PROCS_H
#define EBB_PROBE_PROCS_H

#include <dirent.h>
#include <sys/types.h>

struct ebb_procs {
    DIR *dir;
};

/* 0, or -errno: -ENOENT, and -ESRCH for the threads of a process that has ended. */
int ebb__procs_open(struct ebb_procs *procs, const char *root);
int ebb__procs_open_threads(struct ebb_procs *procs, const char *root, pid_t pid);
void ebb__procs_close(struct ebb_procs *procs);

/* The next one, or 0 at the end. It may have ended when it is looked at. */
pid_t ebb__procs_next(struct ebb_procs *procs);

#endif
