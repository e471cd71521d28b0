/* SPDX-License-Identifier: MIT
 *
 * What the tests of the heap share: spans and slabs by short names, and looks at extents.
 */
#ifndef EBB_TESTS_UNIT_HEAP_HEAP_TEST_H
#define EBB_TESTS_UNIT_HEAP_HEAP_TEST_H

#include "small_space.h"
#include "support.h"

#include "heap/heap_priv.h"
#include "os/fake.h"

#define UNITS(n)   ((size_t)(n)*EBB_UNIT_BYTES)
#define EXTENTS(n) ((size_t)(n)*EBB_EXTENT_BYTES)

#define EXPECT_HEAP_OK() EXPECT(ebb__heap_check() == 0)

/* For tests that count units and blocks of full-size slabs. pre: nothing was allocated */
static inline void without_seeds(void)
{
    EXPECT_EQ(ebb__heap_init(), 0);
    ebb__space.seeds = false;
}

/* For tests that count units that go back one by one. pre: nothing was allocated */
static inline void with_pages_of_one_unit(void)
{
    ebb_fake.page_bytes = EBB_UNIT_BYTES;
}

static inline void *span(size_t bytes)
{
    void *p = ebb__heap_span_alloc(bytes, EBB_UNIT_BYTES, false);
    EXPECT_MSG(p != NULL, "span of %zu bytes", bytes);
    return p;
}

static inline void *span_aligned(size_t bytes, size_t align)
{
    void *p = ebb__heap_span_alloc(bytes, align, false);
    EXPECT_MSG(p != NULL && ((uintptr_t)p & (align - 1)) == 0, "%p for %zu bytes aligned to %zu", p, bytes,
               align);
    return p;
}

static inline void *block(unsigned c)
{
    void *p = NULL;
    EXPECT(ebb__heap_take(c, &p, 1) == 1);
    return p;
}

static inline void give(unsigned c, void *p)
{
    ebb__heap_give(c, &p, 1, "test");
}

static inline enum ebb_kind kind_of(const void *p)
{
    return (enum ebb_kind)ebb__extent_at(ebb__group_base(p), ebb__extent_number(p))->kind;
}

/* Length of a span. */
static inline size_t units_of(const void *p)
{
    size_t usable = 0;
    EXPECT_EQ(ebb__heap_kind(p, true, &usable), EBB_BLOCK_SPAN);
    return usable / EBB_UNIT_BYTES;
}

static inline struct ebb_heap_stats stats_now(void)
{
    struct ebb_heap_stats stats;
    ebb__heap_stats(&stats);
    return stats;
}

#endif
