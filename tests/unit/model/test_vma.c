/* SPDX-License-Identifier: MIT
 *
 * Tests of the judgement of mappings and of their budget: address spaces written as maps writes them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants those four before it. */
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "model/vma_budget.h"
#include "probe/probe.h"

struct row {
    const char *line;
    const char *class;
    const char *rule;
    bool huge_pages;
};

/* Walks over rows, as a tool would, with the hints of a walk before, and calls back for each verdict. */
static void walk(const struct row *rows, size_t count, struct ebb_vma_hints *hints,
                 struct ebb_vma_budget *budget)
{
    struct ebb_vma_walk state = {.hints = hints};
    struct ebb_vma_verdict verdict;
    struct ebb_vma vmas[64];

    assert_true(count <= 64);
    for (size_t i = 0; i < count; i++) {
        struct ebb_map map;

        assert_int_equal(ebb__maps_line_parse(rows[i].line, strlen(rows[i].line), &map), 0);
        ebb__vma_of(&map, rows[i].huge_pages, &vmas[i]);
        ebb__vma_hint(hints, i == 0 ? NULL : &vmas[i - 1], &vmas[i]);
    }
    for (size_t i = 0; i <= count; i++) {
        bool judged = ebb__vma_push(&state, i == count ? NULL : &vmas[i], &verdict);

        assert_int_equal(judged, i != 0);
        if (!judged)
            continue;
        if (rows[i - 1].class != NULL &&
            strcmp(ebb__vma_classes[verdict.vma_class].key, rows[i - 1].class) != 0)
            fail_msg("%s: %s, not %s", rows[i - 1].line, ebb__vma_classes[verdict.vma_class].key,
                     rows[i - 1].class);
        if (rows[i - 1].rule != NULL && strcmp(ebb__vma_rules[verdict.rule].key, rows[i - 1].rule) != 0)
            fail_msg("%s: by %s, not %s", rows[i - 1].line, ebb__vma_rules[verdict.rule].key,
                     rows[i - 1].rule);
        assert_int_equal(verdict.vma.start, vmas[i - 1].start);
        if (budget != NULL)
            ebb__vma_budget_add(budget, &verdict);
    }
    if (budget != NULL)
        ebb__vma_budget_add(budget, NULL);
}

#define COUNT_OF(rows) (sizeof(rows) / sizeof((rows)[0]))

/* A server on glibc, with its parts in the places where they are found. */
static const struct row SERVER[] = {
    {"55d000000000-55d000100000 r--p 00000000 fe:00 11 /usr/sbin/mariadbd", "program", "program-file", false},
    {"55d000100000-55d000900000 r-xp 00100000 fe:00 11 /usr/sbin/mariadbd", "program", "program-file", false},
    {"55d000900000-55d000a00000 rw-p 00900000 fe:00 11 /usr/sbin/mariadbd", "program", "program-file", false},
    {"55d000a00000-55d000b00000 rw-p 00000000 00:00 0 ", "program", "behind-data", false},
    {"55d001000000-55d001800000 rw-p 00000000 00:00 0                          [heap]", "heap", "name",
     false},
    {"7f1000000000-7f1000021000 rw-p 00000000 00:00 0 ", "arena", "64M-pair", false},
    {"7f1000021000-7f1004001000 ---p 00000000 00:00 0 ", "arena", "64M-pair", false},
    {"7f1004001000-7f1004801000 rw-p 00000000 00:00 0 ", "thread-stack", "guard-below", false},
    {"7f1010000000-7f1010001000 ---p 00000000 00:00 0 ", "guard", "stack-above", false},
    {"7f1010001000-7f101004a000 rw-p 00000000 00:00 0 ", "thread-stack", "guard-below", false},
    {"7f1020000000-7f1030000000 rw-p 00000000 00:00 0 ", "pool", "large", false},
    {"7f1040000000-7f1040041000 rw-p 00000000 00:00 0 ", "block", "block-size", false},
    {"7f1041000000-7f1041001000 r-xp 00000000 00:00 0 ", "jit", "executable", false},
    {"7f1042000000-7f1042001000 r-xs 00000000 00:01 9 /memfd:code (deleted)", "jit", "name", false},
    {"7f1043000000-7f1043001000 rw-p 00000000 00:00 0 ", "anon", "rest", false},
    {"7f1044000000-7f1044001000 r--p 00000000 00:00 0 ", "anon", "rest", false},
    {"7f1045000000-7f1045001000 rw-p 00000000 00:00 0 [anon:glibc: malloc arena]", "arena", "name", false},
    {"7f1046000000-7f1046001000 rw-p 00000000 00:00 0 [anon:mine]", "anon", "name", false},
    {"7f1050000000-7f1050100000 rw-s 00000000 00:01 7 /dev/zero (deleted)", "shared", "name", false},
    {"7f1051000000-7f1051100000 rw-s 00000000 00:05 0 /SYSV00000000 (deleted)", "sysv", "name", false},
    {"7f1052000000-7f1052100000 rw-s 00000000 00:17 8 /dev/shm/x", "shared", "name", false},
    {"7f1053000000-7f1053200000 rw-p 00000000 00:0f 8 /anon_hugepage (deleted)", "hugetlb", "name", false},
    {"7f1053400000-7f1053600000 rw-p 00000000 00:00 0 ", "hugetlb", "page-size", true},
    {"7f1054000000-7f1054021000 rw-s 00000000 00:0e 5 anon_inode:[io_uring]", "io-ring", "name", false},
    {"7f1055000000-7f1055021000 rw-s 00000000 00:0e 5 /[aio] (deleted)", "io-ring", "name", false},
    {"7f1056000000-7f1056021000 rw-s 00000000 00:06 5 /dev/dri/card0", "device", "name", false},
    {"7f1057000000-7f1057021000 r--p 00000000 fe:00 77 /usr/lib/locale/C.utf8/LC_CTYPE", "file", "file",
     false},
    {"7f1058000000-7f1058021000 rw-s 00000000 fe:00 78 /var/lib/mysql/ib_buffer.so", "file", "file", false},
    {"7f1060000000-7f1060020000 r--p 00000000 fe:00 21 /usr/lib/libc.so.6", "lib-rodata", "library-name",
     false},
    {"7f1060020000-7f1060180000 r-xp 00020000 fe:00 21 /usr/lib/libc.so.6", "lib-text", "library-name",
     false},
    {"7f1060180000-7f1060182000 rw-p 00180000 fe:00 21 /usr/lib/libc.so.6", "lib-data", "library-name",
     false},
    {"7f1060182000-7f1060190000 rw-p 00000000 00:00 0 ", "lib-bss", "behind-data", false},
    {"7f1060200000-7f1060202000 rw-p 00000000 fe:00 22 /usr/lib/libstdc++.so.6", "lib-data", "library-name",
     false},
    {"7f1060202000-7f1068200000 rw-p 00000000 00:00 0 ", "block", "behind-large", false},
    {"7f1061000000-7f1061010000 r--p 00000000 fe:00 22 /opt/plugin.node", "lib-rodata", "library-code",
     false},
    {"7f1061010000-7f1061020000 r-xp 00010000 fe:00 22 /opt/plugin.node", "lib-text", "library-code", false},
    {"7f1061020000-7f1061022000 rw-p 00020000 fe:00 22 /opt/plugin.node", "lib-data", "library-code", false},
    {"7f1062000000-7f1062004000 r--p 00000000 00:00 0 [vvar]", "kernel", "name", false},
    {"7f1062004000-7f1062006000 r-xp 00000000 00:00 0 [vdso]", "kernel", "name", false},
    {"7f1063000000-7f1063001000 r--p 00000000 00:0e 1 anon_inode:[perf_event]", "other", "name", false},
    {"7f1070000000-8f1070000000 ---p 00000000 00:00 0 ", "reserved", "inaccessible", false},
    {"8fff00000000-8fff00021000 rw-p 00000000 00:00 0 [stack]", "stack", "name", false},
    {"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]", "kernel", "name", false},
};

static void test_classes(void **state)
{
    struct ebb_vma_hints hints = {.program_addr = 0x55d000000040, .threads = 2};

    (void)state;
    walk(SERVER, COUNT_OF(SERVER), &hints, NULL);
    assert_true(hints.has_program);
    assert_int_equal(hints.program_inode, 11);
    assert_int_equal(hints.allocators, 0);
    assert_int_equal(hints.stack_pairs, 1);
}

/* Large anonymous memory at the head of a reservation of 8 TiB, as newer MariaDB keeps its pool. */
static void test_reservation(void **state)
{
    static const struct row ROWS[] = {
        {"700000000000-700010000000 rw-p 00000000 00:00 0 ", "pool", "reserve-head", false},
        {"700010000000-780000000000 ---p 00000000 00:00 0 ", "reserved", "inaccessible", false},
    };
    struct ebb_vma_hints hints = {0};

    (void)state;
    walk(ROWS, COUNT_OF(ROWS), &hints, NULL);
}

/* What is aligned, or large, is an allocator's when its library is there, even when that comes later. */
static void test_allocators(void **state)
{
    static const struct {
        const char *library;
        const char *class;
    } CASES[] = {{"/usr/lib/libjemalloc.so.2", "jemalloc"},
                 {"/usr/lib/libtcmalloc_minimal.so.4", "tcmalloc"},
                 {"/usr/lib/libmimalloc.so.2.0", "mimalloc"}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        char library[128];
        const struct row rows[] = {
            {"7f1000200000-7f1000800000 rw-p 00000000 00:00 0 ", CASES[i].class, "2M-aligned", false},
            {"7f1001001000-7f1001101000 rw-p 00000000 00:00 0 ", CASES[i].class, "1M-library", false},
            {"7f1001201000-7f1001300000 rw-p 00000000 00:00 0 ", "anon", "rest", false},
            {"7f1002001000-7f1006001000 rw-p 00000000 00:00 0 ", "pool", "large", false},
            {library, "lib-text", "library-name", false},
        };
        struct ebb_vma_hints hints = {0};

        snprintf(library, sizeof(library), "7f2000000000-7f2000001000 r-xp 00000000 08:01 5 %s",
                 CASES[i].library);
        walk(rows, COUNT_OF(rows), &hints, NULL);
        assert_true(hints.allocators != 0);
    }
}

static void test_ebb(void **state)
{
    static const struct row ROWS[] = {
        {"7fd7a0000000-7fd7a0800000 rw-p 00000000 00:00 0 ", "ebb", "128M-aligned", false},
        {"7fd7a0800000-7ff7a0000000 ---p 00000000 00:00 0 ", "ebb", "128M-aligned", false},
        {"7ff7a5400000-7ff7a5405000 r--p 00000000 fe:00 9 /usr/lib/libebb-malloc.so", "lib-rodata",
         "library-name", false},
    };
    struct ebb_vma_hints hints = {0};

    (void)state;
    walk(ROWS, COUNT_OF(ROWS), &hints, NULL);
}

/* 64 MiB that Go's runtime aligns are no arenas of glibc. */
static void test_go(void **state)
{
    static const struct row ROWS[] = {
        {"c000000000-c000400000 rw-p 00000000 00:00 0 ", "block", "block-size", false},
        {"c000400000-c004000000 ---p 00000000 00:00 0 ", "reserved", "inaccessible", false},
    };
    struct ebb_vma_hints hints = {0};

    (void)state;
    walk(ROWS, COUNT_OF(ROWS), &hints, NULL);
}

/* More pairs than threads explain are no stacks. */
static void test_stacks_are_limited(void **state)
{
    char lines[60][80];
    struct row rows[60];
    struct ebb_vma_hints hints = {.threads = 14};

    (void)state;
    for (unsigned i = 0; i < 60; i++) {
        unsigned long start = 0x7f0000000000 + (i / 2) * 0x100000ul + (i % 2 == 0 ? 0 : 0x1000);
        unsigned long end = 0x7f0000000000 + (i / 2) * 0x100000ul + (i % 2 == 0 ? 0x1000 : 0x11000);

        snprintf(lines[i], sizeof(lines[i]), "%lx-%lx %s 00000000 00:00 0 ", start, end,
                 i % 2 == 0 ? "---p" : "rw-p");
        rows[i] = (struct row){lines[i], i % 2 == 0 ? "guard" : "thread-stack", NULL, false};
    }
    walk(rows, 60, &hints, NULL);
    assert_int_equal(hints.stack_pairs, 30);
    hints = (struct ebb_vma_hints){.threads = 5};
    for (unsigned i = 0; i < 60; i++)
        rows[i].class = i % 2 == 0 ? "reserved" : "anon";
    walk(rows, 60, &hints, NULL);
}

/* ---- the budget ---- */

static void budget_of(const struct row *rows, size_t count, struct ebb_vma_budget *ret_budget)
{
    struct ebb_vma_hints hints = {.threads = 1};
    uint64_t sum = 0;

    memset(ret_budget, 0, sizeof(*ret_budget));
    walk(rows, count, &hints, ret_budget);
    for (unsigned i = 0; i < EBB_VMA_CAUSE_COUNT; i++)
        sum += ret_budget->causes[i];
    assert_int_equal(sum, ret_budget->count);
}

static void test_budget_of_server(void **state)
{
    struct ebb_vma_hints hints = {.program_addr = 0x55d000000040, .threads = 2};
    struct ebb_vma_budget budget = {0};
    uint64_t sum = 0;

    (void)state;
    walk(SERVER, COUNT_OF(SERVER), &hints, &budget);
    assert_int_equal(budget.count, COUNT_OF(SERVER) - 1);
    assert_int_equal(budget.gates, 1);
    assert_int_equal(budget.causes[EBB_VMA_CAUSE_ARENAS], 3);
    assert_int_equal(budget.causes[EBB_VMA_CAUSE_STACKS], 3);
    assert_int_equal(budget.causes[EBB_VMA_CAUSE_FILES], 2);
    assert_int_equal(budget.causes[EBB_VMA_CAUSE_PROGRAM], 16);
    /* The pool and both blocks. */
    assert_int_equal(budget.blocks, 3);
    for (unsigned i = 0; i < EBB_VMA_CAUSE_COUNT; i++)
        sum += budget.causes[i];
    assert_int_equal(sum, budget.count);
}

static void assert_cause(const struct row *rows, size_t count, enum ebb_vma_cause cause, uint64_t mappings,
                         enum ebb_vma_op op, const char *call)
{
    struct ebb_vma_budget budget;
    struct ebb_vma_failure failure;

    budget_of(rows, count, &budget);
    assert_int_equal(budget.causes[cause], mappings);
    assert_int_equal(ebb__vma_budget_main_cause(&budget), cause);
    failure = ebb__vma_budget_failure(cause);
    assert_int_equal(failure.op, op);
    if (strstr(failure.call, call) == NULL)
        fail_msg("%s is not in %s", call, failure.call);
}

static void test_budget_causes(void **state)
{
    static const struct row HOLES[] = {
        {"7f0000000000-7f0000001000 rw-p 00000000 00:00 0 ", NULL, NULL, false},
        {"7f0000002000-7f0000003000 rw-p 00000000 00:00 0 ", NULL, NULL, false},
        {"7f0000004000-7f0000005000 rw-p 00000000 00:00 0 ", NULL, NULL, false},
        {"7f8000000000-7f8000001000 rw-p 00000000 00:00 0 ", NULL, NULL, false}, /* far away: another one */
    };
    static const struct row PROTECTION[] = {
        {"7f0000000000-7f0000001000 rw-p 00000000 00:00 0 ", NULL, NULL, false},
        {"7f0000001000-7f0000002000 ---p 00000000 00:00 0 ", NULL, NULL, false},
        {"7f0000002000-7f0000003000 rw-p 00000000 00:00 0 ", NULL, NULL, false},
    };
    static const struct row ADVICE[] = {
        {"7f0000000000-7f0000001000 rw-p 00000000 00:00 0 ", NULL, NULL, false},
        {"7f0000001000-7f0000002000 rw-p 00000000 00:00 0 ", NULL, NULL, false},
    };
    static const struct row NAMES[] = {
        {"7f0000000000-7f0000001000 rw-p 00000000 00:00 0 [anon:a]", NULL, NULL, false},
        {"7f0000001000-7f0000002000 rw-p 00000000 00:00 0 [anon:b]", NULL, NULL, false},
        {"7f0000002000-7f0000003000 rw-p 00000000 00:00 0 ", NULL, NULL, false},
    };
    static const struct row FILES[] = {
        {"7f0000000000-7f0000001000 r--s 00000000 08:01 5 /data/a", NULL, NULL, false},
        {"7f0000001000-7f0000002000 r--s 00000000 08:01 6 /data/b", NULL, NULL, false},
        {"7f0000002000-7f0000003000 r--s 00004000 08:01 6 /data/b", NULL, NULL, false}, /* no continuation */
    };
    static const struct row FILE_SPLIT[] = {
        {"7f0000000000-7f0000001000 r--s 00000000 08:01 5 /data/a", NULL, NULL, false},
        {"7f0000001000-7f0000002000 rw-s 00001000 08:01 5 /data/a", NULL, NULL, false},
    };
    static const struct row SHARED[] = {
        {"7f0000000000-7f0000001000 rw-s 00000000 00:01 5 /dev/shm/a", NULL, NULL, false},
        {"7f0000010000-7f0000020000 rw-s 00000000 00:01 6 /memfd:b (deleted)", NULL, NULL, false},
    };
    static const struct row STACKS[] = {
        {"7f0000000000-7f0000001000 ---p 00000000 00:00 0 ", NULL, NULL, false},
        {"7f0000001000-7f0000801000 rw-p 00000000 00:00 0 ", NULL, NULL, false},
        {"7f0000801000-7f0000802000 ---p 00000000 00:00 0 ", NULL, NULL, false},
        {"7f0000802000-7f0001002000 rw-p 00000000 00:00 0 ", NULL, NULL, false},
        {"7f0001002000-7f0001003000 rw-p 00000000 00:00 0 ", NULL, NULL,
         false}, /* beside a stack: no split of it */
    };

    (void)state;
    assert_cause(HOLES, COUNT_OF(HOLES), EBB_VMA_CAUSE_HOLES, 3, EBB_VMA_OP_SPLIT, "munmap()");
    assert_cause(PROTECTION, COUNT_OF(PROTECTION), EBB_VMA_CAUSE_PROTECTION, 3, EBB_VMA_OP_SPLIT,
                 "mprotect()");
    assert_cause(ADVICE, COUNT_OF(ADVICE), EBB_VMA_CAUSE_ADVICE, 2, EBB_VMA_OP_SPLIT, "madvise()");
    assert_cause(NAMES, COUNT_OF(NAMES), EBB_VMA_CAUSE_NAMES, 3, EBB_VMA_OP_SPLIT, "PR_SET_VMA");
    assert_cause(FILES, COUNT_OF(FILES), EBB_VMA_CAUSE_FILES, 3, EBB_VMA_OP_MMAP, "mmap()");
    assert_cause(FILE_SPLIT, COUNT_OF(FILE_SPLIT), EBB_VMA_CAUSE_PROTECTION, 2, EBB_VMA_OP_SPLIT,
                 "mprotect()");
    assert_cause(SHARED, COUNT_OF(SHARED), EBB_VMA_CAUSE_SHARED, 2, EBB_VMA_OP_MMAP, "mmap()");
    assert_cause(STACKS, COUNT_OF(STACKS), EBB_VMA_CAUSE_STACKS, 4, EBB_VMA_OP_SPLIT, "mprotect()");
}

static void test_budget_left(void **state)
{
    (void)state;
    assert_int_equal(ebb__vma_budget_left(65520, 65530, EBB_VMA_OP_SPLIT), 10);
    assert_int_equal(ebb__vma_budget_left(65520, 65530, EBB_VMA_OP_MMAP), 11);
    assert_int_equal(ebb__vma_budget_left(65520, 65530, EBB_VMA_OP_MREMAP), 7);
    assert_int_equal(ebb__vma_budget_left(65520, 65530, EBB_VMA_OP_MREMAP_FIXED), 5);
    assert_int_equal(ebb__vma_budget_left(65530, 65530, EBB_VMA_OP_SPLIT), 0);
    assert_int_equal(ebb__vma_budget_left(65530, 65530, EBB_VMA_OP_MMAP), 1);
    assert_int_equal(ebb__vma_budget_left(65531, 65530, EBB_VMA_OP_MMAP), 0);
    assert_int_equal(ebb__vma_budget_left(70000, 65530, EBB_VMA_OP_SPLIT), 0); /* the limit was lowered */
    assert_int_equal(ebb__vma_budget_left(0, 2, EBB_VMA_OP_MREMAP_FIXED), 0);
    assert_true(ebb__vma_budget_left(0, UINT64_MAX, EBB_VMA_OP_MMAP) > 0);
}

static void test_budget_time(void **state)
{
    (void)state;
    assert_int_equal(ebb__vma_budget_time_ms(1000, 10, 2000).value, 200000);
    assert_int_equal(ebb__vma_budget_time_ms(0, 10, 2000).value, 0);
    assert_false(ebb__vma_budget_time_ms(1000, 0, 2000).known);
    assert_false(ebb__vma_budget_time_ms(1000, -5, 2000).known);
    assert_false(ebb__vma_budget_time_ms(1000, 5, 0).known);
    assert_true(ebb__vma_budget_time_ms(UINT64_MAX, 1, UINT64_MAX).known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_reservation),
        cmocka_unit_test(test_allocators),
        cmocka_unit_test(test_ebb),
        cmocka_unit_test(test_go),
        cmocka_unit_test(test_stacks_are_limited),
        cmocka_unit_test(test_budget_of_server),
        cmocka_unit_test(test_budget_causes),
        cmocka_unit_test(test_budget_left),
        cmocka_unit_test(test_budget_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
