/* SPDX-License-Identifier: MIT
 *
 * Purge: free memory goes back to the kernel, as much as the caller says and no sooner.
 *
 * First wholly free extents, highest addresses first, for the lowest are used again first; then free pages in extents that
 * are in use; then pages inside slabs (sweep.c). What is to be purged is claimed as if it were allocated, purged without any
 * lock that malloc needs, then released clean: no thread can be handed memory that is under advice. One advice covers a
 * whole free extent, though only a part of it may hold memory, so that the kernel gives the page table back as well.
 *
 * Metadata. The unit descriptors of a free extent say nothing: they go with it. When a whole group is free and clean, all its
 * metadata reads as zero or can be made anew: it goes too, and the group is as if it had never been used.
 *
 * Locking: the return lock, for a batch at a time, so that a fork never waits longer than for one call of the kernel.
 */
#include "heap/heap_priv.h"

#define BATCH_EXTENTS 8u /* 16 MiB: half a millisecond of the kernel's time */

struct extent_ref {
    uintptr_t base;
    unsigned number;
};

static struct extent *header_of(struct extent_ref x)
{
    return ebb__extent_at(x.base, x.number);
}

/* ---- whole extents ---- */

static bool is_old(const struct extent *e, uint32_t now_ms, uint32_t idle_ms)
{
    return now_ms - e->freed_ms >= idle_ms;
}

/* Claims free extents with dirty units, highest first, that nobody has freed a unit of for idle_ms, until no more than keep_units
 * would stay dirty. Space lock held. */
static unsigned claim_free(struct extent_ref *ret, size_t keep_units, uint32_t idle_ms)
{
    struct space *s = &ebb__space;
    size_t dirty = s->dirty_units;
    uint32_t now_ms = (uint32_t)ebb__os_now_ms();
    unsigned count = 0;
    for (uint32_t w = s->active_words; w-- > 0;)
        for (uint64_t groups = s->dirty_groups[w]; groups != 0;
             groups &= ~(UINT64_C(1) << ebb__log2(groups))) {
            uintptr_t base = s->groups[w * 64 + ebb__log2(groups)];
            uint64_t left = ((const struct group *)(base + EBB_META_GROUP_AT))->dirty_extents;
            for (; left != 0; left &= ~(UINT64_C(1) << ebb__log2(left))) {
                struct extent_ref x = {base, ebb__log2(left)};
                if (count == BATCH_EXTENTS || dirty <= keep_units)
                    return count;
                if (!is_old(header_of(x), now_ms, idle_ms))
                    continue;
                dirty -= header_of(x)->ndirty;
                ebb__extent_claim(base, x.number, EBB_KIND_CLAIMED);
                ret[count++] = x;
            }
        }
    return count;
}

/* Where an OS page holds the descriptors of several extents it can go when all of them are free: these are claimed too. Returns them as bits. */
static bool claim_sharers(struct extent_ref x, unsigned sharers, uint64_t *ret_claimed)
{
    struct group *group = (struct group *)(x.base + EBB_META_GROUP_AT);
    unsigned first = (unsigned)ebb__align_down(x.number, sharers);
    bool all = true;
    *ret_claimed = 0;
    ebb__lock_take(&ebb__space_lock);
    for (unsigned n = first; n < first + sharers; n++) {
        uint64_t bit = UINT64_C(1) << n;
        if (group->free_extents & bit) {
            ebb__extent_claim(x.base, n, EBB_KIND_CLAIMED);
            *ret_claimed |= bit;
        } else if ((group->extents & bit) && ebb__extent_at(x.base, n)->kind != EBB_KIND_CLAIMED) {
            all = false;
        }
    }
    ebb__space_unlock();
    return all;
}

static void purge_descriptors(struct extent_ref x)
{
    const size_t own = EBB_EXTENT_UNITS * EBB_DESC_BYTES, bytes = ebb__max(own, ebb__os_page_bytes());
    uintptr_t at = ebb__align_down(x.base + EBB_META_DESC_AT + x.number * own, bytes);
    uint64_t sharers;
    if (claim_sharers(x, (unsigned)(bytes / own), &sharers))
        (void)ebb__os_purge((void *)at, bytes);
    ebb__lock_take(&ebb__space_lock);
    for (; sharers != 0; sharers &= sharers - 1)
        ebb__extent_release(x.base, ebb__ctz(sharers));
    ebb__space_unlock();
}

static size_t release_free(struct extent_ref x, bool purged)
{
    struct space *s = &ebb__space;
    struct extent *e = header_of(x);
    size_t dirty = e->ndirty;
    ebb__lock_take(&ebb__space_lock);
    if (purged) {
        memset(e->backed, 0, sizeof(e->backed));
        e->ndirty = 0;
        s->dirty_units -= dirty;
        s->backed_units -= dirty;
    }
    ebb__extent_release(x.base, x.number);
    ebb__space_unlock();
    ebb__limbo_leave();
    return purged ? dirty * EBB_UNIT_BYTES : 0;
}

/* One batch of free extents. Returns the bytes given back; 0 when there is none to be had, or the kernel refuses. */
static size_t purge_batch(size_t keep_bytes, uint32_t idle_ms)
{
    struct extent_ref batch[BATCH_EXTENTS];
    struct ebb_os_range ranges[BATCH_EXTENTS];
    size_t returned = 0;
    ebb__lock_take(&ebb__return_lock);
    ebb__lock_take(&ebb__space_lock);
    unsigned count = claim_free(batch, keep_bytes / EBB_UNIT_BYTES, idle_ms);
    for (unsigned i = 0; i < count; i++)
        ebb__limbo_enter();
    ebb__space_unlock();
    for (unsigned i = 0; i < count; i++)
        ranges[i] = (struct ebb_os_range){(void *)(batch[i].base + batch[i].number * EBB_EXTENT_BYTES),
                                          EBB_EXTENT_BYTES};
    unsigned done = count != 0 ? ebb__os_purge_many(ranges, count) : 0;
    EBB_COUNT(purge_calls, count != 0);
    EBB_COUNT(purge_ranges, done);
    for (unsigned i = 0; i < done; i++)
        purge_descriptors(batch[i]);
    for (unsigned i = 0; i < count; i++)
        returned += release_free(batch[i], i < done);
    ebb__lock_release(&ebb__return_lock);
    EBB_COUNT(purged_bytes, returned);
    return returned;
}

/* ---- pages in extents in use ---- */

static size_t dirty_bytes_now(void)
{
    /* One word that others write under their lock: the figure of an instant is all that is wanted. */
    return __atomic_load_n(&ebb__space.dirty_units, __ATOMIC_RELAXED) * EBB_UNIT_BYTES;
}

/* The extents of a group that the sweep should look at. */
static uint64_t candidates(uint32_t g, enum ebb_sweep how, uint32_t idle_ms)
{
    struct group *group = (struct group *)(ebb__space.groups[g] + EBB_META_GROUP_AT);
    uint32_t now_ms = (uint32_t)ebb__os_now_ms();
    uint64_t found = 0;
    ebb__lock_take(&ebb__space_lock);
    uint64_t in_use = ebb__space.state[g] == EBB_GROUP_ACTIVE ? group->extents & ~group->free_extents : 0;
    if (in_use != 0 && how != EBB_SWEEP_FREE)
        found = in_use & atomic_load_explicit(&group->stirred, memory_order_relaxed);
    if (how != EBB_SWEEP_COLD)
        for (uint64_t left = in_use & ~found; left != 0; left &= left - 1) {
            const struct extent *e = ebb__extent_at(ebb__space.groups[g], ebb__ctz(left));
            if (e->ndirty != 0 && is_old(e, now_ms, idle_ms))
                found |= left & -left;
        }
    ebb__space_unlock();
    return found;
}

/* Sweeps extents in use, highest first, a batch at a time, until `most` bytes went back or free memory is down to keep_bytes. */
static size_t sweep(enum ebb_sweep how, size_t keep_bytes, size_t most_bytes, uint32_t idle_ms)
{
    size_t returned = 0;
    uint32_t g = __atomic_load_n(&ebb__space.group_count, __ATOMIC_RELAXED);
    uint64_t left = 0;
    while ((g != 0 || left != 0) && returned < most_bytes &&
           (how != EBB_SWEEP_FREE || dirty_bytes_now() > keep_bytes)) {
        if (left == 0) {
            left = candidates(--g, how, idle_ms);
            continue;
        }
        ebb__lock_take(&ebb__return_lock);
        while (left != 0 && !ebb__sweep_is_full()) {
            ebb__sweep_extent(g, ebb__log2(left), how);
            left &= ~(UINT64_C(1) << ebb__log2(left));
        }
        returned += ebb__sweep_finish();
        ebb__lock_release(&ebb__return_lock);
    }
    return returned;
}

/* ---- empty groups ---- */

/* A group without blocks and without memory but its metadata: unit map and descriptors read as zero, the rest is made anew. */
static void retire(uint32_t g)
{
    struct space *s = &ebb__space;
    uintptr_t base = s->groups[g];
    struct group *group = (struct group *)(base + EBB_META_GROUP_AT);
    uint64_t bit = UINT64_C(1) << (g % 64);
    ebb__lock_take(&ebb__space_lock);
    bool empty =
        s->state[g] == EBB_GROUP_ACTIVE && group->free_extents == group->extents && group->dirty_extents == 0;
    if (empty) {
        s->state[g] = EBB_GROUP_RETIRING;
        s->free_groups[g / 64] &= ~bit;
        atomic_store_explicit(&ebb__owned[base >> EBB_GROUP_SHIFT], 0, memory_order_relaxed);
        ebb__limbo_enter();
    }
    ebb__space_unlock();
    if (!empty)
        return;
    bool purged = ebb__os_purge((void *)base, EBB_EXTENT_BYTES) == 0;
    ebb__lock_take(&ebb__space_lock);
    if (purged) {
        s->state[g] = EBB_GROUP_VIRGIN;
    } else {
        s->state[g] = EBB_GROUP_ACTIVE;
        s->free_groups[g / 64] |= bit;
        atomic_store_explicit(&ebb__owned[base >> EBB_GROUP_SHIFT], 1, memory_order_relaxed);
    }
    ebb__limbo_leave();
    ebb__space_unlock();
    EBB_COUNT(groups_retired, purged);
}

/* ---- door ---- */

size_t ebb__heap_purge_free(size_t keep_bytes, size_t most_bytes, uint32_t idle_ms)
{
    size_t returned = 0, bytes;
    while (returned < most_bytes && (bytes = purge_batch(keep_bytes, idle_ms)) != 0)
        returned += bytes;
    if (returned < most_bytes && dirty_bytes_now() > keep_bytes)
        returned += sweep(EBB_SWEEP_FREE, keep_bytes, most_bytes - returned, idle_ms);
    return returned;
}

size_t ebb__heap_sweep(size_t most_bytes)
{
    return sweep(EBB_SWEEP_COLD, 0, most_bytes, 0);
}

void ebb__heap_retire_groups(void)
{
    /* The first group stays: a process that comes back from idleness needs one. */
    for (uint32_t g = __atomic_load_n(&ebb__space.group_count, __ATOMIC_RELAXED); g-- > 1;) {
        if (__atomic_load_n(&ebb__space.state[g], __ATOMIC_RELAXED) != EBB_GROUP_ACTIVE)
            continue;
        ebb__lock_take(&ebb__return_lock);
        retire(g);
        ebb__lock_release(&ebb__return_lock);
    }
}

size_t ebb__heap_trim(size_t keep_bytes)
{
    ebb__heap_tidy_slabs();
    size_t returned = ebb__heap_purge_free(keep_bytes, SIZE_MAX, 0);
    if (dirty_bytes_now() <= keep_bytes)
        returned += sweep(EBB_SWEEP_ALL, keep_bytes, SIZE_MAX, 0);
    if (keep_bytes == 0)
        ebb__heap_retire_groups();
    return returned;
}
