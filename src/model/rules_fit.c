/* SPDX-License-Identifier: MIT
 *
 * Rules about whether memory suffices: what is held against what there is, limits that are hit, swap, peaks.
 */
#include "model/rules_priv.h"

static const char *source_of(const struct ebb_doctor_scope *scope)
{
    return scope->is_host ? "/proc/meminfo" : "memory.stat of its cgroup";
}

/* ---- R34 ---- */

/* The innermost scope that is the fullest. */
static const struct ebb_doctor_scope *fullest(const struct ebb_doctor_facts *facts)
{
    const struct ebb_doctor_scope *found = NULL;

    for (unsigned i = 0; i < facts->scope_count; i++) {
        const struct ebb_doctor_scope *scope = &facts->scopes[i];
        uint64_t limit = ebb__fact_or(scope->limit_bytes, 0);

        if (!scope->held_bytes.known || limit == 0 || (scope->is_host && !facts->has_host))
            continue;
        if (found == NULL || ebb__share_of(scope->held_bytes.value, limit) >
                                 ebb__share_of(found->held_bytes.value, found->limit_bytes.value))
            found = scope;
    }
    return found;
}

uint64_t ebb__pool_to_come(const struct ebb_doctor_facts *facts)
{
    const struct ebb_doctor_class *pool = &facts->process.classes[EBB_VMA_CLASS_POOL];

    if (!facts->has_process || !pool->rss_bytes.known || pool->writable_bytes < pool->rss_bytes.value)
        return 0;
    return pool->writable_bytes - pool->rss_bytes.value;
}

static void advise_less(const struct ebb_doctor_facts *facts, uint64_t too_much, struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    uint64_t pool = process->classes[EBB_VMA_CLASS_POOL].writable_bytes;
    char text[EBB_UNITS_BYTES];

    ebb__units_bytes(too_much, text);
    if (facts->has_process && process->server == EBB_SERVER_MYSQL && pool > 2 * too_much) {
        ebb__finding_advise_now(finding, "in SQL: SET GLOBAL innodb_buffer_pool_size = %llu;",
                                (unsigned long long)pool - too_much);
        ebb__finding_advise_good(finding, "the same innodb_buffer_pool_size in the option file");
    } else {
        ebb__finding_advise_now(finding,
                                "give up %s: a smaller pool, fewer sessions, or one program elsewhere", text);
    }
    ebb__finding_advise_good(finding,
                             "size pools so that all of them, when full, with a tenth more for what belongs "
                             "to them, stay below four fifths of the memory");
}

enum ebb_rule_answer ebb__rule_does_not_fit(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_doctor_scope *scope = fullest(facts);
    uint64_t limit;
    uint64_t held;
    uint64_t coming;
    uint64_t allowed;
    char text[2][EBB_UNITS_BYTES];

    if (scope == NULL)
        return facts->has_host
                   ? ebb__finding_lacks(finding, "anonymous and shared memory", "it cannot be read")
                   : EBB_RULE_SILENT;
    limit = scope->limit_bytes.value;
    held = scope->held_bytes.value;
    coming = ebb__pool_to_come(facts);
    if (!ebb__is_share(held + coming, limit, EBB_LIMIT_FIT_WARN))
        return EBB_RULE_SILENT;
    ebb__finding_severity(finding, ebb__is_share(held, limit, EBB_LIMIT_FIT_CRITICAL) ? EBB_SEVERITY_CRITICAL
                                                                                      : EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, source_of(scope), "%s: %s of %s are anonymous or shared memory (%.0f %%)",
                          scope->name, ebb__units_bytes(held, text[0]), ebb__units_bytes(limit, text[1]),
                          ebb__share_of(held, limit));
    if (coming != 0)
        ebb__finding_evidence(finding, "/proc/PID/smaps", "%s of its pool were not touched yet, and will be",
                              ebb__units_bytes(coming, text[0]));
    allowed = limit / 100 * EBB_LIMIT_FIT_WARN;
    advise_less(facts, held + coming - allowed, finding);
    ebb__finding_gain(finding, "%s of room for page cache, page tables and sessions",
                      ebb__units_bytes(limit - allowed, text[0]));
    return EBB_RULE_FIRES;
}

/* ---- R18 ---- */

enum ebb_rule_answer ebb__rule_cgroup_limit(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    bool fires = false;

    for (unsigned i = 0; i < facts->scope_count; i++) {
        const struct ebb_doctor_scope *scope = &facts->scopes[i];
        uint64_t rise = ebb__fact_or(scope->limit_hits_rise, 0);
        uint64_t high = ebb__fact_or(scope->high_hits_rise, 0);
        uint64_t kills = ebb__fact_or(scope->oom_kills, 0);
        bool near =
            scope->used_bytes.known && ebb__fact_or(scope->limit_hits, 0) != 0 &&
            ebb__is_share(scope->used_bytes.value, ebb__fact_or(scope->limit_bytes, 0), EBB_LIMIT_LIMIT_NEAR);

        if (scope->is_host || (rise == 0 && high == 0 && kills == 0 && !near))
            continue;
        fires = true;
        ebb__finding_severity(finding, kills != 0 ? EBB_SEVERITY_CRITICAL : EBB_SEVERITY_WARNING);
        if (kills != 0)
            ebb__finding_evidence(finding, "memory.events or memory.oom_control",
                                  "%s: the kernel has killed %llu times in it", scope->name,
                                  (unsigned long long)kills);
        if (rise != 0 || high != 0)
            ebb__finding_evidence(finding, "memory.events or memory.failcnt",
                                  "%s: hit its limit %llu times in this look", scope->name,
                                  (unsigned long long)(rise + high));
        else if (near)
            ebb__finding_evidence(finding, "memory.events or memory.failcnt",
                                  "%s: hit its limit %llu times, and is at %.0f %% of it", scope->name,
                                  (unsigned long long)scope->limit_hits.value,
                                  ebb__share_of(scope->used_bytes.value, scope->limit_bytes.value));
    }
    if (!fires)
        return EBB_RULE_SILENT;
    ebb__finding_advise_now(finding, "see what fills it: ebb explain %d", facts->process.pid);
    ebb__finding_advise_good(finding, "raise its limit: systemctl set-property %s MemoryMax=...",
                             facts->process.unit == NULL ? "UNIT" : facts->process.unit);
    ebb__finding_advise_good(finding, "or a smaller pool, so that its page cache keeps some room");
    ebb__finding_gain(finding, "no reclaim within the cgroup while the host has memory");
    return EBB_RULE_FIRES;
}

/* ---- R07 ---- */

enum ebb_rule_answer ebb__rule_no_swap(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    bool fires = false;
    bool of_host = false;
    uint64_t total = ebb__fact_or(facts->host.memory.mem_total_bytes, 0);
    uint64_t gib = total >> 33 < 4 ? 4 : total >> 33 > 16 ? 16 : total >> 33; /* a half of memory, 4 to 16 */
    char text[2][EBB_UNITS_BYTES];

    for (unsigned i = 0; i < facts->scope_count; i++) {
        const struct ebb_doctor_scope *scope = &facts->scopes[i];

        if ((scope->is_host && !facts->has_host) || !scope->swap_bytes.known ||
            scope->swap_bytes.value != 0 || !scope->held_bytes.known ||
            !ebb__is_share(scope->held_bytes.value, ebb__fact_or(scope->limit_bytes, 0), EBB_LIMIT_ANON_MOST))
            continue;
        fires = true;
        of_host |= scope->is_host;
        ebb__finding_severity(finding, EBB_SEVERITY_WARNING);
        ebb__finding_evidence(finding, source_of(scope),
                              "%s: no swap, and %s of %s anonymous or shared (%.0f %%)", scope->name,
                              ebb__units_bytes(scope->held_bytes.value, text[0]),
                              ebb__units_bytes(scope->limit_bytes.value, text[1]),
                              ebb__share_of(scope->held_bytes.value, scope->limit_bytes.value));
    }
    if (!fires)
        return EBB_RULE_SILENT;
    if (of_host || ebb__fact_or(facts->host.memory.swap_total_bytes, 0) == 0) {
        ebb__finding_now(
            finding,
            "fallocate -l %lluG /swapfile && chmod 600 /swapfile && mkswap /swapfile && swapon /swapfile",
            (unsigned long long)gib);
        ebb__finding_good(finding, "echo '/swapfile none swap sw 0 0' >> /etc/fstab");
        ebb__finding_gain(finding, "%llu GiB of anonymous memory that is not used can leave",
                          (unsigned long long)gib);
    } else {
        ebb__finding_advise_now(finding, "let the cgroup swap: systemctl set-property %s MemorySwapMax=...",
                                facts->process.unit == NULL ? "UNIT" : facts->process.unit);
        ebb__finding_gain(finding, "anonymous memory that is not used can leave");
    }
    ebb__finding_advise_good(finding, "or leave more of the memory unused by pools, and watch it: ebb oom");
    return EBB_RULE_FIRES;
}

/* ---- R23 ---- */

enum ebb_rule_answer ebb__rule_past_peak(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_status *status = &facts->process.status;
    uint64_t less;
    char text[3][EBB_UNITS_BYTES];

    if (!ebb__status_has(status, EBB_STATUS_VM_HWM) || !ebb__status_has(status, EBB_STATUS_VM_RSS) ||
        status->vm_hwm_bytes <= status->vm_rss_bytes)
        return EBB_RULE_SILENT;
    less = status->vm_hwm_bytes - status->vm_rss_bytes;
    if (!ebb__is_share(less, status->vm_hwm_bytes, EBB_LIMIT_PEAK) || less < EBB_MIB(EBB_LIMIT_PEAK_LEAST))
        return EBB_RULE_SILENT;
    ebb__finding_evidence(finding, "/proc/PID/status",
                          "RSS was %s at its highest, %s more than the %s of now",
                          ebb__units_bytes(status->vm_hwm_bytes, text[0]), ebb__units_bytes(less, text[1]),
                          ebb__units_bytes(status->vm_rss_bytes, text[2]));
    ebb__finding_advise_now(finding,
                            "begin a new highest value after the next change: echo 5 > /proc/%d/clear_refs",
                            facts->process.pid);
    ebb__finding_advise_good(finding, "leave room for %s in its limit, not for what it has now",
                             ebb__units_bytes(status->vm_hwm_bytes, text[0]));
    ebb__finding_gain(finding, "the next peak fits");
    return EBB_RULE_FIRES;
}
