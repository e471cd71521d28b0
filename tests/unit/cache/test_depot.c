/* SPDX-License-Identifier: MIT
 *
 * The depot's stacks: bounded, counted down, and whole under many threads.
 */
#include "cache_test.h"
#include "small_space.h"

#include <pthread.h>

#define MAGS    64
#define THREADS 4

static struct magazine *make(unsigned tag)
{
    struct magazine *m = ebb__mag_create(tag % EBB_MAG_SIZES);
    EXPECT(m != NULL && m->count == 0 && m->floor == NULL && m->size == tag % EBB_MAG_SIZES);
    return m;
}

static void sizes(void)
{
    static const unsigned slots[] = {13, 29, 61, 125};
    for (unsigned size = 0; size < EBB_MAG_SIZES; size++) {
        EXPECT_EQ(ebb__mag_slots(size), slots[size]);
        EXPECT_EQ(ebb__mag_bytes(size), ebb__classes[EBB_CLASS_MAG_128 + size].bytes);
        struct magazine *m = make(size);
        EXPECT_EQ((uintptr_t)m % 128, 0);
        ebb__mag_destroy(m);
    }
}

static void last_in_first_out_and_bounded(void)
{
    struct mag_stack stack = {0};
    struct magazine *mags[MAGS];
    EXPECT(ebb__mag_pop(&stack) == NULL && ebb__mag_peek(&stack) == NULL);
    for (unsigned i = 0; i < MAGS; i++)
        mags[i] = make(i);
    EXPECT(!ebb__mag_push(&stack, mags[0], 0));
    for (unsigned i = 0; i < MAGS; i++) {
        EXPECT(ebb__mag_push(&stack, mags[i], MAGS));
        EXPECT(ebb__mag_peek(&stack) == mags[i]);
        EXPECT_EQ(mags[i]->weight, i + 1); /* an empty one weighs 1 */
    }
    struct magazine *more = make(0);
    EXPECT(!ebb__mag_push(&stack, more, MAGS));
    for (unsigned i = MAGS; i-- > 0;)
        EXPECT(ebb__mag_pop(&stack) == mags[i]);
    EXPECT(ebb__mag_pop(&stack) == NULL);
    EXPECT(ebb__mag_push(&stack, more, 1));
    EXPECT_EQ(more->weight, 1);
}

/* What limits a stack is the blocks in it. */
static void full_ones_weigh_their_blocks(void)
{
    struct mag_stack stack = {0};
    struct magazine *a = make(0), *b = make(1), *c = make(2);
    a->count = 13;
    b->count = 20;
    c->count = 61;
    EXPECT(!ebb__mag_push(&stack, a, 12));
    EXPECT(ebb__mag_push(&stack, a, 13));
    EXPECT(!ebb__mag_push(&stack, b, 32));
    EXPECT(ebb__mag_push(&stack, b, 33));
    EXPECT(ebb__mag_push(&stack, c, 94));
    EXPECT(a->weight == 13 && b->weight == 33 && c->weight == 94);
    EXPECT(ebb__mag_pop(&stack) == c && ebb__mag_pop(&stack) == b);
    EXPECT(ebb__mag_push(&stack, c, 74));
    EXPECT_EQ(c->weight, 74);
}

/* ---- many threads ---- */

static struct mag_stack shared;
static struct magazine *owned[MAGS]; /* each stands in exactly one hand or in the stack */
static _Atomic int holders[MAGS];
static size_t rounds;

static unsigned name_of(const struct magazine *m)
{
    return (unsigned)(uintptr_t)m->slots[0];
}

static void *exchange(void *arg)
{
    struct support_rng rng = {(uintptr_t)arg};
    struct magazine *mine[8];
    unsigned n = 0;
    for (size_t i = 0; i < rounds; i++) {
        if (n != 0 && (n == 8 || support_below(&rng, 2) == 0)) {
            struct magazine *m = mine[--n];
            EXPECT_EQ(atomic_fetch_sub(&holders[name_of(m)], 1), 1);
            EXPECT(ebb__mag_push(&shared, m, MAGS + 1));
        } else {
            struct magazine *m = ebb__mag_pop(&shared);
            if (m == NULL)
                continue;
            EXPECT_EQ(atomic_fetch_add(&holders[name_of(m)], 1), 0);
            mine[n++] = m;
        }
    }
    while (n-- != 0) {
        EXPECT_EQ(atomic_fetch_sub(&holders[name_of(mine[n])], 1), 1);
        EXPECT(ebb__mag_push(&shared, mine[n], MAGS + 1));
    }
    return NULL;
}

static void no_magazine_is_in_two_hands(void)
{
    pthread_t threads[THREADS];
    uint64_t seed = support_seed("no_magazine_is_in_two_hands");
    rounds = support_env_number("MODEL_OPS", 300000);
    for (unsigned i = 0; i < MAGS; i++) {
        owned[i] = make(0);
        owned[i]->slots[0] = (void *)(uintptr_t)i; // NOLINT(performance-no-int-to-ptr): its name
        EXPECT(ebb__mag_push(&shared, owned[i], MAGS));
    }
    for (unsigned t = 0; t < THREADS; t++)
        EXPECT(pthread_create(&threads[t], NULL, exchange, (void *)(uintptr_t)(seed + t)) == 0);
    for (unsigned t = 0; t < THREADS; t++)
        EXPECT(pthread_join(threads[t], NULL) == 0);
    bool seen[MAGS] = {false};
    unsigned n = 0;
    for (struct magazine *m; (m = ebb__mag_pop(&shared)) != NULL; n++) {
        EXPECT(name_of(m) < MAGS && !seen[name_of(m)] && owned[name_of(m)] == m);
        seen[name_of(m)] = true;
    }
    EXPECT_EQ(n, MAGS);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(sizes),
        CASE(last_in_first_out_and_bounded),
        CASE(full_ones_weigh_their_blocks),
        CASE(no_magazine_is_in_two_hands),
    };
    small_reservations();
    return RUN_CASES(cases);
}
