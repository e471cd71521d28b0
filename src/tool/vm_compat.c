/* SPDX-License-Identifier: MIT
 *
 * ebb vm --compat: the lines of free(1), vmstat(8) and sar(1) of Debian 12, for scripts that know them.
 *
 * The numbers are those that the originals print, to the digit where nothing happens between two readings, with two
 * exceptions. sar's pgsteal and %vmeff count each page once here. And what cannot be read is "-".
 *
 * vmstat's first line divides by the time of all processors together, so its rates since boot are those of one
 * processor: so do these.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tool/vm.h"

#define TEXT_BYTES 32

static struct ebb_fact scaled(struct ebb_fact bytes, char unit)
{
    static const char UNITS[] = "BKMG";
    const char *at = strchr(UNITS, unit);

    if (bytes.known && at != NULL)
        bytes.value >>= 10 * (unsigned)(at - UNITS);
    return bytes;
}

static const char *print_fact(struct ebb_fact fact, char text[TEXT_BYTES])
{
    if (fact.known)
        snprintf(text, TEXT_BYTES, "%" PRIu64, fact.value);
    else
        snprintf(text, TEXT_BYTES, "-");
    return text;
}

/* ---- free ---- */

/* In at most five characters, as free -h: "0B", "712B", "8.7Mi", "689Mi". */
static const char *print_human(struct ebb_fact bytes, char text[TEXT_BYTES])
{
    static const char UNITS[] = "KMGTPE";
    double value = (double)bytes.value;

    if (!bytes.known)
        return print_fact(bytes, text);
    if (snprintf(text, TEXT_BYTES, "%" PRIu64 "B", bytes.value) <= 4)
        return text;
    for (const char *unit = UNITS; *unit != '\0'; unit++) {
        value /= 1024;
        if (snprintf(text, TEXT_BYTES, "%.1f%ci", value, *unit) <= 5 ||
            snprintf(text, TEXT_BYTES, "%" PRIu64 "%ci", (uint64_t)value, *unit) <= 5)
            break;
    }
    return text;
}

static void put_size(const struct ebb_vm_compat *compat, struct ebb_fact bytes, bool first)
{
    char text[TEXT_BYTES];

    if (compat->unit == 'h')
        print_human(bytes, text);
    else
        print_fact(scaled(bytes, compat->unit), text);
    printf("%s%11s", first ? "" : " ", text);
}

static struct ebb_fact sum(struct ebb_fact a, struct ebb_fact b)
{
    return a.known && b.known ? ebb__fact(a.value + b.value) : a.known ? a : b;
}

static void put_free(const struct ebb_vm_compat *compat, const struct ebb_free *free)
{
    const struct ebb_fact sizes[] = {free->total_bytes,    free->used_bytes,    free->free_bytes,
                                     free->shared_bytes,   free->buffers_bytes, free->cache_bytes,
                                     free->available_bytes};
    const struct ebb_fact narrow[] = {free->total_bytes,
                                      free->used_bytes,
                                      free->free_bytes,
                                      free->shared_bytes,
                                      sum(free->buffers_bytes, free->cache_bytes),
                                      free->available_bytes};
    const struct ebb_fact swap[] = {free->swap_total_bytes, free->swap_used_bytes, free->swap_free_bytes};

    if (compat->header)
        puts(compat->wide
                 ? "               total        used        free      shared     buffers       cache"
                   "   available"
                 : "               total        used        free      shared  buff/cache   available");
    fputs("Mem:     ", stdout);
    for (unsigned i = 0; i < (compat->wide ? 7 : 6); i++)
        put_size(compat, compat->wide ? sizes[i] : narrow[i], i == 0);
    fputs("\nSwap:    ", stdout);
    for (unsigned i = 0; i < 3; i++)
        put_size(compat, swap[i], i == 0);
    putchar('\n');
}

/* ---- vmstat ---- */

static void put_vmstat_head(const struct ebb_vm_compat *compat)
{
    if (compat->wide)
        printf(
            "--procs-- -----------------------memory---------------------- ---swap-- -----io---- -system-- "
            "----------cpu----------\n"
            "   r    b         swpd         free %12s %12s   si   so    bi    bo   in   cs  us  sy  id  wa  "
            "st  "
            "gu\n",
            compat->active ? "inact" : "buff", compat->active ? "active" : "cache");
    else
        printf("procs -----------memory---------- ---swap-- -----io---- -system-- ------cpu-----\n"
               " r  b   swpd   free %6s %6s   si   so    bi    bo   in   cs us sy id wa st\n",
               compat->active ? "inact" : "buff", compat->active ? "active" : "cache");
}

/* What a line of vmstat divides by: ticks of all processors since boot, or time between two looks. */
struct divisor {
    struct ebb_fact ticks; /* of all processors in the span */
    uint64_t numerator;    /* a rise times this, by `by`, rounded, is a rate */
    uint64_t by;
};

static struct ebb_fact rate(struct ebb_fact rise, const struct divisor *divisor)
{
    unsigned __int128 value = (unsigned __int128)rise.value * divisor->numerator + divisor->by / 2;

    if (rise.known && divisor->by != 0)
        rise.value = (uint64_t)(value / divisor->by);
    return rise;
}

static uint64_t ticks_of(const struct ebb_cpu_stat *stat)
{
    return ebb__fact_or(stat->user_ticks, 0) + ebb__fact_or(stat->nice_ticks, 0) +
           ebb__fact_or(stat->system_ticks, 0) + ebb__fact_or(stat->irq_ticks, 0) +
           ebb__fact_or(stat->softirq_ticks, 0) + ebb__fact_or(stat->idle_ticks, 0) +
           ebb__fact_or(stat->iowait_ticks, 0) + ebb__fact_or(stat->steal_ticks, 0);
}

static struct divisor divisor_of(const struct ebb_vm_source *source, const struct ebb_vm_span *span)
{
    if (span->before != NULL)
        return (struct divisor){.numerator = 1000,
                                .by = span->length_ms.value == 0 ? 1 : span->length_ms.value};
    return (struct divisor){.numerator = ebb__fact_or(source->host.clock_ticks, 100),
                            .by = ticks_of(&span->after->cpu) == 0 ? 1 : ticks_of(&span->after->cpu)};
}

static struct ebb_fact rounded(struct ebb_share share)
{
    return share.known ? ebb__fact((uint64_t)(share.percent + 0.5)) : ebb__fact_unknown(-1);
}

static struct ebb_fact cpu_rise(const struct ebb_vm_span *span, struct ebb_fact before, struct ebb_fact after)
{
    return span->before == NULL ? after : ebb__rates_rise(before, after);
}

/* Swapped pages, in the unit that was asked for. */
static struct ebb_fact swapped(const struct ebb_vm_compat *compat, const struct ebb_vm_source *source,
                               struct ebb_fact pages)
{
    if (!pages.known || !source->host.page_bytes.known)
        return pages.known ? source->host.page_bytes : pages;
    return scaled(ebb__fact(pages.value * source->host.page_bytes.value), compat->unit);
}

static void put_vmstat(const struct ebb_vm_compat *compat, const struct ebb_vm_source *source,
                       const struct ebb_vm_span *span)
{
    static const int NARROW[] = {2, 2, 6, 6, 6, 6, 4, 4, 5, 5, 4, 4, 2, 2, 2, 2, 2};
    static const int WIDE[] = {4, 4, 12, 12, 12, 12, 4, 4, 5, 5, 4, 4, 3, 3, 3, 3, 3, 3};
    const struct ebb_vm_look *look = span->after;
    const struct ebb_cpu_stat *before = span->before == NULL ? &look->cpu : &span->before->cpu;
    struct divisor divisor = divisor_of(source, span);
    struct ebb_cpu_rates cpu;

    ebb__rates_cpu(span->before == NULL ? NULL : before, &look->cpu, &cpu);
    const struct ebb_fact values[] = {
        look->cpu.running,
        look->cpu.blocked,
        scaled(look->free.swap_used_bytes, compat->unit),
        scaled(look->free.free_bytes, compat->unit),
        scaled(compat->active ? look->info.inactive_bytes : look->free.buffers_bytes, compat->unit),
        scaled(compat->active ? look->info.active_bytes : look->free.cache_bytes, compat->unit),
        rate(swapped(compat, source, EBB_VM_RISE(span, pswpin)), &divisor),
        rate(swapped(compat, source, EBB_VM_RISE(span, pswpout)), &divisor),
        rate(EBB_VM_RISE(span, pgpgin), &divisor),
        rate(EBB_VM_RISE(span, pgpgout), &divisor),
        rate(cpu_rise(span, before->interrupts, look->cpu.interrupts), &divisor),
        rate(cpu_rise(span, before->context_switches, look->cpu.context_switches), &divisor),
        rounded(cpu.user),
        rounded(cpu.system),
        rounded(cpu.idle),
        rounded(cpu.iowait),
        rounded(cpu.steal),
        rounded(cpu.guest),
    };
    unsigned count = compat->wide ? sizeof(WIDE) / sizeof(WIDE[0]) : sizeof(NARROW) / sizeof(NARROW[0]);

    for (unsigned i = 0; i < count; i++) {
        char text[TEXT_BYTES];

        printf("%s%*s", i == 0 ? "" : " ", compat->wide ? WIDE[i] : NARROW[i], print_fact(values[i], text));
    }
    putchar('\n');
}

static void put_stat(struct ebb_fact value, const char *words)
{
    char text[TEXT_BYTES];

    printf("%13s %s\n", print_fact(value, text), words);
}

static void put_stat_size(const struct ebb_vm_compat *compat, struct ebb_fact bytes, const char *words)
{
    char text[TEXT_BYTES];

    printf("%13s %c %s\n", print_fact(scaled(bytes, compat->unit), text), compat->unit, words);
}

static void put_stats(const struct ebb_vm_compat *compat, const struct ebb_vm_look *look)
{
    const struct ebb_free *free = &look->free;

    put_stat_size(compat, free->total_bytes, "total memory");
    put_stat_size(compat, free->used_bytes, "used memory");
    put_stat_size(compat, look->info.active_bytes, "active memory");
    put_stat_size(compat, look->info.inactive_bytes, "inactive memory");
    put_stat_size(compat, free->free_bytes, "free memory");
    put_stat_size(compat, free->buffers_bytes, "buffer memory");
    put_stat_size(compat, free->cache_bytes, "swap cache");
    put_stat_size(compat, free->swap_total_bytes, "total swap");
    put_stat_size(compat, free->swap_used_bytes, "used swap");
    put_stat_size(compat, free->swap_free_bytes, "free swap");
    put_stat(look->cpu.user_ticks, "non-nice user cpu ticks");
    put_stat(look->cpu.nice_ticks, "nice user cpu ticks");
    put_stat(look->cpu.system_ticks, "system cpu ticks");
    put_stat(look->cpu.idle_ticks, "idle cpu ticks");
    put_stat(look->cpu.iowait_ticks, "IO-wait cpu ticks");
    put_stat(look->cpu.irq_ticks, "IRQ cpu ticks");
    put_stat(look->cpu.softirq_ticks, "softirq cpu ticks");
    put_stat(look->cpu.steal_ticks, "stolen cpu ticks");
    put_stat(look->cpu.guest_ticks, "non-nice guest cpu ticks");
    put_stat(look->cpu.guest_nice_ticks, "nice guest cpu ticks");
    put_stat(look->vm.pgpgin, "K paged in");
    put_stat(look->vm.pgpgout, "K paged out");
    put_stat(look->vm.pswpin, "pages swapped in");
    put_stat(look->vm.pswpout, "pages swapped out");
    put_stat(look->cpu.interrupts, "interrupts");
    put_stat(look->cpu.context_switches, "CPU context switches");
    put_stat(look->cpu.boot_time_s, "boot time");
    put_stat(look->cpu.forks, "forks");
}

/* ---- sar -B ---- */

/* The time of day: now, or when the tree was captured. False when that is not known. */
static bool time_of(const struct ebb_vm_source *source, struct tm *ret_tm)
{
    time_t now = time(NULL);

    *ret_tm = (struct tm){0};
    if (ebb__host_is_live(source->root))
        return localtime_r(&now, ret_tm) != NULL;
    return strptime(source->host.time, "%Y-%m-%dT%H:%M:%SZ", ret_tm) != NULL;
}

static const char *print_clock(const struct ebb_vm_source *source, char text[TEXT_BYTES])
{
    struct tm tm;

    if (!time_of(source, &tm))
        return "--:--:--";
    strftime(text, TEXT_BYTES, "%H:%M:%S", &tm);
    return text;
}

static const char *print_date(const struct ebb_vm_source *source, char text[TEXT_BYTES])
{
    struct tm tm;

    if (!time_of(source, &tm))
        return "-";
    snprintf(text, TEXT_BYTES, "%02u/%02u/%02u", (unsigned)tm.tm_mon + 1, (unsigned)tm.tm_mday,
             (unsigned)tm.tm_year % 100);
    return text;
}

static void put_sar_head(const struct ebb_vm_source *source)
{
    const struct ebb_host *host = &source->host;
    char date[TEXT_BYTES];
    char now[TEXT_BYTES];
    char processors[TEXT_BYTES];

    printf("Linux %s (%s) \t%s \t_%s_\t(%s CPU)\n\n", host->release, host->name, print_date(source, date),
           host->machine, print_fact(host->processors, processors));
    printf("%-11s %9s %9s %9s %9s %9s %9s %9s %9s %9s\n", print_clock(source, now), "pgpgin/s", "pgpgout/s",
           "fault/s", "majflt/s", "pgfree/s", "pgscank/s", "pgscand/s", "pgsteal/s", "%vmeff");
}

static void put_real(struct ebb_cell cell)
{
    if (cell.kind == EBB_CELL_REAL)
        printf(" %9.2f", cell.real);
    else
        printf(" %9s", "-");
}

static void put_sar(const struct ebb_vm_source *source, const struct ebb_vm_span *span)
{
    struct ebb_reclaim_rates reclaim;
    char now[TEXT_BYTES];

    ebb__rates_reclaim(span->before == NULL ? NULL : &span->before->vm, &span->after->vm, &reclaim);
    printf("%-11s", strcmp(span->name, "average") == 0 ? "Average:" : print_clock(source, now));
    put_real(ebb__vm_per_second(span, EBB_VM_RISE(span, pgpgin), 1));
    put_real(ebb__vm_per_second(span, EBB_VM_RISE(span, pgpgout), 1));
    put_real(ebb__vm_per_second(span, EBB_VM_RISE(span, pgfault), 1));
    put_real(ebb__vm_per_second(span, EBB_VM_RISE(span, pgmajfault), 1));
    put_real(ebb__vm_per_second(span, EBB_VM_RISE(span, pgfree), 1));
    put_real(ebb__vm_per_second(span, reclaim.kswapd, 1));
    put_real(ebb__vm_per_second(span, reclaim.direct, 1));
    put_real(ebb__vm_per_second(span, reclaim.global.steal, 1));
    /* sar has 0 for "nothing was looked at". */
    put_real(reclaim.global.efficiency.known ? ebb__cell_real(reclaim.global.efficiency.percent)
             : reclaim.global.scan.known     ? ebb__cell_real(0)
                                             : ebb__cell_unknown(NULL));
    putchar('\n');
}

void ebb__vm_compat_head(const struct ebb_vm_compat *compat, const struct ebb_vm_source *source)
{
    if (!compat->header)
        return;
    if (compat->kind == EBB_VM_VMSTAT)
        put_vmstat_head(compat);
    else if (compat->kind == EBB_VM_SAR)
        put_sar_head(source);
}

void ebb__vm_compat_look(const struct ebb_vm_compat *compat, const struct ebb_vm_source *source,
                         const struct ebb_vm_span *span)
{
    switch (compat->kind) {
    case EBB_VM_FREE:
        put_free(compat, source->has_cgroup ? &span->after->cgroup_free : &span->after->free);
        break;
    case EBB_VM_VMSTAT:
        put_vmstat(compat, source, span);
        break;
    case EBB_VM_VMSTAT_STATS:
        put_stats(compat, span->after);
        break;
    case EBB_VM_SAR:
        put_sar(source, span);
        break;
    }
    fflush(stdout);
}
