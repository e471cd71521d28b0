/* SPDX-License-Identifier: MIT
 *
 * ebb completion: prints a shell's completion script, made from the tables of commands and options.
 */
#include <stdio.h>
#include <string.h>

#include "tool/cmd.h"

static const char *const SYNOPSIS[] = {"bash|zsh|fish", NULL};
static const char *const SHELLS[] = {"bash", "zsh", "fish", NULL};
static const struct ebb_opt ROWS[] = {{0}};

const struct ebb_opt_spec ebb__spec_completion = {
    .command = "completion",
    .synopsis = SYNOPSIS,
    .rows = ROWS,
    .operands = SHELLS,
};

/* The words that may follow the options of a command, one blank before each. */
static void print_operands(const struct ebb_command *command)
{
    if (strcmp(command->name, "help") == 0)
        for (unsigned i = 0; i < ebb__command_count; i++)
            printf(" %s", ebb__commands[i].name);
    for (const char *const *word = command->spec->operands; word != NULL && *word != NULL; word++)
        printf(" %s", *word);
}

static void print_bash_command(const struct ebb_command *command)
{
    printf("    %s)\n        words='--help", command->name);
    for (const struct ebb_opt *row = command->spec->rows; row->name != NULL; row++)
        printf(" --%s", row->name);
    print_operands(command);
    printf("'\n        valued='");
    for (const struct ebb_opt *row = command->spec->rows; row->name != NULL; row++) {
        if (row->kind != EBB_OPT_FLAG)
            printf(" --%s", row->name);
        if (row->kind != EBB_OPT_FLAG && row->letter != '\0')
            printf(" -%c", row->letter);
    }
    printf(" '\n        files='");
    for (const struct ebb_opt *row = command->spec->rows; row->name != NULL; row++) {
        if (row->kind == EBB_OPT_FILE)
            printf(" --%s", row->name);
        if (row->kind == EBB_OPT_FILE && row->letter != '\0')
            printf(" -%c", row->letter);
    }
    printf(" '\n        programs=%d\n        ;;\n", command->spec->completes_commands);
}

/* In the script, `valued` holds the options that take a value, `files` those whose value is a file;
 * `programs` is 1 when the first operand is a program, from which on completion is that program's own. */
static void print_bash(void)
{
    printf("# bash completion for ebb\n"
           "_ebb()\n{\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
           "    local words='' valued='' files='' programs=0 i\n"
           "    COMPREPLY=()\n"
           "    if (( COMP_CWORD == 1 )); then\n"
           "        COMPREPLY=($(compgen -W '--help --version");
    for (unsigned i = 0; i < ebb__command_count; i++)
        printf(" %s", ebb__commands[i].name);
    printf("' -- \"$cur\"))\n        return\n    fi\n    case ${COMP_WORDS[1]} in\n");
    for (unsigned i = 0; i < ebb__command_count; i++)
        print_bash_command(&ebb__commands[i]);
    printf("    *) return ;;\n    esac\n"
           "    if (( programs )); then\n"
           "        for (( i = 2; i < COMP_CWORD; i++ )); do\n"
           "            if [[ $valued == *\" ${COMP_WORDS[i]} \"* ]]; then (( i++ )); continue; fi\n"
           "            if [[ ${COMP_WORDS[i]} == -- ]]; then (( i++ )); break; fi\n"
           "            [[ ${COMP_WORDS[i]} == -* ]] || break\n"
           "        done\n"
           "        if (( i <= COMP_CWORD )) && [[ ${COMP_WORDS[i-1]} == -- || ${COMP_WORDS[i]} != -* ]] &&\n"
           "           [[ $valued != *\" $prev \"* ]]; then\n"
           "            if (( i < COMP_CWORD )); then\n"
           "                compopt -o default 2>/dev/null\n"
           "                declare -F _command_offset >/dev/null && _command_offset \"$i\"\n"
           "            else\n"
           "                COMPREPLY=($(compgen -c -- \"$cur\"))\n"
           "            fi\n"
           "            return\n"
           "        fi\n"
           "    fi\n"
           "    if [[ $files == *\" $prev \"* ]]; then\n"
           "        compopt -o filenames 2>/dev/null\n"
           "        COMPREPLY=($(compgen -f -- \"$cur\"))\n"
           "    elif [[ $valued != *\" $prev \"* ]]; then\n"
           "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
           "    fi\n}\n"
           "complete -F _ebb ebb\n");
}

/* Prints text between single quotes as the shells want it. `specials` are characters that zsh's _arguments
 * would take for its own. */
static void print_quoted(const char *text, const char *specials)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            printf("'\\'");
        else if (strchr(specials, *text) != NULL)
            putchar('\\');
        putchar(*text);
        if (*text == '\'')
            putchar('\'');
    }
}

static void print_zsh_option(const struct ebb_opt *row)
{
    const char *const action = row->kind == EBB_OPT_FILE  ? "_files"
                               : row->kind == EBB_OPT_PID ? "_pids"
                                                          : " ";

    for (int with_letter = 0; with_letter <= (row->letter != '\0'); with_letter++) {
        if (with_letter)
            printf(" \\\n            '%s-%c[", row->kind == EBB_OPT_LIST ? "*" : "", row->letter);
        else
            printf(" \\\n            '%s--%s[", row->kind == EBB_OPT_LIST ? "*" : "", row->name);
        print_quoted(row->help, "[]:\\");
        printf("]");
        if (row->kind != EBB_OPT_FLAG)
            printf(":%s:%s", row->value_name, action);
        printf("'");
    }
}

static void print_zsh(void)
{
    printf("#compdef ebb\n_ebb()\n{\n    local -a commands\n    commands=(\n");
    for (unsigned i = 0; i < ebb__command_count; i++) {
        printf("        '%s:", ebb__commands[i].name);
        print_quoted(ebb__commands[i].summary, ":\\");
        printf("'\n");
    }
    printf(
        "    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n        return\n    fi\n"
        "    local command=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $command in\n");
    for (unsigned i = 0; i < ebb__command_count; i++) {
        const struct ebb_command *command = &ebb__commands[i];

        printf("    %s)\n        _arguments%s '(-h --help)'{-h,--help}'[show the options]'", command->name,
               command->spec->completes_commands ? " -S" : "");
        for (const struct ebb_opt *row = command->spec->rows; row->name != NULL; row++)
            print_zsh_option(row);
        if (command->spec->completes_commands)
            printf(" \\\n            '*::program:_normal'");
        else if (command->spec->operands != NULL || strcmp(command->name, "help") == 0) {
            printf(" \\\n            ':operand:(");
            print_operands(command);
            printf(" )'");
        }
        printf("\n        ;;\n");
    }
    printf("    esac\n}\ncompdef _ebb ebb\n");
}

static void print_fish(void)
{
    printf("# fish completion for ebb\n"
           "complete -c ebb -f\n"
           "complete -c ebb -n __fish_use_subcommand -l help -d 'list the commands'\n"
           "complete -c ebb -n __fish_use_subcommand -l version -d 'print the version'\n");
    for (unsigned i = 0; i < ebb__command_count; i++) {
        const struct ebb_command *command = &ebb__commands[i];
        const char *name = command->name;

        printf("complete -c ebb -n __fish_use_subcommand -a %s -d '", name);
        print_quoted(command->summary, "");
        printf("'\ncomplete -c ebb -n '__fish_seen_subcommand_from %s' -s h -l help -d 'show the options'\n",
               name);
        for (const struct ebb_opt *row = command->spec->rows; row->name != NULL; row++) {
            printf("complete -c ebb -n '__fish_seen_subcommand_from %s'", name);
            if (row->letter != '\0')
                printf(" -s %c", row->letter);
            printf(" -l %s%s -d '", row->name,
                   row->kind == EBB_OPT_FLAG   ? ""
                   : row->kind == EBB_OPT_FILE ? " -r -F"
                                               : " -x");
            print_quoted(row->help, "");
            printf("'\n");
        }
        if (command->spec->completes_commands)
            printf("complete -c ebb -n '__fish_seen_subcommand_from %s' -a '(__fish_complete_subcommand)'\n",
                   name);
        if (command->spec->operands != NULL || strcmp(name, "help") == 0) {
            printf("complete -c ebb -n '__fish_seen_subcommand_from %s' -a '", name);
            print_operands(command);
            printf("'\n");
        }
    }
}

int ebb__cmd_completion(int argc, char **argv)
{
    int first;
    int status;

    if (!ebb__opt_parse(&ebb__spec_completion, argc, argv, &first, &status))
        return status;
    if (argc - first != 1)
        return ebb__opt_usage(&ebb__spec_completion, "for which shell? bash, zsh or fish");
    if (strcmp(argv[first], "bash") == 0)
        print_bash();
    else if (strcmp(argv[first], "zsh") == 0)
        print_zsh();
    else if (strcmp(argv[first], "fish") == 0)
        print_fish();
    else
        return ebb__opt_usage(&ebb__spec_completion, "'%s' is not bash, zsh or fish", argv[first]);
    return EBB_EXIT_OK;
}
