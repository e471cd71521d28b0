/* SPDX-License-Identifier: MIT
 * What the files of the ledger share: the layout of accounts and credits, and the walks. ledger.h has the essay. */
#ifndef EBB_LEDGER_PRIV_H
#define EBB_LEDGER_PRIV_H

#include "ledger/ledger.h"
#include "os/os.h"

/* ---- accounts ---- */

#define LEDGER_UNLIMITED ((uint64_t)EBB_BUDGET_UNLIMITED)

/* Levels below the process. A walk is so long at most. */
#define LEDGER_DEPTH_MAX 16u

/* The hot part. What charging and uncharging touch, in one line. */
struct ebb_budget_account {
    _Atomic uint64_t taken;        /* used, unspent and reserved, accounts below included */
    _Atomic uint64_t gate;         /* the lowest of soft, hard and, of the process, the look point */
    _Atomic uint64_t hard;         /* LEDGER_UNLIMITED: none */
    _Atomic uint64_t own;          /* charged to this account itself, its unspent credits included */
    _Atomic uint64_t own_reserved; /* reserved by this account itself and not drawn */
    _Atomic uint64_t reserved;     /* the same with accounts below */
    _Atomic uint64_t peak;         /* the highest `taken` that was ever left; a higher one may stand now */
    _Atomic(struct ebb_budget_account *) parent; /* NULL: the process; &ebb__ledger_dead: nobody's */
} EBB_ALIGNED(64);
EBB_STATIC_ASSERT(sizeof(struct ebb_budget_account) == 64, "one line");

/* The cold part. */
struct ledger_cold {
    char name[32];
    _Atomic int64_t min;
    _Atomic int64_t soft;
    _Atomic uint64_t peak_ms;      /* when `peak` was left; 0: never */
    _Atomic uint64_t soft_rest_ms; /* until then its soft limit asks nobody: the last time nobody gave */
    _Atomic uint64_t soft_hits;
    _Atomic uint64_t hard_hits;
    _Atomic uint64_t refusals;
    _Atomic uint64_t reclaimed_bytes;
    _Atomic uint32_t children;
    uint32_t account_class;
    uint32_t depth;
    struct ebb_budget_account *next_free;
    uint64_t sum_taken, sum_reserved, sum_unspent; /* scratch of the check, under the lock */
    uint32_t sum_children;
} EBB_ALIGNED(64);
EBB_STATIC_ASSERT(sizeof(struct ledger_cold) == 192, "256 accounts fill a chunk");

/* What `gate` has to be. */
uint64_t ebb__ledger_gate_of(const struct ebb_budget_account *account);

/* The parent of those that are not alive. */
extern EBB_HIDDEN struct ebb_budget_account ebb__ledger_dead;

struct ledger_cold *ebb__ledger_cold(const struct ebb_budget_account *account);

EBB_INLINE struct ebb_budget_account *ledger_parent(const struct ebb_budget_account *account)
{
    return atomic_load_explicit(&account->parent, memory_order_relaxed);
}

/* Where the next level of a charge is; NULL: there is none. What lies in the heap stops below it. */
EBB_INLINE struct ebb_budget_account *ledger_up(const struct ebb_budget_account *account)
{
    struct ebb_budget_account *up = ledger_parent(account);
    return EBB_UNLIKELY(up == &ebb__ledger_heap) ? NULL : up;
}

EBB_INLINE uint64_t ledger_get(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

EBB_INLINE void ledger_add(_Atomic uint64_t *word, uint64_t n)
{
    (void)atomic_fetch_add_explicit(word, n, memory_order_relaxed);
}

EBB_INLINE void ledger_sub(_Atomic uint64_t *word, uint64_t n)
{
    (void)atomic_fetch_sub_explicit(word, n, memory_order_relaxed);
}

/* Takes at most `most` from a word, and returns how much that was. */
EBB_INLINE uint64_t ledger_take_most(_Atomic uint64_t *word, uint64_t most)
{
    uint64_t have = ledger_get(word), part;
    do {
        part = have < most ? have : most;
    } while (part != 0 && !atomic_compare_exchange_weak_explicit(word, &have, have - part,
                                                                 memory_order_relaxed, memory_order_relaxed));
    return part;
}

/* Dies when the account is not alive. */
_Noreturn EBB_COLD void ebb__ledger_die_dead(const struct ebb_budget_account *account, const char *caller);
EBB_INLINE void ebb__ledger_expect_alive(const struct ebb_budget_account *account, const char *caller)
{
    if (EBB_UNLIKELY(ledger_parent(account) == &ebb__ledger_dead))
        ebb__ledger_die_dead(account, caller);
}

/* ---- the table ---- */

extern struct ebb_lock ebb__ledger_lock; /* EBB_RANK_LEDGER */

struct ledger_thread;

/* Under the lock: one from the free list or from a new chunk; NULL: no memory, or the table is full. */
struct ebb_budget_account *ebb__ledger_table_account(void);
struct ledger_thread *ebb__ledger_table_thread(void);
void ebb__ledger_table_free_account(struct ebb_budget_account *account);
void ebb__ledger_table_free_thread(struct ledger_thread *thread);

/* The i-th account, the three static ones first, living or not; NULL: there are no more. Needs no lock. */
struct ebb_budget_account *ebb__ledger_account_at(size_t i);
struct ledger_thread *ebb__ledger_thread_at(size_t i);

size_t ebb__ledger_table_bytes(void);

/* In a fork child whose parent held the lock: both free lists anew, from who is alive. */
void ebb__ledger_table_rebuild(void);

/* ---- walks ---- */

enum ledger_bound { LEDGER_GATE, LEDGER_HARD };

/* Adds to all levels, or to none: then the level that has no room is returned. pre: the lock is held, or a flight is on, or
 * there is one level alone: else those whom half a walk stands in the way of do not see it. */
struct ebb_budget_account *ebb__ledger_walk_up(struct ebb_budget_account *account, uint64_t bytes,
                                               enum ledger_bound bound);

/* The same for a first try, which holds no lock: it announces itself where it may have to take back what it added. */
struct ebb_budget_account *ebb__ledger_walk_first(struct ebb_budget_account *account, uint64_t bytes,
                                                  enum ledger_bound bound);

/* Charges what no limit of that kind is in the way of; asks nobody. */
int ebb__ledger_charge_at_once(struct ebb_budget_account *account, size_t bytes, enum ledger_bound bound);

/* The look point is in the way of a charge, and after a look it is not any more, although nobody gave anything. */
bool ebb__ledger_peek(const struct ebb_budget_account *account, uint64_t bytes);

/* Adds to all levels without asking any limit. */
void ebb__ledger_walk_force(struct ebb_budget_account *account, uint64_t bytes);

/* Takes from all levels. */
void ebb__ledger_walk_down(struct ebb_budget_account *account, uint64_t bytes);

/* All that a charge does once its first try has failed. 0 or -ENOMEM. */
int ebb__ledger_walk_slow(struct ebb_budget_account *account, uint64_t bytes);

/* How much of `wish` may be taken in advance: a small share of the least room on the way, 0 close to a limit. */
uint64_t ebb__ledger_share(const struct ebb_budget_account *account, uint64_t wish);

/* As ebb__ledger_uncharge() of what credits held: no check of the caller. */
void ebb__ledger_give(struct ebb_budget_account *account, uint64_t bytes, const char *caller);

/* Under the lock: the credits of all threads, or of one account (NULL: all, and the heap's room). */
size_t ebb__ledger_recall_locked(const struct ebb_budget_account *account);

/* Takes the heap's room. Any lock may be held. */
size_t ebb__ledger_recall_room(void);

/* Right after a recall: somebody moved it otherwise, or has taken more than there was and will add it back. */
bool ebb__ledger_room_is_none(void);

/* ---- flights ---- */

/* Bytes in flight count in `taken` and are neither used nor where a recall finds them: taken out of a slot or the room and
 * not given back yet, granted and not in their slot yet, or of half a walk. Nobody may be refused because of them, so they
 * are announced before and after. The lower half of the word counts the flights that are on; the upper one those that
 * have ended. A negative room is a flight too, announced by itself. */
extern EBB_HIDDEN _Atomic uint64_t ebb__ledger_flights;
#define LEDGER_LANDED (UINT64_C(1) << 32)

/* Before the bytes are moved by operations that release; pairs with the acquires of whoever then does not find them: he sees the
 * flight. */
EBB_INLINE void ledger_take_off(void)
{
    (void)atomic_fetch_add_explicit(&ebb__ledger_flights, 1, memory_order_acq_rel);
}

/* release: the bytes are where they belong; pairs with the acquire in ebb__ledger_flights_now() */
EBB_INLINE void ledger_land(void)
{
    (void)atomic_fetch_add_explicit(&ebb__ledger_flights, LEDGER_LANDED - 1, memory_order_release);
}

EBB_INLINE uint64_t ebb__ledger_flights_now(void)
{
    return atomic_load_explicit(&ebb__ledger_flights, memory_order_acquire);
}

/* Whether nothing was in flight since `before`, which ebb__ledger_flights_now() returned. */
EBB_INLINE bool ebb__ledger_nothing_flew(uint64_t before)
{
    return (uint32_t)before == 0 && ebb__ledger_flights_now() == before;
}

/* Who waits for a landing sleeps longer each time, and LEDGER_NAPS naps are some 0.1 s: a thread that was interrupted in
 * the middle runs again by then. */
#define LEDGER_NAPS 120u
void ebb__ledger_nap(unsigned nap);

/* ---- credits ---- */

#define LEDGER_SLOTS      8u
/* A grant: large enough that the shared lines are touched once in some thousand small charges, small enough that a thousand
 * threads do not hide a gigabyte. */
#define LEDGER_CREDIT_MIN EBB_KIB(64)
#define LEDGER_CREDIT_MAX EBB_KIB(256)

struct credit_slot {
    _Atomic(struct ebb_budget_account *)
        account;              /* changed by the thread, under its lock, while sequence is odd */
    _Atomic uint64_t unspent; /* taken by compare-and-swap, by anybody */
    _Atomic uint32_t sequence;
    uint32_t grant; /* the last one, by the thread alone */
};

struct ledger_thread {
    struct credit_slot slots[LEDGER_SLOTS];
    struct ebb_lock
        lock; /* EBB_RANK_CREDIT: who changes a slot's account, or empties slots that are not its own */
    _Atomic uint32_t in_use;
    uint32_t last; /* the slot that served last, by the thread alone, as the next two */
    uint32_t tick;
    uint32_t used_at[LEDGER_SLOTS];
    struct ledger_thread *next_free;
} EBB_ALIGNED(64);
EBB_STATIC_ASSERT(sizeof(struct ledger_thread) == 256, "256 threads fill a chunk");

/* The sum of unspent credits that count in the account, of all threads. */
uint64_t ebb__ledger_unspent(const struct ebb_budget_account *account);

/* In a fork child: blocks of the other threads. */
void ebb__ledger_credit_after_fork(void);

/* ---- shrinkers ---- */

/* As ebb__ledger_reclaim() with EBB_URGENCY_SOFT. *ret_missed_one: somebody was not asked because another thread was inside him
 * all the time. pre: bytes is not 0 */
size_t ebb__ledger_reclaim_softly(struct ebb_budget_account *account, size_t bytes, uint64_t deadline_ns,
                                  bool *ret_missed_one);

bool ebb__ledger_has_shrinker(const struct ebb_budget_account *account); /* under the lock */
void ebb__ledger_shrinker_after_fork(void);
int ebb__ledger_shrinker_check(void); /* under the lock */
size_t ebb__ledger_shrinker_count(void);

/* ---- counts ---- */

struct ledger_counts {
    _Atomic uint64_t accounts;
    _Atomic uint64_t threads;
    _Atomic uint64_t soft_hits;
    _Atomic uint64_t hard_hits;
    _Atomic uint64_t refusals;
    _Atomic uint64_t recalls;
    _Atomic uint64_t reclaims;
    _Atomic uint64_t shrinks;
    _Atomic uint64_t reclaimed_bytes;
    _Atomic uint64_t reclaim_ns;
};
extern EBB_HIDDEN struct ledger_counts ebb__ledger_counts;

#define LEDGER_COUNT(name, n) ledger_add(&ebb__ledger_counts.name, (uint64_t)(n))

#endif
