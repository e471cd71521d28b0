/* SPDX-License-Identifier: MIT
 *
 * Upkeep: what the background thread does in a tick, and what others do where there is none.
 *
 * A tick collects facts, asks the policy, and acts: caches first, for what they hold makes slabs and extents free; then free
 * extents; then pages inside slabs. The policy's limit of processor time becomes a limit of bytes by what the last purges have
 * cost.
 *
 * Without the thread, slow paths come by (ebb__upkeep_piece): one at a time, at most ten times a second, a piece of the free
 * memory that nobody has touched for a second. A process that sleeps then keeps what it had.
 */
#include "governor/governor_priv.h"

#define PIECE_MS         100u
#define PIECE_BYTES      EBB_MIB(1) /* ~50 us of the kernel's time on somebody's way */
#define PIECE_KEEP_BYTES EBB_MIB(8)
#define PIECE_IDLE_MS    1000u
#define PIECE_SWEEP_MS   5000u
#define PIECE_DECAY_MS   500u
#define PURGE_MIN_BYTES  EBB_MIB(1)

static struct ebb_policy policy;
static uint64_t ns_per_mib = 50000; /* what purging costs, as measured last */

/* ---- facts ---- */

/* What caches hold, as looked at last. Looking costs ~5 us a cache, with the list of caches locked: with hundreds of them it
 * is done less often. */
static struct {
    size_t blocks, bytes;
    uint32_t skip; /* ticks until the next look */
} cached;

#define CACHES_A_TICK 64u

void ebb__upkeep_look(void)
{
    ebb__cache_stats(&cached.blocks, &cached.bytes);
    cached.skip = ebb__cache_threads() / CACHES_A_TICK;
}

size_t ebb__upkeep_cached_bytes(void)
{
    return cached.bytes;
}

static void collect(struct ebb_policy_facts *ret)
{
    struct ebb_heap_facts heap;
    ebb__heap_facts(&heap);
    if (cached.skip == 0)
        ebb__upkeep_look();
    else
        cached.skip--;
    *ret = (struct ebb_policy_facts){
        .now_ms = ebb__os_now_ms(),
        .used_low_bytes = heap.used_low_bytes,
        .used_peak_bytes = heap.used_peak_bytes,
        .dirty_bytes = heap.dirty_bytes,
        .retaken_bytes = heap.retaken_bytes,
        .returned_bytes = EBB_COUNTED(purged_bytes),
        .cached_bytes = cached.bytes,
        .caches = ebb__cache_threads(),
        .drains = ebb__conf.drain != 0,
        .stirred = heap.stirred,
        .regions = ebb__region_is_any_kept(),
    };
}

/* ---- acting ---- */

static void tend_caches(const struct ebb_policy_actions *a)
{
    if (!a->drain && !a->depot && !a->revoke)
        return;
    ebb__lock_take(&ebb__return_lock);
    if (a->drain)
        (void)ebb__cache_drain();
    if (a->depot)
        (void)ebb__cache_drain_depot(false);
    if (a->revoke && ebb__cache_revoke() != 0)
        ebb__cache_grow_older();
    ebb__lock_release(&ebb__return_lock);
}

/* Gives back, in the time that the policy allows. Returns the bytes. */
static size_t give_back(const struct ebb_policy_actions *a, uint32_t period_ms)
{
    size_t most = (size_t)a->cpu_permille * period_ms * 1000 / ns_per_mib * EBB_MIB(1);
    most = ebb__max(most, PURGE_MIN_BYTES);
    uint64_t start_ns = ebb__os_thread_cpu_ns();
    if (a->tidy)
        ebb__heap_tidy_slabs();
    size_t bytes = ebb__heap_purge_free(a->keep_bytes, most, a->idle_ms);
    if (a->sweep && bytes < most)
        bytes += ebb__heap_sweep(most - bytes);
    if (bytes >= PURGE_MIN_BYTES) {
        uint64_t cost = (ebb__os_thread_cpu_ns() - start_ns) / (bytes / EBB_MIB(1));
        ns_per_mib = ebb__max((3 * ns_per_mib + cost) / 4, 1000);
    }
    return bytes;
}

void ebb__upkeep_reset(void)
{
    cached.skip = 0;
    ebb__policy_reset(&policy, ebb__os_now_ms());
    struct ebb_heap_facts heap;
    ebb__heap_facts(&heap);
    policy.retaken_bytes = heap.retaken_bytes;
}

void ebb__upkeep_publish(void)
{
    struct ebb_heap_stats heap;
    ebb__heap_stats(&heap);
    size_t blocks = cached.blocks, bytes = cached.bytes;
    size_t bytes_out = heap.slab_bytes + heap.span_bytes, blocks_out = heap.slab_blocks + heap.span_blocks;
    struct ebb_wire_summary summary = {
        .updated_ms = ebb__os_now_ms(),
        .ticks = EBB_COUNTED(bg_ticks),
        .level = (uint64_t)ebb__ledger_level(),
        .live_bytes = bytes_out - ebb__min(bytes, bytes_out) + heap.lane_bytes,
        .live_blocks = blocks_out - ebb__min(blocks, blocks_out) + heap.lane_blocks,
        .cached_bytes = bytes,
        .cached_blocks = blocks,
    };
    ebb__stats_publish(&summary);
    EBB_SET(bg_cpu_ns, ebb__os_thread_cpu_ns());
    ebb__report_write();
}

uint32_t ebb__upkeep_tick(void)
{
    struct ebb_policy_facts facts;
    struct ebb_policy_actions actions;
    ebb__limits_tick();
    collect(&facts);
    ebb__policy_decide(&policy, &facts, &actions);
    EBB_SET(kept_bytes, actions.keep_bytes);
    if (actions.drain || actions.depot)
        cached.skip = 0;
    if (actions.settled) {
        ebb__upkeep_look();
        ebb__heap_retire_groups();
        ebb__upkeep_publish();
        return 0;
    }
    if (actions.decay)
        (void)ebb__region_decay();
    tend_caches(&actions);
    (void)give_back(&actions, actions.sleep_ms);
    ebb__upkeep_publish();
    return actions.sleep_ms;
}

bool ebb__upkeep_is_settled(void)
{
    struct ebb_policy_facts facts;
    collect(&facts);
    return ebb__policy_is_barren(&policy, &facts);
}

/* ---- without the thread ---- */

static _Atomic uint32_t piece_busy;
static uint64_t piece_ms, piece_sweep_ms, piece_decay_ms; /* guarded by piece_busy */

void ebb__upkeep_piece(void)
{
    uint32_t idle = 0;
    uint64_t now_ms = ebb__os_now_ms();
    if (now_ms - __atomic_load_n(&piece_ms, __ATOMIC_RELAXED) < PIECE_MS ||
        !atomic_compare_exchange_strong(&piece_busy, &idle, 1))
        return;
    __atomic_store_n(&piece_ms, now_ms, __ATOMIC_RELAXED);
    ebb__limits_tick();
    if (now_ms - piece_decay_ms >= PIECE_DECAY_MS && ebb__region_is_any_kept()) {
        (void)ebb__region_decay();
        piece_decay_ms = now_ms;
    }
    size_t bytes = ebb__heap_purge_free(PIECE_KEEP_BYTES, PIECE_BYTES, PIECE_IDLE_MS);
    if (bytes == 0 && now_ms - piece_sweep_ms >= PIECE_SWEEP_MS) {
        if (ebb__heap_sweep(PIECE_BYTES) < PIECE_BYTES) /* else there is more to be had at once */
            piece_sweep_ms = now_ms;
    }
    atomic_store(&piece_busy, 0);
}

void ebb__upkeep_after_fork(void)
{
    atomic_store(&piece_busy, 0);
}

/* ---- the barrier ---- */

void ebb__upkeep_ready_barrier(void)
{
    static _Atomic bool asked; /* a fork child inherits the answer */
    if (!atomic_exchange(&asked, true) && ebb__os_barrier_init() != 0)
        ebb__conf.drain = 0; /* a thread's cache is its own affair then */
}

size_t ebb__governor_trim(size_t keep_bytes)
{
    if (ebb__cache_threads() != 0)
        ebb__upkeep_ready_barrier();
    (void)ebb__region_decay_all();
    ebb__lock_take(&ebb__return_lock);
    if (ebb__cache_revoke() == 0)
        (void)ebb__cache_drain();
    (void)ebb__cache_drain_depot(true);
    ebb__lock_release(&ebb__return_lock);
    return ebb__heap_trim(keep_bytes);
}
