/* SPDX-License-Identifier: MIT
 *
 * What giving back costs those who do not need it: some threads fill and empty a lot of memory with pauses, so that
 * the allocator gives it back and needs it again all the time, while others allocate small blocks and time each call.
 *
 * Three more spans are timed by a thread of its own: the first write into each page of a fresh block, an mmap with its
 * munmap, and nothing at all, which is two readings of the clock in a row. The last one is the floor: a processor that
 * was taken away meanwhile shows in it as in all others.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../demo/load/hist.h"
#include "../../demo/load/ticks.h"
#include "mem.h"

enum {
    THREADS_MAX = 16,
    SLOTS = 4096,
    BURST = 500,
    PAUSE_MIN_MS = 50,
    PAUSE_SPREAD_MS = 300,
    BATCH_MAX = 4096
};
enum { LARGE_LOW = 16, LARGE_HIGH = 21, FRESH_LOW = 16, FRESH_HIGH = 19, MAP_BYTES = 64 * 1024 };

enum { MS, PURGERS, CALLERS, MIB, SEED, PARAM_COUNT };

static struct bench_param params[PARAM_COUNT] = {
    [MS] = {"ms", "milliseconds in all", 10000, 100, 3600000, false},
    [PURGERS] = {"purgers", "threads that fill and empty", 2, 1, THREADS_MAX, false},
    [CALLERS] = {"callers", "threads whose calls are timed", 2, 1, THREADS_MAX, false},
    [MIB] = {"mib", "MiB that each purger fills", 64, 1, 1L << 16, true},
    [SEED] = {"seed", "of the random numbers", 1, 0, 1L << 40, false},
};

struct spans {
    struct hist malloc_ticks;
    struct hist free_ticks;
    struct hist touch_ticks;
    struct hist map_ticks;
    struct hist nothing_ticks;
};

struct worker {
    pthread_t id;
    size_t index;
    uint64_t blocks;
    struct spans spans;
};

static struct worker workers[2 * THREADS_MAX + 1];
static atomic_bool over;

static bool going_on(void)
{
    return !atomic_load_explicit(&over, memory_order_relaxed);
}

static void pause_us(uint64_t us)
{
    mem_wait_until_ns(mem_now_ns() + us * 1000U);
}

static void *purge(void *argument)
{
    struct worker *worker = argument;
    struct bench_rng rng = bench_rng_seed((uint64_t)params[SEED].value, worker->index);
    static _Thread_local void *blocks[BATCH_MAX];

    while (going_on()) {
        size_t left_bytes = (size_t)params[MIB].value << 20;
        size_t count = 0;

        while (count < BATCH_MAX && left_bytes > 0) {
            size_t size_bytes = bench_size_log(&rng, LARGE_LOW, LARGE_HIGH);

            blocks[count++] = mem_block_new(size_bytes);
            left_bytes -= size_bytes < left_bytes ? size_bytes : left_bytes;
        }
        mem_shuffle(blocks, count, &rng);
        for (size_t i = 0; i < count; i++) {
            bench_block_free(blocks[i]);
        }
        worker->blocks += count;
        pause_us((PAUSE_MIN_MS + bench_rng_below(&rng, PAUSE_SPREAD_MS)) * 1000U);
    }
    return NULL;
}

static void *call(void *argument)
{
    struct worker *worker = argument;
    struct spans *spans = &worker->spans;
    struct bench_rng rng = bench_rng_seed((uint64_t)params[SEED].value, worker->index);
    static _Thread_local void *slots[SLOTS];

    while (going_on()) {
        for (int i = 0; i < BURST; i++) {
            void **slot = &slots[bench_rng_below(&rng, SLOTS)];
            size_t size_bytes = bench_size_small(&rng);
            uint64_t began;
            uint64_t ended;

            if (*slot) {
                bench_block_size(*slot);
                began = ticks_now();
                free(*slot);
                hist_add(&spans->free_ticks, ticks_now() - began);
            }
            began = ticks_now();
            *slot = malloc(size_bytes);
            ended = ticks_now();
            hist_add(&spans->malloc_ticks, ended - began);
            if (!*slot) {
                bench_die("malloc");
            }
            bench_touch(*slot, size_bytes, bench_mark(size_bytes));
        }
        worker->blocks += BURST;
        pause_us(1000);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        if (slots[i]) {
            bench_block_free(slots[i]);
        }
    }
    return NULL;
}

static void *look(void *argument)
{
    struct worker *worker = argument;
    struct spans *spans = &worker->spans;
    struct bench_rng rng = bench_rng_seed((uint64_t)params[SEED].value, worker->index);
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);

    while (going_on()) {
        size_t size_bytes = bench_size_log(&rng, FRESH_LOW, FRESH_HIGH);
        unsigned char *block = malloc(size_bytes);
        uint64_t began;
        void *mapping;

        if (!block) {
            bench_die("malloc");
        }
        for (size_t i = 0; i < size_bytes; i += page_bytes) {
            began = ticks_now();
            *(volatile unsigned char *)(block + i) = 1;
            hist_add(&spans->touch_ticks, ticks_now() - began);
            began = ticks_now();
            hist_add(&spans->nothing_ticks, ticks_now() - began);
        }
        free(block);
        began = ticks_now();
        mapping = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapping == MAP_FAILED) {
            bench_die("mmap");
        }
        munmap(mapping, MAP_BYTES);
        hist_add(&spans->map_ticks, ticks_now() - began);
        worker->blocks++;
        pause_us(2000);
    }
    return NULL;
}

static void note(const char *what, const char *which, uint64_t ticks)
{
    char name[64];

    snprintf(name, sizeof(name), "%s_%s_ns", what, which);
    bench_probe_note(name, (uint64_t)ticks_to_ns(ticks));
}

static void note_spans(const char *what, const struct hist *ticks)
{
    note(what, "p50", hist_percentile(ticks, 0.5));
    note(what, "p99", hist_percentile(ticks, 0.99));
    note(what, "p999", hist_percentile(ticks, 0.999));
    note(what, "max", ticks->max);
}

static void merge(struct spans *into, const struct spans *from)
{
    hist_merge(&into->malloc_ticks, &from->malloc_ticks);
    hist_merge(&into->free_ticks, &from->free_ticks);
    hist_merge(&into->touch_ticks, &from->touch_ticks);
    hist_merge(&into->map_ticks, &from->map_ticks);
    hist_merge(&into->nothing_ticks, &from->nothing_ticks);
}

int main(int argc, char **argv)
{
    static struct spans all;
    uint64_t blocks = 0;
    size_t callers;
    size_t count;

    bench_args(argc, argv, params, PARAM_COUNT, NULL);
    callers = (size_t)params[CALLERS].value;
    count = callers + (size_t)params[PURGERS].value + 1;
    bench_sizes_init();
    ticks_init();
    bench_probe_start("storm");
    for (size_t i = 0; i < count; i++) {
        workers[i].index = i;
        workers[i].id = bench_thread_start(i == 0 ? look : i <= callers ? call : purge, &workers[i]);
    }
    mem_wait_until_ns(mem_now_ns() + (uint64_t)params[MS].value * 1000000U);
    atomic_store_explicit(&over, true, memory_order_relaxed);
    for (size_t i = 0; i < count; i++) {
        bench_thread_join(workers[i].id);
        merge(&all, &workers[i].spans);
        blocks += workers[i].blocks;
    }
    note_spans("malloc", &all.malloc_ticks);
    note_spans("free", &all.free_ticks);
    note_spans("touch", &all.touch_ticks);
    note_spans("map", &all.map_ticks);
    note_spans("nothing", &all.nothing_ticks);
    return bench_probe_finish(blocks, 0);
}
