/* SPDX-License-Identifier: MIT
 *
 * The report of ebb run for people; see run_report.h.
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
        add(text, " of cgroup %s", ebb__run_report_group(e, p));
        add_bytes(text, ", ", p->group_used_bytes, " used when last seen");
        if (p->budget_percent != 0)
            add(text, "; of its room %u %%", p->budget_percent);
    }
    if (text->len == 0)
        add(text, "none was seen");
}

static void hits_text(struct text *text, const struct ebb_run_process *p)
{
    add(text, "%" PRIu64 " of %" PRIu64 " looks found too little room", p->hits, p->looks);
    if (p->is.soft_hits != 0)
        add(text, ", soft limits were met %" PRIu64 " times", p->is.soft_hits);
    if (p->is.hard_hits != 0)
        add(text, ", hard limits %" PRIu64 " times", p->is.hard_hits);
    add(text, "; %" PRIu64 " refusals", p->is.refusals);
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
    snprintf(buf, bytes, "%s%s%s", r->cause, r->limit[0] != '\0' ? " below " : "", r->limit);
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
