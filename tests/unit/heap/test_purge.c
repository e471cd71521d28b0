/* SPDX-License-Identifier: MIT
 *
 * Purge within limits, and the facts that a policy goes by.
 */
#include "crowd.h"

#define CLASS    ebb__class_of(512) /* slabs of 8 units, 8 blocks in each */
#define PER_SLAB 64u

/* n dirty free extents, the lowest first, in ret; nothing else is free. */
static void dirty_extents(char **ret, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        ret[i] = span(EXTENTS(1));
        memset(ret[i], 1, EXTENTS(1));
    }
    for (unsigned i = 0; i < n; i++)
        ebb__heap_large_free(ret[i]);
    EXPECT_EQ(facts_now().dirty_bytes, EXTENTS(n));
}

/* n runs of 16 dirty units, each in an extent that is in use and has nothing else free; returns their bytes. */
static size_t dirty_runs(char **ret, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        ret[i] = span(UNITS(16));
        memset(ret[i], 1, UNITS(16));
        (void)span(UNITS(16)); /* keeps the runs apart */
    }
    for (unsigned i = 0; i < n; i++)
        ebb__heap_large_free(ret[i]);
    return UNITS(16) * n;
}

/* ---- limits ---- */

static void extents_stop_at_most(void)
{
    char *p[12];
    dirty_extents(p, 12);
    EXPECT_EQ(ebb__heap_purge_free(0, EXTENTS(3), 0), EXTENTS(3));
    EXPECT_EQ(ebb__heap_purge_free(0, 1, 0), EXTENTS(1)); /* an extent goes as a whole */
    EXPECT_EQ(ebb__heap_purge_free(0, EXTENTS(2) + 1, 0), EXTENTS(3));
    EXPECT_EQ(ebb__heap_purge_free(0, 0, 0), 0);
    EXPECT_EQ(facts_now().dirty_bytes, EXTENTS(5));
    for (unsigned i = 0; i < 12; i++) /* the highest went first */
        EXPECT_EQ(resident_in((uintptr_t)p[i], EXTENTS(1)), i < 5 ? EXTENTS(1) : 0);
    EXPECT_HEAP_OK();
}

static void extents_stop_at_keep(void)
{
    char *p[12];
    dirty_extents(p, 12);
    EXPECT_EQ(ebb__heap_purge_free(EXTENTS(12), SIZE_MAX, 0), 0);
    EXPECT_EQ(ebb__heap_purge_free(EXTENTS(9) + 1, SIZE_MAX, 0),
              EXTENTS(3)); /* less than a unit is nothing */
    EXPECT_EQ(ebb__heap_purge_free(EXTENTS(8) + UNITS(1), SIZE_MAX, 0), EXTENTS(1)); /* all of the last one */
    EXPECT_EQ(facts_now().dirty_bytes, EXTENTS(8));
    EXPECT_HEAP_OK();
}

static void runs_stop_at_limits(void)
{
    char *p[100];
    size_t page = ebb_fake.page_bytes, all = dirty_runs(p, 100);
    EXPECT_EQ(facts_now().dirty_bytes, all);
    EXPECT_EQ(ebb__heap_purge_free(all, SIZE_MAX, 0), 0);
    size_t got = ebb__heap_purge_free(0, UNITS(33), 0);
    EXPECT_MSG(got >= UNITS(33) && got < UNITS(33) + page, "%zu", got);
    EXPECT_EQ(facts_now().dirty_bytes, all - got);
    EXPECT_HEAP_OK();
    got = ebb__heap_purge_free(UNITS(500), SIZE_MAX, 0);
    size_t left = facts_now().dirty_bytes;
    EXPECT_MSG(left <= UNITS(500) && left > UNITS(500) - page, "%zu kept where %zu were to be", left,
               UNITS(500));
    EXPECT_HEAP_OK();
    got = ebb__heap_trim(UNITS(100)); /* keeps free memory, also when it goes through everything */
    left = facts_now().dirty_bytes;
    EXPECT_MSG(left <= UNITS(100) && left > UNITS(100) - page && got >= UNITS(400), "%zu kept", left);
    EXPECT_EQ(ebb__heap_trim(UNITS(100)), 0);
    EXPECT_EQ(facts_now().dirty_bytes, left);
    EXPECT_HEAP_OK();
}
FOR_EACH_PAGE_SIZE(runs_stop_at_limits)

/* What is free beside slabs that were touched counts as free, too. */
static void trim_keeps_free_units_of_slab_extents(void)
{
    with_pages_of_one_unit();
    void *blocks[8][PER_SLAB];
    for (unsigned i = 0; i < 8; i++) {
        EXPECT_EQ(ebb__heap_take(CLASS, blocks[i], PER_SLAB), PER_SLAB);
        for (unsigned k = 0; k < PER_SLAB; k++)
            memset(blocks[i][k], 1, 512);
    }
    for (unsigned i = 1; i < 8; i++)
        ebb__heap_give(CLASS, blocks[i], PER_SLAB, "test");
    ebb__heap_give(CLASS, blocks[0], PER_SLAB - 1, "test"); /* one block at the lowest address stays */
    ebb__heap_tidy_slabs();
    EXPECT_EQ(facts_now().dirty_bytes, UNITS(56));
    EXPECT_EQ(ebb__heap_trim(UNITS(56)),
              UNITS(7)); /* holes are not kept: who keeps free memory can take it */
    EXPECT_EQ(facts_now().dirty_bytes, UNITS(56));
    EXPECT_EQ(ebb__heap_trim(UNITS(20)), UNITS(36));
    EXPECT_EQ(facts_now().dirty_bytes, UNITS(20));
    EXPECT_HEAP_OK();
}

/* Parts of OS pages cannot go; slabs are looked at all the same. */
static void trim_goes_into_slabs_whatever_is_left(void)
{
    void *blocks[PER_SLAB];
    ebb_fake.page_bytes = EBB_KIB(16);
    without_seeds();
    char *p = span(UNITS(3)), *q = span(UNITS(1)); /* one page */
    memset(p, 1, UNITS(3));
    ebb__heap_large_free(p);
    EXPECT_EQ(ebb__heap_take(CLASS, blocks, PER_SLAB), PER_SLAB);
    for (unsigned k = 0; k < PER_SLAB; k++)
        memset(blocks[k], 1, 512);
    ebb__heap_give(CLASS, blocks, PER_SLAB - 1, "test"); /* the lowest stays, in the first of two pages */
    EXPECT_EQ(facts_now().dirty_bytes, UNITS(3));
    EXPECT_EQ(ebb__heap_trim(0), UNITS(4));
    EXPECT_EQ(facts_now().dirty_bytes, UNITS(3));
    ebb__heap_large_free(q);
    EXPECT_HEAP_OK();
}

/* What was freed lately stays, in free extents and in runs. */
static void young_memory_stays(void)
{
    char *extents[4], *runs[4];
    size_t bytes = dirty_runs(runs, 4);
    ebb_fake.now_ms += 700;
    for (unsigned i = 0; i < 4; i++) {
        extents[i] = span(EXTENTS(1));
        memset(extents[i], 1, EXTENTS(1));
    }
    for (unsigned i = 0; i < 4; i++, ebb_fake.now_ms += 100)
        ebb__heap_large_free(extents[i]);
    /* Runs were freed 1100 ms ago, extents 400, 300, 200 and 100 ms. */
    EXPECT_EQ(ebb__heap_purge_free(0, SIZE_MAX, 1101), 0);
    EXPECT_EQ(ebb__heap_purge_free(0, SIZE_MAX, 1100), bytes);
    EXPECT_EQ(ebb__heap_purge_free(0, SIZE_MAX, 401), 0);
    EXPECT_EQ(ebb__heap_purge_free(0, SIZE_MAX, 300), EXTENTS(2));
    EXPECT_EQ(resident_in((uintptr_t)extents[2], EXTENTS(2)), EXTENTS(2));
    EXPECT_EQ(ebb__heap_purge_free(0, SIZE_MAX, 0), EXTENTS(2));
    EXPECT_HEAP_OK();
}

/* The clock that is compared has 32 bits. */
static void age_survives_the_wrap_of_the_clock(void)
{
    char *p[1];
    ebb_fake.now_ms = UINT64_C(0xffffff00);
    dirty_extents(p, 1);
    ebb_fake.now_ms += 999;
    EXPECT_EQ(ebb__heap_purge_free(0, SIZE_MAX, 1000), 0);
    ebb_fake.now_ms++;
    EXPECT_EQ(ebb__heap_purge_free(0, SIZE_MAX, 1000), EXTENTS(1));
}

/* ---- facts ---- */

#define EXPECT_FACTS(low, used, peak, dirty)                                                                 \
    do {                                                                                                     \
        struct ebb_heap_facts f_ = facts_now();                                                              \
        EXPECT_EQ(f_.used_low_bytes, UNITS(low));                                                            \
        EXPECT_EQ(f_.used_bytes, UNITS(used));                                                               \
        EXPECT_EQ(f_.used_peak_bytes, UNITS(peak));                                                          \
        EXPECT_EQ(f_.dirty_bytes, UNITS(dirty));                                                             \
    } while (0)

static size_t retaken_since_last(void)
{
    static size_t before;
    size_t now = facts_now().retaken_bytes, rise = now - before;
    before = now;
    return rise;
}

static void extremes_of_spans(void)
{
    with_pages_of_one_unit();
    char *a = span(UNITS(100));
    EXPECT_FACTS(0, 100, 100, 0);
    char *b = span(UNITS(50));
    ebb__heap_large_free(a);
    a = span(UNITS(20));
    EXPECT_FACTS(50, 70, 150, 80);
    EXPECT_FACTS(70, 70, 70, 80);
    ebb__heap_large_free(a);
    a = span(UNITS(10));
    EXPECT_FACTS(50, 60, 70, 90);
    EXPECT_EQ(ebb__heap_purge_free(0, SIZE_MAX, 0), UNITS(90)); /* what is given back was nobody's */
    EXPECT_FACTS(60, 60, 60, 0);
    a = ebb__heap_large_resize(a, UNITS(14)); /* in place, and no more: it grew by more than 3/16 */
    EXPECT_FACTS(60, 64, 64, 0);
    ebb__heap_large_free(b);
    ebb__heap_large_free(a);
    EXPECT_EQ(ebb__heap_trim(0), UNITS(64));
    EXPECT_FACTS(0, 0, 64, 0);
}

/* Claims of a sweep are not use; holes are none. */
static void extremes_of_slabs(void)
{
    with_pages_of_one_unit();
    void *blocks[PER_SLAB], *more[9];
    (void)facts_now();
    EXPECT_EQ(ebb__heap_take(CLASS, blocks, PER_SLAB), PER_SLAB);
    for (unsigned k = 0; k < PER_SLAB; k++)
        memset(blocks[k], 1, 512);
    EXPECT_FACTS(0, 8, 8, 0);
    ebb__heap_give(CLASS, blocks, PER_SLAB - 1, "test");
    EXPECT_EQ(ebb__heap_trim(0), UNITS(7));
    /* A low between two risings, which only the release of the pages has seen. */
    char *p = span(UNITS(30));
    EXPECT_FACTS(1, 31, 31, 0);
    /* A peak that only the refill of holes has seen. */
    EXPECT_EQ(ebb__heap_take(CLASS, more, 9), 9);
    EXPECT_EQ(facts_now().used_bytes, UNITS(32));
    EXPECT_EQ(ebb__heap_take(CLASS, more, 8), 8);
    ebb__heap_large_free(p);
    EXPECT_FACTS(3, 3, 33, 30);
    (void)retaken_since_last();
    /* Free units that a sweep takes for a moment are no peak. */
    EXPECT_EQ(ebb__heap_trim(0), UNITS(30));
    EXPECT_FACTS(3, 3, 3, 0);
    EXPECT_EQ(retaken_since_last(), 0);
    EXPECT_HEAP_OK();
}

static void sweeps_of_runs_are_no_peak(void)
{
    char *p[50];
    size_t bytes = dirty_runs(p, 50);
    unsigned used = (unsigned)(facts_now().used_bytes / EBB_UNIT_BYTES);
    (void)retaken_since_last();
    EXPECT_EQ(ebb__heap_purge_free(0, SIZE_MAX, 0), bytes);
    EXPECT_FACTS(used, used, used, 0);
    EXPECT_EQ(retaken_since_last(), 0);
}

static void extremes_of_long_chains(void)
{
    char *a = span(EXTENTS(1)), *b;
    memset(a, 1, EXTENTS(1));
    ebb__heap_large_free(a);
    for (unsigned i = 0; i < 2;
         i++) { /* the first time over virgin groups, the second over groups used before */
        (void)facts_now();
        b = span(EBB_MIB(300));
        struct ebb_heap_facts facts = facts_now();
        EXPECT(facts.used_bytes >= EBB_MIB(300) && facts.used_peak_bytes == facts.used_bytes);
        size_t peak = facts.used_bytes;
        ebb__heap_large_free(b);
        b = span(EBB_MIB(300));
        ebb__heap_large_free(b);
        facts = facts_now();
        EXPECT_EQ(facts.used_bytes, 0);
        EXPECT_EQ(facts.used_peak_bytes, peak);
        EXPECT_EQ(facts.used_low_bytes, 0);
        /* Single extents in all three groups, so that they are active when the next chain comes. */
        char *many[150];
        for (unsigned k = 0; k < EBB_ARRAY_COUNT(many); k++)
            many[k] = span(EXTENTS(1));
        (void)facts_now();
        for (unsigned k = 0; k < EBB_ARRAY_COUNT(many); k++)
            ebb__heap_large_free(many[k]);
    }
    /* The chain is made of free memory now, all but the metadata of the groups that it swallows. */
    size_t dirty = facts_now().dirty_bytes;
    (void)retaken_since_last();
    b = span(EBB_MIB(300));
    EXPECT_EQ(retaken_since_last(), dirty - facts_now().dirty_bytes);
    ebb__heap_large_free(b);
    EXPECT_HEAP_OK();
}

static void only_reuse_is_retaking(void)
{
    char *a = span(UNITS(100));
    memset(a, 1, UNITS(100));
    (void)span(UNITS(1));
    EXPECT_EQ(retaken_since_last(), 0); /* all of it was new */
    ebb__heap_large_free(a);
    EXPECT_EQ(retaken_since_last(), 0);
    a = span(UNITS(70));
    EXPECT_EQ(retaken_since_last(), UNITS(70));
    ebb__heap_large_free(a);
    EXPECT_EQ(ebb__heap_purge_free(0, SIZE_MAX, 0), UNITS(100));
    EXPECT_EQ(retaken_since_last(), 0);
    a = span(UNITS(100));
    EXPECT_EQ(retaken_since_last(), 0); /* free units that were purged hold nothing */
    EXPECT_HEAP_OK();
}

/* A fork child that has to repair its heap has retaken nothing by that. */
static void repair_is_not_retaking(void)
{
    with_pages_of_one_unit();
    void *blocks[PER_SLAB];
    (void)span(UNITS(100));
    EXPECT_EQ(ebb__heap_take(CLASS, blocks, PER_SLAB), PER_SLAB);
    for (unsigned k = 0; k < PER_SLAB; k++)
        memset(blocks[k], 1, 512);
    ebb__heap_give(CLASS, blocks, PER_SLAB - 1, "test");
    EXPECT_EQ(ebb__heap_trim(0), UNITS(7));
    (void)retaken_since_last();
    ebb__limbo_enter();
    ebb__heap_after_fork();
    EXPECT_HEAP_OK();
    EXPECT_EQ(retaken_since_last(), 0);
    EXPECT_MSG(facts_now().stirred, "holes count as backed again and no sweep will look at them");
    EXPECT_EQ(facts_now().used_bytes, UNITS(108));
    EXPECT_EQ(ebb__heap_trim(0), UNITS(7));
    EXPECT_EQ(facts_now().used_bytes, UNITS(101));
    EXPECT_HEAP_OK();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(extents_stop_at_most),
        CASE(extents_stop_at_keep),
        CASES(runs_stop_at_limits),
        CASE(trim_keeps_free_units_of_slab_extents),
        CASE(trim_goes_into_slabs_whatever_is_left),
        CASE(young_memory_stays),
        CASE(age_survives_the_wrap_of_the_clock),
        CASE(extremes_of_spans),
        CASE(extremes_of_slabs),
        CASE(sweeps_of_runs_are_no_peak),
        CASE(extremes_of_long_chains),
        CASE(only_reuse_is_retaking),
        CASE(repair_is_not_retaking),
    };
    small_reservations();
    return RUN_CASES(cases);
}
