/* SPDX-License-Identifier: MIT
 *
 * Charging: walks from an account up to the process, what happens at a limit, reservations, and the heap's room.
 *
 * Order. A charge raises `taken` from the account upwards, then `own`; uncharging lowers `own`, then `taken` from the
 * account upwards. So at every instant own(A) <= taken(A), and the child of a fork can make all sums again from what `own`
 * says.
 *
 * Half a walk. A first try that has raised one level and is refused at the next has stood in the way of others meanwhile, for as long as
 * the kernel had its thread wait. Within NEAR_BYTES of a gate it is therefore announced as a flight, which costs two operations on a line
 * that all threads share; far from all gates it is not, because there it is refused only if others use up as much between
 * its look and its addition.
 */
#include "ledger/ledger_priv.h"

#include <linux/futex.h>
#include <time.h>

#include "base/syscall.h"

/* A soft limit must not hurt: time for a purge of some MiB, not for I/O. */
#define SOFT_PATIENCE_NS UINT64_C(2000000)
/* Refusing hurts more than waiting, but a query that waits much longer is as good as refused: time to write out some frames. */
#define HARD_PATIENCE_NS UINT64_C(100000000)
/* When nobody gave, asking again at each charge would cost all of them a round: the next round is so much later. */
#define SOFT_REST_MS     100u
/* Rounds of asking for one charge; other threads may have taken what was given. */
#define HARD_ROUNDS_MAX  8u
/* Tries while others take back what they had added, or are granted credits: each is some hundred nanoseconds. */
#define RETRIES_MAX      100u
/* Of the least room on the way, so much is granted in advance to one thread: 32 threads together leave more than a third of it. */
#define SHARE_OF_ROOM    32u
#define SHARE_ALIGN      EBB_KIB(4)
/* A round asks for this share of the limit at least, and for 2 MiB at most if less is missing: else each small charge at a
 * limit would cost a round of its own. */
#define STEP_SHARE       64u
#define STEP_MAX         EBB_MIB(2)
/* So near to a gate a first try is announced: more than some threads charge while one is interrupted for a moment. */
#define NEAR_BYTES       EBB_MIB(1)
/* A nap, doubled after each NAPS_ALIKE. */
#define NAP_NS           20000
#define NAPS_ALIKE       4u
#define NAP_DOUBLED_MAX  6u

_Atomic uint64_t ebb__ledger_flights;

void ebb__ledger_nap(unsigned nap)
{
    static uint32_t nobody_wakes;
    unsigned doubled = nap / NAPS_ALIKE;
    struct timespec rest = {.tv_nsec = NAP_NS << (doubled < NAP_DOUBLED_MAX ? doubled : NAP_DOUBLED_MAX)};
    (void)ebb__syscall(EBB_SYS_futex, (long)&nobody_wakes, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, (long)&rest, 0,
                       0);
}

/* ---- walks ---- */

EBB_INLINE bool fits(uint64_t have, uint64_t bytes, uint64_t limit)
{
    return have <= limit && bytes <= limit - have;
}

/* Its soft limit asks nobody for now: the others alone count. */
static bool is_resting(const struct ebb_budget_account *account)
{
    return ebb__os_now_ms() < ledger_get(&ebb__ledger_cold(account)->soft_rest_ms);
}

EBB_COLD static uint64_t bound_above_gate(const struct ebb_budget_account *account, uint64_t gate)
{
    if (!is_resting(account))
        return gate;
    uint64_t hard = ledger_get(&account->hard), look = (uint64_t)ebb__ledger_look_point(-1);
    return account == &ebb__ledger_process && look < hard ? look : hard;
}

/* The limit that counts when `taken` is what it is. */
EBB_INLINE uint64_t bound_of(const struct ebb_budget_account *account, uint64_t taken, uint64_t bytes,
                             enum ledger_bound bound)
{
    if (bound == LEDGER_HARD)
        return ledger_get(&account->hard);
    uint64_t gate = ledger_get(&account->gate);
    return EBB_LIKELY(fits(taken, bytes, gate)) ? gate : bound_above_gate(account, gate);
}

/* acquire: whoever is in the way of a charge has been announced. Pairs with the release in raise_one(); what others add and subtract
 * in between does not break that chain. */
EBB_INLINE uint64_t taken_of(const struct ebb_budget_account *account)
{
    return atomic_load_explicit(&account->taken, memory_order_acquire);
}

/* Never above the limit, not for an instant. Without a limit there is nothing to pass, and no reason to try twice. */
EBB_INLINE bool raise_one(struct ebb_budget_account *account, uint64_t bytes, enum ledger_bound bound)
{
    uint64_t have = taken_of(account);
    do {
        uint64_t limit = bound_of(account, have, bytes, bound);
        if (limit == LEDGER_UNLIMITED) {
            (void)atomic_fetch_add_explicit(&account->taken, bytes, memory_order_release);
            return true;
        }
        if (!fits(have, bytes, limit))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&account->taken, &have, have + bytes,
                                                    memory_order_release, memory_order_acquire));
    return true;
}

/* Takes back from all levels below `end`, which others may have been refused for meanwhile. */
static EBB_NOINLINE void retreat(struct ebb_budget_account *account, const struct ebb_budget_account *end,
                                 uint64_t bytes)
{
    for (; account != end; account = ledger_up(account))
        ledger_sub(&account->taken, bytes);
    /* release: after the subtractions; pairs with the acquire in ebb__ledger_flights_now() */
    (void)atomic_fetch_add_explicit(&ebb__ledger_flights, LEDGER_LANDED, memory_order_release);
}

EBB_INLINE struct ebb_budget_account *raise_all(struct ebb_budget_account *account, uint64_t bytes,
                                                enum ledger_bound bound)
{
    struct ebb_budget_account *level;
    for (level = account; level != NULL; level = ledger_up(level))
        if (!raise_one(level, bytes, bound))
            break;
    if (EBB_UNLIKELY(level != NULL && level != account))
        retreat(account, level, bytes);
    return level;
}

/* The first level that has no room. */
EBB_INLINE struct ebb_budget_account *find_full(struct ebb_budget_account *account, uint64_t bytes,
                                                enum ledger_bound bound)
{
    do {
        uint64_t taken = taken_of(account);
        if (!fits(taken, bytes, bound_of(account, taken, bytes, bound)))
            return account;
    } while ((account = ledger_up(account)) != NULL);
    return NULL;
}

/* First a look at all levels, so that a charge that will be refused above adds nothing below. */
struct ebb_budget_account *ebb__ledger_walk_up(struct ebb_budget_account *account, uint64_t bytes,
                                               enum ledger_bound bound)
{
    struct ebb_budget_account *blocked = find_full(account, bytes, bound);
    return blocked != NULL ? blocked : raise_all(account, bytes, bound);
}

/* One level alone is raised or not: there is no half of it. */
static EBB_NOINLINE struct ebb_budget_account *walk_near(struct ebb_budget_account *account, uint64_t bytes,
                                                         enum ledger_bound bound)
{
    struct ebb_budget_account *blocked = find_full(account, bytes, bound);
    if (blocked != NULL)
        return blocked;
    if (ledger_up(account) == NULL)
        return raise_all(account, bytes, bound);
    ledger_take_off();
    blocked = raise_all(account, bytes, bound);
    ledger_land();
    return blocked;
}

struct ebb_budget_account *ebb__ledger_walk_first(struct ebb_budget_account *account, uint64_t bytes,
                                                  enum ledger_bound bound)
{
    for (struct ebb_budget_account *level = account; level != NULL; level = ledger_up(level))
        if (EBB_UNLIKELY(!fits(ledger_get(&level->taken), bytes + NEAR_BYTES, ledger_get(&level->gate))))
            return walk_near(account, bytes, bound);
    return raise_all(account, bytes, bound);
}

void ebb__ledger_walk_force(struct ebb_budget_account *account, uint64_t bytes)
{
    for (; account != NULL; account = ledger_up(account))
        ledger_add(&account->taken, bytes);
}

/* `taken` was never higher than just before it falls. */
EBB_COLD static void note_peak(struct ebb_budget_account *account, uint64_t taken)
{
    uint64_t peak = ledger_get(&account->peak);
    while (peak < taken)
        if (atomic_compare_exchange_weak_explicit(&account->peak, &peak, taken, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            atomic_store_explicit(&ebb__ledger_cold(account)->peak_ms, ebb__os_now_ms(),
                                  memory_order_relaxed);
            return;
        }
}

/* Where the way goes on is read first: an account whose `taken` has fallen to nothing may be ended. */
void ebb__ledger_walk_down(struct ebb_budget_account *account, uint64_t bytes)
{
    for (struct ebb_budget_account *up; account != NULL; account = up) {
        up = ledger_up(account);
        /* release: after that read; pairs with the acquire in account.c: may_end() */
        uint64_t before = atomic_fetch_sub_explicit(&account->taken, bytes, memory_order_release);
        if (EBB_UNLIKELY(before > ledger_get(&account->peak)))
            note_peak(account, before);
    }
}

uint64_t ebb__ledger_share(const struct ebb_budget_account *account, uint64_t wish)
{
    uint64_t least = LEDGER_UNLIMITED;
    for (; account != NULL; account = ledger_up(account)) {
        uint64_t taken = ledger_get(&account->taken), limit = bound_of(account, taken, wish, LEDGER_GATE);
        if (taken >= limit)
            return 0;
        least = limit - taken < least ? limit - taken : least;
    }
    uint64_t share = least / SHARE_OF_ROOM;
    return ebb__align_down(share < wish ? share : wish, SHARE_ALIGN);
}

/* ---- at a limit ---- */

/* A charge in its second half. Sets of levels are bits by depth. */
struct plea {
    struct ebb_budget_account *account;
    uint64_t bytes;
    uint32_t met;     /* levels whose hard limit was in the way */
    uint32_t in_vain; /* of those, where nobody gave anything */
    bool is_final;    /* the last try says the truth: nothing was in flight */
};

static uint32_t level_bit(const struct ebb_budget_account *account)
{
    return UINT32_C(1) << ebb__ledger_cold(account)->depth;
}

static void note_met(struct plea *plea, struct ebb_budget_account *blocked)
{
    if (plea->met == 0)
        LEDGER_COUNT(hard_hits, 1);
    if ((plea->met & level_bit(blocked)) == 0)
        ledger_add(&ebb__ledger_cold(blocked)->hard_hits, 1);
    plea->met |= level_bit(blocked);
}

/* One thread at a time. What may be in the way and is not used: unspent credits, which are recalled; and what is in
 * flight, another one's first try among it. So it is tried until it failed twice in a row with nothing to recall and
 * nothing in flight: recalled was all of the room, so it is none unless somebody moved it. */
static struct ebb_budget_account *try_exactly(struct plea *plea, enum ledger_bound bound)
{
    struct ebb_budget_account *blocked = NULL;
    unsigned quiet = 0;
    ebb__lock_take(&ebb__ledger_lock);
    for (unsigned i = 0; i < RETRIES_MAX && quiet < 2; i++) {
        uint64_t before = ebb__ledger_flights_now();
        blocked = ebb__ledger_walk_up(plea->account, plea->bytes, bound);
        if (blocked == NULL)
            break;
        bool is_quiet = ebb__ledger_recall_locked(NULL) == 0 && ebb__ledger_room_is_none() &&
                        ebb__ledger_nothing_flew(before);
        quiet = is_quiet ? quiet + 1 : 0;
    }
    ebb__lock_release(&ebb__ledger_lock);
    plea->is_final = blocked == NULL || quiet == 2;
    return blocked;
}

/* Somebody was interrupted with bytes in flight. */
static struct ebb_budget_account *wait_for_landings(struct plea *plea, struct ebb_budget_account *blocked)
{
    for (unsigned nap = 0; nap < LEDGER_NAPS && !plea->is_final; nap++) {
        ebb__ledger_nap(nap);
        blocked = try_exactly(plea, LEDGER_HARD);
    }
    return blocked;
}

/* The level that can never hold so much, whoever gives. */
static struct ebb_budget_account *never_fits(struct ebb_budget_account *account, uint64_t bytes)
{
    for (; account != NULL; account = ledger_up(account))
        if (bytes > ledger_get(&account->hard))
            break;
    return account;
}

/* What to ask for so that a charge of `bytes` does not pass the limit: a quarter more than is missing; 0 when nothing is. */
static size_t missing(const struct ebb_budget_account *account, uint64_t bytes, uint64_t limit)
{
    uint64_t wanted = ledger_get(&account->taken) + bytes;
    if (wanted <= limit)
        return 0;
    return ebb__max((wanted - limit) + (wanted - limit) / 4, ebb__min(limit / STEP_SHARE, STEP_MAX));
}

static size_t note_reclaimed(struct ebb_budget_account *account, size_t given)
{
    ledger_add(&ebb__ledger_cold(account)->reclaimed_bytes, given);
    return given;
}

/* The charge would pass the look point. */
static bool is_look_due(const struct ebb_budget_account *account, uint64_t bytes)
{
    while (account != NULL && account != &ebb__ledger_process)
        account = ledger_up(account);
    return account != NULL && ebb__ledger_look != NULL &&
           missing(account, bytes, (uint64_t)ebb__ledger_look_point(-1)) != 0;
}

bool ebb__ledger_peek(const struct ebb_budget_account *account, uint64_t bytes)
{
    return is_look_due(account, bytes) && ebb__ledger_look(bytes, false) == 0;
}

/* What is still missing after the look is asked of shrinkers of the process, but for that of who has looked, and has just given
 * what it could. */
static void look_first(const struct ebb_budget_account *account, uint64_t bytes)
{
    size_t still = is_look_due(account, bytes) ? ebb__ledger_look(bytes, true) : 0;
    struct ebb_ledger_band others = {0, UINT32_MAX, ebb__ledger_looker};
    if (still != 0)
        note_reclaimed(&ebb__ledger_process, ebb__ledger_reclaim_band(&others, still, EBB_URGENCY_SOFT,
                                                                      ebb__os_now_ns() + SOFT_PATIENCE_NS));
}

/* All levels whose soft limit is in the way. */
static void ask_softly(struct ebb_budget_account *account, uint64_t bytes)
{
    for (; account != NULL; account = ledger_up(account)) {
        struct ledger_cold *cold = ebb__ledger_cold(account);
        size_t wanted =
            missing(account, bytes, (uint64_t)atomic_load_explicit(&cold->soft, memory_order_relaxed));
        if (wanted == 0 || is_resting(account))
            continue;
        bool missed_one;
        ledger_add(&cold->soft_hits, 1);
        LEDGER_COUNT(soft_hits, 1);
        size_t given =
            ebb__ledger_reclaim_softly(account, wanted, ebb__os_now_ns() + SOFT_PATIENCE_NS, &missed_one);
        if (note_reclaimed(account, given) == 0 && !missed_one)
            atomic_store_explicit(&cold->soft_rest_ms, ebb__os_now_ms() + SOFT_REST_MS, memory_order_relaxed);
    }
}

/* The hard limit of *blocked is in the way. Gives back the level that is in the end, or NULL. A level where nobody gave
 * anything ends it, unless another one is in the way afterwards. */
static struct ebb_budget_account *ask_hard(struct plea *plea, struct ebb_budget_account *blocked)
{
    uint64_t deadline_ns = ebb__os_now_ns() + HARD_PATIENCE_NS;
    for (unsigned round = 0; round < HARD_ROUNDS_MAX && blocked != NULL; round++) {
        note_met(plea, blocked);
        if ((plea->in_vain & level_bit(blocked)) != 0 || ebb__os_now_ns() >= deadline_ns)
            break;
        size_t wanted = missing(blocked, plea->bytes, ledger_get(&blocked->hard));
        if (wanted != 0 &&
            note_reclaimed(blocked, ebb__ledger_reclaim(blocked, wanted, EBB_URGENCY_HARD, deadline_ns)) == 0)
            plea->in_vain |= level_bit(blocked);
        /* Also when nothing was given: somebody else may have uncharged meanwhile. */
        blocked = try_exactly(plea, LEDGER_HARD);
    }
    return blocked;
}

/* `whole` is what the charge is about, of which `bytes` are not reserved. */
static int plead(struct ebb_budget_account *account, uint64_t bytes, uint64_t whole)
{
    struct plea plea = {.account = account, .bytes = bytes};
    struct ebb_budget_account *blocked = never_fits(account, whole);
    if (blocked == NULL) {
        if (try_exactly(&plea, LEDGER_GATE) == NULL)
            return 0;
        look_first(account, bytes);
        ask_softly(account, bytes);
        blocked = try_exactly(&plea, LEDGER_HARD);
        if (blocked != NULL)
            blocked = ask_hard(&plea, blocked);
        if (blocked != NULL)
            blocked = wait_for_landings(&plea, blocked);
        if (blocked == NULL)
            return 0;
    }
    note_met(&plea, blocked);
    ledger_add(&ebb__ledger_cold(blocked)->refusals, 1);
    LEDGER_COUNT(refusals, 1);
    return -ENOMEM;
}

int ebb__ledger_walk_slow(struct ebb_budget_account *account, uint64_t bytes)
{
    return plead(account, bytes, bytes);
}

/* ---- reservations ---- */

static void change_reserved(struct ebb_budget_account *account, uint64_t bytes, bool more)
{
    for (; account != NULL; account = ledger_up(account))
        if (more)
            ledger_add(&account->reserved, bytes);
        else
            ledger_sub(&account->reserved, bytes);
}

/* Turns what is reserved into what is charged. All of it or nothing. */
static bool draw(struct ebb_budget_account *account, uint64_t bytes)
{
    uint64_t have = ledger_get(&account->own_reserved);
    do {
        if (have < bytes)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&account->own_reserved, &have, have - bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    change_reserved(account, bytes, false);
    ledger_add(&account->own, bytes);
    return true;
}

/* The rest first, which may be refused after a long time; what is reserved last: until then others can draw on it, who were
 * promised not to be refused. When they did, more is to be walked for, and it begins anew. */
static EBB_NOINLINE int charge_reserved(struct ebb_budget_account *account, uint64_t bytes,
                                        enum ledger_bound bound, bool may_plead)
{
    for (;;) {
        uint64_t reserved = ledger_get(&account->own_reserved), drawn = reserved < bytes ? reserved : bytes,
                 rest = bytes - drawn;
        if (rest != 0 && ebb__ledger_walk_first(account, rest, bound) != NULL &&
            (!may_plead || plead(account, rest, bytes) != 0))
            return -ENOMEM;
        if (draw(account, drawn)) {
            ledger_add(&account->own, rest);
            return 0;
        }
        retreat(account, NULL, rest);
    }
}

EBB_INLINE bool is_chargeable(const struct ebb_budget_account *account, const char *caller)
{
    ebb__ledger_expect_alive(account, caller);
    return account != &ebb__ledger_heap && account != &ebb__ledger_untracked;
}

int ebb__ledger_reserve(struct ebb_budget_account *account, size_t bytes)
{
    if (!is_chargeable(account, "ebb_budget_reserve"))
        return -EINVAL;
    if (bytes > EBB_BUDGET_CHARGE_MAX)
        return -ENOMEM;
    if (ebb__ledger_walk_first(account, bytes, LEDGER_GATE) != NULL &&
        ebb__ledger_walk_slow(account, bytes) != 0)
        return -ENOMEM;
    change_reserved(account, bytes, true);
    ledger_add(&account->own_reserved, bytes);
    return 0;
}

int ebb__ledger_reserve_try(struct ebb_budget_account *account, size_t bytes)
{
    if (ebb__ledger_walk_first(account, bytes, LEDGER_GATE) != NULL)
        return -ENOMEM;
    change_reserved(account, bytes, true);
    ledger_add(&account->own_reserved, bytes);
    return 0;
}

size_t ebb__ledger_release(struct ebb_budget_account *account, size_t bytes)
{
    ebb__ledger_expect_alive(account, "ebb_budget_release");
    uint64_t released = ledger_take_most(&account->own_reserved, bytes);
    if (released != 0) {
        change_reserved(account, released, false);
        ebb__ledger_walk_down(account, released);
    }
    return released;
}

/* ---- accounts ---- */

int ebb__ledger_charge(struct ebb_budget_account *account, size_t bytes)
{
    if (!is_chargeable(account, "ebb_budget_charge"))
        return -EINVAL;
    if (bytes > EBB_BUDGET_CHARGE_MAX)
        return -ENOMEM;
    if (EBB_UNLIKELY(ledger_get(&account->own_reserved) != 0))
        return charge_reserved(account, bytes, LEDGER_GATE, true);
    if (EBB_UNLIKELY(ebb__ledger_walk_first(account, bytes, LEDGER_GATE) != NULL) &&
        ebb__ledger_walk_slow(account, bytes) != 0)
        return -ENOMEM;
    ledger_add(&account->own, bytes);
    return 0;
}

int ebb__ledger_charge_at_once(struct ebb_budget_account *account, size_t bytes, enum ledger_bound bound)
{
    if (!is_chargeable(account, "ebb_budget_charge"))
        return -EINVAL;
    if (bytes > EBB_BUDGET_CHARGE_MAX)
        return -ENOMEM;
    if (EBB_UNLIKELY(ledger_get(&account->own_reserved) != 0))
        return charge_reserved(account, bytes, bound, false);
    if (ebb__ledger_walk_first(account, bytes, bound) != NULL)
        return -ENOMEM;
    ledger_add(&account->own, bytes);
    return 0;
}

int ebb__ledger_charge_try(struct ebb_budget_account *account, size_t bytes)
{
    return ebb__ledger_charge_at_once(account, bytes, LEDGER_HARD);
}

void ebb__ledger_give(struct ebb_budget_account *account, uint64_t bytes, const char *caller)
{
    uint64_t own = atomic_fetch_sub_explicit(&account->own, bytes, memory_order_relaxed);
    if (EBB_UNLIKELY(own < bytes)) {
        ebb__ledger_expect_alive(account, caller);
        ebb__die("%s: account \"%s\" was charged for %lu bytes, not for %lu", caller,
                 ebb__ledger_cold(account)->name, (unsigned long)own, (unsigned long)bytes);
    }
    ebb__ledger_walk_down(account, bytes);
}

void ebb__ledger_uncharge(struct ebb_budget_account *account, size_t bytes)
{
    ebb__ledger_give(account, bytes, "ebb_budget_uncharge");
}
