/* SPDX-License-Identifier: MIT
 *
 * Zero sizes and null pointers, as glibc's manual gives them.
 */
#include "conform/conform.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FORM_COUNT = 9, ROUNDS = 40 };

static void *allocate_nothing(unsigned form)
{
    size_t zero = conform_opaque(0);
    void *block = NULL;
    switch (form) {
    case 0:
        return malloc(zero);
    case 1:
        return calloc(zero, 8);
    case 2:
        return calloc(8, zero);
    case 3:
        return realloc(NULL, zero);
    case 4:
        return reallocarray(NULL, zero, 8);
    case 5:
        return aligned_alloc(64, zero);
    case 6:
        return memalign(4096, zero);
    case 7:
        return posix_memalign(&block, 256, zero) == 0 ? block : NULL;
    default:
        return valloc(zero);
    }
}

static void blocks_are_unique(void)
{
    static void *blocks[FORM_COUNT * ROUNDS];
    size_t count = 0;
    for (unsigned form = 0; form < FORM_COUNT; form++) {
        for (unsigned round = 0; round < ROUNDS; round++) {
            void *block = allocate_nothing(form);
            CHECK(block != NULL, "form %u", form);
            for (size_t i = 0; i < count; i++) {
                CHECK(blocks[i] != block, "two live blocks of no bytes share %p (form %u)", block, form);
            }
            blocks[count++] = block;
        }
    }
    for (size_t i = 0; i < count; i++) {
        free(blocks[i]);
    }
}

/* realloc(p, 0) frees p. Were it not freed, 200,000 blocks of 64 KiB would need 12 GiB of address space; the
 * check looks at the resident pages, which must not grow by more than a fraction of what was passed through.
 */
static void realloc_to_zero_frees(void)
{
    for (int i = 0; i < 200000; i++) {
        size_t size_bytes = i % 2 == 0 ? 65536 : 48;
        char *block = malloc(size_bytes);
        if (!CHECK(block != NULL)) {
            return;
        }
        block[0] = 1;
        block[size_bytes - 1] = 1;
        void *left = realloc(block, conform_opaque(0));
        if (!CHECK(left == NULL, "realloc(p, 0) gave %p", left)) {
            return;
        }
        if (i % 1000 == 0) {
            block = malloc(48);
            CHECK(block != NULL && reallocarray(block, conform_opaque(0), 8) == NULL,
                  "reallocarray(p, 0, 8)");
        }
    }
    long resident_pages = 0;
    int fields = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm != NULL) {
        fields = fscanf(statm, "%*d %ld", &resident_pages);
        fclose(statm);
    }
    CHECK(fields == 1 && resident_pages * sysconf(_SC_PAGESIZE) < 256L << 20, "%ld pages are resident",
          resident_pages);
}

int main(void)
{
    conform_start(60);
    blocks_are_unique();
    realloc_to_zero_frees();
    CHECK(malloc_usable_size(NULL) == 0);
    void *rounded = pvalloc(conform_opaque(0));
    CHECK(rounded != NULL && (uintptr_t)rounded % (uintptr_t)sysconf(_SC_PAGESIZE) == 0, "pvalloc(0)");
    free(rounded);
    free(NULL);
    return conform_end();
}
