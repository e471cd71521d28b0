/* SPDX-License-Identifier: MIT
 *
 * The test double itself: limits, failures, page sizes, counts, and preconditions that end the test.
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

static void sums_are_kept(void)
{
    void *m;
    char *p = reserve(EBB_MIB(64), 0);
    EXPECT(ebb_fake.reserved_bytes == EBB_MIB(64) && ebb_fake.committed_bytes == 0 && ebb_fake.mappings == 1);
    EXPECT_EQ(ebb__os_commit(p, EBB_MIB(2)), 0);
    EXPECT(ebb_fake.committed_bytes == EBB_MIB(2) && ebb_fake.mappings == 2);
    EXPECT_EQ(ebb__os_map(EBB_MIB(1), EBB_MIB(1), &m), 0);
    EXPECT(ebb_fake.mapped_bytes == EBB_MIB(1) && ebb_fake.mappings == 3);
    EXPECT_EQ(ebb__os_remap(m, EBB_MIB(1), EBB_MIB(5), &m), 0);
    EXPECT(ebb_fake.mapped_bytes == EBB_MIB(5) && ebb_fake.mappings == 3);
    ebb__os_unmap(m, EBB_MIB(5));
    EXPECT(ebb_fake.mapped_bytes == 0 && ebb_fake.mappings == 2);
    EXPECT_EQ(ebb_fake.calls, 4); /* those that can fail */
    ebb_fake_reset();
    EXPECT(ebb_fake.reserved_bytes == 0 && ebb_fake.mappings == 0 && ebb_fake.calls == 0);
}

/* A page of which any byte was touched counts whole. */
static void resident_model(void)
{
    for (size_t page = 4096; page <= EBB_KIB(64); page *= 4) {
        ebb_fake_reset();
        ebb_fake.page_bytes = page;
        char *p = reserve(EBB_MIB(16), EBB_MIB(8));
        EXPECT_EQ(ebb_fake_resident_bytes(), 0);
        p[0] = 1;
        EXPECT_EQ(ebb_fake_resident_bytes(), page);
        p[4095] = 1;
        p[page - 1] = 1;
        EXPECT_EQ(ebb_fake_resident_bytes(), page);
        for (size_t at = 0; at < EBB_MIB(8); at += 2 * page)
            p[at] = 1;
        EXPECT_EQ(ebb_fake_resident_bytes(), EBB_MIB(4));
        EXPECT_EQ(ebb__os_purge(p, EBB_MIB(4)), 0);
        EXPECT_EQ(ebb_fake_resident_bytes(), EBB_MIB(2));
        EXPECT_EQ(ebb_fake.purged_bytes, EBB_MIB(4));
        EXPECT_EQ(ebb__os_purge(p, EBB_MIB(8)), 0);
        EXPECT_EQ(ebb_fake_resident_bytes(), 0);
    }
}

static void failures_on_demand(void)
{
    void *p;
    ebb_fake.fail_at = 3;
    char *r = reserve(EBB_MIB(4), EBB_MIB(2));
    EXPECT_EQ(ebb__os_map(EBB_KIB(64), EBB_KIB(64), &p), -ENOMEM);
    EXPECT_EQ(ebb_fake.failures, 1);
    EXPECT_EQ(ebb__os_map(EBB_KIB(64), EBB_KIB(64), &p), 0); /* once */
    ebb_fake.fail_at = 1;
    ebb_fake.fail_forever = true;
    EXPECT_EQ(ebb__os_commit(r + EBB_MIB(2), EBB_MIB(2)), -ENOMEM);
    EXPECT_EQ(ebb__os_reserve(EBB_MIB(2), EBB_MIB(2), &p), -ENOMEM);
    EXPECT(ebb__os_purge(r, EBB_MIB(2)) != 0);
    EXPECT_EQ(ebb__os_reserve_at(r, EBB_MIB(2)), -ENOMEM);
    ebb_fake.fail_at = 0;
    EXPECT_EQ(ebb__os_commit(r + EBB_MIB(2), EBB_MIB(2)), 0);
    ebb_fake.locked = true;
    r[0] = 7;
    EXPECT_EQ(ebb__os_purge(r, EBB_MIB(2)), -EINVAL);
    EXPECT_EQ(r[0], 7);
}

static void limits_bite(void)
{
    void *p, *m;
    ebb_fake.as_bytes = EBB_MIB(100);
    EXPECT_EQ(ebb__os_reserve(EBB_MIB(102), EBB_MIB(2), &p), -ENOMEM);
    EXPECT_EQ(ebb__os_reserve(EBB_MIB(90), EBB_MIB(2), &p), 0);
    EXPECT_EQ(ebb__os_map(EBB_MIB(11), EBB_KIB(64), &m), -ENOMEM);
    EXPECT_EQ(ebb__os_map(EBB_MIB(10), EBB_KIB(64), &m), 0);
    ebb_fake.commit_bytes = EBB_MIB(20);
    EXPECT_EQ(ebb__os_commit(p, EBB_MIB(11)), -ENOMEM);
    EXPECT_EQ(ebb__os_commit(p, EBB_MIB(10)), 0);
    EXPECT_EQ(ebb__os_commit((char *)p + EBB_MIB(10), EBB_KIB(64)), -ENOMEM);
    ebb__os_unmap(m, EBB_MIB(10));
    EXPECT_EQ(ebb__os_commit((char *)p + EBB_MIB(10), EBB_KIB(64)), 0);
    struct ebb_os_limits limits;
    ebb__os_limits(&limits);
    EXPECT_EQ(limits.as_bytes, EBB_MIB(100));
}

static void limits_bite_when_a_mapping_grows(void)
{
    void *m, *q;
    EXPECT_EQ(ebb__os_map(EBB_MIB(10), EBB_KIB(64), &m), 0);
    ebb_fake.commit_bytes = EBB_MIB(20);
    EXPECT_EQ(ebb__os_remap(m, EBB_MIB(10), EBB_MIB(21), &q), -ENOMEM);
    EXPECT_EQ(ebb__os_remap(m, EBB_MIB(10), EBB_MIB(20), &q), 0);
    ebb_fake.commit_bytes = SIZE_MAX;
    ebb_fake.as_bytes = EBB_MIB(30);
    EXPECT_EQ(ebb__os_remap(q, EBB_MIB(20), EBB_MIB(31), &m), -ENOMEM);
    EXPECT_EQ(ebb__os_remap(q, EBB_MIB(20), EBB_MIB(5), &m), 0);
}

static void clock_pid_and_environment(void)
{
    ebb_fake.now_ms = 77;
    ebb_fake.pid = 5;
    EXPECT(ebb__os_now_ms() == 77 && ebb__os_pid() == 5 && ebb__os_env("ANY") == NULL);
    ebb_fake.env = "a:1";
    EXPECT(strcmp(ebb__os_env("ANY"), "a:1") == 0);
}

static unsigned exits;

static void count_exit(void *arg)
{
    exits += *(unsigned *)arg;
}

static void thread_exit_runs_once(void)
{
    unsigned one = 1, ten = 10;
    ebb_fake_thread_exit();
    EXPECT_EQ(exits, 0);
    ebb__os_thread_exit_arm(count_exit, &one);
    ebb__os_thread_exit_arm(count_exit, &ten);
    ebb_fake_thread_exit();
    EXPECT_EQ(exits, 10);
    ebb_fake_thread_exit();
    EXPECT_EQ(exits, 10);
}

/* ---- preconditions ---- */

static char *base; /* 16 MiB reserved, 4 MiB committed */
static void *mapping;

static void reserve_odd_size(void *unused)
{
    (void)unused;
    (void)ebb__os_reserve(EBB_MIB(3), EBB_MIB(2), &mapping);
}
static void reserve_odd_alignment(void *unused)
{
    (void)unused;
    (void)ebb__os_reserve(EBB_MIB(2), EBB_MIB(6), &mapping);
}
static void reserve_at_odd_place(void *unused)
{
    (void)unused;
    (void)ebb__os_reserve_at(base + EBB_MIB(17), EBB_MIB(2));
}
static void unreserve_committed(void *unused)
{
    (void)unused;
    ebb__os_unreserve(base, EBB_MIB(16));
}
static void commit_with_a_gap(void *unused)
{
    (void)unused;
    (void)ebb__os_commit(base + EBB_MIB(6), EBB_MIB(2));
}
static void commit_twice(void *unused)
{
    (void)unused;
    (void)ebb__os_commit(base, EBB_MIB(2));
}
static void commit_beyond_the_end(void *unused)
{
    (void)unused;
    (void)ebb__os_commit(base + EBB_MIB(4), EBB_MIB(14));
}
static void commit_odd_size(void *unused)
{
    (void)unused;
    (void)ebb__os_commit(base + EBB_MIB(4), 4096);
}
static void purge_uncommitted(void *unused)
{
    (void)unused;
    (void)ebb__os_purge(base + EBB_MIB(2), EBB_MIB(4));
}
static void purge_part_of_a_page(void *unused)
{
    (void)unused;
    ebb_fake.page_bytes = EBB_KIB(64);
    (void)ebb__os_purge(base, EBB_KIB(4));
}
static void purge_from_mid_page(void *unused)
{
    (void)unused;
    ebb_fake.page_bytes = EBB_KIB(16);
    (void)ebb__os_purge(base + 4096, EBB_KIB(16));
}
static void purge_foreign(void *unused)
{
    (void)unused;
    (void)ebb__os_purge(&mapping, 4096);
}
static void map_odd_size(void *unused)
{
    (void)unused;
    (void)ebb__os_map(4096, EBB_KIB(64), &mapping);
}
static void unmap_a_part(void *unused)
{
    (void)unused;
    ebb__os_unmap(mapping, EBB_KIB(64));
}
static void unmap_a_reservation(void *unused)
{
    (void)unused;
    ebb__os_unmap(base, EBB_MIB(16));
}
static void remap_wrong_length(void *unused)
{
    (void)unused;
    (void)ebb__os_remap(mapping, EBB_KIB(64), EBB_MIB(2), &mapping);
}

static void preconditions_end_the_test(void)
{
    void (*const rows[])(void *) = {
        reserve_odd_size,  reserve_odd_alignment, reserve_at_odd_place,  unreserve_committed,
        commit_with_a_gap, commit_twice,          commit_beyond_the_end, commit_odd_size,
        purge_uncommitted, purge_part_of_a_page,  purge_from_mid_page,   purge_foreign,
        map_odd_size,      unmap_a_part,          unmap_a_reservation,   remap_wrong_length,
    };
    base = reserve(EBB_MIB(16), EBB_MIB(4));
    EXPECT_EQ(ebb__os_map(EBB_MIB(1), EBB_KIB(64), &mapping), 0);
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
        CASE(sums_are_kept),
        CASE(resident_model),
        CASE(failures_on_demand),
        CASE(limits_bite),
        CASE(limits_bite_when_a_mapping_grows),
        CASE(clock_pid_and_environment),
        CASE(thread_exit_runs_once),
        CASE(preconditions_end_the_test),
    };
    return RUN_CASES(cases);
}
