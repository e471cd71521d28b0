/* SPDX-License-Identifier: MIT
 * What facts of pressure add up to: pure. */
#include "governor/pressure_facts.h"

static uint64_t above(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

struct ebb_known ebb__level_headroom(const struct ebb_pressure_level *level)
{
    uint64_t ceiling = ebb__level_ceiling(level);
    uint64_t memsw = ebb__known_or(level->memsw_limit_bytes, EBB_NO_LIMIT);
    uint64_t least = EBB_NO_LIMIT;
    if (ceiling != EBB_NO_LIMIT && level->usage_bytes.known)
        least = above(ceiling, level->usage_bytes.value);
    if (memsw != EBB_NO_LIMIT && level->memsw_usage_bytes.known &&
        above(memsw, level->memsw_usage_bytes.value) < least)
        least = above(memsw, level->memsw_usage_bytes.value);
    return least == EBB_NO_LIMIT ? (struct ebb_known){0} : ebb__known(least);
}

struct ebb_known ebb__level_room(const struct ebb_pressure_level *level)
{
    struct ebb_known room = ebb__level_headroom(level);
    if (room.known && __builtin_add_overflow(room.value, ebb__known_or(level->clean_bytes, 0), &room.value))
        room.value = EBB_NO_LIMIT - 1;
    return room;
}

uint32_t ebb__pressure_tightest(const struct ebb_pressure_facts *facts)
{
    uint32_t tightest = EBB_PRESSURE_NONE;
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < facts->count; i++) {
        struct ebb_known room = ebb__level_room(&facts->levels[i]);
        if (room.known && room.value < least) {
            least = room.value;
            tightest = i;
        }
    }
    return tightest;
}
