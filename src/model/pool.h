/* SPDX-License-Identifier: MIT
 *
 * InnoDB's buffer pool, made smaller: which sizes a server takes, which one its data would fit into, and what that gives back.
 *
 * There are two kinds. MariaDB from 10.11.12, 11.4.6 and 11.8.2 on has one range of addresses, which ends where the pool does: what is
 * resident behind the new end goes back to the kernel, and pages with data are moved below it first. Older ones and MySQL have chunks,
 * and which of them go is theirs to choose: there it is a share of what is resident. The variable innodb_buffer_pool_size_max tells
 * the two apart.
 */
#ifndef EBB_MODEL_POOL_H
#define EBB_MODEL_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "probe/fact.h"

/* Never suggested: what both servers have when nobody sets it. In less than that one large query leaves nothing of the rest. Whoever
 * asks for less by name gets it. */
#define EBB_POOL_FLOOR_BYTES (UINT64_C(128) << 20)

/* Below this MySQL takes no size, whatever its pages; and InnoDB needs so many pages to evict at all. */
#define EBB_POOL_LEAST_BYTES (UINT64_C(5) << 20)
#define EBB_POOL_LEAST_PAGES 320

/* Free pages that the page cleaner keeps in stock (innodb_lru_scan_depth, 1024 in MySQL, 1536 in MariaDB): a pool that its data just
 * fits into would evict for them at once. */
#define EBB_POOL_SPARE_PAGES 1536

struct ebb_pool {
    struct ebb_fact size_bytes;
    struct ebb_fact size_max_bytes; /* known: one range of addresses */
    struct ebb_fact chunk_bytes;
    struct ebb_fact instances;
    struct ebb_fact page_bytes;
    struct ebb_fact free_pages;
    struct ebb_fact total_pages;
};

/* What of the pool is resident. Of a pool in chunks only `resident_bytes`. */
struct ebb_pool_backing {
    uint64_t resident_bytes; /* in all of it */
    uint64_t behind_bytes;   /* resident behind the new end */
    uint64_t holes_bytes;    /* not resident below it */
};

static inline bool ebb__pool_is_one_range(const struct ebb_pool *pool)
{
    return pool->size_max_bytes.known;
}

/* The server takes multiples of this. Not known when it tells too little. */
struct ebb_fact ebb__pool_step(const struct ebb_pool *pool);

/* The size that the server makes of `bytes`: the next larger multiple of `step_bytes`. */
uint64_t ebb__pool_round(uint64_t bytes, uint64_t step_bytes);

/* The least size that it takes. */
uint64_t ebb__pool_least(const struct ebb_pool *pool);

/* The least size in which what it holds has room, with a stock of free pages. As large as it is, or larger: there is nothing to be had
 * without loss. */
struct ebb_fact ebb__pool_fit(const struct ebb_pool *pool);

/* What `new_bytes` instead of the present size gives back. */
struct ebb_fact ebb__pool_gain(const struct ebb_pool *pool, const struct ebb_pool_backing *backing,
                               uint64_t new_bytes);

#endif
