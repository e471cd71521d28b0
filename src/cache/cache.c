/* SPDX-License-Identifier: MIT
 *
 * Thread caches: what happens on a miss.
 *
 * What. For each class a thread has up to two magazines, after Bonwick and Adams (2001): the loaded one serves,
 * the previous one is full or empty and keeps a thread that allocates and frees at a boundary from moving blocks
 * each time. On a miss
 *   get: swap with a full previous; else take a full magazine from the depot; else refill from slabs
 *   put: swap with an empty previous; else leave the full previous in the depot or, when that has enough, in the
 *        slabs
 * A consumer's full magazines so reach a producer by one exchange for up to 125 blocks.
 *
 * Sizes adapt. A thread's first two blocks of a class come straight from the slab. A magazine may first hold
 * 2 KiB of blocks, and 2 KiB more each time it overflows or a refill was used up, to 125 blocks or
 * `cache_bytes`. Refills double up to that. What all classes of a thread may hold together is its share of
 * `caches_bytes`, an equal part for each thread that has a cache; a thread whose share is used up exchanges with
 * the depot more often instead.
 *
 * Life. The cache is made at the first miss and armed to be emptied at the thread's end. After that the TLS
 * pointer leads to `gone`: later calls (destructors of other libraries) take the direct way through the
 * slabs, one block at a time.
 *
 * Invariants (ebb__cache_check)
 *   C1  loaded->slots <= top <= limit <= slots + capacity
 *   C2  the slots below top hold living blocks of the bin's class, each once
 *   C3  prev, when there, is full or empty
 *   C4  the weight of a magazine in the depot is its blocks and the weight below
 *
 * Locking: rank CACHES for the list of caches; the bins' locks inside heap. Failure: without memory for a
 * magazine the thread goes the direct way. Fork: the child forgets the other threads' caches; their blocks
 * are lost to it.
 */
#include "cache/magazine_priv.h"

#define FILL_DIRECT     2u /* refills that take one block and make no magazine */
#define ROOM_STEP_BYTES 2048u
#define SHARE_MIN_BYTES                                                                                      \
    EBB_KIB(64) /* with thousands of threads the caches may exceed their budget, but stay useful */

EBB_STATIC_ASSERT(sizeof(struct thread_cache) <= 2560, "EBB_CLASS_CACHE");

/* The floor of the constant caches: top[-1] reads NULL, and top == limit. */
static void *nothing[2];

#define EMPTY_BIN                                                                                            \
    {                                                                                                        \
        .top = &nothing[1], .limit = &nothing[1]                                                             \
    }
static struct thread_cache none = {.bins = {[0 ... EBB_CACHE_BINS - 1] = EMPTY_BIN}};
static struct thread_cache gone = {.bins = {[0 ... EBB_CACHE_BINS - 1] = EMPTY_BIN}};

EBB_TLS struct thread_cache *ebb__thread_cache = &none;

static struct ebb_lock list_lock = EBB_LOCK_INIT(EBB_RANK_CACHES);
static struct thread_cache *all_caches;
static _Atomic uint32_t cache_count;
static bool caches_off;

static unsigned capacity_of(unsigned c)
{
    size_t n = (size_t)ebb__conf.cache_bytes / ebb__classes[c].bytes;
    return (unsigned)ebb__min(ebb__max(n, 2), ebb__mag_slots(EBB_MAG_SIZES - 1));
}

static uint32_t depot_limit(unsigned c) /* in blocks */
{
    return (uint32_t)((size_t)ebb__conf.depot_bytes / ebb__classes[c].bytes);
}

static unsigned mag_size_for(unsigned slots)
{
    unsigned size = 0;
    while (ebb__mag_slots(size) < slots && size < EBB_MAG_SIZES - 1)
        size++;
    return size;
}

/* ---- the bin's two magazines ---- */

static void load(struct thread_cache *tc, struct magazine *m, unsigned c)
{
    struct cache_bin *bin = &tc->bins[c];
    unsigned slots = ebb__mag_slots(m->size), room = tc->room[c];
    __atomic_store_n(&bin->loaded, m, __ATOMIC_RELAXED);
    __atomic_store_n(&bin->top, m->slots + m->count, __ATOMIC_RELAXED);
    bin->limit = m->slots + (slots < room ? slots : room);
    if (bin->top > bin->limit) /* filled by a thread with more room */
        bin->limit = bin->top;
}

static void unload(struct cache_bin *bin)
{
    if (bin->loaded == NULL)
        return;
    bin->loaded->limit = (uint8_t)(bin->limit - bin->loaded->slots);
    __atomic_store_n(&bin->loaded->count, (uint16_t)(bin->top - bin->loaded->slots), __ATOMIC_RELAXED);
}

static void swap(struct thread_cache *tc, unsigned c)
{
    struct cache_bin *bin = &tc->bins[c];
    struct magazine *m = bin->prev;
    unload(bin);
    __atomic_store_n(&bin->prev, bin->loaded, __ATOMIC_RELAXED);
    load(tc, m, c);
}

/* What one thread's classes may hold together now. A thread has two magazines of a class, hence the half. */
static size_t share_bytes(void)
{
    uint32_t threads = atomic_load_explicit(&cache_count, memory_order_relaxed);
    return ebb__max((size_t)ebb__conf.caches_bytes / 2 / (threads != 0 ? threads : 1), SHARE_MIN_BYTES);
}

/* Allows the class one step more, in a larger magazine where need be. False when it has all that it may have,
 * or memory for the magazine is refused. */
static bool grow_room(struct thread_cache *tc, unsigned c)
{
    struct cache_bin *bin = &tc->bins[c];
    unsigned most = capacity_of(c);
    if (tc->room[c] >= most)
        return false;
    unsigned room = tc->room[c] + (unsigned)ebb__max(ROOM_STEP_BYTES / ebb__classes[c].bytes, 1);
    room = room < most ? room : most;
    uint32_t more_bytes = (room - tc->room[c]) * ebb__classes[c].bytes;
    if (tc->room_bytes + more_bytes > share_bytes() && room * ebb__classes[c].bytes > ROOM_STEP_BYTES)
        return false; /* the first step is everybody's */
    unsigned size = mag_size_for(room);
    struct magazine *old = bin->loaded;
    if (old == NULL || old->size < size) {
        struct magazine *m = ebb__mag_create(size);
        if (m == NULL)
            return false;
        if (old != NULL) {
            unload(bin);
            m->count = old->count;
            memcpy(m->slots, old->slots, old->count * sizeof(void *));
        }
        tc->room[c] = (uint8_t)room;
        tc->room_bytes += more_bytes;
        load(tc, m, c);
        if (old != NULL)
            ebb__mag_destroy(old);
        return true;
    }
    unload(bin);
    tc->room[c] = (uint8_t)room;
    tc->room_bytes += more_bytes;
    load(tc, old, c);
    return true;
}

/* ---- a cache's life ---- */

static void flush_bin(struct cache_bin *bin, unsigned c)
{
    unload(bin);
    struct magazine *mags[2] = {bin->loaded, bin->prev};
    __atomic_store_n(&bin->loaded, NULL, __ATOMIC_RELAXED);
    __atomic_store_n(&bin->prev, NULL, __ATOMIC_RELAXED);
    __atomic_store_n(&bin->top, &nothing[1], __ATOMIC_RELAXED);
    bin->limit = &nothing[1];
    for (unsigned i = 0; i < 2; i++)
        if (mags[i] != NULL) {
            ebb__heap_give(c, mags[i]->slots, mags[i]->count, "free");
            ebb__mag_destroy(mags[i]);
        }
}

static bool is_real(const struct thread_cache *tc)
{
    return tc != &none && tc != &gone;
}

static void thread_exit(void *arg)
{
    struct thread_cache *tc = arg;
    void *block = tc;
    if (ebb__thread_cache != tc)
        return; /* the child of a fork in this thread's destructors has dropped it */
    ebb__cache_flush_thread();
    ebb__thread_cache = &gone;
    ebb__lock_take(&list_lock);
    if (tc->next != NULL)
        tc->next->prev_cache = tc->prev_cache;
    if (tc->prev_cache != NULL)
        tc->prev_cache->next = tc->next;
    else
        all_caches = tc->next;
    atomic_fetch_sub_explicit(&cache_count, 1, memory_order_relaxed);
    ebb__lock_release(&list_lock);
    ebb__heap_give(EBB_CLASS_CACHE, &block, 1, "cache");
}

/* The thread's cache, made if this is its first miss; NULL when it shall have none. */
static struct thread_cache *my_cache(void)
{
    struct thread_cache *tc = ebb__thread_cache;
    void *block;
    if (EBB_UNLIKELY(caches_off)) /* also when this thread made its cache before the options were read */
        return NULL;
    if (EBB_LIKELY(is_real(tc)))
        return tc;
    if (tc == &gone || ebb__heap_take(EBB_CLASS_CACHE, &block, 1) == 0)
        return NULL;
    tc = block;
    memcpy(tc, &none, sizeof(*tc));
    ebb__lock_take(&list_lock);
    tc->next = all_caches;
    if (all_caches != NULL)
        all_caches->prev_cache = tc;
    all_caches = tc;
    atomic_fetch_add_explicit(&cache_count, 1, memory_order_relaxed);
    ebb__lock_release(&list_lock);
    ebb__thread_cache = tc; /* before arming: that may allocate */
    ebb__os_thread_exit_arm(thread_exit, tc);
    return tc;
}

/* ---- misses ---- */

static void *take_direct(unsigned c)
{
    void *block = NULL;
    (void)ebb__heap_take(c, &block, 1);
    return block;
}

/* How many blocks this refill takes: doubles from one refill to the next. */
static unsigned next_fill(struct thread_cache *tc, unsigned c)
{
    unsigned fill = tc->fill[c];
    if (fill < FILL_DIRECT) {
        tc->fill[c]++;
        return 1;
    }
    if (fill >= tc->room[c])
        (void)grow_room(tc, c);
    unsigned next = fill * 2 < tc->room[c] ? fill * 2 : tc->room[c];
    tc->fill[c] = (uint8_t)(next > fill ? next : fill);
    return next;
}

static void *refill(struct thread_cache *tc, unsigned c)
{
    struct cache_bin *bin = &tc->bins[c];
    unsigned want = next_fill(tc, c);
    if (want <= 1)
        return take_direct(c);
    if (bin->loaded == NULL) {
        struct magazine *m = ebb__mag_create(mag_size_for(tc->room[c]));
        if (m == NULL)
            return take_direct(c);
        load(tc, m, c);
    }
    unsigned slots = (unsigned)(bin->limit - bin->loaded->slots);
    unsigned got = ebb__heap_take(c, bin->loaded->slots, want < slots ? want : slots);
    if (got == 0)
        return NULL;
    __atomic_store_n(&bin->top, bin->loaded->slots + got - 1, __ATOMIC_RELAXED);
    return *bin->top;
}

void *ebb__cache_get_slow(unsigned c)
{
    struct thread_cache *tc = my_cache();
    if (tc == NULL)
        return take_direct(c);
    struct cache_bin *bin = &tc->bins[c];
    struct magazine *full;
    if (bin->prev != NULL && bin->prev->count != 0) {
        swap(tc, c);
    } else if ((full = ebb__mag_pop(&ebb__depot[c])) != NULL) {
        struct magazine *empty = bin->loaded;
        unload(bin);
        load(tc, full, c);
        if (empty != NULL && bin->prev == NULL)
            __atomic_store_n(&bin->prev, empty, __ATOMIC_RELAXED);
        else if (empty != NULL)
            ebb__mag_destroy(empty);
    } else {
        return refill(tc, c);
    }
    return ebb__cache_get(c);
}

/* Leaves a full magazine to others. Returns an empty one of any size, or NULL. */
static struct magazine *trade_in(struct magazine *full, unsigned c)
{
    unsigned size = full->size;
    if (ebb__mag_push(&ebb__depot[c], full, depot_limit(c)))
        return ebb__mag_create(size);
    ebb__heap_give(c, full->slots, full->count, "free");
    __atomic_store_n(&full->count, 0, __ATOMIC_RELAXED);
    return full;
}

void ebb__cache_put_slow(void *p, const char *caller)
{
    unsigned c = ebb__unit_entry(p) & 0xff;
    struct thread_cache *tc = my_cache();
    if (tc == NULL) {
        ebb__heap_give(c, &p, 1, caller);
        return;
    }
    struct cache_bin *bin = &tc->bins[c];
    if (bin->top == bin->limit && !grow_room(tc, c) && bin->loaded != NULL) {
        struct magazine *m = bin->prev;
        if (m == NULL)
            m = ebb__mag_create(bin->loaded->size);
        else if (m->count != 0)
            m = trade_in(m, c);
        __atomic_store_n(&bin->prev, m, __ATOMIC_RELAXED);
        if (m != NULL)
            swap(tc, c);
    }
    if (bin->top == bin->limit) { /* no share left, or no memory for a magazine */
        ebb__heap_give(c, &p, 1, caller);
        return;
    }
    if (bin->top[-1] == p)
        ebb__die("%s: double free of block %p (%u bytes)", caller, p, ebb__classes[c].bytes);
    *bin->top = p;
    __atomic_store_n(&bin->top, bin->top + 1, __ATOMIC_RELAXED);
}

/* ---- the whole ---- */

void ebb__cache_flush_thread(void)
{
    struct thread_cache *tc = ebb__thread_cache;
    if (!is_real(tc))
        return;
    for (unsigned c = 1; c < EBB_CACHE_BINS; c++)
        flush_bin(&tc->bins[c], c);
    memset(tc->fill, 0, sizeof(tc->fill));
    memset(tc->room, 0, sizeof(tc->room));
    tc->room_bytes = 0;
}

void ebb__cache_flush_depot(void)
{
    struct magazine *m;
    for (unsigned c = 1; c < EBB_CACHE_BINS; c++)
        while ((m = ebb__mag_pop(&ebb__depot[c])) != NULL) {
            ebb__heap_give(c, m->slots, m->count, "free");
            ebb__mag_destroy(m);
        }
}

void ebb__cache_configure(void)
{
    caches_off = ebb__conf.cache == 0 || ebb__conf.check != 0;
    if (caches_off) {
        ebb__cache_flush_thread();
        ebb__cache_flush_depot();
    }
}

/* Blocks in the magazines of a bin that its thread may be changing: torn reads are noticed and count as nothing. */
static unsigned bin_blocks(const struct cache_bin *bin)
{
    const struct magazine *loaded = __atomic_load_n(&bin->loaded, __ATOMIC_RELAXED);
    const struct magazine *prev = __atomic_load_n(&bin->prev, __ATOMIC_RELAXED);
    void *const *top = __atomic_load_n(&bin->top, __ATOMIC_RELAXED);
    size_t most = ebb__mag_slots(EBB_MAG_SIZES - 1);
    size_t n = loaded != NULL ? (size_t)(top - loaded->slots) : 0;
    size_t m = prev != NULL ? __atomic_load_n(&prev->count, __ATOMIC_RELAXED) : 0;
    return (unsigned)((n <= most ? n : 0) + (m <= most ? m : 0));
}

void ebb__cache_stats(size_t *ret_blocks, size_t *ret_bytes)
{
    size_t blocks = 0, bytes = 0;
    ebb__lock_take(&list_lock);
    for (const struct thread_cache *tc = all_caches; tc != NULL; tc = tc->next)
        for (unsigned c = 1; c < EBB_CACHE_BINS; c++) {
            unsigned n = bin_blocks(&tc->bins[c]);
            blocks += n;
            bytes += (size_t)n * ebb__classes[c].bytes;
        }
    ebb__lock_release(&list_lock);
    for (unsigned c = 1; c < EBB_CACHE_BINS; c++) {
        const struct magazine *m = ebb__mag_peek(&ebb__depot[c]);
        size_t n = m != NULL ? __atomic_load_n(&m->weight, __ATOMIC_RELAXED) : 0;
        blocks += n;
        bytes += n * ebb__classes[c].bytes;
    }
    *ret_blocks = blocks;
    *ret_bytes = bytes;
}

void ebb__cache_after_fork(void)
{
    struct thread_cache *tc = ebb__thread_cache;
    ebb__lock_reset(&list_lock);
    all_caches = NULL;
    atomic_store(&cache_count, is_real(tc));
    if (is_real(tc)) {
        tc->next = tc->prev_cache = NULL;
        all_caches = tc;
    }
}

/* Marks the blocks of a magazine as free while the check runs: a block that is marked or free already is named twice. */
static int mark_magazine(const struct magazine *m, unsigned count, unsigned c)
{
    EBB_HOLDS("C1", count <= ebb__mag_slots(m->size), count, m->size);
    EBB_HOLDS("C1", m->floor == NULL, m->floor, c);
    for (unsigned i = 0; i < count; i++) {
        size_t usable;
        enum ebb_block_kind kind = ebb__heap_kind(m->slots[i], false, &usable);
        EBB_HOLDS("C2", kind == EBB_BLOCK_SMALL && usable == ebb__classes[c].bytes, m->slots[i], kind);
        EBB_HOLDS("C2", ebb__heap_mark(m->slots[i], true), m->slots[i], i);
    }
    return 0;
}

/* Takes the marks back, as far as they were made. */
static int unmark_magazine(const struct magazine *m, unsigned count, unsigned c)
{
    for (unsigned i = 0; i < count && i < ebb__mag_slots(m->size); i++) {
        size_t usable;
        if (ebb__heap_kind(m->slots[i], false, &usable) != EBB_BLOCK_SMALL ||
            usable != ebb__classes[c].bytes || !ebb__heap_mark(m->slots[i], false))
            return -EUCLEAN;
    }
    return 0;
}

/* Calls fn for every magazine of the class that this thread or the depot holds, until one fails. */
static int each_magazine(unsigned c, int (*fn)(const struct magazine *m, unsigned count, unsigned c))
{
    const struct cache_bin *bin = &ebb__thread_cache->bins[c];
    int rc = 0;
    if (bin->loaded != NULL)
        rc = fn(bin->loaded, (unsigned)(bin->top - bin->loaded->slots), c);
    if (bin->prev != NULL && rc == 0)
        rc = fn(bin->prev, bin->prev->count, c);
    for (struct magazine *m = ebb__mag_peek(&ebb__depot[c]); m != NULL && rc == 0; m = atomic_load(&m->next))
        rc = fn(m, m->count, c);
    return rc;
}

static int check_bin(const struct cache_bin *bin, unsigned c)
{
    if (bin->loaded != NULL) {
        EBB_HOLDS("C1", bin->top >= bin->loaded->slots && bin->top <= bin->limit, bin->top, bin->limit);
        EBB_HOLDS("C1", bin->limit <= bin->loaded->slots + ebb__mag_slots(bin->loaded->size), bin->limit, c);
    }
    if (bin->prev != NULL)
        EBB_HOLDS("C3", bin->prev->count == 0 || bin->prev->count == bin->prev->limit, bin->prev->count, c);
    for (struct magazine *m = ebb__mag_peek(&ebb__depot[c]); m != NULL; m = atomic_load(&m->next)) {
        const struct magazine *below = atomic_load(&m->next);
        EBB_HOLDS("C4", m->weight == m->count + (below != NULL ? below->weight : 0), m->weight, m->count);
    }
    return 0;
}

int ebb__cache_check(void)
{
    for (unsigned c = 1; c < EBB_CACHE_BINS; c++) {
        if (check_bin(&ebb__thread_cache->bins[c], c) != 0)
            return -EUCLEAN;
        int rc = each_magazine(c, mark_magazine);
        (void)each_magazine(c, unmark_magazine);
        if (rc != 0)
            return -EUCLEAN;
    }
    return 0;
}
