/* SPDX-License-Identifier: MIT
 *
 * Tests of rates: wraps and new beginnings, reclaim of old and new kernels, efficiencies that stay below 100 %.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants these four before it */
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/rates.h"

#define F(value) ebb__fact(value)

static void test_rises(void **state)
{
    static const struct {
        uint64_t before, after;
        bool known;
        uint64_t rise;
    } ROWS[] = {
        {0, 0, true, 0},
        {5, 9, true, 4},
        {UINT64_MAX - 1, 3, true, 5},
        {0, UINT64_MAX / 2, true, UINT64_MAX / 2},
        {9, 5, false, 0},
        {1000000, 0, false, 0},
        {0, UINT64_MAX, false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct ebb_fact rise = ebb__rates_rise(F(ROWS[i].before), F(ROWS[i].after));
        struct ebb_fact clock = ebb__rates_clock(F(ROWS[i].before), F(ROWS[i].after));

        assert_int_equal(rise.known, ROWS[i].known);
        assert_true(clock.known);
        assert_int_equal(clock.value, ROWS[i].known ? ROWS[i].rise : 0);
        if (ROWS[i].known)
            assert_int_equal(rise.value, ROWS[i].rise);
        else
            assert_int_equal(rise.err, -ESTALE);
    }
    assert_int_equal(ebb__rates_rise(ebb__fact_unknown(-ENODATA), F(1)).err, -ENODATA);
    assert_int_equal(ebb__rates_rise(F(1), ebb__fact_unknown(-EACCES)).err, -EACCES);
    assert_int_equal(ebb__rates_clock(F(1), ebb__fact_unknown(-EACCES)).err, -EACCES);
}

static void test_shares(void **state)
{
    struct ebb_share share;

    (void)state;
    share = ebb__rates_share(F(1), F(4), "none");
    assert_true(share.known && fabs(share.percent - 25) < 1e-9);
    share = ebb__rates_share(F(5), F(4), "none");
    assert_true(share.known && share.percent == 100);
    share = ebb__rates_share(F(5), F(0), "none");
    assert_true(share.known && share.percent == 100);
    share = ebb__rates_share(F(0), F(0), "none");
    assert_false(share.known);
    assert_string_equal(share.why, "none");
    share = ebb__rates_share(ebb__fact_unknown(-ENODATA), F(4), "none");
    assert_false(share.known);
    assert_string_equal(share.why, "this kernel does not have it");
}

/* All lines of a kernel since 6.15, zero. */
static struct ebb_vmstat new_kernel(void)
{
    struct ebb_vmstat vm;

    memset(&vm, 0, sizeof(vm));
#define EBB_VMSTAT(name) vm.name = F(0);
#include "probe/vmstat.def"
#undef EBB_VMSTAT
    vm.workingset_refault = ebb__fact_unknown(-ENODATA);
    return vm;
}

static struct ebb_vmstat old_kernel(void)
{
    struct ebb_vmstat vm = new_kernel();
    struct ebb_fact none = ebb__fact_unknown(-ENODATA);

    vm.pgscan_anon = vm.pgscan_file = vm.pgsteal_anon = vm.pgsteal_file = none;
    vm.pgscan_khugepaged = vm.pgscan_proactive = vm.pgsteal_khugepaged = vm.pgsteal_proactive = none;
    vm.workingset_refault_anon = vm.workingset_refault_file = none;
    vm.workingset_refault = F(0);
    return vm;
}

static void test_both_countings(void **state)
{
    struct ebb_vmstat before = new_kernel();
    struct ebb_vmstat after = new_kernel();
    struct ebb_reclaim_rates r;

    (void)state;
    after.pgscan_kswapd = F(600);
    after.pgscan_direct = F(300);
    after.pgscan_khugepaged = F(60);
    after.pgscan_proactive = F(40);
    after.pgsteal_kswapd = F(500);
    after.pgsteal_direct = F(100);
    after.pgsteal_khugepaged = F(100);
    after.pgsteal_proactive = F(50);
    after.pgscan_anon = F(1000);
    after.pgscan_file = F(3000);
    after.pgsteal_anon = F(100);
    after.pgsteal_file = F(2900);
    after.allocstall_normal = F(7);
    after.allocstall_movable = F(5);
    after.workingset_refault_file = F(11);
    after.pgscan_direct_throttle = F(1000000); /* events, not pages */
    ebb__rates_reclaim(&before, &after, &r);
    assert_true(r.by_kind);
    assert_int_equal(r.global.scan.value, 1000);
    assert_int_equal(r.global.steal.value, 750);
    assert_int_equal(r.other.value, 100);
    assert_int_equal(r.all.scan.value, 4000);
    assert_int_equal(r.all.steal.value, 3000);
    assert_int_equal(r.cgroups.scan.value, 3000);
    assert_int_equal(r.cgroups.steal.value, 2250);
    assert_true(fabs(r.global.efficiency.percent - 75) < 1e-9);
    assert_true(fabs(r.all.efficiency.percent - 75) < 1e-9);
    assert_true(fabs(r.anon.efficiency.percent - 10) < 1e-9);
    assert_true(fabs(r.cgroup_share.percent - 75) < 1e-9);
    assert_int_equal(r.stalls.value, 12);
    assert_int_equal(r.refaults.value, 11);
}

static void test_old_kernels(void **state)
{
    struct ebb_vmstat before = old_kernel();
    struct ebb_vmstat after = old_kernel();
    struct ebb_reclaim_rates r;

    (void)state;
    after.pgscan_kswapd = F(100);
    after.pgsteal_kswapd = F(80);
    after.workingset_refault = F(3);
    ebb__rates_reclaim(&before, &after, &r);
    assert_false(r.by_kind);
    assert_int_equal(r.global.scan.value, 100);
    assert_true(fabs(r.global.efficiency.percent - 80) < 1e-9);
    assert_false(r.all.scan.known || r.cgroups.scan.known || r.anon.efficiency.known || r.cgroup_share.known);
    assert_int_equal(r.all.scan.err, -ENODATA);
    assert_false(r.other.known);
    assert_int_equal(r.refaults.value, 3);
    /* Since boot: what stands there. */
    ebb__rates_reclaim(NULL, &after, &r);
    assert_int_equal(r.global.steal.value, 80);
    /* An idle host has no efficiency, rather than one of 0 or 100 %. */
    ebb__rates_reclaim(&after, &after, &r);
    assert_int_equal(r.global.scan.value, 0);
    assert_false(r.global.efficiency.known);
    assert_string_equal(r.global.efficiency.why, "no page was looked at");
    /* A counter that began anew takes its sum with it. */
    ebb__rates_reclaim(&after, &before, &r);
    assert_false(r.global.scan.known);
    assert_int_equal(r.global.scan.err, -ESTALE);
}

/* Whatever the looks fall between, no efficiency and no share leaves 0 to 100. */
static void test_bounds(void **state)
{
    unsigned seed = 12345;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        struct ebb_vmstat before = new_kernel();
        struct ebb_vmstat after = new_kernel();
        struct ebb_reclaim_rates r;

#define RANDOM()         F((uint64_t)((unsigned)rand_r(&seed) % 40))
#define EBB_VMSTAT(name) after.name = RANDOM();
#include "probe/vmstat.def"
#undef EBB_VMSTAT
        ebb__rates_reclaim(i % 2 == 0 ? NULL : &before, &after, &r);
        const struct ebb_share shares[] = {r.global.efficiency, r.cgroups.efficiency, r.all.efficiency,
                                           r.anon.efficiency,   r.file.efficiency,    r.cgroup_share};
        for (unsigned j = 0; j < sizeof(shares) / sizeof(shares[0]); j++)
            assert_true(!shares[j].known || (shares[j].percent >= 0 && shares[j].percent <= 100));
        assert_true(r.cgroups.scan.value <= r.all.scan.value);
    }
}

static void test_processors(void **state)
{
    struct ebb_cpu_stat before;
    struct ebb_cpu_stat after;
    struct ebb_cpu_rates r;

    (void)state;
    memset(&before, 0, sizeof(before));
    before.user_ticks = before.nice_ticks = before.system_ticks = before.idle_ticks = before.iowait_ticks =
        before.irq_ticks = before.softirq_ticks = before.steal_ticks = before.guest_ticks =
            before.guest_nice_ticks = F(100);
    after = before;
    after.user_ticks = F(140); /* of which 10 were a guest's */
    after.guest_ticks = F(110);
    after.system_ticks = F(110);
    after.irq_ticks = F(105);
    after.softirq_ticks = F(105);
    after.idle_ticks = F(130);
    after.iowait_ticks = F(99); /* it does step back */
    after.steal_ticks = F(110);
    ebb__rates_cpu(&before, &after, &r);
    assert_true(fabs(r.user.percent - 30) < 1e-9);
    assert_true(fabs(r.guest.percent - 10) < 1e-9);
    assert_true(fabs(r.system.percent - 20) < 1e-9);
    assert_true(fabs(r.idle.percent - 30) < 1e-9);
    assert_true(r.iowait.known && r.iowait.percent == 0);
    assert_true(fabs(r.steal.percent - 10) < 1e-9);
    ebb__rates_cpu(&after, &after, &r);
    assert_false(r.user.known);
    assert_string_equal(r.user.why, "no time has passed");
    after.iowait_ticks = ebb__fact_unknown(-ENODATA);
    ebb__rates_cpu(NULL, &after, &r);
    assert_true(r.user.known);
    assert_false(r.iowait.known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rises),          cmocka_unit_test(test_shares),
        cmocka_unit_test(test_both_countings), cmocka_unit_test(test_old_kernels),
        cmocka_unit_test(test_bounds),         cmocka_unit_test(test_processors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
