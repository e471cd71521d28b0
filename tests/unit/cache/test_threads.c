/* SPDX-License-Identifier: MIT
 *
 * Real threads over the real kernel: blocks that change hands, threads that end, forks in between.
 */
#include "cache_test.h"

#include <pthread.h>

#include "ledger/ledger.h"

/* Reservations of 2 GiB: see small_space.h. The linker leads the heap's question here. */
void __real_ebb__os_limits(struct ebb_os_limits *ret_limits);
void __wrap_ebb__os_limits(struct ebb_os_limits *ret_limits);

void __wrap_ebb__os_limits(struct ebb_os_limits *ret_limits)
{
    __real_ebb__os_limits(ret_limits);
    ret_limits->memlock_bytes = EBB_GIB(8);
}

#define THREADS 4
#define SLOTS   512

/* Hands over blocks: a thread swaps its own with whatever lies in a slot. */
static _Atomic(char *) slots[SLOTS];
static size_t rounds;

static unsigned class_for(uint64_t r)
{
    return 1 + (unsigned)(r % 40);
}

static void stamp(char *p, unsigned code)
{
    p[0] = (char)code;
    p[15] = (char)~code;
}

static void *exchange(void *arg)
{
    struct support_rng rng = {(uintptr_t)arg};
    for (size_t i = 0; i < rounds; i++) {
        uint64_t r = support_next(&rng);
        char *mine = NULL;
        if (r % 8 != 0) {
            unsigned code = class_for(r >> 8);
            EXPECT((mine = get(code)) != NULL);
            stamp(mine, code);
        }
        char *other = atomic_exchange_explicit(&slots[(r >> 20) % SLOTS], mine, memory_order_acq_rel);
        if (other != NULL) {
            unsigned code = ebb__unit_entry(other) & 0xff;
            EXPECT(other[0] == (char)code && other[15] == (char)~code);
            stamp(other, 0);
            put(other);
        }
        if (r % 4096 == 1)
            ebb__cache_flush_thread();
        if (r % 4096 == 2)
            ebb__cache_flush_depot();
    }
    return NULL;
}

static void run_threads(void *(*fn)(void *), uint64_t seed)
{
    pthread_t threads[THREADS];
    for (unsigned t = 0; t < THREADS; t++)
        EXPECT(pthread_create(&threads[t], NULL, fn, (void *)(uintptr_t)(seed + t)) == 0);
    for (unsigned t = 0; t < THREADS; t++)
        EXPECT(pthread_join(threads[t], NULL) == 0);
}

static void blocks_change_hands(void)
{
    uint64_t seed = support_seed("blocks_change_hands");
    rounds = support_env_number("MODEL_OPS", 60000);
    for (unsigned storm = 0; storm < 3; storm++)
        run_threads(exchange, seed + 100 * storm);
    size_t left = 0;
    for (unsigned i = 0; i < SLOTS; i++) {
        left += slots[i] != NULL;
        if (slots[i] != NULL)
            put(slots[i]);
    }
    EXPECT(left != 0);
    EXPECT_CACHE_OK();
    /* The threads have gone: what is cached is this thread's and the depot's. */
    ebb__cache_flush_thread();
    ebb__cache_flush_depot();
    EXPECT_EQ(cached_blocks(), 0);
    EXPECT_EQ(live_blocks(), 0);
}

/* ---- one makes, another frees ---- */

static void *produce(void *arg)
{
    struct support_rng rng = {(uintptr_t)arg};
    for (size_t i = 0; i < rounds; i++) {
        char *p = get(4), *none = NULL;
        EXPECT(p != NULL);
        stamp(p, 4);
        while (!atomic_compare_exchange_weak_explicit(&slots[support_below(&rng, SLOTS)], &none, p,
                                                      memory_order_release, memory_order_relaxed))
            none = NULL;
    }
    return NULL;
}

static void *consume(void *arg)
{
    struct support_rng rng = {(uintptr_t)arg};
    for (size_t i = 0; i < rounds;) {
        char *p = atomic_exchange_explicit(&slots[support_below(&rng, SLOTS)], NULL, memory_order_acquire);
        if (p == NULL)
            continue;
        EXPECT(p[0] == 4 && p[15] == (char)~4);
        put(p);
        i++;
    }
    return NULL;
}

static void full_magazines_reach_the_producer(void)
{
    pthread_t producer, consumer;
    uint64_t seed = support_seed("full_magazines_reach_the_producer");
    rounds = support_env_number("MODEL_OPS", 60000);
    EXPECT(pthread_create(&producer, NULL, produce, (void *)(uintptr_t)seed) == 0);
    EXPECT(pthread_create(&consumer, NULL, consume, (void *)(uintptr_t)(seed + 1)) == 0);
    EXPECT(pthread_join(producer, NULL) == 0 && pthread_join(consumer, NULL) == 0);
    ebb__cache_flush_depot();
    EXPECT_EQ(cached_blocks(), 0);
    EXPECT_EQ(live_blocks(), 0);
    EXPECT_CACHE_OK();
    /* Most blocks went round through the depot: the slabs handed out far fewer than were used. */
    EXPECT_MSG(ebb_alloc_counter < rounds / 2 + 5000, "%lu from slabs for %zu blocks",
               (unsigned long)ebb_alloc_counter, rounds);
}

/* ---- statistics in motion ---- */

static _Atomic bool stop;

static void *watch(void *unused)
{
    (void)unused;
    size_t worst = 0, looks = 0;
    while (!atomic_load(&stop)) {
        size_t blocks, bytes;
        ebb__cache_stats(&blocks, &bytes);
        worst = ebb__max(worst, blocks);
        looks++;
        struct ebb_heap_stats heap;
        ebb__heap_stats(&heap);
    }
    /* All that THREADS threads and the depot can hold: 2 magazines of 125 and what the depot may have, in 40
     * classes. */
    EXPECT_MSG(worst < (size_t)40 * (THREADS * 250 + 131072 / 4), "%zu blocks seen in %zu looks", worst,
               looks);
    return NULL;
}

static void statistics_in_motion(void)
{
    pthread_t watcher;
    uint64_t seed = support_seed("statistics_in_motion");
    rounds = support_env_number("MODEL_OPS", 40000);
    EXPECT(pthread_create(&watcher, NULL, watch, NULL) == 0);
    run_threads(exchange, seed);
    atomic_store(&stop, true);
    EXPECT(pthread_join(watcher, NULL) == 0);
    EXPECT_CACHE_OK();
}

/* ---- many short threads ---- */

static void *short_life(void *arg)
{
    void *mine[300];
    for (unsigned i = 0; i < 300; i++)
        mine[i] = get(1 + (unsigned)(uintptr_t)arg % 60);
    for (unsigned i = 0; i < 300; i++)
        put(mine[i]);
    return NULL;
}

static void short_threads_leave_nothing(void)
{
    size_t lives = support_env_number("MODEL_OPS", 200);
    for (size_t i = 0; i < lives; i++) {
        pthread_t thread;
        EXPECT(pthread_create(&thread, NULL, short_life, (void *)(uintptr_t)i) == 0);
        EXPECT(pthread_join(thread, NULL) == 0);
    }
    ebb__cache_flush_depot();
    EXPECT_EQ(cached_blocks(), 0);
    EXPECT_EQ(live_blocks(), 0);
    struct ebb_heap_stats heap;
    ebb__heap_stats(&heap);
    EXPECT_MSG(heap.internal_bytes < EBB_KIB(512), "%zu", heap.internal_bytes);
    EXPECT_CACHE_OK();
}

/* ---- the ledger's credits end with the thread as well ---- */

static struct ebb_budget_account *account;
enum order { BLOCK_FIRST, CREDIT_FIRST, CREDIT_ALONE };

static void *take_both(void *arg)
{
    enum order order = *(const enum order *)arg;
    char *p = NULL;
    if (order == BLOCK_FIRST)
        EXPECT((p = get(5)) != NULL);
    EXPECT_EQ(ebb__ledger_charge_credit(account, 1000), 0);
    if (order == CREDIT_FIRST)
        EXPECT((p = get(5)) != NULL);
    EXPECT(ebb__ledger_used(account) > 1000);
    if (p != NULL)
        put(p);
    return NULL;
}

static void credits_end_with_the_thread(void)
{
    size_t blocks, bytes;
    ebb__cache_configure();
    EXPECT_EQ(ebb__ledger_create(NULL, "a", EBB_BUDGET_QUERY, &account), 0);
    for (enum order order = BLOCK_FIRST; order <= CREDIT_ALONE; order++) {
        pthread_t thread;
        EXPECT_EQ(pthread_create(&thread, NULL, take_both, &order), 0);
        EXPECT_EQ(pthread_join(thread, NULL), 0);
        EXPECT_EQ(ebb__ledger_used(account), 1000);
        ebb__ledger_uncharge(account, 1000);
        ebb__cache_stats(&blocks, &bytes);
        EXPECT_EQ(blocks, 0);
    }
    EXPECT_EQ(ebb__ledger_check(), 0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(blocks_change_hands),         CASE(full_magazines_reach_the_producer),
        CASE(statistics_in_motion),        CASE(short_threads_leave_nothing),
        CASE(credits_end_with_the_thread),
    };
    return RUN_CASES(cases);
}
