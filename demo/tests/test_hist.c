/* SPDX-License-Identifier: MIT
 *
 * The histogram against sorted arrays: percentiles are within one bucket (1/32) above the exact value.
 */
#include "hist.h"
#include "rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUES 20000

static uint64_t values[VALUES];

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static uint64_t exact(double part)
{
    size_t rank = (size_t)(part * VALUES);

    if ((double)rank < part * VALUES)
        rank++;
    return values[rank == 0 ? 0 : rank - 1];
}

static int check_parts(const struct hist *h, uint64_t seed, unsigned shift_max)
{
    static const double parts[] = {0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0};

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        uint64_t want = exact(parts[i]), got = hist_percentile(h, parts[i]);

        if (got < want || got - want > want / 32) {
            printf("seed %llu, values below 2^%u: percentile %g is %llu, exactly %llu\n",
                   (unsigned long long)seed, shift_max, parts[i], (unsigned long long)got,
                   (unsigned long long)want);
            return 1;
        }
    }
    return 0;
}

/* Values spread over all doublings below 2^`shift_max`, counted in two histograms that are merged. */
static int check_range(uint64_t seed, unsigned shift_max)
{
    static struct hist halves[2];
    struct rng r;
    uint64_t sum = 0;

    memset(halves, 0, sizeof(halves));
    rng_init(&r, seed, shift_max);
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = rng_next(&r) >> (64 - 1 - rng_below(&r, shift_max));
        sum += values[i];
        hist_add(&halves[i & 1], values[i]);
    }
    hist_merge(&halves[0], &halves[1]);
    qsort(values, VALUES, sizeof(values[0]), compare);
    if (halves[0].count != VALUES || halves[0].sum != sum || halves[0].max != values[VALUES - 1]) {
        printf("seed %llu, values below 2^%u: count, sum or maximum is wrong\n", (unsigned long long)seed,
               shift_max);
        return 1;
    }
    return check_parts(&halves[0], seed, shift_max);
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 20261122;
    static struct hist empty;
    int failed = hist_percentile(&empty, 0.5) != 0;

    printf("seed %llu\n", (unsigned long long)seed);
    hist_add(&empty, UINT64_MAX);
    failed |= hist_percentile(&empty, 0.5) != UINT64_MAX;
    for (unsigned shift_max = 1; shift_max < 63; shift_max++)
        failed |= check_range(seed, shift_max);
    return failed;
}
