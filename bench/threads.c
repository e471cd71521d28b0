/* SPDX-License-Identifier: MIT
 *
 * Many threads churn small blocks of mixed sizes, each its own: the same work shared out among 2, 8, 64 or
 * 256.
 */
#include <stdio.h>
#include <string.h>

#include "kit.h"
#include "probe.h"

enum { THREADS_MAX = 4096, YOUNG_COUNT = 64, OLD_SHARE = 8 };

enum { THREADS, OPS, LIVE, SEED, PARAM_COUNT };

static struct bench_param params[PARAM_COUNT] = {
    [THREADS] = {"threads", "threads", 8, 1, THREADS_MAX, false},
    [OPS] = {"ops", "blocks to replace, in all", 20000000, 1, 1L << 40, true},
    [LIVE] = {"live", "blocks that stay, in all", 100000, 1, 1L << 24, false},
    [SEED] = {"seed", "of the random numbers", 1, 0, 1L << 40, false},
};

struct worker {
    pthread_t id;
    size_t index;
    long ops;
    size_t live;
    uint64_t check;
};

static struct worker workers[THREADS_MAX];
static struct bench_gate gate = BENCH_GATE_INIT;

static uint64_t replace(void **slot, struct bench_rng *rng)
{
    uint64_t freed_bytes = bench_block_free(*slot);

    *slot = bench_block_new(bench_size_small(rng));
    return freed_bytes;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct bench_rng rng = bench_rng_seed((uint64_t)params[SEED].value, worker->index);
    void **old = malloc(worker->live * sizeof(*old));
    void *young[YOUNG_COUNT];
    uint64_t check = 0;

    if (!old) {
        bench_die("malloc");
    }
    for (size_t i = 0; i < worker->live; i++) {
        old[i] = bench_block_new(bench_size_small(&rng));
    }
    for (size_t i = 0; i < YOUNG_COUNT; i++) {
        young[i] = bench_block_new(bench_size_small(&rng));
    }
    for (long i = 0; i < worker->ops; i++) {
        check += i % OLD_SHARE == 0 ? replace(&old[bench_rng_below(&rng, worker->live)], &rng)
                                    : replace(&young[i % YOUNG_COUNT], &rng);
    }
    bench_gate_pass(&gate);
    for (size_t i = 0; i < worker->live; i++) {
        check += bench_block_free(old[i]);
    }
    for (size_t i = 0; i < YOUNG_COUNT; i++) {
        check += bench_block_free(young[i]);
    }
    free(old);
    worker->check = check;
    return NULL;
}

int main(int argc, char **argv)
{
    static char name[] = "threads-....";
    uint64_t blocks = 0;
    uint64_t check = 0;
    size_t threads;

    bench_args(argc, argv, params, PARAM_COUNT, NULL);
    threads = (size_t)params[THREADS].value;
    snprintf(strchr(name, '.'), sizeof("...."), "%zu", threads);
    bench_probe_start(name);
    bench_sizes_init();
    for (size_t i = 0; i < threads; i++) {
        workers[i].index = i;
        workers[i].ops = params[OPS].value / (long)threads + 1;
        workers[i].live = (size_t)params[LIVE].value / threads + 1;
        workers[i].id = bench_thread_start(work, &workers[i]);
        blocks += (uint64_t)workers[i].ops + workers[i].live + YOUNG_COUNT + 1;
    }
    bench_gate_hold(&gate, threads);
    for (size_t i = 0; i < threads; i++) {
        bench_thread_join(workers[i].id);
        check += workers[i].check;
    }
    return bench_probe_finish(blocks, check);
}
