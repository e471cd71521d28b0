/* SPDX-License-Identifier: MIT
 *
 * The shelf of spans: what a thread keeps of the large blocks that it frees, and who gets it back.
 */
#include "cache_test.h"
#include "small_space.h"

#include "heap/heap_priv.h"
#include "os/fake.h"

#define UNITS(n) ((size_t)(n)*EBB_UNIT_BYTES)

static void *take(size_t units)
{
    void *p = ebb__cache_span_alloc(UNITS(units), EBB_UNIT_BYTES, false);
    EXPECT(p != NULL);
    return p;
}

static void drop(void *p)
{
    size_t usable = 0;
    EXPECT_EQ(ebb__heap_kind(p, true, &usable), EBB_BLOCK_SPAN);
    ebb__cache_span_free(p, usable, "test");
}

static struct ebb_heap_stats heap_now(void)
{
    struct ebb_heap_stats heap;
    ebb__heap_stats(&heap);
    return heap;
}

/* Nothing that the heap has given out is in a program's hands. */
static void expect_all_is_cached(void)
{
    struct ebb_heap_stats heap = heap_now();
    EXPECT_EQ(cached_blocks(), heap.slab_blocks + heap.span_blocks);
    EXPECT_EQ(cached_bytes(), heap.slab_bytes + heap.span_bytes);
}

static void the_latest_comes_first(void)
{
    void *a = take(12), *b = take(12), *c = take(13);
    drop(a);
    drop(b);
    drop(c);
    EXPECT_CACHE_OK();
    EXPECT(take(12) == b && take(12) == a && take(13) == c);
    EXPECT_EQ(cached_blocks(), 0);
    EXPECT_CACHE_OK();
}

/* A length must be met exactly: what malloc_usable_size() says depends on the request alone. */
static void other_lengths_do_not_fit(void)
{
    size_t usable = 0;
    void *a = take(40);
    drop(a);
    EXPECT(take(39) != a && take(41) != a);
    EXPECT(ebb__cache_span_alloc(UNITS(39) + 1, EBB_UNIT_BYTES, false) == a);
    EXPECT_EQ(ebb__heap_kind(a, true, &usable), EBB_BLOCK_SPAN);
    EXPECT_EQ(usable, UNITS(40));
}

static void a_hit_does_not_reach_the_heap(void)
{
    drop(take(16));
    uint64_t before = EBB_COUNTED(span_allocs), freed = EBB_COUNTED(span_frees);
    for (unsigned i = 0; i < 1000; i++)
        drop(take(16));
    EXPECT_EQ(EBB_COUNTED(span_allocs), before);
    EXPECT_EQ(EBB_COUNTED(span_frees), freed);
    ebb__cache_flush_thread();
    EXPECT_EQ(EBB_COUNTED(span_frees), freed + 1);
}

static void alignment_is_the_address(void)
{
    void *blocks[7];
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++)
        blocks[i] = take(9);
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++)
        drop(blocks[i]);
    size_t before = cached_blocks();
    unsigned aligned = 0;
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++)
        aligned += (uintptr_t)blocks[i] % UNITS(4) == 0;
    EXPECT(aligned != 0 && aligned != EBB_ARRAY_COUNT(blocks));
    for (unsigned i = 0; i <= aligned; i++)
        EXPECT((uintptr_t)ebb__cache_span_alloc(UNITS(9), UNITS(4), false) % UNITS(4) == 0);
    EXPECT_EQ(cached_blocks(), before - aligned); /* the last one came from the heap */
    EXPECT_CACHE_OK();
}

static void zeroed_means_all_of_it(void)
{
    char *p = take(20);
    memset(p, 0xa5, UNITS(20));
    drop(p);
    EXPECT(ebb__cache_span_alloc(UNITS(19) + 1, EBB_UNIT_BYTES, true) == p);
    EXPECT(support_is_zero(p, UNITS(20)));
}

/* ---- how much ---- */

static void the_oldest_leaves(void)
{
    void *blocks[EBB_SHELF_SPANS + 3];
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++)
        blocks[i] = take(9 + i % 2);
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++)
        drop(blocks[i]);
    EXPECT_EQ(cached_blocks(), EBB_SHELF_SPANS);
    expect_all_is_cached();
    size_t usable;
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++)
        EXPECT_EQ(ebb__heap_span_is_held(blocks[i], &usable), i >= 3);
    EXPECT_CACHE_OK();
}

static void bytes_are_limited(void)
{
    void *blocks[4];
    for (unsigned i = 0; i < 4; i++)
        blocks[i] = take(60);
    for (unsigned i = 0; i < 4; i++)
        drop(blocks[i]);
    EXPECT_EQ(cached_bytes(), UNITS(120)); /* of 128 units */
    EXPECT_CACHE_OK();
    void *large = take(65), *chain = take(1000);
    drop(large);
    drop(chain);
    EXPECT_EQ(cached_bytes(), UNITS(120));
    expect_all_is_cached();
}

/* The share of a thread that may cache hardly anything is no span long. */
static void no_share_no_shelf(void)
{
    ebb__conf.caches_bytes = 0;
    drop(take(9));
    EXPECT_EQ(cached_blocks(), 0);
    EXPECT_EQ(heap_now().span_blocks, 0);
}

/* Classes and shelf have one budget. */
static void one_budget_with_the_classes(void)
{
    static void *blocks[64];
    ebb__conf.caches_bytes = 256 << 10; /* a share of 128 KiB */
    for (unsigned i = 0; i < 3; i++)
        blocks[i] = take(16);
    for (unsigned i = 0; i < 3; i++)
        drop(blocks[i]);
    EXPECT_EQ(cached_bytes(), UNITS(32));
    for (unsigned round = 0; round < 8; round++) {
        unsigned c = ebb__class_of(30000);
        for (unsigned i = 0; i < 64; i++)
            blocks[i] = get(c);
        for (unsigned i = 0; i < 64; i++)
            put(blocks[i]);
    }
    EXPECT_MSG(ebb__thread.mine->room_bytes <= 30000 * 2, "%u", ebb__thread.mine->room_bytes);
    EXPECT_CACHE_OK();
}

static void random_calls(void)
{
    static struct {
        char *p;
        size_t units;
    } live[300];
    struct support_rng rng = {support_seed("random_calls")};
    size_t n = 0, units = 0, ops = support_env_number("MODEL_OPS", 60000);
    for (size_t op = 0; op < ops; op++) {
        if (n == 300 || (n != 0 && support_below(&rng, 2) == 0)) {
            size_t i = support_below(&rng, n);
            EXPECT(support_kept(live[i].p, 64, 64, (uintptr_t)live[i].p));
            units -= live[i].units;
            drop(live[i].p);
            live[i] = live[--n];
        } else {
            size_t wanted = support_between(&rng, 1, 80), align = UNITS(1) << support_below(&rng, 4);
            bool zeroed = support_below(&rng, 4) == 0;
            char *p = ebb__cache_span_alloc(UNITS(wanted), align, zeroed);
            EXPECT(p != NULL && (uintptr_t)p % align == 0);
            EXPECT(!zeroed || support_is_zero(p, UNITS(wanted)));
            memset(p, 0xff, UNITS(wanted));
            support_fill(p, 64, (uintptr_t)p);
            live[n].p = p;
            live[n++].units = wanted;
            units += wanted;
        }
        if (op % 64 == 0) {
            struct ebb_heap_stats heap = heap_now();
            EXPECT_EQ(heap.span_bytes - cached_bytes(), UNITS(units));
            EXPECT_EQ(heap.span_blocks - cached_blocks(), n);
        }
        if (op % 5003 == 0)
            EXPECT_CACHE_OK();
    }
    while (n-- != 0)
        drop(live[n].p);
    expect_all_is_cached();
    ebb__cache_flush_thread();
    EXPECT_EQ(heap_now().span_blocks, 0);
    EXPECT_CACHE_OK();
}

/* ---- freed twice ---- */

static void free_again(void *p)
{
    ebb__cache_span_free(p, UNITS(12), "free");
}

static void a_held_span_is_no_block(void)
{
    size_t usable = 0;
    void *p = take(12);
    EXPECT(!ebb__heap_span_is_held(p, &usable));
    drop(p);
    EXPECT_EQ(ebb__heap_kind(p, false, &usable), EBB_BLOCK_INVALID);
    EXPECT(ebb__heap_span_is_held(p, &usable));
    EXPECT_EQ(usable, UNITS(12));
    EXPECT(!ebb__heap_span_is_held((char *)p + 16, &usable));
    EXPECT(!ebb__heap_span_is_held((char *)p + UNITS(1), &usable));
    EXPECT(!ebb__heap_span_is_held(&usable, &usable));
    EXPECT_EQ(ebb__cache_put(p), EBB_PUT_OTHER);
    /* Two threads that free it in one instant both saw a living block. */
    EXPECT_DIES(free_again, p, "free: double free of block 0x");
    EXPECT(take(12) == p);
    EXPECT_EQ(ebb__heap_kind(p, false, &usable), EBB_BLOCK_SPAN);
}

/* A descriptor that held a slab's bits, or the mark of a dead span, says nothing of the next span. */
static void a_new_span_is_not_held(void)
{
    size_t usable;
    void *p = take(12);
    drop(p);
    ebb__cache_flush_thread();
    void *q = ebb__heap_span_alloc(UNITS(12), EBB_UNIT_BYTES, false);
    EXPECT(q == p && !ebb__heap_span_is_held(q, &usable));
    EXPECT_EQ(ebb__heap_kind(q, false, &usable), EBB_BLOCK_SPAN);
}

/* ---- who empties it ---- */

static void fill(void)
{
    void *blocks[5];
    for (unsigned i = 0; i < 5; i++)
        blocks[i] = take(9 + i);
    for (unsigned i = 0; i < 5; i++)
        drop(blocks[i]);
    EXPECT_EQ(cached_blocks(), 5);
}

static void flush_empties_it(void)
{
    fill();
    ebb__cache_flush_thread();
    EXPECT_EQ(cached_blocks(), 0);
    EXPECT_EQ(heap_now().span_blocks, 0);
    EXPECT_CACHE_OK();
}

static void exit_empties_it(void)
{
    fill();
    ebb_fake_thread_exit();
    EXPECT_EQ(heap_now().span_blocks, 0);
    /* What comes later goes the direct way. */
    drop(take(9));
    EXPECT_EQ(cached_blocks(), 0);
    EXPECT_EQ(heap_now().span_blocks, 0);
    EXPECT_CACHE_OK();
}

static void drain(size_t want_blocks)
{
    ebb__lock_take(&ebb__return_lock);
    EXPECT_EQ(ebb__cache_drain(), want_blocks);
    ebb__lock_release(&ebb__return_lock);
}

static void turn_away(void)
{
    ebb__lock_take(&ebb__return_lock);
    EXPECT_EQ(ebb__cache_revoke(), 0);
    ebb__lock_release(&ebb__return_lock);
}

static void the_drainer_empties_it(void)
{
    EXPECT_EQ(ebb__os_barrier_init(), 0);
    fill();
    drain(0); /* its thread may be at work */
    turn_away();
    void *p = take(9); /* turned away: from the heap */
    EXPECT_EQ(cached_blocks(), 5);
    drop(p); /* has come back */
    EXPECT_EQ(cached_blocks(), 6);
    drain(0);
    EXPECT(take(9) == p);
    drop(p);
    turn_away();
    drain(6);
    EXPECT_EQ(cached_blocks(), 0);
    EXPECT_EQ(heap_now().span_blocks, 0);
    EXPECT_CACHE_OK();
}

static void a_fork_child_keeps_its_own(void)
{
    fill();
    ebb__heap_after_fork();
    ebb__cache_after_fork();
    EXPECT_EQ(cached_blocks(), 5);
    EXPECT_CACHE_OK();
    flush_empties_it();
}

/* Whose heap must be rebuilt: the walkers take held spans for what they are. */
static void a_torn_fork_child_keeps_its_own(void)
{
    fill();
    struct ebb_heap_stats before = heap_now();
    uint64_t rebuilds = EBB_COUNTED(fork_rebuilds);
    ebb__limbo_enter(); /* another thread was between two locks */
    ebb__heap_after_fork();
    ebb__cache_after_fork();
    EXPECT_EQ(EBB_COUNTED(fork_rebuilds), rebuilds + 1);
    EXPECT_EQ(heap_now().span_bytes, before.span_bytes);
    EXPECT_EQ(cached_blocks(), 5);
    EXPECT_CACHE_OK();
    ebb__cache_flush_thread();
    EXPECT_EQ(heap_now().span_blocks, 0);
    EXPECT_CACHE_OK();
}

/* When the kernel refuses memory, what is shelved becomes what is asked for. */
static void refused_memory_is_taken_from_the_shelf(void)
{
    void *blocks[4];
    for (unsigned i = 0; i < 4; i++)
        blocks[i] = take(20);
    for (unsigned i = 0; i < 4; i++)
        drop(blocks[i]);
    ebb_fake.commit_bytes = ebb_fake.committed_bytes;
    while (ebb__heap_span_alloc(UNITS(1), EBB_UNIT_BYTES, false) != NULL)
        ;
    EXPECT_EQ(cached_blocks(), 4);
    EXPECT(ebb__cache_span_alloc(UNITS(60), EBB_UNIT_BYTES, false) == blocks[0]);
    EXPECT_EQ(cached_blocks(), 0);
    EXPECT(ebb__cache_span_alloc(UNITS(60), EBB_UNIT_BYTES, false) == NULL);
    EXPECT_CACHE_OK();
}

/* ---- turning it off ---- */

static void off(void)
{
    ebb__cache_configure();
    EXPECT_EQ(cached_blocks(), 0);
    drop(take(9));
    EXPECT_EQ(cached_blocks(), 0);
    EXPECT_EQ(heap_now().span_blocks, 0);
    EXPECT_CACHE_OK();
}

static void off_by_option(void)
{
    fill(); /* before the options are known */
    ebb__conf.cache = 0;
    off();
}

static void off_by_check(void)
{
    fill();
    ebb__conf.check = 1;
    off();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(the_latest_comes_first),
        CASE(other_lengths_do_not_fit),
        CASE(a_hit_does_not_reach_the_heap),
        CASE(alignment_is_the_address),
        CASE(zeroed_means_all_of_it),
        CASE(the_oldest_leaves),
        CASE(bytes_are_limited),
        CASE(no_share_no_shelf),
        CASE(one_budget_with_the_classes),
        CASE(random_calls),
        CASE(a_held_span_is_no_block),
        CASE(a_new_span_is_not_held),
        CASE(flush_empties_it),
        CASE(exit_empties_it),
        CASE(the_drainer_empties_it),
        CASE(a_fork_child_keeps_its_own),
        CASE(a_torn_fork_child_keeps_its_own),
        CASE(refused_memory_is_taken_from_the_shelf),
        CASE(off_by_option),
        CASE(off_by_check),
    };
    small_reservations();
    return RUN_CASES(cases);
}
