/* SPDX-License-Identifier: MIT
 *
 * A peak and its fall as a series over time: about 1 GiB of mixed blocks in three seconds, one second at the peak, all
 * but 5 % freed at random within a second, and then ten idle ones.
 *
 * The workers keep pace with the clock and the work is the same under every allocator. The main thread samples ten
 * times a second: the resident memory, and the bytes of the blocks that live in that moment.
 */
#include <stdatomic.h>
#include <unistd.h>

#include "mem.h"

enum { THREADS_MAX = 16, STEP_MS = 10, SAMPLE_MS = 100, SAMPLES_MAX = 4096, LOG_LOW = 10, LOG_HIGH = 18 };
enum { SMALL_PERCENT = 30, KEPT_PERCENT = 5 };

enum { THREADS, MIB, UP, HOLD, DOWN, IDLE, SEED, PARAM_COUNT };

static struct bench_param params[PARAM_COUNT] = {
    [THREADS] = {"threads", "threads", 2, 1, THREADS_MAX, false},
    [MIB] = {"mib", "MiB of all threads at the peak", 1024, 1, 1L << 20, true},
    [UP] = {"up", "milliseconds up to the peak", 3000, STEP_MS, 600000, false},
    [HOLD] = {"hold", "milliseconds at the peak", 1000, 0, 600000, false},
    [DOWN] = {"down", "milliseconds of the fall", 1000, STEP_MS, 600000, false},
    [IDLE] = {"idle", "milliseconds after it", 10000, 0, 600000, false},
    [SEED] = {"seed", "of the random numbers", 1, 0, 1L << 40, false},
};

struct worker {
    pthread_t id;
    struct bench_rng rng;
    void **blocks;
    size_t count;
    size_t capacity;
    _Atomic uint64_t live_bytes;
    uint64_t check;
};

struct sample {
    uint64_t ms;
    uint64_t net_kib;
    uint64_t live_kib;
};

static struct worker workers[THREADS_MAX];
static struct sample samples[SAMPLES_MAX];
static size_t samples_count;
static struct bench_gate gate = BENCH_GATE_INIT;
static uint64_t start_ns;

static size_t threads(void)
{
    return (size_t)params[THREADS].value;
}

static uint64_t peak_bytes(void)
{
    return ((uint64_t)params[MIB].value << 20) / threads();
}

static void change_live(struct worker *worker, uint64_t live_bytes)
{
    atomic_store_explicit(&worker->live_bytes, live_bytes, memory_order_relaxed);
}

/* The small sizes of a server make up a part of the bytes, and blocks of 1 to 256 KiB the rest. */
static void grow_to(struct worker *worker, uint64_t target_bytes, uint64_t *small_bytes)
{
    uint64_t live_bytes = atomic_load_explicit(&worker->live_bytes, memory_order_relaxed);

    while (live_bytes < target_bytes && worker->count < worker->capacity) {
        bool small = *small_bytes * 100U <= live_bytes * SMALL_PERCENT;
        size_t size_bytes =
            small ? bench_size_small(&worker->rng) : bench_size_log(&worker->rng, LOG_LOW, LOG_HIGH);

        worker->blocks[worker->count++] = mem_block_new(size_bytes);
        *small_bytes += small ? size_bytes : 0;
        live_bytes += size_bytes;
        change_live(worker, live_bytes);
    }
}

static void shrink_to(struct worker *worker, size_t target_count)
{
    uint64_t live_bytes = atomic_load_explicit(&worker->live_bytes, memory_order_relaxed);

    while (worker->count > target_count) {
        uint64_t freed_bytes = bench_block_free(worker->blocks[--worker->count]);

        worker->check += freed_bytes;
        live_bytes -= freed_bytes;
        change_live(worker, live_bytes);
    }
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    uint64_t up_steps = (uint64_t)params[UP].value / STEP_MS;
    uint64_t down_steps = (uint64_t)params[DOWN].value / STEP_MS;
    uint64_t small_bytes = 0;
    uint64_t fall_ns = start_ns + (uint64_t)(params[UP].value + params[HOLD].value) * 1000000U;
    size_t kept;
    size_t falling;

    for (uint64_t step = 1; step <= up_steps; step++) {
        grow_to(worker, peak_bytes() * step / up_steps, &small_bytes);
        mem_wait_until_ns(start_ns + step * STEP_MS * 1000000U);
    }
    mem_shuffle(worker->blocks, worker->count, &worker->rng);
    kept = worker->count * KEPT_PERCENT / 100;
    falling = worker->count - kept;
    mem_wait_until_ns(fall_ns);
    for (uint64_t step = 1; step <= down_steps; step++) {
        shrink_to(worker, kept + falling - falling * step / down_steps);
        mem_wait_until_ns(fall_ns + step * STEP_MS * 1000000U);
    }
    bench_gate_pass(&gate);
    return NULL;
}

static void take_sample(void)
{
    uint64_t live_bytes = 0;
    long net_kib = bench_probe_net_kib();

    for (size_t i = 0; i < threads(); i++) {
        live_bytes += atomic_load_explicit(&workers[i].live_bytes, memory_order_relaxed);
    }
    if (samples_count < SAMPLES_MAX) {
        samples[samples_count++] = (struct sample){(mem_now_ns() - start_ns) / 1000000U,
                                                   net_kib > 0 ? (uint64_t)net_kib : 0, live_bytes / 1024U};
    }
}

/* The last sample at or before a moment. */
static uint64_t net_kib_at(uint64_t ms)
{
    uint64_t net_kib = 0;

    for (size_t i = 0; i < samples_count && samples[i].ms <= ms; i++) {
        net_kib = samples[i].net_kib;
    }
    return net_kib;
}

static void watch(uint64_t end_ms)
{
    for (uint64_t ms = 0; ms <= end_ms; ms += SAMPLE_MS) {
        mem_wait_until_ns(start_ns + ms * 1000000U);
        take_sample();
    }
    while (mem_gate_arrived(&gate) < threads()) {
        mem_wait_until_ns(mem_now_ns() + SAMPLE_MS * 1000000U);
        take_sample();
    }
}

static void note_results(uint64_t fallen_ms)
{
    uint64_t pages = 0;
    uint64_t live_bytes = 0;

    for (size_t i = 0; i < threads(); i++) {
        uint64_t bytes;

        /* Workers share few pages, if any, so that the sum is the number of all. */
        pages += mem_pages_held(workers[i].blocks, workers[i].count, &bytes);
        live_bytes += bytes;
    }
    bench_probe_note("live_bytes", live_bytes);
    bench_probe_note("held_kib", pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024U);
    bench_probe_note("fallen_kib", net_kib_at(fallen_ms));
    bench_probe_note("second_kib", net_kib_at(fallen_ms + 1000U));
    bench_probe_note("last_kib", samples[samples_count - 1].net_kib);
}

int main(int argc, char **argv)
{
    uint64_t fallen_ms;
    uint64_t blocks = 0;
    uint64_t check = 0;
    int status;

    bench_args(argc, argv, params, PARAM_COUNT, NULL);
    bench_sizes_init();
    for (size_t i = 0; i < threads(); i++) {
        /* The small blocks are the many ones: their mean is above 64 bytes, and all others are above 1 KiB. */
        workers[i].capacity = peak_bytes() / 100U * SMALL_PERCENT / 64U + peak_bytes() / 1024U + 64U;
        workers[i].blocks = mem_table(workers[i].capacity, sizeof(void *));
        workers[i].rng = bench_rng_seed((uint64_t)params[SEED].value, i);
    }
    fallen_ms = (uint64_t)(params[UP].value + params[HOLD].value + params[DOWN].value);
    bench_probe_start("fall");
    start_ns = mem_now_ns();
    for (size_t i = 0; i < threads(); i++) {
        workers[i].id = bench_thread_start(work, &workers[i]);
    }
    watch(fallen_ms + (uint64_t)params[IDLE].value);
    note_results(fallen_ms);
    mem_gate_open(&gate);
    for (size_t i = 0; i < threads(); i++) {
        bench_thread_join(workers[i].id);
        blocks += workers[i].count;
        shrink_to(&workers[i], 0);
        check += workers[i].check;
    }
    status = bench_probe_finish(blocks, check);
    for (size_t i = 0; i < samples_count && status == 0; i++) {
        status =
            bench_probe_series((uint64_t[]){samples[i].ms, samples[i].net_kib, samples[i].live_kib}, 3) != 0;
    }
    return status;
}
