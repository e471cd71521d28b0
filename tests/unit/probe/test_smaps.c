/* SPDX-License-Identifier: MIT
 *
 * Tests of the parsers of /proc/PID/smaps: what kernels write, damage, and ourselves.
 */
#include "test_probe.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "probe/probe.h"

static const char TWO[] =
    "55b6e3a00000-55b6e3a21000 r--p 00000000 fe:01 131234                     /usr/sbin/mariadbd\n"
    "Size:                132 kB\n"
    "KernelPageSize:        4 kB\n"
    "Rss:                 100 kB\n"
    "Pss_Novel:            77 kB\n"
    "Shared_Dirty:          8 kB\n"
    "Private_Dirty:        12 kB\n"
    "AnonHugePages:      2048 kB\n"
    "FilePmdMapped:      4096 kB\n"
    "THPeligible:           1\n"
    "VmFlags: rd mr mw me zz hg \n"
    "7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n"
    "Size:                  4 kB\n"
    "Rss:                   0 kB\n"
    "Rss:                   9 kB\n"
    "Swap:                  4 kB\n"
    "VmFlags: rd wr ht nh";

static uint64_t bit(enum ebb_vm_flag flag)
{
    return UINT64_C(1) << flag;
}

static void assert_fact(struct ebb_fact fact, uint64_t value)
{
    assert_true(fact.known);
    assert_int_equal(fact.value, value);
}

static void assert_missing(struct ebb_fact fact)
{
    assert_false(fact.known);
    assert_int_equal(fact.err, -ENODATA);
}

static struct ebb_smaps smaps;
static struct ebb_smap smap;

static void test_entries(void **state)
{
    char text[sizeof(TWO) + 1];

    (void)state;
    snprintf(text, sizeof(text), "%s\n", TWO);
    ebb__smaps_open_text(&smaps, text, strlen(text));
    assert_int_equal(ebb__smaps_next(&smaps, &smap), 1);
    assert_int_equal(smap.map.start, 0x55b6e3a00000);
    assert_int_equal(smap.map.name_len, strlen("/usr/sbin/mariadbd"));
    assert_memory_equal(smap.map.name, "/usr/sbin/mariadbd", smap.map.name_len);
    assert_fact(smap.facts[EBB_SMAPS_SIZE], 132 << 10);
    assert_fact(smap.facts[EBB_SMAPS_KERNEL_PAGE_SIZE], 4096);
    assert_fact(smap.facts[EBB_SMAPS_RSS], 100 << 10);
    assert_missing(smap.facts[EBB_SMAPS_PSS]);
    assert_fact(smap.facts[EBB_SMAPS_THP_ELIGIBLE], 1);
    assert_fact(ebb__smap_dirty(smap.facts), 20 << 10);
    assert_fact(ebb__smap_huge(smap.facts), 6144 << 10);
    assert_true(smap.has_flags);
    assert_int_equal(smap.flags, bit(EBB_VM_FLAG_READ) | bit(EBB_VM_FLAG_MAY_READ) |
                                     bit(EBB_VM_FLAG_MAY_WRITE) | bit(EBB_VM_FLAG_MAY_EXECUTE) |
                                     bit(EBB_VM_FLAG_HUGE_PAGES));
    /* Of a line that comes twice the first counts; the last line may end in a flag. */
    assert_int_equal(ebb__smaps_next(&smaps, &smap), 1);
    assert_int_equal(smap.map.start, 0x7f0000000000);
    assert_int_equal(smap.map.name_len, 0);
    assert_fact(smap.facts[EBB_SMAPS_RSS], 0);
    assert_fact(smap.facts[EBB_SMAPS_SWAP], 4096);
    assert_missing(ebb__smap_dirty(smap.facts));
    assert_missing(ebb__smap_huge(smap.facts));
    assert_int_equal(smap.flags, bit(EBB_VM_FLAG_READ) | bit(EBB_VM_FLAG_WRITE) | bit(EBB_VM_FLAG_HUGETLB) |
                                     bit(EBB_VM_FLAG_NO_HUGE_PAGES));
    assert_true(ebb__smap_has_flag(&smap, EBB_VM_FLAG_HUGETLB));
    assert_int_equal(ebb__smaps_next(&smaps, &smap), 0);
    assert_int_equal(ebb__smaps_next(&smaps, &smap), 0);
}

/* Names that are lines of smaps are none, because the kernel writes their newlines as \012; the names of two entries do not mix. */
static void test_names(void **state)
{
    static const char TEXT[] = "1000-2000 r--p 00000000 08:01 7 /tmp/a\\012Rss:  5 kB\n"
                               "Rss: 4 kB\n"
                               "2000-3000 r--p 00000000 08:01 8 /tmp/b c\n"
                               "3000-4000 r--p 00000000 00:00 0 [anon:Rss: 12 kB]\n";
    static const char *const NAMES[] = {"/tmp/a\nRss:  5 kB", "/tmp/b c", "[anon:Rss: 12 kB]"};

    (void)state;
    ebb__smaps_open_text(&smaps, TEXT, sizeof(TEXT) - 1);
    for (unsigned i = 0; i < 3; i++) {
        char name[64];

        assert_int_equal(ebb__smaps_next(&smaps, &smap), 1);
        assert_int_equal(ebb__maps_name_decode(&smap.map, name, sizeof(name)), 0);
        assert_string_equal(name, NAMES[i]);
        assert_false(smap.has_flags);
        if (i == 0)
            assert_fact(smap.facts[EBB_SMAPS_RSS], 4096);
        else
            assert_missing(smap.facts[EBB_SMAPS_RSS]);
    }
    assert_int_equal(ebb__smaps_next(&smaps, &smap), 0);
}

static void test_damage(void **state)
{
    static const char NO_HEAD[] = "Rss: 4 kB\n1000-2000 r--p 00000000 08:01 7 /a\n";
    static const char VALUES[] = "1000-2000 r--p 00000000 08:01 7 /a\n"
                                 "Rss: -4 kB\n"
                                 "Pss: 18014398509481984 kB\n"
                                 "Swap: 4\n"
                                 "Locked:\n"
                                 "\n"
                                 "THPeligible: 99999999999999999999\n"
                                 "VmFlags:\n";
    static const char NUL[] = "1000-2000 r--p 00000000 08:01 7 /a\n"
                              "Rss\0Pss: 4 kB\n";

    (void)state;
    ebb__smaps_open_text(&smaps, NO_HEAD, sizeof(NO_HEAD) - 1);
    assert_int_equal(ebb__smaps_next(&smaps, &smap), -EBADMSG);
    assert_int_equal(ebb__smaps_next(&smaps, &smap), 1);
    assert_int_equal(ebb__smaps_next(&smaps, &smap), 0);
    ebb__smaps_open_text(&smaps, VALUES, sizeof(VALUES) - 1);
    assert_int_equal(ebb__smaps_next(&smaps, &smap), 1);
    for (unsigned i = 0; i < EBB_SMAPS_FIELD_COUNT; i++)
        assert_missing(smap.facts[i]);
    assert_true(smap.has_flags);
    assert_int_equal(smap.flags, 0);
    ebb__smaps_open_text(&smaps, NUL, sizeof(NUL) - 1);
    assert_int_equal(ebb__smaps_next(&smaps, &smap), 1);
    assert_missing(smap.facts[EBB_SMAPS_RSS]);
}

/* Wherever the text is cut off, the walk ends and says that it was. */
static void test_cut_off(void **state)
{
    (void)state;
    for (size_t len = 1; len < sizeof(TWO); len++) {
        char *copy = test_copy(TWO, len);
        int got;

        ebb__smaps_open_text(&smaps, copy, len);
        while ((got = ebb__smaps_next(&smaps, &smap)) == 1)
            assert_true(smap.map.start < smap.map.end);
        assert_int_equal(got, copy[len - 1] == '\n' ? 0 : -EBADMSG);
        assert_int_equal(ebb__smaps_next(&smaps, &smap), 0);
        free(copy);
    }
}

/* A block of which we know how much is resident. */
static void test_ourselves(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *block = mmap(NULL, 64 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool found = false;
    int got;

    (void)state;
    assert_true(block != MAP_FAILED);
    /* Alone, so that it is a mapping of its own, and in small pages. */
    assert_int_equal(mprotect(block, page, PROT_NONE), 0);
    assert_int_equal(mprotect(block + 63 * page, page, PROT_NONE), 0);
    madvise(block, 64 * page, MADV_NOHUGEPAGE);
    for (unsigned i = 1; i <= 10; i++)
        block[i * page] = 1;
    got = ebb__smaps_open(&smaps, "", getpid());
    if (got == -ENOENT)
        skip();
    assert_int_equal(got, 0);
    while ((got = ebb__smaps_next(&smaps, &smap)) > 0) {
        if (smap.map.start != (uintptr_t)block + page)
            continue;
        found = true;
        assert_int_equal(smap.map.end, (uintptr_t)block + 63 * page);
        assert_fact(smap.facts[EBB_SMAPS_RSS], 10 * page);
        assert_fact(ebb__smap_dirty(smap.facts), 10 * page);
        assert_true(ebb__smap_has_flag(&smap, EBB_VM_FLAG_WRITE));
        assert_false(ebb__smap_has_flag(&smap, EBB_VM_FLAG_EXECUTE));
    }
    ebb__smaps_close(&smaps);
    assert_int_equal(got, 0);
    assert_true(found);
    munmap(block, 64 * page);
}

static void test_estimate(void **state)
{
    (void)state;
    assert_int_equal(ebb__smaps_estimate_ms(0, 100), 0);
    /* What was measured once for 210 GiB. */
    assert_in_range(ebb__smaps_estimate_ms(UINT64_C(210) << 30, 1000), 4000, 5000);
    assert_in_range(ebb__smaps_estimate_ms(UINT64_C(8) << 40, 0), 100000, 200000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries), cmocka_unit_test(test_names),     cmocka_unit_test(test_damage),
        cmocka_unit_test(test_cut_off), cmocka_unit_test(test_ourselves), cmocka_unit_test(test_estimate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
