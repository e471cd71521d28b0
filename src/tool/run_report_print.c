/* SPDX-License-Identifier: MIT
 *
 * The report of ebb run, for people and for programs; see run_report.h.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "model/units.h"
#include "tool/run_report.h"

/* Descendants that people see each for itself; the rest is counted. */
#define OTHERS_SHOWN 8u

/* Records of one process that people see, the last ones. */
#define RECORDS_SHOWN 12u

#define TEXT_BYTES 512

/* ---- texts ---- */

/* A text that grows; what does not fit is cut. */
struct text {
    char at[TEXT_BYTES];
    size_t len;
};

static void add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct text *text, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text->at + text->len, sizeof(text->at) - text->len, format, args);
    va_end(args);
    if (n > 0)
        text->len += (size_t)n < sizeof(text->at) - text->len ? (size_t)n : sizeof(text->at) - text->len - 1;
}

static void add_bytes(struct text *text, const char *before, uint64_t bytes, const char *behind)
{
    char size[EBB_UNITS_BYTES];

    add(text, "%s%s%s", before, ebb__units_bytes(bytes, size), behind);
}

static void add_after(struct text *text, const struct ebb_report_process *p, uint64_t at_ms)
{
    char time[EBB_UNITS_BYTES];

    if (at_ms != 0)
        add(text, " after %s", ebb__units_ms(ebb__run_report_after(p, at_ms), time));
}

static void add_ending(struct text *text, const struct ebb_run_ending *e)
{
    char time[EBB_UNITS_BYTES];

    bool struck = e->kills_known && e->kills != 0;
    bool killed = !WIFEXITED(e->wait_status) && WTERMSIG(e->wait_status) == SIGKILL;

    add(text, "ran %s and ", ebb__units_ms(e->ran_ms, time));
    if (WIFEXITED(e->wait_status))
        add(text, "exited with status %d", WEXITSTATUS(e->wait_status));
    else if (killed && struck)
        add(text, "was killed by signal 9 (the OOM killer: oom_kill of its cgroup rose by %" PRIu64 ")",
            e->kills);
    else
        add(text, "was killed by signal %d (%s)", WTERMSIG(e->wait_status),
            strsignal(WTERMSIG(e->wait_status)));
    if (struck && !killed)
        add(text, "; the OOM killer struck beside it: oom_kill of its cgroup rose by %" PRIu64, e->kills);
}

/* The cgroup as it is called elsewhere: without the folder where the tree is mounted, if it was seen there. */
static const char *group_of(const struct ebb_run_ending *e, const struct ebb_report_process *p)
{
    size_t len = strlen(e->mount);

    return len > 1 && strncmp(p->group, e->mount, len) == 0 && p->group[len] == '/' ? p->group + len
                                                                                    : p->group;
}

/* ---- one process ---- */

static void kernel_peak(struct text *text, const struct ebb_run_ending *e)
{
    add_bytes(text, e->peak_is_bound ? "at most " : "", e->peak_bytes,
              " resident in it or a child, says the kernel");
}

static void peak_text(struct text *text, const struct ebb_run_ending *e, const struct ebb_run_process *p)
{
    if (e != NULL)
        kernel_peak(text, e);
    if (p == NULL || p->is.process.bytes == 0)
        return;
    add_bytes(text, e != NULL ? "; budget " : "budget ", p->is.process.bytes, "");
    add_after(text, &p->is, p->is.process.at_ms);
    add_bytes(text, " (heap at most ", p->is.heap.bytes, "");
    add_bytes(text, ", beside it ", p->is.untracked.bytes, ")");
}

static void limits_text(struct text *text, const struct ebb_run_ending *e, const struct ebb_report_process *p)
{
    if (p->hard_limit_bytes != 0)
        add_bytes(text, "", p->hard_limit_bytes, " hard");
    if (p->limit_bytes != 0)
        add_bytes(text, text->len != 0 ? "; " : "", p->limit_bytes, " soft");
    if (p->group_kind != EBB_REPORT_NO_GROUP) {
        add_bytes(text, text->len != 0 ? "; " : "", p->group_limit_bytes,
                  p->group_kind == EBB_REPORT_GROUP_HIGH ? " before the kernel throttles" : "");
        add(text, " of cgroup %s", group_of(e, p));
        add_bytes(text, ", ", p->group_used_bytes, " used when last seen");
        if (p->budget_percent != 0)
            add(text, "; of its room %u %%", p->budget_percent);
    }
    if (text->len == 0)
        add(text, "none was seen");
}

static void hits_text(struct text *text, const struct ebb_run_process *p)
{
    add(text, "%" PRIu64 " of %" PRIu64 " looks found too little room; %" PRIu64 " refusals", p->hits,
        p->looks, p->is.refusals);
    if (p->is.refusals != 0) {
        add_bytes(text, ", the last one of ", p->is.refused_bytes, "");
        add_after(text, &p->is, p->is.refused_ms);
    }
}

static void add_kinds(struct text *text, const struct ebb_run_process *p)
{
    const char *before = " (";

    for (unsigned i = 0; i < p->is.give_count; i++) {
        struct ebb_report_sum_view give;

        ebb__wire_report_give(&p->is, i, &give);
        if (give.bytes == 0)
            continue;
        add(text, "%s%s", before, give.name);
        add_bytes(text, " ", give.bytes, "");
        before = ", ";
    }
    if (before[0] == ',')
        add(text, ")");
}

static void given_text(struct text *text, const struct ebb_run_process *p)
{
    if (p->kernel_bytes == 0 && p->pressure_bytes == 0) {
        add(text, "nothing");
        return;
    }
    add_bytes(text, "", p->kernel_bytes, " to the kernel");
    if (p->limit_bytes != 0)
        add_bytes(text, "; ", p->limit_bytes, " before growing at a limit");
    if (p->pressure_bytes != 0) {
        add_bytes(text, "; ", p->pressure_bytes, " under pressure");
        add_kinds(text, p);
    }
    if (p->quiet_bytes != 0)
        add_bytes(text, "; ", p->quiet_bytes, " at leisure");
}

/* How much of the end is missing; nothing when it ended in good order. */
static void missing_text(struct text *text, const struct ebb_run_ending *e, const struct ebb_run_process *p)
{
    char time[EBB_UNITS_BYTES];
    uint64_t age_ms = e->ended_ms > p->is.written_ms ? e->ended_ms - p->is.written_ms : 0;

    if (p->replaced)
        add(text, "until it executed another program");
    else if (p->is.ended_ms == 0)
        add(text, "as of %s before the end", ebb__units_ms(age_ms, time));
    if (p->is.torn)
        add(text, "%sit was cut off while it wrote this", text->len != 0 ? "; " : "");
}

#define FACTS_MAX 5u

/* Facts for people: a heading and a text each, those without a text left out. */
struct facts {
    struct ebb_column columns[FACTS_MAX];
    struct ebb_cell cells[FACTS_MAX];
    struct text texts[FACTS_MAX];
    unsigned count;
};

static struct text *begin_fact(struct facts *facts)
{
    facts->texts[facts->count].len = 0;
    facts->texts[facts->count].at[0] = '\0';
    return &facts->texts[facts->count];
}

static void end_fact(struct facts *facts, const char *heading)
{
    if (facts->texts[facts->count].len == 0)
        return;
    facts->columns[facts->count] = (struct ebb_column){.key = "text", .heading = heading, .as = EBB_AS_TEXT};
    facts->cells[facts->count] = ebb__cell_text(facts->texts[facts->count].at);
    facts->count++;
}

static void show_facts(struct ebb_emit *emit, const char *title, const struct ebb_run_ending *e,
                       const struct ebb_run_process *p, bool is_first)
{
    static struct facts facts;
    struct ebb_section section = {.key = "process", .title = title, .facts = true, .columns = facts.columns};

    facts.count = 0;
    peak_text(begin_fact(&facts), is_first ? e : NULL, p);
    end_fact(&facts, "peak");
    if (p != NULL) {
        limits_text(begin_fact(&facts), e, &p->is);
        end_fact(&facts, "limits");
        hits_text(begin_fact(&facts), p);
        end_fact(&facts, "limit hits");
        given_text(begin_fact(&facts), p);
        end_fact(&facts, "given back");
        missing_text(begin_fact(&facts), e, p);
        end_fact(&facts, "figures");
    }
    section.column_count = facts.count;
    ebb__emit_section(emit, &section);
    ebb__emit_row(emit, facts.cells);
    emit->headed = NULL; /* the next one has another title at the same address */
}

static const char *because(const struct ebb_report_record_view *r, char *buf, size_t bytes)
{
    snprintf(buf, bytes, "%s%s%s%s", r->cause, r->limit[0] != '\0' ? " below " : "", r->limit,
             r->refused ? ", and requests were refused" : "");
    return buf;
}

static void show_records(struct ebb_emit *emit, const struct ebb_report_process *p)
{
    static const struct ebb_column COLUMNS[] = {
        {.heading = "after", .as = EBB_AS_TEXT, .width = 8},
        {.heading = "for", .as = EBB_AS_TEXT, .width = 8},
        {.heading = "level", .as = EBB_AS_TEXT, .width = -7},
        {.heading = "because", .as = EBB_AS_TEXT, .width = -42},
        {.heading = "wanted", .as = EBB_AS_BYTES, .width = 7},
        {.heading = "given", .as = EBB_AS_BYTES, .width = 7},
    };
    static const struct ebb_section SECTION = {
        .title = "  why, the newest last", .columns = COLUMNS, .column_count = 6};
    unsigned first = p->record_count > RECORDS_SHOWN ? p->record_count - RECORDS_SHOWN : 0;

    if (p->record_count == 0)
        return;
    ebb__emit_section(emit, &SECTION);
    for (unsigned i = first; i < p->record_count; i++) {
        char after[EBB_UNITS_BYTES];
        char duration[EBB_UNITS_BYTES];
        char why[3 * EBB_REPORT_NAME_BYTES];
        struct ebb_report_record_view r;
        struct ebb_cell cells[6];

        ebb__wire_report_record(p, i, &r);
        cells[0] = ebb__cell_text(ebb__units_ms(ebb__run_report_after(p, r.from_ms), after));
        cells[1] = ebb__cell_text(ebb__units_ms(r.last_ms > r.from_ms ? r.last_ms - r.from_ms : 0, duration));
        cells[2] = ebb__cell_text(ebb__run_report_level(r.level));
        cells[3] = ebb__cell_text(because(&r, why, sizeof(why)));
        cells[4] = ebb__cell_number(r.want_bytes);
        cells[5] = ebb__cell_number(r.got_bytes);
        ebb__emit_row(emit, cells);
    }
    emit->headed = NULL;
}

static void show_other(struct ebb_emit *emit, const struct ebb_run_ending *e, const struct ebb_run_process *p)
{
    char title[128];

    snprintf(title, sizeof(title), "%s (pid %u)%s", p->is.program, p->is.pid,
             p->is.role == EBB_REPORT_OTHER ? "" : ", before it executed another program");
    show_facts(emit, title, e, p, false);
    show_records(emit, &p->is);
}

/* ---- for people ---- */

void ebb__run_report_show(struct ebb_emit *emit, const struct ebb_run_ending *e)
{
    const struct ebb_run_report *all = &e->all;
    const struct ebb_run_process *first = all->own_count != 0 ? &all->processes[0] : NULL;
    unsigned shown = 0;
    struct text title = {.len = 0};

    add(&title, "ebb run: %s (pid %d) ", first != NULL ? first->is.program : e->program, (int)e->pid);
    add_ending(&title, e);
    show_facts(emit, title.at, e, first, true);
    if (e->why != NULL)
        ebb__emit_note(emit, "none", "There is no report of its own: %s.", e->why);
    if (first != NULL)
        show_records(emit, &first->is);
    for (unsigned i = first != NULL; i < all->count; i++) {
        if (all->processes[i].silent)
            continue;
        if (shown++ < OTHERS_SHOWN)
            show_other(emit, e, &all->processes[i]);
    }
    if (shown + all->left_out > OTHERS_SHOWN)
        ebb__emit_note(emit, "more", "And %u more; --report-file writes %s.",
                       shown + all->left_out - OTHERS_SHOWN,
                       all->left_out == 0 ? "them all" : "most of them");
    if (all->turned_away != 0)
        ebb__emit_note(emit, "turned_away", "%u processes found no place in the report.", all->turned_away);
    if (all->damaged != 0)
        ebb__emit_note(emit, "damaged", "What %u processes left is damaged.", all->damaged);
}

/* ---- for programs ---- */

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
        grouped ? ebb__cell_text(group_of(e, is)) : ebb__cell_unknown("no limit of a cgroup was seen"),
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
        {.key = "refused", .as = EBB_AS_BOOL},
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
