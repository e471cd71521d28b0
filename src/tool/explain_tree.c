/* SPDX-License-Identifier: MIT
 *
 * Accounts of what was collected; see explain.h.
 *
 * No page is counted twice: rows below "resident" are sums over classes of mappings, and a mapping has one class. What the allocator says
 * divides its own mappings only.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "tool/explain.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char SMAPS[] = "/proc/PID/smaps";
static const char STATUS[] = "/proc/PID/status";

#define BIT(id) (UINT64_C(1) << EBB_VMA_CLASS_##id)

static const uint64_t HEAP_CLASSES =
    BIT(HEAP) | BIT(ARENA) | BIT(BLOCK) | BIT(JEMALLOC) | BIT(TCMALLOC) | BIT(MIMALLOC) | BIT(EBB);

/* Parts of resident memory that classes of mappings tell, in the order in which they are shown. The heap is one of them. */
static const struct {
    const char *key;
    const char *name;
    uint64_t classes;
} PARTS[] = {
    {"pool", "large anonymous memory, such as a buffer pool", BIT(POOL)},
    {"heap", "heap", 0},
    {"stacks", "stacks of threads, as touched", BIT(STACK) | BIT(THREAD_STACK)},
    {"code", "program and libraries",
     BIT(PROGRAM) | BIT(LIB_TEXT) | BIT(LIB_RODATA) | BIT(LIB_DATA) | BIT(LIB_BSS)},
    {"files", "mapped files", BIT(FILE)},
    {"shared", "shared memory", BIT(SHARED) | BIT(SYSV)},
    {"rings", "rings of io_uring and aio", BIT(IO_RING)},
    {"jit", "code made at run time", BIT(JIT)},
    {"kernel", "pages of the kernel and of devices", BIT(KERNEL) | BIT(DEVICE) | BIT(GUARD) | BIT(RESERVED)},
};

static struct ebb_fact rss_of(const struct ebb_explain_facts *facts, uint64_t classes)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < EBB_VMA_CLASS_COUNT; i++) {
        struct ebb_fact rss = facts->classes[i].facts[EBB_SMAPS_RSS];

        if ((classes >> i & 1) == 0 || facts->classes[i].count == 0)
            continue;
        if (!rss.known)
            return rss;
        bytes += rss.value;
    }
    return ebb__fact(bytes);
}

/* The heap of one who tells what it has of large memory, too, has that. */
static uint64_t heap_classes(const struct ebb_explain_facts *facts)
{
    return HEAP_CLASSES | facts->heap.classes;
}

static bool is_nothing(struct ebb_fact fact)
{
    return fact.known && fact.value == 0;
}

/* What the allocator says of its mappings. It counts what the program asked for, whether the program has touched it or not: the rest may
 * be below zero. */
static void divide_by_purpose(const struct ebb_explain_heap *heap, unsigned depth,
                              struct ebb_account *account)
{
    const struct {
        const char *key;
        const char *name;
        struct ebb_fact bytes;
    } rows[] = {
        {"live", "live: held by the program", heap->live},
        {"cached", "cached: free, kept for a thread's next requests", heap->cached},
        {"free", "free, whole pages: a trim gives them back", heap->whole},
        {"tops", "free, whole pages that a trim leaves alone", heap->kept},
        {"fragments", "free, in fragments of pages", heap->fragments},
    };

    for (unsigned i = 0; i < COUNT(rows); i++)
        if (!is_nothing(rows[i].bytes))
            ebb__account_add(account, depth, rows[i].key, rows[i].name, heap->source, rows[i].bytes);
    if (heap->apart)
        ebb__account_rest_apart(account, depth, "heap_rest", "free pages, and the allocator's own");
    else
        ebb__account_rest(account, depth, "heap_rest", "not attributed");
}

/* By kinds of mappings, when there is more than one that has something. */
static void divide_by_class(const struct ebb_explain_facts *facts, uint64_t classes,
                            struct ebb_account *account)
{
    unsigned count = 0;

    for (unsigned i = 0; i < EBB_VMA_CLASS_COUNT; i++)
        if ((classes >> i & 1) != 0 && !is_nothing(rss_of(facts, UINT64_C(1) << i)))
            count++;
    for (unsigned i = 0; count > 1 && i < EBB_VMA_CLASS_COUNT; i++)
        if ((classes >> i & 1) != 0 && !is_nothing(rss_of(facts, UINT64_C(1) << i)))
            ebb__account_add(account, 2, ebb__vma_classes[i].key, ebb__vma_classes[i].text, SMAPS,
                             rss_of(facts, UINT64_C(1) << i));
    if (count > 1)
        ebb__account_rest(account, 2, "rest", "not attributed");
}

/* The mappings that the allocator speaks of, divided by purpose, and its others, each by its class. */
static void divide_told(const struct ebb_explain_facts *facts, struct ebb_account *account)
{
    const struct ebb_explain_heap *heap = &facts->heap;
    uint64_t others = heap_classes(facts) & ~heap->classes;
    bool alone = is_nothing(rss_of(facts, others));

    if (alone) {
        divide_by_purpose(heap, 2, account);
        return;
    }
    ebb__account_add(account, 2, "arenas", "arenas", SMAPS, rss_of(facts, heap->classes));
    divide_by_purpose(heap, 3, account);
    for (unsigned i = 0; i < EBB_VMA_CLASS_COUNT; i++)
        if ((others >> i & 1) != 0 && !is_nothing(rss_of(facts, UINT64_C(1) << i)))
            ebb__account_add(account, 2, ebb__vma_classes[i].key, ebb__vma_classes[i].text, SMAPS,
                             rss_of(facts, UINT64_C(1) << i));
    ebb__account_rest(account, 2, "rest", "not attributed");
}

static void divide_heap(const struct ebb_explain_facts *facts, struct ebb_account *account)
{
    struct ebb_fact rss = rss_of(facts, heap_classes(facts));
    char name[EBB_ACCOUNT_NAME_BYTES] = "heap";

    if (is_nothing(rss) && facts->heap.source == NULL)
        return;
    if (facts->allocator != NULL)
        snprintf(name, sizeof(name), "heap of %s", facts->allocator->name);
    ebb__account_add(account, 1, "heap", name, SMAPS, rss);
    if (facts->heap.source != NULL)
        divide_told(facts, account);
    else
        divide_by_class(facts, heap_classes(facts), account);
}

static struct ebb_fact status_fact(const struct ebb_status *status, enum ebb_status_field field,
                                   uint64_t bytes)
{
    return ebb__status_has(status, field) ? ebb__fact(bytes) : ebb__fact_unknown(-ENODATA);
}

/* Without pages of mappings: what status has of the kinds of pages. */
static void divide_by_kind(const struct ebb_status *status, struct ebb_account *account)
{
    ebb__account_add(account, 1, "anon", "without a file: heap, stacks, buffer pool, copies on write", STATUS,
                     status_fact(status, EBB_STATUS_RSS_ANON, status->rss_anon_bytes));
    ebb__account_add(account, 1, "files", "of files: program, libraries, mapped data", STATUS,
                     status_fact(status, EBB_STATUS_RSS_FILE, status->rss_file_bytes));
    ebb__account_add(account, 1, "shared", "shared memory", STATUS,
                     status_fact(status, EBB_STATUS_RSS_SHMEM, status->rss_shmem_bytes));
}

void ebb__explain_resident(const struct ebb_explain_facts *facts, struct ebb_account *ret_account)
{
    const struct ebb_status *status = &facts->status;

    ebb__account_init(ret_account, "resident", "resident memory", STATUS,
                      status_fact(status, EBB_STATUS_VM_RSS, status->vm_rss_bytes));
    if (!facts->has_pages)
        divide_by_kind(status, ret_account);
    for (unsigned i = 0; facts->has_pages && i < COUNT(PARTS); i++) {
        uint64_t classes = PARTS[i].classes & ~heap_classes(facts);
        struct ebb_fact rss = rss_of(facts, classes);

        if (PARTS[i].classes == 0) {
            divide_heap(facts, ret_account);
        } else if (!is_nothing(rss)) {
            ebb__account_add(ret_account, 1, PARTS[i].key, PARTS[i].name, SMAPS, rss);
            if (classes == BIT(POOL))
                ebb__explain_pool(facts, ret_account);
            else if ((classes & BIT(SHARED)) == 0 || !ebb__explain_shared(facts, ret_account))
                divide_by_class(facts, classes, ret_account);
        }
    }
    ebb__account_rest(ret_account, 1, "unattributed", "unattributed");
    ebb__account_beside(ret_account, "page_tables", "page tables", STATUS,
                        status_fact(status, EBB_STATUS_VM_PTE, status->vm_pte_bytes));
    ebb__account_beside(ret_account, "swap", "swapped out", STATUS,
                        status_fact(status, EBB_STATUS_VM_SWAP, status->vm_swap_bytes));
    ebb__account_beside(ret_account, "hugetlb", "pages of the huge page pool", STATUS,
                        status_fact(status, EBB_STATUS_HUGETLB, status->hugetlb_bytes));
}

void ebb__explain_usage(const struct ebb_explain_facts *facts, struct ebb_account *ret_account)
{
    static const char STAT[] = "memory.stat";
    const struct ebb_explain_cgroup *cgroup = &facts->cgroup;
    const struct ebb_cgroup *own = &cgroup->facts;

    ebb__account_init(ret_account, "usage", "usage of the memory cgroup",
                      own->version == 1 ? "memory.usage_in_bytes" : "memory.current", own->usage_bytes);
    ebb__account_add(ret_account, 1, "anon", "anonymous memory of processes", STAT, own->anon_bytes);
    for (unsigned i = 0; i < cgroup->listed; i++) {
        const struct ebb_explain_process *process = &cgroup->processes[i];
        char key[EBB_ACCOUNT_KEY_BYTES];
        char name[EBB_ACCOUNT_NAME_BYTES];

        snprintf(key, sizeof(key), "pid_%d", (int)process->pid);
        snprintf(name, sizeof(name), "%s (pid %d)", process->name, (int)process->pid);
        ebb__account_add(ret_account, 2, key, name, STATUS, ebb__fact(process->anon_bytes));
    }
    if (cgroup->process_count > cgroup->listed && cgroup->anon_bytes.known) {
        uint64_t listed_bytes = 0;
        char name[EBB_ACCOUNT_NAME_BYTES];

        for (unsigned i = 0; i < cgroup->listed; i++)
            listed_bytes += cgroup->processes[i].anon_bytes;
        snprintf(name, sizeof(name), "%u more processes", cgroup->process_count - cgroup->listed);
        ebb__account_add(ret_account, 2, "more_processes", name, STATUS,
                         ebb__fact(cgroup->anon_bytes.value - listed_bytes));
    }
    ebb__account_rest(ret_account, 2, "anon_rest", "not attributed");
    ebb__account_add(ret_account, 1, "file", "page cache", STAT, own->file_bytes);
    ebb__account_add(ret_account, 1, "shmem", "shared memory and tmpfs", STAT, own->shmem_bytes);
    ebb__account_add(ret_account, 1, "kernel", "the kernel's own: page tables, stacks, slabs, sockets",
                     own->version == 1 ? "memory.kmem.usage_in_bytes" : STAT, own->kernel_bytes);
    ebb__account_rest(ret_account, 1, "usage_rest", "unattributed");
    ebb__account_beside(ret_account, "cgroup_swap", "swapped out",
                        own->version == 1 ? "memory.memsw.usage_in_bytes" : "memory.swap.current",
                        own->swap_bytes);
}
