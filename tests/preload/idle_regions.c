/* SPDX-License-Identifier: MIT
 *
 * A program below a limit whose regions keep 100 MiB that nobody uses, and which then needs 100 MiB of other blocks. To be run with
 * EBB_MALLOC=limit:167772160.
 *
 * usage: idle_regions give   what is kept goes, before anything dearer is asked for, and the limit holds
 *                     alone  the same without a background thread, which may be purging at that moment, so that less is given
 *                     own    the regions keep for themselves: the limit, which is a soft one, gives way
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <ebb/budget.h>
#include <ebb/malloc.h>
#include <ebb/region.h>

#define MIB     ((size_t)1 << 20)
#define REGIONS 20u
#define BLOCKS  200u

static struct ebb_region *regions[REGIONS];
static unsigned asked; /* how often the dearer one was */

static void expect(int holds, const char *what, size_t value)
{
    if (holds)
        return;
    (void)fprintf(stderr, "expected: %s; it is %zu\n", what, value);
    exit(1);
}

static size_t kept_bytes(void)
{
    size_t sum = 0;
    for (unsigned i = 0; i < REGIONS; i++) {
        struct ebb_region_stats s = {.size_of_struct = sizeof(s)};
        expect(ebb_region_stats_get(regions[i], &s) == 0, "stats of a region", i);
        expect(ebb_region_check(regions[i]) == 0, "a region that is whole", i);
        sum += s.kept_bytes;
    }
    return sum;
}

/* Uses 5 MiB of each region, and leaves it at rest. */
static void use_regions(unsigned flags)
{
    const struct ebb_region_options options = {.size_of_struct = sizeof(options), .flags = flags};
    for (unsigned i = 0; i < REGIONS; i++) {
        expect((regions[i] = ebb_region_create(&options)) != NULL, "a region", i);
        for (unsigned n = 0; n < 5 * 1024; n++) {
            char *piece = ebb_region_alloc(regions[i], 1024);
            expect(piece != NULL, "a piece", n);
            memset(piece, 1, 1024);
        }
        ebb_region_reset(regions[i], EBB_REGION_KEEP_ALL);
    }
}

static void grow(void)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        char *block = ebb_malloc(MIB / 2);
        expect(block != NULL, "a block", i);
        memset(block, 2, MIB / 2);
    }
}

static size_t something(void *unused)
{
    (void)unused;
    return MIB;
}

static size_t nothing(void *unused, size_t bytes, enum ebb_budget_urgency urgency, uint64_t deadline_ns)
{
    (void)unused;
    (void)bytes;
    (void)urgency;
    (void)deadline_ns;
    asked++;
    return 0;
}

int main(int argc, char **argv)
{
    static const struct ebb_budget_shrinker dearer = {.size_of_struct = sizeof(dearer),
                                                      .name = "frames",
                                                      .price = 200,
                                                      .estimate = something,
                                                      .shrink = nothing};
    struct ebb_budget_stats process = {.size_of_struct = sizeof(process)};
    struct rusage usage;
    int own = argc == 2 && strcmp(argv[1], "own") == 0;
    unsigned may_ask = argc == 2 && strcmp(argv[1], "alone") == 0 ? 0 : 5;
    expect(argc == 2, "one argument", (size_t)argc);
    expect(ebb_budget_shrinker_add(&dearer) > 0, "a shrinker", 0);
    use_regions(own ? EBB_REGION_KEEPS_IDLE : 0);
    size_t before = kept_bytes();
    expect(before >= 95 * MIB, "at least 95 MiB are kept", before);
    grow();
    size_t after = kept_bytes();
    expect(getrusage(RUSAGE_SELF, &usage) == 0, "getrusage", 0);
    expect(ebb_budget_stats(ebb_budget_process(), &process) == 0, "stats of the process", 0);
    size_t peak = (size_t)usage.ru_maxrss << 10;
    (void)printf("kept %zu MiB, then %zu; peak %zu MiB; %zu MiB reclaimed; the dearer one asked %u times\n",
                 before >> 20, after >> 20, peak >> 20, process.reclaimed_bytes >> 20, asked);
    if (own) {
        expect(after == before, "as much is kept as before", after);
        expect(peak >= 190 * MIB, "a peak of 190 MiB or more", peak);
        expect(asked != 0, "the dearer one was asked", asked);
    } else {
        expect(before - after >= 35 * MIB, "at least 35 MiB less are kept", after);
        expect(peak <= 164 * MIB, "a peak of 164 MiB or less", peak);
        expect(process.reclaimed_bytes >= 15 * MIB, "at least 15 MiB reclaimed", process.reclaimed_bytes);
        expect(asked <= may_ask, "next to nothing dearer was asked", asked);
    }
    expect(ebb_check() == 0 && ebb_budget_check() == 0, "a heap and a ledger that are whole", 0);
    return 0;
}
