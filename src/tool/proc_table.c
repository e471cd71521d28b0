/* SPDX-License-Identifier: MIT
 *
 * A look at all processes, or at some; see proc_table.h.
 */
#include "tool/proc_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FIRST_ROOM    64
#define COMMAND_BYTES 4096

/* Who stands where in the queue for the kernel's killer. */
struct standing {
    pid_t pid;
    uint64_t start_ticks;
    uint64_t score;
};

struct look {
    const struct ebb_proc_ask *ask;
    struct ebb_proc_table *table;
    struct standing *standings;
    size_t standing_count;
    size_t standing_room;
};

uint64_t ebb__proc_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

void ebb__proc_counts_of(const struct ebb_stat *stat, struct ebb_proc_counts *ret_counts)
{
    *ret_counts = (struct ebb_proc_counts){
        .id = stat->pid,
        .start_ticks = stat->start_ticks,
        .cpu_ticks = stat->user_ticks + stat->system_ticks,
        .minor_faults = stat->minor_faults,
        .major_faults = stat->major_faults,
    };
}

/* ---- the facts of one process ---- */

/* A number with or without a sign, alone in a file of the process. */
static struct ebb_fact read_number(const char *root, pid_t pid, const char *file)
{
    char text[32];
    size_t len = 0;
    uint64_t value;
    int err = ebb__proc_read(root, pid, file, text, sizeof(text), &len);
    struct ebb_scan scan = {.at = text, .end = text + len};
    bool negative;

    if (err != 0)
        return ebb__fact_unknown(err);
    negative = ebb__scan_char(&scan, '-');
    if (!ebb__scan_dec(&scan, &value))
        return ebb__fact_unknown(-EBADMSG);
    return ebb__fact(negative ? 0 - value : value);
}

/* Lines of maps. [vsyscall], which is the last one where there is one, is no mapping of the process. */
static struct ebb_fact count_vmas(const char *root, pid_t pid)
{
    static const char GATE[] = "[vsyscall]\n";
    char text[32768 + sizeof(GATE)]; /* begins with the end of what was read before */
    const size_t kept = sizeof(GATE) - 1;
    uint64_t count = 0;
    ssize_t got;
    int fd = ebb__proc_open(root, pid, "maps");
    int err = 0;

    if (fd < 0)
        return ebb__fact_unknown(fd);
    memset(text, 0, kept);
    for (;;) {
        got = read(fd, text + kept, sizeof(text) - kept);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        for (const char *at = text + kept; at < text + kept + got; at++)
            count += *at == '\n';
        memmove(text, text + got, kept);
    }
    if (got < 0)
        err = -errno;
    close(fd);
    /* Who has ended, or never had memory, has no mappings to count. */
    if (err == 0 && count == 0)
        err = -ESRCH;
    if (err != 0)
        return ebb__fact_unknown(err);
    return ebb__fact(count - (memcmp(text, GATE, kept) == 0));
}

static int read_command(const char *root, pid_t pid, char **ret_command)
{
    char text[COMMAND_BYTES];
    size_t len = 0;
    ssize_t got;
    int fd = ebb__proc_open(root, pid, "cmdline");
    int err = 0;

    if (fd < 0)
        return fd;
    /* What does not fit is cut. */
    do {
        got = read(fd, text + len, sizeof(text) - 1 - len);
        len += got > 0 ? (size_t)got : 0;
    } while (got > 0 || (got < 0 && errno == EINTR));
    if (got < 0)
        err = -errno;
    close(fd);
    while (len > 0 && text[len - 1] == '\0')
        len--;
    for (size_t i = 0; i < len; i++)
        if (text[i] == '\0')
            text[i] = ' ';
    text[len] = '\0';
    if (err != 0)
        return err;
    *ret_command = strdup(text);
    return *ret_command == NULL ? -ENOMEM : 0;
}

static bool has_ended(int err)
{
    return err == -ESRCH || err == -ENOENT;
}

/* Who it is: stat and status. False when it has ended, so that there is no row. */
static bool identify(const struct look *look, pid_t pid, struct ebb_proc *proc)
{
    const char *root = look->table->root;
    bool live = ebb__host_is_live(root);
    bool wants_status = (look->ask->needs & EBB_PROC_STATUS) != 0 || look->ask->by_user;

    memset(proc, 0, sizeof(*proc));
    proc->pid = pid;
    proc->status_err = proc->cgroup_err = proc->allocator_err = proc->command_err = -ENODATA;
    proc->stat_err = ebb__stat_read(root, pid, &proc->stat);
    if (live && has_ended(proc->stat_err))
        return false;
    /* A captured tree may lack the one or the other. */
    if (wants_status || proc->stat_err != 0)
        proc->status_err = ebb__status_read(root, pid, &proc->status);
    if ((live || proc->stat_err != 0) && has_ended(proc->status_err))
        return false;
    if (proc->stat_err == 0)
        memcpy(proc->name, proc->stat.name, sizeof(proc->name));
    else if (proc->status_err == 0)
        memcpy(proc->name, proc->status.name, sizeof(proc->name));
    proc->kernel = proc->stat_err == 0 && (proc->stat.flags & EBB_STAT_KTHREAD) != 0;
    return true;
}

static bool is_among(const struct ebb_proc_ask *ask, pid_t pid)
{
    for (size_t i = 0; i < ask->pid_count; i++)
        if (ask->pids[i] == pid)
            return true;
    return false;
}

static bool is_shown(const struct ebb_proc_ask *ask, const struct ebb_proc *proc)
{
    if (ask->pid_count == 0 && proc->kernel && !ask->kernel)
        return false;
    if (ask->pid_count != 0 && !is_among(ask, proc->pid))
        return false;
    if (ask->name_part != NULL && strstr(proc->name, ask->name_part) == NULL)
        return false;
    return !ask->by_user || (proc->status_err == 0 && ebb__status_has(&proc->status, EBB_STATUS_UID_REAL) &&
                             proc->status.uid_real == ask->user);
}

/* What else was asked for. 0, or -ENOMEM. */
static int complete(struct look *look, struct ebb_proc *proc)
{
    struct ebb_proc_table *table = look->table;
    unsigned needs = look->ask->needs;

    if ((needs & (EBB_PROC_OOM | EBB_PROC_RANK)) != 0 && !proc->kernel) {
        proc->oom_score = read_number(table->root, proc->pid, "oom_score");
        proc->oom_adj = read_number(table->root, proc->pid, "oom_score_adj");
    }
    if ((needs & EBB_PROC_CGROUP) != 0)
        proc->cgroup_err = ebb__proc_cgroups_of(&table->cgroups, proc->pid, &proc->cgroup);
    if ((needs & EBB_PROC_VMAS) != 0 && !proc->kernel)
        proc->vma_count = count_vmas(table->root, proc->pid);
    if ((needs & EBB_PROC_ALLOCATOR) != 0 && !proc->kernel)
        proc->allocator_err = ebb__host_is_live(table->root)
                                  ? ebb__proc_allocator_find(proc->pid, &proc->allocator)
                                  : -EOPNOTSUPP;
    if ((needs & EBB_PROC_COMMAND) != 0)
        proc->command_err = read_command(table->root, proc->pid, &proc->command);
    return proc->cgroup_err == -ENOMEM || proc->allocator_err == -ENOMEM || proc->command_err == -ENOMEM
               ? -ENOMEM
               : 0;
}

/* True when it ended while it was looked at. A zombie lacks files too, so who seems to be missing is looked for once more. */
static bool ended_meanwhile(const struct ebb_proc_table *table, const struct ebb_proc *proc)
{
    struct ebb_stat again;

    if (!ebb__host_is_live(table->root) ||
        !(has_ended(proc->oom_score.err) || has_ended(proc->oom_adj.err) || has_ended(proc->cgroup_err) ||
          has_ended(proc->vma_count.err) || has_ended(proc->allocator_err) || has_ended(proc->command_err)))
        return false;
    return ebb__stat_read(table->root, proc->pid, &again) != 0 || again.start_ticks != proc->stat.start_ticks;
}

static void free_proc(struct ebb_proc *proc)
{
    free(proc->allocator);
    free(proc->command);
}

/* ---- the table ---- */

/* Makes room for one more. False when memory has run out. */
static bool grow(void **array, size_t *room, size_t count, size_t bytes)
{
    size_t wanted = *room == 0 ? FIRST_ROOM : *room * 2;
    void *grown;

    if (count < *room)
        return true;
    grown = realloc(*array, wanted * bytes);
    if (grown == NULL)
        return false;
    *array = grown;
    *room = wanted;
    return true;
}

/* Notes who competes with the rows; `score` is unknown for whom nobody has asked yet. */
static int note_standing(struct look *look, const struct ebb_proc *proc, struct ebb_fact score)
{
    if (proc->kernel)
        return 0;
    if (!score.known)
        score = read_number(look->table->root, proc->pid, "oom_score");
    if (!score.known || score.value == 0)
        return 0;
    if (!grow((void **)&look->standings, &look->standing_room, look->standing_count,
              sizeof(*look->standings)))
        return -ENOMEM;
    look->standings[look->standing_count++] = (struct standing){
        .pid = proc->pid,
        .start_ticks = proc->stat_err == 0 ? proc->stat.start_ticks : 0,
        .score = score.value,
    };
    return 0;
}

static int take(struct look *look, pid_t pid)
{
    struct ebb_proc_table *table = look->table;
    struct ebb_proc proc;
    int err;

    if (!identify(look, pid, &proc)) {
        table->vanished++;
        return 0;
    }
    table->all++;
    if (!is_shown(look->ask, &proc))
        return (look->ask->needs & EBB_PROC_RANK) != 0 ? note_standing(look, &proc, ebb__fact_unknown(0)) : 0;
    err = complete(look, &proc);
    if (err == 0 && ended_meanwhile(table, &proc)) {
        free_proc(&proc);
        table->all--;
        table->vanished++;
        return 0;
    }
    if (err == 0 && (look->ask->needs & EBB_PROC_RANK) != 0)
        err = note_standing(look, &proc, proc.oom_score);
    if (err == 0 && !grow((void **)&table->procs, &table->room, table->count, sizeof(*table->procs)))
        err = -ENOMEM;
    if (err != 0) {
        free_proc(&proc);
        return err;
    }
    if (proc.stat_err == 0) {
        struct ebb_proc_counts counts;

        ebb__proc_counts_of(&proc.stat, &counts);
        ebb__proc_rates_life(&counts, table->uptime_ms, table->host.clock_ticks, &proc.rates);
    } else {
        proc.rates.why = ebb__fact_why(ebb__fact_unknown(proc.stat_err));
    }
    table->procs[table->count++] = proc;
    return 0;
}

static int compare_pids(const void *a, const void *b)
{
    pid_t x = ((const struct ebb_proc *)a)->pid;
    pid_t y = ((const struct ebb_proc *)b)->pid;

    return (x > y) - (x < y);
}

/* The highest oom_score first; of two that have the same, the one that started later. */
static int compare_standings(const void *a, const void *b)
{
    const struct standing *x = a;
    const struct standing *y = b;

    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    if (x->start_ticks != y->start_ticks)
        return x->start_ticks > y->start_ticks ? -1 : 1;
    return (x->pid < y->pid) - (x->pid > y->pid);
}

static void rank(struct look *look)
{
    if (look->standing_count != 0)
        qsort(look->standings, look->standing_count, sizeof(*look->standings), compare_standings);
    for (size_t i = 0; i < look->standing_count; i++) {
        struct ebb_proc *proc = ebb__proc_table_find(look->table, look->standings[i].pid);

        if (proc != NULL && !(proc->oom_adj.known && (int64_t)proc->oom_adj.value == -1000))
            proc->oom_rank = (unsigned)i + 1;
    }
}

static int take_all(struct look *look)
{
    struct ebb_procs procs;
    pid_t pid;
    int err = ebb__procs_open(&procs, look->table->root);

    if (err != 0)
        return err;
    while (err == 0 && (pid = ebb__procs_next(&procs)) != 0)
        err = take(look, pid);
    ebb__procs_close(&procs);
    return err;
}

int ebb__proc_table_look(const struct ebb_proc_ask *ask, struct ebb_proc_table *ret_table)
{
    struct look look = {.ask = ask, .table = ret_table};
    struct ebb_meminfo info;
    struct ebb_load load;
    int err = 0;

    memset(ret_table, 0, sizeof(*ret_table));
    ret_table->root = ask->root;
    ebb__host_read(ask->root, &ret_table->host);
    ebb__meminfo_read(ask->root, &info);
    ret_table->mem_total_bytes = info.mem_total_bytes;
    if ((ask->needs & EBB_PROC_VMAS) != 0)
        ret_table->max_map_count = ebb__file_number(ask->root, "/proc/sys/vm/max_map_count");
    if ((ask->needs & EBB_PROC_CGROUP) != 0) {
        ebb__proc_cgroups_init(&ret_table->cgroups, ask->root);
        ret_table->has_cgroups = true;
    }
    ebb__load_read(ask->root, &load);
    ret_table->uptime_ms = load.uptime_ms;
    ret_table->at_ns = ebb__proc_now_ns();
    if (ask->pid_count != 0 && (ask->needs & EBB_PROC_RANK) == 0) {
        for (size_t i = 0; err == 0 && i < ask->pid_count; i++)
            err = take(&look, ask->pids[i]);
    } else {
        err = take_all(&look);
    }
    if (ret_table->count != 0)
        qsort(ret_table->procs, ret_table->count, sizeof(*ret_table->procs), compare_pids);
    if (err == 0)
        rank(&look);
    free(look.standings);
    if (err != 0)
        ebb__proc_table_fini(ret_table);
    return err;
}

void ebb__proc_table_fini(struct ebb_proc_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free_proc(&table->procs[i]);
    free(table->procs);
    table->procs = NULL;
    table->count = table->room = 0;
    if (table->has_cgroups)
        ebb__proc_cgroups_fini(&table->cgroups);
    table->has_cgroups = false;
}

struct ebb_proc *ebb__proc_table_find(const struct ebb_proc_table *table, pid_t pid)
{
    const struct ebb_proc key = {.pid = pid};

    return table->count == 0 ? NULL
                             : bsearch(&key, table->procs, table->count, sizeof(*table->procs), compare_pids);
}

/* ---- two looks ---- */

struct ebb_proc_counts *ebb__proc_table_counts(const struct ebb_proc_table *table, size_t *ret_count)
{
    struct ebb_proc_counts *counts = table->count == 0 ? NULL : calloc(table->count, sizeof(*counts));
    size_t count = 0;

    *ret_count = 0;
    if (counts == NULL)
        return NULL;
    for (size_t i = 0; i < table->count; i++)
        if (table->procs[i].stat_err == 0)
            ebb__proc_counts_of(&table->procs[i].stat, &counts[count++]);
    ebb__proc_rates_sort(counts, count);
    *ret_count = count;
    return counts;
}

void ebb__proc_table_compare(struct ebb_proc_table *table, const struct ebb_proc_counts *before,
                             size_t before_count, uint64_t before_ns)
{
    uint64_t between_ms = (table->at_ns - before_ns + 500000) / 1000000;

    for (size_t i = 0; i < table->count; i++) {
        struct ebb_proc *proc = &table->procs[i];
        struct ebb_proc_counts now;

        if (proc->stat_err != 0)
            continue;
        ebb__proc_counts_of(&proc->stat, &now);
        ebb__proc_rates_between(ebb__proc_rates_find(before, before_count, &now), &now, between_ms,
                                table->host.clock_ticks, &proc->rates);
    }
}
