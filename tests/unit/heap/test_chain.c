/* SPDX-License-Identifier: MIT
 *
 * Chains: blocks of more than one extent, of more than one group, and what is left when they go.
 */
#include "heap_test.h"

static void expect_span(const char *p, size_t units)
{
    size_t usable = 0;
    enum ebb_block_kind kind = ebb__heap_kind(p, true, &usable);
    EXPECT_MSG(kind == EBB_BLOCK_SPAN && usable == UNITS(units), "%p of %zu units: kind %d, %zu units", p,
               units, kind, usable / EBB_UNIT_BYTES);
}

/* Every length of 1 to 70 extents, whole ones and with a tail, alone in the heap and beside another block. */
static void every_length(bool beside)
{
    for (unsigned k = 1; k <= 70; k++)
        for (int tail = -1; tail <= 1; tail++) {
            char *other = beside ? span(UNITS(100)) : NULL;
            size_t units = k * EBB_EXTENT_UNITS + (size_t)tail;
            char *p = span(UNITS(units));
            expect_span(p, units);
            p[0] = 1;
            p[UNITS(units) - 1] = 1;
            EXPECT_MSG(ebb__heap_check() == 0, "%u extents %+d units", k, tail);
            ebb__heap_large_free(p);
            if (other != NULL)
                ebb__heap_large_free(other);
            EXPECT_MSG(ebb__heap_check() == 0, "%u extents %+d units, freed", k, tail);
            EXPECT_EQ(stats_now().span_bytes, 0);
            EXPECT_EQ(stats_now().backed_bytes, stats_now().dirty_bytes);
        }
}

static void every_length_alone(void)
{
    every_length(false);
}

static void every_length_beside_another(void)
{
    every_length(true);
}

/* Lengths around whole groups, where a chain may end exactly with one. */
static void lengths_around_groups(void)
{
    for (unsigned groups = 1; groups <= 4; groups++)
        for (int off = -3; off <= 3; off++)
            for (int tail = -1; tail <= 1; tail++) {
                size_t k = (size_t)((int)(groups * EBB_GROUP_EXTENTS) + off),
                       units = k * EBB_EXTENT_UNITS + (size_t)tail;
                char *p = span(UNITS(units));
                expect_span(p, units);
                p[0] = 1;
                p[UNITS(units) - 1] = 1;
                EXPECT_MSG(ebb__heap_check() == 0, "%zu extents %+d units", k, tail);
                ebb__heap_large_free(p);
                EXPECT_MSG(ebb__heap_check() == 0, "%zu extents %+d units, freed", k, tail);
            }
}

static void lengths_around_groups_aligned(void)
{
    for (size_t align = EXTENTS(2); align <= EXTENTS(32); align *= 2)
        for (size_t k = 30; k <= 200; k += k < 70 || (k > 120 && k < 130) ? 1 : 7) {
            size_t units = k * EBB_EXTENT_UNITS - k % 3;
            char *p = span_aligned(UNITS(units), align);
            expect_span(p, units);
            p[UNITS(units) - 1] = 1;
            EXPECT_MSG(ebb__heap_check() == 0, "%zu extents aligned to %zu", k, align);
            ebb__heap_large_free(p);
            EXPECT_MSG(ebb__heap_check() == 0, "%zu extents aligned to %zu, freed", k, align);
            EXPECT_EQ(stats_now().backed_bytes, stats_now().dirty_bytes);
        }
}

static void long_chains_side_by_side(void)
{
    static const size_t sizes[] = {EBB_MIB(130), EBB_MIB(126) + 1, EBB_MIB(300),
                                   EBB_MIB(128), EBB_MIB(254) + 5, EBB_MIB(64)};
    char *blocks[EBB_ARRAY_COUNT(sizes)];
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < EBB_ARRAY_COUNT(sizes); i++) {
            blocks[i] = span(sizes[i]);
            support_fill(blocks[i], sizes[i], i);
            EXPECT_HEAP_OK();
        }
        for (size_t n = 0; n < EBB_ARRAY_COUNT(sizes); n++) {
            size_t i = (n * 5 + round) % EBB_ARRAY_COUNT(sizes);
            EXPECT(support_kept(blocks[i], sizes[i], sizes[i], i));
            ebb__heap_large_free(blocks[i]);
            EXPECT_HEAP_OK();
        }
    }
    EXPECT_EQ(stats_now().span_bytes, 0);
}

/* The rest of a tail's extent serves other large spans. */
static void a_tail_shares_its_extent(void)
{
    char *p = span(EXTENTS(3) + UNITS(100));
    char *q = span(UNITS(80));
    EXPECT(q == p + EXTENTS(3) + UNITS(100));
    EXPECT_HEAP_OK();
    ebb__heap_large_free(p);
    EXPECT_HEAP_OK();
    EXPECT_EQ(stats_now().span_bytes, UNITS(80));
    ebb__heap_large_free(q);
    EXPECT_HEAP_OK();
}

/* Of two places the one that is just large enough, though the other lies below. */
static void tightest_place_first(void)
{
    char *wide = span(EXTENTS(6)), *a = span(EXTENTS(3)), *tight = span(EXTENTS(4)), *b = span(EXTENTS(3));
    EXPECT(tight == wide + EXTENTS(9) && b == tight + EXTENTS(4));
    ebb__heap_large_free(wide);
    ebb__heap_large_free(tight);
    EXPECT(span(EXTENTS(4)) == tight);
    EXPECT(span(EXTENTS(6)) == wide);
    EXPECT_HEAP_OK();
    ebb__heap_large_free(tight);
    EXPECT(span_aligned(EXTENTS(3), EXTENTS(4)) >
           (void *)a); /* where the alignment wants it, it must fit too */
    EXPECT_HEAP_OK();
}

static void lowest_place_first(void)
{
    char *a = span(EXTENTS(4)), *b = span(EXTENTS(4)), *c = span(EXTENTS(4));
    EXPECT(b == a + EXTENTS(4) && c == b + EXTENTS(4));
    ebb__heap_large_free(a);
    ebb__heap_large_free(b);
    EXPECT(span(EXTENTS(3)) == a);
    EXPECT(span(EXTENTS(6)) == c + EXTENTS(4));
    EXPECT(span(EXTENTS(5)) == a + EXTENTS(3));
    EXPECT_HEAP_OK();
}

/* Blocks of 32 MiB and more go back to the kernel when they are freed; smaller ones stay. */
static void large_ones_go_back_at_once(void)
{
    static const size_t sizes[] = {EBB_MIB(32), EBB_MIB(33) + 5000, EBB_MIB(130) + 12345};
    for (size_t page = 4096; page <= EBB_KIB(64); page *= 16) {
        ebb_fake.page_bytes = page;
        for (size_t i = 0; i < EBB_ARRAY_COUNT(sizes); i++) {
            char *p = span(sizes[i]);
            memset(p, 1, sizes[i]);
            EXPECT(ebb_fake_resident_bytes() >= sizes[i]);
            ebb__heap_large_free(p);
            EXPECT_HEAP_OK();
            /* Left: metadata, and at most the OS page that the tail shares. */
            EXPECT_MSG(ebb_fake_resident_bytes() <= EBB_MIB(2), "%zu bytes, pages of %zu: %zu stay", sizes[i],
                       page, ebb_fake_resident_bytes());
            EXPECT_MSG(stats_now().backed_bytes <= page, "%zu", stats_now().backed_bytes);
            char *q = ebb__heap_span_alloc(sizes[i], EBB_UNIT_BYTES, true);
            EXPECT(q != NULL);
            for (size_t at = 0; at < sizes[i]; at += UNITS(7))
                EXPECT_EQ(q[at], 0);
            EXPECT(support_is_zero(q + sizes[i] - UNITS(20), UNITS(20)));
            ebb__heap_large_free(q);
        }
    }
    char *p = span(EBB_MIB(31));
    memset(p, 1, EBB_MIB(31));
    ebb__heap_large_free(p);
    EXPECT(stats_now().dirty_bytes >= EBB_MIB(31));
}

/* The units of an extent that are written and looked at: both ends densely, the middle now and then. */
static unsigned next_probe(unsigned u)
{
    return u < 16 || u >= EBB_EXTENT_UNITS - 16 ? u + 1
           : u + 31 < EBB_EXTENT_UNITS - 16     ? u + 31
                                                : EBB_EXTENT_UNITS - 16;
}

/* A long chain over groups that were in use before, and whose last extent it does not fill: what it leaves
 * must read as zero, since the groups behind its head count as never used. */
static void groups_are_zero_again(size_t chain_units, size_t align)
{
    char *blocks[2 * EBB_GROUP_EXTENTS];
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++) {
        blocks[i] = span(EXTENTS(1));
        for (unsigned u = 0; u < EBB_EXTENT_UNITS; u = next_probe(u))
            blocks[i][UNITS(u)] = 0x5a;
    }
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++)
        ebb__heap_large_free(blocks[i]);
    EXPECT_HEAP_OK();
    char *chain = span_aligned(UNITS(chain_units), align);
    EXPECT(ebb__chain_crosses(chain, chain_units));
    EXPECT_HEAP_OK();
    ebb__heap_large_free(chain);
    EXPECT_HEAP_OK();
    for (unsigned i = 0; i < 4 * EBB_GROUP_EXTENTS; i++) {
        char *p = ebb__heap_span_alloc(EXTENTS(1), EBB_UNIT_BYTES, true);
        EXPECT(p != NULL);
        for (unsigned u = 0; u < EBB_EXTENT_UNITS; u = next_probe(u))
            EXPECT_MSG(p[UNITS(u)] == 0, "unit %u of block %u", u, i);
    }
    EXPECT_HEAP_OK();
}

static void groups_behind_a_chain_are_zero_again(void)
{
    groups_are_zero_again(100 * EBB_EXTENT_UNITS - 100, EBB_UNIT_BYTES);
}

static void groups_behind_a_locked_chain_are_zero_again(void)
{
    ebb_fake.locked = true;
    groups_are_zero_again(100 * EBB_EXTENT_UNITS - 100, EBB_UNIT_BYTES);
}

/* The tail of a chain that is aligned leaves more than an extent behind. */
static void groups_behind_an_aligned_chain_are_zero_again(void)
{
    groups_are_zero_again(70 * EBB_EXTENT_UNITS + 7, EXTENTS(32));
}

static void inside_a_long_chain_is_foreign(void)
{
    char *p = span(EBB_MIB(300));
    size_t usable;
    unsigned foreign = 0;
    for (size_t at = 4096; at < EBB_MIB(300); at += EBB_KIB(256) + 16) {
        enum ebb_block_kind kind = ebb__heap_kind(p + at, true, &usable);
        EXPECT(kind == EBB_BLOCK_FOREIGN || kind == EBB_BLOCK_INVALID);
        foreign += kind == EBB_BLOCK_FOREIGN;
    }
    EXPECT(foreign > 0);
    EXPECT(ebb__heap_kind(p, true, &usable) == EBB_BLOCK_SPAN && usable == EBB_MIB(300));
}

static void hopeless_sizes_fail(void)
{
    static const size_t sizes[] = {(size_t)PTRDIFF_MAX, (size_t)PTRDIFF_MAX - 4095, (size_t)1 << 62,
                                   (size_t)1 << 48, (size_t)1 << 44};
    (void)span(1);
    for (size_t i = 0; i < EBB_ARRAY_COUNT(sizes); i++) {
        EXPECT(ebb__heap_span_alloc(sizes[i], EBB_UNIT_BYTES, false) == NULL);
        EXPECT(ebb__heap_span_alloc(sizes[i], EBB_MIB(32), true) == NULL);
        EXPECT_HEAP_OK();
    }
    (void)span(EBB_MIB(200));
    EXPECT_HEAP_OK();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(every_length_alone),
        CASE(every_length_beside_another),
        CASE(lengths_around_groups),
        CASE(lengths_around_groups_aligned),
        CASE(long_chains_side_by_side),
        CASE(a_tail_shares_its_extent),
        CASE(tightest_place_first),
        CASE(lowest_place_first),
        CASE(large_ones_go_back_at_once),
        CASE(groups_behind_a_chain_are_zero_again),
        CASE(groups_behind_a_locked_chain_are_zero_again),
        CASE(groups_behind_an_aligned_chain_are_zero_again),
        CASE(inside_a_long_chain_is_foreign),
        CASE(hopeless_sizes_fail),
    };
    small_reservations();
    return RUN_CASES(cases);
}
