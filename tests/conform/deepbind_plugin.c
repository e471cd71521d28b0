/* SPDX-License-Identifier: MIT
 *
 * A plugin that deepbind.c opens with RTLD_DEEPBIND, so that its own calls of malloc and free reach the C
 * library even where another allocator is preloaded.
 */
#include "conform/deepbind_plugin.h"

#include <stdlib.h>
#include <string.h>

__attribute__((visibility("default"))) const struct deepbind_plugin deepbind_plugin;

static void *allocate(size_t size_bytes)
{
    void *block = malloc(size_bytes);
    if (block != NULL) {
        memset(block, 0x3c, size_bytes);
    }
    return block;
}

static void *allocate_zeroed(size_t size_bytes)
{
    return calloc(1, size_bytes);
}

static void *allocate_aligned(size_t size_bytes)
{
    return aligned_alloc(256, size_bytes);
}

static void release_by(void (*release)(void *), void *block)
{
    release(block);
}

static void release_own(void *block)
{
    free(block);
}

static void *malloc_in_use(void)
{
    void *(*volatile function)(size_t) = malloc;
    return (void *)function;
}

const struct deepbind_plugin deepbind_plugin = {
    .allocate = allocate,
    .allocate_zeroed = allocate_zeroed,
    .allocate_aligned = allocate_aligned,
    .release_by = release_by,
    .release_own = release_own,
    .malloc_in_use = malloc_in_use,
};
