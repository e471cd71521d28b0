/* SPDX-License-Identifier: MIT
 *
 * A day of a database server with a budget of its own, compressed by the fake clock: the real ledger with its accounts, limits and
 * shrinkers, the real heap and its regions, and the background thread's part, which hears of the limit from the ledger, asks the policy, and
 * gives. Only what the server wants is made up, and follows from the seed:
 *
 *     queries      1.5 GiB, and up to 1.5 GiB more by the time of day; noise; each hour at :07, for ten minutes, 1.2 GiB more
 *     statements   a region that is used each second, small mostly, and then keeps what it had
 *     the heap     a job each ten minutes takes up to 60 MiB of blocks for a minute
 *     a pool       of 4 GiB of frames, a quarter of it dirty; it grows while the level has been green for half a minute
 *
 * Whatever happens, levels change seldom, the hard limit is never passed, and in the end each account is what its owner holds.
 */
#include "../ledger/ledger_test.h"
#include "governor_test.h"

#include "governor/act_priv.h"
#include "region/region.h"

#define DAY_S       86400u
#define LIMIT_BYTES EBB_GIB(7)
#define SOFT_BYTES  (LIMIT_BYTES - EBB_MIB(512))
#define POOL_BYTES  EBB_GIB(4)
#define CHANGES_MAX 30u /* what budget.md says somebody could do who knows the policy */

static struct {
    struct support_rng rng;
    int64_t noise;
    struct ebb_budget_account *queries, *statements;
    size_t query_bytes;
    struct giver cold, dirty;
    struct ebb_region *region;
    unsigned green_s, changes, level, refusals, per_level_s[EBB_PRESS_LEVELS];
    size_t grown, spoilt;
} day;

static bool no_table(void)
{
    return false;
}

/* 0 at 02:00, 1000 at 14:00, by parabolas. */
static uint64_t daylight_permille(unsigned second)
{
    uint64_t x = (uint64_t)((second + DAY_S - 7200) % DAY_S) * 2000 / DAY_S;
    x = x > 1000 ? 2000 - x : x;
    return x < 500 ? x * x / 500 : 1000 - (1000 - x) * (1000 - x) / 500;
}

static size_t wanted_bytes(unsigned second)
{
    day.noise += (int64_t)support_below(&day.rng, EBB_MIB(24)) - (int64_t)EBB_MIB(12) - day.noise / 50;
    unsigned in_hour = second % 3600;
    size_t batch = in_hour >= 420 && in_hour < 1020 ? ebb__min(in_hour - 419, 60) * EBB_MIB(20) : 0;
    return (size_t)((int64_t)(EBB_MIB(1536) + EBB_MIB(1536) / 1000 * daylight_permille(second) + batch) +
                    day.noise);
}

static void run_queries(unsigned second)
{
    size_t wanted = wanted_bytes(second);
    if (wanted < day.query_bytes) {
        ebb__ledger_uncharge_credit(day.queries, day.query_bytes - wanted);
        day.query_bytes = wanted;
        return;
    }
    for (size_t part; day.query_bytes < wanted;
         day.query_bytes += part) { /* as they come, and each is somebody's */
        part = ebb__min(wanted - day.query_bytes, support_between(&day.rng, EBB_KIB(16), EBB_MIB(8)));
        if (ebb__ledger_charge_credit(day.queries, part) != 0) {
            day.refusals++;
            return;
        }
    }
}

static void run_statements(void)
{
    size_t bytes = support_below(&day.rng, 60) == 0 ? EBB_MIB(8) : EBB_KIB(40);
    for (size_t done = 0; done < bytes; done += 4000)
        if (ebb__region_alloc(day.region, 4000, 1) == NULL)
            day.refusals++;
    ebb__region_reset(day.region, EBB_REGION_KEEP_ALL);
}

static void run_jobs(unsigned second)
{
    if (second % 600 == 300)
        take((unsigned)support_between(&day.rng, 20, 60));
    else if (second % 600 == 360)
        give(span_count);
}

static void move(struct giver *from, struct giver *to, size_t bytes)
{
    from->has -= bytes;
    ebb__ledger_uncharge(from->account, bytes);
    EXPECT_EQ(ebb__ledger_charge(to->account, bytes), 0); /* it was there a moment ago */
    to->has += bytes;
}

static void run_pool(void)
{
    size_t all = day.cold.has + day.dirty.has,
           spoilt = ebb__min(all / 4 - ebb__min(all / 4, day.dirty.has), EBB_MIB(20));
    spoilt = ebb__min(spoilt, day.cold.has);
    if (spoilt != 0)
        move(&day.cold, &day.dirty, spoilt);
    day.spoilt += spoilt;
    size_t more = ebb__min(POOL_BYTES - all, LIMIT_BYTES / 100);
    if (day.green_s < 30 || more == 0 || ebb__ledger_headroom(day.cold.account) < LIMIT_BYTES / 8 ||
        ebb__ledger_charge_try(day.cold.account, more) != 0)
        return;
    day.cold.has += more;
    day.grown += more;
}

static void pass_a_second(unsigned second)
{
    uint64_t payload, end_ms = ebb_fake.now_ms + 1000;
    nap_count = 0;
    ebb__act_attend(no_table);
    if (second % 10 == 0)
        (void)ebb__upkeep_tick();
    while (ebb_fake.now_ms < end_ms)
        (void)ebb__act_sleep(end_ms - ebb_fake.now_ms, &payload);
    unsigned level = (unsigned)ebb__ledger_level();
    day.changes += level != day.level;
    day.level = level;
    day.per_level_s[level]++;
    day.green_s = level == EBB_PRESS_GREEN ? day.green_s + 1 : 0;
}

/* ---- the sums ---- */

static size_t region_bytes(void)
{
    struct ebb_region_stats s;
    ebb__region_stats(day.region, &s);
    return s.held_bytes;
}

static void expect_exact(void)
{
    const struct ebb_budget_account *process = &ebb__ledger_process;
    EXPECT_EQ(ebb__ledger_exact(day.queries), day.query_bytes);
    EXPECT_EQ(ebb__ledger_exact(day.cold.account), day.cold.has);
    EXPECT_EQ(ebb__ledger_exact(day.dirty.account), day.dirty.has);
    EXPECT_EQ(ebb__ledger_exact(day.statements), region_bytes());
    size_t sum = ebb__ledger_exact(&ebb__ledger_heap) + ebb__ledger_exact(&ebb__ledger_untracked) +
                 day.query_bytes + day.cold.has + day.dirty.has;
    EXPECT_EQ(ebb__ledger_exact(process), sum);
    EXPECT(stats_of(process).peak_bytes <= LIMIT_BYTES);
    EXPECT_EQ(ebb__region_check(day.region), 0);
    EXPECT_EQ(ebb__heap_check(), 0); /* the heap's account among others */
    EXPECT_WHOLE();
}

static void begin_day(uint64_t seed)
{
    ebb__conf.pressure = 0; /* no cgroup; what this machine says of itself is not part of the day */
    ebb__conf.limit = (long)SOFT_BYTES;
    ebb__conf.hard_limit = (long)LIMIT_BYTES;
    start();
    day.rng.state = seed;
    day.queries = made(NULL, "queries");
    day.statements = made(&ebb__ledger_heap, "statements");
    (void)ebb__ledger_limit(day.statements, EBB_BUDGET_HARD, (int64_t)EBB_MIB(64));
    const struct ebb_region_options o = {.size_of_struct = sizeof(o), .account = day.statements};
    EXPECT((day.region = ebb__region_create(&o)) != NULL);
    give_from(&day.cold, made(NULL, "clean frames"), POOL_BYTES / 4 * 3, 200);
    give_from(&day.dirty, made(NULL, "dirty frames"), POOL_BYTES / 4, 300);
}

/* Everything that shrinkers gave, and what they were before and after, is one sum. */
static void end_day(void)
{
    struct ebb_ledger_stats s = whole();
    size_t frames = POOL_BYTES + day.grown - day.cold.has - day.dirty.has;
    (void)printf("%u changes; green %u s, yellow %u s, orange %u s, red %u s; %u refusals; %zu looks, %zu "
                 "steps; frames given "
                 "%zu MiB, grown again %zu MiB; shrinkers gave %zu MiB\n",
                 day.changes, day.per_level_s[EBB_PRESS_GREEN], day.per_level_s[EBB_PRESS_YELLOW],
                 day.per_level_s[EBB_PRESS_ORANGE], day.per_level_s[EBB_PRESS_RED], day.refusals,
                 (size_t)EBB_COUNTED(limit_looks), (size_t)EBB_COUNTED(pressure_looks), frames >> 20,
                 day.grown >> 20, (size_t)s.reclaimed_bytes >> 20);
    EXPECT_MSG(day.changes <= CHANGES_MAX && day.changes >= 2, "%u changes", day.changes);
    EXPECT(s.reclaimed_bytes >= frames && frames != 0);
    EXPECT_EQ(day.refusals, 0);
    ebb__ledger_uncharge_credit(day.queries, day.query_bytes);
    ebb__ledger_uncharge(day.cold.account, day.cold.has);
    ebb__ledger_uncharge(day.dirty.account, day.dirty.has);
    day.query_bytes = day.cold.has = day.dirty.has = 0;
    ebb__region_destroy(day.region);
    give(span_count);
    ebb__ledger_thread_flush();
    EXPECT_EQ(ebb__ledger_exact(day.queries) + ebb__ledger_exact(day.statements), 0);
    EXPECT_EQ(ebb__ledger_destroy(day.queries) + ebb__ledger_destroy(day.statements), 0);
    EXPECT_EQ(ebb__ledger_exact(&ebb__ledger_process),
              ebb__ledger_exact(&ebb__ledger_heap) + ebb__ledger_exact(&ebb__ledger_untracked));
    EXPECT_EQ(ebb__heap_check(), 0);
    EXPECT_WHOLE();
    ebb__act_end();
}

/* Days are data: always the same ones, unless SEED asks for another. */
static void a_day(uint64_t nth)
{
    begin_day(support_env_number("SEED", nth));
    for (unsigned second = 0; second < DAY_S; second++) {
        run_queries(second);
        run_statements();
        run_jobs(second);
        run_pool();
        pass_a_second(second);
        if (second % 3600 == 1000)
            expect_exact();
    }
    expect_exact();
    end_day();
}

static void the_first_day(void)
{
    a_day(1);
}

static void the_second_day(void)
{
    a_day(2);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(the_first_day),
        CASE(the_second_day),
    };
    small_reservations();
    return RUN_CASES(cases);
}
