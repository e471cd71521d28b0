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
 * Between the two, slabs and even the group may go: every slab is asked for under the space lock whether it still lives.
 *
 * Cold first. A slab in which a block was freed is hot; each sweep that finds it untouched cools it, and the second one takes
 * its pages. So nothing is purged that was used in the last interval, and how long that is the governor decides. Pages that
 * are wholly free are no business of such a sweep: how many stay, and how long, is for ebb__heap_purge_free(). An extent
 * with slabs that are hot, or that were freed into, is marked `stirred`; nobody looks at the others.
 *
 * Data: a batch of extents under claim and of ranges to purge; static, for there is one sweeper: the holder of the return
 * lock. Costs: ~0.1 us for each slab that is looked at: two locks; five for each one claimed.
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
    uint32_t group;
    unsigned number;
    uint64_t units[UNIT_WORDS];   /* claimed, in slabs or free */
    uint64_t in_slab[UNIT_WORDS]; /* of those, in slabs */
    uint64_t clean[UNIT_WORDS];   /* of the free ones, those that held no memory */
    uint64_t purged[UNIT_WORDS];
};

/* A range is always of the extent claimed last. */
static struct {
    enum ebb_sweep how;
    size_t keep_units, most_units; /* limits: of free memory that stays, of what is claimed */
    size_t held_units;             /* claimed, and held memory */
    struct claim claims[BATCH_EXTENTS];
    unsigned claim_count;
    struct ebb_os_range ranges[EBB_OS_PURGE_MAX];
    struct claim *range_claim[EBB_OS_PURGE_MAX];
    unsigned range_count;
    size_t purged_bytes;
} batch;

static char *unit_at(const struct claim *k, unsigned unit)
{
    return (char *)(k->base + k->number * EBB_EXTENT_BYTES + unit * EBB_UNIT_BYTES);
}

/* ---- slabs of an extent ---- */

/* Whether slabs may live in the extent. Space lock held. */
static bool has_slabs(const struct claim *k)
{
    return ebb__space.state[k->group] == EBB_GROUP_ACTIVE &&
           ebb__extent_at(k->base, k->number)->kind == EBB_KIND_SLAB;
}

/* Locks the bin of the slab that begins at the unit, if one does and lives. NULL, and no lock, otherwise; *ret_limbo is set
 * when one is being made or given back there. */
static struct slab *lock_slab(const struct claim *k, char *start, struct bin **ret_bin, bool *ret_limbo)
{
    unsigned c = ebb__unit_entry(start); /* with a distance it is no class */
    if (c == EBB_CODE_NONE || c >= EBB_CLASS_COUNT)
        return NULL;
    struct bin *bin = &ebb__bins[c];
    struct slab *s = ebb__desc_of(start);
    ebb__lock_take(&bin->lock);
    /* While the space lock is held no units change hands: what the entry says is what the descriptor is. Else the slab could
     * die here and its descriptor become a part of another one's bitmap, or, with the group inside a chain, of a block. */
    ebb__lock_take(&ebb__space_lock);
    bool is_slab = has_slabs(k) && ebb__unit_entry(start) == c;
    bool limbo =
        is_slab && s->nfree != 0 && s->list == EBB_SLAB_LISTS; /* in no list, and not because it is full */
    ebb__lock_release(&ebb__space_lock);
    *ret_limbo |= limbo;
    if (is_slab && !limbo) { /* from here on the bin's lock keeps it alive */
        *ret_bin = bin;
        return s;
    }
    ebb__lock_release(&bin->lock);
    return NULL;
}

/* Calls fn(claim, slab, its bin, its first unit, arg) under the bin's lock for every slab of the extent. Returns whether one
 * could not be looked at, because it is being made or given back. */
typedef void slab_fn(struct claim *k, struct slab *s, struct bin *bin, unsigned first, void *arg);

static bool each_slab(struct claim *k, slab_fn *fn, void *arg)
{
    bool limbo = false;
    for (unsigned u = 0; u < EBB_EXTENT_UNITS;) {
        struct bin *bin;
        struct slab *s = lock_slab(k, unit_at(k, u), &bin, &limbo);
        if (s == NULL) {
            u++;
            continue;
        }
        unsigned units = ebb__slab_units(s);
        fn(k, s, bin, u, arg);
        ebb__lock_release(&bin->lock);
        u += units;
    }
    return limbo;
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
    bool warm;         /* the extent stays stirred: a slab has still to cool, or not all was claimed */
    size_t free_units; /* that hold memory and may go: the rest is to be kept */
    uint64_t idle[UNIT_WORDS]; /* units without a living byte, free ones included */
    uint64_t held[UNIT_WORDS]; /* of those, that hold memory */
    uint64_t free[UNIT_WORDS]; /* of the idle ones, in no slab */
};

static void look_at_slab(struct claim *k, struct slab *s, struct bin *bin, unsigned first, void *arg)
{
    struct look *look = arg;
    (void)k;
    (void)bin;
    if (s->nfree == 0)
        s->heat = 0; /* full: the next block that is freed stirs it */
    if (s->heat != 0)
        s->heat = (batch.how == EBB_SWEEP_ALL ? 0u : s->heat - 1u) & 0xf;
    look->warm |= s->heat != 0;
    if (s->heat != 0)
        return;
    unsigned idle = ebb__slab_idle_units(s);
    set_bits_at(look->idle, first, idle);
    set_bits_at(look->held, first, idle & ~s->holes);
}

/* How many units with memory an idle page holds; 0 when it is not to be taken. Of wholly free pages none is taken by sweeps that
 * look for cold slabs (how long those stay is a question of its own, see ebb__heap_purge_free()), and none that is to be kept. */
static unsigned worth_of_page(struct look *look, unsigned at, unsigned page)
{
    unsigned held = ebb__bitmap_count(look->held, at, page);
    if (ebb__bitmap_count(look->idle, at, page) != page)
        return 0;
    if (ebb__bitmap_count(look->free, at, page) == page) {
        if (batch.how == EBB_SWEEP_COLD || look->free_units == 0)
            return 0;
        look->free_units -= ebb__min(held, look->free_units);
    }
    return held;
}

/* Leaves in look->idle only units of OS pages that are idle as a whole and hold memory, as many as the batch may have. Returns
 * whether there are any. */
static bool keep_whole_pages(struct look *look)
{
    unsigned page = (unsigned)(ebb__os_page_bytes() / EBB_UNIT_BYTES);
    bool any = false;
    for (unsigned at = 0; at < EBB_EXTENT_UNITS; at += page) {
        unsigned held = worth_of_page(look, at, page);
        if (held != 0 && batch.held_units < batch.most_units) {
            batch.held_units += held;
            any = true;
            continue;
        }
        look->warm |= held != 0;
        ebb__bitmap_clear(look->idle, at, page);
    }
    return any;
}

/* ---- claiming ---- */

static void claim_slab(struct claim *k, struct slab *s, struct bin *bin, unsigned first, void *arg)
{
    const struct look *look = arg;
    unsigned mask = (1u << ebb__slab_units(s)) - 1;
    unsigned wanted = bits_at(look->idle, first) & mask;
    wanted &= ebb__slab_idle_units(s); /* others may have taken blocks since the look */
    if (wanted == 0)
        return;
    ebb__slab_claim(bin, s, unit_at(k, first), wanted);
    set_bits_at(k->units, first, wanted);
    set_bits_at(k->in_slab, first, wanted);
}

/* Free units of the extent that are parts of wanted pages. Space lock held. */
static void claim_free_units(struct claim *k, const struct look *look)
{
    const struct extent *e = ebb__extent_at(k->base, k->number);
    uint64_t wanted[UNIT_WORDS];
    for (unsigned i = 0; i < UNIT_WORDS; i++)
        wanted[i] = look->idle[i] & e->free[i] & ~k->units[i];
    (void)ebb__extent_claim_units(k->base, k->number, wanted, k->clean);
    for (unsigned i = 0; i < UNIT_WORDS; i++)
        k->units[i] |= wanted[i];
}

/* Free memory that may go now. Space lock held. */
static size_t free_units_to_go(void)
{
    size_t dirty = ebb__space.dirty_units;
    return dirty > batch.keep_units ? dirty - batch.keep_units : 0;
}

/* Whole free pages of an extent that is in use. Space lock held. */
static void claim_free_pages(struct claim *k)
{
    size_t most = ebb__min(free_units_to_go(), batch.most_units - batch.held_units);
    ebb__extent_find_dirty(k->base, k->number, most, k->units);
    batch.held_units += ebb__extent_claim_units(k->base, k->number, k->units, k->clean);
}

/* Whether the slabs of the extent are to be looked at; then it is swept from here on, and what is freed meanwhile stirs it
 * again. The group's metadata is touched under the space lock only: at any other time it may be inside a chain. */
static bool begin_look(struct claim *k, struct look *ret_look)
{
    struct group *group = (struct group *)(k->base + EBB_META_GROUP_AT);
    const struct extent *e = ebb__extent_at(k->base, k->number);
    uint64_t bit = UINT64_C(1) << k->number;
    ebb__lock_take(&ebb__space_lock);
    bool in_use = ebb__space.state[k->group] == EBB_GROUP_ACTIVE && e->kind >= EBB_KIND_SLAB &&
                  e->kind <= EBB_INDEXED_KINDS;
    bool slabs = in_use && batch.how != EBB_SWEEP_FREE && has_slabs(k) &&
                 (atomic_fetch_and_explicit(&group->stirred, ~bit, memory_order_relaxed) & bit) != 0;
    if (slabs) {
        ret_look->free_units = free_units_to_go();
        for (unsigned i = 0; i < UNIT_WORDS; i++) {
            ret_look->idle[i] = ret_look->free[i] = e->free[i];
            ret_look->held[i] = e->free[i] & e->backed[i];
        }
    } else if (in_use && batch.how != EBB_SWEEP_COLD) {
        claim_free_pages(k);
    }
    ebb__space_unlock();
    return slabs;
}

/* What the extent has for us. Marks it as swept, or as still warm. */
static void claim_extent(struct claim *k)
{
    struct look look = {0};
    if (!begin_look(k, &look))
        return;
    look.warm |= each_slab(k, look_at_slab, &look);
    if (keep_whole_pages(&look))
        (void)each_slab(k, claim_slab, &look);
    ebb__lock_take(&ebb__space_lock);
    if (has_slabs(k)) {
        claim_free_units(k, &look);
        if (look.warm)
            atomic_fetch_or_explicit(&ebb__group_of((void *)k->base)->stirred, UINT64_C(1) << k->number,
                                     memory_order_relaxed);
    }
    ebb__space_unlock();
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
}

static void add_range(struct claim *k, unsigned from, unsigned to)
{
    if (batch.range_count == EBB_OS_PURGE_MAX)
        purge_ranges();
    batch.ranges[batch.range_count] = (struct ebb_os_range){unit_at(k, from), (to - from) * EBB_UNIT_BYTES};
    batch.range_claim[batch.range_count++] = k;
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

/* The slab that begins at the unit is ours in part, so it lives; hereafter it may not. Returns its units. */
static unsigned release_slab(struct claim *k, unsigned first)
{
    char *start = unit_at(k, first);
    struct slab *s = ebb__desc_of(start);
    struct bin *bin = &ebb__bins[ebb__unit_entry(start)];
    unsigned units = ebb__slab_units(s);
    ebb__lock_take(&bin->lock);
    bool emptied = ebb__slab_release(bin, s, start, bits_at(k->purged, first) & s->claimed);
    ebb__lock_release(&bin->lock);
    if (emptied)
        ebb__slab_free(start, units);
    return units;
}

static void release(struct claim *k)
{
    uint64_t holes[UNIT_WORDS], units[UNIT_WORDS], clean[UNIT_WORDS];
    size_t inside = 0;
    for (unsigned i = 0; i < UNIT_WORDS; i++) {
        holes[i] = k->in_slab[i] & k->purged[i];
        units[i] = k->units[i] & ~k->in_slab[i];
        clean[i] = k->purged[i] | k->clean[i];
        inside += ebb__popcount(holes[i]);
    }
    ebb__lock_take(&ebb__space_lock);
    ebb__extent_unback(k->base, k->number, holes); /* before a block of them can be had again */
    for (unsigned at = 0; (at = ebb__bitmap_next_set(units, EBB_EXTENT_UNITS, at)) < EBB_EXTENT_UNITS;) {
        bool is_clean = ebb__bitmap_test(clean, at);
        unsigned end = ebb__bitmap_next_clear(units, EBB_EXTENT_UNITS, at);
        unsigned same = is_clean ? ebb__bitmap_next_clear(clean, EBB_EXTENT_UNITS, at)
                                 : ebb__bitmap_next_set(clean, EBB_EXTENT_UNITS, at);
        end = end < same ? end : same;
        ebb__extent_release_units(k->base, k->number, at, end - at, is_clean);
        at = end;
    }
    ebb__space_unlock();
    EBB_COUNT(slab_pages_purged, inside * EBB_UNIT_BYTES);
    for (unsigned at = 0; (at = ebb__bitmap_next_set(k->in_slab, EBB_EXTENT_UNITS, at)) < EBB_EXTENT_UNITS;) {
        unsigned first = at - (ebb__unit_entry(unit_at(k, at)) >> 8);
        at = first + release_slab(k, first);
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

void ebb__sweep_begin(enum ebb_sweep how, size_t keep_bytes, size_t most_bytes)
{
    batch.how = how;
    batch.keep_units = keep_bytes / EBB_UNIT_BYTES;
    batch.most_units = ebb__div_up(ebb__min(most_bytes, BATCH_BYTES), EBB_UNIT_BYTES);
    batch.held_units = 0;
}

void ebb__sweep_extent(uint32_t g, unsigned number)
{
    struct claim *k = &batch.claims[batch.claim_count];
    uint64_t any = 0;
    EBB_ASSERT(batch.claim_count < BATCH_EXTENTS);
    *k = (struct claim){.base = ebb__space.groups[g], .group = g, .number = number};
    ebb__limbo_enter();
    claim_extent(k);
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
    return batch.claim_count == BATCH_EXTENTS || batch.held_units >= batch.most_units;
}

void ebb__sweep_after_fork(void)
{
    batch.claim_count = batch.range_count = 0;
    batch.purged_bytes = 0;
}
