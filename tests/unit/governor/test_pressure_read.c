/* SPDX-License-Identifier: MIT
 *
 * The facts of pressure as they are read: captured hosts, made-up trees, what is missing, and files that are kept open or not.
 */
#include "pressure_tree.h"

#include "os/fake.h"

static struct ebb_sources s;
static struct ebb_pressure_facts f;

static void open_in(const char *root, const char *process)
{
    ebb__sources_init(&s, root, process);
    EXPECT_EQ(ebb__sources_open(&s), 0);
    EXPECT_EQ(ebb__sources_check(&s), 0);
    ebb__sources_read(&s, &f);
}

/* Of a captured host nothing may be written: without a table of its own nothing is armed. */
static void look_at(const char *root, const char *process)
{
    ebb_fake.table_rc = -EPERM;
    ebb__sources_init(&s, root, process);
    EXPECT_EQ(ebb__sources_open(&s), -EPERM);
    ebb__sources_read(&s, &f);
    EXPECT(ebb_fake_written(0) == NULL && ebb_fake.fds == 0);
}

#define IS(fact, v)                                                                                          \
    EXPECT_MSG((fact).known && (fact).value == (v), "%d, %" PRIu64, (fact).known, (fact).value)
#define UNKNOWN(fact) EXPECT_MSG(!(fact).known, "%" PRIu64, (fact).value)

static void the_captured_host(void)
{
    look_at(FIXTURES "/host-x86-6.18", "/proc/13717");
    EXPECT(f.version == 1 && f.depth == 2 && f.count == 1 && f.tightest == 0 && !f.stale);
    EXPECT_EQ(f.levels[0].distance, 0);
    EXPECT(f.levels[0].limit_bytes.known && f.levels[0].usage_bytes.known && f.levels[0].clean_bytes.known);
    EXPECT(ebb__level_room(&f.levels[0]).value <= f.levels[0].limit_bytes.value);
    EXPECT(f.levels[0].max_events.known && f.levels[0].under_oom.known && f.levels[0].oom_kills.known);
    UNKNOWN(f.levels[0].high_events);
    UNKNOWN(f.hidden_limit_bytes);
    IS(f.host.some_total_us, 1777762);
    UNKNOWN(f.own.some_total_us);
    EXPECT(f.mem_total_bytes.known && f.mem_available_bytes.known && f.rss_bytes.known);
    ebb__sources_close(&s);
}

static void version_2_on_arm(void)
{
    ebb_fake.page_bytes = EBB_KIB(64);
    look_at(FIXTURES "/host-arm64-6.1", "/proc/2201");
    EXPECT(f.version == 2 && f.depth == 3 && f.count == 1 && f.tightest == 0);
    const struct ebb_pressure_level *l = &f.levels[0];
    IS(l->limit_bytes, UINT64_C(51539607552));
    IS(l->high_bytes, UINT64_C(50465865728));
    IS(l->usage_bytes, UINT64_C(50465865728));
    IS(l->clean_bytes, UINT64_C(5368709120) + UINT64_C(4294967296) - 268435456 - 33554432);
    IS(l->high_events, 91827);
    IS(l->max_events, 40192);
    IS(l->oom_kills, 3);
    UNKNOWN(l->under_oom);
    EXPECT(ebb__level_headroom(l).known && ebb__level_headroom(l).value == 0);
    IS(f.own.some_avg10_hundredths, 600);
    IS(f.own.full_total_us, UINT64_C(1919283746));
    IS(f.host.some_avg10_hundredths, 421);
    IS(f.rss_bytes, 607232 * EBB_KIB(64));
    ebb__sources_close(&s);
}

static void version_1_of_old(void)
{
    look_at(FIXTURES "/host-x86-4.18", "/proc/1834");
    EXPECT(f.version == 1 && f.depth == 3 && f.count >= 1);
    UNKNOWN(f.host.some_total_us); /* no PSI before Linux 4.20 */
    UNKNOWN(f.own.some_total_us);
    EXPECT(f.levels[0].memsw_usage_bytes.known);
    ebb__sources_close(&s);
}

static void made_up_version_1(void)
{
    make_tree();
    put_v1();
    open_in(tree, "/proc/self");
    EXPECT(f.version == 1 && f.depth == 3 && f.count == 1);
    IS(f.levels[0].limit_bytes, 8192000);
    IS(f.levels[0].clean_bytes, 147000);
    IS(f.levels[0].max_events, 12);
    IS(f.levels[0].under_oom, 1);
    IS(f.levels[0].oom_kills, 4);
    UNKNOWN(f.levels[0].memsw_limit_bytes);
    UNKNOWN(f.hidden_limit_bytes);
    EXPECT_EQ(ebb__level_room(&f.levels[0]).value, 8192000 - 5000000 + 147000);
    IS(f.mem_available_bytes, 400 * 1024);
    IS(f.swap_free_bytes, 50 * 1024);
    IS(f.rss_bytes, 25 * ebb_fake.page_bytes);

    /* A lower limit of an ancestor that is not seen. */
    put(V1 "/a/b/memory.stat", "hierarchical_memory_limit 4096000\n");
    ebb__sources_read(&s, &f);
    IS(f.hidden_limit_bytes, 4096000);
    UNKNOWN(f.levels[0].clean_bytes);
    EXPECT_EQ(ebb__level_room(&f.levels[0]).value, 8192000 - 5000000);

    /* Memory and swap together are the tighter one. */
    put(V1 "/a/b/memory.memsw.limit_in_bytes", "9000000\n");
    put(V1 "/a/b/memory.memsw.usage_in_bytes", "8999999\n");
    put(V1 "/a/b/memory.memsw.failcnt", "30\n");
    open_in(tree, "/proc/self");
    IS(f.levels[0].max_events, 42);
    EXPECT_EQ(ebb__level_headroom(&f.levels[0]).value, 1);
    ebb__sources_close(&s);
    remove_tree();
}

static void nested_limits(void)
{
    make_tree();
    put_v2();
    open_in(tree, "/proc/self");
    EXPECT(f.version == 2 && f.depth == 3 && f.count == 2);
    EXPECT(f.levels[0].distance == 0 && f.levels[1].distance == 1);
    IS(f.levels[0].limit_bytes, EBB_NO_LIMIT);
    EXPECT_EQ(ebb__level_ceiling(&f.levels[0]), 600000);
    EXPECT_EQ(ebb__level_room(&f.levels[0]).value, 100000 + 99000);
    EXPECT_EQ(ebb__level_room(&f.levels[1]).value, 50000); /* more is dirty than there is: none */
    IS(f.levels[1].clean_bytes, 0);
    EXPECT_EQ(f.tightest, 1);
    IS(f.levels[0].high_events, 1); /* its own */
    IS(f.levels[0].oom_kills, 5);   /* of all below */
    IS(f.levels[1].high_events, 20);
    IS(f.levels[1].oom_kills, 50);
    IS(f.own.some_total_us, 7);
    put(V2 "/a/memory.current", "100000\n");
    ebb__sources_read(&s, &f);
    EXPECT_EQ(f.tightest, 0);
    EXPECT(!f.stale);
    ebb__sources_close(&s);
    remove_tree();
}

/* What a container or a damaged host does not have is unknown, each for itself. */
static void what_is_missing_is_unknown(void)
{
    make_tree();
    put_v2();
    put(V2 "/a/b/memory.current", NULL);
    put(V2 "/a/b/memory.stat", NULL);
    put(V2 "/a/b/memory.events", NULL);
    put(V2 "/a/b/memory.events.local", "rubbish\n");
    put(V2 "/a/memory.max", "garbage\n");
    put("/proc/meminfo", NULL);
    put("/proc/self/statm", "900\n");
    put("/proc/pressure/memory", "");
    open_in(tree, "/proc/self");
    EXPECT(f.count == 1 && f.tightest == EBB_PRESSURE_NONE);
    EXPECT(!ebb__level_headroom(&f.levels[0]).known && !ebb__level_room(&f.levels[0]).known);
    UNKNOWN(f.levels[0].usage_bytes);
    UNKNOWN(f.levels[0].clean_bytes);
    UNKNOWN(f.levels[0].high_events);
    UNKNOWN(f.levels[0].oom_kills);
    UNKNOWN(f.mem_total_bytes);
    UNKNOWN(f.mem_available_bytes);
    UNKNOWN(f.rss_bytes);
    UNKNOWN(f.host.some_total_us);
    IS(f.own.some_total_us, 7);
    ebb__sources_close(&s);
    remove_tree();

    make_tree(); /* nothing at all */
    open_in(tree, "/proc/self");
    EXPECT(f.version == 0 && f.depth == 0 && f.count == 0 && f.tightest == EBB_PRESSURE_NONE);
    UNKNOWN(f.rss_bytes);
    ebb__sources_close(&s);
    remove_tree();
}

static void changes_make_it_stale(void)
{
    make_tree();
    put_v2();
    open_in(tree, "/proc/self");
    put(V2 "/a/b/memory.high", "max\n"); /* a limit went */
    ebb__sources_read(&s, &f);
    EXPECT(f.stale && f.count == 1);
    EXPECT_EQ(ebb__sources_open(&s), 0);
    ebb__sources_read(&s, &f);
    EXPECT(!f.stale && f.count == 1);
    put(V2 "/a/b/memory.max", "700000\n"); /* and came */
    ebb__sources_read(&s, &f);
    EXPECT(f.stale && f.count == 2);
    EXPECT_EQ(ebb__sources_open(&s), 0);
    put("/proc/self/cgroup", "0::/a\n"); /* moved */
    ebb__sources_read(&s, &f);
    EXPECT(f.stale && f.depth == 3);
    EXPECT_EQ(ebb__sources_open(&s), 0);
    ebb__sources_read(&s, &f);
    EXPECT(!f.stale && f.depth == 2 && f.count == 1 && f.levels[0].distance == 0);
    EXPECT(ebb_fake_remove("/memory.current") != 0); /* removed */
    ebb__sources_read(&s, &f);
    EXPECT(f.stale);
    UNKNOWN(f.levels[0].usage_bytes);
    EXPECT_EQ(ebb__sources_check(&s), 0);
    ebb__sources_close(&s);
    EXPECT_EQ(ebb_fake.fds, 0);
    remove_tree();
}

/* With a table of its own a second look opens nothing; without one nothing stays open, and at most one is at a time. */
static void what_is_kept_open(void)
{
    make_tree();
    put_v2();
    open_in(tree, "/proc/self");
    unsigned fds = ebb_fake.fds;
    long calls = ebb_fake.calls;
    ebb__sources_read(&s, &f);
    EXPECT_EQ(ebb_fake.fds, fds);
    EXPECT_MSG(ebb_fake.calls - calls < 30, "%ld calls", ebb_fake.calls - calls);
    ebb__sources_close(&s);
    EXPECT_EQ(ebb_fake.fds, 0);

    ebb_fake_reset();
    ebb_fake.table_rc = -EPERM;
    ebb__sources_init(&s, tree, "/proc/self");
    EXPECT_EQ(ebb__sources_open(&s), -EPERM);
    for (unsigned i = 0; i < 3; i++) {
        ebb__sources_read(&s, &f);
        EXPECT_EQ(ebb_fake.fds, 0);
        EXPECT(f.count == 2 && f.tightest == 1 && f.own.some_total_us.known && f.rss_bytes.known && !f.stale);
        EXPECT_EQ(ebb__sources_check(&s), 0);
    }
    EXPECT_EQ(ebb_fake.fds_most, 1);
    remove_tree();
}

/* A program that has used up its numbers has others later. */
static void no_number_is_left_for_a_while(void)
{
    struct rlimit limit;
    make_tree();
    put_v2();
    ebb_fake.table_rc = -EPERM;
    ebb__sources_init(&s, tree, "/proc/self");
    EXPECT_EQ(ebb__sources_open(&s), -EPERM);
    EXPECT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 0;
    EXPECT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    ebb__sources_read(&s, &f);
    EXPECT(f.count == 0 && !f.rss_bytes.known && !f.host.some_total_us.known);
    limit.rlim_cur = before;
    EXPECT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    ebb__sources_read(&s, &f);
    EXPECT(f.count == 2 && f.tightest == 1 && f.rss_bytes.known && f.host.some_total_us.known);
    remove_tree();
}

/* Each call failing: a fact is right or unknown. */
static void calls_that_fail(void)
{
    make_tree();
    put_v2();
    long calls = 0;
    for (long n = 0; n <= calls; n++)
        for (unsigned forever = 0; forever < 2; forever++) {
            ebb_fake_reset();
            open_in(tree, "/proc/self");
            ebb__sources_close(&s);
            EXPECT_EQ(ebb__sources_open(&s), 0); /* nothing kept open: the read opens all */
            long before = ebb_fake.calls;
            ebb_fake.fail_at = n;
            ebb_fake.fail_forever = forever != 0;
            ebb__sources_read(&s, &f);
            calls = n == 0 ? ebb_fake.calls - before : calls;
            for (uint32_t i = 0; i < f.count; i++) {
                const struct ebb_pressure_level *l = &f.levels[i];
                EXPECT(!l->usage_bytes.known || l->usage_bytes.value == (l->distance == 0 ? 500000 : 850000));
                EXPECT(!l->clean_bytes.known || l->clean_bytes.value == (l->distance == 0 ? 99000 : 0));
                EXPECT(!l->oom_kills.known || l->oom_kills.value == (l->distance == 0 ? 5 : 50));
            }
            EXPECT(!f.rss_bytes.known || f.rss_bytes.value == 25 * ebb_fake.page_bytes);
            EXPECT(!f.mem_total_bytes.known || f.mem_total_bytes.value == 1000 * 1024);
            EXPECT_EQ(ebb__sources_check(&s), 0);
            ebb_fake.fail_at = 0;
            ebb__sources_close(&s);
            EXPECT_EQ(ebb_fake.fds, 0);
        }
    EXPECT(calls > 15);
    remove_tree();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(the_captured_host),     CASE(version_2_on_arm),
        CASE(version_1_of_old),      CASE(made_up_version_1),
        CASE(nested_limits),         CASE(what_is_missing_is_unknown),
        CASE(changes_make_it_stale), CASE(what_is_kept_open),
        CASE(calls_that_fail),       CASE(no_number_is_left_for_a_while),
    };
    return RUN_CASES(cases);
}
