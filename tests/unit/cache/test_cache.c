/* SPDX-License-Identifier: MIT
 *
 * One thread's cache: what it hands out, keeps, exchanges and gives back.
 */
#include "cache_test.h"
#include "pool.h"
#include "small_space.h"

#include "heap/heap_priv.h"
#include "os/fake.h"

#define MANY 4000

static void *blocks[MANY];

static void take_many(unsigned c, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        EXPECT((blocks[i] = get(c)) != NULL);
}

static void put_many(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        put(blocks[i]);
}

static void a_class_used_once_keeps_nothing(void)
{
    for (unsigned c = 1; c <= EBB_USER_CLASSES; c++) {
        size_t usable = 0;
        void *p = get(c);
        EXPECT(ebb__heap_kind(p, true, &usable) == EBB_BLOCK_SMALL && usable == ebb__classes[c].bytes);
        EXPECT_EQ(cached_blocks(), 0);
    }
    EXPECT_EQ(live_blocks(), EBB_USER_CLASSES);
    EXPECT_CACHE_OK();
}

static void last_in_first_out(void)
{
    unsigned c = ebb__class_of(100);
    take_many(c, 50);
    put(blocks[3]);
    put(blocks[4]);
    put(blocks[5]);
    EXPECT(get(c) == blocks[5]);
    EXPECT(get(c) == blocks[4]);
    EXPECT(get(c) == blocks[3]);
    EXPECT_CACHE_OK();
}

/* A hit takes no lock: the slabs' counts do not move. */
static void hits_do_not_reach_the_slabs(void)
{
    unsigned c = ebb__class_of(64);
    take_many(c, 500);
    put_many(8);
    uint64_t taken = ebb__heap_check() == 0 ? ebb_alloc_counter : 0;
    for (unsigned i = 0; i < 10000; i++) {
        void *a = get(c), *b = get(c);
        put(a);
        put(b);
    }
    EXPECT_EQ(ebb_alloc_counter, taken);
}

/* At any boundary of a magazine, taking and giving one block moves blocks at most once per many calls. */
static void no_thrashing_at_a_boundary(void)
{
    unsigned c = ebb__class_of(64);
    take_many(c, 3000);
    for (unsigned at = 0; at < 400; at++) {
        put(blocks[at]);
        uint64_t before = ebb_alloc_counter;
        for (unsigned i = 0; i < 100; i++) {
            void *a = get(c), *b = get(c);
            put(a);
            put(b);
        }
        EXPECT_MSG(ebb_alloc_counter - before <= 130, "%u blocks cached: %lu moved by 200 calls", at + 1,
                   (unsigned long)(ebb_alloc_counter - before));
    }
    EXPECT_CACHE_OK();
}

/* Every class: random taking and giving; no block twice, everything accounted for. */
static void random_calls(void)
{
    static struct {
        void *p;
        unsigned c;
    } live[MANY];
    struct support_rng rng = {support_seed("random_calls")};
    size_t n = 0, ops = support_env_number("MODEL_OPS", 400000);
    for (size_t op = 0; op < ops; op++) {
        bool growing = op / 20000 % 2 == 0;
        if (n != 0 && (n == MANY || support_below(&rng, 100) < (growing ? 45u : 55u))) {
            size_t i = support_below(&rng, n);
            EXPECT(support_kept(live[i].p, 16, 16, (uintptr_t)live[i].p));
            memset(live[i].p, 0, 16);
            put(live[i].p);
            live[i] = live[--n];
        } else {
            unsigned c =
                1 + (unsigned)(support_next(&rng) % EBB_USER_CLASSES * (support_next(&rng) % 8) / 7) %
                        EBB_USER_CLASSES;
            live[n].c = c;
            EXPECT((live[n].p = get(c)) != NULL);
            size_t usable = 0;
            EXPECT(ebb__heap_kind(live[n].p, true, &usable) == EBB_BLOCK_SMALL &&
                   usable == ebb__classes[c].bytes);
            support_fill(live[n].p, 16, (uintptr_t)live[n].p);
            n++;
        }
        if (op % 20011 == 0) {
            EXPECT_CACHE_OK();
            EXPECT_EQ(live_blocks(), n);
        }
    }
    while (n-- != 0)
        put(live[n].p);
    EXPECT_CACHE_OK();
    EXPECT_EQ(live_blocks(), 0);
    ebb__cache_flush_thread();
    ebb__cache_flush_depot();
    EXPECT_EQ(cached_blocks(), 0);
    EXPECT_CACHE_OK();
}

/* ---- sizes ---- */

static void magazines_grow_to_their_limit(unsigned c, size_t limit_bytes)
{
    take_many(c, MANY);
    EXPECT(cached_bytes() <= 2 * limit_bytes + 2 * ebb__classes[c].bytes);
    put_many(MANY);
    size_t depot = depot_blocks(c) * ebb__classes[c].bytes, mine = cached_bytes() - depot;
    /* Two magazines of at least two blocks each. */
    size_t most = 2 * ebb__max(limit_bytes, 2 * ebb__classes[c].bytes);
    EXPECT_MSG(mine <= most, "class %u caches %zu, allowed %zu", c, mine, most);
    EXPECT_MSG(depot <= (size_t)ebb__conf.depot_bytes, "depot of class %u holds %zu", c, depot);
    EXPECT_EQ(live_blocks(), 0);
    EXPECT_CACHE_OK();
    ebb__cache_flush_thread();
    ebb__cache_flush_depot();
    EXPECT_EQ(cached_blocks(), 0);
}

static void limits_hold_in_every_class(void)
{
    for (unsigned c = 1; c <= EBB_USER_CLASSES; c++)
        magazines_grow_to_their_limit(c, (size_t)ebb__conf.cache_bytes);
    EXPECT_EQ(cached_bytes(), 0);
}

static void options_set_the_limits(void)
{
    static const long cache_bytes[] = {1024, 5000, 1 << 20};
    for (size_t i = 0; i < EBB_ARRAY_COUNT(cache_bytes); i++)
        for (long depot_bytes = 0; depot_bytes <= 1 << 20; depot_bytes = depot_bytes * 16 + 4096) {
            ebb__conf.cache_bytes = cache_bytes[i];
            ebb__conf.depot_bytes = depot_bytes;
            for (unsigned c = 1; c <= EBB_USER_CLASSES; c += 5)
                magazines_grow_to_their_limit(c, (size_t)cache_bytes[i]);
        }
}

/* One budget over all classes of a thread. */
static void budget_over_all_classes(void)
{
    ebb__conf.caches_bytes = 256 << 10;
    ebb__conf.depot_bytes = 0;
    for (unsigned round = 0; round < 3; round++)
        for (unsigned c = 1; c <= EBB_USER_CLASSES; c++) {
            unsigned n = (unsigned)ebb__min(600, EBB_MIB(2) / ebb__classes[c].bytes);
            take_many(c, n);
            put_many(n);
        }
    /* The first step, up to 2 KiB a class, is everybody's, beyond the budget. */
    EXPECT_MSG(cached_bytes() <= (256 << 10) + 2 * 2048 * (size_t)EBB_USER_CLASSES, "%zu cached",
               cached_bytes());
    EXPECT(cached_bytes() >= 100 << 10);
    EXPECT_CACHE_OK();
}

/* ---- what is exact ---- */

static void expect_all_cached(const char *what, unsigned round)
{
    struct ebb_heap_stats heap;
    ebb__heap_stats(&heap);
    EXPECT_MSG(cached_blocks() == heap.slab_blocks, "%s, round %u: %zu cached of %zu", what, round,
               cached_blocks(), heap.slab_blocks);
    EXPECT_EQ(cached_bytes(), heap.slab_bytes);
}

static void stats_are_exact_at_rest(void)
{
    struct support_rng rng = {support_seed("stats_are_exact_at_rest")};
    unsigned c = ebb__class_of(48);
    for (unsigned round = 0; round < 200; round++) {
        unsigned n = (unsigned)support_between(&rng, 1, MANY - 1);
        take_many(c, n);
        put_many(n);
        if (round % 16 == 7)
            ebb__cache_flush_thread(); /* magazines begin small again; the depot keeps the large ones */
        expect_all_cached("one class", round);
    }
}

/* Magazines of one class in the depot need not hold the same: a thread whose share is used up has smaller
 * ones. */
static void stats_are_exact_with_unequal_magazines(void)
{
    unsigned c = ebb__class_of(48);
    ebb__conf.depot_bytes = 64 << 10;
    take_many(c, 600);
    put_many(600);
    expect_all_cached("plenty", 0);
    ebb__cache_flush_thread();
    ebb__conf.caches_bytes = 0;
    for (unsigned other = 30; other <= EBB_USER_CLASSES; other++) {
        take_many(other, 300);
        put_many(300);
    }
    expect_all_cached("share used up", 0);
    for (unsigned round = 1; round < 50; round++) {
        take_many(c, 60 * round);
        put_many(60 * round);
        expect_all_cached("share used up", round);
    }
}

/* ---- what is refused ---- */

static void other_pointers(void)
{
    char *small = get(9);
    void *large = ebb__heap_span_alloc(EBB_KIB(64), EBB_UNIT_BYTES, false);
    int on_stack = 0;
    EXPECT_EQ(ebb__cache_put(NULL), EBB_PUT_OTHER);
    EXPECT_EQ(ebb__cache_put(&on_stack), EBB_PUT_OTHER);
    EXPECT_EQ(ebb__cache_put(large), EBB_PUT_OTHER);
    EXPECT_EQ(ebb__cache_put((char *)large + 4096), EBB_PUT_OTHER);
    for (unsigned at = 1; at < ebb__classes[9].bytes; at++)
        EXPECT_EQ(ebb__cache_put(small + at), EBB_PUT_OTHER);
    EXPECT_EQ(ebb__cache_put((void *)ebb__thread.mine), EBB_PUT_OTHER); /* our own blocks */
    EXPECT_CACHE_OK();
}

static void twice_on_top(void)
{
    unsigned c = ebb__class_of(200);
    take_many(c, 60);
    put(blocks[0]);
    EXPECT_EQ(ebb__cache_put(blocks[0]), EBB_PUT_TWICE);
    put(blocks[1]);
    EXPECT_EQ(ebb__cache_put(blocks[1]), EBB_PUT_TWICE);
    EXPECT_CACHE_OK();
}

static void flush_after_double_free(void *unused)
{
    (void)unused;
    put(blocks[0]);
    put(blocks[1]);
    put(blocks[0]);
    ebb__cache_flush_thread();
}

static void twice_is_found_at_the_flush(void)
{
    take_many(ebb__class_of(200), 60);
    EXPECT_DIES(flush_after_double_free, NULL, "free: double free of block 0x");
}

/* ---- turning it off ---- */

static void nothing_is_cached(void)
{
    for (unsigned c = 1; c <= EBB_USER_CLASSES; c++) {
        unsigned n = (unsigned)ebb__min(300, EBB_MIB(1) / ebb__classes[c].bytes);
        take_many(c, n);
        EXPECT_EQ(cached_blocks(), 0);
        put_many(n);
        EXPECT_EQ(cached_blocks(), 0);
    }
    EXPECT_EQ(live_blocks(), 0);
    EXPECT_CACHE_OK();
}

static void free_twice(void *p)
{
    ebb__cache_put_slow(p, "free");
}

static void off_by_option(void)
{
    ebb__conf.cache = 0;
    ebb__cache_configure();
    nothing_is_cached();
}

static void off_by_check(void)
{
    ebb__conf.check = 1;
    ebb__cache_configure();
    nothing_is_cached();
    void *p = get(5), *q = get(5);
    put(p);
    put(q);
    EXPECT_DIES(free_twice, p, "free: double free of block 0x"); /* at the free itself */
}

/* The dynamic linker allocates before the options are known. */
static void configure_after_first_use(void)
{
    unsigned c = ebb__class_of(64);
    take_many(c, 500);
    put_many(300);
    EXPECT(cached_blocks() != 0);
    ebb__conf.check = 1;
    ebb__cache_configure();
    EXPECT_EQ(cached_blocks(), 0);
    for (unsigned i = 300; i < 500; i++)
        put(blocks[i]);
    EXPECT_EQ(cached_blocks(), 0);
    nothing_is_cached();
}

/* ---- the end of a thread ---- */

static void thread_exit_empties_the_cache(void)
{
    struct ebb_heap_stats heap;
    for (unsigned c = 1; c <= EBB_USER_CLASSES; c += 3) {
        take_many(c, 200);
        put_many(200);
    }
    EXPECT(cached_blocks() != 0);
    ebb__cache_flush_depot();
    ebb_fake_thread_exit();
    EXPECT_EQ(cached_blocks(), 0);
    EXPECT_EQ(live_blocks(), 0);
    /* What a destructor that comes later does goes the direct way. */
    take_many(20, 300);
    put_many(300);
    EXPECT_EQ(cached_blocks(), 0);
    EXPECT_EQ(live_blocks(), 0);
    EXPECT_CACHE_OK();
    ebb__heap_stats(&heap);
    /* Our own blocks: some empty magazines wait for others. */
    EXPECT_MSG(heap.internal_bytes <= 4 * 64 * 1024, "%zu", heap.internal_bytes);
}

static void flush_gives_all_back(void)
{
    for (unsigned c = 1; c <= EBB_USER_CLASSES; c++) {
        take_many(c, 100);
        put_many(100);
    }
    ebb__cache_flush_thread();
    size_t depot = 0;
    for (unsigned c = 1; c <= EBB_USER_CLASSES; c++)
        depot += depot_blocks(c);
    EXPECT_EQ(cached_blocks(), depot);
    ebb__cache_flush_depot();
    EXPECT_EQ(cached_blocks(), 0);
    EXPECT_EQ(live_blocks(), 0);
    EXPECT_CACHE_OK();
    ebb__cache_flush_thread(); /* of an empty one */
    take_many(3, 100);
    put_many(100);
    EXPECT_CACHE_OK();
}

/* ---- without memory ---- */

/* Takes whatever memory there is, in every class. */
static void exhaust(void)
{
    void *p;
    ebb_fake.commit_bytes = ebb_fake.committed_bytes;
    for (unsigned c = EBB_USER_CLASSES; c >= 1; c--)
        while (ebb__heap_take(c, &p, 1) == 1)
            ;
    for (unsigned c = EBB_CLASS_MAG_128; c < EBB_CLASS_COUNT; c++)
        while (ebb__heap_take(c, &p, 1) == 1)
            ;
}

/* No memory for a magazine: blocks go the direct way, nothing is lost. */
static void magazines_refused(void)
{
    unsigned c = ebb__class_of(64);
    take_many(c, 2);
    put_many(2); /* the thread has a cache, but hardly anything in it */
    ebb__cache_flush_thread();
    take_many(c, 512);
    ebb__cache_flush_thread();
    exhaust();
    size_t live = live_blocks();
    put_many(512);
    EXPECT_CACHE_OK();
    EXPECT_EQ(live_blocks(), live - 512);
    take_many(c, 512);
    EXPECT_EQ(live_blocks(), live);
    EXPECT(get(c) == NULL);
    EXPECT_EQ(live_blocks(), live);
    for (unsigned i = 0; i < 5000; i++) { /* at the very edge */
        put(blocks[i % 512]);
        EXPECT((blocks[i % 512] = get(c)) != NULL);
    }
    EXPECT_EQ(live_blocks(), live);
    EXPECT_CACHE_OK();
}

/* A thread that frees at a limit waits for nobody, and has nobody's memory taken away for its own convenience. */
static void free_asks_nobody(bool has_cache)
{
    static void *all[4000];
    unsigned c = ebb__class_of(64);
    struct pool pool;
    void *p;
    if (has_cache)
        put(get(c));
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(all); i++)
        EXPECT_EQ(ebb__heap_take(c, &all[i], 1), 1);
    pool_fill(&pool, EBB_MIB(8));
    leave_room(0);
    for (unsigned mag = EBB_CLASS_MAG_128; mag < EBB_CLASS_COUNT; mag++)
        while (ebb__heap_take_if_room(mag, &p, 1) != 0)
            ;
    size_t live = live_blocks();
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(all); i += 2) /* no slab runs empty */
        put(all[i]);
    EXPECT_EQ(pool.asked, 0);
    EXPECT_EQ(EBB_COUNTED(limit_refusals), 0);
    EXPECT_EQ(live_blocks(), live - EBB_ARRAY_COUNT(all) / 2);
    EXPECT_CACHE_OK();
    leave_all_room();
    for (unsigned i = 1; i < EBB_ARRAY_COUNT(all); i += 2)
        put(all[i]);
    EXPECT(cached_blocks() > 100);
    EXPECT_EQ(live_blocks(), live - EBB_ARRAY_COUNT(all));
    EXPECT_CACHE_OK();
}

static void free_without_a_cache_asks_nobody(void)
{
    free_asks_nobody(false);
}

static void free_with_a_cache_asks_nobody(void)
{
    free_asks_nobody(true);
}

static void first_cache_refused(void)
{
    ebb_fake.fail_at = 1;
    ebb_fake.fail_forever = true;
    EXPECT(get(1) == NULL);
    EXPECT(get(72) == NULL);
    ebb_fake.fail_at = 0;
    EXPECT(get(1) != NULL);
    EXPECT_CACHE_OK();
}

static void fork_child_keeps_its_own(void)
{
    unsigned c = ebb__class_of(64);
    take_many(c, 500);
    put_many(300);
    size_t before = cached_blocks();
    ebb__cache_after_fork();
    EXPECT_EQ(cached_blocks(), before);
    EXPECT_CACHE_OK();
    ebb_fake_thread_exit();
    EXPECT_EQ(cached_blocks(), depot_blocks(c));
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(a_class_used_once_keeps_nothing),
        CASE(last_in_first_out),
        CASE(hits_do_not_reach_the_slabs),
        CASE(no_thrashing_at_a_boundary),
        CASE(random_calls),
        CASE(limits_hold_in_every_class),
        CASE(options_set_the_limits),
        CASE(budget_over_all_classes),
        CASE(stats_are_exact_at_rest),
        CASE(stats_are_exact_with_unequal_magazines),
        CASE(other_pointers),
        CASE(twice_on_top),
        CASE(twice_is_found_at_the_flush),
        CASE(off_by_option),
        CASE(off_by_check),
        CASE(configure_after_first_use),
        CASE(thread_exit_empties_the_cache),
        CASE(flush_gives_all_back),
        CASE(magazines_refused),
        CASE(free_without_a_cache_asks_nobody),
        CASE(free_with_a_cache_asks_nobody),
        CASE(first_cache_refused),
        CASE(fork_child_keeps_its_own),
    };
    small_reservations();
    return RUN_CASES(cases);
}
