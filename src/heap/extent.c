/* SPDX-License-Identifier: MIT
 *
 * Units of an extent: which are free, which may hold memory, and where the next run comes from.
 *
 * What. An extent serves one kind of user (slabs, spans to 256 KiB, larger spans, spans of regions), so that
 * memory of different lifetimes does not mix. A run of n units is taken from
 *   1. a run of backed units in an extent of the kind: no page fault
 *   2. a free extent that has backed units
 *   3. any run in an extent of the kind
 *   4. a free extent that was never used or was purged
 * and within each from the smallest class of longest run that fits (fullest extents first), at the lowest
 * address.
 *
 * The index. Extents are found through two levels of words. A group has one word for each (backed or any,
 * kind, run class) with a bit for each extent; the space has one word for each 64 groups. Finding the lowest
 * extent of a class takes two count-trailing-zeros; runs are classed so finely that the first class at or
 * above n nearly always fits.
 *
 * Locking: the space lock for all of it. Costs: ~60 ns; recomputing the longest runs is most of that.
 * Failure: when the frontier must move, the lock is dropped around the kernel and the search begins anew.
 */
#include "heap/heap_priv.h"

unsigned ebb__run_class(unsigned run)
{
    if (run <= 16)
        return run;
    unsigned doubling = ebb__log2(run); /* 16..31 -> 4 */
    return 16 + (doubling - 4) * 8 + ((run >> (doubling - 3)) & 7);
}

/* ---- the index of runs ---- */

static void index_add(uint32_t g, struct group *group, unsigned which, unsigned kind, unsigned c,
                      unsigned number)
{
    struct space *s = &ebb__space;
    uint64_t *word = &group->runs[which][kind][c];
    if (*word == 0) {
        s->runs[g / 64][which][kind][c] |= UINT64_C(1) << (g % 64);
        if (s->run_counts[which][kind][c]++ == 0)
            s->run_masks[which][kind] |= UINT64_C(1) << c;
    }
    *word |= UINT64_C(1) << number;
}

static void index_drop(uint32_t g, struct group *group, unsigned which, unsigned kind, unsigned c,
                       unsigned number)
{
    struct space *s = &ebb__space;
    uint64_t *word = &group->runs[which][kind][c];
    *word &= ~(UINT64_C(1) << number);
    if (*word == 0) {
        s->runs[g / 64][which][kind][c] &= ~(UINT64_C(1) << (g % 64));
        if (--s->run_counts[which][kind][c] == 0)
            s->run_masks[which][kind] &= ~(UINT64_C(1) << c);
    }
}

static void reindex_one(struct group *group, struct extent *e, unsigned number, unsigned which,
                        uint8_t *stands, unsigned c)
{
    if (*stands == c)
        return;
    unsigned kind = e->kind - 1u;
    if (*stands != 0)
        index_drop(group->index, group, which, kind, *stands, number);
    if (c != 0)
        index_add(group->index, group, which, kind, c, number);
    *stands = (uint8_t)c;
}

/* The units that are free and backed. */
static const uint64_t *dirty_units(const struct extent *e, uint64_t *ret_words)
{
    if (e->ndirty == e->nfree)
        return e->free;
    for (unsigned i = 0; i < EBB_EXTENT_UNITS / 64; i++)
        ret_words[i] = e->free[i] & e->backed[i];
    return ret_words;
}

static void reindex(uintptr_t base, unsigned number)
{
    struct group *group = (struct group *)(base + EBB_META_GROUP_AT);
    struct extent *e = ebb__extent_at(base, number);
    EBB_ASSERT(e->kind >= EBB_KIND_SLAB && e->kind <= EBB_INDEXED_KINDS);
    reindex_one(group, e, number, EBB_RUN_ANY, &e->class_any, ebb__run_class(e->run_any));
    reindex_one(group, e, number, EBB_RUN_DIRTY, &e->class_dirty, ebb__run_class(e->run_dirty));
}

void ebb__extent_index(uintptr_t base, unsigned number)
{
    struct extent *e = ebb__extent_at(base, number);
    uint64_t words[EBB_EXTENT_UNITS / 64];
    e->run_any = (uint16_t)ebb__bitmap_longest_run(e->free, EBB_EXTENT_UNITS);
    const uint64_t *dirty = dirty_units(e, words);
    e->run_dirty = dirty == e->free ? e->run_any : (uint16_t)ebb__bitmap_longest_run(dirty, EBB_EXTENT_UNITS);
    reindex(base, number);
}

/* After [first, first + n) became free: the longest run is the old one or the one that they are part of. */
static void index_given(uintptr_t base, unsigned number, unsigned first, bool clean)
{
    struct extent *e = ebb__extent_at(base, number);
    uint64_t words[EBB_EXTENT_UNITS / 64];
    unsigned run = ebb__bitmap_run_at(e->free, EBB_EXTENT_UNITS, first);
    e->run_any = (uint16_t)(run > e->run_any ? run : e->run_any);
    if (!clean) {
        run = ebb__bitmap_run_at(dirty_units(e, words), EBB_EXTENT_UNITS, first);
        e->run_dirty = (uint16_t)(run > e->run_dirty ? run : e->run_dirty);
    }
    reindex(base, number);
}

void ebb__extent_unindex(uintptr_t base, unsigned number)
{
    struct group *group = (struct group *)(base + EBB_META_GROUP_AT);
    struct extent *e = ebb__extent_at(base, number);
    reindex_one(group, e, number, EBB_RUN_ANY, &e->class_any, 0);
    reindex_one(group, e, number, EBB_RUN_DIRTY, &e->class_dirty, 0);
}

/* ---- wholly free extents ---- */

static void note_free(struct group *group)
{
    struct space *s = &ebb__space;
    uint64_t bit = UINT64_C(1) << (group->index % 64);
    uint64_t *free_word = &s->free_groups[group->index / 64],
             *dirty_word = &s->dirty_groups[group->index / 64];
    *free_word = group->free_extents != 0 ? *free_word | bit : *free_word & ~bit;
    *dirty_word = group->dirty_extents != 0 ? *dirty_word | bit : *dirty_word & ~bit;
}

void ebb__extent_claim(uintptr_t base, unsigned number, enum ebb_kind kind)
{
    struct group *group = (struct group *)(base + EBB_META_GROUP_AT);
    struct extent *e = ebb__extent_at(base, number);
    EBB_ASSERT(e->kind == EBB_KIND_FREE && (group->free_extents >> number & 1));
    group->free_extents &= ~(UINT64_C(1) << number);
    group->dirty_extents &= ~(UINT64_C(1) << number);
    note_free(group);
    memset(e->free, 0xff, sizeof(e->free));
    e->nfree = EBB_EXTENT_UNITS;
    e->kind = (uint8_t)kind;
}

void ebb__extent_release(uintptr_t base, unsigned number)
{
    struct group *group = (struct group *)(base + EBB_META_GROUP_AT);
    struct extent *e = ebb__extent_at(base, number);
    EBB_ASSERT(e->kind != EBB_KIND_FREE && e->nfree == EBB_EXTENT_UNITS);
    ebb__extent_unindex(base, number);
    e->kind = EBB_KIND_FREE;
    group->free_extents |= UINT64_C(1) << number;
    if (e->ndirty != 0)
        group->dirty_extents |= UINT64_C(1) << number;
    /* What its slabs left to be swept went with them. */
    atomic_fetch_and_explicit(&group->stirred, ~(UINT64_C(1) << number), memory_order_relaxed);
    note_free(group);
}

void ebb__group_mark_dirty(uint32_t g)
{
    struct space *s = &ebb__space;
    struct group *group = (struct group *)(s->groups[g] + EBB_META_GROUP_AT);
    EBB_ASSERT(s->state[g] == EBB_GROUP_ACTIVE && group->free_extents == group->extents);
    for (uint64_t left = group->extents; left != 0; left &= left - 1) {
        struct extent *e = ebb__extent_at(s->groups[g], ebb__ctz(left));
        memset(e->backed, 0xff, sizeof(e->backed));
        e->ndirty = EBB_EXTENT_UNITS;
        s->backed_units += EBB_EXTENT_UNITS;
        s->dirty_units += EBB_EXTENT_UNITS;
    }
    group->dirty_extents = group->extents;
    note_free(group);
}

/* ---- taking ---- */

/* Lowest extent that stands under class c, or 0. */
static uintptr_t lowest_in_class(unsigned which, unsigned kind, unsigned c, unsigned *ret_number)
{
    const struct space *s = &ebb__space;
    for (uint32_t w = 0; w < s->active_words; w++) {
        uint64_t groups = s->runs[w][which][kind][c];
        if (groups == 0)
            continue;
        uintptr_t base = s->groups[w * 64 + ebb__ctz(groups)];
        *ret_number = ebb__ctz(((struct group *)(base + EBB_META_GROUP_AT))->runs[which][kind][c]);
        return base;
    }
    return 0;
}

/* An extent of the kind with a run of n units; 0 when there is none. */
static uintptr_t find_extent(unsigned which, enum ebb_kind k, unsigned n, unsigned *ret_number)
{
    const struct space *s = &ebb__space;
    unsigned kind = k - 1u;
    uint64_t classes = s->run_masks[which][kind] >> ebb__run_class(n) << ebb__run_class(n);
    for (; classes != 0; classes &= classes - 1) {
        uintptr_t base = lowest_in_class(which, kind, ebb__ctz(classes), ret_number);
        const struct extent *e = ebb__extent_at(base, *ret_number);
        /* Only the lowest class can hold shorter runs than n; its lowest extent is tried, the others are
         * skipped. */
        if ((which == EBB_RUN_DIRTY ? e->run_dirty : e->run_any) >= n)
            return base;
    }
    return 0;
}

/* The lowest wholly free extent, with backed units if `dirty`; 0 when there is none. */
static uintptr_t find_free_extent(bool dirty, unsigned *ret_number)
{
    const struct space *s = &ebb__space;
    const uint64_t *words = dirty ? s->dirty_groups : s->free_groups;
    for (uint32_t w = 0; w < s->active_words; w++) {
        if (words[w] == 0)
            continue;
        uintptr_t base = s->groups[w * 64 + ebb__ctz(words[w])];
        const struct group *group = (const struct group *)(base + EBB_META_GROUP_AT);
        *ret_number = ebb__ctz(dirty ? group->dirty_extents : group->free_extents);
        return base;
    }
    return 0;
}

/* What a search that must ask the kernel first leaves behind. */
struct need {
    struct ebb_pass pass;             /* wanted_units: there was no room for so many; else */
    const struct reservation *commit; /* NULL: more address space */
    uintptr_t end;
    uint32_t seen;
};

/* A free extent below the frontier for `kind`, or what is needed to get one. */
static uintptr_t open_extent(enum ebb_kind kind, bool dirty, unsigned *ret_number, struct need *ret_need)
{
    struct space *s = &ebb__space;
    uintptr_t base = find_free_extent(dirty, ret_number);
    if (base == 0 && dirty)
        return 0;
    if (base == 0) {
        /* A group that has no metadata yet: the lowest one. */
        for (uint32_t g = 0; g < s->group_count && base == 0; g++) {
            if (s->state[g] != EBB_GROUP_VIRGIN)
                continue;
            const struct reservation *r = ebb__space_reservation_of_group(g);
            if (r->base + r->bytes - s->groups[g] < 2 * EBB_EXTENT_BYTES)
                continue; /* no room for a block behind the metadata */
            ret_need->commit = r;
            ret_need->end = s->groups[g] + 2 * EBB_EXTENT_BYTES;
            if (!ebb__space_is_committed(r, ret_need->end))
                return 0;
            ebb__space_activate(g);
            base = s->groups[g];
            *ret_number = 1;
        }
        if (base == 0) {
            ret_need->commit = NULL;
            ret_need->seen = s->group_count;
            return 0;
        }
    }
    const struct group *group = (const struct group *)(base + EBB_META_GROUP_AT);
    const struct reservation *r = &s->reservations[group->reservation];
    ret_need->commit = r;
    ret_need->end = base + (*ret_number + (uintptr_t)1) * EBB_EXTENT_BYTES;
    if (!ebb__space_is_committed(r, ret_need->end))
        return 0;
    ebb__extent_claim(base, *ret_number, kind);
    return base;
}

/* Marks [first, first + n) used and backed. Returns how many were backed before. */
static unsigned mark_used(struct extent *e, unsigned first, unsigned n)
{
    struct space *s = &ebb__space;
    unsigned backed = ebb__bitmap_count(e->backed, first, n);
    EBB_ASSERT(ebb__bitmap_count(e->free, first, n) == n);
    ebb__bitmap_clear(e->free, first, n);
    ebb__bitmap_set(e->backed, first, n);
    e->nfree = (uint16_t)(e->nfree - n);
    e->ndirty = (uint16_t)(e->ndirty - backed);
    s->dirty_units -= backed;
    s->backed_units += n - backed;
    return backed;
}

/* The same for somebody who needs them. */
static void use_units(struct extent *e, unsigned first, unsigned n, uint64_t *ret_backed)
{
    if (ret_backed != NULL) {
        memset(ret_backed, 0, ebb__div_up(n, 64) * 8);
        for (unsigned i = 0; i < n; i++)
            if (ebb__bitmap_test(e->backed, first + i))
                ret_backed[i / 64] |= UINT64_C(1) << (i % 64);
    }
    ebb__space.retaken_units += mark_used(e, first, n);
    ebb__space_note_rise();
}

/* Lowest start of n units in the extent, backed ones if `which` says so. */
static unsigned find_start(const struct extent *e, unsigned which, unsigned n, unsigned align)
{
    uint64_t words[EBB_EXTENT_UNITS / 64];
    return ebb__bitmap_find_run(which == EBB_RUN_ANY ? e->free : dirty_units(e, words), EBB_EXTENT_UNITS, n,
                                align);
}

static unsigned dirty_run_at(const struct extent *e, unsigned unit)
{
    uint64_t words[EBB_EXTENT_UNITS / 64];
    return ebb__bitmap_run_at(dirty_units(e, words), EBB_EXTENT_UNITS, unit);
}

/* The last resort when the kernel refuses to move a frontier: a free extent that lies below one. 0 when there
 * is none. */
static uintptr_t open_committed_extent(enum ebb_kind kind, unsigned *ret_number)
{
    const struct space *s = &ebb__space;
    for (uint32_t g = 0; g < s->group_count; g++) {
        const struct group *group = (const struct group *)(s->groups[g] + EBB_META_GROUP_AT);
        if (s->state[g] != EBB_GROUP_ACTIVE || group->free_extents == 0)
            continue;
        unsigned number = ebb__ctz(group->free_extents);
        if (ebb__space_is_committed(&s->reservations[group->reservation],
                                    s->groups[g] + (number + (uintptr_t)1) * EBB_EXTENT_BYTES)) {
            ebb__extent_claim(s->groups[g], number, kind);
            *ret_number = number;
            return s->groups[g];
        }
    }
    return 0;
}

static void *take_locked(enum ebb_kind kind, unsigned n, unsigned align, uint64_t *ret_backed,
                         bool committed_only, struct need *ret_need)
{
    /* Any run of n + align - 1 units holds n aligned ones; a free extent is aligned to everything up to its
     * size. */
    unsigned search = n + align - 1;
    unsigned number = 0, start;
    uintptr_t base = 0;
    unsigned which = EBB_RUN_DIRTY;
    if (search <= EBB_EXTENT_UNITS)
        base = find_extent(EBB_RUN_DIRTY, kind, search, &number);
    if (base == 0) {
        which = EBB_RUN_ANY;
        base = open_extent(kind, true, &number, ret_need);
    }
    if (base == 0 && search <= EBB_EXTENT_UNITS)
        base = find_extent(EBB_RUN_ANY, kind, search, &number);
    if (base == 0)
        base = committed_only ? open_committed_extent(kind, &number)
                              : open_extent(kind, false, &number, ret_need);
    if (base == 0)
        return NULL;
    struct extent *e = ebb__extent_at(base, number);
    start = find_start(e, which, n, align);
    EBB_ASSERT(start + n <= EBB_EXTENT_UNITS);
    unsigned fresh = which == EBB_RUN_DIRTY ? 0 : n - ebb__bitmap_count(e->backed, start, n);
    if (fresh != 0 && !ebb__gate_admits(&ret_need->pass, fresh)) {
        if (e->nfree == EBB_EXTENT_UNITS) /* opened just now */
            ebb__extent_release(base, number);
        return NULL;
    }
    /* The longest runs change only when the run that is cut was one of them. */
    bool same_any = ebb__bitmap_run_at(e->free, EBB_EXTENT_UNITS, start) < e->run_any;
    unsigned dirty_before = e->ndirty;
    bool same_dirty = which == EBB_RUN_DIRTY && dirty_run_at(e, start) < e->run_dirty;
    use_units(e, start, n, ret_backed);
    if (same_any && (same_dirty || e->ndirty == dirty_before))
        reindex(base, number);
    else
        ebb__extent_index(base, number);
    void *run = (void *)(base + number * EBB_EXTENT_BYTES + start * EBB_UNIT_BYTES);
    if (kind != EBB_KIND_SLAB)
        ebb__span_birth(run, n, kind == EBB_KIND_REGION ? EBB_HELD_BY_REGION : EBB_HELD_BY_NOBODY);
    return run;
}

void *ebb__extent_take(enum ebb_kind kind, unsigned n, unsigned align, enum ebb_room room,
                       uint64_t *ret_backed)
{
    EBB_ASSERT(n >= 1 && n <= EBB_EXTENT_UNITS && ebb__is_pow2(align) && align <= EBB_EXTENT_UNITS);
    struct need need = {.pass = {.room = room}};
    for (bool committed_only = false;;) {
        need.pass.wanted_units = 0;
        ebb__lock_take(&ebb__space_lock);
        void *p = take_locked(kind, n, align, ret_backed, committed_only, &need);
        ebb__space_unlock();
        if (need.pass.wanted_units != 0 && ebb__gate_open(&need.pass, n * EBB_UNIT_BYTES))
            continue;
        if (p != NULL || committed_only || need.pass.wanted_units != 0) {
            ebb__gate_leave(&need.pass);
            return p;
        }
        int rc = need.commit != NULL ? ebb__space_commit(need.commit, need.end)
                                     : ebb__space_reserve(EBB_EXTENT_BYTES, need.seen);
        committed_only = rc != 0;
    }
}

bool ebb__extent_can_take(uintptr_t base, unsigned number, enum ebb_kind kind, unsigned first, unsigned n)
{
    const struct group *group = (const struct group *)(base + EBB_META_GROUP_AT);
    const struct extent *e = ebb__extent_at(base, number);
    if (group->free_extents >> number & 1)
        return true;
    return e->kind == kind && ebb__bitmap_count(e->free, first, n) == n;
}

void ebb__extent_take_exact(uintptr_t base, unsigned number, enum ebb_kind kind, unsigned first, unsigned n)
{
    struct extent *e = ebb__extent_at(base, number);
    if (e->kind == EBB_KIND_FREE)
        ebb__extent_claim(base, number, kind);
    use_units(e, first, n, NULL);
    ebb__extent_index(base, number);
}

/* ---- giving ---- */

void ebb__extent_give_locked(uintptr_t base, unsigned number, unsigned first, unsigned n, bool clean)
{
    struct space *s = &ebb__space;
    struct extent *e = ebb__extent_at(base, number);
    unsigned backed = ebb__bitmap_count(e->backed, first, n); /* a slab's holes are not */
    EBB_ASSERT(ebb__bitmap_count(e->free, first, n) == 0);
    ebb__bitmap_set(e->free, first, n);
    e->nfree = (uint16_t)(e->nfree + n);
    if (clean) {
        ebb__bitmap_clear(e->backed, first, n);
        s->backed_units -= backed;
    } else {
        e->ndirty = (uint16_t)(e->ndirty + backed);
        s->dirty_units += backed;
        if (s->dirty_units > EBB_DIRTY_FLOOR_UNITS)
            ebb__heap_want_upkeep(EBB_UPKEEP_DIRTY);
    }
    ebb__space_note_fall();
    e->freed_ms = (uint32_t)ebb__os_now_ms();
    if (e->nfree == EBB_EXTENT_UNITS)
        ebb__extent_release(base, number);
    else if (!clean && backed != n)
        ebb__extent_index(base, number);
    else
        index_given(base, number, first, clean);
}

/* ---- for those who give back to the kernel ---- */

void ebb__extent_find_dirty(uintptr_t base, unsigned number, size_t most, uint64_t *ret_units)
{
    const struct extent *e = ebb__extent_at(base, number);
    unsigned page = (unsigned)(ebb__os_page_bytes() / EBB_UNIT_BYTES), held = 0;
    memset(ret_units, 0, EBB_EXTENT_UNITS / 8);
    if (e->ndirty == 0)
        return;
    for (unsigned pos = 0; (pos = ebb__bitmap_next_set(e->free, EBB_EXTENT_UNITS, pos)) < EBB_EXTENT_UNITS;) {
        unsigned end = ebb__bitmap_next_clear(e->free, EBB_EXTENT_UNITS, pos);
        for (unsigned at = (unsigned)ebb__align_up(pos, page); at + page <= end && held < most; at += page) {
            unsigned backed = ebb__bitmap_count(e->backed, at, page);
            if (backed != 0)
                ebb__bitmap_set(ret_units, at, page);
            held += backed;
        }
        pos = end;
    }
}

unsigned ebb__extent_claim_units(uintptr_t base, unsigned number, const uint64_t *units, uint64_t *ret_clean)
{
    struct extent *e = ebb__extent_at(base, number);
    unsigned held = 0, count = 0;
    for (unsigned i = 0; i < EBB_EXTENT_UNITS / 64; i++)
        ret_clean[i] = units[i] & ~e->backed[i];
    for (unsigned at = 0; (at = ebb__bitmap_next_set(units, EBB_EXTENT_UNITS, at)) < EBB_EXTENT_UNITS;) {
        unsigned end = ebb__bitmap_next_clear(units, EBB_EXTENT_UNITS, at);
        held += mark_used(e, at, end - at);
        count += end - at;
        at = end;
    }
    ebb__space.claimed_units += count;
    if (count != 0)
        ebb__extent_index(base, number);
    return held;
}

void ebb__extent_release_units(uintptr_t base, unsigned number, unsigned first, unsigned n, bool clean)
{
    struct extent *e = ebb__extent_at(base, number);
    uint32_t freed_ms = e->freed_ms;
    ebb__space.claimed_units -= n;
    ebb__extent_give_locked(base, number, first, n, clean);
    e->freed_ms = freed_ms; /* nobody has used them meanwhile */
}

bool ebb__extent_refill(void *start, unsigned units, struct ebb_pass *pass)
{
    uintptr_t base = ebb__group_base(start);
    struct extent *e = ebb__extent_at(base, ebb__extent_number(start));
    unsigned first = ebb__unit_number(start) % EBB_EXTENT_UNITS, count = ebb__popcount(units);
    ebb__lock_take(&ebb__space_lock);
    if (!ebb__gate_admits(pass, count)) {
        ebb__space_unlock();
        return false;
    }
    for (; units != 0; units &= units - 1)
        ebb__bitmap_set(e->backed, first + (unsigned)__builtin_ctz(units), 1);
    ebb__space.backed_units += count;
    ebb__space.retaken_units += count;
    ebb__space_note_rise();
    ebb__space_unlock();
    EBB_COUNT(refaulted_bytes, count * EBB_UNIT_BYTES);
    return true;
}

void ebb__extent_unback(uintptr_t base, unsigned number, const uint64_t *units)
{
    struct extent *e = ebb__extent_at(base, number);
    for (unsigned i = 0; i < EBB_EXTENT_UNITS / 64; i++) {
        ebb__space.backed_units -= ebb__popcount(e->backed[i] & units[i]);
        e->backed[i] &= ~units[i];
    }
    ebb__space_note_fall();
}

/* ---- giving ---- */

void ebb__extent_give(void *start, unsigned n)
{
    ebb__lock_take(&ebb__space_lock);
    ebb__span_death(start, n);
    ebb__extent_give_locked(ebb__group_base(start), ebb__extent_number(start),
                            ebb__unit_number(start) % EBB_EXTENT_UNITS, n, false);
    ebb__space_unlock();
}
