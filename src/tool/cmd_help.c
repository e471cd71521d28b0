/* SPDX-License-Identifier: MIT
 *
 * ebb help: lists the commands, or shows the options of one.
 */
#include <stddef.h>

#include "tool/cmd.h"

static const char *const SYNOPSIS[] = {"[COMMAND]", NULL};
static const struct ebb_opt ROWS[] = {{0}};

const struct ebb_opt_spec ebb__spec_help = {
    .command = "help",
    .synopsis = SYNOPSIS,
    .rows = ROWS,
};

int ebb__cmd_help(int argc, char **argv)
{
    const struct ebb_command *command;
    int first;
    int status;

    if (!ebb__opt_parse(&ebb__spec_help, argc, argv, &first, &status))
        return status;
    if (argc - first > 1)
        return ebb__opt_usage(&ebb__spec_help, "one command at a time");
    if (first == argc) {
        ebb__command_list();
        return EBB_EXIT_OK;
    }
    command = ebb__command_find(argv[first]);
    if (command == NULL)
        return ebb__command_unknown(argv[first]);
    ebb__opt_help(command->spec);
    return EBB_EXIT_OK;
}
