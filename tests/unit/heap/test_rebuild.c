/* SPDX-License-Identifier: MIT
 *
 * The repair after fork: torn states made by hand, then ebb__heap_after_fork(), then everything must hold.
 *
 * Truth (unit map heads, slab bitmaps, span lengths, `backed` as a superset) is left alone; every derived
 * thing may be garbage, since a lock was held when the child was made.
 */
#include "heap_test.h"

#define BLOCKS 3000

static struct live {
    char *p;
    size_t bytes;
    unsigned code; /* size class, or 0 for a span */
} live[BLOCKS];
static struct support_rng rng;

static void drop(struct live *b)
{
    EXPECT_MSG(support_kept(b->p, b->bytes, b->bytes, (uintptr_t)b->p), "block %p of %zu bytes", (void *)b->p,
               b->bytes);
    if (b->code != 0)
        give(b->code, b->p);
    else
        ebb__heap_large_free(b->p);
    b->p = NULL;
}

static void make(struct live *b)
{
    size_t dice = support_below(&rng, 1000);
    if (dice < 700) {
        b->code = 1 + (unsigned)support_below(&rng, EBB_CLASS_COUNT - 1);
        b->bytes = ebb__classes[b->code].bytes;
        b->p = block(b->code);
    } else {
        b->code = 0;
        b->bytes = UNITS(dice < 900   ? support_between(&rng, 1, 64)
                         : dice < 985 ? support_between(&rng, 65, 512)
                         : dice < 998 ? support_between(&rng, 513, 8000)
                                      : support_between(&rng, 32000, 50000));
        b->p = span(b->bytes);
    }
    support_fill(b->p, b->bytes, (uintptr_t)b->p);
}

static void churn(unsigned ops)
{
    for (unsigned i = 0; i < ops; i++) {
        struct live *b = &live[support_below(&rng, BLOCKS)];
        if (b->p != NULL)
            drop(b);
        else
            make(b);
    }
}

static void all_whole(void)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        if (live[i].p != NULL)
            EXPECT(support_kept(live[i].p, live[i].bytes, live[i].bytes, (uintptr_t)live[i].p));
}

static void garbage(void *p, size_t bytes)
{
    unsigned char *at = p;
    for (size_t i = 0; i < bytes; i++)
        at[i] = (unsigned char)support_next(&rng);
}

static bool dice(unsigned one_in)
{
    return support_below(&rng, one_in) == 0;
}

static void spoil_slab(char *start, size_t units, unsigned code, void *arg)
{
    (void)arg;
    (void)units;
    if (code == EBB_CODE_SPAN || dice(3))
        return;
    struct slab *s = ebb__desc_of(start);
    garbage(&s->next, sizeof(s->next));
    garbage(&s->prev, sizeof(s->prev));
    garbage(&s->nfree, sizeof(s->nfree));
    s->list = support_next(&rng) & 0xf;
}

static void spoil_extent(const struct group *group, unsigned number)
{
    struct extent *e = ebb__extent_at(ebb__space.groups[group->index], number);
    const struct reservation *r = &ebb__space.reservations[group->reservation];
    if (dice(2))
        garbage(e->free, sizeof(e->free));
    if (dice(2)) {
        e->nfree = (uint16_t)support_next(&rng);
        e->ndirty = (uint16_t)support_next(&rng);
        e->run_any = (uint16_t)support_next(&rng);
        e->run_dirty = (uint16_t)support_next(&rng);
    }
    if (dice(2)) {
        e->class_any = (uint8_t)support_next(&rng);
        e->class_dirty = (uint8_t)support_next(&rng);
    }
    bool committed = ebb__space_is_committed(r, ebb__space.groups[group->index] + EXTENTS(number + 1));
    if (committed && e->kind == EBB_KIND_FREE && dice(4))
        e->kind = EBB_KIND_CLAIMED;
    else if (committed && dice(4))
        e->kind = (uint8_t)support_below(&rng, EBB_KIND_CLAIMED);
    if (committed && dice(4)) /* more may be marked as backed than is */
        e->backed[support_below(&rng, 8)] |= support_next(&rng);
}

/* Entries that a slab in the making has written behind its head, where nothing lives. */
static void stray_entries(uint32_t g)
{
    char *base = (char *)ebb__space.groups[g];
    for (unsigned i = 0; i < 50; i++) {
        unsigned u = (unsigned)support_between(&rng, EBB_EXTENT_UNITS, 2 * EBB_GROUP_UNITS / 3);
        const struct extent *e = ebb__extent_at((uintptr_t)base, u / EBB_EXTENT_UNITS);
        bool is_free = e->kind == EBB_KIND_FREE || ebb__bitmap_test(e->free, u % EBB_EXTENT_UNITS);
        if (is_free && ebb__unit_entry(base + UNITS(u)) == EBB_CODE_NONE)
            atomic_store(ebb__map_entry(base + UNITS(u)),
                         (uint16_t)(support_between(&rng, 1, 77) | support_between(&rng, 1, 15) << 8));
    }
}

static void spoil_space(void)
{
    struct space *s = &ebb__space;
    for (uint32_t w = 0; w < s->active_words; w++) {
        garbage(s->runs[w], sizeof(s->runs[w]));
        garbage(&s->free_groups[w], sizeof(s->free_groups[w]));
        garbage(&s->dirty_groups[w], sizeof(s->dirty_groups[w]));
    }
    garbage(s->run_counts, sizeof(s->run_counts));
    garbage(s->run_masks, sizeof(s->run_masks));
    garbage(&s->backed_units, sizeof(s->backed_units));
    garbage(&s->dirty_units, sizeof(s->dirty_units));
    for (uint32_t g = 0; g < s->group_count; g++) {
        if (s->state[g] != EBB_GROUP_ACTIVE)
            continue;
        struct group *group = (struct group *)(s->groups[g] + EBB_META_GROUP_AT);
        stray_entries(g);
        ebb__walk_group(g, spoil_slab, NULL);
        for (uint64_t left = group->extents; left != 0; left &= left - 1)
            spoil_extent(group, ebb__ctz(left));
        garbage(&group->free_extents, sizeof(group->free_extents));
        garbage(&group->dirty_extents, sizeof(group->dirty_extents));
        garbage(group->runs, sizeof(group->runs));
    }
}

static void spoil_bins(void)
{
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++) {
        struct bin *bin = &ebb__bins[c];
        garbage(bin->lists, sizeof(bin->lists));
        garbage(&bin->nonempty, sizeof(bin->nonempty));
        garbage(&bin->slab_count, sizeof(bin->slab_count));
        garbage(&bin->empty_count, sizeof(bin->empty_count));
        if (dice(2))
            atomic_store(&bin->lock.state, 1 + (uint32_t)support_below(&rng, 2));
    }
}

static void repaired(const char *what, unsigned round)
{
    EXPECT_MSG(ebb__heap_check() == 0, "%s, round %u", what, round);
    EXPECT(!ebb__lock_is_held(&ebb__space_lock) && !ebb__lock_is_held(&ebb__grow_lock) &&
           !ebb__lock_is_held(&ebb__lane_lock));
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++)
        EXPECT(!ebb__lock_is_held(&ebb__bins[c].lock));
    all_whole();
}

static void derived_state_is_garbage(void)
{
    rng = (struct support_rng){support_seed("derived_state_is_garbage")};
    churn(2000);
    for (unsigned round = 0; round < 25; round++) {
        churn(1000);
        EXPECT_HEAP_OK();
        spoil_space();
        spoil_bins();
        atomic_store(&ebb__space_lock.state, 1);
        uint64_t rebuilds = EBB_COUNTED(fork_rebuilds);
        ebb__heap_after_fork();
        EXPECT_EQ(EBB_COUNTED(fork_rebuilds), rebuilds + 1);
        repaired("garbage", round);
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        if (live[i].p != NULL)
            drop(&live[i]);
    EXPECT_HEAP_OK();
    EXPECT_EQ(stats_now().slab_blocks, 0);
    EXPECT_EQ(stats_now().span_blocks, 0);
    (void)ebb__heap_trim(0);
    EXPECT_EQ(stats_now().backed_bytes, 0);
    EXPECT_HEAP_OK();
}

/* One bin's lock alone is enough of a sign. */
static void one_bin_is_torn(void)
{
    rng = (struct support_rng){support_seed("one_bin_is_torn")};
    for (unsigned round = 0; round < 20; round++) {
        churn(500);
        unsigned c = 1 + (unsigned)support_below(&rng, EBB_CLASS_COUNT - 1);
        struct bin *bin = &ebb__bins[c];
        garbage(bin->lists, sizeof(bin->lists));
        bin->slab_count += 3;
        atomic_store(&bin->lock.state, 2);
        ebb__heap_after_fork();
        repaired("one bin", round);
    }
}

static void nothing_is_torn(void)
{
    rng = (struct support_rng){support_seed("nothing_is_torn")};
    churn(1000);
    ebb__heap_after_fork();
    EXPECT_EQ(EBB_COUNTED(fork_rebuilds), 0);
    repaired("nothing", 0);
    /* Held grow and lane locks guard nothing that must be rebuilt. */
    atomic_store(&ebb__grow_lock.state, 1);
    atomic_store(&ebb__lane_lock.state, 2);
    ebb__heap_after_fork();
    EXPECT_EQ(EBB_COUNTED(fork_rebuilds), 0);
    repaired("grow and lane", 1);
}

/* A chain over groups in the making: groups swallowed, its head not alive yet. */
static void half_made_long_chain(void)
{
    rng = (struct support_rng){support_seed("half_made_long_chain")};
    char *old = span(EBB_MIB(400)), *edge = span(UNITS(100));
    ebb__heap_large_free(old);
    support_fill(edge, UNITS(100), 1);
    bool clean;
    char *chain = ebb__chain_take(EBB_MIB(300) / EBB_UNIT_BYTES, 1, EBB_MAKE_ROOM, &clean);
    EXPECT(chain != NULL);
    size_t in_use = 0;
    for (uint32_t g = 0; g < ebb__space.group_count; g++)
        in_use += ebb__space.state[g] == EBB_GROUP_CHAIN;
    EXPECT(in_use >= 2);
    atomic_store(ebb__map_entry(chain), EBB_CODE_NONE);
    /* A dirty inside: it must be zero before the groups count as virgin. */
    for (size_t at = 0; at < EBB_MIB(300); at += UNITS(16))
        chain[at] = 1;
    atomic_store(&ebb__space_lock.state, 1);
    ebb__heap_after_fork();
    EXPECT_HEAP_OK();
    EXPECT(support_kept(edge, UNITS(100), UNITS(100), 1));
    for (uint32_t g = 0; g < ebb__space.group_count; g++)
        EXPECT(ebb__space.state[g] != EBB_GROUP_CHAIN);
    for (unsigned i = 0; i < 5; i++) {
        char *p = ebb__heap_span_alloc(EBB_MIB(100), EBB_UNIT_BYTES, true);
        EXPECT(p != NULL);
        for (size_t at = 0; at < EBB_MIB(100); at += UNITS(16))
            EXPECT_MSG(p[at] == 0, "block %u at %zu", i, at);
    }
    EXPECT_HEAP_OK();
}

static void half_made_long_chain_in_locked_memory(void)
{
    ebb_fake.locked = true;
    half_made_long_chain();
}

/* A living long chain keeps its groups. */
static void living_long_chain(void)
{
    char *chain = span(EBB_MIB(300));
    support_fill(chain, EBB_MIB(300), 3);
    spoil_space();
    atomic_store(&ebb__space_lock.state, 1);
    ebb__heap_after_fork();
    EXPECT_HEAP_OK();
    EXPECT(support_kept(chain, EBB_MIB(300), EBB_MIB(300), 3));
    ebb__heap_large_free(chain);
    EXPECT_HEAP_OK();
}

/* The instant between the two writes that make a group active, and of those that swallow one. */
static void group_between_two_writes(void)
{
    char *p = span(UNITS(10));
    support_fill(p, UNITS(10), 9);
    char *far = span(EBB_MIB(120)), *behind = span(EBB_MIB(20)); /* the second group is active */
    uint32_t g = ebb__group_of(behind)->index;
    EXPECT(g == 1);
    support_fill(behind, EBB_MIB(20), 4);
    atomic_store(&ebb__owned[(uintptr_t)behind >> EBB_GROUP_SHIFT], 0);
    atomic_store(&ebb__space_lock.state, 1);
    ebb__heap_after_fork();
    EXPECT_HEAP_OK();
    EXPECT_EQ(units_of(behind), EBB_MIB(20) / EBB_UNIT_BYTES);
    ebb__heap_large_free(behind);
    ebb__heap_large_free(far);
    EXPECT_HEAP_OK();
}

/* The instant in append() when the reservation counts and its groups do not yet. */
static void reservation_between_two_writes(void)
{
    ebb_fake.memlock_bytes = EBB_MIB(512);
    for (unsigned i = 0; i < 100; i++)
        (void)span(EXTENTS(1));
    EXPECT_EQ(ebb__space.reservation_count, 2);
    uint32_t groups = ebb__space.reservations[1].group_count;
    /* Nothing of the second is in use in this child: its thread died before the first use. */
    for (uint32_t g = ebb__space.reservations[1].first_group; g < ebb__space.group_count; g++) {
        atomic_store(&ebb__owned[ebb__space.groups[g] >> EBB_GROUP_SHIFT], 0);
        memset((void *)ebb__space.groups[g], 0, EBB_EXTENT_BYTES);
        ebb__space.state[g] = EBB_GROUP_VIRGIN;
    }
    ebb__space.group_count -= groups;
    atomic_store(&ebb__grow_lock.state, 1);
    atomic_store(&ebb__space_lock.state, 1);
    ebb__heap_after_fork();
    EXPECT_HEAP_OK();
    for (unsigned i = 0; i < 200; i++) {
        char *p = span(EXTENTS(1));
        support_fill(p, EXTENTS(1), i);
        const struct reservation *r = ebb__space_reservation_of_group(ebb__group_of(p)->index);
        EXPECT_MSG((uintptr_t)p - r->base < r->bytes, "block %u at %p is not in its reservation", i,
                   (void *)p);
    }
    EXPECT_HEAP_OK();
}

/* The same when it became longer: its length is written, what follows from it is not. */
static void longer_between_two_writes(void)
{
    ebb_fake.memlock_bytes = EBB_MIB(512);
    ebb_fake.behind_bytes = EBB_GIB(1);
    for (unsigned i = 0; i < 63; i++)
        support_fill(span(EXTENTS(1)), EXTENTS(1), i);
    EXPECT_EQ(ebb__space_reserve(EXTENTS(1), ebb__space.group_count), 0);
    EXPECT(ebb__space.reservation_count == 1 && ebb__space.group_count == 2);
    ebb__space.group_count = ebb__space.reservations[0].group_count = 1;
    atomic_store(&ebb__grow_lock.state, 1);
    atomic_store(&ebb__space_lock.state, 1);
    ebb__heap_after_fork();
    EXPECT_HEAP_OK();
    EXPECT(ebb__space.group_count == 2 && ebb__space.reservations[0].group_count == 2);
    for (unsigned i = 0; i < 200; i++)
        support_fill(span(EXTENTS(1)), EXTENTS(1), i);
    EXPECT_EQ(ebb__space.reservation_count, 1);
    EXPECT_HEAP_OK();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(derived_state_is_garbage),
        CASE(one_bin_is_torn),
        CASE(nothing_is_torn),
        CASE(half_made_long_chain),
        CASE(half_made_long_chain_in_locked_memory),
        CASE(living_long_chain),
        CASE(group_between_two_writes),
        CASE(reservation_between_two_writes),
        CASE(longer_between_two_writes),
    };
    small_reservations();
    return RUN_CASES(cases);
}
