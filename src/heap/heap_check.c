/* SPDX-License-Identifier: MIT
 * Walks the whole heap and compares derived state with the truth; invariants H1.. are listed in heap_priv.h.
 */
#include "heap/heap_priv.h"

struct census {
    uint64_t used[EBB_GROUP_UNITS / 64];  /* units of the group that something living covers */
    uint64_t holes[EBB_GROUP_UNITS / 64]; /* purged units of slabs */
    uint32_t slabs[EBB_CLASS_COUNT];      /* by class */
    uint32_t empty[EBB_CLASS_COUNT];
    uint32_t listed[EBB_CLASS_COUNT]; /* slabs that have a free block */
    size_t backed_units, dirty_units, span_units, span_blocks;
    int rc;
};
static struct census census; /* 4 KiB; the check is for one thread */

static int check_slab(struct census *k, const char *start, unsigned c)
{
    const struct ebb_class *class = &ebb__classes[c];
    const struct slab *s = ebb__desc_of(start);
    EBB_HOLDS("H5", s->code == c, s->code, c);
    unsigned units = ebb__slab_units(s), blocks = ebb__slab_blocks(s), bits = units * 256 - 128;
    unsigned nfree = ebb__bitmap_count(s->free, 0, blocks);
    EBB_HOLDS("H5", s->nfree == nfree, s->nfree, nfree);
    EBB_HOLDS("H5", ebb__bitmap_count(s->free, blocks, bits - blocks) == 0, start, c);
    EBB_HOLDS("H6", s->list == ebb__slab_list_for(nfree, class), s->list, nfree);
    for (unsigned u = 1; u < units; u++) {
        unsigned entry = ebb__unit_entry(start + u * EBB_UNIT_BYTES);
        EBB_HOLDS("H1", entry == (c | u << 8), entry, c | u << 8);
    }
    EBB_HOLDS("H9", (s->holes & ~ebb__slab_idle_units(s)) == 0, s->holes, start);
    EBB_HOLDS("H10", s->claimed == 0, s->claimed, start);
    for (unsigned u = 0; u < units; u++)
        if (s->holes >> u & 1)
            ebb__bitmap_set(k->holes, ebb__unit_number(start) + u, 1);
    k->slabs[c]++;
    k->empty[c] += nfree == blocks;
    k->listed[c] += nfree != 0;
    return 0;
}

static int check_kind(const char *start, unsigned code)
{
    const struct extent *e = ebb__extent_at(ebb__group_base(start), ebb__extent_number(start));
    bool is_region = code == EBB_CODE_SPAN && ebb__span_kind(start) == EBB_KIND_REGION;
    EBB_HOLDS("H12", is_region == (e->kind == EBB_KIND_REGION), e->kind, code);
    return 0;
}

static void visit(char *start, size_t units, unsigned code, void *arg)
{
    struct census *k = arg;
    size_t unit = ebb__unit_number(start), end = ebb__min(unit + units, EBB_GROUP_UNITS);
    ebb__bitmap_set(k->used, (unsigned)unit, (unsigned)(end - unit));
    if (k->rc == 0)
        k->rc = check_kind(start, code);
    k->span_blocks += code == EBB_CODE_SPAN;
    k->span_units += code == EBB_CODE_SPAN ? units : 0;
    if (code != EBB_CODE_SPAN && k->rc == 0)
        k->rc = check_slab(k, start, code);
}

static int check_index(const struct group *group, const struct extent *e, unsigned number)
{
    const struct space *s = &ebb__space;
    const uint8_t stands[2] = {e->class_any, e->class_dirty};
    unsigned kind = e->kind - 1u;
    for (unsigned which = 0; which < 2; which++)
        for (unsigned c = 1; c < EBB_RUN_CLASSES; c++)
            for (unsigned k = 0; k < EBB_INDEXED_KINDS; k++) {
                bool is = group->runs[which][k][c] >> number & 1;
                EBB_HOLDS("H3", is == (k == kind && c == stands[which]), c, number);
                bool upper = s->runs[group->index / 64][which][k][c] >> (group->index % 64) & 1;
                EBB_HOLDS("H3", upper == (group->runs[which][k][c] != 0), c, group->index);
                EBB_HOLDS("H3", !upper || (s->run_masks[which][k] >> c & 1), c, k);
            }
    return 0;
}

static int check_extent(struct census *k, uintptr_t base, unsigned number)
{
    const struct group *group = (const struct group *)(base + EBB_META_GROUP_AT);
    const struct extent *e = ebb__extent_at(base, number);
    uint64_t dirty[EBB_EXTENT_UNITS / 64];
    unsigned used = ebb__bitmap_count(k->used, number * EBB_EXTENT_UNITS, EBB_EXTENT_UNITS);
    bool in_free = group->free_extents >> number & 1, in_dirty = group->dirty_extents >> number & 1;
    k->backed_units += ebb__bitmap_count(e->backed, 0, EBB_EXTENT_UNITS);
    k->dirty_units += e->ndirty;
    EBB_HOLDS("H3", in_free == (e->kind == EBB_KIND_FREE), in_free, e->kind);
    if (e->kind == EBB_KIND_FREE) {
        EBB_HOLDS("H1", used == 0, used, number);
        EBB_HOLDS("H4", in_dirty == (e->ndirty != 0), in_dirty, e->ndirty);
        EBB_HOLDS("H4", e->ndirty == ebb__bitmap_count(e->backed, 0, EBB_EXTENT_UNITS), e->ndirty, number);
        EBB_HOLDS("H3", e->class_any == 0 && e->class_dirty == 0, e->class_any, e->class_dirty);
        return check_index(group, e, number);
    }
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(dirty); i++) {
        dirty[i] = e->free[i] & e->backed[i];
        EBB_HOLDS("H1", e->free[i] == ~k->used[number * EBB_ARRAY_COUNT(dirty) + i], e->free[i],
                  k->used[number * EBB_ARRAY_COUNT(dirty) + i]);
        EBB_HOLDS("H9", (~e->free[i] & ~e->backed[i]) == k->holes[number * EBB_ARRAY_COUNT(dirty) + i],
                  e->free[i], e->backed[i]);
    }
    EBB_HOLDS("H2", e->nfree == EBB_EXTENT_UNITS - used, e->nfree, used);
    EBB_HOLDS("H2", e->ndirty == ebb__bitmap_count(dirty, 0, EBB_EXTENT_UNITS), e->ndirty, number);
    EBB_HOLDS("H2", e->run_any == ebb__bitmap_longest_run(e->free, EBB_EXTENT_UNITS), e->run_any, number);
    EBB_HOLDS("H2", e->run_dirty == ebb__bitmap_longest_run(dirty, EBB_EXTENT_UNITS), e->run_dirty, number);
    EBB_HOLDS("H3", e->class_any == ebb__run_class(e->run_any), e->class_any, e->run_any);
    EBB_HOLDS("H3", e->class_dirty == ebb__run_class(e->run_dirty), e->class_dirty, e->run_dirty);
    const struct reservation *r = &ebb__space.reservations[group->reservation];
    EBB_HOLDS("H7", ebb__space_is_committed(r, base + (number + (uintptr_t)1) * EBB_EXTENT_BYTES), base,
              number);
    return check_index(group, e, number);
}

static int check_group(struct census *k, uint32_t g)
{
    const struct space *s = &ebb__space;
    uintptr_t base = s->groups[g];
    const struct group *group = (const struct group *)(base + EBB_META_GROUP_AT);
    bool owned = atomic_load(&ebb__owned[base >> EBB_GROUP_SHIFT]);
    EBB_HOLDS("H8", owned == (s->state[g] == EBB_GROUP_ACTIVE), owned, s->state[g]);
    if (s->state[g] == EBB_GROUP_CHAIN)
        k->backed_units += EBB_GROUP_UNITS;
    if (s->state[g] != EBB_GROUP_ACTIVE)
        return 0;
    EBB_HOLDS("H8", group->index == g, group->index, g);
    EBB_HOLDS("H3", (s->free_groups[g / 64] >> (g % 64) & 1) == (group->free_extents != 0), g,
              group->free_extents);
    EBB_HOLDS("H4", (s->dirty_groups[g / 64] >> (g % 64) & 1) == (group->dirty_extents != 0), g,
              group->dirty_extents);
    EBB_HOLDS("H4", (group->dirty_extents & ~group->free_extents) == 0, group->dirty_extents,
              group->free_extents);
    memset(k->used, 0, sizeof(k->used));
    memset(k->holes, 0, sizeof(k->holes));
    ebb__walk_group(g, visit, k);
    for (uint64_t left = group->extents; left != 0 && k->rc == 0; left &= left - 1)
        k->rc = check_extent(k, base, ebb__ctz(left));
    return k->rc;
}

static int check_bins(const struct census *k)
{
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++) {
        const struct bin *bin = &ebb__bins[c];
        uint32_t listed = 0;
        EBB_HOLDS("H6", bin->slab_count == k->slabs[c], bin->slab_count, k->slabs[c]);
        EBB_HOLDS("H6", bin->empty_count == k->empty[c], bin->empty_count, k->empty[c]);
        for (unsigned list = 0; list < EBB_SLAB_LISTS; list++) {
            EBB_HOLDS("H6", (bin->nonempty >> list & 1) == (bin->lists[list] != 0), list, bin->lists[list]);
            uint32_t before = 0;
            for (uint32_t id = bin->lists[list]; id != 0 && listed <= k->listed[c]; listed++) {
                uintptr_t start;
                const struct slab *s = ebb__slab_at(id, &start);
                EBB_HOLDS("H6", s->code == c && s->list == list, s->code, s->list);
                EBB_HOLDS("H6", s->prev == before, s->prev, before);
                before = id;
                id = s->next;
            }
        }
        EBB_HOLDS("H6", listed == k->listed[c], listed, k->listed[c]);
    }
    return 0;
}

/* The upper level of the index: its counts and masks are those of its words. */
static int check_upper(void)
{
    const struct space *s = &ebb__space;
    for (unsigned which = 0; which < 2; which++)
        for (unsigned k = 0; k < EBB_INDEXED_KINDS; k++)
            for (unsigned c = 0; c < 64; c++) {
                uint32_t groups = 0;
                for (uint32_t w = 0; c < EBB_RUN_CLASSES && w < s->active_words; w++)
                    groups += ebb__popcount(s->runs[w][which][k][c]);
                EBB_HOLDS("H3", c >= EBB_RUN_CLASSES || s->run_counts[which][k][c] == groups, c, groups);
                EBB_HOLDS("H3", (s->run_masks[which][k] >> c & 1) == (groups != 0), c, groups);
            }
    return 0;
}

int ebb__heap_check(void)
{
    const struct space *s = &ebb__space;
    memset(&census, 0, sizeof(census));
    if (check_upper() != 0)
        return -EUCLEAN;
    for (uint32_t g = 0; g < s->group_count; g++)
        if (check_group(&census, g) != 0)
            return -EUCLEAN;
    EBB_HOLDS("H4", s->backed_units == census.backed_units, s->backed_units, census.backed_units);
    size_t charged = ebb__ledger_exact(&ebb__ledger_heap);
    size_t held = s->backed_units * EBB_UNIT_BYTES + (size_t)EBB_COUNTED(lane_bytes);
    EBB_HOLDS("H13", charged == held, charged, held);
    EBB_HOLDS("H4", s->dirty_units == census.dirty_units, s->dirty_units, census.dirty_units);
    EBB_HOLDS("H11", s->span_blocks == census.span_blocks, s->span_blocks, census.span_blocks);
    EBB_HOLDS("H11", s->span_units == census.span_units, s->span_units, census.span_units);
    return check_bins(&census);
}

/* ---- for those above who check blocks that they hold ---- */

bool ebb__heap_mark(const void *block, bool marked)
{
    unsigned entry = ebb__unit_entry(block), c = entry & 0xff;
    uint32_t offset = ebb__slab_offset(entry, block);
    unsigned index = ebb__block_index(offset, ebb__classes[c].magic);
    struct slab *s = ebb__desc_of((const char *)block - offset);
    bool was = ebb__bitmap_test(s->free, index);
    s->free[index / 64] ^= (uint64_t)(was != marked) << (index % 64);
    return was != marked;
}
