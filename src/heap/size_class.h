/* SPDX-License-Identifier: MIT
 *
 * Size classes: which block serves a request, and how many of them a slab holds.
 *
 * 16 to 128 bytes in steps of 16, then 8 steps a doubling up to 32 KiB: waste is below 16 bytes or 12.5 %. A
 * slab of the class m * 2^k (m = 8..15) is m units long where it can be, so its blocks fill it exactly.
 * Codes 1..72 are what malloc serves, 73.. are our own blocks (magazines, thread caches), kept in slabs of
 * their own so that an overflow in the program does not meet them.
 */
#ifndef EBB_HEAP_SIZE_CLASS_H
#define EBB_HEAP_SIZE_CLASS_H

#include "base/base.h"

#define EBB_SMALL_MAX_BYTES 32768u
#define EBB_USER_CLASSES    72u /* codes 1..72 */

enum {
    EBB_CLASS_MAG_128 = EBB_USER_CLASSES + 1, /* magazines by their bytes */
    EBB_CLASS_MAG_256,
    EBB_CLASS_MAG_512,
    EBB_CLASS_MAG_1024,
    EBB_CLASS_CACHE, /* a thread's cache */
    EBB_CLASS_END
};
#define EBB_CLASS_COUNT ((unsigned)EBB_CLASS_END)

#define EBB_CLASS_TABLE_MAX 1024u

struct ebb_class {
    uint32_t bytes;
    uint32_t magic; /* ceil(2^32 / bytes): offset * magic >> 32 is the block's index */
    uint32_t
        eighth; /* ceil(2^28 * 8 / blocks): (nfree - 1) * eighth >> 28 is 0..7, by how much of a slab is free */
    uint16_t blocks;     /* in a slab */
    uint8_t units;       /* of a slab */
    uint8_t seed_blocks; /* in a seed, a slab of one unit; 0: the class has none */
};

extern const struct ebb_class ebb__classes[EBB_CLASS_COUNT];

/* magic of the classes that free() may see, 0 for every other code: one comparison refuses spans, free units,
 * our own blocks and pointers into the middle of a block. */
extern const uint32_t ebb__user_magic[256];

/* Class of requests up to 1 KiB, by 16 bytes. */
extern const uint8_t ebb__class_table[EBB_CLASS_TABLE_MAX / 16 + 1];

/* pre: bytes <= EBB_SMALL_MAX_BYTES. Size 0 gets the smallest class. */
EBB_INLINE unsigned ebb__class_of(size_t bytes)
{
    if (EBB_LIKELY(bytes <= EBB_CLASS_TABLE_MAX))
        return ebb__class_table[(bytes + 15) >> 4];
    unsigned doubling = ebb__log2(bytes - 1);
    return (doubling - 7) * 8 + 9 + ((unsigned)((bytes - 1) >> (doubling - 3)) & 7);
}

/* True when `offset` into a slab is the start of a block: the divisibility test of Lemire, Kaser and Kurz
 * (2019), exact for slabs up to 64 KiB and blocks up to 32 KiB. False for magic 0. */
EBB_INLINE bool ebb__starts_block(uint32_t offset, uint32_t magic)
{
    return (uint32_t)(offset * magic) < magic;
}

EBB_INLINE unsigned ebb__block_index(uint32_t offset, uint32_t magic)
{
    return (unsigned)(((uint64_t)offset * magic) >> 32);
}

/* The smallest class whose blocks hold `bytes` and are aligned to `align`, or 0 when only a span can.
 * pre: align a power of two */
unsigned ebb__class_aligned(size_t bytes, size_t align);

#endif
