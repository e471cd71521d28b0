/* SPDX-License-Identifier: MIT
 *
 * What ebb doctor sees grow: glances at the host and at cgroups with a limit while it waits between its two looks; see doctor.h.
 *
 * A glance is cheap: /proc/meminfo, and a few files of each cgroup above a process. What is watched is what reclaim cannot take back: of the
 * host all that is not available, of a cgroup its usage without file pages.
 */
#include <string.h>
#include <time.h>

#include "tool/doctor.h"

/* Nearer to each other, glances see the same. */
#define GLANCE_MS 25

static void add(struct ebb_doctor_growth *growth, uint64_t bytes, struct ebb_fact held)
{
    if (growth->count == EBB_FORECAST_LOOKS_MAX)
        return;
    growth->looks[growth->count++] =
        (struct ebb_forecast_look){.at_ms = ebb__doctor_now_ms(), .bytes = bytes};
    if (growth->count == 1)
        growth->first_held = held;
    growth->last_held = held;
}

static void glance_at_host(struct ebb_doctor_run *run)
{
    struct ebb_meminfo memory;
    uint64_t swap;

    if (ebb__meminfo_read(run->root, &memory) != 0 || !memory.mem_total_bytes.known ||
        !memory.mem_available_bytes.known || memory.mem_available_bytes.value > memory.mem_total_bytes.value)
        return;
    swap = ebb__fact_or(memory.swap_total_bytes, 0) - ebb__fact_or(memory.swap_free_bytes, 0);
    add(&run->growth, memory.mem_total_bytes.value - memory.mem_available_bytes.value + swap,
        ebb__doctor_held(memory.anon_pages_bytes, memory.shmem_bytes, ebb__fact(swap)));
}

static void glance_at_group(const struct ebb_cgroup *group, struct ebb_doctor_growth *growth)
{
    uint64_t file = ebb__fact_or(group->inactive_file_bytes, 0) + ebb__fact_or(group->active_file_bytes, 0);

    if (!group->limit_bytes.known || group->limit_bytes.value == UINT64_MAX || !group->usage_bytes.known)
        return;
    add(growth,
        group->usage_bytes.value - (file < group->usage_bytes.value ? file : group->usage_bytes.value) +
            ebb__fact_or(group->swap_bytes, 0),
        ebb__doctor_held(group->anon_bytes, group->shmem_bytes, group->swap_bytes));
}

static void glance_at_groups(const struct ebb_doctor_run *run, pid_t pid, struct ebb_doctor_first *first)
{
    static char path[EBB_CGROUP_PATH_BYTES];

    if (!run->has_tree || ebb__cgroup_path_read(run->root, pid, &run->tree, path, sizeof(path)) != 0)
        return;
    do {
        struct ebb_cgroup group;

        for (unsigned i = 0; i < first->level_count; i++)
            if (first->levels[i].path_len == strlen(path) &&
                ebb__cgroup_read(run->root, &run->tree, path, &group) == 0)
                glance_at_group(&group, &first->levels[i].growth);
    } while (ebb__cgroup_parent(path));
}

static void glance(struct ebb_doctor_run *run, const struct ebb_target *targets,
                   struct ebb_doctor_first *firsts, unsigned count)
{
    glance_at_host(run);
    for (unsigned i = 0; i < count; i++)
        glance_at_groups(run, targets[i].pid, &firsts[i]);
}

static void pause_ms(uint64_t ms)
{
    const struct timespec pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&pause, NULL);
}

void ebb__doctor_watch(struct ebb_doctor_run *run, const struct ebb_target *targets,
                       struct ebb_doctor_first *firsts, unsigned count, uint64_t between_ms)
{
    uint64_t steps = between_ms / GLANCE_MS;
    uint64_t end = ebb__doctor_now_ms() + between_ms;

    if (steps > EBB_FORECAST_LOOKS_MAX - 1)
        steps = EBB_FORECAST_LOOKS_MAX - 1;
    glance(run, targets, firsts, count);
    for (uint64_t left = steps == 0 ? 1 : steps; left > 0; left--) {
        uint64_t now = ebb__doctor_now_ms();

        /* Glances take time of their own: what remains is shared anew. */
        if (now < end)
            pause_ms((end - now) / left);
        glance(run, targets, firsts, count);
    }
}

void ebb__doctor_growth_tell(const struct ebb_doctor_growth *growth, struct ebb_doctor_scope *scope)
{
    if (!ebb__forecast(growth->looks, growth->count, &scope->growth))
        return;
    if (growth->first_held.known && growth->last_held.known)
        scope->held_rise = ebb__fact(growth->last_held.value > growth->first_held.value
                                         ? growth->last_held.value - growth->first_held.value
                                         : 0);
}
