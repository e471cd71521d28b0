/* SPDX-License-Identifier: MIT
 *
 * The report: its name, who gets which slot, what was written read again, and what is no report or was spoilt.
 */
#include "support.h"

#include "wire/report.h"

#include <pthread.h>

#define COOKIE UINT64_C(0xfedcba9876543210)

/* Zero, as the kernel hands it out. */
static unsigned char *make(struct ebb_report_map *ret_map)
{
    unsigned char *bytes = calloc(1, EBB_REPORT_BYTES);
    EXPECT(bytes != NULL);
    ebb__wire_report_begin((struct ebb_report_header *)(void *)bytes, COOKIE);
    EXPECT_EQ(ebb__wire_report_join(bytes, EBB_REPORT_BYTES, COOKIE, ret_map), 0);
    EXPECT(ret_map->slot_count == EBB_REPORT_SLOTS && ret_map->slot_bytes == EBB_REPORT_SLOT_BYTES);
    return bytes;
}

#define TABLE(slot, name, n)                                                                                 \
    ((slot)->fixed.name = (struct ebb_report_table){.offset = offsetof(struct ebb_report_slot_full, name),   \
                                                    .count = (n),                                            \
                                                    .entry_bytes = sizeof((slot)->name[0])})

/* What a process might write. */
static void write_slot(struct ebb_report_slot_full *s, uint32_t pid, const char *program)
{
    ebb__wire_report_change_begin(&s->fixed);
    s->fixed.fixed_bytes = sizeof(s->fixed);
    s->fixed.pid = pid;
    s->fixed.start_ms = 1000 + pid;
    s->fixed.written_ms = 5000;
    memcpy(s->fixed.program, program, strlen(program));
    memcpy(s->fixed.library, "1.2", 3);
    memcpy(s->fixed.group, "/a/b", 4);
    s->fixed.group_kind = EBB_REPORT_GROUP_MAX;
    s->fixed.group_limit_bytes = 99;
    s->fixed.process = (struct ebb_report_peak){77, 4000};
    TABLE(s, gives, 2);
    TABLE(s, causes, 3);
    TABLE(s, limits, 2);
    TABLE(s, rows, 2);
    TABLE(s, records, EBB_REPORT_RECORDS);
    s->gives[0] = (struct ebb_report_sum){"free", 11};
    s->gives[1] = (struct ebb_report_sum){"caches", 12};
    s->causes[2] = (struct ebb_report_sum){"little room", 23};
    s->limits[1] = (struct ebb_report_sum){"memory.max", 0};
    memcpy(s->rows[0].name, "looks", 5);
    memcpy(s->rows[1].name, "hits", 4);
    atomic_store(&s->rows[1].value, 42);
    ebb__wire_report_change_end(&s->fixed);
}

static void note_record(struct ebb_report_slot_full *s, uint64_t at_ms, uint8_t cause, uint8_t limit)
{
    s->records[s->fixed.record_count++ % EBB_REPORT_RECORDS] =
        (struct ebb_report_record){.from_ms = at_ms,
                                   .last_ms = at_ms + 5,
                                   .got_bytes = at_ms,
                                   .level = 3,
                                   .cause = cause,
                                   .limit = limit};
}

/* ---- the name ---- */

static void a_name_comes_back(void)
{
    const struct ebb_report_name names[] = {
        {1, 0, 0}, {1234, 5, COOKIE}, {INT32_MAX, INT32_MAX, UINT64_MAX}, {7, 3, 1}};
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(names); i++) {
        char text[EBB_REPORT_NAME_TEXT_BYTES];
        struct ebb_report_name name;
        ebb__wire_report_name(&names[i], text);
        EXPECT_MSG(ebb__wire_report_name_parse(text, &name) == 0, "%s", text);
        EXPECT(name.pid == names[i].pid && name.fd == names[i].fd && name.cookie == names[i].cookie);
    }
}

static void what_is_no_name_is_refused(void)
{
    static const char *const texts[] = {"",
                                        ":",
                                        "::",
                                        "1",
                                        "1:2",
                                        "1:2:",
                                        "1::3",
                                        ":2:3",
                                        "0:1:2",
                                        "-1:2:3",
                                        " 1:2:3",
                                        "1:2:3 ",
                                        "1:2:3:4",
                                        "1:2:xyz",
                                        "2147483648:1:1",
                                        "1:2147483648:1",
                                        "1:2:10000000000000000",
                                        "1:2:ABC",
                                        "/proc/1/fd/2",
                                        "1/../../etc:2:3",
                                        "99999999999999999999999:1:1",
                                        "\xff\xfe"};
    struct ebb_report_name name = {.pid = 9};
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(texts); i++)
        EXPECT_MSG(ebb__wire_report_name_parse(texts[i], &name) == -EINVAL && name.pid == 9, "%s", texts[i]);
}

/* ---- slots ---- */

static void the_first_program_has_slot_0(void)
{
    struct ebb_report_map map;
    unsigned char *bytes = make(&map);
    struct ebb_report_view view;
    EXPECT_EQ(ebb__wire_report_enrol(&map, 10), EBB_REPORT_FIRST);
    EXPECT_EQ(ebb__wire_report_enrol(&map, 11), EBB_REPORT_OTHER);
    EXPECT_EQ(ebb__wire_report_enrol(&map, 10), EBB_REPORT_LATER); /* it executes another one */
    /* Whoever is faster: slot 0 stays for the first. */
    EXPECT((unsigned char *)ebb__wire_report_claim(&map, EBB_REPORT_OTHER) ==
           map.slots + EBB_REPORT_SLOT_BYTES);
    EXPECT((unsigned char *)ebb__wire_report_claim(&map, EBB_REPORT_LATER) ==
           map.slots + 2 * EBB_REPORT_SLOT_BYTES);
    EXPECT((unsigned char *)ebb__wire_report_claim(&map, EBB_REPORT_FIRST) == map.slots);
    EXPECT_EQ(ebb__wire_report_decode(bytes, EBB_REPORT_BYTES, &view), 0);
    EXPECT(view.first_pid == 10 && view.opened == 3 && view.turned_away == 0);
    free(bytes);
}

static void who_finds_none_is_counted(void)
{
    struct ebb_report_map map;
    unsigned char *bytes = make(&map);
    struct ebb_report_view view;
    for (unsigned i = 1; i < EBB_REPORT_SLOTS; i++)
        EXPECT(ebb__wire_report_claim(&map, EBB_REPORT_OTHER) != NULL);
    for (unsigned i = 0; i < 7; i++)
        EXPECT(ebb__wire_report_claim(&map, EBB_REPORT_OTHER) == NULL);
    EXPECT(ebb__wire_report_claim(&map, EBB_REPORT_FIRST) != NULL); /* not used up by others */
    EXPECT_EQ(ebb__wire_report_decode(bytes, EBB_REPORT_BYTES, &view), 0);
    EXPECT_EQ(view.turned_away, 7);
    free(bytes);
}

#define RACERS 8u

static struct ebb_report_map raced;
static struct ebb_report_slot_full *won[RACERS][EBB_REPORT_SLOTS];
static _Atomic unsigned firsts;

static void *race(void *argument)
{
    unsigned me = *(const unsigned *)argument, n = 0;
    enum ebb_report_role role = ebb__wire_report_enrol(&raced, 100 + me);
    if (role == EBB_REPORT_FIRST)
        atomic_fetch_add(&firsts, 1);
    for (struct ebb_report_slot_full *s; (s = ebb__wire_report_claim(&raced, EBB_REPORT_OTHER)) != NULL;) {
        ebb__wire_report_change_begin(&s->fixed); /* would meet another one's, were it not ours alone */
        s->fixed.pid = 100 + me;
        ebb__wire_report_change_end(&s->fixed);
        won[me][n++] = s;
    }
    return NULL;
}

static void nobody_gets_anothers_slot(void)
{
    unsigned char *bytes = make(&raced);
    pthread_t threads[RACERS];
    unsigned numbers[RACERS], sum = 0;
    bool taken[EBB_REPORT_SLOTS] = {false};
    for (unsigned i = 0; i < RACERS; i++) {
        numbers[i] = i;
        EXPECT_EQ(pthread_create(&threads[i], NULL, race, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < RACERS; i++)
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
    EXPECT_EQ(firsts, 1);
    for (unsigned i = 0; i < RACERS; i++)
        for (unsigned n = 0; n < EBB_REPORT_SLOTS && won[i][n] != NULL; n++) {
            size_t number = (size_t)((unsigned char *)won[i][n] - raced.slots) / EBB_REPORT_SLOT_BYTES;
            EXPECT(number >= 1 && number < EBB_REPORT_SLOTS && !taken[number]);
            EXPECT_EQ(won[i][n]->fixed.pid, 100 + i);
            taken[number] = true;
            sum++;
        }
    EXPECT_EQ(sum, EBB_REPORT_SLOTS - 1);
    free(bytes);
}

/* ---- reading ---- */

static void what_was_written_is_read(void)
{
    struct ebb_report_map map;
    unsigned char *bytes = make(&map);
    struct ebb_report_view view;
    struct ebb_report_process p;
    struct ebb_report_sum_view sum;
    struct ebb_wire_row_view row;
    struct ebb_report_record_view record;
    struct ebb_report_slot_full *s = ebb__wire_report_claim(&map, EBB_REPORT_FIRST);
    write_slot(s, 12, "a_program_of_a_name_that_is_long");
    atomic_store(&s->fixed.refusals, 3);
    note_record(s, 100, 2, 1);
    note_record(s, 200, 99, 99);
    EXPECT_EQ(ebb__wire_report_decode(bytes, EBB_REPORT_BYTES, &view), 0);
    EXPECT_EQ(ebb__wire_report_slot(&view, 0, &p), 0);
    EXPECT(!p.torn && p.pid == 12 && p.start_ms == 1012 && p.written_ms == 5000 && p.ended_ms == 0);
    EXPECT(strcmp(p.program, "a_program_of_a_name_that_is_long") == 0 && strcmp(p.library, "1.2") == 0);
    EXPECT(strcmp(p.group, "/a/b") == 0 && p.group_kind == EBB_REPORT_GROUP_MAX && p.group_limit_bytes == 99);
    EXPECT(p.process.bytes == 77 && p.process.at_ms == 4000 && p.refusals == 3);
    EXPECT(p.give_count == 2 && p.cause_count == 3 && p.row_count == 2 && p.record_count == 2);
    ebb__wire_report_give(&p, 1, &sum);
    EXPECT(strcmp(sum.name, "caches") == 0 && sum.bytes == 12);
    ebb__wire_report_cause(&p, 0, &sum);
    EXPECT(strcmp(sum.name, "?") == 0 && sum.bytes == 0);
    ebb__wire_report_row(&p, 1, &row);
    EXPECT(strcmp(row.name, "hits") == 0 && row.value == 42 && !row.is_gauge);
    EXPECT(ebb__wire_report_value(&p, "hits") == 42 && ebb__wire_report_value(&p, "none") == 0);
    ebb__wire_report_record(&p, 0, &record);
    EXPECT(record.from_ms == 100 && record.last_ms == 105 && record.level == 3);
    EXPECT(strcmp(record.cause, "little room") == 0 && strcmp(record.limit, "memory.max") == 0);
    ebb__wire_report_record(&p, 1, &record);
    EXPECT(strcmp(record.cause, "?") == 0 && record.limit[0] == '\0');
    EXPECT_EQ(ebb__wire_report_slot(&view, 1, &p), -ENOENT);
    free(bytes);
}

static void the_ring_is_read_from_its_oldest(void)
{
    struct ebb_report_map map;
    unsigned char *bytes = make(&map);
    struct ebb_report_view view;
    struct ebb_report_process p;
    struct ebb_report_record_view record;
    struct ebb_report_slot_full *s = ebb__wire_report_claim(&map, EBB_REPORT_FIRST);
    write_slot(s, 12, "p");
    for (unsigned i = 0; i < EBB_REPORT_RECORDS + 10; i++)
        note_record(s, 1000 + i, 0, 0);
    EXPECT_EQ(ebb__wire_report_decode(bytes, EBB_REPORT_BYTES, &view), 0);
    EXPECT_EQ(ebb__wire_report_slot(&view, 0, &p), 0);
    EXPECT(p.record_count == EBB_REPORT_RECORDS && p.records_before == 10);
    for (unsigned i = 0; i < p.record_count; i++) {
        ebb__wire_report_record(&p, i, &record);
        EXPECT_EQ(record.from_ms, 1010 + i);
    }
    free(bytes);
}

static void a_writer_that_was_killed_is_known(void)
{
    struct ebb_report_map map;
    unsigned char *bytes = make(&map);
    struct ebb_report_view view;
    struct ebb_report_process p;
    struct ebb_report_slot_full *s = ebb__wire_report_claim(&map, EBB_REPORT_FIRST);
    write_slot(s, 12, "p");
    ebb__wire_report_change_begin(&s->fixed);
    EXPECT_EQ(ebb__wire_report_decode(bytes, EBB_REPORT_BYTES, &view), 0);
    EXPECT(ebb__wire_report_slot(&view, 0, &p) == 0 && p.torn);
    /* A child of fork that goes on with an odd number does not turn it round. */
    ebb__wire_report_change_begin(&s->fixed);
    ebb__wire_report_change_end(&s->fixed);
    EXPECT(ebb__wire_report_slot(&view, 0, &p) == 0 && !p.torn);
    atomic_store(&s->fixed.sequence, UINT32_MAX - 1);
    ebb__wire_report_change_begin(&s->fixed);
    ebb__wire_report_change_end(&s->fixed);
    EXPECT(ebb__wire_report_slot(&view, 0, &p) == 0 && !p.torn); /* 0 would be: never written */
    free(bytes);
}

static void a_later_version_is_read(void)
{
    struct wide_sum {
        struct ebb_report_sum known;
        uint64_t more;
    };
    struct wide {
        struct ebb_report_slot fixed;
        uint64_t more[5];
        struct wide_sum sums[3];
        struct ebb_report_record records[2];
        struct ebb_wire_row row;
    };
    static struct {
        struct ebb_report_header header;
        uint64_t more[3];
        struct wide slots[2];
    } file;
    struct ebb_report_view view;
    struct ebb_report_process p;
    struct ebb_report_sum_view sum;
    struct ebb_report_table sums = {offsetof(struct wide, sums), 3, sizeof(struct wide_sum), 0};
    ebb__wire_report_begin(&file.header, 1);
    file.header.version = EBB_REPORT_VERSION + 1;
    file.header.file_bytes = sizeof(file);
    file.header.header_bytes += sizeof(file.more);
    file.header.slots_offset = file.header.header_bytes;
    file.header.slot_count = 2;
    file.header.slot_bytes = sizeof(struct wide);
    struct wide *s = &file.slots[1];
    s->fixed.sequence = 2;
    s->fixed.pid = 5;
    s->fixed.gives = s->fixed.causes = s->fixed.limits = sums;
    s->fixed.rows = (struct ebb_report_table){offsetof(struct wide, row), 1, sizeof(struct ebb_wire_row), 0};
    s->fixed.records =
        (struct ebb_report_table){offsetof(struct wide, records), 2, sizeof(struct ebb_report_record), 0};
    s->sums[2] = (struct wide_sum){{"third", 9}, 99};
    EXPECT_EQ(ebb__wire_report_decode(&file, sizeof(file), &view), 0);
    EXPECT(view.version == EBB_REPORT_VERSION + 1 && view.slot_count == 2);
    EXPECT_EQ(ebb__wire_report_slot(&view, 0, &p), -ENOENT);
    EXPECT_EQ(ebb__wire_report_slot(&view, 1, &p), 0);
    EXPECT(p.pid == 5 && p.give_count == 3 && strcmp(p.program, "?") == 0);
    ebb__wire_report_give(&p, 2, &sum);
    EXPECT(strcmp(sum.name, "third") == 0 && sum.bytes == 9);
    /* A library of ours does not write where its slot does not fit. */
    struct ebb_report_map map;
    EXPECT_EQ(ebb__wire_report_join(&file, sizeof(file), 1, &map), -EBADMSG);
}

static void what_is_no_report_is_refused(void)
{
    struct ebb_report_map map;
    unsigned char *bytes = make(&map);
    struct ebb_report_header *h = (struct ebb_report_header *)(void *)bytes, good = *h;
    struct ebb_report_view view;
    EXPECT_EQ(ebb__wire_report_join(bytes, EBB_REPORT_BYTES, COOKIE + 1, &map), -EPROTO);
    EXPECT_EQ(ebb__wire_report_join(bytes, EBB_REPORT_BYTES - 1, COOKIE, &map), -EBADMSG);
    EXPECT_EQ(ebb__wire_report_decode(bytes, EBB_REPORT_BYTES - 1, &view), -EMSGSIZE);
    EXPECT_EQ(ebb__wire_report_decode(bytes, sizeof(*h) - 1, &view), -EMSGSIZE);
    h->magic[0] = 'x';
    EXPECT_EQ(ebb__wire_report_decode(bytes, EBB_REPORT_BYTES, &view), -EPROTO);
#define SPOILT(field, wrong)                                                                                 \
    do {                                                                                                     \
        *h = good;                                                                                           \
        h->field = (wrong);                                                                                  \
        EXPECT_MSG(ebb__wire_report_decode(bytes, EBB_REPORT_BYTES, &view) == -EBADMSG, #field " " #wrong);  \
        EXPECT(ebb__wire_report_join(bytes, EBB_REPORT_BYTES, COOKIE, &map) == -EBADMSG);                    \
    } while (0)
    SPOILT(version, 0);
    SPOILT(file_bytes, UINT32_MAX);
    SPOILT(header_bytes, 8);
    SPOILT(header_bytes, EBB_REPORT_SLOTS_OFFSET + 8);
    SPOILT(slot_count, 0);
    SPOILT(slot_count, EBB_REPORT_SLOTS + 1);
    SPOILT(slot_count, UINT32_MAX);
    SPOILT(slot_bytes, 0);
    SPOILT(slot_bytes, EBB_REPORT_SLOT_BYTES + 8);
    SPOILT(slot_bytes, EBB_REPORT_SLOT_BYTES - 4);
    SPOILT(slots_offset, EBB_REPORT_SLOTS_OFFSET + 8);
    SPOILT(slots_offset, 4);
    SPOILT(slots_offset, UINT32_MAX - 7);
    free(bytes);
}

static void a_spoilt_slot_is_damaged(void)
{
    struct ebb_report_map map;
    unsigned char *bytes = make(&map);
    struct ebb_report_view view;
    struct ebb_report_process p;
    struct ebb_report_slot_full *s = ebb__wire_report_claim(&map, EBB_REPORT_FIRST);
    struct ebb_report_slot good;
    write_slot(s, 12, "p");
    good = s->fixed;
    EXPECT_EQ(ebb__wire_report_decode(bytes, EBB_REPORT_BYTES, &view), 0);
#define SLOT_SPOILT(field, wrong)                                                                            \
    do {                                                                                                     \
        s->fixed = good;                                                                                     \
        s->fixed.field = (wrong);                                                                            \
        EXPECT_MSG(ebb__wire_report_slot(&view, 0, &p) == -EBADMSG, #field " " #wrong);                      \
    } while (0)
    SLOT_SPOILT(pid, 0);
    SLOT_SPOILT(gives.offset, 8);
    SLOT_SPOILT(gives.offset, EBB_REPORT_SLOT_BYTES - 8);
    SLOT_SPOILT(gives.offset, UINT32_MAX);
    SLOT_SPOILT(causes.count, UINT32_MAX);
    SLOT_SPOILT(limits.count, EBB_REPORT_ENTRIES_MAX + 1);
    SLOT_SPOILT(rows.entry_bytes, 0);
    SLOT_SPOILT(rows.entry_bytes, UINT32_MAX);
    SLOT_SPOILT(records.entry_bytes, sizeof(struct ebb_report_record) - 1);
    SLOT_SPOILT(records.count, EBB_REPORT_SLOT_BYTES);
    /* What may be odd without harm: texts that do not end, roles and kinds that nobody knows, a ring without entries. */
    s->fixed = good;
    memset(s->fixed.program, '\x1b', sizeof(s->fixed.program));
    memset(s->fixed.group, 'x', sizeof(s->fixed.group));
    s->fixed.role = s->fixed.group_kind = 77;
    s->fixed.records.count = 0;
    s->fixed.record_count = UINT64_MAX;
    EXPECT_EQ(ebb__wire_report_slot(&view, 0, &p), 0);
    EXPECT(p.role == EBB_REPORT_OTHER && p.group_kind == EBB_REPORT_NO_GROUP && p.record_count == 0);
    EXPECT(strlen(p.program) == EBB_REPORT_PROGRAM_BYTES && p.program[0] == '?');
    EXPECT(strlen(p.group) == EBB_REPORT_GROUP_BYTES);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(a_name_comes_back),
        CASE(what_is_no_name_is_refused),
        CASE(the_first_program_has_slot_0),
        CASE(who_finds_none_is_counted),
        CASE(nobody_gets_anothers_slot),
        CASE(what_was_written_is_read),
        CASE(the_ring_is_read_from_its_oldest),
        CASE(a_writer_that_was_killed_is_known),
        CASE(a_later_version_is_read),
        CASE(what_is_no_report_is_refused),
        CASE(a_spoilt_slot_is_damaged),
    };
    return RUN_CASES(cases);
}
