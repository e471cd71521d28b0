/* SPDX-License-Identifier: MIT
 *
 * While the kernel has its turn: what other threads may do then, what a fork finds then, and what is left when the kernel
 * refuses.
 *
 * Every question to the kernel goes through this file (the linker's --wrap), so that a test can act in the middle of it, as
 * another thread would.
 */
#include "crowd.h"

int __real_ebb__os_purge(void *addr, size_t bytes);
int __wrap_ebb__os_purge(void *addr, size_t bytes);
unsigned __real_ebb__os_purge_many(const struct ebb_os_range *ranges, unsigned count);
unsigned __wrap_ebb__os_purge_many(const struct ebb_os_range *ranges, unsigned count);
size_t __real_ebb__os_page_bytes(void);
size_t __wrap_ebb__os_page_bytes(void);
uint64_t __real_ebb__os_now_ms(void);
uint64_t __wrap_ebb__os_now_ms(void);

static struct support_rng rng;
static void (*during_purge)(void);     /* at every purge; all ranges are in advised[] */
static void (*at_page_question)(void); /* at the next question for the page size */
static void (*at_clock)(void);         /* when the time was read, and not used yet */
static void (*at_any)(void);           /* at every call of this file */
static struct ebb_os_range refused;    /* what the kernel did not take last */

static void act(void (**hook)(void), bool once)
{
    void (*fn)(void) = *hook;
    if (fn == NULL)
        return;
    *hook = NULL; /* not within itself */
    fn();
    if (!once)
        *hook = fn;
}

unsigned __wrap_ebb__os_purge_many(const struct ebb_os_range *ranges, unsigned count)
{
    act(&at_any, false);
    for (unsigned i = 0; i < count; i++) {
        advised[i] = ranges[i].addr;
        advised_bytes[i] = ranges[i].bytes;
    }
    advised_count = count;
    act(&during_purge, false);
    advised_count = 0;
    unsigned done = __real_ebb__os_purge_many(ranges, count);
    if (done < count)
        refused = ranges[done];
    return done;
}

int __wrap_ebb__os_purge(void *addr, size_t bytes)
{
    act(&at_any, false);
    return __real_ebb__os_purge(addr, bytes);
}

size_t __wrap_ebb__os_page_bytes(void)
{
    act(&at_any, false);
    act(&at_page_question, true);
    return __real_ebb__os_page_bytes();
}

uint64_t __wrap_ebb__os_now_ms(void)
{
    uint64_t now_ms = __real_ebb__os_now_ms();
    act(&at_any, false);
    act(&at_clock, false);
    return now_ms;
}

/* ---- other threads ---- */

/* All free blocks of every class, and spans of all sizes. */
static void use_up_everything(void)
{
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++)
        for (uint32_t slabs = ebb__bins[c].slab_count; ebb__bins[c].slab_count == slabs;)
            crowd_take(c, 1);
    for (unsigned i = 0; i < 60; i++)
        crowd_take_span(UNITS(i < 50 ? i * i / 4 + 1 : 512 + i), i % 2 == 0);
}

/* All blocks of the slab in which p lies. */
static void empty_slab_of(const char *p)
{
    unsigned entry = ebb__unit_entry(p);
    if (!ebb__is_owned(p) || entry == EBB_CODE_NONE || (entry & 0xff) >= EBB_CLASS_COUNT)
        return;
    const char *from = (const char *)ebb__align_down((uintptr_t)p, EBB_UNIT_BYTES) - UNITS(entry >> 8);
    const char *to = from + UNITS(ebb__classes[entry & 0xff].units);
    for (unsigned i = crowd_count; i-- > 0;)
        if (crowd[i].p >= from && crowd[i].p < to)
            crowd_drop(i);
}

static unsigned purges_seen;

static void take_and_free(void)
{
    if (purges_seen++ % 8 != 0)
        return;
    use_up_everything();
    for (unsigned i = 0; i < advised_count; i += 9)
        empty_slab_of(advised[i]);
    crowd_thin_out(&rng, 100);
}

static void settle(const char *name, unsigned slabs, unsigned per_mille)
{
    rng.state = support_seed(name);
    crowd_settle(&rng, slabs);
    crowd_thin_out(&rng, per_mille);
    EXPECT_HEAP_OK();
}

static void nothing_under_advice_is_handed_out(void)
{
    settle("nothing_under_advice_is_handed_out", 3, 20);
    during_purge = take_and_free;
    for (unsigned i = 0; i < 3; i++) {
        (void)ebb__heap_trim(0);
        EXPECT_HEAP_OK();
        crowd_expect_whole();
        (void)ebb__heap_sweep(SIZE_MAX);
        EXPECT_HEAP_OK();
    }
    EXPECT(purges_seen >= 4);
    during_purge = NULL;
    crowd_thin_out(&rng, 10);
    (void)ebb__heap_trim(0);
    EXPECT_HEAP_OK();
    EXPECT_EQ(resident_data(), crowd_living_bytes(ebb_fake.page_bytes));
    crowd_thin_out(&rng, 0);
    (void)ebb__heap_trim(0);
    EXPECT_EQ(resident_data(), 0); /* no block was lost */
    EXPECT_EQ(ebb__heap_backed_bytes(), 0);
    EXPECT_HEAP_OK();
}
FOR_EACH_PAGE_SIZE(nothing_under_advice_is_handed_out)

/* ---- between the look and the claim ---- */

/* Pages larger than a unit reach over several slabs: what changes between the two leaves a claim of parts of pages. */
static void claims_that_are_overtaken_do_no_harm(void)
{
    settle("claims_that_are_overtaken_do_no_harm", 2, 10);
    for (unsigned i = 0; i < 12; i++) {
        purges_seen = 0;
        at_page_question = i % 2 == 0 ? take_and_free : use_up_everything;
        size_t returned = ebb__heap_sweep(i < 6 ? SIZE_MAX : EBB_KIB(400));
        EXPECT(returned == 0 || ebb_fake.purged_bytes != 0);
        EXPECT_HEAP_OK();
        crowd_expect_whole();
        crowd_thin_out(&rng, 20);
    }
    at_page_question = NULL;
    (void)ebb__heap_trim(0);
    EXPECT_HEAP_OK();
    EXPECT_EQ(resident_data(), crowd_living_bytes(ebb_fake.page_bytes));
}
FOR_EACH_PAGE_SIZE(claims_that_are_overtaken_do_no_harm)

static void *overtaker;

static void take_one(void)
{
    overtaker = block(ebb__class_of(512));
}

/* A page of 64 KiB: an empty slab and units that nobody ever used. When the slab is needed after all, these are released as
 * they were: without memory. */
static void what_was_clean_is_released_clean(void)
{
    ebb_fake.page_bytes = EBB_KIB(64);
    without_seeds();
    void *p = block(ebb__class_of(512));
    memset(p, 1, 512);
    give(ebb__class_of(512), p);
    EXPECT_EQ(facts_now().dirty_bytes, 0);
    EXPECT_EQ(ebb__heap_sweep(SIZE_MAX), 0);
    at_page_question = take_one;
    EXPECT_EQ(ebb__heap_sweep(SIZE_MAX), 0);
    EXPECT(overtaker == p);
    EXPECT_HEAP_OK();
    EXPECT_EQ(facts_now().dirty_bytes, 0);
    EXPECT_EQ(facts_now().used_bytes, UNITS(8));
}

/* ---- a chain takes the place of the group that is swept ---- */

#define CHAIN_BYTES EBB_MIB(300) /* from the end of one group over two more */

static char *filler[EBB_GROUP_EXTENTS];
static void *cold_block, *hot_block;
static uint16_t *chain_data; /* where the second group's metadata was */

/* Frees all that is in the second group and the end of the first, and takes a chain there. Its data look like metadata. */
static void swallow_the_group(void)
{
    give(ebb__class_of(512), cold_block);
    give(ebb__class_of(1024), hot_block);
    ebb__heap_tidy_slabs();
    for (unsigned i = 30; i < 63; i++)
        ebb__heap_large_free(filler[i]);
    char *p = span(CHAIN_BYTES);
    EXPECT(p < filler[62] && ebb__space.state[1] == EBB_GROUP_CHAIN);
    chain_data = (uint16_t *)ebb__space.groups[1];
    for (size_t i = 0; i < EBB_EXTENT_BYTES / 2; i++)
        chain_data[i] = (uint16_t)ebb__class_of(80);
}

static void a_sweep_does_not_write_into_a_chain(void)
{
    void *blocks[64];
    for (unsigned i = 0; i < 63; i++)
        filler[i] = span(EXTENTS(1));
    EXPECT(ebb__heap_take(ebb__class_of(512), blocks, 64) == 64);
    EXPECT_EQ(ebb__group_of(blocks[0])->index, 1);
    cold_block = blocks[63];
    ebb__heap_give(ebb__class_of(512), blocks, 63, "test");
    EXPECT_EQ(ebb__heap_sweep(SIZE_MAX), 0); /* the first cools down */
    EXPECT(ebb__heap_take(ebb__class_of(1024), blocks, 2) == 2);
    hot_block = blocks[1];
    give(ebb__class_of(1024), blocks[0]);
    at_page_question = swallow_the_group;
    (void)ebb__heap_sweep(SIZE_MAX);
    EXPECT(at_page_question == NULL);
    for (size_t i = 0; i < EBB_EXTENT_BYTES / 2; i++)
        EXPECT_MSG(chain_data[i] == ebb__class_of(80), "the block's byte at %zu has changed", i * 2);
    EXPECT_HEAP_OK();
}

/* ---- a thread frees while the sweeper asks for the time ---- */

static void free_one_if_we_can(void)
{
    if (ebb__lock_is_held(&ebb__space_lock) || crowd_count != 2)
        return;
    ebb_fake.now_ms++;
    crowd_drop(1);
}

/* What is freed after the sweeper has read the clock is not 49 days old. */
static void what_is_freed_just_now_is_not_old(void)
{
    with_pages_of_one_unit();
    ebb_fake.memlock_bytes = 4 * EBB_GROUP_BYTES; /* one group: the clock is read once for each */
    for (unsigned i = 0; i < 3; i++)
        crowd_take_span(UNITS(40), false);
    ebb_fake.now_ms = 4000;
    crowd_drop(2);
    at_clock = free_one_if_we_can;
    EXPECT_EQ(ebb__heap_purge_free(0, SIZE_MAX, 500), 0);
    at_clock = NULL;
    ebb_fake.now_ms = 4600;
    EXPECT_EQ(ebb__heap_purge_free(0, SIZE_MAX, 500), UNITS(crowd_count == 2 ? 40 : 80));
    EXPECT_HEAP_OK();
}

/* ---- fork ---- */

static unsigned forks, calls, next_fork;

/* Here the forking thread itself may hold locks. The repair resets them; what debug builds remember of them is this thread's. */
static void forget_lock(struct ebb_lock *lock)
{
    if (EBB_DEBUG >= 1 && ebb__lock_is_held(lock))
        ebb__lock_note(lock->rank, false);
}

static int life_of_child(void)
{
    at_any = during_purge = NULL;
    advised_count = 0;
    forget_lock(&ebb__return_lock);
    forget_lock(&ebb__space_lock);
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++)
        forget_lock(&ebb__bins[c].lock);
    ebb__heap_after_fork();
    if (ebb__heap_check() != 0)
        return 2;
    crowd_expect_whole();
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++)
        crowd_take(c, 1 + ebb__classes[c].blocks / 16u);
    for (unsigned i = 0; i < 12; i++)
        crowd_take_span(UNITS(i * i * 6 + 1), true);
    crowd_expect_whole();
    if (ebb__heap_check() != 0)
        return 3;
    (void)ebb__heap_trim(0);
    return ebb__heap_check() != 0 ? 4 : 0;
}

static void fork_here(void)
{
    int status;
    if (++calls < next_fork)
        return;
    next_fork = calls + 1 + calls / 8; /* the first ones all, then more and more thinly */
    forks++;
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0)
        _exit(life_of_child());
    EXPECT(waitpid(pid, &status, 0) == pid);
    EXPECT_MSG(status == 0, "call %u: the child says 0x%x", calls, (unsigned)status);
}

static void forks_find_a_whole_heap(void)
{
    settle("forks_find_a_whole_heap", 1, 20);
    for (unsigned i = 0; i < 12; i++) /* groups that can be retired */
        crowd_take_span(EBB_MIB(31), false);
    for (unsigned i = 0; i < 12; i++)
        crowd_drop(crowd_count - 1);
    (void)fflush(NULL);
    at_any = fork_here;
    (void)ebb__heap_sweep(SIZE_MAX);
    calls = next_fork = 0;
    (void)ebb__heap_sweep(SIZE_MAX);
    calls = next_fork = 0;
    crowd_thin_out(&rng, 100); /* gives ask for the time, too, and under a lock */
    calls = next_fork = 0;
    (void)ebb__heap_trim(0);
    at_any = NULL;
    EXPECT_MSG(forks >= 30, "%u forks in %u calls", forks, calls);
    EXPECT_HEAP_OK();
    crowd_expect_whole();
    EXPECT_EQ(resident_data(), crowd_living_bytes(ebb_fake.page_bytes));
}
FOR_EACH_PAGE_SIZE(forks_find_a_whole_heap)

/* ---- the kernel refuses ---- */

static bool refused_any;

/* One of the calls fails, in a child with a heap of its own. */
static void refuse_at(void *arg)
{
    size_t page = ebb_fake.page_bytes;
    ebb_fake.fail_at = ebb_fake.calls = 0;
    ebb_fake.fail_at = *(const long *)arg;
    (void)ebb__heap_trim(0);
    refused_any = ebb_fake.fail_at == 0;
    ebb_fake.fail_at = 0;
    EXPECT_HEAP_OK();
    crowd_expect_whole();
    EXPECT_EQ(resident_data(),
              crowd_living_bytes(page) + resident_in((uintptr_t)refused.addr, refused.bytes));
    crowd_thin_out(&rng, 0);
    (void)ebb__heap_trim(0);
    EXPECT_HEAP_OK();
    EXPECT_EQ(resident_data(), 0);
    EXPECT_EQ(ebb__heap_backed_bytes(), 0);
    _exit(refused_any ? 0 : 77);
}

static void a_refusal_costs_only_itself(void)
{
    settle("a_refusal_costs_only_itself", 1, 15);
    for (unsigned i = 0; i < 6; i++)
        crowd_take_span(EXTENTS(2), false);
    for (unsigned i = 0; i < 6; i++)
        crowd_drop(crowd_count - 1);
    int last = 0;
    long n = 1, step = 1;
    for (; last == 0; n += step) {
        struct support_outcome out = support_capture(refuse_at, &n);
        last = WIFEXITED(out.status) ? WEXITSTATUS(out.status) : -1;
        EXPECT_MSG(last == 0 || last == 77, "call %ld refused: %s", n, out.text);
        step = n < 24 ? 1 : n / 5;
    }
    EXPECT_MSG(n > 24, "only %ld calls could be refused", n);
}
FOR_EACH_PAGE_SIZE(a_refusal_costs_only_itself)

static void nothing_goes_where_all_is_locked(void)
{
    settle("nothing_goes_where_all_is_locked", 1, 15);
    size_t held = resident_data();
    struct ebb_heap_facts before = facts_now();
    ebb_fake.locked = true;
    EXPECT_EQ(ebb__heap_sweep(SIZE_MAX), 0);
    EXPECT_EQ(ebb__heap_sweep(SIZE_MAX), 0);
    EXPECT_EQ(ebb__heap_purge_free(0, SIZE_MAX, 0), 0);
    EXPECT_HEAP_OK();
    EXPECT_EQ(resident_data(), held);
    EXPECT_EQ(facts_now().used_bytes, before.used_bytes);
    EXPECT_EQ(facts_now().dirty_bytes, before.dirty_bytes);
    crowd_expect_whole();
    ebb_fake.locked = false;
    use_up_everything();
    EXPECT_HEAP_OK();
    crowd_expect_whole();
}
FOR_EACH_PAGE_SIZE(nothing_goes_where_all_is_locked)

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASES(nothing_under_advice_is_handed_out), CASES(claims_that_are_overtaken_do_no_harm),
        CASE(what_was_clean_is_released_clean),    CASE(a_sweep_does_not_write_into_a_chain),
        CASE(what_is_freed_just_now_is_not_old),   CASES(forks_find_a_whole_heap),
        CASES(a_refusal_costs_only_itself),        CASES(nothing_goes_where_all_is_locked),
    };
    small_reservations();
    return RUN_CASES(cases);
}
