/* SPDX-License-Identifier: MIT
 *
 * Credits: what a thread has taken from an account in advance, so that small charges touch no line but its own.
 *
 * A slot's unspent bytes are part of its account's `own`. Spending and putting back change the slot alone; a grant and what
 * goes back walk the tree. Who recalls takes the whole slot by one compare-and-swap, under the lock of the thread's block,
 * which keeps the account from changing under it; the thread itself needs that lock only to change a slot's account.
 *
 * `out` says that something may be unspent somewhere, so that threads at a limit do not look at all blocks for each charge.
 * It is set after the bytes are in their slot and cleared before the slots are read, both sequentially consistent: either
 * the reader sees the bytes, or the writer sees the flag cleared and sets it again.
 */
#include "ledger/ledger_priv.h"

/* From here on a charge goes to its account directly: it is large against a grant. */
#define DIRECT_BYTES (LEDGER_CREDIT_MAX / 2)

/* A thread that has ended, or for which there is no block: no slot is anybody's. */
static struct ledger_thread gone;
static EBB_TLS struct ledger_thread *mine;

int (*ebb__ledger_arm_end)(void);
static _Atomic bool out;

static struct ebb_budget_account *account_of(const struct credit_slot *slot)
{
    return atomic_load_explicit(&slot->account, memory_order_relaxed);
}

static void note_out(void)
{
    if (!atomic_load(&out))
        atomic_store(&out, true);
}

/* ---- the thread's own slots ---- */

static struct credit_slot *find(struct ledger_thread *t, const struct ebb_budget_account *account)
{
    for (uint32_t i = 0; i < LEDGER_SLOTS; i++)
        if (account_of(&t->slots[i]) == account) {
            t->last = i;
            t->used_at[i] = ++t->tick;
            return &t->slots[i];
        }
    return NULL;
}

EBB_INLINE struct credit_slot *slot_of(struct ledger_thread *t, const struct ebb_budget_account *account)
{
    if (EBB_UNLIKELY(t == NULL || t == &gone))
        return NULL;
    struct credit_slot *slot = &t->slots[t->last];
    return EBB_LIKELY(account_of(slot) == account) ? slot : find(t, account);
}

/* Empties the slot for another account. */
static void change_account(struct ledger_thread *t, struct credit_slot *slot,
                           struct ebb_budget_account *account)
{
    /* Nobody but the thread itself puts anything in. */
    bool flies = ledger_get(&slot->unspent) != 0;
    ebb__lock_take(&t->lock);
    struct ebb_budget_account *before = account_of(slot);
    if (flies)
        ledger_take_off();
    /* Odd before bytes and account change, even after it: each is a release, which pairs with the acquires in slot_counts(). */
    atomic_fetch_add_explicit(&slot->sequence, 1, memory_order_acq_rel);
    uint64_t unspent = atomic_exchange(&slot->unspent, 0);
    atomic_store_explicit(&slot->account, account, memory_order_release);
    atomic_fetch_add_explicit(&slot->sequence, 1, memory_order_release);
    ebb__lock_release(&t->lock);
    slot->grant = 0;
    if (unspent != 0)
        ebb__ledger_give(before, unspent, "ebb_budget_uncharge_credit");
    if (flies)
        ledger_land();
}

static struct credit_slot *take_slot(struct ledger_thread *t, struct ebb_budget_account *account)
{
    uint32_t victim = 0;
    for (uint32_t i = 0; i < LEDGER_SLOTS; i++) {
        if (account_of(&t->slots[i]) == NULL) {
            victim = i;
            break;
        }
        if (t->tick - t->used_at[i] > t->tick - t->used_at[victim])
            victim = i;
    }
    change_account(t, &t->slots[victim], account);
    t->last = victim;
    t->used_at[victim] = ++t->tick;
    return &t->slots[victim];
}

/* ---- a thread's block ---- */

static void on_exit(void *unused)
{
    (void)unused;
    ebb__ledger_thread_end();
}

static void give_block(struct ledger_thread *t)
{
    ebb__lock_take(&ebb__ledger_lock);
    ebb__ledger_table_free_thread(t);
    ledger_sub(&ebb__ledger_counts.threads, 1);
    ebb__lock_release(&ebb__ledger_lock);
}

/* The calling thread's block, made when it has none. NULL: it goes without. */
static struct ledger_thread *my_block(void)
{
    struct ledger_thread *t = mine;
    if (t != NULL)
        return t != &gone ? t : NULL;
    ebb__lock_take(&ebb__ledger_lock);
    t = ebb__ledger_table_thread();
    if (t != NULL) {
        atomic_store_explicit(&t->in_use, 1, memory_order_release);
        LEDGER_COUNT(threads, 1);
    }
    ebb__lock_release(&ebb__ledger_lock);
    if (t == NULL) {
        mine = &gone;
        return NULL;
    }
    mine = t; /* before the call: it may allocate, and that may charge */
    int rc = ebb__ledger_arm_end != NULL ? ebb__ledger_arm_end() : ebb__os_thread_exit_arm(on_exit, NULL);
    if (rc == 0)
        return t;
    ebb__ledger_thread_end();
    if (rc == -EAGAIN)
        mine = NULL;
    return NULL;
}

void ebb__ledger_thread_flush(void)
{
    struct ledger_thread *t = mine;
    if (t == NULL || t == &gone)
        return;
    for (uint32_t i = 0; i < LEDGER_SLOTS; i++)
        if (account_of(&t->slots[i]) != NULL)
            change_account(t, &t->slots[i], NULL);
}

void ebb__ledger_thread_end(void)
{
    struct ledger_thread *t = mine;
    ebb__ledger_thread_flush();
    mine = &gone;
    if (t != NULL && t != &gone)
        give_block(t);
}

/* ---- charging ---- */

EBB_INLINE bool spend(struct credit_slot *slot, uint64_t bytes)
{
    uint64_t have = ledger_get(&slot->unspent);
    while (have >= bytes)
        if (atomic_compare_exchange_weak_explicit(&slot->unspent, &have, have - bytes, memory_order_relaxed,
                                                  memory_order_relaxed))
            return true;
    return false;
}

/* Adds to a slot; returns what is there then. */
static uint64_t put(struct credit_slot *slot, uint64_t bytes)
{
    uint64_t before = atomic_fetch_add(&slot->unspent, bytes);
    if (before == 0)
        note_out();
    return before + bytes;
}

/* Twice the last grant, so that an account that is seldom charged ties little up. */
static bool take_grant(struct ebb_budget_account *account, struct credit_slot *slot, uint64_t bytes)
{
    uint64_t wish =
        slot->grant == 0 ? LEDGER_CREDIT_MIN : ebb__min((size_t)slot->grant * 2, LEDGER_CREDIT_MAX);
    uint64_t grant = ebb__ledger_share(account, wish);
    if (grant <= bytes)
        return false;
    ledger_take_off();
    bool is_granted = ebb__ledger_walk_up(account, grant, LEDGER_GATE) == NULL;
    if (is_granted) {
        ledger_add(&account->own, grant);
        slot->grant = (uint32_t)wish;
        (void)put(slot, grant - bytes);
    }
    ledger_land();
    return is_granted;
}

static EBB_NOINLINE int charge_slow(struct ebb_budget_account *account, size_t bytes, bool may_ask)
{
    struct ledger_thread *t;
    ebb__ledger_expect_alive(account, "ebb_budget_charge_credit");
    if (account == &ebb__ledger_heap || account == &ebb__ledger_untracked)
        return -EINVAL;
    if (bytes != 0 && bytes < DIRECT_BYTES && ledger_get(&account->own_reserved) == 0 &&
        (t = my_block()) != NULL) {
        struct credit_slot *slot = slot_of(t, account);
        if (take_grant(account, slot != NULL ? slot : take_slot(t, account), bytes))
            return 0;
    }
    return may_ask ? ebb__ledger_charge(account, bytes)
                   : ebb__ledger_charge_at_once(account, bytes, LEDGER_GATE);
}

int ebb__ledger_charge_credit(struct ebb_budget_account *account, size_t bytes)
{
    struct credit_slot *slot = slot_of(mine, account);
    if (EBB_LIKELY(slot != NULL && spend(slot, bytes)))
        return 0;
    return charge_slow(account, bytes, true);
}

int ebb__ledger_charge_credit_try(struct ebb_budget_account *account, size_t bytes)
{
    struct credit_slot *slot = slot_of(mine, account);
    return slot != NULL && spend(slot, bytes) ? 0 : charge_slow(account, bytes, false);
}

static EBB_NOINLINE void uncharge_slow(struct ebb_budget_account *account, size_t bytes)
{
    struct ledger_thread *t;
    ebb__ledger_expect_alive(account, "ebb_budget_uncharge_credit");
    if (bytes < DIRECT_BYTES && account != &ebb__ledger_heap && account != &ebb__ledger_untracked &&
        (t = my_block()) != NULL)
        (void)put(take_slot(t, account), bytes);
    else
        ebb__ledger_give(account, bytes, "ebb_budget_uncharge_credit");
}

/* More than the largest grant is unspent: all but the smallest goes back. */
static EBB_NOINLINE void give_back(struct ebb_budget_account *account, struct credit_slot *slot)
{
    uint64_t have = ledger_get(&slot->unspent);
    ledger_take_off();
    while (have > LEDGER_CREDIT_MIN)
        if (atomic_compare_exchange_weak_explicit(&slot->unspent, &have, LEDGER_CREDIT_MIN,
                                                  memory_order_release, memory_order_relaxed)) {
            ebb__ledger_give(account, have - LEDGER_CREDIT_MIN, "ebb_budget_uncharge_credit");
            break;
        }
    ledger_land();
}

void ebb__ledger_uncharge_credit(struct ebb_budget_account *account, size_t bytes)
{
    struct credit_slot *slot = slot_of(mine, account);
    if (EBB_UNLIKELY(slot == NULL || bytes >= DIRECT_BYTES)) {
        if (bytes >= DIRECT_BYTES)
            ebb__ledger_give(account, bytes, "ebb_budget_uncharge_credit");
        else
            uncharge_slow(account, bytes);
        return;
    }
    if (EBB_UNLIKELY(put(slot, bytes) > LEDGER_CREDIT_MAX))
        give_back(account, slot);
}

/* ---- others' slots ---- */

/* Under the lock of the ledger. */
static uint64_t recall_thread(struct ledger_thread *t, const struct ebb_budget_account *only)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < LEDGER_SLOTS; i++) {
        struct credit_slot *slot = &t->slots[i];
        if (atomic_load(&slot->unspent) == 0)
            continue;
        uint64_t unspent = 0;
        ebb__lock_take(&t->lock);
        struct ebb_budget_account *account = account_of(slot);
        if (account != NULL && (only == NULL || only == account))
            unspent = atomic_exchange(&slot->unspent, 0);
        ebb__lock_release(&t->lock);
        if (unspent != 0)
            ebb__ledger_give(account, unspent, "ebb_budget_uncharge_credit");
        sum += unspent;
    }
    return sum;
}

size_t ebb__ledger_recall_locked(const struct ebb_budget_account *account)
{
    struct ledger_thread *t;
    size_t sum = account == NULL ? ebb__ledger_recall_room() : 0;
    if (account != NULL || atomic_exchange(&out, false))
        for (size_t i = 0; (t = ebb__ledger_thread_at(i)) != NULL; i++)
            if (atomic_load_explicit(&t->in_use, memory_order_acquire) != 0)
                sum += recall_thread(t, account);
    LEDGER_COUNT(recalls, sum != 0);
    return sum;
}

size_t ebb__ledger_recall(void)
{
    ebb__lock_take(&ebb__ledger_lock);
    size_t sum = ebb__ledger_recall_locked(NULL);
    ebb__lock_release(&ebb__ledger_lock);
    return sum;
}

/* True when what is charged to `account` counts in `above`; NULL: in any. */
static bool counts_in(const struct ebb_budget_account *account, const struct ebb_budget_account *above)
{
    if (above == NULL)
        return true;
    for (unsigned level = 0; account != NULL && level <= LEDGER_DEPTH_MAX;
         level++, account = ledger_up(account))
        if (account == above)
            return true;
    return false;
}

/* The slot's unspent bytes if they count in the account. The account is read on both sides of the bytes, so to say: when it
 * changed meanwhile, which a thread seldom does, once more. */
static uint64_t slot_counts(const struct credit_slot *slot, const struct ebb_budget_account *above)
{
    for (unsigned i = 0; i < 4; i++) {
        uint32_t before = atomic_load_explicit(&slot->sequence, memory_order_acquire);
        const struct ebb_budget_account *account = atomic_load_explicit(&slot->account, memory_order_acquire);
        uint64_t unspent = atomic_load_explicit(&slot->unspent, memory_order_acquire);
        if (before % 2 == 0 && atomic_load_explicit(&slot->sequence, memory_order_relaxed) == before)
            return unspent != 0 && account != NULL && counts_in(account, above) ? unspent : 0;
    }
    return 0;
}

uint64_t ebb__ledger_unspent(const struct ebb_budget_account *account)
{
    const struct ledger_thread *t;
    uint64_t sum = 0;
    for (size_t i = 0; (t = ebb__ledger_thread_at(i)) != NULL; i++)
        if (atomic_load_explicit(&t->in_use, memory_order_acquire) != 0)
            for (uint32_t s = 0; s < LEDGER_SLOTS; s++)
                sum += slot_counts(&t->slots[s], account);
    return sum;
}

/* ---- fork ---- */

/* What another thread of the parent had unspent is nobody's in the child. Its account's sums are made again after this. */
void ebb__ledger_credit_after_fork(void)
{
    struct ledger_thread *t;
    for (size_t i = 0; (t = ebb__ledger_thread_at(i)) != NULL; i++) {
        ebb__lock_reset(&t->lock);
        if (t == mine || atomic_load(&t->in_use) == 0)
            continue;
        for (uint32_t s = 0; s < LEDGER_SLOTS; s++) {
            struct credit_slot *slot = &t->slots[s];
            struct ebb_budget_account *account = account_of(slot);
            uint64_t unspent = atomic_exchange(&slot->unspent, 0);
            if (account != NULL)
                (void)ledger_take_most(&account->own, unspent);
            atomic_store(&slot->account, NULL);
            atomic_store(&slot->sequence, 0);
        }
        ebb__ledger_table_free_thread(t);
        ledger_sub(&ebb__ledger_counts.threads, 1);
    }
}
