/* SPDX-License-Identifier: MIT
 *
 * The lock: mutual exclusion, sleepers that wake, ranks that die when inverted.
 *
 * Built twice: as the library is, and (lock.c and check.c compiled into the test) with the rank witness on.
 */
#include "support.h"

#include <pthread.h>

#include "base/base.h"

#define THREADS 4

static struct ebb_lock lock = EBB_LOCK_INIT(EBB_RANK_BIN);
static size_t rounds, sum;
static int inside;

static void *add(void *arg)
{
    struct support_rng rng = {(uintptr_t)arg};
    for (size_t i = 0; i < rounds; i++) {
        if (support_below(&rng, 4) != 0)
            ebb__lock_take(&lock);
        else
            while (!ebb__lock_try(&lock))
                ;
        EXPECT(ebb__lock_is_held(&lock));
        EXPECT_EQ(inside++, 0);
        sum++;
        if (support_below(&rng, 1000) == 0)
            (void)usleep(50); /* long enough for the others to fall asleep */
        inside--;
        ebb__lock_release(&lock);
    }
    return NULL;
}

static void mutual_exclusion(void)
{
    pthread_t threads[THREADS];
    uint64_t seed = support_seed("mutual_exclusion");
    rounds = support_env_number("MODEL_OPS", 50000);
    for (unsigned t = 0; t < THREADS; t++)
        EXPECT(pthread_create(&threads[t], NULL, add, (void *)(uintptr_t)(seed + t)) == 0);
    for (unsigned t = 0; t < THREADS; t++)
        EXPECT(pthread_join(threads[t], NULL) == 0);
    EXPECT_EQ(sum, THREADS * rounds);
    EXPECT(!ebb__lock_is_held(&lock));
}

static void *take_and_release(void *unused)
{
    (void)unused;
    ebb__lock_take(&lock);
    ebb__lock_release(&lock);
    return NULL;
}

static void a_sleeper_wakes(void)
{
    pthread_t threads[THREADS];
    ebb__lock_take(&lock);
    EXPECT(!ebb__lock_try(&lock));
    for (unsigned t = 0; t < THREADS; t++)
        EXPECT(pthread_create(&threads[t], NULL, take_and_release, NULL) == 0);
    while (atomic_load(&lock.state) != 2) /* "somebody may sleep" */
        (void)usleep(1000);
    (void)usleep(20000);
    ebb__lock_release(&lock);
    for (unsigned t = 0; t < THREADS; t++)
        EXPECT(pthread_join(threads[t], NULL) == 0);
    EXPECT(!ebb__lock_is_held(&lock));
}

/* ---- a holder that this process does not have ---- */

static _Atomic int asked;

static bool reset_it(void)
{
    atomic_fetch_add(&asked, 1);
    ebb__lock_reset(&lock);
    return true;
}

static bool not_yet(void)
{
    atomic_fetch_add(&asked, 1);
    return false;
}

static void a_stuck_waiter_asks(void)
{
    ebb__lock_stuck = reset_it;
    atomic_store(&lock.state, 1);
    ebb__lock_take(&lock);
    EXPECT_EQ(atomic_load(&asked), 1);
    ebb__lock_release(&lock);
    EXPECT(!ebb__lock_is_held(&lock));
}

static void *release_later(void *unused)
{
    (void)unused;
    (void)usleep(350000);
    if (atomic_exchange(&lock.state, 0) == 2)
        ebb__lock_wake(&lock);
    return NULL;
}

/* A slow holder is not taken for a dead one: the waiter asks each 100 ms and waits on. */
static void a_slow_holder_is_waited_for(void)
{
    pthread_t thread;
    ebb__lock_stuck = not_yet;
    atomic_store(&lock.state, 1);
    EXPECT(pthread_create(&thread, NULL, release_later, NULL) == 0);
    ebb__lock_take(&lock);
    EXPECT(atomic_load(&asked) >= 2 && atomic_load(&asked) <= 4);
    ebb__lock_release(&lock);
    EXPECT(pthread_join(thread, NULL) == 0);
}

/* ---- ranks ---- */

static struct ebb_lock low = EBB_LOCK_INIT(EBB_RANK_CACHES), high = EBB_LOCK_INIT(EBB_RANK_SPACE),
                       high_too = EBB_LOCK_INIT(EBB_RANK_SPACE), none = EBB_LOCK_INIT(0),
                       beyond = EBB_LOCK_INIT(EBB_RANK_COUNT);

static void rising(void *unused)
{
    (void)unused;
    ebb__lock_take(&low);
    ebb__lock_take(&high);
    EXPECT(EBB_DEBUG == 0 || !ebb__lock_none_held());
    ebb__lock_release(&low); /* in any order */
    ebb__lock_release(&high);
    EXPECT(ebb__lock_none_held());
    ebb__lock_take(&low);
    ebb__lock_release(&low);
}

static void falling(void *unused)
{
    (void)unused;
    ebb__lock_take(&high);
    ebb__lock_take(&low);
    _exit(0);
}

static void two_of_a_rank(void *unused)
{
    (void)unused;
    ebb__lock_take(&high);
    ebb__lock_take(&high_too);
    _exit(0);
}

static void release_unheld(void *unused)
{
    (void)unused;
    ebb__lock_release(&low);
    _exit(0);
}

static void take_rankless(void *l)
{
    ebb__lock_take(l);
    _exit(0);
}

static void expect_witness(void (*fn)(void *), void *arg, const char *part)
{
    struct support_outcome out = support_capture(fn, arg);
    if (EBB_DEBUG >= 1)
        EXPECT_MSG(support_aborted(&out) && out.lines == 1 && strstr(out.text, part) != NULL, "0x%x %s",
                   (unsigned)out.status, out.text);
    else
        EXPECT_MSG(out.status == 0 && out.len == 0, "0x%x %s", (unsigned)out.status, out.text);
}

static void ranks_may_only_rise(void)
{
    struct support_outcome out = support_capture(rising, NULL);
    EXPECT_MSG(out.status == 0, "%s", out.text);
    char text[100];
    (void)snprintf(text, sizeof(text), "ebb: lock order: rank %d wanted while ranks 0x%x are held",
                   EBB_RANK_CACHES, 1u << EBB_RANK_SPACE);
    expect_witness(falling, NULL, text);
    (void)snprintf(text, sizeof(text), "ebb: lock order: rank %d wanted while ranks 0x%x are held",
                   EBB_RANK_SPACE, 1u << EBB_RANK_SPACE);
    expect_witness(two_of_a_rank, NULL, text);
    (void)snprintf(text, sizeof(text), "ebb: lock order: rank %d released but not held (0x0)",
                   EBB_RANK_CACHES);
    expect_witness(release_unheld, NULL, text);
    expect_witness(take_rankless, &none, "ebb: lock without a rank (0)");
    expect_witness(take_rankless, &beyond, "ebb: lock without a rank (");
}

/* The witness is of the thread: another one's locks do not count. */
static void *take_low(void *unused)
{
    (void)unused;
    EXPECT(ebb__lock_none_held());
    ebb__lock_take(&low);
    ebb__lock_release(&low);
    return NULL;
}

static void ranks_are_the_threads_own(void)
{
    pthread_t thread;
    ebb__lock_take(&high);
    EXPECT(pthread_create(&thread, NULL, take_low, NULL) == 0);
    EXPECT(pthread_join(thread, NULL) == 0);
    ebb__lock_release(&high);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(mutual_exclusion),    CASE(a_sleeper_wakes),
        CASE(a_stuck_waiter_asks), CASE(a_slow_holder_is_waited_for),
        CASE(ranks_may_only_rise), CASE(ranks_are_the_threads_own),
    };
    return RUN_CASES(cases);
}
