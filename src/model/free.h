/* SPDX-License-Identifier: MIT
 *
 * What is used, free and to be had, in the words of free(1): of a host, and of what runs inside a memory cgroup.
 */
#ifndef EBB_MODEL_FREE_H
#define EBB_MODEL_FREE_H

#include "probe/cgroup.h"
#include "probe/fact.h"
#include "probe/meminfo.h"

struct ebb_free {
    struct ebb_fact total_bytes;
    struct ebb_fact used_bytes; /* total - available */
    struct ebb_fact free_bytes;
    struct ebb_fact shared_bytes;
    struct ebb_fact buffers_bytes;
    struct ebb_fact cache_bytes; /* page cache, shared memory and slabs that can shrink */
    struct ebb_fact available_bytes;
    struct ebb_fact swap_total_bytes;
    struct ebb_fact swap_used_bytes;
    struct ebb_fact swap_free_bytes;
};

/* Of the host. */
void ebb__free_of_host(const struct ebb_meminfo *info, struct ebb_free *ret_free);

/* Of what runs in levels[0], whose parents up to the top are levels[1 ..]: the nearest limit counts, and never more than the host has.
 * Available is what is left below the limit, and of the cache what reclaim gets back without harm: inactive file pages, half
 * of the active ones, half of the slabs that can shrink, less what must be written first. It is the least of all levels. */
void ebb__free_of_cgroup(const struct ebb_cgroup *levels, unsigned level_count, const struct ebb_free *host,
                         struct ebb_free *ret_free);

#endif
