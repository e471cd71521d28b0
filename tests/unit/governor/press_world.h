/* SPDX-License-Identifier: MIT
 *
 * A simulated process in a cgroup with a limit, under the policy: a heap with free memory, caches, regions and a pool of clean and dirty frames,
 * neighbours in the same cgroup, file cache. Whoever is asked begins after a delay, brings what his speed allows, and tells it in
 * the next step. Where free heap memory is there the process takes that first.
 *
 * Time passes in ticks of some milliseconds. The kernel wakes the policy when the room falls below the begin of yellow, as a threshold
 * of usage does (cgroup v1); between this and the policy's own looks nothing reacts. The synchronous gate of the heap is not
 * simulated: what is shown is the policy's own doing.
 */
#ifndef EBB_TESTS_UNIT_GOVERNOR_PRESS_WORLD_H
#define EBB_TESTS_UNIT_GOVERNOR_PRESS_WORLD_H

#include "press_stand.h"

struct pile {
    uint64_t bytes;
    uint64_t bytes_per_s;
    uint32_t delay_ms;
    uint64_t asked_bytes, since_ms;
    uint64_t got_bytes;   /* since the last look */
    uint64_t given_bytes; /* in all */
};

struct world {
    struct stand stand;
    uint32_t tick_ms;
    uint64_t limit;
    uint64_t firm;    /* what the process needs, beyond its piles */
    uint64_t hog;     /* other processes of the cgroup */
    uint64_t clean;   /* file cache */
    uint64_t missing; /* what the pool gave */
    struct pile piles[EBB_PRESS_GIVES];
    uint64_t look_ms; /* when the policy looks next */
    bool was_near;
    bool blind; /* the limit cannot be read just now */
    uint64_t
        lied_permille; /* of the time that everybody waits, as the kernel says and nobody does; 0: stalls are not known */
    /* what was seen */
    uint64_t peak, looks, refusals, grown;
    uint64_t given_in[EBB_PRESS_LEVELS][EBB_PRESS_GIVES]; /* asked for while this was the need */
    uint64_t over_ms;                                     /* time spent beyond the limit */
};

static inline uint64_t used(const struct world *w)
{
    uint64_t bytes = w->firm + w->hog + w->clean;
    for (unsigned give = 0; give < EBB_PRESS_GIVES; give++)
        bytes += w->piles[give].bytes;
    return bytes;
}

static inline void create(struct world *w, uint64_t limit, uint32_t tick_ms)
{
    static const struct pile piles[EBB_PRESS_GIVES] = {
        /* slower than levels.def believes, by as much as a busy host is slower than a bench */
        [EBB_PRESS_GIVE_FREE] = {.bytes_per_s = GB(2), .delay_ms = 0},
        [EBB_PRESS_GIVE_CACHES] = {.bytes_per_s = MB(500), .delay_ms = 600},
        [EBB_PRESS_GIVE_SLABS] = {.bytes_per_s = MB(500), .delay_ms = 10},
        [EBB_PRESS_GIVE_REGIONS] = {.bytes_per_s = MB(500), .delay_ms = 100},
        [EBB_PRESS_GIVE_COLD] = {.bytes_per_s = MB(800), .delay_ms = 50},
        [EBB_PRESS_GIVE_DIRTY] = {.bytes_per_s = MB(40), .delay_ms = 300},
    };
    *w = (struct world){.tick_ms = tick_ms, .limit = limit};
    memcpy(w->piles, piles, sizeof(piles));
    begin(&w->stand);
    w->look_ms = w->stand.facts.now_ms;
}

/* The process takes that much more; false when it is refused. */
static inline bool take(struct world *w, uint64_t bytes)
{
    if (w->stand.actions.refuse && w->stand.press.refusing) {
        w->refusals++;
        return false;
    }
    uint64_t again = ebb__min(bytes, w->piles[EBB_PRESS_GIVE_FREE].bytes);
    w->piles[EBB_PRESS_GIVE_FREE].bytes -= again;
    w->firm += bytes;
    return true;
}

static inline void give_free(struct world *w, uint64_t bytes)
{
    bytes = ebb__min(bytes, w->firm);
    w->firm -= bytes;
    w->piles[EBB_PRESS_GIVE_FREE].bytes += bytes;
}

static inline void work_piles(struct world *w, uint64_t now_ms)
{
    for (unsigned give = 0; give < EBB_PRESS_GIVES; give++) {
        struct pile *p = &w->piles[give];
        if (p->asked_bytes == 0 || now_ms < p->since_ms + p->delay_ms)
            continue;
        uint64_t bytes = ebb__min(ebb__min(p->asked_bytes, p->bytes), p->bytes_per_s * w->tick_ms / 1000);
        if (give == EBB_PRESS_GIVE_FREE &&
            w->stand.actions.cpu_permille != EBB_PRESS_CPU_ALL) /* 60 us for a MiB */
            bytes = ebb__min(bytes, MB(1) * w->stand.actions.cpu_permille * w->tick_ms / 60);
        p->bytes -= bytes;
        p->asked_bytes -= bytes;
        p->got_bytes += bytes;
        p->given_bytes += bytes;
        w->given_in[w->stand.actions.need][give] += bytes;
        if (give == EBB_PRESS_GIVE_COLD || give == EBB_PRESS_GIVE_DIRTY)
            w->missing += bytes;
    }
}

static inline void look(struct world *w, uint64_t now_ms)
{
    struct ebb_press_facts *f = &w->stand.facts;
    room(&w->stand, MAX, w->limit, (int64_t)w->limit - (int64_t)used(w));
    f->limits[MAX].clean_bytes = w->clean;
    f->limits[MAX].known = !w->blind;
    if (w->lied_permille != 0) {
        f->stalls_known = true;
        f->some_us = f->full_us = now_ms * w->lied_permille;
    }
    f->missing_bytes = w->missing;
    f->wakes = true;
    f->own_bytes = w->firm;
    for (unsigned give = 0; give < EBB_PRESS_GIVES; give++) {
        f->own_bytes += w->piles[give].bytes;
        f->can_bytes[give] = w->piles[give].bytes;
        f->got_bytes[give] = w->piles[give].got_bytes;
        w->piles[give].got_bytes = 0;
    }
    step(&w->stand, now_ms - f->now_ms);
    const struct ebb_press_actions *a = &w->stand.actions;
    for (unsigned give = 0; give < EBB_PRESS_GIVES; give++) {
        struct pile *p = &w->piles[give];
        if (p->asked_bytes == 0)
            p->since_ms = now_ms;
        p->asked_bytes = a->ask_bytes[give];
    }
    uint64_t grow = ebb__min(a->grow_bytes, w->missing);
    w->piles[EBB_PRESS_GIVE_COLD].bytes += grow;
    w->missing -= grow;
    w->grown += grow;
    w->look_ms = a->look_ms == EBB_PRESS_NO_LOOK ? UINT64_MAX : now_ms + a->look_ms;
    w->looks++;
}

/* One tick. The kernel drops file cache where the limit is hit, without I/O; what is used beyond it then is too much. */
static inline void tick(struct world *w, uint64_t now_ms)
{
    work_piles(w, now_ms);
    uint64_t n = used(w);
    if (n > w->limit) {
        uint64_t drop = ebb__min(n - w->limit, w->clean);
        w->clean -= drop;
        n -= drop;
        w->stand.facts.max_hits++;
    }
    w->peak = ebb__max(w->peak, n);
    if (n > w->limit)
        w->over_ms += w->tick_ms;
    bool near = n - w->clean / 2 + ebb__press_enter_bytes(EBB_PRESS_OF_GROUP, YELLOW, w->limit) > w->limit;
    if (now_ms >= w->look_ms || (near && !w->was_near))
        look(w, now_ms);
    w->was_near = near;
}

#endif
