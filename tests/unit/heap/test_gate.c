/* SPDX-License-Identifier: MIT
 *
 * The gate: what is handed out at a limit of the ledger, for what others are asked to make room, and for what nobody is.
 */
#include "crowd.h"
#include "pool.h"

#define CLASS    ebb__class_of(512) /* slabs of 8 units, 8 blocks in each */
#define PER_SLAB 64u
#define PER_UNIT 8u
#define SLABS    20u

static char *slabs[SLABS];

static int by_address(const void *a, const void *b)
{
    const char *const *p = a, *const *q = b;
    return (*p > *q) - (*p < *q);
}

/* Slabs whose first two units are holes, and whose others have every second block free: all but the last slab, which is all
 * in use. */
static void make_holes(void)
{
    static void *blocks[SLABS * PER_SLAB];
    with_pages_of_one_unit();
    without_seeds();
    for (unsigned i = 0; i < SLABS; i++)
        EXPECT_EQ(ebb__heap_take(CLASS, blocks + (size_t)i * PER_SLAB, PER_SLAB), PER_SLAB);
    qsort(blocks, EBB_ARRAY_COUNT(blocks), sizeof(blocks[0]), by_address);
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++) {
        memset(blocks[i], 1, 512);
        if (i % PER_SLAB == 0)
            slabs[i / PER_SLAB] = blocks[i];
    }
    for (unsigned i = 0; i < (SLABS - 1) * PER_SLAB; i++)
        if (i % PER_SLAB < 2 * PER_UNIT || i % 2 != 0)
            give(CLASS, blocks[i]);
    EXPECT_EQ(ebb__heap_trim(0), UNITS((SLABS - 1) * 2));
    EXPECT_EQ(facts_now().dirty_bytes, 0);
    EXPECT_HEAP_OK();
}

#define BACKED_FREE ((SLABS - 1) * 6 * PER_UNIT / 2)

static unsigned unit_in_slab(const char *p)
{
    for (unsigned i = 0; i < SLABS; i++)
        if (p >= slabs[i] && p < slabs[i] + UNITS(8))
            return (unsigned)((size_t)(p - slabs[i]) / EBB_UNIT_BYTES);
    return SLABS * 8;
}

/* At a limit every free block that holds memory is handed out, and no other; nobody is asked before they are gone. */
static void backed_blocks_come_before_refusal(unsigned at_once)
{
    void *blocks[PER_SLAB];
    struct pool pool;
    make_holes();
    pool_fill(&pool, 0);
    leave_room(0);
    size_t held = ebb__heap_backed_bytes();
    unsigned got = 0, n;
    while ((n = ebb__heap_take(CLASS, blocks, at_once)) != 0) {
        got += n;
        for (unsigned i = 0; i < n; i++)
            EXPECT_MSG(unit_in_slab(blocks[i]) >= 2 && unit_in_slab(blocks[i]) < 8, "%p", blocks[i]);
        EXPECT(got == BACKED_FREE || n == at_once);
        EXPECT_HEAP_OK();
    }
    EXPECT_EQ(got, BACKED_FREE);
    EXPECT_EQ(ebb__heap_backed_bytes(), held);
    EXPECT_EQ(EBB_COUNTED(limit_refusals), 1);
    leave_all_room();
    EXPECT_EQ(ebb__heap_take(CLASS, blocks, 1), 1);
    EXPECT_EQ(unit_in_slab(blocks[0]), 0);
    EXPECT_HEAP_OK();
}

static void backed_blocks_one_by_one(void)
{
    backed_blocks_come_before_refusal(1);
}

static void backed_blocks_many_at_once(void)
{
    backed_blocks_come_before_refusal(19);
}

/* Far from a limit the lowest block comes first, in a hole or not: so that other pages run empty. */
static void without_a_limit_holes_are_filled_in_order(void)
{
    void *blocks[2 * PER_UNIT];
    make_holes();
    EXPECT_EQ(ebb__heap_take(CLASS, blocks, 2 * PER_UNIT), 2 * PER_UNIT);
    for (unsigned i = 0; i < 2 * PER_UNIT; i++)
        EXPECT(unit_in_slab(blocks[i]) < 2);
    EXPECT_HEAP_OK();
}

/* Room for a part of what is wanted is used. */
static void the_last_page_of_room_is_used(void)
{
    void *blocks[2 * PER_UNIT];
    make_holes();
    leave_room(0);
    while (ebb__heap_take(CLASS, blocks, PER_UNIT) != 0)
        ;
    leave_room(UNITS(1));
    EXPECT_EQ(ebb__heap_take(CLASS, blocks, 2 * PER_UNIT), PER_UNIT);
    for (unsigned i = 0; i < PER_UNIT; i++)
        EXPECT_EQ(unit_in_slab(blocks[i]), 0);
    EXPECT_EQ(ebb__heap_take(CLASS, blocks, 2 * PER_UNIT), 0);
    EXPECT_HEAP_OK();
}

/* Free units that hold memory are as good as room: a new slab is made of them, though holes are there. */
static void free_units_come_before_others_are_asked(void)
{
    void *blocks[PER_SLAB], *p;
    struct pool pool;
    make_holes();
    p = span(UNITS(40));
    memset(p, 1, UNITS(40));
    ebb__heap_large_free(p);
    size_t dirty = facts_now().dirty_bytes, held = ebb__heap_backed_bytes();
    EXPECT_EQ(dirty, UNITS(40));
    pool_fill(&pool, EBB_MIB(1));
    leave_room(0);
    for (unsigned i = 0; i < BACKED_FREE + PER_SLAB; i++)
        EXPECT_EQ(ebb__heap_take(CLASS, blocks, 1), 1);
    EXPECT_EQ(pool.asked, 0);
    EXPECT_EQ(ebb__heap_backed_bytes(), held);
    EXPECT(facts_now().dirty_bytes <= dirty - UNITS(8));
    EXPECT_HEAP_OK();
}

/* Room is made for the first block alone, and for no more than its page. */
static void room_is_made_for_one_block(void)
{
    void *blocks[PER_SLAB];
    struct pool pool;
    make_holes();
    pool_fill(&pool, EBB_MIB(1));
    leave_room(0);
    while (ebb__heap_take_if_room(CLASS, blocks, PER_UNIT) != 0)
        ;
    EXPECT_EQ(pool.asked, 0);
    EXPECT_EQ(EBB_COUNTED(limit_refusals), 0);
    EXPECT(ebb__heap_take(CLASS, blocks, PER_SLAB) >= PER_UNIT);
    EXPECT_EQ(pool.asked, 1);
    EXPECT_EQ(unit_in_slab(blocks[0]) < 2, true);
    EXPECT_HEAP_OK();
}

/* The same where the class has no slab yet: for a second slab nobody is asked. */
static void no_room_is_made_for_a_second_slab(void)
{
    void *blocks[125];
    unsigned c = ebb__class_of(2048), per_slab = ebb__classes[c].blocks;
    struct pool pool;
    without_seeds();
    EXPECT(per_slab < 125);
    pool_fill(&pool, EBB_MIB(64));
    leave_room(EBB_KIB(3));
    ebb_fake.page_bytes = EBB_UNIT_BYTES;
    EXPECT_EQ(ebb__heap_take_if_room(c, blocks, 1), 0);
    EXPECT_EQ(pool.asked, 0);
    EXPECT(ebb__heap_take(c, blocks, 125) >= per_slab);
    EXPECT_EQ(pool.asked, 1);
    void *last = blocks[0];
    while (ebb__heap_take_if_room(c, blocks, 125) != 0)
        last = blocks[0];
    give(c, last);
    EXPECT_EQ(ebb__heap_take(c, blocks, 125), 1);
    EXPECT_EQ(pool.asked, 1);
    EXPECT_HEAP_OK();
}

/* ---- growth ---- */

/* Room for the next growth is had where there is room; only for what is asked for somebody is asked. */
static void nobody_is_asked_for_room_to_grow(void)
{
    struct pool pool;
    with_pages_of_one_unit();
    char *p = span(UNITS(300));
    pool_fill(&pool, EBB_MIB(8));
    leave_room(UNITS(10));
    EXPECT(ebb__heap_large_resize(p, UNITS(310)) == p);
    EXPECT_EQ(units_of(p), 310);
    EXPECT_EQ(pool.asked, 0);
    leave_room(0);
    EXPECT(ebb__heap_large_resize(p, UNITS(320)) == p);
    EXPECT_EQ(units_of(p), 320);
    EXPECT_EQ(pool.asked, 1);
    leave_all_room();
    EXPECT(ebb__heap_large_resize(p, UNITS(321)) == p);
    EXPECT_EQ(units_of(p), ebb__heap_grown(320, 321));
    EXPECT(ebb__heap_span_if_room(UNITS(100)) != NULL);
    leave_room(UNITS(99));
    EXPECT(ebb__heap_span_if_room(UNITS(100)) == NULL && ebb__heap_span_if_room(EXTENTS(5)) == NULL);
    EXPECT(ebb__heap_region_span_alloc(UNITS(100), EBB_IF_ROOM) == NULL);
    EXPECT_EQ(pool.asked, 1);
    EXPECT_HEAP_OK();
}

/* What holds memory behind the block needs no room. */
static void growth_into_memory_that_is_held(void)
{
    struct pool pool;
    with_pages_of_one_unit();
    char *p = span(UNITS(300)), *q = span(UNITS(100));
    EXPECT(q == p + UNITS(300));
    memset(q, 1, UNITS(100));
    ebb__heap_large_free(q);
    pool_fill(&pool, EBB_MIB(8));
    leave_room(0);
    EXPECT(ebb__heap_large_resize(p, UNITS(310)) == p);
    EXPECT_EQ(units_of(p), ebb__heap_grown(300, 310));
    EXPECT_EQ(pool.asked, 0);
    EXPECT_HEAP_OK();
}

/* ---- the lane ---- */

/* A block that cannot be had is nobody's memory worth. */
static void nobody_is_asked_for_what_cannot_be(void)
{
    struct pool pool;
    char *p = ebb__heap_lane_alloc(EBB_MIB(32));
    EXPECT(p != NULL);
    pool_fill(&pool, EBB_GIB(1));
    leave_room(0);
    EXPECT(ebb__heap_lane_alloc((size_t)PTRDIFF_MAX - EBB_MIB(1)) == NULL);
    EXPECT(ebb__heap_large_resize(p, (size_t)PTRDIFF_MAX - EBB_MIB(1)) == NULL);
    ebb_fake.as_bytes = ebb_fake.reserved_bytes + ebb_fake.mapped_bytes + EBB_MIB(20);
    EXPECT(ebb__heap_lane_alloc(EBB_MIB(40)) == NULL);
    EXPECT(ebb__heap_large_resize(p, EBB_MIB(64)) == NULL);
    ebb_fake.as_bytes = SIZE_MAX;
    ebb__conf.lane = 1;
    EXPECT(ebb__heap_lane_alloc(EBB_MIB(40)) == NULL);
    EXPECT_EQ(pool.asked, 0);
    EXPECT_EQ(ebb_fake.mapped_bytes, EBB_MIB(32));
    EXPECT_HEAP_OK();
}

static void for_what_can_be_they_are(void)
{
    struct pool pool;
    size_t usable = 0;
    char *p = ebb__heap_lane_alloc(EBB_MIB(32));
    pool_fill(&pool, EBB_MIB(100));
    leave_room(0);
    char *q = ebb__heap_lane_alloc(EBB_MIB(40));
    EXPECT(q != NULL && pool.asked == 1);
    p = ebb__heap_large_resize(p, EBB_MIB(64));
    EXPECT(p != NULL && ebb__heap_kind(p, true, &usable) == EBB_BLOCK_LANE && usable == EBB_MIB(64));
    EXPECT_HEAP_OK();
    /* Refused all the same: the mapping that was made for it goes, and the one that should grow is as it was. */
    size_t mapped = ebb_fake.mapped_bytes;
    EXPECT(ebb__heap_lane_alloc(EBB_MIB(140)) == NULL);
    EXPECT(ebb__heap_large_resize(p, EBB_MIB(200)) == NULL);
    EXPECT_EQ(ebb_fake.mapped_bytes, mapped);
    EXPECT_HEAP_OK();
    ebb__heap_large_free(p);
    ebb__heap_large_free(q);
    EXPECT_EQ(ebb_fake.mapped_bytes, 0);
    EXPECT_HEAP_OK();
}

/* ---- any heap ---- */

/* Free blocks of the slab that hold memory. */
static void expect_none_backed(char *start, size_t units, unsigned code, void *arg)
{
    (void)units;
    if (code != *(unsigned *)arg)
        return;
    const struct slab *s = ebb__desc_of(start);
    uint32_t bytes = ebb__classes[code].bytes;
    for (unsigned i = 0; i < ebb__slab_blocks(s); i++) {
        bool in_hole = false;
        for (size_t u = (size_t)i * bytes / EBB_UNIT_BYTES;
             u <= ((i + 1) * (size_t)bytes - 1) / EBB_UNIT_BYTES; u++)
            in_hole |= s->holes >> u & 1;
        EXPECT_MSG(in_hole || !ebb__bitmap_test(s->free, i),
                   "block %u of class %u was refused, but is free and holds memory", i, code);
    }
}

static void nothing_backed_is_refused(void)
{
    struct support_rng rng = {support_seed("nothing_backed_is_refused")};
    crowd_settle(&rng, 3);
    crowd_thin_out(&rng, 100);
    (void)ebb__heap_trim(0);
    leave_room(support_below(&rng, 2) * EBB_KIB(100));
    size_t limit = (size_t)ebb__ledger_limit(&ebb__ledger_process, EBB_BUDGET_HARD, -1);
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++) {
        void *blocks[125];
        unsigned n;
        while ((n = ebb__heap_take(c, blocks, 1 + (unsigned)support_below(&rng, 125))) != 0)
            for (unsigned i = 0; i < n; i++)
                crowd_add(blocks[i], ebb__classes[c].bytes, c);
        for (uint32_t g = 0; g < ebb__space.group_count; g++)
            if (ebb__space.state[g] == EBB_GROUP_ACTIVE)
                ebb__walk_group(g, expect_none_backed, &c);
        EXPECT(ebb__ledger_exact(&ebb__ledger_process) <= limit);
        EXPECT_HEAP_OK();
    }
    crowd_expect_whole();
    leave_all_room();
    crowd_thin_out(&rng, 0);
    (void)ebb__heap_trim(0);
    EXPECT_EQ(ebb__heap_backed_bytes(), 0);
}
FOR_EACH_PAGE_SIZE(nothing_backed_is_refused)

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(backed_blocks_one_by_one),
        CASE(backed_blocks_many_at_once),
        CASE(without_a_limit_holes_are_filled_in_order),
        CASE(the_last_page_of_room_is_used),
        CASE(free_units_come_before_others_are_asked),
        CASE(room_is_made_for_one_block),
        CASE(no_room_is_made_for_a_second_slab),
        CASE(nobody_is_asked_for_room_to_grow),
        CASE(growth_into_memory_that_is_held),
        CASE(nobody_is_asked_for_what_cannot_be),
        CASE(for_what_can_be_they_are),
        CASES(nothing_backed_is_refused),
    };
    small_reservations();
    return RUN_CASES(cases);
}
