/* SPDX-License-Identifier: MIT
 * Thresholds, signs, holding and giving of the policy under pressure, each with a table of cases. */
#include "press_stand.h"

/* ---- thresholds ---- */

static const struct {
    unsigned kind;
    uint64_t limit, enter[EBB_PRESS_LEVELS]; /* room; 0: it does not go so high */
} sizes[] = {
    {MAX, MB(16), {0, MB(4), MB(2), MB(1)}}, /* small: 1/4, 1/8, 1/16 */
    {MAX, MB(128), {0, MB(32), MB(16), MB(8)}},
    {MAX, MB(256), {0, 53687091, 26843545, 10737418}}, /* 20 %, 10 %, 4 % */
    {MAX, GB(1), {0, 214748364, 107374182, 42949672}},
    {MAX, GB(64), {0, 13743895347, GB(6), GB(2)}},
    {MAX, GB(512), {0, GB(16), GB(6), GB(2)}},
    {HIGH, GB(1), {0, 214748364, 107374182, 0}},
    {HOST, GB(4), {0, 429496729, 214748364, 107374182}}, /* 10 %, 5 %, 2.5 % */
    {HOST, GB(1), {0, MB(256), MB(128), MB(64)}},
    {HOST, GB(512), {0, GB(8), GB(4), MB(1536)}},
    {HARD, MB(64), {0, MB(8), MB(4), MB(2)}},
    {HARD, GB(1), {0, 53687091, 26843545, 10737418}}, /* 5 %, 2.5 %, 1 % */
    {HARD, GB(512), {0, GB(8), GB(3), GB(1)}},
    {SOFT, GB(1), {0, 53687091, 26843545, 0}},
};

/* One byte above a threshold, one below, and the band above it. */
static void each_threshold(void)
{
    for (size_t i = 0; i < EBB_ARRAY_COUNT(sizes); i++) {
        for (unsigned level = YELLOW; level <= RED; level++) {
            struct stand s;
            int64_t enter = (int64_t)sizes[i].enter[level], leave = enter + enter / 4;
            if (enter == 0)
                continue;
            begin(&s);
            room(&s, sizes[i].kind, sizes[i].limit, enter);
            step(&s, 1000);
            EXPECT_MSG(s.actions.need == level - 1, "row %zu, level %u: %u", i, level, s.actions.need);
            room(&s, sizes[i].kind, sizes[i].limit, enter - 1);
            step(&s, 1000);
            EXPECT_MSG(s.actions.need == level, "row %zu, level %u: %u", i, level, s.actions.need);
            EXPECT(s.actions.cause == EBB_PRESS_ROOM_LOW && s.actions.limit == sizes[i].kind);
            EXPECT_EQ(s.actions.want_bytes, leave - enter + 1);
            room(&s, sizes[i].kind, sizes[i].limit, leave - 1);
            step(&s, 1000);
            EXPECT_MSG(s.actions.need == level, "row %zu, level %u: %u", i, level, s.actions.need);
            EXPECT_EQ(s.actions.want_bytes, 1);
            room(&s, sizes[i].kind, sizes[i].limit, leave);
            step(&s, 1000);
            EXPECT_MSG(s.actions.need == level - 1, "row %zu, level %u: %u", i, level, s.actions.need);
            EXPECT(s.actions.level == level); /* held */
        }
    }
}

static void no_level_goes_higher_than_its_limit_allows(void)
{
    for (unsigned kind = 0; kind < EBB_PRESS_LIMITS; kind++) {
        struct stand s;
        begin(&s);
        room(&s, kind, GB(1), -(int64_t)MB(100)); /* beyond it */
        step(&s, 1000);
        EXPECT_EQ(s.actions.need, kind == SOFT || kind == HIGH ? ORANGE : RED);
        EXPECT_EQ(s.actions.within_ms, 50);
    }
}

static void thresholds_keep_their_order(void)
{
    for (unsigned owner = 0; owner < EBB_PRESS_OWNERS; owner++) {
        for (uint64_t limit = MB(8); limit <= GB(65536); limit += limit / 3) {
            uint64_t below = 0;
            for (unsigned level = RED; level >= YELLOW; level--) {
                uint64_t enter = ebb__press_enter_bytes(owner, level, limit);
                EXPECT(enter > below && ebb__press_leave_bytes(owner, level, limit) > enter);
                below = ebb__press_leave_bytes(owner, level, limit);
            }
            EXPECT(below <= limit / 3);
        }
    }
}

/* Half of the clean file cache is room. */
static void file_cache_is_half_room(void)
{
    struct stand s;
    begin(&s);
    room(&s, MAX, GB(1), 0); /* full, as a cgroup that has read files */
    s.facts.limits[MAX].clean_bytes = 2 * 214748364;
    step(&s, 1000);
    EXPECT_EQ(s.actions.need, GREEN);
    s.facts.limits[MAX].clean_bytes -= 2;
    step(&s, 1000);
    EXPECT_EQ(s.actions.need, YELLOW);
    s.facts.limits[MAX].clean_bytes = GB(7); /* nonsense: no more than is used */
    step(&s, 1000);
    EXPECT_EQ(s.actions.need, GREEN);
}

static void the_nearest_limit_decides(void)
{
    struct stand s;
    begin(&s);
    room(&s, MAX, GB(8), (int64_t)GB(1));   /* yellow */
    room(&s, HOST, GB(64), (int64_t)GB(3)); /* orange */
    room(&s, HARD, GB(4), (int64_t)GB(1));  /* green */
    s.facts.can_bytes[EBB_PRESS_GIVE_FREE] = GB(4);
    step(&s, 1000);
    EXPECT(s.actions.need == ORANGE && s.actions.limit == HOST);
    /* the host lacks 5 GiB for leaving yellow, and the cgroup 1; there are 4 */
    EXPECT_EQ(s.actions.want_bytes, GB(4));
    room(&s, HARD, GB(4), (int64_t)MB(10));
    step(&s, 1000);
    EXPECT(s.actions.need == RED && s.actions.limit == HARD);
}

/* ---- growth ---- */

/* Steps of 100 ms in which the room shrinks at this pace. Returns how much is left when a level begins; 0: never within 100 s. */
static int64_t ramp(struct stand *s, uint64_t limit, int64_t left, uint64_t per_second,
                    enum ebb_press_level level)
{
    for (unsigned i = 0; i < 1000 && left > 0; i++) {
        left -= (int64_t)(per_second / 10);
        room(s, MAX, limit, left);
        step(s, 100);
        if (s->actions.need >= level)
            return left;
    }
    return 0;
}

static void growth_is_foreseen(void)
{
    static const struct {
        enum ebb_press_level level;
        uint64_t limit, per_second, time_ms;
    } rows[] = {
        {YELLOW, GB(4), MB(40), 30000}, {YELLOW, GB(512), GB(1), 30000}, {ORANGE, GB(4), MB(100), 8000},
        {ORANGE, GB(64), GB(1), 8000},  {RED, GB(4), MB(150), 2000},     {RED, GB(256), GB(4), 2000},
    };
    for (size_t i = 0; i < EBB_ARRAY_COUNT(rows); i++) {
        struct stand s;
        begin(&s);
        uint64_t expected = rows[i].per_second * rows[i].time_ms / 1000;
        int64_t left = ramp(&s, rows[i].limit, (int64_t)ebb__min(rows[i].limit, expected * 3),
                            rows[i].per_second, rows[i].level);
        EXPECT_MSG(left > (int64_t)(expected * 8 / 10) && left < (int64_t)(expected * 11 / 10),
                   "row %zu: at %" PRId64 " MiB of %" PRIu64, i, left >> 20, expected >> 20);
        EXPECT(s.actions.cause == EBB_PRESS_GROWING && s.actions.limit == MAX);
    }
}

/* Peaks that are no higher than those before, and one jump, are no growth. */
static void what_is_no_growth(void)
{
    struct stand s;
    begin(&s);
    for (unsigned i = 0; i < 600; i++) { /* a saw tooth of 400 MiB and a second */
        room(&s, MAX, GB(2), (int64_t)MB(1000 - 40 * (i % 10)));
        step(&s, 100);
        EXPECT_MSG(s.actions.need == GREEN, "step %u of the saw tooth: %u", i, s.actions.need);
    }
    begin(&s);
    for (unsigned i = 0; i < 200; i++) {
        room(&s, MAX, GB(2), (int64_t)(i < 100 ? MB(1500) : MB(500)));
        step(&s, 100);
        EXPECT_MSG(s.actions.need == GREEN, "step %u of the jump: %u", i, s.actions.need);
    }
    begin(&s);
    for (unsigned i = 0; i < 200; i++) { /* each time another ancestor is the nearest */
        room(&s, MAX, GB(8), (int64_t)MB(4096 - 10 * i));
        s.facts.limits[MAX].which = i;
        step(&s, 100);
        EXPECT_MSG(s.actions.need == GREEN, "step %u of the ancestors: %u", i, s.actions.need);
    }
    begin(&s);
    for (unsigned i = 0; i < 400; i++) { /* falls, and stays */
        room(&s, MAX, GB(2), (int64_t)MB(500 + ebb__min(i, 100)));
        step(&s, 100);
        EXPECT_EQ(s.actions.need, GREEN);
    }
}

/* What was foreseen is so for a while when growth grows less: without the band it would end at once. */
static void a_forecast_has_a_band(void)
{
    struct stand s;
    begin(&s);
    int64_t left = ramp(&s, GB(16), (int64_t)MB(9000), MB(200), YELLOW);
    for (unsigned i = 0; i < 40; i++) {
        left -= (int64_t)MB(12);
        room(&s, MAX, GB(16), left);
        step(&s, 100);
        EXPECT(s.actions.need == YELLOW && s.actions.cause == EBB_PRESS_GROWING);
    }
}

/* Peaks of 50 ms that grow by 100 MiB/s, from looks in between that see nothing of them. */
static void peaks_are_what_grows(void)
{
    struct stand s;
    begin(&s);
    bool seen = false;
    for (unsigned i = 0; i < 1000 && !seen; i++) {
        room(&s, MAX, GB(8), (int64_t)(i % 5 == 0 ? MB(5000 - 5 * i) : MB(6000)));
        step(&s, 50);
        seen = s.actions.need == YELLOW;
        EXPECT(!seen || s.actions.cause == EBB_PRESS_GROWING);
    }
    EXPECT(seen);
}

/* ---- what others take ---- */

/* 1 GiB, `left` MiB of it left, and then so much less within 100 ms, because others or the process itself took it. */
static void jump(struct stand *s, int64_t left, uint64_t bytes, bool own)
{
    begin(s);
    s->facts.own_bytes = MB(300);
    s->facts.can_bytes[EBB_PRESS_GIVE_FREE] = MB(250);
    s->facts.can_bytes[EBB_PRESS_GIVE_COLD] = MB(900);
    for (unsigned i = 0; i < 5; i++) {
        room(s, MAX, GB(1), left << 20);
        step(s, 100);
    }
    s->facts.own_bytes += own ? bytes : 0;
    room(s, MAX, GB(1), (left << 20) - (int64_t)bytes);
    step(s, 100);
}

static void one_jump_of_others_is_a_trend(void)
{
    struct stand s;
    jump(&s, 190, MB(50), false); /* 500 MiB/s, and 140 left */
    EXPECT(s.actions.need == RED && s.actions.cause == EBB_PRESS_OTHERS && s.actions.limit == MAX);
    EXPECT(s.actions.within_ms < 200 && s.actions.ask_bytes[EBB_PRESS_GIVE_FREE] == MB(250));
    EXPECT(s.actions.ask_bytes[EBB_PRESS_GIVE_COLD] == 0); /* not for what they might take yet */
    for (unsigned i = 0; i < 3; i++) {
        step(&s, 100);
        EXPECT_EQ(s.actions.need, RED);
    }
    step(&s, 200); /* it has not gone on */
    EXPECT_EQ(s.actions.need, YELLOW);
    jump(&s, 190, MB(50), true); /* who asks before he grows needs no forecast */
    EXPECT(s.actions.need == YELLOW && s.actions.cause == EBB_PRESS_ROOM_LOW);
    jump(&s, 190, MB(10), false); /* that may be anything */
    EXPECT_EQ(s.actions.need, YELLOW);
    jump(&s, 600, MB(300), false); /* there is room enough */
    EXPECT_EQ(s.actions.need, GREEN);
}

/* It comes in small pieces, between looks that are close together. */
static void others_that_creep(void)
{
    struct stand s;
    int64_t left = 190;
    jump(&s, left, 0, false);
    for (unsigned i = 0; i < 5 && s.actions.need < ORANGE; i++) {
        left -= 6;
        room(&s, MAX, GB(1), left << 20);
        step(&s, 50); /* 120 MiB/s */
    }
    EXPECT(s.actions.need >= ORANGE && s.actions.cause == EBB_PRESS_OTHERS && left > 102);
}

/* A neighbour that goes up and down takes nothing by going up. */
static void others_that_saw(void)
{
    struct stand s;
    begin(&s);
    s.facts.own_bytes = MB(300);
    for (unsigned i = 0; i < 2000; i++) {
        int64_t left = 960 + (int64_t)(i % 5) * 65 - 130; /* 130 MiB either way, five times in four seconds */
        room(&s, MAX, GB(4), left << 20);
        step(&s, 160);
        EXPECT_MSG(i < 10 || s.actions.need <= YELLOW, "step %u: %u", i, s.actions.need);
    }
}

/* Files that nobody can see the cache of: what is used jumps by what was not subtracted. */
static void others_whose_cache_is_not_known(void)
{
    struct stand s;
    jump(&s, 190, 0, false);
    s.facts.limits[MAX].used_bytes += MB(60);
    s.facts.limits[MAX].clean_unknown = true;
    step(&s, 100);
    EXPECT_EQ(s.actions.need, YELLOW);
}

static void what_is_own_is_not_known(void)
{
    struct stand s;
    begin(&s);
    room(&s, MAX, GB(1), (int64_t)MB(190));
    step(&s, 100);
    step(&s, 100);
    room(&s, MAX, GB(1), (int64_t)MB(140));
    step(&s, 100);
    EXPECT_EQ(s.actions.need, YELLOW);
}

/* ---- signs ---- */

/* What a sign calls for, by the level that the room alone calls for, and when no limit is known. */
static const struct {
    enum ebb_press_cause sign;
    enum ebb_press_level at[RED + 1], blind;
} signs[] = {
    {EBB_PRESS_STALLS, {YELLOW, YELLOW, ORANGE, RED}, YELLOW},
    {EBB_PRESS_STANDS, {YELLOW, ORANGE, ORANGE, RED}, ORANGE},
    {EBB_PRESS_THRASHES, {YELLOW, ORANGE, RED, RED}, ORANGE},
    {EBB_PRESS_HIGH_HIT, {GREEN, ORANGE, ORANGE, RED}, YELLOW},
    {EBB_PRESS_MAX_HIT, {GREEN, ORANGE, RED, RED}, ORANGE},
    {EBB_PRESS_OOM_HIT, {RED, RED, RED, RED}, RED},
    {EBB_PRESS_NOTICE, {YELLOW, YELLOW, ORANGE, RED}, YELLOW},
    {EBB_PRESS_CALL, {ORANGE, ORANGE, ORANGE, RED}, ORANGE},
};

static void give_sign(struct stand *s, enum ebb_press_cause sign, uint64_t ms)
{
    static const unsigned some_permille[] = {100, 0, 0}, full_permille[] = {0, 50, 200};
    struct ebb_press_facts *f = &s->facts;
    f->stalls_known = true;
    if (sign <= EBB_PRESS_THRASHES) {
        f->some_us += some_permille[sign - EBB_PRESS_STALLS] * ms;
        f->full_us += full_permille[sign - EBB_PRESS_STALLS] * ms;
    }
    f->high_hits = sign == EBB_PRESS_HIGH_HIT;
    f->max_hits = sign == EBB_PRESS_MAX_HIT;
    f->oom_hits = sign == EBB_PRESS_OOM_HIT;
    f->notices = sign == EBB_PRESS_NOTICE;
    f->calls = sign == EBB_PRESS_CALL;
    step(s, ms);
}

/* Who thrashes stands as well. */
static bool is_sign(enum ebb_press_cause cause, enum ebb_press_cause sign)
{
    return cause == sign || (cause == EBB_PRESS_STANDS && sign == EBB_PRESS_THRASHES);
}

static void each_sign(void)
{
    static const int64_t mib[] = {500, 150, 80, 20}; /* of 1 GiB: green, yellow, orange, red */
    for (size_t i = 0; i < EBB_ARRAY_COUNT(signs); i++) {
        for (unsigned level = GREEN; level <= RED + 1; level++) {
            struct stand s;
            begin(&s);
            if (level <= RED)
                room(&s, MAX, GB(1), mib[level] << 20);
            s.facts.stalls_known = true;
            step(&s, 2000);
            EXPECT_EQ(s.actions.need, level <= RED ? level : GREEN);
            give_sign(&s, signs[i].sign, 2000);
            enum ebb_press_level expected = level <= RED ? signs[i].at[level] : signs[i].blind;
            if (expected < level && level <= RED)
                expected = level;
            EXPECT_MSG(s.actions.need == expected, "%s at %u: %u", ebb__press_cause_name(signs[i].sign),
                       level, s.actions.need);
            if (level > RED || expected > level)
                EXPECT(expected == GREEN ||
                       (is_sign(s.actions.cause, signs[i].sign) && s.actions.limit == EBB_PRESS_LIMITS));
            step(&s, 1900); /* an event lasts for two seconds, stalls for their window */
            EXPECT_MSG(s.actions.need == expected, "%s at %u later: %u", ebb__press_cause_name(signs[i].sign),
                       level, s.actions.need);
            step(&s, 101);
            step(&s, 2000);
            EXPECT_EQ(s.actions.need, level <= RED ? level : GREEN);
        }
    }
}

static void stalls_have_a_threshold_and_a_band(void)
{
    struct stand s;
    begin(&s);
    room(&s, MAX, GB(1), (int64_t)MB(500));
    s.facts.stalls_known = true;
    step(&s, 1000);
    s.facts.some_us += 99 * 2000;
    step(&s, 2000);
    EXPECT_EQ(s.actions.need, GREEN);
    s.facts.some_us += 200 * 1000; /* a tenth of two seconds, within 300 ms */
    step(&s, 300);
    EXPECT_EQ(s.actions.need, YELLOW);
    step(&s, 1700);
    s.facts.some_us += 50 * 2000;
    step(&s, 2000);
    EXPECT_EQ(s.actions.need, YELLOW);
    s.facts.some_us += 49 * 2000;
    step(&s, 2000);
    EXPECT_EQ(s.actions.need, GREEN);
}

/* A limit that is hit with file cache to drop is no sign. Red would begin at 41 MiB. */
static void hits_that_file_cache_explains(void)
{
    static const unsigned kinds[] = {HIGH, MAX};
    for (size_t i = 0; i < EBB_ARRAY_COUNT(kinds); i++) {
        for (unsigned mib = 80; mib <= 84; mib += 4) {
            struct stand s;
            begin(&s);
            room(&s, kinds[i], GB(1), (int64_t)MB(100));
            s.facts.limits[kinds[i]].clean_bytes = MB(mib);
            s.facts.high_hits = kinds[i] == HIGH;
            s.facts.max_hits = kinds[i] == MAX;
            step(&s, 1000);
            EXPECT_MSG(s.actions.need == (mib == 80 ? ORANGE : YELLOW), "%u MiB: %u", mib, s.actions.need);
        }
    }
}

/* More waiting than time, or totals that run backwards, are not believed. */
static void impossible_stalls(void)
{
    struct stand s;
    begin(&s);
    room(&s, MAX, GB(1), (int64_t)MB(150));
    s.facts.stalls_known = true;
    s.facts.some_us = s.facts.full_us = 5000000;
    step(&s, 1000);
    s.facts.full_us += 3000000;
    step(&s, 1000);
    EXPECT_EQ(s.actions.need, YELLOW);
    s.facts.full_us = 12;
    step(&s, 1000);
    EXPECT_EQ(s.actions.need, YELLOW);
    s.facts.full_us += 900000;
    step(&s, 1000);
    EXPECT_EQ(s.actions.need, ORANGE);
}

/* ---- unknown facts ---- */

static void nothing_is_known(void)
{
    struct stand s;
    begin(&s);
    for (unsigned wakes = 0; wakes < 2; wakes++) {
        s.facts.wakes = wakes != 0;
        s.facts.can_bytes[EBB_PRESS_GIVE_FREE] = GB(1);
        for (unsigned i = 0; i < 100; i++) {
            step(&s, 1000);
            EXPECT_EQ(s.actions.level, GREEN);
            EXPECT_EQ(s.actions.look_ms, wakes ? EBB_PRESS_NO_LOOK : 30000);
        }
    }
    room(&s, MAX, 0, 0); /* and "there is no limit" is no limit of 0 */
    room(&s, HOST, EBB_PRESS_UNLIMITED + 1, 1);
    step(&s, 1000);
    EXPECT(s.actions.level == GREEN && s.actions.look_ms == EBB_PRESS_NO_LOOK);
}

/* A source that fails is no relief at once; but nothing can be asked for. */
static void a_fact_is_lost(void)
{
    struct stand s;
    begin(&s);
    room(&s, MAX, GB(1), (int64_t)MB(20));
    s.facts.can_bytes[EBB_PRESS_GIVE_FREE] = GB(1);
    step(&s, 1000);
    EXPECT(s.actions.need == RED && s.actions.want_bytes != 0);
    s.facts.limits[MAX].known = false;
    for (unsigned i = 1; i < 60; i++) {
        step(&s, 1000);
        EXPECT(s.actions.need == RED && s.actions.want_bytes == 0 && !s.actions.may_grow);
    }
    step(&s, 1000);
    EXPECT_EQ(s.actions.need, GREEN);
    for (unsigned i = 0; i < 60; i++)
        step(&s, 1000);
    EXPECT_EQ(s.actions.level, GREEN);
}

static void time_that_runs_backwards(void)
{
    struct stand s;
    begin(&s);
    room(&s, MAX, GB(1), (int64_t)MB(20));
    step(&s, 1000);
    s.facts.now_ms -= 900000;
    for (unsigned i = 0; i < 100; i++)
        step(&s, 1000);
    EXPECT_EQ(s.actions.level, RED);
}

/* ---- holding ---- */

/* How long a level outlives its need. */
static uint64_t held_ms(struct stand *s, int64_t low, enum ebb_press_level level)
{
    room(s, MAX, GB(1), low);
    step(s, 1);
    EXPECT_EQ(s->actions.level, level);
    room(s, MAX, GB(1), (int64_t)MB(900));
    for (uint64_t ms = 1; ms < 10000000; ms += s->actions.look_ms) {
        step(s, ms == 1 ? 1 : s->actions.look_ms);
        if (s->actions.level != level)
            return s->facts.now_ms - s->rose_ms;
    }
    return 0;
}

static void a_level_is_held(void)
{
    static const struct {
        enum ebb_press_level level;
        int64_t low;
        uint64_t ms;
    } rows[] = {{YELLOW, 150 << 20, 60000}, {ORANGE, 80 << 20, 20000}, {RED, 20 << 20, 10000}};
    for (size_t i = 0; i < EBB_ARRAY_COUNT(rows); i++) {
        struct stand s;
        begin(&s);
        EXPECT_EQ(held_ms(&s, rows[i].low, rows[i].level), rows[i].ms);
        step(&s, 14400000); /* forgotten */
        EXPECT_EQ(held_ms(&s, rows[i].low, rows[i].level), rows[i].ms);
    }
}

static void a_level_that_comes_back_is_held_longer(void)
{
    struct stand s;
    begin(&s);
    for (uint64_t ms = 60000; ms < 300000000; ms *= 8)
        EXPECT_EQ(held_ms(&s, (int64_t)MB(150), YELLOW), ebb__min(ms, 7200000));
    step(&s, 14399998); /* still remembered */
    EXPECT_EQ(held_ms(&s, (int64_t)MB(150), YELLOW), 7200000);
}

/* Somebody who knows all of it and wants as many changes as can be had. */
static void the_worst_that_can_be_done_in_a_day(void)
{
    struct stand s;
    begin(&s);
    uint64_t end_ms = s.facts.now_ms + 86400000;
    while (s.facts.now_ms < end_ms)
        (void)held_ms(&s, (int64_t)MB(150), YELLOW);
    EXPECT_MSG(s.changes <= 30, "%u changes", s.changes);
    EXPECT(s.changes >= 20); /* it is the worst */
}

/* A day of noise of 2 % of the limit around each threshold, that no giving makes less. */
static void noise_does_not_swing_the_level(void)
{
    struct support_rng rng = {support_seed("noise")};
    for (unsigned level = YELLOW; level <= RED; level++) {
        struct stand s;
        begin(&s);
        int64_t enter = (int64_t)ebb__press_enter_bytes(EBB_PRESS_OF_GROUP, level, GB(4));
        for (uint64_t end_ms = s.facts.now_ms + 86400000; s.facts.now_ms < end_ms;) {
            room(&s, MAX, GB(4), enter + (int64_t)support_below(&rng, GB(4) / 50) - (int64_t)GB(4) / 100);
            step(&s, ebb__max(s.actions.look_ms, 1000));
        }
        EXPECT_MSG(s.changes >= 1 && s.changes <= 4, "%u changes around level %u", s.changes, level);
    }
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(each_threshold),
        CASE(no_level_goes_higher_than_its_limit_allows),
        CASE(thresholds_keep_their_order),
        CASE(file_cache_is_half_room),
        CASE(the_nearest_limit_decides),
        CASE(growth_is_foreseen),
        CASE(what_is_no_growth),
        CASE(a_forecast_has_a_band),
        CASE(peaks_are_what_grows),
        CASE(one_jump_of_others_is_a_trend),
        CASE(others_that_creep),
        CASE(others_that_saw),
        CASE(others_whose_cache_is_not_known),
        CASE(what_is_own_is_not_known),
        CASE(each_sign),
        CASE(stalls_have_a_threshold_and_a_band),
        CASE(hits_that_file_cache_explains),
        CASE(impossible_stalls),
        CASE(nothing_is_known),
        CASE(a_fact_is_lost),
        CASE(time_that_runs_backwards),
        CASE(a_level_is_held),
        CASE(a_level_that_comes_back_is_held_longer),
        CASE(the_worst_that_can_be_done_in_a_day),
        CASE(noise_does_not_swing_the_level),
    };
    return RUN_CASES(cases);
}
