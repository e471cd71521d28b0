/* SPDX-License-Identifier: MIT
 *
 * Door of floor 3: size classes, slabs, spans, extents, address space.
 *
 * Above this floor a block is either of a size class (up to 32 KiB, handed out and taken back many at a time)
 * or a span (whole units) or in the lane (its own mapping). docs/design/heap.md tells the whole story; the
 * layout of addresses, which the fast path must know, is in heap/layout.h.
 *
 * Thread safety: every function may be called by any thread; none is called with one of our locks held,
 * except where said. Failure: NULL or a short count means that the kernel refused memory; nothing is lost or
 * half done.
 */
#ifndef EBB_HEAP_H
#define EBB_HEAP_H

#include "base/base.h"
#include "heap/layout.h"
#include "heap/size_class.h"

/* Makes the first reservation. Idempotent, called by the first allocation. 0 or -ENOMEM: then the next call
 * tries again. */
int ebb__heap_init(void);

/* What may be done for a block when a limit of the ledger is in its way. */
enum ebb_room {
    EBB_MAKE_ROOM, /* free memory goes back, then others are asked for theirs; before the block is refused */
    EBB_IF_ROOM    /* nothing: the block can be done without. Nobody is asked, nobody waits */
};

/* ---- blocks of a size class ---- */

/* Takes up to `want` blocks of class c, lowest addresses last, so that a stack of them hands out rising
 * addresses. Returns how many, 0 when the kernel or the ledger refuses memory; what lies behind them in ret_blocks means nothing. Cost: one lock, one bit operation a block.
 */
unsigned ebb__heap_take(unsigned c, void **ret_blocks, unsigned want);

/* The same with EBB_IF_ROOM. The other one makes room for its first block alone. */
unsigned ebb__heap_take_if_room(unsigned c, void **ret_blocks, unsigned want);

/* Takes `count` blocks of class c back. Dies, naming the block, when one of them is free already or none of
 * ours; `caller` is the function named in that line. */
void ebb__heap_give(unsigned c, void *const *blocks, unsigned count, const char *caller);

/* ---- spans and lane ---- */

/* A block of whole units, aligned to align_bytes (a power of two). Zeroed when `zeroed`. NULL when memory is
 * refused. */
void *ebb__heap_span_alloc(size_t bytes, size_t align_bytes, bool zeroed);

/* The same with EBB_IF_ROOM, aligned to a unit, not zeroed. */
void *ebb__heap_span_if_room(size_t bytes);

/* A block of whole units for a region, apart from all others; for any number of bytes. It is none for ebb__heap_kind(), and
 * goes back by ebb__heap_large_free(). NULL when memory is refused. */
void *ebb__heap_region_span_alloc(size_t bytes, enum ebb_room room);

/* Whether p, any pointer, is such a block; its usable size if so. */
bool ebb__heap_is_region_span(const void *p, size_t *ret_usable_bytes);

/* Gives back a span, held or not, or a lane block. pre: ebb__heap_kind(block) says so, or it is held */
void ebb__heap_large_free(void *block);

/* What to ask for when realloc must grow a block, in bytes or in units: at least 3/16 more than it had, so that one that grows
 * by a constant is copied a logarithmic number of times; one that doubles gets what it asks for. What is not touched costs
 * address space only. */
EBB_INLINE size_t ebb__heap_grown(size_t old, size_t wanted)
{
    return ebb__max(wanted, old + old * 3 / 16);
}

/* Resizes in place, or moves within the lane, where that needs no copy by hand; NULL when it cannot (the
 * block is as it was). pre: a span or lane block, bytes > EBB_SMALL_MAX_BYTES */
void *ebb__heap_large_resize(void *block, size_t bytes);

/* Marks a span as free to everybody but the cache that keeps it, and takes that back. A span that is held is to the heap
 * what it was; only ebb__heap_kind() says EBB_BLOCK_INVALID of it. hold returns false when another has been faster: the span
 * is held already. pre: a living span that the caller has been given */
bool ebb__heap_span_hold(void *block);
void ebb__heap_span_unhold(void *block);

/* Whether p, any pointer, is a span that is held; its usable size if so. */
bool ebb__heap_span_is_held(const void *p, size_t *ret_usable_bytes);

/* A block in the lane, for realloc's growth beyond EBB_LANE_MIN_BYTES. NULL when the lane is full or memory
 * refused. */
void *ebb__heap_lane_alloc(size_t bytes);

/* ---- questions about pointers ---- */

enum ebb_block_kind {
    EBB_BLOCK_FOREIGN, /* outside all that is ours */
    EBB_BLOCK_INVALID, /* ours, but no block begins there */
    EBB_BLOCK_SMALL,
    EBB_BLOCK_SPAN,
    EBB_BLOCK_LANE
};

/* What p points at, and for the three block kinds its usable size. Exact for live blocks; a free small block
 * looks like a live one, except with `exact`, which asks the slab's bitmap under the lock (then it is
 * EBB_BLOCK_INVALID). */
enum ebb_block_kind ebb__heap_kind(const void *p, bool exact, size_t *ret_usable_bytes);

/* For checkers that look for blocks named twice: marks a small block that is not free as free, or takes that back. Returns
 * false when it was so already. pre: ebb__heap_kind() says EBB_BLOCK_SMALL; no other thread is in the heap */
bool ebb__heap_mark(const void *block, bool marked);

/* ---- the whole ---- */

struct ebb_heap_stats {
    size_t slab_blocks; /* blocks out of slabs, cached ones included */
    size_t slab_bytes;
    size_t internal_bytes; /* our own blocks: magazines and caches */
    size_t span_blocks, span_bytes;
    size_t lane_blocks, lane_bytes;
    size_t backed_bytes, dirty_bytes, committed_bytes, reserved_bytes;
    size_t mappings;
};
void ebb__heap_stats(struct ebb_heap_stats *ret_stats);

/* ---- giving back ---- */

/* Held by whoever gives memory back or empties caches, and around fork, so that a child finds neither half done. */
extern struct ebb_lock ebb__return_lock; /* EBB_RANK_RETURN */

/* Gives back free memory, but not more than most_bytes, not what would leave less than keep_bytes free, and nothing where
 * something was freed in the last idle_ms. Wholly free extents first, as wholes; a limit may be passed by a part of the one
 * extent or OS page that reaches it. Returns the bytes. Takes the return lock for a batch of about half a millisecond at a
 * time. */
size_t ebb__heap_purge_free(size_t keep_bytes, size_t most_bytes, uint32_t idle_ms);

/* Gives back pages without a living byte inside slabs that nobody has touched since the call before the last. */
size_t ebb__heap_sweep(size_t most_bytes);

/* Gives the empty slab that each class keeps back to its extent. */
void ebb__heap_tidy_slabs(void);

/* Gives back the metadata of groups that are empty and clean. */
void ebb__heap_retire_groups(void);

/* All of it, whatever was touched when: pages inside slabs, and free memory down to keep_bytes. Returns the bytes. */
size_t ebb__heap_trim(size_t keep_bytes);

/* As much as most_bytes of it, cheapest first. Returns the bytes. */
size_t ebb__heap_give_back(size_t most_bytes);

/* Asked when the ledger has refused room for `bytes`, part of a block of block_bytes, with no lock held. True: there is some
 * now, ask it again. Set by the floor above before it sets a hard limit. */
extern bool (*ebb__gate_refused)(size_t bytes, size_t block_bytes);

/* On its way back to the kernel this instant, and still charged: what is freed in one piece. Purges are under the return lock. */
extern _Atomic size_t ebb__heap_leaving_bytes;

/* What a policy must know; cheap, from one instant each. */
struct ebb_heap_facts {
    size_t used_bytes;                      /* units in use and backed */
    size_t used_low_bytes, used_peak_bytes; /* extremes of that since the last call */
    size_t dirty_bytes;                     /* free, and held */
    size_t retaken_bytes; /* rises with free memory that is taken again: units, holes in slabs */
    bool stirred;         /* slabs may have pages to give back */
};
void ebb__heap_facts(struct ebb_heap_facts *ret_facts);

/* What may hold physical memory, in use or free, without a lock: the figure of about now. */
size_t ebb__heap_backed_bytes(void);

/* Reasons to look after the heap, set by whoever notices; the governor sleeps until there is one. */
enum {
    EBB_UPKEEP_DIRTY = 1,   /* free memory could go back */
    EBB_UPKEEP_CACHES = 2,  /* a thread has a cache */
    EBB_UPKEEP_REGIONS = 4, /* a region keeps blocks for its next use */
    EBB_UPKEEP_LIMITS = 8,  /* somebody looked how far limits are: the governor should too */
};
extern _Atomic uint32_t ebb__heap_upkeep;

EBB_INLINE void ebb__heap_want_upkeep(uint32_t why)
{
    if (EBB_UNLIKELY((atomic_load_explicit(&ebb__heap_upkeep, memory_order_relaxed) & why) == 0))
        atomic_fetch_or_explicit(&ebb__heap_upkeep, why, memory_order_relaxed);
}

/* Walks everything. 0 or -EUCLEAN after a line naming the invariant. pre: no other thread is in the heap */
int ebb__heap_check(void);

/* In a fork child: resets every lock of the heap and, if one was held, rebuilds lists and counts from maps
 * and bitmaps. */
void ebb__heap_after_fork(void);

/* Rises with every block that leaves a slab or span (exported; see <ebb/malloc.h>). */
EBB_EXPORT extern uint64_t ebb_alloc_counter;

#endif
