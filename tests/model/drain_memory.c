/* SPDX-License-Identifier: MIT
 *
 * The machine of the drain model: memory, store buffers, early loads; and the invariants of every state.
 *
 * Total store order (x86): stores leave a buffer oldest first, a load sees its own thread's buffer before memory, an
 * atomic operation empties the buffer first.
 *
 * The weak machine (a reading of arm64): stores to different places leave in any order, a release after all that are
 * older; an atomic operation has acquire order alone, so what is in the buffer may stay there; and the next operation's
 * load of `cache` may be made during this one. An early load is given up when its own thread stores to the place or comes to
 * an acquire. The loads that follow it need not be early: they depend on it by address, and on this operation's
 * loads through this operation's stores to the same places.
 *
 * What the weak machine has not, a store seen before an older load of its thread is made, the protocol cannot tell: each
 * store that follows a load is a release, or depends on it, or is `busy = 1`, to a place to which the release before
 * it went. Nor has the drainer early loads: what it reads before `busy` cannot change while it holds the owner's lock,
 * and what it reads after is behind an acquire.
 */
#include "drain_model.h"

#include <string.h>

/* ---- loads ---- */

uint8_t memory_load(const struct step *step, unsigned t, unsigned where)
{
    const struct thread *thread = &step->s->threads[t];
    for (unsigned i = thread->stores; i-- != 0;)
        if ((thread->buffer[i].where & ~RELEASE) == (int)where)
            return thread->buffer[i].what;
    return step->s->memory[where];
}

uint8_t memory_load_cache(struct step *step, unsigned t)
{
    struct thread *thread = &step->s->threads[t];
    uint8_t early = thread->early;
    thread->early = 0;
    return early != 0 ? (uint8_t)(early - 1) : memory_load(step, t, CACHE + t);
}

void memory_load_ahead(struct step *step, unsigned t)
{
    struct thread *thread = &step->s->threads[t];
    enum pc pc = thread->pc;
    bool inside = pc >= PC_ENTER && pc <= PC_LEAVE && pc != PC_READ_CACHE;
    step->blocked = !step->world->weak || t == DRAINER || !inside || thread->early != 0 ||
                    /* there is no load to come */
                    (pc != PC_ENTER && step->world->scripts[t][thread->op + 1] == '\0');
    if (step->blocked)
        return;
    thread->early = (uint8_t)(1 + memory_load(step, t, CACHE + t));
    step->event = EVENT_EARLY;
    drain_say(step, "      (reads cache early: %u)", thread->early - 1U);
}

/* ---- stores ---- */

static void push(struct step *step, unsigned t, unsigned where, unsigned flags, uint8_t what)
{
    struct thread *thread = &step->s->threads[t];
    if (thread->stores == step->world->stores) {
        step->blocked = true;
        return;
    }
    thread->buffer[thread->stores++] = (struct store){.where = (uint8_t)(where | flags), .what = what};
    if (where == CACHE + t)
        thread->early = 0;
}

void memory_store(struct step *step, unsigned t, unsigned where, uint8_t what)
{
    push(step, t, where, 0, what);
}

void memory_store_release(struct step *step, unsigned t, unsigned where, uint8_t what)
{
    push(step, t, where, RELEASE, what);
}

/* A store of thread t reaches memory. */
static void commit(struct step *step, unsigned t, unsigned index)
{
    struct state *s = step->s;
    struct thread *thread = &s->threads[t];
    struct store store = thread->buffer[index];
    unsigned where = store.where & ~(unsigned)RELEASE;
    s->memory[where] = store.what;
    memmove(&thread->buffer[index], &thread->buffer[index + 1],
            (thread->stores - index - 1U) * sizeof(store));
    thread->buffer[--thread->stores] = (struct store){0, 0};
    if (where >= TOP) {
        unsigned x = where < SLOT ? where - TOP : (where - SLOT) / SLOTS;
        if (!(s->live & 1U << x))
            step->broken = "a store reaches a cache that was freed";
        else if (t != DRAINER && s->owner_of[x] != t)
            step->broken = "a store reaches a cache that is another thread's by now";
    }
}

static void commit_all(struct step *step, unsigned t)
{
    while (step->s->threads[t].stores != 0)
        commit(step, t, 0);
}

void memory_commit(struct step *step, unsigned t, unsigned index)
{
    const struct thread *thread = &step->s->threads[t];
    step->blocked = index >= thread->stores || (index != 0 && !step->world->weak);
    if (step->blocked)
        return;
    struct store store = thread->buffer[index];
    for (unsigned i = 0; i < index; i++)
        if ((store.where & RELEASE) || ((thread->buffer[i].where ^ store.where) & ~RELEASE) == 0) {
            step->blocked = true;
            return;
        }
    step->event = index != 0 ? EVENT_UNORDERED : EVENT_OTHER;
    static const char *const names[] = {"cache", "busy", "mine", "lock"};
    unsigned where = store.where & ~(unsigned)RELEASE;
    if (where < LIST_LOCK)
        drain_say(step, "      (%s = %u of owner %u reaches memory)", names[where / OWNERS], store.what,
                  where % OWNERS + 1);
    else
        drain_say(step, "      (%s = %u reaches memory)",
                  where < TOP    ? "list or return lock"
                  : where < SLOT ? "top"
                                 : "slot",
                  store.what);
    commit(step, t, index);
}

/* ---- atomic operations ---- */

/* What an atomic operation on `where` does to the rest of the thread's memory. */
static void acquire(struct step *step, unsigned t, unsigned where)
{
    struct thread *thread = &step->s->threads[t];
    if (!step->world->weak)
        commit_all(step, t);
    for (unsigned i = 0; i < thread->stores; i++)
        step->blocked |= (thread->buffer[i].where & ~RELEASE) == (int)where;
    thread->early = 0;
}

bool memory_try(struct step *step, unsigned t, unsigned lock)
{
    acquire(step, t, lock);
    if (step->blocked || step->s->memory[lock] != 0)
        return false;
    step->s->memory[lock] = 1;
    return true;
}

void memory_lock(struct step *step, unsigned t, unsigned lock)
{
    if (!memory_try(step, t, lock))
        step->blocked = true;
}

void memory_unlock(struct step *step, unsigned t, unsigned lock)
{
    memory_store_release(step, t, lock, 0);
}

void memory_heap_take(struct step *step, unsigned t)
{
    acquire(step, t, PLACES);
}

void memory_heap_give(struct step *step, unsigned t)
{
    commit_all(step, t);
    acquire(step, t, PLACES);
}

void memory_barrier(struct step *step)
{
    for (unsigned t = 0; t < THREADS; t++) {
        commit_all(step, t);
        if (step->world->flaw != FLAW_HALF_BARRIER)
            step->s->threads[t].early = 0;
    }
}

/* ---- the invariants of every state ---- */

/* A place as its cache's thread left it, and then the drainer. */
static uint8_t settled(const struct step *step, unsigned t, unsigned where)
{
    for (unsigned writer = THREADS; writer-- != 0;) {
        const struct thread *thread = &step->s->threads[writer];
        if (writer != DRAINER && writer != t)
            continue;
        for (unsigned i = thread->stores; i-- != 0;)
            if ((thread->buffer[i].where & ~RELEASE) == (int)where)
                return thread->buffer[i].what;
    }
    return step->s->memory[where];
}

void memory_check(struct step *step)
{
    const struct state *s = step->s;
    unsigned once = s->pool, twice = 0;
    for (unsigned t = 0; t < THREADS; t++) {
        twice |= once & s->threads[t].hand;
        once |= s->threads[t].hand;
    }
    for (unsigned x = 0; x < CACHES; x++) {
        if (!(s->live & 1U << x))
            continue;
        unsigned top = settled(step, s->owner_of[x], TOP + x);
        for (unsigned i = 0; i < top; i++) {
            unsigned bit = 1U << settled(step, s->owner_of[x], SLOT + x * SLOTS + i) >> 1;
            twice |= once & bit;
            once |= bit;
        }
    }
    if (step->broken == NULL && twice != 0)
        step->broken = "a block is in two places";
    if (step->broken == NULL && once != (1U << BLOCKS) - 1)
        step->broken = "a block is lost";
}
