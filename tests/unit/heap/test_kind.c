/* SPDX-License-Identifier: MIT
 *
 * What a pointer is: every byte of slabs, spans, metadata, and of what is not ours.
 */
#include "heap_test.h"

static enum ebb_block_kind kind(const void *p, bool exact)
{
    size_t usable = 0;
    return ebb__heap_kind(p, exact, &usable);
}

static void nothing_is_ours_before_the_first_block(void)
{
    int on_stack = 0;
    static int in_data;
    EXPECT_EQ(kind(&on_stack, true), EBB_BLOCK_FOREIGN);
    EXPECT_EQ(kind(&in_data, false), EBB_BLOCK_FOREIGN);
    EXPECT_EQ(kind(NULL, true), EBB_BLOCK_FOREIGN);
}

/* Every byte of a slab, in every class: exactly the starts of its blocks are blocks, and with `exact` only
 * those that are out. */
static void every_byte_of_every_slab(void)
{
    without_seeds();
    static void *blocks[1920];
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++) {
        const struct ebb_class *class = &ebb__classes[c];
        unsigned n = 0;
        bool internal = c > EBB_USER_CLASSES;
        while (n < class->blocks)
            n += ebb__heap_take(c, blocks + n, class->blocks - n);
        char *start = blocks[0];
        for (unsigned i = 1; i < n; i++)
            start = (char *)blocks[i] < start ? (char *)blocks[i] : start;
        for (unsigned i = 0; i < n; i++)
            if ((((char *)blocks[i] - start) / class->bytes) % 3 == 1)
                give(c, blocks[i]);
        for (size_t offset = 0; offset < UNITS(class->units); offset++) {
            size_t usable = 0, index = offset / class->bytes;
            bool starts = offset % class->bytes == 0 && index < class->blocks && !internal;
            enum ebb_block_kind loose = ebb__heap_kind(start + offset, false, &usable);
            EXPECT_MSG(loose == (starts ? EBB_BLOCK_SMALL : EBB_BLOCK_INVALID), "class %u, offset %zu: %d", c,
                       offset, loose);
            if (!starts)
                continue;
            EXPECT_EQ(usable, class->bytes);
            EXPECT_EQ(kind(start + offset, true), index % 3 == 1 ? EBB_BLOCK_INVALID : EBB_BLOCK_SMALL);
        }
    }
}

static void spans_and_their_insides(void)
{
    static const size_t sizes[] = {UNITS(1), UNITS(9), UNITS(64), UNITS(65), UNITS(512), UNITS(1300)};
    for (size_t i = 0; i < EBB_ARRAY_COUNT(sizes); i++) {
        char *p = span(sizes[i]);
        size_t usable = 0;
        EXPECT_EQ(ebb__heap_kind(p, true, &usable), EBB_BLOCK_SPAN);
        EXPECT_EQ(usable, sizes[i]);
        for (size_t at = 1; at < sizes[i]; at += at < 9000 ? 1 : 1021)
            EXPECT_MSG(kind(p + at, at % 2 == 0) == EBB_BLOCK_INVALID, "size %zu at %zu", sizes[i], at);
        for (size_t at = EBB_UNIT_BYTES; at < sizes[i]; at += EBB_UNIT_BYTES)
            EXPECT_EQ(kind(p + at, true), EBB_BLOCK_INVALID);
        ebb__heap_large_free(p);
        for (size_t at = 0; at < sizes[i]; at += EBB_UNIT_BYTES)
            EXPECT_EQ(kind(p + at, false), EBB_BLOCK_INVALID);
    }
}

static void metadata_and_unused_space_are_no_blocks(void)
{
    char *p = span(1);
    char *group = (char *)ebb__group_base(p);
    for (size_t at = 0; at < EBB_EXTENT_BYTES; at += 16)
        EXPECT_EQ(kind(group + at, true), EBB_BLOCK_INVALID);
    for (size_t at = UNITS(513); at < EBB_GROUP_BYTES; at += EBB_UNIT_BYTES)
        EXPECT_EQ(kind(group + at, true), EBB_BLOCK_INVALID);
    /* Beyond the group: reserved, but nothing is there yet. */
    EXPECT_EQ(kind(group + EBB_GROUP_BYTES, true), EBB_BLOCK_FOREIGN);
    EXPECT_EQ(kind(group - 16, true), EBB_BLOCK_FOREIGN);
}

static void foreign_addresses(void)
{
    int on_stack = 0;
    (void)span(1);
    EXPECT_EQ(kind(&on_stack, true), EBB_BLOCK_FOREIGN);
    EXPECT_EQ(kind(NULL, true), EBB_BLOCK_FOREIGN);
    EXPECT_EQ(kind((const void *)&support_seed, true), EBB_BLOCK_FOREIGN);
    for (unsigned bit = 0; bit < 64; bit++) {
        uintptr_t a = (uintptr_t)1 << bit;
        if (!ebb__is_owned((const void *)a))
            EXPECT_EQ(kind((const void *)a, true), EBB_BLOCK_FOREIGN);
        EXPECT(bit < EBB_ADDRESS_BITS || !ebb__is_owned((const void *)a));
    }
    for (uintptr_t back = 1; back < 4096; back += 7)
        EXPECT_EQ(kind((const void *)(0 - back), true), EBB_BLOCK_FOREIGN);
}

static void freed_slabs_leave_nothing(void)
{
    static void *blocks[3 * 256];
    for (unsigned c = 1; c <= EBB_USER_CLASSES; c += 7) {
        unsigned n = 0, want = (unsigned)ebb__min(3u * ebb__classes[c].blocks, EBB_ARRAY_COUNT(blocks));
        while (n < want)
            n += ebb__heap_take(c, blocks + n, want - n);
        ebb__heap_give(c, blocks, n, "test");
        (void)ebb__heap_trim(0);
        EXPECT_MSG(ebb__bins[c].slab_count == 0, "class %u", c);
        for (unsigned i = 0; i < n; i++)
            EXPECT_EQ(kind(blocks[i], false), EBB_BLOCK_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(nothing_is_ours_before_the_first_block),
        CASE(every_byte_of_every_slab),
        CASE(spans_and_their_insides),
        CASE(metadata_and_unused_space_are_no_blocks),
        CASE(foreign_addresses),
        CASE(freed_slabs_leave_nothing),
    };
    small_reservations();
    return RUN_CASES(cases);
}
