/* SPDX-License-Identifier: MIT
 *
 * The ebb command: finds the row of the subcommand, calls it, and sees to it that its output has arrived.
 */
#include <errno.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>

#include "tool/cmd.h"
#include "tool/emit.h"

/* A report that is cut short by a full disk must not look like success. Returns the exit status. */
static int finish(int status)
{
    size_t pending = __fpending(stdout);
    bool lost = ferror(stdout) != 0;
    int err = ebb__emit_write_error();

    if (fflush(stdout) != 0 && err == 0)
        err = errno;
    /* A standard output that was closed from the start is no error when nothing was written to it. */
    if (fclose(stdout) != 0 && err == 0 && !(errno == EBADF && pending == 0))
        err = errno;
    if ((err == 0 && !lost) || err == EPIPE)
        return status;
    fprintf(stderr, "ebb: cannot write to standard output: %s\n",
            err == 0 ? "part of it was lost" : strerror(err));
    return status == EBB_EXIT_OK ? EBB_EXIT_FAILED : status;
}

static int dispatch(int argc, char **argv)
{
    const struct ebb_command *command;

    if (argc < 2) {
        fprintf(stderr, "ebb: which command? 'ebb help' lists them\n");
        return EBB_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("ebb %s\n", EBB_VERSION);
        return EBB_EXIT_OK;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        ebb__command_list();
        return EBB_EXIT_OK;
    }
    if (argv[1][0] == '-') {
        fprintf(stderr, "ebb: unknown option %s; there are --version and --help\n", argv[1]);
        return EBB_EXIT_USAGE;
    }
    command = ebb__command_find(argv[1]);
    if (command == NULL)
        return ebb__command_unknown(argv[1]);
    return command->function(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    return finish(dispatch(argc, argv));
}
