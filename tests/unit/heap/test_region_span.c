/* SPDX-License-Identifier: MIT
 *
 * Spans of regions: apart from all other blocks, so that what regions leave behind is whole extents.
 */
#include "heap_test.h"

#define PAIRS 1000

static void *region_span(size_t bytes)
{
    void *p = ebb__heap_region_span_alloc(bytes, EBB_MAKE_ROOM);
    EXPECT_MSG(p != NULL, "span of %zu bytes", bytes);
    return p;
}

/* Extents of the kind, in all groups. */
static unsigned extents_of(enum ebb_kind kind)
{
    unsigned count = 0;
    for (uint32_t g = 0; g < ebb__space.group_count; g++) {
        if (ebb__space.state[g] != EBB_GROUP_ACTIVE)
            continue;
        const struct group *group = ebb__group_of((void *)ebb__space.groups[g]);
        for (uint64_t left = group->extents; left != 0; left &= left - 1)
            count += ebb__extent_at(ebb__space.groups[g], ebb__ctz(left))->kind == kind;
    }
    return count;
}

static void no_block_to_anybody(void)
{
    static const size_t sizes[] = {1, UNITS(9), UNITS(64), UNITS(65), UNITS(512), UNITS(513), EXTENTS(70)};
    for (size_t i = 0; i < EBB_ARRAY_COUNT(sizes); i++) {
        char *p = region_span(sizes[i]);
        size_t usable = 0;
        EXPECT_EQ(ebb__heap_kind(p, true, &usable), EBB_BLOCK_INVALID);
        EXPECT(!ebb__heap_span_is_held(p, &usable));
        EXPECT(ebb__heap_is_region_span(p, &usable));
        EXPECT_EQ(usable, ebb__align_up(sizes[i], EBB_UNIT_BYTES));
        EXPECT(!ebb__heap_is_region_span(p + 16, &usable));
        EXPECT(!ebb__heap_is_region_span(p + UNITS(1), &usable));
        EXPECT_EQ(kind_of(p), sizes[i] <= EBB_EXTENT_BYTES ? EBB_KIND_REGION : EBB_KIND_LARGE);
        EXPECT_HEAP_OK();
        ebb__heap_large_free(p);
        EXPECT(!ebb__heap_is_region_span(p, &usable));
    }
    int outside;
    size_t usable;
    EXPECT(!ebb__heap_is_region_span(&outside, &usable) && !ebb__heap_is_region_span(NULL, &usable));
    EXPECT(!ebb__heap_is_region_span(span(UNITS(20)), &usable));
    EXPECT_HEAP_OK();
}

/* Long-lived blocks of several sizes, each allocated beside a region's. When the regions are gone, so are all extents but those that
 * the blocks would need without them. */
static void nothing_is_pinned(void)
{
    static void *blocks[PAIRS], *regions[PAIRS];
    unsigned before[EBB_KIND_COUNT], after[EBB_KIND_COUNT];
    for (unsigned with_regions = 0; with_regions < 2; with_regions++) {
        for (unsigned i = 0; i < PAIRS; i++) {
            blocks[i] = span(UNITS(9 + i % 90));
            if (with_regions != 0)
                regions[i] = region_span(UNITS(9 + i * 7 % 400));
        }
        EXPECT(with_regions == 0 || extents_of(EBB_KIND_REGION) >= PAIRS * 200 / 512);
        for (unsigned i = 0; with_regions != 0 && i < PAIRS; i++)
            ebb__heap_large_free(regions[i]);
        unsigned *seen = with_regions != 0 ? after : before;
        for (unsigned kind = EBB_KIND_SLAB; kind <= EBB_INDEXED_KINDS; kind++)
            seen[kind] = extents_of((enum ebb_kind)kind);
        for (unsigned i = 0; i < PAIRS; i++)
            ebb__heap_large_free(blocks[i]);
        EXPECT_HEAP_OK();
    }
    EXPECT_EQ(after[EBB_KIND_REGION], 0);
    EXPECT_EQ(after[EBB_KIND_MID], before[EBB_KIND_MID]);
    EXPECT_EQ(after[EBB_KIND_LARGE], before[EBB_KIND_LARGE]);
}

/* A child that must rebuild the heap finds them as they were. */
static void a_rebuild_keeps_them_apart(void)
{
    static void *regions[100];
    for (unsigned i = 0; i < 100; i++) {
        regions[i] = region_span(UNITS(1 + i * 13 % 500));
        (void)span(UNITS(10 + i));
    }
    for (unsigned i = 0; i < 100; i += 3)
        ebb__heap_large_free(regions[i]);
    unsigned extents = extents_of(EBB_KIND_REGION);
    atomic_store(&ebb__space_lock.state, 1); /* as if another thread had held it */
    ebb__heap_after_fork();
    EXPECT_HEAP_OK();
    EXPECT_EQ(extents_of(EBB_KIND_REGION), extents);
    for (unsigned i = 0; i < 100; i++) {
        size_t usable;
        if (i % 3 == 0)
            continue;
        EXPECT(ebb__heap_is_region_span(regions[i], &usable) && kind_of(regions[i]) == EBB_KIND_REGION);
        EXPECT_EQ(usable, UNITS(1 + i * 13 % 500));
        ebb__heap_large_free(regions[i]);
    }
    EXPECT_EQ(extents_of(EBB_KIND_REGION), 0);
    EXPECT_HEAP_OK();
}

/* Free memory of their extents goes back like any other. */
static void they_are_purged(void)
{
    static char *regions[50];
    for (unsigned i = 0; i < 50; i++) {
        regions[i] = region_span(UNITS(80));
        memset(regions[i], 1, UNITS(80));
    }
    for (unsigned i = 1; i < 50; i += 2)
        ebb__heap_large_free(regions[i]);
    EXPECT(ebb__heap_trim(0) >= 25 * (UNITS(80) - 2 * EBB_KIB(64)));
    EXPECT_HEAP_OK();
    for (unsigned i = 0; i < 50; i += 2)
        EXPECT(regions[i][0] == 1 && regions[i][UNITS(80) - 1] == 1);
}

static void wrong_kind(void *arg)
{
    void *p = region_span(UNITS(20));
    (void)arg;
    ebb__extent_at(ebb__group_base(p), ebb__extent_number(p))->kind = EBB_KIND_MID;
    _exit(ebb__heap_check() == -EUCLEAN ? 7 : 8);
}

static void the_walker_looks_at_it(void)
{
    struct support_outcome out = support_capture(wrong_kind, NULL);
    EXPECT_EQ(WEXITSTATUS(out.status), 7);
    EXPECT_MSG(strstr(out.text, "invariant H12 broken") != NULL, "%s", out.text);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(no_block_to_anybody), CASE(nothing_is_pinned),      CASE(a_rebuild_keeps_them_apart),
        CASE(they_are_purged),     CASE(the_walker_looks_at_it),
    };
    small_reservations();
    return RUN_CASES(cases);
}
