/* SPDX-License-Identifier: MIT
 * The walker over all invariants, the walk for others, and what a fork child makes anew. */
#include "ledger/ledger_priv.h"

static bool is_alive(const struct ebb_budget_account *account)
{
    return ledger_parent(account) != &ebb__ledger_dead;
}

/* Charges stop below the heap. */
static bool counts_in_parent(const struct ebb_budget_account *account)
{
    return ledger_up(account) != NULL;
}

/* ---- check; under the lock ---- */

static void add_to_parent(const struct ebb_budget_account *account)
{
    struct ebb_budget_account *parent = ledger_parent(account);
    if (parent == NULL)
        return;
    struct ledger_cold *cold = ebb__ledger_cold(parent);
    cold->sum_children++;
    if (counts_in_parent(account)) {
        cold->sum_taken += ledger_get(&account->taken);
        cold->sum_reserved += ledger_get(&account->reserved);
    }
}

static void sum_up(void)
{
    struct ebb_budget_account *account;
    struct ledger_thread *thread;
    for (size_t i = 0; (account = ebb__ledger_account_at(i)) != NULL; i++) {
        struct ledger_cold *cold = ebb__ledger_cold(account);
        cold->sum_taken = cold->sum_reserved = cold->sum_unspent = 0;
        cold->sum_children = 0;
    }
    for (size_t i = 0; (account = ebb__ledger_account_at(i)) != NULL; i++)
        if (is_alive(account))
            add_to_parent(account);
    for (size_t i = 0; (thread = ebb__ledger_thread_at(i)) != NULL; i++)
        for (unsigned s = 0; s < LEDGER_SLOTS && atomic_load(&thread->in_use) != 0; s++) {
            account = atomic_load(&thread->slots[s].account);
            if (account != NULL)
                ebb__ledger_cold(account)->sum_unspent += ledger_get(&thread->slots[s].unspent);
        }
}

static int check_words(const struct ebb_budget_account *a)
{
    const struct ledger_cold *cold = ebb__ledger_cold(a);
    uint64_t soft = (uint64_t)atomic_load(&cold->soft), hard = ledger_get(&a->hard);
    uint64_t gate = ledger_get(&a->gate), least = ebb__ledger_gate_of(a);
    EBB_HOLDS("L3", gate == least, gate, least);
    EBB_HOLDS("L5", ledger_get(&a->taken) <= LEDGER_UNLIMITED, ledger_get(&a->taken), 0);
    EBB_HOLDS("L5", ledger_get(&a->own) <= LEDGER_UNLIMITED, ledger_get(&a->own), 0);
    EBB_HOLDS("L5", ledger_get(&a->own_reserved) <= LEDGER_UNLIMITED, ledger_get(&a->own_reserved), 0);
    EBB_HOLDS("L5", ledger_get(&a->reserved) <= LEDGER_UNLIMITED, ledger_get(&a->reserved), 0);
    EBB_HOLDS("L5", soft <= LEDGER_UNLIMITED && hard <= LEDGER_UNLIMITED && atomic_load(&cold->min) >= 0,
              soft, hard);
    return 0;
}

static int check_alive(const struct ebb_budget_account *a)
{
    const struct ledger_cold *cold = ebb__ledger_cold(a);
    uint64_t own = ledger_get(&a->own), own_reserved = ledger_get(&a->own_reserved),
             reserved = ledger_get(&a->reserved), taken = ledger_get(&a->taken);
    int rc = check_words(a);
    if (rc != 0)
        return rc;
    EBB_HOLDS("L1", taken == own + own_reserved + cold->sum_taken, taken,
              own + own_reserved + cold->sum_taken);
    EBB_HOLDS("L2", reserved == own_reserved + cold->sum_reserved, reserved,
              own_reserved + cold->sum_reserved);
    EBB_HOLDS("L4", cold->sum_unspent <= own, cold->sum_unspent, own);
    EBB_HOLDS("L6", atomic_load(&cold->children) == cold->sum_children, atomic_load(&cold->children),
              cold->sum_children);
    EBB_HOLDS("L6", ledger_parent(a) == NULL || is_alive(ledger_parent(a)), cold->depth, 0);
    EBB_HOLDS("L6", ledger_parent(a) == NULL || cold->depth == ebb__ledger_cold(ledger_parent(a))->depth + 1,
              cold->depth, 0);
    return 0;
}

static int check_dead(const struct ebb_budget_account *a)
{
    uint64_t taken = ledger_get(&a->taken), own = ledger_get(&a->own);
    EBB_HOLDS("L6", taken == 0 && own == 0 && ledger_get(&a->own_reserved) == 0, taken, own);
    EBB_HOLDS("L4", ebb__ledger_cold(a)->sum_unspent == 0, ebb__ledger_cold(a)->sum_unspent, 0);
    return 0;
}

static int check_all(void)
{
    struct ebb_budget_account *account;
    size_t alive = 0;
    int rc = 0;
    sum_up();
    for (size_t i = 0; rc == 0 && (account = ebb__ledger_account_at(i)) != NULL; i++) {
        rc = is_alive(account) ? check_alive(account) : check_dead(account);
        alive += is_alive(account);
    }
    if (rc != 0)
        return rc;
    EBB_HOLDS("L6", alive == ledger_get(&ebb__ledger_counts.accounts) + 3, alive,
              ledger_get(&ebb__ledger_counts.accounts));
    int64_t room = __atomic_load_n(&ebb__ledger_room.room, __ATOMIC_RELAXED);
    uint64_t own = ledger_get(&ebb__ledger_heap.own);
    EBB_HOLDS("L4", room >= 0 && (uint64_t)room <= own, room, own);
    return ebb__ledger_shrinker_check();
}

int ebb__ledger_check(void)
{
    ebb__lock_take(&ebb__ledger_lock);
    int rc = check_all();
    ebb__lock_release(&ebb__ledger_lock);
    return rc;
}

/* ---- for others ---- */

/* Parents lie anywhere in the table, so the levels come one after the other. */
int ebb__ledger_each(int (*fn)(const struct ebb_budget_account *account, void *context), void *context)
{
    struct ebb_budget_account *account;
    int rc = 0;
    bool more = true;
    ebb__lock_take(&ebb__ledger_lock);
    for (unsigned depth = 0; depth <= LEDGER_DEPTH_MAX && more && rc == 0; depth++) {
        more = false;
        for (size_t i = 0; rc == 0 && (account = ebb__ledger_account_at(i)) != NULL; i++)
            if (is_alive(account) && ebb__ledger_cold(account)->depth == depth) {
                more = true;
                rc = fn(account, context);
            }
    }
    ebb__lock_release(&ebb__ledger_lock);
    return rc;
}

/* ---- fork ---- */

/* All sums from what each account itself was charged for: a walk that another thread was in the middle of has not reached
 * `own`. */
static void make_sums_again(void)
{
    struct ebb_budget_account *account;
    for (size_t i = 0; (account = ebb__ledger_account_at(i)) != NULL; i++) {
        atomic_store_explicit(&account->taken, 0, memory_order_relaxed);
        atomic_store_explicit(&account->reserved, 0, memory_order_relaxed);
    }
    for (size_t i = 0; (account = ebb__ledger_account_at(i)) != NULL; i++) {
        uint64_t own_reserved = ledger_get(&account->own_reserved);
        if (!is_alive(account))
            continue;
        for (struct ebb_budget_account *level = account; level != NULL; level = ledger_up(level)) {
            ledger_add(&level->taken, ledger_get(&account->own) + own_reserved);
            ledger_add(&level->reserved, own_reserved);
        }
    }
}

/* When the parent was making or ending an account or a thread's block. */
static void count_again(void)
{
    struct ebb_budget_account *account;
    struct ledger_thread *thread;
    size_t alive = 0, in_use = 0;
    for (size_t i = 0; (account = ebb__ledger_account_at(i)) != NULL; i++) {
        atomic_store(&ebb__ledger_cold(account)->children, 0);
        alive += is_alive(account);
    }
    for (size_t i = 0; (account = ebb__ledger_account_at(i)) != NULL; i++)
        if (is_alive(account) && ledger_parent(account) != NULL)
            atomic_fetch_add(&ebb__ledger_cold(ledger_parent(account))->children, 1);
    atomic_store(&ebb__ledger_counts.accounts, alive - 3);
    for (size_t i = 0; (thread = ebb__ledger_thread_at(i)) != NULL; i++)
        in_use += atomic_load(&thread->in_use) != 0;
    atomic_store(&ebb__ledger_counts.threads, in_use);
}

/* When the parent was setting a limit, and its gate did not follow yet. */
static void make_gates_again(void)
{
    struct ebb_budget_account *account;
    for (size_t i = 0; (account = ebb__ledger_account_at(i)) != NULL; i++)
        if (is_alive(account))
            atomic_store(&account->gate, ebb__ledger_gate_of(account));
}

void ebb__ledger_after_fork(void)
{
    bool was_held = ebb__lock_is_held(&ebb__ledger_lock);
    ebb__lock_reset(&ebb__ledger_lock);
    ebb__ledger_shrinker_after_fork();
    ebb__ledger_credit_after_fork();
    if (was_held) {
        ebb__ledger_table_rebuild();
        count_again();
        make_gates_again();
    }
    atomic_store(&ebb__ledger_flights, 0);
    if (__atomic_load_n(&ebb__ledger_room.room, __ATOMIC_RELAXED) < 0)
        __atomic_store_n(&ebb__ledger_room.room, 0, __ATOMIC_RELAXED);
    make_sums_again();
}
