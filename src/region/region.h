/* SPDX-License-Identifier: MIT
 *
 * Door of the regions: bump allocators that are freed as a whole. <ebb/region.h> is the manual; here is what differs below it.
 *
 * Functions of the same name do what the manual says, but errors are return values (NULL: memory or the limit refused it), and
 * nobody is called to look after the heap: floor 6 does both.
 *
 * Thread safety: a region belongs to one thread at a time; the functions on all regions may be called by any thread.
 */
#ifndef EBB_REGION_REGION_H
#define EBB_REGION_REGION_H

#include "base/base.h"
#include "ebb/region.h"
#include "heap/heap.h"

/* Those that return bool: whether blocks besides the first were kept or given back, so that somebody should look after them. */

/* pre: options are good, or NULL. NULL when memory is refused. */
struct ebb_region *ebb__region_create(const struct ebb_region_options *options);
bool ebb__region_destroy(struct ebb_region *region);

/* The options can be taken: 0, or -EINVAL. */
int ebb__region_options_check(const struct ebb_region_options *options);

/* A piece of any size at any alignment (a power of two), whether the current block has it or not. */
void *ebb__region_alloc(struct ebb_region *region, size_t bytes, size_t align);

struct ebb_region_mark ebb__region_mark(const struct ebb_region *region);
bool ebb__region_rollback(struct ebb_region *region, struct ebb_region_mark mark);
bool ebb__region_reset(struct ebb_region *region, enum ebb_region_keep keep);

int ebb__region_cleanup_add(struct ebb_region *region, void (*fn)(void *arg), void *arg);
int ebb__region_cleanup_cancel(struct ebb_region *region, void (*fn)(void *arg), void *arg);

int64_t ebb__region_limit(struct ebb_region *region, int64_t limit_bytes);
void ebb__region_stats(const struct ebb_region *region, struct ebb_region_stats *ret_stats);
int ebb__region_check(const struct ebb_region *region);

/* ---- where blocks of up to EBB_SMALL_MAX_BYTES come from ---- */

/* The heap, until the floor above knows better: threads' caches. Set before a second thread exists. A block of class c, NULL when
 * refused; and back. What one pair has given the other may take. */
struct ebb_region_source {
    void *(*take)(unsigned c, enum ebb_room room);
    void (*give)(unsigned c, void *block);
};
extern struct ebb_region_source ebb__region_source;

/* ---- kept blocks of all regions (keep.c) ---- */

/* Gives back what no region has used since the call before the last. Returns the bytes. Takes locks of rank EBB_RANK_REGIONS, and
 * the heap's, one after the other. Cost: ~50 ns a region that ever kept something, and that of the blocks. */
size_t ebb__region_decay(void);

/* The same for all kept blocks, used lately or not, but for those of EBB_REGION_KEEPS_IDLE. */
size_t ebb__region_decay_all(void);

/* False: there is nothing to decay, and who makes something sets EBB_UPKEEP_REGIONS after this was asked. */
bool ebb__region_is_any_kept(void);

/* In a fork child: regions are found again when they next keep something. */
void ebb__region_after_fork(void);

#endif
