/* SPDX-License-Identifier: MIT
 *
 * The shrinker of the regions: kept blocks go back when the budget needs their bytes, before anything dearer does.
 *
 * What. One shrinker, "idle regions", price 100, for all regions that keep something, made when the first of them does. It is a wide
 * one: a limit of an account that regions are charged to asks it too, for the regions of that account and of those below it. The longest
 * idle give first, in two turns: those that a call of ebb__region_decay() has passed over, then the rest. A region gives all that
 * it keeps, so a little more may be given than was asked for. Regions with EBB_REGION_KEEPS_IDLE are in no list, so nobody's
 * need takes from them; nor does it below the minimum of a region's own account, but at the last urgency.
 *
 * What counts as given. For the heap and the process a block that went back is free memory, no less than before: what was freed is
 * purged, as much as was asked for, and what the kernel got back is what was given. For an account below the heap the
 * blocks are off it, and that is all that is wanted; the heap has free memory then.
 *
 * The caller may be any thread that is about to take memory, also one in the middle of a miss of its own cache: so blocks go to
 * the heap past the caches. And it may be the owner of a region that is just taking a block: what the region keeps goes like any
 * other's, by the exchange that decay uses, and its owner finds nothing there.
 *
 * Estimate. Each owner notes, when it puts a list of blocks in, how many bytes that is: one store in a round. The sum is made
 * when somebody asks: right at that moment, but for lists that are just put in or taken out; without the regions of a list
 * whose lock is held. Nothing kept anywhere costs one load, else some 50 ns a region that ever kept something.
 *
 * Locking: the lists' locks are tried, not waited for, one at a time; blocks are given back and purged with none held, which takes the
 * heap's. Failure: when the ledger has no slot left, nothing is given but by decay, and the next region that begins to keep
 * tries again. Fork: the child has the shrinker; when another thread was just making it, the child makes its own.
 */
#include "os/os.h"
#include "region/region_priv.h"

#define PRICE 100u
#define PURGE_BYTES                                                                                          \
    EBB_MIB(4) /* some 200 us of the kernel's time; between two of them the deadline is looked at */

enum { NONE, BEING_MADE, MADE };
static _Atomic uint32_t state;

/* One request. */
struct wish {
    const struct ebb_budget_account
        *account; /* that must become smaller; NULL: whatever regions are charged to */
    size_t bytes;
    bool minima; /* hold */
    uint64_t deadline_ns;
};

static bool is_above_heap(const struct ebb_budget_account *account)
{
    return account == &ebb__ledger_heap || account == &ebb__ledger_process;
}

/* Whether the region keeps something that counts in the account. */
static bool can_help(const struct region *r, const struct ebb_budget_account *account)
{
    return atomic_load_explicit(&r->kept, memory_order_relaxed) != NULL &&
           (account == NULL || (r->account != NULL && ebb__ledger_is_below(r->account, account)));
}

static size_t kept_bytes(const struct region *r)
{
    return atomic_load_explicit(&r->kept_bytes, memory_order_relaxed);
}

static size_t estimate(void *context)
{
    const struct ebb_budget_account *account = is_above_heap(context) ? NULL : context;
    size_t bytes = 0;
    for (unsigned i = 0; i < EBB_KEEP_LISTS && ebb__region_is_any_kept(); i++) {
        struct keep_list *list = &ebb__keep_lists[i];
        if (!ebb__lock_try(&list->lock))
            continue;
        for (const struct region *r = list->regions; r != NULL; r = r->next)
            if (can_help(r, account))
                bytes += kept_bytes(r);
        ebb__lock_release(&list->lock);
    }
    return bytes;
}

static bool may_take(const struct region *r, const struct wish *w)
{
    return can_help(r, w->account) &&
           (!w->minima || r->account == NULL || kept_bytes(r) <= ebb__ledger_spare(r->account));
}

/* Takes from the regions of one list that kept something so long ago at least. Returns the bytes. */
static size_t take_from(struct keep_list *list, uint32_t least_age, const struct wish *w, size_t bytes)
{
    struct block *taken = NULL;
    size_t sum = 0;
    if (!ebb__lock_try(&list->lock))
        return 0;
    for (struct region *r = list->regions; r != NULL && sum < bytes; r = r->next)
        if (ebb__keep_age(r) >= least_age && may_take(r, w))
            sum += ebb__keep_take_idle(r, &taken);
    ebb__lock_release(&list->lock);
    (void)ebb__blocks_return(taken);
    return sum;
}

static size_t take(const struct wish *w)
{
    size_t sum = 0;
    for (unsigned turn = 0; turn < 2; turn++)
        for (unsigned i = 0; i < EBB_KEEP_LISTS; i++) {
            if (sum >= w->bytes || ebb__os_now_ns() >= w->deadline_ns)
                return sum;
            sum += take_from(&ebb__keep_lists[i], 1 - turn, w, w->bytes - sum);
        }
    return sum;
}

/* Of what is free now, so much goes to the kernel. Blocks of 32 KiB and less leave slabs behind. */
static size_t purge(const struct wish *w, size_t freed)
{
    size_t most = ebb__min(freed, w->bytes), sum = 0, part = 1;
    while (sum < most && part != 0 && ebb__os_now_ns() < w->deadline_ns) {
        part = ebb__heap_purge_free(0, ebb__min(most - sum, PURGE_BYTES), 0);
        sum += part;
    }
    if (sum < most && ebb__os_now_ns() < w->deadline_ns)
        sum += ebb__heap_give_back(most - sum);
    return sum;
}

static size_t shrink(void *context, size_t bytes, enum ebb_budget_urgency urgency, uint64_t deadline_ns)
{
    bool is_above = is_above_heap(context);
    const struct wish w = {is_above ? NULL : context, bytes, urgency < EBB_URGENCY_LAST, deadline_ns};
    size_t taken = take(&w);
    return is_above ? purge(&w, taken) : taken;
}

void ebb__shrink_register(void)
{
    const struct ebb_budget_shrinker row = {
        .size_of_struct = sizeof(row),
        .account = &ebb__ledger_heap,
        .name = "idle regions",
        .price = PRICE,
        .estimate = estimate,
        .shrink = shrink,
    };
    uint32_t none = NONE;
    if (atomic_load_explicit(&state, memory_order_relaxed) != NONE ||
        !atomic_compare_exchange_strong(&state, &none, BEING_MADE))
        return;
    atomic_store(&state, ebb__ledger_shrinker_add_wide(&row) > 0 ? MADE : NONE);
}

void ebb__shrink_after_fork(void)
{
    uint32_t made = BEING_MADE;
    (void)atomic_compare_exchange_strong(&state, &made, NONE);
}
