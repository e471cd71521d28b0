/* SPDX-License-Identifier: MIT
 *
 * Tests of a host's facts: manifests whole, damaged and absent, and this host.
 */
#include "test_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/probe.h"

static int parse(const char *text, struct ebb_host *host)
{
    size_t len = strlen(text);
    char *copy = test_copy(text, len);
    int err = ebb__host_parse(copy, len, host);

    free(copy);
    return err;
}

static void test_manifest(void **state)
{
    struct ebb_host host;

    (void)state;
    assert_int_equal(parse("ebb capture 1\n"
                           "time: 2026-11-24T15:58:00Z\n"
                           "host: db1\n"
                           "kernel: 6.1.0-18-arm64\n"
                           "machine: aarch64\n"
                           "page_bytes: 65536\n"
                           "clock_ticks: 100\n"
                           "processors: 4\n"
                           "host: a second one does not count\n"
                           "left out: proc/1/maps: page_bytes: 1\n",
                           &host),
                     0);
    assert_int_equal(host.page_bytes.value, 65536);
    assert_int_equal(host.clock_ticks.value, 100);
    assert_int_equal(host.processors.value, 4);
    assert_string_equal(host.name, "db1");
    assert_string_equal(host.release, "6.1.0-18-arm64");
    assert_string_equal(host.machine, "aarch64");
    assert_string_equal(host.time, "2026-11-24T15:58:00Z");
}

static void test_damage(void **state)
{
    static const struct {
        const char *line;
        bool known;
        uint64_t page_bytes;
    } ROWS[] = {
        {"page_bytes: 4096\n", true, 4096},
        {"page_bytes: 16384\n", true, 16384},
        {"page_bytes: 2097152\n", true, 1 << 21},
        {"page_bytes: 4096", false, 0},
        {"page_bytes: 0\n", false, 0},
        {"page_bytes: 5000\n", false, 0},
        {"page_bytes: 2048\n", false, 0},
        {"page_bytes: 4194304\n", false, 0},
        {"page_bytes: -4096\n", false, 0},
        {"page_bytes:\n", false, 0},
        {"", false, 0},
    };
    struct ebb_host host;

    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        char text[256];

        snprintf(text, sizeof(text), "ebb capture 1\nhost: a\x1b[1m\n%s", ROWS[i].line);
        assert_int_equal(parse(text, &host), 0);
        assert_int_equal(host.page_bytes.known, ROWS[i].known);
        if (ROWS[i].known)
            assert_int_equal(host.page_bytes.value, ROWS[i].page_bytes);
        else
            assert_true(host.page_bytes.err != 0);
        assert_string_equal(host.name, "a?[1m");
        assert_false(host.clock_ticks.known);
    }
    assert_int_equal(parse("", &host), -EBADMSG);
    assert_int_equal(parse("ebb capture 2\npage_bytes: 4096\n", &host), -EBADMSG);
    assert_int_equal(parse("ebb capture 1\nclock_ticks: 0\nprocessors: 0\n", &host), 0);
    assert_false(host.clock_ticks.known);
    assert_false(host.processors.known);
}

static void test_long_texts_are_cut(void **state)
{
    char text[1024];
    struct ebb_host host;
    int len = snprintf(text, sizeof(text), "ebb capture 1\nhost: ");

    (void)state;
    memset(text + len, 'x', 500);
    memcpy(text + len + 500, "\n", 2);
    assert_int_equal(parse(text, &host), 0);
    assert_int_equal(strlen(host.name), EBB_HOST_TEXT - 1);
}

static void test_live(void **state)
{
    struct ebb_host host;

    (void)state;
    ebb__host_read("", &host);
    assert_int_equal(host.page_bytes.value, sysconf(_SC_PAGESIZE));
    assert_int_equal(host.clock_ticks.value, sysconf(_SC_CLK_TCK));
    assert_int_equal(host.processors.value, sysconf(_SC_NPROCESSORS_ONLN));
    assert_true(host.release[0] != '\0');
    assert_true(host.machine[0] != '\0');
    assert_true(ebb__host_is_live("") && ebb__host_is_live("/") && ebb__host_is_live("//"));
    assert_false(ebb__host_is_live("/tree") || ebb__host_is_live("."));
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void test_tree_without_a_manifest(void **state)
{
    static const char *const NAMES[] = {
        "proc/sys/kernel/osrelease", "proc/sys/kernel", "proc/sys", "proc/stat", "proc", "."};
    char folder[] = "/tmp/ebb-host-XXXXXX";
    char path[512];
    struct ebb_host host;

    (void)state;
    assert_non_null(mkdtemp(folder));
    for (unsigned i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder,
                 (const char *[]){"proc", "proc/sys", "proc/sys/kernel"}[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    write_file(folder, "proc/stat", "cpu  1 2 3 4\ncpu0 1 2 3 4\ncpu1 1 2 3 4\ncpufreq 1\nintr 1\n");
    write_file(folder, "proc/sys/kernel/osrelease", "4.18.0-553.el8_10.x86_64\n");
    ebb__host_read(folder, &host);
    assert_false(host.page_bytes.known);
    assert_int_equal(host.page_bytes.err, -ENOENT);
    assert_int_equal(host.processors.value, 2);
    assert_string_equal(host.release, "4.18.0-553.el8_10.x86_64");
    assert_true(ebb__host_kernel_is(&host, 4, 18) && ebb__host_kernel_is(&host, 3, 99));
    assert_false(ebb__host_kernel_is(&host, 4, 19) || ebb__host_kernel_is(&host, 5, 0));
    for (unsigned i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, NAMES[i]);
        assert_int_equal(remove(NAMES[i][0] == '.' ? folder : path), 0);
    }
    ebb__host_read(folder, &host);
    assert_false(host.page_bytes.known || host.processors.known || ebb__host_kernel_is(&host, 0, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manifest),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_long_texts_are_cut),
        cmocka_unit_test(test_live),
        cmocka_unit_test(test_tree_without_a_manifest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
