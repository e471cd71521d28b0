/* SPDX-License-Identifier: MIT
 * The rooms of the policy under pressure and what they share.
 *
 *   pressure.c         a step: level, deadline, when to look again
 *   pressure_limits.c  how near each limit is, and how fast it comes nearer
 *   pressure_signs.c   stalls, events, calls: what else calls for giving
 *   pressure_give.c    whom to ask for how much
 *   pressure_ring.c    what was done */
#ifndef EBB_GOVERNOR_PRESSURE_PRIV_H
#define EBB_GOVERNOR_PRESSURE_PRIV_H

#include "governor/pressure.h"

/* A limit, as one step sees it. */
struct press_seen {
    bool known;      /* now */
    bool remembered; /* not now, but a moment ago */
    enum ebb_press_level need;
    bool by_time;   /* need is that high because of growth only */
    bool by_others; /* and that of others */
    bool cached;    /* there is file cache enough to explain that it is hit */
    int64_t room_bytes;
    uint64_t limit_bytes;
    uint64_t growth[EBB_PRESS_LEVELS]; /* bytes per second, in each level's window */
    uint64_t enter[EBB_PRESS_LEVELS];  /* the room below which that level begins, growth apart */
    uint64_t calm[EBB_PRESS_LEVELS];   /* the room at which it ends */
    uint64_t target[EBB_PRESS_LEVELS]; /* the room that is asked for while it is needed */
};

struct press_step {
    uint64_t now_ms, passed_ms;
    struct press_seen limits[EBB_PRESS_LIMITS];
    bool bytes_known;                /* some limit is */
    enum ebb_press_level bytes_need; /* of all limits */
    enum ebb_press_level need;       /* and signs */
    enum ebb_press_cause cause;
    unsigned limit;                     /* the nearest one; EBB_PRESS_LIMITS when none is known */
    uint64_t step_bytes;                /* what is asked for when nobody can say how much is missing */
    uint64_t deficit[EBB_PRESS_LEVELS]; /* room that is missing to leave each level */
    uint32_t within_ms;
};

/* Fills in all but what signs add. */
void ebb__press_see(struct ebb_press *press, const struct ebb_press_facts *facts, struct press_step *step);

/* Raises need and cause by signs, and notes what they ask for. */
void ebb__press_read_signs(struct ebb_press *press, const struct ebb_press_facts *facts,
                           struct press_step *step);

/* The share of stalls that still stands in the way of growth. */
bool ebb__press_is_stalled(const struct ebb_press *press);

/* Fills in want, ask, short, reach, pace, by step's deficits and deadline. */
void ebb__press_share(struct ebb_press *press, const struct ebb_press_facts *facts,
                      const struct press_step *step, struct ebb_press_actions *ret);

static inline uint64_t press_clamp(uint64_t n, uint64_t low, uint64_t high)
{
    return n < low ? low : n > high ? high : n;
}

#endif
