/* SPDX-License-Identifier: MIT
 *
 * Rules about the size of pages: transparent huge pages, the pool of huge pages, page tables.
 */
#include <string.h>

#include "model/rules_priv.h"
#include "probe/alloc_version.h"

static struct ebb_fact anonymous(const struct ebb_doctor_process *process)
{
    return ebb__status_fact(&process->status, EBB_STATUS_RSS_ANON, process->status.rss_anon_bytes);
}

/* ---- R11 ---- */

enum ebb_rule_answer ebb__rule_thp_waste(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    struct ebb_fact anon = anonymous(process);
    uint64_t mode;
    uint64_t huge;
    char text[2][EBB_UNITS_BYTES];

    if (!anon.known || anon.value < EBB_MIB(EBB_LIMIT_THP_LEAST))
        return EBB_RULE_SILENT;
    if (ebb__status_has(&process->status, EBB_STATUS_THP_ENABLED) && process->status.thp_enabled == 0)
        return EBB_RULE_SILENT;
    if (ebb__finding_needs(finding, facts->host.thp, "transparent_hugepage/enabled", &mode))
        return EBB_RULE_UNKNOWN;
    if (mode != EBB_THP_ALWAYS)
        return EBB_RULE_SILENT;
    if (ebb__finding_needs(finding, process->anon_huge_bytes, "AnonHugePages of the process", &huge))
        return EBB_RULE_UNKNOWN;
    if (!ebb__is_share(huge, anon.value, EBB_LIMIT_THP_SHARE) || huge < EBB_MIB(EBB_LIMIT_THP_LEAST))
        return EBB_RULE_SILENT;
    ebb__finding_severity(finding, EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, "/sys/kernel/mm/transparent_hugepage/enabled",
                          "huge pages are given always, unasked");
    ebb__finding_evidence(finding, "/proc/PID/smaps", "%s of %s anonymous memory are in huge pages (%.0f %%)",
                          ebb__units_bytes(huge, text[0]), ebb__units_bytes(anon.value, text[1]),
                          ebb__share_of(huge, anon.value));
    if (facts->host.thp_page_bytes.known)
        ebb__finding_evidence(finding, "hpage_pmd_size", "one touched byte can cost %s",
                              ebb__units_bytes(facts->host.thp_page_bytes.value, text[0]));
    ebb__finding_now(finding, "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
    ebb__finding_good(finding, "echo 'w /sys/kernel/mm/transparent_hugepage/enabled - - - - madvise' > "
                               "/etc/tmpfiles.d/ebb-thp.conf");
    if (ebb__process_is_on(process, "jemalloc"))
        ebb__finding_advise_good(finding,
                                 "or for this process alone: MALLOC_CONF=thp:never in its environment");
    ebb__finding_gain(finding, "up to %s of RSS that was never written, after a restart",
                      ebb__units_bytes(huge, text[0]));
    return EBB_RULE_FIRES;
}

/* ---- R12 ---- */

/* It serves malloc, or is a part of the program that serves what asks for it by name. */
static bool has_jemalloc(const struct ebb_doctor_process *process)
{
    return ebb__process_is_on(process, "jemalloc") ||
           (process->inner_allocator != NULL && strcmp(process->inner_allocator, "jemalloc") == 0);
}

static void say_jemalloc(const struct ebb_doctor_process *process, struct ebb_finding *finding)
{
    bool serves = process->allocator != NULL && strcmp(process->allocator, "jemalloc") == 0;

    ebb__finding_evidence(finding,
                          process->allocator == NULL ? "/proc/PID/maps"
                          : serves                   ? "the dynamic linker's own list"
                                                     : "symbols of the program",
                          process->allocator == NULL ? "libjemalloc is mapped"
                          : serves                   ? "malloc is served by jemalloc"
                                                     : "the program contains a jemalloc");
    if (process->jemalloc_version != NULL)
        ebb__finding_evidence(finding, "constants in its memory", "it is version %s",
                              process->jemalloc_version);
    else
        ebb__finding_evidence(finding, "constants in its memory",
                              "which version it is is not known (%s): of 5.3.1 and later this is not true",
                              process->jemalloc_version_why == NULL
                                  ? "a captured tree has no memory to look into"
                                  : process->jemalloc_version_why);
}

enum ebb_rule_answer ebb__rule_jemalloc_pages(const struct ebb_doctor_facts *facts,
                                              struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    uint64_t huge = ebb__fact_or(facts->host.memory.huge_page_bytes, 0);
    uint64_t pmd = ebb__fact_or(facts->host.thp_page_bytes, 0);
    uint64_t larger = huge > pmd ? huge : pmd;
    uint64_t threads = ebb__status_has(&process->status, EBB_STATUS_THREADS) ? process->status.threads : 1;
    uint64_t rss = ebb__status_has(&process->status, EBB_STATUS_VM_RSS) ? process->status.vm_rss_bytes : 0;
    bool is_old; /* as far as is known */
    int order;
    char text[2][EBB_UNITS_BYTES];

    if (larger < EBB_MIB(EBB_LIMIT_HUGE_PAGE_MOST))
        return EBB_RULE_SILENT;
    if (process->allocator == NULL && facts->live)
        return ebb__finding_lacks(finding, "who serves malloc",
                                  ebb__fact_why(ebb__fact_unknown(process->allocator_err)));
    if (!has_jemalloc(process))
        return EBB_RULE_SILENT;
    is_old = process->jemalloc_version != NULL &&
             ebb__alloc_version_compare(process->jemalloc_version, 5, 3, 1, &order);
    if (is_old && order >= 0)
        return EBB_RULE_SILENT;
    ebb__finding_severity(finding, is_old && rss > larger ? EBB_SEVERITY_CRITICAL : EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, "/proc/meminfo: Hugepagesize, hpage_pmd_size",
                          "huge pages have %s, pages %s", ebb__units_bytes(larger, text[0]),
                          ebb__units_bytes(ebb__fact_or(facts->host.page_bytes, 0), text[1]));
    say_jemalloc(process, finding);
    ebb__finding_evidence(finding, "/proc/PID/status", "%s RSS, %llu threads", ebb__units_bytes(rss, text[0]),
                          (unsigned long long)threads);
    ebb__finding_advise_good(finding, "jemalloc 5.3.1 or later, or one that was configured with "
                                      "--with-lg-hugepage=21; then this is harmless");
    ebb__finding_advise_good(
        finding, "the boot option default_hugepagesz=2M helps only if jemalloc is built anew after it");
    ebb__finding_advise_good(finding, "or another allocator: ebb run -- ...");
    ebb__finding_gain(finding, "up to %s for each arena", ebb__units_bytes(larger, text[0]));
    return EBB_RULE_FIRES;
}

/* ---- R24 ---- */

enum ebb_rule_answer ebb__rule_hugetlb_unused(const struct ebb_doctor_facts *facts,
                                              struct ebb_finding *finding)
{
    const struct ebb_meminfo *memory = &facts->host.memory;
    uint64_t free = ebb__fact_or(memory->huge_pages_free, 0);
    uint64_t reserved = ebb__fact_or(memory->huge_pages_rsvd, 0);
    uint64_t total = ebb__fact_or(memory->huge_pages_total, 0);
    uint64_t page = ebb__fact_or(memory->huge_page_bytes, 0);
    uint64_t unused = free > reserved ? free - reserved : 0;
    char text[EBB_UNITS_BYTES];

    if (unused == 0 || page == 0 || unused > UINT64_MAX / page ||
        unused * page < EBB_MIB(EBB_LIMIT_HUGETLB_UNUSED))
        return EBB_RULE_SILENT;
    ebb__finding_severity(finding, EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, "/proc/meminfo", "%llu of %llu huge pages are free and not reserved: %s",
                          (unsigned long long)unused, (unsigned long long)total,
                          ebb__units_bytes(unused * page, text));
    ebb__finding_sysctl(finding, "vm.nr_hugepages", total > unused ? total - unused : 0);
    ebb__finding_advise_good(finding, "or let the server use them: large_pages=ON, huge_pages=on, and the "
                                      "limit of locked memory of its unit");
    ebb__finding_gain(finding, "%s for everybody", ebb__units_bytes(unused * page, text));
    return EBB_RULE_FIRES;
}

/* ---- R36 ---- */

enum ebb_rule_answer ebb__rule_pool_pages(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    const struct ebb_status *status = &process->status;
    const struct ebb_doctor_class *pool = &process->classes[EBB_VMA_CLASS_POOL];
    uint64_t page = ebb__fact_or(facts->host.memory.huge_page_bytes, 0);
    uint64_t pages;
    char text[3][EBB_UNITS_BYTES];

    if (!ebb__status_has(status, EBB_STATUS_VM_PTE) || status->vm_pte_bytes < EBB_MIB(EBB_LIMIT_TABLES) ||
        page == 0 || page > EBB_MIB(EBB_LIMIT_HUGE_PAGE_MOST))
        return EBB_RULE_SILENT;
    if (!pool->rss_bytes.known && pool->count != 0)
        return ebb__finding_lacks(finding, "resident pages of the pool", ebb__fact_why(pool->rss_bytes));
    /* Less than the half of it in one pool: huge pages would not help. */
    if (ebb__fact_or(pool->rss_bytes, 0) / 512 < status->vm_pte_bytes / 2)
        return EBB_RULE_SILENT;
    pages = (pool->writable_bytes + page - 1) / page;
    ebb__finding_evidence(
        finding, "/proc/PID/status", "%s of page tables, for %s RSS",
        ebb__units_bytes(status->vm_pte_bytes, text[0]),
        ebb__units_bytes(ebb__status_has(status, EBB_STATUS_VM_RSS) ? status->vm_rss_bytes : 0, text[1]));
    ebb__finding_evidence(finding, "/proc/PID/smaps", "its pool of %s is in small pages",
                          ebb__units_bytes(pool->writable_bytes, text[0]));
    ebb__finding_advise_good(
        finding,
        "vm.nr_hugepages=%llu at boot, large_pages=ON in the option file, LimitMEMLOCK=infinity in the unit",
        (unsigned long long)pages);
    ebb__finding_advise_good(
        finding, "its cost: rules R06 and R24, and a pool that cannot shrink into the page cache");
    ebb__finding_gain(finding, "%s of page tables, and fewer TLB misses",
                      ebb__units_bytes(ebb__fact_or(pool->rss_bytes, 0) / 512, text[0]));
    return EBB_RULE_FIRES;
}
