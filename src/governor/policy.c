/* SPDX-License-Identifier: MIT
 * The policy of policy.h, without a clock or a heap of its own. */
#include "governor/policy.h"

#define QUIET_BYTES      EBB_KIB(256) /* a process at rest still writes a log line now and then */
#define CACHES_MIN_BYTES EBB_KIB(64)  /* less than that in all caches is not worth a thread's way back */
#define SWEEP_BUSY_MS                                                                                        \
    5000u /* a page inside a slab goes when nobody touched the slab for one or two of these */
#define REVOKE_BUSY_MS     1000u
#define DRAIN_AFTER_MS     500u  /* who has not come back by then sleeps */
#define IDLE_BUSY_MS       1000u /* a free extent must have been left alone so long, while others work */
#define BARREN_TICKS       16u   /* 4 s: then look less often */
#define SLEEP_BARREN_MS    2000u
#define VAIN_TICKS         8u
#define DECAY_MS           500u /* what a region keeps goes when it was not used for one or two of these */
#define AGES_MAX           3u   /* a cache is empty after its owner's next miss when it is two ages old */
#define CPU_BUSY_PERMILLE  20u
#define CPU_QUIET_PERMILLE 250u

void ebb__policy_reset(struct ebb_policy *policy, uint64_t now_ms)
{
    *policy = (struct ebb_policy){.busy_ms = now_ms, .sweep_ms = now_ms};
}

size_t ebb__policy_demand(const struct ebb_policy *policy, uint64_t now_ms)
{
    uint32_t n = policy->count < EBB_POLICY_TICKS ? policy->count : EBB_POLICY_TICKS;
    size_t lowest = SIZE_MAX, rise = 0, retaken = 0;
    for (uint32_t i = policy->count - n; i != policy->count; i++) {
        const struct ebb_policy_tick *t = &policy->ticks[i % EBB_POLICY_TICKS];
        if (now_ms - t->at_ms > EBB_POLICY_WINDOW_MS)
            continue;
        lowest = ebb__min(lowest, t->low_bytes); /* in one tick the order of low and peak is not known */
        rise = ebb__max(rise, t->peak_bytes - ebb__min(lowest, t->peak_bytes));
        retaken += t->retaken_bytes;
    }
    return ebb__min(rise, retaken);
}

size_t ebb__policy_floor(const struct ebb_policy *p)
{
    return ebb__max(p->stuck_bytes, EBB_KEEP_FLOOR_BYTES);
}

/* Notices free memory that cannot be given back, and forgets it when there is more. */
static void notice_stuck(struct ebb_policy *p, const struct ebb_policy_facts *f, bool quiet)
{
    bool more = f->dirty_bytes > p->tried_bytes + EBB_KEEP_FLOOR_BYTES;
    bool vain =
        quiet && !more && f->dirty_bytes > EBB_KEEP_FLOOR_BYTES && f->returned_bytes == p->returned_bytes;
    p->returned_bytes = f->returned_bytes;
    p->vain = vain ? p->vain + 1 : 0;
    if (!vain)
        p->tried_bytes = f->dirty_bytes;
    if (p->vain >= VAIN_TICKS)
        p->stuck_bytes = f->dirty_bytes;
    else if (more)
        p->stuck_bytes = 0;
}

static void remember(struct ebb_policy *p, const struct ebb_policy_facts *f)
{
    size_t retaken = f->retaken_bytes - p->retaken_bytes;
    p->ticks[p->count++ % EBB_POLICY_TICKS] =
        (struct ebb_policy_tick){f->now_ms, f->used_low_bytes, f->used_peak_bytes, retaken};
    p->retaken_bytes = f->retaken_bytes;
    if (retaken > ebb__max(QUIET_BYTES, f->dirty_bytes / 64))
        p->busy_ms = f->now_ms;
}

/* What the caches hold is worth a thread's way back. Those that cannot be drained are made older, and then left to their
 * owners: a process that sleeps is not kept awake for them. */
static bool are_caches_worth(const struct ebb_policy *p, const struct ebb_policy_facts *f)
{
    return f->cached_bytes >= CACHES_MIN_BYTES && (f->drains || p->aged < AGES_MAX);
}

bool ebb__policy_is_barren(const struct ebb_policy *p, const struct ebb_policy_facts *f)
{
    return f->dirty_bytes <= ebb__policy_floor(p) && !f->stirred && !f->regions && !are_caches_worth(p, f);
}

/* Caches: revoked, and a while later drained. */
static void decide_caches(struct ebb_policy *p, const struct ebb_policy_facts *f, bool quiet,
                          struct ebb_policy_actions *ret)
{
    if (!quiet)
        p->aged = 0;
    bool worth = are_caches_worth(p, f);
    ret->drain = p->revoke_ms != 0 && f->now_ms - p->revoke_ms >= DRAIN_AFTER_MS;
    ret->depot = worth && (ret->drain || f->caches == 0);
    if (ret->drain)
        p->revoke_ms = 0;
    if (worth && f->caches != 0 && p->revoke_ms == 0 &&
        (quiet || ret->drain || p->count % (REVOKE_BUSY_MS / EBB_TICK_MS) == 0)) {
        ret->revoke = true;
        p->revoke_ms = f->now_ms;
        p->aged += !f->drains && quiet;
    }
}

void ebb__policy_decide(struct ebb_policy *p, const struct ebb_policy_facts *f,
                        struct ebb_policy_actions *ret_actions)
{
    struct ebb_policy_actions a = {0};
    remember(p, f);
    bool quiet = f->now_ms - p->busy_ms >= EBB_POLICY_QUIET_MS;
    notice_stuck(p, f, quiet);
    a.keep_bytes = ebb__max(quiet ? 0 : ebb__policy_demand(p, f->now_ms), ebb__policy_floor(p));
    a.idle_ms = quiet ? 0 : IDLE_BUSY_MS;
    a.cpu_permille = quiet ? CPU_QUIET_PERMILLE : CPU_BUSY_PERMILLE;
    decide_caches(p, f, quiet, &a);
    if (f->stirred && (quiet || f->now_ms - p->sweep_ms >= SWEEP_BUSY_MS)) {
        a.sweep = true;
        p->sweep_ms = f->now_ms;
    }
    if (f->regions && f->now_ms - p->decay_ms >= DECAY_MS) {
        a.decay = true;
        p->decay_ms = f->now_ms;
    }
    a.tidy = quiet;
    a.settled = quiet && ebb__policy_is_barren(p, f) && p->revoke_ms == 0;
    p->barren = f->dirty_bytes <= ebb__policy_floor(p) ? p->barren + 1 : 0;
    a.sleep_ms = p->barren < BARREN_TICKS ? EBB_TICK_MS : SLEEP_BARREN_MS;
    *ret_actions = a;
}
