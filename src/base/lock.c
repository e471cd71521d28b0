/* SPDX-License-Identifier: MIT
 * The slow halves of the mutex, and the rank witness of debug builds. */
#include "base/lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <time.h>

#include "base/check.h"
#include "base/syscall.h"

/* Critical sections take well below a microsecond; on few cores the holder is more often preempted than slow,
 * so spin only about as long as a section lasts. */
#define SPIN_ROUNDS 60
#define STUCK_NS    100000000L

bool (*ebb__lock_stuck)(void);

void ebb__lock_wait(struct ebb_lock *lock)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        uint32_t free = 0;
        ebb__cpu_relax();
        if (atomic_load_explicit(&lock->state, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong_explicit(&lock->state, &free, 1, memory_order_acquire,
                                                    memory_order_relaxed))
            return;
    }
    /* From here on the lock is taken as "2": its release wakes one sleeper, perhaps in vain. */
    while (atomic_exchange_explicit(&lock->state, 2, memory_order_acquire) != 0) {
        struct timespec patience = {.tv_sec = 0, .tv_nsec = STUCK_NS};
        long rc = ebb__syscall(EBB_SYS_futex, (long)&lock->state, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 2,
                               (long)&patience, 0, 0);
        if (rc == -ETIMEDOUT && ebb__lock_stuck != NULL)
            (void)ebb__lock_stuck();
    }
}

void ebb__lock_wake(struct ebb_lock *lock)
{
    (void)ebb__syscall(EBB_SYS_futex, (long)&lock->state, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, 0, 0, 0);
}

#if EBB_DEBUG >= 1
static EBB_TLS uint32_t held_ranks;

void ebb__lock_note(uint32_t rank, bool taken)
{
    if (rank == 0 || rank >= EBB_RANK_COUNT)
        ebb__die("lock without a rank (%u)", rank);
    uint32_t bit = UINT32_C(1) << rank;
    if (taken && held_ranks >= bit)
        ebb__die("lock order: rank %u wanted while ranks 0x%x are held", rank, held_ranks);
    if (!taken && !(held_ranks & bit))
        ebb__die("lock order: rank %u released but not held (0x%x)", rank, held_ranks);
    held_ranks = taken ? held_ranks | bit : held_ranks & ~bit;
}

bool ebb__lock_none_held(void)
{
    return (held_ranks & ~(UINT32_C(1) << EBB_RANK_RETURN | UINT32_C(1) << EBB_RANK_LIMITS)) == 0;
}
#else
void ebb__lock_note(uint32_t rank, bool taken)
{
    (void)rank;
    (void)taken;
}

bool ebb__lock_none_held(void)
{
    return true;
}
#endif
