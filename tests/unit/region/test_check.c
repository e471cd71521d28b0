/* SPDX-License-Identifier: MIT
 *
 * The walker finds what is broken: each invariant is broken by hand once, and named.
 */
#include "region_test.h"
#include "small_space.h"

#include "os/fake.h"

static struct region *full_region(void)
{
    struct ebb_region *region = ebb__region_create(NULL);
    for (unsigned i = 0; i < 1000; i++)
        (void)piece(region, 100);
    ebb__region_reset(region, EBB_REGION_KEEP_ALL);
    for (unsigned i = 0; i < 300; i++)
        (void)piece(region, 100);
    (void)piece(region, EBB_MIB(1));
    EXPECT_EQ(ebb__region_cleanup_add(region, free, NULL), 0);
    EXPECT_EQ(ebb__region_check(region), 0);
    EXPECT(figures(region).kept_bytes != 0);
    return ebb__region_of(region);
}

static void cursor_beyond_the_end(struct region *r)
{
    r->open.cursor = r->end + 16;
}
static void cursor_not_aligned(struct region *r)
{
    r->open.cursor -= 8;
}
static void limit_moved(struct region *r)
{
    r->open.limit -= 16;
}
static void end_moved(struct region *r)
{
    r->end -= 16;
}
static void wrong_mask(struct region *r)
{
    r->open.align_mask = ~(size_t)63;
}
static void wrong_length(struct region *r)
{
    r->apart->bytes += 1;
}
static void not_a_block(struct region *r)
{
    r->current->below = (struct block *)(void *)((char *)r->current->below + 16);
}
static void a_ring(struct region *r)
{
    r->apart->below = r->apart;
}
static void list_goes_on_below_the_first(struct region *r)
{
    r->first.below = r->apart;
}
static void charge_lost(struct region *r)
{
    r->charged_bytes += 4096;
}
static void closed_wrong(struct region *r)
{
    r->closed_bytes += 16;
}
static void apart_wrong(struct region *r)
{
    r->apart_bytes -= 16;
}
static void kept_not_sorted(struct region *r)
{
    struct block *list = atomic_load(&r->kept), *second = list->below;
    list->below = second->below;
    second->below = list;
    atomic_store(&r->kept, second);
}
static void cleanup_outside(struct region *r)
{
    static struct cleanup stray = {NULL, free, NULL};
    r->cleanups = &stray;
}
static void cleanup_in_free_bytes(struct region *r)
{
    struct cleanup *c = (struct cleanup *)(void *)r->open.cursor;
    *c = *r->cleanups;
    r->cleanups = c;
}
static void in_no_list(struct region *r)
{
    r->listed_in = 0;
}
static void kept_counted_wrong(struct region *r)
{
    atomic_fetch_add(&r->kept_bytes, 4096);
}

static void break_and_check(void *arg)
{
    void (*const *harm)(struct region *) = arg;
    struct region *r = full_region();
    (*harm)(r);
    _exit(ebb__region_check(&r->open) == -EUCLEAN ? 7 : 8);
}

static void each_invariant_is_looked_at(void)
{
    static const struct {
        void (*harm)(struct region *);
        const char *named;
    } rows[] = {
        {cursor_beyond_the_end, "R1"},
        {cursor_not_aligned, "R1"},
        {limit_moved, "R1"},
        {end_moved, "R1"},
        {wrong_mask, "R1"},
        {wrong_length, "R2"},
        {not_a_block, "R2"},
        {a_ring, "R2"},
        {list_goes_on_below_the_first, "R2"},
        {charge_lost, "R3"},
        {closed_wrong, "R4"},
        {apart_wrong, "R4"},
        {kept_not_sorted, "R5"},
        {cleanup_outside, "R6"},
        {cleanup_in_free_bytes, "R6"},
        {in_no_list, "R7"},
        {kept_counted_wrong, "R9"},
    };
    for (size_t i = 0; i < EBB_ARRAY_COUNT(rows); i++) {
        void (*harm)(struct region *) = rows[i].harm;
        char wanted[40];
        (void)snprintf(wanted, sizeof(wanted), "ebb: invariant %s broken", rows[i].named);
        struct support_outcome out = support_capture(break_and_check, &harm);
        EXPECT_MSG(WIFEXITED(out.status) && WEXITSTATUS(out.status) == 7, "row %zu: status 0x%x", i,
                   (unsigned)out.status);
        EXPECT_MSG(strncmp(out.text, wanted, strlen(wanted)) == 0 && out.lines == 1, "row %zu: %s", i,
                   out.text);
    }
}

static void spoil_the_pattern(void *arg)
{
    struct ebb_region *region = region_with((struct ebb_region_options){.flags = EBB_REGION_POISON});
    char *p = piece(region, 10);
    (void)arg;
    p[100] = 1;
    _exit(ebb__region_check(region) == -EUCLEAN ? 7 : 8);
}

/* Where a tool watches there is no pattern. */
static void the_pattern_is_looked_at(void)
{
    if (ebb__track_is_on())
        return;
    struct support_outcome out = support_capture(spoil_the_pattern, NULL);
    EXPECT_MSG(WEXITSTATUS(out.status) == 7 && strstr(out.text, "invariant R8 broken") != NULL, "%s",
               out.text);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(each_invariant_is_looked_at),
        CASE(the_pattern_is_looked_at),
    };
    unwatched();
    small_reservations();
    return RUN_CASES(cases);
}
