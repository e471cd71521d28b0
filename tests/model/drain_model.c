/* SPDX-License-Identifier: MIT
 *
 * Walks through all interleavings of src/cache/drain.c's asymmetric lock, with a store buffer for each thread.
 *
 * usage: drain_model                   explores everything; 0 when what must hold holds and what must fail fails
 *        drain_model --trace VARIANT   tells the shortest way in which a variant fails
 *
 * The protocol. An owner caches blocks without a lock and without an atomic operation; a drainer empties the caches of
 * owners that sleep, without their help.
 *
 *      owner                                          drainer
 *        operation                                      R  revoke
 *      1 busy = 1        plain store                  a for each listed cache: try its owner's lock;
 *      2 c = cache       plain load                       if it is mine: cache = none; unlock
 *      3 use c           plain loads and stores       b barrier on all processors
 *      4 busy = 0        release                        D  drain, any time later
 *        when c is none                               c for each listed cache: try its owner's lock;
 *      5 lock; mine? cache = mine; unlock                 is cache none, and busy 0 (acquire)?
 *      6 else make a cache; lock; mine = cache = it;  d take it off the list; blocks to the slabs;
 *        unlock; list it                                  mine = NULL; unlock; free it
 *        end of the thread
 *      7 lock; blocks to the slabs; mine = NULL;      A return lock is around R and around D. A thread
 *        cache = gone; unlock; unlist; free it        that forks takes it before.
 *
 * A slow operation (refill, trade) has many steps at 3. The danger is that d runs while an owner is between 2 and 4:
 *
 *      owner    ---1--2- - - - 3 - - - -4---          The barrier falls before 2: then 2 reads none.
 *      drainer  --------a--b--------c---d---          It falls after 2: then 1 came before it too, and c sees
 *                          |                          busy = 1, or the 0 of 4 with all of 3 before it.
 *
 * The machine. Each store goes into a buffer of its thread and reaches memory later; each load is made alone. Two
 * memories are explored, total store order as on x86, and a weaker one after arm64 in which stores to different
 * places leave the buffer in any order and the next operation's pointer may be read early (drain_memory.c says what
 * exactly). The barrier empties all buffers and undoes loads made early: a processor that is interrupted has done
 * all that is before the interrupt in its program, and nothing of what is after it. Stores that an owner makes in a
 * row enter its buffer in one step.
 *
 * What must hold, in every state: each block is in exactly one of the hands of the program, a magazine, the slabs,
 * and the hands of whoever empties; no cache that was freed, or is another's by now, is read or written, be it by a
 * store that was late in its buffer; the drainer touches no TLS of a thread that is no more. When nobody can move:
 * all are at their end, no lock is held, and each cache is its owner's and listed.
 *
 * What must fail, so that one can trust the rest: each variant below leaves one part of the protocol out. A run
 * that holds must have met what makes it worth something: drained caches, busy ones, owners that came back.
 *
 * What is left out: signals in the middle of an operation, the kernel that refuses the barrier (then nothing is
 * drained), more than two blocks in a magazine, and the depot, which is another protocol.
 */
#include "drain_model.h"

#include <stdio.h>
#include <string.h>

/* ---- what must hold ---- */

#define SAW(event) (1U << (event))
#define AWAY       (SAW(EVENT_DRAINED) | SAW(EVENT_BUSY) | SAW(EVENT_CAME_BACK) | SAW(EVENT_REMADE))
#define MEETING    (SAW(EVENT_WAITED))

#define STORES_FEW 3    /* two owners, stores in any order, and buffers of six would be 3 million states */
#define STATES_FEW 4000 /* a run with fewer has hardly met the other thread */

static const struct {
    const char *what;
    const char *scripts[THREADS];
    uint8_t cached[OWNERS];
    unsigned must_see;
} runs[] = {
    {"get, put, get, two rounds", {"gpg", "", "RDRD"}, {2, 0}, AWAY | MEETING},
    {"refill", {"ggg", "", "RDRD"}, {1, 0}, AWAY},
    {"trade", {"gggpp", "", "RD"}, {2, 0}, AWAY},
    {"first cache", {"gp", "", "RDRD"}, {0, 0}, AWAY},
    {"two owners", {"g", "g", "RD"}, {1, 1}, AWAY},
    {"exit", {"gx", "", "RDRD"}, {2, 0}, AWAY | SAW(EVENT_FLUSHED)},
    {"exit, then a destructor", {"gxgp", "", "RDRD"}, {2, 0}, SAW(EVENT_DRAINED) | SAW(EVENT_FLUSHED)},
    {"exit beside another", {"x", "g", "RD"}, {1, 1}, AWAY | SAW(EVENT_FLUSHED)},
    {"fork", {"gfg", "", "RDRD"}, {2, 0}, AWAY | SAW(EVENT_CHILD)},
};

/* ---- what must fail ---- */

enum { IN_TSO = 1, IN_WEAK = 2, IN_BOTH = 3 };

static const struct {
    const char *name, *what;
    const char *scripts[THREADS];
    enum flaw flaw;
    unsigned fails; /* in which memory; it must hold in the other */
} variants[] = {
    {"no-barrier", "revoked without a barrier", {"gg", "", "RD"}, FLAW_NO_BARRIER, IN_BOTH},
    {"no-busy", "no busy flag", {"gg", "", "RD"}, FLAW_NO_BUSY, IN_BOTH},
    {"no-check", "the drainer does not look at busy", {"gg", "", "RD"}, FLAW_NO_CHECK, IN_BOTH},
    {"late-revoke", "revoked after the barrier", {"gg", "", "RD"}, FLAW_LATE_REVOKE, IN_BOTH},
    {"swapped", "the pointer is read before busy is set", {"gg", "", "RD"}, FLAW_SWAPPED, IN_BOTH},
    {"plain-leave", "busy is cleared by a plain store", {"gg", "", "RD"}, FLAW_PLAIN_LEAVE, IN_WEAK},
    {"half-barrier", "the barrier lets early loads stand", {"gg", "", "RD"}, FLAW_HALF_BARRIER, IN_WEAK},
    {"unlocked-fork", "a fork without the return lock", {"gfg", "", "RD"}, FLAW_UNLOCKED_FORK, IN_BOTH},
    {"unlocked-back", "a cache taken back without the lock", {"gg", "", "RD"}, FLAW_UNLOCKED_BACK, IN_BOTH},
    {"kept-lock", "the lock of a busy owner is kept", {"gg", "", "RD"}, FLAW_KEPT_LOCK, IN_BOTH},
    {"listed-exit", "a thread ends with its cache listed", {"gx", "", "RD"}, FLAW_LISTED_EXIT, IN_BOTH},
};

static struct world run_world(size_t i, bool weak)
{
    struct world world = {.weak = weak,
                          .stores = weak && runs[i].scripts[1][0] != '\0' ? STORES_FEW : STORES};
    memcpy(world.scripts, runs[i].scripts, sizeof(world.scripts));
    memcpy(world.cached, runs[i].cached, sizeof(world.cached));
    return world;
}

static struct world variant_world(size_t i, bool weak)
{
    struct world world = {.cached = {2, 0}, .weak = weak, .stores = STORES, .flaw = variants[i].flaw};
    memcpy(world.scripts, variants[i].scripts, sizeof(world.scripts));
    return world;
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const memories[2] = {"tso", "weak"};

static const char *const events[EVENTS] = {
    [EVENT_OTHER] = "steps",
    [EVENT_DRAINED] = "drained",
    [EVENT_BUSY] = "found busy",
    [EVENT_CAME_BACK] = "came back",
    [EVENT_REMADE] = "found none",
    [EVENT_WAITED] = "lock was held",
    [EVENT_FLUSHED] = "exit flushed",
    [EVENT_CHILD] = "child",
    [EVENT_UNORDERED] = "stores out of order",
    [EVENT_EARLY] = "loads ahead",
};

/* True when the run held, and saw what it had to see. */
static bool run_holds(size_t i, bool weak)
{
    struct world world = run_world(i, weak);
    struct outcome o = explore(&world, false);
    unsigned must_see = runs[i].must_see | (weak ? SAW(EVENT_UNORDERED) | SAW(EVENT_EARLY) : 0);
    printf("%-5s %-26s %8u states %9llu steps ", memories[weak], runs[i].what, o.states,
           (unsigned long long)o.steps);
    for (unsigned e = EVENT_DRAINED; e < EVENTS; e++)
        if (o.seen[e] != 0)
            printf(" %llu %s,", (unsigned long long)o.seen[e], events[e]);
    if (o.broken != NULL) {
        printf(" FAILS after %u steps: %s\n", o.length, o.broken);
        (void)explore(&world, true);
        return false;
    }
    printf(" holds\n");
    bool worth = o.states >= STATES_FEW;
    if (!worth)
        printf("      but it has too few states to mean anything\n");
    for (unsigned e = 0; e < EVENTS; e++)
        if ((must_see & SAW(e)) && o.seen[e] == 0) {
            printf("      but never saw: %s\n", events[e]);
            worth = false;
        }
    return worth;
}

/* True when the variant fails where it must, and only there. */
static bool variant_fails(size_t i, bool weak)
{
    struct world world = variant_world(i, weak);
    struct outcome o = explore(&world, false);
    bool must = variants[i].fails & (weak ? IN_WEAK : IN_TSO);
    printf("%-5s %-14s %-40s %8u states ", memories[weak], variants[i].name, variants[i].what, o.states);
    if (o.broken != NULL)
        printf(" fails after %u steps: %s%s\n", o.length, o.broken, must ? "" : " (it MUST HOLD)");
    else
        printf(" holds%s\n", must ? " (it MUST FAIL)" : ", as it must here");
    return must == (o.broken != NULL);
}

static int trace(const char *name)
{
    for (size_t i = 0; i < COUNT(variants); i++) {
        if (strcmp(name, variants[i].name) != 0)
            continue;
        bool weak = !(variants[i].fails & IN_TSO);
        struct world world = variant_world(i, weak);
        printf("%s (%s)\n", variants[i].what, memories[weak]);
        struct outcome o = explore(&world, true);
        printf("      %s\n", o.broken != NULL ? o.broken : "holds");
        return o.broken != NULL ? 0 : 1;
    }
    (void)fprintf(stderr, "drain_model: no variant '%s'; there are:", name);
    for (size_t i = 0; i < COUNT(variants); i++)
        (void)fprintf(stderr, " %s", variants[i].name);
    (void)fprintf(stderr, "\n");
    return 2;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--trace") == 0)
        return trace(argv[2]);
    if (argc != 1) {
        (void)fprintf(stderr, "usage: drain_model [--trace VARIANT]\n");
        return 2;
    }
    unsigned wrong = 0;
    for (unsigned weak = 0; weak < 2; weak++) {
        for (size_t i = 0; i < COUNT(runs); i++)
            wrong += !run_holds(i, weak);
        for (size_t i = 0; i < COUNT(variants); i++)
            wrong += !variant_fails(i, weak);
    }
    printf("%u of %zu results are not as they must be\n", wrong, 2 * (COUNT(runs) + COUNT(variants)));
    return wrong != 0;
}
