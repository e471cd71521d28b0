/* SPDX-License-Identifier: MIT
 *
 * What the tests of probe have in common.
 */
#ifndef EBB_TESTS_UNIT_PROBE_TEST_PROBE_H
#define EBB_TESTS_UNIT_PROBE_TEST_PROBE_H

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* and now */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A seed from EBB_TEST_SEED, or a new one; printed so that a failure can be had again. */
static inline unsigned test_seed(void)
{
    const char *text = getenv("EBB_TEST_SEED");
    unsigned seed = text != NULL ? (unsigned)strtoul(text, NULL, 10) : (unsigned)time(NULL);

    printf("seed %u (EBB_TEST_SEED)\n", seed);
    srandom(seed);
    return seed;
}

/* A copy of exactly `len` bytes in a block of its own, so that valgrind and ASan see a read beyond it. */
static inline char *test_copy(const void *data, size_t len)
{
    char *copy = malloc(len == 0 ? 1 : len);

    assert_non_null(copy);
    if (len != 0)
        memcpy(copy, data, len);
    return copy;
}

#endif
