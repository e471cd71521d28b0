/* SPDX-License-Identifier: MIT
 * <ebb/budget.h>: the ledger under its public names. */
#include "ebb/budget.h"
#include "governor/governor.h"
#include "ledger/ledger.h"

struct ebb_budget_account *ebb_budget_process(void)
{
    return &ebb__ledger_process;
}

struct ebb_budget_account *ebb_budget_heap(void)
{
    return &ebb__ledger_heap;
}

struct ebb_budget_account *ebb_budget_untracked(void)
{
    return &ebb__ledger_untracked;
}

int ebb_budget_create(struct ebb_budget_account *parent, const char *name,
                      enum ebb_budget_class account_class, struct ebb_budget_account **ret_account)
{
    return ebb__ledger_create(parent, name, account_class, ret_account);
}

int ebb_budget_destroy(struct ebb_budget_account *account)
{
    return ebb__ledger_destroy(account);
}

int ebb_budget_charge(struct ebb_budget_account *account, size_t bytes)
{
    return ebb__ledger_charge(account, bytes);
}

void ebb_budget_uncharge(struct ebb_budget_account *account, size_t bytes)
{
    ebb__ledger_uncharge(account, bytes);
}

int ebb_budget_charge_credit(struct ebb_budget_account *account, size_t bytes)
{
    return ebb__ledger_charge_credit(account, bytes);
}

void ebb_budget_uncharge_credit(struct ebb_budget_account *account, size_t bytes)
{
    ebb__ledger_uncharge_credit(account, bytes);
}

void ebb_budget_thread_flush(void)
{
    ebb__ledger_thread_flush();
}

int ebb_budget_reserve(struct ebb_budget_account *account, size_t bytes)
{
    return ebb__ledger_reserve(account, bytes);
}

size_t ebb_budget_release(struct ebb_budget_account *account, size_t bytes)
{
    return ebb__ledger_release(account, bytes);
}

int64_t ebb_budget_limit(struct ebb_budget_account *account, enum ebb_budget_limit kind, int64_t bytes)
{
    int64_t before = ebb__ledger_limit(account, kind, bytes);
    if (bytes >= 0 && before >= 0 && account == &ebb__ledger_process)
        ebb__governor_nudge(); /* it sees how near that is, from now on */
    return before;
}

size_t ebb_budget_used(const struct ebb_budget_account *account)
{
    return ebb__ledger_used(account);
}

size_t ebb_budget_exact(const struct ebb_budget_account *account)
{
    return ebb__ledger_exact(account);
}

size_t ebb_budget_room(const struct ebb_budget_account *account)
{
    return ebb__ledger_headroom(account);
}

int ebb_budget_stats(const struct ebb_budget_account *account, struct ebb_budget_stats *ret_stats)
{
    return ebb__ledger_account_stats(account, ret_stats);
}

int ebb_budget_check(void)
{
    return ebb__ledger_check();
}

int ebb_budget_shrinker_add(const struct ebb_budget_shrinker *shrinker)
{
    return ebb__ledger_shrinker_add(shrinker);
}

int ebb_budget_shrinker_remove(int number)
{
    return ebb__ledger_shrinker_remove(number);
}

int64_t ebb_budget_shrinker_price(int number, int64_t price)
{
    return ebb__ledger_shrinker_price(number, price);
}

size_t ebb_budget_reclaim(struct ebb_budget_account *account, size_t bytes, enum ebb_budget_urgency urgency,
                          uint64_t deadline_ns)
{
    return ebb__ledger_reclaim(account, bytes, urgency, deadline_ns);
}

enum ebb_budget_level ebb_budget_level(void)
{
    return ebb__ledger_level();
}
