/* SPDX-License-Identifier: MIT
 *
 * What reclaim will look at next; see reclaim.h.
 */
#include "model/reclaim.h"

#include <errno.h>

#define MOST EBB_RECLAIM_SWAPPINESS

const struct ebb_reclaim_rule_row ebb__reclaim_rules[EBB_RECLAIM_RULE_COUNT] = {
#define EBB_RECLAIM_RULE(id, name, scans, sentence) [EBB_RECLAIM_##id] = {name, scans, sentence},
#include "model/reclaim.def"
#undef EBB_RECLAIM_RULE
};

/* ---- lists ---- */

unsigned ebb__reclaim_ratio(uint64_t inactive, uint64_t active, uint64_t page_bytes)
{
    uint64_t gib = (inactive + active) / ((UINT64_C(1) << 30) / page_bytes);
    uint64_t root = 0;

    if (gib == 0)
        return 1;
    while ((root + 1) * (root + 1) <= 10 * gib)
        root++;
    return (unsigned)root;
}

bool ebb__reclaim_is_short(uint64_t inactive, uint64_t active, uint64_t page_bytes)
{
    return inactive * ebb__reclaim_ratio(inactive, active, page_bytes) < active;
}

/* ---- the rule ---- */

/* Which pages were wanted back since the last reclaim. */
struct wanted {
    bool anon;
    bool file;
};

static bool file_is_tiny(const struct ebb_reclaim *r, unsigned priority, struct wanted wanted)
{
    return !r->cgroup && r->inactive_file.value + r->active_file.value + r->free.value <= r->high.value &&
           !wanted.anon &&
           !ebb__reclaim_is_short(r->inactive_anon.value, r->active_anon.value, r->page_bytes) &&
           r->inactive_anon.value >> priority != 0;
}

static enum ebb_reclaim_rule rule_of_generations(const struct ebb_reclaim *r)
{
    bool no_swap = !r->may_demote && (r->swap_limited || r->swap_free.value < EBB_RECLAIM_SWAP_BATCH);

    if (no_swap || r->swappiness.value == 0)
        return EBB_RECLAIM_GEN_FILE_ONLY;
    if (r->swappiness.value == 1)
        return EBB_RECLAIM_GEN_FILE_FIRST;
    return r->swappiness.value >= MOST ? EBB_RECLAIM_GEN_ANON_FIRST : EBB_RECLAIM_GEN_BALANCE;
}

static enum ebb_reclaim_rule rule_of(const struct ebb_reclaim *r, unsigned priority, struct wanted wanted)
{
    if (r->generations)
        return rule_of_generations(r);
    if (r->swap_free.value == 0 && !r->may_demote)
        return EBB_RECLAIM_NO_SWAP;
    if (r->swap_limited && !r->may_demote)
        return EBB_RECLAIM_SWAP_LIMIT;
    if (r->cgroup && r->swappiness.value == 0)
        return EBB_RECLAIM_SWAPPINESS_0;
    if (priority == 0 && r->swappiness.value != 0)
        return EBB_RECLAIM_LAST_PASS;
    if (file_is_tiny(r, priority, wanted))
        return EBB_RECLAIM_FILE_IS_TINY;
    if (r->inactive_file.value >> priority != 0 && !wanted.file &&
        !ebb__reclaim_is_short(r->inactive_file.value, r->active_file.value, r->page_bytes))
        return EBB_RECLAIM_CACHE_TRIM;
    return r->swappiness.value == 0 ? EBB_RECLAIM_HOST_SWAPPINESS_0 : EBB_RECLAIM_PROPORTIONAL;
}

/* ---- how much of each ---- */

/* The kernel's whole numbers, when anonymous pages cost most (or least) to read back: each cost is a third to two thirds
 * of both. */
struct weights {
    uint64_t anon;
    uint64_t file;
};

static struct weights weights_of(uint64_t swappiness, bool anon_is_dear)
{
    uint64_t rest = swappiness < MOST ? MOST - swappiness : 0;

    return anon_is_dear ? (struct weights){swappiness * 3 / 2, rest * 3}
                        : (struct weights){swappiness * 3, rest * 3 / 2};
}

/* size * part / (part + other), without overflow. */
static uint64_t part_of(uint64_t size, uint64_t part, uint64_t other)
{
    uint64_t whole = part + other;

    return whole == 0 ? 0 : size / whole * part + size % whole * part / whole;
}

static double share(uint64_t anon, uint64_t file)
{
    return anon + file == 0 ? 0 : 100 * (double)anon / ((double)anon + (double)file);
}

static void fill(const struct ebb_reclaim *r, enum ebb_reclaim_rule rule, struct ebb_reclaim_pass *pass)
{
    uint64_t anon = r->inactive_anon.value >> pass->priority;
    uint64_t file = r->inactive_file.value >> pass->priority;
    struct weights dear = weights_of(r->swappiness.value, true);
    struct weights cheap = weights_of(r->swappiness.value, false);

    pass->anon_low = pass->file_low = 0;
    pass->anon_high = anon;
    pass->file_high = file;
    if (ebb__reclaim_rules[rule].scans[0] == 'f') {
        pass->anon_high = 0;
        pass->file_low = file;
    } else if (ebb__reclaim_rules[rule].scans[0] == 'a') {
        pass->file_high = 0;
        pass->anon_low = anon;
    } else if (rule == EBB_RECLAIM_LAST_PASS) {
        pass->anon_low = anon;
        pass->file_low = file;
    } else if (rule == EBB_RECLAIM_PROPORTIONAL && r->bounded) {
        pass->anon_low = part_of(anon, dear.anon, dear.file);
        pass->anon_high = part_of(anon, cheap.anon, cheap.file);
        pass->file_low = part_of(file, cheap.file, cheap.anon);
        pass->file_high = part_of(file, dear.file, dear.anon);
    }
    pass->share_low = share(pass->anon_low, pass->file_high);
    pass->share_high = share(pass->anon_high, pass->file_low);
    /* Where one extreme looks at nothing, the other has all there is to say. */
    if (pass->anon_low == 0 && pass->file_high == 0)
        pass->share_low = pass->share_high;
    if (pass->anon_high == 0 && pass->file_low == 0)
        pass->share_high = pass->share_low;
}

static bool looks(const struct ebb_reclaim_pass *pass)
{
    return pass->anon_high != 0 || pass->file_high != 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Bounds that hold both; a pass that looks at nothing has no share. */
static void widen_share(struct ebb_reclaim_pass *pass, const struct ebb_reclaim_pass *by)
{
    bool alone = !looks(pass);

    if (!looks(by))
        return;
    if (alone || by->share_low < pass->share_low)
        pass->share_low = by->share_low;
    if (alone || by->share_high > pass->share_high)
        pass->share_high = by->share_high;
}

static void widen(struct ebb_reclaim_pass *pass, const struct ebb_reclaim_pass *by)
{
    widen_share(pass, by);
    pass->anon_low = least(pass->anon_low, by->anon_low);
    pass->anon_high = most(pass->anon_high, by->anon_high);
    pass->file_low = least(pass->file_low, by->file_low);
    pass->file_high = most(pass->file_high, by->file_high);
}

static bool is_known(const struct ebb_reclaim *r)
{
    return r->inactive_anon.known && r->active_anon.known && r->inactive_file.known && r->active_file.known &&
           r->swap_free.known && r->swappiness.known && r->page_bytes != 0 &&
           (r->cgroup || r->generations || (r->free.known && r->high.known));
}

int ebb__reclaim_pass(const struct ebb_reclaim *r, unsigned priority, struct ebb_reclaim_pass *ret_pass)
{
    struct ebb_reclaim_pass pass = {.priority = priority};

    if (!is_known(r))
        return -ENODATA;
    /* Each of the ways in which pages may have been wanted back; the first is none, the last is all that is possible. */
    for (unsigned way = 0; way < 4; way++) {
        struct wanted wanted = {.anon = (way & 1) != 0, .file = (way & 2) != 0};
        struct ebb_reclaim_pass one = {.priority = priority};

        if ((wanted.anon && !r->anon_refaults) || (wanted.file && !r->file_refaults))
            continue;
        pass.other = rule_of(r, priority, wanted);
        if (way == 0) {
            pass.rule = pass.other;
            fill(r, pass.rule, &pass);
            continue;
        }
        fill(r, pass.other, &one);
        widen(&pass, &one);
    }
    *ret_pass = pass;
    return 0;
}

int ebb__reclaim_groups(const struct ebb_reclaim *r, struct ebb_reclaim_group ret_groups[EBB_RECLAIM_PASSES],
                        unsigned *ret_count)
{
    struct ebb_reclaim_group *group = NULL;
    unsigned count = 0;

    for (unsigned i = 0; i < EBB_RECLAIM_PASSES; i++) {
        struct ebb_reclaim_pass pass;
        int err = ebb__reclaim_pass(r, EBB_RECLAIM_FIRST - i, &pass);

        if (err != 0)
            return err;
        if (group == NULL || group->pass.rule != pass.rule || group->pass.other != pass.other) {
            group = &ret_groups[count++];
            *group = (struct ebb_reclaim_group){.first = pass.priority, .pass = pass, .any = looks(&pass)};
        } else if (!group->any && looks(&pass)) {
            group->any = true;
            group->pass = pass;
        } else {
            widen_share(&group->pass, &pass);
        }
        group->last = pass.priority;
    }
    *ret_count = count;
    return 0;
}

void ebb__reclaim_weights(const struct ebb_reclaim *r, uint64_t swappiness, double *ret_low, double *ret_high)
{
    struct weights dear = weights_of(swappiness, true);
    struct weights cheap = weights_of(swappiness, false);

    *ret_low = r->bounded ? share(dear.anon, dear.file) : 0;
    *ret_high = r->bounded ? share(cheap.anon, cheap.file) : swappiness == 0 ? 0 : 100;
}

/* ---- how far it is ---- */

/* Of requests that any zone of the node could serve. */
static uint64_t reserve_of(const struct ebb_zone *zone)
{
    return zone->protection_count == 0 ? 0 : zone->protection[zone->protection_count - 1];
}

bool ebb__reclaim_zone(const struct ebb_zone *zone, struct ebb_reclaim_zone *ret_zone)
{
    if (!zone->free.known || !zone->min.known || !zone->low.known || !zone->managed.known ||
        zone->managed.value == 0)
        return false;
    ret_zone->reserve_pages = reserve_of(zone);
    ret_zone->to_kswapd_pages = (int64_t)(zone->free.value - zone->low.value - ret_zone->reserve_pages);
    ret_zone->to_direct_pages = (int64_t)(zone->free.value - zone->min.value - ret_zone->reserve_pages);
    ret_zone->state = zone->free.value <= zone->min.value   ? EBB_RECLAIM_DIRECT
                      : zone->free.value <= zone->low.value ? EBB_RECLAIM_KSWAPD
                                                            : EBB_RECLAIM_CALM;
    return true;
}

bool ebb__reclaim_distance(const struct ebb_node *node, uint64_t *ret_to_kswapd_pages,
                           uint64_t *ret_to_direct_pages)
{
    uint64_t to_kswapd = 0;
    uint64_t to_direct = 0;
    bool any = false;

    for (unsigned i = 0; i < node->zone_count; i++) {
        struct ebb_reclaim_zone zone;

        if (!ebb__reclaim_zone(&node->zones[i], &zone))
            continue;
        any = true;
        to_kswapd += zone.to_kswapd_pages > 0 ? (uint64_t)zone.to_kswapd_pages : 0;
        to_direct += zone.to_direct_pages > 0 ? (uint64_t)zone.to_direct_pages : 0;
    }
    if (any) {
        *ret_to_kswapd_pages = to_kswapd;
        *ret_to_direct_pages = to_direct;
    }
    return any;
}

/* ---- blocks for huge pages ---- */

bool ebb__reclaim_blocks(const struct ebb_buddyinfo *info, unsigned node, unsigned order,
                         struct ebb_reclaim_blocks *ret_blocks)
{
    uint64_t free_pages = 0;
    uint64_t count = 0;
    bool any = false;

    for (unsigned i = 0; i < info->zone_count; i++) {
        const struct ebb_buddy_zone *zone = &info->zones[i];

        if (zone->node != node || order >= zone->order_count)
            continue;
        any = true;
        for (unsigned o = 0; o < zone->order_count; o++) {
            free_pages += zone->blocks[o] << o;
            if (o >= order)
                count += zone->blocks[o] << (o - order);
        }
    }
    if (!any)
        return false;
    ret_blocks->count = count;
    ret_blocks->free_pages = free_pages;
    ret_blocks->unusable_share =
        free_pages == 0 ? 100 : 100 * (double)(free_pages - (count << order)) / (double)free_pages;
    return true;
}
