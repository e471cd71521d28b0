/* SPDX-License-Identifier: MIT
 *
 * calloc of small and middling blocks among dirty ones: what is looked at must be zero, then it is written.
 *
 * One block of sixteen has 4 to 256 KiB. There an allocator that knows which memory comes zeroed from the
 * kernel saves the clearing.
 */
#include <stdio.h>

#include "kit.h"
#include "probe.h"

enum { LIVE_MAX = 1 << 20, MIDDLING_SHARE = 16, LOG_MIN = 12, LOG_MAX = 18 };

enum { OPS, LIVE, SEED, PARAM_COUNT };

static struct bench_param params[PARAM_COUNT] = {
    [OPS] = {"ops", "blocks to replace", 1500000, 1, 1L << 40, true},
    [LIVE] = {"live", "blocks at a time", 8000, 1, LIVE_MAX, false},
    [SEED] = {"seed", "of the random numbers", 1, 0, 1L << 40, false},
};

static void *block_new(struct bench_rng *rng)
{
    bool middling = bench_rng_below(rng, MIDDLING_SHARE) == 0;
    size_t size_bytes = middling ? bench_size_log(rng, LOG_MIN, LOG_MAX) : bench_size_small(rng);
    unsigned char *bytes = calloc(1, size_bytes);

    if (!bytes) {
        bench_die("calloc");
    }
    if ((bytes[0] | bytes[size_bytes / 3] | bytes[size_bytes / 2] | bytes[size_bytes - 1]) != 0) {
        fputs("bench: calloc returned a block that is not zero\n", stderr);
        exit(1);
    }
    bench_touch(bytes, size_bytes, bench_mark(size_bytes));
    bytes[size_bytes - 1] |= size_bytes > sizeof(uint64_t);
    return bytes;
}

int main(int argc, char **argv)
{
    struct bench_rng rng;
    uint64_t check = 0;
    size_t live;
    void **blocks;

    bench_args(argc, argv, params, PARAM_COUNT, NULL);
    bench_probe_start("calloc");
    bench_sizes_init();
    rng = bench_rng_seed((uint64_t)params[SEED].value, 0);
    live = (size_t)params[LIVE].value;
    blocks = calloc(live, sizeof(*blocks));
    if (!blocks) {
        bench_die("calloc");
    }
    for (size_t i = 0; i < live; i++) {
        blocks[i] = block_new(&rng);
    }
    for (long i = 0; i < params[OPS].value; i++) {
        void **slot = &blocks[bench_rng_below(&rng, live)];

        check += bench_block_free(*slot);
        *slot = block_new(&rng);
    }
    bench_probe_full();
    for (size_t i = 0; i < live; i++) {
        check += bench_block_free(blocks[i]);
    }
    free(blocks);
    return bench_probe_finish((uint64_t)params[OPS].value + live + 1, check);
}
