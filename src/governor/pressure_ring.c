/* SPDX-License-Identifier: MIT
 * What was done under pressure, and why: the last steps that did something. */
#include "governor/pressure.h"

static bool is_alike(const struct ebb_press_record *a, const struct ebb_press_record *b)
{
    return a->level == b->level && a->need == b->need && a->cause == b->cause && a->limit == b->limit &&
           a->reach == b->reach && a->refused == b->refused;
}

bool ebb__press_note(struct ebb_press_ring *ring, uint64_t at_ms, const struct ebb_press_actions *a,
                     uint64_t got_bytes, uint32_t took_ms)
{
    if (!a->changed && a->want_bytes == 0 && !a->refuse && got_bytes == 0)
        return false;
    struct ebb_press_record r = {
        .from_ms = at_ms,
        .last_ms = at_ms,
        .want_bytes = a->want_bytes,
        .got_bytes = got_bytes,
        .took_ms = took_ms,
        .steps = 1,
        .level = (uint8_t)a->level,
        .need = (uint8_t)a->need,
        .cause = (uint8_t)a->cause,
        .limit = (uint8_t)a->limit,
        .reach = (uint8_t)a->reach,
        .refused = a->refuse,
    };
    struct ebb_press_record *last = &ring->records[(ring->count - 1) % EBB_PRESS_RECORDS];
    if (ring->count == 0 || !is_alike(last, &r) || at_ms - last->last_ms > EBB_PRESS_RUN_MS) {
        ring->records[ring->count++ % EBB_PRESS_RECORDS] = r;
        return true;
    }
    last->last_ms = at_ms;
    last->want_bytes = ebb__max(last->want_bytes, r.want_bytes);
    last->got_bytes += got_bytes;
    last->took_ms += took_ms;
    last->steps++;
    return true;
}

const struct ebb_press_record *ebb__press_noted(const struct ebb_press_ring *ring, unsigned age)
{
    uint64_t held = ring->count < EBB_PRESS_RECORDS ? ring->count : EBB_PRESS_RECORDS;
    return age < held ? &ring->records[(ring->count - 1 - age) % EBB_PRESS_RECORDS] : NULL;
}
