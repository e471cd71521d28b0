/* SPDX-License-Identifier: MIT
 *
 * Runs of more than one extent: blocks above 2 MiB.
 *
 * What. Up to 126 MiB a chain lies in one group: whole extents and a tail, and the rest of the tail's extent
 * serves other large spans. It is taken in the lowest group where it fits, there from the shortest run of free
 * extents. A longer chain ends where a group ends and begins as far before as it must; so only its first group
 * keeps metadata, and the groups behind it, their metadata extents included, are block from end to end. Such a
 * group is in state CHAIN and not owned: a pointer into it is foreign to every lookup. When the chain is given
 * back it has just been purged, its groups read as zero, and are virgin again.
 *
 *     | meta | ... other blocks ... | chain |  chain, whole group  |  chain, whole group  |
 *                                   ^ the block                                          ^ group end
 *
 * Locking: the space lock; dropped around the kernel, then the search begins anew. Costs: one word operation
 * for each group on the way; a group has 63 extents.
 */
#include "heap/heap_priv.h"

#define DATA_EXTENTS (EBB_GROUP_EXTENTS - 1)

struct need {
    struct ebb_pass pass; /* wanted_units: there was no room for so many; else */
    const struct reservation *commit;
    uintptr_t end;
};

/* Applies fn-like steps to each extent that [first, first + n) units of a group touch. */
struct part {
    unsigned number; /* extent */
    unsigned first;  /* unit in it */
    unsigned n;
};

static bool next_part(size_t *unit, size_t end, struct part *ret)
{
    if (*unit >= end)
        return false;
    ret->number = (unsigned)(*unit / EBB_EXTENT_UNITS);
    ret->first = (unsigned)(*unit % EBB_EXTENT_UNITS);
    ret->n = (unsigned)ebb__min(EBB_EXTENT_UNITS - ret->first, end - *unit);
    *unit += ret->n;
    return true;
}

static void take_range(uintptr_t base, enum ebb_kind kind, size_t from, size_t end)
{
    struct part part;
    while (next_part(&from, end, &part))
        ebb__extent_take_exact(base, part.number, kind, part.first, part.n);
}

static void give_range(uintptr_t base, size_t from, size_t end, bool clean)
{
    struct part part;
    while (next_part(&from, end, &part))
        ebb__extent_give_locked(base, part.number, part.first, part.n, clean);
}

/* First of k adjacent free extents in the shortest run that has them, the lowest of equals; or 64. Long runs stay whole for
 * long chains. Extents are numbered in their group; group bases are aligned to any alignment that is asked for here. */
static unsigned find_extents(const uint64_t *free_extents, unsigned k, unsigned align)
{
    unsigned best = EBB_GROUP_EXTENTS, best_run = EBB_GROUP_EXTENTS + 1;
    for (unsigned at = 0;
         (at = ebb__bitmap_next_set(free_extents, EBB_GROUP_EXTENTS, at)) < EBB_GROUP_EXTENTS;) {
        unsigned end = ebb__bitmap_next_clear(free_extents, EBB_GROUP_EXTENTS, at);
        unsigned start = (unsigned)ebb__align_up(at, align);
        if (start + k <= end && end - at < best_run) {
            best = start;
            best_run = end - at;
        }
        at = end;
    }
    return best;
}

/* Whether the ledger has room for a chain that begins with free extents, which may hold memory already. What a part of the last
 * one holds is not looked for. */
static bool admits(uintptr_t base, unsigned first, size_t units, struct need *ret_need)
{
    size_t fresh = units;
    for (unsigned number = first; units >= EBB_EXTENT_UNITS && number < EBB_GROUP_EXTENTS; number++) {
        fresh -= ebb__extent_at(base, number)->ndirty;
        units -= EBB_EXTENT_UNITS;
    }
    ret_need->commit = NULL;
    return ebb__gate_admits(&ret_need->pass, fresh);
}

static void *take_in_group(uint32_t g, size_t units, unsigned align, bool *ret_clean, struct need *ret_need)
{
    const struct space *s = &ebb__space;
    uintptr_t base = s->groups[g];
    const struct group *group = (const struct group *)(base + EBB_META_GROUP_AT);
    unsigned k = (unsigned)ebb__div_up(units, EBB_EXTENT_UNITS);
    unsigned first = find_extents(&group->free_extents, k, align);
    if (first == EBB_GROUP_EXTENTS)
        return NULL;
    ret_need->commit = &s->reservations[group->reservation];
    ret_need->end = base + (first + k) * EBB_EXTENT_BYTES;
    if (!ebb__space_is_committed(ret_need->commit, ret_need->end))
        return NULL;
    if (!admits(base, first, units, ret_need))
        return NULL;
    *ret_clean = (group->dirty_extents & ebb__mask(first, k)) == 0;
    size_t unit = (size_t)first * EBB_EXTENT_UNITS;
    take_range(base, EBB_KIND_LARGE, unit, unit + units);
    ret_need->commit = NULL;
    void *start = (void *)(base + first * EBB_EXTENT_BYTES);
    ebb__span_birth(start, units, EBB_HELD_BY_NOBODY);
    return start;
}

/* One pass over the groups for a chain of up to 63 extents. NULL with need->commit set: move the frontier and come back;
 * NULL without: no group has room. With committed_only, what lies beyond a frontier is passed over. */
static void *take_short(size_t units, unsigned align, bool committed_only, bool *ret_clean,
                        struct need *ret_need)
{
    struct space *s = &ebb__space;
    size_t k = ebb__div_up(units, EBB_EXTENT_UNITS);
    ret_need->commit = NULL;
    for (uint32_t g = 0; g < s->group_count; g++) {
        const struct reservation *r = ebb__space_reservation_of_group(g);
        if (s->state[g] != EBB_GROUP_VIRGIN && s->state[g] != EBB_GROUP_ACTIVE)
            continue;
        if (s->state[g] == EBB_GROUP_VIRGIN) {
            if (r->base + r->bytes - s->groups[g] < (k + 1) * EBB_EXTENT_BYTES)
                continue;
            ret_need->end = s->groups[g] + 2 * EBB_EXTENT_BYTES;
            if (!ebb__space_is_committed(r, ret_need->end)) {
                if (committed_only)
                    continue;
                ret_need->commit = r;
                return NULL;
            }
            ebb__space_activate(g);
        }
        void *p = take_in_group(g, units, align, ret_clean, ret_need);
        if (p != NULL || ret_need->pass.wanted_units != 0 || (ret_need->commit != NULL && !committed_only))
            return p;
        ret_need->commit = NULL;
    }
    return NULL;
}

/* ---- chains over whole groups ---- */

static bool group_is_whole(uint32_t g)
{
    const struct reservation *r = ebb__space_reservation_of_group(g);
    return r->base + r->bytes - ebb__space.groups[g] >= EBB_GROUP_BYTES;
}

static bool group_is_empty(uint32_t g)
{
    const struct space *s = &ebb__space;
    if (s->state[g] == EBB_GROUP_VIRGIN)
        return group_is_whole(g);
    if (s->state[g] != EBB_GROUP_ACTIVE)
        return false;
    const struct group *group = (const struct group *)(s->groups[g] + EBB_META_GROUP_AT);
    return group->free_extents == ~UINT64_C(1); /* all 63, so the group is whole */
}

/* True when extents [first, 64) of the group can begin a chain. */
static bool group_end_is_free(uint32_t g, unsigned first)
{
    const struct space *s = &ebb__space;
    if (s->state[g] == EBB_GROUP_VIRGIN)
        return group_is_whole(g);
    if (s->state[g] != EBB_GROUP_ACTIVE)
        return false;
    const struct group *group = (const struct group *)(s->groups[g] + EBB_META_GROUP_AT);
    uint64_t wanted = ebb__mask(first, EBB_GROUP_EXTENTS - first);
    return (group->free_extents & wanted) == wanted;
}

/* Turns an empty group into the inside of a chain. Returns whether it reads as zero. */
static bool swallow(uint32_t g)
{
    struct space *s = &ebb__space;
    uintptr_t base = s->groups[g];
    bool clean = s->state[g] == EBB_GROUP_VIRGIN;
    if (!clean) {
        struct group *group = (struct group *)(base + EBB_META_GROUP_AT);
        for (uint64_t left = group->dirty_extents; left != 0; left &= left - 1) {
            const struct extent *e = ebb__extent_at(base, ebb__ctz(left));
            s->dirty_units -= e->ndirty;
            s->backed_units -= e->ndirty;
            s->retaken_units += e->ndirty;
        }
        s->free_groups[g / 64] &= ~(UINT64_C(1) << (g % 64));
        s->dirty_groups[g / 64] &= ~(UINT64_C(1) << (g % 64));
        atomic_store_explicit(&ebb__owned[base >> EBB_GROUP_SHIFT], 0, memory_order_relaxed);
    }
    s->backed_units += EBB_GROUP_UNITS;
    s->state[g] = EBB_GROUP_CHAIN;
    ebb__space_note_rise();
    return clean;
}

/* The lowest groups [g, g + count) where a chain of k extents fits, ending with the last one's end; or
 * group_count. */
static uint32_t find_groups(uint32_t count, unsigned first)
{
    const struct space *s = &ebb__space;
    for (uint32_t g = 0; g + count <= s->group_count; g++) {
        if (!group_end_is_free(g, first))
            continue;
        uint32_t n = 1;
        while (n < count && group_is_empty(g + n) &&
               ebb__space_reservation_of_group(g + n) == ebb__space_reservation_of_group(g))
            n++;
        if (n == count)
            return g;
        g += n - 1;
    }
    return s->group_count;
}

/* Where a chain of k extents begins in its first group, 1..63, and how many groups it reaches into. */
static unsigned place_long(size_t k, unsigned align, uint32_t *ret_count)
{
    uint32_t count = (uint32_t)ebb__div_up(k + 1, EBB_GROUP_EXTENTS);
    size_t first = ebb__align_down((size_t)count * EBB_GROUP_EXTENTS - k, align);
    if (first == 0) /* alignment would put the block on the metadata: one group more, in front */
        count++;
    if (first == 0 || first >= EBB_GROUP_EXTENTS) /* the rest is slack at the end of the last group */
        first = EBB_GROUP_EXTENTS - align;
    *ret_count = count;
    return (unsigned)first;
}

static void *take_long(size_t units, unsigned align, bool *ret_clean, struct need *ret_need)
{
    struct space *s = &ebb__space;
    size_t k = ebb__div_up(units, EBB_EXTENT_UNITS);
    uint32_t count;
    unsigned first = place_long(k, align, &count);
    ret_need->commit = NULL;
    uint32_t g = find_groups(count, first);
    if (g == s->group_count)
        return NULL;
    const struct reservation *r = ebb__space_reservation_of_group(g);
    uintptr_t base = s->groups[g];
    ret_need->commit = r;
    ret_need->end = base + count * EBB_GROUP_BYTES;
    if (!ebb__space_is_committed(r, ret_need->end))
        return NULL;
    if (s->state[g] == EBB_GROUP_VIRGIN)
        ebb__space_activate(g);
    if (!admits(base, first, ebb__chain_extent_units((void *)(base + first * EBB_EXTENT_BYTES), units),
                ret_need))
        return NULL;
    const struct group *group = (const struct group *)(base + EBB_META_GROUP_AT);
    *ret_clean = (group->dirty_extents & ebb__mask(first, EBB_GROUP_EXTENTS - first)) == 0;
    size_t unit = (size_t)first * EBB_EXTENT_UNITS;
    take_range(base, EBB_KIND_LARGE, unit, ebb__min(unit + units, EBB_GROUP_UNITS));
    for (uint32_t i = 1; i < count; i++)
        *ret_clean &= swallow(g + i);
    ret_need->commit = NULL;
    void *start = (void *)(base + first * EBB_EXTENT_BYTES);
    ebb__span_birth(start, units, EBB_HELD_BY_NOBODY);
    return start;
}

void *ebb__chain_take(size_t units, unsigned align_extents, enum ebb_room room, bool *ret_clean)
{
    size_t k = ebb__div_up(units, EBB_EXTENT_UNITS);
    bool is_long = k + align_extents - 1 > DATA_EXTENTS;
    EBB_ASSERT(units > EBB_EXTENT_UNITS && align_extents <= EBB_GROUP_EXTENTS / 2);
    if (k >= (size_t)EBB_GROUPS_MAX * EBB_GROUP_EXTENTS)
        return NULL; /* more than all address space that the tables can describe */
    struct need need = {.pass = {.room = room}};
    for (bool committed_only = false;;) {
        need.pass.wanted_units = 0;
        ebb__lock_take(&ebb__space_lock);
        void *p = is_long ? take_long(units, align_extents, ret_clean, &need)
                          : take_short(units, align_extents, committed_only, ret_clean, &need);
        uint32_t seen = ebb__space.group_count;
        ebb__space_unlock();
        if (need.pass.wanted_units != 0 && ebb__gate_open(&need.pass, units * EBB_UNIT_BYTES))
            continue;
        if (p != NULL || committed_only || need.pass.wanted_units != 0) {
            ebb__gate_leave(&need.pass);
            return p;
        }
        size_t more = is_long ? ebb__align_up((k + 1) * EBB_EXTENT_BYTES, EBB_GROUP_BYTES) + EBB_GROUP_BYTES
                              : (k + align_extents) * EBB_EXTENT_BYTES;
        int rc =
            need.commit != NULL ? ebb__space_commit(need.commit, need.end) : ebb__space_reserve(more, seen);
        if (rc != 0 && is_long) {
            ebb__gate_leave(&need.pass);
            return NULL;
        }
        committed_only = rc != 0;
    }
}

bool ebb__chain_crosses(const void *start, size_t units)
{
    return ebb__unit_number(start) + units > EBB_GROUP_UNITS;
}

size_t ebb__chain_extent_units(const void *start, size_t units)
{
    size_t unit = ebb__unit_number(start);
    return unit + units > EBB_GROUP_UNITS ? ebb__align_up(unit + units, EBB_GROUP_UNITS) - unit : units;
}

void ebb__chain_give(void *start, size_t units, size_t clean_from, size_t clean_to)
{
    struct space *s = &ebb__space;
    uintptr_t base = ebb__group_base(start);
    size_t unit = ebb__unit_number(start), all = ebb__chain_extent_units(start, units);
    uint32_t inner = (uint32_t)ebb__div_up(unit + units, EBB_GROUP_UNITS) - 1;
    bool clean = clean_from == 0 && clean_to == all;
    /* Virgin means zero. Groups that the kernel would not take back (locked memory) become active and dirty
     * instead, with their metadata zeroed by hand before others see it. */
    for (uint32_t i = 1; i <= inner && !clean; i++)
        memset((void *)(base + i * EBB_GROUP_BYTES), 0, EBB_EXTENT_BYTES);
    ebb__lock_take(&ebb__space_lock);
    ebb__span_death(start, units);
    if (inner != 0) {
        uint32_t g = ((const struct group *)(base + EBB_META_GROUP_AT))->index;
        for (uint32_t i = 1; i <= inner; i++) {
            s->state[g + i] = EBB_GROUP_VIRGIN;
            s->backed_units -= EBB_GROUP_UNITS;
            if (!clean) {
                ebb__space_activate(g + i);
                ebb__group_mark_dirty(g + i);
            }
        }
        give_range(base, unit, EBB_GROUP_UNITS, clean);
    } else {
        give_range(base, unit, unit + clean_from, false);
        give_range(base, unit + clean_from, unit + clean_to, true);
        give_range(base, unit + clean_to, unit + units, false);
    }
    ebb__space_unlock();
}

/* ---- resizing in place ---- */

static bool resize_locked(void *start, size_t old_units, size_t new_units, struct need *ret_need)
{
    const struct space *s = &ebb__space;
    uintptr_t base = ebb__group_base(start);
    const struct group *group = (const struct group *)(base + EBB_META_GROUP_AT);
    size_t unit = ebb__unit_number(start), old_end = unit + old_units, new_end = unit + new_units;
    enum ebb_kind kind = (enum ebb_kind)ebb__extent_at(base, ebb__extent_number(start))->kind;
    ret_need->commit = NULL;
    if (new_end < old_end) {
        give_range(base, new_end, old_end, false);
        return true;
    }
    size_t at = old_end, fresh = new_end - old_end;
    struct part part;
    while (next_part(&at, new_end, &part)) {
        if (!(group->extents >> part.number & 1) ||
            !ebb__extent_can_take(base, part.number, kind, part.first, part.n))
            return false;
        fresh -= ebb__bitmap_count(ebb__extent_at(base, part.number)->backed, part.first, part.n);
    }
    ret_need->end = base + ebb__align_up(new_end * EBB_UNIT_BYTES, EBB_EXTENT_BYTES);
    if (!ebb__space_is_committed(&s->reservations[group->reservation], ret_need->end)) {
        ret_need->commit = &s->reservations[group->reservation];
        return false;
    }
    if (!ebb__gate_admits(&ret_need->pass, fresh))
        return false;
    take_range(base, kind, old_end, new_end);
    return true;
}

bool ebb__chain_resize(void *start, size_t old_units, size_t new_units, enum ebb_room room)
{
    if (ebb__chain_crosses(start, old_units) || ebb__chain_crosses(start, new_units))
        return false;
    struct need need = {.pass = {.room = room}};
    for (;;) {
        need.pass.wanted_units = 0;
        ebb__lock_take(&ebb__space_lock);
        bool done = resize_locked(start, old_units, new_units, &need);
        if (done) { /* the length is part of the truth: it changes before another thread can take or give the units */
            ((struct span *)ebb__desc_of(start))->units = (uint32_t)new_units;
            ebb__span_count(0, new_units - old_units);
        }
        ebb__space_unlock();
        if (need.pass.wanted_units != 0 && ebb__gate_open(&need.pass, new_units * EBB_UNIT_BYTES))
            continue;
        if (done || need.pass.wanted_units != 0 || need.commit == NULL ||
            ebb__space_commit(need.commit, need.end) != 0) {
            ebb__gate_leave(&need.pass);
            return done;
        }
    }
}
