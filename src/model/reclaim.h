/* SPDX-License-Identifier: MIT
 *
 * What the kernel's reclaim will look at next, by which rule, and how far the host is from it.
 *
 * With classic lists a node, and each memory cgroup on it, has four: anonymous and file pages, inactive and active. A reclaim is a
 * row of passes with falling priority, 12 to 0, until enough was freed; a pass at priority P looks at a list's pages >> P, but not
 * at every list: rules decide (reclaim.def), anew in each pass, since some ask whether list >> P is above 0. Pages of active lists
 * are moved to the inactive ones by the way, which the kernel's pgscan_* do not count.
 *
 * The weights of the rule "proportional": swappiness S against 200 - S, times a factor of 1/2 to 2 (since 5.8) that stands for
 * what reading back either kind has cost. The costs cannot be seen from outside, so the answer is a pair of bounds. Numbers are
 * rounded down for each list as the kernel does, which is why short lists get nothing in early passes.
 *
 * Pages that were wanted back since the last reclaim stop the rules of thrift (cache_trim, file_is_tiny). When a counter that could
 * tell is not 0 it cannot be seen whether that was since: then there are two rules, and bounds that hold both.
 */
#ifndef EBB_MODEL_RECLAIM_H
#define EBB_MODEL_RECLAIM_H

#include <stdbool.h>
#include <stdint.h>

#include "probe/buddyinfo.h"
#include "probe/fact.h"
#include "probe/zoneinfo.h"

enum ebb_reclaim_rule {
#define EBB_RECLAIM_RULE(id, name, scans, sentence) EBB_RECLAIM_##id,
#include "model/reclaim.def"
#undef EBB_RECLAIM_RULE
    EBB_RECLAIM_RULE_COUNT
};

struct ebb_reclaim_rule_row {
    const char *name;
    const char *scans;
    const char *sentence;
};

extern const struct ebb_reclaim_rule_row ebb__reclaim_rules[EBB_RECLAIM_RULE_COUNT];

#define EBB_RECLAIM_PASSES     13 /* priorities 12 to 0 */
#define EBB_RECLAIM_FIRST      12
#define EBB_RECLAIM_SWAPPINESS 200 /* the most; 100 before 5.8 */
#define EBB_RECLAIM_SWAP_BATCH 64  /* pages: with less swap than this, generations do without */

/* Whose pages are reclaimed: a node's, or a memory cgroup's. Numbers are pages. */
struct ebb_reclaim {
    bool cgroup;        /* because of a memory cgroup's limit, not for the host */
    bool generations;   /* multi-gen lists are in use */
    bool bounded;       /* the kernel bounds the weights: 5.8 and later */
    bool may_demote;    /* anonymous pages can go to a slower node */
    bool swap_limited;  /* the cgroup's own limit leaves no swap */
    bool anon_refaults; /* pages may have been wanted back since the last reclaim */
    bool file_refaults;
    uint64_t page_bytes;
    struct ebb_fact inactive_anon;
    struct ebb_fact active_anon;
    struct ebb_fact inactive_file;
    struct ebb_fact active_file;
    struct ebb_fact swap_free; /* on the host */
    struct ebb_fact swappiness;
    struct ebb_fact free; /* of the node, for the host's reclaim; and the sum of its high watermarks */
    struct ebb_fact high;
};

struct ebb_reclaim_pass {
    unsigned priority;
    enum ebb_reclaim_rule rule;  /* when no page was wanted back */
    enum ebb_reclaim_rule other; /* when some were; the same when that makes no difference, or is known */
    /* Pages of the inactive lists that are looked at: at least and at most. */
    uint64_t anon_low;
    uint64_t anon_high;
    uint64_t file_low;
    uint64_t file_high;
    /* Of anonymous pages among them, in percent; meaningless when `anon_high` and `file_high` are 0. */
    double share_low;
    double share_high;
};

/* Whether the inactive list is so short that active pages are moved to it. */
bool ebb__reclaim_is_short(uint64_t inactive, uint64_t active, uint64_t page_bytes);

/* How many times the inactive list the active one may be: 1 below 1 GiB, else the root of ten times the GiB of both. */
unsigned ebb__reclaim_ratio(uint64_t inactive, uint64_t active, uint64_t page_bytes);

/* One pass. 0, or -ENODATA when something that decides is not known. */
int ebb__reclaim_pass(const struct ebb_reclaim *reclaim, unsigned priority,
                      struct ebb_reclaim_pass *ret_pass);

/* Passes that follow each other by the same rule. */
struct ebb_reclaim_group {
    unsigned first; /* priority of the first of them, and of the last, which is lower */
    unsigned last;
    bool any;                     /* some of them look at something: */
    struct ebb_reclaim_pass pass; /* the first that does, with the bounds of all of them */
};

/* All passes. 0 and how many groups, or -ENODATA. */
int ebb__reclaim_groups(const struct ebb_reclaim *reclaim,
                        struct ebb_reclaim_group ret_groups[EBB_RECLAIM_PASSES], unsigned *ret_count);

/* What swappiness weighs here, in percent of anonymous pages, of lists of the same length. */
void ebb__reclaim_weights(const struct ebb_reclaim *reclaim, uint64_t swappiness, double *ret_low,
                          double *ret_high);

/* ---- how far it is ---- */

enum ebb_reclaim_state {
    EBB_RECLAIM_CALM,   /* above low */
    EBB_RECLAIM_KSWAPD, /* at or below low: kswapd has work, until high */
    EBB_RECLAIM_DIRECT, /* at or below min: who allocates reclaims for himself */
};

struct ebb_reclaim_zone {
    uint64_t reserve_pages;  /* not for requests that a higher zone could serve, which are nearly all */
    int64_t to_kswapd_pages; /* free above low and the reserve; below 0: so much is missing */
    int64_t to_direct_pages; /* the same above min */
    enum ebb_reclaim_state state;
};

/* False when the zone has no memory, or something is not known. */
bool ebb__reclaim_zone(const struct ebb_zone *zone, struct ebb_reclaim_zone *ret_zone);

/* How many pages ordinary requests may take of a node before all of its zones are at low, or at min. False when not known. */
bool ebb__reclaim_distance(const struct ebb_node *node, uint64_t *ret_to_kswapd_pages,
                           uint64_t *ret_to_direct_pages);

/* ---- blocks for huge pages ---- */

struct ebb_reclaim_blocks {
    uint64_t count;      /* blocks of 2^order pages that could be handed out now */
    uint64_t free_pages; /* in all blocks */
    double
        unusable_share; /* of what is free, in percent: blocks that are too small; 100 when nothing is free */
};

/* Of the zones of a node. False when the kernel keeps no blocks of that order. */
bool ebb__reclaim_blocks(const struct ebb_buddyinfo *info, unsigned node, unsigned order,
                         struct ebb_reclaim_blocks *ret_blocks);

#endif
