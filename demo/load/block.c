/* SPDX-License-Identifier: MIT
 *
 * Timed, counted and checked allocation calls.
 */
#include "block.h"

#include "ticks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint32_t tag_of(uintptr_t address, const struct block *next, uint32_t size_bytes)
{
    return (uint32_t)rng_mix(address ^ rng_mix((uintptr_t)next ^ ((uint64_t)size_bytes << 32)));
}

static void seal(struct block *b)
{
    b->tag = tag_of((uintptr_t)b, b->next, b->size_bytes);
}

/* The pattern at the end: up to 8 bytes, fewer in a block that has fewer behind its head. */
static uint32_t tail_bytes(uint32_t size_bytes)
{
    uint32_t body = size_bytes - BLOCK_MIN_BYTES;

    return body < 8 ? body : 8;
}

static uint64_t tail_of(uintptr_t address, uint32_t size_bytes)
{
    return rng_mix(address + size_bytes);
}

static void write_tail(struct block *b)
{
    uint64_t tail = tail_of((uintptr_t)b, b->size_bytes);
    uint32_t n = tail_bytes(b->size_bytes);

    memcpy((char *)b + b->size_bytes - n, &tail, n);
}

__attribute__((noreturn, cold)) static void stop(int status, const char *what, const void *address,
                                                 size_t size_bytes)
{
    char line[256];
    int n = size_bytes == 0 ? snprintf(line, sizeof(line), "ebb-load: %s: block %p\n", what, address)
                            : snprintf(line, sizeof(line), "ebb-load: %s: block %p of %zu bytes\n", what,
                                       address, size_bytes);

    if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0)
        _exit(status);
    _exit(status);
}

#define EXIT_NO_MEMORY 1
#define EXIT_CORRUPT   3

/* The size is not known any more, but what stands there now may tell who wrote it: zeros are given-back
 * memory. */
__attribute__((noreturn, cold)) static void stop_head(const struct block *b)
{
    char what[160];

    snprintf(what, sizeof(what),
             "corrupt memory: the first bytes of a live block have changed (to %016llx %08x %08x)",
             (unsigned long long)(uintptr_t)b->next, b->size_bytes, b->tag);
    stop(EXIT_CORRUPT, what, b, 0);
}

static void check(const struct block *b)
{
    if (b->tag != tag_of((uintptr_t)b, b->next, b->size_bytes))
        stop_head(b);

    uint64_t want = tail_of((uintptr_t)b, b->size_bytes);
    uint32_t n = tail_bytes(b->size_bytes);

    if (memcmp((const char *)b + b->size_bytes - n, &want, n) != 0)
        stop(EXIT_CORRUPT, "corrupt memory: the last bytes of a live block have changed", b, b->size_bytes);
}

/* All bytes equal their neighbour, and the first one is zero. */
static void check_zeroed(const struct block *b, uint32_t size_bytes)
{
    const unsigned char *p = (const unsigned char *)b;

    if (p[0] != 0 || memcmp(p, p + 1, size_bytes - 1) != 0)
        stop(EXIT_CORRUPT, "calloc gave memory that is not zero", b, size_bytes);
}

static void note(struct tally *t, uint64_t call, uint64_t size_bytes)
{
    t->digest = rng_mix(t->digest ^ (call << 56) ^ size_bytes);
}

/* A plain load and store instead of a locked addition: only the owner writes. */
static void add_live(struct meter *m, int64_t bytes)
{
    int64_t now = atomic_load_explicit(&m->live_bytes, memory_order_relaxed);

    atomic_store_explicit(&m->live_bytes, now + bytes, memory_order_relaxed);
}

static void count_alloc(struct tally *t, uint32_t size_bytes, int64_t growth_bytes)
{
    t->allocs++;
    t->requested_bytes += size_bytes;
    t->live_bytes += growth_bytes;
    add_live(t->meter, growth_bytes);
}

struct block *block_new(struct tally *t, enum block_kind kind, uint32_t size_bytes, uint32_t used_bytes)
{
    struct meter *m = t->meter;
    uint64_t start = ticks_now();
    struct block *b = kind == BLOCK_ZEROED ? calloc(1, size_bytes) : malloc(size_bytes);
    uint64_t end = ticks_now();

    if (b == NULL)
        stop(EXIT_NO_MEMORY, "out of memory", b, size_bytes);
    if (m->timed)
        hist_add(&m->alloc, end - start);
    note(t, 1 + (uint64_t)kind, size_bytes);
    count_alloc(t, size_bytes, size_bytes);
    if (kind == BLOCK_ZEROED)
        check_zeroed(b, size_bytes);
    if (used_bytes > BLOCK_MIN_BYTES)
        memset(b + 1, (int)(size_bytes & 0xff), used_bytes - BLOCK_MIN_BYTES);
    b->next = NULL;
    b->size_bytes = size_bytes;
    write_tail(b);
    seal(b);
    return b;
}

struct block *block_resize(struct tally *t, struct block *b, uint32_t size_bytes)
{
    struct meter *m = t->meter;
    uint32_t old_bytes = b->size_bytes;
    uintptr_t old_address = (uintptr_t)b;

    check(b);

    uint64_t start = ticks_now();
    struct block *moved = realloc(b, size_bytes);
    uint64_t end = ticks_now();

    if (moved == NULL)
        stop(EXIT_NO_MEMORY, "out of memory", NULL, size_bytes);
    if (m->timed)
        hist_add(&m->alloc, end - start);
    if (moved->size_bytes != old_bytes || moved->tag != tag_of(old_address, NULL, old_bytes))
        stop(EXIT_CORRUPT, "realloc lost the first bytes", moved, size_bytes);
    if (size_bytes >= old_bytes) {
        uint64_t want = tail_of(old_address, old_bytes);

        if (memcmp((char *)moved + old_bytes - 8, &want, 8) != 0)
            stop(EXIT_CORRUPT, "realloc lost the last bytes", moved, size_bytes);
        memset((char *)moved + old_bytes, 0x5a, size_bytes - old_bytes);
    }
    note(t, 3, size_bytes);
    count_alloc(t, size_bytes, (int64_t)size_bytes - (int64_t)old_bytes);
    moved->size_bytes = size_bytes;
    write_tail(moved);
    seal(moved);
    return moved;
}

/* Frees a block that has been checked, and returns its size. */
static uint32_t release(struct meter *m, struct block *b)
{
    uint32_t size_bytes = b->size_bytes;
    uint64_t start = ticks_now();

    free(b);

    uint64_t end = ticks_now();

    if (m->timed)
        hist_add(&m->free, end - start);
    add_live(m, -(int64_t)size_bytes);
    return size_bytes;
}

static void free_own(struct tally *t, struct block *b)
{
    uint32_t size_bytes = release(t->meter, b);

    note(t, 4, size_bytes);
    t->frees++;
    t->live_bytes -= size_bytes;
}

void block_free(struct tally *t, struct block *b)
{
    if (b == NULL)
        return;
    check(b);
    free_own(t, b);
}

void block_push(struct block **list, struct block *b)
{
    b->next = *list;
    seal(b);
    *list = b;
}

/* The link is read only after the tag over it has been checked. */
static struct block *next_of(const struct block *b)
{
    check(b);
    return b->next;
}

void block_free_list(struct tally *t, struct block **list)
{
    for (struct block *b = *list, *next; b != NULL; b = next) {
        next = next_of(b);
        free_own(t, b);
    }
    *list = NULL;
}

void block_free_foreign(struct tally *t, struct block *list)
{
    for (struct block *b = list, *next; b != NULL; b = next) {
        next = next_of(b);
        release(t->meter, b);
        t->frees++;
    }
}

struct block *block_hand_over(struct tally *t, struct block *list)
{
    struct block *b = list;

    t->live_bytes -= b->size_bytes;
    while (next_of(b) != NULL) {
        b = b->next;
        t->live_bytes -= b->size_bytes;
    }
    return b;
}

void block_append(struct block *last, struct block *list)
{
    last->next = list;
    seal(last);
}

void block_read(const struct block *b)
{
    check(b);
}
