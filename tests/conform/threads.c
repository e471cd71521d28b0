/* SPDX-License-Identifier: MIT
 *
 * Threads at the edges: 1,000 at once, and threads whose stack is as small as the system allows.
 */
#include "conform/conform.h"

#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 1000, BLOCKS = 12 };

static pthread_barrier_t barrier;
static void *blocks[THREADS][BLOCKS];

static size_t size_of(size_t thread_idx, size_t i)
{
    return 1 + (thread_idx * 37 + i * 1009) % 9000;
}

static void *one_of_many(void *argument)
{
    size_t self = (size_t)(uintptr_t)argument;
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[self][i] = malloc(size_of(self, i));
        if (CHECK(blocks[self][i] != NULL)) {
            conform_fill(blocks[self][i], size_of(self, i), self + i);
        }
    }
    pthread_barrier_wait(&barrier);
    size_t other = (self + 313) % THREADS;
    for (size_t i = 0; i < BLOCKS; i++) {
        CHECK(conform_differs(blocks[other][i], size_of(other, i), other + i) == size_of(other, i));
        free(blocks[other][i]);
    }
    pthread_barrier_wait(&barrier);
    free(malloc(100));
    return NULL;
}

static void thousand_threads(void)
{
    static pthread_t threads[THREADS];
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 128 * 1024);
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++) {
        int error = pthread_create(&threads[i], &attributes, one_of_many, (void *)(uintptr_t)i);
        if (error != 0) {
            /* The threads that did start wait at the barrier; the process ends with them. */
            CHECK(false, "thread %zu: error %d", i, error);
            _exit(1);
        }
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_attr_destroy(&attributes);
}

static void *on_small_stack(void *unused)
{
    (void)unused;
    for (size_t size_bytes = 1; size_bytes < 8u << 20; size_bytes = size_bytes * 3 + 1) {
        char *block = malloc(size_bytes);
        if (!CHECK(block != NULL)) {
            break;
        }
        memset(block, 1, size_bytes);
        block = realloc(block, size_bytes * 2);
        CHECK(block != NULL && block[0] == 1);
        void *zeroed = calloc(3, size_bytes);
        void *aligned = aligned_alloc(4096, size_bytes);
        CHECK(zeroed != NULL && aligned != NULL);
        free(zeroed);
        free(block);
        free(aligned);
    }
    /* Misses, flushes and trims are the deep paths. */
    static void *many[3000];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 3000; i++) {
            many[i] = malloc(i * 17 % 5000);
        }
        for (size_t i = 0; i < 3000; i++) {
            free(many[i]);
        }
    }
    malloc_trim(0);
    return NULL;
}

static void small_stacks(void)
{
    long least_bytes = sysconf(_SC_THREAD_STACK_MIN);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstacksize(&attributes, (size_t)least_bytes) == 0, "%ld bytes", least_bytes);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        if (CHECK(pthread_create(&thread, &attributes, on_small_stack, NULL) == 0)) {
            pthread_join(thread, NULL);
        }
    }
    pthread_attr_destroy(&attributes);
}

int main(void)
{
    conform_start(60);
    small_stacks();
    thousand_threads();
    return conform_end();
}
