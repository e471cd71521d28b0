/* SPDX-License-Identifier: MIT
 *
 * What the operator has asked ebb top to show; see top_state.h.
 */
#include "tool/top_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct ebb_top_key_row ebb__top_keys[] = {
    {"M", "sort by resident memory"},
    {"P", "sort by processor time"},
    {"F", "sort by minor faults"},
    {"f", "sort by major faults"},
    {"S", "sort by swap"},
    {"O", "sort by OOM rank: whom the kernel kills first"},
    {"N", "sort by number"},
    {"R", "turn the order around"},
    {"/", "show only processes with this in their name"},
    {"K", "show or hide threads of the kernel"},
    {"Enter", "look at the marked process"},
    {"arrows", "move the mark; also PgUp, PgDn, Home, End"},
    {"space", "look now"},
    {"?", "this help; any key goes back"},
    {"Esc", "back; without a view to leave, drop the filter"},
    {"q", "quit"},
};

const size_t ebb__top_key_count = sizeof(ebb__top_keys) / sizeof(ebb__top_keys[0]);

/* ---- the list ---- */

bool ebb__top_filter(const char *filter, const struct ebb_proc *proc)
{
    char number[24];

    if (filter[0] == '\0' || strcasestr(proc->name, filter) != NULL)
        return true;
    snprintf(number, sizeof(number), "%d", (int)proc->pid);
    return strcmp(number, filter) == 0;
}

bool ebb__top_list_make(const struct ebb_top_state *state, const struct ebb_proc_table *table,
                        struct ebb_top_list *ret_list)
{
    /* What is being typed filters already. */
    const char *filter = state->editing ? state->edit : state->filter;
    size_t kept = 0;
    size_t *order = calloc(table->count == 0 ? 1 : table->count, sizeof(*order));

    if (order == NULL || !ebb__proc_order(table, state->sort, state->reverse, order)) {
        free(order);
        return false;
    }
    for (size_t i = 0; i < table->count; i++)
        if (ebb__top_filter(filter, &table->procs[order[i]]))
            order[kept++] = order[i];
    *ret_list = (struct ebb_top_list){.order = order, .count = kept};
    return true;
}

void ebb__top_list_fini(struct ebb_top_list *list)
{
    free(list->order);
    *list = (struct ebb_top_list){0};
}

/* ---- the mark ---- */

static void mark(struct ebb_top_state *state, const struct ebb_proc_table *table,
                 const struct ebb_top_list *list, size_t at)
{
    const struct ebb_proc *proc;

    if (list->count == 0) {
        state->selected = 0;
        state->selected_pid = 0;
        return;
    }
    state->selected = at < list->count ? at : list->count - 1;
    proc = &table->procs[list->order[state->selected]];
    state->selected_pid = proc->pid;
    state->selected_start = proc->stat.start_ticks;
    memcpy(state->selected_name, proc->name, sizeof(state->selected_name));
}

void ebb__top_settle(struct ebb_top_state *state, const struct ebb_proc_table *table,
                     const struct ebb_top_list *list)
{
    /* A view of one process is about that one, also when it has ended or the filter hides it. */
    for (size_t i = 0; i < list->count; i++) {
        const struct ebb_proc *proc = &table->procs[list->order[i]];

        if (proc->pid == state->selected_pid && proc->stat.start_ticks == state->selected_start) {
            state->selected = i;
            return;
        }
    }
    if (state->view != EBB_TOP_PROCESS)
        mark(state, table, list, state->selected);
}

static void move(struct ebb_top_state *state, const struct ebb_proc_table *table,
                 const struct ebb_top_list *list, int key)
{
    size_t page = state->page == 0 ? 1 : state->page;
    size_t at = state->selected;

    switch (key) {
    case EBB_TOP_KEY_UP:
        at -= at > 0;
        break;
    case EBB_TOP_KEY_DOWN:
        at++;
        break;
    case EBB_TOP_KEY_PAGE_UP:
        at -= at < page ? at : page;
        break;
    case EBB_TOP_KEY_PAGE_DOWN:
        at += page;
        break;
    case EBB_TOP_KEY_HOME:
        at = 0;
        break;
    default:
        at = list->count;
        break;
    }
    mark(state, table, list, at);
}

/* ---- keys ---- */

static void type(struct ebb_top_state *state, int key)
{
    size_t len = strlen(state->edit);

    if (key == EBB_TOP_KEY_ENTER) {
        memcpy(state->filter, state->edit, sizeof(state->filter));
        state->editing = false;
    } else if (key == EBB_TOP_KEY_ESCAPE) {
        state->editing = false;
    } else if (key == EBB_TOP_KEY_BACKSPACE) {
        /* A character of UTF-8 goes as a whole. */
        while (len > 0 && ((unsigned char)state->edit[len - 1] & 0xc0) == 0x80)
            len--;
        state->edit[len > 0 ? len - 1 : 0] = '\0';
    } else if (key >= ' ' && key < 256 && len + 1 < sizeof(state->edit)) {
        state->edit[len] = (char)key;
        state->edit[len + 1] = '\0';
    }
}

static void sort_by(struct ebb_top_state *state, enum ebb_proc_column column)
{
    state->sort = column;
    state->reverse = false;
    /* Who changes the order wants to see its head. */
    state->selected = 0;
    state->selected_pid = 0;
}

static void press_in_list(struct ebb_top_state *state, const struct ebb_proc_table *table,
                          const struct ebb_top_list *list, int key)
{
    static const struct {
        int key;
        enum ebb_proc_column column;
    } SORTS[] = {
        {'M', EBB_PROC_COL_RSS},    {'P', EBB_PROC_COL_CPU},  {'F', EBB_PROC_COL_MINFLT},
        {'f', EBB_PROC_COL_MAJFLT}, {'S', EBB_PROC_COL_SWAP}, {'O', EBB_PROC_COL_OOM},
        {'N', EBB_PROC_COL_PID},
    };

    for (size_t i = 0; i < sizeof(SORTS) / sizeof(SORTS[0]); i++)
        if (SORTS[i].key == key) {
            sort_by(state, SORTS[i].column);
            return;
        }
    switch (key) {
    case 'R':
        state->reverse = !state->reverse;
        break;
    case 'K':
        state->kernel = !state->kernel;
        state->look = true;
        break;
    case '/':
        state->editing = true;
        memcpy(state->edit, state->filter, sizeof(state->edit));
        break;
    case EBB_TOP_KEY_ESCAPE:
        state->filter[0] = '\0';
        break;
    case EBB_TOP_KEY_ENTER:
        if (state->selected_pid != 0) {
            state->view = EBB_TOP_PROCESS;
            state->look = true;
        }
        break;
    case EBB_TOP_KEY_UP:
    case EBB_TOP_KEY_DOWN:
    case EBB_TOP_KEY_PAGE_UP:
    case EBB_TOP_KEY_PAGE_DOWN:
    case EBB_TOP_KEY_HOME:
    case EBB_TOP_KEY_END:
        move(state, table, list, key);
        break;
    default:
        break;
    }
}

void ebb__top_press(struct ebb_top_state *state, const struct ebb_proc_table *table,
                    const struct ebb_top_list *list, int key)
{
    if (state->editing) {
        type(state, key);
        return;
    }
    if (state->view == EBB_TOP_HELP) {
        state->view = EBB_TOP_LIST;
        return;
    }
    if (key == '?') {
        state->view = EBB_TOP_HELP;
        return;
    }
    if (key == ' ') {
        state->look = true;
        return;
    }
    if (state->view == EBB_TOP_PROCESS) {
        if (key == 'q' || key == EBB_TOP_KEY_ESCAPE || key == EBB_TOP_KEY_ENTER)
            state->view = EBB_TOP_LIST;
        return;
    }
    if (key == 'q')
        state->quit = true;
    else
        press_in_list(state, table, list, key);
}
