/* SPDX-License-Identifier: MIT
 *
 * A small mutex: spin a little, then sleep in a futex. 8 bytes, no initialisation beyond its rank,
 * recoverable after fork.
 *
 * Locking order: a thread may take a lock only while every lock it holds has a lower rank. One enum below is
 * the whole order of the library; debug builds abort on an inversion.
 *
 * Fork: the child of a multi-threaded process may find a lock held by a thread that it does not have. The
 * fork handler asks ebb__lock_is_held() and rebuilds what the lock guards, then ebb__lock_reset()s it. A
 * child made without the handlers (_Fork, raw clone) is noticed by the stuck hook: a waiter calls it every
 * 100 ms.
 */
#ifndef EBB_BASE_LOCK_H
#define EBB_BASE_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

enum ebb_rank {
    EBB_RANK_LIMITS = 1, /* governor: who looks how far the limits are, and gives back because of that */
    EBB_RANK_RETURN,     /* heap: whoever gives memory back or empties caches; malloc never needs it */
    EBB_RANK_REGIONS,    /* region: a list of regions that keep blocks */
    EBB_RANK_CACHES,     /* cache: list of all thread caches */
    EBB_RANK_THREAD,     /* cache: who may use one thread's cache */
    EBB_RANK_BIN,        /* heap: slabs of one size class; one at a time */
    EBB_RANK_GROW, /* heap: reservations and the commit frontier; the only one of the heap held across a system call */
    EBB_RANK_SPACE,  /* heap: units, extents, groups */
    EBB_RANK_LANE,   /* heap: blocks with a mapping of their own */
    EBB_RANK_LEDGER, /* ledger: the tree of accounts; nothing but a new chunk's system call is done under it */
    EBB_RANK_CREDIT,      /* ledger: the accounts of one thread's credits */
    EBB_RANK_SUBSCRIBERS, /* governor: who is told of pressure; nothing is done under it */
    EBB_RANK_COUNT
};

struct ebb_lock {
    _Atomic uint32_t state; /* 0 free, 1 held, 2 held and somebody may sleep */
    uint32_t rank;          /* enum ebb_rank */
};

#define EBB_LOCK_INIT(r)                                                                                     \
    {                                                                                                        \
        .state = 0, .rank = (r)                                                                              \
    }

/* Slow halves, in lock.c. */
void ebb__lock_wait(struct ebb_lock *lock);
void ebb__lock_wake(struct ebb_lock *lock);
void ebb__lock_note(uint32_t rank, bool taken);

/* Called by a waiter every 100 ms; returns true when it has reset the lock's owner (see Fork above). */
extern bool (*ebb__lock_stuck)(void);

EBB_INLINE void ebb__lock_take(struct ebb_lock *lock)
{
    if (EBB_DEBUG >= 1)
        ebb__lock_note(lock->rank, true);
    uint32_t free = 0;
    /* acquire: pairs with the release in ebb__lock_release() */
    if (EBB_UNLIKELY(!atomic_compare_exchange_strong_explicit(&lock->state, &free, 1, memory_order_acquire,
                                                              memory_order_relaxed)))
        ebb__lock_wait(lock);
}

EBB_INLINE bool ebb__lock_try(struct ebb_lock *lock)
{
    uint32_t free = 0;
    if (!atomic_compare_exchange_strong_explicit(&lock->state, &free, 1, memory_order_acquire,
                                                 memory_order_relaxed))
        return false;
    if (EBB_DEBUG >= 1)
        ebb__lock_note(lock->rank, true);
    return true;
}

EBB_INLINE void ebb__lock_release(struct ebb_lock *lock)
{
    if (EBB_DEBUG >= 1)
        ebb__lock_note(lock->rank, false);
    if (EBB_UNLIKELY(atomic_exchange_explicit(&lock->state, 0, memory_order_release) == 2))
        ebb__lock_wake(lock);
}

EBB_INLINE bool ebb__lock_is_held(struct ebb_lock *lock)
{
    return atomic_load_explicit(&lock->state, memory_order_relaxed) != 0;
}

/* Only for a single-threaded fork child. */
EBB_INLINE void ebb__lock_reset(struct ebb_lock *lock)
{
    atomic_store_explicit(&lock->state, 0, memory_order_relaxed);
}

/* Debug builds: true when the calling thread holds no lock that malloc or free may have to wait for: none of ours but
 * EBB_RANK_RETURN and, near a limit, EBB_RANK_LIMITS (always true otherwise). */
bool ebb__lock_none_held(void);

#endif
