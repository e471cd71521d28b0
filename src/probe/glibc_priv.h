/* SPDX-License-Identifier: MIT
 *
 * What glibc.c, glibc_arena.c and glibc_find.c share: the layout of an arena, and reading through the cache of lines.
 */
#ifndef EBB_PROBE_GLIBC_PRIV_H
#define EBB_PROBE_GLIBC_PRIV_H

#include "probe/glibc.h"

/* struct malloc_state on 64-bit machines since 2.27: offsets of its fields. What is before the fastbins (a lock and two flags) changes
 * without anything having moved. */
enum {
    ARENA_FASTBINS = 16,
    ARENA_TOP = 96,
    ARENA_BINS = 112,
    ARENA_NEXT = 2160,
    ARENA_ATTACHED = 2176,
    ARENA_SYSTEM = 2184,
    ARENA_PEAK = 2192,
    ARENA_BYTES = 2200,
};

#define FASTBINS       10
#define BINS           127 /* numbered from 1: unsorted, 62 small, 64 large */
#define SMALL_BINS_END 64

#define CHUNK_MIN_BYTES 32
#define CHUNK_ALIGN     16

/* Bits in the size of a block. */
enum {
    CHUNK_PREV_IN_USE = 1,
    CHUNK_MAPPED = 2,
    CHUNK_FLAGS = 7,
};

/* The head of a free block. */
struct glibc_chunk_head {
    uint64_t before_bytes; /* of the block before, if that one is free */
    uint64_t size;         /* with flags */
    uint64_t fd;
    uint64_t bk;
};

/* The head of an arena, as it was read. */
struct glibc_arena_head {
    uint8_t bytes[ARENA_BYTES];
};

static inline uint64_t ebb__glibc_word(const void *bytes, size_t offset)
{
    uint64_t word;

    __builtin_memcpy(&word, (const char *)bytes + offset, sizeof(word));
    return word;
}

/* Where the list of bin `number` begins and ends: a block whose links are the two words of the bin. */
static inline uint64_t ebb__glibc_bin_head(uint64_t arena, unsigned number)
{
    return arena + ARENA_BINS + (uint64_t)(number - 1) * 16 - 16;
}

static inline uint64_t ebb__glibc_bin_first(const struct glibc_arena_head *head, unsigned number)
{
    return ebb__glibc_word(head->bytes, ARENA_BINS + (size_t)(number - 1) * 16);
}

static inline uint64_t ebb__glibc_bin_last(const struct glibc_arena_head *head, unsigned number)
{
    return ebb__glibc_word(head->bytes, ARENA_BINS + (size_t)(number - 1) * 16 + 8);
}

/* Reads past the cache. */
int ebb__glibc_peek(struct ebb_glibc_process *process, uint64_t address, void *buf, size_t len);

/* Reads the head of a block through the cache. */
int ebb__glibc_chunk(struct ebb_glibc_process *process, uint64_t address, struct glibc_chunk_head *ret_head);

/* Reads the heads of several blocks, past the cache. */
int ebb__glibc_chunks(struct ebb_glibc_process *process, const uint64_t *addresses, size_t count,
                      struct glibc_chunk_head *ret_heads);

/* Empties the cache: what follows is read anew. */
void ebb__glibc_forget(struct ebb_glibc_process *process);

/* The heap that an address lies in. */
static inline uint64_t ebb__glibc_heap_of(const struct ebb_glibc *glibc, uint64_t address)
{
    return address & ~(glibc->heap_align - 1);
}

#endif
