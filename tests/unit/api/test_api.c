/* SPDX-License-Identifier: MIT
 *
 * The malloc family as <ebb/malloc.h> promises it: arguments, errno, growth, questions, and what dies.
 */
#include "small_space.h"
#include "support.h"

#include "api/api.h"
#include "conf/conf.h"
#include "ebb/malloc.h"
#include "os/fake.h"

/* Hides a value from the compiler, which would warn of what these tests do on purpose. */
static size_t opaque(size_t n)
{
    __asm__ volatile("" : "+r"(n));
    return n;
}

static void *again(void *p)
{
    __asm__ volatile("" : "+r"(p));
    return p;
}

static struct ebb_stats stats_now(void)
{
    struct ebb_stats stats = {.size_of_struct = sizeof(stats)};
    EXPECT_EQ(ebb_stats_get(&stats), 0);
    return stats;
}

/* ---- arguments ---- */

static void zero_bytes(void)
{
    char *a = ebb_malloc(0), *b = ebb_malloc(0), *c = ebb_calloc(0, 5), *d = ebb_aligned_alloc(4096, 0);
    EXPECT(a != NULL && b != NULL && c != NULL && d != NULL && a != b && b != c);
    EXPECT(ebb_usable_size(a) >= 1 && (uintptr_t)d % 4096 == 0);
    EXPECT(ebb_realloc(a, 0) == NULL);
    ebb_free(b);
    ebb_free(c);
    ebb_free(d);
    EXPECT_EQ(stats_now().live_blocks, 0);
}

static void null_pointers(void)
{
    ebb_free(NULL);
    ebb_free_sized(NULL, 5);
    ebb_free_aligned_sized(NULL, 64, 5);
    EXPECT_EQ(ebb_usable_size(NULL), 0);
    char *p = ebb_realloc(NULL, 77);
    EXPECT(p != NULL && ebb_usable_size(p) >= 77);
    ebb_free(p);
    EXPECT((p = ebb_realloc(NULL, 0)) != NULL);
    ebb_free(p);
    EXPECT_EQ(stats_now().live_blocks, 0);
}

static void expect_enomem(void *p)
{
    EXPECT(p == NULL);
    EXPECT_EQ(errno, ENOMEM);
    errno = 0;
}

static void hopeless_sizes(void)
{
    static const size_t sizes[] = {SIZE_MAX,    SIZE_MAX - 15,   (size_t)PTRDIFF_MAX + 1,
                                   PTRDIFF_MAX, (size_t)1 << 60, (size_t)1 << 49};
    char *old = ebb_malloc(100);
    support_fill(old, 100, 1);
    errno = 0;
    for (size_t i = 0; i < EBB_ARRAY_COUNT(sizes); i++) {
        size_t n = opaque(sizes[i]);
        expect_enomem(ebb_malloc(n));
        expect_enomem(ebb_calloc(1, n));
        expect_enomem(ebb_calloc(n, 1));
        expect_enomem(ebb_realloc(old, n));
        expect_enomem(ebb_reallocarray(old, n, 1));
        expect_enomem(ebb_reallocarray(old, 1, n));
        expect_enomem(ebb_aligned_alloc(16, n));
        expect_enomem(ebb_aligned_alloc(EBB_MIB(64), n));
        expect_enomem(ebb_aligned_alloc(EBB_GIB(1), n));
        EXPECT(support_kept(old, 100, 100, 1));
    }
    for (unsigned shift = 33; shift < 63; shift++) {
        expect_enomem(ebb_calloc(opaque((size_t)1 << shift), opaque((size_t)1 << (64 - shift))));
        expect_enomem(ebb_reallocarray(old, opaque((size_t)1 << shift), opaque((size_t)1 << (65 - shift))));
        expect_enomem(
            ebb_calloc(opaque((size_t)3 << (shift - 2)), opaque(((size_t)1 << (66 - shift)) / 3 + 1)));
    }
    expect_enomem(ebb_aligned_alloc(opaque((size_t)1 << 63), 1));
    expect_enomem(ebb_aligned_alloc(opaque((size_t)1 << 62), 1));
    EXPECT(support_kept(old, 100, 100, 1));
    EXPECT_EQ(ebb_check(), 0);
}

static void bad_alignments(void)
{
    for (size_t align = 0; align < 5000; align++) {
        errno = 0;
        void *p = ebb_aligned_alloc(opaque(align), 10);
        bool good = align != 0 && (align & (align - 1)) == 0;
        EXPECT_MSG((p != NULL) == good && (good || errno == EINVAL), "alignment %zu: %p, errno %d", align, p,
                   errno);
        EXPECT(p == NULL || (uintptr_t)p % align == 0);
        ebb_free(p);
    }
}

static void every_size_and_alignment(void)
{
    for (size_t align = 1; align <= EBB_MIB(128); align *= 2)
        for (size_t bytes = 1; bytes <= EBB_MIB(4); bytes = bytes * 3 + align % 7) {
            char *p = ebb_aligned_alloc(align, bytes);
            EXPECT_MSG(p != NULL && (uintptr_t)p % align == 0 && (uintptr_t)p % 16 == 0,
                       "%zu bytes aligned to %zu at %p", bytes, align, (void *)p);
            EXPECT(ebb_usable_size(p) >= bytes);
            p[0] = p[bytes - 1] = 1;
            ebb_free_aligned_sized(p, align, bytes);
        }
    EXPECT_EQ(ebb_check(), 0);
    EXPECT_EQ(stats_now().live_blocks, 0);
}

/* "exceeds the size by up to 12.5 %, 16 bytes at the least, 4 KiB units above 32 KiB" */
static void usable_size_is_bounded(void)
{
    for (size_t bytes = 1; bytes <= 200000; bytes += bytes < 3000 ? 1 : 97) {
        char *p = ebb_malloc(bytes);
        size_t over = ebb_usable_size(p) - bytes;
        EXPECT_MSG(over <= 15 || over * 8 <= bytes || (bytes > 32768 && over < 4096), "%zu bytes: %zu over",
                   bytes, over);
        memset(p, 1, ebb_usable_size(p));
        ebb_free(p);
    }
}

static void errno_is_kept(void)
{
    static const size_t sizes[] = {1, 5000, 40000, EBB_MIB(3), EBB_MIB(40), EBB_MIB(150)};
    for (size_t i = 0; i < EBB_ARRAY_COUNT(sizes); i++)
        for (int locked = 0; locked < 2; locked++) {
            errno = 4321;
            char *p = ebb_malloc(sizes[i]);
            EXPECT(p != NULL && errno == 4321);
            p[0] = 1;
            p = ebb_realloc(p, sizes[i] * 2);
            EXPECT(p != NULL && errno == 4321);
            ebb_fake.locked = locked != 0;
            ebb_free(p);
            EXPECT_EQ(errno, 4321);
            (void)ebb_trim(0);
            ebb_fake.locked = false;
        }
}

/* ---- realloc ---- */

static void realloc_between_all_sizes(void)
{
    static const size_t sizes[] = {
        1,      16,     17,     300,        1024,           5000,        32768,       32769,
        100000, 262144, 262145, EBB_MIB(2), EBB_MIB(3) + 1, EBB_MIB(33), EBB_MIB(130)};
    for (size_t i = 0; i < EBB_ARRAY_COUNT(sizes); i++)
        for (size_t k = 0; k < EBB_ARRAY_COUNT(sizes); k++) {
            size_t kept = ebb__min(sizes[i], sizes[k]);
            char *p = ebb_malloc(sizes[i]);
            EXPECT(p != NULL);
            support_fill(p, ebb__min(sizes[i], 70000), i);
            char *q = ebb_realloc(p, sizes[k]);
            EXPECT(q != NULL && ebb_usable_size(q) >= sizes[k]);
            EXPECT_MSG(support_kept(q, ebb__min(sizes[i], 70000), ebb__min(kept, 70000), i),
                       "%zu to %zu bytes", sizes[i], sizes[k]);
            q[sizes[k] - 1] = 1;
            EXPECT_EQ(ebb_check(), 0);
            ebb_free(q);
        }
    EXPECT_EQ(stats_now().live_blocks, 0);
}

static void realloc_stays_where_it_can(void)
{
    char *p = ebb_malloc(1000);
    EXPECT(ebb_realloc(p, 1024) == p);
    EXPECT(ebb_realloc(p, 600) == p); /* by less than half */
    EXPECT(ebb_realloc(p, 1000) == p);
    p = ebb_malloc(EBB_MIB(3));
    EXPECT(ebb_realloc(p, EBB_MIB(9)) == p); /* nothing behind it */
    EXPECT(ebb_realloc(p, EBB_MIB(2)) == p);
    EXPECT_EQ(ebb_check(), 0);
}

/* A vector that grows by a constant is not copied each time. */
static void growth_is_logarithmic(void)
{
    char *p = ebb_malloc(40000), *fence;
    unsigned moves = 0;
    for (size_t bytes = 40000; bytes < EBB_MIB(64); bytes += 20000) {
        char *q = ebb_realloc(p, bytes);
        EXPECT(q != NULL);
        moves += q != p;
        if (q != p &&
            (fence = ebb_malloc(300000)) != NULL) /* something that stands in the way of the next growth */
            fence[0] = 1;
        p = q;
    }
    EXPECT_MSG(moves < 80, "%u moves", moves);
    EXPECT_EQ(ebb_check(), 0);
}

static void huge_growth_uses_the_lane(void)
{
    char *p = ebb_malloc(EBB_MIB(20)), *fence = ebb_malloc(EBB_MIB(3));
    EXPECT(fence != NULL);
    support_fill(p, 5000, 1);
    size_t bytes = EBB_MIB(20);
    while (stats_now().lane_bytes == 0 && bytes < EBB_MIB(200)) {
        bytes += EBB_MIB(15);
        EXPECT((p = ebb_realloc(p, bytes)) != NULL);
    }
    EXPECT(stats_now().lane_bytes >= bytes);
    EXPECT(support_kept(p, 5000, 5000, 1));
    EXPECT((p = ebb_realloc(p, EBB_MIB(1))) != NULL);
    EXPECT_EQ(stats_now().lane_bytes, 0);
    EXPECT(support_kept(p, 5000, 5000, 1));
    EXPECT_EQ(ebb_check(), 0);
}

/* ---- questions and orders ---- */

static void stats_and_options(void)
{
    struct ebb_stats stats = {.size_of_struct = sizeof(stats) - 1};
    EXPECT_EQ(ebb_stats_get(&stats), -EINVAL);
    stats.size_of_struct = 0;
    EXPECT_EQ(ebb_stats_get(&stats), -EINVAL);
    stats = stats_now();
    EXPECT(stats.live_bytes == 0 && stats.live_blocks == 0 && stats.mappings == 0 &&
           stats.reserved_bytes == 0);
    char *p = ebb_malloc(100), *q = ebb_malloc(EBB_MIB(1)), *r = ebb_aligned_alloc(EBB_MIB(128), 5);
    stats = stats_now();
    EXPECT_EQ(stats.live_blocks, 3);
    EXPECT_EQ(stats.live_bytes, ebb_usable_size(p) + ebb_usable_size(q) + ebb_usable_size(r));
    EXPECT_EQ(stats.lane_bytes, ebb_usable_size(r));
    EXPECT(stats.mappings == 3 && ebb_fake.mappings == 3);
    EXPECT_EQ(ebb_option_get("lane"), ebb__conf.lane);
    EXPECT_EQ(ebb_option_get("nothing"), -ENOENT);
    EXPECT(strcmp(ebb_version(), EBB_VERSION) == 0);
    uint64_t before = ebb_alloc_counter;
    for (unsigned i = 0; i < 1000; i++)
        EXPECT(ebb_malloc(64) != NULL);
    EXPECT(ebb_alloc_counter >= before + 1000);
}

static void trim_gives_back(void)
{
    static char *blocks[3000];
    EXPECT_EQ(ebb_trim(0), 0);
    for (unsigned i = 0; i < 3000; i++) {
        blocks[i] = ebb_malloc(1000 + i * 10);
        memset(blocks[i], 1, 1000);
    }
    for (unsigned i = 0; i < 3000; i++)
        ebb_free(blocks[i]);
    size_t held = ebb_fake_resident_bytes();
    EXPECT_EQ(ebb_trim(0), 1);
    EXPECT_EQ(stats_now().cached_bytes, 0);
    EXPECT_MSG(ebb_fake_resident_bytes() < held / 10, "%zu of %zu stay", ebb_fake_resident_bytes(), held);
    EXPECT_EQ(ebb_trim(0), 0);
    EXPECT_EQ(ebb_check(), 0);
}

static void thread_flush_empties_the_cache(void)
{
    static char *blocks[500];
    for (unsigned i = 0; i < 500; i++)
        blocks[i] = ebb_malloc(100);
    for (unsigned i = 0; i < 60; i++) /* too few for the depot */
        ebb_free(blocks[i]);
    EXPECT(stats_now().cached_bytes != 0);
    size_t live = stats_now().live_bytes;
    ebb_thread_flush();
    EXPECT_EQ(stats_now().cached_bytes, 0);
    EXPECT_EQ(stats_now().live_bytes, live);
}

/* ---- the unnoticed fork ---- */

static void a_child_that_skipped_the_handlers(void)
{
    EXPECT(ebb__api_is_started());
    EXPECT(ebb__lock_stuck != NULL);
    char *p = ebb_malloc(100);
    EXPECT(!ebb__lock_stuck()); /* the same process: the holder is only slow */
    ebb_fake.pid = 43;
    EXPECT(ebb__lock_stuck());
    EXPECT(!ebb__lock_stuck()); /* done once */
    EXPECT(ebb_usable_size(p) >= 100);
    EXPECT_EQ(ebb_check(), 0);
}

/* ---- what dies ---- */

static char *victim;

static void free_it(void *p)
{
    ebb_free(p);
}
static void free_it_twice(void *p)
{
    ebb_free(p);
    ebb_free(again(p));
}
static void resize_it(void *p)
{
    (void)again(ebb_realloc(p, 50));
}
static void array_it(void *p)
{
    (void)again(ebb_reallocarray(p, 5, 50));
}
static void measure_it(void *p)
{
    (void)ebb_usable_size(p);
}
static void free_it_sized(void *p)
{
    ebb_free_sized(p, 100);
}
static void free_it_with_a_wrong_size(void *p)
{
    ebb_free_sized(p, 5000);
}
static void free_it_with_a_small_size(void *p)
{
    ebb_free_sized(p, 3);
}
static void free_it_with_a_wrong_alignment(void *p)
{
    ebb_free_aligned_sized(p, 1024, 100);
}

/* Each copy leaves room for at least 3/16 more: log(28) / log(19/16) of them lead from 36 KiB to 1 MiB. */
static void a_growing_vector_is_copied_seldom(void)
{
    unsigned copies = 0;
    char *p = ebb_malloc(EBB_KIB(36));
    for (size_t bytes = EBB_KIB(36); bytes <= EBB_MIB(1); bytes += 2048) {
        char *fence = ebb_malloc(EBB_KIB(33)), *q = ebb_realloc(p, bytes);
        EXPECT(fence != NULL && q != NULL && ebb_usable_size(q) >= bytes);
        copies += q != p;
        p = q;
    }
    EXPECT_MSG(copies <= 22, "%u copies", copies);
    EXPECT(ebb_usable_size(p) <= EBB_MIB(1) * 19 / 16 + EBB_KIB(4));
}

/* One that doubles has room enough: it gets what it asks for. */
static void a_doubling_vector_gets_no_more(void)
{
    char *p = ebb_malloc(EBB_KIB(36));
    for (size_t bytes = EBB_KIB(72); bytes <= EBB_MIB(16); bytes *= 2) {
        EXPECT(ebb_malloc(EBB_KIB(33)) != NULL);
        EXPECT((p = ebb_realloc(p, bytes)) != NULL);
        EXPECT_EQ(ebb_usable_size(p), bytes);
    }
}

static void corrupt_pointers_die(void)
{
    static char foreign[64] __attribute__((aligned(64)));
    char *small = ebb_malloc(100), *large = ebb_malloc(EBB_KIB(100)), *chain = ebb_malloc(EBB_MIB(5));
    EXPECT_DIES(free_it, small + 16, "ebb_free: invalid pointer 0x");
    EXPECT_DIES(free_it, small + 1, "ebb_free: invalid pointer 0x");
    EXPECT_DIES(free_it, large + 16, "ebb_free: invalid pointer 0x");
    EXPECT_DIES(free_it, large + 4096, "ebb_free: invalid pointer 0x");
    EXPECT_DIES(free_it, chain + EBB_MIB(2), "ebb_free: invalid pointer 0x");
    EXPECT_DIES(free_it, foreign, "ebb_free: foreign pointer 0x");
    EXPECT_DIES(free_it_twice, small, "ebb_free: double free of block 0x");
    EXPECT_DIES(free_it_twice, large, "ebb_free: double free of block 0x");
    EXPECT_DIES(resize_it, small + 16, "ebb_realloc: invalid pointer 0x");
    EXPECT_DIES(resize_it, foreign, "ebb_realloc: foreign pointer 0x");
    EXPECT_DIES(array_it, small + 16, "ebb_reallocarray: invalid pointer 0x");
    EXPECT_DIES(measure_it, small + 16, "ebb_usable_size: invalid pointer 0x");
    EXPECT_DIES(measure_it, foreign, "ebb_usable_size: foreign pointer 0x");
    EXPECT_DIES(free_it_sized, small + 16, "ebb_free_sized: invalid pointer 0x");
    ebb_free(small);
    ebb_free(large);
    ebb_free(chain);
    EXPECT_DIES(free_it, large, "ebb_free: double free of block 0x");
    EXPECT_DIES(resize_it, large, "ebb_realloc: invalid pointer 0x");
    EXPECT_DIES(measure_it, large, "ebb_usable_size: invalid pointer 0x");
    EXPECT_DIES(free_it, chain, "ebb_free: invalid pointer 0x");
    EXPECT_EQ(ebb_check(), 0);
}

static void free_apart(void *p)
{
    char *q = ebb_malloc(100);
    ebb_free(p);
    ebb_free(q);
    ebb_free(again(p));
}

static void check_finds_everything_at_once(void)
{
    ebb__conf.check = 1;
    ebb__cache_configure();
    victim = ebb_malloc(100);
    char *shrunk = ebb_realloc(ebb_malloc(1000), 600), *aligned = ebb_aligned_alloc(1024, 100);
    EXPECT_DIES(free_apart, victim, "ebb_free: double free of block 0x");
    EXPECT_DIES(free_it_with_a_wrong_size, victim, "ebb_free_sized: size 5000 does not match block 0x");
    EXPECT_DIES(free_it_with_a_small_size, victim, "ebb_free_sized: size 3 does not match block 0x");
    EXPECT_DIES(free_it_with_a_wrong_alignment, victim,
                "ebb_free_aligned_sized: size 100 does not match block 0x");
    ebb_free_sized(victim, 100);
    ebb_free_sized(shrunk, 600);
    ebb_free_aligned_sized(aligned, 1024, 100);
    EXPECT_DIES(measure_it, victim, "ebb_usable_size: invalid pointer 0x");
    EXPECT_DIES(resize_it, victim, "ebb_realloc: invalid pointer 0x");
    for (size_t bytes = 1; bytes < EBB_MIB(1); bytes = bytes * 5 / 4 + 1) {
        ebb_free_sized(ebb_malloc(bytes), bytes);
        ebb_free_sized(ebb_calloc(1, bytes), bytes);
        for (size_t align = 1; align <= EBB_KIB(64); align *= 4)
            ebb_free_aligned_sized(ebb_aligned_alloc(align, bytes), align, bytes);
    }
    EXPECT_EQ(stats_now().live_blocks, 0);
    EXPECT_EQ(ebb_check(), 0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(zero_bytes),
        CASE(null_pointers),
        CASE(hopeless_sizes),
        CASE(bad_alignments),
        CASE(every_size_and_alignment),
        CASE(usable_size_is_bounded),
        CASE(errno_is_kept),
        CASE(realloc_between_all_sizes),
        CASE(realloc_stays_where_it_can),
        CASE(growth_is_logarithmic),
        CASE(huge_growth_uses_the_lane),
        CASE(stats_and_options),
        CASE(trim_gives_back),
        CASE(thread_flush_empties_the_cache),
        CASE(a_child_that_skipped_the_handlers),
        CASE(a_growing_vector_is_copied_seldom),
        CASE(a_doubling_vector_gets_no_more),
        CASE(corrupt_pointers_die),
        CASE(check_finds_everything_at_once),
    };
    small_reservations();
    return RUN_CASES(cases);
}
