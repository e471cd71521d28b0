/* SPDX-License-Identifier: MIT
 *
 * Walking one arena of glibc's malloc in another process; see glibc.h.
 */
#include <errno.h>
#include <string.h>

#include "probe/glibc.h"
#include "probe/glibc_priv.h"

/* An arena that changed during each of so many walks is moving. */
#define WALK_ATTEMPTS 8

/* More heaps than an arena can have: 64 MiB each in 47 bits of addresses. */
#define HEAPS_MAX (1u << 21)

/* Heads that are read again with one call. */
#define BATCH 256

struct walk {
    struct ebb_glibc_process *process;
    const struct ebb_glibc *glibc;
    const struct glibc_arena_head *head;
    struct ebb_glibc_arena *arena;
    struct ebb_glibc_chunk *chunks;
    size_t room;
    size_t at;
    uint64_t bytes; /* so far */
};

/* The bin that blocks of this size belong into, once they have been sorted. */
static unsigned bin_of(uint64_t bytes)
{
    if (bytes < 1024)
        return (unsigned)(bytes / CHUNK_ALIGN);
    if (bytes >> 6 <= 48)
        return (unsigned)(48 + (bytes >> 6));
    if (bytes >> 9 <= 20)
        return (unsigned)(91 + (bytes >> 9));
    if (bytes >> 12 <= 10)
        return (unsigned)(110 + (bytes >> 12));
    if (bytes >> 15 <= 4)
        return (unsigned)(119 + (bytes >> 15));
    if (bytes >> 18 <= 2)
        return (unsigned)(124 + (bytes >> 18));
    return 126;
}

/* What a head says, in one word. Fast blocks have no way back: what stands there is no link. */
static uint64_t sum_of(const struct glibc_chunk_head *head, bool fast)
{
    uint64_t sum = (head->size ^ head->fd) * UINT64_C(0x9e3779b97f4a7c15);

    return fast ? sum : sum ^ (head->bk >> 32 | head->bk << 32);
}

/* Takes one free block. 0; -EAGAIN when it cannot be; -ENOSPC. */
static int take(struct walk *walk, uint64_t address, uint64_t bytes, enum ebb_glibc_kind kind,
                const struct glibc_chunk_head *head)
{
    struct ebb_glibc_arena *arena = walk->arena;
    unsigned bucket = 63 - (unsigned)__builtin_clzll(bytes);

    walk->bytes += bytes;
    if (walk->bytes > arena->system_bytes)
        return -EAGAIN;
    if (walk->at == walk->room)
        return -ENOSPC;
    walk->chunks[walk->at++] = (struct ebb_glibc_chunk){
        .address = address, .bytes = bytes, .sum = sum_of(head, kind == EBB_GLIBC_FAST)};
    arena->kinds[kind].count++;
    arena->kinds[kind].bytes += bytes;
    if (bucket < EBB_GLIBC_BUCKETS) {
        arena->buckets[bucket].count++;
        arena->buckets[bucket].bytes += bytes;
    }
    return 0;
}

static int walk_fastbin(struct walk *walk, unsigned number)
{
    uint64_t address = ebb__glibc_word(walk->head->bytes, ARENA_FASTBINS + (size_t)number * 8);
    uint64_t bytes = CHUNK_MIN_BYTES + (uint64_t)number * CHUNK_ALIGN;

    while (address != 0) {
        struct glibc_chunk_head chunk;
        int err;

        if (address % CHUNK_ALIGN != 0)
            return -EAGAIN;
        err = ebb__glibc_chunk(walk->process, address, &chunk);
        if (err != 0)
            return err;
        if ((chunk.size & ~(uint64_t)CHUNK_FLAGS) != bytes)
            return -EAGAIN;
        err = take(walk, address, bytes, EBB_GLIBC_FAST, &chunk);
        if (err != 0)
            return err;
        /* A hidden link is the address of the next one, mixed with where the link itself is. */
        address = walk->glibc->layout->hides_links ? chunk.fd ^ ((address + 16) >> 12) : chunk.fd;
    }
    return 0;
}

static int walk_bin(struct walk *walk, unsigned number)
{
    uint64_t self = ebb__glibc_bin_head(walk->arena->address, number);
    uint64_t address = ebb__glibc_bin_first(walk->head, number);
    uint64_t before = self;
    enum ebb_glibc_kind kind = number == 1               ? EBB_GLIBC_UNSORTED
                               : number < SMALL_BINS_END ? EBB_GLIBC_SMALL
                                                         : EBB_GLIBC_LARGE;

    while (address != self) {
        struct glibc_chunk_head chunk;
        uint64_t bytes;
        int err;

        if (address % CHUNK_ALIGN != 0)
            return -EAGAIN;
        err = ebb__glibc_chunk(walk->process, address, &chunk);
        if (err != 0)
            return err;
        bytes = chunk.size & ~(uint64_t)CHUNK_FLAGS;
        if (chunk.bk != before || bytes < CHUNK_MIN_BYTES || bytes % CHUNK_ALIGN != 0 ||
            (chunk.size & CHUNK_MAPPED) != 0 || (number != 1 && bin_of(bytes) != number))
            return -EAGAIN;
        err = take(walk, address, bytes, kind, &chunk);
        if (err != 0)
            return err;
        before = address;
        address = chunk.fd;
    }
    return ebb__glibc_bin_last(walk->head, number) == before ? 0 : -EAGAIN;
}

static int walk_lists(struct walk *walk)
{
    int err = 0;

    walk->at = 0;
    walk->bytes = walk->arena->top_bytes;
    ebb__glibc_forget(walk->process);
    for (unsigned i = 0; i < FASTBINS && err == 0; i++)
        err = walk_fastbin(walk, i);
    walk->arena->fast_count = walk->at;
    for (unsigned i = 1; i <= BINS && err == 0; i++)
        err = walk_bin(walk, i);
    walk->arena->chunk_count = walk->at;
    return err;
}

/* Reads all heads again. 0, -EAGAIN when one of them is not what it was. */
static int read_again(const struct walk *walk)
{
    struct glibc_chunk_head heads[BATCH];
    uint64_t addresses[BATCH];

    for (size_t at = 0; at < walk->at;) {
        size_t count = walk->at - at < BATCH ? walk->at - at : BATCH;
        int err;

        for (size_t i = 0; i < count; i++)
            addresses[i] = walk->chunks[at + i].address;
        err = ebb__glibc_chunks(walk->process, addresses, count, heads);
        if (err != 0)
            return err;
        for (size_t i = 0; i < count; i++)
            if (sum_of(&heads[i], at + i < walk->arena->fast_count) != walk->chunks[at + i].sum)
                return -EAGAIN;
        at += count;
    }
    return 0;
}

/* Counts the heaps of an arena, whose bytes add up to what the arena has. */
static int count_heaps(struct ebb_glibc_process *process, const struct ebb_glibc *glibc,
                       struct ebb_glibc_arena *arena)
{
    uint64_t heap = ebb__glibc_heap_of(glibc, arena->top);
    uint64_t bytes = 0;

    while (heap != 0) {
        uint64_t info[3]; /* the arena, the heap before, bytes */
        int err = ebb__glibc_peek(process, heap, info, sizeof(info));

        if (err != 0)
            return err;
        bytes += info[2];
        if (info[0] != arena->address || info[2] > glibc->heap_align || bytes > arena->system_bytes ||
            info[1] % glibc->heap_align != 0 || ++arena->heap_count == HEAPS_MAX)
            return -EAGAIN;
        heap = info[1];
    }
    return bytes == arena->system_bytes ? 0 : -EAGAIN;
}

static void take_head(const struct ebb_glibc *glibc, const struct glibc_arena_head *head, uint64_t address,
                      struct ebb_glibc_arena *ret_arena)
{
    *ret_arena = (struct ebb_glibc_arena){
        .address = address,
        .is_main = address == glibc->main_arena,
        .attached_threads = ebb__glibc_word(head->bytes, ARENA_ATTACHED),
        .system_bytes = ebb__glibc_word(head->bytes, ARENA_SYSTEM),
        .peak_bytes = ebb__glibc_word(head->bytes, ARENA_PEAK),
        .top = ebb__glibc_word(head->bytes, ARENA_TOP),
    };
}

static int read_top(struct ebb_glibc_process *process, const struct ebb_glibc *glibc,
                    struct ebb_glibc_arena *arena)
{
    struct glibc_chunk_head top;
    int err;

    if (arena->system_bytes > arena->peak_bytes)
        return -EAGAIN;
    if (arena->is_main && arena->top == ebb__glibc_bin_head(arena->address, 1)) {
        arena->top = 0;
        return arena->system_bytes == 0 ? 0 : -EAGAIN;
    }
    if (arena->top % CHUNK_ALIGN != 0)
        return -EAGAIN;
    /* Only the first half: a small top at the end of a heap has nothing behind it. */
    err = ebb__glibc_peek(process, arena->top, &top, 16);
    if (err != 0)
        return err;
    arena->top_bytes = top.size & ~(uint64_t)CHUNK_FLAGS;
    if (arena->top_bytes > arena->system_bytes)
        return -EAGAIN;
    return arena->is_main ? 0 : count_heaps(process, glibc, arena);
}

static bool is_alike(const struct glibc_arena_head *a, const struct glibc_arena_head *b)
{
    return memcmp(a->bytes + ARENA_FASTBINS, b->bytes + ARENA_FASTBINS, ARENA_BYTES - ARENA_FASTBINS) == 0;
}

/* One attempt. -EAGAIN when something did not fit; *ret_still: although the head has not changed. */
static int attempt(struct ebb_glibc_process *process, const struct ebb_glibc *glibc, uint64_t address,
                   struct ebb_glibc_chunk *chunks, size_t room, struct ebb_glibc_arena *arena,
                   bool *ret_still)
{
    struct glibc_arena_head head;
    struct glibc_arena_head after;
    struct walk walk = {
        .process = process, .glibc = glibc, .head = &head, .arena = arena, .chunks = chunks, .room = room};
    int err = ebb__glibc_peek(process, address, head.bytes, ARENA_BYTES);
    int second;

    if (err != 0)
        return err;
    take_head(glibc, &head, address, arena);
    err = read_top(process, glibc, arena);
    if (err == 0)
        err = walk_lists(&walk);
    second = ebb__glibc_peek(process, address, after.bytes, ARENA_BYTES);
    if (second != 0)
        return second;
    *ret_still = is_alike(&head, &after);
    if (err != 0)
        return err;
    if (!*ret_still)
        return -EAGAIN;
    err = read_again(&walk);
    second = ebb__glibc_peek(process, address, after.bytes, ARENA_BYTES);
    if (second != 0)
        return second;
    if (err == 0 && !is_alike(&head, &after))
        err = -EAGAIN;
    *ret_still = false; /* it made sense once */
    return err;
}

int ebb__glibc_arena_read(struct ebb_glibc_process *process, const struct ebb_glibc *glibc, uint64_t address,
                          struct ebb_glibc_chunk *ret_chunks, size_t room, struct ebb_glibc_arena *ret_arena)
{
    unsigned still_count = 0;

    for (unsigned i = 0; i < WALK_ATTEMPTS; i++) {
        bool still = false;
        int err = attempt(process, glibc, address, ret_chunks, room, ret_arena, &still);

        /* A list that is being changed may lead anywhere, also to where nothing is mapped. */
        if (err == -EFAULT)
            err = -EAGAIN;
        if (err != -EAGAIN)
            return err;
        still_count += still;
    }
    return still_count == WALK_ATTEMPTS ? -EBADMSG : -EAGAIN;
}

int ebb__glibc_arena_head(struct ebb_glibc_process *process, const struct ebb_glibc *glibc, uint64_t address,
                          struct ebb_glibc_arena *ret_arena)
{
    struct glibc_arena_head head;
    int err = ebb__glibc_peek(process, address, head.bytes, ARENA_BYTES);

    if (err == 0)
        take_head(glibc, &head, address, ret_arena);
    return err;
}
