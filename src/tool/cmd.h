/* SPDX-License-Identifier: MIT
 *
 * What every command of ebb is made of.
 *
 * To add a command `ebb foo`:
 *   1. Add its row to commands.def.
 *   2. Write cmd_foo.c: the option rows, `const struct ebb_opt_spec ebb__spec_foo`, and
 *      `int ebb__cmd_foo(int argc, char **argv)`, where argv[0] is "foo". Return an exit status of enum
 * ebb_exit.
 *   3. Add the file to meson.build. Facts come from src/probe; never link the heap.
 *   4. Write man/ebb-foo.1 with EXAMPLES, EXIT STATUS and FAILURE MODES; list it in man/meson.build.
 *   5. Add a black-box test to tests/cli.
 * Help, `ebb foo --help`, completion, and the tests that each command has a page and a help text, follow from
 * 1 and 2.
 *
 * Results go to standard output; everything else, one line each, to standard error as "ebb foo: ...". main()
 * flushes standard output and reports what was lost: commands need not check printf().
 */
#ifndef EBB_TOOL_CMD_H
#define EBB_TOOL_CMD_H

#include "tool/opt.h"

enum ebb_exit {
    EBB_EXIT_OK = 0,
    EBB_EXIT_FAILED = 1,
    EBB_EXIT_USAGE = 2,
    EBB_EXIT_NO_TARGET = 42, /* the process that was named does not exist */
};

enum ebb_category {
#define EBB_CATEGORY(id, title) EBB_CATEGORY_##id,
#include "tool/commands.def"
#undef EBB_CATEGORY
    EBB_CATEGORY_COUNT
};

struct ebb_command {
    const char *name;
    enum ebb_category category;
    const char *summary;
    int (*function)(int argc, char **argv);
    const struct ebb_opt_spec *spec;
};

#define EBB_COMMAND(name, category, summary)                                                                 \
    int ebb__cmd_##name(int argc, char **argv);                                                              \
    extern const struct ebb_opt_spec ebb__spec_##name;
#include "tool/commands.def"
#undef EBB_COMMAND

/* The table, and the titles of its categories. Both are in commands.c. */
extern const struct ebb_command ebb__commands[];
extern const unsigned ebb__command_count;
extern const char *const ebb__category_titles[EBB_CATEGORY_COUNT];

/* The row of that name, or NULL. */
const struct ebb_command *ebb__command_find(const char *name);

/* Says that there is no such command, with the nearest name when one is near. Returns EBB_EXIT_USAGE. */
int ebb__command_unknown(const char *name);

/* Prints the summary of all commands to standard output. */
void ebb__command_list(void);

#endif
