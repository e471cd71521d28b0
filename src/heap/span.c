/* SPDX-License-Identifier: MIT
 *
 * Spans: blocks of whole units, above 32 KiB or aligned beyond a unit.
 *
 * What. A span up to 2 MiB lies in one extent, beside others of its kind; a longer one is a chain of extents.
 * Its first unit has EBB_CODE_SPAN in the unit map and its length in the descriptor; its other units say
 * nothing. Blocks of 32 MiB and more go back to the kernel when they are freed, before their units are; what
 * is smaller stays backed for the next span, which then needs no page fault.
 *
 * Growth: see ebb__heap_grown().
 *
 * Zeroed spans: units that were never used or were purged are zero already; only the others are cleared.
 *
 * Locking: none here; extent.c and chain.c take the space lock, the holder of the block owns its map entry.
 */
#include "heap/heap_priv.h"

#define ALIGN_MAX_EXTENTS (EBB_GROUP_EXTENTS / 2) /* larger alignments get a mapping of their own */

static struct span *span_at(const void *block)
{
    return ebb__desc_of(block);
}

/* Clears what may hold old data of a run inside one extent. */
static void zero_backed(char *start, unsigned units, const uint64_t *backed)
{
    for (unsigned at = 0; (at = ebb__bitmap_next_set(backed, units, at)) < units;) {
        unsigned end = ebb__bitmap_next_clear(backed, units, at);
        memset(start + at * EBB_UNIT_BYTES, 0, (end - at) * EBB_UNIT_BYTES);
        at = end;
    }
}

void ebb__span_birth(void *start, size_t units, enum ebb_holder holder)
{
    span_at(start)->units = (uint32_t)units;
    __atomic_store_n(&span_at(start)->held, holder,
                     __ATOMIC_RELAXED); /* the descriptor may have been a slab's */
    atomic_store_explicit(ebb__map_entry(start), EBB_CODE_SPAN, memory_order_release);
    ebb__span_count(1, units);
    EBB_SET(span_allocs, EBB_COUNTED(span_allocs) + 1); /* the lock keeps other writers out */
}

void ebb__span_death(void *start, size_t units)
{
    if (ebb__unit_entry(start) == EBB_CODE_SPAN) {
        ebb__span_count((size_t)-1, -units);
        EBB_SET(span_frees, EBB_COUNTED(span_frees) + 1);
    }
    atomic_store_explicit(ebb__map_entry(start), EBB_CODE_NONE, memory_order_relaxed);
}

void ebb__span_count(size_t blocks, size_t units)
{
    struct space *s = &ebb__space;
    s->span_blocks += blocks;
    s->span_units += units;
    EBB_SET(span_blocks, s->span_blocks);
    EBB_SET(span_bytes, s->span_units * EBB_UNIT_BYTES);
}

static void count_alloc(void)
{
    __atomic_store_n(&ebb_alloc_counter, __atomic_load_n(&ebb_alloc_counter, __ATOMIC_RELAXED) + 1,
                     __ATOMIC_RELAXED);
}

static void *take_span(size_t bytes, size_t align_bytes, enum ebb_room room, bool zeroed)
{
    size_t units = ebb__max(ebb__div_up(bytes, EBB_UNIT_BYTES), 1);
    size_t align_units = ebb__max(align_bytes / EBB_UNIT_BYTES, 1);
    if (align_units > ALIGN_MAX_EXTENTS * EBB_EXTENT_UNITS)
        return ebb__lane_alloc(bytes, align_bytes); /* fresh from the kernel: zero */
    if (ebb__heap_init() != 0)
        return NULL;
    count_alloc();
    if (units <= EBB_EXTENT_UNITS && align_units <= EBB_EXTENT_UNITS) {
        uint64_t backed[EBB_EXTENT_UNITS / 64];
        enum ebb_kind kind = units <= EBB_MID_MAX_UNITS ? EBB_KIND_MID : EBB_KIND_LARGE;
        char *start =
            ebb__extent_take(kind, (unsigned)units, (unsigned)align_units, room, zeroed ? backed : NULL);
        if (start == NULL)
            return NULL;
        if (zeroed)
            zero_backed(start, (unsigned)units, backed);
        return start;
    }
    bool clean;
    unsigned align_extents = (unsigned)ebb__max(align_units / EBB_EXTENT_UNITS, 1);
    units = ebb__max(units, EBB_EXTENT_UNITS + 1);
    char *start = ebb__chain_take(units, align_extents, room, &clean);
    if (start == NULL)
        return NULL;
    if (zeroed && !clean)
        memset(start, 0, units * EBB_UNIT_BYTES);
    return start;
}

void *ebb__heap_span_alloc(size_t bytes, size_t align_bytes, bool zeroed)
{
    return take_span(bytes, align_bytes, EBB_MAKE_ROOM, zeroed);
}

void *ebb__heap_span_if_room(size_t bytes)
{
    return take_span(bytes, EBB_UNIT_BYTES, EBB_IF_ROOM, false);
}

enum ebb_kind ebb__span_kind(const void *start)
{
    const struct span *s = span_at(start);
    if (__atomic_load_n(&s->held, __ATOMIC_RELAXED) == EBB_HELD_BY_REGION && s->units <= EBB_EXTENT_UNITS)
        return EBB_KIND_REGION;
    return s->units <= EBB_MID_MAX_UNITS ? EBB_KIND_MID : EBB_KIND_LARGE;
}

void *ebb__heap_region_span_alloc(size_t bytes, enum ebb_room room)
{
    size_t units = ebb__max(ebb__div_up(bytes, EBB_UNIT_BYTES), 1);
    bool clean;
    if (ebb__heap_init() != 0)
        return NULL;
    count_alloc();
    void *start = units <= EBB_EXTENT_UNITS
                      ? ebb__extent_take(EBB_KIND_REGION, (unsigned)units, 1, room, NULL)
                      : ebb__chain_take(units, 1, room, &clean);
    if (start != NULL && units > EBB_EXTENT_UNITS) /* nobody else knows of it yet */
        __atomic_store_n(&span_at(start)->held, EBB_HELD_BY_REGION, __ATOMIC_RELAXED);
    return start;
}

/* Purges the whole OS pages of a block that its holder is about to give back, and gives it back. What shares
 * an OS page with a neighbour stays backed. */
static void return_and_give(void *block, size_t units)
{
    size_t page = ebb__os_page_bytes(), all = ebb__chain_extent_units(block, units);
    uintptr_t from = ebb__align_up((uintptr_t)block, page);
    uintptr_t to = ebb__align_down((uintptr_t)block + all * EBB_UNIT_BYTES, page);
    ebb__gate_leaving(to - from);
    bool done = ebb__os_purge((void *)from, to - from) == 0;
    EBB_COUNT(purge_calls, 1);
    EBB_COUNT(purged_bytes, done ? to - from : 0);
    ebb__chain_give(block, units, done ? (from - (uintptr_t)block) / EBB_UNIT_BYTES : 0,
                    done ? (to - (uintptr_t)block) / EBB_UNIT_BYTES : 0);
    ebb__gate_left(to - from, 0);
}

void ebb__heap_large_free(void *block)
{
    if (!ebb__is_inside(block)) {
        ebb__lane_free(block);
        return;
    }
    size_t units = span_at(block)->units;
    /* A short span that grew in place may reach into the next extent. */
    if (units * EBB_UNIT_BYTES >= EBB_RETURN_MIN_BYTES)
        return_and_give(block, units);
    else if (ebb__unit_number(block) % EBB_EXTENT_UNITS + units <= EBB_EXTENT_UNITS)
        ebb__extent_give(block, (unsigned)units);
    else
        ebb__chain_give(block, units, 0, 0);
}

void *ebb__heap_large_resize(void *block, size_t bytes)
{
    if (!ebb__is_inside(block))
        return ebb__lane_resize(block, bytes);
    size_t units = span_at(block)->units;
    size_t wanted = ebb__div_up(bytes, EBB_UNIT_BYTES);
    /* Up to a quarter of the block may stay unused: growth by realloc leaves room for the next growth (see
     * below), and giving back a small tail costs more than it is worth. */
    if (wanted <= units && wanted >= units - units / 4)
        return block;
    /* Where the new length is served by another kind of extent, moving is better than mixing lifetimes. */
    if (wanted < units && wanted <= EBB_MID_MAX_UNITS && units > EBB_MID_MAX_UNITS)
        return NULL;
    /* A block that grows once grows again: with room for that, if it is free and no limit is in the way, else just what is asked
     * for. */
    size_t ample = wanted > units ? ebb__heap_grown(units, wanted) : wanted;
    if ((ample == wanted || !ebb__chain_resize(block, units, ample, EBB_IF_ROOM)) &&
        !ebb__chain_resize(block, units, wanted, EBB_MAKE_ROOM))
        return NULL;
    EBB_COUNT(span_grown, 1);
    return block;
}

bool ebb__heap_span_hold(void *block)
{
    return __atomic_exchange_n(&span_at(block)->held, EBB_HELD_BY_CACHE, __ATOMIC_RELAXED) ==
           EBB_HELD_BY_NOBODY;
}

void ebb__heap_span_unhold(void *block)
{
    __atomic_store_n(&span_at(block)->held, EBB_HELD_BY_NOBODY, __ATOMIC_RELAXED);
}

/* Whether p is a span of this holder. */
static bool is_held_by(const void *p, enum ebb_holder holder, size_t *ret_usable_bytes)
{
    if (!ebb__is_inside(p) || ebb__unit_entry(p) != EBB_CODE_SPAN || (uintptr_t)p % EBB_UNIT_BYTES != 0 ||
        __atomic_load_n(&span_at(p)->held, __ATOMIC_RELAXED) != holder)
        return false;
    *ret_usable_bytes = (size_t)span_at(p)->units * EBB_UNIT_BYTES;
    return true;
}

bool ebb__heap_span_is_held(const void *p, size_t *ret_usable_bytes)
{
    return is_held_by(p, EBB_HELD_BY_CACHE, ret_usable_bytes);
}

bool ebb__heap_is_region_span(const void *p, size_t *ret_usable_bytes)
{
    return is_held_by(p, EBB_HELD_BY_REGION, ret_usable_bytes);
}

void *ebb__heap_lane_alloc(size_t bytes)
{
    return ebb__lane_alloc(bytes, EBB_KIB(64));
}

enum ebb_block_kind ebb__heap_kind(const void *p, bool exact, size_t *ret_usable_bytes)
{
    if (!ebb__is_inside(p))
        return ebb__lane_find(p, ret_usable_bytes) ? EBB_BLOCK_LANE : EBB_BLOCK_FOREIGN;
    unsigned entry = ebb__unit_entry(p), c = entry & 0xff;
    if (entry == EBB_CODE_SPAN && (uintptr_t)p % EBB_UNIT_BYTES == 0) {
        const struct span *s = span_at(p);
        *ret_usable_bytes = (size_t)s->units * EBB_UNIT_BYTES;
        return __atomic_load_n(&s->held, __ATOMIC_RELAXED) == EBB_HELD_BY_NOBODY ? EBB_BLOCK_SPAN
                                                                                 : EBB_BLOCK_INVALID;
    }
    uint32_t offset = ebb__slab_offset(entry, p), magic = ebb__user_magic[c];
    if (c == EBB_CODE_SPAN || !ebb__starts_block(offset, magic))
        return EBB_BLOCK_INVALID;
    const struct slab *s = ebb__desc_of((const char *)p - offset);
    unsigned index = ebb__block_index(offset, magic);
    if (index >= ebb__slab_blocks(s))
        return EBB_BLOCK_INVALID;
    if (exact) {
        ebb__lock_take(&ebb__bins[c].lock);
        bool is_free = ebb__bitmap_test(s->free, index);
        ebb__lock_release(&ebb__bins[c].lock);
        if (is_free)
            return EBB_BLOCK_INVALID;
    }
    *ret_usable_bytes = ebb__classes[c].bytes;
    return EBB_BLOCK_SMALL;
}
