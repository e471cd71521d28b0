/* SPDX-License-Identifier: MIT
 *
 * Tests of the kernel's structs about mappings and pages: each against the text or the file that older kernels have instead.
 */
#include "test_probe.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe/probe.h"

static struct ebb_vma_query query;
static struct ebb_vma_query text;

/* The child does nothing, so that its mappings hold still. */
static pid_t start_child(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        pause();
        _exit(0);
    }
    return pid;
}

static void end_child(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void test_query_is_text(void **state)
{
    pid_t pid = start_child();
    struct ebb_map a;
    struct ebb_map b;
    unsigned count = 0;
    int got;

    (void)state;
    assert_int_equal(ebb__vma_query_open(&query, "", pid, false), 0);
    assert_int_equal(ebb__vma_query_open(&text, "", pid, true), 0);
    assert_false(text.queries);
    if (!query.queries)
        print_message("this kernel has no PROCMAP_QUERY: the text is compared with itself\n");
    while ((got = ebb__vma_query_next(&text, &b)) == 1) {
        if (query.queries && ebb__map_is_gate(&b))
            continue;
        assert_int_equal(ebb__vma_query_next(&query, &a), 1);
        assert_int_equal(a.start, b.start);
        assert_int_equal(a.end, b.end);
        assert_int_equal(a.inode, b.inode);
        assert_int_equal(a.dev_major, b.dev_major);
        assert_int_equal(a.dev_minor, b.dev_minor);
        assert_int_equal(a.readable, b.readable);
        assert_int_equal(a.writable, b.writable);
        assert_int_equal(a.executable, b.executable);
        assert_int_equal(a.shared, b.shared);
        assert_int_equal(a.deleted, b.deleted);
        assert_int_equal(a.name_len, b.name_len);
        assert_memory_equal(a.name, b.name, a.name_len);
        if (a.inode != 0)
            assert_int_equal(a.offset_bytes, b.offset_bytes);
        if (query.queries)
            assert_true(query.page_bytes >= (uint64_t)sysconf(_SC_PAGESIZE));
        count++;
    }
    assert_int_equal(got, 0);
    assert_true(count > 5);
    assert_int_equal(ebb__vma_query_next(&query, &a), 0);
    ebb__vma_query_close(&query);
    ebb__vma_query_close(&text);
    end_child(pid);
}

static void test_query_of_a_tree(void **state)
{
    struct ebb_map map;
    unsigned count = 0;

    (void)state;
    assert_int_equal(ebb__vma_query_open(&query, FIXTURES "/proc-mariadbd", 5141, false), 0);
    assert_false(query.queries);
    while (ebb__vma_query_next(&query, &map) == 1)
        count++;
    assert_int_equal(count, 181);
    ebb__vma_query_close(&query);
    assert_int_equal(ebb__vma_query_open(&query, FIXTURES "/proc-mariadbd", 1, false), -ENOENT);
}

static void test_query_of_who_ends(void **state)
{
    pid_t pid = start_child();
    struct ebb_map map;
    unsigned steps = 0;
    int got;

    (void)state;
    assert_int_equal(ebb__vma_query_open(&query, "", pid, false), 0);
    assert_int_equal(ebb__vma_query_next(&query, &map), 1);
    end_child(pid);
    while ((got = ebb__vma_query_next(&query, &map)) == 1)
        assert_true(++steps < 10000);
    assert_true(got == 0 || got == -ESRCH);
    ebb__vma_query_close(&query);
}

static void test_gates(void **state)
{
    static const struct {
        const char *line;
        bool gate;
    } ROWS[] = {
        {"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]", true},
        {"ffff0000-ffff1000 r-xp 00000000 00:00 0 [vectors]", true},
        {"7fff0000-7fff1000 r-xp 00000000 00:00 0 [vdso]", false},
        {"7fff0000-7fff1000 r-xp 00000000 00:00 0 ", false},
        {"7fff0000-7fff1000 r-xp 00000000 08:01 5 [vsyscall]", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct ebb_map map;

        assert_int_equal(ebb__maps_line_parse(ROWS[i].line, strlen(ROWS[i].line), &map), 0);
        assert_int_equal(ebb__map_is_gate(&map), ROWS[i].gate);
    }
}

/* ---- pages ---- */

static void count(bool pagemap_only, const char *block, size_t bytes, struct ebb_pages_count *ret_count)
{
    struct ebb_pages pages;

    *ret_count = (struct ebb_pages_count){0};
    assert_int_equal(ebb__pages_open(&pages, "", getpid(), pagemap_only), 0);
    if (pagemap_only)
        assert_false(pages.scans);
    assert_int_equal(ebb__pages_count(&pages, (uintptr_t)block, (uintptr_t)block + bytes, ret_count), 0);
    ebb__pages_close(&pages);
}

static void test_pages(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = 5000 * page; /* more than one buffer of either kind */
    char *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct ebb_pages_count result;

    (void)state;
    assert_true(block != MAP_FAILED);
    madvise(block, bytes, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < 5000; i += 3)
        block[i * page] = 1;
    for (unsigned pagemap_only = 0; pagemap_only < 2; pagemap_only++) {
        count(pagemap_only, block, bytes, &result);
        assert_int_equal(result.resident_bytes, 1667 * page);
        assert_int_equal(result.swapped_bytes, 0);
        count(pagemap_only, block, 2 * page, &result);
        assert_int_equal(result.resident_bytes, page);
    }
    munmap(block, bytes);
}

static void test_page_states(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = 5000 * page;
    char *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t states[5000];

    (void)state;
    assert_true(block != MAP_FAILED);
    madvise(block, bytes, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < 5000; i += 3)
        block[i * page] = 1;
    for (unsigned pagemap_only = 0; pagemap_only < 2; pagemap_only++) {
        uint64_t start = (uintptr_t)block + page;
        struct ebb_pages pages;

        memset(states, 0xff, sizeof(states));
        assert_int_equal(ebb__pages_open(&pages, "", getpid(), pagemap_only), 0);
        assert_int_equal(ebb__pages_states(&pages, start, start + 4998 * page, states), 0);
        ebb__pages_close(&pages);
        for (size_t i = 0; i < 4998; i++)
            assert_int_equal(states[i], (i + 1) % 3 == 0 ? EBB_PAGE_RESIDENT : EBB_PAGE_NONE);
        assert_int_equal(states[4998], 0xff);
    }
    munmap(block, bytes);
}

/* Many pieces at once, more than fit one system call, and one that cannot be read. */
static void test_peek_many(void **state)
{
    static uint64_t words[1000];
    static uint64_t addresses[1000];
    static uint64_t copies[1000];
    pid_t pid = getpid();

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        words[i] = i * 7;
        addresses[i] = (uintptr_t)&words[999 - i];
    }
    assert_int_equal(ebb__peek_many_process(&pid, addresses, 1000, copies, sizeof(copies[0])), 0);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(copies[i], (999 - i) * 7);
    addresses[700] = 8;
    assert_int_equal(ebb__peek_many_process(&pid, addresses, 1000, copies, sizeof(copies[0])), -EFAULT);
    addresses[0] = 8;
    assert_int_equal(ebb__peek_many_process(&pid, addresses, 1000, copies, sizeof(copies[0])), -EFAULT);
    assert_int_equal(ebb__peek_many_process(&pid, addresses, 0, copies, sizeof(copies[0])), 0);
}

static void test_page_words(void **state)
{
    static const uint64_t WORDS[] = {0, UINT64_C(1) << 63, UINT64_C(1) << 62, (UINT64_C(1) << 63) | 12345,
                                     (UINT64_C(1) << 61) | 7};
    struct ebb_pages_count result = {.resident_bytes = 1};

    (void)state;
    ebb__pages_parse(WORDS, 5, 4096, &result);
    assert_int_equal(result.resident_bytes, 8193);
    assert_int_equal(result.swapped_bytes, 4096);
}

/* Without PAGEMAP_SCAN a long range is refused; a tree without the file too. */
static void test_pages_refused(void **state)
{
    struct ebb_pages_count result = {.resident_bytes = 7};
    struct ebb_pages pages;

    (void)state;
    assert_int_equal(ebb__pages_open(&pages, FIXTURES "/proc-mariadbd", 5141, false), -ENOENT);
    assert_int_equal(ebb__pages_open(&pages, "", getpid(), true), 0);
    assert_int_equal(ebb__pages_count(&pages, 0, UINT64_C(1) << 40, &result), -EINPROGRESS);
    assert_int_equal(result.resident_bytes, 7);
    ebb__pages_close(&pages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query_is_text),
        cmocka_unit_test(test_query_of_a_tree),
        cmocka_unit_test(test_query_of_who_ends),
        cmocka_unit_test(test_gates),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_page_states),
        cmocka_unit_test(test_peek_many),
        cmocka_unit_test(test_page_words),
        cmocka_unit_test(test_pages_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
