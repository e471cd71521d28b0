/* SPDX-License-Identifier: MIT
 *
 * Shrinkers that allocate and free while an allocation waits for them, which has met a limit in the middle of a miss.
 */
#include <pthread.h>

#include "support.h"

#include "base/base.h"

#include "ebb/budget.h"
#include "ebb/malloc.h"

#define LIVE_MAX 200000u

/* Blocks that lead to themselves, so that two that are one, or memory that is somebody else's, are seen. */
static struct {
    void **blocks[LIVE_MAX];
    size_t count, bytes, at_once;
    unsigned calls;
} live;

static void add(void **block)
{
    EXPECT(live.count < LIVE_MAX);
    *block = (void *)&live.blocks[live.count];
    live.blocks[live.count++] = block;
}

static void remove_last(void)
{
    void **block = live.blocks[--live.count];
    EXPECT(*block == (void *)&live.blocks[live.count]);
    ebb_free(block);
}

static size_t estimate(void *unused)
{
    (void)unused;
    return live.count * live.bytes;
}

static size_t shrink(void *unused, size_t bytes, enum ebb_budget_urgency urgency, uint64_t deadline_ns)
{
    size_t n = 0;
    void *mine[64];
    (void)unused;
    (void)bytes;
    (void)urgency;
    (void)deadline_ns;
    live.calls++;
    for (unsigned i = 0; i < 64; i++) /* as one who writes a list, say */
        mine[i] = ebb_malloc(live.bytes);
    for (unsigned i = 0; i < 64; i++)
        ebb_free(mine[i]);
    for (; n < live.at_once && live.count != 0; n++)
        remove_last();
    return n * live.bytes;
}

static int begin(size_t block_bytes, size_t at_once)
{
    const struct ebb_budget_shrinker row = {sizeof(row), ebb_budget_heap(), "blocks", 50, estimate, shrink,
                                            NULL};
    live.count = 0;
    live.bytes = block_bytes;
    live.at_once = at_once;
    for (size_t i = 0; i < 20000; i++)
        add(ebb_malloc(block_bytes));
    int number = ebb_budget_shrinker_add(&row);
    EXPECT(number > 0);
    return number;
}

static void set_limit_here(void)
{
    (void)ebb_budget_limit(ebb_budget_heap(), EBB_BUDGET_HARD, (int64_t)ebb_budget_exact(ebb_budget_heap()));
}

static void end(int number)
{
    (void)ebb_budget_limit(ebb_budget_heap(), EBB_BUDGET_HARD, EBB_BUDGET_UNLIMITED);
    EXPECT_EQ(ebb_check(), 0);
    while (live.count != 0)
        remove_last();
    EXPECT_EQ(ebb_budget_shrinker_remove(number), 0);
    EXPECT_EQ(ebb_check(), 0);
}

static void in_the_middle_of_a_refill(void)
{
    static const size_t bytes[] = {16, 64, 1024}, at_once[] = {1, 20, 300};
    for (size_t i = 0; i < EBB_ARRAY_COUNT(bytes); i++)
        for (size_t k = 0; k < EBB_ARRAY_COUNT(at_once); k++) {
            int number = begin(bytes[i], at_once[k]);
            set_limit_here();
            for (size_t n = 0; n < 5000; n++) {
                void **block = ebb_malloc(bytes[i]);
                if (block != NULL)
                    add(block);
                if (n % 3 == 0 && live.count != 0)
                    remove_last();
            }
            end(number);
        }
    EXPECT_MSG(live.calls > 100, "%u calls", live.calls);
}

static void *work(void *unused)
{
    void *blocks[100];
    (void)unused;
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++)
        blocks[i] = ebb_malloc(64);
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(blocks); i++)
        ebb_free(blocks[i]);
    return NULL;
}

/* Its first miss makes the thread's cache, and meets the limit. */
static void in_the_first_miss_of_a_thread(void)
{
    int number = begin(4096, 64);
    for (unsigned round = 0; round < 100 && live.count != 0; round++) {
        pthread_t threads[4];
        ebb_thread_flush();
        (void)ebb_trim(0);
        set_limit_here();
        for (unsigned i = 0; i < 4; i++)
            EXPECT_EQ(pthread_create(&threads[i], NULL, work, NULL), 0);
        for (unsigned i = 0; i < 4; i++)
            EXPECT_EQ(pthread_join(threads[i], NULL), 0);
    }
    end(number);
    EXPECT_MSG(live.calls > 3, "%u calls", live.calls);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(in_the_middle_of_a_refill),
        CASE(in_the_first_miss_of_a_thread),
    };
    return RUN_CASES(cases);
}
