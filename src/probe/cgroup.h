/* SPDX-License-Identifier: MIT
 *
 * Memory cgroups, version 1 and 2 alike: where they are, which one a process is in, and what they say.
 *
 * A host mounts the memory controller in version 1, in version 2, or not at all; a hybrid one mounts version 2 beside, without
 * the controller. What a process sees of the tree may be a part (cgroup namespace, bind mount in a container): paths are
 * those of the tree as it is mounted below the root, "/" being its top.
 */
#ifndef EBB_PROBE_CGROUP_H
#define EBB_PROBE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "probe/fact.h"

#define EBB_CGROUP_PATH_BYTES 4096

/* Where the memory controller is. */
struct ebb_cgroup_tree {
    int version; /* 1 or 2; 0: there is none */
    char mount
        [EBB_CGROUP_PATH_BYTES]; /* "/sys/fs/cgroup" or "/sys/fs/cgroup/memory", without the root directory */
    char top
        [EBB_CGROUP_PATH_BYTES]; /* the part of the tree that is mounted there: "/" outside of containers */
    char unified
        [EBB_CGROUP_PATH_BYTES]; /* mount of version 2 beside version 1, for its memory.pressure; "" for none */
};

/* From the text of mountinfo, and whether the top of the version 2 tree lists "memory" in cgroup.controllers. */
int ebb__cgroup_tree_parse(const char *mountinfo, size_t len, bool unified_has_memory,
                           struct ebb_cgroup_tree *ret_tree);

/* From ROOT/proc/self/mountinfo (ROOT/proc/mountinfo or ROOT/proc/1/mountinfo in a captured tree). 0 also when there is no
 * controller; -errno when it cannot be told. */
int ebb__cgroup_tree_read(const char *root, struct ebb_cgroup_tree *ret_tree);

/* The path of a process's memory cgroup, from the text of /proc/PID/cgroup. 0; -ENOENT when the line is missing, -EXDEV when it lies
 * outside of what is mounted here ("/../..", or another part). */
int ebb__cgroup_path_parse(const char *text, size_t len, const struct ebb_cgroup_tree *tree, char *ret_path,
                           size_t path_bytes);
int ebb__cgroup_path_read(const char *root, pid_t pid, const struct ebb_cgroup_tree *tree, char *ret_path,
                          size_t path_bytes);

/* Turns a path into its parent's; false when it was "/" already. */
bool ebb__cgroup_parent(char *path);

/* True when the path is `top` or lies below it. */
bool ebb__cgroup_is_below(const char *path, const char *top);

/* What a memory cgroup says. Limits that are not set are UINT64_MAX (version 1 has a large number there). */
struct ebb_cgroup {
    int version;
    struct ebb_fact usage_bytes; /* the top of version 2 has none */
    struct ebb_fact limit_bytes; /* memory.max, limit_in_bytes */
    struct ebb_fact high_bytes;  /* version 2 only, as min and low */
    struct ebb_fact low_bytes;
    struct ebb_fact min_bytes;
    struct ebb_fact peak_bytes;
    struct ebb_fact swap_bytes;       /* swapped out */
    struct ebb_fact swap_limit_bytes; /* of swap alone. Version 1: what memsw allows above the limit */
    struct ebb_fact swappiness;       /* version 1: its own; version 2: unknown (the host's holds) */
    struct ebb_fact oom_group;        /* version 2: 0 or 1 */
    struct ebb_fact oom_kill_disable; /* version 1: 0 or 1 */
    struct ebb_fact under_oom;        /* version 1: 0 or 1 */
    struct ebb_fact limit_hits;       /* events max, failcnt */
    struct ebb_fact high_hits;
    struct ebb_fact oom_events;
    struct ebb_fact oom_kills;
    /* memory.stat, of the whole subtree */
    struct ebb_fact anon_bytes;
    struct ebb_fact file_bytes; /* page cache without shmem */
    struct ebb_fact shmem_bytes;
    struct ebb_fact kernel_bytes;
    struct ebb_fact inactive_anon_bytes;
    struct ebb_fact active_anon_bytes;
    struct ebb_fact inactive_file_bytes;
    struct ebb_fact active_file_bytes;
    struct ebb_fact unevictable_bytes;
    struct ebb_fact slab_reclaimable_bytes;
    struct ebb_fact slab_unreclaimable_bytes;
    struct ebb_fact dirty_bytes;
    struct ebb_fact writeback_bytes;
    struct ebb_fact pgscan; /* pages since it was made */
    struct ebb_fact pgsteal;
    struct ebb_fact pgscan_kswapd;
    struct ebb_fact pgscan_direct;
    struct ebb_fact refault_anon;
    struct ebb_fact refault_file;
    struct ebb_fact pgfault;
    struct ebb_fact pgmajfault;
};

/* 0 when there is such a cgroup, -ENOENT when not, or -errno. */
int ebb__cgroup_check(const char *root, const struct ebb_cgroup_tree *tree, const char *path);

/* Reads the files of a cgroup. 0, -ENOENT when there is no such cgroup, or -errno. A file that is missing or denied
 * makes its own facts unknown only. */
int ebb__cgroup_read(const char *root, const struct ebb_cgroup_tree *tree, const char *path,
                     struct ebb_cgroup *ret_cgroup);

/* Writes the path of a file of the cgroup below the root directory: "/sys/fs/cgroup/system.slice/memory.max". */
int ebb__cgroup_file(const struct ebb_cgroup_tree *tree, const char *path, const char *file, char *ret_path,
                     size_t path_bytes);

/* Calls `visit` for each cgroup of the tree, parents first, until it returns other than 0, which is then returned. */
int ebb__cgroup_walk(const char *root, const struct ebb_cgroup_tree *tree,
                     int (*visit)(const char *path, void *context), void *context);

#endif
