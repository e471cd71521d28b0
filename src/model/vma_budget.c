/* SPDX-License-Identifier: MIT
 *
 * How many mappings a process has and may have; see vma_budget.h.
 *
 * A mapping has a cause of its own when the kernel would have merged it with a neighbour otherwise. Both neighbours are looked at, so the
 * cause of a mapping is known when the next one is.
 */
#include "model/vma_budget.h"

#include <errno.h>

#define BLOCK_MIN_BYTES (UINT64_C(128) << 10)

/* Alike mappings this close to each other were probably one. Chunks of allocators and pools are not larger. */
#define HOLE_MAX_BYTES (UINT64_C(1) << 30)

const struct ebb_vma_word ebb__vma_causes[EBB_VMA_CAUSE_COUNT] = {
#define EBB_VMA_CAUSE(id, key, text) [EBB_VMA_CAUSE_##id] = {key, text},
#include "model/vma.def"
#undef EBB_VMA_CAUSE
};

static bool same_access(const struct ebb_vma *a, const struct ebb_vma *b)
{
    return a->readable == b->readable && a->writable == b->writable && a->executable == b->executable;
}

/* Parts of one thing: of anonymous memory, or of one file that continue each other. */
static bool same_object(const struct ebb_vma *lower, const struct ebb_vma *upper)
{
    if (ebb__vma_is_anonymous(lower) && ebb__vma_is_anonymous(upper))
        return true;
    return lower->shared == upper->shared && lower->inode != 0 && lower->inode == upper->inode &&
           lower->dev_major == upper->dev_major && lower->dev_minor == upper->dev_minor &&
           upper->offset_bytes - lower->offset_bytes == ebb__vma_bytes(lower);
}

/* Why two neighbours are not one mapping: a cause, or OTHER when they have nothing to do with each other. */
static enum ebb_vma_cause between(const struct ebb_vma *lower, const struct ebb_vma *upper)
{
    if (!same_object(lower, upper))
        return EBB_VMA_CAUSE_OTHER;
    if (!ebb__vma_touches(lower, upper)) {
        /* Of files only neighbours were looked at: a hole ends the continuation. */
        return ebb__vma_is_anonymous(lower) && same_access(lower, upper) &&
                       lower->name_hash == upper->name_hash && upper->start - lower->end <= HOLE_MAX_BYTES
                   ? EBB_VMA_CAUSE_HOLES
                   : EBB_VMA_CAUSE_OTHER;
    }
    if (!same_access(lower, upper))
        return EBB_VMA_CAUSE_PROTECTION;
    if (lower->name_hash != upper->name_hash)
        return EBB_VMA_CAUSE_NAMES;
    return EBB_VMA_CAUSE_ADVICE;
}

/* By what the mapping is, before its neighbours are asked; OTHER when they decide. */
static enum ebb_vma_cause by_class(enum ebb_vma_class class)
{
    switch (class) {
    case EBB_VMA_CLASS_HEAP:
    case EBB_VMA_CLASS_STACK:
    case EBB_VMA_CLASS_PROGRAM:
    case EBB_VMA_CLASS_LIB_TEXT:
    case EBB_VMA_CLASS_LIB_RODATA:
    case EBB_VMA_CLASS_LIB_DATA:
    case EBB_VMA_CLASS_LIB_BSS:
    case EBB_VMA_CLASS_KERNEL:
        return EBB_VMA_CAUSE_PROGRAM;
    case EBB_VMA_CLASS_THREAD_STACK:
    case EBB_VMA_CLASS_GUARD:
        return EBB_VMA_CAUSE_STACKS;
    case EBB_VMA_CLASS_ARENA:
        return EBB_VMA_CAUSE_ARENAS;
    case EBB_VMA_CLASS_FILE:
    case EBB_VMA_CLASS_SHARED:
    case EBB_VMA_CLASS_SYSV:
    case EBB_VMA_CLASS_HUGETLB:
    case EBB_VMA_CLASS_IO_RING:
    case EBB_VMA_CLASS_DEVICE:
    case EBB_VMA_CLASS_OTHER:
    case EBB_VMA_CLASS_POOL:
    case EBB_VMA_CLASS_BLOCK:
    case EBB_VMA_CLASS_JEMALLOC:
    case EBB_VMA_CLASS_TCMALLOC:
    case EBB_VMA_CLASS_MIMALLOC:
    case EBB_VMA_CLASS_EBB:
    case EBB_VMA_CLASS_ANON:
    case EBB_VMA_CLASS_RESERVED:
    case EBB_VMA_CLASS_JIT:
    case EBB_VMA_CLASS_COUNT:
        break;
    }
    return EBB_VMA_CAUSE_OTHER;
}

/* By what the mapping is, when no neighbour explains it. */
static enum ebb_vma_cause by_rest(const struct ebb_vma_verdict *verdict)
{
    if (verdict->vma_class == EBB_VMA_CLASS_FILE)
        return EBB_VMA_CAUSE_FILES;
    return ebb__vma_is_anonymous(&verdict->vma) ? EBB_VMA_CAUSE_OTHER : EBB_VMA_CAUSE_SHARED;
}

/* The stronger of what both sides say: a difference that is seen before one that is concluded. */
static enum ebb_vma_cause stronger(enum ebb_vma_cause a, enum ebb_vma_cause b)
{
    static const enum ebb_vma_cause ORDER[] = {EBB_VMA_CAUSE_PROTECTION, EBB_VMA_CAUSE_NAMES,
                                               EBB_VMA_CAUSE_ADVICE, EBB_VMA_CAUSE_HOLES};

    for (unsigned i = 0; i < sizeof(ORDER) / sizeof(ORDER[0]); i++)
        if (a == ORDER[i] || b == ORDER[i])
            return ORDER[i];
    return EBB_VMA_CAUSE_OTHER;
}

static void close_before(struct ebb_vma_budget *budget, enum ebb_vma_cause with_next)
{
    enum ebb_vma_cause cause = by_class(budget->before.vma_class);

    if (cause == EBB_VMA_CAUSE_OTHER)
        cause = stronger(budget->before_cause, with_next);
    if (cause == EBB_VMA_CAUSE_OTHER)
        cause = by_rest(&budget->before);
    budget->causes[cause]++;
}

static bool is_block(const struct ebb_vma_verdict *verdict)
{
    const struct ebb_vma *vma = &verdict->vma;

    if (verdict->vma_class == EBB_VMA_CLASS_BLOCK)
        return true;
    return ebb__vma_is_anonymous(vma) && vma->name == EBB_VMA_NAME_NONE && vma->readable && vma->writable &&
           !vma->executable && ebb__vma_bytes(vma) >= BLOCK_MIN_BYTES &&
           by_class(verdict->vma_class) == EBB_VMA_CAUSE_OTHER &&
           verdict->rule != EBB_VMA_RULE_RESERVE_HEAD && verdict->rule != EBB_VMA_RULE_EXTENT_ALIGNED;
}

void ebb__vma_budget_add(struct ebb_vma_budget *budget, const struct ebb_vma_verdict *verdict)
{
    enum ebb_vma_cause cause = EBB_VMA_CAUSE_OTHER;

    if (verdict != NULL && verdict->vma.gate) {
        budget->gates++;
        return;
    }
    /* What the class explains does not explain the neighbour: a block beside a stack is no split of it. */
    if (budget->has_before && verdict != NULL && by_class(budget->before.vma_class) == EBB_VMA_CAUSE_OTHER &&
        by_class(verdict->vma_class) == EBB_VMA_CAUSE_OTHER)
        cause = between(&budget->before.vma, &verdict->vma);
    if (budget->has_before)
        close_before(budget, cause);
    budget->has_before = verdict != NULL;
    if (verdict == NULL)
        return;
    budget->before = *verdict;
    budget->before_cause = cause;
    budget->count++;
    budget->blocks += is_block(verdict);
}

enum ebb_vma_cause ebb__vma_budget_main_cause(const struct ebb_vma_budget *budget)
{
    enum ebb_vma_cause main_cause = EBB_VMA_CAUSE_PROGRAM;
    uint64_t most = 0;

    for (unsigned i = 0; i < EBB_VMA_CAUSE_COUNT; i++)
        if (i != EBB_VMA_CAUSE_PROGRAM && budget->causes[i] > most) {
            main_cause = (enum ebb_vma_cause)i;
            most = budget->causes[i];
        }
    return main_cause;
}

struct ebb_vma_failure ebb__vma_budget_failure(enum ebb_vma_cause cause)
{
    static const struct ebb_vma_failure FAILURES[EBB_VMA_CAUSE_COUNT] = {
        [EBB_VMA_CAUSE_PROGRAM] = {EBB_VMA_OP_MMAP, "mmap()", "ENOMEM"},
        [EBB_VMA_CAUSE_STACKS] = {EBB_VMA_OP_SPLIT, "mprotect() in pthread_create()", "ENOMEM"},
        [EBB_VMA_CAUSE_ARENAS] = {EBB_VMA_OP_SPLIT, "mprotect() for a new arena", "ENOMEM"},
        [EBB_VMA_CAUSE_HOLES] = {EBB_VMA_OP_SPLIT, "munmap() out of the middle of a mapping", "ENOMEM"},
        [EBB_VMA_CAUSE_PROTECTION] = {EBB_VMA_OP_SPLIT, "mprotect() of a part", "ENOMEM"},
        [EBB_VMA_CAUSE_NAMES] = {EBB_VMA_OP_SPLIT, "prctl(PR_SET_VMA) of a part", "EAGAIN"},
        [EBB_VMA_CAUSE_ADVICE] = {EBB_VMA_OP_SPLIT, "madvise() of a part", "EAGAIN"},
        [EBB_VMA_CAUSE_FILES] = {EBB_VMA_OP_MMAP, "mmap() of a file", "ENOMEM"},
        [EBB_VMA_CAUSE_SHARED] = {EBB_VMA_OP_MMAP, "mmap() of shared memory", "ENOMEM"},
        [EBB_VMA_CAUSE_OTHER] = {EBB_VMA_OP_MMAP, "mmap()", "ENOMEM"},
    };

    return FAILURES[cause];
}

uint64_t ebb__vma_budget_left(uint64_t count, uint64_t limit, enum ebb_vma_op op)
{
    static const int64_t BEYOND[EBB_VMA_OP_COUNT] = {[EBB_VMA_OP_MREMAP_FIXED] = -5,
                                                     [EBB_VMA_OP_MREMAP] = -3,
                                                     [EBB_VMA_OP_SPLIT] = 0,
                                                     [EBB_VMA_OP_MMAP] = 1};
    int64_t refused = (limit > INT64_MAX - 1 ? INT64_MAX - 1 : (int64_t)limit) + BEYOND[op];

    return refused > 0 && count < (uint64_t)refused ? (uint64_t)refused - count : 0;
}

const char *ebb__vma_op_text(enum ebb_vma_op op)
{
    static const char *const TEXTS[EBB_VMA_OP_COUNT] = {
        [EBB_VMA_OP_MREMAP_FIXED] = "mremap() to a fixed place",
        [EBB_VMA_OP_MREMAP] = "mremap() that must move",
        [EBB_VMA_OP_SPLIT] = "split: munmap(), mprotect(), madvise() of a part",
        [EBB_VMA_OP_MMAP] = "mmap(), brk()",
    };

    return TEXTS[op];
}

struct ebb_fact ebb__vma_budget_time_ms(uint64_t left, int64_t grown, uint64_t elapsed_ms)
{
    double ms;

    if (grown <= 0 || elapsed_ms == 0)
        return ebb__fact_unknown(-ENODATA);
    ms = (double)left / (double)grown * (double)elapsed_ms;
    return ebb__fact(ms < 9e18 ? (uint64_t)ms : UINT64_MAX);
}
