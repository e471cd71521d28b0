/* SPDX-License-Identifier: MIT
 *
 * Rules about the heap: what it keeps, how it is cut up, and whether the allocator that was asked for serves.
 */
#include <string.h>

#include "model/rules_priv.h"

/* What a heap may hold at most: the pages of all mappings that allocators make. */
static struct ebb_fact heap_pages(const struct ebb_doctor_process *process)
{
    static const enum ebb_vma_class CLASSES[] = {
        EBB_VMA_CLASS_HEAP,     EBB_VMA_CLASS_ARENA,    EBB_VMA_CLASS_BLOCK, EBB_VMA_CLASS_JEMALLOC,
        EBB_VMA_CLASS_TCMALLOC, EBB_VMA_CLASS_MIMALLOC, EBB_VMA_CLASS_EBB,   EBB_VMA_CLASS_ANON};
    uint64_t sum = 0;

    for (unsigned i = 0; i < sizeof(CLASSES) / sizeof(CLASSES[0]); i++) {
        const struct ebb_doctor_class *of = &process->classes[CLASSES[i]];

        if (of->count != 0 && !of->rss_bytes.known)
            return ebb__fact_unknown(of->rss_bytes.err);
        sum += of->count == 0 ? 0 : of->rss_bytes.value;
    }
    return ebb__fact(sum);
}

static uint64_t rss(const struct ebb_doctor_process *process)
{
    return ebb__status_has(&process->status, EBB_STATUS_VM_RSS) ? process->status.vm_rss_bytes : 0;
}

/* The least free memory that is worth a change: a fixed amount, less where all of the memory is small, more where the allocator keeps as much by
 * design. */
static uint64_t least_bytes(const struct ebb_doctor_facts *facts)
{
    uint64_t least = EBB_MIB(EBB_LIMIT_HEAP_LEAST);
    uint64_t kept = EBB_KIB(EBB_LIMIT_ARENA_KEEPS) * ebb__fact_or(facts->process.heap.arenas, 0);

    for (unsigned i = 0; i < facts->scope_count; i++) {
        uint64_t share =
            ebb__fact_or(facts->scopes[i].limit_bytes, UINT64_MAX) / 100 * EBB_LIMIT_HEAP_LEAST_SHARE;

        if (share < least)
            least = share;
    }
    return least > kept ? least : kept;
}

/* A heap that is so small, even if all of it were free, decides nothing. */
static bool is_small(const struct ebb_doctor_facts *facts)
{
    const struct ebb_doctor_process *process = &facts->process;
    struct ebb_fact pages = heap_pages(process);
    uint64_t most = pages.known ? pages.value : rss(process);

    return most < least_bytes(facts) || !ebb__is_share(most, rss(process), EBB_LIMIT_TRIM_SHARE);
}

static const char *why(const struct ebb_doctor_heap *heap)
{
    return heap->why == NULL ? "its books do not tell" : heap->why;
}

/* ---- R15 ---- */

enum ebb_rule_answer ebb__rule_trimmable(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    const struct ebb_doctor_heap *heap = &process->heap;
    struct ebb_fact trim = heap->trim_bytes.known ? heap->trim_bytes : heap->whole_bytes;
    bool on_ebb = ebb__process_is_on(process, "ebb");
    char text[2][EBB_UNITS_BYTES];

    if (is_small(facts))
        return EBB_RULE_SILENT;
    if (!trim.known)
        return ebb__finding_lacks(finding, "free pages of the heap", why(heap));
    if (trim.value < least_bytes(facts) || !ebb__is_share(trim.value, rss(process), EBB_LIMIT_TRIM_SHARE))
        return EBB_RULE_SILENT;
    ebb__finding_severity(finding, EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, heap->source, "%s of %s RSS are free in whole pages (%.0f %%)",
                          ebb__units_bytes(trim.value, text[0]), ebb__units_bytes(rss(process), text[1]),
                          ebb__share_of(trim.value, rss(process)));
    if (on_ebb)
        ebb__finding_now(finding, "ebb control %d trim", process->pid);
    else
        ebb__finding_advise_now(finding, "see what each way would give: ebb relieve %d", process->pid);
    ebb__finding_advise_good(finding,
                             on_ebb ? "the options of ebb-malloc(7) that say how soon free memory goes back"
                                    : "an allocator that gives memory back by itself: ebb run -- ...");
    ebb__finding_gain(finding, "%s of RSS", ebb__units_bytes(trim.value, text[0]));
    return EBB_RULE_FIRES;
}

/* ---- glibc: R13, R14 ---- */

/* Free of what the heap has. */
static struct ebb_fact free_bytes(const struct ebb_doctor_heap *heap)
{
    if (!heap->whole_bytes.known || !heap->fragment_bytes.known)
        return ebb__fact_unknown(-ENODATA);
    return ebb__fact(heap->whole_bytes.value + heap->fragment_bytes.value);
}

static enum ebb_rule_answer lacks_allocator(const struct ebb_doctor_process *process,
                                            struct ebb_finding *finding)
{
    return ebb__finding_lacks(finding, "who serves malloc",
                              ebb__fact_why(ebb__fact_unknown(process->allocator_err)));
}

enum ebb_rule_answer ebb__rule_arenas(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    const struct ebb_doctor_heap *heap = &process->heap;
    /* From outside: the mappings of that shape, of which an arena has one for each 64 MiB. */
    uint64_t arenas = ebb__fact_or(heap->arenas, process->classes[EBB_VMA_CLASS_ARENA].count);
    struct ebb_fact free = free_bytes(heap);
    uint64_t processors = ebb__fact_or(facts->host.processors, 1);
    uint64_t good = processors < 4 ? processors : 4;
    char text[2][EBB_UNITS_BYTES];

    if (arenas <= EBB_LIMIT_ARENAS_EACH * processors || is_small(facts))
        return EBB_RULE_SILENT;
    if (process->allocator == NULL && facts->live)
        return lacks_allocator(process, finding);
    if (process->allocator != NULL && !ebb__process_is_on(process, "glibc"))
        return EBB_RULE_SILENT;
    if (!free.known || !heap->live_bytes.known)
        return ebb__finding_lacks(finding, "free memory of glibc's arenas", why(heap));
    if (free.value < least_bytes(facts) ||
        !ebb__is_share(free.value, free.value + heap->live_bytes.value, EBB_LIMIT_ARENAS_FREE))
        return EBB_RULE_SILENT;
    ebb__finding_severity(finding, EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, heap->source, "%llu arenas for %llu processors",
                          (unsigned long long)arenas, (unsigned long long)processors);
    ebb__finding_evidence(finding, heap->source, "%s free beside %s live",
                          ebb__units_bytes(free.value, text[0]),
                          ebb__units_bytes(heap->live_bytes.value, text[1]));
    ebb__finding_advise_good(finding,
                             "restart with GLIBC_TUNABLES=glibc.malloc.arena_max=%llu in its environment",
                             (unsigned long long)(good < 2 ? 2 : good));
    ebb__finding_advise_good(finding, "or another allocator: ebb run -- ...");
    ebb__finding_gain(finding, "up to %s of RSS", ebb__units_bytes(free.value, text[0]));
    return EBB_RULE_FIRES;
}

enum ebb_rule_answer ebb__rule_threshold(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    const struct ebb_doctor_heap *heap = &process->heap;
    uint64_t threshold;
    uint64_t whole;
    char text[2][EBB_UNITS_BYTES];

    if (is_small(facts) || (process->allocator != NULL && !ebb__process_is_on(process, "glibc")) ||
        (process->allocator == NULL && process->mapped_allocators != 0))
        return EBB_RULE_SILENT;
    if (ebb__fact_or(heap->threshold_is_dynamic, 1) == 0)
        return EBB_RULE_SILENT;
    if (!heap->mmap_threshold_bytes.known || !heap->whole_bytes.known)
        return ebb__finding_lacks(finding, "glibc's threshold for mapped blocks", why(heap));
    threshold = heap->mmap_threshold_bytes.value;
    whole = heap->whole_bytes.value;
    if (threshold <= EBB_MIB(EBB_LIMIT_MMAP_THRESHOLD) ||
        whole < EBB_LIMIT_THRESHOLD_HOLES * EBB_MIB(EBB_LIMIT_MMAP_THRESHOLD) ||
        !ebb__is_share(whole, rss(process), EBB_LIMIT_THRESHOLD_SHARE))
        return EBB_RULE_SILENT;
    ebb__finding_severity(finding, EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, heap->source, "blocks are mapped from %s on, not from 128 KiB",
                          ebb__units_bytes(threshold, text[0]));
    ebb__finding_evidence(finding, heap->source, "%s are free in whole pages",
                          ebb__units_bytes(whole, text[0]));
    ebb__finding_advise_good(
        finding,
        "restart with GLIBC_TUNABLES=glibc.malloc.mmap_threshold=262144:glibc.malloc.trim_threshold=262144 "
        "in its environment");
    ebb__finding_advise_good(finding, "or another allocator: ebb run -- ...");
    ebb__finding_gain(finding, "blocks above 256 KiB go back when they are freed; of %s now free a part",
                      ebb__units_bytes(whole, text[0]));
    return EBB_RULE_FIRES;
}

/* ---- R16 ---- */

enum ebb_rule_answer ebb__rule_fragments(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    const struct ebb_doctor_heap *heap = &process->heap;
    uint64_t all;
    char text[2][EBB_UNITS_BYTES];

    if (is_small(facts))
        return EBB_RULE_SILENT;
    if (!heap->fragment_bytes.known || !heap->live_bytes.known)
        return ebb__finding_lacks(finding, "free fragments of the heap", why(heap));
    all = heap->fragment_bytes.value + heap->live_bytes.value + ebb__fact_or(heap->whole_bytes, 0);
    if (heap->fragment_bytes.value < least_bytes(facts) ||
        !ebb__is_share(heap->fragment_bytes.value, all, EBB_LIMIT_FRAGMENTS))
        return EBB_RULE_SILENT;
    ebb__finding_severity(finding, EBB_SEVERITY_WARNING);
    ebb__finding_evidence(
        finding, heap->source, "%s are free in pieces below a page, beside %s live (%.0f %% of the heap)",
        ebb__units_bytes(heap->fragment_bytes.value, text[0]),
        ebb__units_bytes(heap->live_bytes.value, text[1]), ebb__share_of(heap->fragment_bytes.value, all));
    ebb__finding_advise_now(finding, "plan a restart: nothing else gives it back");
    ebb__finding_advise_good(finding, ebb__process_is_on(process, "ebb")
                                          ? "find the blocks that outlive their neighbours: ebb heap"
                                          : "another allocator: ebb run -- ...");
    ebb__finding_gain(finding, "up to %s of RSS after the restart",
                      ebb__units_bytes(heap->fragment_bytes.value, text[0]));
    return EBB_RULE_FIRES;
}

/* ---- R26 ---- */

/* A setting that its allocator alone reads, while another one serves. */
static bool is_in_vain(const struct ebb_doctor_process *process, const char *variable, const char *value,
                       const char *allocator, struct ebb_finding *finding)
{
    if (value == NULL || ebb__process_is_on(process, allocator))
        return false;
    ebb__finding_evidence(finding, "/proc/PID/environ", "%s is for %s, which does not serve: %s=%s", variable,
                          allocator, variable, value);
    return true;
}

static bool judge_environment(const struct ebb_doctor_process *process, struct ebb_finding *finding)
{
    bool fires = false;

    if (process->preload_allocator != NULL && strcmp(process->preload_allocator, process->allocator) != 0) {
        fires = true;
        ebb__finding_evidence(finding, "/proc/PID/environ", "LD_PRELOAD=%s", process->preload);
        ebb__finding_advise_now(
            finding, "see why, when it starts: ebb run -l LIBRARY -- COMMAND, or ld.so's message in its log");
        ebb__finding_advise_good(
            finding,
            "a path that the server's user can read, in Environment=LD_PRELOAD= of the unit; mysqld_safe "
            "takes malloc-lib from the directories of malloc_lib alone");
    }
    if (is_in_vain(process, "MALLOC_CONF", process->malloc_conf, "jemalloc", finding) ||
        is_in_vain(process, "MALLOC_ARENA_MAX", process->arena_max, "glibc", finding) ||
        (process->tunables != NULL && strstr(process->tunables, "glibc.malloc.") != NULL &&
         is_in_vain(process, "GLIBC_TUNABLES", process->tunables, "glibc", finding))) {
        fires = true;
        ebb__finding_advise_good(finding, "take the setting away, or have the allocator that it is for");
    }
    if (fires)
        ebb__finding_evidence(finding, "the dynamic linker's own list", "malloc is served by %s: %s",
                              process->allocator,
                              process->allocator_evidence == NULL ? "" : process->allocator_evidence);
    return fires;
}

enum ebb_rule_answer ebb__rule_not_serving(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    bool fires = false;

    if (process->deleted != NULL) {
        fires = true;
        ebb__finding_evidence(finding, "/proc/PID/maps", "%s was replaced or removed since the start%s",
                              process->deleted, process->deleted_count > 1 ? ", and so were others" : "");
        ebb__finding_advise_now(
            finding, "restart it when that suits: it runs the version that is no longer installed");
    }
    if (facts->live && process->allocator != NULL && process->environment_err == 0)
        fires |= judge_environment(process, finding);
    if (fires) {
        ebb__finding_severity(finding, EBB_SEVERITY_WARNING);
        ebb__finding_gain(finding, "what was configured is in effect");
        return EBB_RULE_FIRES;
    }
    if (!facts->live)
        return EBB_RULE_SILENT;
    if (process->allocator == NULL)
        return lacks_allocator(process, finding);
    if (process->environment_err != 0)
        return ebb__finding_lacks(finding, "environment of the process",
                                  ebb__fact_why(ebb__fact_unknown(process->environment_err)));
    return EBB_RULE_SILENT;
}
