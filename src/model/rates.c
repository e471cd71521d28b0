/* SPDX-License-Identifier: MIT
 *
 * What counters rose by between two looks; see rates.h.
 */
#include "model/rates.h"

#include <errno.h>
#include <stddef.h>

static const char NOTHING_SCANNED[] = "no page was looked at";
static const char NO_TIME[] = "no time has passed";

struct ebb_fact ebb__rates_rise(struct ebb_fact before, struct ebb_fact after)
{
    uint64_t rise = after.value - before.value;

    if (!after.known)
        return after;
    if (!before.known)
        return before;
    return rise <= UINT64_MAX / 2 ? ebb__fact(rise) : ebb__fact_unknown(-ESTALE);
}

struct ebb_fact ebb__rates_clock(struct ebb_fact before, struct ebb_fact after)
{
    struct ebb_fact rise = ebb__rates_rise(before, after);

    return !rise.known && rise.err == -ESTALE ? ebb__fact(0) : rise;
}

struct ebb_share ebb__rates_share(struct ebb_fact part, struct ebb_fact whole, const char *why_none)
{
    struct ebb_share share = {.known = true};

    if (!part.known || !whole.known)
        return (struct ebb_share){.why = ebb__fact_why(part.known ? whole : part)};
    if (part.value == 0 && whole.value == 0)
        return (struct ebb_share){.why = why_none};
    share.percent = part.value >= whole.value ? 100 : 100.0 * (double)part.value / (double)whole.value;
    return share;
}

/* Known when any part is: a reclaimer that the kernel does not have has reclaimed nothing. */
static struct ebb_fact sum(const struct ebb_fact *parts, unsigned count)
{
    struct ebb_fact total = parts[0];

    for (unsigned i = 1; i < count; i++) {
        if (!parts[i].known)
            continue;
        total = ebb__fact(ebb__fact_or(total, 0) + parts[i].value);
    }
    /* A counter that began anew makes the sum wrong, not smaller. */
    for (unsigned i = 0; i < count; i++)
        if (!parts[i].known && parts[i].err == -ESTALE)
            return parts[i];
    return total;
}

/* a - b, and 0 where the looks fell between the two counters of one event. */
static struct ebb_fact difference(struct ebb_fact a, struct ebb_fact b)
{
    if (!a.known || !b.known)
        return a.known ? b : a;
    return ebb__fact(a.value > b.value ? a.value - b.value : 0);
}

static void rate_kind(struct ebb_reclaim_kind *kind, struct ebb_fact scan, struct ebb_fact steal)
{
    kind->scan = scan;
    kind->steal = steal;
    kind->efficiency = ebb__rates_share(steal, scan, NOTHING_SCANNED);
}

/* Counters since boot rose from zero, those that this kernel has. */
static struct ebb_fact rise_of(const struct ebb_vmstat *before, const struct ebb_vmstat *after, size_t at)
{
    const struct ebb_fact *to = (const struct ebb_fact *)(const void *)((const char *)after + at);

    if (before == NULL)
        return *to;
    return ebb__rates_rise(*(const struct ebb_fact *)(const void *)((const char *)before + at), *to);
}

#define RISE(field) rise_of(before, after, offsetof(struct ebb_vmstat, field))

#define SUM(...)                                                                                             \
    sum((const struct ebb_fact[]){__VA_ARGS__},                                                              \
        sizeof((const struct ebb_fact[]){__VA_ARGS__}) / sizeof(struct ebb_fact))

void ebb__rates_reclaim(const struct ebb_vmstat *before, const struct ebb_vmstat *after,
                        struct ebb_reclaim_rates *ret_rates)
{
    struct ebb_reclaim_rates *rates = ret_rates;
    struct ebb_fact anon = RISE(pgscan_anon);
    struct ebb_fact file = RISE(pgscan_file);

    *rates = (struct ebb_reclaim_rates){.by_kind = after->pgscan_anon.known && after->pgscan_file.known};
    rates->kswapd = RISE(pgscan_kswapd);
    rates->direct = RISE(pgscan_direct);
    rates->other = SUM(RISE(pgscan_khugepaged), RISE(pgscan_proactive));
    rate_kind(
        &rates->global, SUM(rates->kswapd, rates->direct, rates->other),
        SUM(RISE(pgsteal_kswapd), RISE(pgsteal_direct), RISE(pgsteal_khugepaged), RISE(pgsteal_proactive)));
    rate_kind(&rates->anon, anon, RISE(pgsteal_anon));
    rate_kind(&rates->file, file, RISE(pgsteal_file));
    rate_kind(&rates->all, SUM(anon, file), SUM(rates->anon.steal, rates->file.steal));
    rate_kind(&rates->cgroups, difference(rates->all.scan, rates->global.scan),
              difference(rates->all.steal, rates->global.steal));
    rates->cgroup_share = ebb__rates_share(rates->cgroups.scan, rates->all.scan, NOTHING_SCANNED);
    rates->stalls = SUM(RISE(allocstall_normal), RISE(allocstall_movable), RISE(allocstall_dma),
                        RISE(allocstall_dma32), RISE(allocstall_device));
    rates->refaults =
        SUM(RISE(workingset_refault_file), RISE(workingset_refault_anon), RISE(workingset_refault));
}

static struct ebb_fact ticks_of(const struct ebb_cpu_stat *before, const struct ebb_cpu_stat *after,
                                size_t at)
{
    const struct ebb_fact *to = (const struct ebb_fact *)(const void *)((const char *)after + at);

    if (before == NULL)
        return *to;
    return ebb__rates_clock(*(const struct ebb_fact *)(const void *)((const char *)before + at), *to);
}

#define TICKS(field) ticks_of(before, after, offsetof(struct ebb_cpu_stat, field))

void ebb__rates_cpu(const struct ebb_cpu_stat *before, const struct ebb_cpu_stat *after,
                    struct ebb_cpu_rates *ret_rates)
{
    struct ebb_fact guest = SUM(TICKS(guest_ticks), TICKS(guest_nice_ticks));
    struct ebb_fact user = SUM(TICKS(user_ticks), TICKS(nice_ticks));
    struct ebb_fact system = SUM(TICKS(system_ticks), TICKS(irq_ticks), TICKS(softirq_ticks));
    struct ebb_fact idle = TICKS(idle_ticks);
    struct ebb_fact iowait = TICKS(iowait_ticks);
    struct ebb_fact steal = TICKS(steal_ticks);
    /* The time of guests is part of user and nice: it is counted once. */
    struct ebb_fact whole = SUM(user, system, idle, iowait, steal);

    if (user.known && guest.known)
        user = difference(user, guest);
    ret_rates->user = ebb__rates_share(user, whole, NO_TIME);
    ret_rates->system = ebb__rates_share(system, whole, NO_TIME);
    ret_rates->idle = ebb__rates_share(idle, whole, NO_TIME);
    ret_rates->iowait = ebb__rates_share(iowait, whole, NO_TIME);
    ret_rates->steal = ebb__rates_share(steal, whole, NO_TIME);
    ret_rates->guest = ebb__rates_share(guest, whole, NO_TIME);
}
