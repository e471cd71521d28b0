/* SPDX-License-Identifier: MIT
 *
 * What ebb top looks at; see top_facts.h.
 */
#include "tool/top_facts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void look_at_host(const struct ebb_top_source *source, struct ebb_top_host *host)
{
    const char *root = source->ask.root;
    time_t now = time(NULL);
    struct tm local;

    memset(host, 0, sizeof(*host));
    if (ebb__host_is_live(root) && localtime_r(&now, &local) != NULL)
        strftime(host->clock, sizeof(host->clock), "%H:%M:%S", &local);
    ebb__load_read(root, &host->load);
    ebb__meminfo_read(root, &host->info);
    ebb__vmstat_read(root, &host->vm);
    ebb__pressure_read(root, "/proc/pressure/memory", &host->pressure);
    ebb__free_of_host(&host->info, &host->free);
}

/* What has risen since the last look, or since boot. */
static void compare_host(const struct ebb_top_source *source, struct ebb_top_facts *facts)
{
    struct ebb_top_host *host = &facts->host;
    const struct ebb_vmstat *before = source->looked ? &source->vm : NULL;

    host->page_bytes = facts->table.host.page_bytes;
    host->since_boot = before == NULL;
    host->span_ms = before == NULL ? host->load.uptime_ms
                                   : ebb__fact((facts->table.at_ns - source->at_ns + 500000) / 1000000);
    ebb__rates_reclaim(before, &host->vm, &host->reclaim);
    host->swap_in_pages = before == NULL ? host->vm.pswpin : ebb__rates_rise(before->pswpin, host->vm.pswpin);
    host->swap_out_pages =
        before == NULL ? host->vm.pswpout : ebb__rates_rise(before->pswpout, host->vm.pswpout);
}

static void push_share(struct ebb_top_series *series, struct ebb_fact part, struct ebb_fact whole)
{
    bool known = part.known && whole.known && whole.value != 0;

    ebb__top_series_push(series, known, known ? 100.0 * (double)part.value / (double)whole.value : 0);
}

static void push_history(const struct ebb_top_source *source, struct ebb_top_facts *facts)
{
    const struct ebb_top_host *host = &facts->host;
    struct ebb_fact stalled_us = host->pressure.some.total_us;
    struct ebb_fact span_us = host->span_ms;

    push_share(&facts->memory_percent, host->free.used_bytes, host->free.total_bytes);
    push_share(&facts->swap_percent, host->free.swap_used_bytes, host->free.swap_total_bytes);
    span_us.value *= 1000;
    /* At the first look the kernel's own mean is nearer to the present than all the time since boot. */
    if (source->looked)
        push_share(&facts->pressure_percent, ebb__rates_rise(source->stalled_us, stalled_us), span_us);
    else
        ebb__top_series_push(&facts->pressure_percent, host->pressure.some.avg10_hundredths.known,
                             (double)host->pressure.some.avg10_hundredths.value / 100);
}

int ebb__top_look(struct ebb_top_source *source, struct ebb_top_facts *facts)
{
    int err;

    ebb__proc_table_fini(&facts->table);
    look_at_host(source, &facts->host);
    err = ebb__proc_table_look(&source->ask, &facts->table);
    if (err != 0)
        return err;
    if (source->looked)
        ebb__proc_table_compare(&facts->table, source->counts, source->count, source->at_ns);
    compare_host(source, facts);
    push_history(source, facts);
    if (!ebb__top_tracks_push(&facts->tracks, &facts->table))
        return -ENOMEM;
    free(source->counts);
    source->counts = ebb__proc_table_counts(&facts->table, &source->count);
    source->at_ns = facts->table.at_ns;
    source->vm = facts->host.vm;
    source->stalled_us = facts->host.pressure.some.total_us;
    source->looked = true;
    return 0;
}

/* What takes a while to find out, or may wait for the process, is found out once: until it runs another program, which has another
 * name. */
struct kept {
    struct ebb_proc_allocator *allocator;
    char *command;
};

static struct kept keep(struct ebb_top_facts *facts, const struct ebb_proc *row, uint64_t start_ticks)
{
    struct ebb_proc *old = &facts->detail.procs[0];
    struct kept kept = {0};

    if (row != NULL && facts->detail.count == 1 && old->pid == row->pid &&
        old->stat.start_ticks == start_ticks && old->allocator != NULL && old->command != NULL &&
        strcmp(old->name, row->name) == 0) {
        kept = (struct kept){.allocator = old->allocator, .command = old->command};
        old->allocator = NULL;
        old->command = NULL;
    }
    ebb__proc_table_fini(&facts->detail);
    return kept;
}

static void give_back(struct kept *kept, struct ebb_proc *proc)
{
    if (kept->allocator == NULL)
        return;
    proc->allocator = kept->allocator;
    proc->command = kept->command;
    proc->allocator_err = proc->command_err = 0;
    *kept = (struct kept){0};
}

int ebb__top_look_closely(const struct ebb_top_source *source, struct ebb_top_facts *facts, pid_t pid,
                          uint64_t start_ticks)
{
    struct ebb_proc_ask ask = {.root = source->ask.root, .pids = &pid, .pid_count = 1};
    const struct ebb_proc *row = ebb__proc_table_find(&facts->table, pid);
    struct kept kept = keep(facts, row, start_ticks);
    int err;

    for (unsigned i = 0; i < EBB_PROC_COLUMN_COUNT; i++)
        ask.needs |= ebb__proc_columns[i].needs;
    /* Its rank is in the table already, and does not make us look at all others once more. */
    ask.needs = (ask.needs & ~(unsigned)EBB_PROC_RANK) | EBB_PROC_OOM;
    if (kept.allocator != NULL)
        ask.needs &= ~(unsigned)(EBB_PROC_ALLOCATOR | EBB_PROC_COMMAND);
    err = ebb__proc_table_look(&ask, &facts->detail);
    if (err == 0 && facts->detail.count != 0 && facts->detail.procs[0].stat.start_ticks == start_ticks) {
        give_back(&kept, &facts->detail.procs[0]);
        if (row != NULL) {
            facts->detail.procs[0].rates = row->rates;
            facts->detail.procs[0].oom_rank = row->oom_rank;
        }
    } else if (err == 0) {
        ebb__proc_table_fini(&facts->detail);
    }
    free(kept.allocator);
    free(kept.command);
    return err;
}

void ebb__top_source_fini(struct ebb_top_source *source)
{
    free(source->counts);
    source->counts = NULL;
    source->count = 0;
}

void ebb__top_facts_fini(struct ebb_top_facts *facts)
{
    ebb__proc_table_fini(&facts->table);
    ebb__proc_table_fini(&facts->detail);
    ebb__top_tracks_fini(&facts->tracks);
}

/* ---- the host in a report ---- */

static struct ebb_cell hundredths(struct ebb_fact fact)
{
    return fact.known ? ebb__cell_real((double)fact.value / 100) : ebb__cell_fact(fact);
}

static struct ebb_cell share(struct ebb_share value)
{
    return value.known ? ebb__cell_real(value.percent) : ebb__cell_unknown(value.why);
}

void ebb__top_emit_host(struct ebb_emit *emit, const struct ebb_top_host *host)
{
    static const struct ebb_column COLUMNS[] = {
        {"total_bytes", "TOTAL", EBB_AS_BYTES, 6, .help = "memory"},
        {"used_bytes", "USED", EBB_AS_BYTES, 6, .help = "memory that is not available"},
        {"available_bytes", "AVAIL", EBB_AS_BYTES, 6, .help = "memory to be had without swapping"},
        {"cache_bytes", "CACHE", EBB_AS_BYTES, 6, .help = "page cache, shared memory, slabs that can shrink"},
        {"swap_total_bytes", "SWAP", EBB_AS_BYTES, 6, .help = "swap space"},
        {"swap_used_bytes", "SWUSED", EBB_AS_BYTES, 6, .help = "swap space in use"},
        {"pressure_some_percent", "SOME%", EBB_AS_PERCENT, 5,
         .help = "time in which some task waited for memory, over 10 s"},
        {"pressure_full_percent", "FULL%", EBB_AS_PERCENT, 5,
         .help = "time in which all tasks did, over 10 s"},
        {"dirty_bytes", "DIRTY", EBB_AS_BYTES, 6, .help = "page cache that must be written first"},
        {"writeback_bytes", "WBACK", EBB_AS_BYTES, 6, .help = "page cache that is being written"},
        {"kswapd_pages_per_second", "KSWAPD/s", EBB_AS_RATE, 8, .help = "pages that kswapd looked at"},
        {"direct_pages_per_second", "DIRECT/s", EBB_AS_RATE, 8,
         .help = "pages that allocations had to look at for themselves"},
        {"cgroup_pages_per_second", "CGROUP/s", EBB_AS_RATE, 8,
         .help = "pages that were looked at on behalf of memory cgroups"},
        {"efficiency_percent", "EFF%", EBB_AS_PERCENT, 5, .help = "of these, pages that were freed"},
        {"refaults_per_second", "REFLT/s", EBB_AS_RATE, 7,
         .help = "pages read again that had been freed lately"},
        {"stalls_per_second", "STALL/s", EBB_AS_RATE, 7, .help = "allocations that had to reclaim"},
        {"swap_in_pages_per_second", "SWIN/s", EBB_AS_RATE, 7, .help = "pages read from swap"},
        {"swap_out_pages_per_second", "SWOUT/s", EBB_AS_RATE, 7, .help = "pages written to swap"},
    };
    static const struct ebb_section SECTION = {
        .key = "host", .columns = COLUMNS, .column_count = sizeof(COLUMNS) / sizeof(COLUMNS[0])};
    const struct ebb_reclaim_rates *reclaim = &host->reclaim;
    struct ebb_cell cells[] = {
        ebb__cell_fact(host->free.total_bytes),
        ebb__cell_fact(host->free.used_bytes),
        ebb__cell_fact(host->free.available_bytes),
        ebb__cell_fact(host->free.cache_bytes),
        ebb__cell_fact(host->free.swap_total_bytes),
        ebb__cell_fact(host->free.swap_used_bytes),
        hundredths(host->pressure.some.avg10_hundredths),
        hundredths(host->pressure.full.avg10_hundredths),
        ebb__cell_fact(host->info.dirty_bytes),
        ebb__cell_fact(host->info.writeback_bytes),
        ebb__top_per_second(host, reclaim->kswapd),
        ebb__top_per_second(host, reclaim->direct),
        ebb__top_per_second(host, reclaim->cgroups.scan),
        share(reclaim->by_kind ? reclaim->all.efficiency : reclaim->global.efficiency),
        ebb__top_per_second(host, reclaim->refaults),
        ebb__top_per_second(host, reclaim->stalls),
        ebb__top_per_second(host, host->swap_in_pages),
        ebb__top_per_second(host, host->swap_out_pages),
    };

    _Static_assert(sizeof(cells) / sizeof(cells[0]) == sizeof(COLUMNS) / sizeof(COLUMNS[0]),
                   "a cell for each column");
    ebb__emit_section(emit, &SECTION);
    ebb__emit_row(emit, cells);
}
