/* SPDX-License-Identifier: MIT
 *
 * Door of the thread caches: the way of a block that is served without a lock.
 *
 * A thread's `cache` pointer leads to its cache; it has, for each class, a loaded magazine (an array of block
 * pointers used as a stack) and a previous one. Until a thread's first miss, while its cache is revoked, and after its
 * end, the pointer leads to a constant cache that is both empty and full, so the two functions below have no test for
 * it: they miss.
 *
 * `busy` is the owner's half of an asymmetric lock. It is set, by a plain store, before the pointer is read, and cleared
 * after the last store to the cache; the other half (drain.c) revokes the pointer, passes a barrier that all processors
 * take part in, and finds either the flag of an operation that began before, or a cache that nobody will touch.
 *
 * Cost: a hit sets the flag, loads the pointer, the class, the top, the slot, stores the top and clears the flag. A free
 * also looks the unit map up and refuses what is no block by one multiplication. No atomic operation, no fence.
 */
#ifndef EBB_CACHE_H
#define EBB_CACHE_H

#include "base/base.h"
#include "heap/heap.h"

struct magazine;

/* One class in one thread's cache. Its thread writes it, or the drainer when it has revoked the cache; others read `top`,
 * `loaded` and `prev` for statistics, so these are written by relaxed atomic stores. */
struct cache_bin {
    void **top;   /* next free slot of the loaded magazine; top[-1] is the next block, NULL at the bottom */
    void **limit; /* end of the slots in use; top == limit: full */
    struct magazine *loaded;
    struct magazine *prev; /* full, empty or NULL */
};

#define EBB_CACHE_BINS (EBB_USER_CLASSES + 1)

#define EBB_SHELF_SPANS 8u

/* The spans that one thread freed last, the oldest first. Like the bins; `count` and `units` are read by others. */
struct span_shelf {
    uint32_t count;
    uint32_t units; /* of all of them */
    void *blocks[EBB_SHELF_SPANS];
    uint16_t lengths[EBB_SHELF_SPANS]; /* in units */
};

struct thread_cache {
    struct cache_bin bins[EBB_CACHE_BINS];  /* [0] is for no class */
    struct thread_cache *next, *prev_cache; /* list of all caches; guarded by its lock */
    struct ebb_thread *owner;               /* its thread's room in TLS */
    uint32_t age;                           /* ebb__cache_age() at its last miss */
    uint32_t room_bytes;                    /* what one magazine of each class may hold, summed */
    struct span_shelf shelf;
    uint8_t fill[EBB_CACHE_BINS]; /* how many blocks the last refill took */
    uint8_t room[EBB_CACHE_BINS]; /* how many blocks a magazine may hold now; grows with use */
};

/* What each thread has in TLS. */
struct ebb_thread {
    struct thread_cache *cache; /* the way of a block: `mine`, or a constant cache. Written under `lock` */
    uint32_t busy; /* 1 while the thread may be touching what `cache` led to. Written by its thread alone */
    struct ebb_lock lock; /* EBB_RANK_THREAD */
    struct thread_cache
        *mine; /* the thread's cache, NULL when it has none; while that is laid aside, with a mark
                                * (thread.c). Written under `lock` */
};
extern EBB_TLS struct ebb_thread ebb__thread;

/* Begins an operation on what the thread's pointer leads to, and ends it. */
EBB_INLINE struct thread_cache *ebb__cache_enter(void)
{
    __atomic_store_n(&ebb__thread.busy, 1, __ATOMIC_RELAXED);
    /* The compiler keeps the order; the processor need not: pairs with ebb__os_barrier() in ebb__cache_revoke(). */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return __atomic_load_n(&ebb__thread.cache, __ATOMIC_RELAXED);
}

EBB_INLINE void ebb__cache_leave(void)
{
    /* release: all that was done to the cache; pairs with the acquire in drain.c */
    __atomic_store_n(&ebb__thread.busy, 0, __ATOMIC_RELEASE);
}

/* A block of class c, or NULL: miss. pre: 1 <= c <= EBB_USER_CLASSES */
EBB_INLINE void *ebb__cache_get(unsigned c)
{
    struct cache_bin *bin = &ebb__cache_enter()->bins[c];
    EBB_KEEP(bin);
    void **top = bin->top;
    void *block = top[-1];
    if (EBB_LIKELY(block != NULL))
        __atomic_store_n(&bin->top, top - 1, __ATOMIC_RELAXED);
    ebb__cache_leave();
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
    struct cache_bin *bin = &ebb__cache_enter()->bins[c];
    EBB_KEEP(bin);
    void **top = bin->top;
    enum ebb_put done = EBB_PUT_DONE;
    if (EBB_UNLIKELY(top == bin->limit)) {
        done = EBB_PUT_FULL;
    } else if (EBB_UNLIKELY(top[-1] == p)) {
        done = EBB_PUT_TWICE;
    } else {
        *top = p;
        __atomic_store_n(&bin->top, top + 1, __ATOMIC_RELAXED);
    }
    ebb__cache_leave();
    return done;
}

/* After a miss: refills and returns a block, or NULL when memory is refused. */
void *ebb__cache_get_slow(unsigned c, enum ebb_room room);

/* After EBB_PUT_FULL. `caller` is named should the block turn out to be free already. */
void ebb__cache_put_slow(void *p, const char *caller);

/* ---- spans (shelf.c) ---- */

/* As ebb__heap_span_alloc() and ebb__heap_span_if_room(), but first from what this thread has freed lately. */
void *ebb__cache_span_alloc(size_t bytes, size_t align_bytes, bool zeroed);
void *ebb__cache_span_if_room(size_t bytes);

/* Keeps a span, or gives it to the heap. Dies, naming it, when another thread has freed it in this instant.
 * pre: ebb__heap_kind(block) says EBB_BLOCK_SPAN and usable_bytes */
void ebb__cache_span_free(void *block, size_t usable_bytes, const char *caller);

/* Empties the calling thread's cache into the slabs. */
void ebb__cache_flush_thread(void);

/* Lays the calling thread's cache aside, and takes it up again: between the two it goes the direct way, so that code of the program that
 * runs in the middle of an operation (a shrinker, when a miss meets a limit) does not touch what that operation is at. */
void ebb__cache_lay_aside(void);
void ebb__cache_take_up(void);

/* Empties the depot into the slabs. Takes the return lock. */
void ebb__cache_flush_depot(void);

/* ---- emptying the caches of threads that sleep (drain.c) ----
 * pre: EBB_RANK_RETURN held */

/* Turns every thread away from its cache until it comes to a miss, and passes the barrier. 0 or -errno: without a
 * barrier nothing can be drained. Cost: ~30 ns a thread that works, and the barrier. */
int ebb__cache_revoke(void);

/* Empties the caches whose threads have not come back since the revocation before. Returns the blocks. Cost: some 10 us
 * for a cache, during which its thread would wait. */
size_t ebb__cache_drain(void);

/* Empties what of the depot nobody has asked for since the last call, or all. Returns the blocks. */
size_t ebb__cache_drain_depot(bool all);

/* Where there is no barrier: an interval has passed. A thread that comes to a miss two intervals after its last one empties
 * its cache first. */
void ebb__cache_grow_older(void);

/* Called by a thread that had a cache at some time, or would have had one if caches were not off, as the last thing in its
 * life that we do. Set by the floor above. */
extern void (*ebb__cache_thread_ended)(void);

/* From the constructor and in a fork child: the calling thread is the process's main one; false: nobody knows. */
void ebb__cache_set_main(bool is_main);

/* Whether that function will be called when the main thread ends. */
bool ebb__cache_hears_main(void);

/* Threads that have a cache now. */
uint32_t ebb__cache_threads(void);

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
