/* SPDX-License-Identifier: MIT
 *
 * How full the memory cgroups of processes are: for each cgroup once, however many processes are in it.
 */
#ifndef EBB_TOOL_PROC_CGROUPS_H
#define EBB_TOOL_PROC_CGROUPS_H

#include <sys/types.h>

#include "probe/cgroup.h"

/* The fullest level from a cgroup up to the top: limits hold for all that is below them. */
struct ebb_proc_cgroup {
    struct ebb_proc_cgroup *next;
    char *path;
    bool known;      /* some level has a limit; the rest holds */
    const char *why; /* when not */
    char *level;     /* whose limit it is */
    uint64_t usage_bytes;
    uint64_t limit_bytes;
};

struct ebb_proc_cgroups {
    const char *root;
    int err; /* why there is no tree: -errno, or -ENODEV when no memory controller is mounted */
    struct ebb_cgroup_tree tree;
    struct ebb_proc_cgroup *newest;
};

void ebb__proc_cgroups_init(struct ebb_proc_cgroups *cgroups, const char *root);
void ebb__proc_cgroups_fini(struct ebb_proc_cgroups *cgroups);

/* That of a process. 0, or -errno of finding out which one it is in. It lives as long as `cgroups`. */
int ebb__proc_cgroups_of(struct ebb_proc_cgroups *cgroups, pid_t pid,
                         const struct ebb_proc_cgroup **ret_cgroup);

#endif
