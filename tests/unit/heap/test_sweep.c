/* SPDX-License-Identifier: MIT
 *
 * Sweep: what a sweep takes out of slabs, what it leaves for another time, and that the books agree with the kernel.
 */
#include "crowd.h"

/* ---- all of it ---- */

static void only_survivors_stay(void)
{
    static const unsigned per_mille[] = {10, 50};
    struct support_rng rng = {support_seed("only_survivors_stay")};
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(per_mille); i++) {
        crowd_settle(&rng, 3);
        EXPECT_HEAP_OK();
        crowd_thin_out(&rng, per_mille[i]);
        EXPECT_HEAP_OK();
        size_t before = resident_data();
        (void)ebb__heap_trim(0);
        EXPECT(resident_data() < before / 2);
        expect_only_living_pages();
        crowd_expect_whole();
        EXPECT_EQ(ebb__heap_trim(0), 0);
    }
    /* What is a hole is handed out again, and what was free reads as zero. */
    crowd_settle(&rng, 2);
    for (unsigned i = 0; i < 20; i++)
        crowd_take_span(support_between(&rng, EBB_KIB(33), EBB_MIB(5)), true);
    EXPECT_HEAP_OK();
    crowd_expect_whole();
    crowd_thin_out(&rng, 0);
    (void)ebb__heap_trim(0);
    EXPECT_EQ(crowd_count, 0);
    EXPECT_EQ(resident_data(), 0);
    EXPECT_EQ(ebb__heap_backed_bytes(), 0);
    EXPECT_HEAP_OK();
}
FOR_EACH_PAGE_SIZE(only_survivors_stay)

static void two_cold_sweeps_take_as_much(void)
{
    struct support_rng rng = {support_seed("two_cold_sweeps_take_as_much")};
    crowd_settle(&rng, 3);
    crowd_thin_out(&rng, 10);
    ebb__heap_tidy_slabs();
    (void)ebb__heap_purge_free(0, SIZE_MAX, 0);
    EXPECT_HEAP_OK();
    size_t before = ebb_fake_resident_bytes();
    EXPECT_EQ(ebb__heap_sweep(SIZE_MAX), 0); /* all was touched just now */
    EXPECT_EQ(ebb_fake_resident_bytes(), before);
    EXPECT_HEAP_OK();
    size_t returned = ebb__heap_sweep(SIZE_MAX);
    EXPECT(returned != 0);
    expect_only_living_pages();
    crowd_expect_whole();
    EXPECT(!facts_now().stirred);
    EXPECT_EQ(ebb__heap_sweep(SIZE_MAX), 0);
    crowd_settle(&rng, 1);
    EXPECT_HEAP_OK();
    crowd_expect_whole();
}
FOR_EACH_PAGE_SIZE(two_cold_sweeps_take_as_much)

/* Everything that a process may do, in any order. */
static void random_life(void)
{
    struct support_rng rng = {support_seed("random_life")};
    for (unsigned i = 0; i < 1000; i++) {
        switch (support_below(&rng, 9)) {
        case 0:
        case 1:
            for (unsigned k = 0; k < 30; k++) {
                unsigned c = 1 + (unsigned)support_below(&rng, EBB_CLASS_COUNT - 1);
                crowd_take(c, 1 + (unsigned)support_below(&rng, ebb__classes[c].blocks));
            }
            break;
        case 2:
            crowd_take_span(support_between(&rng, 1, EBB_MIB(3)), support_below(&rng, 2) == 0);
            break;
        case 3:
            crowd_thin_out(&rng, crowd_count > 20000 ? 10 : 400);
            break;
        case 4:
            (void)ebb__heap_sweep(support_below(&rng, 2) == 0 ? SIZE_MAX : EBB_KIB(300));
            break;
        case 5:
            (void)ebb__heap_purge_free(support_below(&rng, 2) * EBB_MIB(1), EBB_MIB(2), 0);
            break;
        case 6:
            ebb__heap_tidy_slabs();
            break;
        case 7:
            (void)ebb__heap_trim(support_below(&rng, 3) * EBB_KIB(700));
            break;
        default:
            for (unsigned k = 0; k < 200 && crowd_count != 0; k++)
                crowd_drop((unsigned)support_below(&rng, crowd_count));
        }
        EXPECT_HEAP_OK();
        struct ebb_heap_facts facts = facts_now();
        EXPECT_EQ(facts.used_bytes + facts.dirty_bytes, ebb__heap_backed_bytes());
        EXPECT(resident_data() <=
               ebb__align_up(ebb__heap_backed_bytes() * (ebb_fake.page_bytes / 4096), 4096));
    }
    crowd_expect_whole();
    (void)ebb__heap_trim(0);
    EXPECT_HEAP_OK();
    EXPECT_EQ(resident_data(), crowd_living_bytes(ebb_fake.page_bytes));
}
FOR_EACH_PAGE_SIZE(random_life)

/* ---- heat ---- */

#define PAGED    ebb__class_of(512) /* slabs of 8 units, 8 blocks in each */
#define PER_SLAB 64u
#define PER_UNIT 8u

/* A slab of which only the first block is in use, and whose memory is resident. `all` gets its blocks, by address. */
static char *lonely(void **all)
{
    EXPECT_EQ(ebb__heap_take(PAGED, all, PER_SLAB), PER_SLAB);
    for (unsigned i = 0; i < PER_SLAB / 2; i++) { /* the heap puts the lowest address last */
        void *swap = all[i];
        all[i] = all[PER_SLAB - 1 - i];
        all[PER_SLAB - 1 - i] = swap;
    }
    EXPECT((char *)all[PER_SLAB - 1] == (char *)all[0] + (size_t)(PER_SLAB - 1) * 512);
    memset(all[0], 0x3c, (size_t)PER_SLAB * 512);
    ebb__heap_give(PAGED, all + 1, PER_SLAB - 1, "test");
    return all[0];
}

static void touched_slabs_stay(void)
{
    with_pages_of_one_unit();
    void *all[PER_SLAB], *again;
    char *p = lonely(all);
    EXPECT_EQ(ebb__heap_sweep(SIZE_MAX), 0);
    /* A block is taken: hot again. */
    EXPECT_EQ(ebb__heap_take(PAGED, &again, 1), 1);
    EXPECT(again == all[1]);
    EXPECT_EQ(ebb__heap_sweep(SIZE_MAX), 0);
    /* One is given. */
    give(PAGED, again);
    EXPECT_EQ(ebb__heap_sweep(SIZE_MAX), 0);
    EXPECT(facts_now().stirred);
    EXPECT_EQ(resident_in((uintptr_t)p, UNITS(8)), UNITS(8));
    /* Nobody touches it: the first sweep after a whole interval takes it. */
    EXPECT_EQ(ebb__heap_sweep(SIZE_MAX), UNITS(7));
    EXPECT_EQ(resident_in((uintptr_t)p, UNITS(8)), UNITS(1));
    EXPECT(!facts_now().stirred);
    EXPECT_HEAP_OK();
    for (unsigned i = 0; i < 512; i++)
        EXPECT_EQ(p[i], 0x3c);
    /* Holes are refilled one at a time. */
    void *more[PER_UNIT];
    EXPECT_EQ(ebb__heap_take(PAGED, more, PER_UNIT), PER_UNIT);
    EXPECT_EQ(facts_now().used_bytes, UNITS(2));
    memset(more[0], 1, 512);
    EXPECT_HEAP_OK();
}

/* A slab that was full when the sweep came by must not be forgotten when blocks of it are freed later. */
static void a_slab_that_was_full_is_swept_later(void)
{
    with_pages_of_one_unit();
    void *all[PER_SLAB], *rest[PER_SLAB];
    char *p = lonely(all);
    EXPECT_EQ(ebb__heap_take(PAGED, rest, PER_SLAB - 1), PER_SLAB - 1);
    EXPECT_EQ(ebb__heap_sweep(SIZE_MAX), 0);
    EXPECT_EQ(ebb__heap_sweep(SIZE_MAX), 0);
    EXPECT(!facts_now().stirred);
    ebb__heap_give(PAGED, rest, PER_SLAB - 1, "test");
    EXPECT_MSG(facts_now().stirred, "free pages that no sweep will ever look at");
    (void)ebb__heap_sweep(SIZE_MAX);
    EXPECT_EQ(ebb__heap_sweep(SIZE_MAX), UNITS(7));
    EXPECT_EQ(resident_in((uintptr_t)p, UNITS(8)), UNITS(1));
    EXPECT_HEAP_OK();
}

/* When the last slab of an extent has gone, there is nothing left to sweep in it. */
static void nothing_is_stirred_where_no_slab_is(void)
{
    void *all[PER_SLAB];
    char *p = lonely(all);
    EXPECT(facts_now().stirred);
    give(PAGED, p);
    ebb__heap_tidy_slabs();
    EXPECT(kind_of(p) == EBB_KIND_FREE);
    EXPECT_MSG(!facts_now().stirred, "the governor would never come to rest");
    (void)ebb__heap_sweep(SIZE_MAX);
    (void)ebb__heap_purge_free(0, SIZE_MAX, 0);
    EXPECT(!facts_now().stirred);
    EXPECT_HEAP_OK();
}

/* Free units beside slabs are not what a sweep for cold slabs is asked for: they may be needed at once. */
static void free_units_beside_cold_slabs_stay(void)
{
    with_pages_of_one_unit();
    void *all[PER_SLAB], *second[PER_SLAB], *third[PER_SLAB];
    char *p = lonely(all);
    for (unsigned i = 1; i < PER_SLAB; i++) /* full again, so that the next two have slabs of their own */
        EXPECT(block(PAGED) != NULL);
    EXPECT_EQ(ebb__heap_take(PAGED, second, PER_SLAB), PER_SLAB);
    EXPECT_EQ(ebb__heap_take(PAGED, third, PER_SLAB), PER_SLAB);
    for (unsigned i = 0; i < PER_SLAB; i++) {
        memset(second[i], 1, 512);
        memset(third[i], 1, 512);
    }
    ebb__heap_give(PAGED, all + 1, PER_SLAB - 1, "test");
    EXPECT_EQ(ebb__heap_sweep(SIZE_MAX), 0);
    ebb__heap_give(PAGED, second, PER_SLAB, "test");
    ebb__heap_give(PAGED, third, PER_SLAB,
                   "test"); /* one of the two stays as the empty slab, the other's units are free */
    size_t dirty = facts_now().dirty_bytes;
    EXPECT_EQ(dirty, UNITS(8));
    EXPECT_EQ(ebb__heap_sweep(SIZE_MAX), UNITS(7)); /* of the first slab, cold since the sweep before */
    EXPECT_EQ(facts_now().dirty_bytes, dirty);
    EXPECT_EQ(resident_in((uintptr_t)p, UNITS(8)), UNITS(1));
    EXPECT_HEAP_OK();
}

/* A batch stops at its limit, and what it did not come to stays for the next. */
static void no_more_than_was_asked_for(void)
{
    void *all[PER_SLAB];
    char *p[40];
    size_t page = ebb_fake.page_bytes, total = 0;
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(p); i++) {
        p[i] = lonely(all);
        for (unsigned k = 1; k < PER_SLAB; k++)
            (void)block(PAGED);
    }
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(p); i++)
        for (unsigned k = 0; k < PER_SLAB; k++)
            if (i % 8 != 0 || k != 0)
                give(PAGED, p[i] + k * (size_t)512);
    ebb__heap_tidy_slabs();
    (void)ebb__heap_purge_free(0, SIZE_MAX, 0);
    EXPECT_EQ(ebb__heap_sweep(SIZE_MAX), 0);
    for (size_t got; (got = ebb__heap_sweep(UNITS(3))) != 0; total += got) {
        EXPECT_MSG(got < UNITS(3) + page, "%zu bytes where %zu were asked for", got, UNITS(3));
        EXPECT_HEAP_OK();
    }
    EXPECT_MSG(total == UNITS(5 * 7) || page != UNITS(1), "%zu in all", total);
    EXPECT_EQ(resident_data(), 5 * page);
    EXPECT(!facts_now().stirred);
}
FOR_EACH_PAGE_SIZE(no_more_than_was_asked_for)

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASES(only_survivors_stay),
        CASES(two_cold_sweeps_take_as_much),
        CASES(random_life),
        CASE(touched_slabs_stay),
        CASE(a_slab_that_was_full_is_swept_later),
        CASE(nothing_is_stirred_where_no_slab_is),
        CASE(free_units_beside_cold_slabs_stay),
        CASES(no_more_than_was_asked_for),
    };
    small_reservations();
    return RUN_CASES(cases);
}
