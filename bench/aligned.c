/* SPDX-License-Identifier: MIT
 *
 * Aligned blocks of 16 bytes to 64 KiB: every second one by posix_memalign, the others by aligned_alloc.
 *
 * Half of the blocks ask for an alignment of 16 bytes, a quarter for 32, and so on up to 64 KiB.
 */
#include <stdio.h>

#include "kit.h"
#include "probe.h"

enum { LIVE_MAX = 1 << 20, ALIGN_LOG_MIN = 4, ALIGN_LOG_STEPS = 12, LOG_MIN = 4, LOG_MAX = 16 };

enum { OPS, LIVE, SEED, PARAM_COUNT };

static struct bench_param params[PARAM_COUNT] = {
    [OPS] = {"ops", "blocks to replace", 2000000, 1, 1L << 40, true},
    [LIVE] = {"live", "blocks at a time", 8000, 1, LIVE_MAX, false},
    [SEED] = {"seed", "of the random numbers", 1, 0, 1L << 40, false},
};

static void *block_new(struct bench_rng *rng, bool posix)
{
    unsigned steps = (unsigned)__builtin_ctzll(bench_rng_next(rng) >> 32 | 1ULL << ALIGN_LOG_STEPS);
    size_t alignment_bytes = (size_t)1 << (ALIGN_LOG_MIN + steps);
    size_t size_bytes = bench_size_log(rng, LOG_MIN, LOG_MAX);
    void *block = NULL;

    if (posix) {
        if (posix_memalign(&block, alignment_bytes, size_bytes) != 0) {
            bench_die("posix_memalign");
        }
    } else {
        size_bytes = (size_bytes + alignment_bytes - 1) & ~(alignment_bytes - 1);
        block = aligned_alloc(alignment_bytes, size_bytes);
        if (!block) {
            bench_die("aligned_alloc");
        }
    }
    if (((uintptr_t)block & (alignment_bytes - 1)) != 0) {
        fprintf(stderr, "bench: the block at %p is not aligned to %zu bytes\n", block, alignment_bytes);
        exit(1);
    }
    bench_touch(block, size_bytes, bench_mark(size_bytes));
    return block;
}

int main(int argc, char **argv)
{
    struct bench_rng rng;
    uint64_t check = 0;
    size_t live;
    void **blocks;

    bench_args(argc, argv, params, PARAM_COUNT, NULL);
    bench_probe_start("aligned");
    rng = bench_rng_seed((uint64_t)params[SEED].value, 0);
    live = (size_t)params[LIVE].value;
    blocks = malloc(live * sizeof(*blocks));
    if (!blocks) {
        bench_die("malloc");
    }
    for (size_t i = 0; i < live; i++) {
        blocks[i] = block_new(&rng, i % 2 == 0);
    }
    for (long i = 0; i < params[OPS].value; i++) {
        void **slot = &blocks[bench_rng_below(&rng, live)];

        check += bench_block_free(*slot);
        *slot = block_new(&rng, i % 2 == 0);
    }
    bench_probe_full();
    for (size_t i = 0; i < live; i++) {
        check += bench_block_free(blocks[i]);
    }
    free(blocks);
    return bench_probe_finish((uint64_t)params[OPS].value + live + 1, check);
}
