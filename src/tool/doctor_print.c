/* SPDX-License-Identifier: MIT
 *
 * Findings of ebb doctor, and its rules, for people and for programs; see doctor.h.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "tool/doctor.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Where sentences are broken for people; commands are not. */
#define LINE_COLUMNS  100
#define LABEL_COLUMNS 16

/* ---- for programs ---- */

/* What a finding says in several lines, joined by newlines. */
#define JOINED_BYTES ((size_t)EBB_FINDING_TEXT * (EBB_EVIDENCE_MAX + 1))

static const struct ebb_column FINDING_COLUMNS[] = {
    {"pid", "pid", EBB_AS_NUMBER, 0, .label = true, .help = "process; none of the host"},
    {"name", "name", EBB_AS_TEXT, 0, .label = true, .help = "its name, or host"},
    {"id", "id", EBB_AS_TEXT, 0, .label = true, .help = "rule"},
    {"key", "key", EBB_AS_TEXT, 0, .label = true, .help = "its name"},
    {"severity", "severity", EBB_AS_TEXT, 0, .label = true, .help = "critical, warning or info"},
    {"severity_level", "level", EBB_AS_NUMBER, 0, .help = "2: critical, 1: warning, 0: info"},
    {"title", "title", EBB_AS_TEXT, 0, .help = "what is wrong"},
    {"mechanism", "mechanism", EBB_AS_TEXT, 0, .help = "why that is so"},
    {"now", "now", EBB_AS_TEXT, 0, .help = "what to do at once, a line each"},
    {"for_good", "for good", EBB_AS_TEXT, 0, .help = "what makes it last, a line each"},
    {"gain", "gain", EBB_AS_TEXT, 0, .help = "what that gives"},
    {"risk", "risk", EBB_AS_TEXT, 0, .help = "what it may cost"},
    {"undo", "undo", EBB_AS_TEXT, 0, .help = "how to take it back"},
};
static const struct ebb_section FINDINGS = {"findings", NULL, false, FINDING_COLUMNS, COUNT(FINDING_COLUMNS)};

static const struct ebb_column EVIDENCE_COLUMNS[] = {
    {"pid", "pid", EBB_AS_NUMBER, 0, .label = true, .help = "process; none of the host"},
    {"id", "id", EBB_AS_TEXT, 0, .label = true, .help = "rule"},
    {"text", "text", EBB_AS_TEXT, 0, .help = "what was seen"},
    {"source", "source", EBB_AS_TEXT, 0, .help = "where"},
};
static const struct ebb_section EVIDENCE = {"evidence", NULL, false, EVIDENCE_COLUMNS,
                                            COUNT(EVIDENCE_COLUMNS)};

static const struct ebb_column MISSING_COLUMNS[] = {
    {"pid", "pid", EBB_AS_NUMBER, 0, .label = true, .help = "process; none of the host"},
    {"id", "id", EBB_AS_TEXT, 0, .label = true, .help = "the rule that cannot tell"},
    {"fact", "fact", EBB_AS_TEXT, 0, .help = "what it lacks"},
    {"why", "why", EBB_AS_TEXT, 0, .help = "why that is not known"},
};
static const struct ebb_section MISSING = {"missing", NULL, false, MISSING_COLUMNS, COUNT(MISSING_COLUMNS)};

static const struct ebb_column SUMMARY_COLUMNS[] = {
    {"cases", "looked at", EBB_AS_NUMBER, 0, .help = "processes, and the host"},
    {"critical", "critical", EBB_AS_NUMBER, 0, .help = "findings"},
    {"warning", "warning", EBB_AS_NUMBER, 0, .help = "findings"},
    {"info", "info", EBB_AS_NUMBER, 0, .help = "findings"},
    {"unsure", "unsure", EBB_AS_BOOL, 0, .help = "a rule that matters lacks a fact"},
    {"suppressed", "suppressed", EBB_AS_NUMBER, 0, .help = "rules that were not asked"},
};
static const struct ebb_section SUMMARY = {"summary", NULL, true, SUMMARY_COLUMNS, COUNT(SUMMARY_COLUMNS)};

static const char *join(const struct ebb_remedy *remedies, unsigned count, char buf[JOINED_BYTES])
{
    size_t used = 0;

    buf[0] = '\0';
    for (unsigned i = 0; i < count && used < JOINED_BYTES; i++)
        used +=
            (size_t)snprintf(buf + used, JOINED_BYTES - used, "%s%s", i == 0 ? "" : "\n", remedies[i].text);
    return buf;
}

static struct ebb_cell pid_cell(const struct ebb_doctor_case *the_case)
{
    return the_case->target.pid == 0 ? ebb__cell_unknown("it is about the host")
                                     : ebb__cell_number((uint64_t)the_case->target.pid);
}

static struct ebb_cell text_or_none(const char *text)
{
    return text[0] == '\0' ? ebb__cell_unknown("there is none") : ebb__cell_text(text);
}

static void emit_finding(struct ebb_emit *emit, const struct ebb_doctor_case *the_case,
                         const struct ebb_finding *finding)
{
    static char now[JOINED_BYTES];
    static char good[JOINED_BYTES];
    const struct ebb_rule *rule = &ebb__rules[finding->rule];
    const struct ebb_cell cells[] = {
        pid_cell(the_case),
        ebb__cell_text(the_case->target.pid == 0 ? "host" : the_case->target.name),
        ebb__cell_text(rule->id),
        ebb__cell_text(rule->key),
        ebb__cell_text(ebb__severity_name(finding->severity)),
        ebb__cell_number(finding->severity),
        ebb__cell_text(rule->title),
        ebb__cell_text(rule->mechanism),
        text_or_none(join(finding->now, finding->now_count, now)),
        text_or_none(join(finding->good, finding->good_count, good)),
        text_or_none(finding->gain),
        ebb__cell_text(rule->risk),
        ebb__cell_text(rule->undo),
    };

    ebb__emit_row(emit, cells);
}

static void emit_sections(struct ebb_emit *emit, const struct ebb_doctor_report *report)
{
    struct ebb_doctor_counts counts;

    ebb__emit_section(emit, &FINDINGS);
    for (unsigned i = 0; i < report->case_count; i++)
        for (unsigned f = 0; f < report->cases[i].count; f++)
            emit_finding(emit, &report->cases[i], &report->cases[i].findings[f]);
    ebb__emit_section(emit, &EVIDENCE);
    for (unsigned i = 0; i < report->case_count; i++)
        for (unsigned f = 0; f < report->cases[i].count; f++)
            for (unsigned e = 0; e < report->cases[i].findings[f].evidence_count; e++) {
                const struct ebb_finding *finding = &report->cases[i].findings[f];
                const struct ebb_cell cells[] = {
                    pid_cell(&report->cases[i]), ebb__cell_text(ebb__rules[finding->rule].id),
                    ebb__cell_text(finding->evidence[e].text), ebb__cell_text(finding->evidence[e].source)};

                ebb__emit_row(emit, cells);
            }
    ebb__emit_section(emit, &MISSING);
    for (unsigned i = 0; i < report->case_count; i++)
        for (unsigned f = 0; f < report->cases[i].unknown_count; f++)
            for (unsigned m = 0; m < report->cases[i].unknown[f].missing_count; m++) {
                const struct ebb_finding *unknown = &report->cases[i].unknown[f];
                const struct ebb_cell cells[] = {
                    pid_cell(&report->cases[i]), ebb__cell_text(ebb__rules[unknown->rule].id),
                    ebb__cell_text(unknown->missing[m].fact), ebb__cell_text(unknown->missing[m].why)};

                ebb__emit_row(emit, cells);
            }
    ebb__doctor_count(report, &counts);
    const struct ebb_cell cells[] = {
        ebb__cell_number(report->case_count),
        ebb__cell_number(counts.of[EBB_SEVERITY_CRITICAL]),
        ebb__cell_number(counts.of[EBB_SEVERITY_WARNING]),
        ebb__cell_number(counts.of[EBB_SEVERITY_INFO]),
        ebb__cell_bool(counts.unsure),
        ebb__cell_number(report->rules_suppressed),
    };

    ebb__emit_section(emit, &SUMMARY);
    ebb__emit_row(emit, cells);
}

/* ---- for people ---- */

/* A label and a text behind it, broken between words; the lines that follow are indented. */
static void say(struct ebb_emit *emit, const char *label, const char *text)
{
    const int room = LINE_COLUMNS - LABEL_COLUMNS;

    while (*text != '\0') {
        size_t len = strlen(text);
        size_t take = len;

        if (len > (size_t)room) {
            take = (size_t)room;
            while (take > 0 && text[take] != ' ')
                take--;
            if (take == 0)
                take = strcspn(text, " ");
        }
        ebb__emit_note(emit, "finding", "%-*s%.*s", LABEL_COLUMNS, label, (int)take, text);
        label = "";
        text += take;
        text += strspn(text, " ");
    }
}

static void say_remedies(struct ebb_emit *emit, const char *label, const struct ebb_remedy *remedies,
                         unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        /* A command stays in one line: it is copied. */
        if (remedies[i].is_command)
            ebb__emit_note(emit, "finding", "%-*s%s", LABEL_COLUMNS, i == 0 ? label : "", remedies[i].text);
        else
            say(emit, i == 0 ? label : "", remedies[i].text);
    }
}

static void say_finding(struct ebb_emit *emit, const struct ebb_finding *finding)
{
    static const char *const WORDS[] = {"INFO", "WARNING", "CRITICAL"};
    const struct ebb_rule *rule = &ebb__rules[finding->rule];

    ebb__emit_note(emit, "finding", "%s", "");
    ebb__emit_note(emit, "finding", "%-8s %s %s", WORDS[finding->severity], rule->id, rule->title);
    for (unsigned i = 0; i < finding->evidence_count; i++) {
        char text[EBB_FINDING_TEXT + 256];

        snprintf(text, sizeof(text), "%s [%s]", finding->evidence[i].text, finding->evidence[i].source);
        say(emit, i == 0 ? "     evidence:" : "", text);
    }
    say(emit, "     why:", rule->mechanism);
    say_remedies(emit, "     now:", finding->now, finding->now_count);
    say_remedies(emit, "     for good:", finding->good, finding->good_count);
    if (finding->gain[0] != '\0')
        say(emit, "     gain:", finding->gain);
    if (finding->rule == EBB_RULE_R33)
        return;
    say(emit, "     risk:", rule->risk);
    say(emit, "     undo:", rule->undo);
}

static void say_case(struct ebb_emit *emit, const struct ebb_doctor_case *the_case)
{
    ebb__emit_note(emit, "case", "%s", the_case->about);
    for (unsigned i = 0; i < the_case->count; i++)
        say_finding(emit, &the_case->findings[i]);
    if (the_case->count == 0)
        ebb__emit_note(emit, "case", "     no findings");
}

void ebb__doctor_print(struct ebb_emit *emit, const struct ebb_doctor_report *report)
{
    ebb__emit_begin(emit);
    if (!ebb__emit_is_human(emit)) {
        emit_sections(emit, report);
        ebb__emit_end(emit);
        return;
    }
    for (unsigned i = 0; i < report->case_count; i++) {
        if (i != 0)
            ebb__emit_note(emit, "case", "%s", "");
        say_case(emit, &report->cases[i]);
    }
    if (report->rules_suppressed != 0) {
        ebb__emit_note(emit, "suppressed", "%s", "");
        ebb__emit_note(emit, "suppressed", "%u rule%s not asked (--suppress).", report->rules_suppressed,
                       report->rules_suppressed == 1 ? " was" : "s were");
    }
    ebb__emit_end(emit);
}

/* ---- the rules themselves ---- */

static const char *const ABOUT[] = {"process", "host", "both"};
static const char *const PROOF[] = {"live", "tree", "facts"};

static const struct ebb_column RULE_COLUMNS[] = {
    {"id", "ID", EBB_AS_TEXT, -4, .label = true, .help = "of the rule"},
    {"key", "KEY", EBB_AS_TEXT, -16, .label = true, .help = "its name"},
    {"about", "ABOUT", EBB_AS_TEXT, -8, .help = "process, host or both"},
    {"worst", "WORST", EBB_AS_TEXT, -9, .help = "its highest severity"},
    {"proof", "PROVED", EBB_AS_TEXT, -7, .help = "on a live process, on a changed tree, or on facts alone"},
    {"title", "TITLE", EBB_AS_TEXT, 0, .help = "what it finds"},
};
static const struct ebb_section RULES = {"rules", NULL, false, RULE_COLUMNS, COUNT(RULE_COLUMNS)};

void ebb__doctor_list(struct ebb_emit *emit)
{
    ebb__emit_begin(emit);
    ebb__emit_section(emit, &RULES);
    for (unsigned i = 0; i < EBB_RULE_COUNT; i++) {
        const struct ebb_rule *rule = &ebb__rules[i];
        const struct ebb_cell cells[] = {
            ebb__cell_text(rule->id),           ebb__cell_text(rule->key),
            ebb__cell_text(ABOUT[rule->about]), ebb__cell_text(ebb__severity_name(rule->worst)),
            ebb__cell_text(PROOF[rule->proof]), ebb__cell_text(rule->title),
        };

        ebb__emit_row(emit, cells);
    }
    ebb__emit_end(emit);
}

static const struct ebb_column RULE_FACTS[] = {
    {"id", "rule", EBB_AS_TEXT, 0, .label = true, .help = "its number"},
    {"key", "name", EBB_AS_TEXT, 0, .label = true, .help = "its name"},
    {"title", "finds", EBB_AS_TEXT, 0, .help = "what it finds"},
    {"mechanism", "because", EBB_AS_TEXT, 0, .help = "why that is so"},
    {"risk", "risk", EBB_AS_TEXT, 0, .help = "of what it advises"},
    {"undo", "undo", EBB_AS_TEXT, 0, .help = "how to take that back"},
    {"about", "about", EBB_AS_TEXT, 0, .help = "process, host or both"},
    {"worst", "worst", EBB_AS_TEXT, 0, .help = "its highest severity"},
    {"proof", "proved on", EBB_AS_TEXT, 0, .help = "live, tree or facts"},
    {"proof_why", "not live, because", EBB_AS_TEXT, 0, .help = "why it is not proved on a live process"},
};
static const struct ebb_section RULE = {"rule", NULL, true, RULE_FACTS, COUNT(RULE_FACTS)};

static const struct ebb_column THRESHOLD_COLUMNS[] = {
    {"threshold", "THRESHOLD", EBB_AS_TEXT, -22, .label = true, .help = "its name"},
    {"value", "VALUE", EBB_AS_NUMBER, 6, .help = "its value"},
    {"unit", "UNIT", EBB_AS_TEXT, -34, .help = "of what"},
    {"why", "WHY", EBB_AS_TEXT, 0, .help = "why that much"},
};
static const struct ebb_section THRESHOLDS = {"thresholds", NULL, false, THRESHOLD_COLUMNS,
                                              COUNT(THRESHOLD_COLUMNS)};

void ebb__doctor_explain(struct ebb_emit *emit, enum ebb_rule_id id)
{
    const struct ebb_rule *rule = &ebb__rules[id];
    const struct ebb_cell cells[] = {
        ebb__cell_text(rule->id),
        ebb__cell_text(rule->key),
        ebb__cell_text(rule->title),
        ebb__cell_text(rule->mechanism),
        ebb__cell_text(rule->risk),
        ebb__cell_text(rule->undo),
        ebb__cell_text(ABOUT[rule->about]),
        ebb__cell_text(ebb__severity_name(rule->worst)),
        ebb__cell_text(PROOF[rule->proof]),
        rule->proof_why == NULL ? ebb__cell_unknown("it is") : ebb__cell_text(rule->proof_why),
    };

    ebb__emit_begin(emit);
    ebb__emit_section(emit, &RULE);
    ebb__emit_row(emit, cells);
    ebb__emit_section(emit, &THRESHOLDS);
    for (unsigned i = 0; i < ebb__threshold_count; i++) {
        const struct ebb_threshold *threshold = &ebb__thresholds[i];
        char name[64];

        if (threshold->rule != id)
            continue;
        snprintf(name, sizeof(name), "%s", threshold->name);
        for (char *at = name; *at != '\0'; at++)
            *at = *at == '_' ? '-' : (char)tolower((unsigned char)*at);
        const struct ebb_cell row[] = {ebb__cell_text(name), ebb__cell_number(threshold->value),
                                       ebb__cell_text(threshold->unit), ebb__cell_text(threshold->why)};

        ebb__emit_row(emit, row);
    }
    ebb__emit_end(emit);
}
