/* SPDX-License-Identifier: MIT
 *
 * Where things are: addresses turned into metadata by arithmetic alone.
 *
 *   group    128 MiB, aligned: 64 extents; extent 0 holds the metadata of the group, the rest holds blocks
 *   extent   2 MiB, aligned: 512 units
 *   unit     4 KiB, whatever the machine's page size
 *
 *   group:   | extent 0: metadata | extent 1 | extent 2 | ...                                | extent 63 |
 *   extent 0: 0        unit map       uint16 for each of the 32,768 units of the group   64 KiB
 *             64 KiB   struct group   free extents, index of runs                        <= 4 KiB
 *             68 KiB   struct extent  192 bytes for each of the 64 extents               12 KiB
 *             80 KiB   unit desc      32 bytes for each unit from extent 1 on            1,008 KiB
 *
 * Only what is touched of this costs memory: about 1 % of the blocks' memory, and 4 pages at the least. All
 * of it begins as zero, and zero means "never used", so metadata of emptied groups can be purged with the
 * blocks.
 *
 * The unit map is all that the way of a block reads: low byte the class code, high byte the distance in units
 * from the head of the slab. A table of one byte for each 128 MiB of the address space says which groups are
 * ours; so a lookup is valid for any pointer whatever.
 */
#ifndef EBB_HEAP_LAYOUT_H
#define EBB_HEAP_LAYOUT_H

#include "base/base.h"

#define EBB_UNIT_SHIFT    12
#define EBB_UNIT_BYTES    ((size_t)1 << EBB_UNIT_SHIFT)
#define EBB_EXTENT_SHIFT  21
#define EBB_EXTENT_BYTES  ((size_t)1 << EBB_EXTENT_SHIFT)
#define EBB_EXTENT_UNITS  512u
#define EBB_GROUP_SHIFT   27
#define EBB_GROUP_BYTES   ((size_t)1 << EBB_GROUP_SHIFT)
#define EBB_GROUP_UNITS   32768u
#define EBB_GROUP_EXTENTS 64u

/* User space of both architectures ends at 2^47 or 2^48; larger values are never ours. */
#define EBB_ADDRESS_BITS 48
#define EBB_OWNED_COUNT  ((size_t)1 << (EBB_ADDRESS_BITS - EBB_GROUP_SHIFT))

/* Low byte of a unit map entry. 0 is "no block begins in or covers this unit". */
#define EBB_CODE_NONE 0u
#define EBB_CODE_SPAN 255u /* first unit of a span; its other units are EBB_CODE_NONE */

/* 1 where the group's metadata is readable. Written under the space lock, before a block of the group is
 * handed out. */
extern _Atomic uint8_t ebb__owned[EBB_OWNED_COUNT];

EBB_INLINE bool ebb__is_owned(const void *p)
{
    uintptr_t g = (uintptr_t)p >> EBB_GROUP_SHIFT;
    return g < EBB_OWNED_COUNT && atomic_load_explicit(&ebb__owned[g], memory_order_relaxed) != 0;
}

/* The unit map entry for p. pre: ebb__is_owned(p) */
EBB_INLINE unsigned ebb__unit_entry(const void *p)
{
    const _Atomic uint16_t *map = (const _Atomic uint16_t *)((uintptr_t)p & ~(EBB_GROUP_BYTES - 1));
    return atomic_load_explicit(&map[((uintptr_t)p >> EBB_UNIT_SHIFT) & (EBB_GROUP_UNITS - 1)],
                                memory_order_relaxed);
}

/* Distance of p from the start of its slab. */
EBB_INLINE uint32_t ebb__slab_offset(unsigned entry, const void *p)
{
    return ((entry >> 8) << EBB_UNIT_SHIFT) | (uint32_t)((uintptr_t)p & (EBB_UNIT_BYTES - 1));
}

#endif
