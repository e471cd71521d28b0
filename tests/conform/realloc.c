/* SPDX-License-Identifier: MIT
 *
 * realloc(): the content survives every move between size classes; a failure leaves the block as it was; huge
 * blocks grow to 1 GiB and shrink again.
 */
#include "conform/conform.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE_COUNT = 60, WALK_SLOTS = 64, WALK_STEPS = 5000 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void every_pair_of_sizes(void)
{
    static size_t sizes[SIZE_COUNT];
    size_t count = 0;
    for (size_t base_bytes = 16; base_bytes <= 512u << 10 && count + 3 <= SIZE_COUNT; base_bytes *= 2) {
        sizes[count++] = base_bytes - 3;
        sizes[count++] = base_bytes + base_bytes / 4;
        sizes[count++] = base_bytes + base_bytes / 2 + 5;
    }
    for (size_t from = 0; from < count; from++) {
        for (size_t to = 0; to < count; to++) {
            void *block = malloc(sizes[from]);
            if (!CHECK(block != NULL)) {
                return;
            }
            conform_fill(block, sizes[from], from);
            void *moved = realloc(block, sizes[to]);
            if (!CHECK(moved != NULL, "%zu to %zu", sizes[from], sizes[to])) {
                return;
            }
            size_t kept_bytes = smaller(sizes[from], sizes[to]);
            size_t at = conform_differs(moved, kept_bytes, from);
            CHECK(at == kept_bytes, "%zu to %zu bytes differs at %zu", sizes[from], sizes[to], at);
            CHECK(malloc_usable_size(moved) >= sizes[to]);
            free(moved);
        }
    }
}

struct slot {
    void *block;
    size_t size_bytes;
    uint64_t tag;
};

/* Sizes spread evenly over the powers of two from 1 byte to 4 MiB. */
static size_t random_size(uint64_t *random)
{
    size_t top_bytes = (size_t)1 << conform_between(random, 0, 22);
    return conform_between(random, 1, top_bytes);
}

static void random_walk(void)
{
    static struct slot slots[WALK_SLOTS];
    uint64_t random = conform_seed();
    for (uint64_t step = 0; step < WALK_STEPS; step++) {
        struct slot *slot = &slots[conform_random(&random) % WALK_SLOTS];
        size_t size_bytes = random_size(&random);
        void *moved = realloc(slot->block, size_bytes);
        if (!CHECK(moved != NULL, "step %llu", (unsigned long long)step)) {
            return;
        }
        size_t kept_bytes = smaller(slot->size_bytes, size_bytes);
        CHECK(conform_differs(moved, kept_bytes, slot->tag) == kept_bytes, "step %llu: %zu to %zu",
              (unsigned long long)step, slot->size_bytes, size_bytes);
        conform_fill(moved, size_bytes, step);
        *slot = (struct slot){moved, size_bytes, step};
    }
    for (size_t i = 0; i < WALK_SLOTS; i++) {
        free(slots[i].block);
    }
}

static void failure_keeps_the_block(void)
{
    const size_t sizes[] = {10, 1000, 20000, 100000, 3u << 20, 50u << 20};
    const size_t too_large[] = {SIZE_MAX, (size_t)PTRDIFF_MAX + 1, (size_t)PTRDIFF_MAX, (size_t)1 << 52};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        void *block = malloc(sizes[i]);
        if (!CHECK(block != NULL)) {
            return;
        }
        conform_fill(block, sizes[i], i);
        for (size_t k = 0; k < sizeof(too_large) / sizeof(too_large[0]); k++) {
            errno = 0;
            CHECK(realloc(block, conform_opaque(too_large[k])) == NULL && errno == ENOMEM, "errno %d", errno);
            CHECK(conform_differs(block, sizes[i], i) == sizes[i], "the failure changed the block");
        }
        void *still = realloc(block, sizes[i] + 1);
        CHECK(still != NULL && conform_differs(still, sizes[i], i) == sizes[i],
              "the block is no longer usable");
        free(still);
    }
}

static void huge_and_back(size_t start_bytes)
{
    enum { STEP_BYTES = 256 * 1024 };
    const size_t gib = (size_t)1 << 30;
    size_t size_bytes = start_bytes;
    char *block = malloc(size_bytes);
    if (!CHECK(block != NULL)) {
        return;
    }
    conform_stamp(block, size_bytes, STEP_BYTES, 3);
    size_t shrinks = 0;
    while (shrinks < 40 && size_bytes > 1000) {
        size_t next_bytes =
            shrinks > 0 || size_bytes == gib ? size_bytes / 2 : smaller(size_bytes * 2 + 4097, gib);
        shrinks += next_bytes < size_bytes;
        char *moved = realloc(block, next_bytes);
        if (!CHECK(moved != NULL, "%zu to %zu", size_bytes, next_bytes)) {
            break;
        }
        block = moved;
        size_t kept_bytes = smaller(size_bytes, next_bytes);
        size_t at = 0;
        /* The last byte of the old size is stamped as well, so only whole steps below the kept size are
         * compared. */
        size_t whole_bytes = kept_bytes / STEP_BYTES * STEP_BYTES;
        if (whole_bytes > 0) {
            at = conform_stamp_differs(block, whole_bytes - STEP_BYTES + 1, STEP_BYTES, 3);
            CHECK(at == whole_bytes - STEP_BYTES + 1, "%zu to %zu differs at %zu", size_bytes, next_bytes,
                  at);
        }
        CHECK(malloc_usable_size(block) >= next_bytes);
        size_bytes = next_bytes;
        conform_stamp(block, size_bytes, STEP_BYTES, 3);
    }
    CHECK(shrinks > 10, "only %zu shrinks were made", shrinks);
    free(block);
}

/* Growth by small steps, as string buffers do it, past every class and into the huge sizes. */
static void creeping_growth(void)
{
    size_t size_bytes = 1;
    unsigned char *block = malloc(size_bytes);
    if (!CHECK(block != NULL)) {
        return;
    }
    block[0] = 0x5a;
    while (size_bytes < 80u << 20) {
        size_t next_bytes = size_bytes + size_bytes / 16 + 1;
        unsigned char *moved = realloc(block, next_bytes);
        if (!CHECK(moved != NULL)) {
            break;
        }
        CHECK(moved[size_bytes - 1] == 0x5a && moved[size_bytes / 2] == 0x5a && moved[0] == 0x5a, "%zu",
              size_bytes);
        for (size_t at = size_bytes; at < next_bytes; at++) {
            moved[at] = 0x5a;
        }
        block = moved;
        size_bytes = next_bytes;
    }
    free(block);
}

int main(void)
{
    conform_start(120);
    every_pair_of_sizes();
    random_walk();
    failure_keeps_the_block();
    huge_and_back(1u << 20);
    huge_and_back(33u << 20);
    creeping_growth();
    return conform_end();
}
