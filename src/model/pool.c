/* SPDX-License-Identifier: MIT
 *
 * InnoDB's buffer pool, made smaller; see pool.h.
 */
#include "model/pool.h"

#include <errno.h>

#define MIB (UINT64_C(1) << 20)

static struct ebb_fact first_unknown(const struct ebb_fact *facts, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!facts[i].known)
            return facts[i];
    return ebb__fact(0);
}

struct ebb_fact ebb__pool_step(const struct ebb_pool *pool)
{
    const struct ebb_fact needed[] = {pool->chunk_bytes, pool->instances};
    struct ebb_fact lacking = first_unknown(needed, 2);
    uint64_t step;

    if (ebb__pool_is_one_range(pool))
        return ebb__fact(MIB);
    /* MariaDB has had one instance since 10.5, and does not say so. */
    if (pool->chunk_bytes.known && !pool->instances.known && pool->instances.err == -ENODATA)
        lacking = ebb__fact(0);
    if (!lacking.known)
        return lacking;
    if (__builtin_mul_overflow(pool->chunk_bytes.value, ebb__fact_or(pool->instances, 1), &step) || step == 0)
        return ebb__fact_unknown(-ERANGE);
    return ebb__fact(step);
}

uint64_t ebb__pool_round(uint64_t bytes, uint64_t step_bytes)
{
    uint64_t over = bytes % step_bytes;
    uint64_t rounded;

    if (over == 0)
        return bytes;
    return __builtin_add_overflow(bytes, step_bytes - over, &rounded) ? bytes - over : rounded;
}

uint64_t ebb__pool_least(const struct ebb_pool *pool)
{
    uint64_t bytes;

    if (!pool->page_bytes.known ||
        __builtin_mul_overflow(pool->page_bytes.value, EBB_POOL_LEAST_PAGES, &bytes))
        return EBB_POOL_LEAST_BYTES;
    /* There descriptors of pages are part of the size, somewhat more than a hundredth of it. */
    if (ebb__pool_is_one_range(pool))
        bytes = ebb__pool_round(bytes + bytes / 64, MIB);
    return bytes > EBB_POOL_LEAST_BYTES ? bytes : EBB_POOL_LEAST_BYTES;
}

struct ebb_fact ebb__pool_fit(const struct ebb_pool *pool)
{
    const struct ebb_fact needed[] = {pool->size_bytes, pool->free_pages, pool->total_pages};
    struct ebb_fact lacking = first_unknown(needed, 3);
    struct ebb_fact step = ebb__pool_step(pool);
    uint64_t fit;

    if (!lacking.known || !step.known)
        return lacking.known ? step : lacking;
    if (pool->total_pages.value == 0 || pool->free_pages.value > pool->total_pages.value)
        return ebb__fact_unknown(-EBADMSG);
    /* In proportion, as part of the size is descriptors of pages. Not the sum of pages with data and others: MySQL's count of the others
     * runs below zero. */
    fit = (uint64_t)((double)pool->size_bytes.value *
                     (double)(pool->total_pages.value - pool->free_pages.value + EBB_POOL_SPARE_PAGES) /
                     (double)pool->total_pages.value);
    return ebb__fact(ebb__pool_round(fit > EBB_POOL_FLOOR_BYTES ? fit : EBB_POOL_FLOOR_BYTES, step.value));
}

struct ebb_fact ebb__pool_gain(const struct ebb_pool *pool, const struct ebb_pool_backing *backing,
                               uint64_t new_bytes)
{
    uint64_t moved;

    if (!pool->size_bytes.known)
        return pool->size_bytes;
    if (new_bytes >= pool->size_bytes.value)
        return ebb__fact(0);
    if (!ebb__pool_is_one_range(pool))
        return ebb__fact(
            (uint64_t)((double)backing->resident_bytes * (double)(pool->size_bytes.value - new_bytes) /
                       (double)pool->size_bytes.value));
    /* What is moved into memory that was not resident is resident there. Which of the pages behind the end hold data is not told: all of
     * them, so that it is not less that comes back. */
    moved = backing->behind_bytes < backing->holes_bytes ? backing->behind_bytes : backing->holes_bytes;
    return ebb__fact(backing->behind_bytes - moved);
}
