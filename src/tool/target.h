/* SPDX-License-Identifier: MIT
 *
 * The process that a command is about: named by its number, by its name, by a file that holds its number, or as the main process of
 * a unit of systemd or of a memory cgroup.
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

/* Finds the process that TARGET names: a decimal number, `pidfile:PATH`, `unit:NAME` or `cgroup:PATH` for the main process there
 * (target_group.h), or a name, which is compared with what the
 * kernel calls the process and, if that is nobody's, with the file name of its first argument. A thread's number stands for its process.
 * One that has ended and waits for its parent is none. Returns EBB_EXIT_OK, or another exit status after one line on standard error. */
int ebb__target_find(const char *command, const char *root, const char *text, struct ebb_target *ret_target);

/* The processes that TARGET names: all of a unit or cgroup, in ascending order of their numbers, else the one, which
 * may also have ended and wait for its parent: lists show it, though it has no memory. Free `pids`. Returns as ebb__target_find(). */
struct ebb_target_list {
    pid_t *pids;
    size_t count;
    bool of_group; /* nobody named them one by one: who has ended since is not missed */
};
int ebb__target_find_all(const char *command, const char *root, const char *text,
                         struct ebb_target_list *ret_list);

/* True for `unit:NAME` and `cgroup:PATH`. */
bool ebb__target_is_group(const char *text);

/* The memory cgroup that TARGET names: "/PATH", "cgroup:PATH", that of a unit, or that of a process; and where the memory
 * controller is. Returns as ebb__target_find(). */
int ebb__target_find_cgroup(const char *command, const char *root, const char *text,
                            struct ebb_cgroup_tree *ret_tree, char ret_path[EBB_CGROUP_PATH_BYTES]);

/* Prints text of other people's making to standard error, without its control characters. */
void ebb__target_print(const char *text);

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
