/* SPDX-License-Identifier: MIT
 *
 * Every process and every scope that `ebb oom` looks at; see oom_facts.h.
 */
#include "tool/oom_facts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How often a process is looked at again when its oom_score is not what we make it: its memory may have changed in between. */
#define LOOKS 4

/* ---- one process ---- */

int ebb__oom_adj_read(const char *root, pid_t pid, int *ret_adj)
{
    char text[32];
    size_t len = 0;
    uint64_t value;
    bool negative;
    int err = ebb__proc_read(root, pid, "oom_score_adj", text, sizeof(text), &len);
    struct ebb_scan scan = {.at = text, .end = text + len};

    if (err != 0)
        return err;
    negative = ebb__scan_char(&scan, '-');
    if (!ebb__scan_dec(&scan, &value) || value > EBB_OOM_ADJ_MAX)
        return -EBADMSG;
    *ret_adj = negative ? -(int)value : (int)value;
    return 0;
}

static struct ebb_fact read_score(const char *root, pid_t pid)
{
    char text[32];
    size_t len = 0;
    uint64_t value;
    int err = ebb__proc_read(root, pid, "oom_score", text, sizeof(text), &len);
    struct ebb_scan scan = {.at = text, .end = text + len};

    if (err != 0)
        return ebb__fact_unknown(err);
    return ebb__scan_dec(&scan, &value) ? ebb__fact(value) : ebb__fact_unknown(-EBADMSG);
}

/* What the points are made from. 0, or -errno. */
static int look(const struct ebb_oom_facts *facts, pid_t pid, struct ebb_oom_process *process,
                struct ebb_oom_task *task)
{
    struct ebb_status status;
    struct ebb_stat stat;
    int err = ebb__stat_read(facts->root, pid, &stat);

    if (err == 0)
        err = ebb__status_read(facts->root, pid, &status);
    if (err == 0)
        err = ebb__oom_adj_read(facts->root, pid, &task->adj);
    if (err != 0)
        return err;
    process->score = read_score(facts->root, pid);
    snprintf(process->name, sizeof(process->name), "%s",
             ebb__status_has(&status, EBB_STATUS_NAME) ? status.name : stat.name);
    task->pid = (int)pid;
    task->start = stat.start_ticks;
    /* Threads of the kernel, and processes that have given their memory back, have no such line. */
    task->exempt = (stat.flags & EBB_STAT_KTHREAD) != 0 || !ebb__status_has(&status, EBB_STATUS_VM_RSS);
    if (task->exempt)
        return 0;
    process->rss_bytes = status.vm_rss_bytes;
    process->hugetlb_bytes = ebb__status_has(&status, EBB_STATUS_HUGETLB) ? status.hugetlb_bytes : 0;
    task->rss_pages = status.vm_rss_bytes / facts->page_bytes;
    task->swap_pages =
        ebb__status_has(&status, EBB_STATUS_VM_SWAP) ? status.vm_swap_bytes / facts->page_bytes : 0;
    task->table_pages =
        ebb__status_has(&status, EBB_STATUS_VM_PTE) ? status.vm_pte_bytes / facts->page_bytes : 0;
    task->thread_count = ebb__status_has(&status, EBB_STATUS_THREADS) ? status.threads : 1;
    return 0;
}

static uint64_t host_pages(const struct ebb_oom_facts *facts)
{
    return ebb__oom_host_pages(ebb__fact_or(facts->memory.mem_total_bytes, 0),
                               ebb__fact_or(facts->memory.swap_total_bytes, 0), facts->page_bytes);
}

/* The kernel's own arithmetic on what it told us must give what it tells. */
static void check_score(struct ebb_oom_facts *facts, size_t index)
{
    struct ebb_oom_process *process = &facts->processes[index];
    struct ebb_oom_task *task = &facts->tasks[index];

    for (unsigned i = 0; i < LOOKS; i++) {
        uint64_t total = host_pages(facts);

        process->own_score =
            ebb__oom_score(ebb__oom_points(task, total, &facts->rules), total, &facts->rules);
        if (!process->score.known)
            return;
        if (process->score.value == process->own_score)
            break;
        if (i + 1 < LOOKS && facts->root[0] == '\0') {
            bool init = task->pid == 1 && !facts->contained;

            if (look(facts, task->pid, process, task) != 0)
                return;
            task->exempt |= init;
        }
    }
    facts->score_count++;
    facts->score_differs += process->score.value != process->own_score;
}

static void read_group_of(const struct ebb_oom_facts *facts, pid_t pid, struct ebb_oom_process *process)
{
    char path[EBB_CGROUP_PATH_BYTES];

    if (facts->tree.version != 0 &&
        ebb__cgroup_path_read(facts->root, pid, &facts->tree, path, sizeof(path)) == 0)
        process->cgroup = strdup(path);
}

/* ---- all of them ---- */

static int grow(void **array, size_t *capacity, size_t count, size_t item_bytes)
{
    size_t wanted = *capacity == 0 ? 256 : *capacity * 2;
    void *larger;

    if (count < *capacity)
        return 0;
    larger = reallocarray(*array, wanted, item_bytes);
    if (larger == NULL)
        return -ENOMEM;
    *array = larger;
    *capacity = wanted;
    return 0;
}

static int add_process(struct ebb_oom_facts *facts, pid_t pid)
{
    struct ebb_oom_process process = {.cgroup = NULL};
    struct ebb_oom_task task = {.pid = 0};
    size_t capacity = facts->capacity;
    void *processes = facts->processes;
    void *tasks = facts->tasks;
    int err = look(facts, pid, &process, &task);

    if (err == -ENOENT || err == -ESRCH)
        return 0; /* it has ended meanwhile */
    if (err != 0) {
        facts->unreadable++;
        return 0;
    }
    err = grow(&processes, &capacity, facts->count, sizeof(process));
    facts->processes = processes;
    if (err == 0) {
        err = grow(&tasks, &facts->capacity, facts->count, sizeof(task));
        facts->tasks = tasks;
    }
    if (err != 0)
        return err;
    if (!task.exempt)
        read_group_of(facts, pid, &process);
    facts->processes[facts->count] = process;
    facts->tasks[facts->count] = task;
    facts->count++;
    return 0;
}

static int collect_processes(struct ebb_oom_facts *facts)
{
    struct ebb_procs procs;
    pid_t pid;
    int err = ebb__procs_open(&procs, facts->root);

    if (err != 0)
        return err;
    facts->contained = true;
    while (err == 0 && (pid = ebb__procs_next(&procs)) != 0) {
        struct ebb_stat stat;

        if (facts->contained && ebb__stat_read(facts->root, pid, &stat) == 0 &&
            (stat.flags & EBB_STAT_KTHREAD) != 0)
            facts->contained = false;
        err = add_process(facts, pid);
    }
    ebb__procs_close(&procs);
    for (size_t i = 0; i < facts->count; i++) {
        /* Process 1 of a container is not spared. */
        if (facts->tasks[i].pid == 1 && !facts->contained)
            facts->tasks[i].exempt = true;
        check_score(facts, i);
    }
    return err;
}

static int add_group(const char *path, void *context)
{
    struct ebb_oom_facts *facts = context;
    struct ebb_oom_group group = {.path = NULL};
    void *groups = facts->groups;
    int err = ebb__cgroup_read(facts->root, &facts->tree, path, &group.facts);

    if (err != 0)
        return 0; /* it has been removed meanwhile */
    err = grow(&groups, &facts->group_capacity, facts->group_count, sizeof(group));
    facts->groups = groups;
    if (err == 0 && (group.path = strdup(path)) == NULL)
        err = -ENOMEM;
    if (err == 0)
        facts->groups[facts->group_count++] = group;
    return err;
}

int ebb__oom_facts_collect(struct ebb_oom_facts *ret_facts, const char *root)
{
    struct ebb_oom_facts *facts = ret_facts;
    int err;

    memset(facts, 0, sizeof(*facts));
    facts->root = root;
    ebb__host_read(root, &facts->host);
    /* A tree without a manifest most likely comes from a host with pages of 4 KiB; ebb oom says so. */
    facts->page_bytes = ebb__fact_or(facts->host.page_bytes, 4096);
    facts->rules.processors = ebb__fact_or(facts->host.processors, 1);
    if (facts->host.release[0] != '\0') {
        facts->rules.clamps = !ebb__host_kernel_is(&facts->host, 5, 9);
        facts->rules.thread_caches = !ebb__host_kernel_is(&facts->host, 6, 2);
        facts->rules.earlier_wins = !ebb__host_kernel_is(&facts->host, 5, 3);
    }
    err = ebb__meminfo_read(root, &facts->memory);
    if (err != 0) {
        facts->failed = "/proc/meminfo";
        return err;
    }
    facts->panic_on_oom = ebb__file_number(root, "/proc/sys/vm/panic_on_oom");
    facts->allocating_task = ebb__file_number(root, "/proc/sys/vm/oom_kill_allocating_task");
    facts->min_ttl_ms = ebb__file_number(root, "/sys/kernel/mm/lru_gen/min_ttl_ms");
    facts->tree_error = ebb__cgroup_tree_read(root, &facts->tree);
    if (facts->tree_error != 0)
        facts->tree.version = 0;
    err = collect_processes(facts);
    if (err == 0 && facts->tree.version != 0)
        facts->tree_error = ebb__cgroup_walk(root, &facts->tree, add_group, facts);
    if (err == 0 && facts->tree_error == -ENOMEM)
        err = -ENOMEM;
    if (err != 0) {
        ebb__oom_facts_fini(facts);
        facts->failed = "/proc";
    }
    return err;
}

void ebb__oom_facts_fini(struct ebb_oom_facts *facts)
{
    for (size_t i = 0; i < facts->count; i++)
        free(facts->processes[i].cgroup);
    for (size_t i = 0; i < facts->group_count; i++)
        free(facts->groups[i].path);
    free(facts->processes);
    free(facts->tasks);
    free(facts->groups);
    memset(facts, 0, sizeof(*facts));
}

size_t ebb__oom_facts_find(const struct ebb_oom_facts *facts, pid_t pid)
{
    size_t i = 0;

    while (i < facts->count && facts->tasks[i].pid != (int)pid)
        i++;
    return i;
}

struct ebb_oom_group *ebb__oom_facts_group(const struct ebb_oom_facts *facts, const char *path)
{
    for (size_t i = 0; i < facts->group_count; i++)
        if (strcmp(facts->groups[i].path, path) == 0)
            return &facts->groups[i];
    return NULL;
}

bool ebb__oom_is_in(const struct ebb_oom_process *process, const char *path)
{
    return process->cgroup != NULL && ebb__cgroup_is_below(process->cgroup, path);
}

/* ---- scopes ---- */

bool ebb__oom_group_is_scope(const struct ebb_oom_group *group)
{
    return group->facts.limit_bytes.known && group->facts.limit_bytes.value != UINT64_MAX;
}

const char *ebb__oom_scope_name(const struct ebb_oom_scope *scope)
{
    return scope->group == NULL ? "host" : scope->group->path;
}

static void size_host(const struct ebb_oom_facts *facts, struct ebb_oom_scope *scope)
{
    const struct ebb_meminfo *memory = &facts->memory;

    scope->total_pages = host_pages(facts);
    scope->limit_bytes = memory->mem_total_bytes;
    scope->used_bytes = ebb__fact_unknown(memory->mem_available_bytes.err);
    if (!memory->mem_total_bytes.known || !memory->mem_available_bytes.known || !memory->mem_free_bytes.known)
        return;
    scope->used_bytes = ebb__fact(memory->mem_total_bytes.value > memory->mem_available_bytes.value
                                      ? memory->mem_total_bytes.value - memory->mem_available_bytes.value
                                      : 0);
    scope->has_room = true;
    scope->room.hard_bytes = memory->mem_free_bytes.value;
    scope->room.likely_bytes = memory->mem_available_bytes.value;
    scope->room.possible_bytes = memory->mem_available_bytes.value + ebb__fact_or(memory->swap_free_bytes, 0);
}

static void size_group(const struct ebb_oom_facts *facts, struct ebb_oom_scope *scope)
{
    const struct ebb_cgroup *group = &scope->group->facts;
    uint64_t host_swap = ebb__fact_or(facts->memory.swap_total_bytes, 0);
    uint64_t swap_free = ebb__fact_or(facts->memory.swap_free_bytes, 0);
    uint64_t swap_limit = ebb__fact_or(group->swap_limit_bytes, UINT64_MAX);
    uint64_t swap_used = ebb__fact_or(group->swap_bytes, 0);
    uint64_t swap_left = swap_limit > swap_used ? swap_limit - swap_used : 0;
    bool swaps = group->version != 1 || ebb__fact_or(group->swappiness, 60) != 0;
    struct ebb_oom_usage usage;

    scope->limit_bytes = group->limit_bytes;
    scope->used_bytes = group->usage_bytes;
    scope->total_pages =
        ebb__oom_group_pages(group->limit_bytes.value, swap_limit, swaps, host_swap, facts->page_bytes);
    if (!group->usage_bytes.known)
        return;
    usage = (struct ebb_oom_usage){
        .limit_bytes = group->limit_bytes.value,
        .usage_bytes = group->usage_bytes.value,
        .inactive_file_bytes = ebb__fact_or(group->inactive_file_bytes, 0),
        .active_file_bytes = ebb__fact_or(group->active_file_bytes, 0),
        .slab_reclaimable_bytes = ebb__fact_or(group->slab_reclaimable_bytes, 0),
        .dirty_bytes = ebb__fact_or(group->dirty_bytes, 0),
        .writeback_bytes = ebb__fact_or(group->writeback_bytes, 0),
        .swap_free_bytes = !swaps                  ? 0
                           : swap_left < swap_free ? swap_left
                                                   : swap_free,
    };
    scope->has_room = true;
    ebb__oom_room(&usage, &scope->room);
}

/* Lets what-ifs grow the members, and stops them where the scope is full: then somebody dies. */
static void grow_members(const struct ebb_oom_facts *facts, struct ebb_oom_scope *scope)
{
    uint64_t grown = 0;

    for (size_t i = 0; i < scope->count; i++) {
        uint64_t wanted = facts->processes[scope->members[i]].grow_bytes;
        uint64_t left =
            scope->has_room && scope->room.possible_bytes > grown ? scope->room.possible_bytes - grown : 0;

        if (scope->has_room && wanted > left)
            wanted = left;
        scope->tasks[i].rss_pages += wanted / facts->page_bytes;
        scope->tasks[i].table_pages += wanted / facts->page_bytes / (facts->page_bytes / 8);
        grown += wanted;
    }
    if (grown == 0 || !scope->has_room)
        return;
    if (scope->used_bytes.known)
        scope->used_bytes.value += grown;
    scope->room.hard_bytes -= grown < scope->room.hard_bytes ? grown : scope->room.hard_bytes;
    scope->room.likely_bytes -= grown < scope->room.likely_bytes ? grown : scope->room.likely_bytes;
    scope->room.possible_bytes -= grown;
}

/* The highest cgroup from the victim's up to the scope's that is killed as a whole. */
static void find_kill_group(const struct ebb_oom_facts *facts, struct ebb_oom_scope *scope)
{
    char path[EBB_CGROUP_PATH_BYTES];
    const char *top = scope->group == NULL ? "/" : scope->group->path;
    const struct ebb_oom_process *victim;

    if (scope->choice.victim == scope->count)
        return;
    scope->kill_count = 1;
    victim = &facts->processes[scope->members[scope->choice.victim]];
    if (victim->cgroup == NULL)
        return;
    snprintf(path, sizeof(path), "%s", victim->cgroup);
    do {
        const struct ebb_oom_group *group = ebb__oom_facts_group(facts, path);

        if (group != NULL && ebb__fact_or(group->facts.oom_group, 0) == 1)
            scope->kill_group = group->path;
    } while (strcmp(path, top) != 0 && ebb__cgroup_parent(path));
    if (scope->kill_group == NULL)
        return;
    scope->kill_count = 0;
    for (size_t i = 0; i < facts->count; i++)
        scope->kill_count += !facts->tasks[i].exempt && facts->tasks[i].adj != EBB_OOM_ADJ_MIN &&
                             ebb__oom_is_in(&facts->processes[i], scope->kill_group);
}

int ebb__oom_scope_init(const struct ebb_oom_facts *facts, const struct ebb_oom_group *group,
                        struct ebb_oom_scope *ret_scope)
{
    struct ebb_oom_scope scope = {.group = group};

    scope.members = calloc(facts->count + 1, sizeof(*scope.members));
    scope.tasks = calloc(facts->count + 1, sizeof(*scope.tasks));
    if (scope.members == NULL || scope.tasks == NULL) {
        ebb__oom_scope_fini(&scope);
        return -ENOMEM;
    }
    for (size_t i = 0; i < facts->count; i++) {
        if (facts->tasks[i].exempt || (group != NULL && !ebb__oom_is_in(&facts->processes[i], group->path)))
            continue;
        scope.members[scope.count] = i;
        scope.tasks[scope.count++] = facts->tasks[i];
    }
    if (group == NULL)
        size_host(facts, &scope);
    else
        size_group(facts, &scope);
    grow_members(facts, &scope);
    ebb__oom_choose(scope.tasks, scope.count, scope.total_pages, &facts->rules, &scope.choice);
    find_kill_group(facts, &scope);
    *ret_scope = scope;
    return 0;
}

void ebb__oom_scope_fini(struct ebb_oom_scope *scope)
{
    free(scope->members);
    free(scope->tasks);
    scope->members = NULL;
    scope->tasks = NULL;
}
