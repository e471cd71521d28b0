/* SPDX-License-Identifier: MIT
 *
 * What every black-box test of the malloc family shares: counted checks, a watchdog, a seed, patterns, and
 * the proof that the library under test is the one that serves.
 *
 * A program takes nothing from ebb. It runs as it is under the C library, which proves the test, and once
 * more with LD_PRELOAD and CONFORM_LIB=<path of the library>, where conform_start() refuses to go on when
 * malloc comes from elsewhere. Exit status: 0 passed, 1 failed, 77 skipped with the reason on standard
 * output.
 */
#ifndef CONFORM_H
#define CONFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { CONFORM_SKIPPED = 77 };

/* Arms a watchdog that ends the program (SIGALRM) after limit_s seconds, and checks CONFORM_LIB. */
void conform_start(unsigned limit_s);

/* Prints the outcome; the value is the exit status of main. */
int conform_end(void);

/* Whether a check has failed so far, for children that report by their status. */
bool conform_failed(void);

/* Leaves the program as skipped. */
void conform_skip(const char *reason) __attribute__((noreturn));

/* Whether a library other than the C library serves malloc. */
bool conform_is_preloaded(void);

/* True when the C library that runs is at least major.minor. */
bool conform_libc_at_least(int major, int minor);

/* The seed of this run: TEST_SEED, else the time; printed once. */
uint64_t conform_seed(void);

/* A small generator (splitmix64); `state` belongs to the caller. */
uint64_t conform_random(uint64_t *state);

/* A number in [low, high]. */
size_t conform_between(uint64_t *state, size_t low, size_t high);

/* Fills a block with bytes that depend on the tag and the offset, and finds the first byte that differs
 * (size_bytes when none does). */
void conform_fill(void *block, size_t size_bytes, uint64_t tag);
size_t conform_differs(const void *block, size_t size_bytes, uint64_t tag);

/* The same for one byte in each `step_bytes` and the last one: for blocks too large to touch whole. */
void conform_stamp(void *block, size_t size_bytes, size_t step_bytes, uint64_t tag);
size_t conform_stamp_differs(const void *block, size_t size_bytes, size_t step_bytes, uint64_t tag);

/* Waits for a child and gives its exit status, or 1000 + the signal that killed it. */
int conform_wait(int pid);

/* Hides a value from the optimiser, so that calls the compiler believes useless or wrong are really made. */
static inline size_t conform_opaque(size_t value)
{
    __asm__ volatile("" : "+r"(value));
    return value;
}

#define CHECK(condition, ...) conform_check(!!(condition), __FILE__, __LINE__, #condition, " " __VA_ARGS__)

/* Counts a check; a failed one is printed, the twentieth ends the program. Returns `ok`. (The space in CHECK
 * spares checks without a text the warning about an empty format.) */
bool conform_check(bool ok, const char *file, int line, const char *text, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

#ifdef __cplusplus
}
#endif
#endif
