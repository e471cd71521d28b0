/* SPDX-License-Identifier: MIT
 *
 * What the operator has asked ebb top to show, and what each key does to that. Pure: no terminal, no files.
 */
#ifndef EBB_TOOL_TOP_STATE_H
#define EBB_TOOL_TOP_STATE_H

#include <stdbool.h>
#include <stddef.h>

#include "tool/top_facts.h"

/* Keys that are no character of ASCII. */
enum ebb_top_key {
    EBB_TOP_KEY_UP = 256,
    EBB_TOP_KEY_DOWN,
    EBB_TOP_KEY_PAGE_UP,
    EBB_TOP_KEY_PAGE_DOWN,
    EBB_TOP_KEY_HOME,
    EBB_TOP_KEY_END,
    EBB_TOP_KEY_OTHER, /* that nobody has asked for */
};

#define EBB_TOP_KEY_ENTER     '\n'
#define EBB_TOP_KEY_ESCAPE    27
#define EBB_TOP_KEY_BACKSPACE 127

#define EBB_TOP_FILTER_BYTES 48

enum ebb_top_view { EBB_TOP_LIST, EBB_TOP_PROCESS, EBB_TOP_HELP };

struct ebb_top_state {
    enum ebb_top_view view;
    enum ebb_proc_column sort;
    bool reverse;
    bool kernel; /* threads of the kernel too: takes effect at the next look */
    bool ascii;
    char filter[EBB_TOP_FILTER_BYTES]; /* "": none */
    bool editing;                      /* `edit` is being typed */
    char edit[EBB_TOP_FILTER_BYTES];
    /* The process that is marked: by who it is, so that the mark stays with it when the order changes; and where it stood. */
    pid_t selected_pid;
    unsigned long long selected_start;
    char selected_name[EBB_STATUS_NAME_BYTES];
    size_t selected;
    size_t page; /* processes that the screen holds, as it was drawn last */
    bool quit;
    bool look; /* look now */
};

/* What a key does, for the help screen and the last line. */
struct ebb_top_key_row {
    const char *key;
    const char *what;
};

extern const struct ebb_top_key_row ebb__top_keys[];
extern const size_t ebb__top_key_count;

/* The processes that are shown, in order: those that the filter lets through. */
struct ebb_top_list {
    size_t *order; /* indices into the table */
    size_t count;
};

/* False when memory has run out. */
bool ebb__top_list_make(const struct ebb_top_state *state, const struct ebb_proc_table *table,
                        struct ebb_top_list *ret_list);
void ebb__top_list_fini(struct ebb_top_list *list);

/* True when the filter lets a process through: part of its name, in either case, or its number. */
bool ebb__top_filter(const char *filter, const struct ebb_proc *proc);

/* Finds the marked process in a new list; when it has gone, the mark stays where it stood. */
void ebb__top_settle(struct ebb_top_state *state, const struct ebb_proc_table *table,
                     const struct ebb_top_list *list);

/* Takes a key. */
void ebb__top_press(struct ebb_top_state *state, const struct ebb_proc_table *table,
                    const struct ebb_top_list *list, int key);

#endif
