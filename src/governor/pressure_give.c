/* SPDX-License-Identifier: MIT
 *
 * Whom to ask for how much, in the order of giving.
 *
 * Each kind of memory gives from a level on, and only towards the end of that level: cold frames give what is missing to leave orange,
 * not to be green. A dearer kind is asked for what cheaper ones cannot bring in time. Whether they can is at first what
 * levels.def believes, then what they have brought. A cheap one that is slow, or brings nothing, is asked all the same: it is
 * only not counted on.
 */
#include "governor/pressure_priv.h"

#define FORGET_MS 60000u /* what was measured so long ago says little */
#define WINDOW_MS 4000u  /* of measuring; then old and new count the same */
#define CALL_MAX  ((uint64_t)1 << 45)

static const struct {
    const char *name;
    enum ebb_press_level from;
    uint64_t bytes_per_s;
    uint32_t after_ms;
} rows[EBB_PRESS_GIVES] = {
#define EBB_PRESS_GIVE(id, name, from, mib_per_s, after_ms, reason)                                          \
    [EBB_PRESS_GIVE_##id] = {name, EBB_PRESS_##from, EBB_MIB(mib_per_s), after_ms},
#include "governor/levels.def"
#undef EBB_PRESS_GIVE
};

const char *ebb__press_give_name(unsigned give)
{
    return give < EBB_PRESS_GIVES ? rows[give].name : "nothing";
}

/* What it brought since it was asked. */
static void measure(struct ebb_press_giver *g, unsigned give, uint64_t got, uint64_t now_ms)
{
    if (g->asked_bytes == 0) {
        g->since_ms = 0;
        if (g->slow && now_ms - g->last_ms >= FORGET_MS)
            g->slow = false;
        return;
    }
    uint64_t ms = now_ms - g->since_ms;
    g->got_bytes += ebb__min(got, EBB_PRESS_UNLIMITED);
    if (got >= g->asked_bytes) { /* all of it */
        g->slow = false;
        g->since_ms = now_ms;
        g->got_bytes = 0;
    } else if (ms > rows[give].after_ms) {
        g->bytes_per_s = ebb__min(g->got_bytes, CALL_MAX) * 1000 / ms;
        g->slow = true;
        if (ms >= WINDOW_MS) {
            g->got_bytes /= 2;
            g->since_ms = now_ms - ms / 2;
        }
    }
}

/* What it will have brought when the deadline comes. */
static uint64_t in_time(const struct ebb_press_giver *g, unsigned give, uint32_t within_ms, uint64_t now_ms)
{
    if (g->slow)
        return g->bytes_per_s * within_ms / 1000;
    uint64_t asked_ms = g->since_ms == 0 ? 0 : now_ms - g->since_ms;
    uint64_t wait_ms = rows[give].after_ms - ebb__min(rows[give].after_ms, asked_ms);
    return within_ms <= wait_ms ? 0 : rows[give].bytes_per_s * (within_ms - wait_ms) / 1000;
}

void ebb__press_share(struct ebb_press *p, const struct ebb_press_facts *f, const struct press_step *step,
                      struct ebb_press_actions *ret)
{
    uint64_t counted = 0, asked = 0;
    for (unsigned give = 0; give < EBB_PRESS_GIVES; give++) {
        struct ebb_press_giver *g = &p->givers[give];
        measure(g, give, f->got_bytes[give], step->now_ms);
        uint64_t deficit = step->need >= rows[give].from ? step->deficit[rows[give].from] : 0;
        uint64_t ask = ebb__min(deficit - ebb__min(counted, deficit), f->can_bytes[give]);
        ret->ask_bytes[give] = g->asked_bytes = ask;
        if (ask == 0)
            continue;
        if (g->since_ms == 0) {
            g->since_ms = ebb__max(step->now_ms, 1);
            g->got_bytes = 0;
        }
        g->last_ms = step->now_ms;
        counted += ebb__min(ask, in_time(g, give, step->within_ms, step->now_ms));
        asked += ask;
        ret->reach = give + 1;
    }
    uint64_t deficit = step->deficit[step->need];
    ret->want_bytes = ebb__max(deficit, asked);
    ret->short_bytes = deficit - ebb__min(counted, deficit);
    ret->goal_bytes = step->deficit[ebb__min(step->need, EBB_PRESS_ORANGE)];
    ret->lack_bytes = ret->goal_bytes - ebb__min(counted, ret->goal_bytes);
    uint64_t dirty = ebb__min(ret->ask_bytes[EBB_PRESS_GIVE_DIRTY], CALL_MAX);
    ret->dirty_bytes_per_s = step->within_ms == 0 ? 0 : dirty * 1000 / step->within_ms;
}
