/* SPDX-License-Identifier: MIT
 *
 * A peak of blocks of many sizes, equal bytes of each, of which all but a random few are freed: how near does the
 * resident memory come to the pages on which the survivors lie?
 *
 * Those pages are counted here, from the addresses and sizes of the survivors, and nothing that the allocator says is
 * used. Each size keeps the same share of its blocks. What is above 1.0 are free pages that are still resident, and
 * the allocator's own data.
 */
#include <errno.h>
#include <unistd.h>

#include "mem.h"

enum { LOG_DENSE = 7, LOG_MAX = 18, STEPS = 4, STEP_MIN = 16, CLASSES = 8 + (LOG_MAX - LOG_DENSE) * STEPS };

enum { MIB, PERMILLE, CLASS, WAIT, LATER, SEED, PARAM_COUNT };

static struct bench_param params[PARAM_COUNT] = {
    [MIB] = {"mib", "MiB at the peak", 600, 1, 1L << 20, true},
    [PERMILLE] = {"permille", "survivors among a thousand blocks of each size", 10, 1, 1000, false},
    [CLASS] = {"class", "only this of the sizes, numbered from 0; -1 for all", -1, -1, CLASSES - 1, false},
    [WAIT] = {"wait", "milliseconds from the last free to the first reading", 3000, 0, 600000, false},
    [LATER] = {"later", "and to the second one", 15000, 0, 600000, false},
    [SEED] = {"seed", "of the random numbers", 1, 0, 1L << 40, false},
};

/* Steps of 16 bytes to 128, then four sizes in each doubling to 256 KiB. */
static size_t class_bytes(size_t class)
{
    size_t step;

    if (class < 8) {
        return (class + 1) * STEP_MIN;
    }
    class -= 8;
    step = ((size_t)1 << (LOG_DENSE + class / STEPS)) / STEPS;
    return (STEPS + class % STEPS + 1) * step;
}

struct share {
    size_t blocks;
    size_t survivors;
};

static struct share shares[CLASSES];

/* How many blocks of each size, and how many of them survive: at least one of each. Returns the sum. */
static size_t share_out(void)
{
    size_t peak_bytes = (size_t)params[MIB].value << 20;
    size_t chosen = params[CLASS].value < 0 ? CLASSES : 1;
    size_t sum = 0;

    for (size_t class = 0; class < CLASSES; class ++) {
        if (chosen == CLASSES || class == (size_t)params[CLASS].value) {
            size_t blocks = peak_bytes / chosen / class_bytes(class) + 1;

            shares[class].blocks = blocks;
            shares[class].survivors = (blocks * (size_t)params[PERMILLE].value + 999) / 1000;
            sum += blocks;
        }
    }
    return sum;
}

/* Fills the table in an order in which the sizes alternate at random. */
static void allocate(void **blocks, struct bench_rng *rng)
{
    size_t filled = 0;

    for (size_t class = 0; class < CLASSES; class ++) {
        for (size_t i = 0; i < shares[class].blocks; i++) {
            /* Until the block exists, its place in the shuffled table holds its class. */
            blocks[filled++] = (void *)(uintptr_t) class; // NOLINT(performance-no-int-to-ptr)
        }
    }
    mem_shuffle(blocks, filled, rng);
    for (size_t i = 0; i < filled; i++) {
        blocks[i] = mem_block_new(class_bytes((uintptr_t)blocks[i]));
    }
}

static size_t class_of(size_t size_bytes)
{
    size_t class = 0;

    while (class_bytes(class) != size_bytes) {
        class ++;
    }
    return class;
}

/* Frees in a random order; the survivors move to the front of the table. Returns their number. */
static size_t free_most(void **blocks, size_t count, struct bench_rng *rng, uint64_t *check)
{
    size_t kept = 0;

    mem_shuffle(blocks, count, rng);
    for (size_t i = 0; i < count; i++) {
        struct share *share = &shares[class_of(bench_block_size(blocks[i]))];

        if (share->survivors > 0) {
            share->survivors--;
            blocks[kept++] = blocks[i];
        } else {
            *check += bench_block_free(blocks[i]);
        }
    }
    return kept;
}

int main(int argc, char **argv)
{
    struct bench_rng rng;
    uint64_t check = 0;
    uint64_t live_bytes;
    size_t count;
    size_t kept;
    size_t pages;
    long later_ms;
    void **blocks;

    bench_args(argc, argv, params, PARAM_COUNT, NULL);
    count = share_out();
    blocks = mem_table(count, sizeof(*blocks));
    rng = bench_rng_seed((uint64_t)params[SEED].value, 0);
    bench_probe_start("survivors");
    allocate(blocks, &rng);
    bench_probe_full();
    kept = free_most(blocks, count, &rng, &check);
    pages = mem_pages_held(blocks, kept, &live_bytes);
    bench_probe_note("live_bytes", live_bytes);
    bench_probe_note("held_kib", (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024U);
    if (params[CLASS].value >= 0) {
        bench_probe_note("class_bytes", class_bytes((size_t)params[CLASS].value));
    }
    mem_wait_ms(params[WAIT].value);
    mem_note_kib("after_kib", bench_probe_net_kib());
    later_ms = params[LATER].value - params[WAIT].value;
    mem_wait_ms(later_ms > 0 ? later_ms : 0);
    mem_note_kib("later_kib", bench_probe_net_kib());
    for (size_t i = 0; i < kept; i++) {
        check += bench_block_free(blocks[i]);
    }
    return bench_probe_finish(count, check);
}
