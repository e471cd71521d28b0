/* SPDX-License-Identifier: MIT
 *
 * Three storms over a table of blocks that all threads share: mixed sizes, aligned blocks, resizing. A thread
 * takes whatever block it finds in a slot, so most blocks are freed by a thread that did not allocate them.
 */
#include "stress/names.h"
#include "stress/stress.h"

#include <stdatomic.h>

enum { SLOTS = 2048, TRIM_EVERY = 20000 };

static _Atomic(struct stress_block *) slots[SLOTS];

static void empty_slots(void)
{
    for (size_t i = 0; i < SLOTS; i++) {
        stress_block_free(atomic_exchange(&slots[i], NULL));
    }
}

static void *mix(void *argument)
{
    struct stress_thread *self = argument;
    for (uint64_t step = 1; step % 64 != 0 || stress_goes_on(self->stress); step++) {
        size_t slot = conform_random(&self->random) % SLOTS;
        struct stress_block *fresh = NULL;
        /* A quarter of the steps only frees, so that the table breathes. */
        if (conform_random(&self->random) % 4 != 0) {
            fresh = stress_block_new(stress_size(&self->random), 0, &self->random);
        }
        stress_block_free(atomic_exchange(&slots[slot], fresh));
        if (step % TRIM_EVERY == 0) {
            st_trim();
        }
    }
    return NULL;
}

void stress_mix(const struct stress *stress)
{
    stress_run_threads(stress, mix, NULL);
    empty_slots();
}

static void *align(void *argument)
{
    struct stress_thread *self = argument;
    for (uint64_t step = 1; step % 64 != 0 || stress_goes_on(self->stress); step++) {
        size_t slot = conform_random(&self->random) % SLOTS;
        /* Mostly cache lines and pages; rarely up to 4 MiB, and then with few blocks alive. */
        uint64_t choice = conform_random(&self->random) % 1000;
        size_t alignment_bytes = (size_t)16 << (choice < 900   ? choice % 9
                                                : choice < 995 ? choice % 14
                                                               : choice % 19);
        struct stress_block *fresh =
            stress_block_new(stress_size(&self->random) / 4 + sizeof(*fresh), alignment_bytes, &self->random);
        if (alignment_bytes > 65536) {
            stress_block_free(fresh);
            fresh = NULL;
        }
        stress_block_free(atomic_exchange(&slots[slot], fresh));
    }
    return NULL;
}

void stress_aligned(const struct stress *stress)
{
    stress_run_threads(stress, align, NULL);
    empty_slots();
}

static void *resize(void *argument)
{
    struct stress_thread *self = argument;
    for (uint64_t step = 1; step % 16 != 0 || stress_goes_on(self->stress); step++) {
        size_t slot = conform_random(&self->random) % SLOTS;
        struct stress_block *block = atomic_exchange(&slots[slot], NULL);
        if (block == NULL) {
            block = stress_block_new(stress_size(&self->random), 0, &self->random);
        }
        /* By turns a little more, as a growing string; anything; and rarely very large and back. */
        size_t size_bytes = block->size_bytes + block->size_bytes / 8 + 1;
        uint64_t choice = conform_random(&self->random) % 500;
        if (choice == 0) {
            block = stress_block_resize(block, conform_between(&self->random, 33u << 20, 48u << 20));
            block = stress_block_resize(block, conform_between(&self->random, 48u << 20, 80u << 20));
            size_bytes = stress_size(&self->random);
        } else if (choice % 2 == 0 || size_bytes > 4u << 20) {
            size_bytes = stress_size(&self->random);
        }
        block = stress_block_resize(block, size_bytes);
        stress_block_free(atomic_exchange(&slots[slot], block));
    }
    return NULL;
}

void stress_resize(const struct stress *stress)
{
    stress_run_threads(stress, resize, NULL);
    empty_slots();
}
