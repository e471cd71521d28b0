/* SPDX-License-Identifier: MIT
 *
 * What subscribers are told under pressure, on the fake kernel: when a subscription is heeded, and how many bytes are wanted by when.
 */
#include "act_test.h"

static unsigned heard;
static struct ebb_pressure_note last;

static void hear(const struct ebb_pressure_note *note, void *unused)
{
    (void)unused;
    heard++;
    last = *note;
}

static int subscribe(enum ebb_budget_level least)
{
    const struct ebb_pressure_subscriber s = {
        .size_of_struct = sizeof(s), .least_level = least, .callback = hear};
    int number = ebb__subs_add(&s);
    EXPECT(number > 0);
    return number;
}

/* Sleeps in pieces, so that the messenger, which this test is as well, comes to its turn. */
static void sleep_and_hear(unsigned ms)
{
    for (unsigned slept = 0; slept < ms; slept += 10) {
        (void)ebb__act_sleep(10, &payload);
        ebb__subs_deliver();
    }
}

static void put_meminfo(unsigned total_mib, unsigned available_mib)
{
    char text[128];
    (void)snprintf(text, sizeof(text), "MemTotal: %u kB\nMemAvailable: %u kB\nSwapFree: 0 kB\n",
                   total_mib << 10, available_mib << 10);
    put("/proc/meminfo", text);
}

/* ---- when ---- */

static void however_small_the_process(void)
{
    put_quiet_host();
    start();
    fill_cache(1);
    ebb__act_attend(yes);
    EXPECT(!ebb__act_is_armed() && !ebb__act_is_missed());
    int number = subscribe(EBB_LEVEL_YELLOW);
    EXPECT(ebb__act_is_missed());
    ebb__act_attend(yes);
    EXPECT(ebb__act_is_armed() && ebb__act_has_table());
    sleep_and_hear(6000);
    EXPECT(heard == 0 && EBB_COUNTED(pressure_looks) >= 1 && EBB_COUNTED(pressure_looks) <= 3);
    EXPECT_EQ(ebb__subs_remove(number), 0);
    EXPECT(ebb__act_is_missed());
    ebb__act_attend(yes);
    EXPECT(!ebb__act_is_armed() && ebb_fake.fds == 0);
    end_tree();
}

/* The memory of the host is nearly used up, whoever uses it. */
static void the_host_counts(void)
{
    put_quiet_host();
    start();
    fill_cache(1);
    subscribe(EBB_LEVEL_YELLOW);
    ebb__act_attend(yes);
    sleep_and_hear(100);
    EXPECT_EQ(heard, 0);
    put_meminfo(16000, 100);
    sleep_and_hear(6000);
    EXPECT(heard != 0 && last.level == EBB_LEVEL_RED && last.want_bytes > EBB_MIB(100));
    EXPECT(last.limit != NULL && strcmp(last.limit, "host memory") == 0);
    EXPECT(strcmp(last.cause, "little room") == 0);
    put_meminfo(16000, 12000);
    sleep_and_hear(1000);
    EXPECT(last.want_bytes == 0 && last.deadline_ns == 0 && last.urgency == EBB_URGENCY_EARLY);
    EXPECT_EQ(last.level, EBB_LEVEL_RED); /* it is held */
    sleep_and_hear(200000);
    EXPECT(last.level == EBB_LEVEL_GREEN && last.limit == NULL);
    end_tree();
}

static void pressure_0_heeds_own_limits_alone(void)
{
    put_quiet_host();
    put_meminfo(16000, 100);
    ebb__conf.pressure = 0;
    start();
    fill_cache(1);
    subscribe(EBB_LEVEL_YELLOW);
    ebb__act_attend(yes);
    EXPECT(!ebb__act_is_armed() && !ebb__act_is_missed());
    (void)ebb__ledger_limit(&ebb__ledger_process, EBB_BUDGET_HARD, (int64_t)EBB_MIB(64));
    take(63);
    ebb__act_attend(yes);
    EXPECT(ebb__act_is_armed() && !ebb__act_has_table());
    sleep_and_hear(50);
    EXPECT(heard != 0 && last.limit != NULL && strcmp(last.limit, "own hard limit") == 0);
    EXPECT(last.want_bytes != 0 && last.want_bytes < EBB_MIB(64));
    end_tree();
}

/* ---- how much ---- */

static void call_now(uint64_t timeout_ms)
{
    (void)timeout_ms;
    call_fifo();
    ebb_fake.on_poll = NULL;
}

static void who_calls_by_a_fifo(void)
{
    put_fifo();
    start();
    fill_cache(1);
    subscribe(EBB_LEVEL_ORANGE);
    ebb__act_attend(yes);
    sleep_and_hear(100);
    EXPECT_EQ(heard, 0);
    ebb_fake.on_poll = call_now;
    uint64_t before_ns = ebb__os_now_ns();
    sleep_and_hear(100);
    EXPECT(heard >= 1 && last.level == EBB_LEVEL_ORANGE && last.urgency == EBB_URGENCY_SOFT);
    EXPECT(strcmp(last.cause, "another process asks for memory") == 0 && last.limit == NULL);
    EXPECT_MSG(last.want_bytes >= EBB_MIB(200) && last.want_bytes <= EBB_MIB(250), "%" PRIu64,
               last.want_bytes);
    EXPECT(last.deadline_ns > before_ns && last.deadline_ns <= before_ns + UINT64_C(3000000000));
    end_tree();
}

/* 24 MiB of room are left. The same world twice: where 100 MiB of the heap are free they are given back, and nobody is asked for them. */
static uint64_t wanted_when_full(bool has_free)
{
    put_limited_group();
    start();
    fill_cache(1);
    if (has_free) {
        take(100);
        give(100);
    }
    subscribe(EBB_LEVEL_YELLOW);
    ebb__act_attend(yes);
    sleep_and_hear(20);
    EXPECT_EQ(heard, 0);
    put_usage(1000);
    ebb_fake.now_ms += 6000;
    sleep_and_hear(10);
    EXPECT(heard == 1 && last.level == EBB_LEVEL_RED && strcmp(last.limit, "memory.max") == 0);
    EXPECT(EBB_COUNTED(pressure_bytes) >= (has_free ? EBB_MIB(99) : 0));
    return last.want_bytes;
}

static void what_the_heap_has_not_is_wanted(void)
{
    uint64_t wanted = wanted_when_full(false);
    EXPECT_MSG(wanted >= EBB_MIB(20) && wanted <= EBB_MIB(200), "%" PRIu64 " MiB", wanted >> 20);
    put_usage(500);
    sleep_and_hear(1000); /* what others took so fast counts for half of that */
    EXPECT(last.want_bytes == 0 && last.level == EBB_LEVEL_RED);
    end_tree();
}

static void what_the_heap_gives_is_not_wanted(void)
{
    uint64_t wanted = wanted_when_full(true);
    EXPECT_MSG(wanted <= EBB_MIB(5), "%" PRIu64 " MiB", wanted >> 20);
    end_tree();
}

static void once_a_second_while_it_is_wanted(void)
{
    put_limited_group();
    put_usage(1000);
    start();
    fill_cache(1);
    subscribe(EBB_LEVEL_YELLOW);
    ebb__act_attend(yes);
    sleep_and_hear(50);
    EXPECT_EQ(heard, 1);
    uint64_t wanted = last.want_bytes;
    sleep_and_hear(5000);
    EXPECT_MSG(heard >= 5 && heard <= 7, "%u", heard);
    put_usage(1020); /* more by little: in its time */
    unsigned before = heard;
    sleep_and_hear(900);
    EXPECT(heard <= before + 1);
    sleep_and_hear(1000);
    EXPECT(last.want_bytes > wanted);
    end_tree();
}

/* What is wanted, of each kind what was asked and had, and whether it turned out to have next to nothing. */
static void what_is_missing(void)
{
    static const struct {
        unsigned want, lack, ask[3], got[3];
        bool barren[3];
        unsigned missing;
    } rows[] = {
        {0, 0, {0}, {0}, {false}, 0},
        {100, 100, {0}, {0}, {false}, 100},                          /* nobody has anything */
        {100, 0, {100}, {100}, {false}, 0},                          /* it is there */
        {100, 0, {100}, {30}, {false}, 0},                           /* the rest comes in time */
        {100, 40, {60}, {60}, {false}, 40},                          /* there is no more of that kind */
        {100, 0, {100}, {2}, {true}, 98},                            /* an estimate that was wrong */
        {100, 10, {50, 40}, {50, 1}, {false, true}, 49},             /* one of two */
        {100, 10, {50, 40}, {50, 45}, {false, false}, 5},            /* more than was asked for */
        {100, 60, {40}, {100}, {false}, 0},                          /* so much more that it is enough */
        {100, 20, {40, 40, 40}, {0, 0, 0}, {true, true, true}, 100}, /* never more than is wanted */
        {50, 0, {50, 0, 0}, {50, 0, 0}, {false, true, true}, 0}, /* whoever was not asked does not count */
    };
    for (size_t i = 0; i < EBB_ARRAY_COUNT(rows); i++) {
        struct ebb_act_giving g = {0};
        struct ebb_press_actions a = {.goal_bytes = rows[i].want, .lack_bytes = rows[i].lack};
        for (unsigned give = 0; give < 3; give++) {
            a.ask_bytes[give] = rows[i].ask[give];
            g.got_bytes[give] = rows[i].got[give];
            g.rest_until_ms[give] = rows[i].barren[give] ? 2000 : 0;
        }
        EXPECT_MSG(ebb__act_missing(&g, &a, 1000) == rows[i].missing, "row %zu: %" PRIu64, i,
                   ebb__act_missing(&g, &a, 1000));
    }
}

/* ---- the end ---- */

/* Nobody looks any more: what was said last must not stand for ever. */
static void the_thread_ends(void)
{
    struct ebb_pressure_note note;
    put_limited_group();
    put_usage(1000);
    start();
    fill_cache(1);
    subscribe(EBB_LEVEL_YELLOW);
    ebb__act_attend(yes);
    sleep_and_hear(50);
    EXPECT(heard == 1 && last.level == EBB_LEVEL_RED);
    end_tree();
    ebb__subs_last(&note);
    EXPECT(note.level == EBB_LEVEL_GREEN && note.want_bytes == 0 && note.serial == 2);
    ebb__subs_deliver();
    EXPECT(heard == 2 && last.level == EBB_LEVEL_GREEN);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(however_small_the_process),
        CASE(the_host_counts),
        CASE(pressure_0_heeds_own_limits_alone),
        CASE(who_calls_by_a_fifo),
        CASE(what_the_heap_has_not_is_wanted),
        CASE(what_the_heap_gives_is_not_wanted),
        CASE(once_a_second_while_it_is_wanted),
        CASE(what_is_missing),
        CASE(the_thread_ends),
    };
    small_reservations();
    return RUN_CASES(cases);
}
