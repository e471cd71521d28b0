/* SPDX-License-Identifier: MIT
 *
 * The caches of threads in glibc's malloc, found from outside; see glibc.h.
 *
 * A cache is a block of known size in some arena. The one pointer to it is a thread's own variable, which lies where the C library puts
 * them: near the upper end of the thread's stack, or, for the first thread, in a small mapping. So each word there is tried that could be
 * such a pointer. What it leads to must be a block of that size, in which each list is empty where its counter is 0 and begins with a
 * block of the list's size where it is not. The cache of a thread that has ended has counters without lists.
 */
#include <errno.h>
#include <string.h>

#include "probe/glibc.h"
#include "probe/glibc_priv.h"

#define LISTS 64

/* Memory is searched in pieces of this size. */
#define PIECE_BYTES 4096

struct tcache {
    uint64_t blocks;
    uint64_t bytes;
};

static size_t counters_bytes(const struct ebb_glibc_layout *layout)
{
    return (size_t)LISTS * layout->tcache_count_bytes;
}

static uint64_t cache_block_bytes(const struct ebb_glibc_layout *layout)
{
    return (counters_bytes(layout) + LISTS * 8 + 8 + CHUNK_ALIGN - 1) / CHUNK_ALIGN * CHUNK_ALIGN;
}

static bool is_heap(struct ebb_glibc_process *process, const struct ebb_glibc *glibc, uint64_t heap)
{
    struct glibc_chunk_head info; /* the arena, the heap before, bytes */

    return heap != 0 && ebb__glibc_peek(process, heap, &info, sizeof(info)) == 0 &&
           info.before_bytes % glibc->heap_align == glibc->layout->heap_info_bytes &&
           info.fd <= glibc->heap_align;
}

/* Whether a pointer can be one into brk()'s heap or into a heap of one of the arenas. Most words are neither, and many of them alike. */
static bool is_in_arena(struct ebb_glibc_process *process, const struct ebb_glibc *glibc, uint64_t address,
                        struct ebb_glibc_tcaches *found)
{
    uint64_t heap = ebb__glibc_heap_of(glibc, address);
    size_t slot = (size_t)(heap / glibc->heap_align % EBB_GLIBC_TRIED);

    if (address >= process->heap_start && address < process->heap_end)
        return true;
    if (found->tried[slot] != heap) {
        found->is_heap[slot] = is_heap(process, glibc, heap);
        found->tried[slot] = heap;
    }
    return found->is_heap[slot];
}

/* Size of the blocks in a list. */
static uint64_t list_bytes(unsigned list)
{
    return CHUNK_MIN_BYTES + (uint64_t)list * CHUNK_ALIGN;
}

static unsigned counter_of(const struct ebb_glibc_layout *layout, const uint8_t *bytes, unsigned list)
{
    uint16_t wide;

    if (layout->tcache_count_bytes == 1)
        return bytes[list];
    memcpy(&wide, bytes + (size_t)list * 2, sizeof(wide));
    return wide;
}

/* Reads what may be a cache. */
static bool read_tcache(struct ebb_glibc_process *process, const struct ebb_glibc *glibc, uint64_t address,
                        struct tcache *ret_tcache)
{
    const struct ebb_glibc_layout *layout = glibc->layout;
    uint8_t bytes[LISTS * 2 + LISTS * 8];
    struct tcache tcache = {0};
    struct glibc_chunk_head heads[LISTS];
    struct glibc_chunk_head chunk;
    uint64_t firsts[LISTS];
    unsigned lists[LISTS];
    unsigned list_count = 0;

    if (ebb__glibc_chunk(process, address - 16, &chunk) != 0 ||
        (chunk.size & ~(uint64_t)CHUNK_FLAGS) != cache_block_bytes(layout) ||
        (chunk.size & CHUNK_MAPPED) != 0 ||
        ebb__glibc_peek(process, address, bytes, counters_bytes(layout) + LISTS * 8) != 0)
        return false;
    for (unsigned i = 0; i < LISTS; i++) {
        unsigned count = counter_of(layout, bytes, i);
        uint64_t first = ebb__glibc_word(bytes, counters_bytes(layout) + (size_t)i * 8);

        if ((count == 0) != (first == 0) || first % CHUNK_ALIGN != 0 ||
            (glibc->has_par && count > glibc->par[EBB_GLIBC_PAR_TCACHE_COUNT]))
            return false;
        if (count == 0)
            continue;
        tcache.blocks += count;
        tcache.bytes += count * list_bytes(i);
        lists[list_count] = i;
        firsts[list_count++] = first - 16;
    }
    if (ebb__glibc_chunks(process, firsts, list_count, heads) != 0)
        return false;
    for (unsigned i = 0; i < list_count; i++)
        if ((heads[i].size & ~(uint64_t)CHUNK_FLAGS) != list_bytes(lists[i]))
            return false;
    *ret_tcache = tcache;
    /* A block of zeros would pass too, and an empty cache tells nothing. */
    return tcache.blocks != 0;
}

static bool is_known(const struct ebb_glibc_tcaches *found, uint64_t address)
{
    for (size_t i = 0; i < found->count; i++)
        if (found->addresses[i] == address)
            return true;
    return false;
}

static void try_word(struct ebb_glibc_process *process, const struct ebb_glibc *glibc, uint64_t word,
                     struct ebb_glibc_tcaches *found)
{
    struct tcache tcache;

    if (word == 0 || word % CHUNK_ALIGN != 0 || !is_in_arena(process, glibc, word, found) ||
        is_known(found, word) || !read_tcache(process, glibc, word, &tcache) || found->count == found->room)
        return;
    found->addresses[found->count++] = word;
    found->blocks += tcache.blocks;
    found->bytes += tcache.bytes;
}

void ebb__glibc_tcaches_in(struct ebb_glibc_process *process, const struct ebb_glibc *glibc, uint64_t start,
                           uint64_t end, struct ebb_glibc_tcaches *found)
{
    uint64_t piece[PIECE_BYTES / 8];

    ebb__glibc_forget(process);
    for (; start < end; start += sizeof(piece)) {
        size_t len = (size_t)(end - start < sizeof(piece) ? end - start : sizeof(piece));

        if (ebb__glibc_peek(process, start, piece, len) != 0)
            continue;
        for (size_t i = 0; i < len / 8; i++)
            try_word(process, glibc, piece[i], found);
    }
}
