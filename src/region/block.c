/* SPDX-License-Identifier: MIT
 *
 * Blocks of regions: taken from the heap, charged to their region, given back.
 *
 * Blocks up to 32 KiB are of a size class and may come from the threads' caches, when the floor above has said how; larger ones are
 * spans. Each is charged whole, as long as its region holds it, in use or kept. Charging is here and nowhere else: a
 * region's own bytes, and an account of the budget beside them.
 */
#include "region/region_priv.h"

static void *take_from_heap(unsigned c, enum ebb_room room)
{
    void *p;
    unsigned got = room == EBB_MAKE_ROOM ? ebb__heap_take(c, &p, 1) : ebb__heap_take_if_room(c, &p, 1);
    return got != 0 ? p : NULL;
}

static void give_to_heap(unsigned c, void *block)
{
    ebb__heap_give(c, &block, 1, "ebb_region");
}

struct ebb_region_source ebb__region_source = {take_from_heap, give_to_heap};

/* ---- memory ---- */

size_t ebb__block_bytes(size_t bytes)
{
    if (bytes <= EBB_SMALL_MAX_BYTES)
        return ebb__classes[ebb__class_of(bytes)].bytes;
    return ebb__align_up(bytes, EBB_UNIT_BYTES);
}

/* The largest block that is not larger than that; 0 when there is none. */
static size_t block_bytes_below(size_t bytes)
{
    if (bytes > EBB_SMALL_MAX_BYTES)
        return ebb__align_down(bytes, EBB_UNIT_BYTES);
    unsigned c = ebb__class_of(bytes);
    return ebb__classes[c].bytes <= bytes ? ebb__classes[c].bytes : c > 1 ? ebb__classes[c - 1].bytes : 0;
}

/* A block's memory of at least `bytes`; *ret_class is 0 for a span. */
static void *take(size_t bytes, enum ebb_room room, unsigned *ret_class)
{
    unsigned c = bytes <= EBB_SMALL_MAX_BYTES ? ebb__class_of(bytes) : 0;
    *ret_class = c;
    return c != 0 ? ebb__region_source.take(c, room) : ebb__heap_region_span_alloc(bytes, room);
}

typedef void (*give_fn)(unsigned class, void *block); /* of small ones */

EBB_INLINE void give_by(give_fn give_small, void *block, unsigned class, size_t bytes)
{
    if (ebb__track_is_on()) /* the next owner may write where it likes */
        ebb__track_allow(block, bytes);
    if (class != 0)
        give_small(class, block);
    else
        ebb__heap_large_free(block);
}

static void give(void *block, unsigned class, size_t bytes)
{
    give_by(ebb__region_source.give, block, class, bytes);
}

EBB_INLINE size_t give_list(give_fn give_small, struct block *list)
{
    size_t bytes = 0;
    while (list != NULL) {
        struct block *b = list;
        list = b->below;
        bytes += b->bytes;
        give_by(give_small, b, b->class, b->bytes);
    }
    return bytes;
}

size_t ebb__blocks_give(struct block *list)
{
    return give_list(ebb__region_source.give, list);
}

size_t ebb__blocks_return(struct block *list)
{
    return give_list(give_to_heap, list);
}

/* ---- charging ---- */

/* False: the account has no room. */
static bool charge(struct region *r, size_t bytes, enum ebb_room room)
{
    if (r->account != NULL && (room == EBB_MAKE_ROOM ? ebb__ledger_charge_credit(r->account, bytes)
                                                     : ebb__ledger_charge_credit_try(r->account, bytes)) != 0)
        return false;
    r->charged_bytes += bytes;
    r->peak_bytes = ebb__max(r->peak_bytes, ebb__region_held_bytes(r));
    return true;
}

void ebb__region_uncharge(struct region *r, size_t bytes)
{
    r->charged_bytes -= bytes;
    if (r->account != NULL && bytes != 0)
        ebb__ledger_uncharge_credit(r->account, bytes);
}

/* Whether the region may hold so many bytes more; kept blocks go before it may not. */
static bool is_within(struct region *r, size_t bytes)
{
    for (int again = 0; again < 2; again++) {
        size_t held = ebb__region_held_bytes(r);
        if (r->limit_bytes == 0 || (held <= r->limit_bytes && bytes <= r->limit_bytes - held))
            return true;
        if (again == 0)
            (void)ebb__keep_none(r);
    }
    return false;
}

static bool is_allowed(struct region *r, size_t bytes)
{
    return r->over_limit != NULL && r->over_limit(&r->open, bytes, r->arg) != 0;
}

/* A block of so many bytes, charged. NULL: it is refused, and nothing is charged. */
static struct block *take_charged(struct region *r, size_t bytes, enum ebb_room room)
{
    unsigned class;
    if (!charge(r, bytes, room))
        return NULL;
    struct block *b = take(bytes, room, &class);
    if (b == NULL)
        ebb__region_uncharge(r, bytes);
    else
        *b = (struct block){.bytes = bytes, .class = class};
    return b;
}

struct block *ebb__block_take(struct region *r, size_t bytes, size_t least_bytes)
{
    struct block *b = NULL;
    size_t least = ebb__block_bytes(least_bytes);
    bytes = ebb__block_bytes(bytes);
    if (!is_within(r, bytes)) {
        size_t held = ebb__region_held_bytes(r);
        bytes = block_bytes_below(r->limit_bytes - ebb__min(held, r->limit_bytes));
        if (bytes < least && !is_allowed(r, bytes = least))
            return NULL;
    }
    if (bytes > least) /* in advance, for pieces that may never come: nobody else's memory goes for that */
        b = take_charged(r, bytes, EBB_IF_ROOM);
    if (b == NULL)
        b = take_charged(r, least, EBB_MAKE_ROOM);
    if (b == NULL && ebb__keep_none(r) != 0)
        b = take_charged(r, least, EBB_MAKE_ROOM);
    if (b == NULL)
        return NULL;
    r->blocks_taken++;
    if (r->watch != EBB_WATCH_NONE)
        ebb__watch_free(r, ebb__block_data(b), ebb__block_end(r, b));
    return b;
}

struct region *ebb__region_take_first(size_t bytes, unsigned *ret_class, size_t *ret_bytes)
{
    if (bytes > EBB_SMALL_MAX_BYTES) {
        *ret_bytes = ebb__block_bytes(bytes);
        return take(*ret_bytes, EBB_MAKE_ROOM, ret_class);
    }
    unsigned c = ebb__class_of(bytes);
    *ret_class = c;
    *ret_bytes = ebb__classes[c].bytes;
    return ebb__region_source.take(c, EBB_MAKE_ROOM);
}

bool ebb__region_charge_first(struct region *r, struct ebb_budget_account *account)
{
    if (ebb__ledger_charge_credit(account, r->first.bytes) != 0)
        return false;
    r->account = account;
    return true;
}

/* A region of eight pieces costs some 400 instructions; its own books end with it. */
void ebb__region_give_first(struct region *r)
{
    if (r->account != NULL)
        ebb__ledger_uncharge_credit(r->account, r->first.bytes);
    give(r, r->first.class, r->first.bytes);
}
