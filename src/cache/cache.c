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
 * `cache_bytes`. Refills double up to that. What all classes of a thread and its shelf of spans (shelf.c) may hold together
 * is its share of a quarter of the heap, and of no more than `caches_bytes`: an equal part for each thread that has a cache. A
 * thread whose share is used up exchanges with the depot more often instead.
 *
 * Invariants (ebb__cache_check)
 *   C1  loaded->slots <= top <= limit <= slots + capacity
 *   C2  the slots below top hold living blocks of the bin's class, each once
 *   C3  prev, when there, is full or empty
 *   C4  the weight of a magazine in the depot is its blocks and the weight below
 *
 * Locking: none; the bins' locks inside heap. A miss is an operation on the cache like a hit: it stands between
 * ebb__cache_enter() and ebb__cache_leave(). Failure: caches and magazines can be done without, so nobody is asked to make room
 * for them; without one blocks are taken from the slabs one by one, and go to them likewise.
 */
#include "cache/cache_priv.h"

#define FILL_DIRECT     2u /* refills that take one block and make no magazine */
#define ROOM_STEP_BYTES 2048u
#define SHARE_MIN_BYTES                                                                                      \
    EBB_KIB(16) /* with thousands of threads the caches may exceed their budget, but stay useful */
/* Caches are for the traffic, and the traffic of a small heap is small: they may hold a quarter of the heap, and the
 * depot of one class a 64th. */
#define BUDGET_SHARE     4u
#define BUDGET_MIN_BYTES EBB_KIB(1024)
#define DEPOT_SHARE      64u
#define DEPOT_MIN_BYTES  EBB_KIB(32)

static unsigned capacity_of(unsigned c)
{
    size_t n = (size_t)ebb__conf.cache_bytes / ebb__classes[c].bytes;
    return (unsigned)ebb__min(ebb__max(n, 2), ebb__mag_slots(EBB_MAG_SIZES - 1));
}

static uint32_t depot_limit(unsigned c) /* in blocks */
{
    size_t bytes = ebb__max(ebb__heap_backed_bytes() / DEPOT_SHARE, DEPOT_MIN_BYTES);
    return (uint32_t)(ebb__min(bytes, (size_t)ebb__conf.depot_bytes) / ebb__classes[c].bytes);
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

static void swap(struct thread_cache *tc, unsigned c)
{
    struct cache_bin *bin = &tc->bins[c];
    struct magazine *m = bin->prev;
    ebb__cache_unload(bin);
    __atomic_store_n(&bin->prev, bin->loaded, __ATOMIC_RELAXED);
    load(tc, m, c);
}

size_t ebb__cache_share_bytes(void)
{
    uint32_t threads = atomic_load_explicit(&ebb__cache_count, memory_order_relaxed);
    size_t budget = ebb__max(ebb__heap_backed_bytes() / BUDGET_SHARE, BUDGET_MIN_BYTES);
    budget = ebb__min(budget, (size_t)ebb__conf.caches_bytes);
    return ebb__max(budget / 2 / (threads != 0 ? threads : 1), SHARE_MIN_BYTES);
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
    if (tc->room_bytes + more_bytes + tc->shelf.units * EBB_UNIT_BYTES > ebb__cache_share_bytes() &&
        room * ebb__classes[c].bytes > ROOM_STEP_BYTES)
        return false; /* the first step is everybody's */
    unsigned size = mag_size_for(room);
    struct magazine *old = bin->loaded;
    if (old == NULL || old->size < size) {
        struct magazine *m = ebb__mag_create(size);
        if (m == NULL)
            return false;
        if (old != NULL) {
            ebb__cache_unload(bin);
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
    ebb__cache_unload(bin);
    tc->room[c] = (uint8_t)room;
    tc->room_bytes += more_bytes;
    load(tc, old, c);
    return true;
}

/* ---- misses ---- */

static unsigned take_many(unsigned c, void **ret_blocks, unsigned want, enum ebb_room room)
{
    return room == EBB_MAKE_ROOM ? ebb__heap_take(c, ret_blocks, want)
                                 : ebb__heap_take_if_room(c, ret_blocks, want);
}

static void *take_direct(unsigned c, enum ebb_room room)
{
    void *block;
    return take_many(c, &block, 1, room) != 0 ? block : NULL;
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

static void *refill(struct thread_cache *tc, unsigned c, enum ebb_room room)
{
    struct cache_bin *bin = &tc->bins[c];
    unsigned want = next_fill(tc, c);
    if (want <= 1)
        return take_direct(c, room);
    if (bin->loaded == NULL) {
        struct magazine *m = ebb__mag_create(mag_size_for(tc->room[c]));
        if (m == NULL)
            return take_direct(c, room);
        load(tc, m, c);
    }
    unsigned slots = (unsigned)(bin->limit - bin->loaded->slots);
    unsigned got = take_many(c, bin->loaded->slots, want < slots ? want : slots, room);
    if (got == 0)
        return NULL;
    __atomic_store_n(&bin->top, bin->loaded->slots + got - 1, __ATOMIC_RELAXED);
    return *bin->top;
}

/* The block on top of the loaded magazine; NULL when there is none. */
static void *take_top(struct cache_bin *bin)
{
    void *block = bin->top[-1];
    if (block != NULL)
        __atomic_store_n(&bin->top, bin->top - 1, __ATOMIC_RELAXED);
    return block;
}

static void *get_missed(struct thread_cache *tc, unsigned c, enum ebb_room room)
{
    struct cache_bin *bin = &tc->bins[c];
    struct magazine *full;
    void *block = take_top(bin); /* the cache may just have come back, with what it had */
    if (block != NULL)
        return block;
    if (bin->prev != NULL && bin->prev->count != 0) {
        swap(tc, c);
    } else if ((full = ebb__mag_pop(&ebb__depot[c])) != NULL) {
        struct magazine *empty = bin->loaded;
        ebb__cache_unload(bin);
        load(tc, full, c);
        if (empty != NULL && bin->prev == NULL)
            __atomic_store_n(&bin->prev, empty, __ATOMIC_RELAXED);
        else if (empty != NULL)
            ebb__mag_destroy(empty);
    } else {
        return refill(tc, c, room);
    }
    return take_top(bin);
}

void *ebb__cache_get_slow(unsigned c, enum ebb_room room)
{
    struct thread_cache *tc = ebb__cache_enter_mine();
    if (tc == NULL)
        return take_direct(c, room);
    void *block = get_missed(tc, c, room);
    ebb__cache_leave();
    return block;
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

/* Makes room in the bin of a full magazine, as far as may be. Nobody's memory goes for that: free() never waits. */
static void make_room(struct thread_cache *tc, unsigned c)
{
    struct cache_bin *bin = &tc->bins[c];
    if (grow_room(tc, c) || bin->loaded == NULL)
        return;
    struct magazine *m = bin->prev;
    if (m == NULL)
        m = ebb__mag_create(bin->loaded->size);
    else if (m->count != 0)
        m = trade_in(m, c);
    __atomic_store_n(&bin->prev, m, __ATOMIC_RELAXED);
    if (m != NULL)
        swap(tc, c);
}

void ebb__cache_put_slow(void *p, const char *caller)
{
    unsigned c = ebb__unit_entry(p) & 0xff;
    struct thread_cache *tc = ebb__cache_enter_mine();
    if (tc == NULL) {
        ebb__heap_give(c, &p, 1, caller);
        return;
    }
    struct cache_bin *bin = &tc->bins[c];
    if (bin->top == bin->limit)
        make_room(tc, c);
    if (bin->top == bin->limit) { /* no share left, or no room for a magazine */
        ebb__heap_give(c, &p, 1, caller);
    } else {
        if (bin->top[-1] == p)
            ebb__die("%s: double free of block %p (%u bytes)", caller, p, ebb__classes[c].bytes);
        *bin->top = p;
        __atomic_store_n(&bin->top, bin->top + 1, __ATOMIC_RELAXED);
    }
    ebb__cache_leave();
}
