/* SPDX-License-Identifier: MIT
 *
 * ebb oom: whom the kernel kills next when memory runs out, on the host and within each memory cgroup.
 */
#include <stddef.h>

#include "tool/cmd.h"
#include "tool/oom.h"

static struct ebb_oom_options options = {.top = 10};

static const char *const SYNOPSIS[] = {"[OPTION...]", NULL};

static const struct ebb_opt ROWS[] = {
    {'w', "what-if", EBB_OPT_LIST, "CHANGE", "judge with adj:PID=N, grow:PID=1G or limit:CGROUP=2G",
     &options.what_if},
    {'s', "scope", EBB_OPT_TEXT, "SCOPE", "only this one: host, or the path of a memory cgroup",
     &options.scope},
    {'n', "top", EBB_OPT_COUNT, "N", "how many of the order to show, 10 if not given", &options.top},
    EBB_OUTPUT_ROWS(options.output),
    {0},
};

const struct ebb_opt_spec ebb__spec_oom = {
    .command = "oom",
    .synopsis = SYNOPSIS,
    .rows = ROWS,
};

int ebb__cmd_oom(int argc, char **argv)
{
    const char *root;
    int first;
    int status;

    if (!ebb__opt_parse(&ebb__spec_oom, argc, argv, &first, &status))
        return status;
    if (first != argc)
        return ebb__opt_usage(&ebb__spec_oom, "takes no operand; '%s' is one", argv[first]);
    status = ebb__output_root(&ebb__spec_oom, &options.output, &root);
    return status == EBB_EXIT_OK ? ebb__oom_predict(&ebb__spec_oom, &options, root) : status;
}
