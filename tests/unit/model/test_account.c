/* SPDX-License-Identifier: MIT
 *
 * Accounts: sums, rests, paths, and the invariants when somebody breaks them.
 */
#include "../../support.h"

#include <errno.h>
#include <string.h>

#include "model/account.h"

static struct ebb_account account;

static void begin(uint64_t bytes)
{
    ebb__account_init(&account, "resident", "resident memory", "status", ebb__fact(bytes));
}

static void add(unsigned depth, const char *key, uint64_t bytes)
{
    ebb__account_add(&account, depth, key, key, "somebody", ebb__fact(bytes));
}

static int64_t bytes_of(const char *key)
{
    const struct ebb_account_row *row = ebb__account_find(&account, key);

    assert_non_null(row);
    assert_true(row->known);
    return row->bytes;
}

static void parts_and_rests(void **state)
{
    (void)state;
    begin(1000);
    add(1, "pool", 300);
    add(1, "heap", 500);
    add(2, "live", 200);
    add(3, "thd", 150);
    ebb__account_rest(&account, 3, "nobody", "in nobody's books");
    add(2, "free", 250);
    ebb__account_rest(&account, 2, "heap_rest", "not attributed");
    add(1, "stacks", 100);
    ebb__account_rest(&account, 1, "unattributed", "unattributed");
    ebb__account_beside(&account, "swap", "swapped out", "status", ebb__fact(7));
    assert_null(ebb__account_check(&account));
    assert_int_equal(bytes_of("nobody"), 50);
    assert_int_equal(bytes_of("heap_rest"), 50);
    assert_int_equal(bytes_of("unattributed"), 100);
    assert_int_equal(bytes_of("swap"), 7);
}

static void a_rest_may_be_below_zero(void **state)
{
    (void)state;
    begin(100);
    add(1, "a", 80);
    ebb__account_add_signed(&account, 1, "b", "b", "books", -30);
    add(1, "c", 90);
    ebb__account_rest(&account, 1, "rest", "rest");
    assert_null(ebb__account_check(&account));
    assert_int_equal(bytes_of("rest"), -40);
}

static void what_is_not_known_makes_no_rest(void **state)
{
    const struct ebb_account_row *rest;

    (void)state;
    begin(100);
    add(1, "a", 80);
    ebb__account_add(&account, 1, "b", "b", "books", ebb__fact_unknown(-EACCES));
    ebb__account_rest(&account, 1, "rest", "rest");
    rest = ebb__account_find(&account, "rest");
    assert_false(rest->known);
    assert_string_equal(rest->why, "not all parts are known");
    assert_null(ebb__account_check(&account));

    ebb__account_init(&account, "resident", "resident memory", "status", ebb__fact_unknown(-EACCES));
    add(1, "a", 80);
    ebb__account_rest(&account, 1, "rest", "rest");
    rest = ebb__account_find(&account, "rest");
    assert_false(rest->known);
    assert_string_equal(rest->why, ebb__fact_why(ebb__fact_unknown(-EACCES)));
    assert_null(ebb__account_check(&account));
}

static void a_rest_apart_says_what_does_not_fit(void **state)
{
    const struct ebb_account_row *rest;

    (void)state;
    begin(100);
    add(1, "a", 70);
    add(2, "b", 60);
    ebb__account_rest_apart(&account, 2, "fits", "fits");
    add(1, "c", 50);
    ebb__account_rest_apart(&account, 1, "rest", "rest");
    assert_null(ebb__account_check(&account));
    assert_int_equal(bytes_of("fits"), 10);
    assert_int_equal(ebb__account_find(&account, "fits")->over_bytes, 0);
    rest = ebb__account_find(&account, "rest");
    assert_false(rest->known);
    assert_int_equal(rest->over_bytes, 20);
    assert_int_equal(rest->bytes, 0);
    assert_string_equal(rest->why,
                        "its parts are of another moment, or not all touched, and more than the whole");
    /* Just full, and one of unknown parts, do fit. */
    begin(100);
    add(1, "a", 100);
    ebb__account_rest_apart(&account, 1, "rest", "rest");
    assert_int_equal(bytes_of("rest"), 0);
    begin(100);
    add(1, "a", 200);
    ebb__account_add(&account, 1, "b", "b", "books", ebb__fact_unknown(-EACCES));
    ebb__account_rest_apart(&account, 1, "rest", "rest");
    rest = ebb__account_find(&account, "rest");
    assert_false(rest->known);
    assert_int_equal(rest->over_bytes, 0);
    assert_string_equal(rest->why, "not all parts are known");
    assert_null(ebb__account_check(&account));
}

static void why_a_row_is_not_known_can_be_said_better(void **state)
{
    (void)state;
    begin(100);
    ebb__account_because(&account, "never mind");
    assert_null(account.rows[0].why);
    ebb__account_add(&account, 1, "a", "a", "books", ebb__fact_unknown(-EPERM));
    ebb__account_because(&account, "needs something else");
    assert_string_equal(account.rows[1].why, "needs something else");
}

static void paths(void **state)
{
    char path[64];

    (void)state;
    begin(10);
    add(1, "heap", 5);
    add(2, "live", 3);
    ebb__account_rest(&account, 2, "rest", "rest");
    ebb__account_rest(&account, 1, "unattributed", "unattributed");
    assert_int_equal(ebb__account_path(&account, 0, path, sizeof(path)), 8);
    assert_string_equal(path, "resident");
    ebb__account_path(&account, 2, path, sizeof(path));
    assert_string_equal(path, "resident/heap/live");
    ebb__account_path(&account, 4, path, sizeof(path));
    assert_string_equal(path, "resident/unattributed");
    begin(10);
    add(1, "memory/sql/THD", 3);
    ebb__account_path(&account, 1, path, sizeof(path));
    assert_string_equal(path, "resident/memory.sql.THD");
    begin(10);
    add(1, "heap", 5);
    add(2, "live", 3);
    assert_int_equal(ebb__account_path(&account, 2, path, 12), 11);
    assert_string_equal(path, "resident/he");
}

static void full(void **state)
{
    (void)state;
    begin(1u << 20);
    for (unsigned i = 0; i < EBB_ACCOUNT_ROWS_MAX + 10; i++)
        add(1, "a", 1);
    assert_int_equal(account.count, EBB_ACCOUNT_ROWS_MAX);
    assert_int_equal(account.left_out, 11);
    /* Deeper than anything that it could be part of. */
    begin(10);
    add(2, "a", 1);
    assert_int_equal(account.count, 1);
    assert_int_equal(account.left_out, 1);
}

static void names_are_cut(void **state)
{
    char longer[300];

    (void)state;
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    begin(10);
    ebb__account_add(&account, 1, longer, longer, "somebody", ebb__fact(1));
    assert_int_equal(strlen(account.rows[1].key), EBB_ACCOUNT_KEY_BYTES - 1);
    assert_int_equal(strlen(account.rows[1].name), EBB_ACCOUNT_NAME_BYTES - 1);
}

static void broken_ones_are_named(void **state)
{
    (void)state;
    begin(10);
    add(1, "a", 4);
    assert_string_equal(ebb__account_check(&account), "A2 a row with parts has one rest, the last of them");
    ebb__account_rest(&account, 1, "rest", "rest");
    assert_null(ebb__account_check(&account));
    account.rows[1].bytes = 5;
    assert_string_equal(ebb__account_check(&account), "A3 a row is the sum of its parts");
    account.rows[1].bytes = 4;
    account.rows[2].depth = 3;
    assert_string_equal(ebb__account_check(&account),
                        "A1 a row is at most one deeper than the one before it");
    account.rows[2].depth = 1;
    ebb__account_beside(&account, "swap", "swap", "status", ebb__fact(1));
    add(1, "late", 1);
    assert_string_equal(ebb__account_check(&account), "A4 rows beside come last");
    begin(10);
    add(1, "a", 20);
    ebb__account_rest_apart(&account, 1, "rest", "rest");
    assert_null(ebb__account_check(&account));
    account.rows[2].known = true;
    assert_string_equal(ebb__account_check(&account), "A5 a rest apart is not below zero");
    account.rows[2].over_bytes = 0;
    account.rows[2].bytes = -10;
    assert_string_equal(ebb__account_check(&account), "A5 a rest apart is not below zero");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_and_rests),
        cmocka_unit_test(a_rest_may_be_below_zero),
        cmocka_unit_test(what_is_not_known_makes_no_rest),
        cmocka_unit_test(a_rest_apart_says_what_does_not_fit),
        cmocka_unit_test(why_a_row_is_not_known_can_be_said_better),
        cmocka_unit_test(paths),
        cmocka_unit_test(full),
        cmocka_unit_test(names_are_cut),
        cmocka_unit_test(broken_ones_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
