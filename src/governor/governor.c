/* SPDX-License-Identifier: MIT
 *
 * The background thread: when it starts, sleeps, is called, and ends.
 *
 * States
 *     NONE      there is no thread; the next call of attend() that may start one does
 *     STARTING  somebody is starting it: pthread_create() calls malloc, which comes by here again
 *     AWAKE     it ticks, nobody needs to call it
 *     ASLEEP    it sleeps for good; who finds a reason (ebb__heap_upkeep) wakes it by a signal to its thread
 *     REFUSED   there shall be none (option bg:0), or the system gave none several times: pieces are done by others
 *
 *     NONE -> STARTING -> AWAKE <-> ASLEEP        fork child: -> NONE
 *
 * Falling asleep. The thread clears the reasons, says that it sleeps, and then looks once more whether there is work. Who
 * has work sets the reason first and looks at the state afterwards. Whoever comes second sees the other.
 *
 * The end. A process whose main thread has ended by pthread_exit() lives until its last thread ends; ours must not be the
 * one that keeps it alive. Threads that had a cache tell us when they end; from then on, while none has one, we count
 * threads once a second, which costs no descriptor. As long as the main thread is there, its exit ends us too.
 *
 * There may be another thread of ours, the messenger (messenger.c), which goes by the same rule; each leaves out the other.
 *
 * A thread that has taken a table of descriptors of its own, for the sake of pressure (pressure_act.c), must not be the last one at
 * all, for the program's exit handlers would run in it: the main thread, before it ends, has it end, and waits for that. Another
 * one may start then, which goes without.
 *
 * A subscription to pressure (subscribe.c) is a reason for the thread to exist and to be armed, however small the process.
 *
 * Locking: none of ours is held when a thread is started or woken. Failure: no thread, or one that ends because it
 * is not allowed to sleep. Fork: the child has none and starts
 * its own when it needs one.
 */
#include <linux/futex.h>
#include <time.h>

#include "base/syscall.h"
#include "governor/governor_priv.h"

#define HEAP_MIN_BYTES EBB_MIB(32) /* a process with one thread and less than this is left alone */
#define REFUSALS_MAX   3u
#define COUNT_MS       1000u /* how often threads are counted after the main thread has ended */
#define COUNT_SOON_MS  20u   /* and for a while after one has said that it ends */
#define COUNT_SOON_FOR 1000u /* ms */

#define END_TRIES 1000u /* looks, a millisecond apart, whether a thread has ended */

#define SLEEPLESS_MAX 8u /* a thread that cannot sleep must not spin: it ends */

enum state { NONE, STARTING, AWAKE, ASLEEP, REFUSED };

static _Atomic uint32_t state = REFUSED; /* until the constructor ran */
static _Atomic uint32_t thread_id;
static _Atomic uint32_t refusals;
static _Atomic uint32_t main_ended;
static _Atomic uint32_t ending_id; /* of a thread with a table of its own that ends because of that */
static _Atomic uint64_t count_soon_until_ms; /* threads are to be counted soon */

_Atomic uint32_t ebb__governor_awake;

static void set_state(enum state s)
{
    atomic_store(&state, s);
    atomic_store(&ebb__governor_awake, s == AWAKE || s == STARTING);
}

uint32_t ebb__governor_thread_id(void)
{
    return atomic_load(&thread_id);
}

/* ---- the thread ---- */

/* Ours count themselves when they have begun and until they are about to end, so they are never taken for more than there are. */
bool ebb__governor_is_last(void)
{
    if (atomic_load(&main_ended) == 0)
        return false;
    unsigned ours = (atomic_load(&thread_id) != 0) + ebb__messenger_is_idle();
    unsigned threads = ebb__os_thread_count();
    if (threads == 0) /* nobody can tell */
        return ebb__cache_threads() == 0;
    return threads <= 1 + ours; /* the main thread, which has ended */
}

/* A table of its own is for a thread that ends before the main one does, and for that somebody must hear of it. */
static bool may_take_table(void)
{
    return ebb__cache_hears_main() && atomic_load(&main_ended) == 0;
}

static bool must_end(void)
{
    return (atomic_load(&main_ended) != 0 && ebb__act_has_table()) || ebb__governor_is_last();
}

static void count_soon(void)
{
    atomic_store(&count_soon_until_ms, ebb__os_now_ms() + COUNT_SOON_FOR);
    ebb__messenger_ring();
}

/* A callback that allocates gives the messenger a cache, and nobody would hear of the end of the others. */
uint64_t ebb__governor_count_ms(uint64_t sleep_ms)
{
    if (atomic_load(&main_ended) == 0)
        return sleep_ms;
    if (ebb__os_now_ms() < atomic_load(&count_soon_until_ms))
        return ebb__min(sleep_ms, COUNT_SOON_MS);
    return ebb__cache_threads() <= ebb__messenger_is_idle() ? ebb__min(sleep_ms, COUNT_MS) : sleep_ms;
}

static unsigned sleepless; /* sleeps in a row that ended at once: a filter forbids them */

/* One sleep of at most ms. True when called; the caller's request is carried out. */
static bool nap(uint64_t ms)
{
    uint64_t payload, before_ns = ebb__os_now_ns();
    bool called = ebb__act_sleep(ms, &payload);
    EBB_COUNT(bg_wakeups, 1);
    if (called)
        ebb__upkeep_request(payload);
    sleepless = !called && ebb__os_now_ns() - before_ns < ebb__min(ms, 2) * 500000 ? sleepless + 1 : 0;
    return called;
}

/* Sleeps for good, unless work came in between. */
static void settle(void)
{
    (void)atomic_exchange(&ebb__heap_upkeep, 0); /* sees what was stored before a reason was set */
    set_state(ASLEEP);
    if (ebb__upkeep_is_settled() && !ebb__act_is_missed() && atomic_load(&ebb__heap_upkeep) == 0) {
        while (!nap(ebb__governor_count_ms(EBB_OS_FOREVER)) && !must_end() && sleepless < SLEEPLESS_MAX)
            ;
    }
    set_state(AWAKE);
    ebb__upkeep_reset();
}

static void run(void *unused)
{
    (void)unused;
    sleepless = 0;
    atomic_store(&thread_id, ebb__os_thread_id());
    ebb__stats_set_thread(ebb__os_thread_id());
    set_state(AWAKE);
    ebb__upkeep_ready_barrier();
    ebb__upkeep_reset();
    while (!must_end() && sleepless < SLEEPLESS_MAX) {
        ebb__act_attend(may_take_table);
        uint32_t sleep_ms = ebb__upkeep_tick();
        EBB_COUNT(bg_ticks, 1);
        if (sleep_ms == 0)
            settle();
        else
            (void)nap(ebb__governor_count_ms(sleep_ms));
    }
    bool may_follow = ebb__act_has_table() && sleepless < SLEEPLESS_MAX && !ebb__governor_is_last();
    if (ebb__act_has_table() && atomic_load(&main_ended) != 0)
        atomic_store(&ending_id, atomic_load(&thread_id)); /* the main thread may be about to ask */
    ebb__act_end();
    ebb__stats_set_thread(0);
    atomic_store(&thread_id, 0);
    set_state(may_follow ? NONE : REFUSED);
    if (atomic_load(&main_ended) != 0)
        count_soon();
}

/* ---- calling it ---- */

static bool is_worth_a_thread(void)
{
    return ebb__os_is_threaded() || ebb__heap_backed_bytes() >= HEAP_MIN_BYTES;
}

/* 0 also when somebody else starts it. */
static int start_thread(void)
{
    uint32_t none = NONE;
    if (!atomic_compare_exchange_strong(&state, &none, STARTING))
        return 0;
    set_state(STARTING);
    int rc = ebb__os_thread_start(run, NULL);
    if (rc != 0)
        set_state(atomic_fetch_add(&refusals, 1) + 1 < REFUSALS_MAX ? NONE : REFUSED);
    return rc;
}

/* A call may fail, when the user's queue of signals is full: then the next who comes by calls again. */
static void wake_thread(void)
{
    uint32_t asleep = ASLEEP, awake = AWAKE;
    if (!atomic_compare_exchange_strong(&state, &asleep, AWAKE))
        return;
    atomic_store(&ebb__governor_awake, 1);
    if (ebb__os_wake(atomic_load(&thread_id), 0) == 0)
        return;
    /* or the thread has ended meanwhile, and somebody must start another one */
    if (atomic_compare_exchange_strong(&state, &awake, ASLEEP) || awake == NONE || awake == REFUSED)
        atomic_store(&ebb__governor_awake, 0);
    ebb__upkeep_piece();
}

void ebb__governor_attend(const void *caller)
{
    switch (atomic_load(&state)) {
    case NONE:
        if (is_worth_a_thread() && ebb__caller_may_wait(caller))
            (void)start_thread();
        return;
    case ASLEEP:
        wake_thread();
        return;
    case REFUSED:
        ebb__upkeep_piece();
        return;
    default:
        return;
    }
}

/* ---- for those who give it something to look at ---- */

void ebb__governor_nudge(void)
{
    ebb__heap_want_upkeep(EBB_UPKEEP_LIMITS); /* should the call get lost */
    if (atomic_load(&state) == ASLEEP)        /* else it looks before it sleeps */
        wake_thread();
}

int ebb__governor_want(void)
{
    uint32_t now = atomic_load(&state);
    if (now == REFUSED)
        return ebb__conf.bg == 0 ? -ENOTSUP : -EAGAIN;
    if (now == NONE && start_thread() != 0)
        return -EAGAIN;
    ebb__governor_nudge();
    return 0;
}

void ebb__governor_keep(void)
{
    if (atomic_load(&state) == NONE)
        (void)start_thread();
}

/* Until the kernel does not know the thread any more, or for a second: it may be inside a shrinker of the program. */
static void await_end(uint32_t tid)
{
    const struct timespec rest = {.tv_nsec = 1000000};
    for (unsigned n = 0; n < END_TRIES && ebb__os_wake(tid, 0) != -ESRCH; n++)
        (void)ebb__syscall(EBB_SYS_futex, (long)&thread_id, FUTEX_WAIT | FUTEX_PRIVATE_FLAG,
                           (long)atomic_load(&thread_id), (long)&rest, 0, 0);
}

/* In a thread that ends, as the last thing we do there. */
static void thread_ended(void)
{
    bool is_main = ebb__os_thread_id() == ebb__os_pid();
    if (is_main)
        atomic_store(&main_ended, 1);
    if (atomic_load(&main_ended) == 0)
        return;
    count_soon();
    uint32_t tid = atomic_load(&thread_id);
    if (tid != 0)
        (void)ebb__os_wake(tid, 0);
    bool must_wait = ebb__act_has_table();
    uint32_t ending = atomic_load(&ending_id); /* after that: it is noted before the table is forgotten */
    if (is_main && ending != 0)
        await_end(ending);
    else if (is_main && must_wait && tid != 0)
        await_end(tid);
}

/* ---- the whole ---- */

void ebb__governor_start(void)
{
    ebb__caller_init();
    ebb__cache_thread_ended = thread_ended;
    ebb__cache_set_main(!ebb__os_is_threaded());
    ebb__act_start();
    ebb__report_start();
    ebb__limits_start();
    ebb__report_started();
    set_state(ebb__conf.bg != 0 ? NONE : REFUSED);
}

void ebb__governor_end(void)
{
    ebb__report_end();
}

void ebb__governor_fork_prepare(void)
{
    ebb__lock_take(&ebb__return_lock);
}

void ebb__governor_fork_parent(void)
{
    ebb__lock_release(&ebb__return_lock);
}

void ebb__governor_fork_child(void)
{
    atomic_store(&thread_id, 0);
    atomic_store(&ending_id, 0);
    atomic_store(&refusals, 0);
    atomic_store(&main_ended, 0);
    ebb__upkeep_after_fork();
    ebb__limits_after_fork();
    ebb__act_after_fork();
    ebb__subs_after_fork();
    ebb__messenger_after_fork();
    ebb__report_after_fork();
    ebb__cache_set_main(true);
    set_state(ebb__conf.bg != 0 ? NONE : REFUSED);
}
