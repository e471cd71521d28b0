/* SPDX-License-Identifier: MIT
 * The tree: accounts made and ended, their limits, what they hold. */
#include "ledger/ledger_priv.h"

#define UNLIMITED_ACCOUNT .gate = LEDGER_UNLIMITED, .hard = LEDGER_UNLIMITED

struct ebb_budget_account ebb__ledger_process = {UNLIMITED_ACCOUNT};
struct ebb_budget_account ebb__ledger_heap = {UNLIMITED_ACCOUNT, .parent = &ebb__ledger_process};
struct ebb_budget_account ebb__ledger_untracked = {UNLIMITED_ACCOUNT, .parent = &ebb__ledger_process};
struct ebb_budget_account ebb__ledger_dead; /* its limits are 0: what goes there by mistake is refused */

struct ledger_counts ebb__ledger_counts;
_Atomic int ebb__ledger_level_now;

void ebb__ledger_die_dead(const struct ebb_budget_account *account, const char *caller)
{
    ebb__die("%s: account %p was destroyed", caller, (const void *)account);
}

bool ebb__ledger_is_below(const struct ebb_budget_account *account, const struct ebb_budget_account *above)
{
    for (unsigned level = 0; account != NULL && level <= LEDGER_DEPTH_MAX;
         level++, account = ledger_parent(account))
        if (account == above)
            return true;
    return false;
}

static bool is_static(const struct ebb_budget_account *account)
{
    return account == &ebb__ledger_process || account == &ebb__ledger_heap ||
           account == &ebb__ledger_untracked;
}

/* ---- life ---- */

static void set_name(char *to, const char *name)
{
    size_t len = name != NULL ? strnlen(name, sizeof(((struct ledger_cold *)0)->name) - 1) : 0;
    memset(to, 0, sizeof(((struct ledger_cold *)0)->name));
    if (len != 0)
        memcpy(to, name, len);
}

/* The parent last: from then on it is alive. */
static void bring_to_life(struct ebb_budget_account *account, struct ebb_budget_account *parent,
                          const char *name, enum ebb_budget_class account_class)
{
    struct ledger_cold *cold = ebb__ledger_cold(account);
    memset(cold, 0, sizeof(*cold));
    set_name(cold->name, name);
    atomic_store_explicit(&cold->soft, EBB_BUDGET_UNLIMITED, memory_order_relaxed);
    cold->account_class = account_class;
    cold->depth = ebb__ledger_cold(parent)->depth + 1;
    atomic_store_explicit(&account->taken, 0, memory_order_relaxed);
    atomic_store_explicit(&account->own, 0, memory_order_relaxed);
    atomic_store_explicit(&account->own_reserved, 0, memory_order_relaxed);
    atomic_store_explicit(&account->reserved, 0, memory_order_relaxed);
    atomic_store_explicit(&account->peak, 0, memory_order_relaxed);
    atomic_store_explicit(&account->hard, LEDGER_UNLIMITED, memory_order_relaxed);
    atomic_store_explicit(&account->gate, LEDGER_UNLIMITED, memory_order_relaxed);
    atomic_store_explicit(&account->parent, parent, memory_order_relaxed);
    atomic_fetch_add_explicit(&ebb__ledger_cold(parent)->children, 1, memory_order_relaxed);
    LEDGER_COUNT(accounts, 1);
}

int ebb__ledger_create(struct ebb_budget_account *parent, const char *name,
                       enum ebb_budget_class account_class, struct ebb_budget_account **ret_account)
{
    int rc = -ENOMEM;
    if (parent == NULL)
        parent = &ebb__ledger_process;
    ebb__ledger_expect_alive(parent, "ebb_budget_create");
    if (parent == &ebb__ledger_untracked || (unsigned)account_class > EBB_BUDGET_SLACK)
        return -EINVAL;
    if (ebb__ledger_cold(parent)->depth == LEDGER_DEPTH_MAX)
        return -E2BIG;
    ebb__lock_take(&ebb__ledger_lock);
    struct ebb_budget_account *account = ebb__ledger_table_account();
    if (account != NULL) {
        bring_to_life(account, parent, name, account_class);
        rc = 0;
    }
    ebb__lock_release(&ebb__ledger_lock);
    if (rc == 0)
        *ret_account = account;
    return rc;
}

/* Under the lock. -EAGAIN: some thread is just giving back what it had unspent, and may not have reached the account, or
 * not left it: `own` falls before `taken`. */
static int may_end(struct ebb_budget_account *account)
{
    struct ledger_cold *cold = ebb__ledger_cold(account);
    if (atomic_load_explicit(&cold->children, memory_order_relaxed) != 0 ||
        ebb__ledger_has_shrinker(account) || ledger_get(&account->own_reserved) != 0)
        return -EBUSY;
    uint64_t before = ebb__ledger_flights_now();
    if (ledger_get(&account->own) != 0)
        (void)ebb__ledger_recall_locked(account);
    if (ledger_get(&account->own) != 0)
        return ebb__ledger_nothing_flew(before) ? -EBUSY : -EAGAIN;
    return atomic_load_explicit(&account->taken, memory_order_acquire) != 0 ? -EAGAIN : 0;
}

static int end_now(struct ebb_budget_account *account)
{
    ebb__lock_take(&ebb__ledger_lock);
    int rc = may_end(account);
    if (rc == 0) {
        struct ebb_budget_account *parent = ledger_parent(account);
        atomic_fetch_sub_explicit(&ebb__ledger_cold(parent)->children, 1, memory_order_relaxed);
        ebb__ledger_table_free_account(account);
        ledger_sub(&ebb__ledger_counts.accounts, 1);
    }
    ebb__lock_release(&ebb__ledger_lock);
    return rc;
}

int ebb__ledger_destroy(struct ebb_budget_account *account)
{
    if (account == NULL)
        return 0;
    ebb__ledger_expect_alive(account, "ebb_budget_destroy");
    if (is_static(account))
        return -EINVAL;
    int rc = end_now(account);
    for (unsigned nap = 0; rc == -EAGAIN && nap < LEDGER_NAPS; nap++) {
        ebb__ledger_nap(nap);
        rc = end_now(account);
    }
    return rc == -EAGAIN ? -EBUSY : rc;
}

/* ---- limits ---- */

static _Atomic int64_t look_point = EBB_BUDGET_UNLIMITED; /* changed under the lock */
size_t (*ebb__ledger_look)(size_t bytes, bool may_give);
int ebb__ledger_looker;

uint64_t ebb__ledger_gate_of(const struct ebb_budget_account *account)
{
    uint64_t soft = (uint64_t)atomic_load_explicit(&ebb__ledger_cold(account)->soft, memory_order_relaxed),
             hard = ledger_get(&account->hard), gate = soft < hard ? soft : hard;
    uint64_t look = (uint64_t)atomic_load_explicit(&look_point, memory_order_relaxed);
    return account == &ebb__ledger_process && look < gate ? look : gate;
}

/* Under the lock. Credits that were granted below the gate before are recalled where they now lie above it. */
static void set_gate(struct ebb_budget_account *account)
{
    uint64_t gate = ebb__ledger_gate_of(account);
    atomic_store_explicit(&account->gate, gate, memory_order_relaxed);
    if (ledger_get(&account->taken) > gate)
        (void)ebb__ledger_recall_locked(NULL);
}

int64_t ebb__ledger_look_point(int64_t bytes)
{
    if (bytes < 0)
        return atomic_load_explicit(&look_point, memory_order_relaxed);
    ebb__lock_take(&ebb__ledger_lock);
    int64_t before = atomic_exchange_explicit(&look_point, bytes, memory_order_relaxed);
    set_gate(&ebb__ledger_process);
    ebb__lock_release(&ebb__ledger_lock);
    return before;
}

/* Under the lock. */
static void set_limit(struct ebb_budget_account *account, enum ebb_budget_limit kind, int64_t bytes)
{
    struct ledger_cold *cold = ebb__ledger_cold(account);
    if (kind == EBB_BUDGET_MIN) {
        atomic_store_explicit(&cold->min, bytes, memory_order_relaxed);
        return;
    }
    if (kind == EBB_BUDGET_SOFT)
        atomic_store_explicit(&cold->soft, bytes, memory_order_relaxed);
    else
        atomic_store_explicit(&account->hard, (uint64_t)bytes, memory_order_relaxed);
    atomic_store_explicit(&cold->soft_rest_ms, 0, memory_order_relaxed);
    set_gate(account);
}

static int64_t get_limit(const struct ebb_budget_account *account, enum ebb_budget_limit kind)
{
    struct ledger_cold *cold = ebb__ledger_cold(account);
    if (kind == EBB_BUDGET_HARD)
        return (int64_t)ledger_get(&account->hard);
    return atomic_load_explicit(kind == EBB_BUDGET_MIN ? &cold->min : &cold->soft, memory_order_relaxed);
}

int64_t ebb__ledger_limit(struct ebb_budget_account *account, enum ebb_budget_limit kind, int64_t bytes)
{
    ebb__ledger_expect_alive(account, "ebb_budget_limit");
    if ((unsigned)kind > EBB_BUDGET_HARD || account == &ebb__ledger_untracked)
        return -EINVAL;
    if (bytes < 0)
        return get_limit(account, kind);
    ebb__lock_take(&ebb__ledger_lock);
    int64_t before = get_limit(account, kind);
    set_limit(account, kind, bytes);
    ebb__lock_release(&ebb__ledger_lock);
    return before;
}

int ebb__ledger_set_level(int level)
{
    if (level > (int)EBB_LEVEL_RED)
        return -EINVAL;
    if (level < 0)
        return (int)ebb__ledger_level();
    return atomic_exchange_explicit(&ebb__ledger_level_now, level, memory_order_relaxed);
}

/* ---- what nobody charges ---- */

size_t ebb__ledger_set_untracked(size_t bytes)
{
    struct ebb_budget_account *account = &ebb__ledger_untracked;
    if (bytes > EBB_BUDGET_CHARGE_MAX)
        bytes = EBB_BUDGET_CHARGE_MAX;
    ebb__lock_take(&ebb__ledger_lock);
    uint64_t before = ledger_get(&account->own);
    if (bytes >= before) {
        ebb__ledger_walk_force(account, bytes - before);
        ledger_add(&account->own, bytes - before);
    } else {
        ledger_sub(&account->own, before - bytes);
        ebb__ledger_walk_down(account, before - bytes);
    }
    ebb__lock_release(&ebb__ledger_lock);
    return before;
}

/* ---- looking ---- */

static size_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

size_t ebb__ledger_taken(const struct ebb_budget_account *account)
{
    return (size_t)ledger_get(&account->taken);
}

size_t ebb__ledger_used(const struct ebb_budget_account *account)
{
    return less(ledger_get(&account->taken), ledger_get(&account->reserved));
}

/* What counts in the account and is not used: to within what other threads charge meanwhile. */
static uint64_t unspent(const struct ebb_budget_account *account)
{
    uint64_t sum = 0;
    if (account == &ebb__ledger_process || account == &ebb__ledger_heap) {
        int64_t room = __atomic_load_n(&ebb__ledger_room.room, __ATOMIC_RELAXED);
        sum = room > 0 ? (uint64_t)room : 0;
    }
    return sum + ebb__ledger_unspent(account);
}

size_t ebb__ledger_exact(const struct ebb_budget_account *account)
{
    uint64_t not_used = unspent(account);
    return less(ebb__ledger_used(account), not_used);
}

size_t ebb__ledger_headroom(const struct ebb_budget_account *account)
{
    size_t least = SIZE_MAX;
    for (; account != NULL; account = ledger_up(account)) {
        uint64_t hard = ledger_get(&account->hard);
        if (hard != LEDGER_UNLIMITED)
            least = ebb__min(least, less(hard, ledger_get(&account->taken)));
    }
    return least;
}

int ebb__ledger_account_stats(const struct ebb_budget_account *account, struct ebb_budget_stats *ret_stats)
{
    struct ledger_cold *cold = ebb__ledger_cold(account);
    if (ret_stats->size_of_struct != sizeof(*ret_stats))
        return -EINVAL;
    ebb__ledger_expect_alive(account, "ebb_budget_stats");
    uint64_t not_used = unspent(account), taken = ledger_get(&account->taken),
             peak = ledger_get(&account->peak);
    *ret_stats = (struct ebb_budget_stats){
        .size_of_struct = sizeof(*ret_stats),
        .used_bytes = less(less(taken, ledger_get(&account->reserved)), not_used),
        .unspent_bytes = not_used,
        .reserved_bytes = ledger_get(&account->reserved),
        .peak_bytes = taken >= peak ? taken : peak,
        .peak_ms = taken >= peak ? 0 : ledger_get(&cold->peak_ms),
        .min_bytes = get_limit(account, EBB_BUDGET_MIN),
        .soft_bytes = get_limit(account, EBB_BUDGET_SOFT),
        .hard_bytes = get_limit(account, EBB_BUDGET_HARD),
        .soft_hits = ledger_get(&cold->soft_hits),
        .hard_hits = ledger_get(&cold->hard_hits),
        .refusals = ledger_get(&cold->refusals),
        .reclaimed_bytes = ledger_get(&cold->reclaimed_bytes),
        .children = atomic_load_explicit(&cold->children, memory_order_relaxed),
        .depth = cold->depth,
        .account_class = (enum ebb_budget_class)cold->account_class,
    };
    memcpy(ret_stats->name, cold->name, sizeof(ret_stats->name));
    return 0;
}

void ebb__ledger_stats(struct ebb_ledger_stats *ret_stats)
{
    const struct ledger_counts *counts = &ebb__ledger_counts;
    int64_t room = __atomic_load_n(&ebb__ledger_room.room, __ATOMIC_RELAXED);
    *ret_stats = (struct ebb_ledger_stats){
        .accounts = ledger_get(&counts->accounts),
        .credit_threads = ledger_get(&counts->threads),
        .unspent_bytes = ebb__ledger_unspent(NULL),
        .room_bytes = room > 0 ? (size_t)room : 0,
        .shrinkers = ebb__ledger_shrinker_count(),
        .committed_bytes = ebb__ledger_table_bytes(),
        .soft_hits = ledger_get(&counts->soft_hits),
        .hard_hits = ledger_get(&counts->hard_hits),
        .refusals = ledger_get(&counts->refusals),
        .recalls = ledger_get(&counts->recalls),
        .reclaims = ledger_get(&counts->reclaims),
        .shrinks = ledger_get(&counts->shrinks),
        .reclaimed_bytes = ledger_get(&counts->reclaimed_bytes),
        .reclaim_ns = ledger_get(&counts->reclaim_ns),
    };
}
