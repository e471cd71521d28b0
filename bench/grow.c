/* SPDX-License-Identifier: MIT
 *
 * realloc: many vectors that grow side by side, or one huge block.
 *
 * x1.5, x2 and add: each step grows a random vector, by half, to double or by a constant, and writes the new
 * part; a vector that has reached its length (each doubling equally likely) is freed and begun again. huge:
 * one block grows by half each time, and one byte in each new 4 KiB is written.
 */
#include "kit.h"
#include "probe.h"

enum { VECTORS_MAX = 1 << 16, FIRST_BYTES = 24, ADD_BYTES = 2048, LOG_MIN = 8, LOG_MAX = 20 };

enum { OPS, VECTORS, HUGE_MIB, SEED, PARAM_COUNT };
enum mode { HALF, DOUBLE, ADD, HUGE };

static struct bench_param params[PARAM_COUNT] = {
    [OPS] = {"ops", "growths, not in mode huge", 600000, 1, 1L << 40, true},
    [VECTORS] = {"vectors", "vectors, not in mode huge", 400, 1, VECTORS_MAX, false},
    [HUGE_MIB] = {"huge_mib", "last size in mode huge, MiB", 1024, 2, 1L << 20, true},
    [SEED] = {"seed", "of the random numbers", 1, 0, 1L << 40, false},
};

static const char *const modes[] = {"x1.5", "x2", "add", "huge", NULL};
static const char *const program_names[] = {"grow-x1.5", "grow-x2", "grow-add", "grow-huge"};

struct vector {
    unsigned char *bytes;
    size_t size_bytes;
    size_t last_bytes;
};

static struct vector vectors[VECTORS_MAX];

static size_t next_size(size_t size_bytes, enum mode mode)
{
    switch (mode) {
    case DOUBLE:
        return size_bytes * 2;
    case ADD:
        return size_bytes + ADD_BYTES;
    case HALF:
    case HUGE:
    default:
        return size_bytes + size_bytes / 2;
    }
}

static void grow(struct vector *vector, size_t size_bytes, size_t step_bytes)
{
    unsigned char *bytes = realloc(vector->bytes, size_bytes);

    if (!bytes) {
        bench_die("realloc");
    }
    for (size_t i = vector->size_bytes; i < size_bytes; i += step_bytes) {
        *(volatile unsigned char *)(bytes + i) = (unsigned char)i;
    }
    vector->bytes = bytes;
    vector->size_bytes = size_bytes;
}

/* Begins a vector with a block whose first word tells later whether a realloc kept it. */
static void begin(struct vector *vector, struct bench_rng *rng)
{
    vector->bytes = bench_block_new(FIRST_BYTES);
    vector->size_bytes = FIRST_BYTES;
    vector->last_bytes = bench_size_log(rng, LOG_MIN, LOG_MAX);
}

static uint64_t end(struct vector *vector)
{
    return vector->size_bytes + bench_block_free(vector->bytes);
}

static uint64_t grow_many(enum mode mode, uint64_t *blocks)
{
    struct bench_rng rng = bench_rng_seed((uint64_t)params[SEED].value, 0);
    size_t count = (size_t)params[VECTORS].value;
    uint64_t check = 0;

    *blocks += count;
    for (size_t i = 0; i < count; i++) {
        begin(&vectors[i], &rng);
    }
    for (long i = 0; i < params[OPS].value; i++) {
        struct vector *vector = &vectors[bench_rng_below(&rng, count)];

        if (vector->size_bytes < vector->last_bytes) {
            grow(vector, next_size(vector->size_bytes, mode), BENCH_LINE_BYTES);
        } else {
            check += end(vector);
            begin(vector, &rng);
        }
        ++*blocks;
    }
    bench_probe_full();
    for (size_t i = 0; i < count; i++) {
        check += end(&vectors[i]);
    }
    return check;
}

static uint64_t grow_huge(uint64_t *blocks)
{
    size_t last_bytes = (size_t)params[HUGE_MIB].value << 20;
    struct vector vector = {.bytes = bench_block_new(1U << 20), .size_bytes = 1U << 20};

    while (vector.size_bytes < last_bytes) {
        size_t size_bytes = next_size(vector.size_bytes, HUGE);

        grow(&vector, size_bytes < last_bytes ? size_bytes : last_bytes, BENCH_TOUCH_BYTES);
        bench_probe_sample();
        ++*blocks;
    }
    bench_probe_full();
    return end(&vector);
}

int main(int argc, char **argv)
{
    enum mode mode = (enum mode)bench_args(argc, argv, params, PARAM_COUNT, modes);
    uint64_t blocks = 0;
    uint64_t check;

    bench_probe_start(program_names[mode]);
    check = mode == HUGE ? grow_huge(&blocks) : grow_many(mode, &blocks);
    return bench_probe_finish(blocks, check);
}
