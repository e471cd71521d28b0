/* SPDX-License-Identifier: MIT
 *
 * The budget asks regions for what they keep: who gives, in which order, what counts, and who is left alone.
 */
#include "pool.h"
#include "region_test.h"
#include "small_space.h"

#include "os/fake.h"

#define NOBODY_WAITS 0

static void fill(struct ebb_region *region, size_t bytes)
{
    for (size_t done = 0; done < bytes; done += 1008)
        (void)piece(region, 1000);
}

/* Keeps blocks of 8 KiB to 1 MiB, `mib` MiB or some more. */
static void keep(struct ebb_region *region, unsigned mib)
{
    fill(region, EBB_MIB(mib));
    ebb__region_reset(region, EBB_REGION_KEEP_ALL);
    EXPECT(figures(region).kept_bytes >= EBB_MIB(mib));
}

static size_t kept(const struct ebb_region *region)
{
    return figures(region).kept_bytes;
}

static struct ebb_budget_account *made(struct ebb_budget_account *parent, const char *name)
{
    struct ebb_budget_account *account;
    EXPECT_EQ(ebb__ledger_create(parent, name, EBB_BUDGET_QUERY, &account), 0);
    return account;
}

static struct ebb_region *charged_to(struct ebb_budget_account *account)
{
    return region_with((struct ebb_region_options){.account = account});
}

static size_t could_give(void)
{
    const struct ebb_ledger_band band = {100, 100, 0};
    return ebb__ledger_estimate_band(&band, EBB_URGENCY_EARLY);
}

static size_t heap_bytes(void)
{
    return ebb__ledger_exact(&ebb__ledger_heap);
}

static unsigned shrinkers(void)
{
    struct ebb_ledger_stats s;
    ebb__ledger_stats(&s);
    return (unsigned)s.shrinkers;
}

#define ALL_OK(region)                                                                                       \
    do {                                                                                                     \
        REGION_OK(region);                                                                                   \
        EXPECT_EQ(ebb__ledger_check(), 0);                                                                   \
    } while (0)

/* ---- what is given ---- */

static void it_is_there_when_something_is_kept(void)
{
    struct ebb_region *region = ebb__region_create(NULL), *other = ebb__region_create(NULL);
    EXPECT_EQ(shrinkers(), 0);
    keep(region, 1);
    keep(other, 1);
    EXPECT_EQ(shrinkers(), 1);
    EXPECT_EQ(could_give(), kept(region) + kept(other));
    fill(other, EBB_KIB(100)); /* takes the largest one */
    EXPECT_EQ(could_give(), kept(region) + kept(other));
    ALL_OK(other);
    ebb__region_reset(other, EBB_REGION_KEEP_LARGEST);
    EXPECT_EQ(could_give(), kept(region) + kept(other));
    ebb__region_destroy(other);
    EXPECT_EQ(could_give(), kept(region));
    (void)ebb__region_decay_all();
    EXPECT_EQ(could_give(), 0);
    EXPECT_EQ(ebb__ledger_reclaim(NULL, EBB_MIB(1), EBB_URGENCY_LAST, NOBODY_WAITS), 0);
    ebb__region_destroy(region);
    expect_empty_heap();
}

/* What the kernel got back is what was given, and what the heap is charged less for. */
static void the_kernel_gets_it(void)
{
    struct ebb_region *region = ebb__region_create(NULL);
    keep(region, 20);
    size_t held = kept(region), before = heap_bytes(), purged = ebb_fake.purged_bytes;
    size_t given = ebb__ledger_reclaim(NULL, SIZE_MAX, EBB_URGENCY_EARLY, NOBODY_WAITS);
    EXPECT_EQ(kept(region), 0);
    EXPECT_MSG(given >= held - EBB_KIB(64), "%zu of %zu KiB", given >> 10, held >> 10);
    EXPECT_EQ(heap_bytes(), before - given);
    EXPECT(ebb_fake.purged_bytes - purged >= given);
    ALL_OK(region);
    fill(region, EBB_MIB(2)); /* and it goes on */
    ALL_OK(region);
    ebb__region_destroy(region);
    expect_empty_heap();
}

/* No more than is asked for, as far as whole regions go. */
static void as_much_as_is_asked_for(void)
{
    struct ebb_region *regions[6];
    for (unsigned i = 0; i < 6; i++)
        keep(regions[i] = ebb__region_create(NULL), 8);
    size_t before = heap_bytes();
    size_t given = ebb__ledger_reclaim(NULL, EBB_MIB(10), EBB_URGENCY_SOFT, NOBODY_WAITS);
    unsigned emptied = 0;
    for (unsigned i = 0; i < 6; i++)
        emptied += kept(regions[i]) == 0;
    EXPECT_EQ(emptied, 2);
    EXPECT_MSG(given >= EBB_MIB(9) && given <= EBB_MIB(14), "%zu MiB", given >> 20);
    EXPECT_EQ(heap_bytes(), before - given);
    for (unsigned i = 0; i < 6; i++)
        ebb__region_destroy(regions[i]);
    expect_empty_heap();
}

static void the_longest_idle_first(void)
{
    struct ebb_region *old[4], *young[4];
    size_t of_old = 0;
    for (unsigned i = 0; i < 4; i++) {
        keep(old[i] = ebb__region_create(NULL), 4);
        of_old += kept(old[i]);
    }
    EXPECT_EQ(ebb__region_decay(), 0);
    for (unsigned i = 0; i < 4; i++)
        keep(young[i] = ebb__region_create(NULL), 4);
    (void)ebb__ledger_reclaim(NULL, of_old, EBB_URGENCY_HARD, NOBODY_WAITS);
    for (unsigned i = 0; i < 4; i++)
        EXPECT(kept(old[i]) == 0 && kept(young[i]) != 0);
    (void)ebb__ledger_reclaim(NULL, SIZE_MAX, EBB_URGENCY_EARLY, NOBODY_WAITS);
    for (unsigned i = 0; i < 4; i++)
        EXPECT_EQ(kept(young[i]), 0);
    EXPECT_EQ(could_give(), 0);
}

/* What takes long is purging: the deadline is looked at after each 4 MiB. What was freed by then stays free. */
static void it_ends_at_the_deadline(void)
{
    struct ebb_region *region = ebb__region_create(NULL);
    keep(region, 64);
    size_t before = heap_bytes();
    ebb_fake.purge_ns = 100000;
    size_t given = ebb__ledger_reclaim(NULL, SIZE_MAX, EBB_URGENCY_SOFT, ebb__os_now_ns() + 1000000);
    EXPECT_MSG(given >= EBB_MIB(8) && given <= EBB_MIB(20), "%zu MiB", given >> 20);
    EXPECT(kept(region) == 0 && heap_bytes() == before - given);
    ALL_OK(region);
}

/* ---- who is left alone ---- */

static void those_that_keep_for_themselves(void)
{
    struct ebb_region *mine = region_with((struct ebb_region_options){.flags = EBB_REGION_KEEPS_IDLE}),
                      *other = ebb__region_create(NULL);
    keep(mine, 4);
    keep(other, 1);
    EXPECT_EQ(could_give(), kept(other));
    size_t held = kept(mine);
    (void)ebb__ledger_reclaim(NULL, SIZE_MAX, EBB_URGENCY_LAST, NOBODY_WAITS);
    EXPECT(kept(other) == 0 && kept(mine) == held);
    ALL_OK(mine);
    ebb__region_destroy(mine);
    ebb__region_destroy(other);
}

static void a_minimum_is_kept_but_at_last(void)
{
    struct ebb_budget_account *account = made(&ebb__ledger_heap, "a");
    struct ebb_region *region = charged_to(account), *free_one = ebb__region_create(NULL);
    keep(region, 4);
    keep(free_one, 1);
    size_t held = figures(region).held_bytes;
    (void)ebb__ledger_limit(account, EBB_BUDGET_MIN, (int64_t)held - 4096);
    (void)ebb__ledger_reclaim(NULL, SIZE_MAX, EBB_URGENCY_HARD, NOBODY_WAITS);
    EXPECT(kept(region) != 0 && kept(free_one) == 0);
    EXPECT_EQ(ebb__ledger_reclaim(account, SIZE_MAX, EBB_URGENCY_HARD, NOBODY_WAITS), 0);
    EXPECT_EQ(ebb__ledger_exact(account), held);
    (void)ebb__ledger_reclaim(NULL, SIZE_MAX, EBB_URGENCY_LAST, NOBODY_WAITS);
    EXPECT_EQ(kept(region), 0);
    EXPECT_EQ(ebb__ledger_exact(account), figures(region).held_bytes);
    ALL_OK(region);
    ebb__region_destroy(region);
    EXPECT_EQ(ebb__ledger_exact(account), 0);
}

/* A list whose lock is held has nothing, and nobody waits for it. */
static void a_list_in_use_is_passed_over(void)
{
    struct ebb_region *region = ebb__region_create(NULL);
    keep(region, 4);
    for (unsigned i = 0; i < EBB_KEEP_LISTS; i++)
        atomic_store(&ebb__keep_lists[i].lock.state, 1);
    EXPECT_EQ(could_give(), 0);
    EXPECT_EQ(ebb__ledger_reclaim(NULL, SIZE_MAX, EBB_URGENCY_LAST, NOBODY_WAITS), 0);
    for (unsigned i = 0; i < EBB_KEEP_LISTS; i++)
        ebb__lock_reset(&ebb__keep_lists[i].lock);
    EXPECT(kept(region) != 0);
    EXPECT(ebb__ledger_reclaim(NULL, SIZE_MAX, EBB_URGENCY_LAST, NOBODY_WAITS) != 0);
}

/* ---- accounts ---- */

static void an_account_asks_its_own_regions(void)
{
    struct ebb_budget_account *user = made(&ebb__ledger_heap, "user"), *query = made(user, "query"),
                              *other = made(&ebb__ledger_heap, "other");
    struct ebb_region *of_user = charged_to(user), *of_query = charged_to(query),
                      *of_other = charged_to(other), *of_nobody = ebb__region_create(NULL);
    keep(of_user, 1);
    keep(of_query, 2);
    keep(of_other, 3);
    keep(of_nobody, 1);
    size_t heap = heap_bytes(), held = kept(of_query);
    EXPECT_EQ(ebb__ledger_reclaim(query, SIZE_MAX, EBB_URGENCY_SOFT, NOBODY_WAITS), held);
    EXPECT(kept(of_query) == 0 && kept(of_user) != 0 && kept(of_other) != 0 && kept(of_nobody) != 0);
    EXPECT_EQ(heap_bytes(), heap); /* the account is smaller, and that was all */
    keep(of_query, 1);
    EXPECT_EQ(ebb__ledger_exact(user), figures(of_user).held_bytes + figures(of_query).held_bytes);
    held = kept(of_query) + kept(of_user);
    EXPECT_EQ(ebb__ledger_reclaim(user, SIZE_MAX, EBB_URGENCY_SOFT, NOBODY_WAITS), held);
    EXPECT(kept(of_other) != 0 && kept(of_nobody) != 0);
    EXPECT_EQ(ebb__ledger_exact(user), figures(of_user).held_bytes + figures(of_query).held_bytes);
    EXPECT_EQ(ebb__ledger_exact(query), figures(of_query).held_bytes);
    ALL_OK(of_query);
}

/* At its account's limit one region gets what another one keeps, and what it keeps itself. */
static void a_limit_of_an_account(void)
{
    struct ebb_budget_account *account = made(&ebb__ledger_heap, "a");
    struct ebb_region *idle = charged_to(account), *busy = charged_to(account);
    (void)ebb__ledger_limit(account, EBB_BUDGET_HARD, (int64_t)EBB_MIB(8));
    keep(idle, 4);
    fill(busy, EBB_MIB(5));
    EXPECT_EQ(kept(idle), 0);
    EXPECT_EQ(ebb__ledger_exact(account), figures(idle).held_bytes + figures(busy).held_bytes);
    ebb__region_reset(busy, EBB_REGION_KEEP_ALL);
    EXPECT(kept(busy) >= EBB_MIB(5));
    EXPECT(ebb_region_alloc(busy, EBB_MIB(6)) != NULL); /* its owner is who charges */
    EXPECT_EQ(kept(busy), 0);
    EXPECT(ebb_region_alloc(busy, EBB_MIB(6)) == NULL);
    EXPECT_EQ(ebb__ledger_exact(account), figures(idle).held_bytes + figures(busy).held_bytes);
    ALL_OK(busy);
    ALL_OK(idle);
    ebb__region_destroy(busy);
    ebb__region_destroy(idle);
    EXPECT_EQ(ebb__ledger_exact(account), 0);
    expect_empty_heap();
}

/* ---- in the middle of an allocation ---- */

/* The heap is at a limit, and asks with none of its locks held: regions give, and the block is had. */
static void the_heap_is_at_its_limit(void)
{
    struct ebb_region *idle = ebb__region_create(NULL);
    keep(idle, 16);
    (void)ebb__ledger_limit(&ebb__ledger_process, EBB_BUDGET_HARD, (int64_t)(heap_bytes() + EBB_MIB(1)));
    void *block = ebb__heap_span_alloc(EBB_MIB(12), EBB_UNIT_BYTES, false);
    EXPECT(block != NULL && kept(idle) == 0);
    EXPECT(heap_bytes() <= (size_t)ebb__ledger_limit(&ebb__ledger_process, EBB_BUDGET_HARD, -1));
    EXPECT(ebb__heap_span_alloc(EBB_MIB(12), EBB_UNIT_BYTES, false) == NULL);
    ALL_OK(idle);
}

/* The same for the block of a region that keeps some itself: they become the block. */
static void a_region_is_at_the_heaps_limit(void)
{
    struct ebb_region *region = region_with((struct ebb_region_options){.max_block_bytes = EBB_MIB(16)});
    keep(region, 16);
    (void)ebb__ledger_limit(&ebb__ledger_process, EBB_BUDGET_HARD, (int64_t)(heap_bytes() + EBB_MIB(1)));
    EXPECT(ebb_region_alloc(region, EBB_MIB(17)) != NULL);
    EXPECT(heap_bytes() <= (size_t)ebb__ledger_limit(&ebb__ledger_process, EBB_BUDGET_HARD, -1));
    ALL_OK(region);
    ebb__region_destroy(region);
    expect_empty_heap();
}

/* Small blocks, which caches might take, go to the heap. */
static unsigned source_gave;

static void give_and_count(unsigned c, void *block)
{
    source_gave++;
    ebb__heap_give(c, &block, 1, "test");
}

static void nothing_goes_through_caches(void)
{
    struct ebb_region *region = region_with((struct ebb_region_options){.max_block_bytes = EBB_KIB(16)});
    ebb__region_source.give = give_and_count;
    keep(region, 1);
    size_t before = heap_bytes();
    size_t given = ebb__ledger_reclaim(NULL, SIZE_MAX, EBB_URGENCY_SOFT, NOBODY_WAITS);
    EXPECT_EQ(source_gave, 0);
    EXPECT_EQ(kept(region), 0);
    EXPECT_MSG(given >= EBB_KIB(900) && heap_bytes() == before - given, "%zu KiB", given >> 10);
    ALL_OK(region);
    ebb__region_destroy(region);
    expect_empty_heap();
}

/* ---- blocks in advance ---- */

/* For a piece of 100 bytes nobody is asked for the large block that the region would rather have. */
static void nobody_is_asked_for_blocks_in_advance(bool by_account)
{
    struct ebb_budget_account *above = NULL, *account = NULL;
    struct pool pool;
    EXPECT_EQ(ebb__ledger_create(NULL, "above", EBB_BUDGET_QUERY, &above), 0);
    EXPECT_EQ(ebb__ledger_create(above, "query", EBB_BUDGET_QUERY, &account), 0);
    pool_fill_below(&pool, above, EBB_MIB(64));
    struct ebb_region *region = region_with((struct ebb_region_options){
        .block_bytes = EBB_KIB(1), .account = by_account ? account : NULL, .max_block_bytes = EBB_MIB(1)});
    while (figures(region).held_bytes < EBB_MIB(4))
        (void)piece(region, 100);
    leave_room_in(by_account ? above : &ebb__ledger_process, EBB_KIB(300));
    for (size_t held = figures(region).held_bytes; figures(region).held_bytes < held + EBB_KIB(30);)
        (void)piece(region, 100);
    EXPECT_EQ(pool.asked, 0);
    EXPECT(figures(region).held_bytes < EBB_MIB(6));
    /* For what is asked for they are. */
    (void)piece(region, EBB_MIB(2));
    EXPECT_EQ(pool.asked, 1);
    ALL_OK(region);
    ebb__region_destroy(region);
    expect_empty_heap();
}

static void blocks_in_advance_and_the_heap(void)
{
    nobody_is_asked_for_blocks_in_advance(false);
}

static void blocks_in_advance_and_the_account(void)
{
    nobody_is_asked_for_blocks_in_advance(true);
}

/* ---- failure and fork ---- */

static size_t some(void *unused)
{
    (void)unused;
    return 0;
}

static size_t none(void *unused, size_t bytes, enum ebb_budget_urgency urgency, uint64_t deadline_ns)
{
    (void)unused;
    (void)bytes;
    (void)urgency;
    (void)deadline_ns;
    return 0;
}

static void no_slot_is_left(void)
{
    const struct ebb_budget_shrinker row = {
        .size_of_struct = sizeof(row), .name = "another", .estimate = some, .shrink = none};
    struct ebb_region *first = ebb__region_create(NULL), *second = ebb__region_create(NULL);
    int number = 0, last;
    while ((last = ebb__ledger_shrinker_add(&row)) > 0)
        number = last;
    EXPECT_EQ(last, -ENOSPC);
    keep(first, 1);
    EXPECT_EQ(could_give(), 0);
    EXPECT_EQ(ebb__ledger_shrinker_remove(number), 0);
    keep(second, 1);
    EXPECT_EQ(could_give(), kept(first) + kept(second));
    EXPECT(ebb__ledger_reclaim(NULL, SIZE_MAX, EBB_URGENCY_EARLY, NOBODY_WAITS) != 0);
    EXPECT(kept(first) == 0 && kept(second) == 0);
}

static void a_child_has_it(void)
{
    struct ebb_region *region = ebb__region_create(NULL);
    keep(region, 2);
    ebb__ledger_after_fork();
    ebb__region_after_fork();
    EXPECT_EQ(shrinkers(), 1);
    EXPECT_EQ(could_give(), 0); /* as decay: known when it next keeps something */
    fill(region, EBB_MIB(1));
    ebb__region_reset(region, EBB_REGION_KEEP_ALL);
    EXPECT_EQ(could_give(), kept(region));
    EXPECT_EQ(shrinkers(), 1);
    EXPECT(ebb__ledger_reclaim(NULL, SIZE_MAX, EBB_URGENCY_EARLY, NOBODY_WAITS) != 0);
    EXPECT_EQ(kept(region), 0);
    ALL_OK(region);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(blocks_in_advance_and_the_heap),
        CASE(blocks_in_advance_and_the_account),
        CASE(it_is_there_when_something_is_kept),
        CASE(the_kernel_gets_it),
        CASE(as_much_as_is_asked_for),
        CASE(the_longest_idle_first),
        CASE(it_ends_at_the_deadline),
        CASE(those_that_keep_for_themselves),
        CASE(a_minimum_is_kept_but_at_last),
        CASE(a_list_in_use_is_passed_over),
        CASE(an_account_asks_its_own_regions),
        CASE(a_limit_of_an_account),
        CASE(the_heap_is_at_its_limit),
        CASE(a_region_is_at_the_heaps_limit),
        CASE(nothing_goes_through_caches),
        CASE(no_slot_is_left),
        CASE(a_child_has_it),
    };
    unwatched();
    small_reservations();
    return RUN_CASES(cases);
}
