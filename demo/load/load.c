/* SPDX-License-Identifier: MIT
 *
 * Threads and phases of the load.
 *
 * The steady phase is cut into rounds: one visit to every lane. Under --ops the number of rounds is given.
 * Under
 * --seconds the main thread ends the phase after the furthest round that any thread has begun, and the others
 * catch up, so that all lanes have done equally much and the run can be repeated exactly with --ops.
 */
#include "load.h"

#include "sampler.h"
#include "ticks.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

struct worker {
    struct load *load;
    unsigned index;
    pthread_t thread;
};

const char *load_phase_name(int phase)
{
    static const char *const names[PHASE_COUNT] = {"ramp", "steady", "fall", "idle"};

    return names[phase];
}

int64_t load_live_bytes(const struct load *l)
{
    int64_t sum = 0;

    for (unsigned i = 0; i < l->opt->threads; i++)
        sum += atomic_load_explicit(&l->meters[i].live_bytes, memory_order_relaxed);
    return sum;
}

uint64_t load_ops(const struct load *l)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < l->opt->threads; i++)
        sum += atomic_load_explicit(&l->meters[i].ops, memory_order_relaxed);
    return sum;
}

static double share(double part, double whole)
{
    double s = whole > 0 ? part / whole : 1;

    return s < 0 ? 0 : s > 1 ? 1 : s;
}

double load_phase_part(const struct load *l)
{
    double elapsed_s = (double)(ticks_clock_ns() - atomic_load(&l->phase_start_ns)) / 1e9;

    switch (atomic_load(&l->phase)) {
    case PHASE_RAMP:
        return share((double)load_live_bytes(l), (double)l->opt->live_bytes);
    case PHASE_STEADY:
        return l->opt->ops == 0
                   ? share(elapsed_s, (double)l->opt->seconds)
                   : share((double)(load_ops(l) - l->phase_ops[PHASE_RAMP]), (double)l->opt->ops);
    case PHASE_IDLE:
        return share(elapsed_s, (double)l->opt->idle_ms / 1000);
    default:
        return 0;
    }
}

static void *map_zeroed(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

int load_init(struct load *l, const struct options *opt)
{
    unsigned lanes = opt->threads > LANE_COUNT_MIN ? (opt->threads + 1) / 2 * 2 : LANE_COUNT_MIN;

    memset(l, 0, sizeof(*l));
    l->opt = opt;
    l->lane_count = lanes;
    l->lanes = map_zeroed(lanes * sizeof(*l->lanes));
    l->meters = map_zeroed(opt->threads * sizeof(*l->meters));
    if (l->lanes == NULL || l->meters == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < lanes; i++) {
        int err = lane_init(&l->lanes[i], l->lanes, i, lanes, opt->seed, opt->live_bytes / lanes);

        if (err != 0)
            return err;
        l->lanes[i].tally.meter = &l->meters[i % opt->threads];
    }

    uint64_t per_round = (uint64_t)lanes * LANE_ROUND_STEPS;

    l->rounds_end = opt->ops == 0 ? UINT64_MAX : (opt->ops + per_round - 1) / per_round;
    if (pthread_mutex_init(&l->rounds_lock, NULL) != 0)
        return -ENOMEM;
    return -pthread_barrier_init(&l->barrier, NULL, opt->threads + 1);
}

/* Whether round `round` is to be done. */
static bool round_begin(struct load *l, uint64_t round)
{
    pthread_mutex_lock(&l->rounds_lock);

    bool go = round < l->rounds_end;

    if (go && round >= l->rounds_begun)
        l->rounds_begun = round + 1;
    pthread_mutex_unlock(&l->rounds_lock);
    return go;
}

static void rounds_stop(struct load *l)
{
    pthread_mutex_lock(&l->rounds_lock);
    l->rounds_end = l->rounds_begun;
    pthread_mutex_unlock(&l->rounds_lock);
}

/* One visit to each lane of this worker, or to each that has not reached its target; whether there was any.
 */
static bool visit(struct worker *w, void (*go)(struct lane *), bool only_unramped)
{
    struct load *l = w->load;
    bool any = false;

    for (unsigned i = w->index; i < l->lane_count; i += l->opt->threads) {
        if (only_unramped && l->lanes[i].ramped)
            continue;
        go(&l->lanes[i]);
        any = true;
    }
    return any;
}

/* The end of a phase: all workers arrive, the main thread books what has happened, and lets them go on. */
static void gate(struct load *l)
{
    pthread_barrier_wait(&l->barrier);
    pthread_barrier_wait(&l->barrier);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct load *l = w->load;
    struct meter *m = &l->meters[w->index];

    while (visit(w, lane_ramp, true))
        ;
    gate(l);
    m->timed = true;
    for (uint64_t round = 0; round_begin(l, round); round++)
        visit(w, lane_round, false);
    m->timed = false;
    gate(l);
    visit(w, lane_fall, false);
    /* The result sets that the last statements handed over are freed when no lane sends any more. */
    pthread_barrier_wait(&l->barrier);
    visit(w, lane_drain, false);
    gate(l); /* idle in between: the main thread sleeps before it lets them go on */
    visit(w, lane_fini, false);
    return NULL;
}

static void sleep_ms(uint64_t ms)
{
    struct timespec ts = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts) == EINTR)
        ;
}

static double cpu_seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9 - sampler_cpu_seconds();
}

struct mark {
    uint64_t ns;
    uint64_t ops;
    double cpu_s;
};

static struct mark mark_now(const struct load *l)
{
    return (struct mark){ticks_clock_ns(), load_ops(l), cpu_seconds()};
}

/* Books what has happened since `last` to the phase that ends, and begins the next one. */
static void phase_change(struct load *l, int ended, int next, struct mark *last)
{
    struct mark now = mark_now(l);

    l->phase_ns[ended] = now.ns - last->ns;
    l->phase_ops[ended] = now.ops - last->ops;
    l->phase_cpu_s[ended] = now.cpu_s - last->cpu_s;
    *last = now;
    atomic_store(&l->phase_start_ns, now.ns);
    if (next < PHASE_COUNT)
        atomic_store(&l->phase, next);
}

int load_run(struct load *l, void (*between)(struct load *), void (*at_end)(struct load *))
{
    unsigned threads = l->opt->threads;
    struct worker *workers = map_zeroed(threads * sizeof(*workers));
    struct mark last = mark_now(l);

    if (workers == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < threads; i++) {
        workers[i].load = l;
        workers[i].index = i;

        int err = pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]);

        /* The workers already started wait at the barrier for ever; the caller ends the process. */
        if (err != 0)
            return -err;
    }
    pthread_barrier_wait(&l->barrier);
    phase_change(l, PHASE_RAMP, PHASE_STEADY, &last);
    between(l);
    pthread_barrier_wait(&l->barrier);
    if (l->opt->ops == 0) {
        sleep_ms(l->opt->seconds * 1000);
        rounds_stop(l);
    }
    pthread_barrier_wait(&l->barrier);
    phase_change(l, PHASE_STEADY, PHASE_FALL, &last);
    between(l);
    pthread_barrier_wait(&l->barrier);
    pthread_barrier_wait(&l->barrier); /* all have let their connections go */
    pthread_barrier_wait(&l->barrier); /* and have freed what was handed over */
    phase_change(l, PHASE_FALL, PHASE_IDLE, &last);
    between(l);
    sleep_ms(l->opt->idle_ms);
    phase_change(l, PHASE_IDLE, PHASE_COUNT, &last);
    at_end(l);
    pthread_barrier_wait(&l->barrier);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(workers[i].thread, NULL);
    return 0;
}
