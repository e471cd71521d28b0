/* SPDX-License-Identifier: MIT
 *
 * What ebb reclaim looks at, and the scopes in which the kernel reclaims; see reclaim.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tool/cmd.h"
#include "tool/reclaim.h"
#include "tool/target.h"

/* Sizes of pages of hugetlb that are looked for: up to 2^39 bytes. */
#define SIZE_SHIFT_MAX 39

/* ---- the host ---- */

static void add_size(struct ebb_reclaim_facts *facts, uint64_t bytes, bool thp)
{
    unsigned i = 0;

    while (i < facts->size_count && facts->sizes[i].bytes != bytes)
        i++;
    if (i == EBB_RECLAIM_SIZES_MAX || bytes == 0 || (bytes & (bytes - 1)) != 0)
        return;
    facts->sizes[i].bytes = bytes;
    if (thp)
        facts->sizes[i].thp = true;
    else
        facts->sizes[i].hugetlb = true;
    facts->size_count += i == facts->size_count;
}

static void find_sizes(struct ebb_reclaim_facts *facts)
{
    struct ebb_fact pmd = ebb__file_number(facts->root, "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");

    for (unsigned shift = 16; shift <= SIZE_SHIFT_MAX; shift++) {
        char path[64];
        int fd;

        snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB",
                 UINT64_C(1) << (shift - 10));
        fd = ebb__file_open(facts->root, path);
        if (fd < 0)
            continue;
        close(fd);
        add_size(facts, UINT64_C(1) << shift, false);
    }
    if (facts->memory.huge_page_bytes.known)
        add_size(facts, facts->memory.huge_page_bytes.value, false);
    if (pmd.known)
        add_size(facts, pmd.value, true);
}

static bool may_demote(const char *root)
{
    char text[16];
    size_t len;

    return ebb__file_read(root, "/sys/kernel/mm/numa/demotion_enabled", text, sizeof(text), &len) == 0 &&
           len >= 4 && memcmp(text, "true", 4) == 0;
}

static void collect_host(struct ebb_reclaim_facts *facts)
{
    ebb__host_read(facts->root, &facts->host);
    ebb__meminfo_read(facts->root, &facts->memory);
    facts->buddies_error = ebb__buddyinfo_read(facts->root, &facts->buddies);
    facts->swaps_error = ebb__swaps_read(facts->root, &facts->swaps);
    ebb__lru_gen_read(facts->root, &facts->lru_gen);
    facts->swappiness = ebb__file_number(facts->root, "/proc/sys/vm/swappiness");
    facts->zone_reclaim_mode = ebb__file_number(facts->root, "/proc/sys/vm/zone_reclaim_mode");
    facts->may_demote = facts->zones.node_count > 1 && may_demote(facts->root);
    find_sizes(facts);
}

/* ---- the cgroup ---- */

static struct ebb_fact room_below(struct ebb_fact limit, struct ebb_fact used)
{
    if (!limit.known || limit.value == UINT64_MAX)
        return limit;
    if (!used.known)
        return used;
    return ebb__fact(limit.value > used.value ? limit.value - used.value : 0);
}

static struct ebb_fact least(struct ebb_fact a, struct ebb_fact b)
{
    if (!a.known || !b.known)
        return a.known ? a : b;
    return a.value < b.value ? a : b;
}

static int read_level(const struct ebb_reclaim_facts *facts, struct ebb_reclaim_level *level)
{
    const struct ebb_cgroup *group = &level->facts;
    int err = ebb__cgroup_read(facts->root, &facts->tree, level->path, &level->facts);

    if (err != 0)
        return err;
    level->room_bytes = room_below(least(group->limit_bytes, group->high_bytes), group->usage_bytes);
    level->swap_room_bytes = room_below(group->swap_limit_bytes, group->swap_bytes);
    return 0;
}

/* The level that runs out first; of two with the same room the lower one. */
static unsigned find_target(const struct ebb_reclaim_facts *facts)
{
    unsigned target = facts->level_count;

    for (unsigned i = 0; i < facts->level_count; i++) {
        struct ebb_fact room = facts->levels[i].room_bytes;

        if (room.known && room.value != UINT64_MAX &&
            (target == facts->level_count || room.value < facts->levels[target].room_bytes.value))
            target = i;
    }
    return target;
}

static int collect_cgroup(struct ebb_reclaim_facts *facts, const char *cgroup)
{
    int status = ebb__target_find_cgroup("reclaim", facts->root, cgroup, &facts->tree, facts->levels[0].path);
    int err;

    if (status != EBB_EXIT_OK)
        return status;
    for (;;) {
        struct ebb_reclaim_level *level = &facts->levels[facts->level_count];

        err = read_level(facts, level);
        if (err != 0 && facts->level_count == 0) {
            fprintf(stderr, "ebb reclaim: --cgroup %s: %s\n", facts->levels[0].path, strerror(-err));
            return err == -ENOENT ? EBB_EXIT_NO_TARGET : EBB_EXIT_FAILED;
        }
        if (err != 0)
            break;
        if (++facts->level_count == EBB_RECLAIM_LEVELS_MAX)
            break;
        memcpy(level[1].path, level->path, EBB_CGROUP_PATH_BYTES);
        if (!ebb__cgroup_parent(level[1].path))
            break;
    }
    facts->target = find_target(facts);
    facts->own_swappiness = facts->levels[0].facts.swappiness;
    return EBB_EXIT_OK;
}

int ebb__reclaim_collect(struct ebb_reclaim_facts *facts, const char *root, const char *cgroup)
{
    int status = EBB_EXIT_OK;
    int err;

    memset(facts, 0, sizeof(*facts));
    facts->root = root;
    err = ebb__zoneinfo_read(root, &facts->zones);
    if (err != 0) {
        fprintf(stderr, "ebb reclaim: %s/proc/zoneinfo: %s\n", root, ebb__fact_why(ebb__fact_unknown(err)));
        return EBB_EXIT_FAILED;
    }
    collect_host(facts);
    if (cgroup != NULL)
        status = collect_cgroup(facts, cgroup);
    facts->ages_error = -ENODATA;
    if (status == EBB_EXIT_OK && (ebb__fact_or(facts->lru_gen.enabled, 0) & 1) != 0)
        facts->ages_error =
            ebb__lru_gen_ages_read(root, cgroup == NULL ? "/" : facts->levels[0].path, &facts->ages);
    return status;
}

/* ---- scopes ---- */

static uint64_t page_bytes(const struct ebb_reclaim_facts *facts)
{
    return ebb__fact_or(facts->host.page_bytes, 0);
}

static struct ebb_fact in_pages(const struct ebb_reclaim_facts *facts, struct ebb_fact bytes)
{
    if (!bytes.known || !facts->host.page_bytes.known)
        return bytes.known ? facts->host.page_bytes : bytes;
    return ebb__fact(bytes.value / facts->host.page_bytes.value);
}

bool ebb__reclaim_by_host(const struct ebb_reclaim_facts *facts)
{
    return facts->target == facts->level_count;
}

/* What scopes of all kinds have in common. */
static void init_reclaim(const struct ebb_reclaim_facts *facts, struct ebb_reclaim *reclaim)
{
    memset(reclaim, 0, sizeof(*reclaim));
    reclaim->cgroup = !ebb__reclaim_by_host(facts);
    reclaim->generations = (ebb__fact_or(facts->lru_gen.enabled, 0) & 1) != 0;
    reclaim->bounded = ebb__host_kernel_is(&facts->host, 5, 8);
    reclaim->may_demote = facts->may_demote;
    reclaim->page_bytes = page_bytes(facts);
    reclaim->swap_free = in_pages(facts, facts->memory.swap_free_bytes);
    reclaim->swappiness = facts->own_swappiness.known ? facts->own_swappiness : facts->swappiness;
}

/* Before 5.8 the rules did not ask what was wanted back. */
static bool may_be_wanted(const struct ebb_reclaim *reclaim, struct ebb_fact counter)
{
    return reclaim->bounded && !(counter.known && counter.value == 0);
}

static struct ebb_fact sum_of(const struct ebb_node *node, size_t at)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < node->zone_count; i++) {
        const struct ebb_fact *fact =
            (const struct ebb_fact *)(const void *)((const char *)&node->zones[i] + at);

        if (!node->zones[i].managed.known || node->zones[i].managed.value == 0)
            continue;
        if (!fact->known)
            return *fact;
        sum += fact->value;
    }
    return ebb__fact(sum);
}

bool ebb__reclaim_scope_of_node(const struct ebb_reclaim_facts *facts, unsigned index,
                                struct ebb_reclaim_scope *ret_scope)
{
    const struct ebb_node *node = &facts->zones.nodes[index];
    struct ebb_reclaim *reclaim = &ret_scope->reclaim;

    if (!node->inactive_file.known && !node->inactive_anon.known)
        return false;
    snprintf(ret_scope->name, sizeof(ret_scope->name), "node %u", node->number);
    ret_scope->node = node;
    ret_scope->unevictable = node->unevictable;
    init_reclaim(facts, reclaim);
    reclaim->inactive_anon = node->inactive_anon;
    reclaim->active_anon = node->active_anon;
    reclaim->inactive_file = node->inactive_file;
    reclaim->active_file = node->active_file;
    reclaim->anon_refaults = may_be_wanted(reclaim, node->activate_anon);
    reclaim->file_refaults = may_be_wanted(reclaim, node->activate_file);
    reclaim->free = sum_of(node, offsetof(struct ebb_zone, free));
    reclaim->high = sum_of(node, offsetof(struct ebb_zone, high));
    return true;
}

/* Version 1 asks the level that ran out, when memory and swap together are used up there; version 2 asks each level. */
static bool is_swap_limited(const struct ebb_reclaim_facts *facts)
{
    unsigned first = facts->tree.version == 1 ? facts->target : 0;
    unsigned end = facts->tree.version == 1 ? first + 1 : facts->level_count;

    for (unsigned i = first; i < end && i < facts->level_count; i++) {
        struct ebb_fact room = facts->levels[i].swap_room_bytes;

        if (room.known && room.value < page_bytes(facts))
            return true;
    }
    return false;
}

void ebb__reclaim_scope_of_cgroup(const struct ebb_reclaim_facts *facts, struct ebb_reclaim_scope *ret_scope)
{
    const struct ebb_reclaim_level *level = &facts->levels[ebb__reclaim_by_host(facts) ? 0 : facts->target];
    struct ebb_reclaim *reclaim = &ret_scope->reclaim;

    memcpy(ret_scope->name, level->path, sizeof(ret_scope->name));
    ret_scope->node = NULL;
    ret_scope->unevictable = in_pages(facts, level->facts.unevictable_bytes);
    init_reclaim(facts, reclaim);
    reclaim->inactive_anon = in_pages(facts, level->facts.inactive_anon_bytes);
    reclaim->active_anon = in_pages(facts, level->facts.active_anon_bytes);
    reclaim->inactive_file = in_pages(facts, level->facts.inactive_file_bytes);
    reclaim->active_file = in_pages(facts, level->facts.active_file_bytes);
    reclaim->swap_limited = is_swap_limited(facts);
    reclaim->anon_refaults = may_be_wanted(reclaim, level->facts.refault_anon);
    reclaim->file_refaults = may_be_wanted(reclaim, level->facts.refault_file);
}
