/* SPDX-License-Identifier: MIT
 * What the caches and the depot hold, summed, and the checker of their invariants. */
#include "cache/cache_priv.h"

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
    ebb__lock_take(&ebb__caches_lock);
    for (const struct thread_cache *tc = ebb__caches.first; tc != NULL; tc = tc->next) {
        blocks += __atomic_load_n(&tc->shelf.count, __ATOMIC_RELAXED);
        bytes += __atomic_load_n(&tc->shelf.units, __ATOMIC_RELAXED) * EBB_UNIT_BYTES;
        for (unsigned c = 1; c < EBB_CACHE_BINS; c++) {
            unsigned n = bin_blocks(&tc->bins[c]);
            blocks += n;
            bytes += (size_t)n * ebb__classes[c].bytes;
        }
    }
    ebb__lock_release(&ebb__caches_lock);
    for (unsigned c = 1; c < EBB_CACHE_BINS; c++) {
        const struct magazine *m = ebb__mag_peek(&ebb__depot[c]);
        size_t n = m != NULL ? __atomic_load_n(&m->weight, __ATOMIC_RELAXED) : 0;
        blocks += n;
        bytes += n * ebb__classes[c].bytes;
    }
    *ret_blocks = blocks;
    *ret_bytes = bytes;
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

/* The bins of the calling thread's cache, or of a constant one. */
static const struct cache_bin *my_bins(void)
{
    const struct ebb_thread *t = &ebb__thread;
    return ebb__cache_usable(t->mine) != NULL ? t->mine->bins : t->cache->bins;
}

/* Calls fn for every magazine of the class that this thread or the depot holds, until one fails. */
static int each_magazine(unsigned c, int (*fn)(const struct magazine *m, unsigned count, unsigned c))
{
    const struct cache_bin *bin = &my_bins()[c];
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

static int check_shelf(const struct span_shelf *shelf)
{
    uint32_t units = 0;
    EBB_HOLDS("C7", shelf->count <= EBB_SHELF_SPANS, shelf->count, shelf->units);
    for (uint32_t i = 0; i < shelf->count; i++) {
        size_t usable = 0;
        EBB_HOLDS("C7", ebb__heap_span_is_held(shelf->blocks[i], &usable), shelf->blocks[i], i);
        EBB_HOLDS("C7", usable == shelf->lengths[i] * EBB_UNIT_BYTES, usable, shelf->lengths[i]);
        for (uint32_t k = 0; k < i; k++)
            EBB_HOLDS("C7", shelf->blocks[i] != shelf->blocks[k], shelf->blocks[i], k);
        units += shelf->lengths[i];
    }
    EBB_HOLDS("C7", shelf->units == units, shelf->units, units);
    return 0;
}

int ebb__cache_check(void)
{
    const struct thread_cache *tc =
        ebb__cache_usable(ebb__thread.mine) != NULL ? ebb__thread.mine : ebb__thread.cache;
    if (check_shelf(&tc->shelf) != 0)
        return -EUCLEAN;
    for (unsigned c = 1; c < EBB_CACHE_BINS; c++) {
        if (check_bin(&my_bins()[c], c) != 0)
            return -EUCLEAN;
        int rc = each_magazine(c, mark_magazine);
        (void)each_magazine(c, unmark_magazine);
        if (rc != 0)
            return -EUCLEAN;
    }
    return 0;
}
