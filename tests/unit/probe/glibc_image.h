/* SPDX-License-Identifier: MIT
 *
 * A made-up process on glibc's malloc: the C library's data, brk()'s heap, and one heap of another arena; for the unit tests and the fuzz target.
 */
#ifndef EBB_TESTS_GLIBC_IMAGE_H
#define EBB_TESTS_GLIBC_IMAGE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "probe/glibc.h"
#include "probe/glibc_priv.h"

#define IMAGE_DATA 0x7f0000001000u
#define IMAGE_BRK  0x555555560000u
#define IMAGE_HEAP (UINT64_C(0x7f4000000000))

#define IMAGE_MAIN (IMAGE_DATA + 0xc60)
#define IMAGE_PAR  (IMAGE_DATA + 0x340)

#define IMAGE_DATA_BYTES 0x3000
#define IMAGE_BRK_BYTES  0x21000
#define IMAGE_HEAP_BYTES 0x21000

struct image {
    uint8_t data[IMAGE_DATA_BYTES];
    uint8_t brk[IMAGE_BRK_BYTES];
    uint8_t heap[IMAGE_HEAP_BYTES];
    uint64_t other; /* the second arena */
    unsigned reads;
    int dead; /* what reading returns, once it is not 0 */
    /* Called before each read, for processes that move. */
    void (*moved)(struct image *image);
};

static inline uint8_t *image_at(struct image *image, uint64_t address, size_t len)
{
    const struct {
        uint64_t start;
        uint8_t *bytes;
        uint64_t count;
    } PARTS[] = {
        {IMAGE_DATA, image->data, IMAGE_DATA_BYTES},
        {IMAGE_BRK, image->brk, IMAGE_BRK_BYTES},
        {IMAGE_HEAP, image->heap, IMAGE_HEAP_BYTES},
    };

    for (unsigned i = 0; i < 3; i++)
        if (address >= PARTS[i].start && address - PARTS[i].start < PARTS[i].count &&
            len <= PARTS[i].count - (address - PARTS[i].start))
            return PARTS[i].bytes + (address - PARTS[i].start);
    return NULL;
}

/* For tests that know where they write. */
static inline uint8_t *image_sure(struct image *image, uint64_t address, size_t len)
{
    uint8_t *bytes = image_at(image, address, len);

    if (bytes == NULL)
        abort();
    return bytes;
}

static inline int image_peek(void *context, uint64_t address, void *buf, size_t len)
{
    struct image *image = context;
    const uint8_t *bytes;

    image->reads++;
    if (image->moved != NULL)
        image->moved(image);
    if (image->dead != 0)
        return image->dead;
    bytes = image_at(image, address, len);
    if (bytes == NULL)
        return -EFAULT;
    memcpy(buf, bytes, len);
    return 0;
}

static inline uint64_t image_get(struct image *image, uint64_t address)
{
    return ebb__glibc_word(image_sure(image, address, 8), 0);
}

static inline void image_set(struct image *image, uint64_t address, uint64_t value)
{
    memcpy(image_sure(image, address, 8), &value, 8);
}

static inline void image_set_half(struct image *image, uint64_t address, uint32_t value)
{
    memcpy(image_sure(image, address, 4), &value, 4);
}

/* Puts a free block at the end of a list; number 1 is that of unsorted blocks. */
static inline void image_free(struct image *image, uint64_t arena, unsigned number, uint64_t address,
                              uint64_t bytes)
{
    uint64_t self = ebb__glibc_bin_head(arena, number);
    uint64_t last = image_get(image, self + 24);

    image_set(image, address + 8, bytes | CHUNK_PREV_IN_USE);
    image_set(image, address + 16, self);
    image_set(image, address + 24, last);
    image_set(image, last + 16, address);
    image_set(image, self + 24, address);
}

/* Puts a block in front of a fastbin. */
static inline void image_free_fast(struct image *image, uint64_t arena, unsigned number, uint64_t address,
                                   bool hides)
{
    uint64_t first = arena + ARENA_FASTBINS + number * 8;
    uint64_t next = image_get(image, first);

    image_set(image, address + 8, (CHUNK_MIN_BYTES + number * CHUNK_ALIGN) | CHUNK_PREV_IN_USE);
    image_set(image, address + 16, hides ? next ^ (address + 16) >> 12 : next);
    image_set(image, first, address);
}

static inline void image_arena(struct image *image, uint64_t arena, uint64_t top, uint64_t top_bytes,
                               uint64_t system, uint64_t peak)
{
    for (unsigned i = 1; i <= BINS; i++) {
        uint64_t self = ebb__glibc_bin_head(arena, i);

        image_set(image, self + 16, self);
        image_set(image, self + 24, self);
    }
    image_set(image, arena + ARENA_TOP, top);
    image_set(image, arena + ARENA_ATTACHED, 1);
    image_set(image, arena + ARENA_SYSTEM, system);
    image_set(image, arena + ARENA_PEAK, peak);
    if (system != 0)
        image_set(image, top + 8, top_bytes | CHUNK_PREV_IN_USE);
}

static inline void image_par(struct image *image, const struct ebb_glibc_layout *layout,
                             enum ebb_glibc_par field, uint64_t value)
{
    bool half = field == EBB_GLIBC_PAR_MMAPS || field == EBB_GLIBC_PAR_MMAPS_MAX ||
                field == EBB_GLIBC_PAR_MMAPS_PEAK || field == EBB_GLIBC_PAR_NO_DYNAMICS;

    if (layout->par[field] < 0)
        return;
    if (half)
        image_set_half(image, IMAGE_PAR + (uint64_t)layout->par[field], (uint32_t)value);
    else
        image_set(image, IMAGE_PAR + (uint64_t)layout->par[field], value);
}

/* Two arenas with some free blocks of each kind. */
static inline struct image *image_new(const struct ebb_glibc_layout *layout)
{
    struct image *image = calloc(1, sizeof(*image));
    uint64_t main_top = IMAGE_BRK + 0x9000;
    uint64_t other = IMAGE_HEAP + layout->heap_info_bytes;
    uint64_t other_top = IMAGE_HEAP + 0x5010;

    if (image == NULL)
        abort();
    image->other = other;
    image_arena(image, IMAGE_MAIN, main_top, IMAGE_BRK_BYTES - 0x9000, IMAGE_BRK_BYTES, 0x50000);
    image_arena(image, other, other_top, IMAGE_HEAP_BYTES - 0x5010, IMAGE_HEAP_BYTES, 0x40000);
    image_set(image, IMAGE_MAIN + ARENA_NEXT, other);
    image_set(image, other + ARENA_NEXT, IMAGE_MAIN);
    image_set(image, IMAGE_HEAP, other);
    image_set(image, IMAGE_HEAP + 16, IMAGE_HEAP_BYTES);

    image_free(image, IMAGE_MAIN, 1, IMAGE_BRK + 0x1000, 0x2510); /* unsorted */
    image_free(image, IMAGE_MAIN, 1, IMAGE_BRK + 0x4000, 0x40);
    image_free(image, IMAGE_MAIN, 5, IMAGE_BRK + 0x4100, 0x50);
    image_free(image, IMAGE_MAIN, 64, IMAGE_BRK + 0x5000, 0x400);
    image_free(image, IMAGE_MAIN, 113, IMAGE_BRK + 0x6000, 0x3000);
    image_free_fast(image, IMAGE_MAIN, 0, IMAGE_BRK + 0x4200, layout->hides_links);
    image_free_fast(image, IMAGE_MAIN, 0, IMAGE_BRK + 0x4240, layout->hides_links);
    image_free_fast(image, other, 9, IMAGE_HEAP + 0x4000, layout->hides_links);
    image_free(image, other, 2, IMAGE_HEAP + 0x4800, 0x20);

    image_par(image, layout, EBB_GLIBC_PAR_TRIM_THRESHOLD, 41951232);
    image_par(image, layout, EBB_GLIBC_PAR_TOP_PAD, 131072);
    image_par(image, layout, EBB_GLIBC_PAR_MMAP_THRESHOLD, 20975616);
    image_par(image, layout, EBB_GLIBC_PAR_ARENA_TEST, 8);
    image_par(image, layout, EBB_GLIBC_PAR_MMAPS, 3);
    image_par(image, layout, EBB_GLIBC_PAR_MMAPS_PEAK, 7);
    image_par(image, layout, EBB_GLIBC_PAR_MMAPS_MAX, 65536);
    image_par(image, layout, EBB_GLIBC_PAR_MAPPED, 0x80000);
    image_par(image, layout, EBB_GLIBC_PAR_MAPPED_PEAK, 0x90000);
    image_par(image, layout, EBB_GLIBC_PAR_SBRK_BASE, IMAGE_BRK);
    image_par(image, layout, EBB_GLIBC_PAR_TCACHE_BINS, 64);
    image_par(image, layout, EBB_GLIBC_PAR_TCACHE_COUNT, 7);
    image_par(image, layout, EBB_GLIBC_PAR_TCACHE_MAX, 1032);
    return image;
}

static inline struct ebb_glibc_process *image_process(struct image *image)
{
    struct ebb_glibc_process *process = calloc(1, sizeof(*process));

    if (process == NULL)
        abort();
    process->peek = image_peek;
    process->context = image;
    process->page_bytes = 4096;
    process->data_start = IMAGE_DATA;
    process->data_end = IMAGE_DATA + IMAGE_DATA_BYTES;
    process->heap_start = IMAGE_BRK;
    process->heap_end = IMAGE_BRK + IMAGE_BRK_BYTES;
    return process;
}

#endif
