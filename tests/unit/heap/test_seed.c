/* SPDX-License-Identifier: MIT
 *
 * Seeds: first slabs of one unit, where OS pages are several units large.
 */
#include "heap_test.h"

#include "stats/stats.h"

#define PER_SEED(c) (ebb__classes[c].seed_blocks)

static void with_large_pages(void)
{
    ebb_fake.page_bytes = EBB_KIB(64);
}

static struct slab *slab_of(const void *p)
{
    return ebb__desc_of((const char *)p - ebb__slab_offset(ebb__unit_entry(p), p));
}

/* One block of each class up to a unit fits into as many units as there are classes. */
static void small_classes_share_pages(void)
{
    unsigned units = 0;
    with_large_pages();
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++) {
        void *p = block(c);
        memset(p, 1, ebb__classes[c].bytes);
        EXPECT_EQ(PER_SEED(c) != 0, ebb__classes[c].bytes <= EBB_UNIT_BYTES);
        EXPECT_EQ(ebb__slab_units(slab_of(p)), PER_SEED(c) != 0 ? 1 : ebb__classes[c].units);
        EXPECT_EQ(ebb__slab_blocks(slab_of(p)), PER_SEED(c) != 0 ? PER_SEED(c) : ebb__classes[c].blocks);
        units += ebb__slab_units(slab_of(p));
        EXPECT_HEAP_OK();
    }
    EXPECT_EQ(stats_now().backed_bytes, UNITS(units));
}

static void none_with_pages_of_one_unit(void)
{
    with_pages_of_one_unit();
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++)
        EXPECT_EQ(ebb__slab_units(slab_of(block(c))), ebb__classes[c].units);
    EXPECT_HEAP_OK();
}

/* Exactly the starts of its blocks are blocks; what is behind the last one is none, and dies where it is given. */
static void give_pointer(void *p)
{
    ebb__heap_give(ebb__unit_entry(p) & 0xff, &p, 1, "some_caller");
}

static void every_byte_of_every_seed(void)
{
    with_large_pages();
    for (unsigned c = 1; c <= EBB_USER_CLASSES && PER_SEED(c) != 0; c++) {
        const struct ebb_class *class = &ebb__classes[c];
        char *start = block(c);
        size_t usable = 0;
        for (size_t offset = 0; offset < EBB_UNIT_BYTES; offset++) {
            bool starts = offset % class->bytes == 0 && offset / class->bytes < PER_SEED(c);
            enum ebb_block_kind kind = ebb__heap_kind(start + offset, false, &usable);
            EXPECT_MSG(kind == (starts ? EBB_BLOCK_SMALL : EBB_BLOCK_INVALID), "class %u, offset %zu: %d", c,
                       offset, kind);
        }
        if (PER_SEED(c) * class->bytes < EBB_UNIT_BYTES)
            EXPECT_DIES(give_pointer, start + (size_t)PER_SEED(c) * class->bytes, "invalid pointer ");
        give(c, start);
        EXPECT_DIES(give_pointer, start, "double free of block ");
    }
}

/* What a seed has not comes from a grown slab; of the two the grown one is kept, so that nothing is carved again and again. */
static void a_class_grows(void)
{
    static void *blocks[2048];
    with_large_pages();
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++) {
        unsigned seed = PER_SEED(c), all = seed + ebb__classes[c].blocks;
        if (seed == 0)
            continue;
        unsigned n = ebb__heap_take(c, blocks, 125);
        EXPECT(n == 125 || n == all);
        while (n < all)
            n += ebb__heap_take(c, blocks + n, all - n);
        EXPECT_EQ(ebb__bins[c].slab_count, 2);
        EXPECT_EQ(ebb__bins[c].nonempty, 0);
        EXPECT_HEAP_OK();
        for (unsigned i = 0; i < n; i++)
            support_fill(blocks[i], ebb__classes[c].bytes, i);
        for (unsigned i = 0; i < n; i++) {
            EXPECT(support_kept(blocks[i], ebb__classes[c].bytes, ebb__classes[c].bytes, i));
            give(c, blocks[c % 2 == 0 ? i : n - 1 - i]);
        }
        EXPECT(ebb__bins[c].slab_count == 1 && ebb__bins[c].empty_count == 1);
        EXPECT_HEAP_OK();
        uint64_t made = EBB_COUNTED(slabs_made);
        for (unsigned i = 0; i < 10; i++) {
            blocks[0] = block(c);
            EXPECT_EQ(ebb__slab_units(slab_of(blocks[0])), ebb__classes[c].units);
            give(c, blocks[0]);
        }
        EXPECT_EQ(EBB_COUNTED(slabs_made), made);
    }
    (void)ebb__heap_trim(0);
    EXPECT_EQ(stats_now().backed_bytes, 0);
    EXPECT_HEAP_OK();
}

/* A seed alone is kept when it runs empty, and goes when the process is quiet; then the class begins with one again. */
static void an_empty_seed_is_kept_alone(void)
{
    with_large_pages();
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++) {
        if (PER_SEED(c) == 0)
            continue;
        void *p = block(c);
        memset(p, 1, ebb__classes[c].bytes);
        uint64_t made = EBB_COUNTED(slabs_made);
        for (unsigned i = 0; i < 10; i++) {
            give(c, p);
            EXPECT(ebb__bins[c].slab_count == 1 && ebb__bins[c].empty_count == 1);
            EXPECT(block(c) == p);
        }
        EXPECT_EQ(EBB_COUNTED(slabs_made), made);
        give(c, p);
        ebb__heap_tidy_slabs();
        EXPECT_MSG(ebb__bins[c].slab_count == 0, "class %u", c);
        EXPECT_HEAP_OK();
        p = block(c);
        EXPECT_EQ(ebb__slab_units(slab_of(p)), 1);
        give(c, p);
    }
    (void)ebb__heap_trim(0);
    EXPECT_EQ(stats_now().backed_bytes, 0);
}

/* A fork child that makes its lists anew knows seeds from grown slabs. */
static void a_repaired_child_knows_them(void)
{
    with_large_pages();
    void *kept[EBB_CLASS_COUNT], *more[EBB_CLASS_COUNT];
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++) {
        kept[c] = block(c);
        more[c] = block(c);
    }
    ebb__limbo_enter();
    ebb__heap_after_fork();
    EXPECT_HEAP_OK();
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++) {
        EXPECT_EQ(ebb__slab_units(slab_of(kept[c])), PER_SEED(c) != 0 ? 1 : ebb__classes[c].units);
        give(c, kept[c]);
        give(c, more[c]);
    }
    EXPECT_HEAP_OK();
    (void)ebb__heap_trim(0);
    EXPECT_EQ(stats_now().backed_bytes, 0);
    EXPECT_HEAP_OK();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(small_classes_share_pages),   CASE(none_with_pages_of_one_unit),
        CASE(every_byte_of_every_seed),    CASE(a_class_grows),
        CASE(an_empty_seed_is_kept_alone), CASE(a_repaired_child_knows_them),
    };
    small_reservations();
    return RUN_CASES(cases);
}
