/* SPDX-License-Identifier: MIT
 *
 * Extents: runs of units against a naive list of what is taken and what is backed.
 */
#include "heap_test.h"

#define SLOTS 900

struct run {
    char *start;
    unsigned units;
    enum ebb_kind kind;
};

static char *take(enum ebb_kind kind, unsigned units, unsigned align)
{
    uint64_t backed[EBB_EXTENT_UNITS / 64];
    char *p = ebb__extent_take(kind, units, align, EBB_MAKE_ROOM, backed);
    EXPECT(p != NULL && (uintptr_t)p % UNITS(align) == 0);
    EXPECT_MSG(ebb__extent_number(p) == ebb__extent_number(p + UNITS(units) - 1), "%u units at %p", units,
               (void *)p);
    EXPECT_EQ(kind_of(p), kind);
    /* A unit was backed before if and only if the first byte of it still has the mark of its last user. */
    for (unsigned u = 0; u < units; u++) {
        EXPECT_MSG(ebb__bitmap_test(backed, u) == (p[UNITS(u)] == 0x11), "unit %u of %u at %p", u, units,
                   (void *)p);
        p[UNITS(u)] = 0x77;
    }
    if (kind == EBB_KIND_SLAB) /* slabs come to life later; for the walkers a span will do */
        ebb__span_birth(p, units, EBB_HELD_BY_NOBODY);
    return p;
}

static void drop(struct run *run, bool clean)
{
    for (unsigned u = 0; u < run->units; u++)
        run->start[UNITS(u)] = clean ? 0 : 0x11;
    if (clean)
        ebb__chain_give(run->start, run->units, 0, run->units);
    else
        ebb__extent_give(run->start, run->units);
    run->start = NULL;
}

/* Random taking and giving of all kinds, with alignments; every answer about backed units is compared with
 * what is really in the memory. */
static void random_runs(void)
{
    static struct run runs[SLOTS];
    struct support_rng rng = {support_seed("random_runs")};
    size_t ops = support_env_number("MODEL_OPS", 20000), used = 0;
    for (size_t op = 0; op < ops; op++) {
        struct run *run = &runs[support_below(&rng, SLOTS)];
        if (run->start != NULL) {
            for (unsigned u = 0; u < run->units; u++)
                EXPECT_EQ(run->start[UNITS(u)], 0x77);
            used -= run->units;
            drop(run, support_below(&rng, 8) == 0);
        } else {
            unsigned align = 1u << (support_below(&rng, 10) == 0 ? support_below(&rng, 10) : 0);
            run->kind = (enum ebb_kind)(EBB_KIND_SLAB + support_below(&rng, 3));
            run->units = (unsigned)support_between(&rng, 1, run->kind == EBB_KIND_LARGE ? 512 : 64);
            run->start = take(run->kind, run->units, align);
            used += run->units;
        }
        if (op % 256 == 0) {
            EXPECT_HEAP_OK();
            EXPECT_EQ(ebb__space.backed_units - ebb__space.dirty_units, used);
        }
    }
    for (unsigned i = 0; i < SLOTS; i++)
        if (runs[i].start != NULL)
            drop(&runs[i], false);
    EXPECT_HEAP_OK();
    EXPECT_EQ(ebb__space.backed_units, ebb__space.dirty_units);
}

static void order_of_choice(void)
{
    /* One extent of each kind, and one free extent that is backed. */
    char *mid = take(EBB_KIND_MID, 10, 1), *large = take(EBB_KIND_LARGE, 500, 1);
    struct run whole = {take(EBB_KIND_LARGE, 512, 1), 512, EBB_KIND_LARGE};
    char *dirty_extent = whole.start;
    drop(&whole, false);
    EXPECT_EQ(kind_of(dirty_extent), EBB_KIND_FREE);
    /* 1. backed units of the kind */
    struct run old = {take(EBB_KIND_MID, 20, 1), 20, EBB_KIND_MID};
    EXPECT(old.start ==
           dirty_extent); /* 2. a free extent that is backed comes before clean units of the kind */
    char *was = old.start;
    struct run second = {take(EBB_KIND_MID, 30, 1), 30, EBB_KIND_MID};
    EXPECT(second.start == was + UNITS(20));
    drop(&old, false);
    EXPECT(take(EBB_KIND_MID, 20, 1) == was);
    /* All 512 units of it are backed: while they last, no other extent is touched. */
    for (unsigned i = 0; i < 46; i++)
        EXPECT(ebb__extent_number(take(EBB_KIND_MID, 10, 1)) == ebb__extent_number(dirty_extent));
    /* 3. clean units of the kind, before a fresh extent */
    EXPECT(take(EBB_KIND_MID, 10, 1) == mid + UNITS(10));
    EXPECT(take(EBB_KIND_LARGE, 12, 1) == large + UNITS(500));
    /* 4. a fresh extent, the lowest */
    EXPECT(take(EBB_KIND_LARGE, 1, 1) == dirty_extent + EBB_EXTENT_BYTES);
    EXPECT_HEAP_OK();
}

/* Of two extents with room the fuller one serves. */
static void fullest_extent_first(void)
{
    struct run a = {take(EBB_KIND_MID, 64, 1), 64, EBB_KIND_MID};
    char *first = a.start;
    for (unsigned i = 0; i < 7; i++)
        (void)take(EBB_KIND_MID, 64, 1);
    struct run b = {take(EBB_KIND_MID, 64, 1), 64, EBB_KIND_MID};
    EXPECT(ebb__extent_number(b.start) == ebb__extent_number(first) + 1);
    for (unsigned i = 0; i < 7; i++)
        (void)take(EBB_KIND_MID, 64, 1);
    char *in_second = b.start;
    drop(&b, false);
    drop(&a, false);
    struct run small = {take(EBB_KIND_MID, 40, 1), 40, EBB_KIND_MID};
    EXPECT(small.start == first); /* same fullness: the lower one */
    EXPECT(take(EBB_KIND_MID, 24, 1) == first + UNITS(40));
    EXPECT(take(EBB_KIND_MID, 24, 1) == in_second);
    EXPECT_HEAP_OK();
}

static void every_alignment_in_an_extent(void)
{
    for (unsigned align = 1; align <= 512; align *= 2)
        for (unsigned units = 1; units <= 512; units = units < 8 ? units + 1 : units * 2) {
            (void)take(EBB_KIND_LARGE, 3, 1);
            (void)take(EBB_KIND_LARGE, units, align);
            EXPECT_HEAP_OK();
        }
}

static void exact_runs(void)
{
    char *p = take(EBB_KIND_MID, 10, 1);
    uintptr_t base = ebb__group_base(p);
    unsigned number = ebb__extent_number(p);
    EXPECT(!ebb__extent_can_take(base, number, EBB_KIND_MID, 0, 1));
    EXPECT(!ebb__extent_can_take(base, number, EBB_KIND_MID, 9, 2));
    EXPECT(ebb__extent_can_take(base, number, EBB_KIND_MID, 10, 502));
    EXPECT(!ebb__extent_can_take(base, number, EBB_KIND_LARGE, 10, 1));
    EXPECT(ebb__extent_can_take(base, number + 1, EBB_KIND_LARGE, 0, 512));
    ebb__extent_take_exact(base, number, EBB_KIND_MID, 100, 50);
    EXPECT(!ebb__extent_can_take(base, number, EBB_KIND_MID, 149, 1));
    EXPECT(ebb__extent_can_take(base, number, EBB_KIND_MID, 150, 1));
    ebb__span_birth(p + UNITS(100), 50, EBB_HELD_BY_NOBODY);
    ebb__gate_settle();
    EXPECT_HEAP_OK();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(random_runs),          CASE(order_of_choice),
        CASE(fullest_extent_first), CASE(every_alignment_in_an_extent),
        CASE(exact_runs),
    };
    small_reservations();
    return RUN_CASES(cases);
}
