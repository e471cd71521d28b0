/* SPDX-License-Identifier: MIT
 *
 * Threads that live for a moment: each frees what its predecessor left, leaves something itself, and
 * allocates once more in the destructor of a key while it dies.
 */
#include "stress/stress.h"

#include <pthread.h>
#include <stdatomic.h>

enum { LEFT_SLOTS = 64, BLOCKS_EACH = 40 };

static _Atomic(struct stress_block *) left[LEFT_SLOTS];
static pthread_key_t key;
static atomic_uint lives;

static void leave_something(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument;
    struct stress_block *block = stress_block_new(stress_size(&random), 0, &random);
    stress_block_free(atomic_exchange(&left[conform_random(&random) % LEFT_SLOTS], block));
}

static void *live_shortly(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument;
    struct stress_block *blocks[BLOCKS_EACH];
    CHECK(pthread_setspecific(key, argument) == 0);
    for (unsigned i = 0; i < BLOCKS_EACH; i++) {
        blocks[i] = stress_block_new(stress_size(&random) / 8 + sizeof(*blocks[i]), 0, &random);
    }
    for (unsigned i = 0; i < BLOCKS_EACH; i++) {
        stress_block_free(i % 4 == 0 ? atomic_exchange(&left[i], blocks[i]) : blocks[i]);
    }
    atomic_fetch_add(&lives, 1);
    return NULL;
}

/* Each worker keeps a handful of short-lived threads in the air. */
static void *give_birth(void *argument)
{
    enum { IN_FLIGHT = 4 };
    struct stress_thread *self = argument;
    while (stress_goes_on(self->stress)) {
        pthread_t threads[IN_FLIGHT];
        unsigned started = 0;
        for (; started < IN_FLIGHT; started++) {
            void *seed = (void *)(uintptr_t)(conform_random(&self->random) | 1);
            if (!CHECK(pthread_create(&threads[started], NULL, live_shortly, seed) == 0)) {
                break;
            }
        }
        for (unsigned i = 0; i < started; i++) {
            pthread_join(threads[i], NULL);
        }
    }
    return NULL;
}

void stress_thread_exit(const struct stress *stress)
{
    CHECK(pthread_key_create(&key, leave_something) == 0);
    stress_run_threads(stress, give_birth, NULL);
    CHECK(atomic_load(&lives) > 0);
    for (unsigned i = 0; i < LEFT_SLOTS; i++) {
        stress_block_free(atomic_exchange(&left[i], NULL));
    }
}
