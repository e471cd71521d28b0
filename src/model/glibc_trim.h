/* SPDX-License-Identifier: MIT
 *
 * Which pages malloc_trim(pad) of glibc 2.28 to 2.41 would give back, from the free blocks of an arena.
 *
 * What it does, in each arena:
 *   1. blocks in fastbins are joined with their free neighbours, and with the top where they touch it;
 *   2. of each free block, all whole pages that begin behind a struct malloc_chunk at its front (48 bytes) are given back. The block
 *      stays where it is: only its memory goes;
 *   3. the main arena's top, less the pad and the smallest block, is given back by brk(), in whole pages, if nobody else has moved the
 *      break meanwhile. The trim threshold plays no part.
 * Tops of other arenas are left alone, and so is what threads keep in their caches, which looks like blocks in use.
 */
#ifndef EBB_MODEL_GLIBC_TRIM_H
#define EBB_MODEL_GLIBC_TRIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/glibc.h"

struct ebb_glibc_trim_rules {
    uint64_t page_bytes;
    uint64_t pad_bytes;      /* the argument of malloc_trim() */
    uint64_t thp_page_bytes; /* glibc.malloc.hugetlb=1: the break moves by these; 0: by pages */
    uint64_t brk_end;        /* where brk()'s heap ends; 0: it has none */
};

enum ebb_glibc_trim_part {
    EBB_GLIBC_TRIM_BLOCKS, /* inside free blocks */
    EBB_GLIBC_TRIM_TOP,    /* the main arena's top */
    EBB_GLIBC_TRIM_KEPT,   /* whole pages of a top that malloc_trim() leaves alone */
    EBB_GLIBC_TRIM_PART_COUNT
};

/* Told of each range of whole pages, upwards. A result other than 0 ends it. */
typedef int (*ebb_glibc_trim_fn)(void *context, enum ebb_glibc_trim_part part, uint64_t start, uint64_t end);

/* `chunks` are all free blocks of the arena, sorted by address. 0, -EBADMSG when two of them overlap, or what `fn` returned. */
int ebb__glibc_trim(const struct ebb_glibc_arena *arena, const struct ebb_glibc_chunk *chunks, size_t count,
                    const struct ebb_glibc_trim_rules *rules, ebb_glibc_trim_fn fn, void *context);

#endif
