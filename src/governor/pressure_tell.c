/* SPDX-License-Identifier: MIT
 *
 * What of a step is told to subscribers, and whether it is news to them.
 *
 * They come last in the order of giving, and give towards the end of orange, as cold frames do: what is wanted of them is what nobody
 * else will have brought by the deadline. That is what the policy lacks, and what it asked of kinds that turned out to have
 * next to nothing; never more than is still missing after what the step brought.
 */
#include "governor/act_priv.h"
#include "governor/governor_priv.h"

#define MORE 4u /* by a quarter: as the policy has it */

uint64_t ebb__act_missing(const struct ebb_act_giving *g, const struct ebb_press_actions *a, uint64_t now_ms)
{
    uint64_t missing = a->lack_bytes, got = 0;
    for (unsigned give = 0; give < EBB_PRESS_GIVES; give++) {
        uint64_t ask = a->ask_bytes[give];
        bool is_barren = ask != 0 && now_ms < g->rest_until_ms[give];
        got += g->got_bytes[give];
        missing += is_barren ? ask - ebb__min(g->got_bytes[give], ask) : 0;
    }
    return ebb__min(missing, a->goal_bytes - ebb__min(got, a->goal_bytes));
}

static const char *limit_of(const struct ebb_press_actions *a)
{
    return a->limit < EBB_PRESS_LIMITS ? ebb__press_limit_name(a->limit) : NULL;
}

void ebb__act_tell(struct ebb_act_giving *g, const struct ebb_press_actions *a, uint64_t now_ms)
{
    uint64_t missing = ebb__act_missing(g, a, now_ms);
    if (!a->tell && missing <= g->told_bytes + g->told_bytes / MORE)
        return;
    g->told_bytes = missing;
    struct ebb_pressure_note note = {
        .level = (enum ebb_budget_level)a->level,
        .urgency = missing != 0 ? ebb__act_urgency(a) : EBB_URGENCY_EARLY,
        .want_bytes = missing,
        .deadline_ns = missing != 0 ? (now_ms + a->within_ms) * 1000000 : 0,
        .cause = ebb__press_cause_name(a->cause),
        .limit = limit_of(a),
    };
    ebb__subs_post(&note);
}

void ebb__act_tell_calm(void)
{
    const struct ebb_pressure_note note = {.level = EBB_LEVEL_GREEN,
                                           .cause = ebb__press_cause_name(EBB_PRESS_NOTHING)};
    ebb__subs_post(&note);
}
