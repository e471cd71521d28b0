/* SPDX-License-Identifier: MIT
 *
 * What the world says, as the policy wants to hear it: pure.
 *
 * Of several cgroups with a limit the policy is told of one, that with the least room, once for memory.max and once for
 * memory.high: what is given back helps all of them. A limit of version 1 on memory and swap together is one more memory.max.
 *
 * Counters of events are told as what they rose by since the step before. A counter that was not seen before, or that has
 * gone down, belongs to another cgroup: it begins anew.
 */
#include "governor/act_priv.h"

#define STAY_DIVISOR 64u

void ebb__act_hear(struct ebb_act_heard *heard, const struct ebb_sources_event *event, bool calls)
{
    const uint32_t stalls = EBB_CAUSE_MEDIUM | EBB_CAUSE_CRITICAL | EBB_CAUSE_STALL | EBB_CAUSE_HOST_STALL;
    bool named = (event->causes & EBB_CAUSE_WATCH) != 0;
    heard->notices += (event->causes & stalls) != 0 || (named && !calls);
    if (named && calls) {
        heard->calls++;
        heard->call_level = (uint32_t)ebb__max(heard->call_level, event->call_level);
        heard->call_bytes = ebb__min(heard->call_bytes + event->call_bytes, EBB_PRESS_UNLIMITED);
    }
    heard->ooms += (event->causes & EBB_CAUSE_OOM) != 0;
}

static int64_t room_of(const struct ebb_press_limit *limit)
{
    return (int64_t)limit->limit_bytes - (int64_t)limit->used_bytes + (int64_t)(limit->clean_bytes / 2);
}

/* Of two that are about as near, that of the step before stays: each has a history of its own. */
static bool is_nearer(const struct ebb_press_limit *a, const struct ebb_press_limit *b, uint32_t before)
{
    int64_t ahead = (int64_t)(b->limit_bytes / STAY_DIVISOR),
            behind = (int64_t)(a->limit_bytes / STAY_DIVISOR);
    return room_of(a) < room_of(b) + (a->which == before ? behind : 0) - (b->which == before ? ahead : 0);
}

static void consider(const struct ebb_pressure_level *level, struct ebb_known limit, struct ebb_known used,
                     uint32_t before, struct ebb_press_limit *nearest)
{
    if (!limit.known || limit.value > EBB_PRESS_UNLIMITED || !used.known)
        return;
    struct ebb_press_limit candidate = {
        .known = true,
        .which = level->distance,
        .limit_bytes = limit.value,
        .used_bytes = ebb__min(used.value, EBB_PRESS_UNLIMITED),
        .clean_bytes = ebb__min(ebb__known_or(level->clean_bytes, 0), EBB_PRESS_UNLIMITED),
        .clean_unknown = !level->clean_bytes.known,
    };
    if (!nearest->known || is_nearer(&candidate, nearest, before))
        *nearest = candidate;
}

static uint32_t rise(struct ebb_known *mark, struct ebb_known now)
{
    uint64_t more = mark->known && now.known && now.value > mark->value ? now.value - mark->value : 0;
    if (now.known)
        *mark = now;
    return (uint32_t)ebb__min(more, UINT32_MAX / 2 / EBB_PRESSURE_LEVELS);
}

static void see_levels(const struct ebb_pressure_facts *world, struct ebb_act_marks *marks,
                       struct ebb_press_facts *ret)
{
    for (uint32_t i = 0; i < world->count; i++) {
        const struct ebb_pressure_level *l = &world->levels[i];
        struct ebb_press_limit *max = &ret->limits[EBB_PRESS_LIMIT_MAX];
        consider(l, l->high_bytes, l->usage_bytes, marks->nearest_high, &ret->limits[EBB_PRESS_LIMIT_HIGH]);
        consider(l, l->limit_bytes, l->usage_bytes, marks->nearest_max, max);
        consider(l, l->memsw_limit_bytes, l->memsw_usage_bytes, marks->nearest_max, max);
        ret->high_hits += rise(&marks->high[l->distance], l->high_events);
        ret->max_hits += rise(&marks->max[l->distance], l->max_events);
        ret->oom_hits += rise(&marks->oom[l->distance], l->oom_events.known ? l->oom_events : l->oom_kills);
    }
    marks->nearest_high = ret->limits[EBB_PRESS_LIMIT_HIGH].which;
    marks->nearest_max = ret->limits[EBB_PRESS_LIMIT_MAX].which;
}

void ebb__act_see(const struct ebb_pressure_facts *world, struct ebb_act_marks *marks, bool others,
                  struct ebb_press_facts *ret)
{
    const struct ebb_stall *stall = world->own.some_total_us.known ? &world->own : &world->host;
    see_levels(world, marks, ret);
    ret->own_bytes = ebb__known_or(world->anon_bytes, 0);
    if (!others)
        return;
    if (world->mem_total_bytes.known && world->mem_available_bytes.known)
        ret->limits[EBB_PRESS_LIMIT_HOST] = (struct ebb_press_limit){
            .known = true,
            .limit_bytes = world->mem_total_bytes.value,
            .used_bytes = world->mem_total_bytes.value -
                          ebb__min(world->mem_available_bytes.value, world->mem_total_bytes.value),
        };
    ret->stalls_known = stall->some_total_us.known && stall->full_total_us.known;
    ret->some_us = ebb__known_or(stall->some_total_us, 0);
    ret->full_us = ebb__known_or(stall->full_total_us, 0);
}

unsigned ebb__act_thresholds(const struct ebb_pressure_level *level, uint64_t ret_bytes[EBB_ACT_THRESHOLDS])
{
    uint64_t limit = ebb__known_or(level->limit_bytes, EBB_NO_LIMIT);
    unsigned count = 0;
    if (limit == EBB_NO_LIMIT || limit > EBB_PRESS_UNLIMITED)
        return 0;
    for (unsigned l = EBB_PRESS_YELLOW; l < EBB_PRESS_LEVELS; l++)
        ret_bytes[count++] =
            limit - ebb__press_enter_bytes(EBB_PRESS_OF_GROUP, (enum ebb_press_level)l, limit);
    return count;
}
