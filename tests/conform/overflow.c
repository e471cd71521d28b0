/* SPDX-License-Identifier: MIT
 *
 * Products and sums that overflow are refused with ENOMEM, never wrapped into a small block.
 */
#include "conform/conform.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

struct product {
    size_t count;
    size_t size_bytes;
};

static void products(void)
{
    const size_t half = (size_t)1 << (sizeof(size_t) * 4);
    const struct product products[] = {
        {half, half},           {half + 1, half},         {SIZE_MAX, 2},          {2, SIZE_MAX},
        {SIZE_MAX, SIZE_MAX},   {SIZE_MAX / 2 + 1, 2},    {SIZE_MAX / 3 + 1, 3},  {half * 2, half / 2},
        {half * 16, half / 16}, {SIZE_MAX / 16 + 2, 16},  {1, SIZE_MAX - 100},    {SIZE_MAX / 8, 7},
        {half / 2, half},       {(size_t)PTRDIFF_MAX, 2}, {3, SIZE_MAX / 3 + 17}, {SIZE_MAX / 4096 + 1, 4096},
    };
    for (size_t i = 0; i < sizeof(products) / sizeof(products[0]); i++) {
        size_t count = conform_opaque(products[i].count);
        size_t size_bytes = conform_opaque(products[i].size_bytes);
        errno = 0;
        void *block = calloc(count, size_bytes);
        CHECK(block == NULL && errno == ENOMEM, "calloc(%zu, %zu) = %p, errno %d", count, size_bytes, block,
              errno);
        void *kept = malloc(50);
        conform_fill(kept, 50, i);
        errno = 0;
        block = reallocarray(kept, count, size_bytes);
        CHECK(block == NULL && errno == ENOMEM, "reallocarray(p, %zu, %zu) = %p, errno %d", count, size_bytes,
              block, errno);
        CHECK(conform_differs(kept, 50, i) == 50, "reallocarray failed and changed the block");
        free(kept);
        errno = 0;
        block = reallocarray(NULL, count, size_bytes);
        CHECK(block == NULL && errno == ENOMEM, "reallocarray(NULL, %zu, %zu)", count, size_bytes);
    }
}

/* Sizes that overflow only after the alignment, the header or the rounding is added. */
static void sums(void)
{
    for (unsigned shift = 3; shift < 63; shift++) {
        size_t alignment = (size_t)1 << shift;
        const size_t sizes[] = {SIZE_MAX,
                                SIZE_MAX - alignment,
                                SIZE_MAX - alignment + 1,
                                SIZE_MAX - 4095,
                                SIZE_MAX - alignment / 2,
                                (size_t)PTRDIFF_MAX + 1,
                                SIZE_MAX - 4096,
                                SIZE_MAX - 16,
                                SIZE_MAX - 2 * alignment + 1};
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            size_t n = conform_opaque(sizes[i]);
            if (n <= (size_t)PTRDIFF_MAX) {
                continue;
            }
            errno = 0;
            void *block = memalign(alignment, n);
            CHECK(block == NULL && errno == ENOMEM, "memalign(%zu, %zu): %p, errno %d", alignment, n, block,
                  errno);
            errno = 0;
            block = aligned_alloc(alignment, n);
            CHECK(block == NULL && errno == ENOMEM, "aligned_alloc(%zu, %zu): %p, errno %d", alignment, n,
                  block, errno);
            block = NULL;
            int error = posix_memalign(&block, alignment, n);
            CHECK(block == NULL && error == ENOMEM, "posix_memalign(%zu, %zu): %d", alignment, n, error);
        }
    }
}

/* Alignments larger than the address space with sizes that alone are modest. */
static void alignments(void)
{
    for (unsigned shift = 48; shift < 63; shift++) {
        size_t alignment = (size_t)1 << shift;
        errno = 0;
        void *block = memalign(alignment, 100);
        CHECK(block == NULL && errno == ENOMEM, "memalign(1 << %u, 100): %p, errno %d", shift, block, errno);
        int error = posix_memalign(&block, alignment, 100);
        CHECK(error == ENOMEM, "posix_memalign(1 << %u, 100): %d", shift, error);
    }
}

int main(void)
{
    conform_start(60);
    products();
    sums();
    alignments();
    void *block = calloc(conform_opaque(1000), 1000);
    CHECK(block != NULL, "a product that fits");
    free(block);
    return conform_end();
}
