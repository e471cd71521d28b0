/* SPDX-License-Identifier: MIT
 *
 * The rooms of the caches and what they share; for src/cache only.
 *
 *   cache.c        what happens on a miss                       (its thread alone)
 *   thread.c       a cache's life: made, taken back, flushed     lock: list, the thread's
 *   drain.c        emptying the caches of threads that sleep     lock: list, the threads'
 *   shelf.c        spans that a thread freed lately              (its thread alone)
 *   magazine.c     magazines and the stacks that exchange them   no lock
 *   cache_stats.c  sums and the checker
 */
#ifndef EBB_CACHE_CACHE_PRIV_H
#define EBB_CACHE_CACHE_PRIV_H

#include "cache/magazine_priv.h"
#include "ledger/ledger.h"
#include "stats/stats.h"

/* Every cache, oldest visit first. */
struct cache_list {
    struct thread_cache *first, *last;
};
extern struct cache_list ebb__caches;
extern struct ebb_lock ebb__caches_lock; /* EBB_RANK_CACHES */
extern _Atomic uint32_t ebb__cache_count;
extern bool ebb__caches_off;

/* pre: list lock held */
void ebb__cache_link(struct thread_cache *tc);
void ebb__cache_unlink(struct thread_cache *tc);

/* In the low bits of `mine`: it is laid aside, and what it was then. */
enum { EBB_ASIDE = 1, EBB_ASIDE_BUSY = 2, EBB_ASIDE_CLOSED = 4, EBB_ASIDE_GONE = 8 };

/* A thread's `mine`, if it can be used now. */
EBB_INLINE struct thread_cache *ebb__cache_usable(struct thread_cache *mine)
{
    return ((uintptr_t)mine & EBB_ASIDE) != 0 ? NULL : mine;
}

/* Not one of the constant caches. */
bool ebb__cache_is_real(const struct thread_cache *tc);

/* Begins an operation of the calling thread on its own cache, which is made or taken back if need be; NULL when the thread
 * shall have none. Ends with ebb__cache_leave(), unless NULL. */
struct thread_cache *ebb__cache_enter_mine(void);

/* Points a thread at the empty constant cache. pre: its lock held */
void ebb__cache_close(struct ebb_thread *t);

/* Gives all blocks of a cache to the slabs and its magazines back. Returns the blocks.
 * pre: the thread's lock is held and its thread is not inside; or it is the calling thread's */
size_t ebb__cache_flush(struct thread_cache *tc);

/* What one thread's classes and shelf may hold together now. A thread has two magazines of a class, hence half of its part. */
size_t ebb__cache_share_bytes(void);

/* Gives the spans of a cache to the heap. Returns their number. pre: as ebb__cache_flush(), or inside an operation */
size_t ebb__cache_flush_shelf(struct span_shelf *shelf);

/* Copies what is in the bin's registers into its loaded magazine. */
EBB_INLINE void ebb__cache_unload(struct cache_bin *bin)
{
    if (bin->loaded == NULL)
        return;
    bin->loaded->limit = (uint8_t)(bin->limit - bin->loaded->slots);
    __atomic_store_n(&bin->loaded->count, (uint16_t)(bin->top - bin->loaded->slots), __ATOMIC_RELAXED);
}

#endif
