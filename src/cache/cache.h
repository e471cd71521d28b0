/* SPDX-License-Identifier: MIT
 *
 * Door of the thread caches: the way of a block that is served without a lock.
 *
 * One TLS pointer leads to the thread's cache; it has, for each class, a loaded magazine (an array of block
 * pointers used as a stack) and a previous one. Until a thread's first miss, and again after its end, the
 * pointer leads to a constant cache that is both empty and full, so the two functions below have no test for
 * it: they miss.
 *
 * Cost: a hit loads the TLS pointer, the class, the top, the slot, and stores the top. A free also looks the
 * unit map up and refuses what is no block by one multiplication. No atomic operation, no fence.
 */
#ifndef EBB_CACHE_H
#define EBB_CACHE_H

#include "base/base.h"
#include "heap/heap.h"

struct magazine;

/* One class in one thread's cache. Only its thread writes it; others read `top`, `loaded` and `prev` for statistics, so
 * these are written by relaxed atomic stores. */
struct cache_bin {
    void **top;   /* next free slot of the loaded magazine; top[-1] is the next block, NULL at the bottom */
    void **limit; /* end of the slots in use; top == limit: full */
    struct magazine *loaded;
    struct magazine *prev; /* full, empty or NULL */
};

#define EBB_CACHE_BINS (EBB_USER_CLASSES + 1)

struct thread_cache {
    struct cache_bin bins[EBB_CACHE_BINS];  /* [0] is for no class */
    struct thread_cache *next, *prev_cache; /* list of all caches; guarded by its lock */
    uint32_t room_bytes;                    /* what one magazine of each class may hold, summed */
    uint8_t fill[EBB_CACHE_BINS];           /* how many blocks the last refill took */
    uint8_t room[EBB_CACHE_BINS];           /* how many blocks a magazine may hold now; grows with use */
};

extern EBB_TLS struct thread_cache *ebb__thread_cache;

/* A block of class c, or NULL: miss. pre: 1 <= c <= EBB_USER_CLASSES */
EBB_INLINE void *ebb__cache_get(unsigned c)
{
    struct cache_bin *bin = &ebb__thread_cache->bins[c];
    void **top = bin->top;
    void *block = top[-1];
    if (EBB_LIKELY(block != NULL))
        __atomic_store_n(&bin->top, top - 1, __ATOMIC_RELAXED);
    return block;
}

enum ebb_put {
    EBB_PUT_DONE,
    EBB_PUT_FULL,  /* a small block; ebb__cache_put_slow() takes it */
    EBB_PUT_OTHER, /* not a small block of ours: NULL, span, lane, foreign, invalid */
    EBB_PUT_TWICE  /* the block on top of the magazine: freed twice */
};

/* Caches a block that the caller gives back. */
EBB_INLINE enum ebb_put ebb__cache_put(void *p)
{
    if (EBB_UNLIKELY(!ebb__is_owned(p)))
        return EBB_PUT_OTHER;
    unsigned entry = ebb__unit_entry(p), c = entry & 0xff;
    if (EBB_UNLIKELY(!ebb__starts_block(ebb__slab_offset(entry, p), ebb__user_magic[c])))
        return EBB_PUT_OTHER;
    struct cache_bin *bin = &ebb__thread_cache->bins[c];
    void **top = bin->top;
    if (EBB_UNLIKELY(top == bin->limit))
        return EBB_PUT_FULL;
    if (EBB_UNLIKELY(top[-1] == p))
        return EBB_PUT_TWICE;
    *top = p;
    __atomic_store_n(&bin->top, top + 1, __ATOMIC_RELAXED);
    return EBB_PUT_DONE;
}

/* After a miss: refills and returns a block, or NULL when the kernel refuses memory. */
void *ebb__cache_get_slow(unsigned c);

/* After EBB_PUT_FULL. `caller` is named should the block turn out to be free already. */
void ebb__cache_put_slow(void *p, const char *caller);

/* Empties the calling thread's cache into the slabs. */
void ebb__cache_flush_thread(void);

/* Empties the depot into the slabs. */
void ebb__cache_flush_depot(void);

/* Applies the options: with caches off, the calling thread's is emptied and no other is made.
 * pre: no other thread exists yet */
void ebb__cache_configure(void);

/* Blocks and bytes that caches and depot hold. Other threads' counts are read while they change: exact when
 * they rest. */
void ebb__cache_stats(size_t *ret_blocks, size_t *ret_bytes);

/* In a fork child: forgets the caches of the other threads. */
void ebb__cache_after_fork(void);

/* Checks the calling thread's cache and the depot. 0 or -EUCLEAN after a line naming the invariant. */
int ebb__cache_check(void);

#endif
