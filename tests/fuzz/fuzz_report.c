/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: a report that a hostile process has written, the variable that names it, and what becomes of it in order.
 */
#include "fuzz.h"

#include <string.h>

#include "model/run_report.h"
#include "wire/report.h"

static void check_text(const char *text, size_t max)
{
    size_t len = strlen(text);

    FUZZ_CHECK(len <= max);
    for (size_t i = 0; i < len; i++)
        FUZZ_CHECK(text[i] >= ' ' && text[i] <= '~');
}

static void check_sum(const struct ebb_report_sum_view *sum)
{
    check_text(sum->name, EBB_REPORT_NAME_BYTES);
    FUZZ_CHECK(sum->name[0] != '\0');
}

static void check_process(const struct ebb_report_process *p)
{
    struct ebb_report_sum_view sum;
    struct ebb_wire_row_view row;
    struct ebb_report_record_view record;

    check_text(p->program, EBB_REPORT_PROGRAM_BYTES);
    check_text(p->library, EBB_WIRE_LIBRARY_BYTES);
    check_text(p->group, EBB_REPORT_GROUP_BYTES);
    FUZZ_CHECK(p->pid != 0 && p->role <= EBB_REPORT_LATER && p->program[0] != '\0');
    for (unsigned i = 0; i < p->give_count; i++) {
        ebb__wire_report_give(p, i, &sum);
        check_sum(&sum);
    }
    for (unsigned i = 0; i < p->cause_count; i++) {
        ebb__wire_report_cause(p, i, &sum);
        check_sum(&sum);
    }
    for (unsigned i = 0; i < p->row_count; i++) {
        ebb__wire_report_row(p, i, &row);
        check_text(row.name, EBB_WIRE_NAME_BYTES);
        check_text(row.unit, EBB_WIRE_UNIT_BYTES);
    }
    for (unsigned i = 0; i < p->record_count; i++) {
        ebb__wire_report_record(p, i, &record);
        check_text(record.cause, EBB_REPORT_NAME_BYTES);
        check_text(record.limit, EBB_REPORT_NAME_BYTES);
        FUZZ_CHECK(ebb__run_report_level(record.level)[0] != '\0');
    }
}

static void check_file(const uint8_t *data, size_t size)
{
    static struct ebb_run_report all;
    struct ebb_report_view view;

    if (ebb__wire_report_decode(data, size, &view) != 0)
        return;
    ebb__run_report_order(&view, &all);
    FUZZ_CHECK(all.count <= EBB_RUN_PROCESSES_MAX && all.own_count <= all.count);
    for (unsigned i = 0; i < all.count; i++) {
        check_process(&all.processes[i].is);
        FUZZ_CHECK((all.processes[i].is.role != EBB_REPORT_OTHER) == (i < all.own_count));
    }
}

/* Writers check the same header; what they are given lies inside the file. */
static void check_join(const uint8_t *data, size_t size)
{
    _Alignas(8) static uint8_t copy[1 << 16];
    struct ebb_report_map map;

    if (size > sizeof(copy))
        return;
    memcpy(copy, data, size);
    if (size < sizeof(struct ebb_report_header) ||
        ebb__wire_report_join(copy, size, ((struct ebb_report_header *)(void *)copy)->cookie, &map) != 0)
        return;
    for (unsigned i = 0; i < 100; i++) {
        struct ebb_report_slot_full *slot =
            ebb__wire_report_claim(&map, i == 0 ? EBB_REPORT_FIRST : EBB_REPORT_OTHER);

        if (slot == NULL)
            break;
        FUZZ_CHECK((uint8_t *)slot >= copy && (uint8_t *)(slot + 1) <= copy + size);
    }
}

static void check_name(const uint8_t *data, size_t size)
{
    char text[64];
    char again[EBB_REPORT_NAME_TEXT_BYTES];
    struct ebb_report_name name;
    struct ebb_report_name twice;

    if (size >= sizeof(text))
        return;
    memcpy(text, data, size);
    text[size] = '\0';
    if (ebb__wire_report_name_parse(text, &name) != 0)
        return;
    ebb__wire_report_name(&name, again);
    FUZZ_CHECK(ebb__wire_report_name_parse(again, &twice) == 0 && twice.pid == name.pid &&
               twice.fd == name.fd && twice.cookie == name.cookie);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_file(data, size);
    check_join(data, size);
    check_name(data, size);
    return 0;
}
