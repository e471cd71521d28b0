/* SPDX-License-Identifier: MIT
 *
 * Facts about memory pressure: what the policy knows of the world outside of the heap. Pure data.
 *
 * A limit is hierarchical: a process may take memory only while each cgroup from its own to the top has room. Three numbers
 * must be told apart:
 *
 *     headroom   limit - usage                        what can be taken before the kernel must reclaim
 *     clean      file cache that is not dirty         what the kernel takes back without writing anything
 *     room       headroom + clean                     what can be taken before something else must give way
 *
 * A fact that is not known has no value, and is never taken for 0. A limit that is known to be none is EBB_NO_LIMIT.
 */
#ifndef EBB_GOVERNOR_PRESSURE_FACTS_H
#define EBB_GOVERNOR_PRESSURE_FACTS_H

#include "base/base.h"

/* Cgroups from the process's own upwards that are looked at. Ten are many (a container in a container in a slice). */
#define EBB_PRESSURE_LEVELS 16u
#define EBB_PRESSURE_NONE   UINT32_MAX
#define EBB_NO_LIMIT        UINT64_MAX

struct ebb_known {
    uint64_t value; /* means nothing unless known */
    bool known;
};

EBB_INLINE struct ebb_known ebb__known(uint64_t value)
{
    return (struct ebb_known){.value = value, .known = true};
}

EBB_INLINE uint64_t ebb__known_or(struct ebb_known fact, uint64_t otherwise)
{
    return fact.known ? fact.value : otherwise;
}

/* How long tasks waited for memory (PSI): at least one, or all that could have run. */
struct ebb_stall {
    struct ebb_known some_avg10_hundredths; /* of a percent of the last ten seconds */
    struct ebb_known some_total_us;
    struct ebb_known full_avg10_hundredths;
    struct ebb_known full_total_us;
};

/* One cgroup with a limit. */
struct ebb_pressure_level {
    uint32_t distance;                  /* 0: the process's own; 1: its parent */
    struct ebb_known limit_bytes;       /* memory.max, limit_in_bytes: beyond it the kernel kills */
    struct ebb_known high_bytes;        /* memory.high: beyond it the kernel makes tasks wait. Version 2 */
    struct ebb_known memsw_limit_bytes; /* of memory and swap together. Version 1 */
    struct ebb_known usage_bytes;       /* memory.current, usage_in_bytes */
    struct ebb_known memsw_usage_bytes; /* version 1 */
    struct ebb_known clean_bytes;       /* of the whole subtree, as all others */
    struct ebb_known low_events;        /* version 2: of this limit, not of those below */
    struct ebb_known high_events;       /* version 2 */
    struct ebb_known max_events;        /* limit met: memory.events max, failcnt of both limits */
    struct ebb_known oom_events;        /* version 2 */
    struct ebb_known oom_kills;         /* in the subtree (version 1: Linux 4.13) */
    struct ebb_known under_oom;         /* version 1: 0 or 1 */
};

struct ebb_pressure_facts {
    uint32_t version; /* of the memory controller: 1 or 2; 0 when none is seen from here */
    uint32_t depth;   /* cgroups from the process's own to the top that are seen, with a limit or without */
    uint32_t count;   /* of levels */
    uint32_t
        tightest; /* index of the level with the least room; EBB_PRESSURE_NONE when no level's room is known */
    struct ebb_pressure_level levels[EBB_PRESSURE_LEVELS]; /* nearest first */
    struct ebb_known
        hidden_limit_bytes; /* a lower limit than all of these, of an ancestor that is not seen. Version 1 */
    struct ebb_stall own;   /* of the process's cgroup */
    struct ebb_stall host;
    struct ebb_known mem_total_bytes;
    struct ebb_known mem_available_bytes;
    struct ebb_known swap_free_bytes;
    struct ebb_known rss_bytes;  /* of the process, as statm has it: up to some hundred KiB late */
    struct ebb_known anon_bytes; /* of that: without pages of files and shared memory */
    bool stale; /* the process was moved, a cgroup is gone, a limit came or went: open the sources anew */
};

/* The lower of both limits. */
EBB_INLINE uint64_t ebb__level_ceiling(const struct ebb_pressure_level *level)
{
    uint64_t limit = ebb__known_or(level->limit_bytes, EBB_NO_LIMIT);
    uint64_t high = ebb__known_or(level->high_bytes, EBB_NO_LIMIT);
    return limit < high ? limit : high;
}

/* Unknown without a limit or without the usage. 0 when the usage is beyond the limit. */
struct ebb_known ebb__level_headroom(const struct ebb_pressure_level *level);

/* Headroom and clean cache. Where the latter is not known, headroom alone: the careful answer. */
struct ebb_known ebb__level_room(const struct ebb_pressure_level *level);

/* The level with the least room, nearer ones first. */
uint32_t ebb__pressure_tightest(const struct ebb_pressure_facts *facts);

#endif
