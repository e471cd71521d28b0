/* SPDX-License-Identifier: MIT
 *
 * The lane: blocks with a mapping of their own, how many there may be, and how they grow.
 */
#include "heap_test.h"

static size_t lane_bytes(const void *p)
{
    size_t usable = 0;
    EXPECT_EQ(ebb__heap_kind(p, true, &usable), EBB_BLOCK_LANE);
    return usable;
}

static void life_of_a_block(void)
{
    unsigned before = ebb_fake.mappings;
    char *p = ebb__heap_lane_alloc(EBB_MIB(40) + 1);
    EXPECT(p != NULL);
    EXPECT_EQ(lane_bytes(p), EBB_MIB(40) + EBB_KIB(64));
    EXPECT_EQ(ebb_fake.mappings, before + 1);
    EXPECT_EQ(ebb_fake.mapped_bytes, EBB_MIB(40) + EBB_KIB(64));
    EXPECT_EQ(EBB_COUNTED(lane_blocks), 1);
    struct ebb_heap_stats stats = stats_now();
    EXPECT(stats.lane_blocks == 1 && stats.lane_bytes == EBB_MIB(40) + EBB_KIB(64) && stats.mappings == 1);
    EXPECT(support_is_zero(p, EBB_KIB(256)));
    size_t usable;
    EXPECT_EQ(ebb__heap_kind(p + 16, true, &usable), EBB_BLOCK_FOREIGN);
    EXPECT_EQ(ebb__heap_kind(p + EBB_KIB(64), true, &usable), EBB_BLOCK_FOREIGN);
    ebb__heap_large_free(p);
    EXPECT_EQ(ebb__heap_kind(p, true, &usable), EBB_BLOCK_FOREIGN);
    EXPECT_EQ(ebb_fake.mappings, before);
    EXPECT_EQ(EBB_COUNTED(lane_blocks), 0);
    EXPECT_HEAP_OK();
}

static void grows_and_shrinks(void)
{
    struct support_rng rng = {support_seed("grows_and_shrinks")};
    size_t bytes = EBB_MIB(32);
    char *p = ebb__heap_lane_alloc(bytes);
    EXPECT(p != NULL);
    support_fill(p, bytes, 1);
    for (unsigned i = 0; i < 40; i++) {
        size_t next = support_between(&rng, EBB_MIB(16), EBB_MIB(100));
        char *q = ebb__heap_large_resize(p, next);
        EXPECT(q != NULL);
        EXPECT_EQ(lane_bytes(q), ebb__align_up(next, EBB_KIB(64)));
        EXPECT(support_kept(q, bytes, ebb__min(bytes, next), 1));
        if (next > bytes) /* what is new is zero */
            EXPECT(support_is_zero(q + ebb__align_up(bytes, EBB_KIB(64)),
                                   lane_bytes(q) - ebb__align_up(bytes, EBB_KIB(64))));
        EXPECT_EQ(ebb_fake.mapped_bytes, lane_bytes(q));
        EXPECT_EQ(stats_now().lane_blocks, 1);
        p = q;
        bytes = lane_bytes(p);
        support_fill(p, bytes, 1);
    }
    /* Small again: the heap is the better place. */
    EXPECT(ebb__heap_large_resize(p, EBB_MIB(16) - 1) == NULL);
    EXPECT_EQ(lane_bytes(p), bytes);
    EXPECT(support_kept(p, bytes, bytes, 1));
    /* Refused: the block is as it was. */
    ebb_fake.fail_at = 1;
    EXPECT(ebb__heap_large_resize(p, EBB_MIB(200)) == NULL);
    EXPECT_EQ(lane_bytes(p), bytes);
    EXPECT(support_kept(p, bytes, bytes, 1));
    EXPECT(ebb__heap_large_resize(p, (size_t)PTRDIFF_MAX) == NULL);
    EXPECT(ebb__heap_large_resize(p, (size_t)1 << 50) == NULL);
    EXPECT_EQ(lane_bytes(p), bytes);
    ebb__heap_large_free(p);
    EXPECT_EQ(ebb_fake.mapped_bytes, 0);
}

static void count_is_bounded(unsigned wanted)
{
    static char *blocks[EBB_LANE_MAX_BLOCKS + 1];
    unsigned n = 0;
    while (n <= EBB_LANE_MAX_BLOCKS && (blocks[n] = ebb__heap_lane_alloc(EBB_MIB(32) + n)) != NULL)
        n++;
    EXPECT_EQ(n, wanted);
    EXPECT_EQ(ebb_fake.mappings, wanted);
    EXPECT_EQ(stats_now().lane_blocks, wanted);
    for (unsigned i = 0; i < n; i++)
        blocks[i][0] = (char)i;
    /* In an order that moves entries of the table about. */
    for (unsigned k = 0; k < n; k++) {
        unsigned i = (k * 101) % n; /* 101 is prime to the counts used here */
        EXPECT_EQ(blocks[i][0], (char)i);
        ebb__heap_large_free(blocks[i]);
        if (k == n / 2) {
            EXPECT((blocks[i] = ebb__heap_lane_alloc(EBB_MIB(32))) != NULL);
            ebb__heap_large_free(blocks[i]);
        }
    }
    EXPECT_EQ(ebb_fake.mappings, 0);
    EXPECT_EQ(stats_now().lane_blocks, 0);
}

static void table_is_the_bound(void)
{
    count_is_bounded(EBB_LANE_MAX_BLOCKS);
}

static void option_is_the_bound(void)
{
    ebb__conf.lane = 7;
    count_is_bounded(7);
}

static void kernel_limit_is_the_bound(void)
{
    ebb_fake.max_map_count = 64 * 5 + 63;
    count_is_bounded(5);
}

/* lane:0 keeps realloc out; an alignment that only a mapping can give is served all the same. */
static void off_but_for_alignment(void)
{
    ebb__conf.lane = 0;
    EXPECT(ebb__heap_lane_alloc(EBB_MIB(32)) == NULL);
    char *p = span_aligned(5, EBB_GIB(1));
    EXPECT_EQ(lane_bytes(p), EBB_KIB(64));
    p[EBB_KIB(64) - 1] = 1;
    ebb__heap_large_free(p);
    EXPECT_EQ(ebb_fake.mapped_bytes, 0);
}

static void huge_alignments(void)
{
    for (size_t align = EBB_MIB(128); align <= EBB_GIB(64); align *= 2) {
        char *p = span_aligned(EBB_MIB(1), align);
        EXPECT_EQ(lane_bytes(p), EBB_MIB(1));
        ebb__heap_large_free(p);
    }
    EXPECT(ebb__heap_span_alloc(100, (size_t)1 << 62, false) == NULL);
    EXPECT(ebb__heap_span_alloc((size_t)PTRDIFF_MAX, EBB_MIB(128), false) == NULL);
    EXPECT_EQ(ebb_fake.mapped_bytes, 0);
    EXPECT_HEAP_OK();
}

static void refused(void)
{
    ebb_fake.fail_at = 1;
    EXPECT(ebb__heap_lane_alloc(EBB_MIB(32)) == NULL);
    ebb_fake.commit_bytes = EBB_MIB(31);
    EXPECT(ebb__heap_lane_alloc(EBB_MIB(32)) == NULL);
    EXPECT(ebb__heap_lane_alloc((size_t)PTRDIFF_MAX) == NULL);
    EXPECT(ebb__heap_lane_alloc(SIZE_MAX) == NULL);
    EXPECT_EQ(stats_now().lane_blocks, 0);
    EXPECT_EQ(EBB_COUNTED(lane_blocks), 0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(life_of_a_block),           CASE(grows_and_shrinks),
        CASE(table_is_the_bound),        CASE(option_is_the_bound),
        CASE(kernel_limit_is_the_bound), CASE(off_but_for_alignment),
        CASE(huge_alignments),           CASE(refused),
    };
    small_reservations();
    return RUN_CASES(cases);
}
