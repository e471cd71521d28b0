/* SPDX-License-Identifier: MIT
 *
 * The report of ebb run for programs: rows of all figures; see run_report.h.
 */
#include <string.h>
#include <sys/wait.h>

#include "tool/run_report.h"

const char *ebb__run_report_group(const struct ebb_run_ending *e, const struct ebb_report_process *p)
{
    size_t len = strlen(e->mount);

    return len > 1 && strncmp(p->group, e->mount, len) == 0 && p->group[len] == '/' ? p->group + len
                                                                                    : p->group;
}

static void put_run(struct ebb_emit *emit, const struct ebb_run_ending *e)
{
    static const struct ebb_column COLUMNS[] = {
        {.key = "program", .as = EBB_AS_TEXT, .label = true},
        {.key = "pid", .as = EBB_AS_NUMBER, .label = true},
        {.key = "ran_ms", .as = EBB_AS_MS},
        {.key = "status", .as = EBB_AS_NUMBER},
        {.key = "signal", .as = EBB_AS_NUMBER},
        {.key = "oom_kills", .as = EBB_AS_NUMBER},
        {.key = "peak_rss_bytes", .as = EBB_AS_BYTES},
        {.key = "peak_rss_is_bound", .as = EBB_AS_BOOL},
        {.key = "processes_reporting", .as = EBB_AS_NUMBER},
        {.key = "processes_turned_away", .as = EBB_AS_NUMBER},
        {.key = "processes_damaged", .as = EBB_AS_NUMBER},
        {.key = "no_report", .as = EBB_AS_TEXT},
    };
    static const struct ebb_section SECTION = {.key = "run",
                                               .facts = true,
                                               .columns = COLUMNS,
                                               .column_count = sizeof(COLUMNS) / sizeof(COLUMNS[0])};
    bool exited = WIFEXITED(e->wait_status);
    const struct ebb_cell cells[] = {
        ebb__cell_text(e->program),
        ebb__cell_number((uint64_t)e->pid),
        ebb__cell_number(e->ran_ms),
        exited ? ebb__cell_number((uint64_t)WEXITSTATUS(e->wait_status))
               : ebb__cell_unknown("a signal killed it"),
        exited ? ebb__cell_unknown("it exited") : ebb__cell_number((uint64_t)WTERMSIG(e->wait_status)),
        e->kills_known ? ebb__cell_number(e->kills) : ebb__cell_unknown("its cgroup cannot be read"),
        ebb__cell_number(e->peak_bytes),
        ebb__cell_bool(e->peak_is_bound),
        ebb__cell_number(e->all.count),
        ebb__cell_number(e->all.turned_away),
        ebb__cell_number(e->all.damaged),
        e->why != NULL ? ebb__cell_text(e->why) : ebb__cell_unknown("there is one"),
    };

    ebb__emit_section(emit, &SECTION);
    ebb__emit_row(emit, cells);
}

/* A time of the process, from its begin; `otherwise` says why there is none. */
static struct ebb_cell cell_after(const struct ebb_report_process *p, uint64_t at_ms, const char *otherwise)
{
    return at_ms != 0 ? ebb__cell_number(ebb__run_report_after(p, at_ms)) : ebb__cell_unknown(otherwise);
}

static struct ebb_cell cell_limit(uint64_t bytes)
{
    return bytes != 0 ? ebb__cell_number(bytes) : ebb__cell_unknown("there is none");
}

static void put_process(struct ebb_emit *emit, const struct ebb_run_ending *e,
                        const struct ebb_run_process *p)
{
    static const char *const ROLES[] = {"descendant", "first", "later"};
    const struct ebb_report_process *is = &p->is;
    bool grouped = is->group_kind != EBB_REPORT_NO_GROUP;
    const struct ebb_cell cells[] = {
        ebb__cell_number(is->pid),
        ebb__cell_text(is->program),
        ebb__cell_text(ROLES[is->role]),
        ebb__cell_text(is->library),
        ebb__cell_bool(is->ended_ms != 0),
        ebb__cell_bool(p->replaced),
        ebb__cell_bool(is->torn),
        ebb__cell_number(e->ended_ms > is->written_ms ? e->ended_ms - is->written_ms : 0),
        cell_after(is, is->ended_ms, "it has not said so"),
        ebb__cell_number(is->process.bytes),
        cell_after(is, is->process.at_ms, "when last seen it was that much"),
        ebb__cell_number(is->heap.bytes),
        ebb__cell_number(is->untracked.bytes),
        ebb__cell_number(is->used_bytes),
        ebb__cell_text(ebb__run_report_level(is->level)),
        cell_limit(is->limit_bytes),
        cell_limit(is->hard_limit_bytes),
        grouped ? ebb__cell_text(ebb__run_report_group(e, is))
                : ebb__cell_unknown("no limit of a cgroup was seen"),
        grouped ? ebb__cell_bool(is->group_kind == EBB_REPORT_GROUP_HIGH)
                : ebb__cell_unknown("no limit of a cgroup was seen"),
        cell_limit(is->group_limit_bytes),
        grouped ? ebb__cell_number(is->group_used_bytes) : ebb__cell_unknown("no limit of a cgroup was seen"),
        ebb__cell_number(p->looks),
        ebb__cell_number(p->hits),
        ebb__cell_number(is->soft_hits),
        ebb__cell_number(is->hard_hits),
        ebb__cell_number(is->refusals),
        cell_after(is, is->refused_ms, "nothing was refused"),
        is->refusals != 0 ? ebb__cell_number(is->refused_bytes) : ebb__cell_unknown("nothing was refused"),
        ebb__cell_number(p->kernel_bytes),
        ebb__cell_number(p->limit_bytes),
        ebb__cell_number(p->pressure_bytes),
        ebb__cell_number(p->quiet_bytes),
    };

    ebb__emit_row(emit, cells);
}

static void put_processes(struct ebb_emit *emit, const struct ebb_run_ending *e)
{
    static const struct ebb_column COLUMNS[] = {
        {.key = "pid", .as = EBB_AS_NUMBER, .label = true},
        {.key = "program", .as = EBB_AS_TEXT, .label = true},
        {.key = "role", .as = EBB_AS_TEXT},
        {.key = "library", .as = EBB_AS_TEXT},
        {.key = "ended_in_order", .as = EBB_AS_BOOL},
        {.key = "executed_another", .as = EBB_AS_BOOL},
        {.key = "torn", .as = EBB_AS_BOOL},
        {.key = "age_ms", .as = EBB_AS_MS},
        {.key = "ran_ms", .as = EBB_AS_MS},
        {.key = "peak_bytes", .as = EBB_AS_BYTES},
        {.key = "peak_after_ms", .as = EBB_AS_MS},
        {.key = "heap_peak_bytes", .as = EBB_AS_BYTES},
        {.key = "untracked_peak_bytes", .as = EBB_AS_BYTES},
        {.key = "used_bytes", .as = EBB_AS_BYTES},
        {.key = "level", .as = EBB_AS_TEXT},
        {.key = "limit_bytes", .as = EBB_AS_BYTES},
        {.key = "hard_limit_bytes", .as = EBB_AS_BYTES},
        {.key = "cgroup", .as = EBB_AS_TEXT},
        {.key = "cgroup_limit_is_high", .as = EBB_AS_BOOL},
        {.key = "cgroup_limit_bytes", .as = EBB_AS_BYTES},
        {.key = "cgroup_used_bytes", .as = EBB_AS_BYTES},
        {.key = "limit_looks", .as = EBB_AS_NUMBER},
        {.key = "limit_hits", .as = EBB_AS_NUMBER},
        {.key = "soft_hits", .as = EBB_AS_NUMBER},
        {.key = "hard_hits", .as = EBB_AS_NUMBER},
        {.key = "refusals", .as = EBB_AS_NUMBER},
        {.key = "refused_after_ms", .as = EBB_AS_MS},
        {.key = "refused_bytes", .as = EBB_AS_BYTES},
        {.key = "given_bytes", .as = EBB_AS_BYTES},
        {.key = "given_at_limit_bytes", .as = EBB_AS_BYTES},
        {.key = "given_under_pressure_bytes", .as = EBB_AS_BYTES},
        {.key = "given_at_leisure_bytes", .as = EBB_AS_BYTES},
    };
    static const struct ebb_section SECTION = {
        .key = "processes", .columns = COLUMNS, .column_count = sizeof(COLUMNS) / sizeof(COLUMNS[0])};

    ebb__emit_section(emit, &SECTION);
    for (unsigned i = 0; i < e->all.count; i++)
        put_process(emit, e, &e->all.processes[i]);
}

static void put_sum(struct ebb_emit *emit, const struct ebb_report_process *p, const char *what,
                    const struct ebb_report_sum_view *sum)
{
    const struct ebb_cell cells[] = {ebb__cell_number(p->pid), ebb__cell_text(p->program),
                                     ebb__cell_text(what), ebb__cell_text(sum->name),
                                     ebb__cell_number(sum->bytes)};

    if (sum->bytes != 0)
        ebb__emit_row(emit, cells);
}

/* What went back under pressure: by kind, and by what was the reason; both add up to the same. */
static void put_given(struct ebb_emit *emit, const struct ebb_run_ending *e)
{
    static const struct ebb_column COLUMNS[] = {
        {.key = "pid", .as = EBB_AS_NUMBER, .label = true},
        {.key = "program", .as = EBB_AS_TEXT, .label = true},
        {.key = "by", .as = EBB_AS_TEXT, .label = true},
        {.key = "name", .as = EBB_AS_TEXT, .label = true},
        {.key = "bytes", .as = EBB_AS_BYTES},
    };
    static const struct ebb_section SECTION = {
        .key = "given", .columns = COLUMNS, .column_count = sizeof(COLUMNS) / sizeof(COLUMNS[0])};
    struct ebb_report_sum_view sum;

    ebb__emit_section(emit, &SECTION);
    for (unsigned i = 0; i < e->all.count; i++) {
        const struct ebb_report_process *p = &e->all.processes[i].is;

        for (unsigned k = 0; k < p->give_count; k++) {
            ebb__wire_report_give(p, k, &sum);
            put_sum(emit, p, "kind", &sum);
        }
        for (unsigned k = 0; k < p->cause_count; k++) {
            ebb__wire_report_cause(p, k, &sum);
            put_sum(emit, p, "cause", &sum);
        }
    }
}

static void put_action(struct ebb_emit *emit, const struct ebb_report_process *p, unsigned i)
{
    struct ebb_report_record_view r;

    ebb__wire_report_record(p, i, &r);
    const struct ebb_cell cells[] = {
        ebb__cell_number(p->pid),
        ebb__cell_text(p->program),
        ebb__cell_number(ebb__run_report_after(p, r.from_ms)),
        ebb__cell_number(r.last_ms > r.from_ms ? r.last_ms - r.from_ms : 0),
        ebb__cell_text(ebb__run_report_level(r.level)),
        ebb__cell_text(ebb__run_report_level(r.need)),
        ebb__cell_text(r.cause),
        r.limit[0] != '\0' ? ebb__cell_text(r.limit) : ebb__cell_unknown("it has to do with none"),
        ebb__cell_number(r.want_bytes),
        ebb__cell_number(r.got_bytes),
        ebb__cell_number(r.took_ms),
        ebb__cell_number(r.steps),
        ebb__cell_bool(r.refused),
    };

    ebb__emit_row(emit, cells);
}

static void put_actions(struct ebb_emit *emit, const struct ebb_run_ending *e)
{
    static const struct ebb_column COLUMNS[] = {
        {.key = "pid", .as = EBB_AS_NUMBER, .label = true},
        {.key = "program", .as = EBB_AS_TEXT, .label = true},
        {.key = "after_ms", .as = EBB_AS_MS},
        {.key = "for_ms", .as = EBB_AS_MS},
        {.key = "level", .as = EBB_AS_TEXT},
        {.key = "need", .as = EBB_AS_TEXT},
        {.key = "cause", .as = EBB_AS_TEXT},
        {.key = "limit", .as = EBB_AS_TEXT},
        {.key = "want_bytes", .as = EBB_AS_BYTES},
        {.key = "got_bytes", .as = EBB_AS_BYTES},
        {.key = "took_ms", .as = EBB_AS_MS},
        {.key = "steps", .as = EBB_AS_NUMBER},
        {.key = "would_refuse", .as = EBB_AS_BOOL},
    };
    static const struct ebb_section SECTION = {
        .key = "actions", .columns = COLUMNS, .column_count = sizeof(COLUMNS) / sizeof(COLUMNS[0])};

    ebb__emit_section(emit, &SECTION);
    for (unsigned i = 0; i < e->all.count; i++)
        for (unsigned k = 0; k < e->all.processes[i].is.record_count; k++)
            put_action(emit, &e->all.processes[i].is, k);
}

static void put_counters(struct ebb_emit *emit, const struct ebb_run_ending *e)
{
    static const struct ebb_column COLUMNS[] = {
        {.key = "pid", .as = EBB_AS_NUMBER, .label = true},
        {.key = "program", .as = EBB_AS_TEXT, .label = true},
        {.key = "name", .as = EBB_AS_TEXT, .label = true},
        {.key = "unit", .as = EBB_AS_TEXT},
        {.key = "value", .as = EBB_AS_NUMBER},
    };
    static const struct ebb_section SECTION = {
        .key = "counters", .columns = COLUMNS, .column_count = sizeof(COLUMNS) / sizeof(COLUMNS[0])};

    ebb__emit_section(emit, &SECTION);
    for (unsigned i = 0; i < e->all.count; i++) {
        const struct ebb_report_process *p = &e->all.processes[i].is;

        for (unsigned k = 0; k < p->row_count; k++) {
            struct ebb_wire_row_view row;

            ebb__wire_report_row(p, k, &row);
            ebb__emit_row(emit,
                          (const struct ebb_cell[]){ebb__cell_number(p->pid), ebb__cell_text(p->program),
                                                    ebb__cell_text(row.name), ebb__cell_text(row.unit),
                                                    ebb__cell_number(row.value)});
        }
    }
}

void ebb__run_report_rows(struct ebb_emit *emit, const struct ebb_run_ending *e)
{
    put_run(emit, e);
    put_processes(emit, e);
    put_given(emit, e);
    put_actions(emit, e);
    put_counters(emit, e);
}
