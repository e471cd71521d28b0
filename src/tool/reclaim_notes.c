/* SPDX-License-Identifier: MIT
 *
 * What the tables of ebb reclaim cannot say, in sentences: why a rule, what swappiness means here, how far it is.
 */
#include <errno.h>
#include <inttypes.h>

#include "model/units.h"
#include "tool/reclaim.h"

/* Why the rules are what they are, each rule once. */
static void note_rules(struct ebb_emit *emit, const struct ebb_reclaim_scope *scopes, unsigned count)
{
    bool said[EBB_RECLAIM_RULE_COUNT] = {false};

    for (unsigned i = 0; i < count; i++) {
        struct ebb_reclaim_group groups[EBB_RECLAIM_PASSES];
        unsigned group_count;
        const struct ebb_reclaim_pass *pass;

        if (ebb__reclaim_groups(&scopes[i].reclaim, groups, &group_count) != 0)
            continue;
        pass = &ebb__reclaim_next(groups, group_count)->pass;
        said[pass->rule] = said[pass->other] = true;
    }
    for (unsigned rule = 0; rule < EBB_RECLAIM_RULE_COUNT; rule++)
        if (said[rule])
            ebb__emit_note(emit, "rule", "%s: %s", ebb__reclaim_rules[rule].name,
                           ebb__reclaim_rules[rule].sentence);
}

/* What the weight is where it counts. */
static void note_weight(struct ebb_emit *emit, const struct ebb_reclaim *reclaim, const char *when)
{
    uint64_t swappiness = reclaim->swappiness.value;
    uint64_t instead = swappiness == 100 ? 60 : swappiness == 0 ? 1 : 100;
    double low;
    double high;
    double instead_low;
    double instead_high;

    if (!reclaim->bounded) {
        ebb__emit_note(emit, "swappiness",
                       "swappiness %" PRIu64 "%s: a weight of %" PRIu64
                       " of 200 for anonymous pages, times what the past says, "
                       "which kernels before 5.8 do not bound.",
                       swappiness, when, swappiness);
        return;
    }
    ebb__reclaim_weights(reclaim, swappiness, &low, &high);
    ebb__reclaim_weights(reclaim, instead, &instead_low, &instead_high);
    ebb__emit_note(emit, "swappiness",
                   "swappiness %" PRIu64
                   "%s: %.1f to %.1f %% of what is looked at is anonymous, of lists of the same "
                   "length; with %" PRIu64 " it would be %.1f to %.1f %%.",
                   swappiness, when, low, high, instead, instead_low, instead_high);
}

static void note_swappiness(struct ebb_emit *emit, const struct ebb_reclaim *reclaim)
{
    struct ebb_reclaim_pass pass;
    uint64_t swappiness = reclaim->swappiness.value;

    if (ebb__reclaim_pass(reclaim, EBB_RECLAIM_FIRST, &pass) != 0)
        return;
    if (reclaim->generations) {
        if (pass.rule == EBB_RECLAIM_GEN_BALANCE)
            ebb__emit_note(emit, "swappiness",
                           "swappiness %" PRIu64 ": anonymous pages go when fewer than %" PRIu64
                           " of them are wanted back for each %" PRIu64
                           " of file pages, of the same number that went.",
                           swappiness, swappiness, EBB_RECLAIM_SWAPPINESS - swappiness);
        return;
    }
    switch (pass.rule) {
    case EBB_RECLAIM_NO_SWAP:
    case EBB_RECLAIM_SWAP_LIMIT:
        ebb__emit_note(emit, "swappiness",
                       "swappiness %" PRIu64
                       " means nothing here: without swap, more anonymous memory than fits ends in a "
                       "kill.",
                       swappiness);
        break;
    case EBB_RECLAIM_SWAPPINESS_0:
        note_weight(emit, reclaim, " means never to swap for this limit; where it is a weight");
        break;
    case EBB_RECLAIM_FILE_IS_TINY:
    case EBB_RECLAIM_CACHE_TRIM:
        note_weight(emit, reclaim, " does not count now; when both kinds are weighed");
        break;
    default:
        note_weight(emit, reclaim, "");
        break;
    }
}

static void note_distance(struct ebb_emit *emit, const struct ebb_reclaim_facts *facts,
                          const struct ebb_reclaim_scope *scope)
{
    uint64_t page_bytes = ebb__fact_or(facts->host.page_bytes, 0);
    uint64_t to_kswapd;
    uint64_t to_direct;
    char kswapd[EBB_UNITS_BYTES];
    char direct[EBB_UNITS_BYTES];

    if (page_bytes == 0 || !ebb__reclaim_distance(scope->node, &to_kswapd, &to_direct))
        return;
    if (to_kswapd == 0)
        ebb__emit_note(emit, "distance",
                       "%s: kswapd has work; %s more and allocations reclaim for themselves.", scope->name,
                       ebb__units_bytes(to_direct * page_bytes, direct));
    else
        ebb__emit_note(
            emit, "distance",
            "%s: ordinary allocations may take %s more before kswapd begins, and %s before they reclaim for "
            "themselves.",
            scope->name, ebb__units_bytes(to_kswapd * page_bytes, kswapd),
            ebb__units_bytes(to_direct * page_bytes, direct));
}

static void note_cgroup(struct ebb_emit *emit, const struct ebb_reclaim_facts *facts)
{
    if (ebb__reclaim_by_host(facts)) {
        ebb__emit_note(emit, "cgroup",
                       "Neither the cgroup nor one above it has a limit: only the host's reclaim takes from "
                       "it, which is what "
                       "is shown.");
        return;
    }
    if (facts->target != 0)
        ebb__emit_note(emit, "cgroup",
                       "The limit of %s comes first: its pages are reclaimed with those of %s.",
                       facts->levels[facts->target].path, facts->levels[0].path);
    if (facts->zones.node_count > 1)
        ebb__emit_note(
            emit, "nodes",
            "The kernel keeps the cgroup's lists for each node; their sums are shown, and judged.");
}

static void note_host(struct ebb_emit *emit, const struct ebb_reclaim_facts *facts)
{
    uint64_t mode = ebb__fact_or(facts->zone_reclaim_mode, 0);

    if (mode != 0)
        ebb__emit_note(emit, "zone_reclaim",
                       "vm.zone_reclaim_mode is %" PRIu64
                       ": a node reclaims its own pages%s%s while others still have free ones.",
                       mode, (mode & 2) != 0 ? ", and writes dirty ones," : "",
                       (mode & 4) != 0 ? " and swaps" : "");
    if (facts->may_demote)
        ebb__emit_note(emit, "demotion",
                       "Demotion is on: pages of a node that has a slower one below it move there first.");
    if (ebb__fact_or(facts->lru_gen.min_ttl_ms, 0) != 0)
        ebb__emit_note(emit, "min_ttl",
                       "lru_gen/min_ttl_ms is %" PRIu64
                       ": the kernel kills rather than evict a younger working set.",
                       facts->lru_gen.min_ttl_ms.value);
    if ((ebb__fact_or(facts->lru_gen.enabled, 0) & 1) != 0 && facts->ages_error != 0)
        ebb__emit_note(emit, "generations", "Generations are not known: /sys/kernel/debug/lru_gen: %s.",
                       ebb__fact_why(ebb__fact_unknown(facts->ages_error)));
    if (facts->buddies_error != 0)
        ebb__emit_note(emit, "huge_pages", "Free blocks are not known: /proc/buddyinfo: %s.",
                       ebb__fact_why(ebb__fact_unknown(facts->buddies_error)));
    if (!facts->host.page_bytes.known)
        ebb__emit_note(emit, "pages", "The size of the host's pages is not known: the tree has no MANIFEST.");
}

/* What the host has, against what its zones hand out. */
static void note_managed(struct ebb_emit *emit, const struct ebb_reclaim_facts *facts)
{
    uint64_t page_bytes = ebb__fact_or(facts->host.page_bytes, 0);
    uint64_t total = ebb__fact_or(facts->memory.mem_total_bytes, 0);
    uint64_t managed = 0;
    char zones[EBB_UNITS_BYTES];
    char all[EBB_UNITS_BYTES];

    for (unsigned n = 0; n < facts->zones.node_count; n++)
        for (unsigned z = 0; z < facts->zones.nodes[n].zone_count; z++)
            managed += ebb__fact_or(facts->zones.nodes[n].zones[z].managed, 0) * page_bytes;
    /* They differ by little where memory is added while the host runs. */
    if (managed != 0 && total > managed && total - managed > total / 20)
        ebb__emit_note(
            emit, "managed",
            "The zones hand out %s, much less than the host's %s: memory may still be added to them, and "
            "their watermarks grow with it.",
            ebb__units_bytes(managed, zones), ebb__units_bytes(total, all));
}

void ebb__reclaim_notes(struct ebb_emit *emit, const struct ebb_reclaim_facts *facts,
                        const struct ebb_reclaim_scope *scopes, unsigned scope_count)
{
    if (facts->level_count != 0)
        note_cgroup(emit, facts);
    note_rules(emit, scopes, scope_count);
    if (scope_count != 0)
        note_swappiness(emit, &scopes[0].reclaim);
    for (unsigned i = 0; i < scope_count; i++)
        if (scopes[i].node != NULL)
            note_distance(emit, facts, &scopes[i]);
    if (facts->swaps_error != 0)
        ebb__emit_note(emit, "swaps", "Swaps are not known: /proc/swaps: %s.",
                       ebb__fact_why(ebb__fact_unknown(facts->swaps_error)));
    note_host(emit, facts);
    note_managed(emit, facts);
}
