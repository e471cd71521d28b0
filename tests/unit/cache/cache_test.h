/* SPDX-License-Identifier: MIT
 *
 * What the tests of the cache share: the way of a block as api takes it, and sums over caches and depot.
 */
#ifndef EBB_TESTS_UNIT_CACHE_CACHE_TEST_H
#define EBB_TESTS_UNIT_CACHE_CACHE_TEST_H

#include "support.h"

#include "cache/magazine_priv.h"

static inline void *get(unsigned c)
{
    void *p = ebb__cache_get(c);
    return p != NULL ? p : ebb__cache_get_slow(c, EBB_MAKE_ROOM);
}

static inline void put(void *p)
{
    enum ebb_put why = ebb__cache_put(p);
    if (why == EBB_PUT_FULL)
        ebb__cache_put_slow(p, "test");
    else
        EXPECT_EQ(why, EBB_PUT_DONE);
}

static inline size_t cached_blocks(void)
{
    size_t blocks, bytes;
    ebb__cache_stats(&blocks, &bytes);
    return blocks;
}

static inline size_t cached_bytes(void)
{
    size_t blocks, bytes;
    ebb__cache_stats(&blocks, &bytes);
    return bytes;
}

/* Blocks in the depot of one class, counted one by one. Nobody else may be in it. */
static inline size_t depot_blocks(unsigned c)
{
    size_t n = 0;
    for (struct magazine *m = ebb__mag_peek(&ebb__depot[c]); m != NULL; m = atomic_load(&m->next))
        n += m->count;
    return n;
}

/* Blocks out of the slabs of user classes that neither caches nor depot have. */
static inline size_t live_blocks(void)
{
    struct ebb_heap_stats heap;
    ebb__heap_stats(&heap);
    return heap.slab_blocks - cached_blocks();
}

#define EXPECT_CACHE_OK()                                                                                    \
    do {                                                                                                     \
        EXPECT(ebb__cache_check() == 0);                                                                     \
        EXPECT(ebb__heap_check() == 0);                                                                      \
    } while (0)

#endif
