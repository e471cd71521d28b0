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

/* ---- blocks of a size class ---- */

/* Takes up to `want` blocks of class c, lowest addresses last, so that a stack of them hands out rising
 * addresses. Returns how many, 0 when the kernel refuses memory. Cost: one lock, one bit operation a block.
 */
unsigned ebb__heap_take(unsigned c, void **ret_blocks, unsigned want);

/* Takes `count` blocks of class c back. Dies, naming the block, when one of them is free already or none of
 * ours; `caller` is the function named in that line. */
void ebb__heap_give(unsigned c, void *const *blocks, unsigned count, const char *caller);

/* ---- spans and lane ---- */

/* A block of whole units, aligned to align_bytes (a power of two). Zeroed when `zeroed`. NULL when memory is
 * refused. */
void *ebb__heap_span_alloc(size_t bytes, size_t align_bytes, bool zeroed);

/* Gives back a span or a lane block. pre: ebb__heap_kind(block) says so */
void ebb__heap_large_free(void *block);

/* Resizes in place, or moves within the lane, where that needs no copy by hand; NULL when it cannot (the
 * block is as it was). pre: a span or lane block, bytes > EBB_SMALL_MAX_BYTES */
void *ebb__heap_large_resize(void *block, size_t bytes);

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

/* Purges wholly free extents, except keep_bytes. Returns the bytes given back. */
size_t ebb__heap_trim(size_t keep_bytes);

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

/* Walks everything. 0 or -EUCLEAN after a line naming the invariant. pre: no other thread is in the heap */
int ebb__heap_check(void);

/* In a fork child: resets every lock of the heap and, if one was held, rebuilds lists and counts from maps
 * and bitmaps. */
void ebb__heap_after_fork(void);

/* Rises with every block that leaves a slab or span (exported; see <ebb/malloc.h>). */
EBB_EXPORT extern uint64_t ebb_alloc_counter;

#endif
