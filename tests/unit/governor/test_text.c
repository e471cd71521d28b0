/* SPDX-License-Identifier: MIT
 *
 * Texts of the kernel taken apart: what is there, what is missing, and any bytes at all.
 */
#include "support.h"

#include "governor/text_priv.h"

/* A text at the end of a block of its own, so that a sanitizer sees a read beyond it. Freed by the next call. */
static struct ebb_text of(const char *text, size_t len)
{
    static char *held;
    free(held);
    held = malloc(len == 0 ? 1 : len);
    EXPECT(held != NULL);
    memcpy(held, text, len);
    return ebb__text(held, len);
}

#define OF(text) of(text, strlen(text))

static void numbers_and_limits(void)
{
    static const struct {
        const char *text;
        bool known;
        uint64_t limit;
    } rows[] = {
        {"0\n", true, 0},
        {"4096\n", true, 4096},
        {"4096", true, 4096},
        {"max\n", true, EBB_NO_LIMIT},
        {"max", true, EBB_NO_LIMIT},
        {"9223372036854771712\n", true, EBB_NO_LIMIT}, /* pages of 4 KiB */
        {"9223372036854710272\n", true, EBB_NO_LIMIT}, /* pages of 64 KiB */
        {"9223372036854710271\n", true, UINT64_C(9223372036854710271)},
        {"18446744073709551615\n", true, EBB_NO_LIMIT},
        {"18446744073709551616\n", false, 0},
        {"", false, 0},
        {"\n", false, 0},
        {"maximum\n", false, 0},
        {"12x\n", false, 0},
        {"-1\n", false, 0},
        {" 12\n", false, 0},
    };
    for (size_t i = 0; i < EBB_ARRAY_COUNT(rows); i++) {
        struct ebb_known limit = ebb__text_limit(OF(rows[i].text));
        EXPECT_MSG(limit.known == rows[i].known && (!limit.known || limit.value == rows[i].limit), "row %zu",
                   i);
    }
    EXPECT(!ebb__text_one_number(OF("max\n")).known);
    EXPECT_EQ(ebb__text_one_number(OF("77\n")).value, 77);
}

static void rows_are_found_by_name(void)
{
    struct ebb_known a = {0}, b = {0}, c = {0}, d = {0}, e = {0};
    const struct ebb_text_row rows[] = {
        {"MemTotal", &a}, {"total_cache", &b}, {"cache", &c}, {"huge", &d}, {"missing", &e}};
    ebb__text_rows(
        OF("rubbish\n\nMemTotal:       12 kB\ntotal_cache 5\ncache 6\ncache 7\nhuge 18446744073709551615 kB\n"
           "missing\nmissing x\nmissin 3\nmissings 3\nlast 1"),
        rows, EBB_ARRAY_COUNT(rows));
    EXPECT(a.known && a.value == 12 * 1024);
    EXPECT(b.known && b.value == 5);
    EXPECT(c.known && c.value == 6);
    EXPECT(!d.known && !e.known);
}

static void stalls(void)
{
    struct ebb_stall s;
    ebb__text_stall(OF("some avg10=24.59 avg60=73.18 avg300=80.07 total=5738486282\n"
                       "full avg10=0.05 avg60=0.00 avg300=0.00 total=17\n"),
                    &s);
    EXPECT(s.some_avg10_hundredths.value == 2459 && s.some_total_us.value == UINT64_C(5738486282));
    EXPECT(s.full_avg10_hundredths.value == 5 && s.full_total_us.value == 17 && s.full_total_us.known);
    ebb__text_stall(OF("some avg10=1.5 avg60=0.00 total=x\nhalf avg10=1.50\nfull\n"), &s);
    EXPECT(!s.some_avg10_hundredths.known && !s.some_total_us.known && !s.full_total_us.known);
    ebb__text_stall(OF("some avg10=100.00 new=3 total=9 more\n"), &s);
    EXPECT(s.some_avg10_hundredths.value == 10000 && s.some_total_us.value == 9);
    ebb__text_stall(OF(""), &s);
    EXPECT(!s.some_avg10_hundredths.known);
}

static void mounts(void)
{
    struct ebb_text_mount m;
    EXPECT(
        ebb__text_mount(OF("36 31 0:33 /a\\040b /sys/fs/cgroup/memory rw,relatime shared:9 master:2 - cgroup "
                           "cgroup rw,memory,xattr"),
                        &m));
    EXPECT(ebb__text_is(m.root, "/a\\040b") && ebb__text_is(m.point, "/sys/fs/cgroup/memory"));
    EXPECT(ebb__text_is(m.kind, "cgroup") && ebb__text_lists(m.options, "memory") &&
           ebb__text_lists(m.options, "xattr") && !ebb__text_lists(m.options, "mem"));
    EXPECT(ebb__text_mount(OF("30 22 0:26 / /sys/fs/cgroup rw - cgroup2 none rw"), &m));
    EXPECT(ebb__text_is(m.kind, "cgroup2"));
    static const char *const bad[] = {
        "",
        "36 31 0:33 / /sys/fs/cgroup/memory rw,relatime",
        "36 31 0:33 / /sys/fs/cgroup/memory rw -",
        "36 31 0:33 / /sys/fs/cgroup/memory rw - cgroup cgroup",
        "36 31 0:33 x /sys rw - cgroup cgroup rw,memory",
        "36 31 0:33  /sys rw - cgroup cgroup rw,memory",
        "36 31",
    };
    for (size_t i = 0; i < EBB_ARRAY_COUNT(bad); i++)
        EXPECT_MSG(!ebb__text_mount(OF(bad[i]), &m), "row %zu", i);
}

static void names(void)
{
    char name[8];
    EXPECT(ebb__text_unescape(OF("a\\040b"), name, sizeof(name)) == 3 && strcmp(name, "a b") == 0);
    EXPECT(ebb__text_unescape(OF("\\134\\011"), name, sizeof(name)) == 2 && strcmp(name, "\\\t") == 0);
    EXPECT(ebb__text_unescape(OF("\\04"), name, sizeof(name)) == 3 && strcmp(name, "\\04") == 0);
    EXPECT(ebb__text_unescape(OF("\\777"), name, sizeof(name)) == 4);
    EXPECT_EQ(ebb__text_unescape(OF("a\\000"), name, sizeof(name)), -EINVAL);
    EXPECT_EQ(ebb__text_unescape(of("a\0b", 3), name, sizeof(name)), -EINVAL);
    EXPECT_EQ(ebb__text_unescape(OF("12345678"), name, sizeof(name)), -ENAMETOOLONG);
    EXPECT_EQ(ebb__text_unescape(OF("1234567"), name, sizeof(name)), 7);
}

static void cgroups(void)
{
    struct ebb_text_cgroup c;
    EXPECT(ebb__text_cgroup(OF("4:cpu,memory:/a:b c"), &c));
    EXPECT(ebb__text_is(c.path, "/a:b c") && ebb__text_lists(c.controllers, "memory"));
    EXPECT(ebb__text_cgroup(OF("0::/"), &c) && ebb__text_len(c.controllers) == 0 &&
           ebb__text_is(c.path, "/"));
    EXPECT(!ebb__text_cgroup(OF("0::"), &c) && !ebb__text_cgroup(OF("4:memory"), &c) &&
           !ebb__text_cgroup(OF("4:memory:a"), &c) && !ebb__text_cgroup(OF(""), &c));
}

static void calls(void)
{
    static const struct {
        const char *line;
        uint32_t level; /* 0: it is none */
        uint64_t bytes;
    } rows[] = {
        {"yellow", 1, 0},
        {"orange 50M", 2, UINT64_C(50) << 20},
        {"red 104857600", 3, 104857600},
        {"red 3K", 3, 3072},
        {"yellow 1G", 1, UINT64_C(1) << 30},
        {"orange 0", 2, 0},
        {"orange 18446744073709551615", 2, UINT64_MAX},
        {"orange 18446744073709551615K", 0, 0},
        {"orange 18446744073709551616", 0, 0},
        {"orange 50M ", 0, 0},
        {"orange 50m", 0, 0},
        {"orange 50MB", 0, 0},
        {"orange -5", 0, 0},
        {"orange  5", 0, 0},
        {"orange x", 0, 0},
        {" orange", 0, 0},
        {"Orange", 0, 0},
        {"green 5", 0, 0},
        {"memory, please", 0, 0},
        {"oran", 0, 0},
        {" ", 0, 0},
        {"", 0, 0},
    };
    for (size_t i = 0; i < EBB_ARRAY_COUNT(rows); i++) {
        uint32_t level = 0;
        uint64_t bytes = 0;
        bool is = ebb__text_call(OF(rows[i].line), &level, &bytes);
        EXPECT_MSG(is == (rows[i].level != 0) && level == rows[i].level && bytes == rows[i].bytes, "'%s'",
                   rows[i].line);
    }
}

static void base64(void)
{
    static const struct {
        const char *code, *text;
        long len;
    } rows[] = {
        {"", "", 0},
        {"Zg==", "f", 1},
        {"Zg", "f", 1},
        {"Zm8=", "fo", 2},
        {"Zm8", "fo", 2},
        {"Zm9v", "foo", 3},
        {"Zm9vYg==", "foob", 4},
        {"Zm9vYmFy", "foobar", 6},
        {" Zm9v\nYmFy ", "foobar", 6},
        {"+/+/", "\373\377\277", 3},
        {"c29tZSAyMDAwMDAgMjAwMDAwMAA=", "some 200000 2000000\0", 20},
        {"Z", "", -EINVAL},
        {"Zg=", "", -EINVAL},
        {"Zg===", "", -EINVAL},
        {"=", "", -EINVAL},
        {"Zg==Zg==", "", -EINVAL},
        {"Zm9-", "", -EINVAL},
        {"Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFy", "", -EMSGSIZE},
    };
    for (size_t i = 0; i < EBB_ARRAY_COUNT(rows); i++) {
        unsigned char got[20];
        long len = ebb__text_base64(OF(rows[i].code), got, sizeof(got));
        EXPECT_MSG(len == rows[i].len && (len < 0 || memcmp(got, rows[i].text, (size_t)len) == 0),
                   "row %zu: %ld", i, len);
    }
}

/* Any bytes, and real ones with some of them changed or cut off: nothing reads beyond the end, what is written fits. */
static void any_bytes(void)
{
    static const char *const seeds[] = {
        "some avg10=24.59 avg60=73.18 avg300=80.07 total=5738486282\nfull avg10=0.05 avg60=0.00 total=17\n",
        "36 31 0:33 /a\\040b /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory",
        "4:cpu,memory:/a/b (deleted)",
        "MemTotal:       12345 kB\ncache 5\nunder_oom 0\n",
        "c29tZSAyMDAwMDAgMjAwMDAwMAA=",
        "yellow\norange 50M\nred 104857600\n",
        "9223372036854771712\n",
    };
    struct support_rng rng = {support_seed("any_bytes")};
    for (unsigned round = 0; round < 200000; round++) {
        char text[128], name[32];
        unsigned char bytes[16];
        const char *seed = seeds[support_below(&rng, EBB_ARRAY_COUNT(seeds))];
        size_t len = strlen(seed);
        memcpy(text, seed, len);
        for (size_t i = support_below(&rng, 4); i != 0; i--)
            text[support_below(&rng, len)] = (char)support_next(&rng);
        struct ebb_text t = of(text, support_between(&rng, 0, len));
        struct ebb_known known = {0};
        const struct ebb_text_row row = {"cache", &known};
        struct ebb_stall stall;
        struct ebb_text_mount mount;
        struct ebb_text_cgroup cgroup;
        ebb__text_rows(t, &row, 1);
        ebb__text_stall(t, &stall);
        (void)ebb__text_limit(t);
        if (ebb__text_mount(t, &mount)) {
            EXPECT(mount.root.at >= t.at && mount.options.end <= t.end && *mount.point.at == '/');
            (void)ebb__text_lists(mount.options, "memory");
        }
        if (ebb__text_cgroup(t, &cgroup))
            EXPECT(cgroup.path.end == t.end && *cgroup.path.at == '/');
        long n = ebb__text_unescape(t, name, sizeof(name));
        EXPECT(n < (long)sizeof(name) && (n < 0 || name[n] == '\0'));
        n = ebb__text_base64(t, bytes, sizeof(bytes));
        EXPECT(n <= (long)sizeof(bytes));
    }
}

/* ---- what facts add up to ---- */

static void room(void)
{
    struct ebb_pressure_level l = {0};
    EXPECT(!ebb__level_headroom(&l).known && !ebb__level_room(&l).known);
    l.limit_bytes = ebb__known(EBB_NO_LIMIT);
    l.high_bytes = ebb__known(1000);
    EXPECT(!ebb__level_headroom(&l).known);
    l.usage_bytes = ebb__known(400);
    EXPECT_EQ(ebb__level_headroom(&l).value, 600);
    l.limit_bytes = ebb__known(800);
    EXPECT_EQ(ebb__level_headroom(&l).value, 400);
    EXPECT_EQ(ebb__level_room(&l).value, 400); /* cache not known: the careful answer */
    l.clean_bytes = ebb__known(50);
    EXPECT_EQ(ebb__level_room(&l).value, 450);
    l.usage_bytes = ebb__known(5000);
    EXPECT(ebb__level_headroom(&l).known && ebb__level_headroom(&l).value == 0);
    l.usage_bytes = ebb__known(0);
    l.memsw_limit_bytes = ebb__known(900);
    l.memsw_usage_bytes = ebb__known(890);
    EXPECT_EQ(ebb__level_headroom(&l).value, 10);
    l.memsw_usage_bytes = ebb__known(0);
    EXPECT_EQ(ebb__level_headroom(&l).value, 800);
    l.clean_bytes = ebb__known(UINT64_MAX);
    EXPECT(ebb__level_room(&l).known && ebb__level_room(&l).value != EBB_NO_LIMIT);
}

static void tightest(void)
{
    struct ebb_pressure_facts f = {.count = 0};
    EXPECT_EQ(ebb__pressure_tightest(&f), EBB_PRESSURE_NONE);
    f.count = 4;
    EXPECT_EQ(ebb__pressure_tightest(&f), EBB_PRESSURE_NONE);
    static const uint64_t rooms[] = {300, 200, 200, 250};
    for (uint32_t i = 0; i < 4; i++) {
        f.levels[i].limit_bytes = ebb__known(1000);
        f.levels[i].usage_bytes = ebb__known(1000 - rooms[i]);
    }
    EXPECT_EQ(ebb__pressure_tightest(&f), 1);
    f.levels[1].clean_bytes = ebb__known(120);
    EXPECT_EQ(ebb__pressure_tightest(&f), 2);
    f.levels[2].usage_bytes.known = false;
    EXPECT_EQ(ebb__pressure_tightest(&f), 3);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(numbers_and_limits),
        CASE(rows_are_found_by_name),
        CASE(stalls),
        CASE(mounts),
        CASE(names),
        CASE(cgroups),
        CASE(calls),
        CASE(base64),
        CASE(any_bytes),
        CASE(room),
        CASE(tightest),
    };
    return RUN_CASES(cases);
}
