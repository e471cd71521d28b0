/* SPDX-License-Identifier: MIT
 *
 * malloc_usable_size(): all of it may be written, of neighbours too, and the answer does not change. Built
 * without _FORTIFY_SOURCE, which stops programs that use the slack.
 */
#include "conform/conform.h"

#include <malloc.h>
#include <stdlib.h>

enum { NEIGHBOURS = 24 };

static void *allocate(size_t size_bytes, size_t form)
{
    switch (form % 4) {
    case 0:
        return malloc(size_bytes);
    case 1:
        return calloc(1, size_bytes);
    case 2:
        return aligned_alloc((size_t)16 << form % 9, size_bytes);
    default:
        return realloc(malloc(1), size_bytes != 0 ? size_bytes : 1);
    }
}

static void whole_block_is_usable(size_t size_bytes, uint64_t tag)
{
    void *blocks[NEIGHBOURS];
    size_t usable_bytes[NEIGHBOURS];
    for (size_t i = 0; i < NEIGHBOURS; i++) {
        blocks[i] = allocate(size_bytes, i);
        if (!CHECK(blocks[i] != NULL, "%zu bytes", size_bytes)) {
            return;
        }
        usable_bytes[i] = malloc_usable_size(blocks[i]);
        CHECK(usable_bytes[i] >= size_bytes, "%zu of %zu", usable_bytes[i], size_bytes);
        conform_fill(blocks[i], usable_bytes[i], tag + i);
    }
    for (size_t i = 0; i < NEIGHBOURS; i++) {
        CHECK(malloc_usable_size(blocks[i]) == usable_bytes[i], "it changed: %zu, %zu",
              malloc_usable_size(blocks[i]), usable_bytes[i]);
        CHECK(conform_differs(blocks[i], usable_bytes[i], tag + i) == usable_bytes[i],
              "block %zu of %zu bytes (%zu usable) was overwritten", i, size_bytes, usable_bytes[i]);
    }
    for (size_t i = 0; i < NEIGHBOURS; i++) {
        free(blocks[i]);
    }
}

int main(void)
{
    conform_start(60);
    for (size_t size_bytes = 0; size_bytes <= 1030; size_bytes++) {
        whole_block_is_usable(size_bytes, size_bytes);
    }
    for (size_t base_bytes = 1024; base_bytes < 1u << 20; base_bytes *= 2) {
        for (size_t eighth = 0; eighth < 8; eighth++) {
            size_t size_bytes = base_bytes + base_bytes / 8 * eighth;
            whole_block_is_usable(size_bytes - 1, 1);
            whole_block_is_usable(size_bytes, 2);
            whole_block_is_usable(size_bytes + 1, 3);
        }
    }
    const size_t large[] = {(1u << 20) + 1, (2u << 20) - 1, 2u << 20, (2u << 20) + 1, 5000000};
    for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++) {
        whole_block_is_usable(large[i], i);
    }
    return conform_end();
}
