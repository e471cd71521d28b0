/* SPDX-License-Identifier: MIT
 *
 * A day of churn compressed: 1,440 minutes of changing load, block sizes and lifetimes, in so many milliseconds. How
 * many mappings does the allocator make, and what does it hold at the day's end?
 *
 * Each minute replaces a fixed number of blocks, so that the work is the same under every allocator; the clock only
 * sets the pace. The load rises and falls twice a day, and what is allocated changes from hour to hour.
 */
#include <stdatomic.h>

#include "mem.h"

enum { THREADS_MAX = 64, MINUTES = 1440, HOURS = 24, SLOTS = 1 << 16, COUNT_MS = 50 };

enum { MS, THREADS, MIB, OPS, SEED, PARAM_COUNT };

static struct bench_param params[PARAM_COUNT] = {
    [MS] = {"ms", "milliseconds that the day lasts", 10000, 100, 86400000, false},
    [THREADS] = {"threads", "threads", 4, 1, THREADS_MAX, false},
    [MIB] = {"mib", "MiB of each thread when the load is highest", 32, 1, 1L << 16, true},
    [OPS] = {"ops", "blocks that each thread replaces in a minute", 500, 1, 1L << 30, false},
    [SEED] = {"seed", "of the random numbers", 1, 0, 1L << 40, false},
};

/* The load of each hour, in percent of the highest. */
static const unsigned char load_percent[HOURS] = {20, 12, 10, 10, 12, 20, 35, 55,  80, 95, 100, 90,
                                                  75, 80, 85, 80, 70, 75, 90, 100, 85, 60, 40,  30};

/* The doublings of the sizes of each hour, repeated: transactions, reports, a backup, sorting. */
static const struct {
    unsigned char low;
    unsigned char high;
} hour_sizes[] = {{4, 11}, {5, 15}, {12, 21}, {6, 18}, {4, 14}, {9, 17}};

struct worker {
    pthread_t id;
    struct bench_rng rng;
    void **blocks;
    size_t live;
    uint64_t live_bytes;
    uint64_t made;
    uint64_t check;
};

static struct worker workers[THREADS_MAX];
static struct bench_gate gate = BENCH_GATE_INIT;
static uint64_t start_ns;

static void free_one(struct worker *worker, size_t index)
{
    uint64_t freed_bytes = bench_block_free(worker->blocks[index]);

    worker->blocks[index] = worker->blocks[--worker->live];
    worker->live_bytes -= freed_bytes;
    worker->check += freed_bytes;
}

/* Half of the sizes are the small ones that every hour has. */
static void make_one(struct worker *worker, unsigned hour)
{
    unsigned kind = hour % (sizeof(hour_sizes) / sizeof(hour_sizes[0]));
    size_t size_bytes = bench_rng_below(&worker->rng, 2) == 0
                            ? bench_size_small(&worker->rng)
                            : bench_size_log(&worker->rng, hour_sizes[kind].low, hour_sizes[kind].high);

    worker->blocks[worker->live++] = mem_block_new(size_bytes);
    worker->live_bytes += size_bytes;
    worker->made++;
}

static void live_minute(struct worker *worker, unsigned hour)
{
    uint64_t target_bytes = ((uint64_t)params[MIB].value << 20) * load_percent[hour] / 100U;

    for (long i = 0; i < params[OPS].value; i++) {
        if (worker->live > 0) {
            free_one(worker, bench_rng_below(&worker->rng, worker->live));
        }
        if (worker->live_bytes < target_bytes && worker->live + 2 <= SLOTS) {
            make_one(worker, hour);
            make_one(worker, hour);
        } else if (worker->live_bytes > target_bytes && worker->live > 0) {
            free_one(worker, bench_rng_below(&worker->rng, worker->live));
        }
    }
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    uint64_t minute_ns = (uint64_t)params[MS].value * 1000000U / MINUTES;

    for (unsigned minute = 0; minute < MINUTES; minute++) {
        live_minute(worker, minute / (MINUTES / HOURS));
        mem_wait_until_ns(start_ns + (minute + 1) * minute_ns);
    }
    bench_gate_pass(&gate);
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t blocks = 0;
    uint64_t check = 0;
    size_t threads;
    long counted;
    long anon_max = 0;

    bench_args(argc, argv, params, PARAM_COUNT, NULL);
    threads = (size_t)params[THREADS].value;
    bench_sizes_init();
    for (size_t i = 0; i < threads; i++) {
        workers[i].blocks = mem_table(SLOTS, sizeof(void *));
        workers[i].rng = bench_rng_seed((uint64_t)params[SEED].value, i);
    }
    mem_stacks_init(threads);
    bench_probe_start("day");
    start_ns = mem_now_ns();
    for (size_t i = 0; i < threads; i++) {
        workers[i].id = mem_thread_start(work, &workers[i]);
    }
    while (mem_gate_arrived(&gate) < threads) {
        mem_wait_ms(COUNT_MS);
        counted = mem_mappings_count(true);
        anon_max = counted > anon_max ? counted : anon_max;
    }
    bench_probe_full();
    bench_probe_note("anon_max", (uint64_t)anon_max);
    mem_gate_open(&gate);
    for (size_t i = 0; i < threads; i++) {
        bench_thread_join(workers[i].id);
        blocks += workers[i].made;
        while (workers[i].live > 0) {
            free_one(&workers[i], workers[i].live - 1);
        }
        check += workers[i].check;
    }
    return bench_probe_finish(blocks, check);
}
