/* SPDX-License-Identifier: MIT
 *
 * The processes that `unit:NAME` and `cgroup:PATH` stand for.
 *
 * They are found by asking each process for its cgroups, which a captured tree answers as well as a live host. Threads of the kernel
 * and processes that have ended are none of them. The main process is the one that is an ancestor of all others.
 */
#ifndef EBB_TOOL_TARGET_GROUP_H
#define EBB_TOOL_TARGET_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "probe/probe.h"

struct ebb_target_group {
    const char *command; /* whose messages these are */
    const char *root;
    const char *text;          /* as it was asked for */
    char unit[EBB_UNIT_BYTES]; /* "" for `cgroup:` */
    struct ebb_cgroup_tree tree;
    char path[EBB_CGROUP_PATH_BYTES];  /* of the memory cgroup, or of the unit in systemd's hierarchy */
    struct ebb_target_member *members; /* in ascending order of their numbers */
    size_t count;
    size_t room;
    size_t hidden; /* processes that do not say where they are */
};

struct ebb_target_member {
    pid_t pid;
    pid_t parent;
    char *unit_path; /* NULL for `cgroup:` */
};

/* Each of these returns EBB_EXIT_OK, or another exit status after one line on standard error. */

/* Finds them; there is at least one. */
int ebb__target_group_find(const char *command, const char *root, const char *text,
                           struct ebb_target_group *ret_group);
void ebb__target_group_fini(struct ebb_target_group *group);

int ebb__target_group_main(const struct ebb_target_group *group, pid_t *ret_pid);

/* The memory cgroup that PATH in "cgroup:PATH" or "/PATH" names. There need be no process in it. */
int ebb__target_group_path(const char *command, const char *root, const char *text,
                           const struct ebb_cgroup_tree *tree, char ret_path[EBB_CGROUP_PATH_BYTES]);

/* The memory cgroup of a unit. A host of version 1 need not have one for each unit: then the innermost that holds all of its
 * processes. */
int ebb__target_group_of_unit(const struct ebb_target_group *group, const struct ebb_cgroup_tree *tree,
                              char ret_path[EBB_CGROUP_PATH_BYTES]);

/* Where the memory controller is. */
int ebb__target_group_tree(const char *command, const char *root, const char *text,
                           struct ebb_cgroup_tree *ret_tree);

#endif
