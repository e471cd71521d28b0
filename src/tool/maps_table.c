/* SPDX-License-Identifier: MIT
 *
 * ebb maps without --group and --budget: a row for each mapping, in the columns of pmap -x or pmap -X, and a total.
 *
 * For people there is a table for each process, as pmap has it, and which columns of smaps are in it depends on what the first mapping has.
 * For machines there is one table for all processes with all columns, and one of totals.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/cmd.h"
#include "tool/maps.h"

enum column {
    C_PID,
    C_PROCESS,
    C_ADDRESS,
    C_END,
    C_PERM,
    C_OFFSET,
    C_DEVICE,
    C_INODE,
    C_SMAPS, /* one for each field */
    C_DIRTY = C_SMAPS + EBB_SMAPS_FIELD_COUNT,
    C_MODE,
    C_FLAGS,
    C_CLASS,
    C_EVIDENCE,
    C_MAPPING,
    C_COUNT
};

static const struct ebb_column COLUMNS[C_COUNT] = {
    [C_PID] = {"pid", "PID", EBB_AS_NUMBER, 7, true, false, NULL},
    [C_PROCESS] = {"process", "Process", EBB_AS_TEXT, -15, true, false, NULL},
    [C_ADDRESS] = {"address", "Address", EBB_AS_ADDRESS, -16, true, false, NULL},
    [C_END] = {"end_address", "End", EBB_AS_ADDRESS, -16, false, false, NULL},
    [C_PERM] = {"perm", "Perm", EBB_AS_TEXT, -4, true, false, NULL},
    [C_OFFSET] = {"offset", "Offset", EBB_AS_ADDRESS, 8, false, false, NULL},
    [C_DEVICE] = {"device", "Device", EBB_AS_TEXT, 6, false, false, NULL},
    [C_INODE] = {"inode", "Inode", EBB_AS_NUMBER, 8, false, false, NULL},
    [C_DIRTY] = {"dirty_bytes", "Dirty", EBB_AS_BYTES, 7, false, false, "Shared_Dirty and Private_Dirty"},
    [C_MODE] = {"mode", "Mode", EBB_AS_TEXT, -5, false, false, NULL},
    [C_FLAGS] = {"vm_flags", "VmFlags", EBB_AS_TEXT, -24, false, false, NULL},
    [C_CLASS] = {"class", "Class", EBB_AS_TEXT, -12, true, false, NULL},
    [C_EVIDENCE] = {"evidence", "Evidence", EBB_AS_TEXT, -12, false, false, NULL},
    [C_MAPPING] = {"mapping", "Mapping", EBB_AS_TEXT, 0, true, false, NULL},
};

/* What pmap -X leaves out; AnonHugePages is left out there too, but too often wanted. */
static bool is_left_out(unsigned field)
{
    return field == EBB_SMAPS_KERNEL_PAGE_SIZE || field == EBB_SMAPS_MMU_PAGE_SIZE ||
           field == EBB_SMAPS_SHARED_CLEAN || field == EBB_SMAPS_SHARED_DIRTY ||
           field == EBB_SMAPS_PRIVATE_CLEAN || field == EBB_SMAPS_PRIVATE_DIRTY;
}

/* The cells of all columns, and the texts that they point to. */
struct cells {
    struct ebb_cell all[C_COUNT];
    char perm[8];
    char mode[8];
    char offset[24];
    char device[24];
    char flags[3 * EBB_VM_FLAG_COUNT + 1];
    char mapping[64];
};

/* A section whose columns are chosen among COLUMNS when the first row is known. */
struct table {
    struct ebb_section section;
    struct ebb_column columns[C_COUNT];
    enum column chosen[C_COUNT];
};

/* ---- cells ---- */

static const char *basename_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

/* What pmap calls a mapping: the file; without one, what it is for, in its brackets. */
static const char *mapping_for_people(const struct ebb_maps_row *row, bool show_path, char buf[64])
{
    enum ebb_vma_name name = row->verdict.vma.name;

    if (name == EBB_VMA_NAME_SYSV)
        snprintf(buf, 64, "  [ shmid=0x%" PRIx64 " ]", row->map.inode);
    else if (row->file[0] == '/')
        return show_path ? row->file : basename_of(row->file);
    else if (row->file[0] == '\0' || name == EBB_VMA_NAME_HEAP || name == EBB_VMA_NAME_STACK)
        snprintf(buf, 64, "  [ %s ]", ebb__vma_classes[row->verdict.vma_class].key);
    else
        return row->file;
    return buf;
}

static void flags_text(uint64_t flags, char *ret_text)
{
    size_t used = 0;

    for (unsigned i = 0; i < EBB_VM_FLAG_COUNT; i++) {
        if ((flags & (UINT64_C(1) << i)) == 0)
            continue;
        if (used != 0)
            ret_text[used++] = ' ';
        memcpy(ret_text + used, ebb__vm_flag_letters((enum ebb_vm_flag)i), 2);
        used += 2;
    }
    ret_text[used] = '\0';
}

static void fill_facts(struct cells *cells, const struct ebb_fact facts[EBB_SMAPS_FIELD_COUNT])
{
    for (unsigned i = 0; i < EBB_SMAPS_FIELD_COUNT; i++)
        cells->all[C_SMAPS + i] = ebb__cell_fact(facts[i]);
    cells->all[C_DIRTY] = ebb__cell_fact(ebb__smap_dirty(facts));
}

static void fill_cells(const struct ebb_maps_ask *ask, const struct ebb_target *target,
                       const struct ebb_maps_row *row, struct cells *cells)
{
    const struct ebb_map *map = &row->map;
    bool human = ebb__emit_is_human(ask->emit);
    char r = map->readable ? 'r' : '-';
    char w = map->writable ? 'w' : '-';
    char x = map->executable ? 'x' : '-';

    snprintf(cells->perm, sizeof(cells->perm), "%c%c%c%c", r, w, x, map->shared ? 's' : 'p');
    snprintf(cells->mode, sizeof(cells->mode), "%c%c%c%c-", r, w, x, map->shared ? 's' : '-');
    snprintf(cells->offset, sizeof(cells->offset), "%08" PRIx64, map->offset_bytes);
    snprintf(cells->device, sizeof(cells->device), "%02x:%02x", map->dev_major, map->dev_minor);
    flags_text(row->flags, cells->flags);
    cells->all[C_PID] = ebb__cell_number((uint64_t)target->pid);
    cells->all[C_PROCESS] = ebb__cell_text(target->name);
    cells->all[C_ADDRESS] = ebb__cell_number(map->start);
    cells->all[C_END] = ebb__cell_number(map->end);
    cells->all[C_PERM] = ebb__cell_text(cells->perm);
    cells->all[C_OFFSET] = human ? ebb__cell_text(cells->offset) : ebb__cell_number(map->offset_bytes);
    cells->all[C_DEVICE] = ebb__cell_text(cells->device);
    cells->all[C_INODE] = ebb__cell_number(map->inode);
    fill_facts(cells, row->facts);
    cells->all[C_MODE] = ebb__cell_text(cells->mode);
    cells->all[C_CLASS] = ebb__cell_text(ebb__vma_classes[row->verdict.vma_class].key);
    cells->all[C_EVIDENCE] = ebb__cell_text(ebb__vma_rules[row->verdict.rule].key);
    cells->all[C_MAPPING] =
        ebb__cell_text(human ? mapping_for_people(row, ask->show_path, cells->mapping) : row->file);
    cells->all[C_FLAGS] = ebb__cell_text(cells->flags);
    /* Which flags there are is unknown for the reason for which the rest of smaps is. */
    if (!row->has_flags)
        cells->all[C_FLAGS] = ebb__cell_unknown(ebb__fact_why(
            row->facts[EBB_SMAPS_PSS].known ? ebb__fact_unknown(-ENODATA) : row->facts[EBB_SMAPS_PSS]));
}

/* ---- which columns ---- */

static void choose(struct table *table, enum column column)
{
    table->chosen[table->section.column_count] = column;
    table->columns[table->section.column_count++] = COLUMNS[column];
}

static int digits_of(uint64_t value)
{
    int digits = 1;

    while (value >= 10) {
        value /= 10;
        digits++;
    }
    return digits;
}

/* A column of smaps; as wide as the largest total can be. */
static void choose_field(struct table *table, const struct ebb_maps_walk *walk, unsigned field,
                         const char *heading, int least)
{
    const struct ebb_smaps_row *row = &ebb__smaps_rows[field];
    uint64_t most = field == EBB_SMAPS_SIZE ? walk->survey.total_bytes : walk->survey.rss_bytes;
    int width = digits_of(most >> 10);
    int heading_width = (int)strlen(heading);

    width = width < least ? least : width;
    choose(table, (enum column)(C_SMAPS + field));
    table->columns[table->section.column_count - 1] =
        (struct ebb_column){.key = row->name,
                            .heading = heading,
                            .as = row->kb ? EBB_AS_BYTES : EBB_AS_NUMBER,
                            .width = width < heading_width ? heading_width : width};
}

static void choose_human(struct table *table, const struct ebb_maps_ask *ask,
                         const struct ebb_maps_walk *walk, const struct ebb_maps_row *first)
{
    if (!ask->extended) {
        choose(table, C_ADDRESS);
        choose_field(table, walk, EBB_SMAPS_SIZE, ask->emit->unit == 'K' ? "Kbytes" : "Size", 7);
        choose_field(table, walk, EBB_SMAPS_RSS, "RSS", 7);
        choose(table, C_DIRTY);
        choose(table, C_MODE);
        choose(table, C_MAPPING);
        return;
    }
    for (enum column column = C_ADDRESS; column <= C_INODE; column++)
        if (column != C_END)
            choose(table, column);
    for (unsigned i = 0; i < EBB_SMAPS_FIELD_COUNT; i++)
        if (!is_left_out(i) && (first->facts[i].known || i == EBB_SMAPS_RSS))
            choose_field(table, walk, i, ebb__smaps_rows[i].key, 4);
    choose(table, C_CLASS);
    choose(table, C_EVIDENCE);
    choose(table, C_MAPPING);
}

static void choose_machine(struct table *table, const struct ebb_maps_ask *ask,
                           const struct ebb_maps_walk *walk)
{
    static const unsigned SHORT[] = {EBB_SMAPS_SIZE, EBB_SMAPS_RSS, EBB_SMAPS_SWAP};

    choose(table, C_PID);
    choose(table, C_PROCESS);
    choose(table, C_ADDRESS);
    choose(table, C_END);
    choose(table, C_PERM);
    if (ask->extended) {
        choose(table, C_OFFSET);
        choose(table, C_DEVICE);
        choose(table, C_INODE);
        for (unsigned i = 0; i < EBB_SMAPS_FIELD_COUNT; i++)
            choose_field(table, walk, i, ebb__smaps_rows[i].key, 0);
        choose(table, C_FLAGS);
    } else {
        for (unsigned i = 0; i < sizeof(SHORT) / sizeof(SHORT[0]); i++)
            choose_field(table, walk, SHORT[i], ebb__smaps_rows[SHORT[i]].key, 0);
    }
    choose(table, C_DIRTY);
    choose(table, C_CLASS);
    choose(table, C_EVIDENCE);
    choose(table, C_MAPPING);
}

static void emit_chosen(const struct ebb_maps_ask *ask, const struct table *table, const struct cells *cells)
{
    struct ebb_cell row[C_COUNT];

    for (unsigned i = 0; i < table->section.column_count; i++)
        row[i] = cells->all[table->chosen[i]];
    ebb__emit_row(ask->emit, row);
}

/* ---- rows in another order than they come in ---- */

struct kept {
    uint64_t key;
    struct ebb_maps_row row;
    char *file;
};

struct keeper {
    struct kept *rows;
    size_t count;
    size_t room;
};

static bool keep(struct keeper *keeper, const struct ebb_maps_row *row, int sort)
{
    struct ebb_fact key = sort == EBB_MAPS_SORT_DIRTY ? ebb__smap_dirty(row->facts) : row->facts[sort];
    char *file = strdup(row->file);

    if (file != NULL && keeper->count == keeper->room) {
        size_t room = keeper->room == 0 ? 64 : 2 * keeper->room;
        struct kept *rows = reallocarray(keeper->rows, room, sizeof(*rows));

        if (rows == NULL) {
            free(file);
            return false;
        }
        keeper->rows = rows;
        keeper->room = room;
    }
    if (file == NULL)
        return false;
    keeper->rows[keeper->count++] = (struct kept){.key = ebb__fact_or(key, 0), .row = *row, .file = file};
    return true;
}

/* Largest first; what is equally large stays in the order of addresses. */
static int compare(const void *a, const void *b)
{
    const struct kept *left = a;
    const struct kept *right = b;

    if (left->key != right->key)
        return left->key > right->key ? -1 : 1;
    return left->row.map.start < right->row.map.start ? -1 : 1;
}

/* ---- one process ---- */

static void emit_total(const struct ebb_maps_ask *ask, const struct table *table,
                       const struct ebb_maps_sum *sum)
{
    static const char DASHES[] = "--------------------------------";
    struct cells cells = {0};

    if (!ask->extended) {
        cells.all[C_ADDRESS] = ebb__cell_text("----------------");
        for (unsigned i = 0; i < table->section.column_count; i++)
            if (table->chosen[i] >= C_SMAPS && table->chosen[i] <= C_DIRTY) {
                int width = table->columns[i].width;

                cells.all[table->chosen[i]] =
                    ebb__cell_text(DASHES + sizeof(DASHES) - 1 - (size_t)(width < 32 ? width : 32));
            }
        cells.all[C_MODE] = ebb__cell_text("");
        cells.all[C_MAPPING] = ebb__cell_text("");
        emit_chosen(ask, table, &cells);
    }
    fill_facts(&cells, sum->facts);
    for (unsigned i = 0; i < C_COUNT; i++)
        if (i < C_SMAPS || i > C_DIRTY || (i < C_DIRTY && !ebb__smaps_rows[i - C_SMAPS].kb))
            cells.all[i] = ebb__cell_text("");
    cells.all[C_ADDRESS] = ebb__cell_text(ask->emit->unit == 'K' ? "total kB" : "total");
    emit_chosen(ask, table, &cells);
}

static void emit_rows(const struct ebb_maps_ask *ask, const struct ebb_target *target,
                      const struct table *table, struct keeper *keeper)
{
    static struct cells cells;

    if (keeper->count != 0)
        qsort(keeper->rows, keeper->count, sizeof(keeper->rows[0]), compare);
    for (size_t i = 0; i < keeper->count; i++) {
        keeper->rows[i].row.file = keeper->rows[i].file;
        fill_cells(ask, target, &keeper->rows[i].row, &cells);
        emit_chosen(ask, table, &cells);
        free(keeper->rows[i].file);
    }
    free(keeper->rows);
}

/* Emits the rows of one process; begins the section when it is `table`'s first row. An exit status. */
static int one_process(const struct ebb_maps_ask *ask, const struct ebb_target *target, struct table *table,
                       struct ebb_maps_sum *ret_sum)
{
    static struct ebb_maps_walk walk;
    static struct cells cells;
    struct keeper keeper = {0};
    const struct ebb_maps_row *row;
    bool human = ebb__emit_is_human(ask->emit);
    int status = ebb__maps_start(ask, target, &walk);
    int got = 0;

    if (status != EBB_EXIT_OK)
        return status;
    while ((got = ebb__maps_walk_next(&walk, &row)) > 0) {
        if (table->section.column_count == 0) {
            if (human)
                choose_human(table, ask, &walk, row);
            else
                choose_machine(table, ask, &walk);
            ebb__emit_section(ask->emit, &table->section);
        }
        ebb__maps_sum_add(ret_sum, row->facts);
        if (ask->sort == EBB_MAPS_SORT_ADDRESS) {
            fill_cells(ask, target, row, &cells);
            emit_chosen(ask, table, &cells);
        } else if (!keep(&keeper, row, ask->sort)) {
            got = -ENOMEM;
            break;
        }
    }
    emit_rows(ask, target, table, &keeper);
    if (human && ret_sum->count != 0)
        emit_total(ask, table, ret_sum);
    return ebb__maps_finish(&walk, got, ret_sum->count);
}

/* ---- all of them ---- */

static void init_table(struct table *table, const char *title)
{
    memset(table, 0, sizeof(*table));
    table->section = (struct ebb_section){.key = "mappings", .title = title, .columns = table->columns};
}

static int table_for_people(const struct ebb_maps_ask *ask)
{
    /* Two by turns: the headings of a section that follows itself are not repeated. */
    static struct table tables[2];
    int status = EBB_EXIT_OK;

    for (unsigned i = 0; i < ask->target_count; i++) {
        char title[EBB_MAPS_TITLE_BYTES];
        struct ebb_maps_sum sum = {0};

        ebb__maps_title(&ask->targets[i], title);
        init_table(&tables[i % 2], title);
        status = ebb__maps_worse(status, one_process(ask, &ask->targets[i], &tables[i % 2], &sum));
    }
    return status;
}

static const struct ebb_column TOTAL_COLUMNS[] = {
    {"pid", "PID", EBB_AS_NUMBER, 7, true, false, NULL},
    {"process", "Process", EBB_AS_TEXT, -15, true, false, NULL},
    {"mappings", "Maps", EBB_AS_NUMBER, 7, false, false, "mappings, with [vsyscall]"},
    {"size_bytes", "Size", EBB_AS_BYTES, 7, false, false, NULL},
    {"rss_bytes", "RSS", EBB_AS_BYTES, 7, false, false, NULL},
    {"pss_bytes", "PSS", EBB_AS_BYTES, 7, false, false, NULL},
    {"dirty_bytes", "Dirty", EBB_AS_BYTES, 7, false, false, NULL},
    {"swap_bytes", "Swap", EBB_AS_BYTES, 7, false, false, NULL},
};

static const struct ebb_section TOTALS = {"totals", "Totals", false, TOTAL_COLUMNS,
                                          sizeof(TOTAL_COLUMNS) / sizeof(TOTAL_COLUMNS[0])};

static int table_for_machines(const struct ebb_maps_ask *ask)
{
    static struct table table;
    struct ebb_maps_sum *sums = calloc(ask->target_count, sizeof(*sums));
    int status = EBB_EXIT_OK;

    if (sums == NULL) {
        fprintf(stderr, "ebb maps: %s\n", strerror(ENOMEM));
        return EBB_EXIT_FAILED;
    }
    init_table(&table, NULL);
    for (unsigned i = 0; i < ask->target_count; i++)
        status = ebb__maps_worse(status, one_process(ask, &ask->targets[i], &table, &sums[i]));
    ebb__emit_section(ask->emit, &TOTALS);
    for (unsigned i = 0; i < ask->target_count; i++) {
        const struct ebb_fact *facts = sums[i].facts;
        struct ebb_cell row[] = {
            ebb__cell_number((uint64_t)ask->targets[i].pid),
            ebb__cell_text(ask->targets[i].name),
            ebb__cell_number(sums[i].count),
            ebb__cell_fact(facts[EBB_SMAPS_SIZE]),
            ebb__cell_fact(facts[EBB_SMAPS_RSS]),
            ebb__cell_fact(facts[EBB_SMAPS_PSS]),
            ebb__cell_fact(ebb__smap_dirty(facts)),
            ebb__cell_fact(facts[EBB_SMAPS_SWAP]),
        };

        if (sums[i].count != 0)
            ebb__emit_row(ask->emit, row);
    }
    free(sums);
    return status;
}

int ebb__maps_table(const struct ebb_maps_ask *ask)
{
    int status;

    ebb__emit_begin(ask->emit);
    status = ebb__emit_is_human(ask->emit) ? table_for_people(ask) : table_for_machines(ask);
    ebb__emit_end(ask->emit);
    return status;
}
