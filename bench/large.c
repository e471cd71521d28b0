/* SPDX-License-Identifier: MIT
 *
 * Large blocks, by default of 32 KiB to 32 MiB, each doubling equally likely, a few dozen at a time: one byte in each
 * 4 KiB is written.
 */
#include <errno.h>

#include "kit.h"
#include "probe.h"

enum { LIVE_MAX = 4096, SAMPLE_OPS = 256 };

enum { OPS, LIVE, LOW, HIGH, SEED, PARAM_COUNT };

static struct bench_param params[PARAM_COUNT] = {
    [OPS] = {"ops", "blocks to replace", 2000, 1, 1L << 40, true},
    [LIVE] = {"live", "blocks at a time", 48, 1, LIVE_MAX, false},
    [LOW] = {"low", "sizes are above 2 to the power of this", 15, 4, 31, false},
    [HIGH] = {"high", "and below 2 to the power of this", 25, 5, 32, false},
    [SEED] = {"seed", "of the random numbers", 1, 0, 1L << 40, false},
};

static void *fresh(struct bench_rng *rng)
{
    return bench_block_new(bench_size_log(rng, (unsigned)params[LOW].value, (unsigned)params[HIGH].value));
}

int main(int argc, char **argv)
{
    static void *blocks[LIVE_MAX];
    struct bench_rng rng;
    uint64_t check = 0;
    size_t live;

    bench_args(argc, argv, params, PARAM_COUNT, NULL);
    if (params[LOW].value >= params[HIGH].value) {
        errno = EINVAL;
        bench_die("low=, which is not below high=,");
    }
    bench_probe_start("large");
    rng = bench_rng_seed((uint64_t)params[SEED].value, 0);
    live = (size_t)params[LIVE].value;
    for (size_t i = 0; i < live; i++) {
        blocks[i] = fresh(&rng);
    }
    for (long i = 0; i < params[OPS].value; i++) {
        void **slot = &blocks[bench_rng_below(&rng, live)];

        check += bench_block_free(*slot);
        *slot = fresh(&rng);
        if (i % SAMPLE_OPS == 0) {
            bench_probe_sample();
        }
    }
    bench_probe_full();
    for (size_t i = 0; i < live; i++) {
        check += bench_block_free(blocks[i]);
    }
    return bench_probe_finish((uint64_t)params[OPS].value + live, check);
}
