/* SPDX-License-Identifier: MIT
 *
 * Every operation on a region with its n-th call of the kernel failing: once, and from then on for ever.
 *
 * n rises until the operation passes untouched. After each failure the operation has been refused with ENOMEM or has gone through,
 * what the region held before is whole, its invariants and the heap's hold, and when the kernel is kind again the
 * same operation succeeds.
 */
#include "small_space.h"
#include "support.h"

#include "base/track.h"
#include "ebb/region.h"
#include "heap/heap.h"
#include "os/fake.h"

#define N_MAX  200
#define PIECES 50

static struct ebb_region *region;
static char *pieces[PIECES];
static unsigned cleanups_run;

static size_t bytes_of(unsigned i)
{
    return 10 + (size_t)i * i * 20;
}

static void fill(void)
{
    for (unsigned i = 0; i < PIECES; i++) {
        EXPECT((pieces[i] = ebb_region_alloc(region, bytes_of(i))) != NULL);
        support_fill(pieces[i], bytes_of(i), i);
    }
}

static void pieces_are_whole(void)
{
    for (unsigned i = 0; i < PIECES; i++)
        EXPECT_MSG(support_kept(pieces[i], bytes_of(i), bytes_of(i), i), "piece %u", i);
}

/* Whatever is asked for next, the kernel must be asked. */
static void leave_nothing(void)
{
    size_t limit = ebb_fake.commit_bytes;
    void *p;
    ebb_fake.commit_bytes = ebb_fake.committed_bytes;
    for (size_t bytes = EBB_MIB(2); bytes >= EBB_KIB(4); bytes /= 2)
        while (ebb__heap_region_span_alloc(bytes, EBB_MAKE_ROOM) != NULL ||
               ebb__heap_span_alloc(bytes, EBB_UNIT_BYTES, false) != NULL)
            ;
    ebb_thread_flush();
    for (unsigned c = EBB_CLASS_COUNT - 1; c >= 1; c--)
        while (ebb__heap_take(c, &p, 1) == 1)
            ;
    ebb_fake.commit_bytes = limit;
}

static void set_up(void)
{
    EXPECT((region = ebb_region_create(NULL)) != NULL);
    for (unsigned i = 0; i < 3; i++) { /* some blocks are kept */
        fill();
        ebb_region_reset(region, EBB_REGION_KEEP_LARGEST);
    }
    fill();
    leave_nothing();
}

static void count_cleanup(void *arg)
{
    (void)arg;
    cleanups_run++;
}

/* ---- operations: true, or false with ENOMEM ---- */

static bool create(void)
{
    struct ebb_region *other = ebb_region_create(NULL);
    ebb_region_destroy(other);
    return other != NULL;
}

static bool create_large(void)
{
    const struct ebb_region_options o = {.size_of_struct = sizeof(o), .first_bytes = EBB_MIB(3)};
    struct ebb_region *other = ebb_region_create(&o);
    ebb_region_destroy(other);
    return other != NULL;
}

static bool alloc(size_t bytes)
{
    struct ebb_region_mark mark = ebb_region_mark(region);
    char *p = ebb_region_alloc(region, bytes);
    if (p == NULL)
        return false;
    memset(p, 1, bytes);
    ebb_region_rollback(region, mark);
    return true;
}

static bool alloc_block(void)
{
    return alloc((size_t)(region->limit - region->cursor) + 1);
}
static bool alloc_apart(void)
{
    return alloc(EBB_KIB(400));
}
static bool alloc_chain(void)
{
    return alloc(EBB_MIB(9));
}
static bool alloc_aligned(void)
{
    struct ebb_region_mark mark = ebb_region_mark(region);
    bool done = ebb_region_alloc_aligned(region, EBB_MIB(1), 100) != NULL;
    ebb_region_rollback(region, mark);
    return done;
}
static bool alloc_zeroed(void)
{
    struct ebb_region_mark mark = ebb_region_mark(region);
    const char *p = ebb_region_calloc(region, 1000, 1000);
    bool done = p != NULL;
    EXPECT(!done || support_is_zero(p, 1000000));
    ebb_region_rollback(region, mark);
    return done;
}
static bool alloc_many(void)
{
    struct ebb_region_mark mark = ebb_region_mark(region);
    unsigned n = 0;
    while (n < 50000 && ebb_region_alloc(region, 100) != NULL)
        n++;
    int saved = errno;
    ebb_region_rollback(region, mark);
    errno = saved;
    return n == 50000;
}
static bool add_cleanup(void)
{
    struct ebb_region_mark mark = ebb_region_mark(region);
    unsigned added = 0, before = cleanups_run;
    while (added < 5000 && ebb_region_cleanup_add(region, count_cleanup, NULL) == 0)
        added++;
    errno = added == 5000 ? errno : ENOMEM;
    int saved = errno;
    ebb_region_rollback(region, mark);
    errno = saved;
    EXPECT_EQ(cleanups_run - before, added);
    return added == 5000;
}
static bool reset(void)
{
    ebb_region_reset(region, EBB_REGION_KEEP_ALL);
    fill();
    return true;
}
static bool start_anew(void)
{
    ebb_region_destroy(region);
    return (region = ebb_region_create(NULL)) != NULL;
}

static const struct operation {
    const char *name;
    bool (*run)(void);
    bool never_fails; /* what it needs it has */
} OPERATIONS[] = {
    {"create", create, false},
    {"create, large", create_large, false},
    {"alloc, another block", alloc_block, false},
    {"alloc, apart", alloc_apart, false},
    {"alloc, chain", alloc_chain, false},
    {"alloc_aligned", alloc_aligned, false},
    {"calloc", alloc_zeroed, false},
    {"alloc, many", alloc_many, false},
    {"cleanup_add, many", add_cleanup, false},
    {"reset and fill again", reset, true},
    {"destroy and create", start_anew, true},
};

enum { PASSED_UNTOUCHED = 10, FAILURE_MET = 11 };

static void try_one(const struct operation *op, long n, bool forever)
{
    ebb_fake.failures = 0;
    ebb_fake.fail_at = n;
    ebb_fake.fail_forever = forever;
    errno = 0;
    bool done = op->run();
    int error = errno;
    bool met = ebb_fake.failures != 0;
    ebb_fake.fail_at = 0;
    EXPECT(done || (met && !op->never_fails && error == ENOMEM));
    EXPECT_EQ(ebb_region_check(region), 0);
    EXPECT_EQ(ebb_check(), 0);
    if (op->run != start_anew)
        pieces_are_whole();
    if (!done)
        EXPECT(op->run());
    EXPECT_EQ(ebb_region_check(region), 0);
    ebb_region_destroy(region);
    EXPECT_EQ(ebb_check(), 0);
    _exit(met ? FAILURE_MET : PASSED_UNTOUCHED);
}

static int in_child(const struct operation *op, long n, bool forever)
{
    int status;
    (void)fflush(NULL);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0)
        try_one(op, n, forever);
    EXPECT(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void every_operation(bool forever)
{
    set_up();
    for (size_t i = 0; i < EBB_ARRAY_COUNT(OPERATIONS); i++) {
        const struct operation *op = &OPERATIONS[i];
        long n = 0;
        int code = FAILURE_MET;
        while (code == FAILURE_MET && n < N_MAX)
            code = in_child(op, ++n, forever);
        EXPECT_MSG(code == PASSED_UNTOUCHED, "\"%s\" with call %ld failing%s: %d", op->name, n,
                   forever ? " for ever" : "", code);
        EXPECT_MSG((n == 1) == op->never_fails, "\"%s\" asked the kernel %ld times", op->name, n - 1);
    }
}

static void fail_once(void)
{
    every_operation(false);
}

static void fail_for_ever(void)
{
    every_operation(true);
}

static void fail_once_with_large_pages(void)
{
    ebb_fake.page_bytes = EBB_KIB(64);
    every_operation(false);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(fail_once),
        CASE(fail_for_ever),
        CASE(fail_once_with_large_pages),
    };
    atomic_store(&ebb__track_listener, EBB_TRACK_NOBODY); /* under a tool a block ends elsewhere */
    small_reservations();
    return RUN_CASES(cases);
}
