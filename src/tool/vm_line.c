/* SPDX-License-Identifier: MIT
 *
 * ebb vm DELAY: one line for each look, as who knows vmstat reads it. Rates are whole numbers here; the screen and machine formats
 * have what is behind the point.
 */
#include "tool/vm.h"

static const struct ebb_column COLUMNS[] = {
    {.key = "span", .heading = "span", .as = EBB_AS_TEXT, .width = -7},
    {.key = "running", .heading = "r", .as = EBB_AS_NUMBER, .width = 2},
    {.key = "blocked", .heading = "b", .as = EBB_AS_NUMBER, .width = 2},
    {.key = "free", .heading = "free", .as = EBB_AS_BYTES, .width = 5},
    {.key = "available", .heading = "avail", .as = EBB_AS_BYTES, .width = 5},
    {.key = "swap_in", .heading = "si", .as = EBB_AS_BYTES, .width = 5},
    {.key = "swap_out", .heading = "so", .as = EBB_AS_BYTES, .width = 5},
    {.key = "page_in", .heading = "bi", .as = EBB_AS_BYTES, .width = 5},
    {.key = "page_out", .heading = "bo", .as = EBB_AS_BYTES, .width = 5},
    {.key = "interrupts", .heading = "in", .as = EBB_AS_NUMBER, .width = 5},
    {.key = "switches", .heading = "cs", .as = EBB_AS_NUMBER, .width = 6},
    {.key = "user", .heading = "us", .as = EBB_AS_NUMBER, .width = 3},
    {.key = "system", .heading = "sy", .as = EBB_AS_NUMBER, .width = 3},
    {.key = "idle", .heading = "id", .as = EBB_AS_NUMBER, .width = 3},
    {.key = "iowait", .heading = "wa", .as = EBB_AS_NUMBER, .width = 3},
    {.key = "steal", .heading = "st", .as = EBB_AS_NUMBER, .width = 3},
    {.key = "faults", .heading = "fault", .as = EBB_AS_NUMBER, .width = 6},
    {.key = "major", .heading = "majf", .as = EBB_AS_NUMBER, .width = 4},
    {.key = "scan", .heading = "scan", .as = EBB_AS_NUMBER, .width = 6},
    {.key = "freed", .heading = "freed", .as = EBB_AS_NUMBER, .width = 6},
    {.key = "efficiency", .heading = "eff%", .as = EBB_AS_NUMBER, .width = 4},
    {.key = "cgroups", .heading = "cg%", .as = EBB_AS_NUMBER, .width = 3},
    {.key = "stall", .heading = "psi%", .as = EBB_AS_PERCENT, .width = 5},
};

#define COLUMN_COUNT (sizeof(COLUMNS) / sizeof(COLUMNS[0]))

static const struct ebb_section SECTION = {
    .key = "line",
    .title = "----procs---- --memory--- ---swap---- ----io----- ---system--- --------cpu--------"
             " --faults--- --------reclaim------- stall",
    .columns = COLUMNS,
    .column_count = COLUMN_COUNT,
};

static struct ebb_cell whole(struct ebb_cell cell)
{
    if (cell.kind == EBB_CELL_REAL && cell.real >= 0)
        return ebb__cell_number((uint64_t)(cell.real + 0.5));
    return cell;
}

static struct ebb_cell share(struct ebb_share share)
{
    return share.known ? ebb__cell_number((uint64_t)(share.percent + 0.5)) : ebb__cell_unknown(share.why);
}

static struct ebb_cell mean(const struct ebb_vm_means *means, double sum, struct ebb_fact now)
{
    if (means == NULL || means->count == 0)
        return ebb__cell_fact(now);
    return ebb__cell_number((uint64_t)(sum / means->count + 0.5));
}

static struct ebb_cell cpu_rate(const struct ebb_vm_span *span, struct ebb_fact before, struct ebb_fact after)
{
    return whole(ebb__vm_per_second(span, span->before == NULL ? after : ebb__rates_rise(before, after), 1));
}

void ebb__vm_line(struct ebb_emit *emit, const struct ebb_vm_source *source, const struct ebb_vm_span *span,
                  const struct ebb_vm_means *means)
{
    const struct ebb_vm_look *after = span->after;
    const struct ebb_vm_look *before = span->before == NULL ? after : span->before;
    const struct ebb_free *free = source->has_cgroup ? &after->cgroup_free : &after->free;
    double page = (double)ebb__fact_or(source->host.page_bytes, 0);
    struct ebb_fact swap_in = EBB_VM_RISE(span, pswpin);
    struct ebb_fact swap_out = EBB_VM_RISE(span, pswpout);
    struct ebb_reclaim_rates reclaim;
    struct ebb_cpu_rates cpu;
    struct ebb_share stall =
        ebb__vm_stall(span, before->memory_pressure.some.total_us, after->memory_pressure.some.total_us);
    const struct ebb_reclaim_kind *kind = &reclaim.all;

    ebb__rates_reclaim(span->before == NULL ? NULL : &before->vm, &after->vm, &reclaim);
    ebb__rates_cpu(span->before == NULL ? NULL : &before->cpu, &after->cpu, &cpu);
    if (!reclaim.by_kind)
        kind = &reclaim.global;
    if (!source->host.page_bytes.known)
        swap_in = swap_out = source->host.page_bytes;
    const struct ebb_cell cells[COLUMN_COUNT] = {
        ebb__cell_text(span->name),
        mean(means, means == NULL ? 0 : means->running, after->cpu.running),
        mean(means, means == NULL ? 0 : means->blocked, after->cpu.blocked),
        mean(means, means == NULL ? 0 : means->free_bytes, free->free_bytes),
        mean(means, means == NULL ? 0 : means->available_bytes, free->available_bytes),
        ebb__vm_per_second(span, swap_in, page),
        ebb__vm_per_second(span, swap_out, page),
        ebb__vm_per_second(span, EBB_VM_RISE(span, pgpgin), 1024),
        ebb__vm_per_second(span, EBB_VM_RISE(span, pgpgout), 1024),
        cpu_rate(span, before->cpu.interrupts, after->cpu.interrupts),
        cpu_rate(span, before->cpu.context_switches, after->cpu.context_switches),
        share(cpu.user),
        share(cpu.system),
        share(cpu.idle),
        share(cpu.iowait),
        share(cpu.steal),
        whole(ebb__vm_per_second(span, EBB_VM_RISE(span, pgfault), 1)),
        whole(ebb__vm_per_second(span, EBB_VM_RISE(span, pgmajfault), 1)),
        whole(ebb__vm_per_second(span, kind->scan, 1)),
        whole(ebb__vm_per_second(span, kind->steal, 1)),
        share(kind->efficiency),
        share(reclaim.cgroup_share),
        stall.known ? ebb__cell_real(stall.percent) : ebb__cell_unknown(stall.why),
    };

    ebb__emit_begin(emit);
    ebb__emit_section(emit, &SECTION);
    ebb__emit_row(emit, cells);
    ebb__emit_end(emit);
}
