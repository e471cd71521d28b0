/* SPDX-License-Identifier: MIT
 *
 * Tests of the parser of /proc/PID/auxv.
 */
#include "test_probe.h"

#include <elf.h>
#include <errno.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "probe/probe.h"

static const uint64_t WIDE[] = {
    AT_PAGESZ, 65536, AT_BASE, 0x7f0000000000, AT_SECURE, 1, AT_EXECFN, 0x7fffffff0000, AT_SECURE,
    0,         200,   7,       AT_NULL,        0};
static const uint32_t NARROW[] = {AT_PAGESZ, 4096, AT_BASE, 0xf7f00000, AT_SECURE, 0, AT_NULL, 0};

static void test_wide(void **state)
{
    struct ebb_auxv auxv;
    uint64_t value = 42;

    (void)state;
    assert_int_equal(ebb__auxv_parse(WIDE, sizeof(WIDE), 8, &auxv), 0);
    assert_true(ebb__auxv_get(&auxv, AT_PAGESZ, &value));
    assert_int_equal(value, 65536);
    assert_true(ebb__auxv_get(&auxv, AT_BASE, &value));
    assert_int_equal(value, 0x7f0000000000);
    assert_true(ebb__auxv_get(&auxv, AT_EXECFN, &value));
    assert_int_equal(value, 0x7fffffff0000);
    assert_true(ebb__auxv_get(&auxv, AT_SECURE, &value));
    assert_int_equal(value, 1); /* the first of two */
    value = 42;
    assert_false(ebb__auxv_get(&auxv, AT_ENTRY, &value));
    assert_false(ebb__auxv_get(&auxv, 200, &value));
    assert_int_equal(value, 42);
}

static void test_narrow(void **state)
{
    struct ebb_auxv auxv;
    uint64_t value = 42;

    (void)state;
    assert_int_equal(ebb__auxv_parse(NARROW, sizeof(NARROW), 4, &auxv), 0);
    assert_true(ebb__auxv_get(&auxv, AT_BASE, &value));
    assert_int_equal(value, 0xf7f00000);
    assert_true(ebb__auxv_get(&auxv, AT_SECURE, &value));
    assert_int_equal(value, 0); /* present, and 0 */
}

static void test_damaged(void **state)
{
    struct ebb_auxv auxv = {.present = 42};

    (void)state;
    assert_int_equal(ebb__auxv_parse(WIDE, 0, 8, &auxv), -ENODATA);
    assert_int_equal(ebb__auxv_parse(WIDE, sizeof(WIDE), 16, &auxv), -EINVAL);
    assert_int_equal(ebb__auxv_parse(WIDE, sizeof(WIDE), 0, &auxv), -EINVAL);
    for (size_t len = 1; len < sizeof(WIDE); len++) {
        char *copy = test_copy(WIDE, len);

        assert_int_equal(ebb__auxv_parse(copy, len, 8, &auxv), -EBADMSG);
        free(copy);
    }
    assert_int_equal(auxv.present, 42);
}

static void test_ourselves(void **state)
{
    static const unsigned TYPES[] = {AT_PAGESZ, AT_SECURE, AT_BASE, AT_ENTRY, AT_PHDR, AT_PHNUM, AT_EXECFN};
    struct ebb_auxv auxv;

    (void)state;
    assert_int_equal(ebb__auxv_read("", getpid(), sizeof(long), &auxv), 0);
    for (size_t i = 0; i < sizeof(TYPES) / sizeof(TYPES[0]); i++) {
        uint64_t value;

        assert_true(ebb__auxv_get(&auxv, TYPES[i], &value));
        assert_int_equal(value, getauxval(TYPES[i]));
    }
}

static void test_fixtures(void **state)
{
    struct ebb_auxv auxv;
    uint64_t value;

    (void)state;
    assert_int_equal(ebb__auxv_read(FIXTURES "/proc-mariadbd", 5141, 8, &auxv), 0);
    assert_true(ebb__auxv_get(&auxv, AT_PAGESZ, &value));
    assert_int_equal(value, 4096);
    /* Started by root; that it became another user later is not in here. */
    assert_true(ebb__auxv_get(&auxv, AT_UID, &value));
    assert_int_equal(value, 0);
    assert_true(ebb__auxv_get(&auxv, AT_CLKTCK, &value));
    assert_int_equal(value, 100);
    assert_int_equal(ebb__auxv_read(FIXTURES "/proc-kthread", 3, 8, &auxv), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wide),      cmocka_unit_test(test_narrow),   cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_ourselves), cmocka_unit_test(test_fixtures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
