/* SPDX-License-Identifier: MIT
 *
 * A thread's cache from its first miss to the thread's end.
 *
 * What. The cache is made at the first miss or the first free of a span, listed, and armed to be emptied at the thread's end.
 * Its thread's `cache` pointer leads to it, until the drainer revokes it (drain.c): then the next operation misses, and takes
 * the cache back here, or makes another one if it was emptied meanwhile. After the thread's end the pointer leads to `gone`:
 * later calls (destructors of other libraries) take the direct way through the slabs, one block at a time.
 *
 * Invariants
 *   C5  a thread's `cache` is `mine` or a constant cache
 *   C6  a listed cache is its owner's `mine`, or laid aside by it, but for the moment in which the owner ends
 *
 * Locking. The list lock guards the list; a thread's lock guards its `cache` and `mine`. Another thread's lock is tried
 * only under the list lock: a thread leaves the list before its TLS goes, so what the list leads to can be touched.
 * Failure: without memory or room for a cache, and where the thread's end cannot be heard of, the thread goes the direct way. Fork:
 * the child forgets the other threads' caches; their blocks are lost to it.
 */
#include "cache/cache_priv.h"

EBB_STATIC_ASSERT(sizeof(struct thread_cache) <= 2816, "EBB_CLASS_CACHE");

/* The floor of the constant caches: top[-1] reads NULL, and top == limit. */
static void *nothing[2];

#define EMPTY_BIN                                                                                            \
    {                                                                                                        \
        .top = &nothing[1], .limit = &nothing[1]                                                             \
    }
static struct thread_cache none = {.bins = {[0 ... EBB_CACHE_BINS - 1] = EMPTY_BIN}};
static struct thread_cache gone = {.bins = {[0 ... EBB_CACHE_BINS - 1] = EMPTY_BIN}};

EBB_TLS struct ebb_thread ebb__thread = {.cache = &none, .lock = EBB_LOCK_INIT(EBB_RANK_THREAD)};

struct cache_list ebb__caches;
struct ebb_lock ebb__caches_lock = EBB_LOCK_INIT(EBB_RANK_CACHES);
_Atomic uint32_t ebb__cache_count;
bool ebb__caches_off;
void (*ebb__cache_thread_ended)(void);
static struct ebb_thread *_Atomic main_thread; /* NULL: not known which one that is */
static _Atomic bool hears_main;
static _Atomic uint32_t age; /* intervals; stands still where the drainer works */

void ebb__cache_link(struct thread_cache *tc)
{
    struct cache_list *list = &ebb__caches;
    tc->next = NULL;
    tc->prev_cache = list->last;
    *(list->last != NULL ? &list->last->next : &list->first) = tc;
    list->last = tc;
}

void ebb__cache_unlink(struct thread_cache *tc)
{
    struct cache_list *list = &ebb__caches;
    *(tc->next != NULL ? &tc->next->prev_cache : &list->last) = tc->prev_cache;
    *(tc->prev_cache != NULL ? &tc->prev_cache->next : &list->first) = tc->next;
}

bool ebb__cache_is_real(const struct thread_cache *tc)
{
    return tc != &none && tc != &gone;
}

void ebb__cache_close(struct ebb_thread *t)
{
    __atomic_store_n(&t->cache, &none, __ATOMIC_RELAXED);
}

/* ---- emptying ---- */

static size_t flush_bin(struct cache_bin *bin, unsigned c)
{
    ebb__cache_unload(bin);
    struct magazine *mags[2] = {bin->loaded, bin->prev};
    size_t blocks = 0;
    __atomic_store_n(&bin->loaded, NULL, __ATOMIC_RELAXED);
    __atomic_store_n(&bin->prev, NULL, __ATOMIC_RELAXED);
    __atomic_store_n(&bin->top, &nothing[1], __ATOMIC_RELAXED);
    bin->limit = &nothing[1];
    for (unsigned i = 0; i < 2; i++)
        if (mags[i] != NULL) {
            ebb__heap_give(c, mags[i]->slots, mags[i]->count, "free");
            blocks += mags[i]->count;
            ebb__mag_destroy(mags[i]);
        }
    return blocks;
}

size_t ebb__cache_flush(struct thread_cache *tc)
{
    size_t blocks = ebb__cache_flush_shelf(&tc->shelf);
    for (unsigned c = 1; c < EBB_CACHE_BINS; c++)
        blocks += flush_bin(&tc->bins[c], c);
    memset(tc->fill, 0, sizeof(tc->fill));
    memset(tc->room, 0, sizeof(tc->room));
    tc->room_bytes = 0;
    return blocks;
}

void ebb__cache_flush_thread(void)
{
    struct ebb_thread *t = &ebb__thread;
    ebb__lock_take(&t->lock); /* keeps the drainer out */
    if (ebb__cache_usable(t->mine) != NULL)
        (void)ebb__cache_flush(t->mine);
    ebb__lock_release(&t->lock);
}

/* ---- laid aside ---- */

/* A thread's room in TLS is scarce, so `mine` itself says all of it: the drainer does not know the marked pointer, and leaves the cache alone. */

EBB_STATIC_ASSERT(EBB_ASIDE_GONE < 16, "blocks are aligned to 16 bytes");

void ebb__cache_lay_aside(void)
{
    struct ebb_thread *t = &ebb__thread;
    ebb__lock_take(&t->lock);
    uintptr_t mark = EBB_ASIDE | (t->busy != 0 ? EBB_ASIDE_BUSY : 0) |
                     (t->cache == &none ? EBB_ASIDE_CLOSED : 0) | (t->cache == &gone ? EBB_ASIDE_GONE : 0);
    t->mine = (struct thread_cache *)((uintptr_t)t->mine | mark);
    __atomic_store_n(&t->cache, &gone, __ATOMIC_RELAXED);
    ebb__lock_release(&t->lock);
}

void ebb__cache_take_up(void)
{
    struct ebb_thread *t = &ebb__thread;
    uintptr_t marked = (uintptr_t)t->mine;
    struct thread_cache *tc = (struct thread_cache *)ebb__align_down(marked, 16);
    /* before the drainer can find the cache again, which the lock sees to */
    __atomic_store_n(&t->busy, (marked & EBB_ASIDE_BUSY) != 0, __ATOMIC_RELAXED);
    ebb__lock_take(&t->lock);
    t->mine = tc;
    __atomic_store_n(&t->cache,
                     marked & EBB_ASIDE_CLOSED ? &none
                     : marked & EBB_ASIDE_GONE ? &gone
                                               : tc,
                     __ATOMIC_RELAXED);
    ebb__lock_release(&t->lock);
}

/* ---- life ---- */

/* The calling thread has no cache any more, if it had one; its pointer leads to `instead`. */
static void give_up(struct ebb_thread *t, struct thread_cache *instead)
{
    ebb__lock_take(&t->lock);
    struct thread_cache *tc = t->mine;
    void *block = tc;
    if (tc != NULL)
        (void)ebb__cache_flush(tc);
    t->mine = NULL;
    __atomic_store_n(&t->cache, instead, __ATOMIC_RELAXED);
    ebb__lock_release(&t->lock);
    if (tc == NULL)
        return;
    ebb__lock_take(&ebb__caches_lock);
    ebb__cache_unlink(tc);
    atomic_fetch_sub_explicit(&ebb__cache_count, 1, memory_order_relaxed);
    EBB_COUNT(caches, -1);
    ebb__lock_release(&ebb__caches_lock);
    ebb__heap_give(EBB_CLASS_CACHE, &block, 1, "cache");
}

static void thread_exit(void *unused)
{
    (void)unused;
    if (((uintptr_t)ebb__thread.mine & EBB_ASIDE) != 0) /* it was ended in a shrinker */
        ebb__cache_take_up();
    ebb__ledger_thread_end();
    give_up(&ebb__thread, &gone);
    if (ebb__cache_thread_ended != NULL)
        ebb__cache_thread_ended();
}

/* For the ledger as well, whose credits end with the thread: one end is heard of for both. */
static int hear_of_end(void)
{
    int rc = ebb__os_thread_exit_arm(thread_exit, NULL);
    if (rc == 0 && atomic_load_explicit(&main_thread, memory_order_relaxed) == &ebb__thread)
        atomic_store(&hears_main, true);
    return rc;
}

/* A cache is not kept where its thread's end is not heard of, so who has one is. */
void ebb__cache_set_main(bool is_main)
{
    struct ebb_thread *t = is_main ? &ebb__thread : NULL;
    atomic_store(&main_thread, t);
    atomic_store(&hears_main, is_main && ebb__cache_usable(t->mine) != NULL);
}

bool ebb__cache_hears_main(void)
{
    return atomic_load(&hears_main);
}

/* The calling thread gets a cache. False when memory is refused, or when nobody would hear of the thread's end: the list
 * would go on leading to its room. */
static bool make_cache(struct ebb_thread *t)
{
    void *block;
    if (ebb__heap_take_if_room(EBB_CLASS_CACHE, &block, 1) == 0)
        return false;
    struct thread_cache *tc = block;
    memcpy(tc, &none, sizeof(*tc));
    tc->owner = t;
    tc->age = atomic_load_explicit(&age, memory_order_relaxed);
    ebb__lock_take(&t->lock);
    t->mine = tc;
    __atomic_store_n(&t->cache, tc, __ATOMIC_RELAXED);
    ebb__lock_release(&t->lock);
    ebb__lock_take(&ebb__caches_lock);
    ebb__cache_link(tc);
    atomic_fetch_add_explicit(&ebb__cache_count, 1, memory_order_relaxed);
    EBB_COUNT(caches, 1);
    ebb__lock_release(&ebb__caches_lock);
    int rc = hear_of_end(); /* may allocate: the cache is there already */
    if (rc != 0)
        give_up(t, rc == -EAGAIN ? &none : &gone);
    return rc == 0;
}

/* The way of the thread's blocks leads to a constant cache: what there is to be had. */
static bool come_back(struct ebb_thread *t)
{
    if (__atomic_load_n(&t->cache, __ATOMIC_RELAXED) == &gone)
        return false;
    ebb__lock_take(&t->lock);
    struct thread_cache *tc = t->mine;
    if (tc != NULL)
        __atomic_store_n(&t->cache, tc, __ATOMIC_RELAXED);
    ebb__lock_release(&t->lock);
    ebb__heap_want_upkeep(EBB_UPKEEP_CACHES);
    return tc != NULL || make_cache(t);
}

void ebb__cache_grow_older(void)
{
    atomic_fetch_add_explicit(&age, 1, memory_order_relaxed);
}

/* Its owner was away for long: what it cached then is cold. */
EBB_COLD static void grow_older(struct thread_cache *tc, uint32_t now)
{
    if (now - tc->age >= 2)
        (void)ebb__cache_flush(tc);
    tc->age = now;
}

/* With caches off the thread goes the direct way for good, also when it made its cache before the options were read. Its end is
 * to be heard of all the same. */
EBB_COLD static void go_without(struct ebb_thread *t)
{
    if (__atomic_load_n(&t->cache, __ATOMIC_RELAXED) == &gone)
        return;
    ebb__lock_take(&t->lock);
    __atomic_store_n(&t->cache, &gone, __ATOMIC_RELAXED);
    ebb__lock_release(&t->lock);
    (void)hear_of_end();
}

struct thread_cache *ebb__cache_enter_mine(void)
{
    for (;;) {
        if (EBB_UNLIKELY(ebb__caches_off)) {
            go_without(&ebb__thread);
            return NULL;
        }
        struct thread_cache *tc = ebb__cache_enter();
        if (EBB_LIKELY(ebb__cache_is_real(tc))) {
            uint32_t now = atomic_load_explicit(&age, memory_order_relaxed);
            if (EBB_UNLIKELY(tc->age != now))
                grow_older(tc, now);
            return tc;
        }
        ebb__cache_leave();
        if (!come_back(&ebb__thread))
            return NULL;
    }
}

void ebb__cache_configure(void)
{
    ebb__ledger_arm_end = hear_of_end;
    ebb__ledger_step_out = ebb__cache_lay_aside;
    ebb__ledger_step_in = ebb__cache_take_up;
    ebb__caches_off = ebb__conf.cache == 0 || ebb__conf.check != 0;
    if (ebb__caches_off) {
        ebb__cache_flush_thread();
        ebb__cache_flush_depot();
    }
}

void ebb__cache_after_fork(void)
{
    struct ebb_thread *t = &ebb__thread;
    struct thread_cache *tc = (struct thread_cache *)ebb__align_down((uintptr_t)t->mine, 16);
    ebb__lock_reset(&ebb__caches_lock);
    ebb__lock_reset(&t->lock);
    /* `busy` stays: fork in a signal handler may have interrupted an operation; else it is 0, or the next one clears it. */
    ebb__caches = (struct cache_list){NULL, NULL};
    atomic_store(&ebb__cache_count, tc != NULL);
    EBB_SET(caches, tc != NULL);
    if (tc != NULL) {
        ebb__cache_link(tc);
        if (ebb__cache_usable(t->mine) != NULL)
            __atomic_store_n(&t->cache, tc, __ATOMIC_RELAXED);
    }
}
