/* SPDX-License-Identifier: MIT
 *
 * How many mappings a process has, how many it may have, what makes them so many, and which system call fails first.
 *
 * The kernel counts the mappings of a process and compares with vm.max_map_count, in each system call by a rule of its own:
 *
 *     mremap() to a fixed place     fails when the count has reached   max - 5
 *     mremap() that must move                                          max - 3
 *     a split: munmap() out of the middle, mprotect(), madvise(),
 *       mlock(), mbind() of a part                                     max
 *     mmap(), brk()                                                    max + 1
 *
 * A part at the edge of a mapping is unmapped without a split. A call on the middle of a mapping that changes it (mprotect) needs two
 * splits, so the last such call may fail halfway. madvise(), mlock() and PR_SET_VMA report EAGAIN, the others ENOMEM; when pthread_create() cannot
 * make a guard, it reports what mprotect() did.
 */
#ifndef EBB_MODEL_VMA_BUDGET_H
#define EBB_MODEL_VMA_BUDGET_H

#include "model/vma.h"
#include "probe/fact.h"

enum ebb_vma_cause {
#define EBB_VMA_CAUSE(id, key, text) EBB_VMA_CAUSE_##id,
#include "model/vma.def"
#undef EBB_VMA_CAUSE
    EBB_VMA_CAUSE_COUNT
};

extern const struct ebb_vma_word ebb__vma_causes[EBB_VMA_CAUSE_COUNT];

/* In the order in which they begin to fail. */
enum ebb_vma_op {
    EBB_VMA_OP_MREMAP_FIXED,
    EBB_VMA_OP_MREMAP,
    EBB_VMA_OP_SPLIT,
    EBB_VMA_OP_MMAP,
    EBB_VMA_OP_COUNT
};

/* glibc's M_MMAP_MAX: beyond it, malloc() takes large blocks from the heap and arenas. */
#define EBB_VMA_BLOCKS_MAX 65536

struct ebb_vma_budget {
    uint64_t count; /* as the kernel counts */
    uint64_t gates; /* in the text of maps, but not counted */
    uint64_t causes[EBB_VMA_CAUSE_COUNT];
    uint64_t
        blocks; /* of the shape of blocks that glibc's malloc maps one by one; the kernel merges neighbours, so at least so many */
    /* The walk. */
    bool has_before;
    struct ebb_vma_verdict before;
    enum ebb_vma_cause before_cause;
};

/* Takes the verdicts of a walk in their order, NULL behind the last one. Then `causes` add up to `count`. */
void ebb__vma_budget_add(struct ebb_vma_budget *budget, const struct ebb_vma_verdict *verdict);

/* The cause with the most mappings, the program's own set aside; PROGRAM when there are no others. */
enum ebb_vma_cause ebb__vma_budget_main_cause(const struct ebb_vma_budget *budget);

/* What fails first while the count rises by that cause: a kind of operation, and the system call by name. */
struct ebb_vma_failure {
    enum ebb_vma_op op;
    const char *call; /* "munmap() out of the middle of a mapping" */
    const char *errno_name;
};

struct ebb_vma_failure ebb__vma_budget_failure(enum ebb_vma_cause cause);

/* How many more mappings there may be until an operation fails: 0 when it fails now. */
uint64_t ebb__vma_budget_left(uint64_t count, uint64_t limit, enum ebb_vma_op op);

/* For people: "mremap() that must move". */
const char *ebb__vma_op_text(enum ebb_vma_op op);

/* The time until `left` more mappings are there, when `grown` came within `elapsed_ms`. Unknown (-ENODATA) when none came. */
struct ebb_fact ebb__vma_budget_time_ms(uint64_t left, int64_t grown, uint64_t elapsed_ms);

#endif
