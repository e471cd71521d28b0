/* SPDX-License-Identifier: MIT
 *
 * Which allocator serves a process's malloc, and how we know.
 *
 * A library that is mapped does not necessarily serve. The dynamic linker's own list of objects tells whose malloc comes first (see
 * serve.h); where that is ours, its counter of blocks tells whether it has served already.
 */
#ifndef EBB_TOOL_PROC_ALLOCATOR_H
#define EBB_TOOL_PROC_ALLOCATOR_H

#include <sys/types.h>

struct ebb_proc_allocator {
    char name[32];      /* "glibc", "jemalloc", "ebb", "built in", "static", "none", or the file's name */
    const char *inner;  /* another one, constant, that is part of the program under names of its own; NULL */
    char evidence[512]; /* a clause; printable where file names are */
};

/* Finds out. 0, or -errno: -EACCES or -EPERM (not ours to look at), -EAGAIN (it is still being started), -ENOEXEC (no program that we
 * understand). The caller frees it. */
int ebb__proc_allocator_find(pid_t pid, struct ebb_proc_allocator **ret_allocator);

/* The allocator that a library of this path is, "jemalloc", or NULL. */
const char *ebb__proc_allocator_of_file(const char *path);

#endif
