/* SPDX-License-Identifier: MIT
 *
 * When the background thread is started on the fake kernel, what is done without it, and what becomes of it in a fork child.
 */
#include "governor_test.h"

/* ---- start ---- */

static void not_before_the_constructor(void)
{
    ebb_fake.threaded = true;
    take(100);
    give(50);
    EXPECT(atomic_load(&ebb__heap_upkeep) != 0);
    serve();
    EXPECT_EQ(ebb_fake.threads_started, 0);
    ebb__governor_start();
    EXPECT_EQ(ebb_fake.threads_started, 0);
    serve();
    EXPECT_EQ(ebb_fake.threads_started, 1);
    serve(); /* one is enough */
    EXPECT_EQ(ebb_fake.threads_started, 1);
}

static void not_in_a_small_process(void)
{
    ebb__governor_start();
    take(30);
    give(30);
    EXPECT(atomic_load(&ebb__heap_upkeep) != 0);
    serve();
    EXPECT_EQ(ebb_fake.threads_started, 0);
    take(34);
    serve();
    EXPECT_EQ(ebb_fake.threads_started, 1);
}

static void in_a_small_process_with_threads(void)
{
    ebb__governor_start();
    take(4);
    give(4);
    serve();
    EXPECT_EQ(ebb_fake.threads_started, 0);
    ebb_fake.threaded = true;
    serve();
    EXPECT_EQ(ebb_fake.threads_started, 1);
}

static void not_without_a_reason(void)
{
    start();
    take(40);
    atomic_store(&ebb__heap_upkeep, 0);
    serve();
    EXPECT_EQ(ebb_fake.threads_started, 0);
    fill_cache(1); /* a thread has a cache now */
    serve();
    EXPECT_EQ(ebb_fake.threads_started, 1);
}

static void not_for_the_c_library(void)
{
    start();
    take(40);
    give(2);
    ebb__governor_serve(libc_code());
    EXPECT_EQ(ebb_fake.threads_started, 0);
    serve();
    EXPECT_EQ(ebb_fake.threads_started, 1);
}

/* ---- without the thread ---- */

static void refused_three_times(void)
{
    ebb__conf.pressure =
        0; /* what is counted is calls for the thread, not those that look for a limit once */
    start();
    ebb_fake.thread_rc = -EAGAIN;
    take(100);
    give(2);
    long calls = ebb_fake.calls;
    for (unsigned i = 0; i < 20; i++)
        serve();
    EXPECT_EQ(ebb_fake.threads_started, 0);
    EXPECT(ebb_fake.calls - calls <= 5); /* three attempts, and not one for each call */
    ebb_fake.thread_rc = 0;
    serve();
    EXPECT_EQ(ebb_fake.threads_started, 0);
    give(span_count);
    pieces();
}

static void refused_twice(void)
{
    start();
    take(40);
    give(2);
    ebb_fake.thread_rc = -EAGAIN;
    serve();
    serve();
    ebb_fake.thread_rc = 0;
    EXPECT_EQ(atomic_load(&ebb__governor_awake), 0);
    serve();
    EXPECT_EQ(ebb_fake.threads_started, 1);
}

static void option_bg_0(void)
{
    ebb__conf.bg = 0;
    start();
    pieces();
}

/* ---- fork ---- */

static void a_fork_child_starts_its_own(void)
{
    start();
    take(40);
    give(2);
    serve();
    EXPECT_EQ(ebb_fake.threads_started, 1);
    ebb__governor_fork_prepare();
    ebb__governor_fork_parent();
    serve();
    EXPECT_EQ(ebb_fake.threads_started, 1);

    ebb__governor_fork_prepare();
    ebb__lock_release(&ebb__return_lock); /* which the child of the real one resets */
    ebb__governor_fork_child();
    EXPECT_EQ(ebb__governor_thread_id(), 0);
    EXPECT_EQ(atomic_load(&ebb__governor_awake), 0);
    serve();
    EXPECT_EQ(ebb_fake.threads_started, 2);
    while_asleep = finish_at_once;
    ebb_fake_thread_run();
    EXPECT_EQ(forever_count, 1);
}

static void a_fork_child_forgets_the_end_of_main(void)
{
    start();
    take(40);
    give(2);
    end_main();
    ebb__governor_fork_child();
    ebb_fake.thread_count = 2;
    while_asleep = finish_at_once;
    serve();
    ebb_fake_thread_run();
    EXPECT_EQ(forever_count, 1); /* it did not take itself for the last one */
}

static void with_bg_0_a_fork_child_does_pieces(void)
{
    ebb__conf.bg = 0;
    start();
    ebb__governor_fork_child();
    pieces();
}

/* ---- trim ---- */

static _Atomic int parked; /* 1 the other thread has a cache and sleeps, 2 it may end */

static void *park(void *unused)
{
    (void)unused;
    fill_cache(EBB_KIB(300));
    atomic_store(&parked, 1);
    while (atomic_load(&parked) != 2)
        (void)usleep(1000);
    return NULL;
}

static void trim_empties_a_sleeping_thread(void)
{
    pthread_t thread;
    EXPECT(pthread_create(&thread, NULL, park, NULL) == 0);
    while (atomic_load(&parked) != 1)
        (void)usleep(1000);
    EXPECT(cached_bytes() >= EBB_KIB(300));
    (void)ebb__governor_trim(0);
    EXPECT_MSG(cached_bytes() == 0, "%zu KiB stay cached", cached_bytes() >> 10);
    EXPECT_EQ(dirty_bytes(), 0);
    atomic_store(&parked, 2);
    EXPECT(pthread_join(thread, NULL) == 0);
}

static void trim_before_there_is_a_thread(void)
{
    start();
    trim_empties_a_sleeping_thread();
}

static void trim_with_bg_0(void)
{
    ebb__conf.bg = 0;
    start();
    trim_empties_a_sleeping_thread();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(not_before_the_constructor),
        CASE(not_in_a_small_process),
        CASE(in_a_small_process_with_threads),
        CASE(not_without_a_reason),
        CASE(not_for_the_c_library),
        CASE(refused_three_times),
        CASE(refused_twice),
        CASE(option_bg_0),
        CASE(a_fork_child_starts_its_own),
        CASE(a_fork_child_forgets_the_end_of_main),
        CASE(with_bg_0_a_fork_child_does_pieces),
        CASE(trim_before_there_is_a_thread),
        CASE(trim_with_bg_0),
    };
    small_reservations();
    return RUN_CASES(cases);
}
