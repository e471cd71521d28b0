/* SPDX-License-Identifier: MIT
 *
 * Address space: how large reservations are, how the frontier moves, what happens when the kernel says no.
 */
#include "heap_test.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t first_reservation(void)
{
    EXPECT_EQ(ebb__heap_init(), 0);
    EXPECT_EQ(ebb__space.reservation_count, 1);
    EXPECT_EQ(ebb_fake.reserved_bytes, ebb__space.reservations[0].bytes);
    EXPECT_EQ(ebb__space.reservations[0].base % EBB_GROUP_BYTES, 0);
    long calls = ebb_fake.calls;
    EXPECT_EQ(ebb__heap_init(), 0); /* idempotent */
    EXPECT_EQ(ebb_fake.calls, calls);
    return ebb_fake.reserved_bytes;
}

static void four_times_the_memory(void)
{
    ebb_fake.ram_bytes = EBB_GIB(5);
    EXPECT_EQ(first_reservation(), EBB_GIB(32)); /* the next power of two */
}

static void at_least_sixteen_gib(void)
{
    ebb_fake.ram_bytes = EBB_MIB(512);
    EXPECT_EQ(first_reservation(), EBB_GIB(16));
}

static void memory_unknown(void)
{
    ebb_fake.ram_bytes = 0;
    EXPECT_EQ(first_reservation(), EBB_GIB(16));
}

static void a_quarter_of_the_address_space(void)
{
    ebb_fake.as_bytes = EBB_GIB(4) + EBB_MIB(300);
    EXPECT_EQ(first_reservation(), EBB_GIB(1)); /* whole groups */
}

static void a_quarter_of_little_address_space(void)
{
    ebb_fake.as_bytes = EBB_MIB(100) + 12345;
    EXPECT_EQ(first_reservation(), EBB_MIB(26));
}

static void a_quarter_of_what_may_be_locked(void)
{
    ebb_fake.memlock_bytes = EBB_GIB(1);
    EXPECT_EQ(first_reservation(), EBB_MIB(256));
}

static void a_default_memlock_limit_is_not_heeded(void)
{
    ebb_fake.ram_bytes = EBB_GIB(1);
    ebb_fake.memlock_bytes = EBB_MIB(8);
    EXPECT_EQ(first_reservation(), EBB_GIB(16));
}

/* The kernel refuses: halves, until it agrees. */
static void halves_when_refused(void)
{
    ebb_fake.ram_bytes = EBB_GIB(1);
    ebb_fake.fail_at = 1;
    EXPECT_EQ(first_reservation(), EBB_GIB(8));
}

static void refused_for_ever(void)
{
    ebb_fake.fail_at = 1;
    ebb_fake.fail_forever = true;
    EXPECT_EQ(ebb__heap_init(), -ENOMEM);
    EXPECT(ebb_fake.calls < 40);
    EXPECT_EQ(ebb_fake.reserved_bytes, 0);
    void *p;
    EXPECT_EQ(ebb__heap_take(1, &p, 1), 0);
    EXPECT(ebb__heap_span_alloc(EBB_MIB(1), EBB_UNIT_BYTES, false) == NULL);
    EXPECT_HEAP_OK();
    ebb_fake.fail_at = 0; /* the next call tries again */
    small_reservations();
    EXPECT_EQ(ebb__heap_take(1, &p, 1), 1);
    (void)span(EBB_MIB(1));
    EXPECT_HEAP_OK();
}

/* The frontier moves by 4 MiB, then by an eighth of what is committed, then by 1 GiB at the most. */
static void steps_of_the_frontier(void)
{
    size_t committed = 0;
    ebb_fake.ram_bytes = EBB_GIB(1);
    EXPECT_EQ(ebb__heap_init(), 0);
    EXPECT_EQ(ebb_fake.committed_bytes, 0);
    for (unsigned i = 0; i < 3000 && committed < EBB_GIB(10); i++) {
        (void)span(EXTENTS(2));
        if (ebb_fake.committed_bytes == committed)
            continue;
        size_t step = ebb_fake.committed_bytes - committed,
               want = ebb__align_down(committed / 8, EBB_EXTENT_BYTES);
        want = ebb__min(ebb__max(want, EBB_MIB(4)), EBB_GIB(1));
        EXPECT_MSG(step >= want && step <= want + EBB_MIB(6), "%zu after %zu, wanted %zu", step, committed,
                   want);
        committed = ebb_fake.committed_bytes;
    }
    EXPECT(EBB_COUNTED(commits) < 100);
    EXPECT_EQ(stats_now().committed_bytes, committed);
    EXPECT_EQ(ebb_fake.mappings, 2);
    EXPECT_EQ(stats_now().mappings, 2);
}

/* Near the limit just what is needed is asked for; at the limit the allocation fails and nothing else. */
static void commit_limit(void)
{
    small_reservations();
    ebb_fake.commit_bytes = EBB_MIB(203);
    unsigned n = 0;
    char *last = NULL, *p;
    while ((p = ebb__heap_span_alloc(EXTENTS(1), EBB_UNIT_BYTES, false)) != NULL) {
        last = p;
        n++;
    }
    /* 202 MiB: two groups' metadata and 99 extents. */
    EXPECT_EQ(ebb_fake.committed_bytes, EBB_MIB(202));
    EXPECT_EQ(n, 99);
    EXPECT(EBB_COUNTED(commit_failures) >= 1);
    EXPECT_HEAP_OK();
    EXPECT(ebb__heap_span_alloc(1, EBB_UNIT_BYTES, false) == NULL);
    void *small;
    EXPECT_EQ(ebb__heap_take(1, &small, 1), 0);
    ebb__heap_large_free(last);
    EXPECT_EQ(ebb__heap_take(1, &small, 1), 1);
    (void)small;
    EXPECT_HEAP_OK();
}

/* Memory that is committed and free serves, though the first reservation could still grow but may not. */
static void committed_memory_of_a_later_reservation_serves(void)
{
    ebb_fake.memlock_bytes = EBB_MIB(512); /* reservations of 128 MiB */
    (void)span(EBB_MIB(20));
    char *far = span(EBB_MIB(120)); /* the first has no room for it */
    EXPECT_EQ(ebb__space.reservation_count, 2);
    ebb__heap_large_free(far);                        /* purged: clean, and committed for good */
    ebb_fake.commit_bytes = ebb_fake.committed_bytes; /* from now on the kernel gives nothing */
    for (unsigned i = 0; i < 60; i++)
        if (ebb__heap_span_alloc(EXTENTS(1), EBB_UNIT_BYTES, false) == NULL)
            EXPECT_MSG(false, "only %u extents were to be had of %zu MiB that are committed and free", i,
                       EBB_MIB(120) >> 20);
    EXPECT_HEAP_OK();
}

/* A limit on locked memory makes the first reservations small. A program that locks nothing has memory beyond it. */
static void small_limits_do_not_end_the_heap(void)
{
    ebb_fake.memlock_bytes = EBB_MIB(256);
    static char *blocks[4000];
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++)
        (blocks[i] = span(EXTENTS(1)))[0] = 1;
    EXPECT_EQ(ebb__space.reservation_count, EBB_RESERVATIONS_MAX);
    EXPECT_EQ(ebb__space.reservations[0].bytes, EBB_MIB(64));
    EXPECT_EQ(ebb__space.reservations[1].bytes, EBB_MIB(64));
    EXPECT_EQ(ebb__space.reservations[2].bytes, EBB_GIB(64));
    EXPECT_HEAP_OK();
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++)
        ebb__heap_large_free(blocks[i]);
    EXPECT_HEAP_OK();
    EXPECT_EQ(stats_now().span_bytes, 0);
    EXPECT_EQ(stats_now().reserved_bytes, ebb_fake.reserved_bytes);
}

/* Groups behind the last one that the reservation has whole. */
static void odd_reservation(void)
{
    ebb_fake.as_bytes = EBB_MIB(4 * 130); /* 130 MiB is a group and a bit, so 128 */
    EXPECT_EQ(first_reservation(), EBB_MIB(128));
    char *p = span(EBB_MIB(126));
    EXPECT_EQ(stats_now().span_bytes, EBB_MIB(126));
    char *q = span(EBB_MIB(1));
    EXPECT_EQ(ebb__space.reservation_count, 2);
    ebb__heap_large_free(p);
    ebb__heap_large_free(q);
    EXPECT_HEAP_OK();
}

/* More address space directly behind the reservation makes it longer and costs no mapping. */
static void longer_in_place(void)
{
    ebb_fake.memlock_bytes = EBB_MIB(512);
    ebb_fake.behind_bytes = EBB_GIB(1);
    for (unsigned i = 0; i < 80; i++)
        (void)span(EXTENTS(1));
    EXPECT_EQ(ebb__space.reservation_count, 1);
    EXPECT_EQ(ebb__space.reservations[0].bytes, EBB_MIB(256));
    EXPECT_EQ(ebb__space.reservations[0].group_count, 2);
    EXPECT_EQ(ebb_fake.reserved_bytes, EBB_MIB(256));
    EXPECT_EQ(ebb_fake.mappings, 2);
    EXPECT_HEAP_OK();
}

static void elsewhere_when_something_is_behind(void)
{
    ebb_fake.memlock_bytes = EBB_MIB(512);
    (void)span(1);
    uintptr_t behind = ebb__space.reservations[0].base + EBB_MIB(128);
    (void)mmap((void *)behind, 65536, PROT_NONE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    char *blocks[100];
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++) {
        blocks[i] = span(EXTENTS(1));
        support_fill(blocks[i], EXTENTS(1), i);
    }
    EXPECT_EQ(ebb__space.reservation_count, 2);
    EXPECT(ebb__space.reservations[1].base != behind);
    EXPECT_HEAP_OK();
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++) {
        EXPECT(support_kept(blocks[i], EXTENTS(1), EXTENTS(1), i));
        ebb__heap_large_free(blocks[i]);
    }
    EXPECT_HEAP_OK();
    /* A block larger than what is left of both asks for a third. */
    char *wide = span(EBB_MIB(500));
    support_fill(wide, EBB_MIB(500), 1);
    EXPECT_EQ(ebb__space.reservation_count, 3);
    EXPECT_HEAP_OK();
    ebb__heap_large_free(wide);
    EXPECT_HEAP_OK();
}

/* Mappings that lie in our reservations, as the kernel shows them. */
static unsigned kernel_mappings(void)
{
    char line[512];
    unsigned count = 0;
    FILE *file = fopen("/proc/self/maps", "re");
    EXPECT(file != NULL);
    while (fgets(line, sizeof(line), file) != NULL) {
        char *end;
        uintptr_t low = strtoull(line, &end, 16), high = strtoull(end + 1, NULL, 16);
        bool ours = false;
        for (uint32_t i = 0; i < ebb__space.reservation_count; i++) {
            const struct reservation *r = &ebb__space.reservations[i];
            ours |= low < r->base + r->bytes && high > r->base;
        }
        count += ours;
    }
    (void)fclose(file);
    return count;
}

static void mappings_as_the_kernel_counts(size_t memlock_bytes, bool block_the_way)
{
    ebb_fake.memlock_bytes = memlock_bytes;
    for (unsigned i = 0; i < 400; i++) {
        (void)span(EXTENTS(1));
        const struct reservation *last = &ebb__space.reservations[ebb__space.reservation_count - 1];
        if (block_the_way && i % 40 == 0)
            (void)mmap((void *)(last->base + last->bytes), 65536, PROT_READ,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        unsigned kernel = kernel_mappings();
        EXPECT_MSG(stats_now().mappings == kernel,
                   "%zu in the statistics, %u for the kernel, %u reservations, step %u", stats_now().mappings,
                   kernel, ebb__space.reservation_count, i);
        EXPECT_MSG(ebb_fake.mappings == kernel, "%u in the fake, %u for the kernel, %u reservations, step %u",
                   ebb_fake.mappings, kernel, ebb__space.reservation_count, i);
    }
}

static void mappings_of_one_reservation(void)
{
    mappings_as_the_kernel_counts(EBB_GIB(8), false);
}

static void mappings_of_a_reservation_that_becomes_longer(void)
{
    ebb_fake.behind_bytes = EBB_GIB(2);
    mappings_as_the_kernel_counts(EBB_MIB(512), false);
    EXPECT_EQ(ebb__space.reservation_count, 1);
    EXPECT_EQ(ebb_fake.mappings, 2);
}

static void mappings_of_scattered_reservations(void)
{
    mappings_as_the_kernel_counts(EBB_MIB(512), true);
    EXPECT_EQ(ebb__space.reservation_count, EBB_RESERVATIONS_MAX);
}

static void mappings_of_small_reservations(void)
{
    mappings_as_the_kernel_counts(EBB_MIB(256), false);
}

/* ---- eight mappings, two of them the background thread's stack ---- */

#define MAPPINGS_MAX 6u

static void expect_few_mappings(void)
{
    unsigned kernel = kernel_mappings();
    EXPECT_MSG(kernel <= MAPPINGS_MAX, "%u mappings", kernel);
    EXPECT_EQ(ebb_fake.mappings, kernel);
    EXPECT_EQ(stats_now().mappings, kernel);
}

static char *filling[600];

/* Extents until there are no more. */
static unsigned fill_up(void)
{
    unsigned n = 0;
    while ((filling[n] = ebb__heap_span_alloc(EXTENTS(1), EBB_UNIT_BYTES, false)) != NULL) {
        support_fill(filling[n], 4096, n);
        expect_few_mappings();
        EXPECT(++n < EBB_ARRAY_COUNT(filling));
    }
    return n;
}

/* All address space that one GiB of it allows: a quarter, a quarter, a half. Behind the last, `behind_bytes` are free. */
static unsigned three_full_reservations(size_t behind_bytes)
{
    ebb_fake.as_bytes = EBB_GIB(1);
    (void)span(EXTENTS(63));
    (void)span(EXTENTS(63));
    (void)span(EXTENTS(63));
    EXPECT_EQ(ebb__space.reservation_count, 2);
    ebb_fake.behind_bytes = behind_bytes;
    unsigned n = fill_up();
    EXPECT_EQ(ebb__space.reservation_count, 3);
    EXPECT_EQ(ebb__space.reservations[0].bytes, EBB_MIB(256));
    EXPECT_EQ(ebb__space.reservations[1].bytes, EBB_MIB(256));
    EXPECT_EQ(ebb__space.reservations[2].bytes, EBB_MIB(512));
    EXPECT_EQ(n, (8 - 3) * 63);
    return n;
}

static void expect_refused(void)
{
    static const size_t sizes[] = {1, UNITS(100), EXTENTS(1), EXTENTS(63), EBB_GIB(2)};
    size_t reserved = ebb_fake.reserved_bytes;
    void *small;
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(sizes); i++)
        EXPECT(ebb__heap_span_alloc(sizes[i], EBB_UNIT_BYTES, false) == NULL);
    EXPECT_EQ(ebb__heap_take(ebb__class_of(100), &small, 1), 0);
    EXPECT_EQ(ebb__space_reserve(EBB_EXTENT_BYTES, ebb__space.group_count), -ENOMEM);
    EXPECT_EQ(ebb__space.reservation_count, 3);
    EXPECT_EQ(ebb_fake.reserved_bytes, reserved);
    expect_few_mappings();
    EXPECT_HEAP_OK();
}

static char *end_of_the_last(void)
{
    const struct reservation *last = &ebb__space.reservations[2];
    return (char *)last->base + last->bytes;
}

/* If nothing is there yet. */
static void fence(char *at)
{
    (void)mmap(at, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}

/* The kernel would give it, somewhere else. */
static void a_fourth_reservation_is_refused(void)
{
    unsigned n = three_full_reservations(0);
    size_t others = stats_now().span_bytes - n * EXTENTS(1);
    fence(end_of_the_last());
    ebb_fake.as_bytes = SIZE_MAX;
    expect_refused();
    for (unsigned round = 0; round < 2; round++) { /* nothing is lost */
        for (unsigned i = 0; i < n; i++) {
            EXPECT(support_kept(filling[i], 4096, 4096, i));
            ebb__heap_large_free(filling[i]);
        }
        EXPECT_EQ(stats_now().span_bytes, others);
        EXPECT_HEAP_OK();
        EXPECT_EQ(fill_up(), n);
    }
    expect_refused();
    ebb__heap_large_free(filling[n / 2]);
    (void)block(ebb__class_of(100));
    EXPECT_HEAP_OK();
}

static void a_child_inherits_how_many_there_are(void)
{
    (void)three_full_reservations(0);
    fence(end_of_the_last());
    ebb_fake.as_bytes = SIZE_MAX;
    int status;
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        atomic_store(&ebb__grow_lock.state, 1); /* whoever held it is not here */
        ebb__heap_after_fork();
        EXPECT_HEAP_OK();
        EXPECT_EQ(ebb__space_reserve(EBB_EXTENT_BYTES, ebb__space.group_count), -ENOMEM);
        EXPECT_EQ(ebb__space.reservation_count, 3);
        _exit(0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

static void what_the_kernel_refuses_does_not_count(void)
{
    ebb_fake.memlock_bytes = EBB_MIB(512);
    (void)span(EXTENTS(62));
    for (unsigned i = 0; i < 10; i++) {
        ebb_fake.fail_at = 1;
        ebb_fake.fail_forever = true;
        EXPECT(ebb__heap_span_alloc(EXTENTS(62), EBB_UNIT_BYTES, false) == NULL);
        EXPECT_EQ(ebb__space.reservation_count, 1);
        ebb_fake.fail_at = 0;
        ebb_fake.fail_forever = false;
    }
    (void)span(EXTENTS(62));
    (void)span(EXTENTS(62));
    EXPECT_EQ(ebb__space.reservation_count, 3);
    expect_few_mappings();
    EXPECT_HEAP_OK();
}

/* Behind the last of three there is still more to be had, as long as nothing is in its way. */
static void the_last_one_becomes_longer(void)
{
    (void)three_full_reservations(EBB_GIB(1) + EBB_MIB(64));
    ebb_fake.as_bytes = EBB_GIB(2);
    char *behind = end_of_the_last();
    fence(behind);
    expect_refused();
    EXPECT_EQ(munmap(behind, 65536), 0);
    EXPECT(span(EXTENTS(1)) == behind + EXTENTS(1));
    EXPECT_EQ(ebb__space.reservation_count, 3);
    EXPECT_EQ(ebb__space.reservations[2].bytes, EBB_MIB(512) + EBB_GIB(1));
    expect_few_mappings();
    EXPECT_HEAP_OK();
}

/* Blocks that do not fit the rest leave it behind: it must not stay a mapping of its own. They lie across the seams. */
static void wide_blocks_over_the_seams(void)
{
    static const size_t sizes[] = {EXTENTS(35), EXTENTS(70), EXTENTS(150), EXTENTS(300)};
    char *blocks[40];
    ebb_fake.memlock_bytes = EBB_MIB(512);
    ebb_fake.behind_bytes = EBB_GIB(16);
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++) {
        blocks[i] = span(sizes[i % EBB_ARRAY_COUNT(sizes)]);
        support_fill(blocks[i], 4096, i);
        EXPECT(ebb_fake.mappings <= 2);
        expect_few_mappings();
    }
    EXPECT_EQ(ebb__space.reservation_count, 1);
    EXPECT_HEAP_OK();
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++) {
        EXPECT(support_kept(blocks[i], 4096, 4096, i));
        ebb__heap_large_free(blocks[i]);
        EXPECT_HEAP_OK();
    }
    EXPECT_EQ(stats_now().span_bytes, 0);
    expect_few_mappings();
}

/* Where huge pages come unasked, what is added is marked as a whole. */
static void longer_without_huge_pages(void)
{
    ebb_fake.thp = EBB_THP_ALWAYS;
    ebb_fake.memlock_bytes = EBB_MIB(512);
    ebb_fake.behind_bytes = EBB_GIB(1);
    for (unsigned i = 0; i < 200; i++)
        (void)span(EXTENTS(1));
    EXPECT_EQ(ebb__space.reservation_count, 1);
    EXPECT_EQ(ebb_fake.reserved_bytes, EBB_MIB(512));
    EXPECT_EQ(ebb_fake.no_huge_bytes, ebb_fake.reserved_bytes);
    expect_few_mappings();
}

/* A long chain under an address space limit: the reservation is as large as it must be. */
static void wide_block_under_a_limit(void)
{
    ebb_fake.as_bytes = EBB_GIB(1);
    (void)span(EBB_MIB(1));
    EXPECT_EQ(ebb_fake.reserved_bytes, EBB_MIB(256));
    char *p = span(EBB_MIB(400));
    EXPECT(ebb_fake.reserved_bytes <= EBB_GIB(1));
    ebb__heap_large_free(p);
    EXPECT(ebb__heap_span_alloc(EBB_MIB(900), EBB_UNIT_BYTES, false) == NULL);
    EXPECT_HEAP_OK();
    EXPECT(span(EBB_MIB(400)) == p);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(four_times_the_memory),
        CASE(at_least_sixteen_gib),
        CASE(memory_unknown),
        CASE(a_quarter_of_the_address_space),
        CASE(a_quarter_of_little_address_space),
        CASE(a_quarter_of_what_may_be_locked),
        CASE(a_default_memlock_limit_is_not_heeded),
        CASE(halves_when_refused),
        CASE(refused_for_ever),
        CASE(steps_of_the_frontier),
        CASE(commit_limit),
        CASE(committed_memory_of_a_later_reservation_serves),
        CASE(small_limits_do_not_end_the_heap),
        CASE(odd_reservation),
        CASE(longer_in_place),
        CASE(elsewhere_when_something_is_behind),
        CASE(mappings_of_one_reservation),
        CASE(mappings_of_a_reservation_that_becomes_longer),
        CASE(mappings_of_scattered_reservations),
        CASE(mappings_of_small_reservations),
        CASE(a_fourth_reservation_is_refused),
        CASE(a_child_inherits_how_many_there_are),
        CASE(what_the_kernel_refuses_does_not_count),
        CASE(the_last_one_becomes_longer),
        CASE(wide_blocks_over_the_seams),
        CASE(longer_without_huge_pages),
        CASE(wide_block_under_a_limit),
    };
    return RUN_CASES(cases);
}
