/* SPDX-License-Identifier: MIT
 *
 * Findings of ebb doctor as a script that does what was advised, and as the one line of a monitoring plugin; see doctor.h.
 */
#include <stdio.h>
#include <string.h>

#include "tool/doctor.h"

/* ---- the script ---- */

/* A comment must end where its line ends, whatever a process or a cgroup is called. */
static void put_comment(const char *label, const char *text)
{
    printf("# %s", label);
    for (; *text != '\0'; text++)
        putchar((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text);
    putchar('\n');
}

/* Printed before it is run. Commands hold no text from outside, see src/model/rules_priv.h, but may hold quotes of their own. */
static void put_command(const char *command)
{
    fputs("say '", stdout);
    for (const char *at = command; *at != '\0'; at++)
        if (*at == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*at);
    printf("'\n%s\n", command);
}

static void put_remedies(const char *label, const struct ebb_remedy *remedies, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (remedies[i].is_command) {
            put_comment(label, "");
            put_command(remedies[i].text);
        } else {
            put_comment(label, remedies[i].text);
        }
}

static void put_finding(const struct ebb_finding *finding)
{
    const struct ebb_rule *rule = &ebb__rules[finding->rule];

    putchar('\n');
    printf("# ---- %s %s: %s\n", ebb__severity_name(finding->severity), rule->id, rule->title);
    for (unsigned i = 0; i < finding->evidence_count; i++)
        put_comment("evidence: ", finding->evidence[i].text);
    put_comment("risk: ", rule->risk);
    put_comment("undo: ", rule->undo);
    put_remedies("now: ", finding->now, finding->now_count);
    put_remedies("for good: ", finding->good, finding->good_count);
}

void ebb__doctor_script(const struct ebb_doctor_report *report)
{
    puts("#!/bin/sh\n"
         "# Written by ebb doctor, which has run none of it. Read it before you do: what is not for this "
         "host is to be deleted.\n"
         "# Each command is printed before it runs; the first one that fails ends the script. Run it as "
         "root.\n"
         "set -e\n"
         "say() { printf '+ %s\\n' \"$1\"; }");
    for (unsigned i = 0; i < report->case_count; i++) {
        const struct ebb_doctor_case *the_case = &report->cases[i];

        putchar('\n');
        put_comment("==== ", the_case->about);
        for (unsigned f = 0; f < the_case->count; f++)
            if (the_case->findings[f].rule != EBB_RULE_R33)
                put_finding(&the_case->findings[f]);
        if (the_case->count == 0)
            put_comment("no findings", "");
    }
}

/* ---- the one line ---- */

void ebb__doctor_count(const struct ebb_doctor_report *report, struct ebb_doctor_counts *ret_counts)
{
    memset(ret_counts, 0, sizeof(*ret_counts));
    for (unsigned i = 0; i < report->case_count; i++) {
        const struct ebb_doctor_case *the_case = &report->cases[i];

        ret_counts->unsure |= the_case->unsure;
        for (unsigned f = 0; f < the_case->count; f++)
            if (the_case->findings[f].rule != EBB_RULE_R33)
                ret_counts->of[the_case->findings[f].severity]++;
    }
}

/* Everything behind a '|' is figures, so a name must not hold one. */
static void put_name(const char *name)
{
    for (; *name != '\0'; name++)
        putchar((unsigned char)*name < ' ' || *name == '|' || *name == 0x7f ? '?' : *name);
}

static void put_findings(const struct ebb_doctor_report *report, enum ebb_severity severity,
                         const char **separator)
{
    for (unsigned i = 0; i < report->case_count; i++)
        for (unsigned f = 0; f < report->cases[i].count; f++) {
            const struct ebb_finding *finding = &report->cases[i].findings[f];

            if (finding->severity != severity || finding->rule == EBB_RULE_R33)
                continue;
            printf("%s%s ", *separator, ebb__rules[finding->rule].id);
            put_name(report->cases[i].target.pid == 0 ? "host" : report->cases[i].target.name);
            printf(": %s", ebb__rules[finding->rule].title);
            *separator = "; ";
        }
}

int ebb__doctor_nagios(const struct ebb_doctor_report *report)
{
    static const char *const WORDS[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};
    struct ebb_doctor_counts counts;
    const char *separator = " - ";
    int status;

    ebb__doctor_count(report, &counts);
    status = counts.of[EBB_SEVERITY_CRITICAL] != 0  ? 2
             : counts.of[EBB_SEVERITY_WARNING] != 0 ? 1
             : counts.unsure                        ? 3
                                                    : 0;
    printf("EBB DOCTOR %s", WORDS[status]);
    put_findings(report, EBB_SEVERITY_CRITICAL, &separator);
    put_findings(report, EBB_SEVERITY_WARNING, &separator);
    if (status == 3)
        printf("%sfacts are missing: see ebb doctor", separator);
    else if (status == 0)
        printf("%s%u looked at", separator, report->case_count);
    printf(" | critical=%u;;0 warning=%u;0 info=%u unsure=%d looked_at=%u\n",
           counts.of[EBB_SEVERITY_CRITICAL], counts.of[EBB_SEVERITY_WARNING], counts.of[EBB_SEVERITY_INFO],
           counts.unsure ? 1 : 0, report->case_count);
    return status;
}
