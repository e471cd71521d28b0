/* SPDX-License-Identifier: MIT
 *
 * Slabs: blocks of one size class, with their state out of line.
 *
 * What. A slab is a run of 4 to 16 units, or of one: a seed. One bit for each block says whether it is free; the bits stand in
 * the unit descriptors of the slab's own units, so they need no allocation and no pointer. The memory of a
 * free block is never read or written. Slabs belong to nobody: any thread takes from and gives to any slab
 * under its bin's lock.
 *
 *     unit map     c,0  c,1  c,2  c,3            (class, distance from the head)
 *     descriptors  [next prev nfree code list | bits...][bits...........][bits...........][bits...........]
 *
 * Placement. A bin keeps its slabs with free blocks in 8 lists by fullness. Blocks are taken from the fullest
 * slab first and, within it, from the lowest address; sparse slabs are left to run empty and go back to their
 * extent. Into a list a slab goes at the front when it lies lower than the first one, else behind it, so that
 * low addresses are preferred.
 *
 * Locking. One lock for each class, rank BIN; a slab is made and given back outside it, so the kernel is
 * never asked under it. Costs: take and give pay one lock for up to 125 blocks, and 2 to 6 ns a block.
 *
 * Failure: a short count. Fork: rebuild.c relists every slab from its bitmap.
 *
 * Seeds. Where an OS page is several units large, the first slabs of all classes would make a small process hold one or two such
 * pages for each class it uses. There the first slab of a class is one unit, so that many share a page; the class's next
 * slab, made while there is one, is a grown one. An empty seed is kept only while the class has nothing else.
 *
 * Holes. A unit of the slab whose blocks are all free can be purged while the others are in use (sweep.c): it is then a hole,
 * which holds no memory until a block of it is handed out. Far from a limit holes are filled as they come, for low addresses in
 * full slabs let other pages run empty. Where the gate keeps one closed, blocks that hold memory come first, wherever they are, then
 * a slab from free units that do; only then somebody is asked to make room.
 */
#include "heap/heap_priv.h"

struct bin ebb__bins[EBB_CLASS_COUNT] = {[0 ... EBB_CLASS_COUNT - 1] = {.lock = EBB_LOCK_INIT(EBB_RANK_BIN)}};
uint64_t ebb_alloc_counter;

struct slab *ebb__slab_at(uint32_t id, uintptr_t *ret_start)
{
    uintptr_t start =
        ebb__space.groups[id / EBB_GROUP_UNITS] + (size_t)(id % EBB_GROUP_UNITS) * EBB_UNIT_BYTES;
    *ret_start = start;
    return ebb__desc_of((void *)start);
}

static uint32_t id_of(const void *start)
{
    return ebb__group_of(start)->index * EBB_GROUP_UNITS + ebb__unit_number(start);
}

/* ---- lists ---- */

unsigned ebb__slab_list_for(unsigned nfree, const struct ebb_class *class)
{
    EBB_STATIC_ASSERT(EBB_SLAB_LISTS == 8, "`eighth` counts eighths");
    return nfree == 0 ? EBB_SLAB_LISTS : (unsigned)((uint64_t)(nfree - 1) * class->eighth >> 28);
}

static struct slab *slab_of_id(uint32_t id)
{
    uintptr_t start;
    return ebb__slab_at(id, &start);
}

void ebb__slab_link(struct bin *bin, struct slab *s, uint32_t id)
{
    unsigned list = ebb__slab_list_for(s->nfree, &ebb__classes[s->code]);
    s->list = list & 0xf;
    if (list == EBB_SLAB_LISTS)
        return;
    uint32_t first = bin->lists[list];
    bin->nonempty |= 1u << list;
    if (first == 0 || id < first) {
        s->next = first;
        s->prev = 0;
        bin->lists[list] = id;
    } else {
        struct slab *head = slab_of_id(first);
        s->next = head->next;
        s->prev = first;
        head->next = id;
    }
    if (s->next != 0)
        slab_of_id(s->next)->prev = id;
}

static void unlink_slab(struct bin *bin, struct slab *s)
{
    if (s->list == EBB_SLAB_LISTS)
        return;
    if (s->next != 0)
        slab_of_id(s->next)->prev = s->prev;
    if (s->prev != 0)
        slab_of_id(s->prev)->next = s->next;
    else if ((bin->lists[s->list] = s->next) == 0)
        bin->nonempty &= ~(1u << s->list);
    s->list = EBB_SLAB_LISTS;
}

/* Moves a slab whose nfree has changed. */
static void relink(struct bin *bin, struct slab *s, uint32_t id)
{
    if (s->list == ebb__slab_list_for(s->nfree, &ebb__classes[s->code]))
        return;
    unlink_slab(bin, s);
    ebb__slab_link(bin, s, id);
}

/* ---- life and death ---- */

/* The sweeper shall look at the slab's extent. */
EBB_COLD static void stir(const char *start)
{
    atomic_fetch_or_explicit(&ebb__group_of(start)->stirred, UINT64_C(1) << ebb__extent_number(start),
                             memory_order_relaxed);
    ebb__heap_want_upkeep(EBB_UPKEEP_DIRTY);
}

/* Carves a slab; it is in no list yet. No lock held. */
static void *make_slab(unsigned c, bool seed, enum ebb_room room)
{
    unsigned units = seed ? 1 : ebb__classes[c].units;
    uint64_t backed[1];
    char *start = ebb__extent_take(EBB_KIND_SLAB, units, 1, room, backed);
    if (start == NULL)
        return NULL;
    struct slab *s = ebb__desc_of(start);
    memset(s, 0, units * EBB_DESC_BYTES);
    s->code = c & 0x7f;
    s->seed = seed;
    s->nfree = (uint16_t)ebb__slab_blocks(s);
    s->list = EBB_SLAB_LISTS;
    ebb__bitmap_set(s->free, 0, s->nfree);
    for (unsigned u = units; u-- > 1;)
        atomic_store_explicit(ebb__map_entry(start + u * EBB_UNIT_BYTES), (uint16_t)(c | u << 8),
                              memory_order_relaxed);
    /* Last: with this the slab lives (see heap_priv.h). Whoever frees a block of it got the block through the
     * bin's lock. */
    atomic_store_explicit(ebb__map_entry(start), (uint16_t)c, memory_order_release);
    if (backed[0] != 0) { /* pages that nobody may ever need hold memory from before */
        s->heat = EBB_SLAB_HOT;
        stir(start);
    }
    EBB_COUNT(slabs_made, 1);
    return start;
}

/* It is in no list, counted in limbo, and all its blocks are free. */
void ebb__slab_free(void *slab_start, unsigned units)
{
    char *start = slab_start;
    for (unsigned u = 0; u < units; u++)
        atomic_store_explicit(ebb__map_entry(start + u * EBB_UNIT_BYTES), EBB_CODE_NONE,
                              memory_order_relaxed);
    ebb__extent_give(start, units);
    ebb__limbo_leave();
    EBB_COUNT(slabs_freed, 1);
}

/* ---- blocks and units ---- */

/* The units that block `index` touches, as bits. */
static unsigned units_of_block(const struct ebb_class *class, unsigned index)
{
    unsigned first = (index * class->bytes) >> EBB_UNIT_SHIFT;
    unsigned last = (index * class->bytes + class->bytes - 1) >> EBB_UNIT_SHIFT;
    return ((2u << last) - 1) & ~((1u << first) - 1);
}

/* The same of one that was just taken. */
static unsigned units_of(const struct ebb_class *class, uintptr_t start, const void *block)
{
    return units_of_block(class, ebb__block_index((uint32_t)((uintptr_t)block - start), class->magic));
}

/* The blocks that touch units [from, to): the first, and in *ret_count how many. */
static unsigned blocks_touching(const struct slab *s, unsigned from, unsigned to, unsigned *ret_count)
{
    const struct ebb_class *class = &ebb__classes[s->code];
    unsigned blocks = ebb__slab_blocks(s);
    unsigned first = ebb__block_index(from << EBB_UNIT_SHIFT, class->magic);
    unsigned last = ebb__block_index((to << EBB_UNIT_SHIFT) - 1, class->magic);
    last = last < blocks ? last : blocks - 1;
    *ret_count = last + 1 - first;
    return first;
}

/* The same for the lowest run of `units`, which is taken out of them. */
static unsigned take_out_run(const struct slab *s, unsigned *units, unsigned *ret_count)
{
    unsigned from = (unsigned)__builtin_ctz(*units), to = from + (unsigned)__builtin_ctz(~(*units >> from));
    *units &= ~((1u << to) - 1);
    return blocks_touching(s, from, to, ret_count);
}

/* ---- taking ---- */

/* Frees those of the blocks again, taken just now, that touch holes. Returns how many stay. */
static unsigned untake(struct slab *s, uintptr_t start, void **blocks, unsigned count)
{
    const struct ebb_class *class = &ebb__classes[s->code];
    unsigned kept = 0;
    for (unsigned i = 0; i < count; i++) {
        if ((units_of(class, start, blocks[i]) & s->holes) == 0) {
            blocks[kept++] = blocks[i];
            continue;
        }
        unsigned index = ebb__block_index((uint32_t)((uintptr_t)blocks[i] - start), class->magic);
        s->free[index / 64] |= UINT64_C(1) << (index % 64);
        s->nfree++;
    }
    return kept;
}

/* These holes of the slab hold memory again from now on, if the gate lets them. */
static bool fill(struct slab *s, uintptr_t start, unsigned units, struct ebb_pass *pass)
{
    if (EBB_UNLIKELY(!ebb__extent_refill((void *)start, units, pass)))
        return false;
    s->holes = (uint16_t)(s->holes & ~units);
    return true;
}

/* Blocks that were just taken may lie in holes, which are filled: all of them, else as many as there is room for. Returns how
 * many blocks stay taken; pass->wanted_units says what the first of the others lacks. The bin's lock held. */
EBB_NOINLINE static unsigned fill_holes(struct slab *s, uintptr_t start, void **blocks, unsigned count,
                                        struct ebb_pass *pass)
{
    const struct ebb_class *class = &ebb__classes[s->code];
    unsigned touched = 0;
    for (unsigned i = 0; i < count; i++)
        touched |= units_of(class, start, blocks[i]);
    touched &= s->holes;
    if (touched == 0 || EBB_LIKELY(fill(s, start, touched, pass)))
        return count;
    pass->wanted_units = 0;
    for (unsigned i = 0; i < count && pass->wanted_units == 0; i++) {
        unsigned units = units_of(class, start, blocks[i]) & s->holes;
        if (units != 0)
            (void)fill(s, start, units, pass);
    }
    return untake(s, start, blocks, count);
}

/* Takes `count` of the lowest free blocks of a slab, but for those in `spared`, a bitmap like the slab's; NULL: none.
 * pre: it has so many */
EBB_INLINE void take_lowest(struct slab *s, uintptr_t start, void **ret_blocks, unsigned count,
                            const uint64_t *spared)
{
    size_t bytes = ebb__classes[s->code].bytes;
    unsigned got = 0;
    for (unsigned w = 0; got < count; w++) {
        uint64_t aside = spared != NULL ? s->free[w] & spared[w] : 0, word = s->free[w] & ~aside;
        uintptr_t at = start + w * 64 * bytes;
        while (word != 0 && got < count) {
            ret_blocks[got++] = (void *)(at + ebb__ctz(word) * bytes);
            word &= word - 1;
        }
        s->free[w] = word | aside;
    }
    s->nfree = (uint16_t)(s->nfree - count);
    if (s->heat != 0)
        s->heat = EBB_SLAB_HOT;
}

/* Up to `want` of the lowest free blocks; fewer than there are only when pass->wanted_units says why. */
static unsigned take_from(struct slab *s, uintptr_t start, void **ret_blocks, unsigned want,
                          struct ebb_pass *pass)
{
    unsigned got = want < s->nfree ? want : s->nfree;
    take_lowest(s, start, ret_blocks, got, NULL);
    if (EBB_UNLIKELY(s->holes != 0))
        got = fill_holes(s, start, ret_blocks, got, pass);
    return got;
}

/* Up to `want` of those that hold memory. */
static unsigned take_backed_from(struct slab *s, uintptr_t start, void **ret_blocks, unsigned want)
{
    uint64_t in_holes[EBB_SLAB_WORDS_MAX];
    unsigned blocks = ebb__slab_blocks(s), count;
    memset(in_holes, 0, ebb__div_up(blocks, 64) * sizeof(in_holes[0]));
    for (unsigned holes = s->holes; holes != 0;) {
        unsigned first = take_out_run(s, &holes, &count);
        ebb__bitmap_set(in_holes, first, count);
    }
    unsigned backed =
        0; /* of blocks in holes some are claimed by the sweeper, for the unit beside the hole */
    for (unsigned w = 0; w < ebb__div_up(blocks, 64); w++)
        backed += (unsigned)__builtin_popcountll(s->free[w] & ~in_holes[w]);
    unsigned got = want < backed ? want : backed;
    take_lowest(s, start, ret_blocks, got, in_holes);
    return got;
}

/* Takes from one slab of the bin; `pass` NULL: only what holds memory. Lock held. */
EBB_INLINE unsigned take_of_bin(struct bin *bin, uint32_t id, void **ret_blocks, unsigned want,
                                struct ebb_pass *pass)
{
    uintptr_t start;
    struct slab *s = ebb__slab_at(id, &start);
    unsigned was_empty = s->nfree == ebb__slab_blocks(s);
    unsigned got = pass != NULL ? take_from(s, start, ret_blocks, want, pass)
                                : take_backed_from(s, start, ret_blocks, want);
    bin->empty_count -= was_empty & (s->nfree != ebb__slab_blocks(s));
    relink(bin, s, id);
    return got;
}

/* What holds memory in any slab. A slab from which something is taken may change to a list of fuller ones, where this has been
 * already. Cost: a look at each slab with free blocks, until there is enough. Lock held. */
EBB_COLD static unsigned take_backed(struct bin *bin, void **ret_blocks, unsigned want)
{
    unsigned got = 0;
    for (unsigned lists = bin->nonempty; lists != 0; lists &= lists - 1)
        for (uint32_t id = bin->lists[__builtin_ctz(lists)], next; id != 0 && got < want; id = next) {
            next = slab_of_id(id)->next;
            got += take_of_bin(bin, id, ret_blocks + got, want - got, NULL);
        }
    return got;
}

/* As much as the bin's slabs have, the fullest first, until the gate keeps a hole closed: then pass->wanted_units is set, and what
 * holds memory elsewhere is taken. Lock held. */
static unsigned take_locked(struct bin *bin, void **ret_blocks, unsigned want, struct ebb_pass *pass)
{
    unsigned got = 0;
    pass->wanted_units = 0;
    while (got < want && bin->nonempty != 0 && pass->wanted_units == 0)
        got += take_of_bin(bin, bin->lists[__builtin_ctz(bin->nonempty)], ret_blocks + got, want - got, pass);
    if (EBB_UNLIKELY(pass->wanted_units != 0 && got < want))
        got += take_backed(bin, ret_blocks + got, want - got);
    return got;
}

static void reverse(void **blocks, unsigned n)
{
    for (unsigned i = 0; i < n / 2; i++) {
        void *swap = blocks[i];
        blocks[i] = blocks[n - 1 - i];
        blocks[n - 1 - i] = swap;
    }
}

/* Said from outside to be there: a plain number, exact enough to prove that it rises, cheap enough for every
 * refill. */
static void count_handed_out(unsigned n)
{
    uint64_t now = __atomic_load_n(&ebb_alloc_counter, __ATOMIC_RELAXED);
    __atomic_store_n(&ebb_alloc_counter, now + n, __ATOMIC_RELAXED);
}

/* Adds a slab to the bin, whose lock is dropped meanwhile. False when memory is refused. */
static bool grow(struct bin *bin, unsigned c, enum ebb_room room, bool *ret_grown)
{
    bool seed = ebb__space.seeds && bin->slab_count == 0 && ebb__classes[c].seed_blocks != 0;
    ebb__lock_release(&bin->lock);
    ebb__limbo_enter();
    void *start = make_slab(c, seed, room);
    ebb__lock_take(&bin->lock);
    ebb__limbo_leave();
    if (start == NULL)
        return false;
    bin->slab_count++;
    bin->empty_count++;
    ebb__slab_link(bin, ebb__desc_of(start), id_of(start));
    *ret_grown = !seed;
    return true;
}

/* Pays for the hole that was closed. The bin's lock is dropped meanwhile. */
static bool open_hole(struct bin *bin, unsigned c, struct ebb_pass *pass)
{
    ebb__lock_release(&bin->lock);
    bool open = ebb__gate_open(pass, ebb__classes[c].bytes);
    ebb__lock_take(&bin->lock);
    return open;
}

/* Only for the first block room is made, and only when free memory does not hold it, here or in extents. */
static unsigned take(unsigned c, void **ret_blocks, unsigned want, enum ebb_room room)
{
    struct bin *bin = &ebb__bins[c];
    struct ebb_pass pass = {.room = room};
    bool grown = false;
    EBB_ASSERT(c != 0 && c < EBB_CLASS_COUNT && want != 0);
    if (ebb__heap_init() != 0)
        return 0;
    ebb__lock_take(&bin->lock);
    unsigned got = take_locked(bin, ret_blocks, want, &pass);
    while (got < want && (got == 0 || (!grown && pass.wanted_units == 0))) {
        bool closed = pass.wanted_units != 0;
        if (!grow(bin, c, got != 0 || closed ? EBB_IF_ROOM : room, &grown) &&
            (!closed || !open_hole(bin, c, &pass)))
            break;
        got += take_locked(bin, ret_blocks + got, want - got, &pass);
    }
    ebb__gate_leave(&pass);
    ebb__class_books(c)->taken_blocks += got;
    ebb__lock_release(&bin->lock);
    reverse(ret_blocks, got);
    count_handed_out(got);
    return got;
}

unsigned ebb__heap_take(unsigned c, void **ret_blocks, unsigned want)
{
    return take(c, ret_blocks, want, EBB_MAKE_ROOM);
}

unsigned ebb__heap_take_if_room(unsigned c, void **ret_blocks, unsigned want)
{
    return take(c, ret_blocks, want, EBB_IF_ROOM);
}

/* ---- giving ---- */

/* The first unit of the block's slab; dies on what lies in no slab of this class. */
static char *start_of(unsigned c, void *block, const char *caller)
{
    unsigned entry = ebb__unit_entry(block);
    if (EBB_UNLIKELY((entry & 0xff) != c))
        ebb__die("%s: invalid pointer %p", caller, block);
    return (char *)block - ebb__slab_offset(entry, block);
}

/* Marks one block of the slab free; dies on what is no block, or is free already. */
EBB_INLINE void give_one(const struct ebb_class *class, struct slab *s, const char *start, void *block,
                         const char *caller)
{
    uint32_t offset = (uint32_t)((char *)block - start);
    unsigned index = ebb__block_index(offset, class->magic);
    uint64_t bit = UINT64_C(1) << (index % 64);
    if (EBB_UNLIKELY(!ebb__starts_block(offset, class->magic) || index >= ebb__slab_blocks(s)))
        ebb__die("%s: invalid pointer %p", caller, block);
    if (EBB_UNLIKELY((s->free[index / 64] & bit) != 0))
        ebb__die("%s: double free of block %p (%u bytes)", caller, block, class->bytes);
    s->free[index / 64] |= bit;
    s->nfree++;
}

/* A block that the sweeper has taken was free, though its bit is clear. */
EBB_COLD static void refuse_claimed(const struct ebb_class *class, const struct slab *s, const char *start,
                                    void *block, const char *caller)
{
    unsigned index = ebb__block_index((uint32_t)((char *)block - start), class->magic);
    if (index < ebb__slab_blocks(s) && (units_of_block(class, index) & s->claimed) != 0)
        ebb__die("%s: double free of block %p (%u bytes)", caller, block, class->bytes);
}

/* After nfree rose: puts the slab where it belongs. True when it has run empty and left the bin; it is then in limbo. */
static bool settle(struct bin *bin, struct slab *s, const void *start)
{
    if (s->nfree != ebb__slab_blocks(s)) {
        relink(bin, s, id_of(start));
        return false;
    }
    unlink_slab(bin, s);
    /* One is kept, so that a class at a boundary does not carve again and again; of a class that has grown, a grown one. */
    if (bin->empty_count == 0 && (!s->seed || bin->slab_count == 1)) {
        bin->empty_count = 1;
        ebb__slab_link(bin, s, id_of(start));
        return false;
    }
    bin->slab_count--;
    ebb__limbo_enter();
    return true;
}

#define EMPTIED_MAX 8u /* slabs that are given back for one turn with the lock */

/* Gives blocks until some slabs have run empty, which leave the bin. Returns how many blocks. Lock held. */
static unsigned give_locked(unsigned c, void *const *blocks, unsigned count, const char *caller,
                            char **ret_emptied, unsigned *ret_emptied_count)
{
    const struct ebb_class *class = &ebb__classes[c];
    struct bin *bin = &ebb__bins[c];
    unsigned i = 0, emptied = 0;
    while (i < count && emptied < EMPTIED_MAX) {
        char *start = start_of(c, blocks[i], caller);
        struct slab *s = ebb__desc_of(start);
        size_t slab_bytes = ebb__slab_units(s) * EBB_UNIT_BYTES;
        /* Neighbours are often freed together. */
        do {
            if (EBB_UNLIKELY(s->claimed != 0))
                refuse_claimed(class, s, start, blocks[i], caller);
            give_one(class, s, start, blocks[i++], caller);
        } while (i < count && (size_t)((char *)blocks[i] - start) < slab_bytes);
        if (s->heat == 0)
            stir(start);
        s->heat = EBB_SLAB_HOT;
        if (settle(bin, s, start))
            ret_emptied[emptied++] = start;
    }
    *ret_emptied_count = emptied;
    return i;
}

void ebb__heap_give(unsigned c, void *const *blocks, unsigned count, const char *caller)
{
    struct bin *bin = &ebb__bins[c];
    EBB_ASSERT(c != 0 && c < EBB_CLASS_COUNT);
    for (unsigned i = 0; i < count;) {
        char *emptied[EMPTIED_MAX];
        unsigned emptied_count;
        ebb__lock_take(&bin->lock);
        unsigned given = give_locked(c, blocks + i, count - i, caller, emptied, &emptied_count);
        ebb__class_books(c)->given_blocks += given;
        ebb__lock_release(&bin->lock);
        i += given;
        while (emptied_count-- != 0)
            ebb__slab_free(emptied[emptied_count], ebb__slab_units(ebb__desc_of(emptied[emptied_count])));
    }
}

void ebb__heap_tidy_slabs(void)
{
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++) {
        struct bin *bin = &ebb__bins[c];
        unsigned units = 0, nearly_empty = ebb__slab_list_for(ebb__classes[c].blocks, &ebb__classes[c]);
        uintptr_t start = 0;
        ebb__lock_take(&bin->lock);
        /* An empty slab stands among those that are nearly empty; a seed is alone. */
        uint32_t id = bin->empty_count == 0  ? 0
                      : bin->slab_count == 1 ? bin->lists[__builtin_ctz(bin->nonempty)]
                                             : bin->lists[nearly_empty];
        for (; id != 0; id = slab_of_id(id)->next) {
            struct slab *s = ebb__slab_at(id, &start);
            if (s->nfree == ebb__slab_blocks(s)) {
                units = ebb__slab_units(s);
                ebb__limbo_enter();
                unlink_slab(bin, s);
                bin->empty_count--;
                bin->slab_count--;
                break;
            }
        }
        ebb__lock_release(&bin->lock);
        if (id != 0)
            ebb__slab_free((void *)start, units);
    }
}

/* ---- for the sweeper ---- */

unsigned ebb__slab_idle_units(const struct slab *s)
{
    unsigned idle = 0, count;
    for (unsigned u = 0; u < ebb__slab_units(s); u++) {
        unsigned first = blocks_touching(s, u, u + 1, &count);
        idle |= (unsigned)(ebb__bitmap_count(s->free, first, count) == count) << u;
    }
    return idle;
}

/* Clears or sets the bits of all blocks that touch the units. Returns how many changed. */
static unsigned mark_units(struct slab *s, unsigned units, bool is_free)
{
    unsigned blocks = ebb__slab_blocks(s), before = ebb__bitmap_count(s->free, 0, blocks), count;
    while (units != 0) {
        unsigned first = take_out_run(s, &units, &count);
        if (is_free)
            ebb__bitmap_set(s->free, first, count);
        else
            ebb__bitmap_clear(s->free, first, count);
    }
    unsigned after = ebb__bitmap_count(s->free, 0, blocks);
    return is_free ? after - before : before - after;
}

void ebb__slab_claim(struct bin *bin, struct slab *s, void *start, unsigned units)
{
    EBB_ASSERT((ebb__slab_idle_units(s) & units) == units && s->claimed == 0);
    if (s->nfree == ebb__slab_blocks(s))
        bin->empty_count--;
    /* In this order a fork child finds the claim before the bits are gone. */
    __atomic_store_n(&s->claimed, (uint16_t)units, __ATOMIC_RELAXED);
    atomic_thread_fence(memory_order_release);
    s->nfree = (uint16_t)(s->nfree - mark_units(s, units, false));
    relink(bin, s, id_of(start));
}

bool ebb__slab_release(struct bin *bin, struct slab *s, void *start, unsigned purged)
{
    s->nfree = (uint16_t)(s->nfree + mark_units(s, s->claimed, true));
    s->holes = (uint16_t)(s->holes | purged);
    __atomic_store_n(&s->claimed, 0, __ATOMIC_RELEASE); /* last, for the same reason */
    return settle(bin, s, start);
}

void ebb__slab_unclaim(struct slab *s)
{
    (void)mark_units(s, s->claimed, true);
    s->claimed = 0;
}
