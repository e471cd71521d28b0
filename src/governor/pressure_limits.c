/* SPDX-License-Identifier: MIT
 * How near each limit is, and how fast it comes nearer. */
#include "governor/pressure_priv.h"

#define REMEMBER_MS      60000u /* a source that fails for a while, as when descriptors run out, is no relief */
#define CLEAN_DIVISOR    2      /* see pressure.h */
#define BAND_DIVISOR     4
#define FORECAST_DIVISOR 256u /* a rise by less of the limit than this is noise */
#define FORECAST_MIN     EBB_MIB(1)
#define GROWTH_MAX       ((uint64_t)1 << 45) /* keeps products within 64 bits */
#define OTHERS_DIVISOR   8                   /* of the room that is left: less of others is noise */
#define OTHERS_MIN_MS    20u                 /* a shorter time is no measure of speed */
#define OTHERS_WINDOW_MS 250u                /* what they take more slowly shows in the growth */
#define OTHERS_COUNT_MS  500u
#define OTHERS_TOP_MS    2000u
#define STEP_DIVISOR     64u        /* of the limit, when nobody can say what is missing */
#define STEP_CAN_DIVISOR 8u         /* or of what can be given, when no limit is known */
#define STEP_MIN         EBB_MIB(2) /* an extent */
#define STEP_MAX         EBB_GIB(1) /* a second's work */

struct room_row {
    uint32_t permille;
    uint64_t least_bytes, most_bytes;
};

static const struct room_row rooms[EBB_PRESS_OWNERS][EBB_PRESS_LEVELS] = {
#define EBB_PRESS_ROOM(owner, level, permille, least_mib, most_mib, reason)                                  \
    [EBB_PRESS_OF_##owner][EBB_PRESS_##level] = {permille, EBB_MIB(least_mib), EBB_MIB(most_mib)},
#include "governor/levels.def"
#undef EBB_PRESS_ROOM
};

static const struct {
    uint32_t window_ms, time_ms, reserve_ms;
} times[EBB_PRESS_LEVELS] = {
#define EBB_PRESS_TIME(level, window_ms, time_ms, reserve_ms, reason)                                        \
    [EBB_PRESS_##level] = {window_ms, time_ms, reserve_ms},
#include "governor/levels.def"
#undef EBB_PRESS_TIME
};

static const struct {
    const char *name;
    enum ebb_press_owner owner;
    enum ebb_press_level most;
} kinds[EBB_PRESS_LIMITS] = {
#define EBB_PRESS_LIMIT(id, name, owner, most, reason)                                                       \
    [EBB_PRESS_LIMIT_##id] = {name, EBB_PRESS_OF_##owner, EBB_PRESS_##most},
#include "governor/levels.def"
#undef EBB_PRESS_LIMIT
};

const char *ebb__press_limit_name(unsigned limit)
{
    return limit < EBB_PRESS_LIMITS ? kinds[limit].name : "no limit";
}

uint64_t ebb__press_enter_bytes(enum ebb_press_owner owner, enum ebb_press_level level, uint64_t limit_bytes)
{
    const struct room_row *row = &rooms[owner][level];
    uint64_t least = ebb__min(row->least_bytes, limit_bytes >> (level + 1)); /* 1/4, 1/8, 1/16 */
    return press_clamp(limit_bytes * row->permille / 1000, least, row->most_bytes);
}

uint64_t ebb__press_leave_bytes(enum ebb_press_owner owner, enum ebb_press_level level, uint64_t limit_bytes)
{
    uint64_t enter = ebb__press_enter_bytes(owner, level, limit_bytes);
    return enter + enter / BAND_DIVISOR;
}

/* ---- growth ---- */

static void remember(struct ebb_press_track *t, uint64_t now_ms, int64_t used)
{
    struct ebb_press_slot *last = &t->slots[(t->count - 1) % EBB_PRESS_SLOTS];
    if (t->count != 0 && now_ms - last->from_ms < EBB_PRESS_SLOT_MS) {
        if (used >= last->peak_bytes) {
            last->peak_bytes = used;
            last->peak_ms = now_ms;
        }
        return;
    }
    t->slots[t->count++ % EBB_PRESS_SLOTS] = (struct ebb_press_slot){now_ms, now_ms, used};
}

struct rise {
    bool any_recent, any_before;
    struct ebb_press_slot recent, before; /* the peak in the last window, and in the one before it */
    int64_t jump;                         /* the largest rise from one slot to the next */
    unsigned steps;                       /* from slot to slot, in the last window */
};

static void measure(const struct ebb_press_track *t, uint64_t now_ms, uint32_t window_ms, struct rise *r)
{
    uint32_t n = t->count < EBB_PRESS_SLOTS ? t->count : EBB_PRESS_SLOTS;
    for (uint32_t i = 0; i < n; i++) { /* the youngest first */
        const struct ebb_press_slot *s = &t->slots[(t->count - 1 - i) % EBB_PRESS_SLOTS];
        const struct ebb_press_slot *older =
            i + 1 < n ? &t->slots[(t->count - 2 - i) % EBB_PRESS_SLOTS] : NULL;
        uint64_t age_ms = now_ms - s->peak_ms;
        if (age_ms < window_ms) {
            if (!r->any_recent || s->peak_bytes > r->recent.peak_bytes)
                r->recent = *s;
            r->any_recent = true;
            if (older != NULL) {
                r->steps++;
                if (s->peak_bytes - older->peak_bytes > r->jump)
                    r->jump = s->peak_bytes - older->peak_bytes;
            }
            continue;
        }
        if (age_ms >= 2 * (uint64_t)window_ms)
            break;
        if (!r->any_before || s->peak_bytes > r->before.peak_bytes)
            r->before = *s;
        r->any_before = true;
    }
}

/* Bytes per second. */
static uint64_t growth(const struct ebb_press_track *t, uint64_t now_ms, uint32_t window_ms)
{
    struct rise r = {0};
    measure(t, now_ms, window_ms, &r);
    if (!r.any_recent || !r.any_before || r.steps < 2)
        return 0;
    int64_t rise = r.recent.peak_bytes - r.before.peak_bytes - r.jump;
    if (rise < (int64_t)ebb__max(t->limit_bytes / FORECAST_DIVISOR, FORECAST_MIN))
        return 0;
    uint64_t bytes = ebb__min((uint64_t)rise, GROWTH_MAX);
    bytes += bytes / (r.steps - 1); /* the step that was left out counts as the average of the others */
    uint64_t ms = ebb__max(r.recent.peak_ms - r.before.peak_ms, window_ms);
    return ebb__min(bytes * 1000 / ms, GROWTH_MAX);
}

/* ---- others ---- */

/* The most that they held in the last two to four seconds, and what they held last: who goes up and down takes nothing by going up. */
static int64_t top_of_others(struct ebb_press_track *t, uint64_t now_ms)
{
    uint64_t age_ms = now_ms - t->others_from_ms;
    if (age_ms >= OTHERS_TOP_MS) {
        t->others_before = age_ms >= 2 * OTHERS_TOP_MS ? t->others_bytes : t->others_top;
        t->others_top = t->others_bytes;
        t->others_from_ms = now_ms;
    }
    return t->others_before > t->others_top ? t->others_before : t->others_top;
}

/* They have taken a good part of a room that was short since that was last measured: for a while it counts as if it went on, however
 * much is given meanwhile. */
static void see_others(struct ebb_press_track *t, uint64_t now_ms, int64_t others, int64_t room,
                       int64_t short_bytes)
{
    bool is_first = t->others_ms == 0;
    if (is_first)
        t->others_bytes = t->others_top = t->others_before = others;
    if (now_ms >= t->others_until_ms)
        t->others_bytes_per_s = 0;
    uint64_t ms = now_ms - t->others_ms;
    int64_t rise = others - top_of_others(t, now_ms);
    bool is_short = room < short_bytes || t->others_bytes_per_s != 0;
    bool much =
        rise >= (int64_t)FORECAST_MIN && rise >= (room < short_bytes ? room : short_bytes) / OTHERS_DIVISOR;
    if (!is_first && ms < (much ? OTHERS_MIN_MS : OTHERS_WINDOW_MS) && others > t->others_bytes)
        return;
    if (much && is_short) {
        t->others_bytes_per_s = ebb__min(ebb__min((uint64_t)rise, GROWTH_MAX / 1000) * 1000 / ms, GROWTH_MAX);
        t->others_until_ms = now_ms + OTHERS_COUNT_MS;
    }
    t->others_ms = ebb__max(now_ms, 1);
    t->others_bytes = others;
    if (others > t->others_top)
        t->others_top = others;
}

/* ---- one limit ---- */

static void judge(const struct ebb_press_track *t, unsigned kind, uint64_t now_ms, struct press_seen *s)
{
    enum ebb_press_owner owner = kinds[kind].owner;
    for (unsigned level = EBB_PRESS_YELLOW; level <= (unsigned)kinds[kind].most; level++) {
        bool was = t->need >= level;
        uint64_t enter = s->enter[level] = ebb__press_enter_bytes(owner, level, t->limit_bytes);
        uint64_t leave = ebb__press_leave_bytes(owner, level, t->limit_bytes);
        bool low = s->room_bytes < (int64_t)(was ? leave : enter);
        uint64_t ours = growth(t, now_ms, times[level].window_ms), others = t->others_bytes_per_s;
        s->growth[level] = ebb__max(ours, others);
        /* slack gives ahead of them; what is dearer gives what is missing */
        uint64_t reserved = level == EBB_PRESS_YELLOW ? s->growth[level] : ours;
        uint64_t ahead = s->growth[level] * times[level].time_ms / 1000;
        uint64_t far = ahead + ahead / BAND_DIVISOR;
        bool soon = s->room_bytes < (int64_t)(was ? far : ahead);
        s->calm[level] = ebb__max(leave, far);
        s->target[level] = leave + reserved * times[level].reserve_ms / 1000;
        if (low || soon) {
            s->need = level;
            s->by_time = !low;
            s->by_others = !low && others > ours;
        }
    }
}

static void see_one(struct ebb_press *p, const struct ebb_press_facts *f, unsigned kind, uint64_t now_ms,
                    struct press_seen *s)
{
    const struct ebb_press_limit *l = &f->limits[kind];
    struct ebb_press_track *t = &p->tracks[kind];
    if (!l->known) {
        if (t->seen_ms != 0 && now_ms - t->seen_ms < REMEMBER_MS) {
            s->remembered = true;
            s->need = t->need;
        } else if (t->seen_ms != 0) {
            *t = (struct ebb_press_track){0};
        }
        return;
    }
    if (l->limit_bytes == 0 || l->limit_bytes > EBB_PRESS_UNLIMITED) {
        *t = (struct ebb_press_track){0};
        return;
    }
    if (t->seen_ms == 0 || t->which != l->which || t->limit_bytes != l->limit_bytes) {
        *t = (struct ebb_press_track){.need = t->need}; /* another limit, and no growth */
        t->which = l->which;
        t->limit_bytes = l->limit_bytes;
    }
    t->seen_ms = ebb__max(now_ms, 1);
    uint64_t used = ebb__min(l->used_bytes, EBB_PRESS_UNLIMITED);
    uint64_t clean = ebb__min(l->clean_bytes, used) / CLEAN_DIVISOR;
    int64_t firm = (int64_t)(used - clean);
    remember(t, now_ms, firm);
    s->known = true;
    s->limit_bytes = l->limit_bytes;
    s->room_bytes = (int64_t)l->limit_bytes - firm;
    s->cached = clean >= ebb__press_enter_bytes(kinds[kind].owner, EBB_PRESS_RED, l->limit_bytes);
    if (f->own_bytes != 0 && kinds[kind].owner != EBB_PRESS_OF_OWN && !l->clean_unknown) {
        uint64_t whole = used - ebb__min(l->clean_bytes, used);
        see_others(t, now_ms, (int64_t)whole - (int64_t)ebb__min(f->own_bytes, EBB_PRESS_UNLIMITED),
                   s->room_bytes,
                   (int64_t)ebb__press_leave_bytes(kinds[kind].owner, EBB_PRESS_YELLOW, l->limit_bytes));
    }
    judge(t, kind, now_ms, s);
    t->need = s->need;
}

/* Nearer: a higher need, else the smaller share of its limit. */
static bool is_nearer(const struct press_seen *a, const struct press_seen *b)
{
    if (a->need != b->need)
        return a->need > b->need;
    /* a limit has at most 50 bits: its share in 1/8192 fits */
    return a->room_bytes / (int64_t)(a->limit_bytes / 8192 + 1) <
           b->room_bytes / (int64_t)(b->limit_bytes / 8192 + 1);
}

/* What is missing to leave each level that this limit calls for. */
static void add_deficit(struct press_step *step, const struct press_seen *s)
{
    for (unsigned level = EBB_PRESS_YELLOW; level <= (unsigned)s->need; level++) {
        int64_t missing = (int64_t)s->target[level] - s->room_bytes;
        if (missing > (int64_t)step->deficit[level])
            step->deficit[level] = (uint64_t)missing;
    }
}

void ebb__press_see(struct ebb_press *p, const struct ebb_press_facts *f, struct press_step *step)
{
    uint64_t can = 0;
    step->limit = EBB_PRESS_LIMITS;
    for (unsigned kind = 0; kind < EBB_PRESS_LIMITS; kind++) {
        struct press_seen *s = &step->limits[kind];
        see_one(p, f, kind, step->now_ms, s);
        if (s->remembered && s->need > step->bytes_need)
            step->bytes_need = s->need;
        step->bytes_known |= s->known || s->remembered;
        if (s->known)
            add_deficit(step, s);
        if (s->known && (step->limit == EBB_PRESS_LIMITS || is_nearer(s, &step->limits[step->limit])))
            step->limit = kind;
    }
    for (unsigned give = 0; give < EBB_PRESS_GIVES; give++)
        can += ebb__min(f->can_bytes[give], EBB_PRESS_UNLIMITED);
    step->step_bytes = can / STEP_CAN_DIVISOR;
    if (step->limit != EBB_PRESS_LIMITS) {
        const struct press_seen *s = &step->limits[step->limit];
        step->bytes_need = (enum ebb_press_level)ebb__max(step->bytes_need, s->need);
        step->step_bytes = s->limit_bytes / STEP_DIVISOR;
        step->cause = s->by_others ? EBB_PRESS_OTHERS : s->by_time ? EBB_PRESS_GROWING : EBB_PRESS_ROOM_LOW;
    }
    step->step_bytes = press_clamp(step->step_bytes, STEP_MIN, STEP_MAX);
    step->need = step->bytes_need;
    if (step->need == EBB_PRESS_GREEN)
        step->cause = EBB_PRESS_NOTHING;
    else if (step->cause == EBB_PRESS_NOTHING)
        step->cause = EBB_PRESS_ROOM_LOW; /* of a limit that is remembered */
}
