/* SPDX-License-Identifier: MIT
 *
 * The processes that `unit:NAME` and `cgroup:PATH` stand for; see target_group.h.
 */
#include "tool/target_group.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/cmd.h"
#include "tool/target.h"

/* Of processes or cgroups that a message lists. */
#define LISTED_MAX 5

/* A chain of parents is no longer than this; a captured tree may hold one that has no end. */
#define CHAIN_MAX 4096

static const char UNIT[] = "unit:";
static const char CGROUP[] = "cgroup:";

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool ebb__target_is_group(const char *text)
{
    return begins_with(text, UNIT) || begins_with(text, CGROUP);
}

static int fail(const char *command, const char *text, const char *why, int status)
{
    fprintf(stderr, "ebb %s: %s: %s\n", command, text, why);
    return status;
}

/* ---- who is in it ---- */

static int add(struct ebb_target_group *group, const struct ebb_stat *stat, const char *unit_path)
{
    struct ebb_target_member *member;

    if (group->count == group->room) {
        size_t room = group->room == 0 ? 64 : group->room * 2;
        struct ebb_target_member *larger = reallocarray(group->members, room, sizeof(*larger));

        if (larger == NULL)
            return -ENOMEM;
        group->members = larger;
        group->room = room;
    }
    member = &group->members[group->count];
    *member = (struct ebb_target_member){.pid = stat->pid, .parent = stat->ppid};
    if (unit_path != NULL && (member->unit_path = strdup(unit_path)) == NULL)
        return -ENOMEM;
    group->count++;
    return 0;
}

/* Adds the process when it is in the group. */
static int consider(struct ebb_target_group *group, pid_t pid)
{
    char path[EBB_CGROUP_PATH_BYTES];
    struct ebb_stat stat;
    bool of_unit = group->unit[0] != '\0';
    int err = of_unit ? ebb__unit_path_read(group->root, pid, group->unit, path, sizeof(path))
                      : ebb__cgroup_path_read(group->root, pid, &group->tree, path, sizeof(path));

    if (err == 0 && !of_unit && !ebb__cgroup_is_below(path, group->path))
        return 0;
    if (err == 0)
        err = ebb__stat_read(group->root, pid, &stat);
    group->hidden += err == -EACCES || err == -EPERM;
    if (err != 0 || (stat.flags & EBB_STAT_KTHREAD) != 0 || strchr("ZX", stat.state) != NULL)
        return 0;
    stat.pid = pid; /* whatever a captured file says */
    return add(group, &stat, of_unit ? path : NULL);
}

static int compare(const void *a, const void *b)
{
    const struct ebb_target_member *x = a;
    const struct ebb_target_member *y = b;

    return (x->pid > y->pid) - (x->pid < y->pid);
}

static int collect(struct ebb_target_group *group)
{
    struct ebb_procs procs;
    pid_t pid;
    int err = ebb__procs_open(&procs, group->root);

    if (err == 0) {
        while (err == 0 && (pid = ebb__procs_next(&procs)) != 0)
            err = consider(group, pid);
        ebb__procs_close(&procs);
    }
    if (err != 0) {
        fprintf(stderr, "ebb %s: cannot look for the processes of %s: %s\n", group->command, group->text,
                strerror(-err));
        return EBB_EXIT_FAILED;
    }
    if (group->count > 1)
        qsort(group->members, group->count, sizeof(*group->members), compare);
    return EBB_EXIT_OK;
}

static int report_nobody(const struct ebb_target_group *group)
{
    bool of_unit = group->unit[0] != '\0';

    fprintf(stderr, "ebb %s: the %s %s has no process", group->command, of_unit ? "unit" : "cgroup",
            of_unit ? group->unit : group->path);
    if (group->hidden != 0)
        fprintf(stderr, " that we may see; %zu hide their cgroups: try it with sudo", group->hidden);
    fputc('\n', stderr);
    return EBB_EXIT_NO_TARGET;
}

/* ---- units ---- */

/* Several units may have one name: of the host, of users' managers, of containers. The host's is meant; when it has none, the only
 * one. */
static int choose_unit(struct ebb_target_group *group)
{
    const char *paths[LISTED_MAX] = {group->members[0].unit_path};
    bool hosts = false;
    size_t different = 0;
    size_t kept = 0;

    for (size_t i = 0; i < group->count; i++)
        hosts |= ebb__unit_is_hosts(group->members[i].unit_path);
    for (size_t i = 0; i < group->count; i++) {
        const char *path = group->members[i].unit_path;
        bool is_new = ebb__unit_is_hosts(path) == hosts;

        for (size_t j = 0; j < i && is_new; j++)
            is_new = strcmp(group->members[j].unit_path, path) != 0;
        if (is_new && different < LISTED_MAX)
            paths[different] = path;
        different += is_new;
    }
    if (different > 1) {
        fprintf(stderr,
                "ebb %s: %zu cgroups belong to units named %s; name one as cgroup:PATH, or a process:",
                group->command, different, group->unit);
        for (size_t i = 0; i < different && i < LISTED_MAX; i++) {
            fputs(i == 0 ? " " : ", ", stderr);
            ebb__target_print(paths[i]);
        }
        if (different > LISTED_MAX)
            fprintf(stderr, ", and %zu more", different - LISTED_MAX);
        fputc('\n', stderr);
        return EBB_EXIT_FAILED;
    }
    memcpy(group->path, paths[0], strlen(paths[0]) + 1);
    for (size_t i = 0; i < group->count; i++) {
        struct ebb_target_member member = group->members[i];

        if (strcmp(member.unit_path, group->path) == 0)
            group->members[kept++] = member;
        else
            free(member.unit_path);
    }
    group->count = kept;
    return EBB_EXIT_OK;
}

int ebb__target_group_tree(const char *command, const char *root, const char *text,
                           struct ebb_cgroup_tree *ret_tree)
{
    int err = ebb__cgroup_tree_read(root, ret_tree);

    if (err != 0)
        return fail(command, text, strerror(-err), EBB_EXIT_FAILED);
    if (ret_tree->version == 0)
        return fail(command, text, "no memory controller is mounted on this host", EBB_EXIT_FAILED);
    return EBB_EXIT_OK;
}

/* Writes a path without "//", "/./" and a '/' at its end. False when it is too long, or would leave what it names by "..". */
static bool normalise(const char *path, char ret_path[EBB_CGROUP_PATH_BYTES])
{
    size_t len = 0;

    while (*(path += strspn(path, "/")) != '\0') {
        size_t part = strcspn(path, "/");

        if (part == 2 && memcmp(path, "..", 2) == 0)
            return false;
        if (part != 1 || *path != '.') {
            if (len + 1 + part >= EBB_CGROUP_PATH_BYTES)
                return false;
            ret_path[len] = '/';
            memcpy(ret_path + len + 1, path, part);
            len += 1 + part;
        }
        path += part;
    }
    if (len == 0)
        ret_path[len++] = '/';
    ret_path[len] = '\0';
    return true;
}

int ebb__target_group_path(const char *command, const char *root, const char *text,
                           const struct ebb_cgroup_tree *tree, char ret_path[EBB_CGROUP_PATH_BYTES])
{
    const char *path = begins_with(text, CGROUP) ? text + strlen(CGROUP) : text;
    int err;

    if (*path != '/')
        return fail(command, text, "a path of a cgroup begins with '/', the top of the tree", EBB_EXIT_USAGE);
    if (!normalise(path, ret_path))
        return fail(command, text, "a path of a cgroup has no '..', and 4095 bytes at most", EBB_EXIT_USAGE);
    err = ebb__cgroup_check(root, tree, ret_path);
    if (err == -ENOENT)
        return fail(command, text, "there is no such memory cgroup", EBB_EXIT_NO_TARGET);
    return err == 0 ? EBB_EXIT_OK : fail(command, text, strerror(-err), EBB_EXIT_FAILED);
}

/* Shortens a path to what it has in common with another. */
static void keep_common(char *path, const char *other)
{
    while (!ebb__cgroup_is_below(other, path))
        ebb__cgroup_parent(path);
}

int ebb__target_group_of_unit(const struct ebb_target_group *group, const struct ebb_cgroup_tree *tree,
                              char ret_path[EBB_CGROUP_PATH_BYTES])
{
    char path[EBB_CGROUP_PATH_BYTES];
    bool any = false;
    int last = -ESRCH;

    for (size_t i = 0; i < group->count; i++) {
        size_t len;
        int err =
            ebb__cgroup_path_read(group->root, group->members[i].pid, tree, path, EBB_CGROUP_PATH_BYTES);

        if (err != 0) {
            last = err;
            continue;
        }
        len = ebb__unit_in_path(path, strlen(path), group->unit);
        if (len != 0)
            path[len] = '\0';
        if (any)
            keep_common(ret_path, path);
        else
            memcpy(ret_path, path, strlen(path) + 1);
        any = true;
    }
    if (any)
        return EBB_EXIT_OK;
    if (last == -ESRCH)
        return fail(group->command, group->text, "its processes have ended", EBB_EXIT_NO_TARGET);
    return fail(group->command, group->text,
                last == -EXDEV ? "its memory cgroup lies outside of what is mounted here" : strerror(-last),
                EBB_EXIT_FAILED);
}

/* ---- both ---- */

static int find(struct ebb_target_group *group)
{
    int status;

    if (begins_with(group->text, UNIT)) {
        if (!ebb__unit_name(group->text + strlen(UNIT), group->unit))
            return fail(group->command, group->text, "that is not the name of a unit", EBB_EXIT_USAGE);
        status = collect(group);
        if (status == EBB_EXIT_OK && group->count != 0)
            status = choose_unit(group);
    } else {
        status = ebb__target_group_tree(group->command, group->root, group->text, &group->tree);
        if (status == EBB_EXIT_OK)
            status =
                ebb__target_group_path(group->command, group->root, group->text, &group->tree, group->path);
        if (status == EBB_EXIT_OK)
            status = collect(group);
    }
    return status == EBB_EXIT_OK && group->count == 0 ? report_nobody(group) : status;
}

int ebb__target_group_find(const char *command, const char *root, const char *text,
                           struct ebb_target_group *ret_group)
{
    int status;

    memset(ret_group, 0, sizeof(*ret_group));
    ret_group->command = command;
    ret_group->root = root;
    ret_group->text = text;
    status = find(ret_group);
    if (status != EBB_EXIT_OK)
        ebb__target_group_fini(ret_group);
    return status;
}

void ebb__target_group_fini(struct ebb_target_group *group)
{
    for (size_t i = 0; i < group->count; i++)
        free(group->members[i].unit_path);
    free(group->members);
    group->members = NULL;
    group->count = 0;
}

/* ---- who comes first ---- */

/* True when one of its parents is in the group too, however far up. */
static bool has_ancestor(const struct ebb_target_group *group, const struct ebb_target_member *member)
{
    struct ebb_target_member key = {.pid = member->parent};

    for (unsigned i = 0; i < CHAIN_MAX && key.pid > 0 && key.pid != member->pid; i++) {
        struct ebb_stat stat;

        if (bsearch(&key, group->members, group->count, sizeof(key), compare) != NULL)
            return true;
        if (ebb__stat_read(group->root, key.pid, &stat) != 0)
            return false;
        key.pid = stat.ppid;
    }
    return false;
}

int ebb__target_group_main(const struct ebb_target_group *group, pid_t *ret_pid)
{
    pid_t firsts[LISTED_MAX];
    size_t count = 0;

    for (size_t i = 0; i < group->count; i++) {
        if (has_ancestor(group, &group->members[i]))
            continue;
        if (count < LISTED_MAX)
            firsts[count] = group->members[i].pid;
        count++;
    }
    if (count == 1) {
        *ret_pid = firsts[0];
        return EBB_EXIT_OK;
    }
    if (count == 0)
        return fail(group->command, group->text, "its processes are each other's parents: name one of them",
                    EBB_EXIT_FAILED);
    fprintf(stderr, "ebb %s: %s: none of its %zu processes is the ancestor of all others; name one of these:",
            group->command, group->text, group->count);
    for (size_t i = 0; i < count && i < LISTED_MAX; i++) {
        char name[EBB_STATUS_NAME_BYTES];

        ebb__target_name(group->root, firsts[i], name, sizeof(name));
        fprintf(stderr, "%s %d (%s)", i == 0 ? "" : ",", (int)firsts[i], name);
    }
    if (count > LISTED_MAX)
        fprintf(stderr, ", and %zu more", count - LISTED_MAX);
    fputc('\n', stderr);
    return EBB_EXIT_FAILED;
}
