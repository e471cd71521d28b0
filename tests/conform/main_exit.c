/* SPDX-License-Identifier: MIT
 *
 * main leaves by pthread_exit() while other threads go on allocating; the last one ends the process.
 */
#include "conform/conform.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, ROUNDS = 40 };

static atomic_uint running = THREADS;
static void *from_main[1000];

static void *thread_main(void *argument)
{
    size_t first = (size_t)(uintptr_t)argument;
    for (size_t round = 0; round < ROUNDS; round++) {
        void *blocks[300];
        for (size_t i = 0; i < 300; i++) {
            blocks[i] = malloc(i * 50);
            conform_fill(blocks[i], i * 50, i);
        }
        for (size_t i = 0; i < 300; i++) {
            CHECK(conform_differs(blocks[i], i * 50, i) == i * 50);
            free(blocks[i]);
        }
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    for (size_t i = first; i < 1000; i += THREADS) {
        CHECK(conform_differs(from_main[i], 100, i) == 100);
        free(from_main[i]);
    }
    if (atomic_fetch_sub(&running, 1) == 1) {
        exit(conform_end());
    }
    return NULL;
}

int main(void)
{
    conform_start(30);
    for (size_t i = 0; i < 1000; i++) {
        from_main[i] = malloc(100);
        conform_fill(from_main[i], 100, i);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, thread_main, (void *)(uintptr_t)i) != 0) {
            return 1;
        }
        pthread_detach(thread);
    }
    pthread_exit(NULL);
}
