/* SPDX-License-Identifier: MIT
 *
 * The processes below a root directory; see procs.h.
 */
#include "probe/procs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "probe/proc.h"
#include "probe/scan.h"

static int open_path(struct ebb_procs *procs, const char *path)
{
    procs->dir = opendir(path);
    return procs->dir == NULL ? -errno : 0;
}

int ebb__procs_open(struct ebb_procs *procs, const char *root)
{
    char path[EBB_PROC_PATH_BYTES];
    int len = snprintf(path, sizeof(path), "%s/proc", root);

    return (size_t)len >= sizeof(path) ? -ENAMETOOLONG : open_path(procs, path);
}

int ebb__procs_open_threads(struct ebb_procs *procs, const char *root, pid_t pid)
{
    char path[EBB_PROC_PATH_BYTES];
    int err = ebb__proc_path(root, pid, "task", path, sizeof(path));

    if (err == 0)
        err = open_path(procs, path);
    return err == -ENOENT ? -ESRCH : err;
}

void ebb__procs_close(struct ebb_procs *procs)
{
    closedir(procs->dir);
    procs->dir = NULL;
}

pid_t ebb__procs_next(struct ebb_procs *procs)
{
    const struct dirent *entry;

    while ((entry = readdir(procs->dir)) != NULL) {
        struct ebb_scan scan = {.at = entry->d_name, .end = entry->d_name + strlen(entry->d_name)};
        uint64_t pid;

        if (ebb__scan_dec(&scan, &pid) && scan.at == scan.end && pid != 0 && pid <= INT_MAX)
            return (pid_t)pid;
    }
    return 0;
}
