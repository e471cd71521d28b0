/* SPDX-License-Identifier: MIT
 *
 * Pieces and blocks: where they lie, how blocks grow, what is refused.
 */
#include "region_test.h"
#include "small_space.h"

#include "os/fake.h"

static size_t opaque(size_t n)
{
    __asm__ volatile("" : "+r"(n));
    return n;
}

/* ---- pieces ---- */

static void pieces_lie_side_by_side(void)
{
    struct ebb_region *region = region_with((struct ebb_region_options){.first_bytes = 4000});
    char *before = piece(region, 1);
    EXPECT((uintptr_t)before % 16 == 0);
    for (size_t bytes = 1; bytes <= 60; bytes++) {
        char *p = piece(region, bytes);
        size_t apart = (size_t)(p - before);
        EXPECT_EQ(apart, ebb__align_up(bytes == 1 ? 1 : bytes - 1, 16));
        before = p;
    }
    EXPECT_EQ(atomic_load(&unexpected_slow), 0);
    EXPECT_EQ(figures(region).blocks_taken, 1);
    REGION_OK(region);
    ebb__region_destroy(region);
    expect_empty_heap();
}

static void eight_bytes_where_asked_for(void)
{
    struct ebb_region *region =
        region_with((struct ebb_region_options){.first_bytes = 4000, .flags = EBB_REGION_ALIGN_8});
    char *a = piece(region, 24), *b = piece(region, 1), *c = piece(region, 8);
    EXPECT(b == a + 24 && c == b + 8);
    REGION_OK(region);
    ebb__region_destroy(region);
}

static void the_region_is_one_allocation(void)
{
    struct ebb_heap_stats heap;
    struct ebb_region *region = ebb__region_create(NULL);
    EXPECT(region != NULL);
    ebb__heap_stats(&heap);
    EXPECT_EQ(heap.slab_blocks, 1);
    EXPECT_EQ(heap.slab_bytes, 1024);
    (void)piece(region, 600);
    ebb__heap_stats(&heap);
    EXPECT_EQ(heap.slab_blocks, 1);
    EXPECT_EQ(figures(region).held_bytes, 1024);
    ebb__region_destroy(region);
    expect_empty_heap();
}

/* The last byte of a block can be used, and not one more. */
static void blocks_are_used_to_the_end(void)
{
    struct ebb_region *region = ebb__region_create(NULL);
    size_t room = (size_t)(region->limit - region->cursor);
    char *p = ebb_region_alloc(region, room);
    EXPECT(p != NULL && region->cursor == region->limit && atomic_load(&unexpected_slow) == 0);
    memset(p, 1, room);
    REGION_OK(region);
    EXPECT(ebb_region_alloc(region, 0) != NULL);
    EXPECT_EQ(atomic_load(&unexpected_slow), 0);
    EXPECT(ebb_region_alloc(region, 1) != NULL);
    EXPECT_EQ(atomic_load(&unexpected_slow), 1);
    REGION_OK(region);
    ebb__region_destroy(region);
}

static void nothing_at_all(void)
{
    struct ebb_region *region = ebb__region_create(NULL);
    for (unsigned i = 0; i < 10000; i++)
        EXPECT(ebb_region_alloc(region, opaque(0)) != NULL);
    EXPECT_EQ(figures(region).used_bytes, 0);
    EXPECT_EQ(figures(region).blocks_taken, 1);
    ebb__region_destroy(region);
}

static void hopeless_sizes(void)
{
    static const size_t sizes[] = {SIZE_MAX,
                                   SIZE_MAX - 1,
                                   SIZE_MAX - 7,
                                   SIZE_MAX - 15,
                                   SIZE_MAX - 16,
                                   SIZE_MAX - 31,
                                   (size_t)PTRDIFF_MAX + 1,
                                   PTRDIFF_MAX,
                                   PTRDIFF_MAX - 64,
                                   (size_t)1 << 62,
                                   (size_t)1 << 50};
    for (unsigned flags = 0; flags <= EBB_REGION_POISON; flags++) {
        struct ebb_region *region = region_with((struct ebb_region_options){.flags = flags});
        char *kept = piece(region, 100);
        for (size_t i = 0; i < EBB_ARRAY_COUNT(sizes); i++) {
            EXPECT(ebb_region_alloc(region, opaque(sizes[i])) == NULL);
            EXPECT(ebb__region_alloc(region, opaque(sizes[i]), 4096) == NULL);
        }
        for (unsigned shift = 44; shift < 64; shift++)
            EXPECT(ebb__region_alloc(region, 10, opaque((size_t)1 << shift)) == NULL);
        EXPECT(kept[0] == 100 && kept[99] == 100);
        EXPECT_EQ(figures(region).blocks_taken, 1);
        REGION_OK(region);
        ebb__region_destroy(region);
    }
}

static void every_alignment(void)
{
    for (unsigned flags = 0; flags <= EBB_REGION_POISON; flags++) {
        struct ebb_region *region = region_with((struct ebb_region_options){.flags = flags});
        for (size_t align = 1; align <= EBB_MIB(4); align *= 2)
            for (size_t bytes = 0; bytes <= EBB_KIB(200); bytes = bytes * 5 + 1) {
                char *p = ebb__region_alloc(region, bytes, align);
                EXPECT_MSG(p != NULL && (uintptr_t)p % align == 0, "%zu bytes aligned to %zu at %p", bytes,
                           align, (void *)p);
                memset(p, 1, bytes);
            }
        REGION_OK(region);
        ebb__region_destroy(region);
        expect_empty_heap();
    }
}

/* ---- blocks ---- */

static void blocks_double_up_to_their_cap(void)
{
    struct ebb_region *region =
        region_with((struct ebb_region_options){.block_bytes = 1024, .max_block_bytes = EBB_KIB(64)});
    size_t held = figures(region).held_bytes, expected = 1024;
    for (unsigned i = 0; i < 100000; i++) {
        (void)piece(region, 16);
        size_t now = figures(region).held_bytes;
        if (now == held)
            continue;
        EXPECT_EQ(now - held, expected);
        expected = ebb__min(expected * 2, EBB_KIB(64));
        held = now;
    }
    EXPECT(held > EBB_MIB(1));
    REGION_OK(region);
    ebb__region_destroy(region);
    expect_empty_heap();
}

/* A million small pieces of 64 MiB in all take some dozens of blocks, whose ends are used. */
static void many_pieces_few_blocks(void)
{
    struct ebb_region *region = ebb__region_create(NULL);
    for (unsigned i = 0; i < 1000000; i++)
        *(char *)ebb_region_alloc(region, 64) = 1;
    struct ebb_region_stats s = figures(region);
    EXPECT_EQ(s.used_bytes, 64000000);
    EXPECT_MSG(s.blocks_taken <= 72, "%zu blocks", (size_t)s.blocks_taken);
    EXPECT_MSG(s.held_bytes - s.used_bytes <= EBB_MIB(1) + 128 * 1024, "%zu held", s.held_bytes);
    REGION_OK(region);
    ebb__region_destroy(region);
}

/* A large request does not end the current block, whose rest would be lost. */
static void large_requests_stand_apart(void)
{
    struct ebb_region *region = ebb__region_create(NULL);
    char *before = piece(region, 16), *large = piece(region, 3000);
    EXPECT(piece(region, 16) == before + 16);
    EXPECT(large < before || large > before + 1024);
    char *huge = piece(region, EBB_MIB(5));
    EXPECT(piece(region, 16) == before + 32);
    huge[0] = huge[EBB_MIB(5) - 1] = 1;
    EXPECT_EQ(figures(region).used_bytes, 48 + ebb__align_up(3000, 16) + EBB_MIB(5));
    REGION_OK(region);
    ebb__region_destroy(region);
    expect_empty_heap();
}

/* Requests of one size, whatever it is: blocks are soon large enough to hold several of them, and little is lost at their ends. */
static void one_size_after_the_other(void)
{
    for (size_t bytes = 100; bytes <= EBB_KIB(200); bytes = bytes * 3 / 2) {
        struct ebb_region *region = ebb__region_create(NULL);
        unsigned count = (unsigned)(EBB_MIB(24) / bytes);
        for (unsigned i = 0; i < count; i++)
            EXPECT(ebb_region_alloc(region, bytes) != NULL);
        struct ebb_region_stats s = figures(region);
        EXPECT_MSG(s.blocks_taken <= 12 + EBB_MIB(24) / EBB_KIB(700), "%zu bytes: %zu blocks", bytes,
                   (size_t)s.blocks_taken);
        EXPECT_MSG(s.held_bytes <= s.used_bytes + s.used_bytes / 3 + EBB_MIB(1),
                   "%zu bytes: %zu held for %zu", bytes, s.held_bytes, s.used_bytes);
        ebb__region_destroy(region);
    }
}

/* ---- limits ---- */

static struct {
    unsigned calls;
    int answer;
    size_t wanted;
} asked;

static int note(struct ebb_region *region, size_t wanted_bytes, void *arg)
{
    EXPECT(arg == &asked);
    EXPECT(ebb__region_limit(region, -1) > 0);
    asked.calls++;
    asked.wanted = wanted_bytes;
    return asked.answer;
}

static void a_limit_refuses(void)
{
    struct ebb_region *region = region_with((struct ebb_region_options){.limit_bytes = 100000});
    size_t used = 0;
    while (ebb_region_alloc(region, 1000) != NULL)
        used += ebb__align_up(1000, 16);
    struct ebb_region_stats s = figures(region);
    EXPECT(s.held_bytes <= 100000 && s.peak_bytes <= 100000 && s.limit_bytes == 100000);
    EXPECT_EQ(s.used_bytes, used);
    EXPECT_MSG(used > 95000, "%zu bytes before the limit", used); /* the last block is as long as may be */
    EXPECT(ebb_region_alloc(region, EBB_MIB(1)) == NULL);
    REGION_OK(region);
    EXPECT_EQ(ebb__region_limit(region, 200000), 100000);
    EXPECT(ebb_region_alloc(region, 1000) != NULL);
    EXPECT_EQ(ebb__region_limit(region, 0), 200000);
    EXPECT(ebb_region_alloc(region, EBB_MIB(1)) != NULL);
    EXPECT_EQ(ebb__region_limit(region, -5), 0);
    ebb__region_destroy(region);
    expect_empty_heap();
}

static void a_limit_asks(void)
{
    asked.answer = 1;
    struct ebb_region *region =
        region_with((struct ebb_region_options){.limit_bytes = 20000, .over_limit = note, .arg = &asked});
    EXPECT(ebb_region_alloc(region, 100000) != NULL);
    EXPECT(asked.calls == 1 && asked.wanted >= 100000);
    EXPECT(figures(region).held_bytes > 100000);
    asked.answer = 0;
    EXPECT(ebb_region_alloc(region, 100000) == NULL);
    EXPECT_EQ(asked.calls, 2);
    REGION_OK(region);
    ebb__region_reset(region, EBB_REGION_KEEP_FIRST);
    EXPECT(ebb_region_alloc(region, 10000) != NULL);
    EXPECT_EQ(asked.calls, 2);
    ebb__region_destroy(region);
}

static void bad_options(void)
{
    struct ebb_region_options good = {.size_of_struct = sizeof(good)}, o = good;
    EXPECT_EQ(ebb__region_options_check(&good), 0);
    o.size_of_struct--;
    EXPECT_EQ(ebb__region_options_check(&o), -EINVAL);
    o = good;
    o.flags = 8;
    EXPECT_EQ(ebb__region_options_check(&o), -EINVAL);
    size_t *const sizes[] = {&o.first_bytes, &o.block_bytes, &o.max_block_bytes};
    for (size_t i = 0; i < EBB_ARRAY_COUNT(sizes); i++) {
        o = good;
        *sizes[i] = EBB_GIB(1);
        EXPECT_EQ(ebb__region_options_check(&o), 0);
        *sizes[i] = EBB_GIB(1) + 1;
        EXPECT_EQ(ebb__region_options_check(&o), -EINVAL);
        *sizes[i] = SIZE_MAX;
        EXPECT_EQ(ebb__region_options_check(&o), -EINVAL);
    }
}

/* Sizes that make no sense together are brought into order. */
static void odd_options(void)
{
    struct ebb_region *region = region_with((struct ebb_region_options){
        .first_bytes = 1, .block_bytes = 1, .max_block_bytes = 1, .flags = EBB_REGION_ALIGN_8});
    for (unsigned i = 0; i < 5000; i++)
        (void)piece(region, i % 300);
    REGION_OK(region);
    ebb__region_destroy(region);
    region = region_with((struct ebb_region_options){.first_bytes = EBB_MIB(3), .block_bytes = EBB_MIB(2)});
    (void)piece(region, EBB_MIB(3));
    EXPECT_EQ(figures(region).blocks_taken, 1);
    (void)piece(region, 5000);
    EXPECT(figures(region).held_bytes >= EBB_MIB(5));
    REGION_OK(region);
    ebb__region_destroy(region);
    expect_empty_heap();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(pieces_lie_side_by_side),
        CASE(eight_bytes_where_asked_for),
        CASE(the_region_is_one_allocation),
        CASE(blocks_are_used_to_the_end),
        CASE(nothing_at_all),
        CASE(hopeless_sizes),
        CASE(every_alignment),
        CASE(blocks_double_up_to_their_cap),
        CASE(many_pieces_few_blocks),
        CASE(large_requests_stand_apart),
        CASE(one_size_after_the_other),
        CASE(a_limit_refuses),
        CASE(a_limit_asks),
        CASE(bad_options),
        CASE(odd_options),
    };
    unwatched();
    small_reservations();
    return RUN_CASES(cases);
}
