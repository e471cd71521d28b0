/* SPDX-License-Identifier: MIT
 *
 * setuid() in a program with threads: the C library signals every thread of the process to change with it, so
 * a thread that blocks all signals behind its back would hang this call.
 */
#include "conform/conform.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, NOBODY = 65534, ROOM_BYTES = 64 << 20 };

static atomic_bool stop;

static void *churn(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument;
    void *blocks[300] = {NULL};
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        size_t i = conform_random(&random) % 300;
        free(blocks[i]);
        blocks[i] = malloc(conform_between(&random, 1, 100000));
        CHECK(blocks[i] != NULL);
    }
    for (size_t i = 0; i < 300; i++) {
        free(blocks[i]);
    }
    CHECK(geteuid() == NOBODY, "this thread is still %d", (int)geteuid());
    return NULL;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

int main(void)
{
    conform_start(20);
    if (geteuid() != 0) {
        conform_skip("only root can give up its uid");
    }
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)) == 0);
    }
    /* A heap large enough for a background thread of the library, if it has one, to be running by now. */
    static char *blocks[1000];
    for (size_t i = 0; i < 1000; i++) {
        blocks[i] = malloc(ROOM_BYTES / 1000);
        memset(blocks[i], 1, ROOM_BYTES / 1000);
    }
    for (size_t i = 0; i < 1000; i++) {
        free(blocks[i]);
    }
    pause_ms(200);
    CHECK(setgid(NOBODY) == 0);
    CHECK(setuid(NOBODY) == 0);
    CHECK(geteuid() == NOBODY && setuid(0) != 0, "the privileges are still there");
    pause_ms(50);
    atomic_store(&stop, true);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    return conform_end();
}
