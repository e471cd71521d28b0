/* SPDX-License-Identifier: MIT
 *
 * What malloc_trim() of glibc would give back; see glibc_trim.h.
 */
#include "model/glibc_trim.h"

#include <errno.h>

/* What glibc keeps in memory at the front of a free block, and the smallest block, which stays of the main arena's top. */
#define FRONT_BYTES     48
#define BLOCK_MIN_BYTES 32

static uint64_t down(uint64_t value, uint64_t unit)
{
    return value - value % unit;
}

static uint64_t up(uint64_t value, uint64_t unit)
{
    return down(value + unit - 1, unit);
}

/* The whole pages of [start, end) behind the front. */
static int tell(const struct ebb_glibc_trim_rules *rules, enum ebb_glibc_trim_part part, uint64_t start,
                uint64_t end, ebb_glibc_trim_fn fn, void *context)
{
    uint64_t first = up(start + FRONT_BYTES, rules->page_bytes);
    uint64_t last = down(end, rules->page_bytes);

    return first < last ? fn(context, part, first, last) : 0;
}

static int tell_top(const struct ebb_glibc_arena *arena, uint64_t top, uint64_t end,
                    const struct ebb_glibc_trim_rules *rules, ebb_glibc_trim_fn fn, void *context)
{
    uint64_t unit = rules->thp_page_bytes != 0 ? rules->thp_page_bytes : rules->page_bytes;
    uint64_t bytes = end - top;
    uint64_t extra = 0;

    if (!arena->is_main || end != rules->brk_end)
        return tell(rules, EBB_GLIBC_TRIM_KEPT, top, end, fn, context);
    /* One byte more than the smallest block stays, so that a top of exactly that size is left. */
    if (bytes > BLOCK_MIN_BYTES + 1 + rules->pad_bytes)
        extra = down(bytes - BLOCK_MIN_BYTES - 1 - rules->pad_bytes, unit);
    return extra != 0 ? fn(context, EBB_GLIBC_TRIM_TOP, end - extra, end) : 0;
}

int ebb__glibc_trim(const struct ebb_glibc_arena *arena, const struct ebb_glibc_chunk *chunks, size_t count,
                    const struct ebb_glibc_trim_rules *rules, ebb_glibc_trim_fn fn, void *context)
{
    uint64_t top = arena->top;
    uint64_t top_end = arena->top + arena->top_bytes;
    size_t i = 0;

    while (i < count) {
        uint64_t start = chunks[i].address;
        uint64_t end = start + chunks[i].bytes;
        int err;

        /* Neighbours in the list of all free blocks are joined: at least one of two that touch is in a fastbin. */
        for (i++; i < count && chunks[i].address <= end; i++) {
            if (chunks[i].address < end)
                return -EBADMSG;
            end += chunks[i].bytes;
        }
        if (arena->top_bytes != 0 && end == top) {
            top = start;
            continue;
        }
        err = tell(rules, EBB_GLIBC_TRIM_BLOCKS, start, end, fn, context);
        if (err != 0)
            return err;
    }
    return arena->top_bytes == 0 ? 0 : tell_top(arena, top, top_end, rules, fn, context);
}
