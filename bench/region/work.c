/* SPDX-License-Identifier: MIT
 *
 * The same work for each kind of region: what a database server does with its mem_root.
 *
 * Built once for each header pool_*.h, which says how that kind is made, allocated from, rolled back and emptied, inline as
 * its users have it. Everything allocated is written and read again, so that the check of a mode is the same whatever the kind.
 */
#include <string.h>

#include "kit.h"
#include "probe.h"

#include BENCH_POOL

enum { SIZES = 4096, STATEMENT_PIECES = 300, EXECUTION_PIECES = 60, SHORT_PIECES = 8, MANY_PIECES = 100000 };

enum { OPS, SEED, COUNT, PARAM_COUNT };

static struct bench_param params[PARAM_COUNT] = {
    [OPS] = {"ops", "pieces to allocate", 100000000, 1, 1L << 40, true},
    [SEED] = {"seed", "of the random numbers", 1, 0, 1L << 40, false},
    [COUNT] = {"count", "1: also note what was asked of the heap", 0, 0, 1, false},
};

static uint32_t sizes[SIZES]; /* of nodes and names */

/* Nodes of a few sizes, and names of 4 to 24 bytes. */
static void make_sizes(uint64_t seed)
{
    static const uint32_t nodes[] = {24, 32, 40, 40, 48, 64, 72, 96, 120, 160};
    struct bench_rng rng = bench_rng_seed(seed, 0);
    for (size_t i = 0; i < SIZES; i++)
        sizes[i] = bench_rng_below(&rng, 3) == 0
                       ? (uint32_t)(4 + bench_rng_below(&rng, 21))
                       : nodes[bench_rng_below(&rng, sizeof(nodes) / sizeof(nodes[0]))];
}

/* A node of a list through all that was allocated; what lies behind it is written too. */
struct node {
    struct node *next;
    uint32_t bytes, tag;
};

static struct node *make_node(struct bench_pool *pool, size_t bytes, struct node *next)
{
    struct node *n = pool_get(pool, bytes < sizeof(*n) ? sizeof(*n) : bytes);
    if (!n)
        bench_die("a pool");
    *n = (struct node){next, (uint32_t)bytes, (uint32_t)bytes * 3};
    for (size_t i = BENCH_LINE_BYTES; i + sizeof(uint64_t) <= bytes; i += BENCH_LINE_BYTES)
        *(volatile uint64_t *)(void *)((char *)n + i) = i;
    return n;
}

static uint64_t sum_of(const struct node *n)
{
    uint64_t sum = 0;
    for (; n; n = n->next)
        sum += n->tag - n->bytes;
    return sum;
}

static struct node *make_nodes(struct bench_pool *pool, size_t count, size_t *at)
{
    struct node *list = NULL;
    for (size_t i = 0; i < count; i++)
        list = make_node(pool, sizes[(*at)++ % SIZES], list);
    return list;
}

/* Parse trees, one after the other, in a pool that is emptied between them. */
static uint64_t tree(uint64_t ops)
{
    struct bench_pool *pool = pool_new();
    uint64_t sum = 0;
    size_t at = 0;
    for (uint64_t done = 0; done < ops; done += STATEMENT_PIECES) {
        sum += sum_of(make_nodes(pool, STATEMENT_PIECES, &at));
        pool_empty(pool);
    }
    pool_end(pool);
    return sum;
}

/* Many small pieces, then all of them gone. */
static uint64_t small(uint64_t ops)
{
    uint64_t sum = 0;
    size_t at = 0;
    for (uint64_t done = 0; done < ops; done += MANY_PIECES) {
        struct bench_pool *pool = pool_new();
        sum += sum_of(make_nodes(pool, MANY_PIECES, &at));
        pool_end(pool);
    }
    return sum;
}

/* A statement that is parsed once and executed many times: its tree stays, what an execution allocates goes. */
static uint64_t prepared(uint64_t ops)
{
    struct bench_pool *pool = pool_new();
    size_t at = 0;
    const struct node *parsed = make_nodes(pool, STATEMENT_PIECES, &at);
    uint64_t sum = sum_of(parsed);
    struct pool_round round = round_begin(pool);
    for (uint64_t done = 0; done < ops; done += EXECUTION_PIECES) {
        sum += sum_of(make_nodes(round_pool(pool, &round), EXECUTION_PIECES, &at));
        round_end(pool, &round);
    }
    sum += sum_of(parsed);
    pool_end(pool);
    return sum;
}

/* Pools that live for a few pieces only. */
static uint64_t brief(uint64_t ops)
{
    uint64_t sum = 0;
    size_t at = 0;
    for (uint64_t done = 0; done < ops; done += SHORT_PIECES) {
        struct bench_pool *pool = pool_new();
        sum += sum_of(make_nodes(pool, SHORT_PIECES, &at));
        pool_end(pool);
    }
    return sum;
}

/* One pool that grows: pieces of 16 bytes to 16 KiB, each doubling as many; a sixty-fourth of them above that, to 256 KiB. */
static uint64_t grow(uint64_t ops)
{
    struct bench_rng rng = bench_rng_seed((uint64_t)params[SEED].value, 1);
    struct bench_pool *pool = pool_new();
    struct node *list = NULL;
    for (uint64_t done = 0; done < ops; done++)
        list = make_node(pool, done % 64 == 0 ? bench_size_log(&rng, 14, 18) : bench_size_log(&rng, 4, 14),
                         list);
    uint64_t sum = sum_of(list);
    bench_probe_full();
    pool_end(pool);
    return sum;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"tree", "small", "prepared", "brief", "grow", NULL};
    static uint64_t (*const modes[])(uint64_t) = {tree, small, prepared, brief, grow};
    int mode = bench_args(argc, argv, params, PARAM_COUNT, names);
    uint64_t ops = (uint64_t)params[OPS].value;

    bench_probe_start(names[mode]);
    make_sizes((uint64_t)params[SEED].value);
    pools_begin(params[COUNT].value != 0);
    uint64_t sum = modes[mode](ops);
    pools_finish();
    return bench_probe_finish(ops, sum);
}
