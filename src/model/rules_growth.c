/* SPDX-License-Identifier: MIT
 *
 * Rules about what grows: how long the memory lasts, whether the heap leaks, and what a fork may copy.
 */
#include "model/rules_priv.h"

#define HOUR_MS UINT64_C(3600000)

/* ---- R03 ---- */

/* The least growth that means anything in a scope: the kernel charges a cgroup in batches, one for each processor. */
static uint64_t least_rise(const struct ebb_doctor_facts *facts)
{
    uint64_t batches = ebb__fact_or(facts->host.processors, 1) * EBB_LIMIT_FORECAST_BATCH *
                       ebb__fact_or(facts->host.page_bytes, 4096);
    uint64_t least = EBB_MIB(EBB_LIMIT_FORECAST_LEAST);

    return batches > least ? batches : least;
}

/* Held memory has grown too, or that of the process, which the kernel counts sooner: it is no page cache. */
static bool is_held(const struct ebb_doctor_facts *facts, const struct ebb_doctor_scope *scope)
{
    uint64_t rise = (uint64_t)scope->growth.rise_bytes;

    return ebb__is_share(ebb__fact_or(scope->held_rise, 0), rise, EBB_LIMIT_FORECAST_HELD) ||
           (facts->has_process &&
            ebb__is_share(ebb__fact_or(facts->process.rss_rise, 0), rise, EBB_LIMIT_FORECAST_HELD));
}

/* How long what is left lasts; unknown when nothing grows, or for longer than the looks can tell. */
static struct ebb_fact lasts_ms(const struct ebb_doctor_facts *facts, const struct ebb_doctor_scope *scope)
{
    const struct ebb_forecast *growth = &scope->growth;
    uint64_t reach = growth->span_ms * EBB_LIMIT_FORECAST_REACH;
    struct ebb_fact ms;

    if (growth->looks == 0 || !scope->has_room || (scope->is_host && !facts->has_host) || growth->slow < 0 ||
        growth->rise_bytes < 0 || (uint64_t)growth->rise_bytes < least_rise(facts) || !is_held(facts, scope))
        return ebb__fact_unknown(-ENODATA);
    if (reach > EBB_LIMIT_FORECAST_HOURS * HOUR_MS)
        reach = EBB_LIMIT_FORECAST_HOURS * HOUR_MS;
    ms = ebb__forecast_ms(scope->room.possible_bytes, growth->middle);
    return ms.known && ms.value < reach ? ms : ebb__fact_unknown(-ENODATA);
}

/* What the pool of the process has not touched yet, when all of it will fit: then the growth ends by itself. */
static uint64_t pool_that_fits(const struct ebb_doctor_facts *facts, const struct ebb_doctor_scope *scope)
{
    uint64_t coming = ebb__pool_to_come(facts);
    uint64_t reserve = ebb__fact_or(scope->limit_bytes, 0) / 100 * (100 - EBB_LIMIT_FIT_WARN);

    return coming >= (uint64_t)scope->growth.rise_bytes && scope->room.possible_bytes >= coming + reserve
               ? coming
               : 0;
}

static void say_time(const struct ebb_doctor_facts *facts, const struct ebb_doctor_scope *scope, uint64_t ms,
                     struct ebb_finding *finding)
{
    const struct ebb_forecast *growth = &scope->growth;
    const char *source = scope->is_host ? "/proc/meminfo" : "memory.stat and usage of its cgroup";
    struct ebb_fact soon = ebb__forecast_ms(scope->room.possible_bytes, growth->fast);
    struct ebb_fact late = ebb__forecast_ms(scope->room.possible_bytes, growth->slow);
    char text[3][EBB_UNITS_BYTES];

    ebb__finding_evidence(finding, source, "%s: %s more within %s that cannot be reclaimed", scope->name,
                          ebb__units_bytes((uint64_t)growth->rise_bytes, text[0]),
                          ebb__units_ms(growth->span_ms, text[1]));
    ebb__finding_evidence(finding, source, "at this pace the %s that are left last %s",
                          ebb__units_bytes(scope->room.possible_bytes, text[0]), ebb__units_ms(ms, text[1]));
    if (growth->looks > 2 && soon.known)
        ebb__finding_evidence(finding, "all looks, two by two", "eight of ten paces of %u looks say %s to %s",
                              growth->looks, ebb__units_ms(soon.value, text[0]),
                              late.known ? ebb__units_ms(late.value, text[1]) : "never");
    if (facts->has_process && facts->process.rss_rise.known)
        ebb__finding_evidence(finding, "/proc/PID/status", "%s itself grew by %s", facts->process.name,
                              ebb__units_bytes(facts->process.rss_rise.value, text[0]));
    if (scope->target_dies)
        ebb__finding_evidence(finding, "ebb oom", "when nothing is left in %s, it is killed first",
                              scope->name);
}

/* A limit that lasts for a day, if the host has as much twice over, and no more than twice the limit. */
static void advise_limit(const struct ebb_doctor_facts *facts, const struct ebb_doctor_scope *scope,
                         struct ebb_finding *finding)
{
    const struct ebb_doctor_scope *host = &facts->scopes[facts->scope_count - 1];
    const char *unit = facts->process.unit == NULL ? "UNIT" : facts->process.unit;
    uint64_t more = (uint64_t)(scope->growth.middle * EBB_LIMIT_FORECAST_HOURS * 3600);
    uint64_t most = host->is_host && host->has_room ? host->room.likely_bytes / 2 : 0;
    char text[EBB_UNITS_BYTES];

    if (more > most)
        more = most;
    if (more > ebb__fact_or(scope->limit_bytes, 0))
        more = ebb__fact_or(scope->limit_bytes, 0);
    if (scope->is_host || more == 0)
        return;
    ebb__finding_advise_now(
        finding, "raise its limit: systemctl set-property --runtime %s MemoryMax=%llu (%s more)", unit,
        (unsigned long long)(ebb__fact_or(scope->limit_bytes, 0) + more), ebb__units_bytes(more, text));
}

enum ebb_rule_answer ebb__rule_time_to_limit(const struct ebb_doctor_facts *facts,
                                             struct ebb_finding *finding)
{
    const struct ebb_doctor_scope *scope = NULL;
    uint64_t least = UINT64_MAX;
    uint64_t coming;
    char text[2][EBB_UNITS_BYTES];

    for (unsigned i = 0; i < facts->scope_count; i++) {
        struct ebb_fact ms = lasts_ms(facts, &facts->scopes[i]);

        if (!ms.known || ms.value >= least)
            continue;
        least = ms.value;
        scope = &facts->scopes[i];
    }
    if (scope == NULL)
        return EBB_RULE_SILENT;
    coming = pool_that_fits(facts, scope);
    if (coming == 0)
        ebb__finding_severity(finding, least < EBB_LIMIT_FORECAST_SOON_MINUTES * HOUR_MS / 60
                                           ? EBB_SEVERITY_CRITICAL
                                           : EBB_SEVERITY_WARNING);
    say_time(facts, scope, least, finding);
    if (coming != 0)
        ebb__finding_evidence(finding, "/proc/PID/smaps",
                              "%s of its pool were not touched yet, and fit: growth may end there",
                              ebb__units_bytes(coming, text[0]));
    advise_limit(facts, scope, finding);
    if (facts->has_process)
        ebb__finding_advise_now(finding,
                                "see what grows, and what can be had back: ebb explain %d; ebb relieve %d",
                                facts->process.pid, facts->process.pid);
    else
        ebb__finding_advise_now(finding, "see who grows: ebb top");
    ebb__finding_advise_good(
        finding, "a smaller pool, fewer sessions, or a limit of its own for what grows beside it");
    ebb__finding_gain(
        finding, "each %s that is given back or added lasts %s at this pace",
        ebb__units_bytes(EBB_MIB(256), text[0]),
        ebb__units_ms(ebb__fact_or(ebb__forecast_ms(EBB_MIB(256), scope->growth.middle), 0), text[1]));
    return EBB_RULE_FIRES;
}

/* ---- R17 ---- */

static bool is_much(uint64_t rise, uint64_t of)
{
    return rise >= EBB_MIB(EBB_LIMIT_LEAK_LEAST) && ebb__is_share(rise, of, EBB_LIMIT_LEAK_SHARE);
}

static void advise_profiler(const struct ebb_doctor_process *process, struct ebb_finding *finding)
{
    if (process->server == EBB_SERVER_MYSQL)
        ebb__finding_advise_now(
            finding, "which session, in SQL: SELECT thread_id, event_name, current_number_of_bytes_used FROM "
                     "performance_schema.memory_summary_by_thread_by_event_name ORDER BY 3 DESC LIMIT 20; "
                     "(see rule R21)");
    else if (process->server == EBB_SERVER_REDIS)
        ebb__finding_advise_now(finding, "what holds it: redis-cli MEMORY STATS, redis-cli --bigkeys");
    if (ebb__process_is_on(process, "ebb"))
        ebb__finding_advise_now(finding, "which sizes grow: ebb heap --classes %d, twice", process->pid);
    else if (ebb__process_is_on(process, "jemalloc"))
        ebb__finding_advise_good(
            finding,
            "a jemalloc with --enable-prof, MALLOC_CONF=prof:true,lg_prof_sample:19,prof_final:true in "
            "its environment, and jeprof over what it writes");
    else
        ebb__finding_advise_good(finding,
                                 "who allocates: heaptrack -p %d, or bpfcc-memleak -p %d 30, while it grows",
                                 process->pid, process->pid);
}

enum ebb_rule_answer ebb__rule_leak(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    const struct ebb_doctor_heap *heap = &process->heap;
    uint64_t anon = ebb__fact_or(process->anon_rise, 0);
    uint64_t follows = ebb__fact_or(heap->system_rise, anon);
    struct ebb_fact doubles;
    bool young = !process->uptime_s.known || process->uptime_s.value < EBB_LIMIT_LEAK_YOUNG_MINUTES * 60U;
    char text[3][EBB_UNITS_BYTES];

    if (!heap->live_rise.known || !heap->live_bytes.known) {
        /* What did not grow in anonymous memory did not leak. */
        if (!is_much(anon, process->status.rss_anon_bytes))
            return EBB_RULE_SILENT;
        return ebb__finding_lacks(finding, "live heap at two moments",
                                  heap->why == NULL ? "one of the two looks failed" : heap->why);
    }
    if (!is_much(heap->live_rise.value, heap->live_bytes.value) || follows < heap->live_rise.value / 2)
        return EBB_RULE_SILENT;
    ebb__finding_severity(finding, young ? EBB_SEVERITY_INFO : EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, heap->source, "live memory rose by %s to %s within %s",
                          ebb__units_bytes(heap->live_rise.value, text[0]),
                          ebb__units_bytes(heap->live_bytes.value, text[1]),
                          ebb__units_ms(heap->span_ms, text[2]));
    ebb__finding_evidence(finding, heap->system_rise.known ? heap->source : "/proc/PID/status",
                          "the heap took %s more from the kernel for it", ebb__units_bytes(follows, text[0]));
    if (young && process->uptime_s.known)
        ebb__finding_evidence(finding, "/proc/PID/stat", "it was started %s ago: its caches may still fill",
                              ebb__units_ms(process->uptime_s.value * 1000, text[0]));
    ebb__finding_advise_now(
        finding, "look over longer, when its caches are full: ebb doctor --between 10m %d", process->pid);
    advise_profiler(process, finding);
    if (finding->good_count == 0)
        ebb__finding_advise_good(finding, "limits for what may grow: caches, sessions, prepared statements");
    doubles = ebb__forecast_ms(heap->live_bytes.value, (double)heap->live_rise.value * 1000 /
                                                           (double)(heap->span_ms == 0 ? 1 : heap->span_ms));
    ebb__finding_gain(finding, "at this pace the heap doubles within %s, and would not",
                      ebb__units_ms(ebb__fact_or(doubles, 0), text[0]));
    return EBB_RULE_FIRES;
}

/* ---- R30 ---- */

/* What a save may still copy: what the last one did, or everything that may be written. */
static uint64_t copies(const struct ebb_doctor_process *process)
{
    uint64_t most =
        ebb__status_has(&process->status, EBB_STATUS_RSS_ANON) ? process->status.rss_anon_bytes : 0;
    uint64_t last = ebb__fact_or(process->books.copied_bytes, 0);

    return last != 0 && last < most ? last : most;
}

/* The scope that has least left, of those that have too little. */
static const struct ebb_doctor_scope *too_small(const struct ebb_doctor_facts *facts, uint64_t need)
{
    const struct ebb_doctor_scope *found = NULL;

    for (unsigned i = 0; i < facts->scope_count; i++) {
        const struct ebb_doctor_scope *scope = &facts->scopes[i];

        if (scope->has_room && scope->room.possible_bytes < need &&
            (found == NULL || scope->room.possible_bytes < found->room.possible_bytes))
            found = scope;
    }
    return found;
}

/* True when strict overcommit would refuse the fork. */
static bool is_refused(const struct ebb_doctor_facts *facts)
{
    const struct ebb_meminfo *memory = &facts->host.memory;
    uint64_t limit = ebb__fact_or(memory->commit_limit_bytes, 0);
    uint64_t committed = ebb__fact_or(memory->committed_as_bytes, 0);

    return ebb__fact_or(facts->host.overcommit, 0) == 2 && facts->process.fork_pid == 0 && limit != 0 &&
           (limit <= committed || limit - committed < facts->process.accounted_bytes);
}

static void say_fork(const struct ebb_doctor_facts *facts, uint64_t need, struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    char text[2][EBB_UNITS_BYTES];

    if (process->fork_pid != 0)
        ebb__finding_evidence(finding, "/proc/PID/status",
                              "its fork (pid %d) lives, and shares up to %s with it", process->fork_pid,
                              ebb__units_bytes(process->fork_bytes, text[0]));
    if (ebb__fact_or(process->books.copied_bytes, 0) == need)
        ebb__finding_evidence(finding, process->books.source, "the last save had %s copied",
                              ebb__units_bytes(need, text[0]));
    else
        ebb__finding_evidence(finding, "/proc/PID/status",
                              "up to %s of anonymous memory may be written during a save",
                              ebb__units_bytes(need, text[0]));
    if (ebb__fact_or(facts->host.thp, EBB_THP_NEVER) == EBB_THP_ALWAYS)
        ebb__finding_evidence(
            finding, "/sys/kernel/mm/transparent_hugepage/enabled",
            "huge pages are given unasked: one written byte copies %s",
            ebb__units_bytes(ebb__fact_or(facts->host.thp_page_bytes, EBB_MIB(2)), text[0]));
}

static void advise_fork(const struct ebb_doctor_facts *facts, const struct ebb_doctor_scope *scope,
                        uint64_t need, struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    uint64_t lacking = scope == NULL ? 0 : need - scope->room.possible_bytes;
    char text[EBB_UNITS_BYTES];

    if (process->server == EBB_SERVER_REDIS && lacking != 0 && process->status.rss_anon_bytes > lacking) {
        ebb__finding_advise_now(finding, "redis-cli CONFIG SET maxmemory %llu, then redis-cli CONFIG REWRITE",
                                (unsigned long long)(process->status.rss_anon_bytes - lacking / 2));
        ebb__finding_advise_good(finding, "save on a replica, and none here: save \"\" and appendonly no");
    }
    if (lacking != 0)
        ebb__finding_advise_good(finding, "%s more of memory, or of swap, beside what it holds",
                                 ebb__units_bytes(lacking, text));
    if (finding->now_count == 0 && lacking != 0)
        ebb__finding_advise_now(finding, "save while little is written, or make room first: ebb relieve %d",
                                process->pid);
    ebb__finding_gain(finding, "saves end, and nobody is killed for %s of copies",
                      ebb__units_bytes(need, text));
}

enum ebb_rule_answer ebb__rule_copy_on_write(const struct ebb_doctor_facts *facts,
                                             struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    const struct ebb_meminfo *memory = &facts->host.memory;
    const struct ebb_doctor_scope *scope;
    uint64_t need = copies(process);
    uint64_t overcommit;
    char text[3][EBB_UNITS_BYTES];

    if ((process->server != EBB_SERVER_REDIS && process->fork_pid == 0) ||
        process->status.rss_anon_bytes < EBB_MIB(EBB_LIMIT_COPY_LEAST))
        return EBB_RULE_SILENT;
    if (ebb__finding_needs(finding, facts->host.overcommit, "vm.overcommit_memory", &overcommit))
        return EBB_RULE_UNKNOWN;
    scope = too_small(facts, need);
    if (scope == NULL && !is_refused(facts))
        return EBB_RULE_SILENT;
    ebb__finding_severity(finding,
                          scope != NULL && process->fork_pid != 0 &&
                                  !ebb__is_share(scope->room.possible_bytes, need, EBB_LIMIT_COPY_NOW)
                              ? EBB_SEVERITY_CRITICAL
                              : EBB_SEVERITY_WARNING);
    say_fork(facts, need, finding);
    if (scope != NULL)
        ebb__finding_evidence(finding, scope->is_host ? "/proc/meminfo" : "memory.stat of its cgroup",
                              "%s has %s left", scope->name,
                              ebb__units_bytes(scope->room.possible_bytes, text[0]));
    if (is_refused(facts)) {
        ebb__finding_evidence(
            finding, "/proc/meminfo, /proc/PID/maps",
            "%s of %s (CommitLimit) are counted, and a fork needs %s more: it fails with ENOMEM",
            ebb__units_bytes(ebb__fact_or(memory->committed_as_bytes, 0), text[0]),
            ebb__units_bytes(ebb__fact_or(memory->commit_limit_bytes, 0), text[1]),
            ebb__units_bytes(process->accounted_bytes, text[2]));
        ebb__finding_sysctl(finding, "vm.overcommit_memory", 1);
    }
    advise_fork(facts, scope, need, finding);
    return EBB_RULE_FIRES;
}
