/* SPDX-License-Identifier: MIT
 *
 * What is wrong with a host and a process, and what to do: the rules of rules.def, asked one after the other.
 *
 * A rule is a pure function of the facts (doctor_facts.h). It fires and fills a finding, or is silent, or cannot tell, and then names
 * the facts that it lacks; it asks for a fact only when that could change its answer. Rule R33 gathers these at the end.
 *
 * The caller provides the memory. Texts that do not fit are cut, but a command that does not fit is left out: half of one may do harm.
 */
#ifndef EBB_MODEL_DOCTOR_H
#define EBB_MODEL_DOCTOR_H

#include "model/doctor_facts.h"

enum ebb_severity { EBB_SEVERITY_INFO, EBB_SEVERITY_WARNING, EBB_SEVERITY_CRITICAL };

enum ebb_rule_id {
#define EBB_RULE(id, ...) EBB_RULE_##id,
#include "model/rules.def"
#undef EBB_RULE
    EBB_RULE_COUNT
};

/* The thresholds, as numbers. */
enum ebb_limit {
#define EBB_THRESHOLD(rule, name, value, unit, why) EBB_LIMIT_##name = (value),
#include "model/rules.def"
#undef EBB_THRESHOLD
};

struct ebb_threshold {
    enum ebb_rule_id rule;
    const char *name;
    unsigned value;
    const char *unit;
    const char *why;
};

extern const struct ebb_threshold ebb__thresholds[];
extern const unsigned ebb__threshold_count;

enum ebb_rule_about { EBB_ABOUT_PROCESS, EBB_ABOUT_HOST, EBB_ABOUT_BOTH };
enum ebb_rule_proof { EBB_PROOF_LIVE, EBB_PROOF_TREE, EBB_PROOF_FACTS };
enum ebb_rule_answer { EBB_RULE_SILENT, EBB_RULE_FIRES, EBB_RULE_UNKNOWN };

/* One line of what to do: a command of the shell, or a sentence. */
#define EBB_REMEDIES_MAX      4
#define EBB_EVIDENCE_MAX      6
#define EBB_MISSING_MAX       4
#define EBB_FINDING_TEXT      384
#define EBB_FINDING_LINE_TEXT 256

struct ebb_remedy {
    bool is_command;
    char text[EBB_FINDING_TEXT];
};

struct ebb_evidence {
    char text[EBB_FINDING_TEXT];
    const char *source; /* constant, or borrowed from the facts */
};

struct ebb_missing {
    char fact[EBB_FINDING_LINE_TEXT];
    const char *why;
};

struct ebb_finding {
    enum ebb_rule_id rule;
    enum ebb_severity severity;
    unsigned evidence_count;
    struct ebb_evidence evidence[EBB_EVIDENCE_MAX];
    unsigned now_count;
    struct ebb_remedy now[EBB_REMEDIES_MAX];
    unsigned good_count;
    struct ebb_remedy good[EBB_REMEDIES_MAX];
    char gain[EBB_FINDING_TEXT];
    unsigned missing_count; /* of a rule that cannot tell */
    struct ebb_missing missing[EBB_MISSING_MAX];
};

struct ebb_rule {
    const char *id;
    const char *key;
    enum ebb_rule_about about;
    enum ebb_severity worst;
    enum ebb_rule_proof proof;
    const char *proof_why; /* NULL of LIVE */
    const char *title;
    const char *mechanism;
    const char *risk;
    const char *undo;
    enum ebb_rule_answer (*ask)(const struct ebb_doctor_facts *facts, struct ebb_finding *finding);
};

extern const struct ebb_rule ebb__rules[EBB_RULE_COUNT];

struct ebb_diagnosis {
    unsigned count;
    struct ebb_finding findings[EBB_RULE_COUNT]; /* worst first */
    unsigned unknown_count;
    struct ebb_finding unknown[EBB_RULE_COUNT]; /* rules that cannot tell */
};

/* Asks all rules but those whose bit (1 << id) is in `suppressed`. */
void ebb__doctor_diagnose(const struct ebb_doctor_facts *facts, uint64_t suppressed,
                          struct ebb_diagnosis *ret_diagnosis);

/* By "R03", "r3" or "vma-limit"; EBB_RULE_COUNT when there is none. */
enum ebb_rule_id ebb__rule_find(const char *text);

const char *ebb__severity_name(enum ebb_severity severity);

/* The worst severity of the findings, rules that cannot tell set aside; false when there is none. */
bool ebb__diagnosis_worst(const struct ebb_diagnosis *diagnosis, enum ebb_severity *ret_worst);

/* True when a rule that could have found more than INFO cannot tell. */
bool ebb__diagnosis_is_unsure(const struct ebb_diagnosis *diagnosis);

#endif
