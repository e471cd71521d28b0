/* SPDX-License-Identifier: MIT
 *
 * What the bench programs share: arguments, random numbers, sizes, blocks that can be checked, and a gate for
 * threads.
 *
 * Nothing here calls the C library inside a program's loop except malloc and its kin, so that under callgrind
 * the instructions outside the program's own file are the allocator's.
 */
#ifndef EBB_BENCH_KIT_H
#define EBB_BENCH_KIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

enum { BENCH_LINE_BYTES = 64, BENCH_TOUCH_BYTES = 4096 };

/* Arguments have the form name=value. `scaled` ones are multiplied by the argument scale=F, which every
 * program takes: the amount of work, never the shape. */
struct bench_param {
    const char *name;
    const char *help;
    long value;
    long min;
    long max;
    bool scaled;
};

/* Reads the arguments into the table. `modes` is a NULL-terminated list of the values of mode=, or NULL.
 * Returns the index of the chosen mode, the first by default. Ends the program with a usage message and
 * status 2 on an error, after printing the table for "help" with status 0. */
int bench_args(int argc, char **argv, struct bench_param *params, size_t count, const char *const *modes);

/* Says on standard error what failed, and exits with status 1. */
_Noreturn void bench_die(const char *what);

/* xorshift with a multiplied output: a few instructions, and the same sequence everywhere. */
struct bench_rng {
    uint64_t state;
};

static inline struct bench_rng bench_rng_seed(uint64_t seed, uint64_t stream)
{
    uint64_t mixed = (seed + 1) * 0x9E3779B97F4A7C15U ^ (stream + 1) * 0xD1B54A32D192ED03U;

    mixed ^= mixed >> 29;
    return (struct bench_rng){mixed != 0 ? mixed : 1};
}

static inline uint64_t bench_rng_next(struct bench_rng *rng)
{
    rng->state ^= rng->state >> 12;
    rng->state ^= rng->state << 25;
    rng->state ^= rng->state >> 27;
    return rng->state * 0x2545F4914F6CDD1DU;
}

/* A number below `limit`, which is at most 2^32. */
static inline size_t bench_rng_below(struct bench_rng *rng, size_t limit)
{
    return (size_t)(((bench_rng_next(rng) >> 32) * limit) >> 32);
}

/* A size between 2^low_bits and 2^high_bits, each doubling equally likely. */
static inline size_t bench_size_log(struct bench_rng *rng, unsigned low_bits, unsigned high_bits)
{
    size_t base = (size_t)1 << (low_bits + bench_rng_below(rng, high_bits - low_bits));

    return base + bench_rng_below(rng, base);
}

/* The sizes of a server's small blocks: nine of ten below 256 bytes, a tail up to 32 KiB. */
void bench_sizes_init(void);
size_t bench_size_small(struct bench_rng *rng);

/* Fills a block the way a program uses one: a word that proves later whose block it is, then one word in each
 * cache line of the first 4 KiB, then one byte in each further 4 KiB. */
static inline void bench_touch(void *block, size_t size_bytes, uint64_t mark)
{
    unsigned char *bytes = block;
    size_t dense_bytes = size_bytes < BENCH_TOUCH_BYTES ? size_bytes : BENCH_TOUCH_BYTES;

    *(volatile uint64_t *)block = mark;
    for (size_t i = BENCH_LINE_BYTES; i + sizeof(uint64_t) <= dense_bytes; i += BENCH_LINE_BYTES) {
        *(volatile uint64_t *)(void *)(bytes + i) = mark;
    }
    for (size_t i = dense_bytes; i < size_bytes; i += BENCH_TOUCH_BYTES) {
        *(volatile unsigned char *)(bytes + i) = (unsigned char)mark;
    }
}

enum { BENCH_MARK_BITS = 40 };

/* The mark of a block: its size with a pattern above it. */
static inline uint64_t bench_mark(size_t size_bytes)
{
    return (uint64_t)size_bytes | (uint64_t)0xEBBEBB << BENCH_MARK_BITS;
}

_Noreturn void bench_block_spoilt(const void *block);

/* The size that bench_touch wrote into the block; a block that another one overwrote ends the program. */
static inline uint64_t bench_block_size(const void *block)
{
    uint64_t mark = *(const volatile uint64_t *)block;

    if (mark >> BENCH_MARK_BITS != 0xEBBEBB) {
        bench_block_spoilt(block);
    }
    return mark & (((uint64_t)1 << BENCH_MARK_BITS) - 1);
}

static inline void *bench_block_new(size_t size_bytes)
{
    void *block = malloc(size_bytes);

    if (!block) {
        bench_die("malloc");
    }
    bench_touch(block, size_bytes, bench_mark(size_bytes));
    return block;
}

/* Frees a block and returns the size that it was made with. */
static inline uint64_t bench_block_free(void *block)
{
    uint64_t size_bytes = bench_block_size(block);

    free(block);
    return size_bytes;
}

/* A place where all workers wait, each holding its blocks, until the main thread has taken its sample. */
struct bench_gate {
    pthread_mutex_t lock;
    pthread_cond_t arrival;
    pthread_cond_t opening;
    size_t arrived;
    bool open;
};

#define BENCH_GATE_INIT                                                                                      \
    {                                                                                                        \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false              \
    }

/* Of a worker: says that it has arrived, and waits until the gate opens. */
void bench_gate_pass(struct bench_gate *gate);

/* Of the main thread: waits for `workers` arrivals with a glance every 100 ms, samples, and opens the gate.
 */
void bench_gate_hold(struct bench_gate *gate, size_t workers);

/* pthread_create and pthread_join that end the program when they fail. */
pthread_t bench_thread_start(void *(*body)(void *), void *argument);
void bench_thread_join(pthread_t thread);

#endif
