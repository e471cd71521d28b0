/* SPDX-License-Identifier: MIT
 *
 * Rules about reclaim: what it looks at in vain, who must wait for it, swappiness, dirty pages, NUMA nodes.
 */
#include "model/rules_priv.h"

/* ---- R08 ---- */

enum ebb_rule_answer ebb__rule_swappiness_zero(const struct ebb_doctor_facts *facts,
                                               struct ebb_finding *finding)
{
    const struct ebb_doctor_host *host = &facts->host;
    uint64_t swap = ebb__fact_or(host->memory.swap_total_bytes, 0);
    bool fires = false;
    char text[EBB_UNITS_BYTES];

    if (swap == 0)
        return EBB_RULE_SILENT;
    if (facts->has_host && host->swappiness.known && host->swappiness.value == 0) {
        fires = true;
        ebb__finding_evidence(finding, "/proc/sys/vm/swappiness", "vm.swappiness is 0");
        ebb__finding_sysctl(finding, "vm.swappiness", 1);
    }
    for (unsigned i = 0; i < facts->scope_count; i++)
        if (!facts->scopes[i].is_host && facts->scopes[i].swappiness.known &&
            facts->scopes[i].swappiness.value == 0) {
            fires = true;
            ebb__finding_evidence(finding, "memory.swappiness", "memory.swappiness of %s is 0",
                                  facts->scopes[i].name);
            ebb__finding_advise_now(finding, "write 1 to memory.swappiness of the cgroup");
        }
    if (!fires)
        return facts->has_host && !host->swappiness.known
                   ? ebb__finding_lacks(finding, "vm.swappiness", ebb__fact_why(host->swappiness))
                   : EBB_RULE_SILENT;
    ebb__finding_severity(finding, EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, "/proc/meminfo", "there are %s of swap", ebb__units_bytes(swap, text));
    ebb__finding_gain(finding, "what is not used leaves before the page cache is gone");
    return EBB_RULE_FIRES;
}

/* ---- R09, R10: rates ---- */

static const char *span_name(const struct ebb_doctor_host *host)
{
    return host->since_boot ? "since boot" : "in this look";
}

/* For each second; 0 when no time has passed. */
static double per_second(const struct ebb_doctor_host *host, struct ebb_fact rise)
{
    uint64_t ms = ebb__fact_or(host->span_ms, 0);

    return ms == 0 ? 0 : (double)ebb__fact_or(rise, 0) * 1000 / (double)ms;
}

static double pressure_full(const struct ebb_pressure *pressure)
{
    return (double)ebb__fact_or(pressure->full.avg60_hundredths, 0) / 100;
}

static void advise_watermarks(const struct ebb_doctor_host *host, struct ebb_finding *finding)
{
    uint64_t factor = ebb__fact_or(host->watermark_scale_factor, 10);
    uint64_t better = factor < EBB_LIMIT_SCALE_GOOD ? EBB_LIMIT_SCALE_GOOD
                      : factor * 2 > 1000           ? 1000
                                                    : factor * 2;
    uint64_t total = ebb__fact_or(host->memory.mem_total_bytes, 0);
    char text[EBB_UNITS_BYTES];

    ebb__finding_sysctl(finding, "vm.watermark_scale_factor", better);
    ebb__finding_gain(finding, "kswapd starts %s earlier, and programs are not stopped",
                      ebb__units_bytes(total / 10000 * (better - factor), text));
}

enum ebb_rule_answer ebb__rule_reclaim_fails(const struct ebb_doctor_facts *facts,
                                             struct ebb_finding *finding)
{
    const struct ebb_doctor_host *host = &facts->host;
    const struct ebb_reclaim_rates *rates = &host->reclaim;
    const struct ebb_reclaim_kind *kind = rates->by_kind ? &rates->all : &rates->global;
    double full = pressure_full(&host->pressure);
    uint64_t direct;
    bool in_vain;
    bool thrashes;

    if (ebb__finding_needs(finding, rates->direct, "pgscan_direct of vmstat", &direct))
        return EBB_RULE_UNKNOWN;
    in_vain = direct != 0 && kind->efficiency.known &&
              kind->efficiency.percent < EBB_LIMIT_EFFICIENCY_LEAST &&
              per_second(host, kind->scan) >= EBB_LIMIT_SCAN_LEAST;
    thrashes = ebb__fact_or(host->refault_anon, 0) != 0 && full > EBB_LIMIT_PRESSURE_WARN;
    if (!in_vain && !thrashes)
        return EBB_RULE_SILENT;
    ebb__finding_severity(finding,
                          full >= EBB_LIMIT_PRESSURE_CRITICAL ? EBB_SEVERITY_CRITICAL : EBB_SEVERITY_WARNING);
    if (kind->efficiency.known)
        ebb__finding_evidence(finding, "/proc/vmstat", "%s: %llu pages looked at, %.0f %% of them freed",
                              span_name(host), (unsigned long long)ebb__fact_or(kind->scan, 0),
                              kind->efficiency.percent);
    ebb__finding_evidence(finding, "/proc/vmstat", "%s: %llu pages were looked at by programs themselves",
                          span_name(host), (unsigned long long)direct);
    if (thrashes)
        ebb__finding_evidence(finding, "/proc/vmstat", "%s: %llu anonymous pages were read back from swap",
                              span_name(host), (unsigned long long)host->refault_anon.value);
    if (full > 0)
        ebb__finding_evidence(finding, "/proc/pressure/memory",
                              "all tasks waited for %.1f %% of the last minute", full);
    advise_watermarks(host, finding);
    ebb__finding_advise_now(finding, "a smaller pool: what is reclaimed in vain is used");
    return EBB_RULE_FIRES;
}

enum ebb_rule_answer ebb__rule_stalls(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_doctor_host *host = &facts->host;
    double stalls = per_second(host, host->reclaim.stalls);
    double hurries = per_second(host, host->hurries);

    if (!host->reclaim.stalls.known && !host->hurries.known)
        return ebb__finding_lacks(finding, "allocstall of vmstat", ebb__fact_why(host->reclaim.stalls));
    if (stalls <= EBB_LIMIT_STALLS_MOST && hurries <= EBB_LIMIT_HURRIES_MOST)
        return EBB_RULE_SILENT;
    ebb__finding_severity(finding, EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, "/proc/vmstat: allocstall_*",
                          "%s: %llu times (%.1f a second) a program had to reclaim", span_name(host),
                          (unsigned long long)ebb__fact_or(host->reclaim.stalls, 0), stalls);
    ebb__finding_evidence(finding, "/proc/vmstat: kswapd_low_wmark_hit_quickly",
                          "%s: %llu times (%.1f a second) kswapd stopped too early", span_name(host),
                          (unsigned long long)ebb__fact_or(host->hurries, 0), hurries);
    if (host->watermark_scale_factor.known)
        ebb__finding_evidence(finding, "/proc/sys/vm/watermark_scale_factor",
                              "vm.watermark_scale_factor is %llu",
                              (unsigned long long)host->watermark_scale_factor.value);
    advise_watermarks(host, finding);
    return EBB_RULE_FIRES;
}

/* ---- R27 ---- */

static bool waits(const struct ebb_pressure *pressure, const char *who, const char *source,
                  struct ebb_finding *finding)
{
    double full = pressure_full(pressure);

    if (full <= EBB_LIMIT_PRESSURE_WARN)
        return false;
    ebb__finding_severity(finding,
                          full >= EBB_LIMIT_PRESSURE_CRITICAL ? EBB_SEVERITY_CRITICAL : EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, source, "%s: all tasks waited for memory in %.1f %% of the last minute",
                          who, full);
    return true;
}

enum ebb_rule_answer ebb__rule_pressure(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    bool fires = facts->has_host && waits(&facts->host.pressure, "host", "/proc/pressure/memory", finding);

    for (unsigned i = 0; i < facts->scope_count; i++)
        if (!facts->scopes[i].is_host)
            fires |= waits(&facts->scopes[i].pressure, facts->scopes[i].name, "memory.pressure", finding);
    if (!fires)
        return facts->has_host && !facts->host.pressure.full.avg60_hundredths.known
                   ? ebb__finding_lacks(finding, "/proc/pressure/memory (boot with psi=1)",
                                        ebb__fact_why(facts->host.pressure.full.avg60_hundredths))
                   : EBB_RULE_SILENT;
    if (facts->has_process)
        ebb__finding_advise_now(finding, "see what holds the memory: ebb explain %d", facts->process.pid);
    ebb__finding_advise_now(
        finding, "in this order: limit the page cache of others, shrink the pool, add swap, raise limits");
    ebb__finding_advise_good(finding, "size the pool so that rule R34 is silent");
    ebb__finding_gain(finding, "the time that is lost now");
    return EBB_RULE_FIRES;
}

/* ---- R20 ---- */

static void judge_order(const struct ebb_doctor_host *host, bool *ret_misordered, bool *ret_large)
{
    uint64_t bytes = ebb__fact_or(host->dirty_bytes, 0);
    uint64_t background = ebb__fact_or(host->dirty_background_bytes, 0);
    uint64_t total = ebb__fact_or(host->memory.mem_total_bytes, 0);

    /* Of each pair the bytes hold when they are not 0; a background above half is cut to half by the kernel, in silence. */
    *ret_misordered = bytes != 0 || background != 0
                          ? bytes != 0 && background >= bytes
                          : host->dirty_ratio.known && host->dirty_background_ratio.known &&
                                host->dirty_background_ratio.value >= host->dirty_ratio.value;
    *ret_large = bytes == 0 && total >= EBB_GIB(EBB_LIMIT_RATIO_RAM);
}

enum ebb_rule_answer ebb__rule_dirty(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_doctor_host *host = &facts->host;
    uint64_t page = ebb__fact_or(host->page_bytes, 4096);
    uint64_t dirty;
    uint64_t threshold;
    bool near;
    bool misordered;
    bool large;
    char text[2][EBB_UNITS_BYTES];

    if (ebb__finding_needs(finding, host->vm.nr_dirty, "nr_dirty of vmstat", &dirty) ||
        ebb__finding_needs(finding, host->vm.nr_dirty_threshold, "nr_dirty_threshold of vmstat", &threshold))
        return EBB_RULE_UNKNOWN;
    near = ebb__is_share(dirty, threshold, EBB_LIMIT_DIRTY_MOST);
    judge_order(host, &misordered, &large);
    if (!near && !misordered && !large)
        return EBB_RULE_SILENT;
    if (near || misordered)
        ebb__finding_severity(finding, EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, "/proc/vmstat", "%s dirty, writers are stopped at %s",
                          ebb__units_bytes(dirty * page, text[0]),
                          ebb__units_bytes(threshold * page, text[1]));
    if (misordered)
        ebb__finding_evidence(
            finding, "/proc/sys/vm/dirty_*",
            "the background threshold is not below the threshold: the kernel takes half of that");
    if (large)
        ebb__finding_evidence(finding, "/proc/sys/vm/dirty_ratio",
                              "%llu %% of a large memory, not an amount that disks can write",
                              (unsigned long long)ebb__fact_or(host->dirty_ratio, 0));
    ebb__finding_sysctl(finding, "vm.dirty_background_bytes", EBB_MIB(256));
    ebb__finding_sysctl(finding, "vm.dirty_bytes", EBB_GIB(1));
    ebb__finding_gain(finding, "at most 1 GiB to be written before a writer goes on");
    return EBB_RULE_FIRES;
}

/* ---- R19 ---- */

static uint64_t unwritten(const struct ebb_doctor_scope *scope)
{
    return ebb__fact_or(scope->dirty_bytes, 0) + ebb__fact_or(scope->writeback_bytes, 0);
}

/* The cgroup with the largest share of pages that are not written yet. */
static const struct ebb_doctor_scope *dirtiest(const struct ebb_doctor_facts *facts)
{
    const struct ebb_doctor_scope *found = NULL;

    for (unsigned i = 0; i < facts->scope_count; i++) {
        const struct ebb_doctor_scope *scope = &facts->scopes[i];
        uint64_t limit = ebb__fact_or(scope->limit_bytes, 0);

        if (!scope->is_host && ebb__is_share(unwritten(scope), limit, EBB_LIMIT_WRITEBACK_SHARE) &&
            (found == NULL || ebb__share_of(unwritten(scope), limit) >
                                  ebb__share_of(unwritten(found), found->limit_bytes.value)))
            found = scope;
    }
    return found;
}

enum ebb_rule_answer ebb__rule_group_writeback(const struct ebb_doctor_facts *facts,
                                               struct ebb_finding *finding)
{
    const struct ebb_doctor_host *host = &facts->host;
    const struct ebb_doctor_scope *scope = host->cgroup_version == 1 ? dirtiest(facts) : NULL;
    uint64_t page = ebb__fact_or(host->page_bytes, 4096);
    uint64_t limit;
    char text[3][EBB_UNITS_BYTES];

    if (scope == NULL)
        return EBB_RULE_SILENT;
    limit = scope->limit_bytes.value;
    ebb__finding_severity(finding, EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, "memory.stat of its cgroup",
                          "%s (version 1): %s dirty and %s being written, of a limit of %s", scope->name,
                          ebb__units_bytes(ebb__fact_or(scope->dirty_bytes, 0), text[0]),
                          ebb__units_bytes(ebb__fact_or(scope->writeback_bytes, 0), text[1]),
                          ebb__units_bytes(limit, text[2]));
    if (host->vm.nr_dirty_threshold.known)
        ebb__finding_evidence(finding, "/proc/vmstat", "writers are stopped when the host has %s of them",
                              ebb__units_bytes(host->vm.nr_dirty_threshold.value * page, text[0]));
    /* Whole pages: the kernel rounds down, and refuses less than two. */
    ebb__finding_sysctl(finding, "vm.dirty_background_bytes", limit / 10 / page * page);
    ebb__finding_sysctl(finding, "vm.dirty_bytes", limit / 5 / page * page);
    ebb__finding_advise_good(finding, "cgroups of version 2, where each has its own share of dirty pages: "
                                      "systemd.unified_cgroup_hierarchy=1 on the kernel's command line");
    ebb__finding_gain(finding, "at most %s wait to be written, of any cgroup",
                      ebb__units_bytes(limit / 5, text[0]));
    return EBB_RULE_FIRES;
}

/* ---- R31 ---- */

static const struct ebb_doctor_node *node_at(const struct ebb_doctor_host *host, bool fullest)
{
    const struct ebb_doctor_node *found = NULL;

    for (unsigned i = 0; i < host->node_count; i++) {
        const struct ebb_doctor_node *node = &host->nodes[i];
        double share = ebb__share_of(node->free_bytes, node->total_bytes);

        /* Nodes without memory hold processors alone. */
        if (node->total_bytes == 0)
            continue;
        if (found == NULL || (fullest ? share < ebb__share_of(found->free_bytes, found->total_bytes)
                                      : share > ebb__share_of(found->free_bytes, found->total_bytes)))
            found = node;
    }
    return found;
}

enum ebb_rule_answer ebb__rule_numa(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_doctor_host *host = &facts->host;
    const struct ebb_doctor_node *full = node_at(host, true);
    const struct ebb_doctor_node *free = node_at(host, false);
    bool mode = host->node_count > 1 && ebb__fact_or(host->zone_reclaim_mode, 0) != 0;
    bool uneven = host->node_count > 1 && full != NULL && free != NULL && full != free &&
                  !ebb__is_share(full->free_bytes, full->total_bytes, EBB_LIMIT_NODE_FULL) &&
                  ebb__is_share(free->free_bytes, free->total_bytes, EBB_LIMIT_NODE_FREE);
    char text[2][EBB_UNITS_BYTES];

    if (!mode && !uneven)
        return EBB_RULE_SILENT;
    ebb__finding_severity(finding, EBB_SEVERITY_WARNING);
    if (mode) {
        ebb__finding_evidence(finding, "/proc/sys/vm/zone_reclaim_mode",
                              "vm.zone_reclaim_mode is %llu, with %u nodes",
                              (unsigned long long)host->zone_reclaim_mode.value, host->node_count);
        ebb__finding_sysctl(finding, "vm.zone_reclaim_mode", 0);
    }
    if (uneven)
        ebb__finding_evidence(finding, "/sys/devices/system/node", "node %u has %s free, node %u %s",
                              full->number, ebb__units_bytes(full->free_bytes, text[0]), free->number,
                              ebb__units_bytes(free->free_bytes, text[1]));
    ebb__finding_advise_good(
        finding,
        "spread the pool: numactl --interleave=all before the server, or innodb_numa_interleave=ON (MySQL)");
    ebb__finding_gain(finding, "all of the memory serves all of the processors");
    return EBB_RULE_FIRES;
}
