/* SPDX-License-Identifier: MIT
 *
 * Choice and calibration of the counter that times the allocation calls.
 */
#include "ticks.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

bool ticks_use_clock;

static double ns_per_tick = 1.0;
static double cost_ns;
static double step_ns;

#if defined(__x86_64__)
/* The counter must run at one rate in every power state and on every core ("invariant TSC"). */
static bool counter_is_invariant(void)
{
    unsigned eax, ebx, ecx, edx;

    return __get_cpuid(0x80000007u, &eax, &ebx, &ecx, &edx) && (edx & (1u << 8));
}
#elif defined(__aarch64__)
static bool counter_is_invariant(void)
{
    return true;
}
#else
static bool counter_is_invariant(void)
{
    return false;
}
#endif

static void calibrate(void)
{
    const uint64_t span_ns = 30000000;
    uint64_t clock_start = ticks_clock_ns();
    uint64_t start = ticks_now();
    uint64_t clock_end, end;

    do {
        clock_end = ticks_clock_ns();
        end = ticks_now();
    } while (clock_end - clock_start < span_ns);
    if (end > start)
        ns_per_tick = (double)(clock_end - clock_start) / (double)(end - start);
}

/* The mean of batches, and of those the smallest: single readings on coarse counters would show 0 or a whole
 * tick. */
static void measure_cost(void)
{
    enum { BATCHES = 64, READINGS = 256 };

    uint64_t best = UINT64_MAX;

    for (int b = 0; b < BATCHES; b++) {
        uint64_t start = ticks_now();
        uint64_t end = start;

        for (int i = 0; i < READINGS; i++)
            end = ticks_now();
        if (end - start < best)
            best = end - start;
    }
    cost_ns = ticks_to_ns(best) / READINGS;
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* Some counters advance by many units at once (26 on some virtual machines): the greatest common divisor of
 * the spans tells. */
static void measure_step(void)
{
    uint64_t step = 0;
    uint64_t last = ticks_now();

    for (int i = 0; i < 4096; i++) {
        uint64_t now = ticks_now();

        step = common_divisor(now - last, step);
        last = now;
    }
    step_ns = ticks_to_ns(step);
}

void ticks_init(void)
{
    ticks_use_clock = !counter_is_invariant();
    if (!ticks_use_clock)
        calibrate();
    measure_cost();
    measure_step();
}

const char *ticks_name(void)
{
    if (ticks_use_clock)
        return "clock_gettime";
#if defined(__x86_64__)
    return "tsc";
#else
    return "cntvct";
#endif
}

double ticks_to_ns(uint64_t ticks)
{
    return (double)ticks * ns_per_tick;
}

double ticks_cost_ns(void)
{
    return cost_ns;
}

double ticks_step_ns(void)
{
    return step_ns;
}
