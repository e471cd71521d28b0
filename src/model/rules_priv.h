/* SPDX-License-Identifier: MIT
 *
 * For the rules of ebb doctor: their functions, and what findings are written with.
 */
#ifndef EBB_MODEL_RULES_PRIV_H
#define EBB_MODEL_RULES_PRIV_H

#include <errno.h>

#include "base/compiler.h"
#include "model/doctor.h"
#include "model/units.h"

#define EBB_RULE(id, name, ...)                                                                              \
    enum ebb_rule_answer ebb__rule_##name(const struct ebb_doctor_facts *facts, struct ebb_finding *finding);
#include "model/rules.def"
#undef EBB_RULE

/* Each takes a printf format. What is not given stays empty. */
#define EBB_SAYS(at) __attribute__((format(printf, at, at + 1)))

/* Begins a finding, or raises its severity. */
void ebb__finding_severity(struct ebb_finding *finding, enum ebb_severity severity);
void ebb__finding_evidence(struct ebb_finding *finding, const char *source, const char *format, ...)
    EBB_SAYS(3);

/* Commands of the shell; `format` holds no text from outside, numbers only. */
void ebb__finding_now(struct ebb_finding *finding, const char *format, ...) EBB_SAYS(2);
void ebb__finding_good(struct ebb_finding *finding, const char *format, ...) EBB_SAYS(2);

/* Sentences. */
void ebb__finding_advise_now(struct ebb_finding *finding, const char *format, ...) EBB_SAYS(2);
void ebb__finding_advise_good(struct ebb_finding *finding, const char *format, ...) EBB_SAYS(2);
void ebb__finding_gain(struct ebb_finding *finding, const char *format, ...) EBB_SAYS(2);

/* A setting of /proc/sys, now and for good. */
void ebb__finding_sysctl(struct ebb_finding *finding, const char *name, uint64_t value);

/* The answer of a rule that lacks a fact. May be called for several. */
enum ebb_rule_answer ebb__finding_lacks(struct ebb_finding *finding, const char *fact, const char *why);

/* The same for a fact that is not known; false when it is, with its value. */
bool ebb__finding_needs(struct ebb_finding *finding, struct ebb_fact fact, const char *name,
                        uint64_t *ret_value);

/* a is at least `percent` of b, and b is not 0. */
static inline bool ebb__is_share(uint64_t a, uint64_t b, unsigned percent)
{
    return b != 0 && (double)a * 100 >= (double)b * percent;
}

static inline double ebb__share_of(uint64_t a, uint64_t b)
{
    return b == 0 ? 0 : 100.0 * (double)a / (double)b;
}

/* A field of the process's status. */
static inline struct ebb_fact ebb__status_fact(const struct ebb_status *status, enum ebb_status_field field,
                                               uint64_t value)
{
    return ebb__status_has(status, field) ? ebb__fact(value) : ebb__fact_unknown(-ENODATA);
}

/* What the pool of the process has not touched yet, and will; 0 when that is not known. */
uint64_t ebb__pool_to_come(const struct ebb_doctor_facts *facts);

/* True when that allocator serves, as far as can be told: of a captured tree, when its library is mapped. */
bool ebb__process_is_on(const struct ebb_doctor_process *process, const char *allocator);

#endif
