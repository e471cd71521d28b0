/* SPDX-License-Identifier: MIT
 *
 * ebb oom: whom the kernel kills next when memory runs out, whom it has killed and why, and how to change the order.
 */
#include <stddef.h>
#include <string.h>

#include "tool/cmd.h"
#include "tool/oom.h"

static struct ebb_oom_options options = {.top = 10};

static const char *const SYNOPSIS[] = {"[OPTION...]", "explain [OPTION...]", "adj TARGET [N] [OPTION...]",
                                       NULL};
static const char *const OPERANDS[] = {"explain", "adj", NULL};

static const struct ebb_opt ROWS[] = {
    {'w', "what-if", EBB_OPT_LIST, "CHANGE", "judge with adj:PID=N, grow:PID=1G or limit:CGROUP=2G",
     &options.what_if},
    {'s', "scope", EBB_OPT_TEXT, "SCOPE",
     "only this one: host, or a memory cgroup: its path, cgroup:PATH or unit:NAME", &options.scope},
    {'n', "top", EBB_OPT_COUNT, "N", "how many of the order, or past kills in words, 10 if not given",
     &options.top},
    {'\0', "file", EBB_OPT_FILE, "FILE", "explain: a log to read instead of the kernel's buffer",
     &options.file},
    {'\0', "since", EBB_OPT_TEXT, "TIME", "explain: 30m, 2h, 7d ago, or a date such as 2026-11-24",
     &options.since},
    {'\0', "old-scale", EBB_OPT_FLAG, NULL, "adj: N is an oom_adj, -17 to 15", &options.old_scale},
    {'\0', "persist", EBB_OPT_FLAG, NULL, "adj: print what makes it last in systemd", &options.persist},
    EBB_OUTPUT_ROWS(options.output),
    {0},
};

const struct ebb_opt_spec ebb__spec_oom = {
    .command = "oom",
    .synopsis = SYNOPSIS,
    .rows = ROWS,
    .operands = OPERANDS,
};

static bool is_negative(const char *text)
{
    return text[0] == '-' && text[1] != '\0' && text[1 + strspn(text + 1, "0123456789")] == '\0';
}

/* The value of `adj` may look like options: it is taken out before they are parsed. */
static char *take_negative(int *argc, char **argv)
{
    bool adjusts = false;

    for (int i = 1; i < *argc; i++) {
        char *found = argv[i];

        adjusts |= strcmp(found, "adj") == 0;
        if (!adjusts || !is_negative(found))
            continue;
        for (int j = i; j < *argc; j++)
            argv[j] = argv[j + 1];
        (*argc)--;
        return found;
    }
    return NULL;
}

/* Whoever gives an option to a form that has no use for it meant something else. */
static int check_form(const char *form)
{
    const struct {
        const char *name;
        const char *form;
        bool given;
    } rows[] = {
        {"what-if", "", options.what_if.count != 0}, {"scope", "", options.scope != NULL},
        {"file", "explain", options.file != NULL},   {"since", "explain", options.since != NULL},
        {"old-scale", "adj", options.old_scale},     {"persist", "adj", options.persist},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].given && strcmp(rows[i].form, form) != 0)
            return ebb__opt_usage(&ebb__spec_oom, "--%s goes with 'ebb oom%s%s'", rows[i].name,
                                  rows[i].form[0] != '\0' ? " " : "", rows[i].form);
    return EBB_EXIT_OK;
}

static int dispatch(int count, char **operands, const char *negative)
{
    const char *root;
    int status = ebb__output_root(&ebb__spec_oom, &options.output, &root);

    if (status == EBB_EXIT_OK)
        status = check_form(count == 0 ? "" : operands[0]);
    if (status != EBB_EXIT_OK)
        return status;
    if (count == 0)
        return ebb__oom_predict(&ebb__spec_oom, &options, root);
    if (strcmp(operands[0], "explain") == 0) {
        if (count > 1)
            return ebb__opt_usage(&ebb__spec_oom, "explain takes no operand; a log is given with --file");
        return ebb__oom_explain(&ebb__spec_oom, &options, root);
    }
    if (strcmp(operands[0], "adj") != 0)
        return ebb__opt_usage(&ebb__spec_oom, "'%s' is neither explain nor adj", operands[0]);
    if (count < 2)
        return ebb__opt_usage(&ebb__spec_oom, "adj: which process?");
    if (count + (negative != NULL) > 3)
        return ebb__opt_usage(&ebb__spec_oom, "adj takes one process and one number");
    if (root[0] != '\0')
        return ebb__opt_usage(&ebb__spec_oom, "adj works on this host, not on a captured tree");
    return ebb__oom_adjust(&ebb__spec_oom, &options, operands[1],
                           negative != NULL ? negative
                           : count == 3     ? operands[2]
                                            : NULL);
}

int ebb__cmd_oom(int argc, char **argv)
{
    const char *negative = take_negative(&argc, argv);
    int first;
    int status;

    if (!ebb__opt_parse(&ebb__spec_oom, argc, argv, &first, &status))
        return status;
    return dispatch(argc - first, argv + first, negative);
}
