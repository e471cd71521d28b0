/* SPDX-License-Identifier: MIT
 *
 * What findings of ebb doctor are written with; see rules_priv.h.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "model/rules_priv.h"

void ebb__finding_severity(struct ebb_finding *finding, enum ebb_severity severity)
{
    if (severity > finding->severity)
        finding->severity = severity;
}

void ebb__finding_evidence(struct ebb_finding *finding, const char *source, const char *format, ...)
{
    struct ebb_evidence *evidence = &finding->evidence[finding->evidence_count];
    va_list args;

    if (finding->evidence_count == EBB_EVIDENCE_MAX)
        return;
    va_start(args, format);
    vsnprintf(evidence->text, sizeof(evidence->text), format, args);
    va_end(args);
    evidence->source = source;
    finding->evidence_count++;
}

__attribute__((format(printf, 4, 0))) static void add(struct ebb_remedy *remedies, unsigned *count,
                                                      bool is_command, const char *format, va_list args)
{
    struct ebb_remedy *remedy = &remedies[*count];
    int len;

    if (*count == EBB_REMEDIES_MAX)
        return;
    len = vsnprintf(remedy->text, sizeof(remedy->text), format, args);
    remedy->is_command = is_command;
    /* Half a command is left out. */
    if (!is_command || (len >= 0 && (size_t)len < sizeof(remedy->text)))
        ++*count;
}

void ebb__finding_now(struct ebb_finding *finding, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(finding->now, &finding->now_count, true, format, args);
    va_end(args);
}

void ebb__finding_good(struct ebb_finding *finding, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(finding->good, &finding->good_count, true, format, args);
    va_end(args);
}

void ebb__finding_advise_now(struct ebb_finding *finding, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(finding->now, &finding->now_count, false, format, args);
    va_end(args);
}

void ebb__finding_advise_good(struct ebb_finding *finding, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(finding->good, &finding->good_count, false, format, args);
    va_end(args);
}

void ebb__finding_gain(struct ebb_finding *finding, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(finding->gain, sizeof(finding->gain), format, args);
    va_end(args);
}

void ebb__finding_sysctl(struct ebb_finding *finding, const char *name, uint64_t value)
{
    /* One file for each setting, so that it can be taken away alone. */
    ebb__finding_now(finding, "sysctl -w %s=%llu", name, (unsigned long long)value);
    ebb__finding_good(finding, "echo '%s = %llu' > /etc/sysctl.d/60-ebb-%s.conf", name,
                      (unsigned long long)value, name);
}

enum ebb_rule_answer ebb__finding_lacks(struct ebb_finding *finding, const char *fact, const char *why)
{
    struct ebb_missing *missing = &finding->missing[finding->missing_count];

    if (finding->missing_count < EBB_MISSING_MAX) {
        snprintf(missing->fact, sizeof(missing->fact), "%s", fact);
        missing->why = why;
        finding->missing_count++;
    }
    return EBB_RULE_UNKNOWN;
}

bool ebb__finding_needs(struct ebb_finding *finding, struct ebb_fact fact, const char *name,
                        uint64_t *ret_value)
{
    if (!fact.known) {
        ebb__finding_lacks(finding, name, ebb__fact_why(fact));
        return true;
    }
    *ret_value = fact.value;
    return false;
}

bool ebb__process_is_on(const struct ebb_doctor_process *process, const char *allocator)
{
    if (process->allocator != NULL)
        return strcmp(process->allocator, allocator) == 0;
    if (strcmp(allocator, "jemalloc") == 0)
        return (process->mapped_allocators & EBB_VMA_ALLOCATOR_JEMALLOC) != 0;
    return false;
}
