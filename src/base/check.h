/* SPDX-License-Identifier: MIT
 * Three kinds of checks, never mixed: the caller's corruption (fatal line), our own bugs (assert), invariants
 * (walkers). */
#ifndef EBB_BASE_CHECK_H
#define EBB_BASE_CHECK_H

#include "base/compiler.h"

/* Writes "ebb: <line>\n" to standard error with one write(2), then aborts. Async-signal-safe.
 * For corruption by the caller only: everything the environment can cause is a return value. */
__attribute__((noreturn)) EBB_COLD void ebb__die(const char *format, ...) EBB_PRINTF(1);

/* The same without dying: for the option parser and the walkers. */
EBB_COLD void ebb__complain(const char *format, ...) EBB_PRINTF(1);

/* In a thread whose descriptor 2 is not the program's standard error: finds that one, or -1. NULL in all others. */
extern EBB_TLS int (*ebb__stderr_of_thread)(void);

/* Asserts are compiled in every build, so that they cannot rot, and run from debug_level 1 on. */
#define EBB_ASSERT(e)                                                                                        \
    do {                                                                                                     \
        if (EBB_DEBUG >= 1 && EBB_UNLIKELY(!(e)))                                                            \
            ebb__die("assertion failed: %s (%s:%d)", #e, __FILE__, __LINE__);                                \
    } while (0)

/* In a _check() walker: names the broken invariant with both values and leaves with -EUCLEAN. */
#define EBB_HOLDS(id, e, a, b)                                                                               \
    do {                                                                                                     \
        if (EBB_UNLIKELY(!(e))) {                                                                            \
            ebb__complain("invariant %s broken: %s (%lu, %lu) at %s:%d", id, #e, (unsigned long)(a),         \
                          (unsigned long)(b), __FILE__, __LINE__);                                           \
            return -EUCLEAN;                                                                                 \
        }                                                                                                    \
    } while (0)

#endif
