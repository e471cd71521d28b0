/* SPDX-License-Identifier: MIT
 *
 * A profiler's signal, a thousand times a second, into threads that allocate. The handler does not allocate,
 * as it may not; it must find the program able to go on, with system calls of the allocator interrupted at
 * any point.
 */
#include "conform/conform.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

enum { THREADS = 3, RUN_S = 3 };

static atomic_uint signals;
static atomic_bool stop;

static void handler(int number)
{
    (void)number;
    atomic_fetch_add_explicit(&signals, 1, memory_order_relaxed);
}

static void *churn(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument;
    struct {
        void *block;
        size_t size_bytes;
    } slots[200] = {{NULL, 0}};
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        size_t i = conform_random(&random) % 200;
        size_t step = conform_random(&random) % 64;
        size_t size_bytes = step == 0 ? conform_between(&random, 1u << 20, 40u << 20) : 1u << step % 18;
        if (slots[i].block != NULL) {
            CHECK(conform_stamp_differs(slots[i].block, slots[i].size_bytes, 4096, i) == slots[i].size_bytes);
        }
        free(slots[i].block);
        slots[i].block = malloc(size_bytes);
        slots[i].size_bytes = size_bytes;
        if (CHECK(slots[i].block != NULL)) {
            conform_stamp(slots[i].block, size_bytes, 4096, i);
        }
        if (step == 1) {
            malloc_trim(0);
        }
    }
    for (size_t i = 0; i < 200; i++) {
        free(slots[i].block);
    }
    return NULL;
}

int main(void)
{
    conform_start(60);
    struct sigaction action = {.sa_handler = handler};
    /* No SA_RESTART: interrupted calls come back with EINTR. */
    CHECK(sigaction(SIGPROF, &action, NULL) == 0);
    struct itimerval each_ms = {{0, 1000}, {0, 1000}};
    CHECK(setitimer(ITIMER_PROF, &each_ms, NULL) == 0);
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)) == 0);
    }
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += RUN_S;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0) {
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    setitimer(ITIMER_PROF, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    CHECK(atomic_load(&signals) > 100, "only %u signals came", atomic_load(&signals));
    return conform_end();
}
