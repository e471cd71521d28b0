/* SPDX-License-Identifier: MIT
 * The tables of size classes; every relation that the arithmetic of slabs relies on is asserted when
 * compiled. */
#include "heap/size_class.h"

#include "heap/heap_priv.h"

#define MAGIC(size) ((uint32_t)(((UINT64_C(1) << 32) + (size)-1) / (size)))

#define SEED_BLOCKS_MAX 128u /* the bitmap of one unit has no more bits */

#define EIGHTH(n) ((uint32_t)(((UINT64_C(8) << 28) + (n)-1) / (n)))

/* ROW(size, units, blocks) for the 8 classes that end at a doubling: unit m * 2^k for m = 9..15, then 16. */
#define DOUBLING(ROW, step, per_slab)                                                                        \
    ROW((step)*9, 9, per_slab)                                                                               \
    ROW((step)*10, 10, per_slab)                                                                             \
    ROW((step)*11, 11, per_slab)                                                                             \
    ROW((step)*12, 12, per_slab)                                                                             \
    ROW((step)*13, 13, per_slab)                                                                             \
    ROW((step)*14, 14, per_slab)                                                                             \
    ROW((step)*15, 15, per_slab)

/* 16-byte blocks leave the last 2 KiB of their slab unused: its bitmap has no room for them. */
#define USER_CLASSES(ROW)                                                                                    \
    ROW(16, 8, 1920)                                                                                         \
    ROW(32, 8, 1024)                                                                                         \
    ROW(48, 9, 768)                                                                                          \
    ROW(64, 8, 512)                                                                                          \
    ROW(80, 5, 256)                                                                                          \
    ROW(96, 9, 384)                                                                                          \
    ROW(112, 7, 256)                                                                                         \
    ROW(128, 8, 256)                                                                                         \
    DOUBLING(ROW, 16, 256)                                                                                   \
    ROW(256, 8, 128)                                                                                         \
    DOUBLING(ROW, 32, 128)                                                                                   \
    ROW(512, 8, 64)                                                                                          \
    DOUBLING(ROW, 64, 64)                                                                                    \
    ROW(1024, 8, 32)                                                                                         \
    DOUBLING(ROW, 128, 32)                                                                                   \
    ROW(2048, 8, 16)                                                                                         \
    DOUBLING(ROW, 256, 16)                                                                                   \
    ROW(4096, 8, 8)                                                                                          \
    DOUBLING(ROW, 512, 8)                                                                                    \
    ROW(8192, 8, 4)                                                                                          \
    DOUBLING(ROW, 1024, 4)                                                                                   \
    ROW(16384, 8, 2)                                                                                         \
    DOUBLING(ROW, 2048, 2)                                                                                   \
    ROW(32768, 16, 2)

/* Our own blocks, in the order of the enum. */
#define INTERNAL_CLASSES(ROW)                                                                                \
    ROW(128, 4, 128)                                                                                         \
    ROW(256, 4, 64)                                                                                          \
    ROW(512, 4, 32)                                                                                          \
    ROW(1024, 4, 16)                                                                                         \
    ROW(EBB_CACHE_BYTES, 5, 5 * 4096 / EBB_CACHE_BYTES)

#define CLASS_ROW(size, n_units, n_blocks)                                                                   \
    {.bytes = (size),                                                                                        \
     .magic = MAGIC(size),                                                                                   \
     .eighth = EIGHTH(n_blocks),                                                                             \
     .blocks = (n_blocks),                                                                                   \
     .units = (n_units),                                                                                     \
     .seed_blocks = (uint8_t)(4096u / (size) < SEED_BLOCKS_MAX ? 4096u / (size) : SEED_BLOCKS_MAX)},

const struct ebb_class ebb__classes[EBB_CLASS_COUNT] = {{0, 0, 0, 0, 0, 0}, /* code 0 is no class */
                                                        USER_CLASSES(CLASS_ROW) INTERNAL_CLASSES(CLASS_ROW)};

#define MAGIC_ROW(size, n_units, n_blocks) MAGIC(size),
const uint32_t ebb__user_magic[256] = {0, USER_CLASSES(MAGIC_ROW)};

#define CHECK_ROW(size, n_units, n_blocks)                                                                   \
    EBB_STATIC_ASSERT((n_units) <= 16, "distance and offset fit the unit map and the divisibility test");    \
    EBB_STATIC_ASSERT((size) % 16 == 0, "blocks are aligned to 16");                                         \
    EBB_STATIC_ASSERT((size) * (n_blocks) <= (n_units)*4096, "blocks fit their slab");                       \
    EBB_STATIC_ASSERT((n_units)*4096 - (size) * (n_blocks) <= 2048, "less than 7 % of a slab is lost");      \
    EBB_STATIC_ASSERT((n_blocks) <= (n_units)*256 - 128, "the bitmap fits the unit descriptors");
USER_CLASSES(CHECK_ROW)
INTERNAL_CLASSES(CHECK_ROW)

#define COUNT_ROW(size, n_units, n_blocks) +1
EBB_STATIC_ASSERT(0 USER_CLASSES(COUNT_ROW) == EBB_USER_CLASSES, "codes 1..72");
EBB_STATIC_ASSERT(1 + EBB_USER_CLASSES + (0 INTERNAL_CLASSES(COUNT_ROW)) == EBB_CLASS_COUNT, "enum in step");

/* Request of i * 16 bytes: 16-byte steps to 256, 32 to 512, 64 to 1024. */
#define TABLE_ENTRY(i) ((i) == 0 ? 1 : (i) <= 16 ? (i) : (i) <= 32 ? 17 + ((i)-17) / 2 : 25 + ((i)-33) / 4)
#define TABLE_8(i)                                                                                           \
    TABLE_ENTRY(i), TABLE_ENTRY((i) + 1), TABLE_ENTRY((i) + 2), TABLE_ENTRY((i) + 3), TABLE_ENTRY((i) + 4),  \
        TABLE_ENTRY((i) + 5), TABLE_ENTRY((i) + 6), TABLE_ENTRY((i) + 7)

const uint8_t ebb__class_table[EBB_CLASS_TABLE_MAX / 16 + 1] = {TABLE_8(0),  TABLE_8(8),  TABLE_8(16),
                                                                TABLE_8(24), TABLE_8(32), TABLE_8(40),
                                                                TABLE_8(48), TABLE_8(56), TABLE_ENTRY(64)};

unsigned ebb__class_aligned(size_t bytes, size_t align)
{
    if (bytes > EBB_SMALL_MAX_BYTES || align > EBB_UNIT_BYTES)
        return 0;
    /* Slabs begin at a unit, so the blocks of a class are aligned to every power of two that divides its size. Classes near
     * the rounded size lie as far apart as the alignment, then it is one itself, or closer at all multiples of a smaller power of
     * two: in both cases the first one that is large enough is divisible. */
    return ebb__class_of(ebb__align_up(ebb__max(bytes, 1), align));
}
