/* SPDX-License-Identifier: MIT
 *
 * calloc() gives zeroes from memory of every size that was written before and freed, here and in other
 * threads.
 */
#include "conform/conform.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS_MAX = 256 };

static bool is_zero(const unsigned char *bytes, size_t size_bytes)
{
    return size_bytes == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size_bytes - 1) == 0);
}

static void dirty_and_free(size_t size_bytes, size_t count)
{
    void *blocks[BLOCKS_MAX];
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(size_bytes);
        if (CHECK(blocks[i] != NULL, "%zu bytes", size_bytes)) {
            memset(blocks[i], 0xff, malloc_usable_size(blocks[i]));
        }
    }
    for (size_t i = 0; i < count; i++) {
        free(blocks[i]);
    }
}

static void expect_zeroes(size_t size_bytes, size_t count)
{
    void *blocks[BLOCKS_MAX];
    for (size_t i = 0; i < count; i++) {
        blocks[i] = i % 2 == 0 ? calloc(1, size_bytes) : calloc(size_bytes, 1);
        if (CHECK(blocks[i] != NULL, "%zu bytes", size_bytes)) {
            CHECK(is_zero(blocks[i], size_bytes), "calloc of %zu bytes is not zero", size_bytes);
            memset(blocks[i], 0xee, size_bytes);
        }
    }
    for (size_t i = 0; i < count; i++) {
        free(blocks[i]);
    }
}

static void *dirty_in_thread(void *argument)
{
    size_t size_bytes = *(const size_t *)argument;
    dirty_and_free(size_bytes, 32);
    return NULL;
}

static void recycled(size_t size_bytes)
{
    size_t count = (8u << 20) / (size_bytes + 1);
    count = count > BLOCKS_MAX ? BLOCKS_MAX : count < 2 ? 2 : count;
    dirty_and_free(size_bytes, count);
    expect_zeroes(size_bytes, count);
    /* After the first round the blocks are warm in every cache; a third of them was zeroed and dirtied again.
     */
    expect_zeroes(size_bytes, count);
}

/* Memory that is given back to the kernel between use and reuse, and memory dirtied by a thread that has
 * gone. */
static void trimmed_and_foreign(size_t size_bytes)
{
    dirty_and_free(size_bytes, 32);
    malloc_trim(0);
    expect_zeroes(size_bytes, 32);
    pthread_t thread;
    if (CHECK(pthread_create(&thread, NULL, dirty_in_thread, &size_bytes) == 0)) {
        pthread_join(thread, NULL);
    }
    expect_zeroes(size_bytes, 48);
}

int main(void)
{
    conform_start(120);
    for (size_t size_bytes = 1; size_bytes <= 1040; size_bytes += 5) {
        recycled(size_bytes);
    }
    for (size_t base_bytes = 1024; base_bytes <= 4u << 20; base_bytes *= 2) {
        for (size_t quarter = 0; quarter < 4; quarter++) {
            recycled(base_bytes + base_bytes / 4 * quarter - 7);
        }
    }
    recycled(33u << 20);
    recycled(64u << 20);
    for (size_t size_bytes = 40; size_bytes <= 1u << 20; size_bytes = size_bytes * 3 + 8) {
        trimmed_and_foreign(size_bytes);
    }
    /* What a shrinking realloc cut off comes back dirty. */
    for (int round = 0; round < 50; round++) {
        char *block = malloc(300000);
        CHECK(block != NULL);
        memset(block, 0xdd, 300000);
        block = realloc(block, 20000);
        expect_zeroes(250000, 3);
        free(block);
    }
    return conform_end();
}
