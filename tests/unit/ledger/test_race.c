/* SPDX-License-Identifier: MIT
 * Instants that random operations seldom meet: many threads at one limit, and the heap's room taken while others find it negative. */
#include "ledger_test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define THREADS 6u
#define TURNS   (SUPPORT_TSAN || SUPPORT_ASAN ? 20000u : 1000000u)
#define PART    600u
#define LIMIT   1000u

static struct ebb_budget_account *account;
static _Atomic bool stop;
static _Atomic unsigned holders, refused, had;

static pthread_barrier_t all_there;
static void (*turns)(void);

static void *begin_together(void *unused)
{
    (void)pthread_barrier_wait(&all_there);
    turns();
    return unused;
}

static void run_all(void (*fn)(void))
{
    pthread_t threads[THREADS];
    turns = fn;
    EXPECT_EQ(pthread_barrier_init(&all_there, NULL, THREADS), 0);
    for (unsigned i = 0; i < THREADS; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, begin_together, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
}

/* Two parts are more than the limit: whoever has one is alone. */
static void take_a_part(void)
{
    for (unsigned i = 0; i < TURNS; i++) {
        if (ebb__ledger_charge_try(account, PART) != 0) {
            atomic_fetch_add(&refused, 1);
            continue;
        }
        EXPECT_EQ(atomic_fetch_add(&holders, 1), 0);
        atomic_fetch_add(&had, 1);
        if (i % 16 == 0) /* so that threads meet on a machine that runs one at a time */
            (void)sched_yield();
        atomic_fetch_sub(&holders, 1);
        ebb__ledger_uncharge(account, PART);
    }
}

static void one_limit_for_all(struct ebb_budget_account *limited_one)
{
    limited(limited_one, EBB_BUDGET_HARD, LIMIT);
    run_all(take_a_part);
    EXPECT_EQ(stats_of(limited_one).peak_bytes, PART); /* the highest that ever was, whoever looked */
    EXPECT(had != 0 && refused != 0);
    EXPECT_EQ(ebb__ledger_used(&ebb__ledger_process), 0);
    EXPECT_WHOLE();
}

static void a_limit_is_not_passed_for_an_instant(void)
{
    account = made(NULL, "a");
    one_limit_for_all(account);
}

static void nor_is_one_above(void)
{
    struct ebb_budget_account *above = made(NULL, "above");
    account = made(above, "a");
    one_limit_for_all(above);
}

static void use_the_heap(void)
{
    for (unsigned i = 0; i < TURNS; i++)
        if (ebb__ledger_heap_charge(KIB(200)) == 0)
            ebb__ledger_heap_uncharge(KIB(200));
}

static void *take_the_room(void *unused)
{
    while (!atomic_load(&stop))
        (void)ebb__ledger_recall();
    return unused;
}

static void room_that_is_taken_meanwhile_is_not_lost(void)
{
    pthread_t taker;
    EXPECT_EQ(pthread_create(&taker, NULL, take_the_room, NULL), 0);
    run_all(use_the_heap);
    atomic_store(&stop, true);
    EXPECT_EQ(pthread_join(taker, NULL), 0);
    EXPECT_EQ(ebb__ledger_exact(&ebb__ledger_heap), 0);
    EXPECT_EQ(ebb__ledger_exact(&ebb__ledger_process), 0);
    EXPECT_WHOLE();
}

static void use_a_credit(void)
{
    for (unsigned i = 0; i < TURNS; i++)
        if (ebb__ledger_charge_credit(account, 500) == 0)
            ebb__ledger_uncharge_credit(account, 500);
}

static void credits_that_are_taken_meanwhile_are_not_lost(void)
{
    pthread_t taker;
    account = made(NULL, "a");
    EXPECT_EQ(pthread_create(&taker, NULL, take_the_room, NULL), 0);
    run_all(use_a_credit);
    atomic_store(&stop, true);
    EXPECT_EQ(pthread_join(taker, NULL), 0);
    EXPECT_EQ(ebb__ledger_exact(account), 0);
    EXPECT_EQ(ebb__ledger_used(account), 0); /* and nobody has any left */
    EXPECT_WHOLE();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(a_limit_is_not_passed_for_an_instant),
        CASE(nor_is_one_above),
        CASE(room_that_is_taken_meanwhile_is_not_lost),
        CASE(credits_that_are_taken_meanwhile_are_not_lost),
    };
    return RUN_CASES(cases);
}
