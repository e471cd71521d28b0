/* SPDX-License-Identifier: MIT
 * Fork while other threads charge, make accounts, set limits, and are inside shrinkers: the child's ledger is whole, and its own. */
#include "ledger_test.h"

#include <pthread.h>
#include <stdatomic.h>

#define FORKS     (SUPPORT_TSAN || SUPPORT_ASAN ? 60u : 400u)
#define BUSY_ONES 6u

static struct ebb_budget_account *pool, *part, *moved;
static _Atomic bool stop;

static size_t always(void *unused)
{
    (void)unused;
    return 100;
}

static size_t never(void *unused, size_t bytes, enum ebb_budget_urgency urgency, uint64_t deadline_ns)
{
    (void)unused, (void)bytes, (void)urgency, (void)deadline_ns;
    return 0;
}

static void *be_busy(void *arg)
{
    struct support_rng rng = {(uintptr_t)arg};
    while (!atomic_load(&stop)) {
        size_t bytes = support_below(&rng, KIB(20)) + 1;
        struct ebb_budget_account *account = support_next(&rng) % 2 != 0 ? part : pool, *short_one;
        if (ebb__ledger_charge_credit(account, bytes) == 0)
            ebb__ledger_uncharge_credit(account, bytes);
        if (ebb__ledger_charge(account, bytes) == 0)
            ebb__ledger_uncharge(account, bytes);
        if (ebb__ledger_heap_charge(bytes) == 0)
            ebb__ledger_heap_uncharge(bytes);
        if (ebb__ledger_create(part, "short", EBB_BUDGET_QUERY, &short_one) == 0)
            EXPECT_EQ(ebb__ledger_destroy(short_one), 0);
        if (support_next(&rng) % 8 == 0)
            EXPECT_EQ(ebb__ledger_charge(part, MIB(5)), -ENOMEM); /* through the shrinker */
        limited(moved, support_next(&rng) % 2 != 0 ? EBB_BUDGET_SOFT : EBB_BUDGET_HARD, bytes);
        if (ebb__ledger_reserve(part, 10) == 0)
            EXPECT(ebb__ledger_release(part, 10) <= 10); /* others may have drawn on it */
    }
    return NULL;
}

static void child(size_t mine)
{
    struct ebb_budget_account *account;
    ebb__ledger_after_fork();
    EXPECT_WHOLE();
    EXPECT(ebb__ledger_exact(part) >= mine);
    /* Whatever the others were in the middle of: at most one grant or charge each is left behind. */
    EXPECT(ebb__ledger_exact(part) <= mine + BUSY_ONES * (LEDGER_CREDIT_MAX + KIB(20)));
    EXPECT(whole().credit_threads <= 1);
    size_t hard = (size_t)ebb__ledger_limit(moved, EBB_BUDGET_HARD, -1);
    if (hard <= KIB(20)) {
        EXPECT_EQ(ebb__ledger_charge(moved, hard + 1), -ENOMEM);
        EXPECT_EQ(ebb__ledger_charge(moved, hard), 0);
        EXPECT_EQ(ebb__ledger_charge(moved, 1), -ENOMEM);
    }
    EXPECT_EQ(ebb__ledger_create(part, "child's", EBB_BUDGET_QUERY, &account), 0);
    EXPECT_EQ(ebb__ledger_charge_credit(account, 1000), 0);
    EXPECT_EQ(ebb__ledger_exact(account), 1000);
    ebb__ledger_uncharge_credit(account, 1000);
    EXPECT_EQ(ebb__ledger_destroy(account), 0);
    ebb__ledger_uncharge_credit(part, mine);
    EXPECT_EQ(ebb__ledger_charge(part, MIB(5)), -ENOMEM); /* nobody is inside the shrinker here */
    ebb__ledger_heap_recount(12345);
    EXPECT_EQ(ebb__ledger_exact(&ebb__ledger_heap), 12345);
    EXPECT_WHOLE();
    _exit(0);
}

static void fork_at_any_instant(void)
{
    pthread_t threads[BUSY_ONES];
    const struct ebb_budget_shrinker shrinker = {
        .size_of_struct = sizeof(shrinker), .estimate = always, .shrink = never};
    pool = made(NULL, "pool");
    part = made(pool, "part");
    moved = made(NULL, "moved");
    limited(pool, EBB_BUDGET_HARD, MIB(4));
    EXPECT(ebb__ledger_shrinker_add(&shrinker) > 0);
    EXPECT_EQ(ebb__ledger_charge_credit(part, 777), 0);
    for (uintptr_t i = 0; i < BUSY_ONES; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, be_busy, (void *)(i + 1)),
                  0); // NOLINT(performance-no-int-to-ptr): a seed
    for (unsigned i = 0; i < FORKS; i++) {
        int status;
        pid_t pid = fork();
        EXPECT(pid >= 0);
        if (pid == 0)
            child(777);
        EXPECT(waitpid(pid, &status, 0) == pid);
        EXPECT_MSG(status == 0, "fork %u: 0x%x", i, (unsigned)status);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < BUSY_ONES; i++)
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
    EXPECT_WHOLE();
    EXPECT_EQ(ebb__ledger_exact(part), 777);
}

int main(void)
{
    const struct CMUnitTest cases[] = {CASE(fork_at_any_instant)};
    return RUN_CASES(cases);
}
