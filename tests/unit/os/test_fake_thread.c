/* SPDX-License-Identifier: MIT
 *
 * The test double's newer half: vectors of ranges, huge pages, fence, threads, sleep.
 */
#include "support.h"

#include "os/fake.h"

static char *reserve(size_t bytes, size_t committed)
{
    void *p;
    EXPECT_EQ(ebb__os_reserve(bytes, EBB_MIB(2), &p), 0);
    if (committed != 0)
        EXPECT_EQ(ebb__os_commit(p, committed), 0);
    return p;
}

/* ---- purge ---- */

#define RANGES EBB_OS_PURGE_MAX

static char *ranges_of(struct ebb_os_range *ranges, size_t bytes)
{
    char *p = reserve(EBB_MIB(16), EBB_MIB(16));
    memset(p, 0x5a, EBB_MIB(16));
    for (unsigned i = 0; i < RANGES; i++)
        ranges[i] = (struct ebb_os_range){p + i * 2 * EBB_KIB(64), bytes};
    return p;
}

static void many_ranges(void)
{
    struct ebb_os_range ranges[RANGES];
    for (size_t page = 4096; page <= EBB_KIB(64); page *= 4) {
        ebb_fake_reset();
        ebb_fake.page_bytes = page;
        char *p = ranges_of(ranges, page);
        EXPECT_EQ(ebb_fake_resident_bytes(), EBB_MIB(16));
        EXPECT_EQ(ebb__os_purge_many(ranges, RANGES), RANGES);
        EXPECT_EQ(ebb_fake_resident_bytes(), EBB_MIB(16) - RANGES * page);
        EXPECT(ebb_fake.purge_calls == 1 && ebb_fake.purged_bytes == RANGES * page);
        EXPECT(support_is_zero(ranges[RANGES - 1].addr, page) && p[page] == 0x5a);
        EXPECT_EQ(ebb__os_purge_many(ranges, 0), 0);
        EXPECT_EQ(ebb__os_purge(p, page), 0);
        EXPECT_EQ(ebb_fake.purge_calls, 3);
    }
}

static void a_range_that_fails_ends_the_prefix(void)
{
    struct ebb_os_range ranges[RANGES];
    char *p = ranges_of(ranges, EBB_KIB(64));
    ebb_fake.fail_at = 11;
    EXPECT_EQ(ebb__os_purge_many(ranges, RANGES), 10);
    EXPECT(ebb_fake.failures == 1 && ebb_fake.purged_bytes == 10 * EBB_KIB(64));
    EXPECT(((char *)ranges[9].addr)[0] == 0 && ((char *)ranges[10].addr)[0] == 0x5a);
    EXPECT_EQ(ebb__os_purge_many(ranges + 10, RANGES - 10), RANGES - 10); /* once */
    memset(p, 0x5a, EBB_MIB(16));
    ebb_fake.locked = true;
    EXPECT_EQ(ebb__os_purge_many(ranges, RANGES), 0);
    EXPECT_EQ(p[0], 0x5a);
}

/* ---- huge pages ---- */

static void huge_pages(void)
{
    EXPECT_EQ(ebb__os_thp(), EBB_THP_MADVISE);
    ebb_fake.thp = EBB_THP_ALWAYS;
    EXPECT_EQ(ebb__os_thp(), EBB_THP_ALWAYS);
    char *p = reserve(EBB_MIB(8), 0);
    EXPECT_EQ(ebb__os_no_huge(p, EBB_MIB(8)), 0);
    EXPECT_EQ(ebb_fake.no_huge_bytes, EBB_MIB(8));
    EXPECT_EQ(ebb__os_commit(p, EBB_MIB(4)), 0);
    p[5] = 7;
    EXPECT_EQ(ebb_fake_resident_bytes(), ebb_fake.page_bytes);
    EXPECT_EQ(ebb__os_collapse(p, EBB_MIB(2)), 0);
    EXPECT_EQ(ebb_fake_resident_bytes(), EBB_MIB(2));
    EXPECT(p[5] == 7 && ebb_fake.collapses == 1);
    ebb_fake.fail_at = 1;
    EXPECT_EQ(ebb__os_collapse(p + EBB_MIB(2), EBB_MIB(2)), -EAGAIN);
    EXPECT(ebb_fake.collapses == 1 && ebb_fake_resident_bytes() == EBB_MIB(2));
    p = reserve(EBB_MIB(2), 0);
    ebb_fake.fail_at = 1;
    EXPECT_EQ(ebb__os_no_huge(p, EBB_MIB(2)), -EINVAL);
    EXPECT_EQ(ebb_fake.no_huge_bytes, EBB_MIB(8));
}

/* ---- fence, fork, clock ---- */

static void fence(void)
{
    EXPECT_EQ(ebb__os_barrier(), -EPERM); /* not registered */
    ebb_fake.barrier_rc = -ENOSYS;
    EXPECT_EQ(ebb__os_barrier_init(), -ENOSYS);
    EXPECT_EQ(ebb__os_barrier(), -EPERM);
    ebb_fake.barrier_rc = 0;
    EXPECT_EQ(ebb__os_barrier_init(), 0);
    EXPECT_EQ(ebb__os_barrier(), 0);
    ebb_fake.fail_at = 2;
    EXPECT_EQ(ebb__os_barrier(), 0);
    EXPECT_EQ(ebb__os_barrier(), -EPERM);
    EXPECT_EQ(ebb__os_barrier(), 0);
    EXPECT_EQ(ebb_fake.barriers, 3);
}

static void prepare(void)
{
}

static void parent(void)
{
}

static void child(void)
{
}

static void fork_handlers_are_recorded(void)
{
    EXPECT_EQ(ebb__os_on_fork(prepare, parent, child), 0);
    EXPECT(ebb_fake.fork_prepare == prepare && ebb_fake.fork_parent == parent &&
           ebb_fake.fork_child == child);
}

static void clocks(void)
{
    ebb_fake.now_ms = 12;
    ebb_fake.extra_ns = 345;
    ebb_fake.thread_cpu_ns = 99;
    EXPECT(ebb__os_now_ms() == 12 && ebb__os_now_ns() == 12000345 && ebb__os_thread_cpu_ns() == 99);
}

/* ---- threads ---- */

static unsigned ran;
static uint32_t ran_as;

static void body(void *arg)
{
    ran += *(unsigned *)arg;
    ran_as = ebb__os_thread_id();
}

static void a_thread_runs_when_told(void)
{
    unsigned five = 5;
    EXPECT_EQ(ebb__os_thread_start(body, &five), 0);
    EXPECT(ebb_fake.threads_started == 1 && ebb_fake.thread_fn == body && ebb_fake.thread_arg == &five &&
           ran == 0);
    ebb_fake_thread_run();
    EXPECT(ran == 5 && ran_as == EBB_FAKE_STARTED_ID);
    EXPECT(ebb__os_thread_id() == 42 && ebb_fake.thread_fn == NULL);
    ebb_fake.thread_rc = -EAGAIN;
    EXPECT_EQ(ebb__os_thread_start(body, &five), -EAGAIN);
    ebb_fake.thread_rc = 0;
    ebb_fake.fail_at = 1;
    EXPECT_EQ(ebb__os_thread_start(body, &five), -EAGAIN);
    EXPECT(ebb_fake.threads_started == 1 && ebb_fake.thread_fn == NULL);
    EXPECT(ebb__os_thread_count() == 1 && !ebb__os_is_threaded());
    ebb_fake.thread_count = 9;
    ebb_fake.threaded = true;
    EXPECT(ebb__os_thread_count() == 9 && ebb__os_is_threaded());
}

static void sleep_moves_the_clock(void)
{
    uint64_t payload = 1;
    EXPECT(!ebb__os_sleep(250, &payload));
    EXPECT(ebb_fake.now_ms == 1250 && payload == 1);
    EXPECT(!ebb__os_sleep(EBB_OS_FOREVER, &payload));
    EXPECT(ebb_fake.now_ms == 1250 && ebb_fake.slept_forever == 1 && payload == 1);
}

static void wakes_wait_in_line(void)
{
    uint64_t payload = 0;
    EXPECT_EQ(ebb__os_wake(43, 7), 0);
    EXPECT_EQ(ebb__os_wake(43, EBB_OS_WAKE_PAYLOAD_MAX), 0);
    EXPECT_EQ(ebb__os_wake(43, EBB_OS_WAKE_PAYLOAD_MAX + 1), -EINVAL);
    EXPECT(ebb_fake.wakes == 2 && ebb_fake.wake_thread_id == 43 &&
           ebb_fake.wake_payload == EBB_OS_WAKE_PAYLOAD_MAX);
    EXPECT(ebb__os_sleep(EBB_OS_FOREVER, &payload) && payload == 7);
    EXPECT(ebb__os_sleep(100, &payload) && payload == EBB_OS_WAKE_PAYLOAD_MAX);
    EXPECT_EQ(ebb_fake.now_ms, 1000); /* no time has passed */
    EXPECT(!ebb__os_sleep(100, &payload));
    for (unsigned i = 0; i < EBB_FAKE_WAKES_MAX; i++)
        EXPECT_EQ(ebb__os_wake(43, i), 0);
    EXPECT_EQ(ebb__os_wake(43, 0), -EAGAIN);
    EXPECT(ebb__os_sleep(0, &payload) && payload == 0);
    ebb_fake.fail_at = 1;
    EXPECT_EQ(ebb__os_wake(43, 0), -EAGAIN);
    ebb_fake_reset();
    EXPECT(!ebb__os_sleep(0, &payload)); /* the queue is empty again */
}

static uint64_t asked_ms;

static bool answer_sleep(uint64_t timeout_ms, uint64_t *ret_payload)
{
    asked_ms = timeout_ms;
    *ret_payload = 33;
    return true;
}

static void the_test_may_sleep_itself(void)
{
    uint64_t payload;
    ebb_fake.on_sleep = answer_sleep;
    EXPECT(ebb__os_sleep(77, &payload) && payload == 33 && asked_ms == 77 && ebb_fake.now_ms == 1000);
}

/* ---- preconditions ---- */

static char *base; /* 16 MiB reserved, 4 MiB committed */

static void purge_too_many(void *unused)
{
    struct ebb_os_range ranges[RANGES + 1];
    (void)unused;
    for (unsigned i = 0; i <= RANGES; i++)
        ranges[i] = (struct ebb_os_range){base, 4096};
    (void)ebb__os_purge_many(ranges, RANGES + 1);
}
static void purge_uncommitted(void *unused)
{
    struct ebb_os_range ranges[2] = {{base, 4096}, {base + EBB_MIB(4), 4096}};
    (void)unused;
    (void)ebb__os_purge_many(ranges, 2);
}
static void purge_part_of_a_page(void *unused)
{
    struct ebb_os_range ranges[2] = {{base, EBB_KIB(16)}, {base + EBB_KIB(16), 4096}};
    (void)unused;
    ebb_fake.page_bytes = EBB_KIB(16);
    (void)ebb__os_purge_many(ranges, 2);
}
static void no_huge_in_part(void *unused)
{
    (void)unused;
    (void)ebb__os_no_huge(reserve(EBB_MIB(8), 0), EBB_MIB(4));
}
static void no_huge_too_late(void *unused)
{
    (void)unused;
    (void)ebb__os_no_huge(base, EBB_MIB(16));
}
static void collapse_uncommitted(void *unused)
{
    (void)unused;
    (void)ebb__os_collapse(base + EBB_MIB(4), EBB_MIB(2));
}
static void collapse_two(void *unused)
{
    (void)unused;
    (void)ebb__os_collapse(base, EBB_MIB(4));
}
static void collapse_from_the_middle(void *unused)
{
    (void)unused;
    (void)ebb__os_collapse(base + EBB_MIB(1), EBB_MIB(2));
}
static void wake_nobody(void *unused)
{
    (void)unused;
    (void)ebb__os_wake(0, 0);
}
static void sleep_for_ever_without_end(void *unused)
{
    uint64_t payload;
    (void)unused;
    while (!ebb__os_sleep(EBB_OS_FOREVER, &payload))
        ;
}

static void preconditions_end_the_test(void)
{
    void (*const rows[])(void *) = {
        purge_too_many,           purge_uncommitted,          purge_part_of_a_page, no_huge_in_part,
        no_huge_too_late,         collapse_uncommitted,       collapse_two,         wake_nobody,
        collapse_from_the_middle, sleep_for_ever_without_end,
    };
    base = reserve(EBB_MIB(16), EBB_MIB(4));
    for (size_t i = 0; i < EBB_ARRAY_COUNT(rows); i++) {
        struct support_outcome out = support_capture(rows[i], NULL);
        EXPECT_MSG(support_aborted(&out) && strncmp(out.text, "fake os: ebb__os_", 17) == 0 &&
                       strstr(out.text, "precondition broken: ") != NULL,
                   "row %zu: status 0x%x, said %s", i, (unsigned)out.status, out.text);
    }
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(many_ranges),
        CASE(a_range_that_fails_ends_the_prefix),
        CASE(huge_pages),
        CASE(fence),
        CASE(fork_handlers_are_recorded),
        CASE(clocks),
        CASE(a_thread_runs_when_told),
        CASE(sleep_moves_the_clock),
        CASE(wakes_wait_in_line),
        CASE(the_test_may_sleep_itself),
        CASE(preconditions_end_the_test),
    };
    return RUN_CASES(cases);
}
