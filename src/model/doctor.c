/* SPDX-License-Identifier: MIT
 *
 * The table of rules, and the round over it; see doctor.h.
 */
#include "model/doctor.h"

#include <string.h>

#include "model/rules_priv.h"

#define LIVE       EBB_PROOF_LIVE, NULL
#define TREE(why)  EBB_PROOF_TREE, why
#define FACTS(why) EBB_PROOF_FACTS, why

/* The proof is one macro argument that becomes two values. */
#define EBB_RULE(id, name, key, about, worst, title, mechanism, risk, undo, proof)                           \
    [EBB_RULE_##id] = {#id,  key,  EBB_ABOUT_##about, EBB_SEVERITY_##worst, proof, title, mechanism,         \
                       risk, undo, ebb__rule_##name},
const struct ebb_rule ebb__rules[EBB_RULE_COUNT] = {
#include "model/rules.def"
};
#undef EBB_RULE

#define EBB_THRESHOLD(rule, name, value, unit, why) {EBB_RULE_##rule, #name, value, unit, why},
const struct ebb_threshold ebb__thresholds[] = {
#include "model/rules.def"
};
#undef EBB_THRESHOLD

const unsigned ebb__threshold_count = sizeof(ebb__thresholds) / sizeof(ebb__thresholds[0]);

EBB_STATIC_ASSERT(EBB_RULE_COUNT <= 64, "rules are bits of a word");

/* Of a process that is dead, only that matters. */
static bool is_dead(const struct ebb_doctor_process *process)
{
    return ebb__status_has(&process->status, EBB_STATUS_STATE) &&
           (process->status.state == 'Z' || process->status.state == 'X');
}

static bool is_asked(const struct ebb_doctor_facts *facts, enum ebb_rule_id id)
{
    if (facts->has_process && is_dead(&facts->process))
        return id == EBB_RULE_R28;
    switch (ebb__rules[id].about) {
    case EBB_ABOUT_HOST:
        return facts->has_host;
    case EBB_ABOUT_PROCESS:
        return facts->has_process;
    case EBB_ABOUT_BOTH:
        break;
    }
    return true;
}

static void ask(const struct ebb_doctor_facts *facts, enum ebb_rule_id id, struct ebb_diagnosis *diagnosis)
{
    struct ebb_finding *finding = &diagnosis->findings[diagnosis->count];

    memset(finding, 0, sizeof(*finding));
    finding->rule = id;
    switch (ebb__rules[id].ask(facts, finding)) {
    case EBB_RULE_SILENT:
        break;
    case EBB_RULE_FIRES:
        diagnosis->count++;
        break;
    case EBB_RULE_UNKNOWN:
        diagnosis->unknown[diagnosis->unknown_count++] = *finding;
        break;
    }
}

/* Stable: rules of one severity stay in the order of the table. */
static void sort(struct ebb_diagnosis *diagnosis)
{
    for (unsigned i = 1; i < diagnosis->count; i++)
        for (unsigned at = i;
             at > 0 && diagnosis->findings[at].severity > diagnosis->findings[at - 1].severity; at--) {
            struct ebb_finding finding = diagnosis->findings[at];

            diagnosis->findings[at] = diagnosis->findings[at - 1];
            diagnosis->findings[at - 1] = finding;
        }
}

/* True when a permission would help. */
static bool is_denied(const struct ebb_diagnosis *diagnosis)
{
    for (unsigned i = 0; i < diagnosis->unknown_count; i++)
        for (unsigned m = 0; m < diagnosis->unknown[i].missing_count; m++)
            if (strcmp(diagnosis->unknown[i].missing[m].why, ebb__fact_why(ebb__fact_unknown(-EACCES))) == 0)
                return true;
    return false;
}

/* R33: what the others lacked. It is asked last, because it needs their answers. */
static void gather(uint64_t suppressed, struct ebb_diagnosis *diagnosis)
{
    struct ebb_finding *finding = &diagnosis->findings[diagnosis->count];

    if (diagnosis->unknown_count == 0 || (suppressed & UINT64_C(1) << EBB_RULE_R33) != 0)
        return;
    memset(finding, 0, sizeof(*finding));
    finding->rule = EBB_RULE_R33;
    ebb__finding_severity(finding,
                          ebb__diagnosis_is_unsure(diagnosis) ? EBB_SEVERITY_WARNING : EBB_SEVERITY_INFO);
    for (unsigned i = 0; i < diagnosis->unknown_count; i++) {
        const struct ebb_finding *unknown = &diagnosis->unknown[i];
        const struct ebb_rule *rule = &ebb__rules[unknown->rule];

        if (finding->evidence_count == EBB_EVIDENCE_MAX - 1 && diagnosis->unknown_count > EBB_EVIDENCE_MAX) {
            ebb__finding_evidence(finding, "the rules", "and %u more rules", diagnosis->unknown_count - i);
            break;
        }
        ebb__finding_evidence(finding, rule->id, "%s: %s: %s", rule->key,
                              unknown->missing_count == 0 ? "facts" : unknown->missing[0].fact,
                              unknown->missing_count == 0 ? "not known" : unknown->missing[0].why);
    }
    if (is_denied(diagnosis))
        ebb__finding_advise_now(finding,
                                "run it as root, as the user of the process, or with CAP_SYS_PTRACE");
    diagnosis->count++;
}

enum ebb_rule_answer ebb__rule_unreadable(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    (void)facts;
    (void)finding;
    return EBB_RULE_SILENT;
}

void ebb__doctor_diagnose(const struct ebb_doctor_facts *facts, uint64_t suppressed,
                          struct ebb_diagnosis *ret_diagnosis)
{
    ret_diagnosis->count = 0;
    ret_diagnosis->unknown_count = 0;
    for (unsigned i = 0; i < EBB_RULE_COUNT; i++)
        if ((suppressed & UINT64_C(1) << i) == 0 && is_asked(facts, (enum ebb_rule_id)i))
            ask(facts, (enum ebb_rule_id)i, ret_diagnosis);
    gather(suppressed, ret_diagnosis);
    sort(ret_diagnosis);
}

/* "r3" and "R03" are one rule. */
static bool is_id(const char *text, const char *id)
{
    const char *digits = text + 1;

    if (text[0] != 'R' && text[0] != 'r')
        return false;
    while (*digits == '0')
        digits++;
    return strcmp(digits, id[1] == '0' ? id + 2 : id + 1) == 0;
}

enum ebb_rule_id ebb__rule_find(const char *text)
{
    for (unsigned i = 0; i < EBB_RULE_COUNT; i++)
        if (is_id(text, ebb__rules[i].id) || strcmp(text, ebb__rules[i].key) == 0)
            return (enum ebb_rule_id)i;
    return EBB_RULE_COUNT;
}

const char *ebb__severity_name(enum ebb_severity severity)
{
    static const char *const NAMES[] = {"info", "warning", "critical"};

    return NAMES[severity];
}

bool ebb__diagnosis_worst(const struct ebb_diagnosis *diagnosis, enum ebb_severity *ret_worst)
{
    for (unsigned i = 0; i < diagnosis->count; i++)
        if (diagnosis->findings[i].rule != EBB_RULE_R33) {
            *ret_worst = diagnosis->findings[i].severity;
            return true;
        }
    return false;
}

bool ebb__diagnosis_is_unsure(const struct ebb_diagnosis *diagnosis)
{
    for (unsigned i = 0; i < diagnosis->unknown_count; i++)
        if (ebb__rules[diagnosis->unknown[i].rule].worst != EBB_SEVERITY_INFO)
            return true;
    return false;
}
