/* SPDX-License-Identifier: MIT
 *
 * Tests of the parser of /proc/PID/status.
 */
#include "test_probe.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/probe.h"

static int parse(const char *text, struct ebb_status *status)
{
    size_t len = strlen(text);
    char *copy = test_copy(text, len);
    int err = ebb__status_parse(copy, len, status);

    free(copy);
    return err;
}

static void test_names(void **state)
{
    static const struct {
        const char *line;
        const char *name; /* NULL: absent */
    } ROWS[] = {
        {"Name:\tmariadbd\n", "mariadbd"},
        {"Name:\t\n", ""},
        {"Name:\t two words \n", " two words "},
        {"Name:\ta\\nVmRSS:\t1 kB\n", "a\nVmRSS:\t1 kB"},
        {"Name:\ta\\\\n\n", "a\\n"},
        {"Name:\t\\\n", "\\"},
        {"Name:\t\\x\n", "\\x"},
        {"Name:\t(sd-pam)\n", "(sd-pam)"},
        {"Name:\tk:v\n", "k:v"},
        {"Name:\tkworker/u8:1-events_unbound-and-a-long-tail-up-to-sixty-three-by\n",
         "kworker/u8:1-events_unbound-and-a-long-tail-up-to-sixty-three-by"},
        {"Name: blank\nThreads:\t1\n", NULL},
        {"Name:\tcut off\\n", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct ebb_status status;
        int err = parse(ROWS[i].line, &status);

        if (ROWS[i].name == NULL || strlen(ROWS[i].name) >= EBB_STATUS_NAME_BYTES) {
            assert_true(err == -EBADMSG || !ebb__status_has(&status, EBB_STATUS_NAME));
            continue;
        }
        assert_int_equal(err, 0);
        assert_true(ebb__status_has(&status, EBB_STATUS_NAME));
        assert_string_equal(status.name, ROWS[i].name);
        assert_false(ebb__status_has(&status, EBB_STATUS_VM_RSS));
    }
}

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        bool present;
        uint64_t bytes;
    } ROWS[] = {
        {"VmRSS:\t  100584 kB\n", true, 100584 * 1024UL},
        {"VmRSS:\t       0 kB\n", true, 0},
        {"VmRSS:\t5 kB\nVmRSS:\t6 kB\n", true, 5 * 1024},
        {"VmRSS:\t18014398509481983 kB\n", true, 18014398509481983UL * 1024},
        {"VmRSS:\t18014398509481984 kB\n", false, 0},
        {"VmRSS:\t99999999999999999999 kB\n", false, 0},
        {"VmRSS:\t5 MB\n", false, 0},
        {"VmRSS:\t5\n", false, 0},
        {"VmRSS:\t-5 kB\n", false, 0},
        {"VmRSS:\t\n", false, 0},
        {"VmRSS\t5 kB\n", false, 0},
        {"XVmRSS:\t5 kB\n", false, 0},
        {"VmRSSX:\t5 kB\n", false, 0},
        {" VmRSS:\t5 kB\n", false, 0},
        {"VmRSS:\t5 kB", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        char text[256];
        struct ebb_status status;

        snprintf(text, sizeof(text), "Threads:\t3\n%s", ROWS[i].text);
        assert_int_equal(parse(text, &status), 0);
        assert_true(ebb__status_has(&status, EBB_STATUS_THREADS));
        assert_int_equal(status.threads, 3);
        assert_int_equal(ebb__status_has(&status, EBB_STATUS_VM_RSS), ROWS[i].present);
        if (ROWS[i].present)
            assert_int_equal(status.vm_rss_bytes, ROWS[i].bytes);
    }
}

static void test_namespaces_and_signals(void **state)
{
    static const struct {
        const char *text;
        uint64_t ns_pid; /* 0: absent */
        bool has_blocked;
        uint64_t blocked;
    } ROWS[] = {
        {"NSpid:\t24786\n", 24786, false, 0},
        {"NSpid:\t24786\t31\t1\n", 1, false, 0},
        {"NSpid:\t24786\t31\nNSpid:\t5\n", 31, false, 0},
        {"NSpid:\t\n", 0, false, 0},
        {"NSpid:\t24786\tx\n", 0, false, 0},
        {"NSpid:\t24786\t99999999999999999999\n", 0, false, 0},
        {"NSpids:\t24786\n", 0, false, 0},
        {"SigBlk:\t0000000000000000\n", 0, true, 0},
        {"SigBlk:\tfffffffe7ffbfeff\n", 0, true, UINT64_C(0xfffffffe7ffbfeff)},
        {"SigBlk:\t10000000000000000\n", 0, false, 0},
        {"SigBlk:\tx\n", 0, false, 0},
        {"SigIgn:\t0000000000000001\n", 0, false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        char text[256];
        struct ebb_status status;

        snprintf(text, sizeof(text), "Threads:\t3\n%s", ROWS[i].text);
        assert_int_equal(parse(text, &status), 0);
        assert_int_equal(ebb__status_has(&status, EBB_STATUS_NS_PID), ROWS[i].ns_pid != 0);
        if (ROWS[i].ns_pid != 0)
            assert_int_equal(status.ns_pid, ROWS[i].ns_pid);
        assert_int_equal(ebb__status_has(&status, EBB_STATUS_SIGNALS_BLOCKED), ROWS[i].has_blocked);
        if (ROWS[i].has_blocked)
            assert_true(status.signals_blocked == ROWS[i].blocked);
    }
}

static void test_nothing_known(void **state)
{
    struct ebb_status status = {.present = 42};

    (void)state;
    assert_int_equal(parse("", &status), -EBADMSG);
    assert_int_equal(parse("\n\n:\n::\n", &status), -EBADMSG);
    assert_int_equal(parse("Unknown:\t1\n", &status), -EBADMSG);
    assert_int_equal(status.present, 42);
}

static void test_fixtures(void **state)
{
    struct ebb_status status;

    (void)state;
    assert_int_equal(ebb__status_read(FIXTURES "/proc-mariadbd", 5141, &status), 0);
    assert_string_equal(status.name, "mariadbd");
    assert_int_equal(status.state, 'S');
    assert_int_equal(status.pid, 5141);
    assert_int_equal(status.uid_real, 102);
    assert_int_equal(status.vm_size_bytes, 8591084492UL * 1024);
    assert_int_equal(status.vm_rss_bytes, 100584 * 1024);
    assert_int_equal(status.rss_anon_bytes, 77240 * 1024);
    assert_int_equal(status.vm_pte_bytes, 440 * 1024);
    assert_int_equal(status.threads, 12);
    assert_true(ebb__status_has(&status, EBB_STATUS_VM_SWAP));
    assert_int_equal(status.vm_swap_bytes, 0);
    assert_int_equal(status.ns_pid, 5141);
    assert_int_equal(status.signals_blocked, 0x87007);

    assert_int_equal(ebb__status_read(FIXTURES "/proc-kthread", 2, &status), 0);
    assert_string_equal(status.name, "kthreadd");
    assert_false(ebb__status_has(&status, EBB_STATUS_VM_RSS));
    assert_false(ebb__status_has(&status, EBB_STATUS_VM_SWAP));
    assert_true(ebb__status_has(&status, EBB_STATUS_THREADS));
    assert_int_equal(ebb__status_read(FIXTURES "/proc-kthread", 3, &status), -ENOENT);
}

/* Ourselves, under a name that tries to look like another line. */
static void test_ourselves(void **state)
{
    struct ebb_status status;

    (void)state;
    assert_int_equal(prctl(PR_SET_NAME, "a\nVmRSS:\t1 \\"), 0);
    assert_int_equal(ebb__status_read("", getpid(), &status), 0);
    assert_string_equal(status.name, "a\nVmRSS:\t1 \\");
    assert_int_equal(status.pid, getpid());
    assert_int_equal(status.ppid, getppid());
    assert_int_equal(status.threads, 1);
    assert_true(status.vm_rss_bytes > 100 * 1024);
}

/* A captured tree may hold anything: a FIFO must not hang the reader, a line of 200 KB must not hide what
 * follows. */
static void test_odd_files(void **state)
{
    char root[] = "/tmp/ebb-probe-XXXXXX";
    char path[128];
    struct ebb_status status;
    FILE *file;

    (void)state;
    assert_non_null(mkdtemp(root));
    snprintf(path, sizeof(path), "%s/proc", root);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/proc/7", root);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/proc/7/status", root);

    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "Name:\tx\nGroups:\t");
    for (int i = 0; i < 40000; i++)
        fprintf(file, "%d ", i);
    fprintf(file, "\nVmRSS:\t7 kB\n");
    fclose(file);
    assert_int_equal(ebb__status_read(root, 7, &status), 0);
    assert_true(ebb__status_has(&status, EBB_STATUS_VM_RSS));
    assert_int_equal(status.vm_rss_bytes, 7 * 1024);

    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(ebb__status_read(root, 7, &status), -EBADMSG);

    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(ebb__status_read(root, 7, &status), -EISDIR);
    assert_int_equal(rmdir(path), 0);
    *strrchr(path, '/') = '\0';
    assert_int_equal(rmdir(path), 0);
    *strrchr(path, '/') = '\0';
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(root), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_namespaces_and_signals),
        cmocka_unit_test(test_nothing_known),
        cmocka_unit_test(test_fixtures),
        cmocka_unit_test(test_ourselves),
        cmocka_unit_test(test_odd_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
