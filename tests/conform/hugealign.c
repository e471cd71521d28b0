/* SPDX-License-Identifier: MIT
 *
 * Alignments up to 1 GiB: the block is where it was asked for, usable to its end, and can be freed.
 */
#include "conform/conform.h"

#include <malloc.h>
#include <stdlib.h>

/* The slack of such a block may be as large as its alignment; some thousand bytes of it are proof enough. */
static size_t step_of(size_t usable_bytes)
{
    return usable_bytes / 4096 < 64 ? 64 : usable_bytes / 4096;
}

int main(void)
{
    conform_start(60);
    const size_t sizes[] = {1, 100, 5000, 70000, 3u << 20, 20u << 20};
    for (size_t alignment = 1u << 20; alignment <= 1u << 30; alignment *= 2) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            size_t n = sizes[i];
            char *first = aligned_alloc(alignment, n);
            char *second = memalign(alignment, n);
            void *third = NULL;
            CHECK(posix_memalign(&third, alignment, n) == 0, "%zu", alignment);
            char *blocks[] = {first, second, third};
            for (size_t k = 0; k < 3; k++) {
                if (!CHECK(blocks[k] != NULL, "alignment %zu, %zu bytes", alignment, n)) {
                    continue;
                }
                CHECK((uintptr_t)blocks[k] % alignment == 0, "%p is not a multiple of %zu", (void *)blocks[k],
                      alignment);
                size_t usable_bytes = malloc_usable_size(blocks[k]);
                CHECK(usable_bytes >= n);
                conform_stamp(blocks[k], usable_bytes, step_of(usable_bytes), k);
            }
            for (size_t k = 0; k < 3; k++) {
                size_t usable_bytes = malloc_usable_size(blocks[k]);
                CHECK(conform_stamp_differs(blocks[k], usable_bytes, step_of(usable_bytes), k) ==
                      usable_bytes);
            }
            char *grown = realloc(first, n + n / 2 + 1);
            CHECK(grown != NULL && conform_stamp_differs(grown, 1, 4096, 0) == 1);
            free(grown);
            free(second);
            free(third);
        }
    }
    /* As large as its alignment: 1 GiB at a multiple of 1 GiB. */
    size_t gib = (size_t)1 << 30;
    char *block = aligned_alloc(gib, gib);
    if (CHECK(block != NULL, "1 GiB at 1 GiB")) {
        CHECK((uintptr_t)block % gib == 0);
        conform_stamp(block, gib, 1u << 20, 9);
        CHECK(conform_stamp_differs(block, gib, 1u << 20, 9) == gib);
    }
    free(block);
    return conform_end();
}
