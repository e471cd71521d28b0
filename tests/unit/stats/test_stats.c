/* SPDX-License-Identifier: MIT
 *
 * The table of counters and the counters themselves.
 */
#include "support.h"

#include <pthread.h>

#include "stats/stats.h"

static void rows_are_sound(void)
{
    unsigned count;
    const struct ebb_stat_row *rows = ebb__stats_rows(&count);
    EXPECT_EQ(count, sizeof(struct ebb_counters) / sizeof(uint64_t)); /* one row for each field */
    for (unsigned i = 0; i < count; i++) {
        EXPECT(rows[i].value == (_Atomic uint64_t *)&ebb__counters + i);
        EXPECT_EQ(atomic_load(rows[i].value), 0);
        EXPECT(strspn(rows[i].name, "abcdefghijklmnopqrstuvwxyz_") == strlen(rows[i].name));
        EXPECT(*rows[i].unit != '\0' && strlen(rows[i].help) > 10);
        for (unsigned k = 0; k < i; k++)
            EXPECT(strcmp(rows[k].name, rows[i].name) != 0);
    }
}

static void counts_and_gauges(void)
{
    EBB_COUNT(commits, 1);
    EBB_COUNT(commits, 41);
    EXPECT_EQ(EBB_COUNTED(commits), 42);
    EBB_COUNT(lane_blocks, 3);
    EBB_COUNT(lane_blocks, -2);
    EXPECT_EQ(EBB_COUNTED(lane_blocks), 1);
    EBB_COUNT(purged_bytes, (size_t)1 << 40);
    EXPECT_EQ(EBB_COUNTED(purged_bytes), (uint64_t)1 << 40);
    EXPECT_EQ(EBB_COUNTED(commit_failures), 0);
}

static void *count(void *arg)
{
    for (unsigned i = 0; i < 20000; i++)
        EBB_COUNT(span_allocs, 1);
    return arg;
}

static void no_count_is_lost(void)
{
    pthread_t threads[4];
    for (unsigned t = 0; t < 4; t++)
        EXPECT(pthread_create(&threads[t], NULL, count, NULL) == 0);
    for (unsigned t = 0; t < 4; t++)
        EXPECT(pthread_join(threads[t], NULL) == 0);
    EXPECT_EQ(EBB_COUNTED(span_allocs), 80000);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(rows_are_sound),
        CASE(counts_and_gauges),
        CASE(no_count_is_lost),
    };
    return RUN_CASES(cases);
}
