/* SPDX-License-Identifier: MIT
 *
 * Policy under pressure: how near the limits are, what must be given back, by when, and how far to go for it. Pure: facts and history in, actions
 * out. (policy.h is for quiet times: what free memory is worth keeping.)
 *
 *   room     what is left below a limit: limit - used + half of the clean file cache. The kernel drops such cache by itself before it
 *            kills, so it is room; only half of it, because some is in use and will be read again, and because it is dropped by
 *            the very thread that needs memory. Room is negative when a limit was lowered below what is used.
 *   growth   of the peaks of what is used, from one window of time to the next, without the largest single rise: a saw tooth that
 *            reaches no higher than before does not grow, and one jump is no trend. For what others take that does not hold: our own
 *            process asks before it grows (limits.c), they do not. So once room is short, one jump of theirs is a trend.
 *   need     the level that the facts call for now, with a band of a quarter: it begins at a threshold, and what is asked for then
 *            reaches beyond it. How much is asked, how far in the order and with how much of a processor go by need.
 *   level    what is told to others: need, kept for a while. A level rises at once and falls when it was not needed for its hold
 *            time, 10 s at least. One that comes back within four hours is held eight times as long, up to two hours: a
 *            batch that runs each hour does not swing it each hour. A level that is merely held costs nothing: nothing is asked,
 *            but caches do not grow.
 *
 * Growing is additive, 1 % of the limit in a second, after half a minute of green, and ends where yellow would have ended; so growing
 * alone never leads back to yellow. Retreat is at once.
 *
 * Unknown facts. A limit that is not known does not count. One that was known counts for a minute more as it was last seen, but nothing is
 * asked because of it. Without any limit signs alone decide (levels.def, `blind`).
 *
 * The thresholds are in levels.def. Cost of a step: some microseconds. State: `struct ebb_press`, 10 KiB, all zero but for
 * ebb__press_reset(). Nothing is allocated. Locking: the caller's.
 *
 * Invariants (ebb__press_check)
 *   I1  the level is the highest one that is held
 *   I2  need is not above the level
 *   I3  a hold time is 0, or between that of the first time and the longest
 *   I4  slots of a limit's history follow each other in time, and their peaks lie within them
 */
#ifndef EBB_GOVERNOR_PRESSURE_H
#define EBB_GOVERNOR_PRESSURE_H

#include "base/base.h"

enum ebb_press_level { EBB_PRESS_GREEN, EBB_PRESS_YELLOW, EBB_PRESS_ORANGE, EBB_PRESS_RED, EBB_PRESS_LEVELS };

enum ebb_press_owner { EBB_PRESS_OF_OWN, EBB_PRESS_OF_GROUP, EBB_PRESS_OF_HOST, EBB_PRESS_OWNERS };

enum ebb_press_limit_id {
#define EBB_PRESS_LIMIT(id, name, owner, most, reason) EBB_PRESS_LIMIT_##id,
#include "governor/levels.def"
#undef EBB_PRESS_LIMIT
    EBB_PRESS_LIMITS
};

enum ebb_press_cause {
    EBB_PRESS_NOTHING,
    EBB_PRESS_ROOM_LOW, /* room is below a threshold */
    EBB_PRESS_GROWING,  /* a limit will be reached soon */
    EBB_PRESS_OTHERS,   /* the same, by what others take */
#define EBB_PRESS_SIGN(id, name, permille, level, alone, blind, reason) EBB_PRESS_##id,
#include "governor/levels.def"
#undef EBB_PRESS_SIGN
    EBB_PRESS_CAUSES
};
#define EBB_PRESS_SIGNS (EBB_PRESS_CAUSES - EBB_PRESS_STALLS)

/* In the order of giving. */
enum ebb_press_give {
#define EBB_PRESS_GIVE(id, name, from, mib_per_s, after_ms, reason) EBB_PRESS_GIVE_##id,
#include "governor/levels.def"
#undef EBB_PRESS_GIVE
    EBB_PRESS_GIVES
};

#define EBB_PRESS_UNLIMITED ((uint64_t)1 << 50) /* more is no limit */
#define EBB_PRESS_CPU_ALL   UINT32_MAX          /* no cap */
#define EBB_PRESS_NO_LOOK   UINT32_MAX          /* sleep until called */

struct ebb_press_limit {
    bool known;
    uint32_t which;       /* of several of a kind, as the ancestor that is nearest to its limit */
    uint64_t limit_bytes; /* 0, or more than EBB_PRESS_UNLIMITED: there is none */
    uint64_t used_bytes;  /* may be more than the limit; of the host: what is not available */
    uint64_t clean_bytes; /* file cache among it that goes without being written; 0 where not known */
    bool clean_unknown;
};

/* What one step has seen. */
struct ebb_press_facts {
    uint64_t now_ms;
    struct ebb_press_limit limits[EBB_PRESS_LIMITS];
    bool stalls_known;
    uint64_t some_us, full_us;              /* pressure stall totals, of all time */
    uint32_t high_hits, max_hits, oom_hits; /* since the step before */
    uint32_t notices;                       /* times that a watched PSI file fired since then */
    uint32_t calls;                         /* times that somebody called by FIFO or socket since then */
    enum ebb_press_level call_level;        /* what he calls it, the highest; green: he did not say */
    uint64_t call_bytes;                    /* what he wants, in all; 0: he did not say */
    uint64_t own_bytes;                  /* of what is used: this process's, file cache aside; 0: not known */
    uint64_t can_bytes[EBB_PRESS_GIVES]; /* what could be given, as estimated now */
    uint64_t got_bytes[EBB_PRESS_GIVES]; /* what was given since the step before */
    uint64_t missing_bytes;              /* what caches have given and would like back */
    bool wakes;                          /* whatever brings us near a limit will wake us */
    bool untold;                         /* what others in the cgroup take will not */
};

struct ebb_press_actions {
    enum ebb_press_level level;
    enum ebb_press_level need;
    enum ebb_press_cause cause; /* of need, as the next two */
    unsigned limit;             /* which kind, where cause is room or growing; else EBB_PRESS_LIMITS */
    bool changed;               /* the level is another than before */

    /* From now on: they replace what was asked before and has not come yet. */
    uint64_t want_bytes;                 /* to have back in all */
    uint64_t ask_bytes[EBB_PRESS_GIVES]; /* of whom; never more than he can give */
    uint64_t short_bytes;                /* what will be missing after within_ms even so */
    uint64_t goal_bytes;                 /* what is missing to leave orange, or yellow where that is need */
    uint64_t lack_bytes;                 /* of that, what will be missing after within_ms: for subscribers */
    unsigned reach;                      /* how many of the order are asked, counted up to the last of them */
    unsigned urgency;                    /* 0 none, 1 at leisure, 2 soon, 3 now */
    uint32_t within_ms;                  /* the deadline */
    uint64_t dirty_bytes_per_s;          /* the pace of writing dirty frames */
    bool refuse;                         /* hard limits refuse, for nothing else is left */

    uint32_t cpu_permille; /* of one processor, at most */
    uint32_t look_ms;      /* until the next step */
    bool tell;             /* subscribers: level, want_bytes, urgency and within_ms are news to them */
    bool may_grow;         /* caches */
    uint64_t grow_bytes;   /* by so much in all until the next step */
};

/* ---- history ---- */

#define EBB_PRESS_SLOTS   72u /* 18 s: twice the longest window, and a little */
#define EBB_PRESS_SLOT_MS 250u

struct ebb_press_slot {
    uint64_t from_ms, peak_ms;
    int64_t peak_bytes; /* used, less what of the file cache counts as room */
};

struct ebb_press_track {
    struct ebb_press_slot slots[EBB_PRESS_SLOTS]; /* a ring */
    uint32_t count;                               /* slots begun since it is this limit */
    uint32_t which;
    uint64_t limit_bytes;
    uint64_t seen_ms; /* when it was last known; 0: not lately */
    enum ebb_press_level need;
    /* Used by others: how much, when that was measured, the most of this stretch of time and of the one before, and how fast it
     * grows until when. */
    int64_t others_bytes, others_top, others_before;
    uint64_t others_ms; /* 0: never */
    uint64_t others_from_ms;
    uint64_t others_bytes_per_s, others_until_ms;
};

struct ebb_press_latch {
    bool held;
    uint64_t until_ms; /* while held */
    uint64_t fell_ms;  /* 0: never */
    uint32_t hold_ms;
};

struct ebb_press_giver {
    uint64_t asked_bytes; /* in the step before */
    uint64_t since_ms;    /* asked without a pause since; 0: not asked */
    uint64_t last_ms;     /* when last asked */
    uint64_t got_bytes;   /* since then; both are halved after a while */
    uint64_t bytes_per_s; /* 0: not measured, or as good as believed */
    bool slow;            /* bytes_per_s is what it brought when it brought less than was asked */
};

struct ebb_press {
    uint64_t now_ms; /* of the last step; 0: there was none */
    struct ebb_press_track tracks[EBB_PRESS_LIMITS];
    struct ebb_press_latch latches[EBB_PRESS_LEVELS]; /* green has none */
    struct ebb_press_giver givers[EBB_PRESS_GIVES];
    enum ebb_press_level level, need;
    bool refusing;
    uint64_t signs_until_ms[EBB_PRESS_SIGNS];
    uint64_t calls_until_ms[EBB_PRESS_LEVELS]; /* how long a call of that level counts */
    /* stalls: totals at the begin of this window, shares of the one before */
    uint64_t stall_ms, some_us, full_us;
    uint32_t some_permille, full_permille;
    uint32_t some_now_permille; /* the worse of it and of this window so far */
    bool stalls_begun;
    /* what signs other than room ask for */
    uint64_t owed_bytes, owed_until_ms, owed_next_ms;
    enum ebb_press_level owed_level;
    uint32_t owed_vain; /* times in a row that the stalls did not end by it */
    uint64_t green_ms;  /* since when it is green */
    uint64_t rose_ms;   /* when need last rose */
    /* what subscribers know */
    uint64_t told_ms, told_bytes;
    unsigned told_urgency;
};

void ebb__press_reset(struct ebb_press *press, uint64_t now_ms);

/* One step. */
void ebb__press_decide(struct ebb_press *press, const struct ebb_press_facts *facts,
                       struct ebb_press_actions *ret_actions);

/* The number of the first invariant that does not hold; 0: all do. */
unsigned ebb__press_check(const struct ebb_press *press);

/* Room at which a level begins, and at which it ends, for a limit of that size. pre: level is not green */
uint64_t ebb__press_enter_bytes(enum ebb_press_owner owner, enum ebb_press_level level, uint64_t limit_bytes);
uint64_t ebb__press_leave_bytes(enum ebb_press_owner owner, enum ebb_press_level level, uint64_t limit_bytes);

const char *ebb__press_cause_name(enum ebb_press_cause cause);
const char *ebb__press_limit_name(unsigned limit);
const char *ebb__press_give_name(unsigned give);

/* ---- what was done, and why ---- */

#define EBB_PRESS_RECORDS 64u
#define EBB_PRESS_RUN_MS  2000u /* steps further apart are not one record */

/* Steps that follow each other and have all of these in common are one record. */
struct ebb_press_record {
    uint64_t from_ms, last_ms; /* the first and the last of them */
    uint64_t want_bytes;       /* the most that was wanted */
    uint64_t got_bytes;        /* in all */
    uint32_t took_ms;          /* in all */
    uint32_t steps;
    uint8_t level, need, cause, limit; /* as in the actions */
    uint8_t reach;
    bool refused;
};

struct ebb_press_ring {
    struct ebb_press_record records[EBB_PRESS_RECORDS];
    uint64_t count; /* of all time */
};

/* Notes a step that changed the level, asked for memory or refused; others are not worth a record. True when it was noted. */
bool ebb__press_note(struct ebb_press_ring *ring, uint64_t at_ms, const struct ebb_press_actions *actions,
                     uint64_t got_bytes, uint32_t took_ms);

/* The age-th record, 0 the youngest; NULL when there is none. */
const struct ebb_press_record *ebb__press_noted(const struct ebb_press_ring *ring, unsigned age);

#endif
