/* SPDX-License-Identifier: MIT
 *
 * The policy under pressure over synthetic ramps, on a simulated process (press_world.h): the limit is not passed as long as enough can be
 * given in time, nothing is given that need not be, the cheap before the dear, and levels do not swing.
 */
#include "press_world.h"

#define FREE    EBB_PRESS_GIVE_FREE
#define REGIONS EBB_PRESS_GIVE_REGIONS
#define COLD    EBB_PRESS_GIVE_COLD
#define DIRTY   EBB_PRESS_GIVE_DIRTY

/* How much the process has taken after so many milliseconds. */
typedef uint64_t (*demand_fn)(uint64_t ms, uint64_t limit);

struct ramp {
    const char *name;
    demand_fn demand;
    bool by_hog; /* another process of the cgroup takes it */
    unsigned seconds;
    unsigned cold_most; /* of the pool's clean frames may go, in percent of the limit */
    unsigned changes_most;
};

static uint64_t linear(uint64_t ms, uint64_t limit)
{
    return ebb__min(limit / 100 * ms / 1000, limit / 10 * 4); /* 1 % of the limit in a second, up to 40 % */
}

static uint64_t fast(uint64_t ms, uint64_t limit)
{
    return ebb__min(limit / 12 * ms / 1000, limit / 10 * 4);
}

/* Doubles each second, from a 500th of the limit on. */
static uint64_t burst(uint64_t ms, uint64_t limit)
{
    uint64_t n = limit / 500 << ebb__min(ms / 1000, 16);
    return ebb__min(n + n * (ms % 1000) / 1000, limit / 10 * 4);
}

/* To 15 % and back each two seconds. */
static uint64_t saw_tooth(uint64_t ms, uint64_t limit)
{
    return limit / 100 * 15 * (ms % 2000) / 2000;
}

/* To and fro by 1 % around the begin of yellow, of orange: what is in the pool fills up to there. */
static uint64_t noise_around(uint64_t ms, uint64_t limit, enum ebb_press_level level)
{
    uint64_t enter = ebb__press_enter_bytes(EBB_PRESS_OF_GROUP, level, limit), start = limit / 10 * 6;
    uint64_t z = ms / 100 * UINT64_C(0x9e3779b97f4a7c15);
    return limit - start - enter - limit / 200 + limit / 100 * (z >> 54) / 1024;
}

static uint64_t noise_yellow(uint64_t ms, uint64_t limit)
{
    return noise_around(ms, limit, YELLOW);
}

static uint64_t noise_orange(uint64_t ms, uint64_t limit)
{
    return noise_around(ms, limit, ORANGE);
}

static uint64_t noise_red(uint64_t ms, uint64_t limit)
{
    return noise_around(ms, limit, RED);
}

static uint64_t one_step(uint64_t ms, uint64_t limit)
{
    return ms < 5000 ? 0 : limit / 100 * 36;
}

/* Out of nothing half of the limit in a second, as fast as a machine can. */
static uint64_t sudden(uint64_t ms, uint64_t limit)
{
    return ms < 5000 ? 0 : ebb__min(ebb__min(limit / 2, GB(2)) * (ms - 5000) / 1000, limit / 10 * 4);
}

static const struct ramp ramps[] = {
    {"linear", linear, false, 120, 15, 8},
    {"fast", fast, false, 60, 15, 8},
    {"burst", burst, false, 60, 15, 8},
    {"saw tooth", saw_tooth, false, 120, 0, 0},
    {"hog", linear, true, 120, 15, 8},
    {"fast hog", fast, true, 60, 15, 8},
    {"sudden hog", sudden, true, 60, 15, 8},
    {"step", one_step, false, 60, 10, 6},
    {"noise at yellow", noise_yellow, true, 600, 0, 4},
    {"noise at orange", noise_orange, true, 600, 10, 8},
    {"noise at red", noise_red, true, 600, 20, 10},
};

/* Six tenths of the limit are in use, four of them could be given. */
static void furnish(struct world *w, uint64_t limit)
{
    create(w, limit, 10);
    w->firm = limit / 10 * 2;
    w->piles[FREE].bytes = limit / 100 * 3;
    w->piles[REGIONS].bytes = limit / 100 * 2;
    w->piles[COLD].bytes = limit / 100 * 25;
    w->piles[DIRTY].bytes = limit / 100 * 10;
    for (unsigned give = 0; give < EBB_PRESS_GIVES;
         give++) /* a large host is as much faster as it is larger */
        w->piles[give].bytes_per_s =
            ebb__max(w->piles[give].bytes_per_s, limit / 5 * (give == DIRTY ? 1 : 4) / 4);
}

static void run(const struct ramp *r, uint64_t limit)
{
    struct world w;
    furnish(&w, limit);
    uint64_t start_ms = w.stand.facts.now_ms, had = 0;
    for (uint64_t ms = 0; ms < r->seconds * 1000; ms += 10) {
        uint64_t want = r->demand(ms, limit);
        if (r->by_hog)
            w.hog = want;
        else if (want > had ? take(&w, want - had) : (give_free(&w, had - want), true))
            had = want;
        tick(&w, start_ms + ms);
    }
    const struct stand *s = &w.stand;
    (void)printf("%-16s %7" PRIu64 " MiB: peak %2" PRIu64 " %%, level %u, %u changes, %" PRIu64
                 " looks, gave",
                 r->name, limit >> 20, w.peak / (limit / 100), s->press.level, s->changes, w.looks);
    for (unsigned give = 0; give < EBB_PRESS_GIVES; give++)
        (void)printf(" %" PRIu64, w.piles[give].given_bytes / (limit / 1000));
    (void)printf(" in 1000\n");
    EXPECT_MSG(w.over_ms == 0, "%s: for %" PRIu64 " ms beyond the limit", r->name, w.over_ms);
    EXPECT_MSG(w.refusals == 0, "%s: refused", r->name);
    EXPECT_MSG(s->changes <= r->changes_most, "%s: %u changes", r->name, s->changes);
    EXPECT_MSG(w.piles[COLD].given_bytes <= limit / 100 * r->cold_most,
               "%s: gave %" PRIu64 " MiB of cold frames", r->name, w.piles[COLD].given_bytes >> 20);
    for (unsigned give = 0; give < EBB_PRESS_GIVES; give++)
        EXPECT_MSG(w.given_in[GREEN][give] == 0, "%s: gave in green", r->name);
    EXPECT_MSG(w.given_in[YELLOW][COLD] == 0 && w.given_in[YELLOW][DIRTY] == 0, "%s: gave frames in yellow",
               r->name);
    EXPECT_MSG(w.piles[DIRTY].given_bytes <= limit / 100, "%s: gave dirty frames, and had clean ones",
               r->name);
}

static void each_ramp(void)
{
    static const uint64_t limits[] = {MB(256), GB(2), GB(64), GB(512)};
    for (size_t i = 0; i < EBB_ARRAY_COUNT(ramps); i++)
        for (size_t j = 0; j < EBB_ARRAY_COUNT(limits); j++)
            run(&ramps[i], limits[j]);
}

/* What goes on for so long, with whatever the caller changes before. */
static void pass(struct world *w, uint64_t *now_ms, uint64_t ms)
{
    for (uint64_t end_ms = *now_ms + ms; *now_ms < end_ms; *now_ms += 10)
        tick(w, *now_ms);
}

/* Another process takes memory as fast as it can touch it: what is free is his before he has met the limit. */
static void what_is_free_goes_to_a_hog(void)
{
    struct world w;
    create(&w, GB(1), 1);
    w.firm = MB(50);
    w.piles[FREE].bytes = MB(500);
    w.hog = MB(240);
    uint64_t now_ms = w.stand.facts.now_ms, event_ms = 0;
    for (; now_ms < 1000000 + 2000; now_ms++)
        tick(&w, now_ms);
    EXPECT(w.stand.press.level == GREEN && w.piles[FREE].bytes == MB(500));
    for (; w.piles[FREE].bytes != 0 && now_ms < 1000000 + 5000; now_ms++) {
        w.hog = ebb__min(w.hog + MB(1), MB(930));
        event_ms = w.was_near && event_ms == 0 ? now_ms : event_ms;
        tick(&w, now_ms);
    }
    EXPECT(event_ms != 0 && w.piles[FREE].bytes == 0 && w.over_ms == 0);
    EXPECT_MSG(now_ms - event_ms < 300, "%" PRIu64 " ms", now_ms - event_ms);
    EXPECT(w.stand.press.level == RED);
}

/* The limit is lowered to nine tenths of what is used, as an operator may do: all that is needed is given, in its order, and no more. */
static void a_limit_lowered_below_usage(void)
{
    struct world w;
    furnish(&w, GB(8));
    uint64_t now_ms = w.stand.facts.now_ms, before = used(&w);
    pass(&w, &now_ms, 10000);
    EXPECT(used(&w) == before && w.stand.changes == 0);
    w.limit = before / 10 * 9;
    w.look_ms = now_ms; /* the kernel tells of it */
    pass(&w, &now_ms, 100);
    EXPECT_EQ(w.stand.press.level, RED);
    pass(&w, &now_ms, 10000);
    uint64_t left = w.limit - used(&w), leave = ebb__press_leave_bytes(EBB_PRESS_OF_GROUP, ORANGE, w.limit);
    EXPECT_MSG(w.over_ms <= 1000, "for %" PRIu64 " ms", w.over_ms);
    EXPECT(w.piles[FREE].bytes == 0 && w.piles[REGIONS].bytes == 0);
    EXPECT_MSG(left >= leave && left <= leave + leave / 5,
               "%" PRIu64 " MiB are left, %" PRIu64 " were wanted", left >> 20, leave >> 20);
}

/* Nothing is left to give: hard limits refuse before the limit is hit, and no longer than they must. */
static void a_ramp_that_nobody_can_meet(void)
{
    struct world w;
    furnish(&w, GB(2));
    for (unsigned give = 0; give < EBB_PRESS_GIVES; give++)
        w.piles[give].bytes = 0;
    uint64_t now_ms = w.stand.facts.now_ms, had = 0;
    for (; now_ms < 1000000 + 60000; now_ms += 10) {
        if (take(&w, MB(2)) && had < GB(3)) /* 200 MiB/s, until it is refused */
            had += MB(2);
        tick(&w, now_ms);
    }
    EXPECT(w.over_ms == 0 && w.refusals != 0 && w.stand.press.level == RED);
    uint64_t red = ebb__press_enter_bytes(EBB_PRESS_OF_GROUP, RED, GB(2));
    EXPECT_MSG(GB(2) - used(&w) <= red, "%" PRIu64 " MiB are left", (GB(2) - used(&w)) >> 20);
    give_free(&w, MB(200));
    pass(&w, &now_ms, 1000);
    EXPECT(!w.stand.actions.refuse);
}

/* The limit can be read only half of the time, ten seconds in twenty: the ramp is met all the same, and levels do not swing. */
static void facts_that_come_and_go(void)
{
    struct world w;
    furnish(&w, GB(2));
    uint64_t now_ms = w.stand.facts.now_ms, had = 0;
    for (uint64_t ms = 0; ms < 300000; ms += 10, now_ms += 10) {
        uint64_t want = linear(ms / 4, GB(2));
        w.blind = ms / 10000 % 2 == 1;
        if (want > had && take(&w, want - had))
            had = want;
        tick(&w, now_ms);
    }
    EXPECT(w.over_ms == 0 && w.refusals == 0);
    EXPECT_MSG(w.stand.changes <= 6, "%u changes", w.stand.changes);
}

/* PSI that says that everybody waits, all the time: with room enough it costs slack and no frame; with little it costs no more than what
 * the room calls for and a step each now and then. */
static void stalls_that_are_a_lie(void)
{
    struct world w;
    furnish(&w, GB(8));
    w.lied_permille = 900;
    uint64_t now_ms = w.stand.facts.now_ms;
    pass(&w, &now_ms, 3600000);
    EXPECT(w.piles[COLD].given_bytes == 0 && w.piles[DIRTY].given_bytes == 0 && w.stand.changes == 1);
    EXPECT(w.piles[FREE].given_bytes != 0);
    furnish(&w, GB(8));
    w.lied_permille = 900;
    w.hog = GB(8) / 100 * 22; /* yellow */
    now_ms = w.stand.facts.now_ms;
    pass(&w, &now_ms, 600000);
    EXPECT(w.stand.press.level <= ORANGE);
    EXPECT_MSG(w.piles[COLD].given_bytes <= GB(8) / 20, "%" PRIu64 " MiB", w.piles[COLD].given_bytes >> 20);
    (void)printf("a lie in yellow: %" PRIu64 " MiB of 8 GiB in frames\n", w.piles[COLD].given_bytes >> 20);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(each_ramp),
        CASE(what_is_free_goes_to_a_hog),
        CASE(a_limit_lowered_below_usage),
        CASE(a_ramp_that_nobody_can_meet),
        CASE(facts_that_come_and_go),
        CASE(stalls_that_are_a_lie),
    };
    return RUN_CASES(cases);
}
