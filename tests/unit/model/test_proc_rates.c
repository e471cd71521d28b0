/* SPDX-License-Identifier: MIT
 *
 * Rates of processes: over a life as ps has them, between looks as pidstat has them, and who is whom.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants these four before it */
#include <cmocka.h>

#include <errno.h>

#include "model/proc_rates.h"

#define HZ ebb__fact(100)

/* Started 60 s after boot; 1.5 s of processor time, 3,000 and 30 faults. */
static const struct ebb_proc_counts ONE = {
    .id = 7, .start_ticks = 6000, .cpu_ticks = 150, .minor_faults = 3000, .major_faults = 30};

static void test_life(void **state)
{
    struct ebb_proc_rates rates;

    (void)state;
    ebb__proc_rates_life(&ONE, ebb__fact(90000), HZ, &rates); /* 30 s old */
    assert_true(rates.known);
    assert_float_equal(rates.cpu_percent, 5, 1e-9);
    assert_float_equal(rates.minor_per_s, 100, 1e-9);
    assert_float_equal(rates.major_per_s, 1, 1e-9);
}

static void test_no_life(void **state)
{
    struct ebb_proc_rates rates;

    (void)state;
    ebb__proc_rates_life(&ONE, ebb__fact(60000), HZ, &rates);
    assert_false(rates.known);
    assert_string_equal(rates.why, "it has only just started");
    ebb__proc_rates_life(&ONE, ebb__fact(60009), HZ, &rates);
    assert_false(rates.known);
    ebb__proc_rates_life(&ONE, ebb__fact(60010), HZ, &rates);
    assert_true(rates.known);
    /* Before its start: another clock. */
    ebb__proc_rates_life(&ONE, ebb__fact(100), HZ, &rates);
    assert_false(rates.known);
    ebb__proc_rates_life(&ONE, ebb__fact_unknown(-EACCES), HZ, &rates);
    assert_false(rates.known);
    assert_string_equal(rates.why, ebb__fact_why(ebb__fact_unknown(-EACCES)));
    ebb__proc_rates_life(&ONE, ebb__fact(90000), ebb__fact_unknown(-ENOENT), &rates);
    assert_false(rates.known);
    ebb__proc_rates_life(&ONE, ebb__fact(90000), ebb__fact(0), &rates);
    assert_false(rates.known);
}

static void test_between(void **state)
{
    struct ebb_proc_counts later = ONE;
    struct ebb_proc_rates rates;

    (void)state;
    later.cpu_ticks += 400; /* two processors for 2 s */
    later.minor_faults += 9;
    later.major_faults += 1;
    ebb__proc_rates_between(&ONE, &later, 2000, HZ, &rates);
    assert_true(rates.known);
    assert_float_equal(rates.cpu_percent, 200, 1e-9);
    assert_float_equal(rates.minor_per_s, 4.5, 1e-9);
    assert_float_equal(rates.major_per_s, 0.5, 1e-9);
    /* New at the second look: all of it fell between the two. */
    ebb__proc_rates_between(NULL, &ONE, 2000, HZ, &rates);
    assert_float_equal(rates.cpu_percent, 75, 1e-9);
    assert_float_equal(rates.minor_per_s, 1500, 1e-9);
    /* A sum that steps back is no rise. */
    ebb__proc_rates_between(&later, &ONE, 2000, HZ, &rates);
    assert_true(rates.known);
    assert_float_equal(rates.cpu_percent, 0, 0);
    assert_float_equal(rates.major_per_s, 0, 0);
    ebb__proc_rates_between(&ONE, &later, 0, HZ, &rates);
    assert_false(rates.known);
    assert_string_equal(rates.why, "no time has passed");
    ebb__proc_rates_between(&ONE, &later, 2000, ebb__fact_unknown(0), &rates);
    assert_false(rates.known);
}

static void test_find(void **state)
{
    struct ebb_proc_counts counts[] = {{.id = 9, .start_ticks = 1},
                                       {.id = 2, .start_ticks = 5},
                                       {.id = 2147483647, .start_ticks = UINT64_MAX},
                                       {.id = 2, .start_ticks = 4},
                                       {.id = 1, .start_ticks = 0}};
    size_t count = sizeof(counts) / sizeof(counts[0]);
    struct ebb_proc_counts wanted = {.id = 2, .start_ticks = 5};

    (void)state;
    ebb__proc_rates_sort(counts, count);
    for (size_t i = 1; i < count; i++)
        assert_true(counts[i - 1].id <= counts[i].id);
    for (size_t i = 0; i < count; i++)
        assert_ptr_equal(ebb__proc_rates_find(counts, count, &counts[i]), &counts[i]);
    assert_non_null(ebb__proc_rates_find(counts, count, &wanted));
    /* The number was given again. */
    wanted.start_ticks = 6;
    assert_null(ebb__proc_rates_find(counts, count, &wanted));
    wanted.id = 3;
    assert_null(ebb__proc_rates_find(counts, count, &wanted));
    assert_null(ebb__proc_rates_find(NULL, 0, &wanted));
    ebb__proc_rates_sort(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_no_life),
        cmocka_unit_test(test_between),
        cmocka_unit_test(test_find),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
