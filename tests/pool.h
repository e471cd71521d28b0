/* SPDX-License-Identifier: MIT
 *
 * Somebody else's cache, for tests of who is asked for memory, and when: an account of the budget with a shrinker that gives
 * what it is asked for and counts.
 */
#ifndef EBB_TESTS_POOL_H
#define EBB_TESTS_POOL_H

#include "support.h"

#include "ledger/ledger.h"

struct pool {
    struct ebb_budget_account *account;
    size_t has;
    unsigned asked;   /* times */
    size_t asked_for; /* in all */
};

static inline size_t pool_estimate(void *context)
{
    return ((const struct pool *)context)->has;
}

static inline size_t pool_shrink(void *context, size_t bytes, enum ebb_budget_urgency urgency,
                                 uint64_t deadline_ns)
{
    struct pool *pool = context;
    size_t given = bytes < pool->has ? bytes : pool->has;
    (void)urgency;
    (void)deadline_ns;
    pool->asked++;
    pool->asked_for += bytes;
    pool->has -= given;
    ebb__ledger_uncharge(pool->account, given);
    return given;
}

/* A pool of so many bytes. parent: NULL for the process */
static inline void pool_fill_below(struct pool *pool, struct ebb_budget_account *parent, size_t bytes)
{
    *pool = (struct pool){.has = bytes};
    EXPECT_EQ(ebb__ledger_create(parent, "pool", EBB_BUDGET_CACHE, &pool->account), 0);
    EXPECT_EQ(ebb__ledger_charge(pool->account, bytes), 0);
    const struct ebb_budget_shrinker shrinker = {.size_of_struct = sizeof(shrinker),
                                                 .account = pool->account,
                                                 .name = "pool",
                                                 .price = 100,
                                                 .estimate = pool_estimate,
                                                 .shrink = pool_shrink,
                                                 .context = pool};
    EXPECT(ebb__ledger_shrinker_add(&shrinker) > 0);
}

static inline void pool_fill(struct pool *pool, size_t bytes)
{
    pool_fill_below(pool, NULL, bytes);
}

/* From now on the account, or the process, has room for so many bytes more. */
static inline void leave_room_in(struct ebb_budget_account *account, size_t bytes)
{
    (void)ebb__ledger_recall(); /* what was taken in advance would be room too */
    EXPECT(ebb__ledger_limit(account, EBB_BUDGET_HARD, (int64_t)(ebb__ledger_exact(account) + bytes)) >= 0);
}

static inline void leave_room(size_t bytes)
{
    leave_room_in(&ebb__ledger_process, bytes);
}

static inline void leave_all_room(void)
{
    EXPECT(ebb__ledger_limit(&ebb__ledger_process, EBB_BUDGET_HARD, EBB_BUDGET_UNLIMITED) >= 0);
}

#endif
