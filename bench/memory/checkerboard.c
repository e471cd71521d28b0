/* SPDX-License-Identifier: MIT
 *
 * Blocks of about one size, all written, of which every second one is freed: does the memory of the holes come back?
 *
 * The holes are as large as the blocks and no two of them are neighbours, so that only an allocator that gives back
 * parts of its areas can do better than the peak.
 */
#include <errno.h>

#include "mem.h"

enum { BLOCKS, BYTES, SPREAD, WAIT, SEED, PARAM_COUNT };

static struct bench_param params[PARAM_COUNT] = {
    [BLOCKS] = {"blocks", "blocks", 20000, 2, 1L << 24, true},
    [BYTES] = {"bytes", "size of a block", 132L << 10, 64, 1L << 24, false},
    [SPREAD] = {"spread", "sizes vary by so many bytes, half of it up and half down", 2048, 0, 1L << 20,
                false},
    [WAIT] = {"wait", "milliseconds from the last free to the reading", 3000, 0, 600000, false},
    [SEED] = {"seed", "of the random numbers", 1, 0, 1L << 40, false},
};

int main(int argc, char **argv)
{
    uint64_t live_bytes = 0;
    uint64_t check = 0;
    struct bench_rng rng;
    size_t count;
    size_t least_bytes;
    void **blocks;

    bench_args(argc, argv, params, PARAM_COUNT, NULL);
    count = (size_t)params[BLOCKS].value;
    if (params[SPREAD].value > params[BYTES].value) {
        errno = EINVAL;
        bench_die("spread=, which is above bytes=,");
    }
    least_bytes = (size_t)(params[BYTES].value - params[SPREAD].value / 2);
    blocks = mem_table(count, sizeof(*blocks));
    rng = bench_rng_seed((uint64_t)params[SEED].value, 0);
    bench_probe_start("checkerboard");
    for (size_t i = 0; i < count; i++) {
        blocks[i] = mem_block_new(least_bytes + bench_rng_below(&rng, (size_t)params[SPREAD].value + 1));
    }
    bench_probe_full();
    for (size_t i = 1; i < count; i += 2) {
        check += bench_block_free(blocks[i]);
    }
    mem_note_kib("freed_kib", bench_probe_net_kib());
    mem_wait_ms(params[WAIT].value);
    mem_note_kib("after_kib", bench_probe_net_kib());
    for (size_t i = 0; i < count; i += 2) {
        live_bytes += bench_block_free(blocks[i]);
    }
    bench_probe_note("live_bytes", live_bytes);
    return bench_probe_finish(count, check + live_bytes);
}
