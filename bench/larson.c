/* SPDX-License-Identifier: MIT
 *
 * A server whose threads come and go: each replaces random blocks of an array and hands it to a successor.
 *
 * The shape is that of Larson and Krishnan (1998): after some replacements a thread starts the thread that
 * takes over its blocks, and ends. Most blocks are thus freed by a thread other than the one that allocated
 * them, and the allocator's care for threads that end is part of the work.
 */
#include "kit.h"
#include "probe.h"

enum { THREADS_MAX = 1024, SIZE_MIN_BYTES = 10, SIZE_MAX_BYTES = 500 };

enum { THREADS, GENERATIONS, OPS, LIVE, SEED, PARAM_COUNT };

static struct bench_param params[PARAM_COUNT] = {
    [THREADS] = {"threads", "threads at a time", 4, 1, THREADS_MAX, false},
    [GENERATIONS] = {"generations", "threads that follow each other", 150, 1, 1L << 32, true},
    [OPS] = {"ops", "blocks that one thread replaces", 40000, 1, 1L << 32, false},
    [LIVE] = {"live", "blocks of one array", 5000, 1, 1L << 24, false},
    [SEED] = {"seed", "of the random numbers", 1, 0, 1L << 40, false},
};

/* What a thread hands to its successor. Only the thread in office touches it; pthread_create publishes it. */
struct office {
    struct bench_rng rng;
    void **blocks;
    uint64_t check;
    pthread_t predecessor;
    long generation;
};

static struct office offices[THREADS_MAX];
static struct bench_gate gate = BENCH_GATE_INIT;

static void *block_new(struct office *office)
{
    return bench_block_new(SIZE_MIN_BYTES + bench_rng_below(&office->rng, SIZE_MAX_BYTES - SIZE_MIN_BYTES));
}

static void *serve(void *argument)
{
    struct office *office = argument;
    size_t live = (size_t)params[LIVE].value;
    long ops = params[OPS].value;

    if (office->generation > 0) {
        bench_thread_join(office->predecessor);
    }
    for (long i = 0; i < ops; i++) {
        void **slot = &office->blocks[bench_rng_below(&office->rng, live)];

        office->check += bench_block_free(*slot);
        *slot = block_new(office);
    }
    office->generation++;
    office->predecessor = pthread_self();
    if (office->generation < params[GENERATIONS].value) {
        bench_thread_start(serve, office);
    } else {
        bench_gate_pass(&gate);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t check = 0;
    size_t threads;
    size_t live;

    bench_args(argc, argv, params, PARAM_COUNT, NULL);
    bench_probe_start("larson");
    threads = (size_t)params[THREADS].value;
    live = (size_t)params[LIVE].value;
    for (size_t i = 0; i < threads; i++) {
        struct office *office = &offices[i];

        office->rng = bench_rng_seed((uint64_t)params[SEED].value, i);
        office->blocks = malloc(live * sizeof(*office->blocks));
        if (!office->blocks) {
            bench_die("malloc");
        }
        for (size_t j = 0; j < live; j++) {
            office->blocks[j] = block_new(office);
        }
    }
    for (size_t i = 0; i < threads; i++) {
        bench_thread_start(serve, &offices[i]);
    }
    bench_gate_hold(&gate, threads);
    for (size_t i = 0; i < threads; i++) {
        bench_thread_join(offices[i].predecessor);
        for (size_t j = 0; j < live; j++) {
            check += bench_block_free(offices[i].blocks[j]);
        }
        check += offices[i].check;
        free(offices[i].blocks);
    }
    return bench_probe_finish(
        threads * (live + 1 + (uint64_t)params[GENERATIONS].value * (uint64_t)params[OPS].value), check);
}
