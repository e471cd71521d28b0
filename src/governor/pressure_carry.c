/* SPDX-License-Identifier: MIT
 *
 * Giving back what the policy under pressure asks for.
 *
 * The order is that of levels.def: free extents, what threads cache, pages inside slabs; then the program's shrinkers, by price:
 * below 200 they are idle memory, below 300 clean frames, and what is dearer must be written first, at the policy's pace. The
 * heap's own shrinker has had its turn by then and is left out.
 *
 * The purse. The policy says how much of a processor giving may take. It fills with time, a second's worth at most, and giving
 * spends it; a shrinker may overdraw it, and is then not called until it has filled again. At red there is no purse.
 *
 * Estimates are too high: a page in which one byte lives cannot go. A kind that was asked and brought next to nothing is not counted
 * for a second, and costs nothing in that time.
 *
 * A shrinker is called by the thread that also hears the kernel, so its deadline is the next look, not the policy's deadline.
 */
#include "governor/act_priv.h"
#include "governor/governor_priv.h"

#define REST_MS      1000u
#define BARREN_SHARE 16u /* less than this part of what was asked is next to nothing */
#define FIRST_NS     60000u
#define LEAST_BYTES  EBB_MIB(1) /* however empty the purse is */
#define PURSE_MS     1000u
#define CALL_MIN_MS  100u /* what a shrinker may take at least */

#define PRICE_REGIONS_MAX 199u
#define PRICE_COLD_MAX    299u

void ebb__act_giving_reset(struct ebb_act_giving *g, uint64_t now_ms)
{
    *g = (struct ebb_act_giving){.filled_ms = now_ms - ebb__min(now_ms, PURSE_MS), .ns_per_mib = FIRST_NS};
}

/* ---- what could be given ---- */

static struct ebb_ledger_band band_of(unsigned give)
{
    struct ebb_ledger_band band = {0, PRICE_REGIONS_MAX, ebb__limits_shrinker()};
    if (give == EBB_PRESS_GIVE_COLD)
        band = (struct ebb_ledger_band){PRICE_REGIONS_MAX + 1, PRICE_COLD_MAX, 0};
    if (give == EBB_PRESS_GIVE_DIRTY)
        band = (struct ebb_ledger_band){PRICE_COLD_MAX + 1, UINT32_MAX, 0};
    return band;
}

void ebb__act_estimate(const struct ebb_act_giving *g, uint64_t now_ms, uint64_t ret[EBB_PRESS_GIVES])
{
    struct ebb_heap_stats heap;
    ebb__heap_stats(&heap);
    size_t in_use = heap.dirty_bytes + heap.span_bytes + heap.slab_bytes + heap.internal_bytes;
    ret[EBB_PRESS_GIVE_FREE] = heap.dirty_bytes;
    ret[EBB_PRESS_GIVE_CACHES] = ebb__conf.drain != 0 ? ebb__upkeep_cached_bytes() : 0;
    ret[EBB_PRESS_GIVE_SLABS] = heap.backed_bytes - ebb__min(in_use, heap.backed_bytes);
    for (unsigned give = 0; give < EBB_PRESS_GIVES; give++) {
        if (give >= EBB_PRESS_GIVE_REGIONS) {
            struct ebb_ledger_band band = band_of(give);
            ret[give] = ebb__ledger_estimate_band(&band, EBB_URGENCY_EARLY);
        }
        if (now_ms < g->rest_until_ms[give])
            ret[give] = 0;
    }
}

/* ---- the purse ---- */

static void fill_purse(struct ebb_act_giving *g, uint32_t permille, uint64_t now_ms)
{
    int64_t most_ns = (int64_t)permille * PURSE_MS * 1000;
    uint64_t passed_ms = ebb__min(now_ms - ebb__min(g->filled_ms, now_ms), PURSE_MS);
    g->filled_ms = now_ms;
    g->purse_ns += (int64_t)(permille * passed_ms * 1000);
    g->purse_ns = g->purse_ns < most_ns ? g->purse_ns : most_ns;
}

/* How many of the bytes are worth what is left. */
static uint64_t afford(const struct ebb_act_giving *g, bool capped, uint64_t bytes)
{
    uint64_t left_ns = g->purse_ns > 0 ? (uint64_t)g->purse_ns : 0;
    if (!capped)
        return bytes;
    return ebb__min(bytes, ebb__max(left_ns / g->ns_per_mib * EBB_MIB(1), LEAST_BYTES));
}

/* ---- giving ---- */

struct round {
    const struct ebb_press_actions *actions;
    uint64_t deadline_ns;
    enum ebb_budget_urgency urgency;
};

static uint64_t ask_shrinkers(const struct round *r, unsigned give, uint64_t bytes)
{
    struct ebb_ledger_band band = band_of(give);
    const struct ebb_press_actions *a = r->actions;
    if (give == EBB_PRESS_GIVE_DIRTY)
        bytes = ebb__min(bytes, ebb__max(a->dirty_bytes_per_s * a->look_ms / 1000, EBB_KIB(64)));
    return ebb__ledger_reclaim_band(&band, (size_t)ebb__min(bytes, PTRDIFF_MAX), r->urgency, r->deadline_ns);
}

static uint64_t ask(const struct round *r, unsigned give, uint64_t bytes)
{
    switch (give) {
    case EBB_PRESS_GIVE_FREE:
        return ebb__heap_purge_free(0, (size_t)bytes, 0);
    case EBB_PRESS_GIVE_CACHES:
        ebb__limits_drain();
        return ebb__heap_purge_free(0, (size_t)bytes, 0);
    case EBB_PRESS_GIVE_SLABS:
        ebb__heap_tidy_slabs();
        return ebb__heap_give_back((size_t)bytes);
    default:
        return ask_shrinkers(r, give, bytes);
    }
}

static uint64_t give_one(struct ebb_act_giving *g, const struct round *r, unsigned give, uint64_t now_ms)
{
    bool capped = r->actions->cpu_permille != EBB_PRESS_CPU_ALL, ours = give <= EBB_PRESS_GIVE_SLABS;
    uint64_t asked = r->actions->ask_bytes[give];
    if (capped && !ours && g->purse_ns <= 0)
        return 0;
    if (ours)
        asked = afford(g, capped, asked);
    uint64_t before_ns = ebb__os_thread_cpu_ns();
    uint64_t got = ask(r, give, asked);
    uint64_t cost_ns = ebb__os_thread_cpu_ns() - before_ns;
    if (capped)
        g->purse_ns -= (int64_t)cost_ns;
    if (ours && got >= LEAST_BYTES)
        g->ns_per_mib = ebb__max((3 * g->ns_per_mib + cost_ns / (got / EBB_MIB(1))) / 4, 1000);
    /* caches of threads that were turned away come later */
    if (give != EBB_PRESS_GIVE_CACHES && got < asked / BARREN_SHARE)
        g->rest_until_ms[give] = now_ms + REST_MS;
    return got;
}

enum ebb_budget_urgency ebb__act_urgency(const struct ebb_press_actions *a)
{
    if (a->cause == EBB_PRESS_OOM_HIT)
        return EBB_URGENCY_LAST;
    return a->urgency <= 1 ? EBB_URGENCY_EARLY : a->urgency == 2 ? EBB_URGENCY_SOFT : EBB_URGENCY_HARD;
}

uint64_t ebb__act_carry(struct ebb_act_giving *g, const struct ebb_press_actions *a, uint64_t now_ms)
{
    uint64_t sum = 0;
    uint64_t call_ms = ebb__min(a->within_ms, ebb__max(a->look_ms, CALL_MIN_MS));
    struct round r = {a, ebb__os_now_ns() + call_ms * 1000000, ebb__act_urgency(a)};
    if (a->cpu_permille != EBB_PRESS_CPU_ALL)
        fill_purse(g, a->cpu_permille, now_ms);
    for (unsigned give = 0; give < EBB_PRESS_GIVES; give++) {
        g->got_bytes[give] = a->ask_bytes[give] != 0 ? give_one(g, &r, give, now_ms) : 0;
        sum += g->got_bytes[give];
    }
    EBB_COUNT(pressure_bytes, sum);
    return sum;
}
