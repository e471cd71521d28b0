/* SPDX-License-Identifier: MIT
 *
 * <ebb/region.h>: regions, memory that is allocated piece by piece and given back as a whole (MySQL's mem_root).
 *
 * Caveats first
 *  - A region belongs to one thread at a time. Nothing here takes a lock for you: two threads in one region at the same time
 *    corrupt it. Handing a region from one thread to another, with any synchronisation between them, is fine.
 *  - There is no free of a single piece, and no usable size. What was allocated lives until a rollback to a mark made before
 *    it, a reset, or the end of the region. Never give a piece of a region to free() or ebb_free().
 *  - Marks nest. Rolling back to a mark makes all later marks invalid, a reset makes all of them invalid. A mark whose block
 *    is gone ends the process with one line; one that is out of date in another way is not noticed.
 *  - The pieces of a region lie side by side: writing past the end of one destroys the next. To find who does, run under
 *    AddressSanitizer or valgrind (both are told what may be touched: a read after a reset or rollback is reported), or
 *    set EBB_REGION_POISON or EBB_MALLOC=region_poison:1.
 *  - Memory is held by blocks, which are larger than what was asked for: limits and `held_bytes` count blocks.
 *  - Blocks come from ebb's heap, also where malloc is another allocator's.
 *
 * What happens when. The region lies in its own first block, so an empty region is one allocation. When a block is full the
 * next one has twice its size, from `block_bytes` to `max_block_bytes`; a request above a quarter of that gets a block of
 * its own, and the current block goes on serving. Blocks that a reset or rollback keeps for the next use are given back when
 * nobody has used them for half a second to a second (a few seconds in a process that is otherwise idle; not at all
 * in one without a background thread, see ebb-malloc(7), that calls nothing), when uses of the last 16 to 32 rounds needed less than
 * a quarter of them, by ebb_trim(), before the region's limit refuses anything, and when a limit of the process, the heap or the
 * region's account is met, pressure is felt, or ebb_budget_reclaim() asks: they are the shrinker "idle regions" of <ebb/budget.h>,
 * price 100, after free memory and before whatever a program has registered above that.
 *
 * Coming from mem_root
 *      MySQL 5.7, MariaDB                             here
 *      init_alloc_root(root, block, prealloc)         ebb_region_create() with block_bytes and first_bytes
 *      alloc_root, strdup_root, memdup_root           ebb_region_alloc, _strdup, _memdup
 *      free_root(root, MY_MARK_BLOCKS_FREE)           ebb_region_reset(region, EBB_REGION_KEEP_ALL)
 *      free_root(root, MY_KEEP_PREALLOC)              ebb_region_reset(region, EBB_REGION_KEEP_FIRST)
 *      free_root(root, 0)                             ebb_region_destroy(), or as above
 *      MySQL 8.0
 *      MEM_ROOT::Alloc, set_max_capacity              ebb_region_alloc, ebb_region_limit
 *      set_error_for_capacity_exceeded(false)         over_limit() that makes a note and returns 1
 *      MEM_ROOT::ClearForReuse                        ebb_region_reset(region, EBB_REGION_KEEP_LARGEST)
 *      MEM_ROOT::Clear                                ebb_region_reset(region, EBB_REGION_KEEP_FIRST)
 *
 * Errors: pointers are NULL with errno set; other functions return 0 or a negative errno. A failed call has changed nothing but
 * that kept blocks may be gone. Misuse that is noticed ends the process with one line that begins "ebb: ".
 * fork: the child owns copies of the regions of the thread that forked and may go on with them; those of other threads are lost.
 * Sizes are in bytes.
 */
#ifndef EBB_REGION_H
#define EBB_REGION_H

#include <stddef.h>
#include <stdint.h>

#include <ebb/malloc.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The part of a region that ebb_region_alloc() works with; the rest is the library's. Read nothing of it, copy nothing. */
struct ebb_region {
    char *cursor;      /* where the next piece begins */
    char *limit;       /* end of what can be handed out without asking the library */
    size_t align_mask; /* -16 or -8 */
};

/* ---- life ---- */

#define EBB_REGION_ALIGN_8 1u /* pieces are aligned to 8 bytes instead of 16 */
#define EBB_REGION_POISON                                                                                    \
    2u /* free bytes are filled, and looked at when they are handed out: slow, finds late writers */
/* Kept blocks stay however long nobody uses them, and whoever else needs memory: neither time, ebb_trim() nor the budget takes them, at
 * any urgency. They still go by the region's own need: few of them used, its limit, its account's limit when it charges itself. */
#define EBB_REGION_KEEPS_IDLE 4u

struct ebb_budget_account; /* <ebb/budget.h> */

/* What a region is to be like; 0 is the default of each. Grows at its end in later versions: set size_of_struct =
 * sizeof(struct ebb_region_options), and everything else to 0 first. */
struct ebb_region_options {
    size_t size_of_struct;
    size_t first_bytes;     /* to be had from the first block, the region's own allocation; about 700 */
    size_t block_bytes;     /* size of the second block; 8 KiB */
    size_t max_block_bytes; /* size that blocks stop growing at; 1 MiB */
    size_t limit_bytes;     /* most that blocks may hold together; none */
    unsigned flags;         /* EBB_REGION_* */
    /* Called when the limit would be passed by wanted_bytes more. 1: go on, above the limit; 0: refuse. It may
     * call ebb_region_limit() and ebb_region_stats_get(), nothing else of this region. NULL refuses. */
    int (*over_limit)(struct ebb_region *region, size_t wanted_bytes, void *arg);
    void *arg; /* of over_limit */
    /* Charged for the bytes of all blocks, by credit of the thread; its limits refuse as limit_bytes does. Made below
     * ebb_budget_heap(), because blocks of the heap are what a region is made of; must outlive the region. NULL: nobody. */
    struct ebb_budget_account *account;
};

/* A region; options NULL: the defaults. NULL with ENOMEM, or EINVAL when options are not of a known size, a flag is
 * unknown, or first_bytes, block_bytes or max_block_bytes are above 1 GiB. Cost: as ebb_malloc() of the first block. */
EBB_API struct ebb_region *ebb_region_create(const struct ebb_region_options *options);

/* Runs all cleanups and gives everything back. NULL is allowed. Keeps errno. */
EBB_API void ebb_region_destroy(struct ebb_region *region);

/* ---- memory ---- */

/* Slow half of ebb_region_alloc(). */
EBB_API void *ebb_region_alloc_slow(struct ebb_region *region, size_t size_bytes);

/* A piece of at least `size_bytes`, its content undefined, or NULL with ENOMEM. Size 0 gives a pointer that is not NULL, must
 * not be used, and may be that of another piece. Cost: some ten instructions; once in a block, a block. */
static inline void *ebb_region_alloc(struct ebb_region *region, size_t size_bytes)
{
    char *piece = region->cursor;
    if (__builtin_expect(size_bytes > (size_t)(region->limit - piece), 0))
        return ebb_region_alloc_slow(region, size_bytes);
    /* Rounded up. No overflow: both ends are aligned, so what fits also fits when rounded. */
    region->cursor = piece + (0 - ((0 - size_bytes) & region->align_mask));
    return piece;
}

/* The same, at a multiple of `alignment_bytes`, a power of two; NULL with EINVAL when it is not. */
EBB_API void *ebb_region_alloc_aligned(struct ebb_region *region, size_t alignment_bytes, size_t size_bytes);

/* Zeroed room for `count` elements of `size_bytes` each; NULL with ENOMEM, also when the product overflows. */
EBB_API void *ebb_region_calloc(struct ebb_region *region, size_t count, size_t size_bytes);

/* Copies into the region: of a string, of a string of at most `most_bytes` (the copy ends with a NUL), of bytes. */
EBB_API char *ebb_region_strdup(struct ebb_region *region, const char *text);
EBB_API char *ebb_region_strndup(struct ebb_region *region, const char *text, size_t most_bytes);
EBB_API void *ebb_region_memdup(struct ebb_region *region, const void *bytes, size_t size_bytes);

/* ---- giving back ---- */

/* How far a region was filled at some instant. */
struct ebb_region_mark {
    void *block;
    void *apart;
    void *cleanup;
    char *cursor;
};

/* Cost: four loads. */
EBB_API struct ebb_region_mark ebb_region_mark(const struct ebb_region *region);

/* Everything allocated since the mark is gone; cleanups registered since then have run, the last one first. The largest of
 * the blocks that become free is kept for the next use. Keeps errno. Cost: that of the blocks that become free. */
EBB_API void ebb_region_rollback(struct ebb_region *region, struct ebb_region_mark mark);

/* What a reset keeps for the next use besides the first block. Blocks of single large requests are never kept. */
enum ebb_region_keep {
    EBB_REGION_KEEP_FIRST,   /* nothing; growth begins anew */
    EBB_REGION_KEEP_LARGEST, /* the largest block */
    EBB_REGION_KEEP_ALL      /* all blocks */
};

/* Everything is gone, as when all of it was rolled back; the region can be used again. Keeps errno. */
EBB_API void ebb_region_reset(struct ebb_region *region, enum ebb_region_keep keep);

/* ---- cleanups ---- */

/* Calls fn(arg) when what is allocated now goes: at a rollback to a mark made before, a reset, or the end of the region; once, in
 * reverse order, before any memory is given back. It may use the region's memory, allocate from it, and register and cancel
 * cleanups; it must not roll back, reset or destroy this region. 0 or -ENOMEM: then fn will not be called.
 * Cost: a piece of 24 bytes. */
EBB_API int ebb_region_cleanup_add(struct ebb_region *region, void (*fn)(void *arg), void *arg);

/* Takes back the last registration of fn with arg; marks stay good. 0, or -ENOENT. Cost: looks through those that came later. */
EBB_API int ebb_region_cleanup_cancel(struct ebb_region *region, void (*fn)(void *arg), void *arg);

/* ---- limits and figures ---- */

/* Sets the most that the region's blocks may hold together; 0: no limit; a negative value only asks. What is held already stays.
 * Returns the limit before. */
EBB_API int64_t ebb_region_limit(struct ebb_region *region, int64_t limit_bytes);

/* Grows at its end in later versions: set size_of_struct = sizeof(struct ebb_region_stats) before the call. */
struct ebb_region_stats {
    size_t size_of_struct;
    size_t
        used_bytes; /* in pieces, rounded to their alignment; what blocks could not use at their ends does not count */
    size_t held_bytes;     /* in blocks, the first one and kept ones included */
    size_t kept_bytes;     /* of those, in blocks kept for the next use */
    size_t peak_bytes;     /* most that was held */
    size_t limit_bytes;    /* 0: none */
    uint64_t blocks_taken; /* from the heap, the first one included, since the region was made; a count */
    size_t cleanups;       /* registered now; a count */
};

/* Fills *ret_stats. 0, or -EINVAL when size_of_struct is unknown. Cost: looks at every block and cleanup. */
EBB_API int ebb_region_stats_get(const struct ebb_region *region, struct ebb_region_stats *ret_stats);

/* Walks the region and checks every invariant. 0, or -EUCLEAN after one line on standard error that names the broken one. */
EBB_API int ebb_region_check(const struct ebb_region *region);

#ifdef __cplusplus
}
#endif
#endif
