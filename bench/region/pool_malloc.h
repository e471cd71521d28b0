/* SPDX-License-Identifier: MIT
 * malloc and free, with a list of what is to be freed. */
#ifndef BENCH_REGION_POOL_MALLOC_H
#define BENCH_REGION_POOL_MALLOC_H

struct bench_pool {
    void **blocks;
    size_t count, room;
};

struct pool_round {
    size_t count;
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
    struct bench_pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        bench_die("calloc");
    return pool;
}

static inline void free_down_to(struct bench_pool *pool, size_t count)
{
    while (pool->count > count)
        free(pool->blocks[--pool->count]);
}

static inline void pool_end(struct bench_pool *pool)
{
    free_down_to(pool, 0);
    free(pool->blocks);
    free(pool);
}

static inline void *pool_get(struct bench_pool *pool, size_t bytes)
{
    if (pool->count == pool->room) {
        size_t room = pool->room != 0 ? pool->room * 2 : 16;
        void **blocks = realloc(pool->blocks, room * sizeof(*blocks));
        if (!blocks)
            return NULL;
        pool->blocks = blocks;
        pool->room = room;
    }
    return pool->blocks[pool->count++] = malloc(bytes);
}

static inline void pool_empty(struct bench_pool *pool)
{
    free_down_to(pool, 0);
}

static inline struct pool_round round_begin(struct bench_pool *pool)
{
    return (struct pool_round){pool->count};
}

static inline struct bench_pool *round_pool(struct bench_pool *pool, struct pool_round *round)
{
    (void)round;
    return pool;
}

static inline void round_end(struct bench_pool *pool, struct pool_round *round)
{
    free_down_to(pool, round->count);
}

#endif
