/* SPDX-License-Identifier: MIT
 *
 * The clock around each allocation call: the processor's own counter where it can be trusted, else
 * clock_gettime.
 */
#ifndef EBB_LOAD_TICKS_H
#define EBB_LOAD_TICKS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

/* Nanoseconds of CLOCK_MONOTONIC. */
static inline uint64_t ticks_clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

#if defined(__x86_64__)
static inline uint64_t ticks_counter(void)
{
    return __rdtsc();
}
#elif defined(__aarch64__)
static inline uint64_t ticks_counter(void)
{
    uint64_t value;

    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
    return value;
}
#else
static inline uint64_t ticks_counter(void)
{
    return ticks_clock_ns();
}
#endif

/* Set once by ticks_init(), before any thread starts. */
extern bool ticks_use_clock;

static inline uint64_t ticks_now(void)
{
    return __builtin_expect(ticks_use_clock, 0) ? ticks_clock_ns() : ticks_counter();
}

/* Chooses the counter, calibrates it against the clock for 30 ms and measures what one reading costs. */
void ticks_init(void);

/* "tsc", "cntvct" or "clock_gettime". */
const char *ticks_name(void);

/* A span of ticks in nanoseconds. */
double ticks_to_ns(uint64_t ticks);

/* What one reading costs, in nanoseconds: it is part of every latency that the load reports, and twice of it
 * is the slowdown of each measured call. */
double ticks_cost_ns(void);

/* The step in which the counter advances, in nanoseconds: single latencies are multiples of it. */
double ticks_step_ns(void);

#endif
