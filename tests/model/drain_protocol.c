/* SPDX-License-Identifier: MIT
 *
 * The drain model's owners, step by step.
 *
 * Each case is one access to what threads share, and follows src/cache: the way of a block in cache.h, its slow half in
 * cache.c, a cache's life in thread.c. `c` holds what was read from `cache`: NONE, GONE, or 1 + the number of a cache.
 */
#include "drain_model.h"

/* ---- what the steps share ---- */

static unsigned cache_of(const struct thread *o)
{
    return o->c - 1U;
}

static uint8_t bit_of(uint8_t block)
{
    return (uint8_t)(1U << block >> 1);
}

static char op_of(const struct step *step, unsigned t)
{
    return step->world->scripts[t][step->s->threads[t].op];
}

void protocol_touch(struct step *step, unsigned t, unsigned x)
{
    if (!(step->s->live & 1U << x))
        step->broken = "a thread touches a cache that was freed";
    else if (t != DRAINER && step->s->owner_of[x] != t)
        step->broken = "a thread touches a cache that is another's by now";
}

/* The first step of the operation that the script is at. */
static void start_op(struct step *step, unsigned t)
{
    struct thread *o = &step->s->threads[t];
    enum flaw flaw = step->world->flaw;
    o->slow = o->top = o->block = o->n = 0;
    o->c = 0;
    switch (op_of(step, t)) {
    case 'g':
    case 'p':
        o->pc = flaw == FLAW_NO_BUSY || flaw == FLAW_SWAPPED ? PC_READ_CACHE : PC_ENTER;
        break;
    case 'x':
        o->pc = PC_EXIT_LOCK;
        break;
    case 'f':
        o->pc = flaw == FLAW_UNLOCKED_FORK ? PC_FORK : PC_FORK_LOCK;
        break;
    case '\0':
        o->pc = PC_ENDED;
        o->early = 0;
        break;
    default:
        o->pc = PC_TICK;
        break;
    }
}

void protocol_next_op(struct step *step, unsigned t)
{
    struct thread *thread = &step->s->threads[t];
    bool exited = op_of(step, t) == 'x' || (t != DRAINER && thread->c == GONE);
    thread->op++;
    while (op_of(step, t) == 'p' && thread->hand == 0) /* nothing to give back */
        thread->op++;
    start_op(step, t);
    if (exited && thread->pc == PC_ENDED)
        step->s->ended |= (uint8_t)(1U << t);
}

/* Blocks that have been stored and counted: from hand to magazine, or back. */
static void store_top(struct step *step, unsigned t, uint8_t top)
{
    protocol_touch(step, t, cache_of(&step->s->threads[t]));
    memory_store(step, t, TOP + cache_of(&step->s->threads[t]), top);
    drain_say(step, "top = %u", top);
}

static void store_slot(struct step *step, unsigned t, unsigned index, uint8_t block)
{
    unsigned x = cache_of(&step->s->threads[t]);
    protocol_touch(step, t, x);
    memory_store(step, t, SLOT + x * SLOTS + index, block);
    drain_say(step, "slot %u = block %u", index, block);
}

/* ---- an operation: the way of a block ---- */

/* What the pointer led to decides where the operation goes on. */
static void read_cache(struct step *step, unsigned t)
{
    struct thread *o = &step->s->threads[t];
    o->c = memory_load_cache(step, t);
    bool real = o->c != NONE && o->c != GONE;
    if (step->world->flaw == FLAW_SWAPPED)
        o->pc = PC_ENTER;
    else
        o->pc = real ? PC_READ_TOP : PC_MISS;
    if (real)
        drain_say(step, "c = cache: cache %u", o->c);
    else
        drain_say(step, "c = cache: %s", o->c == NONE ? "none" : "gone");
}

/* The slot below the top, or above it, or a miss. */
static void read_top(struct step *step, unsigned t)
{
    struct thread *o = &step->s->threads[t];
    bool get = op_of(step, t) == 'g';
    protocol_touch(step, t, cache_of(o));
    o->top = memory_load(step, t, TOP + cache_of(o));
    if (o->top != (get ? 0 : SLOTS))
        o->pc = get ? PC_GET_SLOT : PC_PUT_SLOT;
    else if (!o->slow)
        o->pc = PC_MISS;
    else
        o->pc = get ? PC_REFILL_TAKE : PC_TRADE_SLOT;
    drain_say(step, "top is %u", o->top);
}

/* The block that goes into the magazine: the first in hand. */
static uint8_t first_in_hand(const struct thread *o)
{
    return (uint8_t)(1 + __builtin_ctz(o->hand));
}

static void block_step(struct step *step, unsigned t)
{
    struct thread *o = &step->s->threads[t];
    switch (o->pc) {
    case PC_GET_SLOT:
        protocol_touch(step, t, cache_of(o));
        o->block = memory_load(step, t, SLOT + cache_of(o) * SLOTS + o->top - 1);
        o->pc = PC_GET_TOP;
        drain_say(step, "reads block %u from slot %u", o->block, o->top - 1U);
        break;
    case PC_GET_TOP:
        store_top(step, t, (uint8_t)(o->top - 1));
        if (o->hand & bit_of(o->block))
            step->broken = "a block is handed out twice";
        o->hand |= bit_of(o->block);
        o->pc = PC_LEAVE;
        break;
    case PC_PUT_SLOT:
        o->block = first_in_hand(o);
        store_slot(step, t, o->top, o->block);
        o->pc = PC_PUT_TOP;
        break;
    default: /* PC_PUT_TOP */
        store_top(step, t, (uint8_t)(o->top + 1));
        o->hand &= (uint8_t)~bit_of(o->block);
        o->pc = PC_LEAVE;
        break;
    }
}

static void set_busy(struct step *step, unsigned t, uint8_t busy)
{
    enum flaw flaw = step->world->flaw;
    if (flaw == FLAW_NO_BUSY)
        return;
    if (busy != 0 || flaw == FLAW_PLAIN_LEAVE)
        memory_store(step, t, BUSY + t, busy);
    else
        memory_store_release(step, t, BUSY + t, busy);
    drain_say(step, "busy = %u", busy);
}

static void way_step(struct step *step, unsigned t)
{
    struct thread *o = &step->s->threads[t];
    bool real;
    switch (o->pc) {
    case PC_ENTER:
        set_busy(step, t, 1);
        real = o->c != NONE && o->c != GONE;
        o->pc = step->world->flaw != FLAW_SWAPPED ? PC_READ_CACHE : real ? PC_READ_TOP : PC_MISS;
        break;
    case PC_READ_CACHE:
        read_cache(step, t);
        break;
    case PC_READ_TOP:
        read_top(step, t);
        break;
    case PC_LEAVE:
        set_busy(step, t, 0);
        protocol_next_op(step, t);
        break;
    case PC_MISS: /* once more through the slow half, after a way back if there is one */
        set_busy(step, t, 0);
        if (o->c == GONE) {
            o->pc = PC_DIRECT;
        } else if (o->c == NONE) {
            o->pc = step->world->flaw != FLAW_UNLOCKED_BACK ? PC_BACK_LOCK : PC_BACK_MINE;
        } else {
            start_op(step, t);
            o->slow = 1;
        }
        break;
    default:
        block_step(step, t);
        break;
    }
}

/* ---- the slow half: many steps between busy = 1 and busy = 0 ---- */

static void slow_step(struct step *step, unsigned t)
{
    struct state *s = step->s;
    struct thread *o = &s->threads[t];
    switch (o->pc) {
    case PC_REFILL_TAKE: /* up to SLOTS blocks from the slabs */
        memory_heap_take(step, t);
        o->block = s->pool != 0 ? (uint8_t)(1 + __builtin_ctz(s->pool)) : 0;
        s->pool &= (uint8_t)~bit_of(o->block);
        o->hand |= bit_of(o->block);
        o->pc = o->block != 0 ? PC_REFILL_SLOT : o->n != 0 ? PC_REFILL_TOP : PC_LEAVE;
        drain_say(step, "takes block %u from the slabs", o->block);
        break;
    case PC_REFILL_SLOT:
        store_slot(step, t, o->n++, o->block);
        o->pc = o->n == SLOTS ? PC_REFILL_TOP : PC_REFILL_TAKE;
        break;
    case PC_REFILL_TOP: /* the last one is the program's */
        store_top(step, t, (uint8_t)(o->n - 1));
        for (unsigned i = 0; i + 1 < o->n; i++)
            o->hand &= (uint8_t)~bit_of(memory_load(step, t, SLOT + cache_of(o) * SLOTS + i));
        o->pc = PC_LEAVE;
        break;
    case PC_TRADE_SLOT: /* makes room in a full magazine */
        protocol_touch(step, t, cache_of(o));
        o->n = memory_load(step, t, SLOT + cache_of(o) * SLOTS + --o->top);
        o->pc = PC_TRADE_TOP;
        drain_say(step, "reads block %u from slot %u", o->n, o->top);
        break;
    case PC_TRADE_TOP:
        store_top(step, t, o->top);
        o->hand |= bit_of(o->n);
        o->pc = PC_TRADE_GIVE;
        break;
    case PC_TRADE_GIVE:
        memory_heap_take(step, t);
        o->hand &= (uint8_t)~bit_of(o->n);
        s->pool |= bit_of(o->n);
        o->pc = PC_PUT_SLOT;
        drain_say(step, "gives block %u to the slabs", o->n);
        break;
    default: /* PC_DIRECT: after the thread's end, without a cache */
        memory_heap_take(step, t);
        o->block = op_of(step, t) == 'p' ? first_in_hand(o) : (uint8_t)__builtin_ffs(s->pool);
        s->pool ^= bit_of(o->block);
        o->hand ^= bit_of(o->block);
        drain_say(step, "block %u, directly from or to the slabs", o->block);
        protocol_next_op(step, t);
        break;
    }
}

/* ---- the way back to a cache: under the thread's lock ---- */

static void enter_slow(struct step *step, unsigned t)
{
    start_op(step, t);
    step->s->threads[t].slow = 1;
}

static void back_step(struct step *step, unsigned t)
{
    struct thread *o = &step->s->threads[t];
    switch (o->pc) {
    case PC_BACK_LOCK:
        memory_lock(step, t, LOCK + t);
        o->pc = PC_BACK_MINE;
        drain_say(step, "takes its lock, to come back");
        break;
    case PC_BACK_MINE:
        o->c = memory_load(step, t, MINE + t);
        o->pc = o->c != NONE ? PC_BACK_CACHE : PC_BACK_UNLOCK;
        step->event = o->c != NONE ? EVENT_CAME_BACK : EVENT_REMADE;
        drain_say(step, "mine is %u", o->c);
        break;
    case PC_BACK_CACHE:
        memory_store(step, t, CACHE + t, o->c);
        o->pc = PC_BACK_UNLOCK;
        drain_say(step, "cache = mine");
        break;
    default: /* PC_BACK_UNLOCK */
        if (step->world->flaw != FLAW_UNLOCKED_BACK) {
            memory_unlock(step, t, LOCK + t);
            drain_say(step, "releases its lock");
        }
        if (o->c != NONE)
            enter_slow(step, t);
        else
            o->pc = PC_MAKE;
        break;
    }
}

static void make_step(struct step *step, unsigned t)
{
    struct state *s = step->s;
    struct thread *o = &s->threads[t];
    switch (o->pc++) {
    case PC_MAKE:
        memory_heap_take(step, t);
        for (o->c = 1; o->c <= CACHES && (s->live & 1U << cache_of(o)); o->c++)
            ;
        if (o->c > CACHES) {
            step->broken = "the model has too few caches";
            break;
        }
        s->live |= (uint8_t)(1U << cache_of(o));
        s->owner_of[cache_of(o)] = (uint8_t)t;
        drain_say(step, "makes cache %u", o->c);
        break;
    case PC_MAKE_TOP:
        store_top(step, t, 0);
        break;
    case PC_MAKE_LOCK:
        memory_lock(step, t, LOCK + t);
        drain_say(step, "takes its lock");
        break;
    case PC_MAKE_MINE:
        memory_store(step, t, MINE + t, o->c);
        drain_say(step, "mine = cache %u", o->c);
        break;
    case PC_MAKE_CACHE:
        memory_store(step, t, CACHE + t, o->c);
        drain_say(step, "cache = mine");
        break;
    case PC_MAKE_UNLOCK:
        memory_unlock(step, t, LOCK + t);
        drain_say(step, "releases its lock");
        break;
    case PC_MAKE_LIST:
        memory_lock(step, t, LIST_LOCK);
        drain_say(step, "takes the list lock");
        break;
    default: /* PC_MAKE_LISTED */
        s->listed |= (uint8_t)(1U << cache_of(o));
        memory_unlock(step, t, LIST_LOCK);
        drain_say(step, "lists its cache, releases the list lock");
        enter_slow(step, t);
        break;
    }
}

/* ---- the thread's end, and the fork ---- */

static void exit_step(struct step *step, unsigned t)
{
    struct state *s = step->s;
    struct thread *o = &s->threads[t];
    switch (o->pc) {
    case PC_EXIT_LOCK:
        memory_lock(step, t, LOCK + t);
        o->pc = PC_EXIT_MINE;
        drain_say(step, "takes its lock, to end");
        break;
    case PC_EXIT_MINE:
        o->c = memory_load(step, t, MINE + t);
        o->pc = o->c != NONE ? PC_FLUSH_TOP : PC_EXIT_FORGET;
        step->event = o->c != NONE ? EVENT_FLUSHED : EVENT_OTHER;
        drain_say(step, "mine is %u", o->c);
        break;
    case PC_EXIT_FORGET:
        memory_store(step, t, MINE + t, NONE);
        o->pc = PC_EXIT_GONE;
        drain_say(step, "mine = NULL");
        break;
    case PC_EXIT_GONE:
        memory_store(step, t, CACHE + t, GONE);
        o->pc = PC_EXIT_UNLOCK;
        drain_say(step, "cache = gone");
        break;
    case PC_EXIT_UNLOCK:
        memory_unlock(step, t, LOCK + t);
        drain_say(step, "releases its lock");
        if (o->c != NONE)
            o->pc = step->world->flaw != FLAW_LISTED_EXIT ? PC_EXIT_LIST : PC_FREE;
        else
            protocol_next_op(step, t);
        break;
    case PC_EXIT_LIST:
        memory_lock(step, t, LIST_LOCK);
        o->pc = PC_EXIT_UNLIST;
        drain_say(step, "takes the list lock");
        break;
    default: /* PC_EXIT_UNLIST */
        s->listed &= (uint8_t) ~(1U << cache_of(o));
        memory_unlock(step, t, LIST_LOCK);
        o->pc = PC_FREE;
        drain_say(step, "takes its cache off the list, releases it");
        break;
    }
}

/* The child's world: memory as it is, the caller alone, and what ebb__cache_after_fork() does. */
static void become_child(struct step *step, unsigned t)
{
    struct state *s = step->s;
    for (unsigned other = 0; other < THREADS; other++)
        if (other != t)
            s->threads[other] = (struct thread){.pc = PC_ENDED};
    while (s->threads[t].stores != 0)
        memory_commit(step, t, 0);
    s->memory[LIST_LOCK] = s->memory[RETURN_LOCK] = s->memory[LOCK + t] = 0;
    s->memory[BUSY + t] = 0;
    uint8_t mine = s->memory[MINE + t];
    s->listed = (uint8_t)(1U << mine >> 1);
    if (mine != NONE)
        s->memory[CACHE + t] = mine;
    step->event = EVENT_CHILD;
    drain_say(step, "FORK, on in the child");
    protocol_next_op(step, t);
}

static void fork_step(struct step *step, unsigned t, unsigned choice)
{
    struct thread *o = &step->s->threads[t];
    if (o->pc == PC_FORK_LOCK) {
        memory_lock(step, t, RETURN_LOCK);
        o->pc = PC_FORK;
        drain_say(step, "takes the return lock, to fork");
    } else if (o->pc == PC_FORK && choice == 1) {
        become_child(step, t);
    } else if (o->pc == PC_FORK && step->world->flaw != FLAW_UNLOCKED_FORK) {
        o->pc = PC_FORK_UNLOCK;
        drain_say(step, "FORK, on in the parent");
    } else {
        if (o->pc == PC_FORK_UNLOCK)
            memory_unlock(step, t, RETURN_LOCK);
        drain_say(step, "releases the return lock");
        protocol_next_op(step, t);
    }
}

/* ---- all of it ---- */

static void one_step(struct step *step, unsigned t, unsigned choice)
{
    enum pc pc = step->s->threads[t].pc;
    if (pc == PC_ENDED || (choice != 0 && pc != PC_FORK))
        step->blocked = true;
    else if (pc <= PC_MISS)
        way_step(step, t);
    else if (pc <= PC_DIRECT)
        slow_step(step, t);
    else if (pc <= PC_BACK_UNLOCK)
        back_step(step, t);
    else if (pc <= PC_MAKE_LISTED)
        make_step(step, t);
    else if (pc <= PC_EXIT_UNLIST)
        exit_step(step, t);
    else if (pc <= PC_FORK_UNLOCK)
        fork_step(step, t, choice);
    else
        flush_step(step, t);
}

bool protocol_is_store(enum pc pc)
{
    switch (pc) {
    case PC_ENTER:
    case PC_GET_TOP:
    case PC_PUT_SLOT:
    case PC_PUT_TOP:
    case PC_LEAVE:
    case PC_MISS:
    case PC_REFILL_SLOT:
    case PC_REFILL_TOP:
    case PC_TRADE_TOP:
    case PC_BACK_CACHE:
    case PC_BACK_UNLOCK:
    case PC_MAKE_TOP:
    case PC_MAKE_MINE:
    case PC_MAKE_CACHE:
    case PC_MAKE_UNLOCK:
    case PC_MAKE_LISTED:
    case PC_EXIT_FORGET:
    case PC_EXIT_GONE:
    case PC_EXIT_UNLOCK:
    case PC_EXIT_UNLIST:
    case PC_FORK_UNLOCK:
    case PC_FLUSH_TAKE:
    case PC_REVOKE:
    case PC_RELEASE:
    case PC_UNLIST:
    case PC_DRAIN_FORGET:
    case PC_DRAIN_UNLOCK:
    case PC_TOCK:
        return true;
    default:
        return false;
    }
}

void owner_step(struct step *step, unsigned t, unsigned choice)
{
    const struct thread *o = &step->s->threads[t];
    bool is_store = protocol_is_store(o->pc);
    one_step(step, t, choice);
    while (is_store && !step->blocked && protocol_is_store(o->pc) && o->stores < step->world->stores)
        one_step(step, t, 0);
}

void protocol_start(struct state *s, const struct world *world)
{
    struct step step = {.world = world, .s = s};
    uint8_t block = 1;
    for (uint8_t t = 0; t < OWNERS; t++) {
        for (unsigned i = 0; i < world->cached[t]; i++)
            s->memory[SLOT + (unsigned)t * SLOTS + i] = block++;
        s->memory[TOP + t] = world->cached[t];
        if (world->cached[t] != 0) {
            s->memory[CACHE + t] = s->memory[MINE + t] = (uint8_t)(t + 1);
            s->live |= (uint8_t)(1U << t);
            s->listed = s->live;
            s->owner_of[t] = t;
        }
    }
    for (; block <= BLOCKS; block++)
        s->pool |= bit_of(block);
    for (unsigned t = 0; t < THREADS; t++)
        start_op(&step, t);
}

void protocol_check_end(struct step *step)
{
    const struct state *s = step->s;
    unsigned mine = 0;
    for (unsigned t = 0; t < THREADS; t++)
        if (s->threads[t].pc != PC_ENDED)
            step->broken = "deadlock: nobody can move";
    for (unsigned t = 0; t < OWNERS; t++) {
        uint8_t cache = s->memory[CACHE + t];
        mine |= 1U << s->memory[MINE + t] >> 1;
        if (step->broken == NULL && cache != NONE && cache != GONE && cache != s->memory[MINE + t])
            step->broken = "C5: a thread's pointer leads to what is not its own";
        if (step->broken == NULL && (s->memory[BUSY + t] != 0 || s->memory[LOCK + t] != 0))
            step->broken = "at rest, a thread is busy or its lock is held";
    }
    if (step->broken == NULL && (s->memory[LIST_LOCK] != 0 || s->memory[RETURN_LOCK] != 0))
        step->broken = "at rest, the list lock or the return lock is held";
    if (step->broken == NULL && (mine != s->live || mine != s->listed))
        step->broken = "C6: at rest, a cache is not its owner's, or not listed";
}
