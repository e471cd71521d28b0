/* SPDX-License-Identifier: MIT
 *
 * What the background thread sleeps on the fake kernel, who wakes it, and when it ends.
 */
#include "governor_test.h"

/* ---- sleep ---- */

static bool called_then_settled;

static void call_when_asleep(unsigned nth)
{
    EXPECT(dirty_bytes() <= EBB_MIB(1));
    EXPECT_EQ(atomic_load(&ebb__governor_awake), 0);
    if (nth == 2) {
        called_then_settled = true;
        finish();
        return;
    }
    unsigned wakes = ebb_fake.wakes;
    serve(); /* no reason */
    EXPECT_EQ(ebb_fake.wakes, wakes);
    take(60);
    give(60);
    serve();
    EXPECT_EQ(ebb_fake.wakes, wakes + 1);
    EXPECT(ebb_fake.wake_thread_id == EBB_FAKE_STARTED_ID && ebb_fake.wake_payload == 0);
    EXPECT_EQ(atomic_load(&ebb__governor_awake), 1);
    serve(); /* once is enough */
    ebb__governor_attend((const void *)&serve);
    EXPECT_EQ(ebb_fake.wakes, wakes + 1);
}

static void gives_all_back_and_sleeps_for_good(void)
{
    start();
    take(100);
    give(100);
    fill_cache(EBB_KIB(200));
    serve();
    EXPECT_EQ(ebb__governor_thread_id(), 0);
    while_asleep = call_when_asleep;
    uint64_t start_ms = ebb_fake.now_ms;
    ebb_fake_thread_run();
    EXPECT(called_then_settled);
    EXPECT_MSG(nap_count < 40, "%u sleeps", nap_count);
    EXPECT_MSG(ebb_fake.now_ms - start_ms < 9000, "%" PRIu64 " ms", ebb_fake.now_ms - start_ms);
    EXPECT(cached_bytes() < EBB_KIB(64)); /* a sleeping thread's cache as well */
    EXPECT_EQ(ebb__governor_thread_id(), 0);
    EXPECT_EQ(EBB_COUNTED(bg_wakeups), nap_count);
    EXPECT(ebb_fake.barrier_ready && ebb_fake.barriers != 0);
    EXPECT(ebb__heap_check() == 0);
    /* It has ended: what remains to be done is done in pieces. */
    serve();
    EXPECT_EQ(ebb_fake.threads_started, 1);
    give(span_count);
    pieces();
}

/* A call that gets lost must not be the last one: the queue of signals may be full. */
static void lose_a_call(unsigned nth)
{
    if (nth == 2) {
        finish();
        return;
    }
    take(60);
    give(60);
    ebb_fake.fail_at = 1;
    serve();
    EXPECT_EQ(ebb_fake.failures, 1);
    EXPECT_EQ(ebb_fake.wakes, 0);
    ebb_fake.now_ms += 200;
    serve();
    EXPECT_EQ(ebb_fake.wakes, 1);
}

static void a_lost_call_is_made_again(void)
{
    start();
    take(60);
    give(60);
    serve();
    while_asleep = lose_a_call;
    ebb_fake_thread_run();
    EXPECT_EQ(forever_count, 2);
    EXPECT(dirty_bytes() <= EBB_MIB(1));
}

/* The last look at the books before it sleeps: a thread fills its cache between that and the end of the tick. */
void __real_ebb__heap_retire_groups(void);
void __wrap_ebb__heap_retire_groups(void);
static bool cache_in_between;

void __wrap_ebb__heap_retire_groups(void)
{
    __real_ebb__heap_retire_groups();
    if (!cache_in_between)
        return;
    cache_in_between = false;
    fill_cache(EBB_KIB(400));
}

static void caches_filled_before(unsigned nth)
{
    (void)nth;
    EXPECT_MSG(cached_bytes() < EBB_KIB(64), "%zu KiB are cached and nobody looks", cached_bytes() >> 10);
    finish();
}

static void no_cache_is_overlooked(void)
{
    start();
    take(40);
    give(40);
    serve();
    cache_in_between = true;
    while_asleep = caches_filled_before;
    ebb_fake_thread_run();
    EXPECT_EQ(forever_count, 1);
}

/* ---- without a barrier ---- */

static void settles_with_caches_that_it_may_not_take(void)
{
    start();
    fill_cache(EBB_KIB(300));
    size_t cached = cached_bytes();
    serve();
    while_asleep = finish_at_once;
    uint64_t start_ms = ebb_fake.now_ms;
    ebb_fake_thread_run();
    EXPECT_EQ(forever_count, 1);
    EXPECT_MSG(ebb_fake.now_ms - start_ms < 10000, "%" PRIu64 " ms", ebb_fake.now_ms - start_ms);
    EXPECT(cached_bytes() >= cached / 2);
}

static void option_drain_0(void)
{
    ebb__conf.drain = 0;
    settles_with_caches_that_it_may_not_take();
}

static void a_kernel_without_barrier(void)
{
    ebb_fake.barrier_rc = -ENOSYS;
    settles_with_caches_that_it_may_not_take();
    EXPECT_EQ(ebb_fake.barriers, 0);
    EXPECT_EQ(ebb__conf.drain, 0);
}

/* Free memory that cannot go, locked or in parts of larger pages, does not keep it awake. */
static void settles_with_memory_that_does_not_go(void)
{
    start();
    ebb_fake.locked = true;
    take(100);
    give(100);
    serve();
    while_asleep = finish_at_once;
    uint64_t start_ms = ebb_fake.now_ms;
    ebb_fake_thread_run();
    EXPECT_EQ(forever_count, 1);
    EXPECT(ebb_fake.now_ms - start_ms < 10000);
    EXPECT(dirty_bytes() >= EBB_MIB(90));
}

static void settles_with_parts_of_large_pages(void)
{
    static void *parts[2000];
    ebb_fake.page_bytes = EBB_KIB(64);
    start();
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(parts); i++)
        EXPECT((parts[i] = ebb__heap_span_alloc(EBB_KIB(36), EBB_UNIT_BYTES, false)) != NULL);
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(parts); i += 2)
        ebb__heap_large_free(parts[i]);
    EXPECT(dirty_bytes() > EBB_MIB(16));
    serve();
    while_asleep = finish_at_once;
    ebb_fake_thread_run();
    EXPECT_EQ(forever_count, 1);
    EXPECT(ebb__heap_check() == 0);
}

/* ---- the end ---- */

static void it_is_not_the_last(void)
{
    start();
    take(40);
    give(40);
    serve();
    finish();
    ebb_fake_thread_run();
    EXPECT_EQ(nap_count, 0);
    EXPECT_EQ(ebb__governor_thread_id(), 0);
}

static unsigned counted;

static void count_naps(void)
{
    counted++;
    if (counted == 70)
        ebb_fake.thread_count = 2;
}

/* Once main has ended and no thread has a cache, threads are counted: soon for a while, then once a second. */
static void threads_without_a_cache_are_counted(void)
{
    start();
    take(40);
    give(40);
    serve();
    end_main();
    while_napping = count_naps;
    ebb_fake_thread_run();
    EXPECT_EQ(counted, 70);
    unsigned soon = 0, late = 0;
    for (unsigned i = 0; i < nap_count; i++) {
        EXPECT(naps[i] != EBB_OS_FOREVER);
        soon += naps[i] <= 20;
        late += naps[i] == 1000;
    }
    EXPECT_MSG(soon >= 45 && soon <= 51, "%u soon", soon);
    EXPECT_MSG(late >= 10, "%u once a second", late);
}

/* A thread with a cache tells us when it ends: until then nobody counts. */
static void end_a_thread(unsigned nth)
{
    EXPECT_EQ(nth, 1);
    ebb_fake.thread_count = 2;
    ebb__cache_thread_ended();
    EXPECT(ebb_fake.wakes >= 1);
}

static void the_end_of_a_thread_is_a_call(void)
{
    start();
    take(40);
    give(40);
    fill_cache(1);
    serve();
    end_main();
    ebb_fake.now_ms += 1;
    while_asleep = end_a_thread;
    ebb_fake_thread_run();
    EXPECT_EQ(forever_count, 1);
}

/* While the main thread lives, its exit ends the process, and nobody counts. */
static void ends_of_others_are_nothing_to_it(void)
{
    start();
    take(40);
    serve();
    ebb_fake.thread_id = 77;
    ebb__cache_thread_ended();
    EXPECT_EQ(ebb_fake.wakes, 0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(gives_all_back_and_sleeps_for_good),
        CASE(a_lost_call_is_made_again),
        CASE(no_cache_is_overlooked),
        CASE(option_drain_0),
        CASE(a_kernel_without_barrier),
        CASE(settles_with_memory_that_does_not_go),
        CASE(settles_with_parts_of_large_pages),
        CASE(it_is_not_the_last),
        CASE(threads_without_a_cache_are_counted),
        CASE(the_end_of_a_thread_is_a_call),
        CASE(ends_of_others_are_nothing_to_it),
    };
    small_reservations();
    return RUN_CASES(cases);
}
