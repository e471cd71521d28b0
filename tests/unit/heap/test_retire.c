/* SPDX-License-Identifier: MIT
 *
 * Groups that are empty: their metadata goes back, they are as if they had never been used, and can be used again.
 */
#include "crowd.h"

int __real_ebb__os_purge(void *addr, size_t bytes);
int __wrap_ebb__os_purge(void *addr, size_t bytes);

static void (*during_purge)(void *addr, size_t bytes);
static bool refuse;

int __wrap_ebb__os_purge(void *addr, size_t bytes)
{
    void (*fn)(void *, size_t) = during_purge;
    during_purge = NULL; /* once */
    if (fn != NULL)
        fn(addr, bytes);
    return refuse ? -EINVAL : __real_ebb__os_purge(addr, bytes);
}

#define GROUPS 4u

static enum ebb_group_state state_of(uint32_t g)
{
    return (enum ebb_group_state)ebb__space.state[g];
}

/* Blocks of all kinds until so many groups are in use; then none. */
static void fill_and_empty(uint64_t seed)
{
    struct support_rng rng = {seed};
    while (state_of(GROUPS - 1) != EBB_GROUP_ACTIVE) {
        for (unsigned c = 1; c < EBB_CLASS_COUNT; c += 5)
            crowd_take(c, ebb__classes[c].blocks);
        crowd_take_span(support_between(&rng, 1, EBB_MIB(1)), false);
        crowd_take_span(support_between(&rng, EBB_MIB(1), EBB_MIB(20)), false);
    }
    EXPECT_HEAP_OK();
    crowd_thin_out(&rng, 0);
    ebb__heap_tidy_slabs();
    (void)ebb__heap_purge_free(0, SIZE_MAX, 0);
    EXPECT_HEAP_OK();
    EXPECT_EQ(ebb__heap_backed_bytes(), 0);
}

static void empty_groups_become_virgin(void)
{
    uint64_t seed = support_seed("empty_groups_become_virgin");
    for (unsigned round = 0; round < 3; round++) {
        fill_and_empty(seed + round);
        const char *wild[] = {(char *)ebb__space.groups[1] + EXTENTS(3), (char *)ebb__space.groups[2] + 128};
        size_t usable, before = resident_metadata();
        ebb__heap_retire_groups();
        EXPECT_HEAP_OK();
        EXPECT_MSG(resident_metadata() < before, "%zu of %zu stay", resident_metadata(), before);
        EXPECT(state_of(0) == EBB_GROUP_ACTIVE); /* the one that stays */
        EXPECT_EQ(resident_metadata(), resident_in(ebb__space.groups[0], EBB_EXTENT_BYTES));
        EXPECT_EQ(ebb_fake_resident_bytes(), resident_metadata());
        for (uint32_t g = 1; g < GROUPS; g++) {
            EXPECT_EQ(state_of(g), EBB_GROUP_VIRGIN);
            EXPECT(!ebb__is_owned((void *)ebb__space.groups[g]));
            EXPECT(support_is_zero((void *)ebb__space.groups[g], EBB_EXTENT_BYTES));
        }
        (void)ebb__heap_trim(0); /* the look has touched them */
        for (unsigned i = 0; i < EBB_ARRAY_COUNT(wild); i++)
            EXPECT_EQ(ebb__heap_kind(wild[i], true, &usable), EBB_BLOCK_FOREIGN);
        ebb__heap_retire_groups(); /* nothing is left to do */
        EXPECT_HEAP_OK();
    }
}
FOR_EACH_PAGE_SIZE(empty_groups_become_virgin)

static void long_chains_lie_over_retired_groups(void)
{
    fill_and_empty(support_seed("long_chains_lie_over_retired_groups"));
    ebb__heap_retire_groups();
    for (unsigned i = 0; i < 3; i++) {
        char *p = ebb__heap_span_alloc(EBB_MIB(300), EBB_UNIT_BYTES, true);
        EXPECT(p != NULL && (uintptr_t)p < ebb__space.groups[GROUPS]);
        for (size_t at = 0; at < EBB_MIB(300); at += EBB_KIB(64)) {
            EXPECT_EQ(p[at], 0);
            p[at] = 1;
        }
        EXPECT_HEAP_OK();
        ebb__heap_retire_groups(); /* the inside of a chain is no empty group */
        EXPECT_HEAP_OK();
        for (size_t at = 0; at < EBB_MIB(300); at += EBB_KIB(64))
            EXPECT_EQ(p[at], 1);
        ebb__heap_large_free(p);
        ebb__heap_retire_groups();
        EXPECT_HEAP_OK();
    }
}
FOR_EACH_PAGE_SIZE(long_chains_lie_over_retired_groups)

static void groups_with_anything_stay(void)
{
    fill_and_empty(support_seed("groups_with_anything_stay"));
    char *many[GROUPS * 63], *kept = NULL, *dirty = NULL;
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(many); i++) {
        many[i] = span(EXTENTS(1));
        if ((uintptr_t)many[i] > ebb__space.groups[1] && kept == NULL)
            kept = many[i];
        if ((uintptr_t)many[i] > ebb__space.groups[2] && dirty == NULL)
            dirty = many[i];
    }
    EXPECT(kept != NULL && dirty != NULL);
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(many); i++)
        if (many[i] != kept && many[i] != dirty)
            ebb__heap_large_free(many[i]);
    (void)ebb__heap_purge_free(0, SIZE_MAX, 0);
    ebb__heap_large_free(dirty);
    support_fill(kept, EXTENTS(1), 7);
    ebb__heap_retire_groups();
    EXPECT_HEAP_OK();
    EXPECT_EQ(state_of(1), EBB_GROUP_ACTIVE); /* has a block */
    EXPECT_EQ(state_of(2), EBB_GROUP_ACTIVE); /* has free memory */
    EXPECT_EQ(state_of(3), EBB_GROUP_VIRGIN);
    EXPECT(support_kept(kept, EXTENTS(1), EXTENTS(1), 7));
    EXPECT_EQ(facts_now().dirty_bytes, EXTENTS(1));
}

static void refusal_leaves_them_active(void)
{
    uint64_t seed = support_seed("refusal_leaves_them_active");
    fill_and_empty(seed);
    size_t before = ebb_fake_resident_bytes();
    ebb_fake.locked = true;
    ebb__heap_retire_groups();
    EXPECT_HEAP_OK();
    EXPECT_EQ(ebb_fake_resident_bytes(), before);
    for (uint32_t g = 0; g < GROUPS; g++) {
        EXPECT_EQ(state_of(g), EBB_GROUP_ACTIVE);
        EXPECT(ebb__is_owned((void *)ebb__space.groups[g]));
    }
    ebb_fake.locked = false;
    fill_and_empty(seed + 1); /* usable as before */
    ebb__heap_retire_groups();
    EXPECT_EQ(state_of(1), EBB_GROUP_VIRGIN);
    EXPECT_HEAP_OK();
}
FOR_EACH_PAGE_SIZE(refusal_leaves_them_active)

/* ---- in the middle of it ---- */

static void take_everything(void *addr, size_t bytes)
{
    uint32_t g = ebb__group_of(addr)->index;
    EXPECT_EQ(state_of(g), EBB_GROUP_RETIRING);
    for (unsigned i = 0; i < 40; i++) {
        crowd_take_span(EXTENTS(9), i % 2 == 0);
        crowd_take(1 + i, 10);
        EXPECT((uintptr_t)crowd[crowd_count - 1].p - ebb__space.groups[g] >= EBB_GROUP_BYTES);
    }
    char *p = span(EBB_MIB(300));
    EXPECT((uintptr_t)p >= (uintptr_t)addr + bytes || (uintptr_t)p + EBB_MIB(300) <= (uintptr_t)addr);
    memset(p, 1, EBB_MIB(1));
}

static void nobody_gets_a_group_that_is_retiring(void)
{
    fill_and_empty(support_seed("nobody_gets_a_group_that_is_retiring"));
    for (unsigned i = 0; i < 2; i++) {
        during_purge = take_everything;
        ebb__heap_retire_groups();
        EXPECT_HEAP_OK();
        crowd_expect_whole();
        while (crowd_count != 0)
            crowd_drop(crowd_count - 1);
        (void)ebb__heap_purge_free(0, SIZE_MAX, 0);
        EXPECT_HEAP_OK();
    }
}
FOR_EACH_PAGE_SIZE(nobody_gets_a_group_that_is_retiring)

/* In the child the group has gone, whether the kernel takes its metadata or it is cleared by hand. */
static void check_in_child(void *addr, size_t bytes)
{
    int status;
    uint32_t g = ebb__group_of(addr)->index;
    (void)bytes;
    (void)fflush(NULL);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        ebb__heap_after_fork();
        EXPECT_EQ(state_of(g), EBB_GROUP_VIRGIN);
        EXPECT(support_is_zero(addr, EBB_EXTENT_BYTES));
        EXPECT_HEAP_OK();
        for (unsigned i = 0; i < 20; i++)
            crowd_take_span(EBB_MIB(15), true);
        char *p = ebb__heap_span_alloc(EBB_MIB(400), EBB_UNIT_BYTES, true);
        EXPECT(p != NULL && support_is_zero(p, EBB_MIB(1)) && p[EBB_MIB(399)] == 0);
        EXPECT_HEAP_OK();
        crowd_expect_whole();
        _exit(0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid);
    EXPECT_MSG(status == 0, "the child says 0x%x", (unsigned)status);
}

static void a_fork_finds_them_gone(void)
{
    uint64_t seed = support_seed("a_fork_finds_them_gone");
    for (unsigned i = 0; i < 2; i++) {
        fill_and_empty(seed + i);
        refuse = i != 0;
        during_purge = check_in_child;
        ebb__heap_retire_groups();
        EXPECT(during_purge == NULL);
        EXPECT_HEAP_OK();
        refuse = false;
    }
}
FOR_EACH_PAGE_SIZE(a_fork_finds_them_gone)

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASES(empty_groups_become_virgin),
        CASES(long_chains_lie_over_retired_groups),
        CASE(groups_with_anything_stay),
        CASES(refusal_leaves_them_active),
        CASES(nobody_gets_a_group_that_is_retiring),
        CASES(a_fork_finds_them_gone),
    };
    small_reservations();
    return RUN_CASES(cases);
}
