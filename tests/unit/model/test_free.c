/* SPDX-License-Identifier: MIT
 *
 * Tests of what is used and free: of hosts, and inside cgroups with and without limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants these four before it */
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "model/free.h"

#define F(value) ebb__fact(value)

static struct ebb_meminfo host_info(void)
{
    struct ebb_meminfo info;

    memset(&info, 0, sizeof(info));
    info.mem_total_bytes = F(1000);
    info.mem_free_bytes = F(300);
    info.mem_available_bytes = F(700);
    info.buffers_bytes = F(20);
    info.cached_bytes = F(400);
    info.sreclaimable_bytes = F(50);
    info.shmem_bytes = F(30);
    info.swap_total_bytes = F(500);
    info.swap_free_bytes = F(450);
    return info;
}

static void test_host(void **state)
{
    struct ebb_meminfo info = host_info();
    struct ebb_free f;

    (void)state;
    ebb__free_of_host(&info, &f);
    assert_int_equal(f.used_bytes.value, 300);
    assert_int_equal(f.cache_bytes.value, 450);
    assert_int_equal(f.available_bytes.value, 700);
    assert_int_equal(f.swap_used_bytes.value, 50);
    info.mem_available_bytes = F(2000);
    ebb__free_of_host(&info, &f);
    assert_int_equal(f.available_bytes.value, 300);
    assert_int_equal(f.used_bytes.value, 700);
    info.mem_available_bytes = ebb__fact_unknown(-ENODATA);
    info.cached_bytes = ebb__fact_unknown(-EBADMSG);
    ebb__free_of_host(&info, &f);
    assert_false(f.used_bytes.known || f.available_bytes.known);
    assert_int_equal(f.cache_bytes.err, -EBADMSG);
}

static struct ebb_cgroup level_of(uint64_t limit, uint64_t usage)
{
    struct ebb_cgroup level;

    memset(&level, 0, sizeof(level));
    level.limit_bytes = F(limit);
    level.usage_bytes = F(usage);
    level.inactive_file_bytes = level.active_file_bytes = level.dirty_bytes = level.writeback_bytes =
        level.slab_reclaimable_bytes = level.file_bytes = level.shmem_bytes = F(0);
    return level;
}

static void test_cgroup(void **state)
{
    struct ebb_meminfo info = host_info();
    struct ebb_cgroup levels[3];
    struct ebb_free host;
    struct ebb_free f;

    (void)state;
    ebb__free_of_host(&info, &host);
    levels[0] = level_of(200, 150);
    levels[1] = level_of(UINT64_MAX, 400);
    levels[2] = level_of(UINT64_MAX, 0);
    levels[2].usage_bytes = levels[2].limit_bytes = ebb__fact_unknown(-ENOENT); /* the top of version 2 */
    levels[0].inactive_file_bytes = F(40);
    levels[0].active_file_bytes = F(20);
    levels[0].dirty_bytes = F(10);
    levels[0].slab_reclaimable_bytes = F(8);
    levels[0].file_bytes = F(60);
    levels[0].shmem_bytes = F(5);
    levels[0].swap_bytes = F(3);
    levels[0].swap_limit_bytes = F(10);
    ebb__free_of_cgroup(levels, 3, &host, &f);
    assert_int_equal(f.total_bytes.value, 200);
    assert_int_equal(f.free_bytes.value, 50);
    assert_int_equal(f.available_bytes.value, 50 + 40 + 10 - 10 + 4);
    assert_int_equal(f.used_bytes.value, 200 - 94);
    assert_int_equal(f.shared_bytes.value, 5);
    assert_int_equal(f.cache_bytes.value, 73);
    assert_int_equal(f.swap_total_bytes.value, 10);
    assert_int_equal(f.swap_used_bytes.value, 3);
    assert_int_equal(f.swap_free_bytes.value, 7);
    assert_false(f.buffers_bytes.known);
    /* A parent that is nearer to its limit counts. */
    levels[1] = level_of(410, 400);
    ebb__free_of_cgroup(levels, 3, &host, &f);
    assert_int_equal(f.total_bytes.value, 200);
    assert_int_equal(f.free_bytes.value, 10);
    assert_int_equal(f.available_bytes.value, 10);
    /* Over its limit, for a moment: nothing is left. */
    levels[0] = level_of(200, 210);
    ebb__free_of_cgroup(levels, 3, &host, &f);
    assert_int_equal(f.free_bytes.value, 0);
    assert_int_equal(f.used_bytes.value, 200);
}

static void test_without_a_limit(void **state)
{
    struct ebb_meminfo info = host_info();
    struct ebb_cgroup level = level_of(UINT64_MAX, 100);
    struct ebb_free host;
    struct ebb_free f;

    (void)state;
    ebb__free_of_host(&info, &host);
    ebb__free_of_cgroup(&level, 1, &host, &f);
    assert_int_equal(f.total_bytes.value, 1000);
    assert_int_equal(f.available_bytes.value, 700);
    /* A limit above what the host has is none. */
    level = level_of(5000, 100);
    ebb__free_of_cgroup(&level, 1, &host, &f);
    assert_int_equal(f.total_bytes.value, 1000);
    assert_int_equal(f.available_bytes.value, 700);
    assert_int_equal(f.free_bytes.value, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host),
        cmocka_unit_test(test_cgroup),
        cmocka_unit_test(test_without_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
