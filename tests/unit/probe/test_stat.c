/* SPDX-License-Identifier: MIT
 *
 * /proc/PID/stat with names of any kind, damaged lines, and facts of a host.
 */
#include "test_probe.h"

#include <errno.h>
#include <unistd.h>

#include "probe/probe.h"

/* Fields 3 and 4 to 41 behind the name, so that each has its own number. */
#define REST                                                                                                 \
    " S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 -18 -19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 "  \
    "38 39 40 41 42\n"

static int parse(const char *text, struct ebb_stat *ret_stat)
{
    return ebb__stat_parse(text, strlen(text), ret_stat);
}

static void test_names(void **state)
{
    static const char *const NAMES[] = {"plain",     "two words",          ")", "a) S 1 2 (b",
                                        "new\nline", "gr\xc3\xbc\xc3\x9f", ""};

    (void)state;
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        char text[512];
        struct ebb_stat stat;

        snprintf(text, sizeof(text), "77 (%s)" REST, NAMES[i]);
        assert_int_equal(parse(text, &stat), 0);
        assert_int_equal(stat.pid, 77);
        assert_string_equal(stat.name, NAMES[i]);
        assert_int_equal(stat.state, 'S');
        assert_int_equal(stat.ppid, 4);
        assert_int_equal(stat.minor_faults, 10);
        assert_int_equal(stat.major_faults, 12);
        assert_int_equal(stat.user_ticks, 14);
        assert_int_equal(stat.priority, -18);
        assert_int_equal(stat.nice, -19);
        assert_int_equal(stat.thread_count, 20);
        assert_int_equal(stat.start_ticks, 22);
        assert_int_equal(stat.policy, 41);
    }
}

static void test_damaged(void **state)
{
    static const char *const TEXTS[] = {
        "",
        "\n",
        "77",
        "77 (a)",
        "77 (a) S\n",
        "(a)" REST,
        "77 a" REST,
        "99999999999 (a)" REST,
        "77 (a) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27\n",
        "77 (a) S 99999999999 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22\n"};
    struct ebb_stat stat;
    char text[] = "77 (a)" REST;
    char wide[512];

    (void)state;
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++)
        assert_int_equal(parse(TEXTS[i], &stat), -EBADMSG);
    /* A parent that is no process id. */
    snprintf(wide, sizeof(wide), "77 (a) S 99999999999%s", strstr(REST, " 5 6"));
    assert_int_equal(parse(wide, &stat), -EBADMSG);
    /* A line that is cut off anywhere proves nothing. */
    for (size_t len = 0; len + 1 < sizeof(text); len++)
        assert_int_equal(ebb__stat_parse(text, len, &stat), len == sizeof(text) - 1 ? 0 : -EBADMSG);
}

static void test_self(void **state)
{
    struct ebb_stat stat;
    struct ebb_stat thread;

    (void)state;
    assert_int_equal(ebb__stat_read("", getpid(), &stat), 0);
    assert_int_equal(stat.pid, getpid());
    assert_int_equal(stat.ppid, getppid());
    assert_int_equal(ebb__stat_read_thread("", getpid(), getpid(), &thread), 0);
    assert_int_equal(thread.start_ticks, stat.start_ticks);
    assert_int_equal(ebb__stat_read("/no/such/tree", 1, &stat), -ENOENT);
}

static void test_host(void **state)
{
    static const char TEXT[] =
        "ebb capture 1\nhost: db1\nkernel: 5.8.3-arm64\nmachine: aarch64\npage_bytes: 65536\n";
    struct ebb_host host;

    (void)state;
    assert_int_equal(ebb__host_parse(TEXT, sizeof(TEXT) - 1, &host), 0);
    assert_int_equal(host.page_bytes.value, 65536);
    assert_false(host.clock_ticks.known);
    assert_string_equal(host.machine, "aarch64");
    assert_true(ebb__host_kernel_is(&host, 5, 8));
    assert_true(ebb__host_kernel_is(&host, 4, 19));
    assert_false(ebb__host_kernel_is(&host, 5, 9));
    assert_false(ebb__host_kernel_is(&host, 6, 0));
    assert_int_equal(ebb__host_parse("host: db1\n", 10, &host), -EBADMSG);
    ebb__host_read("", &host);
    assert_int_equal(host.page_bytes.value, sysconf(_SC_PAGESIZE));
    assert_true(ebb__host_kernel_is(&host, 3, 0));
    ebb__host_read("/no/such/tree", &host);
    assert_false(host.page_bytes.known); /* another machine's, and not taken for ours */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_self),
        cmocka_unit_test(test_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
