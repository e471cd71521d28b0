/* SPDX-License-Identifier: MIT
 *
 * Rules about the host beside its database: memory that nobody accounts for, and who else kills.
 */
#include <stdio.h>
#include <string.h>

#include "model/rules_priv.h"

/* ---- R25 ---- */

/* What the lines of meminfo name. Stacks may be among the vmalloc pages as well: counted twice, they make the rest smaller, not larger. */
static uint64_t named(const struct ebb_meminfo *memory)
{
    const struct ebb_fact facts[] = {
        memory->mem_free_bytes,     memory->active_bytes, memory->inactive_bytes,
        memory->unevictable_bytes,  memory->slab_bytes,   memory->kernel_stack_bytes,
        memory->page_tables_bytes,  memory->percpu_bytes, memory->sec_page_tables_bytes,
        memory->vmalloc_used_bytes, memory->zswap_bytes,  memory->hardware_corrupted_bytes,
    };
    uint64_t sreclaimable = ebb__fact_or(memory->sreclaimable_bytes, 0);
    uint64_t kreclaimable = ebb__fact_or(memory->kreclaimable_bytes, 0);
    uint64_t sum = kreclaimable > sreclaimable ? kreclaimable - sreclaimable : 0;

    for (size_t i = 0; i < EBB_ARRAY_COUNT(facts); i++)
        sum += ebb__fact_or(facts[i], 0);
    /* All sizes of huge pages, or before 4.16 those of the usual one. */
    if (memory->hugetlb_bytes.known)
        return sum + memory->hugetlb_bytes.value;
    return sum + ebb__fact_or(memory->huge_pages_total, 0) * ebb__fact_or(memory->huge_page_bytes, 0);
}

/* Who is known to have some of it. Returns how much that explains. */
static uint64_t name_holders(const struct ebb_doctor_host *host, struct ebb_finding *finding)
{
    const struct {
        struct ebb_fact bytes;
        const char *text;
        const char *source;
    } holders[] = {
        {host->memory.balloon_bytes, "a balloon of the hypervisor has", "/proc/meminfo: Balloon"},
        {host->arc_bytes, "the cache of ZFS has, here and in slabs,", "/proc/spl/kstat/zfs/arcstats"},
        {host->zram_bytes, "zram has, for what was swapped out,", "/sys/block/zram*/mm_stat"},
    };
    uint64_t sum = 0;
    char text[EBB_UNITS_BYTES];

    for (size_t i = 0; i < EBB_ARRAY_COUNT(holders); i++) {
        if (ebb__fact_or(holders[i].bytes, 0) == 0)
            continue;
        sum += holders[i].bytes.value;
        ebb__finding_evidence(finding, holders[i].source, "%s %s", holders[i].text,
                              ebb__units_bytes(holders[i].bytes.value, text));
    }
    return sum;
}

static void name_drivers(const struct ebb_doctor_host *host, struct ebb_finding *finding)
{
    char list[EBB_FINDING_LINE_TEXT / 2] = "";
    size_t used = 0;

    for (unsigned i = 0; i < host->driver_count && used < sizeof(list); i++)
        used +=
            (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i == 0 ? "" : ", ", host->drivers[i]);
    if (host->driver_count != 0)
        ebb__finding_evidence(finding, "/sys/module", "loaded, and known to take pages for themselves: %s",
                              list);
    else
        ebb__finding_evidence(
            finding, "/sys/module",
            "no driver is loaded that is known for it: pipes, sockets and other drivers remain");
}

static void advise_holders(const struct ebb_doctor_host *host, uint64_t rest, uint64_t usable,
                           struct ebb_finding *finding)
{
    uint64_t arc = ebb__fact_or(host->arc_bytes, 0);

    if (arc > rest / 2) {
        ebb__finding_now(finding, "echo %llu > /sys/module/zfs/parameters/zfs_arc_max",
                         (unsigned long long)arc / 2);
        ebb__finding_good(finding, "echo 'options zfs zfs_arc_max=%llu' > /etc/modprobe.d/60-ebb-zfs.conf",
                          (unsigned long long)arc / 2);
    }
    if (ebb__fact_or(host->memory.balloon_bytes, 0) > rest / 2)
        ebb__finding_advise_now(finding,
                                "have the hypervisor deflate the balloon, or give the guest less and say so");
    if (finding->now_count == 0)
        ebb__finding_advise_now(
            finding,
            "sockets: ss -m -a; pipes: lsof | grep FIFO; drivers: rmmod one at a time where that may be, "
            "and look again");
    ebb__finding_advise_good(finding, "size pools and limits by %llu MiB, not by MemTotal",
                             (unsigned long long)(usable >> 20));
}

enum ebb_rule_answer ebb__rule_unaccounted(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_doctor_host *host = &facts->host;
    const struct ebb_meminfo *memory = &host->memory;
    uint64_t total;
    uint64_t free;
    uint64_t active;
    uint64_t slab;
    uint64_t rest;
    char text[2][EBB_UNITS_BYTES];

    if (ebb__finding_needs(finding, memory->mem_total_bytes, "MemTotal", &total) ||
        ebb__finding_needs(finding, memory->mem_free_bytes, "MemFree", &free) ||
        ebb__finding_needs(finding, memory->active_bytes, "Active", &active) ||
        ebb__finding_needs(finding, memory->slab_bytes, "Slab", &slab))
        return EBB_RULE_UNKNOWN;
    rest = total > named(memory) ? total - named(memory) : 0;
    if (!ebb__is_share(rest, total, EBB_LIMIT_UNACCOUNTED) || rest < EBB_MIB(EBB_LIMIT_UNACCOUNTED_LEAST))
        return EBB_RULE_SILENT;
    ebb__finding_severity(finding, EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, "/proc/meminfo", "%s of %s are in no line of it (%.0f %%)",
                          ebb__units_bytes(rest, text[0]), ebb__units_bytes(total, text[1]),
                          ebb__share_of(rest, total));
    if (name_holders(host, finding) < rest / 2)
        name_drivers(host, finding);
    advise_holders(host, rest, total - rest, finding);
    ebb__finding_gain(finding, "%s that are not counted on twice", ebb__units_bytes(rest, text[0]));
    return EBB_RULE_FIRES;
}

/* ---- R29 ---- */

/* The share of `whole` that `part` is, in hundredths of a percent; 0 without a whole. */
static uint64_t hundredths(struct ebb_fact part, struct ebb_fact whole)
{
    return ebb__fact_or(whole, 0) == 0
               ? 0
               : (uint64_t)((double)ebb__fact_or(part, 0) * 10000 / (double)whole.value);
}

/* Both memory and swap must be low. */
static bool is_near(const struct ebb_doctor_host *host, const struct ebb_doctor_killer *killer)
{
    uint64_t available = hundredths(host->memory.mem_available_bytes, host->memory.mem_total_bytes);
    uint64_t swap = hundredths(host->memory.swap_free_bytes, host->memory.swap_total_bytes);

    return killer->memory_hundredths.known && host->memory.mem_available_bytes.known &&
           available < EBB_LIMIT_KILLER_NEAR * killer->memory_hundredths.value &&
           (ebb__fact_or(host->memory.swap_total_bytes, 0) == 0 ||
            swap < EBB_LIMIT_KILLER_NEAR * ebb__fact_or(killer->swap_hundredths, 0));
}

static void say_killer(const struct ebb_doctor_facts *facts, const struct ebb_doctor_killer *killer,
                       struct ebb_finding *finding)
{
    const struct ebb_doctor_host *host = &facts->host;
    double available =
        (double)hundredths(host->memory.mem_available_bytes, host->memory.mem_total_bytes) / 100;

    if (killer->memory_hundredths.known)
        ebb__finding_evidence(
            finding, "its command line",
            "%s (pid %d) kills when less than %.1f %% of the memory, and of any swap %.1f %%, are to be had; "
            "now %.1f %% are",
            killer->name, killer->pid, (double)killer->memory_hundredths.value / 100,
            (double)ebb__fact_or(killer->swap_hundredths, 0) / 100, available);
    else
        ebb__finding_evidence(finding, "/proc", "%s (pid %d) runs, and kills when its own settings say so",
                              killer->name, killer->pid);
    if (killer->by_score && host->score_name != NULL)
        ebb__finding_evidence(
            finding, "/proc/PID/oom_score", "whom: the highest oom_score, that is %s (pid %d)%s",
            host->score_name, host->score_pid,
            facts->has_process && facts->process.pid == host->score_pid ? ", this process" : "");
    else if (!killer->by_score)
        ebb__finding_evidence(finding, "its rules",
                              "whom: whole cgroups that its units' settings name, by pressure or swap");
}

static void advise_killer(const struct ebb_doctor_facts *facts, const struct ebb_doctor_killer *killer,
                          struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    const char *name = facts->has_process ? process->name : "SERVER";

    if (strcmp(killer->name, "earlyoom") == 0) {
        ebb__finding_advise_good(
            finding,
            "spare the server: --avoid '^%s$' among EARLYOOM_ARGS in /etc/default/earlyoom, and "
            "systemctl restart earlyoom",
            name);
    } else if (strcmp(killer->name, "systemd-oomd") == 0) {
        ebb__finding_advise_now(finding, "see what it watches, and how near that is: oomctl");
        ebb__finding_advise_good(
            finding, "spare the server: systemctl edit %s, and write: [Service] ManagedOOMPreference=avoid",
            facts->has_process && process->unit != NULL ? process->unit : "UNIT");
    } else {
        ebb__finding_advise_good(finding, "spare the server in the settings of %s", killer->name);
    }
}

enum ebb_rule_answer ebb__rule_other_killer(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_doctor_host *host = &facts->host;
    uint64_t ttl = ebb__fact_or(host->min_ttl_ms, 0);

    if (ttl == 0 && host->killer_count == 0)
        return EBB_RULE_SILENT;
    if (ttl != 0) {
        ebb__finding_severity(finding, EBB_SEVERITY_WARNING);
        ebb__finding_evidence(finding, "/sys/kernel/mm/lru_gen/min_ttl_ms",
                              "the kernel kills rather than take back a page that was used within %llu ms",
                              (unsigned long long)ttl);
        ebb__finding_now(finding, "echo 0 > /sys/kernel/mm/lru_gen/min_ttl_ms");
        ebb__finding_good(
            finding,
            "echo 'w /sys/kernel/mm/lru_gen/min_ttl_ms - - - - 0' > /etc/tmpfiles.d/ebb-lru-gen.conf");
    }
    for (unsigned i = 0; i < host->killer_count; i++) {
        if (is_near(host, &host->killers[i]))
            ebb__finding_severity(finding, EBB_SEVERITY_WARNING);
        say_killer(facts, &host->killers[i], finding);
        advise_killer(facts, &host->killers[i], finding);
    }
    ebb__finding_gain(finding, "the server is not what dies first, or dies where ebb oom says");
    return EBB_RULE_FIRES;
}
