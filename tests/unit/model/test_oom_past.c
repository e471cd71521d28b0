/* SPDX-License-Identifier: MIT
 *
 * Why a past kill hit whom it hit, over the logs of the fixtures.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants these before it. */
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "model/oom_past.h"
#include "probe/file.h"

static const struct ebb_oom_rules TODAY = {.processors = 2};
static const struct ebb_oom_rules OLD = {.clamps = true};

static char text[65536];

static void judge(const char *name, unsigned number, struct ebb_fact swap, const struct ebb_oom_rules *rules,
                  struct ebb_oom_past *past)
{
    static struct ebb_oom_kill kill;
    struct ebb_oom_log log;
    size_t len;

    assert_int_equal(ebb__file_read(FIXTURES, name, text, sizeof(text), &len), 0);
    ebb__oom_log_init(&log, text, len);
    for (unsigned i = 0; i <= number; i++)
        assert_true(ebb__oom_log_next(&log, &kill));
    ebb__oom_past_judge(&kill, swap, 4096, rules, past);
}

static void test_group(void **state)
{
    struct ebb_oom_past past;
    struct ebb_oom_task task;

    (void)state;
    judge("/oom/memcg-6.18.kmsg", 0, ebb__fact(0), &TODAY, &past);
    assert_true(past.page_known && past.total_exact && past.has_victim && past.has_second && past.first);
    assert_int_equal(past.total_pages, 16384);
    assert_true(past.victim_points ==
                (int64_t)(past.victim.rss_pages + past.victim.table_bytes.value / 4096));
    assert_int_equal(past.second.adj, 300);
    /* The second has 300 steps of 16 pages on top. */
    assert_true(past.second_points ==
                (int64_t)(past.second.rss_pages + past.second.table_bytes.value / 4096) + 4800);
    assert_int_equal(past.largest.pid, past.victim.pid);

    /* The values that it gives are exact: one step further, and it is as before. */
    assert_true(past.victim_flips && past.second_flips);
    task = ebb__oom_past_task(&past.victim, 4096);
    task.adj = past.victim_flip;
    assert_true(ebb__oom_points(&task, past.total_pages, &TODAY) < past.second_points);
    task.adj++;
    assert_true(ebb__oom_points(&task, past.total_pages, &TODAY) >= past.second_points);
    task = ebb__oom_past_task(&past.second, 4096);
    task.adj = past.second_flip;
    assert_true(ebb__oom_points(&task, past.total_pages, &TODAY) > past.victim_points);
    task.adj--;
    assert_true(ebb__oom_points(&task, past.total_pages, &TODAY) <= past.victim_points);
}

/* Version 1 without a limit of swap counts the host's swap, which a log does not tell. */
static void test_swap_of_a_group(void **state)
{
    struct ebb_oom_past past;

    (void)state;
    judge("/oom/memcg-6.18.kmsg", 0, ebb__fact(1 << 20), &TODAY, &past);
    assert_int_equal(past.total_pages, 16384 + 256);
    assert_true(past.total_exact);
    judge("/oom/memcg-6.18.kmsg", 0, ebb__fact_unknown(-ENODATA), &TODAY, &past);
    assert_int_equal(past.total_pages, 16384);
    assert_false(past.total_exact);
    judge("/oom/memcg-4.19.dmesg", 0, ebb__fact_unknown(-ENODATA), &OLD,
          &past); /* memsw is the limit itself */
    assert_true(past.total_exact && past.first);
    assert_int_equal(past.total_pages, 25600);
    assert_int_equal(past.victim_points, 20609 + 62);
}

static void test_host(void **state)
{
    struct ebb_oom_past past;

    (void)state;
    judge("/oom/host-4.18.dmesg", 0, ebb__fact_unknown(-ENODATA), &OLD, &past);
    assert_true(past.total_exact && past.first);
    assert_int_equal(past.total_pages, 1000000 + 524287);
    assert_int_equal(past.victim.pid, 1432);
    assert_int_equal(past.victim_points, 820000 + 400000 + 1792);
    /* What the kernel printed as score. */
    assert_in_range(past.victim_points * 1000 / (int64_t)past.total_pages, 800, 803);
    assert_int_equal(past.second.pid, 1500);
    assert_int_equal(past.second_points, 150000 + 1000 + 300 + 300 * 1524);
}

static void test_without_a_report(void **state)
{
    struct ebb_oom_past past;

    (void)state;
    judge("/oom/group-5.10.journal", 0, ebb__fact(0), &TODAY, &past);
    assert_true(past.first && past.total_exact);
    judge("/oom/group-5.10.journal", 2, ebb__fact(0), &TODAY, &past);
    assert_false(past.has_victim || past.has_second || past.total_exact || past.page_known);
    assert_non_null(past.total_why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_group),
        cmocka_unit_test(test_swap_of_a_group),
        cmocka_unit_test(test_host),
        cmocka_unit_test(test_without_a_report),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
