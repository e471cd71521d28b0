/* SPDX-License-Identifier: MIT
 *
 * Tests of the host's counters: pressure, /proc/stat, uptime, load averages, meminfo and vmstat.
 */
#include "test_probe.h"

#include <errno.h>

#include "probe/probe.h"

static int parse_pressure(const char *text, struct ebb_pressure *pressure)
{
    size_t len = strlen(text);
    char *copy = test_copy(text, len);
    int err = ebb__pressure_parse(copy, len, pressure);

    free(copy);
    return err;
}

static void test_pressure(void **state)
{
    struct ebb_pressure p;

    (void)state;
    assert_int_equal(parse_pressure("some avg10=24.59 avg60=73.18 avg300=80.07 total=5738486282\n"
                                    "full avg10=0.00 avg60=1.05 avg300=100.00 total=0\n",
                                    &p),
                     0);
    assert_int_equal(p.some.avg10_hundredths.value, 2459);
    assert_int_equal(p.some.avg60_hundredths.value, 7318);
    assert_int_equal(p.some.avg300_hundredths.value, 8007);
    assert_int_equal(p.some.total_us.value, 5738486282);
    assert_true(p.full.avg10_hundredths.known && p.full.avg10_hundredths.value == 0);
    assert_int_equal(p.full.avg60_hundredths.value, 105);
    assert_int_equal(p.full.avg300_hundredths.value, 10000);
}

static void test_pressure_of_other_kernels(void **state)
{
    struct ebb_pressure p;

    (void)state;
    /* Processors have no "full" before 5.13; lines, words and orders to come. */
    assert_int_equal(parse_pressure("some avg10=1.00 avg60=0.00 avg300=0.00 total=7\n", &p), 0);
    assert_int_equal(p.some.total_us.value, 7);
    assert_false(p.full.total_us.known);
    assert_int_equal(p.full.total_us.err, -ENODATA);
    assert_int_equal(
        parse_pressure("idle avg10=9.00 total=9\nsome total=3 avg5=1.00 avg10=2.00 max=x\n\nmore\n", &p), 0);
    assert_int_equal(p.some.total_us.value, 3);
    assert_int_equal(p.some.avg10_hundredths.value, 200);
    assert_false(p.some.avg60_hundredths.known);
    /* Damage. */
    assert_int_equal(parse_pressure("", &p), -EBADMSG);
    assert_int_equal(parse_pressure("some avg10=1.00 total=7", &p), -EBADMSG);
    assert_int_equal(parse_pressure("some avg10=1.0 avg60=1 avg300=.00 total=-7\n", &p), -EBADMSG);
    assert_int_equal(parse_pressure("some avg10=1.00x total=7 \n", &p), 0);
    assert_false(p.some.avg10_hundredths.known);
    assert_int_equal(p.some.total_us.value, 7);
    assert_int_equal(parse_pressure("some total=99999999999999999999 avg10=184467440737095517.00\n", &p),
                     -EBADMSG);
    assert_int_equal(ebb__pressure_read("/nonexistent", "/proc/pressure/memory", &p), -ENOENT);
    assert_int_equal(p.full.avg300_hundredths.err, -ENOENT);
}

static int parse_stat(const char *text, struct ebb_cpu_stat *stat)
{
    size_t len = strlen(text);
    char *copy = test_copy(text, len);
    int err = ebb__cpu_stat_parse(copy, len, stat);

    free(copy);
    return err;
}

static void test_cpu_stat(void **state)
{
    struct ebb_cpu_stat s;

    (void)state;
    assert_int_equal(
        parse_stat("cpu  1 2 3 4 5 6 7 8 9 10 11\ncpu0 9 9 9 9\nintr 77 1 2 3\nctxt 88\nbtime 99\n"
                   "processes 5\nprocs_running 2\nprocs_blocked 1\nsoftirq 1 2\n",
                   &s),
        0);
    assert_int_equal(s.user_ticks.value, 1);
    assert_int_equal(s.idle_ticks.value, 4);
    assert_int_equal(s.steal_ticks.value, 8);
    assert_int_equal(s.guest_nice_ticks.value, 10);
    assert_int_equal(s.interrupts.value, 77);
    assert_int_equal(s.context_switches.value, 88);
    assert_int_equal(s.boot_time_s.value, 99);
    assert_int_equal(s.forks.value, 5);
    assert_int_equal(s.running.value, 2);
    assert_int_equal(s.blocked.value, 1);
    /* Numbers that a kernel does not have are unknown, not 0. */
    assert_int_equal(parse_stat("ctxt 1\ncpu  1 2 3 4\n", &s), 0);
    assert_true(s.idle_ticks.known && s.context_switches.known);
    assert_false(s.iowait_ticks.known || s.running.known);
    assert_int_equal(parse_stat("cpu  1 2 3 4 x 6\n", &s), 0);
    assert_false(s.iowait_ticks.known || s.irq_ticks.known);
    assert_int_equal(parse_stat("", &s), -EBADMSG);
    assert_int_equal(parse_stat("cpu  1 2 3\n", &s), -EBADMSG);
    assert_int_equal(parse_stat("cpu0 1 2 3 4\nctxt 1\n", &s), -EBADMSG);
    assert_int_equal(parse_stat("cpu  1 2 3 4", &s), -EBADMSG);
    assert_int_equal(ebb__cpu_stat_read("/nonexistent", &s), -ENOENT);
    assert_int_equal(s.forks.err, -ENOENT);
}

static void test_load(void **state)
{
    struct ebb_load load = {0};

    (void)state;
    assert_int_equal(ebb__load_parse_uptime("17515.93 17508.49\n", 18, &load), 0);
    assert_int_equal(load.uptime_ms.value, 17515930);
    assert_int_equal(ebb__load_parse_uptime("17515.9 17508.49\n", 17, &load), -EBADMSG);
    assert_int_equal(ebb__load_parse_uptime("17515.93", 8, &load), -EBADMSG);
    assert_int_equal(ebb__load_parse_uptime("", 0, &load), -EBADMSG);
    assert_int_equal(ebb__load_parse_averages("38.21 39.65 25.15 60/230 30171\n", 31, &load), 0);
    assert_int_equal(load.avg1_hundredths.value, 3821);
    assert_int_equal(load.avg5_hundredths.value, 3965);
    assert_int_equal(load.avg15_hundredths.value, 2515);
    assert_int_equal(load.runnable.value, 60);
    assert_int_equal(load.tasks.value, 230);
    assert_int_equal(ebb__load_parse_averages("38.21 39.65 25.15 60\n", 21, &load), -EBADMSG);
    ebb__load_read("/nonexistent", &load);
    assert_false(load.uptime_ms.known || load.tasks.known);
}

static void test_live(void **state)
{
    struct ebb_cpu_stat s;
    struct ebb_load load;
    struct ebb_meminfo info;
    struct ebb_vmstat vm;

    (void)state;
    assert_int_equal(ebb__cpu_stat_read("", &s), 0);
    assert_true(s.user_ticks.known && s.context_switches.value > 0 && s.running.value > 0);
    ebb__load_read("", &load);
    assert_true(load.uptime_ms.value > 0 && load.tasks.value > 0);
    assert_int_equal(ebb__meminfo_read("", &info), 0);
    assert_true(info.mem_total_bytes.value >= info.mem_free_bytes.value);
    assert_int_equal(info.mem_total_bytes.value % 1024, 0);
    assert_int_equal(ebb__vmstat_read("", &vm), 0);
    assert_true(vm.pgfault.value > 0 && vm.pgscan_kswapd.known);
}

static void test_keyed(void **state)
{
    static const struct {
        const char *text;
        int err;
        bool known;
        uint64_t bytes;
    } ROWS[] = {
        {"MemTotal:       5 kB\n", 0, true, 5120},
        {"MemTotal: 5\n", 0, true, 5},
        {"MemTotal:\t5 kB\nMemTotal: 6 kB\n", 0, true, 5120},
        {"MemFree: 1 kB\nMemTotal: -5 kB\n", 0, false, 0},
        {"MemFree: 1 kB\nMemTotal: 99999999999999999999 kB\n", 0, false, 0},
        {"MemFree: 1 kB\nMemTotal: 18014398509481984 kB\n", 0, false, 0},
        {"MemFree: 1 kB\nMemTotal: 5 kB", 0, false, 0},
        {"MemFree: 1 kB\nMemTotalX: 5 kB\nMemTota: 5 kB\n", 0, false, 0},
        {"MemTotal: 5 kB", -EBADMSG, false, 0},
        {"\n\n: 1\nnothing\n", -EBADMSG, false, 0},
        {"", -EBADMSG, false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct ebb_meminfo info;
        size_t len = strlen(ROWS[i].text);
        char *copy = test_copy(ROWS[i].text, len);

        assert_int_equal(ebb__meminfo_parse(copy, len, &info), ROWS[i].err);
        free(copy);
        assert_int_equal(info.mem_total_bytes.known, ROWS[i].known);
        if (ROWS[i].known)
            assert_int_equal(info.mem_total_bytes.value, ROWS[i].bytes);
        else
            assert_int_equal(info.mem_total_bytes.err, -ENODATA);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pressure), cmocka_unit_test(test_pressure_of_other_kernels),
        cmocka_unit_test(test_cpu_stat), cmocka_unit_test(test_load),
        cmocka_unit_test(test_live),     cmocka_unit_test(test_keyed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
