/* SPDX-License-Identifier: MIT
 *
 * The table of counters, the counters themselves, and the page that holds them.
 */
#include "support.h"

#include <pthread.h>

#include "stats/stats.h"

/* The name under which the tool finds the page. */
extern struct ebb_stats_page ebb_stats_page;

static struct ebb_wire_view decoded(void)
{
    struct ebb_wire_view view;
    EXPECT_EQ(ebb__wire_decode(&ebb_stats_page, sizeof(ebb_stats_page), &view), 0);
    return view;
}

static void rows_are_sound(void)
{
    unsigned count;
    const struct ebb_stat_row *rows = ebb__stats_rows(&count);
    EXPECT_EQ(count, EBB_STAT_COUNT);
    for (unsigned i = 0; i < count; i++) {
        EXPECT(rows[i].value == &ebb__stats_page.rows[i].value);
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
    EBB_SET(dirty_bytes, 100);
    EBB_SET(dirty_bytes, 50);
    EXPECT_EQ(EBB_COUNTED(dirty_bytes), 50);
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

static void the_page_says_what_the_rows_say(void)
{
    unsigned count;
    const struct ebb_stat_row *rows = ebb__stats_rows(&count);
    struct ebb_wire_view view = decoded();
    EXPECT(view.version == EBB_WIRE_VERSION && view.pid == 0 && view.thread_id == 0 && !view.torn);
    EXPECT(strcmp(view.library, EBB_VERSION) == 0);
    EXPECT(view.row_count == count && view.class_count == EBB_STATS_CLASSES);
    EBB_COUNT(commits, 5);
    for (unsigned i = 0; i < count; i++) {
        struct ebb_wire_row_view row;
        ebb__wire_row(&view, i, &row);
        EXPECT(strcmp(row.name, rows[i].name) == 0 && strcmp(row.unit, rows[i].unit) == 0);
        EXPECT(row.is_gauge == rows[i].is_gauge &&
               row.value == EBB_COUNTED(commits) * (i == EBB_STAT_commits));
    }
    ebb__stats_page.classes[3].bytes = 48;
    ebb__stats_page.classes[3].taken_blocks = 9;
    struct ebb_wire_class c;
    ebb__wire_class(&view, 3, &c);
    EXPECT(c.bytes == 48 && c.internal == 0 && c.taken_blocks == 9 && c.given_blocks == 0);
}

static void a_life(void)
{
    ebb__stats_start(41, 1000);
    ebb__stats_set_thread(42);
    const struct ebb_wire_summary summary = {2000, 1, 2, 3, 4, 5, 6};
    ebb__stats_publish(&summary);
    ebb__stats_answer(-EINVAL);
    ebb__stats_answer(4096);
    struct ebb_wire_view view = decoded();
    EXPECT(view.pid == 41 && view.thread_id == 42 && view.start_ms == 1000 && view.sequence == 2 &&
           !view.torn);
    EXPECT(memcmp(&view.summary, &summary, sizeof(summary)) == 0);
    EXPECT(view.control_done == 2 && view.control_result == 4096);

    EBB_COUNT(commits, 1);
    ebb__stats_page.header.sequence++; /* fork came while the summary was written */
    EXPECT(decoded().torn);
    ebb__stats_after_fork(43);
    view = decoded();
    EXPECT(view.pid == 43 && view.thread_id == 0 && !view.torn && view.summary.updated_ms == 0);
    EXPECT(view.start_ms == 1000 && EBB_COUNTED(commits) == 1);
}

static struct {
    _Atomic bool end;
    _Atomic unsigned whole;
} reader;

/* A reader in the same process, which has the fences that the protocol of one process needs. */
static void *read_summaries(void *arg)
{
    const uint64_t *words = (const uint64_t *)&ebb__stats_page.summary;
    while (!atomic_load(&reader.end)) {
        uint64_t copy[sizeof(struct ebb_wire_summary) / sizeof(uint64_t)];
        uint32_t before = __atomic_load_n(&ebb__stats_page.header.sequence, __ATOMIC_ACQUIRE);
        for (unsigned i = 0; i < EBB_ARRAY_COUNT(copy); i++)
            copy[i] = __atomic_load_n(&words[i], __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (before % 2 != 0 || before != __atomic_load_n(&ebb__stats_page.header.sequence, __ATOMIC_RELAXED))
            continue;
        for (unsigned i = 1; i < EBB_ARRAY_COUNT(copy); i++)
            EXPECT(copy[i] == copy[0]);
        atomic_fetch_add(&reader.whole, 1);
    }
    return arg;
}

static void summaries_are_read_whole_or_not_at_all(void)
{
    pthread_t thread;
    EXPECT(pthread_create(&thread, NULL, read_summaries, NULL) == 0);
    for (uint64_t i = 1; i <= 100000 || (atomic_load(&reader.whole) < 10 && i < 100000000); i++) {
        const struct ebb_wire_summary summary = {i, i, i, i, i, i, i};
        ebb__stats_publish(&summary);
    }
    atomic_store(&reader.end, true);
    EXPECT(pthread_join(thread, NULL) == 0);
    EXPECT(atomic_load(&reader.whole) > 0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(rows_are_sound),   CASE(counts_and_gauges),
        CASE(no_count_is_lost), CASE(the_page_says_what_the_rows_say),
        CASE(a_life),           CASE(summaries_are_read_whole_or_not_at_all),
    };
    return RUN_CASES(cases);
}
