/* SPDX-License-Identifier: MIT
 *
 * A plugin loaded with RTLD_DEEPBIND is bound to the C library's malloc past any preloaded allocator. The
 * program must be able to free, measure and resize the plugin's blocks, and the plugin must be able to give
 * back the program's blocks through the program's free.
 *
 * Not tested, because no preloaded allocator can help it: a plugin that hands the program's block to the C
 * library's own free.
 */
#include "conform/conform.h"
#include "conform/deepbind_plugin.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>

enum { BLOCKS = 500 };

static size_t size_of(size_t i)
{
    return i < BLOCKS - 5 ? 1 + i * 131 : 500000 + i;
}

static void program_frees_for_plugin(const struct deepbind_plugin *plugin)
{
    static unsigned char *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t n = size_of(i);
        blocks[i] = i % 3 == 0   ? plugin->allocate(n)
                    : i % 3 == 1 ? plugin->allocate_zeroed(n)
                                 : plugin->allocate_aligned(n);
        CHECK(blocks[i] != NULL);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t n = size_of(i);
        CHECK(malloc_usable_size(blocks[i]) >= n, "%zu bytes of %zu", malloc_usable_size(blocks[i]), n);
        if (i % 6 == 0) {
            blocks[i] = realloc(blocks[i], n + n / 2);
            CHECK(blocks[i] != NULL && blocks[i][0] == 0x3c && blocks[i][n - 1] == 0x3c,
                  "realloc lost content");
        }
        free(blocks[i]);
    }
    free(realloc(plugin->allocate(100), 50));
    CHECK(realloc(plugin->allocate(100), conform_opaque(0)) == NULL);
}

static void plugin_frees_for_program(const struct deepbind_plugin *plugin)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        void *block = malloc(size_of(i));
        CHECK(block != NULL);
        plugin->release_by(free, block);
        plugin->release_own(plugin->allocate(size_of(i)));
    }
}

int main(int argc, char **argv)
{
    conform_start(30);
    if (argc != 2) {
        return 2;
    }
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    if (!CHECK(library != NULL, "%s", dlerror())) {
        return conform_end();
    }
    const struct deepbind_plugin *plugin = dlsym(library, "deepbind_plugin");
    if (!CHECK(plugin != NULL)) {
        return conform_end();
    }
    bool bound_past_us = plugin->malloc_in_use() != dlsym(RTLD_DEFAULT, "malloc");
    CHECK(bound_past_us == conform_is_preloaded(), "the plugin is not bound as RTLD_DEEPBIND should");
    for (int round = 0; round < 20; round++) {
        program_frees_for_plugin(plugin);
        plugin_frees_for_program(plugin);
    }
    return conform_end();
}
