/* SPDX-License-Identifier: MIT
 *
 * What regions keep, and who comes for it: the background thread when it is idle, whoever meets a limit, and pressure.
 */
#include "governor_test.h"

#include "../ledger/ledger_test.h"
#include "governor/act_priv.h"
#include "region/region.h"

static struct ebb_region *region;

static size_t kept(void)
{
    struct ebb_region_stats s;
    ebb__region_stats(region, &s);
    return s.kept_bytes;
}

/* Uses some blocks of 8 to 64 KiB, and keeps them. */
static void use(void)
{
    for (unsigned i = 0; i < 100; i++)
        EXPECT(ebb__region_alloc(region, 1000, 1) != NULL);
    ebb__region_reset(region, EBB_REGION_KEEP_ALL);
}

static unsigned uses;

static void use_while_it_naps(void)
{
    if (uses >= 20)
        return;
    uses++;
    EXPECT(kept() != 0); /* a region at work keeps what it has */
    use();
}

/* The region is all that the process has to give. */
static void idle_regions_are_emptied(void)
{
    start();
    region = ebb__region_create(NULL);
    use();
    serve();
    EXPECT_EQ(ebb_fake.threads_started, 1);
    while_napping = use_while_it_naps;
    while_asleep = finish_at_once;
    uint64_t start_ms = ebb_fake.now_ms;
    ebb_fake_thread_run();
    EXPECT_EQ(uses, 20);
    EXPECT_EQ(kept(), 0);
    EXPECT(!ebb__region_is_any_kept());
    EXPECT_MSG(ebb_fake.now_ms - start_ms < 20 * 2000 + 6000, "%" PRIu64 " ms", ebb_fake.now_ms - start_ms);
    EXPECT_EQ(ebb__region_check(region), 0);
}

static void use_and_serve(unsigned nth)
{
    if (nth == 2) {
        EXPECT_EQ(kept(), 0);
        finish();
        return;
    }
    EXPECT_EQ(atomic_load(&ebb__governor_awake), 0);
    use();
    serve();
    EXPECT_EQ(ebb_fake.wakes, 1);
}

/* The thread sleeps for good; a region that keeps something wakes it. */
static void a_sleeper_is_woken(void)
{
    start();
    region = ebb__region_create(NULL);
    take(60);
    give(60);
    serve();
    while_asleep = use_and_serve;
    ebb_fake_thread_run();
    EXPECT_EQ(kept(), 0);
}

/* Without the thread who comes by in a slow path does it, but not at once. */
static void pieces_do_it_too(void)
{
    ebb__conf.bg = 0;
    start();
    region = ebb__region_create(NULL);
    use();
    size_t before = kept();
    for (unsigned i = 0; i < 40; i++) {
        ebb_fake.now_ms += 10;
        serve();
    }
    EXPECT_EQ(kept(), before);
    for (unsigned i = 0; i < 150; i++) {
        ebb_fake.now_ms += 10;
        serve();
    }
    EXPECT_EQ(kept(), 0);
}

static void a_trim_does_it_at_once(void)
{
    start();
    region = ebb__region_create(NULL);
    use();
    EXPECT(kept() != 0);
    (void)ebb__governor_trim(0);
    EXPECT_EQ(kept(), 0);
}

/* ---- the budget ---- */

/* Keeps so much in blocks of 1 MiB at most. */
static void keep(unsigned mib)
{
    for (unsigned i = 0; i < mib * 1024; i++)
        EXPECT(ebb__region_alloc(region, 1000, 1) != NULL);
    ebb__region_reset(region, EBB_REGION_KEEP_ALL);
    EXPECT(kept() >= EBB_MIB(mib) * 9 / 10);
}

/* Far from the limit nobody gives anything. Near it free memory goes first, then
 * what regions keep, then what is dearer. */
static void a_limit_asks_when_there_is_no_room(void)
{
    static struct giver frames;
    ebb__conf.limit = (long)EBB_GIB(64); /* so that somebody looks */
    ebb__conf.pressure = 0;
    start();
    region = ebb__region_create(NULL);
    keep(40);
    size_t before = kept();
    give_from(&frames, made(NULL, "frames"), EBB_MIB(4), 200);
    /* from what is used now, whatever a sanitizer adds to RSS */
    size_t limit = ebb__ledger_used(&ebb__ledger_process) + EBB_MIB(100);
    (void)ebb__ledger_limit(&ebb__ledger_process, EBB_BUDGET_SOFT, (int64_t)limit);
    ebb__ledger_look = NULL; /* which would measure RSS, and a sanitizer's is large */
    (void)ebb__ledger_look_point(EBB_BUDGET_UNLIMITED);
    take(60);
    EXPECT(kept() == before && frames.asked == 0);
    give(20);
    take(20); /* free memory serves */
    EXPECT(kept() == before && frames.asked == 0);
    take(60); /* 20 more than there is room for */
    EXPECT_MSG(kept() <= before - EBB_MIB(18) && frames.asked == 0,
               "%zu of %zu MiB are kept, frames asked %u times", kept() >> 20, before >> 20, frames.asked);
    EXPECT_MSG(ebb__ledger_used(&ebb__ledger_process) <= limit, "%zu of %zu MiB",
               ebb__ledger_used(&ebb__ledger_process) >> 20, limit >> 20);
    take(40); /* when they have nothing left, frames */
    EXPECT(kept() == 0 && frames.asked != 0 && frames.has == 0);
    EXPECT_EQ(ebb__region_check(region), 0);
    EXPECT_EQ(ebb__heap_check(), 0);
    EXPECT_EQ(ebb__ledger_check(), 0);
}

/* Somebody who wants memory, wherever limits are: what is free before what is kept. */
static void who_asks_gets_free_memory_first(void)
{
    start();
    region = ebb__region_create(NULL);
    keep(20);
    take(30);
    give(30);
    size_t before = kept(), held = ebb__ledger_exact(&ebb__ledger_heap);
    EXPECT(dirty_bytes() >= EBB_MIB(30));
    size_t given = ebb__ledger_reclaim(NULL, EBB_MIB(20), EBB_URGENCY_SOFT, 0);
    EXPECT(given >= EBB_MIB(20) && kept() == before);
    EXPECT_EQ(ebb__ledger_exact(&ebb__ledger_heap), held - given);
    given = ebb__ledger_reclaim(NULL, EBB_MIB(25), EBB_URGENCY_SOFT, 0);
    EXPECT(given >= EBB_MIB(24) && kept() == 0);
    EXPECT_EQ(ebb__ledger_check(), 0);
}

/* The policy asks for idle regions by their price. */
static void pressure_asks_for_them(void)
{
    struct ebb_act_giving giving;
    uint64_t can[EBB_PRESS_GIVES];
    start();
    region = ebb__region_create(NULL);
    keep(20);
    ebb__act_giving_reset(&giving, ebb_fake.now_ms);
    ebb__act_estimate(&giving, ebb_fake.now_ms, can);
    EXPECT_EQ(can[EBB_PRESS_GIVE_REGIONS], kept());
    EXPECT(can[EBB_PRESS_GIVE_COLD] == 0 && can[EBB_PRESS_GIVE_DIRTY] == 0);
    struct ebb_press_actions a = {.need = EBB_PRESS_YELLOW,
                                  .urgency = 1,
                                  .within_ms = 2000,
                                  .look_ms = 250,
                                  .cpu_permille = EBB_PRESS_CPU_ALL};
    a.ask_bytes[EBB_PRESS_GIVE_REGIONS] = EBB_MIB(20);
    size_t held = ebb__ledger_exact(&ebb__ledger_heap);
    uint64_t got = ebb__act_carry(&giving, &a, ebb_fake.now_ms);
    EXPECT_MSG(got >= EBB_MIB(18), "%" PRIu64 " MiB", got >> 20);
    EXPECT(kept() == 0 && ebb__ledger_exact(&ebb__ledger_heap) == held - got);
    ebb__act_estimate(&giving, ebb_fake.now_ms, can);
    EXPECT_EQ(can[EBB_PRESS_GIVE_REGIONS], 0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(idle_regions_are_emptied),
        CASE(a_sleeper_is_woken),
        CASE(pieces_do_it_too),
        CASE(a_trim_does_it_at_once),
        CASE(a_limit_asks_when_there_is_no_room),
        CASE(who_asks_gets_free_memory_first),
        CASE(pressure_asks_for_them),
    };
    small_reservations();
    return RUN_CASES(cases);
}
