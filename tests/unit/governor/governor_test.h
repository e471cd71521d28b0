/* SPDX-License-Identifier: MIT
 *
 * What the tests of the background thread share: memory to give back, and a fake sleep in which the test plays the rest of
 * the process.
 */
#ifndef EBB_TESTS_UNIT_GOVERNOR_GOVERNOR_TEST_H
#define EBB_TESTS_UNIT_GOVERNOR_GOVERNOR_TEST_H

#include "support.h"

#include "cache/cache.h"
#include "governor/governor_priv.h"
#include "small_space.h"

#include <dlfcn.h>
#include <pthread.h>

#define C         9u
#define SPAN      EBB_MIB(1)
#define SPANS_MAX 200u
#define NAPS_MAX  4000u

static void *spans[SPANS_MAX];
static unsigned span_count;

static inline void take(unsigned mib)
{
    for (unsigned i = 0; i < mib; i++) {
        EXPECT(span_count < SPANS_MAX);
        EXPECT((spans[span_count++] = ebb__heap_span_alloc(SPAN, EBB_UNIT_BYTES, false)) != NULL);
    }
}

static inline void give(unsigned mib)
{
    for (unsigned i = 0; i < mib; i++) {
        EXPECT(span_count != 0);
        ebb__heap_large_free(spans[--span_count]);
    }
}

static inline size_t dirty_bytes(void)
{
    struct ebb_heap_stats heap;
    ebb__heap_stats(&heap);
    return heap.dirty_bytes;
}

static inline size_t cached_bytes(void)
{
    size_t blocks, bytes;
    ebb__cache_stats(&blocks, &bytes);
    return bytes;
}

/* Leaves at least so much in this thread's cache. */
static inline void fill_cache(size_t bytes)
{
    static void *blocks[4096];
    for (unsigned c = 4; cached_bytes() < bytes; c++) {
        EXPECT(c <= EBB_USER_CLASSES);
        unsigned n = 0;
        for (; n < 300; n++)
            if ((blocks[n] = ebb__cache_get(c)) == NULL)
                EXPECT((blocks[n] = ebb__cache_get_slow(c, EBB_MAKE_ROOM)) != NULL);
        while (n-- != 0)
            if (ebb__cache_put(blocks[n]) == EBB_PUT_FULL)
                ebb__cache_put_slow(blocks[n], "test");
    }
}

/* As a slow path of malloc that the program called. */
static inline void serve(void)
{
    ebb__governor_serve((const void *)&serve);
}

static inline const void *libc_code(void)
{
    const void *code = dlsym(RTLD_DEFAULT, "popen");
    EXPECT(code != NULL);
    return code;
}

/* The main thread ends: its own end, as the cache tells it. */
static inline void end_main(void)
{
    uint32_t before = ebb_fake.thread_id;
    ebb_fake.thread_id = ebb_fake.pid;
    ebb__cache_thread_ended();
    ebb_fake.thread_id = before;
}

/* ---- what happens while it sleeps ---- */

static uint64_t naps[NAPS_MAX];
static unsigned nap_count, forever_count;
static void (*while_asleep)(unsigned nth); /* called in each sleep for ever, from 1 */
static void (*while_napping)(void);        /* called in each other sleep */

static inline bool sleep_script(uint64_t timeout_ms, uint64_t *ret_payload)
{
    EXPECT_MSG(nap_count < NAPS_MAX, "it never comes to an end");
    naps[nap_count++] = timeout_ms;
    if (timeout_ms == EBB_OS_FOREVER && while_asleep != NULL)
        while_asleep(++forever_count);
    else if (timeout_ms != EBB_OS_FOREVER && while_napping != NULL)
        while_napping();
    ebb_fake.on_sleep = NULL; /* the fake's own sleep, with its queue of wakes */
    bool called = ebb__os_sleep(timeout_ms, ret_payload);
    ebb_fake.on_sleep = sleep_script;
    if (!called && timeout_ms == EBB_OS_FOREVER)
        ebb_fake.now_ms += 1000; /* it did sleep */
    return called;
}

static inline void start(void)
{
    ebb__governor_start();
    ebb_fake.on_sleep = sleep_script;
    ebb_fake.threaded = true;
    ebb_fake.thread_count = 3;
}

static inline void finish(void)
{
    ebb_fake.thread_count = 2;
    end_main();
}

static inline void finish_at_once(unsigned nth)
{
    (void)nth;
    finish();
}

/* ---- without the thread ---- */

/* Serves every 10 ms for some seconds, as a program does that goes on allocating. */
static inline void serve_for(unsigned seconds, size_t most_bytes)
{
    uint64_t last_ms = 0;
    for (unsigned i = 0; i < seconds * 100; i++) {
        size_t purged = ebb_fake.purged_bytes, dirty = dirty_bytes();
        ebb_fake.now_ms += 10;
        serve();
        size_t gone = dirty - dirty_bytes();
        EXPECT_MSG(gone <= most_bytes, "%zu KiB on somebody's way", gone >> 10);
        if (ebb_fake.purged_bytes == purged)
            continue;
        EXPECT_MSG(ebb_fake.now_ms - last_ms >= 100, "after %" PRIu64 " ms", ebb_fake.now_ms - last_ms);
        last_ms = ebb_fake.now_ms;
    }
}

static inline void pieces(void)
{
    unsigned started = ebb_fake.threads_started;
    ebb_fake.now_ms += 1000;
    take(100);
    give(90);
    size_t dirty = dirty_bytes();
    EXPECT(dirty >= EBB_MIB(80));
    serve_for(1, EBB_MIB(2));
    EXPECT_EQ(dirty_bytes(), dirty); /* freed a moment ago */
    serve_for(15, EBB_MIB(2));
    EXPECT_MSG(dirty_bytes() <= EBB_MIB(8), "%zu MiB still held", dirty_bytes() >> 20);
    EXPECT(dirty_bytes() > EBB_MIB(5)); /* what such a process may need again */
    EXPECT_EQ(ebb_fake.threads_started, started);
    EXPECT(ebb__heap_check() == 0);
}

#endif
