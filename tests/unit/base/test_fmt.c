/* SPDX-License-Identifier: MIT
 *
 * The formatter against snprintf, and the two functions that write: one line, one write, standard error.
 */
#include "support.h"

#include <limits.h>

#include "base/base.h"

#define BOTH(...)                                                                                            \
    do {                                                                                                     \
        char wanted_[200], got_[200];                                                                        \
        int len_ = snprintf(wanted_, sizeof(wanted_), __VA_ARGS__);                                          \
        size_t stored_ = ebb__fmt(got_, sizeof(got_), __VA_ARGS__);                                          \
        EXPECT_MSG(strcmp(wanted_, got_) == 0, "\"%s\", wanted \"%s\"", got_, wanted_);                      \
        EXPECT_EQ(stored_, (size_t)len_);                                                                    \
    } while (0)

static void like_snprintf(void)
{
    static const long numbers[] = {0,   1,       -1,      9,        10,       -10,          255,
                                   256, INT_MAX, INT_MIN, LONG_MAX, LONG_MIN, 1234567890123};
    BOTH("plain");
    BOTH("%%, 100%% and %s", "text");
    BOTH("%s|%s|%c%c", "", "a", 'x', 'y');
    for (size_t i = 0; i < EBB_ARRAY_COUNT(numbers); i++) {
        long n = numbers[i];
        BOTH("%ld %lu %lx", n, (unsigned long)n, (unsigned long)n);
        BOTH("%d %u %x", (int)n, (unsigned)n, (unsigned)n);
        BOTH("%zu %zd %zx", (size_t)n, (ssize_t)n, (size_t)n);
        BOTH("%lld %llu", (long long)n, (unsigned long long)n);
        if (n != 0)                /* glibc says (nil) */
            BOTH("%p", (void *)n); // NOLINT(performance-no-int-to-ptr): any address will do
    }
    BOTH("%lu", ULONG_MAX);
    BOTH("%d of %u: %s at 0x%lx", 3, 7U, "here", 0xabcdefUL);
}

/* A format that no compiler would let through; must not read beyond its end. */
static size_t unchecked(char *buf, size_t cap, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t len = ebb__vfmt(buf, cap, format, args);
    va_end(args);
    return len;
}

static void what_it_does_its_own_way(void)
{
    char text[64];
    EXPECT_EQ(unchecked(text, sizeof(text), "%s", (char *)NULL), 6);
    EXPECT(strcmp(text, "(null)") == 0);
    EXPECT_EQ(ebb__fmt(text, sizeof(text), "%p", (void *)NULL), 3);
    EXPECT(strcmp(text, "0x0") == 0);
}

static void odd_formats(void)
{
    char text[64];
    EXPECT(unchecked(text, sizeof(text), "100%") == 3 && strcmp(text, "100") == 0);
    EXPECT(unchecked(text, sizeof(text), "%l") == 0 && strcmp(text, "") == 0);
    EXPECT(unchecked(text, sizeof(text), "a%llz") == 1 && strcmp(text, "a") == 0);
    EXPECT(unchecked(text, sizeof(text), "%q%") == 1 && strcmp(text, "q") == 0);
}

static void cut_to_what_fits(void)
{
    const char *whole = "abc -123 0xff";
    for (size_t cap = 0; cap <= 20; cap++) {
        char text[24];
        memset(text, '#', sizeof(text));
        size_t len = ebb__fmt(text, cap, "%s %d %p", "abc", -123, (void *)0xff);
        size_t want = cap == 0 ? 0 : ebb__min(cap - 1, strlen(whole));
        EXPECT_EQ(len, want);
        EXPECT(memcmp(text, whole, want) == 0);
        EXPECT(cap == 0 || text[want] == '\0');
        for (size_t i = cap == 0 ? 0 : want + 1; i < sizeof(text); i++)
            EXPECT_MSG(text[i] == '#', "capacity %zu: byte %zu was written", cap, i);
    }
}

/* ---- the line ---- */

static void say(void *text)
{
    errno = 123;
    ebb__complain("%s has %u of %zu", (const char *)text, 7U, (size_t)9);
    _exit(errno == 123 ? 0 : 9);
}

static void die(void *text)
{
    ebb__die("%s dies", (const char *)text);
}

static void complain_writes_one_line(void)
{
    struct support_outcome out = support_capture(say, (void *)(uintptr_t) "something");
    EXPECT_MSG(WIFEXITED(out.status) && WEXITSTATUS(out.status) == 0, "0x%x", (unsigned)out.status);
    EXPECT_MSG(strcmp(out.text, "ebb: something has 7 of 9\n") == 0, "%s", out.text);
}

static void die_writes_one_line_and_aborts(void)
{
    struct support_outcome out = support_capture(die, (void *)(uintptr_t) "somebody");
    EXPECT(support_aborted(&out));
    EXPECT_MSG(strcmp(out.text, "ebb: somebody dies\n") == 0, "%s", out.text);
}

static void long_lines_are_cut_but_end(void)
{
    static char huge[5000];
    memset(huge, 'x', sizeof(huge) - 1);
    struct support_outcome out = support_capture(die, huge);
    EXPECT(support_aborted(&out));
    EXPECT_MSG(out.lines == 1 && out.text[out.len - 1] == '\n' && out.len <= 512 && out.len > 200,
               "%zu bytes", out.len);
}

static void close_and_die(void *text)
{
    (void)close(STDERR_FILENO);
    die(text);
}

static void without_standard_error_it_dies_all_the_same(void)
{
    struct support_outcome out = support_capture(close_and_die, (void *)(uintptr_t) "x");
    EXPECT(support_aborted(&out) && out.len == 0);
}

static void assert_wrong(void *unused)
{
    (void)unused;
    EBB_ASSERT(1 == 2);
}

static void asserts_follow_the_debug_level(void)
{
    struct support_outcome out = support_capture(assert_wrong, NULL);
    if (EBB_DEBUG >= 1)
        EXPECT(support_aborted(&out) && strstr(out.text, "ebb: assertion failed: 1 == 2 (") == out.text);
    else
        EXPECT(out.status == 0 && out.len == 0);
}

static int holds(int a, int b)
{
    EBB_HOLDS("X7", a == b, a, b);
    return 0;
}

static void check_holds(void *unused)
{
    (void)unused;
    _exit(holds(3, 3) == 0 && holds(3, 4) == -EUCLEAN ? 0 : 1);
}

static void a_broken_invariant_is_named(void)
{
    struct support_outcome out = support_capture(check_holds, NULL);
    EXPECT(out.status == 0 && out.lines == 1);
    EXPECT_MSG(strncmp(out.text, "ebb: invariant X7 broken: a == b (3, 4) at ", 43) == 0, "%s", out.text);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(like_snprintf),
        CASE(what_it_does_its_own_way),
        CASE(odd_formats),
        CASE(cut_to_what_fits),
        CASE(complain_writes_one_line),
        CASE(die_writes_one_line_and_aborts),
        CASE(long_lines_are_cut_but_end),
        CASE(without_standard_error_it_dies_all_the_same),
        CASE(asserts_follow_the_debug_level),
        CASE(a_broken_invariant_is_named),
    };
    return RUN_CASES(cases);
}
