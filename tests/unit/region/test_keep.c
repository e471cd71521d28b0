/* SPDX-License-Identifier: MIT
 *
 * Kept blocks: which a reset keeps, how they follow the need, and how they go when nobody comes.
 */
#include "region_test.h"
#include "small_space.h"

#include "os/fake.h"

static void fill(struct ebb_region *region, size_t bytes)
{
    for (size_t done = 0; done < bytes; done += 112)
        (void)piece(region, 112);
}

static size_t kept(const struct ebb_region *region)
{
    return figures(region).kept_bytes;
}

static uint64_t taken(const struct ebb_region *region)
{
    return figures(region).blocks_taken;
}

/* ---- what a reset keeps ---- */

static void first_only(void)
{
    struct ebb_region *region = ebb__region_create(NULL);
    fill(region, 100000);
    ebb__region_reset(region, EBB_REGION_KEEP_FIRST);
    EXPECT_EQ(figures(region).held_bytes, 1024);
    uint64_t before = taken(region);
    fill(region, 1000);
    EXPECT_EQ(taken(region), before + 1);
    EXPECT_EQ(figures(region).held_bytes, 1024 + EBB_KIB(8)); /* growth has begun anew */
    ebb__region_destroy(region);
    expect_empty_heap();
}

static void the_largest(void)
{
    struct ebb_region *region = ebb__region_create(NULL);
    fill(region, 100000); /* 8, 16, 32, 64 KiB */
    ebb__region_reset(region, EBB_REGION_KEEP_LARGEST);
    EXPECT_EQ(kept(region), EBB_KIB(64));
    uint64_t before = taken(region);
    fill(region, 60000);
    EXPECT_EQ(taken(region), before);
    EXPECT_EQ(kept(region), 0);
    REGION_OK(region);
    ebb__region_destroy(region);
    expect_empty_heap();
}

static void all_of_them(void)
{
    struct ebb_region *region = ebb__region_create(NULL);
    fill(region, 100000);
    uint64_t before = taken(region);
    for (unsigned i = 0; i < 10; i++) {
        ebb__region_reset(region, EBB_REGION_KEEP_ALL);
        EXPECT_EQ(kept(region), EBB_KIB(8 + 16 + 32 + 64));
        fill(region, 100000);
    }
    EXPECT_EQ(taken(region), before);
    REGION_OK(region);
    ebb__region_reset(region, EBB_REGION_KEEP_ALL);
    ebb__region_reset(region, EBB_REGION_KEEP_LARGEST); /* less is kept when less is asked for */
    EXPECT_EQ(kept(region), EBB_KIB(64));
    ebb__region_reset(region, EBB_REGION_KEEP_FIRST);
    EXPECT_EQ(kept(region), 0);
    ebb__region_destroy(region);
    expect_empty_heap();
}

static void blocks_apart_are_not_kept(void)
{
    struct ebb_region *region = ebb__region_create(NULL);
    (void)piece(region, EBB_MIB(3));
    (void)piece(region, EBB_KIB(300));
    ebb__region_reset(region, EBB_REGION_KEEP_ALL);
    EXPECT_EQ(figures(region).held_bytes, 1024);
    ebb__region_destroy(region);
    expect_empty_heap();
}

/* ---- kept blocks follow the need ---- */

/* From the third round on, a round takes nothing from the heap, whatever its size and its pieces. */
static void rounds_soon_take_nothing(void)
{
    static const size_t sizes[] = {500, 3000, 20000, 100000, 600000};
    for (size_t i = 0; i < EBB_ARRAY_COUNT(sizes); i++)
        for (size_t bytes = 24; bytes <= 4000; bytes *= 5) {
            struct ebb_region *region = ebb__region_create(NULL);
            struct ebb_region_mark mark = ebb__region_mark(region);
            uint64_t before = 0;
            for (unsigned round = 0; round < 100; round++) {
                for (size_t done = 0; done < sizes[i]; done += bytes)
                    EXPECT(ebb_region_alloc(region, bytes) != NULL);
                if (round % 2 == 0)
                    ebb__region_reset(region, EBB_REGION_KEEP_LARGEST);
                else
                    ebb__region_rollback(region, mark);
                if (round == 3)
                    before = taken(region);
            }
            EXPECT_MSG(taken(region) == before, "%zu bytes in pieces of %zu: %zu blocks more", sizes[i],
                       bytes, (size_t)(taken(region) - before));
            REGION_OK(region);
            ebb__region_destroy(region);
        }
}

/* One large round among small ones is forgotten after 32 of these. */
static void no_high_water_mark(void)
{
    for (int keep = EBB_REGION_KEEP_LARGEST; keep <= EBB_REGION_KEEP_ALL; keep++) {
        struct ebb_region *region = ebb__region_create(NULL);
        fill(region, EBB_MIB(4));
        ebb__region_reset(region, (enum ebb_region_keep)keep);
        EXPECT(kept(region) >= EBB_MIB(1));
        for (unsigned i = 0; i < 2 * EBB_ROUNDS; i++) {
            fill(region, 2000);
            ebb__region_reset(region, (enum ebb_region_keep)keep);
        }
        EXPECT_MSG(figures(region).held_bytes <= EBB_KIB(16), "%zu bytes are held",
                   figures(region).held_bytes);
        uint64_t before = taken(region);
        for (unsigned i = 0; i < 100; i++) {
            fill(region, 2000);
            ebb__region_reset(region, (enum ebb_region_keep)keep);
        }
        EXPECT(taken(region) <= before + 1); /* and the small rounds are served */
        REGION_OK(region);
        ebb__region_destroy(region);
    }
    expect_empty_heap();
}

/* Small rounds above much that stays do not make growth begin anew. */
static void growth_goes_on_where_it_was(void)
{
    struct ebb_region *region = ebb__region_create(NULL);
    for (unsigned i = 0; i < 4000; i++) {
        fill(region, 5000); /* stays */
        struct ebb_region_mark mark = ebb__region_mark(region);
        fill(region, 300);
        ebb__region_rollback(region, mark);
    }
    EXPECT_MSG(taken(region) < 60, "%zu blocks for 20 MB", (size_t)taken(region));
    ebb__region_destroy(region);
}

/* ---- decay ---- */

static void decay_takes_what_nobody_used(void)
{
    struct ebb_region *region = ebb__region_create(NULL);
    EXPECT(!ebb__region_is_any_kept());
    fill(region, 100000);
    ebb__region_reset(region, EBB_REGION_KEEP_ALL);
    EXPECT(ebb__region_is_any_kept());
    EXPECT((atomic_load(&ebb__heap_upkeep) & EBB_UPKEEP_REGIONS) != 0);
    EXPECT_EQ(ebb__region_decay(), 0);
    EXPECT(ebb__region_is_any_kept());
    EXPECT_EQ(ebb__region_decay(), EBB_KIB(8 + 16 + 32 + 64));
    EXPECT(!ebb__region_is_any_kept());
    EXPECT_EQ(figures(region).held_bytes, 1024);
    REGION_OK(region);
    fill(region, 100000);
    EXPECT_EQ(figures(region).peak_bytes, 1024 + EBB_KIB(8 + 16 + 32 + 64));
    REGION_OK(region);
    ebb__region_destroy(region);
    expect_empty_heap();
}

static void use_keeps_young(void)
{
    struct ebb_region *busy = ebb__region_create(NULL), *idle = ebb__region_create(NULL);
    fill(idle, 20000);
    ebb__region_reset(idle, EBB_REGION_KEEP_LARGEST);
    for (unsigned i = 0; i < 10; i++) {
        fill(busy, 20000);
        EXPECT_EQ(ebb__region_decay(), i == 1 ? EBB_KIB(16) : 0); /* the idle one's */
        ebb__region_reset(busy, EBB_REGION_KEEP_LARGEST);
    }
    EXPECT(kept(busy) >= EBB_KIB(16) && kept(idle) == 0);
    EXPECT_EQ(ebb__region_decay(), 0);
    EXPECT(ebb__region_decay_all() >= EBB_KIB(16));
    EXPECT_EQ(kept(busy), 0);
    REGION_OK(busy);
    ebb__region_destroy(busy);
    ebb__region_destroy(idle);
    expect_empty_heap();
}

static void some_keep_for_ever(void)
{
    struct ebb_region *region = region_with((struct ebb_region_options){.flags = EBB_REGION_KEEPS_IDLE});
    fill(region, 100000);
    ebb__region_reset(region, EBB_REGION_KEEP_LARGEST);
    EXPECT(!ebb__region_is_any_kept());
    EXPECT_EQ(ebb__region_decay() + ebb__region_decay() + ebb__region_decay_all(), 0);
    EXPECT_EQ(kept(region), EBB_KIB(64));
    REGION_OK(region);
    ebb__region_destroy(region);
    expect_empty_heap();
}

/* Regions come and go in any order while others keep. */
static void lists_of_regions(void)
{
    enum { COUNT = 300 };
    static struct ebb_region *regions[COUNT];
    struct support_rng rng = {support_seed("keep")};
    for (unsigned step = 0; step < 5000; step++) {
        struct ebb_region **at = &regions[support_below(&rng, COUNT)];
        if (*at == NULL) {
            *at = ebb__region_create(NULL);
        } else if (support_below(&rng, 3) == 0) {
            ebb__region_destroy(*at);
            *at = NULL;
        } else {
            fill(*at, support_below(&rng, 30000));
            ebb__region_reset(*at, (enum ebb_region_keep)support_below(&rng, 3));
            EXPECT_EQ(ebb__region_check(*at), 0);
        }
        if (step % 97 == 0)
            (void)ebb__region_decay();
    }
    for (unsigned i = 0; i < COUNT; i++)
        if (regions[i] != NULL)
            EXPECT_EQ(ebb__region_check(regions[i]), 0);
    (void)ebb__region_decay_all();
    for (unsigned i = 0; i < COUNT; i++)
        if (regions[i] != NULL) {
            EXPECT_EQ(kept(regions[i]), 0);
            ebb__region_destroy(regions[i]);
        }
    expect_empty_heap();
    EXPECT_EQ(ebb__region_decay_all(), 0);
    EXPECT(!ebb__region_is_any_kept());
}

/* ---- kept blocks and need ---- */

/* Before a limit refuses, what is kept goes. */
static void kept_blocks_make_room_below_the_limit(void)
{
    struct ebb_region *region = region_with((struct ebb_region_options){.limit_bytes = EBB_KIB(160)});
    fill(region, 100000);
    ebb__region_reset(region, EBB_REGION_KEEP_ALL);
    EXPECT(ebb_region_alloc(region, EBB_KIB(130)) != NULL);
    EXPECT_EQ(kept(region), 0);
    EXPECT(figures(region).held_bytes <= EBB_KIB(160));
    REGION_OK(region);
    ebb__region_destroy(region);
}

/* Before the kernel's refusal is passed on, what is kept goes. */
static void kept_blocks_make_room_in_the_kernel(void)
{
    struct ebb_region *region = region_with((struct ebb_region_options){.max_block_bytes = EBB_MIB(16)});
    fill(region, EBB_MIB(20));
    ebb__region_reset(region, EBB_REGION_KEEP_ALL);
    size_t before = kept(region);
    ebb_fake.commit_bytes = ebb_fake.committed_bytes;
    while (ebb__heap_span_alloc(EBB_KIB(64), EBB_UNIT_BYTES, false) != NULL)
        ;
    EXPECT(ebb_region_alloc(region, EBB_MIB(12)) != NULL);
    EXPECT(kept(region) < before);
    REGION_OK(region);
}

/* ---- fork ---- */

static void a_child_goes_on(void)
{
    struct ebb_region *region = ebb__region_create(NULL), *other = ebb__region_create(NULL);
    fill(region, 100000);
    ebb__region_reset(region, EBB_REGION_KEEP_ALL);
    fill(other, 100000);
    ebb__region_reset(other, EBB_REGION_KEEP_LARGEST);
    ebb__region_after_fork();
    EXPECT_EQ(ebb__region_decay_all(), 0); /* nobody is known */
    EXPECT_EQ(kept(region), EBB_KIB(8 + 16 + 32 + 64));
    fill(region, 50000);
    ebb__region_reset(region, EBB_REGION_KEEP_ALL);
    REGION_OK(region);
    EXPECT(ebb__region_decay_all() != 0);
    EXPECT_EQ(kept(region), 0);
    ebb__region_destroy(other); /* was in a list that is gone */
    ebb__region_destroy(region);
    expect_empty_heap();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(first_only),
        CASE(the_largest),
        CASE(all_of_them),
        CASE(blocks_apart_are_not_kept),
        CASE(rounds_soon_take_nothing),
        CASE(no_high_water_mark),
        CASE(growth_goes_on_where_it_was),
        CASE(decay_takes_what_nobody_used),
        CASE(use_keeps_young),
        CASE(some_keep_for_ever),
        CASE(lists_of_regions),
        CASE(kept_blocks_make_room_below_the_limit),
        CASE(kept_blocks_make_room_in_the_kernel),
        CASE(a_child_goes_on),
    };
    unwatched();
    small_reservations();
    return RUN_CASES(cases);
}
