/* SPDX-License-Identifier: MIT
 * Walks a region: its figures, and its invariants R1.., which are listed in region_priv.h. */
#include "region/region_priv.h"

static size_t sum_bytes(const struct block *list)
{
    size_t bytes = 0;
    for (; list != NULL; list = list->below)
        bytes += list->bytes;
    return bytes;
}

void ebb__region_stats(const struct ebb_region *region, struct ebb_region_stats *ret_stats)
{
    const struct region *r = ebb__region_of(region);
    size_t cleanups = 0;
    for (const struct cleanup *c = r->cleanups; c != NULL; c = c->before)
        cleanups += c->fn != NULL;
    /* Kept blocks may be taken away while we look at them: what is not in use is kept, whatever the list is. */
    size_t held = ebb__region_held_bytes(r), in_use = r->first.bytes + sum_bytes(r->apart);
    for (const struct block *b = r->current; b != &r->first; b = b->below)
        in_use += b->bytes;
    *ret_stats = (struct ebb_region_stats){
        .size_of_struct = sizeof(*ret_stats),
        .used_bytes =
            r->closed_bytes + r->apart_bytes + (size_t)(r->open.cursor - ebb__block_data(r->current)),
        .held_bytes = held,
        .kept_bytes = held - in_use,
        .peak_bytes = r->peak_bytes,
        .limit_bytes = r->limit_bytes,
        .blocks_taken = r->blocks_taken,
        .cleanups = cleanups,
    };
}

/* What the walk has found so far. */
struct census {
    size_t bytes, closed_bytes, apart_bytes;
};

static int check_block(const struct region *r, const struct block *b)
{
    const void *start = b == &r->first ? (const void *)r : (const void *)b;
    size_t usable = 0;
    bool lives = b->class != 0 ? ebb__heap_kind(start, true, &usable) == EBB_BLOCK_SMALL
                               : ebb__heap_is_region_span(start, &usable);
    EBB_HOLDS("R2", lives, start, b->class);
    EBB_HOLDS("R2", usable == b->bytes, usable, b->bytes);
    EBB_HOLDS("R2", b->class == 0 || ebb__class_of(b->bytes) == b->class, b->class, b->bytes);
    return 0;
}

/* A block below the current one, or apart. */
static int check_closed(const struct region *r, const struct block *b, size_t *sum)
{
    EBB_HOLDS("R1", b->cursor >= ebb__block_data(b) && b->cursor <= ebb__block_end(r, b), b->cursor, b);
    *sum += (size_t)(b->cursor - ebb__block_data(b));
    return 0;
}

static int check_in_use(const struct region *r, struct census *k)
{
    const struct block *b = r->current;
    for (;; b = b->below) {
        EBB_HOLDS("R2", b != NULL, r, k->bytes);
        k->bytes += b->bytes;
        EBB_HOLDS("R2", k->bytes <= r->charged_bytes, k->bytes, r->charged_bytes); /* or the list is a ring */
        if (check_block(r, b) != 0 || (b != r->current && check_closed(r, b, &k->closed_bytes) != 0))
            return -EUCLEAN;
        if (b == &r->first)
            break;
    }
    EBB_HOLDS("R2", b->below == NULL, b->below, r);
    for (b = r->apart; b != NULL; b = b->below) {
        k->bytes += b->bytes;
        EBB_HOLDS("R2", k->bytes <= r->charged_bytes, k->bytes, r->charged_bytes);
        if (check_block(r, b) != 0 || check_closed(r, b, &k->apart_bytes) != 0)
            return -EUCLEAN;
    }
    EBB_HOLDS("R4", k->closed_bytes == r->closed_bytes, k->closed_bytes, r->closed_bytes);
    EBB_HOLDS("R4", k->apart_bytes == r->apart_bytes, k->apart_bytes, r->apart_bytes);
    return 0;
}

/* The list is out of others' reach while it is looked at. */
static int check_kept(const struct region *r, const struct block *list, struct census *k)
{
    size_t kept = atomic_load_explicit(&r->kept_bytes, memory_order_relaxed), others = k->bytes;
    for (const struct block *b = list; b != NULL; b = b->below) {
        k->bytes += b->bytes;
        EBB_HOLDS("R2", k->bytes <= r->charged_bytes, k->bytes, r->charged_bytes);
        EBB_HOLDS("R5", b->below == NULL || b->below->bytes <= b->bytes, b->bytes, b);
        const char *written = ebb__watch_find_written(r, ebb__block_data(b), ebb__block_end(r, b));
        EBB_HOLDS("R8", written == NULL, written, b);
        if (check_block(r, b) != 0)
            return -EUCLEAN;
    }
    EBB_HOLDS("R9", list == NULL || k->bytes - others == kept, kept, k->bytes - others);
    bool may_decay = list != NULL && (r->flags & EBB_REGION_KEEPS_IDLE) == 0;
    EBB_HOLDS("R7", !may_decay || ebb__keep_is_listed(r), r->listed_in, list);
    return 0;
}

static bool is_within(const struct region *r, const struct block *list, const void *p, size_t bytes)
{
    const char *at = p;
    for (; list != NULL; list = list->below) {
        const char *cursor = list == r->current ? r->open.cursor : list->cursor;
        if (at >= ebb__block_data(list) && at + bytes <= cursor)
            return true;
    }
    return false;
}

static int check_cursor(const struct region *r)
{
    size_t granule = ebb__region_granule(r);
    const char *cursor = r->open.cursor;
    EBB_HOLDS("R1", granule == 8 || granule == 16, granule, r);
    EBB_HOLDS("R1", r->end == ebb__block_end(r, r->current), r->end, r->current);
    EBB_HOLDS("R1", cursor >= ebb__block_data(r->current) && cursor <= r->end, cursor, r->end);
    EBB_HOLDS("R1", ((uintptr_t)cursor | (uintptr_t)r->end) % granule == 0, cursor, r->end);
    EBB_HOLDS("R1", r->open.limit == (r->watch == EBB_WATCH_NONE ? r->end : cursor), r->open.limit, r->end);
    const char *written = ebb__watch_find_written(r, cursor, r->end);
    EBB_HOLDS("R8", written == NULL, written, cursor);
    return 0;
}

int ebb__region_check(const struct ebb_region *region)
{
    struct region *r = ebb__region_of(region);
    struct census k = {0};
    if (check_cursor(r) != 0 || check_in_use(r, &k) != 0)
        return -EUCLEAN;
    struct block *list = ebb__keep_hide(r);
    int rc = check_kept(r, list, &k);
    ebb__keep_show(r, list);
    if (rc != 0)
        return rc;
    EBB_HOLDS("R3", k.bytes == ebb__region_held_bytes(r), k.bytes, ebb__region_held_bytes(r));
    for (const struct cleanup *c = r->cleanups; c != NULL; c = c->before)
        EBB_HOLDS("R6", is_within(r, r->current, c, sizeof(*c)) || is_within(r, r->apart, c, sizeof(*c)), c,
                  c->fn);
    return 0;
}
