/* SPDX-License-Identifier: MIT
 *
 * Door of the API: the malloc family as inline fast paths with slow halves, for ebb_* and for malloc & co.
 * alike.
 *
 * What the two families share is here, so that neither pays a call for the other. A function that ends in
 * _slow sets errno as the malloc family must.
 */
#ifndef EBB_API_API_H
#define EBB_API_API_H

#include "base/base.h"
#include "cache/cache.h"
#include "heap/heap.h"

void *ebb__api_malloc_slow(size_t bytes);
void *ebb__api_calloc_slow(size_t bytes);
void ebb__api_free_slow(void *p, enum ebb_put why, const char *caller);

/* A cached block for a request of any size; NULL: the slow half. The most frequent sizes first: they are told apart by one
 * comparison. */
EBB_INLINE void *ebb__api_cached(size_t bytes)
{
    if (EBB_LIKELY(bytes <= EBB_CLASS_TABLE_MAX))
        return ebb__cache_get(ebb__class_table[(bytes + 15) >> 4]);
    if (bytes <= EBB_SMALL_MAX_BYTES)
        return ebb__cache_get(ebb__class_of(bytes));
    return NULL;
}

EBB_INLINE void *ebb__api_malloc(size_t bytes)
{
    void *p = ebb__api_cached(bytes);
    return EBB_LIKELY(p != NULL) ? p : ebb__api_malloc_slow(bytes);
}

EBB_INLINE void ebb__api_free(void *p)
{
    enum ebb_put why = ebb__cache_put(p);
    if (EBB_UNLIKELY(why != EBB_PUT_DONE))
        ebb__api_free_slow(p, why, "free");
}

EBB_INLINE void *ebb__api_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (EBB_UNLIKELY(__builtin_mul_overflow(count, size, &bytes))) {
        errno = ENOMEM;
        return NULL;
    }
    void *p = ebb__api_cached(bytes);
    return EBB_LIKELY(p != NULL) ? memset(p, 0, bytes) : ebb__api_calloc_slow(bytes);
}

/* pre: align a power of two. Sets errno ENOMEM. */
void *ebb__api_aligned(size_t align, size_t bytes);
void *ebb__api_realloc(void *p, size_t bytes, const char *caller);
size_t ebb__api_usable(const void *p, const char *caller);

/* As free; with check:1 dies when no block asked for with `bytes` and `align` (0: none) can be p's. */
void ebb__api_free_sized(void *p, size_t bytes, size_t align, const char *caller);

/* What to do with blocks of another allocator. Defined by src/entry, where there may be a next allocator;
 * absent in libebb.so, where such a block aborts. The functions return false when there is nobody to forward
 * to. */
__attribute__((weak)) bool ebb__forward_free(void *p);
__attribute__((weak)) bool ebb__forward_realloc(void *p, size_t bytes, void **ret_block);
__attribute__((weak)) bool ebb__forward_usable(const void *p, size_t *ret_bytes);

/* Everything that malloc_trim() promises. Returns 1 when memory went back. */
int ebb__api_trim(size_t keep_bytes);

/* From the constructor: regions take their small blocks from the threads' caches. */
void ebb__api_region_start(void);

/* True once the constructor has run. */
bool ebb__api_is_started(void);

#endif
