/* SPDX-License-Identifier: MIT
 *
 * Policy: how much free memory to keep, and what to do about the rest. Pure: facts and history in, actions out.
 *
 * While memory is given back and taken again, what the last ten seconds needed again stays; once next to nothing that was
 * free has been taken again for half a second, the process is quiet, and all of it goes, down to a floor of 1 MiB.
 *
 *   demand   of the last 10 s: the largest rise of what was in use, from any low to a later peak, but no more than was
 *            really taken again of free memory (a rise into fresh memory needs nothing that we could keep)
 *   quiet    for 500 ms no tick took again more than QUIET_BYTES, or a 64th of what is free
 *   stuck    what eight ticks in a row could not give back (locked memory, parts of larger OS pages) is not tried again until
 *            there is 1 MiB more of it
 *   effort   at most 2 % of one processor while the process works, 25 % when it is quiet
 */
#ifndef EBB_GOVERNOR_POLICY_H
#define EBB_GOVERNOR_POLICY_H

#include "base/base.h"

#define EBB_TICK_MS          250u
#define EBB_POLICY_TICKS     40u /* 10 s of them */
#define EBB_POLICY_WINDOW_MS 10000u
#define EBB_POLICY_QUIET_MS  500u
#define EBB_KEEP_FLOOR_BYTES EBB_MIB(1)

/* What one tick has seen. */
struct ebb_policy_facts {
    uint64_t now_ms;
    size_t used_low_bytes, used_peak_bytes; /* since the tick before */
    size_t dirty_bytes;                     /* free and held, now */
    size_t retaken_bytes;                   /* of all time */
    uint64_t returned_bytes;                /* given back, of all time */
    size_t cached_bytes;                    /* in threads' caches and the depot, now */
    uint32_t caches;                        /* threads that have one */
    bool drains;                            /* these can be emptied; else they only grow older */
    bool stirred;                           /* slabs may have pages to give back */
    bool regions;                           /* regions keep blocks */
};

struct ebb_policy_tick {
    uint64_t at_ms;
    size_t low_bytes, peak_bytes, retaken_bytes;
};

struct ebb_policy {
    struct ebb_policy_tick ticks[EBB_POLICY_TICKS]; /* a ring */
    uint32_t count;                                 /* ticks seen */
    size_t retaken_bytes;                           /* at the last tick */
    uint64_t busy_ms;                               /* when memory was last taken again */
    uint64_t sweep_ms;                              /* when slabs were last swept */
    uint64_t revoke_ms;                             /* when caches were last revoked; 0: drained since */
    uint64_t decay_ms;                              /* when kept blocks of regions last grew older */
    uint32_t aged;           /* times that caches were made older, which cannot be drained */
    uint32_t barren;         /* ticks in a row without anything to give back */
    uint64_t returned_bytes; /* at the last tick */
    uint32_t vain;           /* ticks in a row in which giving back brought nothing */
    size_t tried_bytes;      /* what was free when these began */
    size_t stuck_bytes; /* free memory that cannot go: locked, or parts of OS pages; 0 when none is known */
};

/* What to do in this tick, in this order. */
struct ebb_policy_actions {
    bool drain;            /* empty the caches whose threads have not come back */
    bool decay;            /* first: give back what no region has used since the time before the last */
    bool depot;            /* and what of the depot nobody wants */
    bool revoke;           /* then turn threads away from their caches */
    size_t keep_bytes;     /* purge free memory down to this */
    uint32_t idle_ms;      /* but nothing that was freed more lately */
    bool sweep;            /* pages inside slabs */
    bool tidy;             /* empty slabs, metadata of empty groups */
    uint32_t cpu_permille; /* of one processor, for all of it */
    bool settled;          /* nothing is left to do: sleep until called */
    uint32_t sleep_ms;     /* else until the next tick */
};

void ebb__policy_reset(struct ebb_policy *policy, uint64_t now_ms);

/* One tick. Cost: some microseconds. */
void ebb__policy_decide(struct ebb_policy *policy, const struct ebb_policy_facts *facts,
                        struct ebb_policy_actions *ret_actions);

/* What stays however long the process is quiet: the floor, or more where more cannot go. */
size_t ebb__policy_floor(const struct ebb_policy *policy);

/* Nothing is left that could go, if the process is quiet. */
bool ebb__policy_is_barren(const struct ebb_policy *policy, const struct ebb_policy_facts *facts);

/* What the ten seconds before now_ms needed again. */
size_t ebb__policy_demand(const struct ebb_policy *policy, uint64_t now_ms);

#endif
