/* SPDX-License-Identifier: MIT
 *
 * Columns of processes as options name them, and as reports print them; see proc_columns.h.
 */
#include <stdio.h>
#include <string.h>

#include "tool/cmd.h"
#include "tool/proc_columns.h"

/* All names, for who gave one that there is not. */
static int complain(const struct ebb_opt_spec *spec, const char *option, const char *text, size_t len)
{
    char names[1024];
    size_t used = 0;

    names[0] = '\0';
    for (unsigned i = 0; i < EBB_PROC_COLUMN_COUNT && used < sizeof(names); i++)
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i == 0 ? "" : ", ",
                                 ebb__proc_columns[i].name);
    return ebb__opt_usage(spec, "%s: '%.*s' is none of %s", option, (int)len, text, names);
}

int ebb__proc_columns_parse(const struct ebb_opt_spec *spec, const char *list,
                            struct ebb_proc_columns *columns)
{
    const char *at = list;

    if (*at == '+')
        at++;
    else
        columns->count = 0;
    if (strcmp(at, "all") == 0) {
        for (unsigned i = 0; i < EBB_PROC_COLUMN_COUNT; i++)
            ebb__proc_columns_add(columns, (enum ebb_proc_column)i);
        return EBB_EXIT_OK;
    }
    for (;;) {
        size_t len = strcspn(at, ",");
        enum ebb_proc_column id;

        if (!ebb__proc_column_find(at, len, &id))
            return complain(spec, "--columns", at, len);
        ebb__proc_columns_add(columns, id);
        if (at[len] == '\0')
            return EBB_EXIT_OK;
        at += len + 1;
    }
}

int ebb__proc_sort_parse(const struct ebb_opt_spec *spec, const char *text, enum ebb_proc_column otherwise,
                         enum ebb_proc_column *ret_id)
{
    *ret_id = otherwise;
    if (text == NULL || ebb__proc_column_find(text, strlen(text), ret_id))
        return EBB_EXIT_OK;
    return complain(spec, "--sort", text, strlen(text));
}

void ebb__proc_emit(struct ebb_emit *emit, const struct ebb_proc_table *table,
                    const struct ebb_proc_columns *columns, const size_t *order, size_t limit)
{
    /* The emitter looks at a section until the report ends. */
    static struct ebb_column chosen[EBB_PROC_COLUMN_COUNT];
    static struct ebb_section section = {.key = "processes", .columns = chosen};
    struct ebb_cell cells[EBB_PROC_COLUMN_COUNT];

    for (unsigned i = 0; i < columns->count; i++)
        chosen[i] = ebb__proc_columns[columns->ids[i]].column;
    section.column_count = columns->count;
    ebb__emit_section(emit, &section);
    for (size_t i = 0; i < table->count && (limit == 0 || i < limit); i++) {
        for (unsigned k = 0; k < columns->count; k++)
            cells[k] = ebb__proc_cell(table, &table->procs[order[i]], columns->ids[k]);
        ebb__emit_row(emit, cells);
    }
}
