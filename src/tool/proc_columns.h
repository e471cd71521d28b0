/* SPDX-License-Identifier: MIT
 *
 * What can be shown of a process: columns from the rows of proc_columns.def, their cells, and orders by them.
 */
#ifndef EBB_TOOL_PROC_COLUMNS_H
#define EBB_TOOL_PROC_COLUMNS_H

#include "tool/emit.h"
#include "tool/opt.h"
#include "tool/proc_table.h"

enum ebb_proc_column {
#define EBB_PROC_COLUMN(id, name, key, heading, as, width, role, order, needs, cell, help) EBB_PROC_COL_##id,
#include "tool/proc_columns.def"
#undef EBB_PROC_COLUMN
    EBB_PROC_COLUMN_COUNT
};

struct ebb_proc_column_row {
    const char *name;
    struct ebb_column column;
    bool down; /* --sort: the largest first */
    unsigned needs;
};

extern const struct ebb_proc_column_row ebb__proc_columns[EBB_PROC_COLUMN_COUNT];

/* Columns in the order in which they are shown. */
struct ebb_proc_columns {
    enum ebb_proc_column ids[EBB_PROC_COLUMN_COUNT];
    unsigned count;
};

/* The column of a name or of a key in machine formats: true when there is one. */
bool ebb__proc_column_find(const char *text, size_t len, enum ebb_proc_column *ret_id);

/* Without --columns: what fits a wide screen and costs little; with `few`, for processes that were named, their mappings too. */
void ebb__proc_columns_default(bool few, struct ebb_proc_columns *ret_columns);

/* Adds a column, if it is not there yet, behind all others. */
void ebb__proc_columns_add(struct ebb_proc_columns *columns, enum ebb_proc_column id);

/* From a list "pid,rss,name", "+vmas,cgroup" (added to the columns that are there), or "all". EBB_EXIT_OK, or EBB_EXIT_USAGE after a line on
 * standard error. */
int ebb__proc_columns_parse(const struct ebb_opt_spec *spec, const char *list,
                            struct ebb_proc_columns *columns);

/* The needs of all columns together. */
unsigned ebb__proc_columns_needs(const struct ebb_proc_columns *columns);

/* The column that --sort names, `otherwise` for NULL. EBB_EXIT_OK, or EBB_EXIT_USAGE after a line on standard error. */
int ebb__proc_sort_parse(const struct ebb_opt_spec *spec, const char *text, enum ebb_proc_column otherwise,
                         enum ebb_proc_column *ret_id);

/* What the table knows of the process in that column. Texts are valid as long as the table. */
struct ebb_cell ebb__proc_cell(const struct ebb_proc_table *table, const struct ebb_proc *proc,
                               enum ebb_proc_column id);

/* Writes the indices of all rows in the order of a column; what is not known comes last, and the smaller number first where two are
 * equal. `ret_order` has room for table->count. False when memory has run out. */
bool ebb__proc_order(const struct ebb_proc_table *table, enum ebb_proc_column id, bool reverse,
                     size_t *ret_order);

/* Prints the rows of an order, at most `limit` (0: all), as the section "processes". */
void ebb__proc_emit(struct ebb_emit *emit, const struct ebb_proc_table *table,
                    const struct ebb_proc_columns *columns, const size_t *order, size_t limit);

/* ---- shared with threads ---- */

/* "R", "S", ... of the letter in stat. */
const char *ebb__proc_state(char state);

/* "TS", "FF", ... of the policy in stat. */
const char *ebb__proc_class(uint64_t policy);

struct ebb_cell ebb__proc_nice(int stat_err, const struct ebb_stat *stat);

#endif
