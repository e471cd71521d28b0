/* SPDX-License-Identifier: MIT
 *
 * Pressure in the background thread: it looks how near limits are, hears whoever says so, and gives back before they are met.
 *
 * When. Armed while there is something to heed: a limit of the process's own, or with option pressure a subscriber, or, above 32 MiB of
 * heap, a limited cgroup or somebody named by MEMORY_PRESSURE_WATCH. Not armed it costs some loads a sleep, and the thread makes the
 * system calls that it makes without. Whoever meets the look point of the ledger, which is half way to the nearest limit
 * (limits.c), has looked, and tells the thread to arm or to look as well (ebb__act_hint): so a limit of our own needs no clock.
 *
 * How. Armed, the thread sleeps in one poll over all that wakes (sources.c), at most until the policy wants to look again. Then a step:
 *
 *     read      limits, usage, stalls, counters (pressure_read.c), once for limits.c and for the policy
 *     tell      what the policy must know (pressure_look.c), and what could be given
 *     decide    ebb__press_decide()
 *     publish   the level, to the ledger and the stats page
 *     carry     give it back (pressure_carry.c), and note in the ring what was done
 *     tell      subscribers, what is missing then (pressure_tell.c)
 *     listen    thresholds where the kernel has them, stalls once the process has lived for a while or room is short
 *
 * Steps that events ask for are 20 ms apart, so that somebody who floods a FIFO of ours costs half a percent of a processor. Work of
 * the quiet times goes on as before: a tick is not put off by steps.
 *
 * Descriptors. With option pressure the thread has a table of its own, for good, so the process must not end in this thread
 * (sources.c says why): governor.c has it end before the main thread does.
 *
 * Locking: everything but the atomics is the background thread's alone. No lock is held where shrinkers are called. Failure: without
 * a table of its own it sleeps and looks; without thresholds it looks more often; what cannot be read does not limit. Fork: the
 * child is not armed and forgets what its parent knew; its level is green.
 */
#include "governor/act_priv.h"
#include "governor/governor_priv.h"

#define STEP_MIN_MS 20u
#define HINT_MS     250u /* a look that comes sooner by itself needs no hint */
#define LISTEN_AFTER_MS                                                                                      \
    60000u /* triggers make the end of a process late, which those that live for long do not mind */
#define REOPEN_MS      1000u
#define REOPEN_MOST_MS 64000u
#define RICH_BYTES     EBB_MIB(16)
#define NEVER          UINT64_MAX

const char *ebb__act_root = "";

static _Atomic uint32_t armed, hinted, has_table;
static _Atomic uint64_t due_ms; /* of the next step */

/* By the background thread. */
static struct {
    struct ebb_sources sources; /* root is NULL before it was armed for the first time */
    struct ebb_pressure_facts world;
    struct ebb_press press;
    struct ebb_press_ring ring;
    struct ebb_act_giving giving;
    struct ebb_act_marks marks;
    struct ebb_act_heard heard;
    uint64_t armed_ms, opened_ms, reopen_ms, step_ms; /* when that was last */
    uint64_t threshold_limit[EBB_PRESSURE_LEVELS]; /* for which limit thresholds were asked for; 0: not yet */
    bool has_threshold[EBB_PRESSURE_LEVELS];       /* and were had */
    enum ebb_press_level need;
    bool may_open;       /* descriptors, to keep them */
    bool untold;         /* as the policy was told last */
    uint64_t free_bytes; /* in the heap, then */
} act;

const struct ebb_press_ring *ebb__act_ring(void)
{
    return &act.ring;
}

bool ebb__act_is_armed(void)
{
    return atomic_load_explicit(&armed, memory_order_relaxed) != 0;
}

bool ebb__act_has_table(void)
{
    return atomic_load(&has_table) != 0;
}

/* ---- when ---- */

static int64_t own_limit(enum ebb_budget_limit kind)
{
    return ebb__ledger_limit(&ebb__ledger_process, kind, -1);
}

static bool heeds_world(void)
{
    return ebb__conf.pressure != 0;
}

static bool is_wanted(void)
{
    if (own_limit(EBB_BUDGET_SOFT) != EBB_BUDGET_UNLIMITED ||
        own_limit(EBB_BUDGET_HARD) != EBB_BUDGET_UNLIMITED)
        return true;
    if (heeds_world() && ebb__subs_count() != 0)
        return true;
    if (!heeds_world() || (!ebb__limits_are_seen() && ebb__watch()->wish != EBB_WATCH_PATH))
        return false;
    return ebb__act_is_armed() || ebb__heap_backed_bytes() >= EBB_ACT_MIN_BYTES;
}

void ebb__act_hint(void)
{
    if (ebb__act_is_armed()) {
        uint64_t due = atomic_load_explicit(&due_ms, memory_order_relaxed), now_ms = ebb__os_now_ms();
        if (due <= now_ms || due - now_ms <= HINT_MS || atomic_exchange(&hinted, 1) != 0)
            return;
    } else if (!is_wanted()) {
        return;
    }
    atomic_thread_fence(memory_order_seq_cst); /* pairs with the exchange in governor.c: settle() */
    ebb__heap_want_upkeep(EBB_UPKEEP_LIMITS);
    uint32_t tid = ebb__governor_thread_id();
    if (ebb__act_is_armed() && tid != 0)
        (void)ebb__os_wake(tid, 0); /* it may be in the middle of a long nap */
}

/* ---- arming ---- */

static void open_sources(uint64_t now_ms)
{
    struct ebb_sources *s = &act.sources;
    ebb__limits_hold(true);
    if (act.may_open)
        (void)ebb__sources_open(s); /* what it cannot have is made up for by looking */
    else
        ebb__sources_find(s);
    ebb__limits_hold(false);
    act.opened_ms = now_ms;
    act.marks = (struct ebb_act_marks){0};
    memset(act.threshold_limit, 0, sizeof(act.threshold_limit));
    memset(act.has_threshold, 0, sizeof(act.has_threshold));
}

static void set_level(enum ebb_press_level level)
{
    (void)ebb__ledger_set_level((int)level);
    EBB_SET(pressure_level, level);
    ebb__upkeep_publish();
}

static void arm(bool (*may_take)(void))
{
    uint64_t now_ms = ebb__os_now_ms();
    if (act.sources.root == NULL)
        ebb__sources_init(&act.sources, ebb__act_root, "/proc/self");
    ebb__press_reset(&act.press, now_ms);
    ebb__act_giving_reset(&act.giving, now_ms);
    act.heard = (struct ebb_act_heard){0};
    act.need = EBB_PRESS_GREEN;
    act.armed_ms = now_ms;
    act.step_ms = 0;
    act.reopen_ms = REOPEN_MS;
    act.may_open = false;
    if (heeds_world()) {
        atomic_store(&has_table, 1);
        act.may_open = may_take();
    }
    if (heeds_world())
        open_sources(now_ms);
    if (heeds_world() && ebb__watch()->wish == EBB_WATCH_PATH)
        ebb__sources_listen(&act.sources);
    atomic_store(&has_table, act.sources.own_table);
    atomic_store(&due_ms, now_ms);
    atomic_store(&hinted, 0);
    atomic_store(&armed, 1);
}

static void disarm(void)
{
    ebb__sources_close(&act.sources);
    atomic_store(&armed, 0);
    if (ebb__ledger_level() != EBB_LEVEL_GREEN) {
        set_level(EBB_PRESS_GREEN);
        ebb__act_tell_calm();
    }
}

bool ebb__act_is_missed(void)
{
    return is_wanted() != ebb__act_is_armed();
}

void ebb__act_attend(bool (*may_take)(void))
{
    if (!ebb__act_is_missed())
        return;
    if (ebb__act_is_armed())
        disarm();
    else
        arm(may_take);
}

/* ---- a step ---- */

static bool others_count(void)
{
    return ebb__watch()->wish != EBB_WATCH_OFF;
}

static void see_own(struct ebb_press_facts *f)
{
    static const enum ebb_budget_limit kinds[] = {
        [EBB_PRESS_LIMIT_SOFT] = EBB_BUDGET_SOFT, [EBB_PRESS_LIMIT_HARD] = EBB_BUDGET_HARD};
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(kinds); i++) {
        int64_t limit = own_limit(kinds[i]);
        if (limit != EBB_BUDGET_UNLIMITED)
            f->limits[i] = (struct ebb_press_limit){.known = true,
                                                    .limit_bytes = (uint64_t)limit,
                                                    .used_bytes = ebb__ledger_used(&ebb__ledger_process)};
    }
}

/* Thresholds of each cgroup wake us. A usage that is beyond them already, of file cache, crosses none. */
static bool cgroups_wake(void)
{
    uint64_t at[EBB_ACT_THRESHOLDS];
    for (uint32_t i = 0; i < act.world.count; i++) {
        const struct ebb_pressure_level *level = &act.world.levels[i];
        if (!act.has_threshold[level->distance] || ebb__act_thresholds(level, at) == 0 ||
            ebb__known_or(level->usage_bytes, UINT64_MAX) >= at[0])
            return false;
    }
    return true;
}

/* Whatever brings us near a limit will wake us: the ledger for those of our own, thresholds for cgroups, stalls for the host. */
static bool wakes(void)
{
    const struct ebb_sources *s = &act.sources;
    return !heeds_world() || (s->open && (!others_count() || ebb__sources_hear_host(s)) && cgroups_wake());
}

static void look(struct ebb_press_facts *f)
{
    ebb__limits_look(&act.sources, &act.world);
    if (act.world.stale) /* a cgroup that goes wakes all that listened to it, as if the kernel had killed */
        act.heard.ooms = 0;
    see_own(f);
    if (heeds_world())
        ebb__act_see(&act.world, &act.marks, others_count(), f);
    f->notices = act.heard.notices;
    f->calls = act.heard.calls;
    f->call_level = (enum ebb_press_level)act.heard.call_level;
    f->call_bytes = act.heard.call_bytes;
    f->oom_hits += act.heard.ooms;
    act.heard = (struct ebb_act_heard){0};
    f->wakes = wakes();
    f->untold = act.untold = heeds_world() && !cgroups_wake();
    if (act.need != EBB_PRESS_GREEN)
        ebb__upkeep_look();
    ebb__act_estimate(&act.giving, f->now_ms, f->can_bytes);
    memcpy(f->got_bytes, act.giving.got_bytes, sizeof(f->got_bytes));
    act.free_bytes = f->can_bytes[EBB_PRESS_GIVE_FREE];
}

/* What has become free since is worth more looks, where nothing tells of what others take. */
static bool has_become_rich(void)
{
    return act.untold && (uint64_t)EBB_COUNTED(dirty_bytes) >= 2 * act.free_bytes + RICH_BYTES;
}

/* What wakes, as far as it was not had or not wanted yet. Costs grace periods of the kernel, so it comes last. */
static void listen_more(uint64_t now_ms)
{
    struct ebb_sources *s = &act.sources;
    uint64_t bytes[EBB_ACT_THRESHOLDS];
    if (!s->listening && (act.need != EBB_PRESS_GREEN || now_ms - act.armed_ms >= LISTEN_AFTER_MS))
        ebb__sources_listen(s);
    for (uint32_t i = 0; i < act.world.count && act.need < EBB_PRESS_ORANGE; i++) {
        const struct ebb_pressure_level *level = &act.world.levels[i];
        uint64_t limit = ebb__known_or(level->limit_bytes, 0);
        unsigned n = ebb__act_thresholds(level, bytes);
        if (n == 0 || act.threshold_limit[level->distance] == limit)
            continue;
        act.threshold_limit[level->distance] = limit;
        act.has_threshold[level->distance] = ebb__sources_set_thresholds(s, level->distance, bytes, n) == 0;
    }
}

/* The sources belong to a world that is no more, of which nobody knows the limits. Where that does not help it is tried ever more
 * seldom. */
static void reopen(uint64_t now_ms)
{
    uint64_t next_ms = act.opened_ms + act.reopen_ms;
    if (!act.world.stale) {
        act.reopen_ms = REOPEN_MS;
    } else if (now_ms >= next_ms) {
        act.reopen_ms = ebb__min(2 * act.reopen_ms, REOPEN_MOST_MS);
        open_sources(now_ms);
        atomic_store(&due_ms, now_ms);
    } else if (next_ms < atomic_load(&due_ms)) {
        atomic_store(&due_ms, next_ms);
    }
}

static void step(void)
{
    uint64_t now_ms = ebb__os_now_ms();
    struct ebb_press_facts facts = {.now_ms = now_ms};
    struct ebb_press_actions actions;
    atomic_store(&hinted, 0);
    look(&facts);
    if (!is_wanted() && !act.world.stale) {
        disarm();
        return;
    }
    ebb__press_decide(&act.press, &facts, &actions);
    act.need = actions.need;
    if (actions.level != (enum ebb_press_level)ebb__ledger_level())
        set_level(actions.level); /* first: whoever heeds it helps */
    uint64_t got = ebb__act_carry(&act.giving, &actions, now_ms);
    uint64_t end_ms = ebb__os_now_ms();
    (void)ebb__press_note(&act.ring, now_ms, &actions, got, (uint32_t)(end_ms - now_ms));
    ebb__act_tell(&act.giving, &actions, now_ms);
    ebb__report_step(&act.ring, &actions, act.giving.got_bytes);
    EBB_COUNT(pressure_looks, 1);
    act.step_ms = end_ms;
    atomic_store(&due_ms, actions.look_ms == EBB_PRESS_NO_LOOK ? NEVER : now_ms + actions.look_ms);
    if (!heeds_world())
        return;
    reopen(end_ms);
    listen_more(end_ms);
}

/* ---- sleeping ---- */

static bool named_is_program(void)
{
    for (uint32_t i = 0; i < act.sources.count; i++)
        if (act.sources.rows[i].cause == ebb__ctz(EBB_CAUSE_WATCH))
            return act.sources.rows[i].kind != EBB_OS_KERNEL_FILE;
    return false;
}

/* One sleep, which ends with a step when one is due. True when called. *ret_early: it ended before its time, and for no reason. */
static bool doze(uint64_t end_ms, uint64_t *ret_payload, bool *ret_early)
{
    struct ebb_sources_event event;
    bool is_program = named_is_program(); /* the entry may go while it is heard for the last time */
    uint64_t now_ms = ebb__os_now_ms();
    uint64_t until_ms = atomic_load(&hinted) != 0 ? 0 : ebb__min(end_ms, atomic_load(&due_ms));
    *ret_early = false;
    if (until_ms > now_ms) {
        uint64_t ms = until_ms == NEVER ? EBB_OS_FOREVER : until_ms - now_ms;
        (void)ebb__sources_poll(&act.sources, ms, &event);
        now_ms = ebb__os_now_ms();
        *ret_payload = event.payload;
        *ret_early = !event.called && event.causes == 0 && now_ms < until_ms;
        if (event.causes != 0) {
            uint64_t next_ms = act.step_ms + STEP_MIN_MS;
            ebb__act_hear(&act.heard, &event, is_program);
            EBB_COUNT(pressure_wakes, 1);
            if (next_ms > now_ms && !event.called)
                event.called = ebb__os_sleep(next_ms - now_ms, ret_payload);
            atomic_store(&due_ms, 0);
        }
    } else {
        event.called = false;
    }
    if (atomic_load(&hinted) != 0 || atomic_load(&due_ms) <= ebb__os_now_ms())
        step();
    return event.called;
}

bool ebb__act_sleep(uint64_t timeout_ms, uint64_t *ret_payload)
{
    if (!ebb__act_is_armed())
        return ebb__os_sleep(timeout_ms, ret_payload);
    uint64_t now_ms = ebb__os_now_ms();
    uint64_t end_ms = timeout_ms >= NEVER - now_ms ? NEVER : now_ms + timeout_ms;
    bool early;
    if (has_become_rich())
        atomic_store(&due_ms, 0);
    do {
        if (doze(end_ms, ret_payload, &early))
            return true;
    } while (!early && ebb__act_is_armed() && ebb__os_now_ms() < end_ms);
    return false;
}

/* ---- the whole ---- */

void ebb__act_start(void)
{
    ebb__watch_note();
}

void ebb__act_end(void)
{
    if (ebb__act_is_armed())
        disarm();
    act.sources.root = NULL; /* the next thread has no table yet */
    atomic_store(&has_table, 0);
}

void ebb__act_after_fork(void)
{
    act.sources.root = NULL; /* its descriptors are the parent's */
    atomic_store(&armed, 0);
    atomic_store(&hinted, 0);
    atomic_store(&has_table, 0);
    (void)ebb__ledger_set_level(EBB_LEVEL_GREEN);
}
