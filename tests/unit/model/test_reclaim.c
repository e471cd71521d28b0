/* SPDX-License-Identifier: MIT
 *
 * Tests of what reclaim looks at next: each rule of the table and the step before it, bounds of shares, watermarks, blocks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants these four before it */
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "model/reclaim.h"

#define F(value) ebb__fact(value)

/* A cgroup with 64 Ki pages of each kind, swap and swappiness 60; nothing was ever wanted back. */
static struct ebb_reclaim cgroup_of(uint64_t anon, uint64_t active_anon, uint64_t file, uint64_t active_file)
{
    struct ebb_reclaim r;

    memset(&r, 0, sizeof(r));
    r.cgroup = true;
    r.bounded = true;
    r.page_bytes = 4096;
    r.inactive_anon = F(anon);
    r.active_anon = F(active_anon);
    r.inactive_file = F(file);
    r.active_file = F(active_file);
    r.swap_free = F(1000000);
    r.swappiness = F(60);
    return r;
}

static struct ebb_reclaim node_of(uint64_t anon, uint64_t active_anon, uint64_t file, uint64_t active_file)
{
    struct ebb_reclaim r = cgroup_of(anon, active_anon, file, active_file);

    r.cgroup = false;
    r.free = F(50000);
    r.high = F(20000);
    return r;
}

static const char *rule(const struct ebb_reclaim *r, unsigned priority)
{
    struct ebb_reclaim_pass pass;

    assert_int_equal(ebb__reclaim_pass(r, priority, &pass), 0);
    return ebb__reclaim_rules[pass.rule].name;
}

static const char *other(const struct ebb_reclaim *r, unsigned priority)
{
    struct ebb_reclaim_pass pass;

    assert_int_equal(ebb__reclaim_pass(r, priority, &pass), 0);
    return ebb__reclaim_rules[pass.other].name;
}

static void test_rules_of_a_cgroup(void **state)
{
    struct ebb_reclaim r = cgroup_of(65536, 0, 16384, 65536);

    (void)state;
    assert_string_equal(rule(&r, 12), "proportional");
    assert_string_equal(rule(&r, 0), "last_pass");
    r.swap_free = F(0);
    assert_string_equal(rule(&r, 12), "no_swap");
    assert_string_equal(rule(&r, 0), "no_swap");
    r.may_demote = true;
    assert_string_equal(rule(&r, 12), "proportional");
    r.may_demote = false;
    r.swap_free = F(1);
    assert_string_equal(rule(&r, 12), "proportional");
    r.swap_limited = true;
    assert_string_equal(rule(&r, 12), "swap_limit");
    r.swap_limited = false;
    r.swappiness = F(0);
    assert_string_equal(rule(&r, 12), "swappiness_0");
    assert_string_equal(rule(&r, 0), "swappiness_0");
    r.swappiness = F(1);
    assert_string_equal(rule(&r, 12), "proportional");
    /* A cgroup's file pages are never tiny. */
    r = cgroup_of(65536, 0, 0, 0);
    r.free = F(0);
    r.high = F(1000);
    assert_string_equal(rule(&r, 12), "proportional");
}

static void test_cache_trim(void **state)
{
    struct ebb_reclaim r = cgroup_of(65536, 0, 4096, 4096);

    (void)state;
    assert_string_equal(rule(&r, 12), "cache_trim");
    assert_string_equal(other(&r, 12), "cache_trim");
    /* list >> 12 must be above 0. */
    r.inactive_file = F(4095);
    r.active_file = F(0);
    assert_string_equal(rule(&r, 12), "proportional");
    assert_string_equal(rule(&r, 11), "cache_trim");
    /* Short of inactive pages. */
    r.inactive_file = F(4096);
    r.active_file = F(4097);
    assert_string_equal(rule(&r, 12), "proportional");
    r.active_file = F(4096);
    r.file_refaults = true;
    assert_string_equal(rule(&r, 12), "cache_trim");
    assert_string_equal(other(&r, 12), "proportional");
    assert_string_equal(rule(&r, 0), "last_pass");
    assert_string_equal(other(&r, 0), "last_pass");
}

static void test_rules_of_a_node(void **state)
{
    struct ebb_reclaim r = node_of(65536, 65536, 5000, 5000);

    (void)state;
    assert_string_equal(rule(&r, 12), "cache_trim");
    r.free = F(10000);
    assert_string_equal(rule(&r, 12), "file_is_tiny");
    r.free = F(10001);
    assert_string_equal(rule(&r, 12), "cache_trim");
    r.free = F(0);
    /* Even with swappiness 0; not before out of memory, and not when anonymous pages are short too. */
    r.swappiness = F(0);
    assert_string_equal(rule(&r, 12), "file_is_tiny");
    assert_string_equal(rule(&r, 0), "file_is_tiny");
    r.swappiness = F(60);
    assert_string_equal(rule(&r, 0), "last_pass");
    r.active_anon = F(65537);
    assert_string_equal(rule(&r, 12), "cache_trim");
    r.active_anon = F(0);
    r.inactive_anon = F(4095);
    assert_string_equal(rule(&r, 12), "cache_trim");
    assert_string_equal(rule(&r, 11), "file_is_tiny");
    r.anon_refaults = true;
    assert_string_equal(other(&r, 11), "cache_trim");
    /* The host's swappiness 0 is only a weight. */
    r = node_of(65536, 0, 0, 5000);
    r.swappiness = F(0);
    assert_string_equal(rule(&r, 12), "host_swappiness_0");
    r.swap_free = F(0);
    assert_string_equal(rule(&r, 12), "no_swap");
}

static void test_generations(void **state)
{
    struct ebb_reclaim r = node_of(1, 1, 1, 1);

    (void)state;
    r.generations = true;
    r.free = ebb__fact_unknown(-ENOENT);
    assert_string_equal(rule(&r, 12), "gen_balance");
    r.swappiness = F(200);
    assert_string_equal(rule(&r, 12), "gen_anon_first");
    r.swappiness = F(1);
    assert_string_equal(rule(&r, 12), "gen_file_first");
    r.swappiness = F(0);
    assert_string_equal(rule(&r, 12), "gen_file_only");
    r.swappiness = F(60);
    r.swap_free = F(63);
    assert_string_equal(rule(&r, 12), "gen_file_only");
    r.swap_free = F(64);
    assert_string_equal(rule(&r, 12), "gen_balance");
    r.swap_limited = true;
    assert_string_equal(rule(&r, 12), "gen_file_only");
}

static void test_unknown(void **state)
{
    struct ebb_reclaim r = cgroup_of(1, 1, 1, 1);
    struct ebb_reclaim_pass pass;
    struct ebb_reclaim_group groups[EBB_RECLAIM_PASSES];
    unsigned count;

    (void)state;
    r.swappiness = ebb__fact_unknown(-EACCES);
    assert_int_equal(ebb__reclaim_pass(&r, 12, &pass), -ENODATA);
    assert_int_equal(ebb__reclaim_groups(&r, groups, &count), -ENODATA);
    r = node_of(1, 1, 1, 1);
    r.high = ebb__fact_unknown(-ENOENT);
    assert_int_equal(ebb__reclaim_pass(&r, 12, &pass), -ENODATA);
    r = cgroup_of(1, 1, 1, 1);
    r.page_bytes = 0;
    assert_int_equal(ebb__reclaim_pass(&r, 12, &pass), -ENODATA);
}

/* The table of bounds: share of anonymous pages by swappiness. */
static void test_weights(void **state)
{
    static const struct {
        uint64_t swappiness;
        double low;
        double high;
    } ROWS[] = {{0, 0, 0},           {10, 2.56, 9.52}, {30, 8.11, 26.1}, {60, 17.64, 46.16},
                {100, 33.33, 66.67}, {150, 60, 85.72}, {200, 100, 100},  {201, 100, 100}};
    struct ebb_reclaim r = cgroup_of(1, 1, 1, 1);

    (void)state;
    for (unsigned i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        double low;
        double high;

        ebb__reclaim_weights(&r, ROWS[i].swappiness, &low, &high);
        assert_true(low > ROWS[i].low - 0.02 && low < ROWS[i].low + 0.02);
        assert_true(high > ROWS[i].high - 0.02 && high < ROWS[i].high + 0.02);
    }
    r.bounded = false;
    for (uint64_t s = 0; s <= 60; s += 60) {
        double low;
        double high;

        ebb__reclaim_weights(&r, s, &low, &high);
        assert_true(low == 0 && high == (s == 0 ? 0 : 100));
    }
}

static void test_passes(void **state)
{
    struct ebb_reclaim r = cgroup_of(65536, 0, 16384, 65536);
    struct ebb_reclaim_pass pass;

    (void)state;
    /* 16 and 4 pages: 16 * 90 / 510, 16 * 180 / 390; 4 * 210 / 390, 4 * 420 / 510. */
    assert_int_equal(ebb__reclaim_pass(&r, 12, &pass), 0);
    assert_int_equal(pass.anon_low, 2);
    assert_int_equal(pass.anon_high, 7);
    assert_int_equal(pass.file_low, 2);
    assert_int_equal(pass.file_high, 3);
    assert_true(pass.share_low == 40 && pass.share_high > 77.7 && pass.share_high < 77.8);
    assert_int_equal(ebb__reclaim_pass(&r, 0, &pass), 0);
    assert_int_equal(pass.anon_low, 65536);
    assert_int_equal(pass.file_high, 16384);
    assert_true(pass.share_low == 80 && pass.share_high == 80);
    /* Only file. */
    r.swappiness = F(0);
    assert_int_equal(ebb__reclaim_pass(&r, 10, &pass), 0);
    assert_int_equal(pass.anon_high, 0);
    assert_int_equal(pass.file_low, 16);
    assert_true(pass.share_low == 0 && pass.share_high == 0);
    /* No file: whatever the weights, all that is looked at is anonymous. */
    r = cgroup_of(65536, 0, 0, 0);
    assert_int_equal(ebb__reclaim_pass(&r, 12, &pass), 0);
    assert_int_equal(pass.file_high, 0);
    assert_true(pass.share_low == 100 && pass.share_high == 100);
    /* Two rules: bounds of both. */
    r = cgroup_of(65536, 0, 65536, 0);
    r.file_refaults = true;
    assert_int_equal(ebb__reclaim_pass(&r, 12, &pass), 0);
    assert_true(pass.share_low == 0 && pass.share_high > 40 && pass.share_high < 50);
    assert_int_equal(pass.file_high, 16);
    assert_int_equal(pass.anon_low, 0);
    /* Sizes that would overflow a product. */
    r = cgroup_of(UINT64_C(1) << 62, 0, 0, 0);
    assert_int_equal(ebb__reclaim_pass(&r, 0, &pass), 0);
    assert_int_equal(pass.anon_low, UINT64_C(1) << 62);
    /* Without bounds. */
    r = cgroup_of(65536, 0, 16384, 65536);
    r.bounded = false;
    assert_int_equal(ebb__reclaim_pass(&r, 12, &pass), 0);
    assert_true(pass.anon_low == 0 && pass.file_low == 0 && pass.share_low == 0 && pass.share_high == 100);
}

static void test_groups(void **state)
{
    struct ebb_reclaim r = cgroup_of(65536, 0, 2048, 100);
    struct ebb_reclaim_group groups[EBB_RECLAIM_PASSES];
    unsigned count;

    (void)state;
    assert_int_equal(ebb__reclaim_groups(&r, groups, &count), 0);
    assert_int_equal(count, 3);
    assert_int_equal(groups[0].pass.rule, EBB_RECLAIM_PROPORTIONAL);
    assert_true(groups[0].first == 12 && groups[0].last == 12 && groups[0].any);
    assert_int_equal(groups[1].pass.rule, EBB_RECLAIM_CACHE_TRIM);
    assert_true(groups[1].first == 11 && groups[1].last == 1);
    assert_int_equal(groups[1].pass.file_low, 1);
    assert_int_equal(groups[2].pass.rule, EBB_RECLAIM_LAST_PASS);
    /* Passes that look at nothing, and one that does. */
    r = cgroup_of(200, 0, 0, 0);
    assert_int_equal(ebb__reclaim_groups(&r, groups, &count), 0);
    assert_int_equal(count, 2);
    assert_true(groups[0].any && groups[0].first == 12 && groups[0].last == 1);
    assert_int_equal(groups[0].pass.priority, 6);
    assert_true(groups[0].pass.share_low == 100);
    r = cgroup_of(0, 0, 0, 0);
    assert_int_equal(ebb__reclaim_groups(&r, groups, &count), 0);
    assert_false(groups[0].any || groups[1].any);
    /* Rounding differs from pass to pass: the group's bounds hold all of them. */
    r = cgroup_of(65536, 0, 16384, 65536);
    assert_int_equal(ebb__reclaim_groups(&r, groups, &count), 0);
    assert_int_equal(count, 2);
    assert_true(groups[0].pass.share_low == 40 && groups[0].pass.share_high > 77.7);
    r.inactive_anon = F(8192);
    assert_int_equal(ebb__reclaim_groups(&r, groups, &count), 0);
    assert_true(groups[0].pass.share_low == 0 && groups[0].pass.share_high < 50);
}

static void test_ratio(void **state)
{
    const uint64_t gib = (UINT64_C(1) << 30) / 4096;

    (void)state;
    assert_int_equal(ebb__reclaim_ratio(gib / 2 - 1, gib / 2, 4096), 1);
    assert_int_equal(ebb__reclaim_ratio(gib / 2, gib / 2, 4096), 3);
    assert_int_equal(ebb__reclaim_ratio(gib, 9 * gib, 4096), 10);
    assert_int_equal(ebb__reclaim_ratio(0, 100 * gib, 4096), 31);
    assert_int_equal(ebb__reclaim_ratio(0, gib / 16, 65536), 3);
    assert_true(ebb__reclaim_is_short(99, 100, 4096));
    assert_false(ebb__reclaim_is_short(100, 100, 4096));
    assert_false(ebb__reclaim_is_short(gib, 3 * gib, 4096));
}

static struct ebb_zone zone_of(uint64_t free, uint64_t min, uint64_t low, uint64_t reserve)
{
    struct ebb_zone zone;

    memset(&zone, 0, sizeof(zone));
    zone.free = F(free);
    zone.min = F(min);
    zone.low = F(low);
    zone.high = F(low + low - min);
    zone.managed = F(100000);
    zone.protection[1] = reserve;
    zone.protection_count = 2;
    return zone;
}

static void test_zones(void **state)
{
    struct ebb_zone zone = zone_of(1000, 100, 125, 300);
    struct ebb_reclaim_zone judged;
    static struct ebb_node node;
    uint64_t to_kswapd;
    uint64_t to_direct;

    (void)state;
    assert_true(ebb__reclaim_zone(&zone, &judged));
    assert_int_equal(judged.reserve_pages, 300);
    assert_int_equal(judged.to_kswapd_pages, 575);
    assert_int_equal(judged.to_direct_pages, 600);
    assert_int_equal(judged.state, EBB_RECLAIM_CALM);
    zone.free = F(125);
    assert_true(ebb__reclaim_zone(&zone, &judged));
    assert_int_equal(judged.state, EBB_RECLAIM_KSWAPD);
    assert_int_equal(judged.to_kswapd_pages, -300);
    zone.free = F(100);
    assert_true(ebb__reclaim_zone(&zone, &judged));
    assert_int_equal(judged.state, EBB_RECLAIM_DIRECT);
    node.zone_count = 3;
    node.zones[0] = zone;
    node.zones[1] = zone_of(1000, 100, 125, 300);
    node.zones[2] = zone_of(5000, 1000, 1250, 0);
    assert_true(ebb__reclaim_distance(&node, &to_kswapd, &to_direct));
    assert_int_equal(to_kswapd, 575 + 3750);
    assert_int_equal(to_direct, 600 + 4000);
    /* Empty, or not known. */
    zone.managed = F(0);
    assert_false(ebb__reclaim_zone(&zone, &judged));
    zone = zone_of(1, 1, 1, 1);
    zone.low = ebb__fact_unknown(-ENODATA);
    assert_false(ebb__reclaim_zone(&zone, &judged));
    node.zone_count = 1;
    node.zones[0] = zone;
    assert_false(ebb__reclaim_distance(&node, &to_kswapd, &to_direct));
}

static void test_blocks(void **state)
{
    static struct ebb_buddyinfo info;
    struct ebb_reclaim_blocks blocks;

    (void)state;
    info.zone_count = 3;
    info.zones[0] = (struct ebb_buddy_zone){.node = 0, .order_count = 4, .blocks = {4, 0, 1, 0}};
    info.zones[1] = (struct ebb_buddy_zone){.node = 0, .order_count = 4, .blocks = {0, 2, 0, 3}};
    info.zones[2] = (struct ebb_buddy_zone){.node = 1, .order_count = 4, .blocks = {0, 0, 0, 0}};
    assert_true(ebb__reclaim_blocks(&info, 0, 2, &blocks));
    assert_int_equal(blocks.free_pages, 4 + 4 + 4 + 24);
    assert_int_equal(blocks.count, 1 + 6);
    assert_true(blocks.unusable_share > 22.2 && blocks.unusable_share < 22.3);
    assert_true(ebb__reclaim_blocks(&info, 0, 0, &blocks));
    assert_int_equal(blocks.count, 36);
    assert_true(blocks.unusable_share == 0);
    assert_true(ebb__reclaim_blocks(&info, 1, 3, &blocks));
    assert_true(blocks.count == 0 && blocks.unusable_share == 100);
    assert_false(ebb__reclaim_blocks(&info, 0, 4, &blocks));
    assert_false(ebb__reclaim_blocks(&info, 2, 0, &blocks));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_of_a_cgroup),
        cmocka_unit_test(test_cache_trim),
        cmocka_unit_test(test_rules_of_a_node),
        cmocka_unit_test(test_generations),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_passes),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_ratio),
        cmocka_unit_test(test_zones),
        cmocka_unit_test(test_blocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
