/* SPDX-License-Identifier: MIT
 *
 * Address space: reservations, their commit frontier, and the groups cut from them.
 *
 * What. A reservation is one PROT_NONE mapping of which a prefix is readable and writable. The prefix only
 * grows; nothing inside is ever unmapped or protected again, so a reservation is two mappings for ever,
 * whatever the program does. More address space is taken only when there is no room for a block: where the
 * kernel allows, directly behind the last reservation, which then becomes longer and stays two mappings; else
 * it is another reservation. There are EBB_RESERVATIONS_MAX of them, no more: six mappings. What no longer
 * fits is refused with ENOMEM.
 *
 * Sizes. The first asks for four times the machine's memory (address space is free), but takes at most a
 * quarter of RLIMIT_AS, so that thread stacks still fit, and a quarter of a finite RLIMIT_MEMLOCK above 64
 * MiB, because mlockall() counts address space. The last must do for all that is to come: it asks for half of
 * RLIMIT_AS, and heeds RLIMIT_MEMLOCK no more, for a program that never locks memory must not run out of it.
 * When the kernel refuses, it halves down to what is needed.
 *
 * Frontier. It moves by an eighth of what is committed, between 4 MiB and 1 GiB; when refused
 * (overcommit_memory=2, RLIMIT_DATA) by just what is needed; when that is refused the allocation fails,
 * nothing else.
 *
 * Huge pages. Where the kernel makes them unasked (transparent_hugepage=always), what is reserved is marked against them once,
 * as a whole and before it is touched: else the first touch of an extent would cost 2 MiB, and khugepaged would fill again
 * what was purged. A mark on a part would split the mapping.
 *
 * Locking. grow_lock orders the steps of the frontier and the making of reservations; it is the only lock
 * held across a system call. The space lock ranks above it and is taken for the moment in which new groups
 * get their addresses. `ready` and `committed_bytes` are atomics, read without a lock.
 *
 * Failure. Every function leaves all as it was. Fork. Both locks are reset in the child; a step that the
 * parent's thread had not recorded is simply made again. How many reservations there are is in the table, and
 * nowhere else, so a child inherits it.
 */
#include "heap/heap_priv.h"

#define RESERVE_MIN_BYTES EBB_GIB(16)
#define RESERVE_MAX_BYTES ((size_t)EBB_GROUPS_MAX << EBB_GROUP_SHIFT)
#define MEMLOCK_HEED_BYTES                                                                                   \
    EBB_MIB(64) /* smaller limits are the distribution's default, not somebody's plan */
#define STEP_MIN_BYTES  EBB_MIB(4)
#define STEP_MAX_BYTES  EBB_GIB(1)
#define RETRY_MIN_BYTES EBB_MIB(8) /* below this a reservation is not worth its metadata */

_Atomic uint8_t ebb__owned[EBB_OWNED_COUNT];

struct space ebb__space;
_Atomic uint32_t ebb__limbo;
_Atomic uint32_t ebb__heap_upkeep;
struct ebb_lock ebb__return_lock = EBB_LOCK_INIT(EBB_RANK_RETURN);
struct ebb_lock ebb__space_lock = EBB_LOCK_INIT(EBB_RANK_SPACE);
struct ebb_lock ebb__grow_lock = EBB_LOCK_INIT(EBB_RANK_GROW);

/* Whole groups, where it is that much: what ends inside a group cannot be continued. */
static size_t whole_groups(size_t bytes)
{
    return bytes >= EBB_GROUP_BYTES ? ebb__align_down(bytes, EBB_GROUP_BYTES)
                                    : ebb__align_up(bytes, EBB_EXTENT_BYTES);
}

/* pre: grow lock held */
static size_t wanted_bytes(size_t need_bytes)
{
    bool is_last = ebb__space.reservation_count + 1 >= EBB_RESERVATIONS_MAX;
    struct ebb_os_limits limits;
    ebb__os_limits(&limits);
    size_t want = RESERVE_MIN_BYTES;
    while (want < 4 * limits.ram_bytes && want < RESERVE_MAX_BYTES)
        want *= 2;
    if (limits.as_bytes != SIZE_MAX)
        want = ebb__min(want, limits.as_bytes / (is_last ? 2 : 4));
    if (!is_last && limits.memlock_bytes != SIZE_MAX && limits.memlock_bytes >= MEMLOCK_HEED_BYTES)
        want = ebb__min(want, limits.memlock_bytes / 4);
    if (need_bytes > EBB_GROUP_BYTES)
        need_bytes = ebb__align_up(need_bytes, EBB_GROUP_BYTES);
    return ebb__max(whole_groups(want), need_bytes);
}

/* Where address space would continue the last reservation, or 0. pre: grow lock held */
static uintptr_t end_of_last(void)
{
    const struct space *s = &ebb__space;
    if (s->reservation_count == 0)
        return 0;
    const struct reservation *last = &s->reservations[s->reservation_count - 1];
    return last->bytes % EBB_GROUP_BYTES == 0 ? last->base + last->bytes : 0;
}

/* Gives addresses to the groups of what was reserved. pre: grow lock held, there is room in both tables
 * A child forked in between sees a beginning of these writes: groups first have addresses, then one write makes them
 * count, and the child derives the rest from it. */
static void append(uintptr_t base, size_t bytes)
{
    struct space *s = &ebb__space;
    uint32_t groups = (uint32_t)ebb__div_up(bytes, EBB_GROUP_BYTES);
    bool longer = base == end_of_last();
    ebb__lock_take(&ebb__space_lock);
    uint32_t first = s->group_count;
    for (uint32_t i = 0; i < groups; i++)
        s->groups[first + i] = base + i * EBB_GROUP_BYTES;
    if (first == 0) /* with pages of one unit every slab touches pages of its own, however long it is */
        s->seeds = ebb__os_page_bytes() > EBB_UNIT_BYTES;
    struct reservation *r = &s->reservations[s->reservation_count - longer];
    if (longer) {
        atomic_thread_fence(memory_order_release);
        r->bytes += bytes;
    } else {
        r->base = base;
        r->bytes = bytes;
        r->first_group = first;
        atomic_thread_fence(memory_order_release);
        s->reservation_count++;
    }
    r->group_count += groups;
    /* release: the addresses above; pairs with the acquires in purge.c, which look without a lock */
    __atomic_store_n(&s->group_count, s->group_count + groups, __ATOMIC_RELEASE);
    EBB_COUNT(reserved_bytes, bytes);
    ebb__space_unlock();
}

/* pre: just reserved. What the kernel answers changes nothing: without the mark memory is only larger than it need be. */
static void refuse_huge_pages(uintptr_t base, size_t bytes)
{
    static bool known, unasked; /* under the grow lock */
    if (!known)
        unasked = ebb__os_thp() == EBB_THP_ALWAYS;
    known = true;
    if (unasked)
        (void)ebb__os_no_huge((void *)base, bytes);
}

/* Address space of `want` bytes or, failing that, of halves of it that still cover `need`. */
static int reserve(size_t want, size_t need, uintptr_t *ret_base, size_t *ret_bytes)
{
    const struct space *s = &ebb__space;
    uintptr_t behind = end_of_last();
    bool may_be_elsewhere = s->reservation_count < EBB_RESERVATIONS_MAX;
    size_t room = (size_t)(EBB_GROUPS_MAX - s->group_count) << EBB_GROUP_SHIFT;
    if (need > room || (behind == 0 && !may_be_elsewhere))
        return -ENOMEM;
    for (size_t bytes = ebb__min(want, room);; bytes = ebb__max(whole_groups(bytes / 2), need)) {
        void *base;
        if (behind != 0 && ebb__os_reserve_at((void *)behind, bytes) == 0) {
            *ret_base = behind;
            *ret_bytes = bytes;
            return 0;
        }
        if (may_be_elsewhere && ebb__os_reserve(bytes, EBB_GROUP_BYTES, &base) == 0) {
            *ret_base = (uintptr_t)base;
            *ret_bytes = bytes;
            return 0;
        }
        if (bytes == need || bytes <= RETRY_MIN_BYTES)
            return -ENOMEM;
    }
}

/* Says on the stats page what the classes are. pre: grow lock held, for threads may race to be the first */
static void name_classes(void)
{
    EBB_STATIC_ASSERT(EBB_CLASS_COUNT == EBB_STATS_CLASSES, "the stats page has a row for each class");
    for (unsigned c = 1; c < EBB_CLASS_COUNT; c++) {
        ebb__class_books(c)->bytes = ebb__classes[c].bytes;
        ebb__class_books(c)->internal = c > EBB_USER_CLASSES;
    }
}

int ebb__space_reserve(size_t bytes, uint32_t seen)
{
    struct space *s = &ebb__space;
    int rc = 0;
    ebb__lock_take(&ebb__grow_lock);
    if (s->group_count == seen) { /* else another thread has just made one: the caller looks again */
        if (seen == 0)
            name_classes();
        uintptr_t base;
        size_t got;
        size_t need = ebb__align_up(bytes + EBB_EXTENT_BYTES, EBB_EXTENT_BYTES); /* and the metadata */
        rc = reserve(wanted_bytes(need), need, &base, &got);
        if (rc == 0) {
            refuse_huge_pages(base, got);
            append(base, got);
        }
    }
    ebb__lock_release(&ebb__grow_lock);
    return rc;
}

int ebb__space_commit(const struct reservation *r, uintptr_t end)
{
    struct reservation *mine = &ebb__space.reservations[r - ebb__space.reservations];
    int rc = 0;
    ebb__lock_take(&ebb__grow_lock);
    if (!ebb__space_is_committed(mine, end)) {
        size_t old = atomic_load_explicit(&mine->committed_bytes, memory_order_relaxed);
        size_t need = ebb__align_up(end - mine->base, EBB_EXTENT_BYTES) - old;
        size_t step = ebb__align_down(old / 8, EBB_EXTENT_BYTES);
        step = ebb__min(ebb__max(step, STEP_MIN_BYTES), STEP_MAX_BYTES);
        step = ebb__min(ebb__max(step, need), mine->bytes - old);
        rc = ebb__os_commit((void *)(mine->base + old), step);
        if (rc != 0 && step > need) {
            step = need;
            rc = ebb__os_commit((void *)(mine->base + old), step);
        }
        EBB_COUNT(commits, rc == 0);
        EBB_COUNT(committed_bytes, rc == 0 ? step : 0);
        EBB_COUNT(commit_failures, rc != 0);
        if (rc == 0) /* pairs with the acquire in ebb__space_is_committed() */
            atomic_store_explicit(&mine->committed_bytes, old + step, memory_order_release);
    }
    ebb__lock_release(&ebb__grow_lock);
    return rc == 0 ? 0 : -ENOMEM;
}

void ebb__space_activate(uint32_t g)
{
    struct space *s = &ebb__space;
    const struct reservation *r = ebb__space_reservation_of_group(g);
    uintptr_t base = s->groups[g];
    struct group *group = (struct group *)(base + EBB_META_GROUP_AT);
    size_t in_group = ebb__min(r->base + r->bytes - base, EBB_GROUP_BYTES) / EBB_EXTENT_BYTES;
    EBB_ASSERT(ebb__space_is_committed(r, base + EBB_EXTENT_BYTES));
    group->index = g;
    group->reservation = (uint32_t)(r - s->reservations);
    group->extents = ebb__mask(0, (unsigned)in_group) & ~UINT64_C(1);
    group->free_extents = group->extents;
    group->dirty_extents = 0;
    if (group->free_extents != 0)
        s->free_groups[g / 64] |= UINT64_C(1) << (g % 64);
    if (s->active_words < g / 64 + 1)
        s->active_words = g / 64 + 1;
    s->state[g] = EBB_GROUP_ACTIVE;
    atomic_store_explicit(&ebb__owned[base >> EBB_GROUP_SHIFT], 1, memory_order_relaxed);
}

int ebb__heap_init(void)
{
    struct space *s = &ebb__space;
    if (EBB_LIKELY(atomic_load_explicit(&s->ready, memory_order_acquire) != 0))
        return 0;
    int rc = ebb__space_reserve(EBB_EXTENT_BYTES, 0);
    if (rc == 0)
        atomic_store_explicit(&s->ready, 1, memory_order_release);
    return rc;
}
