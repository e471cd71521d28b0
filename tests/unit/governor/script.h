/* SPDX-License-Identifier: MIT
 *
 * A scripted process under the policy. Its heap is four numbers, and obeys what the policy says about purging at once, so
 * what a script shows is the policy's own doing.
 */
#ifndef EBB_TESTS_UNIT_GOVERNOR_SCRIPT_H
#define EBB_TESTS_UNIT_GOVERNOR_SCRIPT_H

#include "support.h"

#include "governor/policy.h"

#define FLOOR EBB_KEEP_FLOOR_BYTES
#define MB(n) ((size_t)(n) << 20)

struct script {
    struct ebb_policy policy;
    struct ebb_policy_facts facts; /* of the tick that comes */
    struct ebb_policy_actions actions;
    size_t used;
    bool obeys; /* purges what the policy does not keep */
};

static inline void begin(struct script *s, size_t used)
{
    *s = (struct script){.used = used, .obeys = true};
    s->facts.now_ms = 5000;
    s->facts.drains = true;
    s->facts.used_low_bytes = s->facts.used_peak_bytes = used;
    ebb__policy_reset(&s->policy, s->facts.now_ms);
}

/* The process has `used` bytes in use from now on; free memory is taken before fresh. Returns what was fresh. */
static inline size_t use(struct script *s, size_t used)
{
    size_t fresh = 0;
    if (used > s->used) {
        size_t again = ebb__min(used - s->used, s->facts.dirty_bytes);
        fresh = used - s->used - again;
        s->facts.dirty_bytes -= again;
        s->facts.retaken_bytes += again;
    } else {
        s->facts.dirty_bytes += s->used - used;
    }
    s->used = used;
    s->facts.used_low_bytes = ebb__min(s->facts.used_low_bytes, used);
    s->facts.used_peak_bytes = ebb__max(s->facts.used_peak_bytes, used);
    return fresh;
}

/* The policy looks, ms after the tick before. Returns what was given back. */
static inline size_t tick(struct script *s, uint32_t ms)
{
    struct ebb_policy_facts *f = &s->facts;
    size_t gone = 0;
    f->now_ms += ms;
    memset(&s->actions, 0xff, sizeof(s->actions));
    ebb__policy_decide(&s->policy, f, &s->actions);
    f->used_low_bytes = f->used_peak_bytes = s->used;
    if (s->obeys && f->dirty_bytes > s->actions.keep_bytes) {
        gone = f->dirty_bytes - s->actions.keep_bytes;
        f->dirty_bytes -= gone;
        f->returned_bytes += gone;
    }
    if (s->obeys && s->actions.sweep)
        f->stirred = false;
    return gone;
}

static inline bool is_quiet(const struct script *s)
{
    return s->actions.idle_ms == 0;
}

/* Memory taken again often enough that nobody could call it quiet. */
static inline void stir(struct script *s)
{
    size_t bytes = ebb__max(EBB_KIB(256), s->facts.dirty_bytes / 64) + 4096;
    s->facts.retaken_bytes += bytes;
}

#endif
