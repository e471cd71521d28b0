/* SPDX-License-Identifier: MIT
 *
 * errno: ENOMEM when a call fails for want of memory, and untouched by free() on every path it can take.
 */
#include "conform/conform.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MARK = 12345 };

static void failures_set_enomem(void)
{
    const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 4096, (size_t)PTRDIFF_MAX + 1,
                            /* Below PTRDIFF_MAX, but more than any process can have. */
                            (size_t)PTRDIFF_MAX, (size_t)1 << 60};
    void *kept = malloc(100);
    conform_fill(kept, 100, 7);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t n = conform_opaque(sizes[i]);
        errno = 0;
        CHECK(malloc(n) == NULL && errno == ENOMEM, "malloc(%zu): errno %d", n, errno);
        errno = 0;
        CHECK(calloc(1, n) == NULL && errno == ENOMEM, "calloc(1, %zu): errno %d", n, errno);
        errno = 0;
        CHECK(calloc(n, 1) == NULL && errno == ENOMEM, "calloc(%zu, 1): errno %d", n, errno);
        errno = 0;
        CHECK(realloc(kept, n) == NULL && errno == ENOMEM, "realloc(p, %zu): errno %d", n, errno);
        errno = 0;
        CHECK(realloc(NULL, n) == NULL && errno == ENOMEM, "realloc(NULL, %zu): errno %d", n, errno);
        errno = 0;
        CHECK(reallocarray(kept, 1, n) == NULL && errno == ENOMEM, "reallocarray %zu: errno %d", n, errno);
        errno = 0;
        CHECK(aligned_alloc(64, n) == NULL && errno == ENOMEM, "aligned_alloc(64, %zu): errno %d", n, errno);
        errno = 0;
        CHECK(memalign(4096, n) == NULL && errno == ENOMEM, "memalign(4096, %zu): errno %d", n, errno);
        errno = 0;
        CHECK(valloc(n) == NULL && errno == ENOMEM, "valloc(%zu): errno %d", n, errno);
        errno = 0;
        CHECK(pvalloc(n) == NULL && errno == ENOMEM, "pvalloc(%zu): errno %d", n, errno);
        void *block = &block;
        CHECK(posix_memalign(&block, 64, n) == ENOMEM, "posix_memalign(64, %zu)", n);
        CHECK(block == &block, "posix_memalign wrote its result although it failed");
    }
    CHECK(conform_differs(kept, 100, 7) == 100, "a failed realloc changed the block");
    free(kept);
}

static void free_keeps_errno(size_t size_bytes, size_t count)
{
    void **blocks = calloc(count, sizeof(*blocks));
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(size_bytes);
        if (!CHECK(blocks[i] != NULL, "%zu bytes", size_bytes)) {
            break;
        }
        *(char *)blocks[i] = 1;
    }
    for (size_t i = 0; i < count; i++) {
        errno = MARK;
        free(blocks[i]);
        CHECK(errno == MARK, "free of block %zu of %zu bytes set errno to %d", i, size_bytes, errno);
    }
    free(blocks);
}

struct handover {
    void *blocks[512];
    size_t size_bytes;
};

static void *free_elsewhere(void *argument)
{
    struct handover *handover = argument;
    for (size_t i = 0; i < 512; i++) {
        errno = MARK;
        free(handover->blocks[i]);
        CHECK(errno == MARK, "free in another thread, %zu bytes: errno %d", handover->size_bytes, errno);
    }
    return NULL;
}

static void free_in_other_thread_keeps_errno(size_t size_bytes)
{
    static struct handover handover;
    handover.size_bytes = size_bytes;
    for (size_t i = 0; i < 512; i++) {
        handover.blocks[i] = malloc(size_bytes);
    }
    pthread_t thread;
    if (CHECK(pthread_create(&thread, NULL, free_elsewhere, &handover) == 0)) {
        pthread_join(thread, NULL);
    }
}

int main(void)
{
    conform_start(60);
    failures_set_enomem();
    errno = MARK;
    free(NULL);
    CHECK(errno == MARK, "free(NULL)");
    const size_t small_sizes[] = {1, 16, 100, 1000, 5000, 20000, 32768};
    for (size_t i = 0; i < sizeof(small_sizes) / sizeof(small_sizes[0]); i++) {
        free_keeps_errno(small_sizes[i], 3000);
        free_in_other_thread_keeps_errno(small_sizes[i]);
    }
    const size_t large_sizes[] = {40000, 200000, 1u << 20, 3u << 20, 40u << 20, 300u << 20};
    for (size_t i = 0; i < sizeof(large_sizes) / sizeof(large_sizes[0]); i++) {
        free_keeps_errno(large_sizes[i], 20);
    }
    return conform_end();
}
