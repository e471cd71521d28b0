/* SPDX-License-Identifier: MIT
 *
 * Every public operation with its n-th call of the kernel failing: once, and from then on for ever.
 *
 * n rises until the operation passes untouched. After each failure the result is what the manual says (NULL
 * with ENOMEM, or nothing noticed at all), the old block and all bystanders are whole, every invariant holds,
 * and when the kernel is kind again the same operation succeeds and everything can be freed.
 */
#include "small_space.h"
#include "support.h"

#include "cache/cache.h"
#include "conf/conf.h"
#include "ebb/malloc.h"
#include "heap/heap.h"
#include "os/fake.h"

#define BYSTANDERS 40
#define N_MAX      200

static char *bystanders[BYSTANDERS];
static char *old;        /* the block that a realloc is about */
static size_t old_bytes; /* of it that are filled */

struct operation {
    const char *name;
    void (*set_up)(void);
    void *(*run)(void); /* NULL: refused */
    size_t bytes;       /* what a block returned must hold; 0: it is no block */
    bool zeroed;
    enum {
        MAY_FAIL,
        NEVER_FAILS, /* though it asks the kernel */
        ASKS_NOTHING
    } nature;
};

/* ---- states to begin with ---- */

static void nothing_yet(void)
{
}

static size_t bystander_bytes(unsigned i)
{
    return i < 30 ? 20 + (size_t)i * 37 : (size_t)(i - 29) * 40000;
}

static void some_blocks(void)
{
    for (unsigned i = 0; i < BYSTANDERS; i++) {
        EXPECT((bystanders[i] = ebb_malloc(bystander_bytes(i))) != NULL);
        support_fill(bystanders[i], bystander_bytes(i), i);
    }
}

/* No unit and no block is left below the frontier: whatever is asked for next, the kernel must be asked. */
static void nothing_is_free(void)
{
    size_t limit = ebb_fake.commit_bytes;
    void *p;
    ebb_fake.commit_bytes = ebb_fake.committed_bytes;
    for (size_t bytes = EBB_MIB(2); bytes >= EBB_KIB(4); bytes /= 2)
        while (ebb__heap_span_alloc(bytes, 4096, false) != NULL)
            ;
    for (unsigned c = EBB_CLASS_COUNT - 1; c >= 1; c--)
        while (ebb__heap_take(c, &p, 1) == 1)
            ;
    ebb_fake.commit_bytes = limit;
}

static void no_free_units(void)
{
    some_blocks();
    nothing_is_free();
}

/* Moreover the reservation is used up. */
static void no_address_space(void)
{
    ebb_fake.memlock_bytes = EBB_MIB(256); /* reservations of 64 MiB */
    some_blocks();
    while (ebb_fake.committed_bytes < EBB_MIB(64))
        EXPECT(ebb__heap_span_alloc(EBB_MIB(2), 4096, false) != NULL);
    ebb_fake.as_bytes = ebb_fake.reserved_bytes;
    nothing_is_free();
    ebb_fake.as_bytes = SIZE_MAX;
}

static void with_old(size_t bytes)
{
    old_bytes = ebb__min(bytes, EBB_MIB(2) + 777);
    EXPECT((old = ebb_malloc(bytes)) != NULL);
    support_fill(old, old_bytes, 99);
}

static void old_small(void)
{
    with_old(300);
    no_free_units();
}

static void old_mid(void)
{
    with_old(100000);
    no_free_units();
}

static void old_large_with_room_behind(void)
{
    some_blocks();
    with_old(EBB_MIB(3)); /* its tail's extent, and all behind it, are free */
}

static void old_large_hemmed_in(void)
{
    with_old(EBB_MIB(5));
    no_free_units();
}

static void old_in_the_lane(void)
{
    some_blocks();
    with_old(EBB_MIB(20));
    EXPECT((old = ebb_realloc(old, EBB_MIB(40))) != NULL);
    struct ebb_stats stats = {.size_of_struct = sizeof(stats)};
    if (ebb_stats_get(&stats) == 0 && stats.lane_bytes == 0) { /* it grew where it was: hem it in */
        char *fence = ebb_malloc(EBB_MIB(2));
        EXPECT(fence != NULL && (old = ebb_realloc(old, EBB_MIB(80))) != NULL);
    }
    EXPECT(ebb_stats_get(&stats) == 0 && stats.lane_bytes != 0);
}

static void old_huge(void)
{
    some_blocks();
    with_old(EBB_MIB(150));
}

static void much_to_trim(void)
{
    char *blocks[20];
    some_blocks();
    for (unsigned i = 0; i < 20; i++) {
        EXPECT((blocks[i] = ebb_malloc(EBB_MIB(2))) != NULL);
        memset(blocks[i], 1, EBB_MIB(2));
    }
    for (unsigned i = 0; i < 20; i++)
        ebb_free(blocks[i]);
}

/* ---- operations ---- */

static void *malloc_small(void)
{
    return ebb_malloc(24);
}
static void *malloc_32k(void)
{
    return ebb_malloc(32768);
}
static void *malloc_mid(void)
{
    return ebb_malloc(100000);
}
static void *malloc_large(void)
{
    return ebb_malloc(EBB_MIB(1));
}
static void *malloc_chain(void)
{
    return ebb_malloc(EBB_MIB(7));
}
static void *malloc_returning(void)
{
    return ebb_malloc(EBB_MIB(40));
}
static void *malloc_long_chain(void)
{
    return ebb_malloc(EBB_MIB(300));
}
static void *calloc_small(void)
{
    return ebb_calloc(10, 100);
}
static void *calloc_large(void)
{
    return ebb_calloc(1024, 1024);
}
static void *calloc_chain(void)
{
    return ebb_calloc(5, EBB_MIB(1));
}
static void *aligned_small(void)
{
    return ebb_aligned_alloc(1024, 1000);
}
static void *aligned_span(void)
{
    return ebb_aligned_alloc(EBB_KIB(64), 5000);
}
static void *aligned_64m(void)
{
    return ebb_aligned_alloc(EBB_MIB(64), EBB_MIB(3));
}
static void *aligned_lane(void)
{
    return ebb_aligned_alloc(EBB_MIB(256), 1000);
}
static void *many_small(void)
{
    static char *blocks[3000];
    unsigned n = 0;
    while (n < 3000 && (blocks[n] = ebb_malloc(500)) != NULL)
        memset(blocks[n++], 3, 500);
    int saved = errno;
    for (unsigned i = 0; i < n; i++)
        ebb_free(blocks[i]);
    errno = saved;
    return n == 3000 ? ebb_malloc(500) : NULL;
}
static void *realloc_null(void)
{
    return ebb_realloc(NULL, 5000);
}
static void *realloc_to(size_t bytes)
{
    char *p = ebb_realloc(old, bytes);
    if (p != NULL) {
        EXPECT(support_kept(p, old_bytes, ebb__min(old_bytes, bytes), 99));
        old = NULL;
    }
    return p;
}
static void *realloc_within_small(void)
{
    return realloc_to(2000);
}
static void *realloc_small_to_span(void)
{
    return realloc_to(200000);
}
static void *realloc_to_chain(void)
{
    return realloc_to(EBB_MIB(12));
}
static void *realloc_to_lane(void)
{
    return realloc_to(EBB_MIB(50));
}
static void *realloc_to_200m(void)
{
    return realloc_to(EBB_MIB(200));
}
static void *realloc_lane_to_heap(void)
{
    return realloc_to(EBB_MIB(3));
}
static void *realloc_to_small(void)
{
    return realloc_to(1000);
}
static void *reallocarray_grow(void)
{
    char *p = ebb_reallocarray(old, 3000, 1000);
    if (p != NULL) {
        EXPECT(support_kept(p, old_bytes, old_bytes, 99));
        old = NULL;
    }
    return p;
}
static void *free_old(void)
{
    errno = 77;
    ebb_free(old);
    EXPECT_EQ(errno, 77);
    old = NULL;
    return &old;
}
static void *trim(void)
{
    int rc = ebb_trim(0);
    EXPECT(rc == 0 || rc == 1);
    return &old;
}
static void *stats(void)
{
    struct ebb_stats s = {.size_of_struct = sizeof(s)};
    EXPECT_EQ(ebb_stats_get(&s), 0);
    return &old;
}
static void *flush(void)
{
    ebb_thread_flush();
    return &old;
}
static void *thread_exit(void)
{
    ebb_fake_thread_exit();
    char *p = ebb_malloc(100); /* what a late destructor does */
    EXPECT(p != NULL || errno == ENOMEM);
    ebb_free(p);
    return &old;
}
static void *check(void)
{
    EXPECT_EQ(ebb_check(), 0);
    return &old;
}

static const struct operation OPERATIONS[] = {
    {"first malloc, small", nothing_yet, malloc_small, 24, false, MAY_FAIL},
    {"first malloc, 32 KiB", nothing_yet, malloc_32k, 32768, false, MAY_FAIL},
    {"first malloc, mid", nothing_yet, malloc_mid, 100000, false, MAY_FAIL},
    {"first malloc, large", nothing_yet, malloc_large, EBB_MIB(1), false, MAY_FAIL},
    {"first malloc, chain", nothing_yet, malloc_chain, EBB_MIB(7), false, MAY_FAIL},
    {"first malloc, long chain", nothing_yet, malloc_long_chain, EBB_MIB(300), false, MAY_FAIL},
    {"first calloc", nothing_yet, calloc_small, 1000, true, MAY_FAIL},
    {"first aligned, lane", nothing_yet, aligned_lane, 1000, false, MAY_FAIL},
    {"first realloc", nothing_yet, realloc_null, 5000, false, MAY_FAIL},
    {"first trim", nothing_yet, trim, 0, false, ASKS_NOTHING},
    {"first stats", nothing_yet, stats, 0, false, ASKS_NOTHING},
    {"first flush", nothing_yet, flush, 0, false, ASKS_NOTHING},
    {"malloc, small", no_free_units, malloc_small, 24, false, MAY_FAIL},
    {"malloc, 32 KiB", no_free_units, malloc_32k, 32768, false, MAY_FAIL},
    {"malloc, mid", no_free_units, malloc_mid, 100000, false, MAY_FAIL},
    {"malloc, large", no_free_units, malloc_large, EBB_MIB(1), false, MAY_FAIL},
    {"malloc, chain", no_free_units, malloc_chain, EBB_MIB(7), false, MAY_FAIL},
    {"malloc, returned when freed", no_free_units, malloc_returning, EBB_MIB(40), false, MAY_FAIL},
    {"malloc, long chain", no_free_units, malloc_long_chain, EBB_MIB(300), false, MAY_FAIL},
    {"many mallocs", no_free_units, many_small, 500, false, MAY_FAIL},
    {"malloc, small, no address space", no_address_space, malloc_small, 24, false, MAY_FAIL},
    {"malloc, chain, no address space", no_address_space, malloc_chain, EBB_MIB(7), false, MAY_FAIL},
    {"malloc, long chain, no address space", no_address_space, malloc_long_chain, EBB_MIB(300), false,
     MAY_FAIL},
    {"calloc, small", no_free_units, calloc_small, 1000, true, MAY_FAIL},
    {"calloc, large", no_free_units, calloc_large, EBB_MIB(1), true, MAY_FAIL},
    {"calloc, chain", no_free_units, calloc_chain, EBB_MIB(5), true, MAY_FAIL},
    {"aligned, small", no_free_units, aligned_small, 1000, false, MAY_FAIL},
    {"aligned, span", no_free_units, aligned_span, 5000, false, MAY_FAIL},
    {"aligned to 64 MiB", no_free_units, aligned_64m, EBB_MIB(3), false, MAY_FAIL},
    {"aligned to 64 MiB, no address space", no_address_space, aligned_64m, EBB_MIB(3), false, MAY_FAIL},
    {"aligned, lane", no_free_units, aligned_lane, 1000, false, MAY_FAIL},
    {"realloc, within the small", old_small, realloc_within_small, 2000, false, MAY_FAIL},
    {"realloc, small to span", old_small, realloc_small_to_span, 200000, false, MAY_FAIL},
    {"realloc, mid to chain", old_mid, realloc_to_chain, EBB_MIB(12), false, MAY_FAIL},
    {"reallocarray", old_mid, reallocarray_grow, 3000000, false, MAY_FAIL},
    {"realloc, in place", old_large_with_room_behind, realloc_to_chain, EBB_MIB(12), false, MAY_FAIL},
    {"realloc, in place, 200 MiB", old_large_with_room_behind, realloc_to_200m, EBB_MIB(200), false,
     MAY_FAIL},
    {"realloc, moved", old_large_hemmed_in, realloc_to_chain, EBB_MIB(12), false, MAY_FAIL},
    {"realloc, to the lane", old_large_hemmed_in, realloc_to_lane, EBB_MIB(50), false, MAY_FAIL},
    {"realloc, in the lane", old_in_the_lane, realloc_to_200m, EBB_MIB(200), false, MAY_FAIL},
    {"realloc, lane to heap", old_in_the_lane, realloc_lane_to_heap, EBB_MIB(3), false, ASKS_NOTHING},
    {"realloc, lane to small", old_in_the_lane, realloc_to_small, 1000, false, ASKS_NOTHING},
    {"realloc, long chain to lane", old_huge, realloc_to_200m, EBB_MIB(200), false, MAY_FAIL},
    {"realloc, shrink", old_large_hemmed_in, realloc_to_small, 1000, false, NEVER_FAILS},
    {"free, chain", old_large_hemmed_in, free_old, 0, false, ASKS_NOTHING},
    {"free, lane", old_in_the_lane, free_old, 0, false, ASKS_NOTHING},
    {"free, long chain", old_huge, free_old, 0, false, NEVER_FAILS},
    {"trim", much_to_trim, trim, 0, false, NEVER_FAILS},
    {"stats", much_to_trim, stats, 0, false, ASKS_NOTHING},
    {"flush", much_to_trim, flush, 0, false, ASKS_NOTHING},
    {"thread exit", much_to_trim, thread_exit, 0, false, ASKS_NOTHING},
    {"check", much_to_trim, check, 0, false, ASKS_NOTHING},
};

/* ---- one trial, in a child ---- */

static void bystanders_are_whole(void)
{
    for (unsigned i = 0; i < BYSTANDERS; i++)
        if (bystanders[i] != NULL)
            EXPECT_MSG(support_kept(bystanders[i], bystander_bytes(i), bystander_bytes(i), i), "bystander %u",
                       i);
    if (old != NULL)
        EXPECT(support_kept(old, old_bytes, old_bytes, 99));
}

static void expect_good(const struct operation *op, char *p)
{
    EXPECT(p != NULL);
    if (op->bytes == 0)
        return;
    EXPECT(ebb_usable_size(p) >= op->bytes);
    if (op->zeroed)
        EXPECT(support_is_zero(p, op->bytes));
    p[0] = p[op->bytes - 1] = 1;
}

enum { PASSED_UNTOUCHED = 10, FAILURE_MET = 11 };

struct trial {
    const struct operation *op;
    long n;
    bool forever;
};

static void try_one(const struct trial *t)
{
    struct ebb_stats s = {.size_of_struct = sizeof(s)};
    ebb_fake.failures = 0;
    ebb_fake.fail_at = t->n;
    ebb_fake.fail_forever = t->forever;
    errno = 0;
    char *p = t->op->run();
    int error = errno;
    bool met = ebb_fake.failures != 0;
    ebb_fake.fail_at = 0;
    bystanders_are_whole();
    EXPECT_EQ(ebb_check(), 0);
    EXPECT(p != NULL || (met && t->op->nature == MAY_FAIL && error == ENOMEM));
    if (p != NULL)
        expect_good(t->op, p);
    if (p != NULL && t->op->bytes != 0)
        ebb_free(p);
    /* The kernel is kind again. */
    if (p == NULL) {
        p = t->op->run();
        expect_good(t->op, p);
        bystanders_are_whole();
        ebb_free(p);
    }
    EXPECT_EQ(ebb_check(), 0);
    for (unsigned i = 0; i < BYSTANDERS; i++)
        ebb_free(bystanders[i]);
    ebb_free(old);
    (void)ebb_trim(0);
    EXPECT_EQ(ebb_check(), 0);
    for (size_t bytes = 16; bytes <= EBB_MIB(1); bytes *= 4) {
        EXPECT((p = ebb_calloc(1, bytes)) != NULL && p[0] == 0 && p[bytes - 1] == 0);
        ebb_free(p);
    }
    EXPECT(ebb_check() == 0 && ebb_stats_get(&s) == 0);
    _exit(met ? FAILURE_MET : PASSED_UNTOUCHED);
}

static int wait_for(pid_t pid)
{
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* In a process of its own: the state is made once, each trial forks from it. */
static void all_n(const struct operation *op, bool forever)
{
    int code = FAILURE_MET;
    long n = 0;
    op->set_up();
    EXPECT_EQ(ebb_check(), 0);
    while (code == FAILURE_MET && n < N_MAX) {
        const struct trial t = {op, ++n, forever};
        (void)fflush(NULL);
        pid_t pid = fork();
        EXPECT(pid >= 0);
        if (pid == 0)
            try_one(&t);
        code = wait_for(pid);
    }
    EXPECT_MSG(code == PASSED_UNTOUCHED, "\"%s\" with call %ld failing%s: %d", op->name, n,
               forever ? " for ever" : "", code);
    EXPECT_MSG((n == 1) == (op->nature == ASKS_NOTHING), "\"%s\" asked the kernel %ld times", op->name,
               n - 1);
}

/* With `all`, also those that copy hundreds of megabytes. */
static void every_operation(bool forever, bool all)
{
    unsigned wrong = 0;
    for (size_t i = 0; i < EBB_ARRAY_COUNT(OPERATIONS); i++) {
        if (!all && OPERATIONS[i].set_up == old_huge)
            continue;
        (void)fflush(NULL);
        pid_t pid = fork();
        EXPECT(pid >= 0);
        if (pid == 0) {
            all_n(&OPERATIONS[i], forever);
            _exit(0);
        }
        wrong += wait_for(pid) != 0;
    }
    EXPECT_EQ(wrong, 0);
}

static void fail_once(void)
{
    every_operation(false, true);
}

static void fail_for_ever(void)
{
    every_operation(true, true);
}

static void fail_once_without_caches(void)
{
    ebb__conf.cache = 0;
    ebb__cache_configure();
    every_operation(false, false);
}

static void fail_once_with_large_pages(void)
{
    ebb_fake.page_bytes = EBB_KIB(64);
    every_operation(false, false);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(fail_once),
        CASE(fail_for_ever),
        CASE(fail_once_without_caches),
        CASE(fail_once_with_large_pages),
    };
    small_reservations();
    return RUN_CASES(cases);
}
