/* SPDX-License-Identifier: MIT
 *
 * The rooms of the drain model: a small machine, the protocol that runs on it, and the search.
 *
 *   drain_model.c     essay, what is explored, what must hold and what must fail
 *   drain_protocol.c  the steps of an owner
 *   drain_drainer.c   the steps of the drainer, and of whoever empties a cache
 *   drain_memory.c    memory with a store buffer for each thread, and the invariants
 *   drain_explore.c   all interleavings, breadth first; the way to a violation
 */
#ifndef EBB_TESTS_DRAIN_MODEL_H
#define EBB_TESTS_DRAIN_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OWNERS  2
#define DRAINER OWNERS /* the last thread */
#define THREADS (OWNERS + 1)
#define CACHES  3 /* one more than owners: an emptied one may not be free yet when its thread makes another */
#define SLOTS   2
#define BLOCKS  3
#define STORES  6 /* most that a buffer may hold */

/* Values of `cache` and `mine`: a constant cache, or 1 + the number of a real one. */
enum { NONE = 0, GONE = CACHES + 1 };

/* Places in memory. */
enum place {
    CACHE = 0,                 /* + thread */
    BUSY = CACHE + OWNERS,     /* + thread */
    MINE = BUSY + OWNERS,      /* + thread */
    LOCK = MINE + OWNERS,      /* + thread */
    LIST_LOCK = LOCK + OWNERS, /* guards `listed` */
    RETURN_LOCK,               /* one drainer; none while a fork is made */
    TOP,                       /* + cache */
    SLOT = TOP + CACHES,       /* + cache * SLOTS + index */
    PLACES = SLOT + CACHES * SLOTS
};

enum { RELEASE = 0x80 }; /* in store.where: leaves the buffer after all that is in it */

struct store {
    uint8_t where, what;
};

struct thread {
    uint8_t pc, op;           /* enum pc; index into the script */
    uint8_t c, top, block, n; /* registers */
    uint8_t slow;             /* the operation has missed */
    uint8_t hand;  /* blocks that the program, or a step in the middle of its work, has; a bit each */
    uint8_t early; /* 1 + what the next load of `cache` will yield, when it was made already; 0: it was not */
    uint8_t stores;
    struct store buffer[STORES]; /* oldest first; the rest is zero */
};

/* Bytes alone, so that states can be hashed and compared as they lie. What the heap's own locks guard (pool, live)
 * changes at once; everything that the protocol guards goes through the buffers. */
struct state {
    uint8_t memory[PLACES];
    uint8_t pool;             /* blocks in the slabs; a bit each */
    uint8_t live, listed;     /* caches; a bit each */
    uint8_t owner_of[CACHES]; /* tc->owner */
    uint8_t ended;            /* owners whose TLS is no more; a bit each */
    struct thread threads[THREADS];
};

enum flaw {
    FLAW_NONE,
    FLAW_NO_BARRIER,    /* revoked without a barrier */
    FLAW_NO_BUSY,       /* the owner never sets its flag */
    FLAW_NO_CHECK,      /* the drainer does not look at the flag */
    FLAW_LATE_REVOKE,   /* the barrier comes before the revocation */
    FLAW_SWAPPED,       /* the owner reads its pointer before it sets the flag */
    FLAW_PLAIN_LEAVE,   /* the flag is cleared by a plain store */
    FLAW_HALF_BARRIER,  /* the barrier empties buffers, but lets early loads stand */
    FLAW_UNLOCKED_FORK, /* a fork in the middle of a drain */
    FLAW_UNLOCKED_BACK, /* the owner takes its cache back without its lock */
    FLAW_KEPT_LOCK,     /* the drainer goes on with a busy owner's lock held */
    FLAW_LISTED_EXIT,   /* a thread ends while its cache is listed */
};

/* One run: what is explored. Scripts: g get, p put, x exit, f fork; R revoke, D drain. */
struct world {
    const char *scripts[THREADS];
    uint8_t cached[OWNERS]; /* blocks in each owner's cache at the start; the others are in the pool */
    uint8_t stores; /* size of a buffer; a thread whose buffer is full waits until a store has left it */
    bool weak;      /* else total store order */
    enum flaw flaw;
};

/* What a step may have done that a run must have seen to be worth something. */
enum event {
    EVENT_OTHER,
    EVENT_DRAINED,
    EVENT_BUSY,      /* not drained, because its thread was inside */
    EVENT_CAME_BACK, /* an owner took its cache back */
    EVENT_REMADE,    /* ... found it drained and made another */
    EVENT_WAITED,    /* a try of a lock that failed */
    EVENT_FLUSHED,   /* by an exiting thread */
    EVENT_CHILD,
    EVENT_UNORDERED, /* a store left its buffer before an older one */
    EVENT_EARLY,
    EVENTS
};

/* One transition while it is made. */
struct step {
    const struct world *world;
    struct state *s;
    bool blocked;       /* it cannot be made now */
    const char *broken; /* the invariant that it breaks */
    enum event event;
    char *text; /* SAID bytes when somebody reads along, else NULL */
};
#define SAID 200

__attribute__((format(printf, 2, 3))) void drain_say(struct step *step, const char *format, ...);

/* ---- drain_memory.c ---- */

/* What thread t sees: its own youngest store, or memory. */
uint8_t memory_load(const struct step *step, unsigned t, unsigned where);
/* The thread's `cache`, which may have been read earlier. */
uint8_t memory_load_cache(struct step *step, unsigned t);
void memory_store(struct step *step, unsigned t, unsigned where, uint8_t what);
void memory_store_release(struct step *step, unsigned t, unsigned where, uint8_t what);
/* False when it is held. */
bool memory_try(struct step *step, unsigned t, unsigned lock);
/* Blocked while it is held. */
void memory_lock(struct step *step, unsigned t, unsigned lock);
void memory_unlock(struct step *step, unsigned t, unsigned lock);
/* The heap's locks, taken and released at once. */
void memory_heap_take(struct step *step, unsigned t);
void memory_heap_give(struct step *step, unsigned t);
/* All buffers reach memory; later loads come later. */
void memory_barrier(struct step *step);
/* Moves of the machine itself. */
void memory_commit(struct step *step, unsigned t, unsigned index);
void memory_load_ahead(struct step *step, unsigned t);
/* The invariants of every state. */
void memory_check(struct step *step);

/* ---- drain_protocol.c, drain_drainer.c ---- */

enum pc {
    /* clang-format off */
    PC_ENDED,
    /* an operation */
    PC_ENTER, PC_READ_CACHE, PC_READ_TOP, PC_GET_SLOT, PC_GET_TOP, PC_PUT_SLOT, PC_PUT_TOP, PC_LEAVE, PC_MISS,
    /* its slow half */
    PC_REFILL_TAKE, PC_REFILL_SLOT, PC_REFILL_TOP, PC_TRADE_SLOT, PC_TRADE_TOP, PC_TRADE_GIVE, PC_DIRECT,
    /* the way back */
    PC_BACK_LOCK, PC_BACK_MINE, PC_BACK_CACHE, PC_BACK_UNLOCK,
    PC_MAKE, PC_MAKE_TOP, PC_MAKE_LOCK, PC_MAKE_MINE, PC_MAKE_CACHE, PC_MAKE_UNLOCK, PC_MAKE_LIST, PC_MAKE_LISTED,
    /* the end */
    PC_EXIT_LOCK, PC_EXIT_MINE, PC_EXIT_FORGET, PC_EXIT_GONE, PC_EXIT_UNLOCK, PC_EXIT_LIST, PC_EXIT_UNLIST,
    PC_FORK_LOCK, PC_FORK, PC_FORK_UNLOCK,
    /* whoever empties a cache */
    PC_FLUSH_TOP, PC_FLUSH_SLOT, PC_FLUSH_TAKE, PC_FLUSH_GIVE, PC_FREE,
    /* the drainer */
    PC_TICK, PC_LIST, PC_NEXT, PC_TRY, PC_REVOKE_MINE, PC_REVOKE, PC_RELEASE, PC_BARRIER,
    PC_DRAIN_CACHE, PC_DRAIN_MINE, PC_DRAIN_BUSY, PC_UNLIST, PC_DRAIN_FORGET, PC_DRAIN_UNLOCK, PC_TOCK
    /* clang-format on */
};

/* The next step of an owner; choice 1 of a fork is the child's world. */
void owner_step(struct step *step, unsigned t, unsigned choice);
/* The one of the drainer; the steps that empty a cache are for both. */
void drainer_step(struct step *step);
void flush_step(struct step *step, unsigned t);
/* Whether a thread may read cache x now. */
void protocol_touch(struct step *step, unsigned t, unsigned x);
/* Whether a step only puts a store into its thread's buffer. Such steps in a row are made at once: nobody can look between
 * them, and a barrier between them might as well have come before them. (Not so between a load and a store.) */
bool protocol_is_store(enum pc pc);
/* A thread has done with an operation. */
void protocol_next_op(struct step *step, unsigned t);
void protocol_start(struct state *s, const struct world *world);
/* No thread can move: is it the end? */
void protocol_check_end(struct step *step);

/* ---- drain_explore.c ---- */

struct outcome {
    uint32_t states;
    uint64_t steps;
    uint64_t seen[EVENTS];
    const char *broken; /* NULL: no violation in any interleaving */
    unsigned length;    /* of the shortest way to it */
};

/* Explores everything, or up to the first violation, whose way is printed when `tell`. */
struct outcome explore(const struct world *world, bool tell);

#endif
