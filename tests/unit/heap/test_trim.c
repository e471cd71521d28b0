/* SPDX-License-Identifier: MIT
 *
 * Trim: what it gives back, what it keeps, and what other threads may do while the kernel has its turn.
 *
 * Every purge goes through this file (the linker's --wrap), so that a test can act in the middle of it, as
 * another thread would.
 */
#include "heap_test.h"

int __real_ebb__os_purge(void *addr, size_t bytes);
int __wrap_ebb__os_purge(void *addr, size_t bytes);

static void (*during_purge)(void *addr, size_t bytes);

int __wrap_ebb__os_purge(void *addr, size_t bytes)
{
    void (*act)(void *, size_t) = during_purge;
    during_purge = NULL; /* once */
    if (act != NULL)
        act(addr, bytes);
    return __real_ebb__os_purge(addr, bytes);
}

/* ---- what goes back ---- */

static void everything_goes_back(size_t page_bytes)
{
    ebb_fake.page_bytes = page_bytes;
    char *blocks[200];
    struct support_rng rng = {support_seed("everything_goes_back")};
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++) {
        size_t bytes = support_between(&rng, EBB_KIB(33), EBB_MIB(3));
        blocks[i] = span(bytes);
        memset(blocks[i], 1, bytes);
    }
    size_t held = ebb_fake_resident_bytes();
    EXPECT(held > EBB_MIB(200));
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++)
        ebb__heap_large_free(blocks[i]);
    EXPECT_EQ(ebb_fake_resident_bytes(), held);
    size_t dirty = stats_now().dirty_bytes;
    EXPECT_EQ(ebb__heap_trim(0), dirty);
    EXPECT_HEAP_OK();
    EXPECT_EQ(stats_now().dirty_bytes, 0);
    EXPECT_EQ(stats_now().backed_bytes, 0);
    /* What stays is metadata. */
    EXPECT_MSG(ebb_fake_resident_bytes() <= held / 50, "%zu of %zu stay", ebb_fake_resident_bytes(), held);
    EXPECT_EQ(ebb__heap_trim(0), 0);
    char *p = ebb__heap_span_alloc(EBB_MIB(3), EBB_UNIT_BYTES, true);
    EXPECT(p != NULL && support_is_zero(p, EBB_MIB(3)));
    EXPECT_HEAP_OK();
}

static void everything_goes_back_4k(void)
{
    everything_goes_back(EBB_KIB(4));
}

static void everything_goes_back_16k(void)
{
    everything_goes_back(EBB_KIB(16));
}

static void everything_goes_back_64k(void)
{
    everything_goes_back(EBB_KIB(64));
}

static void keeps_what_it_is_told(void)
{
    char *blocks[20];
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++) {
        blocks[i] = span(EXTENTS(1));
        memset(blocks[i], 1, EXTENTS(1));
    }
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++)
        ebb__heap_large_free(blocks[i]);
    EXPECT_EQ(ebb__heap_trim(EXTENTS(20)), 0);
    EXPECT_EQ(ebb__heap_trim(EXTENTS(12)), EXTENTS(8));
    EXPECT_EQ(stats_now().dirty_bytes, EXTENTS(12));
    EXPECT_EQ(ebb__heap_trim(SIZE_MAX), 0);
    EXPECT_HEAP_OK();
    /* The highest went: the lowest are still backed and are what comes next. */
    for (unsigned i = 0; i < 12; i++)
        EXPECT(span(EXTENTS(1)) == blocks[i]);
    EXPECT_EQ(stats_now().dirty_bytes, 0);
}

static void partly_used_extents_stay(void)
{
    char *p = span(UNITS(300)), *q = span(UNITS(100));
    memset(p, 1, UNITS(300));
    memset(q, 2, UNITS(100));
    ebb__heap_large_free(p);
    (void)ebb__heap_trim(0);
    EXPECT_EQ(q[UNITS(100) - 1], 2);
    EXPECT_HEAP_OK();
}

/* Each class keeps one empty slab; trim takes that too. */
static void empty_slabs_go_back(void)
{
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++) {
        void *p = block(c);
        memset(p, 1, ebb__classes[c].bytes);
        give(c, p);
        EXPECT_EQ(ebb__bins[c].empty_count, 1);
        EXPECT(stats_now().backed_bytes != 0);
        (void)ebb__heap_trim(0);
        EXPECT_HEAP_OK();
        EXPECT_MSG(ebb__bins[c].empty_count == 0 && stats_now().backed_bytes == 0, "class %u of %u blocks", c,
                   ebb__classes[c].blocks);
    }
}

static void locked_memory_stays(void)
{
    char *p = span(EXTENTS(3));
    memset(p, 0xa5, EXTENTS(3));
    ebb__heap_large_free(p);
    ebb_fake.locked = true;
    EXPECT_EQ(ebb__heap_trim(0), 0);
    EXPECT_HEAP_OK();
    EXPECT_EQ(stats_now().dirty_bytes, EXTENTS(3));
    char *q = ebb__heap_span_alloc(EXTENTS(3), EBB_UNIT_BYTES, true);
    EXPECT(q == p && support_is_zero(q, EXTENTS(3))); /* still backed, so it was cleared by hand */
    memset(q, 0xa5, EXTENTS(3));
    ebb__heap_large_free(q);
    ebb_fake.locked = false;
    EXPECT_EQ(ebb__heap_trim(0), EXTENTS(3));
    EXPECT_HEAP_OK();
}

static void locked_large_blocks_stay(void)
{
    static const size_t sizes[] = {EBB_MIB(40), EBB_MIB(130), EBB_MIB(160) + 5000};
    ebb_fake.locked = true;
    for (size_t i = 0; i < EBB_ARRAY_COUNT(sizes); i++) {
        char *p = span(sizes[i]);
        memset(p, 0xa5, sizes[i]);
        ebb__heap_large_free(p);
        EXPECT_HEAP_OK();
        char *q = ebb__heap_span_alloc(sizes[i], EBB_UNIT_BYTES, true);
        EXPECT(q != NULL && support_is_zero(q, sizes[i]));
        ebb__heap_large_free(q);
        EXPECT_HEAP_OK();
    }
}

/* ---- in the middle of it ---- */

static char *neighbour;
static size_t grow_to_units;
static bool grew;

static void grow_neighbour(void *addr, size_t bytes)
{
    (void)addr;
    (void)bytes;
    grew = ebb__heap_large_resize(neighbour, UNITS(grow_to_units)) == neighbour;
    if (grew)
        memset(neighbour, 0x5a, UNITS(grow_to_units));
}

/* A block that grows where it is, while the extent behind it is at the kernel, must not get that extent. */
static void growth_keeps_out_of_a_purge(void)
{
    neighbour = span(EXTENTS(2));
    char *behind = span(EXTENTS(1));
    EXPECT(behind == neighbour + EXTENTS(2));
    memset(neighbour, 0x5a, EXTENTS(2));
    memset(behind, 1, EXTENTS(1));
    ebb__heap_large_free(behind);
    grow_to_units = 2 * EBB_EXTENT_UNITS + 200;
    during_purge = grow_neighbour;
    (void)ebb__heap_trim(0);
    size_t units = grew ? grow_to_units : 2 * EBB_EXTENT_UNITS;
    for (size_t u = 0; u < units; u++)
        EXPECT_MSG(neighbour[UNITS(u)] == 0x5a, "unit %zu of a living block was given to the kernel", u);
    EXPECT_HEAP_OK();
    ebb__heap_large_free(neighbour);
    EXPECT_HEAP_OK();
}

static char *taken[600];
static unsigned taken_count;
static char *advised;

static void take_all_around(void *addr, size_t bytes)
{
    advised = addr;
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(taken); i++) {
        char *p = span(i % 3 == 0 ? EXTENTS(1) : i % 3 == 1 ? UNITS(20) : UNITS(100));
        EXPECT_MSG(p + 1 <= advised || p >= advised + bytes, "%p was handed out under advice", p);
        memset(p, 0x77, UNITS(20));
        taken[taken_count++] = p;
    }
}

static void nothing_under_advice_is_handed_out(void)
{
    char *p = span(EXTENTS(8));
    memset(p, 1, EXTENTS(8));
    ebb__heap_large_free(p);
    during_purge = take_all_around;
    (void)ebb__heap_trim(EXTENTS(2));
    EXPECT(taken_count == EBB_ARRAY_COUNT(taken));
    for (unsigned i = 0; i < taken_count; i++)
        EXPECT_EQ(taken[i][UNITS(20) - 1], 0x77);
    EXPECT_HEAP_OK();
}

static void check_in_forked_child(void *addr, size_t bytes)
{
    (void)addr;
    (void)bytes;
    int status;
    (void)fflush(NULL);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        ebb__heap_after_fork();
        int rc = ebb__heap_check();
        for (unsigned i = 0; rc == 0 && i < 50; i++) {
            char *p = ebb__heap_span_alloc(EXTENTS(1), EBB_UNIT_BYTES, true);
            if (p == NULL || !support_is_zero(p, EXTENTS(1)))
                rc = 1;
        }
        _exit(rc == 0 ? 0 : 1);
    }
    EXPECT(waitpid(pid, &status, 0) == pid);
    EXPECT_MSG(status == 0, "the child of a fork during a purge: status 0x%x", (unsigned)status);
}

static void fork_during_a_purge(void)
{
    /* Among so many extents are some that share all OS pages of their descriptors with each other. */
    char *p = span(EXTENTS(12)), *q = span(UNITS(100));
    memset(p, 1, EXTENTS(12));
    ebb__heap_large_free(p);
    during_purge = check_in_forked_child;
    (void)ebb__heap_trim(0);
    EXPECT(during_purge == NULL);
    ebb__heap_large_free(q);
    EXPECT_HEAP_OK();
}

static void fork_during_the_return_of_a_large_block(void)
{
    char *p = span(EBB_MIB(40));
    memset(p, 1, EBB_MIB(40));
    during_purge = check_in_forked_child;
    ebb__heap_large_free(p);
    EXPECT(during_purge == NULL);
    EXPECT_HEAP_OK();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(everything_goes_back_4k),     CASE(everything_goes_back_16k),
        CASE(everything_goes_back_64k),    CASE(keeps_what_it_is_told),
        CASE(partly_used_extents_stay),    CASE(empty_slabs_go_back),
        CASE(locked_memory_stays),         CASE(locked_large_blocks_stay),
        CASE(growth_keeps_out_of_a_purge), CASE(nothing_under_advice_is_handed_out),
        CASE(fork_during_a_purge),         CASE(fork_during_the_return_of_a_large_block),
    };
    small_reservations();
    return RUN_CASES(cases);
}
