/* SPDX-License-Identifier: MIT
 *
 * Owners at work, each on regions of its own, while another thread decays what they keep, or the budget asks for it.
 */
#include <pthread.h>

#include "os/os.h"
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

/* ---- the budget asks, while owners are at work ---- */

static struct ebb_budget_account *user, *accounts[OWNERS];
static _Atomic uint64_t refused;
static uint64_t budget_seed;

/* Pieces, or none where the account's limit is in the way of even these. */
static void limited_round_of(struct ebb_region *region, struct support_rng *rng)
{
    for (size_t n = support_between(rng, 1, 40); n != 0; n--) {
        size_t bytes = support_between(rng, 1, support_below(rng, 10) == 0 ? 60000 : 600);
        unsigned char *p = ebb_region_alloc(region, bytes);
        if (p == NULL)
            atomic_fetch_add(&refused, 1);
        else
            support_fill(p, bytes, bytes);
    }
}

static void *own_charged(void *arg)
{
    uintptr_t nth = (uintptr_t)arg;
    struct support_rng rng = {budget_seed + nth + 1};
    struct ebb_region *regions[REGIONS] = {NULL};
    size_t steps = support_env_number("REGION_STEPS", SUPPORT_TSAN ? 3000 : 20000);
    const struct ebb_region_options options = {.size_of_struct = sizeof(options), .account = accounts[nth]};
    for (size_t step = 0; step < steps; step++) {
        struct ebb_region **at = &regions[support_below(&rng, REGIONS)];
        if (*at == NULL && (*at = ebb__region_create(&options)) == NULL)
            continue;
        limited_round_of(*at, &rng);
        if (support_below(&rng, 5) != 0) {
            ebb__region_reset(*at, (enum ebb_region_keep)support_below(&rng, 3));
            continue;
        }
        ebb__region_destroy(*at);
        *at = NULL;
    }
    for (unsigned i = 0; i < REGIONS; i++)
        if (regions[i] != NULL)
            ebb__region_destroy(regions[i]);
    ebb__ledger_thread_flush();
    atomic_fetch_sub(&working, 1);
    return NULL;
}

/* Owners meet limits, and ask themselves; others ask for the process, for the accounts, and for one that was charged by half of them. */
static void the_budget_meets_owners(void)
{
    pthread_t threads[OWNERS];
    struct support_rng rng = {budget_seed = support_seed("budget")};
    size_t given = 0;
    EXPECT_EQ(ebb__heap_init(), 0);
    EXPECT_EQ(ebb__ledger_create(&ebb__ledger_heap, "user", EBB_BUDGET_QUERY, &user), 0);
    for (unsigned i = 0; i < OWNERS; i++) {
        EXPECT_EQ(ebb__ledger_create(i % 2 == 0 ? user : &ebb__ledger_heap, "owner", EBB_BUDGET_QUERY,
                                     &accounts[i]),
                  0);
        (void)ebb__ledger_limit(accounts[i], EBB_BUDGET_HARD, (int64_t)EBB_KIB(200));
    }
    (void)ebb__ledger_limit(user, EBB_BUDGET_HARD, (int64_t)EBB_KIB(300));
    for (uintptr_t i = 0; i < OWNERS; i++)
        EXPECT(pthread_create(&threads[i], NULL, own_charged, (void *)i) == 0);
    while (atomic_load(&working) != 0) {
        struct ebb_budget_account *whom[] = {NULL, user, accounts[1], accounts[2], &ebb__ledger_heap};
        given += ebb__ledger_reclaim(
            whom[support_below(&rng, EBB_ARRAY_COUNT(whom))], support_below(&rng, EBB_KIB(500)),
            (enum ebb_budget_urgency)support_below(&rng, 4), ebb__os_now_ns() + 1000000);
        if (support_below(&rng, 16) == 0)
            (void)ebb__region_decay();
    }
    for (unsigned i = 0; i < OWNERS; i++)
        EXPECT(pthread_join(threads[i], NULL) == 0);
    struct ebb_ledger_stats s;
    ebb__ledger_stats(&s);
    (void)printf("%zu KiB were given; %zu pieces refused, %zu times somebody was asked\n", given >> 10,
                 (size_t)refused, (size_t)s.shrinks);
    EXPECT(given != 0 && refused != 0);
    EXPECT_EQ(ebb__ledger_exact(user), 0);
    for (unsigned i = 0; i < OWNERS; i++) {
        EXPECT_EQ(ebb__ledger_exact(accounts[i]), 0);
        EXPECT_EQ(ebb__ledger_destroy(accounts[i]), 0);
    }
    EXPECT_EQ(ebb__ledger_check(), 0);
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
        CASE(the_budget_meets_owners),
        CASE(the_books_are_right),
    };
    return RUN_CASES(cases);
}
