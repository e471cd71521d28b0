/* SPDX-License-Identifier: MIT
 *
 * Kept blocks: what a region has at hand for its next round, and who takes it away when no round comes.
 *
 * What. A reset or rollback leaves free blocks with the region, the largest first, so that the next round asks the heap for nothing. That
 * must not become a high-water mark for ever, so they go back
 *   in a round   when the last 16 to 32 rounds needed less than a quarter of them
 *   in no round  when two calls of ebb__region_decay() have passed over them, by whichever thread makes these
 *   in need      before a limit or the kernel refuses the region anything, and when the budget asks (shrink.c)
 * What rounds needed also sizes the next block: the second or third round of a statement finds all it needs in one.
 *
 * Two threads. The owner and who decays meet in one word, `kept`: either takes the whole list out by an exchange, and only the owner
 * puts one in. Age is counted in calls of ebb__region_decay(), so that a reset need not read a clock. A region is in one of
 * 16 lists from the first time that it keeps something until its end; regions that never do are known to nobody.
 *
 * Locking: a list's lock, EBB_RANK_REGIONS, held by who decays while it looks at regions, never while it gives blocks back; by
 * the owner to put the region in and take it out, which is when it could vanish under the other's eyes. Costs: one exchange for a round that
 * uses a kept block and one for a round that leaves one. Fork: the child forgets the lists; a region's generation tells that it
 * must be put in anew. What another thread had just taken out is lost to the child.
 */
#include "region/region_priv.h"

#define SPARE      4u /* kept blocks may be so many times as large as what was needed */
#define DECAY_AGES 2u

struct keep_list ebb__keep_lists[EBB_KEEP_LISTS] = {
    [0 ... EBB_KEEP_LISTS - 1] = {.lock = EBB_LOCK_INIT(EBB_RANK_REGIONS)}};

static _Atomic uint32_t age;
static _Atomic uint32_t any_kept;       /* 0: nothing was kept since who decays found nothing left */
static _Atomic uint32_t generation = 1; /* of forks */

EBB_STATIC_ASSERT(EBB_KEEP_LISTS == 16, "the four bits that list_of() makes");

static struct keep_list *list_of(const struct region *r)
{
    return &ebb__keep_lists[((uintptr_t)r >> 9) * UINT64_C(0x9e3779b97f4a7c15) >> 60];
}

/* ---- the lists ---- */

bool ebb__keep_is_listed(const struct region *r)
{
    return r->listed_in == atomic_load_explicit(&generation, memory_order_relaxed);
}

static void enlist(struct region *r)
{
    ebb__shrink_register();
    struct keep_list *s = list_of(r);
    ebb__lock_take(&s->lock);
    r->previous = NULL;
    r->next = s->regions;
    if (r->next != NULL)
        r->next->previous = r;
    s->regions = r;
    ebb__lock_release(&s->lock);
    r->listed_in = atomic_load_explicit(&generation, memory_order_relaxed);
}

void ebb__keep_forget(struct region *r)
{
    struct keep_list *s = list_of(r);
    if (!ebb__keep_is_listed(r))
        return;
    ebb__lock_take(&s->lock);
    if (r->previous != NULL)
        r->previous->next = r->next;
    else
        s->regions = r->next;
    if (r->next != NULL)
        r->next->previous = r->previous;
    ebb__lock_release(&s->lock);
    r->listed_in = 0;
}

void ebb__region_after_fork(void)
{
    for (unsigned i = 0; i < EBB_KEEP_LISTS; i++) {
        ebb__lock_reset(&ebb__keep_lists[i].lock);
        ebb__keep_lists[i].regions = NULL;
    }
    atomic_fetch_add(&generation, 1);
    ebb__shrink_after_fork();
}

/* ---- by the owner ---- */

/* acquire: pairs with the exchange in whichever thread put the list in, should the region have changed hands */
struct block *ebb__keep_hide(struct region *r)
{
    return atomic_exchange_explicit(&r->kept, NULL, memory_order_acquire);
}

/* Where others may take the list out again, they hear of it. The order of the two stores and the load of any_kept is that of
 * ebb__region_decay() turned round: one of the two sees the other. */
static void show(struct region *r, struct block *list)
{
    if (r->flags & EBB_REGION_KEEPS_IDLE) {
        atomic_store_explicit(&r->kept, list, memory_order_relaxed);
        return;
    }
    if (!ebb__keep_is_listed(r))
        enlist(r);
    atomic_store_explicit(&r->kept_age, atomic_load_explicit(&age, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_exchange(&r->kept, list);
    if (atomic_load(&any_kept) == 0)
        atomic_store(&any_kept, 1);
    ebb__heap_want_upkeep(EBB_UPKEEP_REGIONS);
}

void ebb__keep_show(struct region *r, struct block *list)
{
    if (list != NULL)
        show(r, list);
}

struct block *ebb__keep_take(struct region *r, size_t bytes)
{
    if (atomic_load_explicit(&r->kept, memory_order_relaxed) == NULL)
        return NULL;
    struct block *list = ebb__keep_hide(r), *b = list;
    if (b == NULL || b->bytes < bytes) {
        ebb__keep_show(r, list);
        return NULL;
    }
    if (b->below != NULL) {
        size_t all = atomic_load_explicit(&r->kept_bytes, memory_order_relaxed);
        atomic_store_explicit(&r->kept_bytes, all - b->bytes, memory_order_relaxed);
        show(r, b->below);
    }
    return b;
}

size_t ebb__keep_none(struct region *r)
{
    size_t bytes = ebb__blocks_give(ebb__keep_hide(r));
    ebb__region_uncharge(r, bytes);
    if (ebb__keep_is_listed(
            r)) { /* who is just decaying has uncharged what it took when it lets go of the lock */
        ebb__lock_take(&list_of(r)->lock);
        ebb__lock_release(&list_of(r)->lock);
    }
    return bytes;
}

/* ---- rounds ---- */

size_t ebb__need_bytes(const struct need *n)
{
    return n->known != 0 ? ebb__max(n->now_bytes, n->before_bytes) : SIZE_MAX;
}

static void count_round(struct need *n, size_t bytes)
{
    n->now_bytes = ebb__max(n->now_bytes, bytes);
    if (++n->rounds < EBB_ROUNDS)
        return;
    n->before_bytes = n->now_bytes;
    n->now_bytes = 0;
    n->rounds = 0;
    n->known = 1;
}

/* The next block shall have room for all that a round needs; and where rounds are small beside what stays, growth goes on where it
 * was. */
static void size_next(struct region *r)
{
    size_t most = ebb__max(r->need.now_bytes, r->need.before_bytes);
    size_t wanted = ebb__max(most + most / 8 + sizeof(struct block), (r->closed_bytes + r->apart_bytes) / 2);
    wanted = ebb__min(wanted, r->max_block_bytes);
    r->next_bytes = ebb__max(ebb__block_bytes(wanted), r->block_bytes);
    r->next_bytes = ebb__min(r->next_bytes, r->max_block_bytes);
}

static void insert(struct block **list, struct block *b)
{
    while (*list != NULL && (*list)->bytes > b->bytes)
        list = &(*list)->below;
    b->below = *list;
    *list = b;
}

/* Takes the first block out of a list, into another. */
static void move_first(struct block **from, struct block **to)
{
    struct block *b = *from;
    *from = b->below;
    b->below = *to;
    *to = b;
}

/* Leaves of a sorted list the largest block that may be kept. Returns the others. */
static struct block *leave_largest(struct block **list, size_t most_bytes, size_t *ret_bytes)
{
    struct block *out = NULL;
    while (*list != NULL && (*list)->bytes > most_bytes)
        move_first(list, &out);
    if (*list == NULL)
        return out;
    while ((*list)->below != NULL)
        move_first(&(*list)->below, &out);
    *ret_bytes = (*list)->bytes;
    return out;
}

/* Leaves as many as may be kept. */
static struct block *leave_all(struct block **list, size_t most_bytes, size_t *ret_bytes)
{
    struct block *out = NULL;
    size_t all = 0;
    for (const struct block *b = *list; b != NULL; b = b->below)
        all += b->bytes;
    while (*list != NULL && all > most_bytes) {
        all -= (*list)->bytes;
        move_first(list, &out);
    }
    *ret_bytes = all;
    return out;
}

bool ebb__keep_round(struct region *r, struct block *dropped, size_t need_bytes, enum ebb_region_keep keep)
{
    bool has_kept = atomic_load_explicit(&r->kept, memory_order_relaxed) != NULL;
    if (keep == EBB_REGION_KEEP_FIRST) {
        if (dropped != NULL)
            ebb__region_uncharge(r, ebb__blocks_give(dropped));
        if (has_kept)
            (void)ebb__keep_none(r);
        r->need = (struct need){0};
        r->next_bytes = r->block_bytes;
        return dropped != NULL || has_kept;
    }
    count_round(&r->need, need_bytes);
    if (dropped == NULL && !has_kept) {
        if (r->next_bytes != r->block_bytes) /* blocks apart were taken */
            size_next(r);
        return false;
    }
    size_t need = ebb__need_bytes(&r->need);
    size_t most = need == SIZE_MAX ? SIZE_MAX : ebb__max(need * SPARE, r->block_bytes);
    struct block *list = has_kept ? ebb__keep_hide(r) : NULL;
    while (dropped != NULL) {
        struct block *b = dropped;
        dropped = b->below;
        insert(&list, b);
    }
    size_t bytes = 0;
    struct block *out =
        keep == EBB_REGION_KEEP_LARGEST ? leave_largest(&list, most, &bytes) : leave_all(&list, most, &bytes);
    if (list != NULL) {
        atomic_store_explicit(&r->kept_bytes, bytes, memory_order_relaxed);
        show(r, list);
    }
    if (out != NULL)
        ebb__region_uncharge(r, ebb__blocks_give(out));
    size_next(r);
    return true;
}

/* ---- by whoever decays ---- */

uint32_t ebb__keep_age(const struct region *r)
{
    return atomic_load_explicit(&age, memory_order_relaxed) -
           atomic_load_explicit(&r->kept_age, memory_order_relaxed);
}

size_t ebb__keep_take_idle(struct region *r, struct block **list)
{
    struct block *taken = atomic_exchange_explicit(&r->kept, NULL, memory_order_acquire);
    size_t bytes = 0;
    while (taken != NULL) {
        bytes += taken->bytes;
        move_first(&taken, list);
    }
    atomic_store_explicit(&r->decayed_bytes,
                          atomic_load_explicit(&r->decayed_bytes, memory_order_relaxed) + bytes,
                          memory_order_relaxed);
    if (r->account != NULL && bytes != 0)
        ebb__ledger_uncharge(r->account, bytes);
    return bytes;
}

static size_t decay(uint32_t least_age)
{
    size_t bytes = 0;
    bool young = false;
    atomic_fetch_add(&age, 1);
    atomic_exchange(&any_kept, 0); /* before the looks below: see ebb__keep_show() */
    for (unsigned i = 0; i < EBB_KEEP_LISTS; i++) {
        struct block *list = NULL;
        ebb__lock_take(&ebb__keep_lists[i].lock);
        for (struct region *r = ebb__keep_lists[i].regions; r != NULL; r = r->next) {
            if (atomic_load(&r->kept) == NULL)
                continue;
            if (ebb__keep_age(r) >= least_age)
                (void)ebb__keep_take_idle(r, &list);
            else
                young = true;
        }
        ebb__lock_release(&ebb__keep_lists[i].lock);
        bytes += ebb__blocks_give(list);
    }
    if (young)
        atomic_store(&any_kept, 1);
    return bytes;
}

size_t ebb__region_decay(void)
{
    return decay(DECAY_AGES);
}

size_t ebb__region_decay_all(void)
{
    return decay(0);
}

bool ebb__region_is_any_kept(void)
{
    return atomic_load(&any_kept) != 0;
}
