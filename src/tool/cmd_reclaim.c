/* SPDX-License-Identifier: MIT
 *
 * ebb reclaim: how far the host is from reclaim, what that will look at, and by which rule.
 */
#include <stddef.h>

#include "tool/cmd.h"
#include "tool/reclaim.h"

static struct {
    const char *cgroup;
    struct ebb_output output;
} options;

static const char *const SYNOPSIS[] = {"[OPTION...]", NULL};

static const struct ebb_opt ROWS[] = {
    {'g', "cgroup", EBB_OPT_TEXT, "PATH|TARGET",
     "what a memory cgroup's limit will reclaim, given as /PATH or TARGET", &options.cgroup},
    EBB_OUTPUT_ROWS(options.output),
    {0},
};

const struct ebb_opt_spec ebb__spec_reclaim = {
    .command = "reclaim",
    .synopsis = SYNOPSIS,
    .rows = ROWS,
};

int ebb__cmd_reclaim(int argc, char **argv)
{
    static struct ebb_reclaim_facts facts; /* large */
    struct ebb_emit emit;
    const char *root;
    int first;
    int status;

    if (!ebb__opt_parse(&ebb__spec_reclaim, argc, argv, &first, &status))
        return status;
    if (first != argc)
        return ebb__opt_usage(&ebb__spec_reclaim, "takes no operand; '%s' is one", argv[first]);
    status = ebb__emit_init(&emit, &ebb__spec_reclaim, &options.output);
    if (status == EBB_EXIT_OK)
        status = ebb__output_root(&ebb__spec_reclaim, &options.output, &root);
    if (status == EBB_EXIT_OK)
        status = ebb__reclaim_collect(&facts, root, options.cgroup);
    if (status == EBB_EXIT_OK)
        ebb__reclaim_print(&emit, &facts);
    return status;
}
