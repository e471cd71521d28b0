/* SPDX-License-Identifier: MIT
 *
 * Tests of the verdict about two looks at a heap.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants these four before it */
#include <cmocka.h>

#include "model/heap_verdict.h"

#define M(mib) ((uint64_t)(mib) << 20)

static void test_verdicts(void **state)
{
    static const struct {
        struct ebb_heap_look before;
        struct ebb_heap_look now;
        enum ebb_heap_verdict want;
    } CASES[] = {
        /* system, live, trim, kept, fragments */
        {{M(100), M(90), 0, 0, M(10)}, {M(120), M(110), 0, 0, M(10)}, EBB_HEAP_VERDICT_LEAK},
        {{M(100), M(90), 0, 0, M(10)}, {M(110), M(108), 0, 0, M(2)}, EBB_HEAP_VERDICT_LEAK},
        {{M(100), M(60), M(30), 0, M(10)}, {M(100), M(80), M(10), 0, M(10)}, EBB_HEAP_VERDICT_FILLING},
        {{M(100), M(60), M(30), 0, M(10)}, {M(104), M(80), M(10), 0, M(10)}, EBB_HEAP_VERDICT_FILLING},
        {{M(100), M(20), M(70), 0, M(10)}, {M(100), M(20), M(70), 0, M(10)}, EBB_HEAP_VERDICT_RETENTION},
        {{M(100), M(90), M(1), 0, M(9)}, {M(100), M(20), M(40), 0, M(40)}, EBB_HEAP_VERDICT_RETENTION},
        {{M(100), M(20), M(9), 0, M(71)}, {M(100), M(20), M(39), 0, M(41)}, EBB_HEAP_VERDICT_FRAGMENTATION},
        {{M(100), M(20), 0, M(60), 0}, {M(100), M(20), M(20), M(41), M(19)}, EBB_HEAP_VERDICT_TOPS},
        {{M(100), M(20), 0, 0, 0}, {M(100), M(20), 0, M(20), M(21)}, EBB_HEAP_VERDICT_FRAGMENTATION},
        {{M(100), M(20), 0, 0, 0}, {M(100), M(20), M(20), M(20), M(20)}, EBB_HEAP_VERDICT_RETENTION},
        {{M(100), M(81), M(9), 0, M(10)}, {M(100), M(81), M(9), M(3), M(7)}, EBB_HEAP_VERDICT_COMPACT},
        {{M(100), M(80), M(9), 0, M(11)}, {M(100), M(80), M(9), 0, M(11)}, EBB_HEAP_VERDICT_FRAGMENTATION},
        /* What was trimmed is free, and costs nothing. */
        {{M(100), M(20), M(80), 0, 0}, {M(100), M(20), 0, 0, M(1)}, EBB_HEAP_VERDICT_COMPACT},
        /* A change below a hundredth is none. */
        {{M(1000), M(100), M(800), 0, 0}, {M(1009), M(109), M(800), 0, 0}, EBB_HEAP_VERDICT_RETENTION},
        {{M(1000), M(990), 0, 0, M(10)}, {M(1010), M(1001), 0, 0, M(9)}, EBB_HEAP_VERDICT_LEAK},
        /* Nor is one below 256 KiB in a small heap. */
        {{M(1), 500000, 0, 0, 500000}, {M(1), 700000, 0, 0, 300000}, EBB_HEAP_VERDICT_FRAGMENTATION},
        {{0, 0, 0, 0, 0}, {0, 0, 0, 0, 0}, EBB_HEAP_VERDICT_COMPACT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        enum ebb_heap_verdict got = ebb__heap_verdict(&CASES[i].before, &CASES[i].now);

        if (got != CASES[i].want)
            fail_msg("case %zu: %s, want %s", i, ebb__heap_verdicts[got].key,
                     ebb__heap_verdicts[CASES[i].want].key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_verdicts)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
