/* SPDX-License-Identifier: MIT
 * What the heap holds, summed from its books. */
#include "heap/heap_priv.h"

void ebb__heap_stats(struct ebb_heap_stats *ret_stats)
{
    struct space *s = &ebb__space;
    struct ebb_heap_stats stats = {0};
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++) {
        struct bin *bin = &ebb__bins[c];
        ebb__lock_take(&bin->lock);
        size_t blocks = (size_t)(ebb__class_books(c)->taken_blocks - ebb__class_books(c)->given_blocks);
        ebb__lock_release(&bin->lock);
        if (c <= EBB_USER_CLASSES) {
            stats.slab_blocks += blocks;
            stats.slab_bytes += blocks * ebb__classes[c].bytes;
        } else {
            stats.internal_bytes += blocks * ebb__classes[c].bytes;
        }
    }
    ebb__lock_take(&ebb__space_lock);
    stats.span_blocks = s->span_blocks;
    stats.span_bytes = s->span_units * EBB_UNIT_BYTES;
    for (uint32_t i = 0; i < s->reservation_count; i++) {
        const struct reservation *r = &s->reservations[i];
        size_t committed = atomic_load(&r->committed_bytes), rest = r->bytes - committed;
        stats.committed_bytes += committed;
        stats.reserved_bytes += r->bytes;
        stats.mappings += (size_t)(committed != 0) + (size_t)(rest != 0);
    }
    stats.backed_bytes = s->backed_units * EBB_UNIT_BYTES;
    stats.dirty_bytes = s->dirty_units * EBB_UNIT_BYTES;
    ebb__space_unlock();
    ebb__lock_take(&ebb__lane_lock);
    uint32_t lane_count = atomic_load(&ebb__lane.count);
    for (uint32_t i = 0; i < lane_count; i++)
        stats.lane_bytes += ebb__lane.blocks[i].bytes;
    stats.lane_blocks = lane_count;
    stats.mappings += lane_count;
    ebb__lock_release(&ebb__lane_lock);
    *ret_stats = stats;
}

void ebb__heap_facts(struct ebb_heap_facts *ret_facts)
{
    struct space *s = &ebb__space;
    struct ebb_heap_facts facts = {0};
    ebb__lock_take(&ebb__space_lock);
    facts.used_bytes = ebb__space_used_units() * EBB_UNIT_BYTES;
    facts.used_low_bytes = ebb__min(s->used_low_units * EBB_UNIT_BYTES, facts.used_bytes);
    facts.used_peak_bytes = ebb__max(s->used_peak_units * EBB_UNIT_BYTES, facts.used_bytes);
    s->used_low_units = s->used_peak_units = ebb__space_used_units();
    facts.dirty_bytes = s->dirty_units * EBB_UNIT_BYTES;
    facts.retaken_bytes = s->retaken_units * EBB_UNIT_BYTES;
    for (uint32_t g = 0; g < s->group_count && !facts.stirred; g++)
        if (s->state[g] == EBB_GROUP_ACTIVE)
            facts.stirred =
                atomic_load_explicit(&((struct group *)(s->groups[g] + EBB_META_GROUP_AT))->stirred,
                                     memory_order_relaxed) != 0;
    ebb__space_unlock();
    *ret_facts = facts;
}

size_t ebb__heap_backed_bytes(void)
{
    return (size_t)EBB_COUNTED(backed_bytes); /* as the space's last holder left it */
}
