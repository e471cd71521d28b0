/* SPDX-License-Identifier: MIT
 *
 * Tests of what malloc_trim() would give back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants these four before it */
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "model/glibc_trim.h"

#define P    4096u
#define BASE UINT64_C(0x555555560000)

struct told {
    char text[512]; /* "B 1-3" for pages 1 and 2 of BASE, and so on */
    int fail;
};

static int tell(void *context, enum ebb_glibc_trim_part part, uint64_t start, uint64_t end)
{
    struct told *told = context;
    size_t used = strlen(told->text);

    assert_true(start < end);
    assert_int_equal(start % P, 0);
    assert_int_equal(end % P, 0);
    snprintf(told->text + used, sizeof(told->text) - used, "%s%c %d-%d", used == 0 ? "" : ", ", "BTK"[part],
             (int)((start - BASE) / P), (int)((end - BASE) / P));
    return told->fail;
}

static void check(const struct ebb_glibc_arena *arena, const struct ebb_glibc_chunk *chunks, size_t count,
                  uint64_t pad, uint64_t thp, uint64_t brk_end, const char *want)
{
    struct ebb_glibc_trim_rules rules = {
        .page_bytes = P, .pad_bytes = pad, .thp_page_bytes = thp, .brk_end = brk_end};
    struct told told = {.text = ""};

    assert_int_equal(ebb__glibc_trim(arena, chunks, count, &rules, tell, &told), 0);
    assert_string_equal(told.text, want);
}

static void test_blocks(void **state)
{
    static const struct {
        uint64_t at;
        uint64_t bytes;
        const char *want;
    } CASES[] = {
        {0, P, ""},                /* the first page holds its front */
        {0, 2 * P - 16, ""},       /* the second is not whole */
        {0, 2 * P, "B 1-2"},       /* now it is */
        {P - 48, P + 48, "B 1-2"}, /* the front just fits before a page */
        {P - 32, 2 * P,
         ""}, /* and here it does not: it reaches into the next one, which leaves less than a page */
        {P - 32, 2 * P + 32, "B 2-3"},
        {P, 10 * P + 2048, "B 2-11"},
    };
    struct ebb_glibc_arena arena = {.is_main = false};

    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct ebb_glibc_chunk chunk = {.address = BASE + CASES[i].at, .bytes = CASES[i].bytes};

        check(&arena, &chunk, 1, 0, 0, 0, CASES[i].want);
    }
}

static void test_neighbours_are_joined(void **state)
{
    static const struct ebb_glibc_chunk CHUNKS[] = {
        {.address = BASE + 16, .bytes = P},          /* alone it has no whole page, nor has the next one */
        {.address = BASE + 16 + P, .bytes = P + 64}, /* joined they have one */
        {.address = BASE + 5 * P, .bytes = 3 * P},   /* apart */
        {.address = BASE + 9 * P, .bytes = 32},      /* touches the top */
    };
    struct ebb_glibc_arena main = {.is_main = true, .top = BASE + 9 * P + 32, .top_bytes = 3 * P - 32};
    struct ebb_glibc_arena other = {.is_main = false, .top = BASE + 9 * P + 32, .top_bytes = 3 * P - 32};

    (void)state;
    check(&main, CHUNKS, 4, 0, 0, BASE + 12 * P, "B 1-2, B 6-8, T 10-12");
    check(&main, CHUNKS, 3, 0, 0, BASE + 12 * P, "B 1-2, B 6-8, T 10-12");
    check(&other, CHUNKS, 4, 0, 0, BASE + 12 * P, "B 1-2, B 6-8, K 10-12");
}

static void test_tops(void **state)
{
    struct ebb_glibc_arena main = {.is_main = true, .top = BASE + 32, .top_bytes = 8 * P - 32};
    struct ebb_glibc_arena none = {.is_main = true};
    uint64_t end = BASE + 8 * P;

    (void)state;
    check(&main, NULL, 0, 0, 0, end, "T 1-8");
    check(&main, NULL, 0, 2 * P, 0, end, "T 3-8");
    check(&main, NULL, 0, 100 * P, 0, end, "");
    check(&main, NULL, 0, 0, 4 * P, end, "T 4-8");
    check(&main, NULL, 0, 0, 0, end + P, "K 1-8"); /* somebody else has moved the break */
    check(&main, NULL, 0, 0, 0, 0, "K 1-8");
    main.top_bytes = 33; /* not one byte above what must stay */
    check(&main, NULL, 0, 0, 0, BASE + 32 + 33, "");
    /* The smallest block and a byte stay, here with the page that they begin in. */
    main.top = BASE + P - 32;
    main.top_bytes = P + 32;
    check(&main, NULL, 0, 0, 0, BASE + 2 * P, "");
    main.top = BASE + P - 48;
    main.top_bytes = P + 48;
    check(&main, NULL, 0, 0, 0, BASE + 2 * P, "T 1-2");
    check(&none, NULL, 0, 0, 0, end, "");
}

static void test_failures(void **state)
{
    static const struct ebb_glibc_chunk OVERLAP[] = {{.address = BASE, .bytes = 64},
                                                     {.address = BASE + 48, .bytes = 64}};
    static const struct ebb_glibc_chunk APART[] = {{.address = BASE, .bytes = 3 * P},
                                                   {.address = BASE + 8 * P, .bytes = 3 * P}};
    struct ebb_glibc_arena arena = {.is_main = false};
    struct ebb_glibc_trim_rules rules = {.page_bytes = P};
    struct told told = {.text = "", .fail = -EINTR};

    (void)state;
    assert_int_equal(ebb__glibc_trim(&arena, OVERLAP, 2, &rules, tell, &told), -EBADMSG);
    assert_int_equal(ebb__glibc_trim(&arena, APART, 2, &rules, tell, &told), -EINTR);
    assert_string_equal(told.text, "B 1-3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_neighbours_are_joined),
        cmocka_unit_test(test_tops),
        cmocka_unit_test(test_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
