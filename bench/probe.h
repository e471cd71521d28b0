/* SPDX-License-Identifier: MIT
 *
 * What a bench program measures about itself, without causing a single allocation.
 *
 * The main thread calls everything here. Samples read /proc/self/maps and /proc/self/status by plain read(2)
 * into static buffers. A sample is taken at the start (before the first block), wherever the program says
 * that a phase is over, every 100 ms while the main thread waits for others, and at the end, after everything
 * has been freed.
 *
 * The time of the samples is kept apart, so that an allocator is not charged for the reading of its own
 * mappings.
 */
#ifndef EBB_BENCH_PROBE_H
#define EBB_BENCH_PROBE_H

#include <stdint.h>

/* Remembers the program's name and whether file descriptor 3 is open, and samples the base. First thing in
 * main. */
void bench_probe_start(const char *program);

/* A sample while no other thread works: its time counts neither as wall time nor as CPU time. */
void bench_probe_sample(void);

/* A sample while other threads work: only its CPU time is set apart. */
void bench_probe_glance(void);

/* The sample of the phase in which the program holds most; its RSS is reported as full_kib. */
void bench_probe_full(void);

/* Samples like bench_probe_glance that also say what was found: all that is resident or swapped out, in KiB above
 * the base, and of that the anonymous part alone. */
long bench_probe_net_kib(void);
long bench_probe_net_anon_kib(void);

/* Adds name=value to the lines of bench_probe_finish. */
void bench_probe_note(const char *name, uint64_t value);

/* After bench_probe_finish: one more line of numbers, separated by commas, on file descriptor 3 (if open). Returns
 * 0 or -errno. */
int bench_probe_series(const uint64_t *numbers, int count);

/* The last sample, with everything freed; then the line on file descriptor 3 (if open) and the result line on
 * standard output. `blocks` is the number of blocks obtained or resized, `check` a sum over what the blocks
 * held, which is the same under every allocator. Returns main's exit status: 1 when a line could not be
 * written. */
int bench_probe_finish(uint64_t blocks, uint64_t check);

#endif
