/* SPDX-License-Identifier: MIT
 * Options: parsed once from the environment, read by everybody as plain fields. */
#ifndef EBB_CONF_H
#define EBB_CONF_H

#include "base/base.h"

/* Values in effect. Written by ebb__conf_parse() before a second thread exists, constant after. */
struct ebb_conf {
#define OPTION(name, kind, def, min, max, unit, help) long name;
#include "conf/options.def"
#undef OPTION
};
extern struct ebb_conf ebb__conf;

enum { EBB_FOREIGN_FORWARD = 0, EBB_FOREIGN_ABORT = 1 };

/* One row of the table, for help, tests and ebb_option_get(). */
struct ebb_option {
    const char *name;
    bool is_choice;
    long def, min, max;
    const char *unit;
    const char *help;
    long *value;
};

/* Rows in the order of options.def; *ret_count of them. */
const struct ebb_option *ebb__conf_rows(unsigned *ret_count);

/* Applies "name:value,name:value". A bad piece leaves its option as it is and calls complain(line) with one
 * line that names the option, its range and the value used instead. Returns the number of bad pieces. NULL
 * text is empty. */
unsigned ebb__conf_parse(const char *text, void (*complain)(const char *line));

/* Value in effect, or -ENOENT. */
long ebb__conf_get(const char *name);

#endif
