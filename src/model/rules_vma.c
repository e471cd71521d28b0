/* SPDX-License-Identifier: MIT
 *
 * Rules about mappings and address space: how many there may be, who makes them, and what strict overcommit counts.
 */
#include "model/rules_priv.h"

static bool has_mappings(const struct ebb_doctor_facts *facts, struct ebb_finding *finding,
                         uint64_t *ret_count)
{
    return !ebb__finding_needs(finding, facts->process.mappings, "mappings of the process", ret_count);
}

/* ---- R01 ---- */

static void advise_by_cause(const struct ebb_doctor_process *process, enum ebb_vma_cause cause,
                            struct ebb_finding *finding)
{
    if (cause == EBB_VMA_CAUSE_STACKS)
        ebb__finding_advise_good(finding, "fewer threads: a pool of threads, or a lower max_connections");
    else if (cause == EBB_VMA_CAUSE_PROTECTION && ebb__process_is_on(process, "jemalloc"))
        ebb__finding_advise_good(finding, "take the cause away: vm.overcommit_memory=0, see rule R02");
    else if (cause == EBB_VMA_CAUSE_FILES)
        ebb__finding_advise_good(finding, "map fewer files, or larger parts of them");
    else if (cause == EBB_VMA_CAUSE_HOLES || cause == EBB_VMA_CAUSE_ADVICE ||
             cause == EBB_VMA_CAUSE_PROTECTION)
        ebb__finding_advise_good(finding,
                                 "an allocator that keeps its address space in one piece: ebb run -- ...");
}

/* The minutes until the limit is reached at the pace of the look, unknown without one that means anything. */
static struct ebb_fact minutes_left(const struct ebb_doctor_process *process, uint64_t left)
{
    struct ebb_fact ms;

    if (process->mappings_grown < EBB_LIMIT_VMA_GROWN)
        return ebb__fact_unknown(-ENODATA);
    ms = ebb__vma_budget_time_ms(left, (int64_t)process->mappings_grown, process->span_ms);
    return ms.known ? ebb__fact(ms.value / 60000) : ms;
}

enum ebb_rule_answer ebb__rule_vma_limit(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    enum ebb_vma_cause cause;
    struct ebb_vma_failure failure;
    struct ebb_fact minutes;
    uint64_t limit;
    uint64_t count;
    uint64_t left;
    bool soon;
    char span[EBB_UNITS_BYTES];

    if (!has_mappings(facts, finding, &count) ||
        ebb__finding_needs(finding, facts->host.max_map_count, "vm.max_map_count", &limit))
        return EBB_RULE_UNKNOWN;
    cause = ebb__vma_budget_main_cause(&process->budget);
    failure = ebb__vma_budget_failure(cause);
    left = ebb__vma_budget_left(count, limit, failure.op);
    minutes = minutes_left(process, left);
    soon = minutes.known && minutes.value < EBB_LIMIT_VMA_SOON_MINUTES;
    if (!ebb__is_share(count, limit, EBB_LIMIT_VMA_WARN) && !soon)
        return EBB_RULE_SILENT;
    ebb__finding_severity(finding, soon || ebb__is_share(count, limit, EBB_LIMIT_VMA_CRITICAL)
                                       ? EBB_SEVERITY_CRITICAL
                                       : EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, "/proc/PID/maps, /proc/sys/vm/max_map_count",
                          "%llu of %llu mappings (%.0f %%)", (unsigned long long)count,
                          (unsigned long long)limit, ebb__share_of(count, limit));
    ebb__finding_evidence(finding, "/proc/PID/maps", "%llu of them: %s",
                          (unsigned long long)process->budget.causes[cause], ebb__vma_causes[cause].text);
    if (left == 0)
        ebb__finding_evidence(finding, "the kernel's rule", "%s fails now with %s", failure.call,
                              failure.errno_name);
    else
        ebb__finding_evidence(finding, "the kernel's rule", "%s will fail with %s after %llu more",
                              failure.call, failure.errno_name, (unsigned long long)left);
    if (minutes.known)
        ebb__finding_evidence(finding, "two looks",
                              "%llu more came within %s: at this pace %llu minutes are left",
                              (unsigned long long)process->mappings_grown,
                              ebb__units_ms(process->span_ms, span), (unsigned long long)minutes.value);
    ebb__finding_sysctl(finding, "vm.max_map_count", limit < 131072 ? 262144 : 2 * limit);
    advise_by_cause(process, cause, finding);
    ebb__finding_gain(finding, "room for %llu more mappings",
                      (unsigned long long)((limit < 131072 ? 262144 : 2 * limit) - count));
    return EBB_RULE_FIRES;
}

/* ---- R02 ---- */

enum ebb_rule_answer ebb__rule_jemalloc_commit(const struct ebb_doctor_facts *facts,
                                               struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    uint64_t protection = process->budget.causes[EBB_VMA_CAUSE_PROTECTION];
    uint64_t overcommit;
    uint64_t limit = ebb__fact_or(facts->host.max_map_count, 0);
    uint64_t count;

    if (facts->host.overcommit.known && facts->host.overcommit.value != 2)
        return EBB_RULE_SILENT;
    if (process->allocator == NULL && facts->live)
        return ebb__finding_lacks(finding, "who serves malloc",
                                  ebb__fact_why(ebb__fact_unknown(process->allocator_err)));
    if (!ebb__process_is_on(process, "jemalloc"))
        return EBB_RULE_SILENT;
    if (ebb__finding_needs(finding, facts->host.overcommit, "vm.overcommit_memory", &overcommit) ||
        !has_mappings(facts, finding, &count))
        return EBB_RULE_UNKNOWN;
    ebb__finding_severity(finding, ebb__is_share(protection, limit, EBB_LIMIT_COMMIT_PROTECTION)
                                       ? EBB_SEVERITY_CRITICAL
                                       : EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, "/proc/sys/vm/overcommit_memory", "vm.overcommit_memory is 2");
    ebb__finding_evidence(
        finding, process->allocator == NULL ? "/proc/PID/maps" : "the dynamic linker's own list",
        process->allocator == NULL ? "libjemalloc is mapped" : "malloc is served by jemalloc");
    ebb__finding_evidence(finding, "/proc/PID/maps",
                          "%llu of %llu mappings are neighbours that differ in protection",
                          (unsigned long long)protection, (unsigned long long)count);
    ebb__finding_sysctl(finding, "vm.overcommit_memory", 0);
    ebb__finding_advise_good(finding, "or keep 2 and use an allocator whose number of mappings does not "
                                      "grow: ebb run -- ...");
    ebb__finding_gain(finding, "no more splits; those that are there go with a restart");
    return EBB_RULE_FIRES;
}

/* ---- R32 ---- */

static void advise_commit(const struct ebb_doctor_process *process, struct ebb_finding *finding)
{
    ebb__finding_sysctl(finding, "vm.overcommit_memory", 0);
    if (process->server == EBB_SERVER_MYSQL)
        ebb__finding_advise_good(finding, "or keep 2 and set innodb_buffer_pool_size_max (MariaDB) to the "
                                          "largest size that the pool will really have");
    if (ebb__process_is_on(process, "jemalloc"))
        ebb__finding_advise_good(finding, "or keep 2 without an allocator that reserves ahead");
}

enum ebb_rule_answer ebb__rule_commit(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    const struct ebb_meminfo *memory = &facts->host.memory;
    uint64_t overcommit;
    uint64_t limit;
    uint64_t committed;
    uint64_t count;
    uint64_t used = ebb__fact_or(
        ebb__status_fact(&process->status, EBB_STATUS_RSS_ANON, process->status.rss_anon_bytes), 0);
    uint64_t idle;
    bool is_near;
    bool is_reserved;
    char text[3][EBB_UNITS_BYTES];

    if (ebb__finding_needs(finding, facts->host.overcommit, "vm.overcommit_memory", &overcommit))
        return EBB_RULE_UNKNOWN;
    if (overcommit != 2)
        return EBB_RULE_SILENT;
    if (ebb__finding_needs(finding, memory->commit_limit_bytes, "CommitLimit", &limit) ||
        ebb__finding_needs(finding, memory->committed_as_bytes, "Committed_AS", &committed) ||
        !has_mappings(facts, finding, &count))
        return EBB_RULE_UNKNOWN;
    idle = process->accounted_bytes > used ? process->accounted_bytes - used : 0;
    is_near = ebb__is_share(committed, limit, EBB_LIMIT_COMMITTED_WARN);
    is_reserved = ebb__is_share(idle, limit, EBB_LIMIT_RESERVED_SHARE);
    if (!is_reserved && !(is_near && ebb__is_share(process->accounted_bytes, limit, 50)))
        return EBB_RULE_SILENT;
    ebb__finding_severity(finding, ebb__is_share(committed, limit, EBB_LIMIT_COMMITTED_CRITICAL)
                                       ? EBB_SEVERITY_CRITICAL
                                       : EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, "/proc/meminfo", "%s of %s (CommitLimit) are counted (%.0f %%)",
                          ebb__units_bytes(committed, text[0]), ebb__units_bytes(limit, text[1]),
                          ebb__share_of(committed, limit));
    ebb__finding_evidence(
        finding, "/proc/PID/maps, status", "%s of them for this process, of which %s were never touched",
        ebb__units_bytes(process->accounted_bytes, text[0]), ebb__units_bytes(idle, text[1]));
    advise_commit(process, finding);
    ebb__finding_gain(finding, "%s that others can map", ebb__units_bytes(idle, text[0]));
    return EBB_RULE_FIRES;
}
