/* SPDX-License-Identifier: MIT
 *
 * Tests of what is judged before a server is changed: whether a resize is in progress, and whom FLUSH TABLES waits for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants these four before it */
#include <cmocka.h>

#include "books/mysql_client_priv.h"

static void test_resizing(void **state)
{
    /* As MariaDB 10.5 to 11.8 and MySQL 5.7 to 8.4 have them. */
    static const char *const ENDED[] = {
        "",
        "Completed resizing buffer pool at 240101 10:00:00.",
        "Completed resizing buffer pool from 1073741824 to 536870912 bytes.",
        "Size did not change (old size = new size = 134217728. Nothing to do.",
        "Resizing buffer pool failed, finished resizing at 240101 10:00:00.",
    };
    static const char *const BUSY[] = {
        "Requested to resize buffer pool.",   "Withdrawing blocks. (100/20000).",
        "Withdrawing blocks to be shrunken.", "buffer pool 0 : withdrawing blocks. (1/2)",
        "Latching whole of buffer pool.",     "Disabling adaptive hash index.",
        "Resizing also other hash tables.",   "words of a version to come",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ENDED) / sizeof(ENDED[0]); i++)
        assert_false(ebb__books_is_resizing(ENDED[i]));
    for (size_t i = 0; i < sizeof(BUSY) / sizeof(BUSY[0]); i++)
        assert_true(ebb__books_is_resizing(BUSY[i]));
}

static void test_flush_waits(void **state)
{
    (void)state;
    assert_false(ebb__mysql_flush_waits(EBB_BOOKS_MARIADB, "10.11.19-MariaDB-0+deb12u1"));
    assert_false(ebb__mysql_flush_waits(EBB_BOOKS_MARIADB, "11.8.2-MariaDB"));
    assert_false(ebb__mysql_flush_waits(EBB_BOOKS_MARIADB, "10.4.1-MariaDB"));
    assert_true(ebb__mysql_flush_waits(EBB_BOOKS_MARIADB, "10.3.39-MariaDB"));
    assert_true(ebb__mysql_flush_waits(EBB_BOOKS_MARIADB, "5.5.68-MariaDB"));
    assert_true(ebb__mysql_flush_waits(EBB_BOOKS_MARIADB, "MariaDB"));
    assert_true(ebb__mysql_flush_waits(EBB_BOOKS_MYSQL, "8.0.36"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resizing),
        cmocka_unit_test(test_flush_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
