/* SPDX-License-Identifier: MIT
 *
 * What a mapping is for, judged from its own line in maps and from its neighbours, with the rule that says so.
 *
 * What is known of each mapping is a small struct without pointers (ebb__vma_of()), and the judgement sees three of them: the mapping,
 * the one before and the one behind. A walk over a million mappings therefore keeps three:
 *
 *     struct ebb_vma_walk walk = {.hints = &hints};
 *     while (next mapping) {
 *         ebb__vma_of(&map, 0, &vma);
 *         if (ebb__vma_push(&walk, &vma, &verdict))   // of the mapping pushed before this one
 *             ...
 *     }
 *     if (ebb__vma_push(&walk, NULL, &verdict))       // of the last one
 *         ...
 *
 * Hints are what the process as a whole tells: collected by a walk before, or as the walk goes, when what comes late in address order
 * (libraries) may be missing for what came early.
 *
 * What cannot be told apart from outside: a thread's stack from a writable block above an inaccessible page (the number of threads
 * limits how many we believe), mappings that the kernel has merged (two stacks without guards are one mapping), an arena from what another
 * runtime aligns to 64 MiB.
 */
#ifndef EBB_MODEL_VMA_H
#define EBB_MODEL_VMA_H

#include <stdbool.h>
#include <stdint.h>

#include "probe/maps.h"

enum ebb_vma_class {
#define EBB_VMA_CLASS(id, key, text) EBB_VMA_CLASS_##id,
#include "model/vma.def"
#undef EBB_VMA_CLASS
    EBB_VMA_CLASS_COUNT
};

enum ebb_vma_rule {
#define EBB_VMA_RULE(id, key, text) EBB_VMA_RULE_##id,
#include "model/vma.def"
#undef EBB_VMA_RULE
    EBB_VMA_RULE_COUNT
};

struct ebb_vma_word {
    const char *key;
    const char *text;
};

extern const struct ebb_vma_word ebb__vma_classes[EBB_VMA_CLASS_COUNT];
extern const struct ebb_vma_word ebb__vma_rules[EBB_VMA_RULE_COUNT];

/* What the name says. */
enum ebb_vma_name {
    EBB_VMA_NAME_NONE,
    EBB_VMA_NAME_FILE,
    EBB_VMA_NAME_LIBRARY, /* a file whose name ends in .so or has .so. in it */
    EBB_VMA_NAME_HEAP,
    EBB_VMA_NAME_STACK,
    EBB_VMA_NAME_THREAD_STACK,
    EBB_VMA_NAME_KERNEL,
    EBB_VMA_NAME_SHARED,
    EBB_VMA_NAME_SYSV,
    EBB_VMA_NAME_HUGETLB,
    EBB_VMA_NAME_IO_RING,
    EBB_VMA_NAME_DEVICE,
    EBB_VMA_NAME_ARENA,
    EBB_VMA_NAME_BLOCK,
    EBB_VMA_NAME_JEMALLOC,
    EBB_VMA_NAME_TCMALLOC,
    EBB_VMA_NAME_MIMALLOC,
    EBB_VMA_NAME_EBB,
    EBB_VMA_NAME_ANON, /* anonymous, with a name of the program's own */
    EBB_VMA_NAME_OTHER,
};

/* Libraries that are allocators, by the name of the file: bits of ebb_vma_hints.allocators and ebb_vma.allocator. */
enum {
    EBB_VMA_ALLOCATOR_JEMALLOC = 1 << 0,
    EBB_VMA_ALLOCATOR_TCMALLOC = 1 << 1,
    EBB_VMA_ALLOCATOR_MIMALLOC = 1 << 2,
    EBB_VMA_ALLOCATOR_EBB = 1 << 3,
};

struct ebb_vma {
    uint64_t start;
    uint64_t end;
    uint64_t offset_bytes;
    uint64_t inode;
    uint64_t name_hash; /* of anonymous memory's name */
    uint32_t dev_major;
    uint32_t dev_minor;
    bool readable;
    bool writable;
    bool executable;
    bool shared;
    bool huge_pages; /* hugetlb */
    bool gate;       /* shared by all processes and not counted: [vsyscall] */
    enum ebb_vma_name name;
    uint8_t allocator;
};

/* `huge_pages` when the kernel said that the pages come from hugetlb. */
void ebb__vma_of(const struct ebb_map *map, bool huge_pages, struct ebb_vma *ret_vma);

struct ebb_vma_hints {
    uint64_t program_addr; /* an address in the program's file, such as AT_PHDR; 0: not known */
    uint64_t threads;      /* 0: not known */
    /* Filled by ebb__vma_hint(). */
    bool has_program;
    uint64_t program_inode;
    uint32_t program_dev_major;
    uint32_t program_dev_minor;
    uint8_t allocators;
    uint64_t stack_pairs; /* inaccessible, then writable, of the shape of guard and stack */
};

/* Learns from one mapping. `before` is the one before it, or NULL. */
void ebb__vma_hint(struct ebb_vma_hints *hints, const struct ebb_vma *before, const struct ebb_vma *vma);

/* True when there are no more pairs of the shape of guard and stack than the threads, and stacks that the C library keeps for the next ones,
 * explain. */
bool ebb__vma_stacks_believed(const struct ebb_vma_hints *hints);

struct ebb_vma_verdict {
    struct ebb_vma vma;
    enum ebb_vma_class vma_class;
    enum ebb_vma_rule rule;
};

struct ebb_vma_walk {
    const struct ebb_vma_hints *hints;
    bool has_before; /* a mapping was judged */
    bool has_current;
    struct ebb_vma_verdict before;
    struct ebb_vma current; /* pushed and not yet judged */
};

/* Takes the next mapping, NULL behind the last one. True with the verdict about the one that was pushed before it. */
bool ebb__vma_push(struct ebb_vma_walk *walk, const struct ebb_vma *next,
                   struct ebb_vma_verdict *ret_verdict);

/* ---- helpers that the budget uses too ---- */

static inline uint64_t ebb__vma_bytes(const struct ebb_vma *vma)
{
    return vma->end - vma->start;
}

static inline bool ebb__vma_touches(const struct ebb_vma *lower, const struct ebb_vma *upper)
{
    return lower->end == upper->start;
}

/* Private memory without a file, whether it has a name or not. */
bool ebb__vma_is_anonymous(const struct ebb_vma *vma);

static inline bool ebb__vma_is_inaccessible(const struct ebb_vma *vma)
{
    return !vma->readable && !vma->writable && !vma->executable;
}

#endif
