/* SPDX-License-Identifier: MIT
 *
 * Every case of misuse in misuse.def, one a run: misuse FUNCTION.
 *
 * A case announces the pointer it is about to misuse on standard output, then does it, says "returned" when
 * the call came back, empties the caches, and ends with status 0 when nothing stopped it.
 */
#include "misuse_priv.h"

#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    SMALL_BYTES = 100,
    MEDIUM_BYTES = 20000,
    SPAN_BYTES = 100 << 10,
    LARGE_BYTES = 1 << 20,
    HUGE_BYTES = 64 << 20,
    EXTENT_BYTES = 2 << 20,
    UNIT_BYTES = 4096,
};

void *misuse_announce(void *pointer)
{
    __asm__ volatile("" : "+r"(pointer)::"memory");
    dprintf(STDOUT_FILENO, "pointer %p\n", pointer);
    return pointer;
}

static void misuse_by_free(void *pointer)
{
    free(misuse_announce(pointer));
}

static void misuse_by_realloc(void *pointer)
{
    void *moved = realloc(misuse_announce(pointer), 5000);
    __asm__ volatile("" ::"r"(moved));
}

static void misuse_by_usable_size(void *pointer)
{
    size_t usable_bytes = malloc_usable_size(misuse_announce(pointer));
    __asm__ volatile("" ::"r"(usable_bytes));
}

char *misuse_block(unsigned long size_bytes)
{
    char *block = malloc(size_bytes);
    if (block == NULL) {
        dprintf(STDERR_FILENO, "no memory for the test\n");
        _exit(2);
    }
    memset(block, 1, size_bytes < UNIT_BYTES ? size_bytes : UNIT_BYTES);
    return block;
}

/* The end of the extent that holds a first small block: a program as small as this has never used it. */
static char *never_allocated(void)
{
    uintptr_t block = (uintptr_t)misuse_block(SMALL_BYTES);
    return (char *)(block / EXTENT_BYTES * EXTENT_BYTES + EXTENT_BYTES - (uintptr_t)3 * UNIT_BYTES);
}

/* A block that realloc has grown beyond 32 MiB, which may have a mapping of its own. */
static char *lane_block(void)
{
    char *block = misuse_block(33 << 20);
    block = realloc(block, HUGE_BYTES);
    block = block != NULL ? realloc(block, HUGE_BYTES * (size_t)2) : NULL;
    if (block == NULL) {
        _exit(2);
    }
    return block;
}

void use_properly(void)
{
    for (size_t size_bytes = 1; size_bytes < HUGE_BYTES; size_bytes = size_bytes * 2 + 7) {
        char *block = misuse_block(size_bytes);
        block = realloc(block, size_bytes + 1000);
        if (block == NULL || malloc_usable_size(block) < size_bytes) {
            _exit(2);
        }
        free(block);
        free(calloc(3, size_bytes));
        free(aligned_alloc(256, size_bytes));
    }
    free(NULL);
    malloc_trim(0);
}

void free_never_allocated(void)
{
    misuse_by_free(never_allocated());
}

void free_inside_small(void)
{
    misuse_by_free(misuse_block(SMALL_BYTES) + 16);
}

void free_inside_small_half(void)
{
    misuse_by_free(misuse_block(1024) + 512);
}

void free_inside_medium(void)
{
    misuse_by_free(misuse_block(MEDIUM_BYTES) + UNIT_BYTES);
}

void free_inside_large(void)
{
    misuse_by_free(misuse_block(LARGE_BYTES) + 16);
}

void free_inside_large_unit(void)
{
    misuse_by_free(misuse_block(LARGE_BYTES) + (size_t)2 * UNIT_BYTES);
}

void free_inside_huge(void)
{
    misuse_by_free(misuse_block(HUGE_BYTES) + (size_t)3 * EXTENT_BYTES);
}

void free_inside_lane(void)
{
    misuse_by_free(lane_block() + (size_t)3 * UNIT_BYTES);
}

void free_misaligned_small(void)
{
    misuse_by_free(misuse_block(SMALL_BYTES) + 1);
}

void free_misaligned_large(void)
{
    misuse_by_free(misuse_block(LARGE_BYTES) + 8);
}

static void free_twice(char *block)
{
    free(block);
    misuse_by_free(block);
}

void free_twice_small(void)
{
    free_twice(misuse_block(SMALL_BYTES));
}

void free_twice_medium(void)
{
    free_twice(misuse_block(MEDIUM_BYTES));
}

void free_twice_span(void)
{
    free_twice(misuse_block(SPAN_BYTES));
}

/* Others of its size, more than a thread keeps, are freed in between. */
void free_twice_span_apart(void)
{
    char *block = misuse_block(SPAN_BYTES), *others[40];
    for (unsigned i = 0; i < 40; i++) {
        others[i] = misuse_block(SPAN_BYTES);
    }
    free(block);
    for (unsigned i = 0; i < 40; i++) {
        free(others[i]);
    }
    misuse_by_free(block);
}

void free_twice_large(void)
{
    free_twice(misuse_block(LARGE_BYTES));
}

void free_twice_huge(void)
{
    free_twice(misuse_block(HUGE_BYTES));
}

void free_twice_lane(void)
{
    free_twice(lane_block());
}

/* One other block of the size is freed in between. */
void free_twice_apart(void)
{
    char *block = misuse_block(SMALL_BYTES);
    char *other = misuse_block(SMALL_BYTES);
    free(block);
    free(other);
    misuse_by_free(block);
}

/* Hundreds are, so that the block has left the thread's cache meanwhile. */
void free_twice_far_apart(void)
{
    enum { OTHERS = 1000 };
    static char *others[OTHERS];
    char *block = misuse_block(SMALL_BYTES);
    for (size_t i = 0; i < OTHERS; i++) {
        others[i] = misuse_block(SMALL_BYTES);
    }
    free(block);
    for (size_t i = 0; i < OTHERS; i++) {
        free(others[i]);
    }
    misuse_by_free(block);
}

static void *free_in_thread(void *block)
{
    free(block);
    return NULL;
}

void free_twice_in_threads(void)
{
    char *block = misuse_block(SMALL_BYTES);
    pthread_t thread;
    if (pthread_create(&thread, NULL, free_in_thread, block) != 0) {
        _exit(2);
    }
    pthread_join(thread, NULL);
    misuse_by_free(block);
}

/* The old block of a realloc that moved. */
void free_after_realloc(void)
{
    char *block = misuse_block(SMALL_BYTES);
    char *old = block;
    __asm__ volatile("" : "+r"(old));
    char *moved = realloc(block, MEDIUM_BYTES);
    if (moved == old) {
        _exit(2);
    }
    misuse_by_free(old);
}

void realloc_inside_small(void)
{
    misuse_by_realloc(misuse_block(SMALL_BYTES) + 16);
}

void realloc_inside_large(void)
{
    misuse_by_realloc(misuse_block(LARGE_BYTES) + UNIT_BYTES);
}

void realloc_misaligned(void)
{
    misuse_by_realloc(misuse_block(SMALL_BYTES) + 3);
}

void realloc_never_allocated(void)
{
    misuse_by_realloc(never_allocated());
}

void realloc_freed(void)
{
    char *block = misuse_block(SMALL_BYTES);
    free(block);
    misuse_by_realloc(block);
}

void realloc_freed_span(void)
{
    char *block = misuse_block(SPAN_BYTES);
    free(block);
    misuse_by_realloc(block);
}

void realloc_stack(void)
{
    char here[64] __attribute__((aligned(16)));
    misuse_by_realloc(here + 16);
}

void usable_inside_small(void)
{
    misuse_by_usable_size(misuse_block(SMALL_BYTES) + 16);
}

void usable_inside_large(void)
{
    misuse_by_usable_size(misuse_block(LARGE_BYTES) + UNIT_BYTES);
}

void usable_never_allocated(void)
{
    misuse_by_usable_size(never_allocated());
}

void usable_freed(void)
{
    char *block = misuse_block(SMALL_BYTES);
    free(block);
    misuse_by_usable_size(block);
}

void usable_freed_span(void)
{
    char *block = misuse_block(SPAN_BYTES);
    free(block);
    misuse_by_usable_size(block);
}

static char in_data[64] __attribute__((aligned(16)));

void usable_static(void)
{
    misuse_by_usable_size(in_data + 16);
}

void free_stack(void)
{
    char here[64] __attribute__((aligned(16)));
    memset(here, 0, sizeof(here));
    misuse_by_free(here + 16);
}

void free_static(void)
{
    misuse_by_free(in_data + 16);
}

void free_mapped(void)
{
    char *mapped = mmap(NULL, 16 * UNIT_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    misuse_by_free(mapped + UNIT_BYTES);
}

void free_low_address(void)
{
    misuse_by_free((void *)(uintptr_t)0x10);
}

void free_high_address(void)
{
    misuse_by_free((void *)(uintptr_t)0xfffffffffffff000u);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*function)(void);
    } cases[] = {
#define MISUSE(function, settings, when, pattern) {#function, function},
#include "misuse.def"
#undef MISUSE
    };
    alarm(30);
    for (size_t i = 0; argc == 2 && i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strcmp(cases[i].name, argv[1]) == 0) {
            cases[i].function();
            dprintf(STDOUT_FILENO, "returned\n");
            malloc_trim(0);
            dprintf(STDOUT_FILENO, "flushed\n");
            return 0;
        }
    }
    dprintf(STDERR_FILENO, "usage: misuse FUNCTION, one of misuse.def\n");
    return 2;
}
