/* SPDX-License-Identifier: MIT
 * A step of the policy under pressure: the level and how long it holds, the deadline, growth, and when to look again. */
#include "governor/pressure_priv.h"

#define COMES_BACK_MS 14400000u /* a level that returns within four hours swings */
#define HOLD_FACTOR   8u /* from 10 s to two hours in four swings: eight changes, where a day may have twenty */
#define WITHIN_MIN_MS 50u    /* a round of giving takes that long */
#define GREEN_WAIT_MS 30000u /* before caches may grow: what gave way has settled */
#define GROW_DIVISOR  100u   /* 1 % of the limit in a second */
#define LOOK_MIN_MS   250u
#define LOOK_MAX_MS   5000u
#define LOOK_GROW_MS  1000u
#define CLOSE_MS      500u /* a need that has just risen is looked at closely, for who else is there may be fast */
#define LOOK_CLOSE_MS 25u
#define LOOK_BLIND_MS 30000u     /* a limit may be set where there was none */
#define BURST_DIVISOR 8u         /* of the limit in a second: as fast as a process may begin to grow unseen */
#define FAST_PER_MS   EBB_MIB(1) /* what others take while nothing tells of it: a GiB in a second */
#define FAR_FACTOR    2          /* times the room at which yellow ends: then we need not look */
#define TELL_AGAIN_MS 1000u      /* while something is wanted */
#define TELL_MORE     4          /* or when it is more by a quarter */

static const struct {
    uint32_t base_ms, most_ms, within_ms, look_ms, cpu_permille;
} levels[EBB_PRESS_LEVELS] = {
#define EBB_PRESS_HOLD(level, base_s, most_s, within_ms, look_ms, cpu_permille, reason)                      \
    [EBB_PRESS_##level] = {(base_s)*1000u, (most_s)*1000u, within_ms, look_ms, cpu_permille},
#include "governor/levels.def"
#undef EBB_PRESS_HOLD
};

void ebb__press_reset(struct ebb_press *p, uint64_t now_ms)
{
    *p = (struct ebb_press){.now_ms = now_ms, .green_ms = now_ms};
}

/* ---- the level ---- */

static void turn_latch(struct ebb_press_latch *latch, unsigned level, bool needed, uint64_t now_ms)
{
    if (needed) {
        if (!latch->held) {
            bool again = latch->fell_ms != 0 && now_ms - latch->fell_ms < COMES_BACK_MS;
            latch->hold_ms = again ? (uint32_t)ebb__min(latch->hold_ms * HOLD_FACTOR, levels[level].most_ms)
                                   : levels[level].base_ms;
            latch->held = true;
        }
        latch->until_ms = now_ms + latch->hold_ms;
    } else if (latch->held && now_ms >= latch->until_ms) {
        latch->held = false;
        latch->fell_ms = ebb__max(now_ms, 1);
    }
}

/* True when it changed. */
static bool set_level(struct ebb_press *p, enum ebb_press_level need, uint64_t now_ms)
{
    enum ebb_press_level before = p->level, level = EBB_PRESS_GREEN;
    for (unsigned l = EBB_PRESS_YELLOW; l < EBB_PRESS_LEVELS; l++) {
        turn_latch(&p->latches[l], l, need >= l, now_ms);
        if (p->latches[l].held)
            level = (enum ebb_press_level)l;
    }
    if (need > p->need)
        p->rose_ms = now_ms;
    p->need = need;
    p->level = level;
    if (level == EBB_PRESS_GREEN && before != EBB_PRESS_GREEN)
        p->green_ms = now_ms;
    return level != before;
}

/* ---- the deadline ---- */

/* As the level says, but no later than half of the time to the limit. */
static uint32_t deadline(const struct press_step *step)
{
    uint64_t within_ms = levels[step->need].within_ms;
    for (unsigned kind = 0; kind < EBB_PRESS_LIMITS; kind++) {
        const struct press_seen *s = &step->limits[kind];
        if (!s->known || s->need == EBB_PRESS_GREEN)
            continue;
        uint64_t growth = 0;
        for (unsigned level = EBB_PRESS_YELLOW; level < EBB_PRESS_LEVELS; level++)
            growth = ebb__max(growth, s->growth[level]);
        uint64_t room = s->room_bytes > 0 ? (uint64_t)s->room_bytes : 0;
        if (room == 0)
            within_ms = WITHIN_MIN_MS;
        else if (growth != 0)
            within_ms = ebb__min(within_ms, room * 1000 / growth / 2);
    }
    return step->need == EBB_PRESS_GREEN ? 0 : (uint32_t)ebb__max(within_ms, WITHIN_MIN_MS);
}

/* What can be given does not reach, and the room that is left will not last until it does. Once it refuses, it goes on until the
 * room is there: who asks must not be served now and refused a moment later. */
static bool refuses(const struct ebb_press *p, const struct press_step *step, uint64_t short_bytes)
{
    if (step->need != EBB_PRESS_RED)
        return false;
    for (unsigned kind = 0; kind < EBB_PRESS_LIMITS; kind++) {
        const struct press_seen *s = &step->limits[kind];
        if (!s->known || s->need != EBB_PRESS_RED)
            continue;
        uint64_t soon = s->growth[EBB_PRESS_RED] * step->within_ms / 1000;
        uint64_t little = ebb__max(s->enter[EBB_PRESS_RED] / 2, soon);
        if (p->refusing ? s->room_bytes < (int64_t)s->enter[EBB_PRESS_RED]
                        : short_bytes != 0 && s->room_bytes < (int64_t)little)
            return true;
    }
    return false;
}

/* ---- growth ---- */

static uint64_t may_grow(const struct ebb_press *p, const struct press_step *step)
{
    if (p->level != EBB_PRESS_GREEN || step->now_ms - p->green_ms < GREEN_WAIT_MS || ebb__press_is_stalled(p))
        return 0;
    uint64_t bytes = step->step_bytes;
    if (step->limit != EBB_PRESS_LIMITS)
        bytes = step->limits[step->limit].limit_bytes / GROW_DIVISOR * ebb__min(step->passed_ms, 1000) / 1000;
    for (unsigned kind = 0; kind < EBB_PRESS_LIMITS; kind++) {
        const struct press_seen *s = &step->limits[kind];
        if (s->remembered)
            return 0; /* nobody knows how near it is */
        if (!s->known)
            continue;
        int64_t spare = (s->room_bytes - (int64_t)s->calm[EBB_PRESS_YELLOW]) / 2;
        bytes = ebb__min(bytes, spare > 0 ? (uint64_t)spare : 0);
    }
    return bytes;
}

/* ---- when to look again ---- */

/* In green: before a burst could have come to yellow. NO_LOOK where it is so far that whatever wakes us is early enough. */
static uint32_t look_at(const struct press_seen *s)
{
    int64_t to_yellow = s->room_bytes - (int64_t)s->enter[EBB_PRESS_YELLOW];
    uint64_t growth = s->growth[EBB_PRESS_YELLOW];
    if (growth == 0 && s->room_bytes > FAR_FACTOR * (int64_t)s->calm[EBB_PRESS_YELLOW])
        return EBB_PRESS_NO_LOOK;
    uint64_t burst = ebb__max(s->limit_bytes / BURST_DIVISOR, 2 * growth) + 1;
    uint64_t ms = to_yellow > 0 ? (uint64_t)to_yellow * 1000 / burst : 0;
    return (uint32_t)press_clamp(ms, LOOK_MIN_MS, LOOK_MAX_MS);
}

/* Version 2 knows no thresholds on bytes, and version 1 sets them for root alone. Who takes fast is then met by a look before he can have
 * come to the next level, as long as there is something that he could have. */
static uint64_t look_untold(const struct ebb_press_facts *f, const struct press_step *step)
{
    uint64_t can = 0, ms = EBB_PRESS_NO_LOOK;
    for (unsigned give = 0; give < EBB_PRESS_GIVES; give++)
        can += ebb__min(f->can_bytes[give], EBB_PRESS_UNLIMITED);
    if (!f->untold || can < step->step_bytes || step->need == EBB_PRESS_RED)
        return ms;
    for (unsigned kind = EBB_PRESS_LIMIT_HIGH; kind <= EBB_PRESS_LIMIT_MAX; kind++) {
        const struct press_seen *s = &step->limits[kind];
        int64_t next = s->room_bytes - (int64_t)s->enter[step->need + 1];
        if (s->known)
            ms = ebb__min(
                ms, press_clamp(next > 0 ? (uint64_t)next / FAST_PER_MS : 0, LOOK_CLOSE_MS, LOOK_MAX_MS));
    }
    return ms;
}

static uint32_t look(const struct ebb_press *p, const struct ebb_press_facts *f,
                     const struct press_step *step)
{
    uint64_t ms = look_untold(f, step);
    if (step->need != EBB_PRESS_GREEN && step->now_ms - p->rose_ms < CLOSE_MS)
        return LOOK_CLOSE_MS;
    if (step->need != EBB_PRESS_GREEN)
        return (uint32_t)ebb__min(ms, levels[step->need].look_ms);
    bool sees = f->stalls_known;
    for (unsigned kind = 0; kind < EBB_PRESS_LIMITS; kind++) {
        const struct press_seen *s = &step->limits[kind];
        sees |= s->known || s->remembered;
        if (s->known)
            ms = ebb__min(ms, look_at(s));
        if (s->remembered)
            ms = ebb__min(ms, LOOK_GROW_MS);
    }
    if (ms == EBB_PRESS_NO_LOOK && !f->wakes)
        ms = sees ? LOOK_MAX_MS : LOOK_BLIND_MS;
    if (f->missing_bytes != 0)
        ms = ebb__min(ms, LOOK_GROW_MS);
    for (unsigned l = EBB_PRESS_YELLOW; l < EBB_PRESS_LEVELS; l++)
        if (p->latches[l].held)
            ms = ebb__min(ms, ebb__max(p->latches[l].until_ms - step->now_ms, 1));
    return (uint32_t)ms;
}

/* ---- a step ---- */

static bool is_news(struct ebb_press *p, const struct ebb_press_actions *a, uint64_t now_ms)
{
    bool more = a->want_bytes > p->told_bytes + p->told_bytes / TELL_MORE || a->urgency > p->told_urgency;
    bool again = a->want_bytes != 0 && now_ms - p->told_ms >= TELL_AGAIN_MS;
    bool over = a->want_bytes == 0 && p->told_bytes != 0;
    if (!a->changed && !more && !again && !over)
        return false;
    p->told_ms = now_ms;
    p->told_bytes = a->want_bytes;
    p->told_urgency = a->urgency;
    return true;
}

void ebb__press_decide(struct ebb_press *p, const struct ebb_press_facts *f,
                       struct ebb_press_actions *ret_actions)
{
    struct ebb_press_actions a = {0};
    struct press_step step = {0};
    step.now_ms = ebb__max(f->now_ms, p->now_ms); /* time that runs backwards stands still */
    step.passed_ms = step.now_ms - p->now_ms;
    p->now_ms = step.now_ms;
    ebb__press_see(p, f, &step);
    ebb__press_read_signs(p, f, &step);
    for (unsigned level = step.need; level > EBB_PRESS_YELLOW;
         level--) /* who gives early gives for all that follow */
        step.deficit[level - 1] = ebb__max(step.deficit[level - 1], step.deficit[level]);
    a.changed = set_level(p, step.need, step.now_ms);
    a.level = p->level;
    a.need = step.need;
    a.cause = step.cause;
    bool limit_is_cause = step.cause != EBB_PRESS_NOTHING && step.cause < EBB_PRESS_STALLS;
    a.limit = limit_is_cause ? step.limit : EBB_PRESS_LIMITS;
    a.within_ms = step.within_ms = deadline(&step);
    ebb__press_share(p, f, &step, &a);
    a.refuse = p->refusing = refuses(p, &step, a.short_bytes);
    a.urgency = a.want_bytes == 0 ? 0 : step.need;
    a.cpu_permille = step.need == EBB_PRESS_RED ? EBB_PRESS_CPU_ALL : levels[step.need].cpu_permille;
    a.grow_bytes = may_grow(p, &step);
    a.may_grow = a.grow_bytes != 0;
    a.look_ms = look(p, f, &step);
    a.tell = is_news(p, &a, step.now_ms);
    *ret_actions = a;
}

/* ---- the walker ---- */

static bool check_track(const struct ebb_press_track *t)
{
    uint32_t n = t->count < EBB_PRESS_SLOTS ? t->count : EBB_PRESS_SLOTS;
    for (uint32_t i = t->count - n; i != t->count; i++) {
        const struct ebb_press_slot *s = &t->slots[i % EBB_PRESS_SLOTS];
        if (s->peak_ms < s->from_ms || s->peak_ms - s->from_ms >= EBB_PRESS_SLOT_MS)
            return false;
        if (i + 1 != t->count && t->slots[(i + 1) % EBB_PRESS_SLOTS].from_ms < s->from_ms + EBB_PRESS_SLOT_MS)
            return false;
    }
    return true;
}

unsigned ebb__press_check(const struct ebb_press *p)
{
    unsigned highest = EBB_PRESS_GREEN;
    for (unsigned l = EBB_PRESS_YELLOW; l < EBB_PRESS_LEVELS; l++) {
        const struct ebb_press_latch *latch = &p->latches[l];
        if (latch->held)
            highest = l;
        if (latch->hold_ms != 0 && (latch->hold_ms < levels[l].base_ms || latch->hold_ms > levels[l].most_ms))
            return 3;
    }
    if (p->level != highest)
        return 1;
    if (p->need > p->level)
        return 2;
    for (unsigned kind = 0; kind < EBB_PRESS_LIMITS; kind++)
        if (!check_track(&p->tracks[kind]))
            return 4;
    return 0;
}
