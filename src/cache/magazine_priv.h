/* SPDX-License-Identifier: MIT
 * Magazines and the stacks that exchange them; for src/cache only. */
#ifndef EBB_CACHE_MAGAZINE_PRIV_H
#define EBB_CACHE_MAGAZINE_PRIV_H

#include "cache/cache.h"
#include "conf/conf.h"
#include "os/os.h"

#define EBB_MAG_SIZES 4u /* 128, 256, 512, 1024 bytes */

struct magazine {
    _Atomic(struct magazine *) next; /* in a stack */
    uint32_t weight; /* blocks from here to the bottom of the stack; an empty magazine weighs 1 */
    uint16_t count;  /* blocks in slots[]; of a loaded magazine only its thread's `top` tells */
    uint8_t size;    /* 0..3 */
    uint8_t limit;   /* blocks it might hold when its thread last put it aside */
    void *floor;     /* NULL: what top[-1] reads when the magazine is empty */
    void *slots[];
};
EBB_STATIC_ASSERT(sizeof(struct magazine) == 24, "slots fill what 24 bytes leave");

EBB_INLINE unsigned ebb__mag_bytes(unsigned size)
{
    return 128u << size;
}

EBB_INLINE unsigned ebb__mag_slots(unsigned size) /* 13, 29, 61, 125 */
{
    return (ebb__mag_bytes(size) - (unsigned)sizeof(struct magazine)) / (unsigned)sizeof(void *);
}

/* A lock-free stack of magazines: one word holds the top's address and a tag that changes with every
 * operation, so a thread that slept between its look and its exchange fails unless exactly 2^23 operations
 * went by. Magazines are never unmapped, so a stale top can be read; what is read is thrown away when the
 * exchange fails. */
struct mag_stack {
    _Atomic uint64_t word;
} EBB_ALIGNED(64);

/* Pushes unless the stack would then weigh more than `limit`. */
bool ebb__mag_push(struct mag_stack *stack, struct magazine *m, uint32_t limit);
struct magazine *ebb__mag_pop(struct mag_stack *stack);
struct magazine *ebb__mag_peek(const struct mag_stack *stack);

/* An empty magazine, or NULL when memory is refused, or there is no room: nobody is asked to make some. And back. */
struct magazine *ebb__mag_create(unsigned size);
void ebb__mag_destroy(struct magazine *m);

/* Gives back the empty magazines that wait, or those that nobody has asked for since the last call. */
void ebb__mag_drain_empties(bool all);

extern struct mag_stack ebb__depot[EBB_CACHE_BINS]; /* full magazines by class */

#endif
