/* SPDX-License-Identifier: MIT
 *
 * Destructors of thread-specific data allocate and free in every round up to the last one, with more keys
 * than the 32 whose values glibc stores without allocating; what they leave behind is freed by others.
 *
 * A library that gives up a thread's cache in a key destructor of its own is called somewhere among these:
 * what is allocated after that must work and must not be lost.
 */
#include "conform/conform.h"

#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { KEYS = 64, THREADS = 60, LEFT_MAX = THREADS * KEYS };

struct value {
    size_t key_idx;
    unsigned round;
};

static pthread_key_t keys[KEYS];
static atomic_uint last_round_count;
static atomic_uint left_count;
static void *left_blocks[LEFT_MAX];

static void set_value(size_t key_idx, unsigned round)
{
    struct value *value = malloc(sizeof(*value));
    if (CHECK(value != NULL)) {
        *value = (struct value){key_idx, round};
        CHECK(pthread_setspecific(keys[key_idx], value) == 0);
    }
}

static size_t size_of(size_t key_idx, size_t i)
{
    return 24 + key_idx * 12 * i;
}

static void destroy_value(void *argument)
{
    struct value value = *(struct value *)argument;
    free(argument);
    void *blocks[20];
    for (size_t i = 0; i < 20; i++) {
        blocks[i] = malloc(size_of(value.key_idx, i));
        if (CHECK(blocks[i] != NULL)) {
            conform_fill(blocks[i], size_of(value.key_idx, i), i);
        }
    }
    for (size_t i = 0; i < 20; i++) {
        CHECK(conform_differs(blocks[i], size_of(value.key_idx, i), i) == size_of(value.key_idx, i));
        free(blocks[i]);
    }
    if (value.round + 1 < PTHREAD_DESTRUCTOR_ITERATIONS) {
        set_value(value.key_idx, value.round + 1);
        return;
    }
    /* The last round: no destructor of anybody runs again in this thread. */
    atomic_fetch_add(&last_round_count, 1);
    void *left = malloc(100 + value.key_idx);
    if (CHECK(left != NULL)) {
        conform_fill(left, 100 + value.key_idx, value.key_idx);
        left_blocks[atomic_fetch_add(&left_count, 1)] = left;
    }
}

static void *thread_main(void *value)
{
    free(value);
    for (size_t i = 0; i < KEYS; i++) {
        set_value(i, 0);
    }
    free(malloc(5000));
    return NULL;
}

/* A thread whose first call of the family is the free in its destructor; main allocated the value. */
static void *thread_late(void *value)
{
    CHECK(pthread_setspecific(keys[3], value) == 0);
    return NULL;
}

int main(void)
{
    conform_start(60);
    for (size_t i = 0; i < KEYS; i++) {
        if (!CHECK(pthread_key_create(&keys[i], destroy_value) == 0)) {
            return conform_end();
        }
    }
    pthread_t threads[4];
    size_t started = 0;
    for (; started + 4 < THREADS; started += 4) {
        for (size_t i = 0; i < 4; i++) {
            struct value *value = malloc(sizeof(*value));
            *value = (struct value){3, 0};
            CHECK(pthread_create(&threads[i], NULL, i == 3 ? thread_late : thread_main, value) == 0);
        }
        for (size_t i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
        }
    }
    size_t expected = started / 4 * (3 * KEYS + 1);
    CHECK(atomic_load(&last_round_count) == expected, "%u last rounds of %zu", atomic_load(&last_round_count),
          expected);
    for (size_t i = 0; i < atomic_load(&left_count); i++) {
        CHECK(malloc_usable_size(left_blocks[i]) >= 100);
        free(left_blocks[i]);
    }
    return conform_end();
}
