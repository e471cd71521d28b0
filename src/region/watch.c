/* SPDX-License-Identifier: MIT
 *
 * Watched regions: what is free is known to a memory checker, or holds a pattern.
 *
 * In a process under AddressSanitizer or valgrind every free byte of a region is one that nobody may touch, and between
 * two pieces some are left free. Otherwise, where it is asked for, free bytes are filled with a pattern, which is looked at when they
 * are handed out and when they leave the region: who wrote there is not known, but where, and that it happened. In neither
 * case does the way of a piece change: the limit that it compares with is the cursor, so all pieces come from the slow half.
 */
#include "region/region_priv.h"

#define PATTERN 0xdb

enum ebb_watch ebb__watch_kind(uint32_t flags)
{
    if (ebb__track_is_on())
        return EBB_WATCH_TOOL;
    return (flags & EBB_REGION_POISON) != 0 || ebb__conf.region_poison != 0 ? EBB_WATCH_FILL : EBB_WATCH_NONE;
}

const char *ebb__watch_find_written(const struct region *r, const char *p, const char *end)
{
    if (r->watch != EBB_WATCH_FILL)
        return NULL;
    while (p < end && *(const unsigned char *)p == PATTERN)
        p++;
    return p < end ? p : NULL;
}

static void expect_free(const struct region *r, const char *p, const char *end, const char *caller)
{
    const char *written = ebb__watch_find_written(r, p, end);
    if (EBB_UNLIKELY(written != NULL))
        ebb__die("%s: %p in region %p was written to while it was free", caller, (const void *)written,
                 (const void *)r);
}

void ebb__watch_free(const struct region *r, char *p, const char *end)
{
    if (r->watch == EBB_WATCH_TOOL)
        ebb__track_forbid(p, (size_t)(end - p));
    else
        memset(p, PATTERN, (size_t)(end - p));
}

void ebb__watch_use(const struct region *r, char *p, size_t bytes, const char *caller)
{
    if (r->watch == EBB_WATCH_TOOL)
        ebb__track_allow(p, bytes);
    else
        expect_free(r, p - EBB_WATCH_GAP_BYTES, p + bytes, caller);
}

void ebb__watch_leave(const struct region *r, char *data, const char *cursor, const char *end,
                      const char *caller)
{
    expect_free(r, cursor, end, caller);
    ebb__watch_free(r, data, cursor);
}
