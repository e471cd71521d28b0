/* SPDX-License-Identifier: MIT
 *
 * Limits: what the process may hold, and the free memory of the heap that goes back before it holds more.
 *
 * What. Three sources say what the process may hold:
 *
 *     option limit         the soft limit of the ledger's account of the process: above it free memory goes back first, then
 *                          shrinkers give, by price; then the program grows all the same. A program may set it, too
 *     option hard_limit    its hard limit: above it blocks are refused
 *     the memory cgroup    what it has room for, all of it or a share (option budget); soft
 *
 * A limit of a cgroup cannot be compared with what we have counted: others live in it, and the page cache. And of our own
 * process the ledger counts only what it is told; stacks, libraries and what the program maps itself must be measured. So the
 * ledger has a look point, which is no limit but the point at which somebody must look again: half way to the nearest limit, as it was
 * seen last, and a MiB at least. Whoever is about to back memory beyond that point looks, in the middle of malloc: how much room
 * is there really? Is there enough, the point moves on. If not, what is free in the heap goes back first, caches of threads
 * included; and when that is not enough, others are asked for the rest, by price: idle regions, the program's shrinkers. So nothing
 * has to poll, and far from a limit nobody looks, or is asked.
 *
 *     held              look again            limit
 *     |------------------->|------------------->|          room: half of it until the next look
 *                               |------>|------>|
 *
 * Without limits the point is 32 MiB, then twice what is held: a look that finds nothing costs some 40 microseconds, and a cgroup may
 * get its limit later.
 *
 * The reserve. Programs meet ENOMEM well where they ask for much, and badly where they ask for a few bytes. So the last 3 % below a
 * hard limit, 16 MiB at most, are reserved in the ledger: blocks of 256 KiB and more are refused as if they were not there, and
 * smaller ones draw on them. What was drawn is reserved again when there is room.
 *
 * Locking: one thread looks and gives back at a time; who comes by meanwhile waits, for it is near the limit too. Called with no lock
 * of ours held, but perhaps within an operation on the caller's own cache, which is then left alone. Failure: what cannot be read
 * does not limit. A process that is moved to another cgroup: each look reads which ones it is in, and finds the files anew when these
 * are others. Fork: the child has the same limits.
 */
#include <errno.h>

#include "governor/governor_priv.h"
#include "governor/sources_priv.h"

#define LOOK_FIRST_BYTES  EBB_MIB(32) /* a process below that is left alone */
#define STEP_MIN_BYTES    EBB_MIB(1)  /* a look costs as much as the faults of some 100 KiB */
#define GIVE_MIN_BYTES    EBB_MIB(4)  /* fewer calls of the kernel, and air for the next blocks */
#define LARGE_BLOCK_BYTES EBB_KIB(256)
#define RESERVE_MAX_BYTES EBB_MIB(16)
#define RESERVE_PERCENT   3u
#define DRAW_BYTES        EBB_KIB(256)
#define TRUST_LOOKS       16u
#define DRAIN_MS          50u /* between two times that all caches are emptied for the sake of a limit */
#define FIND_MS           1000u
#define FIND_MOST_MS      64000u

static struct ebb_budget_account *reserve; /* NULL: no hard limit */
static size_t reserve_bytes;
static int shrinker;       /* its number; 0: there was no room for it */
static _Atomic bool armed; /* there is a limit, as seen last */
static struct ebb_lock limits_lock =
    EBB_LOCK_INIT(EBB_RANK_LIMITS); /* held by who looks, and gives back because of it */
static _Atomic uint64_t drained_ms;

/* ---- looking ---- */

/* How far it is to the nearest limit, from what is held now; negative beyond it. */
struct distance {
    int64_t cgroup_bytes; /* to where free memory must go back; INT64_MAX: there is no such limit */
    int64_t own_bytes;    /* to a limit of the ledger's, which sees to it itself */
};

static int64_t lesser(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t greater(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* What of a room the process may use. Something must be left for what the kernel holds for us, and for what comes before the next
 * look: a 64th of the limit, 1 MiB at least. */
static int64_t share_of(uint64_t room, uint64_t limit)
{
    int64_t left = (int64_t)ebb__max(limit / 64, STEP_MIN_BYTES);
    if (ebb__conf.budget != 0)
        left = greater(left, (int64_t)(limit / 100 * (uint64_t)(100 - ebb__conf.budget)));
    return (int64_t)room - left;
}

/* What the kernel says of the process's cgroups. Each file is opened for a moment: this may be any thread, and a descriptor that stays
 * is for the background thread's own table alone. */
static struct ebb_sources eyes;

static void open_eyes(void)
{
    ebb__sources_init(&eyes, ebb__act_root, "/proc/self");
    if (ebb__conf.pressure != 0)
        ebb__sources_find(&eyes);
}

static bool moved; /* once at least */

/* The process was moved, or its cgroups cannot be found: looks for them anew, ever more seldom where that does not help. Whether it
 * did so. */
static bool find_anew(bool stale)
{
    static uint64_t next_ms, wait_ms;
    if (EBB_LIKELY(!stale) || ebb__conf.pressure == 0) {
        wait_ms = 0;
        return false;
    }
    uint64_t now_ms = ebb__os_now_ms();
    if (now_ms < next_ms)
        return false;
    wait_ms = wait_ms == 0 ? FIND_MS : ebb__min(2 * wait_ms, FIND_MOST_MS);
    next_ms = now_ms + wait_ms;
    ebb__sources_find(&eyes);
    moved = true;
    return true;
}

/* What a process held when it was moved stays with the cgroup before until it goes back to the kernel; taken again it needs room here, and
 * the ledger sees no growth in that. Of a process that keeps what it has none will come, so half the room is kept for it at most. */
static int64_t coming_bytes(const struct ebb_pressure_facts *facts, uint64_t room)
{
    uint64_t rss = ebb__known_or(facts->rss_bytes, 0),
             here = ebb__known_or(facts->levels[facts->tightest].usage_bytes, UINT64_MAX);
    return moved && rss > here ? (int64_t)ebb__min(rss - here, room / 2) : 0;
}

/* What is backed, and so charged, but has not been touched yet, takes room when it is, and nobody asks then. A program that takes much
 * and never touches it shall not live at its limit because of that: a 16th counts. */
static int64_t room_in_cgroup(const struct ebb_pressure_facts *facts, uint64_t untouched_bytes)
{
    static unsigned trust; /* looks for which a limit that was seen holds without being seen */
    if (facts->tightest == EBB_PRESSURE_NONE)
        return trust != 0 && trust-- != 0
                   ? 0
                   : INT64_MAX; /* at its limit the kernel may refuse even to open a file */
    trust = TRUST_LOOKS;
    const struct ebb_pressure_level *level = &facts->levels[facts->tightest];
    uint64_t limit = ebb__level_ceiling(level), room = ebb__level_room(level).value;
    return share_of(room, limit) - (int64_t)ebb__min(untouched_bytes, limit / 16) - coming_bytes(facts, room);
}

/* What the ledger does not count: RSS that is not the heap's. As long as blocks are backed that nobody has touched, RSS is less than
 * that; then it is taken to be what it was at the start, and the heap's own metadata, a 128th of what it holds. */
static size_t untracked(size_t held, size_t rss)
{
    static size_t at_start = SIZE_MAX;
    if (at_start == SIZE_MAX)
        at_start = rss - ebb__min(held, rss);
    return ebb__max(rss - ebb__min(held, rss), at_start + held / 128);
}

/* Usage and ledger must be of one instant: what has left already, but is charged still, would count as room twice. */
static struct distance look(struct ebb_sources *from, struct ebb_pressure_facts *facts)
{
    struct distance d = {INT64_MAX, INT64_MAX};
    int64_t soft = ebb__ledger_limit(&ebb__ledger_process, EBB_BUDGET_SOFT, -1),
            hard = ebb__ledger_limit(&ebb__ledger_process, EBB_BUDGET_HARD, -1);
    ebb__lock_take(&ebb__return_lock); /* no purge is half done */
    ebb__sources_read(from, facts);
    size_t held = ebb__heap_backed_bytes() + (size_t)EBB_COUNTED(lane_bytes);
    size_t rss = (size_t)ebb__known_or(facts->rss_bytes, held), beside = untracked(held, rss);
    (void)ebb__ledger_set_untracked(beside);
    int64_t leaving = (int64_t)atomic_load(&ebb__heap_leaving_bytes); /* before the sum that it leaves */
    int64_t taken = (int64_t)ebb__ledger_taken(&ebb__ledger_process);
    ebb__lock_release(&ebb__return_lock);
    ebb__report_group(&from->place, facts);
    if (lesser(soft, hard) != EBB_BUDGET_UNLIMITED)
        d.own_bytes = lesser(soft, hard) - taken;
    if (ebb__conf.pressure != 0)
        d.cgroup_bytes = room_in_cgroup(facts, held + beside - rss);
    if (d.cgroup_bytes != INT64_MAX)
        d.cgroup_bytes -= leaving;
    atomic_store_explicit(&armed, lesser(d.cgroup_bytes, d.own_bytes) != INT64_MAX, memory_order_relaxed);
    return d;
}

/* By any thread. */
static struct distance look_here(void)
{
    static struct ebb_pressure_facts facts; /* by one thread at a time */
    if (eyes.root == NULL)
        open_eyes();
    struct distance d = look(&eyes, &facts);
    return find_anew(facts.stale) ? look(&eyes, &facts) : d;
}

/* Where somebody must look again; not before he who asks has `wanted` bytes. */
static void set_next_look(struct distance d, int64_t wanted)
{
    int64_t taken = (int64_t)ebb__ledger_taken(&ebb__ledger_process),
            nearest = lesser(d.cgroup_bytes, d.own_bytes);
    int64_t step = nearest == INT64_MAX ? greater(taken, (int64_t)LOOK_FIRST_BYTES) : nearest / 2;
    if (nearest == INT64_MAX && ebb__conf.pressure == 0) { /* nothing to look at */
        (void)ebb__ledger_look_point(EBB_BUDGET_UNLIMITED);
        return;
    }
    int64_t to_arm = (int64_t)EBB_ACT_MIN_BYTES - (int64_t)ebb__heap_backed_bytes();
    if (nearest != INT64_MAX && to_arm > 0) /* somebody must be there to see that it arms */
        step = lesser(step, to_arm);
    (void)ebb__ledger_look_point(taken + greater(step, wanted + (int64_t)STEP_MIN_BYTES));
}

/* ---- giving back ---- */

void ebb__limits_drain(void)
{
    uint64_t now_ms = ebb__os_now_ms();
    if (now_ms - atomic_load_explicit(&drained_ms, memory_order_relaxed) < DRAIN_MS)
        return;
    atomic_store_explicit(&drained_ms, now_ms, memory_order_relaxed);
    if (ebb__cache_threads() > 1)
        ebb__upkeep_ready_barrier();
    ebb__lock_take(&ebb__return_lock);
    if (ebb__cache_revoke() == 0)
        (void)ebb__cache_drain();
    (void)ebb__cache_drain_depot(true);
    ebb__lock_release(&ebb__return_lock);
}

/* Free extents first, for that costs least; then what caches hold; then pages inside slabs. */
static size_t give_back(size_t bytes)
{
    bytes = ebb__max(bytes, GIVE_MIN_BYTES);
    size_t given = ebb__heap_purge_free(0, bytes, 0);
    if (given < bytes) {
        ebb__limits_drain();
        given += ebb__heap_give_back(bytes - given);
    }
    EBB_COUNT(limit_purged_bytes, given);
    return given;
}

/* For what can be done without. While another thread looks it is done without. */
static size_t look_only(size_t bytes)
{
    int64_t wanted = (int64_t)ebb__min(bytes, PTRDIFF_MAX), missing;
    int saved = errno;
    if (!ebb__lock_try(&limits_lock))
        return bytes;
    struct distance d = look_here();
    missing = greater(wanted - d.cgroup_bytes, 0);
    EBB_COUNT(limit_looks, 1);
    if (missing == 0)
        set_next_look(d, wanted);
    ebb__lock_release(&limits_lock);
    errno = saved;
    return (size_t)missing;
}

/* Somebody is about to take so many bytes beyond the look point. Returns how much is missing even so. */
static size_t look_first(size_t bytes, bool may_give)
{
    if (!may_give)
        return look_only(bytes);
    int64_t wanted = (int64_t)ebb__min(bytes, PTRDIFF_MAX), missing;
    int saved = errno;
    ebb__lock_take(&limits_lock);
    struct distance d = look_here();
    missing = greater(wanted - d.cgroup_bytes, 0);
    EBB_COUNT(limit_looks, 1);
    if (missing > 0) {
        EBB_COUNT(limit_hits, 1);
        size_t given = give_back((size_t)missing);
        missing = greater(missing - (int64_t)ebb__min(given, PTRDIFF_MAX), 0);
        if (given != 0)
            d = look_here();
    }
    set_next_look(d, wanted);
    ebb__lock_release(&limits_lock);
    ebb__act_hint();
    ebb__report_write();
    errno = saved;
    return (size_t)missing;
}

/* How much that is of what is backed nobody knows before it is tried. */
static size_t estimate(void *unused)
{
    (void)unused;
    return ebb__heap_backed_bytes();
}

/* The heap's part in a limit of the ledger's own. */
static size_t shrink(void *unused, size_t bytes, enum ebb_budget_urgency urgency, uint64_t deadline_ns)
{
    int saved = errno;
    (void)unused;
    (void)urgency;
    (void)deadline_ns;
    size_t given = give_back(bytes);
    ebb__act_hint();
    ebb__report_write();
    errno = saved;
    return given;
}

/* ---- the reserve ---- */

/* A block was refused. True when it is small and there is something for it. */
static bool draw(size_t bytes, size_t block_bytes)
{
    if (block_bytes < LARGE_BLOCK_BYTES && reserve != NULL &&
        ebb__ledger_release(reserve, ebb__max(bytes, DRAW_BYTES)) != 0)
        return true;
    ebb__report_refused(block_bytes);
    return false;
}

static void refill_reserve(void)
{
    struct ebb_budget_stats stats = {.size_of_struct = sizeof(stats)};
    if (reserve == NULL || ebb__ledger_account_stats(reserve, &stats) != 0 ||
        stats.reserved_bytes >= reserve_bytes)
        return;
    size_t missing = reserve_bytes - stats.reserved_bytes;
    if (ebb__ledger_headroom(reserve) >= missing + reserve_bytes)
        (void)ebb__ledger_reserve_try(reserve, missing); /* this may be somebody's free() */
}

static void make_reserve(void)
{
    reserve_bytes = ebb__min((size_t)ebb__conf.hard_limit / 100 * RESERVE_PERCENT, RESERVE_MAX_BYTES);
    if (ebb__ledger_create(NULL, "reserve", EBB_BUDGET_ESSENTIAL, &reserve) != 0)
        reserve = NULL;
    else if (ebb__ledger_reserve(reserve, reserve_bytes) != 0)
        reserve_bytes = 0;
}

/* ---- door ---- */

void ebb__limits_start(void)
{
    const struct ebb_budget_shrinker row = {
        .size_of_struct = sizeof(row),
        .account = &ebb__ledger_heap,
        .name = "free memory of the heap",
        .price = 0,
        .estimate = estimate,
        .shrink = shrink,
    };
    shrinker = ebb__ledger_shrinker_add(&row);
    if (shrinker < 0) {
        shrinker = 0;
        return;
    }
    struct distance d = {INT64_MAX, INT64_MAX};
    if (ebb__conf.limit != 0)
        (void)ebb__ledger_limit(&ebb__ledger_process, EBB_BUDGET_SOFT, ebb__conf.limit);
    if (ebb__conf.hard_limit != 0) {
        (void)ebb__ledger_limit(&ebb__ledger_process, EBB_BUDGET_HARD, ebb__conf.hard_limit);
        make_reserve();
    }
    if (ebb__conf.hard_limit != 0 || ebb__conf.limit != 0)
        d = look_here();
    set_next_look(d, 0);
    ebb__ledger_looker = shrinker;
    ebb__ledger_look = look_first;
    ebb__gate_refused = draw;
}

void ebb__limits_tick(void)
{
    if (shrinker == 0 || !atomic_load_explicit(&armed, memory_order_relaxed))
        return;
    int saved = errno;
    ebb__lock_take(&limits_lock);
    set_next_look(look_here(), 0);
    ebb__lock_release(&limits_lock);
    errno = saved;
    refill_reserve();
}

void ebb__limits_look(struct ebb_sources *from, struct ebb_pressure_facts *ret_facts)
{
    ebb__lock_take(&limits_lock);
    struct distance d = look(from, ret_facts);
    if (shrinker !=
        0) /* of a world that is no more the thread says nothing until it has opened its sources anew */
        set_next_look(ret_facts->stale ? look_here() : d, 0);
    ebb__lock_release(&limits_lock);
    refill_reserve();
}

void ebb__limits_hold(bool hold)
{
    if (hold)
        ebb__lock_take(&limits_lock);
    else
        ebb__lock_release(&limits_lock);
}

bool ebb__limits_are_seen(void)
{
    return atomic_load_explicit(&armed, memory_order_relaxed);
}

int ebb__limits_shrinker(void)
{
    return shrinker;
}

void ebb__limits_after_fork(void)
{
    ebb__lock_reset(&limits_lock);
}

bool ebb__governor_rescue(void)
{
    if (ebb__ledger_limit(&ebb__ledger_process, EBB_BUDGET_HARD, -1) == EBB_BUDGET_UNLIMITED &&
        ebb__ledger_limit(&ebb__ledger_heap, EBB_BUDGET_HARD, -1) == EBB_BUDGET_UNLIMITED)
        return false;
    ebb__cache_flush_thread();
    ebb__heap_tidy_slabs();
    return true;
}
