/* SPDX-License-Identifier: MIT
 *
 * Texts with a name and a number on each line, facts that are not known, and numbers in files.
 */
#include "test_probe.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "probe/probe.h"

struct facts {
    struct ebb_fact free_bytes;
    struct ebb_fact pages;
    struct ebb_fact missing;
};

static const struct ebb_keyed_row ROWS[] = {
    {"MemFree", offsetof(struct facts, free_bytes)},
    {"Active(anon)", offsetof(struct facts, pages)},
    {"NoSuch", offsetof(struct facts, missing)},
};

static int parse(const char *text, struct facts *ret_facts)
{
    return ebb__keyed_parse(text, strlen(text), ROWS, sizeof(ROWS) / sizeof(ROWS[0]), ret_facts);
}

static void test_both_forms(void **state)
{
    struct facts facts;

    (void)state;
    assert_int_equal(parse("MemTotal: 9 kB\nMemFree:       12 kB\nActive(anon) 7\n", &facts), 0);
    assert_true(facts.free_bytes.known);
    assert_int_equal(facts.free_bytes.value, 12 * 1024);
    assert_int_equal(facts.pages.value, 7);
    assert_false(facts.missing.known);
    assert_int_equal(facts.missing.err, -ENODATA);
}

static void test_damaged(void **state)
{
    static const struct {
        const char *text;
        int result;
        bool known;
        uint64_t bytes;
    } ROWS_OF[] = {
        {"", -EBADMSG, false, 0},
        {"MemFree: 12 kB", -EBADMSG, false, 0}, /* cut off: perhaps it was 128 */
        {"MemFree:\n", -EBADMSG, false, 0},
        {"MemFree: many\n", -EBADMSG, false, 0},
        {"MemFree: 18446744073709551616 kB\n", -EBADMSG, false, 0},
        {"MemFree: 18446744073709551615 kB\n", -EBADMSG, false, 0}, /* in bytes it is too large */
        {"MemFreeze: 3 kB\nMemFre: 4 kB\n", -EBADMSG, false, 0},
        {"MemFree: 1 kB\nMemFree: 2 kB\n", 0, true, 1024},
        {"\n\n: 5\nMemFree:\t3 kB\n", 0, true, 3072},
        {"MemFree: 5\n", 0, true, 5},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ROWS_OF) / sizeof(ROWS_OF[0]); i++) {
        struct facts facts;

        print_message("'%s'\n", ROWS_OF[i].text);
        assert_int_equal(parse(ROWS_OF[i].text, &facts), ROWS_OF[i].result);
        assert_int_equal(facts.free_bytes.known, ROWS_OF[i].known);
        if (ROWS_OF[i].known)
            assert_int_equal(facts.free_bytes.value, ROWS_OF[i].bytes);
    }
}

static void test_reasons(void **state)
{
    struct facts facts;

    (void)state;
    ebb__keyed_unknown(-EACCES, ROWS, sizeof(ROWS) / sizeof(ROWS[0]), &facts);
    assert_string_equal(ebb__fact_why(facts.free_bytes), "needs CAP_SYS_PTRACE or the same user");
    assert_int_equal(ebb__fact_or(facts.free_bytes, 42), 42);
    assert_int_equal(ebb__fact_or(ebb__fact(0), 42), 0);
    assert_string_equal(ebb__fact_why((struct ebb_fact){0}), "not read");
    assert_string_equal(ebb__fact_why(ebb__fact(1)), "known");
    assert_string_equal(ebb__fact_why(ebb__fact_unknown(-EIO)), "Input/output error");
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_files(void **state)
{
    char root[] = "/tmp/ebb-test-keyed-XXXXXX";
    char path[64];
    char buf[4];
    size_t len = 99;

    (void)state;
    assert_non_null(mkdtemp(root));
    snprintf(path, sizeof(path), "%s/n", root);
    write_text(path, "max\n");
    assert_int_equal(ebb__file_number(root, "/n").value, UINT64_MAX);
    write_text(path, "17 rest\n");
    assert_int_equal(ebb__file_number(root, "/n").value, 17);
    write_text(path, "none\n");
    assert_int_equal(ebb__file_number(root, "/n").err, -EBADMSG);
    write_text(path, "1234");
    assert_int_equal(ebb__file_read(root, "/n", buf, sizeof(buf), &len), 0); /* exactly full */
    assert_int_equal(len, 4);
    write_text(path, "12345");
    assert_int_equal(ebb__file_read(root, "/n", buf, sizeof(buf), &len), -EMSGSIZE);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(ebb__file_number(root, "/n").err, -ENOENT);
    assert_int_equal(rmdir(root), 0);
}

static void test_processes(void **state)
{
    struct ebb_procs procs;
    pid_t pid;
    bool found = false;

    (void)state;
    assert_int_equal(ebb__procs_open(&procs, ""), 0);
    while ((pid = ebb__procs_next(&procs)) != 0)
        found |= pid == getpid();
    ebb__procs_close(&procs);
    assert_true(found);
    assert_int_equal(ebb__procs_open_threads(&procs, "", getpid()), 0);
    assert_int_equal(ebb__procs_next(&procs), getpid());
    assert_int_equal(ebb__procs_next(&procs), 0);
    ebb__procs_close(&procs);
    assert_int_equal(ebb__procs_open(&procs, "/no/such/tree"), -ENOENT);
    assert_int_equal(ebb__procs_open_threads(&procs, "/no/such/tree", 1), -ESRCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_forms), cmocka_unit_test(test_damaged),   cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_files),      cmocka_unit_test(test_processes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
