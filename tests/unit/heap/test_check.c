/* SPDX-License-Identifier: MIT
 *
 * The walker: each invariant H1 to H10 is broken on purpose, and the line must name it.
 */
#include "heap_test.h"

/* What the tests below break: a slab with free blocks, a full slab, spans of both kinds, a free dirty extent.
 */
static struct {
    char *small, *mid, *large, *dirty;
    struct slab *slab;
    struct bin *bin;
    struct extent *slab_extent, *mid_extent, *large_extent;
    struct group *group;
    uintptr_t base;
} h;

static void set_up(void)
{
    without_seeds();
    void *blocks[64];
    unsigned c = ebb__class_of(1024);
    h.small = block(c);
    EXPECT_EQ(ebb__heap_take(ebb__class_of(512), blocks, 64), 64);
    h.mid = span(UNITS(20));
    h.large = span(UNITS(300));
    h.dirty = span(EXTENTS(1));
    memset(h.dirty, 1, EBB_UNIT_BYTES);
    ebb__heap_large_free(h.dirty);
    h.base = ebb__group_base(h.small);
    h.slab = ebb__desc_of(h.small);
    h.bin = &ebb__bins[c];
    h.group = ebb__group_of(h.small);
    h.slab_extent = ebb__extent_at(h.base, ebb__extent_number(h.small));
    h.mid_extent = ebb__extent_at(h.base, ebb__extent_number(h.mid));
    h.large_extent = ebb__extent_at(h.base, ebb__extent_number(h.large));
    EXPECT_HEAP_OK();
}

/* Each changes one thing. The text after the name is the invariant that must be named. */
static void h1_unit_marked_free(void)
{
    h.mid_extent->free[0] |= 1;
}
static void h1_unit_marked_used(void)
{
    h.large_extent->free[7] &= ~(UINT64_C(1) << 63);
}
static void h1_map_entry_inside_a_slab(void)
{
    atomic_store(ebb__map_entry(h.small + EBB_UNIT_BYTES), EBB_CODE_NONE);
}
static void h1_span_without_entry(void)
{
    atomic_store(ebb__map_entry(h.mid), EBB_CODE_NONE);
}
static void h1_block_in_a_free_extent(void)
{
    ((struct span *)ebb__desc_of(h.dirty))->units = 5;
    atomic_store(ebb__map_entry(h.dirty), EBB_CODE_SPAN);
}
static void h2_nfree(void)
{
    h.mid_extent->nfree++;
}
static void h2_ndirty(void)
{
    h.mid_extent->ndirty++;
}
static void h2_run_any(void)
{
    h.large_extent->run_any--;
}
static void h2_run_dirty(void)
{
    h.large_extent->run_dirty++;
}
static void h3_extent_missing_in_free(void)
{
    h.group->free_extents &= ~(UINT64_C(1) << (EBB_GROUP_EXTENTS - 1)); /* clean: H4 has nothing to say */
}
static void h3_used_extent_in_free(void)
{
    h.group->free_extents |= UINT64_C(1) << ebb__extent_number(h.mid);
}
static void h3_extent_missing_in_the_index(void)
{
    h.group->runs[EBB_RUN_ANY][EBB_KIND_MID - 1][h.mid_extent->class_any] = 0;
}
static void h3_extent_twice_in_the_index(void)
{
    h.group->runs[EBB_RUN_ANY][EBB_KIND_SLAB - 1][3] |= UINT64_C(1) << ebb__extent_number(h.mid);
}
static void h3_wrong_class(void)
{
    h.mid_extent->class_any--;
}
static void h3_upper_level(void)
{
    ebb__space.runs[0][EBB_RUN_ANY][EBB_KIND_MID - 1][h.mid_extent->class_any] = 0;
}
static void h3_mask(void)
{
    ebb__space.run_masks[EBB_RUN_ANY][EBB_KIND_MID - 1] = 0;
}
static void h3_mask_too_many(void)
{
    ebb__space.run_masks[EBB_RUN_ANY][EBB_KIND_MID - 1] |= UINT64_C(1) << 1;
}
static void h3_counts(void)
{
    ebb__space.run_counts[EBB_RUN_ANY][EBB_KIND_MID - 1][h.mid_extent->class_any]++;
}
static void h3_free_groups(void)
{
    ebb__space.free_groups[0] = 0;
}
static void h9_used_unit_not_backed(void)
{
    h.mid_extent->backed[0] &= ~UINT64_C(1);
}
static void h9_hole_that_is_backed(void)
{
    h.slab->holes |= 1;
}
static void h10_claim_left_behind(void)
{
    h.slab->claimed = 1;
}
static void h4_dirty_extent_forgotten(void)
{
    h.group->dirty_extents = 0;
    ebb__space.dirty_groups[0] = 0;
}
static void h4_dirty_groups(void)
{
    ebb__space.dirty_groups[0] = 0;
}
static void h4_sum_of_dirty(void)
{
    ebb__space.dirty_units++;
}
static void h4_sum_of_backed(void)
{
    ebb__space.backed_units--;
}
static void h5_nfree(void)
{
    h.slab->nfree--;
}
static void h5_bitmap(void)
{
    h.slab->free[0] ^= 2;
}
static void h5_bit_past_the_last_block(void)
{
    h.slab->free[1] |= 1; /* 32 blocks of 1 KiB */
}
static void h5_code(void)
{
    h.slab->code++;
}
static void h6_wrong_list(void)
{
    h.slab->list--;
}
static void h6_slab_lost(void)
{
    h.bin->lists[h.slab->list] = 0;
    h.bin->nonempty = 0;
}
static void h6_nonempty(void)
{
    h.bin->nonempty = 0;
}
static void h6_link_back(void)
{
    h.slab->prev = 77;
}
static void h6_slab_count(void)
{
    h.bin->slab_count++;
}
static void h6_empty_count(void)
{
    h.bin->empty_count++;
}
static void h6_listed_twice(void)
{
    h.bin->lists[0] = h.bin->lists[h.slab->list];
    h.bin->nonempty |= 1;
}
static void h7_in_use_beyond_the_frontier(void)
{
    ebb__extent_claim(h.base, EBB_GROUP_EXTENTS - 1, EBB_KIND_MID);
    ebb__extent_index(h.base, EBB_GROUP_EXTENTS - 1);
}
static void h8_not_owned(void)
{
    atomic_store(&ebb__owned[h.base >> EBB_GROUP_SHIFT], 0);
}
static void h8_owned_too_much(void)
{
    atomic_store(&ebb__owned[(h.base >> EBB_GROUP_SHIFT) + 1], 1);
}
static void h8_index(void)
{
    h.group->index++;
}

static const struct breakage {
    const char *name;
    void (*apply)(void);
} BREAKAGES[] = {
#define BREAKAGE(fn)                                                                                         \
    {                                                                                                        \
#fn, fn                                                                                              \
    }
    BREAKAGE(h1_unit_marked_free),
    BREAKAGE(h1_unit_marked_used),
    BREAKAGE(h1_map_entry_inside_a_slab),
    BREAKAGE(h1_span_without_entry),
    BREAKAGE(h1_block_in_a_free_extent),
    BREAKAGE(h2_nfree),
    BREAKAGE(h2_ndirty),
    BREAKAGE(h2_run_any),
    BREAKAGE(h2_run_dirty),
    BREAKAGE(h3_extent_missing_in_free),
    BREAKAGE(h3_used_extent_in_free),
    BREAKAGE(h3_extent_missing_in_the_index),
    BREAKAGE(h3_extent_twice_in_the_index),
    BREAKAGE(h3_wrong_class),
    BREAKAGE(h3_upper_level),
    BREAKAGE(h3_mask),
    BREAKAGE(h3_mask_too_many),
    BREAKAGE(h3_counts),
    BREAKAGE(h3_free_groups),
    BREAKAGE(h9_used_unit_not_backed),
    BREAKAGE(h9_hole_that_is_backed),
    BREAKAGE(h10_claim_left_behind),
    BREAKAGE(h4_dirty_extent_forgotten),
    BREAKAGE(h4_dirty_groups),
    BREAKAGE(h4_sum_of_dirty),
    BREAKAGE(h4_sum_of_backed),
    BREAKAGE(h5_nfree),
    BREAKAGE(h5_bitmap),
    BREAKAGE(h5_bit_past_the_last_block),
    BREAKAGE(h5_code),
    BREAKAGE(h6_wrong_list),
    BREAKAGE(h6_slab_lost),
    BREAKAGE(h6_nonempty),
    BREAKAGE(h6_link_back),
    BREAKAGE(h6_slab_count),
    BREAKAGE(h6_empty_count),
    BREAKAGE(h6_listed_twice),
    BREAKAGE(h7_in_use_beyond_the_frontier),
    BREAKAGE(h8_not_owned),
    BREAKAGE(h8_owned_too_much),
    BREAKAGE(h8_index),
#undef BREAKAGE
};

static void break_and_check(void *arg)
{
    const struct breakage *b = arg;
    b->apply();
    _exit(ebb__heap_check() == -EUCLEAN ? 42 : 43);
}

static void each_broken_invariant_is_named(void)
{
    unsigned missed = 0;
    set_up();
    for (size_t i = 0; i < EBB_ARRAY_COUNT(BREAKAGES); i++) {
        struct breakage b = BREAKAGES[i];
        char wanted[40];
        struct support_outcome out = support_capture(break_and_check, &b);
        (void)snprintf(wanted, sizeof(wanted), "ebb: invariant H%.*s broken: ", (int)strcspn(b.name + 1, "_"),
                       b.name + 1);
        bool named = WIFEXITED(out.status) && WEXITSTATUS(out.status) == 42 && out.lines == 1 &&
                     strncmp(out.text, wanted, strlen(wanted)) == 0;
        missed += !named;
        if (!named)
            (void)fprintf(stderr, "%s: status 0x%x, said: %s\n", b.name, (unsigned)out.status, out.text);
    }
    EXPECT_EQ(missed, 0);
    EXPECT_HEAP_OK();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(each_broken_invariant_is_named),
    };
    small_reservations();
    return RUN_CASES(cases);
}
