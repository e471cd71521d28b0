/* SPDX-License-Identifier: MIT
 *
 * Looks at the host for ebb vm; see vm.h.
 */
#include <string.h>
#include <time.h>

#include "tool/cmd.h"
#include "tool/target.h"
#include "tool/vm.h"

static int find_cgroup(struct ebb_vm_source *source, const char *text)
{
    int status = ebb__target_find_cgroup("vm", source->root, text, &source->tree, source->levels[0]);

    if (status != EBB_EXIT_OK)
        return status;
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
