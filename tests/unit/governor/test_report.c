/* SPDX-License-Identifier: MIT
 *
 * What a process leaves behind, on the fake kernel: when it has a slot, what it writes and when, forks, each call failing, threads.
 */
#include "governor_test.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "governor/act_priv.h"
#include "wire/report.h"

#define COOKIE UINT64_C(0x1234)

static unsigned char *file;
static int file_fd;
static char named[EBB_REPORT_NAME_TEXT_BYTES];

static const char *report_of(const char *name)
{
    return strcmp(name, EBB_REPORT_VARIABLE) == 0 ? named : NULL;
}

/* As ebb run makes it. */
static void make_file(void)
{
    struct ebb_report_name name = {.pid = (uint32_t)getpid(), .cookie = COOKIE};
    file_fd = memfd_create("ebb-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    EXPECT(file_fd >= 0 && ftruncate(file_fd, (off_t)EBB_REPORT_BYTES) == 0);
    EXPECT(fcntl(file_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
    file = mmap(NULL, EBB_REPORT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file_fd, 0);
    EXPECT(file != MAP_FAILED);
    ebb__wire_report_begin((struct ebb_report_header *)(void *)file, COOKIE);
    name.fd = (uint32_t)file_fd;
    ebb__wire_report_name(&name, named);
    ebb_fake.env_of = report_of;
}

/* Another program is the first. */
static void somebody_is_first(void)
{
    struct ebb_report_map map;
    EXPECT_EQ(ebb__wire_report_join(file, EBB_REPORT_BYTES, COOKIE, &map), 0);
    EXPECT_EQ(ebb__wire_report_enrol(&map, 7), EBB_REPORT_FIRST);
}

/* -ENOENT when nobody has written there. */
static int read_slot(unsigned i, struct ebb_report_process *ret)
{
    struct ebb_report_view view;
    EXPECT_EQ(ebb__wire_report_decode(file, EBB_REPORT_BYTES, &view), 0);
    int rc = ebb__wire_report_slot(&view, i, ret);
    EXPECT(rc != 0 || !ret->torn);
    return rc;
}

static uint32_t opened(void)
{
    struct ebb_report_view view;
    EXPECT_EQ(ebb__wire_report_decode(file, EBB_REPORT_BYTES, &view), 0);
    return view.opened;
}

/* ---- whether ---- */

static void nothing_without_the_variable(void)
{
    struct ebb_report_process p;
    make_file();
    ebb_fake.env_of = NULL;
    long calls = ebb_fake.calls;
    ebb__report_start();
    ebb__report_started();
    ebb__report_write();
    ebb__report_refused(1000);
    ebb__report_after_fork();
    ebb__report_end();
    EXPECT_EQ(ebb_fake.calls, calls);
    EXPECT(opened() == 0 && read_slot(0, &p) == -ENOENT);
}

static void garbage_is_nothing(void)
{
    struct ebb_report_process p;
    static const char *const texts[] = {"", "1", "/etc/passwd", "1:2:3:4", "0:0:0", "4194305:3:1"};
    make_file();
    for (unsigned i = 0; i < EBB_ARRAY_COUNT(texts); i++) {
        (void)snprintf(named, sizeof(named), "%s", texts[i]);
        start();
        ebb__report_end();
    }
    /* The right file under a wrong cookie, and a memory file that is none of ours. */
    (void)snprintf(named, sizeof(named), "%d:%d:%x", (int)getpid(), file_fd, 1);
    start();
    file[0] = 'x';
    (void)snprintf(named, sizeof(named), "%d:%d:%" PRIx64, (int)getpid(), file_fd, COOKIE);
    start();
    file[0] = 'E';
    EXPECT(opened() == 0 && read_slot(0, &p) == -ENOENT);
    EXPECT_EQ(ebb_fake.failures, 0);
}

static void the_first_program_has_its_slot_at_once(void)
{
    struct ebb_report_process p;
    make_file();
    ebb_fake.now_ms = 5000;
    start();
    EXPECT_EQ(read_slot(0, &p), 0);
    EXPECT(p.pid == ebb_fake.pid && p.role == EBB_REPORT_FIRST && p.start_ms == 5000 && p.ended_ms == 0);
    EXPECT(strcmp(p.program, program_invocation_short_name) == 0 && strcmp(p.library, EBB_VERSION) == 0);
    EXPECT_EQ(p.row_count, EBB_STAT_COUNT);
    ebb_fake.now_ms = 6000;
    ebb__governor_end();
    EXPECT(read_slot(0, &p) == 0 && p.ended_ms == 6000 && p.written_ms == 6000);
}

static void others_have_one_when_they_have_something_to_say(void)
{
    struct ebb_report_process p;
    make_file();
    somebody_is_first();
    start();
    EXPECT(read_slot(0, &p) == -ENOENT && read_slot(1, &p) == -ENOENT);
    ebb__governor_end(); /* it was small, and says nothing */
    EXPECT_EQ(read_slot(1, &p), -ENOENT);
    ebb__report_write();
    EXPECT(read_slot(0, &p) == -ENOENT && read_slot(1, &p) == 0);
    EXPECT(p.role == EBB_REPORT_OTHER && p.pid == ebb_fake.pid);
}

static void without_a_slot_nothing_is_written(void)
{
    struct ebb_report_map map;
    struct ebb_report_view view;
    make_file();
    somebody_is_first();
    EXPECT_EQ(ebb__wire_report_join(file, EBB_REPORT_BYTES, COOKIE, &map), 0);
    while (ebb__wire_report_claim(&map, EBB_REPORT_OTHER) != NULL)
        ;
    start();
    for (unsigned i = 0; i < 10; i++)
        ebb__report_write();
    ebb__report_refused(1);
    ebb__governor_end();
    EXPECT_EQ(ebb__wire_report_decode(file, EBB_REPORT_BYTES, &view), 0);
    EXPECT_EQ(view.turned_away, 2); /* the loop above, and this process once */
}

/* ---- what ---- */

static uint64_t value(const char *name)
{
    struct ebb_report_process p;
    EXPECT_EQ(read_slot(0, &p), 0);
    return ebb__wire_report_value(&p, name);
}

/* The thread writes at each tick: what is left when it sleeps for good is what it knows. */
static void the_thread_writes(void)
{
    struct ebb_report_process p;
    make_file();
    start();
    take(100);
    give(90);
    serve();
    EXPECT_EQ(ebb_fake.threads_started, 1);
    while_asleep = finish_at_once;
    ebb_fake_thread_run();
    EXPECT(value("bg_ticks") + 1 >= EBB_COUNTED(bg_ticks) && value("purged_bytes") > EBB_MIB(50));
    EXPECT_EQ(read_slot(0, &p), 0);
    EXPECT(p.heap.bytes >= EBB_MIB(100) && p.process.bytes >= p.heap.bytes);
    EXPECT(p.used_bytes + EBB_MIB(50) < p.process.bytes); /* whatever is beside the heap */
}

/* In a process with a limit whoever is refused writes, and whoever looks. */
static void looks_and_refusals_are_written(void)
{
    struct ebb_report_process p;
    make_file();
    ebb__conf.hard_limit = (long)EBB_MIB(64);
    ebb__conf.pressure = 0;
    start();
    ebb_fake.now_ms = 2000;
    unsigned n = 0;
    while (ebb__heap_span_alloc(SPAN, EBB_UNIT_BYTES, false) != NULL)
        EXPECT(++n < 100);
    EXPECT_EQ(read_slot(0, &p), 0);
    EXPECT_EQ(p.hard_limit_bytes, EBB_MIB(64));
    EXPECT(p.refusals == 1 && p.refused_bytes == SPAN && p.refused_ms == 2000 && p.hard_hits != 0);
    EXPECT(value("limit_looks") != 0);
    /* Those that follow at once are written too, but for the figures beside them. */
    for (unsigned i = 0; i < 5; i++) {
        ebb_fake.now_ms++;
        EXPECT(ebb__heap_span_alloc(2 * SPAN, EBB_UNIT_BYTES, false) == NULL);
    }
    EXPECT_EQ(read_slot(0, &p), 0);
    EXPECT(p.refusals == 6 && p.refused_bytes == 2 * SPAN && p.refused_ms == 2005);
}

static void add_record(struct ebb_press_ring *ring, uint64_t at_ms, enum ebb_press_cause cause, uint64_t got)
{
    const struct ebb_press_actions actions = {.level = EBB_PRESS_RED,
                                              .need = EBB_PRESS_RED,
                                              .cause = cause,
                                              .limit = EBB_PRESS_LIMIT_MAX,
                                              .want_bytes = 2 * got};
    uint64_t by_kind[EBB_PRESS_GIVES] = {0};
    by_kind[EBB_PRESS_GIVE_SLABS] = got;
    EXPECT(ebb__press_note(ring, at_ms, &actions, got, 1));
    ebb__report_step(ring, &actions, by_kind);
}

static void steps_are_written(void)
{
    static struct ebb_press_ring ring;
    struct ebb_report_process p;
    struct ebb_report_record_view r;
    struct ebb_report_sum_view sum;
    make_file();
    start();
    add_record(&ring, 1000, EBB_PRESS_ROOM_LOW, 10);
    add_record(&ring, 1500, EBB_PRESS_ROOM_LOW, 5); /* the same record goes on */
    add_record(&ring, 1600, EBB_PRESS_MAX_HIT, 1);
    EXPECT(read_slot(0, &p) == 0 && p.record_count == 2);
    ebb__wire_report_record(&p, 0, &r);
    EXPECT(r.from_ms == 1000 && r.last_ms == 1500 && r.got_bytes == 15 && r.want_bytes == 20 && r.steps == 2);
    EXPECT(strcmp(r.cause, "little room") == 0 && strcmp(r.limit, "memory.max") == 0 && r.level == 3);
    ebb__wire_report_record(&p, 1, &r);
    EXPECT_MSG(strcmp(r.cause, "memory.max was hit") == 0, "%s", r.cause);
    ebb__wire_report_give(&p, EBB_PRESS_GIVE_SLABS, &sum);
    EXPECT(strcmp(sum.name, "pages inside slabs") == 0 && sum.bytes == 16);
    ebb__wire_report_cause(&p, EBB_PRESS_ROOM_LOW, &sum);
    EXPECT_EQ(sum.bytes, 15);
    for (unsigned i = 0; i < 200; i++)
        add_record(&ring, 10000 + i * 5000, EBB_PRESS_ROOM_LOW, 1);
    EXPECT(read_slot(0, &p) == 0 && p.record_count == EBB_REPORT_RECORDS &&
           p.records_before == 202 - EBB_REPORT_RECORDS);
    for (unsigned i = 0; i < p.record_count; i++) {
        ebb__wire_report_record(&p, i, &r);
        EXPECT_EQ(r.from_ms, 10000 + (200 - EBB_REPORT_RECORDS + i) * 5000);
    }
}

/* Turns that are lost come all at once. */
static void a_ring_that_ran_on_is_caught_up_with(void)
{
    static struct ebb_press_ring ring;
    const struct ebb_press_actions actions = {
        .level = EBB_PRESS_RED, .cause = EBB_PRESS_ROOM_LOW, .want_bytes = 9};
    struct ebb_report_process p;
    struct ebb_report_record_view r;
    make_file();
    start();
    for (unsigned i = 0; i < 300; i++)
        EXPECT(ebb__press_note(&ring, 10000 + i * 5000, &actions, 1, 1));
    add_record(&ring, 3000000, EBB_PRESS_MAX_HIT, 1);
    EXPECT(read_slot(0, &p) == 0 && p.record_count == EBB_REPORT_RECORDS);
    ebb__wire_report_record(&p, EBB_REPORT_RECORDS - 1, &r);
    EXPECT_EQ(r.from_ms, 3000000);
    ebb__wire_report_record(&p, 0, &r);
    EXPECT_EQ(r.from_ms, 10000 + (301 - EBB_REPORT_RECORDS) * 5000);
}

static void the_nearest_cgroup_is_named(void)
{
    static struct ebb_place place = {.path_len = {24, 10}};
    static struct ebb_pressure_facts facts = {.tightest = 0, .count = 1};
    struct ebb_report_process p;
    memcpy(place.path, "/sys/fs/cg/with/a/folder", 24);
    facts.levels[0] = (struct ebb_pressure_level){
        .distance = 1, .limit_bytes = {1000, true}, .high_bytes = {900, true}, .usage_bytes = {800, true}};
    make_file();
    start();
    ebb__report_group(&place, &facts);
    ebb__report_write();
    EXPECT_EQ(read_slot(0, &p), 0);
    EXPECT(strcmp(p.group, "/sys/fs/cg") == 0 && p.group_distance == 1);
    EXPECT(p.group_kind == EBB_REPORT_GROUP_HIGH && p.group_limit_bytes == 900 && p.group_used_bytes == 800);
    /* Only the end of one that is too long. */
    memset(place.path, 'x', 2000);
    memcpy(place.path + 1997, "end", 3);
    place.path_len[0] = 2000;
    facts.levels[0].distance = 0;
    facts.levels[0].high_bytes.known = false;
    ebb__report_group(&place, &facts);
    /* What is not seen any more is remembered. */
    facts.tightest = EBB_PRESSURE_NONE;
    ebb__report_group(&place, &facts);
    ebb__report_write();
    EXPECT_EQ(read_slot(0, &p), 0);
    EXPECT(p.group_kind == EBB_REPORT_GROUP_MAX && p.group_limit_bytes == 1000);
    EXPECT(strlen(p.group) == EBB_REPORT_GROUP_BYTES - 1 &&
           strcmp(p.group + strlen(p.group) - 3, "end") == 0);
}

/* ---- forks ---- */

static void a_child_leaves_its_parents_slot_alone(void)
{
    static unsigned char before[EBB_REPORT_SLOT_BYTES];
    struct ebb_report_process p;
    make_file();
    start();
    take(50);
    give(50);
    (void)ebb__heap_trim(0);
    ebb__report_refused(77);
    ebb__report_write();
    EXPECT(value("purged_bytes") != 0);
    memcpy(before, file + EBB_REPORT_SLOTS_OFFSET, sizeof(before));
    /* A child that nobody told: of vfork(), or made without the handlers. */
    ebb_fake.pid++;
    ebb_fake.now_ms += 1000;
    ebb__report_write();
    ebb__report_refused(1);
    ebb__report_end();
    EXPECT(memcmp(before, file + EBB_REPORT_SLOTS_OFFSET, sizeof(before)) == 0 &&
           read_slot(1, &p) == -ENOENT);
    /* One that was told, and has nothing to say; then something. */
    ebb__governor_fork_child();
    ebb__report_end();
    EXPECT_EQ(read_slot(1, &p), -ENOENT);
    ebb__report_write();
    EXPECT(memcmp(before, file + EBB_REPORT_SLOTS_OFFSET, sizeof(before)) == 0 && read_slot(1, &p) == 0);
    EXPECT(p.pid == ebb_fake.pid && p.role == EBB_REPORT_OTHER && p.start_ms == ebb_fake.now_ms &&
           p.refusals == 0);
    EXPECT_EQ(ebb__wire_report_value(&p, "purged_bytes"), 0); /* counted from the fork on */
    ebb__report_end();
    EXPECT(read_slot(1, &p) == 0 && p.ended_ms != 0 && read_slot(0, &p) == 0 && p.ended_ms == 0);
}

static void a_child_of_a_writer_writes(void)
{
    struct ebb_report_process p;
    make_file();
    start();
    /* Another thread of the parent was writing, and the parent's slot is as it left it. */
    struct ebb_report_slot *parents = (struct ebb_report_slot *)(void *)(file + EBB_REPORT_SLOTS_OFFSET);
    ebb__wire_report_change_begin(parents);
    ebb_fake.pid++;
    ebb__governor_fork_child();
    ebb__report_write();
    EXPECT(read_slot(1, &p) == 0 && p.pid == ebb_fake.pid);
    EXPECT_EQ(parents->sequence % 2, 1);
}

/* ---- failures ---- */

static void each_call_fails_once(void)
{
    struct ebb_report_process p;
    make_file();
    ebb_fake.fail_at = 1; /* mapping */
    start();
    ebb__report_write();
    EXPECT(ebb_fake.failures == 1 && opened() == 0 && read_slot(0, &p) == -ENOENT);
    ebb_fake.fail_at = 2; /* touching: it is tried again */
    start();
    EXPECT(ebb_fake.failures == 2 && opened() == 1 && read_slot(0, &p) == -ENOENT);
    ebb__report_write();
    EXPECT(read_slot(0, &p) == 0 && p.pid == ebb_fake.pid);
}

static void memory_that_cannot_be_had_is_never_touched(void)
{
    struct ebb_report_process p;
    make_file();
    ebb_fake.fail_at = 2;
    ebb_fake.fail_forever = true;
    start();
    for (unsigned i = 0; i < 5; i++) {
        ebb__report_write();
        ebb__report_refused(9);
    }
    ebb__report_end();
    EXPECT(opened() == 1 && read_slot(0, &p) == -ENOENT);
    for (size_t i = EBB_REPORT_SLOTS_OFFSET; i < EBB_REPORT_SLOTS_OFFSET + EBB_REPORT_SLOT_BYTES; i++)
        EXPECT_EQ(file[i], 0);
}

/* ---- threads ---- */

#define WRITERS 4u
#define ROUNDS  2000u

static _Atomic unsigned running;

static void *write_and_be_refused(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < ROUNDS; i++) {
        ebb__report_write();
        ebb__report_refused(i);
    }
    atomic_fetch_sub(&running, 1);
    return NULL;
}

static void threads_take_turns(void)
{
    static struct ebb_press_ring ring;
    struct ebb_report_process p;
    struct ebb_report_record_view r;
    pthread_t threads[WRITERS];
    unsigned steps = 0;
    make_file();
    start();
    atomic_store(&running, WRITERS);
    for (unsigned i = 0; i < WRITERS; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, write_and_be_refused, NULL), 0);
    while (atomic_load(&running) != 0) {
        add_record(&ring, 1000 + steps * 5000, EBB_PRESS_ROOM_LOW, 1);
        steps++;
    }
    for (unsigned i = 0; i < WRITERS; i++)
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
    add_record(&ring, 1000 + steps * 5000, EBB_PRESS_ROOM_LOW, 1);
    ebb__report_end();
    EXPECT_EQ(read_slot(0, &p), 0);
    EXPECT_EQ(p.refusals, WRITERS * ROUNDS);
    EXPECT(p.record_count == ebb__min(steps + 1, EBB_REPORT_RECORDS) && p.ended_ms != 0);
    ebb__wire_report_record(&p, p.record_count - 1, &r);
    EXPECT_EQ(r.from_ms, 1000 + steps * 5000);
    EXPECT_EQ(read_slot(1, &p), -ENOENT); /* one process, one slot */
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(nothing_without_the_variable),
        CASE(garbage_is_nothing),
        CASE(the_first_program_has_its_slot_at_once),
        CASE(others_have_one_when_they_have_something_to_say),
        CASE(without_a_slot_nothing_is_written),
        CASE(the_thread_writes),
        CASE(looks_and_refusals_are_written),
        CASE(steps_are_written),
        CASE(a_ring_that_ran_on_is_caught_up_with),
        CASE(the_nearest_cgroup_is_named),
        CASE(a_child_leaves_its_parents_slot_alone),
        CASE(a_child_of_a_writer_writes),
        CASE(each_call_fails_once),
        CASE(memory_that_cannot_be_had_is_never_touched),
        CASE(threads_take_turns),
    };
    return RUN_CASES(cases);
}
