/* SPDX-License-Identifier: MIT
 *
 * A block may be freed or resized by any thread, also after the thread that allocated it has gone.
 */
#include "conform/conform.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

enum { THREADS = 4, BLOCKS = 3000 };

struct block {
    void *address;
    size_t size_bytes;
    uint64_t tag;
};

struct batch {
    struct block blocks[BLOCKS];
    uint64_t seed;
};

static struct batch batches[THREADS];

static void *fill_batch(void *argument)
{
    struct batch *batch = argument;
    uint64_t random = batch->seed;
    for (size_t i = 0; i < BLOCKS; i++) {
        struct block *block = &batch->blocks[i];
        block->size_bytes = conform_between(&random, 0, (size_t)16 << conform_between(&random, 0, 13));
        block->tag = conform_random(&random);
        block->address = malloc(block->size_bytes);
        if (CHECK(block->address != NULL)) {
            conform_fill(block->address, block->size_bytes, block->tag);
        }
    }
    return NULL;
}

static void *empty_batch(void *argument)
{
    struct batch *batch = argument;
    for (size_t i = 0; i < BLOCKS; i++) {
        struct block *block = &batch->blocks[i];
        CHECK(conform_differs(block->address, block->size_bytes, block->tag) == block->size_bytes);
        if (i % 8 == 0) {
            void *moved = realloc(block->address, block->size_bytes * 2 + 1);
            CHECK(moved != NULL &&
                  conform_differs(moved, block->size_bytes, block->tag) == block->size_bytes);
            free(moved);
        } else {
            CHECK(malloc_usable_size(block->address) >= block->size_bytes);
            free(block->address);
        }
    }
    return NULL;
}

static void run_all(void *(*work)(void *), size_t shift)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, work, &batches[(i + shift) % THREADS]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

int main(void)
{
    conform_start(60);
    uint64_t random = conform_seed();
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < THREADS; i++) {
            batches[i].seed = conform_random(&random);
        }
        run_all(fill_batch, 0);
        run_all(empty_batch, 1);
        /* Threads allocate, main frees, and the other way round. */
        run_all(fill_batch, 0);
        for (size_t i = 0; i < THREADS; i++) {
            empty_batch(&batches[i]);
            fill_batch(&batches[i]);
        }
        run_all(empty_batch, 2);
    }
    return conform_end();
}
