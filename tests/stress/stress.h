/* SPDX-License-Identifier: MIT
 *
 * What the stress cases share: how long, how many threads, which seed; and blocks that know their own
 * pattern.
 */
#ifndef STRESS_H
#define STRESS_H

#include "conform/conform.h"

struct stress {
    uint64_t seed;
    unsigned threads;
    uint64_t until_ns; /* on CLOCK_MONOTONIC */
};

/* The cases; each returns when the time is over and every thread and block of it is gone. */
void stress_mix(const struct stress *stress);
void stress_aligned(const struct stress *stress);
void stress_resize(const struct stress *stress);
void stress_rings(const struct stress *stress);
void stress_thread_exit(const struct stress *stress);
void stress_fork(const struct stress *stress);

bool stress_goes_on(const struct stress *stress);

/* Runs `work` in stress->threads threads and waits for them; each gets a seed of its own. */
struct stress_thread {
    const struct stress *stress;
    unsigned idx;
    uint64_t random;
    void *shared;
};
void stress_run_threads(const struct stress *stress, void *(*work)(void *), void *shared);

/* A block that carries its size and pattern. NULL only when memory is exhausted, which is a failure. */
struct stress_block {
    size_t size_bytes; /* of the whole block */
    uint64_t tag;
};
struct stress_block *stress_block_new(size_t size_bytes, size_t alignment_bytes, uint64_t *random);
struct stress_block *stress_block_resize(struct stress_block *block, size_t size_bytes);
void stress_block_verify(const struct stress_block *block);
void stress_block_free(struct stress_block *block);

/* From 24 bytes to 4 MiB, each doubling equally likely up to 32 KiB, larger ones rarer. */
size_t stress_size(uint64_t *random);

#endif
