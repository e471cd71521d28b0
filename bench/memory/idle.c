/* SPDX-License-Identifier: MIT
 *
 * Many threads churn up to 4 MiB each, free everything, and then sleep, as the threads of a server's pool do between
 * requests: what does each of them still cost?
 *
 * The stacks are the C library's ordinary ones and belong to the figure. Only some threads churn at a time, since the
 * peak is of no interest here.
 */
#include <errno.h>
#include <semaphore.h>

#include "mem.h"

enum { THREADS_MAX = 4096, SLOTS = 4096, LOG_MIN = 4, LOG_MAX = 17 };

enum { THREADS, KIB, OPS, TOGETHER, WAIT, SEED, PARAM_COUNT };

static struct bench_param params[PARAM_COUNT] = {
    [THREADS] = {"threads", "threads", 1000, 1, THREADS_MAX, true},
    [KIB] = {"kib", "KiB that each holds at most", 4096, 1, 1L << 20, false},
    [OPS] = {"ops", "blocks that each replaces", 2000, 1, 1L << 30, false},
    [TOGETHER] = {"together", "threads that churn at a time", 50, 1, THREADS_MAX, false},
    [WAIT] = {"wait", "milliseconds from the last free to the reading", 5000, 0, 600000, false},
    [SEED] = {"seed", "of the random numbers", 1, 0, 1L << 40, false},
};

struct worker {
    pthread_t id;
    size_t index;
    uint64_t check;
    uint64_t blocks;
};

static struct worker workers[THREADS_MAX];
static struct bench_gate gate = BENCH_GATE_INIT;
static sem_t turns;

/* Every other block has the size of a server's small ones. */
static size_t some_size(struct bench_rng *rng, size_t number)
{
    return number % 2 == 0 ? bench_size_small(rng) : bench_size_log(rng, LOG_MIN, LOG_MAX);
}

static void churn(struct worker *worker)
{
    struct bench_rng rng = bench_rng_seed((uint64_t)params[SEED].value, worker->index);
    size_t limit_bytes = (size_t)params[KIB].value << 10;
    void **blocks = malloc(SLOTS * sizeof(*blocks));
    size_t live_bytes = 0;
    size_t live = 0;

    if (!blocks) {
        bench_die("malloc");
    }
    for (long i = 0; i < params[OPS].value || live == 0; i++) {
        size_t size_bytes = some_size(&rng, (size_t)i);

        while (live > 0 && (live_bytes + size_bytes > limit_bytes || live == SLOTS)) {
            size_t victim = bench_rng_below(&rng, live);
            uint64_t freed_bytes = bench_block_free(blocks[victim]);

            blocks[victim] = blocks[--live];
            live_bytes -= freed_bytes;
            worker->check += freed_bytes;
        }
        blocks[live++] = mem_block_new(size_bytes);
        live_bytes += size_bytes;
        worker->blocks++;
    }
    while (live > 0) {
        worker->check += bench_block_free(blocks[--live]);
    }
    free(blocks);
}

static void *work(void *argument)
{
    while (sem_wait(&turns) != 0) {
    }
    churn(argument);
    sem_post(&turns);
    bench_gate_pass(&gate);
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t check = 0;
    uint64_t blocks = 0;
    size_t threads;

    bench_args(argc, argv, params, PARAM_COUNT, NULL);
    threads = (size_t)params[THREADS].value;
    bench_sizes_init();
    if (sem_init(&turns, 0, (unsigned)params[TOGETHER].value) != 0) {
        bench_die("sem_init");
    }
    bench_probe_start("idle");
    for (size_t i = 0; i < threads; i++) {
        workers[i].index = i;
        workers[i].id = bench_thread_start(work, &workers[i]);
    }
    while (mem_gate_arrived(&gate) < threads) {
        mem_wait_ms(10);
    }
    bench_probe_full();
    mem_note_kib("freed_kib", bench_probe_net_anon_kib());
    mem_wait_ms(params[WAIT].value);
    mem_note_kib("after_kib", bench_probe_net_anon_kib());
    bench_probe_note("threads", threads);
    mem_gate_open(&gate);
    for (size_t i = 0; i < threads; i++) {
        bench_thread_join(workers[i].id);
        check += workers[i].check;
        blocks += workers[i].blocks;
    }
    return bench_probe_finish(blocks, check);
}
