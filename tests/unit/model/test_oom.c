/* SPDX-License-Identifier: MIT
 *
 * The kernel's choice when memory has run out: points, order, ties, what would change it, and what is left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants these before it. */
#include <cmocka.h>

#include "model/oom.h"

static const struct ebb_oom_rules TODAY = {.processors = 2};
static const struct ebb_oom_rules OLD = {.clamps = true, .thread_caches = true, .earlier_wins = true};

static void test_points_and_score(void **state)
{
    static const struct {
        struct ebb_oom_task task;
        uint64_t total_pages;
        int64_t points;
        uint64_t score;
        int64_t old_points;
    } ROWS[] = {
        {{.rss_pages = 100, .swap_pages = 20, .table_pages = 3}, 1000000, 123, 666, 123},
        {{.rss_pages = 100, .adj = 1000}, 1000000, 1000100, 1333, 1000100},
        {{.rss_pages = 100, .adj = -1}, 1000000, -900, 666, 1},
        {{.rss_pages = 500000, .adj = -500}, 1000000, 0, 666, 1},
        {{.rss_pages = 500000}, 1000000, 500000, 1000, 500000},
        {{.adj = -999}, 1000000, -999000, 0, 1},
        {{.rss_pages = 7, .adj = 1000}, 999, 7, 671, 7}, /* a step is no page at all */
        {{.rss_pages = 900, .adj = -1000}, 1000, EBB_OOM_POINTS_NONE, 0, EBB_OOM_POINTS_NONE},
        {{.rss_pages = 900, .adj = 5, .exempt = true}, 1000, EBB_OOM_POINTS_NONE, 0, EBB_OOM_POINTS_NONE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        int64_t points = ebb__oom_points(&ROWS[i].task, ROWS[i].total_pages, &TODAY);

        print_message("row %zu\n", i);
        assert_true(points == ROWS[i].points);
        assert_int_equal(ebb__oom_score(points, ROWS[i].total_pages, &TODAY), ROWS[i].score);
        assert_true(ebb__oom_points(&ROWS[i].task, ROWS[i].total_pages, &OLD) == ROWS[i].old_points);
    }
    assert_int_equal(ebb__oom_score(250, 1000, &OLD), 250);
    assert_int_equal(ebb__oom_score(250, 0, &TODAY), 0);
}

static void test_pages_of_scopes(void **state)
{
    (void)state;
    assert_int_equal(ebb__oom_host_pages(8192, 4096, 4096), 3);
    assert_int_equal(ebb__oom_group_pages(1 << 20, UINT64_MAX, true, 65536, 65536),
                     17); /* no more than there is */
    assert_int_equal(ebb__oom_group_pages(1 << 20, 0, true, 65536, 65536), 16);
    assert_int_equal(ebb__oom_group_pages(1 << 20, UINT64_MAX, false, 65536, 65536), 16);
}

static void test_choice(void **state)
{
    /* 2 processors: three counters may each be off by 32 pages on either; of two processes by 384 together. */
    const struct ebb_oom_task tasks[] = {
        {.pid = 1, .rss_pages = 900000, .exempt = true},
        {.pid = 5, .start = 50, .rss_pages = 50000},
        {.pid = 6, .start = 60, .rss_pages = 300, .adj = 100},
        {.pid = 7, .start = 70, .rss_pages = 200000, .adj = -1000},
    };
    struct ebb_oom_choice choice;

    (void)state;
    ebb__oom_choose(tasks, 4, 1000000, &TODAY, &choice);
    assert_int_equal(choice.victim, 2);
    assert_int_equal(choice.second, 1);
    assert_int_equal(choice.largest, 3);
    assert_int_equal(choice.margin_pages, 50300);
    assert_int_equal(choice.error_pages, 384);
    assert_false(choice.tie);
    ebb__oom_choose(tasks, 1, 1000000, &TODAY, &choice);
    assert_int_equal(choice.victim, 1); /* nobody */
    ebb__oom_choose(tasks, 0, 1000000, &TODAY, &choice);
    assert_int_equal(choice.victim, 0);
}

static void test_ties(void **state)
{
    struct ebb_oom_task tasks[] = {
        {.pid = 9, .start = 10, .rss_pages = 5000},
        {.pid = 8, .start = 20, .rss_pages = 5000},
        {.pid = 7, .start = 20, .rss_pages = 4700},
    };
    struct ebb_oom_choice choice;

    (void)state;
    ebb__oom_choose(tasks, 3, 1000000, &TODAY, &choice);
    assert_int_equal(choice.victim, 1); /* the younger */
    assert_true(choice.tie);
    assert_int_equal(choice.near, 2);
    ebb__oom_choose(tasks, 3, 1000000, &OLD, &choice);
    assert_int_equal(choice.victim, 0);
    tasks[0].rss_pages += 385;
    ebb__oom_choose(tasks, 2, 1000000, &TODAY, &choice);
    assert_int_equal(choice.victim, 0);
    assert_false(choice.tie);
}

/* The value that is told is the last one that does it, for a thousand processes at random. */
static void test_flip_is_exact(void **state)
{
    uint64_t random = 88172645463325252u;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct ebb_oom_task task;
        uint64_t total;
        int64_t points;
        int adj;

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        total = 1000 + random % 10000000;
        task = (struct ebb_oom_task){.rss_pages = random % (total + 1), .adj = (int)(random % 1900) - 900};
        points = (int64_t)(random >> 20) % (int64_t)total;
        if (!ebb__oom_adj_below(&task, points, total, &adj)) {
            bool is_below = ebb__oom_points(&task, total, &TODAY) < points;

            task.adj = EBB_OOM_ADJ_MIN + 1;
            assert_true(is_below || ebb__oom_points(&task, total, &TODAY) >= points);
            continue;
        }
        assert_true(ebb__oom_points(&task, total, &TODAY) >= points);
        task.adj = adj;
        assert_true(ebb__oom_points(&task, total, &TODAY) < points);
        task.adj = adj + 1;
        assert_true(ebb__oom_points(&task, total, &TODAY) >= points);
    }
}

static void test_room(void **state)
{
    struct ebb_oom_usage usage = {.limit_bytes = 1000,
                                  .usage_bytes = 900,
                                  .inactive_file_bytes = 300,
                                  .active_file_bytes = 100,
                                  .slab_reclaimable_bytes = 20,
                                  .dirty_bytes = 50,
                                  .writeback_bytes = 10,
                                  .swap_free_bytes = 5000};
    struct ebb_oom_room room;

    (void)state;
    ebb__oom_room(&usage, &room);
    assert_int_equal(room.hard_bytes, 100);
    assert_int_equal(room.likely_bytes, 100 + 300 + 50 + 10 - 60);
    assert_int_equal(room.possible_bytes, room.likely_bytes + 5000);
    usage.usage_bytes = 1200; /* above the limit for a moment */
    usage.dirty_bytes = 9000;
    ebb__oom_room(&usage, &room);
    assert_int_equal(room.hard_bytes, 0);
    assert_int_equal(room.likely_bytes, 0);
    usage.limit_bytes = UINT64_MAX;
    usage.usage_bytes = 0;
    ebb__oom_room(&usage, &room);
    assert_true(room.possible_bytes == UINT64_MAX);
}

/* What the kernel reads back and takes: 15 stands for 1000, and the rest is rounded towards 0. */
static void test_old_scale(void **state)
{
    static const struct {
        int old;
        int adj;
    } ROWS[] = {{-17, -1000}, {-16, -941}, {-1, -58}, {0, 0}, {1, 58}, {14, 823}, {15, 1000}};

    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
        assert_int_equal(ebb__oom_adj_from_old(ROWS[i].old), ROWS[i].adj);
    assert_int_equal(ebb__oom_adj_to_old(1000), 15);
    assert_int_equal(ebb__oom_adj_to_old(999), 15);
    assert_int_equal(ebb__oom_adj_to_old(-1000), -17);
    assert_int_equal(ebb__oom_adj_to_old(-999), -16);
    assert_int_equal(ebb__oom_adj_to_old(58), 0);
    assert_int_equal(ebb__oom_adj_to_old(300), 5);
}

static void test_adj_above(void **state)
{
    struct ebb_oom_task task = {.rss_pages = 100};
    int adj = 7;

    (void)state;
    assert_true(ebb__oom_adj_above(&task, 1100, 100000, &adj));
    assert_int_equal(adj, 11); /* with 10 it is no more than 1100 */
    assert_true(ebb__oom_adj_above(&task, 1099, 100000, &adj));
    assert_int_equal(adj, 10);
    task.adj = -500;
    assert_true(ebb__oom_adj_above(&task, -1000, 100000, &adj));
    assert_int_equal(adj, -10);
    task.adj = 0;
    assert_false(ebb__oom_adj_above(&task, 99, 100000, &adj));     /* is above already */
    assert_false(ebb__oom_adj_above(&task, 200000, 100000, &adj)); /* 1000 is not enough */
    assert_false(ebb__oom_adj_above(&task, 200, 999, &adj));       /* a step is no page at all */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_old_scale),        cmocka_unit_test(test_adj_above),
        cmocka_unit_test(test_points_and_score), cmocka_unit_test(test_pages_of_scopes),
        cmocka_unit_test(test_choice),           cmocka_unit_test(test_ties),
        cmocka_unit_test(test_flip_is_exact),    cmocka_unit_test(test_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
