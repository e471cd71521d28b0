/* SPDX-License-Identifier: MIT
 *
 * What the process leaves behind for whoever started it by `ebb run --report`.
 *
 * wire/report.h has the format. The constructor maps the memory file that EBB_REPORT names; without the variable nothing is done here,
 * ever: every function returns after one load. All of this is on ways that are slow anyway.
 *
 * Who writes, and when. The background thread after each step and tick; whoever has looked at a limit; whoever was refused a block; the
 * destructor. What they have is copied as a whole: peaks, limits, hits, sums, the rows of the stats page; the records of pressure by
 * the background thread alone, whose ring they are. It costs 2 to 4 microseconds (2026-12). So what a process that is killed has left is as
 * old as its last tick, and at its limit, where nobody gets memory without a look, as old as its last growth.
 *
 * Whose slot. The first program, and what its process executes later, claim theirs at once, for they are what was asked about; all
 * others when there is first something to write: a program that is small, meets no limit and has no background thread leaves
 * nothing.
 *
 * Locking: one writer at a time, by a flag. Nobody waits long for it: a writer that was interrupted by a signal whose handler
 * comes by here, or that was stopped, costs the other his turn, not more, for the next one copies all anew. Sums are atomic and outlive a
 * lost turn.
 *
 * Fork. The child shares the mapping, so it must not touch its parent's slot: it is told apart by its process id, and writes nothing
 * before the handlers of fork have made it another one (a child of vfork(), or one that skipped the handlers, never does). Its
 * counters begin with the fork. What it executes maps the file anew.
 *
 * What it costs otherwise: 3 MiB of address space in one mapping, of which a few pages are backed; a program that locks all its memory
 * (mlockall) has all of them backed.
 *
 * Failure. No /proc, no permission, another user, a variable that names something else, no memory: as if nothing was asked, silently. A
 * slot is touched by the kernel first (ebb__os_touch()), so what cannot be had there is an error and no signal; it is tried again.
 * What other processes do to the file can spoil the report, and nothing else.
 */
#include <errno.h>

#include "base/fmt.h"
#include "base/syscall.h"
#include "governor/act_priv.h"
#include "governor/governor_priv.h"
#include "wire/report.h"

#define ENTER_TRIES 1000u /* some ten microseconds and more: a writer takes two to four */
#define REFUSED_MS                                                                                           \
    10u /* a program that asks again and again is not to be slowed down: between two whole copies */

EBB_STATIC_ASSERT(EBB_PRESS_GIVES <= EBB_REPORT_GIVES && EBB_PRESS_CAUSES <= EBB_REPORT_CAUSES &&
                      EBB_PRESS_LIMITS <= EBB_REPORT_LIMITS && EBB_STAT_COUNT <= EBB_REPORT_ROWS &&
                      EBB_PRESS_RECORDS == EBB_REPORT_RECORDS,
                  "the slot has room for all of ours");

static struct {
    struct ebb_report_map map; /* header is NULL: nobody wants a report. Written by the constructor */
    uint32_t pid;              /* whose slot it is; another one is a child that nobody told us about */
    enum ebb_report_role role;
    bool full;      /* there is no slot for us */
    bool untouched; /* it is ours, and the kernel has not backed it yet */
    uint64_t start_ms;
    char program[EBB_REPORT_PROGRAM_BYTES];
    uint64_t ring_count;                                                /* records that are in the slot */
    uint64_t ring_from;                                                 /* older ones are of our parent */
    uint64_t rows_then[EBB_STAT_COUNT], soft_hits_then, hard_hits_then; /* at the fork */
    uint32_t group_kind, group_distance;
    uint64_t group_limit_bytes, group_used_bytes;
    char group[EBB_REPORT_GROUP_BYTES];
} report;

static struct ebb_report_slot_full *_Atomic slot; /* NULL: not claimed */
static _Atomic uint32_t busy;                     /* somebody writes to the two above, or to the slot */
static _Atomic uint64_t written_ms;
static _Atomic uint64_t given_by[EBB_PRESS_GIVES], given_for[EBB_PRESS_CAUSES];
static _Atomic uint64_t refusals, refused_ms, refused_bytes;

/* ---- one at a time ---- */

static bool is_wanted(void)
{
    return report.map.header != NULL && report.pid == ebb__os_pid();
}

static bool enter(void)
{
    if (!is_wanted())
        return false;
    for (unsigned i = 0; i < ENTER_TRIES; i++) {
        uint32_t nobody = 0;
        /* acquire: pairs with the release in leave() */
        if (atomic_compare_exchange_strong_explicit(&busy, &nobody, 1, memory_order_acquire,
                                                    memory_order_relaxed))
            return true;
        ebb__cpu_relax();
    }
    return false;
}

static void leave(void)
{
    atomic_store_explicit(&busy, 0, memory_order_release);
}

/* ---- the slot ---- */

static void name_sums(struct ebb_report_sum *sums, unsigned count, const char *(*name_of)(unsigned i))
{
    for (unsigned i = 0; i < count; i++) {
        const char *name = name_of(i);
        size_t len = strlen(name);
        memcpy(sums[i].name, name, ebb__min(len, sizeof(sums[i].name) - 1));
    }
}

static const char *cause_name(unsigned cause)
{
    return ebb__press_cause_name((enum ebb_press_cause)cause);
}

/* What never changes. */
static void fill_constants(struct ebb_report_slot_full *s)
{
#define TABLE(name, n)                                                                                       \
    (struct ebb_report_table){.offset = offsetof(struct ebb_report_slot_full, name),                         \
                              .count = (n),                                                                  \
                              .entry_bytes = sizeof(s->name[0])}
    s->fixed.fixed_bytes = sizeof(s->fixed);
    s->fixed.pid = report.pid;
    s->fixed.role = report.role;
    s->fixed.start_ms = report.start_ms;
    memcpy(s->fixed.program, report.program, sizeof(s->fixed.program));
    memcpy(s->fixed.library, EBB_VERSION, sizeof(EBB_VERSION));
    s->fixed.gives = TABLE(gives, EBB_PRESS_GIVES);
    s->fixed.causes = TABLE(causes, EBB_PRESS_CAUSES);
    s->fixed.limits = TABLE(limits, EBB_PRESS_LIMITS);
    s->fixed.rows = TABLE(rows, EBB_STAT_COUNT);
    s->fixed.records = TABLE(records, EBB_REPORT_RECORDS);
#undef TABLE
    name_sums(s->gives, EBB_PRESS_GIVES, ebb__press_give_name);
    name_sums(s->causes, EBB_PRESS_CAUSES, cause_name);
    name_sums(s->limits, EBB_PRESS_LIMITS, ebb__press_limit_name);
    for (unsigned i = 0; i < EBB_STAT_COUNT; i++) {
        const struct ebb_wire_row *row = &ebb__stats_page.rows[i];
        memcpy(s->rows[i].name, row->name, sizeof(row->name));
        memcpy(s->rows[i].unit, row->unit, sizeof(row->unit));
        s->rows[i].is_gauge = row->is_gauge;
    }
}

/* Ours, claimed if need be; NULL: there is none, or not yet. Entered. */
static struct ebb_report_slot_full *own_slot(void)
{
    struct ebb_report_slot_full *s = atomic_load_explicit(&slot, memory_order_relaxed);
    if (s == NULL && !report.full) {
        s = ebb__wire_report_claim(&report.map, report.role);
        report.full = s == NULL;
        report.untouched = true;
        atomic_store_explicit(&slot, s, memory_order_relaxed);
    }
    if (s == NULL || (report.untouched && ebb__os_touch(s, sizeof(*s)) != 0))
        return NULL;
    if (report.untouched) {
        ebb__wire_report_change_begin(&s->fixed);
        fill_constants(s);
        report.untouched = false;
    } else {
        ebb__wire_report_change_begin(&s->fixed);
    }
    return s;
}

/* ---- what is written ---- */

static uint64_t fill_peak(struct ebb_report_peak *peak, const struct ebb_budget_account *account)
{
    struct ebb_budget_stats stats = {.size_of_struct = sizeof(stats)};
    if (ebb__ledger_account_stats(account, &stats) != 0)
        return 0;
    *peak = (struct ebb_report_peak){stats.peak_bytes, stats.peak_ms};
    return stats.used_bytes;
}

static void fill_refusals(struct ebb_report_slot *f)
{
    atomic_store_explicit(&f->refusals, atomic_load_explicit(&refusals, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&f->refused_ms, atomic_load_explicit(&refused_ms, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&f->refused_bytes, atomic_load_explicit(&refused_bytes, memory_order_relaxed),
                          memory_order_relaxed);
}

static void fill_limits(struct ebb_report_slot *f)
{
    struct ebb_ledger_stats ledger;
    ebb__ledger_stats(&ledger);
    f->soft_hits = ledger.soft_hits - report.soft_hits_then;
    f->hard_hits = ledger.hard_hits - report.hard_hits_then;
    int64_t soft = ebb__ledger_limit(&ebb__ledger_process, EBB_BUDGET_SOFT, -1),
            hard = ebb__ledger_limit(&ebb__ledger_process, EBB_BUDGET_HARD, -1);
    f->limit_bytes = soft != EBB_BUDGET_UNLIMITED ? (uint64_t)soft : 0;
    f->hard_limit_bytes = hard != EBB_BUDGET_UNLIMITED ? (uint64_t)hard : 0;
    f->budget_percent = (uint32_t)ebb__conf.budget;
    f->level = (uint32_t)ebb__ledger_level();
    f->group_kind = report.group_kind;
    f->group_distance = report.group_distance;
    f->group_limit_bytes = report.group_limit_bytes;
    f->group_used_bytes = report.group_used_bytes;
    memcpy(f->group, report.group, sizeof(f->group));
    fill_refusals(f);
}

static void fill(struct ebb_report_slot_full *s, uint64_t now_ms)
{
    s->fixed.written_ms = now_ms;
    s->fixed.used_bytes = fill_peak(&s->fixed.process, &ebb__ledger_process);
    (void)fill_peak(&s->fixed.heap, &ebb__ledger_heap);
    (void)fill_peak(&s->fixed.untracked, &ebb__ledger_untracked);
    fill_limits(&s->fixed);
    for (unsigned i = 0; i < EBB_PRESS_GIVES; i++)
        s->gives[i].bytes = atomic_load_explicit(&given_by[i], memory_order_relaxed);
    for (unsigned i = 0; i < EBB_PRESS_CAUSES; i++)
        s->causes[i].bytes = atomic_load_explicit(&given_for[i], memory_order_relaxed);
    for (unsigned i = 0; i < EBB_STAT_COUNT; i++) {
        struct ebb_wire_row *row = &ebb__stats_page.rows[i];
        uint64_t value = atomic_load_explicit(&row->value, memory_order_relaxed) - report.rows_then[i];
        atomic_store_explicit(&s->rows[i].value, value, memory_order_relaxed);
    }
}

static void fill_record(struct ebb_report_record *to, const struct ebb_press_record *r)
{
    *to = (struct ebb_report_record){
        .from_ms = r->from_ms,
        .last_ms = r->last_ms,
        .want_bytes = r->want_bytes,
        .got_bytes = r->got_bytes,
        .took_ms = r->took_ms,
        .steps = r->steps,
        .level = r->level,
        .need = r->need,
        .cause = r->cause,
        .limit = r->limit,
        .refused = r->refused,
    };
}

/* Those since the last time, and the one that was the youngest then: steps are added to it. By the background thread. */
static void fill_ring(struct ebb_report_slot_full *s, const struct ebb_press_ring *ring)
{
    uint64_t own = ring->count - ebb__min(report.ring_from, ring->count);
    uint64_t i = report.ring_count != 0 ? report.ring_count - 1 : 0;
    i = own - i > EBB_REPORT_RECORDS ? own - EBB_REPORT_RECORDS : i;
    for (; i < own; i++)
        fill_record(&s->records[i % EBB_REPORT_RECORDS],
                    &ring->records[(i + report.ring_from) % EBB_PRESS_RECORDS]);
    report.ring_count = s->fixed.record_count = own;
}

static void write_all(const struct ebb_press_ring *ring)
{
    if (!enter())
        return;
    struct ebb_report_slot_full *s = own_slot();
    if (s != NULL) {
        uint64_t now_ms = ebb__os_now_ms();
        fill(s, now_ms);
        if (ring != NULL)
            fill_ring(s, ring);
        atomic_store_explicit(&written_ms, now_ms, memory_order_relaxed);
        ebb__wire_report_change_end(&s->fixed);
    }
    leave();
}

/* ---- door ---- */

void ebb__report_write(void)
{
    write_all(NULL);
}

void ebb__report_step(const struct ebb_press_ring *ring, const struct ebb_press_actions *actions,
                      const uint64_t *got_bytes)
{
    if (report.map.header == NULL)
        return;
    for (unsigned i = 0; i < EBB_PRESS_GIVES; i++)
        if (got_bytes[i] != 0) {
            atomic_fetch_add_explicit(&given_by[i], got_bytes[i], memory_order_relaxed);
            atomic_fetch_add_explicit(&given_for[actions->cause], got_bytes[i], memory_order_relaxed);
        }
    write_all(ring);
}

void ebb__report_refused(size_t block_bytes)
{
    if (!is_wanted())
        return;
    uint64_t now_ms = ebb__os_now_ms();
    atomic_store_explicit(&refused_bytes, block_bytes, memory_order_relaxed);
    atomic_store_explicit(&refused_ms, now_ms, memory_order_relaxed);
    atomic_fetch_add_explicit(&refusals, 1, memory_order_relaxed);
    struct ebb_report_slot_full *s = atomic_load_explicit(&slot, memory_order_relaxed);
    uint64_t then_ms = atomic_load_explicit(&written_ms, memory_order_relaxed);
    if (s == NULL || then_ms == 0 || now_ms - then_ms >= REFUSED_MS)
        write_all(NULL);
    else
        fill_refusals(&s->fixed); /* it was written, so the kernel has backed it */
}

void ebb__report_group(const struct ebb_place *place, const struct ebb_pressure_facts *facts)
{
    if (facts->tightest == EBB_PRESSURE_NONE || !enter())
        return;
    const struct ebb_pressure_level *level = &facts->levels[facts->tightest];
    uint64_t limit = ebb__level_ceiling(level);
    report.group_kind = ebb__known_or(level->limit_bytes, EBB_NO_LIMIT) == limit ? EBB_REPORT_GROUP_MAX
                                                                                 : EBB_REPORT_GROUP_HIGH;
    report.group_distance = level->distance;
    report.group_limit_bytes = limit;
    report.group_used_bytes = ebb__known_or(level->usage_bytes, 0);
    if (level->distance < EBB_PRESSURE_LEVELS) {
        size_t len = place->path_len[level->distance], most = sizeof(report.group) - 1;
        size_t cut = len > most ? len - most : 0;
        memcpy(report.group, place->path + cut, len - cut);
        report.group[len - cut] = '\0';
    }
    leave();
}

/* What others may be writing is left alone. */
static void end_slot(void)
{
    struct ebb_report_slot_full *s = atomic_load_explicit(&slot, memory_order_relaxed);
    if (s == NULL || atomic_load_explicit(&written_ms, memory_order_relaxed) == 0)
        return;
    write_all(NULL);
    atomic_store_explicit(&s->fixed.ended_ms, ebb__os_now_ms(), memory_order_relaxed);
}

void ebb__report_end(void)
{
    if (is_wanted())
        end_slot();
}

static void note_program(void)
{
    const char *name = program_invocation_short_name != NULL ? program_invocation_short_name : "";
    size_t len = ebb__min(strlen(name), sizeof(report.program) - 1);
    memcpy(report.program, name, len);
    report.program[len] = '\0';
}

void ebb__report_start(void)
{
    const char *text = ebb__os_env(EBB_REPORT_VARIABLE);
    struct ebb_report_name name;
    struct ebb_report_map map;
    char path[48];
    void *addr;
    size_t bytes;
    if (text == NULL || ebb__wire_report_name_parse(text, &name) != 0)
        return;
    (void)ebb__fmt(path, sizeof(path), "/proc/%u/fd/%u", name.pid, name.fd);
    if (ebb__os_map_shared(path, EBB_REPORT_BYTES_MAX, &addr, &bytes) != 0)
        return;
    if (ebb__wire_report_join(addr, bytes, name.cookie, &map) != 0) {
        ebb__os_unmap_shared(addr, bytes);
        return;
    }
    report.pid = ebb__os_pid();
    report.start_ms = ebb__os_now_ms();
    note_program();
    report.role = ebb__wire_report_enrol(&map, report.pid);
    report.map = map;
}

void ebb__report_started(void)
{
    if (report.role != EBB_REPORT_OTHER)
        ebb__report_write();
}

void ebb__report_after_fork(void)
{
    struct ebb_ledger_stats ledger;
    if (report.map.header == NULL)
        return;
    report.pid = ebb__os_pid();
    report.role = EBB_REPORT_OTHER;
    report.full = false;
    report.start_ms = ebb__os_now_ms();
    atomic_store(&slot, NULL);
    atomic_store(&busy, 0);
    atomic_store(&written_ms, 0);
    atomic_store(&refusals, 0);
    for (unsigned i = 0; i < EBB_PRESS_GIVES; i++)
        atomic_store(&given_by[i], 0);
    for (unsigned i = 0; i < EBB_PRESS_CAUSES; i++)
        atomic_store(&given_for[i], 0);
    for (unsigned i = 0; i < EBB_STAT_COUNT; i++)
        report.rows_then[i] =
            ebb__stats_page.rows[i].is_gauge ? 0 : atomic_load(&ebb__stats_page.rows[i].value);
    ebb__ledger_stats(&ledger);
    report.soft_hits_then = ledger.soft_hits;
    report.hard_hits_then = ledger.hard_hits;
    report.ring_from = ebb__act_ring()->count;
    report.ring_count = 0;
}
