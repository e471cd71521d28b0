/* SPDX-License-Identifier: MIT
 *
 * How fast an amount grows, over looks that are written down here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants these before it. */
#include <cmocka.h>

#include "base/compiler.h"
#include "model/forecast.h"

static unsigned fill(struct ebb_forecast_look *looks, unsigned count, uint64_t (*bytes)(unsigned i))
{
    for (unsigned i = 0; i < count; i++)
        looks[i] = (struct ebb_forecast_look){.at_ms = 5000 + i * 100, .bytes = bytes(i)};
    return count;
}

static uint64_t steady(unsigned i)
{
    return 1000000 + i * 10000;
}

static uint64_t with_a_jump(unsigned i)
{
    return steady(i) + (i == 4 ? 500000 : 0);
}

static uint64_t in_steps(unsigned i)
{
    return 1000000 + i / 3 * 30000;
}

static uint64_t falling(unsigned i)
{
    return 1000000 - i * 10000;
}

static uint64_t up_and_down(unsigned i)
{
    return 1000000 + i % 2 * 40000;
}

static uint64_t flat(unsigned i)
{
    (void)i;
    return 1000000;
}

static void test_paces(void **state)
{
    static const struct {
        uint64_t (*bytes)(unsigned i);
        int64_t rise;
        double slow_from, slow_to, middle_from, middle_to, fast_from, fast_to;
    } CASES[] = {
        {steady, 80000, 99999, 100001, 99999, 100001, 99999, 100001},
        /* One look of nine that is off moves the middle not at all. */
        {with_a_jump, 80000, -5000000, 99999, 99999, 100001, 100001, 5000000},
        /* Steps: some pairs of looks see none. */
        {in_steps, 60000, 0, 0, 70000, 110000, 110000, 300001},
        {falling, -80000, -100001, -99999, -100001, -99999, -100001, -99999},
        {up_and_down, 0, -400001, -50000, 0, 0, 50000, 400001},
        {flat, 0, 0, 0, 0, 0, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < EBB_ARRAY_COUNT(CASES); i++) {
        struct ebb_forecast_look looks[EBB_FORECAST_LOOKS_MAX];
        struct ebb_forecast got;

        assert_true(ebb__forecast(looks, fill(looks, EBB_FORECAST_LOOKS_MAX, CASES[i].bytes), &got));
        print_message("%zu: %g %g %g\n", i, got.slow, got.middle, got.fast);
        assert_int_equal(got.looks, EBB_FORECAST_LOOKS_MAX);
        assert_int_equal(got.span_ms, 800);
        assert_true(got.rise_bytes == CASES[i].rise);
        assert_true(got.slow >= CASES[i].slow_from && got.slow <= CASES[i].slow_to);
        assert_true(got.middle >= CASES[i].middle_from && got.middle <= CASES[i].middle_to);
        assert_true(got.fast >= CASES[i].fast_from && got.fast <= CASES[i].fast_to);
        assert_true(got.slow <= got.middle && got.middle <= got.fast);
    }
}

static void test_few_looks(void **state)
{
    struct ebb_forecast_look looks[EBB_FORECAST_LOOKS_MAX] = {{100, 5}, {100, 9}, {1100, 1009}};
    struct ebb_forecast got;

    (void)state;
    assert_false(ebb__forecast(looks, 0, &got));
    assert_int_equal(got.looks, 0);
    assert_false(ebb__forecast(looks, 1, &got));
    /* Of one moment. */
    assert_false(ebb__forecast(looks, 2, &got));
    assert_true(ebb__forecast(&looks[1], 2, &got));
    assert_true(got.slow == 1000 && got.middle == 1000 && got.fast == 1000);
    assert_int_equal(got.looks, 2);
    /* More than there is room for: the first ones. */
    fill(looks, EBB_FORECAST_LOOKS_MAX, steady);
    assert_true(ebb__forecast(looks, EBB_FORECAST_LOOKS_MAX + 5, &got));
    assert_int_equal(got.looks, EBB_FORECAST_LOOKS_MAX);
}

static void test_how_long(void **state)
{
    struct ebb_fact got = ebb__forecast_ms(5000, 1000);

    (void)state;
    assert_true(got.known);
    assert_int_equal(got.value, 5000);
    assert_int_equal(ebb__forecast_ms(0, 1000).value, 0);
    assert_false(ebb__forecast_ms(5000, 0).known);
    assert_false(ebb__forecast_ms(5000, -1).known);
    assert_false(ebb__forecast_ms(UINT64_MAX, 1e-6).known);
    assert_true(ebb__forecast_ms(UINT64_MAX, 1e9).known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paces),
        cmocka_unit_test(test_few_looks),
        cmocka_unit_test(test_how_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
