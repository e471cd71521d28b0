/* SPDX-License-Identifier: MIT
 *
 * Signs other than room: stalls, events of the cgroup, calls from outside.
 *
 * A sign says that somebody suffers, not how much memory would help. So it asks for a step, a 64th of the limit, and looks whether
 * that helped; stalls that do not end by it are asked for ever more seldom, since they may be somebody else's. Each sign can do
 * only what its row of levels.def allows: figures of stalls have been wrong before, limits have not.
 *
 * A limit that is hit while there is file cache to drop, more than the room at which red begins, is no sign: files that are read
 * fill any cgroup, and it is hit from then on all day. Without that cache a hit tells of a peak between two looks.
 */
#include "governor/pressure_priv.h"

#define WINDOW_MS      2000u   /* as the kernel's own averages: shorter ones are noise */
#define CLOCK_SLACK_US 100000u /* more waiting than time, and than this, is no waiting */
#define EVENT_MS       2000u   /* an event counts for a while, so that two in a row are one */
#define OWED_MS        2000u
#define VAIN_MAX       5u /* then every 64 s */
#define CALL_ROW       (EBB_PRESS_CALL - EBB_PRESS_STALLS)
#define CALM_PERMILLE                                                                                        \
    1u /* below that caches may grow: a tenth of a percent, as Senpai takes for no pressure */

static const struct {
    const char *name;
    uint32_t permille;
    enum ebb_press_level level, alone, blind;
} rows[EBB_PRESS_SIGNS] = {
#define EBB_PRESS_SIGN(id, name, permille, level, alone, blind, reason)                                      \
    [EBB_PRESS_##id -                                                                                        \
        EBB_PRESS_STALLS] = {name, permille, EBB_PRESS_##level, EBB_PRESS_##alone, EBB_PRESS_##blind},
#include "governor/levels.def"
#undef EBB_PRESS_SIGN
};

const char *ebb__press_cause_name(enum ebb_press_cause cause)
{
    switch (cause) {
    case EBB_PRESS_NOTHING:
        return "nothing";
    case EBB_PRESS_ROOM_LOW:
        return "little room";
    case EBB_PRESS_GROWING:
        return "growth";
    case EBB_PRESS_OTHERS:
        return "growth of others";
    default:
        return cause < EBB_PRESS_CAUSES ? rows[cause - EBB_PRESS_STALLS].name : "unknown";
    }
}

/* ---- reading them ---- */

static void begin_window(struct ebb_press *p, const struct ebb_press_facts *f, uint64_t now_ms)
{
    p->stall_ms = now_ms;
    p->some_us = f->some_us;
    p->full_us = f->full_us;
    p->stalls_begun = true;
}

static void forget_stalls(struct ebb_press *p)
{
    p->some_permille = p->full_permille = p->some_now_permille = 0;
}

/* Shares of the last whole window, or of this one as far as it has come, whichever is worse: it rises at once. */
static void read_stalls(struct ebb_press *p, const struct ebb_press_facts *f, uint64_t now_ms,
                        uint32_t *ret_full)
{
    *ret_full = 0;
    if (!f->stalls_known) {
        p->stalls_begun = false;
        forget_stalls(p);
        return;
    }
    uint64_t ms = now_ms - p->stall_ms, some_us = f->some_us - p->some_us, full_us = f->full_us - p->full_us;
    /* totals that run backwards wrap round to more waiting than there was time */
    bool credible = p->stalls_begun && ebb__max(some_us, full_us) <= ms * 1000 + CLOCK_SLACK_US;
    if (!credible) {
        begin_window(p, f, now_ms);
        forget_stalls(p);
        return;
    }
    uint64_t over_ms = ebb__max(ms, WINDOW_MS);
    uint32_t some = (uint32_t)(some_us / over_ms), full = (uint32_t)(full_us / over_ms);
    if (ms >= WINDOW_MS) {
        p->some_permille = some;
        p->full_permille = full;
        begin_window(p, f, now_ms);
    }
    p->some_now_permille = (uint32_t)ebb__max(some, p->some_permille);
    *ret_full = (uint32_t)ebb__max(full, p->full_permille);
}

bool ebb__press_is_stalled(const struct ebb_press *p)
{
    return p->some_now_permille >= CALM_PERMILLE;
}

static uint64_t *until(struct ebb_press *p, enum ebb_press_cause sign)
{
    return &p->signs_until_ms[sign - EBB_PRESS_STALLS];
}

static void set_share(struct ebb_press *p, enum ebb_press_cause sign, uint32_t permille)
{
    uint32_t threshold = rows[sign - EBB_PRESS_STALLS].permille;
    bool on = permille >= (*until(p, sign) != 0 ? threshold / 2 : threshold);
    *until(p, sign) = on ? UINT64_MAX : 0;
}

static void set_event(struct ebb_press *p, enum ebb_press_cause sign, uint32_t hits, uint64_t now_ms)
{
    if (hits != 0)
        *until(p, sign) = now_ms + EVENT_MS;
}

/* Who calls may say how bad it is; his row is for who does not. */
static enum ebb_press_level level_of_call(const struct ebb_press_facts *f)
{
    return f->call_level != EBB_PRESS_GREEN ? f->call_level : rows[CALL_ROW].alone;
}

/* The highest that counts still. */
static enum ebb_press_level called(const struct ebb_press *p, uint64_t now_ms)
{
    unsigned level = EBB_PRESS_RED;
    while (level != EBB_PRESS_GREEN && p->calls_until_ms[level] <= now_ms)
        level--;
    return (enum ebb_press_level)level;
}

/* ---- what they call for ---- */

static enum ebb_press_level level_of(const struct ebb_press *p, unsigned row, const struct press_step *step)
{
    if (row == CALL_ROW)
        return called(p, step->now_ms);
    if (!step->bytes_known)
        return rows[row].blind;
    unsigned confirmed = step->bytes_need == EBB_PRESS_GREEN ? EBB_PRESS_GREEN : step->bytes_need + 1;
    return (enum ebb_press_level)ebb__max(ebb__min(confirmed, rows[row].level), rows[row].alone);
}

static void owe(struct ebb_press *p, uint64_t bytes, enum ebb_press_level level, uint64_t now_ms)
{
    p->owed_bytes = ebb__max(p->owed_bytes, bytes);
    p->owed_level = (enum ebb_press_level)ebb__max(p->owed_level, level);
    p->owed_until_ms = now_ms + OWED_MS;
}

/* Somebody waits, and the limits do not say what for. */
static void owe_for_stalls(struct ebb_press *p, const struct press_step *step, enum ebb_press_level level)
{
    if (level == EBB_PRESS_GREEN) {
        if (step->now_ms >= p->owed_next_ms) /* else they flicker */
            p->owed_vain = 0;
        return;
    }
    if (step->deficit[level] != 0 || step->now_ms < p->owed_next_ms)
        return;
    owe(p, step->step_bytes, level, step->now_ms);
    p->owed_next_ms = step->now_ms + ((uint64_t)OWED_MS << p->owed_vain);
    p->owed_vain += p->owed_vain < VAIN_MAX;
}

static void pay(struct ebb_press *p, const struct ebb_press_facts *f, uint64_t now_ms)
{
    for (unsigned give = 0; give < EBB_PRESS_GIVES; give++)
        p->owed_bytes -= ebb__min(p->owed_bytes, f->got_bytes[give]);
    if (p->owed_bytes == 0 || now_ms > p->owed_until_ms) {
        p->owed_bytes = 0;
        p->owed_level = EBB_PRESS_GREEN;
    }
}

void ebb__press_read_signs(struct ebb_press *p, const struct ebb_press_facts *f, struct press_step *step)
{
    uint32_t full;
    uint64_t now_ms = step->now_ms;
    enum ebb_press_level stalled = EBB_PRESS_GREEN;
    read_stalls(p, f, now_ms, &full);
    set_share(p, EBB_PRESS_STALLS, p->some_now_permille);
    set_share(p, EBB_PRESS_STANDS, full);
    set_share(p, EBB_PRESS_THRASHES, full);
    if (!step->limits[EBB_PRESS_LIMIT_HIGH].cached)
        set_event(p, EBB_PRESS_HIGH_HIT, f->high_hits, now_ms);
    if (!step->limits[EBB_PRESS_LIMIT_MAX].cached)
        set_event(p, EBB_PRESS_MAX_HIT, f->max_hits, now_ms);
    set_event(p, EBB_PRESS_OOM_HIT, f->oom_hits, now_ms);
    set_event(p, EBB_PRESS_NOTICE, f->notices, now_ms);
    set_event(p, EBB_PRESS_CALL, f->calls, now_ms);
    if (f->calls != 0)
        p->calls_until_ms[level_of_call(f)] = *until(p, EBB_PRESS_CALL);
    for (unsigned cause = EBB_PRESS_STALLS; cause < EBB_PRESS_CAUSES; cause++) {
        unsigned row = cause - EBB_PRESS_STALLS;
        if (p->signs_until_ms[row] <= now_ms)
            continue;
        enum ebb_press_level level = level_of(p, row, step);
        if (rows[row].permille != 0 || cause == EBB_PRESS_NOTICE)
            stalled = (enum ebb_press_level)ebb__max(stalled, level);
        if (level > step->need) {
            step->need = level;
            step->cause = (enum ebb_press_cause)cause;
        }
    }
    pay(p, f, now_ms);
    owe_for_stalls(p, step, stalled);
    if (f->oom_hits != 0)
        owe(p, step->step_bytes, EBB_PRESS_RED, now_ms);
    if (f->calls != 0) /* those who say how much are owed the sum */
        owe(p,
            f->call_bytes != 0 ? p->owed_bytes + ebb__min(f->call_bytes, EBB_PRESS_UNLIMITED)
                               : step->step_bytes,
            level_of_call(f), now_ms);
    for (unsigned level = EBB_PRESS_YELLOW; level <= (unsigned)ebb__min(p->owed_level, step->need); level++)
        step->deficit[level] = ebb__max(step->deficit[level], p->owed_bytes);
}
