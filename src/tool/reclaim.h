/* SPDX-License-Identifier: MIT
 *
 * What the parts of ebb reclaim have in common: the facts, and the scopes in which the kernel reclaims.
 */
#ifndef EBB_TOOL_RECLAIM_H
#define EBB_TOOL_RECLAIM_H

#include "model/reclaim.h"
#include "probe/probe.h"
#include "tool/emit.h"

/* Memory cgroups do not nest deeper in practice; what lies above the topmost of these is not looked at. */
#define EBB_RECLAIM_LEVELS_MAX 16
#define EBB_RECLAIM_SIZES_MAX  8

/* Lists that are reclaimed together: those of a node, or of a memory cgroup. */
struct ebb_reclaim_scope {
    char name[EBB_CGROUP_PATH_BYTES]; /* "node 0", or a cgroup's path */
    const struct ebb_node *node;      /* NULL: a cgroup */
    struct ebb_reclaim reclaim;
    struct ebb_fact unevictable; /* pages */
};

/* A size of huge pages. */
struct ebb_reclaim_size {
    uint64_t bytes;
    bool thp;     /* transparent ones, mapped as a whole */
    bool hugetlb; /* of a pool */
};

struct ebb_reclaim_level {
    char path[EBB_CGROUP_PATH_BYTES];
    struct ebb_cgroup facts;
    struct ebb_fact room_bytes;      /* until it reclaims; UINT64_MAX: it has no limit */
    struct ebb_fact swap_room_bytes; /* of its own limit, whatever the host has; UINT64_MAX: likewise */
};

struct ebb_reclaim_facts {
    const char *root;
    struct ebb_host host;
    struct ebb_meminfo memory;
    struct ebb_zoneinfo zones;
    struct ebb_buddyinfo buddies;
    int buddies_error;
    struct ebb_swaps swaps;
    int swaps_error;
    struct ebb_lru_gen lru_gen;
    struct ebb_lru_gen_ages ages;
    int ages_error;
    struct ebb_fact swappiness;     /* the host's */
    struct ebb_fact own_swappiness; /* of the cgroup, where it has one */
    struct ebb_fact zone_reclaim_mode;
    bool may_demote;
    struct ebb_reclaim_size sizes[EBB_RECLAIM_SIZES_MAX];
    unsigned size_count;
    struct ebb_cgroup_tree tree;
    unsigned level_count; /* 0: no cgroup was asked for; levels[0] is what was, its parents follow */
    struct ebb_reclaim_level levels[EBB_RECLAIM_LEVELS_MAX];
    unsigned target; /* the level whose limit comes first, or level_count */
};

/* Collects; `cgroup` is a path or a target, or NULL. An exit status; a line on standard error when it is not EBB_EXIT_OK. */
int ebb__reclaim_collect(struct ebb_reclaim_facts *facts, const char *root, const char *cgroup);

/* The scope of a node. False when it has no memory. */
bool ebb__reclaim_scope_of_node(const struct ebb_reclaim_facts *facts, unsigned index,
                                struct ebb_reclaim_scope *ret_scope);

/* The scope of the level whose limit comes first, or of the cgroup itself when none has one. */
void ebb__reclaim_scope_of_cgroup(const struct ebb_reclaim_facts *facts, struct ebb_reclaim_scope *ret_scope);

/* True when it is the host that reclaims. */
bool ebb__reclaim_by_host(const struct ebb_reclaim_facts *facts);

/* The whole report. */
void ebb__reclaim_print(struct ebb_emit *emit, const struct ebb_reclaim_facts *facts);

/* Notes: what the tables cannot say. reclaim_notes.c */
void ebb__reclaim_notes(struct ebb_emit *emit, const struct ebb_reclaim_facts *facts,
                        const struct ebb_reclaim_scope *scopes, unsigned scope_count);

/* The group of passes that looks at something first, or the first of all. */
const struct ebb_reclaim_group *ebb__reclaim_next(const struct ebb_reclaim_group *groups, unsigned count);

#endif
