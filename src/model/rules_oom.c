/* SPDX-License-Identifier: MIT
 *
 * Rules about who dies when memory runs out, and what happens then.
 */
#include <string.h>

#include "model/rules_priv.h"

/* ---- R04 ---- */

static struct ebb_oom_task task_of(const struct ebb_doctor_process *process, uint64_t page_bytes)
{
    const struct ebb_status *status = &process->status;

    return (struct ebb_oom_task){
        .pid = process->pid,
        .rss_pages = status->vm_rss_bytes / page_bytes,
        .swap_pages = ebb__status_has(status, EBB_STATUS_VM_SWAP) ? status->vm_swap_bytes / page_bytes : 0,
        .table_pages = ebb__status_has(status, EBB_STATUS_VM_PTE) ? status->vm_pte_bytes / page_bytes : 0,
        .adj = process->adj,
    };
}

/* How urgent: by what the scope has left. */
static enum ebb_severity by_room(const struct ebb_doctor_scope *scope)
{
    uint64_t limit = ebb__fact_or(scope->limit_bytes, 0);

    if (!scope->has_room || limit == 0)
        return EBB_SEVERITY_WARNING;
    if (!ebb__is_share(scope->room.likely_bytes, limit, EBB_LIMIT_VICTIM_ROOM_CRITICAL))
        return EBB_SEVERITY_CRITICAL;
    return ebb__is_share(scope->room.likely_bytes, limit, EBB_LIMIT_VICTIM_ROOM_WARN) ? EBB_SEVERITY_INFO
                                                                                      : EBB_SEVERITY_WARNING;
}

/* The one where least is left, of those where the process dies and somebody else could. */
static const struct ebb_doctor_scope *worst_scope(const struct ebb_doctor_facts *facts)
{
    const struct ebb_doctor_process *process = &facts->process;
    const struct ebb_doctor_scope *worst = NULL;

    for (unsigned i = 0; i < facts->scope_count; i++) {
        const struct ebb_doctor_scope *scope = &facts->scopes[i];

        if (!scope->target_dies || !scope->has_second ||
            !ebb__is_share(scope->second_bytes, process->status.vm_rss_bytes, EBB_LIMIT_VICTIM_SECOND))
            continue;
        if (worst == NULL || by_room(scope) > by_room(worst))
            worst = scope;
    }
    return worst;
}

static void advise_adj(const struct ebb_doctor_process *process, int adj, struct ebb_finding *finding)
{
    ebb__finding_now(finding, "ebb oom adj %d %d", process->pid, adj);
    if (process->unit != NULL)
        ebb__finding_advise_good(finding, "systemctl edit %s, and write: [Service] OOMScoreAdjust=%d",
                                 process->unit, adj);
    else
        ebb__finding_advise_good(
            finding,
            "OOMScoreAdjust=%d in the [Service] of its unit, or choom -n %d -- COMMAND where it is started",
            adj, adj);
}

enum ebb_rule_answer ebb__rule_wrong_victim(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    const struct ebb_doctor_scope *scope;
    struct ebb_oom_task task;
    uint64_t page_bytes;
    bool flips;
    int adj;
    char text[2][EBB_UNITS_BYTES];

    if (!ebb__status_has(&process->status, EBB_STATUS_VM_RSS))
        return EBB_RULE_SILENT;
    if (facts->scope_count == 0 || !process->has_adj)
        return ebb__finding_lacks(finding, "processes and their oom_score_adj", "they cannot be listed");
    scope = worst_scope(facts);
    if (scope == NULL)
        return EBB_RULE_SILENT;
    if (ebb__finding_needs(finding, facts->host.page_bytes, "size of pages", &page_bytes))
        return EBB_RULE_UNKNOWN;
    task = task_of(process, page_bytes);
    flips = ebb__oom_adj_below(&task, scope->second_points - (int64_t)scope->error_pages, scope->total_pages,
                               &adj);
    ebb__finding_severity(finding, by_room(scope));
    ebb__finding_evidence(finding, "ebb oom", "in %s it is killed first, %s ahead of %s (pid %d)",
                          scope->name, ebb__units_bytes(scope->margin_bytes, text[0]), scope->second_name,
                          scope->second_pid);
    ebb__finding_evidence(finding, "/proc/PID/status", "%s (pid %d) holds %s", scope->second_name,
                          scope->second_pid, ebb__units_bytes(scope->second_bytes, text[0]));
    if (scope->has_room)
        ebb__finding_evidence(finding, scope->is_host ? "/proc/meminfo" : "memory.stat",
                              "%s has %s of %s left", scope->name,
                              ebb__units_bytes(scope->room.likely_bytes, text[0]),
                              ebb__units_bytes(ebb__fact_or(scope->limit_bytes, 0), text[1]));
    if (flips)
        advise_adj(process, adj, finding);
    ebb__finding_advise_good(finding, "a memory cgroup with a limit of its own for what grows beside it");
    if (flips)
        ebb__finding_gain(finding, "%s (pid %d) dies instead, and frees %s", scope->second_name,
                          scope->second_pid, ebb__units_bytes(scope->second_bytes, text[0]));
    else
        ebb__finding_gain(finding, "no oom_score_adj changes this order: the difference is too large");
    return EBB_RULE_FIRES;
}

/* ---- R05 ---- */

enum ebb_rule_answer ebb__rule_unkillable(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    char text[EBB_UNITS_BYTES];

    if (!process->has_adj)
        return ebb__finding_lacks(finding, "oom_score_adj", "it cannot be read");
    if (process->adj != EBB_OOM_ADJ_MIN)
        return EBB_RULE_SILENT;
    ebb__finding_severity(finding, EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, "/proc/PID/oom_score_adj", "oom_score_adj is -1000");
    if (ebb__status_has(&process->status, EBB_STATUS_VM_RSS))
        ebb__finding_evidence(finding, "/proc/PID/status", "it holds %s",
                              ebb__units_bytes(process->status.vm_rss_bytes, text));
    advise_adj(process, -900, finding);
    ebb__finding_advise_good(
        finding, "protect its memory instead: memory.min or memory.low of its cgroup (version 2)");
    ebb__finding_gain(
        finding, "with -900 it still dies last, unless it holds nine tenths of all memory more than others");
    return EBB_RULE_FIRES;
}

/* ---- R06 ---- */

enum ebb_rule_answer ebb__rule_hugetlb_blind(const struct ebb_doctor_facts *facts,
                                             struct ebb_finding *finding)
{
    const struct ebb_status *status = &facts->process.status;
    char text[2][EBB_UNITS_BYTES];

    if (!ebb__status_has(status, EBB_STATUS_HUGETLB) ||
        status->hugetlb_bytes < EBB_MIB(EBB_LIMIT_HUGETLB_LEAST) ||
        !ebb__status_has(status, EBB_STATUS_VM_RSS) || status->hugetlb_bytes < status->vm_rss_bytes)
        return EBB_RULE_SILENT;
    ebb__finding_severity(finding, EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, "/proc/PID/status", "%s in huge pages of the pool, %s RSS",
                          ebb__units_bytes(status->hugetlb_bytes, text[0]),
                          ebb__units_bytes(status->vm_rss_bytes, text[1]));
    ebb__finding_advise_now(finding, "see who would die instead: ebb oom");
    ebb__finding_advise_good(finding,
                             "limit the others: a memory cgroup with MemoryMax= for each of their units");
    ebb__finding_advise_good(finding, "leave room beside the pool of huge pages when it is sized");
    ebb__finding_gain(finding, "what grows is killed, not what happens to be the largest beside the pool");
    return EBB_RULE_FIRES;
}

/* ---- R35 ---- */

enum ebb_rule_answer ebb__rule_panic_on_oom(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    uint64_t value;

    if (ebb__finding_needs(finding, facts->host.panic_on_oom, "vm.panic_on_oom", &value))
        return EBB_RULE_UNKNOWN;
    if (value == 0)
        return EBB_RULE_SILENT;
    ebb__finding_severity(finding, value == 2 ? EBB_SEVERITY_CRITICAL : EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, "/proc/sys/vm/panic_on_oom", "vm.panic_on_oom is %llu%s",
                          (unsigned long long)value,
                          value == 2 ? ": the limit of any memory cgroup stops the host" : "");
    ebb__finding_sysctl(finding, "vm.panic_on_oom", 0);
    ebb__finding_gain(finding, "one process dies, not the host");
    return EBB_RULE_FIRES;
}

/* ---- R28 ---- */

enum ebb_rule_answer ebb__rule_dead_holder(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    char text[EBB_UNITS_BYTES];

    if (!ebb__status_has(&process->status, EBB_STATUS_STATE) || strchr("ZX", process->status.state) == NULL ||
        process->status.state == '\0')
        return EBB_RULE_SILENT;
    if (!process->held_bytes.known || process->held_bytes.value < EBB_MIB(EBB_LIMIT_HELD))
        return EBB_RULE_SILENT;
    ebb__finding_severity(finding, process->is_killed ? EBB_SEVERITY_CRITICAL : EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, "/proc/PID/status", "its first thread has ended (state %c)",
                          process->status.state);
    ebb__finding_evidence(finding, "/proc/PID/task", "another thread still holds %s%s",
                          ebb__units_bytes(process->held_bytes.value, text),
                          process->is_killed ? ", and does not end although it was killed" : "");
    ebb__finding_advise_now(finding, "what its threads wait for: cat /proc/%d/task/*/wchan", process->pid);
    if (process->is_killed)
        ebb__finding_advise_good(
            finding, "a thread waits in the kernel, for a disk or for the lock of its address space: "
                     "only the end of that, or a reboot, helps");
    else
        ebb__finding_advise_now(finding, "if it was meant to end: kill -KILL %d", process->pid);
    ebb__finding_gain(finding, "%s", ebb__units_bytes(process->held_bytes.value, text));
    return EBB_RULE_FIRES;
}
