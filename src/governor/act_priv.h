/* SPDX-License-Identifier: MIT
 *
 * Pressure in the background thread. Rooms:
 *
 *   pressure_act.c    when it is armed, how it sleeps, a step
 *   pressure_look.c   what the world says becomes what the policy is told (pure)
 *   pressure_carry.c  what could be given, and giving it
 *   pressure_tell.c   what of it is news to subscribers */
#ifndef EBB_GOVERNOR_ACT_PRIV_H
#define EBB_GOVERNOR_ACT_PRIV_H

#include "ebb/budget.h"
#include "governor/pressure.h"
#include "governor/sources_priv.h"

/* ---- pressure_look.c ---- */

/* Counters of events as they were in the step before, by the distance of their cgroup. All zero: none is known. */
struct ebb_act_marks {
    struct ebb_known high[EBB_PRESSURE_LEVELS], max[EBB_PRESSURE_LEVELS], oom[EBB_PRESSURE_LEVELS];
    uint32_t nearest_high, nearest_max; /* distances of the limits that were told */
};

/* What woke the thread since the step before. */
struct ebb_act_heard {
    uint32_t notices, calls, ooms;
    uint32_t call_level; /* the highest that a caller named; 0: none did */
    uint64_t call_bytes; /* in all that callers named */
};

/* Notes why a poll has ended. `calls`: who is named by the environment is a program, not the kernel. */
void ebb__act_hear(struct ebb_act_heard *heard, const struct ebb_sources_event *event, bool calls);

/* Fills in limits of cgroups, of the host, stalls and events. others: what happens to the host and to other tasks counts too. */
void ebb__act_see(const struct ebb_pressure_facts *world, struct ebb_act_marks *marks, bool others,
                  struct ebb_press_facts *ret_facts);

/* Version 1: the usage at which yellow, orange and red begin, lowest first. 0 when the level has no limit of that kind. */
#define EBB_ACT_THRESHOLDS 3u
unsigned ebb__act_thresholds(const struct ebb_pressure_level *level, uint64_t ret_bytes[EBB_ACT_THRESHOLDS]);

/* ---- pressure_carry.c ---- */

struct ebb_act_giving {
    uint64_t rest_until_ms[EBB_PRESS_GIVES]; /* it brought nothing: not asked before */
    uint64_t got_bytes[EBB_PRESS_GIVES];     /* in the last step */
    uint64_t filled_ms;                      /* when the purse was filled last */
    int64_t purse_ns;                        /* processor time that may be spent now */
    uint64_t ns_per_mib;                     /* what giving back costs, as measured last */
    uint64_t told_bytes;                     /* what subscribers were told is missing */
};

void ebb__act_giving_reset(struct ebb_act_giving *giving, uint64_t now_ms);

/* About what each kind could give now. */
void ebb__act_estimate(const struct ebb_act_giving *giving, uint64_t now_ms,
                       uint64_t ret_bytes[EBB_PRESS_GIVES]);

/* Gives what the policy asks for, in the order of giving, in the processor time that it allows. Returns the bytes. Calls shrinkers
 * of the program. pre: no lock is held */
uint64_t ebb__act_carry(struct ebb_act_giving *giving, const struct ebb_press_actions *actions,
                        uint64_t now_ms);

/* In the words of shrinkers. */
enum ebb_budget_urgency ebb__act_urgency(const struct ebb_press_actions *actions);

/* ---- pressure_tell.c ---- */

/* What is wanted of subscribers after that step. */
uint64_t ebb__act_missing(const struct ebb_act_giving *giving, const struct ebb_press_actions *actions,
                          uint64_t now_ms);

/* Posts a note when the step is news. now_ms: when it began, and its deadline counts from */
void ebb__act_tell(struct ebb_act_giving *giving, const struct ebb_press_actions *actions, uint64_t now_ms);

/* Posts that it is over, where nobody looks any more. */
void ebb__act_tell_calm(void);

/* ---- pressure_act.c ---- */

/* What was done. By the background thread, and by tests. */
const struct ebb_press_ring *ebb__act_ring(void);

bool ebb__act_is_armed(void);

#endif
