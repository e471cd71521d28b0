/* SPDX-License-Identifier: MIT
 *
 * A crowd of living blocks with an oracle: which bytes are somebody's, which pages therefore hold memory.
 *
 * Every block is filled with a pattern of its own and marked in a map of granules of 16 bytes. A block that is handed out on a
 * granule that is taken, or under advice, ends the test.
 */
#ifndef EBB_TESTS_UNIT_HEAP_CROWD_H
#define EBB_TESTS_UNIT_HEAP_CROWD_H

#include "heap_test.h"

#include <sys/mman.h>

#define CROWD_MAX    300000u
#define CROWD_GROUPS 8u
#define GRANULE      16u

struct dweller {
    char *p;
    size_t bytes;
    unsigned code; /* size class, or 0 for a span */
};
static struct dweller crowd[CROWD_MAX];
static unsigned crowd_count;
static uint64_t crowd_map[CROWD_GROUPS * EBB_GROUP_BYTES / GRANULE / 64];
static char *advised[EBB_OS_PURGE_MAX];
static size_t advised_bytes[EBB_OS_PURGE_MAX];
static unsigned advised_count;

static inline unsigned granule_of(const void *p)
{
    size_t at = (uintptr_t)p - ebb__space.groups[0];
    EXPECT(at < CROWD_GROUPS * EBB_GROUP_BYTES);
    return (unsigned)(at / GRANULE);
}

static inline unsigned granules(size_t bytes)
{
    return (unsigned)ebb__div_up(bytes, GRANULE);
}

/* ---- coming and going ---- */

static inline void crowd_add(char *p, size_t bytes, unsigned code)
{
    EXPECT(crowd_count < CROWD_MAX);
    for (unsigned i = 0; i < advised_count; i++)
        EXPECT_MSG(p + bytes <= advised[i] || p >= advised[i] + advised_bytes[i],
                   "%p of %zu bytes was handed out under advice", (void *)p, bytes);
    EXPECT_MSG(ebb__bitmap_count(crowd_map, granule_of(p), granules(bytes)) == 0,
               "%p of %zu bytes is somebody's", (void *)p, bytes);
    ebb__bitmap_set(crowd_map, granule_of(p), granules(bytes));
    support_fill(p, bytes, (uintptr_t)p);
    for (size_t at = 0; bytes > SUPPORT_DENSE_BYTES && at < bytes; at += EBB_UNIT_BYTES)
        (void)__atomic_fetch_or(
            p + at, 0, __ATOMIC_RELAXED); /* the pattern leaves units out, and the oracle counts them */
    crowd[crowd_count++] = (struct dweller){p, bytes, code};
}

static inline void crowd_take(unsigned c, unsigned count)
{
    void *blocks[128];
    while (count != 0) {
        unsigned want = count < 125 ? count : 125;
        EXPECT_EQ(ebb__heap_take(c, blocks, want), want);
        for (unsigned i = 0; i < want; i++)
            crowd_add(blocks[i], ebb__classes[c].bytes, c);
        count -= want;
    }
}

/* Not zeroed, or zeroed and seen to be. */
static inline void crowd_take_span(size_t bytes, bool zeroed)
{
    char *p = ebb__heap_span_alloc(bytes, EBB_UNIT_BYTES, zeroed);
    EXPECT(p != NULL);
    EXPECT(!zeroed || support_is_zero(p, bytes));
    crowd_add(p, bytes, 0);
}

static inline void crowd_expect(const struct dweller *d)
{
    EXPECT_MSG(support_kept(d->p, d->bytes, d->bytes, (uintptr_t)d->p), "block %p of %zu bytes has changed",
               (void *)d->p, d->bytes);
}

static inline void crowd_drop(unsigned i)
{
    struct dweller d = crowd[i];
    crowd_expect(&d);
    ebb__bitmap_clear(crowd_map, granule_of(d.p), granules(d.bytes));
    crowd[i] = crowd[--crowd_count];
    if (d.code != 0)
        give(d.code, d.p);
    else
        ebb__heap_large_free(d.p);
}

/* All but about `per_mille`, at random. */
static inline void crowd_thin_out(struct support_rng *rng, unsigned per_mille)
{
    for (unsigned i = crowd_count; i-- > 0;)
        if (support_below(rng, 1000) >= per_mille)
            crowd_drop(i);
}

/* So many slabs of every class, and spans of all sizes up to 1 MiB. */
static inline void crowd_settle(struct support_rng *rng, unsigned slabs)
{
    for (unsigned round = 0; round < slabs; round++)
        for (unsigned c = 1; c < EBB_CLASS_COUNT; c++) {
            crowd_take(c, ebb__classes[c].blocks);
            if (c % 8 == 0)
                crowd_take_span(support_between(rng, EBB_KIB(33), EBB_MIB(1)), false);
        }
}

static inline void crowd_expect_whole(void)
{
    for (unsigned i = 0; i < crowd_count; i++)
        crowd_expect(&crowd[i]);
}

/* ---- the oracle ---- */

/* Pages of this size with a living byte, in bytes. */
static inline size_t crowd_living_bytes(size_t page_bytes)
{
    size_t words = page_bytes / GRANULE / 64, pages = 0;
    size_t end = ebb__min(ebb__space.group_count, CROWD_GROUPS) * (EBB_GROUP_BYTES / page_bytes);
    for (size_t page = 0; page < end; page++) {
        uint64_t any = 0;
        for (size_t w = 0; w < words; w++)
            any |= crowd_map[page * words + w];
        pages += any != 0;
    }
    return pages * page_bytes;
}

/* What the kernel holds of [from, from + bytes), counted in the fake's pages. */
static inline size_t resident_in(uintptr_t from, size_t bytes)
{
    static unsigned char seen[EBB_GROUP_UNITS];
    size_t per_page = ebb_fake.page_bytes / EBB_UNIT_BYTES, sum = 0;
    EXPECT(mincore((void *)from, bytes, seen) == 0);
    for (size_t p = 0; p < bytes / EBB_UNIT_BYTES; p += per_page) {
        bool touched = false;
        for (size_t i = p; i < p + per_page; i++)
            touched |= seen[i] & 1;
        sum += touched ? ebb_fake.page_bytes : 0;
    }
    return sum;
}

/* What the kernel holds of metadata; the rest of ebb_fake_resident_bytes() is the blocks'. */
static inline size_t resident_metadata(void)
{
    size_t sum = 0;
    for (uint32_t g = 0; g < ebb__space.group_count; g++) {
        const struct reservation *r = ebb__space_reservation_of_group(g);
        if (ebb__space.state[g] != EBB_GROUP_CHAIN &&
            ebb__space_is_committed(r, ebb__space.groups[g] + EBB_EXTENT_BYTES))
            sum += resident_in(ebb__space.groups[g], EBB_EXTENT_BYTES);
    }
    return sum;
}

static inline size_t resident_data(void)
{
    return ebb_fake_resident_bytes() - resident_metadata();
}

static inline struct ebb_heap_facts facts_now(void)
{
    struct ebb_heap_facts facts;
    ebb__heap_facts(&facts);
    return facts;
}

/* Nothing but what must be is held, and the books say so. */
static inline void expect_only_living_pages(void)
{
    size_t page = ebb_fake.page_bytes, living = crowd_living_bytes(page);
    struct ebb_heap_facts facts = facts_now();
    EXPECT_HEAP_OK();
    EXPECT_EQ(resident_data(), living);
    EXPECT_MSG(facts.used_bytes + facts.dirty_bytes <= living &&
                   facts.used_bytes >= crowd_living_bytes(EBB_UNIT_BYTES),
               "used %zu and dirty %zu where %zu live", facts.used_bytes, facts.dirty_bytes, living);
    if (page == EBB_UNIT_BYTES) {
        EXPECT_EQ(facts.used_bytes, living);
        EXPECT_EQ(facts.dirty_bytes, 0);
    }
    EXPECT_EQ(ebb__heap_backed_bytes(), facts.used_bytes + facts.dirty_bytes);
}

/* ---- a test for each page size ---- */

#define FOR_EACH_PAGE_SIZE(fn)                                                                               \
    static void fn##_4k(void)                                                                                \
    {                                                                                                        \
        ebb_fake.page_bytes = EBB_KIB(4);                                                                    \
        fn();                                                                                                \
    }                                                                                                        \
    static void fn##_16k(void)                                                                               \
    {                                                                                                        \
        ebb_fake.page_bytes = EBB_KIB(16);                                                                   \
        fn();                                                                                                \
    }                                                                                                        \
    static void fn##_64k(void)                                                                               \
    {                                                                                                        \
        ebb_fake.page_bytes = EBB_KIB(64);                                                                   \
        fn();                                                                                                \
    }
#define CASES(fn) CASE(fn##_4k), CASE(fn##_16k), CASE(fn##_64k)

#endif
