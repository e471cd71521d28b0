/* SPDX-License-Identifier: MIT
 *
 * Tables, blocks, sizes and waits of the programs about memory given back.
 */
#include <errno.h>
#include <sys/mman.h>
#include <time.h>

#include "mem.h"

enum { GLANCE_MS = 100 };

enum { STACK_BYTES = 256 * 1024 };

static struct {
    unsigned char *next;
    unsigned char *end;
} stacks;

static const uint64_t ns_per_s = 1000000000U;

void *mem_table(size_t count, size_t item_bytes)
{
    size_t size_bytes = (count * item_bytes + BENCH_TOUCH_BYTES - 1) & ~(size_t)(BENCH_TOUCH_BYTES - 1);
    void *table =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (table == MAP_FAILED) {
        bench_die("mmap of a table");
    }
    mem_mappings_exclude(table, size_bytes);
    return table;
}

uint64_t mem_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * ns_per_s + (uint64_t)now.tv_nsec;
}

void mem_wait_until_ns(uint64_t moment_ns)
{
    struct timespec moment = {(time_t)(moment_ns / ns_per_s), (long)(moment_ns % ns_per_s)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL) == EINTR) {
    }
}

void mem_wait_ms(long ms)
{
    uint64_t end_ns = mem_now_ns() + (uint64_t)ms * 1000000U;
    uint64_t next_ns;

    do {
        bench_probe_glance();
        next_ns = mem_now_ns() + GLANCE_MS * 1000000U;
        mem_wait_until_ns(next_ns < end_ns ? next_ns : end_ns);
    } while (next_ns < end_ns);
}

void mem_stacks_init(size_t threads)
{
    size_t size_bytes = threads * STACK_BYTES;
    void *area = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

    if (area == MAP_FAILED) {
        bench_die("mmap of the stacks");
    }
    mem_mappings_exclude(area, size_bytes);
    stacks.next = area;
    stacks.end = stacks.next + size_bytes;
}

pthread_t mem_thread_start(void *(*body)(void *), void *argument)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int error = ENOMEM;

    if (stacks.next < stacks.end && (error = pthread_attr_init(&attributes)) == 0) {
        error = pthread_attr_setstack(&attributes, stacks.next, STACK_BYTES);
        stacks.next += STACK_BYTES;
        if (error == 0) {
            error = pthread_create(&thread, &attributes, body, argument);
        }
        pthread_attr_destroy(&attributes);
    }
    if (error != 0) {
        errno = error;
        bench_die("pthread_create");
    }
    return thread;
}

size_t mem_gate_arrived(struct bench_gate *gate)
{
    size_t arrived;

    pthread_mutex_lock(&gate->lock);
    arrived = gate->arrived;
    pthread_mutex_unlock(&gate->lock);
    return arrived;
}

void mem_gate_open(struct bench_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->opening);
    pthread_mutex_unlock(&gate->lock);
}

void mem_note_kib(const char *name, long kib)
{
    bench_probe_note(name, kib > 0 ? (uint64_t)kib : 0);
}

void *mem_block_new(size_t size_bytes)
{
    unsigned char *block = bench_block_new(size_bytes);

    if (size_bytes > BENCH_TOUCH_BYTES) {
        *(volatile unsigned char *)(block + size_bytes - 1) = 1;
    }
    return block;
}

size_t mem_size_even(struct bench_rng *rng, unsigned low_bits, unsigned high_bits)
{
    /* A doubling with sizes twice as large is drawn half as often: the number of leading zeroes of a random number
     * has just that distribution. What is drawn beyond the last doubling begins again. */
    for (;;) {
        unsigned bits = low_bits + (unsigned)__builtin_clzll(bench_rng_next(rng) | 1);

        if (bits < high_bits) {
            return ((size_t)1 << bits) + bench_rng_below(rng, (size_t)1 << bits);
        }
    }
}

size_t mem_size_even_mean(unsigned low_bits, unsigned high_bits)
{
    double blocks = 0.0;
    double bytes = 0.0;

    for (unsigned bits = low_bits; bits < high_bits; bits++) {
        double share = 1.0 / (double)((size_t)1 << (bits - low_bits));

        blocks += share;
        bytes += share * 1.5 * (double)((size_t)1 << bits);
    }
    return (size_t)(bytes / blocks);
}

void mem_shuffle(void **blocks, size_t count, struct bench_rng *rng)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = bench_rng_below(rng, i);
        void *block = blocks[i - 1];

        blocks[i - 1] = blocks[other];
        blocks[other] = block;
    }
}
