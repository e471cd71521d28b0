/* SPDX-License-Identifier: MIT
 *
 * Random operations on the whole allocator over the fake kernel, against the oracle.
 *
 * usage: model SCENARIO. The seed is printed; SEED=n has the run again, MODEL_OPS=n sets its length.
 */
#include <pthread.h>

#include "oracle.h"
#include "small_space.h"

#include "cache/cache.h"
#include "conf/conf.h"
#include "ebb/budget.h"
#include "ebb/malloc.h"
#include "heap/heap.h"
#include "os/fake.h"

#define THREADS 4
#define MAPPINGS_MAX                                                                                         \
    6 /* of the 8 promised; two are the background thread's stack. The lane is counted apart */

static size_t ops_wanted;

/* Everything that the heap says of itself, against what the oracles know. Nobody else may be in it. */
static void compare(struct oracle *const *oracles, size_t count)
{
    struct ebb_stats stats = {.size_of_struct = sizeof(stats)};
    struct ebb_heap_stats heap;
    size_t live_bytes = 0, live_blocks = 0;
    for (size_t i = 0; i < count; i++) {
        live_bytes += oracles[i]->live_bytes;
        live_blocks += oracles[i]->live_blocks;
    }
    EXPECT_EQ(ebb_stats_get(&stats), 0);
    ebb__heap_stats(&heap);
    EXPECT_EQ(stats.live_blocks, live_blocks);
    EXPECT_EQ(stats.live_bytes, live_bytes);
    EXPECT_EQ(stats.reserved_bytes, ebb_fake.reserved_bytes);
    EXPECT_EQ(stats.committed_bytes, ebb_fake.committed_bytes);
    EXPECT_EQ(stats.lane_bytes, ebb_fake.mapped_bytes);
    EXPECT(stats.dirty_bytes <= stats.backed_bytes && stats.backed_bytes <= stats.committed_bytes);
    EXPECT(stats.backed_bytes >= heap.slab_bytes + heap.span_bytes);
    EXPECT_MSG(ebb_fake.mappings - heap.lane_blocks <= MAPPINGS_MAX, "%u mappings, %zu of them in the lane",
               ebb_fake.mappings, heap.lane_blocks);
    EXPECT_EQ(stats.mappings, ebb_fake.mappings);
}

static void check_all(struct oracle *const *oracles, size_t count)
{
    oracle_check(oracles, count);
    EXPECT_EQ(ebb_check(), 0);
    compare(oracles, count);
}

/* Everything freed: nothing is live, and nearly nothing is resident. */
static void end(struct oracle *const *oracles, size_t count)
{
    size_t peak = 0;
    for (size_t i = 0; i < count; i++) {
        peak += ebb_fake.committed_bytes;
        oracle_free_all(oracles[i]);
    }
    check_all(oracles, count);
    (void)ebb_trim(0);
    check_all(oracles, count);
    size_t resident = ebb_fake_resident_bytes();
    (void)printf("at the end %zu KiB resident of %zu MiB that were committed\n", resident >> 10,
                 ebb_fake.committed_bytes >> 20);
    EXPECT_MSG(resident <= EBB_MIB(4) + peak / 40, "%zu bytes are resident", resident);
    for (size_t i = 0; i < count; i++)
        free(oracles[i]->slots);
}

/* ---- one thread ---- */

/* What the kernel may do between two operations. */
static void plain(struct oracle *o)
{
    (void)o;
}

/* Spells in which every call fails, single failures, and memory that cannot be given back. */
static void bad_weather(struct oracle *o)
{
    static unsigned spell;
    if (spell != 0 && --spell == 0)
        ebb_fake.fail_at = 0;
    if (spell == 0 && support_below(&o->rng, 200) == 0) {
        bool lasting = support_below(&o->rng, 2) == 0;
        spell = lasting ? (unsigned)support_between(&o->rng, 10, 400) : 0;
        ebb_fake.fail_forever = lasting;
        ebb_fake.fail_at = lasting ? 1 : (long)support_between(&o->rng, 1, 3);
    }
    ebb_fake.locked = support_below(&o->rng, 10) == 0;
}

static void one_thread(size_t slots, size_t cap_bytes, void (*between)(struct oracle *))
{
    struct oracle o, *all[] = {&o};
    oracle_create(&o, slots, cap_bytes, support_seed("model"));
    for (size_t op = 0; op < ops_wanted; op++) {
        between(&o);
        oracle_step(&o);
        ebb_fake.now_ms += support_below(&o.rng, 4) == 0;
        if (support_below(&o.rng, 3000) == 0)
            (void)ebb_trim(support_below(&o.rng, 2) == 0 ? 0 : support_below(&o.rng, EBB_MIB(64)));
        if (support_below(&o.rng, 1000) == 0)
            ebb_thread_flush();
        if (op % 512 == 0)
            compare(all, 1);
        if (op % 4096 == 0)
            check_all(all, 1);
    }
    ebb_fake.fail_at = 0;
    ebb_fake.fail_forever = ebb_fake.locked = false;
    check_all(all, 1);
    (void)printf("%zu operations, %zu refused, %zu blocks of %zu MiB live, %u mappings\n", ops_wanted,
                 (size_t)o.refused, o.live_blocks, o.live_bytes >> 20, ebb_fake.mappings);
    EXPECT(between != bad_weather || ebb_fake.failures != 0);
    end(all, 1);
}

/* To the MiB that is promised: sweeping claims whole OS pages for a moment. */
static void expect_within(size_t limit_bytes)
{
    struct ebb_budget_stats s = {.size_of_struct = sizeof(s)};
    EXPECT_EQ(ebb_budget_stats(ebb_budget_heap(), &s), 0);
    EXPECT_MSG(s.refusals != 0 && s.peak_bytes <= limit_bytes + EBB_MIB(1) && s.peak_bytes > limit_bytes / 2,
               "%zu refusals, at most %zu bytes", (size_t)s.refusals, s.peak_bytes);
    EXPECT_EQ(ebb_budget_check(), 0);
}

static void with_pages(size_t page_bytes)
{
    ebb_fake.page_bytes = page_bytes;
    one_thread(6000, EBB_MIB(700), plain);
}

static void pages_4k(void)
{
    with_pages(EBB_KIB(4));
}

static void pages_16k(void)
{
    with_pages(EBB_KIB(16));
}

static void pages_64k(void)
{
    with_pages(EBB_KIB(64));
}

static void no_caches(void)
{
    ebb__conf.check = 1;
    ebb__cache_configure();
    one_thread(4000, EBB_MIB(300), plain);
}

static void small_caches(void)
{
    ebb__conf.cache_bytes = 2048;
    ebb__conf.caches_bytes = 0;
    ebb__conf.depot_bytes = 8192;
    ebb__conf.lane = 2;
    one_thread(8000, EBB_MIB(300), plain);
}

/* The limit is met again and again: the cap of the oracle lies above it. */
static void commit_limit(void)
{
    ebb_fake.commit_bytes = EBB_MIB(60);
    one_thread(3000, EBB_MIB(300), plain);
}

/* The same by the ledger: it is never passed, and what was refused is not held. */
static void hard_limit(void)
{
    (void)ebb_budget_limit(ebb_budget_heap(), EBB_BUDGET_HARD, EBB_MIB(60));
    one_thread(3000, EBB_MIB(300), plain);
    expect_within(EBB_MIB(60));
}

static void address_space_limit(void)
{
    ebb_fake.as_bytes = EBB_MIB(400);
    one_thread(3000, EBB_MIB(600), plain);
}

static void failing_kernel(void)
{
    one_thread(3000, EBB_MIB(300), bad_weather);
}

static void failing_kernel_with_large_pages(void)
{
    ebb_fake.page_bytes = EBB_KIB(64);
    ebb_fake.commit_bytes = EBB_MIB(150);
    one_thread(3000, EBB_MIB(300), bad_weather);
}

/* ---- several threads ---- */

#define MAILBOX 256

static struct oracle crew[THREADS];
static struct {
    pthread_mutex_t mutex;
    struct slot slots[MAILBOX];
} mail = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* Puts a block into the mailbox for another thread, and adopts what was there. */
static void exchange(struct oracle *o)
{
    struct slot out = oracle_take_out(o);
    pthread_mutex_lock(&mail.mutex);
    struct slot *place = &mail.slots[support_below(&o->rng, MAILBOX)], in = *place;
    *place = out;
    pthread_mutex_unlock(&mail.mutex);
    if (in.block != NULL)
        oracle_adopt(o, in);
}

static void *work(void *arg)
{
    struct oracle *o = arg;
    for (size_t op = 0; op < ops_wanted / THREADS / 6; op++) {
        oracle_step(o);
        if (support_below(&o->rng, 5) == 0)
            exchange(o);
        if (support_below(&o->rng, 2000) == 0)
            (void)ebb_trim(support_below(&o->rng, EBB_MIB(16)));
        if (support_below(&o->rng, 500) == 0)
            ebb_thread_flush();
        if (support_below(&o->rng, 500) == 0) {
            struct ebb_stats stats = {.size_of_struct = sizeof(stats)};
            EXPECT_EQ(ebb_stats_get(&stats), 0);
            EXPECT(stats.live_bytes <= stats.backed_bytes + stats.lane_bytes);
        }
    }
    if (support_below(&o->rng, 2) == 0)
        ebb_fake_thread_exit(); /* else its cache stays behind, as that of a thread that sleeps */
    return NULL;
}

static void threads_over(size_t cap_bytes)
{
    uint64_t seed = support_seed("model");
    struct oracle post = {.slots = mail.slots, .count = MAILBOX}, *all[THREADS + 1];
    for (unsigned t = 0; t < THREADS; t++) {
        oracle_create(&crew[t], 1500, cap_bytes / THREADS, seed + t);
        all[t] = &crew[t];
    }
    all[THREADS] = &post;
    for (unsigned round = 0; round < 6; round++) {
        pthread_t threads[THREADS];
        for (unsigned t = 0; t < THREADS; t++)
            EXPECT(pthread_create(&threads[t], NULL, work, &crew[t]) == 0);
        for (unsigned t = 0; t < THREADS; t++)
            EXPECT(pthread_join(threads[t], NULL) == 0);
        post.live_blocks = post.live_bytes = 0;
        for (unsigned i = 0; i < MAILBOX; i++)
            if (mail.slots[i].block != NULL) {
                post.live_blocks++;
                post.live_bytes += mail.slots[i].usable_bytes;
            }
        check_all(all, THREADS + 1);
    }
    post.slots = malloc(sizeof(mail.slots));
    EXPECT(post.slots != NULL);
    memcpy(post.slots, mail.slots, sizeof(mail.slots));
    uint64_t refused = 0;
    for (unsigned t = 0; t < THREADS; t++)
        refused += crew[t].refused;
    (void)printf("%zu operations, %zu refused, %u mappings\n", ops_wanted, (size_t)refused,
                 ebb_fake.mappings);
    end(all, THREADS + 1);
}

static void several_threads(void)
{
    threads_over(EBB_MIB(400));
}

static void several_threads_with_a_limit(void)
{
    ebb_fake.commit_bytes = EBB_MIB(80);
    ebb_fake.page_bytes = EBB_KIB(16);
    threads_over(EBB_MIB(400));
}

static void several_threads_with_a_hard_limit(void)
{
    (void)ebb_budget_limit(ebb_budget_heap(), EBB_BUDGET_HARD, EBB_MIB(80));
    threads_over(EBB_MIB(400));
    expect_within(EBB_MIB(80));
}

static const struct {
    const char *name;
    void (*run)(void);
    size_t ops;
} SCENARIOS[] = {
#define SCENARIO(fn, ops)                                                                                    \
    {                                                                                                        \
#fn, fn, ops                                                                                         \
    }
    SCENARIO(pages_4k, 150000),
    SCENARIO(pages_16k, 100000),
    SCENARIO(pages_64k, 100000),
    SCENARIO(no_caches, 100000),
    SCENARIO(small_caches, 100000),
    SCENARIO(commit_limit, 100000),
    SCENARIO(hard_limit, 100000),
    SCENARIO(address_space_limit, 100000),
    SCENARIO(failing_kernel, 100000),
    SCENARIO(failing_kernel_with_large_pages, 100000),
    SCENARIO(several_threads, 200000),
    SCENARIO(several_threads_with_a_limit, 200000),
    SCENARIO(several_threads_with_a_hard_limit, 200000),
#undef SCENARIO
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < EBB_ARRAY_COUNT(SCENARIOS); i++)
        if (strcmp(argv[1], SCENARIOS[i].name) == 0) {
            small_reservations();
            ops_wanted = support_env_number("MODEL_OPS", SCENARIOS[i].ops);
            SCENARIOS[i].run();
            return 0;
        }
    (void)fprintf(stderr, "usage: %s SCENARIO, one of:", argv[0]);
    for (size_t i = 0; i < EBB_ARRAY_COUNT(SCENARIOS); i++)
        (void)fprintf(stderr, " %s", SCENARIOS[i].name);
    (void)fputc('\n', stderr);
    return 2;
}
