/* SPDX-License-Identifier: MIT
 *
 * Sized frees and blocks of the C library, whose functions must be looked up: glibc has free_sized only
 * since 2.43, and its own malloc is hidden behind the preloaded one.
 */
#include "misuse_priv.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BLOCK_BYTES = 100, LARGE_BYTES = 1 << 20, ROUNDS = 2000, LIBC_BYTES = 5000 };

static void *look_up(void *scope, const char *name)
{
    void *address = dlsym(scope, name);
    if (address == NULL) {
        dprintf(STDERR_FILENO, "there is no %s\n", name);
        _exit(2);
    }
    return address;
}

typedef void sized_function(void *block, size_t size_bytes);
typedef void aligned_sized_function(void *block, size_t alignment_bytes, size_t size_bytes);

static sized_function *free_sized_function(void)
{
    return (sized_function *)look_up(RTLD_DEFAULT, "free_sized");
}

static aligned_sized_function *free_aligned_sized_function(void)
{
    return (aligned_sized_function *)look_up(RTLD_DEFAULT, "free_aligned_sized");
}

void free_sizes_properly(void)
{
    for (size_t size_bytes = 1; size_bytes < 4 * LARGE_BYTES; size_bytes = size_bytes * 5 / 4 + 1) {
        free_sized_function()(misuse_block(size_bytes), size_bytes);
        free_sized_function()(calloc(1, size_bytes), size_bytes);
        free_sized_function()(realloc(misuse_block(10), size_bytes), size_bytes);
        for (size_t alignment = 16; alignment <= 1u << 16; alignment *= 8) {
            free_aligned_sized_function()(aligned_alloc(alignment, size_bytes), alignment, size_bytes);
        }
    }
    free_sized_function()(malloc(0), 0);
    free_sized_function()(NULL, 0);
    free_aligned_sized_function()(NULL, 16, 0);
}

void free_sized_small(void)
{
    free_sized_function()(misuse_announce(misuse_block(BLOCK_BYTES)), 10);
}

void free_sized_larger(void)
{
    free_sized_function()(misuse_announce(misuse_block(BLOCK_BYTES)), 5000);
}

void free_sized_large(void)
{
    free_sized_function()(misuse_announce(misuse_block(LARGE_BYTES)), 10);
}

void free_aligned_sized_wrong(void)
{
    free_aligned_sized_function()(misuse_announce(aligned_alloc(64, 2000)), 64, 10);
}

/* operator delete(void *, std::size_t), by its mangled name, with a block of operator new(std::size_t). */
void delete_sized_wrong(void)
{
    void *(*new_function)(size_t) = (void *(*)(size_t))look_up(RTLD_DEFAULT, "_Znwm");
    sized_function *delete_function = (sized_function *)look_up(RTLD_DEFAULT, "_ZdlPvm");
    delete_function(misuse_announce(new_function(BLOCK_BYTES)), 10);
}

static struct {
    void *(*allocate)(size_t);
    struct mallinfo2 (*info)(void);
} libc;

/* The C library's own functions: looked up in its own scope, where the preloaded library does not occur. */
static void open_libc(void)
{
    void *library = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    if (library == NULL) {
        _exit(2);
    }
    libc.allocate = (void *(*)(size_t))look_up(library, "malloc");
    libc.info = (struct mallinfo2(*)(void))look_up(library, "mallinfo2");
    if ((void *)libc.allocate == look_up(RTLD_DEFAULT, "malloc")) {
        dprintf(STDERR_FILENO, "nothing is preloaded, so no block is foreign\n");
        _exit(2);
    }
}

/* Forwarded blocks must really arrive: the C library's own count of bytes in use tells. */
void free_libc_block(void)
{
    static char *blocks[ROUNDS];
    open_libc();
    free(libc.allocate(LIBC_BYTES));
    size_t before_bytes = libc.info().uordblks;
    for (size_t i = 0; i < ROUNDS; i++) {
        blocks[i] = libc.allocate(LIBC_BYTES);
    }
    size_t with_bytes = libc.info().uordblks;
    for (size_t i = 0; i < ROUNDS; i++) {
        if (malloc_usable_size(blocks[i]) < LIBC_BYTES) {
            dprintf(STDERR_FILENO, "malloc_usable_size of a foreign block is too small\n");
            _exit(2);
        }
        if (i % 2 == 0) {
            blocks[i][0] = 'x';
            blocks[i][LIBC_BYTES - 1] = 'y';
            blocks[i] = realloc(blocks[i], LIBC_BYTES + 3000);
            if (blocks[i] == NULL || blocks[i][0] != 'x' || blocks[i][LIBC_BYTES - 1] != 'y') {
                dprintf(STDERR_FILENO, "realloc of a foreign block lost its content\n");
                _exit(2);
            }
        }
        free(blocks[i]);
    }
    size_t after_bytes = libc.info().uordblks;
    if (with_bytes < before_bytes + (size_t)ROUNDS * LIBC_BYTES ||
        after_bytes > before_bytes + 2 * LIBC_BYTES) {
        dprintf(STDERR_FILENO, "the C library has %zu bytes in use before, %zu with the blocks, %zu after\n",
                before_bytes, with_bytes, after_bytes);
        _exit(2);
    }
}

void free_one_libc_block(void)
{
    open_libc();
    free(misuse_announce(libc.allocate(LIBC_BYTES)));
}
