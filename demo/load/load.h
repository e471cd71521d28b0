/* SPDX-License-Identifier: MIT
 *
 * The whole load: lanes, threads and phases, and what the sampler and the summary read of them.
 */
#ifndef EBB_LOAD_LOAD_H
#define EBB_LOAD_LOAD_H

#include "lane.h"
#include "options.h"

#include <pthread.h>

enum phase { PHASE_RAMP, PHASE_STEADY, PHASE_FALL, PHASE_IDLE, PHASE_COUNT };

struct load {
    const struct options *opt;
    struct lane *lanes;
    unsigned lane_count;
    struct meter *meters; /* one a thread */
    uint64_t start_ns;
    _Atomic int phase;               /* written by the main thread, read by the sampler */
    _Atomic uint64_t phase_start_ns; /* the same */
    uint64_t phase_ns[PHASE_COUNT];  /* lengths */
    uint64_t phase_ops[PHASE_COUNT]; /* operations */
    double phase_cpu_s[PHASE_COUNT]; /* CPU time of the process, sampler excluded */
    pthread_barrier_t barrier;       /* all workers and the main thread, between phases */
    pthread_mutex_t rounds_lock;
    uint64_t rounds_begun; /* the furthest round that any thread has begun; under rounds_lock */
    uint64_t rounds_end;   /* every lane does the rounds below this one; under rounds_lock */
};

const char *load_phase_name(int phase);

/* Requested bytes that are live now. Exact when no thread is in a call. */
int64_t load_live_bytes(const struct load *l);

/* Operations done so far. */
uint64_t load_ops(const struct load *l);

/* How much of the current phase is over, 0 to 1. */
double load_phase_part(const struct load *l);

/* Prepares lanes and meters. 0 or -errno. */
int load_init(struct load *l, const struct options *opt);

/* Runs the four phases. `at_end` is called at the end of the idle phase, before anything is freed; `between`
 * whenever a phase begins. Then all blocks are checked and freed. 0 or -errno. */
int load_run(struct load *l, void (*between)(struct load *), void (*at_end)(struct load *));

#endif
