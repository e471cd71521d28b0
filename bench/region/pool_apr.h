/* SPDX-License-Identifier: MIT
 * APR pools as httpd has them: all below one pool with an allocator of its own, and a subpool for what goes each time. */
#ifndef BENCH_REGION_POOL_APR_H
#define BENCH_REGION_POOL_APR_H

#include <apr_general.h>
#include <apr_pools.h>

struct bench_pool;

struct pool_round {
    apr_pool_t *subpool;
};

static apr_pool_t *pools_root;

static inline void pools_begin(bool count)
{
    apr_allocator_t *allocator;
    (void)count;
    if (apr_initialize() != APR_SUCCESS || apr_allocator_create(&allocator) != APR_SUCCESS ||
        apr_pool_create_ex(&pools_root, NULL, NULL, allocator) != APR_SUCCESS)
        bench_die("apr_pool_create_ex");
    apr_allocator_owner_set(allocator, pools_root);
}

static inline void pools_finish(void)
{
    apr_pool_destroy(pools_root);
    apr_terminate();
}

static inline apr_pool_t *apr_of(struct bench_pool *pool)
{
    return (apr_pool_t *)(void *)pool;
}

static inline apr_pool_t *subpool_of(apr_pool_t *parent)
{
    apr_pool_t *pool;
    if (apr_pool_create(&pool, parent) != APR_SUCCESS)
        bench_die("apr_pool_create");
    return pool;
}

static inline struct bench_pool *pool_new(void)
{
    return (struct bench_pool *)(void *)subpool_of(pools_root);
}

static inline void pool_end(struct bench_pool *pool)
{
    apr_pool_destroy(apr_of(pool));
}

static inline void *pool_get(struct bench_pool *pool, size_t bytes)
{
    return apr_palloc(apr_of(pool), bytes);
}

static inline void pool_empty(struct bench_pool *pool)
{
    apr_pool_clear(apr_of(pool));
}

static inline struct pool_round round_begin(struct bench_pool *pool)
{
    return (struct pool_round){subpool_of(apr_of(pool))};
}

static inline struct bench_pool *round_pool(struct bench_pool *pool, struct pool_round *round)
{
    (void)pool;
    return (struct bench_pool *)(void *)round->subpool;
}

static inline void round_end(struct bench_pool *pool, struct pool_round *round)
{
    (void)pool;
    apr_pool_clear(round->subpool);
}

#endif
