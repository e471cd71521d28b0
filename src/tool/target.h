/* SPDX-License-Identifier: MIT
 *
 * The process that a command is about: named by its number, by its name, or by a file that holds its number.
 */
#ifndef EBB_TOOL_TARGET_H
#define EBB_TOOL_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/probe.h"

struct ebb_target {
    const char *command; /* whose messages these are */
    const char *root;    /* "" for this host */
    pid_t pid;
    char name[EBB_STATUS_NAME_BYTES]; /* printable */
};

/* Finds the process that TARGET names: a decimal number, `pidfile:PATH`, or a name, which is compared with what the
 * kernel calls the process and, if that is nobody's, with the file name of its first argument. A thread's number stands for its process.
 * Returns EBB_EXIT_OK, or another exit status after one line on standard error. */
int ebb__target_find(const char *command, const char *root, const char *text, struct ebb_target *ret_target);

/* The name of a process for messages, "process" when it cannot be read. Printable: a process chooses its name freely, and
 * control characters in it must not reach the terminal. */
void ebb__target_name(const char *root, pid_t pid, char *ret_name, size_t name_bytes);

/* Says why the process cannot be looked at, with the remedy where it may not, and returns the exit status:
 * EBB_EXIT_NO_TARGET when it has ended. `err` is -errno of what was tried. */
int ebb__target_failed(const struct ebb_target *target, int err);

/* The number of the thread that knows itself as `inner` in the process's own pid namespace, and its status.
 * 0, -ESRCH when the process has no such thread, or -errno. */
int ebb__target_thread(pid_t pid, uint64_t inner, pid_t *ret_tid, struct ebb_status *ret_status);

#endif
