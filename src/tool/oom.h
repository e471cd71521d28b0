/* SPDX-License-Identifier: MIT
 *
 * The parts of `ebb oom` for each other: prediction, past kills, oom_score_adj.
 */
#ifndef EBB_TOOL_OOM_H
#define EBB_TOOL_OOM_H

#include <stdbool.h>

#include "tool/emit.h"
#include "tool/oom_facts.h"
#include "tool/opt.h"

struct ebb_oom_options {
    struct ebb_output output;
    struct ebb_opt_list what_if;
    const char *scope; /* a cgroup, or "host"; NULL: all */
    unsigned top;
    const char *file; /* of a log */
    const char *since;
    bool old_scale;
    bool persist;
};

/* Each returns an exit status. */
int ebb__oom_predict(const struct ebb_opt_spec *spec, const struct ebb_oom_options *options,
                     const char *root);
int ebb__oom_explain(const struct ebb_opt_spec *spec, const struct ebb_oom_options *options,
                     const char *root);
int ebb__oom_adjust(const struct ebb_opt_spec *spec, const struct ebb_oom_options *options,
                    const char *target, const char *value);

/* Changes what was collected as --what-if says. EBB_EXIT_OK, or another status after one line on standard error. */
int ebb__oom_what_if(const struct ebb_opt_spec *spec, const struct ebb_opt_list *what_if,
                     struct ebb_oom_facts *facts);

/* Emits the order of the members of a scope, at most `top`. */
int ebb__oom_print_order(struct ebb_emit *emit, const struct ebb_oom_facts *facts,
                         const struct ebb_oom_scope *scope, unsigned top);

/* Collects, or says why not. EBB_EXIT_OK or EBB_EXIT_FAILED. */
int ebb__oom_collect(struct ebb_oom_facts *ret_facts, const char *root);

#endif
