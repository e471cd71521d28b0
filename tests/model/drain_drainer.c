/* SPDX-License-Identifier: MIT
 *
 * The drain model's drainer, step by step, and how a cache is emptied (by the drainer or a thread that exits).
 *
 * Each case is one access to what threads share. It follows src/cache/drain.c: the return lock around a tick, the list
 * lock around the walk, a try of each thread's lock, one cache at a time emptied outside the list lock.
 */
#include "drain_model.h"

#include <string.h>

static bool is_at(const struct step *step, char op)
{
    const struct thread *d = &step->s->threads[DRAINER];
    return step->world->scripts[DRAINER][d->op] == op;
}

/* Touches the words in the TLS of the owner of the cache that the walk is at. */
static unsigned visit(struct step *step)
{
    unsigned t = step->s->owner_of[step->s->threads[DRAINER].c];
    if (step->s->ended & 1U << t)
        step->broken = "the drainer touches the memory of a thread that is no more";
    return t;
}

static void walk(struct thread *d)
{
    d->c++;
    d->pc = PC_NEXT;
}

/* ---- the tick: locks, and the walk over the list ---- */

static void tick_step(struct step *step)
{
    struct state *s = step->s;
    struct thread *d = &s->threads[DRAINER];
    bool late = step->world->flaw == FLAW_LATE_REVOKE && is_at(step, 'R');
    switch (d->pc) {
    case PC_TICK:
        memory_lock(step, DRAINER, RETURN_LOCK);
        d->c = d->n = 0;
        d->pc = late ? PC_BARRIER : PC_LIST;
        drain_say(step, "%s: takes the return lock", is_at(step, 'R') ? "revoke" : "drain");
        break;
    case PC_LIST:
        memory_lock(step, DRAINER, LIST_LOCK);
        d->pc = PC_NEXT;
        drain_say(step, "takes the list lock");
        break;
    case PC_NEXT: /* the next listed cache, whose thread is not turned away already when it shall be */
        while (d->c < CACHES && !(s->listed & 1U << d->c))
            d->c++;
        if (d->c == CACHES) {
            memory_unlock(step, DRAINER, LIST_LOCK);
            d->pc = d->n != 0 && !late ? PC_BARRIER : PC_TOCK;
            drain_say(step, "comes to the end of the list, releases it");
            break;
        }
        drain_say(step, "comes to cache %u of owner %u", d->c + 1U, s->owner_of[d->c] + 1U);
        if (is_at(step, 'R') && memory_load(step, DRAINER, CACHE + visit(step)) != d->c + 1)
            walk(d);
        else
            d->pc = PC_TRY;
        break;
    case PC_TRY:
        d->pc = is_at(step, 'R') ? PC_REVOKE_MINE : PC_DRAIN_CACHE;
        if (memory_try(step, DRAINER, LOCK + visit(step))) {
            drain_say(step, "takes the owner's lock");
            break;
        }
        walk(d);
        step->event = EVENT_WAITED;
        drain_say(step, "finds the owner's lock held");
        break;
    case PC_RELEASE:
        memory_unlock(step, DRAINER, LOCK + visit(step));
        walk(d);
        drain_say(step, "releases the owner's lock");
        break;
    case PC_BARRIER:
        if (step->world->flaw != FLAW_NO_BARRIER)
            memory_barrier(step);
        d->n = 0;
        d->pc = late ? PC_LIST : PC_TOCK;
        drain_say(step, step->world->flaw != FLAW_NO_BARRIER ? "BARRIER" : "no barrier");
        break;
    default: /* PC_TOCK */
        memory_unlock(step, DRAINER, RETURN_LOCK);
        drain_say(step, "releases the return lock");
        protocol_next_op(step, DRAINER);
        break;
    }
}

/* ---- revoke ---- */

static void revoke_step(struct step *step)
{
    struct thread *d = &step->s->threads[DRAINER];
    unsigned t = visit(step);
    if (d->pc == PC_REVOKE_MINE) {
        bool is_mine = memory_load(step, DRAINER, MINE + t) == d->c + 1;
        d->pc = is_mine ? PC_REVOKE : PC_RELEASE;
        drain_say(step, "mine? %s", is_mine ? "yes" : "no");
    } else {
        memory_store(step, DRAINER, CACHE + t, NONE);
        d->n = 1; /* there is something for the barrier */
        d->pc = PC_RELEASE;
        drain_say(step, "owner %u's cache = none", t + 1);
    }
}

/* ---- drain ---- */

static void drain_step(struct step *step)
{
    struct state *s = step->s;
    struct thread *d = &s->threads[DRAINER];
    unsigned x = d->c, t = visit(step);
    switch (d->pc) {
    case PC_DRAIN_CACHE:
        d->pc = memory_load(step, DRAINER, CACHE + t) != x + 1 ? PC_DRAIN_MINE : PC_RELEASE;
        drain_say(step, "revoked? %s", d->pc == PC_DRAIN_MINE ? "yes" : "no");
        break;
    case PC_DRAIN_MINE:
        d->pc = memory_load(step, DRAINER, MINE + t) == x + 1 ? PC_DRAIN_BUSY : PC_RELEASE;
        if (step->world->flaw == FLAW_NO_CHECK && d->pc == PC_DRAIN_BUSY)
            d->pc = PC_UNLIST;
        drain_say(step, "mine? %s", d->pc != PC_RELEASE ? "yes" : "no");
        break;
    case PC_DRAIN_BUSY:
        d->pc = memory_load(step, DRAINER, BUSY + t) == 0 ? PC_UNLIST : PC_RELEASE;
        step->event = d->pc == PC_RELEASE ? EVENT_BUSY : EVENT_OTHER;
        drain_say(step, "busy? %s", d->pc == PC_RELEASE ? "yes" : "no");
        if (step->world->flaw == FLAW_KEPT_LOCK && d->pc == PC_RELEASE)
            walk(d);
        break;
    case PC_UNLIST:
        s->listed &= (uint8_t) ~(1U << x);
        memory_unlock(step, DRAINER, LIST_LOCK);
        d->pc = PC_FLUSH_TOP;
        drain_say(step, "takes cache %u off the list, releases it", x + 1);
        break;
    case PC_DRAIN_FORGET:
        memory_store(step, DRAINER, MINE + t, NONE);
        d->pc = PC_DRAIN_UNLOCK;
        drain_say(step, "owner %u's mine = NULL", t + 1);
        break;
    default: /* PC_DRAIN_UNLOCK */
        memory_unlock(step, DRAINER, LOCK + t);
        d->pc = PC_FREE;
        drain_say(step, "releases the owner's lock");
        break;
    }
}

/* ---- emptying: the cache is in register c ---- */

static uint8_t c_of(const struct thread *thread, unsigned t)
{
    return t == DRAINER ? thread->c : (uint8_t)(thread->c - 1);
}

void flush_step(struct step *step, unsigned t)
{
    struct state *s = step->s;
    struct thread *thread = &s->threads[t];
    unsigned x = c_of(thread, t), done = t == DRAINER ? PC_DRAIN_FORGET : PC_EXIT_FORGET;
    if (thread->pc != PC_FLUSH_GIVE)
        protocol_touch(step, t, x);
    switch (thread->pc) {
    case PC_FLUSH_TOP:
        thread->top = memory_load(step, t, TOP + x);
        thread->pc = (uint8_t)(thread->top != 0 ? PC_FLUSH_SLOT : done);
        drain_say(step, "cache %u holds %u", x + 1, thread->top);
        break;
    case PC_FLUSH_SLOT:
        thread->top--;
        thread->block = memory_load(step, t, SLOT + x * SLOTS + thread->top);
        thread->pc = PC_FLUSH_TAKE;
        drain_say(step, "reads block %u from slot %u", thread->block, thread->top);
        break;
    case PC_FLUSH_TAKE:
        memory_store(step, t, TOP + x, thread->top);
        thread->hand |= (uint8_t)(1U << thread->block >> 1);
        thread->pc = PC_FLUSH_GIVE;
        drain_say(step, "takes block %u out of cache %u", thread->block, x + 1);
        break;
    case PC_FLUSH_GIVE:
        memory_heap_take(step, t);
        drain_say(step, "gives block %u to the slabs", thread->block);
        s->pool |= thread->hand & (uint8_t)(1U << thread->block >> 1);
        thread->hand &= (uint8_t) ~(1U << thread->block >> 1);
        thread->block = 0;
        thread->pc = (uint8_t)(thread->top != 0 ? PC_FLUSH_SLOT : done);
        break;
    default: /* PC_FREE */
        memory_heap_give(step, t);
        s->live &= (uint8_t) ~(1U << x);
        s->owner_of[x] = 0; /* what nobody may read is made equal, so that there are fewer states */
        memset(&s->memory[SLOT + x * SLOTS], 0, SLOTS);
        drain_say(step, "frees cache %u", x + 1);
        if (t != DRAINER) {
            protocol_next_op(step, t);
            break;
        }
        step->event = EVENT_DRAINED;
        thread->c++;
        thread->pc = PC_LIST;
        break;
    }
}

static void one_step(struct step *step)
{
    enum pc pc = step->s->threads[DRAINER].pc;
    if (pc == PC_ENDED)
        step->blocked = true;
    else if (pc >= PC_FLUSH_TOP && pc <= PC_FREE)
        flush_step(step, DRAINER);
    else if (pc == PC_REVOKE_MINE || pc == PC_REVOKE)
        revoke_step(step);
    else if (pc >= PC_DRAIN_CACHE && pc <= PC_DRAIN_UNLOCK)
        drain_step(step);
    else
        tick_step(step);
}

void drainer_step(struct step *step)
{
    const struct thread *d = &step->s->threads[DRAINER];
    one_step(step);
    while (!step->blocked && /* it is the one who has a barrier, so its stores may also join a load */
           protocol_is_store(d->pc) && d->stores < step->world->stores)
        one_step(step);
}
