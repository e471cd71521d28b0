/* SPDX-License-Identifier: MIT
 * ebb_region_*: errno, checks of arguments, and somebody to look after what regions give back. */
#include "api/api.h"
#include "ebb/region.h"
#include "governor/governor.h"
#include "region/region.h"

static void *fail(int error)
{
    errno = error;
    return NULL;
}

/* On the way out: somebody must look after blocks that went back, or may. */
static void finish(bool gave, const void *caller, int saved_errno)
{
    if (gave)
        ebb__governor_serve(caller);
    errno = saved_errno;
}

/* ---- blocks from the threads' caches ---- */

static void *take_cached(unsigned c, enum ebb_room room)
{
    void *p = ebb__cache_get(c);
    return p != NULL ? p : ebb__cache_get_slow(c, room);
}

static void give_cached(unsigned c, void *block)
{
    (void)c;
    enum ebb_put why = ebb__cache_put(block);
    if (EBB_UNLIKELY(why == EBB_PUT_FULL))
        ebb__cache_put_slow(block, "ebb_region");
    else if (EBB_UNLIKELY(why != EBB_PUT_DONE))
        ebb__die("ebb_region: block %p is not out", block);
}

void ebb__api_region_start(void)
{
    ebb__region_source = (struct ebb_region_source){take_cached, give_cached};
}

/* ---- life ---- */

struct ebb_region *ebb_region_create(const struct ebb_region_options *options)
{
    if (options != NULL && ebb__region_options_check(options) != 0)
        return fail(EINVAL);
    struct ebb_region *region = ebb__region_create(options);
    return region != NULL ? region : fail(ENOMEM);
}

void ebb_region_destroy(struct ebb_region *region)
{
    if (region == NULL)
        return;
    int saved = errno;
    bool gave = ebb__region_destroy(region);
    finish(gave, __builtin_return_address(0), saved);
}

/* ---- memory ---- */

void *ebb_region_alloc_slow(struct ebb_region *region, size_t size_bytes)
{
    void *p = ebb__region_alloc(region, size_bytes, 1);
    ebb__governor_serve(__builtin_return_address(0));
    return p != NULL ? p : fail(ENOMEM);
}

void *ebb_region_alloc_aligned(struct ebb_region *region, size_t alignment_bytes, size_t size_bytes)
{
    if (!ebb__is_pow2(alignment_bytes))
        return fail(EINVAL);
    void *p = ebb__region_alloc(region, size_bytes, alignment_bytes);
    return p != NULL ? p : fail(ENOMEM);
}

void *ebb_region_calloc(struct ebb_region *region, size_t count, size_t size_bytes)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size_bytes, &bytes))
        return fail(ENOMEM);
    void *p = ebb_region_alloc(region, bytes);
    return p != NULL ? memset(p, 0, bytes) : NULL;
}

void *ebb_region_memdup(struct ebb_region *region, const void *bytes, size_t size_bytes)
{
    void *p = ebb_region_alloc(region, size_bytes);
    return p != NULL && size_bytes != 0 ? memcpy(p, bytes, size_bytes) : p;
}

char *ebb_region_strdup(struct ebb_region *region, const char *text)
{
    return ebb_region_memdup(region, text, strlen(text) + 1);
}

char *ebb_region_strndup(struct ebb_region *region, const char *text, size_t most_bytes)
{
    size_t length = strnlen(text, most_bytes);
    if (length == SIZE_MAX)
        return fail(ENOMEM);
    char *p = ebb_region_alloc(region, length + 1);
    if (p == NULL)
        return NULL;
    memcpy(p, text, length);
    p[length] = '\0';
    return p;
}

/* ---- giving back ---- */

struct ebb_region_mark ebb_region_mark(const struct ebb_region *region)
{
    return ebb__region_mark(region);
}

void ebb_region_rollback(struct ebb_region *region, struct ebb_region_mark mark)
{
    int saved = errno;
    bool gave = ebb__region_rollback(region, mark);
    finish(gave, __builtin_return_address(0), saved);
}

void ebb_region_reset(struct ebb_region *region, enum ebb_region_keep keep)
{
    int saved = errno;
    if (keep != EBB_REGION_KEEP_FIRST && keep != EBB_REGION_KEEP_LARGEST && keep != EBB_REGION_KEEP_ALL)
        ebb__die("ebb_region_reset: %d is nothing to keep", (int)keep);
    bool gave = ebb__region_reset(region, keep);
    finish(gave, __builtin_return_address(0), saved);
}

int ebb_region_cleanup_add(struct ebb_region *region, void (*fn)(void *arg), void *arg)
{
    return ebb__region_cleanup_add(region, fn, arg);
}

int ebb_region_cleanup_cancel(struct ebb_region *region, void (*fn)(void *arg), void *arg)
{
    return ebb__region_cleanup_cancel(region, fn, arg);
}

/* ---- limits and figures ---- */

int64_t ebb_region_limit(struct ebb_region *region, int64_t limit_bytes)
{
    return ebb__region_limit(region, limit_bytes);
}

int ebb_region_stats_get(const struct ebb_region *region, struct ebb_region_stats *ret_stats)
{
    if (ret_stats->size_of_struct != sizeof(*ret_stats))
        return -EINVAL;
    ebb__region_stats(region, ret_stats);
    return 0;
}

int ebb_region_check(const struct ebb_region *region)
{
    return ebb__region_check(region);
}
