/* SPDX-License-Identifier: MIT
 *
 * Marks, rollbacks and cleanups: what goes, what stays, in which order, and what is refused.
 */
#include "region_test.h"
#include "small_space.h"

#include "os/fake.h"

/* ---- marks ---- */

static void a_rollback_gives_the_same_piece_again(void)
{
    struct ebb_region *region = ebb__region_create(NULL);
    char *stays = piece(region, 50);
    struct ebb_region_mark mark = ebb__region_mark(region);
    char *first = piece(region, 40);
    (void)piece(region, 100);
    ebb__region_rollback(region, mark);
    EXPECT(piece(region, 40) == first);
    EXPECT(stays[0] == 50 && stays[49] == 50);
    ebb__region_rollback(region, mark);
    EXPECT_EQ(figures(region).used_bytes, 64);
    ebb__region_rollback(region, mark); /* nothing since */
    REGION_OK(region);
    ebb__region_destroy(region);
    expect_empty_heap();
}

/* Marks at all depths, over current blocks and blocks apart; rolled back from the inside. */
static void marks_nest(void)
{
    enum { DEPTH = 200 };
    static struct ebb_region_mark marks[DEPTH];
    static size_t used[DEPTH];
    static char *pieces[DEPTH];
    for (unsigned flags = 0; flags <= EBB_REGION_POISON; flags++) {
        struct ebb_region *region = region_with((struct ebb_region_options){.flags = flags});
        for (unsigned round = 0; round < 3; round++) {
            for (unsigned i = 0; i < DEPTH; i++) {
                marks[i] = ebb__region_mark(region);
                used[i] = figures(region).used_bytes;
                pieces[i] = piece(region, 1 + i * i % 9000 + (i % 50 == 0 ? EBB_KIB(300) : 0));
            }
            for (unsigned i = DEPTH; i-- > round * 60;) {
                size_t bytes = 1 + i * i % 9000 + (i % 50 == 0 ? EBB_KIB(300) : 0);
                EXPECT(pieces[i][0] == (char)(bytes & 0x7f) && pieces[i][bytes - 1] == (char)(bytes & 0x7f));
                ebb__region_rollback(region, marks[i]);
                EXPECT_EQ(figures(region).used_bytes, used[i]);
                REGION_OK(region);
            }
            ebb__region_reset(region, EBB_REGION_KEEP_ALL);
            EXPECT_EQ(figures(region).used_bytes, 0);
        }
        ebb__region_destroy(region);
        expect_empty_heap();
    }
}

/* From the outside at once: all blocks since then go but the largest. */
static void a_rollback_over_many_blocks(void)
{
    struct ebb_region *region = ebb__region_create(NULL);
    struct ebb_region_mark mark = ebb__region_mark(region);
    for (unsigned i = 0; i < 30000; i++)
        (void)piece(region, 100);
    struct ebb_region_stats full = figures(region);
    ebb__region_rollback(region, mark);
    struct ebb_region_stats s = figures(region);
    EXPECT_EQ(s.used_bytes, 0);
    EXPECT_EQ(s.kept_bytes, EBB_MIB(1));
    EXPECT_EQ(s.held_bytes, 1024 + EBB_MIB(1));
    EXPECT_EQ(s.peak_bytes, full.held_bytes);
    REGION_OK(region);
    ebb__region_destroy(region);
    expect_empty_heap();
}

static void foreign_mark(void *arg)
{
    struct ebb_region *a = ebb__region_create(NULL), *b = ebb__region_create(NULL);
    (void)arg;
    ebb__region_rollback(a, ebb__region_mark(b));
}

static void mark_of_what_is_gone(void *arg)
{
    struct ebb_region *region = ebb__region_create(NULL);
    struct ebb_region_mark outer = ebb__region_mark(region), inner;
    for (unsigned i = 0; i < 100; i++)
        (void)piece(region, 100);
    inner = ebb__region_mark(region);
    ebb__region_rollback(region, outer);
    (void)arg;
    ebb__region_rollback(region, inner);
}

static void mark_ahead_of_the_cursor(void *arg)
{
    struct ebb_region *region = ebb__region_create(NULL);
    struct ebb_region_mark outer = ebb__region_mark(region), inner;
    (void)piece(region, 100);
    inner = ebb__region_mark(region);
    ebb__region_rollback(region, outer);
    (void)arg;
    ebb__region_rollback(region, inner);
}

static void empty_mark(void *arg)
{
    (void)arg;
    ebb__region_rollback(ebb__region_create(NULL), (struct ebb_region_mark){0});
}

static void wrong_marks_die(void)
{
    EXPECT_DIES(foreign_mark, NULL, "ebb_region_rollback: the mark is not one of region");
    EXPECT_DIES(mark_of_what_is_gone, NULL, "ebb_region_rollback: the mark is not one of region");
    EXPECT_DIES(mark_ahead_of_the_cursor, NULL, "ebb_region_rollback: the mark is not one of region");
    EXPECT_DIES(empty_mark, NULL, "ebb_region_rollback: the mark is not one of region");
}

/* ---- cleanups ---- */

static char trace[64];
static size_t traced;

static void trace_one(void *arg)
{
    trace[traced++] = *(const char *)arg;
}

static void expect_trace(const char *text)
{
    EXPECT_MSG(traced == strlen(text) && memcmp(trace, text, traced) == 0, "it was %.*s", (int)traced, trace);
    traced = 0;
}

static void add(struct ebb_region *region, const char *what)
{
    EXPECT_EQ(ebb__region_cleanup_add(region, trace_one, (void *)(uintptr_t)what), 0);
}

static void cleanups_run_in_reverse(void)
{
    static const char *const names = "abcdefgh";
    struct ebb_region *region = ebb__region_create(NULL);
    add(region, names);
    add(region, names + 1);
    struct ebb_region_mark mark = ebb__region_mark(region);
    add(region, names + 2);
    for (unsigned i = 0; i < 100; i++)
        (void)piece(region, 1000);
    add(region, names + 3);
    EXPECT_EQ(figures(region).cleanups, 4);
    REGION_OK(region);
    ebb__region_rollback(region, mark);
    expect_trace("dc");
    ebb__region_rollback(region, mark);
    expect_trace("");
    add(region, names + 4);
    ebb__region_reset(region, EBB_REGION_KEEP_LARGEST);
    expect_trace("eba");
    add(region, names + 5);
    add(region, names + 6);
    ebb__region_destroy(region);
    expect_trace("gf");
    expect_empty_heap();
}

static void cleanups_can_be_cancelled(void)
{
    static const char *const names = "abc";
    struct ebb_region *region = ebb__region_create(NULL);
    for (unsigned i = 0; i < 3; i++)
        add(region, names + i);
    add(region, names);
    EXPECT_EQ(ebb__region_cleanup_cancel(region, trace_one, (void *)(uintptr_t)names), 0);
    EXPECT_EQ(ebb__region_cleanup_cancel(region, trace_one, (void *)(uintptr_t)(names + 1)), 0);
    EXPECT_EQ(ebb__region_cleanup_cancel(region, trace_one, (void *)(uintptr_t)(names + 1)), -ENOENT);
    EXPECT_EQ(ebb__region_cleanup_cancel(region, free, (void *)(uintptr_t)names), -ENOENT);
    EXPECT_EQ(figures(region).cleanups, 2);
    /* A mark is good also when what it saw last was cancelled since. */
    struct ebb_region_mark mark = ebb__region_mark(region);
    EXPECT_EQ(ebb__region_cleanup_cancel(region, trace_one, (void *)(uintptr_t)names), 0);
    add(region, names + 1);
    ebb__region_rollback(region, mark);
    expect_trace("b");
    add(region, names);
    REGION_OK(region);
    ebb__region_destroy(region);
    expect_trace("ac");
}

/* What a cleanup may do: read what it was given, allocate, add and cancel. */
static struct ebb_region *busy;

static void add_more(void *arg)
{
    const char *text = arg;
    EXPECT(memcmp(text, "hold", 5) == 0);
    EXPECT(figures(busy).used_bytes > 100000); /* nothing is gone yet */
    (void)piece(busy, 5000);
    (void)piece(busy, EBB_KIB(500));
    add(busy, text + 1);
}

static void cleanups_may_use_their_region(void)
{
    busy = ebb__region_create(NULL);
    struct ebb_region_mark mark = ebb__region_mark(busy);
    for (unsigned i = 0; i < 1000; i++)
        (void)piece(busy, 128);
    char *text = ebb_region_alloc(busy, 5);
    memcpy(text, "hold", 5);
    EXPECT_EQ(ebb__region_cleanup_add(busy, add_more, text), 0);
    ebb__region_rollback(busy, mark);
    expect_trace("o");
    EXPECT_EQ(figures(busy).used_bytes, 0);
    EXPECT_EQ(figures(busy).cleanups, 0);
    REGION_OK(busy);
    ebb__region_destroy(busy);
    expect_empty_heap();
}

static void roll_back(void *arg)
{
    ebb__region_rollback(busy, *(const struct ebb_region_mark *)arg);
}

static void start_anew(void *arg)
{
    (void)arg;
    ebb__region_reset(busy, EBB_REGION_KEEP_ALL);
}

static void end_it(void *arg)
{
    (void)arg;
    ebb__region_destroy(busy);
}

static void reset_with(void *arg)
{
    void (*const *cleanup)(void *) = arg;
    busy = ebb__region_create(NULL);
    struct ebb_region_mark mark = ebb__region_mark(busy);
    (void)ebb__region_cleanup_add(busy, *cleanup, &mark);
    ebb__region_reset(busy, EBB_REGION_KEEP_FIRST);
}

static void cleanups_must_not_go_back(void)
{
    void (*cleanup)(void *) = roll_back;
    EXPECT_DIES(reset_with, &cleanup, "ebb_region_rollback: region");
    cleanup = start_anew;
    EXPECT_DIES(reset_with, &cleanup, "ebb_region_reset: region");
    cleanup = end_it;
    EXPECT_DIES(reset_with, &cleanup, "ebb_region_destroy: region");
}

static void a_cleanup_without_memory(void)
{
    struct ebb_region *region = region_with((struct ebb_region_options){.limit_bytes = 1024});
    while (ebb_region_alloc(region, 16) != NULL)
        ;
    EXPECT_EQ(ebb__region_cleanup_add(region, trace_one, region), -ENOMEM);
    EXPECT_EQ(figures(region).cleanups, 0);
    ebb__region_destroy(region);
    expect_trace("");
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(a_rollback_gives_the_same_piece_again),
        CASE(marks_nest),
        CASE(a_rollback_over_many_blocks),
        CASE(wrong_marks_die),
        CASE(cleanups_run_in_reverse),
        CASE(cleanups_can_be_cancelled),
        CASE(cleanups_may_use_their_region),
        CASE(cleanups_must_not_go_back),
        CASE(a_cleanup_without_memory),
    };
    unwatched();
    small_reservations();
    return RUN_CASES(cases);
}
