/* SPDX-License-Identifier: MIT
 *
 * The oracle's operations on ebb_*, each followed by all that can be said about its result.
 */
#include "oracle.h"

#include "ebb/malloc.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

void oracle_create(struct oracle *o, size_t slots, size_t cap_bytes, uint64_t seed)
{
    *o = (struct oracle){
        .slots = calloc(slots, sizeof(struct slot)), .count = slots, .cap_bytes = cap_bytes, .rng = {seed}};
    EXPECT(o->slots != NULL);
}

size_t oracle_size(struct oracle *o)
{
    size_t dice = support_below(&o->rng, 10000);
    if (dice < 50)
        return 0;
    if (dice < 5000)
        return support_between(&o->rng, 1, 256);
    if (dice < 7000)
        return support_between(&o->rng, 1, 2 * KIB);
    if (dice < 8500)
        return support_between(&o->rng, 1, 40 * KIB);
    if (dice < 8800)
        return (16 * KIB << support_below(&o->rng, 5)) + support_below(&o->rng, 3) -
               1; /* powers, and one off */
    if (dice < 9700)
        return support_between(&o->rng, 32 * KIB, 300 * KIB);
    if (dice < 9930)
        return support_between(&o->rng, 256 * KIB, 4 * MIB);
    if (dice < 9985)
        return support_between(&o->rng, 2 * MIB, 40 * MIB);
    return support_between(&o->rng, 30 * MIB, 200 * MIB);
}

/* ---- content ---- */

static bool is_zero(struct oracle *o, const char *p, size_t bytes)
{
    if (bytes <= 256 * KIB)
        return support_is_zero(p, bytes);
    for (unsigned i = 0; i < 300; i++) {
        size_t at = support_below(&o->rng, bytes - 64);
        if (!support_is_zero(p + at, 64))
            return false;
    }
    return support_is_zero(p, 4096) && support_is_zero(p + bytes - 4096, 4096);
}

static void look_at(const struct slot *s)
{
    EXPECT_MSG(support_kept(s->block, s->bytes, s->bytes, s->tag),
               "block %p of %zu bytes has lost its content", (void *)s->block, s->bytes);
    size_t usable = ebb_usable_size(s->block);
    EXPECT_MSG(usable == s->usable_bytes, "block %p: usable %zu, was %zu", (void *)s->block, usable,
               s->usable_bytes);
}

/* ---- operations ---- */

static void bring_in(struct oracle *o, struct slot *s, char *p, size_t bytes, size_t align)
{
    size_t wanted = align != 0 ? align : 16;
    EXPECT_MSG(((uintptr_t)p & (wanted - 1)) == 0, "%p is not aligned to %zu", (void *)p, wanted);
    *s = (struct slot){p, bytes, ebb_usable_size(p), align, support_next(&o->rng)};
    EXPECT_MSG(s->usable_bytes >= bytes, "%zu usable of %zu", s->usable_bytes, bytes);
    support_fill(p, bytes, s->tag);
    o->live_blocks++;
    o->live_bytes += s->usable_bytes;
}

static void take_away(struct oracle *o, struct slot *s)
{
    o->live_blocks--;
    o->live_bytes -= s->usable_bytes;
    s->block = NULL;
}

static void refused(struct oracle *o)
{
    EXPECT_EQ(errno, ENOMEM);
    o->refused++;
}

static void do_free(struct oracle *o, struct slot *s)
{
    char *p = s->block;
    bool sized = support_below(&o->rng, 4) == 0;
    look_at(s);
    take_away(o, s);
    errno = 4321;
    if (!sized)
        ebb_free(p);
    else if (s->align == 0)
        ebb_free_sized(p, s->bytes);
    else
        ebb_free_aligned_sized(p, s->align, s->bytes);
    EXPECT_EQ(errno, 4321);
}

static void do_allocate(struct oracle *o, struct slot *s)
{
    size_t bytes = oracle_size(o), align = 0, dice = support_below(&o->rng, 100);
    if (o->live_bytes + bytes > o->cap_bytes)
        bytes %= 4096;
    char *p;
    errno = 0;
    if (dice < 75) {
        p = ebb_malloc(bytes);
    } else if (dice < 90) {
        size_t count = support_between(&o->rng, 1, 9);
        p = ebb_calloc(count, bytes / count + 1);
        bytes = bytes / count * count;
        EXPECT_MSG(p == NULL || is_zero(o, p, bytes), "calloc of %zu bytes at %p is not zero", bytes,
                   (void *)p);
    } else {
        align = (size_t)1 << support_below(&o->rng, dice < 98 ? 13 : 27);
        p = ebb_aligned_alloc(align, bytes);
    }
    if (p != NULL)
        bring_in(o, s, p, bytes, align);
    else
        refused(o);
}

static void do_realloc(struct oracle *o, struct slot *s)
{
    size_t dice = support_below(&o->rng, 10), bytes;
    if (dice < 4)
        bytes = s->bytes + support_below(&o->rng, s->bytes / 2 + 64); /* a vector that grows */
    else if (dice < 7)
        bytes = s->bytes / 2 + support_below(&o->rng, s->bytes / 2 + 1);
    else
        bytes = oracle_size(o);
    if (o->live_bytes + bytes > o->cap_bytes && bytes > s->bytes)
        bytes = s->bytes / 3;
    struct slot old = *s;
    look_at(&old);
    errno = 0;
    char *p = ebb_realloc(s->block, bytes);
    if (p == NULL && bytes == 0) { /* freed, as glibc does */
        take_away(o, s);
        return;
    }
    if (p == NULL) {
        refused(o);
        look_at(&old); /* the old block is untouched */
        return;
    }
    EXPECT_MSG(support_kept(p, old.bytes, old.bytes < bytes ? old.bytes : bytes, old.tag),
               "realloc of %zu to %zu bytes lost content", old.bytes, bytes);
    take_away(o, s);
    bring_in(o, s, p, bytes, 0);
}

void oracle_step(struct oracle *o)
{
    struct slot *s = &o->slots[support_below(&o->rng, o->count)];
    if (s->block == NULL)
        do_allocate(o, s);
    else if (support_below(&o->rng, 100) < 25)
        do_realloc(o, s);
    else
        do_free(o, s);
}

struct slot oracle_take_out(struct oracle *o)
{
    struct slot *s = &o->slots[support_below(&o->rng, o->count)], out = *s;
    if (s->block != NULL)
        take_away(o, s);
    return out;
}

void oracle_adopt(struct oracle *o, struct slot in)
{
    struct slot *s = &o->slots[support_below(&o->rng, o->count)];
    look_at(&in);
    if (s->block != NULL)
        do_free(o, s);
    *s = in;
    o->live_blocks++;
    o->live_bytes += in.usable_bytes;
}

void oracle_free_all(struct oracle *o)
{
    for (size_t i = 0; i < o->count; i++)
        if (o->slots[i].block != NULL)
            do_free(o, &o->slots[i]);
    EXPECT(o->live_blocks == 0 && o->live_bytes == 0);
}

/* ---- all blocks ---- */

static int by_address(const void *a, const void *b)
{
    const struct slot *const *x = a, *const *y = b;
    return (*x)->block < (*y)->block ? -1 : (*x)->block > (*y)->block;
}

void oracle_check(struct oracle *const *oracles, size_t count)
{
    size_t n = 0, live = 0;
    for (size_t i = 0; i < count; i++)
        live += oracles[i]->live_blocks;
    const struct slot **sorted = calloc(live + 1, sizeof(*sorted));
    EXPECT(sorted != NULL);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < oracles[i]->count; k++)
            if (oracles[i]->slots[k].block != NULL) {
                look_at(&oracles[i]->slots[k]);
                sorted[n++] = &oracles[i]->slots[k];
            }
    EXPECT_EQ(n, live);
    qsort(sorted, n, sizeof(*sorted), by_address);
    for (size_t i = 1; i < n; i++)
        EXPECT_MSG(sorted[i - 1]->block + sorted[i - 1]->usable_bytes <= sorted[i]->block,
                   "%p of %zu bytes and %p meet", (void *)sorted[i - 1]->block, sorted[i - 1]->usable_bytes,
                   (void *)sorted[i]->block);
    free(sorted);
}
