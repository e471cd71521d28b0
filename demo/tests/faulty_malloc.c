/* SPDX-License-Identifier: MIT
 *
 * A malloc with a fault, to be preloaded: the test that ebb-load notices corrupt memory.
 *
 * EBB_DEMO_FAULT chooses it: "tail" writes over the last byte of a live block, "head" over its first, "zero"
 * lets calloc give memory that is not zero. It strikes once, at the 20,000th call.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define STRIKES_AT 20000

__attribute__((visibility("default"))) extern void *__libc_malloc(size_t size);
__attribute__((visibility("default"))) extern void *__libc_calloc(size_t count, size_t size);

static _Atomic long calls;
static __thread unsigned char *last;
static __thread size_t last_size;

static int strikes(const char *fault)
{
    const char *wanted = getenv("EBB_DEMO_FAULT");

    return wanted != NULL && strcmp(wanted, fault) == 0 && atomic_load(&calls) >= STRIKES_AT;
}

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    void *p = __libc_malloc(size);

    /* The last block of this thread lives still if this call follows at once, as in a result set: most do. */
    atomic_fetch_add(&calls, 1);
    if (last != NULL && last_size > 64 && size > 64) {
        if (strikes("tail"))
            last[last_size - 1] ^= 1;
        if (strikes("head"))
            last[0] ^= 1;
    }
    last = p;
    last_size = size;
    return p;
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size)
{
    unsigned char *p = __libc_calloc(count, size);

    if (p != NULL && count * size > 1024 && strikes("zero"))
        p[128] = 1;
    return p;
}
