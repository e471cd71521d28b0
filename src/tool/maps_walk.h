/* SPDX-License-Identifier: MIT
 *
 * The mappings of a process with all that is to be had of them, one at a time: for `ebb maps`.
 *
 * First a survey over the mappings without their pages, which is cheap; it tells what the process is (allocators, threads) and how long
 * smaps would take. Then the walk itself, over smaps, or without it over maps alone, where what smaps would have said is
 * unknown, with the reason.
 */
#ifndef EBB_TOOL_MAPS_WALK_H
#define EBB_TOOL_MAPS_WALK_H

#include "model/vma.h"
#include "probe/probe.h"
#include "tool/target.h"

/* More is not done without being asked for, in ms. */
#define EBB_MAPS_BUDGET_MS 1000

#define EBB_MAPS_NAME_BYTES (PATH_MAX + 64)

struct ebb_maps_row {
    struct ebb_map map; /* without its name */
    struct ebb_fact facts[EBB_SMAPS_FIELD_COUNT];
    bool has_flags;
    uint64_t flags;
    struct ebb_vma_verdict verdict;
    const char *file; /* decoded, with " (deleted)"; "" without a name; valid until the next call */
};

struct ebb_maps_want {
    bool deep; /* read smaps whatever it takes */
    bool range;
    uint64_t
        low; /* of the range: mappings that have something in [low, high), and their pages without smaps */
    uint64_t high;
};

struct ebb_maps_survey {
    struct ebb_vma_hints hints;
    uint64_t map_count; /* with [vsyscall] */
    uint64_t total_bytes;
    uint64_t rss_bytes; /* of /proc/PID/status; 0 when it is not known */
    bool by_query;      /* PROCMAP_QUERY, not the text of maps */
};

struct ebb_maps_walk {
    const struct ebb_target *target;
    struct ebb_maps_want want;
    struct ebb_maps_survey survey;
    uint64_t estimate_ms; /* what smaps would take */
    enum { EBB_MAPS_SMAPS, EBB_MAPS_PAGES, EBB_MAPS_MAPS } source;
    int why; /* -errno: why smaps is not read */
    struct ebb_vma_walk vmas;
    struct ebb_smaps smaps;
    struct ebb_vma_query query;
    struct ebb_pages pages;
    bool has_pages;
    bool at_end;
    unsigned turn;
    struct ebb_maps_row rows[2]; /* read: one is judged while the other has come in */
    char names[2][EBB_MAPS_NAME_BYTES];
};

/* What is known of a process before its mappings are looked at: threads, where its program is, and, if wanted, its resident bytes. */
void ebb__maps_know(const struct ebb_target *target, struct ebb_vma_hints *hints, uint64_t *ret_rss_bytes);

/* Tells of the process what maps without pages tells. 0, or -errno; -ESRCH when it has no mappings. */
int ebb__maps_survey(const struct ebb_target *target, struct ebb_maps_survey *ret_survey);

/* 0, or -errno as above. */
int ebb__maps_walk_open(struct ebb_maps_walk *walk, const struct ebb_target *target,
                        const struct ebb_maps_want *want);
void ebb__maps_walk_close(struct ebb_maps_walk *walk);

/* The next row. 1, 0 at the end, or -errno. */
int ebb__maps_walk_next(struct ebb_maps_walk *walk, const struct ebb_maps_row **ret_row);

#endif
