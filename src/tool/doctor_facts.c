/* SPDX-License-Identifier: MIT
 *
 * What ebb doctor reads of a host, and of the scopes within which memory can run out; see doctor.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool/doctor.h"

uint64_t ebb__doctor_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void ebb__doctor_first_look(struct ebb_doctor_run *run)
{
    run->live = ebb__host_is_live(run->root);
    run->has_tree = ebb__cgroup_tree_read(run->root, &run->tree) == 0 && run->tree.version != 0;
    run->has_before = run->live && ebb__vmstat_read(run->root, &run->before) == 0;
    run->before_ms = ebb__doctor_now_ms();
}

/* ---- the host ---- */

static void read_sysctls(const char *root, struct ebb_doctor_host *host)
{
    const struct {
        const char *path;
        struct ebb_fact *fact;
    } rows[] = {
        {"/proc/sys/vm/swappiness", &host->swappiness},
        {"/proc/sys/vm/overcommit_memory", &host->overcommit},
        {"/proc/sys/vm/panic_on_oom", &host->panic_on_oom},
        {"/proc/sys/vm/zone_reclaim_mode", &host->zone_reclaim_mode},
        {"/proc/sys/vm/max_map_count", &host->max_map_count},
        {"/proc/sys/vm/watermark_scale_factor", &host->watermark_scale_factor},
        {"/proc/sys/vm/dirty_ratio", &host->dirty_ratio},
        {"/proc/sys/vm/dirty_bytes", &host->dirty_bytes},
        {"/proc/sys/vm/dirty_background_ratio", &host->dirty_background_ratio},
        {"/proc/sys/vm/dirty_background_bytes", &host->dirty_background_bytes},
        {"/proc/sys/vm/nr_hugepages", &host->nr_hugepages},
        {"/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", &host->thp_page_bytes},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        *rows[i].fact = ebb__file_number(root, rows[i].path);
}

/* "always [madvise] never" */
static struct ebb_fact read_thp(const char *root)
{
    static const char *const WORDS[] = {
        [EBB_THP_NEVER] = "[never]", [EBB_THP_MADVISE] = "[madvise]", [EBB_THP_ALWAYS] = "[always]"};
    char text[128];
    size_t len;
    int err = ebb__file_read(root, "/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof(text), &len);

    if (err != 0)
        return ebb__fact_unknown(err);
    for (unsigned i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++)
        if (memmem(text, len, WORDS[i], strlen(WORDS[i])) != NULL)
            return ebb__fact(i);
    return ebb__fact_unknown(-EBADMSG);
}

/* "Node 0 MemFree:   123 kB" */
static uint64_t node_bytes(const char *text, size_t len, const char *key)
{
    const char *found = memmem(text, len, key, strlen(key));
    struct ebb_scan scan = {.at = found == NULL ? text + len : found + strlen(key), .end = text + len};
    uint64_t kib;

    ebb__scan_blanks(&scan);
    return ebb__scan_dec(&scan, &kib) && kib <= UINT64_MAX >> 10 ? kib << 10 : 0;
}

static void read_nodes(const char *root, struct ebb_doctor_host *host)
{
    for (unsigned i = 0; i < EBB_DOCTOR_NODES_MAX; i++) {
        static char text[8192];
        char path[64];
        size_t len;

        snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/meminfo", i);
        if (ebb__file_read(root, path, text, sizeof(text), &len) != 0)
            continue;
        host->nodes[host->node_count++] = (struct ebb_doctor_node){
            .number = i,
            .total_bytes = node_bytes(text, len, " MemTotal:"),
            .free_bytes = node_bytes(text, len, " MemFree:"),
        };
    }
}

static void read_rates(struct ebb_doctor_run *run)
{
    struct ebb_doctor_host *host = &run->host;
    const struct ebb_vmstat *before = run->has_before ? &run->before : NULL;
    struct ebb_load load;

    host->since_boot = before == NULL;
    ebb__rates_reclaim(before, &host->vm, &host->reclaim);
    if (before == NULL) {
        ebb__load_read(run->root, &load);
        host->span_ms = load.uptime_ms;
        host->hurries = host->vm.kswapd_low_wmark_hit_quickly;
        host->refault_anon = host->vm.workingset_refault_anon;
        return;
    }
    host->span_ms = ebb__fact(run->after_ms - run->before_ms);
    host->hurries =
        ebb__rates_rise(before->kswapd_low_wmark_hit_quickly, host->vm.kswapd_low_wmark_hit_quickly);
    host->refault_anon = ebb__rates_rise(before->workingset_refault_anon, host->vm.workingset_refault_anon);
}

int ebb__doctor_second_look(struct ebb_doctor_run *run)
{
    struct ebb_doctor_host *host = &run->host;
    int err;

    memset(host, 0, sizeof(*host));
    run->after_ms = ebb__doctor_now_ms();
    ebb__vmstat_read(run->root, &host->vm);
    read_rates(run);
    ebb__pressure_read(run->root, "/proc/pressure/memory", &host->pressure);
    read_sysctls(run->root, host);
    host->thp = read_thp(run->root);
    read_nodes(run->root, host);
    err = ebb__oom_facts_collect(&run->oom, run->root);
    if (err != 0)
        return err;
    host->memory = run->oom.memory;
    host->page_bytes = run->oom.host.page_bytes;
    host->processors = run->oom.host.processors;
    host->cgroup_version = run->has_tree ? (unsigned)run->tree.version : 0;
    ebb__doctor_beside(run, host);
    return 0;
}

void ebb__doctor_run_fini(struct ebb_doctor_run *run)
{
    ebb__oom_facts_fini(&run->oom);
}

/* ---- scopes ---- */

struct ebb_fact ebb__doctor_held(struct ebb_fact anon, struct ebb_fact shared, struct ebb_fact other)
{
    return anon.known ? ebb__fact(anon.value + ebb__fact_or(shared, 0) + ebb__fact_or(other, 0)) : anon;
}

static void fill_host(const struct ebb_doctor_run *run, struct ebb_doctor_scope *scope)
{
    const struct ebb_meminfo *memory = &run->host.memory;
    uint64_t swap = ebb__fact_or(memory->swap_total_bytes, 0);
    uint64_t free = ebb__fact_or(memory->swap_free_bytes, swap);

    scope->is_host = true;
    scope->swap_bytes = memory->swap_total_bytes;
    scope->held_bytes =
        ebb__doctor_held(memory->anon_pages_bytes, memory->shmem_bytes, memory->hugetlb_bytes);
    if (scope->held_bytes.known && swap > free)
        scope->held_bytes.value += swap - free;
    ebb__doctor_growth_tell(&run->growth, scope);
}

static void fill_group(const struct ebb_doctor_run *run, const struct ebb_oom_group *group,
                       const struct ebb_doctor_first *first, struct ebb_doctor_scope *scope)
{
    const struct ebb_cgroup *facts = &group->facts;
    char path[EBB_PROC_PATH_BYTES];
    size_t len = strlen(group->path);
    uint64_t swap = ebb__fact_or(run->host.memory.swap_total_bytes, 0);

    scope->held_bytes = ebb__doctor_held(facts->anon_bytes, facts->shmem_bytes, facts->swap_bytes);
    scope->swap_bytes = facts->swap_limit_bytes.known && facts->swap_limit_bytes.value < swap
                            ? facts->swap_limit_bytes
                            : run->host.memory.swap_total_bytes;
    scope->swappiness = facts->swappiness;
    scope->limit_hits = facts->limit_hits;
    scope->oom_kills = facts->oom_kills;
    scope->dirty_bytes = facts->dirty_bytes;
    scope->writeback_bytes = facts->writeback_bytes;
    for (unsigned i = 0; first != NULL && i < first->level_count; i++)
        if (first->levels[i].path_len == len) {
            scope->limit_hits_rise = ebb__rates_rise(first->levels[i].limit_hits, facts->limit_hits);
            scope->high_hits_rise = ebb__rates_rise(first->levels[i].high_hits, facts->high_hits);
            ebb__doctor_growth_tell(&first->levels[i].growth, scope);
        }
    if (ebb__cgroup_file(&run->tree, group->path, "memory.pressure", path, sizeof(path)) == 0)
        ebb__pressure_read(run->root, path, &scope->pressure);
}

/* Whom the kernel would kill there. */
static void fill_choice(const struct ebb_doctor_run *run, pid_t pid, const struct ebb_oom_scope *judged,
                        struct ebb_doctor_scope *scope)
{
    const struct ebb_oom_choice *choice = &judged->choice;

    scope->name = ebb__oom_scope_name(judged);
    scope->limit_bytes = judged->limit_bytes;
    scope->used_bytes = judged->used_bytes;
    scope->has_room = judged->has_room;
    scope->room = judged->room;
    scope->total_pages = judged->total_pages;
    scope->target_dies = choice->victim < judged->count && judged->tasks[choice->victim].pid == (int)pid;
    scope->has_second = choice->second < judged->count;
    if (!scope->has_second)
        return;
    scope->second_pid = judged->tasks[choice->second].pid;
    scope->second_name = run->oom.processes[judged->members[choice->second]].name;
    scope->second_bytes = run->oom.processes[judged->members[choice->second]].rss_bytes;
    scope->second_points = choice->second_points;
    scope->margin_bytes = choice->margin_pages * run->oom.page_bytes;
    scope->error_pages = choice->error_pages;
}

static int add_scope(const struct ebb_doctor_run *run, pid_t pid, const struct ebb_oom_group *group,
                     const struct ebb_doctor_first *first, struct ebb_doctor_facts *facts)
{
    struct ebb_doctor_scope *scope = &facts->scopes[facts->scope_count];
    struct ebb_oom_scope judged;
    int err = ebb__oom_scope_init(&run->oom, group, &judged);

    if (err != 0)
        return err;
    memset(scope, 0, sizeof(*scope));
    fill_choice(run, pid, &judged, scope);
    if (group == NULL)
        fill_host(run, scope);
    else
        fill_group(run, group, first, scope);
    ebb__oom_scope_fini(&judged);
    facts->scope_count++;
    return 0;
}

/* The cgroup with a limit that the process is in, with the longest path below `len`. */
static const struct ebb_oom_group *next_group(const struct ebb_doctor_run *run, size_t process, size_t len)
{
    const struct ebb_oom_group *found = NULL;

    for (size_t i = 0; i < run->oom.group_count; i++) {
        const struct ebb_oom_group *group = &run->oom.groups[i];

        if (ebb__oom_group_is_scope(group) && strlen(group->path) < len &&
            ebb__oom_is_in(&run->oom.processes[process], group->path) &&
            (found == NULL || strlen(group->path) > strlen(found->path)))
            found = group;
    }
    return found;
}

int ebb__doctor_scopes(const struct ebb_doctor_run *run, pid_t pid, const struct ebb_doctor_first *first,
                       struct ebb_doctor_facts *facts)
{
    size_t process = pid == 0 ? run->oom.count : ebb__oom_facts_find(&run->oom, pid);
    const struct ebb_oom_group *group;
    size_t len = SIZE_MAX;
    int err = 0;

    facts->scope_count = 0;
    while (err == 0 && process < run->oom.count && facts->scope_count < EBB_DOCTOR_SCOPES_MAX - 1 &&
           (group = next_group(run, process, len)) != NULL) {
        len = strlen(group->path);
        err = add_scope(run, pid, group, first, facts);
    }
    return err == 0 ? add_scope(run, pid, NULL, first, facts) : err;
}
