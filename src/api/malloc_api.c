/* SPDX-License-Identifier: MIT
 * The slow halves of the malloc family, and ebb_*: checks of arguments, errno, dispatch by kind of block. */
#include "api/api.h"
#include "conf/conf.h"
#include "ebb/malloc.h"
#include "governor/governor.h"
#include "stats/stats.h"

static void *fail(int error)
{
    errno = error;
    return NULL;
}

static void *take(size_t bytes)
{
    if (bytes <= EBB_SMALL_MAX_BYTES)
        return ebb__cache_get_slow(ebb__class_of(bytes), EBB_MAKE_ROOM);
    return bytes <= PTRDIFF_MAX ? ebb__cache_span_alloc(bytes, EBB_UNIT_BYTES, false) : NULL;
}

void *ebb__api_malloc_slow(size_t bytes)
{
    void *p = take(bytes);
    if (EBB_UNLIKELY(p == NULL) && ebb__governor_rescue())
        p = take(bytes);
    ebb__governor_serve(__builtin_return_address(0));
    return p != NULL ? p : fail(ENOMEM);
}

void *ebb__api_calloc_slow(size_t bytes)
{
    if (bytes <= EBB_SMALL_MAX_BYTES) {
        void *p = ebb__api_malloc_slow(bytes);
        return p != NULL ? memset(p, 0, bytes) : NULL;
    }
    void *p = bytes <= PTRDIFF_MAX ? ebb__cache_span_alloc(bytes, EBB_UNIT_BYTES, true) : NULL;
    if (EBB_UNLIKELY(p == NULL) && bytes <= PTRDIFF_MAX && ebb__governor_rescue())
        p = ebb__cache_span_alloc(bytes, EBB_UNIT_BYTES, true);
    return p != NULL ? p : fail(ENOMEM);
}

static void *take_aligned(size_t align, size_t bytes)
{
    unsigned c = ebb__class_aligned(bytes, align);
    if (c == 0)
        return ebb__cache_span_alloc(bytes, ebb__max(align, EBB_UNIT_BYTES), false);
    void *p = ebb__cache_get(c);
    return p != NULL ? p : ebb__cache_get_slow(c, EBB_MAKE_ROOM);
}

void *ebb__api_aligned(size_t align, size_t bytes)
{
    if (bytes > PTRDIFF_MAX || align > PTRDIFF_MAX / 2)
        return fail(ENOMEM);
    void *p = take_aligned(align, bytes);
    if (EBB_UNLIKELY(p == NULL) && ebb__governor_rescue())
        p = take_aligned(align, bytes);
    return p != NULL ? p : fail(ENOMEM);
}

static _Noreturn void die_twice(const void *p, size_t bytes, const char *caller)
{
    ebb__die("%s: double free of block %p (%lu bytes)", caller, p, (unsigned long)bytes);
}

void ebb__api_free_slow(void *p, enum ebb_put why, const char *caller)
{
    size_t usable;
    if (why == EBB_PUT_FULL) {
        ebb__cache_put_slow(p, caller);
        ebb__governor_serve(__builtin_return_address(0));
        return;
    }
    if (p == NULL)
        return;
    switch (ebb__heap_kind(p, false, &usable)) {
    case EBB_BLOCK_SPAN:
        ebb__cache_span_free(p, usable, caller);
        ebb__governor_serve(__builtin_return_address(0));
        return;
    case EBB_BLOCK_LANE:
        ebb__heap_large_free(p);
        ebb__governor_serve(__builtin_return_address(0));
        return;
    case EBB_BLOCK_SMALL:
        if (why == EBB_PUT_TWICE)
            die_twice(p, usable, caller);
        ebb__cache_put_slow(p, caller);
        return;
    case EBB_BLOCK_FOREIGN:
        if (ebb__conf.foreign == EBB_FOREIGN_FORWARD && ebb__forward_free != NULL && ebb__forward_free(p)) {
            EBB_COUNT(foreign_frees, 1);
            return;
        }
        ebb__die("%s: foreign pointer %p", caller, p);
    case EBB_BLOCK_INVALID:
    default:
        if (ebb__heap_span_is_held(p, &usable))
            die_twice(p, usable, caller);
        ebb__die("%s: invalid pointer %p", caller, p);
    }
}

static void put(void *p, const char *caller)
{
    enum ebb_put why = ebb__cache_put(p);
    if (EBB_UNLIKELY(why != EBB_PUT_DONE))
        ebb__api_free_slow(p, why, caller);
}

void ebb__api_free_sized(void *p, size_t bytes, size_t align, const char *caller)
{
    if (EBB_UNLIKELY(ebb__conf.check != 0) && p != NULL) {
        size_t usable = ebb__api_usable(p, caller), wanted;
        unsigned c = ebb__class_aligned(bytes, align != 0 ? align : 16);
        wanted = c != 0 ? ebb__classes[c].bytes : 0;
        /* Blocks shrunk in place by realloc are up to twice what was asked for last. */
        if (usable < bytes || usable < wanted || (align != 0 && (uintptr_t)p % align != 0) ||
            (wanted != 0 && usable > EBB_SMALL_MAX_BYTES && wanted * 2 < usable) ||
            (wanted != 0 && usable > 2 * wanted))
            ebb__die("%s: size %lu does not match block %p (%lu bytes)", caller, (unsigned long)bytes, p,
                     (unsigned long)usable);
    }
    put(p, caller);
}

size_t ebb__api_usable(const void *p, const char *caller)
{
    size_t usable = 0;
    if (p == NULL)
        return 0;
    switch (ebb__heap_kind(p, ebb__conf.check != 0, &usable)) {
    case EBB_BLOCK_SMALL:
    case EBB_BLOCK_SPAN:
    case EBB_BLOCK_LANE:
        return usable;
    case EBB_BLOCK_FOREIGN:
        if (ebb__conf.foreign == EBB_FOREIGN_FORWARD && ebb__forward_usable != NULL &&
            ebb__forward_usable(p, &usable))
            return usable;
        ebb__die("%s: foreign pointer %p", caller, p);
    case EBB_BLOCK_INVALID:
    default:
        ebb__die("%s: invalid pointer %p", caller, p);
    }
}

/* ---- realloc ---- */

/* A new block, the content moved into it. */
static void *move(void *p, size_t old_usable, size_t bytes, const char *caller)
{
    void *q = NULL;
    if (bytes >= EBB_MIB(32) && bytes > old_usable)
        q = ebb__heap_lane_alloc(bytes); /* from now on it grows without copying */
    if (q == NULL && bytes > old_usable && bytes > EBB_SMALL_MAX_BYTES &&
        ebb__heap_grown(old_usable, bytes) > bytes)
        q = ebb__cache_span_if_room(ebb__heap_grown(old_usable, bytes));
    if (q == NULL)
        q = ebb__api_malloc(bytes);
    if (q == NULL)
        return NULL;
    memcpy(q, p, ebb__min(old_usable, bytes));
    put(p, caller);
    return q;
}

void *ebb__api_realloc(void *p, size_t bytes, const char *caller)
{
    size_t usable = 0;
    void *q;
    if (p == NULL)
        return ebb__api_malloc(bytes);
    enum ebb_block_kind kind = ebb__heap_kind(p, ebb__conf.check != 0, &usable);
    if (kind == EBB_BLOCK_INVALID)
        ebb__die("%s: invalid pointer %p", caller, p);
    if (kind == EBB_BLOCK_FOREIGN) {
        if (ebb__conf.foreign == EBB_FOREIGN_FORWARD && ebb__forward_realloc != NULL &&
            ebb__forward_realloc(p, bytes, &q))
            return q;
        ebb__die("%s: foreign pointer %p", caller, p);
    }
    if (bytes == 0) {
        put(p, caller);
        return NULL;
    }
    if (bytes > PTRDIFF_MAX)
        return fail(ENOMEM);
    if (kind == EBB_BLOCK_SMALL) {
        /* Shrinking by less than half stays: the move would cost more than the bytes are worth. */
        if (bytes <= usable && bytes > usable / 2)
            return p;
    } else if (bytes > EBB_SMALL_MAX_BYTES) {
        if ((q = ebb__heap_large_resize(p, bytes)) != NULL)
            return q;
    }
    int saved = errno;
    if ((q = move(p, usable, bytes, caller)) == NULL && bytes <= usable) {
        errno = saved; /* a block that shrinks is good where it is */
        return p;
    }
    return q;
}

/* ---- ebb_* ---- */

EBB_HOT void *ebb_malloc(size_t size_bytes)
{
    return ebb__api_malloc(size_bytes);
}

void *ebb_calloc(size_t count, size_t size_bytes)
{
    return ebb__api_calloc(count, size_bytes);
}

void *ebb_realloc(void *block, size_t size_bytes)
{
    return ebb__api_realloc(block, size_bytes, "ebb_realloc");
}

void *ebb_reallocarray(void *block, size_t count, size_t size_bytes)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size_bytes, &bytes))
        return fail(ENOMEM);
    return ebb__api_realloc(block, bytes, "ebb_reallocarray");
}

EBB_HOT void ebb_free(void *block)
{
    enum ebb_put why = ebb__cache_put(block);
    if (EBB_UNLIKELY(why != EBB_PUT_DONE))
        ebb__api_free_slow(block, why, "ebb_free");
}

void ebb_free_sized(void *block, size_t size_bytes)
{
    ebb__api_free_sized(block, size_bytes, 0, "ebb_free_sized");
}

void ebb_free_aligned_sized(void *block, size_t alignment_bytes, size_t size_bytes)
{
    ebb__api_free_sized(block, size_bytes, alignment_bytes, "ebb_free_aligned_sized");
}

void *ebb_aligned_alloc(size_t alignment_bytes, size_t size_bytes)
{
    return ebb__is_pow2(alignment_bytes) ? ebb__api_aligned(alignment_bytes, size_bytes) : fail(EINVAL);
}

size_t ebb_usable_size(const void *block)
{
    return ebb__api_usable(block, "ebb_usable_size");
}
