/* SPDX-License-Identifier: MIT
 *
 * Versions of allocators in pieces of memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants these before it. */
#include <cmocka.h>

#include <string.h>

#include "base/compiler.h"
#include "probe/alloc_version.h"

#define TEXT(text) text, sizeof(text) - 1
#define COMMIT     "g54eaed1d8b56b1aa528be3bdd1877e59c56fa90c"

static void test_texts(void **state)
{
    static const struct {
        enum ebb_alloc_version_form form;
        const char *bytes;
        size_t len;
        const char *want; /* NULL: none */
    } CASES[] = {
        {EBB_ALLOC_VERSION_JEMALLOC, TEXT("x\0005.3.0-0-" COMMIT "\0"), "5.3.0-0"},
        {EBB_ALLOC_VERSION_JEMALLOC, TEXT("\0005.2.1-0-g0\0"), "5.2.1-0"},
        {EBB_ALLOC_VERSION_JEMALLOC, TEXT("1.2\0\00010.20.30-144-gabcdef\0more"), "10.20.30-144"},
        /* It begins behind a NUL, and ends with one. */
        {EBB_ALLOC_VERSION_JEMALLOC, TEXT("5.3.0-0-" COMMIT "\0"), NULL},
        {EBB_ALLOC_VERSION_JEMALLOC, TEXT("\0005.3.0-0-" COMMIT), NULL},
        {EBB_ALLOC_VERSION_JEMALLOC, TEXT("\0005.3.0-0-" COMMIT " built\0"), NULL},
        {EBB_ALLOC_VERSION_JEMALLOC, TEXT("\0jemalloc-5.3.0\0"), NULL},
        {EBB_ALLOC_VERSION_JEMALLOC, TEXT("\0005.3.0-0-g\0"), NULL},
        {EBB_ALLOC_VERSION_JEMALLOC, TEXT("\0005.3-0-gabc\0"), NULL},
        {EBB_ALLOC_VERSION_JEMALLOC, TEXT("\00055555.3.0-0-gabc\0"), NULL},
        {EBB_ALLOC_VERSION_JEMALLOC, TEXT("\0005.3.0"), NULL},
        {EBB_ALLOC_VERSION_JEMALLOC, TEXT("\0"), NULL},
        {EBB_ALLOC_VERSION_JEMALLOC, TEXT(""), NULL},
        {EBB_ALLOC_VERSION_GPERFTOOLS, TEXT("\0gperftools 2.10\0"), "2.10"},
        {EBB_ALLOC_VERSION_GPERFTOOLS, TEXT("gperftools 2.9.1\0"), "2.9.1"},
        {EBB_ALLOC_VERSION_GPERFTOOLS, TEXT("gperftools says no\0gperftools 2.15\0"), "2.15"},
        {EBB_ALLOC_VERSION_GPERFTOOLS, TEXT("gperftools 2.10"), NULL},
        {EBB_ALLOC_VERSION_GPERFTOOLS, TEXT("gperftools 2.\0"), NULL},
        {EBB_ALLOC_VERSION_GPERFTOOLS, TEXT("\0005.3.0-0-" COMMIT "\0"), NULL},
    };

    (void)state;
    for (size_t i = 0; i < EBB_ARRAY_COUNT(CASES); i++) {
        char version[EBB_ALLOC_VERSION_BYTES] = "";
        bool found = ebb__alloc_version_find(CASES[i].form, CASES[i].bytes, CASES[i].len, version);

        if (found != (CASES[i].want != NULL) || (found && strcmp(version, CASES[i].want) != 0))
            fail_msg("case %zu: '%s'", i, version);
    }
}

/* However a text is cut into pieces that overlap, its version is found in one of them. */
static void test_pieces(void **state)
{
    static char text[512];
    static const char VERSION[] = "5.3.0-0-" COMMIT;

    (void)state;
    for (size_t at = 1; at < sizeof(text) - sizeof(VERSION); at++) {
        unsigned found = 0;
        char version[EBB_ALLOC_VERSION_BYTES];

        memset(text, 0, sizeof(text));
        memcpy(text + at, VERSION, sizeof(VERSION));
        for (size_t from = 0; from < sizeof(text); from += 128 - EBB_ALLOC_VERSION_OVERLAP) {
            size_t len = sizeof(text) - from < 128 ? sizeof(text) - from : 128;

            found += ebb__alloc_version_find(EBB_ALLOC_VERSION_JEMALLOC, text + from, len, version);
        }
        assert_true(found > 0);
    }
}

static void test_code(void **state)
{
    static const unsigned char X86[] = {0xb8, 209, 0, 0, 0, 0xc3};
    static const unsigned char MARKED[] = {0xf3, 0x0f, 0x1e, 0xfa, 0xb8, 217, 0, 0, 0, 0xc3, 0x90};
    static const unsigned char ARM[] = {0x20, 0x1a, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6};
    static const unsigned char LONGER[] = {0xb8, 209, 0, 0, 0, 0x90, 0xc3, 0, 0, 0, 0, 0};
    uint32_t number;

    (void)state;
    assert_true(ebb__alloc_version_code(X86, sizeof(X86), &number));
    assert_int_equal(number, 209);
    assert_true(ebb__alloc_version_code(MARKED, sizeof(MARKED), &number));
    assert_int_equal(number, 217);
    assert_true(ebb__alloc_version_code(ARM, sizeof(ARM), &number));
    assert_int_equal(number, 209);
    assert_false(ebb__alloc_version_code(LONGER, sizeof(LONGER), &number));
    for (size_t len = 0; len < sizeof(X86); len++)
        assert_false(ebb__alloc_version_code(X86, len, &number));
    for (size_t len = 0; len < sizeof(ARM); len++)
        assert_false(ebb__alloc_version_code(ARM, len, &number));
}

static void test_words(void **state)
{
    char text[EBB_ALLOC_VERSION_BYTES];
    int order;

    (void)state;
    ebb__alloc_version_mimalloc(209, text);
    assert_string_equal(text, "2.0.9");
    ebb__alloc_version_mimalloc(30109, text);
    assert_string_equal(text, "30109");
    assert_true(ebb__alloc_version_compare("5.3.0-0", 5, 3, 1, &order) && order < 0);
    assert_true(ebb__alloc_version_compare("5.3.1-0", 5, 3, 1, &order) && order == 0);
    assert_true(ebb__alloc_version_compare("5.10.0-3", 5, 3, 1, &order) && order > 0);
    assert_true(ebb__alloc_version_compare("4.9.9", 5, 3, 1, &order) && order < 0);
    assert_true(ebb__alloc_version_compare("6.0.0", 5, 3, 1, &order) && order > 0);
    assert_false(ebb__alloc_version_compare("5.3", 5, 3, 1, &order));
    assert_false(ebb__alloc_version_compare("", 5, 3, 1, &order));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_code),
        cmocka_unit_test(test_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
