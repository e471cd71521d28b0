/* SPDX-License-Identifier: MIT
 *
 * A report in order: whose slots come first, who was replaced, what the figures add up to.
 */
#include "support.h"

#include "model/run_report.h"

static unsigned char *file;
static struct ebb_report_map map;
static struct ebb_run_report all;

static void begin(void)
{
    free(file);
    file = calloc(1, EBB_REPORT_BYTES);
    EXPECT(file != NULL);
    ebb__wire_report_begin((struct ebb_report_header *)(void *)file, 1);
    EXPECT_EQ(ebb__wire_report_join(file, EBB_REPORT_BYTES, 1, &map), 0);
}

/* A slot of a program that began then. */
static struct ebb_report_slot_full *put(enum ebb_report_role role, uint32_t pid, uint64_t start_ms)
{
    struct ebb_report_slot_full *s = ebb__wire_report_claim(&map, role);
    EXPECT(s != NULL);
    s->fixed.sequence = 2;
    s->fixed.pid = pid;
    s->fixed.role = role;
    s->fixed.start_ms = start_ms;
#define TABLE(name, n)                                                                                       \
    s->fixed.name =                                                                                          \
        (struct ebb_report_table){offsetof(struct ebb_report_slot_full, name), (n), sizeof(s->name[0]), 0}
    TABLE(gives, 5);
    TABLE(causes, 1);
    TABLE(limits, 1);
    TABLE(rows, 4);
    TABLE(records, 8);
#undef TABLE
    static const char *const names[] = {"limit_looks", "limit_hits", "purged_bytes", "limit_purged_bytes"};
    for (unsigned i = 0; i < 4; i++)
        memcpy(s->rows[i].name, names[i], strlen(names[i]));
    return s;
}

static void order(void)
{
    struct ebb_report_view view;
    EXPECT_EQ(ebb__wire_report_decode(file, EBB_REPORT_BYTES, &view), 0);
    ebb__run_report_order(&view, &all);
}

static void the_last_of_the_first_process_comes_first(void)
{
    begin();
    put(EBB_REPORT_OTHER, 30, 900);
    put(EBB_REPORT_FIRST, 10, 100);
    put(EBB_REPORT_LATER, 10, 100); /* the clock is coarse */
    put(EBB_REPORT_OTHER, 20, 800);
    put(EBB_REPORT_LATER, 10, 100);
    order();
    EXPECT(all.count == 5 && all.own_count == 3 && all.damaged == 0 && all.left_out == 0);
    EXPECT(all.processes[0].number == 4 && all.processes[1].number == 2 && all.processes[2].number == 0);
    EXPECT(all.processes[3].is.pid == 20 && all.processes[4].is.pid == 30);
    EXPECT(!all.processes[0].replaced && all.processes[1].replaced && all.processes[2].replaced);
    EXPECT(!all.processes[3].replaced && !all.processes[4].replaced);
}

static void who_did_nothing_and_was_replaced_is_silent(void)
{
    begin();
    put(EBB_REPORT_FIRST, 10, 100);
    struct ebb_report_slot_full *busy = put(EBB_REPORT_LATER, 10, 200),
                                *ended = put(EBB_REPORT_OTHER, 20, 300);
    atomic_store(&busy->rows[0].value, 1);
    atomic_store(&ended->fixed.ended_ms, 400);
    put(EBB_REPORT_LATER, 10, 500);
    put(EBB_REPORT_OTHER, 20, 600); /* another process of that number */
    order();
    EXPECT_EQ(all.count, 5);
    for (unsigned i = 0; i < all.count; i++) {
        const struct ebb_run_process *p = &all.processes[i];
        EXPECT_MSG(p->replaced == (p->number <= 1), "slot %u", p->number);
        EXPECT_MSG(p->silent == (p->number == 0), "slot %u", p->number);
    }
}

static void sums(void)
{
    begin();
    struct ebb_report_slot_full *s = put(EBB_REPORT_FIRST, 10, 100);
    static const uint64_t values[] = {9, 4, 1000, 300};
    for (unsigned i = 0; i < 4; i++)
        atomic_store(&s->rows[i].value, values[i]);
    for (unsigned i = 0; i < 5; i++)
        s->gives[i] = (struct ebb_report_sum){"kind", 10u * (i + 1)};
    order();
    const struct ebb_run_process *p = &all.processes[0];
    EXPECT(p->looks == 9 && p->hits == 4 && p->kernel_bytes == 1000 && p->limit_bytes == 300);
    EXPECT_EQ(p->pressure_bytes, 10 + 20 + 30 + 40 + 50);
    EXPECT_EQ(p->quiet_bytes, 1000 - 300 - (10 + 20 + 30)); /* what shrinkers gave is not the heap's */
    /* Figures of two instants do not make a sum below zero. */
    atomic_store(&s->rows[2].value, 310);
    order();
    EXPECT_EQ(all.processes[0].quiet_bytes, 0);
}

static void what_cannot_be_read_is_counted(void)
{
    begin();
    put(EBB_REPORT_FIRST, 10, 100)->fixed.rows.offset = 3;
    put(EBB_REPORT_OTHER, 11, 100);
    put(EBB_REPORT_OTHER, 12, 100)->fixed.pid = 0;
    order();
    EXPECT(all.count == 1 && all.damaged == 2 && all.own_count == 0 && all.processes[0].is.pid == 11);
}

static void times_and_levels(void)
{
    const struct ebb_report_process p = {.start_ms = 1000};
    EXPECT(ebb__run_report_after(&p, 1500) == 500 && ebb__run_report_after(&p, 10) == 0);
    EXPECT(strcmp(ebb__run_report_level(0), "green") == 0 && strcmp(ebb__run_report_level(3), "red") == 0);
    EXPECT(strcmp(ebb__run_report_level(4), "unknown") == 0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(the_last_of_the_first_process_comes_first),
        CASE(who_did_nothing_and_was_replaced_is_silent),
        CASE(sums),
        CASE(what_cannot_be_read_is_counted),
        CASE(times_and_levels),
    };
    return RUN_CASES(cases);
}
