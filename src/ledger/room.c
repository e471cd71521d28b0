/* SPDX-License-Identifier: MIT
 *
 * The heap's own credit: one word for the whole process instead of one for each thread.
 *
 * heap.taken is what the heap may use before it must ask again, the room is what is left of that. Who subtracts more than
 * there is finds a negative room, adds it back at once, and asks. Meanwhile others find it negative too and ask as well,
 * each for itself. Readers take a negative room for none; but who is about to refuse waits until it is none, because it hides
 * what there was before.
 */
#include "ledger/ledger_priv.h"

/* How much is taken at a time far from any limit: a share of what the heap has, so that the number of walks grows with the
 * logarithm of its size alone. */
#define CHUNK_SHARE 64u
#define CHUNK_MIN   EBB_KIB(256)
#define CHUNK_MAX   EBB_MIB(16)

struct ebb_ledger_room ebb__ledger_room;

static int64_t room_now(void)
{
    return __atomic_load_n(&ebb__ledger_room.room, __ATOMIC_RELAXED);
}

static void add_room(uint64_t bytes)
{
    (void)__atomic_fetch_add(&ebb__ledger_room.room, (int64_t)bytes, __ATOMIC_RELAXED);
}

/* Takes all that is above `keep`; returns how much. A negative room is somebody's who will add it back. */
static uint64_t take_above(int64_t keep)
{
    int64_t room = __atomic_load_n(&ebb__ledger_room.room, __ATOMIC_ACQUIRE);
    while (room > keep)
        if (__atomic_compare_exchange_n(&ebb__ledger_room.room, &room, keep, true, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            return (uint64_t)(room - keep);
    return 0;
}

static void set_keep(uint64_t chunk)
{
    __atomic_store_n(&ebb__ledger_room.keep, (int64_t)(2 * chunk), __ATOMIC_RELAXED);
}

static uint64_t chunk_now(void)
{
    uint64_t wish = ledger_get(&ebb__ledger_heap.taken) / CHUNK_SHARE;
    wish = wish < CHUNK_MIN ? CHUNK_MIN : wish > CHUNK_MAX ? CHUNK_MAX : wish;
    return ebb__ledger_share(&ebb__ledger_heap, wish);
}

/* `bytes` and a chunk in advance. */
static bool take_chunk(uint64_t bytes)
{
    uint64_t chunk = chunk_now();
    if (chunk == 0)
        return false;
    ledger_take_off();
    bool is_taken = ebb__ledger_walk_up(&ebb__ledger_heap, bytes + chunk, LEDGER_GATE) == NULL;
    if (is_taken) {
        ledger_add(&ebb__ledger_heap.own, bytes + chunk);
        add_room(chunk);
        set_keep(chunk);
    }
    ledger_land();
    return is_taken;
}

/* What both slow halves begin with: undoes the subtraction that led here, and takes what no limit is in the way of. False: one is. */
static bool take_below_gate(size_t bytes)
{
    add_room(bytes);
    if (bytes > EBB_BUDGET_CHARGE_MAX)
        return false;
    if (take_chunk(bytes))
        return true;
    set_keep(0);
    if (ebb__ledger_walk_first(&ebb__ledger_heap, bytes, LEDGER_GATE) != NULL)
        return false;
    ledger_add(&ebb__ledger_heap.own, bytes);
    return true;
}

int ebb__ledger_heap_charge_slow(size_t bytes)
{
    if (take_below_gate(bytes))
        return 0;
    if (bytes > EBB_BUDGET_CHARGE_MAX || ebb__ledger_walk_slow(&ebb__ledger_heap, bytes) != 0)
        return -ENOMEM;
    ledger_add(&ebb__ledger_heap.own, bytes);
    return 0;
}

int ebb__ledger_heap_charge_if_room(size_t bytes)
{
    bool has_room = ebb__ledger_heap_try(bytes) == 0 ||
                    (ebb__ledger_peek(&ebb__ledger_heap, bytes) && ebb__ledger_heap_try(bytes) == 0);
    return has_room ? 0 : -ENOMEM;
}

int ebb__ledger_heap_try_slow(size_t bytes)
{
    return take_below_gate(bytes) ? 0 : -ENOMEM;
}

void ebb__ledger_heap_force(size_t bytes)
{
    if (__atomic_sub_fetch(&ebb__ledger_room.room, (int64_t)bytes, __ATOMIC_RELAXED) >= 0)
        return;
    add_room(bytes);
    if (take_chunk(bytes))
        return;
    ebb__ledger_walk_force(&ebb__ledger_heap, bytes);
    ledger_add(&ebb__ledger_heap.own, bytes);
}

void ebb__ledger_heap_uncharge_slow(void)
{
    int64_t keep = __atomic_load_n(&ebb__ledger_room.keep, __ATOMIC_RELAXED);
    ledger_take_off();
    uint64_t excess = take_above(keep / 2);
    if (excess != 0)
        ebb__ledger_give(&ebb__ledger_heap, excess, "ebb__ledger_heap_uncharge");
    ledger_land();
}

bool ebb__ledger_room_is_none(void)
{
    return room_now() == 0;
}

size_t ebb__ledger_recall_room(void)
{
    uint64_t taken = take_above(0);
    set_keep(0);
    if (taken != 0)
        ebb__ledger_give(&ebb__ledger_heap, taken, "ebb__ledger_heap_uncharge");
    return taken;
}

void ebb__ledger_heap_recount(size_t bytes)
{
    uint64_t own = ledger_get(&ebb__ledger_heap.own);
    __atomic_store_n(&ebb__ledger_room.room, 0, __ATOMIC_RELAXED);
    set_keep(0);
    ledger_sub(&ebb__ledger_heap.own, own);
    ebb__ledger_walk_down(&ebb__ledger_heap, own);
    ebb__ledger_walk_force(&ebb__ledger_heap, bytes);
    ledger_add(&ebb__ledger_heap.own, bytes);
}
