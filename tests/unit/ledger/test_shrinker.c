/* SPDX-License-Identifier: MIT
 * Shrinkers over the real kernel: order, shares, refusals, delays, deadlines, recursion, and leaving. */
#include "ledger_test.h"

#include <pthread.h>

#define MS UINT64_C(1000000)

static void cheapest_first_and_no_more_than_needed(void)
{
    struct ebb_budget_account *pool = made(NULL, "pool");
    struct giver dear, cheap, middle;
    give_from(&dear, pool, 1000, 300);
    give_from(&cheap, pool, 1000, 0);
    give_from(&middle, pool, 1000, 100);
    EXPECT_EQ(ebb__ledger_reclaim(NULL, 1500, EBB_URGENCY_EARLY, 0), 1500);
    EXPECT(cheap.order < middle.order);
    EXPECT_EQ(cheap.asked_for, 1000);
    EXPECT_EQ(middle.asked_for, 500);
    EXPECT_EQ(dear.asked, 0);
    EXPECT_EQ(ebb__ledger_shrinker_price(dear.number, 50), 300);
    EXPECT_EQ(ebb__ledger_shrinker_price(dear.number, -1), 50);
    EXPECT_EQ(ebb__ledger_reclaim(pool, 1200, EBB_URGENCY_EARLY, 0), 1200);
    EXPECT_EQ(cheap.asked, 1); /* its estimate is 0 */
    EXPECT(dear.order < middle.order);
    EXPECT_EQ(dear.has, 0);
    EXPECT_EQ(middle.has, 300);
    EXPECT_EQ(ebb__ledger_reclaim(pool, 1200, EBB_URGENCY_EARLY, 0), 300);
    EXPECT_EQ(ebb__ledger_reclaim(pool, 1200, EBB_URGENCY_EARLY, 0), 0);
    EXPECT_EQ(whole().reclaimed_bytes, 3000);
    EXPECT_EQ(ebb__ledger_used(pool), 0);
    EXPECT_WHOLE();
}

static void classes_decide_between_equals(void)
{
    static const enum ebb_budget_class classes[] = {EBB_BUDGET_ESSENTIAL, EBB_BUDGET_QUERY, EBB_BUDGET_SLACK,
                                                    EBB_BUDGET_CACHE};
    struct ebb_budget_account *accounts[4];
    struct giver givers[4];
    for (unsigned i = 0; i < 4; i++) {
        EXPECT_EQ(ebb__ledger_create(NULL, "a", classes[i], &accounts[i]), 0);
        give_from(&givers[i], accounts[i], 100, 7);
    }
    EXPECT_EQ(ebb__ledger_reclaim(NULL, 1000, EBB_URGENCY_SOFT, 0), 300); /* not the essential */
    EXPECT(givers[2].order < givers[3].order && givers[3].order < givers[1].order);
    EXPECT_EQ(givers[0].asked, 0);
    EXPECT_EQ(ebb__ledger_reclaim(NULL, 1000, EBB_URGENCY_HARD, 0), 100);
}

static void a_limit_asks_only_what_is_below_it(void)
{
    struct ebb_budget_account *left = made(NULL, "left"), *right = made(NULL, "right"),
                              *part = made(left, "part");
    struct ebb_budget_account *region = made(&ebb__ledger_heap, "region");
    struct giver of_right, of_part, of_region;
    give_from(&of_right, right, 1000, 0);
    give_from(&of_part, part, 1000, 9);
    give_from(&of_region, region, 1000, 1);
    limited(left, EBB_BUDGET_HARD, 1500);
    EXPECT_EQ(ebb__ledger_charge(left, 600), 0);
    EXPECT_EQ(of_right.asked + of_region.asked, 0);
    EXPECT_EQ(of_part.asked, 1);
    EXPECT_EQ(of_part.asked_for, 125); /* 100 are missing, and a quarter more */
    EXPECT_EQ(of_part.urgency, EBB_URGENCY_HARD);
    EXPECT_EQ(stats_of(left).reclaimed_bytes, 125);
    EXPECT_EQ(ebb__ledger_reclaim(NULL, 5000, EBB_URGENCY_EARLY, 0),
              2875); /* what lies in the heap is below the process */
    EXPECT_WHOLE();
}

static void who_gives_a_part_is_asked_again(void)
{
    struct ebb_budget_account *pool = made(NULL, "pool");
    struct giver giver;
    give_from(&giver, pool, 1000, 1);
    giver.part = 40;
    limited(pool, EBB_BUDGET_HARD, 1000);
    EXPECT_EQ(ebb__ledger_charge(pool, 100), 0);
    EXPECT(giver.asked > 1 && giver.asked <= 8);
    EXPECT_EQ(stats_of(pool).hard_hits, 1);
    EXPECT_EQ(stats_of(pool).refusals, 0);
    giver.part = 0; /* refuses */
    EXPECT_EQ(ebb__ledger_charge(pool, 500), -ENOMEM);
    EXPECT_EQ(stats_of(pool).refusals, 1);
    EXPECT_WHOLE();
}

static void what_can_never_fit_costs_nobody_anything(void)
{
    struct ebb_budget_account *pool = made(NULL, "pool"), *query = made(NULL, "query");
    struct giver giver;
    give_from(&giver, pool, 900, 1);
    limited(&ebb__ledger_process, EBB_BUDGET_SOFT, 950);
    limited(&ebb__ledger_process, EBB_BUDGET_HARD, 1000);
    EXPECT_EQ(ebb__ledger_charge(query, 1001), -ENOMEM);
    EXPECT_EQ(ebb__ledger_charge_credit(query, 5000), -ENOMEM);
    EXPECT_EQ(ebb__ledger_reserve(query, 1001), -ENOMEM);
    EXPECT_EQ(ebb__ledger_heap_charge(1001), -ENOMEM);
    EXPECT_EQ(ebb__ledger_heap_charge(EBB_BUDGET_CHARGE_MAX), -ENOMEM);
    EXPECT_EQ(stats_of(&ebb__ledger_process).hard_hits, 5);
    EXPECT_EQ(stats_of(&ebb__ledger_process).refusals, 5);
    /* What is reserved counts in the sum, and a charge of it and more is as large. */
    EXPECT_EQ(ebb__ledger_reserve(query, 50), 0);
    EXPECT_EQ(ebb__ledger_charge(query, 1001), -ENOMEM);
    EXPECT_EQ(ebb__ledger_release(query, 50), 50);
    /* More than any sum is refused without a limit. */
    limited(&ebb__ledger_process, EBB_BUDGET_HARD, (size_t)EBB_BUDGET_UNLIMITED);
    EXPECT_EQ(ebb__ledger_charge(query, PTRDIFF_MAX), -ENOMEM);
    EXPECT_EQ(ebb__ledger_heap_charge((size_t)PTRDIFF_MAX - MIB(1)), -ENOMEM);
    EXPECT_EQ(giver.asked, 0);
    EXPECT_EQ(stats_of(&ebb__ledger_process).soft_hits, 0);
    EXPECT_EQ(ebb__ledger_used(query), 0);
    EXPECT_EQ(ebb__ledger_charge(query, 1000), 0); /* what may fit is another matter */
    EXPECT_EQ(giver.asked, 1);
    EXPECT_WHOLE();
}

/* ---- more than one level ---- */

static struct ebb_budget_account *upper, *lower, *beside;

static void make_two_levels(void)
{
    upper = made(NULL, "upper");
    lower = made(upper, "lower");
    beside = made(upper, "beside");
    limited(upper, EBB_BUDGET_HARD, 1000);
    limited(lower, EBB_BUDGET_HARD, 500);
}

static void each_level_counts_that_it_was_met(void)
{
    struct giver giver;
    make_two_levels();
    EXPECT_EQ(ebb__ledger_charge(beside, 600), 0);
    EXPECT_EQ(ebb__ledger_charge(lower, 150), 0);
    give_from(&giver, lower, 250, 1);
    /* The lower one is in the way, gives all it has, and then the upper one is. */
    EXPECT_EQ(ebb__ledger_charge(lower, 300), -ENOMEM);
    EXPECT_EQ(giver.has, 0);
    EXPECT_EQ(stats_of(lower).hard_hits, 1);
    EXPECT_EQ(stats_of(lower).refusals, 0);
    EXPECT_EQ(stats_of(upper).hard_hits, 1);
    EXPECT_EQ(stats_of(upper).refusals, 1);
    EXPECT_EQ(whole().hard_hits, 1);
    EXPECT_EQ(whole().refusals, 1);
    EXPECT_WHOLE();
}

static void move_it_beside(struct giver *giver)
{
    giver->inside = NULL;
    ebb__ledger_uncharge(lower, 300);
    EXPECT_EQ(ebb__ledger_charge(beside, 300), 0);
}

static void the_next_level_is_asked_although_one_gave_nothing(void)
{
    struct giver stubborn, generous;
    make_two_levels();
    EXPECT_EQ(ebb__ledger_charge(lower, 300), 0);
    give_from(&stubborn, lower, 100, 1);
    give_from(&generous, beside, 400, 2);
    stubborn.part = 0;
    stubborn.inside = move_it_beside; /* as if somebody else had done it meanwhile */
    EXPECT_EQ(ebb__ledger_charge(lower, 400), 0);
    EXPECT_EQ(generous.asked, 1);
    EXPECT_EQ(ebb__ledger_charge(lower, 1), -ENOMEM); /* nobody gives below it, which ends it */
    EXPECT_EQ(generous.asked, 1);
    EXPECT_WHOLE();
}

static void a_limit_that_rests_does_not_count(void)
{
    struct giver giver;
    upper = made(NULL, "upper");
    lower = made(upper, "lower");
    limited(lower, EBB_BUDGET_SOFT, 100);
    EXPECT_EQ(ebb__ledger_charge(lower, 200), 0); /* nobody gives: it rests */
    EXPECT_EQ(stats_of(lower).soft_hits, 1);
    give_from(&giver, upper, 200, 1);
    limited(upper, EBB_BUDGET_SOFT, 400);
    EXPECT_EQ(ebb__ledger_charge(lower, 100), 0);
    EXPECT_EQ(stats_of(upper).soft_hits, 1);
    EXPECT_EQ(stats_of(lower).soft_hits, 1);
    EXPECT_EQ(whole().soft_hits, 2);
    EXPECT_WHOLE();
}

/* ---- reservations ---- */

static int of_the_reserved;

static void draw_inside(struct giver *giver)
{
    giver->inside = NULL;
    of_the_reserved = ebb__ledger_charge(lower, 50);
}

static void what_is_reserved_is_there_while_another_asks_for_more(void)
{
    struct giver giver;
    upper = made(NULL, "upper");
    lower = made(upper, "lower");
    beside = made(upper, "beside");
    limited(upper, EBB_BUDGET_HARD, 1000);
    EXPECT_EQ(ebb__ledger_reserve(lower, 100), 0);
    give_from(&giver, beside, 900, 1);
    giver.inside = draw_inside;
    EXPECT_EQ(ebb__ledger_charge(lower, 200), 0); /* half of it is not reserved */
    EXPECT_EQ(of_the_reserved, 0);
    EXPECT_EQ(ebb__ledger_used(lower), 250);
    EXPECT_EQ(stats_of(lower).reserved_bytes, 0);
    EXPECT_WHOLE();
    /* The same when it is refused in the end: what is left stays reserved. */
    ebb__ledger_uncharge(lower, 250);
    limited(upper, EBB_BUDGET_HARD, ebb__ledger_used(upper) + 100);
    EXPECT_EQ(ebb__ledger_reserve(lower, 100), 0);
    giver.inside = draw_inside;
    giver.part = 0;
    of_the_reserved = 1;
    EXPECT_EQ(ebb__ledger_charge(lower, 200), -ENOMEM);
    EXPECT_EQ(of_the_reserved, 0);
    EXPECT_EQ(ebb__ledger_used(lower), 50);
    EXPECT_EQ(stats_of(lower).reserved_bytes, 50);
    EXPECT_EQ(ebb__ledger_charge(lower, 50), 0);
    EXPECT_WHOLE();
}

/* ---- many at a limit ---- */

#define CHARGERS     4u
#define CHARGE_TURNS (SUPPORT_TSAN || SUPPORT_ASAN ? 2000u : 20000u)

static struct ebb_budget_account *cache;
static _Atomic size_t cached;

static size_t cached_estimate(void *unused)
{
    (void)unused;
    return atomic_load(&cached);
}

static size_t cached_shrink(void *unused, size_t bytes, enum ebb_budget_urgency urgency, uint64_t deadline_ns)
{
    size_t have = atomic_load(&cached), part;
    (void)unused, (void)urgency, (void)deadline_ns;
    do {
        part = ebb__min(have, bytes);
    } while (!atomic_compare_exchange_weak(&cached, &have, have - part));
    ebb__ledger_uncharge(cache, part);
    return part;
}

static void *fill_the_cache(void *unused)
{
    for (unsigned i = 0; i < CHARGE_TURNS; i++) {
        size_t bytes = 1000 + i % 1000;
        EXPECT_EQ(i % 2 != 0 ? ebb__ledger_charge(cache, bytes) : ebb__ledger_charge_credit(cache, bytes), 0);
        atomic_fetch_add(&cached, bytes);
    }
    return unused;
}

/* Each meets the limit again and again while others do, and while others are inside the shrinker. There is always somebody who
 * gives, so nobody is refused. */
static void many_live_at_one_limit(void)
{
    pthread_t threads[CHARGERS];
    struct giver stubborn;
    cache = made(NULL, "cache");
    give_from(&stubborn, cache, 1, 1);
    stubborn.part = 0;
    const struct ebb_budget_shrinker shrinker = {sizeof(shrinker), cache,         "cache", 2,
                                                 cached_estimate,  cached_shrink, NULL};
    EXPECT(ebb__ledger_shrinker_add(&shrinker) > 0);
    limited(&ebb__ledger_process, EBB_BUDGET_HARD, MIB(1));
    for (unsigned i = 0; i < CHARGERS; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, fill_the_cache, NULL), 0);
    for (unsigned i = 0; i < CHARGERS; i++)
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
    EXPECT_EQ(ebb__ledger_exact(cache), atomic_load(&cached) + stubborn.has);
    EXPECT_EQ(whole().refusals, 0);
    EXPECT(whole().hard_hits > CHARGERS);
    EXPECT(stats_of(&ebb__ledger_process).peak_bytes <= MIB(1));
    EXPECT_WHOLE();
}

static void a_soft_limit_asks_and_rests_when_refused(void)
{
    struct ebb_budget_account *pool = made(NULL, "pool");
    struct giver giver;
    give_from(&giver, pool, 1000, 1);
    limited(pool, EBB_BUDGET_SOFT, 1000);
    EXPECT_EQ(ebb__ledger_charge(pool, 100), 0);
    EXPECT_EQ(giver.asked, 1);
    EXPECT_EQ(giver.urgency, EBB_URGENCY_SOFT);
    EXPECT_EQ(ebb__ledger_used(pool), 975);
    giver.part = 0;
    for (unsigned i = 0; i < 5; i++)
        EXPECT_EQ(ebb__ledger_charge(pool, 100), 0);
    EXPECT_EQ(giver.asked, 2);
    const struct timespec rest = {.tv_nsec = 120 * 1000000};
    (void)nanosleep(&rest, NULL);
    EXPECT_EQ(ebb__ledger_charge(pool, 100), 0);
    EXPECT_EQ(giver.asked, 3);
    EXPECT_WHOLE();
}

static void a_minimum_is_kept_but_at_last(void)
{
    struct ebb_budget_account *pool = made(NULL, "pool"), *part = made(pool, "part");
    struct giver giver;
    give_from(&giver, part, 1000, 1);
    limited(pool, EBB_BUDGET_MIN, 900);
    EXPECT_EQ(ebb__ledger_reclaim(NULL, 500, EBB_URGENCY_HARD, 0), 100);
    EXPECT_EQ(ebb__ledger_reclaim(NULL, 500, EBB_URGENCY_HARD, 0), 0);
    limited(part, EBB_BUDGET_MIN, 700);
    limited(pool, EBB_BUDGET_MIN, 0);
    EXPECT_EQ(ebb__ledger_reclaim(NULL, 500, EBB_URGENCY_SOFT, 0), 200);
    EXPECT_EQ(ebb__ledger_reclaim(NULL, 500, EBB_URGENCY_LAST, 0), 500);
}

/* ---- inside ---- */

static int from_inside[5];
static size_t reclaimed_inside;

static void charge_inside(struct giver *giver)
{
    giver->inside = NULL;
    giver->has += 10;
    from_inside[0] = ebb__ledger_charge(giver->account, 10); /* there is room for it */
    from_inside[1] = ebb__ledger_charge(giver->account, 100000);
    reclaimed_inside = ebb__ledger_reclaim(NULL, 1000, EBB_URGENCY_LAST, 0);
    from_inside[2] = ebb__ledger_shrinker_remove(giver->number);
}

static void nobody_is_asked_from_inside(void)
{
    struct ebb_budget_account *pool = made(NULL, "pool"), *other = made(pool, "other");
    struct giver giver, second;
    give_from(&giver, pool, 500, 1);
    give_from(&second, other, 400, 2);
    limited(pool, EBB_BUDGET_HARD, 1000);
    giver.inside = charge_inside;
    giver.part = 0;
    EXPECT_EQ(ebb__ledger_charge(pool, 300), 0);
    EXPECT_EQ(from_inside[0], 0);
    EXPECT_EQ(from_inside[1], -ENOMEM);
    EXPECT_EQ(reclaimed_inside, 0);
    EXPECT_EQ(from_inside[2], -EDEADLK);
    EXPECT_EQ(second.asked, 1);
    EXPECT_EQ(ebb__ledger_shrinker_remove(giver.number), 0);
    EXPECT_EQ(ebb__ledger_shrinker_remove(giver.number), -ENOENT);
    EXPECT_WHOLE();
}

static int inside_now, inside_most;

static void stay_long(struct giver *giver)
{
    const struct timespec nap = {.tv_nsec = 50 * 1000000};
    int now = __atomic_add_fetch(&inside_now, 1, __ATOMIC_SEQ_CST);
    (void)giver;
    if (now > __atomic_load_n(&inside_most, __ATOMIC_SEQ_CST))
        __atomic_store_n(&inside_most, now, __ATOMIC_SEQ_CST);
    (void)nanosleep(&nap, NULL);
    __atomic_sub_fetch(&inside_now, 1, __ATOMIC_SEQ_CST);
}

static void *reclaim_early(void *arg)
{
    (void)ebb__ledger_reclaim(arg, 100, EBB_URGENCY_EARLY, 0);
    return NULL;
}

static void *reclaim_hard(void *arg)
{
    (void)ebb__ledger_reclaim(arg, 100, EBB_URGENCY_HARD, ebb__os_now_ns() + 5000 * MS);
    return NULL;
}

static void wait_until_inside(void)
{
    const struct timespec nap = {.tv_nsec = 1000000};
    while (__atomic_load_n(&inside_now, __ATOMIC_SEQ_CST) == 0)
        (void)nanosleep(&nap, NULL);
}

static void a_busy_one_is_waited_for_when_it_matters(void)
{
    struct ebb_budget_account *pool = made(NULL, "pool");
    struct giver giver;
    pthread_t thread;
    give_from(&giver, pool, 10000, 1);
    giver.inside = stay_long;
    EXPECT_EQ(pthread_create(&thread, NULL, reclaim_early, pool), 0);
    wait_until_inside();
    EXPECT_EQ(ebb__ledger_reclaim(pool, 100, EBB_URGENCY_EARLY, ebb__os_now_ns() + 5000 * MS), 0);
    EXPECT_EQ(ebb__ledger_reclaim(pool, 100, EBB_URGENCY_LAST, ebb__os_now_ns() + 5000 * MS), 0);
    EXPECT_EQ(ebb__ledger_reclaim(pool, 100, EBB_URGENCY_HARD, ebb__os_now_ns() + 1 * MS), 0); /* too late */
    EXPECT(__atomic_load_n(&inside_now, __ATOMIC_SEQ_CST) == 1);
    EXPECT_EQ(ebb__ledger_reclaim(pool, 100, EBB_URGENCY_HARD, ebb__os_now_ns() + 5000 * MS), 100);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_EQ(giver.asked, 2);
    EXPECT_WHOLE();
}

static void never_two_inside(void)
{
    struct ebb_budget_account *pool = made(NULL, "pool");
    struct giver giver;
    pthread_t threads[6];
    give_from(&giver, pool, 100000, 1);
    giver.inside = stay_long;
    for (unsigned i = 0; i < 6; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, reclaim_hard, pool), 0);
    for (unsigned i = 0; i < 6; i++)
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
    EXPECT_EQ(inside_most, 1);
    EXPECT_EQ(giver.asked, 6);
    EXPECT_WHOLE();
}

static void removing_waits_until_it_is_left(void)
{
    struct ebb_budget_account *pool = made(NULL, "pool");
    struct giver giver;
    pthread_t thread;
    give_from(&giver, pool, 10000, 1);
    giver.inside = stay_long;
    EXPECT_EQ(pthread_create(&thread, NULL, reclaim_early, pool), 0);
    wait_until_inside();
    EXPECT_EQ(ebb__ledger_shrinker_remove(giver.number), 0);
    EXPECT_EQ(__atomic_load_n(&inside_now, __ATOMIC_SEQ_CST), 0);
    EXPECT_EQ(giver.has, 9900); /* it was left, with what it gave */
    EXPECT_EQ(whole().shrinkers, 0);
    EXPECT_EQ(ebb__ledger_reclaim(pool, 100, EBB_URGENCY_LAST, 0), 0);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_WHOLE();
}

static void a_deadline_ends_the_round(void)
{
    struct ebb_budget_account *pool = made(NULL, "pool");
    struct giver slow, next;
    give_from(&slow, pool, 1000, 1);
    give_from(&next, pool, 1000, 2);
    slow.inside = stay_long;
    uint64_t deadline_ns = ebb__os_now_ns() + 10 * MS;
    EXPECT_EQ(ebb__ledger_reclaim(pool, 1500, EBB_URGENCY_HARD, deadline_ns), 1000);
    EXPECT_EQ(slow.deadline_ns, deadline_ns);
    EXPECT_EQ(next.asked, 0);
    EXPECT_EQ(ebb__ledger_reclaim(pool, 1500, EBB_URGENCY_HARD, deadline_ns), 0);
    EXPECT_EQ(ebb__ledger_reclaim(pool, 1500, EBB_URGENCY_HARD, 0), 1000);
    EXPECT(next.deadline_ns == UINT64_MAX);
}

static void the_list_has_an_end(void)
{
    static struct giver givers[64];
    struct ebb_budget_account *pool = made(NULL, "pool");
    struct ebb_budget_shrinker wrong = {.size_of_struct = sizeof(wrong)}, one_more;
    EXPECT_EQ(ebb__ledger_shrinker_add(&wrong), -EINVAL);
    for (unsigned i = 0; i < 64; i++)
        give_from(&givers[i], pool, 10, i);
    one_more = (struct ebb_budget_shrinker){sizeof(one_more), pool,         "x",       1,
                                            giver_estimate,   giver_shrink, &givers[0]};
    EXPECT_EQ(ebb__ledger_shrinker_add(&one_more), -ENOSPC);
    one_more.size_of_struct = 8;
    EXPECT_EQ(ebb__ledger_shrinker_add(&one_more), -EINVAL);
    one_more.size_of_struct = sizeof(one_more);
    one_more.account = &ebb__ledger_untracked;
    EXPECT_EQ(ebb__ledger_shrinker_add(&one_more), -EINVAL);
    EXPECT_EQ(ebb__ledger_reclaim(NULL, 640, EBB_URGENCY_EARLY, 0), 640);
    for (unsigned i = 1; i < 64; i++)
        EXPECT_EQ(givers[i].order, givers[i - 1].order + 1);
    EXPECT_EQ(ebb__ledger_shrinker_remove(givers[5].number), 0);
    one_more.account = NULL;
    int number = ebb__ledger_shrinker_add(&one_more);
    EXPECT(number > 0 && number != givers[5].number); /* the same slot under another number */
    EXPECT_EQ(ebb__ledger_shrinker_remove(givers[5].number), -ENOENT);
    EXPECT_EQ(ebb__ledger_shrinker_price(givers[5].number, 1), -ENOENT);
    EXPECT_EQ(ebb__ledger_shrinker_price(number, (int64_t)UINT32_MAX + 1), -EINVAL);
    EXPECT_EQ(ebb__ledger_shrinker_remove(0), -ENOENT);
    EXPECT_EQ(ebb__ledger_shrinker_remove(-5), -ENOENT);
    EXPECT_EQ(whole().shrinkers, 64);
    EXPECT_WHOLE();
}

/* ---- one for many accounts ---- */

/* Holds bytes of three accounts. */
static struct ebb_budget_account *many[3];
static size_t many_have[3];
static const struct ebb_budget_account *many_asked;

static bool many_can(unsigned i, const void *account)
{
    return account == &ebb__ledger_heap || account == &ebb__ledger_process ||
           ebb__ledger_is_below(many[i], account);
}

static size_t many_estimate(void *account)
{
    size_t sum = 0;
    for (unsigned i = 0; i < 3; i++)
        sum += many_can(i, account) ? many_have[i] : 0;
    return sum;
}

static size_t many_shrink(void *account, size_t bytes, enum ebb_budget_urgency urgency, uint64_t deadline_ns)
{
    size_t sum = 0;
    (void)urgency;
    (void)deadline_ns;
    many_asked = account;
    for (unsigned i = 0; i < 3 && sum < bytes; i++) {
        size_t part = ebb__min(many_can(i, account) ? many_have[i] : 0, bytes - sum);
        many_have[i] -= part;
        sum += part;
        ebb__ledger_uncharge(many[i], part);
    }
    return sum;
}

static void one_may_hold_for_many_accounts(void)
{
    const struct ebb_budget_shrinker row = {.size_of_struct = sizeof(row),
                                            .account = &ebb__ledger_heap,
                                            .name = "many",
                                            .price = 100,
                                            .estimate = many_estimate,
                                            .shrink = many_shrink};
    struct ebb_budget_account *aside = made(NULL, "beside");
    many[0] = made(&ebb__ledger_heap, "user");
    many[1] = made(many[0], "statement");
    many[2] = made(&ebb__ledger_heap, "other");
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(ebb__ledger_charge(many[i], 1000), 0);
        many_have[i] = 1000;
    }
    int number = ebb__ledger_shrinker_add_wide(&row);
    EXPECT(number > 0);
    EXPECT_EQ(ebb__ledger_reclaim(aside, 10, EBB_URGENCY_LAST, 0), 0); /* it is not below the heap */
    EXPECT_EQ(ebb__ledger_reclaim(many[1], 5000, EBB_URGENCY_EARLY, 0), 1000);
    EXPECT(many_asked == many[1] && many_have[0] == 1000 && many_have[2] == 1000);

    limited(many[0], EBB_BUDGET_MIN, 400); /* of the account that is asked for, not of the shrinker's */
    EXPECT_EQ(ebb__ledger_reclaim(many[0], 5000, EBB_URGENCY_HARD, 0), 600);
    EXPECT_EQ(ebb__ledger_reclaim(many[0], 5000, EBB_URGENCY_LAST, 0), 400);
    limited(many[2], EBB_BUDGET_HARD, 1200);
    EXPECT_EQ(ebb__ledger_charge(many[2], 700), 0);
    EXPECT(many_asked == many[2] && many_have[2] <= 500);
    size_t left = many_have[2];
    EXPECT_EQ(ebb__ledger_reclaim(NULL, 5000, EBB_URGENCY_EARLY, 0), left);
    EXPECT(many_asked == &ebb__ledger_process);
    EXPECT_EQ(ebb__ledger_shrinker_remove(number), 0);
    EXPECT_WHOLE();
}

/* ---- the look point ---- */

static size_t looks, looked_for, still_missing;

static size_t look_and_move(size_t bytes, bool may_give)
{
    looks++;
    looked_for = bytes;
    if (!may_give && still_missing != 0)
        return still_missing;
    (void)ebb__ledger_look_point((int64_t)(ebb__ledger_taken(&ebb__ledger_process) + bytes + KIB(10)));
    return still_missing;
}

/* Who would pass it looks, and nobody is asked for more than what is missing after that. It is no limit: it refuses nobody, it
 * does not rest, and a soft limit beside it stays. */
static void the_look_point(void)
{
    struct giver cheap, dear;
    struct ebb_budget_account *pool = made(NULL, "pool"), *small = made(&ebb__ledger_heap, "in the heap");
    give_from(&cheap, pool, KIB(100), 1);
    give_from(&dear, pool, KIB(100), 2);
    ebb__ledger_look = look_and_move;
    limited(&ebb__ledger_process, EBB_BUDGET_SOFT, MIB(10));
    EXPECT_EQ(ebb__ledger_look_point((int64_t)KIB(210)), EBB_BUDGET_UNLIMITED);
    EXPECT_EQ(ebb__ledger_charge(pool, KIB(8)), 0);
    EXPECT_EQ(looks, 0);
    EXPECT_EQ(ebb__ledger_charge(pool, KIB(8)), 0);
    EXPECT(looks == 1 && looked_for == KIB(8) && cheap.asked == 0 && dear.asked == 0);
    EXPECT_EQ(ebb__ledger_charge(pool, KIB(10)), 0); /* as far as the point was moved, nobody looks */
    EXPECT_EQ(looks, 1);

    still_missing = KIB(3);
    EXPECT_EQ(ebb__ledger_charge(pool, KIB(20)), 0);
    EXPECT(looks == 2 && cheap.asked == 1 && cheap.asked_for == KIB(3) && dear.asked == 0);
    for (size_t i = 3; i < 10; i++) { /* each time, also when nobody has anything left */
        cheap.has = dear.has = 0;
        EXPECT_EQ(ebb__ledger_charge(pool, KIB(40)), 0);
        EXPECT_EQ(looks, i);
    }
    cheap.has = dear.has = KIB(50);
    ebb__ledger_looker = cheap.number; /* who has looked has given what he could */
    unsigned cheap_asked = cheap.asked, dear_asked = dear.asked;
    EXPECT_EQ(ebb__ledger_charge(pool, KIB(40)), 0);
    EXPECT(looks == 10 && cheap.asked == cheap_asked && dear.asked == dear_asked + 1);
    /* What can be done without is had when a look finds room for it, and asks nobody when it does not. */
    unsigned before = cheap.asked + dear.asked;
    EXPECT_EQ(ebb__ledger_heap_charge_if_room(KIB(40)), -ENOMEM);
    still_missing = 0;
    EXPECT_EQ(ebb__ledger_heap_charge_if_room(KIB(40)), 0);
    EXPECT(looks == 12 && cheap.asked + dear.asked == before);
    limited(&ebb__ledger_process, EBB_BUDGET_HARD,
            (int64_t)ebb__ledger_taken(&ebb__ledger_process) + (int64_t)KIB(8));
    EXPECT_EQ(ebb__ledger_heap_charge_if_room(KIB(40)), -ENOMEM);
    EXPECT_EQ(cheap.asked + dear.asked, before);
    EXPECT_EQ(ebb__ledger_limit(&ebb__ledger_process, EBB_BUDGET_SOFT, -1), (int64_t)MIB(10));
    looks = 0;
    EXPECT_EQ(ebb__ledger_charge(small, MIB(5)), 0); /* is not the process's */
    EXPECT_EQ(looks, 0);
    EXPECT_WHOLE();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(cheapest_first_and_no_more_than_needed),
        CASE(classes_decide_between_equals),
        CASE(a_limit_asks_only_what_is_below_it),
        CASE(who_gives_a_part_is_asked_again),
        CASE(what_can_never_fit_costs_nobody_anything),
        CASE(each_level_counts_that_it_was_met),
        CASE(the_next_level_is_asked_although_one_gave_nothing),
        CASE(a_limit_that_rests_does_not_count),
        CASE(what_is_reserved_is_there_while_another_asks_for_more),
        CASE(many_live_at_one_limit),
        CASE(a_soft_limit_asks_and_rests_when_refused),
        CASE(a_minimum_is_kept_but_at_last),
        CASE(nobody_is_asked_from_inside),
        CASE(a_busy_one_is_waited_for_when_it_matters),
        CASE(never_two_inside),
        CASE(removing_waits_until_it_is_left),
        CASE(a_deadline_ends_the_round),
        CASE(the_list_has_an_end),
        CASE(one_may_hold_for_many_accounts),
        CASE(the_look_point),
    };
    return RUN_CASES(cases);
}
