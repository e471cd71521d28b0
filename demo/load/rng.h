/* SPDX-License-Identifier: MIT
 *
 * Random numbers of the load: xoshiro256**, one generator a lane, so that a lane's choices depend on nothing
 * else.
 */
#ifndef EBB_LOAD_RNG_H
#define EBB_LOAD_RNG_H

#include <stdint.h>

struct rng {
    uint64_t s[4];
};

/* One step of splitmix64; also used to mix tags and digests. */
static inline uint64_t rng_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline void rng_init(struct rng *r, uint64_t seed, uint64_t stream)
{
    uint64_t x = rng_mix(seed) ^ rng_mix(~stream);

    for (int i = 0; i < 4; i++) {
        x = rng_mix(x);
        r->s[i] = x;
    }
}

static inline uint64_t rng_rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

static inline uint64_t rng_next(struct rng *r)
{
    uint64_t ret = rng_rotl(r->s[1] * 5, 7) * 9;
    uint64_t t = r->s[1] << 17;

    r->s[2] ^= r->s[0];
    r->s[3] ^= r->s[1];
    r->s[1] ^= r->s[2];
    r->s[0] ^= r->s[3];
    r->s[2] ^= t;
    r->s[3] = rng_rotl(r->s[3], 45);
    return ret;
}

/* Uniform in [0, bound). The bias of at most bound / 2^32 does not matter to a load. */
static inline uint32_t rng_below(struct rng *r, uint32_t bound)
{
    return (uint32_t)(((rng_next(r) >> 32) * bound) >> 32);
}

/* Uniform in [low, high]. */
static inline uint32_t rng_between(struct rng *r, uint32_t low, uint32_t high)
{
    return low + rng_below(r, high - low + 1);
}

/* True in `permille` of 1000 cases. */
static inline int rng_chance(struct rng *r, uint32_t permille)
{
    return rng_below(r, 1000) < permille;
}

/* Log-uniform in [low, high]: a doubling is as likely as any other, and each doubling is filled evenly. In
 * integers alone, so that every machine and compiler draws the same sizes. `low` and `high` are powers of
 * two. */
static inline uint32_t rng_log_uniform(struct rng *r, uint32_t low, uint32_t high)
{
    uint32_t doublings = (uint32_t)(__builtin_ctz(high) - __builtin_ctz(low));
    uint32_t base = doublings == 0 ? low : low << rng_below(r, doublings);

    return doublings == 0 ? low : rng_between(r, base, 2 * base);
}

#endif
