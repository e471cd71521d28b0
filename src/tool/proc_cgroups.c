/* SPDX-License-Identifier: MIT
 *
 * How full the memory cgroups of processes are; see proc_cgroups.h.
 */
#include "tool/proc_cgroups.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probe/file.h"
#include "probe/proc.h"

/* "No limit" of version 1 is LONG_MAX rounded down to a page, of 64 KiB at most. */
#define V1_NO_LIMIT UINT64_C(0x7fffffffffff0000)

void ebb__proc_cgroups_init(struct ebb_proc_cgroups *cgroups, const char *root)
{
    memset(cgroups, 0, sizeof(*cgroups));
    cgroups->root = root;
    cgroups->err = ebb__cgroup_tree_read(root, &cgroups->tree);
    if (cgroups->err == 0 && cgroups->tree.version == 0)
        cgroups->err = -ENODEV;
}

static void free_cgroup(struct ebb_proc_cgroup *cgroup)
{
    free(cgroup->path);
    free(cgroup->level);
    free(cgroup);
}

void ebb__proc_cgroups_fini(struct ebb_proc_cgroups *cgroups)
{
    while (cgroups->newest != NULL) {
        struct ebb_proc_cgroup *cgroup = cgroups->newest;

        cgroups->newest = cgroup->next;
        free_cgroup(cgroup);
    }
}

static struct ebb_fact number(const struct ebb_proc_cgroups *cgroups, const char *path, const char *file)
{
    char whole[EBB_PROC_PATH_BYTES];
    int err = ebb__cgroup_file(&cgroups->tree, path, file, whole, sizeof(whole));

    return err == 0 ? ebb__file_number(cgroups->root, whole) : ebb__fact_unknown(err);
}

/* Takes a level when its limit is nearer than that of the levels below it. -ENOMEM, or 0. */
static int take_level(const struct ebb_proc_cgroups *cgroups, const char *path,
                      struct ebb_proc_cgroup *cgroup)
{
    bool old = cgroups->tree.version == 1;
    struct ebb_fact limit = number(cgroups, path, old ? "memory.limit_in_bytes" : "memory.max");
    struct ebb_fact usage;
    char *level;

    if (!limit.known || limit.value == 0 || limit.value >= (old ? V1_NO_LIMIT : UINT64_MAX))
        return 0;
    usage = number(cgroups, path, old ? "memory.usage_in_bytes" : "memory.current");
    if (!usage.known)
        return 0;
    /* Fractions are compared as real numbers: their products do not fit 64 bits. */
    if (cgroup->known && (double)usage.value / (double)limit.value <=
                             (double)cgroup->usage_bytes / (double)cgroup->limit_bytes)
        return 0;
    level = strdup(path);
    if (level == NULL)
        return -ENOMEM;
    free(cgroup->level);
    cgroup->level = level;
    cgroup->known = true;
    cgroup->usage_bytes = usage.value;
    cgroup->limit_bytes = limit.value;
    return 0;
}

static int make_cgroup(const struct ebb_proc_cgroups *cgroups, const char *path,
                       struct ebb_proc_cgroup **ret_cgroup)
{
    char level[EBB_CGROUP_PATH_BYTES];
    struct ebb_proc_cgroup *cgroup = calloc(1, sizeof(*cgroup));
    int err = 0;

    if (cgroup == NULL)
        return -ENOMEM;
    cgroup->path = strdup(path);
    if (cgroup->path == NULL)
        err = -ENOMEM;
    memcpy(level, path, strlen(path) + 1);
    do {
        if (err == 0)
            err = take_level(cgroups, level, cgroup);
    } while (err == 0 && ebb__cgroup_parent(level));
    if (err != 0) {
        free_cgroup(cgroup);
        return err;
    }
    if (!cgroup->known)
        cgroup->why = "neither its memory cgroup nor one above it has a limit";
    *ret_cgroup = cgroup;
    return 0;
}

int ebb__proc_cgroups_of(struct ebb_proc_cgroups *cgroups, pid_t pid,
                         const struct ebb_proc_cgroup **ret_cgroup)
{
    char path[EBB_CGROUP_PATH_BYTES];
    struct ebb_proc_cgroup *cgroup;
    int err = cgroups->err;

    if (err == 0)
        err = ebb__cgroup_path_read(cgroups->root, pid, &cgroups->tree, path, sizeof(path));
    if (err != 0)
        return err;
    /* Neighbours in the list of processes are often neighbours in the tree: the newest first. */
    for (cgroup = cgroups->newest; cgroup != NULL; cgroup = cgroup->next)
        if (strcmp(cgroup->path, path) == 0) {
            *ret_cgroup = cgroup;
            return 0;
        }
    err = make_cgroup(cgroups, path, &cgroup);
    if (err != 0)
        return err;
    cgroup->next = cgroups->newest;
    cgroups->newest = cgroup;
    *ret_cgroup = cgroup;
    return 0;
}
