/* SPDX-License-Identifier: MIT
 *
 * What can be shown of a process; see proc_columns.h.
 */
#include "tool/proc_columns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool/users.h"

#define ROLE_VALUE   .label = false
#define ROLE_COUNTER .counter = true
#define ROLE_LABEL   .label = true
#define ORDER_DOWN   true
#define ORDER_UP     false

const struct ebb_proc_column_row ebb__proc_columns[EBB_PROC_COLUMN_COUNT] = {
#define EBB_PROC_COLUMN(id, row_name, row_key, row_heading, row_as, row_width, role, order, row_needs, cell, \
                        row_help)                                                                            \
    [EBB_PROC_COL_##id] = {.name = (row_name),                                                               \
                           .column = {.key = (row_key),                                                      \
                                      .heading = (row_heading),                                              \
                                      .as = EBB_AS_##row_as,                                                 \
                                      .width = (row_width),                                                  \
                                      ROLE_##role,                                                           \
                                      .help = (row_help)},                                                   \
                           .down = ORDER_##order,                                                            \
                           .needs = (row_needs)},
#include "tool/proc_columns.def"
#undef EBB_PROC_COLUMN
};

_Static_assert(EBB_PROC_COLUMN_COUNT <= EBB_EMIT_COLUMNS_MAX, "--columns all fits a section");

/* ---- cells ---- */

static const char KERNEL_THREAD[] = "a thread of the kernel has no memory of its own";
static const char NO_ANSWER[] = "its stat cannot be read";

#define OF_STAT(cell) (p->stat_err == 0 ? (cell) : ebb__cell_unknown(NO_ANSWER))

const char *ebb__proc_state(char state)
{
    static const char LETTERS[26][2] = {"A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M",
                                        "N", "O", "P", "Q", "R", "S", "T", "U", "V", "W", "X", "Y", "Z"};

    if (state >= 'a' && state <= 'z')
        return "t"; /* stopped by a debugger: the only small letter of today's kernels */
    return state >= 'A' && state <= 'Z' ? LETTERS[state - 'A'] : "?";
}

const char *ebb__proc_class(uint64_t policy)
{
    static const char *const CLASSES[] = {"TS", "FF", "RR", "B", "ISO", "IDL", "DLN", "EXT"};

    return policy < sizeof(CLASSES) / sizeof(CLASSES[0]) ? CLASSES[policy] : "?";
}

struct ebb_cell ebb__proc_nice(int stat_err, const struct ebb_stat *stat)
{
    enum { FIFO = 1, RR = 2, DEADLINE = 6 };

    if (stat_err != 0)
        return ebb__cell_unknown(NO_ANSWER);
    if (stat->policy == FIFO || stat->policy == RR || stat->policy == DEADLINE)
        return ebb__cell_unknown("a real-time process has none");
    return ebb__cell_signed(stat->nice);
}

/* Why a process has no such line in status. */
static const char *why_missing(const struct ebb_proc *p)
{
    if (p->status_err != 0)
        return ebb__fact_why(ebb__fact_unknown(p->status_err));
    if (p->kernel)
        return KERNEL_THREAD;
    if (ebb__status_has(&p->status, EBB_STATUS_STATE) && strchr("ZX", p->status.state) != NULL)
        return "it has ended and waits for its parent";
    if (!ebb__status_has(&p->status, EBB_STATUS_VM_SIZE))
        return "it has no memory of its own";
    return ebb__fact_why(ebb__fact_unknown(-ENODATA));
}

static bool has(const struct ebb_proc *p, enum ebb_status_field field)
{
    return p->status_err == 0 && ebb__status_has(&p->status, field);
}

static struct ebb_cell memory_cell(const struct ebb_proc *p, enum ebb_status_field field, uint64_t bytes)
{
    return has(p, field) ? ebb__cell_number(bytes) : ebb__cell_unknown(why_missing(p));
}

static struct ebb_cell shared_cell(const struct ebb_proc *p)
{
    if (!has(p, EBB_STATUS_RSS_FILE) || !has(p, EBB_STATUS_RSS_SHMEM))
        return ebb__cell_unknown(why_missing(p));
    return ebb__cell_number(p->status.rss_file_bytes + p->status.rss_shmem_bytes);
}

/* The kernel writes the peak down only when RSS is about to fall, so RSS may stand above it. */
static struct ebb_cell peak_cell(const struct ebb_proc *p)
{
    if (!has(p, EBB_STATUS_VM_HWM))
        return ebb__cell_unknown(why_missing(p));
    if (has(p, EBB_STATUS_VM_RSS) && p->status.vm_rss_bytes > p->status.vm_hwm_bytes)
        return ebb__cell_number(p->status.vm_rss_bytes);
    return ebb__cell_number(p->status.vm_hwm_bytes);
}

static struct ebb_cell share_of(uint64_t part, uint64_t whole)
{
    return ebb__cell_real(100.0 * (double)part / (double)whole);
}

static struct ebb_cell share_cell(const struct ebb_proc *p, const struct ebb_proc_table *t)
{
    if (!has(p, EBB_STATUS_VM_RSS))
        return ebb__cell_unknown(why_missing(p));
    if (!t->mem_total_bytes.known || t->mem_total_bytes.value == 0)
        return ebb__cell_unknown("the host's memory is not known");
    return share_of(p->status.vm_rss_bytes, t->mem_total_bytes.value);
}

static struct ebb_cell user_cell(const struct ebb_proc_table *t, const struct ebb_proc *p)
{
    return has(p, EBB_STATUS_UID_REAL) ? ebb__cell_text(ebb__users_name(t->root, (uid_t)p->status.uid_real))
                                       : ebb__cell_unknown(why_missing(p));
}

static struct ebb_cell rate_cell(const struct ebb_proc *p, double rate)
{
    return p->rates.known ? ebb__cell_real(rate) : ebb__cell_unknown(p->rates.why);
}

/* A fact that only processes with memory have. */
static struct ebb_cell user_fact_cell(const struct ebb_proc *p, struct ebb_fact fact)
{
    return p->kernel ? ebb__cell_unknown(KERNEL_THREAD) : ebb__cell_fact(fact);
}

static struct ebb_cell vma_cell(const struct ebb_proc *p)
{
    if (!p->kernel && !p->vma_count.known && p->vma_count.err == -ESRCH)
        return ebb__cell_unknown("it has ended and waits for its parent");
    return user_fact_cell(p, p->vma_count);
}

static struct ebb_cell vma_share_cell(const struct ebb_proc_table *t, const struct ebb_proc *p)
{
    if (p->kernel || !p->vma_count.known)
        return vma_cell(p);
    if (!t->max_map_count.known || t->max_map_count.value == 0)
        return ebb__cell_unknown("vm.max_map_count cannot be read");
    return share_of(p->vma_count.value, t->max_map_count.value);
}

static bool is_exempt(const struct ebb_proc *p)
{
    return p->oom_adj.known && (int64_t)p->oom_adj.value == -1000;
}

static struct ebb_cell rank_cell(const struct ebb_proc *p)
{
    if (p->oom_rank != 0)
        return ebb__cell_number(p->oom_rank);
    if (p->kernel)
        return ebb__cell_unknown(KERNEL_THREAD);
    if (!p->oom_score.known)
        return ebb__cell_fact(p->oom_score);
    return ebb__cell_unknown(is_exempt(p) ? "its oom_score_adj is -1000: it is never killed"
                                          : "its oom_score is 0: all others go first, if it can be killed");
}

static struct ebb_cell adj_cell(const struct ebb_proc *p)
{
    return !p->kernel && p->oom_adj.known ? ebb__cell_signed((int64_t)p->oom_adj.value)
                                          : user_fact_cell(p, p->oom_adj);
}

static const char *why_no_cgroup(const struct ebb_proc *p)
{
    return p->cgroup_err == -ENODEV  ? "no memory controller is mounted on this host"
           : p->cgroup_err == -EXDEV ? "its memory cgroup lies outside of what is mounted here"
                                     : ebb__fact_why(ebb__fact_unknown(p->cgroup_err));
}

static struct ebb_cell cgroup_cell(const struct ebb_proc *p)
{
    return p->cgroup != NULL ? ebb__cell_text(p->cgroup->path) : ebb__cell_unknown(why_no_cgroup(p));
}

static struct ebb_cell cgroup_share_cell(const struct ebb_proc *p)
{
    if (p->cgroup == NULL)
        return ebb__cell_unknown(why_no_cgroup(p));
    if (!p->cgroup->known)
        return ebb__cell_unknown(p->cgroup->why);
    return share_of(p->cgroup->usage_bytes, p->cgroup->limit_bytes);
}

static struct ebb_cell time_cell(const struct ebb_proc_table *t, const struct ebb_proc *p)
{
    if (p->stat_err != 0)
        return ebb__cell_unknown(NO_ANSWER);
    if (!t->host.clock_ticks.known || t->host.clock_ticks.value == 0)
        return ebb__cell_fact(t->host.clock_ticks);
    return ebb__cell_number((p->stat.user_ticks + p->stat.system_ticks) * 1000 / t->host.clock_ticks.value);
}

static struct ebb_cell age_cell(const struct ebb_proc_table *t, const struct ebb_proc *p)
{
    uint64_t start_ms;

    if (p->stat_err != 0)
        return ebb__cell_unknown(NO_ANSWER);
    if (!t->host.clock_ticks.known || t->host.clock_ticks.value == 0)
        return ebb__cell_fact(t->host.clock_ticks);
    if (!t->uptime_ms.known)
        return ebb__cell_fact(t->uptime_ms);
    start_ms = p->stat.start_ticks * 1000 / t->host.clock_ticks.value;
    return ebb__cell_number(t->uptime_ms.value > start_ms ? t->uptime_ms.value - start_ms : 0);
}

static struct ebb_cell allocator_cell(const struct ebb_proc *p, bool evidence)
{
    if (p->allocator != NULL)
        return ebb__cell_text(evidence ? p->allocator->evidence : p->allocator->name);
    if (p->kernel)
        return ebb__cell_unknown(KERNEL_THREAD);
    switch (p->allocator_err) {
    case -EOPNOTSUPP:
        return ebb__cell_unknown("a captured tree has no memory to look at");
    case -EAGAIN:
        return ebb__cell_unknown("it is still being started");
    case -ENOEXEC:
        return ebb__cell_unknown("it is no program that we understand");
    case -ENOENT:
    case -ESRCH:
        return ebb__cell_unknown("it has ended and waits for its parent");
    default:
        return ebb__cell_unknown(ebb__fact_why(ebb__fact_unknown(p->allocator_err)));
    }
}

static struct ebb_cell command_cell(const struct ebb_proc *p)
{
    return p->command != NULL ? ebb__cell_text(p->command)
                              : ebb__cell_unknown(ebb__fact_why(ebb__fact_unknown(p->command_err)));
}

struct ebb_cell ebb__proc_cell(const struct ebb_proc_table *t, const struct ebb_proc *p,
                               enum ebb_proc_column id)
{
    switch (id) {
#define EBB_PROC_COLUMN(id, name, key, heading, as, width, role, order, needs, cell, help)                   \
    case EBB_PROC_COL_##id:                                                                                  \
        return (cell);
#include "tool/proc_columns.def"
#undef EBB_PROC_COLUMN
    case EBB_PROC_COLUMN_COUNT:
        break;
    }
    return ebb__cell_unknown(NO_ANSWER);
}

/* ---- which columns ---- */

bool ebb__proc_column_find(const char *text, size_t len, enum ebb_proc_column *ret_id)
{
    for (unsigned i = 0; i < EBB_PROC_COLUMN_COUNT; i++) {
        const struct ebb_proc_column_row *row = &ebb__proc_columns[i];

        if ((strlen(row->name) == len && memcmp(row->name, text, len) == 0) ||
            (strlen(row->column.key) == len && memcmp(row->column.key, text, len) == 0)) {
            *ret_id = (enum ebb_proc_column)i;
            return true;
        }
    }
    return false;
}

void ebb__proc_columns_default(bool few, struct ebb_proc_columns *ret_columns)
{
    static const enum ebb_proc_column IDS[] = {
        EBB_PROC_COL_PID,  EBB_PROC_COL_USER,      EBB_PROC_COL_VIRT,   EBB_PROC_COL_RSS,
        EBB_PROC_COL_ANON, EBB_PROC_COL_FILE,      EBB_PROC_COL_SHMEM,  EBB_PROC_COL_SHR,
        EBB_PROC_COL_MEM,  EBB_PROC_COL_CPU,       EBB_PROC_COL_MINFLT, EBB_PROC_COL_MAJFLT,
        EBB_PROC_COL_SWAP, EBB_PROC_COL_HWM,       EBB_PROC_COL_PTE,    EBB_PROC_COL_THREADS,
        EBB_PROC_COL_VMAS, EBB_PROC_COL_VMA_SHARE, EBB_PROC_COL_OOM,    EBB_PROC_COL_CGROUP_SHARE,
        EBB_PROC_COL_NAME,
    };

    ret_columns->count = 0;
    for (unsigned i = 0; i < sizeof(IDS) / sizeof(IDS[0]); i++)
        if (few || (ebb__proc_columns[IDS[i]].needs & EBB_PROC_VMAS) == 0)
            ret_columns->ids[ret_columns->count++] = IDS[i];
}

void ebb__proc_columns_add(struct ebb_proc_columns *columns, enum ebb_proc_column id)
{
    for (unsigned i = 0; i < columns->count; i++)
        if (columns->ids[i] == id)
            return;
    columns->ids[columns->count++] = id;
}

unsigned ebb__proc_columns_needs(const struct ebb_proc_columns *columns)
{
    unsigned needs = EBB_PROC_STAT;

    for (unsigned i = 0; i < columns->count; i++)
        needs |= ebb__proc_columns[columns->ids[i]].needs;
    return needs;
}

/* ---- orders ---- */

struct sort_key {
    size_t index;
    bool known;
    double number;
    const char *text; /* NULL: by the number */
};

static void take_key(const struct ebb_cell *cell, struct sort_key *key)
{
    key->known = true;
    switch (cell->kind) {
    case EBB_CELL_TEXT:
        key->text = cell->text;
        break;
    case EBB_CELL_NUMBER:
        key->number = (double)cell->number;
        break;
    case EBB_CELL_SIGNED:
        key->number = (double)cell->signed_number;
        break;
    case EBB_CELL_REAL:
        key->number = cell->real;
        break;
    case EBB_CELL_BOOL:
        key->number = cell->yes;
        break;
    case EBB_CELL_UNKNOWN:
        key->known = false;
        break;
    }
}

/* Ascending; with what is not known at the end either way, so the caller turns the others around. */
static int compare_up(const void *a, const void *b)
{
    const struct sort_key *x = a;
    const struct sort_key *y = b;
    int order = 0;

    if (x->known != y->known)
        return x->known ? -1 : 1;
    if (x->known && x->text != NULL && y->text != NULL)
        order = strcmp(x->text, y->text);
    else if (x->known)
        order = (x->number > y->number) - (x->number < y->number);
    return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

static int compare_down(const void *a, const void *b)
{
    const struct sort_key *x = a;
    const struct sort_key *y = b;
    int order;

    if (x->known != y->known)
        return x->known ? -1 : 1;
    if (x->known && x->text != NULL && y->text != NULL)
        order = strcmp(y->text, x->text);
    else
        order = x->known ? (x->number < y->number) - (x->number > y->number) : 0;
    return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

bool ebb__proc_order(const struct ebb_proc_table *table, enum ebb_proc_column id, bool reverse,
                     size_t *ret_order)
{
    struct sort_key *keys = calloc(table->count == 0 ? 1 : table->count, sizeof(*keys));
    bool down = ebb__proc_columns[id].down != reverse;

    if (keys == NULL)
        return false;
    for (size_t i = 0; i < table->count; i++) {
        struct ebb_cell cell = ebb__proc_cell(table, &table->procs[i], id);

        keys[i].index = i;
        take_key(&cell, &keys[i]);
    }
    qsort(keys, table->count, sizeof(*keys), down ? compare_down : compare_up);
    for (size_t i = 0; i < table->count; i++)
        ret_order[i] = keys[i].index;
    free(keys);
    return true;
}
