/* SPDX-License-Identifier: MIT
 *
 * Starting a program and standing between it and whoever started us, without being noticed.
 */
#ifndef EBB_TOOL_CHILD_H
#define EBB_TOOL_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

struct ebb_child {
    pid_t pid;
    bool ended;   /* wait_status is valid, the process has been waited for */
    bool stopped; /* by a signal, and not continued since */
    int wait_status;
    struct rusage usage; /* once it has ended: the kernel's sums, with children that it waited for */
    sigset_t watched;    /* signals that we take, by sigtimedwait */
    sigset_t old_mask;   /* as we were started */
    struct sigaction old_chld;
};

struct ebb_launch {
    const char *path;           /* the file to execute */
    char **argv;                /* its arguments, argv[0] as the user wrote it; ends with NULL */
    const char *library;        /* put in front of LD_PRELOAD; NULL: LD_PRELOAD stays as it is */
    bool is_binary;             /* not to be given to the shell when the kernel does not know its format */
    const char *malloc_options; /* EBB_MALLOC; NULL: stays as it is */
    const char *report;         /* EBB_REPORT, the same */
    int kept_fds[2];            /* stay open here, and are not the program's: close-on-exec; -1: none */
};

/* Starts the program and waits until it has been executed. 0, or the -errno of fork or execve. */
int ebb__child_start(const struct ebb_launch *launch, struct ebb_child *ret_child);

/* Called at most once per interval while the program runs. Returns the microseconds until the next call, or
 * -1 for no more calls. */
typedef long (*ebb_child_tick)(void *context);

/* Waits until the program has ended; forwards signals, follows stops, and calls `tick`, the first time at
 * once. */
void ebb__child_supervise(struct ebb_child *child, ebb_child_tick tick, void *context);

/* Looks whether the program has ended meanwhile, without waiting. */
void ebb__child_poll(struct ebb_child *child);

/* Asks the program to end (SIGTERM, and SIGCONT in case it is stopped); kills it after `grace_ms`. Returns
 * when it has been waited for. */
void ebb__child_terminate(struct ebb_child *child, long grace_ms);

/* Ends us as the program has ended: returns its exit status, or kills us with the signal that killed it.
 * Returns 128 + N only when signal N cannot kill us, as in a container's first process. */
int ebb__child_exit_like(const struct ebb_child *child);

/* Finds the program that execvp() would run. 0, -ENOENT, -EACCES, or -ENAMETOOLONG. */
int ebb__child_find_program(const char *name, char *ret_path, size_t path_bytes);

#endif
