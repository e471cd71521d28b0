/* SPDX-License-Identifier: MIT
 * Questions and orders about the whole heap. */
#include "api/api.h"
#include "conf/conf.h"
#include "ebb/malloc.h"
#include "governor/governor.h"

const char *ebb_version(void)
{
    return EBB_VERSION;
}

int ebb__api_trim(size_t keep_bytes)
{
    ebb__cache_flush_thread();
    return ebb__governor_trim(keep_bytes) != 0;
}

int ebb_trim(size_t keep_bytes)
{
    return ebb__api_trim(keep_bytes);
}

void ebb_thread_flush(void)
{
    ebb__cache_flush_thread();
}

int ebb_stats_get(struct ebb_stats *ret_stats)
{
    struct ebb_heap_stats heap;
    size_t cached_blocks, cached_bytes;
    if (ret_stats->size_of_struct != sizeof(struct ebb_stats))
        return -EINVAL;
    ebb__heap_stats(&heap);
    ebb__cache_stats(&cached_blocks, &cached_bytes);
    size_t bytes_out = heap.slab_bytes + heap.span_bytes, blocks_out = heap.slab_blocks + heap.span_blocks;
    *ret_stats = (struct ebb_stats){
        .size_of_struct = sizeof(struct ebb_stats),
        .live_bytes = bytes_out - ebb__min(cached_bytes, bytes_out) + heap.lane_bytes,
        .live_blocks = blocks_out - ebb__min(cached_blocks, blocks_out) + heap.lane_blocks,
        .cached_bytes = cached_bytes,
        .backed_bytes = heap.backed_bytes,
        .dirty_bytes = heap.dirty_bytes,
        .committed_bytes = heap.committed_bytes,
        .reserved_bytes = heap.reserved_bytes,
        .lane_bytes = heap.lane_bytes,
        .mappings = heap.mappings,
    };
    return 0;
}

int ebb_check(void)
{
    ebb__lock_take(
        &ebb__return_lock); /* nor does our own thread give memory back, or empty caches, meanwhile */
    int rc = ebb__heap_check();
    if (rc == 0)
        rc = ebb__cache_check();
    ebb__lock_release(&ebb__return_lock);
    return rc;
}

long ebb_option_get(const char *name)
{
    return ebb__conf_get(name);
}
