/* SPDX-License-Identifier: MIT
 *
 * The messenger: the thread that tells subscribers of memory pressure.
 *
 * Why a thread. The background thread has a table of descriptors of its own, in which the program's do not exist; and what a program does
 * when it is told may take long, while the background thread must go on giving back. So another one tells. It is started by
 * the first subscription, in a thread of the program's, whose descriptors it therefore shares, and ends with the last one.
 *
 * States
 *     NONE      there is no messenger
 *     STARTING  somebody starts it; others wait for what comes of it
 *     RUNNING   it sleeps until the bell is rung, and delivers (subscribe.c)
 *
 * Ending. It says NONE first and looks at the count of subscriptions once more; who subscribes counts first and looks at the state
 * afterwards. Whoever comes second sees the other, and who takes the state from NONE goes on. The bell is a number that rises;
 * it is read before a round, so what is rung for meanwhile ends the next sleep at once.
 *
 * The end of the process. As the background thread, it must not keep a process alive whose main thread has ended by pthread_exit():
 * both count threads then (governor.c), each leaving out the other. While a callback runs the thread is the program's, and
 * counts. The background thread that had a table has ended with the main thread, and nobody may come by who starts
 * another one: the messenger does.
 *
 * Locking: none. Failure: no thread, no subscription. Fork: the child has none; one that was made inside a callback comes back here with
 * no messenger known, and its thread ends.
 */
#include <limits.h>
#include <linux/futex.h>
#include <time.h>

#include "base/syscall.h"
#include "governor/governor_priv.h"

#define NAP_MS 100u /* of who waits for a start: a wake that a fork lost is made up for */

enum state { NONE, STARTING, RUNNING };

static _Atomic uint32_t state = NONE;
static _Atomic uint32_t starter;   /* the thread that is starting it; 0: none */
static _Atomic uint32_t thread_id; /* the messenger's; 0: none */
static _Atomic uint32_t bell;

uint32_t ebb__messenger_thread_id(void)
{
    return atomic_load(&thread_id);
}

bool ebb__messenger_is_idle(void)
{
    return atomic_load(&thread_id) != 0 && !ebb__subs_is_telling();
}

/* ---- sleep and bell ---- */

static void sleep_on(_Atomic uint32_t *word, uint32_t value, uint64_t ms)
{
    const struct timespec rest = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000 * 1000000)};
    (void)ebb__syscall(EBB_SYS_futex, (long)word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, (long)value,
                       ms == EBB_OS_FOREVER ? 0 : (long)&rest, 0, 0);
}

static void wake_all(_Atomic uint32_t *word)
{
    (void)ebb__syscall(EBB_SYS_futex, (long)word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, 0, 0, 0);
}

void ebb__messenger_ring(void)
{
    atomic_fetch_add(&bell, 1);
    if (atomic_load(&state) == RUNNING)
        wake_all(&bell);
}

/* ---- the thread ---- */

static void set_state(enum state now)
{
    atomic_store(&state, now);
    wake_all(&state);
}

/* False when somebody has subscribed meanwhile, and it goes on. */
static bool leave(uint32_t me, bool process_ends)
{
    uint32_t none = NONE;
    atomic_store(&thread_id, 0);
    set_state(NONE);
    if (process_ends || ebb__subs_count() == 0 || !atomic_compare_exchange_strong(&state, &none, RUNNING))
        return true;
    atomic_store(&thread_id, me);
    return false;
}

static void run(void *unused)
{
    uint32_t me = ebb__os_thread_id();
    (void)unused;
    atomic_store(&thread_id, me);
    set_state(RUNNING);
    for (;;) {
        uint32_t heard = atomic_load(&bell);
        ebb__subs_deliver();
        if (atomic_load(&thread_id) != me)
            return; /* the child of a fork in a callback */
        bool process_ends = ebb__governor_is_last();
        if (process_ends || ebb__subs_count() == 0) {
            if (leave(me, process_ends))
                return;
            continue;
        }
        ebb__governor_keep();
        sleep_on(&bell, heard, ebb__governor_count_ms(EBB_OS_FOREVER));
    }
}

/* 0 when there is one, or will be. */
static int want_messenger(void)
{
    uint32_t me = ebb__os_thread_id();
    for (;;) {
        uint32_t is = NONE;
        if (atomic_compare_exchange_strong(&state, &is, STARTING))
            break;
        if (is == RUNNING)
            return 0;
        if (atomic_load(&starter) == me)
            return -EAGAIN; /* in a shrinker, which the start has called by asking for memory */
        sleep_on(&state, STARTING, NAP_MS);
    }
    atomic_store(&starter, me);
    int rc = ebb__os_thread_start(run, NULL);
    atomic_store(&starter, 0);
    if (rc != 0)
        set_state(NONE);
    return rc != 0 ? -EAGAIN : 0;
}

/* ---- door ---- */

int ebb__governor_subscribe(const struct ebb_pressure_subscriber *subscriber)
{
    if (ebb__os_thread_id() == ebb__governor_thread_id())
        return -EDEADLK; /* its descriptors are not the program's */
    if (ebb__ledger_arm_end != NULL)
        (void)
            ebb__ledger_arm_end(); /* if this is the main thread: who looks must hear of its end, to have descriptors */
    int number = ebb__subs_add(subscriber);
    if (number < 0)
        return number;
    int rc = ebb__governor_want();
    if (rc == 0)
        rc = want_messenger();
    if (rc != 0)
        (void)ebb__governor_unsubscribe(number);
    else
        ebb__messenger_ring(); /* it may be told of what is known already */
    return rc != 0 ? rc : number;
}

int ebb__governor_unsubscribe(int number)
{
    int rc = ebb__subs_remove(number);
    if (rc != 0 || ebb__subs_count() != 0)
        return rc;
    ebb__messenger_ring();
    ebb__governor_nudge();
    return 0;
}

void ebb__governor_last_note(struct ebb_pressure_note *ret_note)
{
    ebb__subs_last(ret_note);
}

void ebb__messenger_after_fork(void)
{
    atomic_store(&state, NONE);
    atomic_store(&starter, 0);
    atomic_store(&thread_id, 0);
}
