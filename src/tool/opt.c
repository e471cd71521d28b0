/* SPDX-License-Identifier: MIT
 *
 * Options of a command as rows; see opt.h.
 */
#include "tool/opt.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "tool/cmd.h"

/* More options than any command has; the arrays for getopt_long() are built on the stack. */
#define ROWS_MAX 64

/* Values of getopt_long() for long options: above every character. */
#define LONG_BASE 256
#define HELP_CODE (LONG_BASE + ROWS_MAX)

#define DAY_MS (24L * 60 * 60 * 1000)

int ebb__opt_usage(const struct ebb_opt_spec *spec, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "ebb %s: ", spec->command);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, " (see 'ebb %s --help')\n", spec->command);
    return EBB_EXIT_USAGE;
}

int ebb__opt_duration(const char *text, long *ret_ms)
{
    static const struct {
        const char *suffix;
        double ms;
    } UNITS[] = {{"", 1000}, {"s", 1000}, {"ms", 1}, {"m", 60000}};
    char *end;
    double value;

    /* strtod() would also take blanks, signs, hexadecimal numbers and words. */
    if (strspn(text, "0123456789.") == 0)
        return -EINVAL;
    if (text[strspn(text, "0123456789.")] != '\0' && strchr("sm", text[strspn(text, "0123456789.")]) == NULL)
        return -EINVAL;
    value = strtod(text, &end);
    if (end == text)
        return -EINVAL;
    for (unsigned i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
        if (strcmp(end, UNITS[i].suffix) != 0)
            continue;
        if (!(value * UNITS[i].ms <= (double)DAY_MS))
            return -EINVAL;
        *ret_ms = (long)(value * UNITS[i].ms);
        return 0;
    }
    return -EINVAL;
}

static int parse_pid(const char *text, pid_t *ret_pid)
{
    char *end;
    long value;

    if (text[0] < '1' || text[0] > '9')
        return -EINVAL;
    errno = 0;
    value = strtol(text, &end, 10);
    if (errno != 0 || *end != '\0' || value > INT_MAX)
        return -EINVAL;
    *ret_pid = (pid_t)value;
    return 0;
}

static int parse_count(const char *text, unsigned *ret_count)
{
    pid_t value;
    int err = parse_pid(text, &value);

    if (err == 0)
        *ret_count = (unsigned)value;
    return err;
}

static int append(struct ebb_opt_list *list, const char *value)
{
    if (list->count == EBB_OPT_LIST_MAX)
        return -E2BIG;
    list->items[list->count++] = value;
    return 0;
}

/* Stores the value of an option in its target. */
static int store(const struct ebb_opt *row, const char *value)
{
    switch (row->kind) {
    case EBB_OPT_FLAG:
        *(bool *)row->target = true;
        return 0;
    case EBB_OPT_TEXT:
    case EBB_OPT_FILE:
        *(const char **)row->target = value;
        return 0;
    case EBB_OPT_PID:
        return parse_pid(value, row->target);
    case EBB_OPT_DURATION:
        return ebb__opt_duration(value, row->target);
    case EBB_OPT_COUNT:
        return parse_count(value, row->target);
    case EBB_OPT_LIST:
        return append(row->target, value);
    }
    return -EINVAL;
}

/* True for a number that was refused for its size only. */
static bool is_above(const char *value)
{
    return value[0] >= '1' && value[0] <= '9' && value[strspn(value, "0123456789")] == '\0';
}

/* Says what a value should have been. */
static void complain_value(const struct ebb_opt_spec *spec, const struct ebb_opt *row, const char *value)
{
    if (row->kind == EBB_OPT_LIST)
        ebb__opt_usage(spec, "--%s may be given %d times", row->name, EBB_OPT_LIST_MAX);
    else if (row->kind != EBB_OPT_DURATION && is_above(value))
        ebb__opt_usage(spec, "--%s: '%s' is more than %d, the largest that it may be", row->name, value,
                       INT_MAX);
    else
        ebb__opt_usage(spec, "--%s: '%s' is not %s", row->name, value,
                       row->kind == EBB_OPT_PID ? "a process id"
                       : row->kind == EBB_OPT_COUNT
                           ? "a whole number above 0"
                           : "a duration such as 500ms, 2s, 0.5 or 1m, of 24 hours at most");
}

/* Builds the two descriptions that getopt_long() wants. */
static void describe(const struct ebb_opt_spec *spec, struct option *longs, char *shorts)
{
    int i;

    *shorts++ = spec->first_operand_ends ? '+' : ':';
    if (spec->first_operand_ends)
        *shorts++ = ':';
    *shorts++ = 'h';
    for (i = 0; spec->rows[i].name != NULL && i < ROWS_MAX; i++) {
        const struct ebb_opt *row = &spec->rows[i];

        longs[i] = (struct option){.name = row->name,
                                   .has_arg = row->kind == EBB_OPT_FLAG ? no_argument : required_argument,
                                   .val = LONG_BASE + i};
        if (row->letter != '\0') {
            *shorts++ = row->letter;
            if (row->kind != EBB_OPT_FLAG)
                *shorts++ = ':';
        }
    }
    longs[i++] = (struct option){.name = "help", .val = HELP_CODE};
    longs[i] = (struct option){0};
    *shorts = '\0';
}

static const struct ebb_opt *row_of(const struct ebb_opt_spec *spec, int code)
{
    if (code >= LONG_BASE)
        return &spec->rows[code - LONG_BASE];
    for (const struct ebb_opt *row = spec->rows; row->name != NULL; row++)
        if (row->letter == code)
            return row;
    return NULL;
}

/* Complains about what getopt_long() could not take. */
static void complain(const struct ebb_opt_spec *spec, int code, char **argv)
{
    const struct ebb_opt *row = optopt == 0 || optopt == HELP_CODE ? NULL : row_of(spec, optopt);

    if (code == ':' && row != NULL)
        ebb__opt_usage(spec, "option --%s needs a value, %s", row->name, row->value_name);
    else if (optopt != 0 && optopt < LONG_BASE)
        ebb__opt_usage(spec, "unknown option -%c", optopt);
    else if (optopt != 0)
        ebb__opt_usage(spec, "option %s takes no value", argv[optind - 1]);
    else
        ebb__opt_usage(spec, "unknown or ambiguous option %s", argv[optind - 1]);
}

bool ebb__opt_parse(const struct ebb_opt_spec *spec, int argc, char **argv, int *ret_first, int *ret_status)
{
    struct option longs[ROWS_MAX + 2];
    char shorts[2 * ROWS_MAX + 8];
    int code;

    describe(spec, longs, shorts);
    optind = 0; /* glibc: start afresh */
    opterr = 0;
    while ((code = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        const struct ebb_opt *row;

        if (code == 'h' || code == HELP_CODE) {
            ebb__opt_help(spec);
            *ret_status = EBB_EXIT_OK;
            return false;
        }
        if (code == '?' || code == ':') {
            complain(spec, code, argv);
            *ret_status = EBB_EXIT_USAGE;
            return false;
        }
        row = row_of(spec, code);
        if (row == NULL)
            continue; /* getopt_long() returns no other code */
        if (store(row, optarg) != 0) {
            complain_value(spec, row, optarg);
            *ret_status = EBB_EXIT_USAGE;
            return false;
        }
    }
    *ret_first = optind;
    return true;
}

void ebb__opt_help(const struct ebb_opt_spec *spec)
{
    const struct ebb_command *command = ebb__command_find(spec->command);
    bool takes_target = false;

    for (unsigned i = 0; spec->synopsis[i] != NULL; i++) {
        takes_target |= strstr(spec->synopsis[i], "TARGET") != NULL;
        printf("%s ebb %s %s\n", i == 0 ? "Usage:" : "      ", spec->command, spec->synopsis[i]);
    }
    if (command != NULL)
        printf("\n%s: %s.\n", spec->command, command->summary);
    printf("\nOptions:\n");
    for (const struct ebb_opt *row = spec->rows; row->name != NULL; row++) {
        char left[64];
        char letter[5] = "    ";

        if (row->letter != '\0')
            snprintf(letter, sizeof(letter), "-%c, ", row->letter);
        snprintf(left, sizeof(left), "%s--%s%s%s", letter, row->name, row->value_name == NULL ? "" : " ",
                 row->value_name == NULL ? "" : row->value_name);
        printf("  %-29s %s\n", left, row->help);
    }
    printf("  %-29s %s\n", "-h, --help", "show this text");
    if (takes_target)
        printf("\nTARGET is a pid, a name, pidfile:PATH, unit:NAME or cgroup:PATH; see ebb(1).\n");
    printf("\nMore in ebb-%s(1).\n", spec->command);
}
