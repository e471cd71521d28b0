/* SPDX-License-Identifier: MIT
 *
 * Emptying the caches of threads that sleep, without their help.
 *
 * What. A connection's thread that waits for its next statement would keep what it cached for hours. Whoever calls here (the
 * background thread, malloc_trim) takes its cache in two steps, after the asymmetric locks of Dice, Huang and Yang:
 *
 *     revoke   every thread's `cache` pointer is turned to the constant empty cache; then one barrier on all processors
 *     drain    whoever has not come back for its cache since, and is not inside an operation (`busy`), has it emptied:
 *              blocks to the slabs, magazines and the cache itself to the heap
 *
 *     owner:    busy = 1;  c = cache;  use c;  busy = 0          plain stores and loads, in the order of the program
 *     drainer:  cache = none;  barrier;  busy?                   at leisure
 *
 * Why it is safe. Look at any operation that read the real cache. Its read came before the barrier, or it would have
 * seen the constant one; so its `busy = 1`, which comes before the read, is seen by whoever looks after the barrier,
 * unless `busy = 0`, which comes after all that it did, has taken its place. An operation that comes later misses, and
 * must take the thread's lock, which the drainer holds until it is done. tests/model/drain_model.c walks through all
 * interleavings, with a store buffer for each thread, and shows that the same without the barrier fails.
 *
 * That a thread has come back is also how the drainer knows who is awake: no counter on the way of a block. A thread that
 * works pays one miss for each revocation.
 *
 * Locking: EBB_RANK_RETURN is held by the caller, so there is one drainer, and none while a fork is made. Threads' locks
 * are tried under the list lock, never waited for. One cache at a time is emptied, outside the list lock.
 *
 * Failure: where the kernel has no barrier (ENOSYS, seccomp's EPERM), or with option drain:0, nothing is revoked; a thread
 * then empties its own cache when it comes to a miss after a long time (ebb__cache_grow_older()).
 */
#include "cache/cache_priv.h"

/* Whether the barrier has been passed since the last revocation. Under EBB_RANK_RETURN. */
static bool fenced = true;

/* The list is walked once: from its head, each visited cache goes to its tail. With the list lock held. */
static struct thread_cache *visit_next(void)
{
    struct thread_cache *tc = ebb__caches.first;
    if (tc != NULL && tc->next != NULL) {
        ebb__cache_unlink(tc);
        ebb__cache_link(tc);
    }
    return tc;
}

int ebb__cache_revoke(void)
{
    if (ebb__conf.drain == 0)
        return -ENOTSUP;
    unsigned revoked = 0;
    ebb__lock_take(&ebb__caches_lock);
    for (struct thread_cache *tc = ebb__caches.first; tc != NULL; tc = tc->next) {
        struct ebb_thread *t = tc->owner;
        if (__atomic_load_n(&t->cache, __ATOMIC_RELAXED) != tc || !ebb__lock_try(&t->lock))
            continue;
        if (t->mine == tc) {
            ebb__cache_close(t);
            revoked++;
        }
        ebb__lock_release(&t->lock);
    }
    ebb__lock_release(&ebb__caches_lock);
    if (revoked == 0 && fenced)
        return 0;
    EBB_COUNT(revocations, revoked);
    int rc = ebb__os_barrier(); /* pairs with the order of program in ebb__cache_enter() */
    EBB_COUNT(barriers, rc == 0);
    fenced = rc == 0;
    return rc;
}

/* Whether the cache may be emptied now. With the list lock and its owner's lock held. */
static bool is_abandoned(const struct thread_cache *tc)
{
    const struct ebb_thread *t = tc->owner;
    return t->mine == tc && __atomic_load_n(&t->cache, __ATOMIC_RELAXED) != tc &&
           /* acquire: pairs with the release in ebb__cache_leave() */
           __atomic_load_n(&t->busy, __ATOMIC_ACQUIRE) == 0;
}

/* The next cache to be emptied, unlisted, its owner's lock held; NULL when all `*left` have been visited. */
static struct thread_cache *next_abandoned(uint32_t *left)
{
    struct thread_cache *found = NULL;
    ebb__lock_take(&ebb__caches_lock);
    for (; *left != 0 && found == NULL; (*left)--) {
        struct thread_cache *tc = visit_next();
        if (tc == NULL)
            break;
        if (!ebb__lock_try(&tc->owner->lock))
            continue;
        if (is_abandoned(tc)) {
            found = tc;
            ebb__cache_unlink(tc);
            atomic_fetch_sub_explicit(&ebb__cache_count, 1, memory_order_relaxed);
            EBB_COUNT(caches, -1);
        } else {
            ebb__lock_release(&tc->owner->lock);
        }
    }
    ebb__lock_release(&ebb__caches_lock);
    return found;
}

size_t ebb__cache_drain(void)
{
    size_t blocks = 0;
    struct thread_cache *tc;
    if (!fenced)
        return 0;
    for (uint32_t left = atomic_load_explicit(&ebb__cache_count, memory_order_relaxed);
         (tc = next_abandoned(&left)) != NULL;) {
        struct ebb_thread *t = tc->owner;
        void *block = tc;
        blocks += ebb__cache_flush(tc);
        t->mine = NULL;
        ebb__lock_release(&t->lock);
        ebb__heap_give(EBB_CLASS_CACHE, &block, 1, "cache");
        EBB_COUNT(drains, 1);
    }
    EBB_COUNT(drained_blocks, blocks);
    return blocks;
}

/* ---- what no thread has ---- */

size_t ebb__cache_drain_depot(bool all)
{
    static uint64_t seen[EBB_CACHE_BINS]; /* each operation on a stack changes its word */
    size_t blocks = 0;
    for (unsigned c = 1; c < EBB_CACHE_BINS; c++) {
        struct magazine *m;
        uint64_t word = atomic_load_explicit(&ebb__depot[c].word, memory_order_relaxed);
        if (all || word == seen[c])
            while ((m = ebb__mag_pop(&ebb__depot[c])) != NULL) {
                ebb__heap_give(c, m->slots, m->count, "free");
                blocks += m->count;
                ebb__mag_destroy(m);
            }
        seen[c] = atomic_load_explicit(&ebb__depot[c].word, memory_order_relaxed);
    }
    ebb__mag_drain_empties(all);
    return blocks;
}

void ebb__cache_flush_depot(void)
{
    ebb__lock_take(&ebb__return_lock);
    (void)ebb__cache_drain_depot(true);
    ebb__lock_release(&ebb__return_lock);
}

uint32_t ebb__cache_threads(void)
{
    return atomic_load_explicit(&ebb__cache_count, memory_order_relaxed);
}
