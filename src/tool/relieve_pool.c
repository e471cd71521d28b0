/* SPDX-License-Identifier: MIT
 *
 * What of a server's buffer pool is resident, on either side of a size that it might have.
 *
 * A pool that is one range of addresses lies at the start of a reservation of innodb_buffer_pool_size_max, from the first address that
 * is a multiple of 8 MiB. What has not been used of the reservation is inaccessible, and it is by far the longest mapping; its end
 * tells where the pool begins, for in front of it there may be other memory that the kernel has joined with it. All of the pool must
 * be accessible, and behind it nothing may be resident; else it is something else.
 */
#include <errno.h>

#include "model/vma.h"
#include "tool/maps.h"
#include "tool/relieve.h"

/* Where the server aligns to: the reservation is so much longer than the pool may become, less one byte, at most. */
#define EXTENT_BYTES (UINT64_C(8) << 20)

struct range {
    uint64_t start;
    uint64_t end;
};

static bool is_anonymous(const struct ebb_map *map)
{
    return map->inode == 0 && !map->shared && map->name_len == 0;
}

/* The end of the longest mapping without a file. */
static int find_end(pid_t pid, uint64_t *ret_end)
{
    struct ebb_maps maps;
    struct ebb_map map;
    uint64_t longest_bytes = 0;
    int got = ebb__maps_open(&maps, "", pid);

    if (got != 0)
        return got;
    *ret_end = 0;
    while ((got = ebb__maps_next(&maps, &map)) > 0) {
        if (!is_anonymous(&map) || map.end - map.start <= longest_bytes)
            continue;
        longest_bytes = map.end - map.start;
        *ret_end = map.end;
    }
    ebb__maps_close(&maps);
    return got;
}

/* Bytes of [start, end) that the process may write, of mappings without a file. */
static int count_writable(pid_t pid, uint64_t start, uint64_t end, uint64_t *ret_bytes)
{
    struct ebb_maps maps;
    struct ebb_map map;
    int got = ebb__maps_open(&maps, "", pid);

    if (got != 0)
        return got;
    *ret_bytes = 0;
    while ((got = ebb__maps_next(&maps, &map)) > 0 && map.start < end) {
        uint64_t low = map.start > start ? map.start : start;
        uint64_t high = map.end < end ? map.end : end;

        if (is_anonymous(&map) && map.writable && high > low)
            *ret_bytes += high - low;
    }
    ebb__maps_close(&maps);
    return got < 0 ? got : 0;
}

static int find_range(pid_t pid, const struct ebb_pool *pool, struct range *ret_range)
{
    struct range range;
    uint64_t writable_bytes;
    int err = find_end(pid, &range.end);

    if (err != 0)
        return err;
    if (range.end < pool->size_max_bytes.value || pool->size_bytes.value > pool->size_max_bytes.value)
        return -ENOENT;
    range.start = (range.end - pool->size_max_bytes.value) & ~(EXTENT_BYTES - 1);
    err = count_writable(pid, range.start, range.start + pool->size_bytes.value, &writable_bytes);
    if (err != 0)
        return err;
    if (writable_bytes != pool->size_bytes.value)
        return -ENOENT;
    *ret_range = range;
    return 0;
}

static int count_range(const struct ebb_pool *pool, uint64_t new_bytes, const struct range *range,
                       struct ebb_pages *pages, struct ebb_pool_backing *ret_backing)
{
    struct ebb_pages_count below = {0}, behind = {0}, outside = {0};
    uint64_t cut = range->start + new_bytes;
    uint64_t end = range->start + pool->size_bytes.value;
    int err;

    if (end > range->end || cut > end)
        return -ENOENT;
    err = ebb__pages_count(pages, range->start, cut, &below);
    if (err == 0)
        err = ebb__pages_count(pages, cut, end, &behind);
    /* Of nothing that is terabytes long only PAGEMAP_SCAN can tell in time. */
    if (err == 0 && pages->scans)
        err = ebb__pages_count(pages, end, range->end, &outside);
    if (err == 0 && outside.resident_bytes > EXTENT_BYTES)
        err = -ENOENT;
    if (err != 0)
        return err;
    *ret_backing = (struct ebb_pool_backing){
        .resident_bytes = below.resident_bytes + behind.resident_bytes,
        .behind_bytes = behind.resident_bytes,
        .holes_bytes = new_bytes > below.resident_bytes ? new_bytes - below.resident_bytes : 0,
    };
    return 0;
}

static int look_at_range(const struct ebb_relieve *relieve, const struct ebb_pool *pool, uint64_t new_bytes,
                         struct ebb_pool_backing *ret_backing)
{
    pid_t pid = relieve->target->pid;
    struct ebb_pages pages;
    struct range range;
    int err = find_range(pid, pool, &range);

    if (err == 0)
        err = ebb__pages_open(&pages, "", pid, false);
    if (err != 0)
        return err;
    err = count_range(pool, new_bytes, &range, &pages, ret_backing);
    ebb__pages_close(&pages);
    return err;
}

/* Chunks are mappings like any other of that size: what is resident of all of those, and no more than there can be. */
static int look_at_chunks(const struct ebb_relieve *relieve, const struct ebb_pool *pool,
                          struct ebb_pool_backing *ret_backing)
{
    static struct ebb_maps_walk walk;
    const struct ebb_maps_want want = {.deep = false};
    const struct ebb_maps_row *row;
    uint64_t resident_bytes = 0;
    int got = ebb__maps_walk_open(&walk, relieve->target, &want);
    int err = 0;

    if (got != 0)
        return got;
    while ((got = ebb__maps_walk_next(&walk, &row)) > 0) {
        if (row->verdict.vma_class != EBB_VMA_CLASS_POOL)
            continue;
        if (!row->facts[EBB_SMAPS_RSS].known && err == 0)
            err = row->facts[EBB_SMAPS_RSS].err;
        resident_bytes += ebb__fact_or(row->facts[EBB_SMAPS_RSS], 0);
    }
    ebb__maps_walk_close(&walk);
    if (got < 0 || err != 0)
        return got < 0 ? got : err;
    *ret_backing = (struct ebb_pool_backing){
        .resident_bytes = resident_bytes < pool->size_bytes.value ? resident_bytes : pool->size_bytes.value};
    return 0;
}

int ebb__relieve_backing(const struct ebb_relieve *relieve, const struct ebb_pool *pool, uint64_t new_bytes,
                         struct ebb_pool_backing *ret_backing, const char **ret_why)
{
    int err = ebb__pool_is_one_range(pool) ? look_at_range(relieve, pool, new_bytes, ret_backing)
                                           : look_at_chunks(relieve, pool, ret_backing);

    *ret_why = err == -ENOENT        ? "the mapping of its pool is not found"
               : err == -EINPROGRESS ? "to count the pool's resident pages would take long on this kernel"
               : err != 0            ? ebb__fact_why(ebb__fact_unknown(err))
                                     : "";
    return err;
}
