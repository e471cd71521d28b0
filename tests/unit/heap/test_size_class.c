/* SPDX-License-Identifier: MIT
 *
 * Size classes, whole: every size, every alignment, every offset into every slab.
 */
#include "heap_test.h"

/* The smallest class whose blocks hold `bytes`, by looking at all of them. */
static unsigned smallest(size_t bytes)
{
    unsigned c = 1;
    while (c <= EBB_USER_CLASSES && ebb__classes[c].bytes < bytes)
        c++;
    return c;
}

static void classes_rise(void)
{
    EXPECT_EQ(ebb__classes[0].bytes, 0);
    EXPECT_EQ(ebb__classes[1].bytes, 16);
    EXPECT_EQ(ebb__classes[EBB_USER_CLASSES].bytes, EBB_SMALL_MAX_BYTES);
    for (unsigned c = 2; c <= EBB_USER_CLASSES; c++)
        EXPECT_MSG(ebb__classes[c].bytes > ebb__classes[c - 1].bytes, "class %u", c);
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++) {
        const struct ebb_class *class = &ebb__classes[c];
        EXPECT_EQ(class->bytes % 16, 0);
        EXPECT_EQ(class->magic, ((UINT64_C(1) << 32) + class->bytes - 1) / class->bytes);
        EXPECT((size_t) class->bytes * class->blocks <= UNITS(class->units));
        EXPECT(class->blocks <= class->units * 256 - 128);
        EXPECT_EQ(ebb__user_magic[c], c <= EBB_USER_CLASSES ? class->magic : 0);
    }
    EXPECT_EQ(ebb__user_magic[0], 0);
    for (unsigned c = EBB_CLASS_COUNT; c < 256; c++)
        EXPECT_EQ(ebb__user_magic[c], 0);
}

/* The documented bound: below 16 bytes or 12.5 % of the request, whichever is more. */
static void every_size_gets_the_smallest_class(void)
{
    size_t worst_permille = 0;
    for (size_t bytes = 0; bytes <= EBB_SMALL_MAX_BYTES; bytes++) {
        unsigned c = ebb__class_of(bytes);
        EXPECT_MSG(c == smallest(bytes), "%zu bytes: class %u, wanted %u", bytes, c, smallest(bytes));
        size_t waste = ebb__classes[c].bytes - bytes;
        EXPECT_MSG(bytes == 0 || waste <= 15 || waste * 8 <= bytes, "%zu bytes waste %zu", bytes, waste);
        if (bytes >= 128 && waste * 1000 / bytes > worst_permille)
            worst_permille = waste * 1000 / bytes;
    }
    (void)printf("largest waste from 128 bytes on: %zu in a thousand\n", worst_permille);
}

static void every_alignment_gets_the_smallest_class_that_has_it(void)
{
    for (size_t align = 1; align <= 2 * EBB_UNIT_BYTES; align *= 2)
        for (size_t bytes = 0; bytes <= EBB_SMALL_MAX_BYTES + 1; bytes++) {
            unsigned want = smallest(bytes);
            while (want <= EBB_USER_CLASSES && ebb__classes[want].bytes % align != 0)
                want++;
            if (align > EBB_UNIT_BYTES || want > EBB_USER_CLASSES)
                want = 0;
            unsigned c = ebb__class_aligned(bytes, align);
            EXPECT_MSG(c == want, "%zu bytes aligned to %zu: class %u, wanted %u", bytes, align, c, want);
        }
    EXPECT_EQ(ebb__class_aligned(SIZE_MAX, 16), 0);
    EXPECT_EQ(ebb__class_aligned(16, (size_t)1 << 62), 0);
}

/* The multiplication that stands for a division is exact for every offset that a slab can have, and for all
 * that 16 bits of distance could say. */
static void divisibility_is_exact(void)
{
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++) {
        const struct ebb_class *class = &ebb__classes[c];
        for (uint32_t offset = 0; offset < 16 * EBB_UNIT_BYTES; offset++) {
            bool starts = ebb__starts_block(offset, class->magic);
            EXPECT_MSG(starts == (offset % class->bytes == 0), "class %u, offset %u", c, offset);
            if (starts)
                EXPECT_MSG(ebb__block_index(offset, class->magic) == offset / class->bytes,
                           "class %u, offset %u", c, offset);
        }
    }
    for (uint32_t offset = 0; offset < 16 * EBB_UNIT_BYTES; offset++)
        EXPECT(!ebb__starts_block(offset, 0));
}

static void run_classes_are_monotone_and_floors(void)
{
    unsigned least[EBB_RUN_CLASSES] = {0}; /* shortest run of each class */
    unsigned before = 0;
    EXPECT_EQ(ebb__run_class(0), 0);
    for (unsigned run = 1; run <= EBB_EXTENT_UNITS; run++) {
        unsigned c = ebb__run_class(run);
        EXPECT_MSG(c == before || c == before + 1, "run %u: class %u after %u", run, c, before);
        EXPECT(c < EBB_RUN_CLASSES);
        if (least[c] == 0)
            least[c] = run;
        if (run <= 16)
            EXPECT_EQ(c, run);
        /* A class is never wider than an eighth of its runs, so the search wastes little. */
        EXPECT_MSG((run - least[c]) * 8 <= run, "run %u in the class of %u", run, least[c]);
        before = c;
    }
    EXPECT_EQ(before, EBB_RUN_CLASSES - 1);
    EXPECT_EQ(least[EBB_RUN_CLASSES - 1], EBB_EXTENT_UNITS);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(classes_rise),
        CASE(every_size_gets_the_smallest_class),
        CASE(every_alignment_gets_the_smallest_class_that_has_it),
        CASE(divisibility_is_exact),
        CASE(run_classes_are_monotone_and_floors),
    };
    return RUN_CASES(cases);
}
