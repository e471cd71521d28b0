/* SPDX-License-Identifier: MIT
 *
 * Tests of the parser of the kernel's messages about memory that ran out: the formats of fixtures, odd names, lost lines.
 */
#include "test_probe.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/probe.h"

#define KILLS_MAX 16

static char *read_fixture(const char *name, size_t *ret_len)
{
    static char text[65536];

    assert_int_equal(ebb__file_read(FIXTURES, name, text, sizeof(text), ret_len), 0);
    return test_copy(text, *ret_len);
}

static unsigned parse(const char *text, size_t len, struct ebb_oom_kill kills[KILLS_MAX])
{
    struct ebb_oom_log log;
    unsigned count = 0;

    ebb__oom_log_init(&log, text, len);
    while (count < KILLS_MAX && ebb__oom_log_next(&log, &kills[count]))
        count++;
    return count;
}

static unsigned row_at(const struct ebb_oom_kill *kill, pid_t pid, struct ebb_oom_row *ret_row)
{
    struct ebb_oom_rows rows;
    struct ebb_oom_row row;
    unsigned count = 0;

    ebb__oom_rows_init(kill, &rows);
    while (ebb__oom_rows_next(&rows, &row)) {
        if (row.pid == pid)
            *ret_row = row;
        count++;
    }
    return count;
}

static void test_fixture_6_18(void **state)
{
    static struct ebb_oom_kill kills[KILLS_MAX];
    struct ebb_oom_row row = {.pid = 0};
    size_t len;
    char *text = read_fixture("/oom/memcg-6.18.kmsg", &len);

    (void)state;
    assert_int_equal(parse(text, len, kills), 1);
    assert_string_equal(kills[0].name, "python3");
    assert_string_equal(kills[0].invoker, "python3");
    assert_string_equal(kills[0].gfp, "GFP_KERNEL");
    assert_string_equal(kills[0].constraint, "MEMCG");
    assert_string_equal(kills[0].oom_memcg, "/ebb-oomtry");
    assert_string_equal(kills[0].task_memcg, "/ebb-oomtry");
    assert_true(kills[0].memcg && kills[0].has_report && kills[0].has_adj && !kills[0].in_group);
    assert_int_equal(kills[0].limit_bytes.value, 64 << 20);
    assert_int_equal(kills[0].memsw_limit_bytes.value, UINT64_C(9007199254740988) << 10);
    assert_false(kills[0].swap_limit_bytes.known);
    assert_int_equal(kills[0].anon_bytes.value, 43392 << 10);
    assert_int_equal(kills[0].uid.value, 0);
    assert_true(kills[0].stamp.boot_us.known && kills[0].stamp.sequence.known);
    assert_int_equal(kills[0].row_count, 3);
    assert_false(kills[0].truncated);
    assert_int_equal(row_at(&kills[0], kills[0].pid, &row), 3);
    assert_int_equal(row.total_vm_pages, 56376);
    assert_int_equal(row.anon_pages.value + row.file_pages.value + row.shmem_pages.value, row.rss_pages);
    assert_true(row.table_bytes.known && !row.table_pages.known);
    assert_string_equal(row.name, "python3");
    assert_int_equal(ebb__oom_kill_page_bytes(&kills[0]).value, 4096);
    free(text);
}

static void test_fixture_4_18(void **state)
{
    static struct ebb_oom_kill kills[KILLS_MAX];
    struct ebb_oom_row row = {.pid = 0};
    size_t len;
    char *text = read_fixture("/oom/host-4.18.dmesg", &len);

    (void)state;
    assert_int_equal(parse(text, len, kills), 1);
    assert_int_equal(kills[0].pid, 1432);
    assert_false(kills[0].memcg || kills[0].truncated || kills[0].has_adj);
    assert_int_equal(kills[0].score.value, 802);
    assert_int_equal(kills[0].stamp.boot_us.value, 118602100);
    assert_string_equal(kills[0].stamp.text, "118.602100");
    assert_int_equal(kills[0].ram_pages.value, 1048000);
    assert_int_equal(kills[0].reserved_pages.value, 48000);
    assert_int_equal(kills[0].swap_total_bytes.value, UINT64_C(2097148) << 10);
    assert_int_equal(kills[0].reaper, EBB_OOM_REAPED);
    assert_int_equal(row_at(&kills[0], 611, &row), 4);
    assert_int_equal(row.adj, -1000);
    assert_int_equal(row.swap_pages, 310);
    assert_int_equal(row.table_bytes.value, 217088);
    assert_false(row.anon_pages.known);
    free(text);
}

static void test_fixture_4_19(void **state)
{
    static struct ebb_oom_kill kills[KILLS_MAX];
    struct ebb_oom_row row = {.pid = 0};
    size_t len;
    char *text = read_fixture("/oom/memcg-4.19.dmesg", &len);

    (void)state;
    assert_int_equal(parse(text, len, kills), 1);
    assert_int_equal(kills[0].pid, 24387);
    assert_string_equal(kills[0].name, "stress");
    assert_string_equal(kills[0].stamp.text, "Mon Mar  4 10:20:30 2019");
    assert_string_equal(kills[0].oom_memcg, "/db");
    assert_string_equal(kills[0].task_memcg, "/db/a");
    assert_int_equal(kills[0].memsw_limit_bytes.value, 102400 << 10);
    assert_int_equal(kills[0].anon_bytes.value, 82000 << 10);
    assert_true(kills[0].memcg);
    assert_int_equal(row_at(&kills[0], 24387, &row), 2);
    assert_int_equal(row.table_pages.value, 62);
    assert_false(row.table_bytes.known);
    free(text);
}

static void test_group_in_a_journal(void **state)
{
    static struct ebb_oom_kill kills[KILLS_MAX];
    size_t len;
    char *text = read_fixture("/oom/group-5.10.journal", &len);

    (void)state;
    assert_int_equal(parse(text, len, kills), 3); /* the victim is told of twice and counted once */
    assert_int_equal(kills[0].pid, 701);
    assert_string_equal(kills[0].stamp.text, "Nov 24 16:25:35");
    assert_string_equal(kills[0].group, "/app.slice/app.service");
    assert_false(kills[0].in_group || kills[0].truncated);
    assert_int_equal(kills[0].reaper, EBB_OOM_UNREAPABLE);
    assert_int_equal(kills[0].swap_limit_bytes.value, 0);
    assert_int_equal(kills[1].pid, 700);
    assert_true(kills[1].in_group && kills[1].memcg);
    assert_string_equal(kills[1].group, "/app.slice/app.service");
    assert_int_equal(kills[1].reaper, EBB_OOM_REAPED);
    assert_int_equal(kills[2].pid, 900);
    assert_false(kills[2].has_report || kills[2].memcg || kills[2].in_group);
    assert_true(kills[2].truncated);
    assert_string_equal(kills[2].group, "");
    assert_int_equal(kills[2].adj, 1000);
    free(text);
}

/* What stands before the kernel's words. */
static void test_fronts(void **state)
{
    static const struct {
        const char *line;
        const char *text; /* NULL: no message of the kernel */
        const char *stamp;
        uint64_t boot_us; /* 0: unknown */
    } ROWS[] = {
        {"6,12,19115228245,-;hello", "hello", "", 19115228245},
        {"6,12,19115228245,-,caller=T416;a;b", "a;b", "", 19115228245},
        {" SUBSYSTEM=acpi", NULL, NULL, 0},
        {"[   12.345678] hello", "hello", "12.345678", 12345678},
        {"[   12.345678][  T416] hello", "hello", "12.345678", 12345678},
        {"[   12.345678] [ T416] hello", "hello", "12.345678", 12345678},
        {"<4>[   12.345678] hello", "hello", "12.345678", 12345678},
        {"[Tue Nov 24 16:25:34 2026] hello", "hello", "Tue Nov 24 16:25:34 2026", 0},
        {"[    414]     0   414 name", "[    414]     0   414 name", "", 0},
        {"[  pid  ]   uid  tgid", "[  pid  ]   uid  tgid", "", 0},
        {"Nov 24 16:25:34 db1 kernel: hello", "hello", "Nov 24 16:25:34", 0},
        {"Nov  4 16:25:34 db1 kernel: [   12.345678] hello", "hello", "Nov  4 16:25:34", 12345678},
        {"Nov 24 16:25:34 db1 sshd[1]: hello", NULL, NULL, 0},
        {"Nov 24 16:25:34 db1 sshd[1]: a kernel: hello", NULL, NULL, 0},
        {"2026-11-24T16:25:34+0000 db1 kernel: hello", "hello", "2026-11-24T16:25:34+0000", 0},
        {"2026-11-24T16:25:34.123456+01:00 db1 kernel[12]: hello\r", "hello",
         "2026-11-24T16:25:34.123456+01:00", 0},
        {"hello", "hello", "", 0},
        {"", "", "", 0},
        {"[", "[", "", 0},
        {"Nov", "Nov", "", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        size_t len = strlen(ROWS[i].line);
        char *line = test_copy(ROWS[i].line, len);
        struct ebb_oom_text text;
        bool taken = ebb__oom_log_strip(line, len, &text);

        print_message("%s\n", ROWS[i].line);
        assert_int_equal(taken, ROWS[i].text != NULL);
        if (taken) {
            assert_int_equal(text.end - text.at, strlen(ROWS[i].text));
            assert_memory_equal(text.at, ROWS[i].text, strlen(ROWS[i].text));
            assert_string_equal(text.stamp.text, ROWS[i].stamp);
            assert_int_equal(text.stamp.boot_us.known, ROWS[i].boot_us != 0);
            if (ROWS[i].boot_us != 0)
                assert_int_equal(text.stamp.boot_us.value, ROWS[i].boot_us);
        }
        free(line);
    }
}

/* A process chooses its name, and may choose a piece of these messages. */
static void test_names(void **state)
{
    static const char *const NAMES[] = {
        "a b",
        "x) total-vm:1kB",
        "(",
        ")",
        "1 (x) total-v",
        ", UID 5",
        "invoked oom-k",
        " UID:7 pgtables:",
        "a,pid=1",
        "oom_score_adj",
        "\\x0a",
        "\xc3\xa9t\xc3\xa9",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        static struct ebb_oom_kill kills[KILLS_MAX];
        struct ebb_oom_row row = {.pid = 0};
        char text[2048];
        char *copy;
        int len = snprintf(
            text, sizeof(text),
            "[    1.000000] %s invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=2, oom_score_adj=-5\n"
            "[    1.000000] memory: usage 4kB, limit 8kB, failcnt 1\n"
            "[    1.000000] [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj "
            "name\n"
            "[    1.000000] [     77]     9    77      100       50     4096        1            -3 %s\n"
            "[    1.000000] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/"
            ",mems_allowed=0,oom_memcg=/a b,c,task_memcg=/a "
            "b,c/d,task=%s,pid=77,uid=9\n"
            "[    1.000000] Memory cgroup out of memory: Killed process 77 (%s) total-vm:400kB, "
            "anon-rss:200kB, "
            "file-rss:0kB, "
            "shmem-rss:0kB, UID:9 pgtables:4kB oom_score_adj:-3\n"
            "[    1.000000] oom_reaper: reaped process 77 (%s), now anon-rss:1kB, file-rss:2kB, "
            "shmem-rss:3kB\n",
            NAMES[i], NAMES[i], NAMES[i], NAMES[i], NAMES[i]);

        print_message("%s\n", NAMES[i]);
        assert_in_range(len, 1, sizeof(text) - 1);
        copy = test_copy(text, (size_t)len);
        assert_int_equal(parse(copy, (size_t)len, kills), 1);
        assert_string_equal(kills[0].name, NAMES[i]);
        assert_string_equal(kills[0].invoker, NAMES[i]);
        assert_int_equal(kills[0].invoker_adj, -5);
        assert_int_equal(kills[0].order, 2);
        assert_string_equal(kills[0].oom_memcg, "/a b,c");
        assert_string_equal(kills[0].task_memcg, "/a b,c/d");
        assert_int_equal(kills[0].total_vm_bytes.value, 400 << 10);
        assert_int_equal(kills[0].uid.value, 9);
        assert_int_equal(kills[0].adj, -3);
        assert_int_equal(kills[0].reaper, EBB_OOM_REAPED);
        assert_int_equal(kills[0].left_shmem_bytes.value, 3 << 10);
        assert_int_equal(row_at(&kills[0], 77, &row), 1);
        assert_string_equal(row.name, NAMES[i]);
        assert_int_equal(row.adj, -3);
        free(copy);
    }
}

/* A log whose first `cut` bytes are lost, or whose last ones, holds what it holds and says that it is not whole. */
static void test_lost_pieces(void **state)
{
    size_t len;
    char *text = read_fixture("/oom/memcg-6.18.kmsg", &len);
    const char *killed = memmem(text, len, "Killed process", 14);

    (void)state;
    assert_non_null(killed);
    for (size_t cut = 0; cut < len; cut += 7) {
        static struct ebb_oom_kill kills[KILLS_MAX];
        char *rest = test_copy(text + cut, len - cut);
        char *begin = test_copy(text, cut);
        unsigned count = parse(rest, len - cut, kills);

        assert_in_range(count, 0, 1);
        if (count == 1 && cut > strlen("4,") + 120)
            assert_true(kills[0].truncated && kills[0].truncated_why != NULL);
        assert_in_range(parse(begin, cut, kills), 0, 1);
        free(begin);
        free(rest);
    }
    free(text);
}

static void test_missing_records(void **state)
{
    static struct ebb_oom_kill kills[KILLS_MAX];
    size_t len;
    char *text = read_fixture("/oom/memcg-6.18.kmsg", &len);
    char *row = memmem(text, len, " pgtables_bytes", 15);
    char *line;
    size_t line_len;

    (void)state;
    assert_non_null(row);
    line = (char *)memchr(row, '\n', len - (size_t)(row - text)) + 1;
    line_len = (size_t)((char *)memchr(line, '\n', len - (size_t)(line - text)) + 1 - line);
    memmove(line, line + line_len, len - (size_t)(line + line_len - text));
    assert_int_equal(parse(text, len - line_len, kills), 1);
    assert_true(kills[0].truncated);
    assert_string_equal(kills[0].truncated_why, "records are missing within its report");
    assert_int_equal(kills[0].row_count, 2);
    free(text);
}

static void test_nobody_and_panic(void **state)
{
    static const char TEXT[] =
        "x invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n"
        "Out of memory and no killable processes...\n"
        "Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled\n"
        "Out of memory: Killed process 5 (y) total-vm:4kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB\n"
        "Out of memory (oom_kill_allocating_task): Killed process 6 (z) total-vm:4kB, anon-rss:4kB\n";
    struct ebb_oom_log log;
    static struct ebb_oom_kill kill;

    (void)state;
    ebb__oom_log_init(&log, TEXT, sizeof(TEXT) - 1);
    assert_true(ebb__oom_log_next(&log, &kill));
    assert_int_equal(kill.pid, 5);
    assert_false(kill.has_report || kill.allocating);
    assert_true(ebb__oom_log_next(&log, &kill));
    assert_int_equal(kill.pid, 6);
    assert_true(kill.allocating);
    assert_false(ebb__oom_log_next(&log, &kill));
    assert_int_equal(log.no_victim_count, 1);
    assert_int_equal(log.panic_count, 1);
}

static void test_keeping_kills(void **state)
{
    static const char SECRET[] = "12,45510,23055615969,-;backup[7]: password=secret\n";
    static struct ebb_oom_kill before[KILLS_MAX];
    static struct ebb_oom_kill after[KILLS_MAX];
    static char text[65536];
    size_t len;
    size_t kept;
    char *fixture = read_fixture("/oom/memcg-6.18.kmsg", &len);
    char *copy;

    (void)state;
    assert_int_equal(parse(fixture, len, before), 1);
    assert_false(before[0].truncated);
    /* A stranger's record before the report, and one behind it. */
    snprintf(text, sizeof(text), "%s%.*s%s", SECRET, (int)len, fixture, SECRET);
    kept = ebb__oom_log_keep_kills(text, strlen(text));
    copy = test_copy(text, kept);
    assert_null(memmem(copy, kept, "secret", 6));
    assert_null(memmem(copy, kept, "RIP:", 4));
    assert_non_null(memmem(copy, kept, "4,45500,23055615949,-;\n", 23));
    assert_int_equal(parse(copy, kept, after), 1);
    assert_int_equal(after[0].pid, before[0].pid);
    assert_int_equal(after[0].row_count, before[0].row_count);
    assert_true(after[0].row_count > 0);
    assert_false(after[0].truncated);
    assert_int_equal(after[0].limit_bytes.value, before[0].limit_bytes.value);
    free(copy);
    free(fixture);
    /* Within a report only the front stays. */
    len = (size_t)snprintf(text, sizeof(text),
                           "4,1,1,-;a invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, "
                           "oom_score_adj=0\n4,2,2,-;x password=y\n6,3,3,-;half");
    kept = ebb__oom_log_keep_kills(text, len);
    assert_true(kept > 10 && memcmp(text + kept - 10, "\n4,2,2,-;\n", 10) == 0);
}

static void test_reading(void **state)
{
    char root[] = "/tmp/ebb-probe-XXXXXX";
    char path[64];
    char buf[64];
    size_t len;
    FILE *file;

    (void)state;
    assert_non_null(mkdtemp(root));
    assert_int_equal(ebb__oom_log_read(root, buf, sizeof(buf), &len), -ENOENT);
    snprintf(path, sizeof(path), "%s/dev", root);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/dev/kmsg", root);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("6,1,2,-;hello\n", file);
    fclose(file);
    assert_int_equal(ebb__oom_log_read(root, buf, sizeof(buf), &len), 0);
    assert_int_equal(len, 14);
    assert_int_equal(unlink(path), 0);
    *strrchr(path, '/') = '\0';
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(root), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixture_6_18),     cmocka_unit_test(test_fixture_4_18),
        cmocka_unit_test(test_fixture_4_19),     cmocka_unit_test(test_group_in_a_journal),
        cmocka_unit_test(test_fronts),           cmocka_unit_test(test_names),
        cmocka_unit_test(test_lost_pieces),      cmocka_unit_test(test_missing_records),
        cmocka_unit_test(test_nobody_and_panic), cmocka_unit_test(test_reading),
        cmocka_unit_test(test_keeping_kills),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
