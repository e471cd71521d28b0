/* SPDX-License-Identifier: MIT
 *
 * The shelf: spans that a thread freed a moment ago, for its next requests.
 *
 * What. Taking a span from an extent and giving it back costs two turns with the lock of the whole heap and two searches for
 * longest runs. A thread that frees buffers of some 64 KiB and asks for others therefore keeps the last few: the latest one
 * that fits is the one whose lines the processor has at hand. One fits when it has as many units as asked for and begins
 * where the alignment wants it. When there are more than EBB_SHELF_SPANS, or they have more bytes than
 * the thread may hold, the oldest goes to the heap.
 *
 *     blocks[0]  oldest    <- leaves for the heap when another one comes
 *        ...
 *     blocks[count - 1]    <- where a search begins
 *
 * To the heap such a span is in use; it is marked as held, so that it is refused as a block until it is handed out again.
 *
 * Invariant (ebb__cache_check)
 *   C7  the spans on a shelf are living and held, each once; `lengths` are theirs and `units` is their sum
 *
 * Locking: as for the bins: its thread alone, between ebb__cache_enter() and ebb__cache_leave(), or the drainer. Costs: a hit
 * looks at up to 8 lengths; no lock. Failure: when the heap has no memory left, what the shelf holds goes back and the heap is
 * asked again. Fork: as for the bins; what a vanished thread kept stays held, and lost.
 */
#include "cache/cache_priv.h"

/* Above that a miss costs little beside the writing of the block, and a few of them would be much memory. */
#define SHELF_SPAN_UNITS 64u
#define SHELF_MAX_BYTES  EBB_KIB(512)

static void set_sums(struct span_shelf *shelf, uint32_t count, uint32_t units)
{
    __atomic_store_n(&shelf->count, count, __ATOMIC_RELAXED);
    __atomic_store_n(&shelf->units, units, __ATOMIC_RELAXED);
}

static void *take_out(struct span_shelf *shelf, uint32_t at)
{
    void *block = shelf->blocks[at];
    set_sums(shelf, shelf->count - 1, shelf->units - shelf->lengths[at]);
    for (; at < shelf->count; at++) {
        shelf->blocks[at] = shelf->blocks[at + 1];
        shelf->lengths[at] = shelf->lengths[at + 1];
    }
    return block;
}

/* The latest that fits; NULL when none does. */
static void *find(struct span_shelf *shelf, size_t units, size_t align_bytes)
{
    for (uint32_t at = shelf->count; at-- > 0;)
        if (shelf->lengths[at] == units && ((uintptr_t)shelf->blocks[at] & (align_bytes - 1)) == 0)
            return take_out(shelf, at);
    return NULL;
}

size_t ebb__cache_flush_shelf(struct span_shelf *shelf)
{
    size_t blocks = shelf->count;
    while (shelf->count != 0)
        ebb__heap_large_free(take_out(shelf, 0));
    return blocks;
}

/* False when there was nothing to be had. */
static bool flush_mine(void)
{
    size_t blocks = ebb__cache_flush_shelf(&ebb__cache_enter()->shelf);
    ebb__cache_leave();
    return blocks != 0;
}

/* From the shelf; NULL when nothing there fits. */
static void *take_mine(size_t units, size_t align_bytes)
{
    if (units > SHELF_SPAN_UNITS)
        return NULL;
    void *block = find(&ebb__cache_enter()->shelf, units, align_bytes);
    ebb__cache_leave();
    if (block != NULL)
        ebb__heap_span_unhold(block);
    return block;
}

void *ebb__cache_span_if_room(size_t bytes)
{
    void *block = take_mine(ebb__max(ebb__div_up(bytes, EBB_UNIT_BYTES), 1), EBB_UNIT_BYTES);
    return block != NULL ? block : ebb__heap_span_if_room(bytes);
}

void *ebb__cache_span_alloc(size_t bytes, size_t align_bytes, bool zeroed)
{
    size_t units = ebb__max(ebb__div_up(bytes, EBB_UNIT_BYTES), 1);
    void *block = take_mine(units, align_bytes);
    if (block != NULL)
        return zeroed ? memset(block, 0, units * EBB_UNIT_BYTES) : block;
    block = ebb__heap_span_alloc(bytes, align_bytes, zeroed);
    if (EBB_UNLIKELY(block == NULL) && flush_mine())
        block = ebb__heap_span_alloc(bytes, align_bytes, zeroed);
    return block;
}

/* Makes room for one more, of so many units. False when it would be more than the thread may hold. */
static bool make_room(struct thread_cache *tc, size_t units)
{
    struct span_shelf *shelf = &tc->shelf;
    size_t share = ebb__cache_share_bytes();
    size_t most = ebb__min(SHELF_MAX_BYTES, share - ebb__min(share, tc->room_bytes)) / EBB_UNIT_BYTES;
    if (units > most)
        return false;
    while (shelf->count == EBB_SHELF_SPANS || shelf->units + units > most)
        ebb__heap_large_free(take_out(shelf, 0));
    return true;
}

void ebb__cache_span_free(void *block, size_t usable_bytes, const char *caller)
{
    size_t units = usable_bytes / EBB_UNIT_BYTES;
    struct thread_cache *tc = units <= SHELF_SPAN_UNITS ? ebb__cache_enter_mine() : NULL;
    if (tc == NULL) {
        ebb__heap_large_free(block);
        return;
    }
    if (make_room(tc, units)) {
        struct span_shelf *shelf = &tc->shelf;
        if (!ebb__heap_span_hold(block))
            ebb__die("%s: double free of block %p (%lu bytes)", caller, block, (unsigned long)usable_bytes);
        shelf->blocks[shelf->count] = block;
        shelf->lengths[shelf->count] = (uint16_t)units;
        set_sums(shelf, shelf->count + 1, shelf->units + (uint32_t)units);
    } else {
        ebb__heap_large_free(block);
    }
    ebb__cache_leave();
}
