/* SPDX-License-Identifier: MIT
 *
 * The oracle: what a caller of malloc knows about its blocks, and nothing else.
 *
 * Each slot holds one block with the size asked for, the usable size that was promised, and the tag of the
 * pattern it was filled with. Overlap shows as a broken pattern at once, and as neighbours that meet when the
 * slots are sorted.
 */
#ifndef EBB_TESTS_MODEL_ORACLE_H
#define EBB_TESTS_MODEL_ORACLE_H

#include "support.h"

struct slot {
    char *block; /* NULL: empty */
    size_t bytes;
    size_t usable_bytes;
    size_t align; /* asked for; 0: none */
    uint64_t tag;
};

struct oracle {
    struct slot *slots;
    size_t count; /* of slots */
    size_t live_blocks;
    size_t live_bytes; /* usable */
    size_t cap_bytes;  /* stays below it where it can */
    uint64_t refused;  /* operations that ended with ENOMEM */
    struct support_rng rng;
};

void oracle_create(struct oracle *o, size_t slots, size_t cap_bytes, uint64_t seed);

/* A size with the skew of a database: mostly small, now and then up to 200 MiB. */
size_t oracle_size(struct oracle *o);

/* One random operation of malloc, calloc, aligned, realloc, free. */
void oracle_step(struct oracle *o);

/* Moves a random block out, to be adopted by another oracle (block NULL: there was none); and in. */
struct slot oracle_take_out(struct oracle *o);
void oracle_adopt(struct oracle *o, struct slot s);

/* Frees every block after a look at it. */
void oracle_free_all(struct oracle *o);

/* Looks at every pattern, and that no two blocks of the oracles meet. */
void oracle_check(struct oracle *const *oracles, size_t count);

#endif
