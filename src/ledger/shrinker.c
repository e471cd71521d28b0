/* SPDX-License-Identifier: MIT
 *
 * Who gives way: the list of shrinkers, and asking them, cheapest first.
 *
 * A slot's `inside` is 0, or the id of the thread that is in one of its functions; the highest bit says that somebody
 * sleeps until that thread is out. It becomes other than 0 only under the lock of the ledger while the slot is in use, so
 * whoever takes a slot out under the lock and then sees 0 knows that nobody is inside and nobody will be. No lock is held
 * inside.
 *
 * A thread that is inside one shrinker asks none: it might hold what the other one wants. That is found out by comparing
 * ids, so it needs no room in the thread.
 *
 * Some hold memory of many accounts below their own, more than there could be slots: a wide shrinker is asked for the limits of these
 * too, and is told which account must become smaller.
 */
#include "ledger/ledger_priv.h"

void (*ebb__ledger_step_out)(void);
void (*ebb__ledger_step_in)(void);

#include <limits.h>
#include <linux/futex.h>
#include <time.h>

#include "base/syscall.h"

#define SHRINKERS_MAX  64u
#define SOMEBODY_WAITS (UINT32_C(1) << 31)
#define NS_PER_S       UINT64_C(1000000000)
/* How long a sleep lasts at most: a wake that a fork lost is made up for. */
#define NAP_NS         UINT64_C(100000000)

enum state { FREE = 0, USED, LEAVING };

struct shrinker {
    _Atomic uint32_t inside;
    _Atomic uint32_t state; /* changed under the lock */
    _Atomic uint32_t price;
    uint32_t generation;           /* under the lock */
    struct ebb_budget_shrinker is; /* under the lock; stays while somebody is inside, as the next */
    bool wide;
};

static struct shrinker shrinkers[SHRINKERS_MAX];
static _Atomic uint32_t registered;

static struct ebb_budget_account *account_of(const struct shrinker *s)
{
    return s->is.account;
}

static uint32_t state_of(const struct shrinker *s)
{
    return atomic_load_explicit(&s->state, memory_order_relaxed);
}

/* ---- the list ---- */

static int number_of(const struct shrinker *s)
{
    return (int)(s->generation % ((uint32_t)INT_MAX / SHRINKERS_MAX - 1) * SHRINKERS_MAX +
                 (uint32_t)(s - shrinkers) + 1);
}

/* Under the lock. */
static struct shrinker *of_number(int number)
{
    if (number < 1)
        return NULL;
    struct shrinker *s = &shrinkers[(uint32_t)(number - 1) % SHRINKERS_MAX];
    return state_of(s) == USED && number_of(s) == number ? s : NULL;
}

static int add(const struct ebb_budget_shrinker *shrinker, bool wide)
{
    int number = -ENOSPC;
    if (shrinker->size_of_struct != sizeof(*shrinker) || shrinker->estimate == NULL ||
        shrinker->shrink == NULL || shrinker->account == &ebb__ledger_untracked)
        return -EINVAL;
    if (shrinker->account != NULL)
        ebb__ledger_expect_alive(shrinker->account, "ebb_budget_shrinker_add");
    ebb__lock_take(&ebb__ledger_lock);
    for (unsigned i = 0; i < SHRINKERS_MAX && number < 0; i++) {
        struct shrinker *s = &shrinkers[i];
        if (state_of(s) != FREE)
            continue;
        s->is = *shrinker;
        if (s->is.account == NULL)
            s->is.account = &ebb__ledger_process;
        s->wide = wide;
        s->generation++;
        atomic_store_explicit(&s->price, shrinker->price, memory_order_relaxed);
        atomic_store_explicit(&s->state, USED, memory_order_release);
        atomic_fetch_add_explicit(&registered, 1, memory_order_relaxed);
        number = number_of(s);
    }
    ebb__lock_release(&ebb__ledger_lock);
    return number;
}

int ebb__ledger_shrinker_add(const struct ebb_budget_shrinker *shrinker)
{
    return add(shrinker, false);
}

int ebb__ledger_shrinker_add_wide(const struct ebb_budget_shrinker *shrinker)
{
    return add(shrinker, true);
}

int64_t ebb__ledger_shrinker_price(int number, int64_t price)
{
    int64_t before = -ENOENT;
    if (price > UINT32_MAX)
        return -EINVAL;
    ebb__lock_take(&ebb__ledger_lock);
    struct shrinker *s = of_number(number);
    if (s != NULL) {
        before = atomic_load_explicit(&s->price, memory_order_relaxed);
        if (price >= 0)
            atomic_store_explicit(&s->price, (uint32_t)price, memory_order_relaxed);
    }
    ebb__lock_release(&ebb__ledger_lock);
    return before;
}

bool ebb__ledger_has_shrinker(const struct ebb_budget_account *account)
{
    for (unsigned i = 0; i < SHRINKERS_MAX; i++)
        if (state_of(&shrinkers[i]) != FREE && account_of(&shrinkers[i]) == account)
            return true;
    return false;
}

size_t ebb__ledger_shrinker_count(void)
{
    return atomic_load_explicit(&registered, memory_order_relaxed);
}

/* ---- in and out ---- */

/* Sleeps until the slot is left, for ns at most. False: it was left before. */
static void sleep_on(struct shrinker *s, uint64_t ns)
{
    uint32_t in = atomic_load_explicit(&s->inside, memory_order_relaxed);
    while (in != 0 && (in & SOMEBODY_WAITS) == 0)
        if (atomic_compare_exchange_weak_explicit(&s->inside, &in, in | SOMEBODY_WAITS, memory_order_relaxed,
                                                  memory_order_relaxed))
            in |= SOMEBODY_WAITS;
    if (in == 0)
        return;
    ns = ns < NAP_NS ? ns : NAP_NS;
    struct timespec rest = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    (void)ebb__syscall(EBB_SYS_futex, (long)&s->inside, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, (long)in,
                       (long)&rest, 0, 0);
}

static void leave(struct shrinker *s)
{
    if (ebb__ledger_step_in != NULL)
        ebb__ledger_step_in();
    /* release: what was done inside; pairs with the acquire in enter() and ebb__ledger_shrinker_remove() */
    uint32_t in = atomic_exchange_explicit(&s->inside, 0, memory_order_release);
    if (in & SOMEBODY_WAITS)
        (void)ebb__syscall(EBB_SYS_futex, (long)&s->inside, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, 0, 0,
                           0);
}

enum entry { ENTERED, BUSY, NOT_THERE };

static enum entry enter(struct shrinker *s, int number, uint32_t thread_id)
{
    uint32_t nobody = 0;
    enum entry entry = BUSY;
    ebb__lock_take(&ebb__ledger_lock);
    if (of_number(number) != s)
        entry = NOT_THERE;
    else if (atomic_compare_exchange_strong_explicit(&s->inside, &nobody, thread_id, memory_order_acquire,
                                                     memory_order_relaxed))
        entry = ENTERED;
    ebb__lock_release(&ebb__ledger_lock);
    if (entry == ENTERED && ebb__ledger_step_out != NULL)
        ebb__ledger_step_out();
    return entry;
}

static bool is_inside(const struct shrinker *s, uint32_t thread_id)
{
    return (atomic_load_explicit(&s->inside, memory_order_relaxed) & ~SOMEBODY_WAITS) == thread_id;
}

static bool is_inside_any(uint32_t thread_id)
{
    for (unsigned i = 0; i < SHRINKERS_MAX; i++)
        if (is_inside(&shrinkers[i], thread_id))
            return true;
    return false;
}

int ebb__ledger_shrinker_remove(int number)
{
    uint32_t thread_id = ebb__os_thread_id();
    ebb__lock_take(&ebb__ledger_lock);
    struct shrinker *s = of_number(number);
    int rc = s == NULL ? -ENOENT : is_inside(s, thread_id) ? -EDEADLK : 0;
    if (rc == 0)
        atomic_store_explicit(&s->state, LEAVING, memory_order_relaxed);
    ebb__lock_release(&ebb__ledger_lock);
    if (rc != 0)
        return rc;
    while (atomic_load_explicit(&s->inside, memory_order_acquire) != 0)
        sleep_on(s, NAP_NS);
    ebb__lock_take(&ebb__ledger_lock);
    atomic_store_explicit(&s->state, FREE, memory_order_relaxed);
    ebb__lock_release(&ebb__ledger_lock);
    atomic_fetch_sub_explicit(&registered, 1, memory_order_relaxed);
    return 0;
}

/* ---- asking ---- */

/* One round: whom to ask, in which order, and for what. */
struct round {
    struct ebb_budget_account *account;
    struct ebb_ledger_band band;
    size_t bytes; /* wanted, those that were given included */
    size_t given;
    enum ebb_budget_urgency urgency;
    bool missed_one;      /* a shrinker was busy for too long */
    uint64_t deadline_ns; /* 0: nobody waits */
    uint32_t thread_id;
    unsigned count;
    struct candidate {
        int number;
        uint32_t price;
        uint32_t eagerness; /* slack first, essential last */
    } candidates[SHRINKERS_MAX];
};

static bool before(const struct candidate *a, const struct candidate *b)
{
    return a->price != b->price ? a->price < b->price : a->eagerness < b->eagerness;
}

/* Whether the shrinker can make the round's account smaller. */
static bool can_help(const struct shrinker *s, const struct round *round)
{
    return ebb__ledger_is_below(account_of(s), round->account) ||
           (s->wide && ebb__ledger_is_below(round->account, account_of(s)));
}

/* The candidates in order; equals stay in the order of their slots. */
static void choose(struct round *round)
{
    ebb__lock_take(&ebb__ledger_lock);
    for (unsigned i = 0; i < SHRINKERS_MAX; i++) {
        struct shrinker *s = &shrinkers[i];
        if (state_of(s) != USED || !can_help(s, round))
            continue;
        uint32_t kind = ebb__ledger_cold(account_of(s))->account_class;
        if (kind == EBB_BUDGET_ESSENTIAL && round->urgency < EBB_URGENCY_HARD)
            continue;
        struct candidate c = {number_of(s), atomic_load_explicit(&s->price, memory_order_relaxed),
                              EBB_BUDGET_SLACK - kind};
        if (c.price < round->band.price_from || c.price > round->band.price_to ||
            c.number == round->band.without)
            continue;
        unsigned at = round->count++;
        for (; at != 0 && before(&c, &round->candidates[at - 1]); at--)
            round->candidates[at] = round->candidates[at - 1];
        round->candidates[at] = c;
    }
    ebb__lock_release(&ebb__ledger_lock);
}

static bool is_late(const struct round *round)
{
    return round->deadline_ns != 0 && ebb__os_now_ns() >= round->deadline_ns;
}

size_t ebb__ledger_spare(const struct ebb_budget_account *account)
{
    uint64_t least = SIZE_MAX;
    for (; account != NULL; account = ledger_parent(account)) {
        int64_t min = atomic_load_explicit(&ebb__ledger_cold(account)->min, memory_order_relaxed);
        uint64_t taken = ledger_get(&account->taken),
                 rest = taken > (uint64_t)min ? taken - (uint64_t)min : 0;
        if (min != 0 && rest < least)
            least = rest;
    }
    return least;
}

/* Inside. What it says that it could give, down to the minima. */
static size_t estimate(struct shrinker *s, struct round *round)
{
    bool narrows = s->wide && ebb__ledger_is_below(round->account, account_of(s));
    size_t bytes = s->is.estimate(s->wide ? round->account : s->is.context);
    if (round->urgency >= EBB_URGENCY_LAST)
        return bytes;
    return ebb__min(bytes, ebb__ledger_spare(narrows ? round->account : account_of(s)));
}

/* Inside. */
static void ask(struct shrinker *s, struct round *round)
{
    size_t bytes = ebb__min(round->bytes - round->given, estimate(s, round));
    if (bytes == 0)
        return;
    LEDGER_COUNT(shrinks, 1);
    round->given += s->is.shrink(s->wide ? round->account : s->is.context, bytes, round->urgency,
                                 round->deadline_ns != 0 ? round->deadline_ns : UINT64_MAX);
}

static struct shrinker *of_candidate(const struct candidate *candidate)
{
    return &shrinkers[(uint32_t)(candidate->number - 1) % SHRINKERS_MAX];
}

/* False: somebody else is inside. */
static bool ask_one(struct round *round, const struct candidate *candidate)
{
    struct shrinker *s = of_candidate(candidate);
    enum entry entry = enter(s, candidate->number, round->thread_id);
    if (entry == ENTERED) {
        ask(s, round);
        leave(s);
    }
    return entry != BUSY;
}

/* Somebody else is inside it, and may be giving to others what this one wants: wait for it, then ask. */
static void wait_and_ask(struct round *round, const struct candidate *candidate)
{
    while (!ask_one(round, candidate)) {
        uint64_t now_ns = ebb__os_now_ns();
        round->missed_one = now_ns >= round->deadline_ns;
        if (round->missed_one)
            return;
        sleep_on(of_candidate(candidate), round->deadline_ns - now_ns);
    }
}

static void ask_all(struct round *round)
{
    struct candidate busy_ones[SHRINKERS_MAX];
    unsigned busy_count = 0;
    for (unsigned i = 0; i < round->count && round->given < round->bytes && !is_late(round); i++)
        if (!ask_one(round, &round->candidates[i]))
            busy_ones[busy_count++] = round->candidates[i];
    bool waits = round->urgency == EBB_URGENCY_SOFT || round->urgency == EBB_URGENCY_HARD;
    if (!waits || round->deadline_ns == 0)
        return;
    for (unsigned i = 0; i < busy_count && round->given < round->bytes && !is_late(round); i++)
        wait_and_ask(round, &busy_ones[i]);
}

static size_t run(struct round *round)
{
    round->thread_id = ebb__os_thread_id();
    if (is_inside_any(round->thread_id))
        return 0;
    choose(round);
    if (round->count == 0)
        return 0;
    uint64_t start_ns = ebb__os_now_ns();
    ask_all(round);
    LEDGER_COUNT(reclaims, 1);
    LEDGER_COUNT(reclaimed_bytes, round->given);
    LEDGER_COUNT(reclaim_ns, ebb__os_now_ns() - start_ns);
    return round->given;
}

static const struct ebb_ledger_band all = {0, UINT32_MAX, 0};

size_t ebb__ledger_reclaim(struct ebb_budget_account *account, size_t bytes, enum ebb_budget_urgency urgency,
                           uint64_t deadline_ns)
{
    if (ebb__ledger_shrinker_count() == 0 || bytes == 0)
        return 0;
    if (account == NULL)
        account = &ebb__ledger_process;
    ebb__ledger_expect_alive(account, "ebb_budget_reclaim");
    struct round round = {
        .account = account, .band = all, .bytes = bytes, .urgency = urgency, .deadline_ns = deadline_ns};
    return run(&round);
}

size_t ebb__ledger_reclaim_softly(struct ebb_budget_account *account, size_t bytes, uint64_t deadline_ns,
                                  bool *ret_missed_one)
{
    struct round round = {.account = account,
                          .band = all,
                          .bytes = bytes,
                          .urgency = EBB_URGENCY_SOFT,
                          .deadline_ns = deadline_ns};
    size_t given = ebb__ledger_shrinker_count() == 0 ? 0 : run(&round);
    *ret_missed_one = round.missed_one;
    return given;
}

/* ---- by kind ---- */

size_t ebb__ledger_reclaim_band(const struct ebb_ledger_band *band, size_t bytes,
                                enum ebb_budget_urgency urgency, uint64_t deadline_ns)
{
    if (ebb__ledger_shrinker_count() == 0 || bytes == 0)
        return 0;
    struct round round = {.account = &ebb__ledger_process,
                          .band = *band,
                          .bytes = bytes,
                          .urgency = urgency,
                          .deadline_ns = deadline_ns};
    return run(&round);
}

size_t ebb__ledger_estimate_band(const struct ebb_ledger_band *band, enum ebb_budget_urgency urgency)
{
    struct round round = {
        .account = &ebb__ledger_process, .band = *band, .urgency = urgency, .thread_id = ebb__os_thread_id()};
    size_t sum = 0;
    if (ebb__ledger_shrinker_count() == 0 || is_inside_any(round.thread_id))
        return 0;
    choose(&round);
    for (unsigned i = 0; i < round.count; i++) {
        struct shrinker *s = of_candidate(&round.candidates[i]);
        if (enter(s, round.candidates[i].number, round.thread_id) != ENTERED)
            continue;
        size_t bytes = estimate(s, &round);
        leave(s);
        if (__builtin_add_overflow(sum, bytes, &sum))
            sum = SIZE_MAX;
    }
    return sum;
}

/* ---- check and fork ---- */

int ebb__ledger_shrinker_check(void)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < SHRINKERS_MAX; i++) {
        const struct shrinker *s = &shrinkers[i];
        uint32_t in = atomic_load_explicit(&s->inside, memory_order_relaxed);
        EBB_HOLDS("L7", state_of(s) != FREE || in == 0, i, in);
        EBB_HOLDS("L6", state_of(s) == FREE || ledger_parent(account_of(s)) != &ebb__ledger_dead, i,
                  state_of(s));
        count += state_of(s) != FREE;
        for (unsigned j = 0; j < i && in != 0; j++)
            EBB_HOLDS("L7", !is_inside(&shrinkers[j], in & ~SOMEBODY_WAITS), i, j);
    }
    EBB_HOLDS("L7", count == ebb__ledger_shrinker_count(), count, ebb__ledger_shrinker_count());
    return 0;
}

/* Whoever was inside, or waited, is not in the child. */
void ebb__ledger_shrinker_after_fork(void)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < SHRINKERS_MAX; i++) {
        struct shrinker *s = &shrinkers[i];
        atomic_store(&s->inside, 0);
        if (state_of(s) == LEAVING)
            atomic_store(&s->state, FREE);
        count += state_of(s) != FREE;
    }
    atomic_store(&registered, count);
}
