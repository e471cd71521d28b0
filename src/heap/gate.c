/* SPDX-License-Identifier: MIT
 *
 * The gate: nobody backs memory without the ledger's word.
 *
 * What. Whoever is about to take units that hold no memory yet asks the ledger for them under the space lock; that costs a few
 * instructions and never waits. When a limit is in the way nothing is taken: the locks are dropped, and the ledger is asked to make
 * room, which may mean giving back what is free, here and in pools and regions, or refusing the block. Then the search begins anew,
 * because much may have changed.
 *
 *     space lock:  find a run;  charge;  take it                     no room: leave
 *     no lock:     make room  ->  look again, or NULL
 *
 * Room is made only for what somebody must have. What can be done without (caches and magazines, blocks taken in advance, room for
 * growth) is had where there is room, so that nobody's memory goes for it, and free() asks nobody.
 *
 * Where memory is backed without asking (a purge that the kernel refused, what the sweeper claims for a moment) and where it goes
 * back, the ledger is told at the end of the turn. Memory in the lane is charged by lane.c, the same way.
 *
 * Invariant (ebb__heap_check)
 *   H13  the ledger's account of the heap is backed units and bytes of the lane
 */
#include "heap/heap_priv.h"

bool (*ebb__gate_refused)(size_t bytes, size_t block_bytes);
_Atomic size_t ebb__heap_leaving_bytes;

bool ebb__gate_spend(struct ebb_pass *pass, size_t units)
{
    if (units > pass->paid_units) {
        pass->wanted_units = units;
        return false;
    }
    pass->paid_units -= units;
    ebb__space.charged_units += units;
    return true;
}

bool ebb__gate_open(struct ebb_pass *pass, size_t block_bytes)
{
    size_t more = pass->wanted_units - pass->paid_units;
    if (pass->room == EBB_IF_ROOM) {
        bool has_room = ebb__ledger_heap_charge_if_room(more * EBB_UNIT_BYTES) == 0;
        pass->paid_units += has_room ? more : 0;
        pass->wanted_units = has_room ? 0 : pass->wanted_units;
        return has_room;
    }
    pass->wanted_units = 0;
    for (;;) {
        if (ebb__ledger_heap_charge(more * EBB_UNIT_BYTES) == 0) {
            pass->paid_units += more;
            return true;
        }
        if (ebb__gate_refused == NULL || !ebb__gate_refused(more * EBB_UNIT_BYTES, block_bytes))
            break;
    }
    pass->wanted_units = more;
    EBB_COUNT(limit_refusals, 1);
    return false;
}

void ebb__gate_settle(void)
{
    struct space *s = &ebb__space;
    if (s->backed_units > s->charged_units)
        ebb__ledger_heap_force((s->backed_units - s->charged_units) * EBB_UNIT_BYTES);
    else
        ebb__ledger_heap_uncharge((s->charged_units - s->backed_units) * EBB_UNIT_BYTES);
    s->charged_units = s->backed_units;
}

void ebb__gate_left(size_t bytes, size_t charged_bytes)
{
    /* Who forked in the middle of it, from a signal handler, finds the count reset, and the ledger told. */
    size_t have = atomic_load(&ebb__heap_leaving_bytes);
    if (have >= bytes)
        ebb__ledger_heap_uncharge(charged_bytes);
    while (!atomic_compare_exchange_weak(&ebb__heap_leaving_bytes, &have, have - ebb__min(have, bytes)))
        ;
}

void ebb__gate_after_fork(void)
{
    atomic_store(&ebb__heap_leaving_bytes, 0); /* of threads that are not here */
    ebb__space.charged_units = ebb__space.backed_units;
    ebb__ledger_heap_recount(ebb__space.backed_units * EBB_UNIT_BYTES + (size_t)EBB_COUNTED(lane_bytes));
}
