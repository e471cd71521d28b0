/* SPDX-License-Identifier: MIT
 *
 * exit() while other threads allocate: the process ends with its status, neither hung nor killed.
 */
#include "conform/conform.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, RUNS = 40, STATUS = 37 };

static void *allocate_for_ever(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument;
    void *blocks[64] = {NULL};
    for (;;) {
        size_t i = conform_random(&random) % 64;
        free(blocks[i]);
        blocks[i] = malloc(conform_between(&random, 1, 100000));
    }
    return NULL;
}

static void handler(void)
{
    free(malloc(1000));
}

static void child(unsigned run)
{
    alarm(20);
    for (uintptr_t i = 0; i < THREADS; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, allocate_for_ever, (void *)(i + 1)) != 0) {
            _exit(2);
        }
    }
    atexit(handler);
    nanosleep(&(struct timespec){.tv_nsec = (long)(run % 8) * 1000000}, NULL);
    exit(STATUS);
}

int main(void)
{
    conform_start(60);
    for (unsigned run = 0; run < RUNS; run++) {
        int pid = fork();
        if (pid == 0) {
            child(run);
        }
        int status = conform_wait(pid);
        CHECK(status == STATUS, "run %u ended with %d", run, status);
    }
    return conform_end();
}
