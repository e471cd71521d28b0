/* SPDX-License-Identifier: MIT
 *
 * fork() at any instant of a program whose other threads allocate and use stdio, and generations of children
 * that allocate, free their parent's blocks, start threads and fork again.
 *
 * The deadlock this looks for: fork takes the locks of stdio and of the allocator, in some order;
 * fflush(NULL), getline and open_memstream take a lock of stdio and allocate under it. A watchdog of each
 * child turns a hang into a failure.
 */
#include "conform/conform.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FORKS = 160, GENERATIONS = 8, SHARED_BLOCKS = 400, CHILD_LIMIT_S = 20 };

static atomic_bool stop;
static void *shared[SHARED_BLOCKS];

static size_t size_of(size_t i)
{
    return i % 100 == 0 ? 100000 + i : 1 + i * 11;
}

static void *allocate_all_the_time(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument;
    void *blocks[128] = {NULL};
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        size_t i = conform_random(&random) % 128;
        free(blocks[i]);
        blocks[i] = malloc(conform_between(&random, 1, (size_t)32 << conform_random(&random) % 14));
    }
    for (size_t i = 0; i < 128; i++) {
        free(blocks[i]);
    }
    return NULL;
}

static void *flush_all_the_time(void *unused)
{
    (void)unused;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        fflush(NULL);
    }
    return NULL;
}

static void *use_streams(void *unused)
{
    (void)unused;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        char *text = NULL;
        size_t length = 0;
        FILE *stream = open_memstream(&text, &length);
        for (int i = 0; stream != NULL && i < 50; i++) {
            fprintf(stream, "line %d of a stream that grows\n", i);
        }
        if (stream != NULL) {
            fclose(stream);
        }
        free(text);
        char *line = NULL;
        size_t line_bytes = 0;
        FILE *file = fopen("/proc/self/status", "r");
        while (file != NULL && getline(&line, &line_bytes, file) > 0) {
        }
        free(line);
        if (file != NULL) {
            fclose(file);
        }
    }
    return NULL;
}

static void *thread_of_child(void *unused)
{
    (void)unused;
    void *blocks[100];
    for (size_t i = 0; i < 100; i++) {
        blocks[i] = calloc(1, i * 300);
    }
    for (size_t i = 0; i < 100; i++) {
        free(blocks[i]);
    }
    return NULL;
}

/* The life of one child; ends in 0, or in the number of the step that failed. */
static int live(unsigned generations_left)
{
    alarm(CHILD_LIMIT_S);
    void *own[200];
    for (size_t i = 0; i < 200; i++) {
        own[i] = malloc(size_of(i));
        if (own[i] == NULL) {
            return 10;
        }
        conform_fill(own[i], size_of(i), i + 7);
    }
    /* The blocks of the parent: checked, some resized, most freed; the next generation gets new ones. */
    for (size_t i = 0; i < SHARED_BLOCKS; i++) {
        if (conform_differs(shared[i], size_of(i), i) != size_of(i)) {
            return 11;
        }
        if (i % 4 == 0) {
            shared[i] = realloc(shared[i], size_of(i) + 1000);
        } else {
            free(shared[i]);
            shared[i] = malloc(size_of(i));
        }
        if (shared[i] == NULL) {
            return 12;
        }
        conform_fill(shared[i], size_of(i), i);
    }
    pthread_t thread;
    if (pthread_create(&thread, NULL, thread_of_child, NULL) != 0) {
        return 13;
    }
    int status = 0;
    if (generations_left > 1) {
        int pid = fork();
        if (pid == 0) {
            _exit(live(generations_left - 1));
        }
        status = conform_wait(pid);
    }
    pthread_join(thread, NULL);
    for (size_t i = 0; i < 200; i++) {
        if (conform_differs(own[i], size_of(i), i + 7) != size_of(i)) {
            return 14;
        }
        free(own[i]);
    }
    malloc_trim(0);
    return status;
}

static void storm(unsigned seed, bool with_stdio)
{
    pthread_t threads[5];
    size_t count = 0;
    atomic_store(&stop, false);
    for (uintptr_t i = 0; i < 2; i++) {
        CHECK(pthread_create(&threads[count++], NULL, allocate_all_the_time, (void *)(seed + i)) == 0);
    }
    if (with_stdio) {
        CHECK(pthread_create(&threads[count++], NULL, flush_all_the_time, NULL) == 0);
        CHECK(pthread_create(&threads[count++], NULL, use_streams, NULL) == 0);
        CHECK(pthread_create(&threads[count++], NULL, use_streams, NULL) == 0);
    }
    for (unsigned i = 0; i < FORKS; i++) {
        int pid = fork();
        if (pid == 0) {
            int status = live(i % 12 == 0 ? GENERATIONS : 1);
            /* exit() walks the streams that another thread of the parent may have been writing at the fork,
             * which no C library promises to survive: only without that traffic. */
            if (i % 2 == 0 || with_stdio) {
                _exit(status);
            }
            exit(status);
        }
        int status = conform_wait(pid);
        CHECK(status == 0, "fork %u ended with %d", i, status);
        /* The parent goes on with its own copies. */
        free(shared[i % SHARED_BLOCKS]);
        shared[i % SHARED_BLOCKS] = malloc(size_of(i % SHARED_BLOCKS));
        conform_fill(shared[i % SHARED_BLOCKS], size_of(i % SHARED_BLOCKS), i % SHARED_BLOCKS);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
}

int main(void)
{
    conform_start(150);
    unsigned seed = (unsigned)conform_seed();
    for (size_t i = 0; i < SHARED_BLOCKS; i++) {
        shared[i] = malloc(size_of(i));
        conform_fill(shared[i], size_of(i), i);
    }
    storm(seed, true);
    storm(seed + 100, false);
    for (size_t i = 0; i < SHARED_BLOCKS; i++) {
        CHECK(conform_differs(shared[i], size_of(i), i) == size_of(i));
        free(shared[i]);
    }
    return conform_end();
}
