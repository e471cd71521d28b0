/* SPDX-License-Identifier: MIT
 *
 * The lane: few, very large blocks with a mapping of their own.
 *
 * What. A block that realloc grows beyond 32 MiB, and cannot grow where it is, moves here once; from then on
 * it grows by mremap, which moves page tables instead of bytes. Also blocks aligned beyond 64 MiB. This is
 * the only place where blocks cost mappings, so their number is bounded: option `lane`, and never more than
 * vm.max_map_count / 64. When the lane is full realloc copies, as it does below 32 MiB.
 *
 * Room at a limit is made only when the block could be had: there is a place in the table, and the kernel gives the mapping. It
 * is made first, untouched, and paid for then.
 *
 * Data: an unsorted table of at most 256; it is read when a pointer is not in our groups, which is rare.
 * Locking: rank LANE; mremap runs under it, for the table must not show a mapping that has moved. Fork: the
 * child resets the lock; an entry is written in one piece after its mapping stands, so at worst one mapping
 * is forgotten.
 */
#include "heap/heap_priv.h"

#define LANE_STEP_BYTES EBB_KIB(64)

struct lane ebb__lane;
struct ebb_lock ebb__lane_lock = EBB_LOCK_INIT(EBB_RANK_LANE);

static struct lane_block *find_locked(const void *p)
{
    struct lane *lane = &ebb__lane;
    uint32_t count = atomic_load_explicit(&lane->count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++)
        if (lane->blocks[i].addr == p)
            return &lane->blocks[i];
    return NULL;
}

bool ebb__lane_find(const void *p, size_t *ret_bytes)
{
    struct lane *lane = &ebb__lane;
    if (atomic_load_explicit(&lane->count, memory_order_relaxed) == 0)
        return false; /* a block of the lane was counted before its address could be known */
    ebb__lock_take(&ebb__lane_lock);
    const struct lane_block *b = find_locked(p);
    if (b != NULL)
        *ret_bytes = b->bytes;
    ebb__lock_release(&ebb__lane_lock);
    return b != NULL;
}

/* Makes room for `more_bytes` of a block, see gate.c, and pays for them. No lock held. */
static bool make_room(size_t more_bytes, size_t block_bytes)
{
    struct ebb_pass pass = {.wanted_units = more_bytes / EBB_UNIT_BYTES};
    return ebb__gate_open(&pass, block_bytes); /* paid, and taken */
}

/* The option bounds what realloc may take; an alignment that only a mapping can give is always tried. Lock held. */
static bool has_place_locked(size_t align)
{
    struct lane *lane = &ebb__lane;
    if (lane->share == 0)
        lane->share = (uint32_t)ebb__min(ebb__os_max_map_count() / 64, EBB_LANE_MAX_BLOCKS);
    return atomic_load_explicit(&lane->count, memory_order_relaxed) <
           (align > LANE_STEP_BYTES ? lane->share : ebb__min(lane->share, (size_t)ebb__conf.lane));
}

static bool has_place(size_t align)
{
    ebb__lock_take(&ebb__lane_lock);
    bool has = has_place_locked(align);
    ebb__lock_release(&ebb__lane_lock);
    return has;
}

/* Puts a block into the table; false when others have filled it. */
static bool enter(void *addr, size_t bytes, size_t align)
{
    struct lane *lane = &ebb__lane;
    ebb__lock_take(&ebb__lane_lock);
    bool has = has_place_locked(align);
    if (has) {
        uint32_t count = atomic_load_explicit(&lane->count, memory_order_relaxed);
        lane->blocks[count] = (struct lane_block){addr, bytes};
        atomic_store_explicit(&lane->count, count + 1, memory_order_release);
        EBB_COUNT(lane_blocks, 1);
        EBB_COUNT(lane_bytes, bytes);
    }
    ebb__lock_release(&ebb__lane_lock);
    return has;
}

void *ebb__lane_alloc(size_t bytes, size_t align)
{
    void *addr = NULL;
    if (bytes > EBB_BUDGET_CHARGE_MAX - LANE_STEP_BYTES || !has_place(align))
        return NULL;
    bytes = ebb__align_up(ebb__max(bytes, 1), LANE_STEP_BYTES);
    bool paid = ebb__ledger_heap_try(bytes) == 0;
    if (ebb__os_map(bytes, align, &addr) == 0) {
        paid = paid || make_room(bytes, bytes);
        if (!paid || !enter(addr, bytes, align)) {
            ebb__os_unmap(addr, bytes);
            addr = NULL;
        }
    }
    if (addr == NULL) {
        if (paid)
            ebb__ledger_heap_uncharge(bytes);
        return NULL;
    }
    __atomic_store_n(&ebb_alloc_counter, __atomic_load_n(&ebb_alloc_counter, __ATOMIC_RELAXED) + 1,
                     __ATOMIC_RELAXED);
    return addr;
}

void ebb__lane_free(void *p)
{
    struct lane *lane = &ebb__lane;
    ebb__lock_take(&ebb__lane_lock);
    struct lane_block *b = find_locked(p);
    struct lane_block found = {NULL, 0};
    if (b != NULL) {
        uint32_t count = atomic_load_explicit(&lane->count, memory_order_relaxed);
        found = *b;
        *b = lane->blocks[count - 1];
        atomic_store_explicit(&lane->count, count - 1, memory_order_release);
    }
    ebb__lock_release(&ebb__lane_lock);
    if (found.addr == NULL)
        return;
    EBB_COUNT(lane_blocks, -1);
    EBB_COUNT(lane_bytes, -found.bytes);
    ebb__gate_leaving(found.bytes);
    ebb__os_unmap(found.addr, found.bytes);
    ebb__gate_left(found.bytes, found.bytes);
}

/* Whether the kernel would give so much: a mapping that nobody touches costs nothing. */
static bool kernel_has(size_t bytes)
{
    void *addr;
    if (ebb__os_map(bytes, LANE_STEP_BYTES, &addr) != 0)
        return false;
    ebb__os_unmap(addr, bytes);
    return true;
}

void *ebb__lane_resize(void *p, size_t bytes)
{
    void *addr = NULL;
    size_t old = 0;
    if (bytes < EBB_LANE_MIN_BYTES / 2 || bytes > EBB_BUDGET_CHARGE_MAX - LANE_STEP_BYTES)
        return NULL; /* small again: the heap is the better place */
    bytes = ebb__align_up(bytes, LANE_STEP_BYTES);
    if (!ebb__lane_find(p, &old)) /* nobody else resizes or frees the caller's block meanwhile */
        return NULL;
    if (bytes > old && ebb__ledger_heap_try(bytes - old) != 0 &&
        (!kernel_has(bytes - old) || !make_room(bytes - old, bytes)))
        return NULL;
    ebb__lock_take(&ebb__lane_lock);
    struct lane_block *b = find_locked(p);
    if (b == NULL) {
        addr = NULL;
    } else if (bytes == old) {
        addr = p;
    } else if (ebb__os_remap(p, old, bytes, &addr) == 0) {
        EBB_COUNT(lane_bytes, bytes - old);
        b->addr = addr;
        b->bytes = bytes;
    }
    ebb__lock_release(&ebb__lane_lock);
    /* What is not held: the rest that was given back, or the growth that was refused. */
    if (addr != NULL && bytes < old)
        ebb__ledger_heap_uncharge(old - bytes);
    else if (addr == NULL && bytes > old)
        ebb__ledger_heap_uncharge(bytes - old);
    return addr;
}
