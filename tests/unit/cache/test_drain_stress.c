/* SPDX-License-Identifier: MIT
 *
 * Threads that exchange blocks, end and start again, while a drainer takes their caches from them as fast as it can; and the
 * same with a drainer that has forgotten half of the protocol, which must be found out.
 */
#include "puppet.h"

#include <sched.h>

/* Reservations of 2 GiB: see small_space.h. The linker leads the heap's question here. */
void __real_ebb__os_limits(struct ebb_os_limits *ret_limits);
void __wrap_ebb__os_limits(struct ebb_os_limits *ret_limits);

void __wrap_ebb__os_limits(struct ebb_os_limits *ret_limits)
{
    __real_ebb__os_limits(ret_limits);
    ret_limits->memlock_bytes = EBB_GIB(8);
}

#define WORKERS   8u
#define SLOTS     256u
#define CLASSES   20u
#define LIFE_OPS  20000u /* then a worker ends and another one begins */
#define RUN_MS    2500u
#define ASKING_MS 700u
#define BROKEN_MS 10000u /* within which the broken drainer must be caught */

static _Atomic(unsigned char *) slots[SLOTS];
static _Atomic bool stop;
static _Atomic size_t exchanged, lives;

static unsigned class_for(uint64_t r)
{
    return 1 + (unsigned)(r % CLASSES) * 2;
}

/* The whole block says which block it is: of two owners one finds the other's writing. */
static void write_name(unsigned char *p, uint64_t name)
{
    size_t bytes = ebb__classes[ebb__unit_entry(p) & 0xff].bytes;
    memcpy(p, &name, sizeof(name));
    support_put(p, sizeof(name), ebb__min(bytes, 256) - sizeof(name), name);
}

static void expect_name(const unsigned char *p)
{
    uint64_t name;
    size_t bytes = ebb__classes[ebb__unit_entry(p) & 0xff].bytes;
    memcpy(&name, p, sizeof(name));
    EXPECT_MSG(support_has(p, sizeof(name), ebb__min(bytes, 256) - sizeof(name), name),
               "block %p of %zu bytes has another owner", (const void *)p, bytes);
}

static void exchange_one(struct support_rng *rng)
{
    uint64_t r = support_next(rng);
    unsigned char *mine = NULL;
    if (r % 8 != 0) {
        EXPECT((mine = get(class_for(r >> 8))) != NULL);
        write_name(mine, r);
    }
    unsigned char *other = atomic_exchange_explicit(&slots[(r >> 20) % SLOTS], mine, memory_order_acq_rel);
    if (other == NULL)
        return;
    expect_name(other);
    memset(other, 0xdd, 16);
    put(other);
}

static void *worker_life(void *arg)
{
    struct support_rng rng = {(uintptr_t)arg};
    size_t ops = support_between(&rng, LIFE_OPS / 10, LIFE_OPS);
    for (size_t i = 0; i < ops && !atomic_load_explicit(&stop, memory_order_relaxed); i++) {
        exchange_one(&rng);
        uint64_t r = support_next(&rng);
        if (r % 4096 == 1)
            ebb__cache_flush_thread();
        if (r % 8192 == 2)
            ebb__cache_flush_depot();
        if (r % 2048 == 3)
            (void)sched_yield();
    }
    atomic_fetch_add(&exchanged, ops);
    return NULL;
}

/* Ends and begins workers: each is a thread of its own life. */
static void *worker(void *arg)
{
    struct support_rng rng = {(uintptr_t)arg};
    while (!atomic_load(&stop)) {
        pthread_t thread;
        EXPECT(pthread_create(&thread, NULL, worker_life, (void *)(uintptr_t)support_next(&rng)) == 0);
        EXPECT(pthread_join(thread, NULL) == 0);
        atomic_fetch_add(&lives, 1);
    }
    return NULL;
}

static uint64_t real_ms(void)
{
    struct timespec now;
    EXPECT(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void run(uint64_t seed, unsigned ms, size_t (*drainer)(void))
{
    pthread_t threads[WORKERS];
    for (unsigned t = 0; t < WORKERS; t++)
        EXPECT(pthread_create(&threads[t], NULL, worker, (void *)(uintptr_t)(seed + t)) == 0);
    uint64_t start_ms = real_ms(), rounds = 0;
    size_t blocks = 0;
    while (real_ms() - start_ms < ms) {
        blocks += drainer();
        rounds++;
        if (rounds % 8 == 0)
            (void)sched_yield();
    }
    atomic_store(&stop, true);
    for (unsigned t = 0; t < WORKERS; t++)
        EXPECT(pthread_join(threads[t], NULL) == 0);
    (void)printf("%zu exchanged in %zu lives, %zu drained in %" PRIu64 " rounds\n", atomic_load(&exchanged),
                 atomic_load(&lives), blocks, rounds);
    EXPECT(atomic_load(&exchanged) > 10000 && atomic_load(&lives) > WORKERS && blocks > 1000);
}

/* Every block is where it should be, exactly once. */
static void account(void)
{
    size_t left = 0;
    for (unsigned i = 0; i < SLOTS; i++) {
        unsigned char *p = atomic_load(&slots[i]);
        left += p != NULL;
        if (p != NULL)
            expect_name(p);
    }
    EXPECT_EQ(live_blocks(), left); /* taken less given is what lives and what is cached */
    for (unsigned i = 0; i < SLOTS; i++)
        if (slots[i] != NULL)
            put(slots[i]);
    expect_listed(ebb__thread.mine != NULL);
    EXPECT_CACHE_OK();
    ebb__cache_flush_thread();
    ebb__cache_flush_depot();
    EXPECT_EQ(cached_blocks(), 0);
    EXPECT_EQ(live_blocks(), 0);
    EXPECT_CACHE_OK();
}

static size_t drain_once(void)
{
    static unsigned round;
    EXPECT_EQ(revoke_all(), 0);
    if (++round % 3 == 0)
        (void)sched_yield(); /* some come back, some do not */
    size_t blocks = drain_all();
    if (round % 64 == 0)
        (void)drain_depot(round % 128 == 0);
    return blocks;
}

static void caches_taken_from_busy_threads(void)
{
    int rc = ebb__os_barrier_init();
    if (rc != 0) {
        (void)printf("%s: skipped, no barrier here: %s\n", __func__, strerror(-rc));
        return;
    }
    run(support_seed(__func__), (unsigned)support_env_number("STRESS_MS", RUN_MS), drain_once);
    account();
}

/* ---- the same by a loop of the test's own, which may leave out the question whether a thread is inside ---- */

static bool asks;

static bool may_take(const struct thread_cache *tc)
{
    const struct ebb_thread *t = tc->owner;
    return t->mine == tc && __atomic_load_n(&t->cache, __ATOMIC_RELAXED) != tc &&
           (!asks || __atomic_load_n(&t->busy, __ATOMIC_ACQUIRE) == 0);
}

/* The oldest cache of the list, unlisted, with its thread's lock; NULL when it may not be taken. */
static struct thread_cache *take_oldest(void)
{
    struct thread_cache *taken = NULL;
    ebb__lock_take(&ebb__caches_lock);
    struct thread_cache *tc = ebb__caches.first;
    if (tc != NULL) {
        ebb__cache_unlink(tc);
        if (ebb__lock_try(&tc->owner->lock)) {
            if (may_take(tc))
                taken = tc;
            else
                ebb__lock_release(&tc->owner->lock);
        }
        if (taken == NULL)
            ebb__cache_link(tc);
    }
    if (taken != NULL) {
        atomic_fetch_sub(&ebb__cache_count, 1);
        EBB_COUNT(caches, -1);
    }
    ebb__lock_release(&ebb__caches_lock);
    return taken;
}

static size_t drain_by_hand(void)
{
    size_t blocks = 0;
    ebb__lock_take(&ebb__return_lock);
    EXPECT_EQ(ebb__cache_revoke(), 0);
    for (unsigned left = ebb__cache_threads(); left != 0; left--) {
        struct thread_cache *tc = take_oldest();
        if (tc == NULL)
            continue;
        struct ebb_thread *t = tc->owner;
        void *block = tc;
        blocks += ebb__cache_flush(tc);
        t->mine = NULL;
        ebb__lock_release(&t->lock);
        ebb__heap_give(EBB_CLASS_CACHE, &block, 1, "cache");
    }
    ebb__lock_release(&ebb__return_lock);
    return blocks;
}

static void run_by_hand(void *unused)
{
    (void)unused;
    (void)alarm(60); /* what it has corrupted may hang it */
    run((uint64_t)time(NULL) * 1000 + (uint64_t)getpid(), asks ? ASKING_MS : BROKEN_MS, drain_by_hand);
    account();
}

static void a_drainer_that_does_not_ask_is_found_out(void)
{
    if (ebb__os_barrier_init() != 0)
        return;
    asks = true;
    struct support_outcome out = support_capture(run_by_hand, NULL);
    EXPECT_MSG(out.status == 0, "status 0x%x: %.300s", (unsigned)out.status, out.text);
    asks = false;
    uint64_t start_ms = real_ms();
    out = support_capture(run_by_hand, NULL);
    (void)printf("found out after %" PRIu64 " ms, status 0x%x: %.200s\n", real_ms() - start_ms,
                 (unsigned)out.status, out.text);
    EXPECT_MSG(out.status != 0, "blocks with two owners went unnoticed");
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(caches_taken_from_busy_threads),
        CASE(a_drainer_that_does_not_ask_is_found_out),
    };
    return RUN_CASES(cases);
}
