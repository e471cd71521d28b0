/* SPDX-License-Identifier: MIT
 *
 * Looks at the host for ebb vm; see vm.h.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tool/cmd.h"
#include "tool/target.h"
#include "tool/vm.h"

static int fail(const char *cgroup, const char *why, int status)
{
    fprintf(stderr, "ebb vm: --cgroup %s: %s\n", cgroup, why);
    return status;
}

/* Why a process's cgroup, or the cgroup itself, cannot be looked at. */
static int fail_err(const char *cgroup, int err)
{
    if (err == -EXDEV)
        return fail(cgroup, "its memory cgroup lies outside of what is mounted here", EBB_EXIT_FAILED);
    if (err == -ENOENT)
        return fail(cgroup, "there is no such memory cgroup", EBB_EXIT_NO_TARGET);
    return fail(cgroup, strerror(-err), EBB_EXIT_FAILED);
}

/* Writes the path of the cgroup that the text names: "/path", "cgroup:/path", or a process. */
static int find_path(struct ebb_vm_source *source, const char *text)
{
    static const char PREFIX[] = "cgroup:";
    const char *path = strncmp(text, PREFIX, strlen(PREFIX)) == 0 ? text + strlen(PREFIX) : text;
    struct ebb_target target;
    size_t len;
    int status;
    int err;

    if (path != text || *text == '/') {
        len = strlen(path);
        while (len > 1 && path[len - 1] == '/')
            len--;
        if (*path != '/' || len >= EBB_CGROUP_PATH_BYTES)
            return fail(text, "a path of a cgroup begins with '/', the top of the tree", EBB_EXIT_USAGE);
        snprintf(source->levels[0], EBB_CGROUP_PATH_BYTES, "%.*s", (int)len, path);
        return EBB_EXIT_OK;
    }
    status = ebb__target_find("vm", source->root, text, &target);
    if (status != EBB_EXIT_OK)
        return status;
    err = ebb__cgroup_path_read(source->root, target.pid, &source->tree, source->levels[0],
                                EBB_CGROUP_PATH_BYTES);
    return err == 0 ? EBB_EXIT_OK : fail_err(text, err);
}

static int find_cgroup(struct ebb_vm_source *source, const char *text)
{
    struct ebb_cgroup cgroup;
    int status;
    int err = ebb__cgroup_tree_read(source->root, &source->tree);

    if (err != 0)
        return fail(text, strerror(-err), EBB_EXIT_FAILED);
    if (source->tree.version == 0)
        return fail(text, "no memory controller is mounted on this host", EBB_EXIT_FAILED);
    status = find_path(source, text);
    if (status != EBB_EXIT_OK)
        return status;
    err = ebb__cgroup_read(source->root, &source->tree, source->levels[0], &cgroup);
    if (err != 0)
        return fail_err(text, err);
    source->has_cgroup = true;
    source->level_count = 1;
    while (source->level_count < EBB_VM_LEVELS_MAX) {
        char *level = source->levels[source->level_count];

        memcpy(level, source->levels[source->level_count - 1], EBB_CGROUP_PATH_BYTES);
        if (!ebb__cgroup_parent(level))
            break;
        source->level_count++;
    }
    return EBB_EXIT_OK;
}

int ebb__vm_source_init(struct ebb_vm_source *source, const char *root, const char *cgroup)
{
    memset(source, 0, sizeof(*source));
    source->root = root;
    ebb__host_read(root, &source->host);
    return cgroup == NULL ? EBB_EXIT_OK : find_cgroup(source, cgroup);
}

static void look_at_cgroup(const struct ebb_vm_source *source, struct ebb_vm_look *look)
{
    char path[EBB_PROC_PATH_BYTES];

    for (unsigned i = 0; i < source->level_count; i++) {
        int err = ebb__cgroup_read(source->root, &source->tree, source->levels[i], &look->levels[i]);

        /* It may have been removed since: what is zero is unknown, for no reason. */
        if (err != 0)
            memset(&look->levels[i], 0, sizeof(look->levels[i]));
    }
    if (ebb__cgroup_file(&source->tree, source->levels[0], "memory.pressure", path, sizeof(path)) == 0)
        ebb__pressure_read(source->root, path, &look->cgroup_pressure);
    ebb__free_of_cgroup(look->levels, source->level_count, &look->free, &look->cgroup_free);
}

void ebb__vm_look(const struct ebb_vm_source *source, struct ebb_vm_look *ret_look)
{
    struct timespec now;

    memset(ret_look, 0, sizeof(*ret_look));
    clock_gettime(CLOCK_MONOTONIC, &now);
    ret_look->at_ns = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
    ebb__cpu_stat_read(source->root, &ret_look->cpu);
    ebb__meminfo_read(source->root, &ret_look->info);
    ebb__vmstat_read(source->root, &ret_look->vm);
    ebb__load_read(source->root, &ret_look->load);
    ebb__pressure_read(source->root, "/proc/pressure/memory", &ret_look->memory_pressure);
    ebb__pressure_read(source->root, "/proc/pressure/io", &ret_look->io_pressure);
    ebb__pressure_read(source->root, "/proc/pressure/cpu", &ret_look->cpu_pressure);
    ebb__free_of_host(&ret_look->info, &ret_look->free);
    if (source->has_cgroup)
        look_at_cgroup(source, ret_look);
}

void ebb__vm_span_init(struct ebb_vm_span *span, const char *name, const struct ebb_vm_look *before,
                       const struct ebb_vm_look *after)
{
    span->name = name;
    span->before = before;
    span->after = after;
    span->length_ms =
        before == NULL ? after->load.uptime_ms : ebb__fact((after->at_ns - before->at_ns + 500000) / 1000000);
}

struct ebb_cell ebb__vm_per_second(const struct ebb_vm_span *span, struct ebb_fact rise, double factor)
{
    if (!rise.known)
        return ebb__cell_fact(rise);
    if (!span->length_ms.known)
        return ebb__cell_fact(span->length_ms);
    if (span->length_ms.value == 0)
        return ebb__cell_unknown("no time has passed");
    return ebb__cell_real((double)rise.value * factor * 1000 / (double)span->length_ms.value);
}

struct ebb_fact ebb__vm_rise(const struct ebb_vm_span *span, size_t at)
{
    const char *after = (const char *)&span->after->vm + at;
    const char *before;

    if (span->before == NULL)
        return *(const struct ebb_fact *)(const void *)after;
    before = (const char *)&span->before->vm + at;
    return ebb__rates_rise(*(const struct ebb_fact *)(const void *)before,
                           *(const struct ebb_fact *)(const void *)after);
}

struct ebb_share ebb__vm_stall(const struct ebb_vm_span *span, struct ebb_fact before_us,
                               struct ebb_fact after_us)
{
    struct ebb_fact rise = span->before == NULL ? after_us : ebb__rates_rise(before_us, after_us);
    struct ebb_fact length_us = span->length_ms;

    length_us.value *= 1000;
    return ebb__rates_share(rise, length_us, "no time has passed");
}
