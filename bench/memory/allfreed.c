/* SPDX-License-Identifier: MIT
 *
 * Several threads allocate blocks of all sizes from 16 bytes to 1 MiB, free all of them in a random order, and stay:
 * what does the process still hold a while later?
 */
#include "mem.h"

enum { THREADS_MAX = 64, LOG_MIN = 4, LOG_MAX = 20 };

enum { THREADS, MIB, WAIT, SEED, PARAM_COUNT };

static struct bench_param params[PARAM_COUNT] = {
    [THREADS] = {"threads", "threads", 4, 1, THREADS_MAX, false},
    [MIB] = {"mib", "MiB of all threads at the peak", 1024, 1, 1L << 20, true},
    [WAIT] = {"wait", "milliseconds from the last free to the reading", 2000, 0, 600000, false},
    [SEED] = {"seed", "of the random numbers", 1, 0, 1L << 40, false},
};

struct worker {
    pthread_t id;
    size_t index;
    void **blocks;
    size_t count;
    uint64_t check;
};

static struct worker workers[THREADS_MAX];
static struct bench_gate full_gate = BENCH_GATE_INIT;
static struct bench_gate freed_gate = BENCH_GATE_INIT;

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct bench_rng rng = bench_rng_seed((uint64_t)params[SEED].value, worker->index);

    for (size_t i = 0; i < worker->count; i++) {
        worker->blocks[i] = mem_block_new(mem_size_even(&rng, LOG_MIN, LOG_MAX));
    }
    mem_shuffle(worker->blocks, worker->count, &rng);
    bench_gate_pass(&full_gate);
    for (size_t i = 0; i < worker->count; i++) {
        worker->check += bench_block_free(worker->blocks[i]);
    }
    bench_gate_pass(&freed_gate);
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t check = 0;
    size_t threads;
    size_t count;

    bench_args(argc, argv, params, PARAM_COUNT, NULL);
    threads = (size_t)params[THREADS].value;
    count = ((size_t)params[MIB].value << 20) / threads / mem_size_even_mean(LOG_MIN, LOG_MAX);
    for (size_t i = 0; i < threads; i++) {
        workers[i].index = i;
        workers[i].count = count;
        workers[i].blocks = mem_table(count, sizeof(void *));
    }
    bench_probe_start("all-freed");
    for (size_t i = 0; i < threads; i++) {
        workers[i].id = bench_thread_start(work, &workers[i]);
    }
    bench_gate_hold(&full_gate, threads);
    while (mem_gate_arrived(&freed_gate) < threads) {
        mem_wait_ms(10);
    }
    mem_note_kib("freed_kib", bench_probe_net_kib());
    mem_wait_ms(params[WAIT].value);
    mem_note_kib("after_kib", bench_probe_net_kib());
    mem_gate_open(&freed_gate);
    for (size_t i = 0; i < threads; i++) {
        bench_thread_join(workers[i].id);
        check += workers[i].check;
    }
    return bench_probe_finish(count * threads, check);
}
