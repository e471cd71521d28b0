/* SPDX-License-Identifier: MIT
 * Whom the policy under pressure asks for how much and by when, when it refuses, when caches may grow, and what it tells. */
#include "press_stand.h"

#define FREE  EBB_PRESS_GIVE_FREE
#define SLABS EBB_PRESS_GIVE_SLABS
#define COLD  EBB_PRESS_GIVE_COLD
#define DIRTY EBB_PRESS_GIVE_DIRTY

static void can(struct stand *s, const unsigned mib[EBB_PRESS_GIVES])
{
    for (unsigned give = 0; give < EBB_PRESS_GIVES; give++)
        s->facts.can_bytes[give] = MB(mib[give]);
}

/* ---- the order ---- */

/* Below 10 GiB; yellow ends at 2560 MiB, orange at 1280, red at 512. */
static const struct {
    const char *what;
    unsigned room, can[EBB_PRESS_GIVES], ask[EBB_PRESS_GIVES];
    unsigned reach, want, lacks; /* MiB */
} orders[] = {
    {"green", 2600, {500, 500, 500, 500, 500, 500}, {0}, 0, 0, 0},
    {"yellow: free memory is enough", 2000, {600, 9, 9, 9, 900, 900}, {560}, 1, 560, 0},
    {"yellow: all slack in its order", 2000, {100, 50, 20, 900, 900, 900}, {100, 50, 20, 390}, 4, 560, 0},
    {"yellow: no frame, though slack is not enough", 2000, {100, 0, 0, 0, 900, 900}, {100}, 1, 560, 460},
    {"orange: slack to the end of yellow, no frame", 1000, {1560, 9, 9, 9, 900, 900}, {1560}, 1, 1560, 0},
    {"orange: frames only to the end of orange",
     1000,
     {100, 0, 0, 0, 900, 900},
     {100, 0, 0, 0, 180},
     5,
     280,
     0},
    {"orange: cold frames first, then dirty ones",
     1000,
     {0, 0, 0, 0, 230, 900},
     {0, 0, 0, 0, 230, 50},
     6,
     280,
     0},
    {"orange: no more than there is", 1000, {10, 0, 10, 0, 20, 30}, {10, 0, 10, 0, 20, 30}, 6, 280, 210},
    {"red: caches of threads are too slow", 500, {50, 900, 0, 0, 900, 0}, {50, 900, 0, 0, 730}, 5, 1680, 0},
    {"red: nobody has anything", 500, {0}, {0}, 0, 12, 12},
};

/* Rounded: 4 % of 10 GiB is no whole number of them. */
static uint64_t mib(uint64_t bytes)
{
    return (bytes + MB(1) / 2) >> 20;
}

static void the_order_of_giving(void)
{
    for (size_t i = 0; i < EBB_ARRAY_COUNT(orders); i++) {
        struct stand s;
        begin(&s);
        can(&s, orders[i].can);
        room(&s, MAX, GB(10), (int64_t)MB(orders[i].room));
        if (orders[i].room < 512)
            room(&s, MAX, GB(10), (int64_t)MB(400)); /* below the begin of red */
        step(&s, 1000);
        if (orders[i].room < 512) {
            EXPECT_EQ(s.actions.need, RED);
            room(&s, MAX, GB(10), (int64_t)MB(orders[i].room));
            memset(s.press.givers, 0, sizeof(s.press.givers)); /* as if it were the first time */
            step(&s, 1);
        }
        const struct ebb_press_actions *a = &s.actions;
        for (unsigned give = 0; give < EBB_PRESS_GIVES; give++)
            EXPECT_MSG(mib(a->ask_bytes[give]) == orders[i].ask[give], "%s: %s gives %" PRIu64 " MiB",
                       orders[i].what, ebb__press_give_name(give), a->ask_bytes[give] >> 20);
        EXPECT_MSG(a->reach == orders[i].reach, "%s: reach %u", orders[i].what, a->reach);
        EXPECT_MSG(mib(a->want_bytes) == orders[i].want, "%s: wants %" PRIu64 " MiB", orders[i].what,
                   a->want_bytes >> 20);
        EXPECT_MSG(mib(a->short_bytes) == orders[i].lacks, "%s: short of %" PRIu64 " MiB", orders[i].what,
                   a->short_bytes >> 20);
    }
}

/* What is asked replaces what was asked: room that came is not asked for again. */
static void what_came_is_not_asked_for_again(void)
{
    struct stand s;
    begin(&s);
    can(&s, (const unsigned[]){1000, 0, 0, 0, 0, 0});
    for (unsigned i = 0; i < 10; i++) {
        room(&s, MAX, GB(10), (int64_t)MB(2000 + 56 * i));
        s.facts.got_bytes[FREE] = i == 0 ? 0 : MB(56);
        step(&s, 250);
        EXPECT_EQ(s.actions.ask_bytes[FREE], MB(560 - 56 * i));
    }
    room(&s, MAX, GB(10), (int64_t)MB(2560));
    step(&s, 250);
    EXPECT(s.actions.need == GREEN && s.actions.want_bytes == 0);
}

/* Something cheap that does not come is asked for still, but not counted on; when it comes again, it is. */
static void who_brings_nothing_is_not_counted_on(void)
{
    struct stand s;
    begin(&s);
    can(&s, (const unsigned[]){0, 0, 300, 0, 900, 0});
    room(&s, MAX, GB(10), (int64_t)MB(1000)); /* 280 MiB to the end of orange */
    step(&s, 100);
    EXPECT_EQ(s.actions.ask_bytes[COLD], 0);
    for (unsigned i = 0; i < 10; i++)
        step(&s, 100);
    EXPECT_EQ(s.actions.ask_bytes[SLABS], MB(300));
    EXPECT_EQ(s.actions.ask_bytes[COLD], MB(280));
    s.facts.got_bytes[SLABS] = MB(20); /* 20 MiB in a second: 40 in the two that are left */
    step(&s, 100);
    uint64_t counted = MB(280) - s.actions.ask_bytes[COLD];
    EXPECT_MSG(counted >= MB(30) && counted <= MB(40), "%" PRIu64 " MiB", counted >> 20);
    s.facts.got_bytes[SLABS] = MB(300);
    step(&s, 100);
    EXPECT_EQ(s.actions.ask_bytes[COLD], 0);
}

/* Who brought all that was asked, though it was little, is believed to bring more. */
static void who_brings_all_is_counted_on(void)
{
    struct stand s;
    begin(&s);
    can(&s, (const unsigned[]){0, 0, 10, 0, 900, 0});
    room(&s, MAX, GB(10), (int64_t)MB(1000));
    step(&s, 100);
    EXPECT_EQ(s.actions.ask_bytes[COLD], MB(270));
    can(&s, (const unsigned[]){0, 0, 300, 0, 900, 0});
    s.facts.got_bytes[SLABS] = MB(10);
    step(&s, 100);
    EXPECT_EQ(s.actions.ask_bytes[COLD], 0);
}

/* 100 MiB/s for as long as one likes are 200 MiB in the two seconds of orange. */
static void a_steady_giver_is_measured_right(void)
{
    struct stand s;
    begin(&s);
    can(&s, (const unsigned[]){0, 0, 300, 0, 900, 0});
    room(&s, MAX, GB(10), (int64_t)MB(1000));
    step(&s, 100);
    for (unsigned i = 0; i < 300; i++) {
        s.facts.got_bytes[SLABS] = MB(10);
        step(&s, 100);
        EXPECT_MSG(mib(s.actions.ask_bytes[COLD]) == 80, "%" PRIu64 " MiB", mib(s.actions.ask_bytes[COLD]));
    }
}

/* And after a minute in which nobody asked it is believed again. */
static void what_was_slow_is_forgotten(void)
{
    struct stand s;
    begin(&s);
    can(&s, (const unsigned[]){0, 0, 300, 0, 900, 0});
    room(&s, MAX, GB(10), (int64_t)MB(1000));
    for (unsigned i = 0; i < 10; i++)
        step(&s, 100);
    EXPECT_EQ(s.actions.ask_bytes[COLD], MB(280));
    for (unsigned seconds = 59; seconds <= 60; seconds++) {
        room(&s, MAX, GB(10), (int64_t)GB(9));
        step(&s, seconds * 1000);
        room(&s, MAX, GB(10), (int64_t)MB(1000));
        step(&s, 1);
        EXPECT_EQ(s.actions.ask_bytes[COLD], seconds == 59 ? MB(280) : 0);
        step(&s, 100);
        step(&s, 100);
    }
}

static void dirty_frames_are_paced(void)
{
    struct stand s;
    begin(&s);
    can(&s, (const unsigned[]){0, 0, 0, 0, 0, 900});
    room(&s, MAX, GB(10), (int64_t)MB(1000));
    step(&s, 1000);
    EXPECT(s.actions.need == ORANGE && s.actions.within_ms == 2000);
    EXPECT_EQ(s.actions.ask_bytes[DIRTY], MB(280));
    EXPECT_EQ(s.actions.dirty_bytes_per_s, MB(140));
    EXPECT_EQ(s.actions.short_bytes,
              MB(205)); /* of which 75 in 1.5 s, for the first half second brings none */
}

/* ---- how soon, with how much ---- */

static void deadlines_and_effort(void)
{
    static const struct {
        int64_t room;
        uint32_t within_ms, look_ms, cpu_permille;
        unsigned urgency;
    } rows[] = {{8000, 0, 5000, 0, 0},
                {2600, 0, 431, 0, 0}, /* a burst may take an eighth of the limit in a second */
                {2000, 10000, 250, 20, 1},
                {1000, 2000, 100, 250, 2},
                {300, 250, 50, EBB_PRESS_CPU_ALL, 3},
                {0, 50, 50, EBB_PRESS_CPU_ALL, 3},
                {-10, 50, 50, EBB_PRESS_CPU_ALL, 3}};
    for (size_t i = 0; i < EBB_ARRAY_COUNT(rows); i++) {
        struct stand s;
        begin(&s);
        room(&s, MAX, GB(10), rows[i].room * (int64_t)MB(1));
        step(&s, 1000);
        EXPECT_EQ(s.actions.within_ms, rows[i].within_ms);
        EXPECT_EQ(s.actions.look_ms, s.actions.need == GREEN ? rows[i].look_ms : 25); /* it has just begun */
        step(&s, 500);
        EXPECT_EQ(s.actions.look_ms, rows[i].look_ms);
        EXPECT_EQ(s.actions.cpu_permille, rows[i].cpu_permille);
        EXPECT_EQ(s.actions.urgency, rows[i].urgency);
    }
}

/* Growth makes the deadline shorter: half of what is left. */
static void a_ramp_has_less_time(void)
{
    struct stand s;
    begin(&s);
    for (unsigned i = 0; i <= 50; i++) {
        room(&s, MAX, GB(10), (int64_t)MB(2400 - 20 * i)); /* 200 MiB/s */
        step(&s, 100);
    }
    EXPECT_EQ(s.actions.need, ORANGE);
    EXPECT_MSG(s.actions.within_ms <= 2000, "%u", s.actions.within_ms);
    for (unsigned i = 51; i <= 100; i++) {
        room(&s, MAX, GB(10), (int64_t)MB(2400 - 20 * i));
        step(&s, 100);
    }
    EXPECT(s.actions.need == RED);
    EXPECT_EQ(s.actions.within_ms, 250);
    for (unsigned i = 101; i <= 116; i++) {
        room(&s, MAX, GB(10), (int64_t)MB(2400 - 20 * i));
        step(&s, 100);
    }
    EXPECT_MSG(s.actions.within_ms >= 180 && s.actions.within_ms <= 220, "%u",
               s.actions.within_ms); /* 80 MiB left */
}

static void sleep_when_all_is_far(void)
{
    struct stand s;
    begin(&s);
    s.facts.wakes = true;
    room(&s, MAX, GB(10), (int64_t)MB(5121));
    step(&s, 1000);
    EXPECT_EQ(s.actions.look_ms, EBB_PRESS_NO_LOOK);
    s.facts.missing_bytes = 1; /* caches would like to grow */
    step(&s, 1000);
    EXPECT_EQ(s.actions.look_ms, 1000);
    s.facts.missing_bytes = 0;
    s.facts.wakes = false;
    step(&s, 1000);
    EXPECT_EQ(s.actions.look_ms, 5000);
    s.facts.wakes = true;
    room(&s, MAX, GB(10), (int64_t)MB(5120));
    step(&s, 1000);
    EXPECT_EQ(s.actions.look_ms, 2399); /* 3 GiB at an eighth of the limit in a second */
    room(&s, MAX, GB(10), (int64_t)MB(400));
    step(&s, 1000);
    room(&s, MAX, GB(10), (int64_t)MB(9000));
    step(&s, 1000); /* the level is held: until then at the latest */
    EXPECT_EQ(s.actions.look_ms, 9000);
    while (s.actions.look_ms != EBB_PRESS_NO_LOOK)
        step(&s, s.actions.look_ms);
    EXPECT_EQ(s.actions.level, GREEN);
    EXPECT_EQ(s.changes, 4);
}

/* Where no threshold tells of what others take: before a GiB a second could have come to the next level. */
static void look_often_where_nothing_tells(void)
{
    struct stand s;
    begin(&s); /* levels begin at 204.8, 102.4 and 40.96 MiB of room; a step is 16 MiB */
    s.facts.untold = true;
    s.facts.can_bytes[EBB_PRESS_GIVE_FREE] = MB(500);
    room(&s, MAX, GB(1), (int64_t)MB(520));
    step(&s, 1000);
    EXPECT_EQ(s.actions.look_ms, 315);
    room(&s, HIGH, MB(960), (int64_t)MB(456)); /* begins at 192 */
    step(&s, 315);
    EXPECT_EQ(s.actions.look_ms, 264);
    s.facts.limits[HIGH].limit_bytes = EBB_PRESS_UNLIMITED + 1;
    s.facts.can_bytes[EBB_PRESS_GIVE_FREE] = MB(15); /* not worth it */
    step(&s, 264);
    EXPECT_EQ(s.actions.look_ms, 5000);
    s.facts.can_bytes[EBB_PRESS_GIVE_FREE] = MB(500);
    s.facts.untold = false;
    step(&s, 1000);
    EXPECT_EQ(s.actions.look_ms, 5000);
    s.facts.untold = true;
    room(&s, MAX, GB(64), (int64_t)GB(40));
    step(&s, 1000);
    EXPECT_EQ(s.actions.look_ms, 5000);
    room(&s, MAX, GB(1), (int64_t)MB(210));
    step(&s, 1000);
    EXPECT_EQ(s.actions.look_ms, 25);
    room(&s, MAX, GB(1), (int64_t)MB(200));
    step(&s, 25);
    EXPECT(s.actions.need == YELLOW && s.actions.look_ms == 25);
    for (unsigned i = 0; i < 10; i++)
        step(&s, 100);
    EXPECT(s.actions.need == YELLOW && s.actions.look_ms == 97);
}

/* ---- refusing ---- */

static void hard_limits_refuse_at_last(void)
{
    struct stand s;
    begin(&s); /* red begins at 409.6 MiB */
    can(&s, (const unsigned[]){900, 0, 0, 0, 0, 0});
    room(&s, MAX, GB(10), (int64_t)MB(100));
    step(&s, 1000);
    EXPECT(s.actions.need == RED && !s.actions.refuse); /* it can be had in time */
    can(&s, (const unsigned[EBB_PRESS_GIVES]){0});
    room(&s, MAX, GB(10), (int64_t)MB(210));
    step(&s, 50);
    EXPECT(!s.actions.refuse && s.actions.short_bytes != 0); /* there is room still */
    room(&s, MAX, GB(10), (int64_t)MB(200));
    step(&s, 50);
    EXPECT(s.actions.refuse);
    can(&s, (const unsigned[]){900, 0, 0, 0, 0, 0});
    room(&s, MAX, GB(10), (int64_t)MB(409));
    step(&s, 50);
    EXPECT(s.actions.refuse); /* until the room is there */
    room(&s, MAX, GB(10), (int64_t)MB(410));
    step(&s, 50);
    EXPECT(!s.actions.refuse && s.actions.need == RED);
}

/* ---- growing ---- */

static void caches_grow_slowly_and_late(void)
{
    struct stand s;
    begin(&s);
    room(&s, MAX, GB(10), (int64_t)MB(5000));
    for (unsigned i = 1; i < 30; i++) {
        step(&s, 1000);
        EXPECT(!s.actions.may_grow);
    }
    step(&s, 1000);
    EXPECT_EQ(s.actions.grow_bytes, GB(10) / 100);
    step(&s, 500);
    EXPECT_EQ(s.actions.grow_bytes, GB(10) / 100 / 2);
    step(&s, 9000); /* not for all the time that nobody looked */
    EXPECT_EQ(s.actions.grow_bytes, GB(10) / 100);
    s.facts.stalls_known = true;
    step(&s, 2000);
    s.facts.some_us += 2000; /* a thousandth of the time: somebody waits */
    step(&s, 2000);
    EXPECT(s.actions.level == GREEN && !s.actions.may_grow);
    step(&s, 2000);
    EXPECT(s.actions.may_grow);
    room(&s, MAX, GB(10), (int64_t)MB(2560));
    step(&s, 1000);
    EXPECT(s.actions.level == GREEN && !s.actions.may_grow);
    room(&s, MAX, GB(10), (int64_t)MB(2000));
    step(&s, 1000);
    room(&s, MAX, GB(10), (int64_t)MB(5000));
    uint64_t low_ms = s.facts.now_ms;
    do
        step(&s, 1000);
    while (!s.actions.may_grow);
    EXPECT_EQ(s.facts.now_ms - low_ms, 90000); /* 60 s held, 30 s of green */
}

static void caches_do_not_grow_into_what_nobody_sees(void)
{
    struct stand s;
    begin(&s);
    room(&s, MAX, GB(10), (int64_t)MB(5000));
    room(&s, HOST, GB(64), (int64_t)GB(40));
    for (unsigned i = 0; i <= 30; i++)
        step(&s, 1000);
    EXPECT(s.actions.may_grow);
    s.facts.limits[HOST].known = false;
    for (unsigned i = 1; i < 60; i++) {
        step(&s, 1000);
        EXPECT(!s.actions.may_grow && s.actions.look_ms <= 1000);
    }
    step(&s, 1000);
    EXPECT(s.actions.may_grow);
}

/* Caches that take all they may have come to rest, in green. */
static void growing_ends_in_green(void)
{
    for (uint64_t limit = MB(256); limit <= GB(512); limit *= 8) {
        struct stand s;
        begin(&s);
        int64_t left = (int64_t)(limit / 10 * 9),
                end = (int64_t)ebb__press_leave_bytes(EBB_PRESS_OF_GROUP, YELLOW, limit);
        for (unsigned i = 0; i < 3000; i++) {
            room(&s, MAX, limit, left);
            step(&s, 1000);
            EXPECT_MSG(s.actions.level == GREEN, "in second %u with %" PRId64 " MiB", i, left >> 20);
            left -= (int64_t)s.actions.grow_bytes;
        }
        EXPECT_MSG(left >= end && left <= end + end / 50, "%" PRId64 " of %" PRId64 " MiB", left >> 20,
                   end >> 20);
    }
}

/* ---- calls, and stalls that nobody can end ---- */

static void a_call_is_answered(void)
{
    struct stand s;
    begin(&s);
    room(&s, MAX, GB(10), (int64_t)MB(9000));
    can(&s, (const unsigned[]){100, 0, 0, 0, 900, 0});
    step(&s, 1000);
    s.facts.calls = 1;
    step(&s, 1);
    EXPECT(s.actions.level == ORANGE && s.actions.cause == EBB_PRESS_CALL && s.actions.tell);
    EXPECT_EQ(s.actions.want_bytes, MB(160)); /* a 64th of the limit */
    EXPECT(s.actions.ask_bytes[FREE] == MB(100) && s.actions.ask_bytes[COLD] == MB(60));
    s.facts.got_bytes[FREE] = MB(100);
    can(&s, (const unsigned[]){0, 0, 0, 0, 900, 0});
    step(&s, 100);
    EXPECT(s.actions.want_bytes == MB(60) && s.actions.ask_bytes[COLD] == MB(60));
    s.facts.got_bytes[COLD] = MB(70);
    step(&s, 100);
    EXPECT(s.actions.want_bytes == 0 && s.actions.need == ORANGE);
    s.facts.calls = 1;
    s.facts.call_bytes = MB(777);
    step(&s, 100);
    EXPECT_EQ(s.actions.want_bytes, MB(777));
    step(&s, 1999);
    EXPECT_EQ(s.actions.want_bytes, MB(777));
    step(&s, 2); /* what has not come by then is not owed for ever */
    EXPECT(s.actions.want_bytes == 0 && s.actions.need == GREEN && s.actions.level == ORANGE);
}

static void call(struct stand *s, enum ebb_press_level level, uint64_t mib)
{
    s->facts.calls = 1;
    s->facts.call_level = level;
    s->facts.call_bytes = MB(mib);
    step(s, 100);
}

/* Who calls may say how bad it is, and how much he wants; that is what is done. */
static void a_call_may_name_its_level(void)
{
    struct stand s;
    begin(&s);
    room(&s, MAX, GB(10), (int64_t)MB(9000));
    can(&s, (const unsigned[]){100, 0, 0, 0, 900, 0});
    step(&s, 1000);
    call(&s, YELLOW, 130);
    EXPECT(s.actions.level == YELLOW && s.actions.cause == EBB_PRESS_CALL && s.actions.want_bytes == MB(130));
    EXPECT(s.actions.ask_bytes[FREE] == MB(100) && s.actions.ask_bytes[COLD] == 0);
    s.facts.got_bytes[FREE] = MB(100);
    can(&s, (const unsigned[]){0, 0, 0, 0, 900, 0});
    call(&s, ORANGE, 40); /* and the 30 that are still owed */
    EXPECT(s.actions.level == ORANGE && s.actions.want_bytes == MB(70) &&
           s.actions.ask_bytes[COLD] == MB(70));
    s.facts.got_bytes[COLD] = MB(70);
    call(&s, RED, 10);
    EXPECT(s.actions.level == RED && s.actions.want_bytes == MB(10));
    EXPECT_EQ(s.actions.cpu_permille, EBB_PRESS_CPU_ALL);
    s.facts.got_bytes[COLD] = MB(10);
    call(&s, YELLOW, 5); /* a milder one neither ends it nor makes it last, and counts when it is over */
    EXPECT(s.actions.need == RED && s.actions.ask_bytes[COLD] == 0); /* slack alone, and there is none */
    step(&s, 1899);
    EXPECT_EQ(s.actions.need, RED);
    step(&s, 2);
    EXPECT(s.actions.need == YELLOW && s.actions.want_bytes == MB(5));
    step(&s, 100);
    EXPECT_EQ(s.actions.need, GREEN);
    /* each level is held for its time after the last step that needed it, and they end in their order */
    static const unsigned held_s[] = {[YELLOW] = 60, [ORANGE] = 20, [RED] = 10};
    const uint64_t red_ms = s.facts.now_ms - 102, yellow_ms = s.facts.now_ms - 100;
    for (unsigned level = RED; level >= YELLOW; level--) {
        while (s.press.level == level)
            step(&s, 100);
        EXPECT_EQ(s.press.level, level - 1);
        uint64_t passed_ms = s.facts.now_ms - (level == YELLOW ? yellow_ms : red_ms);
        EXPECT(passed_ms >= held_s[level] * 1000 && passed_ms <= held_s[level] * 1000 + 100);
    }
}

static void a_call_without_any_limit(void)
{
    struct stand s;
    begin(&s);
    can(&s, (const unsigned[]){80, 0, 0, 0, 720, 0});
    s.facts.calls = 1;
    step(&s, 1);
    EXPECT(s.actions.level == ORANGE && s.actions.want_bytes == MB(100)); /* an eighth */
}

/* PSI that says all the time that everybody waits, while there is room: slack, ever more seldom. */
static void stalls_that_giving_does_not_end(void)
{
    struct stand s;
    begin(&s);
    room(&s, MAX, GB(10), (int64_t)MB(9000));
    can(&s, (const unsigned[]){1000, 0, 0, 0, 1000, 1000});
    s.facts.stalls_known = true;
    unsigned times = 0;
    for (unsigned i = 0; i < 6000; i++) { /* ten minutes */
        s.facts.some_us += 100000;
        s.facts.full_us += 100000;
        if (s.actions.ask_bytes[FREE] != 0 && i != 0)
            s.facts.got_bytes[FREE] = s.actions.ask_bytes[FREE];
        step(&s, 100);
        times += s.actions.want_bytes != 0;
        EXPECT(s.actions.need <= YELLOW && s.actions.want_bytes <= MB(160) && s.actions.reach <= 1);
    }
    EXPECT_MSG(times >= 10 && times <= 16, "%u times", times);
    EXPECT_EQ(s.changes, 1);
    for (unsigned i = 0; i < 70; i++)
        step(&s, 1000);
    EXPECT_EQ(s.actions.need, GREEN);
    times = 0; /* new ones are new: at 0, 2 and 6 s */
    for (unsigned i = 0; i < 100; i++) {
        s.facts.some_us += 100000;
        step(&s, 100);
        s.facts.got_bytes[FREE] = s.actions.ask_bytes[FREE];
        times += s.actions.want_bytes != 0;
    }
    EXPECT_EQ(times, 3);
}

/* Where the room says what is missing, stalls do not add to it. */
static void stalls_that_the_room_explains(void)
{
    struct stand s;
    begin(&s);
    room(&s, MAX, GB(10), (int64_t)MB(2000));
    can(&s, (const unsigned[]){1000, 0, 0, 0, 1000, 1000});
    s.facts.stalls_known = true;
    step(&s, 1000);
    room(&s, MAX, GB(10), (int64_t)MB(2550)); /* yellow ends at 2560 */
    s.facts.some_us += 900000;
    step(&s, 1000);
    EXPECT_EQ(s.actions.need, YELLOW);
    EXPECT_EQ(s.actions.want_bytes, MB(10));
}

/* ---- telling ---- */

static void subscribers_are_told_what_is_new(void)
{
    struct stand s;
    begin(&s);
    room(&s, MAX, GB(10), (int64_t)MB(9000));
    step(&s, 250);
    EXPECT(!s.actions.tell);
    room(&s, MAX, GB(10), (int64_t)MB(2000));
    step(&s, 250);
    EXPECT(s.actions.tell); /* the level, 560 MiB */
    room(&s, MAX, GB(10), (int64_t)MB(1900));
    step(&s, 250);
    EXPECT(!s.actions.tell); /* not a quarter more */
    room(&s, MAX, GB(10), (int64_t)MB(1850));
    step(&s, 250);
    EXPECT(s.actions.tell);
    for (unsigned i = 1; i <= 8; i++) {
        step(&s, 250);
        EXPECT(s.actions.tell == (i % 4 == 0)); /* once a second while it is wanted */
    }
    room(&s, MAX, GB(10), (int64_t)MB(9000));
    step(&s, 250);
    EXPECT(s.actions.tell && s.actions.want_bytes == 0 && s.actions.level == YELLOW); /* it is over */
    step(&s, 250);
    EXPECT(!s.actions.tell);
    step(&s, 60000);
    EXPECT(s.actions.tell && s.actions.level == GREEN);
}

/* ---- the ring ---- */

static void the_ring_keeps_what_was_done(void)
{
    struct ebb_press_ring ring = {0};
    struct ebb_press_actions a = {.limit = MAX};
    EXPECT(ebb__press_noted(&ring, 0) == NULL);
    EXPECT(!ebb__press_note(&ring, 100, &a, 0, 1)); /* nothing was done */
    a = (struct ebb_press_actions){.level = ORANGE,
                                   .need = YELLOW,
                                   .cause = EBB_PRESS_CALL,
                                   .limit = MAX,
                                   .reach = 5,
                                   .changed = true,
                                   .want_bytes = 70};
    EXPECT(ebb__press_note(&ring, 200, &a, 50, 3));
    a.changed = false;
    a.want_bytes = 20;
    EXPECT(ebb__press_note(&ring, 300, &a, 20, 2)); /* the same again */
    const struct ebb_press_record *r = ebb__press_noted(&ring, 0);
    EXPECT(r != NULL && ebb__press_noted(&ring, 1) == NULL);
    EXPECT(r->from_ms == 200 && r->last_ms == 300 && r->steps == 2 && r->want_bytes == 70 &&
           r->got_bytes == 70 && r->took_ms == 5 && r->level == ORANGE && r->need == YELLOW &&
           r->cause == EBB_PRESS_CALL && r->limit == MAX && r->reach == 5 && !r->refused);
    a.refuse = true;
    EXPECT(ebb__press_note(&ring, 310, &a, 0, 0));
    EXPECT(ebb__press_noted(&ring, 0)->refused && ebb__press_noted(&ring, 1) == r);
    for (unsigned i = 0; i < 200; i++) /* too far apart to be one */
        EXPECT(ebb__press_note(&ring, 5000 + i * 2001, &a, i, 0));
    EXPECT_EQ(ebb__press_noted(&ring, 0)->got_bytes, 199);
    EXPECT_EQ(ebb__press_noted(&ring, EBB_PRESS_RECORDS - 1)->got_bytes, 200 - EBB_PRESS_RECORDS);
    EXPECT(ebb__press_noted(&ring, EBB_PRESS_RECORDS) == NULL);
}

static void everything_has_a_name(void)
{
    for (unsigned cause = 0; cause < EBB_PRESS_CAUSES; cause++)
        EXPECT(strlen(ebb__press_cause_name((enum ebb_press_cause)cause)) > 4);
    for (unsigned limit = 0; limit <= EBB_PRESS_LIMITS; limit++)
        EXPECT(strlen(ebb__press_limit_name(limit)) > 4);
    for (unsigned give = 0; give <= EBB_PRESS_GIVES; give++)
        EXPECT(strlen(ebb__press_give_name(give)) > 4);
}

/* ---- anything ---- */

/* Facts without any sense: what always holds (press_stand.h) holds. */
static void random_facts(void)
{
    struct support_rng rng = {support_seed("random_facts")};
    struct stand s;
    begin(&s);
    for (unsigned i = 0; i < 300000; i++) {
        struct ebb_press_facts *f = &s.facts;
        unsigned kind = (unsigned)support_below(&rng, EBB_PRESS_LIMITS);
        struct ebb_press_limit *l = &f->limits[kind];
        if (support_below(&rng, 50) == 0)
            *l = (struct ebb_press_limit){support_below(&rng, 2) != 0,
                                          (uint32_t)support_below(&rng, 2),
                                          support_next(&rng) >> support_below(&rng, 64),
                                          0,
                                          0,
                                          false};
        l->used_bytes = support_below(&rng, 100) == 0
                            ? support_next(&rng)
                            : support_below(&rng, l->limit_bytes + l->limit_bytes / 8 + 1);
        l->clean_bytes = support_next(&rng) >> support_below(&rng, 64);
        f->stalls_known = support_below(&rng, 10) != 0;
        f->some_us += support_below(&rng, 100000);
        f->full_us += support_below(&rng, 50000);
        f->high_hits = support_below(&rng, 500) == 0;
        f->max_hits = support_below(&rng, 500) == 0;
        f->oom_hits = support_below(&rng, 5000) == 0;
        f->notices = support_below(&rng, 500) == 0;
        f->calls = support_below(&rng, 500) == 0;
        f->call_bytes = support_next(&rng) >> support_below(&rng, 64);
        f->call_level = (enum ebb_press_level)support_below(&rng, EBB_PRESS_LEVELS);
        f->own_bytes = support_next(&rng) >> support_below(&rng, 64);
        for (unsigned give = 0; give < EBB_PRESS_GIVES; give++) {
            f->can_bytes[give] = support_next(&rng) >> support_below(&rng, 64);
            f->got_bytes[give] = support_next(&rng) >> support_below(&rng, 64);
        }
        f->missing_bytes = support_below(&rng, 2);
        f->wakes = support_below(&rng, 2) != 0;
        step(&s, support_below(&rng, 1000) == 0 ? support_below(&rng, 10000000) : support_below(&rng, 400));
    }
    EXPECT(s.changes > 5);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(the_order_of_giving),
        CASE(what_came_is_not_asked_for_again),
        CASE(who_brings_nothing_is_not_counted_on),
        CASE(who_brings_all_is_counted_on),
        CASE(a_steady_giver_is_measured_right),
        CASE(what_was_slow_is_forgotten),
        CASE(dirty_frames_are_paced),
        CASE(deadlines_and_effort),
        CASE(a_ramp_has_less_time),
        CASE(sleep_when_all_is_far),
        CASE(look_often_where_nothing_tells),
        CASE(hard_limits_refuse_at_last),
        CASE(caches_grow_slowly_and_late),
        CASE(caches_do_not_grow_into_what_nobody_sees),
        CASE(growing_ends_in_green),
        CASE(a_call_is_answered),
        CASE(a_call_may_name_its_level),
        CASE(a_call_without_any_limit),
        CASE(stalls_that_giving_does_not_end),
        CASE(stalls_that_the_room_explains),
        CASE(subscribers_are_told_what_is_new),
        CASE(the_ring_keeps_what_was_done),
        CASE(everything_has_a_name),
        CASE(random_facts),
    };
    return RUN_CASES(cases);
}
