/* SPDX-License-Identifier: MIT
 *
 * What the programs about memory given back share besides ../kit.h: tables that are no part of the load, blocks that
 * are touched to the last page, sizes of which each doubling gets as many bytes, waits with samples, and the oracle
 * that counts the OS pages on which live blocks lie.
 */
#ifndef EBB_BENCH_MEM_H
#define EBB_BENCH_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../kit.h"
#include "../probe.h"

/* An array of zeroes in a mapping of its own, resident at once: made before bench_probe_start, it is part of the base.
 * Its mapping does not count in mem_mappings_count. */
void *mem_table(size_t count, size_t item_bytes);

/* Waits with a sample every 100 ms. For the main thread. */
void mem_wait_ms(long ms);

/* Waits until a moment of CLOCK_MONOTONIC, without a sample. For any thread. */
void mem_wait_until_ns(uint64_t moment_ns);

/* Of the main thread, where bench_gate_hold would not do: how many workers have arrived, and opening the gate without a
 * sample. */
size_t mem_gate_arrived(struct bench_gate *gate);
void mem_gate_open(struct bench_gate *gate);

/* Threads whose stacks lie in one mapping that does not count: with those of the C library, one could not tell whose a
 * mapping is. The first call says, before bench_probe_start, for how many threads. */
void mem_stacks_init(size_t threads);
pthread_t mem_thread_start(void *(*body)(void *), void *argument);

/* A note of KiB, of which fewer than none count as none. */
void mem_note_kib(const char *name, long kib);

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t mem_now_ns(void);

/* A block as of bench_block_new whose last byte has been written too, so that each of its pages is resident. */
void *mem_block_new(size_t size_bytes);

/* A size between 2^low_bits and 2^high_bits, smaller ones more often in the measure in which they are smaller: each
 * doubling gets as many bytes as any other. */
size_t mem_size_even(struct bench_rng *rng, unsigned low_bits, unsigned high_bits);

/* The mean of mem_size_even over many calls, rounded down: how many blocks make so many bytes. */
size_t mem_size_even_mean(unsigned low_bits, unsigned high_bits);

/* Brings the pointers into a random order. */
void mem_shuffle(void **blocks, size_t count, struct bench_rng *rng);

/* The number of OS pages on which a byte of these blocks lies, and (unless NULL) the bytes of the blocks themselves.
 * The array that this takes is mapped for the duration of the call alone. */
size_t mem_pages_held(void *const *blocks, size_t count, uint64_t *ret_bytes);

/* The mappings of the process that are neither a file's nor the kernel's, nor lie wholly within the image of a loaded
 * object, a table, or a range that was excluded. With the brk heap if `with_brk`. */
long mem_mappings_count(bool with_brk);
void mem_mappings_exclude(const void *start, size_t size_bytes);

#endif
