/* SPDX-License-Identifier: MIT
 *
 * Owners at work, each on regions of its own, while another thread decays what they keep.
 */
#include <pthread.h>

#include "region_test.h"

#define OWNERS  4
#define REGIONS 20

static _Atomic unsigned working = OWNERS;

static void round_of(struct ebb_region *region, struct support_rng *rng)
{
    char *pieces[40];
    size_t sizes[40];
    unsigned n = (unsigned)support_between(rng, 1, 40);
    uint64_t tag = support_next(rng);
    for (unsigned i = 0; i < n; i++) {
        sizes[i] = support_between(rng, 1, support_below(rng, 10) == 0 ? 60000 : 600);
        EXPECT((pieces[i] = ebb_region_alloc(region, sizes[i])) != NULL);
        support_fill(pieces[i], sizes[i], tag + i);
    }
    for (unsigned i = 0; i < n; i++)
        EXPECT(support_kept(pieces[i], sizes[i], sizes[i], tag + i));
}

static void *own(void *arg)
{
    struct support_rng rng = {(uint64_t)(uintptr_t)arg};
    struct ebb_region *regions[REGIONS] = {NULL};
    size_t steps = support_env_number("REGION_STEPS", SUPPORT_TSAN ? 3000 : 20000);
    for (size_t step = 0; step < steps; step++) {
        struct ebb_region **at = &regions[support_below(&rng, REGIONS)];
        if (*at == NULL) {
            *at = ebb__region_create(NULL);
            EXPECT(*at != NULL);
        }
        struct ebb_region_mark mark = ebb__region_mark(*at);
        round_of(*at, &rng);
        switch (support_below(&rng, 4)) {
        case 0:
            ebb__region_destroy(*at);
            *at = NULL;
            break;
        case 1:
            ebb__region_rollback(*at, mark);
            break;
        default:
            ebb__region_reset(*at, (enum ebb_region_keep)support_below(&rng, 3));
        }
        if (*at != NULL && step % 64 == 0) {
            struct ebb_region_stats s = figures(*at);
            EXPECT(s.kept_bytes <= s.held_bytes && s.held_bytes <= s.peak_bytes);
        }
    }
    for (unsigned i = 0; i < REGIONS; i++)
        if (regions[i] != NULL) {
            ebb__region_reset(regions[i], EBB_REGION_KEEP_LARGEST);
            ebb__region_destroy(regions[i]);
        }
    atomic_fetch_sub(&working, 1);
    return NULL;
}

static void decay_meets_owners(void)
{
    pthread_t threads[OWNERS];
    uint64_t seed = support_seed("threads");
    size_t decayed = 0;
    EXPECT_EQ(ebb__heap_init(), 0); /* as a process has it done before it has threads */
    for (uintptr_t i = 0; i < OWNERS; i++)
        EXPECT(pthread_create(&threads[i], NULL, own, (void *)(uintptr_t)(seed + i)) == 0);
    while (atomic_load(&working) != 0)
        decayed += support_below(&(struct support_rng){decayed}, 2) == 0 ? ebb__region_decay()
                                                                         : ebb__region_decay_all();
    for (unsigned i = 0; i < OWNERS; i++)
        EXPECT(pthread_join(threads[i], NULL) == 0);
    EXPECT(decayed != 0);
    (void)printf("%zu KiB were taken from under their owners\n", decayed >> 10);
    EXPECT_EQ(ebb__region_decay_all(), 0);
    EXPECT_EQ(ebb__heap_check(), 0);
    expect_empty_heap();
}

/* The books are right after both have been at them. */
static void the_books_are_right(void)
{
    struct ebb_region *region = ebb__region_create(NULL);
    for (unsigned i = 0; i < 200; i++) {
        for (unsigned k = 0; k < 500; k++)
            (void)piece(region, 100);
        ebb__region_reset(region, i % 2 == 0 ? EBB_REGION_KEEP_ALL : EBB_REGION_KEEP_LARGEST);
        if (i % 3 == 0)
            (void)ebb__region_decay_all();
        REGION_OK(region);
    }
    ebb__region_destroy(region);
    expect_empty_heap();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(decay_meets_owners),
        CASE(the_books_are_right),
    };
    return RUN_CASES(cases);
}
