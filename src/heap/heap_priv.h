/* SPDX-License-Identifier: MIT
 *
 * The rooms of the heap and what they share. Outsiders include heap/heap.h.
 *
 *   space.c    reservations, commit frontier, groups            lock: grow
 *   extent.c   runs of units inside extents, index of runs      lock: space
 *   chain.c    runs of whole extents and whole groups           lock: space
 *   slab.c     blocks of size classes                           lock: one bin
 *   span.c     blocks of whole units                            no lock of its own
 *   lane.c     blocks with their own mapping                    lock: lane
 *   purge.c    free extents and runs go back to the kernel      lock: return
 *   sweep.c    so do free pages inside slabs                    lock: return
 *   rebuild.c, heap_check.c, heap_stats.c                       walkers
 *
 * Truth and derived state. The unit map, the slabs' bitmaps and the spans' lengths are the truth. Free bitmaps
 * of extents, the index of runs, the lists of slabs and all counts can be derived from them; rebuild.c does that
 * in a fork child and heap_check.c compares. For this every writer keeps an order: a slab or span comes to life
 * with the map entry of its first unit, written last; it dies with the same entry, cleared first. Units without
 * a living head are free. Spans are born and die under the space lock. What is between two locks (a slab that is
 * in no list yet or no more, an extent under advice) is counted in ebb__limbo, so that a fork child knows.
 *
 * Invariants (checked by ebb__heap_check)
 *   H1  a unit is marked used in its extent if and only if a living slab or span covers it
 *   H2  nfree, ndirty, run_any and run_dirty of an extent are those of its bitmaps
 *   H3  an extent stands in the index of runs exactly under its run classes; wholly free ones in free_extents
 *   H4  dirty units are free and backed; a free extent is in dirty_extents if and only if it has dirty units
 *   H5  a slab's nfree is the number of set bits of its bitmap; bits past its blocks are clear
 *   H6  a slab with free blocks is in the list of its fullness, once; a full one in none; a bin keeps at most
 *       one empty slab
 *   H7  everything in use lies below the commit frontier of its reservation
 *   H8  a group is owned if and only if its metadata is readable and not covered by a chain
 *   H9  a used unit is not backed if and only if it is a hole of its slab, and all blocks that touch a hole are free
 *   H10 no slab has units claimed by the sweeper, but while it sweeps (under the return lock)
 *   H11 span_blocks and span_units are those of the living spans
 *   H12 an extent of kind REGION has spans of regions only, and all of these that are no longer than an extent lie in such ones
 *   H13 what the ledger has charged the heap for is its backed units and the bytes of the lane (gate.c)
 */
#ifndef EBB_HEAP_PRIV_H
#define EBB_HEAP_PRIV_H

#include "conf/conf.h"
#include "heap/heap.h"
#include "ledger/ledger.h"
#include "os/os.h"
#include "stats/stats.h"

/* ---- sizes that others must agree with ---- */

#define EBB_CACHE_BYTES       2816u /* one thread's cache; src/cache asserts that it fits */
#define EBB_MID_MAX_UNITS     64u   /* spans up to 256 KiB are kept apart from larger ones */
#define EBB_LANE_MIN_BYTES    EBB_MIB(32)
#define EBB_RETURN_MIN_BYTES  EBB_MIB(32) /* blocks from here on go back to the kernel when freed */
#define EBB_DIRTY_FLOOR_UNITS 256u        /* 1 MiB: less than that is not worth waking anybody */
#define EBB_LANE_MAX_BLOCKS   256u
#define EBB_GROUPS_MAX        16384u /* 2 TiB */
#define EBB_RESERVATIONS_MAX                                                                                 \
    3u /* two mappings each, the background thread's stack and its guard two more: 8 are promised */

/* ---- extents ---- */

enum ebb_kind {
    EBB_KIND_FREE = 0, /* wholly free; the header's bitmaps may be stale but for `backed` */
    EBB_KIND_SLAB,
    EBB_KIND_MID,
    EBB_KIND_LARGE,
    EBB_KIND_REGION,  /* spans of regions: many of them go at once, and so do their extents */
    EBB_KIND_CLAIMED, /* wholly free, but under advice: nobody may take from it */
    EBB_KIND_COUNT
};
#define EBB_INDEXED_KINDS 4u /* SLAB, MID, LARGE, REGION: kind - 1 */

/* Longest free runs are classed exactly up to 16 units, then 8 classes a doubling up to 512. */
#define EBB_RUN_CLASSES 57u /* 0 is "no run" */

/* One extent's units. Guarded by the space lock. All zero: never used. */
struct extent {
    uint64_t free[EBB_EXTENT_UNITS / 64];
    uint64_t
        backed[EBB_EXTENT_UNITS / 64]; /* may hold physical memory; of used units, holes in slabs do not */
    uint16_t nfree;
    uint16_t ndirty;    /* free and backed */
    uint16_t run_any;   /* longest free run */
    uint16_t run_dirty; /* longest run that is free and backed */
    uint8_t kind;       /* enum ebb_kind */
    uint8_t class_any;  /* run classes under which the index has it; 0 none */
    uint8_t class_dirty;
    uint8_t unused;
    uint32_t freed_ms; /* low half of the clock at the last free: how cold its dirty units are */
    uint64_t reserved[6];
};
EBB_STATIC_ASSERT(sizeof(struct extent) == 192, "64 extent headers fill 12 KiB");

/* Which run: `dirty` wants every unit backed. */
enum { EBB_RUN_ANY = 0, EBB_RUN_DIRTY = 1 };

/* One group. Bit e of each word stands for extent e; bit 0, the metadata, is never set. Guarded by the space
 * lock. */
struct group {
    uint32_t index;         /* in ebb__space.groups */
    uint32_t reservation;   /* in ebb__space.reservations */
    uint64_t extents;       /* that exist: the reservation may end inside the group */
    uint64_t free_extents;  /* wholly free */
    uint64_t dirty_extents; /* of those, with backed units */
    /* Extents with slabs in which blocks were freed since they were swept. Set without a lock by who keeps a slab of it alive. */
    _Atomic uint64_t stirred;
    uint64_t runs[2][EBB_INDEXED_KINDS]
                 [EBB_RUN_CLASSES]; /* index: extents whose longest run has this class */
};

/* First unit of a slab; the bitmap runs on into the descriptors of its other units. Guarded by its bin's
 * lock. */
struct slab {
    uint32_t next, prev; /* global unit numbers; 0 ends the list */
    uint16_t nfree;
    uint8_t code : 7;
    uint8_t seed : 1; /* of one unit; never changes */
    uint8_t : 0;      /* read without a lock what stands above, by who holds a block */
    uint8_t list : 4; /* which list of the bin; EBB_SLAB_LISTS when full and in none */
    uint8_t heat : 4; /* sweeps that must pass before its free pages are cold; 0: nothing was freed since */
    uint16_t holes;   /* bit u: unit u was purged and no block of it handed out since; it reads as zero */
    uint16_t claimed; /* bit u: the sweeper has taken the free blocks that touch unit u */
    uint64_t free[];  /* bit set: block is free */
};

EBB_STATIC_ASSERT(EBB_CLASS_COUNT <= 128, "code");

/* How large the slab is. */
EBB_INLINE unsigned ebb__slab_units(const struct slab *s)
{
    return s->seed ? 1 : ebb__classes[s->code].units;
}

EBB_INLINE unsigned ebb__slab_blocks(const struct slab *s)
{
    return s->seed ? ebb__classes[s->code].seed_blocks : ebb__classes[s->code].blocks;
}

#define EBB_SLAB_HOT 2u /* a sweep finds it, the next one takes it: untouched for a whole interval */

enum ebb_holder {
    EBB_HELD_BY_NOBODY = 0,
    EBB_HELD_BY_CACHE, /* freed, but kept by a thread's cache */
    EBB_HELD_BY_REGION /* the program has pieces of it, never the whole */
};

/* First unit of a span. Owned by whoever holds the block; changed under the space lock, but for `held`. */
struct span {
    uint32_t units;
    uint32_t held; /* enum ebb_holder: who has it, if not the program. To the heap it lives */
    uint32_t unused[6];
};

#define EBB_DESC_BYTES 32u
EBB_STATIC_ASSERT(sizeof(struct slab) == 16, "a slab of k units has (32 k - 16) * 8 bits for its blocks");
#define EBB_SLAB_WORDS_MAX ((16u * EBB_DESC_BYTES - sizeof(struct slab)) / 8)
EBB_STATIC_ASSERT(sizeof(struct span) == EBB_DESC_BYTES, "one descriptor");

/* The metadata has no blocks, so its own descriptors, the first 16 KiB, say nothing: group and extents take their place. Where
 * OS pages are large, one holds these two and the descriptors of the first extents. */
#define EBB_META_GROUP_AT  EBB_KIB(64)
#define EBB_META_EXTENT_AT EBB_KIB(68)
#define EBB_META_DESC_AT   EBB_KIB(64)
#define EBB_META_DESC_ROOM ((size_t)EBB_EXTENT_UNITS * EBB_DESC_BYTES) /* of one extent */
EBB_STATIC_ASSERT(EBB_GROUP_UNITS * sizeof(uint16_t) <= EBB_META_GROUP_AT, "unit map");
EBB_STATIC_ASSERT(EBB_META_GROUP_AT + sizeof(struct group) <= EBB_META_EXTENT_AT, "group");
EBB_STATIC_ASSERT(EBB_META_EXTENT_AT + EBB_GROUP_EXTENTS * sizeof(struct extent) <=
                      EBB_META_DESC_AT + EBB_META_DESC_ROOM,
                  "extents");
EBB_STATIC_ASSERT(EBB_META_DESC_AT + EBB_GROUP_EXTENTS * EBB_META_DESC_ROOM <= EBB_EXTENT_BYTES,
                  "descriptors");
EBB_STATIC_ASSERT(EBB_META_DESC_AT % EBB_KIB(64) == 0,
                  "extents that share an OS page are aligned to its number");

EBB_INLINE uintptr_t ebb__group_base(const void *p)
{
    return (uintptr_t)p & ~(EBB_GROUP_BYTES - 1);
}

EBB_INLINE struct group *ebb__group_of(const void *p)
{
    return (struct group *)(ebb__group_base(p) + EBB_META_GROUP_AT);
}

EBB_INLINE unsigned ebb__extent_number(const void *p)
{
    return (unsigned)((uintptr_t)p >> EBB_EXTENT_SHIFT) & (EBB_GROUP_EXTENTS - 1);
}

EBB_INLINE struct extent *ebb__extent_at(uintptr_t group_base, unsigned number)
{
    return (struct extent *)(group_base + EBB_META_EXTENT_AT) + number;
}

EBB_INLINE unsigned ebb__unit_number(const void *p) /* in its group */
{
    return (unsigned)((uintptr_t)p >> EBB_UNIT_SHIFT) & (EBB_GROUP_UNITS - 1);
}

EBB_INLINE void *ebb__desc_of(const void *p)
{
    return (char *)(ebb__group_base(p) + EBB_META_DESC_AT) + (size_t)ebb__unit_number(p) * EBB_DESC_BYTES;
}

EBB_INLINE _Atomic uint16_t *ebb__map_entry(const void *p)
{
    return (_Atomic uint16_t *)ebb__group_base(p) + ebb__unit_number(p);
}

/* ---- space.c ---- */

enum ebb_group_state {
    EBB_GROUP_VIRGIN = 0, /* reads as zero, or is not committed yet */
    EBB_GROUP_ACTIVE,     /* has metadata */
    EBB_GROUP_CHAIN,      /* wholly inside a chain of extents that began in an earlier group */
    EBB_GROUP_RETIRING    /* empty; its metadata is under advice */
};

/* Written under the grow lock and the space lock: readers hold either. */
struct reservation {
    uintptr_t base;
    size_t bytes; /* only grows: address space directly behind the last one becomes a part of it */
    _Atomic size_t committed_bytes; /* prefix; only grows. Written under the grow lock */
    uint32_t first_group;
    uint32_t group_count;
};

/* Guarded by the space lock, except where said. The locks stand apart so that all of this begins as zero, in
 * .bss. */
struct space {
    _Atomic uint32_t ready; /* 1 once the first reservation stands */
    uint32_t group_count;   /* groups with an address, in all states */
    uint32_t active_words;  /* words of 64 groups that hold every group ever active */
    uint32_t reservation_count;
    bool seeds;                     /* first slabs of one unit; known before `ready` */
    size_t backed_units;            /* that may hold physical memory */
    size_t charged_units;           /* of these, what the ledger knows: all, between turns with the lock */
    size_t dirty_units;             /* of those, free */
    size_t span_units, span_blocks; /* of all spans in use */
    size_t claimed_units;           /* free ones that the sweeper has taken for the moment */
    size_t used_low_units, used_peak_units; /* extremes of what was in use since the governor asked */
    size_t
        retaken_units; /* rises with every unit that is taken again while it is dirty, or after it was purged */
    struct reservation reservations[EBB_RESERVATIONS_MAX];
    uint8_t state[EBB_GROUPS_MAX];    /* enum ebb_group_state */
    uintptr_t groups[EBB_GROUPS_MAX]; /* base addresses */
    /* Upper level of the index: bit g % 64 of word g / 64 says that group g has such an extent. */
    uint64_t runs[EBB_GROUPS_MAX / 64][2][EBB_INDEXED_KINDS][EBB_RUN_CLASSES];
    uint32_t run_counts[2][EBB_INDEXED_KINDS][EBB_RUN_CLASSES]; /* groups in the class */
    uint64_t run_masks[2][EBB_INDEXED_KINDS];                   /* bit c: run_counts[..][c] != 0 */
    uint64_t free_groups[EBB_GROUPS_MAX / 64];                  /* groups with a free extent */
    uint64_t dirty_groups[EBB_GROUPS_MAX / 64]; /* groups with a free extent that has dirty units */
};
extern struct space ebb__space;
extern _Atomic uint32_t ebb__limbo; /* operations between two locks */

/* What somebody needs: in use, and holding memory. Space lock held. */
EBB_INLINE size_t ebb__space_used_units(void)
{
    return ebb__space.backed_units - ebb__space.dirty_units - ebb__space.claimed_units;
}

/* ---- gate.c: the ledger's word before memory is backed ---- */

/* One caller's business with the ledger. All zero at first; ended by ebb__gate_leave(). */
struct ebb_pass {
    size_t wanted_units; /* that there was no room for */
    size_t paid_units;   /* charged, and not taken yet */
    enum ebb_room room;
};

bool ebb__gate_spend(struct ebb_pass *pass, size_t units);

/* Asks for `units` that are about to be backed. On false nothing has changed: the caller drops its locks, asks
 * ebb__gate_open() and looks again. Space lock held. */
EBB_INLINE bool ebb__gate_admits(struct ebb_pass *pass, size_t units)
{
    if (EBB_UNLIKELY(pass->paid_units != 0))
        return ebb__gate_spend(pass, units);
    if (EBB_UNLIKELY(ebb__ledger_heap_try(units * EBB_UNIT_BYTES) != 0)) {
        pass->wanted_units = units;
        return false;
    }
    ebb__space.charged_units += units;
    return true;
}

/* Pays for what was wanted, part of a block of block_bytes, which may mean giving back what is free, or asking others to; not with
 * EBB_IF_ROOM. False: there is no room, the block is refused. pre: no lock of ours held */
bool ebb__gate_open(struct ebb_pass *pass, size_t block_bytes);

/* Gives back what was paid for and not taken. Any lock may be held. */
EBB_INLINE void ebb__gate_leave(struct ebb_pass *pass)
{
    if (EBB_UNLIKELY(pass->paid_units != 0))
        ebb__ledger_heap_uncharge(pass->paid_units * EBB_UNIT_BYTES);
}

/* So many bytes are on their way to the kernel, which no lock says; and are no more. */
EBB_INLINE void ebb__gate_leaving(size_t bytes)
{
    atomic_fetch_add(&ebb__heap_leaving_bytes, bytes);
}

/* charged_bytes: of these the ledger does not hear otherwise. */
void ebb__gate_left(size_t bytes, size_t charged_bytes);

/* Tells the ledger what was backed without asking, or is backed no more. Space lock held. */
void ebb__gate_settle(void);

/* In a fork child, when the heap's counts are right: the ledger may have been between two of them. */
void ebb__gate_after_fork(void);

/* To be called after that rose, or fell. */
EBB_INLINE void ebb__space_note_rise(void)
{
    ebb__space.used_peak_units = ebb__max(ebb__space.used_peak_units, ebb__space_used_units());
}

EBB_INLINE void ebb__space_note_fall(void)
{
    ebb__space.used_low_units = ebb__min(ebb__space.used_low_units, ebb__space_used_units());
}

EBB_INLINE void ebb__limbo_enter(void)
{
    atomic_fetch_add_explicit(&ebb__limbo, 1, memory_order_acquire);
}

EBB_INLINE void ebb__limbo_leave(void)
{
    /* A thread that notices in a child of _Fork, in the middle of its operation, finds the count reset. */
    if (atomic_load_explicit(&ebb__limbo, memory_order_relaxed) != 0)
        atomic_fetch_sub_explicit(&ebb__limbo, 1, memory_order_release);
}
extern struct ebb_lock ebb__space_lock; /* EBB_RANK_SPACE */

/* Ends a turn with the space: the ledger and the readers of the stats page see what has changed. */
EBB_INLINE void ebb__space_unlock(void)
{
    if (EBB_UNLIKELY(ebb__space.charged_units != ebb__space.backed_units))
        ebb__gate_settle();
    EBB_SET(backed_bytes, ebb__space.backed_units * EBB_UNIT_BYTES);
    EBB_SET(dirty_bytes, ebb__space.dirty_units * EBB_UNIT_BYTES);
    ebb__lock_release(&ebb__space_lock);
}
extern struct ebb_lock ebb__grow_lock; /* EBB_RANK_GROW */

/* Moves the commit frontier of r to `end` or beyond. pre: no lock of rank >= EBB_RANK_GROW held. 0 or -ENOMEM
 */
int ebb__space_commit(const struct reservation *r, uintptr_t end);

EBB_INLINE bool ebb__space_is_committed(const struct reservation *r, uintptr_t end)
{
    /* acquire: pairs with the release in ebb__space_commit() */
    return end - r->base <= atomic_load_explicit(&r->committed_bytes, memory_order_acquire);
}

/* Adds address space for at least `bytes` in one piece, unless there are more groups than the caller has
 * `seen`. pre: no lock of rank >= EBB_RANK_GROW held. 0 or -ENOMEM */
int ebb__space_reserve(size_t bytes, uint32_t seen);

/* Writes the header of a virgin group. pre: space lock held, first extent committed */
void ebb__space_activate(uint32_t g);

/* Every group below group_count belongs to one reservation. */
EBB_INLINE struct reservation *ebb__space_reservation_of_group(uint32_t g)
{
    struct reservation *r = ebb__space.reservations;
    while (g - r->first_group >= r->group_count)
        r++;
    return r;
}

/* Whether p lies in a reservation of ours. A reservation that is not whole groups long ends inside its last group; what
 * follows there may be the lane's or anybody's, and its unit map entries are zero. */
EBB_INLINE bool ebb__is_inside(const void *p)
{
    unsigned number = ebb__extent_number(p);
    return ebb__is_owned(p) && (number == 0 || (ebb__group_of(p)->extents >> number & 1));
}

/* ---- extent.c ---- */

/* A run of n <= 512 units for a block of this kind, aligned to align units (a power of two). Marks it used
 * and backed. ret_backed, when not NULL, gets the units (bit i: unit i of the run) that were backed before:
 * the others are zero. NULL when the kernel refuses memory. Takes the space lock. */
void *ebb__extent_take(enum ebb_kind kind, unsigned n, unsigned align, enum ebb_room room,
                       uint64_t *ret_backed);

/* Gives n units back, all in one extent, and clears the map entry of the first. Takes the space lock. */
void ebb__extent_give(void *start, unsigned n);

/* Finds OS pages that are wholly free and hold memory, as few as hold `most` units of it; sets their units in `ret_units`, one
 * bit for each unit of the extent. Space lock held. */
void ebb__extent_find_dirty(uintptr_t base, unsigned number, size_t most, uint64_t *ret_units);

/* Takes these free units as if they were allocated, but nobody needs them; sets in `ret_clean` those of them that held no
 * memory. Returns how many did. And gives n of them back, `clean` when they hold none. Space lock held. */
unsigned ebb__extent_claim_units(uintptr_t base, unsigned number, const uint64_t *units, uint64_t *ret_clean);
void ebb__extent_release_units(uintptr_t base, unsigned number, unsigned first, unsigned n, bool clean);

/* A used run becomes backed again, unit i where bit i of `units` is set: blocks in holes of a slab are handed out. False when the
 * ledger has no room for that: nothing has changed. Takes the space lock. */
bool ebb__extent_refill(void *start, unsigned units, struct ebb_pass *pass);

/* The other way: units of a slab were purged. Space lock held. */
void ebb__extent_unback(uintptr_t base, unsigned number, const uint64_t *units);

/* Writes what makes units a living span of this holder; clears what made it one, or a slab. Space lock held. */
void ebb__span_birth(void *start, size_t units, enum ebb_holder holder);
void ebb__span_death(void *start, size_t units);

/* The kind of extent in which a living span should lie. */
enum ebb_kind ebb__span_kind(const void *start);

/* Spans were added or became longer; negative numbers, as size_t, the other way. Space lock held. */
void ebb__span_count(size_t blocks, size_t units);

/* With the space lock held: gives units of one extent; asks whether exactly these units are free for this
 * kind; takes them, after it was asked. */
void ebb__extent_give_locked(uintptr_t base, unsigned number, unsigned first, unsigned n, bool clean);
bool ebb__extent_can_take(uintptr_t base, unsigned number, enum ebb_kind kind, unsigned first, unsigned n);
void ebb__extent_take_exact(uintptr_t base, unsigned number, enum ebb_kind kind, unsigned first, unsigned n);

/* Puts an extent under its run classes, or takes it out. Space lock held. */
void ebb__extent_index(uintptr_t base, unsigned number);
void ebb__extent_unindex(uintptr_t base, unsigned number);

/* Moves a wholly free extent between free_extents and a kind. Space lock held. */
void ebb__extent_claim(uintptr_t base, unsigned number, enum ebb_kind kind);
void ebb__extent_release(uintptr_t base, unsigned number);

/* Says of every unit of a group that has just been activated that it may hold memory. Space lock held. */
void ebb__group_mark_dirty(uint32_t g);

unsigned ebb__run_class(unsigned run); /* largest class whose runs are all <= run */

/* ---- chain.c: more than one extent ---- */

/* units > 512, aligned to align_extents extents (a power of two up to 32). *ret_clean: all of it reads as
 * zero. NULL when the kernel refuses memory. Takes the space lock. */
void *ebb__chain_take(size_t units, unsigned align_extents, enum ebb_room room, bool *ret_clean);

/* The units of the run that a chain has in all: a long one reaches to the end of its last group. */
size_t ebb__chain_extent_units(const void *start, size_t units);

/* Gives any run of units back and clears the map entry of the first. Units [clean_from, clean_to) of it were purged just
 * now. Takes the space lock. */
void ebb__chain_give(void *start, size_t units, size_t clean_from, size_t clean_to);

/* Changes the length of any run of units in place, within its group. false: as before. Takes the space lock.
 */
bool ebb__chain_resize(void *start, size_t old_units, size_t new_units, enum ebb_room room);

/* True when a run of so many units from here reaches into another group. */
bool ebb__chain_crosses(const void *start, size_t units);

/* ---- slab.c ---- */

#define EBB_SLAB_LISTS 8u

struct bin {
    struct ebb_lock lock;           /* EBB_RANK_BIN */
    uint32_t nonempty;              /* bit i: list i has slabs */
    uint32_t lists[EBB_SLAB_LISTS]; /* by fullness: list 0 has the fullest */
    uint32_t slab_count;
    uint32_t empty_count; /* wholly free slabs kept: 0 or 1 */
} EBB_ALIGNED(64);
extern struct bin ebb__bins[EBB_CLASS_COUNT];

/* What the stats page says of a class: how many blocks were taken and given. Guarded by the bin's lock. */
EBB_INLINE struct ebb_wire_class *ebb__class_books(unsigned c)
{
    return &ebb__stats_page.classes[c];
}

/* Global unit number <-> slab. 0 is no slab. */
struct slab *ebb__slab_at(uint32_t id, uintptr_t *ret_start);
void ebb__slab_link(struct bin *bin, struct slab *s, uint32_t id);
unsigned ebb__slab_list_for(unsigned nfree, const struct ebb_class *class);

/* The units of a slab, as bits, whose blocks are all free. The bin's lock held. */
unsigned ebb__slab_idle_units(const struct slab *s);

/* Takes the free blocks that touch these units, all of them idle; and gives them back, `purged` of the units as holes. The bin's
 * lock held. release returns true when the slab has run empty meanwhile and has left its bin: the caller gives it to
 * ebb__slab_free() without a lock. */
void ebb__slab_claim(struct bin *bin, struct slab *s, void *start, unsigned units);
bool ebb__slab_release(struct bin *bin, struct slab *s, void *start, unsigned purged);
void ebb__slab_free(void *start, unsigned units);

/* In a fork child: what the sweeper had taken is free again. */
void ebb__slab_unclaim(struct slab *s);

/* ---- sweep.c ---- */

enum ebb_sweep {
    EBB_SWEEP_FREE, /* free units only */
    EBB_SWEEP_COLD, /* pages of slabs that cooled down; one step cooler are the others */
    EBB_SWEEP_ALL   /* both, also of slabs that were touched just now */
};

/* Begins a batch: it is full when it has most_bytes, and takes no free memory that would leave less than keep_bytes of it;
 * both but for the one OS page that reaches the limit. pre: the return lock held until the batch is finished */
void ebb__sweep_begin(enum ebb_sweep how, size_t keep_bytes, size_t most_bytes);

/* Claims and, as batches fill, purges the OS pages without a living byte in one extent in use.
 * pre: the return lock held, no other; the batch is not full */
void ebb__sweep_extent(uint32_t g, unsigned number);

/* True when the batch must be finished before another extent is begun. */
bool ebb__sweep_is_full(void);

/* Finishes what sweeps have begun: until then the blocks are out of everybody's reach. Returns the bytes given back. */
size_t ebb__sweep_finish(void);

/* In a fork child. */
void ebb__sweep_after_fork(void);

/* ---- rebuild.c ---- */

/* Calls fn for every living slab and span head of an active group, in the order of addresses. */
void ebb__walk_group(uint32_t g, void (*fn)(char *start, size_t units, unsigned code, void *arg), void *arg);

/* ---- lane.c ---- */

struct lane_block {
    void *addr;
    size_t bytes;
};
struct lane {
    _Atomic uint32_t count;
    uint32_t share; /* vm.max_map_count / 64, at most the table; 0: not asked yet */
    struct lane_block blocks[EBB_LANE_MAX_BLOCKS];
};
extern struct lane ebb__lane;
extern struct ebb_lock ebb__lane_lock; /* EBB_RANK_LANE */

bool ebb__lane_find(const void *p, size_t *ret_bytes);
void ebb__lane_free(void *p);
void *ebb__lane_alloc(size_t bytes, size_t align);
void *ebb__lane_resize(void *p, size_t bytes);

#endif
