/* SPDX-License-Identifier: MIT
 *
 * After fork: the child's heap, made whole from what is true.
 *
 * Why no lock is taken before fork. fork() runs the handlers of the program first and takes the C library's
 * stream locks after them. A thread that holds a stream lock and waits for one of ours would then wait for a
 * thread that waits for the stream lock. So the parent holds nothing, and the child repairs.
 *
 * What the child finds. fork copies each thread's memory as of one instant in that thread's own order of writes:
 * a write either went to the page that both share, or faulted and waited until the fork was over. So lock words
 * and the count of operations in limbo (between two locks) tell the truth: if no lock of the heap is held and
 * nothing is in limbo, nothing is done. Otherwise the derived state is thrown away and made anew from the truth
 * (see heap_priv.h): unit map, slab bitmaps, span lengths.
 *   - Units that no living slab or span covers are free: a slab or span comes to life last and dies first.
 *   - Blocks that a vanished thread had taken, cached or not, stay taken: they are lost to the child.
 *   - `backed` is a superset of the truth in every order of writes, so it is kept; for units in use it is set.
 *   - What a sweep had claimed inside slabs is in their descriptors (`claimed`), and is free again.
 *   - Chains over whole groups: their groups are covered if their head lives, else virgin; virgin must read as
 *     zero, so the child purges them (or activates them, dirty, where that fails).
 *
 * Cost: nothing in the parent; in the child a dozen loads, or the walk over all metadata when a lock was held.
 */
#include "heap/heap_priv.h"

void ebb__walk_group(uint32_t g, void (*fn)(char *start, size_t units, unsigned code, void *arg), void *arg)
{
    uintptr_t base = ebb__space.groups[g];
    const struct reservation *r = ebb__space_reservation_of_group(g);
    size_t end =
        ebb__min(EBB_GROUP_BYTES, r->base + atomic_load(&r->committed_bytes) - base) / EBB_UNIT_BYTES;
    for (size_t u = EBB_EXTENT_UNITS; u < end;) {
        char *start = (char *)(base + u * EBB_UNIT_BYTES);
        unsigned entry = ebb__unit_entry(start), code = entry & 0xff;
        size_t units = 1;
        if (entry == EBB_CODE_SPAN)
            units = ((struct span *)ebb__desc_of(start))->units;
        else if (code != EBB_CODE_NONE && code < EBB_CLASS_COUNT && entry >> 8 == 0)
            units = ebb__slab_units(ebb__desc_of(start));
        else
            code = EBB_CODE_NONE;
        if (code != EBB_CODE_NONE)
            fn(start, units, code, arg);
        u += units;
    }
}

/* ---- rebuilding ---- */

static void forget_lists(void)
{
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++) {
        struct bin *bin = &ebb__bins[c];
        ebb__lock_reset(&bin->lock);
        memset(bin->lists, 0, sizeof(bin->lists));
        bin->nonempty = bin->slab_count = bin->empty_count = 0;
    }
    struct space *s = &ebb__space;
    memset(s->runs, 0, s->active_words * sizeof(s->runs[0]));
    memset(s->run_counts, 0, sizeof(s->run_counts));
    memset(s->run_masks, 0, sizeof(s->run_masks));
    memset(s->free_groups, 0, s->active_words * sizeof(s->free_groups[0]));
    memset(s->dirty_groups, 0, s->active_words * sizeof(s->dirty_groups[0]));
    s->backed_units = s->dirty_units = s->claimed_units = 0;
    s->span_units = s->span_blocks = 0;
}

/* Makes every extent of the group free, with what it may hold of memory. */
static void reset_group(uint32_t g)
{
    struct space *s = &ebb__space;
    uintptr_t base = s->groups[g];
    struct group *group = (struct group *)(base + EBB_META_GROUP_AT);
    memset(group->runs, 0, sizeof(group->runs));
    group->free_extents = group->dirty_extents = 0;
    for (uint64_t left = group->extents; left != 0; left &= left - 1) {
        unsigned number = ebb__ctz(left);
        struct extent *e = ebb__extent_at(base, number);
        unsigned backed = ebb__bitmap_count(e->backed, 0, EBB_EXTENT_UNITS);
        e->class_any = e->class_dirty = 0;
        e->run_any = e->run_dirty = 0;
        e->nfree = EBB_EXTENT_UNITS;
        e->ndirty = (uint16_t)backed;
        memset(e->free, 0xff, sizeof(e->free));
        s->backed_units += backed;
        s->dirty_units += backed;
        if (e->kind == EBB_KIND_FREE || e->kind >= EBB_KIND_COUNT) {
            e->kind = EBB_KIND_FREE;
            group->free_extents |= UINT64_C(1) << number;
            group->dirty_extents |= (uint64_t)(backed != 0) << number;
        }
    }
}

static void retake(char *start, size_t units, unsigned code, void *arg)
{
    (void)arg;
    uintptr_t base = ebb__group_base(start);
    size_t unit = ebb__unit_number(start), end = ebb__min(unit + units, EBB_GROUP_UNITS);
    enum ebb_kind kind = code == EBB_CODE_SPAN ? ebb__span_kind(start) : EBB_KIND_SLAB;
    while (unit < end) {
        unsigned first = (unsigned)(unit % EBB_EXTENT_UNITS);
        unsigned n = (unsigned)ebb__min(EBB_EXTENT_UNITS - first, end - unit);
        struct extent *e = ebb__extent_at(base, (unsigned)(unit / EBB_EXTENT_UNITS));
        if (e->kind != EBB_KIND_FREE && (e->kind == EBB_KIND_REGION) != (kind == EBB_KIND_REGION))
            e->kind = (uint8_t)
                kind; /* the first of its spans says so, before the extent is indexed; the others agree */
        ebb__extent_take_exact(base, (unsigned)(unit / EBB_EXTENT_UNITS), kind, first, n);
        unit += n;
    }
    if (ebb__chain_crosses(start, units)) {
        uint32_t g = ebb__group_of(start)->index;
        uint32_t inner = (uint32_t)ebb__div_up(ebb__unit_number(start) + units, EBB_GROUP_UNITS) - 1;
        for (uint32_t i = 1; i <= inner; i++)
            ebb__space.state[g + i] = EBB_GROUP_CHAIN;
        ebb__space.backed_units += (size_t)inner * EBB_GROUP_UNITS;
    }
    if (code == EBB_CODE_SPAN) {
        ebb__span_count(1, units);
        return;
    }
    struct slab *s = ebb__desc_of(start);
    struct bin *bin = &ebb__bins[code];
    EBB_ASSERT(s->code == code);
    if ((s->holes | s->claimed) != 0) { /* free pages count as backed again: the next sweeps will see */
        s->heat = EBB_SLAB_HOT;
        atomic_fetch_or_explicit(&ebb__group_of(start)->stirred, UINT64_C(1) << ebb__extent_number(start),
                                 memory_order_relaxed);
    }
    s->holes = 0;
    if (s->claimed != 0)
        ebb__slab_unclaim(s);
    s->nfree = (uint16_t)ebb__bitmap_count(s->free, 0, ebb__slab_blocks(s));
    bin->slab_count++;
    bin->empty_count += s->nfree == ebb__slab_blocks(s);
    ebb__slab_link(bin, s, ebb__group_of(start)->index * EBB_GROUP_UNITS + ebb__unit_number(start));
}

/* Clears stale entries of units that nothing living covers, so that a later walk cannot meet them. */
static void clear_strays(uint32_t g)
{
    uintptr_t base = ebb__space.groups[g];
    struct group *group = (struct group *)(base + EBB_META_GROUP_AT);
    for (uint64_t left = group->extents; left != 0; left &= left - 1) {
        unsigned number = ebb__ctz(left);
        struct extent *e = ebb__extent_at(base, number);
        const struct reservation *r = &ebb__space.reservations[group->reservation];
        if (!ebb__space_is_committed(r, base + (number + (uintptr_t)1) * EBB_EXTENT_BYTES))
            continue;
        if (e->kind != EBB_KIND_FREE && e->nfree == EBB_EXTENT_UNITS)
            ebb__extent_release(base, number);
        else if (e->kind != EBB_KIND_FREE)
            ebb__extent_index(base, number);
        for (unsigned u = 0; u < EBB_EXTENT_UNITS; u++) {
            char *unit = (char *)(base + number * EBB_EXTENT_BYTES + u * EBB_UNIT_BYTES);
            if (ebb__bitmap_test(e->free, u) && ebb__unit_entry(unit) != 0)
                atomic_store_explicit(ebb__map_entry(unit), EBB_CODE_NONE, memory_order_relaxed);
        }
    }
    if (group->free_extents != 0)
        ebb__space.free_groups[g / 64] |= UINT64_C(1) << (g % 64);
    if (group->dirty_extents != 0)
        ebb__space.dirty_groups[g / 64] |= UINT64_C(1) << (g % 64);
}

static void rebuild(void)
{
    struct space *s = &ebb__space;
    size_t retaken_units = s->retaken_units;
    forget_lists();
    if (s->reservation_count != 0) { /* a row, and how long it is, is written before its groups are counted */
        struct reservation *last = &s->reservations[s->reservation_count - 1];
        last->group_count = (uint32_t)ebb__div_up(last->bytes, EBB_GROUP_BYTES);
        s->group_count = last->first_group + last->group_count;
    }
    for (uint32_t g = 0; g < s->group_count; g++)
        if (s->state[g] == EBB_GROUP_ACTIVE)
            reset_group(g);
    /* Groups inside chains first count as uncovered; living heads claim them back. */
    static uint8_t was_chain[EBB_GROUPS_MAX];
    for (uint32_t g = 0; g < s->group_count; g++) {
        if (s->state[g] == EBB_GROUP_RETIRING) { /* empty and clean; its metadata must be zero for VIRGIN */
            if (ebb__os_purge((void *)s->groups[g], EBB_EXTENT_BYTES) != 0)
                memset((void *)s->groups[g], 0, EBB_EXTENT_BYTES);
            s->state[g] = EBB_GROUP_VIRGIN;
        }
        was_chain[g] = s->state[g] == EBB_GROUP_CHAIN;
        if (was_chain[g])
            s->state[g] = EBB_GROUP_VIRGIN;
    }
    for (uint32_t g = 0; g < s->group_count; g++)
        if (s->state[g] == EBB_GROUP_ACTIVE)
            ebb__walk_group(g, retake, NULL);
    for (uint32_t g = 0; g < s->group_count; g++) {
        atomic_store(&ebb__owned[s->groups[g] >> EBB_GROUP_SHIFT], s->state[g] == EBB_GROUP_ACTIVE);
        if (s->state[g] == EBB_GROUP_ACTIVE)
            clear_strays(g);
        else if (was_chain[g] && s->state[g] == EBB_GROUP_VIRGIN &&
                 ebb__os_purge((void *)s->groups[g], EBB_GROUP_BYTES) != 0) {
            memset((void *)s->groups[g], 0, EBB_EXTENT_BYTES);
            ebb__space_activate(g);
            ebb__group_mark_dirty(g);
        }
    }
    s->retaken_units = retaken_units; /* what is in use was taken before */
    EBB_COUNT(fork_rebuilds, 1);
}

void ebb__heap_after_fork(void)
{
    bool torn = ebb__lock_is_held(&ebb__space_lock) || atomic_load(&ebb__limbo) != 0;
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++)
        torn |= ebb__lock_is_held(&ebb__bins[c].lock);
    ebb__lock_reset(&ebb__space_lock);
    ebb__lock_reset(&ebb__grow_lock);
    ebb__lock_reset(&ebb__lane_lock);
    ebb__lock_reset(&ebb__return_lock);
    ebb__sweep_after_fork();
    atomic_store(&ebb__limbo, 0);
    if (torn)
        rebuild();
    ebb__gate_after_fork();
}
