/* SPDX-License-Identifier: MIT
 *
 * Trim: wholly free extents go back to the kernel at once.
 *
 * An extent is claimed as if it were allocated, purged without any lock, then released clean: no thread can
 * be handed memory that is under advice. Highest addresses go first; what is kept is at the low end, where
 * the next runs come from.
 */
#include "heap/heap_priv.h"

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

static size_t free_dirty_bytes(void)
{
    const struct space *s = &ebb__space;
    size_t units = 0;
    for (uint32_t g = 0; g < s->group_count; g++) {
        if (s->state[g] != EBB_GROUP_ACTIVE)
            continue;
        const struct group *group = (const struct group *)(s->groups[g] + EBB_META_GROUP_AT);
        for (uint64_t left = group->dirty_extents; left != 0; left &= left - 1)
            units += ebb__extent_at(s->groups[g], ebb__ctz(left))->ndirty;
    }
    return units * EBB_UNIT_BYTES;
}

size_t ebb__heap_trim(size_t keep_bytes)
{
    struct space *s = &ebb__space;
    size_t returned = 0;
    ebb__slab_trim();
    ebb__lock_take(&ebb__space_lock);
    size_t left = free_dirty_bytes();
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
    return returned;
}
