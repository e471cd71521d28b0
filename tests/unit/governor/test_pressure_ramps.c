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

static const struct ramp ramps[] = {
    {"linear", linear, false, 120, 15, 8},
    {"fast", fast, false, 60, 15, 8},
    {"burst", burst, false, 60, 15, 8},
    {"saw tooth", saw_tooth, false, 120, 0, 0},
    {"hog", linear, true, 120, 15, 8},
    {"fast hog", fast, true, 60, 15, 8},
    {"step", one_step, false, 60, 10, 6},
    {"noise at yellow", noise_yellow, true, 600, 0, 4},
    {"noise at orange", noise_orange, true, 600, 10, 8},
    {"noise at red", noise_red, true, 600, 20, 10},
};

static void run(const struct ramp *r, uint64_t limit)
{
    struct world w;
    create(&w, limit, 10);
    w.firm = limit / 10 * 2;
    w.piles[FREE].bytes = limit / 100 * 3;
    w.piles[REGIONS].bytes = limit / 100 * 2;
    w.piles[COLD].bytes = limit / 100 * 25;
    w.piles[DIRTY].bytes = limit / 100 * 10;
    for (unsigned give = 0; give < EBB_PRESS_GIVES;
         give++) /* a large host is as much faster as it is larger */
        w.piles[give].bytes_per_s =
            ebb__max(w.piles[give].bytes_per_s, limit / 5 * (give == DIRTY ? 1 : 4) / 4);
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
    EXPECT_MSG(w.given_in[YELLOW][COLD] == 0 || w.piles[COLD].delay_ms != 0, "%s", r->name);
}

static void each_ramp(void)
{
    static const uint64_t limits[] = {MB(256), GB(2), GB(64), GB(512)};
    for (size_t i = 0; i < EBB_ARRAY_COUNT(ramps); i++)
        for (size_t j = 0; j < EBB_ARRAY_COUNT(limits); j++)
            run(&ramps[i], limits[j]);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(each_ramp),
    };
    return RUN_CASES(cases);
}
