/* SPDX-License-Identifier: MIT
 * Magazines, the depot, and where empty magazines wait. */
#include "cache/magazine_priv.h"

/* A magazine is aligned to 128 bytes below 2^48: 41 bits say which, 23 are left for the tag. */
#define MAG_SHIFT 7
#define TAG_SHIFT (EBB_ADDRESS_BITS - MAG_SHIFT)

/* Empty magazines kept for producers and consumers, who use them up on one side and free them on the other.
 */
#define EMPTIES_MAX 64

struct mag_stack ebb__depot[EBB_CACHE_BINS];
static struct mag_stack empties[EBB_MAG_SIZES];

static struct magazine *mag_of(uint64_t word)
{
    return (struct magazine *)(uintptr_t)((word & ((UINT64_C(1) << TAG_SHIFT) - 1)) << MAG_SHIFT);
}

static uint64_t word_of(const struct magazine *m, uint64_t old)
{
    return ((old >> TAG_SHIFT) + 1) << TAG_SHIFT | (uintptr_t)m >> MAG_SHIFT;
}

bool ebb__mag_push(struct mag_stack *stack, struct magazine *m, uint32_t limit)
{
    uint64_t old = atomic_load_explicit(&stack->word, memory_order_acquire);
    for (;;) {
        struct magazine *top = mag_of(old);
        /* The top may be popped and reused while its weight is read; then the exchange fails. */
        uint32_t below = top != NULL ? __atomic_load_n(&top->weight, __ATOMIC_RELAXED) : 0;
        uint32_t own = m->count != 0 ? m->count : 1;
        if (below + own > limit)
            return false;
        __atomic_store_n(&m->weight, below + own, __ATOMIC_RELAXED);
        atomic_store_explicit(&m->next, top, memory_order_relaxed);
        /* release: the blocks in the magazine; pairs with the acquire in pop */
        if (atomic_compare_exchange_weak_explicit(&stack->word, &old, word_of(m, old), memory_order_acq_rel,
                                                  memory_order_acquire))
            return true;
    }
}

struct magazine *ebb__mag_pop(struct mag_stack *stack)
{
    uint64_t old = atomic_load_explicit(&stack->word, memory_order_acquire);
    for (;;) {
        struct magazine *top = mag_of(old);
        if (top == NULL)
            return NULL;
        struct magazine *next = atomic_load_explicit(&top->next, memory_order_relaxed);
        if (atomic_compare_exchange_weak_explicit(&stack->word, &old, word_of(next, old),
                                                  memory_order_acq_rel, memory_order_acquire))
            return top;
    }
}

struct magazine *ebb__mag_peek(const struct mag_stack *stack)
{
    return mag_of(atomic_load_explicit(&stack->word, memory_order_acquire));
}

struct magazine *ebb__mag_create(unsigned size)
{
    struct magazine *m = ebb__mag_pop(&empties[size]);
    if (m == NULL) {
        void *block;
        if (ebb__heap_take_if_room(EBB_CLASS_MAG_128 + size, &block, 1) == 0)
            return NULL;
        m = block;
    }
    atomic_store_explicit(&m->next, NULL, memory_order_relaxed);
    m->size = (uint8_t)size;
    __atomic_store_n(&m->count, 0, __ATOMIC_RELAXED); /* statistics may be reading */
    m->floor = NULL;
    return m;
}

void ebb__mag_destroy(struct magazine *m)
{
    void *block = m;
    if (!ebb__mag_push(&empties[m->size], m, EMPTIES_MAX))
        ebb__heap_give(EBB_CLASS_MAG_128 + m->size, &block, 1, "cache");
}

void ebb__mag_drain_empties(bool all)
{
    static uint64_t seen[EBB_MAG_SIZES]; /* under EBB_RANK_RETURN */
    for (unsigned size = 0; size < EBB_MAG_SIZES; size++) {
        void *block;
        uint64_t word = atomic_load_explicit(&empties[size].word, memory_order_relaxed);
        if (all || word == seen[size])
            while ((block = ebb__mag_pop(&empties[size])) != NULL)
                ebb__heap_give(EBB_CLASS_MAG_128 + size, &block, 1, "cache");
        seen[size] = atomic_load_explicit(&empties[size].word, memory_order_relaxed);
    }
}
