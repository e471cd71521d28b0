/* SPDX-License-Identifier: MIT
 *
 * A pool, a heap with free memory of each kind, and limits: who is asked, for how much, and when nobody is.
 */
#include "support.h"

#include "base/base.h"
#include "ebb/budget.h"
#include "ebb/malloc.h"
#include "heap/heap.h"
#include "ledger/ledger.h"

static struct {
    struct ebb_budget_account *account;
    size_t bytes;
    unsigned calls;
} pool;

static size_t pool_has(void *unused)
{
    (void)unused;
    return pool.bytes;
}

static size_t pool_gives(void *unused, size_t bytes, enum ebb_budget_urgency urgency, uint64_t deadline_ns)
{
    (void)unused;
    (void)urgency;
    (void)deadline_ns;
    bytes = ebb__min(bytes, pool.bytes);
    pool.calls++;
    pool.bytes -= bytes;
    ebb_budget_uncharge(pool.account, bytes);
    return bytes;
}

static void fill_pool(size_t mib)
{
    if (pool.account == NULL) {
        EXPECT_EQ(ebb_budget_create(NULL, "pool", EBB_BUDGET_CACHE, &pool.account), 0);
        const struct ebb_budget_shrinker row = {sizeof(row), pool.account, "pool", 200,
                                                pool_has,    pool_gives,   NULL};
        EXPECT(ebb_budget_shrinker_add(&row) > 0);
    }
    for (; mib != 0; mib--) {
        EXPECT_EQ(ebb_budget_charge(pool.account, EBB_MIB(1)), 0);
        pool.bytes += EBB_MIB(1);
    }
}

#define BLOCK_BYTES 64u

/* So much in small blocks, of which only those on each eighth page stay: seven eighths could go back, from inside slabs. */
static void make_idle_pages(size_t mib)
{
    size_t count = EBB_MIB(mib) / BLOCK_BYTES;
    void **blocks = ebb_malloc(count * sizeof(*blocks));
    for (size_t i = 0; i < count; i++)
        blocks[i] = ebb_malloc(BLOCK_BYTES);
    for (size_t i = 0; i < count; i++)
        if (((uintptr_t)blocks[i] / EBB_UNIT_BYTES & 7) != 0)
            ebb_free(blocks[i]);
    ebb_free(blocks);
    ebb_thread_flush();
}

static void set(enum ebb_budget_limit kind, size_t bytes)
{
    (void)ebb_budget_limit(ebb_budget_process(), kind, (int64_t)bytes);
}

static size_t used(void)
{
    return ebb_budget_used(ebb_budget_process());
}

/* Each doubling is a look; that is nobody's limit. */
static void without_a_limit_nobody_is_asked(void)
{
    fill_pool(250);
    void *block = ebb_malloc(EBB_MIB(500));
    EXPECT(block != NULL && pool.calls == 0 && pool.bytes == EBB_MIB(250));
    EXPECT_EQ(ebb_budget_limit(ebb_budget_process(), EBB_BUDGET_SOFT, -1), EBB_BUDGET_UNLIMITED);
    EXPECT(ebb__ledger_look_point(-1) > (int64_t)EBB_MIB(750));
    ebb_free(block);
}

/* Room for growth, magazines: a look that is due does not stand in the way, as long as there is room. */
static void what_can_be_done_without(void)
{
    fill_pool(50);
    int64_t before = ebb__ledger_look_point(-1);
    void *block = ebb__heap_span_if_room((size_t)before - used() + EBB_MIB(1));
    EXPECT(block != NULL && ebb__ledger_look_point(-1) > before && pool.calls == 0);
    set(EBB_BUDGET_HARD, used() + EBB_MIB(8));
    EXPECT(ebb__heap_span_if_room(EBB_MIB(20)) == NULL && pool.calls == 0);
    ebb_free(block);
}

/* The program's own soft limit stays what it set, and is heeded: who is asked gives what is missing, not more than a quarter above. */
static void a_soft_limit_of_the_program(void)
{
    fill_pool(200);
    size_t limit = used() + EBB_MIB(20);
    set(EBB_BUDGET_SOFT, limit);
    void *block = ebb_malloc(EBB_MIB(60));
    EXPECT(block != NULL);
    EXPECT_EQ(ebb_budget_limit(ebb_budget_process(), EBB_BUDGET_SOFT, -1), (int64_t)limit);
    EXPECT_MSG(used() <= limit && used() + EBB_MIB(12) >= limit, "%zu of %zu KiB", used() >> 10, limit >> 10);
    EXPECT(pool.calls == 1);
    ebb_free(block);
}

/* What is idle inside slabs is found although nobody knew of it, before a pool gives anything. */
static void idle_pages_before_a_pool(void)
{
    fill_pool(100);
    make_idle_pages(60);
    size_t limit = used() + EBB_MIB(8);
    set(EBB_BUDGET_SOFT, limit);
    for (unsigned i = 0; i < 20; i++)
        EXPECT(ebb_malloc(EBB_MIB(2)) != NULL);
    EXPECT_MSG(used() <= limit + EBB_MIB(1), "%zu of %zu KiB", used() >> 10, limit >> 10);
    EXPECT_EQ(pool.calls, 0);
}

/* One large request at the hard limit gets it all in one round. */
static void a_large_block_at_the_hard_limit(void)
{
    make_idle_pages(240);
    size_t limit = used() + EBB_MIB(20);
    set(EBB_BUDGET_HARD, limit);
    void *block = ebb_malloc(EBB_MIB(150));
    EXPECT(block != NULL && used() <= limit);
    ebb_free(block);
    EXPECT(ebb_malloc(EBB_MIB(300)) == NULL);
    EXPECT_EQ(ebb_check(), 0);
}

/* Who sets one has it watched, wherever the process is. */
static void a_new_limit_is_watched(void)
{
    atomic_store(&ebb__heap_upkeep, 0);
    (void)ebb_budget_limit(ebb_budget_process(), EBB_BUDGET_HARD, -1);
    EXPECT_EQ(atomic_load(&ebb__heap_upkeep), 0);
    set(EBB_BUDGET_HARD, EBB_GIB(1));
    EXPECT((atomic_load(&ebb__heap_upkeep) & EBB_UPKEEP_LIMITS) != 0);
}

/* A minimum holds for what shrinkers are asked for, not for looking. */
static void a_minimum_does_not_stop_looks(void)
{
    set(EBB_BUDGET_MIN, EBB_GIB(10));
    int64_t before = ebb__ledger_look_point(-1);
    void *block = ebb_malloc(EBB_MIB(200));
    EXPECT(block != NULL && ebb__ledger_look_point(-1) > before);
    ebb_free(block);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(without_a_limit_nobody_is_asked), CASE(what_can_be_done_without),
        CASE(a_soft_limit_of_the_program),     CASE(idle_pages_before_a_pool),
        CASE(a_large_block_at_the_hard_limit), CASE(a_new_limit_is_watched),
        CASE(a_minimum_does_not_stop_looks),
    };
    return RUN_CASES(cases);
}
