/* SPDX-License-Identifier: MIT
 *
 * What the tests of the regions share: pieces that know their bytes, options, figures.
 */
#ifndef EBB_TESTS_UNIT_REGION_REGION_TEST_H
#define EBB_TESTS_UNIT_REGION_REGION_TEST_H

#include "support.h"

#include "region/region_priv.h"

/* In the library this is floor 6; here the slow half stands alone. */
static _Atomic int unexpected_slow;

void *ebb_region_alloc_slow(struct ebb_region *region, size_t size_bytes)
{
    unexpected_slow++;
    return ebb__region_alloc(region, size_bytes, 1);
}

/* For tests of how pieces lie: also where this program itself runs under a tool, which would have gaps between them. */
static inline void unwatched(void)
{
    atomic_store(&ebb__track_listener, EBB_TRACK_NOBODY);
}

#define REGION_OK(region)                                                                                    \
    do {                                                                                                     \
        EXPECT_EQ(ebb__region_check(region), 0);                                                             \
        EXPECT_EQ(ebb__heap_check(), 0);                                                                     \
    } while (0)

static inline struct ebb_region *region_with(struct ebb_region_options o)
{
    o.size_of_struct = sizeof(o);
    EXPECT_EQ(ebb__region_options_check(&o), 0);
    struct ebb_region *region = ebb__region_create(&o);
    EXPECT(region != NULL);
    return region;
}

/* A piece, written from end to end. */
static inline char *piece(struct ebb_region *region, size_t bytes)
{
    char *p = ebb_region_alloc(region, bytes);
    EXPECT(p != NULL);
    memset(p, (int)(bytes & 0x7f), bytes);
    return p;
}

static inline struct ebb_region_stats figures(const struct ebb_region *region)
{
    struct ebb_region_stats s;
    ebb__region_stats(region, &s);
    return s;
}

/* Nothing of the heap is out. */
static inline void expect_empty_heap(void)
{
    struct ebb_heap_stats heap;
    ebb__heap_stats(&heap);
    EXPECT_EQ(heap.slab_blocks + heap.span_blocks + heap.lane_blocks, 0);
}

#endif
