/* SPDX-License-Identifier: MIT
 *
 * The rooms of the regions and what they share. Outsiders include region/region.h.
 *
 *   region.c        pieces, marks, cleanups, life
 *   block.c         blocks: taken, charged, given back
 *   keep.c          blocks kept for the next use, and their decay      lock: one of EBB_RANK_REGIONS
 *   shrink.c        kept blocks given back because the budget asks
 *   watch.c         free bytes watched by a tool, or by a pattern
 *   region_check.c  walker and sums
 *
 *      struct region (the first block)
 *      +--------------------------+-----------+------+
 *      | cursor limit ... | block | pieces... | free |
 *      +--------------------------+-----------+------+
 *              current |   ^ below
 *                      v   |
 *      +-------+-----------------+------+        apart -> blocks of one piece, newest first
 *      | block | pieces...       | free |        kept  -> free blocks, largest first
 *      +-------+-----------------+------+
 *              ^ data            ^ cursor ^ end
 *
 * The limit that ebb_region_alloc() compares with is the end of the current block; where free bytes are watched it is the cursor, so
 * that every piece comes from the slow half, which knows of watching. The way of a piece has no test for it.
 *
 * Invariants (ebb__region_check)
 *   R1  data <= cursor <= end of the current block, all aligned; limit is end, or cursor where free bytes are watched
 *   R2  every block is a living block of the heap, as long as its header says; the list of current ends at the first block
 *   R3  charged bytes are the blocks' bytes: first, current, apart and kept ones
 *   R4  closed_bytes are what is used of the blocks below the current one, apart_bytes what is used of those apart
 *   R5  kept blocks are sorted, the largest first
 *   R6  cleanups lie in what is used of the region's blocks
 *   R7  a region that keeps blocks which may decay is in the list of its shard, once
 *   R8  where free bytes are filled, those of the current block hold the pattern
 *   R9  kept_bytes are those of the kept blocks, as long as there are any
 */
#ifndef EBB_REGION_REGION_PRIV_H
#define EBB_REGION_REGION_PRIV_H

#include "base/track.h"
#include "conf/conf.h"
#include "heap/heap.h"
#include "ledger/ledger.h"
#include "region/region.h"

/* At the head of each block; the current one's cursor and end are in the region. */
struct block {
    struct block *below; /* next older one, or next smaller one of the kept */
    size_t bytes;        /* from the heap, this header included */
    char *cursor;        /* where its pieces end, when it is not the current one */
    uint32_t class;      /* of its size; 0: a span */
    uint32_t unused;
};
EBB_STATIC_ASSERT(sizeof(struct block) % 16 == 0, "pieces behind it are aligned");

struct cleanup {
    struct cleanup *before; /* registered before this one */
    void (*fn)(void *arg);  /* NULL: cancelled */
    void *arg;
};

/* What rounds of use (reset to reset, mark to rollback) have needed lately: the largest of the last 16 to 32. */
#define EBB_ROUNDS 16u
struct need {
    size_t now_bytes, before_bytes; /* largest of the rounds being counted, and of the 16 before */
    uint32_t rounds;                /* counted, below EBB_ROUNDS */
    uint32_t known;                 /* 1 once 16 were counted */
};

enum ebb_watch { EBB_WATCH_NONE, EBB_WATCH_TOOL, EBB_WATCH_FILL };

struct region {
    struct ebb_region open; /* first: what the header of the public works with */
    char *end;              /* of the current block */
    struct block *current;
    struct block *apart;
    struct cleanup *cleanups;
    _Atomic(struct block *) kept;       /* taken out as a whole, by the owner or by who decays */
    size_t charged_bytes;               /* by the owner */
    struct ebb_budget_account *account; /* charged for them too, or NULL */
    _Atomic size_t decayed_bytes;       /* of these, uncharged since by who decays */
    size_t peak_bytes;
    size_t limit_bytes; /* 0: none */
    size_t closed_bytes, apart_bytes;
    size_t next_bytes;                     /* size of the next block */
    uint32_t block_bytes, max_block_bytes; /* 1 GiB at most */
    _Atomic size_t
        kept_bytes; /* of the list of kept blocks when the owner put it in; stays when it is taken out */
    struct need need;
    uint64_t blocks_taken;
    int (*over_limit)(struct ebb_region *region, size_t wanted_bytes, void *arg);
    void *arg;
    uint32_t flags;     /* EBB_REGION_* */
    uint8_t watch;      /* enum ebb_watch */
    uint8_t in_cleanup; /* 1 while cleanups run */
    uint16_t
        misfit_bytes; /* what a block should have had for the small pieces that did not fit in this round */
    /* keep.c; guarded by the shard's lock */
    struct region *next, *previous;
    uint32_t listed_in; /* fork generation in which it was put into its list; 0: in none. The owner's */
    _Atomic uint32_t kept_age;          /* age when it kept something last */
    struct block first EBB_ALIGNED(16); /* last: its pieces follow */
};
EBB_STATIC_ASSERT(offsetof(struct region, open) == 0, "the two are cast into each other");

EBB_INLINE struct region *ebb__region_of(const struct ebb_region *open)
{
    return (struct region *)(uintptr_t)open;
}

EBB_INLINE char *ebb__block_data(const struct block *b)
{
    return (char *)(uintptr_t)b + sizeof(struct block);
}

/* Blocks begin at their header, but for the first, which begins at the region. */
EBB_INLINE char *ebb__block_end(const struct region *r, const struct block *b)
{
    return (char *)(uintptr_t)(b == &r->first ? (const void *)r : (const void *)b) + b->bytes;
}

EBB_INLINE size_t ebb__region_granule(const struct region *r)
{
    return 0 - r->open.align_mask;
}

EBB_INLINE size_t ebb__region_held_bytes(const struct region *r)
{
    return r->charged_bytes - atomic_load_explicit(&r->decayed_bytes, memory_order_relaxed);
}

/* ---- block.c ---- */

/* The bytes of the block that serves a request for so many. */
size_t ebb__block_bytes(size_t bytes);

/* A new block of at least `bytes`, or of at least `least_bytes` where a limit or the kernel is in the way of that; room is made for
 * the least alone, and kept blocks go before it is refused. Charged. NULL when refused. */
struct block *ebb__block_take(struct region *r, size_t bytes, size_t least_bytes);

/* Gives a list of blocks back that no region knows any more. Returns the bytes. */
size_t ebb__blocks_give(struct block *list);

/* The same past the caches of threads, for who may be in the middle of an operation on its own. */
size_t ebb__blocks_return(struct block *list);

/* Takes blocks off the owner's account. */
void ebb__region_uncharge(struct region *r, size_t bytes);

/* The region itself, and its end. */
struct region *ebb__region_take_first(size_t bytes, unsigned *ret_class, size_t *ret_bytes);
bool ebb__region_charge_first(struct region *r,
                              struct ebb_budget_account *account); /* false: it has no room */
void ebb__region_give_first(struct region *r);

/* ---- keep.c ---- */

/* Takes a kept block of at least `bytes` for use; NULL when there is none. */
struct block *ebb__keep_take(struct region *r, size_t bytes);

/* Sorts the blocks of a round that has ended, and needed so many bytes, among the kept ones; keeps none, the largest, or all that the
 * last rounds needed; gives the others back. Returns whether there were any. */
bool ebb__keep_round(struct region *r, struct block *dropped, size_t need_bytes, enum ebb_region_keep keep);

/* Takes the list of kept blocks out of everybody's reach, and puts it back. */
struct block *ebb__keep_hide(struct region *r);
void ebb__keep_show(struct region *r, struct block *list);

/* Gives all kept blocks back. Returns the bytes. */
size_t ebb__keep_none(struct region *r);

/* Takes the region out of its list. */
void ebb__keep_forget(struct region *r);

/* True when the region's list has it. */
bool ebb__keep_is_listed(const struct region *r);

/* The regions that ever kept something, by others than their owners. */
#define EBB_KEEP_LISTS 16u
struct keep_list {
    struct ebb_lock lock; /* EBB_RANK_REGIONS */
    struct region *regions;
} EBB_ALIGNED(64);
extern EBB_HIDDEN struct keep_list ebb__keep_lists[EBB_KEEP_LISTS];

/* How many calls of ebb__region_decay() ago it kept something last. */
uint32_t ebb__keep_age(const struct region *r);

/* Takes the kept blocks of a region into a list, and off its books; returns the bytes. The lock of the region's list held. */
size_t ebb__keep_take_idle(struct region *r, struct block **list);

/* ---- shrink.c ---- */

/* Has the budget ask regions for what they keep. Once; before the first of them does. */
void ebb__shrink_register(void);
void ebb__shrink_after_fork(void);

/* ---- keep.c, pure ---- */

/* Largest need of the last rounds; SIZE_MAX while there were too few. */
size_t ebb__need_bytes(const struct need *n);

/* ---- watch.c; all but the first are for regions that are watched ---- */

enum ebb_watch ebb__watch_kind(uint32_t flags);

/* So many bytes stay free between two pieces. */
#define EBB_WATCH_GAP_BYTES 16u

/* A block has become free from p on; bytes are handed out; a block leaves the region. The last two look whether the free bytes are as
 * they were left, and end the process if not, naming `caller`. */
void ebb__watch_free(const struct region *r, char *p, const char *end);
void ebb__watch_use(const struct region *r, char *p, size_t bytes, const char *caller);
void ebb__watch_leave(const struct region *r, char *data, const char *cursor, const char *end,
                      const char *caller);

/* First free byte from p on that does not hold the pattern; NULL when all do, or a tool watches. */
const char *ebb__watch_find_written(const struct region *r, const char *p, const char *end);

#endif
