/* SPDX-License-Identifier: MIT
 *
 * Sweep: OS pages without a living byte go back to the kernel, also out of the middle of slabs that are in use.
 *
 * Why. After a peak a few blocks survive at random places. Of slabs of 32 KiB full of 256-byte blocks hardly one in four
 * runs empty when 1 % survive; of pages of 4 KiB, five in six do. What decides how much goes back is the size of what can be
 * given back, and since the state of blocks is out of line, that is the OS page.
 *
 * How. What is to be purged is first claimed, as if it were allocated; then purged, with no lock that malloc needs; then
 * released. A block is never both claimable and under advice.
 *
 *     claim     under the bin's lock, slab by slab: the free blocks that touch a page; under the space lock: free units
 *     purge     many ranges in one call, up to 64 or 16 MiB
 *     release   space lock: the units are not backed any more; bin's lock: the blocks are free, the units are holes
 *
 * A page of 4 KiB lies in one slab. Larger ones reach over several slabs and free units: then the extent is looked at
 * first, and only the parts of pages that look free as a whole are claimed; what turns out not to be is released as it was.
 *
 * Cold first. A slab in which a block was freed is hot; each sweep that finds it untouched cools it, and the second one takes
 * its pages. So nothing is purged that was used in the last interval, and how long that is the governor decides.
 *
 * Data: a batch of extents under claim and of ranges to purge; static, for there is one sweeper: the holder of the return
 * lock. Costs: ~0.1 us for each slab that is looked at, two lock operations for each one claimed.
 *
 * Failure: what the kernel does not take (locked memory) is released backed. Fork: the return lock keeps fork out; a child
 * of _Fork finds `claimed` in the slabs' descriptors and units without an owner, and frees both (rebuild.c).
 */
#include "heap/heap_priv.h"

#define UNIT_WORDS    (EBB_EXTENT_UNITS / 64)
#define BATCH_EXTENTS 16u
#define BATCH_BYTES                                                                                          \
    EBB_MIB(16) /* half a millisecond of the kernel's time: how long a fork may have to wait */

/* One extent under claim. All are bits of its units. */
struct claim {
    uintptr_t base;
    unsigned number;
    uint64_t units[UNIT_WORDS];   /* claimed, in slabs or free */
    uint64_t in_slab[UNIT_WORDS]; /* of those, in slabs */
    uint64_t purged[UNIT_WORDS];
};

/* A range is always of the extent claimed last. */
static struct {
    struct claim claims[BATCH_EXTENTS];
    unsigned claim_count;
    struct ebb_os_range ranges[EBB_OS_PURGE_MAX];
    struct claim *range_claim[EBB_OS_PURGE_MAX];
    unsigned range_count;
    size_t range_bytes; /* of the ranges that wait */
    size_t purged_bytes;
} batch;

static char *unit_at(const struct claim *k, unsigned unit)
{
    return (char *)(k->base + k->number * EBB_EXTENT_BYTES + unit * EBB_UNIT_BYTES);
}

/* ---- slabs of an extent ---- */

/* Locks the bin of the slab that begins at the unit, if one does and lives. NULL, and no lock, otherwise. */
static struct slab *lock_slab(char *start, struct bin **ret_bin)
{
    unsigned c = ebb__unit_entry(start); /* with a distance it is no class */
    if (c == EBB_CODE_NONE || c >= EBB_CLASS_COUNT)
        return NULL;
    struct bin *bin = &ebb__bins[c];
    struct slab *s = ebb__desc_of(start);
    ebb__lock_take(&bin->lock);
    /* A slab with free blocks and in no list is being made or given back. */
    if (ebb__unit_entry(start) == c && s->nfree != 0 && s->list != EBB_SLAB_LISTS) {
        *ret_bin = bin;
        return s;
    }
    ebb__lock_release(&bin->lock);
    return NULL;
}

/* Calls fn(claim, slab, its bin, its first unit, arg) under the bin's lock for every slab of the extent that has free blocks. */
typedef void slab_fn(struct claim *k, struct slab *s, struct bin *bin, unsigned first, void *arg);

static void each_slab(struct claim *k, slab_fn *fn, void *arg)
{
    for (unsigned u = 0; u < EBB_EXTENT_UNITS;) {
        struct bin *bin;
        struct slab *s = lock_slab(unit_at(k, u), &bin);
        if (s == NULL) {
            u++;
            continue;
        }
        unsigned units = ebb__classes[s->code].units;
        fn(k, s, bin, u, arg);
        ebb__lock_release(&bin->lock);
        u += units;
    }
}

/* Bits [first, first + 16) of a map, and the other way. */
static unsigned bits_at(const uint64_t *map, unsigned first)
{
    unsigned shift = first % 64;
    uint64_t low = map[first / 64] >> shift;
    uint64_t high = shift > 48 && first / 64 + 1 < UNIT_WORDS ? map[first / 64 + 1] << (64 - shift) : 0;
    return (unsigned)((low | high) & 0xffff);
}

static void set_bits_at(uint64_t *map, unsigned first, unsigned bits)
{
    for (; bits != 0; bits &= bits - 1)
        ebb__bitmap_set(map, first + (unsigned)__builtin_ctz(bits), 1);
}

/* ---- looking ---- */

struct look {
    enum ebb_sweep how;
    bool warm;                 /* a slab has still to cool: the extent stays stirred */
    uint64_t idle[UNIT_WORDS]; /* units without a living byte, free ones included */
    uint64_t held[UNIT_WORDS]; /* of those, that hold memory */
};

static void look_at_slab(struct claim *k, struct slab *s, struct bin *bin, unsigned first, void *arg)
{
    struct look *look = arg;
    (void)k;
    (void)bin;
    if (s->heat != 0)
        s->heat = (look->how == EBB_SWEEP_ALL ? 0u : s->heat - 1u) & 0xf;
    look->warm |= s->heat != 0;
    if (s->heat != 0)
        return;
    unsigned idle = ebb__slab_idle_units(s);
    set_bits_at(look->idle, first, idle);
    set_bits_at(look->held, first, idle & ~s->holes);
}

/* Leaves in look->idle only units of OS pages that are idle as a whole and hold memory. */
static void keep_whole_pages(struct look *look)
{
    unsigned page = (unsigned)(ebb__os_page_bytes() / EBB_UNIT_BYTES);
    for (unsigned at = 0; at < EBB_EXTENT_UNITS; at += page)
        if (ebb__bitmap_count(look->idle, at, page) != page || ebb__bitmap_count(look->held, at, page) == 0)
            ebb__bitmap_clear(look->idle, at, page);
}

/* ---- claiming ---- */

static void claim_slab(struct claim *k, struct slab *s, struct bin *bin, unsigned first, void *arg)
{
    const struct look *look = arg;
    unsigned mask = (1u << ebb__classes[s->code].units) - 1;
    unsigned wanted = bits_at(look->idle, first) & mask;
    wanted &= ebb__slab_idle_units(s); /* others may have taken blocks since the look */
    if (wanted == 0 || s->claimed != 0)
        return;
    ebb__slab_claim(bin, s, unit_at(k, first), wanted);
    set_bits_at(k->units, first, wanted);
    set_bits_at(k->in_slab, first, wanted);
}

/* Free units of the extent that are parts of wanted pages. Space lock held. */
static void claim_free_units(struct claim *k, const struct look *look)
{
    const struct extent *e = ebb__extent_at(k->base, k->number);
    unsigned at = 0;
    uint64_t wanted[UNIT_WORDS];
    for (unsigned i = 0; i < UNIT_WORDS; i++)
        wanted[i] = look->idle[i] & e->free[i] & ~k->units[i];
    while ((at = ebb__bitmap_next_set(wanted, EBB_EXTENT_UNITS, at)) < EBB_EXTENT_UNITS) {
        unsigned end = ebb__bitmap_next_clear(wanted, EBB_EXTENT_UNITS, at);
        size_t before = ebb__space.retaken_units;
        ebb__extent_take_exact(k->base, k->number, EBB_KIND_SLAB, at, end - at);
        ebb__space.retaken_units = before; /* nobody needed them */
        ebb__bitmap_set(k->units, at, end - at);
        at = end;
    }
}

static bool is_in_use(uint32_t g, const struct extent *e)
{
    return ebb__space.state[g] == EBB_GROUP_ACTIVE && e->kind >= EBB_KIND_SLAB && e->kind <= EBB_KIND_LARGE;
}

/* What the extent has for us. Marks it as swept, or as still warm. */
static void claim_extent(struct claim *k, uint32_t g, enum ebb_sweep how)
{
    struct group *group = (struct group *)(k->base + EBB_META_GROUP_AT);
    const struct extent *e = ebb__extent_at(k->base, k->number);
    struct look look = {.how = how};
    uint64_t bit = UINT64_C(1) << k->number;
    memset(k->units, 0, sizeof(k->units));
    memset(k->in_slab, 0, sizeof(k->in_slab));
    memset(k->purged, 0, sizeof(k->purged));
    /* Swept from here on: what is freed meanwhile stirs it again. */
    bool stirred = how != EBB_SWEEP_FREE &&
                   (atomic_fetch_and_explicit(&group->stirred, ~bit, memory_order_relaxed) & bit) != 0;
    ebb__lock_take(&ebb__space_lock);
    bool in_use = is_in_use(g, e);
    if (in_use && (e->kind != EBB_KIND_SLAB || !stirred)) {
        (void)ebb__extent_claim_dirty(k->base, k->number, k->units);
    } else if (in_use) {
        for (unsigned i = 0; i < UNIT_WORDS; i++) {
            look.idle[i] = e->free[i];
            look.held[i] = e->free[i] & e->backed[i];
        }
    }
    ebb__space_unlock();
    if (!in_use || e->kind != EBB_KIND_SLAB || !stirred)
        return;
    each_slab(k, look_at_slab, &look);
    keep_whole_pages(&look);
    each_slab(k, claim_slab, &look);
    ebb__lock_take(&ebb__space_lock);
    if (is_in_use(g, e) && e->kind == EBB_KIND_SLAB)
        claim_free_units(k, &look);
    ebb__space_unlock();
    if (look.warm)
        atomic_fetch_or_explicit(&group->stirred, bit, memory_order_relaxed);
}

/* ---- purging and releasing ---- */

static void purge_ranges(void)
{
    unsigned done = 0;
    while (done < batch.range_count) {
        unsigned n = ebb__os_purge_many(batch.ranges + done, batch.range_count - done);
        EBB_COUNT(purge_calls, 1);
        for (unsigned i = done; i < done + n; i++) {
            struct claim *k = batch.range_claim[i];
            unsigned first = ebb__unit_number(batch.ranges[i].addr) % EBB_EXTENT_UNITS;
            ebb__bitmap_set(k->purged, first, (unsigned)(batch.ranges[i].bytes / EBB_UNIT_BYTES));
            batch.purged_bytes += batch.ranges[i].bytes;
        }
        EBB_COUNT(purge_ranges, n);
        done += n + 1; /* the one that was refused stays as it is */
    }
    batch.range_count = 0;
    batch.range_bytes = 0;
}

static void add_range(struct claim *k, unsigned from, unsigned to)
{
    if (batch.range_count == EBB_OS_PURGE_MAX)
        purge_ranges();
    batch.ranges[batch.range_count] = (struct ebb_os_range){unit_at(k, from), (to - from) * EBB_UNIT_BYTES};
    batch.range_claim[batch.range_count++] = k;
    batch.range_bytes += (to - from) * EBB_UNIT_BYTES;
}

/* Of what was claimed, the whole pages. */
static void add_ranges(struct claim *k)
{
    unsigned page = (unsigned)(ebb__os_page_bytes() / EBB_UNIT_BYTES);
    for (unsigned at = 0; (at = ebb__bitmap_next_set(k->units, EBB_EXTENT_UNITS, at)) < EBB_EXTENT_UNITS;) {
        unsigned end = ebb__bitmap_next_clear(k->units, EBB_EXTENT_UNITS, at);
        unsigned from = (unsigned)ebb__align_up(at, page), to = (unsigned)ebb__align_down(end, page);
        if (from < to)
            add_range(k, from, to);
        at = end;
    }
}

/* The slab that begins at the unit is ours in part, so it lives. */
static void release_slab(struct claim *k, unsigned first)
{
    char *start = unit_at(k, first);
    struct slab *s = ebb__desc_of(start);
    struct bin *bin = &ebb__bins[ebb__unit_entry(start)];
    unsigned units = ebb__classes[ebb__unit_entry(start)].units;
    ebb__lock_take(&bin->lock);
    bool emptied = ebb__slab_release(bin, s, start, bits_at(k->purged, first) & s->claimed);
    ebb__lock_release(&bin->lock);
    if (emptied)
        ebb__slab_free(start, units);
}

static void release(struct claim *k)
{
    uint64_t holes[UNIT_WORDS], units[UNIT_WORDS];
    size_t inside = 0;
    for (unsigned i = 0; i < UNIT_WORDS; i++) {
        holes[i] = k->in_slab[i] & k->purged[i];
        units[i] = k->units[i] & ~k->in_slab[i];
        inside += ebb__popcount(holes[i]);
    }
    ebb__lock_take(&ebb__space_lock);
    ebb__extent_unback(k->base, k->number, holes); /* before a block of them can be had again */
    for (unsigned at = 0; (at = ebb__bitmap_next_set(units, EBB_EXTENT_UNITS, at)) < EBB_EXTENT_UNITS;) {
        bool purged = ebb__bitmap_test(k->purged, at);
        unsigned end = ebb__bitmap_next_clear(units, EBB_EXTENT_UNITS, at);
        unsigned same = purged ? ebb__bitmap_next_clear(k->purged, EBB_EXTENT_UNITS, at)
                               : ebb__bitmap_next_set(k->purged, EBB_EXTENT_UNITS, at);
        end = end < same ? end : same;
        ebb__extent_give_locked(k->base, k->number, at, end - at, purged);
        at = end;
    }
    ebb__space_unlock();
    EBB_COUNT(slab_pages_purged, inside * EBB_UNIT_BYTES);
    for (unsigned at = 0; (at = ebb__bitmap_next_set(k->in_slab, EBB_EXTENT_UNITS, at)) < EBB_EXTENT_UNITS;) {
        unsigned first = at - (ebb__unit_entry(unit_at(k, at)) >> 8), c = ebb__unit_entry(unit_at(k, first));
        release_slab(k, first);
        at = first + ebb__classes[c].units;
    }
}

size_t ebb__sweep_finish(void)
{
    purge_ranges();
    for (unsigned i = 0; i < batch.claim_count; i++) {
        release(&batch.claims[i]);
        ebb__limbo_leave();
    }
    batch.claim_count = 0;
    size_t purged = batch.purged_bytes;
    batch.purged_bytes = 0;
    EBB_COUNT(purged_bytes, purged);
    return purged;
}

void ebb__sweep_extent(uint32_t g, unsigned number, enum ebb_sweep how)
{
    struct claim *k = &batch.claims[batch.claim_count];
    uint64_t any = 0;
    EBB_ASSERT(batch.claim_count < BATCH_EXTENTS);
    k->base = ebb__space.groups[g];
    k->number = number;
    ebb__limbo_enter();
    claim_extent(k, g, how);
    for (unsigned i = 0; i < UNIT_WORDS; i++)
        any |= k->units[i];
    if (any == 0) {
        ebb__limbo_leave();
        return;
    }
    batch.claim_count++;
    add_ranges(k);
}

bool ebb__sweep_is_full(void)
{
    return batch.claim_count == BATCH_EXTENTS || batch.range_bytes + batch.purged_bytes >= BATCH_BYTES;
}

void ebb__sweep_after_fork(void)
{
    batch.claim_count = batch.range_count = 0;
    batch.range_bytes = batch.purged_bytes = 0;
}
