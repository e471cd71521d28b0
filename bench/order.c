/* SPDX-License-Identifier: MIT
 *
 * One thread allocates a batch of small blocks and frees it: last first, first first, or in random order.
 */
#include "kit.h"
#include "probe.h"

enum { ROUNDS, BATCH, SEED, PARAM_COUNT };
enum mode { LIFO, FIFO, RANDOM };

static struct bench_param params[PARAM_COUNT] = {
    [ROUNDS] = {"rounds", "batches", 700, 1, 1L << 32, true},
    [BATCH] = {"batch", "blocks of a batch", 20000, 1, 1L << 24, false},
    [SEED] = {"seed", "of the random numbers", 1, 0, 1L << 40, false},
};

static const char *const modes[] = {"lifo", "fifo", "random", NULL};

static void shuffle(uint32_t *order, size_t count, struct bench_rng *rng)
{
    for (size_t i = count - 1; i > 0; i--) {
        size_t other = bench_rng_below(rng, i + 1);
        uint32_t kept = order[i];

        order[i] = order[other];
        order[other] = kept;
    }
}

/* The order in which the blocks of a batch are freed. */
static void fill_order(uint32_t *order, size_t count, enum mode mode, struct bench_rng *rng)
{
    for (size_t i = 0; i < count; i++) {
        order[i] = (uint32_t)(mode == LIFO ? count - 1 - i : i);
    }
    if (mode == RANDOM) {
        shuffle(order, count, rng);
    }
}

int main(int argc, char **argv)
{
    enum mode mode = (enum mode)bench_args(argc, argv, params, PARAM_COUNT, modes);
    struct bench_rng rng = bench_rng_seed((uint64_t)params[SEED].value, 0);
    size_t batch = (size_t)params[BATCH].value;
    long rounds = params[ROUNDS].value;
    uint64_t check = 0;
    void **blocks;
    uint32_t *order;

    bench_probe_start(modes[mode]);
    bench_sizes_init();
    blocks = malloc(batch * sizeof(*blocks));
    order = malloc(batch * sizeof(*order));
    if (!blocks || !order) {
        bench_die("malloc");
    }
    fill_order(order, batch, mode, &rng);
    for (long round = 0; round < rounds; round++) {
        for (size_t i = 0; i < batch; i++) {
            blocks[i] = bench_block_new(bench_size_small(&rng));
        }
        if (round == rounds - 1) {
            bench_probe_full();
        }
        for (size_t i = 0; i < batch; i++) {
            check += bench_block_free(blocks[order[i]]);
        }
    }
    free(order);
    free(blocks);
    return bench_probe_finish((uint64_t)rounds * batch + 2, check);
}
