/* SPDX-License-Identifier: MIT
 *
 * Producers and consumers: each thread allocates into the ring of its right neighbour and frees what arrives
 * in its own, so that no block is ever freed by the thread that allocated it.
 */
#include "stress/stress.h"

#include <stdatomic.h>
#include <unistd.h>

enum { RINGS_MAX = 256, RING_SLOTS = 512, BATCH = 100 };

/* One writer, one reader. The writer publishes a slot by the release of `head`, which pairs with the reader's
 * acquire; the reader gives it back by the release of `tail`, which pairs with the writer's acquire. */
struct ring {
    _Alignas(64) atomic_size_t head;
    _Alignas(64) atomic_size_t tail;
    struct stress_block *slots[RING_SLOTS];
};

static struct ring rings[RINGS_MAX];
static atomic_uint producing;

static bool put(struct ring *ring, struct stress_block *block)
{
    size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (head - atomic_load_explicit(&ring->tail, memory_order_acquire) == RING_SLOTS) {
        return false;
    }
    ring->slots[head % RING_SLOTS] = block;
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return true;
}

static struct stress_block *take(struct ring *ring)
{
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (atomic_load_explicit(&ring->head, memory_order_acquire) == tail) {
        return NULL;
    }
    struct stress_block *block = ring->slots[tail % RING_SLOTS];
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return block;
}

static size_t drain(struct ring *ring)
{
    size_t count = 0;
    for (struct stress_block *block = take(ring); block != NULL; block = take(ring)) {
        stress_block_free(block);
        count++;
    }
    return count;
}

static void *pass_on(void *argument)
{
    struct stress_thread *self = argument;
    struct ring *to = &rings[(self->idx + 1) % self->stress->threads];
    struct ring *from = &rings[self->idx];
    while (stress_goes_on(self->stress)) {
        for (unsigned i = 0; i < BATCH; i++) {
            size_t size_bytes = i % 25 == 0
                                    ? stress_size(&self->random)
                                    : conform_between(&self->random, sizeof(struct stress_block), 600);
            struct stress_block *block = stress_block_new(size_bytes, 0, &self->random);
            while (!put(to, block)) {
                drain(from);
            }
        }
        drain(from);
    }
    atomic_fetch_sub(&producing, 1);
    /* The neighbour may still be waiting for room here. */
    while (atomic_load(&producing) != 0) {
        if (drain(from) == 0) {
            usleep(100);
        }
    }
    drain(from);
    return NULL;
}

void stress_rings(const struct stress *stress)
{
    atomic_store(&producing, stress->threads);
    stress_run_threads(stress, pass_on, NULL);
    for (unsigned i = 0; i < stress->threads; i++) {
        drain(&rings[i]);
    }
}
