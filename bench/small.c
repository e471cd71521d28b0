/* SPDX-License-Identifier: MIT
 *
 * One thread, small blocks of mixed sizes: most die young, some stay among them.
 *
 * Seven of eight blocks replace one of the last 128, as a statement's temporaries do; the eighth replaces a
 * random one of a large set, as cached objects do.
 */
#include "kit.h"
#include "probe.h"

enum { YOUNG_COUNT = 128, OLD_SHARE = 8 };

enum { OPS, LIVE, SEED, PARAM_COUNT };

static struct bench_param params[PARAM_COUNT] = {
    [OPS] = {"ops", "blocks to replace", 16000000, 1, 1L << 40, true},
    [LIVE] = {"live", "blocks that stay", 60000, 1, 1L << 24, false},
    [SEED] = {"seed", "of the random numbers", 1, 0, 1L << 40, false},
};

static uint64_t replace(void **slot, struct bench_rng *rng)
{
    uint64_t freed_bytes = bench_block_free(*slot);

    *slot = bench_block_new(bench_size_small(rng));
    return freed_bytes;
}

int main(int argc, char **argv)
{
    static void *young[YOUNG_COUNT];
    struct bench_rng rng;
    uint64_t check = 0;
    size_t live;
    long ops;
    void **old;

    bench_args(argc, argv, params, PARAM_COUNT, NULL);
    bench_probe_start("small");
    bench_sizes_init();
    rng = bench_rng_seed((uint64_t)params[SEED].value, 0);
    live = (size_t)params[LIVE].value;
    ops = params[OPS].value;
    old = malloc(live * sizeof(*old));
    if (!old) {
        bench_die("malloc");
    }
    for (size_t i = 0; i < live; i++) {
        old[i] = bench_block_new(bench_size_small(&rng));
    }
    for (size_t i = 0; i < YOUNG_COUNT; i++) {
        young[i] = bench_block_new(bench_size_small(&rng));
    }
    for (long i = 0; i < ops; i++) {
        check += i % OLD_SHARE == 0 ? replace(&old[bench_rng_below(&rng, live)], &rng)
                                    : replace(&young[i % YOUNG_COUNT], &rng);
    }
    bench_probe_full();
    for (size_t i = 0; i < live; i++) {
        check += bench_block_free(old[i]);
    }
    for (size_t i = 0; i < YOUNG_COUNT; i++) {
        check += bench_block_free(young[i]);
    }
    free(old);
    return bench_probe_finish((uint64_t)ops + live + YOUNG_COUNT + 1, check);
}
