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

/* What one call of ebb__heap_purge_free() goes by. */
struct round {
    size_t keep_bytes;
    size_t most_bytes; /* that are still to go */
    uint32_t idle_ms;
    uint32_t below; /* extents from here on, counted through all groups, had their turn */
};

/* The highest free extent with dirty units below the round's mark, which moves there. Space lock held. */
static bool next_dirty(struct round *r, struct extent_ref *ret)
{
    const struct space *s = &ebb__space;
    uint32_t g = (uint32_t)ebb__min(r->below / EBB_GROUP_EXTENTS + 1, s->active_words * 64);
    while (g-- > 0) {
        uint64_t groups = s->dirty_groups[g / 64] & (~UINT64_C(0) >> (63 - g % 64));
        if (groups == 0) {
            g -= g % 64;
            continue;
        }
        g = g / 64 * 64 + ebb__log2(groups);
        uint64_t left = ((const struct group *)(s->groups[g] + EBB_META_GROUP_AT))->dirty_extents;
        if (r->below / EBB_GROUP_EXTENTS == g)
            left &= (UINT64_C(1) << (r->below % EBB_GROUP_EXTENTS)) - 1;
        if (left == 0)
            continue;
        *ret = (struct extent_ref){s->groups[g], ebb__log2(left)};
        r->below = g * EBB_GROUP_EXTENTS + ret->number;
        return true;
    }
    return false;
}

/* Claims free extents with dirty units, highest first, that nobody has freed a unit of for idle_ms, until no more than
 * keep_bytes would stay dirty, or most_bytes are to go. Space lock held. */
static unsigned claim_free(struct round *r, struct extent_ref *ret)
{
    size_t dirty = ebb__space.dirty_units, keep = r->keep_bytes / EBB_UNIT_BYTES, claimed = 0;
    uint32_t now_ms = (uint32_t)ebb__os_now_ms();
    unsigned count = 0;
    struct extent_ref x;
    while (count < BATCH_EXTENTS && dirty > keep && claimed * EBB_UNIT_BYTES < r->most_bytes &&
           next_dirty(r, &x)) {
        if (!is_old(header_of(x), now_ms, r->idle_ms))
            continue;
        dirty -= header_of(x)->ndirty;
        claimed += header_of(x)->ndirty;
        ebb__extent_claim(x.base, x.number, EBB_KIND_CLAIMED);
        ret[count++] = x;
    }
    return count;
}

/* Where an OS page holds the descriptors of several extents it can go when all of them are free: these are claimed too, and
 * returned as bits. One that holds group and extents as well never goes alone. */
static bool claim_sharers(struct extent_ref x, unsigned sharers, uint64_t *ret_claimed)
{
    struct group *group = (struct group *)(x.base + EBB_META_GROUP_AT);
    unsigned first = (unsigned)ebb__align_down(x.number, sharers);
    bool all = true;
    *ret_claimed = 0;
    if (first == 0)
        return false;
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
    const size_t own = EBB_META_DESC_ROOM, bytes = ebb__max(own, ebb__os_page_bytes());
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

/* Asks the kernel for as many calls as it refuses extents: bit i of the result says that the i-th was purged. */
static uint32_t purge_extents(const struct extent_ref *batch, unsigned count)
{
    struct ebb_os_range ranges[BATCH_EXTENTS];
    uint32_t purged = 0;
    for (unsigned i = 0; i < count; i++)
        ranges[i] = (struct ebb_os_range){(void *)(batch[i].base + batch[i].number * EBB_EXTENT_BYTES),
                                          EBB_EXTENT_BYTES};
    for (unsigned done = 0; done < count;) {
        unsigned n = ebb__os_purge_many(ranges + done, count - done);
        EBB_COUNT(purge_calls, 1);
        EBB_COUNT(purge_ranges, n);
        purged |= ((1u << n) - 1) << done;
        done += n + 1; /* the one that was refused stays as it is */
    }
    return purged;
}

/* One batch of free extents. Returns whether there may be more. */
static bool purge_batch(struct round *r, size_t *ret_returned)
{
    struct extent_ref batch[BATCH_EXTENTS];
    size_t returned = 0;
    ebb__lock_take(&ebb__return_lock);
    ebb__lock_take(&ebb__space_lock);
    unsigned count = claim_free(r, batch);
    for (unsigned i = 0; i < count; i++)
        ebb__limbo_enter();
    ebb__space_unlock();
    uint32_t purged = purge_extents(batch, count);
    for (unsigned i = 0; i < count; i++)
        if (purged >> i & 1)
            purge_descriptors(batch[i]);
    for (unsigned i = 0; i < count; i++)
        returned += release_free(batch[i], purged >> i & 1);
    ebb__lock_release(&ebb__return_lock);
    EBB_COUNT(purged_bytes, returned);
    r->most_bytes -= ebb__min(returned, r->most_bytes);
    *ret_returned += returned;
    return count != 0 && r->most_bytes != 0;
}

/* ---- pages in extents in use ---- */

static size_t dirty_bytes_now(void)
{
    return (size_t)EBB_COUNTED(dirty_bytes); /* as the space's last holder left it */
}

/* The extents of a group that the sweep should look at. */
static uint64_t candidates(uint32_t g, enum ebb_sweep how, uint32_t idle_ms)
{
    struct group *group = (struct group *)(ebb__space.groups[g] + EBB_META_GROUP_AT);
    uint64_t found = 0;
    ebb__lock_take(&ebb__space_lock);
    uint32_t now_ms = (uint32_t)ebb__os_now_ms(); /* under the lock: not before what was freed last */
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
    uint32_t g = __atomic_load_n(&ebb__space.group_count, __ATOMIC_ACQUIRE);
    uint64_t left = 0;
    while ((g != 0 || left != 0) && returned < most_bytes &&
           (how != EBB_SWEEP_FREE || dirty_bytes_now() > keep_bytes)) {
        if (left == 0) {
            left = candidates(--g, how, idle_ms);
            continue;
        }
        ebb__lock_take(&ebb__return_lock);
        ebb__sweep_begin(how, keep_bytes, most_bytes - returned);
        while (left != 0 && !ebb__sweep_is_full()) {
            ebb__sweep_extent(g, ebb__log2(left));
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
    struct round round = {keep_bytes, most_bytes, idle_ms, UINT32_MAX};
    size_t returned = 0;
    while (purge_batch(&round, &returned))
        ;
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
    for (uint32_t g = __atomic_load_n(&ebb__space.group_count, __ATOMIC_ACQUIRE); g-- > 1;) {
        if (__atomic_load_n(&ebb__space.state[g], __ATOMIC_RELAXED) != EBB_GROUP_ACTIVE)
            continue;
        ebb__lock_take(&ebb__return_lock);
        retire(g);
        ebb__lock_release(&ebb__return_lock);
    }
}

size_t ebb__heap_give_back(size_t most_bytes)
{
    ebb__heap_tidy_slabs();
    size_t returned = ebb__heap_purge_free(0, most_bytes, 0);
    if (returned < most_bytes)
        returned += sweep(EBB_SWEEP_ALL, 0, most_bytes - returned, 0);
    return returned;
}

size_t ebb__heap_trim(size_t keep_bytes)
{
    ebb__heap_tidy_slabs();
    size_t returned = ebb__heap_purge_free(keep_bytes, SIZE_MAX, 0);
    /* Also when free memory stayed: parts of OS pages, or what others have freed meanwhile. */
    returned += sweep(EBB_SWEEP_ALL, keep_bytes, SIZE_MAX, 0);
    if (keep_bytes == 0)
        ebb__heap_retire_groups();
    return returned;
}
