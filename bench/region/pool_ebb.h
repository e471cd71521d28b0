/* SPDX-License-Identifier: MIT
 * ebb's regions, with their defaults. */
#ifndef BENCH_REGION_POOL_EBB_H
#define BENCH_REGION_POOL_EBB_H

#include <ebb/region.h>

struct bench_pool;

struct pool_round {
    struct ebb_region_mark mark;
};

static bool pools_count;
static uint64_t pools_upstream;

static inline void pools_begin(bool count)
{
    pools_count = count;
}

static inline void pools_finish(void)
{
    if (pools_count)
        bench_probe_note("upstream", pools_upstream);
}

static inline struct ebb_region *region_of(struct bench_pool *pool)
{
    return (struct ebb_region *)(void *)pool;
}

static inline struct bench_pool *pool_new(void)
{
    return (struct bench_pool *)(void *)ebb_region_create(NULL);
}

/* The blocks that it took from the heap count as what others ask of malloc. */
static inline void pool_end(struct bench_pool *pool)
{
    if (pools_count) {
        struct ebb_region_stats stats = {.size_of_struct = sizeof(stats)};
        if (ebb_region_stats_get(region_of(pool), &stats) != 0)
            bench_die("ebb_region_stats_get");
        pools_upstream += stats.blocks_taken;
    }
    ebb_region_destroy(region_of(pool));
}

static inline void *pool_get(struct bench_pool *pool, size_t bytes)
{
    return ebb_region_alloc(region_of(pool), bytes);
}

static inline void pool_empty(struct bench_pool *pool)
{
    ebb_region_reset(region_of(pool), EBB_REGION_KEEP_LARGEST);
}

static inline struct pool_round round_begin(struct bench_pool *pool)
{
    return (struct pool_round){ebb_region_mark(region_of(pool))};
}

static inline struct bench_pool *round_pool(struct bench_pool *pool, struct pool_round *round)
{
    (void)round;
    return pool;
}

static inline void round_end(struct bench_pool *pool, struct pool_round *round)
{
    ebb_region_rollback(region_of(pool), round->mark);
}

#endif
