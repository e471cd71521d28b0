/* SPDX-License-Identifier: MIT
 *
 * Every function of the family gives addresses that are multiples of 16, and blocks do not overlap.
 */
#include "conform/conform.h"

#include <malloc.h>
#include <stdlib.h>

enum { LIVE_COUNT = 96, FORM_COUNT = 9, ALIGNMENT_BYTES = 16 };

struct live {
    void *block;
    size_t size_bytes;
    uint64_t tag;
};

static void *allocate(unsigned form, size_t size_bytes)
{
    void *block = NULL;
    switch (form) {
    case 0:
        return malloc(size_bytes);
    case 1:
        return calloc(1, size_bytes);
    case 2:
        return realloc(NULL, size_bytes);
    case 3:
        return reallocarray(NULL, 1, size_bytes);
    case 4:
        return memalign(8, size_bytes);
    case 5:
        return posix_memalign(&block, sizeof(void *), size_bytes) == 0 ? block : NULL;
    case 6:
        return aligned_alloc(16, size_bytes);
    case 7:
        return realloc(malloc(1), size_bytes != 0 ? size_bytes : 1);
    default:
        return realloc(malloc(size_bytes + 100), size_bytes != 0 ? size_bytes : 1);
    }
}

static void replace(struct live *slot, unsigned form, size_t size_bytes, uint64_t tag)
{
    if (slot->block != NULL) {
        CHECK(conform_differs(slot->block, slot->size_bytes, slot->tag) == slot->size_bytes,
              "a block of %zu bytes was overwritten", slot->size_bytes);
        free(slot->block);
    }
    slot->block = allocate(form, size_bytes);
    slot->size_bytes = size_bytes;
    slot->tag = tag;
    if (CHECK(slot->block != NULL, "form %u, %zu bytes", form, size_bytes)) {
        CHECK((uintptr_t)slot->block % ALIGNMENT_BYTES == 0, "form %u, %zu bytes: %p", form, size_bytes,
              slot->block);
        conform_fill(slot->block, size_bytes, tag);
    }
}

int main(void)
{
    static struct live slots[LIVE_COUNT];
    conform_start(60);
    uint64_t tag = 0;
    for (size_t size_bytes = 0; size_bytes <= 1100; size_bytes++) {
        for (unsigned form = 0; form < FORM_COUNT; form++, tag++) {
            replace(&slots[tag % LIVE_COUNT], form, size_bytes, tag);
        }
    }
    /* Around every power of two and its eighths, where classes begin and end. */
    for (size_t base_bytes = 1024; base_bytes <= 4u << 20; base_bytes *= 2) {
        for (size_t eighth = 0; eighth < 8; eighth++) {
            for (size_t off = 0; off < 3; off++, tag++) {
                size_t size_bytes = base_bytes + base_bytes / 8 * eighth + off - 1;
                replace(&slots[tag % LIVE_COUNT], (unsigned)(tag % FORM_COUNT), size_bytes, tag);
            }
        }
    }
    for (size_t i = 0; i < LIVE_COUNT; i++) {
        CHECK(conform_differs(slots[i].block, slots[i].size_bytes, slots[i].tag) == slots[i].size_bytes);
        free(slots[i].block);
    }
    return conform_end();
}
