/* SPDX-License-Identifier: MIT
 *
 * What is used, free and to be had; see free.h.
 */
#include "model/free.h"

#include <errno.h>

static struct ebb_fact minus(struct ebb_fact a, struct ebb_fact b)
{
    if (!a.known || !b.known)
        return a.known ? b : a;
    return ebb__fact(a.value > b.value ? a.value - b.value : 0);
}

static struct ebb_fact least(struct ebb_fact a, struct ebb_fact b)
{
    if (!a.known || !b.known)
        return a.known ? a : b;
    return a.value < b.value ? a : b;
}

void ebb__free_of_host(const struct ebb_meminfo *info, struct ebb_free *ret_free)
{
    struct ebb_fact available = info->mem_available_bytes;

    /* In some containers the two come from different places, and then disagree. */
    if (available.known && info->mem_total_bytes.known && available.value > info->mem_total_bytes.value)
        available = info->mem_free_bytes;
    ret_free->total_bytes = info->mem_total_bytes;
    ret_free->used_bytes = minus(info->mem_total_bytes, available);
    ret_free->free_bytes = info->mem_free_bytes;
    ret_free->shared_bytes = info->shmem_bytes;
    ret_free->buffers_bytes = info->buffers_bytes;
    ret_free->cache_bytes =
        info->cached_bytes.known
            ? ebb__fact(info->cached_bytes.value + ebb__fact_or(info->sreclaimable_bytes, 0))
            : info->cached_bytes;
    ret_free->available_bytes = available;
    ret_free->swap_total_bytes = info->swap_total_bytes;
    ret_free->swap_used_bytes = minus(info->swap_total_bytes, info->swap_free_bytes);
    ret_free->swap_free_bytes = info->swap_free_bytes;
}

/* What reclaim gets back from this level without harm. */
static uint64_t gain_of(const struct ebb_cgroup *level)
{
    uint64_t clean =
        ebb__fact_or(level->inactive_file_bytes, 0) + ebb__fact_or(level->active_file_bytes, 0) / 2;
    uint64_t dirty = ebb__fact_or(level->dirty_bytes, 0) + ebb__fact_or(level->writeback_bytes, 0);

    return (clean > dirty ? clean - dirty : 0) + ebb__fact_or(level->slab_reclaimable_bytes, 0) / 2;
}

void ebb__free_of_cgroup(const struct ebb_cgroup *levels, unsigned level_count, const struct ebb_free *host,
                         struct ebb_free *ret_free)
{
    const struct ebb_cgroup *own = &levels[0];
    struct ebb_fact total = host->total_bytes;
    struct ebb_fact left = host->free_bytes;
    struct ebb_fact available = host->available_bytes;
    struct ebb_fact swap_left = host->swap_free_bytes;
    struct ebb_fact swap_total = host->swap_total_bytes;

    for (unsigned i = 0; i < level_count; i++) {
        const struct ebb_cgroup *level = &levels[i];
        struct ebb_fact below;

        total = least(total, level->limit_bytes);
        if (level->swap_limit_bytes.known) {
            swap_total = least(swap_total, level->swap_limit_bytes);
            swap_left = least(swap_left, minus(level->swap_limit_bytes, level->swap_bytes));
        }
        below = minus(level->limit_bytes, level->usage_bytes);
        if (!below.known || level->limit_bytes.value == UINT64_MAX)
            continue;
        left = least(left, below);
        available = least(available, ebb__fact(below.value + gain_of(level)));
    }
    available = least(available, total);
    *ret_free = (struct ebb_free){
        .total_bytes = total,
        .used_bytes = minus(total, available),
        .free_bytes = least(left, total),
        .shared_bytes = own->shmem_bytes,
        .buffers_bytes = ebb__fact_unknown(-ENODATA), /* part of its page cache */
        .cache_bytes = own->file_bytes.known
                           ? ebb__fact(own->file_bytes.value + ebb__fact_or(own->shmem_bytes, 0) +
                                       ebb__fact_or(own->slab_reclaimable_bytes, 0))
                           : own->file_bytes,
        .available_bytes = available,
        .swap_total_bytes = swap_total,
        .swap_used_bytes = own->swap_bytes,
        .swap_free_bytes = swap_left,
    };
}
