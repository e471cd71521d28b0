/* SPDX-License-Identifier: MIT
 * talloc: children of a context, which is a talloc pool of BENCH_TALLOC_POOL bytes, or a plain one when that is 0. */
#ifndef BENCH_REGION_POOL_TALLOC_H
#define BENCH_REGION_POOL_TALLOC_H

#include <talloc.h>

struct bench_pool;

struct pool_round {
    void *context;
};

static inline void pools_begin(bool count)
{
    (void)count;
}

static inline void pools_finish(void)
{
}

static inline void *context_below(void *parent)
{
    void *context = BENCH_TALLOC_POOL != 0 ? talloc_pool(parent, BENCH_TALLOC_POOL) : talloc_new(parent);
    if (!context)
        bench_die("talloc");
    return context;
}

static inline struct bench_pool *pool_new(void)
{
    return context_below(NULL);
}

static inline void pool_end(struct bench_pool *pool)
{
    talloc_free(pool);
}

static inline void *pool_get(struct bench_pool *pool, size_t bytes)
{
    return talloc_size(pool, bytes);
}

static inline void pool_empty(struct bench_pool *pool)
{
    talloc_free_children(pool);
}

static inline struct pool_round round_begin(struct bench_pool *pool)
{
    return (struct pool_round){context_below(pool)};
}

static inline struct bench_pool *round_pool(struct bench_pool *pool, struct pool_round *round)
{
    (void)pool;
    return round->context;
}

static inline void round_end(struct bench_pool *pool, struct pool_round *round)
{
    (void)pool;
    talloc_free_children(round->context);
}

#endif
