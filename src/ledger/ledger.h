/* SPDX-License-Identifier: MIT
 *
 * Door of the ledger: the tree of accounts, credits of threads, reservations, and the shrinkers that give way.
 * <ebb/budget.h> is the manual of the same functions, which src/api passes on under its names; what only modules need is
 * documented here.
 *
 * What. Mechanism alone: it counts, compares, asks the shrinkers in the order of their price, and refuses. When to act early
 * is the governor's to say.
 *
 *     process  taken = own + own_reserved + taken of its children
 *       |-- heap        taken = what the heap may use before it has to ask again; `room` is what is left of that
 *       |     `-- regions, connections ...   charges stop here: their bytes are the heap's already
 *       |-- untracked   measured by somebody who looked at RSS
 *       `-- pool ...
 *              `-- credits of threads: part of the account's `own` until they are spent, given back, or recalled
 *
 * Data. The hot part of an account is one line of 64 bytes: taken, gate, hard, own, own_reserved, reserved, peak, parent.
 * `gate` is the lower of the soft and the hard limit: the lowest `taken` above which anybody must look. The cold part
 * (limits, name, counts) lies apart. Made accounts and threads' credits lie in chunks of 64 KiB of one reservation, which
 * is made with the first of them: 256 accounts, or 256 threads each. What is always there (process, heap, untracked) is
 * static, right from its initial values on: the dynamic linker may allocate before any constructor.
 *
 * The heap's fast form. Its room is one signed word, the distance between what it uses and its gate: charging subtracts and
 * looks at the sign. So nothing is compared with a second word that could have moved meanwhile; gates are recomputed by
 * adding to the room or taking from it, each by one atomic operation, and no charge that is under way can slip through.
 * Without a limit nearby the room is refilled by 1/64 of what the heap uses at a time (256 KiB to 16 MiB), by one walk up
 * the tree.
 *
 * Charging an account. The first try looks at each level (is there room below the gate?), then adds to each by
 * compare-and-swap, so that `taken` never passes a gate for an instant, whoever looks. Where it fails half way it takes
 * back what it added. The second half, once the first try has failed: what no hard limit can ever hold is refused at once; else
 * recall the unspent credits, ask shrinkers, and try again by the hard limits alone, one thread at a time. Where no limit is set
 * the addition is unconditional: a charge is at most 2^52 bytes, so 2048 threads would have to be in the middle of the largest
 * ones, with sums near INT64_MAX, for a sum to become negative.
 *
 * Refusals are exact. Bytes that count and are neither used nor to be found by a recall are in flight: taken out of a slot or the
 * room by who gives them back, granted and not in their slot, added by half a walk near a limit. One word counts the
 * flights that are on and those that have ended; only slow paths touch it. Nobody is refused until it failed twice in a row with nothing
 * to recall and nothing in flight; a thread that is interrupted with bytes in flight is waited for, up to 0.1 s. Not seen
 * is half a walk that began more than a MiB from all gates and is refused all the same.
 *
 * Reservations. Who charges more than is reserved walks for the rest first and draws last, all of the part or nothing: while he asks
 * shrinkers, what is reserved is there for others.
 *
 * Soft limits. When nobody gave anything the limit rests for 0.1 s: until then the hard limits alone count on that level,
 * so that an account that stays above its soft limit for long is charged as fast as any other.
 *
 * The look point. Some limits cannot be charged against: that of a cgroup, in which others live. So the process has one more bound, which is
 * no limit: whoever would pass it looks first (ebb__ledger_look, by the floor above), which may give memory back and moves the
 * point on. What is missing then is asked of shrinkers. It never refuses, and never rests.
 *
 * Credits. A thread has 8 slots (account, unspent), in a line of its own. It spends by compare-and-swap on its own word;
 * anybody may take the whole of it (recall). Only the thread changes a slot's account, under the lock of its block, with
 * the slot empty and its sequence odd. A grant is a share of the least room on the way (1/32), 64 to 256 KiB; close to a
 * limit there is none.
 *
 * Invariants
 *   L1  taken(A) = own(A) + own_reserved(A) + sum of taken(children of A), at rest; the children of the heap are left out
 *   L2  reserved(A) = own_reserved(A) + sum of reserved(children of A), at rest; the same
 *   L3  gate(A) = the lower of soft(A) and hard(A); of the process, no more than its look point
 *   L4  unspent credits of A, of all threads together, are at most own(A); the heap's room is at most its taken
 *   L5  no word is negative (nothing above INT64_MAX), and peak(A) or taken(A) is the most that was taken
 *   L6  an account on the free list is dead, has no parent, holds nothing; children(A) counts the living whose parent is A
 *   L7  no shrinker is inside twice; a free slot of a shrinker has nobody inside
 *   L8  taken(A) <= hard(A), unless the limit was set below it, the bytes were measured (untracked) or taken already
 *       (heap_force)
 *
 * Locking. EBB_RANK_LEDGER guards the tree (making and ending, limits, the table, the list of shrinkers, the second try);
 * EBB_RANK_CREDIT, inside it, the accounts of one thread's slots. Both are leaves: no lock is taken and nothing is called
 * under them but the kernel, for a new chunk. Uncharging, spending and readers of statistics take none. Whoever charges may
 * wait for the first, and calls shrinkers, so it must hold no lock of ours; shrinkers are called without any.
 *
 * Shrinkers. A word for each names the thread inside; another one that wants in goes on to the next shrinker and, at
 * EBB_URGENCY_HARD, comes back and waits for it until the deadline. A thread inside a shrinker asks no other: its charges
 * are tried and refused. A limit of account A asks only shrinkers of A and of what is below A: no other can lower A. The exception is
 * a wide shrinker, which holds memory of many accounts below its own (regions do), and is told which must become smaller.
 *
 * Costs, in instructions on x86-64 (tests/unit/ledger/test_cost.c counts them): the heap's charge 4 and its uncharge 6, one
 * of them atomic; by credit 29 and 25, one of them atomic, on a line of the thread's own; a walk 135 for an account right
 * below the process, two of them atomic and one for its own sum, and 32 for each level more; near a limit two atomic ones more, on a
 * line that all share. 256 bytes for each account and
 * each thread that ever held a credit at the same time.
 *
 * Failure. Without memory for the table no account can be made (-ENOMEM), and threads charge without credits.
 *
 * Fork. In the child: locks and shrinkers' words are reset, credits of other threads go back, and the sums of parents are
 * made again from what is below them, because a thread of the parent may have been in the middle of a walk; where one held the lock,
 * the free lists, counts and gates too. At most one
 * grant for each such thread stays behind as used.
 */
#ifndef EBB_LEDGER_H
#define EBB_LEDGER_H

#include "base/base.h"
#include "ebb/budget.h"

extern EBB_HIDDEN struct ebb_budget_account ebb__ledger_process, ebb__ledger_heap, ebb__ledger_untracked;

/* ---- the heap's account, by the heap alone ---- */

/* What the heap may still use before it must ask, and above which it gives back: a line of its own, used by
 * atomic operations alone. */
struct ebb_ledger_room {
    int64_t room; /* negative for an instant while a charge finds out that it must ask */
    int64_t keep; /* room above this goes back to the ledger */
} EBB_ALIGNED(64);
extern EBB_HIDDEN struct ebb_ledger_room ebb__ledger_room;

int ebb__ledger_heap_charge_slow(size_t bytes);
void ebb__ledger_heap_uncharge_slow(void);

/* Before memory is backed. 0, or -ENOMEM after what ebb_budget_charge() does at a limit.
 * pre: no lock of ours is held (shrinkers are called). What is above EBB_BUDGET_CHARGE_MAX is refused, but must not be asked for by
 * many at once: the room holds the sum of what they ask for. */
EBB_INLINE int ebb__ledger_heap_charge(size_t bytes)
{
    if (EBB_LIKELY(__atomic_sub_fetch(&ebb__ledger_room.room, (int64_t)bytes, __ATOMIC_RELAXED) >= 0))
        return 0;
    return ebb__ledger_heap_charge_slow(bytes);
}

/* For what can be done without: looks if a look is due, but nobody gives anything, or waits. 0, or -ENOMEM. pre: no lock of ours held */
int ebb__ledger_heap_charge_if_room(size_t bytes);

/* After memory has gone back. Any lock may be held. */
EBB_INLINE void ebb__ledger_heap_uncharge(size_t bytes)
{
    int64_t room = __atomic_add_fetch(&ebb__ledger_room.room, (int64_t)bytes, __ATOMIC_RELAXED);
    if (EBB_UNLIKELY(room > __atomic_load_n(&ebb__ledger_room.keep, __ATOMIC_RELAXED)))
        ebb__ledger_heap_uncharge_slow();
}

int ebb__ledger_heap_try_slow(size_t bytes);

/* The same as the charge for whoever holds a lock: never reclaims, never waits. 0, or -ENOMEM when a limit, hard or soft, is in
 * the way: then let go of the lock and charge. */
EBB_INLINE int ebb__ledger_heap_try(size_t bytes)
{
    if (EBB_LIKELY(__atomic_sub_fetch((int64_t *)&ebb__ledger_room.room, (int64_t)bytes, __ATOMIC_RELAXED) >=
                   0))
        return 0;
    return ebb__ledger_heap_try_slow(bytes);
}

/* Memory that is backed already and cannot be refused (metadata, a fault in what was thought to be backed): no limit is
 * asked. Any lock may be held. */
void ebb__ledger_heap_force(size_t bytes);

/* In a fork child, before its first charge: the heap knows exactly what it holds. pre: one thread */
void ebb__ledger_heap_recount(size_t bytes);

/* ---- accounts; see <ebb/budget.h> ---- */

int ebb__ledger_create(struct ebb_budget_account *parent, const char *name,
                       enum ebb_budget_class account_class, struct ebb_budget_account **ret_account);
int ebb__ledger_destroy(struct ebb_budget_account *account);

int ebb__ledger_charge(struct ebb_budget_account *account, size_t bytes);
/* Never reclaims: 0, -ENOMEM at a hard limit. Soft limits do not refuse. For whoever holds a lock of the caller's that a
 * shrinker may want, but none of ours above EBB_RANK_LEDGER. */
int ebb__ledger_charge_try(struct ebb_budget_account *account, size_t bytes);
void ebb__ledger_uncharge(struct ebb_budget_account *account, size_t bytes);

int ebb__ledger_charge_credit(struct ebb_budget_account *account, size_t bytes);
/* The same for what can be done without: never reclaims, -ENOMEM at any limit, hard or soft. */
int ebb__ledger_charge_credit_try(struct ebb_budget_account *account, size_t bytes);
void ebb__ledger_uncharge_credit(struct ebb_budget_account *account, size_t bytes);

int ebb__ledger_reserve(struct ebb_budget_account *account, size_t bytes);
/* The same if it can be had without asking anybody; else -ENOMEM. */
int ebb__ledger_reserve_try(struct ebb_budget_account *account, size_t bytes);
size_t ebb__ledger_release(struct ebb_budget_account *account, size_t bytes);

int64_t ebb__ledger_limit(struct ebb_budget_account *account, enum ebb_budget_limit kind, int64_t bytes);

size_t ebb__ledger_used(const struct ebb_budget_account *account);
size_t ebb__ledger_exact(const struct ebb_budget_account *account);
size_t ebb__ledger_headroom(const struct ebb_budget_account *account);
int ebb__ledger_account_stats(const struct ebb_budget_account *account, struct ebb_budget_stats *ret_stats);

/* What somebody who looked at RSS found that no account counts. Returns what it was before. Passes limits. */
size_t ebb__ledger_set_untracked(size_t bytes);

/* Calls fn for each living account, parents before their children, under the lock: it must not charge, make or end accounts.
 * Stops when fn returns other than 0, and returns that. */
int ebb__ledger_each(int (*fn)(const struct ebb_budget_account *account, void *context), void *context);

/* ---- credits ---- */

/* The calling thread's credits go back; it may have new ones. */
void ebb__ledger_thread_flush(void);

/* The calling thread ends: its credits go back, and from now on it charges without. Called by whoever owns the ends of threads
 * (src/cache/thread.c); may be called twice. */
void ebb__ledger_thread_end(void);

/* How a thread that takes its first credit makes sure that ebb__ledger_thread_end() is called: whoever owns the ends of
 * threads puts its own function here, 0 or -errno; NULL: the ledger asks the kernel's door itself. When it fails the thread
 * goes without credits. */
extern int (*ebb__ledger_arm_end)(void);

/* Takes back all unspent credits, the heap's too. Returns how much that was. */
size_t ebb__ledger_recall(void);

/* ---- the look point ---- */

/* Called, when set, by who would take `bytes` beyond the look point, with no lock of the ledger's held: looks, gives back what it can
 * when there is no room for them, and moves the point. Returns how much is missing even so. Also called from inside shrinkers.
 * may_give false: who asks can do without; nothing is given back and nobody is waited for, and the point moves only if there is room. */
extern size_t (*ebb__ledger_look)(size_t bytes, bool may_give);
extern int
    ebb__ledger_looker; /* the number of its own shrinker, which is not asked for that; 0: it has none */

/* What limits are compared with: used, unspent and reserved. */
size_t ebb__ledger_taken(const struct ebb_budget_account *account);

/* EBB_BUDGET_UNLIMITED: nobody looks. Returns the one before; a negative value asks. */
int64_t ebb__ledger_look_point(int64_t bytes);

/* ---- shrinkers ---- */

/* Called, when set, before and after code of a shrinker, by the thread that runs it: it may be in the middle of an allocation, and
 * what it holds then must be out of the reach of whatever a shrinker allocates and frees. Set by the floor above. */
extern void (*ebb__ledger_step_out)(void);
extern void (*ebb__ledger_step_in)(void);

int ebb__ledger_shrinker_add(const struct ebb_budget_shrinker *shrinker);
/* The same for one that holds memory of many accounts below its own: it is asked for the limits of these too, and its functions get
 * the account that must become smaller in the place of a context. */
int ebb__ledger_shrinker_add_wide(const struct ebb_budget_shrinker *shrinker);
int ebb__ledger_shrinker_remove(int number);
int64_t ebb__ledger_shrinker_price(int number, int64_t price);
size_t ebb__ledger_reclaim(struct ebb_budget_account *account, size_t bytes, enum ebb_budget_urgency urgency,
                           uint64_t deadline_ns);

/* How far the account and those above it are above their minima; SIZE_MAX: none has one. */
size_t ebb__ledger_spare(const struct ebb_budget_account *account);

/* True when `account` is `above` or somewhere below it in the tree. */
bool ebb__ledger_is_below(const struct ebb_budget_account *account, const struct ebb_budget_account *above);

/* The shrinkers of the process whose price lies in a band, both ends included, but for the one of that number (0: none is left
 * out). For whoever asks by kind, as the governor does. */
struct ebb_ledger_band {
    uint32_t price_from, price_to;
    int without;
};
size_t ebb__ledger_reclaim_band(const struct ebb_ledger_band *band, size_t bytes,
                                enum ebb_budget_urgency urgency, uint64_t deadline_ns);

/* What they could give at that urgency, as they estimate it themselves, down to their accounts' minima. One that is busy is
 * left out. */
size_t ebb__ledger_estimate_band(const struct ebb_ledger_band *band, enum ebb_budget_urgency urgency);

/* ---- the level ---- */

extern EBB_HIDDEN _Atomic int ebb__ledger_level_now;

EBB_INLINE enum ebb_budget_level ebb__ledger_level(void)
{
    return (enum ebb_budget_level)atomic_load_explicit(&ebb__ledger_level_now, memory_order_relaxed);
}

/* Returns the level before; a negative one asks. -EINVAL. By the governor. */
int ebb__ledger_set_level(int level);

/* ---- the whole ---- */

/* Counts since the start; bytes and numbers now. */
struct ebb_ledger_stats {
    size_t accounts;          /* made and not ended; the three that are always there are not counted */
    size_t credit_threads;    /* with a block of credits */
    size_t unspent_bytes;     /* credits of threads */
    size_t room_bytes;        /* the heap's own credit */
    size_t shrinkers;         /* registered */
    size_t committed_bytes;   /* of the table */
    uint64_t soft_hits;       /* charges that met a soft limit */
    uint64_t hard_hits;       /* charges that met a hard limit */
    uint64_t refusals;        /* of those, refused */
    uint64_t recalls;         /* of credits, that found some */
    uint64_t reclaims;        /* rounds of asking */
    uint64_t shrinks;         /* shrinkers called */
    uint64_t reclaimed_bytes; /* that they gave */
    uint64_t reclaim_ns;      /* time spent in them */
};
void ebb__ledger_stats(struct ebb_ledger_stats *ret_stats);

/* 0, or -EUCLEAN after one line that names the invariant. pre: nobody charges meanwhile */
int ebb__ledger_check(void);

/* In the child of a fork, with one thread. */
void ebb__ledger_after_fork(void);

#endif
