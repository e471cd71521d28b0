/* SPDX-License-Identifier: MIT
 *
 * Slabs: every class filled and emptied, who serves next, and what dies.
 */
#include "heap_test.h"

static int by_address(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void shuffle(struct support_rng *rng, void **blocks, unsigned n)
{
    for (unsigned i = n; i > 1; i--) {
        unsigned k = (unsigned)support_below(rng, i);
        void *swap = blocks[i - 1];
        blocks[i - 1] = blocks[k];
        blocks[k] = swap;
    }
}

/* Three slabs of each class, given back in random order. Blocks are disjoint, aligned as their size allows,
 * and what a free block holds is not touched. */
static void every_class(void)
{
    without_seeds();
    static void *blocks[3 * 1920], *sorted[3 * 1920];
    struct support_rng rng = {support_seed("every_class")};
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++) {
        const struct ebb_class *class = &ebb__classes[c];
        unsigned n = 0, want = 3u * class->blocks;
        while (n < want) {
            unsigned ask = (unsigned)support_between(&rng, 1, 125);
            unsigned got = ebb__heap_take(c, blocks + n, ask < want - n ? ask : want - n);
            EXPECT(got >= 1 && got <= ask);
            n += got;
        }
        EXPECT_EQ(ebb__bins[c].slab_count, 3);
        EXPECT_EQ(ebb__bins[c].nonempty, 0);
        EXPECT_HEAP_OK();
        memcpy(sorted, blocks, n * sizeof(void *));
        qsort(sorted, n, sizeof(void *), by_address);
        for (unsigned i = 0; i < n; i++) {
            EXPECT(i == 0 || (char *)sorted[i] >= (char *)sorted[i - 1] + class->bytes);
            EXPECT_EQ((uintptr_t)sorted[i] % ebb__min(class->bytes & -class->bytes, EBB_UNIT_BYTES), 0);
            EXPECT_EQ(kind_of(sorted[i]), EBB_KIND_SLAB);
            support_fill(blocks[i], class->bytes, i);
        }
        shuffle(&rng, blocks, n);
        for (unsigned i = 0; i < n; i++)
            support_fill(blocks[i], class->bytes, i);
        for (unsigned at = 0; at < n;) {
            unsigned k = (unsigned)ebb__min(support_between(&rng, 1, 125), n - at);
            ebb__heap_give(c, blocks + at, k, "test");
            at += k;
        }
        EXPECT_HEAP_OK();
        EXPECT_EQ(ebb__bins[c].slab_count, 1);
        EXPECT_EQ(ebb__bins[c].empty_count, 1);
        for (unsigned i = 0; i < n; i++)
            EXPECT(support_kept(blocks[i], class->bytes, class->bytes, i));
    }
    EXPECT_EQ(stats_now().slab_blocks, 0);
    EXPECT_EQ(stats_now().internal_bytes, 0);
}

/* A stack of what one call hands out gives rising addresses. */
static void lowest_addresses_last(void)
{
    void *blocks[125];
    unsigned c = ebb__class_of(64);
    EXPECT_EQ(ebb__heap_take(c, blocks, 125), 125);
    for (unsigned i = 1; i < 125; i++)
        EXPECT((char *)blocks[i] + 64 == blocks[i - 1]);
}

static void lowest_free_block_of_a_slab_first(void)
{
    without_seeds();
    void *blocks[64];
    unsigned c = ebb__class_of(512);
    EXPECT_EQ(ebb__heap_take(c, blocks, 64), 64);
    qsort(blocks, 64, sizeof(void *), by_address);
    give(c, blocks[40]);
    give(c, blocks[7]);
    give(c, blocks[23]);
    EXPECT(block(c) == blocks[7]);
    EXPECT(block(c) == blocks[23]);
    EXPECT(block(c) == blocks[40]);
    EXPECT_EQ(ebb__bins[c].slab_count, 1);
}

static void fullest_slab_first(void)
{
    without_seeds();
    static void *blocks[4][64];
    unsigned c = ebb__class_of(512);
    for (unsigned s = 0; s < 4; s++) {
        EXPECT_EQ(ebb__heap_take(c, blocks[s], 64), 64);
        qsort(blocks[s], 64, sizeof(void *), by_address);
    }
    /* Free blocks: slab 0 has 60, slab 1 has 30, slab 2 has 2, slab 3 has 31. */
    ebb__heap_give(c, blocks[0] + 2, 60, "test");
    ebb__heap_give(c, blocks[1] + 2, 30, "test");
    ebb__heap_give(c, blocks[2] + 2, 2, "test");
    ebb__heap_give(c, blocks[3] + 2, 31, "test");
    EXPECT_HEAP_OK();
    EXPECT(block(c) == blocks[2][2]);
    EXPECT(block(c) == blocks[2][3]);
    EXPECT(block(c) == blocks[1][2]); /* as full as slab 3 to within an eighth: the lower one */
    EXPECT_HEAP_OK();
}

static void one_empty_slab_is_kept(void)
{
    without_seeds();
    void *blocks[128];
    unsigned c = ebb__class_of(1024); /* 32 in a slab */
    EXPECT_EQ(ebb__heap_take(c, blocks, 32), 32);
    EXPECT_EQ(ebb__heap_take(c, blocks + 32, 32), 32);
    EXPECT_EQ(ebb__bins[c].slab_count, 2);
    ebb__heap_give(c, blocks, 32, "test");
    EXPECT(ebb__bins[c].slab_count == 2 && ebb__bins[c].empty_count == 1);
    uint64_t made = EBB_COUNTED(slabs_made);
    for (unsigned i = 0; i < 100; i++) { /* at the boundary nothing is carved again and again */
        EXPECT_EQ(ebb__heap_take(c, blocks, 1), 1);
        EXPECT_EQ(ebb__bins[c].empty_count, 0);
        give(c, blocks[0]);
        EXPECT_EQ(ebb__bins[c].empty_count, 1);
    }
    EXPECT_EQ(EBB_COUNTED(slabs_made), made);
    ebb__heap_give(c, blocks + 32, 32, "test");
    EXPECT(ebb__bins[c].slab_count == 1 && ebb__bins[c].empty_count == 1);
    EXPECT_HEAP_OK();
}

/* Random taking and giving in all classes against a flat list. */
static void random_blocks(void)
{
    static struct {
        void *p;
        unsigned c;
    } live[20000];
    struct support_rng rng = {support_seed("random_blocks")};
    size_t ops = support_env_number("MODEL_OPS", 30000), n = 0, bytes = 0;
    for (size_t op = 0; op < ops; op++) {
        if (n != 0 &&
            (n == EBB_ARRAY_COUNT(live) || support_below(&rng, 100) < (op / 5000 % 2 == 0 ? 40u : 60u))) {
            size_t i = support_below(&rng, n);
            EXPECT(support_kept(live[i].p, ebb__classes[live[i].c].bytes, ebb__classes[live[i].c].bytes,
                                (uintptr_t)live[i].p));
            give(live[i].c, live[i].p);
            bytes -= ebb__classes[live[i].c].bytes;
            live[i] = live[--n];
        } else {
            unsigned c = 1 + (unsigned)support_below(&rng, EBB_USER_CLASSES);
            live[n].c = c;
            live[n].p = block(c);
            support_fill(live[n].p, ebb__classes[c].bytes, (uintptr_t)live[n].p);
            bytes += ebb__classes[c].bytes;
            n++;
        }
        if (op % 1024 == 0) {
            EXPECT_HEAP_OK();
            EXPECT_EQ(stats_now().slab_bytes, bytes);
            EXPECT_EQ(stats_now().slab_blocks, n);
        }
    }
    while (n-- != 0)
        give(live[n].c, live[n].p);
    EXPECT_HEAP_OK();
}

static void alloc_counter_rises(void)
{
    uint64_t before = ebb_alloc_counter;
    void *blocks[50];
    EXPECT_EQ(ebb__heap_take(3, blocks, 50), 50);
    EXPECT_EQ(ebb_alloc_counter, before + 50);
    (void)span(UNITS(20));
    EXPECT_EQ(ebb_alloc_counter, before + 51);
}

/* ---- what dies ---- */

static void give_pointer(void *p)
{
    ebb__heap_give(5, &p, 1, "some_caller");
}

static void bad_blocks_die(void)
{
    without_seeds();
    char *p = block(5), *q = block(5), *other = block(6), *large = span(UNITS(20));
    EXPECT(ebb__classes[5].bytes == 80);
    EXPECT_DIES(give_pointer, p + 16, "some_caller: invalid pointer ");
    EXPECT_DIES(give_pointer, p + 1, "some_caller: invalid pointer ");
    EXPECT_DIES(give_pointer, other, "some_caller: invalid pointer ");
    EXPECT_DIES(give_pointer, large, "some_caller: invalid pointer ");
    EXPECT_DIES(give_pointer, large + 4096, "some_caller: invalid pointer ");
    give(5, p);
    EXPECT_DIES(give_pointer, p, "some_caller: double free of block 0x");
    EXPECT_DIES(give_pointer, p, "(80 bytes)");
    give(5, q);
    EXPECT_DIES(give_pointer, p, "double free"); /* the slab is empty and kept */
    EXPECT_HEAP_OK();
    /* The space behind the last block of a slab of 16 bytes is no block. */
    char *tiny = block(1);
    char *slab = (char *)((uintptr_t)tiny & ~(EBB_UNIT_BYTES - 1));
    size_t usable;
    EXPECT_EQ(ebb__heap_kind(slab + (size_t)16 * 1919, false, &usable), EBB_BLOCK_SMALL);
    for (unsigned i = 1920; i < 2048; i++)
        EXPECT_EQ(ebb__heap_kind(slab + (size_t)16 * i, false, &usable), EBB_BLOCK_INVALID);
}

static void take_and_give_twice(void *unused)
{
    void *twice[2] = {block(5), NULL};
    (void)unused;
    twice[1] = twice[0];
    ebb__heap_give(5, twice, 2, "flush");
}

static void twice_in_one_call_dies(void)
{
    (void)block(5);
    EXPECT_DIES(take_and_give_twice, NULL, "flush: double free of block 0x");
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(every_class),         CASE(lowest_addresses_last),  CASE(lowest_free_block_of_a_slab_first),
        CASE(fullest_slab_first),  CASE(one_empty_slab_is_kept), CASE(random_blocks),
        CASE(alloc_counter_rises), CASE(bad_blocks_die),         CASE(twice_in_one_call_dies),
    };
    small_reservations();
    return RUN_CASES(cases);
}
