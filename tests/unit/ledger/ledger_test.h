/* SPDX-License-Identifier: MIT
 * What the tests of the ledger share: accounts that must be had, what they hold, and a shrinker that does what it is told. */
#ifndef EBB_TESTS_LEDGER_TEST_H
#define EBB_TESTS_LEDGER_TEST_H

#include "support.h"

#include "ledger/ledger_priv.h"

#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)

static inline struct ebb_budget_account *made(struct ebb_budget_account *parent, const char *name)
{
    struct ebb_budget_account *account = NULL;
    EXPECT_EQ(ebb__ledger_create(parent, name, EBB_BUDGET_CACHE, &account), 0);
    EXPECT(account != NULL);
    return account;
}

static inline void limited(struct ebb_budget_account *account, enum ebb_budget_limit kind, size_t bytes)
{
    EXPECT(ebb__ledger_limit(account, kind, (int64_t)bytes) >= 0);
}

static inline struct ebb_budget_stats stats_of(const struct ebb_budget_account *account)
{
    struct ebb_budget_stats stats = {.size_of_struct = sizeof(stats)};
    EXPECT_EQ(ebb__ledger_account_stats(account, &stats), 0);
    return stats;
}

static inline struct ebb_ledger_stats whole(void)
{
    struct ebb_ledger_stats stats;
    ebb__ledger_stats(&stats);
    return stats;
}

#define EXPECT_WHOLE() EXPECT_EQ(ebb__ledger_check(), 0)

/* Has `has` bytes charged to `account` and gives them back when asked: `part` percent of what is asked for. */
struct giver {
    struct ebb_budget_account *account;
    size_t has;
    unsigned part;
    int number;
    unsigned asked;   /* times */
    size_t asked_for; /* the last time */
    enum ebb_budget_urgency urgency;
    uint64_t deadline_ns;
    void (*inside)(struct giver *giver);
    unsigned order; /* when it was asked last, by a count of all askings */
};

static unsigned askings;

static inline size_t giver_estimate(void *context)
{
    const struct giver *giver = context;
    return __atomic_load_n(&giver->has, __ATOMIC_RELAXED);
}

static inline size_t giver_shrink(void *context, size_t bytes, enum ebb_budget_urgency urgency,
                                  uint64_t deadline_ns)
{
    struct giver *giver = context;
    giver->asked++;
    giver->asked_for = bytes;
    giver->urgency = urgency;
    giver->deadline_ns = deadline_ns;
    giver->order = __atomic_add_fetch(&askings, 1, __ATOMIC_RELAXED);
    if (giver->inside != NULL)
        giver->inside(giver);
    size_t part = bytes * giver->part / 100, has = __atomic_load_n(&giver->has, __ATOMIC_RELAXED);
    if (part > has)
        part = has;
    __atomic_store_n(&giver->has, has - part, __ATOMIC_RELAXED);
    if (part != 0)
        ebb__ledger_uncharge(giver->account, part);
    return part;
}

static inline void give_from(struct giver *giver, struct ebb_budget_account *account, size_t has,
                             unsigned price)
{
    *giver = (struct giver){.account = account, .has = has, .part = 100};
    EXPECT_EQ(ebb__ledger_charge(account, has), 0);
    const struct ebb_budget_shrinker shrinker = {.size_of_struct = sizeof(shrinker),
                                                 .account = account,
                                                 .name = "giver",
                                                 .price = price,
                                                 .estimate = giver_estimate,
                                                 .shrink = giver_shrink,
                                                 .context = giver};
    giver->number = ebb__ledger_shrinker_add(&shrinker);
    EXPECT(giver->number > 0);
}

#endif
