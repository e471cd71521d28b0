/* SPDX-License-Identifier: MIT
 * The C library's malloc family, by its own names; behaviour as in malloc(3), posix_memalign(3) and C23. */
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "entry/entry.h"

EBB_ENTRY EBB_HOT void *malloc(size_t bytes)
{
    return ebb__api_malloc(bytes);
}

EBB_ENTRY EBB_HOT void free(void *p)
{
    ebb__api_free(p);
}

EBB_ENTRY void *calloc(size_t count, size_t bytes)
{
    return ebb__api_calloc(count, bytes);
}

EBB_ENTRY void *realloc(void *p, size_t bytes)
{
    return ebb__api_realloc(p, bytes, "realloc");
}

EBB_ENTRY void *reallocarray(void *p, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return ebb__api_realloc(p, bytes, "reallocarray");
}

/* glibc rounds odd alignments up to the next power of two instead of refusing them. */
EBB_ENTRY void *memalign(size_t align, size_t bytes)
{
    size_t power = 16;
    if (align > PTRDIFF_MAX / 2) {
        errno = align > (size_t)PTRDIFF_MAX + 1 ? EINVAL : ENOMEM;
        return NULL;
    }
    while (power < align)
        power *= 2;
    return ebb__api_aligned(power, bytes);
}

EBB_ENTRY void *aligned_alloc(size_t align, size_t bytes)
{
    if (!ebb__is_pow2(align)) {
        errno = EINVAL;
        return NULL;
    }
    return ebb__api_aligned(align, bytes);
}

EBB_ENTRY int posix_memalign(void **ret_block, size_t align, size_t bytes)
{
    if (!ebb__is_pow2(align) || align % sizeof(void *) != 0)
        return EINVAL;
    int saved = errno; /* the error is the result; errno stays */
    void *p = ebb__api_aligned(align, bytes);
    errno = saved;
    if (p == NULL)
        return ENOMEM;
    *ret_block = p;
    return 0;
}

EBB_ENTRY void *valloc(size_t bytes)
{
    return ebb__api_aligned((size_t)getpagesize(), bytes);
}

EBB_ENTRY void *pvalloc(size_t bytes)
{
    size_t page = (size_t)getpagesize();
    if (bytes > PTRDIFF_MAX - page) {
        errno = ENOMEM;
        return NULL;
    }
    return ebb__api_aligned(page, ebb__align_up(bytes != 0 ? bytes : 1, page));
}

EBB_ENTRY size_t malloc_usable_size(void *p)
{
    return ebb__api_usable(p, "malloc_usable_size");
}

/* C23, and the name that binaries older than glibc 2.26 use. */
EBB_ENTRY void free_sized(void *p, size_t bytes);
EBB_ENTRY void free_aligned_sized(void *p, size_t align, size_t bytes);
EBB_ENTRY void cfree(void *p);

EBB_ENTRY void free_sized(void *p, size_t bytes)
{
    ebb__api_free_sized(p, bytes, 0, "free_sized");
}

EBB_ENTRY void free_aligned_sized(void *p, size_t align, size_t bytes)
{
    ebb__api_free_sized(p, bytes, align, "free_aligned_sized");
}

EBB_ENTRY void cfree(void *p)
{
    ebb__api_free(p);
}

/* ---- names that some programs call instead of the public ones ---- */

#define ALIAS(target) EBB_ENTRY __attribute__((alias(#target)))

ALIAS(malloc) void *__libc_malloc(size_t bytes);
ALIAS(calloc) void *__libc_calloc(size_t count, size_t bytes);
ALIAS(realloc) void *__libc_realloc(void *p, size_t bytes);
ALIAS(free) void __libc_free(void *p);
ALIAS(cfree) void __libc_cfree(void *p);
ALIAS(memalign) void *__libc_memalign(size_t align, size_t bytes);
ALIAS(valloc) void *__libc_valloc(size_t bytes);
ALIAS(pvalloc) void *__libc_pvalloc(size_t bytes);
ALIAS(posix_memalign) int __posix_memalign(void **ret_block, size_t align, size_t bytes);
