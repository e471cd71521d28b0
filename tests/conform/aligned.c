/* SPDX-License-Identifier: MIT
 *
 * posix_memalign, aligned_alloc, memalign, valloc and pvalloc: which alignments they take and what they give.
 */
#include "conform/conform.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

enum { MARK = 12345 };

static void posix_memalign_rules(void)
{
    const size_t wrong[] = {0, 1, 2, 3, 4, 5, 7, 9, 12, 15, 24, 40, 48, 100, 4095, 4097, 12288, SIZE_MAX};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        void *block = &block;
        errno = MARK;
        int error = posix_memalign(&block, conform_opaque(wrong[i]), 10);
        CHECK(error == EINVAL, "alignment %zu: %d", wrong[i], error);
        CHECK(block == &block, "alignment %zu: the result was written", wrong[i]);
        CHECK(errno == MARK, "alignment %zu: errno became %d", wrong[i], errno);
    }
}

static void powers_of_two(void)
{
    const size_t sizes[] = {0,    1,    15,    16,    17,     100,      1000,
                            4096, 5000, 32768, 40000, 100000, 1u << 20, 3u << 20};
    for (size_t alignment = 8; alignment <= 4u << 20; alignment *= 2) {
        void *blocks[3 * sizeof(sizes) / sizeof(sizes[0])];
        size_t count = 0;
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            void *block = NULL;
            CHECK(posix_memalign(&block, alignment, sizes[i]) == 0, "%zu, %zu", alignment, sizes[i]);
            blocks[count++] = block;
            blocks[count++] = aligned_alloc(alignment, sizes[i]);
            blocks[count++] = memalign(alignment, sizes[i]);
            for (size_t k = count - 3; k < count; k++) {
                if (CHECK(blocks[k] != NULL, "alignment %zu, %zu bytes", alignment, sizes[i])) {
                    CHECK((uintptr_t)blocks[k] % alignment == 0, "%p, alignment %zu", blocks[k], alignment);
                    CHECK(malloc_usable_size(blocks[k]) >= sizes[i]);
                    conform_fill(blocks[k], sizes[i], k);
                }
            }
        }
        for (size_t k = 0; k < count; k++) {
            size_t size_bytes = sizes[k / 3];
            CHECK(conform_differs(blocks[k], size_bytes, k) == size_bytes, "alignment %zu", alignment);
            /* Every second one goes through realloc, which need not keep the alignment but must keep the
             * content. */
            if (k % 2 == 0) {
                void *moved = realloc(blocks[k], size_bytes + 5000);
                CHECK(moved != NULL && conform_differs(moved, size_bytes, k) == size_bytes, "realloc");
                free(moved);
            } else {
                free(blocks[k]);
            }
        }
    }
}

/* memalign rounds an alignment that is no power of two up to one; aligned_alloc did so too until glibc 2.38
 * and fails with EINVAL since, as C17 asks; replacements follow the newer rule on every C library. */
static void other_alignments(void)
{
    const size_t odd[] = {3, 5, 17, 24, 33, 48, 100, 1000, 4097, 5000, 12288};
    bool strict = conform_is_preloaded() || conform_libc_at_least(2, 38);
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        size_t rounded = 1;
        while (rounded < odd[i]) {
            rounded *= 2;
        }
        void *block = memalign(conform_opaque(odd[i]), 10);
        CHECK(block != NULL && (uintptr_t)block % rounded == 0, "memalign(%zu, 10) = %p", odd[i], block);
        free(block);
        errno = 0;
        block = aligned_alloc(conform_opaque(odd[i]), 10);
        if (strict) {
            CHECK(block == NULL && errno == EINVAL, "aligned_alloc(%zu, 10) = %p, errno %d", odd[i], block,
                  errno);
        }
        free(block);
    }
    void *block = memalign(conform_opaque(0), 10);
    CHECK(block != NULL, "memalign(0, 10)");
    free(block);
    errno = 0;
    block = memalign(conform_opaque(SIZE_MAX / 2 + 2), 10);
    CHECK(block == NULL && errno == EINVAL, "memalign(more than the largest power of two): errno %d", errno);
    if (strict) {
        errno = 0;
        block = aligned_alloc(conform_opaque(0), 10);
        CHECK(block == NULL && errno == EINVAL, "aligned_alloc(0, 10) = %p, errno %d", block, errno);
    }
    /* The size need not be a multiple of the alignment. */
    block = aligned_alloc(256, conform_opaque(3));
    CHECK(block != NULL && (uintptr_t)block % 256 == 0);
    free(block);
}

static void pages(void)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t size_bytes = 0; size_bytes < 6 * page_bytes; size_bytes += 333) {
        char *one = valloc(size_bytes);
        char *two = pvalloc(size_bytes);
        size_t rounded = (size_bytes + page_bytes - 1) / page_bytes * page_bytes;
        CHECK(one != NULL && (uintptr_t)one % page_bytes == 0, "valloc(%zu)", size_bytes);
        CHECK(two != NULL && (uintptr_t)two % page_bytes == 0, "pvalloc(%zu)", size_bytes);
        CHECK(malloc_usable_size(two) >= rounded, "pvalloc(%zu) holds %zu", size_bytes,
              malloc_usable_size(two));
        conform_fill(two, rounded, size_bytes);
        conform_fill(one, size_bytes, 1);
        CHECK(conform_differs(two, rounded, size_bytes) == rounded);
        free(one);
        free(two);
    }
}

int main(void)
{
    conform_start(60);
    posix_memalign_rules();
    powers_of_two();
    other_alignments();
    pages();
    return conform_end();
}
