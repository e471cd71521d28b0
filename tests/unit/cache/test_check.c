/* SPDX-License-Identifier: MIT
 *
 * The walker: each invariant of the caches is broken on purpose, and the line must name it.
 */
#include "cache_test.h"
#include "small_space.h"

static unsigned c;
static struct span_shelf *shelf;
static struct cache_bin *bin;

static void shelve(size_t bytes)
{
    void *p = ebb__heap_span_alloc(bytes, EBB_UNIT_BYTES, false);
    EXPECT(p != NULL);
    ebb__cache_span_free(p, bytes, "test");
}

/* A cache with a loaded and a full previous magazine, two in the depot, and three spans on its shelf. */
static void set_up(void)
{
    static void *blocks[2000];
    c = ebb__class_of(64);
    for (unsigned i = 0; i < 2000; i++)
        blocks[i] = get(c);
    for (unsigned i = 0; i < 2000; i++)
        put(blocks[i]);
    for (unsigned i = 0; i < 20; i++)
        (void)get(c);
    bin = &ebb__thread.mine->bins[c];
    EXPECT(bin->loaded != NULL && bin->top - bin->loaded->slots > 10);
    EXPECT(bin->prev != NULL && bin->prev->count > 3);
    EXPECT(ebb__mag_peek(&ebb__depot[c])->weight >= 200);
    shelf = &ebb__thread.mine->shelf;
    for (unsigned i = 0; i < 3; i++)
        shelve(EBB_KIB(64));
    EXPECT_EQ(shelf->count, 3);
    EXPECT_CACHE_OK();
}

static void c1_top_below_the_slots(void)
{
    bin->top = bin->loaded->slots - 1;
}
static void c1_top_above_the_limit(void)
{
    bin->top = bin->limit + 1;
}
static void c1_limit_above_the_slots(void)
{
    bin->limit = bin->loaded->slots + ebb__mag_slots(bin->loaded->size) + 1;
}
static void c1_floor(void)
{
    bin->loaded->floor = bin;
}
static void c3_count_of_prev(void)
{
    bin->prev->count = 126;
}
static void c2_freed_block(void)
{
    ebb__heap_give(c, bin->top - 1, 1, "test");
}
static void c2_block_of_another_class(void)
{
    void *other;
    EXPECT_EQ(ebb__heap_take(c + 1, &other, 1), 1);
    bin->top[-1] = other;
}
static void c2_no_block(void)
{
    bin->loaded->slots[0] = bin;
}
static void c2_null(void)
{
    bin->loaded->slots[0] = NULL;
}
static void c2_inside_a_block(void)
{
    bin->prev->slots[1] = (char *)bin->prev->slots[1] + 16;
}
static void c2_twice_in_a_row(void)
{
    bin->top[-1] = bin->top[-2];
}
static void c2_twice_apart(void)
{
    bin->top[-1] = bin->loaded->slots[0];
}
static void c2_in_two_magazines(void)
{
    bin->top[-1] = bin->prev->slots[0];
}
static void c2_in_the_depot(void)
{
    ebb__mag_peek(&ebb__depot[c])->slots[2] = bin->loaded->slots[0];
}
static void c3_prev_half_full(void)
{
    ebb__heap_give(c, bin->prev->slots + bin->prev->count / 2, bin->prev->count - bin->prev->count / 2u,
                   "test");
    bin->prev->count /= 2;
}
static void c4_weight(void)
{
    ebb__mag_peek(&ebb__depot[c])->weight++;
}
static void c4_bottom(void)
{
    struct magazine *m = ebb__mag_peek(&ebb__depot[c]);
    for (; atomic_load(&m->next) != NULL; m = atomic_load(&m->next))
        m->weight++;
    m->weight++;
}
static void c4_cut_short(void)
{
    atomic_store(&ebb__mag_peek(&ebb__depot[c])->next, NULL);
}

static void c7_count(void)
{
    shelf->count = EBB_SHELF_SPANS + 1;
}
static void c7_sum(void)
{
    shelf->units++;
}
static void c7_length(void)
{
    shelf->lengths[1]++;
    shelf->units++;
}
static void c7_twice(void)
{
    shelf->blocks[2] = shelf->blocks[0];
}
static void c7_not_held(void)
{
    ebb__heap_span_unhold(shelf->blocks[1]);
}
static void c7_dead(void)
{
    ebb__heap_large_free(shelf->blocks[1]);
}
static void c7_no_block(void)
{
    shelf->blocks[1] = (char *)shelf->blocks[1] + EBB_UNIT_BYTES;
}

static const struct breakage {
    const char *name;
    void (*apply)(void);
} BREAKAGES[] = {
#define BREAKAGE(fn)                                                                                         \
    {                                                                                                        \
#fn, fn                                                                                              \
    }
    BREAKAGE(c1_top_below_the_slots),
    BREAKAGE(c1_top_above_the_limit),
    BREAKAGE(c1_limit_above_the_slots),
    BREAKAGE(c1_floor),
    BREAKAGE(c3_count_of_prev),
    BREAKAGE(c2_freed_block),
    BREAKAGE(c2_block_of_another_class),
    BREAKAGE(c2_no_block),
    BREAKAGE(c2_null),
    BREAKAGE(c2_inside_a_block),
    BREAKAGE(c2_twice_in_a_row),
    BREAKAGE(c2_twice_apart),
    BREAKAGE(c2_in_two_magazines),
    BREAKAGE(c2_in_the_depot),
    BREAKAGE(c3_prev_half_full),
    BREAKAGE(c4_weight),
    BREAKAGE(c4_bottom),
    BREAKAGE(c4_cut_short),
    BREAKAGE(c7_count),
    BREAKAGE(c7_sum),
    BREAKAGE(c7_length),
    BREAKAGE(c7_twice),
    BREAKAGE(c7_not_held),
    BREAKAGE(c7_dead),
    BREAKAGE(c7_no_block),
#undef BREAKAGE
};

static void break_and_check(void *arg)
{
    const struct breakage *b = arg;
    b->apply();
    _exit(ebb__cache_check() == -EUCLEAN ? 42 : 43);
}

static void each_broken_invariant_is_named(void)
{
    unsigned missed = 0;
    set_up();
    for (size_t i = 0; i < EBB_ARRAY_COUNT(BREAKAGES); i++) {
        struct breakage b = BREAKAGES[i];
        char wanted[40];
        struct support_outcome out = support_capture(break_and_check, &b);
        (void)snprintf(wanted, sizeof(wanted), "ebb: invariant C%c broken: ", b.name[1]);
        bool named = WIFEXITED(out.status) && WEXITSTATUS(out.status) == 42 && out.lines == 1 &&
                     strncmp(out.text, wanted, strlen(wanted)) == 0;
        missed += !named;
        if (!named)
            (void)fprintf(stderr, "%s: status 0x%x, said: %s\n", b.name, (unsigned)out.status, out.text);
    }
    EXPECT_EQ(missed, 0);
    EXPECT_CACHE_OK();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(each_broken_invariant_is_named),
    };
    small_reservations();
    return RUN_CASES(cases);
}
