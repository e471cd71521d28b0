/* SPDX-License-Identifier: MIT
 *
 * Blocks of the load: every call of malloc, calloc, realloc and free goes through here, where it is timed,
 * counted and checked.
 *
 * A block carries its own list link and size, as the rows and items of a database server do, so that the load
 * needs no table of its blocks that would blur the memory being measured. The first 16 bytes hold link, size
 * and a tag over both and the address; the last bytes hold a pattern of address and size. Both are checked
 * before a block is followed, resized or freed: an allocator that hands out the same memory twice, or writes
 * into a live block, ends the process with exit status 3 and one line.
 */
#ifndef EBB_LOAD_BLOCK_H
#define EBB_LOAD_BLOCK_H

#include "hist.h"
#include "rng.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define BLOCK_MIN_BYTES 16u

struct block {
    struct block *next;
    uint32_t size_bytes;
    uint32_t tag;
};

/* What one thread measures. Written by that thread alone; the sampler reads the atomics, relaxed, since each
 * is a figure of its own. */
struct meter {
    _Alignas(128) _Atomic int64_t live_bytes;
    _Atomic uint64_t ops;
    bool timed; /* latencies are recorded in the steady phase only */
    struct hist alloc;
    struct hist free;
};

/* What one lane did. A function of the seed and the lane alone, whatever thread runs it and however fast. */
struct tally {
    struct meter *meter; /* of the thread that runs the lane */
    int64_t live_bytes;  /* what the lane still holds; handed-over result sets do not count */
    uint64_t allocs;
    uint64_t frees;
    uint64_t requested_bytes;
    uint64_t digest; /* of the sequence of calls and sizes */
};

enum block_kind { BLOCK_PLAIN, BLOCK_ZEROED };

/* A block of `size_bytes` (at least BLOCK_MIN_BYTES) of which the first `used_bytes` and the end are written.
 * Never NULL: when memory is out the process ends with a message and exit status 1. */
struct block *block_new(struct tally *t, enum block_kind kind, uint32_t size_bytes, uint32_t used_bytes);

/* The block resized; its old content is checked afterwards, and what is new is written. It must not be in a
 * list. */
struct block *block_resize(struct tally *t, struct block *b, uint32_t size_bytes);

/* Frees one block; NULL is allowed. */
void block_free(struct tally *t, struct block *b);

/* Puts a block at the head of a list. */
void block_push(struct block **list, struct block *b);

/* Frees all blocks of a list and empties it. */
void block_free_list(struct tally *t, struct block **list);

/* As block_free_list() for a list that another lane allocated and handed over: counted for the thread, not
 * the lane. */
void block_free_foreign(struct tally *t, struct block *list);

/* Takes the bytes of a list, which is not empty, out of the lane's count before it is handed over. Returns
 * its last block. */
struct block *block_hand_over(struct tally *t, struct block *list);

/* Links a list behind `last`, the last block of another. */
void block_append(struct block *last, struct block *list);

/* Reads the block as a query would, and checks it. */
void block_read(const struct block *b);

#endif
