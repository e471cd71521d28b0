/* SPDX-License-Identifier: MIT
 * Credits of threads, over the real kernel: what a thread holds, what others see of it, recall, ends of threads. */
#include "ledger_test.h"

#include <pthread.h>
#include <semaphore.h>

static size_t unspent_of(const struct ebb_budget_account *account)
{
    return stats_of(account).unspent_bytes;
}

static void a_grant_grows(void)
{
    struct ebb_budget_account *account = made(NULL, "a");
    size_t sum = 0, grants[6], taken = 0;
    unsigned count = 0;
    while (count < 6) {
        EXPECT_EQ(ebb__ledger_charge_credit(account, 1000), 0);
        sum += 1000;
        EXPECT_EQ(ebb__ledger_exact(account), sum);
        EXPECT_EQ(ebb__ledger_exact(&ebb__ledger_process), sum);
        if (ebb__ledger_used(account) != taken) {
            grants[count++] = ebb__ledger_used(account) - taken;
            taken = ebb__ledger_used(account);
        }
    }
    EXPECT_EQ(grants[0], KIB(64));
    EXPECT_EQ(grants[1], KIB(128));
    EXPECT_EQ(grants[2], KIB(256));
    EXPECT_EQ(grants[5], KIB(256));
    EXPECT_EQ(unspent_of(account), taken - sum);
    EXPECT_WHOLE();
    ebb__ledger_thread_flush();
    EXPECT_EQ(ebb__ledger_used(account), sum);
    EXPECT_EQ(unspent_of(account), 0);
    ebb__ledger_uncharge(account, sum); /* both ways may be mixed */
    EXPECT_EQ(ebb__ledger_destroy(account), 0);
    EXPECT_WHOLE();
}

static void what_is_put_back_is_bounded(void)
{
    struct ebb_budget_account *account = made(NULL, "a");
    EXPECT_EQ(ebb__ledger_charge(account, MIB(4)), 0);
    for (unsigned i = 0; i < 4096; i++) {
        ebb__ledger_uncharge_credit(account, 1024);
        EXPECT_EQ(ebb__ledger_exact(account), MIB(4) - (i + 1) * 1024);
        EXPECT(unspent_of(account) <= LEDGER_CREDIT_MAX);
    }
    EXPECT(ebb__ledger_used(account) <= LEDGER_CREDIT_MAX);
    EXPECT_EQ(ebb__ledger_charge_credit(account, MIB(2)), 0); /* large ones pass the slot by */
    ebb__ledger_uncharge_credit(account, MIB(2));
    EXPECT_EQ(ebb__ledger_exact(account), 0);
    EXPECT_EQ(ebb__ledger_destroy(account), 0); /* what is unspent does not count */
    EXPECT_WHOLE();
}

static void the_ninth_account_takes_the_oldest_slot(void)
{
    struct ebb_budget_account *accounts[LEDGER_SLOTS + 1];
    for (unsigned i = 0; i <= LEDGER_SLOTS; i++)
        accounts[i] = made(NULL, "a");
    for (unsigned i = 0; i < LEDGER_SLOTS; i++)
        EXPECT_EQ(ebb__ledger_charge_credit(accounts[i], 100), 0);
    for (unsigned i = 0; i < LEDGER_SLOTS; i++)
        EXPECT_EQ(unspent_of(accounts[i]), KIB(64) - 100);
    EXPECT_EQ(ebb__ledger_charge_credit(accounts[0], 100), 0); /* now the second is the oldest */
    EXPECT_EQ(ebb__ledger_charge_credit(accounts[LEDGER_SLOTS], 100), 0);
    EXPECT_EQ(unspent_of(accounts[0]), KIB(64) - 200);
    EXPECT_EQ(unspent_of(accounts[1]), 0);
    EXPECT_EQ(ebb__ledger_used(accounts[1]), 100);
    for (unsigned i = 2; i <= LEDGER_SLOTS; i++)
        EXPECT_EQ(unspent_of(accounts[i]), KIB(64) - 100);
    ebb__ledger_uncharge_credit(accounts[1], 100);
    EXPECT_EQ(unspent_of(accounts[2]), 0);
    EXPECT_EQ(ebb__ledger_exact(accounts[1]), 0);
    EXPECT_WHOLE();
}

static void close_to_a_limit_there_are_none(void)
{
    struct ebb_budget_account *account = made(NULL, "a"), *below = made(account, "below");
    limited(account, EBB_BUDGET_HARD, KIB(64));
    EXPECT_EQ(ebb__ledger_charge_credit(below, 1000), 0);
    EXPECT(ebb__ledger_used(below) <= 1000 + KIB(64) / 32);
    size_t sum = 1000;
    while (ebb__ledger_charge_credit(below, 1000) == 0)
        sum += 1000;
    EXPECT_EQ(sum, KIB(64) / 1000 * 1000);
    EXPECT_EQ(ebb__ledger_exact(account), sum);
    EXPECT_EQ(ebb__ledger_charge_credit(below, KIB(64) - sum), 0);
    EXPECT_EQ(ebb__ledger_charge_credit(below, 1), -ENOMEM);
    EXPECT_WHOLE();
}

/* ---- several threads ---- */

static struct ebb_budget_account *shared;
static sem_t holds, may_go;

static void *hold_a_credit(void *arg)
{
    EXPECT_EQ(ebb__ledger_charge_credit(shared, 1000), 0);
    (void)sem_post(&holds);
    while (sem_wait(&may_go) != 0)
        ;
    if (arg != NULL) /* spends what was recalled meanwhile */
        EXPECT_EQ(ebb__ledger_charge_credit(shared, 500), 0);
    return NULL;
}

static void start(pthread_t *threads, unsigned count, void *arg)
{
    EXPECT(sem_init(&holds, 0, 0) == 0 && sem_init(&may_go, 0, 0) == 0);
    for (unsigned i = 0; i < count; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, hold_a_credit, arg), 0);
    for (unsigned i = 0; i < count; i++)
        while (sem_wait(&holds) != 0)
            ;
}

static void finish(pthread_t *threads, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        (void)sem_post(&may_go);
    for (unsigned i = 0; i < count; i++)
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
}

static void others_credits_are_seen_and_recalled(void)
{
    pthread_t threads[20];
    shared = made(NULL, "shared");
    start(threads, 20, shared);
    EXPECT_EQ(ebb__ledger_used(shared), 20 * KIB(64));
    EXPECT_EQ(ebb__ledger_exact(shared), 20000);
    EXPECT_EQ(whole().credit_threads, 20);
    EXPECT_EQ(whole().unspent_bytes, 20 * KIB(64) - 20000);
    limited(shared, EBB_BUDGET_HARD, 20 * KIB(64));
    EXPECT_EQ(ebb__ledger_charge(shared, 20 * KIB(64) - 20000), 0); /* all that is not spent */
    EXPECT_EQ(ebb__ledger_charge(shared, 1), -ENOMEM);
    EXPECT_EQ(unspent_of(shared), 0);
    EXPECT_WHOLE();
    ebb__ledger_uncharge(shared, 20 * KIB(64) - 20000);
    finish(threads, 20);
    EXPECT_EQ(whole().credit_threads, 0);
    EXPECT_EQ(ebb__ledger_used(shared), 30000);
    EXPECT_WHOLE();
}

static void a_limit_that_is_lowered_recalls(void)
{
    pthread_t threads[3];
    shared = made(NULL, "shared");
    start(threads, 3, NULL);
    limited(&ebb__ledger_process, EBB_BUDGET_SOFT, 5000);
    EXPECT_EQ(ebb__ledger_used(shared), 3000);
    finish(threads, 3);
    EXPECT_WHOLE();
}

static void threads_that_end_leave_nothing(void)
{
    shared = made(NULL, "shared");
    for (unsigned i = 0; i < 300; i++) {
        pthread_t thread;
        start(&thread, 1, NULL);
        finish(&thread, 1);
        EXPECT_EQ(ebb__ledger_used(shared), (i + 1) * 1000);
    }
    EXPECT_EQ(whole().credit_threads, 0);
    EXPECT_EQ(whole().committed_bytes, KIB(128)); /* one block after the other is the same one */
    EXPECT_WHOLE();
}

static int refuse_to_arm(void)
{
    return -ENOTSUP;
}

static int not_yet(void)
{
    return -EAGAIN;
}

static void without_an_end_there_are_no_credits(void)
{
    struct ebb_budget_account *account = made(NULL, "a");
    ebb__ledger_arm_end = not_yet;
    EXPECT_EQ(ebb__ledger_charge_credit(account, 100), 0);
    EXPECT_EQ(ebb__ledger_used(account), 100);
    EXPECT_EQ(whole().credit_threads, 0);
    ebb__ledger_arm_end = NULL;
    EXPECT_EQ(ebb__ledger_charge_credit(account, 100), 0);
    EXPECT_EQ(whole().credit_threads, 1); /* later is not too late */
    ebb__ledger_thread_end();
    EXPECT_EQ(ebb__ledger_used(account), 200);
    EXPECT_EQ(ebb__ledger_charge_credit(account, 100), 0);
    ebb__ledger_uncharge_credit(account, 50);
    EXPECT_EQ(ebb__ledger_used(account), 250);
    ebb__ledger_thread_end();
    EXPECT_EQ(whole().credit_threads, 0);
    EXPECT_WHOLE();
}

static void *one_without_an_end(void *account)
{
    EXPECT_EQ(ebb__ledger_charge_credit(account, 100), 0);
    EXPECT_EQ(ebb__ledger_used(account), 100);
    return NULL;
}

static void no_key_no_credits(void)
{
    pthread_t thread;
    struct ebb_budget_account *account = made(NULL, "a");
    ebb__ledger_arm_end = refuse_to_arm;
    EXPECT_EQ(pthread_create(&thread, NULL, one_without_an_end, account), 0);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_EQ(whole().credit_threads, 0);
    EXPECT_WHOLE();
}

/* ---- nobody is refused without need ---- */

#define SHARERS      8
#define SHARED_BYTES KIB(768)
#define SHARE_TURNS  (SUPPORT_TSAN || SUPPORT_ASAN ? 3000 : 20000)

static struct ebb_budget_account *shared_above;

static _Atomic size_t claimed;

static bool claim(size_t bytes)
{
    size_t have = atomic_load(&claimed);
    do {
        if (have + bytes > SHARED_BYTES)
            return false;
    } while (!atomic_compare_exchange_weak(&claimed, &have, have + bytes));
    return true;
}

/* What it charges it has claimed before, and all claims together are at most the limit. So all live close to the limit, and what one
 * has not spent another one needs. */
static void *charge_what_is_claimed(void *arg)
{
    struct support_rng rng = {(uintptr_t)arg};
    size_t held = 0;
    for (unsigned i = 0; i < SHARE_TURNS; i++) {
        size_t n = support_next(&rng) % KIB(16) + 1;
        if (claim(n)) {
            EXPECT_EQ(ebb__ledger_charge_credit(shared, n), 0);
            held += n;
        } else {
            n = support_next(&rng) % 8 == 0 ? held : ebb__min(held, n);
            ebb__ledger_uncharge_credit(shared, n);
            held -= n;
            (void)atomic_fetch_sub(&claimed, n);
        }
    }
    ebb__ledger_uncharge_credit(shared, held);
    (void)atomic_fetch_sub(&claimed, held);
    return NULL;
}

static void nobody_is_refused_without_need(void)
{
    pthread_t threads[SHARERS];
    shared_above = made(NULL, "above");
    shared = made(shared_above, "shared");
    limited(shared_above, EBB_BUDGET_HARD, SHARED_BYTES);
    for (uintptr_t i = 0; i < SHARERS; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, charge_what_is_claimed, (void *)(i + 1)),
                  0); // NOLINT(performance-no-int-to-ptr): a seed
    for (unsigned i = 0; i < SHARERS; i++)
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
    EXPECT_EQ(ebb__ledger_used(shared), 0);
    EXPECT_MSG(whole().recalls > SHARERS, "%" PRIu64 " recalls", whole().recalls);
    EXPECT_EQ(whole().refusals, 0);
    EXPECT(stats_of(shared_above).peak_bytes <= SHARED_BYTES);
    EXPECT_WHOLE();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(a_grant_grows),
        CASE(what_is_put_back_is_bounded),
        CASE(the_ninth_account_takes_the_oldest_slot),
        CASE(close_to_a_limit_there_are_none),
        CASE(others_credits_are_seen_and_recalled),
        CASE(a_limit_that_is_lowered_recalls),
        CASE(threads_that_end_leave_nothing),
        CASE(without_an_end_there_are_no_credits),
        CASE(no_key_no_credits),
        CASE(nobody_is_refused_without_need),
    };
    return RUN_CASES(cases);
}
