/* SPDX-License-Identifier: MIT
 *
 * <ebb/budget.h> as a program sees it, over the fake kernel: a pool and connections under one budget, who gives way, and fork.
 */
#include "support.h"

#include "ebb/budget.h"
#include "ebb/malloc.h"
#include "governor/governor_priv.h"
#include "os/fake.h"

#define MIB(n) ((size_t)(n) << 20)

/* A cache of pages that it can do without. */
struct cache {
    struct ebb_budget_account *account;
    size_t pages;
    unsigned asked;
};
#define PAGE_BYTES 16384u

static int add_page(struct cache *cache)
{
    int rc = ebb_budget_charge_credit(cache->account, PAGE_BYTES);
    cache->pages += rc == 0;
    return rc;
}

static size_t droppable(void *context)
{
    const struct cache *cache = context;
    return cache->pages * PAGE_BYTES;
}

static size_t drop(void *context, size_t bytes, enum ebb_budget_urgency urgency, uint64_t deadline_ns)
{
    struct cache *cache = context;
    size_t pages = (bytes + PAGE_BYTES - 1) / PAGE_BYTES;
    EXPECT(urgency <= EBB_URGENCY_LAST && deadline_ns != 0);
    if (pages > cache->pages)
        pages = cache->pages;
    cache->pages -= pages;
    cache->asked++;
    ebb_budget_uncharge(cache->account, pages * PAGE_BYTES);
    return pages * PAGE_BYTES;
}

static struct ebb_budget_stats stats_of(const struct ebb_budget_account *account)
{
    struct ebb_budget_stats stats = {.size_of_struct = sizeof(stats)};
    EXPECT_EQ(ebb_budget_stats(account, &stats), 0);
    return stats;
}

/* The library's own shrinker measures RSS, and a sanitizer's is large. */
static void without_measuring(void)
{
    EXPECT_EQ(ebb_budget_shrinker_remove(ebb__limits_shrinker()), 0);
    ebb__ledger_look = NULL;
    (void)ebb__ledger_look_point(EBB_BUDGET_UNLIMITED);
}

/* At a hard limit what the thread has in its cache is memory too, also for blocks that want an alignment. */
static void aligned_blocks_are_rescued(void)
{
    void *blocks[3], *p; /* of a slab of one unit */
    without_measuring();
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++)
        EXPECT((blocks[i] = ebb_malloc(1024)) != NULL);
    ebb__conf.hard_limit = (long)MIB(64); /* as if it had been met */
    EXPECT(ebb_budget_limit(ebb_budget_heap(), EBB_BUDGET_HARD,
                            (int64_t)ebb_budget_exact(ebb_budget_heap())) >= 0);
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++)
        ebb_free(blocks[i]);
    while (ebb__heap_span_if_room(EBB_UNIT_BYTES) != NULL ||
           ebb__heap_take_if_room(ebb__class_of(128), &p, 1) != 0)
        ;
    p = ebb_aligned_alloc(128, 128);
    EXPECT(p != NULL && (uintptr_t)p % 128 == 0);
    EXPECT_EQ(ebb_check(), 0);
}

static void a_cache_gives_way_to_queries(void)
{
    struct cache cache = {0};
    struct ebb_budget_account *queries, *query;
    without_measuring();
    EXPECT_EQ(ebb_budget_create(NULL, "cache", EBB_BUDGET_CACHE, &cache.account), 0);
    EXPECT_EQ(ebb_budget_create(ebb_budget_process(), "queries", EBB_BUDGET_QUERY, &queries), 0);
    EXPECT_EQ(ebb_budget_create(queries, "query", EBB_BUDGET_QUERY, &query), 0);
    const struct ebb_budget_shrinker shrinker = {sizeof(shrinker), cache.account, "pages", 200,
                                                 droppable,        drop,          &cache};
    int number = ebb_budget_shrinker_add(&shrinker);
    EXPECT(number >= 1);
    EXPECT_EQ(ebb_budget_limit(ebb_budget_process(), EBB_BUDGET_HARD, MIB(64)), EBB_BUDGET_UNLIMITED);
    EXPECT_EQ(ebb_budget_limit(cache.account, EBB_BUDGET_MIN, MIB(16)), 0);
    while (add_page(&cache) == 0 && cache.asked == 0)
        ;
    size_t beside = ebb_budget_exact(ebb_budget_heap()) + ebb_budget_exact(ebb_budget_untracked());
    EXPECT_EQ(ebb_budget_exact(ebb_budget_process()), beside + cache.pages * PAGE_BYTES);
    EXPECT(cache.asked == 1 && cache.pages * PAGE_BYTES <= MIB(64)); /* it gives way to itself too */
    EXPECT_EQ(ebb_budget_charge(query, MIB(40)), 0);
    EXPECT(cache.pages * PAGE_BYTES >= MIB(16) && cache.pages * PAGE_BYTES <= MIB(24));
    EXPECT_EQ(ebb_budget_charge(query, MIB(9)), -ENOMEM); /* the rest is the cache's minimum */
    EXPECT_EQ(stats_of(ebb_budget_process()).refusals, 1);
    EXPECT_EQ(ebb_budget_reserve(queries, MIB(4)), 0);
    EXPECT_EQ(ebb_budget_charge(queries, MIB(4)), 0);
    EXPECT_EQ(ebb_budget_release(queries, MIB(4)), 0);
    EXPECT(ebb_budget_room(query) <= MIB(4));
    EXPECT(ebb_budget_used(queries) == MIB(44));
    EXPECT_EQ(ebb_budget_reclaim(cache.account, MIB(1), EBB_URGENCY_LAST, 0), MIB(1));
    EXPECT_EQ(ebb_budget_shrinker_price(number, -1), 200);
    EXPECT_EQ(ebb_budget_shrinker_remove(number), 0);
    EXPECT_EQ(ebb_budget_check(), 0);
    EXPECT_EQ(ebb_budget_level(), EBB_LEVEL_GREEN);
}

static void what_can_never_fit_evicts_nothing(void)
{
    struct cache cache = {0};
    struct ebb_budget_account *query;
    without_measuring();
    EXPECT_EQ(ebb_budget_create(NULL, "cache", EBB_BUDGET_CACHE, &cache.account), 0);
    EXPECT_EQ(ebb_budget_create(NULL, "query", EBB_BUDGET_QUERY, &query), 0);
    const struct ebb_budget_shrinker shrinker = {sizeof(shrinker), cache.account, "pages", 200,
                                                 droppable,        drop,          &cache};
    EXPECT(ebb_budget_shrinker_add(&shrinker) >= 1);
    while (cache.pages * PAGE_BYTES < MIB(200))
        EXPECT_EQ(add_page(&cache), 0);
    (void)ebb_budget_limit(ebb_budget_process(), EBB_BUDGET_SOFT, (int64_t)MIB(512));
    void *block = ebb_malloc(1000);
    EXPECT(ebb_realloc(block, (size_t)PTRDIFF_MAX - MIB(1)) == NULL && errno == ENOMEM);
    EXPECT(ebb_malloc((size_t)PTRDIFF_MAX - MIB(1)) == NULL && errno == ENOMEM);
    (void)ebb_budget_limit(ebb_budget_process(), EBB_BUDGET_HARD, (int64_t)MIB(1024));
    EXPECT_EQ(ebb_budget_charge(query, MIB(10240)), -ENOMEM);
    EXPECT(ebb_realloc(block, MIB(10240)) == NULL && errno == ENOMEM);
    EXPECT_EQ(cache.asked, 0);
    EXPECT_EQ(cache.pages * PAGE_BYTES, MIB(200));
    ebb_free(block);
    EXPECT_EQ(ebb_budget_check(), 0);
}

static void a_connection_counts_its_blocks(void)
{
    struct ebb_budget_account *connection;
    EXPECT_EQ(ebb_budget_create(ebb_budget_heap(), "connection", EBB_BUDGET_QUERY, &connection), 0);
    EXPECT_EQ(ebb_budget_limit(connection, EBB_BUDGET_HARD, 100000), EBB_BUDGET_UNLIMITED);
    void *block = ebb_malloc(60000);
    size_t before = ebb_budget_exact(ebb_budget_process());
    EXPECT_EQ(ebb_budget_charge_credit(connection, ebb_usable_size(block)), 0);
    EXPECT_EQ(ebb_budget_charge_credit(connection, 60000), -ENOMEM);
    EXPECT_EQ(ebb_budget_exact(ebb_budget_process()), before); /* the heap has charged itself */
    EXPECT_EQ(ebb_budget_destroy(connection), -EBUSY);
    ebb_budget_uncharge_credit(connection, ebb_usable_size(block));
    ebb_free(block);
    ebb_budget_thread_flush();
    EXPECT_EQ(ebb_budget_destroy(connection), 0);
    EXPECT(ebb_budget_untracked() != ebb_budget_heap());
    EXPECT_EQ(ebb_budget_check(), 0);
}

static void a_child_has_the_same_accounts(void)
{
    struct ebb_budget_account *pool;
    EXPECT_EQ(ebb_budget_create(NULL, "pool", EBB_BUDGET_CACHE, &pool), 0);
    EXPECT_EQ(ebb_budget_charge_credit(pool, 1000), 0);
    EXPECT(ebb_fake.fork_child != NULL);
    int status;
    ebb_fake.fork_prepare(); /* what the C library would call */
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        ebb_fake.fork_child();
        EXPECT_EQ(ebb_budget_exact(pool), 1000);
        ebb_budget_uncharge_credit(pool, 1000);
        EXPECT_EQ(ebb_budget_destroy(pool), 0);
        _exit(ebb_budget_check() != 0);
    }
    ebb_fake.fork_parent();
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    EXPECT_EQ(ebb_budget_exact(pool), 1000);
}

static void uncharge_too_much(void *account)
{
    ebb_budget_uncharge(account, 11);
}

static void misuse_dies(void)
{
    struct ebb_budget_account *pool;
    EXPECT_EQ(ebb_budget_create(NULL, "pool", EBB_BUDGET_CACHE, &pool), 0);
    EXPECT_EQ(ebb_budget_charge(pool, 10), 0);
    EXPECT_DIES(uncharge_too_much, pool,
                "ebb_budget_uncharge: account \"pool\" was charged for 10 bytes, not for 11");
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(aligned_blocks_are_rescued),        CASE(a_cache_gives_way_to_queries),
        CASE(what_can_never_fit_evicts_nothing), CASE(a_connection_counts_its_blocks),
        CASE(a_child_has_the_same_accounts),     CASE(misuse_dies),
    };
    return RUN_CASES(cases);
}
