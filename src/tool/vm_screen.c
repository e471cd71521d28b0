/* SPDX-License-Identifier: MIT
 *
 * ebb vm: everything about the host's memory on one screen. Part by part: what there is (free), what moves (vmstat), what is paged
 * and reclaimed (sar -B), what waits (PSI), what must be written, and the cgroup that was asked for.
 */
#include <string.h>

#include "model/units.h"
#include "tool/vm.h"
#include "tool/zones.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define SECTION(id, key_text, title_text)                                                                    \
    static const struct ebb_section id = {.key = (key_text),                                                 \
                                          .title = (title_text),                                             \
                                          .columns = id##_COLUMNS,                                           \
                                          .column_count = COUNT(id##_COLUMNS)}

#define TEXT(k, h, w)                                                                                        \
    {                                                                                                        \
        .key = (k), .heading = (h), .as = EBB_AS_TEXT, .width = (w)                                          \
    }
#define NAME(k, h, w)                                                                                        \
    {                                                                                                        \
        .key = (k), .heading = (h), .as = EBB_AS_TEXT, .width = (w), .label = true                           \
    }
#define NUMBER(k, h, w)                                                                                      \
    {                                                                                                        \
        .key = (k), .heading = (h), .as = EBB_AS_NUMBER, .width = (w)                                        \
    }
#define BYTES(k, h, w)                                                                                       \
    {                                                                                                        \
        .key = (k), .heading = (h), .as = EBB_AS_BYTES, .width = (w)                                         \
    }
#define PERCENT(k, h, w)                                                                                     \
    {                                                                                                        \
        .key = (k), .heading = (h), .as = EBB_AS_PERCENT, .width = (w)                                       \
    }
#define RATE(k, h, w)                                                                                        \
    {                                                                                                        \
        .key = (k), .heading = (h), .as = EBB_AS_RATE, .width = (w)                                          \
    }

static struct ebb_cell share(struct ebb_share share)
{
    return share.known ? ebb__cell_real(share.percent) : ebb__cell_unknown(share.why);
}

static struct ebb_cell hundredths(struct ebb_fact fact)
{
    return fact.known ? ebb__cell_real((double)fact.value / 100) : ebb__cell_fact(fact);
}

/* Pages as bytes. */
static struct ebb_fact in_bytes(const struct ebb_vm_source *source, struct ebb_fact pages)
{
    if (!pages.known || !source->host.page_bytes.known)
        return pages.known ? source->host.page_bytes : pages;
    return ebb__fact(pages.value * source->host.page_bytes.value);
}

/* ---- the host ---- */

static const struct ebb_column HOST_COLUMNS[] = {
    {.key = "uptime_ms", .heading = "up", .as = EBB_AS_MS, .width = 9},
    {.key = "load1", .heading = "load1", .as = EBB_AS_RATE, .width = 6},
    {.key = "load5", .heading = "load5", .as = EBB_AS_RATE, .width = 6},
    {.key = "load15", .heading = "load15", .as = EBB_AS_RATE, .width = 6},
    NUMBER("processors", "cpus", 4),
    NUMBER("runnable", "runnable", 8),
    NUMBER("tasks", "tasks", 6),
    BYTES("page_bytes", "page", 6),
    NAME("kernel", "kernel", 0),
};
SECTION(HOST, "host", NULL);

static void put_host(struct ebb_emit *emit, const struct ebb_vm_source *source,
                     const struct ebb_vm_look *look)
{
    const struct ebb_load *load = &look->load;
    char text[EBB_UNITS_BYTES];
    struct ebb_cell up = ebb__cell_fact(load->uptime_ms);

    if (ebb__emit_is_human(emit) && load->uptime_ms.known)
        up = ebb__cell_text(ebb__units_ms(load->uptime_ms.value, text));
    const struct ebb_cell cells[] = {
        up,
        hundredths(load->avg1_hundredths),
        hundredths(load->avg5_hundredths),
        hundredths(load->avg15_hundredths),
        ebb__cell_fact(source->host.processors),
        ebb__cell_fact(load->runnable),
        ebb__cell_fact(load->tasks),
        ebb__cell_fact(source->host.page_bytes),
        source->host.release[0] != '\0' ? ebb__cell_text(source->host.release)
                                        : ebb__cell_unknown("not found"),
    };

    ebb__emit_section(emit, &HOST);
    ebb__emit_row(emit, cells);
}

/* ---- what there is ---- */

static const struct ebb_column MEMORY_COLUMNS[] = {
    NAME("kind", "memory", -10),        BYTES("total_bytes", "total", 7),
    BYTES("used_bytes", "used", 7),     BYTES("free_bytes", "free", 7),
    BYTES("shared_bytes", "shared", 7), BYTES("buffers_bytes", "buffers", 7),
    BYTES("cache_bytes", "cache", 7),   BYTES("available_bytes", "available", 9),
};
SECTION(MEMORY, "memory", NULL);

static void put_free(struct ebb_emit *emit, const char *memory, const char *swap, const struct ebb_free *free)
{
    const struct ebb_cell cells[] = {ebb__cell_text(memory),
                                     ebb__cell_fact(free->total_bytes),
                                     ebb__cell_fact(free->used_bytes),
                                     ebb__cell_fact(free->free_bytes),
                                     ebb__cell_fact(free->shared_bytes),
                                     ebb__cell_fact(free->buffers_bytes),
                                     ebb__cell_fact(free->cache_bytes),
                                     ebb__cell_fact(free->available_bytes)};
    const struct ebb_cell none = ebb__cell_unknown(NULL);
    const struct ebb_cell swap_cells[] = {ebb__cell_text(swap),
                                          ebb__cell_fact(free->swap_total_bytes),
                                          ebb__cell_fact(free->swap_used_bytes),
                                          ebb__cell_fact(free->swap_free_bytes),
                                          none,
                                          none,
                                          none,
                                          none};

    ebb__emit_row(emit, cells);
    ebb__emit_row(emit, swap_cells);
}

static void put_memory(struct ebb_emit *emit, const struct ebb_vm_source *source,
                       const struct ebb_vm_look *look)
{
    ebb__emit_section(emit, &MEMORY);
    put_free(emit, "host", "swap", &look->free);
    if (source->has_cgroup)
        put_free(emit, "in cgroup", "its swap", &look->cgroup_free);
}

static const struct ebb_column LISTS_COLUMNS[] = {
    NAME("kind", "pages", -10),
    BYTES("active_bytes", "active", 7),
    BYTES("inactive_bytes", "inactive", 8),
    BYTES("unevictable_bytes", "unevictable", 11),
};
SECTION(LISTS, "lists", NULL);

static void put_list(struct ebb_emit *emit, const char *name, struct ebb_fact active,
                     struct ebb_fact inactive, struct ebb_cell unevictable)
{
    const struct ebb_cell cells[] = {ebb__cell_text(name), ebb__cell_fact(active), ebb__cell_fact(inactive),
                                     unevictable};

    ebb__emit_row(emit, cells);
}

static void put_lists(struct ebb_emit *emit, const struct ebb_meminfo *info)
{
    ebb__emit_section(emit, &LISTS);
    put_list(emit, "anon", info->active_anon_bytes, info->inactive_anon_bytes, ebb__cell_unknown(NULL));
    put_list(emit, "file", info->active_file_bytes, info->inactive_file_bytes, ebb__cell_unknown(NULL));
    put_list(emit, "all", info->active_bytes, info->inactive_bytes, ebb__cell_fact(info->unevictable_bytes));
}

/* Read here: only the whole screen has them. */
static void put_zones(struct ebb_emit *emit, const struct ebb_vm_source *source)
{
    static struct ebb_zoneinfo zones; /* large */
    int err = ebb__zoneinfo_read(source->root, &zones);

    if (err == 0)
        ebb__zones_put(emit, &zones, source->host.page_bytes);
    else
        ebb__emit_note(emit, "zones", "Watermarks are not known: /proc/zoneinfo: %s.",
                       ebb__fact_why(ebb__fact_unknown(err)));
}

/* ---- what moves ---- */

static const struct ebb_column ACTIVITY_COLUMNS[] = {
    NAME("span", "activity", -10),
    NUMBER("running", "r", 3),
    NUMBER("blocked", "b", 3),
    BYTES("swap_in_bytes_per_s", "si/s", 6),
    BYTES("swap_out_bytes_per_s", "so/s", 6),
    BYTES("page_in_bytes_per_s", "bi/s", 6),
    BYTES("page_out_bytes_per_s", "bo/s", 6),
    RATE("interrupts_per_s", "in/s", 6),
    RATE("context_switches_per_s", "cs/s", 6),
    PERCENT("user_percent", "us", 4),
    PERCENT("system_percent", "sy", 4),
    PERCENT("idle_percent", "id", 4),
    PERCENT("iowait_percent", "wa", 4),
    PERCENT("steal_percent", "st", 4),
    PERCENT("guest_percent", "gu", 4),
};
SECTION(ACTIVITY, "activity", NULL);

static struct ebb_cell swap_rate(const struct ebb_vm_source *source, const struct ebb_vm_span *span,
                                 struct ebb_fact rise)
{
    if (!source->host.page_bytes.known)
        return ebb__cell_fact(source->host.page_bytes);
    return ebb__vm_per_second(span, rise, (double)source->host.page_bytes.value);
}

static struct ebb_cell cpu_rate(const struct ebb_vm_span *span, size_t at)
{
    const char *after = (const char *)&span->after->cpu + at;
    struct ebb_fact rise = *(const struct ebb_fact *)(const void *)after;

    if (span->before != NULL)
        rise = ebb__rates_rise(
            *(const struct ebb_fact *)(const void *)((const char *)&span->before->cpu + at), rise);
    return ebb__vm_per_second(span, rise, 1);
}

static void put_activity(struct ebb_emit *emit, const struct ebb_vm_source *source,
                         const struct ebb_vm_span *span)
{
    const struct ebb_vm_look *look = span->after;
    struct ebb_cpu_rates cpu;

    ebb__rates_cpu(span->before == NULL ? NULL : &span->before->cpu, &look->cpu, &cpu);
    const struct ebb_cell cells[] = {
        ebb__cell_text(span->name),
        ebb__cell_fact(look->cpu.running),
        ebb__cell_fact(look->cpu.blocked),
        swap_rate(source, span, EBB_VM_RISE(span, pswpin)),
        swap_rate(source, span, EBB_VM_RISE(span, pswpout)),
        ebb__vm_per_second(span, EBB_VM_RISE(span, pgpgin), 1024),
        ebb__vm_per_second(span, EBB_VM_RISE(span, pgpgout), 1024),
        cpu_rate(span, offsetof(struct ebb_cpu_stat, interrupts)),
        cpu_rate(span, offsetof(struct ebb_cpu_stat, context_switches)),
        share(cpu.user),
        share(cpu.system),
        share(cpu.idle),
        share(cpu.iowait),
        share(cpu.steal),
        share(cpu.guest),
    };

    ebb__emit_section(emit, &ACTIVITY);
    ebb__emit_row(emit, cells);
}

static const struct ebb_column PAGING_COLUMNS[] = {
    NAME("span", "paging", -10),
    RATE("faults_per_s", "fault/s", 8),
    RATE("major_faults_per_s", "majflt/s", 8),
    RATE("freed_per_s", "pgfree/s", 8),
    RATE("refaults_per_s", "refault/s", 9),
    RATE("stalls_per_s", "stall/s", 8),
    NUMBER("oom_kills", "oom kills", 9),
    PERCENT("swap_in_percent", "swap of bi", 10),
    PERCENT("swap_out_percent", "swap of bo", 10),
};
SECTION(PAGING, "paging", NULL);

/* The share of swap in what was read or written. What lives in compressed memory is never read: it cannot exceed 100 %. */
static struct ebb_cell swap_share(const struct ebb_vm_source *source, struct ebb_fact pages,
                                  struct ebb_fact kib)
{
    struct ebb_fact bytes = in_bytes(source, pages);

    kib.value *= 1024;
    return share(ebb__rates_share(bytes, kib, "nothing was read or written"));
}

static void put_paging(struct ebb_emit *emit, const struct ebb_vm_source *source,
                       const struct ebb_vm_span *span, const struct ebb_reclaim_rates *reclaim)
{
    const struct ebb_cell cells[] = {
        ebb__cell_text(span->name),
        ebb__vm_per_second(span, EBB_VM_RISE(span, pgfault), 1),
        ebb__vm_per_second(span, EBB_VM_RISE(span, pgmajfault), 1),
        ebb__vm_per_second(span, EBB_VM_RISE(span, pgfree), 1),
        ebb__vm_per_second(span, reclaim->refaults, 1),
        ebb__vm_per_second(span, reclaim->stalls, 1),
        ebb__cell_fact(EBB_VM_RISE(span, oom_kill)),
        swap_share(source, EBB_VM_RISE(span, pswpin), EBB_VM_RISE(span, pgpgin)),
        swap_share(source, EBB_VM_RISE(span, pswpout), EBB_VM_RISE(span, pgpgout)),
    };

    ebb__emit_section(emit, &PAGING);
    ebb__emit_row(emit, cells);
}

static const struct ebb_column RECLAIM_COLUMNS[] = {
    NAME("of", "reclaim", -10),
    RATE("kswapd_per_s", "kswapd/s", 8),
    RATE("direct_per_s", "direct/s", 8),
    RATE("other_per_s", "other/s", 8),
    RATE("scan_per_s", "scan/s", 8),
    RATE("steal_per_s", "freed/s", 8),
    PERCENT("efficiency_percent", "%vmeff", 6),
    PERCENT("share_percent", "share%", 6),
};
SECTION(RECLAIM, "reclaim", NULL);

static void put_kind(struct ebb_emit *emit, const struct ebb_vm_span *span, const char *name,
                     const struct ebb_reclaim_kind *kind, const struct ebb_reclaim_rates *rates,
                     struct ebb_fact whole)
{
    const struct ebb_cell none = ebb__cell_unknown(NULL);
    const struct ebb_cell cells[] = {
        ebb__cell_text(name),
        rates == NULL ? none : ebb__vm_per_second(span, rates->kswapd, 1),
        rates == NULL ? none : ebb__vm_per_second(span, rates->direct, 1),
        rates == NULL ? none : ebb__vm_per_second(span, rates->other, 1),
        ebb__vm_per_second(span, kind->scan, 1),
        ebb__vm_per_second(span, kind->steal, 1),
        share(kind->efficiency),
        share(ebb__rates_share(kind->scan, whole, "no page was looked at")),
    };

    ebb__emit_row(emit, cells);
}

static void put_reclaim(struct ebb_emit *emit, const struct ebb_vm_span *span,
                        const struct ebb_reclaim_rates *rates)
{
    struct ebb_fact whole = rates->all.scan;

    ebb__emit_section(emit, &RECLAIM);
    put_kind(emit, span, "global", &rates->global, rates, whole);
    put_kind(emit, span, "cgroups", &rates->cgroups, NULL, whole);
    put_kind(emit, span, "all", &rates->all, NULL, whole);
    put_kind(emit, span, "  anon", &rates->anon, NULL, whole);
    put_kind(emit, span, "  file", &rates->file, NULL, whole);
    if (!rates->by_kind && rates->global.scan.known)
        ebb__emit_note(
            emit, "reclaim",
            "This kernel counts what is reclaimed for the whole host only (before 5.8): reclaim for "
            "memory cgroups is not in it.");
}

/* ---- what waits ---- */

static const struct ebb_column PRESSURE_COLUMNS[] = {
    NAME("resource", "pressure", -10),         PERCENT("some_percent", "some%", 6),
    PERCENT("some_avg10_percent", "10s", 6),   PERCENT("some_avg60_percent", "60s", 6),
    PERCENT("some_avg300_percent", "300s", 6), PERCENT("full_percent", "full%", 6),
    PERCENT("full_avg10_percent", "10s", 6),   PERCENT("full_avg60_percent", "60s", 6),
    PERCENT("full_avg300_percent", "300s", 6),
};
SECTION(PRESSURE, "pressure", NULL);

static void put_pressure(struct ebb_emit *emit, const struct ebb_vm_span *span, const char *name,
                         const struct ebb_pressure *before, const struct ebb_pressure *after)
{
    const struct ebb_cell cells[] = {
        ebb__cell_text(name),
        share(ebb__vm_stall(span, before->some.total_us, after->some.total_us)),
        hundredths(after->some.avg10_hundredths),
        hundredths(after->some.avg60_hundredths),
        hundredths(after->some.avg300_hundredths),
        share(ebb__vm_stall(span, before->full.total_us, after->full.total_us)),
        hundredths(after->full.avg10_hundredths),
        hundredths(after->full.avg60_hundredths),
        hundredths(after->full.avg300_hundredths),
    };

    ebb__emit_row(emit, cells);
}

static void put_pressures(struct ebb_emit *emit, const struct ebb_vm_source *source,
                          const struct ebb_vm_span *span)
{
    const struct ebb_vm_look *after = span->after;
    const struct ebb_vm_look *before = span->before == NULL ? after : span->before;

    ebb__emit_section(emit, &PRESSURE);
    put_pressure(emit, span, "memory", &before->memory_pressure, &after->memory_pressure);
    put_pressure(emit, span, "io", &before->io_pressure, &after->io_pressure);
    put_pressure(emit, span, "cpu", &before->cpu_pressure, &after->cpu_pressure);
    if (source->has_cgroup)
        put_pressure(emit, span, "in cgroup", &before->cgroup_pressure, &after->cgroup_pressure);
    if (!after->memory_pressure.some.total_us.known)
        ebb__emit_note(
            emit, "pressure",
            "Pressure is not known: %s (it takes Linux 4.20, and psi=1 on some kernels' command line).",
            ebb__fact_why(after->memory_pressure.some.total_us));
}

/* ---- what must be written ---- */

static const struct ebb_column DIRTY_COLUMNS[] = {
    BYTES("dirty_bytes", "dirty", 10),
    BYTES("writeback_bytes", "writeback", 9),
    BYTES("background_bytes", "background", 10),
    BYTES("slowed_bytes", "slowed", 7),
    BYTES("limit_bytes", "limit", 7),
    PERCENT("of_background_percent", "of background%", 14),
    PERCENT("of_limit_percent", "of limit%", 9),
};
SECTION(DIRTY, "dirty", NULL);

/* Flushers start above the background threshold; who dirties pages is slowed down above the middle of both and stopped at the limit. */
static void put_dirty(struct ebb_emit *emit, const struct ebb_vm_source *source,
                      const struct ebb_vm_look *look)
{
    struct ebb_fact background = in_bytes(source, look->vm.nr_dirty_background_threshold);
    struct ebb_fact limit = in_bytes(source, look->vm.nr_dirty_threshold);
    struct ebb_fact dirty = look->info.dirty_bytes;
    struct ebb_fact both = dirty;
    struct ebb_fact slowed = background.known ? limit : background;

    if (both.known)
        both.value += ebb__fact_or(look->info.writeback_bytes, 0);
    if (slowed.known)
        slowed.value = (background.value + limit.value) / 2;
    const struct ebb_cell cells[] = {
        ebb__cell_fact(dirty),
        ebb__cell_fact(look->info.writeback_bytes),
        ebb__cell_fact(background),
        ebb__cell_fact(slowed),
        ebb__cell_fact(limit),
        share(ebb__rates_share(dirty, background, "the threshold is 0")),
        share(ebb__rates_share(both, limit, "the limit is 0")),
    };

    ebb__emit_section(emit, &DIRTY);
    ebb__emit_row(emit, cells);
}

/* ---- the cgroup ---- */

static const struct ebb_column LEVELS_COLUMNS[] = {
    BYTES("usage_bytes", "usage", 7),
    BYTES("limit_bytes", "limit", 7),
    BYTES("high_bytes", "high", 7),
    BYTES("anon_bytes", "anon", 7),
    BYTES("file_bytes", "file", 7),
    BYTES("shmem_bytes", "shmem", 7),
    BYTES("kernel_bytes", "kernel", 7),
    BYTES("swap_bytes", "swap", 7),
    {.key = "limit_hits", .heading = "hits", .as = EBB_AS_NUMBER, .width = 5, .counter = true},
    {.key = "oom_kills", .heading = "kills", .as = EBB_AS_NUMBER, .width = 5, .counter = true},
    NAME("path", "cgroup", 0),
};
SECTION(LEVELS, "cgroups", NULL);

static struct ebb_cell limit_cell(const struct ebb_emit *emit, struct ebb_fact limit)
{
    if (!limit.known || limit.value != UINT64_MAX)
        return ebb__cell_fact(limit);
    return ebb__emit_is_human(emit) ? ebb__cell_text("none") : ebb__cell_unknown("no limit is set");
}

static void put_levels(struct ebb_emit *emit, const struct ebb_vm_source *source,
                       const struct ebb_vm_look *look)
{
    ebb__emit_section(emit, &LEVELS);
    for (unsigned i = 0; i < source->level_count; i++) {
        const struct ebb_cgroup *level = &look->levels[i];
        const struct ebb_cell cells[] = {
            ebb__cell_fact(level->usage_bytes),  limit_cell(emit, level->limit_bytes),
            limit_cell(emit, level->high_bytes), ebb__cell_fact(level->anon_bytes),
            ebb__cell_fact(level->file_bytes),   ebb__cell_fact(level->shmem_bytes),
            ebb__cell_fact(level->kernel_bytes), ebb__cell_fact(level->swap_bytes),
            ebb__cell_fact(level->limit_hits),   ebb__cell_fact(level->oom_kills),
            ebb__cell_text(source->levels[i]),
        };

        ebb__emit_row(emit, cells);
    }
}

/* ---- counters ---- */

static const struct ebb_column COUNTERS_COLUMNS[] = {
    NAME("name", "counter", -32),
    NUMBER("value", "since boot", 20),
};
SECTION(COUNTERS, "counters", NULL);

static void put_counter(struct ebb_emit *emit, const char *name, struct ebb_fact value)
{
    const struct ebb_cell cells[] = {ebb__cell_text(name), ebb__cell_fact(value)};

    if (value.known)
        ebb__emit_row(emit, cells);
}

static void put_counters(struct ebb_emit *emit, const struct ebb_vm_look *look)
{
    ebb__emit_section(emit, &COUNTERS);
    put_counter(emit, "user_ticks", look->cpu.user_ticks);
    put_counter(emit, "nice_ticks", look->cpu.nice_ticks);
    put_counter(emit, "system_ticks", look->cpu.system_ticks);
    put_counter(emit, "idle_ticks", look->cpu.idle_ticks);
    put_counter(emit, "iowait_ticks", look->cpu.iowait_ticks);
    put_counter(emit, "irq_ticks", look->cpu.irq_ticks);
    put_counter(emit, "softirq_ticks", look->cpu.softirq_ticks);
    put_counter(emit, "steal_ticks", look->cpu.steal_ticks);
    put_counter(emit, "guest_ticks", look->cpu.guest_ticks);
    put_counter(emit, "guest_nice_ticks", look->cpu.guest_nice_ticks);
    put_counter(emit, "interrupts", look->cpu.interrupts);
    put_counter(emit, "context_switches", look->cpu.context_switches);
    put_counter(emit, "forks", look->cpu.forks);
    put_counter(emit, "boot_time_s", look->cpu.boot_time_s);
    /* nr_* are pages of this moment. */
#define EBB_VMSTAT(name)                                                                                     \
    if (strncmp(#name, "nr_", 3) != 0)                                                                       \
        put_counter(emit, #name, look->vm.name);
#include "probe/vmstat.def"
#undef EBB_VMSTAT
}

void ebb__vm_screen(struct ebb_emit *emit, const struct ebb_vm_source *source, const struct ebb_vm_span *span,
                    bool stats)
{
    const struct ebb_vm_look *look = span->after;
    struct ebb_reclaim_rates reclaim;

    ebb__rates_reclaim(span->before == NULL ? NULL : &span->before->vm, &look->vm, &reclaim);
    ebb__emit_begin(emit);
    put_host(emit, source, look);
    put_memory(emit, source, look);
    if (source->has_cgroup)
        put_levels(emit, source, look);
    put_lists(emit, &look->info);
    put_zones(emit, source);
    put_activity(emit, source, span);
    put_paging(emit, source, span, &reclaim);
    put_reclaim(emit, span, &reclaim);
    put_pressures(emit, source, span);
    put_dirty(emit, source, look);
    if (stats || !ebb__emit_is_human(emit))
        put_counters(emit, look);
    if (!source->host.page_bytes.known)
        ebb__emit_note(
            emit, "page_bytes",
            "The size of this host's pages is not known (its tree has no MANIFEST): what is counted in "
            "pages is left out.");
    ebb__emit_end(emit);
}
