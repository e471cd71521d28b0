/* SPDX-License-Identifier: MIT
 * GNU obstack, its macros and its default chunks. */
#ifndef BENCH_REGION_POOL_OBSTACK_H
#define BENCH_REGION_POOL_OBSTACK_H

#include <obstack.h>

#define obstack_chunk_alloc malloc
#define obstack_chunk_free  free

struct bench_pool {
    struct obstack stack;
    void *start;
};

struct pool_round {
    void *start;
};

static inline void pools_begin(bool count)
{
    (void)count;
}

static inline void pools_finish(void)
{
}

static inline struct bench_pool *pool_new(void)
{
    struct bench_pool *pool = malloc(sizeof(*pool));
    if (!pool || !obstack_init(&pool->stack))
        bench_die("obstack_init");
    pool->start = obstack_alloc(&pool->stack, 0);
    return pool;
}

static inline void pool_end(struct bench_pool *pool)
{
    obstack_free(&pool->stack, NULL);
    free(pool);
}

static inline void *pool_get(struct bench_pool *pool, size_t bytes)
{
    return obstack_alloc(&pool->stack, (int)bytes); /* lengths are int in glibc */
}

static inline void pool_empty(struct bench_pool *pool)
{
    obstack_free(&pool->stack, pool->start);
}

static inline struct pool_round round_begin(struct bench_pool *pool)
{
    return (struct pool_round){obstack_alloc(&pool->stack, 0)};
}

static inline struct bench_pool *round_pool(struct bench_pool *pool, struct pool_round *round)
{
    (void)round;
    return pool;
}

static inline void round_end(struct bench_pool *pool, struct pool_round *round)
{
    obstack_free(&pool->stack, round->start);
}

#endif
