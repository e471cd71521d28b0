/* SPDX-License-Identifier: MIT
 *
 * How many mappings does the allocator make, at most, under patterns that are known to split them?
 *
 * The kernel allows a process 65,530 by default and fails mmap and munmap beyond. Counted are all mappings without a
 * file that are not the program's (maps.c); what the C library had before main is subtracted by whoever compares, by
 * the count that mode=start gives without any other allocator.
 */
#include <dlfcn.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem.h"

enum { COUNTS = 8, BLOCKS_MAX = 1 << 20, THREADS_MAX = 4096, GENERATIONS = 8 };

enum { BYTES, MIB, OPS, THREADS, WAIT, SEED, PARAM_COUNT };

static struct bench_param params[PARAM_COUNT] = {
    [BYTES] = {"bytes", "mode=board: size of a block", 129L << 10, 16, 1L << 28, false},
    [MIB] = {"mib", "MiB of blocks at a time", 512, 1, 1L << 20, true},
    [OPS] = {"ops", "mode=realloc: blocks that change their size", 50000, 1, 1L << 30, true},
    [THREADS] = {"threads", "mode=threads: threads", 1000, 1, THREADS_MAX, true},
    [WAIT] = {"wait", "mode=board: milliseconds between the frees and the next blocks", 300, 0, 600000,
              false},
    [SEED] = {"seed", "of the random numbers", 1, 0, 1L << 40, false},
};

static long anon_max;
static uint64_t blocks_made;
static uint64_t check;
static struct bench_rng rng;

/* `allowed` are mappings that the pattern itself accounts for. */
static void count_mappings(long allowed)
{
    long count = mem_mappings_count(true) - allowed;

    anon_max = count > anon_max ? count : anon_max;
}

static void *make(size_t size_bytes)
{
    blocks_made++;
    return mem_block_new(size_bytes);
}

static void count_at_times(size_t done, size_t all)
{
    if (done % (all / COUNTS + 1) == 0) {
        count_mappings(0);
    }
}

/* Blocks of one size, every second freed, the holes filled with others of half the size, and all freed. */
static void board(void **blocks)
{
    size_t size_bytes = (size_t)params[BYTES].value;
    size_t count = ((size_t)params[MIB].value << 20) / size_bytes;

    count = count > BLOCKS_MAX ? BLOCKS_MAX : count;
    for (size_t i = 0; i < count; i++) {
        count_at_times(i, count);
        blocks[i] = make(size_bytes);
    }
    bench_probe_full();
    for (size_t i = 1; i < count; i += 2) {
        count_at_times(i - 1, count);
        check += bench_block_free(blocks[i]);
    }
    mem_wait_ms(params[WAIT].value);
    count_mappings(0);
    for (size_t i = 1; i < count; i += 2) {
        count_at_times(i - 1, count);
        blocks[i] = make(size_bytes / 2 < sizeof(uint64_t) ? sizeof(uint64_t) : size_bytes / 2);
    }
    for (size_t i = 0; i < count; i++) {
        count_at_times(i, count);
        check += bench_block_free(blocks[i]);
    }
}

/* Blocks of 16 bytes to 1 MiB that grow and shrink at random. Smaller than what may move by mremap. */
static void realloc_storm(void **blocks)
{
    size_t count = (((size_t)params[MIB].value << 20) >> 18) + 1;

    for (size_t i = 0; i < count; i++) {
        blocks[i] = make(bench_size_log(&rng, 4, 20));
    }
    for (long i = 0; i < params[OPS].value; i++) {
        size_t slot = bench_rng_below(&rng, count);
        size_t size_bytes = bench_size_log(&rng, 4, 20);
        void *block = realloc(blocks[slot], size_bytes);

        if (!block) {
            bench_die("realloc");
        }
        check += bench_block_size(block);
        bench_touch(block, size_bytes, bench_mark(size_bytes));
        blocks[slot] = block;
        blocks_made++;
        count_at_times((size_t)i, (size_t)params[OPS].value);
    }
    bench_probe_full();
    for (size_t i = 0; i < count; i++) {
        check += bench_block_free(blocks[i]);
    }
}

static struct bench_gate gate = BENCH_GATE_INIT;

enum { OF_THREAD = 32 };

static void *hold_some(void *argument)
{
    struct bench_rng own = bench_rng_seed((uint64_t)params[SEED].value, (uintptr_t)argument);
    void *blocks[OF_THREAD];

    for (size_t i = 0; i < OF_THREAD; i++) {
        blocks[i] = mem_block_new(i == 0 ? 129U << 10 : bench_size_small(&own));
    }
    for (size_t i = 1; i < OF_THREAD; i += 2) {
        bench_block_free(blocks[i]);
    }
    bench_gate_pass(&gate);
    for (size_t i = 0; i < OF_THREAD; i += 2) {
        bench_block_free(blocks[i]);
    }
    return NULL;
}

static void many_threads(void **blocks)
{
    size_t threads = (size_t)params[THREADS].value;
    pthread_t *ids = (pthread_t *)blocks;

    for (size_t i = 0; i < threads; i++) {
        ids[i] = mem_thread_start(hold_some, (void *)i); // NOLINT(performance-no-int-to-ptr)
        count_at_times(i, threads);
    }
    while (mem_gate_arrived(&gate) < threads) {
        mem_wait_ms(10);
    }
    count_mappings(0);
    bench_probe_full();
    mem_gate_open(&gate);
    for (size_t i = 0; i < threads; i++) {
        bench_thread_join(ids[i]);
    }
    blocks_made += threads * OF_THREAD;
}

/* Libraries come and go while blocks do, so that their images lie between an allocator's areas. */
static void libraries(void **blocks)
{
    static const char *const names[] = {
        "libm.so.6",     "libstdc++.so.6",       "libgcc_s.so.1", "libz.so.1",    "libresolv.so.2",
        "libcrypt.so.1", "libBrokenLocale.so.1", "libanl.so.1",   "libutil.so.1", "libthread_db.so.1"};
    enum { NAMES = sizeof(names) / sizeof(names[0]), ROUNDS = 20, OF_ROUND = 64 };
    void *opened[NAMES];
    uint64_t loaded = 0;
    size_t live = 0;

    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < NAMES; i++) {
            opened[i] = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
            loaded += opened[i] != NULL;
            for (size_t j = 0; j < OF_ROUND; j++) {
                blocks[live++] = make(bench_size_log(&rng, 4, 18));
            }
        }
        count_mappings(0);
        for (size_t i = 0; i < NAMES; i++) {
            if (opened[i]) {
                dlclose(opened[i]);
            }
        }
        mem_shuffle(blocks, live, &rng);
        while (live > (round + 1) * OF_ROUND) {
            check += bench_block_free(blocks[--live]);
        }
        count_mappings(0);
    }
    bench_probe_full();
    bench_probe_note("loaded", loaded);
    while (live > 0) {
        check += bench_block_free(blocks[--live]);
    }
}

/* What one generation does: frees half of what it inherited, and makes the same number of other blocks. */
static void live_once(void **blocks, size_t count, long generation)
{
    for (size_t i = (size_t)generation % 2; i < count; i += 2) {
        check += bench_block_free(blocks[i]);
        blocks[i] = make(bench_size_log(&rng, 12, 18));
    }
    count_mappings(generation);
}

/* Each generation forks the next one, waits for it and ends. What a process counted, less one for each generation
 * before it, comes to the first through a shared page. */
static void descend(void **blocks, size_t count, long generation, long *told)
{
    int status = 0;
    pid_t child = fork();

    if (child < 0) {
        bench_die("fork");
    }
    if (child > 0) {
        if (waitpid(child, &status, 0) != child || status != 0) {
            errno = ECHILD;
            bench_die("a generation");
        }
        return;
    }
    live_once(blocks, count, generation);
    *told = anon_max > *told ? anon_max : *told;
    if (generation < GENERATIONS) {
        descend(blocks, count, generation + 1, told);
    }
    _exit(0);
}

static void generations(void **blocks)
{
    size_t count = (((size_t)params[MIB].value << 20) >> 18) + 1;
    long *told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (told == MAP_FAILED) {
        bench_die("mmap");
    }
    for (size_t i = 0; i < count; i++) {
        blocks[i] = make(bench_size_log(&rng, 12, 18));
    }
    count_mappings(0);
    bench_probe_full();
    descend(blocks, count, 1, told);
    anon_max = *told > anon_max ? *told : anon_max;
    munmap(told, sizeof(*told));
    for (size_t i = 0; i < count; i++) {
        check += bench_block_free(blocks[i]);
    }
}

static void nothing(void **blocks)
{
    (void)blocks;
}

int main(int argc, char **argv)
{
    static const char *const modes[] = {"board", "realloc", "threads", "dlopen", "fork", "start", NULL};
    static void (*const patterns[])(void **) = {board,     realloc_storm, many_threads,
                                                libraries, generations,   nothing};
    long start_count;
    void **blocks;
    int mode;

    mode = bench_args(argc, argv, params, PARAM_COUNT, modes);
    bench_sizes_init();
    rng = bench_rng_seed((uint64_t)params[SEED].value, 0);
    blocks = mem_table(BLOCKS_MAX + 1, sizeof(*blocks));
    mem_stacks_init((size_t)params[THREADS].value);
    bench_probe_start("mappings");
    start_count = mem_mappings_count(false);
    count_mappings(0);
    patterns[mode](blocks);
    bench_probe_note("anon_start", (uint64_t)start_count);
    bench_probe_note("anon_max", (uint64_t)(anon_max > 0 ? anon_max : 0));
    return bench_probe_finish(blocks_made, check);
}
