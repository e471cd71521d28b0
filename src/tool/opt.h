/* SPDX-License-Identifier: MIT
 *
 * Options of a command as rows: parsing, the help text and completion all come from them.
 */
#ifndef EBB_TOOL_OPT_H
#define EBB_TOOL_OPT_H

#include <stdbool.h>

enum ebb_opt_kind {
    EBB_OPT_FLAG,     /* bool */
    EBB_OPT_TEXT,     /* const char * */
    EBB_OPT_FILE,     /* const char *, completed as a file name */
    EBB_OPT_PID,      /* pid_t, above 0 */
    EBB_OPT_DURATION, /* long, in milliseconds; written 500ms, 2s, 1m, or in seconds: 2, 0.5 */
    EBB_OPT_COUNT,    /* unsigned, above 0 */
    EBB_OPT_LIST,     /* struct ebb_opt_list: may be given again and again */
};

#define EBB_OPT_LIST_MAX 32

struct ebb_opt_list {
    const char *items[EBB_OPT_LIST_MAX];
    unsigned count;
};

struct ebb_opt {
    char letter;      /* '\0': has only the long name */
    const char *name; /* without the dashes */
    enum ebb_opt_kind kind;
    const char *value_name; /* for the help text; NULL for a flag */
    const char *help;
    void *target; /* a variable of the kind's type, which holds the default */
};

struct ebb_opt_spec {
    const char *command;
    const char *const *synopsis; /* what follows "ebb COMMAND", one line each, NULL-terminated */
    const struct ebb_opt *rows;  /* ends with a row whose name is NULL */
    const char *const *operands; /* words to complete after the options, NULL-terminated, or NULL */
    bool first_operand_ends;     /* options end at the first operand, because a program's own may follow */
    bool completes_commands;     /* operands are programs with their own arguments */
};

/* Sets the targets of the options. True: *ret_first is the index of the first operand in argv, which may have been reordered. False: the
 * command is over, with *ret_status: --help has been answered, or one line about what is wrong has been printed. */
bool ebb__opt_parse(const struct ebb_opt_spec *spec, int argc, char **argv, int *ret_first, int *ret_status);

/* Prints the help text of a command to standard output. */
void ebb__opt_help(const struct ebb_opt_spec *spec);

/* Prints "ebb COMMAND: MESSAGE (see 'ebb COMMAND --help')" and returns EBB_EXIT_USAGE. */
int ebb__opt_usage(const struct ebb_opt_spec *spec, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* 500ms, 2s, 1m, or a decimal number of seconds, at most a day: 0, or -EINVAL. */
int ebb__opt_duration(const char *text, long *ret_ms);

#endif
