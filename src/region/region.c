/* SPDX-License-Identifier: MIT
 *
 * Regions: pieces, marks, cleanups, life.
 *
 * What. A piece is cut from the current block by moving a cursor, inline in the program (<ebb/region.h>). When it does not fit,
 * the program comes here: a kept block, a new one of twice the last one's size, or, for a piece of more than a quarter of that, a
 * block of its own while the current one goes on. So at most a quarter of a block stays unused, and the blocks of a region
 * are a logarithm of its pieces until they have reached their largest size.
 *
 * Going back. A mark names the current block, the newest one apart, the newest cleanup, and the cursor; everything newer hangs before
 * these in its list. A rollback first runs cleanups, while all memory is still there, then cuts the three lists; a reset is
 * the rollback to the beginning. What the cut blocks held tells how much the next round will need (keep.c).
 *
 * Locking: none; a region is one thread's. Costs: a piece some ten instructions; a rollback without a block between, some
 * forty. Failure: NULL, everything as it was, but kept blocks are gone. Fork: a copy like any memory.
 */
#include "region/region_priv.h"

#define FIRST_BLOCK_BYTES   1024u /* the region itself included */
#define BLOCK_DEFAULT_BYTES EBB_KIB(8)
#define BLOCK_MIN_BYTES     256u
#define MAX_DEFAULT_BYTES   EBB_MIB(1)
#define OPTION_MAX_BYTES    EBB_GIB(1)
#define LINE_BYTES          64u
#define PIECE_MAX_BYTES     ((size_t)PTRDIFF_MAX / 4) /* sums of a few of these do not overflow */
#define APART_SHARE         4u
#define APART_SMALL_BYTES   EBB_KIB(8) /* what costs less to write than a block of its own costs to get */
#define ALL_FLAGS           (EBB_REGION_ALIGN_8 | EBB_REGION_POISON | EBB_REGION_KEEPS_IDLE)

EBB_STATIC_ASSERT(sizeof(struct region) % LINE_BYTES == 0,
                  "the pieces of the first block are aligned; see clear()");
EBB_STATIC_ASSERT(APART_SMALL_BYTES *APART_SHARE <= UINT16_MAX, "misfit_bytes has 16 bits");
EBB_STATIC_ASSERT(sizeof(struct region) < FIRST_BLOCK_BYTES / 2, "and there is room for some");

/* ---- the current block ---- */

static void set_current(struct region *r, struct block *b, char *cursor)
{
    r->current = b;
    r->end = ebb__block_end(r, b);
    r->open.cursor = cursor;
    r->open.limit = r->watch == EBB_WATCH_NONE ? r->end : cursor;
}

static size_t used_of(const struct block *b)
{
    return (size_t)(b->cursor - ebb__block_data(b));
}

static size_t used_bytes(const struct region *r)
{
    return r->closed_bytes + r->apart_bytes + (size_t)(r->open.cursor - ebb__block_data(r->current));
}

/* Where a piece lies in [at, end); NULL when it does not fit. */
static char *place(const struct region *r, char *at, const char *end, size_t bytes, size_t align)
{
    size_t gap = r->watch == EBB_WATCH_NONE ? 0 : EBB_WATCH_GAP_BYTES;
    size_t room = (size_t)(end - at);
    if (gap > room)
        return NULL;
    size_t skip = gap + ((0 - ((uintptr_t)at + gap)) & (align - 1));
    return skip <= room && bytes <= room - skip ? at + skip : NULL;
}

static char *behind(const struct region *r, char *piece, size_t bytes)
{
    return piece + ebb__align_up(bytes, ebb__region_granule(r));
}

/* The piece is the program's from here on. */
static void *hand_out(const struct region *r, char *piece, size_t bytes)
{
    if (r->watch != EBB_WATCH_NONE)
        ebb__watch_use(r, piece, bytes, "ebb_region_alloc");
    return piece;
}

static void *hand_out_current(struct region *r, char *piece, size_t bytes)
{
    r->open.cursor = behind(r, piece, bytes);
    if (r->watch != EBB_WATCH_NONE)
        r->open.limit = r->open.cursor;
    return hand_out(r, piece, bytes);
}

/* ---- pieces that do not fit ---- */

static void grow(struct region *r)
{
    r->next_bytes = ebb__min(r->next_bytes * 2, r->max_block_bytes);
}

static void *alloc_apart(struct region *r, size_t need, size_t bytes, size_t align)
{
    struct block *b = ebb__block_take(r, need, need);
    if (b == NULL)
        return NULL;
    b->below = r->apart;
    r->apart = b;
    char *piece = place(r, ebb__block_data(b), ebb__block_end(r, b), bytes, align);
    b->cursor = behind(r, piece, bytes);
    r->apart_bytes += used_of(b);
    grow(r);
    return hand_out(r, piece, bytes);
}

/* Makes a block of at least `need` bytes the current one. False when refused. */
static bool open_block(struct region *r, size_t need)
{
    struct block *b = ebb__keep_take(r, need);
    if (b == NULL) {
        b = ebb__block_take(r, ebb__max(r->next_bytes, need), need);
        if (b == NULL)
            return false;
        grow(r);
    }
    r->current->cursor = r->open.cursor;
    r->closed_bytes += used_of(r->current);
    b->below = r->current;
    set_current(r, b, ebb__block_data(b));
    return true;
}

void *ebb__region_alloc(struct ebb_region *region, size_t bytes, size_t align)
{
    struct region *r = ebb__region_of(region);
    align = ebb__max(align, ebb__region_granule(r));
    char *piece = place(r, r->open.cursor, r->end, bytes, align);
    if (piece != NULL)
        return hand_out_current(r, piece, bytes);
    if (bytes > PIECE_MAX_BYTES || align > PIECE_MAX_BYTES)
        return NULL;
    size_t need = sizeof(struct block) + bytes + (align > 16 ? align - 16 : 0);
    need = ebb__align_up(need, 16) + (r->watch == EBB_WATCH_NONE ? 0 : EBB_WATCH_GAP_BYTES);
    const struct block *kept = atomic_load_explicit(&r->kept, memory_order_relaxed);
    if (need <= APART_SMALL_BYTES)
        r->misfit_bytes = (uint16_t)ebb__max(r->misfit_bytes, need * APART_SHARE);
    if (need > r->next_bytes / APART_SHARE && (kept == NULL || need > r->max_block_bytes / APART_SHARE))
        return alloc_apart(r, need, bytes, align);
    if (!open_block(r, need))
        return NULL;
    return hand_out_current(r, place(r, r->open.cursor, r->end, bytes, align), bytes);
}

/* ---- cleanups ---- */

int ebb__region_cleanup_add(struct ebb_region *region, void (*fn)(void *arg), void *arg)
{
    struct region *r = ebb__region_of(region);
    struct cleanup *c = ebb__region_alloc(region, sizeof(*c), 1);
    if (c == NULL)
        return -ENOMEM;
    *c = (struct cleanup){r->cleanups, fn, arg};
    r->cleanups = c;
    return 0;
}

/* It stays in the list, for a mark may name it. */
int ebb__region_cleanup_cancel(struct ebb_region *region, void (*fn)(void *arg), void *arg)
{
    for (struct cleanup *c = ebb__region_of(region)->cleanups; c != NULL; c = c->before)
        if (c->fn == fn && c->arg == arg) {
            c->fn = NULL;
            return 0;
        }
    return -ENOENT;
}

/* Runs those that were registered after `last`. */
static void run_cleanups(struct region *r, const struct cleanup *last)
{
    r->in_cleanup = 1;
    while (r->cleanups != last) {
        const struct cleanup *c = r->cleanups;
        r->cleanups = c->before;
        if (c->fn != NULL)
            c->fn(c->arg);
    }
    r->in_cleanup = 0;
}

/* ---- going back ---- */

static void refuse_in_cleanup(const struct region *r, const char *caller)
{
    if (EBB_UNLIKELY(r->in_cleanup != 0))
        ebb__die("%s: region %p is just running its cleanups", caller, (const void *)r);
}

static bool has_block(const struct block *list, const struct block *wanted)
{
    while (list != wanted && list != NULL)
        list = list->below;
    return list == wanted;
}

static bool has_cleanup(const struct cleanup *list, const struct cleanup *wanted)
{
    while (list != wanted && list != NULL)
        list = list->before;
    return list == wanted;
}

/* Whether what the mark names is there. */
static bool is_good(const struct region *r, const struct ebb_region_mark *m)
{
    const struct block *b = m->block;
    if (b == NULL || !has_block(r->current, b) || !has_block(r->apart, m->apart) ||
        !has_cleanup(r->cleanups, m->cleanup))
        return false;
    return m->cursor >= ebb__block_data(b) && m->cursor <= (b == r->current ? r->open.cursor : b->cursor);
}

/* Takes the newest block apart out. */
static struct block *pop_apart(struct region *r)
{
    struct block *b = r->apart;
    r->apart = b->below;
    r->apart_bytes -= used_of(b);
    return b;
}

/* Takes the current block out; the one below becomes the current one. */
static struct block *pop_current(struct region *r)
{
    struct block *b = r->current;
    b->cursor = r->open.cursor;
    r->closed_bytes -= used_of(b->below);
    set_current(r, b->below, b->below->cursor);
    return b;
}

static void watch_leave(const struct region *r, const struct block *b, const char *cursor, const char *caller)
{
    if (r->watch != EBB_WATCH_NONE)
        ebb__watch_leave(r, ebb__block_data(b), cursor, ebb__block_end(r, b), caller);
}

/* Cuts the region back to a mark that is good. Returns whether blocks were kept or given back. */
static bool cut(struct region *r, const struct ebb_region_mark *m, enum ebb_region_keep keep,
                const char *caller)
{
    size_t before = used_bytes(r);
    struct block *dropped = NULL, *apart = NULL;
    while (r->apart != m->apart) {
        struct block *b = pop_apart(r);
        watch_leave(r, b, b->cursor, caller);
        b->below = apart;
        apart = b;
    }
    if (apart != NULL)
        ebb__region_uncharge(r, ebb__blocks_give(apart));
    while (r->current != m->block) {
        struct block *b = pop_current(r);
        watch_leave(r, b, b->cursor, caller);
        b->below = dropped;
        dropped = b;
    }
    if (r->watch != EBB_WATCH_NONE)
        ebb__watch_leave(r, m->cursor, r->open.cursor, r->end, caller);
    set_current(r, r->current, m->cursor);
    /* Blocks shall be so large that small pieces do not stand apart in the rounds to come. */
    size_t need = ebb__max(before - used_bytes(r), r->misfit_bytes);
    r->misfit_bytes = 0;
    return ebb__keep_round(r, dropped, need, keep) || apart != NULL;
}

struct ebb_region_mark ebb__region_mark(const struct ebb_region *region)
{
    const struct region *r = ebb__region_of(region);
    return (struct ebb_region_mark){r->current, r->apart, r->cleanups, r->open.cursor};
}

bool ebb__region_rollback(struct ebb_region *region, struct ebb_region_mark mark)
{
    struct region *r = ebb__region_of(region);
    refuse_in_cleanup(r, "ebb_region_rollback");
    if (EBB_UNLIKELY(!is_good(r, &mark)))
        ebb__die("ebb_region_rollback: the mark is not one of region %p, or what it marked is gone",
                 (void *)r);
    run_cleanups(r, mark.cleanup);
    return cut(r, &mark, EBB_REGION_KEEP_LARGEST, "ebb_region_rollback");
}

bool ebb__region_reset(struct ebb_region *region, enum ebb_region_keep keep)
{
    struct region *r = ebb__region_of(region);
    const struct ebb_region_mark start = {&r->first, NULL, NULL, ebb__block_data(&r->first)};
    refuse_in_cleanup(r, "ebb_region_reset");
    run_cleanups(r, NULL);
    return cut(r, &start, keep, "ebb_region_reset");
}

/* ---- life ---- */

int ebb__region_options_check(const struct ebb_region_options *o)
{
    bool good = o->size_of_struct == sizeof(*o) && (o->flags & ~ALL_FLAGS) == 0 &&
                o->first_bytes <= OPTION_MAX_BYTES && o->block_bytes <= OPTION_MAX_BYTES &&
                o->max_block_bytes <= OPTION_MAX_BYTES;
    return good ? 0 : -EINVAL;
}

static size_t or_default(size_t value, size_t if_zero)
{
    return value != 0 ? value : if_zero;
}

/* A line at a time: for the whole compilers take an instruction that needs 30 cycles to begin. */
static void clear(struct region *r)
{
    char *line = (char *)r;
    for (size_t i = 0; i < sizeof(*r) / LINE_BYTES; i++) {
        memset(line, 0, LINE_BYTES);
        line += LINE_BYTES;
        EBB_KEEP(line);
    }
}

struct ebb_region *ebb__region_create(const struct ebb_region_options *options)
{
    static const struct ebb_region_options none = {.size_of_struct = sizeof(none)};
    const struct ebb_region_options *o = options != NULL ? options : &none;
    unsigned class;
    size_t bytes, first = or_default(o->first_bytes, FIRST_BLOCK_BYTES - sizeof(struct region));
    struct region *r = ebb__region_take_first(sizeof(*r) + first, &class, &bytes);
    if (r == NULL)
        return NULL;
    clear(r);
    r->open.align_mask = o->flags & EBB_REGION_ALIGN_8 ? ~(size_t)7 : ~(size_t)15;
    r->flags = o->flags;
    r->watch = (uint8_t)ebb__watch_kind(o->flags);
    r->limit_bytes = o->limit_bytes;
    r->over_limit = o->over_limit;
    r->arg = o->arg;
    r->first.bytes = bytes;
    r->first.class = class;
    r->block_bytes = (uint32_t)ebb__max(or_default(o->block_bytes, BLOCK_DEFAULT_BYTES), BLOCK_MIN_BYTES);
    r->max_block_bytes =
        (uint32_t)ebb__max(or_default(o->max_block_bytes, MAX_DEFAULT_BYTES), r->block_bytes);
    r->next_bytes = r->block_bytes;
    r->blocks_taken = 1;
    r->charged_bytes = r->peak_bytes = bytes;
    if (o->account != NULL && !ebb__region_charge_first(r, o->account)) {
        ebb__region_give_first(r);
        return NULL;
    }
    set_current(r, &r->first, ebb__block_data(&r->first));
    if (r->watch != EBB_WATCH_NONE)
        ebb__watch_free(r, r->open.cursor, r->end);
    return &r->open;
}

bool ebb__region_destroy(struct ebb_region *region)
{
    struct region *r = ebb__region_of(region);
    const struct ebb_region_mark start = {&r->first, NULL, NULL, ebb__block_data(&r->first)};
    refuse_in_cleanup(r, "ebb_region_destroy");
    if (r->cleanups != NULL)
        run_cleanups(r, NULL);
    if (r->listed_in != 0)
        ebb__keep_forget(r);
    bool gave = false;
    if (r->current != &r->first || r->apart != NULL || r->watch != EBB_WATCH_NONE ||
        atomic_load_explicit(&r->kept, memory_order_relaxed) != NULL)
        gave = cut(r, &start, EBB_REGION_KEEP_FIRST, "ebb_region_destroy");
    gave |= r->first.class == 0;
    ebb__region_give_first(r);
    return gave;
}

int64_t ebb__region_limit(struct ebb_region *region, int64_t limit_bytes)
{
    struct region *r = ebb__region_of(region);
    size_t before = r->limit_bytes;
    if (limit_bytes >= 0)
        r->limit_bytes = (size_t)limit_bytes;
    return (int64_t)ebb__min(before, INT64_MAX);
}
