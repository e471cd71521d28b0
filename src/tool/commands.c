/* SPDX-License-Identifier: MIT
 *
 * The table of commands, and finding a row in it.
 */
#include <stdio.h>
#include <string.h>

#include "tool/cmd.h"

const char *const ebb__category_titles[EBB_CATEGORY_COUNT] = {
#define EBB_CATEGORY(id, title) [EBB_CATEGORY_##id] = title,
#include "tool/commands.def"
#undef EBB_CATEGORY
};

const struct ebb_command ebb__commands[] = {
#define EBB_COMMAND(name, category, summary)                                                                 \
    {#name, EBB_CATEGORY_##category, summary, ebb__cmd_##name, &ebb__spec_##name},
#include "tool/commands.def"
#undef EBB_COMMAND
};

const unsigned ebb__command_count = sizeof(ebb__commands) / sizeof(ebb__commands[0]);

/* Names longer than this are not worth a suggestion. */
#define NAME_MAX_FOR_DISTANCE 31

/* Two changed, missing or additional letters are a slip; more are another word. */
#define NEAR_ENOUGH 2

const struct ebb_command *ebb__command_find(const char *name)
{
    for (unsigned i = 0; i < ebb__command_count; i++)
        if (strcmp(ebb__commands[i].name, name) == 0)
            return &ebb__commands[i];
    return NULL;
}

/* The number of letters to insert, delete or replace to turn one name into the other (Levenshtein). */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[NAME_MAX_FOR_DISTANCE + 1];
    size_t len_a = strlen(a);
    size_t len_b = strlen(b);

    if (len_a > NAME_MAX_FOR_DISTANCE || len_b > NAME_MAX_FOR_DISTANCE)
        return NAME_MAX_FOR_DISTANCE;
    for (unsigned j = 0; j <= len_b; j++)
        row[j] = j;
    for (unsigned i = 1; i <= len_a; i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= len_b; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[len_b];
}

int ebb__command_unknown(const char *name)
{
    const char *nearest = NULL;
    unsigned least = NEAR_ENOUGH + 1;

    for (unsigned i = 0; i < ebb__command_count; i++) {
        unsigned d = distance(name, ebb__commands[i].name);

        if (d < least) {
            least = d;
            nearest = ebb__commands[i].name;
        }
    }
    if (nearest != NULL)
        fprintf(stderr, "ebb: '%s' is not a command; did you mean '%s'?\n", name, nearest);
    else
        fprintf(stderr, "ebb: '%s' is not a command; see 'ebb help'\n", name);
    return EBB_EXIT_USAGE;
}

void ebb__command_list(void)
{
    printf("Usage: ebb [--version] [--help] COMMAND [ARGUMENT...]\n"
           "\n"
           "Keeps a database server's memory within its means.\n");
    for (unsigned category = 0; category < EBB_CATEGORY_COUNT; category++) {
        printf("\n%s:\n", ebb__category_titles[category]);
        for (unsigned i = 0; i < ebb__command_count; i++)
            if (ebb__commands[i].category == category)
                printf("  %-12s %s\n", ebb__commands[i].name, ebb__commands[i].summary);
    }
    printf("\n'ebb help COMMAND' or 'ebb COMMAND --help' shows the options of a command.\n");
}
