/* SPDX-License-Identifier: MIT
 *
 * Pressure in the background thread, on the fake kernel: what is armed and when, what a step does, each call failing, and the end.
 */
#include "act_test.h"

#include "../ledger/ledger_test.h"

static uint64_t steps_then; /* looks made when the world did something */

static bool no(void)
{
    return false;
}

/* ---- when ---- */

static void nothing_without_limits(void)
{
    put_quiet_host();
    begin_process();
    ebb__act_attend(yes);
    EXPECT(!ebb__act_is_armed() && !ebb__act_has_table() && !ebb__act_is_missed());
    EXPECT(!ebb__act_sleep(50, &payload));
    EXPECT(nap_count == 1 && naps[0] == 50); /* the sleep that it always was */
    EXPECT(ebb_fake.polls == 0 && !ebb_fake.own_table && ebb_fake.fds == 0);
    EXPECT_EQ(EBB_COUNTED(pressure_looks), 0);
    end_tree();
}

static void nothing_in_a_small_process(void)
{
    put_fifo();
    start();
    take(20);
    ebb__act_attend(yes);
    EXPECT(!ebb__act_is_armed() && ebb_fake.fds == 0);
    take(20);
    EXPECT(ebb__act_is_missed() && (atomic_load(&ebb__heap_upkeep) & EBB_UPKEEP_LIMITS) != 0);
    ebb__act_attend(yes);
    EXPECT(ebb__act_is_armed());
    give(40);
    ebb__act_attend(yes); /* it stays */
    EXPECT(ebb__act_is_armed());
    end_tree();
}

static void nothing_with_pressure_0(void)
{
    put_fifo();
    ebb__conf.pressure = 0;
    begin_process();
    ebb__act_attend(yes);
    EXPECT(!ebb__act_is_armed() && ebb_fake.fds == 0);
    end_tree();
}

/* Without a table of its own it looks, and keeps nothing open. */
static void no_table(bool refused)
{
    put_limited_group();
    ebb_fake.table_rc = refused ? -EPERM : 0;
    begin_process();
    ebb__act_attend(refused ? yes : no);
    EXPECT(ebb__act_is_armed() && !ebb__act_has_table());
    EXPECT_EQ(ebb_fake.own_table, false);
    (void)ebb__act_sleep(100, &payload);
    EXPECT_EQ(ebb__ledger_level(), EBB_LEVEL_GREEN);
    put_usage(1000);
    (void)ebb__act_sleep(6000, &payload);
    EXPECT_EQ(ebb__ledger_level(), EBB_LEVEL_RED);
    EXPECT(ebb_fake.fds == 0 && ebb_fake.polls == 0);
    EXPECT(EBB_COUNTED(pressure_bytes) >= EBB_MIB(90));
    end_tree();
}

static void a_table_is_refused(void)
{
    no_table(true);
}

static void main_would_not_be_heard(void)
{
    no_table(false);
}

/* ---- who calls ---- */

static void world_calls(uint64_t timeout_ms)
{
    (void)timeout_ms;
    steps_then = EBB_COUNTED(pressure_looks);
    call_fifo();
    ebb_fake.on_poll = NULL;
}

static void a_fifo_drives_the_level(void)
{
    put_fifo();
    begin_process();
    ebb__act_attend(yes);
    EXPECT(ebb__act_is_armed() && ebb__act_has_table());
    EXPECT(!ebb__act_sleep(100, &payload));
    EXPECT(ebb__ledger_level() == EBB_LEVEL_GREEN && EBB_COUNTED(pressure_bytes) == 0);
    uint64_t start_ms = ebb_fake.now_ms;
    ebb_fake.on_poll = world_calls;
    EXPECT(!ebb__act_sleep(1000, &payload));
    EXPECT(EBB_COUNTED(pressure_looks) > steps_then && EBB_COUNTED(pressure_wakes) == 1);
    EXPECT_EQ(ebb__ledger_level(), EBB_LEVEL_ORANGE);
    EXPECT_EQ(EBB_COUNTED(pressure_level), EBB_LEVEL_ORANGE);
    EXPECT_MSG(EBB_COUNTED(pressure_bytes) >= EBB_MIB(60), "%zu MiB",
               (size_t)EBB_COUNTED(pressure_bytes) >> 20);
    const struct ebb_press_record *r = ebb__press_noted(ebb__act_ring(), 0);
    EXPECT(r != NULL && r->level == EBB_PRESS_ORANGE);
    EXPECT(ebb_fake.now_ms - start_ms <= 1000 + 20);
    EXPECT(!ebb__act_sleep(200000, &payload)); /* nobody calls again */
    EXPECT_EQ(ebb__ledger_level(), EBB_LEVEL_GREEN);
    EXPECT_EQ(ebb__heap_check(), 0);
    end_tree();
}

static const char *words;

static void world_says(uint64_t timeout_ms)
{
    (void)timeout_ms;
    say_fifo(words);
    ebb_fake.on_poll = NULL;
}

/* Each level by its name, in their order, with so many bytes as were asked for; then down again, one by one. */
static void a_fifo_names_each_level(void)
{
    static const char *const calls[] = {"yellow 10M\n", "orange 20M\n", "red 30M\n"};
    size_t given = 0;
    put_fifo();
    begin_process();
    ebb__act_attend(yes);
    EXPECT(!ebb__act_sleep(100, &payload));
    for (unsigned i = 0; i < 3; i++) {
        words = calls[i];
        ebb_fake.on_poll = world_says;
        EXPECT(!ebb__act_sleep(500, &payload));
        EXPECT_EQ(ebb__ledger_level(), i + 1);
        given += EBB_MIB(10) * (i + 1);
        size_t bytes = (size_t)EBB_COUNTED(pressure_bytes);
        EXPECT_MSG(bytes >= given && bytes < given + EBB_MIB(2) * (i + 1), "%zu of %zu KiB", bytes >> 10,
                   given >> 10);
        const struct ebb_press_record *r = ebb__press_noted(ebb__act_ring(), 0);
        EXPECT(r != NULL && r->level == i + 1 && r->cause == EBB_PRESS_CALL);
    }
    for (int level = EBB_LEVEL_RED, passed_s = 0; level > EBB_LEVEL_GREEN; passed_s++) {
        EXPECT(passed_s < 100);
        EXPECT(!ebb__act_sleep(1000, &payload));
        EXPECT((int)ebb__ledger_level() == level || (int)ebb__ledger_level() == level - 1);
        level = (int)ebb__ledger_level();
    }
    end_tree();
}

static unsigned floods;

static void flood(uint64_t timeout_ms)
{
    (void)timeout_ms;
    floods++;
    call_fifo();
}

/* Steps are 20 ms apart, however many call. */
static void a_flood_is_not_followed(void)
{
    put_fifo();
    begin_process();
    ebb__act_attend(yes);
    (void)ebb__act_sleep(100, &payload);
    uint64_t looks = EBB_COUNTED(pressure_looks);
    ebb_fake.on_poll = flood;
    (void)ebb__act_sleep(2000, &payload);
    EXPECT(floods >= 50);
    EXPECT_MSG(EBB_COUNTED(pressure_looks) - looks <= 2000 / 20 + 1, "%" PRIu64 " steps",
               EBB_COUNTED(pressure_looks) - looks);
    ebb_fake.on_poll = NULL;
    end_tree();
}

/* ---- a cgroup ---- */

static void raise_threshold(void)
{
    uint64_t one = 1;
    for (unsigned n = 0; ebb_fake_written(n) != NULL; n++) {
        const struct ebb_fake_write *w = ebb_fake_written(n);
        if (strstr(w->path, "/a/b/cgroup.event_control") == NULL)
            continue;
        int fd = (int)strtol(w->text, NULL, 10); /* the thresholds are what was asked for last */
        EXPECT(write(fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
        return;
    }
    EXPECT_MSG(false, "no threshold was asked for");
}

static void world_fills(uint64_t timeout_ms)
{
    (void)timeout_ms;
    put_usage(1000);
    raise_threshold();
    ebb_fake.on_poll = NULL;
}

static void a_cgroup_is_nearly_full(void)
{
    put_limited_group();
    begin_process();
    ebb__act_attend(yes);
    EXPECT(ebb__act_is_armed());
    (void)ebb__act_sleep(100, &payload);
    EXPECT_EQ(ebb__ledger_level(), EBB_LEVEL_GREEN);
    unsigned thresholds = 0;
    for (unsigned n = 0; ebb_fake_written(n) != NULL; n++)
        thresholds += strstr(ebb_fake_written(n)->text, " 858993460") != NULL; /* four fifths of 1 GiB */
    EXPECT_EQ(thresholds, 1);
    uint64_t start_ms = ebb_fake.now_ms;
    ebb_fake.on_poll = world_fills;
    (void)ebb__act_sleep(1, &payload);
    EXPECT_EQ(ebb_fake.now_ms - start_ms, 1);
    EXPECT_EQ(ebb__ledger_level(), EBB_LEVEL_RED);
    EXPECT(EBB_COUNTED(pressure_bytes) >= EBB_MIB(99));
    const struct ebb_press_record *r = ebb__press_noted(ebb__act_ring(), 0);
    EXPECT(r != NULL && r->limit == EBB_PRESS_LIMIT_MAX && r->got_bytes >= EBB_MIB(99));
    end_tree();
}

/* Version 2 has no thresholds: what others take within a second is seen all the same, while there is something to give. */
static void put_v2_group(unsigned usage_mib)
{
    put_quiet_host();
    put("/proc/self/mountinfo", MOUNT_V2);
    put("/proc/self/cgroup", "0::/a\n");
    put(V2 "/cgroup.controllers", "memory\n");
    put_number(V2 "/a/memory.max", (uint64_t)LIMIT_MIB << 20);
    put(V2 "/a/memory.high", "max\n");
    put(V2 "/a/memory.stat", "inactive_file 0\nactive_file 0\n");
    put(V2 "/a/memory.events", "high 0\nmax 0\noom 0\noom_kill 0\n");
    put(V2 "/a/memory.events.local", "high 0\nmax 0\noom 0\noom_kill 0\n");
    put_number(V2 "/a/memory.current", (uint64_t)usage_mib << 20);
}

static void nothing_tells_of_others(void)
{
    put_v2_group(300);
    begin_process();
    ebb__act_attend(yes);
    (void)ebb__act_sleep(100, &payload);
    EXPECT(ebb__act_is_armed() && ebb__ledger_level() == EBB_LEVEL_GREEN);
    put_number(V2 "/a/memory.current", (uint64_t)850 << 20);
    (void)ebb__act_sleep(520, &payload); /* 519 MiB before yellow, at a GiB a second */
    EXPECT(ebb__ledger_level() >= EBB_LEVEL_YELLOW);
    EXPECT(EBB_COUNTED(pressure_bytes) >= EBB_MIB(30));
    end_tree();
}

/* There was nothing to give, so it looks in five seconds only; then something has become free. */
static void something_has_become_free(void)
{
    put_v2_group(300);
    start();
    fill_cache(1);
    take(100);
    ebb__act_attend(yes);
    (void)ebb__act_sleep(100, &payload);
    EXPECT(ebb__act_is_armed());
    uint64_t looks = EBB_COUNTED(pressure_looks);
    (void)ebb__act_sleep(1000, &payload);
    EXPECT_EQ(EBB_COUNTED(pressure_looks), looks);
    give(100);
    (void)ebb__act_sleep(1, &payload);
    EXPECT_EQ(EBB_COUNTED(pressure_looks), looks + 1);
    (void)ebb__act_sleep(1040, &payload);
    EXPECT_EQ(EBB_COUNTED(pressure_looks), looks + 3);
    end_tree();
}

/* The limit goes: nothing is left to heed. The table stays. */
static void a_limit_goes(void)
{
    put_limited_group();
    begin_process();
    ebb__act_attend(yes);
    put_usage(1000);
    (void)ebb__act_sleep(100, &payload);
    EXPECT_EQ(ebb__ledger_level(), EBB_LEVEL_RED);
    put(V1 "/a/b/memory.limit_in_bytes", "9223372036854771712\n");
    for (unsigned i = 0; i < 20 && ebb__act_is_armed(); i++)
        (void)ebb__act_sleep(1000, &payload);
    EXPECT(!ebb__act_is_armed() && ebb__act_has_table());
    EXPECT_EQ(ebb_fake.fds, 0);
    EXPECT_EQ(ebb__ledger_level(), EBB_LEVEL_GREEN);
    end_tree();
}

/* The process is moved to a cgroup that is nearly full. */
static void the_process_is_moved(void)
{
    put_limited_group();
    put_number(V1 "/c/memory.limit_in_bytes", EBB_MIB(500));
    put_number(V1 "/c/memory.usage_in_bytes", EBB_MIB(490));
    begin_process();
    ebb__act_attend(yes);
    (void)ebb__act_sleep(100, &payload);
    EXPECT_EQ(ebb__ledger_level(), EBB_LEVEL_GREEN);
    put("/proc/self/cgroup", "5:memory:/c\n4:cpu,cpuacct:/\n");
    (void)ebb__act_sleep(12000, &payload);
    EXPECT_EQ(ebb__ledger_level(), EBB_LEVEL_RED);
    end_tree();
}

/* Without the thread: whoever looks finds the new cgroup, and what is free goes before its limit is met. */
static void who_looks_sees_that_it_was_moved(void)
{
    put_limited_group();
    put_number(V1 "/c/memory.limit_in_bytes", EBB_MIB(500));
    put_number(V1 "/c/memory.usage_in_bytes", EBB_MIB(490));
    ebb__conf.bg = 0;
    start();
    take(60);
    give(20);
    take(5);
    EXPECT(EBB_COUNTED(limit_looks) != 0 && EBB_COUNTED(limit_hits) == 0);
    put("/proc/self/cgroup", "5:memory:/c\n4:cpu,cpuacct:/\n");
    ebb__limits_tick(); /* or at the next look, wherever that is due */
    EXPECT_MSG(ebb__ledger_look_point(-1) <= (int64_t)(ebb__ledger_used(&ebb__ledger_process) + EBB_MIB(6)),
               "the next look is far");
    take(25); /* ten more than what is free */
    EXPECT(EBB_COUNTED(limit_hits) != 0);

    /* It cannot be found for a while: not tried at each look. */
    put("/proc/self/cgroup", NULL);
    long before = ebb_fake.calls;
    ebb__limits_tick();
    long once = ebb_fake.calls - before;
    for (unsigned i = 0; i < 10; i++)
        ebb__limits_tick();
    EXPECT_MSG(ebb_fake.calls - before <= 11 * once, "%ld calls, %ld in the first look",
               ebb_fake.calls - before, once);
    put("/proc/self/cgroup", "5:memory:/a/b\n4:cpu,cpuacct:/\n");
    ebb_fake.now_ms += 65000;
    ebb__limits_tick();
    EXPECT(ebb__limits_are_seen());
    remove_tree();
}

/* ---- a limit of our own ---- */

static void an_own_limit_needs_no_descriptor(void)
{
    put_quiet_host();
    ebb__conf.pressure = 0;
    ebb__conf.limit = (long)EBB_MIB(128);
    start();
    take(40);
    ebb__act_attend(yes);
    EXPECT(ebb__act_is_armed() && !ebb__act_has_table());
    (void)ebb__act_sleep(10, &payload);
    take(60);
    give(60);
    (void)ebb__act_sleep(10, &payload);
    EXPECT_EQ(ebb__ledger_level(), EBB_LEVEL_GREEN);
    take(85); /* 3 MiB below the limit; whoever came near it has looked */
    (void)ebb__act_sleep(10, &payload);
    EXPECT(ebb__ledger_level() == EBB_LEVEL_ORANGE);
    EXPECT(ebb_fake.fds_most <= 1 && ebb_fake.polls == 0 && !ebb_fake.own_table);
    end_tree();
}

/* ---- giving ---- */

static struct ebb_press_actions asking(enum ebb_press_give give, uint64_t bytes)
{
    struct ebb_press_actions a = {.level = EBB_PRESS_RED,
                                  .need = EBB_PRESS_RED,
                                  .urgency = 3,
                                  .within_ms = 250,
                                  .look_ms = 50,
                                  .cpu_permille = EBB_PRESS_CPU_ALL,
                                  .dirty_bytes_per_s = EBB_MIB(10)};
    a.ask_bytes[give] = bytes;
    return a;
}

static void free_memory_in_the_time_allowed(void)
{
    struct ebb_act_giving giving;
    start();
    take(100);
    give(100);
    ebb_fake.now_ms = 5000;
    ebb__act_giving_reset(&giving, ebb_fake.now_ms);
    struct ebb_press_actions a = asking(EBB_PRESS_GIVE_FREE, EBB_MIB(100));
    a.cpu_permille = 2; /* 2 ms of the second before */
    uint64_t got = ebb__act_carry(&giving, &a, ebb_fake.now_ms);
    EXPECT_MSG(got >= EBB_MIB(30) && got <= EBB_MIB(34), "%" PRIu64 " MiB", got >> 20);
    giving.purse_ns = -5000000;
    EXPECT(ebb__act_carry(&giving, &a, ebb_fake.now_ms) <= EBB_MIB(2)); /* never nothing */
    a = asking(EBB_PRESS_GIVE_FREE, EBB_MIB(100));
    EXPECT(ebb__act_carry(&giving, &a, ebb_fake.now_ms) >= EBB_MIB(60));
    EXPECT_EQ(EBB_COUNTED(pressure_bytes), EBB_MIB(100) - dirty_bytes());
}

static void shrinkers_by_kind(void)
{
    static struct giver idle, cold, dirty, twin;
    struct ebb_act_giving giving;
    uint64_t can[EBB_PRESS_GIVES];
    start();
    ebb__act_giving_reset(&giving, ebb_fake.now_ms);
    give_from(&idle, made(NULL, "idle"), MIB(6), 100); /* less than limits.c lets pass without a look */
    give_from(&cold, made(NULL, "cold"), MIB(8), 200);
    give_from(&twin, made(NULL, "twin"), MIB(2), 299);
    give_from(&dirty, made(NULL, "dirty"), MIB(7), 300);
    ebb__act_estimate(&giving, ebb_fake.now_ms, can);
    EXPECT_EQ(can[EBB_PRESS_GIVE_REGIONS], MIB(6)); /* without the heap's own */
    EXPECT_EQ(can[EBB_PRESS_GIVE_COLD], MIB(10));
    EXPECT_EQ(can[EBB_PRESS_GIVE_DIRTY], MIB(7));

    struct ebb_press_actions a = asking(EBB_PRESS_GIVE_COLD, MIB(9));
    EXPECT_EQ(ebb__act_carry(&giving, &a, ebb_fake.now_ms), MIB(9));
    EXPECT(idle.asked == 0 && cold.asked == 1 && twin.asked_for == MIB(1) && dirty.asked == 0);
    EXPECT_EQ(cold.urgency, EBB_URGENCY_HARD);
    EXPECT_EQ(cold.deadline_ns, ebb__os_now_ns() + 100000000); /* the thread must hear the kernel again */

    a = asking(EBB_PRESS_GIVE_DIRTY, MIB(7));
    a.urgency = 1;
    EXPECT_EQ(ebb__act_carry(&giving, &a, ebb_fake.now_ms), MIB(10) * 50 / 1000); /* paced */
    EXPECT_EQ(dirty.urgency, EBB_URGENCY_EARLY);

    a = asking(EBB_PRESS_GIVE_REGIONS, MIB(4));
    a.cause = EBB_PRESS_OOM_HIT;
    EXPECT_EQ(ebb__act_carry(&giving, &a, ebb_fake.now_ms), MIB(4));
    EXPECT_EQ(idle.urgency, EBB_URGENCY_LAST);
    EXPECT_EQ(giving.got_bytes[EBB_PRESS_GIVE_REGIONS], MIB(4));

    /* What brings nothing is not counted for a second, and an empty purse keeps shrinkers from being called. */
    idle.part = 0;
    EXPECT_EQ(ebb__act_carry(&giving, &a, ebb_fake.now_ms), 0);
    ebb__act_estimate(&giving, ebb_fake.now_ms + 999, can);
    EXPECT_EQ(can[EBB_PRESS_GIVE_REGIONS], 0);
    ebb__act_estimate(&giving, ebb_fake.now_ms + 1000, can);
    EXPECT_EQ(can[EBB_PRESS_GIVE_REGIONS], MIB(2));
    a.cpu_permille = 20;
    giving.purse_ns = -EBB_MIB(100);
    unsigned asked = idle.asked;
    EXPECT_EQ(ebb__act_carry(&giving, &a, ebb_fake.now_ms), 0);
    EXPECT_EQ(idle.asked, asked);
}

/* ---- what the policy is told ---- */

static void what_the_policy_is_told(void)
{
    static struct ebb_pressure_facts world;
    struct ebb_act_marks marks = {0};
    struct ebb_press_facts f = {0};
    world.count = 3;
    for (uint32_t i = 0; i < 3; i++)
        world.levels[i] = (struct ebb_pressure_level){.distance = i,
                                                      .limit_bytes = ebb__known(EBB_GIB(1) * (3 - i)),
                                                      .usage_bytes = ebb__known(EBB_MIB(900)),
                                                      .clean_bytes = ebb__known(EBB_MIB(10)),
                                                      .max_events = ebb__known(7),
                                                      .oom_kills = ebb__known(2)};
    world.levels[1].high_bytes = ebb__known(EBB_MIB(950));
    world.levels[0].memsw_limit_bytes = ebb__known(EBB_GIB(3));
    world.levels[0].memsw_usage_bytes = ebb__known(EBB_GIB(2));
    world.mem_total_bytes = ebb__known(EBB_GIB(8));
    world.mem_available_bytes = ebb__known(EBB_GIB(3));
    world.host.some_total_us = ebb__known(50);
    world.host.full_total_us = ebb__known(20);
    ebb__act_see(&world, &marks, true, &f);
    const struct ebb_press_limit *max = &f.limits[EBB_PRESS_LIMIT_MAX],
                                 *high = &f.limits[EBB_PRESS_LIMIT_HIGH];
    EXPECT(max->known && max->which == 2 && max->limit_bytes == EBB_GIB(1) &&
           max->clean_bytes == EBB_MIB(10));
    EXPECT(high->known && high->which == 1 && high->used_bytes == EBB_MIB(900));
    EXPECT(f.limits[EBB_PRESS_LIMIT_HOST].known && f.limits[EBB_PRESS_LIMIT_HOST].used_bytes == EBB_GIB(5));
    EXPECT(!f.limits[EBB_PRESS_LIMIT_SOFT].known && !f.limits[EBB_PRESS_LIMIT_HARD].known);
    EXPECT(f.stalls_known && f.some_us == 50 && f.full_us == 20);
    EXPECT(f.max_hits == 0 && f.oom_hits == 0); /* of all time, not of now */

    world.levels[0].max_events = ebb__known(9);
    world.levels[2].max_events = ebb__known(8);
    world.levels[1].oom_kills = ebb__known(1); /* another cgroup */
    world.levels[2].oom_kills = ebb__known(3);
    world.levels[0].memsw_usage_bytes = ebb__known(EBB_GIB(3) - EBB_MIB(1));
    world.own.some_total_us = ebb__known(60);
    f = (struct ebb_press_facts){0};
    ebb__act_see(&world, &marks, false, &f);
    EXPECT(f.max_hits == 3 && f.oom_hits == 1 && f.high_hits == 0);
    EXPECT(f.limits[EBB_PRESS_LIMIT_MAX].which == 0);                 /* memory and swap together */
    EXPECT(!f.limits[EBB_PRESS_LIMIT_HOST].known && !f.stalls_known); /* is none of its business */

    uint64_t at[EBB_ACT_THRESHOLDS];
    EXPECT_EQ(ebb__act_thresholds(&world.levels[2], at), 3);
    EXPECT(at[0] < at[1] && at[1] < at[2] && at[2] < EBB_GIB(1));
    world.levels[2].limit_bytes = (struct ebb_known){0};
    EXPECT_EQ(ebb__act_thresholds(&world.levels[2], at), 0);

    struct ebb_act_heard heard = {0};
    const struct ebb_sources_event watch = {.causes = EBB_CAUSE_WATCH}, oom = {.causes = EBB_CAUSE_OOM},
                                   both = {.causes = EBB_CAUSE_STALL | EBB_CAUSE_HOST_STALL},
                                   threshold = {.causes = EBB_CAUSE_THRESHOLD};
    ebb__act_hear(&heard, &watch, true);
    ebb__act_hear(&heard, &watch, false);
    ebb__act_hear(&heard, &oom, false);
    ebb__act_hear(&heard, &both, false);
    ebb__act_hear(&heard, &threshold, false);
    EXPECT(heard.calls == 1 && heard.notices == 2 && heard.ooms == 1);
}

/* ---- failure, fork, the end ---- */

#define CALLS_MOST 400 /* arming, the first looks, the first giving; then it repeats itself */

/* The fake kernel refuses a file for good (-EACCES), so the limit or the usage may never be known; then what arms anew sees it. */
#define BLIND_MOST 8u

/* Whichever call fails, it goes on, and is neither deaf nor blind. */
static void any_call_fails(void)
{
    put_limited_group();
    begin_process();
    long calls = 1;
    unsigned blind = 0;
    for (long n = 0; n <= calls; n++) {
        put_usage(300);
        take(100);
        give(100);
        ebb_fake.fail_at = n;
        long before = ebb_fake.calls;
        ebb__act_attend(yes);
        (void)ebb__act_sleep(100, &payload);
        EXPECT(ebb__ledger_level() == EBB_LEVEL_GREEN);
        put_usage(1000);
        (void)ebb__act_sleep(12000, &payload);
        if (n == 0)
            calls = ebb_fake.calls - before < CALLS_MOST ? ebb_fake.calls - before : CALLS_MOST;
        ebb_fake.fail_at = 0;
        if (ebb__ledger_level() != EBB_LEVEL_RED) {
            EXPECT_MSG(n != 0 && ++blind <= BLIND_MOST, "after call %ld of %ld failed", n, calls);
            ebb__act_end();
            take(80);
            give(80);
            ebb__act_attend(yes);
            (void)ebb__act_sleep(100, &payload);
            EXPECT_MSG(ebb__ledger_level() == EBB_LEVEL_RED, "after call %ld of %ld failed", n, calls);
        }
        ebb__act_end();
        EXPECT_EQ(ebb_fake.fds, 0);
        EXPECT_EQ(ebb__ledger_level(), EBB_LEVEL_GREEN);
    }
    EXPECT(calls > 50);
    EXPECT_EQ(ebb__heap_check(), 0);
    EXPECT_EQ(ebb__ledger_check(), 0);
    end_tree();
}

static void a_fork_child_is_not_armed(void)
{
    put_limited_group();
    begin_process();
    ebb__act_attend(yes);
    put_usage(1000);
    (void)ebb__act_sleep(100, &payload);
    unsigned fds = ebb_fake.fds;
    EXPECT(fds != 0 && ebb__ledger_level() == EBB_LEVEL_RED);
    ebb__act_after_fork();
    EXPECT_EQ(ebb_fake.fds, fds); /* they are its parent's */
    EXPECT(!ebb__act_is_armed() && !ebb__act_has_table() && ebb__ledger_level() == EBB_LEVEL_GREEN);
    take(50);
    EXPECT(ebb__act_is_missed());
    remove_tree();
}

static void main_ends(uint64_t timeout_ms)
{
    (void)timeout_ms;
    EXPECT(ebb__act_has_table());
    ebb_fake.on_poll = NULL;
    ebb_fake.thread_count = 5; /* others go on */
    end_main();
}

static void an_armed_thread_ends_with_main(void)
{
    put_limited_group();
    begin_process();
    serve();
    EXPECT_EQ(ebb_fake.threads_started, 1);
    ebb_fake.on_poll = main_ends;
    ebb_fake_thread_run();
    EXPECT_EQ(ebb__governor_thread_id(), 0);
    EXPECT(!ebb__act_is_armed() && !ebb__act_has_table());
    EXPECT_EQ(ebb_fake.fds, 0);
    ebb_fake.own_table = false;
    take(2);
    give(2);
    serve(); /* who goes on has one without a table */
    EXPECT_EQ(ebb_fake.threads_started, 2);
    while_asleep = finish_at_once;
    ebb_fake.thread_count = 2;
    ebb_fake_thread_run();
    EXPECT(!ebb_fake.own_table);
    end_tree();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(nothing_without_limits),
        CASE(nothing_in_a_small_process),
        CASE(nothing_with_pressure_0),
        CASE(a_table_is_refused),
        CASE(main_would_not_be_heard),
        CASE(a_fifo_drives_the_level),
        CASE(a_fifo_names_each_level),
        CASE(a_flood_is_not_followed),
        CASE(a_cgroup_is_nearly_full),
        CASE(nothing_tells_of_others),
        CASE(something_has_become_free),
        CASE(a_limit_goes),
        CASE(the_process_is_moved),
        CASE(who_looks_sees_that_it_was_moved),
        CASE(an_own_limit_needs_no_descriptor),
        CASE(free_memory_in_the_time_allowed),
        CASE(shrinkers_by_kind),
        CASE(what_the_policy_is_told),
        CASE(any_call_fails),
        CASE(a_fork_child_is_not_armed),
        CASE(an_armed_thread_ends_with_main),
    };
    small_reservations();
    return RUN_CASES(cases);
}
