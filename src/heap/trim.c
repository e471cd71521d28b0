/* SPDX-License-Identifier: MIT
 *
 * Trim: free memory goes back to the kernel at once.
 *
 * First wholly free extents, highest addresses first, then runs of whole OS pages inside extents that are in use. What is
 * to be purged is claimed as if it were allocated, purged without any lock, then released clean: no thread can
 * be handed memory that is under advice. Free blocks inside slabs stay.
 */
#include "heap/heap_priv.h"

#define RUNS_MAX 32u /* claimed at a time: others cannot use them meanwhile */

/* The highest free extent with dirty units: claims it. 0 when there is none. Space lock held. */
static uintptr_t claim_highest(unsigned *ret_number)
{
    struct space *s = &ebb__space;
    for (uint32_t w = s->active_words; w-- > 0;) {
        if (s->dirty_groups[w] == 0)
            continue;
        uintptr_t base = s->groups[w * 64 + ebb__log2(s->dirty_groups[w])];
        const struct group *group = (const struct group *)(base + EBB_META_GROUP_AT);
        *ret_number = ebb__log2(group->dirty_extents);
        ebb__extent_claim(base, *ret_number, EBB_KIND_CLAIMED);
        return base;
    }
    return 0;
}

/* The unit descriptors of a free extent say nothing: whoever takes units writes theirs anew. With pages of 64 KiB four
 * extents share a page of them, which stays. */
static void purge_descriptors(uintptr_t base, unsigned number)
{
    const size_t bytes = EBB_EXTENT_UNITS * EBB_DESC_BYTES;
    if (bytes % ebb__os_page_bytes() == 0)
        (void)ebb__os_purge((void *)(base + EBB_META_DESC_AT + number * bytes), bytes);
}

/* Purges up to RUNS_MAX runs of one extent in use. Returns the bytes; 0 when nothing is left or the kernel refuses. */
static size_t purge_runs(uint32_t g, unsigned number)
{
    struct unit_run runs[RUNS_MAX];
    uintptr_t base = ebb__space.groups[g];
    size_t bytes = 0;
    ebb__lock_take(&ebb__space_lock);
    const struct extent *e = ebb__extent_at(base, number);
    bool in_use =
        ebb__space.state[g] == EBB_GROUP_ACTIVE && e->kind >= EBB_KIND_SLAB && e->kind <= EBB_KIND_LARGE;
    unsigned count = in_use ? ebb__extent_claim_dirty(base, number, runs, RUNS_MAX) : 0;
    if (count != 0)
        ebb__limbo_enter();
    ebb__lock_release(&ebb__space_lock);
    for (unsigned i = 0; i < count; i++) {
        uintptr_t start = base + number * EBB_EXTENT_BYTES + runs[i].first * EBB_UNIT_BYTES;
        bool done = ebb__os_purge((void *)start, runs[i].n * EBB_UNIT_BYTES) == 0;
        EBB_COUNT(purge_calls, 1);
        ebb__lock_take(&ebb__space_lock);
        ebb__extent_give_locked(base, number, runs[i].first, runs[i].n, done);
        ebb__lock_release(&ebb__space_lock);
        bytes += done ? runs[i].n * EBB_UNIT_BYTES : 0;
    }
    if (count != 0)
        ebb__limbo_leave();
    EBB_COUNT(purged_bytes, bytes);
    return bytes;
}

/* Goes through the extents in use, highest first, until `wanted` bytes went back or none is left. */
static size_t trim_runs(size_t wanted)
{
    const struct space *s = &ebb__space;
    size_t returned = 0;
    for (uint32_t g = s->group_count; g-- > 0;) {
        ebb__lock_take(&ebb__space_lock);
        const struct group *group = (const struct group *)(s->groups[g] + EBB_META_GROUP_AT);
        uint64_t left = s->state[g] == EBB_GROUP_ACTIVE ? group->extents & ~group->free_extents : 0;
        ebb__lock_release(&ebb__space_lock);
        for (; left != 0 && returned < wanted; left &= ~(UINT64_C(1) << ebb__log2(left))) {
            size_t bytes;
            do {
                bytes = purge_runs(g, ebb__log2(left));
                returned += bytes;
            } while (bytes != 0 && returned < wanted);
        }
    }
    return returned;
}

size_t ebb__heap_trim(size_t keep_bytes)
{
    struct space *s = &ebb__space;
    size_t returned = 0;
    ebb__slab_trim();
    ebb__lock_take(&ebb__space_lock);
    size_t left = s->dirty_units * EBB_UNIT_BYTES;
    while (left > keep_bytes) {
        unsigned number;
        uintptr_t base = claim_highest(&number);
        if (base == 0)
            break;
        struct extent *e = ebb__extent_at(base, number);
        size_t dirty = e->ndirty;
        ebb__limbo_enter();
        ebb__lock_release(&ebb__space_lock);
        bool done = ebb__os_purge((void *)(base + number * EBB_EXTENT_BYTES), EBB_EXTENT_BYTES) == 0;
        EBB_COUNT(purge_calls, 1);
        if (done)
            purge_descriptors(base, number);
        ebb__lock_take(&ebb__space_lock);
        ebb__limbo_leave();
        if (!done) { /* locked memory: the extent stays as it was, and so will the others */
            ebb__extent_release(base, number);
            break;
        }
        memset(e->backed, 0, sizeof(e->backed));
        e->ndirty = 0;
        s->dirty_units -= dirty;
        s->backed_units -= dirty;
        ebb__extent_release(base, number);
        EBB_COUNT(purged_bytes, dirty * EBB_UNIT_BYTES);
        returned += dirty * EBB_UNIT_BYTES;
        left -= ebb__min(left, dirty * EBB_UNIT_BYTES);
    }
    ebb__lock_release(&ebb__space_lock);
    if (left > keep_bytes)
        returned += trim_runs(left - keep_bytes);
    return returned;
}
