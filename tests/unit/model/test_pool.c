/* SPDX-License-Identifier: MIT
 *
 * Tests of making a buffer pool smaller: sizes that servers take, the one that the data fits into, and what it gives back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants these four before it */
#include <cmocka.h>

#include <errno.h>

#include "model/pool.h"

#define F(value) ebb__fact(value)
#define MIB      (UINT64_C(1) << 20)
#define NONE     ebb__fact_unknown(-ENODATA)

/* MariaDB 10.11.19 with 512 MiB: 507 of 512 pages of each extent of 8 MiB are for data. */
static struct ebb_pool one_range(void)
{
    return (struct ebb_pool){.size_bytes = F(512 * MIB),
                             .size_max_bytes = F(UINT64_C(8) << 40),
                             .chunk_bytes = F(0),
                             .instances = NONE,
                             .page_bytes = F(16384),
                             .free_pages = F(2448),
                             .total_pages = F(32448)};
}

/* MySQL 8.0 with 8 GiB in 8 instances. */
static struct ebb_pool in_chunks(void)
{
    return (struct ebb_pool){.size_bytes = F(8192 * MIB),
                             .size_max_bytes = NONE,
                             .chunk_bytes = F(128 * MIB),
                             .instances = F(8),
                             .page_bytes = F(16384),
                             .free_pages = F(260000),
                             .total_pages = F(524288)};
}

static void test_step(void **state)
{
    struct ebb_pool pool = one_range();

    (void)state;
    assert_int_equal(ebb__pool_step(&pool).value, MIB);
    pool = in_chunks();
    assert_int_equal(ebb__pool_step(&pool).value, 1024 * MIB);
    /* MariaDB 10.5 to 10.11.11. */
    pool.instances = NONE;
    assert_int_equal(ebb__pool_step(&pool).value, 128 * MIB);
    pool.instances = ebb__fact_unknown(-ETIMEDOUT);
    assert_int_equal(ebb__pool_step(&pool).err, -ETIMEDOUT);
    pool.instances = F(0);
    assert_int_equal(ebb__pool_step(&pool).err, -ERANGE);
    pool.instances = F(UINT64_MAX);
    assert_int_equal(ebb__pool_step(&pool).err, -ERANGE);
    pool.chunk_bytes = NONE;
    assert_false(ebb__pool_step(&pool).known);
}

static void test_round(void **state)
{
    (void)state;
    assert_int_equal(ebb__pool_round(0, MIB), 0);
    assert_int_equal(ebb__pool_round(1, MIB), MIB);
    assert_int_equal(ebb__pool_round(MIB, MIB), MIB);
    /* 1.5 GiB of 1 GiB steps: the well-known surprise. */
    assert_int_equal(ebb__pool_round(1536 * MIB, 1024 * MIB), 2048 * MIB);
    assert_int_equal(ebb__pool_round(UINT64_MAX, MIB), UINT64_MAX - (MIB - 1));
}

static void test_least(void **state)
{
    struct ebb_pool pool = one_range();

    (void)state;
    /* What MariaDB 10.11.19 makes of less. */
    assert_int_equal(ebb__pool_least(&pool), 6 * MIB);
    pool.page_bytes = F(4096);
    assert_int_equal(ebb__pool_least(&pool), 5 * MIB);
    pool.page_bytes = F(65536);
    assert_int_equal(ebb__pool_least(&pool), 21 * MIB);
    pool = in_chunks();
    assert_int_equal(ebb__pool_least(&pool), 5 * MIB);
    pool.page_bytes = NONE;
    assert_int_equal(ebb__pool_least(&pool), 5 * MIB);
}

static void test_fit(void **state)
{
    struct ebb_pool pool = one_range();

    (void)state;
    /* 30000 pages of 16 KiB and a stock of 1536: 492.8 MiB, and 5 of 512 more for descriptors. */
    assert_int_equal(ebb__pool_fit(&pool).value, 498 * MIB);
    /* Full: not smaller than it is. */
    pool.free_pages = F(0);
    assert_true(ebb__pool_fit(&pool).value >= pool.size_bytes.value);
    /* Empty: the floor. */
    pool.free_pages = pool.total_pages;
    assert_int_equal(ebb__pool_fit(&pool).value, EBB_POOL_FLOOR_BYTES);
    pool.free_pages = F(pool.total_pages.value + 1);
    assert_int_equal(ebb__pool_fit(&pool).err, -EBADMSG);
    pool.free_pages = ebb__fact_unknown(-ETIMEDOUT);
    assert_int_equal(ebb__pool_fit(&pool).err, -ETIMEDOUT);
    pool = in_chunks();
    assert_int_equal(ebb__pool_fit(&pool).value, 5120 * MIB);
    pool.chunk_bytes = NONE;
    assert_int_equal(ebb__pool_fit(&pool).err, -ENODATA);
}

static void test_gain(void **state)
{
    struct ebb_pool pool = one_range();
    struct ebb_pool_backing backing = {.resident_bytes = 512 * MIB, .behind_bytes = 384 * MIB};

    (void)state;
    /* All of it resident: what is cut off. */
    assert_int_equal(ebb__pool_gain(&pool, &backing, 128 * MIB).value, 384 * MIB);
    /* Pages move into holes. */
    backing = (struct ebb_pool_backing){200 * MIB, 150 * MIB, 78 * MIB};
    assert_int_equal(ebb__pool_gain(&pool, &backing, 128 * MIB).value, 72 * MIB);
    backing = (struct ebb_pool_backing){60 * MIB, 10 * MIB, 78 * MIB};
    assert_int_equal(ebb__pool_gain(&pool, &backing, 128 * MIB).value, 0);
    /* Never touched behind the end. */
    backing = (struct ebb_pool_backing){100 * MIB, 0, 28 * MIB};
    assert_int_equal(ebb__pool_gain(&pool, &backing, 128 * MIB).value, 0);
    assert_int_equal(ebb__pool_gain(&pool, &backing, 512 * MIB).value, 0);
    pool = in_chunks();
    backing = (struct ebb_pool_backing){.resident_bytes = 4096 * MIB};
    assert_int_equal(ebb__pool_gain(&pool, &backing, 2048 * MIB).value, 3072 * MIB);
    pool.size_bytes = NONE;
    assert_int_equal(ebb__pool_gain(&pool, &backing, 2048 * MIB).err, -ENODATA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_step), cmocka_unit_test(test_round), cmocka_unit_test(test_least),
        cmocka_unit_test(test_fit),  cmocka_unit_test(test_gain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
