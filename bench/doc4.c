/* SPDX-License-Identifier: MIT
 *
 * The micro-benchmark with which operators found that an allocator needs many times the memory asked for:
 * each of some threads allocates blocks of 10 KB up to 64 MB and keeps them, and then the resident memory is
 * read.
 *
 * The figure that matters is full_kib against threads * MiB. Every block is written whole.
 */
#include <string.h>

#include "kit.h"
#include "probe.h"

enum { THREADS_MAX = 1024 };

enum { THREADS, MIB, BLOCK, PARAM_COUNT };

static struct bench_param params[PARAM_COUNT] = {
    [THREADS] = {"threads", "threads", 16, 1, THREADS_MAX, false},
    [MIB] = {"mib", "MiB that each thread allocates", 64, 1, 1L << 16, true},
    [BLOCK] = {"block", "bytes of a block", 10240, 64, 1L << 20, false},
};

static struct bench_gate gate = BENCH_GATE_INIT;

/* The blocks of a thread are a list that runs through their first words. */
struct link {
    struct link *next;
};

struct worker {
    pthread_t id;
    uint64_t freed;
};

static struct worker workers[THREADS_MAX];

static size_t blocks_of_thread(void)
{
    return ((size_t)params[MIB].value << 20) / (size_t)params[BLOCK].value;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct link *first = NULL;

    for (size_t i = 0; i < blocks_of_thread(); i++) {
        struct link *link = malloc((size_t)params[BLOCK].value);

        if (!link) {
            bench_die("malloc");
        }
        memset(link, 1, (size_t)params[BLOCK].value);
        link->next = first;
        first = link;
    }
    bench_gate_pass(&gate);
    while (first) {
        struct link *link = first;

        first = link->next;
        free(link);
        worker->freed++;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t freed = 0;
    size_t threads;

    bench_args(argc, argv, params, PARAM_COUNT, NULL);
    bench_probe_start("doc4");
    threads = (size_t)params[THREADS].value;
    for (size_t i = 0; i < threads; i++) {
        workers[i].id = bench_thread_start(work, &workers[i]);
    }
    bench_gate_hold(&gate, threads);
    for (size_t i = 0; i < threads; i++) {
        bench_thread_join(workers[i].id);
        freed += workers[i].freed;
    }
    return bench_probe_finish(freed, freed);
}
