/* SPDX-License-Identifier: MIT
 *
 * What ebb doctor reads of a process, and the case that the rules make of it; see doctor.h.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/units.h"
#include "tool/doctor.h"
#include "tool/maps_walk.h"
#include "tool/proc_allocator.h"

/* What a collected process borrows its texts from. */
struct belongings {
    struct ebb_doctor_heap_texts heap;
    char environment[EBB_DOCTOR_ENVIRONMENT_BYTES];
    char deleted[256];
    char unit[EBB_UNIT_BYTES];
};

enum ebb_doctor_server ebb__doctor_server(const char *name)
{
    static const struct {
        const char *name;
        enum ebb_doctor_server server;
    } KNOWN[] = {
        {"mariadbd", EBB_SERVER_MYSQL},        {"mysqld", EBB_SERVER_MYSQL},
        {"postgres", EBB_SERVER_OTHER},        {"postmaster", EBB_SERVER_OTHER},
        {"redis-server", EBB_SERVER_REDIS},    {"valkey-server", EBB_SERVER_REDIS},
        {"mongod", EBB_SERVER_OTHER},          {"memcached", EBB_SERVER_OTHER},
        {"clickhouse-serv", EBB_SERVER_OTHER},
    };

    for (size_t i = 0; i < sizeof(KNOWN) / sizeof(KNOWN[0]); i++)
        if (strcmp(name, KNOWN[i].name) == 0)
            return KNOWN[i].server;
    return EBB_SERVER_NONE;
}

/* ---- mappings ---- */

static void add_to_class(struct ebb_doctor_class *to, const struct ebb_maps_row *row)
{
    struct ebb_fact rss = row->facts[EBB_SMAPS_RSS];
    uint64_t bytes = row->map.end - row->map.start;

    to->size_bytes += bytes;
    if (row->verdict.vma.writable)
        to->writable_bytes += bytes;
    if (to->count == 0 || !rss.known)
        to->rss_bytes = rss;
    else if (to->rss_bytes.known)
        to->rss_bytes.value += rss.value;
    to->count++;
}

static bool is_accounted(const struct ebb_maps_row *row)
{
    if (row->has_flags)
        return (row->flags & UINT64_C(1) << EBB_VM_FLAG_ACCOUNTED) != 0;
    return row->verdict.vma.writable && !row->verdict.vma.shared;
}

/* A program or a library, not a file that serves as memory, whose name also ends so. */
static bool is_replaced(const struct ebb_maps_row *row)
{
    return row->map.deleted && row->verdict.vma.executable &&
           (row->verdict.vma_class == EBB_VMA_CLASS_LIB_TEXT ||
            row->verdict.vma_class == EBB_VMA_CLASS_PROGRAM);
}

static void add_row(struct ebb_doctor_process *process, struct belongings *own,
                    const struct ebb_maps_row *row)
{
    struct ebb_fact huge = row->facts[EBB_SMAPS_ANON_HUGE];

    ebb__vma_budget_add(&process->budget, &row->verdict);
    add_to_class(&process->classes[row->verdict.vma_class], row);
    if (!huge.known || !process->anon_huge_bytes.known)
        process->anon_huge_bytes = huge.known ? process->anon_huge_bytes : huge;
    else
        process->anon_huge_bytes.value += huge.value;
    if (is_accounted(row))
        process->accounted_bytes += row->map.end - row->map.start;
    if (!is_replaced(row))
        return;
    process->deleted_count++;
    if (process->deleted != NULL)
        return;
    snprintf(own->deleted, sizeof(own->deleted), "%s", row->file);
    process->deleted = own->deleted;
}

static void read_mappings(const struct ebb_doctor_run *run, const struct ebb_target *target,
                          const struct ebb_doctor_first *first, struct ebb_doctor_process *process,
                          struct belongings *own)
{
    static struct ebb_maps_walk walk;
    const struct ebb_maps_want want = {.deep = run->deep};
    const struct ebb_maps_row *row;
    uint64_t count;
    int got = ebb__maps_walk_open(&walk, target, &want);

    process->mappings = ebb__fact_unknown(got);
    process->anon_huge_bytes = process->mappings;
    if (got != 0)
        return;
    process->anon_huge_bytes = ebb__fact(0);
    while ((got = ebb__maps_walk_next(&walk, &row)) > 0)
        add_row(process, own, row);
    ebb__vma_budget_add(&process->budget, NULL);
    process->mapped_allocators = walk.survey.hints.allocators;
    ebb__maps_walk_close(&walk);
    if (got < 0) {
        process->mappings = ebb__fact_unknown(got);
        return;
    }
    process->mappings = ebb__fact(process->budget.count);
    count = process->budget.count + process->budget.gates;
    process->span_ms = ebb__doctor_now_ms() - first->at_ms;
    if (run->has_before && first->mappings.known && count > first->mappings.value)
        process->mappings_grown = count - first->mappings.value;
}

/* ---- the first look ---- */

static struct ebb_fact status_fact(const struct ebb_status *status, enum ebb_status_field field,
                                   uint64_t value)
{
    return ebb__status_has(status, field) ? ebb__fact(value) : ebb__fact_unknown(-ENODATA);
}

static void read_sizes(const struct ebb_target *target, struct ebb_doctor_first *first)
{
    struct ebb_status status;

    if (ebb__status_read(target->root, target->pid, &status) != 0)
        return;
    first->rss = status_fact(&status, EBB_STATUS_VM_RSS, status.vm_rss_bytes);
    first->anon = status_fact(&status, EBB_STATUS_RSS_ANON, status.rss_anon_bytes);
}

void ebb__doctor_process_first(const struct ebb_doctor_run *run, const struct ebb_target *target,
                               struct ebb_doctor_first *ret_first)
{
    static char path[EBB_CGROUP_PATH_BYTES];
    struct ebb_doctor_first *first = ret_first;
    struct ebb_maps_survey survey;
    int err = ebb__maps_survey(target, &survey);

    memset(first, 0, sizeof(*first));
    first->at_ms = ebb__doctor_now_ms();
    first->mappings = err == 0 ? ebb__fact(survey.map_count) : ebb__fact_unknown(err);
    if (run->has_before) {
        ebb__doctor_heap_first(target, first);
        read_sizes(target, first);
    }
    if (!run->has_tree || ebb__cgroup_path_read(run->root, target->pid, &run->tree, path, sizeof(path)) != 0)
        return;
    do {
        struct ebb_cgroup cgroup;

        if (ebb__cgroup_read(run->root, &run->tree, path, &cgroup) != 0)
            continue;
        first->levels[first->level_count].path_len = strlen(path);
        first->levels[first->level_count].limit_hits = cgroup.limit_hits;
        first->levels[first->level_count].high_hits = cgroup.high_hits;
        first->level_count++;
    } while (first->level_count < EBB_DOCTOR_SCOPES_MAX && ebb__cgroup_parent(path));
}

/* ---- its environment ---- */

/* The value of NAME= in the environment, or NULL. */
static const char *variable(const char *environment, size_t len, const char *name)
{
    const char *end = environment + len;
    size_t name_len = strlen(name);

    for (const char *at = environment; at < end; at += strlen(at) + 1)
        if (strncmp(at, name, name_len) == 0 && at[name_len] == '=')
            return at + name_len + 1;
    return NULL;
}

/* The first of the preloaded libraries that is an allocator. */
static const char *preloaded(const char *preload)
{
    while (preload != NULL && *preload != '\0') {
        size_t len = strcspn(preload, " :");
        char path[PATH_MAX];
        const char *name = NULL;

        if (len != 0 && len < sizeof(path)) {
            memcpy(path, preload, len);
            path[len] = '\0';
            name = ebb__proc_allocator_of_file(path);
        }
        if (name != NULL)
            return name;
        preload += len + (preload[len] != '\0');
    }
    return NULL;
}

static void read_environment(const struct ebb_target *target, struct ebb_doctor_process *process,
                             struct belongings *own)
{
    size_t len;

    process->environment_err = ebb__proc_read(target->root, target->pid, "environ", own->environment,
                                              sizeof(own->environment) - 1, &len);
    if (process->environment_err != 0)
        return;
    own->environment[len] = '\0';
    process->preload = variable(own->environment, len, "LD_PRELOAD");
    process->preload_allocator = preloaded(process->preload);
    process->malloc_conf = variable(own->environment, len, "MALLOC_CONF");
    process->tunables = variable(own->environment, len, "GLIBC_TUNABLES");
    process->arena_max = variable(own->environment, len, "MALLOC_ARENA_MAX");
}

/* ---- the process ---- */

/* True when SIGKILL has come, and the thread has not ended yet. */
static bool is_killed(const struct ebb_target *target, pid_t tid)
{
    static const char KEY[] = "SigPnd:\t";
    static char text[65536];
    struct ebb_scan scan;
    const char *found;
    uint64_t pending;
    size_t len;

    if (ebb__proc_read(target->root, tid, "status", text, sizeof(text), &len) != 0)
        return false;
    found = memmem(text, len, KEY, sizeof(KEY) - 1);
    if (found == NULL)
        return false;
    scan = (struct ebb_scan){.at = found + sizeof(KEY) - 1, .end = text + len};
    return ebb__scan_hex(&scan, &pending) && (pending & UINT64_C(1) << (SIGKILL - 1)) != 0;
}

/* What a thread that outlived the first one still has. */
static struct ebb_fact held_by_threads(const struct ebb_target *target, bool *ret_killed)
{
    struct ebb_procs threads;
    struct ebb_fact held = ebb__fact_unknown(-ESRCH);
    pid_t tid;

    if (ebb__procs_open_threads(&threads, target->root, target->pid) != 0)
        return held;
    while (!held.known && (tid = ebb__procs_next(&threads)) != 0) {
        struct ebb_status status;

        /* The kernel also answers for threads that its list does not show. */
        if (tid != target->pid && ebb__status_read(target->root, tid, &status) == 0 &&
            ebb__status_has(&status, EBB_STATUS_VM_RSS))
            held = ebb__fact(status.vm_rss_bytes);
        if (held.known)
            *ret_killed = is_killed(target, tid);
    }
    ebb__procs_close(&threads);
    return held;
}

/* A child of the same name that holds at least half as much: a fork that has not replaced its memory, and shares it. */
static void find_fork(const struct ebb_doctor_run *run, const struct ebb_target *target,
                      struct ebb_doctor_process *process)
{
    for (size_t i = 0; i < run->oom.count; i++) {
        struct ebb_status child;

        if (strcmp(run->oom.processes[i].name, process->status.name) != 0 ||
            ebb__status_read(target->root, (pid_t)run->oom.tasks[i].pid, &child) != 0 ||
            !ebb__status_has(&child, EBB_STATUS_PPID) || child.ppid != (uint64_t)target->pid ||
            !ebb__status_has(&child, EBB_STATUS_RSS_ANON) ||
            child.rss_anon_bytes < process->status.rss_anon_bytes / 2 ||
            child.rss_anon_bytes <= process->fork_bytes)
            continue;
        process->fork_pid = run->oom.tasks[i].pid;
        process->fork_bytes = child.rss_anon_bytes;
    }
}

static void find_uptime(const struct ebb_doctor_run *run, const struct ebb_target *target,
                        struct ebb_doctor_process *process)
{
    uint64_t ticks = ebb__fact_or(run->oom.host.clock_ticks, 0);
    struct ebb_stat stat;
    struct ebb_load load;
    uint64_t started_s;

    ebb__load_read(target->root, &load);
    process->uptime_s = ebb__fact_unknown(-ENODATA);
    if (ticks == 0 || !load.uptime_ms.known || ebb__stat_read(target->root, target->pid, &stat) != 0)
        return;
    started_s = stat.start_ticks / ticks;
    if (started_s <= load.uptime_ms.value / 1000)
        process->uptime_s = ebb__fact(load.uptime_ms.value / 1000 - started_s);
}

static void find_unit(const struct ebb_target *target, struct ebb_doctor_process *process,
                      struct belongings *own)
{
    bool of_user;

    if (ebb__unit_service_read(target->root, target->pid, own->unit, &of_user) && !of_user)
        process->unit = own->unit;
}

static int collect(const struct ebb_doctor_run *run, const struct ebb_target *target,
                   const struct ebb_doctor_first *first, struct ebb_doctor_process *process,
                   struct belongings *own)
{
    int err = ebb__status_read(target->root, target->pid, &process->status);

    if (err != 0)
        return err == -ENOENT ? -ESRCH : err;
    process->pid = (int)target->pid;
    process->name = target->name;
    process->server = ebb__doctor_server(target->name);
    process->has_adj = ebb__oom_adj_read(target->root, target->pid, &process->adj) == 0;
    find_unit(target, process, own);
    find_fork(run, target, process);
    find_uptime(run, target, process);
    process->rss_rise = ebb__doctor_rise(
        first->rss, status_fact(&process->status, EBB_STATUS_VM_RSS, process->status.vm_rss_bytes));
    process->anon_rise = ebb__doctor_rise(
        first->anon, status_fact(&process->status, EBB_STATUS_RSS_ANON, process->status.rss_anon_bytes));
    read_mappings(run, target, first, process, own);
    process->held_bytes = held_by_threads(target, &process->is_killed);
    process->environment_err = -EOPNOTSUPP;
    process->allocator_err = -EOPNOTSUPP;
    process->heap.why = "a captured tree has no memory to look into";
    if (run->live) {
        ebb__doctor_heap_read(target, first, process, &own->heap);
        read_environment(target, process, own);
    }
    process->books.why = "the server was not asked";
    if (run->live && !run->no_sql &&
        (process->server == EBB_SERVER_MYSQL || process->server == EBB_SERVER_REDIS))
        ebb__doctor_books_read(target, process);
    return 0;
}

static void describe(const struct ebb_doctor_facts *facts, struct ebb_doctor_case *the_case)
{
    const struct ebb_doctor_process *process = &facts->process;
    const struct ebb_meminfo *memory = &facts->host.memory;
    char text[2][EBB_UNITS_BYTES];

    if (!facts->has_process) {
        snprintf(the_case->about, sizeof(the_case->about), "host: %s of memory, %s available",
                 ebb__units_bytes(ebb__fact_or(memory->mem_total_bytes, 0), text[0]),
                 ebb__units_bytes(ebb__fact_or(memory->mem_available_bytes, 0), text[1]));
        return;
    }
    snprintf(the_case->about, sizeof(the_case->about), "%s (pid %d): %s RSS, malloc by %s%s%s", process->name,
             process->pid,
             ebb__status_has(&process->status, EBB_STATUS_VM_RSS)
                 ? ebb__units_bytes(process->status.vm_rss_bytes, text[0])
                 : "no",
             process->allocator == NULL ? "?" : process->allocator,
             facts->scope_count > 1 ? ", in memory cgroup " : "",
             facts->scope_count > 1 ? facts->scopes[0].name : "");
}

static struct ebb_finding *keep(const struct ebb_finding *findings, unsigned count)
{
    struct ebb_finding *kept = calloc(count + 1U, sizeof(*kept));

    if (kept != NULL && count != 0)
        memcpy(kept, findings, count * sizeof(*kept));
    return kept;
}

int ebb__doctor_judge(const struct ebb_doctor_run *run, const struct ebb_target *target,
                      const struct ebb_doctor_first *first, bool with_host, uint64_t suppressed,
                      struct ebb_doctor_case *ret_case)
{
    static struct ebb_doctor_facts facts;
    static struct ebb_diagnosis diagnosis;
    static struct belongings own;
    struct ebb_doctor_case the_case = {.count = 0};
    int err = 0;

    memset(&facts, 0, sizeof(facts));
    own.heap.allocator = NULL;
    facts.has_host = with_host;
    facts.has_process = target != NULL;
    facts.live = run->live;
    facts.host = run->host;
    if (target != NULL) {
        the_case.target = *target;
        err = collect(run, target, first, &facts.process, &own);
    }
    if (err == 0)
        err = ebb__doctor_scopes(run, target == NULL ? 0 : target->pid, first, &facts);
    if (err == 0) {
        ebb__doctor_diagnose(&facts, suppressed, &diagnosis);
        describe(&facts, &the_case);
        the_case.count = diagnosis.count;
        the_case.findings = keep(diagnosis.findings, diagnosis.count);
        the_case.unknown_count = diagnosis.unknown_count;
        the_case.unknown = keep(diagnosis.unknown, diagnosis.unknown_count);
        the_case.unsure = ebb__diagnosis_is_unsure(&diagnosis);
        if (the_case.findings == NULL || the_case.unknown == NULL)
            err = -ENOMEM;
    }
    free(own.heap.allocator);
    if (err != 0) {
        ebb__doctor_case_fini(&the_case);
        return err;
    }
    *ret_case = the_case;
    return 0;
}

void ebb__doctor_case_fini(struct ebb_doctor_case *the_case)
{
    free(the_case->findings);
    free(the_case->unknown);
    the_case->findings = NULL;
    the_case->unknown = NULL;
}
