/* SPDX-License-Identifier: MIT
 *
 * Spans: blocks of whole units, where they are put, how they grow where they are, and what they read as.
 */
#include "heap_test.h"

#include "support.h"

/* Sizes on both sides of every border: small units, mid to large, extent, chain. */
static const size_t SIZES[] = {1,          4096,       4097,      32769,      36864,
                               65536,      262144,     262145,    1 << 20,    2093056,
                               2097152,    2097153,    4194304,   4198401,    33554431,
                               33554432,   33554433,   66 << 20,  126u << 20, (126u << 20) + 1,
                               127u << 20, 128u << 20, 200u << 20};

static void every_size_is_a_span(void)
{
    void *blocks[sizeof(SIZES) / sizeof(SIZES[0])];
    size_t sum = 0;
    for (size_t i = 0; i < EBB_ARRAY_COUNT(SIZES); i++) {
        size_t usable = 0;
        blocks[i] = span(SIZES[i]);
        EXPECT_EQ((uintptr_t)blocks[i] % EBB_UNIT_BYTES, 0);
        EXPECT_EQ(ebb__heap_kind(blocks[i], true, &usable), EBB_BLOCK_SPAN);
        EXPECT_EQ(usable, ebb__align_up(SIZES[i], EBB_UNIT_BYTES));
        support_fill(blocks[i], usable, i);
        sum += usable;
        EXPECT_HEAP_OK();
    }
    EXPECT_EQ(stats_now().span_bytes, sum);
    EXPECT_EQ(stats_now().span_blocks, EBB_ARRAY_COUNT(SIZES));
    /* A long chain counts to the end of its last group; else units are what was asked for. */
    EXPECT(stats_now().backed_bytes >= sum && stats_now().backed_bytes <= sum + EXTENTS(2 * 4));
    for (size_t i = 0; i < EBB_ARRAY_COUNT(SIZES); i++) {
        size_t usable = ebb__align_up(SIZES[i], EBB_UNIT_BYTES);
        EXPECT(support_kept(blocks[i], usable, usable, i));
        ebb__heap_large_free(blocks[i]);
        EXPECT_HEAP_OK();
    }
    EXPECT_EQ(stats_now().span_bytes, 0);
    EXPECT_EQ(stats_now().backed_bytes, stats_now().dirty_bytes);
}

static void kinds_are_kept_apart(void)
{
    char *mid = span(UNITS(20)), *large = span(UNITS(65)), *small = block(ebb__class_of(100));
    EXPECT_EQ(kind_of(mid), EBB_KIND_MID);
    EXPECT_EQ(kind_of(large), EBB_KIND_LARGE);
    EXPECT_EQ(kind_of(small), EBB_KIND_SLAB);
    for (unsigned i = 0; i < 64; i++) {
        EXPECT_EQ(kind_of(span(UNITS(1 + i))), EBB_KIND_MID);
        EXPECT_EQ(kind_of(span(UNITS(65 + i))), EBB_KIND_LARGE);
        EXPECT_EQ(kind_of(block(1 + i)), EBB_KIND_SLAB);
    }
    EXPECT_HEAP_OK();
}

static void backed_units_are_reused_before_clean_ones(void)
{
    char *a = span(UNITS(10)), *b = span(UNITS(10)), *c = span(UNITS(10));
    EXPECT(a + UNITS(10) == b && b + UNITS(10) == c);
    ebb__heap_large_free(b);
    EXPECT_EQ(stats_now().dirty_bytes, UNITS(10));
    EXPECT(span(UNITS(4)) == b); /* the lowest of the dirty ones, though the extent has 482 clean units */
    EXPECT(span(UNITS(6)) == b + UNITS(4));
    EXPECT_EQ(stats_now().dirty_bytes, 0);
    EXPECT(span(UNITS(1)) == c + UNITS(10));
    ebb__heap_large_free(a);
    /* Eleven units do not fit the ten dirty ones. */
    EXPECT(span(UNITS(11)) == c + UNITS(11));
    EXPECT_EQ(stats_now().dirty_bytes, UNITS(10));
    EXPECT_HEAP_OK();
}

static void lowest_address_first(void)
{
    char *blocks[64];
    for (unsigned i = 0; i < 64; i++) {
        blocks[i] = span(UNITS(8));
        EXPECT(i == 0 || blocks[i] == blocks[i - 1] + UNITS(8)); /* 64 of them fill an extent */
    }
    for (unsigned i = 63; i > 0; i -= 3)
        ebb__heap_large_free(blocks[i]);
    for (unsigned i = 3; i < 64; i += 3)
        EXPECT(span(UNITS(8)) == blocks[i]);
    char *next = span(UNITS(8));
    EXPECT(next == blocks[63] + UNITS(8));
    EXPECT_HEAP_OK();
}

/* Recycled memory is cleared, and only that: what the kernel has zeroed costs no page. */
static void zeroed_spans_on_recycled_memory(void)
{
    static const size_t sizes[] = {UNITS(1),   UNITS(20),  UNITS(64),  UNITS(300),
                                   UNITS(512), UNITS(513), EXTENTS(5), EXTENTS(16) + 100};
    for (size_t i = 0; i < EBB_ARRAY_COUNT(sizes); i++) {
        char *p = span(sizes[i]);
        memset(p, 0xa5, sizes[i]);
        ebb__heap_large_free(p);
        char *q = ebb__heap_span_alloc(sizes[i], EBB_UNIT_BYTES, true);
        EXPECT(q == p);
        EXPECT_MSG(support_is_zero(q, sizes[i]), "size %zu", sizes[i]);
        memset(q, 0xa5, sizes[i]);
        ebb__heap_large_free(q);
        EXPECT_HEAP_OK();
    }
    /* Half dirty: the clean half is not touched. */
    size_t before = ebb_fake_resident_bytes();
    char *wide =
        ebb__heap_span_alloc(EXTENTS(40), EBB_UNIT_BYTES, true); /* above: 32 MiB were dirty at most */
    EXPECT(wide != NULL && support_is_zero(wide, 4096));
    EXPECT_MSG(ebb_fake_resident_bytes() <= before + EXTENTS(40), "%zu", ebb_fake_resident_bytes());
    EXPECT_HEAP_OK();
}

static void fresh_zeroed_spans_touch_nothing(void)
{
    (void)span(UNITS(1));
    size_t before = ebb_fake_resident_bytes();
    for (unsigned i = 0; i < 20; i++)
        EXPECT(ebb__heap_span_alloc(EBB_MIB(1), EBB_UNIT_BYTES, true) != NULL);
    EXPECT(ebb__heap_span_alloc(EBB_MIB(90), EBB_UNIT_BYTES, true) != NULL);
    /* Only their descriptors, in pages of whatever size. */
    EXPECT_MSG(ebb_fake_resident_bytes() - before < EBB_KIB(256), "%zu more",
               ebb_fake_resident_bytes() - before);
}

static void alignments(void)
{
    static const size_t sizes[] = {1,           UNITS(1),    UNITS(3),   UNITS(100),
                                   UNITS(511),  UNITS(512),  UNITS(513), EXTENTS(3) + 1,
                                   EXTENTS(31), EXTENTS(40), EXTENTS(63)};
    void *blocks[16][EBB_ARRAY_COUNT(sizes)];
    unsigned k = 0;
    for (size_t align = EBB_UNIT_BYTES; align <= EBB_MIB(64); align *= 2, k++)
        for (size_t i = 0; i < EBB_ARRAY_COUNT(sizes); i++) {
            size_t usable = 0;
            blocks[k][i] = span_aligned(sizes[i], align);
            EXPECT_EQ(ebb__heap_kind(blocks[k][i], true, &usable), EBB_BLOCK_SPAN);
            EXPECT(usable >= sizes[i]);
            support_fill(blocks[k][i], sizes[i], k * 100 + i);
            EXPECT_MSG(ebb__heap_check() == 0, "%zu bytes aligned to %zu", sizes[i], align);
        }
    for (unsigned j = 0; j < k; j++)
        for (size_t i = 0; i < EBB_ARRAY_COUNT(sizes); i++) {
            EXPECT(support_kept(blocks[j][i], sizes[i], sizes[i], j * 100 + i));
            ebb__heap_large_free(blocks[j][i]);
            EXPECT_HEAP_OK();
        }
    EXPECT_EQ(stats_now().span_blocks, 0);
    EXPECT_EQ(stats_now().backed_bytes, stats_now().dirty_bytes);
}

/* A chain that is aligned so that it ends with its group, and whose length is not whole extents. */
static void aligned_chain_to_the_group_end(void)
{
    static const unsigned extents[] = {62, 60, 56, 48, 32};
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(extents); i++) {
        size_t align = EXTENTS(EBB_GROUP_EXTENTS - extents[i]);
        char *p = span_aligned(EXTENTS(extents[i]) - UNITS(100), align);
        EXPECT_MSG(ebb__heap_check() == 0, "%u extents aligned to %zu", extents[i], align);
        ebb__heap_large_free(p);
        EXPECT_HEAP_OK();
        EXPECT_EQ(stats_now().backed_bytes, stats_now().dirty_bytes);
    }
}

static void larger_alignments_have_a_mapping(void)
{
    size_t usable = 0;
    char *p = span_aligned(100, EBB_MIB(128));
    EXPECT_EQ(ebb__heap_kind(p, true, &usable), EBB_BLOCK_LANE);
    EXPECT_EQ(usable, EBB_KIB(64));
    EXPECT(support_is_zero(p, usable));
    EXPECT_EQ(stats_now().lane_blocks, 1);
    ebb__heap_large_free(p);
    EXPECT_EQ(ebb__heap_kind(p, true, &usable), EBB_BLOCK_FOREIGN);
    EXPECT_EQ(ebb_fake.mapped_bytes, 0);
}

/* ---- resizing where it is ---- */

/* Growth may take up to an eighth more than it was asked for. */
static void expect_grown(const void *p, size_t wanted_units)
{
    size_t units = units_of(p);
    EXPECT_MSG(units >= wanted_units && units <= wanted_units + wanted_units / 8, "%zu units for %zu", units,
               wanted_units);
}

static void resize_in_place(void)
{
    char *p = span(UNITS(10));
    support_fill(p, UNITS(10), 7);
    EXPECT(ebb__heap_large_resize(p, UNITS(10)) == p);
    EXPECT(ebb__heap_large_resize(p, UNITS(9) + 1) == p);
    EXPECT_EQ(units_of(p), 10);
    EXPECT(ebb__heap_large_resize(p, UNITS(40)) == p);
    EXPECT_HEAP_OK();
    expect_grown(p, 40);
    size_t grown = units_of(p);
    EXPECT(support_kept(p, UNITS(10), UNITS(10), 7));
    EXPECT(ebb__heap_large_resize(p, UNITS(9)) == p);
    EXPECT_HEAP_OK();
    EXPECT_EQ(stats_now().span_bytes, UNITS(9));
    EXPECT_EQ(stats_now().dirty_bytes, UNITS(grown - 9));
    char *q = span(UNITS(2));
    EXPECT(q == p + UNITS(9));
    EXPECT(ebb__heap_large_resize(p, UNITS(10)) == NULL); /* q is in the way */
    EXPECT_EQ(stats_now().span_bytes, UNITS(11));
    EXPECT(support_kept(p, UNITS(10), UNITS(9), 7));
    ebb__heap_large_free(q);
    ebb__heap_large_free(p);
    EXPECT_HEAP_OK();
}

static void growth_takes_what_there_is(void)
{
    char *p = span(UNITS(100)), *q = span(UNITS(70)), *r = span(UNITS(100));
    EXPECT(q == p + UNITS(100) && r == q + UNITS(70));
    ebb__heap_large_free(q);
    EXPECT(ebb__heap_large_resize(p, UNITS(165)) == p); /* an eighth more is not to be had */
    EXPECT_EQ(units_of(p), 165);
    EXPECT_HEAP_OK();
    EXPECT(ebb__heap_large_resize(p, UNITS(171)) == NULL);
    EXPECT_EQ(units_of(p), 165);
    EXPECT_HEAP_OK();
}

static void resize_moves_between_lifetimes(void)
{
    char *p = span(UNITS(300));
    EXPECT(ebb__heap_large_resize(p, UNITS(64)) == NULL);
    EXPECT(ebb__heap_large_resize(p, UNITS(65)) == p);
    EXPECT_EQ(units_of(p), 65);
    EXPECT_HEAP_OK();
}

/* A span that begins in the middle of its extent and grows into the next ones. */
static void grown_across_extents(size_t start_units, size_t from_units, size_t to_units)
{
    char *first = start_units != 0 ? span(UNITS(start_units)) : NULL;
    char *p = span(UNITS(from_units));
    size_t others = stats_now().span_bytes - UNITS(from_units);
    support_fill(p, UNITS(from_units), 3);
    EXPECT_MSG(ebb__heap_large_resize(p, UNITS(to_units)) == p, "%zu to %zu units", from_units, to_units);
    EXPECT_HEAP_OK();
    expect_grown(p, to_units);
    EXPECT(support_kept(p, UNITS(from_units), UNITS(from_units), 3));
    support_fill(p, UNITS(units_of(p)), 4);
    if (first != NULL)
        EXPECT_EQ(first[0], 0);
    ebb__heap_large_free(p);
    EXPECT_HEAP_OK();
    EXPECT_EQ(stats_now().span_bytes, others);
    if (first != NULL)
        ebb__heap_large_free(first);
    EXPECT_HEAP_OK();
    EXPECT_EQ(stats_now().backed_bytes - stats_now().dirty_bytes, others - UNITS(start_units));
    /* Whatever was given back reads as zero when that is asked for. */
    for (unsigned i = 0; i < 20; i++) {
        char *q = ebb__heap_span_alloc(EXTENTS(2), EBB_UNIT_BYTES, true);
        EXPECT(q != NULL && support_is_zero(q, EXTENTS(2)));
    }
    EXPECT_HEAP_OK();
}

static void grown_mid_span_across_one_border(void)
{
    for (unsigned i = 0; i < 7; i++)
        (void)span(UNITS(60));
    grown_across_extents(0, 60, 300);
}

static void grown_large_span_across_one_border(void)
{
    grown_across_extents(400, 90, 200);
}

static void grown_into_a_chain(void)
{
    grown_across_extents(400, 90, 5000);
}

static void grown_beyond_what_goes_back_at_once(void)
{
    grown_across_extents(100, 100, 9000);
}

static void grown_beyond_what_goes_back_at_once_64k(void)
{
    ebb_fake.page_bytes = EBB_KIB(64);
    grown_across_extents(101, 103, 9001);
}

static void chain_resizes_both_ways(void)
{
    char *p = span(EXTENTS(10));
    struct support_rng rng = {support_seed("chain_resizes_both_ways")};
    support_fill(p, EXTENTS(10), 1);
    for (unsigned i = 0; i < 300; i++) {
        size_t units = units_of(p), wanted = support_between(&rng, 65, 50 * EBB_EXTENT_UNITS);
        EXPECT(ebb__heap_large_resize(p, UNITS(wanted)) == p);
        EXPECT_MSG(ebb__heap_check() == 0, "%zu to %zu units", units, wanted);
        EXPECT(units_of(p) >= wanted);
        EXPECT(support_kept(p, UNITS(units), UNITS(ebb__min(units, units_of(p))), 1));
        support_fill(p, UNITS(units_of(p)), 1);
    }
    ebb__heap_large_free(p);
    EXPECT_HEAP_OK();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(every_size_is_a_span),
        CASE(kinds_are_kept_apart),
        CASE(backed_units_are_reused_before_clean_ones),
        CASE(lowest_address_first),
        CASE(zeroed_spans_on_recycled_memory),
        CASE(fresh_zeroed_spans_touch_nothing),
        CASE(alignments),
        CASE(aligned_chain_to_the_group_end),
        CASE(larger_alignments_have_a_mapping),
        CASE(resize_in_place),
        CASE(growth_takes_what_there_is),
        CASE(resize_moves_between_lifetimes),
        CASE(grown_mid_span_across_one_border),
        CASE(grown_large_span_across_one_border),
        CASE(grown_into_a_chain),
        CASE(grown_beyond_what_goes_back_at_once),
        CASE(grown_beyond_what_goes_back_at_once_64k),
        CASE(chain_resizes_both_ways),
    };
    small_reservations();
    return RUN_CASES(cases);
}
